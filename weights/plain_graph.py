"""The plain graph: a network as quantise.py wants it, in the same numbers.

Norms and preprocessing are folded into convolutions, a mean over the plane is a
convolution, and layers that write sums stand apart from those that write bytes
(rules 1, 2 and 4 of quantise.py).  What is left computes what the network did,
in float32, but for the order of sums.
"""
import numpy as np

from shapes import PackError, walk

FILTERS = ('Convolution', 'InnerProduct')


class Graph:
    """Layers (dictionaries, copied), and of filters the weights and biases in
    float64: values[name] = (weight, bias)."""

    def __init__(self, network, tensors):
        self.network, self.tensors = network, tensors
        self.input = network['input']['name']
        self.layers = [dict(layer) for layer in network['layers']]
        self.heads = network.get('heads', [])
        self.values = {}
        for layer in self.layers:
            if layer['type'] in FILTERS:
                weight = self.tensor(layer, 'weight')
                self.values[layer['name']] = weight, self.tensor(
                    layer, 'bias', np.zeros(len(weight)))
        self.measure()

    def tensor(self, layer, member, default=None):
        name = layer.get(member)
        if name is None and default is not None:
            return default
        if name not in self.tensors:
            raise PackError('layer %s: there is no tensor %s' % (
                layer['name'], name))
        return np.asarray(self.tensors[name], np.float64)

    def measure(self):
        """The shape of each blob."""
        source = self.network['input']
        self.shapes = {self.input: [source['channels'], source['height'],
                                    source['width']]}
        for layer, shape, _ in walk(dict(self.network, layers=self.layers)):
            self.shapes[layer['name']] = shape

    def readers(self, name):
        return [r for r in self.layers if name in r['bottom']]

    def named(self):
        """The blobs that heads name."""
        return {head[m] for head in self.heads
                for m in ('latent', 'features', 'classifier') if m in head}

    def layer(self, name):
        return next((r for r in self.layers if r['name'] == name), None)

    def fresh(self, name):
        while name in self.shapes:
            name += '_'
        return name

    def each_channel(self, name, bottom, gain, bias, kernel=(1, 1)):
        """A convolution of each channel for itself; every tap has its gain."""
        c = len(gain)
        self.values[name] = (np.broadcast_to(
            np.reshape(gain, (c, 1, 1, 1)), (c, 1) + tuple(kernel)), bias)
        return {'name': name, 'type': 'Convolution', 'bottom': [bottom],
                'num_output': c, 'kernel_size': list(kernel), 'group': c}

    def insert(self, layer, readers):
        """Put a layer behind its bottom, in front of some readers of it."""
        bottom = layer['bottom'][0]
        for r in readers:
            r['bottom'] = [layer['name'] if b == bottom else b
                           for b in r['bottom']]
        at = min(i for i, r in enumerate(self.layers)
                 if any(r is reader for reader in readers))
        self.layers.insert(at, layer)
        self.measure()


def fold_norms(g):
    for layer in list(g.layers):
        if layer['type'] != 'BatchNorm':
            continue
        mean, variance = g.tensor(layer, 'mean'), g.tensor(layer, 'variance')
        gain = g.tensor(layer, 'weight', np.ones(len(mean))) / np.sqrt(
            variance + layer.get('eps', 1e-5))
        shift = g.tensor(layer, 'bias', np.zeros(len(mean))) - mean * gain
        name, bottom = layer['name'], g.layer(layer['bottom'][0])
        at = g.layers.index(layer)
        if (bottom and bottom['type'] in FILTERS and
                len(g.readers(bottom['name'])) == 1 and
                bottom['name'] not in g.named()):
            weight, bias = g.values.pop(bottom['name'])
            g.values[name] = (weight * gain.reshape(
                [-1] + [1] * (weight.ndim - 1)), bias * gain + shift)
            g.layers[at] = dict(bottom, name=name)
            g.layers.remove(bottom)
        else:
            g.layers[at] = g.each_channel(name, layer['bottom'][0], gain,
                                          shift)
    g.measure()


def widen_means(g):
    """AVE pooling of a whole plane without padding, as a convolution."""
    for i, layer in enumerate(g.layers):
        if layer['type'] != 'Pooling' or layer.get('pool') != 'AVE':
            continue
        c, h, w = g.shapes[layer['bottom'][0]]
        if layer.get('global_pooling') or (
                layer['kernel_size'] == [h, w] and not any(
                    layer.get('pad', [0]))):
            g.layers[i] = g.each_channel(
                layer['name'], layer['bottom'][0], np.full(c, 1 / (h * w)),
                np.zeros(c), (h, w))


def fold_preprocessing(g):
    """Zero points of the input; what remains goes into its readers."""
    c = g.shapes[g.input][0]
    preprocess = g.network.get('preprocess', {})
    mean = np.array(preprocess.get('mean', [0] * c), np.float64)
    scale = np.array(preprocess.get('scale', [1] * c), np.float64)
    readers = g.readers(g.input)
    if any(r['type'] not in FILTERS for r in readers):
        g.insert(g.each_channel(g.fresh(g.input + '.values'), g.input,
                                np.ones(c), np.zeros(c)), readers)
        readers = g.readers(g.input)
    zero = np.clip(np.rint(mean), 0, 255)
    for r in readers:
        weight, bias = g.values[r['name']]
        width = c // r.get('group', 1)
        # [groups, outputs of a group, channels of a group, taps]
        split = weight.reshape(c // width, -1, width,
                               weight[0].size // width)
        split = split * scale.reshape(c // width, 1, width, 1)
        left = (split.sum(3) * (zero - mean).reshape(-1, 1, width)).sum(2)
        g.values[r['name']] = (split.reshape(weight.shape),
                               bias + left.reshape(-1))
    return [int(z) for z in zero]


def latents(g):
    """The layers of logits of all heads."""
    out = set()
    for head in g.heads:
        layer = g.layer(head.get('latent'))
        if layer is None:
            raise PackError('a head names no latent layer of the network')
        out.add(layer['bottom'][0] if layer['type'] == 'Sigmoid' else
                layer['name'])
    return out


def part_sums(g):
    """Returns the layers that write sums."""
    for layer in [r for r in g.layers if r['type'] == 'Softmax']:
        bottom = layer['bottom'][0]
        if bottom not in g.values:
            c = g.shapes[bottom][0]
            g.insert(g.each_channel(g.fresh(bottom + '.sums'), bottom,
                                    np.ones(c), np.zeros(c)), [layer])
    wanted, sums = latents(g), set()
    for name in list(g.values):
        readers = g.readers(name)
        plain = [r for r in readers if r['type'] not in ('Sigmoid', 'Softmax')]
        if not plain:
            sums.add(name)
        elif name in wanted or any(r['type'] == 'Softmax' for r in readers):
            twin = dict(g.layer(name), name=g.fresh(name + '.bytes'))
            g.values[twin['name']] = g.values[name]
            at = g.layers.index(g.layer(name))
            g.layers.insert(at + 1, twin)
            for r in plain:
                r['bottom'] = [twin['name'] if b == name else b
                               for b in r['bottom']]
            g.measure()
            sums.add(name)
    return sums


def clamped_by_relu(g, name):
    """Whether nobody would miss the negative values of a layer."""
    readers = g.readers(name)
    return bool(readers) and name not in g.named() and all(
        r['type'] == 'ReLU' or
        ((r['type'] == 'Flatten' or
          r['type'] == 'Pooling' and r.get('pool') == 'MAX') and
         clamped_by_relu(g, r['name'])) for r in readers)


def positive_blobs(g, sums):
    """The blobs without negative values, or whose negative values are as good
    as 0."""
    out = set()
    for layer in g.layers:
        kind, name = layer['type'], layer['name']
        keeps = kind in ('Pooling', 'Flatten', 'MirrorMean', 'LRN', 'Eltwise',
                         'Concat') and all(b in out for b in layer['bottom'])
        own = name not in sums and (name in g.values or kind in (
            'Eltwise', 'Concat', 'LRN'))
        if kind in ('ReLU', 'Sigmoid') or keeps or (
                own and clamped_by_relu(g, name)):
            out.add(name)
    return out

"""The shapes of a network: of each blob, and of each tensor that it names.

What weights/README.md says about geometry, once, for everything in this folder
that writes models.  Nothing but Python's standard library is needed.

    for layer, shape, wants in walk(network): ...
"""
import json


class PackError(Exception):
    """What is wrong, as a sentence."""


def product(shape):
    n = 1
    for side in shape:
        n *= side
    return n


def integers(layer, member, default):
    """A member that is a list of as many integers as its default."""
    value = layer.get(member, default)
    if not (isinstance(value, list) and len(value) == len(default) and
            all(type(v) is int for v in value)):
        raise PackError('layer %s: %s must be a list of %d integers, not %s' % (
            layer['name'], member, len(default), json.dumps(value)))
    return value


def window(layer, shape):
    """Height and width that a convolution or a pooling leaves."""
    kernel = integers(layer, 'kernel_size', [0, 0])
    stride = integers(layer, 'stride', [1, 1])
    pad = integers(layer, 'pad', [0, 0, 0, 0])
    dilation = integers(layer, 'dilation', [1, 1])
    if min(kernel + stride + dilation) < 1:
        raise PackError('layer %s: kernel_size, stride and dilation must be at '
                        'least 1' % layer['name'])
    ceil = (layer['type'] == 'Pooling' and
            layer.get('round_mode', 'CEIL') == 'CEIL')
    out = []
    for axis in (0, 1):
        room = (shape[1 + axis] + pad[axis] + pad[axis + 2] -
                (dilation[axis] * (kernel[axis] - 1) + 1))
        if room < 0:
            raise PackError('layer %s: its kernel is larger than its padded '
                            'input' % layer['name'])
        n = room // stride[axis] + 1
        if ceil:
            n = -(-room // stride[axis]) + 1
            if (n - 1) * stride[axis] >= shape[1 + axis] + pad[axis]:
                n -= 1
        out.append(n)
    return out


def padded(layer, shape):
    pad = integers(layer, 'pad', [0, 0, 0, 0])
    return [shape[0], shape[1] + pad[0] + pad[2], shape[2] + pad[1] + pad[3]]


def sliced(layer, shape):
    axis = layer.get('axis', 1) - 1
    out = list(shape)
    out[axis] = layer['end'] - layer['begin']
    return out


MOVES = {
    'Padding': padded,
    'Slice': sliced,
    'Reshape': lambda layer, shape: integers(layer, 'dims', [1, 1, 1]),
    'Permute': lambda layer, shape: [
        shape[axis - 1] for axis in integers(layer, 'order', [1, 2, 3])]}


def layer_shapes(layer, bottoms):
    """(shape of the output, {member: shape of the tensor it names})."""
    kind, first = layer['type'], bottoms[0]
    if kind == 'Convolution':
        n = layer['num_output']
        return [n] + window(layer, first), {
            'weight': [n, first[0] // layer.get('group', 1)] +
            layer['kernel_size'], 'bias': [n]}
    if kind == 'InnerProduct':
        n = layer['num_output']
        return [n, 1, 1], {'weight': [n, product(first)], 'bias': [n]}
    if kind == 'Pooling':
        if layer.get('global_pooling'):
            return [first[0], 1, 1], {}
        return [first[0]] + window(layer, first), {}
    if kind == 'BatchNorm':
        names = ('mean', 'variance', 'weight', 'bias')
        return first, {name: first[:1] for name in names}
    if kind == 'Concat':
        axis = layer.get('axis', 1) - 1
        out = list(first)
        out[axis] = sum(b[axis] for b in bottoms)
        return out, {}
    if kind == 'Eltwise':
        return [max(sides) for sides in zip(*bottoms)], {}
    if kind in MOVES:
        return MOVES[kind](layer, first), {}
    if kind == 'Flatten':
        return [product(first), 1, 1], {}
    if kind == 'Scale':
        return first, {name: first[:1] for name in ('weight', 'bias')}
    if kind in ('LRN', 'ReLU', 'Sigmoid', 'Softmax', 'MirrorMean', 'Clip',
                'HardSigmoid', 'HardSwish', 'ShuffleChannel'):
        return first, {}
    raise PackError('layer %s: unknown type %s' % (layer['name'], kind))


def walk(network):
    """(layer, shape of its output, shapes of its tensors), in order."""
    source = network['input']
    blobs = {source['name']: [source['channels'], source['height'],
                              source['width']]}
    for layer in network['layers']:
        for bottom in layer['bottom']:
            if bottom not in blobs:
                raise PackError('layer %s: its bottom %s is no layer before '
                                'it' % (layer['name'], bottom))
        if not layer['bottom']:
            raise PackError('layer %s has no bottom' % layer['name'])
        if layer['name'] in blobs:
            raise PackError('two blobs are called %s' % layer['name'])
        shape, wants = layer_shapes(layer,
                                    [blobs[b] for b in layer['bottom']])
        blobs[layer['name']] = shape
        yield layer, shape, wants


def multiply_adds(layers, wanted):
    """Of an image, for what these blobs depend on.  What a MirrorMean reads is
    computed for the picture and for its mirror image."""
    runs, sums = dict.fromkeys(wanted, 1), 0
    for layer, shape, wants in reversed(layers):
        times = runs.get(layer['name'], 0)
        if layer['type'] in ('Convolution', 'InnerProduct'):
            sums += times * product(shape[1:]) * product(wants['weight'])
        if times and layer['type'] == 'MirrorMean':
            times = 2
        for bottom in layer['bottom']:
            runs[bottom] = max(times, runs.get(bottom, 0))
    return sums


def cost(network):
    """A line for the model's card: of all that it has, and of each head alone
    where there are several."""
    layers, parameters = list(walk(network)), {}
    for layer, _, wants in layers:
        for member, wanted in wants.items():
            if layer.get(member) is not None:
                parameters[layer[member]] = product(wanted)
    heads = network.get('heads', [])
    alone = ['%s alone %.1f M' % (
        head['name'], multiply_adds(layers, [head['latent']]) / 1e6)
        for head in heads if len(heads) > 1]
    return '%d parameters, %.1f M multiply-adds an image%s' % (
        sum(parameters.values()),
        multiply_adds(layers, [layer['name'] for layer, _, _ in layers]) / 1e6,
        ' (%s)' % ', '.join(alone) if alone else '')

#!/usr/bin/env python3
"""Pack raw float32 weights and a network's description into a model file.

    python3 weights/pack.py NETWORK.json RAWDIR OUT.safetensors [--int8]

RAWDIR/<tensor>.f32 holds each tensor that the network names, as flat
little-endian float32; its shape follows from the network.  Where RAWDIR has a
manifest.json ({tensor: shape}), the two must agree.  --int8 stores the weights
of convolutions and inner products in 8 bits with a scale per output channel.

The format is defined in weights/README.md.  The same input gives the same
bytes.  Nothing but Python's standard library is needed; large files are copied
in pieces.  Training recipes call pack() with arrays of numpy instead.
"""
import array
import json
import os
import struct
import sys

ALIGN = 64
PIECE = 1 << 20


class PackError(Exception):
    """What is wrong, as a sentence."""


def product(shape):
    n = 1
    for side in shape:
        n *= side
    return n


# Shapes --------------------------------------------------------------------


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
        return [sum(b[0] for b in bottoms)] + first[1:], {}
    if kind == 'Flatten':
        return [product(first), 1, 1], {}
    if kind in ('LRN', 'ReLU', 'Sigmoid', 'Softmax', 'Eltwise'):
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
        shape, wants = layer_shapes(layer,
                                    [blobs[b] for b in layer['bottom']])
        blobs[layer['name']] = shape
        yield layer, shape, wants


def tensor_shapes(network):
    """{tensor: (shape, whether it may be stored in 8 bits)}, in order."""
    tensors = {}
    for layer, _, wants in walk(network):
        for member, wanted in wants.items():
            name = layer.get(member)
            if name is None:
                continue
            if tensors.get(name, (wanted,))[0] != wanted:
                raise PackError('tensor %s is used in two shapes' % name)
            small = member == 'weight' and layer['type'] != 'BatchNorm'
            tensors[name] = (wanted,
                             small and tensors.get(name, (0, True))[1])
    return tensors


def cost(network):
    """A line for the model's card."""
    sums = sum(product(shape[1:]) * product(wants['weight'])
               for layer, shape, wants in walk(network)
               if layer['type'] in ('Convolution', 'InnerProduct'))
    parameters = sum(product(shape)
                     for shape, _ in tensor_shapes(network).values())
    return '%d parameters, %.1f M multiply-adds an image' % (parameters,
                                                             sums / 1e6)


# Sources of values: .shape, and pieces(start, count) as array('f') -----------


class File:
    def __init__(self, path, shape):
        self.path, self.shape = path, shape
        if not os.path.exists(path):
            raise PackError('there is no %s' % path)
        if os.path.getsize(path) != 4 * product(shape):
            raise PackError('%s has %d bytes, a tensor of shape %s wants %d' % (
                path, os.path.getsize(path), shape, 4 * product(shape)))

    def pieces(self, start, count):
        with open(self.path, 'rb') as f:
            f.seek(4 * start)
            while count:
                n = min(count, PIECE)
                values = array.array('f', f.read(4 * n))
                if sys.byteorder == 'big':
                    values.byteswap()
                yield values
                count -= n


class Array:
    """A numpy array, or anything that has .shape and .tobytes()."""

    def __init__(self, values, shape, name):
        self.shape = list(values.shape)
        if self.shape != shape:
            raise PackError('tensor %s has shape %s, the network wants %s' % (
                name, self.shape, shape))
        if hasattr(values, 'astype'):
            values = values.astype('float32')
        self.values = array.array('f', values.tobytes())

    def pieces(self, start, count):
        yield self.values[start:start + count]


# Writing -------------------------------------------------------------------


def quantise(source):
    """(scales, int8 values by channel): scale = max|w| / 127, in float32."""
    channels = source.shape[0]
    row = product(source.shape[1:])
    scales = array.array('f')
    rows = []
    for c in range(channels):
        values = array.array('f')
        for piece in source.pieces(c * row, row):
            values.extend(piece)
        most = max(max(values), -min(values)) if row else 0
        scales.append(most / 127)
        scale = scales[c]
        if not scale:
            rows.append(array.array('b', bytes(row)))
            continue
        rows.append(array.array('b', (
            max(-127, min(127, round(v / scale))) for v in values)))
    return scales, rows


def little(values):
    if sys.byteorder == 'big':
        values = array.array(values.typecode, values)
        values.byteswap()
    return values.tobytes()


def write(path, network, sources, small):
    """sources: {name: source} in file order; small: names to store in I8."""
    plain, narrow = [], []
    for name, source in sources.items():
        if name in small:
            scales, rows = quantise(source)
            plain.append((name + '.scale', 'F32', [len(scales)],
                          lambda scales=scales: [scales]))
            narrow.append((name, 'I8', source.shape, lambda rows=rows: rows))
        else:
            plain.append((name, 'F32', source.shape, lambda source=source:
                          source.pieces(0, product(source.shape))))
    header = {'__metadata__': {
        'format': 'binhash', 'format_version': '1',
        'network': json.dumps(network, separators=(',', ':'),
                              ensure_ascii=False)}}
    at = 0
    for name, dtype, shape, _ in plain + narrow:
        if name in header:
            raise PackError('two tensors are called %s' % name)
        end = at + product(shape) * (4 if dtype == 'F32' else 1)
        header[name] = {'dtype': dtype, 'shape': shape,
                        'data_offsets': [at, end]}
        at = end
    text = json.dumps(header, separators=(',', ':'),
                      ensure_ascii=False).encode()
    text += b' ' * (-(8 + len(text)) % ALIGN)
    with open(path + '.new', 'wb') as f:
        f.write(struct.pack('<Q', len(text)) + text)
        for _, _, _, pieces in plain + narrow:
            for values in pieces():
                f.write(little(values))
    os.replace(path + '.new', path)
    return 8 + len(text) + at


def pack(path, network, tensors, int8=True):
    """Write a model; tensors maps names to arrays.  Returns its size."""
    shapes = tensor_shapes(network)
    sources = {}
    for name, (shape, _) in shapes.items():
        if name not in tensors:
            raise PackError('the network wants a tensor %s' % name)
        sources[name] = Array(tensors[name], shape, name)
    return write(path, network, sources,
                 {n for n, (_, small) in shapes.items() if int8 and small})


def pack_files(path, network, raw, int8):
    shapes = tensor_shapes(network)
    listed = {}
    manifest = os.path.join(raw, 'manifest.json')
    if os.path.exists(manifest):
        with open(manifest) as f:
            listed = json.load(f)
    sources = {}
    for name, (shape, _) in shapes.items():
        if listed.get(name, shape) != shape:
            raise PackError('tensor %s has shape %s in manifest.json, the '
                            'network wants %s' % (name, listed[name], shape))
        sources[name] = File(os.path.join(raw, name + '.f32'), shape)
    return write(path, network, sources,
                 {n for n, (_, small) in shapes.items() if int8 and small})


def main(args):
    int8 = '--int8' in args
    args = [a for a in args if a != '--int8']
    if len(args) != 3 or args[0].startswith('-'):
        sys.stderr.write(__doc__.split('\n\n')[1] + '\n')
        return 2
    try:
        with open(args[0]) as f:
            try:
                network = json.load(f)
            except ValueError as e:
                raise PackError('%s: %s' % (args[0], e))
        size = pack_files(args[2], network, args[1], int8)
    except (PackError, OSError, ValueError) as e:
        sys.stderr.write('pack.py: %s\n' % e)
        return 1
    except KeyError as e:
        sys.stderr.write('pack.py: %s lacks %s\n' % (args[0], e))
        return 1
    except (TypeError, AttributeError, IndexError) as e:
        sys.stderr.write('pack.py: %s is not of the form that '
                         'weights/README.md describes: %s\n' % (args[0], e))
        return 1
    print('%s: %d bytes, %s' % (args[2], size, cost(network)))
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))

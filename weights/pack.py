#!/usr/bin/env python3
"""Pack raw weights and a network's description into a model file.

    python3 weights/pack.py NETWORK.json RAWDIR OUT.safetensors [--int8 | --fp16]

RAWDIR/<tensor>.f32 holds each tensor that the network names, as flat
little-endian float32; its shape follows from the network.  Where RAWDIR has a
manifest.json ({tensor: shape}), the two must agree.  --int8 stores the weights
of convolutions and inner products in 8 bits with a scale per output channel;
--fp16 stores those of inner products in 16 bits.
The tensors of an integer network (input.zero_point) are RAWDIR/<tensor>.i8,
.u8, .i32 or .f32, as the network wants them; integer_form.py checks them, and
`binhash-import --int8` makes such networks.

The format is defined in weights/README.md.  The same input gives the same
bytes.  Nothing but Python's standard library is needed; large files are copied
in pieces.  Training recipes call pack() with arrays of numpy instead.
"""
import array
import json
import os
import struct
import sys

import integer_form
from shapes import PackError, cost, product, walk

ALIGN = 64
PIECE = 1 << 20


def tensor_shapes(network):
    """{tensor: (shape, whether it may be stored in 8 bits, whether inner
    products alone have it as their weights)}, in order."""
    tensors = {}
    for layer, _, wants in walk(network):
        if layer['type'] == 'MirrorMean':
            raise PackError('layer %s: a MirrorMean stands in integer networks '
                            'alone' % layer['name'])
        for member, wanted in wants.items():
            name = layer.get(member)
            if name is None:
                continue
            before = tensors.get(name, (wanted, True, True))
            if before[0] != wanted:
                raise PackError('tensor %s is used in two shapes' % name)
            small = member == 'weight' and layer['type'] != 'BatchNorm'
            dense = small and layer['type'] == 'InnerProduct'
            tensors[name] = (wanted, small and before[1], dense and before[2])
    return tensors


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


def narrow(source):
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


def halves(name, source):
    """Pieces of the nearest numbers of 16 bits, as bytes."""
    for piece in source.pieces(0, product(source.shape)):
        try:
            yield struct.pack('<%de' % len(piece), *piece)
        except OverflowError:
            raise PackError('tensor %s has values that do not fit 16 bits' %
                            name)


def little(values):
    if isinstance(values, bytes):
        return values
    if sys.byteorder == 'big':
        values = array.array(values.typecode, values)
        values.byteswap()
    return values.tobytes()


def write(path, network, entries):
    """entries: (name, dtype, shape, function that gives pieces of values)."""
    header = {'__metadata__': {
        'format': 'binhash', 'format_version': '1',
        'network': json.dumps(network, separators=(',', ':'),
                              ensure_ascii=False)}}
    # Those of four bytes first, floats before all, then those of two, so that
    # each is aligned.
    order = {'F32': 0, 'I32': 1, 'F16': 2}
    entries = sorted(entries, key=lambda e: order.get(e[1], 3))
    at = 0
    for name, dtype, shape, _ in entries:
        if name in header:
            raise PackError('two tensors are called %s' % name)
        end = at + product(shape) * integer_form.SIZES[dtype]
        header[name] = {'dtype': dtype, 'shape': shape,
                        'data_offsets': [at, end]}
        at = end
    text = json.dumps(header, separators=(',', ':'),
                      ensure_ascii=False).encode()
    text += b' ' * (-(8 + len(text)) % ALIGN)
    try:
        with open(path + '.new', 'wb') as f:
            f.write(struct.pack('<Q', len(text)) + text)
            for _, _, _, pieces in entries:
                for values in pieces():
                    f.write(little(values))
        os.replace(path + '.new', path)
    except BaseException:
        if os.path.exists(path + '.new'):
            os.remove(path + '.new')
        raise
    return 8 + len(text) + at


def write_float(path, network, sources, small, half=()):
    """sources: {name: source} in file order; small: names to store in I8,
    half: in F16."""
    entries = []
    for name, source in sources.items():
        if name in half:
            entries.append((name, 'F16', source.shape,
                            lambda name=name, source=source:
                            halves(name, source)))
        elif name in small:
            scales, rows = narrow(source)
            entries.append((name + '.scale', 'F32', [len(scales)],
                            lambda scales=scales: [scales]))
            entries.append((name, 'I8', source.shape, lambda rows=rows: rows))
        else:
            entries.append((name, 'F32', source.shape, lambda source=source:
                            source.pieces(0, product(source.shape))))
    return write(path, network, entries)


def write_integer(path, network, find):
    """find(name, dtype, shape): (shape, flat array.array) of a tensor; where
    the network leaves a length open, the shape has None."""
    values, entries = {}, []
    for name, (dtype, shape) in integer_form.tensor_forms(network).items():
        shape, values[name] = find(name, dtype, shape)
        entries.append((name, dtype, shape,
                        lambda name=name: [values[name]]))
    integer_form.check(network, values)
    return write(path, network, entries)


def array_tensor(tensors, name, dtype, shape):
    """A tensor of an integer network from an array of numpy, of its dtype."""
    if name not in tensors:
        raise PackError('the network wants a tensor %s' % name)
    values = tensors[name]
    wanted, code = integer_form.DTYPES[dtype]
    if str(values.dtype) != wanted:
        raise PackError('tensor %s is %s, the network wants %s' % (
            name, values.dtype, wanted))
    if not same_shape(list(values.shape), shape):
        raise PackError('tensor %s has shape %s, the network wants %s' % (
            name, list(values.shape), open_shape(shape)))
    return list(values.shape), array.array(code, values.tobytes())


def file_tensor(raw, listed, name, dtype, shape):
    """A tensor of an integer network from RAWDIR/NAME.DTYPE."""
    path = os.path.join(raw, '%s.%s' % (name, dtype.lower()))
    if not os.path.exists(path):
        raise PackError('there is no %s' % path)
    values = array.array(integer_form.DTYPES[dtype][1])
    size = os.path.getsize(path)
    if size % values.itemsize == 0:
        with open(path, 'rb') as f:
            values.frombytes(f.read())
        if sys.byteorder == 'big':
            values.byteswap()
    shape = [len(values) if side is None else side for side in shape]
    if size != values.itemsize * product(shape):
        raise PackError('%s has %d bytes, a tensor of shape %s wants %d' % (
            path, size, shape, values.itemsize * product(shape)))
    agree(listed, name, shape)
    return shape, values


def same_shape(shape, wanted):
    return len(shape) == len(wanted) and all(
        w is None or w == s for s, w in zip(shape, wanted))


def open_shape(shape):
    return str(['n' if side is None else side for side in shape]).replace(
        "'", '')


def agree(listed, name, shape):
    if listed.get(name, shape) != shape:
        raise PackError('tensor %s has shape %s in manifest.json, the network '
                        'wants %s' % (name, listed[name], shape))


def pack(path, network, tensors, int8=True):
    """Write a model; tensors maps names to arrays.  Returns its size.  int8 is
    for float32 networks; the arrays of an integer one have its dtypes."""
    if integer_form.is_integer(network):
        return write_integer(path, network,
                             lambda *form: array_tensor(tensors, *form))
    shapes = tensor_shapes(network)
    sources = {}
    for name, (shape, _, _) in shapes.items():
        if name not in tensors:
            raise PackError('the network wants a tensor %s' % name)
        sources[name] = Array(tensors[name], shape, name)
    return write_float(path, network, sources,
                       {n for n, (_, small, _) in shapes.items()
                        if int8 and small})


def pack_files(path, network, raw, int8, fp16):
    listed = {}
    manifest = os.path.join(raw, 'manifest.json')
    if os.path.exists(manifest):
        with open(manifest) as f:
            listed = json.load(f)
    if integer_form.is_integer(network):
        if int8 or fp16:
            raise PackError('--int8 and --fp16 are for float32 networks')
        return write_integer(path, network,
                             lambda *form: file_tensor(raw, listed, *form))
    shapes = tensor_shapes(network)
    sources = {}
    for name, (shape, _, _) in shapes.items():
        agree(listed, name, shape)
        sources[name] = File(os.path.join(raw, name + '.f32'), shape)
    return write_float(path, network, sources,
                       {n for n, (_, small, _) in shapes.items()
                        if int8 and small},
                       {n for n, (_, _, dense) in shapes.items()
                        if fp16 and dense})


def main(args):
    int8, fp16 = '--int8' in args, '--fp16' in args
    args = [a for a in args if a not in ('--int8', '--fp16')]
    if len(args) != 3 or args[0].startswith('-') or (int8 and fp16):
        sys.stderr.write(__doc__.split('\n\n')[1] + '\n')
        return 2
    try:
        with open(args[0]) as f:
            try:
                network = json.load(f)
            except ValueError as e:
                raise PackError('%s: %s' % (args[0], e))
        size = pack_files(args[2], network, args[1], int8, fp16)
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

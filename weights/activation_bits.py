#!/usr/bin/env python3
"""Give the activations of an integer model 8 bits in place of 7.

    python3 weights/activation_bits.py IN.safetensors OUT.safetensors

Rounding activations is what makes the code of a picture depend on the last bit
of its pixels: an input value that moves by one moves some activation to the
next step, and a few layers further down two pictures that are all but one have
been rounded as if they had nothing to do with each other.  Steps of half the
size make half as much of it.

`binhash-import --int8 --activation-bits 8` quantises a float32 network so; this
does it to a model whose float32 network is not at hand.  Each layer that writes
bytes at a scale of its own, from 0 to max, 127 as a rule, writes 0 to 255 at
max/255 of that scale, rounded to 16 significant bits.  What follows from the
scales follows: biases, multipliers, shifts, the scales of sums, the table of a
Softmax.  Weights and ranges stay as they are, and so does a Sigmoid's table on
sums.  What cannot be done so is refused: other layers than the shipped models
are made of, and sums that could leave 32 bits then.
"""
import json
import math
import os
import struct
import sys

import numpy as np

import integer_form
from preprocess import rewritten
from shapes import PackError

TOP = 255
FILTERS = 'Convolution', 'InnerProduct'
PASS_ON = 'Pooling', 'ReLU', 'Flatten', 'MirrorMean'
EXAMPLES = 'binhash_train.'


def round16(x):
    """The nearest number of 16 significant bits."""
    mantissa, exponent = math.frexp(x)
    return math.ldexp(round(mantissa * 65536), exponent - 16)


def fraction(ratio):
    """ratio = multiplier / 2^shift, as exactly as 31 bits say it."""
    shift = min(31 - math.frexp(ratio)[1], 62)
    scaled = round(math.ldexp(ratio, shift))
    if scaled >= 2 ** 31:
        scaled, shift = scaled // 2, shift - 1
    if shift < 1:
        raise PackError('a ratio of scales is 2^30 or more')
    return scaled, shift


def shared_fractions(ratios, tops):
    """A multiplier for each bottom of a sum and the largest shift for which the
    sum stays within 31 bits."""
    for shift in range(30, 0, -1):
        factors = [round(math.ldexp(r, shift)) for r in ratios]
        worst = sum(abs(f) * top for f, top in zip(factors, tops))
        if worst + 2 ** (shift - 1) < 2 ** 31:
            return factors, shift
    raise PackError('no shift keeps a sum within 31 bits')


class Tensors:
    """A model file's tensors, by name, to be read and written in place."""

    def __init__(self, data):
        size, = struct.unpack('<Q', data[:8])
        self.header = json.loads(data[8:8 + size])
        self.head, self.body = data[:8 + size], bytearray(data[8 + size:])
        self.written = set()

    def kind(self, name):
        dtype = integer_form.DTYPES[self.header[name]['dtype']][0]
        return np.dtype(dtype).newbyteorder('<')

    def get(self, name):
        begin, end = self.header[name]['data_offsets']
        return np.frombuffer(self.body[begin:end], self.kind(name)).copy()

    def put(self, name, values):
        begin, end = self.header[name]['data_offsets']
        values, kind = np.asarray(values, np.float64), self.kind(name)
        if kind.kind == 'i' and np.abs(values).max() > np.iinfo(kind).max:
            raise PackError('tensor %s: %d does not fit its type' % (
                name, values[np.abs(values).argmax()]))
        if name in self.written:
            raise PackError('tensor %s is of two layers' % name)
        self.written.add(name)
        self.body[begin:end] = values.astype(kind).tobytes()

    def bytes(self):
        return self.head + bytes(self.body)


class Finer:
    """Goes through the layers with what each blob's scale was multiplied with,
    and how large its bytes are; None of sums."""

    def __init__(self, tensors, network):
        name = network['input']['name']
        self.tensors = tensors
        self.ratio, self.top = {name: 1.0}, {name: 255}
        self.scales = {}
        for layer in network['layers']:
            self.layer(layer)

    def layer(self, layer):
        name, kind = layer['name'], layer['type']
        if kind in FILTERS:
            self.filter(layer)
        elif kind == 'Eltwise' and layer.get('operation', 'SUM') == 'SUM':
            self.sum(layer)
        elif kind == 'Softmax':
            self.softmax(layer)
            self.ratio[name], self.top[name] = 1.0, None
        elif kind == 'Sigmoid' and self.top[layer['bottom'][0]] is None:
            self.requantised(layer, self.ratio[layer['bottom'][0]])
            self.ratio[name], self.top[name] = 1.0, layer.get('max', 127)
        elif kind in PASS_ON:
            for of in self.ratio, self.top:
                of[name] = of[layer['bottom'][0]]
        else:
            raise PackError('layer %s: %s is a type that is not converted; '
                            'quantise the float32 network again' % (
                                name, layer.get('operation', kind)))

    def finer_bytes(self, layer):
        """Members scale, zero_point and max."""
        old, top = layer['scale'], layer.get('max', 127)
        if top > 127:
            raise PackError('layer %s: max is %d already' % (layer['name'],
                                                             top))
        layer['scale'] = round16(old * top / TOP)
        layer['max'] = TOP
        if layer.get('zero_point'):
            layer['zero_point'] = round(layer['zero_point'] * TOP / top)
        self.ratio[layer['name']] = layer['scale'] / old
        self.top[layer['name']] = TOP

    def requantised(self, layer, ratio):
        """Tensors multiplier and shift: times ratio."""
        m, s = (self.tensors.get(layer[k]) for k in ('multiplier', 'shift'))
        both = [fraction(float(a) / 2.0 ** int(b) * ratio)
                for a, b in zip(m, s)]
        self.tensors.put(layer['multiplier'], [a for a, _ in both])
        self.tensors.put(layer['shift'], [b for _, b in both])

    def filter(self, layer):
        came, name = self.ratio[layer['bottom'][0]], layer['name']
        if 'bias' in layer:
            self.tensors.put(layer['bias'], np.rint(
                self.tensors.get(layer['bias']) / came))
        if 'scales' in layer:
            old = self.tensors.get(layer['scales'])
            new = [round16(float(s) * came) for s in old]
            self.tensors.put(layer['scales'], new)
            self.scales[name] = float(old[0]), new[0]
            self.ratio[name], self.top[name] = came, None
        else:
            self.finer_bytes(layer)
            self.requantised(layer, came / self.ratio[name])

    def sum(self, layer):
        self.finer_bytes(layer)
        own = self.ratio[layer['name']]
        layer['multiplier'], layer['shift'] = shared_fractions(
            [m / 2.0 ** layer['shift'] * self.ratio[b] / own
             for m, b in zip(layer['multiplier'], layer['bottom'])],
            [self.top[b] for b in layer['bottom']])

    def softmax(self, layer):
        """The table of exp over the differences of sums, which are in smaller
        steps now: in steps about as large as they were, as many entries, the
        last of which is 0."""
        old, unit = self.scales[layer['bottom'][0]]
        if unit == old:
            return
        layer['shift'] += round(math.log2(old / unit))
        step = math.ldexp(unit, layer['shift'])
        middle = (2 ** layer['shift'] - 1) / 2 * unit
        count = len(self.tensors.get(layer['table'])) - 1
        self.tensors.put(layer['table'], [
            round(math.ldexp(math.exp(-i * step - middle), 30))
            for i in range(count)] + [0])


def finer(data):
    """The bytes of the model with activations of 8 bits."""
    tensors = Tensors(data)
    if any(name.startswith(EXAMPLES) for name in tensors.header):
        raise PackError('it remembers features in the steps that they have; '
                        'convert the model that it was trained on')
    network = json.loads(tensors.header['__metadata__']['network'])
    if not integer_form.is_integer(network):
        raise PackError('it is no integer network')
    Finer(tensors, network)
    integer_form.check(network, {
        name: tensors.get(name).tolist()
        for name in integer_form.tensor_forms(network)})
    return rewritten(tensors.bytes(), lambda read: read.update(network))


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__.strip())
    where = '%s: %s: ' % (os.path.basename(sys.argv[0]), sys.argv[1])
    try:
        with open(sys.argv[1], 'rb') as f:
            data = finer(f.read())
    except (PackError, OSError) as e:
        sys.exit(where + str(e))
    except (KeyError, TypeError, ValueError, struct.error) as e:
        sys.exit(where + 'it is not of the form that weights/README.md '
                 'describes (%s: %s)' % (type(e).__name__, e))
    with open(sys.argv[2] + '.new', 'wb') as f:
        f.write(data)
    os.replace(sys.argv[2] + '.new', sys.argv[2])


if __name__ == '__main__':
    main()

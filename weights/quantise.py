#!/usr/bin/env python3
"""Make an integer network of a trained float32 network.

    quantise.py MODEL.safetensors PICTURES.db OUT.safetensors [--images 512]

PICTURES.db has images(id, split, label, image), the images of the split `train`
as large as the network's input; the first ones are the calibration batch.
From Python (with tensors as pack() takes them, pixels uint8 [N, H, W, C]):

    from quantise import quantise
    network, tensors = quantise(network, tensors, pixels)
    pack('out.safetensors', network, tensors)

The result computes as weights/README.md says under "Integer networks".  The
rules, in the order in which they apply; x is a float32 value, q its integer:

 1. The graph is made plain.  A BatchNorm is folded into the convolution or
    inner product before it, unless something else reads that layer or a head
    names it, and is a convolution of each channel for itself otherwise.  So is
    an AVE pooling over the whole plane (its mean is finer than the pixels), and
    the step between a Softmax and a layer that writes no sums.  A convolution
    or inner product that must write sums (4) and is read as bytes as well comes
    twice, as NAME and as NAME.bytes.
 2. The mean of the preprocessing is rounded to the zero point of the input.
    What rounding left goes into the bias of the layers that read it, the scale
    into their weights.  A picture is surrounded by its zero point, so at its
    edges the network differs by that fraction from one padded with 0 after
    preprocessing.  Where another layer than a convolution or inner product
    reads the input, a convolution of each channel for itself stands between.
 3. Scales are rounded to 16 significant bits before anything is computed from
    them.  Bytes are 0 to 127 with one scale and zero point for the layer.  Where
    nothing is negative the zero point is 0: behind ReLU, Sigmoid, sums and so on
    of such, and in a layer that ReLUs alone read, whose negative values are as
    good as 0.  For other layers it divides the range in proportion.  The range
    is the one of the least mean squared error over the calibration batch, among
    the full range and shares of it (ranges()).  Pooling, ReLU, Flatten and
    MirrorMean keep what they read.
 4. Convolutions and inner products read only by Sigmoid and Softmax, those
    that nothing reads, and the latent layers of heads write sums.
 5. Weights are -127 to 127 times a unit for each output channel; what a Softmax
    reads has one unit for all.  The unit is that of the least squared error
    among max|w| / 127 and shares of it.  The sum's unit is the weight's times
    the input's, rounded to 16 bits; the weight's is made to fit.  It is at least
    2^-24 of the layer's largest, at least |bias| / 2^29, and doubled until no
    sum can leave 32 bits.
 6. The bias is rounded to the sum's unit.  Before that, the mean over the
    calibration batch and all positions of what the quantised weights and inputs
    get wrong is taken out of it (correct_bias), layer by layer, each behind the
    quantised layers before it.
 7. From a sum to bytes: unit / scale = M / 2^s with 2^30 <= M < 2^31, M less
    only where s would pass 62.  Eltwise and Concat have multipliers m / 2^s,
    with the largest s that cannot leave 32 bits.
 8. Sigmoid: out of 127 steps.  From sums, a table of 256 values from -128 to
    127 steps of a size that gives the least squared error.  Softmax: exp in
    steps of at most 1/128, 2^30 at 0.  LRN: a table of at most 4096 values.

Fine-tuning that knows of the quantisation passes its own ranges={layer: (low,
high)} of the layers named, weights='max' for plain max|w|, and
correct_bias=False.
"""
import argparse
import math
import sys

import numpy as np

from float_layers import (convolve, flattened, float_layer, logistic, lrn_gain,
                          pooled, squares_around)
from plain_graph import (FILTERS, Graph, fold_norms, fold_preprocessing,
                         part_sums, positive_blobs, widen_means)
from shapes import PackError

STEPS = 127


# Numbers --------------------------------------------------------------------


def round16(x):
    """The nearest number of 16 significant bits."""
    mantissa, exponent = np.frexp(np.asarray(x, np.float64))
    return np.ldexp(np.rint(mantissa * 65536), exponent - 16)


def fraction(ratio):
    """(M, s) with ratio = M / 2^s as exactly as 31 bits say it."""
    mantissa, exponent = math.frexp(ratio)
    s = min(31 - exponent, 62)
    m = round(math.ldexp(ratio, s))
    if m == 1 << 31:
        m, s = m >> 1, s - 1
    if s < 1:
        raise PackError('a ratio of scales is %g, the limit is 2^30' % ratio)
    return m, s


def fractions(ratios):
    pairs = [fraction(float(r)) for r in ratios]
    return tuple(np.array(list(column), np.int32) for column in zip(*pairs))


def shared_fractions(ratios, most):
    """(multipliers, shift): one shift for all bottoms of a layer.  most: the
    largest q - zero_point of each."""
    for s in range(30, 0, -1):
        m = [round(math.ldexp(r, s)) for r in ratios]
        worst = sum(a * b for a, b in zip(m, most)) + (1 << (s - 1))
        if worst < 1 << 31 and max(m) <= 1 << 30:
            return m, s
    raise PackError('the scales of the bottoms of a sum are too far apart')


# Choice of scales -------------------------------------------------------------


def byte_scale(low, high, top=STEPS):
    """(scale, zero point) of bytes that hold low to high."""
    low, high = min(float(low), 0.0), max(float(high), 0.0)
    if low == high:
        return 1.0, 0
    zero = round(-low / (high - low) * top)
    if low < 0:
        zero = min(max(zero, 1), top - 1 if high > 0 else top)
    steps = [high / (top - zero)] if zero < top else []
    steps += [-low / zero] if zero else []
    return float(round16(max(max(steps), 2.0 ** -60))), zero


def best_range(values, positive):
    """The range whose bytes have the least squared error, of many values."""
    values = values.reshape(-1)
    low = 0.0 if positive else min(float(values.min()), 0.0)
    high = max(float(values.max()), 0.0)
    if low == high:
        return low, high
    values = values[::max(1, len(values) >> 22) | 1].astype(np.float64)
    if positive:
        values = np.maximum(values, 0)
    count, edges = np.histogram(values, 4096, (low, high))
    total, _ = np.histogram(values, edges, weights=values)
    seen = count > 0
    count, centre = count[seen], total[seen] / count[seen]
    shares = np.arange(40, 8, -1) / 40
    best = (math.inf, low, high)
    for a in shares if low < 0 else [1.0]:
        for b in shares if high > 0 else [1.0]:
            scale, zero = byte_scale(a * low, b * high)
            q = np.clip(np.rint(centre / scale), -zero, STEPS - zero)
            error = float((count * (q * scale - centre) ** 2).sum())
            best = min(best, (error, a * low, b * high))
    return best[1:]


def weight_units(rows, choice='mse'):
    """The unit of each row of weights, 0 for a row of zeros."""
    most = np.abs(rows).max(axis=1)
    if choice == 'max':
        return most / STEPS
    best = np.full(len(rows), np.inf)
    units = most / STEPS
    for share in np.arange(50, 24, -1) / 50:
        unit = most * share / STEPS
        safe = np.where(unit > 0, unit, 1)[:, None]
        q = np.clip(np.rint(rows / safe), -STEPS, STEPS)
        error = ((q * safe - rows) ** 2).sum(axis=1)
        units = np.where(error < best, unit, units)
        best = np.minimum(error, best)
    return units


# Layers in integers ---------------------------------------------------------------


class Blob:
    """q of the calibration batch (float32: whole numbers), and their meaning;
    zero is of each channel or one for all, unit of each channel for sums."""

    def __init__(self, q, scale, zero, most=STEPS, sums=False):
        self.q, self.scale, self.zero = q, scale, zero
        self.most, self.sums = most, sums

    def value(self):
        return (self.q - np.float32(self.zero)) * np.float32(self.scale)


class Exporter:
    def __init__(self, g, sums, limits, weights, correct_bias):
        self.g, self.sums, self.limits = g, sums, limits
        self.weights, self.correct_bias = weights, correct_bias
        self.positive = positive_blobs(g, sums)
        self.layers, self.tensors = [], {}

    def put(self, layer, member, values, dtype):
        name = '%s.%s' % (layer['name'], member)
        self.tensors[name] = np.ascontiguousarray(values, dtype)
        layer[member] = name

    def emit(self, source, **members):
        layer = {k: source[k] for k in (
            'name', 'type', 'bottom', 'num_output', 'kernel_size', 'stride',
            'pad', 'dilation', 'group', 'pool', 'round_mode',
            'count_include_pad', 'global_pooling', 'local_size') if k in source}
        layer.update(members)
        self.layers.append(layer)
        return layer

    def byte_members(self, layer, value):
        """scale and zero_point of a layer that writes its own bytes."""
        name = layer['name']
        limits = self.limits.get(name)
        if limits is None:
            limits = next((self.limits[r['name']] for r in self.g.readers(name)
                           if r['type'] == 'ReLU' and
                           r['name'] in self.limits and
                           name in self.positive), None)
        if limits is None:
            limits = best_range(value, name in self.positive)
        low, high = limits
        scale, zero = byte_scale(0 if name in self.positive else low, high)
        members = {'scale': scale}
        if zero:
            members['zero_point'] = zero
        return members

    def bytes_of(self, layer, x):
        """The blob of a layer's own bytes, from x in steps of its scale."""
        zero = layer.get('zero_point', 0)
        return Blob(np.clip(zero + np.floor(x + 0.5), 0, STEPS).astype(
            np.float32), layer['scale'], zero)

    def units(self, layer, weight, bias, bottom):
        """The unit of each output channel's sums."""
        rows = weight.reshape(len(weight), -1)
        one = any(r['type'] == 'Softmax' for r in
                  self.g.readers(layer['name']))
        if one:
            unit = np.full(len(rows), weight_units(
                rows.reshape(1, -1), self.weights)[0])
        else:
            unit = weight_units(rows, self.weights)
        unit = unit * bottom.scale
        unit = np.maximum(unit, unit.max() * 2.0 ** -24)
        unit = np.maximum(unit, np.abs(bias) * 2.0 ** -29)
        unit = round16(np.maximum(
            np.where(unit > 0, unit, bottom.scale), 2.0 ** -60))
        zeros = np.broadcast_to(np.reshape(bottom.zero, (-1, 1)), (
            self.g.shapes[layer['bottom'][0]][0], 1))
        groups = layer.get('group', 1)
        while True:
            if one:
                unit[:] = unit.max()
            q = self.rounded(weight, unit, bottom)
            split = q.reshape(groups, len(q) // groups,
                              len(zeros) // groups, -1)
            offset = (split.sum(3) * zeros.reshape(groups, 1, -1)).sum(2)
            worst = np.abs(bias / unit - offset.reshape(-1)) + bottom.most * (
                np.abs(q).reshape(len(q), -1).sum(1))
            # The bias may still move by its correction.
            if worst.max() < 2.0 ** 31 - 2.0 ** 28:
                return unit, q
            unit = np.where(worst < 2.0 ** 31 - 2.0 ** 28, unit, unit * 2)

    @staticmethod
    def rounded(weight, unit, bottom):
        each = (unit / bottom.scale).reshape([-1] + [1] * (weight.ndim - 1))
        return np.clip(np.rint(weight / each), -STEPS, STEPS)

    def filter(self, source, bottom, target):
        name = source['name']
        weight, bias = self.g.values[name]
        unit, q = self.units(source, weight, bias, bottom)
        sums = convolve(source, bottom.q - np.float32(bottom.zero),
                        q.astype(np.float32), self.g.shapes[name])
        if self.correct_bias:
            wrong = (sums * np.float32(unit)).mean((0, 1, 2), np.float64) + (
                bias - target.mean((0, 1, 2), np.float64))
            limit = unit * 2.0 ** 27
            bias = bias - np.clip(wrong, -limit, limit)
        bias = np.rint(bias / unit)
        sums += bias.astype(np.float32)
        layer = self.emit(source)
        self.put(layer, 'weight', q, np.int8)
        self.put(layer, 'bias', bias, np.int32)
        if name in self.sums:
            self.put(layer, 'scales', unit, np.float32)
            return Blob(sums, unit, 0, None, True)
        layer.update(self.byte_members(source, target))
        m, s = fractions(unit / layer['scale'])
        self.put(layer, 'multiplier', m, np.int32)
        self.put(layer, 'shift', s, np.int32)
        sums *= np.float32(unit / layer['scale'])
        return self.bytes_of(layer, sums)

    def mix(self, source, bottoms, target):
        """Eltwise and Concat."""
        layer = self.emit(source, **self.byte_members(source, target))
        layer['multiplier'], layer['shift'] = shared_fractions(
            [b.scale / layer['scale'] for b in bottoms],
            [b.most for b in bottoms])
        parts = [(b.q - np.float32(b.zero)) * np.float32(
            math.ldexp(m, -layer['shift']))
            for m, b in zip(layer['multiplier'], bottoms)]
        return self.bytes_of(layer, sum(parts[1:], parts[0])
                             if source['type'] == 'Eltwise'
                             else np.concatenate(parts, 3))

    def sigmoid(self, source, bottom, before, target):
        scale = float(round16(1 / STEPS))
        layer = self.emit(source, scale=scale)
        at = np.arange(256)
        if bottom.sums:
            step = self.sigmoid_step(before, target)
            m, s = fractions(bottom.scale / step)
            self.put(layer, 'multiplier', m, np.int32)
            self.put(layer, 'shift', s, np.int32)
            x = (at - 128) * step
            index = np.clip(128 + np.floor(
                bottom.q * np.float32(bottom.scale / step) + 0.5), 0, 255)
        else:
            x = (np.minimum(at, bottom.most) - bottom.zero) * bottom.scale
            index = bottom.q
        table = np.clip(np.rint(logistic(x) / scale), 0, STEPS)
        self.put(layer, 'table', table, np.uint8)
        return Blob(table.astype(np.float32)[index.astype(np.int64)], scale, 0)

    @staticmethod
    def sigmoid_step(before, target):
        best = (math.inf, 1 / 16)
        for step in np.arange(8, 49) / 512:
            x = np.clip(np.rint(before / np.float32(step)), -128, 127) * step
            y = np.rint(logistic(x) * STEPS) / STEPS
            error = float(((y - target) ** 2).mean(dtype=np.float64))
            best = min(best, (error, float(step)))
        return best[1]

    def softmax(self, source, bottom):
        unit = float(bottom.scale[0])
        shift = 0
        while shift < 30 and unit * 2 ** (shift + 1) <= 1 / 128:
            shift += 1
        step = unit * 2 ** shift
        n = int(min(max(math.ceil(22 / step), 1), 65535))
        middle = (2 ** shift - 1) / 2 * unit
        table = np.rint(np.exp(-np.arange(n) * step - middle) * 2 ** 30)
        # A last entry of 0, which is what everything further down gets.
        layer = self.emit(source, shift=shift)
        self.put(layer, 'table', np.append(table, 0), np.int32)
        x = bottom.q.astype(np.float64) * unit
        e = np.exp(x - x.max(axis=3, keepdims=True))
        return Blob(np.rint(e / e.sum(axis=3, keepdims=True) * 2 ** 24),
                    np.full(x.shape[3], 2.0 ** -24), 0, None, True)

    def lrn(self, source, bottom, target):
        layer = self.emit(source, **self.byte_members(source, target))
        most = source['local_size'] * bottom.most ** 2
        shift = max(0, (most >> 12).bit_length())
        n = (most >> shift) + 1
        middle = (np.arange(n) * 2.0 ** shift + (2 ** shift - 1) / 2)
        gain = lrn_gain(source, middle * bottom.scale ** 2) * (
            bottom.scale / layer['scale'])
        s = min(fraction(float(gain.max()))[1], 62)
        table = np.minimum(np.rint(np.ldexp(gain, s)), 2.0 ** 31 - 1)
        layer['sum_shift'], layer['shift'] = shift, s
        self.put(layer, 'table', table, np.int32)
        x = bottom.q - np.float32(bottom.zero)
        squares = squares_around(source, x).astype(np.int64) >> shift
        return self.bytes_of(layer, x * np.ldexp(table, -s).astype(
            np.float32)[squares])

    def passed(self, source, bottom):
        """Layers that write bytes like those that they read."""
        self.emit(source)
        q, zero = bottom.q, bottom.zero
        kind = source['type']
        if kind == 'ReLU':
            q = np.maximum(q, np.float32(zero))
        elif kind == 'Flatten':
            q = flattened(q)
        elif kind == 'MirrorMean':
            half = len(q) // 2
            q = np.floor((q[:half] + q[half:] + 1) / 2)
        else:
            shape = self.g.shapes[source['name']]
            q = pooled(source, q - np.float32(zero), shape)
            q = np.floor(q + np.float32(0.5)) + np.float32(zero)
        return Blob(q, bottom.scale, zero, bottom.most)

    def layer(self, source, bottoms, before, target):
        kind = source['type']
        if kind in FILTERS:
            return self.filter(source, bottoms[0], target)
        if kind in ('Eltwise', 'Concat'):
            return self.mix(source, bottoms, target)
        if kind == 'Sigmoid':
            return self.sigmoid(source, bottoms[0], before, target)
        if kind == 'Softmax':
            return self.softmax(source, bottoms[0])
        if kind == 'LRN':
            return self.lrn(source, bottoms[0], target)
        return self.passed(source, bottoms[0])


# The whole --------------------------------------------------------------------------


def check_network(network, pixels):
    known = FILTERS + ('BatchNorm', 'ReLU', 'Pooling', 'Eltwise', 'Concat',
                       'Flatten', 'LRN', 'Sigmoid', 'Softmax', 'MirrorMean')
    for layer in network['layers']:
        if layer['type'] not in known:
            raise PackError('layer %s: there is no integer form of %s' % (
                layer['name'], layer['type']))
    source = network['input']
    if 'zero_point' in source:
        raise PackError('the network is an integer network already')
    shape = (source['height'], source['width'], source['channels'])
    if pixels.dtype != np.uint8 or pixels.shape[1:] != shape or not len(pixels):
        raise PackError('the calibration batch is %s %s, the network wants '
                        'uint8 [N, %d, %d, %d]' % (
                            (pixels.dtype, list(pixels.shape)) + shape))


def prepared(network, tensors, pixels):
    """(graph, layers that write sums, zero points, calibration batch)."""
    check_network(network, pixels)
    g = Graph(network, tensors)
    fold_norms(g)
    widen_means(g)
    zero = fold_preprocessing(g)
    sums = part_sums(g)
    if network.get('preprocess', {}).get('order', 'RGB') == 'BGR':
        pixels = pixels[..., ::-1]
    if any(r['type'] == 'MirrorMean' for r in g.layers):
        pixels = np.concatenate([pixels, pixels[:, :, ::-1]])
    return g, sums, zero, pixels


def forward(g, x):
    """(layer, its inputs, its output) one after the other; x: the input, less
    its zero point.  A blob is dropped when its last reader has had it."""
    blobs = {g.input: x}
    last = {b: i for i, layer in enumerate(g.layers) for b in layer['bottom']}
    for i, layer in enumerate(g.layers):
        ins = [blobs[b] for b in layer['bottom']]
        out = float_layer(g, layer, ins)
        yield layer, ins, out
        blobs[layer['name']] = out
        for name in [b for b in blobs if last.get(b, -1) <= i]:
            del blobs[name]


def ranges(network, tensors, pixels):
    """{layer: (low, high)}: what quantise() would choose for those layers that
    have a scale of their own, from the float32 network alone."""
    g, sums, zero, pixels = prepared(network, tensors, pixels)
    positive = positive_blobs(g, sums)
    x = pixels.astype(np.float32) - np.float32(zero)
    return {layer['name']: best_range(out, layer['name'] in positive)
            for layer, _, out in forward(g, x)
            if layer['type'] in ('Eltwise', 'Concat', 'LRN') or
            layer['name'] in g.values and layer['name'] not in sums}


def quantise(network, tensors, pixels, ranges=None, weights='mse',
             correct_bias=True, log=None):
    """(network, tensors) of the integer network; see the top of this file."""
    g, sums, zero, pixels = prepared(network, tensors, pixels)
    exporter = Exporter(g, sums, ranges or {}, weights, correct_bias)
    pixels = pixels.astype(np.float32)
    blobs = {g.input: Blob(pixels, 1.0, zero, 255)}
    last = {b: i for i, layer in enumerate(g.layers) for b in layer['bottom']}
    steps = forward(g, pixels - np.float32(zero))
    for i, (layer, before, target) in enumerate(steps):
        blob = exporter.layer(layer, [blobs[b] for b in layer['bottom']],
                              before[0], target)
        blobs[layer['name']] = blob
        if log:
            log(line(layer, blob, np.maximum(target, 0) if layer['name'] in
                     exporter.positive else target))
        for name in [b for b in blobs if last.get(b, -1) <= i]:
            del blobs[name]
    out = dict(network, input=dict(network['input'], zero_point=zero),
               layers=exporter.layers)
    if 'preprocess' in out:
        out['preprocess'] = {k: v for k, v in out['preprocess'].items()
                             if k not in ('mean', 'scale')}
    return out, exporter.tensors


def line(layer, blob, target):
    """What a layer lost, in dB of its own variance."""
    target = target[::max(1, len(target) // 64)]
    value = Blob(blob.q[::max(1, len(blob.q) // 64)], blob.scale,
                 blob.zero).value()
    noise = float(((value - target) ** 2).mean(dtype=np.float64))
    power = float(target.var(dtype=np.float64))
    return '%-20s %-12s scale %-12s %5.1f dB' % (
        layer['name'], layer['type'],
        'of channels' if blob.sums else '%.6g' % blob.scale,
        10 * math.log10(power / noise) if noise and power else 99)


# Command line -------------------------------------------------------------------------


def widened(network, tensors):
    """Tensors of a file as float32: I8 with its scales multiplied out."""
    out = {}
    for name, values in tensors.items():
        if values.dtype == np.int8 and name + '.scale' in tensors:
            scale = tensors[name + '.scale']
            values = values.astype(np.float32) * scale.reshape(
                [-1] + [1] * (values.ndim - 1))
        out[name] = values
    return out


def read_pictures(path, images, split='train'):
    import io
    import sqlite3

    from PIL import Image
    db = sqlite3.connect('file:%s?mode=ro' % path, uri=True)
    rows = db.execute('SELECT image FROM images WHERE split = ? ORDER BY id '
                      'LIMIT ?', (split, images))
    return np.stack([np.asarray(Image.open(io.BytesIO(r[0])).convert('RGB'))
                     for r in rows])


def main():
    from integer_reference import load
    from pack import pack
    p = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    p.add_argument('model')
    p.add_argument('pictures')
    p.add_argument('out')
    p.add_argument('--images', type=int, default=512)
    args = p.parse_args()
    try:
        network, tensors = load(args.model)
        network, tensors = quantise(network, widened(network, tensors),
                                    read_pictures(args.pictures, args.images),
                                    log=print)
        size = pack(args.out, network, tensors)
    except PackError as e:
        sys.exit('quantise.py: %s' % e)
    print('%s: %d bytes' % (args.out, size))


if __name__ == '__main__':
    main()

#!/usr/bin/env python3
"""Run an integer network in numpy's integers, as its definition reads.

    integer_reference.py MODEL.safetensors [BLOB] <PIXELS >NUMBERS

PIXELS are float32, N x C x H x W, whole numbers from 0 to 255; NUMBERS are
float32 too, those of the named layer, the last one's when none is named.  That
is how build/binhash-run reads and writes, and every byte must be the same.

This is the section "Integer networks" of weights/README.md and nothing else: it
shares no code with what makes such networks (binhash-import) or checks them
(integer_form.py), and trusts the file that it reads.  Sums of products are
taken in float64, which is exact below 2^53, all else in int64.  From Python:

    network, tensors = load(path)
    q, zero, scale = run(network, tensors, pixels, blob)    # uint8 N, C, H, W
    numbers(q, zero, scale), q > zero                       # values and bits
"""
import json
import struct
import sys

import numpy as np

DTYPES = {'F32': '<f4', 'F64': '<f8', 'I8': 'i1', 'U8': 'u1', 'I16': '<i2',
          'I32': '<i4', 'I64': '<i8'}
IMAGES = 32   # at a time


def load(path):
    """(network, {name: array}) of a safetensors file of ours."""
    with open(path, 'rb') as f:
        data = f.read()
    n, = struct.unpack_from('<Q', data)
    header = json.loads(data[8:8 + n])
    network = json.loads(header.pop('__metadata__')['network'])
    tensors = {}
    for name, t in header.items():
        if t['dtype'] in DTYPES:
            begin, end = (8 + n + at for at in t['data_offsets'])
            tensors[name] = np.frombuffer(
                data[begin:end], DTYPES[t['dtype']]).reshape(t['shape'])
    return network, tensors


# A blob is (q, zero, scale): q int64 [N, C, H, W], zero int64 [C, 1, 1], scale
# a number, or float64 [C, 1, 1] of sums.


def requantise(a, m, s):
    """floor((a * m + 2^(s-1)) / 2^s); a * m is less than 2^62."""
    m, s = np.asarray(m, np.int64), np.asarray(s, np.int64)
    return (a * m + (np.int64(1) << (s - 1))) >> s


def column(values):
    return np.asarray(values).astype(np.int64).reshape(-1, 1, 1)


def as_bytes(layer, values):
    """Clamped to the layer's own kind of bytes; values without zero point."""
    zero = layer.get('zero_point', 0)
    q = np.clip(zero + values, 0, layer.get('max', 127))
    return q, np.full((q.shape[1], 1, 1), zero), layer['scale']


def convolution_sums(layer, weight, x):
    """Sums of weight * x over the window; x is 0 outside the image."""
    (kh, kw), (sh, sw) = layer['kernel_size'], layer.get('stride', [1, 1])
    dh, dw = layer.get('dilation', [1, 1])
    top, left, bottom, right = layer.get('pad', [0, 0, 0, 0])
    x = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    h = (x.shape[2] - dh * (kh - 1) - 1) // sh + 1
    w = (x.shape[3] - dw * (kw - 1) - 1) // sw + 1
    groups = layer.get('group', 1)
    per = weight.shape[0] // groups
    n, width = len(x), weight.shape[1]
    out = np.zeros((n, weight.shape[0], h, w))
    for g in range(groups):
        # [kh, kw, outputs, channels], so that each tap is a matrix in one piece
        taps = np.ascontiguousarray(weight[g * per:(g + 1) * per].transpose(
            2, 3, 0, 1), np.float64)
        part = x[:, g * width:(g + 1) * width].astype(np.float64)
        for ky in range(kh):
            for kx in range(kw):
                y0, x0 = ky * dh, kx * dw
                seen = part[:, :, y0:y0 + sh * (h - 1) + 1:sh,
                            x0:x0 + sw * (w - 1) + 1:sw]
                out[:, g * per:(g + 1) * per] += np.matmul(
                    taps[ky, kx],
                    seen.reshape(n, width, h * w)).reshape(n, per, h, w)
    return out.astype(np.int64)


def filtered(layer, tensors, blob):
    """Convolution and InnerProduct."""
    q, zero, _ = blob
    x = q - zero
    weight = tensors[layer['weight']]
    if layer['type'] == 'InnerProduct':
        acc = np.matmul(x.reshape(len(x), -1).astype(np.float64),
                        weight.T.astype(np.float64)).astype(np.int64)
        acc = acc[:, :, None, None]
    else:
        acc = convolution_sums(layer, weight, x)
    if 'bias' in layer:
        acc = acc + column(tensors[layer['bias']])
    assert np.abs(acc).max(initial=0) < 2 ** 31
    if 'scales' in layer:
        scales = tensors[layer['scales']].astype(np.float64).reshape(-1, 1, 1)
        return acc, np.zeros((acc.shape[1], 1, 1), np.int64), scales
    return as_bytes(layer, requantise(acc, column(tensors[
        layer['multiplier']]), column(tensors[layer['shift']])))


def pool_windows(size, kernel, stride, before, after, ceil):
    room = size + before + after - kernel
    n = (-(-room // stride) if ceil else room // stride) + 1
    if ceil and (n - 1) * stride >= size + before:
        n -= 1
    return n


def pooling(layer, blob):
    q, zero, scale = blob
    h, w = q.shape[2:]
    if layer.get('global_pooling'):
        layer = {'pool': layer['pool'], 'kernel_size': [h, w]}
    kernel, stride = layer['kernel_size'], layer.get('stride', [1, 1])
    pad = layer.get('pad', [0, 0, 0, 0])
    ceil = layer.get('round_mode', 'CEIL') == 'CEIL'
    rows, columns = (
        pool_windows(size, kernel[i], stride[i], pad[i], pad[i + 2], ceil)
        for i, size in enumerate((h, w)))
    out = np.empty(q.shape[:2] + (rows, columns), np.int64)
    for i in range(rows):
        for j in range(columns):
            y, x = i * stride[0] - pad[0], j * stride[1] - pad[1]
            y1 = min(y + kernel[0], h + pad[2])
            x1 = min(x + kernel[1], w + pad[3])
            seen = q[:, :, max(y, 0):min(y1, h), max(x, 0):min(x1, w)]
            if layer['pool'] == 'MAX':
                out[:, :, i, j] = seen.max((2, 3))
                continue
            d = (y1 - y) * (x1 - x)
            if not layer.get('count_include_pad', True):
                d = seen.shape[2] * seen.shape[3]
            total = (seen - zero).sum((2, 3))
            out[:, :, i, j] = zero[:, 0, 0] + (2 * total + d) // (2 * d)
    return out, zero, scale


def mixed(layer, blobs):
    """Eltwise and Concat."""
    parts = [m * (q - zero)
             for m, (q, zero, _) in zip(layer['multiplier'], blobs)]
    values = (sum(parts) if layer['type'] == 'Eltwise'
              else np.concatenate(parts, 1))
    return as_bytes(layer, requantise(values, 1, layer['shift']))


def sigmoid(layer, tensors, blob):
    q = blob[0]
    if 'multiplier' in layer:
        q = np.clip(128 + requantise(q, column(tensors[layer['multiplier']]),
                                     column(tensors[layer['shift']])), 0, 255)
    q = tensors[layer['table']].astype(np.int64)[q]
    zero = layer.get('zero_point', 0)
    return q, np.full((q.shape[1], 1, 1), zero), layer['scale']


def lrn(layer, tensors, blob):
    x = blob[0] - blob[1]
    around = layer['local_size'] // 2
    squares = np.pad(x * x, ((0, 0), (around, around), (0, 0), (0, 0)))
    total = sum(squares[:, i:i + x.shape[1]] for i in range(2 * around + 1))
    table = tensors[layer['table']].astype(np.int64)
    m = table[np.minimum(total >> layer['sum_shift'], len(table) - 1)]
    return as_bytes(layer, requantise(x, m, layer['shift']))


def softmax(layer, tensors, blob):
    q = blob[0]
    table = tensors[layer['table']].astype(np.int64)
    behind = (q.max(1, keepdims=True) - q) >> layer['shift']
    e = table[np.minimum(behind, len(table) - 1)]
    total = e.sum(1, keepdims=True)
    out = ((e << 24) + total // 2) // total
    return (out, np.zeros((q.shape[1], 1, 1), np.int64),
            np.full((q.shape[1], 1, 1), 2.0 ** -24))


def flatten(blob):
    q, zero, scale = blob
    flat = q.reshape(len(q), -1, 1, 1)
    zero = np.repeat(zero.reshape(-1), q.shape[2] * q.shape[3])
    return flat, zero.reshape(-1, 1, 1), scale


def sliced(layer, blob):
    q, zero, scale = blob
    part = [slice(None)] * 4
    part[layer.get('axis', 1)] = slice(layer['begin'], layer['end'])
    return q[tuple(part)], zero.reshape(-1)[:1].reshape(1, 1, 1), scale


def computed(layer, tensors, blobs):
    kind, first = layer['type'], blobs[0]
    if kind in ('Convolution', 'InnerProduct'):
        return filtered(layer, tensors, first)
    if kind == 'Pooling':
        return pooling(layer, first)
    if kind == 'ReLU':
        return (np.maximum(first[0], first[1]),) + first[1:]
    if kind == 'Flatten':
        return flatten(first)
    if kind == 'Slice':
        return sliced(layer, first)
    if kind in ('Eltwise', 'Concat'):
        return mixed(layer, blobs)
    if kind == 'Sigmoid':
        return sigmoid(layer, tensors, first)
    if kind == 'LRN':
        return lrn(layer, tensors, first)
    if kind == 'Softmax':
        return softmax(layer, tensors, first)
    raise ValueError('layer %s: %s is no layer of an integer network' % (
        layer['name'], kind))


def ancestors(network, want):
    """The layers that a blob depends on, and its own."""
    needed, layers = {want}, []
    for layer in reversed(network['layers']):
        if layer['name'] in needed:
            needed.update(layer['bottom'])
            layers.insert(0, layer)
    return layers


def forward(network, tensors, pixels, want):
    """The blob `want` of a few images."""
    source = network['input']
    blobs = {source['name']: (pixels.astype(np.int64),
                              column(source['zero_point']), 1.0)}
    for layer in ancestors(network, want):
        if layer['type'] == 'MirrorMean':
            q, zero, scale = blobs[layer['bottom'][0]]
            mirrored, _, _ = forward(network, tensors, pixels[..., ::-1],
                                     layer['bottom'][0])
            out = ((q + mirrored + 1) >> 1, zero, scale)
        else:
            out = computed(layer, tensors, [blobs[b] for b in layer['bottom']])
        blobs[layer['name']] = out
    if want not in blobs:
        raise ValueError('there is no layer %s' % want)
    return blobs[want]


def run(network, tensors, pixels, blob=None):
    """(q, zero, scale) of a blob, by default the last, for any number of
    images, uint8 N, C, H, W."""
    if 'zero_point' not in network['input']:
        raise ValueError('this is no integer network')
    blob = blob or network['layers'][-1]['name']
    parts = [forward(network, tensors, pixels[i:i + IMAGES], blob)
             for i in range(0, len(pixels), IMAGES)]
    return (np.concatenate([p[0] for p in parts]),) + parts[0][1:]


def numbers(q, zero, scale):
    """What q stands for: exact in float64, rounded once to float32."""
    return ((q - zero) * scale).astype(np.float32)


def main(args):
    if len(args) not in (1, 2) or args[0].startswith('-'):
        sys.stderr.write(__doc__.split('\n\n')[1] + '\n')
        return 2
    try:
        network, tensors = load(args[0])
        shape = [network['input'][m] for m in ('channels', 'height', 'width')]
        values = np.frombuffer(sys.stdin.buffer.read(), '<f4')
        pixels = values.reshape([-1] + shape).astype(np.uint8)
        if not len(pixels) or np.any(pixels.ravel() != values):
            raise ValueError('the input is not whole numbers from 0 to 255')
        q = numbers(*run(network, tensors, pixels, *args[1:]))
    except (OSError, ValueError, KeyError, struct.error) as e:
        sys.stderr.write('integer_reference.py: %s: %s\n' % (args[0], e))
        return 1
    sys.stdout.buffer.write(q.astype('<f4').tobytes())
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))

"""Networks of Caffe for tests: drawn, written in every form, and computed.

A network is a list of Layer.  prototxt() writes it in one of the three
generations of the format, caffemodel() its weights in one of three, and
forward() computes it with numpy in float64 as Caffe defines it, layer by layer.
Protocol buffers are written by hand: a dozen lines, and no file of Caffe's.
"""
import numpy as np

V0, V1, V2 = 'V0', 'V1', 'V2'

V0_TYPES = {'Convolution': 'conv', 'Pooling': 'pool', 'ReLU': 'relu',
            'LRN': 'lrn', 'InnerProduct': 'innerproduct',
            'Sigmoid': 'sigmoid', 'TanH': 'tanh', 'Softmax': 'softmax',
            'SoftmaxWithLoss': 'softmax_loss', 'Dropout': 'dropout',
            'Concat': 'concat', 'Flatten': 'flatten'}
V1_TYPES = {'Convolution': 4, 'Pooling': 17, 'ReLU': 18, 'LRN': 15,
            'InnerProduct': 14, 'Sigmoid': 19, 'TanH': 23, 'Softmax': 20,
            'SoftmaxWithLoss': 21, 'Dropout': 6, 'Concat': 3, 'Flatten': 8,
            'Eltwise': 25, 'Power': 26, 'Slice': 33, 'Split': 22}
V1_NAMES = {4: 'CONVOLUTION', 17: 'POOLING', 18: 'RELU', 15: 'LRN',
            14: 'INNER_PRODUCT', 19: 'SIGMOID', 23: 'TANH', 20: 'SOFTMAX',
            21: 'SOFTMAX_LOSS', 6: 'DROPOUT', 3: 'CONCAT', 8: 'FLATTEN',
            25: 'ELTWISE', 26: 'POWER', 33: 'SLICE', 22: 'SPLIT'}
PARAMS = {'Convolution': 'convolution_param', 'Pooling': 'pooling_param',
          'ReLU': 'relu_param', 'LRN': 'lrn_param',
          'InnerProduct': 'inner_product_param', 'Concat': 'concat_param',
          'Eltwise': 'eltwise_param', 'Power': 'power_param',
          'Slice': 'slice_param', 'BatchNorm': 'batch_norm_param',
          'Scale': 'scale_param', 'Reshape': 'reshape_param',
          'Softmax': 'softmax_param', 'Flatten': 'flatten_param'}
# The names that V0 has for what later stands in a message of its own.
V0_KEYS = {'kernel_size': 'kernelsize', 'bias_term': 'biasterm',
           'axis': 'concat_dim'}


class Layer:
    """A layer; tops default to its name.  p: parameters, of lists or values;
    blobs: arrays."""

    def __init__(self, kind, name, bottoms, tops=None, blobs=(), **p):
        self.kind, self.name, self.p = kind, name, p
        self.bottoms = [bottoms] if isinstance(bottoms, str) else bottoms
        self.tops = [tops] if isinstance(tops, str) else tops or [name]
        self.blobs = [np.asarray(b, np.float32) for b in blobs]


# Text ------------------------------------------------------------------------


def quoted(value):
    enums = ('MAX', 'AVE', 'SUM', 'PROD', 'CEIL', 'FLOOR', 'STOCHASTIC',
             'WITHIN_CHANNEL', 'ACROSS_CHANNELS')
    if isinstance(value, bool):
        return 'true' if value else 'false'
    if isinstance(value, str):
        return value if value in enums or value[:1] == '{' else '"%s"' % value
    return repr(value)


def fields(p, rename=None):
    out = []
    for key, value in p.items():
        key = (rename or {}).get(key, key)
        for v in value if isinstance(value, (list, tuple)) else [value]:
            text = quoted(v)
            out.append('%s %s' % (key, text) if text[:1] == '{' else
                       '%s: %s' % (key, text))
    return out


def blob_names(layer):
    return (['bottom: "%s"' % b for b in layer.bottoms] +
            ['top: "%s"' % t for t in layer.tops])


def text_of(layer, generation):
    head = ['name: "%s"' % layer.name]
    if generation == V0:
        inner = head + ['type: "%s"' % V0_TYPES[layer.kind]] + fields(
            layer.p, V0_KEYS)
        return 'layers {\n  layer {\n    %s\n  }\n  %s\n}\n' % (
            '\n    '.join(inner), '\n  '.join(blob_names(layer)))
    if generation == V1:
        head.append('type: %s' % V1_NAMES[V1_TYPES[layer.kind]])
    else:
        head.append('type: "%s"' % layer.kind)
    if layer.p:
        head.append('%s { %s }' % (PARAMS[layer.kind],
                                   ' '.join(fields(layer.p))))
    return '%s {\n  %s\n}\n' % ('layers' if generation == V1 else 'layer',
                                '\n  '.join(head + blob_names(layer)))


def deploy(shape):
    return 'input: "data"\n' + ''.join(
        'input_dim: %d\n' % n for n in (1,) + tuple(shape))


def prototxt(layers, generation, head):
    return 'name: "drawn"\n' + head + ''.join(
        text_of(layer, generation) for layer in layers)


# Wire ------------------------------------------------------------------------


def varint(n):
    out = b''
    n &= (1 << 64) - 1
    while n > 0x7f:
        out += bytes([n & 0x7f | 0x80])
        n >>= 7
    return out + bytes([n])


def number(field, n):
    return varint(field << 3) + varint(n)


def piece(field, data):
    return varint(field << 3 | 2) + varint(len(data)) + data


def blob(array, legacy, double=False, packed=True):
    array = np.ascontiguousarray(array)
    data = array.astype('<f8' if double else '<f4')
    if packed:
        values = piece(8 if double else 5, data.tobytes())
    else:
        key = varint(8 << 3 | 1) if double else varint(5 << 3 | 5)
        size = data.itemsize
        raw = data.tobytes()
        values = b''.join(key + raw[i:i + size]
                          for i in range(0, len(raw), size))
    if not legacy:
        shape = piece(1, b''.join(varint(n) for n in array.shape))
        return piece(7, shape) + values
    sides = (1,) * (4 - array.ndim) + array.shape
    return b''.join(number(i + 1, n) for i, n in enumerate(sides)) + values


def caffemodel(layers, generation, **how):
    legacy = how.pop('legacy', generation != V2)
    out = piece(1, b'drawn')
    for layer in layers:
        blobs = [blob(b, legacy, **how) for b in layer.blobs]
        name = layer.name.encode()
        if generation == V0:
            inner = piece(1, name) + piece(2, V0_TYPES[layer.kind].encode())
            inner += b''.join(piece(50, b) for b in blobs)
            out += piece(2, piece(1, inner))
        elif generation == V1:
            out += piece(2, piece(4, name) +
                         number(5, V1_TYPES[layer.kind]) +
                         b''.join(piece(6, b) for b in blobs))
        else:
            out += piece(100, piece(1, name) + piece(2, layer.kind.encode()) +
                         b''.join(piece(7, b) for b in blobs))
    return out


def binaryproto(array):
    return blob(array, True)


# Numbers ---------------------------------------------------------------------


def pair(p, key, default):
    value = p.get(key, default)
    value = list(value) if isinstance(value, (list, tuple)) else [value]
    short = 'kernel' if key == 'kernel_size' else key
    h, w = p.get(short + '_h'), p.get(short + '_w')
    return (value[0] if h is None else h, value[-1] if w is None else w)


def convolution(x, layer):
    p, w = layer.p, layer.blobs[0].astype(np.float64)
    (kh, kw), (sh, sw) = pair(p, 'kernel_size', 0), pair(p, 'stride', 1)
    (ph, pw), (dh, dw) = pair(p, 'pad', 0), pair(p, 'dilation', 1)
    group, outputs = p.get('group', 1), p['num_output']
    x = np.pad(x, ((0, 0), (ph, ph), (pw, pw)))
    h = (x.shape[1] - (dh * (kh - 1) + 1)) // sh + 1
    width = (x.shape[2] - (dw * (kw - 1) + 1)) // sw + 1
    out = np.zeros((outputs, h, width))
    per_in, per_out = x.shape[0] // group, outputs // group
    for o in range(outputs):
        first = o // per_out * per_in
        for c in range(per_in):
            for i in range(kh):
                for j in range(kw):
                    seen = x[first + c, i * dh:i * dh + (h - 1) * sh + 1:sh,
                             j * dw:j * dw + (width - 1) * sw + 1:sw]
                    out[o] += w[o, c, i, j] * seen
        if p.get('bias_term', True):
            out[o] += layer.blobs[1][o]
    return out


def pooling(x, layer):
    p = layer.p
    if p.get('global_pooling'):
        whole = x.reshape(x.shape[0], -1)
        out = whole.max(1) if p.get('pool', 'MAX') == 'MAX' else whole.mean(1)
        return out.reshape(-1, 1, 1)
    kernel, stride = pair(p, 'kernel_size', 0), pair(p, 'stride', 1)
    pad = pair(p, 'pad', 0)
    floors = p.get('round_mode', 'CEIL') == 'FLOOR'
    sides = []
    for i in range(2):
        room = x.shape[1 + i] + 2 * pad[i] - kernel[i]
        n = (room if floors else room + stride[i] - 1) // stride[i] + 1
        if not floors and any(pad) and (
                (n - 1) * stride[i] >= x.shape[1 + i] + pad[i]):
            n -= 1
        sides.append(n)
    out = np.zeros([x.shape[0]] + sides)
    for y in range(sides[0]):
        for z in range(sides[1]):
            low = [y * stride[0] - pad[0], z * stride[1] - pad[1]]
            high = [min(low[i] + kernel[i], x.shape[1 + i] + pad[i])
                    for i in range(2)]
            size = (high[0] - low[0]) * (high[1] - low[1])
            part = x[:, max(low[0], 0):min(high[0], x.shape[1]),
                     max(low[1], 0):min(high[1], x.shape[2])]
            if p.get('pool', 'MAX') == 'MAX':
                out[:, y, z] = part.max((1, 2))
            else:
                out[:, y, z] = part.sum((1, 2)) / size
    return out


def lrn(x, layer):
    n, k = layer.p.get('local_size', 5), layer.p.get('k', 1.0)
    alpha, beta = layer.p.get('alpha', 1.0), layer.p.get('beta', 0.75)
    out = np.zeros_like(x)
    for c in range(x.shape[0]):
        near = x[max(0, c - n // 2):c + n // 2 + 1]
        out[c] = x[c] / (k + alpha / n * (near ** 2).sum(0)) ** beta
    return out


def inner_product(x, layer):
    w = layer.blobs[0].astype(np.float64)
    if layer.p.get('transpose'):
        w = w.T
    out = w.reshape(layer.p['num_output'], -1) @ x.reshape(-1)
    if layer.p.get('bias_term', True):
        out = out + layer.blobs[1]
    return out.reshape(-1, 1, 1)


def eltwise(xs, layer):
    kind = layer.p.get('operation', 'SUM')
    if kind == 'PROD':
        return np.prod(xs, axis=0)
    if kind == 'MAX':
        return np.max(xs, axis=0)
    return sum(c * x for c, x in zip(
        layer.p.get('coeff', [1.0] * len(xs)), xs))


def batch_norm(x, layer):
    mean, variance, factor = (b.astype(np.float64) for b in layer.blobs)
    by = 0 if factor[0] == 0 else 1 / factor[0]
    eps = np.float32(layer.p.get('eps', 1e-5))
    return ((x - (mean * by)[:, None, None]) /
            np.sqrt((variance * by)[:, None, None] + eps))


def scale(xs, layer):
    if len(xs) == 2:
        return xs[0] * xs[1]
    out = xs[0] * layer.blobs[0][:, None, None]
    return out + layer.blobs[1][:, None, None] if layer.p.get(
        'bias_term') else out


def reshape(x, layer):
    dims = [int(d) for d in layer.p['shape'].replace('{', '').replace(
        '}', '').replace('dim:', '').split()][1:]
    dims = [x.shape[i] if d == 0 else d for i, d in enumerate(dims)]
    out = x.reshape(dims)
    return out.reshape(out.shape + (1,) * (3 - out.ndim))


def softmax(x):
    e = np.exp(x - x.max(0))
    return e / e.sum(0)


def split(x, layer):
    axis = layer.p.get('axis', 1) - 1
    points = layer.p.get('slice_point', [])
    points = points if isinstance(points, list) else [points]
    return np.split(x, points or len(layer.tops), axis)


def forward(layers, x):
    """{layer: its output} and {blob: what it holds in the end}."""
    blobs, out = {'data': x.astype(np.float64)}, {}
    for layer in layers:
        xs = [blobs[b] for b in layer.bottoms if b != 'label']
        kind, p = layer.kind, layer.p
        if kind == 'Slice':
            for top, part in zip(layer.tops, split(xs[0], layer)):
                out[top] = blobs[top] = part
            continue
        y = {'Convolution': lambda: convolution(xs[0], layer),
             'Pooling': lambda: pooling(xs[0], layer),
             'LRN': lambda: lrn(xs[0], layer),
             'InnerProduct': lambda: inner_product(xs[0], layer),
             'ReLU': lambda: np.where(
                 xs[0] > 0, xs[0], p.get('negative_slope', 0) * xs[0]),
             'Sigmoid': lambda: 1 / (1 + np.exp(-xs[0])),
             'TanH': lambda: np.tanh(xs[0]),
             'Softmax': lambda: softmax(xs[0]),
             'SoftmaxWithLoss': lambda: softmax(xs[0]),
             'Dropout': lambda: xs[0],
             'Concat': lambda: np.concatenate(xs, p.get('axis', 1) - 1),
             'Flatten': lambda: xs[0].reshape(-1, 1, 1),
             'Reshape': lambda: reshape(xs[0], layer),
             'Eltwise': lambda: eltwise(xs, layer),
             'Power': lambda: xs[0] * p.get('scale', 1) + p.get('shift', 0),
             'BatchNorm': lambda: batch_norm(xs[0], layer),
             'Scale': lambda: scale(xs, layer)}[kind]()
        out[layer.name] = y
        for top in layer.tops:
            blobs[top] = y
    return out, blobs

"""Layers in float32, on blobs [N, H, W, C]: what quantise.py calibrates on.

As weights/README.md defines them, in numpy.  integer_reference.py has the same
layers in integers.
"""
import numpy as np

from plain_graph import FILTERS

COLUMNS = 1 << 23   # floats of a matrix of windows


def slices(layer, x, h, w):
    """For each tap of a window, row by row, what of x it sees."""
    (kh, kw), (sh, sw) = layer['kernel_size'], layer.get('stride', [1, 1])
    dh, dw = layer.get('dilation', [1, 1])
    for ky in range(kh):
        for kx in range(kw):
            yield x[:, ky * dh:ky * dh + sh * (h - 1) + 1:sh,
                    kx * dw:kx * dw + sw * (w - 1) + 1:sw]


def padded(layer, x):
    top, left, bottom, right = layer.get('pad', [0] * 4)
    if not (top or left or bottom or right):
        return x
    return np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)))


def convolve(layer, x, weight, shape):
    """Sums [N, h, w, O] without bias; weight is [O, C/group, kh, kw]."""
    outputs, h, w = shape
    groups = layer.get('group', 1)
    if layer['type'] == 'InnerProduct':
        c = x.transpose(0, 3, 1, 2).reshape(len(x), -1)
        return (c @ weight.T)[:, None, None]
    x = padded(layer, x)
    if weight.shape[1] == 1 and outputs == groups:
        taps = weight.reshape(outputs, -1).T
        out = np.zeros((len(x), h, w, outputs), np.float32)
        for tap, seen in zip(taps, slices(layer, x, h, w)):
            out += seen * tap
        return out
    # [taps * C/group, O/group] of each group
    per, width = outputs // groups, weight.shape[1]
    filters = [np.ascontiguousarray(
        weight[g * per:(g + 1) * per].transpose(2, 3, 1, 0).reshape(-1, per))
        for g in range(groups)]
    out = np.empty((len(x), h, w, outputs), np.float32)
    step = max(1, COLUMNS // (h * w * len(filters[0])))
    for i in range(0, len(x), step):
        for g, f in enumerate(filters):
            part = x[i:i + step, :, :, g * width:(g + 1) * width]
            seen = np.concatenate(list(slices(layer, part, h, w)), 3)
            out[i:i + step, :, :, g * per:(g + 1) * per] = (
                seen.reshape(-1, len(f)) @ f).reshape(
                    seen.shape[:3] + (per,))
    return out


def pooled(layer, x, shape):
    """The largest, or the mean."""
    h, w = x.shape[1:3]
    if layer.get('global_pooling'):
        layer = dict(layer, kernel_size=[h, w], pad=[0] * 4, stride=[1, 1])
    top, left, bottom, right = layer.get('pad', [0] * 4)
    # Ceiling may leave a last window that hangs over the edge.
    (kh, kw), (sh, sw) = layer['kernel_size'], layer.get('stride', [1, 1])
    below = max(bottom, (shape[1] - 1) * sh + kh - h - top)
    beside = max(right, (shape[2] - 1) * sw + kw - w - left)

    def around(a, fill):
        return np.pad(a, ((0, 0), (top, below), (left, beside), (0, 0)),
                      constant_values=fill)

    if layer['pool'] == 'MAX':
        out = None
        for seen in slices(layer, around(x, -np.inf), *shape[1:]):
            out = seen if out is None else np.maximum(out, seen)
        return out
    inside = np.ones((1, h, w, 1), np.float32)
    if layer.get('count_include_pad', True):
        inside = np.ones((1, h + top + bottom, w + left + right, 1), np.float32)
        inside = np.pad(inside, ((0, 0), (0, below - bottom),
                                 (0, beside - right), (0, 0)))
    else:
        inside = around(inside, 0)
    count = sum(slices(layer, inside, *shape[1:]))
    return sum(slices(layer, around(x, 0), *shape[1:])) / count


def squares_around(layer, x):
    """The sum of squares over the channels around."""
    around = layer['local_size'] // 2
    squares = np.pad(x * x, ((0, 0), (0, 0), (0, 0), (around, around)))
    return sum(squares[..., i:i + x.shape[3]] for i in range(2 * around + 1))


def lrn_gain(layer, squares):
    return (layer.get('k', 1) + layer['alpha'] / layer['local_size'] *
            squares) ** -layer['beta']


def flattened(x):
    return x.transpose(0, 3, 1, 2).reshape(len(x), 1, 1, -1)


def logistic(x):
    return 1 / (1 + np.exp(-np.clip(x, -80, 80)))


def float_layer(g, layer, ins):
    kind, x, name = layer['type'], ins[0], layer['name']
    if kind in FILTERS:
        weight, bias = g.values[name]
        return convolve(layer, x, weight.astype(np.float32),
                        g.shapes[name]) + bias.astype(np.float32)
    if kind == 'Pooling':
        return pooled(layer, x, g.shapes[name])
    if kind == 'ReLU':
        return np.maximum(x, 0)
    if kind == 'Flatten':
        return flattened(x)
    if kind == 'MirrorMean':
        return (x[:len(x) // 2] + x[len(x) // 2:]) / 2
    if kind == 'Eltwise':
        return sum(ins[1:], ins[0])
    if kind == 'Concat':
        return np.concatenate(ins, 3)
    if kind == 'LRN':
        return x * lrn_gain(layer, squares_around(layer, x))
    if kind == 'Sigmoid':
        return logistic(x)
    e = np.exp(x - x.max(axis=3, keepdims=True))
    return e / e.sum(axis=3, keepdims=True)

#!/usr/bin/env python3
"""Single operators of ONNX over their attributes, against onnxruntime.

    onnx_cases.py IMPORT RUN FOLDER [CASES]

Prints TAP, one line for each operator: how many cases were drawn (CASES, 20)
and the worst difference, at batch 1 and 8, relative to the largest value.
Each case has a seed and an opset of its own, 7 to 21.
"""
import sys

import numpy as np

from onnx_peer import Graph, Refused, argument, compare, first

TOLERANCE = 1e-5
CASES = int(sys.argv[4]) if len(sys.argv) > 4 else 20


def pick(rng, *values):
    return values[rng.integers(len(values))]


def between(rng, low, high):
    return int(rng.integers(low, high + 1))


def pair(rng, low, high):
    return [between(rng, low, high), between(rng, low, high)]


def plane(rng, low=4, high=13, channels=6):
    """Two channels or more: one is made of a colour picture.  Sides from 4: a
    last side of 1 or 3 is taken for channels that come last."""
    return [between(rng, 2, channels), between(rng, low, high),
            between(rng, low, high)]


def window(rng, shape, kernel, pads_below=None, dilated=True):
    """Attributes of a window that fits: strides, dilations, pads, auto_pad."""
    strides = pair(rng, 1, 3)
    dilations = pair(rng, 1, 2) if dilated and rng.random() < .4 else [1, 1]
    a = {'strides': strides}
    kind = pick(rng, None, None, None, 'SAME_UPPER', 'SAME_LOWER', 'VALID')
    if kind and kind[0] == 'S':
        # onnxruntime has no dilation there, nor windows that skip pixels
        dilations = [1, 1]
        strides = a['strides'] = [min(s, k) for s, k in zip(strides, kernel)]
    if dilations != [1, 1]:
        a['dilations'] = dilations
    if kind:
        a['auto_pad'] = kind
        pads = [0] * 4
    else:
        high = pads_below or [3, 3]
        pads = [between(rng, 0, min(3, high[i % 2])) for i in range(4)]
        a['pads'] = pads
    for i in range(2):
        reach = dilations[i] * (kernel[i] - 1) + 1
        if reach > shape[1 + i] + pads[i] + pads[2 + i]:
            return None
    return a


def conv(rng, g):
    k = pair(rng, 1, 5)
    a = window(rng, g.shape, k)
    if a is None:
        return None
    c = g.shape[0]
    group = pick(rng, 1, 1, c, *[d for d in (2, 3) if c % d == 0])
    out = group * between(rng, 1, 3)
    inputs = ['x', g.weights(out, c // group, *k)]
    if rng.random() < .6:
        inputs.append(g.weights(out))
    if rng.random() < .5:
        a['kernel_shape'] = k
    if group > 1:
        a['group'] = group
    return g.add('Conv', inputs, **a)


def pool(kind):
    def build(rng, g):
        k = pair(rng, 1, 4)
        # dilation came with opset 10 for the maximum, 19 for the average
        dilated = g.opset >= (10 if kind == 'MaxPool' else 19)
        a = window(rng, g.shape, k, [k[0] - 1, k[1] - 1], dilated)
        if a is None:
            return None
        if g.opset >= 10 and 'auto_pad' not in a and rng.random() < .5:
            a['ceil_mode'] = 1
        if kind == 'AveragePool' and rng.random() < .5:
            a['count_include_pad'] = 1
        # the padding of a window without a pixel would be all there is
        for i in range(2):
            d = a.get('dilations', [1, 1])[i]
            if d > 1 and d >= g.shape[1 + i]:
                return None
        return g.add(kind, ['x'], kernel_shape=k, **a)
    return build


def gemm(rng, g):
    k = int(np.prod(g.shape))
    n = between(rng, 1, 9)
    x = g.add('Flatten', ['x'], axis=pick(rng, None, 1))
    t = pick(rng, 0, 1)
    inputs = [x, g.weights(*([n, k] if t else [k, n]))]
    form = pick(rng, None, [n], [1, n], [1], [1, 1])
    if form is None and g.opset < 11:
        form = [n]
    if form:
        inputs.append(g.weights(*form))
    a = {'transB': t}
    if rng.random() < .5:
        a['alpha'] = float(rng.uniform(-2, 2))
    if rng.random() < .5:
        a['beta'] = float(rng.uniform(-2, 2))
    return g.add('Gemm', inputs, **a)


def matmul(rng, g):
    n = between(rng, 1, 9)
    if rng.random() < .4:    # at each position, channels last
        x = g.add('Transpose', ['x'], perm=[0, 2, 3, 1])
        x = g.add('MatMul', [x, g.weights(g.shape[0], n)])
        if rng.random() < .5:
            x = g.add('Add', [x, g.weights(n)])
        return g.add('Transpose', [x], perm=[0, 3, 1, 2])
    x = g.add('Flatten', ['x'])
    x = g.add('MatMul', [x, g.weights(int(np.prod(g.shape)), n)])
    if rng.random() < .7:
        bias = g.weights(*pick(rng, [n], [1, n], [1]))
        x = g.add('Add', pick(rng, [x, bias], [bias, x]))
    if rng.random() < .3:
        x = g.add('Sub', [x, g.weights(n)])
    return x


def batch_norm(rng, g):
    c = g.shape[0]
    x = g.add('BatchNormalization',
              ['x', g.weights(c), g.weights(c), g.weights(c),
               g.tensor(rng.uniform(.2, 2, c))],
              epsilon=pick(rng, None, 1e-3, 1e-5))
    return g.add('Relu', [x]) if rng.random() < .5 else x


def clip(rng, g):
    low, high = sorted(rng.uniform(-1, 1, 2))
    low, high = pick(rng, (low, high), (None, high), (low, None))
    if g.opset < 11:
        return g.add('Clip', ['x'], min=low, max=high)
    inputs = ['x', '' if low is None else g.tensor(low)]
    if high is not None:
        inputs.append(g.tensor(high))
    return g.add('Clip', inputs)


def activation(rng, g):
    kind = pick(rng, 'Relu', 'LeakyRelu', 'Sigmoid', 'HardSigmoid', 'HardSwish')
    if kind == 'HardSwish' and g.opset < 14:
        kind = 'Relu'
    a = {}
    if kind in ('LeakyRelu', 'HardSigmoid') and rng.random() < .6:
        a['alpha'] = float(rng.uniform(.05, .5))
    if kind == 'HardSigmoid' and rng.random() < .6:
        a['beta'] = float(rng.uniform(.2, .8))
    return g.add(kind, ['x'], **a)


def softmax(rng, g):
    x = 'x'
    rank = 4
    if rng.random() < .4:
        x, rank = g.add('Flatten', ['x']), 2
    axis = between(rng, 1, rank - 1)
    if g.opset >= 11 and rng.random() < .5:
        axis -= rank
    return g.add('Softmax', [x], axis=axis)


def lrn(rng, g):
    return g.add('LRN', ['x'], size=pick(rng, 1, 3, 5, 7),
                 alpha=pick(rng, None, .5, 2.0), beta=pick(rng, None, .5, 1.0),
                 bias=pick(rng, None, 2.0))


def spatial(rng, g):
    kind = pick(rng, 'GlobalAveragePool', 'GlobalMaxPool', 'ReduceMean',
                'ReduceMean', 'ReduceMax')
    if kind.startswith('Global'):
        return g.add(kind, ['x'])
    axes = pick(rng, [2, 3], [-1, -2], [2], [3], [-1])
    keep = pick(rng, None, 0, 1)
    inputs, a = argument(g, kind, ['x'], 'axes', axes, 18)
    return g.add(kind, inputs, keepdims=keep, **a)


OPERATORS = {'+': 'Add', '-': 'Sub', '*': 'Mul', '/': 'Div'}


def constant(rng, g):
    """Arithmetic with a constant of every form that goes with the input."""
    c, h, w = g.shape
    form = pick(rng, [], [1], [c, 1, 1], [1, c, 1, 1], [h, w], [c, h, w], [w],
                [1, 1, h, 1], [1, 1, 1, 1])
    k = g.tensor(rng.uniform(.5, 2, form))
    inputs = pick(rng, ['x', k], [k, 'x'])
    return g.add(pick(rng, *OPERATORS.values()), inputs)


def extreme(rng, g):
    kind = pick(rng, 'Max', 'Min')
    if g.opset < 8 or rng.random() < .3:
        return g.add('Max', ['x', g.add('Relu', [g.add('Conv', [
            'x', g.weights(g.shape[0], g.shape[0], 1, 1)])])])
    form = [] if kind == 'Min' else pick(rng, [], [g.shape[0], 1, 1])
    return g.add(kind, ['x', g.tensor(rng.uniform(-1, 1, form))])


def blobs(rng, g):
    """Arithmetic of blobs, some of them stretched as in squeeze and excite."""
    c = g.shape[0]
    a = g.add('Conv', ['x', g.weights(c, c, 1, 1)])
    b = pick(rng, 'x', g.add('Sigmoid', [g.add('GlobalAveragePool', [a])]),
             g.add('Sigmoid', [g.add('Conv', ['x', g.weights(1, c, 1, 1)])]))
    kind = pick(rng, 'Add', 'Mul', 'Sub', 'Sum', 'Mean', 'Max')
    if kind in ('Sum', 'Mean', 'Max') and g.opset >= 8:
        return g.add(kind, [a, b, 'x'][:between(rng, 1, 3)])
    return g.add(pick(rng, 'Add', 'Mul', 'Sub'), pick(rng, [a, b], [b, a]))


def concat(rng, g):
    c, h, w = g.shape
    axis = between(rng, 1, 3)
    parts = ['x']
    for _ in range(between(rng, 0, 3)):
        parts.append(g.add('Relu', ['x']))
    if rng.random() < .3:
        parts.append(g.add('GlobalMaxPool', ['x']) if [h, w] == [1, 1] else
                     g.add('Sigmoid', ['x']))
    return g.add('Concat', parts, axis=axis - pick(rng, 0, 4)
                 if g.opset >= 11 else axis)


def slices(rng, g):
    axes, starts, ends = [], [], []
    for axis in (1, 2, 3):
        side = g.shape[axis - 1]
        if rng.random() < .4 or (axis == 3 and not axes):
            b = between(rng, 0, side - 1)
            e = between(rng, b + 1, side)
            if rng.random() < .3:
                b -= side
            e = pick(rng, e, e, 2**31 - 1 if e == side else e)
            axes.append(axis), starts.append(b), ends.append(e)
    x = g.add('Relu', ['x'])
    if g.opset < 10:
        return g.add('Slice', [x], axes=axes, starts=starts, ends=ends)
    inputs = [x, g.ints(starts), g.ints(ends), g.ints(axes)]
    if rng.random() < .4:
        inputs.append(g.ints([1] * len(axes)))
    return g.add('Slice', inputs)


def split(rng, g):
    axis = between(rng, 1, 3)
    side = g.shape[axis - 1]
    n = between(rng, 1, min(3, side))
    cuts = sorted(rng.choice(np.arange(1, side), n - 1, replace=False)) \
        if n > 1 else []
    sizes = [int(v) for v in np.diff([0] + list(cuts) + [side])]
    inputs, a = argument(g, 'Split', ['x'], 'split', sizes, 13)
    if g.opset >= 18 and rng.random() < .5:
        inputs, a = ['x'], {'num_outputs': n}
        if side % n:
            return None
    out = g.add('Split', inputs, n, axis=axis, **a)
    out = [out] if n == 1 else out
    # put together the other way round, so that every part is seen
    return g.add('Concat', [g.add('Relu', [y]) for y in out[::-1]], axis=axis)


def gather(rng, g):
    axis = between(rng, 1, 3)
    side = g.shape[axis - 1]
    places = pick(rng, between(rng, 0, side - 1),
                  [between(rng, -side, side - 1) for _ in range(
                      between(rng, 1, 4))])
    if g.opset < 11:
        places = np.asarray(places) % side
    return g.add('Gather', ['x', g.tensor(places, np.int64)], axis=axis)


def pad(rng, g):
    mode = pick(rng, None, 'constant', 'reflect', 'edge')
    pads = [0] * 8
    for i in (2, 3, 6, 7):
        pads[i] = between(rng, 0, min(2, g.shape[i % 4 - 1] - 1))
    if mode != 'reflect' and rng.random() < .3:
        pads[1], pads[5] = pair(rng, 0, 2)
    if mode in (None, 'constant') and rng.random() < .2:
        pads[2] = -1
    value = float(pick(rng, 0, 0, 1.5))
    if mode in ('reflect', 'edge'):
        value = 0.0
    if g.opset < 11:
        return g.add('Pad', ['x'], pads=pads, mode=mode, value=value)
    inputs = ['x', g.ints(pads)]
    if value or rng.random() < .5:
        inputs.append(g.tensor(value))
    if g.opset >= 18 and rng.random() < .5:
        inputs = inputs[:1] + [g.ints([pads[i] for i in (2, 3, 6, 7)])] + (
            inputs[2:] or ['']) + [g.ints([2, -1])]
    return g.add('Pad', inputs, mode=mode)


def transpose(rng, g):
    perm = [0] + [int(v) for v in rng.permutation([1, 2, 3])]
    x = g.add('Transpose', [g.add('LeakyRelu', ['x'])], perm=perm)
    if rng.random() < .5:
        x = g.add(pick(rng, 'Relu', 'Sigmoid'), [x])
    if rng.random() < .3:
        x = g.add('Add', [x, g.weights(*[([0] + g.shape)[p]
                                         for p in perm[1:]])])
    if rng.random() < .5:
        perm = [0] + [int(v) for v in rng.permutation([1, 2, 3])]
        x = g.add('Transpose', [x], perm=perm)
    return x


def reshape(rng, g):
    c, h, w = g.shape
    target = pick(rng, [0, -1], [0, c, -1], [-1, c * h, w], [0, 0, h * w],
                  [0, h, c, w], [0, 1, c, h, w], [-1, c * h * w])
    x = g.add('Reshape', [g.add('Relu', ['x']), g.ints(target)])
    if rng.random() < .5:
        x = g.add('Sigmoid', [x])
    return x


def shuffle(rng, g):
    """Channels of groups change places, in five sides or four."""
    c, h, w = g.shape
    groups = [d for d in range(1, c + 1) if c % d == 0]
    n = pick(rng, *groups)
    five = rng.random() < .6
    target = [-1, n, c // n] + ([h, w] if five else [h * w])
    x = g.add('Reshape', ['x', g.ints(target)])
    x = g.add('Transpose', [x], perm=[0, 2, 1] + ([3, 4] if five else [3]))
    x = g.add('Reshape', [x, g.ints([-1, c, h, w])])
    return g.add('Conv', [x, g.weights(2, c, 1, 1)])


def squeezes(rng, g):
    x = g.add('GlobalAveragePool', ['x'])
    axes = pick(rng, [2, 3], [3], [-1, -2] if g.opset >= 11 else [2, 3])
    inputs, a = argument(g, 'Squeeze', [x], 'axes', axes, 13)
    x = g.add('Squeeze', inputs, **a)
    if rng.random() < .5:
        inputs, a = argument(g, 'Unsqueeze', [x], 'axes',
                             [2, 3] if len(axes) == 2 else [3], 13)
        x = g.add('Unsqueeze', inputs, **a)
        x = g.add('Mul', ['x', x])
    return x


def folded(rng, g):
    """A reshape whose sides are computed as exporters compute them."""
    shape = g.add('Shape', ['x'])
    zero = g.tensor(0, np.int64)
    n = g.add('Gather', [shape, zero], axis=0)
    inputs, a = argument(g, 'Unsqueeze', [n], 'axes', [0], 13)
    n = g.add('Unsqueeze', inputs, **a)
    form = pick(rng, 'minus', 'product', 'slice')
    if form == 'minus':
        rest = g.ints([-1])
    elif form == 'slice' and g.opset >= 10:
        rest = g.add('Slice', [shape, g.ints([1]), g.ints([4]), g.ints([0])])
    else:
        c = g.add('Gather', [shape, g.ints([1])], axis=0)
        h = g.add('Gather', [shape, g.ints([2])], axis=0)
        rest = g.add('Concat', [
            g.add('Mul', [c, h]),
            g.add('Cast', [g.add('Cast', [g.ints([-1])], to=1)], to=7)],
            axis=0)
    target = g.add('Concat', [n, rest], axis=0)
    x = g.add('Relu', ['x'])
    x = g.add('Dropout', [x])
    x = g.add('Reshape', [g.add('Identity', [x]), target])
    if g.opset < 9:
        return x
    fill = g.add('ConstantOfShape', [g.ints([1])], value=None)
    return g.add('Add', [x, fill])


CASE = {
    'Conv': conv, 'MaxPool': pool('MaxPool'), 'AveragePool':
    pool('AveragePool'), 'Gemm': gemm, 'MatMul': matmul,
    'BatchNormalization': batch_norm, 'Clip': clip, 'activations': activation,
    'Softmax': softmax, 'LRN': lrn, 'means and maxima over space': spatial,
    'arithmetic with constants': constant, 'Max and Min': extreme,
    'arithmetic of blobs': blobs, 'Concat': concat, 'Slice': slices,
    'Split': split, 'Gather': gather, 'Pad': pad, 'Transpose': transpose,
    'Reshape': reshape, 'channel shuffle': shuffle, 'Squeeze': squeezes,
    'folded shapes': folded}


def case(tool, build, seed):
    """The difference, or None when nothing was drawn."""
    rng = np.random.default_rng(seed)
    opset = between(rng, 7, 21)
    g = Graph(rng, opset, plane(rng))
    y = build(rng, g)
    if y is None or not g.nodes or y == 'x':
        return None
    return compare(tool, g.bytes(y), g.shape, rng), opset


def main():
    tool = first(sys.argv)
    total = 0
    for number, (name, build) in enumerate(CASE.items() if CASES else ()):
        seed, done, worst, problem = 1000 * number, 0, 0, ''
        double = name in ('Conv', 'MaxPool', 'AveragePool',
                          'arithmetic with constants')
        while done < CASES * (3 if double else 1) and not problem:
            seed += 1
            try:
                got = case(tool, build, seed)
            except (Refused, RuntimeError) as e:
                got, problem = (0, 0), 'seed %d: %s' % (seed, e)
            except Exception as e:   # onnxruntime's own
                got, problem = (0, 0), 'seed %d: %r' % (seed, e)
            if got is None:
                continue
            done += 1
            worst = max(worst, got[0])
            if got[0] > TOLERANCE:
                problem = 'seed %d, opset %d: off by %.3g' % (seed, got[1],
                                                              got[0])
        total += done
        tool.result('%s: %d cases, off by %.1e at most' % (name, done, worst),
                    problem)
    print('# %d single operators in all' % total)
    return tool.failures > 0


if __name__ == '__main__':
    sys.exit(main())

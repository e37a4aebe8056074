"""What an integer network may look like: the checks that pack.py makes.

The section "Integer networks" of weights/README.md, as code that refuses what
it does not allow and says why: the members of each layer, the kinds of blobs
that it reads, the dtype, the shape and the range of each tensor that it names.
It computes no picture; integer_reference.py does.  Standard library only.
"""
import json
import math

from shapes import PackError, product, walk

INT31 = 2 ** 31
BYTES = ('scale', 'zero_point', 'max')
REQUANTISE = ('multiplier', 'shift')
GEOMETRY = ('kernel_size', 'stride', 'pad')
FILTER = ('num_output', 'weight', 'bias', 'scales') + REQUANTISE + BYTES
MEMBERS = {
    'Convolution': FILTER + GEOMETRY + ('dilation', 'group'),
    'InnerProduct': FILTER,
    'Pooling': GEOMETRY + ('pool', 'round_mode', 'count_include_pad',
                           'global_pooling'),
    'ReLU': (), 'Flatten': (), 'MirrorMean': (),
    'Eltwise': ('operation',) + REQUANTISE + BYTES,
    'Concat': ('axis',) + REQUANTISE + BYTES,
    'Sigmoid': ('table',) + REQUANTISE + BYTES,
    'LRN': ('local_size', 'table', 'sum_shift', 'shift') + BYTES,
    'Softmax': ('table', 'shift'),
}
SIZES = {'I8': 1, 'U8': 1, 'I32': 4, 'F32': 4, 'F16': 2}
# The dtypes of numpy and the type codes of array that hold them.
DTYPES = {'I8': ('int8', 'b'), 'U8': ('uint8', 'B'), 'I32': ('int32', 'i'),
          'F32': ('float32', 'f')}


def is_integer(network):
    return 'zero_point' in network['input']


class Blob:
    """zero: of each channel, or one for all; scales: None for bytes."""

    def __init__(self, shape, most, zero, scales=None):
        self.shape, self.most, self.zero = shape, most, zero
        self.scales = scales

    def kind(self):
        return 'bytes' if self.scales is None else 'sums'


def whole(layer, member, low, high, default=None):
    """A member that is an integer from low to high."""
    value = layer.get(member, default)
    if type(value) is not int or not low <= value <= high:
        raise PackError('layer %s: %s must be an integer from %d to %d, not '
                        '%s' % (layer['name'], member, low, high,
                                json.dumps(value)))
    return value


def check_scale(where, scale):
    """A positive number of at most 16 significant bits."""
    if type(scale) not in (int, float) or not 2.0 ** -60 <= scale <= 2.0 ** 60:
        raise PackError('%s: a scale must be a number from 2^-60 to 2^60, not '
                        '%s' % (where, json.dumps(scale)))
    if math.frexp(scale)[0] * 65536 % 1:
        raise PackError('%s: the scale %r has more than 16 significant bits' % (
            where, scale))


def own_bytes(layer, shape):
    """The blob of a layer that writes bytes of its own scale."""
    check_scale('layer %s' % layer['name'], layer.get('scale'))
    most = whole(layer, 'max', 1, 255, 127)
    return Blob(shape, most, whole(layer, 'zero_point', 0, most, 0))


def check_members(layer):
    known = MEMBERS.get(layer['type'])
    if known is None:
        raise PackError('layer %s: %s is no layer of an integer network' % (
            layer['name'], layer['type']))
    for member in layer:
        if member not in known + ('name', 'type', 'bottom'):
            raise PackError('layer %s: a %s of an integer network has no '
                            'member %s' % (layer['name'], layer['type'],
                                           member))


def layer_tensors(layer, shape, wants, sums):
    """{member: (dtype, shape)}; a length None is the writer's choice."""
    channels = shape[:1]
    kind = layer['type']
    if kind in ('Convolution', 'InnerProduct'):
        out = {'weight': ('I8', wants['weight'])}
        if 'bias' in layer:
            out['bias'] = ('I32', channels)
        if ('scales' in layer) == ('multiplier' in layer):
            raise PackError('layer %s: either scales, for sums, or multiplier, '
                            'for bytes' % layer['name'])
        if 'scales' in layer:
            for member in REQUANTISE + BYTES:
                if member in layer:
                    raise PackError('layer %s: a layer that writes sums has no '
                                    '%s' % (layer['name'], member))
            out['scales'] = ('F32', channels)
        else:
            out.update({m: ('I32', channels) for m in REQUANTISE})
        return out
    if kind == 'Sigmoid':
        out = {'table': ('U8', [256])}
        if sums:
            out.update({m: ('I32', channels) for m in REQUANTISE})
        elif 'multiplier' in layer or 'shift' in layer:
            raise PackError('layer %s: reads bytes, and so has no multiplier '
                            'or shift' % layer['name'])
        return out
    if kind in ('LRN', 'Softmax'):
        return {'table': ('I32', [None])}
    return {}


def reads(layer):
    """The kinds of blob that a layer may read."""
    return {'Sigmoid': ('bytes', 'sums'), 'Softmax': ('sums',)}.get(
        layer['type'], ('bytes',))


# Values: tensors is {name: array of Python numbers, flat} ---------------------


def check_range(layer, member, values, low, high):
    if len(values) and not (low <= min(values) and max(values) <= high):
        raise PackError('layer %s: %s has %d; its entries are from %d to %d' % (
            layer['name'], member,
            min(values) if min(values) < low else max(values), low, high))


def check_filters(layer, wants, bottom, tensors):
    """No sum may leave 32 bits, with or without the zero point."""
    weight = tensors[layer['weight']]
    bias = tensors[layer['bias']] if 'bias' in layer else None
    outputs, row = wants['weight'][0], product(wants['weight'][1:])
    groups = layer.get('group', 1)
    zeros = bottom.zero
    if not isinstance(zeros, int):
        # Of each weight of a row: one zero point for a channel's taps.
        each = product(bottom.shape) // bottom.shape[0] if layer[
            'type'] == 'InnerProduct' else product(wants['weight'][2:])
        zeros = [z for z in zeros for _ in range(each)]
    for o in range(outputs):
        values = weight[o * row:(o + 1) * row]
        if isinstance(zeros, int):
            offset = zeros * sum(values)
        else:
            first = o // (outputs // groups) * row
            offset = sum(w * z for w, z in zip(values,
                                               zeros[first:first + row]))
        worst = abs((bias[o] if bias is not None else 0) - offset) + \
            bottom.most * sum(map(abs, values))
        if worst >= INT31:
            raise PackError('layer %s: the sums of filter %d could reach %d, '
                            'the limit is 2^31 - 1' % (layer['name'], o, worst))


def check_requantise(layer, tensors):
    check_range(layer, 'multiplier', tensors[layer['multiplier']], 0, INT31 - 1)
    check_range(layer, 'shift', tensors[layer['shift']], 1, 62)


def read_filter(layer, shape, wants, bottom, tensors):
    check_filters(layer, wants, bottom, tensors)
    if 'scales' not in layer:
        check_requantise(layer, tensors)
        return own_bytes(layer, shape)
    scales = list(tensors[layer['scales']])
    for s in scales:
        check_scale('layer %s' % layer['name'], s)
    return Blob(shape, None, 0, scales)


def read_sum(layer, shape, bottoms):
    """Eltwise and Concat: a multiplier for each bottom, one shift."""
    m = layer.get('multiplier')
    if not (isinstance(m, list) and len(m) == len(bottoms) and
            all(type(v) is int and 0 <= v <= 2 ** 30 for v in m)):
        raise PackError('layer %s: multiplier must be a list of %d integers '
                        'from 0 to 2^30' % (layer['name'], len(bottoms)))
    shift = whole(layer, 'shift', 1, 30)
    worst = [v * b.most for v, b in zip(m, bottoms)]
    worst = sum(worst) if layer['type'] == 'Eltwise' else max(worst)
    if worst + 2 ** (shift - 1) >= INT31:
        raise PackError('layer %s: its sum could reach %d, the limit is 2^31 - '
                        '1' % (layer['name'], worst + 2 ** (shift - 1)))
    if layer['type'] == 'Eltwise' and layer.get('operation', 'SUM') != 'SUM':
        raise PackError('layer %s: the operation %s is unknown' % (
            layer['name'], json.dumps(layer['operation'])))
    if any(b.shape[layer['type'] == 'Concat':] !=
           shape[layer['type'] == 'Concat':] for b in bottoms):
        raise PackError('layer %s: its bottoms differ in shape' % layer['name'])
    return own_bytes(layer, shape)


def read_sigmoid(layer, shape, bottom, tensors):
    out = own_bytes(layer, shape)
    check_range(layer, 'table', tensors[layer['table']], 0, out.most)
    if bottom.kind() == 'sums':
        check_requantise(layer, tensors)
    return out


def read_lrn(layer, shape, tensors):
    table = tensors[layer['table']]
    if not 1 <= len(table) <= 65536:
        raise PackError('layer %s: a table has 1 to 65536 entries, not %d' % (
            layer['name'], len(table)))
    check_range(layer, 'table', table, 0, INT31 - 1)
    if whole(layer, 'local_size', 1, 65535) % 2 == 0:
        raise PackError('layer %s: local_size must be odd' % layer['name'])
    whole(layer, 'sum_shift', 0, 30)
    whole(layer, 'shift', 1, 62)
    return own_bytes(layer, shape)


def read_softmax(layer, shape, bottom, tensors):
    table = tensors[layer['table']]
    if not 1 <= len(table) <= 65536:
        raise PackError('layer %s: a table has 1 to 65536 entries, not %d' % (
            layer['name'], len(table)))
    check_range(layer, 'table', table, 0, 2 ** 30)
    if table[0] < 1:
        raise PackError('layer %s: the first entry of its table is 0' %
                        layer['name'])
    if len(set(bottom.scales)) != 1:
        raise PackError('layer %s: %s has more than one scale' % (
            layer['name'], layer['bottom'][0]))
    whole(layer, 'shift', 0, 30)
    return Blob(shape, None, 0, [2.0 ** -24] * shape[0])


def pass_on(layer, shape, bottom):
    """Pooling, ReLU, Flatten and MirrorMean write bytes like those they read;
    flattening repeats the zero points of an input's channels."""
    zero = bottom.zero
    if layer['type'] == 'Flatten' and not isinstance(zero, int):
        zero = [z for z in zero
                for _ in range(shape[0] // bottom.shape[0])]
    return Blob(shape, bottom.most, zero)


def layer_blob(layer, shape, wants, bottoms, tensors):
    kind = layer['type']
    if kind in ('Convolution', 'InnerProduct'):
        return read_filter(layer, shape, wants, bottoms[0], tensors)
    if kind in ('Eltwise', 'Concat'):
        return read_sum(layer, shape, bottoms)
    if kind == 'Sigmoid':
        return read_sigmoid(layer, shape, bottoms[0], tensors)
    if kind == 'LRN':
        return read_lrn(layer, shape, tensors)
    if kind == 'Softmax':
        return read_softmax(layer, shape, bottoms[0], tensors)
    return pass_on(layer, shape, bottoms[0])


# The whole ------------------------------------------------------------------


def input_blob(network):
    source = network['input']
    shape = [source['channels'], source['height'], source['width']]
    zero = source['zero_point']
    if not (isinstance(zero, list) and len(zero) == shape[0] and
            all(type(z) is int and 0 <= z <= 255 for z in zero)):
        raise PackError('input: zero_point must be a list of %d integers from '
                        '0 to 255, not %s' % (shape[0], json.dumps(zero)))
    for member in ('mean', 'scale'):
        if member in network.get('preprocess', {}):
            raise PackError('preprocess: an integer network has no %s' % member)
    return Blob(shape, 255, zero)


def check_mirrors(network):
    """MirrorMeans stand side by side, read what is before them, and nothing
    behind them does."""
    before, last, behind = {network['input']['name']}, None, False
    for layer in network['layers']:
        mean = layer['type'] == 'MirrorMean'
        if mean and behind:
            raise PackError('layer %s: MirrorMeans stand side by side, and '
                            'layers stand between it and %s' % (
                                layer['name'], last))
        for bottom in layer['bottom'] if last else ():
            if mean != (bottom in before):
                raise PackError('layer %s: reads %s, which %s' % (
                    layer['name'], bottom, 'depends on a MirrorMean' if mean
                    else 'is before the MirrorMean'))
        if mean:
            last = layer['name']
        elif last:
            behind = True
        else:
            before.add(layer['name'])


def tensor_forms(network):
    """{tensor: (dtype, shape)}, in order; a length None is free."""
    check_mirrors(network)
    sums, forms = {network['input']['name']: False}, {}
    for layer in network['layers']:
        check_members(layer)
    for layer, shape, wants in walk(network):
        for bottom in layer['bottom']:
            kind = 'sums' if sums[bottom] else 'bytes'
            if kind not in reads(layer):
                raise PackError('layer %s: a %s reads %s, and %s is %s' % (
                    layer['name'], layer['type'], ' or '.join(reads(layer)),
                    bottom, kind))
        tensors = layer_tensors(layer, shape, wants, sums[layer['bottom'][0]])
        for member, form in tensors.items():
            name = layer.get(member)
            if not isinstance(name, str):
                raise PackError('layer %s: %s must be the name of a tensor' % (
                    layer['name'], member))
            if forms.setdefault(name, form) != form:
                raise PackError('tensor %s is used in two forms' % name)
        sums[layer['name']] = 'scales' in layer or layer['type'] == 'Softmax'
    return forms


def check(network, tensors):
    """Refuse values that the format does not allow; tensors is {name: flat
    array of Python numbers}, of the forms of tensor_forms()."""
    blobs = {network['input']['name']: input_blob(network)}
    for layer, shape, wants in walk(network):
        blobs[layer['name']] = layer_blob(
            layer, shape, wants, [blobs[b] for b in layer['bottom']], tensors)

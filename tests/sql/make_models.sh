#!/bin/sh
# Make the small models that the SQL tests and the host programs load, and what
# is no model, in build/tests/models.  Run from the repository root.
#
# "tiny" looks at the mean colour of a picture: its features are red, green and
# blue, its code of 9 bits says which of them are above one half, which below,
# then 1, 0, and a logit of exactly 0, its classes are the three colours.  Its
# numbers are all small integers and halves, so its codes are the same on every
# machine and may stand in expected output.
#
# "corners" looks at four pixels: bits 0 to 3 say which of them, row by row,
# have red above one half, then come green and blue.  "many" has 64 heads, "h0"
# to "h63", each with a latent layer and a classifier of its own.  "exact" is
# the code of "tiny" from an integer network.
set -e
out=build/tests/models
mkdir -p $out
rm -f $out/fifo
mkfifo $out/fifo
${PYTHON:-python3} - $out <<'PYTHON'
import array
import os
import struct
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, 'weights')
import pack
import preprocess

OUT = sys.argv[1]


class numbers:
    def __init__(self, *values):
        self.values = array.array('f', values)

    def tobytes(self):
        return self.values.tobytes()


class integers:
    def __init__(self, dtype, code, shape, *values):
        self.dtype, self.shape = dtype, shape
        self.values = array.array(code, values)

    def tobytes(self):
        return self.values.tobytes()


def dense(name, bottom, n):
    return {'name': name, 'type': 'InnerProduct', 'bottom': [bottom],
            'num_output': n, 'weight': name + '.w', 'bias': name + '.b'}


TENSORS = {
    'colours.w': numbers(1, 0, 0, 0, 1, 0, 0, 0, 1),
    'colours.b': numbers(0, 0, 0),
    'latent.w': numbers(1, 0, 0, 0, 1, 0, 0, 0, 1,
                        -1, 0, 0, 0, -1, 0, 0, 0, -1, *[0] * 9),
    'latent.b': numbers(*[-127.5] * 3, *[127.5] * 3, 1, -1, 0),
    'scores.w': numbers(1, 0, 0, 0, 1, 0, 0, 0, 1),
    'scores.b': numbers(0, 0, 0),
    'wide.w': numbers(*[1, 1, 1] * 16),
    'wide.b': numbers(*[-48 * i - 0.5 for i in range(16)]),
}
LAYERS = [dense('colours', 'data', 3), dense('latent', 'colours', 9),
          dense('scores', 'colours', 3),
          {'name': 'prob', 'type': 'Softmax', 'bottom': ['scores']},
          dense('wide', 'colours', 16)]
TINY = {'name': 'tiny', 'latent': 'latent', 'features': 'colours',
        'classifier': 'prob', 'classes': ['red', 'green', 'blue']}
WIDE = {'name': 'wide', 'latent': 'wide'}


CORNERS = {'corners.w': numbers(*[float(i % 13 == 0) for i in range(144)]),
           'corners.b': numbers(*[-127.5] * 12)}
MANY = {'%s%d.%s' % (layer, i, part): numbers(*values)
        for i in range(64)
        for layer, part, values in (
            ('latent', 'w', [1, 0, 0, 0, 1, 0, 0, 0, 1, 1, 1, 1]),
            ('latent', 'b', [-4 * i - 0.5] * 3 + [-12 * i - 0.5]),
            ('scores', 'w', [1, 0, 0, 0, 1, 0]),
            ('scores', 'b', [i, 0]))}
MANY.update({k: v for k, v in TENSORS.items() if k.startswith('colours')})


def model(name, heads, tensors=TENSORS, layers=LAYERS, side=1):
    network = {'input': {'name': 'data', 'channels': 3, 'height': side,
                         'width': side},
               'preprocess': {'order': 'RGB', 'resize': 'area'},
               'layers': layers, 'heads': heads}
    path = os.path.join(OUT, name + '.safetensors')
    for tensor, (shape, _, _) in pack.tensor_shapes(network).items():
        tensors[tensor].shape = shape
    pack.pack(path, network, tensors, int8=False)
    with open(path, 'rb') as f:
        return f.read()


def integer_model(name, head):
    pack.pack(os.path.join(OUT, name + '.safetensors'), {
        'input': {'name': 'data', 'channels': 3, 'height': 1, 'width': 1,
                  'zero_point': [0, 0, 0]},
        'preprocess': {'order': 'RGB', 'resize': 'area'},
        'layers': [dict(dense('latent', 'data', 9), scales='latent.s')],
        'heads': [head]}, {
        'latent.w': integers('int8', 'b', (9, 3), 2, 0, 0, 0, 2, 0, 0, 0, 2,
                             -2, 0, 0, 0, -2, 0, 0, 0, -2, *[0] * 9),
        'latent.b': integers('int32', 'i', (9,), *[-255] * 3, *[255] * 3,
                             1, -1, 0),
        'latent.s': integers('float32', 'f', (9,), *[0.5] * 9)})


def write(name, data):
    with open(os.path.join(OUT, name), 'wb') as f:
        f.write(data)


tiny = model('tiny', [TINY])
model('two', [TINY, WIDE])
model('numbered', [{'name': 'numbered', 'latent': 'latent',
                    'classifier': 'prob'}])
model('other', [TINY], dict(TENSORS, **{'latent.b': numbers(*[0] * 9)}))
model('takes-default', [TINY, dict(WIDE, name='photo-64')])
model('takes-copy', [TINY, dict(WIDE, name='copy-64')])
model('long-head', [TINY, dict(WIDE, name='x' * 101)])
model('headless', [])
corners = model('corners', [{'name': 'corners', 'latent': 'corners'}], CORNERS,
                [dense('corners', 'data', 12)], 2)
write('reduced.safetensors', preprocess.change(corners,
                                               [('reduced_jpeg', '1')]))
write('reduced-bilinear.safetensors', preprocess.change(
    corners, [('reduced_jpeg', '1'), ('resize', '"bilinear"')]))
model('many', [{'name': 'h%d' % i, 'latent': 'latent%d' % i,
                'classifier': 'scores%d' % i} for i in range(64)], MANY,
      LAYERS[:1] + [dense('%s%d' % (layer, i), 'colours', n)
                    for i in range(64)
                    for layer, n in (('latent', 4), ('scores', 2))])
integer_model('exact', {'name': 'exact', 'latent': 'latent'})
write('cut', tiny[:-1])
write('longer', tiny + b'\0')
write('header-cut', tiny[:100])
write('claims-all', struct.pack('<Q', 2 ** 64 - 1) + tiny[8:])
write('garbage', bytes(range(256)) * 16)
write('short', b'1234567')
write('version-2', tiny.replace(b'"format_version":"1"',
                                b'"format_version":"2"'))
write('empty', b'')
PYTHON

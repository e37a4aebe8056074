#!/bin/sh
# Make the small models that the SQL tests and the host programs load, and what
# is no model, in build/tests/models.  Run from the repository root.
#
# "tiny" looks at the mean colour of a picture: its features are red, green and
# blue, its code of 9 bits says which of them are above one half, which below,
# then 1, 0, and a logit of exactly 0, its classes are the three colours.  Its
# numbers are all small integers and halves, so its codes are the same on every
# machine and may stand in expected output.
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

OUT = sys.argv[1]


class numbers:
    def __init__(self, *values):
        self.values = array.array('f', values)

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


def model(name, heads, tensors=TENSORS):
    network = {'input': {'name': 'data', 'channels': 3, 'height': 1,
                         'width': 1},
               'preprocess': {'order': 'RGB', 'resize': 'area'},
               'layers': LAYERS, 'heads': heads}
    path = os.path.join(OUT, name + '.safetensors')
    for tensor, (shape, _) in pack.tensor_shapes(network).items():
        tensors[tensor].shape = shape
    pack.pack(path, network, tensors, int8=False)
    with open(path, 'rb') as f:
        return f.read()


def write(name, data):
    with open(os.path.join(OUT, name), 'wb') as f:
        f.write(data)


tiny = model('tiny', [TINY])
model('two', [TINY, WIDE])
model('numbered', [{'name': 'numbered', 'latent': 'latent',
                    'classifier': 'prob'}])
model('other', [TINY], dict(TENSORS, **{'latent.b': numbers(*[0] * 9)}))
model('takes-default', [TINY, dict(WIDE, name='cifar10-48')])
model('long-head', [TINY, dict(WIDE, name='x' * 101)])
model('headless', [])
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

#!/usr/bin/env python3
"""Integer networks: binhash-import model --int8 on a table of pictures.

    int8_import.py IMPORT RUN FOLDER

A small network in floats becomes one in integers whose codes are nearly the
same; activations of 8 bits bring it nearer, whether the quantiser gives them or
weights/activation_bits.py later.  Calibration spreads over the table, does not mind what cannot be decoded,
says how much of it there was, gives the same bytes every time, and sees large
JPEGs as the network will.  What it refuses, it refuses without leaving a file.
Needs numpy and PIL.
"""
import io
import json
import os
import re
import sqlite3
import struct
import subprocess
import sys

import numpy as np
from PIL import Image

from import_host import (FOLDER, IMPORT, RUN, call, finish, path, result,
                         title)

SIDE, BITS = 16, 32

LAYERS = [
    {'name': 'c', 'type': 'Convolution', 'bottom': ['data'], 'num_output': 24,
     'kernel_size': [3, 3], 'pad': [1, 1, 1, 1], 'stride': [2, 2],
     'weight': 'c.w', 'bias': 'c.b'},
    {'name': 'c.relu', 'type': 'ReLU', 'bottom': ['c']},
    {'name': 'p', 'type': 'Pooling', 'bottom': ['c.relu'], 'pool': 'MAX',
     'kernel_size': [2, 2], 'stride': [2, 2], 'round_mode': 'FLOOR'},
    {'name': 'hash', 'type': 'InnerProduct', 'bottom': ['p'],
     'num_output': BITS, 'weight': 'h.w', 'bias': 'h.b'}]
SHAPES = {'c.w': (24, 3, 3, 3), 'c.b': (24,), 'h.w': (BITS, 24 * 16),
          'h.b': (BITS,)}


def read(name):
    with open(path(name), 'rb') as f:
        return f.read()


def tensors(name):
    """What stands behind the header."""
    data = read(name)
    return data[8 + struct.unpack('<Q', data[:8])[0]:]


def scene(i, side):
    """Picture i: waves of three colours, uint8 [side, side, 3]."""
    rng = np.random.RandomState(i)
    y, x = np.mgrid[0:side, 0:side] * (2 * np.pi / side)
    waves = [sum(np.sin(a * x + b * y + c) for a, b, c in
                 zip(rng.randint(0, 5, 4), rng.randint(0, 5, 4),
                     rng.rand(4) * 6)) for _ in range(3)]
    waves = np.stack(waves, 2)
    return np.clip(waves * 40 + 128, 0, 255).astype(np.uint8)


def saved(pixels, kind, **options):
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind, **options)
    return out.getvalue()


def table(name, pictures):
    if os.path.exists(path(name)):
        os.remove(path(name))
    db = sqlite3.connect(path(name))
    db.execute('CREATE TABLE images(id INTEGER PRIMARY KEY, image)')
    db.executemany('INSERT INTO images(image) VALUES (?)',
                   [(p,) for p in pictures])
    db.commit()
    db.close()
    return path(name)


def model(name, rng, **preprocess):
    """A network of random weights, by pack.py; its path."""
    for key, shape in SHAPES.items():
        scale = 1 if key.endswith('.b') else np.prod(shape[1:]) ** -0.5
        values = (rng.randn(*shape) * scale).astype('<f4')
        values.tofile(path(key + '.f32'))
    with open(path(name + '.json'), 'w') as f:
        json.dump({'input': {'name': 'data', 'channels': 3, 'height': SIDE,
                             'width': SIDE},
                   'preprocess': dict({'order': 'RGB', 'resize': 'area',
                                       'mean': [128] * 3,
                                       'scale': [1 / 64] * 3}, **preprocess),
                   'layers': LAYERS,
                   'heads': [{'name': 'm', 'features': 'p',
                              'latent': 'hash'}]}, f)
    status, said = call(sys.executable, 'weights/pack.py',
                        path(name + '.json'), FOLDER, path(name))
    if status:
        sys.exit('int8_import.py: pack.py: ' + said)
    return path(name)


def logits(name, pictures):
    """[n, BITS] of a model file, of pixels [n, 3, SIDE, SIDE] or what its
    network takes."""
    done = subprocess.run([RUN, path(name)], input=pictures.tobytes(),
                          capture_output=True)
    return np.frombuffer(done.stdout, '<f4').reshape(-1, BITS)


def codes():
    rng = np.random.RandomState(4)
    plain = model('float', rng)
    files = [saved(scene(i, SIDE), 'PNG') for i in range(60)]
    bad = [b'no picture', None, files[0][:40]]
    status, said = call(IMPORT, 'model', plain, '--int8',
                        table('some.db', files + bad), '-o', path('int8'))
    result('it is written', said if status else '')
    result('what cannot be decoded is counted, NULL is not there', '' if
           '2 pictures could not be read' in said else said)
    share = re.search(r'\(([\d.]+) %\) on \d+ other pictures', said)
    result('it says how many bits of other pictures changed', '' if share and
           float(share[1]) < 8 else said)

    fresh = np.stack([scene(i, SIDE) for i in range(500, 700)])
    fresh = fresh.transpose(0, 3, 1, 2).astype('<f4')
    a = logits('float', (fresh - 128) / np.float32(64)) > 0
    b = logits('int8', fresh) > 0
    result('codes of pictures that it has not seen: %.1f %% of bits differ' %
           (100 * (a != b).mean()), '' if len(a) == len(b) == 200 and
           (a != b).mean() < 0.05 and 0.2 < a.mean() < 0.8 else
           '%s %s' % (a.shape, b.shape))
    call(IMPORT, 'model', plain, '--int8', path('some.db'), '-o', path('again'))
    result('the same bytes again', '' if read('again') == read('int8') else
           'another file')


def network(name):
    data = read(name)
    size, = struct.unpack('<Q', data[:8])
    return json.loads(json.loads(data[8:8 + size])['__metadata__']['network'])


def finer():
    """Activations of 8 bits, by the quantiser and of what it made of 7."""
    fresh = np.stack([scene(i, SIDE) for i in range(500, 700)])
    fresh = fresh.transpose(0, 3, 1, 2).astype('<f4')
    wanted = logits('float', (fresh - 128) / np.float32(64))

    def error(name):
        return np.sqrt(((logits(name, fresh) - wanted) ** 2).mean())

    coarse = error('int8')
    status, said = call(IMPORT, 'model', path('float'), '--int8',
                        path('some.db'), '--activation-bits', '8', '-o',
                        path('eight'))
    result('--activation-bits 8 is written', said if status else '')
    status, said = call(sys.executable, 'weights/activation_bits.py',
                        path('int8'), path('later'))
    result('activation_bits.py makes it of 7', said if status else '')
    for name in 'eight', 'later':
        tops = {l.get('max', 127) for l in network(name)['layers']
                if 'scale' in l}
        result('%s: bytes go up to 255' % name, '' if tops == {255} else tops)
        result('%s: logits are %.2f times as far from those of floats' % (
            name, error(name) / coarse), '' if error(name) < 0.85 * coarse
            else 'that is too far')
    for name, source, words in (
            ('8 bits once more', 'later', ('layer c', 'max is 255 already')),
            ('a network of floats', 'float', ('no integer network',))):
        status, said = call(sys.executable, 'weights/activation_bits.py',
                            path(source), path('none'))
        result(name + ' is refused', '' if status == 1 and
               all(w in said for w in words) else '%s: %s' % (status, said))
    for name, more, words in (
            ('9 bits', ('--int8', path('some.db'), '--activation-bits', '9'),
             'out of range: --activation-bits'),
            ('bits of no integer form', ('--fp16', '--activation-bits', '8'),
             '--activation-bits wants --int8')):
        status, said = call(IMPORT, 'model', path('float'), *more, '-o',
                            path('none'))
        result(name + ' is refused', '' if status == 2 and words in said else
               '%s: %s' % (status, said))


def large():
    """JPEGs that the network will see at reduced scale are calibrated on so."""
    # noise, of which a reduced scale keeps other sums than an average does
    rng = np.random.RandomState(6)
    jpegs = [saved(np.clip(scene(i, 320).astype(int) +
                           rng.randint(-120, 120, (320, 320, 3)), 0,
                           255).astype(np.uint8), 'JPEG', quality=60,
                   subsampling=0) for i in range(16)]
    pngs = [saved(scene(i, 320), 'PNG') for i in range(16)]
    made = {}
    for name, more in ('reduced', {'reduced_jpeg': 1}), ('full', {}):
        plain = model('large', np.random.RandomState(4), **more)
        for kind, pictures in ('jpeg', jpegs), ('png', pngs):
            status, said = call(IMPORT, 'model', plain, '--int8',
                                table('large.db', pictures), '-o',
                                path('large.int8'))
            made[name, kind] = said if status else tensors('large.int8')
    result('large JPEGs are looked at at reduced scale', '' if
           made['reduced', 'jpeg'] != made['full', 'jpeg'] else 'they are not')
    result('and PNGs in full', '' if made['reduced', 'png'] ==
           made['full', 'png'] else 'they are not')


def refused():
    plain = path('float')
    empty = table('empty.db', [b'no picture', None])
    for name, source, words in (
            ('a table without a picture', empty, ('empty.db',)),
            ('a file that is none', path('float'), ('float',)),
            ('a file that is not there', path('nosuch.db'), ('nosuch.db',))):
        status, said = call(IMPORT, 'model', plain, '--int8', source, '-o',
                            path('none'))
        result(name + ' is refused', '' if status == 1 and
               all(w in said for w in words) else '%s: %s' % (status, said))
    status, said = call(IMPORT, 'model', path('int8'), '--int8',
                        path('some.db'), '-o', path('none'))
    result('an integer network is refused', '' if status == 1 and
           'integer' in said else '%s: %s' % (status, said))
    result('nothing is left behind', '\n'.join(
        n for n in os.listdir(FOLDER) if n.startswith('none') or
        n.endswith('.new')))


title('int8: ')
codes()
finer()
large()
refused()
finish()

#!/usr/bin/env python3
"""Integer networks: binhash-import model --int8 on a table of pictures.

    int8_import.py IMPORT RUN FOLDER

A small network in floats becomes one in integers whose codes are nearly the
same; activations of 8 bits bring it nearer, whether the quantiser gives them or
weights/activation_bits.py later.  Calibration spreads over the table, does not
mind what cannot be decoded, says how much of it there was, gives the same bytes
every time, and sees large JPEGs as the network will.  What it refuses, it
refuses without leaving a file.  Needs numpy and PIL.
"""
import io
import json
import os
import re
import shutil
import sqlite3
import struct
import subprocess
import sys

import numpy as np
from PIL import Image

from import_host import (FOLDER, IMPORT, RUN, call, finish, path, result,
                         title)

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '../../weights'))
import integer_reference  # noqa: E402
import preprocess  # noqa: E402

SIDE, BITS, CLASSES = 16, 32, 10

LAYERS = [
    {'name': 'c', 'type': 'Convolution', 'bottom': ['data'], 'num_output': 24,
     'kernel_size': [3, 3], 'pad': [1, 1, 1, 1], 'stride': [2, 2],
     'weight': 'c.w', 'bias': 'c.b'},
    {'name': 'c.relu', 'type': 'ReLU', 'bottom': ['c']},
    {'name': 'p', 'type': 'Pooling', 'bottom': ['c.relu'], 'pool': 'MAX',
     'kernel_size': [2, 2], 'stride': [2, 2], 'round_mode': 'FLOOR'},
    {'name': 'scores', 'type': 'InnerProduct', 'bottom': ['p'],
     'num_output': CLASSES, 'weight': 's.w', 'bias': 's.b'},
    {'name': 'prob', 'type': 'Softmax', 'bottom': ['scores']},
    {'name': 'hash', 'type': 'InnerProduct', 'bottom': ['p'],
     'num_output': BITS, 'weight': 'h.w', 'bias': 'h.b'}]
SHAPES = {'c.w': (24, 3, 3, 3), 'c.b': (24,), 'h.w': (BITS, 24 * 16),
          'h.b': (BITS,), 's.w': (CLASSES, 24 * 16), 's.b': (CLASSES,)}


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


def model(name, rng, layers=LAYERS, **preprocess):
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
                   'layers': layers,
                   'heads': [{'name': 'm', 'features': 'p',
                              'latent': 'hash'}]}, f)
    status, said = call(sys.executable, 'weights/pack.py',
                        path(name + '.json'), FOLDER, path(name))
    if status:
        sys.exit('int8_import.py: pack.py: ' + said)
    return path(name)


def logits(name, pictures, *layer):
    """[n, values] of the latent layer, or another, of a model file, of pixels
    [n, 3, SIDE, SIDE] or what its network takes."""
    done = subprocess.run([RUN, path(name), *layer], input=pictures.tobytes(),
                          capture_output=True)
    return np.frombuffer(done.stdout, '<f4').reshape(len(pictures), -1)


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


def pixels(first, count, side):
    fresh = np.stack([scene(i, side) for i in range(first, first + count)])
    return fresh.transpose(0, 3, 1, 2).astype('<f4')


def convert(source, to):
    return call(sys.executable, 'weights/activation_bits.py', source, path(to))


def finer(kind, layers):
    """Activations of 8 bits, by the quantiser and of what it made of 7."""
    fresh = pixels(500, 200, SIDE)
    plain = model(kind, np.random.RandomState(4), layers)
    wanted = logits(kind, (fresh - 128) / np.float32(64))

    def error(name):
        return np.sqrt(((logits(name, fresh) - wanted) ** 2).mean())

    for name, more in (('seven', ()), ('eight', ('--activation-bits', '8'))):
        status, said = call(IMPORT, 'model', plain, '--int8', path('some.db'),
                            *more, '-o', path(name))
        result('%s: %s bits are written' % (kind, name),
               said if status else '')
    status, said = convert(path('seven'), 'later')
    result('%s: activation_bits.py makes 8 of 7' % kind,
           said if status else '')
    zero = integer_reference.load(path('seven'))[0]['layers'][0].get('zero_point', 0)
    result('%s: the zero point of its first layer is %d' % (kind, zero),
           '' if (zero > 0) == (kind == 'signs') else 'it is not as meant')
    for name in 'eight', 'later':
        net, _ = integer_reference.load(path(name))
        tops = {l.get('max', 127) for l in net['layers'] if 'scale' in l}
        far = error(name) / error('seven')
        result('%s, %s: bytes go up to 255' % (kind, name),
               '' if tops == {255} else tops)
        scores = np.exp(logits(name, fresh, 'scores'))
        off = np.abs(scores / scores.sum(1, keepdims=True) -
                     logits(name, fresh, 'prob')).max()
        result('%s, %s: probabilities are %.4f from what the scores say' % (
            kind, name, off), '' if off < 0.004 else 'that is too far')
        result('%s, %s: logits are %.2f times as far from those of floats' % (
            kind, name, far), '' if far < 0.85 else 'that is too far')


def finer_shipped():
    """A sum, a Sigmoid on sums, a Softmax and means of mirror images: logits
    and probabilities stay what they were, and are what the definitions say."""
    old = os.path.join('weights', 'cifar10-48.safetensors')
    shutil.copyfile(old, path('old'))
    status, said = convert(old, 'finer')
    result('cifar10-48: converted', said if status else '')
    fresh = pixels(800, 12, 32)
    for layer, most in (('cifar10-48', 0.05), ('cifar10-48.prob', 0.03)):
        a, b = (logits(name, fresh, layer) for name in ('old', 'finer'))
        far = np.sqrt(((a - b) ** 2).mean() / (a ** 2).mean())
        result('%s: %.4f off' % (layer, far), '' if far < most and a.any()
               else 'that is too far')
    net, tensors = integer_reference.load(path('finer'))
    wanted = integer_reference.numbers(*integer_reference.run(
        net, tensors, fresh[:2].astype(np.uint8), layer))
    result('%s: as the definitions say' % layer, '' if np.array_equal(
        wanted.reshape(2, -1), b[:2]) else 'another number')


def finer_refused():
    later = path('later')
    for name, source, words in (
            ('8 bits once more', later, ('layer c', 'max is 255 already')),
            ('a network of floats', path('float'), ('no integer network',)),
            ('a file that is no model', path('some.db'), ('not of the form',)),
            ('a model that is not there', path('nosuch'), ('No such file',))):
        status, said = convert(source, 'none')
        result(name + ' is refused', '' if status == 1 and
               all(w in said for w in words) else '%s: %s' % (status, said))
    edits = (
        ('a Lookup', lambda n: n['layers'][1].update(type='Lookup'),
         'layer c.relu: Lookup is a type that is not converted'),
        ('a Constant without a bottom', lambda n: n['layers'].insert(
            0, {'name': 'k', 'type': 'Constant', 'weight': 'k'}),
         'layer k: Constant is a type that is not converted'),
        ('a tensor of two layers', lambda n: n['layers'][0].update(
            multiplier=n['layers'][0]['shift']), 'is of two layers'))
    for name, edit, words in edits:
        with open(path('int8'), 'rb') as f:
            data = preprocess.rewritten(f.read(), edit)
        with open(path('edited'), 'wb') as f:
            f.write(data)
        status, said = convert(path('edited'), 'none')
        result('%s is refused' % name, '' if status == 1 and words in said
               else '%s: %s' % (status, said))
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
finer('plain', LAYERS)
finer('signs', [dict(l, bottom=['c']) if l['name'] == 'p' else l
                for l in LAYERS if l['type'] != 'ReLU'])
finer_shipped()
finer_refused()
large()
refused()
finish()

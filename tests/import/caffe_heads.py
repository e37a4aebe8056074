#!/usr/bin/env python3
"""Heads of imported networks: those that are found, named and made of a layer
by --hash, on networks that are drawn here.  Prints TAP.

    caffe_heads.py IMPORT RUN FOLDER

IMPORT and RUN are binhash-import and binhash-run; FOLDER is for files.
"""
import json
import os
import sqlite3
import struct

import numpy as np

import caffe_files as cf
from caffe_files import V2
from caffe_harness import network, small, tool
from import_host import finish, path, result


def test_heads():
    rng = np.random.default_rng(10)
    layers = small(rng)
    text = cf.prototxt(layers, V2, cf.deploy((3, 15, 13)))
    weights = cf.caffemodel(layers, V2)

    def head(name, options, want, says='', net=text):
        status, err, out = tool(net, weights, '--mean', '0', *options)
        got = network().get('heads') if not status else None
        ok = says in err and (got == want if want != 1 else status == 1)
        result(name, '' if ok else '%s\n%s' % (err, got))

    usual = {'name': 'out', 'latent': 'code', 'features': 'r3',
             'classifier': 'prob'}
    head('the head by default', [], [usual])
    head('a name', ['--name', 'mine'], [dict(usual, name='mine')])
    head('layers that are named', ['--latent', 'latent', '--features', 'd3',
                                   '--classifier', 'class'],
         [dict(usual, latent='latent', classifier='class')])
    head('a layer that is missing', ['--latent', 'nosuch'], 1,
         '--latent: the network has no layer nosuch')
    head('no latent layer', [], None, 'no latent layer',
         text.replace('"Sigmoid"', '"TanH"'))
    status, err, _ = tool(text, weights, '--hash', 'fc')
    result('--hash without --bits', '' if status == 2 and 'go together' in err
           else err)


def square_root(rows):
    return rows @ rows.T - np.eye(len(rows))


def bmp(pixels):
    """24 bits; rows from the bottom, of a multiple of 4 bytes."""
    h, w, _ = pixels.shape
    fill = b'\0' * (-3 * w % 4)
    rows = b''.join(pixels[y, :, ::-1].tobytes() + fill
                    for y in reversed(range(h)))
    return (struct.pack('<2sIHHI', b'BM', 54 + len(rows), 0, 0, 54) +
            struct.pack('<IiiHHIIiiII', 40, w, h, 1, 24, 0, len(rows), 0, 0,
                        0, 0) + rows)


def tensor(name, model='out.safetensors'):
    with open(path(model), 'rb') as f:
        n = struct.unpack('<Q', f.read(8))[0]
        entry = json.loads(f.read(n))[name]
        f.seek(8 + n + entry['data_offsets'][0])
        size = entry['data_offsets'][1] - entry['data_offsets'][0]
        return np.frombuffer(f.read(size), '<f4').reshape(entry['shape'])


def test_hash():
    import sqlite3
    rng = np.random.default_rng(11)
    layers = small(rng)
    text = cf.prototxt(layers, V2, cf.deploy((3, 15, 13)))
    weights = cf.caffemodel(layers, V2)
    base = ['--mean', '120', '--std', '60', '--hash', 'fc', '--bits', '16']
    status, err, _ = tool(text, weights, *base)
    rows = tensor('hash.weight') if not status else None
    problem = err if status else ''
    if not problem and (rows.shape != (16, 20) or np.abs(
            square_root(rows)).max() > 1e-6 or tensor('hash.bias').any()):
        problem = 'not orthonormal, or not without a bias'
    if not problem and network()['heads'] != [
            {'name': 'out', 'latent': 'hash', 'features': 'fc',
             'classifier': 'prob'}]:
        problem = network()['heads']
    result('--hash by a rotation', problem)
    before = rows
    tool(text, weights, *base)
    same = np.array_equal(before, tensor('hash.weight'))
    tool(text, weights, *(base + ['--seed', '2']))
    other = np.array_equal(before, tensor('hash.weight'))
    result('a seed gives one rotation', '' if same and not other else 'no')
    status, err, _ = tool(text, weights, *(base + ['--fp16']),
                          out='half.safetensors')
    with open(path('half.safetensors'), 'rb') as f:
        header = json.loads(f.read(struct.unpack('<Q', f.read(8))[0]))
    result('weights in 16 bits', err if status else
           '' if header['hash.weight']['dtype'] == 'F16' and
           header['hash.bias']['dtype'] == 'F32' else header)
    status, err, _ = tool(text, weights, '--mean', '0', '--hash', 'p2',
                          '--bits', '100')
    rows = tensor('hash.weight') if not status else None
    result('more bits than values', err if status else '' if np.abs(
        square_root(rows[:56])).max() < 1e-6 and np.abs(square_root(
            rows[56:])).max() < 1e-6 else 'not orthonormal')
    status, err, _ = tool(text, weights, '--mean', '0', '--hash', 'r3',
                          '--bits', '8')
    result('a warning where nothing is negative',
           '' if 'r3: its values are never negative' in err else err or 'no')

    # images of sixty kinds; every tenth is no image, every eleventh NULL
    db = path('images.db')
    if os.path.exists(db):
        os.remove(db)
    connection = sqlite3.connect(db)
    connection.execute('CREATE TABLE shots(id INTEGER, shot BLOB)')
    kinds = rng.integers(0, 256, (60, 15, 13, 3))
    kept = []
    for i in range(400):
        pixels = np.clip(kinds[i % 60] + rng.normal(0, 40, (15, 13, 3)), 0,
                         255).astype(np.uint8)
        data = bmp(pixels)
        if i % 10 == 9:
            data = b'no image'
        elif i % 11 == 10:
            data = None
        else:
            kept.append(pixels[:, :, ::-1].transpose(2, 0, 1))
        connection.execute('INSERT INTO shots VALUES(?,?)', (i, data))
    connection.commit()
    connection.close()
    where = ['--images', db, '--table', 'shots', '--column', 'shot',
             '--limit', '1000']
    x = (np.array(kept, np.float64) - 120) / 60
    features = np.array([cf.forward(layers, one)[0]['fc'].reshape(-1)
                         for one in x])
    centred = features - features.mean(0)
    status, err, _ = tool(text, weights, *(base + where))
    problem = err if status else ''
    if not problem and '40 images cannot be decoded' not in err:
        problem = 'it does not count what cannot be decoded: ' + err
    if not problem:
        rows, bias = tensor('hash.weight'), tensor('hash.bias')
        want = -rows.astype(np.float64) @ features.mean(0)
        if np.abs(bias - want).max() > 1e-4 * np.abs(want).max():
            problem = 'the mean is not that of the images'
    if not problem:
        status, err, _ = tool(text, weights, *(base + where +
                                               ['--hash', 'r3']))
        if status or 'never negative' in err:
            problem = err
        tool(text, weights, *(base + where))
    result('a rotation about the mean of images', problem)

    def loss(rows):
        v = centred @ rows.T.astype(np.float64)
        return ((np.sign(v) - v) ** 2).sum() / len(v)

    rotated = loss(tensor('hash.weight')) if not status else 0
    ten = base[:-1] + ['10']
    status, err, _ = tool(text, weights, *(ten + where + ['--hash-method',
                                                          'itq']))
    problem = err if status else ''
    if not problem:
        rows = tensor('hash.weight').astype(np.float64)
        _, _, vt = np.linalg.svd(centred, full_matrices=False)
        # within the principal subspace, orthonormal, and a fixed point of ITQ
        caught = (centred @ rows.T).var() / (centred @ vt[:10].T).var()
        v = centred @ vt[:10].T
        turn = vt[:10] @ rows.T
        u, _, wt = np.linalg.svd(v.T @ np.sign(v @ turn))
        moved = np.abs(u @ wt - turn).max()
        # numpy's own, from nine other rotations
        starts = [np.linalg.qr(np.random.default_rng(s).standard_normal(
            (10, 10)))[0] for s in range(9)]
        ends = []
        for r in starts:
            for _ in range(50):
                u, _, wt = np.linalg.svd(v.T @ np.sign(v @ r))
                r = u @ wt
            ends.append(loss(r.T @ vt[:10]))
        start = np.mean([loss(r.T @ vt[:10]) for r in starts])
        if not caught > 0.9999 or np.abs(square_root(rows)).max() > 1e-5:
            problem = 'not the principal subspace: %g of its variance' % caught
        elif not min(ends) - 0.01 < loss(rows) < max(ends) + 0.01 < start:
            problem = 'loss %g, numpy %s, at the start %g' % (
                loss(rows), sorted(ends), start)
        elif moved > 0.02:
            problem = 'it has not settled: %g' % moved
        else:
            print('# loss %.3f, numpy %.3f to %.3f, a random rotation %.3f' % (
                loss(rows), min(ends), max(ends), start))
    result('--hash-method itq', problem)
    for name, options, says in (
            ('a table that is missing', ['--images', db],
             'no such table: images (--table and --column name others)'),
            ('a column that is missing', ['--images', db, '--table', 'shots'],
             'no such column'),
            ('no database', ['--images', path('net.prototxt')],
             'not a database'),
            ('itq without images', ['--hash-method', 'itq'],
             'itq wants --images'),
            ('too many bits for itq', where + ['--hash-method', 'itq',
                                               '--bits', '21'],
             'at most as many bits as the layer has values, 20'),
            ('too few images for itq', where + ['--hash-method', 'itq',
                                                '--limit', '12'],
             'at least as many images as bits, 16'),
            ('no such layer', ['--hash', 'nosuch'], 'no layer nosuch')):
        status, err, _ = tool(text, weights, *(base + options))
        result(name, '' if status in (1, 2) and says in err else err or 'no')


for test in (test_heads, test_hash):
    test()
finish()

#!/usr/bin/env python3
"""Weights in 16 bits: pack.py --fp16 and binhash-import --fp16 write the same,
which is what numpy makes of them, and binhash-run computes with those numbers.

    half_import.py IMPORT RUN FOLDER

IMPORT and RUN are binhash-import and binhash-run; FOLDER is for files.
"""
import json
import os
import struct
import subprocess
import sys

import numpy as np

from import_host import (FOLDER, IMPORT, RUN, call, finish, path, result,
                         title)

PACK = [sys.executable, 'weights/pack.py']

NETWORK = {
    'input': {'name': 'data', 'channels': 3, 'height': 5, 'width': 4},
    'layers': [
        {'name': 'c', 'type': 'Convolution', 'bottom': ['data'],
         'num_output': 7, 'kernel_size': [3, 3], 'pad': [1, 1, 1, 1],
         'weight': 'c.w', 'bias': 'c.b'},
        {'name': 'f', 'type': 'InnerProduct', 'bottom': ['c'],
         'num_output': 64, 'weight': 'f.w', 'bias': 'f.b'},
        {'name': 'z', 'type': 'InnerProduct', 'bottom': ['f'],
         'num_output': 1024, 'weight': 'z.w'}]}
SHAPES = {'c.w': (7, 3, 3, 3), 'c.b': (7,), 'f.w': (64, 140), 'f.b': (64,),
          'z.w': (1024, 64)}


def put(tensors):
    for name, values in tensors.items():
        values.astype('<f4').tofile(path(name + '.f32'))


def read(name):
    """(metadata, {tensor: (dtype, shape, bytes)}) of a model file."""
    with open(path(name), 'rb') as f:
        data = f.read()
    n = struct.unpack('<Q', data[:8])[0]
    header = json.loads(data[8:8 + n])
    meta = header.pop('__metadata__')
    return meta, {
        k: (v['dtype'], v['shape'],
            data[8 + n + v['data_offsets'][0]:8 + n + v['data_offsets'][1]])
        for k, v in header.items()}


def run(name):
    x = np.random.RandomState(5).rand(3, 60).astype('<f4')
    done = subprocess.run([RUN, path(name), '--batch', '2'],
                          input=x.tobytes(), capture_output=True)
    return done.stdout if done.returncode == 0 else done.stderr


def hard(n):
    """Numbers where rounding is decided: every number of 16 bits, what lies
    half way to the next, and the neighbours of both."""
    halves = np.arange(0x7c00, dtype=np.uint16).view(np.float16)
    x = halves.astype(np.float32)
    middle = (x[1:].astype(np.float64) + x[:-1]) / 2
    middle = np.append(middle, 65519.996).astype(np.float32)
    both = np.concatenate([x, middle])
    both = np.concatenate([both, np.nextafter(both, np.float32(0)),
                           np.nextafter(both, np.float32(65519))])
    both = np.concatenate([both, -both])
    return both[np.random.RandomState(3).permutation(len(both))[:n]]


def main():
    rng = np.random.RandomState(1)
    tensors = {k: (rng.rand(*s) - 0.5).astype(np.float32)
               for k, s in SHAPES.items()}
    tensors['z.w'] = hard(1024 * 64).reshape(1024, 64)
    put(tensors)
    with open(path('net.json'), 'w') as f:
        json.dump(NETWORK, f)
    net, full = path('net.json'), path('full.safetensors')
    status, said = call(*PACK, net, FOLDER, full)
    packed, more = call(*PACK, net, FOLDER, path('packed.safetensors'),
                        '--fp16')
    result('pack.py --fp16', said + more if status or packed else '')
    status, said = call(IMPORT, 'model', full, '--fp16', '-o',
                        path('made.safetensors'))
    result('binhash-import model --fp16', said if status else '')

    meta, made = read('made.safetensors')
    packed_meta, packed = read('packed.safetensors')
    result('both write the same', '' if packed == made else
           [k for k in made if made[k] != packed.get(k)])
    result('the network is as it was',
           '' if json.loads(meta['network']) == NETWORK ==
           json.loads(packed_meta['network']) else meta)
    for name, values in tensors.items():
        dtype = 'F16' if name in ('f.w', 'z.w') else 'F32'
        with np.errstate(all='ignore'):
            want = values.astype('<f2' if dtype == 'F16' else '<f4')
        got = made[name]
        bad = got[:2] != (dtype, list(values.shape)) or (
            got[2] != want.tobytes())
        result('%s is %s as numpy makes it' % (name, dtype),
               'differs' if bad else '')

    # The same numbers in 32 bits give the same results.
    put({k: v.astype(np.float16).astype(np.float32)
         for k, v in tensors.items() if k in ('f.w', 'z.w')})
    status, said = call(*PACK, net, FOLDER, path('same.safetensors'))
    out = [run(n + '.safetensors') for n in ('made', 'same', 'full')]
    result('computed as the floats that they are',
           '' if out[0] == out[1] != out[2] and len(out[0]) == 3 * 4096 else
           out[0][:200])

    tensors['f.w'][3, 7] = 65520
    put({'f.w': tensors['f.w']})
    call(*PACK, net, FOLDER, full)
    status, said = call(*PACK, net, FOLDER, path('none'), '--fp16')
    result('pack.py refuses what is too large',
           '' if status == 1 and 'f.w has values that do not fit' in said
           else said)
    status, said = call(IMPORT, 'model', full, '--fp16', '-o', path('none'))
    result('so does binhash-import',
           '' if status == 1 and 'f.w: 65520 does not fit 16 bits' in said
           else said)
    status, said = call(IMPORT, 'model', 'weights/cifar10-48.safetensors',
                        '--fp16', '-o', path('none'))
    result('an integer network has none',
           '' if status == 1 and 'an integer network' in said else said)
    status, said = call(IMPORT, 'model', full, '--fp16', '--int8', 'x.db',
                        '-o', path('none'))
    result('not with --int8', '' if status == 2 and '--int8' in said else said)
    result('nothing is left behind', '\n'.join(
        n for n in os.listdir(FOLDER) if n.startswith('none') or
        n.endswith('.new')))
    finish()


title('16 bits: ')
main()

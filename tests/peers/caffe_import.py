#!/usr/bin/python3
"""The paper's network through binhash-import (caffe_import.sh says what for).

    caffe_import.py IMPORT RUN PEERS SEED.prototxt
"""
import os
import re
import subprocess
import sys

import cv2
import numpy as np

IMPORT, RUN, PEERS, SEED = sys.argv[1:5]
MEAN = ['--mean', '104,117,123', '--name', 'caffenet-48']
IMAGES = 4       # that OpenCV sees; it is about layers, not pictures
count = failures = 0


def result(name, problem='', note=''):
    global count, failures
    count += 1
    failures += bool(problem)
    print('%sok %d - caffe import: %s%s' % (
        'not ' if problem else '', count, name, note and ': ' + note))
    for line in str(problem).splitlines()[:20]:
        print('# ' + line)
    sys.stdout.flush()


def peer(name):
    return os.path.join(PEERS, name)


def convert(text, weights, out, *options):
    done = subprocess.run([IMPORT, 'caffe', text, weights, '-o', peer(out)] +
                          list(options), capture_output=True)
    return done.returncode, done.stderr.decode()


def same(one, other):
    with open(peer(one), 'rb') as a, open(peer(other), 'rb') as b:
        while True:
            x, y = a.read(1 << 24), b.read(1 << 24)
            if x != y or not x:
                return x == y


def run(model, layer, x):
    done = subprocess.run([RUN, peer(model), layer, '--batch', '8'],
                          input=x.tobytes(), capture_output=True)
    if done.returncode:
        raise RuntimeError(done.stderr.decode())
    return np.frombuffer(done.stdout, '<f4').reshape(len(x), -1)


def v1_text(text):
    """The deploy text as the authors' V1 form has it."""
    words = {'Convolution': 'CONVOLUTION', 'ReLU': 'RELU',
             'Pooling': 'POOLING', 'LRN': 'LRN', 'Dropout': 'DROPOUT',
             'InnerProduct': 'INNER_PRODUCT', 'Sigmoid': 'SIGMOID',
             'Softmax': 'SOFTMAX'}
    text = re.sub(r'(?m)^layer ', 'layers ', text)
    return re.sub(r'type: "(\w+)"', lambda m: 'type: ' + words[m[1]], text)


with open(peer('deploy.prototxt')) as f:
    DEPLOY = f.read()
with open(peer('deploy_v1.prototxt'), 'w') as f:
    f.write(v1_text(DEPLOY))
NEW, OLD = peer('caffenet48.caffemodel'), peer('caffenet48_v1.caffemodel')
X = np.fromfile(peer('input32.f32'), '<f4').reshape(32, 3, 227, 227)
WANT = np.fromfile(peer('expected_sigmoid32.f64'), '<f8').reshape(32, 48)


def check_codes(name, model):
    got = run(model, 'fc8_kevin_encode', X)
    worst = np.abs(got - WANT).max()
    bits = int(((got > 0.5) == (WANT > 0.5)).sum())
    ok = worst < 1e-5 and bits == WANT.size
    result(name, '' if ok else 'too far', 'max difference %.2g, %d of %d bits '
           'equal' % (worst, bits, WANT.size))
    return got


# One model, whatever generation its two files are of
first = None
for text, label in ((peer('deploy.prototxt'), 'deploy'),
                    (peer('deploy_v1.prototxt'), 'V1 deploy')):
    for weights, kind in ((NEW, 'current'), (OLD, 'V1')):
        out = 'imported.safetensors' if not first else 'again.safetensors'
        status, err = convert(text, weights, out, *MEAN)
        problem = err if status else ''
        if not problem and first and not same(first, out):
            problem = 'another model than the first'
        first = first or out
        result('%s, %s caffemodel' % (label, kind), problem)
codes = check_codes('codes of the deploy form', first)

# The network as published
status, err = convert(SEED, NEW, 'seed.safetensors')
result('the published text wants its mean', '' if status == 1 and
       'meanfile' in err and 'imagenet_mean.binaryproto' in err else err)
for weights, kind in ((NEW, 'current'), (OLD, 'V1')):
    status, err = convert(SEED, weights, 'seed_%s.safetensors' % kind, *MEAN)
    result('the published text, %s caffemodel' % kind, err if status or err
           else '')
result('both are one model', '' if same(
    'seed_current.safetensors', 'seed_V1.safetensors') else 'they are two')
got = check_codes('codes of the published text', 'seed_current.safetensors')
result('and those of the deploy form', '' if np.array_equal(got, codes)
       else 'they differ')

# Every layer, as OpenCV reads the same files
for weights, kind in ((NEW, 'current'), (OLD, 'V1')):
    net = cv2.dnn.readNetFromCaffe(peer('deploy.prototxt'), weights)
    net.enableFusion(False)
    worst, problem, names = 0.0, '', re.findall(
        r'layer \{ name: "(\w+)"', DEPLOY)
    for name in names:
        mine = run(first, name, X[:IMAGES])
        net.setInput(X[:IMAGES])
        theirs = net.forward(name).reshape(IMAGES, -1)
        off = np.abs(mine - theirs).max() / np.abs(theirs).max()
        worst = max(worst, off)
        if not off < 1e-4:
            problem += '%s: %g\n' % (name, off)
    result('%d layers, as OpenCV reads the %s caffemodel' % (
        len(names), kind), problem, 'at most %.2g of the largest value' % worst)
for name in ('again', 'seed', 'seed_current', 'seed_V1', 'imported'):
    if os.path.exists(peer(name + '.safetensors')):
        os.remove(peer(name + '.safetensors'))
print('1..%d' % count)
sys.exit(failures > 0)

#!/usr/bin/env python3
"""weights/train_caffe.py against what it stands for: its layers against
PyTorch's own, its solver against Caffe's formulas, mAP@k against the
definition; and whole runs of a small network, cut off and not.

    train_caffe.py FOLDER

FOLDER is for files.  Needs torch and Pillow.  Prints TAP.
"""
import io
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import types

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

sys.path.insert(0, 'weights')
import train_caffe  # noqa: E402
from ranking import mean_average_precision  # noqa: E402

FOLDER = sys.argv[1]
count = failures = 0


def layer(name, kind, bottom, rest='', top=None):
    return 'layers { layer { name: "%s" type: "%s" %s } bottom: "%s" ' \
        'top: "%s" }\n' % (name, kind, rest, bottom, top or name)


def learned(std, more=''):
    return 'weight_filler { type: "gaussian" std: %g } %s blobs_lr: 1. ' \
        'blobs_lr: 2. weight_decay: 1. weight_decay: 0.' % (std, more)


# Everything that the paper's network has, in small.
NET = (
    'name: "small"\nlayers { layer { name: "data" type: "data" batchsize: 8 '
    'cropsize: 67 mirror: true } top: "data" top: "label" }\n' +
    layer('c1', 'conv', 'data', 'num_output: 8 kernelsize: 11 stride: 4 ' +
          learned(0.01)) +
    layer('r1', 'relu', 'c1', top='c1') +
    layer('p1', 'pool', 'c1', 'pool: MAX kernelsize: 3 stride: 2') +
    layer('n1', 'lrn', 'p1', 'local_size: 5 alpha: 0.0001 beta: 0.75') +
    layer('pad2', 'padding', 'n1', 'pad: 1') +
    layer('c2', 'conv', 'pad2', 'num_output: 16 group: 2 kernelsize: 3 ' +
          learned(0.05, 'bias_filler { type: "constant" value: 1. }')) +
    layer('r2', 'relu', 'c2', top='c2') +
    layer('f1', 'innerproduct', 'c2', 'num_output: 32 ' + learned(0.05)) +
    layer('d1', 'dropout', 'f1', 'dropout_ratio: 0.5', top='f1') +
    layer('latent', 'innerproduct', 'f1', 'num_output: 16 ' + learned(0.05)) +
    layer('code', 'sigmoid', 'latent') +
    layer('f3', 'innerproduct', 'code', 'num_output: 2 blobs_lr: 10. '
          'blobs_lr: 20. weight_filler { type: "gaussian" std: 0.1 }') +
    'layers { layer { name: "loss" type: "softmax_loss" } bottom: "f3" '
    'bottom: "label" }\n')


def result(name, problem=''):
    global count, failures
    count += 1
    failures += bool(problem)
    print('%sok %d - import training: %s%s' % (
        'not ' if problem else '', count, name,
        '\n#   ' + str(problem) if problem else ''))


def apart(a, b):
    """What is wrong where a and b should be the same but for rounding."""
    if a.shape != b.shape:
        return '%s, %s expected' % (tuple(a.shape), tuple(b.shape))
    worst = ((a - b).abs().max() / b.abs().max()).item()
    return '' if worst < 1e-9 else 'difference %g' % worst


def draw(*shape):
    return torch.randn(shape, dtype=torch.float64, generator=DRAWS)


DRAWS = torch.Generator().manual_seed(1)


def layers():
    for side, k, s, pad in ((67, 11, 4, 0), (30, 7, 2, 3), (33, 4, 4, 0),
                            (31, 2, 3, 1), (12, 12, 5, 0)):
        x, w, b = draw(2, 3, side, side + 1), draw(5, 3, k, k), draw(5)
        result('a convolution %dx%d by steps of %d' % (k, k, s), apart(
            train_caffe.strided(x, w, b, s, pad),
            F.conv2d(x, w, b, s, pad)))
    for n in (1, 3, 5):
        x = draw(2, 7, 3, 4) * 9
        result('LRN of %d channels' % n, apart(
            train_caffe.lrn(x, n, 0.1, 0.75, 2.0),
            F.local_response_norm(x, n, 0.1, 0.75, 2.0)))
    net, padded = (train_caffe.Network(NET, 1) for _ in range(2))
    padded.steps = [train_caffe.Step(c) for c in train_caffe.parse(
        NET).all('layers')]
    x = draw(2, 3, 67, 67).float() * 50
    with torch.no_grad():
        result('padding is a part of the convolution',
               'the layer is still there' if any(
                   s.type == 'padding' for s in net.steps) else apart(
                   net.forward(x, None)[0], padded.forward(x, None)[0]))


def answers():
    net = train_caffe.Network(NET, 1)
    pictures = torch.randint(0, 256, (70, 3, 32, 32), generator=DRAWS).byte()
    mean = torch.full((3, 1, 1), 120.0)
    labels, bits = train_caffe.answers(net, mean, pictures)
    wide = F.interpolate(pictures.float(), (256, 256), mode='bilinear')
    middle = wide.round()[:, :, 94:161, 94:161] - mean
    with torch.no_grad():
        scores, latent = net.forward(middle, None)
    result('labels and codes of the middle of pictures',
           '' if torch.equal(labels, scores.argmax(1)) and
           torch.equal(bits, torch.sigmoid(latent) > 0.5) and
           0.1 < bits.float().mean() < 0.9 else bits.float().mean(0).tolist())


def solver():
    """Caffe's formulas, one blob after another, the rate falling twice."""
    net = train_caffe.Network(NET, 1)
    o = types.SimpleNamespace(rate=0.01, momentum=0.9, decay=0.01)
    mine = train_caffe.Solver(net, o)
    blobs = [b for b, _, _ in net.flat()]
    for b in blobs:
        b.data = b.data.double()
    for m in mine.moments:
        m.data = m.data.double()
    w = [b.detach().clone() for b in blobs]
    v = [torch.zeros_like(b) for b in blobs]
    for at in range(9):
        mine.follow(at // 3)
        mine.step(sum((b ** 2).sum() * (at - 4) for b in blobs))
        rate = o.rate * 0.1 ** (at // 3)
        for i, (_, by, decay) in enumerate(net.flat()):
            gradient = 2 * w[i] * (at - 4) + o.decay * decay * w[i]
            v[i] = o.momentum * v[i] + rate * by * gradient
            w[i] = w[i] - v[i]
    result('the solver is Caffe\'s', next(filter(None, (
        apart(b.detach(), e) for b, e in zip(blobs, w) if e.any())), ''))
    rates = {(by, decay) for _, by, decay in net.flat()}
    result('blobs_lr and weight_decay count', '' if rates == {
        (1.0, 1.0), (2.0, 0.0), (10.0, 1.0), (20.0, 1.0)} else rates)


def ranking():
    r = np.random.default_rng(1)
    base, query = r.integers(0, 2, (300, 6)), r.integers(0, 2, (40, 6))
    labels, asked = r.integers(0, 3, 300), r.integers(0, 4, 40)
    total = 0
    for q, label in zip(query, asked):
        near = np.argsort((base != q).sum(1), kind='stable')[:50]
        hit = labels[near] == label
        precision = np.cumsum(hit) / np.arange(1, 51)
        total += precision[hit].mean() if hit.any() else 0
    got = mean_average_precision(*map(torch.from_numpy, (
        query, asked, base, labels)), k=50)
    result('mAP@k by its definition', '' if abs(
        got - total / 40) < 1e-5 else '%g, %g expected' % (got, total / 40))


def order():
    rows = train_caffe.Order(10, 4, 3, 'cpu')
    seen = torch.cat([rows.rows(at) for at in range(10)]).view(4, 10)
    again = train_caffe.Order(10, 4, 3, 'cpu').rows(7)
    result('every epoch has every picture once, wherever a run begins',
           '' if all(sorted(e.tolist()) == list(range(10)) for e in seen) and
           not torch.equal(seen[0], seen[1]) and
           torch.equal(again, seen.view(-1)[28:32]) else seen.tolist())


def clock():
    """A minute of which every iteration takes half a second."""
    net = train_caffe.Network(NET, 1)
    o = types.SimpleNamespace(
        rate=0.01, momentum=0.9, decay=0.01, minutes=1, iterations=50000,
        step=20000, out=FOLDER, weights=None)
    kept, train_caffe.time = train_caffe.time, types.SimpleNamespace(
        time=lambda: run.at * 0.5 if run else 0.0)
    run, falls = None, []
    run = train_caffe.Run(net, o)
    while run.more():
        falls.append(run.solver.falls)
        run.at += 1
    train_caffe.time = kept
    result('by the clock the rate falls after 0.4 and 0.8 of it',
           '' if falls == [0] * 48 + [1] * 48 + [2] * 24 else falls)


def data(path):
    """Pictures of two classes: dark below, dark above."""
    r = np.random.default_rng(1)
    db = sqlite3.connect(path)
    db.execute('CREATE TABLE images(id INTEGER PRIMARY KEY, split, label, '
               'image)')
    for i in range(120):
        picture = r.integers(0, 120, (32, 32, 3))
        picture[16 * (i % 2):16 * (i % 2) + 16] += 120
        out = io.BytesIO()
        Image.fromarray(picture.astype(np.uint8)).save(out, 'PNG')
        db.execute('INSERT INTO images VALUES (?, ?, ?, ?)', (
            i, 'train' if i < 80 else 'test', i % 2, out.getvalue()))
    db.commit()


def train(out, *options):
    args = [sys.executable, 'weights/train_caffe.py', FOLDER + '/net.prototxt',
            '--data', FOLDER + '/data.db', '--out', os.path.join(FOLDER, out),
            '--rate', '0.005', '--snapshot', '30', *options]
    env = dict(os.environ, CUDA_VISIBLE_DEVICES='')
    done = subprocess.run(args, capture_output=True, text=True, env=env)
    return done.stdout + done.stderr[-500:]


def model(out):
    path = os.path.join(FOLDER, out, 'trained.caffemodel')
    if not os.path.exists(path):
        return None
    with open(path, 'rb') as f:
        return f.read()


def figure(pattern, text):
    found = re.search(pattern, text)
    return float(found.group(1)) if found else -1


def runs():
    data(FOLDER + '/data.db')
    with open(FOLDER + '/net.prototxt', 'w') as f:
        f.write(NET)
    steps = ('--step', '40')
    said = train('whole', '--iterations', '90', *steps)
    learnt = figure(r'\naccuracy of 40 test images (\S+)', said)
    found = figure(r'16 bits, 40 test images ask 80: (\S+)', said)
    result('it learns two plain classes',
           '' if learnt == 1 and found > 0.99 else said)
    train('cut', '--iterations', '30', '--no-model', *steps)
    result('--no-model writes none', 'there is one' if model('cut') else '')
    said = train('cut', '--iterations', '90', *steps)
    result('a run that was cut off goes on to the same numbers',
           '' if 'from iteration 30' in said and model('whole') and
           model('cut') == model('whole') else said)
    again = train('cut', '--iterations', '90', *steps)
    result('one that is done trains no more',
           '' if model('cut') == model('whole') and 'loss' not in again and
           figure(r'\naccuracy of 40 test images (\S+)', again) == learnt
           else again)


shutil.rmtree(FOLDER, ignore_errors=True)
os.makedirs(FOLDER)
layers()
answers()
solver()
ranking()
order()
clock()
runs()
print('1..%d' % count)
sys.exit(failures > 0)

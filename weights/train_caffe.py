#!/usr/bin/python3
"""Train a network of Caffe from its own prototxt, as Caffe would.

    python3 weights/train_caffe.py NET.prototxt --data CIFAR10.db \\
        --mean 104,117,123 --out build/caffe [--weights INITIAL.caffemodel]
    build/binhash-import caffe NET.prototxt build/caffe/trained.caffemodel \\
        -o mine.safetensors --mean 104,117,123

The network is a training text of the generation V0, as the paper's is published
(KevinNet_CIFAR10_48_train.prototxt): layers of convolution, pooling, LRN, inner
products, dropout, ReLU, sigmoid and the loss, with fillers, multipliers of rate
and decay (blobs_lr, weight_decay), batchsize, cropsize and mirror, all of which
are followed.  --weights gives layers of the same name and shape their initial
values, as Caffe's fine-tuning does; the paper starts from CaffeNet, trained on
ImageNet.  Layers of another name begin with their fillers.

The solver is Caffe's: V = momentum V + rate (gradient + decay W), W = W - V,
with the rate divided by ten every --step iterations.  Pictures are stretched to
256x256 and a random crop of them, mirrored or not, is what the network sees.
Every draw comes from (seed, iteration): a run that was cut off goes on from its
last snapshot, and one that is done does nothing.

DATA is the file that cifar10_db.py makes.  Needs python3-torch, python3-pil.
"""
import argparse
import io
import os
import sqlite3
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from caffe_files import parse, read_blobs, write_blobs

WIDE = 256    # what pictures are stretched to before the crop


def fail(layer, sentence):
    sys.exit('layer %s: %s' % (layer, sentence))


class Step:
    """A layer of the text: its parameters and the blobs that it joins."""

    def __init__(self, connection):
        self.p = connection.get('layer')
        self.name, self.type = self.p.get('name'), self.p.get('type')
        self.bottoms = connection.all('bottom')
        self.tops = connection.all('top')


def fill(shape, filler, generator):
    kind = filler.get('type', 'constant') if filler else 'constant'
    get = (lambda key, default: filler.number(key, default) if filler
           else default)
    if kind == 'constant':
        return torch.full(shape, get('value', 0.0))
    if kind == 'gaussian':
        return get('mean', 0.0) + get('std', 1.0) * torch.randn(
            shape, generator=generator)
    low, high = get('min', 0.0), get('max', 1.0)
    if kind == 'xavier':
        high = (3 / np.prod(shape[1:])) ** 0.5
        low = -high
    elif kind != 'uniform':
        raise ValueError('filler %s' % kind)
    return low + (high - low) * torch.rand(shape, generator=generator)


class Network:
    """The layers, their blobs, and what each blob's rate and decay are."""

    def __init__(self, text, seed):
        message = parse(text)
        self.name = message.get('name', 'net')
        self.steps = [Step(c) for c in message.all('layers')
                      if c.get('layer')]
        data = [s for s in self.steps if s.type == 'data']
        if not data:
            sys.exit('no data layer of the generation V0 is in it')
        self.data = data[0].p
        self.crop = self.data.number('cropsize', 0)
        if not 0 < self.crop <= WIDE:
            fail(data[0].name, 'cropsize from 1 to %d is expected' % WIDE)
        self.generator = torch.Generator().manual_seed(seed)
        self.blobs, self.rates, self.decays = {}, {}, {}
        with torch.no_grad():
            self.forward(torch.zeros(1, 3, self.crop, self.crop), None, None)

    def trained(self, step, shape):
        """The layer's weights and biases, made when it is first met."""
        if step.name not in self.blobs:
            blobs = [fill(shape, step.p.get('weight_filler'), self.generator)]
            if step.p.get('biasterm', 'true') != 'false':
                blobs.append(fill(shape[:1], step.p.get('bias_filler'),
                                  self.generator))
            self.blobs[step.name] = [b.requires_grad_() for b in blobs]
            numbers = [[float(v) for v in step.p.all(key)]
                       for key in ('blobs_lr', 'weight_decay')]
            self.rates[step.name], self.decays[step.name] = (
                n + [1.0] * (len(blobs) - len(n)) for n in numbers)
        blobs = self.blobs[step.name]
        return blobs[0], blobs[1] if len(blobs) > 1 else None

    def layer(self, step, x, generator):
        p, kind = step.p, step.type
        if kind == 'conv':
            group, k = p.number('group', 1), p.number('kernelsize', 0)
            w, b = self.trained(step, (p.number('num_output', 0),
                                       x.shape[1] // group, k, k))
            return F.conv2d(x, w, b, p.number('stride', 1),
                            p.number('pad', 0), 1, group)
        if kind == 'innerproduct':
            x = x.flatten(1)
            w, b = self.trained(step, (p.number('num_output', 0),
                                       x.shape[1]))
            return F.linear(x, w, b)
        if kind == 'pool':
            how = (p.number('kernelsize', 0), p.number('stride', 1),
                   p.number('pad', 0))
            if p.get('pool', 'MAX') == 'MAX':
                return F.max_pool2d(x, *how, ceil_mode=True)
            return F.avg_pool2d(x, *how, ceil_mode=True)
        if kind == 'lrn':
            return F.local_response_norm(
                x, p.number('local_size', 5), p.number('alpha', 1.0),
                p.number('beta', 0.75), p.number('k', 1.0))
        if kind == 'padding':
            return F.pad(x, (p.number('pad', 0),) * 4)
        if kind == 'dropout':
            if generator is None:
                return x
            keep = 1 - p.number('dropout_ratio', 0.5)
            return x * (torch.rand(x.shape, generator=generator) < keep) / keep
        if kind in ('relu', 'sigmoid', 'tanh'):
            return getattr(torch, kind)(x)
        return fail(step.name, 'the type %s is not trained here' % kind)

    def forward(self, pixels, labels, generator):
        """(the loss, the scores); without a generator as at inference."""
        held, loss, scores = {'data': pixels}, None, None
        for step in self.steps:
            if step.type == 'data':
                held[step.tops[0]] = pixels
            elif step.type == 'softmax_loss':
                scores = held[step.bottoms[0]]
                if labels is not None:
                    loss = F.cross_entropy(scores, labels)
            elif step.type != 'accuracy':
                held[step.tops[0]] = self.layer(step, held[step.bottoms[0]],
                                                generator)
        if scores is None:
            sys.exit('no softmax_loss is in it')
        return loss, scores

    def start(self, path):
        """Initial weights by the layer's name."""
        found = read_blobs(path)
        for name, blobs in self.blobs.items():
            if name not in found:
                print('%s: from its filler' % name)
                continue
            if len(found[name]) < len(blobs):
                fail(name, 'fewer blobs in %s' % path)
            for blob, values in zip(blobs, found[name]):
                if values.size != blob.numel():
                    fail(name, '%s in %s, %s expected' % (
                        values.shape, path, tuple(blob.shape)))
                blob.data.copy_(torch.from_numpy(
                    values.reshape(tuple(blob.shape)).copy()))
            print('%s: from %s' % (name, path))

    def flat(self):
        """(blob, rate, decay) of all."""
        for name, blobs in self.blobs.items():
            yield from zip(blobs, self.rates[name], self.decays[name])


# Pictures --------------------------------------------------------------------


def load(path, split, limit):
    db = sqlite3.connect('file:%s?mode=ro' % path, uri=True)
    rows = db.execute('SELECT image, label FROM images WHERE split = ? '
                      'ORDER BY id LIMIT ?', (split, limit)).fetchall()
    if not rows:
        sys.exit('%s has no images of the split %s' % (path, split))
    pictures = np.stack([np.asarray(Image.open(io.BytesIO(r[0])).convert(
        'RGB'))[:, :, ::-1] for r in rows])
    return (torch.from_numpy(pictures.transpose(0, 3, 1, 2).copy()),
            torch.tensor([r[1] for r in rows]))


def pixels_of(net, mean, pictures, generator):
    """BGR crops of the stretched pictures, less the mean; without a generator
    the middle one, as it is."""
    x = F.interpolate(pictures.float(), (WIDE, WIDE), mode='bilinear',
                      align_corners=False).round_()
    crop, room = net.crop, WIDE - net.crop
    out = torch.empty(len(x), 3, crop, crop)
    for i in range(len(x)):
        top = left = room // 2
        mirror = 0
        if generator is not None:
            top, left, mirror = (int(torch.randint(n, (1,), generator=generator
                                                   )) for n in (
                room + 1, room + 1, 2))
        one = x[i, :, top:top + crop, left:left + crop]
        flip = mirror and net.data.get('mirror') == 'true'
        out[i] = one.flip(2) if flip else one
    return (out - mean) * net.data.number('scale', 1.0)


def accuracy(net, mean, pictures, labels):
    right = 0
    with torch.no_grad():
        for at in range(0, len(labels), 50):
            x = pixels_of(net, mean, pictures[at:at + 50], None)
            scores = net.forward(x, None, None)[1]
            right += int((scores.argmax(1) == labels[at:at + 50]).sum())
    return right / len(labels)


# Training --------------------------------------------------------------------


def step(net, moments, o, at, loss):
    rate = o.rate * 0.1 ** (at // o.step)
    loss.backward()
    with torch.no_grad():
        for (blob, by, decay), moment in zip(net.flat(), moments):
            grad = blob.grad.add(blob, alpha=o.decay * decay)
            moment.mul_(o.momentum).add_(grad, alpha=rate * by)
            blob.sub_(moment)
            blob.grad = None


def save(net, moments, at, o):
    torch.save({'at': at, 'blobs': net.blobs, 'moments': moments},
               os.path.join(o.out, 'snapshot.new'))
    os.replace(os.path.join(o.out, 'snapshot.new'),
               os.path.join(o.out, 'snapshot.pt'))


def resume(net, moments, o):
    path = os.path.join(o.out, 'snapshot.pt')
    if not os.path.exists(path):
        if o.weights:
            net.start(o.weights)
        return 0
    kept = torch.load(path)
    with torch.no_grad():
        for name, blobs in kept['blobs'].items():
            for to, blob in zip(net.blobs[name], blobs):
                to.copy_(blob)
        for to, moment in zip(moments, kept['moments']):
            to.copy_(moment)
    print('from iteration %d' % kept['at'])
    return kept['at']


def train(net, mean, o):
    moments = [torch.zeros_like(b) for b, _, _ in net.flat()]
    first = resume(net, moments, o)
    pictures, labels = load(o.data, 'train', o.limit)
    tests = load(o.data, 'test', o.tests) if o.tests else None
    batch = net.data.number('batchsize', 32)
    begun, recent = time.time(), []
    for at in range(first, o.iterations):
        seen = at * batch
        order = torch.cat([torch.randperm(
            len(labels), generator=torch.Generator().manual_seed(
                o.seed * 1000003 + epoch))
            for epoch in range(seen // len(labels),
                               (seen + batch - 1) // len(labels) + 1)])
        start = seen % len(labels)
        rows = order[start:start + batch]
        generator = torch.Generator().manual_seed(
            (o.seed << 32) + at + 1)
        x = pixels_of(net, mean, pictures[rows], generator)
        loss = net.forward(x, labels[rows], generator)[0]
        step(net, moments, o, at, loss)
        recent.append(loss.item())
        if (at + 1) % o.show == 0:
            print('iteration %d, loss %.4f, %.2f s each' % (
                at + 1, np.mean(recent), (time.time() - begun) / (
                    at + 1 - first)), flush=True)
            recent = []
        if (at + 1) % o.snapshot == 0 or at + 1 == o.iterations:
            save(net, moments, at + 1, o)
            if tests:
                print('iteration %d, accuracy of %d test images %.4f' % (
                    at + 1, len(tests[1]), accuracy(net, mean, *tests)),
                    flush=True)


def main():
    a = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    a.add_argument('net')
    a.add_argument('--data', required=True)
    a.add_argument('--out', default='build/caffe')
    a.add_argument('--weights', help='a caffemodel to start from')
    a.add_argument('--mean', default='104,117,123', help='B,G,R')
    a.add_argument('--iterations', type=int, default=50000)
    a.add_argument('--rate', type=float, default=0.001)
    a.add_argument('--step', type=int, default=20000)
    a.add_argument('--momentum', type=float, default=0.9)
    a.add_argument('--decay', type=float, default=0.0005)
    a.add_argument('--snapshot', type=int, default=1000)
    a.add_argument('--show', type=int, default=20)
    a.add_argument('--limit', type=int, default=-1,
                   help='training images that are used')
    a.add_argument('--tests', type=int, default=1000,
                   help='test images that a snapshot is tried on')
    a.add_argument('--seed', type=int, default=1)
    o = a.parse_args()
    os.makedirs(o.out, exist_ok=True)
    with open(o.net) as f:
        net = Network(f.read(), o.seed)
    mean = torch.tensor([float(v) for v in o.mean.split(',')]).view(-1, 1, 1)
    train(net, mean, o)
    path = os.path.join(o.out, 'trained.caffemodel')
    write_blobs(path, net.name, {
        name: [b.detach().numpy() for b in blobs]
        for name, blobs in net.blobs.items()})
    print('%s, for binhash-import caffe %s' % (path, o.net))


if __name__ == '__main__':
    main()

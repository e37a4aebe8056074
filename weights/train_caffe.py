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
last snapshot, on a CPU with the same numbers, and only measures once more if it
was done.  With --minutes the count of iterations follows the clock, and the
rate falls at the same shares of the way (after 0.4 and 0.8 of it, by default):
for a machine that is lent.

At the end the accuracy on the test images is printed, and the paper's mAP@1000:
the codes, which are the signs before the last sigmoid, of the test images ask
the training images.

With a CUDA GPU everything lives and is drawn there.  Parameters, activations
and solver are float32; convolutions and inner products multiply in TF32, whose
factors have 10 bits behind the point, and add in float32.  (bfloat16, with 7
bits, would be too coarse at the start, when the hidden units differ from
picture to picture by less than a hundredth.)

DATA is the file that cifar10_db.py makes.  Needs python3-torch, python3-pil.
"""
import argparse
import inspect
import os
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F

from caffe_files import parse, read_blobs, write_blobs
from pictures import load
from ranking import mean_average_precision

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
        self.pad = self.p.number('pad', 0)


def without_padding(steps):
    """Steps whose layers of padding are a part of the convolutions, where one
    convolution alone reads them."""
    kept = []
    for i, step in enumerate(steps):
        readers = [s for s in steps if set(step.tops) & set(s.bottoms)]
        if (step.type == 'padding' and len(readers) == 1 and
                readers[0] in steps[i:] and readers[0].type == 'conv'):
            readers[0].bottoms = step.bottoms
            readers[0].pad += step.pad
        else:
            kept.append(step)
    return kept


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


# What PyTorch would do slowly ------------------------------------------------


def lrn(x, size, alpha, beta, k):
    """Response normalisation across channels.  The mean of squares is over the
    innermost side of memory, where a mean over a few places is cheap."""
    n, c, h, w = x.shape
    squares = (x * x).permute(0, 2, 3, 1).reshape(-1, 1, c)
    mean = F.avg_pool1d(squares, size, 1, size // 2)
    mean = mean.view(n, h, w, c).permute(0, 3, 1, 2)
    return x * (mean * alpha + k).pow(-beta)


def deepened(x, s):
    """[n, c, h, w] with blocks of s x s pixels as channels, which lie innermost
    in memory: [n, s s c, h / s, w / s]."""
    n, c, h, w = x.shape
    x = x.permute(0, 2, 3, 1).reshape(n, h // s, s, w // s, s, c)
    return x.transpose(2, 3).reshape(n, h // s, w // s, s * s * c).permute(
        0, 3, 1, 2)


def strided(x, w, b, s, pad):
    """A convolution by steps of s as one of s s times the channels by steps of
    one, which keeps a GPU's multipliers busy where there are three channels."""
    k = w.shape[-1]
    more = -k % s
    sides = [(n + 2 * pad - k) // s * s + k + more for n in x.shape[2:]]
    x = F.pad(x, (pad, sides[1] - x.shape[3] - pad,
                  pad, sides[0] - x.shape[2] - pad))
    return F.conv2d(deepened(x, s), deepened(F.pad(w, (0, more, 0, more)), s),
                    b)


class Network:
    """The layers, their blobs, and what each blob's rate and decay are."""

    def __init__(self, text, seed, device='cpu'):
        message = parse(text)
        self.name = message.get('name', 'net')
        self.steps = [Step(c) for c in message.all('layers')
                      if c.get('layer')]
        data = [s for s in self.steps if s.type == 'data']
        if not data:
            sys.exit('no data layer of the generation V0 is in it')
        self.steps, self.data = without_padding(self.steps), data[0].p
        latent = [s for s in self.steps if s.type == 'sigmoid']
        self.latent = latent[-1] if latent else None
        self.crop = self.data.number('cropsize', 0)
        if not 0 < self.crop <= WIDE:
            fail(data[0].name, 'cropsize from 1 to %d is expected' % WIDE)
        self.generator = torch.Generator().manual_seed(seed)
        self.blobs, self.rates, self.decays = {}, {}, {}
        with torch.no_grad():
            self.forward(torch.zeros(1, 3, self.crop, self.crop), None)
        self.device = torch.device(device)
        for blobs in self.blobs.values():
            for i, blob in enumerate(blobs):
                layout = (torch.channels_last if blob.ndim == 4
                          else torch.contiguous_format)
                blobs[i] = blob.detach().to(
                    self.device, memory_format=layout).requires_grad_()

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
            stride = p.number('stride', 1)
            if stride > 1 and x.shape[1] < 8 and group == 1:
                return strided(x, w, b, stride, step.pad)
            return F.conv2d(x, w, b, stride, step.pad, 1, group)
        if kind == 'innerproduct':
            x = x.flatten(1)
            w, b = self.trained(step, (p.number('num_output', 0),
                                       x.shape[1]))
            return F.linear(x, w, b)
        if kind == 'pool':
            how = p.number('kernelsize', 0), p.number('stride', 1), step.pad
            if p.get('pool', 'MAX') == 'MAX':
                return F.max_pool2d(x, *how, ceil_mode=True)
            return F.avg_pool2d(x, *how, ceil_mode=True)
        if kind == 'lrn':
            size = p.number('local_size', 5)
            if size % 2 == 0:
                fail(step.name, 'an odd local_size is expected')
            return lrn(x, size, p.number('alpha', 1.0),
                       p.number('beta', 0.75), p.number('k', 1.0))
        if kind == 'padding':
            return F.pad(x, (step.pad,) * 4)
        if kind == 'dropout':
            if generator is None:
                return x
            keep = 1 - p.number('dropout_ratio', 0.5)
            return x * torch.empty_like(x).bernoulli_(
                keep, generator=generator).div_(keep)
        if kind in ('relu', 'sigmoid', 'tanh'):
            return getattr(torch, kind)(x)
        return fail(step.name, 'the type %s is not trained here' % kind)

    def forward(self, pixels, generator):
        """(the scores that the loss is of, what the last sigmoid reads or
        None); without a generator as at inference."""
        held, latent, scores = {'data': pixels}, None, None
        for step in self.steps:
            if step.type == 'data':
                held[step.tops[0]] = pixels
            elif step.type == 'softmax_loss':
                scores = held[step.bottoms[0]]
            elif step.type != 'accuracy':
                x = held[step.bottoms[0]]
                if step is self.latent:
                    latent = x
                held[step.tops[0]] = self.layer(step, x, generator)
        if scores is None:
            sys.exit('no softmax_loss is in it')
        return scores, latent

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


def held(path, split, limit, device):
    """(BGR bytes [n, 3, h, w], labels) of a split, on the device."""
    pictures, labels = load([path], split, limit=limit)
    return pictures.flip(1).to(device), labels.to(device)


def pixels_of(net, mean, pictures, generator):
    """Crops of the stretched pictures, less the mean; without a generator the
    middle one, as it is."""
    x = F.interpolate(
        pictures.float().contiguous(memory_format=torch.channels_last),
        (WIDE, WIDE), mode='bilinear', align_corners=False).round_()
    n, crop, room = len(x), net.crop, WIDE - net.crop
    if generator is None:
        at = room // 2
        x = x[:, :, at:at + crop, at:at + crop]
    else:
        top, left, mirror = (
            torch.randint(high, (n, 1), generator=generator, device=x.device)
            for high in (room + 1, room + 1,
                         2 if net.data.get('mirror') == 'true' else 1))
        j = torch.arange(crop, device=x.device)
        rows, cols = top + j, left + torch.where(mirror == 1, crop - 1 - j, j)
        n = torch.arange(n, device=x.device)[:, None, None]
        x = x.permute(0, 2, 3, 1)[n, rows[:, :, None],
                                  cols[:, None, :]].permute(0, 3, 1, 2)
    return (x - mean) * net.data.number('scale', 1.0)


def answers(net, mean, pictures):
    """(the most likely labels, the bits of the codes or None) of pictures."""
    labels, bits = [], []
    many = 500 if net.device.type == 'cuda' else 50
    # no trials of algorithms for shapes that come a few times
    torch.backends.cudnn.benchmark = False
    with torch.no_grad():
        for at in range(0, len(pictures), many):
            x = pixels_of(net, mean, pictures[at:at + many], None)
            scores, latent = net.forward(x, None)
            labels.append(scores.argmax(1))
            if latent is not None:
                bits.append(latent.flatten(1) > 0)
    torch.backends.cudnn.benchmark = True
    return torch.cat(labels), torch.cat(bits) if bits else None


def accuracy(told, labels):
    return (told == labels).float().mean().item()


# Training --------------------------------------------------------------------


class Solver:
    """Caffe's momentum by PyTorch's: PyTorch keeps U = V / rate, which changes
    where the rate does, so that W = W - rate U is W = W - V."""

    def __init__(self, net, o):
        groups = {}
        for blob, by, decay in net.flat():
            groups.setdefault((by, decay), []).append(blob)
        fast = {}
        if net.device.type == 'cuda':
            known = inspect.signature(torch.optim.SGD).parameters
            fast['fused' if 'fused' in known else 'foreach'] = True
        self.sgd = torch.optim.SGD(
            [{'params': blobs, 'by': by, 'weight_decay': decay * o.decay}
             for (by, decay), blobs in groups.items()],
            lr=o.rate, momentum=o.momentum, **fast)
        self.moments = [torch.zeros_like(b) for b, _, _ in net.flat()]
        for (blob, _, _), moment in zip(net.flat(), self.moments):
            self.sgd.state[blob]['momentum_buffer'] = moment
        self.rate, self.falls = o.rate, 0
        self.follow(0)

    def now(self):
        return self.rate * 0.1 ** self.falls

    def follow(self, falls):
        """Divide the rate by ten until that was done so many times; after
        twenty nothing moves."""
        while self.falls < min(falls, 20):
            torch._foreach_mul_(self.moments, 10.0)
            self.falls += 1
        for g in self.sgd.param_groups:
            g['lr'] = self.now() * g['by']

    def step(self, loss):
        self.sgd.zero_grad(set_to_none=True)
        loss.backward()
        self.sgd.step()


class Run:
    """Which iteration it is, how many there will be, snapshots."""

    def __init__(self, net, o):
        self.net, self.o, self.solver = net, o, Solver(net, o)
        self.path = os.path.join(o.out, 'snapshot.pt')
        self.at, self.iterations, self.done = 0, o.iterations, False
        if os.path.exists(self.path):
            self.resume()
        elif o.weights:
            net.start(o.weights)
        self.first, self.began = self.at, time.time()

    def save(self):
        torch.save({'at': self.at, 'falls': self.solver.falls,
                    'done': self.done,
                    'blobs': [b.detach() for b, _, _ in self.net.flat()],
                    'moments': self.solver.moments}, self.path + '.new')
        os.replace(self.path + '.new', self.path)

    def resume(self):
        kept = torch.load(self.path, map_location='cpu')
        with torch.no_grad():
            for (blob, _, _), values in zip(self.net.flat(), kept['blobs']):
                blob.copy_(values)
            for moment, values in zip(self.solver.moments, kept['moments']):
                moment.copy_(values)
        self.solver.falls, self.at = kept['falls'], kept['at']
        self.solver.follow(0)
        self.done = kept['done'] and self.o.minutes is not None
        print('from iteration %d' % self.at)

    def each(self):
        """Seconds of an iteration."""
        if self.net.device.type == 'cuda':
            torch.cuda.synchronize()
        return (time.time() - self.began) / max(1, self.at - self.first)

    def more(self):
        """Whether another iteration is due; its rate is then set."""
        if self.done:
            return False
        o, made = self.o, self.at - self.first
        if o.minutes is not None:
            if made < 20:
                return True
            fit = made / (time.time() - self.began) * o.minutes * 60
            self.iterations = max(self.at, self.first + int(fit))
        self.done = self.at >= self.iterations
        if not self.done:
            self.solver.follow(self.at * o.iterations // (
                self.iterations * o.step))
        return not self.done


class Order:
    """The rows of an iteration: epochs of all pictures, each in an order of
    its own, without a gap."""

    def __init__(self, n, batch, seed, device):
        self.n, self.batch, self.seed, self.device = n, batch, seed, device
        self.kept = {}

    def epoch(self, number):
        if number not in self.kept:
            self.kept = {k: v for k, v in self.kept.items() if k == number - 1}
            self.kept[number] = torch.randperm(
                self.n, generator=torch.Generator().manual_seed(
                    self.seed * 1000003 + number)).to(self.device)
        return self.kept[number]

    def rows(self, at):
        begin, end = at * self.batch, (at + 1) * self.batch
        first, last = begin // self.n, (end - 1) // self.n
        begin, end = begin - first * self.n, end - first * self.n
        if first == last:
            return self.epoch(first)[begin:end]
        return torch.cat([self.epoch(e) for e in range(first, last + 1)])[
            begin:end]


def train(net, mean, o, base, tests):
    pictures, labels = base
    run = Run(net, o)
    order = Order(len(labels), net.data.number('batchsize', 32), o.seed,
                  net.device)
    generator = torch.Generator(net.device)
    total, shown = torch.zeros((), device=net.device), run.at
    while run.more():
        rows = order.rows(run.at)
        generator.manual_seed(o.seed * 7919 + run.at + 1)
        x = pixels_of(net, mean, pictures[rows], generator)
        loss = F.cross_entropy(net.forward(x, generator)[0], labels[rows])
        run.solver.step(loss)
        total += loss.detach()
        run.at += 1
        if run.at % o.show == 0:
            print('iteration %d of %d, loss %.4f, rate %g, %.4g s each' % (
                run.at, run.iterations, total.item() / (run.at - shown),
                run.solver.now(), run.each()),
                flush=True)
            total.zero_()
            shown = run.at
        if o.snapshot and run.at % o.snapshot == 0:
            run.save()
            told = answers(net, mean, tests[0][:1000])[0]
            print('iteration %d, accuracy of %d test images %.4f' % (
                run.at, len(told), accuracy(told, tests[1][:1000])),
                flush=True)
    if run.at > run.first:
        print('%d iterations, %.4g s each' % (run.at, run.each()), flush=True)
        if o.snapshot:
            run.save()


def measure(net, mean, base, tests):
    """The figures of the card."""
    told, query = answers(net, mean, tests[0])
    print('accuracy of %d test images %.4f' % (
        len(told), accuracy(told, tests[1])), flush=True)
    if query is None:
        print('no sigmoid is in it: no codes')
        return
    codes = answers(net, mean, base[0])[1]
    print('mAP@1000 of codes of %d bits, %d test images ask %d: %.4f' % (
        query.shape[1], len(query), len(codes),
        mean_average_precision(query, tests[1], codes, base[1])), flush=True)


def main():
    a = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    a.add_argument('net')
    a.add_argument('--data', required=True)
    a.add_argument('--out', default='build/caffe')
    a.add_argument('--weights', help='a caffemodel to start from')
    a.add_argument('--mean', default='104,117,123', help='B,G,R')
    a.add_argument('--iterations', type=int, default=50000)
    a.add_argument('--minutes', type=float,
                   help='as many iterations as fit in; the rate falls after\n'
                   'the shares of them that --step and --iterations give')
    a.add_argument('--rate', type=float, default=0.001)
    a.add_argument('--step', type=int, default=20000)
    a.add_argument('--momentum', type=float, default=0.9)
    a.add_argument('--decay', type=float, default=0.0005)
    a.add_argument('--snapshot', type=int,
                   help='iterations between two: 1000, with a GPU 20000;\n'
                   '0 for none')
    a.add_argument('--show', type=int,
                   help='iterations between two lines: 20, with a GPU 1000')
    a.add_argument('--limit', type=int, default=-1,
                   help='training images that are used')
    a.add_argument('--tests', type=int, default=-1,
                   help='test images that are used')
    a.add_argument('--no-model', action='store_true',
                   help='print the figures and write no caffemodel')
    a.add_argument('--seed', type=int, default=1)
    o = a.parse_args()
    began, gpu = time.time(), torch.cuda.is_available()
    if gpu:
        torch.backends.cudnn.benchmark = True
        torch.set_float32_matmul_precision('high')
    if o.snapshot is None:
        o.snapshot = 20000 if gpu else 1000
    o.show = o.show or (1000 if gpu else 20)
    os.makedirs(o.out, exist_ok=True)
    with open(o.net) as f:
        net = Network(f.read(), o.seed, 'cuda:0' if gpu else 'cpu')
    mean = torch.tensor([float(v) for v in o.mean.split(',')],
                        device=net.device).view(-1, 1, 1)
    base, tests = (held(o.data, split, limit, net.device) for split, limit in (
        ('train', o.limit), ('test', o.tests)))
    print('%d training and %d test images on %s, PyTorch %s, after %.1f s' % (
        len(base[1]), len(tests[1]), torch.cuda.get_device_name() if gpu
        else 'the CPU', torch.__version__, time.time() - began), flush=True)
    train(net, mean, o, base, tests)
    began = time.time()
    measure(net, mean, base, tests)
    print('measured in %.1f s' % (time.time() - began))
    if not o.no_model:
        path = os.path.join(o.out, 'trained.caffemodel')
        write_blobs(path, net.name, {
            name: [b.detach().cpu().numpy() for b in blobs]
            for name, blobs in net.blobs.items()})
        print('%s, for binhash-import caffe %s' % (path, o.net))


if __name__ == '__main__':
    main()

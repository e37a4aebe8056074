#!/usr/bin/python3
"""Train cifar10-48: a compact residual net with a latent layer of 48 sigmoids.

    python3 weights/train_cifar10.py train  --data CIFAR10.db --out build/train
    python3 weights/train_cifar10.py export --out build/train MODEL.safetensors

The method is that of Lin, Yang, Hsiao and Chen (CVPR workshops 2015): a latent
layer H of sigmoid units stands between the features and the classifier, and
the whole net learns from the class labels alone.  H is learned through the
classifier; section 3.2 of the paper binarises it at 0.5 afterwards.

Two things differ from the paper.  The net is small (32x32 pictures, 1.5 M
parameters) and starts from random weights.  And a term that pulls each unit
towards 0 or 1 is blended in after 60 % of the first cycle, when the classes
are mostly learned; from the first step on it would freeze random bits.

Everything random is drawn from (seed, step), so a run that was cut off goes on
from its last checkpoint with the same numbers as one that was not.  `train`
may be called again and again: it resumes, and does nothing once it is done.
"""
import argparse
import io
import os
import sqlite3
import time

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

MEAN = (125.3, 123.0, 113.9)  # of CIFAR-10's training pixels, RGB
STD = (63.0, 62.1, 66.7)
WIDTHS = (32, 64, 192, 256)


class ConvBnRelu(nn.Module):
    def __init__(self, c_in, c_out):
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(c_out)

    def forward(self, x):
        return F.relu(self.bn(self.conv(x)))


class Net(nn.Module):
    """conv conv pool, res conv pool, res conv pool, res, global max pool."""

    def __init__(self, bits=48, classes=10):
        super().__init__()
        a, b, c, d = WIDTHS
        self.conv1 = ConvBnRelu(3, a)
        self.conv2 = ConvBnRelu(a, b)
        self.res2 = ConvBnRelu(b, b)
        self.conv3 = ConvBnRelu(b, c)
        self.res3 = ConvBnRelu(c, c)
        self.conv4 = ConvBnRelu(c, d)
        self.res4 = ConvBnRelu(d, d)
        self.latent = nn.Linear(d, bits)
        self.classifier = nn.Linear(bits, classes)
        nn.init.normal_(self.latent.weight, std=0.05)
        nn.init.zeros_(self.latent.bias)
        nn.init.normal_(self.classifier.weight, std=0.5)
        nn.init.zeros_(self.classifier.bias)

    def features(self, x):
        x = F.max_pool2d(self.conv2(self.conv1(x)), 2)
        x = x + self.res2(x)
        x = F.max_pool2d(self.conv3(x), 2)
        x = x + self.res3(x)
        x = F.max_pool2d(self.conv4(x), 2)
        x = x + self.res4(x)
        return x.float().amax((2, 3))

    def forward(self, x):
        logits = self.latent(self.features(x))
        return logits, self.classifier(torch.sigmoid(logits))


def load(path, split):
    db = sqlite3.connect('file:%s?mode=ro' % path, uri=True)
    rows = db.execute('SELECT image, label FROM images WHERE split=? '
                      'ORDER BY id', (split,)).fetchall()
    x = np.stack([np.asarray(Image.open(io.BytesIO(r[0])).convert('RGB'))
                  for r in rows])
    return torch.from_numpy(x), torch.tensor([r[1] for r in rows])


def normalise(x):
    x = x.permute(0, 3, 1, 2).float()
    x = (x - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    return x.contiguous(memory_format=torch.channels_last)


def augment(x, rng):
    """Random crop of a picture padded by 4, mirror image, an 8x8 hole."""
    n = len(x)
    x = F.pad(x, (4, 4, 4, 4), mode='reflect')
    top = torch.randint(0, 9, (n, 1), generator=rng)
    left = torch.randint(0, 9, (n, 1), generator=rng)
    flip = torch.randint(0, 2, (n, 1), generator=rng)
    i = torch.arange(32)
    rows = top + i
    cols = left + torch.where(flip == 1, 31 - i, i)
    x = x.permute(0, 2, 3, 1)
    x = x[torch.arange(n)[:, None, None], rows[:, :, None], cols[:, None, :]]
    y0 = torch.randint(-4, 29, (n, 1), generator=rng)
    x0 = torch.randint(-4, 29, (n, 1), generator=rng)
    hole = (((i >= y0) & (i < y0 + 8))[:, :, None] &
            ((i >= x0) & (i < x0 + 8))[:, None, :])
    return x.masked_fill(hole[..., None], 0).permute(0, 3, 1, 2)


def rate(at, peak):
    """One cycle: linear to the peak over a fifth, linear to (almost) 0."""
    return peak * (0.05 + 4.75 * at if at < 0.2 else max((1 - at) / 0.8, 0.002))


def where(step, cycles):
    """The cycle that a step is in, and how far in it, 0 to 1."""
    for i, n in enumerate(cycles):
        if step < n:
            return i, step / n
        step -= n
    return len(cycles), 0.0


def bits_of(net, x, batch=500):
    net.eval()
    z, hit = [], []
    with torch.no_grad():
        for i in range(0, len(x), batch):
            logits, classes = net(x[i:i + batch])
            z.append(logits > 0)
            hit.append(classes.argmax(1))
    return torch.cat(z), torch.cat(hit)


def mean_average_precision(q, ql, d, dl, k=1000):
    """mAP@k, AP over the hits within the first k, ties in database order."""
    d = d.float() * 2 - 1
    total = 0.0
    for i in range(0, len(q), 100):
        dist = (q.shape[1] - (q[i:i + 100].float() * 2 - 1) @ d.T) / 2
        key = dist.long() * len(d) + torch.arange(len(d))
        top = key.topk(k, largest=False, sorted=True).values % len(d)
        hit = (dl[top] == ql[i:i + 100, None]).float()
        prec = hit.cumsum(1) / torch.arange(1, k + 1)
        total += ((prec * hit).sum(1) / hit.sum(1).clamp(min=1)).sum().item()
    return total / len(q)


def average(ema, net, decay):
    with torch.no_grad():
        for a, b in zip(ema.state_dict().values(), net.state_dict().values()):
            if a.dtype.is_floating_point:
                a.lerp_(b, 1 - decay)
            else:
                a.copy_(b)


def train(args):
    os.makedirs(args.out, exist_ok=True)
    ckpt = os.path.join(args.out, 'cifar10-%d.pt' % args.bits)
    torch.manual_seed(args.seed)
    net, ema = Net(args.bits), Net(args.bits)
    ema.load_state_dict(net.state_dict())
    net = net.to(memory_format=torch.channels_last)
    ema = ema.to(memory_format=torch.channels_last)
    decayed = [p for p in net.parameters() if p.ndim > 1]
    plain = [p for p in net.parameters() if p.ndim == 1]
    opt = torch.optim.SGD([{'params': decayed, 'weight_decay': 5e-4},
                           {'params': plain, 'weight_decay': 0}],
                          lr=0.1, momentum=0.9, nesterov=True)
    step = 0
    if os.path.exists(ckpt):
        s = torch.load(ckpt)
        net.load_state_dict(s['net'])
        ema.load_state_dict(s['ema'])
        opt.load_state_dict(s['opt'])
        step = s['step']
    x, y = load(args.data, 'train')
    held = args.holdout
    xt, yt = (x[:held], y[:held]) if held else load(args.data, 'test')
    x, y = x[held:], y[held:]
    x, xt = normalise(x), normalise(xt)
    per_epoch = len(x) // args.batch
    cycles = [per_epoch * n for n in args.epochs]
    steps = sum(cycles)
    t0, first = time.time(), step
    while step < steps:
        epoch = step // per_epoch
        order = torch.randperm(
            len(x), generator=torch.Generator().manual_seed(
                args.seed * 1000003 + epoch))
        net.train()
        for b in range(step % per_epoch, per_epoch):
            rng = torch.Generator().manual_seed(args.seed * 7919 + step)
            rows = order[b * args.batch:(b + 1) * args.batch]
            xb = augment(x[rows], rng).contiguous(
                memory_format=torch.channels_last)
            cycle, at = where(step, cycles)
            for g in opt.param_groups:   # each cycle goes half as high
                g['lr'] = rate(at, args.rate * 0.5 ** cycle)
            with torch.autocast('cpu', dtype=torch.bfloat16,
                                enabled=not args.float32):
                feats = net.features(xb)
            logits = net.latent(feats)
            s = torch.sigmoid(logits)
            loss = F.cross_entropy(net.classifier(s), y[rows],
                                   label_smoothing=0.1)
            press = 1 if cycle else min(max(at - 0.6, 0) / 0.3, 1)
            if press:
                loss = loss + args.press * press * (s * (1 - s)).mean() * 4
            opt.zero_grad(set_to_none=True)
            loss.backward()
            opt.step()
            step += 1
            average(ema, net, min(0.995, 1 - 1 / (1 + step)))
            if step % 50 == 0 or step == steps:
                torch.save({'net': net.state_dict(), 'ema': ema.state_dict(),
                            'opt': opt.state_dict(), 'step': step},
                           ckpt + '.new')
                os.replace(ckpt + '.new', ckpt)
                ips = (step - first) * args.batch / (time.time() - t0)
                print('step %d/%d loss %.4f, %.0f images/s, %.0f min left' % (
                    step, steps, loss.item(), ips,
                    (steps - step) * args.batch / ips / 60), flush=True)
        if held or step in (cycles[0], steps):
            _, hit = bits_of(ema, xt)
            print('epoch %d accuracy %.4f' % (
                epoch + 1, (hit == yt).float().mean().item()), flush=True)
    q, hit = bits_of(ema, xt)
    d, _ = bits_of(ema, x)
    print('cifar10-%d: accuracy %.4f, mAP@1000 %.4f (%s queries, float32)' % (
        args.bits, (hit == yt).float().mean().item(),
        mean_average_precision(q, yt, d, y), 'held-out' if held else 'test'))


def fold(block):
    """Convolution and batch norm as one convolution (running statistics)."""
    bn = block.bn
    g = bn.weight / torch.sqrt(bn.running_var + bn.eps)
    w = block.conv.weight * g[:, None, None, None]
    return w.detach().numpy(), (bn.bias - bn.running_mean * g).detach().numpy()


def export(args):
    from pack import cost, pack
    net = Net(args.bits)
    net.load_state_dict(torch.load(os.path.join(
        args.out, 'cifar10-%d.pt' % args.bits))['ema'])
    net.eval()
    layers, tensors = [], {}

    def add(name, kind, bottom, **more):
        layers.append(dict(name=name, type=kind, bottom=bottom, **more))
        return name

    def conv(name, bottom):
        w, b = fold(getattr(net, name))
        tensors[name + '.weight'], tensors[name + '.bias'] = w, b
        add(name, 'Convolution', [bottom], num_output=len(b),
            kernel_size=[3, 3], pad=[1, 1, 1, 1],
            weight=name + '.weight', bias=name + '.bias')
        return add(name + '.relu', 'ReLU', [name])

    def linear(name, bottom):
        m = getattr(net, name)
        tensors[name + '.weight'] = m.weight.detach().numpy()
        tensors[name + '.bias'] = m.bias.detach().numpy()
        return add(name, 'InnerProduct', [bottom], num_output=len(m.bias),
                   weight=name + '.weight', bias=name + '.bias')

    def pool(name, bottom):
        return add(name, 'Pooling', [bottom], pool='MAX', kernel_size=[2, 2],
                   stride=[2, 2], round_mode='FLOOR')

    def residual(name, bottom):
        return add(name + '.sum', 'Eltwise', [bottom, conv(name, bottom)],
                   operation='SUM')

    x = pool('pool2', conv('conv2', conv('conv1', 'data')))
    x = pool('pool3', conv('conv3', residual('res2', x)))
    x = pool('pool4', conv('conv4', residual('res3', x)))
    x = add('features', 'Pooling', [residual('res4', x)], pool='MAX',
            global_pooling=True)
    x = linear('classifier',
               add('latent.sigmoid', 'Sigmoid', [linear('latent', x)]))
    add('prob', 'Softmax', [x])
    name = 'cifar10-%d' % args.bits
    network = {
        'input': {'name': 'data', 'channels': 3, 'height': 32, 'width': 32},
        'preprocess': {'order': 'RGB', 'resize': 'area', 'aspect': 'stretch',
                       'reduced_jpeg': 4,
                       'mean': list(MEAN),
                       'scale': [round(1 / s, 9) for s in STD]},
        'layers': layers,
        'heads': [{'name': name, 'latent': 'latent', 'features': 'features',
                   'classifier': 'prob',
                   'classes': ['airplane', 'automobile', 'bird', 'cat', 'deer',
                               'dog', 'frog', 'horse', 'ship', 'truck']}]}
    size = pack(args.model, network, tensors, int8=True)
    print('%s: %d bytes, %s' % (args.model, size, cost(network)))


def main():
    p = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    sub = p.add_subparsers(dest='command', required=True)
    t = sub.add_parser('train')
    t.add_argument('--data', required=True, help='cifar10.db')
    t.add_argument('--epochs', type=int, nargs='+', default=[16, 10],
                   help='one number for each cycle of the rate')
    t.add_argument('--batch', type=int, default=250)
    t.add_argument('--rate', type=float, default=0.2)
    t.add_argument('--press', type=float, default=0.1)
    t.add_argument('--seed', type=int, default=1)
    t.add_argument('--holdout', type=int, default=0,
                   help='query these first training images, not the test set')
    t.add_argument('--float32', action='store_true', help='no bfloat16')
    t.set_defaults(run=train)
    e = sub.add_parser('export')
    e.add_argument('model', help='the safetensors file to write')
    e.set_defaults(run=export)
    for q in (t, e):
        q.add_argument('--out', default='build/train')
        q.add_argument('--bits', type=int, default=48)
    args = p.parse_args()
    args.run(args)


if __name__ == '__main__':
    main()

#!/usr/bin/python3
"""Train copy-64, what is the same picture: a hash that never sees a label.

    python3 weights/train_copy.py --data A.db B.db [--choose]

A small residual net of its own (recipe.py says how it learns) looks at half of
the pixels along each side: what survives a blur, a smaller size or a strong
JPEG is what it can learn from, and it costs a fifteenth of photo-64.  Each
step takes two views of each picture (views.py), or, as soon as the rate falls,
one and the picture itself, since a copy is compared with what it is a copy of.
The two of a picture are to agree, and those of others to differ.  The code
reads 64 channels at each of 4x4 places, since copies have the same things in
the same places.

`train_photo.py export` puts it beside photo-64 in one file.  --choose leaves
every tenth class out and prints the share of its pictures' views that are
found.  It may be called again and again: it goes on where it was cut off, and
does nothing once it is done.
"""
import argparse

import torch
import torch.nn.functional as F
from torch import nn

import recipe
import views
from pictures import class_names, load
from tinyimagenet import MEAN, STD, recall

WIDTHS = (32, 96, 192)
BRANCHES = (2, 2)
BITS = 64
PLACES, CHANNELS = 16, 64


class Copies(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = recipe.Backbone(WIDTHS, BRANCHES, stride=2)
        self.patches = recipe.ConvNorm(WIDTHS[-1], CHANNELS, kernel=1)
        self.latent = nn.Linear(CHANNELS * PLACES, BITS)
        self.norm = nn.BatchNorm1d(BITS)

    def places(self, x):
        """What the code reads, of pictures of 64x64."""
        x = self.backbone.maps(F.avg_pool2d(x, 2))
        return self.patches(x).float().flatten(1)

    def forward(self, x):
        return self.norm(self.latent(self.places(x)))


def bits(net, x):
    """Bits -1 and 1 of pictures, those of a mirror image with them."""
    out = []
    net.eval()
    with torch.no_grad():
        for i in range(0, len(x), 500):
            a = recipe.normalise(x[i:i + 500], MEAN, STD)
            f = (net.places(a) + net.places(a.flip(3))) / 2
            out.append(net.norm(net.latent(f)) > 0)
    net.train()
    return torch.cat(out).float() * 2 - 1


def look(net, x, args):
    rng = torch.Generator(x.device).manual_seed(0)
    v = torch.cat([views.view(x[i:i + 500], rng, args.least, args.most,
                                     args.over)
                   for i in range(0, len(x), 500)])
    print('held out: %.4f of views found' % recall(bits(net, x), bits(net, v)),
          flush=True)


def train(args):
    torch.manual_seed(args.seed)
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    classes = range(len(class_names(args.data[0])))
    out = set(classes[::10]) if args.choose else set()
    x, _ = load(args.data, 'train', set(classes) - out)
    x = x.to(device)
    held = load(args.data, 'train', out)[0].to(device) if out else None
    net = Copies().to(device, memory_format=torch.channels_last)
    run = recipe.Run(net, args.out, len(x), args.batch, args.epochs, args.rate,
                     args.seed, args.minutes)
    looked = 0
    for rows, _, rng, fall in run.batches():
        view = views.view(x[rows], rng, args.least, args.most, args.over)
        other = x[rows].float() if fall > 0 else views.view(
            x[rows], rng, args.least, args.most, args.over)
        pair = torch.cat([view, other])
        logits = net(recipe.normalise(pair, MEAN, STD))
        loss = views.contrast(*logits.chunk(2), args.temperature)
        press = args.press * recipe.late(fall)
        run.learn(loss + press * recipe.pressure(logits) if press else loss)
        if out and run.step // args.every > looked:
            looked = run.step // args.every
            look(net, held, args)
    if out:
        look(net, held, args)


def main():
    p = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    p.add_argument('--epochs', type=float, nargs=2, default=[56, 55],
                   help='at the highest rate, and falling')
    p.add_argument('--minutes', type=float,
                   help='as many epochs, in this proportion, as fit in')
    p.add_argument('--batch', type=int, default=512, help='pictures a step')
    p.add_argument('--rate', type=float, default=0.06)
    p.add_argument('--temperature', type=float, default=0.05)
    p.add_argument('--least', type=float, default=0.65,
                   help='of a side that is left by a crop')
    p.add_argument('--most', type=float, default=1.3)
    p.add_argument('--over', type=float, default=0.5,
                   help='of the views, those that lie upon another picture '
                   'where they are larger than it')
    p.add_argument('--press', type=float, default=0.1)
    p.add_argument('--seed', type=int, default=1)
    p.add_argument('--choose', action='store_true')
    p.add_argument('--every', type=int, default=200,
                   help='steps between looks at what was left out')
    p.add_argument('--out', default='build/train/copy')
    p.add_argument('--data', required=True, nargs='+',
                   help='tinyimagenet-a.db tinyimagenet-b.db')
    train(p.parse_args())


if __name__ == '__main__':
    main()

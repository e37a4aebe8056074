#!/usr/bin/python3
"""Train photo-64, what is similar, and write it and copy-64 to one file.

    python3 weights/train_photo.py train  --data A.db B.db [--seen]
    python3 weights/train_photo.py export --data A.db B.db MODEL.safetensors

A 64-bit head on a backbone for 64x64 pictures (recipe.py says how it learns;
the stem takes every other pixel).  Each step takes two views of each picture
(views.py).  The head reads the maximum of each channel over the picture; it
learns the classes of both views, to tell the views of a class from others, and,
less, those of a picture.  Beside it learns a second head, of 64 channels at
each of 4x4 places, to tell a picture's views from those of others; the shipped
backbone learned so, and what it would be without was not measured.  That head is
not exported.  copy-64 is a network of its own (train_copy.py), which `export` puts beside this
one: the two have nothing but the picture in common.

--seen leaves out the classes of weights/unseen_classes.txt.  The model so
trained is what the figures on unseen classes are measured with; the one that
ships is trained on all.  --choose leaves out every eighth of those that are
left as well, and prints how the heads do on them: what was chosen was chosen
so.  `train` may be called again and again: it goes on where it was cut off, and
does nothing once it is done.
"""
import argparse

import torch
from torch import nn

import recipe
import train_copy
import views
from pictures import class_names, load
from tinyimagenet import MEAN, SIDE, STD, precision, recall, unseen

WIDTHS = (32, 96, 224, 384)
BRANCHES = (2, 2, 2)
BITS = 64
PLACES, CHANNELS = 16, 64


class Net(nn.Module):
    def __init__(self, classes):
        super().__init__()
        width = WIDTHS[-1]
        self.backbone = recipe.Backbone(WIDTHS, BRANCHES, stride=2)
        self.photo = recipe.Head(width, BITS, classes)
        self.patches = recipe.ConvNorm(width, CHANNELS, kernel=1)
        self.copy = nn.Sequential(nn.Linear(CHANNELS * PLACES, BITS),
                                  nn.BatchNorm1d(BITS))
        self.plain = nn.Linear(width, classes)

    def features(self, x):
        """What photo-64 reads and what copy-64 reads."""
        x = self.backbone.maps(x)
        return (x.float().amax((2, 3)), self.patches(x).float().flatten(1))


def loss_of(net, a, b, labels, args, press):
    x = torch.cat([a, b]).contiguous(memory_format=torch.channels_last)
    with torch.autocast(x.device.type, torch.bfloat16,
                        enabled=not args.float32):
        features, patches = net.features(x)
    n, twice = len(a), labels.repeat(2)
    photo, scores = net.photo(features)
    copy = net.copy(patches)
    loss = 0.5 * recipe.cross_entropy(net.plain(features), twice)
    loss = loss + args.classes * recipe.cross_entropy(scores, twice)
    if args.groups:
        loss = loss + args.groups * views.contrast(photo[:n], photo[n:], 0.2,
                                                   labels)
    if args.contrast:
        loss = loss + args.contrast * views.contrast(photo[:n], photo[n:], 0.2)
    loss = loss + args.copies * views.contrast(copy[:n], copy[n:],
                                               args.temperature)
    if press:
        loss = loss + press * (recipe.pressure(photo) + recipe.pressure(copy))
    return loss


def codes(net, x, float32):
    """Bits of both heads for pictures, those of a mirror image with them."""
    net.eval()
    photo, copy = [], []
    with torch.no_grad():
        for i in range(0, len(x), 500):
            a = recipe.normalise(x[i:i + 500], MEAN, STD)
            with torch.autocast(a.device.type, torch.bfloat16,
                                enabled=not float32):
                f, g = net.features(torch.cat([a, a.flip(3)]))
            f, g = (t[:len(a)] + t[len(a):] for t in (f, g))
            photo.append(net.photo(f / 2)[0] > 0)
            copy.append(net.copy(g / 2) > 0)
    net.train()
    return torch.cat(photo).float() * 2 - 1, torch.cat(copy).float() * 2 - 1


def look(net, x, labels, args):
    rng = torch.Generator(x.device).manual_seed(0)
    a, copy = codes(net, x, args.float32)
    v = torch.cat([views.view(x[i:i + 500], rng)
                   for i in range(0, len(x), 500)])
    b, edited = codes(net, v, args.float32)
    print('held out: P@10 %.4f, of photo-64 %.4f and copy-64 %.4f of views '
          'found, copy-64 P@10 %.4f' % (
              precision(a, labels), recall(a, b), recall(copy, edited),
              precision(copy, labels)), flush=True)


def train(args):
    torch.manual_seed(args.seed)
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    kept = set(range(len(class_names(args.data[0]))))
    if args.seen or args.choose:
        kept -= unseen()
    x, y = load(args.data, 'train', kept)
    x, y = x.to(device), y.to(device)
    if args.choose:
        out = torch.isin(y, torch.tensor(sorted(kept)[::8], device=device))
        held_x, held_y, x, y = x[out], y[out], x[~out], y[~out]
    seen = y.unique()
    y = torch.searchsorted(seen, y)
    net = Net(len(seen)).to(device, memory_format=torch.channels_last)
    run = recipe.Run(net, args.out, len(x), args.batch, args.epochs, args.rate,
                     args.seed, args.minutes)
    for rows, epoch, rng, fall in run.batches():
        a, b = (recipe.normalise(views.view(x[rows], rng, args.least), MEAN,
                                 STD) for _ in range(2))
        run.learn(loss_of(net, a, b, y[rows], args,
                          args.press * recipe.late(fall)))
        if args.choose and run.step % (run.per_epoch * 5) == 0:
            look(net, held_x, held_y, args)
    if args.choose:
        look(net, held_x, held_y, args)


def load_net(net, path):
    net.load_state_dict(torch.load(path + '.pt', map_location='cpu')['net'])
    net.eval()
    return net


def write(args):
    from export import Description, export, samples
    names = class_names(args.data[0])
    kept = set(range(len(names))) - (unseen() if args.seen else set())
    net = load_net(Net(len(kept)), args.out)
    copies = load_net(train_copy.Copies(), args.copies)
    d = Description()
    features = d.largest('features', d.backbone(net.backbone))
    x = d.halved('copy.half', 'data', 'AVE')
    x = d.backbone(copies.backbone, x, 'copy.')
    x = d.convolution('copy.patches', x, copies.patches)
    places = d.add('places', 'Flatten', [x])
    heads = [d.head('photo-64', features, net.photo,
                    [names[label] for label in sorted(kept)]),
             {'name': 'copy-64', 'features': places,
              'latent': d.latent('copy-64', places, copies.latent,
                                 copies.norm)}]
    export(args.file, d, heads, SIDE, MEAN, STD,
           samples(args.out + '.calibrate.db', args.data, 'label IN (%s)' %
                   ', '.join(map(str, sorted(kept)))),
           mirror=[features, places])


def main():
    p = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    sub = p.add_subparsers(dest='command', required=True)
    t = sub.add_parser('train')
    t.add_argument('--epochs', type=float, nargs=2, default=[2, 37],
                   help='at the highest rate, and falling')
    t.add_argument('--minutes', type=float,
                   help='as many epochs, in this proportion, as fit in')
    t.add_argument('--batch', type=int, default=500, help='pictures a step')
    t.add_argument('--rate', type=float, default=0.06)
    t.add_argument('--classes', type=float, default=1, help='weights of losses')
    t.add_argument('--groups', type=float, default=0.5)
    t.add_argument('--contrast', type=float, default=0.1)
    t.add_argument('--copies', type=float, default=2)
    t.add_argument('--temperature', type=float, default=0.05)
    t.add_argument('--least', type=float, default=0.6,
                   help='of a side that is left by a crop')
    t.add_argument('--press', type=float, default=0.1)
    t.add_argument('--seed', type=int, default=1)
    t.add_argument('--choose', action='store_true')
    t.add_argument('--float32', action='store_true', help='no bfloat16')
    t.set_defaults(run=train)
    e = sub.add_parser('export')
    e.add_argument('file', help='the safetensors file to write')
    e.add_argument('--copies', default='build/train/copy',
                   help="what train_copy.py's --out was")
    e.set_defaults(run=write)
    for q in (t, e):
        q.add_argument('--data', required=True, nargs='+',
                       help='tinyimagenet-a.db tinyimagenet-b.db')
        q.add_argument('--seen', action='store_true',
                       help='without the unseen classes')
        q.add_argument('--out', default='build/train/photo')
    args = p.parse_args()
    args.run(args)


if __name__ == '__main__':
    main()

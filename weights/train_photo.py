#!/usr/bin/python3
"""Train photo-64, what is similar, and write it and copy-64 to one file.

    python3 weights/train_photo.py train --data A.db B.db [--seen]
    python3 weights/train_photo.py export --data A.db B.db MODEL.safetensors

`train`: a residual net (recipe.py says how it learns; the stem takes every
other pixel) with the maximum of each channel over the picture as features, a
classifier of these, and a 64-bit head, which learns the classes too, and to
tell by the bits alone which pictures are of one class.  Views are crops, mirror
images, colours, and pictures with a part of another (CutMix), at 64x64.

The finished network looks at 96x96.  Crops show things larger than the whole
pictures do, and a network knows things best at the size at which it has learned
them (Touvron, Vedaldi, Douze and Jegou, "Fixing the train-test resolution
discrepancy", 2019).

`export` writes the integer model.  copy-64 is a network of its own
(train_copy.py), which is put beside this one: the two have nothing but the
picture in common.

--seen leaves out the classes of weights/unseen_classes.txt.  The model so
trained is what the figures on unseen classes are measured with; the one that
ships is trained on all.  --choose leaves out every eighth of those that are
left as well, and prints how the head does on them.  `train` may be called again
and again: it goes on where it was cut off, and does nothing once it is done.
"""
import argparse

import torch
import torch.nn.functional as F
from torch import nn

import recipe
import train_copy
import views
from pictures import class_names, load
from tinyimagenet import MEAN, SIDE, STD, precision, unseen

WIDTHS = (32, 96, 224, 384)
BRANCHES = (2, 2, 2)
BITS = 64
LARGE = 96         # side of what the finished network sees
TEMPERATURE = 0.2  # of the products of codes


class Net(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.backbone = recipe.Backbone(WIDTHS, BRANCHES, stride=2)
        self.photo = recipe.Head(WIDTHS[-1], BITS, classes)
        self.plain = nn.Linear(WIDTHS[-1], classes)


def grouped(logits, labels, whole):
    """Nats that are needed to tell by the codes who is of whose class; pictures
    with a part of another are of no class (after Khosla and others,
    "Supervised Contrastive Learning", 2020)."""
    told = views.alike(logits, TEMPERATURE)
    same = (labels[:, None] == labels) & whole[:, None] & whole
    same = same.float().fill_diagonal_(0)
    return -(told * same / same.sum(1, keepdim=True).clamp(min=1)).sum(1).mean()


def loss_of(net, x, labels, kept, args, fall):
    with torch.autocast(x.device.type, torch.bfloat16,
                        enabled=not args.float32):
        features = net.backbone(x)
    logits, scores = net.photo(features)
    loss = (0.5 * recipe.cross_entropy(net.plain(features), labels, kept) +
            recipe.cross_entropy(scores, labels, kept) +
            args.groups * grouped(logits, labels, kept == 1))
    press = args.press * recipe.late(fall)
    return loss + press * recipe.pressure(logits) if press else loss


def enlarged(x):
    return F.interpolate(x.float(), size=(LARGE, LARGE), mode='bilinear',
                         align_corners=False)


def features_of(net, x):
    """Features of pictures, the mean of those of a mirror image with them."""
    net.eval()
    out = []
    with torch.no_grad():
        for i in range(0, len(x), 250):
            a = recipe.normalise(enlarged(x[i:i + 250]), MEAN, STD)
            with torch.autocast(a.device.type, torch.bfloat16,
                                enabled=a.is_cuda):
                out.append((net.backbone(a) + net.backbone(a.flip(3))) / 2)
    net.train()
    return torch.cat(out)


def pictures(args):
    """(pixels, labels from 0 on, and those that --choose keeps out)."""
    kept = set(range(len(class_names(args.data[0]))))
    if args.seen or args.choose:
        kept -= unseen()
    x, y = load(args.data, 'train', kept)
    out = torch.isin(y, torch.tensor(sorted(kept)[::8] if args.choose else []))
    held = x[out], y[out]
    x, y = x[~out], y[~out]
    return x, torch.searchsorted(y.unique(), y), held


def train(args):
    torch.manual_seed(args.seed)
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    x, y, held = pictures(args)
    x, y, held = x.to(device), y.to(device), [t.to(device) for t in held]
    net = Net(int(y.max()) + 1).to(device, memory_format=torch.channels_last)
    run = recipe.Run(net, args.out, len(x), args.batch, args.epochs, args.rate,
                     args.seed, args.minutes)
    for rows, _, rng, fall in run.batches():
        view = recipe.normalise(views.light(x[rows], rng, args.least), MEAN,
                                STD)
        kept = torch.ones(len(rows), device=device)
        if fall < 0.9:
            view, kept = recipe.mixed(view, rng)
        run.learn(loss_of(net, view, y[rows], kept, args, fall))
    if args.choose:
        look(net, *held)


def look(net, x, labels):
    features = features_of(net, x)
    with torch.no_grad():
        net.eval()
        codes = net.photo(features)[0].sign()
        net.train()
    print('held out: P@10 %.4f' % precision(codes, labels), flush=True)


def load_net(net, path):
    net.load_state_dict(torch.load(path, map_location='cpu')['net'])
    net.eval()
    return net


def write(args):
    from export import Description, export, samples
    names = class_names(args.data[0])
    kept = set(range(len(names))) - (unseen() if args.seen else set())
    net = load_net(Net(len(kept)), args.out + '.pt')
    copies = load_net(train_copy.Copies(), args.copies + '.pt')
    d = Description()
    features = d.largest('features', d.backbone(net.backbone))
    # it has learned from means of 2 x 2 of SIDE x SIDE
    x = d.pooled('copy.small', 'data', 'AVE', 2 * LARGE // SIDE)
    x = d.backbone(copies.backbone, x, 'copy.')
    x = d.convolution('copy.patches', x, copies.patches)
    places = d.add('places', 'Flatten', [x])
    heads = [d.beside('photo-64', features, net.photo, net.plain,
                      [names[label] for label in sorted(kept)]),
             {'name': 'copy-64', 'features': places,
              'latent': d.latent('copy-64', places, copies.latent,
                                 copies.norm)}]
    export(args.file, d, heads, LARGE, MEAN, STD,
           samples(args.out + '.calibrate.db', args.data, 'label IN (%s)' %
                   ', '.join(map(str, sorted(kept)))),
           mirror=[features, places], activation_bits=8, reduced_jpeg=3)


def main():
    p = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    sub = p.add_subparsers(dest='command', required=True)
    t = sub.add_parser('train')
    t.add_argument('--epochs', type=float, nargs=2, default=[4, 73],
                   help='at the highest rate, and falling')
    t.add_argument('--minutes', type=float,
                   help='as many epochs, in this proportion, as fit in')
    t.add_argument('--batch', type=int, default=768)
    t.add_argument('--rate', type=float, default=0.06)
    t.add_argument('--groups', type=float, default=0.5,
                   help='weight of who is of whose class')
    t.add_argument('--press', type=float, default=0.1)
    t.add_argument('--float32', action='store_true', help='no bfloat16')
    t.add_argument('--least', type=float, default=0.4,
                   help='of a side that is left by a crop')
    t.add_argument('--seed', type=int, default=1)
    t.add_argument('--choose', action='store_true')
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

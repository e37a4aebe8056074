#!/usr/bin/python3
"""Train photo-64, what is similar, and copy-64, what is the same picture.

    python3 weights/train_photo.py train  --data A.db B.db [--seen]
    python3 weights/train_photo.py export --data A.db B.db MODEL.safetensors

Two 64-bit heads on one backbone for 64x64 pictures (recipe.py says how it
learns; the stem takes every other pixel).  Each step takes two views of each
picture (views.py).  photo-64 learns the classes of both views and, less, to
tell a picture's views from those of others; copy-64 learns that alone and never
sees a label.  While the rate is at its highest, views are made smaller
(`--side`): that learns nearly as much a picture at half of the cost.

--seen leaves out the classes of weights/unseen_classes.txt.  The model so
trained is what the figures on unseen classes are measured with; the one that
ships is trained on all.  `train` may be called again and again: it goes on
where it was cut off, and does nothing once it is done.
"""
import argparse
import os

import torch
import torch.nn.functional as F
from torch import nn

import recipe
import views
from pictures import class_names, load

MEAN = (122, 115, 101)  # of the training pixels, RGB; also what pads
STD = (70.0, 68.0, 71.0)
WIDTHS = (24, 64, 192, 256)
BRANCHES = (1, 1, 1)
BITS = 64
SIDE = 64


class Net(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.backbone = recipe.Backbone(WIDTHS, BRANCHES, stride=2)
        self.photo = recipe.Head(WIDTHS[-1], BITS, classes)
        self.copy = nn.Linear(WIDTHS[-1], BITS)
        self.plain = nn.Linear(WIDTHS[-1], classes)
        nn.init.normal_(self.copy.weight, std=0.05)
        nn.init.zeros_(self.copy.bias)


def loss_of(net, a, b, labels, args, press, side):
    x = torch.cat([a, b])
    if side < x.shape[-1]:
        x = F.interpolate(x, size=(side, side), mode='area')
    x = x.contiguous(memory_format=torch.channels_last)
    with torch.autocast(x.device.type, torch.bfloat16,
                        enabled=not args.float32):
        features = net.backbone(x)
    features, labels = features.float(), labels.repeat(2)
    n = len(a)
    photo, scores = net.photo(features)
    copy = net.copy(features)
    loss = F.cross_entropy(scores, labels, label_smoothing=0.1)
    loss = loss + 0.5 * F.cross_entropy(net.plain(features), labels,
                                        label_smoothing=0.1)
    loss = loss + args.contrast * views.contrast(photo[:n], photo[n:], 0.2)
    loss = loss + views.contrast(copy[:n], copy[n:], 0.1)
    if press:
        loss = loss + press * (recipe.pressure(photo) + recipe.pressure(copy))
    return loss


def unseen():
    """Labels of weights/unseen_classes.txt: its lines begin with them."""
    path = os.path.join(os.path.dirname(__file__), 'unseen_classes.txt')
    with open(path) as f:
        return {int(line.split()[0]) for line in f
                if line.strip() and not line.startswith('#')}


def found(codes, labels, k=10):
    """Precision at k of bits among themselves, ties in their order."""
    u = codes.float() * 2 - 1
    total = 0.0
    for i in range(0, len(u), 500):
        like = u[i:i + 500] @ u.T - torch.arange(len(u)) * 1e-4
        like[torch.arange(len(like)), torch.arange(i, i + len(like))] = -1e9
        top = like.topk(k, 1).indices
        total += (labels[top] == labels[i:i + 500, None]).float().sum().item()
    return total / k / len(u)


def held_out(net, x, labels, float32):
    net.eval()
    photo, right = [], 0
    with torch.no_grad():
        for i in range(0, len(x), 500):
            a = recipe.normalise(x[i:i + 500], MEAN, STD)
            with torch.autocast(a.device.type, torch.bfloat16,
                                enabled=not float32):
                f = net.backbone(a).float() + net.backbone(a.flip(3)).float()
            z, scores = net.photo(f / 2)
            photo.append((z > 0).cpu())
            right += (scores.argmax(1) == labels[i:i + 500]).sum().item()
    net.train()
    return right / len(x), found(torch.cat(photo), labels.cpu())


def train(args):
    torch.manual_seed(args.seed)
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    seen = None
    if args.seen:
        seen = sorted(set(range(len(class_names(args.data[0])))) - unseen())
    x, y = load(args.data, 'train', seen)
    if seen:
        y = torch.searchsorted(torch.tensor(seen), y)
    classes = int(y.max()) + 1
    x, y = x.to(device), y.to(device)
    held = args.holdout
    kept_x, kept_y, x, y = x[:held], y[:held], x[held:], y[held:]
    net = Net(classes).to(device, memory_format=torch.channels_last)
    run = recipe.Run(net, args.out, len(x), args.batch, args.epochs, args.rate,
                     args.seed)
    for rows, epoch, rng, fall in run.batches():
        a, b = (recipe.normalise(views.view(x[rows], rng), MEAN, STD)
                for _ in range(2))
        run.learn(loss_of(net, a, b, y[rows], args,
                          args.press * recipe.late(fall),
                          SIDE if fall else args.side))
        if held and run.step % run.per_epoch == 0:
            print('epoch %d held out: accuracy %.4f, P@10 %.4f' % (
                epoch + 1, *held_out(net, kept_x, kept_y, args.float32)), flush=True)


def write(args):
    from export import export
    names = class_names(args.data[0])
    kept = (sorted(set(range(len(names))) - unseen()) if args.seen
            else range(len(names)))
    net = Net(len(kept))
    net.load_state_dict(torch.load(args.out + '.pt',
                                   map_location='cpu')['net'])
    pixels, _ = load(args.data, 'train', set(kept), limit=1000)
    export(args.file, net.backbone,
           [('photo-64', net.photo.latent, net.photo.classifier,
             [names[label] for label in kept]),
            ('copy-64', net.copy, None, None)],
           pixels, MEAN, STD, mirror=True)


def main():
    p = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    sub = p.add_subparsers(dest='command', required=True)
    t = sub.add_parser('train')
    t.add_argument('--epochs', type=float, nargs=2, default=[5, 3],
                   help='at the highest rate, and falling')
    t.add_argument('--side', type=int, default=48,
                   help='of pictures at the highest rate')
    t.add_argument('--batch', type=int, default=250, help='pictures a step')
    t.add_argument('--rate', type=float, default=0.05)
    t.add_argument('--contrast', type=float, default=0.3)
    t.add_argument('--press', type=float, default=0.1)
    t.add_argument('--seed', type=int, default=1)
    t.add_argument('--holdout', type=int, default=0)
    t.add_argument('--float32', action='store_true', help='no bfloat16')
    t.set_defaults(run=train)
    e = sub.add_parser('export')
    e.add_argument('file', help='the safetensors file to write')
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

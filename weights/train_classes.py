#!/usr/bin/python3
"""Train the models of pictures with class labels: cifar10-48 and mnist-48.

    python3 weights/train_classes.py train  cifar10-teacher --data CIFAR10.db
    python3 weights/train_classes.py train  cifar10 --data CIFAR10.db \
        --teacher build/train/cifar10-teacher.pt
    python3 weights/train_classes.py export cifar10 --data CIFAR10.db OUT
    python3 weights/train_classes.py train  mnist   --data MNIST.db
    python3 weights/train_classes.py export mnist   --data MNIST.db OUT

One backbone and heads of several widths that learn together (recipe.py says
how).  Beside them stand a head whose latent weights are -1 and +1, and a plain
classifier of the features, which steadies the start; neither is part of the
model, but `export --binary` writes the former alone, for a comparison.

With a teacher, a wide network that is not shipped, the heads learn what it says
of the very pixels that they see, mixed pictures too, and no labels (Beyer and
others, "Knowledge distillation: a good teacher is patient and consistent", CVPR
2022).  It has seen the same training images and no others.

`train --holdout 5000` keeps the first 5,000 training images out and prints how
each head does on them, which is how the choices in MODELS were made; the models
are then trained on all images.  `train` may be called again and again: it goes
on where it was cut off, and does nothing once it is done.  `export` quantises
with 1,000 training images and writes the integer model.

A model with `mirror` sees a picture and its mirror image (MirrorMean), so that
a code does not depend on which way round it is.
"""
import argparse

import torch
from torch import nn

import recipe
from pictures import class_names, load
from ranking import mean_average_precision

# mean (also what pads) and std are of the training pixels; shift and hole are
# pixels of augmentation, mix says whether pictures are mixed
CIFAR10 = dict(mean=(125, 123, 114), std=(63.0, 62.1, 66.7), side=32,
               mirror=True, shift=4, mix=True)
MODELS = {
    'cifar10': dict(
        CIFAR10, widths=(32, 96, 224, 384), branches=(1, 2, 2),
        bits=(48, 12, 32, 64, 128), hole=0, epochs=(8, 153)),
    'cifar10-teacher': dict(
        CIFAR10, widths=(64, 256, 512, 768), branches=(2, 2, 2), bits=(),
        hole=8, epochs=(6, 66)),
    'mnist': dict(
        mean=(33, 33, 33), std=(78.6, 78.6, 78.6), side=28, mirror=False,
        widths=(16, 32, 64, 96), branches=(1, 2, 2), bits=(48,), shift=3,
        hole=6, mix=False, epochs=(3, 4)),
}
BINARY = 48  # bits of the head with binary latent weights


class Net(nn.Module):
    def __init__(self, widths, branches, bits, classes=10):
        super().__init__()
        width = widths[-1]
        self.backbone = recipe.Backbone(widths, branches)
        self.heads = nn.ModuleList(
            recipe.Head(width, n, classes) for n in bits)
        if bits:
            self.heads.append(recipe.Head(width, BINARY, classes,
                                          latent=recipe.BinaryLinear))
        self.plain = nn.Linear(width, classes)


def network(model):
    return Net(model['widths'], model['branches'], model['bits'])


class Teachers:
    """The mean of what some trained networks say."""

    def __init__(self, paths, device):
        self.nets = []
        for path in paths:
            kept = torch.load(path, map_location='cpu')['net']
            model = MODELS['cifar10-teacher']
            net = network(model)
            net.load_state_dict(kept)
            self.nets.append(net.to(
                device, memory_format=torch.channels_last).eval())

    def scores(self, x):
        with torch.no_grad():
            each = [torch.log_softmax(net.plain(net.backbone(x)).float(), 1)
                    for net in self.nets]
        return torch.stack(each).mean(0)


def loss_of(net, x, labels, kept, teachers, press, bfloat16):
    with torch.autocast(x.device.type, torch.bfloat16, enabled=bfloat16):
        features = net.backbone(x)
        taught = teachers.scores(x) if teachers.nets else None
    features = features.float()
    if taught is None:
        def wrong(scores):
            return recipe.cross_entropy(scores, labels, kept)
    else:
        def wrong(scores):
            return recipe.distilled(scores, taught)
    outputs = [head(features) for head in net.heads]
    loss = 0.5 * wrong(net.plain(features))
    if outputs:
        loss = loss + sum(wrong(s) for _, s in outputs) / len(outputs)
    if press and outputs:
        loss = loss + press * sum(recipe.pressure(logits)
                                  for logits, _ in outputs) / len(outputs)
    return loss


def seen(net, x, mirror, bfloat16):
    """For each head (logits, scores) of many pictures; last (None, scores)
    of the plain classifier."""
    net.eval()
    features = []
    with torch.no_grad():
        for i in range(0, len(x), 500):
            a = x[i:i + 500]
            with torch.autocast(a.device.type, torch.bfloat16,
                                enabled=bfloat16):
                f = net.backbone(a).float()
                if mirror:
                    f = (f + net.backbone(a.flip(3)).float()) / 2
            features.append(f)
        features = torch.cat(features)
        outputs = [head(features) for head in net.heads]
        outputs.append((None, net.plain(features)))
    net.train()
    return outputs


def held_out(net, x, labels, mirror, bfloat16):
    """Accuracy of each head and of the plain classifier."""
    return ' '.join('%.4f' % (scores.argmax(1) == labels).float().mean()
                    for _, scores in seen(net, x, mirror, bfloat16))


def train(args, model):
    torch.manual_seed(args.seed)
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    net = network(model).to(device, memory_format=torch.channels_last)
    teachers = Teachers(args.teacher, device)
    x, y = load([args.data], 'train')
    held, bfloat16 = args.holdout, not args.float32
    x = recipe.normalise(x.to(device), model['mean'], model['std'])
    y = y.to(device)
    kept_x, kept_y, x, y = x[:held], y[:held], x[held:], y[held:]
    mirrored = torch.randint(0, 2, (len(x),), generator=torch.Generator()
                             .manual_seed(args.seed)).to(device)
    run = recipe.Run(net, args.out, len(x), args.batch,
                     args.epochs or model['epochs'], args.rate, args.seed,
                     args.minutes)
    for rows, epoch, rng, fall in run.batches():
        # every picture one way round in one epoch, the other in the next
        flip = (mirrored[rows] + epoch) % 2 == 1
        if not model['mirror']:
            flip[:] = False
        batch = recipe.shifted(x[rows], model['shift'], flip, rng)
        batch = recipe.holed(batch, model['hole'], rng)
        kept = None
        if model['mix'] and fall < 0.9:
            batch, kept = recipe.mixed(batch, rng)
        run.learn(loss_of(net, batch, y[rows], kept, teachers,
                          args.press * recipe.late(fall), bfloat16))
        if held and run.step % (run.per_epoch * args.look) == 0:
            print('epoch %d held out' % (epoch + 1),
                  held_out(net, kept_x, kept_y, model['mirror'], bfloat16),
                  flush=True)
    if held:
        print('held out', held_out(net, kept_x, kept_y, model['mirror'],
                                   bfloat16))
        base, query = (seen(net, part, model['mirror'], bfloat16)
                       for part in (x, kept_x))
        print('mAP@1000', ' '.join(
            '%d bits: %.4f' % (q.shape[1], mean_average_precision(
                q > 0, kept_y, b > 0, y))
            for (q, _), (b, _) in zip(query[:-1], base[:-1])), flush=True)


def write(args, model):
    from export import Description, export, samples
    net = network(model)
    net.load_state_dict(torch.load(args.out + '.pt',
                                   map_location='cpu')['net'])
    net.eval()
    classes = class_names(args.data)
    d = Description()
    features = d.largest('features', d.backbone(net.backbone))
    named = list(zip(('%s-%d' % (args.model, n) for n in model['bits']),
                     net.heads))
    if args.binary:
        named = [('%s-%d-binary' % (args.model, BINARY), net.heads[-1])]
    heads = [d.head(name, features, head, classes) for name, head in named]
    export(args.file, d, heads, model['side'], model['mean'], model['std'],
           samples(args.out + '.calibrate.db', [args.data]),
           mirror=[features] if model['mirror'] else [])


def main():
    p = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    sub = p.add_subparsers(dest='command', required=True)
    t = sub.add_parser('train')
    t.add_argument('--epochs', type=float, nargs=2,
                   help='at the highest rate, and falling')
    t.add_argument('--minutes', type=float,
                   help='as many epochs, in this proportion, as fit in')
    t.add_argument('--teacher', nargs='+', default=[],
                   help='checkpoints of cifar10-teacher')
    t.add_argument('--batch', type=int, default=500)
    t.add_argument('--rate', type=float, default=0.06)
    t.add_argument('--press', type=float, default=0.1)
    t.add_argument('--seed', type=int, default=1)
    t.add_argument('--holdout', type=int, default=0)
    t.add_argument('--look', type=int, default=1,
                   help='epochs between two looks at what is held out')
    t.add_argument('--float32', action='store_true', help='no bfloat16')
    t.set_defaults(run=train)
    e = sub.add_parser('export')
    e.add_argument('--binary', action='store_true',
                   help='the head with binary latent weights alone')
    e.set_defaults(run=write)
    for q in (t, e):
        q.add_argument('model', choices=sorted(MODELS))
        q.add_argument('--data', required=True, help='cifar10.db or mnist.db')
        q.add_argument('--out', help='of checkpoints: build/train/MODEL')
    e.add_argument('file', help='the safetensors file to write')
    args = p.parse_args()
    args.out = args.out or 'build/train/' + args.model
    args.run(args, MODELS[args.model])


if __name__ == '__main__':
    main()

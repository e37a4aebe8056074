#!/usr/bin/python3
"""Train the models of pictures with class labels: cifar10-48 and mnist-48.

    python3 weights/train_classes.py train  cifar10 --data CIFAR10.db
    python3 weights/train_classes.py export cifar10 --data CIFAR10.db OUT
    python3 weights/train_classes.py train  mnist   --data MNIST.db
    python3 weights/train_classes.py export mnist   --data MNIST.db OUT

One backbone and heads of several widths that learn together (recipe.py says
how).  Beside them stand a head whose latent weights are -1 and +1, and a plain
classifier of the features, which steadies the start; neither is part of the
model, but `export --binary` writes the former alone, for a comparison.

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
import torch.nn.functional as F
from torch import nn

import recipe
from pictures import class_names, load

# mean (also what pads) and std are of the training pixels; shift and hole are
# pixels of augmentation
MODELS = {
    'cifar10': dict(
        mean=(125, 123, 114), std=(63.0, 62.1, 66.7), widths=(24, 64, 192, 256),
        branches=(1, 1, 1), bits=(48, 12, 32, 64, 128), mirror=True, shift=2,
        hole=0, epochs=(0.5, 7.5)),
    'mnist': dict(
        mean=(33, 33, 33), std=(78.6, 78.6, 78.6), widths=(16, 32, 64, 96),
        branches=(1, 2, 2), bits=(48,), mirror=False, shift=3, hole=6,
        epochs=(3, 4)),
}
BINARY = 48  # bits of the head with binary latent weights


class Net(nn.Module):
    def __init__(self, model, classes=10):
        super().__init__()
        width = model['widths'][-1]
        self.backbone = recipe.Backbone(model['widths'], model['branches'])
        self.heads = nn.ModuleList(
            recipe.Head(width, bits, classes) for bits in model['bits'])
        self.heads.append(recipe.Head(width, BINARY, classes,
                                      latent=recipe.BinaryLinear))
        self.plain = nn.Linear(width, classes)


def loss_of(net, x, labels, press, bfloat16):
    with torch.autocast(x.device.type, torch.bfloat16, enabled=bfloat16):
        features = net.backbone(x)
    features = features.float()
    outputs = [head(features) for head in net.heads]
    loss = sum(F.cross_entropy(scores, labels, label_smoothing=0.1)
               for _, scores in outputs) / len(outputs)
    loss = loss + 0.5 * F.cross_entropy(net.plain(features), labels,
                                        label_smoothing=0.1)
    if press:
        loss = loss + press * sum(recipe.pressure(logits)
                                  for logits, _ in outputs) / len(outputs)
    return loss


def held_out(net, x, labels, mirror):
    """Accuracy of each head and of the plain classifier."""
    net.eval()
    hits = torch.zeros(len(net.heads) + 1)
    with torch.no_grad():
        for i in range(0, len(x), 500):
            a = x[i:i + 500]
            with torch.autocast(a.device.type, torch.bfloat16):
                f = net.backbone(a).float()
                if mirror:
                    f = (f + net.backbone(a.flip(3)).float()) / 2
            scores = [head(f)[1] for head in net.heads] + [net.plain(f)]
            for j, s in enumerate(scores):
                hits[j] += (s.argmax(1) == labels[i:i + 500]).sum()
    net.train()
    return ' '.join('%.4f' % (h / len(x)) for h in hits)


def train(args, model):
    torch.manual_seed(args.seed)
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    net = Net(model).to(device, memory_format=torch.channels_last)
    x, y = load([args.data], 'train')
    held = args.holdout
    x = recipe.normalise(x.to(device), model['mean'], model['std'])
    y = y.to(device)
    kept_x, kept_y, x, y = x[:held], y[:held], x[held:], y[held:]
    mirrored = torch.randint(0, 2, (len(x),),
                             generator=torch.Generator().manual_seed(args.seed))
    run = recipe.Run(net, args.out, len(x), args.batch,
                     args.epochs or model['epochs'], args.rate, args.seed)
    for rows, epoch, rng, fall in run.batches():
        # every picture one way round in one epoch, the other in the next
        flip = (mirrored[rows] + epoch) % 2 == 1
        if not model['mirror']:
            flip[:] = False
        batch = recipe.shifted(x[rows], model['shift'], flip, rng)
        batch = recipe.holed(batch, model['hole'], rng)
        run.learn(loss_of(net, batch, y[rows], args.press * recipe.late(fall),
                          not args.float32))
        if held and run.step % run.per_epoch == 0:
            print('epoch %d held out' % (epoch + 1),
                  held_out(net, kept_x, kept_y, model['mirror']), flush=True)
    if held:
        print('held out', held_out(net, kept_x, kept_y, model['mirror']))


def write(args, model):
    from export import export
    net = Net(model)
    net.load_state_dict(torch.load(args.out + '.pt',
                                   map_location='cpu')['net'])
    names = ['%s-%d' % (args.model, bits) for bits in model['bits']]
    names.append('%s-%d-binary' % (args.model, BINARY))
    classes = class_names(args.data)
    heads = [(name, head.latent, head.classifier, classes)
             for name, head in zip(names, net.heads)]
    pixels, _ = load([args.data], 'train', limit=1000)
    export(args.file, net.backbone, heads[-1:] if args.binary else heads[:-1],
           pixels, model['mean'], model['std'], model['mirror'])


def main():
    p = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    sub = p.add_subparsers(dest='command', required=True)
    t = sub.add_parser('train')
    t.add_argument('--epochs', type=float, nargs=2,
                   help='at the highest rate, and falling')
    t.add_argument('--batch', type=int, default=500)
    t.add_argument('--rate', type=float, default=0.06)
    t.add_argument('--press', type=float, default=0.1)
    t.add_argument('--seed', type=int, default=1)
    t.add_argument('--holdout', type=int, default=0)
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

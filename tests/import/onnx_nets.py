#!/usr/bin/env python3
"""Image classifiers in plain PyTorch, with random weights, as ONNX files.

    onnx_nets.py FOLDER SIZE NAME...        (all of them where none is named)

Writes NAME.9.onnx, as old exporters wrote it (opset 9, initialisers among the
inputs, batch norms on their own), and NAME.17.onnx (folded, opset 17), for
pictures of SIZE x SIZE.  The networks follow their papers, layer by layer; only
the head's width follows from SIZE where a paper's needs 224.
"""
import sys
import warnings

import torch
from torch import nn
from torch.nn import functional as F

CLASSES = 100


def conv(i, o, k=3, s=1, p=None, g=1, act=nn.ReLU, norm=True):
    """Convolution, batch norm, activation."""
    layers = [nn.Conv2d(i, o, k, s, k // 2 if p is None else p, groups=g,
                        bias=not norm)]
    if norm:
        layers.append(nn.BatchNorm2d(o))
    if act:
        layers.append(act())
    return nn.Sequential(*layers)


def plain(i, o, k=3, s=1, p=None):
    return conv(i, o, k, s, p, norm=False)


class Head(nn.Module):
    """Features, flattened, then fully connected layers."""

    def __init__(self, features, size, widths, dropout=0.5):
        super().__init__()
        self.features = features
        with torch.no_grad():
            n = features.eval()(torch.zeros(1, 3, size, size)).numel()
        layers = []
        for width in widths:
            layers += [nn.Dropout(dropout), nn.Linear(n, width), nn.ReLU()]
            n = width
        self.classifier = nn.Sequential(*layers, nn.Linear(n, CLASSES))

    def forward(self, x):
        x = self.features(x)
        return self.classifier(x.view(x.size(0), -1))


class Normalise(torch.autograd.Function):
    """Across channels, as the one operator that other exporters write; that of
    PyTorch takes it apart."""

    @staticmethod
    def forward(context, x):
        return F.local_response_norm(x, 5)

    @staticmethod
    def symbolic(g, x):
        return g.op('LRN', x, size_i=5, alpha_f=1e-4, beta_f=.75, bias_f=1.)


class LRN(nn.Module):
    def forward(self, x):
        return Normalise.apply(x)


def alexnet(size):
    pool = lambda: nn.MaxPool2d(3, 2)
    return Head(nn.Sequential(
        plain(3, 64, 11, 4, 2), LRN(), pool(),
        plain(64, 192, 5), LRN(), pool(), plain(192, 384),
        plain(384, 256), plain(256, 256), *([pool()] if size > 80 else [])),
        size, [4096, 4096])


def vgg11(size):
    layers, i = [], 3
    for o in (64, 0, 128, 0, 256, 256, 0, 512, 512, 0, 512, 512, 0):
        layers.append(plain(i, o) if o else nn.MaxPool2d(2))
        i = o or i
    return Head(nn.Sequential(*layers), size, [4096, 4096])


class Fire(nn.Module):
    def __init__(self, i, s, e):
        super().__init__()
        self.squeeze = plain(i, s, 1)
        self.one, self.three = plain(s, e, 1), plain(s, e, 3)

    def forward(self, x):
        x = self.squeeze(x)
        return torch.cat([self.one(x), self.three(x)], 1)


def squeezenet(size):
    pool = lambda: nn.MaxPool2d(3, 2, ceil_mode=True)
    return nn.Sequential(
        plain(3, 64, 3, 2, 0), pool(), Fire(64, 16, 64), Fire(128, 16, 64),
        pool(), Fire(128, 32, 128), Fire(256, 32, 128), pool(),
        Fire(256, 48, 192), Fire(384, 48, 192), Fire(384, 64, 256),
        Fire(512, 64, 256), nn.Dropout(), plain(512, CLASSES, 1),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Softmax(1))


class Residual(nn.Module):
    def __init__(self, i, o, s, wide):
        super().__init__()
        m = o // 4
        self.body = nn.Sequential(
            conv(i, m, 1), conv(m, m, 3, s), conv(m, o, 1, act=None)
        ) if wide else nn.Sequential(conv(i, o, 3, s), conv(o, o, act=None))
        self.short = conv(i, o, 1, s, act=None) if s > 1 or i != o else None

    def forward(self, x):
        return F.relu(self.body(x) + (self.short(x) if self.short else x))


def resnet(blocks, wide):
    def build(size):
        layers, i = [conv(3, 64, 7, 2), nn.MaxPool2d(3, 2, 1)], 64
        for stage, n in enumerate(blocks):
            o = (64 << stage) * (4 if wide else 1)
            for k in range(n):
                layers.append(Residual(i, o, 2 if stage and not k else 1,
                                       wide))
                i = o
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                             nn.Linear(i, CLASSES))
    return build


class Excite(nn.Module):
    """Squeeze and excitation."""

    def __init__(self, c, m, act=nn.ReLU, gate=nn.Sigmoid):
        super().__init__()
        self.gates = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(c, m, 1),
                                   act(), nn.Conv2d(m, c, 1), gate())

    def forward(self, x):
        return x * self.gates(x)


class Inverted(nn.Module):
    def __init__(self, i, o, k, s, wide, act, excite=None):
        super().__init__()
        layers = [conv(i, wide, 1, act=act)] if wide != i else []
        layers.append(conv(wide, wide, k, s, g=wide, act=act))
        if excite:
            layers.append(excite(wide, i))
        self.body = nn.Sequential(*layers, conv(wide, o, 1, act=None))
        self.same = s == 1 and i == o

    def forward(self, x):
        return x + self.body(x) if self.same else self.body(x)


def mobilenet_v2(size):
    layers, i = [conv(3, 32, 3, 2, act=nn.ReLU6)], 32
    for t, o, n, s in ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2),
                       (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2),
                       (6, 320, 1, 1)):
        for k in range(n):
            layers.append(Inverted(i, o, 3, 1 if k else s, i * t, nn.ReLU6))
            i = o
    return nn.Sequential(*layers, conv(i, 1280, 1, act=nn.ReLU6), Mean(),
                         nn.Dropout(0.2), nn.Linear(1280, CLASSES))


class Mean(nn.Module):
    def forward(self, x):
        return x.mean([2, 3])


def mobilenet_v3(size):
    H, R = nn.Hardswish, nn.ReLU
    excite = lambda c, i: Excite(c, c // 4, gate=nn.Hardsigmoid)
    layers, i = [conv(3, 16, 3, 2, act=H)], 16
    for k, wide, o, se, act, s in (
            (3, 16, 16, 1, R, 2), (3, 72, 24, 0, R, 2), (3, 88, 24, 0, R, 1),
            (5, 96, 40, 1, H, 2), (5, 240, 40, 1, H, 1), (5, 120, 48, 1, H, 1),
            (5, 288, 96, 1, H, 2), (5, 576, 96, 1, H, 1)):
        layers.append(Inverted(i, o, k, s, wide, act, excite if se else None))
        i = o
    return nn.Sequential(*layers, conv(i, 576, 1, act=H),
                         nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                         nn.Linear(576, 1024), H(), nn.Linear(1024, CLASSES))


class Shuffle(nn.Module):
    """ShuffleNet V2's unit: half of the channels pass by."""

    def __init__(self, i, o, s):
        super().__init__()
        m = self.half = o // 2
        self.pass_by = nn.Sequential(
            conv(i, i, 3, s, g=i, act=None), conv(i, m, 1)) if s > 1 else None
        self.body = nn.Sequential(
            conv(i if s > 1 else m, m, 1), conv(m, m, 3, s, g=m, act=None),
            conv(m, m, 1))

    def forward(self, x):
        if self.pass_by:
            x = torch.cat([self.pass_by(x), self.body(x)], 1)
        else:
            x = torch.cat([x[:, :self.half], self.body(x[:, self.half:])], 1)
        n, c, h, w = x.size()
        return x.view(n, 2, c // 2, h, w).transpose(1, 2).contiguous().view(
            n, -1, h, w)


def shufflenet(size):
    layers, i = [conv(3, 24, 3, 2), nn.MaxPool2d(3, 2, 1)], 24
    for o, n in ((116, 4), (232, 8), (464, 4)):
        for k in range(n):
            layers.append(Shuffle(i, o, 1 if k else 2))
            i = o
    return nn.Sequential(*layers, conv(i, 1024, 1), Mean(),
                         nn.Linear(1024, CLASSES))


class Dense(nn.Module):
    def __init__(self, i, grow=32):
        super().__init__()
        self.body = nn.Sequential(
            nn.BatchNorm2d(i), nn.ReLU(), nn.Conv2d(i, 4 * grow, 1, bias=False),
            nn.BatchNorm2d(4 * grow), nn.ReLU(),
            nn.Conv2d(4 * grow, grow, 3, padding=1, bias=False))

    def forward(self, x):
        return torch.cat([x, self.body(x)], 1)


def densenet(size):
    layers, i = [conv(3, 64, 7, 2), nn.MaxPool2d(3, 2, 1)], 64
    for n in (6, 12, 24, 16):
        if i > 64:
            layers += [nn.BatchNorm2d(i), nn.ReLU(),
                       nn.Conv2d(i, i // 2, 1, bias=False), nn.AvgPool2d(2)]
            i //= 2
        for _ in range(n):
            layers.append(Dense(i))
            i += 32
    return nn.Sequential(*layers, nn.BatchNorm2d(i), nn.ReLU(),
                         nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                         nn.Linear(i, CLASSES))


class Inception(nn.Module):
    def __init__(self, i, a, b, c, d, e, f):
        super().__init__()
        self.branches = nn.ModuleList([
            conv(i, a, 1), nn.Sequential(conv(i, b, 1), conv(b, c)),
            nn.Sequential(conv(i, d, 1), conv(d, e)),
            nn.Sequential(nn.MaxPool2d(3, 1, 1, ceil_mode=True),
                          conv(i, f, 1))])

    def forward(self, x):
        return torch.cat([branch(x) for branch in self.branches], 1)


def googlenet(size):
    pool = lambda k=3: nn.MaxPool2d(k, 2, ceil_mode=True)
    return nn.Sequential(
        conv(3, 64, 7, 2), pool(), conv(64, 64, 1), conv(64, 192), pool(),
        Inception(192, 64, 96, 128, 16, 32, 32),
        Inception(256, 128, 128, 192, 32, 96, 64), pool(),
        Inception(480, 192, 96, 208, 16, 48, 64),
        Inception(512, 160, 112, 224, 24, 64, 64),
        Inception(512, 128, 128, 256, 24, 64, 64),
        Inception(512, 112, 144, 288, 32, 64, 64),
        Inception(528, 256, 160, 320, 32, 128, 128), pool(2),
        Inception(832, 256, 160, 320, 32, 128, 128),
        Inception(832, 384, 192, 384, 48, 128, 128), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Dropout(0.2), nn.Linear(1024, CLASSES))


class Swish(nn.Module):
    def forward(self, x):
        return x * torch.sigmoid(x)


def efficientnet(size):
    excite = lambda c, i: Excite(c, max(1, i // 4), act=Swish)
    layers, i = [conv(3, 32, 3, 2, act=Swish)], 32
    for t, o, n, k, s in ((1, 16, 1, 3, 1), (6, 24, 2, 3, 2), (6, 40, 2, 5, 2),
                          (6, 80, 3, 3, 2), (6, 112, 3, 5, 1),
                          (6, 192, 4, 5, 2), (6, 320, 1, 3, 1)):
        for j in range(n):
            layers.append(Inverted(i, o, k, 1 if j else s, i * t, Swish,
                                   excite))
            i = o
    return nn.Sequential(*layers, conv(i, 1280, 1, act=Swish),
                         nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                         nn.Linear(1280, CLASSES), nn.Softmax(-1))


class Hash(nn.Module):
    """The paper's head on a small network: a latent layer of 48 sigmoids."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            conv(3, 16, 3, 2), Residual(16, 16, 1, False),
            Residual(16, 32, 2, False), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.latent, self.classes = nn.Linear(32, 48), nn.Linear(48, 10)

    def forward(self, x):
        x = (x - x.new_tensor([[[123.]], [[116.]], [[103.]]])) / 58.
        return self.classes(torch.sigmoid(self.latent(self.features(x))))


NETS = {
    'alexnet': alexnet, 'vgg11': vgg11, 'squeezenet': squeezenet,
    'resnet18': resnet((2, 2, 2, 2), False),
    'resnet50': resnet((3, 4, 6, 3), True), 'mobilenet_v2': mobilenet_v2,
    'mobilenet_v3': mobilenet_v3, 'shufflenet': shufflenet,
    'densenet121': densenet, 'googlenet': googlenet,
    'efficientnet_b0': efficientnet, 'hash': lambda size: Hash()}


def randomise(model):
    """Statistics that are not those of an untrained network."""
    for m in model.modules():
        if isinstance(m, nn.BatchNorm2d):
            nn.init.uniform_(m.running_mean, -.2, .2)
            nn.init.uniform_(m.running_var, .5, 1.5)
            nn.init.uniform_(m.weight, .5, 1.2)
            nn.init.uniform_(m.bias, -.2, .2)
        elif isinstance(m, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(m.weight)
            if m.bias is not None:
                nn.init.uniform_(m.bias, -.1, .1)


def export(model, size, path, opset):
    old = opset < 13
    torch.onnx.export(
        model, torch.randn(1, 3, size, size), path, opset_version=opset,
        input_names=['input'], output_names=['output'],
        dynamic_axes={'input': {0: 'batch'}, 'output': {0: 'batch'}},
        do_constant_folding=not old, keep_initializers_as_inputs=old,
        training=torch.onnx.TrainingMode.PRESERVE if old
        else torch.onnx.TrainingMode.EVAL)


def main():
    folder, size = sys.argv[1], int(sys.argv[2])
    warnings.simplefilter('ignore')
    for name in sys.argv[3:] or NETS:
        torch.manual_seed(sorted(NETS).index(name))
        model = NETS[name](size)
        randomise(model)
        model.eval()
        for opset in (9, 17):
            export(model, size, '%s/%s.%d.onnx' % (folder, name, opset), opset)


if __name__ == '__main__':
    main()

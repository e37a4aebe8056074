"""What the training recipes share: the network, its optimiser, the loop.

The method is that of Lin, Yang, Hsiao and Chen (CVPR workshops 2015): latent
layers of sigmoid units stand between the features and the classifiers, the
whole net learns from the class labels, and a unit's sign is its bit.  Here
several latent layers ("heads") of different widths share one backbone.

The backbone is a small residual net of 3x3 convolutions whose cost lies where
pictures are already small, after Jordan, "94% on CIFAR-10 in 3.29 seconds on a
single GPU" (2024).  Batch norms learn an offset and no gain: the next layer's
weights can do that, and without a sign a maximum may be taken before or after
the norm.  Convolutions learn by Muon (Jordan and others, 2024): the momentum is
made orthogonal by Newton-Schulz steps, and each weight is kept at a norm of
one for each output channel.  Everything else learns by Nesterov's SGD.

The rate climbs for a twentieth of the first epochs, stays, and falls in a
straight line to 0 over the last ones (`--epochs STABLE DECAY`).  The state
before the fall is kept, so a longer training can start from there.  Latent
units are pressed towards 0 and 1 in the fall's second half alone: from the
first step on it would freeze random bits.

Everything random is drawn from (seed, step) where the pictures lie, so a run
that was cut off goes on from its last checkpoint with the same numbers as one
that was not.  bfloat16 on CPUs and GPUs alike.  With `--minutes` the rate
follows the clock and not the count of steps: for a machine that is lent.
"""
import os
import time

import torch
import torch.nn.functional as F
from torch import nn


class ConvNorm(nn.Module):
    """Convolution, maximum over 2x2 where asked for, norm, ReLU."""

    def __init__(self, c_in, c_out, pool=False, stride=1, kernel=3):
        super().__init__()
        self.conv = nn.Conv2d(c_in, c_out, kernel, stride,
                              padding=kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(c_out)
        self.norm.weight.requires_grad_(False)
        self.pool = pool

    def forward(self, x):
        x = self.conv(x)
        if self.pool:
            x = F.max_pool2d(x, 2)
        return F.relu(self.norm(x))

    def folded(self):
        """Weight and bias of the convolution with its norm, float32."""
        n = self.norm
        gain = torch.rsqrt(n.running_var + n.eps)
        return ((self.conv.weight * gain[:, None, None, None]).detach().cpu(),
                (n.bias - n.running_mean * gain).detach().cpu())


class Backbone(nn.Module):
    """Stages that halve the side: conv + pool, then a residual branch."""

    def __init__(self, widths, branches, stride=1):
        super().__init__()
        self.stem = ConvNorm(3, widths[0], stride=stride)
        self.down = nn.ModuleList(
            ConvNorm(a, b, pool=True) for a, b in zip(widths, widths[1:]))
        self.branch = nn.ModuleList(
            nn.Sequential(*[ConvNorm(w, w) for _ in range(n)])
            for w, n in zip(widths[1:], branches))
        self.width = widths[-1]

    def maps(self, x):
        x = self.stem(x)
        for down, branch in zip(self.down, self.branch):
            x = down(x)
            x = x + branch(x)
        return x

    def forward(self, x):
        return self.maps(x).float().amax((2, 3))


class BinaryLinear(nn.Linear):
    """Weights of -1 and +1 with one scale a unit (Courbariaux, Bengio and
    David 2015; Rastegari and others 2016): used as signs times their mean
    size, learned as real numbers straight through."""

    def binary(self):
        return self.weight.sign() * self.weight.abs().mean(1, keepdim=True)

    def forward(self, x):
        w = self.weight
        return F.linear(x, w + (self.binary() - w).detach(), self.bias)


class Head(nn.Module):
    """Latent units and the classifier that they feed."""

    def __init__(self, width, bits, classes, latent=nn.Linear):
        super().__init__()
        self.latent = latent(width, bits)
        self.norm = nn.BatchNorm1d(bits)
        self.classifier = nn.Linear(bits, classes)
        nn.init.normal_(self.latent.weight, std=0.05)
        nn.init.zeros_(self.latent.bias)
        nn.init.normal_(self.classifier.weight, std=0.5)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, features):
        logits = self.norm(self.latent(features))
        return logits, self.classifier(torch.sigmoid(logits))


def orthogonal(g, steps=3):
    """Newton-Schulz: about U V' of g = U S V', in bfloat16 on a GPU."""
    x = g.bfloat16() if g.is_cuda and min(g.shape) >= 64 else g
    x = x / (x.norm() + 1e-7)
    tall = x.shape[0] > x.shape[1]
    if tall:
        x = x.T
    for _ in range(steps):
        a = x @ x.T
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * (a @ a)) @ x
    return (x.T if tall else x).float()


class Muon(torch.optim.Optimizer):
    def __init__(self, params, lr, momentum=0.9):
        super().__init__(params, {'lr': lr, 'momentum': momentum})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group['params']:
                if p.grad is None:
                    continue
                s = self.state[p]
                if not s:
                    s['momentum'] = torch.zeros_like(p)
                m = s['momentum'].mul_(group['momentum']).add_(p.grad)
                g = p.grad.add(m, alpha=group['momentum'])
                u = orthogonal(g.reshape(len(g), -1)).reshape(p.shape)
                p.mul_(len(p) ** 0.5 / p.norm()).add_(u, alpha=-group['lr'])


def optimisers(net, rate):
    weights = [p for p in net.parameters() if p.ndim == 4]
    linear = [p for p in net.parameters() if p.ndim == 2]
    plain = [p for p in net.parameters() if p.ndim == 1 and p.requires_grad]
    return [Muon(weights, lr=rate),
            torch.optim.SGD([{'params': linear, 'weight_decay': 5e-4},
                             {'params': plain, 'weight_decay': 0}],
                            lr=2 * rate, momentum=0.9, nesterov=True)]


def schedule(step, stable, decay):
    """(share of the highest rate, how far in the fall)."""
    if step < stable:
        return min(1, 0.05 + step / max(1, stable // 20)), 0.0
    fall = (step - stable) / max(1, decay)
    return max(0.0, 1 - fall), fall


def late(fall):
    """How much of a term that would disturb the first half of the fall."""
    return max(0.0, 2 * fall - 1)


def normalise(pixels, mean, std):
    """[n, 3, h, w] of bytes to what the network sees."""
    x = pixels.float()
    x = x - torch.tensor(mean, device=x.device).view(3, 1, 1)
    return (x / torch.tensor(std, device=x.device).view(3, 1, 1)).contiguous(
        memory_format=torch.channels_last)


def shifted(x, pad, flip, rng):
    """Random crops of pictures [n, c, h, w] padded by reflection, those of
    `flip` mirrored."""
    n, _, h, w = x.shape
    x = F.pad(x, (pad, pad, pad, pad), mode='reflect').permute(0, 2, 3, 1)
    top, left = (torch.randint(0, 2 * pad + 1, (n, 1), generator=rng,
                               device=x.device) for _ in range(2))
    i, j = torch.arange(h, device=x.device), torch.arange(w, device=x.device)
    rows = top + i
    cols = left + torch.where(flip[:, None], w - 1 - j, j)
    n = torch.arange(n, device=x.device)[:, None, None]
    return x[n, rows[:, :, None], cols[:, None, :]].permute(0, 3, 1, 2)


def squares(x, sides, rng):
    """[n, 1, h, w]: a rectangle of `sides` [n, 2] somewhere in each picture,
    its middle inside."""
    n, _, h, w = x.shape
    inside = []
    for side, long in ((sides[:, :1], h), (sides[:, 1:], w)):
        middle = torch.rand((n, 1), generator=rng, device=x.device) * long
        at = torch.arange(long, device=x.device) + 0.5
        inside.append((at - middle).abs() * 2 <= side)
    return (inside[0][:, :, None] & inside[1][:, None, :])[:, None]


def holed(x, side, rng):
    """A square of zeros somewhere in each picture."""
    sides = torch.full((len(x), 2), float(side), device=x.device)
    return x.masked_fill(squares(x, sides, rng), 0).contiguous(
        memory_format=torch.channels_last)


def mixed(x, rng):
    """Each picture with a rectangle of the one before it (CutMix; Yun and
    others 2019), and the share of itself that it kept: 1 in half of them."""
    n, _, h, w = x.shape
    cut = torch.rand((n, 1), generator=rng, device=x.device).sqrt()
    cut = cut * (torch.rand((n, 1), generator=rng, device=x.device) < 0.5)
    sides = torch.cat([cut * h, cut * w], 1)
    there = squares(x, sides, rng)
    x = torch.where(there, x.roll(1, 0), x).contiguous(
        memory_format=torch.channels_last)
    return x, 1 - there.float().mean((1, 2, 3))


def cross_entropy(scores, labels, kept=None):
    """Label smoothing of 0.1; with `kept`, of pictures that `mixed` made."""
    if kept is None:
        return F.cross_entropy(scores, labels, label_smoothing=0.1)
    own, other = (F.cross_entropy(scores, t, label_smoothing=0.1,
                                  reduction='none')
                  for t in (labels, labels.roll(1, 0)))
    return (kept * own + (1 - kept) * other).mean()


def distilled(scores, teacher, temperature=2.0):
    """Hinton, Vinyals and Dean 2015: what the teacher's probabilities are
    worth in nats, at a temperature."""
    t = temperature
    return F.kl_div(F.log_softmax(scores / t, 1), F.log_softmax(teacher / t, 1),
                    reduction='batchmean', log_target=True) * t * t


def pressure(logits):
    """How far units are from 0 and 1: 0 for bits, 1 for all at a half."""
    s = torch.sigmoid(logits)
    return 4 * (s * (1 - s)).mean()


def order_of(n, seed, epoch):
    return torch.randperm(n, generator=torch.Generator().manual_seed(
        seed * 1000003 + epoch))


class Run:
    """A training run: steps, rates, checkpoints, a line now and then."""

    def __init__(self, net, path, images, batch, epochs, rate, seed,
                 minutes=None):
        self.net, self.path, self.seed = net, path, seed
        self.minutes, self.device = minutes, next(net.parameters()).device
        torch.backends.cudnn.benchmark = True
        self.images, self.batch = images, batch
        self.per_epoch = images // batch
        self.stable, self.decay = (int(self.per_epoch * e) for e in epochs)
        self.steps = self.stable + self.decay
        self.share = self.stable / self.steps
        self.rates = optimisers(net, rate)
        self.highest = [[g['lr'] for g in o.param_groups] for o in self.rates]
        self.step = 0
        os.makedirs(os.path.dirname(path) or '.', exist_ok=True)
        for source in (path + '.pt', path + '-stable.pt'):
            if os.path.exists(source):
                s = torch.load(source, map_location='cpu')
                if s['step'] > self.stable and s['fall'] != self.stable:
                    continue  # it fell from another height
                net.load_state_dict(s['net'])
                for o, state in zip(self.rates, s['rates']):
                    o.load_state_dict(state)
                self.step = s['step']
                break
        self.first = self.step
        self.began = self.said = self.saved = time.time()

    def clocked(self):
        """With `minutes`: as many steps as will fit in, by the pace so far."""
        done, took = self.step - self.first, time.time() - self.began
        if self.minutes is None or done < 20:
            return
        self.steps = max(self.step, self.first + int(
            done / took * self.minutes * 60))
        self.stable = int(self.share * self.steps)
        self.decay = self.steps - self.stable

    def save(self, path):
        torch.save({'net': self.net.state_dict(), 'step': self.step,
                    'fall': self.stable,
                    'rates': [o.state_dict() for o in self.rates]},
                   path + '.new')
        os.replace(path + '.new', path)

    def batches(self):
        """(rows, epoch, generator, how far in the fall) until it is done."""
        while self.step < self.steps:
            epoch = self.step // self.per_epoch
            order = order_of(self.images, self.seed, epoch).to(self.device)
            self.net.train()
            for b in range(self.step % self.per_epoch, self.per_epoch):
                self.clocked()
                if self.step >= self.steps:
                    break
                rng = torch.Generator(self.device).manual_seed(
                    self.seed * 7919 + self.step)
                share, fall = schedule(self.step, self.stable, self.decay)
                for o, highest in zip(self.rates, self.highest):
                    for g, lr in zip(o.param_groups, highest):
                        g['lr'] = share * lr
                yield (order[b * self.batch:(b + 1) * self.batch], epoch, rng,
                       fall)

    def learn(self, loss):
        for o in self.rates:
            o.zero_grad(set_to_none=True)
        loss.backward()
        for o in self.rates:
            o.step()
        self.step += 1
        now, done = time.time(), self.step >= self.steps
        if self.step == self.stable and self.minutes is None:
            self.save(self.path + '-stable.pt')
        if done or now - self.saved > 30:
            self.save(self.path + '.pt')
            self.saved = time.time()
        if done or now - self.said > 10:
            self.said, took = now, now - self.began
            steps = self.step - self.first
            print('step %d/%d loss %.4f, %.0f images/s, %.1f min left' % (
                self.step, self.steps, loss.item(), steps * self.batch / took,
                took / steps * (self.steps - self.step) / 60), flush=True)

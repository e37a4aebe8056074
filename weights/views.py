"""Views of one picture: what a copy of it may have gone through.

Crops, other sizes, small rotations, mirror images, recompression, brightness,
contrast, colour, grey and covered patches, all drawn from the generator that is
passed in.  What the evaluation keeps for itself is not here: borders, blur,
text.  Pictures are [n, 3, h, w] of bytes or of floats from 0 to 255.
"""
import io

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image


def uniform(n, low, high, rng):
    return low + (high - low) * torch.rand(n, generator=rng)


def chance(n, p, rng):
    return torch.rand(n, generator=rng) < p


def moved(x, rng, least):
    """A crop of `least` to all of each side, turned by up to 8 degrees in half
    of the cases, mirrored in half; reflected where it reaches outside."""
    n = len(x)
    size = uniform(n, least, 1.0, rng)
    wide, high = (size * uniform(n, 0.9, 1.1, rng) for _ in range(2))
    wide, high = wide.clamp(max=1.0), high.clamp(max=1.0)
    dx = (1 - wide) * uniform(n, -1, 1, rng)
    dy = (1 - high) * uniform(n, -1, 1, rng)
    angle = uniform(n, -0.14, 0.14, rng) * chance(n, 0.5, rng)
    mirror = 1 - 2 * chance(n, 0.5, rng).float()
    c, s = torch.cos(angle), torch.sin(angle)
    theta = torch.stack([
        torch.stack([wide * c * mirror, -high * s, dx], 1),
        torch.stack([wide * s * mirror, high * c, dy], 1)], 1).to(x.device)
    grid = F.affine_grid(theta, x.shape, align_corners=False)
    return F.grid_sample(x, grid, mode='bilinear', padding_mode='reflection',
                         align_corners=False)


def smaller(x, rng):
    """Some pictures at 0.4 to 0.8 of their size and back again."""
    side = x.shape[-1]
    to = int(side * uniform(1, 0.4, 0.8, rng))
    pick = chance(len(x), 0.3, rng).to(x.device)
    small = F.interpolate(x[pick], size=(to, to), mode='area')
    x[pick] = F.interpolate(small, size=x.shape[-2:], mode='bilinear',
                            align_corners=False)
    return x


def coloured(x, rng):
    """Brightness, contrast, saturation and the balance of the channels."""
    n = len(x)
    grey = (x * torch.tensor([0.299, 0.587, 0.114], device=x.device)
            .view(3, 1, 1)).sum(1, keepdim=True)
    keep = uniform(n, 0.3, 1.5, rng) * (~chance(n, 0.15, rng))
    x = grey + (x - grey) * keep.view(n, 1, 1, 1).to(x.device)
    gain = uniform(3 * n, 0.85, 1.15, rng).view(n, 3, 1, 1)
    light = uniform(n, 0.6, 1.4, rng).view(n, 1, 1, 1)
    mean = x.mean((1, 2, 3), keepdim=True)
    contrast = uniform(n, 0.6, 1.4, rng).view(n, 1, 1, 1).to(x.device)
    x = (mean + (x - mean) * contrast) * (gain * light).to(x.device)
    return x.clamp(0, 255)


def covered(x, rng):
    """Some pictures with one to three patches of one colour."""
    n, _, h, w = x.shape
    rows = torch.arange(h).view(1, h, 1)
    cols = torch.arange(w).view(1, 1, w)
    for _ in range(3):
        tall = uniform(n, 0.05, 0.3, rng) * h
        wide = uniform(n, 0.05, 0.6, rng) * w
        top, left = uniform(n, -0.1, 0.95, rng) * h, uniform(n, -0.1, 0.9,
                                                             rng) * w
        tall, wide, top, left = (t.view(n, 1, 1)
                                 for t in (tall, wide, top, left))
        hole = ((rows >= top) & (rows < top + tall) & (cols >= left) &
                (cols < left + wide) & chance(n, 0.3, rng).view(n, 1, 1))
        colour = uniform(3 * n, 0, 255, rng).view(n, 3, 1, 1)
        x = torch.where(hole[:, None].to(x.device), colour.to(x.device), x)
    return x


def recompressed(x, rng):
    """Some pictures through JPEG of quality 15 to 70."""
    for i in torch.nonzero(chance(len(x), 0.3, rng)).flatten().tolist():
        quality = int(uniform(1, 15, 70, rng))
        file = io.BytesIO()
        pixels = x[i].permute(1, 2, 0).round().byte().cpu().numpy()
        Image.fromarray(pixels).save(file, 'JPEG', quality=quality)
        with Image.open(file) as picture:
            x[i] = torch.from_numpy(np.asarray(picture).copy()).permute(
                2, 0, 1).to(x)
    return x


def view(x, rng, least=0.6):
    """One view of each picture, floats from 0 to 255."""
    x = moved(x.float(), rng, least)
    x = coloured(smaller(x, rng), rng)
    return recompressed(covered(x, rng), rng)


def contrast(a, b, temperature):
    """NT-Xent (Chen, Kornblith, Norouzi and Hinton 2020) over the logits of
    two views, with units at -1 to 1 and no normalisation, so that a product is
    what the Hamming distance will be."""
    u = torch.tanh(torch.cat([a, b]) / 2)
    n = len(a)
    like = u @ u.T / u.shape[1] / temperature
    like.fill_diagonal_(-1e4)
    match = torch.cat([torch.arange(n, 2 * n), torch.arange(n)]).to(u.device)
    return F.cross_entropy(like, match)

"""Views of one picture: what a copy of it may have gone through.

Crops, other sizes and shapes, small rotations, mirror images, recompression,
brightness, contrast, colour, grey, covered and scribbled patches, pictures upon
other pictures, all drawn from the generator that is passed in, where the
pictures lie.  What the evaluation keeps for itself is not here: borders, blur,
text.  Pictures are [n, 3, h, w] of floats from 0 to 255.
"""
import math

import torch
import torch.nn.functional as F

# Annex K of ITU-T T.81: what libjpeg's qualities scale.
LUMA = (16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55,
        14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62,
        18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
        49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99)
CHROMA = (17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99,
          24, 26, 56, 99, 99, 99, 99, 99, 47, 66, 99, 99, 99, 99, 99, 99,
          99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
          99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99)
# JFIF 1.02: to luma and chroma, and back.
YCC = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5),
       (0.5, -0.418688, -0.081312))
RGB = ((1, 0, 1.402), (1, -0.344136, -0.714136), (1, 1.772, 0))


class Draw:
    """Random numbers of a batch, one for each picture."""

    def __init__(self, x, rng):
        self.n, self.device, self.rng = len(x), x.device, rng

    def rand(self, *shape):
        return torch.rand((self.n,) + shape, generator=self.rng,
                          device=self.device)

    def uniform(self, low, high, *shape):
        return low + (high - low) * self.rand(*shape)

    def chance(self, p, *shape):
        return self.rand(*shape) < p


def moved(x, rng, least, most, over):
    """A crop of `least` to `most` of each side, more than all above 1, turned
    by up to 10 degrees in half of the cases, mirrored in half.  Where it
    reaches outside there is the picture's reflection or, in `over` of the
    cases, another picture of the batch, which it then lies upon."""
    draw = Draw(x, rng)
    size = draw.uniform(least, most)
    wide, high = (size * draw.uniform(0.85, 1.15) for _ in range(2))
    dx = (1 - wide) * draw.uniform(-1, 1)
    dy = (1 - high) * draw.uniform(-1, 1)
    angle = draw.uniform(-0.17, 0.17) * draw.chance(0.5)
    mirror = 1 - 2 * draw.chance(0.5).float()
    c, s = torch.cos(angle), torch.sin(angle)
    theta = torch.stack([
        torch.stack([wide * c * mirror, -high * s, dx], 1),
        torch.stack([wide * s * mirror, high * c, dy], 1)], 1)
    grid = F.affine_grid(theta, x.shape, align_corners=False)
    out = F.grid_sample(x, grid, mode='bilinear', padding_mode='reflection',
                        align_corners=False)
    if over:
        outside = (grid.abs().amax(3) > 1)[:, None] & draw.chance(over, 1, 1, 1)
        by = torch.randint(1, len(x), (1,), generator=rng, device=x.device)
        other = (torch.arange(len(x), device=x.device) + by) % len(x)
        out = torch.where(outside, x[other], out)
    return out


def some(x, share, rng, edit):
    """The pictures with a share of them edited.  How many is not drawn, so
    that nobody waits for a GPU to say it."""
    at = Draw(x, rng).rand().topk(round(share * len(x))).indices
    return x.index_copy(0, at, edit(x[at])) if len(at) else x


def shrunk(x, part):
    """Pictures at 1 / part of their size and back again."""
    size = [round(side / part) for side in x.shape[2:]]
    return F.interpolate(F.interpolate(x, size=size, mode='area'),
                         size=x.shape[2:], mode='bilinear',
                         align_corners=False)


def smaller(x, rng):
    """Some pictures at three quarters, half or a third of their size."""
    for part in (4 / 3, 2, 3):
        x = some(x, 0.15, rng, lambda x: shrunk(x, part))
    return x


def coloured(x, rng):
    """Brightness, contrast, saturation and the balance of the channels."""
    draw = Draw(x, rng)
    grey = (x * torch.tensor(YCC[0], device=x.device).view(3, 1, 1)).sum(
        1, keepdim=True)
    keep = draw.uniform(0.3, 1.5, 1, 1, 1) * ~draw.chance(0.15, 1, 1, 1)
    x = grey + (x - grey) * keep
    gain = draw.uniform(0.85, 1.15, 3, 1, 1) * draw.uniform(0.6, 1.4, 1, 1, 1)
    mean = x.mean((1, 2, 3), keepdim=True)
    x = (mean + (x - mean) * draw.uniform(0.6, 1.4, 1, 1, 1)) * gain
    return x.clamp(0, 255)


def patched(x, rng):
    """A patch of one colour on each picture, half of them scribbled: spots
    cover half of the patch."""
    draw = Draw(x, rng)
    h, w = x.shape[2:]
    rows = torch.arange(h, device=x.device).view(1, 1, h, 1)
    cols = torch.arange(w, device=x.device).view(1, 1, 1, w)
    tall = draw.uniform(0.05, 0.3, 1, 1, 1) * h
    wide = draw.uniform(0.05, 1.0, 1, 1, 1) * w
    top = draw.uniform(-0.1, 0.95, 1, 1, 1) * h
    left = draw.uniform(-0.1, 0.7, 1, 1, 1) * w
    spots = F.interpolate(draw.rand(1, h // 2, w // 2), size=(h, w),
                          mode='bilinear', align_corners=False) > 0.5
    hole = ((rows >= top) & (rows < top + tall) & (cols >= left) &
            (cols < left + wide) & (spots | draw.chance(0.5, 1, 1, 1)))
    plain = draw.chance(0.5, 1, 1, 1)   # black or white
    colour = draw.uniform(0, 255, 3, 1, 1)
    colour = torch.where(plain, (colour[:, :1] > 127) * 255.0, colour)
    return torch.where(hole, colour, x)


def covered(x, rng):
    """Some pictures with one to three patches."""
    for _ in range(3):
        x = some(x, 0.3, rng, lambda x: patched(x, rng))
    return x


def cosines(device):
    """The 8x8 discrete cosine transform of JPEG as a matrix."""
    k = torch.arange(8.0, device=device)
    m = torch.cos((2 * k[None] + 1) * k[:, None] * math.pi / 16) / 2
    m[0] /= math.sqrt(2)
    return m


def quantised(plane, table, quality):
    """What JPEG leaves of planes [n, h, w] about 0, sides multiples of 8."""
    n, h, w = plane.shape
    m = cosines(plane.device)
    scale = torch.where(quality < 50, 50 / quality, 2 - quality / 50)
    q = (torch.tensor(table, device=plane.device).view(8, 8) *
         scale.view(n, 1, 1, 1, 1)).round().clamp(1, 255)
    blocks = plane.view(n, h // 8, 8, w // 8, 8).transpose(2, 3)
    blocks = ((m @ blocks @ m.T) / q).round() * q
    return (m.T @ blocks @ m).transpose(2, 3).reshape(n, h, w)


def recompressed(x, rng):
    """JPEG of quality 15 to 70, chroma at half size."""
    quality = Draw(x, rng).uniform(15, 70)
    ycc = torch.tensor(YCC, device=x.device)
    y, *chroma = torch.einsum('ij,njhw->inhw', ycc, x)
    planes = [quantised(y - 128, LUMA, quality) + 128]
    for c in chroma:
        c = quantised(F.avg_pool2d(c, 2), CHROMA, quality)
        planes.append(F.interpolate(c[:, None], scale_factor=2,
                                    mode='bilinear',
                                    align_corners=False)[:, 0])
    return torch.einsum('ij,njhw->nihw', torch.tensor(RGB, device=x.device),
                        torch.stack(planes, 1)).clamp(0, 255)


def view(x, rng, least=0.6, most=1.2, over=0.0):
    """One view of each picture."""
    x = moved(x.float(), rng, least, most, over)
    x = covered(coloured(smaller(x, rng), rng), rng)
    return some(x, 0.3, rng, lambda x: recompressed(x, rng))


def light(x, rng, least):
    """One view of each picture that shows what is on it as another photograph
    might: crops of `least` of each side and more, turned, mirrored, half of
    them with other colours, a few smaller."""
    x = moved(x.float(), rng, least, 1.05, 0.0)
    x = some(x, 0.5, rng, lambda x: coloured(x, rng))
    return some(x, 0.1, rng, lambda x: shrunk(x, 2))


def alike(logits, temperature):
    """Log of how likely each code is to be taken for like each other one, by
    products of units at -1 to 1 with no normalisation, so that they are what
    the Hamming distance will be."""
    u = torch.tanh(logits / 2)
    like = u @ u.T / u.shape[1] / temperature
    return torch.log_softmax(like.fill_diagonal_(-1e4), 1)


def contrast(a, b, temperature):
    """NT-Xent (Chen, Kornblith, Norouzi and Hinton 2020) over the logits of
    two views, with the likeness above in place of cosines."""
    match = torch.arange(2 * len(a), device=a.device).roll(len(a))
    return F.nll_loss(alike(torch.cat([a, b]), temperature), match)

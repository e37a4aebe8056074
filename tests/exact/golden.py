#!/usr/bin/env python3
"""Golden codes of a model's head, from the definitions and no code of nn/.

    golden.py MODEL.safetensors HEAD... [--count N] [--to FOLDER]

Prints what tests/golden/codes/HEAD.txt holds, or writes it there: the codes of
the first N (200) pictures that tests/exact/codes.c draws.  The pictures are
drawn here once more, resized as "Resizing" of weights/README.md says, and run
through weights/integer_reference.py in numpy's integers; so the compiled
program and these files agree only where both follow the same definitions.
"""
import argparse
import os
import sys

import numpy as np

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(__file__), '../../weights'))
import integer_reference  # noqa: E402

SIDE = 32


def randoms(state):
    while True:
        state = (state * 1664525 + 1013904223) & 0xffffffff
        yield state >> 8


def colour(kind, x, y, c, p):
    dx, dy = x - p[0] % SIDE, y - p[1] % SIDE
    period = 2 + p[2] % 9
    if kind == 0:
        return p[3 + c] % 256
    if kind == 1:
        return (x * (p[3 + c] % 9) + y * (p[6 + c] % 9)) & 255
    if kind == 2:
        return p[3 + c if (x // period + y // period) % 2 else 6 + c] & 255
    if kind == 3:
        return p[3 + c if dx * dx + dy * dy < 9 * period else 6 + c] & 255
    if kind == 4:
        return p[3 + c if (x + 2 * y) % (2 * period) < period else 6 + c] & 255
    if kind == 5:
        return ((x * x * period + y * y * (p[3 + c] % 7)) >> 4) & 255
    return p[3 + c if dx > 0 and dy > -period else 6 + c] * (x + y) // 64 & 255


def drawn(i):
    """Picture i, uint8 [3, SIDE, SIDE]."""
    random = randoms((i * 2654435761 + 1) & 0xffffffff)
    p = [next(random) & 0xffff for _ in range(9)]
    noise = i // 7 % 24
    out = np.empty((3, SIDE, SIDE), np.uint8)
    for y in range(SIDE):
        for x in range(SIDE):
            for c in range(3):
                v = colour(i % 7, x, y, c, p)
                v += next(random) % (2 * noise + 1) - noise
                out[c, y, x] = min(max(v, 0), 255)
    return out


def weights(s, d, area):
    """int64 [d, s]: how much of each source pixel a destination pixel has."""
    out = np.zeros((d, s), np.int64)
    for j in range(d):
        if area and d < s:
            ends = [min(max((i + 1) * d - j * s, 0), s) for i in range(s)]
            out[j] = np.diff([0] + [(2 ** 16 * c + s) // (2 * s)
                                    for c in ends])
            continue
        i, r = divmod((2 * j + 1) * s - d, 2 * d)
        f = (2 ** 15 * r + d) // (2 * d)
        out[j, min(max(i, 0), s - 1)] += 2 ** 15 - f
        out[j, min(max(i + 1, 0), s - 1)] += f
    return out


def resized(pixels, size, area):
    """uint8 [n, 3, size...] of uint8 [n, 3, h, w]."""
    across = weights(pixels.shape[3], size[1], area)
    down = weights(pixels.shape[2], size[0], area)
    rows = (np.matmul(pixels.astype(np.int64), across.T) + 2 ** 7) >> 8
    return ((np.matmul(down, rows) + 2 ** 21) >> 22).astype(np.uint8)


def prepared(network, pixels):
    shape = [network['input'][side] for side in ('height', 'width')]
    how = network.get('preprocess', {})
    if how.get('size', shape) != shape or how.get('aspect') == 'crop':
        sys.exit('golden.py: the picture is to be cut, which it cannot do')
    pixels = resized(pixels, shape, how.get('resize') == 'area')
    return pixels[:, ::-1] if how.get('order') == 'BGR' else pixels


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('model')
    parser.add_argument('heads', nargs='+')
    parser.add_argument('--count', type=int, default=200)
    parser.add_argument('--to')
    args = parser.parse_args()
    network, tensors = integer_reference.load(args.model)
    pixels = prepared(network, np.stack([drawn(i) for i in range(args.count)]))
    latents = {head['name']: head['latent'] for head in network['heads']}
    for head in args.heads:
        q, zero, _ = integer_reference.run(network, tensors, pixels,
                                           latents[head])
        codes = np.packbits((q > zero).reshape(len(q), -1), axis=1)
        text = '# model %s\n' % args.model + ''.join(
            bytes(code).hex() + '\n' for code in codes)
        if args.to:
            with open(os.path.join(args.to, head + '.txt'), 'w') as f:
                f.write(text)
        else:
            sys.stdout.write(text)


if __name__ == '__main__':
    main()

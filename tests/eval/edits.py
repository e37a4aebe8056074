#!/usr/bin/python3
"""Edited versions of pictures, for the evaluation of near duplicates.

    python3 tests/eval/edits.py SOURCE.db OUT.db ORIGINALS

The first ORIGINALS validation images of SOURCE, by id, are edited in every way
that KINDS lists, and turned by a quarter; the ORIGINALS behind them in one way
each, by turns, and have no match: their originals are kept out of the database.
OUT has images(id, split, label, image): split is the kind of edit, label the id
of the original or NULL.  Numbers are drawn from (kind, id) and every edit is
saved as JPEG, of quality 90 where nothing else is said.  Needs python3-pil.
"""
import io
import os
import random
import sqlite3
import sys

from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps


def crop(x, rng):
    """10 to 30 % off either side, from anywhere."""
    w, h = (round(s * (1 - rng.uniform(0.1, 0.3))) for s in x.size)
    left, top = rng.randint(0, x.width - w), rng.randint(0, x.height - h)
    return x.crop((left, top, left + w, top + h))


def half(x, rng):
    return x.resize((x.width // 2, x.height // 2), Image.LANCZOS)


def blur(x, rng):
    """Gaussian, of 1 to 1.5 pixels' deviation at 64 pixels."""
    return x.filter(ImageFilter.GaussianBlur(
        rng.uniform(1, 1.5) * x.width / 64))


def brightness(x, rng):
    return ImageEnhance.Brightness(x).enhance(rng.choice((0.7, 1.3)))


def contrast(x, rng):
    return ImageEnhance.Contrast(x).enhance(rng.choice((0.7, 1.3)))


def rotation(x, rng):
    """5 degrees either way; the corners are black."""
    return x.rotate(rng.choice((-5, 5)), Image.BICUBIC)


def flip(x, rng):
    return ImageOps.mirror(x)


def text(x, rng):
    """Six capitals of Pillow's own font, across the picture at some height."""
    x = x.copy()
    letters = ''.join(rng.choice('ABCDEFGHIKLMNOPRSTUVWXYZ') for _ in range(6))
    words = Image.new('L', ImageDraw.Draw(x).textbbox((0, 0), letters)[2:])
    ImageDraw.Draw(words).text((0, 0), letters, 255)
    wide = round(x.width * rng.uniform(0.7, 1))
    high = round(wide * words.height / words.width)
    words = words.resize((wide, high), Image.BICUBIC)
    at = rng.randint(0, x.width - wide), rng.randint(0, x.height - high)
    colour = rng.choice(((255, 255, 255), (0, 0, 0), (255, 255, 0)))
    x.paste(Image.new('RGB', words.size, colour), at, words)
    return x


def grey(x, rng):
    return x.convert('L').convert('RGB')


def border(x, rng):
    """A tenth of the width on every side, black or white."""
    return ImageOps.expand(x, x.width // 10, rng.choice(('black', 'white')))


def jpeg(x, rng):
    return x


def turn(x, rng):
    return x.transpose(Image.ROTATE_270)


KINDS = (crop, half, jpeg, blur, brightness, contrast, rotation, flip, text,
         grey, border)


def edited(image, kind, number):
    with Image.open(io.BytesIO(image)) as picture:
        x = kind(picture.convert('RGB'),
                 random.Random('%s %d' % (kind.__name__, number)))
    out = io.BytesIO()
    x.save(out, 'JPEG', quality=30 if kind is jpeg else 90)
    return out.getvalue()


def edits(rows, originals):
    for i, (number, image) in enumerate(rows):
        if i < originals:
            for kind in KINDS + (turn,):
                yield kind.__name__, number, edited(image, kind, number)
        else:
            kind = KINDS[i % len(KINDS)]
            yield kind.__name__, None, edited(image, kind, number)


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__.split('\n\n')[1])
    source, path, originals = sys.argv[1], sys.argv[2], int(sys.argv[3])
    rows = sqlite3.connect('file:%s?mode=ro' % source, uri=True).execute(
        "SELECT id, image FROM images WHERE split = 'val' ORDER BY id LIMIT ?",
        (2 * originals,))
    if os.path.exists(path + '.new'):
        os.remove(path + '.new')
    db = sqlite3.connect(path + '.new')
    db.execute('CREATE TABLE images(id INTEGER PRIMARY KEY, split TEXT NOT '
               'NULL, label INT, image BLOB NOT NULL)')
    db.executemany('INSERT INTO images(split, label, image) VALUES (?, ?, ?)',
                   edits(rows, originals))
    db.commit()
    db.close()
    os.replace(path + '.new', path)


if __name__ == '__main__':
    main()

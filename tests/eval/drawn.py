#!/usr/bin/python3
"""Data sets of drawn pictures, for a short form of the evaluation.

    python3 tests/eval/drawn.py FOLDER

writes FOLDER/cifar10.db (train, test) and FOLDER/tinyimagenet-a.db (val): PNG
files of stripes and discs, whose colours and places a class has in common, with
noise.  The same bytes everywhere, but for how zlib packs them.

FOLDER/cifar10-48.safetensors is the model of that name with two of its heads:
cifar10-48, and cifar10-32 as one that knows no classes.
"""
import json
import os
import random
import sqlite3
import struct
import sys
import zlib

SMALL = ('airplane automobile bird cat deer dog frog horse ship truck').split()
LARGE = ['goldfish', 'bullfrog', 'acorn', 'teapot', 'abacus', 'pizza']
# bullfrog's label there is 2, which resembles a class of CIFAR-10's
LARGE_LABELS = [0, 2, 199, 160, 59, 191]


def chunk(kind, data):
    return (struct.pack('>I', len(data)) + kind + data +
            struct.pack('>I', zlib.crc32(kind + data)))


def png(side, pixel):
    rows = b''.join(b'\0' + bytes(v for x in range(side) for v in pixel(x, y))
                    for y in range(side))
    return (b'\x89PNG\r\n\x1a\n' +
            chunk(b'IHDR', struct.pack('>IIBBBBB', side, side, 8, 2, 0, 0, 0)) +
            chunk(b'IDAT', zlib.compress(rows)) + chunk(b'IEND', b''))


def picture(side, kind, number):
    """Picture `number` of a class: the class says much, the number the rest."""
    shared, own = random.Random(kind), random.Random('%s %d' % (kind, number))
    sky, disc = ([shared.randrange(256) for _ in range(3)] for _ in range(2))
    width = shared.randint(3, 9) * side // 32
    x0, y0 = (side * (shared.uniform(0.2, 0.8) + own.uniform(-0.2, 0.2))
              for _ in range(2))
    radius = side * own.uniform(0.1, 0.35)
    light = own.uniform(0.6, 1.2)

    def pixel(x, y):
        within = (x - x0) ** 2 + (y - y0) ** 2 < radius ** 2
        stripe = 40 if (x + y) // width % 2 else 0
        return [max(0, min(255, int(light * c) + stripe + own.randint(-20, 20)))
                for c in (disc if within else sky)]
    return png(side, pixel)


def write(path, side, names, labels, splits):
    db = sqlite3.connect(path)
    db.execute('CREATE TABLE images(id INTEGER PRIMARY KEY, split TEXT NOT '
               'NULL, label INT NOT NULL, image BLOB NOT NULL)')
    db.execute('CREATE TABLE classes(label INTEGER PRIMARY KEY, name TEXT)')
    db.executemany('INSERT INTO classes VALUES (?, ?)', zip(labels, names))
    number = 0
    for split, count in splits:
        for i in range(count):
            kind = i % len(names)
            db.execute(
                'INSERT INTO images(split, label, image) VALUES (?, ?, ?)',
                (split, labels[kind], picture(side, names[kind], number)))
            number += 1
    db.commit()


def two_heads(data):
    size, = struct.unpack('<Q', data[:8])
    header = json.loads(data[8:8 + size])
    network = json.loads(header['__metadata__']['network'])
    heads = {head['name']: head for head in network['heads']}
    del heads['cifar10-32']['classifier'], heads['cifar10-32']['classes']
    network['heads'] = [heads['cifar10-48'], heads['cifar10-32']]
    header['__metadata__']['network'] = json.dumps(network)
    text = json.dumps(header).encode()
    text += b' ' * (-(8 + len(text)) % 64)
    return struct.pack('<Q', len(text)) + text + data[8 + size:]


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__.split('\n\n')[1])
    folder = sys.argv[1]
    os.makedirs(folder, exist_ok=True)
    write(os.path.join(folder, 'cifar10.db'), 32, SMALL, range(10),
          (('train', 200), ('test', 60)))
    write(os.path.join(folder, 'tinyimagenet-a.db'), 64, LARGE, LARGE_LABELS,
          (('val', 90),))
    with open('weights/cifar10-48.safetensors', 'rb') as f:
        model = two_heads(f.read())
    with open(os.path.join(folder, 'cifar10-48.safetensors'), 'wb') as f:
        f.write(model)


if __name__ == '__main__':
    main()

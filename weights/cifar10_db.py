#!/usr/bin/python3
"""Make the SQLite file that the recipe and `make eval` read from CIFAR-10.

    python3 weights/cifar10_db.py cifar-10-batches-bin cifar10.db

The folder is that of the data set's binary version (Krizhevsky 2009):
data_batch_1.bin to data_batch_5.bin, test_batch.bin and batches.meta.txt, each
record a byte of label and 3072 bytes of pixels, planes of red, green, blue.  The
file has images(id, split, label, image) with the pixels as PNG, and
classes(label, name).  Needs python3-pil.
"""
import io
import os
import sqlite3
import sys

from PIL import Image

RECORD = 1 + 3 * 32 * 32


def images(path):
    """(label, PNG) of each record of a batch."""
    with open(path, 'rb') as f:
        data = f.read()
    if not data or len(data) % RECORD:
        sys.exit('%s: %d bytes are no whole number of records of %d' % (
            path, len(data), RECORD))
    for at in range(0, len(data), RECORD):
        planes = [Image.frombytes('L', (32, 32), data[p:p + 1024])
                  for p in range(at + 1, at + RECORD, 1024)]
        out = io.BytesIO()
        Image.merge('RGB', planes).save(out, 'PNG')
        yield data[at], out.getvalue()


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__.split('\n\n')[1])
    folder, path = sys.argv[1:]
    if os.path.exists(path):
        sys.exit('%s exists already' % path)
    with open(os.path.join(folder, 'batches.meta.txt')) as f:
        names = f.read().split()
    db = sqlite3.connect(path)
    db.execute('CREATE TABLE images(id INTEGER PRIMARY KEY, split TEXT NOT '
               'NULL, label INT NOT NULL, image BLOB NOT NULL)')
    db.execute('CREATE TABLE classes(label INTEGER PRIMARY KEY, name TEXT)')
    db.executemany('INSERT INTO classes VALUES (?, ?)', enumerate(names))
    batches = ['data_batch_%d.bin' % i for i in range(1, 6)]
    for batch in batches + ['test_batch.bin']:
        split = 'test' if batch.startswith('test') else 'train'
        db.executemany(
            'INSERT INTO images(split, label, image) VALUES (?, ?, ?)',
            ((split,) + row
             for row in images(os.path.join(folder, batch))))
        print('%s: %d images so far' % (batch, db.execute(
            'SELECT count(*) FROM images').fetchone()[0]))
    db.commit()


if __name__ == '__main__':
    main()

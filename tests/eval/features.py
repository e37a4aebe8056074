#!/usr/bin/python3
"""What else could be made of a model's features, beside its code.

    python3 tests/eval/features.py TRAIN.db TEST.db OUT.db BITS...

TRAIN and TEST are what sql/eval/hash.sql made, with features(id, features).
OUT gets codes(method, bits, split, id, label, code): signs of a random rotation
of the centred features, and ITQ (Gong and Lazebnik, CVPR 2011: 50 rounds from a
random start, principal components of TRAIN), for each number of bits; and
figures(name, value) of the exhaustive search by the Euclidean distance of the
features themselves, queries from TEST.  Seeded.  Needs python3-numpy.
"""
import os
import sqlite3
import sys

import numpy as np

ROUNDS = 50
CUTS = (1, 10, 100, 200, 300, 400, 500, 600, 700, 800, 900, 1000)


def read(path):
    db = sqlite3.connect('file:%s?mode=ro' % path, uri=True)
    rows = db.execute(
        'SELECT f.id, c.label, f.features FROM features AS f JOIN codes AS c '
        'ON c.id = f.id AND c.head = (SELECT head FROM codes WHERE head NOT IN '
        "('phash', 'random') LIMIT 1) ORDER BY f.id").fetchall()
    db.close()
    return (np.array([r[0] for r in rows]), np.array([r[1] for r in rows]),
            np.frombuffer(b''.join(r[2] for r in rows),
                          '<f4').reshape(len(rows), -1))


def rotation(n, rng):
    return np.linalg.qr(rng.standard_normal((n, n)))[0]


def random_signs(x, bits, rng):
    """Columns of a random rotation; of several, if there are more bits."""
    n = x.shape[1]
    turns = [rotation(n, rng) for _ in range(-(-bits // n))]
    return np.hstack(turns)[:, :bits].astype(np.float32)


def itq(x, bits, rng):
    bits = min(bits, x.shape[1])
    _, vectors = np.linalg.eigh(x.T @ x)
    axes = vectors[:, ::-1][:, :bits].astype(np.float32)
    v = x @ axes
    turn = rotation(bits, rng).astype(np.float32)
    for _ in range(ROUNDS):
        u, _, w = np.linalg.svd(np.sign(v @ turn).T @ v)
        turn = (u @ w).T
    return axes @ turn


def places(train, train_labels, test, test_labels):
    """The ranks of the hits among all rows, from 1, for each query.  The last
    bit of a distance says that it is a hit's, so that a sort of numbers is
    enough; it is far below what they are exact to."""
    norms = (train * train).sum(1) / 2
    for i in range(0, len(test), 100):
        far = norms - test[i:i + 100] @ train.T
        bits = far.view(np.int32)
        bits &= ~1
        bits |= train_labels == test_labels[i:i + 100, None]
        far.sort(1)
        for row in bits & 1:
            yield np.flatnonzero(row) + 1


def exhaustive(train, train_labels, test, test_labels):
    """Figures of the Euclidean distance, all rows ranked."""
    names = ['mAP@1000', 'mAP@1000 over min(relevant, K)', 'mAP@all']
    names += ['P@%d' % k for k in CUTS]
    total = np.zeros(len(names))
    cut = min(1000, len(train))
    for at in places(train, train_labels, test, test_labels):
        precisions = np.arange(1, len(at) + 1) / at
        near = precisions[at <= cut]
        total[0] += near.sum() / max(len(near), 1)
        total[1] += near.sum() / max(min(len(at), cut), 1)
        total[2] += precisions.sum() / max(len(at), 1)
        total[3:] += [np.searchsorted(at, k, 'right') / min(k, len(train))
                      for k in CUTS]
    return zip(names, total / len(test))


def main():
    if len(sys.argv) < 5:
        sys.exit(__doc__.split('\n\n')[1])
    train_ids, train_labels, train = read(sys.argv[1])
    test_ids, test_labels, test = read(sys.argv[2])
    path = sys.argv[3]
    if os.path.exists(path + '.new'):
        os.remove(path + '.new')
    db = sqlite3.connect(path + '.new')
    db.execute('CREATE TABLE codes(method TEXT, bits INT, split TEXT, id INT, '
               'label INT, code BLOB)')
    db.execute('CREATE TABLE figures(name TEXT, value REAL)')
    mean = train.mean(0)
    train, test = train - mean, test - mean
    for bits in sorted(set(map(int, sys.argv[4:]))):
        for method, make in (('rotation', random_signs), ('itq', itq)):
            turn = make(train, bits, np.random.default_rng(bits))
            for split, ids, labels, x in (
                    ('train', train_ids, train_labels, train),
                    ('test', test_ids, test_labels, test)):
                packed = np.packbits(x @ turn > 0, axis=1)
                db.executemany(
                    'INSERT INTO codes VALUES (?, ?, ?, ?, ?, ?)',
                    ((method, bits, split, int(n), int(label), row.tobytes())
                     for n, label, row in zip(ids, labels, packed)))
    db.executemany('INSERT INTO figures VALUES (?, ?)',
                   exhaustive(train, train_labels, test, test_labels))
    db.commit()
    db.close()
    os.replace(path + '.new', path)


if __name__ == '__main__':
    main()

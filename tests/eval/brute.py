#!/usr/bin/python3
"""The evaluation's expected values beside averages over all orders of ties.

    python3 tests/eval/brute.py EXTENSION

Small random databases are ranked in every order that their ties allow, and the
figures of each order are averaged, by definitions that share nothing with
tests/eval/ranking.c.  Average precision over pairs is checked as sql/eval/
copies.sql prints it, and the perceptual hash by a plain cosine transform.
Prints TAP.
"""
import itertools
import json
import math
import random
import sqlite3
import statistics
import struct
import subprocess
import sys


def orders(found):
    """Every ranking of (distance, hit) rows by distance."""
    groups = [list(g) for _, g in itertools.groupby(sorted(found),
                                                    lambda row: row[0])]
    for choice in itertools.product(*map(itertools.permutations, groups)):
        yield [hit for group in choice for _, hit in group]


def figures(hits, k):
    """(AP over hits found, AP over min(relevant, k), precision) of an order."""
    k = min(k or len(hits), len(hits))
    precisions = [sum(hits[:i + 1]) / (i + 1) for i in range(k) if hits[i]]
    most = min(sum(hits), k)
    return (sum(precisions) / len(precisions) if precisions else 0,
            sum(precisions) / most if most else 0,
            sum(hits[:k]) / k)


def mean(rows):
    rows = list(rows)
    return [sum(column) / len(rows) for column in zip(*rows)]


def near(a, b):
    return len(a) == len(b) and all(abs(x - y) < 1e-9 for x, y in zip(a, b))


def database(rng):
    rows = [(i, rng.choice((0, 1, 3, 7, 15)), rng.randrange(2))
            for i in range(rng.randint(1, 7))]
    # what is beyond the radius keeps the other half of the code
    return [(i, bytes([code, rng.choice((0, 255))]), label)
            for i, code, label in rows]


def try_query(db, rng):
    """The problem with one random database, or None."""
    rows = database(rng)
    label, left_out = rng.randrange(2), rng.choice((None, 0))
    db.execute('DELETE FROM d')
    db.executemany('INSERT INTO d VALUES (?, ?, ?)', rows)
    db.execute('SELECT eval_database(id, code, label) FROM d').fetchall()
    found = [(bin(int.from_bytes(code, 'big')).count('1'), int(l == label))
             for i, code, l in rows if i != left_out]
    cuts = (1, 2, 3, 5, 0)
    got, shuffled = map(json.loads, db.execute(
        'SELECT eval_query(?1, ?2, ?3, 1, 2, 3, 5, 0), '
        'eval_shuffled(?1, ?2, ?3, 1, 2, 3, 5, 0)',
        (b'\0\0', label, left_out)).fetchone())
    if not found:
        return None if not any(got['ap']) else 'an empty database has %s' % got
    ball = [hit for distance, hit in found if distance <= 2]
    if abs(got['ball'] - (sum(ball) / len(ball) if ball else 0)) > 1e-9:
        return 'ball %s of %s' % (got['ball'], found)
    for i, k in enumerate(cuts):
        every = [figures(o, k) for o in orders(found)]
        mine = [got[name][i] for name in ('ap', 'ap_min', 'p')]
        if not near(mean(every), mine):
            return 'k %d of %s: %s, not %s' % (k, found, mine, mean(every))
        for x in shuffled[i]:
            if not any(abs(x - ap) < 1e-9 for ap, _, _ in every):
                return 'k %d of %s: %s is of no order' % (k, found, x)
    return None


def micro(extension, rng):
    """The problem with average precision over one random set of pairs."""
    counts = []
    for distance in range(3):
        pairs = rng.randint(0, 3)
        counts.append((distance, pairs, rng.randint(0, pairs)))
    if not sum(same for _, _, same in counts):
        return None
    found = [(d, int(i < same)) for d, n, same in counts for i in range(n)]
    expected = mean(figures(o, 0) for o in orders(found))[1]
    values = ', '.join("('s', 'h', 'code', 'crop', %d, %d, %d)" % row
                       for row in counts)
    out = subprocess.run(['sqlite3', '-batch', '-bail', ':memory:'], input='''
.load %s
CREATE TABLE pairs(set_name, head, method, kind, distance, pairs, same);
INSERT INTO pairs VALUES %s;
CREATE TABLE arg AS SELECT 's' AS set_name, 'h' AS head;
CREATE TABLE base(label); CREATE TABLE query(kind, label);
.output /dev/null
.read sql/eval/copies.sql
.output
SELECT ap FROM figure WHERE kind = 'crop';
''' % (extension, values), capture_output=True, text=True)
    if out.returncode or abs(float(out.stdout) - expected) > 1e-9:
        return '%s: %s%s, not %s' % (counts, out.stdout, out.stderr, expected)
    return None


def phash(db, rng):
    """The problem with the hash of one random picture, or None."""
    planes = [[rng.random() for _ in range(1024)] for _ in range(3)]
    grey = [0.299 * r + 0.587 * g + 0.114 * b for r, g, b in zip(*planes)]
    wave = [[math.cos(math.pi * k * (i + 0.5) / 32) for i in range(32)]
            for k in range(9)]
    found = [sum(grey[32 * y + x] * wave[v][y] * wave[u][x]
                 for y in range(32) for x in range(32))
             for v in range(1, 9) for u in range(1, 9)]
    middle = statistics.median(found)
    expected = sum((c > middle) << (63 - i) for i, c in enumerate(found))
    got, = db.execute('SELECT eval_phash(?)', (struct.pack(
        '<3072f', *sum(planes, [])),)).fetchone()
    if got != expected.to_bytes(8, 'big'):
        return '%s, not %016x' % (got.hex(), expected)
    return None


def main():
    extension = sys.argv[1]
    db = sqlite3.connect(':memory:')
    db.enable_load_extension(True)
    db.load_extension(extension)
    db.execute('CREATE TABLE d(id INTEGER PRIMARY KEY, code BLOB, label INT)')
    rng = random.Random(1)
    for name, problems in (
            ('figures of a query are those over all orders of ties',
             (try_query(db, rng) for _ in range(500))),
            ('average precision over pairs is that over all orders of ties',
             (micro(extension, rng) for _ in range(30))),
            ('perceptual hash is the signs of a cosine transform',
             (phash(db, rng) for _ in range(5)))):
        problem = next(filter(None, problems), None)
        print('%s - eval: the %s' % ('not ok' if problem else 'ok', name))
        if problem:
            print('# ' + problem)


if __name__ == '__main__':
    main()

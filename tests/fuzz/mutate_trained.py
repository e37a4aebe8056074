#!/usr/bin/env python3
"""Models that binhash_train made, cut short and with wrong bytes, as SQL gets
them: loaded, run, and trained on, which reads what they keep of their classes.
Prints TAP.

    mutate_trained.py EXTENSION [CASES]

Every call gives a row or an error that begins with the function's name; what
trains gives a report that is JSON and a model that loads.
"""
import json
import random
import sqlite3
import struct
import sys

HEADER = bytes.fromhex('424d3a000000000000003600000028000000010000000100000001'
                       '0018000000000004000000') + bytes(16)
CASES = int(sys.argv[2]) if len(sys.argv) > 2 else 200


def open_database(extension):
    db = sqlite3.connect(':memory:')
    db.enable_load_extension(True)
    db.load_extension(extension)
    for name in ('exact', 'tiny'):
        db.execute("SELECT binhash_load(?1, 'build/tests/models/' || ?1 || "
                   "'.safetensors')", (name,))
    db.execute('CREATE TABLE p(image, kind)')
    for i in range(60):
        pixel = bytes([i * 7 % 127, i * 31 % 127, i % 3 * 60, 0])
        db.execute('INSERT INTO p VALUES (?, ?)', (HEADER + pixel, 'abc'[i % 3]))
    return db


class Trial:
    def __init__(self, db):
        self.db, self.loaded, self.trained, self.problems = db, 0, 0, []

    def ask(self, name, sql, *arguments):
        """A row, or None for an error that says who it is of."""
        try:
            return self.db.execute(sql, arguments).fetchone()
        except sqlite3.OperationalError as e:
            if not str(e).startswith(name + ': '):
                self.problems.append('%s: %s' % (sql, e))
            return None

    def model(self, data):
        if not self.ask('binhash_load', "SELECT binhash_load('x', ?)", data):
            return
        self.loaded += 1
        self.ask('img_hash', "SELECT img_hash(image, 'x') FROM p")
        self.ask('img_label', "SELECT img_label(image, 'x') FROM p")
        row = self.ask('binhash_train', 'SELECT model, report FROM '
                       "binhash_train('SELECT image, kind FROM p', "
                       """'{"base": "x", "epochs": 1, "batch": 16}')""")
        self.db.execute("SELECT binhash_unload('x')")
        if row:
            self.trained += 1
            json.loads(row[1])
            self.db.execute("SELECT binhash_load('y', ?), binhash_unload('y')",
                            row[:1])


def mutated(rng, data, begin):
    """A few bytes of the header or of the tensors, or many of the latter."""
    out = bytearray(data)
    way = rng.randrange(3)
    low, high = (0, begin) if way == 0 else (begin, len(data))
    for _ in range(rng.randrange(1, 60 if way == 2 else 4)):
        out[rng.randrange(low, high)] = rng.choice(
            (0, 127, 128, 255, rng.randrange(256)))
    return bytes(out)


def main():
    db, failures = open_database(sys.argv[1]), 0
    for number, base in enumerate(('exact', 'tiny'), 1):
        data, = db.execute(
            "SELECT model FROM binhash_train('SELECT image, kind FROM p', "
            "json_object('base', ?, 'epochs', 2))", (base,)).fetchone()
        begin = 8 + struct.unpack('<Q', data[:8])[0]
        rng, trial = random.Random(number), Trial(db)
        for i in range(CASES // 4):
            trial.model(data[:len(data) * i * 4 // CASES])
        cut = trial.loaded
        for i in range(CASES):
            trial.model(mutated(rng, data, begin))
        ok = not (cut or trial.problems) and trial.trained
        failures += not ok
        print('%sok %d - wrong bytes in a model trained on %s: %d of %d load, '
              '%d train' % ('' if ok else 'not ', number, base, trial.loaded,
                            CASES + CASES // 4, trial.trained))
        for problem in trial.problems[:5]:
            print('# ' + problem)
    return failures > 0


if __name__ == '__main__':
    sys.exit(main())

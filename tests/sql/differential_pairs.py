#!/usr/bin/env python3
"""binhash_pairs against a self join with hamming(), on random tables.

    differential_pairs.py EXTENSION [TABLES] [SEED]

Codes are BLOBs of 1 to 40 bytes or INTEGERs; uniform, near a few centres, or
mostly equal; some are NULL.  Rowids are in any order, negative ones among them;
the source is a table, an index that covers the code, a view, or a binhash index.
The radius may be anything up to all bits.  The output is TAP; a host that cannot
load extensions is skipped.
"""
import random
import sqlite3
import sys
import threading
import time


def skip(why):
    print("ok 1 - differential pairs # SKIP", why)
    print("1..1")
    sys.exit(0)


def connect(extension):
    db = sqlite3.connect(":memory:", isolation_level=None,
                         check_same_thread=False)
    if not hasattr(db, "enable_load_extension"):
        skip("sqlite3 was built without loadable extensions")
    if sqlite3.sqlite_version_info < (3, 38):
        skip("SQLite " + sqlite3.sqlite_version)
    db.enable_load_extension(True)
    db.load_extension(extension)
    return db


def make_codes(r, size, n):
    """n numbers of 8 * size bits."""
    bits = 8 * size
    kind = r.choice(["uniform", "centres", "equal", "low"])
    centres = [r.getrandbits(bits) for _ in range(r.choice([1, 3, 10]))]
    codes = []
    for _ in range(n):
        if kind == "uniform":
            code = r.getrandbits(bits)
        elif kind == "low":
            code = r.getrandbits(min(bits, 10))
        else:
            code = r.choice(centres)
            for _ in range(r.randrange(6) if kind == "centres"
                           else r.random() < 0.2):
                code ^= 1 << r.randrange(bits)
        codes.append(code)
    return codes


def one_table(db, r):
    """What is wrong with the pairs of one random table, or None."""
    run = db.execute
    integers = r.random() < 0.15
    size = 8 if integers else r.choice([1, 2, 3, 4, 6, 8, 9, 16, 32, 40])
    n = r.choice([0, 1, 2, 10, 60, 120])
    if r.random() < 0.01:
        n = 2500   # so many that tables of substrings pay
    rowids = r.sample(range(-2 * n - 5, 2 * n + 5), n)
    run("CREATE TABLE t(id INTEGER PRIMARY KEY, pad, code)")
    for rowid, code in zip(rowids, make_codes(r, size, n)):
        value = (code - (1 << 64) if code >> 63 else code) if integers \
            else code.to_bytes(size, "big")
        run("INSERT INTO t VALUES(?, 'x', ?)",
            (rowid, None if r.random() < 0.05 else value))
    radius = r.choice([0, 1, 2, 3, 4, 5, 8, 12, r.randrange(8 * size + 2)])
    if n == 2500:
        radius = min(radius, 4)
    source = r.choice(["t", "t", "covered", "view"] +
                      ([] if integers else ["index"]))
    name = "t"
    if source == "covered":
        run("CREATE INDEX covering ON t(code)")
    elif source == "view":
        name = "v"
        run("CREATE VIEW v AS SELECT id AS rowid, code FROM t WHERE id % 3")
    elif source == "index":
        name = "x"
        run("CREATE VIRTUAL TABLE x USING binhash(bits=%d)" % (8 * size))
        run("INSERT INTO x(rowid, code) SELECT id, code FROM t"
            " WHERE code IS NOT NULL")
    where = r.choice(["", "", " WHERE distance <= %d" % r.randrange(9),
                      " WHERE distance BETWEEN 1 AND 3",
                      " WHERE rowid_a %% 2 = %d" % r.randrange(2)])
    got = sorted(run("SELECT rowid_a, rowid_b, distance FROM"
                     " binhash_pairs(?, 'code', ?)" + where, (name, radius)))
    expected = sorted(run(
        "SELECT * FROM (SELECT a.rowid AS rowid_a, b.rowid AS rowid_b,"
        " hamming(a.code, b.code) AS distance FROM %s a JOIN %s b"
        " ON a.rowid < b.rowid WHERE hamming(a.code, b.code) <= ?)%s"
        % ("t" if source == "index" else name,
           "t" if source == "index" else name, where), (radius,)))
    wrong = None
    if got != expected:
        wrong = "%d rows of %d bytes in %s, radius %d%s: %d pairs, not %d" % (
            n, size, source, radius, where, len(got), len(expected))
    for drop in ("VIEW IF EXISTS v", "TABLE IF EXISTS x", "TABLE t"):
        run("DROP " + drop)
    return wrong


def interrupted(db):
    """A search that would compare all with all for a minute can be stopped."""
    db.execute("CREATE TABLE many(code BLOB)")
    db.execute("WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n"
               " WHERE i < 300000)"
               " INSERT INTO many SELECT randomblob(16) FROM n")
    start = time.monotonic()
    timer = threading.Timer(1, db.interrupt)
    timer.start()
    try:
        db.execute("SELECT * FROM binhash_pairs('many', 'code', 24)"
                   ).fetchall()
    except sqlite3.OperationalError as error:
        return "interrupted" in str(error) and time.monotonic() - start < 10
    finally:
        timer.cancel()
    return False


def main():
    db = connect(sys.argv[1])
    tables = int(sys.argv[2]) if len(sys.argv) > 2 else 400
    r = random.Random(int(sys.argv[3]) if len(sys.argv) > 3 else 1)
    wrong = [w for w in (one_table(db, r) for _ in range(tables)) if w]
    print("%s 1 - binhash_pairs of %d tables"
          % ("not ok" if wrong else "ok", tables))
    for w in wrong[:10]:
        print("#", w)
    print("%s 2 - binhash_pairs is interrupted"
          % ("ok" if interrupted(db) else "not ok"))
    print("1..2")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()

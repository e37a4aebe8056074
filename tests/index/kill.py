#!/usr/bin/python3
"""The index's writer killed while somebody reads: kill.py [KILLS [SEED]].

A process writes to an index, one transaction after the other, and says through
a pipe when COMMIT has returned.  It is killed with SIGKILL at a random moment:
within a statement, a flush, a COMMIT, a checkpoint, a VACUUM.  Then two look at
the database:

  keeper   a connection that had searched the index before the writer began, so
           it has a copy in memory of blocks that are no longer the truth, and
           meets what was left behind: it rolls back the hot journal, or
           recovers the write-ahead log
  opener   a connection that is opened afterwards

Each must find the contents those of a model, which is a dictionary on which the
same transactions were run.  Which transactions those are, is told by a number
in an ordinary table of the same database: it is that of the last COMMIT that
was acknowledged, or the one after it, whose COMMIT was under way.  They must
find every search in the order of the model's distances, and of ORDER BY
hamming() over the contents; and the file sound, for PRAGMA integrity_check and
for 'integrity-check'.  Which of the two looks first takes turns.

What a transaction does follows from the seed and its number alone, so writer
and model need not speak of it.  Beside what lasts it does what does not: work
behind a savepoint that is rolled back, and transactions that are rolled back
as a whole.  The writer's page cache is small, so that changed pages reach the
file before COMMIT; otherwise hardly any kill would leave a hot journal.  Half
of the kills are aimed: the writer says that it is about to COMMIT, and is
killed within the time that this takes.

BINHASH_EXTENSION names the extension, ./build/binhash where it is not set; the
Python must be one that loads extensions.  The output is TAP.  A failure prints
the seed and leaves the database where it is.
"""
import os
import random
import select
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time

EXTENSION = os.environ.get("BINHASH_EXTENSION", "./build/binhash")
MODES = ("WAL", "DELETE", "WAL", "TRUNCATE", "WAL", "PERSIST")
ROWS = 6000                    # rowids are below, but for those moved away
FAR = 1 << 40                  # to where rows are moved
STARTED = b"+"                 # the writer says: now my first transaction
COMMITTING = b"-"              # and: now COMMIT
PATIENCE = 60                  # seconds for a commit on a machine that is busy


def connect(path):
    db = sqlite3.connect(path, isolation_level=None, timeout=PATIENCE)
    db.enable_load_extension(True)
    db.load_extension(EXTENSION)
    return db


def value(db, sql, *values):
    return db.execute(sql, values).fetchone()[0]


# Transactions ----------------------------------------------------------------

def code_at(rng):
    """Few different codes, so that there are ties."""
    return (rng.randrange(4096) * 0x100400000).to_bytes(6, "big")


def operations(rng):
    """What one transaction does, as tuples that both sides understand."""
    for _ in range(rng.randrange(1, 9)):
        kind = rng.randrange(12)
        at = rng.randrange(ROWS)
        rows = rng.randrange(20) if rng.randrange(5) else rng.randrange(1500)
        if kind < 5:
            step = 37 if kind == 0 else 1
            yield "put", [(at + i * step, code_at(rng)) for i in range(rows)]
        elif kind < 7:
            yield "delete", at, at + rows
        elif kind < 9:
            yield "update", code_at(rng), at, at + rows
        elif kind < 10:
            yield "move", at, at + rows
        elif kind < 11:
            yield "search", code_at(rng)
        else:
            yield "undone", list(operations(rng))


def write(db, steps):
    """Run them on an index."""
    for kind, *rest in steps:
        if kind == "put":
            db.executemany("INSERT OR REPLACE INTO t(rowid, code) VALUES (?, "
                           "?)", rest[0])
        elif kind == "delete":
            db.execute("DELETE FROM t WHERE rowid BETWEEN ? AND ?", rest)
        elif kind == "update":
            db.execute("UPDATE t SET code = ? WHERE rowid BETWEEN ? AND ?",
                       rest)
        elif kind == "move":
            db.execute("UPDATE OR REPLACE t SET rowid = rowid + %d WHERE rowid"
                       " BETWEEN ? AND ?" % FAR, rest)
        elif kind == "search":
            # Changes are flushed, and the copy in memory follows them.
            db.execute("SELECT rowid FROM t WHERE query = ? LIMIT 5",
                       rest).fetchall()
        else:
            db.execute("SAVEPOINT s")
            write(db, rest[0])
            db.execute("ROLLBACK TO s")
            db.execute("RELEASE s")


def model_write(model, steps):
    """Run them on a dictionary."""
    for kind, *rest in steps:
        if kind == "put":
            model.update(rest[0])
        elif kind == "delete":
            for rowid in range(rest[0], rest[1] + 1):
                model.pop(rowid, None)
        elif kind == "update":
            for rowid in range(rest[1], rest[2] + 1):
                if rowid in model:
                    model[rowid] = rest[0]
        elif kind == "move":
            for rowid in range(rest[0], rest[1] + 1):
                if rowid in model:
                    model[rowid + FAR] = model.pop(rowid)


def transaction(seed, number):
    return random.Random(seed * 1000003 + number)


# The writer ------------------------------------------------------------------

def writer(path, mode, seed, number):
    """Writes until it is killed.  Its standard output is the pipe."""
    db = connect(path)
    db.execute("PRAGMA cache_size = 12")
    db.execute("PRAGMA wal_autocheckpoint = 40")
    db.execute("PRAGMA synchronous = OFF")     # the machine stays on
    os.write(1, STARTED)
    while True:
        number += 1
        rng = transaction(seed, number)
        steps = list(operations(rng))
        if rng.randrange(6) == 0:
            db.execute("BEGIN IMMEDIATE")
            write(db, operations(rng))
            db.execute("ROLLBACK")
        db.execute("BEGIN IMMEDIATE")
        write(db, steps)
        db.execute("UPDATE done SET number = ?", (number,))
        os.write(1, COMMITTING)
        db.execute("COMMIT")
        os.write(1, b"%d\n" % number)
        if rng.randrange(25) == 0:
            db.execute("VACUUM")


def killed(path, mode, seed, number, rng):
    """Start a writer behind this transaction, let it go for a while and kill
    it; the last transaction that it acknowledged, or a text: what went wrong.
    """
    process = subprocess.Popen(
        [sys.executable, __file__, "writer", path, mode, str(seed),
         str(number)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    heard = b""
    # Often at once, so that what one transaction leaves is looked at alone.
    commits = rng.randrange(4) if rng.randrange(2) else rng.randrange(40)
    end = time.monotonic() + PATIENCE
    aimed = rng.randrange(2)
    while heard.count(b"\n") < commits or not heard or \
            (aimed and not heard.endswith(COMMITTING)):
        if not select.select([process.stdout], [], [],
                             max(0, end - time.monotonic()))[0]:
            break
        more = os.read(process.stdout.fileno(), 65536)
        if not more:
            break
        heard += more
    time.sleep(rng.random() * (0.0006 if aimed else 0.02))
    process.kill()
    rest, errors = process.communicate()
    if process.returncode != -signal.SIGKILL:
        return "the writer stopped by itself: %s" % errors.decode()
    lines = (heard + rest)[len(STARTED):].replace(COMMITTING, b"").split(b"\n")
    return int(lines[-2]) if len(lines) > 1 else number


# What is found ---------------------------------------------------------------

def distance(a, b):
    return bin(int.from_bytes(a, "big") ^ int.from_bytes(b, "big")).count("1")


def wrong(db, model, query):
    """What one connection finds wrong with the database, or None."""
    text = value(db, "PRAGMA integrity_check")
    if text != "ok":
        return "integrity_check: " + text
    db.execute("INSERT INTO t(t) VALUES ('integrity-check')")
    if db.execute("SELECT rowid, code FROM t").fetchall() != \
            sorted(model.items()):
        return "the rows are not those that were committed"
    found = db.execute("SELECT rowid, distance FROM t WHERE query = ?",
                       (query,)).fetchall()
    want = sorted(((distance(code, query), rowid)
                   for rowid, code in model.items()))
    if found != [(rowid, d) for d, rowid in want]:
        return "a search differs from the model"
    if found != db.execute("SELECT rowid, hamming(code, ?1) FROM t ORDER BY 2,"
                           " 1", (query,)).fetchall():
        return "a search differs from ORDER BY hamming()"
    near = [row for row in found if row[1] <= 9]
    if near != db.execute("SELECT rowid, distance FROM t WHERE query = ? AND"
                          " distance <= 9", (query,)).fetchall():
        return "a search within a distance differs"
    return None


class Trial:
    """One database through all kills."""

    def __init__(self, folder, seed):
        self.path = os.path.join(folder, "kill.db")
        self.seed = seed
        self.done = 0          # transactions that the model has seen
        self.model = {}
        self.under_way = self.journals = 0
        db = connect(self.path)
        db.execute("CREATE VIRTUAL TABLE t USING binhash(bits=48)")
        db.execute("CREATE TABLE done(number)")
        db.execute("INSERT INTO done VALUES (0)")
        db.close()

    def kill(self, turn):
        """One kill; what was wrong after it, or None."""
        rng = transaction(self.seed, -1 - turn)
        query = code_at(rng)
        mode = MODES[turn % len(MODES)]
        keeper = connect(self.path)
        keeper.execute("PRAGMA journal_mode = " + mode).fetchall()
        text = wrong(keeper, self.model, query)
        if text:
            return "before, keeper: " + text
        last = killed(self.path, mode, self.seed, self.done, rng)
        if isinstance(last, str):
            return last
        journal = self.path + "-journal"
        if os.path.exists(journal) and os.path.getsize(journal) > 0:
            with open(journal, "rb") as f:
                self.journals += any(f.read(8))
        opener = None
        try:
            if turn % 2:
                opener = connect(self.path)
                text = self.look(opener, last, query)
            text = text or self.look(keeper, last, query)
            opener = opener or connect(self.path)
            return text or self.look(opener, last, query)
        except sqlite3.Error as e:
            return "an error: %s" % e
        finally:
            keeper.close()
            if opener:
                opener.close()

    def look(self, db, last, query):
        number = value(db, "SELECT number FROM done")
        if number not in (last, last + 1):
            return "transaction %d is there, acknowledged was %d" % (number,
                                                                     last)
        self.under_way += number > last and number > self.done
        while self.done < number:
            self.done += 1
            model_write(self.model,
                        list(operations(transaction(self.seed, self.done))))
        return wrong(db, self.model, query)


def main():
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else \
        random.SystemRandom().randrange(1 << 32)
    name = "killed beside a reader, seed %d" % seed
    if not hasattr(sqlite3.Connection, "enable_load_extension"):
        print("ok 1 - %s # SKIP this Python cannot load extensions" % name)
        print("1..1")
        return 0
    folder = tempfile.mkdtemp()
    trial = Trial(folder, seed)
    text = None
    for turn in range(kills):
        text = trial.kill(turn)
        if text:
            print("# kill %d, journal_mode %s, transaction %d: %s" % (
                turn, MODES[turn % len(MODES)], trial.done, text))
            print("# the database is " + trial.path)
            break
    else:
        shutil.rmtree(folder)
    print("# %d transactions, %d killed in COMMIT after the point of no return,"
          " %d hot journals" % (trial.done, trial.under_way, trial.journals))
    print("%s 1 - %s" % ("not ok" if text else "ok", name))
    print("1..1")
    return 1 if text else 0


if len(sys.argv) > 1 and sys.argv[1] == "writer":
    writer(sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
sys.exit(main())

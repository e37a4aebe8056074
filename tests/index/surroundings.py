#!/usr/bin/python3
"""What SQLite does to a database with an index in it, from all sides:
surroundings.py [EXTENSION [sqlite3|apsw]].

The index keeps a copy of itself in memory, which must never be used when it is
not the truth, and its blocks are made for pages of 4096 bytes, which must never
matter.  So nearly every test here has searched an index, which makes the copy,
before something happens behind the copy's back: VACUUM with another page size,
a backup or a serialised database put over the open one, another connection's
commit or rollback, a savepoint undone, a RENAME, a file that is read-only or
immutable, a search or a load that is stopped half way, memory that is short, a
database in UTF-16, and a host that does not have the extension at all.

Each index t has an ordinary table plain_t beside it.  Both are given the same
statements, and at every look must hold the same rows; searches must give them
as ORDER BY hamming(), rowid does, by LIMIT and within bounds of distance; and
'integrity-check' must find nothing.

Two modules can be the host: sqlite3, of the system's SQLite, and apsw, which
brings a newer one, so that what only that has is tried as well: PRAGMA
integrity_check that looks into the index, and defensive mode.  What a host has
not is skipped.  The output is TAP.
"""
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time

from index_host import (APSW, EXTENSION, MODULE, QUERIES, Host, counts,
                        digest, fill, module, ok, same, skip)

rng = random.Random(20)
folder = None


def path(name):
    return os.path.join(folder, name)


# One connection --------------------------------------------------------------

def schemas():
    host = Host()
    host.run("ATTACH ? AS other", path("other.db"))
    # The same name thrice: a copy in memory belongs to one of them.
    fill(host, 900, "main.t")
    fill(host, 1100, "other.t", 3)
    fill(host, 1300, "temp.t", 5)
    tables = "main.t", "other.t", "temp.t"
    good = all(same(host, t) for t in tables)
    host.both("DELETE FROM {t} WHERE {id} % 3 = 0", "other.t")
    host.both("UPDATE {t} SET code = x'123456789abc' WHERE {id} < 99", "temp.t")
    ok(good and all(same(host, t) for t in tables),
       "main, attached and temp tables of one name")
    host.run("BEGIN")
    for t in tables:
        host.both("DELETE FROM {t} WHERE {id} > 500", t)
    good = all(same(host, t, False) for t in tables)
    host.run("ROLLBACK")
    ok(good and all(same(host, t) for t in tables),
       "one rollback in three databases")
    host.run("ALTER TABLE other.t RENAME TO u")
    host.run("ALTER TABLE other.plain_t RENAME TO plain_u")
    host.both("DELETE FROM {t} WHERE {id} < 50", "other.u")
    ok(same(host, "other.u") and same(host, "main.t"),
       "RENAME of an attached one")
    why = host.error("SELECT * FROM other.t")
    host.run("DETACH other")
    ok("no such table" in why and same(host, "main.t"), "DETACH")
    host.run("ATTACH ? AS third", path("other.db"))
    ok(same(host, "third.u"), "attached again")
    host.run("DROP TABLE third.u")
    left = host.run("SELECT name FROM third.sqlite_schema ORDER BY 1")
    ok(left == [("plain_u",)] and same(host, "temp.t"), "DROP leaves nothing")
    host.close()


def vacuum():
    """A page of 512 bytes gives a block eight of them, one of 65536 holds
    sixteen blocks: neither may matter."""
    host = Host(path("vacuum.db"))
    fill(host, 5000, gap=3)
    host.both("DELETE FROM {t} WHERE {id} % 7 = 0")
    good = same(host)
    host.run("VACUUM")
    ok(good and same(host), "VACUUM under a copy in memory")
    for size in 512, 8192, 65536:
        host.run("PRAGMA page_size = %d" % size)
        host.run("VACUUM")
        good = host.one("PRAGMA page_size") == size and same(host)
        host.both("UPDATE {t} SET code = x'%012x' WHERE {id} %% 5 = 1" % size)
        good = same(host) and good
        host.run("VACUUM INTO ?", path("into%d.db" % size))
        into = Host(path("into%d.db" % size))
        good = into.one("PRAGMA page_size") == size and same(into) and good
        into.both("DELETE FROM {t} WHERE {id} % 2 = 0")
        ok(same(into) and same(host) and good,
           "VACUUM and VACUUM INTO with pages of %d" % size)
        into.close()
    host.run("PRAGMA auto_vacuum = INCREMENTAL")
    host.run("VACUUM")
    host.both("DELETE FROM {t} WHERE {id} > 200")
    host.run("PRAGMA incremental_vacuum")
    ok(same(host), "incremental VACUUM")
    host.close()


def savepoints():
    """A walk at random through nested savepoints, with a look at each step in
    two: a look flushes, and what it saw may be undone later."""
    host = Host()
    fill(host, 2000)
    good = same(host)
    for _ in range(8):
        host.run("BEGIN")
        depth = 0
        for _ in range(40):
            kind, at = rng.randrange(9), rng.randrange(2200)
            if kind < 2 and depth < 6:
                depth += 1
                host.run("SAVEPOINT s%d" % depth)
            elif kind < 4 and depth > 0:
                to = rng.randrange(depth) + 1
                host.run("ROLLBACK TO s%d" % to)
                depth = to
            elif kind == 4 and depth > 0:
                depth = rng.randrange(depth)
                host.run("RELEASE s%d" % (depth + 1))
            elif kind < 6:
                host.both("DELETE FROM {t} WHERE {id} BETWEEN %d AND %d" %
                          (at, at + rng.randrange(60)))
            elif kind < 8:
                host.both("INSERT OR REPLACE INTO {t}({id}, code) VALUES (%d,"
                          " x'%012x')" % (at, rng.randrange(1 << 48)))
            else:
                host.both("UPDATE OR REPLACE {t} SET {id} = {id} + 40 WHERE "
                          "{id} = %d" % at)
            good = (rng.randrange(2) or same(host, check=False)) and good
        host.run("COMMIT" if rng.randrange(2) else "ROLLBACK")
        good = same(host) and good
    ok(good, "savepoints, nested and undone at random")
    host.close()


def encodings():
    for encoding in "UTF-16le", "UTF-16be":
        host = Host(path(encoding + ".db"))
        host.run("PRAGMA encoding = '%s'" % encoding)
        fill(host, 1500)
        good = host.one("PRAGMA encoding") == encoding and same(host)
        host.run("CREATE TABLE фото(id INTEGER PRIMARY KEY, path TEXT"
                 " UNIQUE, code BLOB)")
        host.run("INSERT INTO фото SELECT id, 'é' || id, code FROM"
                 " plain_t")
        host.run("CREATE VIRTUAL TABLE 索引 USING binhash(bits=48,"
                 " content='фото', content_rowid=id)")
        host.run("INSERT INTO 索引(索引) VALUES ('rebuild')")
        host.script(host.one("SELECT binhash_triggers('索引')"))
        host.run("REPLACE INTO фото VALUES (9000, 'é7', ?)", QUERIES[0])
        rows = host.run("SELECT rowid FROM 索引 WHERE query = ? LIMIT 1",
                        QUERIES[0])
        good = rows == [(9000,)] and good
        host.run("INSERT INTO 索引(索引) VALUES ('integrity-check')")
        why = host.error("INSERT INTO 索引(rowid, code) VALUES (1, x'00')")
        ok(good and "索引" in why, "a database in " + encoding)
        host.close()


# Several connections ---------------------------------------------------------

def connections():
    """Two with a copy in memory each, which write in turn."""
    for mode in "WAL", "DELETE":
        a = Host(path("two_%s.db" % mode))
        a.run("PRAGMA journal_mode = " + mode)
        fill(a)
        b = Host(path("two_%s.db" % mode))
        good = same(a) and same(b)
        for turn in range(12):
            writer, other = (a, b) if rng.randrange(2) else (b, a)
            before = digest(other)
            writer.run("BEGIN IMMEDIATE")
            writer.both("DELETE FROM {t} WHERE {id} %% 13 = %d" % turn)
            writer.both("INSERT INTO {t}({id}, code) VALUES (%d, x'%012x')" %
                        (10000 + turn, turn * 0x123456789a))
            good = same(writer, check=False) and good
            # What is not committed is not seen, nor is what was rolled back.
            good = (mode == "DELETE" or digest(other) == before) and good
            undo = turn % 3 == 2
            writer.run("ROLLBACK" if undo else "COMMIT")
            good = (digest(other) == before) == undo and good
            good = digest(writer) == digest(other) and good
        ok(good and same(a) and same(b),
           "two connections see each other's commits, journal_mode " + mode)
        a.close()
        b.close()


def shared_cache():
    """One page cache for two: a reader that asks for it sees what is not
    committed, and must see it go again."""
    name = "file:shared_%s?mode=memory&cache=shared" % MODULE
    try:
        a, b = Host(name), Host(name)
        fill(a, 800)
        b.run("SELECT count(*) FROM plain_t")
    except Exception as e:
        return skip("a shared cache", e)
    good = same(a) and same(b)
    b.run("PRAGMA read_uncommitted = ON")
    before = digest(b)
    a.run("BEGIN")
    a.both("DELETE FROM {t} WHERE {id} < 300")
    good = same(a, check=False) and good     # flushes
    good = digest(b) == digest(a) != before and good
    a.run("ROLLBACK")
    ok(digest(b) == before == digest(a) and good,
       "a shared cache, read uncommitted and rolled back")
    b.close()
    a.close()


def child(name):
    """A reader in its own process, which is told what to do line by line."""
    host = Host(name)
    for line in sys.stdin:
        if line.strip() != "look":
            host.run(line)
        print(digest(host), flush=True)


class Reader:
    def __init__(self, name):
        self.process = subprocess.Popen(
            [sys.executable, __file__, EXTENSION, MODULE, "child", name],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            universal_newlines=True)

    def ask(self, line="look"):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def end(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def processes():
    host = Host(path("wal.db"))
    host.run("PRAGMA journal_mode = WAL")
    host.run("PRAGMA wal_autocheckpoint = 20")
    fill(host)
    follows, stays = Reader(path("wal.db")), Reader(path("wal.db"))
    first = digest(host)
    good = follows.ask() == stays.ask("BEGIN") == first
    for turn in range(6):
        host.run("BEGIN")
        host.both("UPDATE {t} SET code = x'%012x' WHERE {id} %% 17 = %d" %
                  (turn << 20, turn))
        before = follows.ask()
        undo = turn % 3 == 1
        host.run("ROLLBACK" if undo else "COMMIT")
        now = follows.ask()
        good = now == digest(host) and (now == before) == undo and good
        good = stays.ask() == first and good
    ok(good, "a reader in a process follows, another keeps its snapshot")
    last = digest(host)
    ok(stays.ask("COMMIT") == last != first, "which then sees the last commit")
    host.run("PRAGMA wal_checkpoint(TRUNCATE)")
    ok(follows.ask() == stays.ask() == last and same(host), "a checkpoint")
    follows.ask("PRAGMA query_only = ON")
    host.both("DELETE FROM {t} WHERE {id} < 1000")
    ok(follows.ask() == digest(host), "a reader that is query_only")
    follows.end()
    stays.end()
    host.close()


# Copies of the file ----------------------------------------------------------

def read_only():
    host = Host(path("fixed.db"))
    fill(host)
    want = digest(host)
    host.close()
    os.chmod(path("fixed.db"), 0o444)
    for flags in "mode=ro", "immutable=1", "mode=ro&immutable=1":
        host = Host("file:%s?%s" % (path("fixed.db"), flags))
        # 'integrity-check' is an INSERT to SQLite, and refused here.
        good = digest(host) == want and same(host, check=False)
        for sql in ("DELETE FROM t WHERE rowid = 1", "DROP TABLE t",
                    "INSERT INTO t(code) VALUES (x'000000000000')",
                    "UPDATE t SET rowid = -1 WHERE rowid = 1"):
            why = host.error(sql)
            # Root may write what nobody may, unless the host was told.
            if "mode" in flags and "readonly" not in why.replace("-", ""):
                print("# %s: %s: %s" % (flags, sql, why or "no error"))
                good = False
        if "mode" in flags:
            good = digest(host) == want and good
        ok(good, "a file with " + flags)
        host.close()
    os.chmod(path("fixed.db"), 0o644)


def backups():
    source = Host(path("source.db"))
    fill(source, 4000)
    target = Host(path("target.db"))
    fill(target, 500, gap=9)
    good = same(source) and same(target)
    source.backup_to(target)
    ok(good and same(target) and digest(target) == digest(source),
       "a backup over an index that is in memory")
    target.both("DELETE FROM {t} WHERE {id} % 2 = 0")
    good = same(target)
    memory = Host()
    target.backup_to(memory)
    good = same(memory) and good
    source.backup_to(target)
    ok(good and same(target) and digest(target) == digest(source) and
       digest(memory) != digest(source), "forth and back again")
    # The source is written, by the same and by another connection.
    other = Host(path("source.db"))
    writes = []

    def between():
        if len(writes) < 3:
            host = other if len(writes) == 1 else source
            writes.append(host)
            host.both("DELETE FROM {t} WHERE {id} %% 29 = %d" % len(writes))

    source.backup_to(target, 3, between)
    ok(len(writes) == 3 and same(target) and digest(target) == digest(source),
       "a backup of an index that is written meanwhile")
    # Something of the target's that was behind in its cache of statements.
    empty = Host()
    empty.run("CREATE TABLE u(a)")
    empty.backup_to(memory)
    ok("no such table" in memory.error("SELECT * FROM t"),
       "a backup without an index over one with")
    for host in source, target, memory, other, empty:
        host.close()


def serialized():
    host = Host()
    if not hasattr(host.db, "serialize"):
        return skip("serialize", "this Python has none")
    fill(host)
    image = host.serialize()
    want = digest(host)
    host.both("DELETE FROM {t} WHERE {id} < 2000")
    good = same(host) and digest(host) != want
    host.deserialize(image)
    ok(good and same(host) and digest(host) == want,
       "deserialised over an index that is in memory")
    host.both("DELETE FROM {t} WHERE {id} > 2000")
    other = Host()
    other.deserialize(host.serialize())
    ok(same(host) and digest(other) == digest(host), "serialised again")
    host.close()
    other.close()


# Distrust --------------------------------------------------------------------

def defensive():
    host = Host(path("defensive.db"))
    fill(host)
    if APSW:
        host.db.config(module.SQLITE_DBCONFIG_DEFENSIVE, 1)
    elif hasattr(host.db, "setconfig"):
        host.db.setconfig(module.SQLITE_DBCONFIG_DEFENSIVE, True)
    else:
        return skip("defensive mode", "it cannot be set from this Python")
    good = same(host)
    for sql in ("DELETE FROM t_blocks", "UPDATE t_state SET rows = 1",
                "INSERT INTO t_blocks VALUES (5, x'00')", "DROP TABLE t_state"):
        why = host.error(sql)
        if not ("may not be" in why):
            print("# %s: %s" % (sql, why or "no error"))
            good = False
    host.both("DELETE FROM {t} WHERE {id} < 100")
    host.run("ALTER TABLE t RENAME TO u")
    host.run("ALTER TABLE u RENAME TO t")
    ok(good and same(host), "defensive: shadow tables cannot be written, the "
       "index can")
    host.close()


def damage():
    host = Host()
    fill(host)
    version = host.one("SELECT sqlite_version()").split(".")
    if tuple(map(int, version)) < (3, 44):
        return skip("PRAGMA integrity_check", "SQLite is older than 3.44")
    block = host.one("SELECT max(id) FROM t_blocks")
    host.run("UPDATE t_blocks SET block = zeroblob(length(block)) WHERE id = ?",
             block)
    text = " ".join(row[0] for row in host.run("PRAGMA integrity_check"))
    quick = " ".join(row[0] for row in host.run("PRAGMA quick_check"))
    print("# integrity_check: %s; quick_check: %s" % (text, quick))
    ok(str(block) in text and "t" in text,
       "PRAGMA integrity_check names a damaged block")
    host.close()


def without():
    """A host that has never heard of the extension."""
    host = Host(path("without.db"))
    fill(host)
    host.close()
    host = Host(path("without.db"), load=False)
    good = host.one("SELECT count(*) FROM plain_t") == 3000
    host.run("CREATE TABLE u(a)")
    host.run("INSERT INTO u SELECT id FROM plain_t")
    host.run("ALTER TABLE u ADD COLUMN b")
    good = host.one("PRAGMA integrity_check") == "ok" and good
    good = "no such module: binhash" in host.error("SELECT * FROM t") and good
    good = "binhash" in host.error("DELETE FROM t") and good
    good = host.one("SELECT sum(rows) FROM t_state") == 3000 and good
    host.run("VACUUM")
    host.close()
    host = Host(path("without.db"))
    ok(good and same(host) and host.one("SELECT count(*) FROM u") == 3000,
       "a host without the extension uses and vacuums the rest")
    host.close()


# Stopping, and memory --------------------------------------------------------

def handler(host, f, steps=1):
    host.db.set_progress_handler(f, steps)


def stopped():
    host = Host()
    fill(host, 100000)
    search = "SELECT rowid FROM t WHERE query = x'000000000000'"
    load = "INSERT INTO t(rowid, code) SELECT id + 1000000, code FROM plain_t"
    good = same(host, check=False)
    want = digest(host)
    for sql in search, load, "DELETE FROM t", "UPDATE t SET rowid = -rowid":
        for calls in 1, 5000:
            left = [calls]

            def stop():
                left[0] -= 1
                return left[0] <= 0

            handler(host, stop, 10)
            why = host.error(sql)
            handler(host, None)
            if left[0] <= 0 and "nterrupt" not in why:
                print("# %s after %d: %s" % (sql, calls, why or "no error"))
                good = False
        good = digest(host) == want and good
    ok(good and same(host), "a progress handler stops a search and a load")
    # Within a transaction the statement goes, and what came before it stays.
    host.run("BEGIN")
    host.both("DELETE FROM {t} WHERE {id} % 10 = 0")
    want = digest(host)
    handler(host, lambda: 1, 100000)
    why = host.error(load)
    handler(host, None)
    good = "nterrupt" in why
    if host.error("COMMIT"):     # SQLite may have rolled back all of it
        host.run("DELETE FROM plain_t WHERE id % 10 = 0")
        host.run("DELETE FROM t WHERE rowid % 10 = 0")
    ok(good and digest(host) == want and same(host),
       "a load stopped within a transaction")
    times = []
    for sql in search, load:
        start = time.monotonic()
        thread = threading.Timer(0.01, host.db.interrupt)
        thread.start()
        why = host.error(sql)
        times.append("%.3f s %s" % (time.monotonic() - start, why))
        thread.join()
        # It may have been done before the interrupt came.
        host.run("DELETE FROM t WHERE rowid > 1000000")
    print("# interrupted: " + ", ".join(times))
    ok(same(host), "interrupt()")
    host.close()


def memory():
    host = Host(path("memory.db"))
    fill(host, 70000)          # enough for a multi-index
    want = digest(host)
    good = same(host)
    for most in 0, 1, 300000, 500000, 10000000:
        host.run("SELECT binhash_config('cache_bytes', ?)", most)
        for multi in 0, 2:
            host.run("SELECT binhash_config('multi_index', ?)", multi)
            if digest(host) != want:
                print("# cache_bytes %d, multi_index %d" % (most, multi))
                good = False
    host.both("DELETE FROM {t} WHERE {id} % 9 = 0")
    ok(good and same(host), "any cache_bytes gives the same rows")
    want = digest(host)
    for limit in 100000, 3000000:
        host.run("PRAGMA soft_heap_limit = %d" % limit)
        good = digest(host) == want and good
    host.run("PRAGMA soft_heap_limit = 0")
    ok(good, "under a soft heap limit")
    host.close()
    # A hard limit is the process's, and can only be lowered.
    run = subprocess.run([sys.executable, __file__, EXTENSION, MODULE, "heap",
                          path("memory.db")], stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, universal_newlines=True)
    lines = run.stdout.split()
    print("# hard heap limits: " + " ".join(lines))
    good = run.returncode == 0 and lines and lines[-1] == "end" and \
        "other" not in lines
    ok(good and "short" in lines and "same" in lines,
       "under a hard heap limit, the same rows or out of memory")
    host = Host(path("memory.db"))
    ok(digest(host) == want and same(host), "and the file is as it was")
    host.close()


def heap(name):
    """Searches and a load under hard heap limits, each lower than the last."""
    host = Host(name)
    search = "SELECT rowid, distance FROM t WHERE query = ? LIMIT 50"
    want = host.run(search, QUERIES[0])
    steps = [9000000 * 9 ** i // 10 ** i for i in range(36)]
    left = 8                   # times that memory may be short
    for limit in steps:
        # Asked for before the copy in memory is made anew, and after.
        host.run("SELECT binhash_config('cache_bytes', 0)")
        host.run("SELECT binhash_config('cache_bytes', 100000000)")
        try:
            host.run("PRAGMA hard_heap_limit = %d" % limit)
            print("same" if host.run(search, QUERIES[0]) == want else "other")
            host.run("BEGIN")
            host.run("DELETE FROM t")
            host.run("ROLLBACK")
            print("same" if host.run(search, QUERIES[0]) == want else "other")
        except (MemoryError, module.Error) as e:
            short = isinstance(e, MemoryError) or "memory" in str(e) or \
                type(e).__name__ == "NoMemError"
            print("short" if short else "other " + str(e))
            host.error("ROLLBACK")
            left -= 1
            if left == 0 or not short:
                break
    print("end")


def main():
    global folder
    mode = sys.argv[3:4]
    if mode == ["child"]:
        return child(sys.argv[4])
    if mode == ["heap"]:
        return heap(sys.argv[4])
    try:
        Host().close()
    except AttributeError:
        skip("everything", "this Python cannot load extensions")
        print("1..1")
        return 0
    folder = tempfile.mkdtemp()
    try:
        for test in (schemas, vacuum, savepoints, encodings, connections,
                     shared_cache, processes, read_only, backups, serialized,
                     defensive, damage, without, stopped, memory):
            try:
                test()
            except Exception as e:
                ok(False, "%s ended in line %d: %r" % (
                    test.__name__, e.__traceback__.tb_next.tb_lineno, e))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    count, failed = counts()
    print("1..%d" % count)
    return failed != 0


sys.exit(main())

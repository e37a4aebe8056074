#!/usr/bin/python3
"""The copy in memory of a large table, whose blocks share pieces of memory:
slabs.py [EXTENSION [sqlite3|apsw [ROWS]]].

ROWS codes of 1024 bits, 150,000 unless given, are 19 MB, enough for slabs.
Parts of them change, one commit each, until what is dead makes the index read
all anew, more than once; a search that began before goes on through rows that
are gone.  What is found is compared with an ordinary table, and the copy takes no
more than cache_bytes.  In the end SQLite must have all memory back, and with
memory for the blocks but not for a slab, or for neither, searches find the same.
"""
import ctypes
import ctypes.util
import random
import sys

from index_host import APSW, Host, counts, ok, skip

ROWS = int(sys.argv[3]) if len(sys.argv) > 3 else 150000
ROUNDS = 14
rng = random.Random(20)


def code():
    return rng.getrandbits(1024).to_bytes(128, "big")


def memory(function, *arguments):
    """What SQLite says of its memory, if it is the SQLite of this Python."""
    name = ctypes.util.find_library("sqlite3")
    if APSW or not name:
        return None
    function = getattr(ctypes.CDLL(name), "sqlite3_memory_" + function)
    function.restype = ctypes.c_int64
    return function(*arguments)


def memory_used():
    return memory("used")


def fill(host):
    host.run("CREATE VIRTUAL TABLE t USING binhash(bits=1024)")
    host.run("CREATE TABLE plain(id INTEGER PRIMARY KEY, code BLOB)")
    rows = [(i, code()) for i in range(1, ROWS + 1)]
    host.run("BEGIN")
    for sql in ("INSERT INTO t(rowid, code) VALUES (?, ?)",
                "INSERT INTO plain VALUES (?, ?)"):
        host.db.cursor().executemany(sql, rows)
    host.run("COMMIT")


def search(host, query, limit=20):
    return host.run("SELECT rowid, distance FROM t WHERE query = ? LIMIT %d" %
                    limit, query)


def same(host):
    query = code()
    return search(host, query) == host.run(
        "SELECT id, hamming(code, ?) FROM plain ORDER BY 2, 1 LIMIT 20", query)


def change(host, part):
    """Every fourteenth of all rows gets a new code, at one place or all over,
    and some go."""
    first = part * ROWS // ROUNDS
    where = ("%% 127 = %d" % part if part % 7 == 6 else
             "BETWEEN %d AND %d" % (first, first + ROWS // ROUNDS))
    for t, i in (("t", "rowid"), ("plain", "id")):
        host.run("UPDATE %s SET code = CAST(substr(code, 2) || "
                 "substr(code, 1, 1) AS BLOB) "
                 "WHERE %s %s" % (t, i, where))
        host.run("DELETE FROM %s WHERE %s %% 10007 = %d" % (t, i, part))


def changes(host):
    good = same(host)
    for part in range(ROUNDS):
        query = code()
        before = search(host, query, 600)
        under_way = host.db.cursor().execute(
            "SELECT rowid, distance FROM t WHERE query = ? LIMIT 600",
            (query,))
        first = [tuple(next(under_way)) for _ in range(3)]
        change(host, part)
        good = same(host) and good
        rest = [tuple(row) for row in under_way]
        good = first + rest == before and good
    ok(good, "%d rows that change while they are searched" % ROWS)


def bounded(host):
    """Where half of the blocks change at once, the others keep the slabs of
    all: the copy may still take no more than it is allowed, nor may both while
    one is made of the other, but for what a search takes besides."""
    if memory_used() is None:
        return skip("no more than cache_bytes", "not SQLite's own")
    allowed = ROWS * 128 * 5 // 4
    host.run("SELECT binhash_config('cache_bytes', ?)", allowed)
    good = same(host)
    for t, i in (("t", "rowid"), ("plain", "id")):
        host.run("UPDATE %s SET code = CAST(substr(code, 2) || "
                 "substr(code, 1, 1) AS BLOB) WHERE %s / 500 %% 2" % (t, i))
    memory("highwater", 1)
    search(host, code())
    most, copy = memory("highwater", 0), memory_used()
    good = same(host) and good
    host.run("SELECT binhash_config('cache_bytes', 0)")
    good = same(host) and good
    used = memory_used()
    ok(good and ROWS * 128 < copy - used <= allowed,
       "a copy of %d bytes where %d are allowed" % (copy - used, allowed))
    ok(most - used <= allowed + (1 << 20),
       "%d bytes while it is made" % (most - used))
    host.run("SELECT binhash_config('cache_bytes', ?)", 1 << 30)


def without_slab(host, query, found):
    """Memory for a copy, but not for a slab, which is a little more: the limit
    is the process's and can only be lowered, so this is the last."""
    used = memory_used()
    if used is None:
        return skip("memory for no slab", "not SQLite's own")
    rows = host.run("SELECT count(*) FROM t")[0][0]
    host.run("SELECT binhash_config('cache_bytes', ?)", 1 << 30)
    host.run("PRAGMA hard_heap_limit = %d" % (used + rows * 133))
    good = search(host, query) == found
    copy = memory_used() - used
    ok(good and copy > rows * 128, "memory for no slab, %d bytes a row" %
       (copy // rows))


def main():
    try:
        Host().close()
    except AttributeError:
        skip("all", "this Python cannot load extensions")
        print("1..1")
        return 0
    before = memory_used()
    host = Host()
    fill(host)
    changes(host)
    bounded(host)
    query = code()
    found = search(host, query)
    bytes_of = ROWS * 128
    for mb, what in ((bytes_of * 3 // 4, "a part of it"), (0, "nothing")):
        host.run("SELECT binhash_config('cache_bytes', ?)", mb)
        ok(search(host, query) == found, "memory for %s" % what)
    without_slab(host, query, found)
    host.close()
    if before is None:
        skip("memory is given back", "not SQLite's own")
    else:
        left = memory_used() - before
        ok(left < 1 << 20, "memory is given back, but for %d bytes" % left)
    count, failed = counts()
    print("1..%d" % count)
    return failed != 0


sys.exit(main())

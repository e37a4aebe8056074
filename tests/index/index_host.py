"""A host with an index and an ordinary table beside it, and what is said of
tests, for environment.py, order.py, slabs.py and surroundings.py: EXTENSION
[sqlite3|apsw] are the program's first arguments.

Host is a connection of either module, under the same names for what they call
differently.  fill() makes an index t and an ordinary table plain_t, both()
changes both, and same() and digest() compare them.  A comparison of many rows
looks at the nearest alone, which is where a search may go wrong.
"""
import hashlib
import os
import sys

EXTENSION = sys.argv[1] if len(sys.argv) > 1 else "./build/binhash"
MODULE = sys.argv[2] if len(sys.argv) > 2 else "sqlite3"
module = __import__(MODULE)
APSW = MODULE == "apsw"
PROGRAM = os.path.splitext(os.path.basename(sys.argv[0]))[0]
QUERIES = (b"\x12\x34\x56\x78\x9a\xbc", b"\0\0\0\0\0\0", b"123456")
MANY = 6000                    # rows of a search that are looked at
count = 0
failed = 0


# Hosts -----------------------------------------------------------------------

class Host:
    """A connection of either module, by default with the extension."""

    def __init__(self, path=":memory:", load=True):
        if APSW:
            self.db = module.Connection(
                path, flags=module.SQLITE_OPEN_READWRITE |
                module.SQLITE_OPEN_CREATE | module.SQLITE_OPEN_URI)
            self.db.set_busy_timeout(10000)
        else:
            self.db = module.connect(path, isolation_level=None, uri=True,
                                     timeout=10, check_same_thread=False)
        if load:
            self.db.enable_load_extension(True)
            self.db.load_extension(EXTENSION)

    def run(self, sql, *values):
        return [tuple(row) for row in self.db.cursor().execute(sql, values)]

    def one(self, sql, *values):
        return self.run(sql, *values)[0][0]

    def script(self, sql):
        if APSW:
            list(self.db.cursor().execute(sql))
        else:
            self.db.executescript(sql)

    def error(self, sql, *values):
        """The message of the error that it ends in, '' if there is none."""
        try:
            self.run(sql, *values)
        except Exception as e:
            return str(e) or repr(e)
        return ""

    def both(self, sql, table="t"):
        """The same on index and plain table, of {t} and its {id}."""
        schema, dot, name = table.rpartition(".")
        self.run(sql.format(t=table, id="rowid"))
        self.run(sql.format(t=schema + dot + "plain_" + name, id="id"))

    def backup_to(self, other, pages=-1, between=None):
        """Back up over other's main; between() is called after each part."""
        if APSW:
            with other.db.backup("main", self.db, "main") as backup:
                while not backup.done:
                    backup.step(pages)
                    if between and not backup.done:
                        between()
        else:
            self.db.backup(other.db, pages=pages, progress=between and
                           (lambda status, left, total: left and between()))

    def serialize(self):
        return self.db.serialize("main") if APSW else self.db.serialize()

    def deserialize(self, image):
        if APSW:
            self.db.deserialize("main", image)
        else:
            self.db.deserialize(image)

    def close(self):
        self.db.close()


def ok(good, name):
    global count, failed
    count += 1
    failed += not good
    print("%s %d - %s, %s: %s" % ("ok" if good else "not ok", count, PROGRAM,
                                  MODULE, name), flush=True)


def skip(name, why):
    ok(True, "%s # SKIP %s" % (name, why))


def fill(host, rows=3000, table="t", gap=1):
    schema, dot, name = table.rpartition(".")
    plain = schema + dot + "plain_" + name
    host.run("CREATE VIRTUAL TABLE %s USING binhash(bits=48)" % table)
    host.run("CREATE TABLE %s(id INTEGER PRIMARY KEY, code BLOB)" % plain)
    # Digits: few distances, many ties.  Bound, since the bytes of a text that
    # is made in SQL depend on the database's encoding.
    host.run("BEGIN")
    host.db.cursor().executemany(
        "INSERT INTO %s VALUES (?, ?)" % plain,
        ((i * gap, b"%06d" % (i * 7919 % 1000003 % 1000000))
         for i in range(1, rows + 1)))
    host.run("COMMIT")
    host.run("INSERT INTO %s(rowid, code) SELECT id, code FROM %s" %
             (table, plain))


def searches(host, table="t"):
    """All that is asked of an index, as (of the index, of the plain table)."""
    schema, dot, name = table.rpartition(".")
    plain = schema + dot + "plain_" + name
    yield (host.run("SELECT rowid, code FROM %s" % table),
           host.run("SELECT id, code FROM %s ORDER BY id" % plain))
    for query in QUERIES:
        order = host.run("SELECT id, hamming(code, ?1) FROM %s ORDER BY 2, 1"
                         " LIMIT %d" % (plain, MANY), query)
        search = "SELECT rowid, distance FROM %s WHERE query = ?" % table
        yield host.run(search + " LIMIT %d" % MANY, query), order
        yield host.run(search + " LIMIT 10", query), order[:10]
        yield (host.run(search + " AND distance BETWEEN 5 AND 12 LIMIT 200",
                        query),
               host.run("SELECT id, hamming(code, ?1) FROM %s WHERE hamming("
                        "code, ?1) BETWEEN 5 AND 12 ORDER BY 2, 1 LIMIT 200" %
                        plain, query))


def same(host, table="t", check=True):
    """Do index and plain table hold the same?  Says so where they do not."""
    good = True
    for a, b in searches(host, table):
        if a != b:
            print("# %s: %s..., not %s..." % (table, a[:4], b[:4]))
            good = False
    if check:
        why = host.error("INSERT INTO %s(%s) VALUES ('integrity-check')" %
                         (table, table.rpartition(".")[2]))
        if why:
            print("# integrity-check:", why)
        good = good and not why
        text = host.one("PRAGMA integrity_check")
        if text != "ok":
            print("# integrity_check:", text)
        good = good and text == "ok"
    return good


def digest(host):
    """What is found in t, as a word; '-' and more where plain_t differs."""
    looked = list(searches(host))
    text = repr([a for a, b in looked])
    word = hashlib.sha256(text.encode()).hexdigest()[:16]
    return word if all(a == b for a, b in looked) else "-" + word


def counts():
    """How many tests there were, and how many of them failed."""
    return count, failed

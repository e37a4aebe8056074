#!/usr/bin/env python3
"""The index where databases live: environment.py EXTENSION [sqlite3|apsw].

Attached and temporary databases, RENAME, DROP and VACUUM, backups and
serialised databases, readers in other processes, read-only and immutable files,
the defensive and the distrustful settings, other versions of the format, models
that change their bytes, content kept by triggers, plans of different planners,
and interruption.  Each is compared with an ordinary table that went through the
same.  The output is TAP.
"""
import os
import shutil
import subprocess
import sys
import tempfile

import index_host
from index_host import EXTENSION, MODULE, counts, ok

TINY = "build/tests/models/tiny.safetensors"
OTHER = "build/tests/models/two.safetensors"
QUERY = b"\x12\x34\x56\x78\x9a\xbc"
module = index_host.module


class Host(index_host.Host):
    """A connection with the extension, to a file with such URI flags."""

    def __init__(self, path=":memory:", flags=""):
        super().__init__("file:%s?%s" % (path, flags) if flags else path)

    def fails(self, sql, *words):
        """Does it fail with a message that has these words?"""
        why = self.error(sql)
        missing = [w for w in words if w not in why]
        if missing or not why:
            print("# %s: %s has no %s" % (sql[:90], why or "no error", missing))
        return bool(why) and not missing

    def progress(self, f, steps):
        self.db.set_progress_handler(f, steps)


try:
    version = tuple(int(x) for x in Host().one(
        "SELECT sqlite_version()").split("."))
except AttributeError:
    index_host.skip("all", "it was built without loadable extensions")
    print("1..1")
    sys.exit(0)


def fill(host, table="t", rows=2000, first=1):
    """An index and, beside it, an ordinary table of the same rows."""
    schema = table.split(".")[0] + "." if "." in table else ""
    name = table.split(".")[-1]
    host.run("CREATE VIRTUAL TABLE %s USING binhash(bits=48)" % table)
    host.run("CREATE TABLE %splain_%s(id INTEGER PRIMARY KEY, code BLOB)"
             % (schema, name))
    host.run("INSERT INTO %splain_%s WITH n(i) AS (SELECT %d UNION ALL SELECT"
             " i + 1 FROM n WHERE i < %d) SELECT i, CAST(substr(printf('%%012d',"
             " i * 7919 %% 1000003), 7, 6) AS BLOB) FROM n"
             % (schema, name, first, first + rows - 1))
    host.run("INSERT INTO %s(rowid, code) SELECT id, code FROM %splain_%s"
             % (table, schema, name))


def both(host, sql, table="t"):
    """The same change of both: INTO {t}({id}, code)."""
    schema = table.split(".")[0] + "." if "." in table else ""
    name = table.split(".")[-1]
    host.run(sql.replace("{t}", table).replace("{id}", "rowid"))
    host.run(sql.replace("{t}", schema + "plain_" + name).replace("{id}", "id"))


def same(host, table="t", plain=None, check=True):
    """Do both hold the same, searched and scanned?"""
    schema = table.split(".")[0] + "." if "." in table else ""
    plain = plain or schema + "plain_" + table.split(".")[-1]
    a = host.run("SELECT rowid, code FROM %s" % table)
    b = host.run("SELECT id, code FROM %s ORDER BY id" % plain)
    c = host.run("SELECT rowid, distance FROM %s WHERE query = ?" % table, QUERY)
    d = host.run("SELECT id, hamming(code, ?1) FROM %s"
                 " ORDER BY hamming(code, ?1), id" % plain, QUERY)
    if check:
        name = table.split(".")[-1]
        host.run("INSERT INTO %s(%s) VALUES ('integrity-check')" % (table, name))
    if a != b or c != d:
        print("# %s: %d rows and %d, %d and %d" % (table, len(a), len(b),
                                                   len(c), len(d)))
    return a == b and c == d


folder = None
path = lambda name: os.path.join(folder, name)


# Places ----------------------------------------------------------------------

def schemas():
    host = Host()
    host.run("ATTACH ? AS \"aux\"", path("attached.db"))
    fill(host, "aux.t", 900)
    fill(host, "main.t", 1200, 500)
    fill(host, "temp.u", 700)
    both(host, "DELETE FROM {t} WHERE {id} % 3 = 0", "aux.t")
    both(host, "UPDATE {t} SET code = zeroblob(6) WHERE {id} < 600", "main.t")
    ok(same(host, "aux.t") and same(host, "main.t") and same(host, "temp.u"),
       "attached, main and temp beside each other")
    joined = host.run("SELECT a.rowid, b.rowid FROM aux.t a JOIN main.t b ON"
                      " b.query = a.code WHERE a.rowid = 700 AND b.distance = 0")
    ok(joined == [(700, 700)], "a join over two databases")
    host.run("DETACH aux")
    host.run("ATTACH ? AS again", path("attached.db"))
    ok(same(host, "again.t"), "attached again by another name")
    host.run("CREATE VIRTUAL TABLE \"o'd\"\"d name\" USING binhash(bits=12)")
    host.run("INSERT INTO \"o'd\"\"d name\"(rowid, code) VALUES (1, x'12f0')")
    ok(host.run("SELECT rowid, distance FROM \"o'd\"\"d name\" WHERE query ="
                " x'12e0'") == [(1, 1)], "a name with quotes in it")
    host.close()


def renaming():
    host = Host(path("rename.db"))
    fill(host)
    host.run("ALTER TABLE t RENAME TO \"new name\"")
    host.run("INSERT INTO \"new name\"(rowid, code) VALUES (9999, ?)", QUERY)
    host.run("INSERT INTO plain_t VALUES (9999, ?)", QUERY)
    rows = host.run("SELECT rowid FROM \"new name\" WHERE \"new name\" MATCH ?"
                    " LIMIT 1", QUERY)
    ok(rows == [(9999,)] and same(host, '"new name"', "plain_t", False),
       "RENAME")
    host.run("BEGIN")
    host.run("DELETE FROM \"new name\" WHERE rowid > 100")
    host.run("ALTER TABLE \"new name\" RENAME TO t")
    host.run("ROLLBACK")
    ok(same(host, '"new name"', "plain_t", False), "RENAME rolled back")
    host.run("ALTER TABLE \"new name\" RENAME TO t")
    before = host.one("SELECT count(*) FROM sqlite_schema")
    host.run("BEGIN")
    host.run("DROP TABLE t")
    host.run("ROLLBACK")
    ok(same(host), "DROP rolled back")
    both(host, "DELETE FROM {t} WHERE {id} > 1")
    host.run("VACUUM")
    used = host.one("SELECT count(*) FROM t_blocks")
    ok(same(host) and used <= 2, "DELETE and VACUUM give the space back")
    host.run("VACUUM INTO ?", path("into.db"))
    other = Host(path("into.db"))
    ok(same(other), "VACUUM INTO")
    other.close()
    host.run("DROP TABLE t")
    ok(host.one("SELECT count(*) FROM sqlite_schema") == before - 3 and
       host.one("PRAGMA integrity_check") == "ok", "DROP leaves nothing")
    host.close()


def savepoints():
    host = Host()
    fill(host)
    host.run("BEGIN")
    both(host, "DELETE FROM {t} WHERE {id} BETWEEN 100 AND 700")
    host.run("SAVEPOINT a")
    both(host, "UPDATE {t} SET {id} = {id} + 100000 WHERE {id} < 50")
    good = same(host)
    host.run("SAVEPOINT b")
    both(host, "DELETE FROM {t}")
    good = same(host) and good
    host.run("ROLLBACK TO b")
    good = same(host) and good
    host.run("ROLLBACK TO a")
    both(host, "INSERT INTO {t}({id}, code) VALUES (300, x'123456789abc')")
    good = same(host) and good
    host.run("RELEASE a")
    ok(good and same(host), "savepoints within a transaction")
    host.run("ROLLBACK")
    ok(same(host), "and the transaction rolled back")
    host.run("BEGIN")
    host.run("DELETE FROM t WHERE rowid < 10")
    changed = host.one("SELECT changes()")
    host.run("COMMIT")
    ok((changed, host.one("SELECT changes()")) == (9, 9),
       "changes() after COMMIT is the statement's before it")
    host.run("INSERT INTO t(rowid, code) VALUES (5, zeroblob(6))")
    host.run("BEGIN")
    host.run("INSERT INTO t(rowid, code) VALUES (7, zeroblob(6))")
    host.run("COMMIT")
    ok(host.one("SELECT last_insert_rowid()") == 7,
       "last_insert_rowid() after COMMIT")
    ok(host.run("INSERT INTO t(rowid, code) VALUES (-3, x'0102030405ff')"
                " RETURNING rowid, hex(code)") == [(-3, "0102030405FF")],
       "RETURNING")
    host.close()


# Other processes -------------------------------------------------------------

def reader(name):
    """What a process that was started with a database's name does."""
    host = Host(name)
    for line in sys.stdin:
        if line == "begin\n":
            host.run("BEGIN")
        if line == "end\n":
            host.run("COMMIT")
        print(same(host, check=False), host.one("SELECT count(*) FROM t"),
              flush=True)


class Reader:
    def __init__(self, name):
        self.process = subprocess.Popen(
            [sys.executable, __file__, EXTENSION, MODULE, name],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            universal_newlines=True)

    def ask(self, what):
        self.process.stdin.write(what + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().split()

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def processes():
    host = Host(path("wal.db"))
    host.run("PRAGMA journal_mode = WAL")
    fill(host)
    readers = [Reader(path("wal.db")) for _ in range(2)]
    good = readers[0].ask("look") == ["True", "2000"]
    good = readers[1].ask("begin") == ["True", "2000"] and good
    for i in range(8):
        host.run("BEGIN")
        both(host, "DELETE FROM {t} WHERE {id} %% 11 = %d" % i)
        good = readers[0].ask("look")[0] == "True" and good
        host.run("ROLLBACK" if i % 3 == 2 else "COMMIT")
        good = readers[0].ask("look")[0] == "True" and same(host) and good
        good = readers[1].ask("look") == ["True", "2000"] and good
    rows = str(host.one("SELECT count(*) FROM t"))
    good = readers[1].ask("end")[0] == "True" and good
    good = readers[1].ask("look") == ["True", rows] and good
    ok(good, "WAL: readers in other processes, one of an old snapshot")
    for reader in readers:
        reader.end()
    host.close()


def read_only():
    host = Host(path("fixed.db"))
    fill(host)
    host.close()
    os.chmod(path("fixed.db"), 0o444)
    for flags in "mode=ro", "immutable=1", "mode=ro&immutable=1":
        host = Host(path("fixed.db"), flags)
        good = same(host, check=False)
        good = host.fails("DELETE FROM t WHERE rowid = 1", "readonly") and good
        ok(good and same(host, check=False), "a file with " + flags)
        host.close()
    os.chmod(path("fixed.db"), 0o644)


def copies():
    host = Host(path("source.db"))
    fill(host)
    target = Host(path("target.db"))
    fill(target, "t", 300, 7000)
    same(target)
    if MODULE == "apsw":
        with target.db.backup("main", host.db, "main") as backup:
            backup.step()
    else:
        host.db.backup(target.db)
    ok(same(target), "a backup over an index that was in memory")
    if hasattr(host.db, "serialize"):
        image = host.db.serialize("main") if MODULE == "apsw" else \
            host.db.serialize()
        copy = Host()
        if MODULE == "apsw":
            copy.db.deserialize("main", image)
        else:
            copy.db.deserialize(image)
        both(copy, "DELETE FROM {t} WHERE {id} < 77")
        ok(same(copy) and same(host), "serialised and deserialised")
        copy.close()
    target.close()
    host.close()
    # An old file put back in the place of a newer one.
    shutil.copy(path("source.db"), path("old.db"))
    host = Host(path("source.db"))
    both(host, "DELETE FROM {t} WHERE {id} < 1000")
    good = same(host)
    host.close()
    shutil.copy(path("old.db"), path("source.db"))
    host = Host(path("source.db"))
    ok(good and same(host) and host.one("SELECT count(*) FROM t") == 2000,
       "a file restored from a copy")
    host.close()


# Distrust ----------------------------------------------------------------------

def distrust():
    host = Host(path("distrust.db"))
    fill(host)
    host.run("CREATE TABLE log(id INTEGER PRIMARY KEY, code BLOB)")
    host.run("CREATE TRIGGER log_insert AFTER INSERT ON log BEGIN INSERT INTO"
             " t(rowid, code) VALUES (new.id, new.code); END")
    host.run("PRAGMA trusted_schema = OFF")
    host.run("INSERT INTO log VALUES (50001, zeroblob(6))")
    ok(host.one("SELECT count(*) FROM t WHERE rowid = 50001") == 1,
       "a trigger writes it where the schema is not trusted")
    host.run("CREATE VIEW nearest AS SELECT rowid, distance FROM t WHERE query"
             " = x'000000000000' LIMIT 3")
    ok(host.run("SELECT * FROM nearest") [0] == (50001, 0), "a view reads it")
    # SQLite knows which tables are an index's own once it has seen its module
    # and its CREATE, in this order.
    defensive = shutil.which("sqlite3")
    if defensive:
        out = subprocess.run(
            [defensive, "-batch", ":memory:", ".load " + EXTENSION,
             "CREATE VIRTUAL TABLE t USING binhash(bits=8)",
             "INSERT INTO t(rowid, code) VALUES (1, x'01'), (50, x'02')",
             ".dbconfig defensive on", "DELETE FROM t WHERE rowid < 50",
             "SELECT min(rowid) FROM t", "DELETE FROM t_blocks"],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            universal_newlines=True).stdout
        ok("may not be modified" in out and "\n50\n" in out,
           "defensive: the index can be written, its shadow tables cannot")
    host.close()


def formats():
    host = Host(path("format.db"))
    fill(host)
    host.run("UPDATE t_state SET format = 7")
    host.close()
    host = Host(path("format.db"))
    good = host.fails("SELECT count(*) FROM t", "7", "format")
    good = host.fails("DELETE FROM t", "format") and good
    host.run("UPDATE t_state SET format = 1")
    host.close()
    host = Host(path("format.db"))
    ok(good and same(host), "a newer format is refused by its number")
    host.close()


def models():
    if not os.path.exists(TINY):
        ok(True, "models # SKIP no " + TINY)
        return
    host = Host(path("model.db"))
    host.run("SELECT binhash_load('m', ?)", TINY)
    host.run("CREATE VIRTUAL TABLE t USING binhash(model='m')")
    bits = host.one("SELECT bits FROM t_state")
    name, digest = host.run("SELECT model, sha256 FROM t_state")[0]
    ok((name, digest, bits) == host.run("SELECT name, sha256, bits FROM"
                                        " binhash_models WHERE name = 'm'")[0],
       "a model's name, sha256 and bits are recorded")
    with open("tests/golden/pictures/420.jpg", "rb") as f:
        picture = f.read()
    host.run("INSERT INTO t(rowid, code) VALUES (4, img_hash(?, 'm'))", picture)
    ok(host.run("SELECT rowid, distance FROM t WHERE image = ?", picture) ==
       [(4, 0)], "image = ? hashes with it")
    host.close()
    host = Host(path("model.db"))
    good = host.run("SELECT rowid FROM t") == [(4,)]
    try:
        host.run("SELECT rowid FROM t WHERE image = ?", picture)
        good = False
    except Exception as e:
        good = "m" in str(e) and good
    ok(good, "without its model, rows are read and image = ? is refused")
    host.run("SELECT binhash_load('m', ?)", OTHER)
    try:
        host.run("SELECT rowid FROM t WHERE image = ?", picture)
        good = False
    except Exception as e:
        good = "sha256" in str(e) or "another" in str(e)
        if not good:
            print("#", e)
    ok(good, "another model of that name is refused")
    host.close()


# External content ------------------------------------------------------------

def followed(host, rows=None):
    """Is the index what its content is?"""
    a = host.run("SELECT rowid, code FROM c")
    b = host.run("SELECT id, code FROM photos WHERE code IS NOT NULL ORDER BY"
                 " id")
    if a != b:
        print("# %s instead of %s" % (a[:9], b[:9]))
    host.run("INSERT INTO c(c) VALUES ('integrity-check')")
    return a == b


def content(recursive, trusted):
    host = Host()
    run = host.run
    run("PRAGMA recursive_triggers = %s" % recursive)
    run("PRAGMA trusted_schema = %s" % trusted)
    name = "content, recursive_triggers %s, trusted_schema %s: " % (recursive,
                                                                    trusted)
    run("CREATE TABLE photos(id INTEGER PRIMARY KEY, code BLOB, path TEXT"
        " UNIQUE, a INT, b INT, UNIQUE(a, b))")
    run("INSERT INTO photos SELECT value, randomblob(6), 'p' || value, value,"
        " value FROM (WITH n(value) AS (SELECT 1 UNION ALL SELECT value + 1"
        " FROM n WHERE value < 1500) SELECT value FROM n)")
    run("INSERT INTO photos VALUES (2000, NULL, 'no code', NULL, NULL)")
    run("CREATE VIRTUAL TABLE c USING binhash(bits=48, content='photos',"
        " content_rowid='id', content_column='code')")
    ok(host.fails("INSERT INTO c(c) VALUES ('integrity-check')"),
       name + "not built yet")
    run("INSERT INTO c(c) VALUES ('rebuild')")
    good = followed(host)
    host.script(host.one("SELECT binhash_triggers('c')"))
    ok(good and followed(host), name + "rebuild")
    code = "x'0102030405%02x'"
    steps = [
        ("INSERT INTO photos VALUES (3000, %s, 'new', 3000, 3000)" % (code % 1),
         "INSERT"),
        ("INSERT INTO photos(code, path) VALUES (NULL, 'without')",
         "INSERT of NULL"),
        ("UPDATE photos SET code = %s WHERE id < 9" % (code % 2), "UPDATE"),
        ("UPDATE photos SET code = NULL WHERE id = 10", "UPDATE to NULL"),
        ("UPDATE photos SET code = %s WHERE code IS NULL" % (code % 3),
         "UPDATE from NULL"),
        ("UPDATE photos SET id = 5000 WHERE id = 11", "UPDATE of the rowid"),
        ("UPDATE photos SET path = 'x' WHERE id = 12", "UPDATE of a column"),
        ("DELETE FROM photos WHERE id BETWEEN 100 AND 900", "DELETE"),
        ("INSERT OR REPLACE INTO photos VALUES (20, %s, 'p20', 20, 20)"
         % (code % 4), "OR REPLACE of the same row"),
        ("INSERT OR REPLACE INTO photos VALUES (6000, %s, 'p21', 1, 2)"
         % (code % 5), "OR REPLACE that drops a row through UNIQUE"),
        ("INSERT OR REPLACE INTO photos VALUES (22, %s, 'p23', 24, 24)"
         % (code % 6), "OR REPLACE that drops three rows"),
        ("REPLACE INTO photos VALUES (7000, NULL, 'p25', 7, 6)",
         "REPLACE by a row without a code"),
        ("UPDATE OR REPLACE photos SET path = 'p27' WHERE id = 26",
         "UPDATE OR REPLACE that drops a row"),
        ("UPDATE OR REPLACE photos SET id = 28 WHERE id = 29",
         "UPDATE OR REPLACE of the rowid"),
        ("UPDATE OR REPLACE photos SET a = 31, b = 31, code = %s WHERE id = 30"
         % (code % 7), "UPDATE OR REPLACE of two columns"),
        ("INSERT OR IGNORE INTO photos VALUES (32, %s, 'p33', 34, 34)"
         % (code % 8), "OR IGNORE that inserts nothing"),
        ("UPDATE OR IGNORE photos SET path = 'p36' WHERE id = 35",
         "UPDATE OR IGNORE that changes nothing"),
        ("INSERT INTO photos VALUES (37, %s, 'p38', 1, 1) ON CONFLICT DO"
         " NOTHING" % (code % 9), "ON CONFLICT DO NOTHING"),
        ("INSERT INTO photos VALUES (8000, %s, 'p39', 39, 99) ON"
         " CONFLICT(path) DO UPDATE SET code = excluded.code" % (code % 10),
         "UPSERT"),
        ("INSERT INTO photos VALUES (40, %s, 'p9999', 40, 99) ON CONFLICT(id)"
         " DO UPDATE SET id = 9000, code = excluded.code" % (code % 11),
         "UPSERT that changes the rowid"),
        ("INSERT OR REPLACE INTO photos SELECT id + 1, code, path, a, b FROM"
         " photos WHERE id BETWEEN 950 AND 990", "OR REPLACE of many rows"),
        ("DELETE FROM photos WHERE id > 1200", "DELETE again"),
    ]
    bad = []
    for sql, what in steps:
        try:
            run(sql)
            if not followed(host):
                bad.append(what)
        except Exception as e:
            bad.append("%s: %s" % (what, e))
    for what in bad:
        print("#", what)
    ok(not bad, name + "triggers")
    run("SAVEPOINT s")
    run("REPLACE INTO photos VALUES (7100, %s, 'p60', 61, 61)" % (code % 12))
    run("ROLLBACK TO s")
    good = followed(host)
    run("REPLACE INTO photos VALUES (7100, %s, 'p62', 63, 63)" % (code % 12))
    run("RELEASE s")
    ok(good and followed(host), name + "a savepoint")
    names = [n for n, in run("SELECT name FROM sqlite_schema WHERE type ="
                             " 'trigger'")]
    for n in names:
        run("DROP TRIGGER \"%s\"" % n)
    run("DELETE FROM photos WHERE id = 70")
    run("UPDATE photos SET code = %s WHERE id = 71" % (code % 13))
    run("INSERT INTO photos(id, code) VALUES (7200, %s)" % (code % 14))
    ok(host.fails("INSERT INTO c(c) VALUES ('integrity-check')", "70", "71",
                  "7200"), name + "integrity-check names the rows")
    run("INSERT INTO c(c) VALUES ('rebuild')")
    ok(followed(host), name + "rebuilt")
    host.close()


# Plans -----------------------------------------------------------------------

def alternatives():
    """A search beside an OR, which SQLite may answer by a search for each side."""
    host = Host()
    fill(host)
    search = "(SELECT id AS rowid, hamming(code, ?1) AS distance FROM plain_t)"
    for sides in ("s.distance < 4 OR s.distance > 30", "s.rowid = 5 OR"
                  " s.rowid = 7", "s.distance > 30 OR s.rowid < 9"):
        for query in "s.query = ?1", "s.query MATCH ?1", "s.t MATCH ?1":
            for whole in ("SELECT s.rowid FROM {0} AS s WHERE {1} AND ({2})",
                          "SELECT DISTINCT s.rowid FROM {0} AS s, plain_t"
                          " WHERE {1} AND ({2})",
                          "SELECT s.rowid FROM {0} AS s CROSS JOIN (SELECT 1"
                          " FROM plain_t WHERE id < 3) WHERE {1} AND ({2})"
                          " EXCEPT SELECT 9"):
                found = sorted(host.run(whole.format("t", query, sides), QUERY))
                wanted = sorted(host.run(whole.format(search, 1, sides), QUERY))
                if found != wanted:
                    print("# %d rows and %d" % (len(found), len(wanted)))
                ok(found == wanted, whole.format("t", query, sides)[:90])
    host.close()


# Interruption ----------------------------------------------------------------

def interruption():
    host = Host()
    fill(host, "t", 300000)
    host.run("SELECT binhash_config('cache_bytes', 0)")
    statements = [
        "SELECT count(*) FROM (SELECT rowid FROM t WHERE query ="
        " x'000000000000' LIMIT 5)",
        "SELECT rowid FROM t WHERE query = x'000000000000'",
        "INSERT INTO t(t) VALUES ('integrity-check')",
    ]
    for sql in statements:
        host.progress(lambda: 1, 1)
        good = host.fails(sql, "nterrupt")
        host.progress(None, 1)
        host.run(sql)
        ok(good, "a progress handler stops: " + sql[:50])
    host.run("SELECT binhash_config('cache_bytes', 100000000)")
    host.progress(lambda: 1, 20)
    good = host.fails(statements[1], "nterrupt")
    host.progress(None, 1)
    ok(good and same(host), "and the loading of the copy in memory")
    host.close()


if len(sys.argv) > 3:
    reader(sys.argv[3])
    sys.exit(0)
folder = tempfile.mkdtemp()
try:
    schemas()
    renaming()
    savepoints()
    processes()
    read_only()
    copies()
    distrust()
    formats()
    models()
    for recursive in "OFF", "ON":
        for trusted in "ON", "OFF":
            content(recursive, trusted)
    alternatives()
    interruption()
finally:
    shutil.rmtree(folder, ignore_errors=True)
print("1..%d" % counts()[0])
sys.exit(counts()[1] != 0)

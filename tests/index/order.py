#!/usr/bin/python3
"""Rows that come to an index in no order: order.py [EXTENSION [sqlite3|apsw
[ROWS]]].

An INSERT is told from a conflict by the changes that are not written yet and by
the rowids of the blocks that were looked into, both of which a flush, and a
rollback, must forget; and changes are sorted by as many passes as their rowids
need.  So ROWS rows, 200,000 unless given, come in no order, in one transaction
that holds more than is kept in memory, from rowids close together up to all of
64 bits; some come twice, as a conflict, ignored or replaced; some go; part of
it is undone.  An ordinary table gets the same and must hold the same.
"""
import random
import sys

from index_host import Host, counts, ok, skip

ROWS = int(sys.argv[3]) if len(sys.argv) > 3 else 200000
LEAST = -(1 << 63)
INSERT = "INSERT {how} INTO {t}({id}, code) VALUES (?, ?)"
TABLES = ({"t": "t", "id": "rowid"}, {"t": "plain", "id": "id"})


def both(host, sql, rows=None, **words):
    """The same for both tables: what each said of the last of it."""
    said = []
    for names in TABLES:
        try:
            text = sql.format(**names, **words)
            if rows is None:
                host.run(text)
            else:
                host.db.cursor().executemany(text, rows)
            said.append("")
        except Exception as e:
            said.append(str(e).split(":")[0])
    return said


def same(host):
    rows = [host.run("SELECT {id}, code FROM {t} ORDER BY {id}".format(**n))
            for n in TABLES]
    why = host.error("INSERT INTO t(t) VALUES ('integrity-check')")
    for text in [why] if why else []:
        print("# integrity-check:", text)
    return rows[0] == rows[1] and not why


def code(rng):
    return rng.getrandbits(48).to_bytes(6, "big")


def load(rng, name, least, span):
    """Rows with rowids of a span, and what may happen to them."""
    host = Host()
    host.run("CREATE VIRTUAL TABLE t USING binhash(bits=48)")
    host.run("CREATE TABLE plain(id INTEGER PRIMARY KEY, code BLOB)")
    rowids = {least, least + span - 1}
    while len(rowids) < ROWS:
        rowids.add(least + rng.randrange(span))
    rowids = list(rowids)
    rng.shuffle(rowids)
    rows = [(rowid, code(rng)) for rowid in rowids]
    part = ROWS // 4
    host.run("BEGIN")
    both(host, INSERT, rows[:part], how="")
    again = [(rowid, code(rng)) for rowid, _ in rows[:part:7]]
    good = True
    # Each may conflict with what is in memory, or with what was flushed.
    for flush in "", "SELECT count(*) FROM t":
        if flush:
            host.run(flush)
        said = both(host, INSERT, again[:1], how="")
        good = said[0] == said[1] == "UNIQUE constraint failed" and good
        both(host, INSERT, again[0::2], how="OR IGNORE")
        both(host, INSERT, again[1::2], how="OR REPLACE")
    host.run("SAVEPOINT s")
    both(host, INSERT, rows[part:2 * part], how="")
    both(host, "DELETE FROM {t} WHERE {id} % 5 = 0")
    host.run("ROLLBACK TO s")
    # Not there any more, though they were known to be a moment ago.
    said = both(host, INSERT, rows[part:], how="")
    good = said == ["", ""] and good
    both(host, "DELETE FROM {t} WHERE {id} % 11 = 0")
    both(host, INSERT, rows[::13], how="OR IGNORE")
    host.run("COMMIT")
    ok(same(host) and good, "%d rows, %s" % (ROWS, name))
    host.close()


def main():
    rng = random.Random(20)
    try:
        Host().close()
    except AttributeError:
        skip("all", "this Python cannot load extensions")
        print("1..1")
        return 0
    for name, least, span in (
            ("rowids without gaps", 1, ROWS),
            ("every third rowid or so", -ROWS, 3 * ROWS),
            ("rowids of 33 bits", 5, 1 << 33),
            ("rowids of 64 bits", LEAST, 1 << 64)):
        load(rng, name, least, span)
    count, failed = counts()
    print("1..%d" % count)
    return failed != 0


sys.exit(main())

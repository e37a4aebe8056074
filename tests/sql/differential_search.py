#!/usr/bin/env python3
"""binhash_search against plain SQL, in random statements.

    differential_search.py EXTENSION [sqlite3|apsw] [STATEMENTS] [SEED]

What a search must give is the definition in SQL,

    SELECT rowid, feature_distance(features, Q) AS distance, hamming FROM (
      SELECT *, hamming(code, C) AS hamming FROM photos WHERE code IS NOT NULL
      ORDER BY hamming, rowid LIMIT pool)
    WHERE features IS NOT NULL ORDER BY distance, rowid LIMIT k

over random tables of every kind (rowid table, WITHOUT ROWID, view, virtual
table, odd names, another schema, an index that covers the code), with random
pools, radii and k, features float32 and packed, NULL codes and features, and
many ties.  Random statements run over both, and must give the same rows: in the
same order where ORDER BY determines it, else as a multiset, and where LIMIT cuts
an order that leaves ties, the same number.

After that: the plan of a join with a filter, how many rows it takes, and that
each stage can be interrupted.  The output is TAP.
"""
import random
import struct
import sys

from differential import (ORDERS, Statement, limit, number, open_host,
                          rowid_list, same)

CODE_BITS = 12
FEATURES = 3


def random_code(r):
    code = r.choice([0, 0xfff, 0x123])
    for _ in range(r.choice([0, 1, 2, 4])):
        code ^= 1 << r.randrange(CODE_BITS)
    return code.to_bytes(2, "big")


def random_features(r):
    return struct.pack("<%df" % FEATURES,
                       *(r.choice([0, 0.5, 1, -2, 3]) for _ in range(FEATURES)))


def literal(value):
    if value is None:
        return "NULL"
    if isinstance(value, bytes):
        return "x'%s'" % value.hex()
    if isinstance(value, str):
        return "'%s'" % value.replace("'", "''")
    return str(value)


class Source:
    """A table that is searched, and the table of its rows, with ordinals where
    it has no rowids: base(rowid, code, features, key)."""

    count = 0

    def __init__(self, host, table, rows, code="code", features="features",
                 schema=None, key=None):
        Source.count += 1
        self.table, self.code, self.features = table, code, features
        self.schema, self.key = schema, key
        self.base = "base%d" % Source.count
        host.run("CREATE TEMP TABLE %s(rowid INTEGER, code, features, key)"
                 % self.base)
        for i, row in enumerate(host.run(rows)):
            rowid = i + 1 if row[0] is None else row[0]
            host.run("INSERT INTO %s VALUES(:a, :b, :c, :d)" % self.base,
                     dict(zip("abcd", (rowid,) + tuple(row[1:]))))


def make_sources(host, r):
    run = host.run
    run("ATTACH ':memory:' AS \"aux 1\"")
    run("CREATE TABLE photos(id INTEGER PRIMARY KEY, code BLOB, features BLOB,"
        " album INT, name TEXT)")
    run("CREATE TABLE \"aux 1\".photos(code BLOB, features BLOB, album INT)")
    run("CREATE TABLE covered(pad TEXT, features BLOB, code BLOB)")
    run("CREATE INDEX covering ON covered(code)")
    run("CREATE TABLE keyed(name TEXT PRIMARY KEY, code BLOB, features BLOB)"
        " WITHOUT ROWID")
    run("CREATE TABLE \"od\"\"d 'name\"(\"c\"\"o 'l\" BLOB, \"rowid\" BLOB)")
    run("CREATE VIRTUAL TABLE virtual USING fts5(code, features)")
    for i in range(200):
        code = None if r.random() < 0.1 else random_code(r)
        features = None if r.random() < 0.1 else random_features(r)
        values = {"c": code, "f": features, "a": r.randrange(4),
                  "i": 3 * i - 40 if i % 5 else -1000 - i,
                  "n": "n%d" % (i * 7919 % 1000)}
        packed = r.choice(["feature_pack(:f)", ":f"])
        run("INSERT INTO photos VALUES(:i, :c, %s, :a, :n)" % packed, values)
        run("INSERT INTO keyed VALUES(:n, :c, %s)" % packed, values)
        run("INSERT INTO covered VALUES('x', %s, :c)" % packed, values)
        if i < 60:
            run("INSERT INTO \"aux 1\".photos VALUES(:c, %s, :a)" % packed,
                values)
            run("INSERT INTO \"od\"\"d 'name\" VALUES(:c, :f)", values)
            run("INSERT INTO virtual(code, features) VALUES(:c, :f)", values)
    run("DELETE FROM photos WHERE id % 7 = 0")
    run("DELETE FROM covered WHERE rowid % 11 = 0")
    run("CREATE VIEW seen AS SELECT name AS rowid, code AS c, features AS f"
        " FROM photos WHERE album > 0 ORDER BY name")
    return [
        Source(host, "photos", "SELECT id, code, features, NULL FROM photos"),
        Source(host, "photos", "SELECT id, code, features, name FROM photos",
               key="name"),
        Source(host, "photos", "SELECT rowid, code, features, album FROM"
               " \"aux 1\".photos", schema="aux 1", key="album"),
        Source(host, "covered",
               "SELECT rowid, code, features, NULL FROM covered"),
        Source(host, "keyed", "SELECT NULL, code, features, name FROM keyed",
               key="name"),
        Source(host, "od\"d 'name", "SELECT _rowid_, \"c\"\"o 'l\", \"rowid\","
               " NULL FROM \"od\"\"d 'name\"", code="c\"o 'l",
               features="rowid"),
        Source(host, "seen", "SELECT NULL, c, f, \"rowid\" FROM seen",
               code="c", features="f", key="rowid"),
        Source(host, "virtual",
               "SELECT rowid, code, features, NULL FROM virtual"),
    ]


NAMES = ["table_name", "code_column", "feature_column", "code", "features", "k",
         "pool", "schema", "key_column"]


def relation(r, source, alias):
    """(searching FROM, its WHERE, plain FROM)."""
    code, features = random_code(r), random_features(r)
    k = r.choice([None] * 5 + [0, 1, 3, 20, 10000])
    pool = r.choice([None] * 4 + [0, 1, 2, 7, 30, 100, 100000])
    radius, bound = r.choice([
        (None, "1"), (None, "1"), (None, "1"), (0, "%s.hamming <= 0"),
        (3, "%s.hamming <= 3"), (4, "%s.hamming < 5"), (2, "%s.hamming < 2.5"),
        (5, "%s.hamming BETWEEN 2 AND 5"), (12, "%s.hamming <= 1e9"),
        (-1, "%s.hamming < 0"), (1, "%s.hamming < 9 AND %s.hamming <= 1")])
    bound = bound.replace("%s", alias)
    packed = r.random() < 0.5
    values = [source.table, source.code, source.features, code, features, k,
              pool, source.schema, source.key]
    values = [literal(v) for v in values]
    if packed:
        values[4] = "feature_pack(%s)" % values[4]
    given = r.randrange(10)   # so many in the function, the others in WHERE
    while given < 9 and values[given:] and r.random() < 0.3:
        given += 1
    where = bound
    for name, value in list(zip(NAMES, values))[given:]:
        if value != "NULL":
            where += " AND %s.%s = %s" % (alias, name, value)
    call = "binhash_search%s AS %s" % (
        "(%s)" % ", ".join(values[:given]) if given else "", alias)
    most = pool if pool is not None else 1000 if radius is None else -1
    plain = ("(SELECT rowid, distance, hamming, key FROM (SELECT rowid,"
             " CAST(feature_distance(features, %s) AS REAL) AS distance, hamming,"
             " key FROM"
             " (SELECT rowid, features, key,"
             "  CAST(hamming(code, %s) AS INTEGER) AS hamming"
             "  FROM %s WHERE code IS NOT NULL)"
             " WHERE hamming <= %d ORDER BY hamming, rowid LIMIT %d)"
             " WHERE distance IS NOT NULL ORDER BY distance, rowid LIMIT %d)"
             " AS %s" % (values[4], literal(code), source.base,
                         1000 if radius is None else radius, most,
                         -1 if k is None else k, alias))
    return call, where, plain, bound


def condition(r, t):
    # Bounds of hamming from above say what is searched, so they are in relation.
    return r.choice([
        lambda: "%s.distance %s %s" % (
            t, r.choice(["<", "<=", "=", ">=", ">", "<>", "IS"]), number(r)),
        lambda: "%s.distance BETWEEN %s AND %s" % (t, number(r), number(r)),
        lambda: "%s.hamming %s %s" % (t, r.choice([">", ">=", "<>", "=", "IS"]),
                                      r.choice("0123")),
        lambda: "%s.hamming IN (1, 3, 3, 8)" % t,
        lambda: "+%s.hamming < 3" % t,
        lambda: "%s.rowid %s %s" % (t, r.choice(["=", ">", "<="]), r.choice(
            ["5", "20", "-1045", "35", "NULL", "'8'", "8.0"])),
        lambda: "%s.rowid IN %s" % (t, rowid_list(r)),
        lambda: "%s.rowid %% 3 = 1" % t,
        lambda: "%s.key > 'n5'" % t,
        lambda: "(%s.hamming = 1 OR %s.hamming = 2)" % (t, t),
        lambda: "(%s.distance < 2 OR %s.rowid = 44)" % (t, t),
    ])()


def conditions(r, t):
    return "".join(" AND " + condition(r, t)
                   for _ in range(r.choice([0, 0, 1, 1, 2])))


def statement(r):
    where = conditions(r, "t")
    order, total = r.choice([o for o in ORDERS if "code" not in o[0]
                             and "%" not in o[0]] +
                            [(" ORDER BY t.hamming, t.rowid", True)])
    cut = limit(r)
    album = r.choice(["", " AND p.album = 3", " AND p.id = 44"])
    return r.choice([
        lambda: Statement(
            "SELECT t.rowid, t.distance, t.hamming, t.key FROM {F0} WHERE {W0}"
            + where + order + cut,
            "rows" if total else "count" if cut else "set"),
        lambda: Statement(
            "SELECT t.rowid, t.distance FROM {F0} WHERE {W0}" + where + order
            + cut, "rows" if total else "count" if cut else "set"),
        lambda: Statement(
            "SELECT count(*), min(t.distance), max(t.hamming), total(t.rowid)"
            " FROM {F0} WHERE {W0}" + where, "rows"),
        lambda: Statement(
            "SELECT t.hamming, count(*), min(t.distance) FROM {F0} WHERE {W0}"
            + where + " GROUP BY t.hamming ORDER BY t.hamming" + cut, "rows"),
        lambda: Statement(
            "SELECT t.rowid, row_number() OVER (ORDER BY t.distance, t.rowid)"
            " FROM {F0} WHERE {W0}" + where +
            " ORDER BY t.distance, t.rowid" + cut, "rows"),
        lambda: Statement(
            "SELECT t.rowid, t.distance FROM {F0} WHERE {W0}" + where
            + r.choice([" UNION ALL ", " UNION ", " EXCEPT "]) +
            "SELECT u.rowid, u.distance FROM {F1} WHERE {W1}"
            + conditions(r, "u") + " ORDER BY 2, 1" + cut, "rows"),
        lambda: Statement(
            "SELECT count(*), max(d) FROM (SELECT t.distance AS d FROM {F0}"
            " WHERE {W0}" + where + " ORDER BY t.distance, t.rowid" + cut + ")",
            "rows"),
        lambda: Statement(
            "SELECT p.id, t.distance FROM {F0} JOIN photos p ON p.id = t.rowid"
            " WHERE {W0}" + where + album + " ORDER BY t.distance, t.rowid"
            + cut, "rows"),
        lambda: Statement(
            "SELECT p.id, t.distance FROM photos p, {F0} WHERE {W0} AND"
            " t.rowid = p.id" + where + album + " ORDER BY t.distance, t.rowid"
            + cut, "rows"),
        lambda: Statement(
            "SELECT p.id, t.rowid FROM {F0} JOIN photos p ON p.album ="
            " t.hamming WHERE {W0}" + where + " AND p.id < 0 ORDER BY"
            " t.distance, t.rowid, p.id" + cut, "rows"),
        lambda: Statement(
            "SELECT t.rowid, p.name FROM {F0} LEFT JOIN photos p ON"
            " p.id = t.rowid AND p.album = 2 WHERE {W0}" + where +
            " ORDER BY t.distance, t.rowid" + cut, "rows"),
        lambda: Statement(
            "SELECT p.id, x.d FROM photos p LEFT JOIN (SELECT t.rowid AS r,"
            " t.distance AS d FROM {F0} WHERE {W0}" + where + ") x ON"
            " x.r = p.id ORDER BY p.id" + cut, "rows"),
        lambda: Statement(
            "SELECT t.rowid, t.distance, u.distance FROM {F0} JOIN {F1} ON"
            " u.rowid = t.rowid WHERE {W0} AND {W1}" + where +
            " ORDER BY t.distance, t.rowid" + cut, "rows"),
    ])()


def random_statements(host, r, sources, count):
    """How many statements differ, and how many had rows to compare."""
    wrong = full = 0
    for _ in range(count):
        s = statement(r)
        chosen = [relation(r, r.choice(sources), t) for t in "tu"]
        sql = expected_sql = s.sql
        for i, (call, where, table, bound) in enumerate(chosen):
            sql = sql.replace("{F%d}" % i, call).replace("{W%d}" % i, where)
            expected_sql = expected_sql.replace("{F%d}" % i, table)
            expected_sql = expected_sql.replace("{W%d}" % i, bound)
        expected = host.run(expected_sql)
        full += len(expected) > 0
        try:
            got = host.run(sql)
        except Exception as error:
            got = [repr(error)]
        if not same(s.compare, got, expected):
            wrong += 1
            if wrong <= 5:
                print("# " + sql)
                print("#   " + expected_sql)
                print("#   got      %d: %r" % (len(got), got[:8]))
                print("#   expected %d: %r" % (len(expected), expected[:8]))
    return wrong, full


def correlated(host):
    """A search for every row of a join."""
    wrong = 0
    for radius, pool, k in [(None, 5, None), (None, 9, 4), (2, None, None),
                            (2, 6, 3), (None, None, 2)]:
        arguments = ", ".join("NULL" if v is None else str(v)
                              for v in (k, pool))
        got = host.run(
            "SELECT p.id, t.rowid, t.distance FROM photos p JOIN binhash_search"
            "('photos', 'code', 'features', p.code, p.features, %s) t WHERE %s"
            " ORDER BY p.id, t.distance, t.rowid" % (
                arguments,
                "1" if radius is None else "t.hamming <= %d" % radius))
        expected = host.run(
            "WITH pairs AS (SELECT p.id AS p, q.id AS q,"
            "   hamming(p.code, q.code) AS h,"
            "   feature_distance(p.features, q.features) AS d"
            "  FROM photos p JOIN photos q ON q.code IS NOT NULL"
            "  WHERE p.code IS NOT NULL AND p.features IS NOT NULL),"
            " pools AS (SELECT *, row_number() OVER (PARTITION BY p"
            "   ORDER BY h, q) AS i FROM pairs WHERE h <= %d),"
            " ranked AS (SELECT *, row_number() OVER (PARTITION BY p"
            "   ORDER BY d, q) AS j FROM pools WHERE i <= %d AND d IS NOT NULL)"
            " SELECT p, q, d FROM ranked WHERE j <= %d ORDER BY p, d, q" % (
                99 if radius is None else radius, pool or 1000, k or 10**6))
        wrong += got != expected or not got
    return wrong


def plans(host, r, report):
    host.run("CREATE TABLE big(id INTEGER PRIMARY KEY, code BLOB, features"
             " BLOB, album INT)")
    host.run("BEGIN")
    for i in range(40000):
        host.run("INSERT INTO big VALUES(:i, :c, :f, :a)",
                 {"i": i, "c": r.getrandbits(16).to_bytes(2, "big"),
                  "f": random_features(r), "a": r.randrange(8)})
    host.run("COMMIT")
    join = ("SELECT p.id, t.distance FROM binhash_search('big', 'code',"
            " 'features', x'1234', x'%s') t JOIN big p ON p.id = t.rowid WHERE"
            " seen_row(t.distance) AND p.album = 3 ORDER BY t.distance LIMIT 10"
            % random_features(r).hex())
    for name, change in [("no index", "SELECT 1"),
                         ("an index", "CREATE INDEX big_album ON big(album)"),
                         ("an index and ANALYZE", "ANALYZE")]:
        host.run(change)
        seen = []
        host.function("seen_row", 1, lambda d: seen.append(d) or 1)
        plan = [row[3] for row in host.run("EXPLAIN QUERY PLAN " + join)]
        rows = host.run(join)
        report(plan[0].startswith("SCAN t") and
               not any("TEMP B-TREE" in line for line in plan),
               "the search is outermost and not sorted, " + name, plan)
        report(len(rows) == 10 and len(seen) < 400,
               "a join with a filter takes few rows, " + name,
               "%d rows of %d" % (len(rows), len(seen)))


def interruption(host, report):
    sql = ("SELECT count(*) FROM binhash_search('big', 'code', 'features',"
           " x'0000', x'%s', NULL, 40000)" % bytes(4 * FEATURES).hex())
    # How often it is asked in all; stop at the first, and in the last third,
    # where features are looked up.
    steps = []
    host.progress(lambda: bool(steps.append(1)), 1000)
    rows = host.run(sql)
    total = len(steps)
    report(rows[0][0] == 40000 and total > 100, "the search is whole", rows)
    for at in (1, total * 2 // 3, total - 5):
        steps.clear()
        host.progress(lambda: steps.append(1) or len(steps) >= at, 1000)
        message = ""
        try:
            host.run(sql)
        except Exception as error:
            message = str(error).lower()
        host.progress(None, 0)
        report("interrupt" in message and len(steps) == at,
               "the progress handler stops it at %d of %d" % (at, total),
               (message, len(steps)))


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    module = sys.argv[2] if len(sys.argv) > 2 else "sqlite3"
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 3000
    seed = int(sys.argv[4]) if len(sys.argv) > 4 else 1
    host = open_host(module, sys.argv[1])
    print("# %s, SQLite %s, seed %d" % (module, host.version, seed))
    r = random.Random(seed)
    results = []

    def report(good, name, detail=""):
        results.append(good)
        print("%sok %d - %s" % ("" if good else "not ", len(results), name))
        if not good:
            print("#   %r" % (detail,))

    sources = make_sources(host, r)
    wrong, full = random_statements(host, r, sources, count)
    report(wrong == 0, "binhash_search in %d random statements" % count,
           "%d differ" % wrong)
    report(full > count / 3, "enough of them have rows", full)
    report(correlated(host) == 0, "searches that depend on a join")
    plans(host, r, report)
    interruption(host, report)
    print("1..%d" % len(results))
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()

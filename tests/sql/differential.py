#!/usr/bin/env python3
"""binhash_topk against a plain table, in random statements.

    differential.py EXTENSION [sqlite3|apsw] [STATEMENTS] [SEED]

For each kind of source (rowid table, WITHOUT ROWID, view, virtual table, odd
names, another schema, an index that covers the code) the rows that a search
must give are computed here, in Python, and kept in an ordinary table.  Then
random statements run twice, once over binhash_topk and once over that table,
and must give the same rows: in the same order where ORDER BY determines it,
else as a multiset, and where LIMIT cuts an order that leaves ties, the same
number.  What is random: columns, filters, order, LIMIT and OFFSET, DISTINCT,
GROUP BY, windows, compounds, CTEs, subqueries, joins on either side, k, and
whether arguments stand in the function or in WHERE.

After that: the plans that joins with a filter get, how many rows they take, and
that a scan can be interrupted.  The output is TAP; a host that cannot load
extensions is skipped.
"""
import random
import sys
from collections import Counter

BYTES = 3


class Host:
    """The two modules behind one face."""

    def __init__(self, module, extension):
        self.apsw = module.__name__ == "apsw"
        self.module = module
        if self.apsw:
            self.db = module.Connection(":memory:")
            self.db.enableloadextension(True)
            self.db.loadextension(extension)
            self.version = module.sqlitelibversion()
        else:
            self.db = module.connect(":memory:", isolation_level=None)
            self.db.enable_load_extension(True)
            self.db.load_extension(extension)
            self.version = module.sqlite_version

    def run(self, sql, parameters=None):
        return list(self.db.cursor().execute(sql, parameters or {}))

    def function(self, name, n, f):
        if self.apsw:
            self.db.createscalarfunction(name, f, n)
        else:
            self.db.create_function(name, n, f)

    def progress(self, f, steps):
        if self.apsw:
            self.db.setprogresshandler(f, steps)
        else:
            self.db.set_progress_handler(f, steps)


def skip(why):
    print("ok 1 - differential # SKIP", why)
    print("1..1")
    sys.exit(0)


def open_host(name, extension):
    try:
        module = __import__(name)
    except ImportError:
        skip("there is no module " + name)
    try:
        return Host(module, extension)
    except AttributeError:
        skip(name + " was built without loadable extensions")


def distance(a, b):
    return bin(int.from_bytes(a, "big") ^ int.from_bytes(b, "big")).count("1")


# Sources ---------------------------------------------------------------------

class Source:
    """A table that is searched: how binhash_topk is told, and its rows."""

    def __init__(self, table, column="code", schema=None, key=None, rows=None):
        self.table, self.column = table, column
        self.schema, self.key = schema, key
        self.rows = rows    # SQL for (rowid, code, key); rowid NULL: ordinals


def random_code(r):
    code = r.choice([b"\x00\x00\x00", b"\xff\x00\xff", b"\x12\x34\x56"])
    code = bytearray(code)
    for _ in range(r.choice([0, 0, 1, 2, 5])):
        bit = r.randrange(8 * BYTES)
        code[bit // 8] ^= 1 << bit % 8
    return bytes(code)


def make_sources(host, r):
    run = host.run
    run("ATTACH ':memory:' AS \"aux 1\"")
    run("CREATE TABLE photos(id INTEGER PRIMARY KEY, code BLOB, album INT,"
        " name TEXT)")
    run("CREATE TABLE \"aux 1\".photos(code BLOB, album INT)")
    run("CREATE TABLE covered(pad TEXT, code BLOB, album INT)")
    run("CREATE INDEX covering ON covered(code)")
    run("CREATE TABLE keyed(name TEXT PRIMARY KEY, code BLOB, album INT)"
        " WITHOUT ROWID")
    run("CREATE TABLE \"od\"\"d 'name\"(\"c\"\"o 'l\" BLOB, \"rowid\" TEXT)")
    run("CREATE VIRTUAL TABLE virtual USING fts5(code)")
    for i in range(240):
        code = None if r.random() < 0.1 else random_code(r)
        album = r.randrange(4)
        run("INSERT INTO photos VALUES(:i, :c, :a, :n)",
            {"i": 3 * i - 40 if i % 5 else -1000 - i, "c": code, "a": album,
             "n": "photo %d" % (i % 50)})
        run("INSERT INTO keyed VALUES(:n, :c, :a)",
            {"n": "k%d" % (i * 7919 % 1000), "c": code, "a": album})
        run("INSERT INTO covered VALUES('x', :c, :a)",
            {"c": random_code(r), "a": album})
        if i < 60:
            run("INSERT INTO \"aux 1\".photos VALUES(:c, :a)",
                {"c": code, "a": album})
            run("INSERT INTO \"od\"\"d 'name\" VALUES(:c, 'r')", {"c": code})
            run("INSERT INTO virtual(code) VALUES(:c)", {"c": code})
    run("DELETE FROM photos WHERE id % 7 = 0")
    run("DELETE FROM covered WHERE rowid % 11 = 0")
    run("CREATE VIEW seen AS SELECT name AS rowid, code AS c, album FROM photos"
        " WHERE album > 0 ORDER BY name")
    return [
        Source("photos", rows="SELECT id, code, NULL FROM photos"),
        Source("photos", key="name", rows="SELECT id, code, name FROM photos"),
        Source("photos", schema="aux 1", key="album",
               rows="SELECT rowid, code, album FROM \"aux 1\".photos"),
        Source("covered", rows="SELECT rowid, code, NULL FROM covered"),
        Source("keyed", key="name", rows="SELECT NULL, code, name FROM keyed"),
        Source("od\"d 'name", column="c\"o 'l",
               rows="SELECT _rowid_, \"c\"\"o 'l\", NULL"
                    " FROM \"od\"\"d 'name\""),
        Source("seen", column="c", key="rowid",
               rows="SELECT NULL, c, \"rowid\" FROM seen"),
        Source("virtual", rows="SELECT rowid, code, NULL FROM virtual"),
    ]


def expected_rows(host, source, query):
    rows = []
    for i, (rowid, code, key) in enumerate(host.run(source.rows)):
        if code is not None:
            rows.append((i + 1 if rowid is None else rowid, bytes(code),
                         distance(bytes(code), query), key))
    return sorted(rows, key=lambda row: (row[2], row[0]))


class Relation:
    """One search and the table of its rows, each as SQL for FROM and WHERE."""

    count = 0

    def __init__(self, host, r, source):
        Relation.count += 1
        self.table = "expected%d" % Relation.count
        self.query = random_code(r)
        host.run("CREATE TEMP TABLE %s(rowid INTEGER, code BLOB,"
                 " distance INTEGER, key)" % self.table)
        for row in expected_rows(host, source, self.query):
            host.run("INSERT INTO %s VALUES(:a, :b, :c, :d)" % self.table,
                     dict(zip("abcd", row)))
        self.source = source

    def sql(self, r, alias):
        """(searching FROM, its WHERE, plain FROM) with the same k."""
        s = self.source
        quote = lambda v: "NULL" if v is None else "'%s'" % v.replace("'", "''")
        query = "x'%s'" % self.query.hex()
        k = r.choice([None] * 6 + [0, 1, 3, 20, 10000])
        plain = self.table
        if k is not None:
            plain = ("(SELECT * FROM %s ORDER BY distance, rowid LIMIT %d)"
                     % (plain, k))
        names = [quote(s.table), quote(s.column)]
        rest = ["NULL" if k is None else str(k), quote(s.schema), quote(s.key)]
        form = r.randrange(3)
        if form == 0:
            call, where = ", ".join(names + [query] + rest), "1"
        elif form == 1:
            call = ", ".join(names)
            where = alias + r.choice([".query = ", ".query MATCH ",
                                      ".code MATCH "]) + query
            for column, value in zip(["k", "schema", "key_column"], rest):
                if value != "NULL":
                    where += " AND %s.%s = %s" % (alias, column, value)
        else:
            call, where = "", "1"
            for column, value in zip(["table_name", "column_name", "query",
                                      "k", "schema", "key_column"],
                                     names + [query] + rest):
                if value != "NULL":
                    where += " AND %s.%s = %s" % (alias, column, value)
        return ("binhash_topk%s AS %s" % ("(%s)" % call if call else "", alias),
                where, "%s AS %s" % (plain, alias))


# Statements ------------------------------------------------------------------

def number(r):
    return r.choice(["0", "1", "3", "7", "12", "24", "25", "-1", "3.5", "'4'",
                     "NULL", "1e300", "(SELECT 5)"])


def rowid_list(r):
    items = [str(r.randrange(-60, 400)) for _ in range(r.choice([1, 3, 40]))]
    if r.random() < 0.3:
        items.append(r.choice(["NULL", "2.0", "'8'", "'x'", "x'00'", "2.5"]))
    return r.choice([
        "(%s)" % ", ".join(items),
        "(SELECT id FROM photos WHERE album = %d)" % r.randrange(5),
        "(SELECT id FROM photos)",
    ])


def condition(r, t):
    return r.choice([
        lambda: "%s.distance %s %s" % (
            t, r.choice(["<", "<=", "=", ">=", ">", "<>", "IS"]), number(r)),
        lambda: "%s.distance BETWEEN %s AND %s" % (t, number(r), number(r)),
        lambda: "%s.distance IN (1, 3, 3, 8)" % t,
        lambda: "%s.rowid %s %s" % (
            t, r.choice(["=", ">", "<="]),
            r.choice(["5", "20", "-1045", "35", "NULL", "'8'", "8.0"])),
        lambda: "%s.rowid IN %s" % (t, rowid_list(r)),
        lambda: "%s.rowid NOT IN (1, 2, 5)" % t,
        lambda: "%s.rowid %% 3 = 1" % t,
        lambda: "%s.code = x'000000'" % t,
        lambda: "%s.key > 'k5'" % t,
        lambda: "(%s.distance < 3 OR %s.rowid = 44)" % (t, t),
        lambda: "(%s.rowid = 2 OR %s.rowid = 44 OR %s.distance = 2)"
                % (t, t, t),
    ])()


def conditions(r, t):
    n = r.choice([0, 0, 1, 1, 2, 3])
    return "".join(" AND " + condition(r, t) for _ in range(n))


def limit(r):
    return r.choice(["", "", " LIMIT 5", " LIMIT 0", " LIMIT -1",
                     " LIMIT 10 OFFSET 3", " LIMIT -1 OFFSET 7",
                     " LIMIT 1000000 OFFSET 2", " LIMIT 3 OFFSET 1000"])


ORDERS = [
    # Does it leave no ties?
    ("", False),
    (" ORDER BY t.distance", False),
    (" ORDER BY t.distance, t.rowid", True),
    (" ORDER BY t.distance, t.rowid, t.code", True),
    (" ORDER BY t.distance ASC NULLS LAST, t.rowid", True),
    (" ORDER BY t.distance DESC, t.rowid", True),
    (" ORDER BY t.distance, t.rowid DESC", True),
    (" ORDER BY t.rowid", True),
    (" ORDER BY t.rowid DESC", True),
    (" ORDER BY t.code, t.rowid", True),
    (" ORDER BY t.distance % 3, t.rowid", True),
]

ROW = "t.rowid, t.distance"
WIDE = "t.rowid, hex(t.code), t.distance, t.key"


class Statement:
    """SQL with {F0}, {W0}, {F1}... for relations, and how to compare: 'rows',
    'set' (a multiset) or 'count'."""

    def __init__(self, sql, compare):
        self.sql, self.compare = sql, compare


def plain(r):
    order, total = r.choice(ORDERS)
    cut = limit(r)
    return Statement("SELECT %s FROM {F0} WHERE {W0}%s%s%s"
                     % (r.choice([ROW, WIDE]), conditions(r, "t"), order, cut),
                     "rows" if total else "count" if cut else "set")


def aggregate(r):
    where = conditions(r, "t")
    return r.choice([
        Statement("SELECT count(*), min(t.distance), max(t.rowid),"
                  " total(t.distance) FROM {F0} WHERE {W0}" + where, "rows"),
        Statement("SELECT t.distance, count(*), min(t.rowid) FROM {F0} WHERE"
                  " {W0}" + where + " GROUP BY t.distance ORDER BY t.distance"
                  + limit(r), "rows"),
        Statement("SELECT t.distance, count(*) FROM {F0} WHERE {W0}" + where +
                  " GROUP BY t.distance", "set"),
        Statement("SELECT t.distance, t.rowid, count(*) FROM {F0} WHERE {W0}"
                  + where + " GROUP BY t.distance, t.rowid HAVING t.rowid > 3"
                  " ORDER BY t.distance DESC, t.rowid" + limit(r), "rows"),
        Statement("SELECT DISTINCT t.distance FROM {F0} WHERE {W0}" + where +
                  " ORDER BY t.distance" + r.choice(["", " DESC"]) + limit(r),
                  "rows"),
        Statement("SELECT DISTINCT t.code FROM {F0} WHERE {W0}" + where, "set"),
        Statement("SELECT DISTINCT t.distance, t.key FROM {F0} WHERE {W0}" +
                  where + " ORDER BY t.distance, t.key" + limit(r), "rows"),
        Statement("SELECT group_concat(d) FROM (SELECT t.distance AS d FROM"
                  " {F0} WHERE {W0}" + where + " ORDER BY t.distance LIMIT 9)",
                  "rows"),
    ])


def window(r):
    where = conditions(r, "t")
    return r.choice([
        Statement("SELECT t.rowid, row_number() OVER (ORDER BY t.distance,"
                  " t.rowid) FROM {F0} WHERE {W0}" + where +
                  " ORDER BY t.distance, t.rowid" + limit(r), "rows"),
        Statement("SELECT t.rowid, rank() OVER (PARTITION BY t.distance % 3"
                  " ORDER BY t.rowid DESC), lag(t.distance) OVER (ORDER BY"
                  " t.distance, t.rowid) FROM {F0} WHERE {W0}" + where +
                  " ORDER BY t.rowid" + limit(r), "rows"),
        Statement("SELECT t.distance, sum(t.rowid) OVER (ORDER BY t.distance)"
                  " FROM {F0} WHERE {W0}" + where + " ORDER BY t.distance,"
                  " t.rowid" + limit(r), "rows"),
    ])


def compound(r):
    one = "SELECT t.rowid, t.distance FROM {F0} WHERE {W0}" + conditions(r, "t")
    two = "SELECT u.rowid, u.distance FROM {F1} WHERE {W1}" + conditions(r, "u")
    operator = r.choice([" UNION ALL ", " UNION ", " EXCEPT ", " INTERSECT "])
    order = r.choice(["", " ORDER BY 2, 1", " ORDER BY 1, 2",
                      " ORDER BY 2 DESC, 1"])
    cut = limit(r)
    if r.random() < 0.3:
        one = "SELECT * FROM (" + one + " ORDER BY t.distance, t.rowid LIMIT 4)"
    return Statement(one + operator + two + order + cut,
                     "rows" if order else "count" if cut else "set")


def nested(r):
    where = conditions(r, "t")
    inner = ("SELECT t.rowid AS r, t.distance AS d FROM {F0} WHERE {W0}" + where
             + " ORDER BY t.distance, t.rowid" + limit(r))
    return r.choice([
        Statement("SELECT * FROM (%s) WHERE d > 2 ORDER BY d DESC, r" % inner,
                  "rows"),
        Statement("WITH c AS (%s) SELECT a.r, b.d FROM c a JOIN c b ON"
                  " a.r = b.r ORDER BY a.d, a.r" % inner, "rows"),
        Statement("WITH c AS MATERIALIZED (%s) SELECT count(*), max(d) FROM c"
                  % inner, "rows"),
        Statement("SELECT id FROM photos WHERE id IN (SELECT r FROM (%s))"
                  " ORDER BY id" % inner, "rows"),
        Statement("SELECT p.id, (SELECT t.distance FROM {F0} WHERE {W0} AND"
                  " t.rowid = p.id) FROM photos p WHERE p.album = 1 ORDER BY"
                  " p.id", "rows"),
        Statement("SELECT p.id FROM photos p WHERE EXISTS (SELECT 1 FROM {F0}"
                  " WHERE {W0} AND t.rowid = p.id AND t.distance < 4)"
                  " ORDER BY 1", "rows"),
        Statement("SELECT p.id FROM photos p WHERE p.id NOT IN (SELECT t.rowid"
                  " FROM {F0} WHERE {W0}%s) ORDER BY 1" % where, "rows"),
    ])


def joined(r):
    where = conditions(r, "t")
    album = r.choice(["", " AND p.album = 3", " AND p.album < 2",
                      " AND p.id = 44", " AND p.name LIKE '%7'"])
    order = r.choice([" ORDER BY t.distance, t.rowid",
                      " ORDER BY t.distance, t.rowid, p.name",
                      " ORDER BY t.distance DESC, t.rowid"])
    return r.choice([
        Statement("SELECT p.id, t.distance FROM {F0} JOIN photos p ON"
                  " p.id = t.rowid WHERE {W0}" + where + album + order
                  + limit(r), "rows"),
        Statement("SELECT p.id, t.distance FROM photos p, {F0} WHERE {W0} AND"
                  " t.rowid = p.id" + where + album + order + limit(r),
                  "rows"),
        Statement("SELECT p.id, t.distance FROM photos p CROSS JOIN {F0} WHERE"
                  " {W0} AND t.rowid = p.id" + album, "set"),
        Statement("SELECT p.id, t.distance, t.rowid FROM photos p JOIN {F0} ON"
                  " t.distance <= p.album WHERE {W0}" + album +
                  " ORDER BY p.id, t.rowid" + limit(r), "rows"),
        Statement("SELECT t.rowid, p.name FROM {F0} LEFT JOIN photos p ON"
                  " p.id = t.rowid AND p.album = 2 WHERE {W0}" + where +
                  " ORDER BY t.distance, t.rowid" + limit(r), "rows"),
        Statement("SELECT p.id, x.d FROM photos p LEFT JOIN (SELECT t.rowid AS"
                  " r, t.distance AS d FROM {F0} WHERE {W0}" + where + ") x ON"
                  " x.r = p.id ORDER BY p.id" + limit(r), "rows"),
        Statement("SELECT t.rowid, t.distance, u.distance FROM {F0} JOIN {F1}"
                  " ON u.rowid = t.rowid WHERE {W0} AND {W1}" + where +
                  " ORDER BY t.distance, u.distance, t.rowid" + limit(r),
                  "rows"),
        Statement("SELECT count(*), sum(t.rowid + u.rowid) FROM {F0}, {F1}"
                  " WHERE {W0} AND {W1} AND t.distance = u.distance" + where,
                  "rows"),
    ])


def fill(sql, relations, searching):
    for i, (call, where, table) in enumerate(relations):
        sql = sql.replace("{F%d}" % i, call if searching else table)
        sql = sql.replace("{W%d}" % i, where if searching else "1")
    return sql


def same(compare, got, expected):
    if compare == "rows":
        return got == expected
    if compare == "count":
        return len(got) == len(expected)
    return Counter(got) == Counter(expected)


def random_statements(host, r, sources, count):
    """How many statements differ, of which the first are shown, and how many
    had rows to compare."""
    relations = [Relation(host, r, s) for s in sources for _ in range(3)]
    makers = [plain, plain, plain, aggregate, window, compound, nested, joined]
    wrong = full = 0
    for _ in range(count):
        statement = r.choice(makers)(r)
        chosen = [r.choice(relations).sql(r, "t"),
                  r.choice(relations).sql(r, "u")]
        expected = host.run(fill(statement.sql, chosen, False))
        full += len(expected) > 0
        sql = fill(statement.sql, chosen, True)
        try:
            got = host.run(sql)
        except Exception as error:
            got = [repr(error)]
        if not same(statement.compare, got, expected):
            wrong += 1
            if wrong <= 5:
                print("# " + sql)
                print("#   " + fill(statement.sql, chosen, False))
                print("#   got      %d: %r" % (len(got), got[:8]))
                print("#   expected %d: %r" % (len(expected), expected[:8]))
    return wrong, full


def correlated(host, r):
    """A search for every row of a join, against all pairs."""
    host.run("CREATE TEMP TABLE pairs(id INTEGER, rowid INTEGER,"
             " distance INTEGER, place INTEGER)")
    rows = [(i, bytes(c)) for i, c in host.run(
        "SELECT id, code FROM photos WHERE code IS NOT NULL")]
    for i, code in rows:
        nearest = sorted((distance(code, c), j) for j, c in rows)
        for place, (d, j) in enumerate(nearest):
            host.run("INSERT INTO pairs VALUES(:a, :b, :c, :d)",
                     {"a": i, "b": j, "c": d, "d": place + 1})
    wrong = 0
    for k, where, cut in [(5, "1", ""), (3, "t.distance <= 1", ""),
                          (None, "t.distance = 1", ""),
                          (None, "t.rowid <> p.id AND p.album = 1", ""),
                          (1000, "t.rowid IN (2, 5, 44, 95)", ""),
                          (7, "1", " LIMIT 50 OFFSET 9")]:
        end = " ORDER BY p.id, t.distance, t.rowid" + cut
        got = host.run(
            "SELECT p.id, t.rowid, t.distance FROM photos p JOIN"
            " binhash_topk('photos', 'code', p.code%s) t WHERE %s%s"
            % ("" if k is None else ", %d" % k, where, end))
        expected = host.run(
            "SELECT p.id, t.rowid, t.distance FROM photos p JOIN pairs t ON"
            " t.id = p.id WHERE t.place <= %d AND %s%s"
            % (10**6 if k is None else k, where, end))
        wrong += got != expected
    return wrong


# Plans and interruption ------------------------------------------------------

JOIN = ("SELECT p.id, t.distance FROM binhash_topk('big', 'code', x'123456') t"
        " JOIN big p ON p.id = t.rowid WHERE seen_row(t.distance) AND"
        " p.album = 3 ORDER BY t.distance LIMIT 10")


def check_plan(host, name, report):
    seen = []
    host.function("seen_row", 1, lambda d: seen.append(d) or 1)
    plan = [row[3] for row in host.run("EXPLAIN QUERY PLAN " + JOIN)]
    rows = host.run(JOIN)
    report(plan[0].startswith("SCAN t") and
           not any("TEMP B-TREE" in line for line in plan),
           "the search is outermost and not sorted, " + name, plan)
    report(len(rows) == 10 and len(seen) < 500,
           "a join with a filter takes few rows, " + name,
           "%d rows of %d" % (len(rows), len(seen)))


def plans(host, r, report):
    host.run("CREATE TABLE big(id INTEGER PRIMARY KEY, code BLOB, album INT)")
    host.run("BEGIN")
    for i in range(100000):
        host.run("INSERT INTO big VALUES(:i, :c, :a)",
                 {"i": i, "c": r.getrandbits(24).to_bytes(3, "big"),
                  "a": r.randrange(8)})
    host.run("COMMIT")
    check_plan(host, "no index", report)
    host.run("CREATE INDEX big_album ON big(album)")
    check_plan(host, "an index", report)
    host.run("ANALYZE")
    check_plan(host, "an index and ANALYZE", report)
    host.run("DROP INDEX big_album")
    check_plan(host, "ANALYZE", report)


def interruption(host, report):
    steps = []
    host.progress(lambda: steps.append(1) or len(steps) > 5, 1000)
    message = ""
    try:
        host.run("SELECT * FROM binhash_topk('big', 'code', x'000000') LIMIT 1")
    except Exception as error:
        message = str(error).lower()
    host.progress(None, 0)
    report("interrupt" in message and len(steps) == 6,
           "the progress handler stops a scan", (message, len(steps)))
    rows = host.run("SELECT count(*) FROM binhash_topk('big', 'code',"
                    " x'000000')")
    report(rows == [(100000,)], "and the next one is whole", rows)


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
    report(wrong == 0, "%d random statements" % count, "%d differ" % wrong)
    report(full > count / 3, "enough of them have rows", full)
    report(correlated(host, r) == 0, "searches that depend on a join")
    plans(host, r, report)
    interruption(host, report)
    print("1..%d" % len(results))
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()

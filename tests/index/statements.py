#!/usr/bin/env python3
"""Random SQL over an index and over an ordinary table, which must agree.

    statements.py EXTENSION [sqlite3|apsw] [STATEMENTS] [SEED]

Two databases go through the same statements.  In one t is an index, in the
other an ordinary table whose CHECK refuses what the index refuses; all else is
the same in both: a table n of numbers and codes, and a trigger on it that
writes to t.  Statements are drawn from a grammar: SELECTs of any depth, with
searches (a query that is a literal, a subquery or a column of the row beside
it), scans, joins, compounds, CTEs, aggregates, windows, EXISTS; INSERT, UPDATE
and DELETE with every conflict clause, from VALUES and from SELECTs of the table
itself; transactions and savepoints.  In the plain database a search stands as

    (SELECT rowid, code, CAST(hamming(code, Q) AS INTEGER) AS distance FROM t
     WHERE Q IS NOT NULL)

where the CAST gives distance the affinity that a column has.  Rows must
be the same, in order where the statement or the index promises one,
else as a multiset; so must be whether a statement fails, changes(),
last_insert_rowid(), whether a transaction is open, and now and then all rows and
the index's integrity.  LIMIT stands only behind an order that says which rows
it leaves.  The output is TAP; a disagreement is told with both statements, and
the seed repeats it.
"""
import os
import random
import sys
import time
from collections import Counter

COMPARE = ["=", "<", "<=", ">", ">=", "<>", "IS", "IS NOT"]
CLAUSES = ["", "", "OR ABORT ", "OR FAIL ", "OR IGNORE ", "OR REPLACE ",
           "OR ROLLBACK "]
SESSION = 120                  # statements to one pair of databases
STEPS = 100000                 # of SQLite's machine; twenty times as many do
TRAIL = 20                     # statements before a disagreement that are told
SHOWN = 600                    # characters of rows that are told


class Both:
    """A piece of SQL in the words of the index and of the plain table."""

    def __init__(self, index, plain=None):
        self.index = index
        self.plain = index if plain is None else plain


def both(text, *parts):
    """text with its {} filled in by pieces, which may be str or Both."""
    pick = lambda side: text.format(*(
        getattr(p, side) if isinstance(p, Both) else p for p in parts))
    return Both(pick("index"), pick("plain"))


def join(separator, parts):
    return both(separator.join(["{}"] * len(parts)), *parts)


def codes(columns):
    return [c for c in columns if isinstance(c, str) and c.endswith(".code")]


class Grammar:
    def __init__(self, r, bits):
        self.r, self.bits = r, bits
        self.bytes = (bits + 7) // 8
        self.aliases = 0
        self.centres = [r.getrandbits(bits) for _ in range(3)]

    # Values

    def code(self):
        code = self.r.choice(self.centres)
        for _ in range(self.r.choice([0, 0, 1, 2, 5])):
            code ^= 1 << self.r.randrange(self.bits)
        return "x'%s'" % (code << -self.bits % 8).to_bytes(self.bytes,
                                                           "big").hex()

    def some_code(self):
        """Now and then one that no index takes."""
        roll = self.r.randrange(40)
        if roll == 0:
            return self.r.choice(["NULL", "'text'", "7", "zeroblob(200)", "x''"])
        if roll == 1 and self.bits % 8:
            return "x'%s01'" % ("00" * (self.bytes - 1))
        return self.code()

    def rowid(self):
        return str(self.r.choice([self.r.randrange(-20, 400),
                                  self.r.randrange(-20, 400),
                                  self.r.randrange(-10**12, 10**12),
                                  10**15, -9223372036854775808]))

    def number(self):
        return str(self.r.choice([0, 1, 2, 3, 7, -1, self.bits // 2, 50, 300]))

    def alias(self):
        self.aliases += 1
        return "a%d" % self.aliases

    # Relations: (FROM item, condition, columns that can be used)

    def query(self, outer):
        roll = self.r.randrange(8)
        if roll == 0:
            return "(SELECT code FROM n WHERE id = %s)" % self.r.randrange(1, 14)
        if roll <= 2 and codes(outer):
            return self.r.choice(codes(outer))
        return "NULL" if roll == 3 and not self.r.randrange(5) else self.code()

    def search(self, outer):
        a, q = self.alias(), self.query(outer)
        item = Both("t AS " + a,
                    "(SELECT rowid, code, CAST(hamming(code, %s) AS INTEGER) AS "
                    "distance FROM t WHERE %s IS NOT NULL) AS %s" % (q, q, a))
        form = self.r.choice(["{0}.query = {1}", "{1} = {0}.query",
                              "{0}.query MATCH {1}", "{0}.t MATCH {1}"])
        where = Both(form.format(a, q), "1")
        if "." in q:           # a derived table cannot see the row beside it
            item.plain = "(SELECT rowid, code FROM t) AS " + a
            where.plain = q + " IS NOT NULL"
        distance = Both(a + ".distance",
                        "CAST(hamming(%s.code, %s) AS INTEGER)" % (a, q)
                        if "." in q else a + ".distance")
        if self.r.randrange(3) == 0:
            bound = self.r.choice(["<= {}", "< {}", "= {}", "BETWEEN 1 AND {}",
                                   "> {}", "IN (0, 2, {})", "<= NULL + {}"])
            where = both("{} AND {} " + bound, where, distance,
                         self.r.randrange(self.bits + 2))
        if self.r.randrange(6) == 0:
            where = both("{} AND {}.rowid IN (SELECT id * 3 FROM n)", where, a)
        return item, where, [a + ".rowid", a + ".code", distance]

    def scan(self, outer):
        a = self.alias()
        where = self.r.choice(["1", "1", "{0}.rowid > {1}", "{0}.rowid = {1}",
                               "{0}.rowid IN ({1}, {2}, 5, NULL)",
                               "{0}.rowid BETWEEN {1} AND {2}"])
        return (Both("t AS " + a), Both(where.format(a, self.rowid(),
                                                     self.rowid())),
                [a + ".rowid", a + ".code"])

    def numbers(self, outer):
        a = self.alias()
        return Both("n AS " + a), Both("1"), [a + ".id", a + ".x", a + ".code"]

    def nested(self, outer, depth):
        a = self.alias()
        inner, columns = self.plain_select(depth - 1)
        return (both("({}) AS " + a, inner), Both("1"),
                ["%s.c%d" % (a, i) for i in range(columns)])

    def relation(self, outer, depth):
        roll = self.r.randrange(10)
        if roll < 5:
            return self.search(outer)
        if roll < 7:
            return self.scan(outer)
        if roll < 9 or depth == 0:
            return self.numbers(outer)
        return self.nested(outer, depth)

    # Expressions

    def expression(self, columns, depth):
        r = self.r
        plain = [c for c in columns if c not in codes(columns)]
        if depth == 0 or r.randrange(4) == 0:
            return r.choice(plain) if plain and r.randrange(4) else self.number()
        sub = lambda: self.expression(columns, depth - 1)
        roll = r.randrange(9)
        if roll == 0:
            return both("({} %s {})" % r.choice(["+", "-", "%", "|", "&"]),
                        sub(), sub())
        if roll == 1 and codes(columns):
            return "hamming(%s, %s)" % (r.choice(codes(columns)), self.code())
        if roll == 2 and codes(columns):
            return "hex(%s)" % r.choice(codes(columns))
        if roll == 3:
            return both("coalesce({}, {})", sub(), sub())
        if roll == 4:
            return both("CASE WHEN {} THEN {} ELSE {} END",
                        self.condition(columns, depth - 1), sub(), sub())
        if roll == 5:
            inner, where, inside = self.search(columns)
            return both("(SELECT count(*) FROM {} WHERE {} AND {})", inner,
                        where, self.condition(inside, depth - 1))
        if roll == 6:
            inner, where, inside = self.search([])
            return both("(SELECT {} FROM {} WHERE {} ORDER BY {}, {} LIMIT 1)",
                        inside[0], inner, where, inside[2], inside[0])
        return both("typeof({})", sub()) if roll == 7 else sub()

    def condition(self, columns, depth):
        r = self.r
        sub = lambda: self.expression(columns, max(depth - 1, 0))
        if depth <= 0 or r.randrange(3) == 0:
            return both("{} %s {}" % r.choice(COMPARE), sub(), sub())
        deeper = lambda: self.condition(columns, depth - 1)
        roll = r.randrange(6)
        if roll == 0:
            return both("({} OR {})", deeper(), deeper())
        if roll == 1:
            return both("({} AND {})", deeper(), deeper())
        if roll == 2:
            return both("NOT ({})", deeper())
        if roll == 3:
            return both("{} BETWEEN {} AND {}", sub(), sub(), sub())
        if roll == 4:
            inner, where, inside = self.search(columns)
            return both("EXISTS (SELECT 1 FROM {} WHERE {} AND {})", inner,
                        where, self.condition(inside, depth - 1))
        return both("{} IN ({}, {}, NULL)", sub(), sub(), sub())

    # SELECT

    def sources(self, depth):
        """FROM, WHERE and the columns of one to three relations."""
        items, wheres, columns = [], [], []
        for i in range(self.r.choice([1, 1, 1, 2, 2, 3])):
            item, where, more = self.relation(columns, depth)
            items.append(item)
            wheres.append(where)
            columns += more
        text = items[0]
        for item in items[1:]:
            text = both("{} %s {}" % self.r.choice([",", "JOIN", "CROSS JOIN"]),
                        text, item)
        # To the right of a LEFT JOIN stands what needs no query.
        if self.r.randrange(6) == 0:
            item, where, more = self.r.choice([self.scan, self.numbers])([])
            text = both("{} LEFT JOIN {} ON {} AND {} = {}", text, item, where,
                        more[0], self.r.choice(columns))
            columns = columns + more
        return text, join(" AND ", wheres), columns

    def plain_select(self, depth):
        """A SELECT whose columns are called c0, c1, ..., and how many."""
        text, where, columns = self.sources(max(depth, 0))
        if self.r.randrange(2):
            where = both("{} AND {}", where, self.condition(columns, depth))
        n = self.r.randrange(1, 4)
        what = [self.expression(columns, depth) for _ in range(n)]
        if self.r.randrange(5) == 0:
            what[-1] = both("row_number() OVER (ORDER BY {})",
                            join(", ", columns))
        head = "SELECT DISTINCT " if self.r.randrange(6) == 0 else "SELECT "
        named = join(", ", [both("{} AS c%d" % i, w)
                            for i, w in enumerate(what)])
        return both(head + "{} FROM {} WHERE {}", named, text, where), n

    def aggregate(self, depth):
        text, where, columns = self.sources(depth)
        group = self.expression(columns, 1)
        some = lambda: self.expression(columns, 1)
        # Whether a sum of large numbers overflows is a matter of their order.
        return both("SELECT {} AS c0, %s AS c1, count(*) AS c2 FROM {} WHERE {} "
                    "GROUP BY {} HAVING count(*) > %s" %
                    (self.r.choice(["min({})", "max({})", "count(DISTINCT {})",
                                    "sum({} % 1000)"]),
                     self.r.choice("0012")),
                    group, some(), text, where, group), 3

    def select(self):
        """(statement, whether its order counts)."""
        r, depth = self.r, self.r.randrange(3)
        if r.randrange(4) == 0:
            return self.stream()
        body, n = (self.aggregate if r.randrange(4) == 0
                   else self.plain_select)(depth)
        if r.randrange(5) == 0:
            inner, n = self.plain_select(depth)
            other, m = self.plain_select(depth)
            fit = lambda s, k: both("SELECT c0, %s FROM ({})" %
                                    ("c1" if k > 1 else "0"), s)
            body = both("{} %s {}" % r.choice(["UNION", "UNION ALL", "EXCEPT",
                                               "INTERSECT"]),
                        fit(inner, n), fit(other, m))
            body, n = both("SELECT c0, 1 AS c1 FROM ({})", body), 2
        if r.randrange(8) == 0:
            body = both("WITH w AS ({}) SELECT * FROM w UNION ALL SELECT * FROM "
                        "w", body)
        if r.randrange(3) == 0:
            order = list(range(1, n + 1))
            r.shuffle(order)
            text = "{} ORDER BY " + ", ".join(
                str(o) + r.choice(["", " DESC"]) for o in order)
            if r.randrange(2):
                text += self.limit()
            return both(text, body), True
        return body, False

    def limit(self):
        r = self.r
        text = " LIMIT %d" % r.choice([0, 1, 3, 10, 70, 500, -1])
        return text + (" OFFSET %d" % r.choice([0, 1, 9, 100])
                       if r.randrange(3) == 0 else "")

    def stream(self):
        """One search, whose rows come by (distance, rowid) unasked."""
        item, where, columns = self.search([])
        body = both("SELECT {}, {}, hex({}) FROM {} WHERE {}", columns[0],
                    columns[2], columns[1], item, where)
        if self.r.randrange(3) == 0:
            body = both("{} AND {}", body, self.condition(columns, 1))
        order = both(" ORDER BY {}, {}", columns[2], columns[0])
        if self.r.randrange(2):
            order.index = ""
        return both("{}{}" + (self.limit() if self.r.randrange(3) else ""),
                    body, order), True

    # Writing

    def insert(self):
        r, clause = self.r, self.r.choice(CLAUSES)
        roll = r.randrange(5)
        if roll == 0:
            item, where, columns = r.choice([self.search, self.scan])([])
            order = join(", ", columns[2:] + columns[:1])
            return both("INSERT %sINTO t(rowid, code) SELECT abs({} %% 1000) + "
                        "%s, {} FROM {} WHERE {} ORDER BY {} LIMIT 60" %
                        (clause, r.choice(["0", "1", "500"])),
                        columns[0], columns[1], item, where, order)
        if roll == 1:
            return Both("INSERT %sINTO t(code) VALUES (%s)" %
                        (clause, self.some_code()))
        if roll == 2:
            # A search may ask for these, so they are codes.
            return Both("INSERT %sINTO n(x, code) VALUES (%s, %s)" %
                        (clause, self.rowid(),
                         self.r.choice([self.code(), self.code(), "NULL"])))
        rows = ", ".join("(%s, %s)" % (self.rowid(), self.some_code())
                         for _ in range(r.choice([1, 1, 2, 20])))
        # Of a virtual table SQLite returns the rows that it ignores as well.
        tail = ("" if r.randrange(6) or clause == "OR IGNORE "
                else " RETURNING rowid, hex(code)")
        return Both("INSERT %sINTO t(rowid, code) VALUES %s%s" %
                    (clause, rows, tail))

    def where(self):
        """A condition on t's rows."""
        roll = self.r.randrange(4)
        if roll == 0:
            q, limit = self.code(), self.r.randrange(self.bits // 2 + 1)
            return Both("query = %s AND distance <= %d" % (q, limit),
                        "hamming(code, %s) <= %d" % (q, limit))
        if roll == 1:
            return Both("rowid IN (%s)" % ", ".join(
                self.rowid() for _ in range(5)))
        if roll == 2:
            return Both("rowid BETWEEN %s AND %s" % (self.rowid(), self.rowid()))
        return Both("rowid %% %d = 0" % self.r.choice([2, 3, 17]))

    def update(self):
        r, clause = self.r, self.r.choice(CLAUSES)
        if r.randrange(4) == 0:
            # Codes that fit: SQLite does not undo one that fails halfway in a
            # transaction, on any virtual table.
            return Both("UPDATE %st SET code = n.code FROM n WHERE n.id * 3 = "
                        "t.rowid AND n.id <= 12 AND n.code IS NOT NULL" %
                        clause)
        if r.randrange(3) == 0:
            # One row: which of many moves first is not said anywhere.
            return Both("UPDATE %st SET rowid = %s WHERE rowid = %s" %
                        (clause, self.rowid(), self.rowid()))
        return both("UPDATE %st SET code = %s WHERE {}" %
                    (clause, self.some_code()), self.where())

    def delete(self):
        return both("DELETE FROM t WHERE {}", self.where())

    def transaction(self):
        name = self.r.choice(["a", "b"])
        return Both(self.r.choice(
            ["BEGIN", "BEGIN", "COMMIT", "COMMIT", "ROLLBACK",
             "SAVEPOINT " + name, "SAVEPOINT " + name, "RELEASE " + name,
             "ROLLBACK TO " + name]))

    def statement(self):
        """(statement, whether the order of its rows counts)."""
        roll = self.r.randrange(20)
        if roll < 12:
            return self.select()
        write = (self.insert if roll < 15 else self.update if roll == 15 else
                 self.delete if roll == 16 else self.transaction)
        return write(), True


# Running ---------------------------------------------------------------------

class Side:
    """A database; in one t is an index, in the other a table."""

    def __init__(self, module, extension, indexed, bits, settings):
        self.module, self.indexed = module, indexed
        if module.__name__ == "apsw":
            self.db = module.Connection(":memory:")
        else:
            self.db = module.connect(":memory:", isolation_level=None)
        self.db.enable_load_extension(True)
        self.db.load_extension(extension)
        if indexed and "BINHASH_STAND_IN" in os.environ:   # see plain.c
            self.db.load_extension(os.environ["BINHASH_STAND_IN"])
        self.error, self.steps = "", 0
        self.db.set_progress_handler(self.too_long, STEPS)
        spare = "" if bits % 8 == 0 else (
            " AND instr('%s', substr(hex(code), -2) || ' ')" %
            "".join("%02X " % (i << 8 - bits % 8)
                    for i in range(1 << bits % 8)))
        if indexed:
            for name, value in settings.items():
                self.run("SELECT binhash_config('%s', %d)" % (name, value))
            self.run("CREATE VIRTUAL TABLE t USING binhash(bits=%d)" % bits)
        else:
            self.run("CREATE TABLE t(rowid INTEGER PRIMARY KEY, code BLOB NOT "
                     "NULL CHECK(typeof(code) = 'blob' AND length(code) = %d%s))"
                     % ((bits + 7) // 8, spare))
        self.run("CREATE TABLE n(id INTEGER PRIMARY KEY, x INT, code BLOB)")
        self.run("CREATE TRIGGER filled AFTER INSERT ON n WHEN new.x < 300 BEGIN"
                 " INSERT OR IGNORE INTO t(rowid, code) VALUES (new.x, new.code)"
                 "; END")

    def too_long(self):
        self.steps += 1
        return self.steps > 20

    def run(self, sql):
        """Rows, or None where it fails."""
        self.error, self.steps = "", 0
        try:
            return [tuple(row) for row in self.db.cursor().execute(sql)]
        except (self.module.Error, OverflowError) as e:
            self.error = str(e)
            return None

    def state(self):
        return (self.run("SELECT changes(), last_insert_rowid()"),
                self.db.in_transaction)


class Session:
    def __init__(self, module, extension, r):
        self.r, bits = r, r.choice([7, 12, 16, 48, 63])
        self.written = []
        self.grammar = Grammar(r, bits)
        settings = {"cache_bytes": r.choice([0, 3000, 1 << 30])}
        self.sides = [Side(module, extension, indexed, bits, settings)
                      for indexed in (True, False)]
        for i in range(r.choice([0, 10, 200])):
            self.check("INSERT INTO t(rowid, code) VALUES (%d, %s)" %
                       (i * 2, self.grammar.code()))
        for i in range(12):
            self.check("INSERT INTO n(x, code) VALUES (%d, %s)" %
                       (400 + i, "NULL" if i % 5 == 4 else self.grammar.code()))

    def check(self, statement, ordered=False):
        """Whether both sides say the same; the plain side's rows, or None."""
        if isinstance(statement, str):
            statement = Both(statement)
        rows = [self.sides[0].run(statement.index),
                self.sides[1].run(statement.plain)]
        same = [r if r is None or ordered else Counter(r) for r in rows]
        # One that takes too long on either side says nothing; only reading does.
        if same[0] == same[1] or any(
                "interrupt" in side.error.lower() for side in self.sides):
            return True
        print("# %d bits\n# index: %s\n# plain: %s" % (
            self.grammar.bits, statement.index, statement.plain))
        for side, r in zip(self.sides, rows):
            print("# %s" % (side.error or repr(r))[:SHOWN])
        for text in self.written[-TRAIL:]:
            print("# behind", text[:SHOWN])
        return False

    def run(self, statements):
        for i in range(statements):
            statement, ordered = self.grammar.statement()
            if not statement.index.startswith(("SELECT", "WITH")):
                self.written.append(statement.index)
            if not self.check(statement, ordered):
                return False
            states = [side.state() for side in self.sides]
            if states[0] != states[1]:
                print("# behind %s: %s, not %s" % (statement.index, *states))
                return False
            if i % 20 == 19 and not self.check(
                    "SELECT rowid, hex(code) FROM t ORDER BY rowid", True):
                return False
        self.sides[0].run("INSERT INTO t(t) VALUES ('integrity-check')")
        if self.sides[0].error:
            print("#", self.sides[0].error)
        return not self.sides[0].error


def main():
    extension = sys.argv[1] if len(sys.argv) > 1 else "./build/binhash"
    name = sys.argv[2] if len(sys.argv) > 2 else "sqlite3"
    statements = int(sys.argv[3]) if len(sys.argv) > 3 else 3000
    first = int(sys.argv[4]) if len(sys.argv) > 4 else int(time.time() * 1000)
    what = "statements, " + name
    try:
        module = __import__(name)
    except ImportError:
        print("ok 1 - %s # SKIP there is no module %s" % (what, name))
        return 0
    done, seed = 0, first
    while done < statements:
        session = Session(module, extension, random.Random(seed))
        if not session.run(SESSION):
            print("not ok 1 - %s: seed %d" % (what, seed))
            return 1
        done += SESSION
        seed += 1
    print("ok 1 - %s: %d, first seed %d" % (what, done, first))
    return 0


if __name__ == "__main__":
    sys.exit(main())

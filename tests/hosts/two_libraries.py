#!/usr/bin/env python3
"""Two SQLite libraries in one process: two_libraries.py EXTENSION.

Python's sqlite3 uses the system's SQLite, apsw brings its own.  The extension
serves the one that loads it first and refuses the other, in either order.
"""
import subprocess
import sys

EXTENSION = sys.argv[1] if len(sys.argv) > 1 else './build/binhash'
TOPK = "SELECT rowid FROM binhash_topk('t', 'code', x'01') LIMIT 2"
with open('tests/golden/pictures/420.jpg', 'rb') as f:
    picture = f.read()

try:
    import apsw
except ImportError:
    print('ok 1 - two libraries # SKIP apsw is not installed')
    print('1..1')
    sys.exit(0)
import sqlite3


def load_sqlite3():
    db = sqlite3.connect(':memory:')
    db.enable_load_extension(True)
    db.load_extension(EXTENSION)
    return db


def load_apsw():
    db = apsw.Connection(':memory:')
    db.enable_load_extension(True)
    db.load_extension(EXTENSION)
    return db


def works(db):
    """Hash, load a model, search."""
    if db.execute('SELECT 1 FROM pragma_table_list WHERE name = ?',
                  ('t',)).fetchone() is None:
        db.execute('CREATE TABLE t(code)')
        db.execute("INSERT INTO t VALUES (x'00'), (x'ff'), (x'01')")
    code = db.execute('SELECT img_hash(?)', (picture,)).fetchone()[0]
    rows = [row[0] for row in db.execute(TOPK)]
    db.execute("SELECT binhash_load('tiny', "
               "'build/tests/models/tiny.safetensors')").fetchall()
    tiny = db.execute("SELECT img_hash_rgb(x'ff0000', 1, 1, 'tiny')"
                      ).fetchone()[0]
    return len(code) == 8 and rows == [3, 1] and tiny == b'\x8e\x00'


def child(order):
    """Load in this order; a line for each thing, True where it is right."""
    loads = {'sqlite3': load_sqlite3, 'apsw': load_apsw}
    first = loads[order[0]]()
    print('works', works(first))
    if len(order) > 1:
        for _ in range(2):
            try:
                loads[order[1]]()
                print('refused', False)
            except Exception as e:
                words = ('in use by another SQLite library',
                         sqlite3.sqlite_version, apsw.sqlite_lib_version())
                print('refused', all(w in str(e) for w in words))
        print('goes on', works(first))
        second = loads[order[0]]()
        print('loads again', works(second))
    first.close()


if len(sys.argv) > 2:
    child(sys.argv[2:])
    sys.exit(0)

count = 0
failed = 0
for order in (['sqlite3'], ['apsw'], ['sqlite3', 'apsw'], ['apsw', 'sqlite3']):
    lines = ['works True']
    if len(order) > 1:
        lines += ['refused True'] * 2 + ['goes on True', 'loads again True']
    run = subprocess.run([sys.executable, __file__, EXTENSION] + order,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                         universal_newlines=True)
    good = run.returncode == 0 and run.stdout.split('\n')[:-1] == lines
    count += 1
    failed += not good
    if not good:
        print('# ' + run.stdout.replace('\n', '\n# '))
    name = ' alone' if len(order) == 1 else ', then %s is refused' % order[1]
    print('%s %d - two libraries: %s%s' % ('ok' if good else 'not ok', count,
                                           order[0], name))
print('1..%d' % count)
sys.exit(failed != 0)

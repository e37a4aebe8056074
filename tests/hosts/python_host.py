#!/usr/bin/env python3
"""The extension in Python's sqlite3: python_host.py EXTENSION."""
import os
import sqlite3
import sys
import tempfile
import threading
import time

EXTENSION = sys.argv[1] if len(sys.argv) > 1 else './build/binhash'
PICTURES = 'tests/golden/pictures/'
count = 0
failed = 0


def ok(good, name):
    global count, failed
    count += 1
    failed += not good
    print('%s %d - python: %s' % ('ok' if good else 'not ok', count, name),
          flush=True)


def connect(path=':memory:', **options):
    db = sqlite3.connect(path, **options)
    db.enable_load_extension(True)
    db.load_extension(EXTENSION)
    return db


def value(db, sql, *args):
    return db.execute(sql, args).fetchone()[0]


def error(call):
    """The message of the error that a call ends in, '' if there is none."""
    try:
        call()
    except sqlite3.Error as e:
        return str(e)
    return ''


with open(PICTURES + '420.jpg', 'rb') as f:
    picture = f.read()

if not hasattr(sqlite3.Connection, 'enable_load_extension'):
    print('ok 1 - python # SKIP this Python cannot load extensions')
    print('1..1')
    sys.exit(0)


def basics():
    db = connect()
    code = value(db, 'SELECT img_hash(?)', picture)
    ok(isinstance(code, bytes) and len(code) == 8, 'hashes an image')
    ok(value(db, 'SELECT img_hash(?)', memoryview(bytearray(picture))) == code,
       'hashes a buffer')
    text = error(lambda: value(db, 'SELECT img_hash(?)', 'text'))
    empty = error(lambda: value(db, 'SELECT img_hash(?)', b''))
    ok('argument 1' in text and 'empty' in empty,
       'errors are exceptions with their words')
    db.execute('CREATE TABLE photos(id INTEGER PRIMARY KEY, code)')
    db.executemany('INSERT INTO photos VALUES (?, ?)',
                   ((i, i.to_bytes(6, 'big')) for i in range(1000)))
    rows = db.execute("SELECT rowid, distance FROM binhash_topk('photos', "
                      "'code', ?) LIMIT 3", ((7).to_bytes(6, 'big'),))
    ok(rows.fetchall() == [(7, 0), (3, 1), (5, 1)], 'searches')
    db.execute("SELECT binhash_config('max_pixels', 1234)")
    db.load_extension(EXTENSION)
    ok(value(db, "SELECT binhash_config('max_pixels')") == 1234,
       'loading twice changes nothing')
    db.close()
    return code


def connections(code):
    a, b = connect(), connect()
    a.execute("SELECT binhash_load('tiny', "
              "'build/tests/models/tiny.safetensors')").fetchall()
    ok('no model' in error(lambda: value(
        b, "SELECT img_hash_rgb(x'000000', 1, 1, 'tiny')")) and
       value(a, "SELECT img_hash_rgb(x'ff0000', 1, 1, 'tiny')") == b'\x8e\x00',
       'a model belongs to its connection')
    a.close()
    ok(value(b, 'SELECT img_hash(?)', picture) == code,
       'a connection outlives the one that loaded first')
    # Closing a connection while statements are open: Python finalises them.
    cursor = b.execute("SELECT name FROM binhash_models")
    other = connect()
    other.execute('CREATE TABLE t(code)')
    other.execute("INSERT INTO t VALUES (x'00'), (x'01')")
    rows = other.execute("SELECT * FROM binhash_topk('t', 'code', x'00')")
    rows.fetchone()
    other.close()
    ok(error(rows.fetchone) != '', 'closing while a search is open')
    b.close()
    ok(error(cursor.fetchone) != '', 'closing while a list is open')
    ok(value(connect(), 'SELECT img_hash(?)', picture) == code,
       'a connection opened after all were closed')


def threads(code):
    results = []

    def work():
        for _ in range(5):
            db = connect()
            results.append(value(db, 'SELECT img_hash(?)', picture))
            db.close()

    workers = [threading.Thread(target=work) for _ in range(6)]
    for w in workers:
        w.start()
    for w in workers:
        w.join()
    ok(results == [code] * 30, 'threads with a connection each')
    shared = connect(check_same_thread=False)
    results.clear()

    def share():
        results.append(value(shared, 'SELECT img_hash(?)', picture))

    workers = [threading.Thread(target=share) for _ in range(6)]
    for w in workers:
        w.start()
    for w in workers:
        w.join()
    ok(results == [code] * 6, 'threads that share a connection')


SEARCH = ("SELECT count(*) FROM binhash_topk('big', 'code', "
          "x'0102030405060708') WHERE distance < 0 OR distance >= 0")


def interruption():
    db = connect(check_same_thread=False)
    db.execute('CREATE TABLE big(id INTEGER PRIMARY KEY, code)')
    db.execute('WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n '
               'WHERE i < 2000000) INSERT INTO big SELECT i, '
               "CAST(printf('%08d', i) AS BLOB) FROM n")
    start = time.perf_counter()
    db.execute(SEARCH).fetchall()
    whole = time.perf_counter() - start
    calls = []

    def handler():
        calls.append(time.perf_counter())
        return len(calls) > 20

    db.set_progress_handler(handler, 1000)
    why = error(lambda: db.execute(SEARCH).fetchall())
    db.set_progress_handler(None, 0)
    ok('interrupted' in why and len(calls) == 21,
       'a progress handler stops a search')
    took = []

    def search():
        start = time.perf_counter()
        took.append(error(lambda: db.execute(SEARCH).fetchall()))
        took.append(time.perf_counter() - start)

    worker = threading.Thread(target=search)
    worker.start()
    time.sleep(whole / 10)
    db.interrupt()
    worker.join()
    print('# a whole search takes %.3f s, the interrupted one %.3f s' % (
        whole, took[1]))
    ok('interrupted' in took[0] and took[1] < whole,
       'interrupt() stops a search')
    ok(len(db.execute("SELECT rowid FROM binhash_topk('big', 'code', "
                      "x'0102030405060708') LIMIT 5").fetchall()) == 5,
       'a search after one that was stopped')
    db.set_progress_handler(lambda: True, 100)
    why = error(lambda: db.execute(
        "SELECT count(*) FROM binhash_topk('big', 'code', x'0102030405060708')"
    ).fetchall())
    db.set_progress_handler(None, 0)
    ok('interrupted' in why, 'a handler that always stops')
    db.close()


def callbacks(code):
    """Python functions and ours in one statement, and a search in a search."""
    db = connect()
    db.create_function('picture', 0, lambda: picture)
    ok(value(db, 'SELECT img_hash(picture())') == code, 'with user functions')
    db.create_function('again', 0, lambda: value(db, 'SELECT img_hash(?)',
                                                 picture))
    ok(value(db, 'SELECT hamming(again(), img_hash(?))', picture) == 0,
       'a function that runs a statement of its own')
    db.create_function(
        'drop_model', 0,
        lambda: value(db, "SELECT binhash_unload('tiny')") or 1)
    db.execute("SELECT binhash_load('tiny', "
               "'build/tests/models/tiny.safetensors')").fetchall()
    ok('no model' in error(lambda: value(
        db, "SELECT hamming(img_hash_rgb(x'000000', 1, drop_model(), 'tiny'), "
        "img_hash_rgb(x'ff0000', 1, 1, 'tiny'))")),
       'a model unloaded while a statement uses it')
    db.set_authorizer(lambda *a: sqlite3.SQLITE_OK)
    ok(value(db, 'SELECT img_hash(?)', picture) == code, 'with an authorizer')
    db.close()


def reloading():
    """Loading again keeps what a connection has, whatever is in the way."""
    setting = "SELECT binhash_config('max_pixels')"
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, 'locked.db')
        owner = sqlite3.connect(path, isolation_level=None)
        owner.execute('CREATE TABLE t(a)')
        owner.execute('BEGIN EXCLUSIVE')
        db = connect(path, timeout=0)
        db.execute("SELECT binhash_config('max_pixels', 5)").fetchall()
        db.load_extension(EXTENSION)
        ok('locked' in error(lambda: db.execute('SELECT * FROM t')) and
           value(db, setting) == 5, 'loading twice while the file is locked')
        owner.close()
        db.set_progress_handler(lambda: True, 1)
        why = error(lambda: db.load_extension(EXTENSION))
        db.set_progress_handler(None, 0)
        ok('interrupted' in why and value(db, setting) == 5,
           'loading twice while interrupted')
        db.set_authorizer(lambda action, *a: sqlite3.SQLITE_DENY
                          if action == sqlite3.SQLITE_READ
                          else sqlite3.SQLITE_OK)
        db.load_extension(EXTENSION)
        ok(value(db, setting) == 5, 'loading twice with nothing to be read')
        db.close()


def names():
    """A short name that somebody registered before is left to them."""
    db = sqlite3.connect(':memory:')
    db.create_function('hamming', 2, lambda a, b: 'theirs', deterministic=True)
    db.enable_load_extension(True)
    db.load_extension(EXTENSION)
    ok(value(db, "SELECT hamming(x'01', x'00')") == 'theirs' and
       value(db, "SELECT binhash_hamming(x'01', x'00')") == 1,
       "another extension's hamming stays")
    db.close()
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, 'locked.db')
        owner = sqlite3.connect(path, isolation_level=None)
        owner.execute('CREATE TABLE t(a)')
        owner.execute('BEGIN EXCLUSIVE')
        db = sqlite3.connect(path, timeout=0)
        db.create_function('hamming', 2, lambda a, b: 'theirs')
        db.enable_load_extension(True)
        db.load_extension(EXTENSION)
        owner.close()
        ok(value(db, "SELECT hamming(1, 2)") == 'theirs',
           'and stays while the file is locked')
        db.close()


def changing_schema():
    """A join goes on with the right rowids when a column takes their name."""
    db = connect(isolation_level=None)
    db.execute("ATTACH ':memory:' AS aux1")
    db.execute('CREATE TABLE p(id INTEGER PRIMARY KEY, code)')
    db.execute('CREATE TABLE aux1.z(a, code)')
    for i in range(3):
        db.execute('INSERT INTO p(code) VALUES (?)', (bytes([i]),))
        db.execute('INSERT INTO aux1.z(rowid, code) VALUES (?, ?)',
                   (10 + i, bytes([i])))
    got = []
    for row in db.execute("SELECT p.id, t.rowid FROM p JOIN binhash_topk("
                          "'z', 'code', p.code, 1) t"):
        if not got:
            db.execute('ALTER TABLE aux1.z ADD COLUMN rowid')
        got.append(row)
    ok(got == [(1, 10), (2, 11), (3, 12)], 'a schema that changes meanwhile')
    db.close()


def unloading():
    """A statement that unloads what it lists unloads all of it."""
    db = connect()
    with open('build/tests/models/tiny.safetensors', 'rb') as f:
        tiny = f.read()
    for name in 'abcd':
        db.execute('SELECT binhash_load(?, ?)', (name, tiny)).fetchall()
    db.execute('SELECT binhash_unload(name) FROM binhash_models '
               "WHERE name IN ('a', 'b', 'c', 'd')").fetchall()
    ok(value(db, 'SELECT count(*) FROM binhash_models') == 2,
       'unloads every model of the list')
    db.close()


code = basics()
names()
changing_schema()
unloading()
connections(code)
reloading()
threads(code)
interruption()
callbacks(code)
print('1..%d' % count)
sys.exit(failed != 0)

#!/usr/bin/env python3
"""img_hash_each in a process of its own: its threads end with its statement,
whatever ends that; it can be interrupted; memory may be short; and it says how
far it is.  each_host.py EXTENSION."""
import os
import re
import resource
import signal
import sqlite3
import struct
import subprocess
import sys
import tempfile
import threading
import time

EXTENSION = sys.argv[1] if len(sys.argv) > 1 else './build/binhash'
SQL = 'SELECT id, image FROM photos'
EACH = "SELECT key, code, error FROM img_hash_each('%s')" % SQL
count = 0
failed = 0


def ok(good, name):
    global count, failed
    count += 1
    failed += not good
    print('%s %d - each: %s' % ('ok' if good else 'not ok', count, name),
          flush=True)


def draw(width, height, seed):
    """A BMP of 24 bits: stripes that differ with the seed."""
    row = bytes((x * (seed + 3) + c * 85) & 255 for x in range(width)
                for c in range(3))
    row += bytes(-len(row) % 4)
    size = 54 + len(row) * height
    return (struct.pack('<2sIIIIiiHHIIiiII', b'BM', size, 0, 54, 40, width,
                        height, 1, 24, 0, size - 54, 0, 0, 0, 0) +
            b''.join(row[y % 7:] + row[:y % 7] for y in range(height)))


def connect(n=0, width=64, height=48, threads=2, **options):
    db = sqlite3.connect(':memory:', isolation_level=None, **options)
    db.enable_load_extension(True)
    db.load_extension(EXTENSION)
    db.execute('CREATE TABLE photos(id INTEGER PRIMARY KEY, image BLOB)')
    db.executemany('INSERT INTO photos VALUES (?, ?)',
                   ((i, draw(width, height, i)) for i in range(n)))
    db.execute("SELECT binhash_config('threads', ?)", (threads,)).fetchall()
    return db


def error(call):
    try:
        call()
    except (sqlite3.Error, MemoryError) as e:
        return type(e).__name__ + ': ' + str(e)
    return ''


def tasks():
    return len(os.listdir('/proc/self/task'))


def left_with(count):
    """Are there so many threads?  /proc shows one for a moment longer than it
    takes to join it."""
    until = time.time() + 5
    while tasks() != count and time.time() < until:
        time.sleep(0.01)
    return tasks() == count


def threads():
    before = tasks()
    db = connect(60, threads=3)
    rows = db.execute(EACH)
    rows.fetchone()
    ok(tasks() == before + 3, 'has the threads that were asked for')
    rows.fetchall()
    ok(left_with(before), 'which are gone after the last row')
    rows = db.execute(EACH)
    rows.fetchone()
    rows.close()
    ok(left_with(before), 'and when the statement is reset')
    rows = db.execute("SELECT key FROM img_hash_each('SELECT id, CASE WHEN id "
                      "= 30 THEN abs(-9223372036854775808) ELSE image END "
                      "FROM photos')")
    got = []
    why = error(lambda: got.extend(iter(rows)) or rows.fetchone())
    ok('integer overflow' in why and left_with(before),
       'and after an error of the query')
    db.execute('CREATE TABLE codes(id INTEGER PRIMARY KEY, code NOT NULL)')
    why = error(lambda: db.execute(
        'INSERT INTO codes SELECT key, nullif(key, 9) FROM img_hash_each(?)',
        (SQL,)))
    ok('NOT NULL' in why and left_with(before) and
       db.execute('SELECT count(*) FROM codes').fetchone() == (0,),
       'and of the statement around it')
    rows = db.execute(EACH)
    rows.fetchone()
    db.execute('BEGIN')
    db.execute('CREATE TABLE late(a)')
    db.execute('ROLLBACK')
    why = error(rows.fetchall)
    ok(why == '' or 'abort' in why.lower(), 'a rollback meanwhile')
    ok(left_with(before), 'leaves no thread')
    db.execute("SELECT binhash_config('threads', 1)").fetchall()
    rows = db.execute(EACH)
    rows.fetchone()
    ok(left_with(before), 'one thread is the one there is')
    rows.close()
    db.execute("SELECT binhash_config('threads', 4)").fetchall()
    rows = db.execute(EACH)
    rows.fetchone()
    db.close()
    gone = error(rows.fetchone) != ''
    del rows   # Python closes for good with the last statement
    ok(gone and left_with(before), 'closing the connection ends them')


def isolation():
    """Rows that a loop over the results writes in between."""
    db = connect(40)
    db.execute('CREATE TABLE codes(id INTEGER PRIMARY KEY, code)')
    n = 0
    for key, code, _ in db.execute("SELECT key, code, error FROM img_hash_each("
                                   "'SELECT id, image FROM photos WHERE id NOT "
                                   "IN (SELECT id FROM codes)')"):
        db.execute('INSERT INTO codes VALUES (?, ?)', (key, code))
        n += 1
    ok(n == 40, 'a loop that stores what it gets')
    for _ in range(3):
        db.execute('INSERT INTO photos(image) SELECT code FROM '
                   'img_hash_each(?)', (SQL,))
    ok(db.execute('SELECT count(*) FROM photos').fetchone() == (320,),
       'a statement that feeds on itself ends')


def interruption():
    for n in (1, 3):
        db = connect(8, 1500, 1000, threads=n, check_same_thread=False)
        # Without end: the query gives the same pictures over and over.
        endless = ("SELECT max(key) FROM img_hash_each('WITH RECURSIVE n(i) AS "
                   "(SELECT 0 UNION ALL SELECT i + 1 FROM n) SELECT i, image "
                   "FROM n JOIN photos ON id = i % 8')")
        took = []

        def run():
            took.append(error(lambda: db.execute(endless).fetchall()))
            took.append(time.perf_counter())

        worker = threading.Thread(target=run)
        worker.start()
        time.sleep(0.5)
        stopped = time.perf_counter()
        db.interrupt()
        worker.join()
        print('# %d threads: ended after %.0f ms' % (
            n, (took[1] - stopped) * 1000))
        ok('interrupted' in took[0] and took[1] - stopped < 5,
           'interrupt() stops it, %d threads' % n)
        calls = []

        def handler():
            calls.append(time.perf_counter())
            return len(calls) > 5

        db.set_progress_handler(handler, 50)
        why = error(lambda: db.execute(endless).fetchall())
        ok('interrupted' in why and len(calls) == 6,
           'and so does a progress handler')
        calls.clear()
        db.execute('CREATE TABLE codes(id INTEGER PRIMARY KEY, code)')
        why = error(lambda: db.execute(
            'INSERT INTO codes ' + endless.replace('max(key)', 'key, code')))
        db.set_progress_handler(None, 0)
        ok('interrupted' in why and
           db.execute('SELECT count(*) FROM codes').fetchone() == (0,),
           'and in a statement that writes')
        ok(len(db.execute(EACH).fetchall()) == 8, 'it runs again afterwards')
        db.close()


def polls():
    """While workers are at one large picture, the handler is called."""
    db = connect(1, 6000, 4000)
    calls = []
    db.set_progress_handler(lambda: calls.append(time.perf_counter()), 1)
    db.execute(EACH).fetchall()
    db.set_progress_handler(None, 0)
    # From one call to the next, in a machine that others use as well.
    gaps = sorted(b - a for a, b in zip(calls, calls[1:]))
    middle = gaps[-4] if len(gaps) > 8 else 1
    print('# %d calls, the longest gaps %s ms' % (
        len(calls), [round(g * 1000) for g in gaps[-4:]]))
    ok(len(calls) > 8 and middle < 0.2, 'polls while it waits for workers')
    db.close()


def forks():
    db = connect(60, threads=2)
    want = db.execute(EACH).fetchall()
    rows = db.execute(EACH)
    first = rows.fetchone()
    pid = os.fork()
    if pid == 0:
        signal.alarm(30)
        try:
            why = error(rows.fetchall)
            rows.close()
            own = connect(10)
            good = 'forked' in why and len(own.execute(EACH).fetchall()) == 10
            own.close()
            db.close()
            os._exit(0 if good else 1)
        finally:
            os._exit(2)
    ok(os.waitpid(pid, 0)[1] == 0, 'a child is told, closes, and has its own')
    ok([first] + rows.fetchall() == want, 'the parent goes on')
    pid = os.fork()
    if pid == 0:
        signal.alarm(30)
        own = connect(10)
        os._exit(0 if len(own.execute(EACH).fetchall()) == 10 else 1)
    ok(os.waitpid(pid, 0)[1] == 0, 'a child after it has ended')
    db.close()


def memory_limits():
    """Each limit in a process of its own, since it can only be lowered."""
    results = []
    for more in (8, 186, 400):
        pid = os.fork()
        if pid == 0:
            signal.alarm(120)
            db = connect(4, 3200, 2500, threads=2)
            want = db.execute(EACH).fetchall()
            got = []

            def limited():
                db.execute('PRAGMA hard_heap_limit = %d' %
                           (4 * 24000054 + (more << 20))).fetchall()
                got.extend(db.execute(EACH).fetchall())

            why = error(limited)
            os._exit(0 if got == want else 3 if 'MemoryError' in why else 1)
        results.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    print('# 0 is right, 3 is no memory:', results)
    # 186 MB hold the row that is read, two copies, one picture decoded, and the
    # model with what a pass takes.
    ok(results == [3, 0, 0],
       'where memory is short, pictures take their turns')


def hash_many(n):
    """What window() measures."""
    db = connect(4, 1600, 1200)
    db.execute('CREATE TABLE codes(id INTEGER PRIMARY KEY, code)')
    db.execute('INSERT INTO codes SELECT key, code FROM img_hash_each('
               "'WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM "
               'n WHERE i < ?1) SELECT i, image FROM n JOIN photos ON id = '
               "i % 4', NULL, ?)", (n,))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def window():
    """Memory does not grow with the number of pictures."""
    peak = []
    for n in (40, 200):
        out = subprocess.run([sys.executable, __file__, EXTENSION, str(n)],
                             stdout=subprocess.PIPE, check=True).stdout
        peak.append(int(out) / 1024)
    print('# 40 pictures of 6 MB: %.0f MB, 200: %.0f MB' % tuple(peak))
    ok(peak[1] < peak[0] + 60, 'holds a window of the pictures')


def telling():
    db = connect(30, threads=2)
    db.create_function('nap', 1, lambda x: time.sleep(0.12) or x)
    slow = ("SELECT count(code) FROM img_hash_each("
            "'SELECT nap(id), image FROM photos')")

    def told(sql):
        with tempfile.TemporaryFile() as f:
            saved = os.dup(2)
            os.dup2(f.fileno(), 2)
            try:
                db.execute(sql).fetchall()
            finally:
                os.dup2(saved, 2)
                os.close(saved)
            f.seek(0)
            return f.read().decode().splitlines()

    ok(told(slow) == [], 'says nothing by itself')
    db.execute("SELECT binhash_config('progress', 'stderr')").fetchall()
    lines = told(slow)
    print('# ' + '\n# '.join(lines))
    ok(2 <= len(lines) <= 5 and
       all(re.fullmatch(r'img_hash_each: \d+ done, [\d.]+ a second', s)
           for s in lines[:-1]), 'says how many are done, once a second')
    lines = told(slow + ' WHERE total = 30')
    ok(len(lines) >= 2 and
       all(re.fullmatch(r'img_hash_each: \d+ of 30 done, [\d.]+ a second, '
                        r'\d+ s left', s) for s in lines),
       'and how long it will take, where the number is known')
    db.close()
    out = subprocess.run(
        ['sqlite3', '-batch', ':memory:'], stdout=subprocess.PIPE, text=True,
        input=".log stdout\n.load %s\nSELECT binhash_config('progress', 'log');"
              "SELECT count(*) FROM img_hash_each('SELECT (WITH RECURSIVE n(i) "
              "AS (SELECT value UNION ALL SELECT i + 1 FROM n WHERE i < "
              "2000000) SELECT max(i) FROM n), NULL FROM "
              "json_each(''[1,2,3,4,5,6,7,8]'')');" % EXTENSION).stdout
    ok(re.search(r'img_hash_each: \d done', out) and '\n8\n' in out,
       'or tells the log')


def changed_file():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, 'm.safetensors')
        with open('build/tests/models/exact.safetensors', 'rb') as f:
            data = f.read()
        with open(path, 'wb') as f:
            f.write(data)
        db = connect(300, threads=2)
        db.execute('SELECT binhash_load(?, ?)', ('m', path)).fetchall()
        rows = db.execute("SELECT key, code FROM img_hash_each('%s', 'm')" %
                          SQL)
        rows.fetchone()
        with open(path, 'r+b') as f:
            f.write(data[:8])
        time.sleep(0.02)
        ok('written to' in error(rows.fetchall),
           'a model whose file was written to meanwhile')
        db.close()


if not hasattr(sqlite3.Connection, 'enable_load_extension'):
    print('ok 1 - each # SKIP this Python cannot load extensions')
    print('1..1')
    sys.exit(0)
if len(sys.argv) > 2:
    hash_many(int(sys.argv[2]))
    sys.exit(0)
threads()
isolation()
interruption()
polls()
forks()
memory_limits()
window()
telling()
changed_file()
print('1..%d' % count)
sys.exit(failed != 0)

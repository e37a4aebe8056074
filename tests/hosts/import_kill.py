#!/usr/bin/env python3
"""sql/hash.sql and sql/rehash.sql, killed at any moment and run again.

    import_kill.py EXTENSION [KILLS [SEED]]

A shell runs the script over and over on drawn pictures, slice by slice, and
prints after each slice how many are left.  It is killed with SIGKILL at random
moments.  Each time the database must be sound, hold whole slices and no other
rows, and hold at least what was printed: one slice at most is lost.  In the end
all codes are right."""
import os
import random
import sqlite3
import struct
import subprocess
import sys
import tempfile
import time

EXTENSION = sys.argv[1] if len(sys.argv) > 1 else './build/binhash'
KILLS = int(sys.argv[2]) if len(sys.argv) > 2 else 12
SEED = int(sys.argv[3]) if len(sys.argv) > 3 else 1
PICTURES, SLICE = 230, 20
count = 0
failed = 0


def ok(good, name):
    global count, failed
    count += 1
    failed += not good
    print('%s %d - kill: %s' % ('ok' if good else 'not ok', count, name),
          flush=True)


def draw(seed):
    """A BMP of 96 x 64 pixels: blocks of random colours."""
    rng = random.Random(seed)
    rows = b''
    for _ in range(8):
        row = b''.join(bytes(rng.randrange(256) for _ in range(3)) * 8
                       for _ in range(12))
        rows += row * 8
    return struct.pack('<2sIIIIiiHHIIiiII', b'BM', 54 + len(rows), 0, 54, 40,
                       96, 64, 1, 24, 0, len(rows), 0, 0, 0, 0) + rows


def shell(db, script, more=''):
    """The shell with what it is to run on its standard input."""
    p = subprocess.Popen(['stdbuf', '-oL', 'sqlite3', '-batch', '-bail', db],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                         text=True)
    p.stdin.write('.load %s\n.output /dev/null\n%s\n.output\n%s' % (
        EXTENSION, more, script))
    p.stdin.close()
    return p


def connect(path):
    db = sqlite3.connect(path)
    db.enable_load_extension(True)
    db.load_extension(EXTENSION)
    db.execute("SELECT binhash_load('exact', "
               "'build/tests/models/exact.safetensors')").fetchall()
    return db


def read(name):
    with open(name) as f:
        return f.read()


# The slices of a script until it has printed some lines and some part of the
# next slice has passed, or without `lines` until nothing is left; what it
# printed, and how long the last slice took.
def run_until(path, script, more, lines, part, slice_time):
    p = shell(path, script * (PICTURES // SLICE + 2), more)
    printed, last = [], time.perf_counter()
    while lines is None or len(printed) < lines:
        line = p.stdout.readline()
        if not line:
            break
        now = time.perf_counter()
        slice_time, last = now - last, now
        printed.append(int(line))
    if lines is not None:
        time.sleep(part * slice_time)
        p.kill()
    printed += [int(s) for s in p.stdout.read().split()]
    p.stdout.close()
    p.wait()
    return printed, slice_time


def trial(path, name, script, more, left_sql, check):
    """Kill the script KILLS times and then let it end."""
    rng = random.Random(SEED)
    last, good, whole, lost, killed = PICTURES, True, True, True, 0
    lefts, slice_time = [], 0
    start = time.perf_counter()
    while True:
        lines = rng.randrange(3) if killed else 1
        printed, slice_time = run_until(
            path, script, more, lines if killed < KILLS else None,
            rng.uniform(0, 1.2), slice_time)
        killed += 1
        db = connect(path)
        left = db.execute(left_sql).fetchone()[0]
        seen = min([last] + printed)
        good &= (db.execute('PRAGMA integrity_check').fetchall() ==
                 [('ok',)])
        whole &= (PICTURES - left) % SLICE == 0 or left == 0
        lost &= seen - SLICE <= left <= seen
        whole &= check(db)
        db.close()
        last = left
        lefts.append(left)
        if killed > KILLS:
            break
    print('# %s: %d kills in %.1f s, which left %s' % (
        name, killed - 1, time.perf_counter() - start, lefts))
    ok(good, name + ': the database is sound after each kill')
    ok(whole, name + ': it has whole slices')
    ok(lost, name + ': at most one slice is lost')
    ok(last == 0, name + ': the run that is left alone ends')


def check_codes(db):
    return db.execute('SELECT count(*) FROM codes WHERE (code IS NULL) = '
                      '(error IS NULL)').fetchone()[0] == 0


# Until the swap the old codes stand, after it the new ones, and never some of
# both.
def check_swap(db):
    bits = dict(db.execute('SELECT length(code), count(*) FROM codes WHERE '
                           'error IS NULL GROUP BY 1').fetchall())
    model, following = db.execute('SELECT model, next_model FROM library'
                                  ).fetchone()
    want = 8 if model == 'photo-64' else 2
    return (list(bits) == [want] and check_codes(db) and
            (following is None) == (model == 'exact' or not db.execute(
                'SELECT count(next_code) FROM codes').fetchone()[0]))


with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, 'photos.db')
    pictures = os.path.join(folder, 'pictures')
    os.mkdir(pictures)
    for i in range(PICTURES):
        with open(os.path.join(pictures, '%03d.bmp' % i), 'wb') as f:
            f.write(draw(i) if i % 50 else b'BM, but no picture')
    p = shell(path, read('sql/import.sql'),
              '.param set :folder "\'%s\'"' % pictures)
    p.stdout.read()
    p.wait()
    slices = '.param set :slice %d\n' % SLICE
    trial(path, 'hash', read('sql/hash.sql'), slices,
          'SELECT count(*) FROM photos WHERE id NOT IN (SELECT id FROM codes)',
          check_codes)
    db = connect(path)
    db.create_function('file', 1, lambda p: open(p, 'rb').read())
    ok(db.execute('SELECT count(*), sum(code = try_img_hash(file(path))), '
                  'count(error) FROM photos JOIN codes USING (id)').fetchone()
       == (PICTURES, PICTURES - 5, 5), 'hash: every code is right')
    db.close()
    trial(path, 'rehash', read('sql/rehash.sql'),
          slices + ".param set :model exact\nSELECT binhash_load('exact', "
          "'build/tests/models/exact.safetensors');",
          "SELECT CASE model WHEN 'exact' THEN 0 ELSE (SELECT count(*) FROM "
          "codes WHERE next_code IS NULL AND next_error IS NULL) END "
          "FROM library", check_swap)
    db = connect(path)
    db.create_function('file', 1, lambda p: open(p, 'rb').read())
    ok(db.execute("SELECT count(*), sum(code = try_img_hash(file(path), "
                  "'exact')), count(error), count(next_code) FROM photos JOIN "
                  "codes USING (id)").fetchone()
       == (PICTURES, PICTURES - 5, 5, 0), 'rehash: every code is right')
    db.close()
print('1..%d' % count)
sys.exit(failed != 0)

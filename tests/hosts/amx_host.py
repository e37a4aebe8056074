#!/usr/bin/env python3
"""The setting amx: amx_host.py EXTENSION [emulated].

Any machine either grants it or says what is missing, and /proc/cpuinfo says
which of the two is right; codes are the same with it and without.  An extension
whose kernels are emulated grants it everywhere and counts its products.
"""
import ctypes
import sqlite3
import sys

EXTENSION = sys.argv[1] if len(sys.argv) > 1 else './build/binhash'
EMULATED = sys.argv[2:] == ['emulated']
PICTURES = 'tests/golden/pictures/'
count = 0
failed = 0


def ok(good, name):
    global count, failed
    count += 1
    failed += not good
    print('%s %d - amx: %s' % ('ok' if good else 'not ok', count, name),
          flush=True)


def connect():
    db = sqlite3.connect(':memory:')
    db.enable_load_extension(True)
    db.load_extension(EXTENSION)
    db.execute('CREATE TABLE p(id INTEGER PRIMARY KEY, image)')
    for name in ('420', '444', 'gray'):
        try:
            with open(PICTURES + name + '.jpg', 'rb') as f:
                db.execute('INSERT INTO p(image) VALUES (?)', (f.read(),))
        except FileNotFoundError:
            pass
    return db


def value(db, sql, *args):
    return db.execute(sql, args).fetchone()[0]


def codes(db):
    return (db.execute('SELECT img_hash(image) FROM p ORDER BY id').fetchall() +
            db.execute('SELECT code FROM img_hash_each('
                       "'SELECT id, image FROM p ORDER BY id')").fetchall())


def products():
    """By the tiles so far; None where nobody counts."""
    if not EMULATED:
        return None
    return ctypes.CDLL(EXTENSION + '.so').emulated_tiles_products()


def cpu_flags():
    with open('/proc/cpuinfo') as f:
        for line in f:
            if line.startswith('flags'):
                return set(line.split(':')[1].split())
    return set()


def granted(db, other, before):
    ok(value(db, "SELECT binhash_config('amx')") == 1, 'stays on')
    ok(value(other, "SELECT binhash_config('amx')") == 0,
       "is a connection's own")
    at = products()
    ok(codes(db) == before, 'the same codes, of a model that was open before')
    on = products()
    ok(at is None or on > at, 'which the tiles have made')
    ok(codes(other) == before and products() == on,
       'the other connection leaves the tiles alone')
    for threads in (1, 3):
        db.execute("SELECT binhash_config('threads', %d)" % threads)
        ok(codes(db) == before, 'the same codes on %d threads' % threads)
    on = products()
    rows = db.execute("SELECT code, binhash_config('amx', 0) FROM "
                      "img_hash_each('SELECT id, image FROM p ORDER BY id')")
    ok(rows.fetchall() == [(code, 0) for code, in before[len(before) // 2:]],
       'off while a scan is open')
    on = products()
    ok(codes(db) == before and products() == on, 'off is off')
    ok(value(db, "SELECT binhash_config('amx', 1)") == 1 and
       codes(db) == before and (on is None or products() > on), 'on again')


def refused(db, before, message):
    ok(message.startswith('binhash_config: amx: ') and len(message) > 40,
       'refused: ' + message)
    flags = cpu_flags()
    if 'amx_tile' not in flags:
        ok('no AMX' in message, 'which is the CPU')
    elif 'amx_int8' not in flags:
        ok('amx_int8' in message, 'which is the CPU')
    else:
        ok('system' in message or 'signals' in message or
           'avx512_vnni' not in flags, 'which is the system')
    ok(value(db, "SELECT binhash_config('amx')") == 0, 'stays off')
    ok(value(db, "SELECT binhash_config('amx', 0)") == 0, 'may be turned off')
    ok(codes(db) == before, 'the same codes')


def main():
    db, other = connect(), connect()
    before = codes(db)
    ok(len(before) >= 2 and all(code for code, in before), 'pictures')
    try:
        now = value(db, "SELECT binhash_config('amx', 1)")
    except sqlite3.Error as e:
        ok(not EMULATED, 'may be refused')
        refused(db, before, str(e))
    else:
        ok(now == 1 and (EMULATED or 'amx_int8' in cpu_flags()), 'granted')
        granted(db, other, before)
    print('1..%d' % count)
    return failed > 0


if not hasattr(sqlite3.Connection, 'enable_load_extension'):
    print('ok 1 - amx # SKIP this Python cannot load extensions')
    print('1..1')
    sys.exit(0)
sys.exit(main())

.load ./build/binhash
-- changes() and last_insert_rowid() of statements of any size, in transactions
-- and out of them, beside an ordinary table's
CREATE VIRTUAL TABLE t USING binhash(bits=16);
CREATE TABLE p(id INTEGER PRIMARY KEY, code BLOB);
CREATE TABLE n(i INTEGER PRIMARY KEY);
INSERT INTO n WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c LIMIT 40000) SELECT i FROM c;
-- outside of a transaction
INSERT INTO t(rowid, code) SELECT i, x'0f0f' FROM n WHERE i <= 3000;
SELECT changes(), last_insert_rowid();
INSERT INTO p(id, code) SELECT i, x'0f0f' FROM n WHERE i <= 3000;
SELECT changes(), last_insert_rowid();
UPDATE t SET code = x'00ff' WHERE rowid > 500;
SELECT changes(), last_insert_rowid();
UPDATE p SET code = x'00ff' WHERE id > 500;
SELECT changes(), last_insert_rowid();
DELETE FROM t WHERE rowid % 2;
SELECT changes(), last_insert_rowid();
DELETE FROM p WHERE id % 2;
SELECT changes(), last_insert_rowid();
-- in one: each statement's, then after a search, and after COMMIT
BEGIN;
INSERT INTO t(rowid, code) SELECT i + 10000, x'0f0f' FROM n WHERE i <= 1001;
SELECT changes(), last_insert_rowid();
SELECT rowid FROM t WHERE query = x'0f0f' LIMIT 1;
SELECT changes(), last_insert_rowid();
INSERT INTO t(rowid, code) SELECT i + 20000, x'0f0e' FROM n WHERE i <= 1000;
SELECT changes(), last_insert_rowid();
SELECT rowid FROM t WHERE query = x'0f0e' LIMIT 1;
SELECT changes(), last_insert_rowid();
INSERT INTO t(code) SELECT x'0f0d' FROM n WHERE i <= 40000;
SELECT changes(), last_insert_rowid();
COMMIT;
SELECT changes(), last_insert_rowid();
-- more than what is gathered in memory, and little behind it
BEGIN;
UPDATE t SET code = x'0001' WHERE rowid <= 1000000;
SELECT changes(), last_insert_rowid();
COMMIT;
SELECT changes(), last_insert_rowid();
BEGIN;
DELETE FROM t WHERE rowid > 20000;
SELECT changes(), last_insert_rowid();
SELECT count(*) FROM t WHERE query = x'0001' AND distance = 0;
SELECT changes(), last_insert_rowid();
COMMIT;
SELECT changes(), last_insert_rowid();
-- savepoints: released, and rolled back
SAVEPOINT a;
INSERT OR REPLACE INTO t(rowid, code) SELECT i, x'0003' FROM n WHERE i <= 5000;
SELECT changes(), last_insert_rowid();
SAVEPOINT b;
DELETE FROM t WHERE rowid <= 4000;
SELECT changes(), (SELECT count(*) FROM t);
ROLLBACK TO b;
SELECT count(*) FROM t;
RELEASE b;
RELEASE a;
SELECT changes(), last_insert_rowid(), (SELECT count(*) FROM t);
-- a statement that fails halfway has changed nothing
BEGIN;
INSERT INTO t(rowid, code) SELECT i + 100000, CASE WHEN i < 2000 THEN x'0005' END FROM n WHERE i <= 3000;
SELECT count(*) FROM t;
INSERT OR FAIL INTO t(rowid, code) SELECT i + 100000, CASE WHEN i < 2000 THEN x'0005' END FROM n WHERE i <= 3000;
SELECT changes(), count(*) FROM t;
INSERT OR IGNORE INTO t(rowid, code) SELECT i + 100000, x'0006' FROM n WHERE i <= 3000;
SELECT changes(), last_insert_rowid();
COMMIT;
SELECT changes(), last_insert_rowid(), (SELECT count(*) FROM t);
-- RETURNING, and what a trigger writes, which is no change of the statement
SELECT count(*), sum(rowid) FROM t;
CREATE TABLE source(id INTEGER PRIMARY KEY, code BLOB);
CREATE TRIGGER s AFTER INSERT ON source BEGIN INSERT INTO t(rowid, code) VALUES (new.id, new.code); END;
BEGIN;
INSERT INTO source SELECT i + 200000, x'0007' FROM n WHERE i <= 2500;
SELECT changes(), last_insert_rowid(), (SELECT count(*) FROM t);
COMMIT;
SELECT changes(), last_insert_rowid();
INSERT INTO t(rowid, code) VALUES (-9, x'0008'), (-8, x'0009') RETURNING rowid, hex(code);
SELECT changes(), last_insert_rowid();
INSERT INTO t(t) VALUES ('integrity-check');

.load ./build/binhash
-- rows as in any table, by rowid
CREATE VIRTUAL TABLE t USING binhash(bits=12);
INSERT INTO t(rowid, code) VALUES (5, x'0ff0'), (-3, x'0000'), (9, x'fff0');
SELECT rowid, hex(code), distance FROM t;
SELECT hex(code), distance FROM t WHERE rowid = 5;
SELECT rowid FROM t WHERE rowid IN (9, -3, 4, NULL);
SELECT rowid FROM t WHERE rowid > -3 AND rowid <= 9;
SELECT rowid FROM t ORDER BY rowid DESC;
SELECT rowid FROM t WHERE rowid = 9.0;
SELECT count(*) FROM t WHERE rowid = NULL;
-- insertion without a rowid, REPLACE, IGNORE
INSERT INTO t(code) VALUES (x'00f0');
SELECT last_insert_rowid(), changes();
INSERT OR IGNORE INTO t(rowid, code) VALUES (10, x'1110'), (11, x'1110');
SELECT changes(), (SELECT hex(code) FROM t WHERE rowid = 10);
INSERT OR REPLACE INTO t(rowid, code) VALUES (10, x'2220');
SELECT changes(), (SELECT hex(code) FROM t WHERE rowid = 10);
-- UPDATE of code and rowid, DELETE
UPDATE t SET code = x'0010' WHERE rowid = 9;
UPDATE t SET rowid = 100 WHERE rowid = 9;
SELECT rowid, hex(code) FROM t;
DELETE FROM t WHERE query = x'2220' AND distance = 0;
SELECT group_concat(rowid) FROM t;
-- searches: lazily in (distance, rowid) order
SELECT rowid, distance FROM t WHERE query = x'0000';
SELECT rowid, distance FROM t WHERE query = x'0000' ORDER BY distance LIMIT 2 OFFSET 1;
SELECT rowid, distance FROM t WHERE query MATCH x'0000' AND distance BETWEEN 1 AND 3;
SELECT rowid, distance FROM t WHERE t MATCH x'0000' AND rowid IN (5, 100, 12);
SELECT rowid, distance FROM t WHERE query = x'0000' ORDER BY distance DESC LIMIT 2;
SELECT rowid FROM t WHERE query = x'0000' AND distance < 0;
SELECT rowid FROM t WHERE query = NULL;
SELECT rowid FROM t WHERE query = x'0000' AND distance <= NULL;
SELECT rowid FROM t WHERE query = x'0000' AND distance <= 1.5;
-- per-row query in a join, and joins on either side
SELECT a.rowid, b.rowid, b.distance FROM t a JOIN t b ON b.query = a.code
WHERE b.distance BETWEEN 1 AND 4 ORDER BY 1, 3, 2;
CREATE TABLE names(id INTEGER PRIMARY KEY, name TEXT);
INSERT INTO names VALUES (5, 'five'), (100, 'hundred');
SELECT n.name, t.distance FROM t JOIN names n ON n.id = t.rowid
WHERE t.query = x'0000' ORDER BY t.distance LIMIT 1;
SELECT n.name, t.distance FROM names n LEFT JOIN t
  ON t.rowid = n.id AND t.query = x'0000' ORDER BY 1;
-- transactions and savepoints
BEGIN;
INSERT INTO t(rowid, code) VALUES (200, x'0000');
SAVEPOINT s;
INSERT INTO t(rowid, code) VALUES (201, x'0000');
DELETE FROM t WHERE rowid = 5;
SELECT group_concat(rowid) FROM t;
ROLLBACK TO s;
SELECT group_concat(rowid) FROM t;
COMMIT;
BEGIN;
DELETE FROM t;
SELECT count(*) FROM t;
ROLLBACK;
SELECT group_concat(rowid) FROM t WHERE query = x'0000';
-- many rows: every way to search gives the same
CREATE VIRTUAL TABLE big USING binhash(bits=48);
CREATE TABLE plain(id INTEGER PRIMARY KEY, code BLOB);
WITH RECURSIVE c(i, x) AS (SELECT 1, 12345 UNION ALL
  SELECT i + 1, (x * 69069 + 1) % 4294967296 FROM c WHERE i < 100000)
INSERT INTO plain SELECT i * 3, CAST(printf('%.6s', printf('%06d', x / 4096))
  AS BLOB) FROM c;
INSERT INTO big(rowid, code) SELECT id, code FROM plain;
CREATE TEMP TABLE want AS SELECT id, hamming(code, CAST('123456' AS BLOB)) d
FROM plain ORDER BY d, id LIMIT 3000;
SELECT binhash_config('multi_index', 0);
SELECT count(*) FROM (SELECT row_number() OVER () n, rowid r, distance d FROM big
  WHERE query = CAST('123456' AS BLOB) LIMIT 3000) b
JOIN want w ON w.rowid = b.n AND w.id = b.r AND w.d = b.d;
SELECT binhash_config('multi_index', 2);
SELECT count(*) FROM (SELECT row_number() OVER () n, rowid r, distance d FROM big
  WHERE query = CAST('123456' AS BLOB) LIMIT 3000) b
JOIN want w ON w.rowid = b.n AND w.id = b.r AND w.d = b.d;
DELETE FROM big WHERE rowid % 300 = 0;
DELETE FROM want WHERE id % 300 = 0;
SELECT (SELECT group_concat(rowid) FROM (SELECT rowid FROM big WHERE query =
  CAST('123456' AS BLOB) LIMIT 20)) = (SELECT group_concat(id) FROM
  (SELECT id FROM want ORDER BY d, id LIMIT 20));
SELECT binhash_config('cache_bytes', 0);
SELECT (SELECT group_concat(rowid) FROM (SELECT rowid FROM big WHERE query =
  CAST('123456' AS BLOB) LIMIT 20)) = (SELECT group_concat(id) FROM
  (SELECT id FROM want ORDER BY d, id LIMIT 20));
INSERT INTO big(big) VALUES ('integrity-check');
SELECT count(*) FROM big;
-- deletions give the space back
DELETE FROM big;
SELECT count(*), sum(length(block)) FROM big_blocks;
-- names, RENAME, DROP
ALTER TABLE big RENAME TO "a ""quoted"" name";
INSERT INTO "a ""quoted"" name"(rowid, code) VALUES (1, x'000000000001');
SELECT rowid, distance FROM "a ""quoted"" name" WHERE query = x'000000000000';
DROP TABLE "a ""quoted"" name";
DROP TABLE t;
SELECT group_concat(name) FROM sqlite_schema;

.load ./build/binhash
.mode list
.headers on
.nullvalue NULL
-- Features of one value: 0 = 00000000, 1 = 0000803f, 2 = 00000040, 3 = 00004040,
-- 5 = 0000a040.
CREATE TABLE photos(id INTEGER PRIMARY KEY, code BLOB, features BLOB, album INT, path TEXT);
INSERT INTO photos VALUES
  (1, x'0000', x'0000a040', 1, 'a'), (2, x'0001', x'00004040', 2, 'b'),
  (3, x'0003', x'00000000', 1, 'c'), (4, x'0007', x'0000803f', 2, 'd'),
  (7, x'ffff', x'00000000', 1, 'e'), (-9, x'0100', x'00004040', 2, 'f'),
  (10, x'0001', x'00000040', 1, 'g'), (11, NULL, x'00000000', 1, 'h'),
  (12, x'0000', NULL, 1, 'i');
-- The nearest code is not the nearest picture.
SELECT * FROM binhash_search('photos', 'code', 'features', x'0000', x'00000000');
SELECT rowid, key FROM binhash_search('photos', 'code', 'features', x'0000', x'00000000', 3, 1000, 'main', 'path');
-- k counts rows that come out, pool codes: with ties by rowid at its edge, and a
-- place for the row without features.
SELECT rowid, distance, hamming FROM binhash_search('photos', 'code', 'features', x'0000', x'00000000', 2);
SELECT rowid, distance, hamming FROM binhash_search('photos', 'code', 'features', x'0000', x'00000000', NULL, 1);
SELECT rowid, distance, hamming FROM binhash_search('photos', 'code', 'features', x'0000', x'00000000', NULL, 2);
SELECT rowid, distance, hamming FROM binhash_search('photos', 'code', 'features', x'0000', x'00000000', NULL, 3);
SELECT rowid, distance, hamming FROM binhash_search('photos', 'code', 'features', x'0000', x'00000000', NULL, 4);
SELECT rowid, distance, hamming FROM binhash_search('photos', 'code', 'features', x'0000', x'00000000', 1, 4);
SELECT count(*) FROM binhash_search('photos', 'code', 'features', x'0000', x'00000000', 0);
SELECT count(*) FROM binhash_search('photos', 'code', 'features', x'0000', x'00000000', NULL, 0);
SELECT count(*) FROM binhash_search('photos', 'code', 'features', x'0000', x'00000000', 9223372036854775807, 9223372036854775807);
-- Within a radius.
SELECT rowid, distance, hamming FROM binhash_search('photos', 'code', 'features', x'0000', x'00000000') WHERE hamming <= 1;
SELECT rowid, distance, hamming FROM binhash_search('photos', 'code', 'features', x'0000', x'00000000') WHERE hamming < 2 AND hamming <= 5;
SELECT rowid FROM binhash_search('photos', 'code', 'features', x'0000', x'00000000') WHERE hamming BETWEEN 2 AND 3;
SELECT rowid FROM binhash_search('photos', 'code', 'features', x'0000', x'00000000', NULL, 3) WHERE hamming <= 3;
SELECT rowid FROM binhash_search('photos', 'code', 'features', x'0000', x'00000000', 1) WHERE hamming <= 1;
SELECT group_concat(rowid) FROM binhash_search('photos', 'code', 'features', x'0000', x'00000000') WHERE hamming < 1.5;
SELECT group_concat(rowid) FROM binhash_search('photos', 'code', 'features', x'0000', x'00000000') WHERE hamming < 1.0;
SELECT group_concat(rowid) FROM binhash_search('photos', 'code', 'features', x'0000', x'00000000') WHERE hamming <= 1e300;
SELECT count(*) FROM binhash_search('photos', 'code', 'features', x'0000', x'00000000') WHERE hamming <= -0.5;
SELECT count(*) FROM binhash_search('photos', 'code', 'features', x'0000', x'00000000') WHERE hamming < 0;
SELECT count(*) FROM binhash_search('photos', 'code', 'features', x'0000', x'00000000') WHERE hamming <= NULL;
-- These are filters of the pool: =, IN, >, OR, and a join with =.
SELECT group_concat(rowid) FROM binhash_search('photos', 'code', 'features', x'0000', x'00000000', NULL, 4) WHERE hamming = 1;
SELECT group_concat(rowid || word) FROM binhash_search('photos', 'code', 'features', x'0000', x'00000000', NULL, 4) t JOIN (SELECT 0 AS h, ' same' AS word UNION ALL SELECT 1, ' close') ON h = t.hamming;
SELECT group_concat(rowid) FROM binhash_search('photos', 'code', 'features', x'0000', x'00000000', NULL, 4) WHERE hamming IN (0, 1, 2);
SELECT group_concat(rowid) FROM binhash_search('photos', 'code', 'features', x'0000', x'00000000', NULL, 4) WHERE hamming > 0;
SELECT group_concat(rowid) FROM binhash_search('photos', 'code', 'features', x'0000', x'00000000', NULL, 4) WHERE hamming = 1 OR hamming = 2;
SELECT group_concat(rowid) FROM binhash_search('photos', 'code', 'features', x'0000', x'00000000', NULL, 4) WHERE +hamming <= 2;
SELECT group_concat(rowid) FROM binhash_search('photos', 'code', 'features', x'0000', x'00000000') WHERE rowid IN (3, 4, 99) AND distance < 1;
-- Arguments in WHERE.
SELECT rowid FROM binhash_search WHERE table_name = 'photos' AND code_column = 'code' AND feature_column = 'features' AND code = x'0000' AND features = x'00000000' AND k = 2 AND pool = 5;
SELECT rowid, key FROM binhash_search('photos', 'code', 'features') WHERE code = x'0000' AND features = x'00000000' AND schema = 'main' AND key_column = 'path' AND k = 1;
SELECT table_name, code_column, feature_column, hex(code), hex(features), k, pool, schema, key_column FROM binhash_search('photos', 'code', 'features', x'ffff', x'0000803f', 1);
-- NULL for what is needed gives no rows; for the rest it is as if not given.
SELECT count(*) FROM binhash_search(NULL, 'code', 'features', x'0000', x'00000000');
SELECT count(*) FROM binhash_search('photos', NULL, 'features', x'0000', x'00000000');
SELECT count(*) FROM binhash_search('photos', 'code', NULL, x'0000', x'00000000');
SELECT count(*) FROM binhash_search('photos', 'code', 'features', NULL, x'00000000');
SELECT count(*) FROM binhash_search('photos', 'code', 'features', x'0000', NULL);
SELECT count(*) FROM binhash_search('photos', 'code', 'features', x'0000', x'00000000', NULL, NULL, NULL, NULL);
-- Order, LIMIT and OFFSET, joins; no filter starves the result.
SELECT rowid FROM binhash_search('photos', 'code', 'features', x'0000', x'00000000') ORDER BY distance DESC, rowid LIMIT 2 OFFSET 1;
SELECT rowid FROM binhash_search('photos', 'code', 'features', x'0000', x'00000000') ORDER BY hamming, rowid;
SELECT p.path, t.distance FROM binhash_search('photos', 'code', 'features', x'0000', x'00000000') t JOIN photos p ON p.id = t.rowid WHERE p.album = 2 ORDER BY t.distance LIMIT 2;
SELECT a.id, t.rowid, t.distance FROM photos a JOIN binhash_search('photos', 'code', 'features', a.code, a.features, 3, 3) t ON t.rowid <> a.id ORDER BY a.id, t.distance, t.rowid;
SELECT p.id, group_concat(t.rowid) FROM photos p JOIN binhash_search('photos', 'code', 'features', x'0000', x'00000000') t WHERE t.hamming <= p.id AND p.id < 4 GROUP BY 1;
SELECT p.id, t.rowid FROM photos p LEFT JOIN binhash_search('photos', 'code', 'features', p.code, p.features) t ON t.hamming <= 1 AND t.rowid < p.id AND p.album = 2 ORDER BY 1, 2;
SELECT t.rowid, p.id FROM binhash_search('photos', 'code', 'features', x'0000', x'00000000', 2) t LEFT JOIN photos p ON p.id >= +t.hamming AND p.id = 3;
-- Packed features, on either side.
CREATE TABLE packed AS SELECT id, code, CASE WHEN id % 2 THEN feature_pack(features) ELSE features END AS features FROM photos;
SELECT group_concat(rowid || ':' || distance) FROM binhash_search('packed', 'code', 'features', x'0000', feature_pack(x'00000000'));
SELECT group_concat(rowid || ':' || distance) FROM binhash_search('packed', 'code', 'features', x'0000', x'0000803f');
-- Codes that are INTEGERs, and features without values.
CREATE TABLE integers(code INTEGER, features BLOB);
INSERT INTO integers VALUES (0, x''), (-1, x''), (3, x''), (NULL, x'');
SELECT rowid, distance, hamming FROM binhash_search('integers', 'code', 'features', 1, x'');
-- It may be a view, and it sees the rows as they were when it began.
CREATE VIEW similar AS SELECT rowid, distance, hamming FROM binhash_search('photos', 'code', 'features', x'0000', x'00000000');
SELECT count(*) FROM similar;
SELECT group_concat(rowid) FROM similar WHERE hamming <= 1;
UPDATE photos SET path = path || (SELECT count(*) FROM similar) WHERE id IN (SELECT rowid FROM similar LIMIT 3);
DELETE FROM photos WHERE id IN (SELECT rowid FROM binhash_search('photos', 'code', 'features', x'0000', x'00000000') WHERE hamming > 2);
SELECT path FROM photos;
-- Nothing there.
CREATE TABLE vacant(code BLOB, features BLOB);
SELECT count(*) FROM binhash_search('vacant', 'code', 'features', x'0000', x'00000000');
-- The planner: first, once, and not sorted.
EXPLAIN QUERY PLAN SELECT p.path FROM photos p JOIN binhash_search('photos', 'code', 'features', x'0000', x'00000000') t ON p.id = t.rowid WHERE p.album = 2 ORDER BY t.distance, t.rowid LIMIT 3;
EXPLAIN QUERY PLAN SELECT * FROM binhash_search('photos', 'code', 'features', x'0000', x'00000000') WHERE hamming = 1 OR hamming = 2 ORDER BY distance;
EXPLAIN QUERY PLAN SELECT * FROM binhash_search('photos', 'code', 'features', x'0000', x'00000000') WHERE hamming <= 3 ORDER BY hamming;

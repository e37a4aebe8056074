.load ./build/binhash
.mode list
.headers on
.nullvalue NULL
CREATE TABLE photos(id INTEGER PRIMARY KEY, code BLOB, album INT, path TEXT);
INSERT INTO photos VALUES
  (1, x'000000000001', 1, 'a.jpg'), (2, x'000000000003', 2, 'b.jpg'),
  (3, NULL, 1, 'c.jpg'), (4, x'000000000000', 3, 'd.jpg'),
  (7, x'ffffffffffff', 3, 'e.jpg'), (9, x'000000000100', 3, 'f.jpg');
-- All rows in (distance, rowid) order; no code, no row.
SELECT rowid, hex(code) AS code, distance, key FROM binhash_topk('photos', 'code', x'000000000000');
SELECT rowid, distance FROM binhash_topk('photos', 'code', x'000000000000') LIMIT 2 OFFSET 1;
SELECT count(*), typeof(distance), typeof(code) FROM binhash_topk('photos', 'code', x'ffffffffffff');
-- Every name of the rowid.
SELECT rowid, _rowid_, oid FROM binhash_topk('photos', 'code', x'ffffffffffff') LIMIT 1;
-- k.
SELECT rowid, distance FROM binhash_topk('photos', 'code', x'000000000000', 2);
SELECT rowid FROM binhash_topk('photos', 'code', x'000000000000', 0);
SELECT count(*) FROM binhash_topk('photos', 'code', x'000000000000', NULL);
SELECT count(*) FROM binhash_topk('photos', 'code', x'000000000000', 1000000000000);
-- k comes before WHERE: of the 3 nearest, those of a list.
SELECT rowid FROM binhash_topk('photos', 'code', x'000000000000', 3) WHERE rowid IN (4, 7, 9);
SELECT rowid FROM binhash_topk('photos', 'code', x'000000000000', 2) WHERE distance >= 1;
-- Arguments in WHERE; the query by MATCH.
SELECT rowid FROM binhash_topk WHERE table_name = 'photos' AND column_name = 'code' AND query = x'000000000003' AND k = 2;
SELECT rowid FROM binhash_topk('photos', 'code') WHERE query MATCH x'000000000003' LIMIT 2;
SELECT rowid FROM binhash_topk('photos', 'code') WHERE code MATCH x'000000000003' LIMIT 2;
SELECT rowid, distance FROM binhash_topk('photos', 'code') WHERE query IN (x'000000000003', x'ffffffffffff') AND distance = 0 ORDER BY rowid;
SELECT table_name, column_name, hex(query), k, schema, key_column FROM binhash_topk('photos', 'code', x'000000000003', 1, 'main', 'path');
-- Bounds of the distance.
SELECT rowid, distance FROM binhash_topk('photos', 'code', x'000000000000') WHERE distance BETWEEN 1 AND 2;
SELECT rowid FROM binhash_topk('photos', 'code', x'000000000000') WHERE distance < 1.5;
SELECT rowid FROM binhash_topk('photos', 'code', x'000000000000') WHERE distance > '2';
SELECT rowid FROM binhash_topk('photos', 'code', x'000000000000') WHERE distance <= NULL;
SELECT rowid FROM binhash_topk('photos', 'code', x'000000000000') WHERE distance < 0 OR distance = 48;
-- Rowids.
SELECT rowid, distance FROM binhash_topk('photos', 'code', x'000000000000') WHERE rowid = 7;
SELECT rowid FROM binhash_topk('photos', 'code', x'000000000000') WHERE rowid IN (9, 2, 2, 3, 100, NULL);
SELECT rowid FROM binhash_topk('photos', 'code', x'000000000000') WHERE rowid IN (SELECT id FROM photos WHERE album = 3);
-- A NULL query gives no rows.
SELECT rowid FROM binhash_topk('photos', 'code', NULL);
-- Joins, in which the order needs no sorting.
SELECT p.path, t.distance FROM binhash_topk('photos', 'code', x'000000000000') t JOIN photos p ON p.id = t.rowid WHERE p.album = 3 ORDER BY t.distance LIMIT 2;
.eqp on
SELECT p.path, t.distance FROM binhash_topk('photos', 'code', x'000000000000') t JOIN photos p ON p.id = t.rowid WHERE p.album = 3 ORDER BY t.distance LIMIT 2;
SELECT rowid FROM binhash_topk('photos', 'code', x'000000000000') ORDER BY distance, rowid LIMIT 1;
SELECT rowid FROM binhash_topk('photos', 'code', x'000000000000') ORDER BY distance DESC, rowid LIMIT 1;
.eqp off
-- A search for each row.
SELECT p.id, t.rowid, t.distance FROM photos p JOIN binhash_topk('photos', 'code', p.code, 2) t WHERE t.rowid <> p.id;
-- INTEGER codes.
CREATE TABLE numbers(id INTEGER PRIMARY KEY, code INTEGER);
INSERT INTO numbers VALUES (1, 0), (2, -1), (3, 7), (4, NULL);
SELECT * FROM binhash_topk('numbers', 'code', 3);
-- A search as a view, and a search of it.
CREATE VIEW similar AS SELECT rowid AS id, distance, code FROM binhash_topk('photos', 'code', x'000000000000') WHERE distance < 10;
SELECT id, distance FROM similar;
SELECT key, distance FROM binhash_topk('similar', 'code', x'000000000003', NULL, NULL, 'id');
-- The statement may write the table that it searches.
INSERT INTO photos(code, path) SELECT code, 'copy' FROM binhash_topk('photos', 'code', x'000000000000') WHERE distance < 2;
SELECT count(*) FROM photos;
DELETE FROM photos WHERE id IN (SELECT rowid FROM binhash_topk('photos', 'code', x'000000000000') WHERE distance < 2);
SELECT id FROM photos;

.load ./build/binhash
.mode list
.headers on
.nullvalue NULL
CREATE TABLE photos(id INTEGER PRIMARY KEY, code BLOB, album INT, path TEXT);
INSERT INTO photos VALUES
  (1, x'000000000001', 1, 'a.jpg'), (2, x'000000000003', 2, 'b.jpg'),
  (3, NULL, 1, 'c.jpg'), (4, x'000000000000', 3, 'd.jpg'),
  (7, x'ffffffffffff', 3, 'e.jpg'), (-9, x'000000000100', 3, 'f.jpg'),
  (12, x'000000000001', 3, 'g.jpg');
-- Each pair once, the lower rowid first; no code, no row.
SELECT * FROM binhash_pairs('photos', 'code', 1) ORDER BY rowid_a, rowid_b;
SELECT rowid_a, rowid_b FROM binhash_pairs('photos', 'code', 0);
SELECT count(*), max(distance), typeof(distance), typeof(rowid_a), min(rowid) FROM binhash_pairs('photos', 'code', 48);
SELECT count(*) FROM binhash_pairs('photos', 'code', 9223372036854775807);
-- Arguments in WHERE.
SELECT count(*) FROM binhash_pairs WHERE table_name = 'photos' AND column_name = 'code' AND max_distance = 1;
SELECT count(*) FROM binhash_pairs('photos', 'code') WHERE max_distance = 2 AND schema = 'main';
SELECT table_name, column_name, max_distance, schema FROM binhash_pairs('photos', 'code', 0, 'main');
SELECT max_distance, count(*) FROM binhash_pairs('photos', 'code') WHERE max_distance IN (0, 1, 2) GROUP BY 1;
-- Bounds of the distance.
SELECT count(*) FROM binhash_pairs('photos', 'code', 48) WHERE distance BETWEEN 1 AND 2;
SELECT count(*) FROM binhash_pairs('photos', 'code', 48) WHERE distance < 0;
SELECT count(*) FROM binhash_pairs('photos', 'code', 48) WHERE distance IN (0, 48);
SELECT count(*) FROM binhash_pairs('photos', 'code', 48) WHERE distance > 2.5;
SELECT count(*) FROM binhash_pairs('photos', 'code', 48) WHERE distance = NULL;
-- NULL for an argument gives no rows, but for the schema.
SELECT count(*) FROM binhash_pairs('photos', 'code', NULL);
SELECT count(*) FROM binhash_pairs(NULL, 'code', 1);
SELECT count(*) FROM binhash_pairs('photos', NULL, 1);
SELECT count(*) FROM binhash_pairs('photos', 'code', 1, NULL);
-- No rows, one row, only NULL.
CREATE TABLE none(code BLOB);
SELECT count(*) FROM binhash_pairs('none', 'code', 5);
INSERT INTO none VALUES (NULL), (NULL);
SELECT count(*) FROM binhash_pairs('none', 'code', 5);
INSERT INTO none VALUES (x'00');
SELECT count(*) FROM binhash_pairs('none', 'code', 5);
-- Joins, and as many searches as rows.
SELECT a.path, b.path, distance FROM binhash_pairs('photos', 'code', 1) JOIN photos a ON a.id = rowid_a JOIN photos b ON b.id = rowid_b WHERE a.album = b.album ORDER BY 1, 2;
SELECT p.id, count(rowid_a) FROM photos p LEFT JOIN binhash_pairs('photos', 'code', p.album) ON p.id IN (rowid_a, rowid_b) GROUP BY p.id;
-- INTEGER codes.
CREATE TABLE numbers(id INTEGER PRIMARY KEY, code INTEGER);
INSERT INTO numbers VALUES (1, 0), (2, -1), (3, 7), (4, NULL), (5, -1);
SELECT * FROM binhash_pairs('numbers', 'code', 64) ORDER BY 1, 2;
-- A view that has a rowid; another name of the rowid; an index.
CREATE VIEW album3 AS SELECT id AS rowid, code FROM photos WHERE album = 3;
SELECT * FROM binhash_pairs('album3', 'code', 2) ORDER BY 1, 2;
CREATE TABLE taken(rowid TEXT, code BLOB);
INSERT INTO taken VALUES ('x', x'00'), ('x', x'01');
SELECT * FROM binhash_pairs('taken', 'code', 1);
CREATE TABLE keyed(rowid INTEGER PRIMARY KEY, code BLOB) WITHOUT ROWID;
INSERT INTO keyed VALUES (5, x'00'), (6, x'01');
SELECT * FROM binhash_pairs('keyed', 'code', 1);
CREATE VIRTUAL TABLE photo_index USING binhash(bits=48);
INSERT INTO photo_index(rowid, code) SELECT id, code FROM photos WHERE code IS NOT NULL;
SELECT * FROM binhash_pairs('photo_index', 'code', 1) ORDER BY 1, 2;
-- Another schema.
ATTACH ':memory:' AS other;
CREATE TABLE other.photos(code BLOB);
INSERT INTO other.photos VALUES (x'0f'), (x'0e'), (x'f0');
SELECT * FROM binhash_pairs('photos', 'code', 1, 'other');
-- A view of pairs, and pairs lazily: LIMIT ends 12.5 million of them.
CREATE VIEW near AS SELECT * FROM binhash_pairs('photos', 'code', 1);
SELECT count(*) FROM near;
CREATE TABLE many(code BLOB);
INSERT INTO many SELECT x'abcd' FROM generate_series(1, 5000);
SELECT distance FROM binhash_pairs('many', 'code', 3) LIMIT 2;
SELECT count(*), sum(distance), min(rowid_b - rowid_a) FROM binhash_pairs('many', 'code', 3);
-- The statement may write the table that it searches.
DELETE FROM photos WHERE id IN (SELECT rowid_b FROM binhash_pairs('photos', 'code', 0));
SELECT id FROM photos;
.eqp on
SELECT a.path FROM photos a JOIN binhash_pairs('photos', 'code', 1) ON a.id = rowid_a LIMIT 1;

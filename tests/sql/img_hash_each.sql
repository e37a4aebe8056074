.load ./build/binhash
.mode list
.nullvalue NULL
CREATE TABLE photos(id INTEGER PRIMARY KEY, path TEXT, image BLOB);
INSERT INTO photos(path) SELECT 'tests/golden/pictures/' || value FROM json_each('["420.jpg","444.jpg","rgb-8.png","plain.gif","24.bmp","noise.jpg","grey.jpg","1x47.jpg","quality-1.jpg","16x16.jpg","17x15.jpg","33x1.jpg","411.jpg","410.jpg","441.jpg","440.jpg","422.jpg","8x8.jpg","exif-6.jpg","exif-8.jpg"]');
UPDATE photos SET image = readfile(path);
INSERT INTO photos(id, image) VALUES (100, NULL), (101, 'text'), (102, x''), (103, x'00'), (104, 7), (105, readfile('tests/golden/broken/cut.jpg')), (106, zeroblob(1000));
CREATE TABLE codes AS SELECT id, try_img_hash(image) AS code, img_error(image) AS error FROM photos;
-- The codes, in order, for any number of threads.
CREATE TABLE threads(n);
INSERT INTO threads VALUES (1), (2), (3), (4), (17), (256);
SELECT binhash_config('threads', n), (SELECT group_concat(key) FROM (SELECT e.key FROM img_hash_each('SELECT id, image FROM photos ORDER BY id DESC') AS e)), (SELECT sum(e.code = c.code) FROM img_hash_each('SELECT id, image FROM photos') AS e JOIN codes AS c ON c.id = e.key) FROM threads;
SELECT binhash_config('threads', 2);
SELECT key, code, error FROM img_hash_each('SELECT id, image FROM photos WHERE id >= 100');
-- Features come in the same pass, and only when they are read.
SELECT json_extract(binhash_info(), '$.forward_passes') AS passes;
SELECT count(*), sum(features = CASE WHEN code IS NOT NULL THEN img_features(image) END), count(features) FROM img_hash_each('SELECT id, image FROM photos WHERE id <= 3 OR id >= 100') JOIN photos ON id = key;
SELECT json_extract(binhash_info(), '$.forward_passes') AS passes;
SELECT count(*) FROM img_hash_each('SELECT id, image FROM photos WHERE id <= 3');
SELECT json_extract(binhash_info(), '$.forward_passes') AS passes;
-- Keys of all types; rowids count; hidden columns are what was given.
SELECT key, typeof(key), rowid FROM img_hash_each('VALUES (1, NULL), (2.5, NULL), (''text'', NULL), (x''0041'', NULL), (NULL, NULL), ('''', NULL), (x'''', NULL), (9223372036854775807, NULL)');
SELECT sql, model, a1, a2, a8, total FROM img_hash_each('SELECT ?1, ?2', NULL, 5) WHERE a2 = NULL;
SELECT sql, model, a1, a2, a8, total FROM img_hash_each('SELECT ?1, NULL', 'photo-64', 5) WHERE total = 7;
-- Arguments of the query, in parentheses and in WHERE.
SELECT key, length(code) FROM img_hash_each('SELECT id, image FROM photos WHERE id BETWEEN ?1 AND ?2', NULL, 3, 5);
SELECT key, length(code) FROM img_hash_each WHERE sql = 'SELECT id, image FROM photos WHERE id = ?1' AND a1 = 4;
SELECT p.id, e.key FROM photos AS p JOIN img_hash_each('SELECT id, image FROM photos WHERE id > ?1 LIMIT 2', NULL, p.id) AS e WHERE p.id IN (4, 17);
-- Other models: integer and float32.
SELECT binhash_load('exact', 'build/tests/models/exact.safetensors'), binhash_load('tiny', 'build/tests/models/tiny.safetensors'), binhash_load('many', 'build/tests/models/many.safetensors');
SELECT m.name, count(*), sum(e.code = img_hash(p.image, m.name)), sum(e.features = img_features(p.image, m.name)) FROM (SELECT 'exact' AS name UNION ALL SELECT 'tiny') AS m JOIN img_hash_each('SELECT id, image FROM photos WHERE id < 21', m.name) AS e JOIN photos AS p ON p.id = e.key GROUP BY m.name;
SELECT count(*), sum(e.code = img_hash(p.image, 'h63')) FROM img_hash_each('SELECT id, image FROM photos WHERE id < 21', 'h63') AS e JOIN photos AS p ON p.id = e.key;
-- Of 64 heads in one pass, the features are not a part.
SELECT features FROM img_hash_each('SELECT id, image FROM photos WHERE id < 21', 'h63');
-- A model that is unloaded meanwhile stays until the rows are read.
SELECT count(*), count(code), sum(gone IS NULL) FROM (SELECT code, CASE rowid WHEN 1 THEN binhash_unload('exact') END AS gone FROM img_hash_each('SELECT id, image FROM photos WHERE id < 21', 'exact'));
SELECT count(*) FROM img_hash_each('SELECT id, image FROM photos', 'exact');
-- No rows.
SELECT count(*) FROM img_hash_each('SELECT id, image FROM photos WHERE 0');
SELECT count(*) FROM img_hash_each(NULL);
-- A statement that writes what its query reads: no row that it wrote is read, none comes twice.
CREATE TABLE grows(id INTEGER PRIMARY KEY, image BLOB, code BLOB);
INSERT INTO grows(image) SELECT image FROM photos WHERE id < 21;
CREATE INDEX grows_code ON grows(code);
INSERT INTO grows(image, code) SELECT code, code FROM img_hash_each('SELECT id, image FROM grows');
SELECT count(*), count(code) FROM grows;
UPDATE grows SET image = (SELECT image FROM photos WHERE photos.id = grows.id - 20) WHERE id > 20;
UPDATE grows SET code = e.code FROM img_hash_each('SELECT id, image FROM grows WHERE code IS NULL') AS e WHERE id = e.key;
SELECT count(*), count(code), sum(code = img_hash(image)) FROM grows;
DELETE FROM grows WHERE id IN (SELECT key FROM img_hash_each('SELECT id, image FROM grows ORDER BY code') WHERE key % 2);
SELECT count(*) FROM grows;
CREATE TABLE done(id INTEGER PRIMARY KEY, code BLOB, error TEXT);
CREATE TRIGGER noisy AFTER INSERT ON done BEGIN INSERT INTO photos(image) SELECT image FROM photos WHERE id = NEW.id; END;
INSERT INTO done SELECT key, code, error FROM img_hash_each('SELECT id, image FROM photos WHERE id NOT IN (SELECT id FROM done) LIMIT 10');
SELECT count(*), max(id) FROM done;
INSERT INTO done SELECT key, code, error FROM img_hash_each('SELECT id, image FROM photos WHERE id NOT IN (SELECT id FROM done)');
SELECT count(*), count(error) FROM done;
INSERT INTO done SELECT 1000 + key, code, error FROM img_hash_each('SELECT id, image FROM photos LIMIT 3') RETURNING id;
DROP TRIGGER noisy;
-- An error of the query is one of the statement, after the rows before it.
SELECT key FROM img_hash_each('SELECT id, CASE WHEN id = 3 THEN img_hash(x''00'') ELSE image END FROM photos');
INSERT INTO done SELECT 2000 + key, code, error FROM img_hash_each('SELECT id, CASE WHEN id = 3 THEN img_hash(x''00'') ELSE image END FROM photos');
SELECT count(*) FROM done WHERE id > 2000;
-- What is no query.
SELECT * FROM img_hash_each(5);
SELECT * FROM img_hash_each('');
SELECT * FROM img_hash_each(' -- nothing');
SELECT * FROM img_hash_each('SELECT 1, NULL; SELECT 2, NULL');
SELECT key FROM img_hash_each(' ; -- a comment
 /* and another */ SELECT 1, NULL ; /* this too');
SELECT * FROM img_hash_each('SELECT 1');
SELECT * FROM img_hash_each('SELECT 1, 2, 3');
SELECT * FROM img_hash_each('DELETE FROM photos RETURNING id, image');
SELECT * FROM img_hash_each('WITH x AS (SELECT 1) INSERT INTO done(id) SELECT 1 FROM x RETURNING id, code');
SELECT * FROM img_hash_each('PRAGMA collation_list');
SELECT * FROM img_hash_each('BEGIN');
SELECT * FROM img_hash_each('COMMIT');
SELECT * FROM img_hash_each('EXPLAIN SELECT 1, 2');
SELECT * FROM img_hash_each('SELECTED');
SELECT * FROM img_hash_each('SELECT id, picture FROM photos');
SELECT * FROM img_hash_each('SELECT ?1, ?2', NULL, 1);
SELECT * FROM img_hash_each('SELECT 1, NULL', NULL, 1);
SELECT * FROM img_hash_each('SELECT 1, NULL' || char(0) || 'x');
SELECT * FROM img_hash_each('SELECT 1, NULL', 'nosuch');
SELECT * FROM img_hash_each('SELECT 1, NULL', 5);
SELECT * FROM img_hash_each('SELECT 1, NULL') WHERE total = -1;
SELECT * FROM img_hash_each;
SELECT * FROM photos AS p LEFT JOIN img_hash_each AS e ON e.sql = p.path LIMIT 1;
-- Queries in queries, to a depth.
SELECT key, code IS NULL FROM img_hash_each('SELECT key, NULL FROM img_hash_each(''SELECT id, image FROM photos LIMIT 2'')');
SELECT * FROM img_hash_each('SELECT key, code FROM img_hash_each(?1, NULL, ?1)', NULL, 'SELECT key, code FROM img_hash_each(?1, NULL, ?1)');
-- Not from a view or a trigger.
CREATE VIEW hidden AS SELECT * FROM img_hash_each('SELECT 1, NULL');
SELECT * FROM hidden;
-- Settings.
SELECT binhash_config('max_pixels', 100);
SELECT key, error FROM img_hash_each('SELECT id, image FROM photos WHERE id < 3');

.load ./build/binhash
.mode list
.nullvalue NULL
CREATE TEMP VIEW models AS SELECT name, bits, kind, is_default, length(sha256) AS digits, report FROM binhash_models;
-- What is compiled in is there from the start, whichever head is asked for
-- first, and its names are taken.
SELECT length(img_hash_rgb(x'ff0000', 1, 1, 'copy-64'));
SELECT * FROM models;
SELECT binhash_load('copy-64', 'build/tests/models/tiny.safetensors');
SELECT binhash_unload('copy-64');
SELECT binhash_load('copy', 'weights/photo-64.safetensors');
SELECT binhash_load('copy-64', 'weights/photo-64.safetensors');
SELECT name, bits FROM models;
SELECT binhash_unload('copy');
-- A file by its path; the result is the names that it registered.
SELECT binhash_load('tiny', 'build/tests/models/tiny.safetensors');
SELECT binhash_load('tiny', 'build/tests/models/tiny.safetensors');
.shell sha256sum build/tests/models/tiny.safetensors >build/tests/models/tiny.sha256
SELECT sha256 = substr(CAST(readfile('build/tests/models/tiny.sha256') AS TEXT), 1, 64) FROM binhash_models WHERE name = 'tiny';
SELECT * FROM models;
SELECT hex(img_hash_rgb(x'ff0000', 1, 1, 'tiny'));
-- The same bytes under another name, from a BLOB.
SELECT binhash_load('copy', readfile('build/tests/models/tiny.safetensors'));
SELECT count(*), count(DISTINCT sha256) FROM binhash_models WHERE name IN ('tiny', 'copy');
SELECT hex(img_hash_rgb(x'ff0000', 1, 1, 'copy'));
-- Other bytes under a name in use are refused, also under the default's.
SELECT binhash_load('tiny', 'build/tests/models/other.safetensors');
SELECT binhash_load('photo-64', 'build/tests/models/tiny.safetensors');
SELECT binhash_load('other', 'build/tests/models/other.safetensors');
SELECT count(*), count(DISTINCT sha256) FROM binhash_models WHERE name IN ('tiny', 'other');
SELECT hex(img_hash_rgb(x'ff0000', 1, 1, 'other')), hex(img_hash_rgb(x'ff0000', 1, 1, 'tiny'));
-- Unloading.
SELECT binhash_unload('copy'), binhash_unload('other');
SELECT name FROM models;
SELECT hex(img_hash_rgb(x'ff0000', 1, 1, 'tiny'));
SELECT img_hash_rgb(x'ff0000', 1, 1, 'copy');
SELECT binhash_unload('copy');
SELECT binhash_unload('photo-64');
SELECT binhash_unload(NULL);
SELECT binhash_unload(x'74696e79');
SELECT binhash_unload('tiny' || char(0));
SELECT binhash_unload('tiny');
-- A name that is free again takes other bytes, and nothing is remembered.
CREATE TABLE c AS SELECT CAST(x'424d' || x'3a000000' || x'00000000' || x'36000000' || x'28000000' || x'01000000' || x'01000000' || x'01001800' || zeroblob(24) || x'000010' || x'00' AS BLOB) AS image;
SELECT length(binhash_load('m', 'build/tests/models/tiny.safetensors')), hex(img_hash(image, 'm')), binhash_unload('m'), length(binhash_load('m', 'build/tests/models/other.safetensors')), hex(img_hash(image, 'm')) FROM c;
SELECT binhash_unload('m');
-- A file of two heads registers both, the first under the name given.
SELECT binhash_load('first', 'build/tests/models/two.safetensors');
SELECT * FROM models;
SELECT binhash_load('first', 'build/tests/models/two.safetensors');
SELECT binhash_load('third', 'build/tests/models/two.safetensors');
SELECT count(DISTINCT sha256) FROM binhash_models WHERE name IN ('first', 'third', 'wide');
SELECT binhash_load('wide', 'build/tests/models/two.safetensors');
SELECT binhash_load('wide', 'build/tests/models/tiny.safetensors');
SELECT name, bits FROM models;
-- One head may go and the others stay; loading again brings it back.
SELECT binhash_unload('first'), binhash_unload('third');
SELECT hex(img_hash_rgb(x'ff0000', 1, 1, 'wide'));
SELECT length(binhash_load('first', 'build/tests/models/two.safetensors'));
SELECT name, bits FROM models;
SELECT binhash_unload('wide'), binhash_unload('first');
-- All heads or none.
SELECT binhash_load('a', 'build/tests/models/takes-default.safetensors');
SELECT binhash_load('a', 'build/tests/models/takes-copy.safetensors');
SELECT binhash_load('a', 'build/tests/models/long-head.safetensors');
SELECT binhash_load('a', 'build/tests/models/headless.safetensors');
SELECT name FROM models;
-- A statement that unloads while it uses, or reads the list.
SELECT length(binhash_load('a', 'build/tests/models/tiny.safetensors')), length(binhash_load('b', 'build/tests/models/other.safetensors'));
SELECT value, CASE value WHEN 2 THEN binhash_unload('a') ELSE hex(img_hash_rgb(x'ff0000', 1, 1, iif(value, 'a', ''))) END FROM json_each('[1,2,3]');
SELECT name, CASE WHEN name = 'b' THEN binhash_unload('b') END, length(sha256) FROM binhash_models;
SELECT name FROM models;
-- What is no model.
SELECT binhash_load('a', '');
SELECT binhash_load('a', 'build/tests/models/nosuch');
SELECT binhash_load('a', 'build/tests/models');
SELECT binhash_load('a', 'build/tests/models/fifo');
SELECT binhash_load('a', '/dev/null');
SELECT binhash_load('a', 'build/tests/models/empty');
SELECT binhash_load('a', 'build/tests/models/short');
SELECT binhash_load('a', 'build/tests/models/garbage');
SELECT binhash_load('a', 'build/tests/models/cut');
SELECT binhash_load('a', 'build/tests/models/longer');
SELECT binhash_load('a', 'build/tests/models/header-cut');
SELECT binhash_load('a', 'build/tests/models/claims-all');
SELECT binhash_load('a', 'build/tests/models/version-2');
SELECT binhash_load('a', 'build/tests/models/tiny.safetensors' || char(0) || '.txt');
SELECT binhash_load('a', x'');
SELECT binhash_load('a', zeroblob(0));
SELECT binhash_load('a', zeroblob(8));
SELECT binhash_load('a', zeroblob(1000000));
SELECT binhash_load('a', x'ffffffffffffffff7b7d');
SELECT binhash_load('a', CAST(x'0200000000000000' || '{}' AS BLOB));
SELECT binhash_load('a', CAST(x'0300000000000000' || '{},' AS BLOB));
-- A BLOB cut anywhere.
WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 100)
SELECT count(*) FROM n WHERE binhash_load('cut', substr(readfile('build/tests/models/tiny.safetensors'), 1, 2031 - 20 * i)) IS NOT NULL;
-- A file that is written over or cut while it is loaded, and one replaced.  The
-- sha256 is of what was loaded, and taken when it is asked for.
.shell cp build/tests/models/tiny.safetensors build/tests/models/mine
.shell touch -d 2020-01-01 build/tests/models/mine
SELECT length(binhash_load('mine', 'build/tests/models/mine')), hex(img_hash_rgb(x'ff0000', 1, 1, 'mine'));
.shell cp build/tests/models/other.safetensors build/tests/models/mine
SELECT img_hash_rgb(x'ff0000', 1, 1, 'mine');
SELECT binhash_load('mine', 'build/tests/models/mine');
SELECT binhash_unload('mine'), length(binhash_load('mine', 'build/tests/models/mine')), hex(img_hash_rgb(x'ff0000', 1, 1, 'mine'));
.shell : > build/tests/models/mine
SELECT img_hash_rgb(x'ff0000', 1, 1, 'mine');
SELECT name, bits, length(sha256) FROM binhash_models WHERE name = 'mine';
SELECT name, bits FROM binhash_models WHERE name = 'mine';
SELECT binhash_unload('mine');
.shell cp build/tests/models/tiny.safetensors build/tests/models/mine
SELECT length(binhash_load('mine', 'build/tests/models/mine'));
.shell rm build/tests/models/mine
SELECT hex(img_hash_rgb(x'ff0000', 1, 1, 'mine')), binhash_unload('mine');
.shell cp build/tests/models/tiny.safetensors build/tests/models/mine
SELECT binhash_load('mine', 'build/tests/models/mine');
SELECT sha256 = substr(CAST(readfile('build/tests/models/tiny.sha256') AS TEXT), 1, 64) FROM binhash_models WHERE name = 'mine';
.shell cp build/tests/models/other.safetensors build/tests/models/mine
SELECT sha256 = substr(CAST(readfile('build/tests/models/tiny.sha256') AS TEXT), 1, 64) FROM binhash_models WHERE name = 'mine';
SELECT binhash_unload('mine');
.shell rm build/tests/models/mine
-- Arguments.
SELECT binhash_load('a', NULL);
SELECT binhash_load('a', 1);
SELECT binhash_load('a', 1.5);
SELECT binhash_load(NULL, 'build/tests/models/tiny.safetensors');
SELECT binhash_load('', 'build/tests/models/tiny.safetensors');
SELECT binhash_load(1, 'build/tests/models/tiny.safetensors');
SELECT binhash_load(x'61', 'build/tests/models/tiny.safetensors');
SELECT binhash_load('a' || char(0), 'build/tests/models/tiny.safetensors');
SELECT binhash_load(printf('%.*c', 101, 'x'), 'build/tests/models/tiny.safetensors');
SELECT length(binhash_load(printf('%.*c', 100, 'x'), 'build/tests/models/tiny.safetensors')), binhash_unload(printf('%.*c', 100, 'x'));
SELECT length(binhash_load('Ünïcode "name"; --', 'build/tests/models/tiny.safetensors')), hex(img_hash_rgb(x'ff0000', 1, 1, 'Ünïcode "name"; --'));
SELECT binhash_load('a');
SELECT name FROM models;
-- The table is read-only.
INSERT INTO binhash_models(name) VALUES ('x');
DELETE FROM binhash_models;
SELECT count(*) FROM binhash_models a JOIN binhash_models b USING (name);
-- A schema may not load or unload.
CREATE VIEW loads AS SELECT binhash_load('v', 'build/tests/models/tiny.safetensors');
SELECT * FROM loads;
CREATE TABLE t(a);
CREATE TRIGGER unloads AFTER INSERT ON t BEGIN SELECT binhash_unload('a'); END;
INSERT INTO t VALUES (1);
CREATE TABLE d(a DEFAULT (binhash_load('v', x'')));
INSERT INTO d DEFAULT VALUES;

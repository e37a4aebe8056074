.load ./build/binhash
.mode list
.nullvalue NULL
-- Pictures of one pixel; "exact" is an integer network that reads it, "tiny" one
-- in float32.
SELECT binhash_load('exact', 'build/tests/models/exact.safetensors') <> '', binhash_load('tiny', 'build/tests/models/tiny.safetensors') <> '';
CREATE TABLE p(id INTEGER PRIMARY KEY, image BLOB, kind TEXT, number INT);
WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 120),
c AS (SELECT i, i % 3 AS kind, i * 7919 % 53 AS x, i * 104729 % 41 AS y FROM n)
INSERT INTO p SELECT i, CAST(x'424d3a000000000000003600000028000000010000000100000001001800000000000400000000000000000000000000000000000000' ||
  char(CASE kind WHEN 2 THEN 126 - x / 2 ELSE 1 + (x + y) / 4 END) || char(CASE kind WHEN 1 THEN 126 - y / 2 ELSE 1 + y / 2 END) ||
  char(CASE kind WHEN 0 THEN 126 - x / 2 ELSE 1 + x / 2 END) || char(0) AS BLOB), CASE kind WHEN 0 THEN 'red' WHEN 1 THEN 'green' ELSE 'blue' END, kind FROM c;
SELECT count(*), count(DISTINCT image), sum(img_error(image) IS NULL) FROM p;
-- What a run gives; learning is in float32, so only what holds everywhere.
CREATE TABLE m(name TEXT PRIMARY KEY, model BLOB, report TEXT);
INSERT INTO m SELECT 'a', model, report FROM binhash_train('SELECT image, kind FROM p', '{"base":"exact","bits":12,"batch":16}');
SELECT typeof(model), json_valid(report), json_extract(report, '$.base'), json_extract(report, '$.bits'), json_extract(report, '$.rows'), json_extract(report, '$.images'), json_extract(report, '$.held_out'), json_extract(report, '$.classes'), json_extract(report, '$.features'), json_extract(report, '$.accuracy') > 0.9, json_extract(report, '$.map') > 0.9, json_extract(report, '$.loss.last') < json_extract(report, '$.loss.first'), json_extract(report, '$.warnings') FROM m;
SELECT binhash_load('a', model) FROM m WHERE name = 'a';
SELECT name, bits, kind, is_default, report = (SELECT json_remove(report, '$.seconds') FROM m) FROM binhash_models WHERE name IN ('a', 'exact');
SELECT avg(img_label(image, 'a') = kind) > 0.9, length(img_hash(image, 'a')), length(img_features(image, 'a')) FROM p;
-- One seed gives one file; another seed another.
INSERT INTO m SELECT 'b', model, report FROM binhash_train('SELECT image, kind FROM p', '{"base":"exact","bits":12,"batch":16}');
INSERT INTO m SELECT 'c', model, report FROM binhash_train('SELECT image, kind FROM p', '{"base":"exact","bits":12,"batch":16,"seed":2}');
SELECT binhash_config('threads', 3);
INSERT INTO m SELECT 'd', model, report FROM binhash_train('SELECT image, kind FROM p', '{"base":"exact","bits":12,"batch":16}');
SELECT (SELECT model FROM m WHERE name = 'a') = model FROM m WHERE name <> 'a' ORDER BY name;
-- From a file as from a BLOB.
SELECT writefile('build/tests/models/trained.safetensors', model) = length(model) FROM m WHERE name = 'a';
SELECT binhash_load('file', 'build/tests/models/trained.safetensors');
SELECT sum(img_hash(image, 'a') = img_hash(image, 'file')), count(*) FROM p;
-- float32.
INSERT INTO m SELECT 'f', model, report FROM binhash_train('SELECT image, number FROM p', '{"base":"tiny","batch":16}');
SELECT binhash_load('f', model), json_extract(report, '$.accuracy') > 0.9 FROM m WHERE name = 'f';
SELECT kind, bits FROM binhash_models WHERE name = 'f';
SELECT avg(img_label(image, 'f') = number) > 0.9, typeof(img_label(image, 'f')) FROM p;
-- Arguments of the query; hidden columns in WHERE.
SELECT json_extract(report, '$.images'), json_extract(report, '$.classes') FROM binhash_train('SELECT image, kind FROM p WHERE id <= ?1 AND kind <> ?2', '{"base":"exact"}', 60, 'red');
SELECT json_extract(report, '$.images'), a1 FROM binhash_train WHERE sql = 'SELECT image, kind FROM p WHERE id <= ?' AND options = '{"base":"exact"}' AND a1 = 30;
SELECT count(*) FROM binhash_train(NULL);
SELECT count(*), json_extract(report, '$.base') = (SELECT name FROM binhash_models WHERE is_default) FROM binhash_train('SELECT image, kind FROM p LIMIT 6', NULL);
-- Rows that cannot be learned from are counted, the first of them named.
CREATE TABLE bad(image, label);
INSERT INTO bad SELECT image, kind FROM p LIMIT 60;
INSERT INTO bad VALUES (NULL, 'red'), (x'00', NULL), (x'0011', 'red'), (x'0011', 'blue'), ('text', 'red'), ((SELECT image FROM p), 1.5), ((SELECT image FROM p), x'00'), ((SELECT image FROM p), printf('%201c', 'x')), (x'', 'only-broken');
SELECT json_extract(report, '$.skipped'), json_extract(report, '$.images'), json_extract(report, '$.classes'), json_extract(report, '$.warnings') FROM binhash_train('SELECT image, label FROM bad', '{"base":"exact"}');
-- An image of several rows: several labels, or the same again.
SELECT json_extract(report, '$.rows'), json_extract(report, '$.images'), json_extract(report, '$.labels'), json_extract(report, '$.several'), json_extract(report, '$.repeated'), json_extract(report, '$.classes')
FROM binhash_train('SELECT image, kind FROM p UNION ALL SELECT image, ''warm'' FROM p WHERE kind = ''red'' UNION ALL SELECT image, kind FROM p', '{"base":"exact"}');
-- Little to learn from.
SELECT json_extract(report, '$.classes'), json_extract(report, '$.warnings') FROM binhash_train('SELECT image, kind FROM p LIMIT 1', '{"base":"exact"}');
SELECT json_extract(report, '$.classes'), json_extract(report, '$.warnings') FROM binhash_train('SELECT image, 7 FROM p', '{"base":"exact"}');
SELECT json_extract(report, '$.warnings[0]') LIKE 'not learning: raise the rate, which is %' FROM binhash_train('SELECT image, kind FROM p', '{"base":"exact","rate":0.00001}');
SELECT json_extract(report, '$.accuracy'), json_extract(report, '$.map'), json_extract(report, '$.warnings') FROM binhash_train('SELECT image, kind FROM p', '{"base":"exact","validation":0,"batch":16}');
SELECT json_extract(report, '$.warnings[0]') LIKE 'about % %% of the labels look wrong; the most doubtful are in rows %' FROM binhash_train('SELECT image, CASE WHEN id % 12 = 0 THEN ''green'' ELSE kind END FROM p', '{"base":"exact","batch":16,"epochs":60}');
-- New classes on a model that was trained before: it has not forgotten.
INSERT INTO m SELECT 'two', model, report FROM binhash_train('SELECT image, kind FROM p WHERE kind <> ''blue''', '{"base":"exact","bits":12,"batch":16}');
SELECT binhash_load('two', model) FROM m WHERE name = 'two';
INSERT INTO m SELECT 'three', model, report FROM binhash_train('SELECT image, kind FROM p WHERE kind = ''blue''', '{"base":"two","batch":16}');
SELECT binhash_load('three', model), json_extract(report, '$.old_classes'), json_extract(report, '$.classes'), json_extract(report, '$.replayed') > 0, json_extract(report, '$.replay_accuracy') > 0.8, json_extract(report, '$.bits') FROM m WHERE name = 'three';
SELECT avg(img_label(image, 'three') = kind) > 0.9 FROM p WHERE kind <> 'blue';
SELECT avg(img_label(image, 'three') = kind) > 0.9 FROM p WHERE kind = 'blue';
-- Errors name what is wrong.
SELECT * FROM binhash_train;
SELECT * FROM binhash_train(5);
SELECT * FROM binhash_train('SELECT image FROM p');
SELECT * FROM binhash_train('DELETE FROM p');
SELECT * FROM binhash_train('PRAGMA user_version');
SELECT * FROM binhash_train('SELECT image, kind FROM p; SELECT 1');
SELECT * FROM binhash_train('SELECT image, nosuch FROM p');
SELECT * FROM binhash_train('SELECT image, kind FROM p WHERE id < ?', '{}');
SELECT * FROM binhash_train('SELECT image, kind FROM p', '{"base":"exact"}', 1);
SELECT * FROM binhash_train('SELECT image, kind FROM p WHERE 0', '{"base":"exact"}');
SELECT * FROM binhash_train('SELECT x''00'', 1', '{"base":"exact"}');
SELECT * FROM binhash_train('SELECT image, kind FROM p', '');
SELECT * FROM binhash_train('SELECT image, kind FROM p', 5);
SELECT * FROM binhash_train('SELECT image, kind FROM p', '[]');
SELECT * FROM binhash_train('SELECT image, kind FROM p', '{"bits":0}');
SELECT * FROM binhash_train('SELECT image, kind FROM p', '{"bits":1025}');
SELECT * FROM binhash_train('SELECT image, kind FROM p', '{"bits":1.5}');
SELECT * FROM binhash_train('SELECT image, kind FROM p', '{"epochs":"many"}');
SELECT * FROM binhash_train('SELECT image, kind FROM p', '{"batch":5000}');
SELECT * FROM binhash_train('SELECT image, kind FROM p', '{"rate":0}');
SELECT * FROM binhash_train('SELECT image, kind FROM p', '{"validation":0.9}');
SELECT * FROM binhash_train('SELECT image, kind FROM p', '{"seed":-1}');
SELECT * FROM binhash_train('SELECT image, kind FROM p', '{"epoch":3}');
SELECT * FROM binhash_train('SELECT image, kind FROM p', '{"base":7}');
SELECT * FROM binhash_train('SELECT image, kind FROM p', '{"base":"nosuch"}');
SELECT * FROM binhash_train('SELECT image, kind FROM p', '{"base":"exact","rate":100,"batch":16}');
-- Options that are no JSON, or more than it.
SELECT * FROM binhash_train('SELECT image, kind FROM p', '{"bits":12,"bits":12}');
SELECT * FROM binhash_train('SELECT image, kind FROM p', '{"rate":1e400}');
SELECT * FROM binhash_train('SELECT image, kind FROM p', '{"seed":9223372036854775808}');
SELECT * FROM binhash_train('SELECT image, kind FROM p', '{"base":"exact"} {}');
SELECT * FROM binhash_train('SELECT image, kind FROM p', '{"base":"ex\u0000act"}');
SELECT * FROM binhash_train('SELECT image, kind FROM p', '{"' || CAST(x'ff' AS TEXT) || '":1}');
SELECT * FROM binhash_train('SELECT image, kind FROM p', '{"base":"exact"}' || char(0) || 'x');
SELECT * FROM binhash_train('SELECT image, kind FROM p', replace(hex(zeroblob(50)), '00', '['));
SELECT * FROM binhash_train('SELECT image, kind FROM p', '{"' || hex(zeroblob(500000)) || '":1}');
SELECT * FROM binhash_train('SELECT image, kind FROM p', CAST('{}' AS BLOB));
-- A query that fails half way, or that wants to write; nothing is stored.
CREATE TABLE none(model, report);
INSERT INTO none SELECT model, report FROM binhash_train('SELECT image, CASE id WHEN 60 THEN abs(-9223372036854775807 - 1) ELSE kind END FROM p', '{"base":"exact"}');
INSERT INTO none SELECT model, report FROM binhash_train('INSERT INTO p(image) VALUES (x''00'') RETURNING image, 1', '{"base":"exact"}');
INSERT INTO none SELECT model, report FROM binhash_train('WITH x AS (SELECT 1) DELETE FROM p RETURNING image, kind', '{"base":"exact"}');
INSERT INTO none SELECT model, report FROM binhash_train('EXPLAIN SELECT image, kind FROM p', '{"base":"exact"}');
INSERT INTO none SELECT model, report FROM binhash_train(';;-- nothing', '{"base":"exact"}');
INSERT INTO none SELECT model, report FROM binhash_train('SELECT model, 1 FROM binhash_train(?1, ''{"base":"exact"}'', ?1)', '{"base":"exact"}', 'SELECT model, 1 FROM binhash_train(?1, ''{"base":"exact"}'', ?1)');
SELECT count(*), (SELECT count(*) FROM p) FROM none;
-- Labels that no class can have, a class for each picture, each picture in each
-- class, and a label that is a number or its text.
SELECT json_extract(report, '$.skipped.labels'), json_extract(report, '$.skipped.first[0].error'), json_extract(report, '$.skipped.first[2].error'), json_extract(report, '$.classes') FROM binhash_train('SELECT image, CASE id WHEN 1 THEN CAST(x''ff80'' AS TEXT) WHEN 2 THEN ''a'' || char(0) WHEN 3 THEN hex(zeroblob(500000)) ELSE kind END FROM p', '{"base":"exact","epochs":1}');
SELECT json_extract(report, '$.classes'), json_extract(report, '$.held_out'), json_extract(report, '$.warnings[1]') FROM binhash_train('SELECT image, char(10, 34, 92) || id FROM p', '{"base":"exact","epochs":1,"batch":1,"bits":1}');
SELECT json_extract(report, '$.images'), json_extract(report, '$.labels'), json_extract(report, '$.several'), json_extract(report, '$.classes') FROM binhash_train('SELECT p.image, q.id FROM p, p AS q', '{"base":"exact","epochs":1,"bits":1024}');
SELECT json_extract(report, '$.images'), json_extract(report, '$.repeated'), json_extract(report, '$.classes') FROM binhash_train('SELECT image, 1 FROM p UNION ALL SELECT image, ''1'' FROM p', '{"base":"exact","epochs":1}');
-- Training within the query of another training.
SELECT json_extract(report, '$.images'), (SELECT bits FROM binhash_models WHERE name = 'within') FROM binhash_train('SELECT image, kind FROM p WHERE CASE id WHEN 3 THEN length(binhash_load(''within'', (SELECT model FROM binhash_train(''SELECT image, kind FROM p'', ''{"base":"exact","epochs":1,"bits":5}'')))) ELSE 1 END', '{"base":"exact","epochs":1}');
CREATE VIEW v AS SELECT model FROM binhash_train('SELECT image, kind FROM p');
SELECT * FROM v;
-- The query may unload the base, which stays while it is in use.
SELECT json_extract(report, '$.base'), count(*) FROM binhash_train('SELECT image, kind FROM p WHERE CASE id WHEN 1 THEN binhash_unload(''two'') IS NULL ELSE 1 END', '{"base":"two"}');
SELECT count(*) FROM binhash_models WHERE name = 'two';

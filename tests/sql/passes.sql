.load ./build/binhash
.mode list
-- How many images went through the network for each way to write a search.
CREATE TEMP VIEW info AS SELECT json_extract(binhash_info(), '$.forward_passes') AS n;
CREATE TABLE photos(id INTEGER PRIMARY KEY, image BLOB, code BLOB);
INSERT INTO photos(image) SELECT readfile('tests/golden/pictures/' || value) FROM json_each('["420.jpg","444.jpg","rgb-8.png","plain.gif","24.bmp","noise.jpg","grey.jpg","1x47.jpg","quality-1.jpg","16x16.jpg"]');
CREATE TABLE mark(n);
INSERT INTO mark VALUES (0);
CREATE TEMP VIEW passes AS SELECT info.n - mark.n AS passes FROM info, mark;
-- One for each row that is hashed.
UPDATE photos SET code = img_hash(image);
SELECT 'fill', passes FROM passes;
-- A bound parameter: a constant of the statement.
.parameter init
INSERT INTO temp.sqlite_parameters VALUES ('?1', readfile('tests/golden/pictures/422.jpg'));
UPDATE mark SET n = (SELECT n FROM info);
SELECT count(*), sum(typeof(d) = 'integer') FROM (SELECT id, hamming(code, img_hash(?1)) AS d FROM photos ORDER BY hamming(code, img_hash(?1)) LIMIT 10);
SELECT 'parameter', passes FROM passes;
-- readfile within a SELECT of its own: once a statement.
UPDATE mark SET n = (SELECT n FROM info);
SELECT count(*) FROM (SELECT id FROM photos ORDER BY hamming(code, (SELECT img_hash(readfile('tests/golden/pictures/440.jpg')))) LIMIT 10);
SELECT 'subquery', passes FROM passes;
-- readfile bare, evaluated for each row: the last image is remembered.
UPDATE mark SET n = (SELECT n FROM info);
SELECT count(*) FROM (SELECT id FROM photos ORDER BY hamming(code, img_hash(readfile('tests/golden/pictures/411.jpg'))) LIMIT 10);
SELECT 'readfile', passes FROM passes;
-- The same, with nothing remembered: one for each row.
SELECT binhash_config('cache_bytes', 0);
UPDATE mark SET n = (SELECT n FROM info);
SELECT count(*) FROM (SELECT id FROM photos ORDER BY hamming(code, img_hash(readfile('tests/golden/pictures/411.jpg'))) LIMIT 10);
SELECT 'readfile, no memory', passes FROM passes;
UPDATE mark SET n = (SELECT n FROM info);
SELECT count(*) FROM (SELECT id FROM photos ORDER BY hamming(code, (SELECT img_hash(readfile('tests/golden/pictures/411.jpg')))) LIMIT 10);
SELECT 'subquery, no memory', passes FROM passes;
UPDATE mark SET n = (SELECT n FROM info);
SELECT count(*) FROM (SELECT id FROM photos ORDER BY hamming(code, img_hash(?1)) LIMIT 10);
SELECT 'parameter, no memory', passes FROM passes;
SELECT binhash_config('cache_bytes', 268435456);
-- The image of a joined row: one row, one pass.
UPDATE mark SET n = (SELECT n FROM info);
SELECT count(*) FROM (SELECT photos.id FROM photos p JOIN photos WHERE p.id = 3 ORDER BY hamming(photos.code, img_hash(p.image)) LIMIT 10);
SELECT 'join', passes FROM passes;
-- Each row against each: as many as there are images in the outer loop.
UPDATE mark SET n = (SELECT n FROM info);
SELECT count(*) FROM photos p CROSS JOIN photos q WHERE hamming(q.code, img_hash(p.image)) = 0 AND p.id = q.id;
SELECT 'join of all', passes FROM passes;
-- A common table expression, materialised or not.
UPDATE mark SET n = (SELECT n FROM info);
WITH query(code) AS MATERIALIZED (SELECT img_hash(readfile('tests/golden/pictures/441.jpg')))
SELECT count(*) FROM (SELECT id FROM photos, query ORDER BY hamming(photos.code, query.code) LIMIT 10);
SELECT 'CTE', passes FROM passes;
UPDATE mark SET n = (SELECT n FROM info);
WITH query(code) AS (SELECT img_hash(readfile('tests/golden/pictures/410.jpg')))
SELECT count(*) FROM (SELECT id FROM photos, query ORDER BY hamming(photos.code, query.code) LIMIT 10);
SELECT 'CTE, plain', passes FROM passes;
-- A table-valued search: once.
UPDATE mark SET n = (SELECT n FROM info);
SELECT count(*) FROM binhash_topk('photos', 'code', img_hash(readfile('tests/golden/pictures/33x1.jpg')), 10);
SELECT 'topk', passes FROM passes;
UPDATE mark SET n = (SELECT n FROM info);
SELECT count(*) FROM photos p, binhash_topk('photos', 'code', img_hash(p.image), 1) t WHERE t.distance = 0;
SELECT 'topk for each row', passes FROM passes;
-- Another picture in between, another model, another layer: computed, once each.
UPDATE mark SET n = (SELECT n FROM info);
SELECT count(img_hash(image)) FROM (SELECT image FROM photos WHERE id = 1 UNION ALL SELECT image FROM photos WHERE id = 2 UNION ALL SELECT image FROM photos WHERE id = 1);
SELECT 'another picture', passes FROM passes;
-- Heads of one file that share the pixels alone: a pass each, of one decoding.
UPDATE mark SET n = (SELECT n FROM info);
SELECT length(img_hash(image)), length(img_hash(image, 'copy-64')), length(img_features(image, 'copy-64')), length(img_features(image)) FROM photos WHERE id = 6;
SELECT 'two branches', passes FROM passes;
SELECT count(img_hash(p.image)), sum(img_hash(p.image, 'copy-64') = e.code) FROM photos AS p JOIN img_hash_each('SELECT id, image FROM photos', 'copy-64') AS e ON e.key = p.id;
SELECT binhash_load('tiny', 'build/tests/models/tiny.safetensors');
UPDATE mark SET n = (SELECT n FROM info);
SELECT length(img_hash(image)), length(img_hash(image, 'tiny')), length(img_features(image, 'tiny')), length(img_hash(image, 'tiny')) FROM photos WHERE id = 5;
SELECT 'another model', passes FROM passes;
-- Errors are no passes and forget nothing.
UPDATE mark SET n = (SELECT n FROM info);
SELECT length(img_hash(image, 'tiny')), try_img_hash(x'00', 'tiny') IS NULL, img_error(image) IS NULL, length(img_hash(image, 'tiny')) FROM photos WHERE id = 5;
SELECT 'errors', passes FROM passes;
-- A label and features of one picture in every row.
UPDATE mark SET n = (SELECT n FROM info);
SELECT count(*) FROM photos WHERE img_label(readfile('tests/golden/pictures/420.jpg')) <> '';
SELECT 'label', passes FROM passes;
UPDATE mark SET n = (SELECT n FROM info);
SELECT count(*) FROM photos WHERE length(img_features(readfile('tests/golden/pictures/411.jpg'))) = 1536;
SELECT 'features', passes FROM passes;
-- Another head of a file, the features and the label: in the same pass.
UPDATE mark SET n = (SELECT n FROM info);
SELECT length(img_hash(image)), length(img_features(image)), img_label(image) <> '', (SELECT count(*) FROM img_labels(photos.image)) FROM photos WHERE id = 7;
SELECT 'code, features, label', passes FROM passes;
UPDATE mark SET n = (SELECT n FROM info);
SELECT count(img_hash(image, 'copy-64')) + count(img_hash(image, 'photo-64')) FROM photos;
SELECT 'two compiled-in heads of ten', passes FROM passes;
SELECT binhash_load('first', 'build/tests/models/two.safetensors');
UPDATE mark SET n = (SELECT n FROM info);
SELECT length(img_hash(image, 'first')), length(img_hash(image, 'wide')), length(img_features(image, 'wide')), img_label(image, 'first') <> '', length(img_features(image, 'first')), img_hash(image, 'wide') = (SELECT code FROM img_hash_views(photos.image, 'flip', 'wide')) FROM photos WHERE id = 7;
SELECT 'two heads', passes FROM passes;
UPDATE mark SET n = (SELECT n FROM info);
SELECT count(img_hash(image, 'wide')) + count(img_hash(image, 'first')) FROM photos;
SELECT 'two heads of ten', passes FROM passes;
UPDATE mark SET n = (SELECT n FROM info);
SELECT binhash_config('cache_bytes', 0);
SELECT length(img_hash(image, 'first')), length(img_hash(image, 'wide')) FROM photos WHERE id = 7;
SELECT binhash_config('cache_bytes', 268435456);
SELECT 'two heads, no memory', passes FROM passes;
-- The codes of 64 heads in one pass; 64 layers are what fits in it.
SELECT binhash_load('h0', 'build/tests/models/many.safetensors');
UPDATE mark SET n = (SELECT n FROM info);
SELECT count(*), count(DISTINCT img_hash(image, name)) FROM photos, binhash_models m WHERE m.name GLOB 'h[0-9]*' AND photos.id = 4;
SELECT 'many heads', passes FROM passes;
UPDATE mark SET n = (SELECT n FROM info);
SELECT img_label(image, 'h0') || img_label(image, 'h63') <> '' FROM photos WHERE id = 4;
SELECT 'and two classifiers', passes FROM passes;
-- Views: one for each, however often they are asked for.
UPDATE mark SET n = (SELECT n FROM info);
SELECT count(*) FROM (SELECT id FROM photos ORDER BY (SELECT min(hamming(photos.code, v.code)) FROM img_hash_views(readfile('tests/golden/pictures/422.jpg'), 'd4') v) LIMIT 10);
SELECT 'views in a subquery', passes FROM passes;
UPDATE mark SET n = (SELECT n FROM info);
WITH v AS MATERIALIZED (SELECT code FROM img_hash_views(readfile('tests/golden/pictures/440.jpg'), 'crops5'))
SELECT count(*) FROM (SELECT id FROM photos ORDER BY (SELECT min(hamming(photos.code, v.code)) FROM v) LIMIT 10);
SELECT 'views in a CTE', passes FROM passes;
UPDATE mark SET n = (SELECT n FROM info);
SELECT count(DISTINCT t.rowid) FROM img_hash_views(readfile('tests/golden/pictures/441.jpg'), 'd4') v JOIN binhash_topk('photos', 'code', v.code) t;
SELECT 'views and topk', passes FROM passes;
UPDATE mark SET n = (SELECT n FROM info);
SELECT count(*) FROM photos p JOIN img_hash_views(p.image, 'flip') v JOIN photos q WHERE hamming(q.code, v.code) = 0 AND q.id = p.id AND v.view = 'identity';
SELECT 'views of each row', passes FROM passes;
UPDATE mark SET n = (SELECT n FROM info);
SELECT count(*) FROM (SELECT 1 FROM img_hash_views((SELECT image FROM photos WHERE id = 2), 'd4') LIMIT 3);
SELECT 'views as needed', passes FROM passes;
UPDATE mark SET n = (SELECT n FROM info);
SELECT count(l.label) FROM photos p LEFT JOIN img_labels(p.image) l;
SELECT 'labels of each row', passes FROM passes;
UPDATE mark SET n = (SELECT n FROM info);
SELECT count(img_quality(image)) FROM photos;
SELECT 'quality', passes FROM passes;

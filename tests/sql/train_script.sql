.load ./build/binhash
.mode list
.nullvalue NULL
-- sql/train.sql on drawn pictures, reddish, greenish and bluish ones of 4 x 4
-- pixels.  Learning is in float32, whose last digits differ between machines, so
-- what the script prints goes to a file, and what holds everywhere is looked at.
CREATE TABLE photos(id INTEGER PRIMARY KEY, image BLOB, code BLOB, kind TEXT);
CREATE TABLE photo_labels(photo INT, label TEXT);
WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 90),
c AS (SELECT i, i % 3 AS kind, i * 7919 % 31 AS x, i * 104729 % 29 AS y FROM n),
rgb AS (SELECT i, kind, char(CASE kind WHEN 0 THEN 126 - x ELSE 1 + x END) AS r,
  char(CASE kind WHEN 1 THEN 126 - y ELSE 1 + y END) AS g,
  char(CASE kind WHEN 2 THEN 126 - x ELSE 1 + (x + y) / 2 END) AS b FROM c)
INSERT INTO photos(id, image, kind)
SELECT i, CAST(x'424d66000000000000003600000028000000040000000400000001001800000000003000000000000000000000000000000000000000'
  || replace(printf('%.16c', 'p'), 'p', b || g || r) AS BLOB),
  CASE kind WHEN 0 THEN 'red' WHEN 1 THEN 'green' ELSE 'blue' END FROM rgb;
INSERT INTO photo_labels SELECT id, kind FROM photos WHERE id <= 60;
INSERT INTO photo_labels SELECT id, 'warm' FROM photos WHERE id <= 9 AND kind = 'red';
SELECT count(*), sum(img_error(image) IS NULL) FROM photos;
.output build/log/train_script.printed
.read sql/train.sql
.output
SELECT json_extract(report, '$.images'), json_extract(report, '$.labels'),
  json_extract(report, '$.several'), json_extract(report, '$.classes'),
  json_extract(report, '$.accuracy') > 0.7, json_extract(report, '$.map') > 0.7,
  json_extract(report, '$.warnings[0]') FROM models;
SELECT name, bits, kind, report = (SELECT json_remove(report, '$.seconds') FROM models) FROM binhash_models;
-- Photos without a label are told apart too.
SELECT count(*), avg(img_label(image, 'mine') = kind) > 0.9 FROM photos WHERE id > 60;
SELECT count(code), min(length(code)), max(length(code)) FROM photos;
SELECT avg(kind = near) > 0.9 FROM (SELECT a.id, a.kind, b.kind AS near, row_number() OVER (PARTITION BY a.id ORDER BY hamming(a.code, b.code), b.id) AS i FROM photos AS a JOIN photos AS b ON b.id <> a.id WHERE a.id > 60) WHERE i = 1;

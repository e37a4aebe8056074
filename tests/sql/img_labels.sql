.load ./build/binhash
.mode list
.nullvalue NULL
SELECT binhash_load('tiny', 'build/tests/models/two.safetensors'), binhash_load('numbered', 'build/tests/models/numbered.safetensors');
CREATE TABLE c(id INTEGER PRIMARY KEY, name, image);
WITH v(name, bgr) AS (VALUES ('red', x'0000ff'), ('mixed', x'0308ff'), ('blue', x'ff0000'), ('white', x'ffffff'))
INSERT INTO c(name, image) SELECT name, CAST(x'424d' || x'3a000000' || x'00000000' || x'36000000' || x'28000000' || x'01000000' || x'01000000' || x'01001800' || zeroblob(24) || bgr || x'00' AS BLOB) FROM v;
-- Every class, the most likely first; equals in the order of the classes.
SELECT c.name, l.rowid, l.label, round(l.score, 4), typeof(l.score) FROM c JOIN img_labels(c.image, 'tiny') l ORDER BY c.id, l.rowid;
SELECT label FROM img_labels((SELECT image FROM c WHERE name = 'mixed'), 'tiny');
-- Numbers where the classes have no names, as img_label gives them.
SELECT label, typeof(label) FROM img_labels((SELECT image FROM c WHERE name = 'blue'), 'numbered');
SELECT name, (SELECT label FROM img_labels(c.image, 'numbered') LIMIT 1) = img_label(image, 'numbered'), (SELECT label FROM img_labels(c.image) LIMIT 1) = img_label(image) FROM c;
-- The default model: two hundred classes, whose scores are probabilities.
SELECT count(*), count(DISTINCT label), round(sum(score), 4), min(score) >= 0, max(score) = (SELECT score FROM img_labels(readfile('tests/golden/pictures/420.jpg')) LIMIT 1) FROM img_labels(readfile('tests/golden/pictures/420.jpg'));
SELECT group_concat(score, ' ') = (SELECT group_concat(score, ' ') FROM (SELECT score FROM img_labels(readfile('tests/golden/pictures/420.jpg')) ORDER BY score DESC)) FROM img_labels(readfile('tests/golden/pictures/420.jpg'));
-- No rows for a model without a classifier and where an argument is NULL.
SELECT count(*) FROM img_labels(x'00', 'wide');
SELECT count(*) FROM img_labels(NULL);
SELECT count(*) FROM img_labels(NULL, 'nosuch');
SELECT count(*) FROM img_labels(x'00', NULL);
-- Joins: each order of the tables, outer joins, arguments in WHERE.
SELECT count(*) FROM c JOIN img_labels(c.image, 'tiny') l WHERE l.label = c.name;
SELECT count(*) FROM img_labels l JOIN c ON l.image = c.image AND l.model = 'tiny' WHERE l.label = c.name;
SELECT c.name, l.label FROM c LEFT JOIN img_labels(c.image, 'tiny') l ON l.label = c.name ORDER BY c.id;
SELECT c.name, l.label FROM c LEFT JOIN img_labels(CASE WHEN c.id > 2 THEN c.image END, 'tiny') l ON l.score > 0.5 ORDER BY c.id;
SELECT label FROM img_labels WHERE image = (SELECT image FROM c WHERE id = 1) AND model = 'tiny' LIMIT 1;
SELECT model, length(image), label FROM img_labels((SELECT image FROM c WHERE id = 1)) LIMIT 0;
SELECT model, length(image), label FROM img_labels((SELECT image FROM c WHERE id = 1), 'tiny') LIMIT 1;
SELECT model, length(image) FROM img_labels((SELECT image FROM c WHERE id = 1)) LIMIT 1;
SELECT model, label FROM img_labels WHERE image = (SELECT image FROM c WHERE id = 1) AND model IN ('tiny', 'numbered') AND score > 0.9 ORDER BY model;
-- Rows of a model that the statement unloads.
SELECT label, CASE WHEN rowid = 1 THEN coalesce(binhash_unload('tiny'), 'unloaded') END FROM img_labels((SELECT image FROM c WHERE name = 'red'), 'tiny');
-- Errors.
SELECT * FROM img_labels;
SELECT * FROM img_labels();
SELECT count(*) FROM img_labels l RIGHT JOIN c ON l.image = c.image;
SELECT (SELECT label FROM img_labels(image)) FROM c;
SELECT * FROM img_labels(x'');
SELECT * FROM img_labels(x'ffd8ff', 'numbered');
SELECT * FROM img_labels('text');
SELECT * FROM img_labels(3);
SELECT * FROM img_labels(x'00', 'tiny');
SELECT * FROM img_labels(x'00', 'photo-64' || char(0));
SELECT * FROM img_labels(x'00', 'a', 'b');
-- What decodes bytes is not for a schema that is not trusted.
CREATE VIEW v AS SELECT label FROM c, img_labels(c.image, 'numbered');
SELECT count(*) FROM v;
PRAGMA trusted_schema = OFF;
SELECT count(*) FROM v;
SELECT count(*) FROM c, img_labels(c.image, 'numbered');

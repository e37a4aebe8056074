.load ./build/binhash
.mode list
.nullvalue NULL
SELECT binhash_load('tiny', 'build/tests/models/two.safetensors'), binhash_load('numbered', 'build/tests/models/numbered.safetensors');
CREATE TABLE c(name, image);
WITH v(name, bgr) AS (VALUES ('red', x'0000ff'), ('green', x'00ff00'), ('blue', x'ff0000'), ('white', x'ffffff'))
INSERT INTO c SELECT name, CAST(x'424d' || x'3a000000' || x'00000000' || x'36000000' || x'28000000' || x'01000000' || x'01000000' || x'01001800' || zeroblob(24) || bgr || x'00' AS BLOB) FROM v;
-- The most likely class by its name, the first of equals.
SELECT name, img_label(image, 'tiny') FROM c;
-- By its number, where the model does not name its classes.
SELECT name, img_label(image, 'numbered'), typeof(img_label(image, 'numbered')) FROM c;
-- NULL for a model without a classifier, and for NULL.
SELECT img_label(image, 'wide'), img_label(NULL), img_label(NULL, 'tiny'), img_label(x'', NULL) FROM c LIMIT 1;
-- The default model names the classes of Tiny ImageNet; the other head of its
-- file has none.
SELECT img_label(image) IN (SELECT label FROM img_labels(c.image)), length(img_label(image)) > 3, img_label(image) = img_label(image, 'photo-64'), img_label(image, 'copy-64') FROM c;
SELECT img_label(readfile('tests/golden/pictures/420.jpg')) = img_label(readfile('tests/golden/pictures/420-progressive.jpg'));
-- Errors.
SELECT img_label(x'');
SELECT img_label(x'ffd8ff', 'tiny');
SELECT img_label('text');
SELECT img_label(3);
SELECT img_label(image, 'nosuch') FROM c;
SELECT img_label();
-- It counts as any other pass and leaves the remembered code alone.
CREATE TEMP VIEW passes AS SELECT json_extract(binhash_info(), '$.forward_passes') AS n;
CREATE TABLE before AS SELECT n FROM passes;
SELECT length(img_hash(image)), img_label(image, 'tiny'), length(img_hash(image)) FROM c WHERE name = 'red';
SELECT passes.n - before.n FROM passes, before;

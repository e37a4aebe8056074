.load ./build/binhash
.mode list
.nullvalue NULL
SELECT binhash_load('corners', 'build/tests/models/corners.safetensors'), binhash_load('tiny', 'build/tests/models/two.safetensors');
-- A picture of four pixels whose red is 0 but for the top left: the first four
-- bits say where that pixel is in each view.
CREATE TABLE c(id INTEGER PRIMARY KEY, image);
INSERT INTO c(image) SELECT CAST(x'424d' || x'46000000' || x'00000000' || x'36000000' || x'28000000' || x'02000000' || x'feffffff' || x'01001800' || zeroblob(24) || x'0000ff' || x'00ff00' || x'0000' || x'ff0000' || x'000000' || x'0000' AS BLOB);
SELECT rowid, view, hex(code), length(code), typeof(code) FROM img_hash_views((SELECT image FROM c), 'd4', 'corners');
SELECT view, hex(code) FROM img_hash_views((SELECT image FROM c), 'flip', 'corners');
-- A view is what img_hash gives for a file of those pixels: the same pixels with
-- each EXIF orientation.
CREATE TABLE p AS SELECT value AS name, readfile('tests/golden/pictures/' || value) AS image FROM json_each('["exif-1.jpg","exif-2.jpg","exif-3.jpg","exif-4.jpg","exif-5.jpg","exif-6.jpg","exif-7.jpg","exif-8.jpg"]');
SELECT v.view, count(p.name), group_concat(p.name, ' ') FROM (SELECT view, code FROM img_hash_views(readfile('tests/golden/pictures/exif-1.jpg'), 'd4', 'corners')) v JOIN p ON p.name = 'exif-' || CASE v.view WHEN 'identity' THEN 1 WHEN 'flip' THEN 2 WHEN 'rotate180' THEN 3 WHEN 'flip_vertical' THEN 4 WHEN 'transpose' THEN 5 WHEN 'rotate90' THEN 6 WHEN 'transverse' THEN 7 WHEN 'rotate270' THEN 8 END || '.jpg' AND img_hash(p.image, 'corners') = v.code GROUP BY v.view;
SELECT count(*), count(DISTINCT v.code) > 3, sum(v.code = (SELECT img_hash(image) FROM p WHERE name = 'exif-' || CASE v.view WHEN 'identity' THEN 1 WHEN 'flip' THEN 2 WHEN 'rotate180' THEN 3 WHEN 'flip_vertical' THEN 4 WHEN 'transpose' THEN 5 WHEN 'rotate90' THEN 6 WHEN 'transverse' THEN 7 WHEN 'rotate270' THEN 8 END || '.jpg')) FROM img_hash_views(readfile('tests/golden/pictures/exif-1.jpg'), 'd4') v;
-- A view of what EXIF has turned already is of the picture as shown.
SELECT count(*) FROM img_hash_views(readfile('tests/golden/pictures/exif-6.jpg'), 'd4') a JOIN img_hash_views(readfile('tests/golden/pictures/exif-1.jpg'), 'd4') b ON a.view = 'rotate90' AND b.view = 'rotate180' AND a.code = b.code;
-- Crops: a picture of 3 x 1 pixels, of which a crop has 2: red and green, or
-- green and blue; the one in the centre begins at 0.
SELECT view, hex(code) FROM img_hash_views(CAST(x'424d' || x'42000000' || x'00000000' || x'36000000' || x'28000000' || x'03000000' || x'01000000' || x'01001800' || zeroblob(24) || x'0000ff' || x'00ff00' || x'ff0000' || x'000000' AS BLOB), 'crops5', 'corners');
-- Five by five pixels of raw RGB: the crops by hand.
CREATE TABLE rgb AS WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 24) SELECT i % 5 AS x, i / 5 AS y, CASE WHEN i * 7 % 5 > 2 THEN x'ff00ff' ELSE x'00ff00' END AS bgr FROM n;
CREATE TABLE five(image);
INSERT INTO five SELECT CAST(x'424d' || x'86000000' || x'00000000' || x'36000000' || x'28000000' || x'05000000' || x'fbffffff' || x'01001800' || zeroblob(24) || group_concat(line, '') AS BLOB) FROM (SELECT group_concat(bgr, '') || x'00' AS line FROM (SELECT * FROM rgb ORDER BY y, x) GROUP BY y ORDER BY y);
CREATE TABLE crops(view, x0, y0);
INSERT INTO crops VALUES ('centre', 0, 0), ('top_left', 0, 0), ('top_right', 1, 0), ('bottom_left', 0, 1), ('bottom_right', 1, 1);
SELECT v.view, v.code = (SELECT img_hash_rgb(CAST(group_concat(bgr, '') AS BLOB), 4, 4, 'corners') FROM (SELECT bgr FROM rgb WHERE x >= x0 AND x < x0 + 4 AND y >= y0 AND y < y0 + 4 ORDER BY y, x)) FROM five, img_hash_views(five.image, 'crops5', 'corners') v JOIN crops USING (view);
SELECT view, img_hash(five.image, 'corners') = code, img_hash(five.image) = (SELECT w.code FROM img_hash_views(five.image, 'crops5') w LIMIT 1) FROM five, img_hash_views(five.image, 'crops5', 'corners') LIMIT 1;
-- One pixel is the same from every side.
SELECT count(*), count(DISTINCT code) FROM img_hash_views(readfile('tests/golden/pictures/1x1.jpg'), 'd4');
SELECT count(*), count(DISTINCT code) FROM img_hash_views(readfile('tests/golden/pictures/1x1.jpg'), 'crops5');
-- Nothing for NULL.
SELECT count(*) FROM img_hash_views(NULL, 'd4');
SELECT count(*) FROM img_hash_views(NULL, 'nosuch', 'nosuch');
SELECT count(*) FROM img_hash_views(x'00', NULL);
SELECT count(*) FROM img_hash_views(x'00', 'd4', NULL);
-- Joins: each order of the tables, outer joins, arguments in WHERE.
SELECT name, view FROM p JOIN img_hash_views(p.image, 'flip') WHERE view <> 'identity' ORDER BY name LIMIT 2;
SELECT count(*) FROM img_hash_views v JOIN p ON v.image = p.image AND v.views = 'flip';
SELECT count(*), count(v.code) FROM p LEFT JOIN img_hash_views(p.image, 'flip') v ON v.view = 'flip';
SELECT count(*), count(v.code) FROM p LEFT JOIN img_hash_views(CASE WHEN p.name > 'exif-4' THEN p.image END, 'flip') v;
SELECT count(*), count(DISTINCT p.rowid) FROM p LEFT JOIN img_hash_views v ON v.image = p.image AND v.views = 'd4';
SELECT views, group_concat(view, ' ') FROM img_hash_views WHERE image = (SELECT image FROM c) AND views IN ('flip', 'd4') AND model = 'corners' GROUP BY views ORDER BY views;
SELECT length(image), views, model FROM img_hash_views((SELECT image FROM c), 'flip') LIMIT 1;
SELECT count(*) FROM (SELECT v.code FROM p JOIN img_hash_views(p.image, 'flip') v EXCEPT SELECT img_hash(image) FROM p);
-- A model that the statement unloads.
SELECT view, hex(code), CASE view WHEN 'flip' THEN binhash_unload('corners') END FROM img_hash_views((SELECT image FROM c), 'd4', 'corners');
-- Errors.
SELECT * FROM img_hash_views;
SELECT * FROM img_hash_views(x'00');
SELECT count(*) FROM img_hash_views v RIGHT JOIN p ON v.image = p.image AND v.views = 'd4';
SELECT * FROM img_hash_views(x'', 'd4');
SELECT * FROM img_hash_views(x'ffd8ff', 'd4');
SELECT * FROM img_hash_views('text', 'd4');
SELECT * FROM img_hash_views((SELECT image FROM c), 'd5');
SELECT * FROM img_hash_views((SELECT image FROM c), 'D4');
SELECT * FROM img_hash_views((SELECT image FROM c), 'd4' || char(0));
SELECT * FROM img_hash_views((SELECT image FROM c), 8);
SELECT * FROM img_hash_views((SELECT image FROM c), 'd4', 'nosuch');
SELECT * FROM img_hash_views((SELECT image FROM c), 'd4', 'tiny', 1);
SELECT count(*) FROM (SELECT image FROM c UNION ALL SELECT x'00') i JOIN img_hash_views(i.image, 'd4');
-- What decodes bytes is not for a schema that is not trusted.
CREATE VIEW w AS SELECT code FROM c, img_hash_views(c.image, 'flip');
SELECT count(*) FROM w;
PRAGMA trusted_schema = OFF;
SELECT count(*) FROM w;
SELECT count(*) FROM c, img_hash_views(c.image, 'flip');

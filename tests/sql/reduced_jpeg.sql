.load ./build/binhash
.mode list
.nullvalue NULL
-- Two models, the same but for reduced_jpeg: 2 x 2 pixels, a bit for each value.
SELECT binhash_load('corners', 'build/tests/models/corners.safetensors');
SELECT binhash_load('reduced', 'build/tests/models/reduced.safetensors');
SELECT binhash_load('bilinear', 'build/tests/models/reduced-bilinear.safetensors');
CREATE TABLE p(name TEXT PRIMARY KEY, image BLOB);
INSERT INTO p SELECT value, readfile('tests/golden/pictures/' || value) FROM json_each('["420.jpg","420-progressive.jpg","422.jpg","440.jpg","411-progressive.jpg","444.jpg","restart.jpg","exif-3.jpg","exif-6.jpg","grey.jpg","cmyk-progressive.jpg","ycck.jpg","noise.jpg","8x8.jpg","rgb-8.png","plain.gif"]');
-- What they see differs little, and for other formats not at all.
SELECT count(*), max(hamming(img_hash(image, 'corners'), img_hash(image, 'reduced'))) < 3 FROM p WHERE name LIKE '%.jpg';
SELECT name FROM p WHERE name NOT LIKE '%.jpg' AND img_hash(image, 'corners') <> img_hash(image, 'reduced');
SELECT name, hex(img_hash(image, 'reduced')) FROM p ORDER BY name;
-- The same picture gives the same code, however it is coded.
SELECT count(DISTINCT img_hash(image, 'reduced')) FROM p WHERE name IN ('420.jpg', '420-progressive.jpg', 'restart.jpg');
-- The identity is the picture; other functions see it in the same way.
SELECT count(*) FROM p JOIN img_hash_views(p.image, 'd4', 'reduced') v WHERE v.view = 'identity' AND v.code = img_hash(p.image, 'reduced');
SELECT img_hash(image, 'reduced') = img_hash(image, 'reduced'), try_img_hash(image, 'reduced') = img_hash(image, 'reduced') FROM p WHERE name = 'exif-6.jpg';
-- In bulk as one by one.
SELECT key FROM p JOIN img_hash_each('SELECT name, image FROM p', 'reduced') ON key = name WHERE code IS NOT img_hash(image, 'reduced');
SELECT count(*), count(code) FROM img_hash_each('SELECT name, image FROM p', 'reduced');
-- Passing from one model to another does not pass on what was decoded.
SELECT name FROM p WHERE img_hash(image, 'corners') <> (SELECT img_hash(q.image, 'corners') FROM p q WHERE q.name = p.name) OR img_hash(image, 'reduced') <> (SELECT img_hash(q.image, 'reduced') FROM p q WHERE q.name = p.name);
-- A file that is cut is refused as ever, also where the missing scans are not needed.
SELECT img_hash(substr(image, 1, length(image) - 40), 'reduced') FROM p WHERE name = '420.jpg';
SELECT img_hash(substr(image, 1, length(image) - 40), 'reduced') FROM p WHERE name = '420-progressive.jpg';
-- Coefficients of which no sample is made are not looked at.
SELECT img_hash(readfile('tests/golden/broken/loud-progressive.jpg'), 'corners');
SELECT length(img_hash(readfile('tests/golden/broken/loud-progressive.jpg'), 'reduced'));
SELECT img_error(readfile('tests/golden/broken/loud-progressive.jpg'));

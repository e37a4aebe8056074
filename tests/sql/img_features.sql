.load ./build/binhash
.mode list
.nullvalue NULL
CREATE TABLE p AS SELECT value AS name, readfile('tests/golden/pictures/' || value) AS image FROM json_each('["420.jpg","420-progressive.jpg","rgb-8.png","noise.jpg"]');
SELECT binhash_load('tiny', 'build/tests/models/two.safetensors');
CREATE TABLE c AS SELECT CAST(x'424d' || x'3a000000' || x'00000000' || x'36000000' || x'28000000' || x'01000000' || x'01000000' || x'01001800' || zeroblob(24) || x'0102ff' || x'00' AS BLOB) AS image;
-- The layer before the latent layer, as little-endian float32: here the colour.
SELECT hex(img_features(image, 'tiny')) FROM c;
-- Any layer by its name, the input too.
SELECT hex(img_layer(image, 'data', 'tiny')), hex(img_layer(image, 'colours', 'tiny')) FROM c;
SELECT hex(img_layer(image, 'latent', 'tiny')) FROM c;
SELECT length(img_layer(image, 'prob', 'tiny')), length(img_layer(image, 'wide', 'tiny')) FROM c;
SELECT img_layer(image, 'wide', 'wide') = img_layer(image, 'wide', 'tiny') FROM c;
-- The bits of the code are the signs of the latent layer: unit 0 is the most
-- significant bit of byte 0, and a logit of 0 gives 0.
CREATE TEMP VIEW bits AS
WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 63),
  f AS (SELECT name, hex(img_hash(image)) AS code, hex(img_layer(image, 'photo-64')) AS logits FROM p)
SELECT name, i,
  ((instr('0123456789ABCDEF', substr(code, i / 4 + 1, 1)) - 1) >> (3 - i % 4)) & 1 AS bit,
  substr(logits, 8 * i + 7, 1) < '8' AND substr(logits, 8 * i + 1, 8) <> '00000000' AS positive
FROM n, f;
SELECT name, count(*), sum(bit = positive) FROM bits GROUP BY name ORDER BY name;
-- Equal pixels, equal features; a distance of 0 to themselves, more to others.
SELECT img_features(a.image) = img_features(b.image), feature_distance(img_features(a.image), img_features(b.image)), cosine_distance(img_features(a.image), img_features(b.image)) < 1e-9 FROM p a, p b WHERE a.name = '420.jpg' AND b.name = '420-progressive.jpg';
SELECT feature_distance(img_features(a.image), img_features(b.image)) > 0 FROM p a, p b WHERE a.name = '420.jpg' AND b.name = 'noise.jpg';
SELECT typeof(img_features(image)), length(img_features(image)) > 0, length(img_features(image)) % 4, img_features(image) = img_features(image, 'photo-64') FROM p WHERE name = 'rgb-8.png';
SELECT length(img_layer(image, 'photo-64')), length(img_layer(image, 'data')) FROM p WHERE name = 'rgb-8.png';
-- One layer after the other of one image, remembered or not.
SELECT hex(img_features(image, 'tiny')) = hex(img_layer(image, 'colours', 'tiny')), length(img_hash(image, 'tiny')), length(img_hash(image, 'wide')), hex(img_features(image, 'tiny')) FROM c;
-- A head that names no feature layer has the one before its latent layer.
SELECT hex(img_features(image, 'wide')) FROM c;
-- NULL for NULL.
SELECT img_features(NULL), img_features(NULL, 'nosuch'), img_features(x'', NULL), img_layer(NULL, 'latent'), img_layer(x'', NULL), img_layer(x'', 'latent', NULL);
-- Errors.
SELECT img_layer(image, 'nosuch', 'tiny') FROM c;
SELECT img_layer(image, '', 'tiny') FROM c;
SELECT img_layer(image, 'LATENT', 'tiny') FROM c;
SELECT img_layer(image, 'latent' || char(0), 'tiny') FROM c;
SELECT img_layer(image, 0, 'tiny') FROM c;
SELECT img_layer(image, 'latent', 'nosuch') FROM c;
SELECT img_features(image, 'nosuch') FROM c;
SELECT img_features(x'');
SELECT img_features('text');
SELECT img_layer(x'ffd8ff', 'photo-64');
SELECT img_layer(1, 'photo-64');
SELECT img_layer(x'00');
SELECT img_features(x'00', 'a', 'b');

.load ./build/binhash
.mode list
.nullvalue NULL
-- A model is of integers or of float32, and says which.
SELECT binhash_load('exact', 'build/tests/models/exact.safetensors'), binhash_load('tiny', 'build/tests/models/tiny.safetensors');
SELECT name, kind, bits, is_default, length(sha256), report FROM binhash_models WHERE name IN ('exact', 'tiny');
SELECT kind IN ('integer', 'float32'), is_default FROM binhash_models WHERE is_default;
-- Both give the sign of the same numbers here.
CREATE TABLE c(rgb);
INSERT INTO c VALUES (x'ff7f80'), (x'000000'), (x'ffffff'), (x'7f8081'), (x'807f00');
SELECT hex(rgb), hex(img_hash_rgb(rgb, 1, 1, 'exact')), hex(img_hash_rgb(rgb, 1, 1, 'tiny')) FROM c;
SELECT hex(img_hash(readfile('tests/golden/pictures/1x1.png'), 'exact')), hex(img_features(readfile('tests/golden/pictures/1x1.png'), 'exact')), hex(img_layer(readfile('tests/golden/pictures/1x1.png'), 'latent', 'exact')), img_label(readfile('tests/golden/pictures/1x1.png'), 'exact');
SELECT count(*), count(DISTINCT code) FROM img_hash_views(readfile('tests/golden/pictures/1x1.png'), 'd4', 'exact');
SELECT count(*) FROM img_labels(readfile('tests/golden/pictures/1x1.png'), 'exact');
-- Two files of the same layers and other numbers are two models, also for the
-- memory of the last image.
SELECT binhash_load('other', 'build/tests/models/other.safetensors');
SELECT hex(img_hash(image, 'tiny')), hex(img_hash(image, 'other')), hex(img_hash(image, 'tiny')), hex(img_hash(image, 'other')) FROM (SELECT readfile('tests/golden/pictures/1x1.png') AS image);

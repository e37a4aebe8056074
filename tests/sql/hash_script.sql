.load ./build/binhash
.mode list
.nullvalue NULL
-- sql/import.sql, hash.sql and rehash.sql: one pass a picture for code and features, reasons for the rest.
.parameter set :folder "'tests/hosts'"
.read sql/import.sql
INSERT INTO photos(path) SELECT 'tests/golden/pictures/' || value FROM json_each('["420.jpg","444.jpg","rgb-8.png","plain.gif","24.bmp","noise.jpg","grey.jpg","1x47.jpg","quality-1.jpg","16x16.jpg","17x15.jpg","33x1.jpg","411.jpg","410.jpg","441.jpg","440.jpg","422.jpg","8x8.jpg"]');
INSERT INTO photos(id, path) VALUES (5000, 'tests/golden/broken/cut.jpg'), (5001, 'tests/golden/nosuch.jpg');
.parameter set :slice 16
.read sql/hash.sql
SELECT count(code), count(features), sum(length(code)), sum(length(features)), json_extract(binhash_info(), '$.forward_passes') FROM codes;
.read sql/hash.sql
SELECT count(code), count(features), sum(length(code)), sum(length(features)), json_extract(binhash_info(), '$.forward_passes') FROM codes;
SELECT path, features, error FROM photos JOIN codes USING (id) WHERE code IS NULL;
SELECT sum(code = img_hash(readfile(path))), sum(features = img_features(readfile(path))) FROM photos JOIN codes USING (id) WHERE code IS NOT NULL;
SELECT model, length(sha256), next_model FROM library;
-- Nothing is left to do, and nothing is done.
.read sql/hash.sql
SELECT json_extract(binhash_info(), '$.forward_passes');
-- To another model, in slices; searches see the old codes until the last.
SELECT binhash_load('exact', 'build/tests/models/exact.safetensors');
.parameter set :model "'exact'"
.parameter set :slice 8
.read sql/rehash.sql
SELECT count(next_code), sum(code = try_img_hash(readfile(path))), (SELECT next_model FROM library) FROM photos JOIN codes USING (id) WHERE error IS NULL;
-- A picture that comes meanwhile is moved as well.
INSERT INTO photos(id, path) VALUES (6000, 'tests/golden/pictures/8x8.png');
INSERT INTO photos(id, path) VALUES (6001, 'tests/golden/pictures/exif-6.jpg');
.read sql/hash.sql
.read sql/rehash.sql
-- Somebody else wants another model: it begins anew, and then the first again.
SELECT binhash_load('corners', 'build/tests/models/corners.safetensors');
.parameter set :model "'corners'"
.read sql/rehash.sql
SELECT count(next_code), (SELECT next_model FROM library) FROM codes;
.parameter set :model "'exact'"
.parameter set :slice 100
.read sql/rehash.sql
SELECT count(code), count(features), sum(code = try_img_hash(readfile(path), 'exact')), sum(features = img_features(readfile(path), 'exact')), sum(next_code IS NULL AND next_features IS NULL AND next_error IS NULL) FROM photos JOIN codes USING (id) WHERE error IS NULL;
SELECT path, error FROM photos JOIN codes USING (id) WHERE code IS NULL;
SELECT model, length(sha256), next_model, next_sha256 FROM library;
-- Done is done; new pictures get the new model's code.
.read sql/rehash.sql
INSERT INTO photos(id, path) VALUES (6002, 'tests/golden/pictures/exif-8.jpg');
.read sql/hash.sql
SELECT hex(code) = hex(img_hash(readfile(path), 'exact')) FROM photos JOIN codes USING (id) WHERE id = 6002;
-- There and back again before a swap leaves things as they are.
.parameter set :model NULL
.parameter set :slice 4
.read sql/rehash.sql
.parameter set :model "'exact'"
.read sql/rehash.sql
SELECT count(next_code), count(code), sum(length(code)) FROM codes;
SELECT model, next_model FROM library;
-- A model that there is not, last, since it ends the script.
.parameter set :model "'nosuch'"
.read sql/rehash.sql
SELECT 'not reached';

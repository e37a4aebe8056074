.load ./build/binhash
.mode list
.nullvalue NULL
-- sql/hash.sql: one pass a picture for code and features, reasons for the rest.
CREATE TABLE photos(id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE, code BLOB, features BLOB, error TEXT);
INSERT INTO photos(path) SELECT 'tests/golden/pictures/' || value FROM json_each('["420.jpg","444.jpg","rgb-8.png","plain.gif","24.bmp","noise.jpg","grey.jpg","1x47.jpg","quality-1.jpg","16x16.jpg","17x15.jpg","33x1.jpg","411.jpg","410.jpg","441.jpg","440.jpg","422.jpg","8x8.jpg"]');
INSERT INTO photos(id, path) VALUES (5000, 'tests/golden/broken/cut.jpg'), (5001, 'tests/golden/nosuch.jpg');
.read sql/hash.sql
SELECT count(code), count(features), sum(length(code)), sum(length(features)), json_extract(binhash_info(), '$.forward_passes') FROM photos;
DROP TABLE slice;
.read sql/hash.sql
SELECT count(code), count(features), sum(length(code)), sum(length(features)), json_extract(binhash_info(), '$.forward_passes') FROM photos;
SELECT path, features, error FROM photos WHERE code IS NULL;
SELECT sum(code = img_hash(readfile(path))), sum(features = img_features(readfile(path))) FROM photos WHERE code IS NOT NULL;
-- Nothing is left to do, and nothing is done.
DROP TABLE slice;
.read sql/hash.sql
SELECT json_extract(binhash_info(), '$.forward_passes') FROM photos LIMIT 1;

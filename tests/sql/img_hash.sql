.load ./build/binhash
.mode list
.nullvalue NULL
CREATE TABLE p(name TEXT PRIMARY KEY, image BLOB);
INSERT INTO p SELECT value, readfile('tests/golden/pictures/' || value) FROM json_each('["420.jpg","420-progressive.jpg","restart.jpg","444.jpg","exif-1.jpg","exif-6.jpg","exif-first.jpg","grey.jpg","cmyk.jpg","rgb-8.png","rgb-16.png","rgb-8-interlaced.png","plain.gif","interlaced.gif","24.bmp","24-top-down.bmp","1x1.png","1x47.jpg","33x1.jpg","noise.jpg"]');
-- A code of the default model is 64 bits, whatever the format and the size.
SELECT name, typeof(img_hash(image)), length(img_hash(image)) FROM p ORDER BY name;
-- The same pixels give the same code.
SELECT a.name, b.name, img_hash(a.image) = img_hash(b.image) FROM p a, p b WHERE (a.name, b.name) IN (VALUES ('420.jpg', '420-progressive.jpg'), ('420.jpg', 'restart.jpg'), ('420.jpg', 'exif-1.jpg'), ('exif-6.jpg', 'exif-first.jpg'), ('rgb-8.png', 'rgb-16.png'), ('rgb-8.png', 'rgb-8-interlaced.png'), ('rgb-8.png', '24.bmp'), ('24.bmp', '24-top-down.bmp'), ('plain.gif', 'interlaced.gif')) ORDER BY 1, 2;
-- The same call gives the same code, remembered or computed.
SELECT img_hash(image) = img_hash(image) FROM p WHERE name = 'noise.jpg';
CREATE TABLE kept AS SELECT name, img_hash(image) AS code FROM p;
SELECT count(*) FROM p JOIN kept USING (name) WHERE img_hash(image) = code;
SELECT binhash_config('cache_bytes', 0);
SELECT count(*) FROM p JOIN kept USING (name) WHERE img_hash(image) = code;
SELECT count(DISTINCT code) > 1 FROM kept;
-- The default model has a name, and naming it changes nothing.
SELECT img_hash(image, 'photo-64') = img_hash(image) FROM p WHERE name = '444.jpg';
SELECT img_hash(image, (SELECT name FROM binhash_models WHERE is_default)) = img_hash(image) FROM p WHERE name = '444.jpg';
-- The compiled-in file has another head, with another code.
SELECT length(img_hash(image, 'copy-64')), img_hash(image, 'copy-64') <> img_hash(image) FROM p WHERE name = '1x47.jpg';
-- NULL for NULL.
SELECT img_hash(NULL), img_hash(NULL, 'photo-64'), img_hash(NULL, 'nosuch'), img_hash(x'', NULL), try_img_hash(NULL), try_img_hash(x'00', NULL);
-- What is no image is an error that says why.
SELECT img_hash(x'');
SELECT img_hash(zeroblob(0));
SELECT img_hash(x'00');
SELECT img_hash(zeroblob(1000000));
SELECT img_hash('tests/golden/pictures/420.jpg');
SELECT img_hash(1);
SELECT img_hash(1.5);
SELECT img_hash(CAST(x'52494646' || x'24000000' || 'WEBPVP8 ' AS BLOB));
SELECT img_hash(CAST(x'00000018' || 'ftypheic' || x'00000000' || 'mif1heic' AS BLOB));
SELECT img_hash(CAST(x'00000018' || 'ftypavif' || x'00000000' || 'mif1avif' AS BLOB));
SELECT img_hash(substr(image, 1, length(image) - 40)) FROM p WHERE name = '420.jpg';
SELECT img_hash(substr(image, 1, length(image) - 40)) FROM p WHERE name = 'rgb-8.png';
SELECT img_hash(substr(image, 1, length(image) - 40)) FROM p WHERE name = '24.bmp';
SELECT img_hash(substr(image, 1, length(image) - 40)) FROM p WHERE name = 'plain.gif';
-- Headers that claim 4 GB and more.
SELECT img_hash(CAST(substr(image, 1, 16) || x'0000ffff0000ffff' || substr(image, 25) AS BLOB)) FROM p WHERE name = 'rgb-8.png';
SELECT img_hash(CAST(substr(image, 1, 16) || x'ffffffffffffffff' || substr(image, 25) AS BLOB)) FROM p WHERE name = 'rgb-8.png';
SELECT img_hash(CAST(substr(image, 1, 18) || x'ff7f0000ff7f0000' || substr(image, 27) AS BLOB)) FROM p WHERE name = '24.bmp';
SELECT img_hash(CAST(substr(image, 1, 6) || x'ffffffff' || substr(image, 11) AS BLOB)) FROM p WHERE name = 'plain.gif';
SELECT img_hash(CAST(substr(image, 1, instr(image, x'ffc0001108') + 4) || x'ffffffff' || substr(image, instr(image, x'ffc0001108') + 9) AS BLOB)) FROM p WHERE name = '420.jpg';
-- The pixel budget, for a picture that is remembered too.
SELECT binhash_config('cache_bytes', 1000000);
SELECT binhash_config('max_pixels', 33 * 47);
SELECT length(img_hash(image)) FROM p WHERE name = '444.jpg';
SELECT binhash_config('max_pixels', 33 * 47 - 1);
SELECT img_hash(image) FROM p WHERE name = '444.jpg';
SELECT name, try_img_hash(image) FROM p WHERE name = '444.jpg';
SELECT binhash_config('max_pixels', 100000000);
-- Unknown models, and names that are none.
SELECT img_hash(image, 'nosuch') FROM p WHERE name = '444.jpg';
SELECT img_hash(image, '') FROM p WHERE name = '444.jpg';
SELECT img_hash(image, 'PHOTO-64') FROM p WHERE name = '444.jpg';
SELECT img_hash(image, 48) FROM p WHERE name = '444.jpg';
SELECT img_hash(image, 'photo-64' || char(0) || 'x') FROM p WHERE name = '444.jpg';
SELECT img_hash(image, printf('%.*c', 300, 'x')) FROM p WHERE name = '444.jpg';
SELECT img_hash();
SELECT img_hash(x'00', 'a', 'b');
-- try_img_hash: NULL for what is no image, an error for a wrong model.
SELECT try_img_hash(image) = img_hash(image) FROM p WHERE name = '444.jpg';
SELECT try_img_hash(x''), try_img_hash(x'ffd8ff'), try_img_hash('text'), try_img_hash(3), try_img_hash(2.5);
SELECT sum(try_img_hash(substr(image, 1, length(image) / 2)) IS NULL) = count(*) FROM p;
SELECT try_img_hash(x'00', 'nosuch');
SELECT try_img_hash(NULL, 'nosuch');
-- A code in an ordinary column, filled by a trigger and by UPDATE.
CREATE TABLE photos(id INTEGER PRIMARY KEY, image BLOB, code BLOB);
CREATE TRIGGER photos_code AFTER INSERT ON photos BEGIN
  UPDATE photos SET code = try_img_hash(new.image) WHERE id = new.id;
END;
INSERT INTO photos(image) SELECT image FROM p ORDER BY name;
INSERT INTO photos(image) VALUES (NULL), (x'00');
SELECT count(*), count(code), sum(length(code)) FROM photos;
INSERT INTO photos(image) SELECT NULL WHERE 0 UNION ALL SELECT 'text';
UPDATE photos SET code = img_hash(image);
SELECT count(code) FROM photos;
-- What decodes bytes is not for a schema that is not trusted.
CREATE VIEW codes AS SELECT img_hash(image) AS code FROM p;
SELECT count(code) FROM codes;
PRAGMA trusted_schema = OFF;
SELECT count(code) FROM codes;
INSERT INTO photos(image) VALUES (x'00');
SELECT count(img_hash(image)) FROM p;

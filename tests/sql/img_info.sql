.load ./build/binhash
.mode list
.nullvalue NULL
CREATE TABLE p(name TEXT PRIMARY KEY, image BLOB);
INSERT INTO p SELECT value, readfile('tests/golden/pictures/' || value) FROM json_each('["420.jpg","grey.jpg","cmyk.jpg","exif-6.jpg","exif-3.png","rgb-16.png","grey-alpha-8.png","palette-4-trns.png","plain.gif","transparent.gif","32.bmp","1x1.png"]');
SELECT name, img_info(image) FROM p ORDER BY name;
SELECT count(*) FROM p WHERE json_valid(img_info(image));
SELECT json_extract(img_info(image), '$.width') || 'x' || json_extract(img_info(image), '$.height') FROM p WHERE name = 'exif-6.jpg';
-- The header is enough, and the pixel budget does not bind it.
SELECT img_info(substr(image, 1, 800)) FROM p WHERE name = '420.jpg';
SELECT binhash_config('max_pixels', 1);
SELECT img_info(image) FROM p WHERE name = '420.jpg';
SELECT img_info(NULL);
SELECT img_info(x'');
SELECT img_info(x'ffd8ff');
SELECT img_info(x'89504e470d0a1a0a');
SELECT img_info(CAST('GIF89a' AS BLOB));
SELECT img_info(CAST('BM' AS BLOB));
SELECT img_info('text');
SELECT img_info(7);
SELECT img_info(CAST(x'52494646' || x'24000000' || 'WEBPVP8 ' AS BLOB));
SELECT img_info(x'00', 1);

.load ./build/binhash
.mode list
.nullvalue NULL
CREATE TABLE p(name TEXT PRIMARY KEY, image BLOB);
INSERT INTO p SELECT value, readfile('tests/golden/pictures/' || value) FROM json_each('["420.jpg","rgb-8.png","plain.gif","24.bmp"]');
INSERT INTO p SELECT value, readfile('tests/golden/broken/' || value) FROM json_each('["cut.jpg","no-scan.jpg","arithmetic.jpg","critical.png","no-iend.png","cut.gif","code.gif","rle.bmp"]');
-- NULL for a good picture, else the reason.
SELECT name, img_error(image) FROM p ORDER BY name;
-- It says what img_hash says, and NULL where that gives a code.
SELECT count(*) FROM p WHERE (img_error(image) IS NULL) <> (try_img_hash(image) IS NOT NULL);
SELECT img_hash(image) FROM p WHERE name = 'cut.jpg';
-- What is no image at all.
SELECT img_error(NULL);
SELECT img_error(x'');
SELECT img_error(x'ff');
SELECT img_error('text');
SELECT img_error(1);
SELECT img_error(2.5);
SELECT img_error(zeroblob(100));
SELECT img_error(CAST('%PDF-1.7' AS BLOB));
SELECT img_error(CAST(x'52494646' || x'24000000' || 'WEBPVP8L' AS BLOB));
SELECT img_error(CAST(x'0000001c' || 'ftypheix' || x'00000000' AS BLOB));
SELECT img_error(CAST(x'0000001c' || 'ftypavis' || x'00000000' AS BLOB));
-- Too many pixels.
SELECT binhash_config('max_pixels', 400);
SELECT img_error(image) FROM p WHERE name = '420.jpg';
SELECT img_error(CAST(substr(image, 1, 16) || x'0000ffff0000ffff' || substr(image, 25) AS BLOB)) FROM p WHERE name = 'rgb-8.png';
SELECT binhash_config('max_pixels', 1551);
SELECT img_error(image) FROM p WHERE name = '420.jpg';
-- Every picture cut at every place is refused, or is the picture still.
WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 1500)
SELECT p.name, count(*), sum(img_error(substr(image, 1, i)) IS NULL) FROM p JOIN n ON i < length(image) WHERE p.name IN ('420.jpg', 'rgb-8.png', 'plain.gif', '24.bmp') GROUP BY p.name;
SELECT img_error();
SELECT img_error(x'', 'photo-64');

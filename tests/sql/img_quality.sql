.load ./build/binhash
.mode list
.nullvalue NULL
-- The same integer on every machine, so these stand here as they are.
SELECT value, img_quality(readfile('tests/golden/pictures/' || value)) FROM json_each('["1x1.png","1x1.jpg","flat.gif","luma-low.jpg","33x1.jpg","1x47.jpg","8x8.jpg","16x16.jpg","420.jpg","420-progressive.jpg","444.jpg","quality-1.jpg","quality-100.jpg","cmyk.jpg","grey.jpg","rgb-8.png","rgb-16.png","rgb-alpha-8.png","grey-1.png","plain.gif","noise.jpg"]');
SELECT typeof(img_quality(readfile('tests/golden/pictures/420.jpg')));
-- Rows, columns and channels of 24-bit BMPs: plain, one black bar, two.
CREATE TABLE drawn AS SELECT column1 AS name, CAST(x'424d' || x'36030000' || x'00000000' || x'36000000' || x'28000000' || x'10000000' || x'10000000' || x'01001800' || zeroblob(24) || replace(printf('%.16c', '.'), '.', column2) AS BLOB) AS image FROM (VALUES
 ('plain', zeroblob(48)), ('bar', replace(printf('%.5c', '.'), '.', x'ffffff') || x'000000000000' || replace(printf('%.9c', '.'), '.', x'ffffff')), ('bars', replace(printf('%.8c', '.'), '.', x'ffffff000000')));
SELECT name, img_quality(image) FROM drawn;
-- NULL of NULL.
SELECT img_quality(NULL);
-- Errors.
SELECT img_quality(x'');
SELECT img_quality(x'ffd8ff');
SELECT img_quality('text');
SELECT img_quality(3);
SELECT img_quality();
SELECT img_quality(x'00', 'photo-64');
SELECT binhash_config('max_pixels', 33 * 47 - 1);
SELECT img_quality(readfile('tests/golden/pictures/420.jpg'));

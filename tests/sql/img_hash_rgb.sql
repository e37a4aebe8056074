.load ./build/binhash
.mode list
.nullvalue NULL
-- A model whose code says of red, green and blue whether their mean is above
-- one half, then whether it is below, then 1, 0 and 0.
SELECT binhash_load('tiny', 'build/tests/models/tiny.safetensors');
SELECT hex(img_hash_rgb(x'ff0000', 1, 1, 'tiny')), hex(img_hash_rgb(x'00ff00', 1, 1, 'tiny')), hex(img_hash_rgb(x'0000ff', 1, 1, 'tiny'));
SELECT hex(img_hash_rgb(x'7f7f7f', 1, 1, 'tiny')), hex(img_hash_rgb(x'808080', 1, 1, 'tiny'));
-- Width comes before height, and rows from the top.
SELECT hex(img_hash_rgb(x'ff0000ff0000ff0000', 3, 1, 'tiny')), hex(img_hash_rgb(x'ff0000ff0000ff0000', 1, 3, 'tiny'));
SELECT hex(img_hash_rgb(zeroblob(3000000), 1000, 1000, 'tiny'));
SELECT hex(img_hash_rgb(zeroblob(3000000), 1, 1000000, 'tiny')), hex(img_hash_rgb(zeroblob(3000000), 1000000, 1, 'tiny'));
-- The same pixels as img_hash of a file of them, here a BMP from the top.
CREATE TABLE bmp AS SELECT CAST(x'424d' || x'42000000' || x'00000000' || x'36000000' || x'28000000' || x'02000000' || x'feffffff' || x'01001800' || zeroblob(24) || x'0a141e' || x'28323c' || x'0000' || x'46505a' || x'646e78' || x'0000' AS BLOB) AS image;
SELECT img_info(image) FROM bmp;
SELECT img_hash(image) = img_hash_rgb(x'1e140a3c32285a5046786e64', 2, 2), img_hash(image, 'tiny') = img_hash_rgb(x'1e140a3c32285a5046786e64', 2, 2, 'tiny') FROM bmp;
SELECT length(img_hash_rgb(x'1e140a3c32285a5046786e64', 2, 2)), img_hash_rgb(x'1e140a3c32285a5046786e64', 2, 2) = img_hash_rgb(x'1e140a3c32285a5046786e64', 2, 2, 'photo-64');
-- NULL for NULL.
SELECT img_hash_rgb(NULL, 1, 1), img_hash_rgb(x'000000', NULL, 1), img_hash_rgb(x'000000', 1, NULL), img_hash_rgb(x'000000', 1, 1, NULL);
-- Sizes that do not fit the bytes.
SELECT img_hash_rgb(x'0000', 1, 1);
SELECT img_hash_rgb(x'', 1, 1);
SELECT img_hash_rgb(x'00000000', 1, 1);
SELECT img_hash_rgb(x'000000', 3, 0);
SELECT img_hash_rgb(x'000000', 0, 3);
SELECT img_hash_rgb(x'', 0, 0);
SELECT img_hash_rgb(x'000000', -1, -1);
SELECT img_hash_rgb(x'000000', 9223372036854775807, 9223372036854775807);
SELECT img_hash_rgb(x'000000', -9223372036854775808, 1);
SELECT img_hash_rgb(x'000000', 4294967297, 1);
SELECT img_hash_rgb(x'000000', 3037000500, 3037000500);
SELECT img_hash_rgb(x'000000', 1, 100000001);
SELECT img_hash_rgb(x'000000', 1, 100000000);
-- Types.
SELECT img_hash_rgb('abc', 1, 1);
SELECT img_hash_rgb(123, 1, 1);
SELECT img_hash_rgb(x'000000', '1', 1);
SELECT img_hash_rgb(x'000000', 1, 1.0);
SELECT img_hash_rgb(x'000000', x'01', 1);
SELECT img_hash_rgb(x'000000', 1, 1, 'nosuch');
SELECT img_hash_rgb(x'000000');
-- The pixel budget holds here too.
SELECT binhash_config('max_pixels', 3);
SELECT img_hash_rgb(zeroblob(12), 2, 2, 'tiny');
SELECT hex(img_hash_rgb(zeroblob(9), 1, 3, 'tiny'));

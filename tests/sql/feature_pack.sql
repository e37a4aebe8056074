.load ./build/binhash
.mode list
.nullvalue NULL
-- float32, little-endian: 0 = 00000000, 1 = 0000803f, 2 = 00000040,
-- 255 = 00007f43, -1 = 000080bf.
SELECT hex(feature_pack(x'0000000000007f430000803f'));
SELECT hex(feature_pack(x'000080bf')), hex(feature_pack(x'000080bf000080bf'));
SELECT hex(feature_pack(x'')), hex(feature_pack(x'00000080'));
-- A quarter of the bytes, and one more than a multiple of four.
SELECT length(feature_pack(zeroblob(4 * 4096))), length(feature_pack(zeroblob(4 * 512))), length(feature_pack(zeroblob(4 * 5))), length(feature_pack(zeroblob(4 * 1000003)));
-- Either form in either argument.
CREATE TABLE v(f BLOB, g BLOB);
INSERT INTO v VALUES (x'0000000000007f430000803f', x'00007f43000000000000803f');
SELECT feature_distance(f, g), feature_distance(feature_pack(f), g), feature_distance(f, feature_pack(g)), feature_distance(feature_pack(f), feature_pack(g)) FROM v;
SELECT round(cosine_distance(f, g), 9), round(cosine_distance(feature_pack(f), g), 9), round(cosine_distance(f, feature_pack(g)), 9), round(cosine_distance(feature_pack(f), feature_pack(g)), 9) FROM v;
SELECT feature_distance(feature_pack(f), feature_pack(f)), cosine_distance(feature_pack(f), feature_pack(f)) FROM v;
SELECT feature_distance(feature_pack(x''), x''), cosine_distance(feature_pack(x''), feature_pack(x''));
-- NULL, and what is refused by name.
SELECT feature_pack(NULL), feature_distance(feature_pack(NULL), x''), typeof(feature_pack(x''));
SELECT feature_pack(x'0000803f0000c07f');
SELECT feature_pack(x'0000803f0000807f00000000');
SELECT feature_pack(x'000080ff');
SELECT feature_pack('abcd');
SELECT feature_pack(1);
SELECT feature_pack(x'000000');
SELECT feature_pack(feature_pack(x''));
SELECT feature_pack(zeroblob(4 * 16777217));
-- Blobs that are neither form.
SELECT feature_distance(x'f80000000000000000', x'');
SELECT feature_distance(x'f90000000000000000', x'');
SELECT feature_distance(x'f70000000000000000', x'');
SELECT feature_distance(x'', x'fb000000000000000001000001');
SELECT feature_distance(x'fb000000000000000001000000', x'00000000');
SELECT feature_distance(x'', x'f80000807f00000000');
SELECT feature_distance(x'', x'f8000080bf00000000');
SELECT feature_distance(x'', x'f8000000000000c07f');
SELECT cosine_distance(x'f8', x'');
-- Numbers of values that differ.
SELECT feature_distance(feature_pack(x'00000000'), x'');
SELECT cosine_distance(x'0000000000000000', feature_pack(x'00000000'));

.load ./build/binhash
.mode list
.nullvalue NULL
-- float32, little-endian: 0 = 00000000, 1 = 0000803f, 2 = 00000040,
-- 3 = 00004040, 4 = 00008040, -1 = 000080bf.
SELECT feature_distance(x'0000000000000000', x'0000404000008040');
SELECT feature_distance(x'0000803f', x'000080bf'), feature_distance(x'0000803f', x'0000803f');
SELECT feature_distance(x'', x''), typeof(feature_distance(x'', x''));
SELECT cosine_distance(x'0000803f00000000', x'000000000000803f');
SELECT cosine_distance(x'0000803f', x'00000040'), cosine_distance(x'0000803f', x'000080bf');
SELECT round(cosine_distance(x'0000803f0000803f', x'0000803f00000000'), 6);
-- A vector of zeros has no direction: 1 from everything.
SELECT cosine_distance(zeroblob(8), x'0000803f0000803f'), cosine_distance(zeroblob(8), zeroblob(8)), cosine_distance(x'', x'');
-- A long vector, whose sum is in lanes, and one that does not fill them.
SELECT feature_distance(zeroblob(4 * 4096), CAST(replace(printf('%4096s', ''), ' ', '@@@@') AS BLOB)) = 64 * 3.0039215087890625;
SELECT round(feature_distance(zeroblob(28), x'0000803f0000803f0000803f0000803f0000803f0000803f0000803f'), 6);
-- NULL gives NULL, and so does a NaN among the numbers.
SELECT feature_distance(NULL, x'00000000'), feature_distance(x'00000000', NULL), cosine_distance(NULL, 'text');
SELECT feature_distance(x'0000c07f', x'00000000'), cosine_distance(x'0000c07f', x'0000803f');
-- Anything else is an error that tells the arguments.
SELECT feature_distance(x'00000000', x'0000000000000000');
SELECT feature_distance(x'000000', x'000000');
SELECT feature_distance('abcd', x'00000000');
SELECT feature_distance(1.5, 2.5);
SELECT cosine_distance(x'00000000', x'');
SELECT cosine_distance(x'00000000', 7);

-- The evaluation's functions, on cases that were worked out by hand.
.load ./build/tests/eval
CREATE TABLE d(id INTEGER PRIMARY KEY, code BLOB, label INT);
-- From x'00': a hit at 0, a hit and a miss at 1, two misses and a hit at 2.
INSERT INTO d VALUES (1, x'00', 1), (2, x'01', 1), (3, x'02', 0),
  (4, x'03', 0), (5, x'05', 0), (6, x'06', 1);
SELECT eval_database(id, code, label) FROM d;

.print -- one row: the hit
SELECT eval_query(x'00', 1, NULL, 1);
.print -- two: (1 + 1) / 2 or 1 / 1, both 1; over min(3, 2): 2/2 or 1/2; 2/2 or 1/2
SELECT eval_query(x'00', 1, NULL, 2);
.print -- three: (1 + 1) / 2 or (1 + 2/3) / 2; over 3: 2/3 or 5/9; 2/3
SELECT round(value, 6) FROM json_tree(eval_query(x'00', 1, NULL, 3))
WHERE atom NOT NULL;
.print -- four: a hit by 1/3, then 3/4 more: 31/36, else 11/12; in all 97/108
SELECT round(eval_query(x'00', 1, NULL, 4) -> '$.ap[0]' - 97.0 / 108, 12);
.print -- all six, and more than there are: the same
SELECT eval_query(x'00', 1, NULL, 0) = eval_query(x'00', 1, NULL, 1000);
.print -- the query is in the database and left out: two hits of five
SELECT eval_query(x'00', 1, 1, 0) -> '$.p';
.print -- within radius 2: all six; around x'f8' none, which counts 0; around
.print -- x'07' five, of which three are hits
SELECT eval_query(x'00', 1, NULL, 1) -> '$.ball',
  eval_query(x'f8', 1, NULL, 1) -> '$.ball',
  eval_query(x'07', 0, NULL, 1) -> '$.ball';
.print -- no hits at all
SELECT eval_query(x'00', 7, NULL, 0), eval_query(x'00', NULL, NULL, 1);
.print -- every shuffle keeps the order of distances: 1, and 1 or (1 + 2/3) / 2
SELECT value, count(*) FROM json_each(eval_shuffled(x'00', 1, NULL, 2), '$[0]')
GROUP BY 1;
SELECT DISTINCT round(value, 6) IN (1, 0.833333)
FROM json_each(eval_shuffled(x'00', 1, NULL, 3), '$[0]');
.print -- two views: the lesser distance, so x'03' and x'02' are at 0 and 1
SELECT eval_query(eval_views(code), 0, NULL, 1, 2) -> '$.p'
FROM (SELECT x'ff' AS code UNION ALL SELECT x'03');
.print -- pairs by distance, [rows, hits], of two queries
SELECT eval_histogram(code, label, id) FROM d WHERE id IN (1, 2);
.print -- bits: ones in bits 5, 6, 7 of six codes: 2, 3, 3; in two at once: 1 each
SELECT round(value, 4) FROM json_each(eval_bits(8));
.print -- harmonic numbers, the last by the asymptotic series
SELECT eval_harmonic(0), eval_harmonic(1), eval_harmonic(4),
  round(eval_harmonic(30) - 3.99498713092039, 12),
  round(eval_harmonic(31) - 4.02724519543652, 12),
  round(eval_harmonic(100) - 5.18737751763962, 12);
.print -- -3, 2, 2.25 and 0.5 beyond 2.2: half
SELECT eval_beyond(x'000040c000000040000010400000003f', 2.2);
.print -- a class, noise that its seed alone decides, and of nothing nothing
SELECT hex(eval_byte(9)), hex(eval_random(1)), eval_random(1) = eval_random(2),
  eval_byte(NULL), eval_phash(NULL);
.print -- perceptual hash: of black all coefficients are 0, and none above the median
SELECT hex(eval_phash(zeroblob(12288)));
.print -- a micro-AP worked out: 1 pair of 1, then 1 of 2: (1 + (1 + 2/3) / 2) / 2
CREATE TABLE pairs(set_name, head, method, kind, distance, pairs, same);
INSERT INTO pairs VALUES ('s', 'h', 'code', 'crop', 0, 1, 1),
  ('s', 'h', 'code', 'crop', 1, 2, 1), ('s', 'h', 'code', 'crop', 2, 7, 0),
  ('s', 'h', 'phash', 'crop', 0, 0, 0), ('s', 'h', 'phash', 'crop', 1, 2, 2),
  ('s', 'h', 'phash', 'crop', 2, 8, 0);
CREATE TABLE arg AS SELECT 's' AS set_name, 'h' AS head;
CREATE TABLE base(label);
INSERT INTO base VALUES (1), (2), (NULL);
CREATE TABLE query(kind, label);
INSERT INTO query VALUES ('crop', 1), ('crop', 2), ('crop', NULL);
.read sql/eval/copies.sql
.print -- and what a distance means, at a prior of a half
DROP TABLE arg;
CREATE TABLE arg AS SELECT 's' AS set_name, 'h' AS head, 'code' AS method,
  'picture' AS what, 0.5 AS prior;
.read sql/eval/card.sql

-- What is wrong is an error.
SELECT eval_query(x'0000ff', 1, NULL, 1) FROM (SELECT eval_database(1, x'0000', 1));
SELECT eval_query(x'00', 1, NULL);
SELECT eval_database(1, code, 1) FROM (SELECT x'00' AS code UNION SELECT x'0000');
SELECT eval_database(1, 'text', 1);
SELECT eval_bits(9);
SELECT eval_database(id, code, label) FROM d WHERE 0;
SELECT eval_query(x'00', 1, NULL, 1);
SELECT eval_phash(x'00');

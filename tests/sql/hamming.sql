.load ./build/binhash
.mode list
.nullvalue NULL
-- Two BLOBs of equal length.
SELECT hamming(x'00', x'ff'), hamming(x'f0', x'0f'), hamming(x'ab', x'ab');
SELECT hamming(x'000000000000', x'ffffffffffff'), hamming(x'0102030405060708', x'0102030405060709');
SELECT hamming(x'010203', x'000000'), hamming(x'0000', x'8001');
SELECT hamming(zeroblob(100), CAST(x'ff' || zeroblob(99) AS BLOB)), hamming(zeroblob(1024), zeroblob(1024));
SELECT hamming(x'', x''), typeof(hamming(x'00', x'01'));
-- Every length finds a bit in its last byte.
WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200)
SELECT sum(hamming(zeroblob(i), CAST(zeroblob(i - 1) || x'01' AS BLOB))) FROM n;
-- Two INTEGERs, all 64 bits of them.
SELECT hamming(0, -1), hamming(5, 6), hamming(-9223372036854775807 - 1, 0);
-- NULL gives NULL, whatever the other is.
SELECT hamming(NULL, x'00'), hamming(x'00', NULL), hamming(NULL, 'text'), hamming(NULL, NULL);
-- Anything else is an error that tells the arguments.
SELECT hamming(x'00', x'0000');
SELECT hamming(x'0000', 'ab');
SELECT hamming('a', 'b');
SELECT hamming(1, x'01');
SELECT hamming(1.0, 1.0);
SELECT hamming(x'00');
-- The name that nobody else takes.
SELECT binhash_hamming(x'07', x'00'), binhash_hamming(1, 2);
SELECT binhash_hamming(1, 'a');
-- A constant argument is remembered, others never are: BLOBs against INTEGERs.
CREATE TABLE m(x INT, y INT, a BLOB, b BLOB);
WITH n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 999)
INSERT INTO m SELECT i % 127 + 1, i * 31 % 127 + 1, CAST(char(i % 127 + 1) AS BLOB), CAST(char(i * 31 % 127 + 1) AS BLOB) FROM n;
SELECT count(*) FROM m WHERE hamming(a, b) = hamming(x, y);
SELECT count(*) FROM m WHERE hamming(a, x'07') = hamming(x, 7) AND hamming(x'70', b) = hamming(112, y) AND hamming(b, x'55') = hamming(y, 85);
SELECT count(*) FROM m WHERE hamming(a, (SELECT x'07')) = hamming(x, 7);
SELECT count(*) FROM m p, m q WHERE p.rowid < 50 AND hamming(p.a, q.a) = hamming(p.x, q.x);
INSERT INTO m(a) VALUES (x'0000');
SELECT count(hamming(a, x'00')) FROM m;
DELETE FROM m WHERE length(a) = 2;
INSERT INTO m(a) VALUES (NULL);
SELECT count(*), count(hamming(a, x'00')) FROM m;
-- In an order, an index and a constraint: deterministic and innocuous.
CREATE TABLE t(id INTEGER PRIMARY KEY, code BLOB, CHECK (hamming(code, x'0000') < 16));
INSERT INTO t(code) VALUES (x'0001'), (x'0f00'), (x'0000'), (NULL), (x'8001');
INSERT INTO t(code) VALUES (x'ffff');
SELECT id, hamming(code, x'0001') AS d FROM t ORDER BY d, id LIMIT 4;
CREATE INDEX by_weight ON t(hamming(code, x'0000'));
SELECT id FROM t WHERE hamming(code, x'0000') = 4;
.eqp on
SELECT id FROM t WHERE hamming(code, x'0000') = 4;
.eqp off
PRAGMA trusted_schema = OFF;
CREATE VIEW weights AS SELECT id, hamming(code, x'0000') AS w FROM t;
SELECT id, w FROM weights WHERE id = 5;

.load ./build/binhash
.mode list
CREATE TABLE photos(id INTEGER PRIMARY KEY, code BLOB, name TEXT);
INSERT INTO photos VALUES (1, x'0001', 'a'), (2, x'0003', 'b');
-- Without its arguments it explains itself; it is never an empty table.
SELECT * FROM binhash_pairs;
SELECT * FROM binhash_pairs('photos', 'code');
SELECT * FROM photos p LEFT JOIN binhash_pairs('photos', 'code') t ON t.rowid_a = p.id;
SELECT * FROM binhash_pairs('photos', 'code') t RIGHT JOIN photos p ON t.max_distance = 3;
-- One that depends on a later table makes SQLite find another order.
SELECT p.id, t.rowid_a FROM binhash_pairs('photos', 'code') t, photos p WHERE t.max_distance = p.id;
SELECT p.id, t.rowid_a FROM binhash_pairs('photos', 'code') t CROSS JOIN photos p WHERE t.max_distance = p.id;
-- Each argument by name.
SELECT * FROM binhash_pairs('nosuch', 'code', 1);
SELECT * FROM binhash_pairs('photos', 'nosuch', 1);
SELECT * FROM binhash_pairs('photos', 'code', 1, 'nosuch');
SELECT * FROM binhash_pairs('nosuch', 'code', 1, 'main');
SELECT * FROM binhash_pairs(1, 'code', 1);
SELECT * FROM binhash_pairs('photos', x'00', 1);
SELECT * FROM binhash_pairs('photos', 'code', 1, 2);
SELECT * FROM binhash_pairs('photos', 'code', -1);
SELECT * FROM binhash_pairs('photos', 'code', 1.0);
SELECT * FROM binhash_pairs('photos', 'code', 'ten');
SELECT * FROM binhash_pairs('photos', 'code', x'01');
SELECT * FROM binhash_pairs('pho' || char(0) || 'tos', 'code', 1);
SELECT * FROM binhash_pairs('photos; DROP TABLE photos', 'code', 1);
SELECT * FROM binhash_pairs('photos', 'code"; DROP TABLE photos', 1);
-- Codes that cannot be compared: the row is named.
SELECT * FROM binhash_pairs('photos', 'name', 1);
INSERT INTO photos VALUES (30, 'ab', 'c');
SELECT * FROM binhash_pairs('photos', 'code', 1);
UPDATE photos SET code = x'00' WHERE id = 30;
SELECT * FROM binhash_pairs('photos', 'code', 1);
UPDATE photos SET code = 7 WHERE id = 30;
SELECT * FROM binhash_pairs('photos', 'code', 1);
UPDATE photos SET code = 7 WHERE id = 1;
SELECT * FROM binhash_pairs('photos', 'code', 1);
UPDATE photos SET code = 1.5 WHERE id = 1;
SELECT * FROM binhash_pairs('photos', 'code', 1);
UPDATE photos SET code = x'';
SELECT * FROM binhash_pairs('photos', 'code', 1);
UPDATE photos SET code = zeroblob(8192);
SELECT * FROM binhash_pairs('photos', 'code', 1);
UPDATE photos SET code = zeroblob(8191);
SELECT * FROM binhash_pairs('photos', 'code', 1) ORDER BY 1, 2;
-- Rows that nothing tells.
CREATE VIEW v AS SELECT code FROM photos;
SELECT * FROM binhash_pairs('v', 'code', 1);
CREATE TABLE keyed(name TEXT PRIMARY KEY, code BLOB) WITHOUT ROWID;
SELECT * FROM binhash_pairs('keyed', 'code', 1);
CREATE VIEW named AS SELECT name AS rowid, code FROM photos;
SELECT * FROM binhash_pairs('named', 'code', 1);
-- What the inner statement cannot do is passed on.
CREATE VIEW broken AS SELECT code FROM gone;
SELECT * FROM binhash_pairs('broken', 'code', 1);
CREATE VIEW failing AS SELECT 1 AS rowid, abs(-9223372036854775807 - 1) AS code;
SELECT * FROM binhash_pairs('failing', 'code', 1);
-- A search of itself ends.
CREATE VIEW endless AS SELECT rowid_a AS rowid, distance AS code FROM binhash_pairs('endless', 'code', 1);
SELECT * FROM endless;
-- It cannot be written or created.
INSERT INTO binhash_pairs(rowid_a) VALUES (1);
CREATE VIRTUAL TABLE mine USING binhash_pairs;
SELECT count(*) FROM photos;

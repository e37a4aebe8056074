.load ./build/binhash
.mode list
CREATE TABLE photos(id INTEGER PRIMARY KEY, code BLOB, features BLOB, name TEXT);
INSERT INTO photos VALUES (1, x'0001', x'00000000', 'a'), (2, x'0003', x'0000803f', 'b');
-- A search without its arguments explains itself; it is never an empty table.
SELECT * FROM binhash_search;
SELECT * FROM binhash_search('photos', 'code', 'features', x'0000');
SELECT * FROM photos p LEFT JOIN binhash_search('photos', 'code', 'features') t ON t.rowid = p.id;
SELECT * FROM binhash_search('photos', 'code', 'features', x'0000') t RIGHT JOIN photos p ON t.features = x'00000000';
-- One that depends on a later table makes SQLite find another order.
SELECT p.id, t.rowid FROM binhash_search('photos', 'code', 'features') t, photos p WHERE t.code = p.code AND t.features = p.features AND t.distance = 0;
SELECT p.id, t.rowid FROM binhash_search('photos', 'code', 'features') t CROSS JOIN photos p WHERE t.code = p.code AND t.features = p.features;
-- So does a radius.
SELECT p.id, t.rowid FROM binhash_search('photos', 'code', 'features', x'0000', x'00000000') t, photos p WHERE t.hamming <= p.id ORDER BY 1, 2;
-- Where no order will do, that is said.
SELECT a.rowid FROM binhash_search('photos', 'code', 'features', x'0000', x'00000000') a, binhash_search('photos', 'code', 'features', x'0000', x'00000000') b WHERE a.hamming <= b.rowid AND b.hamming <= a.rowid;
SELECT a.rowid, b.rowid FROM binhash_search('photos', 'code', 'features', x'0000', x'00000000') a, binhash_search('photos', 'code', 'features', x'0000', x'00000000') b WHERE a.hamming <= b.rowid AND +b.hamming <= a.rowid ORDER BY 1, 2;
-- Behind the search it is no radius: of an outer join, of a CROSS JOIN.
SELECT p.id, t.rowid FROM binhash_search('photos', 'code', 'features', x'0000', x'00000000', NULL, 1) t LEFT JOIN photos p ON p.id > t.hamming;
SELECT p.id, t.rowid FROM binhash_search('photos', 'code', 'features', x'0000', x'00000000', NULL, 1) t CROSS JOIN photos p WHERE t.hamming < p.id;
-- Each argument by name.
SELECT * FROM binhash_search('nosuch', 'code', 'features', x'0000', x'00000000');
SELECT * FROM binhash_search('photos', 'nosuch', 'features', x'0000', x'00000000');
SELECT * FROM binhash_search('photos', 'code', 'nosuch', x'0000', x'00000000');
SELECT * FROM binhash_search('photos', 'code', 'features', x'0000', x'00000000', NULL, NULL, 'nosuch');
SELECT * FROM binhash_search('photos', 'code', 'features', x'0000', x'00000000', NULL, NULL, NULL, 'nosuch');
SELECT * FROM binhash_search(1, 'code', 'features', x'0000', x'00000000');
SELECT * FROM binhash_search('photos', 2, 'features', x'0000', x'00000000');
SELECT * FROM binhash_search('photos', 'code', x'00', x'0000', x'00000000');
SELECT * FROM binhash_search('photos', 'code', 'features', 'text', x'00000000');
SELECT * FROM binhash_search('photos', 'code', 'features', 1.5, x'00000000');
SELECT * FROM binhash_search('photos', 'code', 'features', x'', x'00000000');
SELECT * FROM binhash_search('photos', 'code', 'features', zeroblob(8192), x'00000000');
SELECT * FROM binhash_search('photos', 'code', 'features', x'0000', 'text');
SELECT * FROM binhash_search('photos', 'code', 'features', x'0000', x'000000');
SELECT * FROM binhash_search('photos', 'code', 'features', x'0000', x'0000c07f');
SELECT * FROM binhash_search('photos', 'code', 'features', x'0000', x'0000807f');
SELECT * FROM binhash_search('photos', 'code', 'features', x'0000', x'00000000', -1);
SELECT * FROM binhash_search('photos', 'code', 'features', x'0000', x'00000000', 2.0);
SELECT * FROM binhash_search('photos', 'code', 'features', x'0000', x'00000000', 1, -1);
SELECT * FROM binhash_search('photos', 'code', 'features', x'0000', x'00000000', 1, 'ten');
SELECT * FROM binhash_search('photos', 'code', 'features', x'0000', x'00000000') WHERE hamming <= '3';
SELECT * FROM binhash_search('photos', 'code', 'features', x'0000', x'00000000') WHERE hamming < x'03';
SELECT * FROM binhash_search('pho' || char(0) || 'tos', 'code', 'features', x'0000', x'00000000');
SELECT * FROM binhash_search('photos', 'code', 'features"; DROP TABLE photos', x'0000', x'00000000');
-- Codes that cannot be compared: the row is named.
SELECT * FROM binhash_search('photos', 'code', 'features', x'00', x'00000000');
SELECT * FROM binhash_search('photos', 'code', 'features', 5, x'00000000');
SELECT * FROM binhash_search('photos', 'name', 'features', x'0000', x'00000000');
-- So are features, of the rows of the pool.
SELECT * FROM binhash_search('photos', 'code', 'features', x'0000', x'');
SELECT * FROM binhash_search('photos', 'code', 'features', x'0000', feature_pack(x'0000000000000000'));
SELECT * FROM binhash_search('photos', 'code', 'name', x'0000', x'00000000');
SELECT * FROM binhash_search('photos', 'code', 'id', x'0000', x'00000000');
INSERT INTO photos VALUES (30, x'ffff', x'0000c07f', 'c'), (31, x'fffe', x'000000', 'd');
SELECT * FROM binhash_search('photos', 'code', 'features', x'0000', x'00000000');
SELECT rowid, distance FROM binhash_search('photos', 'code', 'features', x'0000', x'00000000', NULL, 2);
SELECT * FROM binhash_search('photos', 'code', 'features', x'ffff', x'00000000', NULL, 1);
CREATE VIEW v AS SELECT * FROM photos WHERE id <> 31;
SELECT * FROM binhash_search('v', 'code', 'features', x'0000', x'00000000');
SELECT * FROM binhash_search('v', 'code', 'features', x'0000', x'00000000', NULL, NULL, NULL, 'name');
SELECT * FROM binhash_search('v', 'code', 'features', x'0000', x'', NULL, NULL, NULL, 'name');
SELECT rowid, key FROM binhash_search('v', 'code', 'features', x'0000', x'00000000', NULL, 2, NULL, 'name');
-- What the inner statement cannot do is passed on.
CREATE VIEW broken AS SELECT code, features FROM gone;
SELECT * FROM binhash_search('broken', 'code', 'features', x'0000', x'00000000');
CREATE VIEW failing AS SELECT x'0000' AS code, abs(-9223372036854775807 - 1) AS features;
SELECT * FROM binhash_search('failing', 'code', 'features', x'0000', x'00000000');
-- A search of itself ends.
CREATE VIEW endless AS SELECT x'0000' AS code, features FROM binhash_search('endless', 'code', 'features', x'0000', x'00000000');
SELECT * FROM endless;
-- It cannot be written or created.
INSERT INTO binhash_search(rowid) VALUES (1);
CREATE VIRTUAL TABLE mine USING binhash_search;
SELECT count(*) FROM photos;

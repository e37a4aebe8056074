.load ./build/binhash
.mode list
CREATE TABLE photos(id INTEGER PRIMARY KEY, code BLOB);
INSERT INTO photos VALUES (1, x'0001'), (2, x'0003');
-- A search without its arguments explains itself; it is never an empty table.
SELECT * FROM binhash_topk;
SELECT * FROM binhash_topk('photos', 'code');
SELECT * FROM photos p LEFT JOIN binhash_topk('photos', 'code') t ON t.rowid = p.id;
SELECT * FROM binhash_topk WHERE table_name = 'photos' AND query = x'0000';
SELECT * FROM binhash_topk('photos', 'code') t RIGHT JOIN photos p ON t.query = x'0000';
-- One that depends on a later table makes SQLite find another order.
SELECT p.id, t.rowid FROM binhash_topk('photos', 'code') t, photos p WHERE t.query = p.code AND t.distance = 0;
SELECT p.id, t.rowid FROM photos p LEFT JOIN binhash_topk('photos', 'code') t ON t.query = p.code AND t.rowid > 1;
SELECT p.id, t.rowid FROM binhash_topk('photos', 'code') t CROSS JOIN photos p WHERE t.query = p.code;
-- Each argument by name.
SELECT * FROM binhash_topk('nosuch', 'code', x'0000');
SELECT * FROM binhash_topk('photos', 'nosuch', x'0000');
SELECT * FROM binhash_topk('photos', 'code', x'0000', NULL, 'nosuch');
SELECT * FROM binhash_topk('photos', 'code', x'0000', NULL, NULL, 'nosuch');
SELECT * FROM binhash_topk('nosuch', 'code', x'0000', NULL, 'main');
SELECT * FROM binhash_topk(NULL, 'code', x'0000');
SELECT * FROM binhash_topk(1, 'code', x'0000');
SELECT * FROM binhash_topk('photos', x'00', x'0000');
SELECT * FROM binhash_topk('photos', 'code', 'text');
SELECT * FROM binhash_topk('photos', 'code', 1.5);
SELECT * FROM binhash_topk('photos', 'code', x'');
SELECT * FROM binhash_topk('photos', 'code', zeroblob(8192));
SELECT * FROM binhash_topk('photos', 'code', x'0000', -1);
SELECT * FROM binhash_topk('photos', 'code', x'0000', 2.0);
SELECT * FROM binhash_topk('photos', 'code', x'0000', 'ten');
SELECT * FROM binhash_topk('pho' || char(0) || 'tos', 'code', x'0000');
SELECT * FROM binhash_topk('photos; DROP TABLE photos', 'code', x'0000');
SELECT * FROM binhash_topk('photos', 'code"; DROP TABLE photos', x'0000');
-- Codes that cannot be compared: the row is named.
SELECT * FROM binhash_topk('photos', 'code', x'00');
SELECT * FROM binhash_topk('photos', 'code', 5);
SELECT * FROM binhash_topk('photos', 'id', x'0000');
INSERT INTO photos VALUES (30, 'ab');
SELECT * FROM binhash_topk('photos', 'code', x'0000');
SELECT rowid FROM binhash_topk('photos', 'code', x'0000') WHERE rowid IN (1, 2);
CREATE VIEW v AS SELECT * FROM photos;
SELECT * FROM binhash_topk('v', 'code', x'0000');
SELECT * FROM binhash_topk('v', 'code', x'0000', NULL, NULL, 'id');
-- What the inner statement cannot do is passed on.
CREATE VIEW broken AS SELECT code FROM gone;
SELECT * FROM binhash_topk('broken', 'code', x'0000');
CREATE VIEW failing AS SELECT abs(-9223372036854775807 - 1) AS code;
SELECT * FROM binhash_topk('failing', 'code', x'0000');
-- A search of itself ends.
CREATE VIEW endless AS SELECT code FROM binhash_topk('endless', 'code', x'0000');
SELECT * FROM endless;
-- The aggregate within is nobody else's.
SELECT binhash_topk_add(NULL, 1, x'00');
SELECT binhash_topk_add();
-- It cannot be written or created.
INSERT INTO binhash_topk(rowid) VALUES (1);
CREATE VIRTUAL TABLE mine USING binhash_topk;
SELECT count(*) FROM photos;

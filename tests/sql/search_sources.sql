.load ./build/binhash
.mode list
.nullvalue NULL
-- Features of one value: 0 = 00000000, 1 = 0000803f, 2 = 00000040.
-- Tables whose columns take names of the rowid.
CREATE TABLE one(rowid TEXT, code BLOB, features BLOB);
INSERT INTO one(_rowid_, rowid, code, features) VALUES (10, 'x', x'01', x'00000000'), (20, 'y', x'00', x'0000803f');
SELECT rowid, distance, hamming, key FROM binhash_search('one', 'code', 'features', x'00', x'00000000', NULL, NULL, NULL, 'rowid');
CREATE TABLE three(rowid TEXT, _rowid_ TEXT, oid TEXT, code BLOB, features BLOB);
INSERT INTO three VALUES ('a', 'b', 'c', NULL, NULL), ('d', 'e', 'f', x'01', x'00000000');
SELECT rowid, key FROM binhash_search('three', 'code', 'features', x'00', x'00000000', NULL, NULL, NULL, 'oid');
-- WITHOUT ROWID: numbers in the order of the scan, and the key.
CREATE TABLE keyed(name TEXT PRIMARY KEY, code BLOB, features BLOB) WITHOUT ROWID;
INSERT INTO keyed VALUES ('c', x'00', x'00000040'), ('a', x'01', x'0000803f'), ('b', x'00', x'00000000'), ('d', NULL, x'00000000'), ('e', x'00', NULL), ('f', x'03', x'00000000');
SELECT rowid, key, distance, hamming FROM binhash_search('keyed', 'code', 'features', x'00', x'00000000', NULL, NULL, NULL, 'name');
SELECT rowid, key FROM binhash_search('keyed', 'code', 'features', x'00', x'00000000', NULL, 3, NULL, 'name');
SELECT rowid, key FROM binhash_search('keyed', 'code', 'features', x'00', x'00000000', NULL, 2);
-- Views, one with a column called rowid, one of an index and its table.
CREATE VIEW v AS SELECT name AS rowid, code AS c, features AS f FROM keyed;
SELECT rowid, key, distance FROM binhash_search('v', 'c', 'f', x'00', x'00000000', 2, NULL, NULL, 'rowid');
CREATE VIRTUAL TABLE codes USING binhash(bits=8);
INSERT INTO codes(rowid, code) SELECT _rowid_, code FROM one;
CREATE VIEW both AS SELECT codes.rowid AS id, codes.code, one.features FROM codes JOIN one ON one._rowid_ = codes.rowid;
SELECT key, distance, hamming FROM binhash_search('both', 'code', 'features', x'00', x'00000000', NULL, NULL, NULL, 'id');
-- A virtual table.
CREATE VIRTUAL TABLE words USING fts5(code, features);
INSERT INTO words(rowid, code, features) VALUES (4, x'01', x'00000000'), (6, x'00', x'0000803f'), (8, x'ff', x'00000000');
SELECT rowid, distance, hamming FROM binhash_search('words', 'code', 'features', x'00', x'00000000', NULL, 2);
SELECT rowid FROM binhash_search('words', 'code', 'features', x'00', x'00000000') WHERE hamming <= 0;
-- Keys of every type, looked up and scanned.
CREATE TABLE keys(k, code BLOB DEFAULT x'00', features BLOB DEFAULT x'');
INSERT INTO keys(k) VALUES (1), (2.5), ('text'), (''), (x'00ff'), (x''), (NULL);
CREATE VIEW keys_view AS SELECT * FROM keys;
SELECT typeof(key), quote(key) FROM binhash_search('keys', 'code', 'features', x'00', x'', NULL, NULL, NULL, 'k');
SELECT group_concat(quote(key)) FROM binhash_search('keys_view', 'code', 'features', x'00', x'', NULL, NULL, NULL, 'k');
-- Names that need quotes; one column for both; generated columns.
CREATE TABLE "a ""b' c"("d ""e' f" BLOB, "g ""h" BLOB);
INSERT INTO "a ""b' c" VALUES (x'00', x'00000040');
SELECT rowid, distance, hamming FROM binhash_search('a "b'' c', 'd "e'' f', 'g "h', x'ff', x'00000000');
SELECT rowid, distance, hamming FROM binhash_search('a "b'' c', 'g "h', 'g "h', x'00000000', x'00000000');
CREATE TABLE g(a BLOB, code BLOB AS (substr(a, 1, 1)), features BLOB AS (substr(a, 2)) STORED);
INSERT INTO g VALUES (x'0100000000'), (x'000000803f');
SELECT rowid, distance, hamming FROM binhash_search('g', 'code', 'features', x'00', x'00000000');
-- Schemas; a bare name means what it means in SQL: temp, then main.
ATTACH ':memory:' AS "other one";
CREATE TABLE "other one".one(code BLOB, features BLOB);
INSERT INTO "other one".one VALUES (x'0f', x'00000000');
CREATE TABLE "other one".apart(code BLOB, features BLOB);
INSERT INTO "other one".apart VALUES (x'07', x'00000000');
SELECT hamming FROM binhash_search('one', 'code', 'features', x'00', x'00000000', NULL, NULL, 'OTHER one');
SELECT hamming FROM binhash_search('apart', 'code', 'features', x'00', x'00000000');
CREATE TEMP TABLE one(code BLOB, features BLOB);
INSERT INTO temp.one VALUES (x'ff', x'00000000');
SELECT hamming FROM binhash_search('one', 'code', 'features', x'00', x'00000000');
SELECT hamming FROM binhash_search('one', 'code', 'features', x'00', x'00000000', NULL, NULL, 'main');
-- A temporary view of the name of a table, and a virtual table of that name.
CREATE TEMP VIEW apart AS SELECT x'01' AS code, x'0000803f' AS features;
SELECT hamming, distance FROM binhash_search('apart', 'code', 'features', x'00', x'00000000');
-- An index that covers the code gives rows out of rowid order.
CREATE TABLE covered(pad TEXT, code BLOB, features BLOB);
INSERT INTO covered VALUES ('x', x'02', x''), ('x', x'01', x''), ('x', x'02', x''), ('x', x'01', x'');
CREATE INDEX covering ON covered(code);
SELECT rowid, distance, hamming FROM binhash_search('covered', 'code', 'features', x'00', x'', NULL, 3);
-- A view that is made anew between two searches.
CREATE VIEW changing AS SELECT code, features FROM covered;
SELECT count(*) FROM binhash_search('changing', 'code', 'features', x'00', x'');
DROP VIEW changing;
CREATE VIEW changing AS SELECT code, features FROM covered LIMIT 1;
SELECT count(*) FROM binhash_search('changing', 'code', 'features', x'00', x'');

.load ./build/binhash
.mode list
.nullvalue NULL
-- Tables whose columns take names of the rowid.
CREATE TABLE one(rowid TEXT, code BLOB);
INSERT INTO one(_rowid_, rowid, code) VALUES (10, 'x', x'01'), (20, 'y', x'00');
SELECT rowid, distance, key FROM binhash_topk('one', 'code', x'00', NULL, NULL, 'rowid');
CREATE TABLE two(rowid TEXT, _rowid_ TEXT, code BLOB);
INSERT INTO two(oid, code) VALUES (5, x'01');
SELECT rowid FROM binhash_topk('two', 'code', x'00');
CREATE TABLE three(rowid TEXT, _rowid_ TEXT, oid TEXT, code BLOB);
INSERT INTO three VALUES ('a', 'b', 'c', NULL), ('d', 'e', 'f', x'01');
SELECT rowid, key FROM binhash_topk('three', 'code', x'00', NULL, NULL, 'oid');
CREATE TABLE same(ROWID INTEGER PRIMARY KEY, code BLOB);
INSERT INTO same VALUES (77, x'00');
SELECT rowid FROM binhash_topk('same', 'code', x'00') WHERE rowid = 77;
-- WITHOUT ROWID: numbers in the order of the scan, and the key.
CREATE TABLE keyed(name TEXT PRIMARY KEY, code BLOB) WITHOUT ROWID;
INSERT INTO keyed VALUES ('c', x'00'), ('a', x'01'), ('b', x'00'), ('d', NULL);
SELECT rowid, key, distance FROM binhash_topk('keyed', 'code', x'00', NULL, NULL, 'name');
SELECT rowid, key FROM binhash_topk('keyed', 'code', x'00') WHERE rowid = 2;
SELECT rowid, key FROM binhash_topk('keyed', 'code', x'00', NULL, NULL, 'name') WHERE rowid IN (1, 3);
-- Views, one with a column called rowid.
CREATE VIEW v AS SELECT name AS rowid, code AS c FROM keyed;
SELECT rowid, key FROM binhash_topk('v', 'c', x'00', NULL, NULL, 'rowid');
-- Keys of every type.
CREATE TABLE keys(k, code BLOB DEFAULT x'00');
INSERT INTO keys(k) VALUES (1), (2.5), ('text'), (''), (x'00ff'), (x''), (NULL);
SELECT typeof(key), quote(key) FROM binhash_topk('keys', 'code', x'00', NULL, NULL, 'k');
-- Names that need quotes.
CREATE TABLE "a ""b' c"("d ""e' f" BLOB);
INSERT INTO "a ""b' c" VALUES (x'00');
SELECT rowid, distance FROM binhash_topk('a "b'' c', 'd "e'' f', x'ff');
-- Another schema; a bare name means what it means in SQL: temp, then main.
ATTACH ':memory:' AS "other one";
CREATE TABLE "other one".keyed(code BLOB);
INSERT INTO "other one".keyed VALUES (x'0f');
CREATE TABLE "other one".apart(code BLOB);
INSERT INTO "other one".apart VALUES (x'07');
SELECT distance FROM binhash_topk('keyed', 'code', x'00', NULL, 'other one');
SELECT distance FROM binhash_topk('apart', 'code', x'00');
CREATE TEMP TABLE keyed(code BLOB);
INSERT INTO temp.keyed VALUES (x'ff');
SELECT distance FROM binhash_topk('keyed', 'code', x'00');
SELECT count(*) FROM binhash_topk('keyed', 'code', x'00', NULL, 'main');
-- A virtual table.
CREATE VIRTUAL TABLE words USING fts5(code);
INSERT INTO words(rowid, code) VALUES (4, x'01'), (6, x'00');
SELECT rowid, distance FROM binhash_topk('words', 'code', x'00');
SELECT rowid FROM binhash_topk('words', 'code', x'00') WHERE rowid IN (4, 5);
-- A generated column, and one called like the alias within.
CREATE TABLE g(t BLOB, twice BLOB AS (t || t), code BLOB AS (CAST(t || t AS BLOB)) STORED);
INSERT INTO g VALUES (x'01'), (x'00');
SELECT rowid, distance FROM binhash_topk('g', 'code', x'0000');
SELECT rowid, distance FROM binhash_topk('g', 't', x'00');
-- An index that covers the code gives rows out of rowid order.
CREATE TABLE covered(pad TEXT, code BLOB);
INSERT INTO covered VALUES ('x', x'02'), ('x', x'01'), ('x', x'02'), ('x', x'01');
CREATE INDEX covering ON covered(code);
SELECT rowid, distance FROM binhash_topk('covered', 'code', x'00');
-- Empty.
CREATE TABLE vacant(code BLOB);
SELECT count(*) FROM binhash_topk('vacant', 'code', x'00');

.load ./build/binhash
PRAGMA trusted_schema = OFF;
CREATE TABLE photos(id INTEGER PRIMARY KEY, path TEXT UNIQUE COLLATE NOCASE,
                    a INT, b INT, code BLOB, UNIQUE(a, b));
INSERT INTO photos VALUES (1, 'one', 1, 1, x'000000000001'),
  (2, 'two', 1, 2, x'000000000003'), (3, 'three', 2, 1, NULL);
CREATE VIRTUAL TABLE c USING binhash(bits=48, content='photos', content_rowid='id');
SELECT count(*) FROM c;
INSERT INTO c(c) VALUES ('integrity-check');
INSERT INTO c(c) VALUES ('rebuild');
SELECT rowid, hex(code) FROM c;
INSERT INTO c(c) VALUES ('integrity-check');
SELECT binhash_triggers('c');
.once build/log/index_triggers.sql
SELECT binhash_triggers('c', 'main');
.read build/log/index_triggers.sql
-- plain changes
INSERT INTO photos VALUES (4, 'four', 4, 4, x'00000000000f'), (5, 'five', 5, 5, NULL);
UPDATE photos SET code = x'00000000ffff' WHERE id = 3;
UPDATE photos SET code = NULL WHERE id = 1;
UPDATE photos SET id = 20 WHERE id = 2;
DELETE FROM photos WHERE id = 4;
SELECT rowid, hex(code) FROM c;
INSERT INTO c(c) VALUES ('integrity-check');
-- a code that is no good stops the statement on the content too
INSERT INTO photos VALUES (6, 'six', 6, 6, x'00');
SELECT count(*) FROM photos WHERE id = 6;
-- REPLACE pushes out a row by its id, by a UNIQUE column, by two of them
INSERT OR REPLACE INTO photos VALUES (3, 'three', 2, 1, x'000000000333');
INSERT OR REPLACE INTO photos VALUES (30, 'THREE', 3, 1, x'000000000030');
INSERT OR REPLACE INTO photos VALUES (31, 'new', 1, 2, x'000000000031');
SELECT rowid, hex(code) FROM c;
INSERT INTO c(c) VALUES ('integrity-check');
INSERT INTO photos VALUES (40, 'forty', 40, 40, x'000000000040'),
  (41, 'forty-one', 41, 41, x'000000000041');
INSERT OR REPLACE INTO photos VALUES (42, 'FORTY', 41, 41, x'000000000042');
UPDATE OR REPLACE photos SET path = 'new' WHERE id = 30;
SELECT rowid, hex(code) FROM c;
INSERT INTO c(c) VALUES ('integrity-check');
-- IGNORE and UPSERT keep what is there
INSERT OR IGNORE INTO photos VALUES (50, 'new', 50, 50, x'000000000050');
INSERT INTO photos VALUES (51, 'new', 51, 51, x'000000000051')
  ON CONFLICT(path) DO UPDATE SET code = excluded.code;
INSERT INTO photos VALUES (52, 'new', 52, 52, x'000000000052')
  ON CONFLICT DO NOTHING;
SELECT rowid, hex(code) FROM c;
INSERT INTO c(c) VALUES ('integrity-check');
-- the same with recursive triggers
PRAGMA recursive_triggers = ON;
INSERT OR REPLACE INTO photos VALUES (60, 'NEW', 60, 60, x'000000000060');
UPDATE OR REPLACE photos SET a = 41, b = 41 WHERE id = 60;
SELECT rowid, hex(code) FROM c;
INSERT INTO c(c) VALUES ('integrity-check');
-- rolled back together
BEGIN;
DELETE FROM photos;
SELECT count(*) FROM c;
ROLLBACK;
INSERT INTO c(c) VALUES ('integrity-check');
-- what the triggers did not see is named
DROP TRIGGER c_insert;
DROP TRIGGER c_update;
INSERT INTO photos VALUES (70, 'seventy', 70, 70, x'000000000070');
UPDATE photos SET code = x'000000000061' WHERE id = 60;
INSERT INTO c(rowid, code) VALUES (71, x'000000000071');
INSERT INTO c(c) VALUES ('integrity-check');
INSERT INTO c(c) VALUES ('rebuild');
INSERT INTO c(c) VALUES ('integrity-check');
-- a code in the content that is no good leaves the index as it was
BEGIN;
INSERT INTO photos VALUES (80, 'eighty', 80, 80, x'00');
INSERT INTO c(c) VALUES ('rebuild');
SELECT count(*) FROM c;
ROLLBACK;
-- the content is not there, or has no such column
CREATE VIRTUAL TABLE d USING binhash(bits=48, content='nosuch');
INSERT INTO d(d) VALUES ('rebuild');
-- a model, and a query by image
CREATE VIRTUAL TABLE m USING binhash(model='photo-64');
INSERT INTO m(rowid, code)
  SELECT 7, img_hash(readfile('tests/golden/pictures/444.jpg'), 'photo-64');
SELECT rowid, distance FROM m
  WHERE image = readfile('tests/golden/pictures/444.jpg');
SELECT rowid, distance FROM m WHERE image = x'00';
SELECT rowid, distance FROM m WHERE image = NULL;
UPDATE m_state SET sha256 = 'abc';
SELECT rowid, distance FROM m
  WHERE image = readfile('tests/golden/pictures/444.jpg');

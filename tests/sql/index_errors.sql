.load ./build/binhash
-- arguments
CREATE VIRTUAL TABLE t USING binhash;
CREATE VIRTUAL TABLE t USING binhash(bits=0);
CREATE VIRTUAL TABLE t USING binhash(bits=1025);
CREATE VIRTUAL TABLE t USING binhash(bits=4x);
CREATE VIRTUAL TABLE t USING binhash(48);
CREATE VIRTUAL TABLE t USING binhash(bits=48, nosuch=1);
CREATE VIRTUAL TABLE t USING binhash(bits=48, content_rowid='id');
CREATE VIRTUAL TABLE t USING binhash(bits=48, content='a', content='b');
CREATE VIRTUAL TABLE t USING binhash(bits=48, content='');
CREATE VIRTUAL TABLE t USING binhash(model='nosuch');
CREATE VIRTUAL TABLE t USING binhash(bits=12, model='photo-64');
CREATE VIRTUAL TABLE code USING binhash(bits=48);
SELECT count(*) FROM sqlite_schema;
-- codes: the row is named, and nothing of the statement is kept
CREATE VIRTUAL TABLE t USING binhash( bits = '12' );
INSERT INTO t(rowid, code) VALUES (1, x'0010');
INSERT INTO t(rowid, code) VALUES (2, x'0010'), (3, x'00');
INSERT INTO t(rowid, code) VALUES (2, x'0010'), (3, x'0001');
INSERT INTO t(rowid, code) VALUES (3, NULL);
INSERT INTO t(rowid, code) VALUES (3, 'ab');
INSERT INTO t(rowid, code) VALUES (3, 16);
INSERT INTO t(rowid, code) VALUES (2, x'0010'), (1, x'0010');
INSERT INTO t(rowid, code) VALUES ('abc', x'0010');
INSERT INTO t(rowid, code) VALUES (1.5, x'0010');
INSERT INTO t(rowid, code, distance) VALUES (4, x'0010', 3);
INSERT INTO t(rowid, code, query) VALUES (4, x'0010', x'0000');
UPDATE t SET code = x'0011';
UPDATE t SET distance = 1;
SELECT rowid, hex(code) FROM t;
INSERT OR IGNORE INTO t(rowid, code) VALUES (1, x'0000'), (2, x'00'), (3, x'0030');
SELECT rowid, hex(code) FROM t;
-- OR FAIL keeps what came before
INSERT OR FAIL INTO t(rowid, code) VALUES (4, x'0040'), (1, x'0000'), (5, x'0050');
SELECT group_concat(rowid) FROM t;
-- queries
SELECT rowid FROM t WHERE query = x'00';
SELECT rowid FROM t WHERE query = 'abcdef';
SELECT rowid FROM t WHERE query = x'0001';
SELECT rowid FROM t WHERE image = x'00';
SELECT rowid FROM t WHERE distance < 3;
SELECT rowid FROM t ORDER BY distance;
SELECT query FROM t;
SELECT a.rowid FROM t a LEFT JOIN t b ON b.distance < 3;
SELECT a.rowid FROM t a LEFT JOIN t b ON b.rowid = a.rowid WHERE b.query = x'0000';
-- commands
INSERT INTO t(t) VALUES ('nosuch');
INSERT INTO t(t) VALUES ('rebuild');
SELECT binhash_triggers('t');
SELECT binhash_triggers('nosuch');
SELECT binhash_triggers(NULL) IS NULL;
-- what is not sound is refused, and named
UPDATE t_blocks SET block = x'00';
SELECT rowid FROM t WHERE query = x'0000';
SELECT count(*) FROM t;
INSERT INTO t(t) VALUES ('integrity-check');
INSERT INTO t(rowid, code) VALUES (1, x'0000');
DELETE FROM t_blocks;
SELECT rowid FROM t WHERE query = x'0000';
INSERT INTO t(t) VALUES ('integrity-check');
UPDATE t_state SET rows = 9223372036854775807;
INSERT INTO t(rowid, code) VALUES (9, x'0000');
UPDATE t_state SET format = 2;
SELECT rowid FROM t WHERE query = x'0000';
SELECT count(*) FROM t;
INSERT INTO t(rowid, code) VALUES (9, x'0000');
DELETE FROM t_state;
SELECT count(*) FROM t;
DROP TABLE t_state;
SELECT count(*) FROM t;
DROP TABLE t;
SELECT count(*) FROM sqlite_schema;

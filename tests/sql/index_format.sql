.load ./build/binhash
.read tests/golden/index-1.sql
-- what a database of format 1 holds (tests/golden/index-1.sql)
PRAGMA integrity_check;
INSERT INTO dense(dense) VALUES ('integrity-check');
INSERT INTO gaps(gaps) VALUES ('integrity-check');
INSERT INTO wide(wide) VALUES ('integrity-check');
INSERT INTO far(far) VALUES ('integrity-check');
INSERT INTO blocks(blocks) VALUES ('integrity-check');
INSERT INTO "em""pty"("em""pty") VALUES ('integrity-check');
INSERT INTO kept(kept) VALUES ('integrity-check');
SELECT rowid, hex(code) FROM dense;
SELECT rowid, hex(code) FROM gaps;
SELECT rowid, hex(code) FROM wide;
SELECT rowid, hex(code) FROM far;
SELECT rowid, hex(code) FROM blocks;
SELECT count(*) FROM "em""pty";
SELECT rowid, hex(code) FROM kept;
-- searches in it
SELECT rowid, distance FROM dense WHERE query = x'000000000000' LIMIT 5;
SELECT rowid, distance FROM gaps WHERE query = x'0000';
SELECT rowid, distance FROM wide WHERE query = x'0000000000000000';
SELECT rowid, distance FROM far WHERE query = x'80';
SELECT rowid, distance FROM blocks WHERE query = zeroblob(32) LIMIT 3;
SELECT rowid FROM "em""pty" WHERE query = zeroblob(128);
SELECT rowid, distance FROM kept WHERE query = x'112233445566';
-- it can be written to
INSERT INTO dense(code) VALUES (x'010203040506');
UPDATE gaps SET rowid = 3000 WHERE rowid = 90;
DELETE FROM blocks WHERE rowid < 300;
INSERT INTO photos VALUES (10, x'000000000001', 'd');
INSERT INTO kept(kept) VALUES ('rebuild');
INSERT INTO dense(dense) VALUES ('integrity-check');
INSERT INTO gaps(gaps) VALUES ('integrity-check');
INSERT INTO blocks(blocks) VALUES ('integrity-check');
INSERT INTO kept(kept) VALUES ('integrity-check');
SELECT max(rowid), count(*) FROM dense;
SELECT max(rowid), count(*) FROM gaps;
SELECT min(rowid), count(*) FROM blocks;
SELECT max(rowid), count(*) FROM kept;
-- a format to come is refused whatever is asked, a block of one as well
UPDATE far_state SET format = 2;
SELECT count(*) FROM far;
SELECT rowid FROM far WHERE query = x'80';
SELECT hex(code) FROM far WHERE rowid = 0;
INSERT INTO far(rowid, code) VALUES (7, x'80');
INSERT INTO far(far) VALUES ('integrity-check');
UPDATE far_state SET format = 1;
UPDATE far_blocks SET block = x'02' || substr(block, 2);
UPDATE far_blocks SET block = CAST(block AS BLOB);
SELECT rowid FROM far WHERE query = x'80';

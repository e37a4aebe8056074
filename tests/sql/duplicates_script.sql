.load ./build/binhash
.mode list
.nullvalue NULL
-- sql/duplicates.sql: a chain of steps of 4 bits is not one group.
CREATE TABLE photos(id INTEGER PRIMARY KEY, path TEXT, code BLOB);
INSERT INTO photos VALUES
  (1, 'chain 1', x'000000'), (2, 'chain 2', x'00000f'), (3, 'chain 3', x'0000ff'),
  (4, 'chain 4', x'000fff'), (5, 'chain 5', x'00ffff'),
  (6, 'same', x'ff0000'), (7, 'same', x'ff0000'), (8, 'nearly', x'ff0001'),
  (9, 'alone', x'5a5a5a'), (10, 'no code', NULL), (11, 'same as 2', x'00000f');
.parameter set :r 4
.read sql/duplicates.sql
-- Another radius; what an earlier run left is dropped by hand.
DROP TABLE duplicates;
.parameter set :r 0
.read sql/duplicates.sql
DROP TABLE duplicates;
.parameter set :r 24
.read sql/duplicates.sql
-- Without a radius it is 8 bits.
DROP TABLE duplicates;
.parameter unset :r
.read sql/duplicates.sql
-- On many codes: members are near their centre, and centres are not near each other.
DROP TABLE duplicates;
.parameter set :r 3
DELETE FROM photos;
INSERT INTO photos SELECT value, 'p' || value, CASE WHEN value % 50 THEN CAST(char(1 + value * 7919 % 127, 1 + value * value % 113, 1 + value % 7, 1 + value % 61) AS BLOB) END FROM generate_series(1, 3000);
.output build/log/duplicates.txt
.read sql/duplicates.sql
.output
SELECT count(*), count(DISTINCT id), count(DISTINCT centre), max(distance) FROM duplicates;
SELECT count(*) FROM duplicates d JOIN photos c ON c.id = d.centre JOIN photos p ON p.id = d.id WHERE hamming(c.code, p.code) <> d.distance OR d.distance > 3;
SELECT count(*) FROM (SELECT DISTINCT centre FROM duplicates) a JOIN (SELECT DISTINCT centre FROM duplicates) b ON a.centre < b.centre JOIN photos p ON p.id = a.centre JOIN photos q ON q.id = b.centre WHERE hamming(p.code, q.code) <= 3;
-- Every neighbour of a centre is in a group.
SELECT count(*) FROM (SELECT DISTINCT centre FROM duplicates) c JOIN photos p ON p.id = c.centre JOIN photos q WHERE hamming(p.code, q.code) <= 3 AND q.id NOT IN (SELECT id FROM duplicates);
-- A library of codes of copy-64: the same picture in other files.
.open :memory:
.load ./build/binhash
.parameter set :folder "'tests/hosts'"
.read sql/import.sql
INSERT INTO photos(path) SELECT 'tests/golden/pictures/' || value FROM json_each('["420.jpg","noise.jpg","420-progressive.jpg","restart.jpg","plain.gif","interlaced.gif"]');
.parameter set :model "'copy-64'"
.read sql/hash.sql
SELECT model FROM library;
SELECT sum(code = img_hash(readfile(path), 'copy-64')) FROM photos JOIN codes USING (id);
CREATE TEMP VIEW photos AS SELECT id, path, code FROM main.photos JOIN main.codes USING (id);
.read sql/duplicates.sql
-- A model that there is not: nothing is chosen, and the script ends.
DROP VIEW photos;
DELETE FROM library;
DELETE FROM codes;
.parameter set :model "'nosuch'"
.read sql/hash.sql
SELECT 'not reached';

-- Group near duplicates among photos(id, path, code), without chaining: every
-- member of a group is within the radius of its centre, so a row of pictures in
-- which each resembles the next does not become one group.
--
--   sqlite3 photos.db -cmd '.load ./build/binhash' < sql/duplicates.sql
--
-- prints centre|id|distance|path, a centre first and then its members, for all
-- groups of two or more.  The codes are best those of copy-64, which tells copies
-- of a picture from pictures of the same thing:
--
--   UPDATE photos SET code = try_img_hash(readfile(path), 'copy-64');
--
-- A library that sql/import.sql and sql/hash.sql made, of the model copy-64, has
-- them in another table, so give them as a view first:
--
--   CREATE TEMP VIEW photos AS
--     SELECT id, path, code FROM main.photos JOIN main.codes USING (id);
--
-- The radius is 8 bits, for codes of copy-64, or what  -cmd '.param set :r 4'
-- says.  The groups stay in temp.duplicates until the connection closes.
--
-- Greedy: of the pictures that are in no group yet, the one that has the most
-- neighbours within the radius, the lowest id if several have, is the centre of
-- the next, and takes those of its neighbours that are in no group.  Neighbours
-- are counted once, at the start.  Pictures with equal codes have the same
-- neighbours and share a group, so codes are grouped, not pictures.

CREATE TEMP TABLE distinct_codes AS
SELECT min(id) AS id, code, count(*) AS pictures FROM photos
WHERE code IS NOT NULL GROUP BY code;
CREATE UNIQUE INDEX temp.distinct_ids ON distinct_codes(id);

-- Codes are numbered by rowid, in both directions.
CREATE TEMP TABLE neighbours(a INT, b INT, distance INT, PRIMARY KEY(a, b))
  WITHOUT ROWID;
INSERT INTO neighbours
SELECT rowid_a, rowid_b, distance
FROM binhash_pairs('distinct_codes', 'code', coalesce(:r, 8), 'temp');
INSERT INTO neighbours SELECT b, a, distance FROM neighbours WHERE a < b;

CREATE TEMP TABLE grouped(member INTEGER PRIMARY KEY, centre INT, distance INT);
-- A row inserted into this view visits a code: one that is in no group yet
-- founds one.
CREATE TEMP VIEW visits AS SELECT NULL AS code;
CREATE TEMP TRIGGER visit INSTEAD OF INSERT ON visits
WHEN NOT EXISTS (SELECT 1 FROM grouped WHERE member = NEW.code) BEGIN
  INSERT INTO grouped VALUES (NEW.code, NEW.code, 0);
  INSERT OR IGNORE INTO grouped
  SELECT b, a, distance FROM neighbours WHERE a = NEW.code;
END;
INSERT INTO visits
SELECT d.rowid FROM distinct_codes AS d
ORDER BY d.pictures + (SELECT coalesce(sum(e.pictures), 0)
                       FROM neighbours AS n
                       JOIN distinct_codes AS e ON e.rowid = n.b
                       WHERE n.a = d.rowid) DESC, d.id;

CREATE TEMP TABLE duplicates AS
SELECT c.id AS centre, p.id AS id, g.distance AS distance, p.path AS path
FROM grouped AS g
JOIN distinct_codes AS c ON c.rowid = g.centre
JOIN distinct_codes AS d ON d.rowid = g.member
JOIN photos AS p ON p.code = d.code;
DELETE FROM duplicates WHERE centre IN (
  SELECT centre FROM duplicates GROUP BY centre HAVING count(*) = 1);
DROP TRIGGER visit;
DROP VIEW visits;
DROP TABLE grouped;
DROP TABLE neighbours;
DROP TABLE distinct_codes;
SELECT centre, id, distance, path FROM duplicates
ORDER BY centre, id <> centre, distance, id;

-- From coarse to fine: the quality and the time of each way to search, over the
-- codes and features that sql/coarse.sh made.  Its paper is CVPRW 2015, section
-- 3.3: a pool of images by Hamming distance, then the Euclidean distance of the
-- features of the layer before the codes.
--
-- The training images are the database, shuffled once with a fixed seed, since
-- the order of the file goes round the classes and would break ties for some of
-- them.  Everything lies in one file that is mapped into memory, so that no way
-- waits for a disk.  The index `codes` is there already, since its bits are the
-- model's.  A way's time is that of all its queries in one statement,
-- each of which keeps its 100 first rows.

.output /dev/null
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA mmap_size = 2147418112;
.output

CREATE TEMP VIEW source AS SELECT * FROM a.features
  UNION ALL SELECT * FROM b.features;

-- The shuffle: a hash of the id by three rounds of a 31-bit generator (seed 1).
CREATE TABLE images(id INTEGER PRIMARY KEY, code BLOB, label INT,
                    features BLOB);
WITH r1 AS (SELECT *, (id * 1103515245 + 12345) % 2147483648 AS x FROM source
            WHERE split = 'train'),
     r2 AS (SELECT *, ((x | (x >> 13)) - (x & (x >> 13))) * 69069
                      % 2147483648 AS y FROM r1),
     r3 AS (SELECT *, ((y | (y >> 11)) - (y & (y >> 11))) * 1664525
                      % 2147483648 AS z FROM r2)
INSERT INTO images(code, label, features)
  SELECT code, label, features FROM r3 ORDER BY z, id;
CREATE INDEX images_code ON images(code);
CREATE TABLE packed(id INTEGER PRIMARY KEY, code BLOB, features BLOB);
INSERT INTO packed SELECT id, code, feature_pack(features) FROM images;
CREATE INDEX packed_code ON packed(code);
INSERT INTO codes(codes) VALUES ('rebuild');

CREATE TEMP TABLE queries AS SELECT id, code, label, features,
  feature_pack(features) AS packed
FROM source WHERE split = 'test' ORDER BY id
LIMIT (SELECT queries FROM setting);

-- The first 100 rows of each query by each way, and the time of them all.
CREATE TEMP TABLE lists(way INT, query INT, ids TEXT);
CREATE TEMP TABLE ways(way INTEGER PRIMARY KEY, name TEXT, baseline INT,
                       began REAL, ended REAL);
CREATE TEMP VIEW clock AS
  SELECT (julianday('now') - 2440587.5) * 86400 AS seconds;
CREATE TEMP TRIGGER way_begins AFTER INSERT ON ways BEGIN
  UPDATE ways SET began = (SELECT seconds FROM clock) WHERE way = NEW.way;
END;

INSERT INTO ways(way, name, baseline)
  VALUES (1, 'exhaustive, feature_distance, float32', 1);
INSERT INTO lists SELECT 1, q.id, (SELECT json_group_array(id) FROM
  (SELECT id, feature_distance(features, q.features) AS d FROM images
   ORDER BY d, id LIMIT 100)) FROM queries AS q;
UPDATE ways SET ended = (SELECT seconds FROM clock) WHERE way = 1;

INSERT INTO ways(way, name, baseline)
  VALUES (2, 'exhaustive, feature_distance, packed', 1);
INSERT INTO lists SELECT 2, q.id, (SELECT json_group_array(id) FROM
  (SELECT id, feature_distance(features, q.packed) AS d FROM packed
   ORDER BY d, id LIMIT 100)) FROM queries AS q;
UPDATE ways SET ended = (SELECT seconds FROM clock) WHERE way = 2;

INSERT INTO ways(way, name, baseline)
  VALUES (3, 'coarse to fine, binhash_search, float32', 1);
INSERT INTO lists SELECT 3, q.id, (SELECT json_group_array(id) FROM
  (SELECT rowid AS id FROM
   binhash_search('images', 'code', 'features', q.code, q.features, 100))) FROM queries AS q;
UPDATE ways SET ended = (SELECT seconds FROM clock) WHERE way = 3;

INSERT INTO ways(way, name, baseline)
  VALUES (4, 'coarse to fine, binhash_search, packed', 1);
INSERT INTO lists SELECT 4, q.id, (SELECT json_group_array(id) FROM
  (SELECT rowid AS id FROM
   binhash_search('packed', 'code', 'features', q.code, q.packed, 100))) FROM queries AS q;
UPDATE ways SET ended = (SELECT seconds FROM clock) WHERE way = 4;

INSERT INTO ways(way, name, baseline)
  VALUES (5, 'coarse to fine, index and feature_distance', 1);
INSERT INTO lists SELECT 5, q.id, (SELECT json_group_array(id) FROM
  (SELECT i.id, feature_distance(i.features, q.features) AS d
   FROM (SELECT rowid FROM codes WHERE query = q.code
         ORDER BY distance, rowid LIMIT 1000) AS c
   JOIN images AS i ON i.id = c.rowid
   ORDER BY d, i.id LIMIT 100)) FROM queries AS q;
UPDATE ways SET ended = (SELECT seconds FROM clock) WHERE way = 5;

INSERT INTO ways(way, name, baseline)
  VALUES (6, 'coarse, binhash_topk', 1);
INSERT INTO lists SELECT 6, q.id, (SELECT json_group_array(id) FROM
  (SELECT rowid AS id FROM binhash_topk('images', 'code', q.code, 100))) FROM queries AS q;
UPDATE ways SET ended = (SELECT seconds FROM clock) WHERE way = 6;

INSERT INTO ways(way, name, baseline)
  VALUES (7, 'coarse, index', 1);
INSERT INTO lists SELECT 7, q.id, (SELECT json_group_array(id) FROM
  (SELECT rowid AS id FROM codes WHERE query = q.code
   ORDER BY distance, rowid LIMIT 100)) FROM queries AS q;
UPDATE ways SET ended = (SELECT seconds FROM clock) WHERE way = 7;

CREATE TEMP TABLE found AS
SELECT l.way, l.query, j.key AS place, j.value AS id
FROM lists AS l, json_each(l.ids) AS j;
CREATE INDEX temp.found_place ON found(way, query, place, id);

CREATE TEMP VIEW quality AS
SELECT f.way, avg(i.label = q.label) FILTER (WHERE f.place < 10) AS p10,
  avg(i.label = q.label) AS p100,
  sum(f.place < 10 AND EXISTS (SELECT 1 FROM found AS e WHERE e.way = 1
      AND e.query = f.query AND e.place < 10 AND e.id = f.id))
    * 1.0 / sum(f.place < 10) AS common
FROM found AS f JOIN queries AS q ON q.id = f.query
JOIN images AS i ON i.id = f.id GROUP BY f.way;

CREATE TEMP VIEW times AS
SELECT way, name, baseline, (ended - began) * 1000 /
  (SELECT count(*) FROM lists WHERE lists.way = ways.way) AS ms FROM ways;

.mode list
.print
SELECT printf('model %s, %d bits, %s, sha256 %s', name, bits, kind,
              substr(sha256, 1, 12)) FROM binhash_models WHERE is_default;
SELECT printf('%d queries (test) against %d images (train), %d features, '
              || 'pool 1000', (SELECT count(*) FROM queries),
              (SELECT count(*) FROM images),
              (SELECT length(features) / 4 FROM images LIMIT 1));
.print
SELECT printf('%-42s %6s %6s %8s %8s %7s', 'way', 'P@10', 'P@100', 'of its 10',
              'ms/query', 'faster');
SELECT printf('%-42s %.4f %.4f %8.1f%% %8.3f %7.1f', t.name, p10, p100,
              100 * common, t.ms, b.ms / t.ms)
FROM times AS t JOIN times AS b ON b.way = t.baseline
JOIN quality ON quality.way = t.way ORDER BY t.way;

-- 4,096 features, as in the paper: the same with zeros behind them, which change
-- no distance, so that only the time is told.
CREATE TABLE wide(id INTEGER PRIMARY KEY, code BLOB, features BLOB);
INSERT INTO wide SELECT id, code,
  CAST(features || zeroblob(16384 - length(features)) AS BLOB) FROM images
  ORDER BY id;
CREATE INDEX wide_code ON wide(code);
CREATE TABLE wide_packed(id INTEGER PRIMARY KEY, code BLOB, features BLOB);
INSERT INTO wide_packed SELECT id, code, feature_pack(features) FROM wide
  ORDER BY id;
CREATE INDEX wide_packed_code ON wide_packed(code);
CREATE TEMP TABLE wide_queries AS SELECT id, code, features,
  feature_pack(features) AS packed FROM (
    SELECT id, code,
      CAST(features || zeroblob(16384 - length(features)) AS BLOB) AS features
    FROM queries LIMIT 50);

INSERT INTO ways(way, name, baseline)
  VALUES (8, 'exhaustive, feature_distance, float32', 8);
INSERT INTO lists SELECT 8, q.id, (SELECT json_group_array(id) FROM
  (SELECT id, feature_distance(features, q.features) AS d FROM wide
   ORDER BY d, id LIMIT 100)) FROM wide_queries AS q;
UPDATE ways SET ended = (SELECT seconds FROM clock) WHERE way = 8;

INSERT INTO ways(way, name, baseline)
  VALUES (9, 'exhaustive, feature_distance, packed', 8);
INSERT INTO lists SELECT 9, q.id, (SELECT json_group_array(id) FROM
  (SELECT id, feature_distance(features, q.packed) AS d FROM wide_packed
   ORDER BY d, id LIMIT 100)) FROM wide_queries AS q;
UPDATE ways SET ended = (SELECT seconds FROM clock) WHERE way = 9;

INSERT INTO ways(way, name, baseline)
  VALUES (10, 'coarse to fine, binhash_search, float32', 8);
INSERT INTO lists SELECT 10, q.id, (SELECT json_group_array(id) FROM
  (SELECT rowid AS id FROM
   binhash_search('wide', 'code', 'features', q.code, q.features, 100))) FROM wide_queries AS q;
UPDATE ways SET ended = (SELECT seconds FROM clock) WHERE way = 10;

INSERT INTO ways(way, name, baseline)
  VALUES (11, 'coarse to fine, binhash_search, packed', 8);
INSERT INTO lists SELECT 11, q.id, (SELECT json_group_array(id) FROM
  (SELECT rowid AS id FROM
   binhash_search('wide_packed', 'code', 'features', q.code, q.packed, 100))) FROM wide_queries AS q;
UPDATE ways SET ended = (SELECT seconds FROM clock) WHERE way = 11;

INSERT INTO ways(way, name, baseline)
  VALUES (12, 'coarse, binhash_topk', 8);
INSERT INTO lists SELECT 12, q.id, (SELECT json_group_array(id) FROM
  (SELECT rowid AS id FROM binhash_topk('wide', 'code', q.code, 100))) FROM queries AS q;
UPDATE ways SET ended = (SELECT seconds FROM clock) WHERE way = 12;

INSERT INTO ways(way, name, baseline)
  VALUES (13, 'coarse, index', 8);
INSERT INTO lists SELECT 13, q.id, (SELECT json_group_array(id) FROM
  (SELECT rowid AS id FROM codes WHERE query = q.code
   ORDER BY distance, rowid LIMIT 100)) FROM queries AS q;
UPDATE ways SET ended = (SELECT seconds FROM clock) WHERE way = 13;

.print
.print The time alone, with 4096 features (those above, and zeros behind them):
SELECT printf('%-42s %23s %8.3f %7.1f', t.name, '', t.ms, b.ms / t.ms)
FROM times AS t JOIN times AS b ON b.way = t.baseline
WHERE t.way >= 8 ORDER BY t.way;
.print
.print of its 10: how many of the first 10 rows are among those of the first line.
.print faster: than the first line of its part.

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

PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA mmap_size = 2147418112;
PRAGMA temp_store = MEMORY;

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
CREATE TEMP TABLE found(way INT, query INT, place INT, id INT);
CREATE TEMP TABLE ways(way INTEGER PRIMARY KEY, name TEXT, baseline INT,
                       began REAL, ended REAL, queries INT);
CREATE TEMP VIEW clock AS
  SELECT (julianday('now') - 2440587.5) * 86400 AS seconds;
CREATE TEMP TRIGGER way_begins AFTER INSERT ON ways BEGIN
  UPDATE ways SET began = (SELECT seconds FROM clock) WHERE way = NEW.way;
END;

INSERT INTO ways(way, name, baseline)
  VALUES (1, 'exhaustive, feature_distance, float32', 1);
INSERT INTO found SELECT 1, q.id, n.key, n.value FROM queries AS q,
  json_each((SELECT json_group_array(id) FROM (
    SELECT id FROM images
    ORDER BY feature_distance(features, q.features), id LIMIT 100))) AS n;
UPDATE ways SET ended = (SELECT seconds FROM clock) WHERE way = 1;

INSERT INTO ways(way, name, baseline)
  VALUES (2, 'exhaustive, feature_distance, packed', 1);
INSERT INTO found SELECT 2, q.id, n.key, n.value FROM queries AS q,
  json_each((SELECT json_group_array(id) FROM (
    SELECT id FROM packed
    ORDER BY feature_distance(features, q.packed), id LIMIT 100))) AS n;
UPDATE ways SET ended = (SELECT seconds FROM clock) WHERE way = 2;

INSERT INTO ways(way, name, baseline)
  VALUES (3, 'coarse to fine, binhash_search, float32', 1);
INSERT INTO found SELECT 3, q.id, row_number() OVER (PARTITION BY q.id
    ORDER BY n.distance, n.rowid) - 1, n.rowid
  FROM queries AS q
  JOIN binhash_search('images', 'code', 'features', q.code, q.features, 100)
    AS n;
UPDATE ways SET ended = (SELECT seconds FROM clock) WHERE way = 3;

INSERT INTO ways(way, name, baseline)
  VALUES (4, 'coarse to fine, binhash_search, packed', 1);
INSERT INTO found SELECT 4, q.id, row_number() OVER (PARTITION BY q.id
    ORDER BY n.distance, n.rowid) - 1, n.rowid
  FROM queries AS q
  JOIN binhash_search('packed', 'code', 'features', q.code, q.packed, 100)
    AS n;
UPDATE ways SET ended = (SELECT seconds FROM clock) WHERE way = 4;

INSERT INTO ways(way, name, baseline)
  VALUES (5, 'coarse to fine, index and feature_distance', 1);
INSERT INTO found SELECT 5, q.id, n.key, n.value FROM queries AS q,
  json_each((SELECT json_group_array(id) FROM (
    SELECT i.id FROM (SELECT rowid FROM codes WHERE query = q.code
                      ORDER BY distance, rowid LIMIT 1000) AS c
    JOIN images AS i ON i.id = c.rowid
    ORDER BY feature_distance(i.features, q.features), i.id LIMIT 100))) AS n;
UPDATE ways SET ended = (SELECT seconds FROM clock) WHERE way = 5;

INSERT INTO ways(way, name, baseline) VALUES (6, 'coarse, binhash_topk', 1);
INSERT INTO found SELECT 6, q.id, row_number() OVER (PARTITION BY q.id
    ORDER BY n.distance, n.rowid) - 1, n.rowid
  FROM queries AS q JOIN binhash_topk('images', 'code', q.code, 100) AS n;
UPDATE ways SET ended = (SELECT seconds FROM clock) WHERE way = 6;

INSERT INTO ways(way, name, baseline) VALUES (7, 'coarse, index', 1);
INSERT INTO found SELECT 7, q.id, n.key, n.value FROM queries AS q,
  json_each((SELECT json_group_array(rowid) FROM (
    SELECT rowid FROM codes WHERE query = q.code
    ORDER BY distance, rowid LIMIT 100))) AS n;
UPDATE ways SET ended = (SELECT seconds FROM clock) WHERE way = 7;
UPDATE ways SET queries = (SELECT count(*) FROM queries);

.mode list
.print
SELECT printf('model %s, %d bits, %s, sha256 %s', name, bits, kind,
              substr(sha256, 1, 12)) FROM binhash_models WHERE is_default;
SELECT printf('%d queries (test) against %d images (train), %d features, '
              || 'pool 1000', (SELECT count(*) FROM queries),
              (SELECT count(*) FROM images),
              (SELECT length(features) / 4 FROM images LIMIT 1));
.print
.print way                                            P@10   P@100  of its 10  ms/query  faster
CREATE TEMP VIEW quality AS
SELECT f.way, avg(i.label = q.label) FILTER (WHERE f.place < 10) AS p10,
  avg(i.label = q.label) AS p100,
  sum(f.place < 10 AND EXISTS (SELECT 1 FROM found AS e WHERE e.way = 1
      AND e.query = f.query AND e.place < 10 AND e.id = f.id))
    * 1.0 / sum(f.place < 10) AS common
FROM found AS f JOIN queries AS q ON q.id = f.query
JOIN images AS i ON i.id = f.id GROUP BY f.way;
CREATE INDEX temp.found_way ON found(way, query, place, id);
SELECT printf('%-45s  %.4f %.4f  %8.1f%%  %8.3f  %6.1f', w.name, p10, p100,
              100 * common, 1000 * (ended - began) / w.queries,
              (SELECT (b.ended - b.began) / b.queries FROM ways AS b
               WHERE b.way = w.baseline) / ((ended - began) / w.queries))
FROM ways AS w JOIN quality USING (way) ORDER BY way;

-- 4,096 features, as in the paper: the same with 3,840 zeros behind them, which
-- changes no distance, so that only the time is told.
CREATE TABLE wide(id INTEGER PRIMARY KEY, code BLOB, features BLOB);
INSERT INTO wide SELECT id, code, features || zeroblob(16384 - length(features))
  FROM images ORDER BY id;
CREATE INDEX wide_code ON wide(code);
CREATE TABLE wide_packed(id INTEGER PRIMARY KEY, code BLOB, features BLOB);
INSERT INTO wide_packed SELECT id, code, feature_pack(features) FROM wide
  ORDER BY id;
CREATE INDEX wide_packed_code ON wide_packed(code);
CREATE TEMP TABLE wide_queries AS SELECT id, code,
  features || zeroblob(16384 - length(features)) AS features,
  feature_pack(features || zeroblob(16384 - length(features))) AS packed
FROM queries LIMIT 20;

INSERT INTO ways(way, name, baseline)
  VALUES (8, 'exhaustive, feature_distance, float32', 8);
INSERT INTO found SELECT 8, q.id, n.key, n.value FROM wide_queries AS q,
  json_each((SELECT json_group_array(id) FROM (
    SELECT id FROM wide
    ORDER BY feature_distance(features, q.features), id LIMIT 100))) AS n;
UPDATE ways SET ended = (SELECT seconds FROM clock) WHERE way = 8;

INSERT INTO ways(way, name, baseline)
  VALUES (9, 'exhaustive, feature_distance, packed', 8);
INSERT INTO found SELECT 9, q.id, n.key, n.value FROM wide_queries AS q,
  json_each((SELECT json_group_array(id) FROM (
    SELECT id FROM wide_packed
    ORDER BY feature_distance(features, q.packed), id LIMIT 100))) AS n;
UPDATE ways SET ended = (SELECT seconds FROM clock) WHERE way = 9;

INSERT INTO ways(way, name, baseline)
  VALUES (10, 'coarse to fine, binhash_search, float32', 8);
INSERT INTO found SELECT 10, q.id, 0, n.rowid FROM wide_queries AS q
  JOIN binhash_search('wide', 'code', 'features', q.code, q.features, 100)
    AS n;
UPDATE ways SET ended = (SELECT seconds FROM clock) WHERE way = 10;

INSERT INTO ways(way, name, baseline)
  VALUES (11, 'coarse to fine, binhash_search, packed', 8);
INSERT INTO found SELECT 11, q.id, 0, n.rowid FROM wide_queries AS q
  JOIN binhash_search('wide_packed', 'code', 'features', q.code, q.packed, 100)
    AS n;
UPDATE ways SET ended = (SELECT seconds FROM clock) WHERE way = 11;

INSERT INTO ways(way, name, baseline) VALUES (12, 'coarse, binhash_topk', 8);
INSERT INTO found SELECT 12, q.id, 0, n.rowid FROM queries AS q
  JOIN binhash_topk('wide', 'code', q.code, 100) AS n;
UPDATE ways SET ended = (SELECT seconds FROM clock) WHERE way = 12;

INSERT INTO ways(way, name, baseline) VALUES (13, 'coarse, index', 8);
INSERT INTO found SELECT 13, q.id, n.key, n.value FROM queries AS q,
  json_each((SELECT json_group_array(rowid) FROM (
    SELECT rowid FROM codes WHERE query = q.code
    ORDER BY distance, rowid LIMIT 100))) AS n;
UPDATE ways SET ended = (SELECT seconds FROM clock) WHERE way = 13;
UPDATE ways SET queries = (SELECT count(*) FROM wide_queries)
  WHERE way BETWEEN 8 AND 11;
UPDATE ways SET queries = (SELECT count(*) FROM queries) WHERE way > 11;

.print
.print The time alone, with 4096 features (those above and zeros):
SELECT printf('%-45s  %*s  %8.3f  %6.1f', w.name, 24, '',
              1000 * (ended - began) / w.queries,
              (SELECT (b.ended - b.began) / b.queries FROM ways AS b
               WHERE b.way = w.baseline) / ((ended - began) / w.queries))
FROM ways AS w WHERE way >= 8 ORDER BY way;
.print
.print of its 10: how many of the first 10 are among those of the first line.
.print faster: than the first line of the table.

-- From coarse to fine: the quality and the time of each way to search, over the
-- codes and features that sql/coarse.sh made.  Its paper is CVPRW 2015, section
-- 3.3: a pool of images by Hamming distance, then the Euclidean distance of the
-- features of the layer before the codes.
--
-- The training images are the database, shuffled once with a fixed seed, since
-- the order of the file goes round the classes and would break ties for some of
-- them.  Everything lies in one file that is mapped into memory, so that no way
-- waits for a disk.  The index `codes` is there already, since its bits are the
-- model's.  The ways are in sql/coarse_ways.sql, the tables that come out in
-- sql/coarse_report.sql.

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

-- Queries come in ten batches, each of which goes all ways in turn.
CREATE TABLE queries AS SELECT id, code, label, features,
  feature_pack(features) AS packed, (row_number() OVER (ORDER BY id)) % 10
    AS batch
FROM (SELECT * FROM source WHERE split = 'test' ORDER BY id
      LIMIT (SELECT queries FROM setting));

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
CREATE TABLE wide_queries AS SELECT id, code, features,
  feature_pack(features) AS packed, batch FROM (
    SELECT id, code, batch,
      CAST(features || zeroblob(16384 - length(features)) AS BLOB) AS features
    FROM queries LIMIT 20);

-- What came out: the first 100 rows of a query by a way; and the seconds of each
-- batch, which sql/coarse.sh writes down.
CREATE TABLE lists(part INT, way INT, query INT, ids TEXT);
CREATE TABLE times(part INT, way INT, queries INT, seconds REAL);
CREATE TABLE round(part INT, batch INT);
INSERT INTO round VALUES (1, -1);
CREATE TABLE ways(way INTEGER PRIMARY KEY, name TEXT);
INSERT INTO ways VALUES
  (1, 'exhaustive, feature_distance, float32'),
  (2, 'exhaustive, feature_distance, packed'),
  (3, 'coarse to fine, binhash_search, float32'),
  (4, 'coarse to fine, binhash_search, packed'),
  (5, 'coarse to fine, index and feature_distance'),
  (6, 'coarse, binhash_topk'),
  (7, 'coarse, index');

-- mAP@1000 as the authors of the method compute it (CVPRW 2015, section 4.2 and
-- their published code), over the codes that sql/eval.sh made.
--
-- The test images are the queries, the training images the database.  The
-- 1,000 nearest codes of a query are ranked by Hamming distance; ties fall to
-- the order of the database, which is shuffled once with a fixed seed, since
-- the rows of the file go round the classes and would break ties for some of
-- them.  AP of a query is the mean of precision@i over the hits within the
-- first 1,000, 0 when there is none; mAP is the mean over the queries.

CREATE TABLE codes AS SELECT * FROM a.codes UNION ALL SELECT * FROM b.codes;

-- The shuffle: a hash of the id by three rounds of a 31-bit generator (seed 1).
CREATE TABLE database(position INTEGER PRIMARY KEY, code BLOB, label INT);
WITH r1 AS (SELECT *, (id * 1103515245 + 12345) % 2147483648 AS x FROM codes
            WHERE split = 'train'),
     r2 AS (SELECT *, ((x | (x >> 13)) - (x & (x >> 13))) * 69069
                      % 2147483648 AS y FROM r1),
     r3 AS (SELECT *, ((y | (y >> 11)) - (y & (y >> 11))) * 1664525
                      % 2147483648 AS z FROM r2)
INSERT INTO database(code, label) SELECT code, label FROM r3 ORDER BY z, id;
CREATE TABLE queries AS SELECT id, code, label, predicted FROM codes
WHERE split = 'test' ORDER BY id;

CREATE TABLE hits AS
SELECT q.id AS query, d.label = q.label AS hit,
       row_number() OVER (PARTITION BY q.id ORDER BY n.distance, n.rowid) AS i
FROM queries AS q
JOIN binhash_topk('database', 'code', q.code, 1000) AS n
JOIN database AS d ON d.position = n.rowid;

CREATE TABLE precision AS
SELECT query, i, hit, sum(hit) OVER (PARTITION BY query ORDER BY i) * 1.0 / i
  AS p
FROM hits;

.mode list
.print
SELECT printf('model %s, %d bits, %s, sha256 %s', name, bits, kind,
              substr(sha256, 1, 12)) FROM binhash_models WHERE is_default;
SELECT printf('%d queries (test) against %d images (train)',
              (SELECT count(*) FROM queries), (SELECT count(*) FROM database));
SELECT printf('mAP@1000   %.4f', avg(ap)) FROM (
  SELECT coalesce(sum(p * hit) / nullif(sum(hit), 0), 0) AS ap
  FROM precision GROUP BY query);
SELECT printf('P@%-8d %.4f', i, avg(p)) FROM precision
WHERE i IN (1, 10, 100, 500, 1000) GROUP BY i ORDER BY i;
SELECT printf('accuracy   %.4f of the classifier behind the code',
              avg(predicted = c.name))
FROM queries AS q JOIN source.classes AS c ON c.label = q.label;
.print
.print AP: mean of precision@i over the hits within the first 1,000.  Ties in the
.print order of the database, which is shuffled with a fixed seed (sql/eval.sql).
.print The database is the training set, so this says how well the code tells the
.print classes apart, not how it does on pictures of other kinds.

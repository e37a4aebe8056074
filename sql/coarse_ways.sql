-- The next batch of the queries in `asked` goes each way; see sql/coarse.sql.  The
-- tables are told by the views floats and packs, and by name in searched.  A line
-- that names the way and counts the queries comes before the time.

UPDATE round SET batch = batch + 1;

-- Every row's features.
SELECT 'way', part, 1, count(*) FROM asked NATURAL JOIN round;
.timer on
INSERT INTO lists SELECT round.part, 1, q.id, (SELECT json_group_array(id) FROM
  (SELECT id, feature_distance(features, q.features) AS d FROM floats
   ORDER BY d, id LIMIT 100)
) FROM asked AS q, round WHERE q.batch = round.batch;
.timer off

SELECT 'way', part, 2, count(*) FROM asked NATURAL JOIN round;
.timer on
INSERT INTO lists SELECT round.part, 2, q.id, (SELECT json_group_array(id) FROM
  (SELECT id, feature_distance(features, q.packed) AS d FROM packs
   ORDER BY d, id LIMIT 100)
) FROM asked AS q, round WHERE q.batch = round.batch;
.timer off

-- A pool of 1,000 codes, then its features.
SELECT 'way', part, 3, count(*) FROM asked NATURAL JOIN round;
.timer on
INSERT INTO lists SELECT round.part, 3, q.id, (SELECT json_group_array(id) FROM
  (SELECT rowid AS id FROM binhash_search((SELECT floats FROM searched),
     'code', 'features', q.code, q.features, 100))
) FROM asked AS q, round WHERE q.batch = round.batch;
.timer off

SELECT 'way', part, 4, count(*) FROM asked NATURAL JOIN round;
.timer on
INSERT INTO lists SELECT round.part, 4, q.id, (SELECT json_group_array(id) FROM
  (SELECT rowid AS id FROM binhash_search((SELECT packs FROM searched),
     'code', 'features', q.code, q.packed, 100))
) FROM asked AS q, round WHERE q.batch = round.batch;
.timer off

SELECT 'way', part, 5, count(*) FROM asked NATURAL JOIN round;
.timer on
INSERT INTO lists SELECT round.part, 5, q.id, (SELECT json_group_array(id) FROM
  (SELECT i.id, feature_distance(i.features, q.features) AS d
   FROM (SELECT rowid FROM codes WHERE query = q.code
         ORDER BY distance, rowid LIMIT 1000) AS c
   JOIN floats AS i ON i.id = c.rowid
   ORDER BY d, i.id LIMIT 100)
) FROM asked AS q, round WHERE q.batch = round.batch;
.timer off

-- Codes alone, by a scan and by an index.
SELECT 'way', part, 6, count(*) FROM asked NATURAL JOIN round;
.timer on
INSERT INTO lists SELECT round.part, 6, q.id, (SELECT json_group_array(id) FROM
  (SELECT rowid AS id FROM binhash_topk((SELECT floats FROM searched), 'code',
     q.code, 100))
) FROM asked AS q, round WHERE q.batch = round.batch;
.timer off

SELECT 'way', part, 7, count(*) FROM asked NATURAL JOIN round;
.timer on
INSERT INTO lists SELECT round.part, 7, q.id, (SELECT json_group_array(id) FROM
  (SELECT rowid AS id FROM codes WHERE query = q.code
   ORDER BY distance, rowid LIMIT 100)
) FROM asked AS q, round WHERE q.batch = round.batch;
.timer off

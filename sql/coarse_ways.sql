-- The next batch of the queries in `asked` goes each way; see sql/coarse.sql.  The
-- tables are told by the views floats and packs, and by name in searched.

UPDATE round SET batch = batch + 1;

-- Every row's features.
INSERT INTO times SELECT part, 1, batch, 0, seconds, 0 FROM round, clock;
INSERT INTO lists SELECT round.part, 1, q.id, (SELECT json_group_array(id) FROM
  (SELECT id, feature_distance(features, q.features) AS d FROM floats
   ORDER BY d, id LIMIT 100)
) FROM asked AS q, round WHERE q.batch = round.batch;
UPDATE times SET ended = (SELECT seconds FROM clock) WHERE ended = 0;

INSERT INTO times SELECT part, 2, batch, 0, seconds, 0 FROM round, clock;
INSERT INTO lists SELECT round.part, 2, q.id, (SELECT json_group_array(id) FROM
  (SELECT id, feature_distance(features, q.packed) AS d FROM packs
   ORDER BY d, id LIMIT 100)
) FROM asked AS q, round WHERE q.batch = round.batch;
UPDATE times SET ended = (SELECT seconds FROM clock) WHERE ended = 0;

-- A pool of 1,000 codes, then its features.
INSERT INTO times SELECT part, 3, batch, 0, seconds, 0 FROM round, clock;
INSERT INTO lists SELECT round.part, 3, q.id, (SELECT json_group_array(id) FROM
  (SELECT rowid AS id FROM binhash_search((SELECT floats FROM searched),
     'code', 'features', q.code, q.features, 100))
) FROM asked AS q, round WHERE q.batch = round.batch;
UPDATE times SET ended = (SELECT seconds FROM clock) WHERE ended = 0;

INSERT INTO times SELECT part, 4, batch, 0, seconds, 0 FROM round, clock;
INSERT INTO lists SELECT round.part, 4, q.id, (SELECT json_group_array(id) FROM
  (SELECT rowid AS id FROM binhash_search((SELECT packs FROM searched),
     'code', 'features', q.code, q.packed, 100))
) FROM asked AS q, round WHERE q.batch = round.batch;
UPDATE times SET ended = (SELECT seconds FROM clock) WHERE ended = 0;

INSERT INTO times SELECT part, 5, batch, 0, seconds, 0 FROM round, clock;
INSERT INTO lists SELECT round.part, 5, q.id, (SELECT json_group_array(id) FROM
  (SELECT i.id, feature_distance(i.features, q.features) AS d
   FROM (SELECT rowid FROM codes WHERE query = q.code
         ORDER BY distance, rowid LIMIT 1000) AS c
   JOIN floats AS i ON i.id = c.rowid
   ORDER BY d, i.id LIMIT 100)
) FROM asked AS q, round WHERE q.batch = round.batch;
UPDATE times SET ended = (SELECT seconds FROM clock) WHERE ended = 0;

-- Codes alone, by a scan and by an index.
INSERT INTO times SELECT part, 6, batch, 0, seconds, 0 FROM round, clock;
INSERT INTO lists SELECT round.part, 6, q.id, (SELECT json_group_array(id) FROM
  (SELECT rowid AS id FROM binhash_topk((SELECT floats FROM searched), 'code',
     q.code, 100))
) FROM asked AS q, round WHERE q.batch = round.batch;
UPDATE times SET ended = (SELECT seconds FROM clock) WHERE ended = 0;

INSERT INTO times SELECT part, 7, batch, 0, seconds, 0 FROM round, clock;
INSERT INTO lists SELECT round.part, 7, q.id, (SELECT json_group_array(id) FROM
  (SELECT rowid AS id FROM codes WHERE query = q.code
   ORDER BY distance, rowid LIMIT 100)
) FROM asked AS q, round WHERE q.batch = round.batch;
UPDATE times SET ended = (SELECT seconds FROM clock) WHERE ended = 0;

UPDATE times SET queries = (SELECT count(*) FROM asked AS q
                            WHERE q.batch = times.batch) WHERE queries = 0;

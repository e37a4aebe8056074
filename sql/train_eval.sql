-- Codes of a base model beside codes that were learned on it; sql/train_eval.sh
-- says what it measures, attaches the pictures as `source` and makes the
-- table setting.
.mode list
CREATE TEMP TABLE learned AS
SELECT id FROM source.images WHERE split = 'train' ORDER BY id LIMIT (SELECT images FROM setting);
CREATE TEMP TABLE trained AS SELECT model, report FROM binhash_train(
  'SELECT image, label FROM source.images WHERE id IN (SELECT id FROM learned)
   ORDER BY id', json_set((SELECT options FROM setting), '$.base', (SELECT base FROM setting)));
CREATE TEMP TABLE loaded_model AS SELECT binhash_load('learned', model)
FROM trained;

SELECT printf('base %s, %d bits, %s; %d images learned from, %d bits', b.name,
              b.bits, b.kind, json_extract(t.report, '$.images'), l.bits)
FROM trained AS t, binhash_models AS b, binhash_models AS l
WHERE b.name = (SELECT base FROM setting) AND l.name = 'learned';
SELECT printf('%.0f s for the features, %.1f s for the training',
              json_extract(report, '$.seconds.reading'),
              json_extract(report, '$.seconds.training')) FROM trained;
SELECT printf('held out: accuracy %.4f, mAP@1000 %.4f (base %.4f)',
              json_extract(report, '$.accuracy'), json_extract(report, '$.map'),
              json_extract(report, '$.base_map')) FROM trained;
SELECT 'warning: ' || value
FROM trained, json_each(report, '$.warnings');

-- Who is searched among, in an order of chance.
CREATE TEMP TABLE pool AS
SELECT id FROM source.images
WHERE split = 'train' AND ((SELECT count(*) FROM learned) =
      (SELECT count(*) FROM source.images WHERE split = 'train')
      OR id NOT IN (SELECT id FROM learned));
CREATE TEMP TABLE database(position INTEGER PRIMARY KEY, id INT UNIQUE,
  label INT, code BLOB, base_code BLOB);
INSERT INTO database(id, label)
SELECT id, label FROM source.images JOIN pool USING (id)
ORDER BY (id * 1103515245 + 12345) % 2147483648, id;
CREATE TEMP TABLE queries(id INTEGER PRIMARY KEY, label INT, code BLOB,
  base_code BLOB);
INSERT INTO queries(id, label) SELECT id, label FROM source.images
WHERE split = 'test' ORDER BY id LIMIT (SELECT queries FROM setting);

CREATE TEMP TABLE codes AS SELECT key AS id, code, m.column1 AS model
FROM (VALUES ('learned'), ((SELECT base FROM setting))) AS m, img_hash_each(
  'SELECT id, image FROM source.images
   WHERE id IN (SELECT id FROM database) OR id IN (SELECT id FROM queries)',
  m.column1);
CREATE INDEX temp.codes_id ON codes(id, model);
UPDATE database SET
  code = (SELECT code FROM codes AS c WHERE c.id = database.id
          AND model = 'learned'),
  base_code = (SELECT code FROM codes AS c WHERE c.id = database.id
               AND model = (SELECT base FROM setting));
UPDATE queries SET
  code = (SELECT code FROM codes AS c WHERE c.id = queries.id
          AND model = 'learned'),
  base_code = (SELECT code FROM codes AS c WHERE c.id = queries.id
               AND model = (SELECT base FROM setting));

CREATE TEMP TABLE hits AS
SELECT kind, query, hit, i,
       sum(hit) OVER (PARTITION BY kind, query ORDER BY i) * 1.0 / i AS p
FROM (
  SELECT 'base' AS kind, q.id AS query, d.label = q.label AS hit,
         row_number() OVER (PARTITION BY q.id ORDER BY n.distance, n.rowid) AS i
  FROM queries AS q
  JOIN binhash_topk('database', 'base_code', q.base_code, 1000) AS n
  JOIN database AS d ON d.position = n.rowid
  UNION ALL
  SELECT 'learned', q.id, d.label = q.label,
         row_number() OVER (PARTITION BY q.id ORDER BY n.distance, n.rowid)
  FROM queries AS q
  JOIN binhash_topk('database', 'code', q.code, 1000) AS n
  JOIN database AS d ON d.position = n.rowid);

SELECT printf('%d queries (test) among %d images (train)',
              (SELECT count(*) FROM queries), (SELECT count(*) FROM database));
SELECT printf('%-10s mAP@1000 %.4f  P@1 %.4f  P@10 %.4f  P@100 %.4f', kind,
  (SELECT avg(ap) FROM (
     SELECT coalesce(sum(p * hit) / nullif(sum(hit), 0), 0) AS ap FROM hits
     WHERE kind = k.kind GROUP BY query)),
  (SELECT avg(p) FROM hits WHERE kind = k.kind AND i = 1),
  (SELECT avg(p) FROM hits WHERE kind = k.kind AND i = 10),
  (SELECT avg(p) FROM hits WHERE kind = k.kind AND i = 100))
FROM (VALUES (0, 'base'), (1, 'learned')) AS v
JOIN (SELECT DISTINCT kind FROM hits) AS k ON k.kind = v.column2
ORDER BY v.column1;
SELECT printf('raised by  %.4f', (SELECT avg(ap) FROM (
     SELECT coalesce(sum(p * hit) / nullif(sum(hit), 0), 0) AS ap FROM hits
     WHERE kind = 'learned' GROUP BY query)) - (SELECT avg(ap) FROM (
     SELECT coalesce(sum(p * hit) / nullif(sum(hit), 0), 0) AS ap FROM hits
     WHERE kind = 'base' GROUP BY query)));

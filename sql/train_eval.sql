-- Codes learned on a base model: the training, and what it says of itself.
-- sql/train_eval.sh says what is measured, attaches the pictures as `source` and
-- makes the tables setting, picked (sql/train_pick.sql) and base_model.
.mode list
CREATE TABLE trained AS SELECT model, report FROM binhash_train(
  'SELECT image, label FROM source.images WHERE id IN
     (SELECT id FROM picked WHERE place = ''learned'') ORDER BY id',
  json_set((SELECT options FROM setting), '$.base',
           (SELECT head FROM base_model)));
CREATE TEMP TABLE loaded AS SELECT binhash_load('learned', model) FROM trained;

SELECT printf('base %s, %d bits, %s; %d images learned from, %d bits', s.name,
              b.bits, b.kind, json_extract(t.report, '$.images'), l.bits)
FROM trained AS t, base_model AS s, binhash_models AS b, binhash_models AS l
WHERE b.name = s.head AND l.name = 'learned';
SELECT printf('%.0f s for their features, %.1f s for the training',
              json_extract(report, '$.seconds.reading'),
              json_extract(report, '$.seconds.training')) FROM trained;
SELECT printf('held out: accuracy %.4f, mAP@1000 %.4f (base %.4f)',
              json_extract(report, '$.accuracy'), json_extract(report, '$.map'),
              json_extract(report, '$.base_map')) FROM trained;
SELECT 'warning: ' || value
FROM trained, json_each(report, '$.warnings');

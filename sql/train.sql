-- A model of one's own, from one's own labels: train, keep it in the database,
-- load it, hash anew, search.
--
--   sqlite3 photos.db -cmd '.load ./build/binhash' < sql/train.sql
--
-- Before: photos(id INTEGER PRIMARY KEY, image BLOB, code BLOB), and
-- photo_labels(photo, label), where a person has written what some of the photos
-- show; a photo may have several labels.  A hundred images a class do well, ten
-- are few.

-- 1. Train.  Models live in a table, with the report of how they were made.
CREATE TABLE IF NOT EXISTS models(
  name TEXT PRIMARY KEY, model BLOB NOT NULL, report TEXT NOT NULL);
INSERT OR REPLACE INTO models(name, model, report)
SELECT 'mine', model, report FROM binhash_train(
  'SELECT p.image, l.label FROM photo_labels AS l JOIN photos AS p
   ON p.id = l.photo ORDER BY l.photo, l.label',
  '{"bits": 64}');

-- 2. Read what is said of it before relying on it.
SELECT json_extract(report, '$.images') AS images,
       json_extract(report, '$.classes') AS classes,
       json_extract(report, '$.accuracy') AS accuracy,
       json_extract(report, '$.map') AS map,
       json_extract(report, '$.base_map') AS base_map,
       json_extract(report, '$.warnings') AS warnings
FROM models WHERE name = 'mine';

-- 3. Load it.  A model belongs to a connection, so this is to be done each time
--    the database is opened.  (A name stands for its bytes: to load a newer
--    'mine', unload the old one first.)
CREATE TEMP TABLE loaded AS
SELECT name, binhash_load(name, model) AS names FROM models;

-- 4. Hash all photos anew, labelled or not; codes of two models do not compare.
CREATE TEMP TABLE hashed AS
SELECT key AS id, code FROM img_hash_each('SELECT id, image FROM photos', 'mine')
WHERE code IS NOT NULL;
UPDATE photos SET code = hashed.code FROM hashed WHERE hashed.id = photos.id;

-- 5. Search: the photos nearest to one of them, and what the model takes them
--    for.
SELECT p.id, t.distance, img_label(p.image, 'mine') AS shows
FROM binhash_topk('photos', 'code',
       (SELECT code FROM photos WHERE code IS NOT NULL ORDER BY id LIMIT 1)) AS t
JOIN photos AS p ON p.id = t.rowid
ORDER BY t.distance, t.rowid LIMIT 5;

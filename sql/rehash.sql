-- Move a library that sql/import.sql and sql/hash.sql made to another model.
--
--   sqlite3 photos.db -cmd '.load ./build/binhash' \
--     -cmd "SELECT binhash_load('new', 'new.safetensors')" \
--     -cmd ".param set :model new" < sql/rehash.sql
--
-- Without :model it is the default model.  It hashes one slice (:slice, as in
-- sql/hash.sql) into columns beside the codes and prints how many are left;
-- repeat it until that is 0.  Until then searches go on with the old codes, and
-- pictures that sql/hash.sql adds meanwhile are moved as well.  With the last
-- slice done, one transaction puts the new codes in the place of the old, and
-- sql/hash.sql goes on with the new model.
--
-- It can be killed at any moment and run again: what was committed counts.  What
-- it is moving to is in the table `library`, with the sha256 of the model: asked
-- for another one, it begins anew; and where the codes are the model's already,
-- there is nothing to do and it prints 0.
.bail on
BEGIN IMMEDIATE;
-- (try_img_hash is an error where there is no such model.)
CREATE TEMP TABLE goal AS
SELECT name AS model, sha256, try_img_hash(NULL, name) AS found
FROM (SELECT coalesce(:model, (SELECT name FROM binhash_models
                               WHERE is_default)) AS name)
LEFT JOIN binhash_models USING (name);
CREATE TEMP TABLE begins AS
SELECT 1 FROM library AS l, goal AS g
WHERE (coalesce(l.next_model, l.model), coalesce(l.next_sha256, l.sha256))
      IS NOT (g.model, g.sha256);
UPDATE codes SET next_code = NULL, next_features = NULL, next_error = NULL
WHERE EXISTS (SELECT 1 FROM begins)
  AND (next_code IS NOT NULL OR next_error IS NOT NULL);
UPDATE library SET next_model = g.model, next_sha256 = g.sha256
FROM goal AS g WHERE EXISTS (SELECT 1 FROM begins);
-- Back to where it came from: nothing is to be moved.
UPDATE library SET next_model = NULL, next_sha256 = NULL
WHERE (next_model, next_sha256) IS (model, sha256);
DROP TABLE begins;
DROP TABLE goal;
COMMIT;

UPDATE codes SET next_code = h.code, next_features = h.features,
  next_error = CASE WHEN h.code IS NULL
                    THEN coalesce(h.error, 'the file cannot be read') END
FROM img_hash_each('SELECT id, readfile(path) FROM codes JOIN photos USING (id)
                    WHERE next_code IS NULL AND next_error IS NULL
                      AND EXISTS (SELECT 1 FROM library
                                  WHERE next_model IS NOT NULL)
                    ORDER BY id LIMIT ?1',
                   (SELECT next_model FROM library), coalesce(:slice, 1000))
     AS h
WHERE codes.id = h.key;

CREATE TEMP VIEW remaining AS
SELECT count(*) AS n FROM codes JOIN photos USING (id)
WHERE next_code IS NULL AND next_error IS NULL
  AND EXISTS (SELECT 1 FROM library WHERE next_model IS NOT NULL);

BEGIN IMMEDIATE;
CREATE TEMP TABLE swap AS
SELECT 1 FROM library, remaining WHERE n = 0 AND next_model IS NOT NULL;
UPDATE codes SET code = next_code, features = next_features,
  error = next_error, next_code = NULL, next_features = NULL, next_error = NULL
WHERE EXISTS (SELECT 1 FROM swap);
UPDATE library SET model = next_model, sha256 = next_sha256,
  next_model = NULL, next_sha256 = NULL
WHERE EXISTS (SELECT 1 FROM swap);
DROP TABLE swap;
COMMIT;
SELECT n FROM remaining;
DROP VIEW remaining;

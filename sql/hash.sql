-- Hash one slice of the pictures that sql/import.sql registered and that have
-- no row in `codes` yet.
--
--   sqlite3 photos.db -cmd '.load ./build/binhash' < sql/hash.sql
--
-- It prints how many are left; repeat it until that is 0, as sql/demo.sh does.
-- A slice is one statement, so it is committed whole or not at all: a kill
-- loses at most one, and the next run goes on after the last.  A slice has
-- 1,000 pictures, or what  -cmd '.param set :slice 100'  says.
--
-- A picture that cannot be hashed gets a row with the reason, so that it is not
-- tried for ever.  To try those again:  DELETE FROM codes WHERE error NOT NULL;
--
-- The first run chooses the model, of which all codes of a library are: the
-- default one, or what  -cmd ".param set :model copy-64"  says, whose codes find
-- copies of a picture and not what resembles it (sql/duplicates.sql).
-- sql/rehash.sql moves a library to another model.
.bail on
-- (try_img_hash is an error where there is no such model.)
INSERT INTO library(model, sha256)
SELECT name, sha256
FROM (SELECT coalesce(:model, (SELECT name FROM binhash_models
                               WHERE is_default)) AS name)
LEFT JOIN binhash_models USING (name)
WHERE NOT EXISTS (SELECT 1 FROM library)
  AND name NOT NULL AND try_img_hash(NULL, name) IS NULL;
-- Each file is read once, and goes through the network once for both columns.
INSERT INTO codes(id, code, features, error)
SELECT key, code, features,
       CASE WHEN code IS NULL THEN coalesce(error, 'the file cannot be read')
       END
FROM img_hash_each('SELECT id, readfile(path) FROM photos
                    WHERE id NOT IN (SELECT id FROM codes)
                    ORDER BY id LIMIT ?1',
                   (SELECT model FROM library), coalesce(:slice, 1000));
SELECT count(*) FROM photos WHERE id NOT IN (SELECT id FROM codes);

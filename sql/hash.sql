-- Hash one slice of the pictures that have no code yet, in one transaction.
-- Repeat until it prints 0 (sql/demo.sh does); a kill loses one slice, and the
-- next run goes on after the last one that was committed.
--
--   sqlite3 photos.db -cmd '.load ./build/binhash' < sql/hash.sql
CREATE TEMP TABLE slice AS
  SELECT id FROM photos WHERE code IS NULL AND error IS NULL
  ORDER BY id LIMIT 16;
BEGIN IMMEDIATE;
-- Each file is read once, and goes through the network once for both columns.
UPDATE photos SET (code, features) = (
  WITH file(image) AS MATERIALIZED (SELECT readfile(path)),
    hashed(image, code) AS MATERIALIZED (
      SELECT image, try_img_hash(image) FROM file)
  SELECT code, CASE WHEN code IS NOT NULL THEN img_features(image) END
  FROM hashed)
WHERE id IN (SELECT id FROM slice);
-- What could not be hashed is remembered with the reason, not tried for ever.
UPDATE photos SET error = CASE WHEN readfile(path) IS NULL
  THEN 'the file cannot be read'
  ELSE coalesce(img_error(readfile(path)), 'the file changed meanwhile') END
WHERE id IN (SELECT id FROM slice) AND code IS NULL;
COMMIT;
SELECT count(*) FROM photos WHERE code IS NULL AND error IS NULL;

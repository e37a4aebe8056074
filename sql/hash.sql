-- Hash one slice of the pictures that have no code yet, in one transaction.
-- Repeat until it prints 0 (sql/demo.sh does); a kill loses one slice, and the
-- next run goes on after the last one that was committed.
--
--   sqlite3 photos.db -cmd '.load ./build/binhash' < sql/hash.sql
CREATE TEMP TABLE slice AS
  SELECT id FROM photos WHERE code IS NULL AND error IS NULL
  ORDER BY id LIMIT 16;
BEGIN IMMEDIATE;
UPDATE photos SET code = try_img_hash(readfile(path))
WHERE id IN (SELECT id FROM slice);
UPDATE photos SET features = img_features(readfile(path))
WHERE id IN (SELECT id FROM slice) AND code IS NOT NULL;
-- What could not be hashed is remembered with the reason, not tried for ever.
UPDATE photos SET error = CASE WHEN readfile(path) IS NULL
  THEN 'the file cannot be read'
  ELSE coalesce(img_error(readfile(path)), 'the file changed meanwhile') END
WHERE id IN (SELECT id FROM slice) AND code IS NULL;
COMMIT;
SELECT count(*) FROM photos WHERE code IS NULL AND error IS NULL;

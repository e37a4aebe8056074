-- Register the pictures of a folder, and of the folders in it, in the table
-- `photos`.  Running it again adds what is new.
--
--   sqlite3 photos.db -cmd ".parameter set :folder '''/home/me/Pictures'''" \
--     < sql/import.sql
--
-- The pictures stay where they are; the table holds their paths.  fsdir() is
-- part of the sqlite3 shell.
CREATE TABLE IF NOT EXISTS photos(
  id INTEGER PRIMARY KEY,
  path TEXT NOT NULL UNIQUE,
  code BLOB,        -- img_hash of the picture, NULL until it is hashed
  features BLOB,    -- img_features of it, for the fine order
  error TEXT        -- why it could not be hashed
);
INSERT OR IGNORE INTO photos(path)
SELECT name FROM fsdir(:folder)
WHERE mode & 61440 = 32768   -- a regular file
  AND (lower(name) LIKE '%.jpg' OR lower(name) LIKE '%.jpeg'
       OR lower(name) LIKE '%.png' OR lower(name) LIKE '%.gif'
       OR lower(name) LIKE '%.bmp')
ORDER BY name;

-- Register the pictures of a folder, and of the folders in it, in the table
-- `photos`.  Running it again adds what is new.
--
--   sqlite3 photos.db -cmd ".param set :folder \"'/home/me/Pictures'\"" \
--     < sql/import.sql
--
-- and then sql/hash.sql, which hashes them.  The pictures stay where they are;
-- the table holds their paths.  fsdir() is part of the sqlite3 shell.
CREATE TABLE IF NOT EXISTS photos(
  id INTEGER PRIMARY KEY,
  path TEXT NOT NULL UNIQUE
);
-- In a table of its own: where `photos` holds the pictures themselves, SQLite
-- would write a picture again to change a column beside it.
CREATE TABLE IF NOT EXISTS codes(
  id INTEGER PRIMARY KEY,   -- of the photo
  code BLOB,                -- img_hash of the picture
  features BLOB,            -- img_features of it, for the fine order
  error TEXT,               -- why there is neither
  next_code BLOB,           -- the same three, of the model that sql/rehash.sql
  next_features BLOB,       -- is moving to
  next_error TEXT
);
-- One row: the model of the codes, and the one that sql/rehash.sql moves to.
CREATE TABLE IF NOT EXISTS library(
  model TEXT, sha256 TEXT, next_model TEXT, next_sha256 TEXT
);
INSERT OR IGNORE INTO photos(path)
SELECT name FROM fsdir(:folder)
WHERE mode & 61440 = 32768   -- a regular file
  AND (lower(name) LIKE '%.jpg' OR lower(name) LIKE '%.jpeg'
       OR lower(name) LIKE '%.png' OR lower(name) LIKE '%.gif'
       OR lower(name) LIKE '%.bmp')
ORDER BY name;

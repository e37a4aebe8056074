-- Hash one slice of the pictures that have no code yet, with every head of the
-- model, in one transaction.  `picture` is the view of them all, (id, split,
-- label, image); arg.part of arg.parts is the share of this process, by id.
-- Prints how many are left.
CREATE TABLE IF NOT EXISTS codes(
  head TEXT, id INT, split TEXT, label INT, code BLOB,
  predicted TEXT,  -- the class
  binary REAL,     -- share of latent outputs below 0.1 or above 0.9
  PRIMARY KEY (head, id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS features(id INTEGER PRIMARY KEY, features BLOB);
-- Each picture goes through the network once: its first function computes what
-- the others find.  A logit of ln 9 is an output of 0.9.
CREATE TEMP TABLE slice AS
SELECT h.head, p.id, p.split, p.label, img_hash(p.image, h.name) AS code,
  img_label(p.image, h.name) AS predicted,
  eval_beyond(img_layer(p.image, h.latent, h.name), 2.1972245773) AS binary,
  CASE h.number WHEN 0 THEN img_features(p.image, h.name) END AS features
FROM (SELECT * FROM picture WHERE id % (SELECT parts FROM arg) =
        (SELECT part FROM arg) AND
        id > (SELECT coalesce(max(id), -1) FROM codes)
      ORDER BY id LIMIT 2000) AS p
CROSS JOIN model.heads AS h;
-- A perceptual hash of the picture's 32x32 pixels (sql/eval/pixels.sql), and
-- noise.
INSERT INTO slice(head, id, split, label, code)
SELECT h.head, p.id, p.split, p.label,
  CASE h.head WHEN 'random' THEN eval_random(p.id)
  ELSE eval_phash(img_layer(p.image, 'data', 'pixels')) END
FROM (SELECT DISTINCT id FROM slice) AS s
JOIN picture AS p ON p.id = s.id AND p.split <> 'train'
CROSS JOIN (SELECT 'phash' AS head UNION ALL SELECT 'random') AS h;
BEGIN IMMEDIATE;
INSERT INTO codes SELECT head, id, split, label, code, predicted, binary
FROM slice;
INSERT INTO features SELECT id, features FROM slice WHERE features NOT NULL;
COMMIT;
SELECT (SELECT count(*) FROM picture WHERE id % parts = part) -
       (SELECT count(DISTINCT id) FROM codes) FROM arg;

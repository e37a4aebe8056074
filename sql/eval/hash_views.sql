-- The codes of all views of mirrored and turned pictures, one behind the other,
-- as sql/eval/hash.sql makes those of pictures.
CREATE TABLE IF NOT EXISTS codes(
  head TEXT, id INT, split TEXT, label INT, code BLOB, PRIMARY KEY (head, id)
) WITHOUT ROWID;
BEGIN IMMEDIATE;
INSERT INTO codes
SELECT h.head, p.id, p.split, p.label, (
  SELECT eval_views(code) FROM img_hash_views(p.image,
    CASE p.split WHEN 'flip' THEN 'flip' ELSE 'd4' END, h.name))
FROM (SELECT * FROM picture WHERE id % (SELECT parts FROM arg) =
        (SELECT part FROM arg) AND
        id > (SELECT coalesce(max(id), -1) FROM codes)
      ORDER BY id LIMIT 500) AS p
CROSS JOIN model.heads AS h;
COMMIT;
SELECT (SELECT count(*) FROM picture WHERE id % parts = part) -
       (SELECT count(DISTINCT id) FROM codes) FROM arg;

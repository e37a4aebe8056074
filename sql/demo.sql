-- What the demonstration asks: the nearest pictures of each original, coarse to
-- fine.  Coarse: the 40 nearest codes.  Fine: those in the order of the distance
-- of their features.  The answer is printed for a few and written as a page for
-- all.  Last, who looks for versions of a picture alone asks the codes of copy-64.

-- A short name to show: the file's, or for an edit the original's and the edit.
CREATE TEMP VIEW shown AS
SELECT p.id, c.code, c.features, p.path,
       coalesce(o.id, p.id) AS original,
       replace(coalesce(o.path, p.path),
               rtrim(coalesce(o.path, p.path),
                     replace(coalesce(o.path, p.path), '/', '')), '') ||
         CASE WHEN o.id IS NULL THEN ''
              ELSE ', ' || replace(substr(f.file, instr(f.file, '-') + 1),
                                   '.jpg', '') END AS name
FROM photos AS p
JOIN codes AS c USING (id)
JOIN (SELECT id, replace(path, rtrim(path, replace(path, '/', '')), '') AS file
      FROM photos) AS f ON f.id = p.id
LEFT JOIN photos AS o
  ON p.path LIKE '%/build/demo/edits/%' AND o.id = CAST(f.file AS INTEGER)
WHERE c.code IS NOT NULL;

-- Who asks: every original that was edited.  Not those that share their code
-- with three other originals: among the default pictures these are white
-- drawings on transparency, of which white is left.
CREATE TEMP TABLE asked AS
SELECT q.id, q.name, q.code, q.features FROM shown AS q
WHERE q.original = q.id
  AND EXISTS (SELECT 1 FROM shown AS e
              WHERE e.original = q.id AND e.id <> q.id)
  AND (SELECT count(*) FROM shown AS o
       WHERE o.original = o.id AND o.id <> q.id AND o.code = q.code) < 3;

-- Their neighbours, the nearest first.
CREATE TEMP TABLE answers AS
SELECT q.id AS query, q.name AS query_name, s.id, s.name, t.distance,
       s.original = q.id AS hit,
       row_number() OVER (PARTITION BY q.id ORDER BY
         feature_distance(q.features, s.features), t.rowid) AS n
FROM asked AS q
JOIN binhash_topk('codes', 'code', q.code, 41) AS t
JOIN shown AS s ON s.id = t.rowid
WHERE s.id <> q.id;

.mode column
.headers on
.print
.print The nearest pictures of a few.  Distance is that of the codes; of the
.print 40 nearest by it, the order is that of the features (coarse to fine):
.print
SELECT CASE n WHEN 1 THEN query_name ELSE '' END AS picture, distance,
       name AS found
FROM answers
WHERE n <= 5 AND query IN (
  SELECT id FROM asked ORDER BY name LIKE '%.jpg' DESC, id * 7919 % 31 LIMIT 4)
ORDER BY query, n;
.headers off
.mode list
SELECT printf('%d of %d edited versions are among the 8 nearest of their '
              || 'original.', sum(hit), 4 * count(DISTINCT query))
FROM answers WHERE n <= 8;
SELECT printf('%d edited pictures asked nothing and are not counted: each has '
              || 'the same code as' || char(10) || 'three others, so that it '
              || 'says nothing of them (white drawings, mostly).', n)
FROM (SELECT count(DISTINCT original) - (SELECT count(*) FROM asked) AS n
      FROM shown WHERE id <> original)
WHERE n > 0;

-- Versions of the same picture: other codes, and no features.
CREATE TABLE IF NOT EXISTS copies(id INTEGER PRIMARY KEY, code BLOB);
INSERT INTO copies SELECT key, code FROM img_hash_each(
  'SELECT id, readfile(path) FROM photos JOIN codes USING (id)
   WHERE codes.code IS NOT NULL AND id NOT IN (SELECT id FROM copies)',
  'copy-64');
SELECT printf('By the codes of copy-64, which are made for copies, %d of %d are '
              || 'within 8 bits of' || char(10) || 'their original, and so are '
              || '%d pictures that are no edited versions of it.',
              sum(s.original = q.id), 4 * (SELECT count(*) FROM asked),
              sum(s.original <> q.id))
FROM asked AS q JOIN copies AS c USING (id)
JOIN binhash_topk('copies', 'code', c.code) AS t
JOIN shown AS s ON s.id = t.rowid
WHERE t.distance <= 8 AND s.id <> q.id;

.output build/demo.html
SELECT '<!doctype html><meta charset="utf-8"><title>binhash</title><style>
body{font:14px sans-serif;margin:2em}figure{display:inline-block;margin:4px;
vertical-align:top;width:204px}figcaption{font-size:11px;word-wrap:break-word}
.q img{outline:3px solid #36c}.hit img{outline:2px solid #2a2}</style>
<h1>Pictures found by content</h1><p>Each row: a picture (blue), then its eight
nearest by Hamming distance of codes, ordered by features. Green: edited versions of it.</p>';
SELECT CASE n WHEN 1 THEN '<div><figure class="q"><img src="demo/thumbs/' ||
         query || '.jpg"><figcaption>' || replace(replace(query_name, '&',
         '&amp;'), '<', '&lt;') || '</figcaption></figure>' ELSE '' END ||
       '<figure' || CASE WHEN hit THEN ' class="hit"' ELSE '' END ||
       '><img src="demo/thumbs/' || id || '.jpg"><figcaption>' || distance ||
       ': ' || replace(replace(name, '&', '&amp;'), '<', '&lt;') ||
       '</figcaption></figure>' || CASE n WHEN 8 THEN '</div>' ELSE '' END
FROM answers WHERE n <= 8 ORDER BY query, n;
.output

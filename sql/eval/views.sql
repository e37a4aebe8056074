-- Prints searches for mirrored and turned pictures, with and without the views
-- of img_hash_views; `pairs` holds what sql/eval/pairs.sql counted, `figures`
-- the share whose original comes first.
.mode list
CREATE TEMP TABLE seen AS
SELECT kind, method, distance, pairs - same AS others, same,
  sum(pairs - same) OVER w AS wrong, sum(same) OVER w AS right,
  sum(pairs - same) OVER (PARTITION BY kind, method) AS all_others,
  sum(same) OVER (PARTITION BY kind, method) AS all_same
FROM pairs JOIN arg USING (set_name, head)
WINDOW w AS (PARTITION BY kind, method ORDER BY distance);
.print
SELECT printf('%s: searches for pictures that were', head) FROM arg;
.print mirrored (by 2 views of the query) and turned (by 8 views)
SELECT printf('%-22s%14s%22s', '', 'comes first', 'recall at 1e-4');
SELECT printf('%-22s%14.4f%22.4f',
  CASE kind WHEN 'flip' THEN 'mirrored' ELSE 'a quarter turn' END ||
  CASE method WHEN 'views' THEN ', views' ELSE '' END,
  (SELECT value FROM figures AS f JOIN arg USING (head) WHERE f.set_name =
     'views' AND f.method = seen.method || ' ' || seen.kind),
  coalesce(max(right) FILTER (WHERE wrong <= 1e-4 * all_others), 0) * 1.0 /
    all_same)
FROM seen GROUP BY kind, method ORDER BY kind, method;

-- Prints near duplicates: `pairs` holds what sql/eval/pairs.sql counted, all
-- pairs of an edited picture and a picture of the database by distance.
--
-- A pair is called the same when its distance is at most a threshold, which is
-- one for all kinds of edit.  micro-AP ranks all pairs of a kind by distance,
-- and is the expected value over orders of ties: of c pairs at one distance, m
-- of them the same, behind n pairs with r, the precisions at those m add up to
--   m/c * sum over i = 1..c of (r + 1 + (i-1)(m-1)/(c-1)) / (n + i).
.mode list
CREATE TEMP TABLE shown(place INT, kind TEXT PRIMARY KEY, parts INT);
INSERT INTO shown VALUES
  (1, 'crop', 0), (2, 'half', 0), (3, 'jpeg', 0), (4, 'brightness', 0),
  (5, 'contrast', 0), (6, 'rotation', 0), (7, 'flip', 0), (8, 'grey', 0),
  (10, 'blur', 1), (11, 'border', 1), (12, 'text', 1);
CREATE TEMP TABLE counted AS
SELECT place, kind, method, distance, pairs, same
FROM pairs JOIN arg USING (set_name, head) JOIN shown USING (kind)
UNION ALL
SELECT 9 + 4 * parts, iif(parts, 'those three', 'those above'),
  method, distance, sum(pairs), sum(same)
FROM pairs JOIN arg USING (set_name, head) JOIN shown USING (kind)
GROUP BY parts, method, distance
UNION ALL
SELECT 14, 'all', method, distance, sum(pairs), sum(same)
FROM pairs JOIN arg USING (set_name, head) JOIN shown USING (kind)
GROUP BY method, distance;
CREATE TEMP TABLE ranked AS
SELECT place, kind, method, distance, pairs, same,
  sum(pairs) OVER (PARTITION BY place, method ORDER BY distance) AS n,
  sum(same) OVER (PARTITION BY place, method ORDER BY distance) AS r,
  sum(pairs) OVER (PARTITION BY place, method) AS all_pairs,
  sum(same) OVER (PARTITION BY place, method) AS all_same
FROM counted;
-- The widest thresholds that keep what they promise; -1: not even 0 does.
CREATE TEMP TABLE threshold AS
SELECT method,
  coalesce(max(distance) FILTER (WHERE r >= 0.9 * n AND n > 0), -1) AS precise,
  coalesce(max(distance) FILTER (
    WHERE n - r <= 1e-4 * (all_pairs - all_same)), -1) AS rare,
  coalesce(max(distance) FILTER (
    WHERE n - r <= 1e-6 * (all_pairs - all_same)), -1) AS rarest
FROM ranked WHERE kind = 'all' GROUP BY method;
CREATE TEMP TABLE figure AS
SELECT place, kind, method,
  sum(CASE WHEN same > 0 THEN 1.0 * same / pairs * ((r - same + 1) * a +
    CASE WHEN pairs > 1 THEN (same - 1.0) / (pairs - 1) *
      (pairs - (n - pairs + 1) * a) ELSE 0 END) END) / all_same AS ap,
  coalesce(max(r) FILTER (WHERE distance <= precise), 0) * 1.0 / all_same AS p,
  coalesce(max(r) FILTER (WHERE distance <= rare), 0) * 1.0 / all_same AS f4,
  coalesce(max(r) FILTER (WHERE distance <= rarest), 0) * 1.0 / all_same AS f6
FROM (SELECT *, eval_harmonic(n) - eval_harmonic(n - pairs) AS a FROM ranked)
JOIN threshold USING (method)
GROUP BY place, method;
.print
SELECT printf('%s: edited versions of %d pictures, among %d distractors',
  (SELECT head FROM arg), (SELECT count(label) FROM base),
  (SELECT count(*) - count(label) FROM base));
SELECT printf('%d queries, %d of them without a match; no picture is one that '
  || 'was trained on', count(*), count(*) - count(label))
FROM query JOIN shown USING (kind);
.print
SELECT printf('%-13s%18s%33s', '', 'code', 'phash');
SELECT printf('%-13s%s%s', 'edit', x, x) FROM (
  SELECT '  microAP    P.9   1e-4   1e-6  ' AS x);
SELECT printf('%-13s', kind) || group_concat(
  printf('%9.4f %6.3f %6.3f %6.3f  ', ap, p, f4, f6), '') ||
  CASE WHEN max(f4) FILTER (WHERE method = 'code') <
            max(f4) FILTER (WHERE method = 'phash') THEN ' phash wins at 1e-4'
  ELSE '' END
FROM (SELECT * FROM figure ORDER BY place, method) GROUP BY place
ORDER BY place;
SELECT printf('%-13s', 'threshold') || group_concat(
  printf('          %6d %6d %6d  ', precise, rare, rarest), '')
FROM (SELECT * FROM threshold ORDER BY method);
SELECT 'microAP: all pairs ranked by distance.  P.9: recall at precision 0.9;
1e-4, 1e-6: recall at that rate of false positives among the pairs that are not
the same.  One threshold serves all edits.  No training used blur, border, text.';

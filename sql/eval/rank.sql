-- The figures of one way to make codes: the rows of the view `query` ask for
-- those of the view `base`, both (id, label, code).  arg.method is its name.
-- Figures go to `figures`; spread is from the lowest to the highest shuffle.
-- Queries of one code and label are asked once, unless they are in the base,
-- where each leaves itself out.
CREATE TEMP TABLE asked AS
SELECT 0 AS n, eval_database(id, code, label) AS found, NULL AS orders
FROM base;
DELETE FROM asked;
INSERT INTO asked
SELECT n, eval_query(code, label, own, first, 0, 1, 10, 100, 200, 300, 400, 500,
                     600, 700, 800, 900, 1000),
  eval_shuffled(code, label, own, first, 0)
FROM arg, (
  SELECT code, label, count(*) AS n,
    CASE WHEN id IN (SELECT id FROM base) THEN id END AS own
  FROM query GROUP BY code, label, own);
CREATE TEMP TABLE cut(i INT, name TEXT);
INSERT INTO cut SELECT 0, '@' || first FROM arg UNION ALL VALUES (1, '@all');
INSERT INTO figures
SELECT set_name, head, method, 'mAP' || name,
  sum(n * (found -> ('$.ap[' || i || ']'))) / sum(n)
FROM asked, cut, arg GROUP BY i
UNION ALL
SELECT set_name, head, method, 'mAP' || name || ' over min(relevant, K)',
  sum(n * (found -> ('$.ap_min[' || i || ']'))) / sum(n)
FROM asked, cut, arg WHERE i = 0
UNION ALL
SELECT set_name, head, method, 'P@' || k,
  sum(n * (found -> ('$.p[' || i || ']'))) / sum(n)
FROM asked, arg, (
  SELECT key AS i, value AS k FROM json_each(
    '[null, null, 1, 10, 100, 200, 300, 400, 500, 600, 700, 800, 900, 1000]')
  WHERE value NOT NULL) GROUP BY i
UNION ALL
SELECT set_name, head, method, 'P within radius 2',
  sum(n * (found -> '$.ball')) / sum(n)
FROM asked, arg;
CREATE TEMP TABLE shuffled AS
SELECT i, name, o.key AS shuffle, sum(n * o.value) / sum(n) AS map
FROM asked, cut, json_each(orders, '$[' || i || ']') AS o GROUP BY i, o.key;
INSERT INTO figures
SELECT set_name, head, method, 'mAP' || name || ' shuffled', avg(map)
FROM shuffled, arg GROUP BY i
UNION ALL
SELECT set_name, head, method, 'mAP' || name || ' spread', max(map) - min(map)
FROM shuffled, arg GROUP BY i;
DROP TABLE asked;
DROP TABLE cut;
DROP TABLE shuffled;

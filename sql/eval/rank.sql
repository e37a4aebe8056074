-- The figures of one way to make codes: the rows of the view `query` ask for
-- those of the view `base`, both (id, label, code).  arg.method is its name.
-- Figures go to `figures`; spread is from the lowest to the highest shuffle.
CREATE TEMP TABLE asked AS
SELECT 0 AS id, eval_database(id, code, label) AS found, NULL AS orders
FROM base;
INSERT INTO asked
SELECT id, eval_query(code, label, id, first, 0, 1, 10, 100, 200, 300, 400, 500,
                      600, 700, 800, 900, 1000),
  eval_shuffled(code, label, id, first, 0)
FROM query, arg;
CREATE TEMP TABLE cut(i INT, name TEXT);
INSERT INTO cut SELECT 0, '@' || first FROM arg UNION ALL VALUES (1, '@all');
INSERT INTO figures
SELECT set_name, head, method, 'mAP' || name,
  avg(found -> ('$.ap[' || i || ']'))
FROM asked, cut, arg WHERE orders NOT NULL GROUP BY i
UNION ALL
SELECT set_name, head, method, 'mAP' || name || ' over min(relevant, K)',
  avg(found -> ('$.ap_min[' || i || ']'))
FROM asked, cut, arg WHERE orders NOT NULL AND i = 0
UNION ALL
SELECT set_name, head, method, 'P@' || k, avg(found -> ('$.p[' || i || ']'))
FROM asked, arg, (
  SELECT key AS i, value AS k FROM json_each(
    '[null, null, 1, 10, 100, 200, 300, 400, 500, 600, 700, 800, 900, 1000]')
  WHERE value NOT NULL)
WHERE orders NOT NULL GROUP BY i
UNION ALL
SELECT set_name, head, method, 'P within radius 2', avg(found -> '$.ball')
FROM asked, arg WHERE orders NOT NULL;
CREATE TEMP TABLE shuffled AS
SELECT i, name, o.key AS shuffle, avg(o.value) AS map
FROM asked, cut, json_each(orders, '$[' || i || ']') AS o
WHERE orders NOT NULL GROUP BY i, o.key;
INSERT INTO figures
SELECT set_name, head, method, 'mAP' || name || ' shuffled', avg(map)
FROM shuffled, arg GROUP BY i
UNION ALL
SELECT set_name, head, method, 'mAP' || name || ' spread', max(map) - min(map)
FROM shuffled, arg GROUP BY i;
DROP TABLE asked;
DROP TABLE cut;
DROP TABLE shuffled;

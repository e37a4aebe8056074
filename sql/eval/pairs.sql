-- Counts pairs of a query and a picture of the database by their distance: the
-- rows of the view `query` (id, kind, label, code) ask for those of `base`
-- (id, label, code); label says which picture a query is an edit of.
-- arg.method says how codes were made.
CREATE TABLE IF NOT EXISTS pairs(
  set_name TEXT, head TEXT, method TEXT, kind TEXT, distance INT, pairs INT,
  same INT);
CREATE TEMP TABLE loaded AS
SELECT eval_database(id, code, label) AS n FROM base;
DELETE FROM pairs WHERE (set_name, head, method) IN
  (SELECT set_name, head, method FROM arg);
INSERT INTO pairs
SELECT set_name, head, method, kind, d.key, d.value ->> '$[0]',
  d.value ->> '$[1]'
FROM (SELECT kind, eval_histogram(code, label, id) AS counts FROM query
      GROUP BY kind) AS k, json_each(k.counts) AS d, arg;
DROP TABLE loaded;

-- The pictures of sql/train_eval.sh, which attaches them as `source` and makes the
-- table setting: those that are learned from, those that ask, and those that are
-- searched.
CREATE TABLE picked(id INTEGER, place TEXT, PRIMARY KEY (id, place))
  WITHOUT ROWID;
CREATE TEMP TABLE drawn AS
SELECT id, row_number() OVER (ORDER BY eval_random(id), id) AS nth
FROM source.images WHERE split = 'train';
-- How many of them come before the first that is searched.
CREATE TEMP TABLE passed AS
SELECT iif(images < (SELECT count(*) FROM drawn), images, 0) AS n FROM setting;

INSERT INTO picked
SELECT id, 'learned' FROM drawn WHERE nth <= (SELECT images FROM setting);
INSERT INTO picked
SELECT id, 'base' FROM drawn, passed
WHERE nth > n AND nth <= n + (SELECT searched FROM setting);
INSERT INTO picked
SELECT id, 'query' FROM (SELECT id FROM source.images WHERE split = 'test'
  ORDER BY id LIMIT (SELECT queries FROM setting));

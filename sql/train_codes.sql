-- The codes that sql/train_eval.sh ranks, of the base and learned.
CREATE TEMP VIEW known AS SELECT * FROM a.features
  UNION ALL SELECT * FROM b.features;
CREATE TABLE found AS
SELECT place, id, label, known.code AS base, codes.code AS learned
FROM picked JOIN known USING (id) JOIN codes USING (id)
WHERE place <> 'learned'
ORDER BY id;

-- They are img_hash's codes; of a float32 base a logit may be so near 0 that its
-- sign depends on the order of a sum.
CREATE TEMP TABLE checked(
  kind TEXT, bits INT, other INT, CONSTRAINT "they are img_hash's codes"
    CHECK (other <= CASE kind WHEN 'integer' THEN 0 ELSE bits / 1000 END));
CREATE TEMP TABLE loaded AS SELECT binhash_load('learned', model) FROM trained;
INSERT INTO checked
SELECT (SELECT kind FROM binhash_models WHERE name = 'learned'),
       sum(8 * length(learned)),
       sum(hamming(learned, img_hash(image, 'learned')))
FROM (SELECT id, learned FROM found WHERE place = 'query' ORDER BY id LIMIT 200)
JOIN source.images USING (id);

-- For sql/eval/rank.sql.
CREATE TABLE figures(set_name TEXT, head TEXT, method TEXT, name TEXT,
                     value REAL);

-- Prints the table from distance to the probability that two pictures are the
-- same, at arg.prior, from the pairs that sql/eval/pairs.sql counted.
.mode list
CREATE TEMP TABLE likely AS
SELECT distance, same, others, sum(same) OVER w AS all_same_to,
  sum(others) OVER w AS others_to, all_same, all_others
FROM (SELECT distance, sum(same) AS same, sum(pairs - same) AS others,
        sum(sum(same)) OVER () AS all_same,
        sum(sum(pairs - same)) OVER () AS all_others
      FROM pairs JOIN arg USING (set_name, head, method) GROUP BY distance)
WINDOW w AS (ORDER BY distance);
CREATE TEMP TABLE probable AS
SELECT distance, recall,
  prior * s / nullif(prior * s + (1 - prior) * o, 0) AS p,
  prior * recall / nullif(prior * recall + (1 - prior) * wrong, 0) AS upto
FROM (SELECT distance, 1.0 * same / all_same AS s,
        1.0 * others / all_others AS o,
        1.0 * all_same_to / all_same AS recall,
        1.0 * others_to / all_others AS wrong FROM likely), arg;
.print
SELECT printf('%s: the same %s, of two pictures (prior %g)', head, what, prior)
FROM arg;
SELECT 'distance    P(same | distance)   P(same | up to it)   recall up to it';
SELECT printf('%8d%22.4f%21.4f%18.4f', distance, p, upto, recall)
FROM probable WHERE p NOT NULL AND distance <= (
  SELECT coalesce(min(distance), 1024) FROM probable, arg WHERE p < prior)
ORDER BY distance;
SELECT coalesce('precision 0.99: distance up to ' || max(distance) ||
  printf(', recall %.4f', max(recall)),
  'precision 0.99: at no distance')
FROM probable WHERE upto >= 0.99;

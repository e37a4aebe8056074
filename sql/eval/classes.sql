-- Prints one model and data set: how well codes find pictures of a class.
-- `figures` holds what sql/eval/rank.sql found.
.mode list
CREATE TEMP TABLE row(place INT, name TEXT, shown TEXT);
INSERT INTO row VALUES
  (1, 'mAP@1000', 'mAP@1000, expected'),
  (2, 'mAP@1000 shuffled', 'mAP@1000, mean of 5 orders'),
  (3, 'mAP@1000 spread', '  lowest to highest'),
  (4, 'mAP@1000 over min(relevant, K)', 'mAP@1000 / min(relevant,K)'),
  (5, 'mAP@all', 'mAP@all, expected'),
  (6, 'mAP@all shuffled', 'mAP@all, mean of 5 orders'),
  (7, 'mAP@all spread', '  lowest to highest'),
  (8, 'P@1', 'P@1'), (9, 'P@10', 'P@10'), (10, 'P@100', 'P@100'),
  (11, 'P@500', 'P@500'), (12, 'P@1000', 'P@1000'),
  (13, 'P within radius 2', 'P within Hamming radius 2');
.print
SELECT printf('model %s, %d bits, %s, sha256 %s; data %s', h.head, bits, kind,
  substr(sha256, 1, 12), set_name) FROM model.heads AS h JOIN arg USING (head);
SELECT printf('%d queries (test) against %d images (train)',
  (SELECT count(*) FROM test.codes JOIN arg USING (head)),
  (SELECT count(*) FROM train.codes JOIN arg USING (head)));
.print
SELECT printf('%-27s%9s%9s%9s%9s%9s%9s', '', 'code', 'of test', 'class',
              'rotation', 'ITQ', 'float');
SELECT printf('%-27s', shown) || group_concat(
  CASE WHEN value IS NULL THEN '        -' ELSE printf('%9.4f', value) END, '')
FROM (SELECT place, shown, value FROM row
      CROSS JOIN (SELECT key AS i, value AS method FROM json_each(
        '["code", "test", "class", "rotation", "itq", "float"]')) AS m, arg
      LEFT JOIN figures AS f ON f.name = row.name AND f.method = m.method
        AND f.head = arg.head AND f.set_name = arg.set_name
      ORDER BY place, i)
GROUP BY place ORDER BY place;
SELECT 'the code loses to ' || coalesce(group_concat(shown, ', '),
  'none of these') || ' by mAP@1000'
FROM (
  SELECT printf('%s (%+.4f)', f.method, f.value - c.value) AS shown
  FROM figures AS f JOIN arg USING (head, set_name)
  JOIN figures AS c ON c.head = f.head AND c.set_name = f.set_name
    AND c.name = f.name AND c.method = 'code'
  WHERE f.name = 'mAP@1000' AND f.method NOT IN ('code', 'test')
    AND f.value > c.value);
.print
SELECT printf('classification error        %7.2f %%',
  100 * avg(c.predicted IS NOT n.name))
FROM test.codes AS c JOIN arg USING (head)
JOIN source.classes AS n ON n.label = c.label;
SELECT printf('near-binary                 %7.1f %% of latent outputs: below '
  || '0.1, above 0.9',
              100 * avg(binary)) FROM test.codes JOIN arg USING (head);
SELECT printf('distinct codes              %d of %d (train), %d of %d (test)',
  a.d, a.n, b.d, b.n)
FROM (SELECT count(DISTINCT code) AS d, count(*) AS n
      FROM train.codes JOIN arg USING (head)) AS a,
     (SELECT count(DISTINCT code) AS d, count(*) AS n
      FROM test.codes JOIN arg USING (head)) AS b;
SELECT printf('a bit is 1 in               %.1f %% to %.1f %% of codes '
  || '(train), %.1f from 50 %% in the mean', 100 * (value ->> '$.least'),
  100 * (value ->> '$.most'), 100 * (value ->> '$.bias')) || char(10) ||
  printf('correlation of two bits     %.3f, mean of its size',
         value ->> '$.correlation')
FROM bits_used JOIN arg USING (head, set_name);

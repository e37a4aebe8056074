-- Prints pictures of classes that the model has not seen; `figures` holds what
-- sql/eval/rank.sql found.
.mode list
.print
SELECT printf('%s: %d pictures of %d classes that it has not seen', head,
  (SELECT count(*) FROM query), (SELECT count(DISTINCT label) FROM query))
FROM arg;
.print each asks for the others (tinyimagenet, validation)
SELECT printf('%-27s%9s%9s%9s', '', 'code', 'phash', 'random');
SELECT printf('%-27s', shown) || group_concat(printf('%9.4f', value), '')
FROM (SELECT r.place, r.shown, f.value FROM arg, (
        SELECT 1 AS place, 'mAP@100' AS name, 'mAP@100, expected' AS shown
        UNION ALL SELECT 2, 'mAP@100 shuffled', 'mAP@100, mean of 5 orders'
        UNION ALL SELECT 3, 'mAP@100 spread', '  lowest to highest'
        UNION ALL SELECT 4, 'mAP@100 over min(relevant, K)',
                         'mAP@100 / min(relevant,K)'
        UNION ALL SELECT 5, 'P@10', 'P@10') AS r
      JOIN figures AS f USING (name)
      WHERE f.head = arg.head AND f.set_name = arg.set_name
      ORDER BY place, f.method = 'code' DESC, f.method)
GROUP BY place ORDER BY place;
SELECT 'the code loses to ' || coalesce(group_concat(shown, ', '),
  'neither') || ' by precision at 10'
FROM (
  SELECT printf('%s (%+.4f)', f.method, f.value - c.value) AS shown
  FROM figures AS f JOIN arg USING (head, set_name)
  JOIN figures AS c ON c.head = f.head AND c.set_name = f.set_name
    AND c.name = f.name AND c.method = 'code'
  WHERE f.name = 'P@10' AND f.value > c.value);

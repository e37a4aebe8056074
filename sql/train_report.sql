-- What sql/train_eval.sh prints, of what sql/eval/rank.sql found.
.mode list
SELECT printf('%d queries (test) among %d images (train), %s',
  sum(place = 'query'), sum(place = 'base'),
  iif(max(place = 'base' AND id IN
        (SELECT id FROM picked WHERE place = 'learned')),
      'which were learned from', 'which were not learned from'))
FROM found;
SELECT printf('%-27s%9s%9s', '', 'base', 'learned');
WITH shown(place, name, text) AS (VALUES
  (1, 'mAP@1000', 'mAP@1000, expected'),
  (2, 'mAP@1000 shuffled', 'mAP@1000, mean of 5 orders'),
  (3, 'mAP@1000 spread', '  lowest to highest'),
  (4, 'P@1', 'P@1'), (5, 'P@10', 'P@10'), (6, 'P@100', 'P@100'),
  (7, 'P@1000', 'P@1000'))
SELECT printf('%-27s%9.4f%9.4f', text, b.value, l.value)
FROM shown
JOIN figures AS b ON b.name = shown.name AND b.method = 'base'
JOIN figures AS l ON l.name = shown.name AND l.method = 'learned'
ORDER BY place;
SELECT printf('mAP@1000 raised by         %9.4f', l.value - b.value)
FROM figures AS b JOIN figures AS l USING (name)
WHERE name = 'mAP@1000' AND b.method = 'base' AND l.method = 'learned';

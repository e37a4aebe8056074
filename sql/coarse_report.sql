-- What sql/coarse.sh prints, of what sql/coarse_ways.sql found.

CREATE TEMP TABLE found AS
SELECT l.way, l.query, j.key AS place, j.value AS id
FROM lists AS l, json_each(l.ids) AS j WHERE l.part = 1;
CREATE INDEX temp.found_place ON found(way, query, place, id);

CREATE TEMP VIEW quality AS
SELECT f.way, avg(i.label = q.label) FILTER (WHERE f.place < 10) AS p10,
  avg(i.label = q.label) AS p100,
  sum(f.place < 10 AND EXISTS (SELECT 1 FROM found AS e WHERE e.way = 1
      AND e.query = f.query AND e.place < 10 AND e.id = f.id))
    * 1.0 / sum(f.place < 10) AS common
FROM found AS f JOIN queries AS q ON q.id = f.query
JOIN images AS i ON i.id = f.id GROUP BY f.way;

CREATE TEMP VIEW speed AS
SELECT part, way, min(seconds * 1000 / queries) AS ms FROM times
GROUP BY part, way;

.mode list
.print
SELECT printf('model %s, %d bits, %s, sha256 %s', l.file, m.bits, m.kind,
              substr(m.sha256, 1, 12))
FROM loaded AS l, binhash_models AS m WHERE m.name = 'coarse';
SELECT printf('%d queries (test) against %d images (train), %d features, '
              || 'pool 1000', (SELECT count(*) FROM queries),
              (SELECT count(*) FROM images),
              (SELECT length(features) / 4 FROM images LIMIT 1));
.print
SELECT printf('%-42s %6s %6s %9s %8s %6s', 'way', 'P@10', 'P@100', 'of its 10',
              'ms/query', 'faster');
SELECT printf('%-42s %.4f %.4f %8.1f%% %8.3f %6.1f', name, p10, p100,
              100 * common, s.ms, b.ms / s.ms)
FROM ways JOIN quality USING (way) JOIN speed AS s USING (way)
JOIN speed AS b ON b.part = 1 AND b.way = 1
WHERE s.part = 1 ORDER BY s.way;
.print
.print The time alone, with 4096 features (those above, and zeros behind them):
SELECT printf('%-42s %23s %8.3f %6.1f', name, '', s.ms, b.ms / s.ms)
FROM ways JOIN speed AS s USING (way)
JOIN speed AS b ON b.part = 2 AND b.way = 1
WHERE s.part = 2 ORDER BY s.way;
.print
.print of its 10: how many of the first 10 rows are among those of the first line.
.print ms/query: CPU time, the mean of the fastest of ten batches.
.print faster: than the first line of its part.

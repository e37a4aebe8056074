-- The heads of a model file, from the JSON in its header (weights/README.md
-- describes both).  The file has been loaded as `first`, which stands for its
-- first head; arg.model is its path.
CREATE TABLE heads(
  number INTEGER PRIMARY KEY,
  head TEXT,      -- its name in the file
  name TEXT,      -- and on this connection
  bits INT, kind TEXT, sha256 TEXT,
  latent TEXT,    -- the layer of logits
  classes TEXT    -- JSON, or NULL
);
INSERT INTO heads
WITH RECURSIVE file(bytes) AS MATERIALIZED (SELECT readfile(model) FROM arg),
-- The header's length: four bytes are enough, the least comes first.
size(i, n) AS (
  SELECT 0, 0 UNION ALL
  SELECT i + 1, n +
    (((instr(digits, substr(hex(substr(bytes, i + 1, 1)), 1, 1)) - 1) * 16 +
      instr(digits, substr(hex(substr(bytes, i + 1, 1)), 2, 1)) - 1) << (8 * i))
  FROM size, file, (SELECT '0123456789ABCDEF' AS digits) WHERE i < 4),
network(json) AS MATERIALIZED (
  SELECT json_extract(CAST(substr(bytes, 9, n) AS TEXT),
                      '$.__metadata__.network')
  FROM file, size WHERE i = 4),
head(number, json) AS MATERIALIZED (
  SELECT key, value FROM json_each((SELECT json FROM network), '$.heads')),
layer(name, type, bottom) AS MATERIALIZED (
  SELECT value ->> '$.name', value ->> '$.type', value ->> '$.bottom[0]'
  FROM json_each((SELECT json FROM network), '$.layers'))
SELECT h.number, h.json ->> '$.name', m.name, m.bits, m.kind, m.sha256,
  CASE l.type WHEN 'Sigmoid' THEN l.bottom ELSE l.name END,
  h.json -> '$.classes'
FROM head AS h
JOIN layer AS l ON l.name = h.json ->> '$.latent'
JOIN binhash_models AS m
  ON m.name = CASE h.number WHEN 0 THEN 'first' ELSE h.json ->> '$.name' END;

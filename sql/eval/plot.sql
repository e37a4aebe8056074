-- Precision over the number of hits, as a picture: arg.file is its SVG file.
CREATE TEMP TABLE line AS
SELECT m.key AS i, m.value ->> '$[0]' AS method, m.value ->> '$[1]' AS shown,
  m.value ->> '$[2]' AS colour
FROM json_each('[["code", "code, images trained on", "#1f4e9c"],
  ["test", "code, images not trained on", "#b03020"],
  ["class", "predicted class", "#777777"],
  ["rotation", "signs of a random rotation", "#2a8a4a"],
  ["itq", "ITQ", "#9a5fb5"], ["float", "float features", "#c08000"]]') AS m;
CREATE TEMP TABLE point AS
SELECT i, shown, colour, CAST(substr(name, 3) AS INT) AS k, value AS p
FROM line JOIN figures USING (method) JOIN arg USING (head, set_name)
WHERE name LIKE 'P@%';
CREATE TEMP TABLE scale AS
SELECT floor AS low, 1.0 - floor AS span FROM (
  SELECT CAST(10 * min(p) AS INT) / 10.0 AS floor FROM point);
SELECT writefile(file, (
  SELECT '<svg xmlns="http://www.w3.org/2000/svg" width="640" height="440" ' ||
    'font-family="sans-serif" font-size="12">' || char(10) ||
    '<rect width="640" height="440" fill="#ffffff"/>' || char(10) ||
    printf('<text x="60" y="24" font-size="15">%s on %s: precision of the '
           || 'first hits</text>', head, set_name) || char(10)) || (
  SELECT group_concat(printf('<path d="M60 %.1fH420" stroke="#dddddd"/>'
    || '<text x="52" y="%.1f" text-anchor="end">%.3f</text>',
    380 - 72 * value, 384 - 72 * value, low + span * value / 4.0), char(10))
  FROM scale, json_each('[0, 1, 2, 3, 4]')) || char(10) || (
  SELECT group_concat(printf('<text x="%.1f" y="400" text-anchor="middle">%d'
    || '</text>', 60 + 0.36 * value, value), char(10))
  FROM json_each('[0, 200, 400, 600, 800, 1000]')) || char(10) || (
  SELECT group_concat(printf('<polyline fill="none" stroke="%s" '
    || 'stroke-width="2" points="%s"/><text x="430" y="%d" fill="%s">%s</text>',
    colour, points, 100 + 20 * i, colour, shown), char(10))
  FROM (SELECT i, shown, colour, group_concat(printf('%.1f,%.1f',
          60 + 0.36 * k, 380 - 288 * (p - low) / span), ' ') AS points
        FROM (SELECT * FROM point, scale ORDER BY i, k) GROUP BY i)) ||
  char(10) || '</svg>' || char(10)) > 0
FROM arg;

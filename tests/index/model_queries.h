/*
** The statements of the model's trial, each written once for both sides.
**
** In a statement, {T} is the searched table, {Q} what names the query, {O} the
** order of a search, {S} the table that is scanned without a query, {R} the
** rowid's name where rows are written, {M} the written table, {D} rows within a
** distance and {C} a conflict clause; model.c says what each becomes on either
** side.  The parameters are
**
**   ?1  a code     ?2  a distance   ?3  LIMIT   ?4  OFFSET
**   ?5  a rowid    ?6  another, not below it
**   ?7  a number for code_of        ?8  how many rows, or a step
**
** A statement whose rows have no order in SQL stands here only where the index
** promises one: a search comes by (distance, rowid), a scan by rowid.
*/
#ifndef BINHASH_MODEL_QUERIES_H
#define BINHASH_MODEL_QUERIES_H

#define ROWS "SELECT t.rowid, hex(t.code), t.distance FROM {T} t WHERE {Q} "
#define BRIEF "SELECT t.rowid, t.distance FROM {T} t WHERE {Q} "
#define LIST "(1, 5, ?5, ?6, ?5 + 1, 12, 7000, 12, ?5)"
#define ALBUM "(SELECT p.id FROM p WHERE p.album = ?3 % 4)"

static const char *const model_searches[] = {
  ROWS "{O}",
  ROWS "{O} LIMIT ?3",
  ROWS "{O} LIMIT ?3",
  ROWS "{O} LIMIT ?3 OFFSET ?4",
  ROWS "{O} LIMIT -1 OFFSET ?4",
  ROWS "AND t.distance <= ?2 {O}",
  ROWS "AND t.distance < ?2 {O} LIMIT ?3",
  ROWS "AND t.distance = ?2 {O} LIMIT ?3 OFFSET ?4",
  ROWS "AND t.distance > ?2 {O} LIMIT ?3",
  ROWS "AND t.distance >= ?2 AND t.distance <= ?2 + 2 {O}",
  ROWS "AND t.distance BETWEEN 2 AND ?2 {O}",
  ROWS "AND t.distance <> ?2 {O} LIMIT ?3",
  ROWS "AND t.distance IN (0, 3, ?2) {O}",
  ROWS "AND t.distance <= ?2 AND t.distance <= 4 AND t.distance > 1 {O}",
  ROWS "AND t.rowid IN " LIST " {O}",
  ROWS "AND t.rowid IN " LIST " AND t.distance <= ?2 {O} LIMIT ?3",
  ROWS "AND t.rowid IN " ALBUM " {O} LIMIT ?3 OFFSET ?4",
  ROWS "AND t.rowid NOT IN " LIST " {O} LIMIT ?3",
  ROWS "AND t.rowid = ?5 {O}",
  ROWS "AND t.rowid BETWEEN ?5 AND ?6 {O} LIMIT ?3",
  ROWS "AND t.rowid > ?5 AND t.distance <= ?2 {O} LIMIT ?3",
  ROWS "AND t.code = ?1 {O}",
  ROWS "AND (t.distance < 2 OR t.rowid = ?5) {O}",
  ROWS "AND (t.rowid = ?6 OR t.rowid = ?5 OR t.distance = ?2) {O}",
  /* Orders that are not the stream's. */
  ROWS "ORDER BY t.distance DESC, t.rowid LIMIT ?3",
  ROWS "ORDER BY t.distance, t.rowid DESC LIMIT ?3 OFFSET ?4",
  ROWS "ORDER BY t.rowid LIMIT ?3",
  ROWS "ORDER BY t.rowid DESC LIMIT ?3 OFFSET ?4",
  ROWS "ORDER BY t.code, t.rowid LIMIT ?3",
  ROWS "AND t.distance <= ?2 ORDER BY t.code DESC, t.rowid LIMIT ?3",
  ROWS "ORDER BY t.distance % 3, t.rowid LIMIT ?3",
  /* Aggregates, DISTINCT, windows. */
  "SELECT count(*), min(t.rowid), max(t.distance), total(t.distance)"
    " FROM {T} t WHERE {Q} AND t.distance < ?2",
  "SELECT t.distance, count(*), min(t.rowid), max(t.rowid) FROM {T} t"
    " WHERE {Q} GROUP BY t.distance ORDER BY t.distance LIMIT ?3",
  "SELECT DISTINCT t.distance FROM {T} t WHERE {Q} ORDER BY t.distance"
    " LIMIT ?3 OFFSET ?4",
  "SELECT DISTINCT t.distance FROM {T} t WHERE {Q} ORDER BY t.distance DESC",
  "SELECT DISTINCT t.code FROM {T} t WHERE {Q} ORDER BY t.code LIMIT ?3",
  "SELECT t.rowid, row_number() OVER (ORDER BY t.distance, t.rowid),"
    " rank() OVER (ORDER BY t.distance) FROM {T} t WHERE {Q}"
    " ORDER BY t.distance, t.rowid LIMIT ?3",
  /* Compounds and subqueries. */
  BRIEF "AND t.distance < 3 UNION ALL " BRIEF "AND t.distance >= ?2"
    " ORDER BY 2, 1 LIMIT ?3",
  BRIEF "UNION ALL SELECT p.id, -1 FROM p ORDER BY 2, 1 LIMIT ?3 OFFSET ?4",
  BRIEF "UNION " BRIEF "AND t.distance <= ?2 ORDER BY 1 LIMIT ?3",
  BRIEF "EXCEPT " BRIEF "AND t.distance <= ?2 ORDER BY 2 DESC, 1 LIMIT ?3",
  BRIEF "INTERSECT SELECT p.id, ?2 FROM p ORDER BY 1",
  "SELECT * FROM (" BRIEF "{O} LIMIT ?3) WHERE distance > ?2",
  "SELECT (SELECT t.rowid FROM {T} t WHERE {Q} {O} LIMIT 1 OFFSET ?4), ?3",
  "SELECT p.id FROM p WHERE p.id IN (SELECT t.rowid FROM {T} t WHERE {Q}"
    " AND t.distance <= ?2) ORDER BY p.id",
  "SELECT p.id FROM p WHERE EXISTS (SELECT 1 FROM {T} t WHERE {Q}"
    " AND t.rowid = p.id AND t.distance <= ?2) AND p.id < 400 ORDER BY p.id"
    " LIMIT 20",
  "WITH c AS MATERIALIZED (" BRIEF "{O} LIMIT ?3) SELECT a.rowid, b.distance"
    " FROM c a JOIN c b ON b.rowid = a.rowid ORDER BY a.distance, a.rowid",
  /* Joins on either side. */
  "SELECT p.id, p.album, t.distance FROM {T} t JOIN p ON p.id = t.rowid"
    " WHERE {Q} AND p.album = 1 ORDER BY t.distance, t.rowid LIMIT ?3",
  "SELECT p.id, t.distance FROM p CROSS JOIN {T} t ON t.rowid = p.id"
    " WHERE {Q} AND p.album = 2 AND p.id < 300 ORDER BY t.distance, t.rowid"
    " LIMIT 30",
  "SELECT t.rowid, t.distance, p.album FROM {T} t LEFT JOIN p"
    " ON p.id = t.rowid WHERE {Q} ORDER BY t.distance, t.rowid LIMIT ?3",
  "SELECT t.rowid, t.distance, u.rowid FROM {T} t JOIN {S} u"
    " ON u.rowid = t.rowid + 1 WHERE {Q} ORDER BY t.distance, t.rowid"
    " LIMIT ?3",
};

/* A query for each row of another table: the index's text, then the plain. */
static const char *const model_joins[][2] = {
  {"SELECT p.id, b.rowid, b.distance FROM p JOIN t b ON b.query = p.code"
   " WHERE p.id BETWEEN 40 AND 44 AND b.distance <= ?2"
   " ORDER BY p.id, b.distance, b.rowid LIMIT 400",
   "SELECT p.id, b.id, hamming(b.code, p.code) AS d FROM p JOIN m b"
   " WHERE p.id BETWEEN 40 AND 44 AND CAST(hamming(b.code, p.code) AS INTEGER)"
   " <= ?2 ORDER BY p.id, d, b.id LIMIT 400"},
  {"SELECT a.rowid, b.rowid, b.distance FROM t a JOIN t b ON b.query = a.code"
   " WHERE a.rowid >= ?5 AND a.rowid <= ?5 + 2 ORDER BY a.rowid, b.distance,"
   " b.rowid LIMIT 400",
   "SELECT a.id, b.id, hamming(b.code, a.code) AS d FROM m a JOIN m b"
   " WHERE a.id >= ?5 AND a.id <= ?5 + 2 ORDER BY a.id, d, b.id LIMIT 400"},
  {"SELECT p.id, (SELECT b.rowid FROM t b WHERE b.query = p.code ORDER BY"
   " b.distance LIMIT 1 OFFSET ?4) FROM p WHERE p.id < 6 ORDER BY p.id",
   "SELECT p.id, (SELECT id FROM (SELECT b.id, hamming(b.code, p.code) AS d"
   " FROM m b) ORDER BY d, id LIMIT 1 OFFSET ?4) FROM p WHERE p.id < 6"
   " ORDER BY p.id"},
  {"SELECT rowid, distance FROM t WHERE t MATCH NULL ORDER BY distance",
   "SELECT id, 0 FROM m WHERE 0"},
  {"SELECT rowid FROM t WHERE query = ?1 AND distance <= NULL",
   "SELECT id FROM m WHERE 0"},
};

static const char *const model_scans[] = {
  "SELECT t.rowid, hex(t.code), t.distance FROM {S} t",
  "SELECT t.rowid, hex(t.code) FROM {S} t ORDER BY t.rowid DESC LIMIT ?3",
  "SELECT count(*) FROM {S} t",
  "SELECT count(*), min(t.rowid), max(t.rowid) FROM {S} t"
    " WHERE t.rowid BETWEEN ?5 AND ?6",
  "SELECT max(t.rowid) FROM {S} t",
  "SELECT min(t.rowid) FROM {S} t",
  "SELECT t.rowid, hex(t.code) FROM {S} t WHERE t.rowid = ?5",
  "SELECT t.rowid, hex(t.code) FROM {S} t WHERE t.rowid > ?5 ORDER BY t.rowid"
    " LIMIT ?3",
  "SELECT t.rowid, hex(t.code) FROM {S} t WHERE t.rowid <= ?5 ORDER BY t.rowid"
    " DESC LIMIT ?3 OFFSET ?4",
  "SELECT t.rowid FROM {S} t WHERE t.rowid >= ?5 AND t.rowid < ?6"
    " ORDER BY t.rowid",
  "SELECT t.rowid, hex(t.code) FROM {S} t WHERE t.rowid IN " LIST
    " ORDER BY t.rowid",
  "SELECT t.rowid FROM {S} t WHERE t.rowid IN " ALBUM " ORDER BY t.rowid",
  "SELECT t.rowid FROM {S} t WHERE t.rowid = '7' OR t.rowid = 9.0"
    " OR t.rowid = 4.5 OR t.rowid = NULL ORDER BY t.rowid",
  "SELECT t.rowid FROM {S} t WHERE t.rowid > 7.5 AND t.rowid < '40'"
    " ORDER BY t.rowid",
  "SELECT count(*) FROM {S} t WHERE t.rowid > -1e300",
  "SELECT count(*) FROM {S} t WHERE t.rowid < 9.3e18 AND t.rowid IS NOT 3",
  "SELECT count(*) FROM {S} t WHERE t.rowid >= 9223372036854775807",
  "SELECT count(*) FROM {S} t WHERE t.rowid <= -9223372036854775807 - 1",
  "SELECT t.rowid FROM {S} t WHERE t.code = ?1 ORDER BY t.rowid",
  "SELECT t.rowid FROM {S} t WHERE t.code > ?1 ORDER BY t.code, t.rowid"
    " LIMIT ?3",
  "SELECT t.code, count(*) FROM {S} t GROUP BY t.code ORDER BY t.code LIMIT ?3",
  "SELECT p.id, hex(t.code) FROM p LEFT JOIN {S} t ON t.rowid = p.id"
    " WHERE p.id < 200 ORDER BY p.id",
  "SELECT count(*) FROM {S} t JOIN p ON p.id = t.rowid",
};

/* Rows written.  Those of model_moves change rowids. */
static const char *const model_writes[] = {
  "INSERT {C} INTO {M}({R}, code) VALUES (?5, ?1)",
  "INSERT {C} INTO {M}({R}, code) VALUES (?5, ?1)",
  "INSERT {C} INTO {M}({R}, code) VALUES (?5, ?1), (?6, ?1), (?5, ?1)",
  "REPLACE INTO {M}(code, {R}) VALUES (?1, ?5)",
  "INSERT {C} INTO {M}({R}, code) WITH n(i) AS (SELECT 0 UNION ALL"
    " SELECT i + 1 FROM n WHERE i < ?8) SELECT ?5 + i, code_of(?7 + i, {B})"
    " FROM n",
  "INSERT {C} INTO {M}({R}, code) WITH n(i) AS (SELECT 0 UNION ALL"
    " SELECT i + 1 FROM n WHERE i < ?8) SELECT ?6 - i * (?7 % 50 + 1),"
    " code_of(?7 + i, {B}) FROM n",
  "INSERT {C} INTO {M}({R}, code) SELECT {R} + ?8, code FROM {M}"
    " WHERE {R} BETWEEN ?5 AND ?6 AND abs({R} % 1000000) < 900000 LIMIT 500",
  "UPDATE {C} {M} SET code = ?1 WHERE {R} = ?5",
  "UPDATE {M} SET code = ?1 WHERE {R} BETWEEN ?5 AND ?6",
  "UPDATE {M} SET code = code_of({R} + ?7, {B}) WHERE {R} BETWEEN ?5 AND"
    " ?5 + ?8",
  "UPDATE {M} SET code = ?1 WHERE {D}",
  "UPDATE {M} SET code = (SELECT p.code FROM p WHERE p.id = {M}.{R}) WHERE {R}"
    " IN " ALBUM,
  "DELETE FROM {M} WHERE {R} = ?5",
  "DELETE FROM {M} WHERE {R} = ?5",
  "DELETE FROM {M} WHERE {R} BETWEEN ?5 AND ?5 + ?8",
  "DELETE FROM {M} WHERE {R} BETWEEN ?5 AND ?6 AND (({R} / 8 + ?7) & 3) = 0",
  "DELETE FROM {M} WHERE {R} BETWEEN ?5 AND ?6 AND {R} % 100 <> ?7 % 100"
    " AND ?7 % 11 = 0",
  "DELETE FROM {M} WHERE {R} IN " ALBUM,
  "DELETE FROM {M} WHERE {R} % 7 = ?8 % 7",
  "DELETE FROM {M} WHERE {D}",
  "DELETE FROM {M} WHERE code = ?1",
};

/* Rowids that do not fit keep to one row: of several rows, an ordinary table
** reads each when its turn comes and a virtual table all before the first. */
static const char *const model_moves[] = {
  "UPDATE {C} {M} SET {R} = ?6 WHERE {R} = ?5",
  "UPDATE {C} {M} SET {R} = ?6, code = ?1 WHERE {R} = ?5",
  "UPDATE OR IGNORE {M} SET {R} = {R} + ?8 WHERE {R} BETWEEN ?5 AND ?5 + 300",
  "UPDATE {M} SET {R} = {R} + ?8 WHERE {R} BETWEEN ?5 AND ?5 + 300",
  "UPDATE OR FAIL {M} SET {R} = {R} - ?8 WHERE {R} BETWEEN ?5 AND ?5 + 300",
  "UPDATE OR REPLACE {M} SET {R} = {R} + 1000 WHERE {R} BETWEEN ?5 AND"
    " ?5 + 300",
};

/* Rowids that are no integers, or whose arithmetic leaves them. */
static const char *const model_odd_writes[] = {
  "INSERT INTO {M}({R}, code) VALUES ('7', ?1)",
  "INSERT OR REPLACE INTO {M}({R}, code) VALUES (9.0, ?1)",
  "INSERT OR REPLACE INTO {M}({R}, code) VALUES (9.5, ?1)",
  "INSERT OR IGNORE INTO {M}({R}, code) VALUES ('seven', ?1)",
  "INSERT OR REPLACE INTO {M}({R}, code) VALUES (x'37', ?1)",
  "UPDATE {M} SET {R} = '12.5' WHERE {R} = ?5",
};

#undef ROWS
#undef BRIEF
#undef LIST
#undef ALBUM

#endif

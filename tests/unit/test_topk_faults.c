/*
** binhash_topk, binhash_search and packed features while memory runs out
** (statement_faults.h).
*/
#include "statement_faults.h"

static const char *const setup =
    "CREATE TABLE p(id INTEGER PRIMARY KEY, code BLOB, album INT);"
    "WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)"
    " INSERT INTO p SELECT i * 2, substr(x'00ff55aa1234567890abcdef0f', 1 +"
    " i % 7, 6), i % 5 FROM n;"
    "CREATE INDEX p_code ON p(code);"
    "CREATE TABLE k(name TEXT PRIMARY KEY, code BLOB) WITHOUT ROWID;"
    "INSERT INTO k SELECT printf('name of the row %d', id), code FROM p"
    " WHERE id < 600;"
    "CREATE VIEW v AS SELECT code AS c, album FROM p WHERE id < 500;"
    "CREATE VIEW similar AS SELECT rowid, distance FROM"
    " binhash_topk('p', 'code', x'00ff55aa1234', 20);"
    "CREATE TABLE f(id INTEGER PRIMARY KEY, code BLOB, features BLOB,"
    " name TEXT);"
    "INSERT INTO f SELECT id, code, CAST(substr('@@ @@@?0@@A@@@B', 1 + id % 8,"
    " 8) AS BLOB), printf('name of the row %d', id) FROM p WHERE id < 900;"
    "UPDATE f SET features = feature_pack(features) WHERE id % 4;"
    "CREATE VIEW fv AS SELECT code, features, name FROM f WHERE id < 500;"
    "CREATE VIEW closest AS SELECT rowid, distance FROM binhash_search('f',"
    " 'code', 'features', x'00ff55aa1234', x'4040404040404040', 9);";

static const char *const statements[] = {
    "SELECT hamming(code, x'00ff55aa1234') FROM p LIMIT 3",
    "SELECT hamming(zeroblob(100000), zeroblob(100000))",
    "SELECT cosine_distance(zeroblob(4000), zeroblob(4000))",
    "SELECT rowid, distance FROM binhash_topk('p', 'code', x'00ff55aa1234')",
    "SELECT * FROM binhash_topk('p', 'code', x'00ff55aa1234', 30, 'main',"
    " 'album')",
    "SELECT *, query, table_name FROM binhash_topk('k', 'code',"
    " x'00ff55aa1234', NULL, NULL, 'name')",
    "SELECT rowid, key FROM binhash_topk('v', 'c', x'00ff55aa1234', NULL, NULL,"
    " 'album') LIMIT 5",
    "SELECT rowid, code FROM binhash_topk('p', 'code', zeroblob(6)) WHERE rowid"
    " IN (SELECT id FROM p WHERE album = 2)",
    "SELECT rowid FROM binhash_topk('p', 'code', zeroblob(6)) WHERE rowid IN"
    " (4, 44, 45, 46, 90)",
    "SELECT a.id, b.rowid FROM p a JOIN binhash_topk('p', 'code', a.code, 2) b"
    " WHERE a.id < 8",
    "SELECT count(*) FROM similar",
    "SELECT * FROM binhash_topk('p', 'code', x'00')",       /* an error */
    "SELECT * FROM binhash_topk('nosuch', 'code', x'00')",
    "SELECT * FROM binhash_topk('p', 'nosuch', x'00')",
    "SELECT * FROM binhash_topk",
    "SELECT length(feature_pack(zeroblob(4000)))",
    "SELECT feature_pack(x'0000c07f')",
    "SELECT feature_distance(zeroblob(8), feature_pack(zeroblob(12)))",
    "SELECT *, features FROM binhash_search('f', 'code', 'features',"
    " x'00ff55aa1234', x'4040404040404040', NULL, 200, 'main', 'name')",
    "SELECT rowid, distance FROM binhash_search('f', 'code', 'features',"
    " zeroblob(6), zeroblob(8)) WHERE hamming <= 20",
    "SELECT *, code FROM binhash_search('fv', 'code', 'features',"
    " x'00ff55aa1234', x'4040404040404040', NULL, 80, NULL, 'name')",
    "SELECT a.id, b.rowid FROM f a JOIN binhash_search('f', 'code',"
    " 'features', a.code, a.features, 2, 5) b WHERE a.id < 8",
    "SELECT count(*) FROM closest",
    "SELECT * FROM binhash_search('f', 'code', 'features', x'00ff55aa1234',"
    " zeroblob(12))",                                       /* an error */
    "SELECT * FROM binhash_search('fv', 'code', 'name', x'00ff55aa1234',"
    " zeroblob(8), NULL, NULL, NULL, 'name')",
    "SELECT * FROM binhash_search('f', 'code', 'nosuch', x'00', x'')",
    "SELECT * FROM binhash_search",
};

#define COUNT (sizeof(statements) / sizeof(*statements))

static void one_fault(void **state) {
  (void)state;
  each_fault(setup, statements, COUNT, 0);
}

static void no_memory_from_here(void **state) {
  (void)state;
  each_fault(setup, statements, COUNT, 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(one_fault),
      cmocka_unit_test(no_memory_from_here),
  };
  faults_configure();
  return cmocka_run_group_tests(tests, NULL, NULL);
}

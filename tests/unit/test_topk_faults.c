/*
** binhash_topk and binhash_search while memory runs out: every allocation of a statement fails in
** turn, once alone and once with all that follow it.  The statement then ends
** with SQLITE_NOMEM or, where SQLite could do without, with the right rows;
** nothing leaks and the connection goes on working.
**
** The extension is loaded from ./build/binhash or from the path in
** BINHASH_EXTENSION.
*/
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "sqlite_faults.h"

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

/* Run a statement; *sum is of all that came out. */
static int run_statement(sqlite3 *db, const char *sql, uint64_t *sum) {
  sqlite3_stmt *stmt = NULL;
  *sum = 1469598103934665603u;
  int rc = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);
  if (rc == SQLITE_OK) {
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW)
      for (int i = 0; i < sqlite3_column_count(stmt); i++) {
        int type = sqlite3_column_type(stmt, i);
        const unsigned char *p = sqlite3_column_blob(stmt, i);
        int n = sqlite3_column_bytes(stmt, i);
        if (type != SQLITE_NULL && n > 0 && !p) rc = SQLITE_NOMEM;
        *sum = (*sum ^ (uint64_t)type) * 1099511628211u;
        for (int j = 0; p && j < n; j++) *sum = (*sum ^ p[j]) * 1099511628211u;
      }
  }
  int end = sqlite3_finalize(stmt);
  return end != SQLITE_OK ? end : rc;
}

static sqlite3 *open_database(void) {
  sqlite3 *db = NULL;
  char *error = NULL;
  const char *path = getenv("BINHASH_EXTENSION");
  assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
  sqlite3_db_config(db, SQLITE_DBCONFIG_LOOKASIDE, NULL, 0, 0);
  sqlite3_enable_load_extension(db, 1);
  if (sqlite3_load_extension(db, path ? path : "./build/binhash", NULL, &error)
      != SQLITE_OK)
    fail_msg("%s", error);
  assert_int_equal(sqlite3_exec(db, setup, NULL, NULL, NULL), SQLITE_OK);
  return db;
}

static void fail_each_allocation(sqlite3 *db, const char *sql, int persists) {
  uint64_t expected, sum;
  int good = run_statement(db, sql, &expected);
  assert_true(good == SQLITE_DONE || good == SQLITE_ERROR);
  int at = 0, injected;
  do {
    faults_arm(++at, persists);
    int rc = run_statement(db, sql, &sum);
    injected = faults_calls >= at;
    faults_arm(0, 0);
    if (rc != SQLITE_NOMEM && (rc != good || (rc == SQLITE_DONE &&
                                              sum != expected)))
      fail_msg("%s: fault %d gives %d: %s", sql, at, rc,
               sqlite3_errmsg(db));
  } while (injected);
  assert_int_equal(run_statement(db, sql, &sum), good);
  if (good == SQLITE_DONE) assert_int_equal(sum, expected);
}

static void each_fault(int persists) {
  sqlite3 *db = open_database();
  for (size_t i = 0; i < sizeof(statements) / sizeof(*statements); i++)
    fail_each_allocation(db, statements[i], persists);
  sqlite3_close(db);
  assert_int_equal(sqlite3_memory_used(), 0);
}

static void one_fault(void **state) {
  (void)state;
  each_fault(0);
}

static void no_memory_from_here(void **state) {
  (void)state;
  each_fault(1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(one_fault),
      cmocka_unit_test(no_memory_from_here),
  };
  faults_configure();
  return cmocka_run_group_tests(tests, NULL, NULL);
}

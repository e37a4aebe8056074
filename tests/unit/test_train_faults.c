/*
** binhash_train while memory runs out, and while somebody stops it: every
** allocation of a run fails in turn, once alone and once with all that follow
** it, and the progress handler ends a run at each of its calls.  A run then ends
** with SQLITE_NOMEM or SQLITE_INTERRUPT, or gives the model that it always gives;
** nothing leaks and the connection goes on working.
**
** The extension is loaded from ./build/binhash or from the path in
** BINHASH_EXTENSION; the model is made by tests/sql/make_models.sh.
*/
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "sqlite_faults.h"

#define MODEL "build/tests/models/exact.safetensors"

/* Eight pictures of one pixel, and what is no picture. */
static const char *const setup =
    "CREATE TABLE p(id INTEGER PRIMARY KEY, image BLOB, kind);"
    "WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 8)"
    " INSERT INTO p SELECT i, CAST(x'424d3a00000000000000360000002800000001000000"
    "0100000001001800000000000400000000000000000000000000000000000000' ||"
    " char(1 + i) || char(1 + i % 2 * 100) || char(1 + i % 3) || char(0)"
    " AS BLOB), i % 2 FROM n;"
    "INSERT INTO p VALUES (100, x'00', 'x'), (101, NULL, 'x');"
    "INSERT INTO p SELECT 102, image, 'again' FROM p WHERE id = 1;"
    "CREATE TABLE m(model BLOB);";

static const char *const statements[] = {
    "SELECT model FROM binhash_train('SELECT image, kind FROM p',"
    " '{\"base\":\"exact\",\"bits\":8,\"epochs\":2,\"batch\":4}')",
    "SELECT report IS NULL FROM binhash_train('SELECT image, kind FROM p WHERE"
    " id > ?', '{\"base\":\"old\",\"epochs\":1}', 2)",
    "SELECT model FROM binhash_train('SELECT image, nosuch FROM p')",
    "SELECT model FROM binhash_train('SELECT x''00'', 1', '{\"bits\":[]}')",
    "SELECT name, report FROM binhash_models",
};

/* Run a statement; *sum is of all that came out. */
static int run_statement(sqlite3 *db, const char *sql, uint64_t *sum) {
  sqlite3_stmt *stmt = NULL;
  *sum = 1469598103934665603u;
  int rc = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);
  if (rc == SQLITE_OK) {
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW)
      for (int i = 0; i < sqlite3_column_count(stmt); i++) {
        const unsigned char *p = sqlite3_column_blob(stmt, i);
        int n = sqlite3_column_bytes(stmt, i);
        if (n > 0 && !p) rc = SQLITE_NOMEM;
        for (int j = 0; p && j < n; j++) *sum = (*sum ^ p[j]) * 1099511628211u;
      }
  }
  int end = sqlite3_finalize(stmt);
  return end != SQLITE_OK ? end : rc;
}

static void must(sqlite3 *db, const char *sql) {
  char *error = NULL;
  if (sqlite3_exec(db, sql, NULL, NULL, &error) != SQLITE_OK)
    fail_msg("%s: %s", sql, error);
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
  must(db, setup);
  /* Threads would make the order of requests for memory a matter of chance. */
  must(db, "SELECT binhash_config('threads', 1)");
  must(db, "SELECT binhash_load('exact', '" MODEL "')");
  must(db, "INSERT INTO m SELECT model FROM binhash_train('SELECT image, kind"
       " FROM p', '{\"base\":\"exact\",\"bits\":8,\"epochs\":1}')");
  must(db, "SELECT binhash_load('old', model) FROM m");
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
      fail_msg("%s: fault %d gives %d: %s", sql, at, rc, sqlite3_errmsg(db));
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

static int interrupts_left;

static int interrupt_at(void *unused) {
  (void)unused;
  return --interrupts_left == 0;
}

static void interrupted_anywhere(void **state) {
  (void)state;
  sqlite3 *db = open_database();
  const char *sql =
      "SELECT model FROM binhash_train('SELECT image, kind FROM p',"
      " '{\"base\":\"exact\",\"bits\":1024,\"epochs\":600,\"batch\":1}')";
  uint64_t expected, sum;
  int stopped = 0, at = 0;
  assert_int_equal(run_statement(db, sql, &expected), SQLITE_DONE);
  do {
    interrupts_left = ++at;
    sqlite3_progress_handler(db, 1, interrupt_at, NULL);
    int rc = run_statement(db, sql, &sum);
    sqlite3_progress_handler(db, 0, NULL, NULL);
    assert_true(rc == SQLITE_INTERRUPT || rc == SQLITE_DONE);
    stopped += rc == SQLITE_INTERRUPT;
    if (rc == SQLITE_DONE) break;
    if (at > 60) at += at / 8;
  } while (1);
  assert_true(stopped > 20);
  assert_int_equal(run_statement(db, sql, &sum), SQLITE_DONE);
  assert_int_equal(sum, expected);
  sqlite3_close(db);
  assert_int_equal(sqlite3_memory_used(), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(one_fault),
      cmocka_unit_test(no_memory_from_here),
      cmocka_unit_test(interrupted_anywhere),
  };
  faults_configure();
  return cmocka_run_group_tests(tests, NULL, NULL);
}

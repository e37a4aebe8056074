/*
** Statements while memory runs out: every allocation of a statement fails in
** turn.  It then ends with SQLITE_NOMEM or, where it could do without, with the
** right rows; nothing leaks and the connection goes on working.
**
** The extension is loaded from ./build/binhash or from the path in
** BINHASH_EXTENSION.
*/
#ifndef BINHASH_STATEMENT_FAULTS_H
#define BINHASH_STATEMENT_FAULTS_H

#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "sqlite_faults.h"

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

static sqlite3 *open_database(const char *setup) {
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

static void each_fault(const char *setup, const char *const *statements,
                       size_t n, int persists) {
  sqlite3 *db = open_database(setup);
  for (size_t i = 0; i < n; i++)
    fail_each_allocation(db, statements[i], persists);
  sqlite3_close(db);
  assert_int_equal(sqlite3_memory_used(), 0);
}

#endif

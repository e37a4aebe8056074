/*
** Codes that are a column of another table, and what keeps the index true.
**
**   CREATE VIRTUAL TABLE photo_codes USING
**     binhash(bits=48, content='photos', content_rowid='id');
**   INSERT INTO photo_codes(photo_codes) VALUES ('rebuild');
**   SELECT binhash_triggers('photo_codes');
**
** The index holds the codes itself; content= says only where they come from.
** 'rebuild' reads them all, and triggers on the content table, whose text
** binhash_triggers returns, do the same row by row afterwards.  NULL codes have
** no row in the index.
**
** Triggers see the rows that a statement names.  What they do not see, unless
** recursive_triggers is on, are rows that OR REPLACE pushes out because of a
** UNIQUE column.  So a BEFORE trigger names the rows that are in the way of the
** new one ('replacing', once for each), and the AFTER trigger asks which of
** them are still there ('replaced').  Between the two they are remembered here,
** not on disk.  An insertion that does not happen (OR IGNORE, an UPSERT that
** becomes an UPDATE) never comes to 'replaced', and changes nothing.  Unique
** indexes on expressions are not looked through; what is pushed out by one
** stays in the index until 'rebuild', and 'integrity-check' names it.
**
** 'integrity-check' reads every block, compares the number of rows, and, with
** content, every code with the content table's; what is wrong comes as an
** error that names up to eight rows.
*/
#include <string.h>

#include "ext_int.h"
SQLITE_EXTENSION_INIT3

#define CONTENT_NAMED_MAX 8   /* rows that a message names */

/* What preparing a statement came to, with SQLite's words for a mistake in what
** content= names. */
static int content_prepared(bh_index *index, int rc) {
  if (rc != SQLITE_ERROR) return rc;
  return bh_table_error(&index->base, "binhash: %s: %s", index->name,
                        sqlite3_errmsg(index->connection->db));
}

/* The codes of the content table in the order of its rowids. */
static int content_codes(bh_index *index, sqlite3_stmt **out) {
  return content_prepared(index, bh_index_prepare(
      index, out, "SELECT c.\"%w\", c.\"%w\" FROM \"%w\".\"%w\" c "
      "WHERE c.\"%w\" IS NOT NULL ORDER BY 1", index->content_rowid,
      index->content_column, index->schema, index->content,
      index->content_column));
}

/* 'rebuild' ---------------------------------------------------------------- */

/* One pass over the content: to check its codes, or to take them. */
static int content_pass(bh_index *index, int take) {
  sqlite3_stmt *s;
  uint8_t code[128];
  int rc = content_codes(index, &s);
  while (rc == SQLITE_OK && (rc = sqlite3_step(s)) == SQLITE_ROW) {
    char *problem = NULL;
    sqlite3_int64 rowid = sqlite3_column_int64(s, 0);
    rc = sqlite3_column_type(s, 0) == SQLITE_INTEGER ? SQLITE_OK
                                                     : SQLITE_MISMATCH;
    if (rc == SQLITE_OK)
      rc = bh_index_code(index, sqlite3_column_value(s, 1), code, &problem);
    if (rc == SQLITE_OK && take) rc = bh_index_put(index, rowid, code);
    if (rc == SQLITE_MISMATCH)
      rc = bh_table_error(&index->base, "binhash: %s: %s.%s is no INTEGER "
                          "PRIMARY KEY", index->name, index->content,
                          index->content_rowid);
    if (problem)
      rc = bh_table_error(&index->base, "binhash: %s: row %lld of %s: %s",
                          index->name, rowid, index->content, problem);
    sqlite3_free(problem);
  }
  int done = sqlite3_finalize(s);
  return rc == SQLITE_DONE || rc == SQLITE_OK ? done : rc;
}

/* All codes are looked at before the first is taken, so that a code that is no
** good leaves the index as it was. */
static int content_rebuild(bh_index *index) {
  if (!index->content)
    return bh_table_error(&index->base, "binhash: %s: rebuild: an index "
                          "without content= has nothing to be rebuilt from",
                          index->name);
  int rc = bh_index_flush(index);
  if (rc == SQLITE_OK) rc = content_pass(index, 0);
  if (rc != SQLITE_OK) return rc;
  unsigned rollbacks = index->rollbacks;
  rc = bh_index_clear(index);
  if (rc == SQLITE_OK) rc = content_pass(index, 1);
  if (rc == SQLITE_OK) rc = bh_index_flush(index);
  if (rc != SQLITE_OK && rollbacks == index->rollbacks)
    bh_index_fail(index, rc);
  return rc;
}

/* 'integrity-check' -------------------------------------------------------- */

typedef struct content_report {
  sqlite3_str *text;
  int named;
} content_report;

static void content_differs(content_report *report, sqlite3_int64 rowid,
                            const char *what) {
  if (report->named++ < CONTENT_NAMED_MAX)
    sqlite3_str_appendf(report->text, "%srow %lld %s",
                        report->named > 1 ? "; " : "", rowid, what);
}

/* Step a statement of (rowid, code); *has is whether there is a row. */
static int content_step(sqlite3_stmt *s, int *has) {
  int rc = sqlite3_step(s);
  *has = rc == SQLITE_ROW;
  return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int content_same(sqlite3_stmt *a, sqlite3_stmt *b) {
  int n = sqlite3_column_bytes(a, 1);
  const void *x = sqlite3_column_blob(a, 1), *y = sqlite3_column_blob(b, 1);
  return n == sqlite3_column_bytes(b, 1) &&
         sqlite3_column_type(b, 1) == SQLITE_BLOB &&
         (n == 0 || (x && y && memcmp(x, y, (size_t)n) == 0));
}

/* Both in the order of rowids: a merge finds what only one of them has. */
static int content_compare(bh_index *index, content_report *report) {
  sqlite3_stmt *ours = NULL, *theirs = NULL;
  int has_ours = 0, has_theirs = 0;
  int rc = content_prepared(index, bh_index_prepare(
      index, &ours, "SELECT rowid, code FROM \"%w\".\"%w\" ORDER BY rowid",
      index->schema, index->name));
  if (rc == SQLITE_OK) rc = content_codes(index, &theirs);
  if (rc == SQLITE_OK) rc = content_step(ours, &has_ours);
  if (rc == SQLITE_OK) rc = content_step(theirs, &has_theirs);
  while (rc == SQLITE_OK && (has_ours || has_theirs)) {
    sqlite3_int64 a = has_ours ? sqlite3_column_int64(ours, 0) : INT64_MAX;
    sqlite3_int64 b = has_theirs ? sqlite3_column_int64(theirs, 0) : INT64_MAX;
    int take_ours = has_ours && (!has_theirs || a <= b);
    int take_theirs = has_theirs && (!has_ours || b <= a);
    if (!take_theirs) content_differs(report, a, "is not in the content");
    else if (!take_ours) content_differs(report, b, "is missing");
    else if (!content_same(ours, theirs))
      content_differs(report, a, "has another code in the content");
    if (take_ours) rc = content_step(ours, &has_ours);
    if (take_theirs && rc == SQLITE_OK) rc = content_step(theirs, &has_theirs);
  }
  sqlite3_finalize(ours);
  sqlite3_finalize(theirs);
  return rc;
}

/* Every block, read and counted. */
static int content_count(bh_index *index) {
  bh_index_state state;
  sqlite3_stmt *s, *walk;
  int rc = bh_index_read_state(index, &state, &s);
  if (rc != SQLITE_OK) return rc;
  sqlite3_int64 rows = state.rows, found = 0, after = 0;
  int any = 0;
  sqlite3_reset(s);
  rc = bh_index_sql(index, BH_INDEX_WALK, &walk);
  if (rc != SQLITE_OK) return rc;
  while (rc == SQLITE_OK && (rc = sqlite3_step(walk)) == SQLITE_ROW) {
    bh_held *held;
    sqlite3_int64 id = sqlite3_column_int64(walk, 0);
    rc = bh_index_hold(index, walk, NULL, &held);
    if (rc != SQLITE_OK) break;
    int n = held->block.rows;
    found += n;
    if (any && after >= id)
      rc = bh_index_corrupt(index, "the one before it has rows of it", id);
    else if (n == 0 && id != INT64_MIN)
      rc = bh_index_corrupt(index, "it is empty", id);
    if (n > 0) {
      after = nn_block_rowid(&held->block, n - 1);
      any = 1;
    }
    bh_held_unref(held);
  }
  if (rc == SQLITE_DONE) rc = SQLITE_OK;
  int done = sqlite3_reset(walk);
  if (rc == SQLITE_OK) rc = done;
  if (rc == SQLITE_OK && found != rows)
    rc = bh_index_corrupt(index, "its number of rows is wrong", 0);
  return rc;
}

int bh_index_check(bh_index *index, char **problem) {
  content_report report = {sqlite3_str_new(index->connection->db), 0};
  *problem = NULL;
  int rc = bh_index_flush(index);
  if (rc == SQLITE_OK) rc = content_count(index);
  if (rc == SQLITE_CORRUPT_VTAB && index->base.zErrMsg) {
    sqlite3_str_appendall(report.text, index->base.zErrMsg);
    rc = SQLITE_OK;
  } else if (rc == SQLITE_OK && index->content) {
    sqlite3_str_appendf(report.text, "binhash: %s: ", index->name);
    rc = content_compare(index, &report);
    if (report.named > CONTENT_NAMED_MAX)
      sqlite3_str_appendf(report.text, "; and %d more",
                          report.named - CONTENT_NAMED_MAX);
    if (report.named == 0) sqlite3_str_reset(report.text);
  }
  int error = sqlite3_str_errcode(report.text);
  *problem = sqlite3_str_finish(report.text);
  return rc == SQLITE_OK ? error : rc;
}

static int content_check(bh_index *index) {
  char *problem;
  int rc = bh_index_check(index, &problem);
  if (rc == SQLITE_OK && problem) {
    sqlite3_free(index->base.zErrMsg);
    index->base.zErrMsg = problem;
    return SQLITE_CORRUPT_VTAB;
  }
  sqlite3_free(problem);
  return rc;
}

/* Rows that are pushed out ------------------------------------------------- */

static int content_replacing(bh_index *index, sqlite3_value *rowid) {
  if (sqlite3_value_type(rowid) == SQLITE_NULL) {
    bh_rowids_clear(&index->replacing);
    return SQLITE_OK;
  }
  return bh_rowids_add(&index->replacing, sqlite3_value_int64(rowid));
}

static int content_replaced(bh_index *index) {
  sqlite3_stmt *s;
  if (!index->content || index->replacing.count == 0) return SQLITE_OK;
  int rc = content_prepared(index, bh_index_prepare(
      index, &s, "SELECT 1 FROM \"%w\".\"%w\" c WHERE c.\"%w\" = ?1",
      index->schema, index->content, index->content_rowid));
  for (sqlite3_int64 i = 0; rc == SQLITE_OK && i < index->replacing.count;
       i++) {
    int has;
    sqlite3_bind_int64(s, 1, index->replacing.list[i]);
    rc = content_step(s, &has);
    sqlite3_reset(s);
    if (rc == SQLITE_OK && !has)
      rc = bh_index_remove(index, index->replacing.list[i]);
  }
  sqlite3_finalize(s);
  bh_rowids_clear(&index->replacing);
  return rc;
}

int bh_index_command(bh_index *index, const char *command,
                     sqlite3_value *rowid) {
  if (strcmp(command, "rebuild") == 0) return content_rebuild(index);
  if (strcmp(command, "integrity-check") == 0) return content_check(index);
  if (strcmp(command, "replacing") == 0) return content_replacing(index, rowid);
  if (strcmp(command, "replaced") == 0) return content_replaced(index);
  return bh_table_error(&index->base, "binhash: %s: unknown command '%s'; "
                        "there are 'rebuild' and 'integrity-check'",
                        index->name, command);
}

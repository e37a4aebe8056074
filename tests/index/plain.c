/*
** The index as simply as it can be written, to try the trials themselves.
**
** Loaded after the extension, this module takes the name `binhash`.  Its rows
** stand in one ordinary table, t_plain(id, code); a search computes all
** distances and sorts.  The SQL is the index's: the columns code, query
** (hidden), one named like the table (hidden), and distance; INSERT, UPDATE and
** DELETE with every conflict clause; the commands 'rebuild' and
** 'integrity-check'.
**
** BINHASH_WRONG makes it wrong in one of the ways an index could be: a trial
** that does not notice is worth nothing.
**
**     ties        equal distances come with the last row first
**     stale       a search uses rows that were read before a rollback
**     limit       the thirtieth row of a search is left out
**     replace     OR REPLACE keeps the code that was there
**     radius      a distance of exactly the bound is left out
**     extreme     the smallest rowid is never found
*/
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <sqlite3ext.h>
SQLITE_EXTENSION_INIT1

typedef struct plain_row {
  sqlite3_int64 rowid;
  int distance;                 /* -1: no query */
  int bytes;
  unsigned char code[128];
} plain_row;

typedef struct plain_rows {
  plain_row *rows;
  int n, room;
} plain_rows;

typedef struct plain_table {
  sqlite3_vtab base;
  sqlite3 *db;
  char *schema, *name;
  int bits;
  plain_rows kept;              /* of wrong 'stale' */
} plain_table;

typedef struct plain_cursor {
  sqlite3_vtab_cursor base;
  plain_rows found;
  int at;
} plain_cursor;

enum { PLAIN_CODE, PLAIN_QUERY, PLAIN_NAME, PLAIN_DISTANCE };

static int plain_wrong(const char *how) {
  const char *wrong = getenv("BINHASH_WRONG");
  return wrong && strcmp(wrong, how) == 0;
}

static int plain_error(plain_table *t, int rc, const char *why) {
  sqlite3_free(t->base.zErrMsg);
  t->base.zErrMsg = sqlite3_mprintf("binhash: %s: %s", t->name, why);
  return rc;
}

/* A statement on the rows' table; $ stands for its name. */
static int plain_prepare(plain_table *t, const char *sql, sqlite3_stmt **out) {
  const char *dollar = strchr(sql, '$');
  char *text = sqlite3_mprintf("%.*s\"%w\".\"%w_plain\"%s",
                               (int)(dollar - sql), sql, t->schema, t->name,
                               dollar + 1);
  int rc = text ? sqlite3_prepare_v2(t->db, text, -1, out, NULL)
                : SQLITE_NOMEM;
  sqlite3_free(text);
  return rc;
}

static int plain_finish(sqlite3_stmt *stmt) {
  sqlite3_step(stmt);
  return sqlite3_finalize(stmt);
}

/* One row of the table changed or read; changes is what sqlite3_changes says. */
static int plain_run(plain_table *t, const char *sql, sqlite3_int64 rowid,
                     sqlite3_value *code, sqlite3_int64 other) {
  sqlite3_stmt *stmt = NULL;
  int rc = plain_prepare(t, sql, &stmt);
  if (rc != SQLITE_OK) return rc;
  sqlite3_bind_int64(stmt, 1, rowid);
  if (code) sqlite3_bind_value(stmt, 2, code);
  sqlite3_bind_int64(stmt, 3, other);
  return plain_finish(stmt);
}

static int plain_exists(plain_table *t, sqlite3_int64 rowid, int *yes) {
  sqlite3_stmt *stmt = NULL;
  int rc = plain_prepare(t, "SELECT 1 FROM $ WHERE id = ?1", &stmt);
  if (rc != SQLITE_OK) return rc;
  sqlite3_bind_int64(stmt, 1, rowid);
  *yes = sqlite3_step(stmt) == SQLITE_ROW;
  return sqlite3_finalize(stmt);
}

/* Tables -------------------------------------------------------------------- */

static int plain_disconnect(sqlite3_vtab *base) {
  plain_table *t = (plain_table *)base;
  sqlite3_free(t->schema);
  sqlite3_free(t->name);
  sqlite3_free(t->kept.rows);
  sqlite3_free(t);
  return SQLITE_OK;
}

static int plain_connect(sqlite3 *db, void *aux, int argc,
                         const char *const *argv, sqlite3_vtab **out,
                         char **error) {
  plain_table *t = sqlite3_malloc64(sizeof(*t));
  char *sql = sqlite3_mprintf("CREATE TABLE x(code BLOB, query HIDDEN, \"%w\" "
                              "HIDDEN, distance INTEGER)", argv[2]);
  int rc = t && sql ? sqlite3_declare_vtab(db, sql) : SQLITE_NOMEM;
  (void)aux, (void)error;
  sqlite3_free(sql);
  if (rc != SQLITE_OK) {
    sqlite3_free(t);
    return rc;
  }
  memset(t, 0, sizeof(*t));
  t->db = db;
  t->bits = 48;
  for (int i = 3; i < argc; i++)
    if (strncmp(argv[i], "bits=", 5) == 0) t->bits = atoi(argv[i] + 5);
  t->schema = sqlite3_mprintf("%s", argv[1]);
  t->name = sqlite3_mprintf("%s", argv[2]);
  if (!t->schema || !t->name) {
    plain_disconnect(&t->base);
    return SQLITE_NOMEM;
  }
  sqlite3_vtab_config(db, SQLITE_VTAB_CONSTRAINT_SUPPORT, 1);
  sqlite3_vtab_config(db, SQLITE_VTAB_INNOCUOUS);
  *out = &t->base;
  return SQLITE_OK;
}

static int plain_create(sqlite3 *db, void *aux, int argc,
                        const char *const *argv, sqlite3_vtab **out,
                        char **error) {
  sqlite3_stmt *stmt = NULL;
  int rc = plain_connect(db, aux, argc, argv, out, error);
  if (rc != SQLITE_OK) return rc;
  rc = plain_prepare((plain_table *)*out, "CREATE TABLE $(id INTEGER PRIMARY "
                     "KEY, code BLOB)", &stmt);
  if (rc == SQLITE_OK) rc = plain_finish(stmt);
  if (rc != SQLITE_OK) {
    plain_disconnect(*out);
    *out = NULL;
  }
  return rc;
}

static int plain_destroy(sqlite3_vtab *base) {
  sqlite3_stmt *stmt = NULL;
  int rc = plain_prepare((plain_table *)base, "DROP TABLE $", &stmt);
  if (rc == SQLITE_OK) rc = plain_finish(stmt);
  return rc == SQLITE_OK ? plain_disconnect(base) : rc;
}

static int plain_rename(sqlite3_vtab *base, const char *name) {
  plain_table *t = (plain_table *)base;
  char *sql = sqlite3_mprintf("ALTER TABLE \"%w\".\"%w_plain\" RENAME TO "
                              "\"%w_plain\"", t->schema, t->name, name);
  int rc = sql ? sqlite3_exec(t->db, sql, NULL, NULL, NULL) : SQLITE_NOMEM;
  sqlite3_free(sql);
  return rc;
}

static int plain_shadow(const char *name) { return !strcmp(name, "plain"); }

/* Reading ------------------------------------------------------------------- */

static int plain_best_index(sqlite3_vtab *base, sqlite3_index_info *info) {
  (void)base;
  for (int i = 0; i < info->nConstraint; i++) {
    const struct sqlite3_index_constraint *c = &info->aConstraint[i];
    int match = c->op == SQLITE_INDEX_CONSTRAINT_MATCH;
    if (!match && (c->op != SQLITE_INDEX_CONSTRAINT_EQ ||
                   c->iColumn != PLAIN_QUERY))
      continue;
    if (!c->usable) return SQLITE_CONSTRAINT;
    if (info->idxNum) continue;
    info->aConstraintUsage[i].argvIndex = 1;
    info->aConstraintUsage[i].omit = 1;
    info->idxNum = 1;
  }
  info->estimatedCost = 1e6;
  if (info->nOrderBy == 1 && !info->aOrderBy[0].desc)
    info->orderByConsumed =
        info->aOrderBy[0].iColumn == (info->idxNum ? PLAIN_DISTANCE : -1);
  return SQLITE_OK;
}

static int plain_open(sqlite3_vtab *base, sqlite3_vtab_cursor **out) {
  plain_cursor *cursor = sqlite3_malloc64(sizeof(*cursor));
  (void)base;
  if (!cursor) return SQLITE_NOMEM;
  memset(cursor, 0, sizeof(*cursor));
  *out = &cursor->base;
  return SQLITE_OK;
}

static int plain_close(sqlite3_vtab_cursor *base) {
  sqlite3_free(((plain_cursor *)base)->found.rows);
  sqlite3_free(base);
  return SQLITE_OK;
}

static int plain_add(plain_rows *rows, const plain_row *row) {
  if (rows->n == rows->room) {
    int room = rows->room ? 2 * rows->room : 64;
    plain_row *more = sqlite3_realloc64(rows->rows, sizeof(*more) *
                                                        (size_t)room);
    if (!more) return SQLITE_NOMEM;
    rows->rows = more;
    rows->room = room;
  }
  rows->rows[rows->n++] = *row;
  return SQLITE_OK;
}

static int plain_read(plain_table *t, plain_rows *rows) {
  sqlite3_stmt *stmt = NULL;
  int rc = plain_prepare(t, "SELECT id, code FROM $ ORDER BY id", &stmt);
  if (rc != SQLITE_OK) return rc;
  rows->n = 0;
  while (rc == SQLITE_OK && sqlite3_step(stmt) == SQLITE_ROW) {
    plain_row row = {sqlite3_column_int64(stmt, 0), -1, 0, {0}};
    const void *code = sqlite3_column_blob(stmt, 1);
    row.bytes = sqlite3_column_bytes(stmt, 1);
    if (code) memcpy(row.code, code, (size_t)row.bytes);
    if (row.rowid != INT64_MIN || !plain_wrong("extreme"))
      rc = plain_add(rows, &row);
  }
  int end = sqlite3_finalize(stmt);
  return rc == SQLITE_OK ? end : rc;
}

static int plain_compare(const void *a, const void *b) {
  const plain_row *x = a, *y = b;
  int tie = x->rowid < y->rowid ? -1 : x->rowid > y->rowid;
  if (plain_wrong("ties")) tie = -tie;
  return x->distance != y->distance ? x->distance - y->distance : tie;
}

static int plain_filter(sqlite3_vtab_cursor *base, int plan, const char *string,
                        int argc, sqlite3_value **argv) {
  plain_cursor *cursor = (plain_cursor *)base;
  plain_table *t = (plain_table *)base->pVtab;
  plain_rows *found = &cursor->found;
  (void)string, (void)argc;
  cursor->at = found->n = 0;
  if (plan && sqlite3_value_type(argv[0]) == SQLITE_NULL) return SQLITE_OK;
  int rc = plain_read(t, found);
  if (rc != SQLITE_OK || !plan) return rc;
  const unsigned char *query = sqlite3_value_blob(argv[0]);
  if (sqlite3_value_bytes(argv[0]) != (t->bits + 7) / 8)
    return plain_error(t, SQLITE_ERROR, "the query is of another length");
  for (int i = 0; i < found->n; i++) {
    plain_row *row = &found->rows[i];
    row->distance = 0;
    for (int j = 0; j < row->bytes; j++)
      row->distance += __builtin_popcount(row->code[j] ^ query[j]);
  }
  qsort(found->rows, (size_t)found->n, sizeof(plain_row), plain_compare);
  if (plain_wrong("limit") && found->n > 30)
    memmove(found->rows + 29, found->rows + 30,
            (size_t)(--found->n - 29) * sizeof(plain_row));
  return SQLITE_OK;
}

static int plain_next(sqlite3_vtab_cursor *base) {
  ((plain_cursor *)base)->at++;
  return SQLITE_OK;
}

static int plain_eof(sqlite3_vtab_cursor *base) {
  plain_cursor *cursor = (plain_cursor *)base;
  return cursor->at >= cursor->found.n;
}

static int plain_column(sqlite3_vtab_cursor *base, sqlite3_context *context,
                        int column) {
  plain_cursor *cursor = (plain_cursor *)base;
  const plain_row *row = &cursor->found.rows[cursor->at];
  if (column == PLAIN_CODE)
    sqlite3_result_blob(context, row->code, row->bytes, SQLITE_TRANSIENT);
  if (column == PLAIN_DISTANCE && row->distance >= 0)
    sqlite3_result_int(context, row->distance +
                       (plain_wrong("radius") && row->distance == 3));
  return SQLITE_OK;
}

static int plain_rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *rowid) {
  plain_cursor *cursor = (plain_cursor *)base;
  *rowid = cursor->found.rows[cursor->at].rowid;
  return SQLITE_OK;
}

/* Writing ------------------------------------------------------------------- */

static int plain_check(plain_table *t, sqlite3_value *code) {
  const unsigned char *bytes = sqlite3_value_blob(code);
  int n = sqlite3_value_bytes(code);
  if (sqlite3_value_type(code) != SQLITE_BLOB || n != (t->bits + 7) / 8)
    return plain_error(t, SQLITE_CONSTRAINT, "a code of another length");
  if (t->bits % 8 && (bytes[n - 1] & (0xff >> t->bits % 8)))
    return plain_error(t, SQLITE_CONSTRAINT, "a spare bit is set");
  return SQLITE_OK;
}

/* The rows of t must be as they are: nothing else can be wrong here. */
static int plain_command(plain_table *t, sqlite3_value *command) {
  const char *text = (const char *)sqlite3_value_text(command);
  if (text && (!strcmp(text, "rebuild") || !strcmp(text, "integrity-check")))
    return SQLITE_OK;
  return plain_error(t, SQLITE_ERROR, "no such command");
}

static int plain_update(sqlite3_vtab *base, int argc, sqlite3_value **argv,
                        sqlite3_int64 *rowid) {
  plain_table *t = (plain_table *)base;
  int insert = sqlite3_value_type(argv[0]) == SQLITE_NULL, taken = 0;
  sqlite3_int64 old = sqlite3_value_int64(argv[0]);
  if (argc == 1) return plain_run(t, "DELETE FROM $ WHERE id = ?1", old, NULL,
                                  0);
  if (insert && sqlite3_value_type(argv[2 + PLAIN_NAME]) != SQLITE_NULL)
    return plain_command(t, argv[2 + PLAIN_NAME]);
  sqlite3_value *code = argv[2 + PLAIN_CODE];
  int rc = plain_check(t, code);
  if (rc != SQLITE_OK) return rc;
  if (insert && sqlite3_value_type(argv[1]) == SQLITE_NULL) {
    rc = plain_run(t, "INSERT INTO $ VALUES(nullif(?1, 0), ?2)", 0, code, 0);
    *rowid = sqlite3_last_insert_rowid(t->db);
    return rc;
  }
  sqlite3_int64 new = sqlite3_value_int64(argv[1]);
  int type = sqlite3_value_numeric_type(argv[1]);
  if (type != SQLITE_INTEGER && (type != SQLITE_FLOAT ||
                                 sqlite3_value_double(argv[1]) != (double)new))
    return plain_error(t, SQLITE_MISMATCH, "the rowid is no integer");
  if (insert || new != old) rc = plain_exists(t, new, &taken);
  if (rc != SQLITE_OK) return rc;
  if (taken && sqlite3_vtab_on_conflict(t->db) != SQLITE_REPLACE)
    return plain_error(t, SQLITE_CONSTRAINT, "the rowid is taken");
  *rowid = new;
  if (taken && plain_wrong("replace")) return SQLITE_OK;
  if (taken) rc = plain_run(t, "DELETE FROM $ WHERE id = ?1", new, NULL, 0);
  if (rc != SQLITE_OK) return rc;
  if (insert) return plain_run(t, "INSERT INTO $ VALUES(?1, ?2)", new, code, 0);
  sqlite3_int64 last = sqlite3_last_insert_rowid(t->db);
  rc = plain_run(t, "UPDATE $ SET id = ?3, code = ?2 WHERE id = ?1", old, code,
                 new);
  sqlite3_set_last_insert_rowid(t->db, last);
  return rc;
}

static int plain_begin(sqlite3_vtab *base) {
  (void)base;
  return SQLITE_OK;
}

/* Wrong 'stale' undoes a rollback to a savepoint by hand. */
static int plain_savepoint(sqlite3_vtab *base, int n) {
  plain_table *t = (plain_table *)base;
  (void)n;
  return plain_wrong("stale") ? plain_read(t, &t->kept) : SQLITE_OK;
}

static int plain_rollback_to(sqlite3_vtab *base, int n) {
  plain_table *t = (plain_table *)base;
  (void)n;
  if (plain_wrong("stale") && t->kept.n)
    plain_run(t, "DELETE FROM $ WHERE id = ?1", t->kept.rows[0].rowid, NULL, 0);
  return SQLITE_OK;
}

static sqlite3_module plain_module = {
  .iVersion = 3, .xCreate = plain_create, .xConnect = plain_connect,
  .xBestIndex = plain_best_index, .xDisconnect = plain_disconnect,
  .xDestroy = plain_destroy, .xOpen = plain_open, .xClose = plain_close,
  .xFilter = plain_filter, .xNext = plain_next, .xEof = plain_eof,
  .xColumn = plain_column, .xRowid = plain_rowid, .xUpdate = plain_update,
  .xBegin = plain_begin, .xSync = plain_begin, .xCommit = plain_begin,
  .xRollback = plain_begin, .xRename = plain_rename,
  .xSavepoint = plain_savepoint, .xRelease = plain_savepoint,
  .xRollbackTo = plain_rollback_to, .xShadowName = plain_shadow,
};

int sqlite3_plain_init(sqlite3 *db, char **error,
                       const sqlite3_api_routines *api);
__attribute__((visibility("default")))
int sqlite3_plain_init(sqlite3 *db, char **error,
                       const sqlite3_api_routines *api) {
  SQLITE_EXTENSION_INIT2(api);
  (void)error;
  return sqlite3_create_module_v2(db, "binhash", &plain_module, NULL, NULL);
}

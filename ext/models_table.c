/*
** SELECT name, bits, kind, is_default, sha256, report FROM binhash_models;
**
** The models of this connection as an eponymous table, the compiled-in default
** first, then in the order of loading.  A cursor copies the list when it
** begins, so a statement that loads or unloads models while it reads the table
** sees them as they were.  The sha256 of a row is taken when it is read
** (models.c), from the file, which the cursor holds.
*/
#include <string.h>

#include "models.h"
SQLITE_EXTENSION_INIT3

enum {
  MODELS_TABLE_NAME,
  MODELS_TABLE_BITS,
  MODELS_TABLE_KIND,
  MODELS_TABLE_IS_DEFAULT,
  MODELS_TABLE_SHA256,
  MODELS_TABLE_REPORT
};

typedef struct models_table {
  sqlite3_vtab base;
  bh_connection *connection;
} models_table;

typedef struct models_table_cursor {
  sqlite3_vtab_cursor base;
  int at, count;
  bh_model_row *rows;
} models_table_cursor;

static int models_table_connect(sqlite3 *db, void *aux, int argc,
                                const char *const *argv, sqlite3_vtab **out,
                                char **error) {
  (void)argc;
  (void)argv;
  (void)error;
  int rc = sqlite3_declare_vtab(
      db, "CREATE TABLE x(name TEXT, bits INTEGER, kind TEXT, "
      "is_default INTEGER, sha256 TEXT, report TEXT)");
  if (rc != SQLITE_OK) return rc;
  models_table *t = sqlite3_malloc64(sizeof(*t));
  if (!t) return SQLITE_NOMEM;
  memset(t, 0, sizeof(*t));
  t->connection = aux;
  *out = &t->base;
  return SQLITE_OK;
}

static int models_table_disconnect(sqlite3_vtab *table) {
  sqlite3_free(table);
  return SQLITE_OK;
}

static int models_table_best_index(sqlite3_vtab *table,
                                   sqlite3_index_info *info) {
  (void)table;
  info->estimatedCost = 10;
  info->estimatedRows = 4;
  return SQLITE_OK;
}

static int models_table_open(sqlite3_vtab *table, sqlite3_vtab_cursor **out) {
  (void)table;
  models_table_cursor *cursor = sqlite3_malloc64(sizeof(*cursor));
  if (!cursor) return SQLITE_NOMEM;
  memset(cursor, 0, sizeof(*cursor));
  *out = &cursor->base;
  return SQLITE_OK;
}

/* The list, whose last entry may be one that could not be made. */
static void models_table_clear(models_table_cursor *cursor) {
  for (int i = 0; cursor->rows && i <= cursor->count; i++) {
    sqlite3_free(cursor->rows[i].report);
    bh_models_release(cursor->rows[i].file);
  }
  sqlite3_free(cursor->rows);
  cursor->rows = NULL;
}

static int models_table_close(sqlite3_vtab_cursor *base) {
  models_table_cursor *cursor = (models_table_cursor *)base;
  models_table_clear(cursor);
  sqlite3_free(cursor);
  return SQLITE_OK;
}

static int models_table_filter(sqlite3_vtab_cursor *base, int number,
                               const char *text, int argc,
                               sqlite3_value **argv) {
  models_table_cursor *cursor = (models_table_cursor *)base;
  models_table *t = (models_table *)base->pVtab;
  char *error = NULL;
  (void)number;
  (void)text;
  (void)argc;
  (void)argv;
  models_table_clear(cursor);
  cursor->at = cursor->count = 0;
  for (int n = 0;; n++) {
    bh_model_row *rows = sqlite3_realloc64(
        cursor->rows, sizeof(*rows) * (sqlite3_uint64)(n + 1));
    if (!rows) {
      cursor->count = n - 1;
      return SQLITE_NOMEM;
    }
    cursor->rows = rows;
    cursor->count = n;
    int rc = bh_models_describe(t->connection, n, &rows[n], &error);
    if (error) bh_table_error(&t->base, "binhash_models: %s", error);
    sqlite3_free(error);
    if (rc != SQLITE_OK || !rows[n].name[0]) return rc;
  }
}

static int models_table_next(sqlite3_vtab_cursor *base) {
  ((models_table_cursor *)base)->at++;
  return SQLITE_OK;
}

static int models_table_eof(sqlite3_vtab_cursor *base) {
  models_table_cursor *cursor = (models_table_cursor *)base;
  return cursor->at >= cursor->count;
}

static int models_table_rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *out) {
  *out = ((models_table_cursor *)base)->at + 1;
  return SQLITE_OK;
}

static int models_table_sha256(models_table_cursor *cursor,
                               sqlite3_context *ctx) {
  const bh_model_row *row = &cursor->rows[cursor->at];
  const char *hex;
  char *error;
  int rc = bh_models_sha256(row->file, row->name, &hex, &error);
  if (rc == SQLITE_OK) {
    sqlite3_result_text(ctx, hex, -1, SQLITE_TRANSIENT);
    return SQLITE_OK;
  }
  bh_result_message(ctx, "binhash_models", rc, error);
  return rc;
}

static int models_table_column(sqlite3_vtab_cursor *base, sqlite3_context *ctx,
                               int column) {
  models_table_cursor *cursor = (models_table_cursor *)base;
  const bh_model_row *row = &cursor->rows[cursor->at];
  switch (column) {
    case MODELS_TABLE_NAME:
      sqlite3_result_text(ctx, row->name, -1, SQLITE_TRANSIENT);
      break;
    case MODELS_TABLE_BITS:
      sqlite3_result_int(ctx, row->bits);
      break;
    case MODELS_TABLE_KIND:
      sqlite3_result_text(ctx, row->kind, -1, SQLITE_STATIC);
      break;
    case MODELS_TABLE_IS_DEFAULT:
      sqlite3_result_int(ctx, row->is_default);
      break;
    case MODELS_TABLE_SHA256:
      return models_table_sha256(cursor, ctx);
    case MODELS_TABLE_REPORT:   /* NULL where binhash_train did not make it */
      sqlite3_result_text(ctx, row->report, -1, SQLITE_TRANSIENT);
      break;
  }
  return SQLITE_OK;
}

static const sqlite3_module models_table_module = {
    .iVersion = 0,
    .xConnect = models_table_connect,
    .xBestIndex = models_table_best_index,
    .xDisconnect = models_table_disconnect,
    .xOpen = models_table_open,
    .xClose = models_table_close,
    .xFilter = models_table_filter,
    .xNext = models_table_next,
    .xEof = models_table_eof,
    .xColumn = models_table_column,
    .xRowid = models_table_rowid,
};

int bh_register_models_table(bh_connection *c) {
  return bh_module(c, "binhash_models", &models_table_module);
}

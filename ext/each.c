/*
** img_hash_each: the codes of all pictures that a query gives, on several
** threads.
**
**   SELECT key, code, error FROM img_hash_each('SELECT id, image FROM photos');
**
**   INSERT INTO codes SELECT key, code, error FROM img_hash_each(
**     'SELECT id, image FROM photos WHERE id NOT IN (SELECT id FROM codes)
**      LIMIT 1000');
**
** As SQLite sees it, this is the table (key, code, error, and hidden: sql,
** model, a1 to a8, total, features).  The arguments are equalities on the
** hidden columns, in parentheses or in WHERE; a1 to a8 are bound to ?1 to ?8 of
** the query, and total is how many rows it will give, if the caller knows, for
** the progress.  features is the other way round: a column that is computed
** where the statement reads it, in the same pass as the code.
**
** It runs SQL that is handed to it, so it is DIRECTONLY: a view or a trigger of
** a schema that somebody else wrote cannot call it.  How rows are made is
** each_rows.c; what a query may be, inner.c.
*/
#include <string.h>

#include "each.h"
SQLITE_EXTENSION_INIT3

static const char each_schema[] =
    "CREATE TABLE x(key, code BLOB, error TEXT, sql HIDDEN, model HIDDEN, "
    "a1 HIDDEN, a2 HIDDEN, a3 HIDDEN, a4 HIDDEN, a5 HIDDEN, a6 HIDDEN, "
    "a7 HIDDEN, a8 HIDDEN, total HIDDEN, features HIDDEN)";

enum {   /* the columns */
  EACH_KEY, EACH_CODE, EACH_ERROR, EACH_SQL, EACH_MODEL, EACH_A1,
  EACH_TOTAL = EACH_A1 + BH_EACH_VALUES, EACH_FEATURES
};

/* Those that are arguments, counted from 0. */
#define EACH_ARGUMENTS (EACH_FEATURES - EACH_SQL)
#define EACH_ARGUMENT(column) ((column) - EACH_SQL)

/* Bits of idxNum beside those of the arguments. */
#define EACH_INCOMPLETE (1 << EACH_ARGUMENTS)
#define EACH_READS_FEATURES (2 << EACH_ARGUMENTS)

typedef struct each_table {
  sqlite3_vtab base;
  bh_connection *connection;
} each_table;

typedef struct each_cursor {
  sqlite3_vtab_cursor base;
  sqlite3_value *arguments[EACH_ARGUMENTS];   /* NULL: not given */
  bh_each *each;
  const bh_each_row *row;                     /* NULL: after the last */
  sqlite3_int64 number;
} each_cursor;

static int each_connect(sqlite3 *db, void *aux, int argc,
                        const char *const *argv, sqlite3_vtab **out,
                        char **error) {
  (void)argc, (void)argv, (void)error;
  int rc = sqlite3_declare_vtab(db, each_schema);
  if (rc == SQLITE_OK) rc = sqlite3_vtab_config(db, SQLITE_VTAB_DIRECTONLY);
  if (rc != SQLITE_OK) return rc;
  each_table *table = sqlite3_malloc64(sizeof(*table));
  if (!table) return SQLITE_NOMEM;
  memset(table, 0, sizeof(*table));
  table->connection = aux;
  *out = &table->base;
  return SQLITE_OK;
}

static int each_disconnect(sqlite3_vtab *table) {
  sqlite3_free(table);
  return SQLITE_OK;
}

/*
** idxNum has bit i when argument i is given, and says whether features are
** read; the arguments of xFilter are those given, in order.  A plan in which an
** argument exists but has no value yet is refused; one without the query, which
** an outer join may leave, is accepted only to fail in xFilter with the form to
** use.  The cost keeps it out of the inner loop of a join.
*/
static int each_best_index(sqlite3_vtab *table, sqlite3_index_info *info) {
  int given[EACH_ARGUMENTS];
  int argv = 0, waiting = 0;
  (void)table;
  for (int i = 0; i < EACH_ARGUMENTS; i++) given[i] = -1;
  for (int i = 0; i < info->nConstraint; i++) {
    const struct sqlite3_index_constraint *c = &info->aConstraint[i];
    int argument = EACH_ARGUMENT(c->iColumn);
    if (c->op != SQLITE_INDEX_CONSTRAINT_EQ || argument < 0 ||
        argument >= EACH_ARGUMENTS)
      continue;
    if (!c->usable) waiting |= 1 << argument;
    else if (given[argument] < 0) given[argument] = i;
  }
  for (int i = 0; i < EACH_ARGUMENTS; i++) {
    if (given[i] >= 0) {
      info->aConstraintUsage[given[i]].argvIndex = ++argv;
      info->aConstraintUsage[given[i]].omit = 1;
      info->idxNum |= 1 << i;
    } else if (waiting & 1 << i) {
      return SQLITE_CONSTRAINT;
    }
  }
  if (given[EACH_ARGUMENT(EACH_SQL)] < 0) info->idxNum |= EACH_INCOMPLETE;
  if (info->colUsed >> EACH_FEATURES & 1) info->idxNum |= EACH_READS_FEATURES;
  info->estimatedCost = info->idxNum & EACH_INCOMPLETE ? 1e30 : 1e9;
  info->estimatedRows = 1000;
  return SQLITE_OK;
}

static int each_open(sqlite3_vtab *table, sqlite3_vtab_cursor **out) {
  (void)table;
  each_cursor *cursor = sqlite3_malloc64(sizeof(*cursor));
  if (!cursor) return SQLITE_NOMEM;
  memset(cursor, 0, sizeof(*cursor));
  *out = &cursor->base;
  return SQLITE_OK;
}

static void each_clear(each_cursor *cursor) {
  bh_each_close(cursor->each);
  cursor->each = NULL;
  cursor->row = NULL;
  cursor->number = 0;
  for (int i = 0; i < EACH_ARGUMENTS; i++) {
    sqlite3_value_free(cursor->arguments[i]);
    cursor->arguments[i] = NULL;
  }
}

static int each_close(sqlite3_vtab_cursor *base) {
  each_clear((each_cursor *)base);
  sqlite3_free(base);
  return SQLITE_OK;
}

/* An error ends the threads at once: the statement may be kept for long before
** it is reset. */
static int each_next(sqlite3_vtab_cursor *base) {
  each_cursor *cursor = (each_cursor *)base;
  int rc = bh_each_next(cursor->each, &cursor->row);
  cursor->number++;
  if (rc != SQLITE_OK || !cursor->row) {
    bh_each_close(cursor->each);
    cursor->each = NULL;
  }
  return rc;
}

static int each_total(each_cursor *cursor, sqlite3_int64 *total) {
  sqlite3_value *value = cursor->arguments[EACH_ARGUMENT(EACH_TOTAL)];
  *total = -1;
  if (!value || sqlite3_value_type(value) == SQLITE_NULL) return SQLITE_OK;
  *total = sqlite3_value_int64(value);
  if (sqlite3_value_type(value) == SQLITE_INTEGER && *total >= 0)
    return SQLITE_OK;
  return bh_table_error(cursor->base.pVtab, "img_hash_each: argument total "
                        "must be an INTEGER of at least 0");
}

static int each_filter(sqlite3_vtab_cursor *base, int idx_num,
                       const char *idx_str, int argc, sqlite3_value **argv) {
  each_cursor *cursor = (each_cursor *)base;
  sqlite3_value **arguments = cursor->arguments;
  bh_each_options options = {
      .values = &arguments[EACH_ARGUMENT(EACH_A1)],
      .features = (idx_num & EACH_READS_FEATURES) != 0};
  (void)idx_str, (void)argc;
  each_clear(cursor);
  if (idx_num & EACH_INCOMPLETE)
    return bh_table_error(base->pVtab, "img_hash_each: wants a query in FROM, "
                          "img_hash_each('SELECT id, image FROM photos'), or "
                          "sql = '...' in WHERE, which an outer join may keep "
                          "from it");
  for (int i = 0; i < EACH_ARGUMENTS; i++) {
    if (!(idx_num & 1 << i)) continue;
    arguments[i] = sqlite3_value_dup(*argv++);
    if (!arguments[i]) return SQLITE_NOMEM;
  }
  options.sql = arguments[EACH_ARGUMENT(EACH_SQL)];
  if (sqlite3_value_type(options.sql) == SQLITE_NULL) return SQLITE_OK;
  int rc = bh_table_name(base->pVtab, "img_hash_each",
                         arguments[EACH_ARGUMENT(EACH_MODEL)], "model", 1,
                         &options.model);
  if (rc == SQLITE_OK) rc = each_total(cursor, &options.total);
  if (rc == SQLITE_OK)
    rc = bh_each_open(base->pVtab,
                      ((each_table *)base->pVtab)->connection, &options,
                      &cursor->each);
  return rc == SQLITE_OK ? each_next(base) : rc;
}

static int each_eof(sqlite3_vtab_cursor *base) {
  return !((each_cursor *)base)->row;
}

static int each_rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *rowid) {
  *rowid = ((each_cursor *)base)->number;
  return SQLITE_OK;
}

static int each_column(sqlite3_vtab_cursor *base, sqlite3_context *context,
                       int column) {
  each_cursor *cursor = (each_cursor *)base;
  const bh_each_row *row = cursor->row;
  if (column == EACH_KEY) {
    sqlite3_result_value(context, row->key);
  } else if (column == EACH_CODE) {
    sqlite3_result_blob(context, row->code, row->code_bytes, SQLITE_TRANSIENT);
  } else if (column == EACH_ERROR) {
    sqlite3_result_text(context, row->error, -1, SQLITE_TRANSIENT);
  } else if (column == EACH_FEATURES) {
    sqlite3_result_blob64(context, row->features,
                          (sqlite3_uint64)row->feature_bytes,
                          SQLITE_TRANSIENT);
  } else if (cursor->arguments[EACH_ARGUMENT(column)]) {
    sqlite3_result_value(context, cursor->arguments[EACH_ARGUMENT(column)]);
  }
  return SQLITE_OK;
}

static const sqlite3_module each_module = {
    .iVersion = 0,
    .xConnect = each_connect,
    .xBestIndex = each_best_index,
    .xDisconnect = each_disconnect,
    .xOpen = each_open,
    .xClose = each_close,
    .xFilter = each_filter,
    .xNext = each_next,
    .xEof = each_eof,
    .xColumn = each_column,
    .xRowid = each_rowid,
};

int bh_register_each(bh_connection *c) {
  return bh_module(c, "img_hash_each", &each_module);
}

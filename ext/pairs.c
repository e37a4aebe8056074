/*
** binhash_pairs: all pairs of rows of a table whose codes are within a distance
** of each other.
**
**   SELECT rowid_a, rowid_b, distance FROM binhash_pairs('photos', 'code', 4);
**
** As SQLite sees it, this is the table
**
**   (rowid_a, rowid_b, distance,
**    and hidden: table_name, column_name, max_distance, schema)
**
** where the arguments of the function are equalities on the hidden columns, in
** that order; they may be given in WHERE as well.  An upper bound of the
** distance in WHERE lowers max_distance.
**
** One scan of the named table (scan.c) happens in xFilter and keeps rowids and
** codes; then xNext hands out pair after pair as nn's pairs.c finds them, so a
** LIMIT above ends the search, and the number of pairs costs no memory.  A pair
** is told by its rowids, so the source must have them; a view will do that has
** a column called rowid.
**
** How arguments get here, and plans without them, is arguments.c.
*/
#include <string.h>

#include "arguments.h"
#include "scan.h"
SQLITE_EXTENSION_INIT3

#define PAIRS_NAME "binhash_pairs"

enum {   /* the columns */
  PAIRS_A, PAIRS_B, PAIRS_DISTANCE, PAIRS_TABLE, PAIRS_COLUMN,
  PAIRS_MAX_DISTANCE, PAIRS_SCHEMA
};

/* Those that are the function's arguments, counted from 0. */
#define PAIRS_ARGUMENTS 4
#define PAIRS_REQUIRED 3
#define PAIRS_ARGUMENT(column) ((column) - PAIRS_TABLE)

/* idxStr has a letter for each argument of xFilter: one of these, or one for a
** bound of the distance (constraints.c). */
static const char pairs_letters[] = "tcms";

#define PAIRS_INCOMPLETE 1   /* idxNum: there is no table, column or distance */

typedef struct pairs_table {
  sqlite3_vtab base;
  bh_connection *connection;
  int depth;   /* scans that are running now, one inside the other */
} pairs_table;

typedef struct pairs_cursor {
  sqlite3_vtab_cursor base;
  nn_pairs *pairs;           /* NULL: no row had a code */
  int64_t a, b;
  int distance;              /* -1 at the end */
  sqlite3_int64 returned;
  /* What xFilter was told. */
  sqlite3_value *arguments[PAIRS_ARGUMENTS];   /* NULL: not given */
  bh_bounds bounds;
} pairs_cursor;

static int pairs_connect(sqlite3 *db, void *aux, int argc,
                         const char *const *argv, sqlite3_vtab **out,
                         char **error) {
  (void)argc, (void)argv, (void)error;
  int rc = sqlite3_declare_vtab(
      db, "CREATE TABLE x(rowid_a INTEGER, rowid_b INTEGER, distance INTEGER, "
      "table_name HIDDEN, column_name HIDDEN, max_distance HIDDEN, "
      "schema HIDDEN)");
  if (rc != SQLITE_OK) return rc;
  pairs_table *table = sqlite3_malloc64(sizeof(*table));
  if (!table) return SQLITE_NOMEM;
  memset(table, 0, sizeof(*table));
  table->connection = aux;
  *out = &table->base;
  return SQLITE_OK;
}

static int pairs_disconnect(sqlite3_vtab *table) {
  sqlite3_free(table);
  return SQLITE_OK;
}

static int pairs_open(sqlite3_vtab *table, sqlite3_vtab_cursor **out) {
  (void)table;
  pairs_cursor *cursor = sqlite3_malloc64(sizeof(*cursor));
  if (!cursor) return SQLITE_NOMEM;
  memset(cursor, 0, sizeof(*cursor));
  *out = &cursor->base;
  return SQLITE_OK;
}

static void pairs_clear(pairs_cursor *cursor) {
  nn_pairs_close(cursor->pairs);
  cursor->pairs = NULL;
  bh_arguments_clear(cursor->arguments, PAIRS_ARGUMENTS);
  cursor->distance = -1;
  cursor->returned = 0;
  cursor->bounds = (bh_bounds){0, 8 * NN_CODE_MAX, 0};
}

static int pairs_close(sqlite3_vtab_cursor *base) {
  pairs_clear((pairs_cursor *)base);
  sqlite3_free(base);
  return SQLITE_OK;
}

/* Planning ----------------------------------------------------------------- */

/* The table behind is not known here: the cost is more than that of whatever
** this is joined with, so that it comes first, once. */
static int pairs_best_index(sqlite3_vtab *table, sqlite3_index_info *info) {
  (void)table;
  bh_plan plan = {.info = info, .letters = pairs_letters, .first = PAIRS_TABLE};
  int rc = bh_plan_begin(&plan, NULL);
  if (rc != SQLITE_OK) return rc;
  for (int i = 0; i < info->nConstraint; i++) {
    const struct sqlite3_index_constraint *c = &info->aConstraint[i];
    char letter = bh_bound_letter(c->op);
    if (!c->usable || c->iColumn != PAIRS_DISTANCE || !letter) continue;
    /* IN arrives value by value, and would repeat the search for each. */
    if (letter == '=' && sqlite3_vtab_in(info, i, -1)) continue;
    bh_plan_use(&plan, i, letter, 0);
  }
  info->estimatedCost = 10000000;
  info->estimatedRows = 1000;
  for (int i = 0; i < PAIRS_REQUIRED; i++)
    if (plan.arguments[i] < 0) {
      info->idxNum = PAIRS_INCOMPLETE;
      info->estimatedCost = 1e30;
    }
  return SQLITE_OK;
}

/* Filtering ---------------------------------------------------------------- */

static int pairs_take(pairs_cursor *cursor, const char *letters,
                      sqlite3_value **argv) {
  for (int i = 0; letters[i]; i++) {
    int rc = bh_argument_take(cursor->arguments, pairs_letters, letters[i],
                              argv[i]);
    if (rc == SQLITE_NOTFOUND)
      bh_bounds_take(&cursor->bounds, letters[i], argv[i]);
    else if (rc != SQLITE_OK)
      return rc;
  }
  return SQLITE_OK;
}

/* The text of an argument that is a name, NULL where none is given. */
static int pairs_name(pairs_cursor *cursor, int column, const char *name,
                      const char **out) {
  return bh_table_name(cursor->base.pVtab, PAIRS_NAME,
                       cursor->arguments[PAIRS_ARGUMENT(column)], name, 1, out);
}

static int pairs_source(pairs_cursor *cursor, bh_source *source) {
  memset(source, 0, sizeof(*source));
  source->rowid_column = 1;
  int rc = pairs_name(cursor, PAIRS_TABLE, "table", &source->table);
  if (rc == SQLITE_OK)
    rc = pairs_name(cursor, PAIRS_COLUMN, "column", &source->column);
  if (rc == SQLITE_OK)
    rc = pairs_name(cursor, PAIRS_SCHEMA, "schema", &source->schema);
  return rc;
}

/* max_distance, lowered by WHERE. */
static int pairs_check_distance(pairs_cursor *cursor) {
  sqlite3_value *value =
      cursor->arguments[PAIRS_ARGUMENT(PAIRS_MAX_DISTANCE)];
  sqlite3_int64 distance = sqlite3_value_int64(value);
  if (sqlite3_value_type(value) != SQLITE_INTEGER || distance < 0)
    return bh_table_error(cursor->base.pVtab, PAIRS_NAME
                          ": argument max_distance must be an integer, 0 or "
                          "more");
  bh_bounds_take(&cursor->bounds, '(', value);
  return SQLITE_OK;
}

/* The first code says how long codes are. */
static nn_status pairs_add(void *context, const bh_scanned *row,
                           nn_error *err) {
  pairs_cursor *cursor = context;
  if (!cursor->pairs) {
    nn_status status = nn_pairs_open(&bh_memory, (size_t)row->bytes,
                                     (int)cursor->bounds.max, &cursor->pairs,
                                     err);
    if (status != NN_OK) return status;
  }
  return nn_pairs_add(cursor->pairs, row->rowid, row->code, err);
}

/* One scan into a fresh nn_pairs. */
static int pairs_scan(void *context, bh_scan *scan) {
  pairs_cursor *cursor = context;
  char *error = NULL;
  bh_target target = {.add = pairs_add, .into = cursor,
                      .model = "the first one", .bytes = -1};
  nn_pairs_close(cursor->pairs);
  cursor->pairs = NULL;
  if (!bh_scan_has_rowids(scan))
    return bh_table_error(
        cursor->base.pVtab, PAIRS_NAME ": %s has no rowids to tell its rows by "
        "(argument table); a view needs a column called rowid",
        sqlite3_value_text(cursor->arguments[PAIRS_ARGUMENT(PAIRS_TABLE)]));
  int rc = bh_scan_run(scan, &target, &error);
  return bh_table_report(cursor->base.pVtab, PAIRS_NAME, rc, error);
}

/* Everything of the search that reads the table. */
static int pairs_search(pairs_cursor *cursor) {
  pairs_table *table = (pairs_table *)cursor->base.pVtab;
  bh_searcher searcher = {&table->base, table->connection, PAIRS_NAME,
                          &table->depth, pairs_scan, cursor};
  bh_source source;
  bh_scan *scan = NULL;
  int rc = pairs_source(cursor, &source);
  if (rc == SQLITE_OK) rc = bh_scan_search(&searcher, &source, &scan);
  bh_scan_close(scan);
  return rc;
}

static int pairs_next(sqlite3_vtab_cursor *base) {
  pairs_cursor *cursor = (pairs_cursor *)base;
  bh_connection *connection = ((pairs_table *)base->pVtab)->connection;
  nn_error err;
  do {
    if (nn_pairs_next(cursor->pairs, bh_poll, connection, &cursor->a,
                      &cursor->b, &cursor->distance, &err) != NN_OK) {
      cursor->distance = -1;
      return bh_table_nn_error(base->pVtab, PAIRS_NAME, &err);
    }
  } while (cursor->distance >= 0 && cursor->distance < cursor->bounds.min);
  cursor->returned++;
  return SQLITE_OK;
}

static int pairs_filter(sqlite3_vtab_cursor *base, int idx_num,
                        const char *idx_str, int argc, sqlite3_value **argv) {
  pairs_cursor *cursor = (pairs_cursor *)base;
  (void)argc;
  pairs_clear(cursor);
  if (idx_num & PAIRS_INCOMPLETE)
    return bh_table_error(base->pVtab, PAIRS_NAME ": wants a table, a column "
                          "and a distance: " PAIRS_NAME "('photos', 'code', 4) "
                          "in FROM, or max_distance = 4 in WHERE, which an "
                          "outer join may keep from it");
  int rc = pairs_take(cursor, idx_str, argv);
  if (rc != SQLITE_OK) return rc;
  for (int i = 0; i < PAIRS_REQUIRED; i++)
    if (sqlite3_value_type(cursor->arguments[i]) == SQLITE_NULL)
      return SQLITE_OK;
  rc = pairs_check_distance(cursor);
  if (rc != SQLITE_OK || cursor->bounds.empty) return rc;
  rc = pairs_search(cursor);
  return rc == SQLITE_OK && cursor->pairs ? pairs_next(base) : rc;
}

/* Rows --------------------------------------------------------------------- */

static int pairs_eof(sqlite3_vtab_cursor *base) {
  return ((pairs_cursor *)base)->distance < 0;
}

static int pairs_column(sqlite3_vtab_cursor *base, sqlite3_context *context,
                        int column) {
  pairs_cursor *cursor = (pairs_cursor *)base;
  switch (column) {
    case PAIRS_A:
      sqlite3_result_int64(context, cursor->a);
      break;
    case PAIRS_B:
      sqlite3_result_int64(context, cursor->b);
      break;
    case PAIRS_DISTANCE:
      sqlite3_result_int(context, cursor->distance);
      break;
    default:
      if (cursor->arguments[PAIRS_ARGUMENT(column)])
        sqlite3_result_value(context,
                             cursor->arguments[PAIRS_ARGUMENT(column)]);
  }
  return SQLITE_OK;
}

static int pairs_rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *rowid) {
  *rowid = ((pairs_cursor *)base)->returned;
  return SQLITE_OK;
}

/* No xCreate: the table exists by its name alone. */
static const sqlite3_module pairs_module = {
    .iVersion = 0,
    .xConnect = pairs_connect,
    .xBestIndex = pairs_best_index,
    .xDisconnect = pairs_disconnect,
    .xOpen = pairs_open,
    .xClose = pairs_close,
    .xFilter = pairs_filter,
    .xNext = pairs_next,
    .xEof = pairs_eof,
    .xColumn = pairs_column,
    .xRowid = pairs_rowid,
};

int bh_register_pairs(bh_connection *connection) {
  return bh_module(connection, PAIRS_NAME, &pairs_module);
}

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
** A plan in which an argument exists but has no value yet is refused, so that
** SQLite looks for another order of the join; one without arguments, which an
** outer join may leave, is accepted only to fail in xFilter with a message.
*/
#include <string.h>

#include "ext_int.h"
SQLITE_EXTENSION_INIT3

#define PAIRS_NAME "binhash_pairs"

/* Views of pairs of views would use up the C stack. */
#define PAIRS_DEPTH_MAX 16

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
  for (int i = 0; i < PAIRS_ARGUMENTS; i++) {
    sqlite3_value_free(cursor->arguments[i]);
    cursor->arguments[i] = NULL;
  }
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

static void pairs_use(sqlite3_index_info *info, int *argv, int constraint,
                      char letter, int omit) {
  info->aConstraintUsage[constraint].argvIndex = *argv + 1;
  info->aConstraintUsage[constraint].omit = (unsigned char)omit;
  info->idxStr[(*argv)++] = letter;
}

/* Find the arguments.  One that exists but cannot be used in this plan makes
** the plan unusable. */
static int pairs_find(const sqlite3_index_info *info,
                      int arguments[PAIRS_ARGUMENTS]) {
  unsigned waiting = 0;
  for (int i = 0; i < PAIRS_ARGUMENTS; i++) arguments[i] = -1;
  for (int i = 0; i < info->nConstraint; i++) {
    const struct sqlite3_index_constraint *c = &info->aConstraint[i];
    int argument = PAIRS_ARGUMENT(c->iColumn);
    if (c->op != SQLITE_INDEX_CONSTRAINT_EQ || argument < 0) continue;
    if (!c->usable) waiting |= 1u << argument;
    else if (arguments[argument] < 0) arguments[argument] = i;
  }
  for (int i = 0; i < PAIRS_ARGUMENTS; i++)
    if (arguments[i] < 0 && (waiting & 1u << i)) return SQLITE_CONSTRAINT;
  return SQLITE_OK;
}

/* The table behind is not known here: the cost is more than that of whatever
** this is joined with, so that it comes first, once. */
static int pairs_best_index(sqlite3_vtab *table, sqlite3_index_info *info) {
  (void)table;
  int arguments[PAIRS_ARGUMENTS], argv = 0;
  int rc = pairs_find(info, arguments);
  if (rc != SQLITE_OK) return rc;
  info->idxStr = sqlite3_malloc64((sqlite3_uint64)info->nConstraint + 1);
  if (!info->idxStr) return SQLITE_NOMEM;
  info->needToFreeIdxStr = 1;
  for (int i = 0; i < PAIRS_ARGUMENTS; i++)
    if (arguments[i] >= 0)
      pairs_use(info, &argv, arguments[i], pairs_letters[i], 1);
  for (int i = 0; i < info->nConstraint; i++) {
    const struct sqlite3_index_constraint *c = &info->aConstraint[i];
    char letter = bh_bound_letter(c->op);
    if (!c->usable || c->iColumn != PAIRS_DISTANCE || !letter) continue;
    /* IN arrives value by value, and would repeat the search for each. */
    if (letter == '=' && sqlite3_vtab_in(info, i, -1)) continue;
    pairs_use(info, &argv, i, letter, 0);
  }
  info->idxStr[argv] = 0;
  info->estimatedCost = 10000000;
  info->estimatedRows = 1000;
  for (int i = 0; i < PAIRS_REQUIRED; i++)
    if (arguments[i] < 0) {
      info->idxNum = PAIRS_INCOMPLETE;
      info->estimatedCost = 1e30;
    }
  return SQLITE_OK;
}

/* Filtering ---------------------------------------------------------------- */

static int pairs_take(pairs_cursor *cursor, const char *letters,
                      sqlite3_value **argv) {
  for (int i = 0; letters[i]; i++) {
    const char *argument = strchr(pairs_letters, letters[i]);
    if (!argument) {
      bh_bounds_take(&cursor->bounds, letters[i], argv[i]);
      continue;
    }
    sqlite3_value **slot = &cursor->arguments[argument - pairs_letters];
    *slot = sqlite3_value_dup(argv[i]);
    if (!*slot) return SQLITE_NOMEM;
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

static int pairs_report(pairs_cursor *cursor, int rc, char *error) {
  return bh_table_report(cursor->base.pVtab, PAIRS_NAME, rc, error);
}

/* One scan into a fresh nn_pairs. */
static int pairs_scan(pairs_cursor *cursor, bh_scan *scan,
                      const bh_source *source) {
  char *error = NULL;
  bh_target target;
  memset(&target, 0, sizeof(target));
  target.add = pairs_add;
  target.into = cursor;
  target.model = "the first one";
  target.bytes = -1;
  nn_pairs_close(cursor->pairs);
  cursor->pairs = NULL;
  if (!bh_scan_has_rowids(scan))
    return bh_table_error(cursor->base.pVtab, PAIRS_NAME ": %s has no rowids "
                          "to tell its rows by (argument table); a view needs "
                          "a column called rowid", source->table);
  int rc = bh_scan_run(scan, &target, &error);
  return pairs_report(cursor, rc, error);
}

/* Everything of the search that reads the table.  A scan that meets a schema
** which has changed since it was opened is done again. */
static int pairs_search(pairs_cursor *cursor) {
  pairs_table *table = (pairs_table *)cursor->base.pVtab;
  bh_source source;
  int rc = pairs_source(cursor, &source), again = rc == SQLITE_OK;
  for (int attempt = 0; again && attempt < 4; attempt++) {
    bh_scan *scan = NULL;
    char *error = NULL;
    rc = bh_scan_open(table->connection, &source, &scan, &error);
    rc = pairs_report(cursor, rc, error);
    if (rc == SQLITE_OK) rc = pairs_scan(cursor, scan, &source);
    again = scan && bh_scan_is_stale(scan) &&
            (rc == SQLITE_OK || rc == SQLITE_ERROR);
    bh_scan_close(scan);
  }
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
  pairs_table *table = (pairs_table *)base->pVtab;
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
  if (table->depth >= PAIRS_DEPTH_MAX)
    return bh_table_error(base->pVtab, PAIRS_NAME ": searches are nested more "
                          "than %d deep", PAIRS_DEPTH_MAX);
  table->depth++;
  rc = pairs_search(cursor);
  table->depth--;
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

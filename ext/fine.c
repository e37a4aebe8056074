/*
** binhash_search: from coarse to fine.  The rows with the nearest codes, in the
** order of the distance of their features.
**
**   SELECT rowid, distance, hamming
**   FROM binhash_search('photos', 'code', 'features',
**                       img_hash(?1), img_features(?1), 10);
**
** As SQLite sees it, this is the table
**
**   (rowid, distance, hamming, key,
**    and hidden: table_name, code_column, feature_column, code, features, k,
**    pool, schema, key_column)
**
** where the nine arguments of the function are equalities on the hidden
** columns, in that order; they may be given in WHERE as well.
**
** The search is that of Lin, Yang, Hsiao and Chen (CVPR workshops 2015, section
** 3.3).  The coarse stage scans the codes (scan.c) and leaves a pool: the
** `pool` nearest, by Hamming distance and then rowid, or all within a radius
** where WHERE says hamming <= r.  The fine stage reads the features of the pool
** alone and ranks it by their Euclidean distance.  Both stages happen in
** xFilter, so the rows are those of one moment; then xNext hands them out in
** (distance, rowid) order (nn's pool.c).
**
** Memory is that of the pool, features never being held.  Those of an ordinary
** table are looked up, in the order of rowids, once the pool is known; those of
** a view, a WITHOUT ROWID or a virtual table come with the scan, and the
** distance of a row is computed when it enters the pool, from which it may fall
** out again.
**
** k, where it is given, is the number of rows of the result, before WHERE
** chooses among them; LIMIT needs none.  A row without a code is not searched;
** one without features has its place in the pool but no distance, and does not
** come out.
**
** What it is not: exact with respect to features.  A row whose code is far away
** is not found, however near its features are.
*/
#include <math.h>
#include <string.h>

#include "features.h"
#include "arguments.h"
#include "scan.h"
#include "fine.h"
SQLITE_EXTENSION_INIT3

#define FINE_NAME "binhash_search"

typedef struct fine_table {
  sqlite3_vtab base;
  bh_connection *connection;
  int depth;   /* searches that are scanning now, one inside the other */
} fine_table;

typedef struct fine_cursor {
  sqlite3_vtab_cursor base;
  bh_scan *scan;             /* kept from one xFilter to the next, since a */
                             /* join asks the same table again and again */
  nn_pool *pool;             /* the held of its rows are keys */
  nn_pool_row row;
  int eof;
  sqlite3_int64 left;        /* rows that k still allows */
  /* What xFilter was told. */
  sqlite3_value *arguments[BH_FINE_ARGUMENTS];   /* NULL: not given */
  int empty;                 /* a NULL was compared with: no row can match */
  int has_radius;
  bh_bounds hamming;
  sqlite3_int64 bound;       /* rows of the pool; 0: all within the radius */
  int reads_key;
  nn_features features;      /* of the query; they point into arguments */
} fine_cursor;

static int fine_connect(sqlite3 *db, void *aux, int argc,
                        const char *const *argv, sqlite3_vtab **out,
                        char **error) {
  (void)argc, (void)argv, (void)error;
  int rc = sqlite3_declare_vtab(db, bh_fine_schema);
  if (rc != SQLITE_OK) return rc;
  fine_table *table = sqlite3_malloc64(sizeof(*table));
  if (!table) return SQLITE_NOMEM;
  memset(table, 0, sizeof(*table));
  table->connection = aux;
  *out = &table->base;
  return SQLITE_OK;
}

static int fine_disconnect(sqlite3_vtab *table) {
  sqlite3_free(table);
  return SQLITE_OK;
}

static int fine_open(sqlite3_vtab *table, sqlite3_vtab_cursor **out) {
  (void)table;
  fine_cursor *cursor = sqlite3_malloc64(sizeof(*cursor));
  if (!cursor) return SQLITE_NOMEM;
  memset(cursor, 0, sizeof(*cursor));
  *out = &cursor->base;
  return SQLITE_OK;
}

static void fine_drop_pool(fine_cursor *cursor) {
  size_t count = cursor->pool ? nn_pool_count(cursor->pool) : 0;
  for (size_t i = 0; i < count; i++)
    sqlite3_value_free(nn_pool_at(cursor->pool, i)->held);
  nn_pool_close(cursor->pool);
  cursor->pool = NULL;
}

/* Forget one search, but not the prepared scan. */
static void fine_clear(fine_cursor *cursor) {
  fine_drop_pool(cursor);
  sqlite3_value_free(cursor->row.held);
  memset(&cursor->row, 0, sizeof(cursor->row));
  bh_arguments_clear(cursor->arguments, BH_FINE_ARGUMENTS);
  cursor->eof = 1;
  cursor->left = INT64_MAX;
  cursor->empty = cursor->has_radius = 0;
  cursor->hamming = (bh_bounds){0, 8 * NN_CODE_MAX, 0};
  cursor->bound = 0;
}

static int fine_close(sqlite3_vtab_cursor *base) {
  fine_cursor *cursor = (fine_cursor *)base;
  fine_clear(cursor);
  bh_scan_close(cursor->scan);
  sqlite3_free(cursor);
  return SQLITE_OK;
}

/* Filtering: what was asked ------------------------------------------------ */

static sqlite3_value *fine_argument(const fine_cursor *cursor,
                                    int column) {
  return cursor->arguments[BH_FINE_ARGUMENT(column)];
}

/* An upper bound of the Hamming distance.  It says what is searched, so a value
** that SQLite might compare in some other way cannot be left to it. */
static int fine_take_radius(fine_cursor *cursor, char letter,
                            sqlite3_value *value) {
  int type = sqlite3_value_type(value);
  cursor->has_radius = 1;
  if (type == SQLITE_TEXT || type == SQLITE_BLOB)
    return bh_table_error(cursor->base.pVtab, FINE_NAME
                          ": hamming is compared with %s; a radius must be a "
                          "number", bh_type_name(type));
  if (type != SQLITE_FLOAT) {
    bh_bounds_take(&cursor->hamming, letter, value);
    return SQLITE_OK;
  }
  double real = sqlite3_value_double(value);
  double most = letter == '<' ? ceil(real) - 1 : floor(real);
  if (most < 0) cursor->empty = 1;
  else if (most < (double)cursor->hamming.max)
    cursor->hamming.max = (sqlite3_int64)most;
  return SQLITE_OK;
}

/* Read the arguments of xFilter by their letters. */
static int fine_take(fine_cursor *cursor, const char *letters,
                     sqlite3_value **argv) {
  for (int i = 0; letters[i]; i++) {
    int rc = bh_argument_take(cursor->arguments, bh_fine_letters, letters[i],
                              argv[i]);
    if (rc == SQLITE_NOTFOUND)
      rc = fine_take_radius(cursor, letters[i], argv[i]);
    if (rc != SQLITE_OK) return rc;
  }
  for (int i = 0; i < BH_FINE_REQUIRED; i++)
    if (sqlite3_value_type(cursor->arguments[i]) == SQLITE_NULL)
      cursor->empty = 1;
  return SQLITE_OK;
}

/* An argument that is a number of rows; *out stays where there is none. */
static int fine_number(fine_cursor *cursor, int column, const char *name,
                       sqlite3_int64 *out) {
  sqlite3_value *value = fine_argument(cursor, column);
  if (!value || sqlite3_value_type(value) == SQLITE_NULL) return SQLITE_OK;
  if (sqlite3_value_type(value) != SQLITE_INTEGER ||
      sqlite3_value_int64(value) < 0)
    return bh_table_error(cursor->base.pVtab, FINE_NAME
                          ": argument %s must be an integer, 0 or more, or "
                          "NULL", name);
  *out = sqlite3_value_int64(value);
  if (*out == 0) cursor->empty = 1;
  return SQLITE_OK;
}

/* k, the pool, and the features of the query. */
static int fine_check(fine_cursor *cursor) {
  char *problem = NULL;
  cursor->bound = cursor->has_radius ? 0 : BH_FINE_POOL_DEFAULT;
  int rc = fine_number(cursor, BH_FINE_K, "k", &cursor->left);
  if (rc == SQLITE_OK)
    rc = fine_number(cursor, BH_FINE_POOL, "pool", &cursor->bound);
  if (rc != SQLITE_OK || cursor->empty || cursor->hamming.empty) return rc;
  rc = bh_features(fine_argument(cursor, BH_FINE_FEATURES),
                   &cursor->features, &problem);
  if (rc == SQLITE_MISMATCH)
    rc = bh_table_error(cursor->base.pVtab, FINE_NAME
                        ": argument features is %s", problem);
  sqlite3_free(problem);
  /* Of finite numbers this is 0. */
  if (rc == SQLITE_OK &&
      isnan(nn_features_euclidean(&cursor->features, &cursor->features)))
    rc = bh_table_error(cursor->base.pVtab, FINE_NAME ": argument features has "
                        "a value that is NaN or infinite");
  return rc;
}

static int fine_name(fine_cursor *cursor, int column, const char *name,
                     int optional, const char **out) {
  return bh_table_name(cursor->base.pVtab, FINE_NAME,
                       fine_argument(cursor, column), name, optional, out);
}

static int fine_source(fine_cursor *cursor, bh_source *source) {
  const struct {
    int column, optional;
    const char *name, **out;
  } names[] = {
      {BH_FINE_TABLE, 0, "table", &source->table},
      {BH_FINE_CODE_COLUMN, 0, "code_column", &source->column},
      {BH_FINE_FEATURE_COLUMN, 0, "feature_column", &source->features},
      {BH_FINE_SCHEMA, 1, "schema", &source->schema},
      {BH_FINE_KEY_COLUMN, 1, "key_column", &source->key},
  };
  int rc = SQLITE_OK;
  memset(source, 0, sizeof(*source));
  for (size_t i = 0; rc == SQLITE_OK && i < sizeof(names) / sizeof(*names); i++)
    rc = fine_name(cursor, names[i].column, names[i].name, names[i].optional,
                   names[i].out);
  return rc;
}

/* Filtering: features ------------------------------------------------------ */

/* "the features at rowid 7 ..." as nn's error.  what is freed; without it there
** was no memory for it. */
static nn_status fine_refuse(const bh_scanned *at, char *what, nn_error *err) {
  char *row = bh_scan_row_name(at->numbered, at->rowid, at->key);
  err->status = row && what ? NN_ARGUMENT : NN_NOMEM;
  if (row && what)
    sqlite3_snprintf(sizeof(err->text), err->text, "the features at %s %s", row,
                     what);
  sqlite3_free(row);
  sqlite3_free(what);
  return err->status;
}

/* The distance of a row, -1 where it has no features. */
static nn_status fine_measure(const fine_cursor *cursor, const bh_scanned *at,
                              double *distance, nn_error *err) {
  nn_features features;
  char *problem = NULL;
  *distance = -1;
  if (sqlite3_value_type(at->features) == SQLITE_NULL) return NN_OK;
  int rc = bh_features(at->features, &features, &problem);
  if (rc == SQLITE_NOMEM) return err->status = NN_NOMEM;
  if (rc != SQLITE_OK)
    return fine_refuse(at, sqlite3_mprintf("are %z", problem), err);
  if (features.n != cursor->features.n)
    return fine_refuse(at, sqlite3_mprintf("have %lld value%s, the query has "
                                           "%lld", (sqlite3_int64)features.n,
                                           features.n == 1 ? "" : "s",
                                           (sqlite3_int64)cursor->features.n),
                       err);
  *distance = nn_features_euclidean(&cursor->features, &features);
  return isnan(*distance)
             ? fine_refuse(at, sqlite3_mprintf("have a NaN among them"), err)
             : NN_OK;
}

/* Keep the key of a row, where it is asked for. */
static nn_status fine_keep(const fine_cursor *cursor, sqlite3_value *key,
                           nn_pool_row *row, nn_error *err) {
  if (!cursor->reads_key || !key || row->distance < 0) return NN_OK;
  row->held = sqlite3_value_dup(key);
  return row->held ? NN_OK : (err->status = NN_NOMEM);
}

/* Filtering: the two stages ------------------------------------------------ */

static nn_status fine_put(fine_cursor *cursor, nn_pool_row *row,
                          nn_error *err) {
  nn_pool_row fallen;
  nn_status status = nn_pool_put(cursor->pool, row, &fallen, err);
  sqlite3_value_free(status == NN_OK ? fallen.held : row->held);
  return status;
}

/* A row of the scan whose features are looked up later. */
static nn_status fine_add(void *context, const bh_scanned *at, nn_error *err) {
  fine_cursor *cursor = context;
  nn_pool_row row = {.rowid = at->rowid, .distance = -1};
  row.hamming = nn_pool_wants(cursor->pool, at->rowid, at->code);
  return row.hamming < 0 ? NN_OK : fine_put(cursor, &row, err);
}

/* A row of the scan that brings its features. */
static nn_status fine_add_measured(void *context, const bh_scanned *at,
                                   nn_error *err) {
  fine_cursor *cursor = context;
  nn_pool_row row = {.rowid = at->rowid};
  row.hamming = nn_pool_wants(cursor->pool, at->rowid, at->code);
  if (row.hamming < 0) return NN_OK;
  nn_status status = fine_measure(cursor, at, &row.distance, err);
  if (status == NN_OK) status = fine_keep(cursor, at->key, &row, err);
  return status == NN_OK ? fine_put(cursor, &row, err) : status;
}

/* The features of one row of the pool.  One that is gone has none. */
static int fine_look_up(fine_cursor *cursor, bh_scan *scan,
                        nn_pool_row *row) {
  sqlite3_stmt *stmt = NULL;
  char *error = NULL;
  nn_error err;
  int rc = bh_scan_fetch(scan, row->rowid, &stmt, &error);
  if (rc != SQLITE_OK)
    return bh_table_report(cursor->base.pVtab, FINE_NAME, rc, error);
  if (!stmt) return SQLITE_OK;
  bh_scanned at = {.rowid = row->rowid};
  /* Values of a statement may be read as long as the connection's mutex is
  ** held, as it is all through xFilter. */
  at.features = sqlite3_column_value(stmt, 0);
  if (sqlite3_column_count(stmt) > 1) at.key = sqlite3_column_value(stmt, 1);
  nn_status status = fine_measure(cursor, &at, &row->distance, &err);
  if (status == NN_OK) status = fine_keep(cursor, at.key, row, &err);
  if (status == NN_OK) return SQLITE_OK;
  row->distance = -1;
  return bh_table_nn_error(cursor->base.pVtab, FINE_NAME, &err);
}

static int fine_rank(fine_cursor *cursor, bh_scan *scan) {
  fine_table *table = (fine_table *)cursor->base.pVtab;
  nn_error err;
  int rc = SQLITE_OK;
  if (bh_scan_fetches(scan)) {
    if (nn_pool_by_rowid(cursor->pool, bh_poll, table->connection, &err) !=
        NN_OK)
      return bh_table_nn_error(&table->base, FINE_NAME, &err);
    for (size_t i = 0; rc == SQLITE_OK && i < nn_pool_count(cursor->pool); i++)
      rc = fine_look_up(cursor, scan, nn_pool_at(cursor->pool, i));
    bh_scan_fetched(scan);
  }
  if (rc == SQLITE_OK &&
      nn_pool_rank(cursor->pool, bh_poll, table->connection, &err) != NN_OK)
    return bh_table_nn_error(&table->base, FINE_NAME, &err);
  return rc;
}

/* The search in a scan: coarse, then fine. */
static int fine_scan(void *context, bh_scan *scan) {
  fine_cursor *cursor = context;
  sqlite3_value *code = fine_argument(cursor, BH_FINE_CODE);
  sqlite3_int64 integer = sqlite3_value_int64(code);
  bh_target target = {.into = cursor, .model = "the query"};
  nn_error err;
  char *error = NULL;
  target.integers = sqlite3_value_type(code) == SQLITE_INTEGER;
  target.bytes = target.integers ? (sqlite3_int64)sizeof(integer)
                                 : sqlite3_value_bytes(code);
  target.add = bh_scan_fetches(scan) ? fine_add : fine_add_measured;
  const void *query = target.integers ? &integer : sqlite3_value_blob(code);
  if (!query && target.bytes > 0) return SQLITE_NOMEM;
  fine_drop_pool(cursor);
  if (nn_pool_open(&bh_memory, query, (size_t)target.bytes,
                   (int)cursor->hamming.max, (uint64_t)cursor->bound,
                   &cursor->pool, &err) != NN_OK)
    return bh_table_nn_error(cursor->base.pVtab, FINE_NAME ": argument code",
                             &err);
  int rc = bh_scan_run(scan, &target, &error);
  if (rc == SQLITE_OK) return fine_rank(cursor, scan);
  return bh_table_report(cursor->base.pVtab, FINE_NAME, rc, error);
}

static int fine_run(fine_cursor *cursor) {
  fine_table *table = (fine_table *)cursor->base.pVtab;
  bh_searcher searcher = {&table->base, table->connection, FINE_NAME,
                          &table->depth, fine_scan, cursor};
  bh_source source;
  int type = sqlite3_value_type(fine_argument(cursor, BH_FINE_CODE));
  if (type != SQLITE_BLOB && type != SQLITE_INTEGER)
    return bh_table_error(&table->base, FINE_NAME
                          ": argument code must be a BLOB, or an INTEGER "
                          "where the codes are INTEGERs");
  int rc = fine_source(cursor, &source);
  return rc == SQLITE_OK ? bh_scan_search(&searcher, &source, &cursor->scan)
                         : rc;
}

static int fine_next(sqlite3_vtab_cursor *base) {
  fine_cursor *cursor = (fine_cursor *)base;
  sqlite3_value_free(cursor->row.held);
  cursor->row.held = NULL;
  cursor->eof = cursor->left-- <= 0 ||
                !nn_pool_next(cursor->pool, &cursor->row);
  return SQLITE_OK;
}

static int fine_filter(sqlite3_vtab_cursor *base, int idx_num,
                       const char *idx_str, int argc, sqlite3_value **argv) {
  fine_cursor *cursor = (fine_cursor *)base;
  (void)argc;
  fine_clear(cursor);
  cursor->reads_key = idx_num & BH_FINE_READS_KEY;
  if (idx_num & BH_FINE_INCOMPLETE)
    return bh_table_error(base->pVtab, FINE_NAME ": wants a table, two "
                          "columns, a code and features: " FINE_NAME
                          "('photos', 'code', 'features', ?, ?) in FROM, or "
                          "code = ? and the like in WHERE, which an outer join "
                          "may keep from it");
  if (idx_num & BH_FINE_LACKS_BOUND)
    return bh_table_error(base->pVtab, FINE_NAME ": hamming is compared with "
                          "what is not known before the search; +hamming "
                          "compares the rows that come out");
  int rc = fine_take(cursor, idx_str, argv);
  if (rc == SQLITE_OK) rc = fine_check(cursor);
  if (rc != SQLITE_OK || cursor->empty || cursor->hamming.empty) return rc;
  rc = fine_run(cursor);
  return rc == SQLITE_OK ? fine_next(base) : rc;
}

/* Rows -------------------------------------------------------------------- */

static int fine_eof(sqlite3_vtab_cursor *base) {
  return ((fine_cursor *)base)->eof;
}

static int fine_column(sqlite3_vtab_cursor *base, sqlite3_context *context,
                       int column) {
  fine_cursor *cursor = (fine_cursor *)base;
  sqlite3_value *value = NULL;
  switch (column) {
    case BH_FINE_ROWID:
      sqlite3_result_int64(context, cursor->row.rowid);
      return SQLITE_OK;
    case BH_FINE_DISTANCE:
      sqlite3_result_double(context, cursor->row.distance);
      return SQLITE_OK;
    case BH_FINE_HAMMING:
      sqlite3_result_int(context, cursor->row.hamming);
      return SQLITE_OK;
    case BH_FINE_KEY:
      value = cursor->row.held;
      break;
    default:
      value = fine_argument(cursor, column);
  }
  if (value) sqlite3_result_value(context, value);
  return SQLITE_OK;
}

static int fine_rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *rowid) {
  *rowid = ((fine_cursor *)base)->row.rowid;
  return SQLITE_OK;
}

/* No xCreate: the table exists by its name alone. */
static const sqlite3_module fine_module = {
    .iVersion = 0,
    .xConnect = fine_connect,
    .xBestIndex = bh_fine_best_index,
    .xDisconnect = fine_disconnect,
    .xOpen = fine_open,
    .xClose = fine_close,
    .xFilter = fine_filter,
    .xNext = fine_next,
    .xEof = fine_eof,
    .xColumn = fine_column,
    .xRowid = fine_rowid,
};

int bh_register_fine(bh_connection *connection) {
  return bh_module(connection, FINE_NAME, &fine_module);
}

/*
** binhash_topk: the rows of any table or view in the order of the distance of
** their codes from a query.
**
**   SELECT rowid, distance FROM binhash_topk('photos', 'code', ?) LIMIT 10;
**
**   SELECT p.path, t.distance
**   FROM binhash_topk('photos', 'code', ?) t JOIN photos p ON p.id = t.rowid
**   WHERE p.album = 3 ORDER BY t.distance LIMIT 10;
**
** As SQLite sees it, this is the table
**
**   (rowid, code, distance, key,
**    and hidden: table_name, column_name, query, k, schema, key_column)
**
** where the six arguments of the function are equalities on the hidden columns,
** in that order; they may be given in WHERE as well, the query also by MATCH.
** One scan of the named table (scan.c) happens in xFilter; then xNext hands out
** row after row in (distance, rowid) order for as long as it is asked (nn's
** nearest.c).  The planner is told that this order needs no sorting, so a
** LIMIT above, through whatever joins and filters, stops the search when it has
** its rows, and no k need be guessed in advance.
**
** k, where it is given, is an argument like the others: the rows are the k
** nearest of the whole table, and WHERE chooses among those.  Therefore nothing
** that could remove a row before the k nearest are known is used then, except
** an upper bound of the distance, which removes only what is behind them.
**
** LIMIT and OFFSET are a hint how many rows to order first.  They also arrive
** where they do not apply to this table alone, so they never end the rows.
**
** What it is not: an index.  Each search reads every code of the table once.
** What is told to the planner, and how arguments reach xFilter, is topk_plan.c.
*/
#include <string.h>

#include "arguments.h"
#include "scan.h"
SQLITE_EXTENSION_INIT3

#define TOPK_NAME "binhash_topk"

typedef struct topk_table {
  sqlite3_vtab base;
  bh_connection *connection;
  int depth;   /* searches that are scanning now, one inside the other */
} topk_table;

typedef struct topk_cursor {
  sqlite3_vtab_cursor base;
  bh_scan *scan;             /* kept from one xFilter to the next, since a */
                             /* join asks the same table again and again */
  nn_nearest *nearest;
  nn_nearest_row row;        /* distance -1 at the end */
  sqlite3_int64 returned;
  /* What xFilter was told. */
  sqlite3_value *arguments[BH_TOPK_ARGUMENTS];   /* NULL: not given */
  int empty;                 /* a NULL was compared with: no row can match */
  sqlite3_int64 k;           /* -1: not given */
  bh_bounds distance;
  sqlite3_int64 limit, offset;                /* -1: not known */
  bh_rowids rowids;          /* without a list: all */
  int integers;              /* the codes are INTEGERs */
  sqlite3_int64 query_integer;
} topk_cursor;

static int topk_connect(sqlite3 *db, void *aux, int argc,
                        const char *const *argv, sqlite3_vtab **out,
                        char **error) {
  (void)argc, (void)argv, (void)error;
  int rc = sqlite3_declare_vtab(db, bh_topk_schema);
  if (rc != SQLITE_OK) return rc;
  topk_table *table = sqlite3_malloc64(sizeof(*table));
  if (!table) return SQLITE_NOMEM;
  memset(table, 0, sizeof(*table));
  table->connection = aux;
  *out = &table->base;
  return SQLITE_OK;
}

static int topk_disconnect(sqlite3_vtab *table) {
  sqlite3_free(table);
  return SQLITE_OK;
}

static int topk_open(sqlite3_vtab *table, sqlite3_vtab_cursor **out) {
  (void)table;
  topk_cursor *cursor = sqlite3_malloc64(sizeof(*cursor));
  if (!cursor) return SQLITE_NOMEM;
  memset(cursor, 0, sizeof(*cursor));
  *out = &cursor->base;
  return SQLITE_OK;
}

/* Forget one search, but not the prepared scan. */
static void topk_clear(topk_cursor *cursor) {
  nn_nearest_close(cursor->nearest);
  cursor->nearest = NULL;
  bh_arguments_clear(cursor->arguments, BH_TOPK_ARGUMENTS);
  bh_rowids_clear(&cursor->rowids);
  memset(&cursor->row, 0, sizeof(cursor->row));
  cursor->row.distance = -1;
  cursor->returned = 0;
  cursor->empty = 0;
  cursor->k = -1;
  cursor->distance = (bh_bounds){0, 8 * NN_CODE_MAX, 0};
  cursor->limit = cursor->offset = -1;
}

static int topk_close(sqlite3_vtab_cursor *base) {
  topk_cursor *cursor = (topk_cursor *)base;
  topk_clear(cursor);
  bh_scan_close(cursor->scan);
  sqlite3_free(cursor);
  return SQLITE_OK;
}

/* Filtering: what was asked ------------------------------------------------ */

/* Read the arguments of xFilter by their letters. */
static int topk_take(topk_cursor *cursor, const char *letters,
                     sqlite3_value **argv) {
  for (int i = 0; letters[i]; i++) {
    int rc = bh_argument_take(cursor->arguments, bh_topk_letters, letters[i],
                              argv[i]);
    if (rc != SQLITE_NOTFOUND) {
      if (rc != SQLITE_OK) return rc;
      continue;
    }
    rc = SQLITE_OK;
    if (letters[i] == 'r') {
      rc = bh_rowids_take(&cursor->rowids, argv[i], &cursor->empty);
    } else if (letters[i] == 'R') {
      rc = bh_rowids_take_list(&cursor->rowids, argv[i], &cursor->empty);
    } else if (letters[i] == 'l') {
      bh_hint_take(&cursor->limit, argv[i]);
    } else if (letters[i] == 'o') {
      bh_hint_take(&cursor->offset, argv[i]);
    } else {
      bh_bounds_take(&cursor->distance, letters[i], argv[i]);
    }
    if (rc != SQLITE_OK) return rc;
  }
  return SQLITE_OK;
}

static int topk_check_k(topk_cursor *cursor) {
  sqlite3_value *k = cursor->arguments[BH_TOPK_ARGUMENT(BH_TOPK_K)];
  if (!k || sqlite3_value_type(k) == SQLITE_NULL) return SQLITE_OK;
  if (sqlite3_value_type(k) != SQLITE_INTEGER || sqlite3_value_int64(k) < 0)
    return bh_table_error(cursor->base.pVtab, TOPK_NAME
                          ": argument k must be an integer, 0 or more, or "
                          "NULL for all rows");
  cursor->k = sqlite3_value_int64(k);
  /* Rows before the lower bound are among the k nearest: SQLite drops them. */
  cursor->distance.min = 0;
  cursor->distance.empty = cursor->distance.max < 0;
  return SQLITE_OK;
}

/* The query: its bytes, for INTEGERs those of the number. */
static int topk_query(topk_cursor *cursor, const void **query,
                      sqlite3_int64 *bytes) {
  sqlite3_value *value = cursor->arguments[BH_TOPK_ARGUMENT(BH_TOPK_QUERY)];
  int type = sqlite3_value_type(value);
  cursor->integers = type == SQLITE_INTEGER;
  if (type != SQLITE_BLOB && type != SQLITE_INTEGER)
    return bh_table_error(cursor->base.pVtab, TOPK_NAME
                          ": argument query must be a BLOB, or an INTEGER "
                          "where the codes are INTEGERs");
  if (cursor->integers) {
    cursor->query_integer = sqlite3_value_int64(value);
    *query = &cursor->query_integer;
    *bytes = sizeof(cursor->query_integer);
    return SQLITE_OK;
  }
  *bytes = sqlite3_value_bytes(value);
  *query = sqlite3_value_blob(value);
  return *query || *bytes == 0 ? SQLITE_OK : SQLITE_NOMEM;
}

/* Filtering: the search ---------------------------------------------------- */

/* The text of an argument; a required one is never left out. */
static int topk_name(topk_cursor *cursor, int column, const char *name,
                     int optional, const char **out) {
  return bh_table_name(cursor->base.pVtab, TOPK_NAME,
                       cursor->arguments[BH_TOPK_ARGUMENT(column)], name,
                       optional, out);
}

static int topk_source(topk_cursor *cursor, bh_source *source) {
  memset(source, 0, sizeof(*source));
  int rc = topk_name(cursor, BH_TOPK_TABLE, "table", 0, &source->table);
  if (rc == SQLITE_OK)
    rc = topk_name(cursor, BH_TOPK_COLUMN, "column", 0, &source->column);
  if (rc == SQLITE_OK)
    rc = topk_name(cursor, BH_TOPK_SCHEMA, "schema", 1, &source->schema);
  if (rc == SQLITE_OK)
    rc = topk_name(cursor, BH_TOPK_KEY_COLUMN, "key_column", 1, &source->key);
  return rc;
}

static nn_status topk_add(void *nearest, const bh_scanned *row,
                          nn_error *err) {
  return nn_nearest_add(nearest, row->rowid, row->code, row->payload,
                        (size_t)row->payload_bytes, err);
}

typedef struct topk_request {
  topk_cursor *cursor;
  const void *query;
  sqlite3_int64 bytes;
  int idx_num;
} topk_request;

/* One scan into a fresh nn_nearest. */
static int topk_scan(void *context, bh_scan *scan) {
  const topk_request *request = context;
  topk_cursor *cursor = request->cursor;
  nn_error err;
  char *error = NULL;
  nn_nearest_close(cursor->nearest);
  cursor->nearest = NULL;
  if (nn_nearest_open(&bh_memory, request->query, (size_t)request->bytes,
                      (int)cursor->distance.max,
                      request->idx_num & BH_TOPK_READS_CODE, &cursor->nearest,
                      &err) != NN_OK)
    return bh_table_nn_error(cursor->base.pVtab, TOPK_NAME ": argument query",
                             &err);
  bh_target target = {.add = topk_add, .into = cursor->nearest,
                      .model = "the query", .bytes = request->bytes,
                      .integers = cursor->integers,
                      .keep_keys = request->idx_num & BH_TOPK_READS_KEY,
                      .rowids = cursor->rowids.list,
                      .rowid_count = cursor->rowids.count};
  int rc = bh_scan_run(scan, &target, &error);
  return bh_table_report(cursor->base.pVtab, TOPK_NAME, rc, error);
}

/* Everything of the search that reads the table. */
static int topk_search(topk_cursor *cursor, int idx_num) {
  topk_table *table = (topk_table *)cursor->base.pVtab;
  topk_request request = {.cursor = cursor, .idx_num = idx_num};
  bh_searcher searcher = {&table->base, table->connection, TOPK_NAME,
                          &table->depth, topk_scan, &request};
  bh_source source;
  int rc = topk_query(cursor, &request.query, &request.bytes);
  if (rc == SQLITE_OK) rc = topk_source(cursor, &source);
  return rc == SQLITE_OK ? bh_scan_search(&searcher, &source, &cursor->scan)
                         : rc;
}

/* How many rows the statement will take, as far as that is known; 0 if not. */
static sqlite3_int64 topk_hint(const topk_cursor *cursor) {
  sqlite3_int64 hint = bh_hint(cursor->limit, cursor->offset);
  if (cursor->k >= 0 && (hint == 0 || cursor->k < hint)) hint = cursor->k;
  return hint;
}

static int topk_next(sqlite3_vtab_cursor *base) {
  topk_cursor *cursor = (topk_cursor *)base;
  nn_error err;
  cursor->row.distance = -1;
  if (cursor->k >= 0 && cursor->returned >= cursor->k) return SQLITE_OK;
  do {
    if (nn_nearest_next(cursor->nearest, topk_hint(cursor), &cursor->row, &err)
        != NN_OK)
      return bh_table_nn_error(base->pVtab, TOPK_NAME, &err);
  } while (cursor->row.distance >= 0 &&
           cursor->row.distance < cursor->distance.min);
  cursor->returned++;
  return SQLITE_OK;
}

static int topk_filter(sqlite3_vtab_cursor *base, int idx_num,
                       const char *idx_str, int argc, sqlite3_value **argv) {
  topk_cursor *cursor = (topk_cursor *)base;
  (void)argc;
  topk_clear(cursor);
  if (idx_num & BH_TOPK_INCOMPLETE)
    return bh_table_error(base->pVtab, TOPK_NAME ": wants a table, a column "
                          "and a query: " TOPK_NAME "('photos', 'code', ?) in "
                          "FROM, or query = ? in WHERE, which an outer join "
                          "may keep from it");
  int rc = topk_take(cursor, idx_str, argv);
  if (rc == SQLITE_OK) rc = topk_check_k(cursor);
  if (rc != SQLITE_OK) return rc;
  if (sqlite3_value_type(cursor->arguments[BH_TOPK_ARGUMENT(BH_TOPK_QUERY)]) ==
          SQLITE_NULL || cursor->empty || cursor->distance.empty ||
      cursor->k == 0)
    return SQLITE_OK;
  rc = topk_search(cursor, idx_num);
  return rc == SQLITE_OK ? topk_next(base) : rc;
}

/* Rows -------------------------------------------------------------------- */

static int topk_eof(sqlite3_vtab_cursor *base) {
  return ((topk_cursor *)base)->row.distance < 0;
}

static void topk_result_code(sqlite3_context *context,
                             const topk_cursor *cursor) {
  sqlite3_int64 integer;
  if (!cursor->row.code) {
    bh_result_text_error(context, TOPK_NAME ": the plan kept no codes");
  } else if (cursor->integers) {
    memcpy(&integer, cursor->row.code, sizeof(integer));
    sqlite3_result_int64(context, integer);
  } else {
    sqlite3_value *query = cursor->arguments[BH_TOPK_ARGUMENT(BH_TOPK_QUERY)];
    sqlite3_result_blob(context, cursor->row.code, sqlite3_value_bytes(query),
                        SQLITE_TRANSIENT);
  }
}

static int topk_column(sqlite3_vtab_cursor *base, sqlite3_context *context,
                       int column) {
  topk_cursor *cursor = (topk_cursor *)base;
  switch (column) {
    case BH_TOPK_ROWID:
      sqlite3_result_int64(context, cursor->row.rowid);
      break;
    case BH_TOPK_CODE:
      topk_result_code(context, cursor);
      break;
    case BH_TOPK_DISTANCE:
      sqlite3_result_int(context, cursor->row.distance);
      break;
    case BH_TOPK_KEY:
      bh_scan_result_key(context, &cursor->row);
      break;
    default:
      if (cursor->arguments[BH_TOPK_ARGUMENT(column)])
        sqlite3_result_value(context,
                             cursor->arguments[BH_TOPK_ARGUMENT(column)]);
  }
  return SQLITE_OK;
}

static int topk_rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *rowid) {
  *rowid = ((topk_cursor *)base)->row.rowid;
  return SQLITE_OK;
}

/* No xCreate: the table exists by its name alone. */
static const sqlite3_module topk_module = {
    .iVersion = 0,
    .xConnect = topk_connect,
    .xBestIndex = bh_topk_best_index,
    .xDisconnect = topk_disconnect,
    .xOpen = topk_open,
    .xClose = topk_close,
    .xFilter = topk_filter,
    .xNext = topk_next,
    .xEof = topk_eof,
    .xColumn = topk_column,
    .xRowid = topk_rowid,
};

int bh_register_topk(bh_connection *connection) {
  int rc = bh_scan_register(connection);
  if (rc == SQLITE_OK) rc = bh_module(connection, TOPK_NAME, &topk_module);
  return rc;
}

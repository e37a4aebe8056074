/*
** What WHERE says of distances and rowids, for every search in SQL.
**
** binhash_topk and the index take the same constraints in the same way:
**
**   distance < <= = >= > n, BETWEEN    an interval of integers
**   rowid = n, rowid IN (...)          a list, sorted, once each
**   LIMIT and OFFSET                   how many rows will be wanted, as a hint
**
** xBestIndex hands each to xFilter under a letter, which stands here for both
** sides: bh_bound_letter gives the letter for an operator, bh_bounds_take reads
** the value under it.
**
** SQLite checks every constraint again, so a value that could be compared in
** another way than as an integer (1.5, '7', a list with such values) is simply
** not taken: the search then gives more rows, and SQLite drops those it must.
** NULL is different: nothing compares with it, so there are no rows.
**
** Not here: which constraints a plan may use, which depends on the table.
*/
#include <stdlib.h>
#include <string.h>

#include "ext_int.h"
SQLITE_EXTENSION_INIT3

char bh_bound_letter(int op) {
  switch (op) {
    case SQLITE_INDEX_CONSTRAINT_EQ: return '=';
    case SQLITE_INDEX_CONSTRAINT_LT: return '<';
    case SQLITE_INDEX_CONSTRAINT_LE: return '(';
    case SQLITE_INDEX_CONSTRAINT_GT: return '>';
    case SQLITE_INDEX_CONSTRAINT_GE: return ')';
  }
  return 0;
}

void bh_bounds_take(bh_bounds *bounds, char letter, sqlite3_value *value) {
  if (sqlite3_value_type(value) == SQLITE_NULL) bounds->empty = 1;
  if (sqlite3_value_type(value) != SQLITE_INTEGER) return;
  sqlite3_int64 bound = sqlite3_value_int64(value);
  sqlite3_int64 most = bounds->max, least = bounds->min;
  switch (letter) {
    case '=': most = least = bound; break;
    case '(': most = bound; break;
    case ')': least = bound; break;
    case '<':
      if (bound == INT64_MIN) bounds->empty = 1;
      else most = bound - 1;
      break;
    case '>':
      if (bound == INT64_MAX) bounds->empty = 1;
      else least = bound + 1;
      break;
  }
  if (most < bounds->max) bounds->max = most;
  if (least > bounds->min) bounds->min = least;
  if (bounds->min > bounds->max) bounds->empty = 1;
}

void bh_rowids_clear(bh_rowids *rowids) {
  sqlite3_free(rowids->list);
  memset(rowids, 0, sizeof(*rowids));
}

int bh_rowids_add(bh_rowids *rowids, sqlite3_int64 rowid) {
  if (rowids->count == rowids->room) {
    sqlite3_int64 room = rowids->room ? 2 * rowids->room : 16;
    sqlite3_int64 *list = sqlite3_realloc64(
        rowids->list, (sqlite3_uint64)room * sizeof(*list));
    if (!list) return SQLITE_NOMEM;
    rowids->list = list;
    rowids->room = room;
  }
  rowids->list[rowids->count++] = rowid;
  return SQLITE_OK;
}

static int constraints_compare(const void *a, const void *b) {
  sqlite3_int64 x = *(const sqlite3_int64 *)a, y = *(const sqlite3_int64 *)b;
  return x < y ? -1 : x > y;
}

int bh_rowids_take_list(bh_rowids *rowids, sqlite3_value *list, int *empty) {
  sqlite3_value *value = NULL;
  int rc = sqlite3_vtab_in_first(list, &value);
  for (; rc == SQLITE_OK && value; rc = sqlite3_vtab_in_next(list, &value)) {
    int type = sqlite3_value_type(value);
    if (type == SQLITE_NULL) continue;
    if (type != SQLITE_INTEGER) {
      bh_rowids_clear(rowids);
      return SQLITE_OK;
    }
    rc = bh_rowids_add(rowids, sqlite3_value_int64(value));
    if (rc != SQLITE_OK) return rc;
  }
  if (rc != SQLITE_DONE && rc != SQLITE_OK) return rc;
  if (rowids->count == 0) {
    *empty = 1;
    return SQLITE_OK;
  }
  qsort(rowids->list, (size_t)rowids->count, sizeof(*rowids->list),
        constraints_compare);
  sqlite3_int64 n = 1;
  for (sqlite3_int64 i = 1; i < rowids->count; i++)
    if (rowids->list[i] != rowids->list[n - 1])
      rowids->list[n++] = rowids->list[i];
  rowids->count = n;
  return SQLITE_OK;
}

int bh_rowids_take(bh_rowids *rowids, sqlite3_value *value, int *empty) {
  if (sqlite3_value_type(value) == SQLITE_NULL) *empty = 1;
  if (sqlite3_value_type(value) != SQLITE_INTEGER) return SQLITE_OK;
  return bh_rowids_add(rowids, sqlite3_value_int64(value));
}

/* More than this is as good as not known. */
#define CONSTRAINTS_HINT_MAX 1000000000

void bh_hint_take(sqlite3_int64 *hint, sqlite3_value *value) {
  if (sqlite3_value_type(value) == SQLITE_INTEGER)
    *hint = sqlite3_value_int64(value);
}

sqlite3_int64 bh_hint(sqlite3_int64 limit, sqlite3_int64 offset) {
  if (limit < 0 || limit >= CONSTRAINTS_HINT_MAX) return 0;
  if (offset > 0 && offset < CONSTRAINTS_HINT_MAX) return limit + offset;
  return limit;
}

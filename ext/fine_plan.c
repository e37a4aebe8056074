/*
** binhash_search in the eyes of the planner: its columns, and xBestIndex.
**
** The arguments of the function are found by arguments.c.  An upper bound of
** the Hamming distance (hamming < r, <=, BETWEEN) is one of a kind: it says
** that the pool is everything within that radius.  So, unlike a filter, it may
** not be left to SQLite in a plan where it has no value yet, or the rows would
** depend on the plan; such a plan is accepted, at a cost that makes SQLite
** choose any other, only to fail in xFilter with a message.  A bound by a table
** that the statement itself puts behind the search, in a LEFT JOIN or a CROSS
** JOIN, SQLite does not show here: in every plan it is a filter.
**
** idxStr has a letter for each argument of xFilter:
**
**   t c f q v n p s y   table, code column, feature column, code, features, k,
**                       pool, schema, key column
**   < (                 hamming <, <=
**
** idxNum is a set of bits:
**
**   1   key is read, so keys must be kept
**   2   an argument is missing: xFilter explains the form
**   4   a bound is missing that WHERE or ON has
**
** Rows come in (distance, rowid) order, so an ORDER BY that asks for this is
** consumed.  All but the arguments SQLite checks again.  Nothing else that
** WHERE says can be used, since the pool is of the whole table; hamming = n is
** a filter, as a join with a table of distances would have it.
**
** Costs: as those of binhash_topk, so that in a join the search comes first,
** once.  A bound makes it no cheaper: an OR of two bounds must stay one search.
*/
#include "arguments.h"
#include "fine.h"
SQLITE_EXTENSION_INIT3

/* The rowid is a column too, so that SELECT * shows it. */
const char bh_fine_schema[] =
    "CREATE TABLE x(rowid INTEGER, table_name HIDDEN, code_column HIDDEN, "
    "feature_column HIDDEN, code HIDDEN, features HIDDEN, k HIDDEN, "
    "pool HIDDEN, schema HIDDEN, key_column HIDDEN, distance REAL, "
    "hamming INTEGER, \"key\")";

const char bh_fine_letters[] = "tcfqvnpsy";

/* The radius.  Returns 0 where there is one that cannot be used. */
static int fine_plan_bounds(bh_plan *plan) {
  int waiting = 0;
  for (int i = 0; i < plan->info->nConstraint; i++) {
    const struct sqlite3_index_constraint *c = &plan->info->aConstraint[i];
    char letter = bh_bound_letter(c->op);
    if (c->iColumn != BH_FINE_HAMMING || (letter != '<' && letter != '('))
      continue;
    if (c->usable) bh_plan_use(plan, i, letter, 0);
    else waiting = 1;
  }
  return !waiting;
}

/* ORDER BY distance, or distance, rowid; what follows a rowid does nothing. */
static int fine_plan_order(const sqlite3_index_info *info) {
  if (info->nOrderBy < 1 || info->aOrderBy[0].iColumn != BH_FINE_DISTANCE ||
      info->aOrderBy[0].desc)
    return 0;
  return info->nOrderBy == 1 ||
         (info->aOrderBy[1].iColumn <= BH_FINE_ROWID &&
          !info->aOrderBy[1].desc);
}

/* How many rows k says, as far as it is known. */
static sqlite3_int64 fine_plan_rows(const bh_plan *plan) {
  sqlite3_value *k = NULL;
  int constraint = plan->arguments[BH_FINE_ARGUMENT(BH_FINE_K)];
  if (constraint >= 0 &&
      sqlite3_vtab_rhs_value(plan->info, constraint, &k) == SQLITE_OK &&
      sqlite3_value_type(k) == SQLITE_INTEGER && sqlite3_value_int64(k) > 0)
    return sqlite3_value_int64(k);
  return 25;
}

int bh_fine_best_index(sqlite3_vtab *table, sqlite3_index_info *info) {
  (void)table;
  bh_plan plan = {.info = info, .letters = bh_fine_letters,
                  .first = BH_FINE_TABLE};
  int rc = bh_plan_begin(&plan, NULL);
  if (rc != SQLITE_OK) return rc;
  info->estimatedCost = 1000000;
  info->estimatedRows = fine_plan_rows(&plan);
  if (!fine_plan_bounds(&plan)) info->idxNum |= BH_FINE_LACKS_BOUND;
  for (int i = 0; i < BH_FINE_REQUIRED; i++)
    if (plan.arguments[i] < 0) info->idxNum |= BH_FINE_INCOMPLETE;
  if (info->idxNum) info->estimatedCost = 1e30;
  if (info->colUsed & (sqlite3_uint64)1 << BH_FINE_KEY)
    info->idxNum |= BH_FINE_READS_KEY;
  info->orderByConsumed = fine_plan_order(info);
  return SQLITE_OK;
}

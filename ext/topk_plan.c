/*
** binhash_topk in the eyes of the planner: its columns, and xBestIndex.
**
** The arguments of the function are found by arguments.c.
**
** Rows come in (distance, rowid) order, so an ORDER BY that asks for this is
** consumed.  Bounds of the distance and rowids are taken where that cannot
** change the result: never rowids together with k, since the k nearest are
** those of the whole table.  All but the arguments SQLite checks again.
*/
#include "arguments.h"
SQLITE_EXTENSION_INIT3

/* The rowid is a column too, so that SELECT * shows it. */
const char bh_topk_schema[] =
    "CREATE TABLE x(rowid INTEGER, code BLOB, table_name HIDDEN, "
    "column_name HIDDEN, query HIDDEN, k HIDDEN, schema HIDDEN, "
    "key_column HIDDEN, distance INTEGER, \"key\")";

/*
** xBestIndex tells xFilter what its arguments are.  idxStr has a letter for
** each argument, in order:
**
**   t c q n s y   table, column, query, k, schema, key column
**   = < ( > )     distance =, <, <=, >, >=
**   r R           rowid =; rowid IN, the whole list at once
**   l o           LIMIT, OFFSET
**
** idxNum is a set of bits:
**
**   1   code is read, so codes must be kept
**   2   key is read, so keys must be kept
**   4   there is no table, column or query: xFilter explains the form
**
** All but the function's arguments is checked again by SQLite, which makes a
** bound that is not an integer, say, its affair.
**
** Costs: the table behind is not known here, so a search costs 1,000,000, which
** is more than whatever it is joined with, and gives 25 rows, so that in a join
** it comes first, once, and its order is the order of the result.  Asking for
** one rowid costs nearly as much: a join that could ask for the rowids one by
** one does so for a single row only.
*/
const char bh_topk_letters[] = "tcqnsy";

typedef struct topk_plan_state {
  bh_plan plan;
  int rowid, rowid_in;                /* constraint used, -1 without */
  int bounds;
} topk_plan_state;

/* The query may be given by MATCH. */
static int topk_plan_match(const struct sqlite3_index_constraint *c) {
  return c->op == SQLITE_INDEX_CONSTRAINT_MATCH &&
                 (c->iColumn == BH_TOPK_QUERY || c->iColumn == BH_TOPK_CODE)
             ? BH_TOPK_ARGUMENT(BH_TOPK_QUERY)
             : -1;
}

/* Bounds of the distance, LIMIT and OFFSET, and where to find the rowid. */
static void topk_plan_rest(topk_plan_state *plan) {
  sqlite3_index_info *info = plan->plan.info;
  for (int i = 0; i < info->nConstraint; i++) {
    const struct sqlite3_index_constraint *c = &info->aConstraint[i];
    char letter = bh_bound_letter(c->op);
    if (!c->usable) continue;
    if (c->op == SQLITE_INDEX_CONSTRAINT_LIMIT) {
      bh_plan_use(&plan->plan, i, 'l', 0);
    } else if (c->op == SQLITE_INDEX_CONSTRAINT_OFFSET) {
      bh_plan_use(&plan->plan, i, 'o', 0);
    } else if (c->iColumn == BH_TOPK_DISTANCE && letter) {
      /* IN arrives value by value, and would repeat the scan for each. */
      if (letter == '=' && sqlite3_vtab_in(info, i, -1)) continue;
      bh_plan_use(&plan->plan, i, letter, 0);
      plan->bounds++;
    } else if (letter == '=' && c->iColumn <= BH_TOPK_ROWID) {
      if (sqlite3_vtab_in(info, i, -1)) plan->rowid_in = i;
      else plan->rowid = i;
    }
  }
}

/* ORDER BY distance, or distance, rowid; what follows a rowid does nothing. */
static int topk_plan_order(const sqlite3_index_info *info) {
  if (info->nOrderBy < 1 || info->aOrderBy[0].iColumn != BH_TOPK_DISTANCE ||
      info->aOrderBy[0].desc)
    return 0;
  return info->nOrderBy == 1 || (info->aOrderBy[1].iColumn <= BH_TOPK_ROWID &&
                                 !info->aOrderBy[1].desc);
}

static void topk_plan_cost(topk_plan_state *plan, int has_k) {
  sqlite3_index_info *info = plan->plan.info;
  info->estimatedCost = 1000000;
  info->estimatedRows = 25;
  if (has_k) {
    sqlite3_value *k = NULL;
    int constraint = plan->plan.arguments[BH_TOPK_ARGUMENT(BH_TOPK_K)];
    if (sqlite3_vtab_rhs_value(info, constraint, &k) == SQLITE_OK &&
        sqlite3_value_type(k) == SQLITE_INTEGER && sqlite3_value_int64(k) > 0)
      info->estimatedRows = sqlite3_value_int64(k);
  } else if (plan->rowid >= 0) {
    info->estimatedCost = 900000;
    info->estimatedRows = 1;
    info->idxFlags = SQLITE_INDEX_SCAN_UNIQUE;
  } else if (plan->rowid_in >= 0 || plan->bounds > 0) {
    info->estimatedCost = 950000;
    info->estimatedRows = 10;
  }
}

int bh_topk_best_index(sqlite3_vtab *table, sqlite3_index_info *info) {
  (void)table;
  topk_plan_state plan = {.plan = {.info = info, .letters = bh_topk_letters,
                                   .first = BH_TOPK_TABLE},
                          .rowid = -1, .rowid_in = -1};
  const int *given = plan.plan.arguments;
  int rc = bh_plan_begin(&plan.plan, topk_plan_match);
  if (rc != SQLITE_OK) return rc;
  int has_k = given[BH_TOPK_ARGUMENT(BH_TOPK_K)] >= 0;
  topk_plan_rest(&plan);
  if (plan.rowid >= 0 && !has_k) {
    bh_plan_use(&plan.plan, plan.rowid, 'r', 0);
  } else if (plan.rowid_in >= 0 && !has_k) {
    sqlite3_vtab_in(info, plan.rowid_in, 1);
    bh_plan_use(&plan.plan, plan.rowid_in, 'R', 0);
  }
  if (info->colUsed & (sqlite3_uint64)1 << BH_TOPK_CODE)
    info->idxNum |= BH_TOPK_READS_CODE;
  if (info->colUsed & (sqlite3_uint64)1 << BH_TOPK_KEY)
    info->idxNum |= BH_TOPK_READS_KEY;
  topk_plan_cost(&plan, has_k);
  if (given[0] < 0 || given[1] < 0 || given[2] < 0) {
    info->idxNum |= BH_TOPK_INCOMPLETE;
    info->estimatedCost = 1e30;
  }
  info->orderByConsumed = topk_plan_order(info);
  return SQLITE_OK;
}

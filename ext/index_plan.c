/*
** The index in the eyes of the planner: xBestIndex.
**
** A plan is a search if it has a query:
**
**   query = ?, image = ?, photo_codes MATCH ?, query MATCH ?
**
** and a scan or a look-up in the order of rowids, as of any table, if it has
** none.  idxStr has a letter for each argument of xFilter, in order:
**
**   q i            the query as a code; as an image that is hashed
**   = < ( > )      distance =, <, <=, >, >=
**   r R            rowid =; rowid IN, the whole list at once
**   1 2 3 4        rowid <, <=, >, >=, of a scan alone
**   l o            LIMIT, OFFSET
**
** and idxNum says which of the two it is.  LIMIT and OFFSET also arrive where
** they do not apply to this table alone, so they are hints and no more.  All
** but the query SQLite checks again.
**
** A query that exists but has no value yet in this plan makes the plan
** unusable, so that SQLite looks for an order of the join in which it has one.
** Where no order will do, as behind a LEFT JOIN, or where distance is compared
** or sorted by and there is no query at all, the plan is accepted to fail in
** xFilter with a message that shows the form: without a query there is no
** distance, and a comparison with NULL would drop every row in silence.
**
** Costs: a search in n rows costs a hundredth of a scan through SQLite, which
** is dearer than a look-up by rowid and cheaper than anything that reads rows.
** Behind MATCH, all searches cost alike.  Where SQLite (3.5x) weighs whether to
** answer `query MATCH ? AND (distance < ? OR rowid = ?)` by one search for each
** side of the OR, it counts on the MATCH for both; but what it then runs lacks
** it, as only comparisons are repeated there.  Nothing tells such a plan from
** that of an AND, so two must never be cheaper than one.
*/
#include "ext_int.h"
SQLITE_EXTENSION_INIT3

typedef struct plan_state {
  sqlite3_index_info *info;
  int query, image;            /* constraint used, -1 without */
  int rowid, rowid_in;
  int of_distance;             /* there are constraints of the distance */
  int argv;
} plan_state;

/* 'q', 'i' or 0: what a constraint gives as the query. */
static char plan_query_letter(const struct sqlite3_index_constraint *c) {
  if (c->op == SQLITE_INDEX_CONSTRAINT_MATCH &&
      (c->iColumn == BH_INDEX_SELF || c->iColumn == BH_INDEX_QUERY ||
       c->iColumn == BH_INDEX_CODE))
    return 'q';
  if (c->op == SQLITE_INDEX_CONSTRAINT_MATCH && c->iColumn == BH_INDEX_IMAGE)
    return 'i';
  if (c->op != SQLITE_INDEX_CONSTRAINT_EQ) return 0;
  if (c->iColumn == BH_INDEX_QUERY) return 'q';
  return c->iColumn == BH_INDEX_IMAGE ? 'i' : 0;
}

/* Find the query, and what else there is. */
static int plan_find(plan_state *plan) {
  int waiting = 0;
  sqlite3_index_info *info = plan->info;
  for (int i = 0; i < info->nConstraint; i++) {
    const struct sqlite3_index_constraint *c = &info->aConstraint[i];
    char letter = plan_query_letter(c);
    if (c->iColumn == BH_INDEX_DISTANCE &&
        c->op != SQLITE_INDEX_CONSTRAINT_LIMIT &&
        c->op != SQLITE_INDEX_CONSTRAINT_OFFSET)
      plan->of_distance = 1;
    if (letter && !c->usable) waiting = 1;
    else if (letter == 'q' && plan->query < 0) plan->query = i;
    else if (letter == 'i' && plan->image < 0) plan->image = i;
    if (c->usable && c->iColumn < 0 && c->op == SQLITE_INDEX_CONSTRAINT_EQ) {
      if (sqlite3_vtab_in(info, i, -1)) plan->rowid_in = i;
      else plan->rowid = i;
    }
  }
  for (int i = 0; i < info->nOrderBy; i++)
    if (info->aOrderBy[i].iColumn == BH_INDEX_DISTANCE) plan->of_distance = 1;
  return waiting && plan->query < 0 && plan->image < 0 ? SQLITE_CONSTRAINT
                                                       : SQLITE_OK;
}

static void plan_use(plan_state *plan, int constraint, char letter, int omit) {
  plan->info->aConstraintUsage[constraint].argvIndex = plan->argv + 1;
  plan->info->aConstraintUsage[constraint].omit = (unsigned char)omit;
  plan->info->idxStr[plan->argv++] = letter;
}

/* What one rowid or a list of them gives. */
static void plan_rowids(plan_state *plan) {
  if (plan->rowid >= 0) {
    plan_use(plan, plan->rowid, 'r', 0);
    plan->info->idxFlags = SQLITE_INDEX_SCAN_UNIQUE;
  } else if (plan->rowid_in >= 0) {
    sqlite3_vtab_in(plan->info, plan->rowid_in, 1);
    plan_use(plan, plan->rowid_in, 'R', 0);
  }
}

static sqlite3_int64 plan_rows(sqlite3_vtab *table) {
  const bh_index *index = (const bh_index *)table;
  return index->snapshot ? index->snapshot->rows + 1 : 1000000;
}

static void plan_search(plan_state *plan, sqlite3_vtab *table) {
  sqlite3_index_info *info = plan->info;
  int bounds = 0;
  int query = plan->query >= 0 ? plan->query : plan->image;
  int is_match =
      info->aConstraint[query].op == SQLITE_INDEX_CONSTRAINT_MATCH;
  info->idxNum |= BH_INDEX_IS_SEARCH;
  if (plan->query >= 0) plan_use(plan, plan->query, 'q', 1);
  else plan_use(plan, plan->image, 'i', 1);
  for (int i = 0; i < info->nConstraint; i++) {
    const struct sqlite3_index_constraint *c = &info->aConstraint[i];
    char letter = bh_bound_letter(c->op);
    if (!c->usable) continue;
    if (c->op == SQLITE_INDEX_CONSTRAINT_LIMIT) {
      plan_use(plan, i, 'l', 0);
    } else if (c->op == SQLITE_INDEX_CONSTRAINT_OFFSET) {
      plan_use(plan, i, 'o', 0);
    } else if (c->iColumn == BH_INDEX_DISTANCE && letter) {
      /* IN arrives value by value, and would repeat the search for each. */
      if (letter == '=' && sqlite3_vtab_in(info, i, -1)) continue;
      plan_use(plan, i, letter, 0);
      bounds = 1;
    }
  }
  plan_rowids(plan);
  double rows = (double)plan_rows(table);
  info->estimatedCost = 10 + rows / 100;
  info->estimatedRows = bounds && !is_match ? 10 : 25;
  if ((plan->rowid >= 0 || plan->rowid_in >= 0) && !is_match) {
    info->estimatedCost = 10;
    info->estimatedRows = plan->rowid >= 0 ? 1 : 10;
  }
  /* ORDER BY distance, or distance, rowid; what follows a rowid does nothing */
  if (info->nOrderBy >= 1 && info->aOrderBy[0].iColumn == BH_INDEX_DISTANCE &&
      !info->aOrderBy[0].desc &&
      (info->nOrderBy == 1 ||
       (info->aOrderBy[1].iColumn < 0 && !info->aOrderBy[1].desc)))
    info->orderByConsumed = 1;
}

static char plan_rowid_letter(int op) {
  switch (op) {
    case SQLITE_INDEX_CONSTRAINT_LT: return '1';
    case SQLITE_INDEX_CONSTRAINT_LE: return '2';
    case SQLITE_INDEX_CONSTRAINT_GT: return '3';
    case SQLITE_INDEX_CONSTRAINT_GE: return '4';
  }
  return 0;
}

static void plan_scan(plan_state *plan, sqlite3_vtab *table) {
  sqlite3_index_info *info = plan->info;
  double rows = (double)plan_rows(table);
  plan_rowids(plan);
  if (plan->rowid >= 0 || plan->rowid_in >= 0) {
    info->estimatedCost = plan->rowid >= 0 ? 5 : 50;
    info->estimatedRows = plan->rowid >= 0 ? 1 : 10;
  } else {
    int bounds = 0;
    for (int i = 0; i < info->nConstraint; i++) {
      const struct sqlite3_index_constraint *c = &info->aConstraint[i];
      char letter = plan_rowid_letter(c->op);
      if (!c->usable || c->iColumn >= 0 || !letter) continue;
      plan_use(plan, i, letter, 0);
      bounds++;
    }
    for (int i = 0; i < bounds && i < 2; i++) rows /= 4;
    info->estimatedCost = rows;
    info->estimatedRows = (sqlite3_int64)rows;
  }
  if (info->nOrderBy >= 1 && info->aOrderBy[0].iColumn < 0 &&
      !info->aOrderBy[0].desc)
    info->orderByConsumed = 1;
  /* Something wants what only a query gives.  An UPDATE reads all columns, and
  ** wants nothing of them. */
  sqlite3_uint64 wants = (sqlite3_uint64)1 << BH_INDEX_QUERY |
                         (sqlite3_uint64)1 << BH_INDEX_IMAGE;
  sqlite3_uint64 match = (sqlite3_uint64)1 << BH_INDEX_SELF;
  if ((info->colUsed & (wants | match)) == (wants | match)) wants = match = 0;
  if (plan->of_distance || (info->colUsed & wants)) {
    info->idxNum |= BH_INDEX_LACKS_QUERY;
    info->estimatedCost = 1e30;
  }
  /* Beside `t MATCH ?`, one side of `rowid = ? OR rowid = ?`: see above. */
  if (info->colUsed & match) info->estimatedCost = 1e30;
}

int bh_index_best_index(sqlite3_vtab *table, sqlite3_index_info *info) {
  plan_state plan = {.info = info, .query = -1, .image = -1, .rowid = -1,
                     .rowid_in = -1};
  int rc = plan_find(&plan);
  if (rc != SQLITE_OK) return rc;
  info->idxStr = sqlite3_malloc64((sqlite3_uint64)info->nConstraint + 1);
  if (!info->idxStr) return SQLITE_NOMEM;
  info->needToFreeIdxStr = 1;
  if (plan.query >= 0 || plan.image >= 0) plan_search(&plan, table);
  else plan_scan(&plan, table);
  info->idxStr[plan.argv] = 0;
  return SQLITE_OK;
}

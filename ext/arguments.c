/*
** What the table-valued functions have in common: how an argument finds its way
** from the statement to xFilter.
**
**   SELECT * FROM binhash_pairs('photos', 'code', 4)
**   SELECT * FROM binhash_pairs WHERE table_name = 'photos' AND ...
**
** are one to SQLite: an argument is an equality on a hidden column.  xBestIndex
** looks for those equalities, and hands each to xFilter under a letter, which
** stands in idxStr at the argument's place.
**
** An equality may exist and have no value yet, as where it compares with a
** column of a table that this plan visits later.  Such a plan is refused, so
** that SQLite looks for an order of the join in which it has one.  A plan that
** has no such equality at all, which an outer join may leave, is accepted, and
** xFilter then says which arguments there must be: no rows would be a wrong
** answer.
**
** The arguments come before all else that xFilter is given, since SQLite can
** leave only the first 16 unchecked, and these are used as they are.
*/
#include <string.h>

#include "arguments.h"
SQLITE_EXTENSION_INIT3

int bh_plan_find(const sqlite3_index_info *info, int first, int count,
                 int (*other)(const struct sqlite3_index_constraint *),
                 int *arguments) {
  unsigned waiting = 0;
  for (int i = 0; i < count; i++) arguments[i] = -1;
  for (int i = 0; i < info->nConstraint; i++) {
    const struct sqlite3_index_constraint *c = &info->aConstraint[i];
    int argument = c->op == SQLITE_INDEX_CONSTRAINT_EQ ? c->iColumn - first
                   : other                             ? other(c)
                                                       : -1;
    if (argument < 0 || argument >= count) continue;
    if (!c->usable) waiting |= 1u << argument;
    else if (arguments[argument] < 0) arguments[argument] = i;
  }
  for (int i = 0; i < count; i++)
    if (arguments[i] < 0 && (waiting & 1u << i)) return SQLITE_CONSTRAINT;
  return SQLITE_OK;
}

void bh_plan_use(bh_plan *plan, int constraint, char letter, int omit) {
  plan->info->aConstraintUsage[constraint].argvIndex = plan->argv + 1;
  plan->info->aConstraintUsage[constraint].omit = (unsigned char)omit;
  plan->info->idxStr[plan->argv++] = letter;
}

int bh_plan_begin(bh_plan *plan,
                  int (*other)(const struct sqlite3_index_constraint *)) {
  sqlite3_index_info *info = plan->info;
  int count = (int)strlen(plan->letters);
  int rc = bh_plan_find(info, plan->first, count, other, plan->arguments);
  if (rc != SQLITE_OK) return rc;
  sqlite3_uint64 n = (sqlite3_uint64)info->nConstraint + 1;
  info->idxStr = sqlite3_malloc64(n);
  if (!info->idxStr) return SQLITE_NOMEM;
  memset(info->idxStr, 0, n);
  info->needToFreeIdxStr = 1;
  for (int i = 0; i < count; i++)
    if (plan->arguments[i] >= 0)
      bh_plan_use(plan, plan->arguments[i], plan->letters[i], 1);
  return SQLITE_OK;
}

int bh_argument_take(sqlite3_value **slots, const char *letters, char letter,
                     sqlite3_value *value) {
  const char *at = strchr(letters, letter);
  if (!at) return SQLITE_NOTFOUND;
  sqlite3_value **slot = &slots[at - letters];
  *slot = sqlite3_value_dup(value);
  return *slot ? SQLITE_OK : SQLITE_NOMEM;
}

void bh_arguments_clear(sqlite3_value **slots, int count) {
  for (int i = 0; i < count; i++) {
    sqlite3_value_free(slots[i]);
    slots[i] = NULL;
  }
}

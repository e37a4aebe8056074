/*
** Arguments of table-valued functions, as the planner and xFilter see them.
** See arguments.c.
*/
#ifndef BINHASH_ARGUMENTS_H
#define BINHASH_ARGUMENTS_H

#include "ext_int.h"

#define BH_PLAN_ARGUMENTS 9   /* at most */

typedef struct bh_plan {
  sqlite3_index_info *info;
  const char *letters;               /* one for each argument, in order */
  int first;                         /* column of the first of them */
  int arguments[BH_PLAN_ARGUMENTS];  /* constraint of each, -1 without */
  int argv;                          /* arguments of xFilter so far */
} bh_plan;

/*
** Find the arguments among `count` columns from `first` on: SQLITE_CONSTRAINT
** where one exists but cannot be used in this plan.  other, if not NULL, says
** of a constraint that is no equality which argument it gives, -1 for none.
*/
int bh_plan_find(const sqlite3_index_info *info, int first, int count,
                 int (*other)(const struct sqlite3_index_constraint *),
                 int *arguments);
/* Find them as above, make room for idxStr, and have xFilter be given those
** that there are. */
int bh_plan_begin(bh_plan *plan,
                  int (*other)(const struct sqlite3_index_constraint *));
/* Have xFilter be given the right side of a constraint, under a letter; omit:
** SQLite need not check it. */
void bh_plan_use(bh_plan *plan, int constraint, char letter, int omit);

/* In xFilter: copy the value into the slot of its letter, one of letters.
** SQLITE_NOTFOUND for another letter. */
int bh_argument_take(sqlite3_value **slots, const char *letters, char letter,
                     sqlite3_value *value);
void bh_arguments_clear(sqlite3_value **slots, int count);

#endif

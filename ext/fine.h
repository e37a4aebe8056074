/*
** binhash_search: what its two files share.  See fine.c and fine_plan.c.
*/
#ifndef BINHASH_FINE_H
#define BINHASH_FINE_H

#include "ext_int.h"

enum {   /* the columns */
  BH_FINE_ROWID, BH_FINE_TABLE, BH_FINE_CODE_COLUMN,
  BH_FINE_FEATURE_COLUMN, BH_FINE_CODE, BH_FINE_FEATURES, BH_FINE_K,
  BH_FINE_POOL, BH_FINE_SCHEMA, BH_FINE_KEY_COLUMN, BH_FINE_DISTANCE,
  BH_FINE_HAMMING, BH_FINE_KEY
};

/* Those that are the function's arguments, counted from 0; the first are
** required. */
#define BH_FINE_ARGUMENTS 9
#define BH_FINE_REQUIRED 5
#define BH_FINE_ARGUMENT(column) ((column) - BH_FINE_TABLE)

/* Rows of the pool where nothing is said of it. */
#define BH_FINE_POOL_DEFAULT 1000

extern const char bh_fine_schema[];
extern const char bh_fine_letters[];

/* Bits of idxNum. */
#define BH_FINE_READS_KEY 1
#define BH_FINE_INCOMPLETE 2
#define BH_FINE_LACKS_BOUND 4

int bh_fine_best_index(sqlite3_vtab *table, sqlite3_index_info *info);

#endif

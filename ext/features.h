/*
** Features as SQL values, for the functions and for binhash_search.  See
** features.c.
*/
#ifndef BINHASH_EXT_FEATURES_H
#define BINHASH_EXT_FEATURES_H

#include "../nn/vectors.h"
#include "ext_int.h"

/*
** Read a value that is not NULL as features; they point into it.  SQLITE_OK,
** SQLITE_NOMEM, or SQLITE_MISMATCH where it can be none: then *problem is what
** it is instead, as "TEXT, not a BLOB", for sqlite3_free.
*/
int bh_features(sqlite3_value *value, nn_features *out, char **problem);

#endif

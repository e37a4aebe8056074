/*
** Between each.c, the table img_hash_each, and each_rows.c, which makes its
** rows.
*/
#ifndef BINHASH_EACH_H
#define BINHASH_EACH_H

#include "inner.h"

/* Values that can be bound to the query, a1 to a8. */
#define BH_EACH_VALUES 8

typedef struct bh_each_row {
  struct bh_each_row *next;
  sqlite3_value *key;
  sqlite3_int64 bytes;       /* of the key */
  int waits;                 /* for the network */
  char *error;               /* why there is no code, NULL */
  const uint8_t *code;       /* NULL: the image is NULL, or there is an error */
  int code_bytes;
  const float *features;     /* NULL: as above, or not asked for */
  sqlite3_int64 feature_bytes;
} bh_each_row;

typedef struct bh_each_options {
  sqlite3_value *sql;
  const char *model;         /* NULL: the default */
  sqlite3_value *const *values;
  sqlite3_int64 total;       /* how many rows there will be, -1 if not known */
  int features;              /* asked for */
} bh_each_options;

typedef struct bh_each bh_each;

/* On error the table's message is set and *out NULL. */
int bh_each_open(sqlite3_vtab *table, bh_connection *connection,
                 const bh_each_options *options, bh_each **out);
/* The next row, NULL after the last; valid until the next call. */
int bh_each_next(bh_each *each, const bh_each_row **out);
void bh_each_close(bh_each *each);   /* NULL is fine */

#endif

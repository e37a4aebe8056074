/*
** The scan of a table for the table-valued searches: binhash_topk,
** binhash_pairs and binhash_search.  See scan.c.
*/
#ifndef BINHASH_SCAN_H
#define BINHASH_SCAN_H

#include "ext_int.h"

typedef struct bh_scan bh_scan;

/* What is scanned.  schema NULL: the table that the bare name means; key,
** features NULL: no such column.  rowid_column: a column called rowid will do
** where there are no rowids, as in a view. */
typedef struct bh_source {
  const char *table, *column, *schema, *key, *features;
  int rowid_column;
} bh_source;

/* A row of the scan, whose code has the target's bytes; payload is its packed
** key.  key and features are the columns, NULL where they are not scanned. */
typedef struct bh_scanned {
  sqlite3_int64 rowid;
  const void *code, *payload;
  sqlite3_int64 bytes, payload_bytes;
  sqlite3_value *key, *features;
  int numbered;                 /* it has no rowid but a number */
} bh_scanned;

/* What goes where, and which rows. */
typedef struct bh_target {
  nn_status (*add)(void *into, const bh_scanned *row, nn_error *err);
  void *into;
  const char *model;            /* what codes must be like: "the query" */
  sqlite3_int64 bytes;          /* of it; -1: the first code sets these two */
  int integers;                 /* it and the codes are INTEGERs */
  int keep_keys;                /* pack the key column as the row's payload */
  const sqlite3_int64 *rowids;  /* only these, in rising order; NULL: all */
  sqlite3_int64 rowid_count;
} bh_target;

/* scan.c ------------------------------------------------------------------- */

/* Do its rows have rowids?  If not, they are numbered from 1 as they come, and
** target->rowids does not apply. */
int bh_scan_has_rowids(const bh_scan *scan);
/* Are features read by rowid after the scan, rather than with the codes? */
int bh_scan_fetches(const bh_scan *scan);
/* Add every row.  On error *error is a message for sqlite3_free, or NULL where
** the code says all. */
int bh_scan_run(bh_scan *scan, const bh_target *target, char **error);
/* Read the features (column 0) and the key (column 1, if there is one) of a
** row; *row is NULL where it is gone.  Valid until the next call of the scan;
** bh_scan_fetched lets go of the last one. */
int bh_scan_fetch(bh_scan *scan, sqlite3_int64 rowid, sqlite3_stmt **row,
                  char **error);
void bh_scan_fetched(bh_scan *scan);
void bh_scan_close(bh_scan *scan);   /* NULL is fine */

/* Who searches. */
typedef struct bh_searcher {
  sqlite3_vtab *table;          /* takes the message of an error */
  bh_connection *connection;
  const char *name;             /* of the function */
  int *depth;                   /* its searches that are scanning now */
  int (*run)(void *context, bh_scan *scan);
  void *context;
} bh_searcher;

/*
** Open the source, or keep the scan that *kept is where that is of the same
** source, and have it run: once, and again as long as a schema that has changed
** is in the way.  *kept is for bh_scan_close.
*/
int bh_scan_search(const bh_searcher *searcher, const bh_source *source,
                   bh_scan **kept);

/* scan_step.c -------------------------------------------------------------- */

/* One run, in the eyes of the private aggregate that the scan is. */
typedef struct bh_scan_state {
  bh_target target;
  int plain;                  /* rowids and BLOBs, of which all are wanted */
  int numbered;               /* rows have no rowid */
  int checked;                /* it may be no integer */
  sqlite3_int64 number;       /* rows seen */
  uint8_t *key;               /* where a key is packed; for sqlite3_free */
  sqlite3_int64 key_room;
} bh_scan_state;

#define BH_SCAN_FUNCTION "binhash_topk_add"

int bh_scan_register(bh_connection *connection);
/* "rowid 17", or for a row without one its key or number; for sqlite3_free.
** key may be NULL. */
char *bh_scan_row_name(int numbered, sqlite3_int64 rowid, sqlite3_value *key);
/* The result of a function: the key in the payload of a row. */
void bh_scan_result_key(sqlite3_context *context, const nn_nearest_row *row);

#endif

/*
** What the files of binhash_train share.
*/
#ifndef BINHASH_TRAIN_INT_H
#define BINHASH_TRAIN_INT_H

#include "../nn/train.h"
#include "models.h"

#define BH_TRAIN "binhash_train"

/* The model that is learned from, held. */
typedef struct bh_train_base {
  const char *name, *sha256;
  bh_head head;
  bh_model_file *file;
} bh_train_base;

/* Rows that a report names, of each kind of complaint. */
#define BH_TRAIN_NAMED 5

typedef struct bh_train_complaint {
  sqlite3_int64 row;         /* of the query, from 1 */
  char text[120];
} bh_train_complaint;

/* What became of the rows of the query. */
typedef struct bh_train_rows {
  sqlite3_int64 rows;
  sqlite3_int64 null_images, null_labels;
  sqlite3_int64 labels;      /* rows whose label cannot be one */
  sqlite3_int64 images;      /* different values that are no picture */
  sqlite3_int64 repeated;    /* rows that said again what another one had */
  int complaints;
  bh_train_complaint complaint[BH_TRAIN_NAMED];
} bh_train_rows;

/* train_rows.c: run the query, and have the base look at its pictures.  On
** error *error is a message for sqlite3_free, or NULL where the code says
** all. */
int bh_train_read(bh_connection *connection, const bh_train_base *base,
                  sqlite3_stmt *query, nn_examples *examples,
                  bh_train_rows *out, char **error);

/* train_report.c: what is said of a run. */
typedef struct bh_train_run {
  const nn_train_options *options;
  const bh_train_base *base;
  const nn_examples *examples;
  const bh_train_rows *rows;
  const nn_train_result *result;
  double reading, training;  /* seconds */
} bh_train_run;

/* As JSON, for sqlite3_free; NULL: no memory.  The seconds are only in that of
** the report column, for one seed should give one model. */
char *bh_train_report(bh_connection *connection, const bh_train_run *run,
                      int with_seconds);

#endif

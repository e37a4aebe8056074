/*
** Pictures to calibrate on: a column of a SQLite file's table, decoded and
** prepared as the model says, but for its mean and scale, which become part of
** the integer network's first layers.
**
** Rows come in the order in which the table holds them (that of its rowid), so
** that the same file gives the same model.  What is no picture is left out and
** counted.
*/
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "quantise.h"

static nn_status pictures_fail(const quantise_pictures *p, sqlite3 *db,
                               nn_error *err) {
  return nn_fail(err, NN_ARGUMENT, "%s: %s",
                 nn_shown_name(p->path).text, sqlite3_errmsg(db));
}

/* One picture's planes of pixels; 0 if it is none. */
static nn_status pictures_decode(const nn_model *plain, const void *bytes,
                                 int n, float *values, uint8_t *to,
                                 nn_error *err) {
  nn_picture picture;
  size_t size = plain->blobs[0].size;
  nn_status status =
      nn_picture_decode(&nn_memory_libc, bytes, (size_t)n,
                        NN_MAX_PIXELS_DEFAULT, &picture, err);
  if (status) return status;
  status = nn_prepare(&nn_memory_libc, plain, &picture, values, err);
  nn_picture_free(&nn_memory_libc, &picture);
  for (size_t i = 0; i < size && !status; i++) to[i] = (uint8_t)values[i];
  return status;
}

static nn_status pictures_rows(const nn_model *plain, quantise_pictures *p,
                               sqlite3 *db, sqlite3_stmt *rows, float *values,
                               nn_error *err) {
  size_t size = plain->blobs[0].size;
  int wanted = p->images + p->held_out, n = 0, code;
  while (n < wanted && (code = sqlite3_step(rows)) == SQLITE_ROW) {
    if (sqlite3_column_type(rows, 0) == SQLITE_NULL) continue;
    const void *bytes = sqlite3_column_blob(rows, 0);
    nn_status status =
        pictures_decode(plain, bytes, sqlite3_column_bytes(rows, 0), values,
                        p->pixels + (size_t)n * size, err);
    if (status == NN_NOMEM || status == NN_MODEL) return status;
    if (status == NN_OK) n++;
    else p->broken++;
  }
  if (n < wanted && code != SQLITE_DONE) return pictures_fail(p, db, err);
  if (!n) {
    return nn_fail(err, NN_ARGUMENT, "%s: no picture in it",
                   nn_shown_name(p->path).text);
  }
  if (n < p->images) p->images = n;
  p->held_out = n - p->images;
  err->status = NN_OK;
  err->text[0] = 0;
  return NN_OK;
}

static nn_status pictures_table(const nn_model *plain, quantise_pictures *p,
                                sqlite3 *db, nn_error *err) {
  sqlite3_stmt *rows = NULL;
  size_t size = plain->blobs[0].size;
  char *sql = sqlite3_mprintf("SELECT \"%w\" FROM \"%w\"",
                              p->column ? p->column : "image",
                              p->table ? p->table : "images");
  if (!sql) return nn_fail(err, NN_NOMEM, "out of memory");
  int code = sqlite3_prepare_v2(db, sql, -1, &rows, NULL);
  sqlite3_free(sql);
  if (code != SQLITE_OK) return pictures_fail(p, db, err);
  float *values = malloc(size * sizeof(float));
  p->pixels = malloc(nn_mul((size_t)p->images + (size_t)p->held_out, size));
  nn_status status =
      values && p->pixels
          ? pictures_rows(plain, p, db, rows, values, err)
          : nn_fail(err, NN_NOMEM, "out of memory");
  free(values);
  sqlite3_finalize(rows);
  return status;
}

nn_status quantise_read(const nn_model *model, quantise_pictures *p,
                        nn_error *err) {
  nn_model plain = *model;
  sqlite3 *db = NULL;
  for (int c = 0; c < 3; c++) {
    plain.preprocess.mean[c] = 0;
    plain.preprocess.scale[c] = 1;
  }
  p->pixels = NULL;
  p->broken = 0;
  int code = sqlite3_open_v2(p->path, &db, SQLITE_OPEN_READONLY, NULL);
  nn_status status = code == SQLITE_OK ? pictures_table(&plain, p, db, err)
                                       : pictures_fail(p, db, err);
  sqlite3_close(db);
  if (status) {
    free(p->pixels);
    p->pixels = NULL;
  }
  return status;
}

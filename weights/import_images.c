/*
** The table of images that a hash is learned on or an integer form calibrated
** with: an SQLite file, opened for reading, whose table has a column of
** pictures as BLOBs.
**
** The pictures are spread evenly over the table, since one that was filled
** class by class would else show one class.  What cannot be decoded is skipped
** and counted, as everywhere in binhash.
*/
#include <sqlite3.h>
#include <string.h>

#include "import_images.h"

struct import_images {
  import *im;
  const char *path;
  sqlite3 *db;
  sqlite3_stmt *rows;
  int64_t count, row, taken;   /* rows there are, gone by, wanted so far */
  int limit, skipped;
};

static nn_status images_fail(import_images *images) {
  import *im = images->im;
  im->file = images->path;
  return import_fail(im, NULL, "%s", sqlite3_errmsg(images->db));
}

static sqlite3_stmt *images_prepare(import_images *images, const char *form) {
  const import_options *o = &images->im->options;
  sqlite3_stmt *statement = NULL;
  char *sql = sqlite3_mprintf(form, o->column, o->table, o->column);
  if (sql) sqlite3_prepare_v2(images->db, sql, -1, &statement, NULL);
  sqlite3_free(sql);
  return statement;
}

nn_status import_images_open(import *im, const char *path,
                             import_images **out) {
  import_images *images = import_alloc(im, 1, sizeof(*images));
  *out = images;
  if (!images) return NN_NOMEM;
  images->im = im;
  images->path = path;
  images->limit = im->options.limit;
  if (sqlite3_open_v2(path, &images->db, SQLITE_OPEN_READONLY, NULL)) {
    return images_fail(images);
  }
  /* "nosuch" would be a string: qualified by its table, it is an error */
  sqlite3_stmt *count =
      images_prepare(images, "SELECT count(t.\"%w\") FROM \"%w\" AS t");
  if (!count || sqlite3_step(count) != SQLITE_ROW) {
    const char *hint = sqlite3_errcode(images->db) == SQLITE_ERROR
                           ? " (--table and --column name others)" : "";
    im->file = path;
    nn_status status =
        import_fail(im, NULL, "%s%s", sqlite3_errmsg(images->db), hint);
    sqlite3_finalize(count);
    return status;
  }
  images->count = sqlite3_column_int64(count, 0);
  sqlite3_finalize(count);
  images->rows = images_prepare(
      images,
      "SELECT t.\"%w\" FROM \"%w\" AS t WHERE t.\"%w\" IS NOT NULL");
  return images->rows ? NN_OK : images_fail(images);
}

void import_images_close(import_images *images) {
  if (!images) return;
  sqlite3_finalize(images->rows);
  sqlite3_close(images->db);
}

int import_images_skipped(const import_images *images) {
  return images->skipped;
}

/* Of `count` rows every count/limit-th. */
static int images_wanted(import_images *images) {
  int64_t row = images->row++;
  if (images->count <= images->limit) return 1;
  if (row * images->limit / images->count < images->taken) return 0;
  images->taken++;
  return 1;
}

nn_status import_images_next(import_images *images, const nn_model *model,
                             nn_picture *picture, int *more) {
  nn_error err;
  int code;
  *more = 0;
  while ((code = sqlite3_step(images->rows)) == SQLITE_ROW) {
    if (!images_wanted(images)) continue;
    const void *bytes = sqlite3_column_blob(images->rows, 0);
    size_t n = (size_t)sqlite3_column_bytes(images->rows, 0);
    nn_status status =
        nn_picture_decode_for(images->im->mem, model, bytes, bytes ? n : 0,
                              NN_MAX_PIXELS_DEFAULT, picture, &err);
    if (status == NN_NOMEM) return import_no_memory(images->im);
    if (status) {
      images->skipped++;
      continue;
    }
    *more = 1;
    return NN_OK;
  }
  return code == SQLITE_DONE ? NN_OK : images_fail(images);
}

/* Features ----------------------------------------------------------------- */

typedef struct images_batch {
  const nn_model *model;
  int blob, n;
  size_t in, out;
  float *input;
} images_batch;

enum { IMAGES_BATCH = 16 };

static nn_status images_run(import *im, images_batch *b, float *to) {
  nn_error err;
  if (!b->n) return NN_OK;
  if (nn_run(im->mem, b->model, NN_FAST, b->input, b->n, b->blob, to, &err)) {
    return import_fail(im, NULL, "%s", err.text);
  }
  b->n = 0;
  return NN_OK;
}

static nn_status images_all(import *im, import_images *images, images_batch *b,
                            float *features, int *rows) {
  nn_status status = NN_OK;
  nn_picture picture;
  nn_error err;
  int more = 1;
  float *to = features;
  for (*rows = 0; *rows < im->options.limit && !status;) {
    status = import_images_next(images, b->model, &picture, &more);
    if (status || !more) break;
    status = nn_prepare(im->mem, b->model, &picture,
                        b->input + (size_t)b->n * b->in, &err);
    nn_picture_free(im->mem, &picture);
    if (status) return import_fail(im, NULL, "%s", err.text);
    ++*rows;
    if (++b->n < IMAGES_BATCH) continue;
    status = images_run(im, b, to);
    to = features + (size_t)*rows * b->out;
  }
  return status ? status : images_run(im, b, to);
}

nn_status import_images_features(import *im, const char *path,
                                 const nn_model *model, int blob,
                                 float **features, int *rows) {
  int chw[3];
  import_images *images;
  images_batch b = {.model = model, .blob = blob};
  b.in = nn_model_blob_shape(model, 0, chw);
  b.out = nn_model_blob_shape(model, blob, chw);
  b.input = import_alloc(im, nn_mul(IMAGES_BATCH, b.in), sizeof(float));
  *features = import_alloc(im, nn_mul((size_t)im->options.limit, b.out),
                           sizeof(float));
  if (!b.input || !*features) return NN_NOMEM;
  nn_status status = import_images_open(im, path, &images);
  if (!status) status = images_all(im, images, &b, *features, rows);
  if (!status && !*rows) {
    im->file = path;
    status = import_fail(im, NULL, "no image that can be decoded");
  }
  if (!status && images->skipped) {
    import_warn(im, "%s: %d images cannot be decoded and were left out", path,
                images->skipped);
  }
  import_images_close(images);
  return status;
}

/*
** The rows of img_hash_each: from the query, through the network, to the table.
**
**   INSERT INTO codes
**   SELECT key, code, error FROM img_hash_each('SELECT id, image FROM photos');
**
** Rows of the query stand in a list, in its order.  Those that have an image
** are put into nn's bulk as they are read, which gives their codes back in the
** same order; the others have their answer at once.  A row is given out when it
** is first in the list and has its answer.  So what is read ahead is bounded by
** the room in the bulk (pictures and their bytes), by EACH_AHEAD rows and by
** EACH_KEYS bytes of keys.
**
** That is so while nobody writes.  In a statement that writes, as above, the
** query could meet rows which that statement wrote, and SQLite promises nothing
** about it: some come twice, or the query never ends.  Hence the query is then
** run to its end before the first row is given out: what is kept of a row is
** its key and its code, the pictures are in flight as before.
**
** The calling thread reads the query, which no other may, waits for the bulk in
** pieces of EACH_POLL milliseconds, and looks after interruption and progress
** in between.  An error of the query or of the bulk is given out after the rows
** that came before it, if those are given out at all.
*/
#include <string.h>

#include "../nn/bulk.h"
#include "each.h"
#include "models.h"
#include "progress.h"
SQLITE_EXTENSION_INIT3

#define EACH_FUNCTION "img_hash_each"
#define EACH_POLL 10                             /* milliseconds */
#define EACH_READ 2                              /* rows, for one given out */
#define EACH_AHEAD 1000                          /* rows */
#define EACH_KEYS ((sqlite3_int64)16 << 20)      /* bytes */

struct bh_each {
  sqlite3_vtab *table;
  bh_connection *connection;
  sqlite3_stmt *query;          /* NULL: it has ended */
  int at_row;                   /* of it, one that is not taken yet */
  int whole;                    /* run it to the end first */
  int rc;                       /* why it ended, and the message */
  char *message;
  bh_head head;
  bh_model_file *file;   /* held */
  nn_bulk *bulk;                /* NULL: no more pictures will come */
  int latent, features;         /* places among the blobs; -1: not asked for */
  sqlite3_int64 code_bytes, feature_bytes;
  bh_each_row *first, *last, *waiting;   /* the first that waits, or NULL */
  bh_each_row *given;           /* the row that the table shows */
  sqlite3_int64 rows, keys;     /* in the list: how many, bytes of their keys */
  sqlite3_int64 read, done;     /* rows in all */
  sqlite3_int64 total, polled;
  bh_progress progress;
};

/* Rows -------------------------------------------------------------------- */

static void each_rows_free(bh_each_row *row) {
  if (!row) return;
  sqlite3_value_free(row->key);
  sqlite3_free(row->error);
  sqlite3_free(row);
}

/* A row for the key that the query shows, at the end of the list. */
static int each_rows_add(bh_each *e) {
  size_t n = sizeof(bh_each_row) + (size_t)(e->feature_bytes + e->code_bytes);
  bh_each_row *row = sqlite3_malloc64(n);
  if (!row) return SQLITE_NOMEM;
  memset(row, 0, sizeof(*row));
  row->key = sqlite3_value_dup(sqlite3_column_value(e->query, 0));
  if (!row->key) {
    sqlite3_free(row);
    return SQLITE_NOMEM;
  }
  /* To ask a number for its bytes would make a text of it. */
  int type = sqlite3_value_type(row->key);
  if (type == SQLITE_TEXT || type == SQLITE_BLOB)
    row->bytes = sqlite3_value_bytes(row->key);
  if (e->last) e->last->next = row;
  else e->first = row;
  e->last = row;
  e->rows++;
  e->keys += row->bytes;
  return SQLITE_OK;
}

/* The row's answer, behind it in its memory. */
static void each_rows_answer(bh_each *e, bh_each_row *row,
                             float *const *values) {
  uint8_t *at = (uint8_t *)(row + 1);
  if (e->features >= 0) {
    memcpy(at, values[e->features], (size_t)e->feature_bytes);
    row->features = (const float *)(const void *)at;
    row->feature_bytes = e->feature_bytes;
    at += e->feature_bytes;
  }
  nn_code_from_logits(values[e->latent], e->head.head->bits, at);
  row->code = at;
  row->code_bytes = (int)e->code_bytes;
}

/* The row has no code; reason is its error, NULL if there was no memory. */
static int each_rows_refuse(bh_each_row *row, char *reason) {
  row->error = reason;
  return reason ? SQLITE_OK : SQLITE_NOMEM;
}

/* Ending ------------------------------------------------------------------ */

static void each_rows_stop_query(bh_each *e) {
  sqlite3_finalize(e->query);
  e->query = NULL;
  e->at_row = 0;
}

static void each_rows_stop_bulk(bh_each *e) {
  nn_bulk_close(e->bulk);
  e->bulk = NULL;
  bh_models_release(e->file);
  e->file = NULL;
}

void bh_each_close(bh_each *e) {
  if (!e) return;
  each_rows_stop_bulk(e);
  each_rows_stop_query(e);
  while (e->first) {
    bh_each_row *row = e->first;
    e->first = row->next;
    each_rows_free(row);
  }
  each_rows_free(e->given);
  sqlite3_free(e->message);
  sqlite3_free(e);
}

/* Reading ----------------------------------------------------------------- */

/* Does the row that the query shows fit? */
static int each_rows_has_room(const bh_each *e) {
  size_t n = sqlite3_column_type(e->query, 1) == SQLITE_BLOB
                 ? (size_t)sqlite3_column_bytes(e->query, 1) : 0;
  if (!e->first) return 1;
  return (e->whole || (e->rows < EACH_AHEAD && e->keys < EACH_KEYS)) &&
         nn_bulk_has_room(e->bulk, n);
}

/* The image of the row that the query shows, into the bulk.  *later: there is
** no memory for it while others are in flight. */
static int each_rows_put(bh_each *e, int *later) {
  const void *bytes;
  sqlite3_int64 n;
  nn_error err;
  nn_status status = bh_image(sqlite3_column_value(e->query, 1), &bytes, &n,
                              &err);
  if (!status) status = nn_bulk_put(e->bulk, bytes, (size_t)n, &err);
  *later = status == NN_NOMEM && e->waiting;
  if (!status || *later) return SQLITE_OK;
  return bh_table_nn_error(e->table, EACH_FUNCTION, &err);
}

/* Take the row that the query shows. */
static int each_rows_take(bh_each *e, int *later) {
  int type = sqlite3_column_type(e->query, 1);
  int rc = SQLITE_OK;
  *later = 0;
  if (type == SQLITE_BLOB) rc = each_rows_put(e, later);
  if (rc != SQLITE_OK || *later) return rc;
  rc = each_rows_add(e);
  if (rc != SQLITE_OK) return rc;
  bh_each_row *row = e->last;
  e->at_row = 0;
  e->read++;
  if (type == SQLITE_BLOB) {
    row->waits = 1;
    if (!e->waiting) e->waiting = row;
    return SQLITE_OK;
  }
  e->done++;
  if (type == SQLITE_NULL) return SQLITE_OK;
  return each_rows_refuse(row, sqlite3_mprintf(
      "the image must be a BLOB, not %s%s", bh_type_name(type),
      type == SQLITE_TEXT ? "; readfile('...') gives the bytes of a file"
                          : ""));
}

/* Read a row, if there is one and room for it; *full: not both. */
static int each_rows_read(bh_each *e, int *full) {
  *full = 1;
  if (!e->query) return SQLITE_OK;
  if (!e->at_row) {
    int rc = bh_inner_step(e->connection, e->query, &e->message);
    if (rc != SQLITE_ROW) {
      e->rc = rc == SQLITE_DONE ? SQLITE_OK : rc;
      each_rows_stop_query(e);
      return SQLITE_OK;
    }
    e->at_row = 1;
  }
  return each_rows_has_room(e) ? each_rows_take(e, full) : SQLITE_OK;
}

/* Waiting ----------------------------------------------------------------- */

/* The answer of the row that has waited longest, if it comes in time: *done. */
static int each_rows_collect(bh_each *e, int ms, int *done) {
  nn_bulk_result result;
  nn_error err;
  int rc = SQLITE_OK;
  bh_each_row *row = e->waiting;
  if (nn_bulk_get(e->bulk, ms, done, &result, &err))
    return bh_table_nn_error(e->table, EACH_FUNCTION, &err);
  if (!*done) return SQLITE_OK;
  nn_status status = result.error->status;
  if (status == NN_OK) each_rows_answer(e, row, result.values);
  else if (status == NN_PICTURE || status == NN_TOO_LARGE)
    rc = each_rows_refuse(row, sqlite3_mprintf("%s", result.error->text));
  else
    rc = bh_table_nn_error(e->table, EACH_FUNCTION, result.error);
  nn_bulk_drop(e->bulk);
  row->waits = 0;
  e->done++;
  e->connection->forward_passes += status == NN_OK;
  do e->waiting = e->waiting->next;
  while (e->waiting && !e->waiting->waits);
  return rc;
}

/* The answers that there are; waits only for the first. */
static int each_rows_collect_all(bh_each *e, int ms) {
  int done = 0, rc = SQLITE_OK;
  if (e->waiting) rc = each_rows_collect(e, ms, &done);
  /* Without workers, asking is to do the work. */
  while (rc == SQLITE_OK && done && e->waiting && nn_bulk_threads(e->bulk))
    rc = each_rows_collect(e, 0, &done);
  return rc;
}

static int each_rows_look_about(bh_each *e) {
  sqlite3_int64 now = bh_clock();
  if (now - e->polled < EACH_POLL) return SQLITE_OK;
  e->polled = now;
  bh_progress_tell(&e->progress, e->done, e->query ? e->total : e->read);
  if (bh_models_is_changed(e->file))
    return bh_table_error(e->table, EACH_FUNCTION ": the model's file was "
                          "written to meanwhile");
  return bh_poll(e->connection) ? SQLITE_INTERRUPT : SQLITE_OK;
}

/* Is there something to give out, or nothing to wait for? */
static int each_rows_is_enough(const bh_each *e, int read) {
  if (e->whole) return e->rc != SQLITE_OK;
  /* Two rows read for one given out fill the window, however slow the query
  ** is; all that there is room for would keep the first row waiting. */
  return e->first && !e->first->waits && read >= EACH_READ;
}

/* Until the first row has its answer, or as the case may be, all have. */
static int each_rows_run(bh_each *e) {
  int full, read = 0;
  while (e->bulk) {
    int rc = each_rows_read(e, &full);
    if (rc != SQLITE_OK) return rc;
    read += full ? EACH_READ : 1;
    if (!e->query && !e->waiting) each_rows_stop_bulk(e);
    if (!e->bulk || each_rows_is_enough(e, read)) break;
    rc = each_rows_collect_all(e, full ? EACH_POLL : 0);
    if (rc == SQLITE_OK) rc = each_rows_look_about(e);
    if (rc != SQLITE_OK) return rc;
  }
  return SQLITE_OK;
}

/* The query's own error. */
static int each_rows_report(bh_each *e) {
  char *message = e->message;
  e->message = NULL;
  return bh_table_report(e->table, EACH_FUNCTION, e->rc, message);
}

int bh_each_next(bh_each *e, const bh_each_row **out) {
  *out = NULL;
  each_rows_free(e->given);
  e->given = NULL;
  int rc = each_rows_run(e);
  if (rc == SQLITE_OK && e->rc != SQLITE_OK && (e->whole || !e->first))
    rc = each_rows_report(e);
  if (rc != SQLITE_OK || !e->first) return rc;
  bh_each_row *row = e->first;
  e->first = row->next;
  if (!e->first) e->last = NULL;
  e->rows--;
  e->keys -= row->bytes;
  e->given = row;
  *out = row;
  return SQLITE_OK;
}

/* Opening ----------------------------------------------------------------- */

static int each_rows_place(int *blobs, int *count, int blob) {
  for (int i = 0; i < *count; i++)
    if (blobs[i] == blob) return i;
  if (*count == BH_FORWARD_BLOBS) return -1;
  blobs[*count] = blob;
  return (*count)++;
}

/*
** Which blobs.  An integer network computes what is asked for; a float32 one
** what img_hash has it compute, for what else is computed decides how it rounds
** (forward.c).  Features that are not among that (very long ones, or those of a
** file of very many heads) would change the code, and are refused.
*/
static int each_rows_blobs(bh_each *e, int features, int *blobs, int *count) {
  const nn_model *model = e->head.model;
  int latent = e->head.head->latent, chw[3];
  int whole = nn_model_kind(model) == NN_INTEGER;
  *count = whole ? 0 : bh_forward_blobs(model, latent, blobs);
  int fixed = *count;
  e->latent = each_rows_place(blobs, count, latent);
  e->features = -1;
  e->code_bytes = (e->head.head->bits + 7) / 8;
  if (!features) return SQLITE_OK;
  e->features = each_rows_place(blobs, count, e->head.head->features);
  e->feature_bytes = (sqlite3_int64)(
      nn_model_blob_shape(model, e->head.head->features, chw) * sizeof(float));
  if (e->features >= 0 && (whole || *count == fixed)) return SQLITE_OK;
  return bh_table_error(e->table, EACH_FUNCTION ": the features of this model "
                        "do not come with its codes; use img_features");
}

static int each_rows_open_bulk(bh_each *e, int features) {
  int blobs[BH_FORWARD_BLOBS];
  nn_bulk_options options = {
      .model = e->head.model, .blobs = blobs,
      .engine = bh_engine(e->connection),
      .threads = (int)e->connection->config.threads,
      .max_pixels = (uint64_t)e->connection->config.max_pixels};
  nn_error err;
  int rc = each_rows_blobs(e, features, blobs, &options.count);
  if (rc != SQLITE_OK) return rc;
  if (nn_bulk_open(&bh_memory, &options, &e->bulk, &err))
    return bh_table_nn_error(e->table, EACH_FUNCTION, &err);
  return SQLITE_OK;
}

static int each_rows_open(bh_each *e, const bh_each_options *options) {
  static const bh_inner_form form = {"sql", 2, "a key and an image"};
  char *error = NULL;
  int rc = bh_models_hold(e->connection, options->model, &e->head, &e->file,
                          &error);
  if (rc == SQLITE_OK)
    rc = bh_inner_prepare(e->connection, &form, options->sql, options->values,
                          BH_EACH_VALUES, &e->query, &error);
  if (rc != SQLITE_OK)
    return bh_table_report(e->table, EACH_FUNCTION, rc, error);
  return each_rows_open_bulk(e, options->features);
}

int bh_each_open(sqlite3_vtab *table, bh_connection *c,
                 const bh_each_options *options, bh_each **out) {
  *out = NULL;
  bh_each *e = sqlite3_malloc64(sizeof(*e));
  if (!e) return SQLITE_NOMEM;
  memset(e, 0, sizeof(*e));
  e->table = table;
  e->connection = c;
  e->total = options->total;
  e->whole = bh_inner_is_written(c);
  bh_progress_begin(&e->progress, c, EACH_FUNCTION);
  int rc = each_rows_open(e, options);
  if (rc != SQLITE_OK) {
    bh_each_close(e);
    return rc;
  }
  *out = e;
  return SQLITE_OK;
}

/*
** The rows of binhash_train's query, each an image and a label, become examples
** (nn/train.h).
**
** Rows are read on the statement's thread, and pictures go through the base
** network on as many threads as binhash_config('threads') says (nn/bulk.h), in
** the order of the rows.  So an example is announced when its row is read, and
** filled or dropped when its picture comes back; a picture that was seen before
** only gets another label.  Nothing of a picture is kept but its features.
**
** A row that cannot be learned from is no reason to stop: it is counted, and
** the first few are remembered with the reason, for the report.
*/
#include <string.h>

#include "../nn/bulk.h"
#include "inner.h"
#include "progress.h"
#include "train_int.h"
SQLITE_EXTENSION_INIT3

/* Pictures that may be on their way: more than nn_bulk takes. */
#define ROWS_WAITING 4096
#define ROWS_WAIT_MS 5            /* between questions whether to stop */

typedef struct rows_state {
  bh_connection *connection;
  const bh_train_base *base;
  nn_examples *examples;
  bh_train_rows *out;
  nn_bulk *bulk;
  struct { int example; sqlite3_int64 row; } waiting[ROWS_WAITING];
  int first, count;
  bh_progress progress;
  nn_error err;
} rows_state;

static void rows_complain(rows_state *s, sqlite3_int64 row) {
  bh_train_rows *out = s->out;
  if (out->complaints == BH_TRAIN_NAMED) return;
  bh_train_complaint *c = &out->complaint[out->complaints++];
  c->row = row;
  sqlite3_snprintf(sizeof(c->text), c->text, "%s", s->err.text);
}

/* Is it a picture's fault, and not that of memory or of the network? */
static int rows_is_of_picture(nn_status status) {
  return status == NN_PICTURE || status == NN_TOO_LARGE;
}

/* Results ------------------------------------------------------------------ */

/* The oldest picture came back. */
static nn_status rows_take(rows_state *s, const nn_bulk_result *result) {
  int example = s->waiting[s->first].example;
  sqlite3_int64 row = s->waiting[s->first].row;
  nn_status status = result->error->status;
  s->first = (s->first + 1) % ROWS_WAITING;
  s->count--;
  s->err = *result->error;
  if (!status) {
    s->connection->forward_passes++;
    status = nn_examples_fill(s->examples, example, result->values[0],
                              result->values[1], &s->err);
  }
  if (!rows_is_of_picture(status)) return status;
  nn_examples_drop(s->examples, example);
  s->out->images++;
  rows_complain(s, row);
  return NN_OK;
}

/* Wait for the oldest picture. */
static nn_status rows_drain(rows_state *s) {
  nn_bulk_result result;
  int done = 0;
  while (!done) {
    nn_status status =
        nn_bulk_get(s->bulk, ROWS_WAIT_MS, &done, &result, &s->err);
    if (status) return status;
    if (bh_poll(s->connection)) {
      s->err.status = NN_INTERRUPTED;
      return NN_INTERRUPTED;
    }
  }
  nn_status status = rows_take(s, &result);
  nn_bulk_drop(s->bulk);
  bh_progress_tell(&s->progress, s->out->rows, -1);
  return status;
}

/* Rows --------------------------------------------------------------------- */

/* The class that a label means: NN_ARGUMENT where it can mean none. */
static nn_status rows_class(rows_state *s, sqlite3_value *label, int *index) {
  int type = sqlite3_value_type(label);
  if (type != SQLITE_TEXT && type != SQLITE_INTEGER) {
    sqlite3_snprintf(sizeof(s->err.text), s->err.text, "the label is %s, not "
                     "TEXT or INTEGER", bh_type_name(type));
    return NN_ARGUMENT;
  }
  const unsigned char *text = sqlite3_value_text(label);
  if (!text) return s->err.status = NN_NOMEM;
  return nn_examples_class(s->examples, (const char *)text,
                           (size_t)sqlite3_value_bytes(label), index, &s->err);
}

static nn_status rows_put(rows_state *s, int example, const void *bytes,
                          size_t n) {
  nn_status status = NN_OK;
  while (!status && (s->count == ROWS_WAITING ||
                     !nn_bulk_has_room(s->bulk, n)))
    status = rows_drain(s);
  if (!status && bh_models_is_changed(s->base->file)) {
    sqlite3_snprintf(sizeof(s->err.text), s->err.text, "the file of the base "
                     "was written to while it was in use");
    status = s->err.status = NN_MODEL;
  }
  if (!status) status = nn_bulk_put(s->bulk, bytes, n, &s->err);
  if (status) return status;
  int at = (s->first + s->count++) % ROWS_WAITING;
  s->waiting[at].example = example;
  s->waiting[at].row = s->out->rows;
  return NN_OK;
}

static nn_status rows_image(rows_state *s, sqlite3_value *image, int index) {
  const void *bytes;
  sqlite3_int64 n;
  int example, fresh, again;
  nn_status status = bh_image(image, &bytes, &n, &s->err);
  if (status == NN_PICTURE) {
    s->out->images++;
    rows_complain(s, s->out->rows);
    return NN_OK;
  }
  if (!status)
    status = nn_examples_add(s->examples, bytes, (size_t)n, s->out->rows,
                             &example, &fresh, &s->err);
  if (status) return status;
  if (!fresh && nn_examples_is_dropped(s->examples, example)) return NN_OK;
  status = nn_examples_label(s->examples, example, index, &again, &s->err);
  s->out->repeated += again;
  if (status || !fresh) return status;
  return rows_put(s, example, bytes, (size_t)n);
}

/* A row of the query. */
static nn_status rows_row(rows_state *s, sqlite3_stmt *query) {
  sqlite3_value *image = sqlite3_column_value(query, 0);
  sqlite3_value *label = sqlite3_column_value(query, 1);
  int index;
  s->out->rows++;
  if (sqlite3_value_type(image) == SQLITE_NULL) {
    s->out->null_images++;
    return NN_OK;
  }
  if (sqlite3_value_type(label) == SQLITE_NULL) {
    s->out->null_labels++;
    return NN_OK;
  }
  nn_status status = rows_class(s, label, &index);
  if (status == NN_ARGUMENT) {
    s->out->labels++;
    rows_complain(s, s->out->rows);
    return NN_OK;
  }
  return status ? status : rows_image(s, image, index);
}

/* The whole ---------------------------------------------------------------- */

static nn_status rows_open(rows_state *s) {
  const bh_head *head = &s->base->head;
  const int blobs[2] = {head->head->features, head->head->latent};
  const nn_bulk_options options = {
      .model = head->model, .blobs = blobs, .count = 2,
      .engine = bh_engine(s->connection),
      .threads = (int)s->connection->config.threads,
      .max_pixels = (uint64_t)s->connection->config.max_pixels};
  return nn_bulk_open(&bh_memory, &options, &s->bulk, &s->err);
}

/* Until the query ends, or *status says why not. */
static int rows_loop(rows_state *s, sqlite3_stmt *query, nn_status *status,
                     char **error) {
  int rc = SQLITE_ROW;
  while (!*status &&
         (rc = bh_inner_step(s->connection, query, error)) == SQLITE_ROW)
    *status = rows_row(s, query);
  while (!*status && rc == SQLITE_DONE && s->count > 0) *status = rows_drain(s);
  return rc == SQLITE_DONE || rc == SQLITE_ROW ? SQLITE_OK : rc;
}

int bh_train_read(bh_connection *c, const bh_train_base *base,
                  sqlite3_stmt *query, nn_examples *examples,
                  bh_train_rows *out, char **error) {
  int rc = SQLITE_OK;
  rows_state *s = sqlite3_malloc64(sizeof(*s));
  *error = NULL;
  if (!s) return SQLITE_NOMEM;
  memset(s, 0, sizeof(*s));
  memset(out, 0, sizeof(*out));
  s->connection = c;
  s->base = base;
  s->examples = examples;
  s->out = out;
  bh_progress_begin(&s->progress, c, BH_TRAIN);
  nn_status status = rows_open(s);
  if (!status) rc = rows_loop(s, query, &status, error);
  if (status) {
    rc = bh_code(status);
    if (rc != SQLITE_NOMEM && rc != SQLITE_INTERRUPT)
      *error = sqlite3_mprintf("%s", s->err.text);
  }
  nn_bulk_close(s->bulk);
  sqlite3_free(s);
  return rc;
}

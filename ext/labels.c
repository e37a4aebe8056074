/*
** img_labels: the classes of an image, the most likely first.
**
**   SELECT label, score FROM img_labels(?) LIMIT 3;
**   SELECT p.path FROM photos p JOIN img_labels(p.image) l
**   WHERE l.label = 'ship' AND l.score > 0.5;
**
** As SQLite sees it, this is the table (label, score, and hidden: image,
** model).  xFilter looks at the image (forward.c) and sorts the scores of the
** model's classifier; equal scores stay in the order of the classes.  A score
** that is no number comes last.  What a row shows is copied, since a statement
** may unload the model whose rows it reads.
*/
#include <stdlib.h>
#include <string.h>

#include "ext_int.h"
SQLITE_EXTENSION_INIT3

enum { LABELS_LABEL, LABELS_SCORE, LABELS_IMAGE, LABELS_MODEL };

typedef struct labels_row {
  float score;
  int class;
  char *name;     /* NULL: the number is the label */
} labels_row;

typedef struct labels_cursor {
  bh_image_cursor base;
  labels_row *rows;   /* names lie behind them */
} labels_cursor;

static const bh_image_form labels_form = {
    .name = "img_labels",
    .schema = "CREATE TABLE x(label, score REAL, image HIDDEN, model HIDDEN)",
    .first = LABELS_IMAGE,
    .arguments = 2,
    .required = 1,
    .call = "an image: img_labels(p.image)",
    .where = "image = p.image",
    .cost = 100000,
    .rows = 10,
};

static int labels_connect(sqlite3 *db, void *aux, int argc,
                          const char *const *argv, sqlite3_vtab **out,
                          char **error) {
  (void)argc, (void)argv, (void)error;
  return bh_image_table_connect(db, aux, &labels_form, out);
}

static int labels_open(sqlite3_vtab *table, sqlite3_vtab_cursor **out) {
  (void)table;
  labels_cursor *cursor = sqlite3_malloc64(sizeof(*cursor));
  if (!cursor) return SQLITE_NOMEM;
  memset(cursor, 0, sizeof(*cursor));
  *out = &cursor->base.base;
  return SQLITE_OK;
}

static void labels_clear(labels_cursor *cursor) {
  sqlite3_free(cursor->rows);
  cursor->rows = NULL;
  bh_image_cursor_clear(&cursor->base);
}

static int labels_close(sqlite3_vtab_cursor *base) {
  labels_clear((labels_cursor *)base);
  sqlite3_free(base);
  return SQLITE_OK;
}

static int labels_compare(const void *a, const void *b) {
  const labels_row *x = a, *y = b;
  if (x->score > y->score) return -1;
  if (x->score < y->score) return 1;
  int x_is_none = x->score != x->score, y_is_none = y->score != y->score;
  if (x_is_none != y_is_none) return x_is_none - y_is_none;
  return x->class - y->class;
}

/* One row a class, and their names in the same allocation. */
static int labels_rows(labels_cursor *cursor, const nn_head *head,
                       const float *scores) {
  sqlite3_uint64 n = (sqlite3_uint64)head->classes, text = 0;
  for (int i = 0; head->class_names && i < head->classes; i++)
    text += strlen(head->class_names[i]) + 1;
  cursor->rows = sqlite3_malloc64(n * sizeof(*cursor->rows) + text + 1);
  if (!cursor->rows) return SQLITE_NOMEM;
  char *to = (char *)(cursor->rows + n);
  for (int i = 0; i < head->classes; i++) {
    labels_row *row = &cursor->rows[i];
    row->score = scores[i];
    row->class = i;
    row->name = NULL;
    if (!head->class_names) continue;
    size_t length = strlen(head->class_names[i]) + 1;
    row->name = memcpy(to, head->class_names[i], length);
    to += length;
  }
  qsort(cursor->rows, (size_t)n, sizeof(*cursor->rows), labels_compare);
  cursor->base.count = head->classes;
  return SQLITE_OK;
}

static int labels_filter(sqlite3_vtab_cursor *base, int idx_num,
                         const char *idx_str, int argc,
                         sqlite3_value **argv) {
  labels_cursor *cursor = (labels_cursor *)base;
  bh_head head;
  bh_output out;
  nn_picture picture;
  int empty;
  (void)idx_str, (void)argc;
  labels_clear(cursor);
  int rc = bh_image_cursor_begin(&cursor->base, idx_num, argv, &empty);
  if (rc != SQLITE_OK || empty) return rc;
  rc = bh_image_cursor_head(&cursor->base, LABELS_MODEL - LABELS_IMAGE, &head);
  if (rc != SQLITE_OK || head.head->classifier < 0) return rc;
  bh_look look = {.model = head.model, .blob = head.head->classifier};
  memset(&picture, 0, sizeof(picture));
  rc = bh_image_cursor_look(&cursor->base, &look, &picture, &out);
  nn_picture_free(&bh_memory, &picture);
  if (rc != SQLITE_OK) return rc;
  rc = labels_rows(cursor, head.head, out.values);
  sqlite3_free(out.owned);
  return rc;
}

static int labels_column(sqlite3_vtab_cursor *base, sqlite3_context *context,
                         int column) {
  labels_cursor *cursor = (labels_cursor *)base;
  const labels_row *row = &cursor->rows[cursor->base.at];
  if (column == LABELS_SCORE) {
    sqlite3_result_double(context, row->score);
  } else if (column != LABELS_LABEL) {
    bh_image_cursor_argument(&cursor->base, column, context);
  } else if (row->name) {
    sqlite3_result_text(context, row->name, -1, SQLITE_TRANSIENT);
  } else {
    sqlite3_result_int(context, row->class);
  }
  return SQLITE_OK;
}

static const sqlite3_module labels_module = {
    .iVersion = 0,
    .xConnect = labels_connect,
    .xBestIndex = bh_image_table_best_index,
    .xDisconnect = bh_image_table_disconnect,
    .xOpen = labels_open,
    .xClose = labels_close,
    .xFilter = labels_filter,
    .xNext = bh_image_table_next,
    .xEof = bh_image_table_eof,
    .xColumn = labels_column,
    .xRowid = bh_image_table_rowid,
};

int bh_register_labels(bh_connection *c) {
  return bh_module(c, "img_labels", &labels_module);
}

/*
** img_hash_views: the codes of an image turned, mirrored or cropped.
**
**   SELECT view, code FROM img_hash_views(?, 'd4');
**
**   SELECT t.rowid, min(t.distance) AS distance
**   FROM img_hash_views(?, 'flip') v
**   JOIN binhash_topk('photos', 'code', v.code, 10) t
**   GROUP BY t.rowid ORDER BY distance LIMIT 10;
**
** As SQLite sees it, this is the table (view, code, and hidden: image, views,
** model).  The image is decoded once; a row is computed when it is its turn,
** one picture through the network at a time, so that the code of a view is the
** one that img_hash gives for a file of those pixels, with a float32 model too,
** and LIMIT 1 pays for one.  Which pixels a view has is nn's views.c.
**
** In ORDER BY (SELECT min(hamming(code, v.code)) FROM img_hash_views(?) v)
** SQLite begins anew for every row; the passes are those of the last image
** (forward.c) then, so they are made once.
*/
#include <string.h>

#include "ext_int.h"
SQLITE_EXTENSION_INIT3

enum {
  HASH_VIEWS_VIEW, HASH_VIEWS_CODE, HASH_VIEWS_IMAGE, HASH_VIEWS_VIEWS,
  HASH_VIEWS_MODEL
};

typedef struct hash_views_cursor {
  bh_image_cursor base;
  int set;
  nn_picture picture;    /* decoded once it is needed */
  int code_bytes;
  uint8_t code[128];     /* of the row; of 1024 bits, the most there are */
} hash_views_cursor;

static const bh_image_form hash_views_form = {
    .name = "img_hash_views",
    .schema = "CREATE TABLE x(view TEXT, code BLOB, image HIDDEN, "
              "views HIDDEN, model HIDDEN)",
    .first = HASH_VIEWS_IMAGE,
    .arguments = 3,
    .required = 2,
    .call = "an image and views: img_hash_views(p.image, 'd4')",
    .where = "image = p.image AND views = 'd4'",
    .cost = 1000000,
    .rows = 8,
};

static int hash_views_connect(sqlite3 *db, void *aux, int argc,
                              const char *const *argv, sqlite3_vtab **out,
                              char **error) {
  (void)argc, (void)argv, (void)error;
  return bh_image_table_connect(db, aux, &hash_views_form, out);
}

static int hash_views_open(sqlite3_vtab *table, sqlite3_vtab_cursor **out) {
  (void)table;
  hash_views_cursor *cursor = sqlite3_malloc64(sizeof(*cursor));
  if (!cursor) return SQLITE_NOMEM;
  memset(cursor, 0, sizeof(*cursor));
  *out = &cursor->base.base;
  return SQLITE_OK;
}

static void hash_views_drop_picture(hash_views_cursor *cursor) {
  nn_picture_free(&bh_memory, &cursor->picture);
  memset(&cursor->picture, 0, sizeof(cursor->picture));
}

static int hash_views_close(sqlite3_vtab_cursor *base) {
  hash_views_cursor *cursor = (hash_views_cursor *)base;
  hash_views_drop_picture(cursor);
  bh_image_cursor_clear(&cursor->base);
  sqlite3_free(cursor);
  return SQLITE_OK;
}

/* The code of the row.  The model is looked up by its name each time, since a
** statement may unload what it uses. */
static int hash_views_compute(hash_views_cursor *cursor) {
  bh_head head;
  bh_output out;
  int rc = bh_image_cursor_head(&cursor->base,
                                HASH_VIEWS_MODEL - HASH_VIEWS_IMAGE, &head);
  if (rc != SQLITE_OK) return rc;
  bh_look look = {.model = head.model, .blob = head.head->latent,
                  .view = nn_view_of_set(cursor->set, cursor->base.at)};
  rc = bh_image_cursor_look(&cursor->base, &look, &cursor->picture, &out);
  if (rc != SQLITE_OK) return rc;
  nn_code_from_logits(out.values, head.head->bits, cursor->code);
  cursor->code_bytes = (head.head->bits + 7) / 8;
  sqlite3_free(out.owned);
  return SQLITE_OK;
}

static int hash_views_set(hash_views_cursor *cursor) {
  const int argument = HASH_VIEWS_VIEWS - HASH_VIEWS_IMAGE;
  sqlite3_value *value = cursor->base.arguments[argument];
  const char *name;
  if (sqlite3_value_type(value) != SQLITE_TEXT)
    return bh_table_error(cursor->base.base.pVtab, "img_hash_views: argument 2 "
                          "(views) must be TEXT, not %s",
                          bh_type_name(sqlite3_value_type(value)));
  int rc = bh_image_cursor_name(&cursor->base, argument, &name);
  if (rc != SQLITE_OK) return rc;
  cursor->set = nn_view_set(name);
  if (cursor->set >= 0) return SQLITE_OK;
  return bh_table_error(cursor->base.base.pVtab, "img_hash_views: argument 2 "
                        "(views) must be 'flip', 'd4' or 'crops5', not '%.40s'",
                        name);
}

static int hash_views_filter(sqlite3_vtab_cursor *base, int idx_num,
                             const char *idx_str, int argc,
                             sqlite3_value **argv) {
  hash_views_cursor *cursor = (hash_views_cursor *)base;
  int empty;
  (void)idx_str, (void)argc;
  hash_views_drop_picture(cursor);
  int rc = bh_image_cursor_begin(&cursor->base, idx_num, argv, &empty);
  if (rc != SQLITE_OK || empty) return rc;
  rc = hash_views_set(cursor);
  if (rc != SQLITE_OK) return rc;
  cursor->base.count = nn_view_set_size(cursor->set);
  return hash_views_compute(cursor);
}

static int hash_views_next(sqlite3_vtab_cursor *base) {
  hash_views_cursor *cursor = (hash_views_cursor *)base;
  if (++cursor->base.at < cursor->base.count) return hash_views_compute(cursor);
  hash_views_drop_picture(cursor);
  return SQLITE_OK;
}

static int hash_views_column(sqlite3_vtab_cursor *base,
                             sqlite3_context *context, int column) {
  hash_views_cursor *cursor = (hash_views_cursor *)base;
  if (column == HASH_VIEWS_VIEW) {
    int view = nn_view_of_set(cursor->set, cursor->base.at);
    sqlite3_result_text(context, nn_view_name(view), -1, SQLITE_STATIC);
  } else if (column == HASH_VIEWS_CODE) {
    sqlite3_result_blob(context, cursor->code, cursor->code_bytes,
                        SQLITE_TRANSIENT);
  } else {
    bh_image_cursor_argument(&cursor->base, column, context);
  }
  return SQLITE_OK;
}

static const sqlite3_module hash_views_module = {
    .iVersion = 0,
    .xConnect = hash_views_connect,
    .xBestIndex = bh_image_table_best_index,
    .xDisconnect = bh_image_table_disconnect,
    .xOpen = hash_views_open,
    .xClose = hash_views_close,
    .xFilter = hash_views_filter,
    .xNext = hash_views_next,
    .xEof = bh_image_table_eof,
    .xColumn = hash_views_column,
    .xRowid = bh_image_table_rowid,
};

int bh_register_hash_views(bh_connection *c) {
  return bh_module(c, "img_hash_views", &hash_views_module);
}

/*
** What the table-valued functions of an image share: img_labels() and
** img_hash_views().
**
** As SQLite sees it, each is a table whose arguments are equalities on hidden
** columns.  They may stand in parentheses or in WHERE, and each may depend on a
** row of another table: img_labels(p.image) in a join runs once for each p.  A
** plan in which an argument exists but has no value yet is refused, so that
** SQLite looks for an order of the join in which it has; a plan without an
** argument that is needed, which a RIGHT JOIN may leave, is accepted only to
** fail in xFilter with the form to use, for no rows would be a wrong answer.
**
** Here are the planner's view of that, the arguments of a cursor and its count
** of rows; what the rows are is the business of labels.c and hash_views.c.
*/
#include <string.h>

#include "arguments.h"
SQLITE_EXTENSION_INIT3

/* A bit of idxNum beside those of the arguments: one that is needed is not
** there. */
#define IMAGE_TABLE_INCOMPLETE (1 << BH_IMAGE_ARGUMENTS)

int bh_image_table_connect(sqlite3 *db, bh_connection *c,
                           const bh_image_form *form, sqlite3_vtab **out) {
  int rc = sqlite3_declare_vtab(db, form->schema);
  if (rc != SQLITE_OK) return rc;
  bh_image_table *table = sqlite3_malloc64(sizeof(*table));
  if (!table) return SQLITE_NOMEM;
  memset(table, 0, sizeof(*table));
  table->connection = c;
  table->form = form;
  *out = &table->base;
  return SQLITE_OK;
}

int bh_image_table_disconnect(sqlite3_vtab *table) {
  sqlite3_free(table);
  return SQLITE_OK;
}

/*
** idxNum has bit i when argument i is given; the arguments of xFilter are
** those, in order.  The cost says that a pass is dear, so that a join makes as
** few of them as it can.
*/
int bh_image_table_best_index(sqlite3_vtab *base, sqlite3_index_info *info) {
  const bh_image_form *form = ((bh_image_table *)base)->form;
  int given[BH_IMAGE_ARGUMENTS];
  int argv = 0;
  int rc = bh_plan_find(info, form->first, form->arguments, NULL, given);
  if (rc != SQLITE_OK) return rc;
  for (int i = 0; i < form->arguments; i++) {
    if (given[i] >= 0) {
      info->aConstraintUsage[given[i]].argvIndex = ++argv;
      info->aConstraintUsage[given[i]].omit = 1;
      info->idxNum |= 1 << i;
    } else if (i < form->required) {
      info->idxNum |= IMAGE_TABLE_INCOMPLETE;
    }
  }
  info->estimatedCost = info->idxNum & IMAGE_TABLE_INCOMPLETE ? 1e30
                                                              : form->cost;
  info->estimatedRows = form->rows;
  return SQLITE_OK;
}

void bh_image_cursor_clear(bh_image_cursor *cursor) {
  bh_arguments_clear(cursor->arguments, BH_IMAGE_ARGUMENTS);
  cursor->at = cursor->count = 0;
}

int bh_image_cursor_begin(bh_image_cursor *cursor, int idx_num,
                          sqlite3_value **argv, int *empty) {
  sqlite3_vtab *table = cursor->base.pVtab;
  const bh_image_form *form = ((bh_image_table *)table)->form;
  bh_image_cursor_clear(cursor);
  *empty = 0;
  if (idx_num & IMAGE_TABLE_INCOMPLETE)
    return bh_table_error(table, "%s: wants %s in FROM, or %s in WHERE, which "
                          "an outer join may keep from it; a bare name of its "
                          "columns, as image, is its own column", form->name,
                          form->call, form->where);
  for (int i = 0; i < form->arguments; i++) {
    if (!(idx_num & 1 << i)) continue;
    cursor->arguments[i] = sqlite3_value_dup(*argv);
    if (!cursor->arguments[i]) return SQLITE_NOMEM;
    if (sqlite3_value_type(*argv) == SQLITE_NULL) *empty = 1;
    argv++;
  }
  return SQLITE_OK;
}

/* The text of an argument that names something. */
int bh_image_cursor_name(bh_image_cursor *cursor, int argument,
                         const char **out) {
  sqlite3_vtab *table = cursor->base.pVtab;
  int rc = bh_text(cursor->arguments[argument], out);
  if (rc != SQLITE_MISMATCH) return rc;
  return bh_table_error(table, "%s: a name has a NUL in it",
                        ((bh_image_table *)table)->form->name);
}

int bh_image_cursor_head(bh_image_cursor *cursor, int argument, bh_head *out) {
  bh_image_table *table = (bh_image_table *)cursor->base.pVtab;
  const char *name = NULL;
  char *error = NULL;
  if (cursor->arguments[argument]) {
    int rc = bh_image_cursor_name(cursor, argument, &name);
    if (rc != SQLITE_OK) return rc;
  }
  int rc = bh_models_find(table->connection, name, out, &error);
  if (rc != SQLITE_OK && error)
    rc = bh_table_error(&table->base, "%s: %s", table->form->name, error);
  sqlite3_free(error);
  return rc;
}

int bh_image_cursor_look(bh_image_cursor *cursor, bh_look *look,
                         nn_picture *picture, bh_output *out) {
  bh_image_table *table = (bh_image_table *)cursor->base.pVtab;
  nn_error err;
  nn_status status = bh_image(cursor->arguments[0], &look->image, &look->bytes,
                              &err);
  if (!status)
    status = bh_forward(table->connection, look, picture, out, &err);
  if (!status) return SQLITE_OK;
  return bh_table_nn_error(&table->base, table->form->name, &err);
}

void bh_image_cursor_argument(const bh_image_cursor *cursor, int column,
                              sqlite3_context *context) {
  const bh_image_form *form = ((bh_image_table *)cursor->base.pVtab)->form;
  sqlite3_value *value = cursor->arguments[column - form->first];
  if (value) sqlite3_result_value(context, value);
}

int bh_image_table_next(sqlite3_vtab_cursor *base) {
  ((bh_image_cursor *)base)->at++;
  return SQLITE_OK;
}

int bh_image_table_eof(sqlite3_vtab_cursor *base) {
  bh_image_cursor *cursor = (bh_image_cursor *)base;
  return cursor->at >= cursor->count;
}

int bh_image_table_rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *rowid) {
  *rowid = ((bh_image_cursor *)base)->at + 1;
  return SQLITE_OK;
}

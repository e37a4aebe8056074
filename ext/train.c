/*
** binhash_train: a hash layer learned from one's own table.
**
**   SELECT model, report
**   FROM binhash_train('SELECT image, label FROM photos',
**                      '{"bits": 48, "epochs": 20}');
**
**   SELECT binhash_load('mine', model) FROM ...
**
** As SQLite sees it, this is the table (model, report, and hidden: sql,
** options, a1 to a8, which are bound to ?1 to ?8 of the query) with one row.
** All of the work is done when the row is asked for: the query is run and its
** pictures go through the base model (train_rows.c), a latent layer and a
** classifier are learned on the features that come out (nn/train.c), and the
** result is written as a model file, which is the BLOB, with what there is to
** say of it (train_report.c).
**
** It is a table and not an aggregate since SQLite calls xFinal for a statement
** that is aborted, too, which would then train for nothing.  It is DIRECTONLY,
** for it runs the caller's SQL.
**
** The base is held while it is in use: the query may call binhash_unload.
*/
#include <string.h>

#include "inner.h"
#include "progress.h"
#include "train_int.h"
SQLITE_EXTENSION_INIT3

#define TRAIN_VALUES 8
#define TRAIN_ARGUMENTS (2 + TRAIN_VALUES)
#define TRAIN_INCOMPLETE (1 << TRAIN_ARGUMENTS)

enum { TRAIN_MODEL, TRAIN_REPORT, TRAIN_SQL, TRAIN_OPTIONS };

static const char train_schema[] =
    "CREATE TABLE x(model BLOB, report TEXT, sql HIDDEN, options HIDDEN, "
    "a1 HIDDEN, a2 HIDDEN, a3 HIDDEN, a4 HIDDEN, a5 HIDDEN, a6 HIDDEN, "
    "a7 HIDDEN, a8 HIDDEN)";

typedef struct train_table {
  sqlite3_vtab base;
  bh_connection *connection;
} train_table;

typedef struct train_cursor {
  sqlite3_vtab_cursor base;
  sqlite3_value *arguments[TRAIN_ARGUMENTS];
  void *model;               /* for nn_train_free; NULL: no row */
  size_t bytes;
  char *report;
} train_cursor;

/* What a run has in hand. */
typedef struct train_run {
  bh_connection *connection;
  bh_train_base base;
  nn_train_options options;
  nn_examples *examples;
  nn_trained *trained;
  bh_train_rows rows;
  nn_train_result result;
  bh_progress progress;
  sqlite3_int64 begun, read; /* bh_clock */
  nn_error err;
} train_run;

/* The run ------------------------------------------------------------------ */

static int train_fail(train_cursor *cursor, const nn_error *err) {
  if (err->status == NN_INTERRUPTED) return SQLITE_INTERRUPT;
  return bh_table_nn_error(cursor->base.pVtab, BH_TRAIN, err);
}

static int train_stop(void *context) {
  return bh_poll(((train_run *)context)->connection);
}

static void train_tell(void *context, int epoch, double loss) {
  train_run *run = context;
  bh_progress_say(&run->progress, "epoch %d of %d, loss %.4f", epoch,
                  run->options.epochs, loss);
}

static int train_options(train_cursor *cursor, train_run *run) {
  const char *text;
  int rc = bh_table_name(cursor->base.pVtab, BH_TRAIN, cursor->arguments[1],
                         "options", 1, &text);
  if (rc != SQLITE_OK) return rc;
  if (text && !*text)
    return bh_table_error(cursor->base.pVtab,
                          BH_TRAIN ": options: expected a JSON object");
  if (nn_train_options_read(&bh_memory, text, text ? strlen(text) : 0,
                            &run->options, &run->err))
    return train_fail(cursor, &run->err);
  return SQLITE_OK;
}

/* The base, held. */
static int train_base(train_cursor *cursor, train_run *run) {
  char *error = NULL;
  bh_train_base *base = &run->base;
  const char *name = run->options.base[0] ? run->options.base : NULL;
  int rc = bh_models_hold(run->connection, name, &base->head, &base->file,
                          &error);
  if (rc != SQLITE_OK)
    return bh_table_report(cursor->base.pVtab, BH_TRAIN, rc, error);
  base->name = name ? name : bh_models_default();
  rc = bh_models_sha256(base->file, base->name, &base->sha256, &error);
  if (rc != SQLITE_OK)
    return bh_table_report(cursor->base.pVtab, BH_TRAIN, rc, error);
  if (nn_examples_open(&bh_memory, base->head.model, base->head.head,
                       &run->examples, &run->err))
    return train_fail(cursor, &run->err);
  return SQLITE_OK;
}

static int train_read(train_cursor *cursor, train_run *run) {
  static const bh_inner_form form = {"sql", 2, "an image and a label"};
  sqlite3_stmt *query = NULL;
  char *error;
  int rc = bh_inner_prepare(run->connection, &form, cursor->arguments[0],
                            cursor->arguments + 2, TRAIN_VALUES, &query,
                            &error);
  if (rc == SQLITE_OK) {
    rc = bh_train_read(run->connection, &run->base, query, run->examples,
                       &run->rows, &error);
  }
  /* Before the training, which may be long: it holds a read transaction. */
  sqlite3_finalize(query);
  run->read = bh_clock();
  return rc == SQLITE_OK
             ? rc : bh_table_report(cursor->base.pVtab, BH_TRAIN, rc, error);
}

static int train_learn(train_cursor *cursor, train_run *run) {
  const nn_watch watch = {train_stop, train_tell, run};
  nn_status status = nn_train(&bh_memory, run->examples, &run->options, &watch,
                              &run->trained, &run->result, &run->err);
  if (status == NN_ARGUMENT && !run->trained && run->result.images == 0)
    return bh_table_error(cursor->base.pVtab, BH_TRAIN ": none of the %lld "
                          "rows of the query has a label and an image that can "
                          "be decoded%s%s", run->rows.rows,
                          run->rows.complaints ? "; the first: " : "",
                          run->rows.complaints ? run->rows.complaint[0].text
                                               : "");
  return status ? train_fail(cursor, &run->err) : SQLITE_OK;
}

static int train_write(train_cursor *cursor, train_run *run) {
  const bh_train_run told = {
      .options = &run->options, .base = &run->base,
      .examples = run->examples, .rows = &run->rows, .result = &run->result,
      .reading = (double)(run->read - run->begun) / 1000,
      .training = (double)(bh_clock() - run->read) / 1000};
  char *report = bh_train_report(run->connection, &told, 0);
  if (!report) return SQLITE_NOMEM;
  nn_status status = nn_trained_write(run->trained, report, &cursor->model,
                                      &cursor->bytes, &run->err);
  sqlite3_free(report);
  if (status) return train_fail(cursor, &run->err);
  cursor->report = bh_train_report(run->connection, &told, 1);
  return cursor->report ? SQLITE_OK : SQLITE_NOMEM;
}

static int train_all(train_cursor *cursor, bh_connection *c) {
  train_run run;
  memset(&run, 0, sizeof(run));
  run.connection = c;
  run.begun = bh_clock();
  bh_progress_begin(&run.progress, c, BH_TRAIN);
  int rc = train_options(cursor, &run);
  if (rc == SQLITE_OK) rc = train_base(cursor, &run);
  if (rc == SQLITE_OK) rc = train_read(cursor, &run);
  if (rc == SQLITE_OK) rc = train_learn(cursor, &run);
  if (rc == SQLITE_OK) rc = train_write(cursor, &run);
  nn_trained_close(run.trained);
  nn_examples_close(run.examples);
  bh_models_release(run.base.file);
  return rc;
}

/* The table ---------------------------------------------------------------- */

static int train_connect(sqlite3 *db, void *aux, int argc,
                         const char *const *argv, sqlite3_vtab **out,
                         char **error) {
  (void)argc, (void)argv, (void)error;
  int rc = sqlite3_declare_vtab(db, train_schema);
  if (rc == SQLITE_OK) rc = sqlite3_vtab_config(db, SQLITE_VTAB_DIRECTONLY);
  if (rc != SQLITE_OK) return rc;
  train_table *table = sqlite3_malloc64(sizeof(*table));
  if (!table) return SQLITE_NOMEM;
  memset(table, 0, sizeof(*table));
  table->connection = aux;
  *out = &table->base;
  return SQLITE_OK;
}

static int train_disconnect(sqlite3_vtab *table) {
  sqlite3_free(table);
  return SQLITE_OK;
}

/*
** idxNum has bit i when argument i is given; the arguments of xFilter are
** those, in order.  An argument that has no value yet waits for another plan;
** without sql, xFilter says what is wanted.
*/
static int train_best_index(sqlite3_vtab *table, sqlite3_index_info *info) {
  int given[TRAIN_ARGUMENTS], argv = 0;
  (void)table;
  for (int i = 0; i < TRAIN_ARGUMENTS; i++) given[i] = -1;
  for (int i = 0; i < info->nConstraint; i++) {
    const struct sqlite3_index_constraint *c = &info->aConstraint[i];
    int argument = c->iColumn - TRAIN_SQL;
    if (argument < 0 || c->op != SQLITE_INDEX_CONSTRAINT_EQ) continue;
    if (!c->usable) return SQLITE_CONSTRAINT;
    if (given[argument] < 0) given[argument] = i;
  }
  for (int i = 0; i < TRAIN_ARGUMENTS; i++) {
    if (given[i] < 0) continue;
    info->aConstraintUsage[given[i]].argvIndex = ++argv;
    info->aConstraintUsage[given[i]].omit = 1;
    info->idxNum |= 1 << i;
  }
  if (given[0] < 0) info->idxNum |= TRAIN_INCOMPLETE;
  info->estimatedCost = given[0] < 0 ? 1e30 : 1e9;
  info->estimatedRows = 1;
  return SQLITE_OK;
}

static int train_open(sqlite3_vtab *table, sqlite3_vtab_cursor **out) {
  (void)table;
  train_cursor *cursor = sqlite3_malloc64(sizeof(*cursor));
  if (!cursor) return SQLITE_NOMEM;
  memset(cursor, 0, sizeof(*cursor));
  *out = &cursor->base;
  return SQLITE_OK;
}

static void train_clear(train_cursor *cursor) {
  for (int i = 0; i < TRAIN_ARGUMENTS; i++) {
    sqlite3_value_free(cursor->arguments[i]);
    cursor->arguments[i] = NULL;
  }
  nn_train_free(&bh_memory, cursor->model);
  sqlite3_free(cursor->report);
  cursor->model = NULL;
  cursor->report = NULL;
}

static int train_close(sqlite3_vtab_cursor *base) {
  train_clear((train_cursor *)base);
  sqlite3_free(base);
  return SQLITE_OK;
}

static int train_filter(sqlite3_vtab_cursor *base, int idx_num,
                        const char *idx_str, int argc, sqlite3_value **argv) {
  train_cursor *cursor = (train_cursor *)base;
  (void)idx_str, (void)argc;
  train_clear(cursor);
  if (idx_num & TRAIN_INCOMPLETE)
    return bh_table_error(base->pVtab, BH_TRAIN ": wants a query in FROM: "
                          "binhash_train('SELECT image, label FROM photos'), "
                          "which an outer join may keep from it");
  for (int i = 0; i < TRAIN_ARGUMENTS; i++) {
    if (!(idx_num & 1 << i)) continue;
    cursor->arguments[i] = sqlite3_value_dup(*argv++);
    if (!cursor->arguments[i]) return SQLITE_NOMEM;
  }
  if (sqlite3_value_type(cursor->arguments[0]) == SQLITE_NULL)
    return SQLITE_OK;
  int rc = train_all(cursor, ((train_table *)base->pVtab)->connection);
  if (rc != SQLITE_OK) train_clear(cursor);
  return rc;
}

/* The one row is gone, and with it the model. */
static int train_next(sqlite3_vtab_cursor *base) {
  train_clear((train_cursor *)base);
  return SQLITE_OK;
}

static int train_eof(sqlite3_vtab_cursor *base) {
  return ((train_cursor *)base)->model == NULL;
}

static int train_column(sqlite3_vtab_cursor *base, sqlite3_context *context,
                        int column) {
  train_cursor *cursor = (train_cursor *)base;
  if (column == TRAIN_MODEL)
    sqlite3_result_blob64(context, cursor->model, cursor->bytes,
                          SQLITE_TRANSIENT);
  else if (column == TRAIN_REPORT)
    sqlite3_result_text(context, cursor->report, -1, SQLITE_TRANSIENT);
  else if (cursor->arguments[column - TRAIN_SQL])
    sqlite3_result_value(context, cursor->arguments[column - TRAIN_SQL]);
  return SQLITE_OK;
}

static int train_rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *rowid) {
  (void)base;
  *rowid = 1;
  return SQLITE_OK;
}

static const sqlite3_module train_module = {
    .iVersion = 0,
    .xConnect = train_connect,
    .xBestIndex = train_best_index,
    .xDisconnect = train_disconnect,
    .xOpen = train_open,
    .xClose = train_close,
    .xFilter = train_filter,
    .xNext = train_next,
    .xEof = train_eof,
    .xColumn = train_column,
    .xRowid = train_rowid,
};

int bh_register_train(bh_connection *c) {
  return bh_module(c, BH_TRAIN, &train_module);
}

/*
** What the files of ext share, a section per file.
**
** ext speaks SQLite and nothing else: it fetches arguments, hands nn bytes and
** memory, and turns what comes back into results.
*/
#ifndef BINHASH_EXT_INT_H
#define BINHASH_EXT_INT_H

#ifdef SQLITE_CORE
#include <sqlite3.h>
#define SQLITE_EXTENSION_INIT1
#define SQLITE_EXTENSION_INIT3
#else
#include <sqlite3ext.h>
#endif

#include "../nn/codes.h"
#include "../nn/network.h"
#include "../nn/pictures.h"
#include "binhash.h"

/* For what is rare, beside something that runs once a row. */
#if defined(__GNUC__)
#define BH_NOINLINE __attribute__((noinline))
#else
#define BH_NOINLINE
#endif

/* connection.c ------------------------------------------------------------ */

typedef struct bh_models bh_models;   /* models.c */

/* Passes of the last image that are remembered: eight views by two models. */
#define BH_LAST_PASSES 16

/*
** What binhash knows of one connection.  Every function and module registered
** holds a reference, and the last one to be destroyed frees it, so it outlives
** the statements that use it.
*/
typedef struct bh_connection {
  sqlite3 *db;
  int references;
  bh_models *models;
  struct {
    sqlite3_int64 max_pixels;
    sqlite3_int64 threads;
    sqlite3_int64 cache_bytes;
    sqlite3_int64 progress;   /* 0 off, 1 log, 2 stderr */
    sqlite3_int64 amx;        /* 1: the process has the permission */
    sqlite3_int64 multi_index;   /* 0 never, 1 when it pays, 2 at once */
  } config;
  sqlite3_int64 index_bytes;      /* of all indexes' copies in memory */
  struct bh_index *indexes;       /* those that are connected */
  sqlite3_int64 forward_passes;   /* images through a network so far */
  struct bh_scan_state *scanning; /* the search that is reading a table now */
  int inner_depth;                /* of queries in arguments (inner.h) */
  sqlite3_int64 progress_told;    /* when the last line was (progress.c) */
  /* The last image and the passes that it went through, so that a call which
  ** SQLite repeats for every row costs a comparison of it (forward.c). */
  struct {
    void *image;
    sqlite3_int64 bytes;
    int count;
    struct bh_pass *pass[BH_LAST_PASSES];
  } last;
} bh_connection;

/* What forward passes of a connection run by. */
static inline nn_engine bh_engine(const bh_connection *c) {
  return c->config.amx ? NN_AMX : NN_FAST;
}

bh_connection *bh_connection_new(sqlite3 *db);
void bh_connection_unref(void *connection);   /* an xDestroy */
/* Is there a function of this name that takes so many arguments, ours or not?
** SQLITE_OK, or why that cannot be known now. */
int bh_has_function(sqlite3 *db, const char *name, int arguments, int *has);
/* Register a scalar function that holds a reference.  flags as for
** sqlite3_create_function_v2, SQLITE_UTF8 is added. */
int bh_function(bh_connection *connection, const char *name, int arguments,
                int flags,
                void (*function)(sqlite3_context *, int, sqlite3_value **));
/* Register an eponymous module that holds a reference; pAux of xConnect is the
** connection. */
int bh_module(bh_connection *connection, const char *name,
              const sqlite3_module *module);

/* errors.c: the one place where a status of nn becomes an error of SQLite -- */

extern const nn_memory bh_memory;   /* sqlite3_malloc64 and sqlite3_free */

/* The SQLite code for a status of nn. */
int bh_code(nn_status status);
/* "function: sentence" as the result of a function, with bh_code. */
void bh_result_error(sqlite3_context *context, const char *function,
                     const nn_error *err);
/* The same with a sentence of ext's own; the code is SQLITE_ERROR. */
void bh_result_text_error(sqlite3_context *context, const char *format, ...);
/* Set the message of a virtual table and return SQLITE_ERROR. */
int bh_table_error(sqlite3_vtab *table, const char *format, ...);
int bh_table_nn_error(sqlite3_vtab *table, const char *function,
                      const nn_error *err);
/* "function: message" as the table's message, unless it begins so; message is
** freed.  Returns rc, or SQLITE_NOMEM. */
int bh_table_report(sqlite3_vtab *table, const char *function, int rc,
                    char *message);
/* The text of an argument of a table-valued function that is a name.  value may
** be NULL; an optional one that is not given, or NULL, is NULL. */
int bh_table_name(sqlite3_vtab *table, const char *function,
                  sqlite3_value *value, const char *name, int optional,
                  const char **out);

/* "function: message" as the result of a function, with its code; message is
** freed, and without one there was no memory for it. */
void bh_result_message(sqlite3_context *context, const char *function, int rc,
                       char *message);

/* values.c ---------------------------------------------------------------- */

/* "INTEGER", "REAL", "TEXT", "BLOB" or "NULL". */
const char *bh_type_name(int type);
/* A value that is not NULL as a C string: SQLITE_OK, SQLITE_NOMEM, or
** SQLITE_MISMATCH where it has a NUL in it. */
int bh_text(sqlite3_value *value, const char **out);
/*
** The bytes of an argument that is an encoded image, never NULL for an empty
** one.  NN_PICTURE for what is no BLOB, with a sentence that is the same for
** every function; NN_NOMEM.
*/
nn_status bh_image(sqlite3_value *value, const void **bytes, sqlite3_int64 *n,
                   nn_error *err);

/* forward.c --------------------------------------------------------------- */

/* What to look at: a blob of a model, for a view (nn/pictures.h) of an image
** as it is encoded. */
typedef struct bh_look {
  const nn_model *model;
  int blob;
  int view;
  const void *image;
  sqlite3_int64 bytes;
} bh_look;

/* The blob's values, valid until the next look, pass or change of settings of
** the connection; owned is for sqlite3_free, which NULL is fine for. */
typedef struct bh_output {
  const float *values;
  void *owned;
} bh_output;

/*
** From memory or computed.  picture is the decoded image, or zeroed and then
** decoded into if that is needed; the caller frees it in either case, after an
** error too.
*/
nn_status bh_forward(bh_connection *connection, const bh_look *look,
                     nn_picture *picture, bh_output *out, nn_error *err);
/* The same for a picture of which no image is known. */
nn_status bh_forward_picture(bh_connection *connection, const nn_model *model,
                             int blob, const nn_picture *picture,
                             bh_output *out, nn_error *err);
/* The blobs that a pass computes of which `blob` is wanted; their number. */
#define BH_FORWARD_BLOBS 64   /* that nn_run_blobs takes */
int bh_forward_blobs(const nn_model *model, int blob, int *blobs);
/* Drop the remembered image. */
void bh_connection_forget(bh_connection *connection);

/* codes.c, images.c, labels.c ...: what each registers --------------------- */

int bh_register_codes(bh_connection *connection);
int bh_register_features(bh_connection *connection);
int bh_register_images(bh_connection *connection);
int bh_register_labels(bh_connection *connection);
int bh_register_hash_views(bh_connection *connection);
int bh_register_models(bh_connection *connection);
int bh_register_settings(bh_connection *connection);
int bh_register_topk(bh_connection *connection);
int bh_register_pairs(bh_connection *connection);
int bh_register_each(bh_connection *connection);
int bh_register_train(bh_connection *connection);
int bh_register_fine(bh_connection *connection);

/* constraints.c: what WHERE says of distances and rowids ------------------- */

typedef struct bh_bounds {
  sqlite3_int64 min, max;
  int empty;                  /* nothing can be within */
} bh_bounds;

/* The letter under which xFilter is given a bound, 0 for other operators. */
char bh_bound_letter(int op);
void bh_bounds_take(bh_bounds *bounds, char letter, sqlite3_value *value);

/* Rising once they are taken from a list; list NULL: no constraint. */
typedef struct bh_rowids {
  sqlite3_int64 *list;
  sqlite3_int64 count, room;
} bh_rowids;

void bh_rowids_clear(bh_rowids *rowids);
int bh_rowids_add(bh_rowids *rowids, sqlite3_int64 rowid);
/* rowid = value, rowid IN (list): *empty is set where no row can match. */
int bh_rowids_take(bh_rowids *rowids, sqlite3_value *value, int *empty);
int bh_rowids_take_list(bh_rowids *rowids, sqlite3_value *list, int *empty);

/* LIMIT and OFFSET, -1 while not known; how many rows they ask for in all, 0
** where that is not known. */
void bh_hint_take(sqlite3_int64 *hint, sqlite3_value *value);
sqlite3_int64 bh_hint(sqlite3_int64 limit, sqlite3_int64 offset);

/* topk_plan.c: what the planner is told of binhash_topk -------------------- */

extern const char bh_topk_schema[];

enum {   /* the columns */
  BH_TOPK_ROWID, BH_TOPK_CODE, BH_TOPK_TABLE, BH_TOPK_COLUMN, BH_TOPK_QUERY,
  BH_TOPK_K, BH_TOPK_SCHEMA, BH_TOPK_KEY_COLUMN, BH_TOPK_DISTANCE, BH_TOPK_KEY
};

/* Those that are the function's arguments, counted from 0. */
#define BH_TOPK_ARGUMENTS 6
#define BH_TOPK_ARGUMENT(column) ((column) - BH_TOPK_TABLE)

/* idxStr has a letter for each argument of xFilter; these are the letters of
** the function's arguments, the others are told in topk_plan.c. */
extern const char bh_topk_letters[];

/* Bits of idxNum. */
#define BH_TOPK_READS_CODE 1
#define BH_TOPK_READS_KEY 2
#define BH_TOPK_INCOMPLETE 4

int bh_topk_best_index(sqlite3_vtab *table, sqlite3_index_info *info);

/* models.c ---------------------------------------------------------------- */

/*
** The head that a name stands for on this connection, the default one for NULL.
** On error: NULL, and *error is a message for sqlite3_free (or NULL when out of
** memory).
*/
typedef struct bh_head {
  const nn_model *model;
  const nn_head *head;
} bh_head;
int bh_models_find(bh_connection *connection, const char *name, bh_head *out,
                   char **error);
/* The default model's name, NULL when built without one. */
const char *bh_models_default(void);
void bh_models_free(bh_models *models);
/* The i-th model, copied; its name is "" past the last. */
typedef struct bh_model_row {
  char name[104];
  struct bh_model_file *file;   /* held, for bh_models_release */
  const char *kind;   /* a static string */
  int bits, is_default;
  char *report;       /* for sqlite3_free; NULL: none */
} bh_model_row;
int bh_models_describe(bh_connection *connection, int i, bh_model_row *row,
                       char **error);

/* image_table.c: table-valued functions of an image ------------------------ */

#define BH_IMAGE_ARGUMENTS 3   /* at most: the image, and what else there is */

/* What such a function is.  Its arguments are the columns from `first` on, the
** image before all. */
typedef struct bh_image_form {
  const char *name, *schema;
  int first, arguments;
  int required;              /* of the arguments, the first */
  const char *call, *where;  /* "wants CALL in FROM, or WHERE in WHERE" */
  double cost;
  sqlite3_int64 rows;
} bh_image_form;

typedef struct bh_image_table {
  sqlite3_vtab base;
  bh_connection *connection;
  const bh_image_form *form;
} bh_image_table;

typedef struct bh_image_cursor {
  sqlite3_vtab_cursor base;
  sqlite3_value *arguments[BH_IMAGE_ARGUMENTS];   /* NULL: not given */
  int at, count;                                  /* rows */
} bh_image_cursor;

/* Methods of the module, and xConnect but for the form. */
int bh_image_table_connect(sqlite3 *db, bh_connection *connection,
                           const bh_image_form *form, sqlite3_vtab **out);
int bh_image_table_disconnect(sqlite3_vtab *table);
int bh_image_table_best_index(sqlite3_vtab *table, sqlite3_index_info *info);
int bh_image_table_next(sqlite3_vtab_cursor *cursor);
int bh_image_table_eof(sqlite3_vtab_cursor *cursor);
int bh_image_table_rowid(sqlite3_vtab_cursor *cursor, sqlite3_int64 *rowid);

/* The start of xFilter: takes the arguments.  *empty: one of them is NULL, and
** there are no rows. */
int bh_image_cursor_begin(bh_image_cursor *cursor, int idx_num,
                          sqlite3_value **argv, int *empty);
void bh_image_cursor_clear(bh_image_cursor *cursor);
/* Each of these sets the table's message on error: the text of an argument that
** is given; the head that one names, or the default; what it makes of the
** image. */
int bh_image_cursor_name(bh_image_cursor *cursor, int argument,
                         const char **out);
int bh_image_cursor_head(bh_image_cursor *cursor, int argument, bh_head *out);
int bh_image_cursor_look(bh_image_cursor *cursor, bh_look *look,
                         nn_picture *picture, bh_output *out);
/* A hidden column as the result. */
void bh_image_cursor_argument(const bh_image_cursor *cursor, int column,
                              sqlite3_context *context);

/* models_table.c ---------------------------------------------------------- */

int bh_register_models_table(bh_connection *connection);

/* default_model.c --------------------------------------------------------- */

/* The compiled-in model's bytes and name; *n is 0 and the name NULL when built
** with MODEL=none. */
const void *bh_default_model(sqlite3_int64 *n, const char **name);

/* index*.c: the virtual table binhash(bits=48) ----------------------------- */

#define BH_INDEX_FORMAT 1

/* A block in memory, as it is on disk (nn/codes.h). */
typedef struct bh_held {
  sqlite3_int64 id;            /* its key in the table of blocks */
  nn_block block;
  int references;
  uint32_t size;
  uint64_t indexed;            /* that multi-index's number, 0 for none */
  uint64_t removed;            /* since this version; UINT64_MAX: it stands */
  struct bh_slab *slab;        /* where it lies, NULL: in memory of its own */
  uint8_t bytes[];
} bh_held;

/* What the blocks of a walk are laid into, while it goes on. */
typedef struct bh_slab bh_slab;
typedef struct bh_slabs {
  bh_slab *current;
  sqlite3_int64 left;          /* bytes that may be to come, 0: no slabs */
  sqlite3_int64 taken;         /* bytes so far */
  int few;                     /* hardly any may come */
} bh_slabs;

/* All rows of an index at one stamp.  Held by the table while it is the last
** one read, and by each cursor that searches in it. */
typedef struct bh_snapshot {
  int references;
  sqlite3_int64 stamp;
  uint64_t version;            /* rises with each snapshot of a table */
  sqlite3_int64 rows;
  size_t count, room;
  bh_held **held;              /* in the order of rowids */
  size_t fresh_count, fresh_room;
  size_t *fresh;               /* those that the multi-index does not have */
  sqlite3_int64 bytes;         /* memory, the blocks' included, and the dead */
  sqlite3_int64 dead;          /* bytes of slabs that are no block's of it */
} bh_snapshot;

/* A multi-index and the blocks that it was made of. */
typedef struct bh_multi {
  int references;
  uint64_t number;
  nn_multi *multi;
  bh_held **held;
  size_t count;
  sqlite3_int64 rows;
} bh_multi;

/* A change that is not written yet. */
typedef struct bh_change {
  sqlite3_int64 rowid;
  uint32_t code;               /* where in the codes, counted in codes */
  uint32_t gone;               /* the row is deleted, if it is there */
} bh_change;

/* Changes since the last flush, in the order in which they came. */
typedef struct bh_pending {
  bh_change *changes;
  uint32_t count, room;
  uint8_t *codes;
  uint32_t *slots;             /* rowid -> change + 1, 0 is free */
  sqlite3_int64 max;           /* the greatest rowid */
  int rising;                  /* rowids have only risen */
  int deletions;
} bh_pending;

/* What index_store.c prepares. */
enum {
  BH_INDEX_STATE, BH_INDEX_SET_STATE, BH_INDEX_AT, BH_INDEX_NEXT, BH_INDEX_GET,
  BH_INDEX_LAST, BH_INDEX_WALK, BH_INDEX_PUT, BH_INDEX_DROP, BH_INDEX_SQL
};

typedef struct bh_index {
  sqlite3_vtab base;
  bh_connection *connection;
  struct bh_index *next;       /* of the connection's */
  char *schema, *name;
  int bits, bytes;             /* of a code */
  char *content, *content_rowid, *content_column;   /* NULL: none */
  char *model;                 /* NULL: none */
  sqlite3_stmt *sql[BH_INDEX_SQL];
  bh_pending pending;
  int failed;                  /* a flush did: nothing can be committed */
  int savepoint;               /* the last at which all was flushed, -1: none */
  int failed_savepoint;        /* that one when the flush failed */
  unsigned rollbacks;          /* of any kind, so far */
  sqlite3_int64 written;       /* rows, since the last savepoint */
  /* The greatest rowid of the blocks, as far as it is known. */
  int max_known, max_any;
  sqlite3_int64 max_rowid;
  /* The block that was looked into last, NULL: none; rowids before `until`. */
  bh_held *seen;
  sqlite3_int64 until;
  int seen_last;               /* there is no block behind it */
  struct bh_known *known;      /* rowids of blocks that were looked into */
  /* Rows that the insertion in hand may push out of the content table. */
  bh_rowids replacing;
  bh_snapshot *snapshot;
  uint64_t versions;
  bh_multi *multi;
  sqlite3_int64 multi_bytes;
  uint64_t multis;
  sqlite3_int64 scanned;       /* rows, since the multi-index could be built */
  /* Nanoseconds: of a search by scan lately, 0: unknown; saved by those through
  ** the multi-index. */
  sqlite3_int64 scan_took, saved;
} bh_index;

/* The table's state row. */
typedef struct bh_index_state {
  sqlite3_int64 stamp, rows;
  const uint8_t *changes;      /* valid until the statement is reset */
  int change_bytes;
} bh_index_state;

/* index.c: the table itself */
/* A value as a code of the index, index->bytes bytes: SQLITE_OK, SQLITE_NOMEM,
** or SQLITE_CONSTRAINT with a sentence for sqlite3_free. */
int bh_index_code(const bh_index *index, sqlite3_value *value, uint8_t *code,
                  char **problem);
/* The model of the index, which must be the one whose sha256 was recorded. */
int bh_index_model(bh_index *index, bh_head *out);
int bh_register_index(bh_connection *connection);

/* index_store.c: the shadow tables */
int bh_index_sql(bh_index *index, int which, sqlite3_stmt **out);
void bh_index_forget_sql(bh_index *index);
int bh_index_create_tables(bh_index *index, const char *sha256);
int bh_index_drop_tables(bh_index *index);
int bh_index_rename_tables(bh_index *index, const char *name);
/* *statement is to be reset by the caller when it is done with the state. */
int bh_index_read_state(bh_index *index, bh_index_state *state,
                        sqlite3_stmt **statement);
/* The sha256 that was recorded for the model; for sqlite3_free. */
int bh_index_read_sha256(bh_index *index, char **sha256);
int bh_index_write_state(bh_index *index, const bh_index_state *state);
/*
** After a flush, whose last statement wrote one row: have changes() be n, what
** it was before.  Only a statement that writes n rows does that, so the state
** is written over n times, or not at all.  Where n is above the maximum it
** stays 1; no statement of so many rows leaves changes to a later flush.
*/
#define BH_INDEX_CHANGES_MAX 1000
int bh_index_restore_changes(bh_index *index, sqlite3_int64 n);
/* The row of a statement, whose columns are id and block, as a block that was
** checked; the table's message is set when it is not sound.  slabs: where its
** memory may come from, or NULL. */
int bh_index_hold(bh_index *index, sqlite3_stmt *statement, bh_slabs *slabs,
                  bh_held **out);
/* The block in whose range a rowid is, into index->seen; NULL when there is no
** block at all.  Kept until a flush, and no longer than the transaction. */
int bh_index_see(bh_index *index, sqlite3_int64 rowid);
void bh_index_unsee(bh_index *index);
/* SQLITE_CORRUPT_VTAB with a message. */
int bh_index_corrupt(bh_index *index, const char *what, sqlite3_int64 id);
/* Prepare the statement, or run the statements, that a format and its arguments
** give.  *out is NULL unless it is prepared. */
int bh_index_prepare(bh_index *index, sqlite3_stmt **out, const char *format,
                     ...);
int bh_index_exec(bh_index *index, const char *format, ...);

/* index_slab.c: memory for blocks */
/* For a table of so many rows, of which no more than so many bytes may come.
** few: most of its blocks may be there by now. */
void bh_slabs_open(bh_slabs *slabs, const bh_index *index, sqlite3_int64 rows,
                   sqlite3_int64 most, int few);
void bh_slabs_close(bh_slabs *slabs);
/* A block of so many bytes, which has one reference; NULL without memory. */
bh_held *bh_held_new(bh_slabs *slabs, size_t bytes);
void bh_held_unref(bh_held *held);   /* NULL is fine */
/* Bytes of a slab that blocks have or had; when asked again for the same
** version, 0. */
sqlite3_int64 bh_slab_used(bh_slab *slab, uint64_t version);

/* index_pending.c: changes that are not written yet */
int bh_index_put(bh_index *index, sqlite3_int64 rowid, const void *code);
int bh_index_remove(bh_index *index, sqlite3_int64 rowid);
int bh_index_has(bh_index *index, sqlite3_int64 rowid, int *has);
int bh_index_new_rowid(bh_index *index, sqlite3_int64 *rowid);
void bh_index_drop_pending(bh_index *index);
/* Put them in the order of rowids; then they cannot be found any more. */
void bh_pending_sort(bh_pending *pending);
void bh_pending_free(bh_pending *pending);

/* index_write.c: how they reach the blocks */
int bh_index_flush(bh_index *index);
/* Nothing can be committed before a rollback. */
void bh_index_fail(bh_index *index, int rc);
/* Remove every row at once. */
int bh_index_clear(bh_index *index);

/* index_known.c: rowids that a transaction knows of */
/* 1 if it is known whether the blocks have the rowid. */
int bh_known_has(const bh_index *index, sqlite3_int64 rowid, int *has);
/* Know those of index->seen; without memory it knows less. */
void bh_known_add(bh_index *index);
void bh_known_forget(bh_index *index);

/* index_cache.c: the copy in memory */
/* The rows as they are now; *out is NULL where they are more than memory may
** hold, and a reference otherwise. */
int bh_index_snapshot(bh_index *index, bh_snapshot **out);
void bh_snapshot_unref(bh_index *index, bh_snapshot *snapshot);
void bh_multi_unref(bh_multi *multi);
/* A reference to the multi-index if one serves this snapshot, or is worth
** building now; else NULL. */
int bh_index_multi(bh_index *index, bh_snapshot *snapshot, bh_multi **out);
/* A search through it, or with NULL a scan, took so many nanoseconds. */
void bh_index_judge(bh_index *index, const bh_multi *multi, sqlite3_int64 took);
void bh_index_drop_cache(bh_index *index);
/* The block of a snapshot in whose range the rowid is. */
size_t bh_snapshot_find(const bh_snapshot *snapshot, sqlite3_int64 rowid);

/* index_search.c: the stream of rows by distance */
typedef struct bh_search bh_search;
typedef struct bh_found {
  sqlite3_int64 rowid;
  int distance;                /* -1 after the last */
} bh_found;
int bh_search_open(bh_index *index, const void *query, bh_bounds distance,
                   const bh_rowids *rowids, sqlite3_int64 hint,
                   bh_search **out);
int bh_search_next(bh_search *search, bh_found *found);
/* The code of a row that came out. */
int bh_search_code(bh_search *search, sqlite3_int64 rowid, uint8_t *code,
                   int *has);
/* Are the blocks of the search in memory?  If not, codes are read anew. */
int bh_search_is_cached(const bh_search *search);
void bh_search_close(bh_search *search);   /* NULL is fine */

/* index_plan.c */
enum {   /* the columns; the one that is called like the table is SELF */
  BH_INDEX_CODE, BH_INDEX_QUERY, BH_INDEX_IMAGE, BH_INDEX_SELF,
  BH_INDEX_DISTANCE
};
#define BH_INDEX_IS_SEARCH 1
#define BH_INDEX_LACKS_QUERY 2
int bh_index_best_index(sqlite3_vtab *table, sqlite3_index_info *info);

/* index_cursor.c */
int bh_index_open(sqlite3_vtab *table, sqlite3_vtab_cursor **out);
int bh_index_close(sqlite3_vtab_cursor *cursor);
int bh_index_filter(sqlite3_vtab_cursor *cursor, int idx_num,
                    const char *idx_str, int argc, sqlite3_value **argv);
int bh_index_next(sqlite3_vtab_cursor *cursor);
int bh_index_eof(sqlite3_vtab_cursor *cursor);
int bh_index_column(sqlite3_vtab_cursor *cursor, sqlite3_context *context,
                    int column);
int bh_index_rowid(sqlite3_vtab_cursor *cursor, sqlite3_int64 *rowid);

/* index_content.c: commands and triggers of external content */
int bh_index_command(bh_index *index, const char *command,
                     sqlite3_value *rowid);
/* *problem is what is wrong, for sqlite3_free, or NULL. */
int bh_index_check(bh_index *index, char **problem);
/* binhash_triggers(table [, schema]) */
int bh_register_triggers(bh_connection *connection);

/* poll.c ------------------------------------------------------------------- */

/* Has the statement that runs on this connection been interrupted, by
** sqlite3_interrupt or the progress handler?  nn takes it as a poll, with the
** bh_connection as its context. */
int bh_poll(void *connection);

#endif

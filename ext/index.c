/*
** CREATE VIRTUAL TABLE photo_codes USING binhash(bits=48): an exact, ordered
** and transactional index of codes.
**
**   INSERT INTO photo_codes(rowid, code)
**     SELECT id, img_hash(image) FROM photos;
**
**   SELECT rowid, distance FROM photo_codes
**   WHERE query = (SELECT img_hash(readfile('x.jpg'))) LIMIT 10;
**
** This file is the table as SQLite's module sees it: its arguments, INSERT,
** UPDATE and DELETE, and the transaction.  Its parts:
**
**   index_store.c    shadow tables, where everything lives that must last
**   index_pending.c  changes, gathered in memory
**   index_known.c    rowids that a transaction knows of
**   index_write.c    how changes are flushed into blocks
**   index_cache.c    the copy in memory, and when it is the truth
**   index_slab.c     memory for the blocks of a large table
**   index_search.c   rows by distance
**   index_plan.c     xBestIndex
**   index_cursor.c   xFilter, xNext, xColumn
**   index_content.c  external content, 'rebuild', 'integrity-check'
**
** Arguments are KEY=VALUE, with the value bare or in quotes:
**
**   bits             of a code, 1 to 1024
**   model            codes are of this model: its bits, its sha256 is recorded
**   content          the table whose codes these are, kept by triggers
**   content_rowid    its INTEGER PRIMARY KEY (rowid)
**   content_column   its column of codes (code)
**
** The module is innocuous: it touches its own shadow tables and its content
** table and nothing else, so triggers may write to it where the schema is not
** trusted.
*/
#include <string.h>

#include "models.h"
SQLITE_EXTENSION_INIT3

#define INDEX_BITS_MAX 1024
#define INDEX_HAS_INTEGRITY 3044000   /* the first host with xIntegrity */

/* Arguments ---------------------------------------------------------------- */

static void index_free(bh_index *index) {
  bh_index **at = &index->connection->indexes;
  while (*at && *at != index) at = &(*at)->next;
  if (*at) *at = index->next;
  bh_index_forget_sql(index);
  bh_index_drop_pending(index);
  bh_index_drop_cache(index);
  bh_rowids_clear(&index->replacing);
  sqlite3_free(index->schema);
  sqlite3_free(index->name);
  sqlite3_free(index->content);
  sqlite3_free(index->content_rowid);
  sqlite3_free(index->content_column);
  sqlite3_free(index->model);
  sqlite3_free(index->base.zErrMsg);
  sqlite3_free(index);
}

static int index_is_space(char c) {
  return c == ' ' || (c >= '\t' && c <= '\r');
}

/* The value of an argument without its quotes, copied. */
static char *index_value(const char *p) {
  size_t n = strlen(p);
  while (n > 0 && index_is_space(p[n - 1])) n--;
  char quote = *p, end = quote == '[' ? ']' : quote;
  if (n < 2 || !strchr("'\"`[", quote) || p[n - 1] != end)
    return sqlite3_mprintf("%.*s", (int)n, p);
  char *copy = sqlite3_mprintf("%.*s", (int)n - 2, p + 1), *to = copy;
  for (const char *from = copy; copy && *from; from++) {
    *to++ = *from;
    if (*from == end && from[1] == end) from++;
  }
  if (to) *to = 0;
  return copy;
}

static int index_bits(const char *text) {
  int bits = 0;
  for (; *text >= '0' && *text <= '9' && bits <= INDEX_BITS_MAX; text++)
    bits = 10 * bits + (*text - '0');
  return *text == 0 && bits >= 1 && bits <= INDEX_BITS_MAX ? bits : 0;
}

/* One KEY=VALUE. */
static int index_argument(bh_index *index, const char *text, char **error) {
  const char *p = text, *equals = strchr(text, '=');
  while (index_is_space(*p)) p++;
  size_t n = equals ? (size_t)(equals - p) : 0;
  while (n > 0 && index_is_space(p[n - 1])) n--;
  struct { const char *key; char **to; } keys[] = {
      {"content", &index->content}, {"content_rowid", &index->content_rowid},
      {"content_column", &index->content_column}, {"model", &index->model},
      {"bits", NULL}};
  for (size_t i = 0; i < sizeof(keys) / sizeof(*keys); i++) {
    if (n != strlen(keys[i].key) || sqlite3_strnicmp(p, keys[i].key, (int)n))
      continue;
    for (equals++; index_is_space(*equals); equals++) continue;
    char *value = index_value(equals);
    if (!value) return SQLITE_NOMEM;
    if (!keys[i].to) {
      index->bits = index_bits(value);
      if (!index->bits)
        *error = sqlite3_mprintf("binhash: bits must be an integer from 1 to "
                                 "%d, not '%s'", INDEX_BITS_MAX, value);
      sqlite3_free(value);
      return index->bits ? SQLITE_OK : SQLITE_ERROR;
    }
    if (*keys[i].to || !*value) {
      *error = sqlite3_mprintf("binhash: %s %s", keys[i].key,
                               *value ? "is given twice" : "is empty");
      sqlite3_free(value);
      return SQLITE_ERROR;
    }
    *keys[i].to = value;
    return SQLITE_OK;
  }
  *error = sqlite3_mprintf(
      "binhash: unknown argument '%s'; there are bits=, model=, content=, "
      "content_rowid= and content_column=", p);
  return SQLITE_ERROR;
}

/* NULL -> a default. */
static int index_default(char **text, const char *value) {
  if (!*text) *text = sqlite3_mprintf("%s", value);
  return *text ? SQLITE_OK : SQLITE_NOMEM;
}

static int index_arguments(bh_index *index, int argc, const char *const *argv,
                           char **error) {
  int rc = SQLITE_OK;
  for (int i = 3; rc == SQLITE_OK && i < argc; i++)
    rc = index_argument(index, argv[i], error);
  if (rc != SQLITE_OK) return rc;
  if (!index->content && (index->content_rowid || index->content_column)) {
    *error = sqlite3_mprintf("binhash: content_rowid and content_column are of "
                             "use with content= alone");
    return SQLITE_ERROR;
  }
  if (index->content) {
    rc = index_default(&index->content_rowid, "rowid");
    if (rc == SQLITE_OK) rc = index_default(&index->content_column, "code");
  }
  return rc;
}

/* Models ------------------------------------------------------------------- */

/* The head of the model and the sha256 of its file. */
static int index_find_model(bh_index *index, bh_head *head, char sha256[65],
                            char **error) {
  bh_model_file *file;
  const char *hex = NULL;
  int rc = bh_models_hold(index->connection, index->model, head, &file, error);
  if (rc != SQLITE_OK) return rc;
  rc = bh_models_sha256(file, index->model, &hex, error);
  if (rc == SQLITE_OK) memcpy(sha256, hex, 65);
  bh_models_release(file);
  return rc;
}

int bh_index_model(bh_index *index, bh_head *out) {
  char sha256[65], *error = NULL, *recorded = NULL;
  int rc = index_find_model(index, out, sha256, &error);
  if (rc == SQLITE_NOMEM) return rc;
  if (rc != SQLITE_OK) {
    rc = bh_table_error(&index->base, "binhash: %s: %s", index->name,
                        error ? error : index->model);
    sqlite3_free(error);
    return rc;
  }
  rc = bh_index_read_sha256(index, &recorded);
  if (rc == SQLITE_OK && (strcmp(recorded, sha256) != 0 ||
                          out->head->bits != index->bits))
    rc = bh_table_error(
        &index->base, "binhash: %s: the model '%s' that is loaded is another "
        "than the one that the codes are of (sha256 %.12s, not %.12s)",
        index->name, index->model, sha256, recorded);
  sqlite3_free(recorded);
  return rc;
}

/* At CREATE: the model must be there, and its bits are the index's. */
static int index_new_model(bh_index *index, char *sha256, char **error) {
  bh_head head;
  char *why = NULL;
  sha256[0] = 0;
  if (!index->model) return SQLITE_OK;
  int rc = index_find_model(index, &head, sha256, &why);
  if (rc != SQLITE_OK) {
    *error = sqlite3_mprintf("binhash: %s", why ? why : "no such model");
    sqlite3_free(why);
    return rc;
  }
  if (!index->bits) index->bits = head.head->bits;
  if (index->bits == head.head->bits) return SQLITE_OK;
  *error = sqlite3_mprintf("binhash: bits=%d, but codes of the model '%s' have "
                           "%d", index->bits, index->model, head.head->bits);
  return SQLITE_ERROR;
}

/* Creating ----------------------------------------------------------------- */

/* At CONNECT: the bits that were recorded, where the arguments do not say. */
static void index_old_bits(bh_index *index) {
  sqlite3_stmt *s = NULL;
  if (bh_index_prepare(index, &s, "SELECT bits FROM \"%w\".\"%w_state\"",
                       index->schema, index->name) == SQLITE_OK &&
      sqlite3_step(s) == SQLITE_ROW) {
    sqlite3_int64 bits = sqlite3_column_int64(s, 0);
    if (bits >= 1 && bits <= INDEX_BITS_MAX) index->bits = (int)bits;
  }
  sqlite3_finalize(s);
}

static int index_declare(bh_index *index) {
  sqlite3 *db = index->connection->db;
  char *text = sqlite3_mprintf(
      "CREATE TABLE x(code BLOB, query HIDDEN, image HIDDEN, \"%w\" HIDDEN, "
      "distance INTEGER)", index->name);
  if (!text) return SQLITE_NOMEM;
  int rc = sqlite3_declare_vtab(db, text);
  sqlite3_free(text);
  if (rc == SQLITE_OK)
    rc = sqlite3_vtab_config(db, SQLITE_VTAB_CONSTRAINT_SUPPORT, 1);
  if (rc == SQLITE_OK) rc = sqlite3_vtab_config(db, SQLITE_VTAB_INNOCUOUS);
  return rc;
}

static int index_begin(bh_index *index, int argc, const char *const *argv,
                       int create, char **error) {
  char sha256[65];
  int rc = index_arguments(index, argc, argv, error);
  if (rc == SQLITE_OK && create) rc = index_new_model(index, sha256, error);
  if (rc == SQLITE_OK && !create && !index->bits) index_old_bits(index);
  if (rc != SQLITE_OK) return rc;
  if (create && !index->bits) {
    *error = sqlite3_mprintf("binhash: bits= or model= must be given: "
                             "CREATE VIRTUAL TABLE t USING binhash(bits=48)");
    return SQLITE_ERROR;
  }
  index->bytes = (index->bits + 7) / 8;
  rc = index_declare(index);
  if (rc == SQLITE_OK && create) {
    rc = bh_index_create_tables(index, index->model ? sha256 : NULL);
  }
  if (rc != SQLITE_OK && !*error)
    *error = sqlite3_mprintf("%s", sqlite3_errmsg(index->connection->db));
  return rc;
}

static int index_new(bh_connection *c, int argc, const char *const *argv,
                     int create, sqlite3_vtab **out, char **error) {
  bh_index *index = sqlite3_malloc64(sizeof(*index));
  if (!index) return SQLITE_NOMEM;
  memset(index, 0, sizeof(*index));
  index->connection = c;
  index->schema = sqlite3_mprintf("%s", argv[1]);
  index->name = sqlite3_mprintf("%s", argv[2]);
  int rc = index->schema && index->name
               ? index_begin(index, argc, argv, create, error) : SQLITE_NOMEM;
  if (rc != SQLITE_OK) {
    index_free(index);
    return rc;
  }
  index->next = c->indexes;
  c->indexes = index;
  *out = &index->base;
  return SQLITE_OK;
}

static int index_create(sqlite3 *db, void *aux, int argc,
                        const char *const *argv, sqlite3_vtab **out,
                        char **error) {
  (void)db;
  return index_new(aux, argc, argv, 1, out, error);
}

static int index_connect(sqlite3 *db, void *aux, int argc,
                         const char *const *argv, sqlite3_vtab **out,
                         char **error) {
  (void)db;
  return index_new(aux, argc, argv, 0, out, error);
}

static int index_disconnect(sqlite3_vtab *table) {
  index_free((bh_index *)table);
  return SQLITE_OK;
}

static int index_destroy(sqlite3_vtab *table) {
  int rc = bh_index_drop_tables((bh_index *)table);
  return rc == SQLITE_OK ? index_disconnect(table) : rc;
}

static int index_rename(sqlite3_vtab *table, const char *name) {
  bh_index *index = (bh_index *)table;
  int rc = bh_index_flush(index);
  return rc == SQLITE_OK ? bh_index_rename_tables(index, name) : rc;
}

/* Writing ------------------------------------------------------------------ */

int bh_index_code(const bh_index *index, sqlite3_value *value, uint8_t *code,
                  char **problem) {
  int type = sqlite3_value_type(value);
  int n = sqlite3_value_bytes(value);
  if (type != SQLITE_BLOB) {
    *problem = sqlite3_mprintf("a code of %d bits is a BLOB of %d bytes, not "
                               "%s", index->bits, index->bytes,
                               bh_type_name(type));
  } else if (n != index->bytes) {
    *problem = sqlite3_mprintf("a code of %d bits is a BLOB of %d bytes, this "
                               "one has %d", index->bits, index->bytes, n);
  } else {
    const uint8_t *bytes = sqlite3_value_blob(value);
    if (!bytes) return SQLITE_NOMEM;
    memcpy(code, bytes, (size_t)n);
    if (index->bits % 8 == 0 || !(code[n - 1] & (0xff >> index->bits % 8)))
      return SQLITE_OK;
    *problem = sqlite3_mprintf("a code of %d bits leaves the last %d bits of "
                               "its BLOB 0, this one does not", index->bits,
                               8 - index->bits % 8);
  }
  return *problem ? SQLITE_CONSTRAINT : SQLITE_NOMEM;
}

/* A rowid as it is given to INSERT, which takes numbers that are whole. */
static int index_take_rowid(sqlite3_value *value, sqlite3_int64 *rowid) {
  int type = sqlite3_value_numeric_type(value);
  *rowid = sqlite3_value_int64(value);
  if (type == SQLITE_INTEGER) return SQLITE_OK;
  if (type == SQLITE_FLOAT && (double)*rowid == sqlite3_value_double(value) &&
      *rowid != INT64_MAX)
    return SQLITE_OK;
  return SQLITE_MISMATCH;
}

/* Is there a row that an INSERT or UPDATE would run into?  SQLITE_CONSTRAINT,
** unless it is to be replaced. */
static int index_conflict(bh_index *index, sqlite3_int64 rowid) {
  int has;
  int rc = bh_index_has(index, rowid, &has);
  if (rc != SQLITE_OK || !has ||
      sqlite3_vtab_on_conflict(index->connection->db) == SQLITE_REPLACE)
    return rc;
  rc = bh_table_error(&index->base, "UNIQUE constraint failed: %s.rowid",
                      index->name);
  return rc == SQLITE_ERROR ? SQLITE_CONSTRAINT : rc;
}

static int index_refuse_column(bh_index *index, sqlite3_value **columns) {
  static const struct { int column; const char *name; } given[] = {
      {BH_INDEX_QUERY, "query"}, {BH_INDEX_IMAGE, "image"},
      {BH_INDEX_DISTANCE, "distance"}};
  for (size_t i = 0; i < sizeof(given) / sizeof(*given); i++) {
    sqlite3_value *value = columns[given[i].column];
    if (!sqlite3_value_nochange(value) &&
        sqlite3_value_type(value) != SQLITE_NULL)
      return bh_table_error(&index->base, "binhash: %s: column %s cannot be "
                            "written", index->name, given[i].name);
  }
  return SQLITE_OK;
}

static int index_write(bh_index *index, sqlite3_value **argv,
                       sqlite3_int64 *rowid) {
  uint8_t code[INDEX_BITS_MAX / 8];
  char *problem = NULL;
  sqlite3_value **columns = argv + 2;
  int is_update = sqlite3_value_type(argv[0]) != SQLITE_NULL;
  sqlite3_int64 old = sqlite3_value_int64(argv[0]);
  int rc = index_refuse_column(index, columns);
  if (rc != SQLITE_OK) return rc;
  if (sqlite3_value_type(argv[1]) == SQLITE_NULL)
    rc = bh_index_new_rowid(index, rowid);
  else
    rc = index_take_rowid(argv[1], rowid);
  if (rc != SQLITE_OK) return rc;
  rc = bh_index_code(index, columns[BH_INDEX_CODE], code, &problem);
  if (problem) {
    rc = bh_table_error(&index->base, "binhash: %s: row %lld: %s", index->name,
                        *rowid, problem);
    sqlite3_free(problem);
    return rc == SQLITE_ERROR ? SQLITE_CONSTRAINT : rc;
  }
  if (rc == SQLITE_OK && (!is_update || *rowid != old))
    rc = index_conflict(index, *rowid);
  if (rc == SQLITE_OK && is_update && *rowid != old)
    rc = bh_index_remove(index, old);
  return rc == SQLITE_OK ? bh_index_put(index, *rowid, code) : rc;
}

static int index_update(sqlite3_vtab *table, int argc, sqlite3_value **argv,
                        sqlite3_int64 *rowid) {
  bh_index *index = (bh_index *)table;
  index->written++;
  if (argc == 1) return bh_index_remove(index, sqlite3_value_int64(argv[0]));
  sqlite3_value *command = argv[2 + BH_INDEX_SELF];
  if (sqlite3_value_type(argv[0]) == SQLITE_NULL &&
      sqlite3_value_type(command) != SQLITE_NULL) {
    const char *text = (const char *)sqlite3_value_text(command);
    if (!text) return SQLITE_NOMEM;
    *rowid = sqlite3_last_insert_rowid(index->connection->db);
    return bh_index_command(index, text, argv[1]);
  }
  return index_write(index, argv, rowid);
}

/* Transactions ------------------------------------------------------------- */

/* What was known of the table may have changed since the last one. */
static int index_begin_transaction(sqlite3_vtab *table) {
  bh_index *index = (bh_index *)table;
  bh_index_drop_pending(index);
  index->failed = 0;
  index->savepoint = -1;
  return SQLITE_OK;
}

static int index_sync(sqlite3_vtab *table) {
  return bh_index_flush((bh_index *)table);
}

static int index_commit(sqlite3_vtab *table) {
  bh_index *index = (bh_index *)table;
  bh_index_drop_pending(index);
  bh_rowids_clear(&index->replacing);
  return SQLITE_OK;
}

static int index_rollback(sqlite3_vtab *table) {
  bh_index *index = (bh_index *)table;
  index->failed = 0;
  index->rollbacks++;
  return index_commit(table);
}

static int index_savepoint(sqlite3_vtab *table, int n) {
  bh_index *index = (bh_index *)table;
  int rc = bh_index_flush(index);
  if (rc == SQLITE_OK) index->savepoint = n;
  index->written = 0;
  return rc;
}

/* In a transaction a statement of many rows ends with this, and its changes()
** is told after it.  Once it is, a flush could not restore it. */
static int index_release(sqlite3_vtab *table, int n) {
  bh_index *index = (bh_index *)table;
  if (index->savepoint >= n) index->savepoint = n - 1;
  if (index->written <= BH_INDEX_CHANGES_MAX) return SQLITE_OK;
  index->written = 0;
  return bh_index_flush(index);
}

static int index_rollback_to(sqlite3_vtab *table, int n) {
  bh_index *index = (bh_index *)table;
  int failed = n > index->failed_savepoint ? index->failed : 0;
  index_rollback(table);
  index->failed = failed;
  if (index->savepoint > n) index->savepoint = n;
  return SQLITE_OK;
}

static int index_shadow_name(const char *name) {
  return sqlite3_stricmp(name, "state") == 0 ||
         sqlite3_stricmp(name, "blocks") == 0;
}

static int index_integrity(sqlite3_vtab *table, const char *schema,
                           const char *name, int flags, char **problem) {
  (void)schema, (void)name, (void)flags;
  return bh_index_check((bh_index *)table, problem);
}

#define INDEX_METHODS(version)                 \
  .iVersion = (version),                       \
  .xCreate = index_create,                     \
  .xConnect = index_connect,                   \
  .xBestIndex = bh_index_best_index,           \
  .xDisconnect = index_disconnect,             \
  .xDestroy = index_destroy,                   \
  .xOpen = bh_index_open,                      \
  .xClose = bh_index_close,                    \
  .xFilter = bh_index_filter,                  \
  .xNext = bh_index_next,                      \
  .xEof = bh_index_eof,                        \
  .xColumn = bh_index_column,                  \
  .xRowid = bh_index_rowid,                    \
  .xUpdate = index_update,                     \
  .xBegin = index_begin_transaction,           \
  .xSync = index_sync,                         \
  .xCommit = index_commit,                     \
  .xRollback = index_rollback,                 \
  .xRename = index_rename,                     \
  .xSavepoint = index_savepoint,               \
  .xRelease = index_release,                   \
  .xRollbackTo = index_rollback_to,            \
  .xShadowName = index_shadow_name

/* Debian's header ends with xShadowName; a newer host reads one method more. */
typedef int index_integrity_method(sqlite3_vtab *, const char *, const char *,
                                   int, char **);
static const struct {
  sqlite3_module base;
#if SQLITE_VERSION_NUMBER < INDEX_HAS_INTEGRITY
  index_integrity_method *xIntegrity;
} index_module_4 = {{INDEX_METHODS(4)}, index_integrity};
#else
} index_module_4 = {{INDEX_METHODS(4), .xIntegrity = index_integrity}};
#endif
static const sqlite3_module index_module_3 = {INDEX_METHODS(3)};

int bh_register_index(bh_connection *c) {
  int rc = bh_register_triggers(c);
  if (rc != SQLITE_OK) return rc;
  return bh_module(c, "binhash",
                   sqlite3_libversion_number() < INDEX_HAS_INTEGRITY
                       ? &index_module_3 : &index_module_4.base);
}

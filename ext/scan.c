/*
** The inner scan of binhash_topk and binhash_pairs: every code of a table or
** view, once.
**
** It is one statement,
**
**   SELECT binhash_topk_add(t.rowid, t."code", t."key")
**   FROM "main"."photos" AS t
**
** whose private aggregate gives each row to a function of the caller's, which
** puts it into an nn_nearest or an nn_pairs.  An aggregate, because SQLite then
** runs the whole loop inside one sqlite3_step, which costs half of stepping
** from row to row.  It finds the state of the scan where the scan has put it
** for as long as it steps the statement; a scan within a scan, as of a view
** that searches, puts back what it found.  (A pointer bound to the statement
** would be handed over anew for every row, a tenth of the time.)  A call
** outside of a scan is an error, and views and triggers may not call it; only
** an application whose own function, called by the scanned view, calls it could
** add a row.  Names are quoted and columns qualified by the table, or SQLite
** would read a column that does not exist as a string.
**
** What identifies a row is its rowid, reached by whichever of its three names
** no column has taken.  Views, WITHOUT ROWID tables and tables whose columns
** took all three have none; their rows are numbered in the order of the scan,
** unless the caller is content with a column that is called rowid.
**
** If only some rowids are wanted, they are looked up one by one where that
** seems cheaper than the scan, else the scan passes over the others.
**
** A row whose code is NULL is skipped.  A code that cannot be compared with the
** query, or without one with the first code, is an error that names the row: to
** leave it out in silence would be a wrong answer.
**
** The scan may be closed, or run again, at any time; it holds nothing but its
** prepared statements between runs.  Not here: arguments, order and rows of the
** result, which are topk.c and pairs.c.
*/
#include <stdlib.h>
#include <string.h>

#include "ext_int.h"
SQLITE_EXTENSION_INIT3

#define SCAN_FUNCTION "binhash_topk_add"

/* Rowids that are looked up without asking how many rows there are, how many
** times fewer than rows they must be beyond that, and the steps of SQLite's
** machine above which one lookup was a scan (of a virtual table). */
#define SCAN_FEW 16
#define SCAN_SPARSE 16
#define SCAN_LOOKUP_STEPS 1000

struct bh_scan {
  sqlite3 *db;
  bh_connection *connection;
  char *names[4];      /* table, column, schema, key; the last two or NULL */
  const char *rowid;   /* what the rowid is called here, NULL without one */
  int rowid_column;    /* a column may stand for it, */
  int is_column;       /* and does: its values may be anything */
  sqlite3_stmt *all, *one;   /* the second is prepared when it is needed */
};

/* The aggregate's side ---------------------------------------------------- */

typedef struct bh_scan_state {
  bh_target target;
  int plain;                  /* rowids and BLOBs, of which all are wanted */
  int numbered;               /* rows have no rowid */
  int checked;                /* it may be no integer */
  sqlite3_int64 number;       /* rows seen */
  uint8_t *key;               /* where a key is packed */
  sqlite3_int64 key_room;
} scan_state;

/* "rowid 17", or for rows without one the key or the number. */
static char *scan_row_name(const scan_state *state, int argc,
                           sqlite3_value **argv) {
  if (!state->numbered)
    return sqlite3_mprintf("rowid %lld", sqlite3_value_int64(argv[0]));
  int type = argc > 2 ? sqlite3_value_type(argv[2]) : SQLITE_NULL;
  if (type != SQLITE_NULL && type != SQLITE_BLOB)
    return sqlite3_mprintf("key '%s'", sqlite3_value_text(argv[2]));
  return sqlite3_mprintf("row number %lld", state->number);
}

static void scan_refuse_code(sqlite3_context *context, const scan_state *state,
                             int argc, sqlite3_value **argv) {
  int type = sqlite3_value_type(argv[1]);
  char *row = scan_row_name(state, argc, argv);
  if (!row || (type == SQLITE_BLOB && !state->target.integers &&
               sqlite3_value_bytes(argv[1]) == state->target.bytes))
    sqlite3_result_error_nomem(context);   /* of a zeroblob's zeros, say */
  else if (type == SQLITE_BLOB && !state->target.integers)
    bh_result_text_error(context, "the code at %s has %d bytes, %s has %lld",
                         row, sqlite3_value_bytes(argv[1]),
                         state->target.model, state->target.bytes);
  else
    bh_result_text_error(context, "the code at %s is %s, %s is %s", row,
                         bh_type_name(type), state->target.model,
                         state->target.integers ? "INTEGER" : "BLOB");
  sqlite3_free(row);
}

static int scan_wants(const bh_target *target, sqlite3_int64 rowid) {
  sqlite3_int64 low = 0, high = target->rowid_count;
  while (low < high) {
    sqlite3_int64 middle = low + (high - low) / 2;
    if (target->rowids[middle] < rowid) low = middle + 1;
    else high = middle;
  }
  return low < target->rowid_count && target->rowids[low] == rowid;
}

/* A packed key is its type in one byte and then its value; NULL is no bytes at
** all.  Returns the number of bytes at state->key, -1 without memory. */
static sqlite3_int64 scan_pack_key(scan_state *state, sqlite3_value *key) {
  int type = sqlite3_value_type(key);
  sqlite3_int64 integer;
  double real;
  const void *from = NULL;
  sqlite3_int64 n = 0;
  switch (type) {
    case SQLITE_NULL: return 0;
    case SQLITE_INTEGER:
      integer = sqlite3_value_int64(key);
      from = &integer;
      n = sizeof(integer);
      break;
    case SQLITE_FLOAT:
      real = sqlite3_value_double(key);
      from = &real;
      n = sizeof(real);
      break;
    case SQLITE_TEXT:
      from = sqlite3_value_text(key);
      n = sqlite3_value_bytes(key);
      break;
    default:
      from = sqlite3_value_blob(key);
      n = sqlite3_value_bytes(key);
  }
  if (n > 0 && !from) return -1;
  if (n + 1 > state->key_room) {
    uint8_t *room = sqlite3_realloc64(state->key, (sqlite3_uint64)n + 64);
    if (!room) return -1;
    state->key = room;
    state->key_room = n + 64;
  }
  state->key[0] = (uint8_t)type;
  if (n > 0) memcpy(state->key + 1, from, (size_t)n);
  return n + 1;
}

void bh_scan_result_key(sqlite3_context *context, const nn_nearest_row *row) {
  if (row->payload_bytes == 0) return;
  const uint8_t *p = row->payload + 1;
  sqlite3_uint64 n = row->payload_bytes - 1;
  sqlite3_int64 integer;
  double real;
  switch (row->payload[0]) {
    case SQLITE_INTEGER:
      memcpy(&integer, p, sizeof(integer));
      sqlite3_result_int64(context, integer);
      return;
    case SQLITE_FLOAT:
      memcpy(&real, p, sizeof(real));
      sqlite3_result_double(context, real);
      return;
    case SQLITE_TEXT:
      sqlite3_result_text64(context, (const char *)p, n, SQLITE_TRANSIENT,
                            SQLITE_UTF8);
      return;
    default:
      sqlite3_result_blob64(context, p, n, SQLITE_TRANSIENT);
  }
}

/* The code as bytes, or NULL where it cannot be compared with the query. */
static inline const void *scan_code(const bh_target *target,
                                    sqlite3_value *value, int type,
                                    sqlite3_int64 *integer) {
  if (target->integers) {
    if (type != SQLITE_INTEGER) return NULL;
    *integer = sqlite3_value_int64(value);
    return integer;
  }
  if (type != SQLITE_BLOB || sqlite3_value_bytes(value) != target->bytes)
    return NULL;
  return sqlite3_value_blob(value);
}

static void scan_add(sqlite3_context *context, const scan_state *state,
                     sqlite3_int64 rowid, const void *code,
                     sqlite3_int64 key_bytes) {
  nn_error err;
  bh_scanned row = {rowid, code, key_bytes ? state->key : NULL,
                    state->target.bytes, key_bytes};
  nn_status status = state->target.add(state->target.into, &row, &err);
  if (status == NN_NOMEM) sqlite3_result_error_nomem(context);
  else if (status != NN_OK) bh_result_text_error(context, "%s", err.text);
}

/* Codes are to be like the first one.  0: it can be none. */
static int scan_take_model(sqlite3_context *context, scan_state *state,
                           int argc, sqlite3_value **argv) {
  int type = sqlite3_value_type(argv[1]);
  state->target.integers = type == SQLITE_INTEGER;
  state->target.bytes = type == SQLITE_INTEGER
                            ? (sqlite3_int64)sizeof(sqlite3_int64)
                            : sqlite3_value_bytes(argv[1]);
  if (type == SQLITE_INTEGER) state->plain = 0;
  if (type == SQLITE_INTEGER || (type == SQLITE_BLOB && state->target.bytes))
    return 1;
  char *row = scan_row_name(state, argc, argv);
  if (!row) sqlite3_result_error_nomem(context);
  else if (type == SQLITE_BLOB)
    bh_result_text_error(context, "the code at %s has no bytes", row);
  else
    bh_result_text_error(context, "the code at %s is %s, not BLOB or INTEGER",
                         row, bh_type_name(type));
  sqlite3_free(row);
  return 0;
}

/* Any row; apart, so that the usual case stays small. */
BH_NOINLINE
static void scan_step_any(sqlite3_context *context, scan_state *state, int argc,
                          sqlite3_value **argv) {
  sqlite3_int64 rowid = ++state->number;
  if (!state->numbered) {
    rowid = sqlite3_value_int64(argv[0]);
    if (state->target.rowids && !scan_wants(&state->target, rowid)) return;
  }
  int type = sqlite3_value_type(argv[1]);
  if (type == SQLITE_NULL) return;
  if (state->checked && sqlite3_value_type(argv[0]) != SQLITE_INTEGER) {
    bh_result_text_error(context, "the rowid at row number %lld is %s, not "
                         "INTEGER", state->number,
                         bh_type_name(sqlite3_value_type(argv[0])));
    return;
  }
  if (state->target.bytes < 0 &&
      !scan_take_model(context, state, argc, argv))
    return;
  sqlite3_int64 integer;
  const void *code = scan_code(&state->target, argv[1], type, &integer);
  if (!code) {
    scan_refuse_code(context, state, argc, argv);
    return;
  }
  sqlite3_int64 key_bytes =
      argc > 2 && state->target.keep_keys ? scan_pack_key(state, argv[2]) : 0;
  if (key_bytes < 0)
    sqlite3_result_error_nomem(context);
  else
    scan_add(context, state, rowid, code, key_bytes);
}

/* binhash_topk_add(rowid, code [, key]): once a row, so every call into SQLite
** counts, and the usual row is all that stands here. */
static void scan_step(sqlite3_context *context, int argc,
                      sqlite3_value **argv) {
  const bh_connection *connection = sqlite3_user_data(context);
  scan_state *state = connection->scanning;
  if (!state) {
    bh_result_text_error(context, SCAN_FUNCTION ": is private to binhash_topk");
  } else if (state->plain && sqlite3_value_type(argv[1]) == SQLITE_BLOB &&
             sqlite3_value_bytes(argv[1]) == state->target.bytes) {
    const void *code = sqlite3_value_blob(argv[1]);
    if (code)
      scan_add(context, state, sqlite3_value_int64(argv[0]), code, 0);
    else
      sqlite3_result_error_nomem(context);
  } else {
    scan_step_any(context, state, argc, argv);
  }
}

/* Nothing may hang on it: it also runs when a statement is given up. */
static void scan_final(sqlite3_context *context) { (void)context; }

int bh_scan_register(bh_connection *connection) {
  int rc = SQLITE_OK;
  for (int arguments = 2; rc == SQLITE_OK && arguments <= 3; arguments++) {
    connection->references++;
    rc = sqlite3_create_function_v2(connection->db, SCAN_FUNCTION, arguments,
                                    SQLITE_UTF8 | SQLITE_DIRECTONLY, connection,
                                    NULL, scan_step, scan_final,
                                    bh_connection_unref);
  }
  return rc;
}

/* Opening ----------------------------------------------------------------- */

/* The connection's last error, as a code and a message that is ours to free.
** Some codes say all there is to say. */
static int scan_error(sqlite3 *db, int rc, char **error) {
  if (rc == SQLITE_NOMEM || rc == SQLITE_INTERRUPT) return rc;
  *error = sqlite3_mprintf("%s", sqlite3_errmsg(db));
  return *error ? rc : SQLITE_NOMEM;
}

/* Prepare the statement in sql, which is freed; NULL is out of memory. */
static int scan_prepare(sqlite3 *db, char *sql, sqlite3_stmt **out,
                        char **error) {
  if (!sql) return SQLITE_NOMEM;
  int rc = sqlite3_prepare_v2(db, sql, -1, out, NULL);
  sqlite3_free(sql);
  return rc == SQLITE_OK ? rc : scan_error(db, rc, error);
}

/* "schema". or nothing, for a name in SQL. */
static char *scan_schema_prefix(const bh_scan *scan) {
  return scan->names[2] ? sqlite3_mprintf("\"%w\".", scan->names[2])
                        : sqlite3_mprintf("");
}

static const char *const scan_rowid_names[3] = {"rowid", "_rowid_", "oid"};

/* What the columns are: which of the names of the rowid are taken (bit i), and
** whether the columns asked for are there. */
typedef struct scan_columns {
  int count, taken, column, key;
} scan_columns;

static int scan_read_columns(bh_scan *scan, scan_columns *found,
                             char **error) {
  sqlite3_stmt *stmt = NULL;
  char *schema = scan_schema_prefix(scan);
  int rc = scan_prepare(scan->db, !schema ? NULL : sqlite3_mprintf(
                            "PRAGMA %stable_xinfo(\"%w\")", schema,
                            scan->names[0]), &stmt, error);
  sqlite3_free(schema);
  if (rc != SQLITE_OK) return rc;
  memset(found, 0, sizeof(*found));
  while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
    const char *name = (const char *)sqlite3_column_text(stmt, 1);
    if (!name) continue;
    found->count++;
    for (int i = 0; i < 3; i++)
      if (sqlite3_stricmp(name, scan_rowid_names[i]) == 0)
        found->taken |= 1 << i;
    if (sqlite3_stricmp(name, scan->names[1]) == 0) found->column = 1;
    if (scan->names[3] && sqlite3_stricmp(name, scan->names[3]) == 0)
      found->key = 1;
  }
  if (rc != SQLITE_DONE) rc = scan_error(scan->db, rc, error);
  sqlite3_finalize(stmt);
  return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/*
** The name by which the rowid is reached.  SQLite answers for a column that
** does not exist only if it is a name of the rowid and the table has one; a
** view has no columns in its eyes.
*/
static const char *scan_find_rowid(const bh_scan *scan,
                                   const scan_columns *found) {
  for (int i = 0; i < 3; i++)
    if (!(found->taken & 1 << i))
      return sqlite3_table_column_metadata(scan->db, scan->names[2],
                                           scan->names[0], scan_rowid_names[i],
                                           NULL, NULL, NULL, NULL, NULL)
                     == SQLITE_OK
                 ? scan_rowid_names[i]
                 : NULL;
  return NULL;
}

/* A column that is not there, unless it is the rowid by one of its names. */
static int scan_check_column(const bh_scan *scan, int found,
                             const char *argument, const char *name,
                             char **error) {
  if (found) return SQLITE_OK;
  for (int i = 0; scan->rowid && i < 3; i++)
    if (sqlite3_stricmp(name, scan_rowid_names[i]) == 0) return SQLITE_OK;
  *error = sqlite3_mprintf("no such column: %s.%s (argument %s)",
                           scan->names[0], name, argument);
  return *error ? SQLITE_ERROR : SQLITE_NOMEM;
}

/* Every schema has a table of this name, in which it is described. */
static int scan_check_schema(const bh_scan *scan, char **error) {
  if (!scan->names[2]) return SQLITE_OK;
  int rc = sqlite3_table_column_metadata(scan->db, scan->names[2],
                                         "sqlite_schema", NULL, NULL, NULL,
                                         NULL, NULL, NULL);
  if (rc == SQLITE_OK) return rc;
  if (rc != SQLITE_ERROR) return scan_error(scan->db, rc, error);
  *error = sqlite3_mprintf("no such schema: %s (argument schema)",
                           scan->names[2]);
  return *error ? SQLITE_ERROR : SQLITE_NOMEM;
}

static int scan_describe(bh_scan *scan, char **error) {
  scan_columns found;
  int rc = scan_check_schema(scan, error);
  if (rc == SQLITE_OK) rc = scan_read_columns(scan, &found, error);
  if (rc != SQLITE_OK) return rc;
  if (found.count == 0) {
    *error = sqlite3_mprintf(
        "no such table: %s%s%s (argument table)",
        scan->names[2] ? scan->names[2] : "", scan->names[2] ? "." : "",
        scan->names[0]);
    return *error ? SQLITE_ERROR : SQLITE_NOMEM;
  }
  scan->rowid = scan_find_rowid(scan, &found);
  scan->is_column = !scan->rowid && scan->rowid_column && found.taken & 1;
  if (scan->is_column) scan->rowid = scan_rowid_names[0];
  rc = scan_check_column(scan, found.column, "column", scan->names[1], error);
  if (rc == SQLITE_OK && scan->names[3])
    rc = scan_check_column(scan, found.key, "key_column", scan->names[3],
                           error);
  return rc;
}

/* Prepare what, say the aggregate of all columns, over the rows that where
** leaves. */
static int scan_prepare_select(bh_scan *scan, char *what, const char *where,
                               sqlite3_stmt **out, char **error) {
  char *schema = scan_schema_prefix(scan);
  char *sql = !schema || !what
                  ? NULL
                  : sqlite3_mprintf("SELECT %s FROM %s\"%w\" AS t%s%s%s", what,
                                    schema, scan->names[0],
                                    where ? " WHERE t." : "",
                                    where ? where : "", where ? " = ?1" : "");
  sqlite3_free(schema);
  sqlite3_free(what);
  return scan_prepare(scan->db, sql, out, error);
}

static char *scan_aggregate(const bh_scan *scan) {
  const char *rowid = scan->rowid ? scan->rowid : "";
  const char *dot = scan->rowid ? "t." : "NULL";
  return scan->names[3]
             ? sqlite3_mprintf(SCAN_FUNCTION "(%s%s, t.\"%w\", t.\"%w\")",
                               dot, rowid, scan->names[1], scan->names[3])
             : sqlite3_mprintf(SCAN_FUNCTION "(%s%s, t.\"%w\")", dot, rowid,
                               scan->names[1]);
}

int bh_scan_open(bh_connection *connection, const bh_source *source,
                 bh_scan **out, char **error) {
  const char *names[4] = {source->table, source->column, source->schema,
                          source->key};
  *error = NULL;
  *out = NULL;
  bh_scan *scan = sqlite3_malloc64(sizeof(*scan));
  if (!scan) return SQLITE_NOMEM;
  memset(scan, 0, sizeof(*scan));
  scan->db = connection->db;
  scan->connection = connection;
  scan->rowid_column = source->rowid_column;
  int rc = SQLITE_OK;
  for (int i = 0; i < 4; i++)
    if (names[i] && !(scan->names[i] = sqlite3_mprintf("%s", names[i])))
      rc = SQLITE_NOMEM;
  if (rc == SQLITE_OK) rc = scan_describe(scan, error);
  if (rc == SQLITE_OK)
    rc = scan_prepare_select(scan, scan_aggregate(scan), NULL, &scan->all,
                             error);
  if (rc != SQLITE_OK) {
    bh_scan_close(scan);
    return rc;
  }
  *out = scan;
  return SQLITE_OK;
}

void bh_scan_close(bh_scan *scan) {
  if (!scan) return;
  sqlite3_finalize(scan->all);
  sqlite3_finalize(scan->one);
  for (int i = 0; i < 4; i++) sqlite3_free(scan->names[i]);
  sqlite3_free(scan);
}

int bh_scan_is_of(const bh_scan *scan, const bh_source *source) {
  const char *names[4] = {source->table, source->column, source->schema,
                          source->key};
  if (source->rowid_column != scan->rowid_column) return 0;
  for (int i = 0; i < 4; i++) {
    if (!names[i] != !scan->names[i]) return 0;
    if (names[i] && strcmp(names[i], scan->names[i]) != 0) return 0;
  }
  return 1;
}

int bh_scan_is_stale(const bh_scan *scan) {
  return sqlite3_stmt_status(scan->all, SQLITE_STMTSTATUS_REPREPARE, 0) > 0 ||
         (scan->one &&
          sqlite3_stmt_status(scan->one, SQLITE_STMTSTATUS_REPREPARE, 0) > 0);
}

int bh_scan_has_rowids(const bh_scan *scan) { return scan->rowid != NULL; }

/* Running ----------------------------------------------------------------- */

/* One run of a statement that adds to the state. */
static int scan_run_statement(bh_scan *scan, sqlite3_stmt *stmt,
                              scan_state *state, char **error) {
  scan_state *outer = scan->connection->scanning;
  scan->connection->scanning = state;
  int rc = sqlite3_step(stmt);
  scan->connection->scanning = outer;
  rc = rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK
                                             : scan_error(scan->db, rc, error);
  sqlite3_reset(stmt);
  return rc;
}

/* Is the list so long that one scan is cheaper?  The largest rowid, which costs
** nothing to find, stands for the number of rows. */
static int scan_list_is_long(bh_scan *scan, sqlite3_int64 count, int *is_long,
                             char **error) {
  *is_long = 0;
  if (count <= SCAN_FEW) return SQLITE_OK;
  sqlite3_stmt *stmt = NULL;
  int rc = scan_prepare_select(scan, sqlite3_mprintf("max(t.%s)", scan->rowid),
                               NULL, &stmt, error);
  if (rc != SQLITE_OK) return rc;
  rc = sqlite3_step(stmt);
  if (rc == SQLITE_ROW) {
    *is_long = count >= sqlite3_column_int64(stmt, 0) / SCAN_SPARSE;
    rc = SQLITE_OK;
  } else {
    rc = scan_error(scan->db, rc, error);
  }
  sqlite3_finalize(stmt);
  return rc;
}

/*
** Look the listed rows up.  The first lookup shows whether it is one: a virtual
** table may visit every row for it, and then the rest of the list is left in
** the target for a scan.
*/
static int scan_lookup(bh_scan *scan, scan_state *state, char **error) {
  bh_target *target = &state->target;
  int rc = SQLITE_OK;
  if (!scan->one)
    rc = scan_prepare_select(scan, scan_aggregate(scan), scan->rowid,
                             &scan->one, error);
  for (int first = 1; rc == SQLITE_OK && target->rowid_count > 0; first = 0) {
    const sqlite3_int64 *rowid = target->rowids;
    if (first) sqlite3_stmt_status(scan->one, SQLITE_STMTSTATUS_VM_STEP, 1);
    rc = sqlite3_bind_int64(scan->one, 1, *rowid);
    if (rc == SQLITE_OK) rc = scan_run_statement(scan, scan->one, state, error);
    target->rowids++;
    target->rowid_count--;
    if (first && sqlite3_stmt_status(scan->one, SQLITE_STMTSTATUS_VM_STEP, 0) >
                     SCAN_LOOKUP_STEPS)
      break;
  }
  return rc;
}

int bh_scan_run(bh_scan *scan, const bh_target *target, char **error) {
  scan_state state;
  int rc = SQLITE_OK, is_long = 0;
  *error = NULL;
  memset(&state, 0, sizeof(state));
  state.target = *target;
  state.numbered = !scan->rowid;
  state.checked = scan->is_column;
  if (state.numbered) state.target.rowids = NULL;
  state.plain = !state.numbered && !state.checked && !state.target.rowids &&
                !state.target.integers && !target->keep_keys;
  if (state.target.rowids) {
    rc = scan_list_is_long(scan, target->rowid_count, &is_long, error);
    if (rc == SQLITE_OK && !is_long) rc = scan_lookup(scan, &state, error);
  }
  if (rc == SQLITE_OK &&
      (!state.target.rowids || state.target.rowid_count > 0))
    rc = scan_run_statement(scan, scan->all, &state, error);
  sqlite3_free(state.key);
  return rc;
}

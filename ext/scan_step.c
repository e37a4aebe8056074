/*
** The aggregate that a scan is: binhash_topk_add(rowid, code [, key
** [, features]]), called once for each row of the table that is searched.
**
** It checks that the code can be compared with the query, or without one with
** the first code, and gives the row to a function of the searcher's.  It finds
** the state of the scan in the connection, where scan.c puts it for as long as
** it steps the statement.  (A pointer bound to the statement would be handed
** over anew for every row, a tenth of the time.)  A call outside of a scan is
** an error, and views and triggers may not call it; only an application whose
** own function, called by the scanned view, calls it could add a row.
**
** A row whose code is NULL is skipped.  A code that cannot be compared is an
** error that names the row: to leave it out in silence would be a wrong answer.
**
** Not here: the statement, which is scan.c; what becomes of the rows, which is
** topk.c, pairs.c and fine.c.
*/
#include <string.h>

#include "scan.h"
SQLITE_EXTENSION_INIT3

char *bh_scan_row_name(int numbered, sqlite3_int64 rowid, sqlite3_value *key) {
  if (!numbered) return sqlite3_mprintf("rowid %lld", rowid);
  int type = key ? sqlite3_value_type(key) : SQLITE_NULL;
  if (type != SQLITE_NULL && type != SQLITE_BLOB)
    return sqlite3_mprintf("key '%s'", sqlite3_value_text(key));
  return sqlite3_mprintf("row number %lld", rowid);
}

static char *scan_step_name(const bh_scan_state *state, int argc,
                            sqlite3_value **argv) {
  return bh_scan_row_name(state->numbered,
                          state->numbered ? state->number
                                          : sqlite3_value_int64(argv[0]),
                          argc > 2 ? argv[2] : NULL);
}

static void scan_step_refuse(sqlite3_context *context,
                             const bh_scan_state *state, int argc,
                             sqlite3_value **argv) {
  int type = sqlite3_value_type(argv[1]);
  char *row = scan_step_name(state, argc, argv);
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

static int scan_step_wants(const bh_target *target, sqlite3_int64 rowid) {
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
static sqlite3_int64 scan_step_pack(bh_scan_state *state, sqlite3_value *key) {
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
static inline const void *scan_step_code(const bh_target *target,
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

static void scan_step_give(sqlite3_context *context, const bh_target *target,
                           const bh_scanned *row) {
  nn_error err;
  nn_status status = target->add(target->into, row, &err);
  if (status == NN_NOMEM) sqlite3_result_error_nomem(context);
  else if (status != NN_OK) bh_result_text_error(context, "%s", err.text);
}

/* Codes are to be like the first one.  0: it can be none. */
static int scan_step_model(sqlite3_context *context, bh_scan_state *state,
                           int argc, sqlite3_value **argv) {
  int type = sqlite3_value_type(argv[1]);
  state->target.integers = type == SQLITE_INTEGER;
  state->target.bytes = type == SQLITE_INTEGER
                            ? (sqlite3_int64)sizeof(sqlite3_int64)
                            : sqlite3_value_bytes(argv[1]);
  if (type == SQLITE_INTEGER) state->plain = 0;
  if (type == SQLITE_INTEGER || (type == SQLITE_BLOB && state->target.bytes))
    return 1;
  char *row = scan_step_name(state, argc, argv);
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
static void scan_step_any(sqlite3_context *context, bh_scan_state *state,
                          int argc, sqlite3_value **argv) {
  sqlite3_int64 rowid = ++state->number;
  if (!state->numbered) {
    rowid = sqlite3_value_int64(argv[0]);
    if (state->target.rowids && !scan_step_wants(&state->target, rowid))
      return;
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
      !scan_step_model(context, state, argc, argv))
    return;
  sqlite3_int64 integer;
  const void *code = scan_step_code(&state->target, argv[1], type, &integer);
  if (!code) {
    scan_step_refuse(context, state, argc, argv);
    return;
  }
  bh_scanned row = {.rowid = rowid, .code = code, .bytes = state->target.bytes,
                    .key = argc > 2 ? argv[2] : NULL,
                    .features = argc > 3 ? argv[3] : NULL,
                    .numbered = state->numbered};
  if (row.key && state->target.keep_keys)
    row.payload_bytes = scan_step_pack(state, row.key);
  if (row.payload_bytes > 0) row.payload = state->key;
  if (row.payload_bytes < 0)
    sqlite3_result_error_nomem(context);
  else
    scan_step_give(context, &state->target, &row);
}

/* Once a row, so every call into SQLite counts, and the usual row is all that
** stands here. */
static void scan_step_row(sqlite3_context *context, int argc,
                          sqlite3_value **argv) {
  const bh_connection *connection = sqlite3_user_data(context);
  bh_scan_state *state = connection->scanning;
  if (!state) {
    bh_result_text_error(context,
                         BH_SCAN_FUNCTION ": is private to binhash_topk");
  } else if (state->plain && sqlite3_value_type(argv[1]) == SQLITE_BLOB &&
             sqlite3_value_bytes(argv[1]) == state->target.bytes) {
    const void *code = sqlite3_value_blob(argv[1]);
    bh_scanned row = {.rowid = sqlite3_value_int64(argv[0]), .code = code,
                      .bytes = state->target.bytes};
    if (code)
      scan_step_give(context, &state->target, &row);
    else
      sqlite3_result_error_nomem(context);
  } else {
    scan_step_any(context, state, argc, argv);
  }
}

/* Nothing may hang on it: it also runs when a statement is given up. */
static void scan_step_final(sqlite3_context *context) { (void)context; }

int bh_scan_register(bh_connection *connection) {
  int rc = SQLITE_OK;
  for (int arguments = 2; rc == SQLITE_OK && arguments <= 4; arguments++) {
    connection->references++;
    rc = sqlite3_create_function_v2(connection->db, BH_SCAN_FUNCTION, arguments,
                                    SQLITE_UTF8 | SQLITE_DIRECTONLY, connection,
                                    NULL, scan_step_row, scan_step_final,
                                    bh_connection_unref);
  }
  return rc;
}

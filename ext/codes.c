/*
** The distance of codes as an SQL function:
**
**   hamming(a, b)            bits in which two codes differ
**   binhash_hamming(a, b)    the same, under a name that nobody else takes
**
** It is NULL if an argument is NULL, and an error, never a wrong number, for
** arguments that cannot be compared: types or lengths that differ, text.
**
** It takes two BLOBs of equal length, or two INTEGERs, which are 64 bits
** each (a code kept as a number).  `ORDER BY hamming(code, ?)` over an ordinary
** table visits every row, and no hook exists that would change that, so it is
** thin: what it costs is the calls into SQLite for type, length and bytes.  A
** second argument that is constant is remembered in SQLite's auxiliary data, so
** that one call fetches it instead of three, a fifth of the function's time.
** SQLite drops at once what is remembered of an argument that is not constant,
** which costs more than it could save, so only one call in 64 tries.
**
** Not here: the search that knows it is one, which is topk.c, and the distances
** of features, which are features.c.
*/
#include <string.h>

#include "ext_int.h"
SQLITE_EXTENSION_INIT3

/* The name of a type, with a blob's length: "BLOB of 6 bytes". */
static char *codes_describe(sqlite3_value *value) {
  int type = sqlite3_value_type(value);
  if (type == SQLITE_BLOB) {
    int n = sqlite3_value_bytes(value);
    return sqlite3_mprintf("BLOB of %d byte%s", n, n == 1 ? "" : "s");
  }
  return sqlite3_mprintf("%s", bh_type_name(type));
}

static void codes_mismatch(sqlite3_context *context, sqlite3_value **argv) {
  char *a = codes_describe(argv[0]);
  char *b = codes_describe(argv[1]);
  if (a && b)
    bh_result_text_error(context, "hamming: wants two BLOBs of equal length or "
                         "two INTEGERs; argument 1 is %s, argument 2 is %s", a,
                         b);
  else
    sqlite3_result_error_nomem(context);
  sqlite3_free(a);
  sqlite3_free(b);
}

/*
** What is not two BLOBs with bytes: apart, so that the common case stays small.
** Two BLOBs of equal length come here if they are empty, or if one is a
** zeroblob() and there was no memory to write its zeros.
*/
BH_NOINLINE
static void codes_hamming_other(sqlite3_context *context,
                                sqlite3_value **argv) {
  int a = sqlite3_value_type(argv[0]), b = sqlite3_value_type(argv[1]);
  if (a == SQLITE_NULL || b == SQLITE_NULL) return;
  if (a == SQLITE_BLOB && b == SQLITE_BLOB) {
    int n = sqlite3_value_bytes(argv[0]);
    if (n == 0 && sqlite3_value_bytes(argv[1]) == 0) {
      sqlite3_result_int64(context, 0);
      return;
    }
    if (n == sqlite3_value_bytes(argv[1])) {
      sqlite3_result_error_nomem(context);
      return;
    }
  }
  if (a == SQLITE_INTEGER && b == SQLITE_INTEGER) {
    sqlite3_int64 x = sqlite3_value_int64(argv[0]);
    sqlite3_int64 y = sqlite3_value_int64(argv[1]);
    sqlite3_result_int64(context, (sqlite3_int64)nn_hamming(&x, &y, sizeof(x)));
    return;
  }
  codes_mismatch(context, argv);
}

/* A query that is remembered. */
typedef struct codes_query {
  int n;
  unsigned char bytes[];
} codes_query;

BH_NOINLINE
static void codes_remember(sqlite3_context *context, const void *bytes, int n) {
  codes_query *query = sqlite3_malloc64(sizeof(*query) + (sqlite3_uint64)n);
  if (!query) return;   /* it will be fetched again */
  query->n = n;
  memcpy(query->bytes, bytes, (size_t)n);
  sqlite3_set_auxdata(context, 1, query, sqlite3_free);
}

/* Two BLOBs, of which the second is not remembered. */
BH_NOINLINE
static void codes_hamming_both(sqlite3_context *context, sqlite3_value **argv) {
  if (sqlite3_value_type(argv[0]) == SQLITE_BLOB &&
      sqlite3_value_type(argv[1]) == SQLITE_BLOB) {
    int n = sqlite3_value_bytes(argv[0]);
    if (n == sqlite3_value_bytes(argv[1])) {
      const void *a = sqlite3_value_blob(argv[0]);
      const void *b = sqlite3_value_blob(argv[1]);
      if (a && b) {
        unsigned *calls = sqlite3_user_data(context);
        if (++*calls % 64 == 0) codes_remember(context, b, n);
        sqlite3_result_int64(context,
                             (sqlite3_int64)nn_hamming(a, b, (size_t)n));
        return;
      }
    }
  }
  codes_hamming_other(context, argv);
}

static void codes_hamming(sqlite3_context *context, int argc,
                          sqlite3_value **argv) {
  const codes_query *query = sqlite3_get_auxdata(context, 1);
  (void)argc;
  if (query && sqlite3_value_type(argv[0]) == SQLITE_BLOB &&
      sqlite3_value_bytes(argv[0]) == query->n) {
    const void *code = sqlite3_value_blob(argv[0]);
    if (code) {
      uint64_t distance = nn_hamming(code, query->bytes, (size_t)query->n);
      sqlite3_result_int64(context, (sqlite3_int64)distance);
      return;
    }
  }
  codes_hamming_both(context, argv);
}

/* hamming under a name; its user data counts calls. */
static int codes_register_hamming(sqlite3 *db, const char *name) {
  unsigned *calls = sqlite3_malloc64(sizeof(*calls));
  if (!calls) return SQLITE_NOMEM;
  *calls = 0;
  return sqlite3_create_function_v2(
      db, name, 2, SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS, calls,
      codes_hamming, NULL, NULL, sqlite3_free);
}

int bh_register_codes(bh_connection *connection) {
  int taken = 0;   /* by another extension, which keeps it */
  int rc = codes_register_hamming(connection->db, "binhash_hamming");
  if (rc == SQLITE_OK)
    rc = bh_has_function(connection->db, "hamming", 2, &taken);
  if (rc == SQLITE_OK && !taken)
    rc = codes_register_hamming(connection->db, "hamming");
  return rc;
}

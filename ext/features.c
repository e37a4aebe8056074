/*
** Features as SQL functions:
**
**   feature_distance(a, b)   Euclidean distance
**   cosine_distance(a, b)    1 - cosine of the angle between them
**   feature_pack(features)   the same vector in a quarter of the bytes
**
** A vector is a BLOB, float32 as img_features gives it or packed by
** feature_pack; a distance takes either form in either argument.  nn's
** features.c says what the bytes are, and defines the distances down to their
** last bit.
**
** Each function is NULL if an argument is NULL, and an error, never a wrong
** number, for arguments that cannot be used: other types, BLOBs of neither
** form, vectors of different lengths.  A distance from a vector with a NaN is
** NULL, as every NaN is to SQLite; such a vector cannot be packed.
**
** Not here: the search that reads few features of many, which is fine.c.
*/
#include "features.h"
SQLITE_EXTENSION_INIT3

int bh_features(sqlite3_value *value, nn_features *out, char **problem) {
  int type = sqlite3_value_type(value);
  *problem = NULL;
  if (type != SQLITE_BLOB) {
    *problem = sqlite3_mprintf("%s, not a BLOB", bh_type_name(type));
    return *problem ? SQLITE_MISMATCH : SQLITE_NOMEM;
  }
  /* The length first: a zeroblob that could not be made real has lost it
  ** afterwards. */
  int n = sqlite3_value_bytes(value);
  const void *blob = n ? sqlite3_value_blob(value) : "";
  if (!blob) return SQLITE_NOMEM;
  if (nn_features_read(blob, (size_t)n, out)) return SQLITE_OK;
  *problem = sqlite3_mprintf("a BLOB of %d byte%s, neither float32 nor packed "
                             "by feature_pack", n, n == 1 ? "" : "s");
  return *problem ? SQLITE_MISMATCH : SQLITE_NOMEM;
}

/* An argument, counted from 1.  0: the result is an error. */
static int features_argument(sqlite3_context *context, const char *function,
                             int number, sqlite3_value *value,
                             nn_features *out) {
  char *problem = NULL;
  int rc = bh_features(value, out, &problem);
  if (rc == SQLITE_MISMATCH)
    bh_result_text_error(context, "%s: argument %d is %s", function, number,
                         problem);
  else if (rc != SQLITE_OK)
    sqlite3_result_error_nomem(context);
  sqlite3_free(problem);
  return rc == SQLITE_OK;
}

static void features_distance(sqlite3_context *context, sqlite3_value **argv,
                              const char *function,
                              double (*distance)(const nn_features *,
                                                 const nn_features *)) {
  nn_features a, b;
  if (sqlite3_value_type(argv[0]) == SQLITE_NULL ||
      sqlite3_value_type(argv[1]) == SQLITE_NULL)
    return;
  if (!features_argument(context, function, 1, argv[0], &a) ||
      !features_argument(context, function, 2, argv[1], &b))
    return;
  if (a.n == b.n)
    sqlite3_result_double(context, distance(&a, &b));
  else
    bh_result_text_error(context, "%s: argument 1 has %lld value%s, argument 2 "
                         "has %lld", function, (sqlite3_int64)a.n,
                         a.n == 1 ? "" : "s", (sqlite3_int64)b.n);
}

static void features_euclidean(sqlite3_context *context, int argc,
                               sqlite3_value **argv) {
  (void)argc;
  features_distance(context, argv, "feature_distance", nn_features_euclidean);
}

static void features_cosine(sqlite3_context *context, int argc,
                            sqlite3_value **argv) {
  (void)argc;
  features_distance(context, argv, "cosine_distance", nn_features_cosine);
}

static void features_pack(sqlite3_context *context, int argc,
                          sqlite3_value **argv) {
  nn_features features;
  nn_error err;
  (void)argc;
  if (sqlite3_value_type(argv[0]) == SQLITE_NULL) return;
  if (!features_argument(context, "feature_pack", 1, argv[0], &features))
    return;
  if (features.packed) {
    bh_result_text_error(context, "feature_pack: argument 1 is packed already");
    return;
  }
  size_t n = nn_features_packed_size(features.n);
  uint8_t *packed = sqlite3_malloc64(n);
  if (!packed) {
    sqlite3_result_error_nomem(context);
    return;
  }
  if (nn_features_pack(&features, packed, &err) == NN_OK) {
    sqlite3_result_blob64(context, packed, n, sqlite3_free);
  } else {
    bh_result_error(context, "feature_pack", &err);
    sqlite3_free(packed);
  }
}

int bh_register_features(bh_connection *connection) {
  static const struct {
    const char *name;
    int arguments;
    void (*function)(sqlite3_context *, int, sqlite3_value **);
  } functions[] = {{"feature_distance", 2, features_euclidean},
                   {"cosine_distance", 2, features_cosine},
                   {"feature_pack", 1, features_pack}};
  int rc = SQLITE_OK;
  for (size_t i = 0; rc == SQLITE_OK && i < 3; i++)
    rc = bh_function(connection, functions[i].name, functions[i].arguments,
                     SQLITE_DETERMINISTIC, functions[i].function);
  return rc;
}

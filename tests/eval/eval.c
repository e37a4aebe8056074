/*
** The evaluation's functions: what sql/eval/ needs and SQL cannot say, or not
** in time.  A loadable extension of its own, no part of the product.
**
**   eval_database(id, code, label)   aggregate: takes these rows, in the place
**                                    of any before, as the database; their
**                                    number
**   eval_query(codes, label, id, k, ...)
**                                    JSON: the figures of a query to it
**   eval_shuffled(codes, label, id, k, ...)
**                                    JSON: for each k, the average precision
**                                    with ties in each of the seeded orders
**   eval_histogram(codes, label, id) aggregate over queries: JSON, for each
**                                    distance [rows, hits]
**   eval_bits(bits)                  JSON: use of the database's bits
**   eval_views(code)                 aggregate: codes one behind the other; a
**                                    query of several has the least distance
**   eval_harmonic(n)                 1 + 1/2 + ... + 1/n
**   eval_beyond(floats, limit)       share of numbers beyond +-limit
**   eval_phash(pixels)               perceptual hash of 3x32x32 float32 pixels
**   eval_random(seed)                8 bytes
**   eval_byte(n)                     the code of a class
**
** A row is a hit if it has the query's label; a NULL label has no hits.  The
** row whose id is the query's is left out.  k counts rows, 0 is all.
** eval_query gives the lists ap, ap_min and p: for each k the expected average
** precision over the hits found and over min(relevant, k), and the expected
** precision; and ball, the precision within a radius of 2.  ranking.c says how.
**
** The database belongs to the connection.
*/
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <sqlite3ext.h>
SQLITE_EXTENSION_INIT1

#include "eval.h"

typedef struct eval_state {
  int users;                    /* functions that have not been destroyed */
  eval_ranking ranking;
} eval_state;

static void eval_fail(sqlite3_context *context, const char *why) {
  sqlite3_result_error(context, why, -1);
}

static eval_ranking *eval_ranking_of(sqlite3_context *context) {
  return &((eval_state *)sqlite3_user_data(context))->ranking;
}

/* The database ------------------------------------------------------------ */

static void eval_database_step(sqlite3_context *context, int n,
                               sqlite3_value **v) {
  eval_ranking *r = eval_ranking_of(context);
  int *begun = sqlite3_aggregate_context(context, sizeof *begun);
  (void)n;
  if (!begun) return sqlite3_result_error_nomem(context);
  int bytes = sqlite3_value_bytes(v[1]);
  if (!*begun) {
    eval_clear(r);
    r->bytes = bytes;
    *begun = 1;
  }
  if (bytes != r->bytes || bytes < 1 || bytes > 128 ||
      sqlite3_value_type(v[1]) != SQLITE_BLOB) {
    return eval_fail(context, "eval_database: codes are BLOBs of one length, "
                              "1 to 128 bytes");
  }
  int64_t label = sqlite3_value_type(v[2]) == SQLITE_NULL
                      ? INT64_MIN : sqlite3_value_int64(v[2]);
  if (eval_add(r, sqlite3_value_blob(v[1]), sqlite3_value_int64(v[0]), label)) {
    sqlite3_result_error_nomem(context);
  }
}

static void eval_database_final(sqlite3_context *context) {
  eval_ranking *r = eval_ranking_of(context);
  if (!sqlite3_aggregate_context(context, 0)) eval_clear(r);
  if (eval_ready(r)) return sqlite3_result_error_nomem(context);
  sqlite3_result_int(context, r->n);
}

/* Queries ----------------------------------------------------------------- */

/* Ranks the database for (codes, label, id); 0 if that failed. */
static int eval_rank(sqlite3_context *context, sqlite3_value **v) {
  eval_ranking *r = eval_ranking_of(context);
  int bytes = sqlite3_value_bytes(v[0]);
  if (r->n == 0 || bytes == 0 || bytes % r->bytes ||
      sqlite3_value_type(v[0]) != SQLITE_BLOB) {
    eval_fail(context, r->n ? "eval: a query is codes of the database's length"
                            : "eval: eval_database has been given no rows");
    return 0;
  }
  int64_t label = sqlite3_value_int64(v[1]), id = sqlite3_value_int64(v[2]);
  eval_ask(r, sqlite3_value_blob(v[0]), bytes / r->bytes,
           sqlite3_value_type(v[2]) == SQLITE_NULL ? NULL : &id,
           sqlite3_value_type(v[1]) == SQLITE_NULL ? NULL : &label);
  return 1;
}

static void eval_number(sqlite3_str *out, int i, double x) {
  sqlite3_str_appendf(out, "%s%!.15g", i ? "," : "", x);
}

static void eval_list(sqlite3_str *out, const char *name, int n,
                      const double *x) {
  sqlite3_str_appendf(out, "\"%s\":[", name);
  for (int i = 0; i < n; i++) eval_number(out, i, x[i]);
  sqlite3_str_appendall(out, "],");
}

static void eval_text(sqlite3_context *context, sqlite3_str *out) {
  char *text = sqlite3_str_finish(out);
  if (!text) return sqlite3_result_error_nomem(context);
  sqlite3_result_text(context, text, -1, sqlite3_free);
}

enum { EVAL_CUTS = 16 };

static int eval_cuts(sqlite3_context *context, int arguments) {
  if (arguments >= 4 && arguments <= 3 + EVAL_CUTS) return arguments - 3;
  eval_fail(context, "eval: (codes, label, id) and 1 to 16 numbers of rows");
  return 0;
}

static void eval_query(sqlite3_context *context, int n, sqlite3_value **v) {
  double ap[EVAL_CUTS], ap_min[EVAL_CUTS], p[EVAL_CUTS];
  int cuts = eval_cuts(context, n);
  if (!cuts || !eval_rank(context, v)) return;
  eval_ranking *r = eval_ranking_of(context);
  for (int i = 0; i < cuts; i++) {
    eval_figures f = eval_expected(r, sqlite3_value_int64(v[3 + i]));
    ap[i] = f.ap, ap_min[i] = f.ap_min, p[i] = f.precision;
  }
  sqlite3_str *out = sqlite3_str_new(sqlite3_context_db_handle(context));
  sqlite3_str_appendall(out, "{");
  eval_list(out, "ap", cuts, ap);
  eval_list(out, "ap_min", cuts, ap_min);
  eval_list(out, "p", cuts, p);
  sqlite3_str_appendf(out, "\"ball\":%!.15g}", eval_ball(r));
  eval_text(context, out);
}

static void eval_orders(sqlite3_context *context, int n, sqlite3_value **v) {
  int cuts = eval_cuts(context, n);
  if (!cuts || !eval_rank(context, v)) return;
  eval_ranking *r = eval_ranking_of(context);
  double ap[EVAL_SHUFFLES][EVAL_CUTS];
  int64_t k[EVAL_CUTS];
  for (int i = 0; i < cuts; i++) k[i] = sqlite3_value_int64(v[3 + i]);
  for (int s = 0; s < EVAL_SHUFFLES; s++) {
    eval_shuffled(r, s, cuts, k, ap[s]);
  }
  sqlite3_str *out = sqlite3_str_new(sqlite3_context_db_handle(context));
  for (int i = 0; i < cuts; i++) {
    sqlite3_str_appendall(out, i ? ",[" : "[[");
    for (int s = 0; s < EVAL_SHUFFLES; s++) eval_number(out, s, ap[s][i]);
    sqlite3_str_appendall(out, "]");
  }
  sqlite3_str_appendall(out, "]");
  eval_text(context, out);
}

typedef struct eval_counts {
  int distances;
  int64_t rows[1025], hits[1025];
} eval_counts;

static void eval_histogram_step(sqlite3_context *context, int n,
                                sqlite3_value **v) {
  eval_counts *c = sqlite3_aggregate_context(context, sizeof *c);
  (void)n;
  if (!c) return sqlite3_result_error_nomem(context);
  if (!eval_rank(context, v)) return;
  eval_ranking *r = eval_ranking_of(context);
  c->distances = 8 * r->bytes + 1;
  for (int d = 0; d < c->distances; d++) {
    c->rows[d] += r->rows[d];
    c->hits[d] += r->hits[d];
  }
}

static void eval_histogram_final(sqlite3_context *context) {
  eval_counts *c = sqlite3_aggregate_context(context, 0);
  sqlite3_str *out = sqlite3_str_new(sqlite3_context_db_handle(context));
  sqlite3_str_appendall(out, "[");
  for (int d = 0; c && d < c->distances; d++) {
    sqlite3_str_appendf(out, "%s[%lld,%lld]", d ? "," : "",
                        (sqlite3_int64)c->rows[d], (sqlite3_int64)c->hits[d]);
  }
  sqlite3_str_appendall(out, "]");
  eval_text(context, out);
}

/* The rest ---------------------------------------------------------------- */

static void eval_bits_used(sqlite3_context *context, int n, sqlite3_value **v) {
  eval_ranking *r = eval_ranking_of(context);
  int bits = sqlite3_value_int(v[0]);
  (void)n;
  if (r->n == 0 || bits < 1 || bits > 8 * r->bytes) {
    return eval_fail(context, "eval_bits: 1 to as many bits as the codes have");
  }
  eval_bits b = eval_bits_of(r, bits);
  sqlite3_str *out = sqlite3_str_new(sqlite3_context_db_handle(context));
  sqlite3_str_appendf(out, "{\"least\":%!.15g,\"most\":%!.15g,\"bias\":%!.15g,"
                      "\"correlation\":%!.15g}", b.least, b.most, b.bias,
                      b.correlation);
  eval_text(context, out);
}

typedef struct eval_bytes {
  uint8_t *bytes;
  int n;
} eval_bytes;

static void eval_views_step(sqlite3_context *context, int n,
                            sqlite3_value **v) {
  eval_bytes *b = sqlite3_aggregate_context(context, sizeof *b);
  int more = sqlite3_value_bytes(v[0]);
  (void)n;
  if (!b || more == 0) return;
  uint8_t *grown = sqlite3_realloc(b->bytes, b->n + more);
  if (!grown) return sqlite3_result_error_nomem(context);
  b->bytes = grown;
  memcpy(b->bytes + b->n, sqlite3_value_blob(v[0]), more);
  b->n += more;
}

static void eval_views_final(sqlite3_context *context) {
  eval_bytes *b = sqlite3_aggregate_context(context, 0);
  if (b && b->bytes) {
    sqlite3_result_blob(context, b->bytes, b->n, sqlite3_free);
  }
}

static void eval_harmonic_number(sqlite3_context *context, int n,
                                 sqlite3_value **v) {
  (void)n;
  sqlite3_result_double(context, eval_harmonic(sqlite3_value_int64(v[0])));
}

static void eval_beyond(sqlite3_context *context, int n, sqlite3_value **v) {
  int count = sqlite3_value_bytes(v[0]) / 4, beyond = 0;
  const uint8_t *bytes = sqlite3_value_blob(v[0]);
  double limit = sqlite3_value_double(v[1]);
  (void)n;
  if (!count) return;
  for (int i = 0; i < count; i++) {
    float x;
    memcpy(&x, bytes + 4 * i, 4);
    beyond += fabs(x) > limit;
  }
  sqlite3_result_double(context, (double)beyond / count);
}

static void eval_result_word(sqlite3_context *context, uint64_t word) {
  uint8_t bytes[8];
  for (int i = 0; i < 8; i++) bytes[i] = (uint8_t)(word >> (56 - 8 * i));
  sqlite3_result_blob(context, bytes, 8, SQLITE_TRANSIENT);
}

static void eval_phash_of(sqlite3_context *context, int n, sqlite3_value **v) {
  float pixels[3 * 32 * 32];
  (void)n;
  if (sqlite3_value_type(v[0]) == SQLITE_NULL) return;
  if (sqlite3_value_bytes(v[0]) != sizeof pixels) {
    return eval_fail(context, "eval_phash: 3 planes of 32x32 float32 numbers");
  }
  memcpy(pixels, sqlite3_value_blob(v[0]), sizeof pixels);
  eval_result_word(context, eval_phash(pixels));
}

static void eval_random(sqlite3_context *context, int n, sqlite3_value **v) {
  (void)n;
  eval_result_word(context, eval_noise(sqlite3_value_int64(v[0])));
}

static void eval_byte(sqlite3_context *context, int n, sqlite3_value **v) {
  uint8_t byte = (uint8_t)sqlite3_value_int(v[0]);
  (void)n;
  if (sqlite3_value_type(v[0]) == SQLITE_NULL) return;
  sqlite3_result_blob(context, &byte, 1, SQLITE_TRANSIENT);
}

/* Entry ------------------------------------------------------------------- */

static void eval_leave(void *p) {
  eval_state *state = p;
  if (--state->users) return;
  eval_clear(&state->ranking);
  free(state);
}

__attribute__((visibility("default")))
int sqlite3_eval_init(sqlite3 *db, char **error,
                      const sqlite3_api_routines *api) {
  static const struct {
    const char *name;
    int arguments;
    void (*call)(sqlite3_context *, int, sqlite3_value **);
    void (*final)(sqlite3_context *);
  } functions[] = {
    {"eval_database", 3, eval_database_step, eval_database_final},
    {"eval_query", -1, eval_query, 0},
    {"eval_shuffled", -1, eval_orders, 0},
    {"eval_histogram", 3, eval_histogram_step, eval_histogram_final},
    {"eval_bits", 1, eval_bits_used, 0},
    {"eval_views", 1, eval_views_step, eval_views_final},
    {"eval_harmonic", 1, eval_harmonic_number, 0},
    {"eval_beyond", 2, eval_beyond, 0},
    {"eval_phash", 1, eval_phash_of, 0},
    {"eval_random", 1, eval_random, 0},
    {"eval_byte", 1, eval_byte, 0},
  };
  SQLITE_EXTENSION_INIT2(api);
  (void)error;
  eval_state *state = calloc(1, sizeof *state);
  if (!state) return SQLITE_NOMEM;
  state->users = 1;
  int rc = SQLITE_OK;
  for (size_t i = 0; i < sizeof functions / sizeof *functions && !rc; i++) {
    int aggregate = functions[i].final != 0;
    state->users++;
    rc = sqlite3_create_function_v2(
        db, functions[i].name, functions[i].arguments, SQLITE_UTF8, state,
        aggregate ? 0 : functions[i].call, aggregate ? functions[i].call : 0,
        functions[i].final, eval_leave);
  }
  eval_leave(state);
  return rc;
}

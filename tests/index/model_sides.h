/*
** The two sides of the model's trial: an index and a plain table, to which every
** statement is given in its own words, and which must agree on what comes back.
**
** A statement is a template (model_expand), prepared on both sides as a pair,
** stepped side by side, and finished with the same code; changes(),
** last_insert_rowid() and the state of the transaction are compared after it.
** A disagreement ends the program with the seed, the round and the last
** operations.
*/
#ifndef BINHASH_MODEL_SIDES_H
#define BINHASH_MODEL_SIDES_H

#include <limits.h>
#include <stdarg.h>

#include "index_test.h"
#include "model_queries.h"

#define TRAIL 30
#define PARAMETERS 8

typedef struct side {
  sqlite3 *db[2];           /* of the index, and plain */
  int savepoints;
  int stale;                /* reads a snapshot that another commit left behind*/
  int changes_known;        /* the last statement changed rows of both */
} side;

static side model_sides[2];
static const char *model_paths[2];
static int model_bits, model_regime, model_wal, model_wide;
static int model_trace, model_round;
static int64_t model_comparisons, model_rows;
static uint64_t model_first_seed;
static char *model_trail[TRAIL];   /* the last operations, in a ring */
static int model_trail_at;

static void model_fail(const char *format, ...) {
  va_list list;
  va_start(list, format);
  char *why = sqlite3_vmprintf(format, list);
  va_end(list);
  printf("not ok 1 - model: %s\n", why);
  printf("# seed %llu, round %d: %d bits, %s, rowids %d\n",
         (unsigned long long)model_first_seed, model_round, model_bits,
         model_wal ? "WAL" : "journal", model_regime);
  for (int i = 0; i < TRAIL; i++) {
    const char *text = model_trail[(model_trail_at + i) % TRAIL];
    if (text) printf("# %s\n", text);
  }
  exit(1);
}

static void model_note(const side *s, const char *text) {
  char *line = sqlite3_mprintf("%c: %.900s", 'A' + (int)(s - model_sides),
                               text);
  if (model_trace) printf("# %s\n", line);
  sqlite3_free(model_trail[model_trail_at]);
  model_trail[model_trail_at] = line;
  model_trail_at = (model_trail_at + 1) % TRAIL;
}

static side *model_other(const side *s) {
  return &model_sides[s == model_sides];
}

static int model_state(const side *s) {
  return sqlite3_txn_state(s->db[1], "main");
}

/* The other one, if it reads now, reads what will not be the last commit. */
static void model_writes_now(const side *s) {
  if (model_state(model_other(s)) != SQLITE_TXN_NONE)
    model_other(s)->stale = 1;
}

/* Statements ---------------------------------------------------------------- */

/* What stands for {X}; both sides make the same random choices. */
static const char *model_word(char x, int plain, uint64_t choice) {
  static const char *const queries[] = {"t.query = ?1", "t.query MATCH ?1",
                                        "t.t MATCH ?1", "?1 = t.query"};
  static const char *const orders[] = {"", "ORDER BY t.distance",
                                       "ORDER BY t.distance, t.rowid"};
  static const char *const clauses[] = {"", "OR ABORT", "OR FAIL", "OR IGNORE",
                                        "OR REPLACE", "OR ROLLBACK"};
  static char bits[12];
  snprintf(bits, sizeof(bits), "%d", model_bits);
  switch (x) {
    case 'T': return plain ? "(SELECT id AS rowid, code, CAST(hamming(code, ?1)"
                             " AS INTEGER) AS distance FROM m)" : "t";
    case 'S': return plain ? "(SELECT id AS rowid, code, NULL AS distance FROM"
                             " m)" : "t";
    case 'Q': return plain ? "1" : queries[choice % 4];
    case 'O': return orders[plain ? 2 : choice % 3];
    case 'M': return plain ? "m" : "t";
    case 'R': return plain ? "id" : "rowid";
    case 'D': return plain ? "hamming(code, ?1) <= ?8 % 5"
                           : "query = ?1 AND distance <= ?8 % 5";
    case 'B': return bits;
    default: return clauses[choice % 6];
  }
}

static char *model_expand(const char *text, int plain, uint64_t choice) {
  static char out[2000];
  size_t n = 0;
  for (const char *p = text; *p; p++) {
    if (*p == '{') {
      n += (size_t)snprintf(out + n, sizeof(out) - n, "%s",
                            model_word(p[1], plain, choice));
      p = strchr(p, '}');
    } else {
      out[n++] = *p;
    }
  }
  out[n] = 0;
  return out;
}

/* An argument of a statement. */
typedef struct value {
  int type;
  int64_t integer;
  double real;
} value;

typedef struct values {
  uint8_t code[INDEX_CODE_MAX];   /* ?1 */
  value others[PARAMETERS + 1];
} values;

static void model_bind(sqlite3_stmt *stmt, const values *v) {
  int n = sqlite3_bind_parameter_count(stmt);
  for (int i = 1; i <= n; i++) {
    const value *x = &v->others[i];
    if (i == 1)
      sqlite3_bind_blob(stmt, 1, v->code, index_bytes(model_bits),
                        SQLITE_STATIC);
    else if (x->type == SQLITE_INTEGER) sqlite3_bind_int64(stmt, i, x->integer);
    else if (x->type == SQLITE_FLOAT) sqlite3_bind_double(stmt, i, x->real);
    else if (x->type == SQLITE_TEXT) sqlite3_bind_text(stmt, i, "4", 1,
                                                       SQLITE_STATIC);
  }
}

/* A statement on both sides, half done. */
typedef struct pair {
  sqlite3_stmt *stmt[2];
  const side *s;
  int rows;
  int before;               /* the transaction's state */
  int rc[2];
} pair;

static const char *model_text(const pair *p) {
  static char text[1200];
  char *whole = sqlite3_expanded_sql(p->stmt[0]);
  snprintf(text, sizeof(text), "%s", whole ? whole : sqlite3_sql(p->stmt[0]));
  sqlite3_free(whole);
  return text;
}

static pair model_prepare(side *s, const char *index, const char *plain,
                          const values *v, uint64_t choice) {
  pair p = {{NULL, NULL}, s, 0, model_state(s), {SQLITE_OK, SQLITE_OK}};
  for (int i = 0; i < 2; i++) {
    const char *sql = model_expand(i ? plain : index, i, choice);
    if (sqlite3_prepare_v2(s->db[i], sql, -1, &p.stmt[i], NULL) != SQLITE_OK)
      model_fail("%s: %s", sql, sqlite3_errmsg(s->db[i]));
    model_bind(p.stmt[i], v);
  }
  model_note(s, model_text(&p));
  return p;
}

static int model_same_column(const pair *p, int i) {
  int type = sqlite3_column_type(p->stmt[0], i);
  if (type != sqlite3_column_type(p->stmt[1], i)) return 0;
  if (type == SQLITE_INTEGER)
    return sqlite3_column_int64(p->stmt[0], i) ==
           sqlite3_column_int64(p->stmt[1], i);
  const void *a = sqlite3_column_blob(p->stmt[0], i);
  const void *b = sqlite3_column_blob(p->stmt[1], i);
  int n = sqlite3_column_bytes(p->stmt[0], i);
  return n == sqlite3_column_bytes(p->stmt[1], i) && (!n || !memcmp(a, b,
                                                                (size_t)n));
}

static char *model_row(sqlite3_stmt *stmt, int rc) {
  static char text[2][400];
  static int which;
  char *out = text[which ^= 1];
  size_t n = 0;
  if (rc != SQLITE_ROW) {
    snprintf(out, 400, "%s: %s", rc == SQLITE_DONE ? "the end" : "an error",
             sqlite3_errmsg(sqlite3_db_handle(stmt)));
    return out;
  }
  for (int i = 0; i < sqlite3_column_count(stmt) && n < 300; i++) {
    const char *column = (const char *)sqlite3_column_text(stmt, i);
    n += (size_t)snprintf(out + n, 400 - n, "%s%.60s", i ? " | " : "",
                          column ? column : "NULL");
  }
  return out;
}

/* At most `limit` rows of both; 1 while there are more. */
static int model_step(pair *p, int limit) {
  for (; limit != 0; limit--, p->rows++) {
    for (int i = 0; i < 2; i++) p->rc[i] = sqlite3_step(p->stmt[i]);
    int same = (p->rc[0] == p->rc[1] && p->rc[0] != SQLITE_BUSY) ||
               (p->rc[0] != SQLITE_ROW && p->rc[0] != SQLITE_DONE &&
                p->rc[1] != SQLITE_ROW && p->rc[1] != SQLITE_DONE &&
                (p->rc[0] & 0xff) != SQLITE_CORRUPT &&
                (p->rc[0] & 0xff) != SQLITE_BUSY);
    if (same && p->rc[0] == SQLITE_ROW)
      for (int i = sqlite3_column_count(p->stmt[0]) - 1; i >= 0; i--)
        same = same && model_same_column(p, i);
    if (!same)
      model_fail("%s\n# row %d of the index: %s\n# should be:  %s",
                 model_text(p), p->rows + 1, model_row(p->stmt[0], p->rc[0]),
                 model_row(p->stmt[1], p->rc[1]));
    if (p->rc[0] != SQLITE_ROW) return 0;
  }
  return 1;
}

/* What both connections say of themselves after a statement. */
static void model_agree(side *s) {
  sqlite3 *a = s->db[0], *b = s->db[1];
  if (sqlite3_get_autocommit(a) != sqlite3_get_autocommit(b))
    model_fail("autocommit is %d", sqlite3_get_autocommit(a));
  if (sqlite3_txn_state(a, "main") != sqlite3_txn_state(b, "main"))
    model_fail("%c: the transaction's state is %d and not %d",
               'A' + (int)(s - model_sides), sqlite3_txn_state(a, "main"),
               sqlite3_txn_state(b, "main"));
  if (s->changes_known && sqlite3_changes(a) != sqlite3_changes(b))
    model_fail("changes() gives %d and not %d", sqlite3_changes(a),
               sqlite3_changes(b));
  if (sqlite3_last_insert_rowid(a) != sqlite3_last_insert_rowid(b))
    model_fail("last_insert_rowid() gives %lld and not %lld",
               sqlite3_last_insert_rowid(a), sqlite3_last_insert_rowid(b));
  if (sqlite3_get_autocommit(b)) s->savepoints = 0;
  if (sqlite3_txn_state(b, "main") == SQLITE_TXN_NONE) s->stale = 0;
}

static int model_finish(side *s, pair *p) {
  const char *sql = sqlite3_sql(p->stmt[1]);
  s->changes_known = strchr("IUD", *sql) || !strncmp(sql, "REPLACE", 7);
  for (int i = 0; i < 2; i++) sqlite3_finalize(p->stmt[i]);
  model_rows += p->rows;
  if (p->before == SQLITE_TXN_WRITE && model_state(s) == SQLITE_TXN_NONE)
    model_writes_now(s);
  model_agree(s);
  return p->rc[1];
}

/* Run on both; the plain side's result. */
static int model_pair(side *s, const char *index, const char *plain,
                      const values *v, uint64_t choice) {
  pair p = model_prepare(s, index, plain, v, choice);
  model_step(&p, -1);
  return model_finish(s, &p);
}

static int model_both(side *s, const char *text, const values *v) {
  return model_pair(s, text, text, v, index_random());
}

/* Begin to write on the plain side, as the other has done. */
static void model_touch(side *s) {
  if (sqlite3_exec(s->db[1], "DELETE FROM m WHERE 0", NULL, NULL, NULL) !=
      SQLITE_OK)
    model_fail("nothing deleted: %s", sqlite3_errmsg(s->db[1]));
}

/* After what one side alone has done. */
static void model_forget(side *s) {
  for (int i = 0; i < 2; i++) sqlite3_set_last_insert_rowid(s->db[i], 17);
  s->changes_known = 0;
}

#endif

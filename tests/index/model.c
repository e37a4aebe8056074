/*
** The index beside a table that cannot be wrong.
**
**     model [OPERATIONS [SEED [ROUND]]]
**
** Every operation is done twice: on an index, `binhash(bits=N)`, in one
** database, and on `CREATE TABLE m(id INTEGER PRIMARY KEY, code BLOB)` in
** another.  Both have two connections, whose transactions, savepoints,
** rollbacks and snapshots are the same on both sides.  After every few
** operations, scans, look-ups and searches must give the same rows in the same
** order; after every one, changes(), last_insert_rowid() and the state of the
** transaction must agree.  The plain side sorts by `hamming(code, ?), id`.
**
** The operations come in rounds of about a thousand, each with databases of its
** own: 12, 48, 63 or 256 bits, a write-ahead log or a rollback journal, rowids
** that are dense, in clusters, spread over all 64 bits or all of these, and a
** bound of the cache that is as it comes, a few kilobytes or 0.  One round in 19
** is short and wide: so many rows that the multi-index is used.
**
** Two connections never wait for each other: a connection writes only when the
** other has no transaction that would refuse it, so that SQLITE_BUSY, from
** either side, is a failure like any other.
**
** On a failure the seed, the round and the last operations are printed; with
** the same arguments the same happens.  BINHASH_TRACE=1 prints every statement.
*/
#include "model_sides.h"

#define COUNT(list) ((int)(sizeof(list) / sizeof(*(list))))
#define ROUND_OPERATIONS 1000
#define WIDE_OPERATIONS 100
#define WIDE_ROWS 70000   /* enough for a multi-index */

/* Values -------------------------------------------------------------------- */

static int64_t model_existing(side *s) {
  int64_t rowid = 0;
  sqlite3_stmt *stmt;
  /* Looking would fix what the transaction sees, on this side alone. */
  if (!sqlite3_get_autocommit(s->db[1]) && model_state(s) == SQLITE_TXN_NONE)
    return 0;
  sqlite3_prepare_v2(s->db[1], "SELECT id FROM m LIMIT 1 OFFSET abs(?1) % max("
                     "1, (SELECT count(*) FROM m))", -1, &stmt, NULL);
  sqlite3_bind_int64(stmt, 1, index_below(1 << 30));
  if (sqlite3_step(stmt) == SQLITE_ROW) rowid = sqlite3_column_int64(stmt, 0);
  sqlite3_finalize(stmt);
  return rowid;
}

static int64_t model_rowid(side *s) {
  static const int64_t edges[] = {0, -1, 1, INT64_MIN, INT64_MIN + 1, INT64_MAX,
                                  INT64_MAX - 1, INT32_MAX, (int64_t)1 << 32};
  int regime = model_regime == 3 ? (int)index_below(3) : model_regime;
  int64_t any = (int64_t)index_random();
  if (index_below(3) == 0) return model_existing(s);
  if (regime == 0) return 1 + index_below(2500);
  if (regime == 1)
    return (int64_t)index_mix((uint64_t)index_below(6) + model_first_seed) / 2 +
           index_below(400);
  return index_below(12) == 0 ? edges[index_below(COUNT(edges))] : any;
}

static void model_values(side *s, values *v) {
  memset(v, 0, sizeof(*v));
  index_code(index_random() % 600, model_bits, v->code);
  for (int i = 2; i <= PARAMETERS; i++) v->others[i].type = SQLITE_INTEGER;
  v->others[2].integer = index_below(8) ? index_below(12)
                                        : index_below(model_bits + 3) - 1;
  if (index_below(12) == 0) {
    v->others[2].type = (int)index_below(5) + 1;   /* a blob stays unbound */
    v->others[2].real = index_below(2) ? 3.5 : 1e300;
  }
  v->others[3].integer = index_below(4) ? index_below(30) : index_below(600) - 1;
  v->others[4].integer = index_below(3) ? index_below(20) : index_below(3000);
  int64_t a = model_rowid(s), b = model_rowid(s);
  v->others[5].integer = a < b ? a : b;
  v->others[6].integer = a < b ? b : a;
  v->others[7].integer = index_below(100000);
  v->others[8].integer = index_below(6) ? index_below(60) : index_below(1500);
}

/* Operations ---------------------------------------------------------------- */

static int model_may_read(const side *s) {
  return model_wal || model_state(model_other(s)) == SQLITE_TXN_NONE;
}

static int model_may_write(const side *s) {
  int other = model_state(model_other(s));
  return !s->stale && other != SQLITE_TXN_WRITE &&
         (model_wal || other == SQLITE_TXN_NONE);
}

static int model_search(side *s) {
  values v;
  model_values(s, &v);
  model_comparisons++;
  if (index_below(12) == 0) {
    const char *const *join = model_joins[index_below(COUNT(model_joins))];
    return model_pair(s, join[0], join[1], &v, 0);
  }
  const char *text = model_searches[index_below(COUNT(model_searches))];
  return model_both(s, text, &v);
}

static int model_scan(side *s) {
  values v;
  model_values(s, &v);
  model_comparisons++;
  int n = (int)index_below(COUNT(model_scans));
  if (n) return model_both(s, model_scans[n], &v);
  if (index_below(2))
    return model_pair(s, "SELECT * FROM t", "SELECT code, NULL FROM m ORDER BY"
                      " id", &v, 0);
  return model_pair(s, model_scans[0], "SELECT t.id, hex(t.code), NULL FROM m t"
                    " ORDER BY t.id", &v, 0);
}

static void model_compare(side *s, int n) {
  if (!model_may_read(s)) return;
  while (n-- > 0) {
    if (index_below(3)) model_search(s);
    else model_scan(s);
  }
}

/* A rowid of SQLite's choice: one more than the largest while there is one. */
static void model_append(side *s, values *v) {
  char out[40];
  host_sql(s->db[1], "SELECT max(id) FROM m", NULL, 0, out, sizeof(out));
  int full = strcmp(out, "9223372036854775807") == 0;
  const char *text = index_below(2) ? "INSERT INTO {M}(code) VALUES (?1)"
                     : "INSERT OR IGNORE INTO {M}({R}, code) VALUES (NULL, ?1)";
  if (!full) {
    model_both(s, text, v);
    return;
  }
  /* SQLite tries rowids at random, and so may the index, or say it is full. */
  sqlite3_stmt *stmt;
  sqlite3_prepare_v2(s->db[0], model_expand(text, 0, 0), -1, &stmt, NULL);
  model_bind(stmt, v);
  model_note(s, "INSERT after the largest rowid");
  int rc = sqlite3_step(stmt);
  sqlite3_finalize(stmt);
  if (rc != SQLITE_DONE) {
    model_touch(s);
    model_forget(s);
    if (rc != SQLITE_FULL) model_fail("full: %s", sqlite3_errmsg(s->db[0]));
    return;
  }
  v->others[5].integer = sqlite3_last_insert_rowid(s->db[0]);
  sqlite3_prepare_v2(s->db[1], "INSERT INTO m VALUES (?5, ?1)", -1, &stmt,
                     NULL);
  model_bind(stmt, v);
  if (sqlite3_step(stmt) != SQLITE_DONE)
    model_fail("a new rowid: %s", sqlite3_errmsg(s->db[1]));
  sqlite3_finalize(stmt);
}

/* A code that the index must refuse, and nothing is changed by it. */
static void model_refused(side *s) {
  static const char *const codes[] = {"NULL", "x''", "zeroblob(200)", "'text'",
                                      "17", "zeroblob(1)"};
  char *sql = sqlite3_mprintf("INSERT INTO t(rowid, code) VALUES (%lld, %s)",
                              model_rowid(s), codes[index_below(6)]);
  model_note(s, sql);
  if (sqlite3_exec(s->db[0], sql, NULL, NULL, NULL) == SQLITE_OK)
    model_fail("%s is not refused", sql);
  model_touch(s);
  model_forget(s);
  sqlite3_free(sql);
}

static void model_write(side *s) {
  values v;
  if (!model_may_write(s)) return;
  model_values(s, &v);
  model_writes_now(s);
  int64_t kind = index_below(40);
  /* The rows of a range must not leave the integers by arithmetic. */
  for (int i = 5; i <= 6 && kind >= 3; i++) {
    if (v.others[i].integer > INT64_MAX - 4000) v.others[i].integer -= 4000;
    if (v.others[i].integer < INT64_MIN + 90000) v.others[i].integer += 90000;
  }
  if (kind == 0) model_refused(s);
  else if (kind == 1)
    model_both(s, model_odd_writes[index_below(COUNT(model_odd_writes))], &v);
  else if (kind == 2)   /* with the extremes */
    model_both(s, model_writes[index_below(2)], &v);
  else if (kind < 9) model_append(s, &v);
  else if (kind < 14)
    model_both(s, model_moves[index_below(COUNT(model_moves))], &v);
  else if (kind == 14 && index_below(10) == 0)
    model_both(s, "DELETE FROM {M}", &v);
  else
    model_both(s, model_writes[index_below(COUNT(model_writes))], &v);
}

static void model_plain(side *s, const char *sql) {
  values v;
  memset(&v, 0, sizeof(v));
  model_both(s, sql, &v);
}

static void model_transaction(side *s) {
  char sql[60];
  int64_t kind = index_below(10), n = index_below(s->savepoints + 1);
  if (!model_may_read(s)) return;
  if (sqlite3_get_autocommit(s->db[1])) {
    if (kind < 3) model_plain(s, "BEGIN");
    else if (kind < 5 && model_may_write(s)) {
      model_writes_now(s);
      model_plain(s, "BEGIN IMMEDIATE");
    } else if (kind < 7) {
      model_plain(s, "SAVEPOINT s1");
      s->savepoints = 1;
    }
    return;
  }
  if (kind == 0) model_plain(s, "COMMIT");
  else if (kind == 1) model_plain(s, "ROLLBACK");
  else if (kind < 6 && s->savepoints < 5) {
    snprintf(sql, sizeof(sql), "SAVEPOINT s%d", ++s->savepoints);
    model_plain(s, sql);
  } else if (n > 0) {
    snprintf(sql, sizeof(sql), "%s s%d", kind < 8 ? "RELEASE" : "ROLLBACK TO",
             (int)n);
    s->savepoints = (int)n - (kind < 8);
    model_plain(s, sql);
  }
}

/* Rows taken from an open search while the other connection commits. */
static void model_stream(side *s) {
  values v;
  if (!model_may_read(s)) return;
  model_values(s, &v);
  const char *text = model_searches[index_below(4)];
  pair p = model_prepare(s, text, text, &v, index_random());
  if (model_step(&p, (int)index_below(40)) && model_wal)
    model_write(model_other(s));
  if (p.rc[0] == SQLITE_ROW && index_below(4)) model_step(&p, -1);
  model_finish(s, &p);
}

static void model_check(side *s) {
  const char *sql = "INSERT INTO t(t) VALUES('integrity-check')";
  if (!model_may_write(s)) return;
  model_note(s, sql);
  model_writes_now(s);
  if (sqlite3_exec(s->db[0], sql, NULL, NULL, NULL) != SQLITE_OK)
    model_fail("integrity-check: %s", sqlite3_errmsg(s->db[0]));
  model_touch(s);
  model_forget(s);
  model_agree(s);
}

static void model_bound_cache(sqlite3 *db) {
  static const int bounds[] = {0, 1, 5000, 20000, 60000, 1 << 20};
  int bound = bounds[index_below(COUNT(bounds))];
  if (model_wide) {
    index_exec(db, "SELECT binhash_config('multi_index', 2)");
  } else if (index_below(2)) {
    char *sql = sqlite3_mprintf("SELECT binhash_config('cache_bytes', %d)",
                                bound);
    sqlite3_exec(db, sql, NULL, NULL, NULL);
    sqlite3_free(sql);
  }
}

static void model_open(side *s) {
  memset(s, 0, sizeof(*s));
  for (int i = 0; i < 2; i++) s->db[i] = index_open(model_paths[i]);
  model_bound_cache(s->db[0]);
}

static void model_close(side *s) {
  for (int i = 0; i < 2; i++)
    if (sqlite3_close(s->db[i]) != SQLITE_OK)
      model_fail("close: %s", sqlite3_errmsg(s->db[i]));
}

static void model_vacuum(side *s) {
  model_note(s, "VACUUM");
  for (int i = 0; i < 2; i++) index_exec(s->db[i], "VACUUM");
  model_forget(s);
  model_agree(s);
}

static void model_seldom(side *s) {
  int quiet = model_state(s) == SQLITE_TXN_NONE &&
              model_state(model_other(s)) == SQLITE_TXN_NONE &&
              sqlite3_get_autocommit(s->db[1]);
  switch (index_below(4)) {
    case 0:
      /* It writes the rows of sqlite_schema that are of virtual tables. */
      if (quiet) model_vacuum(s);
      break;
    case 1:
      model_note(s, "reopen");
      model_close(s);
      model_open(s);
      break;
    case 2:
      model_note(s, "cache_bytes");
      model_bound_cache(s->db[0]);
      break;
    default:
      model_check(s);
  }
}

/* Rounds -------------------------------------------------------------------- */

/* The rows that a round begins with. */
static void model_first_rows(side *s) {
  static const int64_t steps[] = {1, 1000003, 100000000000003, 37};
  values v;
  memset(&v, 0, sizeof(v));
  for (int i = 5; i <= 8; i++) v.others[i].type = SQLITE_INTEGER;
  v.others[8].integer = model_wide ? WIDE_ROWS : index_below(3) * 2000;
  v.others[7].integer = index_below(1000);
  v.others[6].integer = steps[model_regime];
  v.others[5].integer = steps[model_regime] * -(model_regime > 0) * 900;
  if (v.others[8].integer == 0) return;
  model_both(s, "INSERT INTO {M}({R}, code) WITH n(i) AS (SELECT 1 UNION ALL"
             " SELECT i + 1 FROM n WHERE i < ?8) SELECT ?5 + i * ?6, code_of(?7"
             " + i, {B}) FROM n", &v);
}

static void model_begin_round(uint64_t seed, int round) {
  static const int sizes[] = {12, 48, 63, 256};
  index_random_state = index_mix(seed + (uint64_t)round * 7919);
  model_round = round;
  model_bits = sizes[round % 4];
  model_regime = (int)(index_random() % 4);
  model_wal = index_below(3) != 0;
  model_wide = round % 19 == 17;
  for (int i = 0; i < 2; i++) {
    index_forget(model_paths[i]);
    sqlite3 *db = index_open(model_paths[i]);
    index_exec(db, "PRAGMA journal_mode = %s", model_wal ? "WAL" : "DELETE");
    index_exec(db, i ? "CREATE TABLE m(id INTEGER PRIMARY KEY, code BLOB)"
                     : "CREATE VIRTUAL TABLE t USING binhash(bits=%d)",
               model_bits);
    index_exec(db, "CREATE TABLE p(id INTEGER PRIMARY KEY, code BLOB, album);"
               "WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE"
               " i < 600) INSERT INTO p SELECT i, code_of(i, %d), i %% 4 FROM"
               " n", model_bits);
    sqlite3_close(db);
  }
  for (int i = 0; i < 2; i++) model_open(&model_sides[i]);
  for (int i = 0; i < TRAIL; i++) {
    sqlite3_free(model_trail[i]);
    model_trail[i] = NULL;
  }
  model_first_rows(model_sides);
}

static void model_end_round(void) {
  for (int i = 0; i < 2; i++) {
    side *s = &model_sides[i];
    if (!sqlite3_get_autocommit(s->db[1])) model_plain(s, "ROLLBACK");
  }
  model_compare(model_sides, 5);
  const char *wrong = index_sound(model_sides[0].db[0]);
  if (wrong) model_fail("%s", wrong);
  for (int i = 0; i < 2; i++) model_close(&model_sides[i]);
}

static void model_operation(void) {
  side *s = &model_sides[index_below(4) == 0];
  int64_t kind = index_below(100);
  if (kind < 66) model_write(s);
  else if (kind < 90) model_transaction(s);
  else if (kind < 97) model_stream(s);
  else model_seldom(s);
  if (index_below(5) == 0)
    model_compare(&model_sides[index_below(2)], 1 + (int)index_below(3));
}

int main(int argc, char **argv) {
  int64_t operations = argc > 1 ? atoll(argv[1]) : 20000;
  int only = argc > 3 ? atoi(argv[3]) : -1;
  model_first_seed = index_seed(argc > 2 ? argv[2] : NULL);
  model_trace = getenv("BINHASH_TRACE") != NULL;
  model_paths[0] = index_path("index.db");
  model_paths[1] = index_path("plain.db");
  int rounds = (int)((operations + ROUND_OPERATIONS - 1) / ROUND_OPERATIONS);
  for (int round = only < 0 ? 0 : only; round < rounds; round++) {
    model_begin_round(model_first_seed, round);
    int n = model_wide ? WIDE_OPERATIONS : ROUND_OPERATIONS;
    for (int i = 0; i < n; i++) model_operation();
    model_end_round();
    if (only >= 0) break;
  }
  for (int i = 0; i < 2; i++) index_forget(model_paths[i]);
  printf("ok 1 - model: %lld operations, %lld queries, %lld rows, seed %llu\n",
         (long long)operations, (long long)model_comparisons,
         (long long)model_rows, (unsigned long long)model_first_seed);
  printf("1..1\n");
  return 0;
}

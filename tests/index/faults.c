/*
** The index while memory runs out and files fail.
**
**     faults [STRIDE [SCENARIO]]
**
** A scenario is a few statements on a database that holds an index.  It is run
** again and again from the same file, and each time another allocation fails,
** or another call of the file system, alone or with all that follow; all of
** them with a STRIDE of 1, else every STRIDE-th.  Then
**
**   - each statement has succeeded, with the right rows where it gives rows, or
**     says that memory or the file was at fault, never that the database is
**     corrupt;
**   - the same connection goes on: once nothing fails any more, a scan and a
**     search give what another connection reads from the file;
**   - the database, opened again, passes both integrity checks and is in one of
**     the states that its statements lead to, before or after one of them;
**   - no memory is left behind.
*/
#include "../unit/sqlite_faults.h"
#include "fault_files.h"
#include "index_test.h"

#define STATEMENTS_MAX 12

typedef struct scenario {
  const char *name;
  const char *setup;                      /* more than the common one, or NULL */
  const char *sql[STATEMENTS_MAX];
} scenario;

/* 1,400 rows are three blocks of 48-bit codes. */
#define NUMBERS(n) "WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n " \
                   "WHERE i < " #n ")"
#define COMMON "CREATE VIRTUAL TABLE t USING binhash(bits=48);" \
  NUMBERS(1400) " INSERT INTO t(rowid, code) SELECT i * 3, code_of(i, 48)" \
  " FROM n; CREATE TABLE photos(id INTEGER PRIMARY KEY, code BLOB, name UNIQUE)"
#define SEARCH "SELECT rowid, hex(code), distance FROM t" \
               " WHERE query = x'00ff00ff1234'"

static const scenario scenarios[] = {
  {"create", NULL, {"CREATE VIRTUAL TABLE u USING binhash(bits=63)"}},
  {"insert one", NULL,
   {"INSERT INTO t(rowid, code) VALUES (7, x'123456789abc')", SEARCH
    " LIMIT 3", "INSERT INTO t(code) VALUES (x'000000000001')"}},
  {"insert many", NULL,
   {NUMBERS(1500) " INSERT OR REPLACE INTO t(rowid, code) SELECT i * 5,"
    " code_of(i + 7, 48) FROM n"}},
  {"update", NULL,
   {"UPDATE t SET code = code_of(rowid, 48) WHERE rowid % 5 = 0",
    "UPDATE t SET rowid = rowid + 100000 WHERE rowid BETWEEN 30 AND 90"}},
  {"delete", NULL,
   {"DELETE FROM t WHERE rowid BETWEEN 700 AND 3000", SEARCH " LIMIT 3",
    "DELETE FROM t WHERE query = x'00ff00ff1234' AND distance < 20",
    "DELETE FROM t"}},
  {"refusals", NULL,
   {"INSERT OR IGNORE INTO t(rowid, code) VALUES (3, x'000000000000'),"
    " (4, x'000000000000')",
    "UPDATE OR IGNORE t SET rowid = rowid + 3 WHERE rowid < 20"}},
  {"transaction", NULL,
   {"BEGIN", "DELETE FROM t WHERE rowid < 900", SEARCH " LIMIT 5",
    "SAVEPOINT s", "INSERT INTO t(rowid, code) VALUES (1, zeroblob(6))",
    "DELETE FROM t WHERE rowid > 2000", SEARCH " LIMIT 4", "ROLLBACK TO s",
    "UPDATE t SET code = zeroblob(6) WHERE rowid = 1500", SEARCH " LIMIT 4",
    "COMMIT"}},
  /* Statements of more than 1,000 rows are written at their end, but not into
  ** the file, where the reader of states would find it locked. */
  {"large statements", NULL,
   {"PRAGMA cache_spill = OFF", "BEGIN", NUMBERS(1200) " INSERT OR REPLACE INTO"
    " t(rowid, code) SELECT i * 7, code_of(i, 48) FROM n", "SAVEPOINT s",
    "DELETE FROM t WHERE rowid > 900", "ROLLBACK TO s",
    "UPDATE t SET code = zeroblob(6) WHERE rowid > 900", "COMMIT",
    SEARCH " LIMIT 4"}},
  {"rollback", NULL,
   {"BEGIN", "DELETE FROM t WHERE rowid < 900", SEARCH " LIMIT 5", "ROLLBACK",
    SEARCH " LIMIT 5"}},
  {"search", NULL,
   {SEARCH, SEARCH " AND distance <= 20 LIMIT 20", SEARCH " AND rowid IN"
    " (3, 600, 601, 4200)", SEARCH " ORDER BY rowid LIMIT 9",
    "SELECT a.rowid, b.rowid FROM t a JOIN t b ON b.query = a.code WHERE"
    " a.rowid < 12 AND b.distance < 3 ORDER BY 1, 2"}},
  {"stream", NULL,
   {"SELECT binhash_config('cache_bytes', 0)", SEARCH, SEARCH
    " AND distance <= 20 LIMIT 20"}},
  {"scan", NULL,
   {"SELECT rowid, hex(code) FROM t", "SELECT hex(code) FROM t WHERE rowid"
    " = 2100", "SELECT count(*), max(rowid) FROM t WHERE rowid > 900",
    "INSERT INTO t(t) VALUES ('integrity-check')"}},
  {"rename", NULL, {"ALTER TABLE t RENAME TO u", "DELETE FROM u WHERE rowid"
                    " < 600"}},
  {"drop", NULL, {"DROP TABLE t"}},
  {"vacuum", NULL, {"DELETE FROM t WHERE rowid < 3000", "VACUUM"}},
  {"rebuild", NUMBERS(900) " INSERT INTO photos SELECT i, code_of(i, 48), i"
   " FROM n", {"CREATE VIRTUAL TABLE c USING binhash(bits=48, content='photos',"
   " content_rowid='id')", "INSERT INTO c(c) VALUES ('rebuild')",
   "INSERT INTO c(c) VALUES ('integrity-check')"}},
  {"triggers", "CREATE VIRTUAL TABLE c USING binhash(bits=48, content='photos',"
   " content_rowid='id')",
   {"INSERT INTO photos VALUES (1, zeroblob(6), 'a'), (2, zeroblob(6), 'b')",
    "REPLACE INTO photos VALUES (3, x'112233445566', 'a')",
    "DELETE FROM photos WHERE id = 2",
    "INSERT INTO c(c) VALUES ('integrity-check')"}},
};

static const char *faults_first, *faults_path;
static uint64_t faults_states[STATEMENTS_MAX + 1];   /* between statements */
static uint64_t faults_results[STATEMENTS_MAX];
static int faults_statements;
static int faults_wrong;

static void faults_copy(const char *from, const char *to) {
  char bytes[65536];
  size_t n;
  FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
  if (!in || !out) index_stop("a copy of the database", NULL);
  while ((n = fread(bytes, 1, sizeof(bytes), in)) > 0) fwrite(bytes, 1, n, out);
  fclose(in);
  fclose(out);
}

/* Run a statement; *sum is of all that came out. */
static int faults_run(sqlite3 *db, const char *sql, uint64_t *sum) {
  sqlite3_stmt *stmt = NULL;
  int rc = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);
  while (rc == SQLITE_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
    for (int i = 0; i < sqlite3_column_count(stmt); i++) {
      int type = sqlite3_column_type(stmt, i);
      const char *p = (const char *)sqlite3_column_text(stmt, i);
      if (type != SQLITE_NULL && !p) rc = SQLITE_NOMEM;
      *sum = index_mix(*sum + (uint64_t)type);
      for (; p && *p; p++) *sum = index_mix(*sum + (uint64_t)*p);
    }
    if (rc == SQLITE_ROW) rc = SQLITE_OK;
  }
  if (rc == SQLITE_DONE) rc = SQLITE_OK;
  int end = sqlite3_finalize(stmt);
  return rc == SQLITE_OK ? end : rc;
}

/* Everything that the database says to SQL, or an error. */
static int faults_state(sqlite3 *db, uint64_t *sum) {
  static const char *const each[] = {"SELECT rowid, hex(code) FROM \"%s\"",
    "SELECT rowid, hex(code), distance FROM \"%s\" WHERE query ="
    " (SELECT code FROM \"%s\" LIMIT 1)"};
  static const char *const tables[] = {"t", "u", "c"};
  char sql[200], out[20];
  *sum = 0;
  int rc = faults_run(db, "SELECT name, sql FROM sqlite_schema ORDER BY name",
                      sum);
  if (rc == SQLITE_OK) rc = faults_run(db, "SELECT * FROM photos", sum);
  for (int i = 0; i < 6 && rc == SQLITE_OK; i++) {
    snprintf(sql, sizeof(sql), "SELECT count(*) FROM sqlite_schema WHERE name ="
             " '%s'", tables[i / 2]);
    rc = host_sql(db, sql, NULL, 0, out, sizeof(out));
    if (out[0] != '1') continue;
    snprintf(sql, sizeof(sql), each[i % 2], tables[i / 2], tables[i / 2]);
    if (rc == SQLITE_OK) rc = faults_run(db, sql, sum);
  }
  return rc;
}

static sqlite3 *faults_connect(const char *path, int wal) {
  sqlite3 *db = NULL;
  if (sqlite3_open(path, &db) != SQLITE_OK) index_stop(path, db);
  sqlite3_db_config(db, SQLITE_DBCONFIG_LOOKASIDE, NULL, 0, 0);
  if (index_load(db) != SQLITE_OK) index_stop("load", db);
  if (wal) index_exec(db, "PRAGMA journal_mode = WAL");
  /* A small cache, so that files are written before COMMIT and read again. */
  index_exec(db, "PRAGMA cache_size = 10");
  return db;
}

/* Triggers, as text that a database gives. */
static void faults_triggers(sqlite3 *db) {
  sqlite3_stmt *stmt;
  if (sqlite3_prepare_v2(db, "SELECT binhash_triggers('c')", -1, &stmt, NULL) !=
          SQLITE_OK || sqlite3_step(stmt) != SQLITE_ROW)
    index_stop("triggers", db);
  index_exec(db, "%s", sqlite3_column_text(stmt, 0));
  sqlite3_finalize(stmt);
}

/* The database a scenario begins with, and its states without faults. */
static void faults_begin(const scenario *s) {
  index_forget(faults_first);
  sqlite3 *db = faults_connect(faults_first, 0);
  index_exec(db, "%s", COMMON);
  if (s->setup) index_exec(db, "%s", s->setup);
  if (!strcmp(s->name, "triggers")) faults_triggers(db);
  sqlite3_close(db);
  faults_copy(faults_first, faults_path);
  db = faults_connect(faults_path, 0);
  sqlite3 *reader = faults_connect(faults_path, 0);
  int rc = faults_state(reader, &faults_states[0]);
  for (faults_statements = 0; s->sql[faults_statements]; faults_statements++) {
    int i = faults_statements;
    if (rc == SQLITE_OK) {
      faults_results[i] = 0;
      rc = faults_run(db, s->sql[i], &faults_results[i]);
    }
    if (rc == SQLITE_OK) rc = faults_state(reader, &faults_states[i + 1]);
    if (rc != SQLITE_OK) index_stop(s->sql[i], db);
  }
  sqlite3_close(reader);
  sqlite3_close(db);
}

static void faults_bad(const scenario *s, const char *kind, int at, int persist,
                       const char *why) {
  if (++faults_wrong <= 20)
    printf("# %s: %s %d fails%s: %s\n", s->name, kind, at,
           persist ? " for ever" : "", why);
}

/* Is it what failed that an error tells of? */
static int faults_honest(int rc, int memory) {
  int kind = rc & 0xff;
  if (memory) return kind == SQLITE_NOMEM || rc == SQLITE_IOERR_NOMEM;
  return kind == SQLITE_IOERR || kind == SQLITE_FULL || kind == SQLITE_CANTOPEN;
}

/* After the faults: what is wrong, or NULL. */
static const char *faults_after(sqlite3 *db) {
  uint64_t state, again = 0;
  int known = 0;
  if (!sqlite3_get_autocommit(db)) {
    if (sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL) != SQLITE_OK)
      return sqlite3_mprintf("ROLLBACK: %s", sqlite3_errmsg(db));
  }
  int rc = faults_state(db, &state);
  if (rc != SQLITE_OK) return sqlite3_errmsg(db);
  for (int i = 0; i <= faults_statements; i++) known |= state ==
                                                        faults_states[i];
  if (!known) return "the same connection sees what never was";
  if (sqlite3_close(db) != SQLITE_OK) return "it cannot be closed";
  db = faults_connect(faults_path, 0);
  rc = faults_state(db, &again);
  const char *why = rc != SQLITE_OK ? sqlite3_errmsg(db) : NULL;
  if (!why && again != state) why = "another connection sees something else";
  char out[9];
  host_sql(db, "SELECT count(*) FROM sqlite_schema WHERE name = 't'", NULL, 0,
           out, sizeof(out));
  if (!why && out[0] == '1') why = index_sound(db);
  static char kept[300];
  if (why) snprintf(kept, sizeof(kept), "%s", why);
  sqlite3_close(db);
  return why ? kept : NULL;
}

/* One run; 1 if the fault was reached. */
static int faults_once(const scenario *s, int memory, int at, int persist,
                       int wal) {
  const char *kind = memory ? "allocation" : "file";
  int rc = SQLITE_OK, reached;
  index_forget(faults_path);
  faults_copy(faults_first, faults_path);
  sqlite3_int64 used = sqlite3_memory_used();
  sqlite3 *db = faults_connect(faults_path, wal);
  if (memory) faults_arm(at, persist);
  else fault_arm(at, persist);
  for (int i = 0; i < faults_statements && rc == SQLITE_OK; i++) {
    uint64_t sum = 0;
    rc = faults_run(db, s->sql[i], &sum);
    if (rc != SQLITE_OK && !faults_honest(rc, memory)) {
      char why[300];
      snprintf(why, sizeof(why), "%.80s: error %d: %.150s", s->sql[i], rc,
               sqlite3_errmsg(db));
      faults_bad(s, kind, at, persist, why);
    }
    if (rc == SQLITE_OK && sum != faults_results[i])
      faults_bad(s, kind, at, persist, s->sql[i]);
  }
  reached = (memory ? faults_calls : fault_calls) >= at;
  faults_arm(0, 0);
  fault_arm(0, 0);
  const char *why = faults_after(db);
  if (!why && sqlite3_memory_used() != used) why = "memory is left behind";
  if (why) faults_bad(s, kind, at, persist, why);
  return reached;
}

static void faults_scenario(const scenario *s, int stride) {
  char name[120];
  int points = 0, before = faults_wrong;
  faults_begin(s);
  for (int i = 0; i < 8; i++) {
    int memory = i & 1, persist = i >> 1 & 1, wal = i >> 2;
    if (wal && memory) continue;
    int at = 1 + (int)index_below(stride);
    for (; faults_once(s, memory, at, persist, wal); at += stride) {
      points++;
      if (faults_wrong - before > 20) break;
    }
  }
  snprintf(name, sizeof(name), "faults: %s, %d of them", s->name, points);
  host_ok(faults_wrong == before, name);
}

int main(int argc, char **argv) {
  int stride = argc > 1 ? atoi(argv[1]) : 40;
  faults_configure();
  sqlite3_initialize();
  fault_configure();
  index_random_state = (uint64_t)time(NULL);
  faults_first = index_path("first.db");
  faults_path = index_path("faults.db");
  for (size_t i = 0; i < sizeof(scenarios) / sizeof(*scenarios); i++)
    if (argc < 3 || !strcmp(argv[2], scenarios[i].name))
      faults_scenario(&scenarios[i], stride);
  index_forget(faults_first);
  index_forget(faults_path);
  return host_done();
}

/*
** A writer killed at any moment loses nothing that was committed.
**
**     kill [KILLS [SEED]]
**
** A process writes to an index in one transaction after the other, and writes
** the transaction's number into an ordinary table of the same database and,
** after COMMIT, into a pipe.  Its parent kills it (SIGKILL, so nothing is
** flushed or tidied up), opens the database, and asks:
**
**   - do PRAGMA integrity_check and 'integrity-check' find it sound?
**   - is the number in the table the last that came through the pipe, or the
**     one after it, whose COMMIT was under way?
**   - are the rows and their order in a search those of an ordinary table in
**     memory on which the same transactions were run up to that number?
**
** What a transaction does follows from the seed and its number alone.  The page
** cache is small, so that changed pages are written before COMMIT, and the
** write-ahead log is checkpointed often; journal modes take turns.
*/
#include <signal.h>
#include <stdarg.h>
#include <sys/wait.h>

#include "index_test.h"

#define BITS 48

static const char *kill_path;
static uint64_t kill_seed;
static int64_t kill_done;      /* transactions that kill_model has seen */
static sqlite3 *kill_model;

/* The statements of one transaction, the same for an index and for a table. */
static void kill_transaction(sqlite3 *db, int64_t number) {
  index_random_state = index_mix(kill_seed ^ (uint64_t)number * 31);
  for (int64_t n = 1 + index_below(8); n > 0; n--) {
    int64_t kind = index_below(10), at = index_below(9000);
    int64_t rows = index_below(5) ? index_below(20) : index_below(1500);
    int64_t code = index_below(100000);
    if (kind < 5)
      index_exec(db, "INSERT OR REPLACE INTO t(rowid, code) WITH n(i) AS (SELECT"
                 " 0 UNION ALL SELECT i + 1 FROM n WHERE i < %lld) SELECT %lld +"
                 " i * %d, code_of(%lld + i, %d) FROM n", rows, at,
                 kind == 0 ? 1000003 : 1, code, BITS);
    else if (kind < 7)
      index_exec(db, "DELETE FROM t WHERE rowid BETWEEN %lld AND %lld", at,
                 at + rows);
    else if (kind < 9)
      index_exec(db, "UPDATE t SET code = code_of(rowid + %lld, %d) WHERE rowid"
                 " BETWEEN %lld AND %lld", code, BITS, at, at + rows);
    else
      index_exec(db, "UPDATE OR REPLACE t SET rowid = rowid + 20000 WHERE rowid"
                 " BETWEEN %lld AND %lld", at, at + rows);
  }
}

/* The child.  Ends when it is killed, or its parent is gone. */
static void kill_write(int out, const char *mode, int64_t number) {
  sqlite3 *db = index_open(kill_path);
  index_exec(db, "PRAGMA journal_mode = %s; PRAGMA cache_size = 12;"
             "PRAGMA wal_autocheckpoint = 40; PRAGMA synchronous = OFF", mode);
  for (;;) {
    number++;
    index_exec(db, "BEGIN IMMEDIATE");
    kill_transaction(db, number);
    index_exec(db, "UPDATE done SET number = %lld; COMMIT", number);
    if (write(out, &number, sizeof(number)) != sizeof(number)) _exit(1);
  }
}

/* Start it, let it go for a while, kill it; the last number that came. */
static int64_t kill_once(const char *mode) {
  int ends[2], status;
  int64_t number = kill_done, acknowledged = kill_done;
  uint64_t before = index_random_state;
  if (pipe(ends) != 0) index_stop("pipe", NULL);
  fflush(stdout);
  pid_t child = fork();
  if (child < 0) index_stop("fork", NULL);
  if (child == 0) {
    close(ends[0]);
    kill_write(ends[1], mode, kill_done);
  }
  close(ends[1]);
  index_random_state = before;
  int64_t commits = index_below(12), wait = index_below(4) ? 4000 : 40000;
  while (commits-- > 0 && read(ends[0], &number, sizeof(number)) > 0)
    acknowledged = number;
  usleep((useconds_t)index_below(wait));
  kill(child, SIGKILL);
  waitpid(child, &status, 0);
  while (read(ends[0], &number, sizeof(number)) == sizeof(number))
    acknowledged = number;
  close(ends[0]);
  if (!WIFSIGNALED(status)) index_stop("the writer stopped by itself", NULL);
  return acknowledged;
}

/* All that a statement gives, as one number. */
static uint64_t kill_rows(sqlite3 *db, const char *sql, int *rows) {
  sqlite3_stmt *stmt;
  uint64_t sum = 0;
  int rc;
  if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) != SQLITE_OK)
    index_stop(sql, db);
  for (*rows = 0; (rc = sqlite3_step(stmt)) == SQLITE_ROW; (*rows)++) {
    const uint8_t *code = sqlite3_column_blob(stmt, 1);
    sum = index_mix(sum + (uint64_t)sqlite3_column_int64(stmt, 0));
    for (int i = sqlite3_column_bytes(stmt, 1) - 1; i >= 0; i--)
      sum = index_mix(sum + code[i]);
  }
  sqlite3_finalize(stmt);
  if (rc != SQLITE_DONE) index_stop(sql, db);
  return sum;
}

static const char *kill_same(sqlite3 *db) {
  int a, b;
  if (kill_rows(db, "SELECT rowid, code FROM t ORDER BY rowid", &a) !=
          kill_rows(kill_model, "SELECT rowid, code FROM t ORDER BY rowid", &b))
    return "the rows are not those that were committed";
  if (kill_rows(db, "SELECT rowid, code FROM t WHERE query = x'00ff00ff1234'",
                &a) !=
      kill_rows(kill_model, "SELECT rowid, code FROM t ORDER BY hamming(code,"
                " x'00ff00ff1234'), rowid", &b))
    return "a search gives other rows";
  return NULL;
}

/* What is wrong with the database after a kill, or NULL. */
static const char *kill_check(int64_t acknowledged) {
  char out[40];
  sqlite3 *db = index_open(kill_path);
  const char *wrong = index_sound(db);
  if (!wrong &&
      host_sql(db, "SELECT number FROM done", NULL, 0, out, sizeof(out)) !=
          SQLITE_OK)
    wrong = sqlite3_errmsg(db);
  int64_t number = wrong ? 0 : atoll(out);
  if (!wrong && number != acknowledged && number != acknowledged + 1)
    wrong = "a commit is lost";
  uint64_t before = index_random_state;
  for (; !wrong && kill_done < number; kill_done++)
    kill_transaction(kill_model, kill_done + 1);
  index_random_state = before;
  if (!wrong) wrong = kill_same(db);
  if (wrong) printf("# transaction %lld: %s\n", (long long)number, wrong);
  sqlite3_close(db);
  return wrong;
}

int main(int argc, char **argv) {
  static const char *const modes[] = {"WAL", "DELETE", "WAL", "TRUNCATE", "WAL",
                                      "PERSIST"};
  int kills = argc > 1 ? atoi(argv[1]) : 10, i;
  char name[120];
  kill_seed = index_seed(argc > 2 ? argv[2] : NULL);
  kill_path = index_path("kill.db");
  index_forget(kill_path);
  sqlite3 *db = index_open(kill_path);
  index_exec(db, "CREATE VIRTUAL TABLE t USING binhash(bits=%d);"
             "CREATE TABLE done(number); INSERT INTO done VALUES (0)", BITS);
  sqlite3_close(db);
  kill_model = index_open(":memory:");
  index_exec(kill_model, "CREATE TABLE t(code BLOB)");
  const char *wrong = NULL;
  for (i = 0; i < kills && !wrong; i++) {
    index_random_state = index_mix(kill_seed + (uint64_t)i * 977);
    wrong = kill_check(kill_once(modes[i % 6]));
  }
  if (wrong)
    printf("# kill %d, journal_mode %s; the database is left as %s\n", i,
           modes[(i - 1) % 6], kill_path);
  else
    index_forget(kill_path);
  snprintf(name, sizeof(name), "kill: a writer killed %d times, %lld "
           "transactions, seed %llu", i, (long long)kill_done,
           (unsigned long long)kill_seed);
  host_ok(!wrong, name);
  sqlite3_close(kill_model);
  return host_done();
}

/*
** How long a search over an ordinary table takes, against what SQLite needs to
** visit the table at all.
**
**   bench_search EXTENSION [ROWS [RUNS]]
**
** A table of 48-bit codes in memory; the statements take turns, so that a busy
** machine slows all of them alike, and each line is the median of the runs.
** Two ratios are printed with what they should not exceed:
**
**   ORDER BY hamming / floor      1.25
**   binhash_topk / ORDER BY       0.85
**
** The exit status is 0 whatever they are: a shared machine may say no, a person
** decides.
*/
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CODE_BYTES 6
#define RUNS_MAX 1000

enum { FLOOR, ORDER_BY, TOPK, TOPK_K, TOPK_ALL, STATEMENTS };

static const struct {
  const char *name, *sql;
} statements[STATEMENTS] = {
    {"count(*), sum(length(code))",
     "SELECT count(*), sum(length(code)) FROM p"},
    {"ORDER BY hamming LIMIT 10",
     "SELECT id FROM p ORDER BY hamming(code, ?1) LIMIT 10"},
    {"binhash_topk LIMIT 10",
     "SELECT rowid, distance FROM binhash_topk('p', 'code', ?1) LIMIT 10"},
    {"binhash_topk k = 100",
     "SELECT rowid, distance FROM binhash_topk('p', 'code', ?1, 100)"},
    {"binhash_topk, all rows",
     "SELECT rowid, distance FROM binhash_topk('p', 'code', ?1)"},
};

static void fail(sqlite3 *db, const char *what) {
  fprintf(stderr, "bench_search: %s: %s\n", what,
          db ? sqlite3_errmsg(db) : "no connection");
  exit(1);
}

static void run_sql(sqlite3 *db, const char *sql) {
  if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK) fail(db, sql);
}

/* Milliseconds of processor time, since other programs may want the CPU; every
** statement here runs on the one thread. */
static double now(void) { return (double)clock() * 1e3 / CLOCKS_PER_SEC; }

/* One run of a prepared statement. */
static double time_statement(sqlite3 *db, sqlite3_stmt *stmt) {
  double start = now();
  int rc;
  while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {}
  if (rc != SQLITE_DONE) fail(db, sqlite3_sql(stmt));
  double ms = now() - start;
  sqlite3_reset(stmt);
  return ms;
}

static int compare_doubles(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

static double median(double *values, int n) {
  qsort(values, (size_t)n, sizeof(*values), compare_doubles);
  return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

/* The ratio of two statements: of their medians, and of their least times,
** which is steadier where other programs run. */
static void print_ratio(double times[STATEMENTS][RUNS_MAX], int a, int b,
                        int runs, const char *name) {
  printf("%8.3f     (least %.3f)  %s\n",
         median(times[a], runs) / median(times[b], runs),
         times[a][0] / times[b][0], name);
}

/* The first line of /proc/cpuinfo that names the CPU. */
static void print_cpu(void) {
  char line[256];
  FILE *f = fopen("/proc/cpuinfo", "r");
  while (f && fgets(line, sizeof(line), f))
    if (strncmp(line, "model name", 10) == 0) {
      printf("cpu     %s", strchr(line, ':') + 2);
      break;
    }
  if (f) fclose(f);
}

static void print_kernel(sqlite3 *db) {
  sqlite3_stmt *stmt;
  if (sqlite3_prepare_v2(db, "SELECT binhash_info()", -1, &stmt, NULL) ==
          SQLITE_OK && sqlite3_step(stmt) == SQLITE_ROW)
    printf("info    %s\n", sqlite3_column_text(stmt, 0));
  sqlite3_finalize(stmt);
  printf("sqlite  %s\n", sqlite3_libversion());
}

static void fill(sqlite3 *db, int rows) {
  sqlite3_stmt *stmt;
  run_sql(db, "CREATE TABLE p(id INTEGER PRIMARY KEY, code BLOB); BEGIN");
  sqlite3_prepare_v2(db, "INSERT INTO p(code) VALUES(?1)", -1, &stmt, NULL);
  unsigned long long x = 1;
  for (int i = 0; i < rows; i++) {
    x = x * 6364136223846793005u + 1442695040888963407u;
    unsigned long long y = x ^ x >> 29;
    sqlite3_bind_blob(stmt, 1, (const char *)&y + 2, CODE_BYTES,
                      SQLITE_TRANSIENT);
    if (sqlite3_step(stmt) != SQLITE_DONE) fail(db, "INSERT");
    sqlite3_reset(stmt);
  }
  sqlite3_finalize(stmt);
  run_sql(db, "COMMIT");
}

int main(int argc, char **argv) {
  static double times[STATEMENTS][RUNS_MAX];
  sqlite3_stmt *prepared[STATEMENTS];
  sqlite3 *db = NULL;
  char *error = NULL;
  int rows = argc > 2 ? atoi(argv[2]) : 1000000;
  int runs = argc > 3 ? atoi(argv[3]) : 15;
  if (argc < 2 || rows < 1 || runs < 1 || runs > RUNS_MAX) {
    fprintf(stderr, "usage: bench_search EXTENSION [ROWS [RUNS]]\n");
    return 2;
  }
  if (sqlite3_open(":memory:", &db) != SQLITE_OK) fail(db, "open");
  sqlite3_enable_load_extension(db, 1);
  if (sqlite3_load_extension(db, argv[1], NULL, &error) != SQLITE_OK) {
    fprintf(stderr, "bench_search: %s\n", error);
    return 1;
  }
  fill(db, rows);
  print_cpu();
  print_kernel(db);
  printf("rows    %d codes of %d bits, median of %d runs\n", rows,
         8 * CODE_BYTES, runs);
  for (int i = 0; i < STATEMENTS; i++) {
    if (sqlite3_prepare_v2(db, statements[i].sql, -1, &prepared[i], NULL) !=
        SQLITE_OK)
      fail(db, statements[i].sql);
    sqlite3_bind_blob(prepared[i], 1, "binhash", CODE_BYTES, SQLITE_STATIC);
    time_statement(db, prepared[i]);
  }
  for (int run = 0; run < runs; run++)
    for (int i = 0; i < STATEMENTS; i++)
      times[i][run] = time_statement(db, prepared[i]);
  for (int i = 0; i < STATEMENTS; i++) {
    double middle = median(times[i], runs);   /* which sorts */
    printf("%8.2f ms  (least %.2f)  %s\n", middle, times[i][0],
           statements[i].name);
    sqlite3_finalize(prepared[i]);
  }
  print_ratio(times, ORDER_BY, FLOOR, runs, "ORDER BY / floor, at most 1.25");
  print_ratio(times, TOPK, ORDER_BY, runs, "topk / ORDER BY, at most 0.85");
  sqlite3_close(db);
  return 0;
}

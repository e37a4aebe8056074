/*
** How fast img_hash_each is, against img_hash in the same query.
**
**   bench_each EXTENSION [RUNS [FOLDER]]
**
** Tables in memory: photographs (the pictures of FOLDER, which is Debian's
** mate-backgrounds unless given, up to 5 MB each, three times over), and what
** make_jpegs.py made of 12 megapixels, where decoding takes the time, and the
** small pictures of tests/golden, many times over, where the network does.  At
** the end of a table a thread is idle for up to one picture's time, so tables
** must not be short.  The statements take turns, so that a busy machine slows
** all of them alike, and the least of each statement's times counts, in
** milliseconds a picture, and with it the least time that all threads together
** were on a CPU.
** On two idle cores, two threads should reach 1.9 of one, if the machine gives
** as much: cores share their clock, memory and caches, and others use them.  So
** two processes of one thread each, which have nothing to wait for, hash the
** table at the same time.
*/
#include <ftw.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define RUNS_MAX 100
#define BYTES_MAX (5 << 20)

enum { SCALAR, ONE, TWO, FOUR, BOTH, STATEMENTS };

static const struct {
  const char *name, *sql;
  int threads, processes;
} statements[STATEMENTS] = {
    {"img_hash", "SELECT count(try_img_hash(image)) FROM %s", 1, 1},
#define EACH "SELECT count(code) FROM img_hash_each('SELECT id, image FROM %s')"
    {"img_hash_each, 1 thread", EACH, 1, 1},
    {"img_hash_each, 2 threads", EACH, 2, 1},
    {"img_hash_each, 4 threads", EACH, 4, 1},
    {"two processes, 1 thread", EACH, 1, 2},
#undef EACH
};

static sqlite3 *bench_db;
static sqlite3_stmt *bench_insert;
static const char *bench_names;   /* how those of the pictures begin */

static double bench_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* Of all threads, those that have ended included. */
static double bench_cpu(void) {
  struct rusage r;
  getrusage(RUSAGE_SELF, &r);
  return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1e3 +
         (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e3;
}

/* The first column of the first row. */
static sqlite3_int64 bench_sql(const char *format, const char *table,
                               int threads) {
  char sql[200];
  sqlite3_stmt *stmt = NULL;
  snprintf(sql, sizeof(sql), "SELECT binhash_config('threads', %d)", threads);
  if (threads) sqlite3_exec(bench_db, sql, NULL, NULL, NULL);
  snprintf(sql, sizeof(sql), format, table);
  if (sqlite3_prepare_v2(bench_db, sql, -1, &stmt, NULL) != SQLITE_OK ||
      sqlite3_step(stmt) != SQLITE_ROW) {
    fprintf(stderr, "%s: %s\n", sql, sqlite3_errmsg(bench_db));
    exit(1);
  }
  sqlite3_int64 value = sqlite3_column_int64(stmt, 0);
  sqlite3_finalize(stmt);
  return value;
}

/* One statement, which counts n codes, by as many processes at once. */
static void bench_run(int i, const char *table, sqlite3_int64 n) {
  int status = 0;
  pid_t child = statements[i].processes > 1 ? fork() : -1;
  int wrong = bench_sql(statements[i].sql, table, statements[i].threads) != n;
  if (child == 0) _exit(wrong);
  if (child > 0) waitpid(child, &status, 0);
  if (wrong || status || (child < 0 && statements[i].processes > 1)) {
    fprintf(stderr, "%s: not every picture has a code\n", statements[i].name);
    exit(1);
  }
}

static int bench_picture(const char *path, const struct stat *st, int type,
                         struct FTW *place) {
  if (type != FTW_F || st->st_size < 1 || st->st_size > BYTES_MAX) return 0;
  if (strncmp(path + place->base, bench_names, strlen(bench_names)) != 0)
    return 0;
  FILE *f = fopen(path, "rb");
  unsigned char *bytes = f ? malloc((size_t)st->st_size) : NULL;
  if (bytes && fread(bytes, 1, (size_t)st->st_size, f) == (size_t)st->st_size) {
    sqlite3_bind_blob64(bench_insert, 1, bytes, (sqlite3_uint64)st->st_size,
                        SQLITE_STATIC);
    sqlite3_step(bench_insert);
    sqlite3_reset(bench_insert);
  }
  free(bytes);
  if (f) fclose(f);
  return 0;
}

/* The pictures of a folder whose names begin so. */
static void bench_fill(const char *table, const char *folder,
                       const char *names) {
  char sql[200];
  bench_names = names;
  snprintf(sql, sizeof(sql), "CREATE TABLE %s(id INTEGER PRIMARY KEY, image)",
           table);
  sqlite3_exec(bench_db, sql, NULL, NULL, NULL);
  snprintf(sql, sizeof(sql), "INSERT INTO %s(image) VALUES (?1)", table);
  sqlite3_prepare_v2(bench_db, sql, -1, &bench_insert, NULL);
  nftw(folder, bench_picture, 16, 0);
  sqlite3_finalize(bench_insert);
  /* Only pictures that can be hashed. */
  snprintf(sql, sizeof(sql), "DELETE FROM %s WHERE try_img_hash(image) IS NULL",
           table);
  sqlite3_exec(bench_db, sql, NULL, NULL, NULL);
}

/* A table's pictures several times, in the same order. */
static void bench_repeat(const char *table, const char *from, int times) {
  char sql[200];
  snprintf(sql, sizeof(sql),
           "CREATE TABLE %s AS WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 "
           "FROM n WHERE i < %d) SELECT p.id, p.image FROM n CROSS JOIN %s AS "
           "p", table, times, from);
  sqlite3_exec(bench_db, sql, NULL, NULL, NULL);
}

static void bench_table(const char *table, const char *what, int runs) {
  double best[STATEMENTS], cpu[STATEMENTS];
  sqlite3_int64 n = bench_sql("SELECT count(*) FROM %s", table, 0);
  if (!n) {
    printf("  %s: skipped, there are none\n", what);
    return;
  }
  for (int i = 0; i < STATEMENTS; i++) best[i] = cpu[i] = 1e30;
  for (int run = 0; run < runs; run++)
    for (int i = 0; i < STATEMENTS; i++) {
      double start = bench_now(), spent = bench_cpu();
      bench_run(i, table, n);
      double took = (bench_now() - start) / statements[i].processes;
      spent = bench_cpu() - spent;
      if (took < best[i]) best[i] = took;
      if (spent < cpu[i]) cpu[i] = spent;
    }
  printf("  %lld %s (%lld KB)\n", n, what,
         bench_sql("SELECT avg(length(image)) / 1024 FROM %s", table, 0));
  for (int i = 0; i < STATEMENTS; i++)
    printf("    %-26s %8.3f ms a picture, CPU %7.3f ms, %.2f times img_hash\n",
           statements[i].name, best[i] / (double)n, cpu[i] / (double)n,
           best[SCALAR] / best[i]);
  printf("    two threads / one: %.2f; two processes: %.2f\n",
         best[ONE] / best[TWO], best[ONE] / best[BOTH]);
}

int main(int argc, char **argv) {
  const char *extension = argc > 1 ? argv[1] : "./build/binhash";
  int runs = argc > 2 ? atoi(argv[2]) : 5;
  const char *folder = argc > 3 ? argv[3] : "/usr/share/backgrounds/mate";
  char *error = NULL;
  if (runs < 1 || runs > RUNS_MAX) runs = 5;
  if (sqlite3_open(":memory:", &bench_db) != SQLITE_OK) return 1;
  sqlite3_enable_load_extension(bench_db, 1);
  if (sqlite3_load_extension(bench_db, extension, NULL, &error) != SQLITE_OK) {
    fprintf(stderr, "%s\n", error);
    return 1;
  }
  bench_fill("backgrounds", folder, "");
  bench_fill("camera", "build/bench", "12mp");
  bench_fill("golden", "tests/golden/pictures", "");
  bench_repeat("photographs", "backgrounds", 3);
  bench_repeat("large", "camera", 8);
  bench_repeat("small", "golden", 5);
  bench_table("photographs", "photographs", runs);
  bench_table("large", "JPEGs of 12 megapixels", runs);
  bench_table("small", "small pictures", runs);
  sqlite3_close(bench_db);
  return 0;
}

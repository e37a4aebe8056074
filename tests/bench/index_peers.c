/*
** The systems that the index is measured against, and what of SQLite the
** benchmark needs.
**
** sqlite-vec is an extension of SQLite; its tables of ten million rows take a
** minute to fill, so they stay in build/bench.  FAISS runs in a process of its
** own, faiss_peer.py, which reads the codes from files and answers lines over a
** pair of pipes; it measures itself, so that the pipes cost nothing.  Both are
** installed by `make bench-peers`, and a benchmark without them leaves their
** rows out.
**
** Two bounds stand beside them: reading as many bytes as the codes have, which
** no scan can beat, and the scan of ../shared/peers/search/scan.c, which wants
** AVX-512 and is built by bench.sh where the CPU has it.
*/
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench_index.h"

#define VEC_PATH BENCH_DIR "/node_modules/sqlite-vec-linux-%s/vec0.so"
#define PYTHON "build/venv-bench/bin/python"
#define SCAN_PATH BENCH_DIR "/scan"

/* SQLite ------------------------------------------------------------------ */

void bench_fail(sqlite3 *db, const char *what) {
  fflush(stdout);
  fprintf(stderr, "bench_index: %s: %s\n", what,
          db ? sqlite3_errmsg(db) : "no connection");
  exit(1);
}

sqlite3 *bench_open(const char *path, const char *extension) {
  sqlite3 *db = NULL;
  char *error = NULL;
  if (sqlite3_open_v2(path, &db,
                      SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE |
                          SQLITE_OPEN_URI, NULL) != SQLITE_OK)
    bench_fail(db, path);
  sqlite3_enable_load_extension(db, 1);
  if (extension &&
      sqlite3_load_extension(db, extension, NULL, &error) != SQLITE_OK) {
    fprintf(stderr, "bench_index: %s: %s\n", extension, error);
    exit(1);
  }
  return db;
}

void bench_sql(sqlite3 *db, const char *sql) {
  if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK) bench_fail(db, sql);
}

sqlite3_stmt *bench_prepare(sqlite3 *db, const char *sql) {
  sqlite3_stmt *stmt = NULL;
  if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) != SQLITE_OK)
    bench_fail(db, sql);
  return stmt;
}

int64_t bench_int(sqlite3 *db, const char *sql) {
  sqlite3_stmt *stmt = bench_prepare(db, sql);
  if (sqlite3_step(stmt) != SQLITE_ROW) bench_fail(db, sql);
  int64_t value = sqlite3_column_int64(stmt, 0);
  sqlite3_finalize(stmt);
  return value;
}

void bench_remove(const char *path) {
  char other[160];
  remove(path);
  snprintf(other, sizeof(other), "%s-wal", path);
  remove(other);
  snprintf(other, sizeof(other), "%s-shm", path);
  remove(other);
  snprintf(other, sizeof(other), "%s-journal", path);
  remove(other);
}

int64_t bench_file_size(const char *path) {
  struct stat st;
  return stat(path, &st) == 0 ? (int64_t)st.st_size : 0;
}

/* Rows in one transaction; the rowids are 1, 2, ... or those given. */
double bench_insert(sqlite3 *db, const char *sql, const bench_codes *c,
                    const int64_t *rowids, size_t rows) {
  sqlite3_stmt *stmt = bench_prepare(db, sql);
  double start = bench_now();
  bench_sql(db, "BEGIN");
  for (size_t i = 0; i < rows; i++) {
    sqlite3_bind_int64(stmt, 1, rowids ? rowids[i] : (int64_t)i + 1);
    sqlite3_bind_blob(stmt, 2, c->codes + i * (size_t)c->bytes, c->bytes,
                      SQLITE_STATIC);
    if (sqlite3_step(stmt) != SQLITE_DONE) bench_fail(db, sql);
    sqlite3_reset(stmt);
  }
  bench_sql(db, "COMMIT");
  double ms = bench_now() - start;
  sqlite3_finalize(stmt);
  return ms;
}

/* A statement of ?1, the query, and ?2, how many; rows of rowid and distance.
** They must come by distance and, where distances are equal, by rowid. */
double bench_statement(bench_runner *r, int query, int k) {
  sqlite3_stmt *stmt = r->self;
  int64_t before = 0;
  int rc;
  double (*clock)(void) = r->threads ? bench_now : bench_cpu;
  r->found = 0;
  double start = clock();
  sqlite3_bind_blob(stmt, 1, r->codes->queries + query * r->codes->bytes,
                    r->codes->bytes, SQLITE_STATIC);
  sqlite3_bind_int(stmt, 2, k);
  while ((rc = sqlite3_step(stmt)) == SQLITE_ROW && r->found < BENCH_K_MAX) {
    int64_t rowid = sqlite3_column_int64(stmt, 0);
    int i = r->found++;
    r->distances[i] = sqlite3_column_int(stmt, 1);
    if (r->exact == 2 && i > 0 &&
        (r->distances[i] < r->distances[i - 1] ||
         (r->distances[i] == r->distances[i - 1] && rowid <= before))) {
      printf("  MISMATCH: %s breaks the order of (distance, rowid)\n", r->name);
      return -1;
    }
    before = rowid;
  }
  double ms = clock() - start;
  if (rc != SQLITE_DONE) bench_fail(sqlite3_db_handle(stmt), r->name);
  sqlite3_reset(stmt);
  return ms;
}

/* sqlite-vec -------------------------------------------------------------- */

const char *bench_vec_library(void) {
  static char path[128];
#if defined(__aarch64__)
  snprintf(path, sizeof(path), VEC_PATH, "arm64");
#else
  snprintf(path, sizeof(path), VEC_PATH, "x64");
#endif
  return access(path, R_OK) == 0 ? path : NULL;
}

/* The table of the codes, made if it is not there and build says so; NULL where
** it is not. */
sqlite3 *bench_vec_open(const bench_codes *c, int build) {
  char path[128], making[140], sql[80];
  if (!bench_vec_library()) return NULL;
  snprintf(path, sizeof(path), BENCH_DIR "/vec0-%s.db", c->name);
  if (access(path, R_OK) != 0) {
    if (!build) return NULL;
    snprintf(making, sizeof(making), "%s.part", path);
    bench_remove(making);
    sqlite3 *db = bench_open(making, bench_vec_library());
    snprintf(sql, sizeof(sql),
             "CREATE VIRTUAL TABLE v USING vec0(code bit[%d])", c->bits);
    bench_sql(db, sql);
    bench_insert(db, "INSERT INTO v(rowid, code) VALUES(?1, vec_bit(?2))", c,
                 NULL, c->rows);
    sqlite3_close(db);
    if (rename(making, path) != 0) bench_fail(NULL, path);
  }
  return bench_open(path, bench_vec_library());
}

/* FAISS ------------------------------------------------------------------- */

static FILE *faiss_in, *faiss_out;
static char faiss_line[8192], faiss_name[256];

int bench_faiss_start(void) {
  int to[2], from[2];
  if (access(PYTHON, X_OK) != 0 || pipe(to) != 0 || pipe(from) != 0) return 0;
  signal(SIGPIPE, SIG_IGN);
  fflush(stdout);
  pid_t pid = fork();
  if (pid < 0) return 0;
  if (pid == 0) {
    dup2(to[0], 0);
    dup2(from[1], 1);
    close(to[0]), close(to[1]), close(from[0]), close(from[1]);
    execl(PYTHON, PYTHON, "tests/bench/faiss_peer.py", (char *)NULL);
    _exit(127);
  }
  close(to[0]), close(from[1]);
  faiss_in = fdopen(to[1], "w");
  faiss_out = fdopen(from[0], "r");
  if (!faiss_in || !faiss_out ||
      !fgets(faiss_name, sizeof(faiss_name), faiss_out) ||
      strncmp(faiss_name, "FAISS ", 6) != 0) {
    bench_faiss_stop();
    return 0;
  }
  faiss_name[strcspn(faiss_name, "\n")] = 0;
  return 1;
}

const char *bench_faiss_version(void) { return faiss_name; }

void bench_faiss_stop(void) {
  if (faiss_in) fclose(faiss_in);
  if (faiss_out) fclose(faiss_out);
  faiss_in = faiss_out = NULL;
}

/* A question; milliseconds and the values that come with them, or -1. */
double bench_faiss_ask(const char *line, int *values, int room, int *n) {
  fprintf(faiss_in, "%s\n", line);
  fflush(faiss_in);
  if (!fgets(faiss_line, sizeof(faiss_line), faiss_out)) return -1;
  char *at = faiss_line, *end;
  double ms = strtod(at, &end);
  if (end == at) return -1;
  for (*n = 0; *n < room; (*n)++) {
    long value = strtol(at = end, &end, 10);
    if (end == at) break;
    values[*n] = (int)value;
  }
  return ms;
}

double bench_faiss(bench_runner *r, int query, int k) {
  char line[64];
  snprintf(line, sizeof(line), "%s %d %d", r->command, query, k);
  return bench_faiss_ask(line, r->distances, BENCH_K_MAX, &r->found);
}

/* Bounds ------------------------------------------------------------------ */

/* Four sums, so that additions do not wait for each other. */
double bench_read(bench_runner *r, int query, int k) {
  static volatile uint64_t sink;
  const uint8_t *p = r->codes->codes;
  size_t n = r->codes->rows * (size_t)r->codes->bytes / 32 * 32;
  uint64_t sum[4] = {0};
  (void)query, (void)k;
  r->found = 0;
  double start = bench_cpu();
  for (size_t i = 0; i < n; i += 32) {
    uint64_t word[4];
    memcpy(word, p + i, 32);
    for (int j = 0; j < 4; j++) sum[j] += word[j];
  }
  sink = sum[0] + sum[1] + sum[2] + sum[3];
  (void)sink;
  return bench_cpu() - start;
}

double bench_scan_limit(const bench_codes *c) {
  const char *kernel = c->bits == 48 ? "packed48" : "vpopcntq";
  char line[256];
  double ms = -1;
  if (access(SCAN_PATH, X_OK) != 0 || (c->bits != 48 && c->bits != 64))
    return -1;
  snprintf(line, sizeof(line), SCAN_PATH " %zu %d", c->rows,
           strstr(c->name, "clustered") != NULL);
  FILE *f = popen(line, "r");
  while (f && fgets(line, sizeof(line), f)) {
    const char *med = strstr(line, " med ");
    if (strstr(line, " th=1 ") && strstr(line, " k=10 ") &&
        strstr(line, kernel) && med)
      ms = strtod(med + 5, NULL);
  }
  if (f) pclose(f);
  return ms;
}

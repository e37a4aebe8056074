/*
** What the index costs a database that changes: the first query of a
** connection, commits of one row in a WAL, a row and a query in turns, and
** inserts by the million.  And binhash_pairs, which reads all of a table.
**
** The bytes of a commit are what the file of the WAL grows by while nothing is
** checkpointed.
*/
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench_index.h"

#define REPEATS 21
#define COMMITS 300
#define VEC_INSERTS 200000
#define CHUNK 65536
#define PAIRS_SAMPLE 200
#define PAIRS_RADIUS 4

/* A figure that has no peer and no goal. */
static void note(const char *work, const char *what, double value,
                 const char *unit) {
  bench_line(work, what, -1, value, unit, NO_GOAL, 0);
}

static double bytes_a_row(const char *path, size_t rows) {
  return (double)bench_file_size(path) / (double)rows;
}

/* Blobs of 64 KB with as many bytes as the codes: what SQLite needs to hand
** them out at all. */
static double read_chunks(const bench_codes *c) {
  const char *path = BENCH_DIR "/chunks.db";
  size_t size = c->rows * (size_t)c->bytes;
  double times[REPEATS];
  int64_t total = 0;
  bench_remove(path);
  sqlite3 *db = bench_open(path, NULL);
  bench_sql(db, "CREATE TABLE t(id INTEGER PRIMARY KEY, chunk BLOB); BEGIN");
  sqlite3_stmt *stmt = bench_prepare(db, "INSERT INTO t(chunk) VALUES(?1)");
  for (size_t at = 0; at < size; at += CHUNK) {
    sqlite3_bind_blob(stmt, 1, c->codes + at,
                      (int)(size - at < CHUNK ? size - at : CHUNK),
                      SQLITE_STATIC);
    if (sqlite3_step(stmt) != SQLITE_DONE) bench_fail(db, "chunks");
    sqlite3_reset(stmt);
  }
  sqlite3_finalize(stmt);
  bench_sql(db, "COMMIT");
  sqlite3_close(db);
  for (int i = 0; i < REPEATS; i++) {
    db = bench_open(path, NULL);
    double start = bench_cpu();
    stmt = bench_prepare(db, "SELECT chunk FROM t");
    while (sqlite3_step(stmt) == SQLITE_ROW)
      if (sqlite3_column_blob(stmt, 0)) total += sqlite3_column_bytes(stmt, 0);
    sqlite3_finalize(stmt);
    times[i] = bench_cpu() - start;
    sqlite3_close(db);
  }
  if (total != (int64_t)size * REPEATS) bench_fail(NULL, path);
  bench_remove(path);
  return bench_median(times, REPEATS);
}

static void first_query(const bench_codes *c, const char *path) {
  double times[REPEATS], chunks = read_chunks(c);
  for (int i = 0; i < REPEATS; i++) {
    sqlite3 *db = bench_ours_open(path, SCAN);
    double start = bench_cpu();
    bench_runner r = bench_ours_runner("scan", c, bench_ours_query(db));
    r.run(&r, i, 10);
    times[i] = bench_cpu() - start;
    sqlite3_finalize(r.self);
    sqlite3_close(db);
  }
  bench_line("first query after open", "reading 64 KB blobs", chunks,
             bench_median(times, REPEATS), "ms", AT_MOST, 60);
}

/* COMMITS transactions of one row: how much the WAL grows with each, and how
** long they take.  kind: 0 behind the last row, 1 a new row at random, 2 a new
** code for a row at random. */
static void commits(const bench_codes *c, const char *path, int kind) {
  static const char *const names[] = {"insert in order", "insert at random",
                                      "update at random"};
  char wal[160], work[80], what[40];
  double bytes[COMMITS], times[COMMITS], sum = 0;
  uint64_t seed = 5 + (uint64_t)kind;
  snprintf(wal, sizeof(wal), "%s-wal", path);
  sqlite3 *db = bench_ours_open(path, SCAN);
  bench_sql(db, "PRAGMA journal_mode = WAL; "
            "PRAGMA wal_checkpoint(TRUNCATE)");
  sqlite3_stmt *stmt = bench_prepare(
      db, kind == 2 ? "UPDATE t SET code = ?2 WHERE rowid = ?1" : BENCH_INSERT);
  int64_t last = bench_int(db, "SELECT max(rowid) FROM t");
  for (int i = 0; i < COMMITS; i++) {
    int64_t before = bench_file_size(wal);
    int64_t rowid = (int64_t)(bench_random(&seed) % c->rows) + 1;
    if (kind == 0) rowid = last + 1 + i;
    if (kind == 1) rowid = 2 * rowid - 1;
    double start = bench_now();
    sqlite3_bind_int64(stmt, 1, rowid);
    sqlite3_bind_blob(stmt, 2, c->queries + i % BENCH_QUERIES * c->bytes,
                      c->bytes, SQLITE_STATIC);
    int rc = sqlite3_step(stmt);
    sqlite3_reset(stmt);
    times[i] = bench_now() - start;
    /* A row may come up twice at random. */
    if (rc != SQLITE_DONE && (kind != 1 || rc != SQLITE_CONSTRAINT))
      bench_fail(db, names[kind]);
    bytes[i] = (double)(bench_file_size(wal) - before);
    sum += bytes[i];
  }
  sqlite3_finalize(stmt);
  sqlite3_close(db);
  snprintf(work, sizeof(work), "one-row commit, %s", names[kind]);
  bench_median(bytes, COMMITS);
  note(work, "WAL, mean", sum / COMMITS, "bytes");
  note(work, "WAL, 99th percentile", bytes[COMMITS * 99 / 100], "bytes");
  snprintf(what, sizeof(what), "WAL, largest of %d", COMMITS);
  bench_line(work, what, -1, bytes[COMMITS - 1], "bytes", AT_MOST, 16384);
  note(work, "time, median", bench_median(times, COMMITS), "ms");
}

/* A connection that is warm, then a row is inserted, then a query: by itself,
** or the row comes from another connection and only the query is timed. */
static void insert_and_query(const bench_codes *c, const char *path, int how,
                             int by_other) {
  double times[REPEATS], wall[REPEATS];
  char work[80];
  sqlite3 *db = bench_ours_open(path, how);
  sqlite3 *other = bench_ours_open(path, SCAN);
  bench_sql(db, "PRAGMA journal_mode = WAL");
  bench_runner r = bench_ours_runner(how == MULTI ? "multi" : "scan", c,
                                     bench_ours_query(db));
  sqlite3_stmt *insert = bench_prepare(
      by_other ? other : db, "INSERT INTO t(code) VALUES(?1)");
  for (int q = 0; q < 4; q++) r.run(&r, q, 10);
  for (int i = 0; i < REPEATS; i++) {
    double start = bench_cpu(), start_wall = bench_now();
    sqlite3_bind_blob(insert, 1, c->queries + i * c->bytes, c->bytes,
                      SQLITE_STATIC);
    if (sqlite3_step(insert) != SQLITE_DONE) bench_fail(db, "insert");
    sqlite3_reset(insert);
    if (by_other) {
      start = bench_cpu();
      start_wall = bench_now();
    }
    r.run(&r, BENCH_WARM + i, 10);
    times[i] = bench_cpu() - start;
    wall[i] = bench_now() - start_wall;
  }
  sqlite3_finalize(insert);
  sqlite3_finalize(r.self);
  sqlite3_close(other);
  sqlite3_close(db);
  snprintf(work, sizeof(work), by_other ? "another's insert, then a query, %s" :
           "insert 1 row and query, %s", r.name);
  double median = bench_median(times, REPEATS);
  bench_line(work, "median", -1, median, "ms", AT_MOST, 10);
  note(work, "slowest", times[REPEATS - 1], "ms");
  note(work, "median on the wall", bench_median(wall, REPEATS), "ms");
}

/* A table with a gap beside every row, for rows that come at random. */
static void gaps(const bench_codes *c) {
  const char *path = BENCH_DIR "/gaps.db";
  int64_t *rowids = malloc(c->rows * sizeof(*rowids));
  if (!rowids) bench_fail(NULL, "no memory");
  for (size_t i = 0; i < c->rows; i++) rowids[i] = 2 * ((int64_t)i + 1);
  bench_ours_build(path, c, rowids, c->rows);
  free(rowids);
  note("every other rowid", "file", bytes_a_row(path, c->rows), "bytes/row");
  commits(c, path, 1);
  bench_remove(path);
}

void bench_changes(const bench_codes *c) {
  const char *path = bench_ours_path(c);
  printf("\nA table of %s rows that changes\n", bench_count(c->rows));
  bench_head();
  first_query(c, path);
  commits(c, path, 0);
  commits(c, path, 2);
  gaps(c);
  int last = bench.no_multi || bench.plain ? SCAN : MULTI;
  for (int how = SCAN; how <= last; how++)
    for (int by_other = 0; by_other < 2; by_other++)
      insert_and_query(c, path, how, by_other);
}

/* Inserting --------------------------------------------------------------- */

void bench_inserts(const bench_codes *c) {
  const char *path = BENCH_DIR "/inserts.db";
  size_t rows = c->rows < BENCH_MILLION ? c->rows : BENCH_MILLION;
  double vec = -1, vec_bytes = -1;
  uint64_t seed = 6;
  int64_t *rowids = malloc(rows * sizeof(*rowids));
  if (!rowids) bench_fail(NULL, "no memory");
  for (size_t i = 0; i < rows; i++) {
    size_t j = bench_random(&seed) % (i + 1);
    rowids[i] = rowids[j];
    rowids[j] = (int64_t)i + 1;
  }
  printf("\nInserting %d-bit codes in one transaction\n", c->bits);
  bench_head();
  if (bench_vec_library()) {
    size_t n = rows < VEC_INSERTS ? rows : VEC_INSERTS;
    bench_remove(path);
    sqlite3 *db = bench_open(path, bench_vec_library());
    bench_sql(db, "CREATE VIRTUAL TABLE v USING vec0(code bit[48])");
    vec = (double)n / bench_insert(
        db, "INSERT INTO v(rowid, code) VALUES(?1, vec_bit(?2))", c, NULL, n);
    sqlite3_close(db);
    vec_bytes = bytes_a_row(path, n);
  }
  bench_remove(path);
  sqlite3 *db = bench_open(path, NULL);
  bench_sql(db, "CREATE TABLE t(id INTEGER PRIMARY KEY, code BLOB)");
  double table = (double)rows / bench_insert(db, BENCH_INSERT, c, NULL, rows);
  sqlite3_close(db);
  double table_bytes = bytes_a_row(path, rows);
  double ours = bench_ours_build(path, c, NULL, rows);
  double bytes = bytes_a_row(path, rows);
  if (vec > 0) {
    bench_line("in order", "sqlite-vec", vec / 1e3, ours / 1e3, "M rows/s",
               AT_LEAST, 1);
    bench_line("file", "sqlite-vec", vec_bytes, bytes, "bytes/row", AT_MOST,
               8.5);
  }
  bench_line("in order", "plain table", table / 1e3, ours / 1e3, "M rows/s",
             AT_LEAST, 1);
  bench_line("file", "plain table", table_bytes, bytes, "bytes/row", AT_MOST,
             8.5);
  ours = bench_ours_build(path, c, rowids, rows);
  note("in random order", "", ours / 1e3, "M rows/s");
  note("file, after random order", "", bytes_a_row(path, rows), "bytes/row");
  bench_remove(path);
  free(rowids);
}

/* Pairs ------------------------------------------------------------------- */

/* FAISS finds what is near to each of some rows; all rows would take as many
** times longer as there are more of them.  Ours has every pair once, FAISS a
** row and itself as well, and a pair within the sample from both ends. */
void bench_pairs(const bench_codes *c, const char *kind) {
  char sql[96], work[80], text[256];
  double theirs = -1;
  int n, near_sample = 0;
  int64_t ours_near = PAIRS_SAMPLE, all = 0;
  sqlite3 *db = bench_ours_open(bench_ours_path(c), SCAN);
  sqlite3_stmt *stmt = NULL;
  snprintf(sql, sizeof(sql),
           "SELECT rowid_a, rowid_b FROM binhash_pairs('t', 'code', %d)",
           PAIRS_RADIUS);
  if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) != SQLITE_OK) {
    printf("binhash_pairs is left out: %s\n", sqlite3_errmsg(db));
    sqlite3_close(db);
    return;
  }
  double start = bench_cpu();
  int rc;
  while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
    all++;
    ours_near += (sqlite3_column_int64(stmt, 0) <= PAIRS_SAMPLE) +
                 (sqlite3_column_int64(stmt, 1) <= PAIRS_SAMPLE);
  }
  double ms = bench_cpu() - start;
  if (rc != SQLITE_DONE) bench_fail(db, sql);
  sqlite3_finalize(stmt);
  sqlite3_close(db);
  if (bench.faiss) {
    snprintf(text, sizeof(text), "load %d %s %s", c->bits, c->path,
             c->query_path);
    bench_faiss_ask(text, NULL, 0, &n);
    bench_faiss_ask("range 10 4", &near_sample, 1, &n);
    snprintf(text, sizeof(text), "range %d %d", PAIRS_SAMPLE, PAIRS_RADIUS);
    theirs = bench_faiss_ask(text, &near_sample, 1, &n) * (double)c->rows /
             PAIRS_SAMPLE;
    bench_faiss_ask("free", NULL, 0, &n);
    if (near_sample != ours_near) {
      printf("  MISMATCH: pairs of the first %d rows: %lld, FAISS %d\n",
             PAIRS_SAMPLE, (long long)ours_near, near_sample);
      bench.mismatches++;
    }
  }
  snprintf(work, sizeof(work), "%d bits, %s %s, pairs within %d", c->bits,
           bench_count(c->rows), kind, PAIRS_RADIUS);
  if (theirs > 0)
    bench_line(work, "FAISS range, from 200", theirs / 1e3, ms / 1e3, "s",
               RATIO, 20);
  snprintf(text, sizeof(text), "%lld pairs", (long long)all);
  bench_line(work, text, -1, ms / 1e3, "s", AT_MOST, 10);
}

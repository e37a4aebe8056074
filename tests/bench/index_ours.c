/*
** The tables that are measured: how one is made, filled, opened and asked.
**
** Where bench.plain is set it is an ordinary table with ORDER BY hamming(...),
** which needs no index and gives the same rows.  A build that has no setting
** called multi_index is measured without it, and the output says so.
*/
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench_index.h"

static const char *ours_create(int bits) {
  static char sql[80];
  if (bench.plain) return "CREATE TABLE t(id INTEGER PRIMARY KEY, code BLOB)";
  snprintf(sql, sizeof(sql), "CREATE VIRTUAL TABLE t USING binhash(bits=%d)",
           bits);
  return sql;
}

sqlite3_stmt *bench_ours_query(sqlite3 *db) {
  return bench_prepare(db, bench.plain ?
      "SELECT rowid, hamming(code, ?1) FROM t ORDER BY 2, 1 LIMIT ?2" :
      "SELECT rowid, distance FROM t WHERE query = ?1 ORDER BY distance "
      "LIMIT ?2");
}

/* Whether a setting was taken; the first refusal is told. */
static int ours_configure(sqlite3 *db, const char *name, long long value) {
  char sql[96], *error = NULL;
  snprintf(sql, sizeof(sql), "SELECT binhash_config('%s', %lld)", name, value);
  if (sqlite3_exec(db, sql, NULL, NULL, &error) == SQLITE_OK) return 1;
  if (!bench.no_multi) printf("%s is refused: %s\n", sql, error);
  sqlite3_free(error);
  return 0;
}

/* A connection to a table of ours, with room for the codes in memory. */
sqlite3 *bench_ours_open(const char *path, int how) {
  sqlite3 *db = bench_open(path, bench.extension);
  ours_configure(db, "cache_bytes", (long long)4 << 30);
  if (how != THREADS) ours_configure(db, "threads", 1);
  int multi = how == MULTI ? 2 : 0;
  if (!bench.no_multi && !ours_configure(db, "multi_index", multi))
    bench.no_multi = 1;
  bench_sql(db, "PRAGMA wal_autocheckpoint = 0");
  return db;
}

const char *bench_ours_path(const bench_codes *c) {
  static char path[128];
  snprintf(path, sizeof(path), BENCH_DIR "/index-%s.db", c->name);
  return path;
}

/* Fills a new file; rows a millisecond. */
double bench_ours_build(const char *path, const bench_codes *c,
                        const int64_t *rowids, size_t rows) {
  bench_remove(path);
  sqlite3 *db = bench_open(path, bench.extension);
  bench_sql(db, ours_create(c->bits));
  double ms = bench_insert(db, BENCH_INSERT, c, rowids, rows);
  sqlite3_close(db);
  return (double)rows / ms;
}

bench_runner bench_ours_runner(const char *name, const bench_codes *c,
                               void *self) {
  bench_runner r = {.name = name, .exact = 2, .run = bench_statement,
                    .codes = c, .self = self};
  return r;
}

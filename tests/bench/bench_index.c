/*
** The index (CREATE VIRTUAL TABLE t USING binhash(bits=...)) against its peers.
**
**   bench_index EXTENSION [ROWS [plain | BITS | changes]]
**
** A line for each piece of work: the peer's figure, ours, how many times ours
** is better (below 1 it is worse), and what was to be reached, with a yes or a
** no.
** Everything goes through SQL and the extension as it is shipped; codes are in
** a file in build/bench, in the page cache.  ROWS, ten million unless given, is
** the larger of two sizes; the other is a million.  BITS (48, 64, 256) leaves
** the other lengths of code out, and is then measured at ROWS alone; `changes`
** leaves out all but what a table of 48 bits costs that changes.
**
**   scan     binhash_config('multi_index', 0), one thread
**   multi    binhash_config('multi_index', 2), which goes over to a scan where
**            that is cheaper, one thread
**   threads  a scan with as many threads as a connection takes by itself
**
** `plain` measures an ordinary table with ORDER BY hamming(...) in the place of
** the index: what the index gains, and whether the benchmark works.
**
** Times of searches are processor time, medians of 21 queries after others that
** warmed up (index_race.c); with several threads, and of commits and inserts,
** they are of the clock on the wall.  The exit status is 1 if systems that are exact
** disagree, and 0 whatever the figures are: a shared machine may say no, a
** person decides.
*/
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench_index.h"

#define MILLION BENCH_MILLION

struct bench bench;

static bench_runner faiss_runner(const char *name, const bench_codes *c,
                                 const char *command, int exact) {
  bench_runner r = {.name = name, .exact = exact, .run = bench_faiss,
                    .codes = c, .command = command};
  return r;
}

/* What a figure must reach, by who is compared with whom. */
typedef struct goal {
  int bits;
  size_t rows;                 /* 0: any */
  const char *kind;            /* NULL: any */
  const char *ours, *peer;
  int k, goal;
  double value;
} goal;

static const goal goals[] = {
    {48, MILLION, NULL, "scan", "sqlite-vec", 10, RATIO, 40},
    {48, MILLION, NULL, "multi", "sqlite-vec", 10, RATIO, 100},
    {48, 10 * MILLION, NULL, "scan", "AVX-512 scan in RAM", 10, RATIO, 1 / 1.5},
    {48, 10 * MILLION, "uniform", "multi", "", 10, AT_MOST, 0.5},
    {48, 10 * MILLION, "clustered", "multi", "", 10, AT_MOST, 0.1},
    {48, 0, NULL, "scan", "ours, top-10", 100, RATIO, 1 / 1.3},
    {64, 0, NULL, "scan", "ours, top-10", 100, RATIO, 1 / 1.3},
    {64, 0, NULL, "scan", "FAISS Flat", 10, RATIO, 2},
    {256, 0, NULL, "scan", "FAISS Flat", 10, RATIO, 1 / 0.85},
    {256, 0, NULL, "scan", "reading the codes", 10, RATIO, 1 / 1.2},
};

static void search_line(const bench_codes *c, const char *kind, int k,
                        const char *ours, double ms, const char *peer,
                        double theirs) {
  char work[80];
  const goal *found = NULL;
  snprintf(work, sizeof(work), "%d bits, %s %s, top-%d, %s", c->bits,
           bench_count(c->rows), kind, k, ours);
  for (size_t i = 0; i < sizeof(goals) / sizeof(*goals); i++) {
    const goal *g = &goals[i];
    if (g->bits == c->bits && (!g->rows || g->rows == c->rows) && g->k == k &&
        (!g->kind || strcmp(g->kind, kind) == 0) &&
        strcmp(g->ours, ours) == 0 && strcmp(g->peer, peer) == 0)
      found = g;
  }
  bench_line(work, peer, theirs, ms, "ms", found ? found->goal : NO_GOAL,
             found ? found->value : 0);
}

/* What the first queries leave in memory, in bytes a row: the pages of SQLite's
** own cache too, which are 2 MB at most. */
static double memory_of(bench_runner *r) {
  int64_t before = sqlite3_memory_used();
  for (int q = 0; q < BENCH_WARM / 2; q++) {
    double ms = r->run(r, q, 10);
    if (ms > r->slowest_warm) r->slowest_warm = ms;
  }
  return (double)(sqlite3_memory_used() - before) / (double)r->codes->rows;
}

static void race_and_print(bench_runner *r, int n, const bench_codes *c,
                           const char *kind, int k) {
  char peer[64];
  if (!bench_race(r, n, k)) bench.mismatches++;
  for (int i = 1; i < n; i++) {
    int ours = r[i].exact == 2;
    if (ours) {
      search_line(c, kind, k, r[i].name, r[i].median, "", -1);
      continue;
    }
    snprintf(peer, sizeof(peer), "%s", r[i].name);
    if (r[i].exact == 0)
      snprintf(peer, sizeof(peer), "%s, recall %.2f", r[i].name, r[i].recall);
    for (int j = 0; j < n; j++)
      if (strcmp(r[j].name, "scan") == 0 ||
          (strcmp(r[j].name, "multi") == 0 && r[i].exact >= 0))
        search_line(c, kind, k, r[j].name, r[j].median, peer, r[i].median);
  }
  double limit = k == 10 ? bench_scan_limit(c) : -1;
  if (limit >= 0)
    search_line(c, kind, k, "scan", r[0].median, "AVX-512 scan in RAM", limit);
}

/* Our scan for ten rows in a race for more, since the machine may be slower
** than it was in the race for ten. */
static double top_10(bench_runner *r, int query, int k) {
  (void)k;
  double ms = bench_statement(r, query, 10);
  r->found = 0;                /* fewer than the others: nothing to compare */
  return ms;
}

/* The races over one set of codes.  The table stays, in bench_ours_path(c). */
static void search(const bench_codes *c, const char *kind) {
  const char *path = bench_ours_path(c);
  bench_runner r[9];
  sqlite3 *opened[4];
  int n = 0, connections = 0;
  char work[64];
  double rate = bench_ours_build(path, c, NULL, c->rows);
  snprintf(work, sizeof(work), "%d bits, %s %s", c->bits, bench_count(c->rows),
           kind);
  bench_line(work, "inserts, one transaction", -1, rate / 1e3, "M rows/s",
             NO_GOAL, 0);
  bench_line(work, "file, dense rowids", -1,
             (double)bench_file_size(path) / (double)c->rows, "bytes/row",
             c->bits == 48 ? AT_MOST : NO_GOAL, 8.5);
  for (int how = SCAN; how <= THREADS; how++) {
    static const char *const names[] = {"scan", "multi", "threads"};
    sqlite3 *db = bench_ours_open(path, how);
    if (bench.plain && how != SCAN) {
      sqlite3_close(db);
      continue;
    }
    opened[connections++] = db;
    /* Longer codes have no multi-index. */
    if (how == MULTI && (bench.no_multi || c->bits > 64)) continue;
    r[n] = bench_ours_runner(names[how], c, bench_ours_query(db));
    r[n].threads = how == THREADS;
    if (how != THREADS)
      bench_line(work, how == MULTI ? "memory, multi" : "memory, scan", -1,
                 memory_of(&r[n]), "bytes/row",
                 c->bits == 48 && c->rows > MILLION ? AT_MOST : NO_GOAL,
                 how == MULTI ? 50 : 14);
    if (how == MULTI)
      bench_line(work, "query that builds multi", -1, r[n].slowest_warm, "ms",
                 NO_GOAL, 0);
    n++;
  }
  sqlite3 *vec = c->bits == 48 ?
      bench_vec_open(c, c->rows <= MILLION || strcmp(kind, "uniform") == 0) :
      NULL;
  if (vec) {
    r[n] = bench_ours_runner("sqlite-vec", c, bench_prepare(vec,
        "SELECT rowid, distance FROM v WHERE code MATCH vec_bit(?1) AND "
        "k = ?2 ORDER BY distance"));
    r[n++].exact = 1;
  }
  if (bench.faiss) {
    char text[256];
    int none;
    snprintf(text, sizeof(text), "load %d %s %s", c->bits, c->path,
             c->query_path);
    if (bench_faiss_ask(text, NULL, 0, &none) < 0)
      bench_fail(NULL, "FAISS does not load the codes");
    r[n++] = faiss_runner("FAISS Flat", c, "flat", 1);
    if (c->bits % 64)
      r[n++] = faiss_runner("FAISS Flat, padded to 64", c, "padded", 1);
    if (c->bits <= 64) r[n++] = faiss_runner("MultiHash", c, "multi", 0);
  }
  bench_runner reader = {.name = "reading the codes", .exact = -1,
                         .run = bench_read, .codes = c};
  r[n++] = reader;
  race_and_print(r, n, c, kind, 10);
  if (c->bits <= 64) {
    r[n] = bench_ours_runner("ours, top-10", c, r[0].self);
    r[n].exact = -1;
    r[n].run = top_10;
    race_and_print(r, n + 1, c, kind, 100);
  }
  for (int i = 0; i < n; i++) sqlite3_finalize(r[i].self);
  for (int i = 0; i < connections; i++) sqlite3_close(opened[i]);
  sqlite3_close(vec);
  if (bench.faiss) {
    int none;
    bench_faiss_ask("free", NULL, 0, &none);
  }
}

int main(int argc, char **argv) {
  static const char *const kinds[] = {"real", "clustered", "uniform"};
  size_t rows = argc > 2 ? strtoull(argv[2], NULL, 10) : 10 * MILLION;
  bench_codes c;
  if (argc < 2 || rows < BENCH_QUERIES) {
    fprintf(stderr, "usage: bench_index EXTENSION [ROWS [plain | BITS | changes]]\n");
    return 2;
  }
  bench.extension = argv[1];
  bench.plain = argc > 3 && strcmp(argv[3], "plain") == 0;
  int only = argc > 3 ? atoi(argv[3]) : 0;
  int changes = argc > 3 && strcmp(argv[3], "changes") == 0;
  size_t sizes[2] = {rows < MILLION || only ? rows : MILLION, rows};
  int n_sizes = rows > MILLION && !only ? 2 : 1;
  bench_print_machine();
  bench.faiss = bench_faiss_start();
  printf("%s\n", bench.faiss ? bench_faiss_version() :
         "no FAISS (make bench-peers): its lines are left out");
  printf("%s\n", bench_vec_library() ? "sqlite-vec is there" :
         "no sqlite-vec (make bench-peers): its lines are left out");
  if (bench.plain) printf("an ordinary table in the place of the index\n");
  if (changes) {
    bench_codes_make(&c, bench.extension, 48, "uniform", rows);
    bench_ours_build(bench_ours_path(&c), &c, NULL, rows);
    bench_changes(&c);
    bench_remove(bench_ours_path(&c));
    bench_codes_free(&c);
  }
  for (int s = 0; s < n_sizes && !changes; s++)
    for (int bits = 48; bits <= 256; bits += bits == 48 ? 16 : 192) {
      if ((bits == 256 && s > 0) || (only && only != bits)) continue;
      printf("\nSearching %s codes of %d bits\n", bench_count(sizes[s]), bits);
      bench_head();
      /* The last kind is uniform, whose table then serves the rest. */
      for (int kind = bits <= 64 ? 0 : 2; kind < 3; kind++) {
        if (!bench_codes_make(&c, bench.extension, bits, kinds[kind], sizes[s]))
          continue;
        search(&c, kinds[kind]);
        if (bits == 48 && kind == 2 && s == 0) bench_inserts(&c);
        if (bits == 48 && kind == 2 && s == n_sizes - 1) bench_changes(&c);
        if (bits == 64 && kind > 0 && s == 0) bench_pairs(&c, kinds[kind]);
        bench_remove(bench_ours_path(&c));
        bench_codes_free(&c);
      }
    }
  bench_faiss_stop();
  if (bench.mismatches) printf("\n%d MISMATCHES\n", bench.mismatches);
  return bench.mismatches != 0;
}

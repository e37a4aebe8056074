/*
** What the parts of the benchmark of the index share: the codes that are
** searched (index_codes.c), the systems that search them (index_peers.c), and
** the measuring of several systems in turns (index_race.c).  bench_index.c says
** what is measured and prints it.
*/
#ifndef BENCH_INDEX_H
#define BENCH_INDEX_H

#include <sqlite3.h>
#include <stddef.h>
#include <stdint.h>

#define BENCH_DIR "build/bench"

/* Queries: the first BENCH_WARM are for warming up alone. */
#define BENCH_WARM 32
#define BENCH_QUERIES 64
/* A race has rounds: in each, every system answers one query that does not
** count, which brings its data back into the caches, and then three that do. */
#define BENCH_ROUNDS 7
#define BENCH_BURST 3
#define BENCH_K_MAX 100
#define BENCH_MILLION 1000000
#define BENCH_INSERT "INSERT INTO t(rowid, code) VALUES(?1, ?2)"

/* The run: what bench_index was told, and what it found out. */
extern struct bench {
  const char *extension;
  int plain;                   /* an ordinary table instead of the index */
  int faiss, no_multi;         /* FAISS is there; multi_index is not */
  int mismatches;
} bench;

/* Codes and queries, also in files of BENCH_DIR for systems in other
** processes. */
typedef struct bench_codes {
  int bits, bytes;
  size_t rows;
  char name[48];               /* "48-uniform-1000000" */
  char path[96], query_path[96];
  uint8_t *codes, *queries;
} bench_codes;

/* Something that finds the nearest codes.  run returns milliseconds, and -1 for
** a query that failed; it sets distances and found. */
typedef struct bench_runner {
  const char *name;
  int exact;                   /* its distances must be those of the first */
  double (*run)(struct bench_runner *, int query, int k);
  const bench_codes *codes;
  void *self;                  /* a statement, or nothing */
  const char *command;         /* for FAISS: what it is asked */
  int threads;                 /* several threads work: measured by the wall */
  int distances[BENCH_K_MAX], found;
  double times[BENCH_ROUNDS * BENCH_BURST];
  int counted;
  double median, slowest_warm, recall;
} bench_runner;

/* index_codes.c.  bench_codes_make returns 0 where the images of the kind
** "real" are absent; why not is printed. */
uint64_t bench_random(uint64_t *state);
int bench_codes_make(bench_codes *, const char *extension, int bits,
                     const char *kind, size_t rows);
void bench_codes_free(bench_codes *);

/* index_peers.c: SQLite, sqlite-vec, FAISS, and what the memory allows. */
void bench_fail(sqlite3 *db, const char *what);
sqlite3 *bench_open(const char *path, const char *extension);
void bench_sql(sqlite3 *db, const char *sql);
int64_t bench_int(sqlite3 *db, const char *sql);
sqlite3_stmt *bench_prepare(sqlite3 *db, const char *sql);
void bench_remove(const char *path);           /* a database and its WAL */
int64_t bench_file_size(const char *path);     /* 0 where there is none */
double bench_insert(sqlite3 *db, const char *sql, const bench_codes *,
                    const int64_t *rowids, size_t rows);
double bench_statement(bench_runner *, int query, int k);

const char *bench_vec_library(void);           /* NULL where it is absent */
sqlite3 *bench_vec_open(const bench_codes *, int build);
int bench_faiss_start(void);                   /* 1 if FAISS is there */
const char *bench_faiss_version(void);
double bench_faiss_ask(const char *line, int *values, int room, int *n);
double bench_faiss(bench_runner *, int query, int k);
void bench_faiss_stop(void);
double bench_read(bench_runner *, int query, int k);
/* Of ../shared/peers/search/scan.c, one thread; -1 where it is not built. */
double bench_scan_limit(const bench_codes *);

/* index_ours.c */
enum { SCAN, MULTI, THREADS };
sqlite3 *bench_ours_open(const char *path, int how);
sqlite3_stmt *bench_ours_query(sqlite3 *db);
bench_runner bench_ours_runner(const char *name, const bench_codes *, void *);
const char *bench_ours_path(const bench_codes *);
/* Fills a new file; rows a millisecond. */
double bench_ours_build(const char *path, const bench_codes *,
                        const int64_t *rowids, size_t rows);

/* index_changes.c */
void bench_changes(const bench_codes *);
void bench_inserts(const bench_codes *);
void bench_pairs(const bench_codes *, const char *kind);

/* index_race.c */
double bench_now(void);        /* milliseconds of the clock on the wall */
double bench_cpu(void);        /* of this thread's processor time */
double bench_median(double *values, int n);    /* which sorts them */
int bench_race(bench_runner *, int runners, int k);     /* 0: they disagree */

/* index_report.c.  theirs below 0: there is no peer.  Of rows/s more is better,
** of all else less. */
enum { NO_GOAL, RATIO, AT_MOST, AT_LEAST };
void bench_print_machine(void);
void bench_head(void);
void bench_line(const char *work, const char *peer, double theirs, double ours,
                const char *unit, int goal, double value);
const char *bench_count(size_t rows);          /* "10M"; the next call's too */

#endif

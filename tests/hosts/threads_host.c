/*
** Threads that open and close connections: each loads the extension, hashes a
** picture, searches, and closes, again and again.  All must get the same codes.
**
**     threads_host EXTENSION
*/
#include <pthread.h>

#include "host.h"

#define THREADS 8
#define ROUNDS 12

static const char *threads_extension;
static unsigned char *threads_picture;
static int threads_bytes;

typedef struct worker {
  pthread_t thread;
  int failures;
  char code[64];
} worker;

/* One connection from open to close; 1 when all is well. */
static int threads_round(worker *w) {
  char out[256];
  sqlite3 *db = NULL;
  int good = sqlite3_open(":memory:", &db) == SQLITE_OK &&
             host_load(db, threads_extension) == SQLITE_OK;
  good = good && host_sql(db, "SELECT hex(img_hash(?1))", threads_picture,
                          threads_bytes, out, sizeof(out)) == SQLITE_OK;
  good = good && (!w->code[0] || strcmp(w->code, out) == 0);
  if (good) snprintf(w->code, sizeof(w->code), "%.60s", out);
  good = good && host_sql(db, "CREATE TABLE t AS SELECT value AS id, "
                          "CAST(printf('%06d', value) AS BLOB) AS code "
                          "FROM (WITH RECURSIVE n(value) AS (SELECT 1 UNION "
                          "ALL SELECT value + 1 FROM n WHERE value < 500) "
                          "SELECT value FROM n)", NULL, 0, out, sizeof(out))
                     == SQLITE_OK;
  good = good && host_sql(db, "SELECT group_concat(rowid) FROM (SELECT rowid "
                          "FROM binhash_topk('t', 'code', x'303030303137') "
                          "LIMIT 3)", NULL, 0, out, sizeof(out)) == SQLITE_OK;
  good = good && strcmp(out, "17,7,13") == 0;
  good = good && host_sql(db, "SELECT binhash_load('tiny', '" HOST_TINY "')",
                          NULL, 0, out, sizeof(out)) == SQLITE_OK;
  good = good && host_sql(db, "SELECT hex(img_hash_rgb(x'ff0000', 1, 1, "
                          "'tiny'))", NULL, 0, out, sizeof(out)) == SQLITE_OK;
  good = good && strcmp(out, "8E00") == 0;
  if (!good) printf("# %s (%s)\n", db ? sqlite3_errmsg(db) : "no memory", out);
  return sqlite3_close(db) == SQLITE_OK && good;
}

static void *threads_run(void *argument) {
  worker *w = argument;
  for (int i = 0; i < ROUNDS; i++) w->failures += !threads_round(w);
  return NULL;
}

int main(int argc, char **argv) {
  worker workers[THREADS];
  int failures = 0, same = 1;
  threads_extension = argc > 1 ? argv[1] : "./build/binhash";
  threads_picture = host_read(HOST_PICTURES "420.jpg", &threads_bytes);
  memset(workers, 0, sizeof(workers));
  for (int i = 0; i < THREADS; i++)
    if (pthread_create(&workers[i].thread, NULL, threads_run, &workers[i]))
      return 1;
  for (int i = 0; i < THREADS; i++) {
    pthread_join(workers[i].thread, NULL);
    failures += workers[i].failures;
    same &= strcmp(workers[i].code, workers[0].code) == 0;
  }
  host_ok(failures == 0, "threads that load, hash, search and close");
  host_ok(same && strlen(workers[0].code) == 16, "threads agree on the code");
  host_ok(sqlite3_memory_used() == 0, "threads leave no memory behind");
  free(threads_picture);
  return host_done();
}

/*
** What the trials of the index share: random numbers that a seed repeats,
** connections with the extension in them, and statements that say why they
** fail.
**
** BINHASH_EXTENSION names the extension, ./build/binhash where it is not set.
** BINHASH_STAND_IN names a second one to be loaded after it, whose module
** `binhash` takes the place of the first one's: plain.c, with which the trials
** are tried themselves.
*/
#ifndef BINHASH_INDEX_TEST_H
#define BINHASH_INDEX_TEST_H

#include <stdint.h>
#include <time.h>
#include <unistd.h>

#include "../hosts/host.h"

#define INDEX_CODE_MAX 128

/* Random numbers (splitmix64) ---------------------------------------------- */

static uint64_t index_random_state;

static inline uint64_t index_mix(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

static inline uint64_t index_random(void) {
  return index_mix(index_random_state += 0x9e3779b97f4a7c15u);
}

/* From 0 to n - 1. */
static inline int64_t index_below(int64_t n) {
  return (int64_t)(index_random() % (uint64_t)n);
}

/* The seed of an argument, or one of the time. */
static inline uint64_t index_seed(const char *argument) {
  uint64_t seed = argument ? strtoull(argument, NULL, 10) : 0;
  return seed ? seed : (uint64_t)time(NULL) * 1000003u + (uint64_t)getpid();
}

/* Codes --------------------------------------------------------------------- */

static inline int index_bytes(int bits) { return (bits + 7) / 8; }

/*
** A code of a number: one of a few centres with a few bits flipped, so that
** equal codes and equal distances are common, and now and then any code.  The
** spare bits of the last byte, which are its low ones, are 0.
*/
static inline void index_code(uint64_t number, int bits, uint8_t *code) {
  uint64_t h = index_mix(number + 0x1234567), c = index_mix(h % 5 + 77);
  if ((h >> 40 & 7) == 0) c = index_mix(h);
  int bytes = index_bytes(bits);
  for (int i = 0; i < bytes; i++) {
    if (i % 8 == 0) c = index_mix(c + 1);
    code[i] = (uint8_t)(h % 5 == 0 ? 0 : c >> 8 * (i % 8));
  }
  for (int flips = (int)((h >> 8) % 7) - 1; flips > 0; flips--) {
    h = index_mix(h + 3);
    int bit = (int)(h % (uint64_t)bits);
    code[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
  }
  if (bits % 8) code[bytes - 1] &= (uint8_t)(0xff00 >> bits % 8);
}

/* code_of(number, bits) in SQL. */
static inline void index_code_of(sqlite3_context *context, int n,
                                 sqlite3_value **values) {
  uint8_t code[INDEX_CODE_MAX];
  int bits = sqlite3_value_int(values[1]);
  (void)n;
  index_code((uint64_t)sqlite3_value_int64(values[0]), bits, code);
  sqlite3_result_blob(context, code, index_bytes(bits), SQLITE_TRANSIENT);
}

/* Connections --------------------------------------------------------------- */

/* Load what a connection needs; SQLITE_OK or an error. */
static inline int index_load(sqlite3 *db) {
  const char *extension = getenv("BINHASH_EXTENSION");
  const char *stand_in = getenv("BINHASH_STAND_IN");
  int rc = host_load(db, extension ? extension : "./build/binhash");
  if (rc == SQLITE_OK && stand_in && *stand_in) rc = host_load(db, stand_in);
  if (rc == SQLITE_OK)
    rc = sqlite3_create_function(db, "code_of", 2, SQLITE_UTF8 |
                                 SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS, NULL,
                                 index_code_of, NULL, NULL);
  return rc;
}

static inline void index_stop(const char *what, sqlite3 *db) {
  printf("# %s: %s\nnot ok - stopped\n", what,
         db ? sqlite3_errmsg(db) : "no database");
  exit(1);
}

/* A connection, or the end of the program. */
static inline sqlite3 *index_open(const char *path) {
  sqlite3 *db = NULL;
  if (sqlite3_open(path, &db) != SQLITE_OK || index_load(db) != SQLITE_OK)
    index_stop(path, db);
  return db;
}

/* SQL that must work, in sqlite3_mprintf's format. */
static inline void index_exec(sqlite3 *db, const char *format, ...) {
  va_list list;
  va_start(list, format);
  char *sql = sqlite3_vmprintf(format, list);
  va_end(list);
  if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
    index_stop(sql, db);
  sqlite3_free(sql);
}

/* A file in a folder of this process's own, which index_forget removes. */
static inline const char *index_path(const char *name) {
  static char paths[8][200];
  static int next;
  const char *folder = getenv("TMPDIR");
  char *path = paths[next++ % 8];
  snprintf(path, sizeof(paths[0]), "%.120s/binhash-%d-%s",
           folder ? folder : "/tmp", (int)getpid(), name);
  return path;
}

static inline void index_forget(const char *path) {
  static const char *const ends[] = {"", "-journal", "-wal", "-shm"};
  char whole[256];
  for (int i = 0; i < 4; i++) {
    snprintf(whole, sizeof(whole), "%s%s", path, ends[i]);
    unlink(whole);
  }
}

/* Both integrity checks; NULL, or what is wrong. */
static inline const char *index_sound(sqlite3 *db) {
  static char out[300];
  if (host_sql(db, "PRAGMA integrity_check", NULL, 0, out, sizeof(out)) !=
          SQLITE_OK || strcmp(out, "ok") != 0)
    return out[0] ? out : sqlite3_errmsg(db);
  if (host_sql(db, "INSERT INTO t(t) VALUES('integrity-check')", NULL, 0, out,
               sizeof(out)) != SQLITE_OK) {
    snprintf(out, sizeof(out), "integrity-check: %s", sqlite3_errmsg(db));
    return out;
  }
  return NULL;
}

#endif

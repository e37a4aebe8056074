/*
** Shadow tables that somebody has damaged.
**
**     corrupt [TRIALS [SEED [ONLY]]]
**
** Each trial takes the same small database, damages its shadow tables in one
** of the ways below, and then reads and writes through the index.  Whatever is
** left of the tables, a statement must end, and either with SQLITE_CORRUPT_VTAB
** (or SQLITE_CORRUPT, where SQLite itself sees it first) or with rows that
** could be true:
**
**   - where only bytes of a block were changed, and its checksum was not made to
**     fit, exactly the rows that were there before;
**   - otherwise rows of any code, but each with the distance that hamming()
**     finds, each rowid once, and all in order.
**
** 'integrity-check' must notice the former always.  Under the sanitizers this
** also shows that no byte outside of a block is touched.
*/
#include <signal.h>
#include <stdarg.h>
#include <sys/time.h>

#include "../../nn/codes.h"
#include "index_test.h"

#define ROWS 2600

static unsigned char *corrupt_image;
static sqlite3_int64 corrupt_bytes;
static const char *corrupt_what = "";     /* the damage, for messages */
static char corrupt_note[200];
static int corrupt_bits, corrupt_wrong, corrupt_errors, corrupt_answers;
static int corrupt_trial_number;
static uint64_t corrupt_seed;

static void corrupt_bad(sqlite3 *db, const char *sql, const char *why) {
  static int last = -1;     /* one message for a trial is enough */
  if (corrupt_trial_number == last) return;
  last = corrupt_trial_number;
  if (++corrupt_wrong > 20) return;
  printf("# seed %llu, trial %d, %d bits, %s %s\n#   %s: %s (%s)\n",
         (unsigned long long)corrupt_seed, corrupt_trial_number, corrupt_bits,
         corrupt_what, corrupt_note, sql, why, sqlite3_errmsg(db));
}

/* Damage -------------------------------------------------------------------- */

/* Run SQL on the shadow tables; it may fail, which damages nothing. */
static void corrupt_run(sqlite3 *db, const char *format, ...) {
  va_list list;
  va_start(list, format);
  char *sql = sqlite3_vmprintf(format, list);
  va_end(list);
  snprintf(corrupt_note, sizeof(corrupt_note), "%s", sql);
  sqlite3_exec(db, sql, NULL, NULL, NULL);
  sqlite3_free(sql);
}

/* A block of the table, chosen at random; its bytes are a copy. */
static uint8_t *corrupt_block(sqlite3 *db, int64_t *id, int *size) {
  sqlite3_stmt *stmt;
  uint8_t *copy = calloc(1, 100000);
  *size = 0;
  sqlite3_prepare_v2(db, "SELECT id, block FROM t_blocks ORDER BY id LIMIT 1"
                     " OFFSET ?1 % (SELECT count(*) FROM t_blocks)", -1, &stmt,
                     NULL);
  sqlite3_bind_int64(stmt, 1, index_below(100));
  if (!copy || sqlite3_step(stmt) != SQLITE_ROW) index_stop("no block", db);
  *id = sqlite3_column_int64(stmt, 0);
  *size = sqlite3_column_bytes(stmt, 1);
  memcpy(copy, sqlite3_column_blob(stmt, 1), (size_t)*size);
  sqlite3_finalize(stmt);
  return copy;
}

static void corrupt_store(sqlite3 *db, int64_t id, uint8_t *block, int size) {
  sqlite3_stmt *stmt;
  sqlite3_prepare_v2(db, "UPDATE t_blocks SET block = ?2 WHERE id = ?1", -1,
                     &stmt, NULL);
  sqlite3_bind_int64(stmt, 1, id);
  sqlite3_bind_blob(stmt, 2, block, size, free);
  sqlite3_step(stmt);
  sqlite3_finalize(stmt);
}

static void corrupt_seal(uint8_t *block, int size) {
  if (size < 4) return;
  uint32_t sum = nn_checksum(block, (size_t)size - 4);
  for (int i = 0; i < 4; i++) block[size - 4 + i] = (uint8_t)(sum >> 8 * i);
}

/* Bytes of a block changed; the headers are hit more often than chance would.
** 1 if the checksum still tells. */
static int corrupt_flip(sqlite3 *db) {
  int64_t id;
  int size, seal = index_below(3) != 0, from;
  uint8_t *block = corrupt_block(db, &id, &size);
  uint32_t before = nn_checksum(block, (size_t)size);
  for (int64_t n = 1 + index_below(3); n > 0; n--) {
    from = (int)(index_below(2) ? index_below(40) : index_below(size));
    block[from] = (uint8_t)(index_below(3) ? block[from] ^ 1 << index_below(8)
                                           : index_below(256));
    snprintf(corrupt_note, sizeof(corrupt_note), "block %lld, byte %d = %d%s",
             (long long)id, from, block[from], seal ? ", sealed" : "");
  }
  /* A byte may have been given the value that it had. */
  int tells = !seal && nn_checksum(block, (size_t)size) != before;
  if (seal) corrupt_seal(block, size);
  corrupt_store(db, id, block, size);
  return tells;
}

/* A block that is shorter or longer. */
static int corrupt_cut(sqlite3 *db) {
  int64_t id;
  int size, seal = index_below(2) != 0;
  uint8_t *block = corrupt_block(db, &id, &size);
  int to = (int)(index_below(2) ? index_below(size)
                                : size + index_below(9) - 4);
  if (index_below(20) == 0) to = 70000;
  if (seal) corrupt_seal(block, to);
  snprintf(corrupt_note, sizeof(corrupt_note), "block %lld, %d bytes, not %d%s",
           (long long)id, to, size, seal ? ", sealed" : "");
  corrupt_store(db, id, block, to);
  return !seal && to != size;
}

/* A value of another type. */
static const char *corrupt_value(void) {
  static const char *const values[] = {"NULL", "0", "-1", "1", "'text'", "x''",
    "x'00'", "zeroblob(28)", "zeroblob(5000)", "9223372036854775807", "1.5",
    "randomblob(60)", "randomblob(4056)", "-9223372036854775808", "99"};
  return values[index_below((int)(sizeof(values) / sizeof(*values)))];
}

static int corrupt_type(sqlite3 *db) {
  corrupt_run(db, "UPDATE t_blocks SET block = %s WHERE id = (SELECT id FROM"
              " t_blocks ORDER BY id LIMIT 1 OFFSET %d)", corrupt_value(),
              (int)index_below(5));
  return 0;
}

static int corrupt_keys(sqlite3 *db) {
  static const char *const how[] = {
    "DELETE FROM t_blocks WHERE id = (SELECT id FROM t_blocks ORDER BY id LIMIT"
      " 1 OFFSET %lld %% 5)",
    "DELETE FROM t_blocks WHERE %lld",
    "UPDATE OR REPLACE t_blocks SET id = %lld WHERE id = (SELECT id FROM"
      " t_blocks ORDER BY id LIMIT 1 OFFSET 1)",
    "UPDATE OR REPLACE t_blocks SET id = %lld WHERE id = (SELECT min(id) FROM"
      " t_blocks)",
    "INSERT OR REPLACE INTO t_blocks SELECT %lld, block FROM t_blocks ORDER BY"
      " id LIMIT 1 OFFSET 2",
    "INSERT OR REPLACE INTO t_blocks SELECT %lld + id / 2, block FROM t_blocks",
    "UPDATE t_blocks SET block = (SELECT block FROM t_blocks ORDER BY id DESC"
      " LIMIT 1 OFFSET 1) WHERE id < %lld",
  };
  corrupt_run(db, how[index_below(7)], index_below(3) ? index_below(9000)
                                          : (int64_t)index_random());
  return 0;
}

static int corrupt_state(sqlite3 *db) {
  static const char *const columns[] = {"id", "format", "bits", "stamp", "rows",
                                        "changes", "model", "sha256"};
  if (index_below(10) == 0) corrupt_run(db, "DELETE FROM t_state");
  else if (index_below(10) == 0) corrupt_run(db, "INSERT INTO t_state SELECT 2,"
                 " format, bits, stamp, rows, changes, model, sha256 FROM"
                 " t_state");
  else if (index_below(4) == 0)
    corrupt_run(db, "UPDATE t_state SET rows = rows + %d",
                (int)index_below(5) - 2);
  else corrupt_run(db, "UPDATE t_state SET %s = %s",
                   columns[index_below(8)], corrupt_value());
  return 0;
}

static int corrupt_tables(sqlite3 *db) {
  static const char *const how[] = {
    "DROP TABLE t_blocks", "DROP TABLE t_state",
    "ALTER TABLE t_blocks RENAME TO t_other",
    "ALTER TABLE t_blocks RENAME COLUMN block TO bloc",
    "ALTER TABLE t_state DROP COLUMN changes",
    "DROP TABLE t_blocks; CREATE VIEW t_blocks AS SELECT 1 AS id, x'00' AS"
      " block",
    "DROP TABLE t_state; CREATE TABLE t_state(id)",
    "CREATE TRIGGER hostile AFTER UPDATE ON t_state BEGIN DELETE FROM t_blocks;"
      " END",
  };
  corrupt_run(db, "%s", how[index_below(8)]);
  return 0;
}

/* Use ----------------------------------------------------------------------- */

/* An error that a damaged table may end with. */
static int corrupt_allowed(int rc) {
  if ((rc & 0xff) == SQLITE_CORRUPT) return 1;
  /* The state says what the table is, and a table that is not what its text
  ** says is refused as such; a rowid may be taken. */
  return (rc == SQLITE_ERROR && (corrupt_what[0] == 's' ||
                                 corrupt_what[0] == 't')) ||
         (rc & 0xff) == SQLITE_CONSTRAINT;
}

/*
** Read rows of (rowid, code, distance) in order of (distance, rowid), or of the
** rowid where distances are NULL; a number of all that came, or 0 on an error.
*/
static uint64_t corrupt_read(sqlite3 *db, const char *sql, int limit) {
  sqlite3_stmt *stmt = NULL;
  uint64_t sum = 1;
  int64_t rowid = 0, last = 0;
  int rows = 0, rc = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);
  int distance = -1, before = -1;
  uint8_t query[INDEX_CODE_MAX];
  index_code(5, corrupt_bits, query);
  sqlite3_bind_blob(stmt, 1, query, index_bytes(corrupt_bits), SQLITE_STATIC);
  sqlite3_bind_int(stmt, 2, index_bytes(corrupt_bits));
  if (rc == SQLITE_OK)
    while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
      const uint8_t *code = sqlite3_column_blob(stmt, 1);
      int bytes = sqlite3_column_bytes(stmt, 1);
      rowid = sqlite3_column_int64(stmt, 0);
      distance = sqlite3_column_int(stmt, 2);
      if (bytes != index_bytes(corrupt_bits))
        corrupt_bad(db, sql, "a code of another length");
      if (distance != sqlite3_column_int(stmt, 3))
        corrupt_bad(db, sql, "a wrong distance");
      if (rows > 0 && (distance < before ||
                       (distance == before && rowid <= last)))
        corrupt_bad(db, sql, "a wrong order");
      for (int i = 0; i < bytes; i++) sum = index_mix(sum + code[i]);
      sum = index_mix(sum + (uint64_t)rowid + (uint64_t)distance * 77);
      last = rowid;
      before = distance;
      if (++rows > limit) {
        corrupt_bad(db, sql, "more rows than there can be");
        break;
      }
    }
  if (rc != SQLITE_DONE && rc != SQLITE_ROW && !corrupt_allowed(rc))
    corrupt_bad(db, sql, "an error of another kind");
  sqlite3_finalize(stmt);
  if (rc == SQLITE_DONE) corrupt_answers++;
  else corrupt_errors++;
  return rc == SQLITE_DONE ? sum : 0;
}

/* ?1 is the query, ?2 the bytes of a code. */
#define SEARCH "SELECT rowid, code, distance, hamming(code, ?1) FROM t WHERE" \
               " query = ?1"

static const char *const corrupt_reads[] = {
  "SELECT rowid, code, 0, 0 FROM t",
  SEARCH,
  SEARCH " LIMIT 7",
  SEARCH " AND distance BETWEEN 5 AND 12",
  SEARCH " AND rowid IN (3, 60, 61, 900, 4000, 3000000)",
  SEARCH " AND rowid BETWEEN 900 AND 3000000 LIMIT 5",
  "SELECT rowid, code, 0, 0 FROM t WHERE rowid = 900",
  "SELECT rowid, code, 0, 0 FROM t WHERE rowid > 2000 ORDER BY rowid",
  "SELECT max(rowid), zeroblob(?2), 0, 0 FROM t",
};
#define READS (int)(sizeof(corrupt_reads) / sizeof(*corrupt_reads))

static const char *const corrupt_writes[] = {
  "INSERT INTO t(rowid, code) VALUES (4001, zeroblob(%d))",
  "INSERT INTO t(code) VALUES (zeroblob(%d))",
  "UPDATE t SET code = zeroblob(%d) WHERE rowid = 900",
  "UPDATE t SET code = zeroblob(%d) WHERE rowid BETWEEN 1000 AND 2500",
  "DELETE FROM t WHERE rowid BETWEEN 500 AND 2100 AND %d",
  "INSERT OR REPLACE INTO t(rowid, code) SELECT id, zeroblob(%d) FROM n",
  "DELETE FROM t WHERE rowid > 3000 AND %d",
  "BEGIN; DELETE FROM t WHERE rowid < %d * 500; SAVEPOINT s; DELETE FROM t;"
    " ROLLBACK TO s; COMMIT",
  "INSERT INTO t(t) VALUES ('integrity-check'), (nullif(%d, %d))",
  "DELETE FROM t WHERE %d",
};
#define WRITES (int)(sizeof(corrupt_writes) / sizeof(*corrupt_writes))

static uint64_t corrupt_truth[READS];

static uint64_t corrupt_nth(sqlite3 *db, int i) {
  return corrupt_read(db, corrupt_reads[i], 20 * ROWS);
}

static void corrupt_write(sqlite3 *db, int i) {
  char sql[400];
  int n = index_bytes(corrupt_bits);
  snprintf(sql, sizeof(sql), corrupt_writes[i], n, n);
  int rc = sqlite3_exec(db, sql, NULL, NULL, NULL);
  if (rc != SQLITE_OK && !corrupt_allowed(rc))
    corrupt_bad(db, sql, "an error of another kind");
  if (rc == SQLITE_OK) corrupt_answers++;
  else corrupt_errors++;
  if (!sqlite3_get_autocommit(db))
    sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
}

/* The sound database in memory. */
static sqlite3 *corrupt_open(void) {
  sqlite3 *db = index_open(":memory:");
  unsigned char *copy = sqlite3_malloc64((sqlite3_uint64)corrupt_bytes);
  memcpy(copy, corrupt_image, (size_t)corrupt_bytes);
  if (sqlite3_deserialize(db, "main", copy, corrupt_bytes, corrupt_bytes,
                          SQLITE_DESERIALIZE_FREEONCLOSE |
                          SQLITE_DESERIALIZE_RESIZEABLE) != SQLITE_OK)
    index_stop("deserialize", db);
  return db;
}

/* Rowids of the kinds that blocks store differently. */
static void corrupt_make(int bits) {
  sqlite3 *db = index_open(":memory:");
  corrupt_bits = bits;
  index_exec(db, "CREATE VIRTUAL TABLE t USING binhash(bits=%d);"
             "CREATE TABLE n(id INTEGER PRIMARY KEY); WITH n(i) AS (SELECT 1"
             " UNION ALL SELECT i + 1 FROM n WHERE i < %d) INSERT INTO n"
             " SELECT i FROM n; INSERT INTO t(rowid, code) SELECT CASE WHEN"
             " id < 1000 THEN id WHEN id < 2000 THEN id * 2 ELSE id * 1000 +"
             " (id > 2400) * 12345678901234 END, code_of(id, %d) FROM n;"
             "UPDATE t SET code = code_of(1, %d) WHERE rowid IN (7, 3000)",
             bits, ROWS, bits, bits);
  corrupt_what = "";
  corrupt_note[0] = 0;
  for (int i = 0; i < READS; i++) corrupt_truth[i] = corrupt_nth(db, i);
  sqlite3_free(corrupt_image);
  corrupt_image = sqlite3_serialize(db, "main", &corrupt_bytes, 0);
  sqlite3_close(db);
}

/* A trial that does not end is one that failed.  It has so many seconds of the
** processor, for a busy machine may be slow to give them. */
#define TRIAL_SECONDS 60

static char corrupt_endless[160];
static int corrupt_endless_bytes;

static void corrupt_is_endless(int number) {
  (void)number;
  ssize_t n = write(1, corrupt_endless, (size_t)corrupt_endless_bytes);
  _exit(n < 0 ? 2 : 1);
}

static void corrupt_start_clock(void) {
  const struct itimerval limit = {{0, 0}, {TRIAL_SECONDS, 0}};
  corrupt_endless_bytes = snprintf(
      corrupt_endless, sizeof(corrupt_endless),
      "not ok - corrupt: no end, seed %llu, trial %d, %d bits, %s\n",
      (unsigned long long)corrupt_seed, corrupt_trial_number, corrupt_bits,
      corrupt_what);
  signal(SIGPROF, corrupt_is_endless);
  setitimer(ITIMER_PROF, &limit, NULL);
}

static void corrupt_trial(uint64_t seed) {
  static const struct { const char *what; int (*damage)(sqlite3 *); } ways[] = {
    {"bytes", corrupt_flip}, {"bytes", corrupt_flip}, {"bytes", corrupt_flip},
    {"length", corrupt_cut}, {"value", corrupt_type}, {"keys", corrupt_keys},
    {"state", corrupt_state}, {"tables", corrupt_tables},
  };
  index_random_state = seed;
  sqlite3 *db = corrupt_open();
  int warm = index_below(3) == 0, way = (int)index_below(8);
  corrupt_what = ways[way].what;
  corrupt_start_clock();
  if (warm) corrupt_nth(db, 1);
  if (index_below(4) == 0)
    sqlite3_exec(db, "SELECT binhash_config('cache_bytes', 0)", NULL, NULL,
                 NULL);
  corrupt_note[0] = 0;
  int tells = ways[way].damage(db);
  if (tells && sqlite3_exec(db, "INSERT INTO t(t) VALUES ('integrity-check')",
                            NULL, NULL, NULL) == SQLITE_OK)
    corrupt_bad(db, "integrity-check", "notices nothing");
  for (int n = 0; n < 4; n++) {
    int i = (int)index_below(READS);
    uint64_t sum = corrupt_nth(db, i);
    if (tells && sum && sum != corrupt_truth[i])
      corrupt_bad(db, corrupt_reads[i], "other rows than there were");
  }
  for (int n = 0; n < 3; n++) {
    corrupt_write(db, (int)index_below(WRITES));
    corrupt_nth(db, (int)index_below(READS));
  }
  if (index_below(10) == 0)
    sqlite3_exec(db, "DROP TABLE t", NULL, NULL, NULL);
  if (sqlite3_close(db) != SQLITE_OK) corrupt_bad(db, "close", "refused");
}

int main(int argc, char **argv) {
  static const int sizes[] = {48, 63, 256, 12};
  int trials = argc > 1 ? atoi(argv[1]) : 500;
  int only = argc > 3 ? atoi(argv[3]) : -1;
  char name[120];
  corrupt_seed = index_seed(argc > 2 ? argv[2] : NULL);
  for (int k = 0; k < 4; k++) {
    corrupt_make(sizes[k]);
    for (int i = k * trials / 4; i < (k + 1) * trials / 4; i++) {
      corrupt_trial_number = i;
      if (only < 0 || i == only)
        corrupt_trial(index_mix(corrupt_seed + (uint64_t)i * 131));
    }
  }
  sqlite3_free(corrupt_image);
  snprintf(name, sizeof(name), "corrupt: %d damaged tables, %d errors, %d "
           "answers, seed %llu", trials, corrupt_errors, corrupt_answers,
           (unsigned long long)corrupt_seed);
  host_ok(corrupt_wrong == 0, name);
  return host_done();
}

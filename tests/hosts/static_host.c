/*
** A program that links SQLite and libbinhash.a, with binhash registered for
** every connection it opens, and an allocator that fails on demand.
**
** First everything must work.  Then each operation below is run again and again
** while the first, the second, the third ... of its allocations fails, once
** alone and once with all that follow it.  Every time it must succeed or say
** that it is out of memory, and leave nothing behind; and after that it must
** work.
**
**     static_host [plain]
**
** plain: without the failures.  Most operations open the compiled-in model,
** which asks for memory some thousand times; so hosts.sh runs them with failures
** in a program into which a small one is compiled.
*/
#include "../../ext/binhash.h"
#include "../unit/sqlite_faults.h"
#include "host.h"

/* No lookaside, which would serve small requests without the allocator. */
static void static_configure(void) {
  faults_configure();
  sqlite3_config(SQLITE_CONFIG_LOOKASIDE, 0, 0);
  sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 1);
}

/* The operations ----------------------------------------------------------- */

typedef struct operation {
  const char *name;
  const char *setup;     /* statements run without faults, or NULL */
  const char *sql;       /* one value; ?1 is the picture */
  const char *picture;   /* or NULL */
  const char *value;     /* NULL: whatever it was the first time */
} operation;

#define LOAD "SELECT binhash_load('tiny', '" HOST_TINY "');"
#define TABLE "CREATE TABLE t(id INTEGER PRIMARY KEY, code BLOB, name TEXT);" \
  "INSERT INTO t VALUES (1, x'0000', 'a'), (2, x'0001', 'b')," \
  "(5, x'ffff', 'c'), (9, x'0003', 'd');"

static const operation static_operations[] = {
    {"open and close", NULL, "SELECT hamming(x'00', x'07')", NULL, "3"},
    {"load a path", NULL, "SELECT binhash_load('tiny', '" HOST_TINY "')", NULL,
     "tiny"},
    {"load a BLOB of two heads", NULL, "SELECT binhash_load('m', ?1)",
     "build/tests/models/two.safetensors", "m,wide"},
    {"load twice and unload", LOAD, "SELECT binhash_load('tiny', '"
     HOST_TINY "') || coalesce(binhash_unload('tiny'), '')", NULL, "tiny"},
    {"a sha256", LOAD, "SELECT group_concat(length(sha256)) FROM binhash_models"
     " WHERE NOT is_default AND name <> 'copy-64'", NULL, "64"},
    {"list the models", LOAD, "SELECT bits FROM binhash_models WHERE name = "
     "'tiny'", NULL, "9"},
    {"hash a JPEG", LOAD, "SELECT hex(img_hash(?1, 'tiny'))",
     HOST_PICTURES "420.jpg", NULL},
    {"hash a progressive JPEG", LOAD, "SELECT hex(img_hash(?1, 'tiny'))",
     HOST_PICTURES "420-progressive.jpg", NULL},
    {"hash a PNG", LOAD, "SELECT hex(img_hash(?1, 'tiny'))",
     HOST_PICTURES "palette-short.png", NULL},
    {"hash a GIF", LOAD, "SELECT hex(img_hash(?1, 'tiny'))",
     HOST_PICTURES "interlaced.gif", NULL},
    {"hash a BMP", LOAD, "SELECT hex(img_hash(?1, 'tiny'))",
     HOST_PICTURES "24.bmp", NULL},
    {"hash a broken JPEG", LOAD, "SELECT try_img_hash(?1, 'tiny')",
     "tests/golden/broken/cut.jpg", "NULL"},
    {"hash RGB", LOAD,
     "SELECT hex(img_hash_rgb(zeroblob(300), 10, 10, 'tiny'))", NULL, "1E00"},
    {"look at a JPEG", LOAD, "SELECT img_info(?1) || img_label(?1, 'tiny') || "
     "coalesce(img_error(?1), '') || length(img_features(?1, 'tiny')) || "
     "length(img_layer(?1, 'latent', 'tiny'))", HOST_PICTURES "420.jpg", NULL},
    {"classes of a JPEG", LOAD, "SELECT group_concat(label || (image = ?1)) || "
     "group_concat(score) FROM img_labels(?1, 'tiny')",
     HOST_PICTURES "420.jpg", NULL},
    {"views of a PNG", LOAD, "SELECT group_concat(view || hex(code) || views) "
     "FROM img_hash_views(?1, 'd4', 'tiny')", HOST_PICTURES "rgb-8.png", NULL},
    {"views of a broken JPEG", LOAD, "SELECT count(view) FROM img_hash_views("
     "CASE WHEN img_error(?1) IS NULL THEN ?1 END, 'crops5', 'tiny')",
     "tests/golden/broken/cut.jpg", "0"},
    {"views nearest to rows", LOAD TABLE, "SELECT group_concat(t.rowid || ' ' "
     "|| t.distance || v.view) FROM img_hash_views(?1, 'flip', 'tiny') v JOIN "
     "binhash_topk('t', 'code', v.code, 2) t", HOST_PICTURES "420.jpg", NULL},
    {"codes of two heads", NULL, "SELECT binhash_load('m', 'build/tests/"
     "models/two.safetensors') || hex(img_hash(?1, 'm')) || "
     "hex(img_hash(?1, 'wide')) || img_label(?1, 'm')",
     HOST_PICTURES "420.jpg", NULL},
    {"quality", NULL, "SELECT img_quality(?1)", HOST_PICTURES "420.jpg", "70"},
    {"hash with the default model", NULL, "SELECT hex(img_hash(?1))",
     HOST_PICTURES "420.jpg", NULL},
    {"search", TABLE,
     "SELECT group_concat(rowid || ' ' || distance || key) FROM "
     "binhash_topk('t', 'code', x'0001', 3, 'main', 'name') "
     "WHERE rowid IN (1, 2, 9)", NULL, "2 0b,1 1a,9 1d"},
    {"distances", NULL, "SELECT feature_distance(zeroblob(400), zeroblob(400)) "
     "+ cosine_distance(zeroblob(4), zeroblob(4))", NULL, "1.0"},
    {"settings", NULL, "SELECT binhash_config('max_pixels', 7) || "
     "binhash_config('progress') || (binhash_info() LIKE '{%}') || "
     "binhash_config('cache_bytes', 0)", NULL, "7off10"},
};

/*
** Open, set up, run and close, with faults in all but the setup.  NULL and the
** value in out when all went well; "" when out of memory; else what is wrong.
*/
static const char *static_run(const operation *o, int at, int on,
                              const unsigned char *picture, int n, char *out,
                              size_t room) {
  static char wrong[400];
  sqlite3 *db = NULL;
  const char *why = NULL;
  if (!o->setup) faults_arm(at, on);
  int rc = sqlite3_open(":memory:", &db);
  if (rc == SQLITE_OK && o->setup) {
    rc = sqlite3_exec(db, o->setup, NULL, NULL, NULL);
    faults_arm(at, on);
  }
  if (rc == SQLITE_OK) rc = host_sql(db, o->sql, picture, n, out, room);
  faults_at = 0;
  if (rc != SQLITE_OK) why = "";
  if (rc != SQLITE_OK && (rc & 0xff) != SQLITE_NOMEM &&
      rc != SQLITE_IOERR_NOMEM) {
    snprintf(wrong, sizeof(wrong), "%d: %s", rc, sqlite3_errmsg(db));
    why = wrong;
  }
  return sqlite3_close(db) == SQLITE_OK ? why : "does not close";
}

/* Every allocation of one operation fails in turn; the number of failures that
** were answered as they should not. */
static int static_faults(const operation *o, int on,
                         const unsigned char *picture, int n,
                         const char *value) {
  char out[400];
  int failures = 0, at = 1, more = 1;
  sqlite3_int64 used = sqlite3_memory_used();
  for (; more && failures < 5; at++) {
    const char *why = static_run(o, at, on, picture, n, out, sizeof(out));
    more = faults_calls >= at;
    if (!why && strcmp(out, value) != 0) why = out;
    if (!more && why) why = "fails though no allocation did";
    if (sqlite3_memory_used() != used) why = "leaves memory behind";
    if (!why || !*why) continue;
    printf("# allocation %d: %s\n", at, why);
    failures++;
    used = sqlite3_memory_used();
  }
  printf("# %d allocations\n", at - 2);
  return failures;
}

static void static_operation(const operation *o, int plain) {
  char value[400], name[120];
  int n = 0;
  unsigned char *picture = o->picture ? host_read(o->picture, &n) : NULL;
  const char *why = static_run(o, 0, 0, picture, n, value, sizeof(value));
  if (why) printf("# %s\n", why);
  if (o->value && strcmp(value, o->value) != 0) why = value;
  snprintf(name, sizeof(name), "static: %s", o->name);
  if (host_ok(!why, name) && !plain) {
    snprintf(name, sizeof(name), "static: %s, each allocation failing",
             o->name);
    host_ok(static_faults(o, 0, picture, n, value) == 0, name);
    snprintf(name, sizeof(name), "static: %s, memory ending at each", o->name);
    host_ok(static_faults(o, 1, picture, n, value) == 0, name);
  }
  free(picture);
}

int main(int argc, char **argv) {
  char out[64];
  static_configure();
  sqlite3_auto_extension((void (*)(void))sqlite3_binhash_init);
  sqlite3 *db = NULL;
  host_ok(sqlite3_open(":memory:", &db) == SQLITE_OK &&
          host_sql(db, "SELECT binhash_version()", NULL, 0, out, sizeof(out))
              == SQLITE_OK && strcmp(out, BINHASH_VERSION) == 0,
          "static: the archive is the header's version");
  host_ok(sqlite3_binhash_init(db, NULL, NULL) == SQLITE_OK,
          "static: registering twice is harmless");
  sqlite3_close(db);
  for (size_t i = 0; i < sizeof(static_operations) / sizeof(operation); i++)
    static_operation(&static_operations[i],
                     argc > 1 && strcmp(argv[1], "plain") == 0);
  return host_done();
}

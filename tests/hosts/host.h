/*
** What the host programs share: lines of TAP, a picture, and SQL that must give
** one value.
*/
#ifndef BINHASH_TEST_HOST_H
#define BINHASH_TEST_HOST_H

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOST_PICTURES "tests/golden/pictures/"
#define HOST_TINY "build/tests/models/tiny.safetensors"

static int host_count, host_failed;

/* One line of TAP. */
static inline int host_ok(int good, const char *name) {
  printf("%s %d - %s\n", good ? "ok" : "not ok", ++host_count, name);
  fflush(stdout);
  host_failed += !good;
  return good;
}

static inline int host_done(void) {
  printf("1..%d\n", host_count);
  return host_failed != 0;
}

/* A file's bytes; a test that lacks its files stops. */
static inline unsigned char *host_read(const char *path, int *n) {
  FILE *f = fopen(path, "rb");
  unsigned char *bytes = malloc(1 << 20);
  if (!f || !bytes) {
    printf("Bail out! cannot read %s\n", path);
    exit(1);
  }
  *n = (int)fread(bytes, 1, 1 << 20, f);
  fclose(f);
  return bytes;
}

/*
** Run SQL, with the BLOB bound to ?1 where there is one.  The first column of
** the first row is copied as text into out.  Gives SQLITE_OK or an error.
*/
static inline int host_sql(sqlite3 *db, const char *sql, const void *blob,
                           int n, char *out, size_t room) {
  sqlite3_stmt *stmt = NULL;
  out[0] = 0;
  int rc = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);
  if (rc == SQLITE_OK && blob) {
    rc = sqlite3_bind_blob(stmt, 1, blob, n, SQLITE_STATIC);
  }
  if (rc == SQLITE_OK) {
    rc = sqlite3_step(stmt);
    if (rc == SQLITE_ROW) {
      const char *text = (const char *)sqlite3_column_text(stmt, 0);
      snprintf(out, room, "%s", text ? text : "NULL");
    }
    while (rc == SQLITE_ROW) rc = sqlite3_step(stmt);
    if (rc == SQLITE_DONE) rc = SQLITE_OK;
  }
  int last = sqlite3_finalize(stmt);
  return rc == SQLITE_OK ? last : rc;
}

/* Load the extension into a connection; says why not. */
static inline int host_load(sqlite3 *db, const char *extension) {
  char *error = NULL;
  sqlite3_enable_load_extension(db, 1);
  int rc = sqlite3_load_extension(db, extension, NULL, &error);
  if (rc != SQLITE_OK) printf("# %s\n", error ? error : sqlite3_errmsg(db));
  sqlite3_free(error);
  return rc;
}

#endif

/*
** Hosts that the extension must refuse: an SQLite that is too old, and a second
** SQLite in a process where another one has loaded it.  Each is a table of
** routines made up here, of which only what a refusal needs is there: anything
** else that were called would crash.
**
**     old_host EXTENSION.so
*/
#include <dlfcn.h>

/* The table of routines, but calls that go to the library linked here. */
#define SQLITE_CORE
#include <sqlite3ext.h>

#include "host.h"

typedef int (*old_entry)(sqlite3 *, char **, const sqlite3_api_routines *);

static int old_number;
static int old_version_number(void) { return old_number; }
static const char *old_version(void) { return "3.made.up"; }

/* Try to load from a host of this version; 1 when refused with these words. */
static int old_refused(old_entry entry, sqlite3_api_routines *host, int version,
                       const char *words) {
  char *error = NULL;
  old_number = version;
  host->libversion_number = old_version_number;
  host->libversion = old_version;
  host->mprintf = sqlite3_mprintf;
  int rc = entry(NULL, &error, host);
  int good = rc == SQLITE_ERROR && error && strstr(error, words) &&
             strstr(error, "3.made.up") && entry(NULL, NULL, host) == rc;
  printf("# %s\n", error ? error : "(no message)");
  sqlite3_free(error);
  return good;
}

int main(int argc, char **argv) {
  static sqlite3_api_routines first, second;
  const char *extension = argc > 1 ? argv[1] : "./build/binhash.so";
  char out[64];
  old_entry entry = NULL;
  sqlite3 *db = NULL;
  void *library = dlopen(extension, RTLD_NOW | RTLD_LOCAL);
  void *symbol = library ? dlsym(library, "sqlite3_binhash_init") : NULL;
  memcpy(&entry, &symbol, sizeof(entry));
  if (!host_ok(entry != NULL, "the entry point is there")) return host_done();
  host_ok(old_refused(entry, &first, 3037002, "needs SQLite 3.38 or newer"),
          "SQLite 3.37.2 is refused");
  host_ok(old_refused(entry, &first, 3006018, "needs SQLite 3.38 or newer"),
          "SQLite 3.6.18 is refused");
  host_ok(sqlite3_open(":memory:", &db) == SQLITE_OK &&
          host_load(db, extension) == SQLITE_OK,
          "a host that was refused does not keep others out");
  host_ok(old_refused(entry, &second, 3050000, "in use by another SQLite"),
          "a second SQLite is refused");
  host_ok(old_refused(entry, &second, 3037002, "needs SQLite 3.38 or newer"),
          "a second SQLite that is too old as well");
  host_ok(host_sql(db, "SELECT hamming(x'00', x'0f')", NULL, 0, out,
                   sizeof(out)) == SQLITE_OK && strcmp(out, "4") == 0,
          "the first goes on");
  sqlite3_close(db);
  return host_done();
}

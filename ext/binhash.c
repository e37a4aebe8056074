/*
** The entry point: SELECT load_extension('binhash').
**
** It checks the host, registers every function and table of sql/README.md on
** the connection, and is the only symbol that the file exports.
**
** Three things can be wrong with a host, and each is told apart:
**
**  - It is older than 3.38, the first that passes LIMIT and whole IN lists to
**    virtual tables.
**  - It is another SQLite library than the one that loaded this file first.  A
**    loaded file has one pointer to its host's routines; calls that reached a
**    second library through the pointer of the first would corrupt both.  This
**    happens in Python, where the standard module and apsw each bring SQLite.
**  - It is an application with SQLite linked in; then this file is compiled
**    with SQLITE_CORE, there is no table of routines, and the checks fall away.
**
** Loading twice on one connection changes nothing.
*/
#include "ext_int.h"
SQLITE_EXTENSION_INIT1

#define BINHASH_HOST_MIN 3038000

#if defined(__GNUC__)
#define BINHASH_EXPORT __attribute__((visibility("default")))
#else
#define BINHASH_EXPORT
#endif

#ifndef SQLITE_CORE
/* Bind this file to its host.  The first one wins, whatever thread it is. */
static int binhash_bind_host(const sqlite3_api_routines *api, char **error) {
  const sqlite3_api_routines *none = NULL;
  if (api->libversion_number() < BINHASH_HOST_MIN) {
    if (error) {
      *error = api->mprintf("binhash needs SQLite 3.38 or newer, this is %s",
                            api->libversion());
    }
    return SQLITE_ERROR;
  }
  if (!__atomic_compare_exchange_n(&sqlite3_api, &none, api, 0,
                                   __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE) &&
      none != api) {
    if (error) {
      *error = api->mprintf(
          "binhash is in use by another SQLite library of this process "
          "(version %s, this is %s); load it from one of them only",
          none->libversion(), api->libversion());
    }
    return SQLITE_ERROR;
  }
  return SQLITE_OK;
}
#endif

/* Does the connection have a function of this name, ours or not? */
static int binhash_has_function(sqlite3 *db, const char *name) {
  sqlite3_stmt *stmt = NULL;
  int has = 0;
  if (sqlite3_prepare_v2(db, "SELECT 1 FROM pragma_function_list "
                         "WHERE name = ?1 LIMIT 1", -1, &stmt, NULL)
      == SQLITE_OK) {
    sqlite3_bind_text(stmt, 1, name, -1, SQLITE_STATIC);
    has = sqlite3_step(stmt) == SQLITE_ROW;
  }
  sqlite3_finalize(stmt);
  return has;
}

static int binhash_register(sqlite3 *db) {
  int (*const parts[])(bh_connection *) = {
      bh_register_codes, bh_register_images, bh_register_models,
      bh_register_topk,
      /* Last, since binhash_version is how a second load is recognised. */
      bh_register_settings};
  bh_connection *c = bh_connection_new(db);
  if (!c) return SQLITE_NOMEM;
  int rc = SQLITE_OK;
  for (size_t i = 0; rc == SQLITE_OK && i < sizeof(parts) / sizeof(*parts); i++)
    rc = parts[i](c);
  bh_connection_unref(c);
  return rc;
}

BINHASH_EXPORT int sqlite3_binhash_init(sqlite3 *db, char **error,
                                        const sqlite3_api_routines *api) {
#ifndef SQLITE_CORE
  int bound = binhash_bind_host(api, error);
  if (bound != SQLITE_OK) return bound;
#endif
  SQLITE_EXTENSION_INIT2(api);
  if (!binhash_has_function(db, "binhash_version")) {
    int rc = binhash_register(db);
    if (rc != SQLITE_OK) {
      if (error) {
        *error = sqlite3_mprintf("binhash: cannot register its functions: %s",
                                 sqlite3_errstr(rc));
      }
      return rc;
    }
  }
#ifdef SQLITE_CORE
  return SQLITE_OK;
#else
  /* Functions of this file may be running when a connection closes, so the file
  ** stays mapped for as long as the process lives. */
  return SQLITE_OK_LOAD_PERMANENTLY;
#endif
}

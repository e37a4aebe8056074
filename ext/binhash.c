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
  const sqlite3_api_routines *bound =
      __atomic_load_n(&sqlite3_api, __ATOMIC_ACQUIRE);
  if (api->libversion_number() < BINHASH_HOST_MIN) {
    if (error) {
      *error = api->mprintf("binhash needs SQLite 3.38 or newer, this is %s",
                            api->libversion());
    }
    return SQLITE_ERROR;
  }
  if (!bound && __atomic_compare_exchange_n(&sqlite3_api, &bound, api, 0,
                                            __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
    return SQLITE_OK;
  if (bound != api) {
    if (error) {
      *error = api->mprintf(
          "binhash is in use by another SQLite library of this process "
          "(version %s, this is %s); load it from one of them only",
          bound->libversion(), api->libversion());
    }
    return SQLITE_ERROR;
  }
  return SQLITE_OK;
}
#endif

static int binhash_register(sqlite3 *db) {
  int (*const parts[])(bh_connection *) = {
      bh_register_codes, bh_register_features, bh_register_images,
      bh_register_labels,
      bh_register_hash_views, bh_register_models, bh_register_topk,
      bh_register_pairs, bh_register_fine, bh_register_index,
      bh_register_each, bh_register_train,
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
#ifdef SQLITE_CORE
  (void)api;
#else
  /* Instead of SQLITE_EXTENSION_INIT2, which would write the pointer again
  ** while other threads read it. */
  int bound = binhash_bind_host(api, error);
  if (bound != SQLITE_OK) return bound;
#endif
  /* Registering twice would drop the models that were loaded. */
  int registered;
  int rc = bh_has_function(db, "binhash_version", 0, &registered);
  if (rc == SQLITE_OK && !registered) rc = binhash_register(db);
  if (rc != SQLITE_OK) {
    if (error) {
      *error = sqlite3_mprintf("binhash: cannot register its functions: %s",
                               sqlite3_errstr(rc));
    }
    return rc;
  }
#ifdef SQLITE_CORE
  return SQLITE_OK;
#else
  /* Functions of this file may be running when a connection closes, so the file
  ** stays mapped for as long as the process lives. */
  return SQLITE_OK_LOAD_PERMANENTLY;
#endif
}

/*
** What binhash keeps for a connection, and how functions come to share it.
**
** SQLite gives an extension no per-connection slot that is freed in time, but
** every function and module may carry a pointer with a destructor.  So all of
** them carry the same bh_connection, each holds a reference, and the last
** destructor, which runs when the connection closes, frees it.  Nothing is
** global: two connections share no memory that changes.
**
** SQLite calls the functions of one connection under that connection's mutex,
** which is why nothing here is locked.
*/
#define _GNU_SOURCE   /* sched_getaffinity */
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "ext_int.h"
SQLITE_EXTENSION_INIT3

/* The CPUs that this process may use, which a container makes fewer than the
** machine has. */
static int connection_cpus(void) {
#ifdef __linux__
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) {
    int n = CPU_COUNT(&set);
    if (n > 0) return n;
  }
#endif
  long n = sysconf(_SC_NPROCESSORS_ONLN);
  return n > 0 ? (int)n : 1;
}

bh_connection *bh_connection_new(sqlite3 *db) {
  bh_connection *c = sqlite3_malloc64(sizeof(*c));
  if (!c) return NULL;
  memset(c, 0, sizeof(*c));
  c->db = db;
  c->references = 1;
  c->config.max_pixels = (sqlite3_int64)NN_MAX_PIXELS_DEFAULT;
  c->config.threads = connection_cpus();
  c->config.cache_bytes = (sqlite3_int64)1 << 30;
  c->config.multi_index = 1;
  return c;
}

void bh_connection_unref(void *connection) {
  bh_connection *c = connection;
  if (--c->references > 0) return;
  bh_connection_forget(c);
  bh_models_free(c->models);
  sqlite3_free(c);
}

/*
** The list of functions cannot be read while another connection locks the
** database, nor from a host built without it; then a call is prepared, which a
** host that has no such function logs as an error.
*/
int bh_has_function(sqlite3 *db, const char *name, int arguments, int *has) {
  sqlite3_stmt *stmt = NULL;
  int rc = sqlite3_prepare_v2(
      db, "SELECT 1 FROM pragma_function_list "
      "WHERE name = ?1 COLLATE NOCASE AND narg IN (?2, -1) LIMIT 1", -1, &stmt,
      NULL);
  if (rc == SQLITE_OK) {
    sqlite3_bind_text(stmt, 1, name, -1, SQLITE_STATIC);
    sqlite3_bind_int(stmt, 2, arguments);
    rc = sqlite3_step(stmt);
  }
  sqlite3_finalize(stmt);
  *has = rc == SQLITE_ROW;
  if (rc == SQLITE_ROW || rc == SQLITE_DONE) return SQLITE_OK;
  if (rc == SQLITE_NOMEM || rc == SQLITE_INTERRUPT) return rc;
  char *call = sqlite3_mprintf("SELECT \"%w\"(%s)", name,
                               arguments == 2 ? "NULL, NULL" : "");
  if (!call) return SQLITE_NOMEM;
  rc = sqlite3_prepare_v2(db, call, -1, &stmt, NULL);
  sqlite3_free(call);
  sqlite3_finalize(stmt);
  *has = rc == SQLITE_OK;
  return rc == SQLITE_NOMEM || rc == SQLITE_INTERRUPT ? rc : SQLITE_OK;
}

int bh_function(bh_connection *c, const char *name, int arguments, int flags,
                void (*function)(sqlite3_context *, int, sqlite3_value **)) {
  c->references++;   /* taken back by SQLite, also when it refuses */
  return sqlite3_create_function_v2(c->db, name, arguments,
                                    flags | SQLITE_UTF8, c, function, NULL,
                                    NULL, bh_connection_unref);
}

int bh_module(bh_connection *c, const char *name,
              const sqlite3_module *module) {
  c->references++;
  return sqlite3_create_module_v2(c->db, name, module, c, bh_connection_unref);
}

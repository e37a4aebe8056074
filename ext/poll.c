/*
** Stopping what takes long.
**
** SQLite looks at sqlite3_interrupt and at the progress handler between the
** steps of its own programs.  While nn works, none of those run; so a statement
** is run for its own sake, SELECT 1, and if that is stopped, so is whoever
** asked.  It sees both kinds of interruption on every version of SQLite, and
** costs about a microsecond.  The statement lives within the call: one that was
** kept would stand in the way of sqlite3_close.
**
** A progress handler that is called every N steps of a program counts those of
** this statement, so it is called after some number of polls, not at each.
*/
#include "ext_int.h"
SQLITE_EXTENSION_INIT3

int bh_poll(void *connection) {
  sqlite3 *db = ((bh_connection *)connection)->db;
  return sqlite3_exec(db, "SELECT 1", NULL, NULL, NULL) == SQLITE_INTERRUPT;
}

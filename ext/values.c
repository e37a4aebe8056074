/*
** What every function asks of its arguments: the name of a type, for a message,
** and a name or a path as a C string.
**
** A TEXT value may hold a NUL, behind which a C string ends.  A name that is
** cut there could stand for something else than was written, so it is refused
** wherever text leaves SQLite for C.
*/
#include <string.h>

#include "ext_int.h"
SQLITE_EXTENSION_INIT3

const char *bh_type_name(int type) {
  switch (type) {
    case SQLITE_INTEGER: return "INTEGER";
    case SQLITE_FLOAT: return "REAL";
    case SQLITE_TEXT: return "TEXT";
    case SQLITE_BLOB: return "BLOB";
    default: return "NULL";
  }
}

int bh_text(sqlite3_value *value, const char **out) {
  *out = (const char *)sqlite3_value_text(value);
  if (!*out) return SQLITE_NOMEM;
  return strlen(*out) == (size_t)sqlite3_value_bytes(value) ? SQLITE_OK
                                                            : SQLITE_MISMATCH;
}

/*
** What every function asks of its arguments: the name of a type, for a message,
** a name or a path as a C string, and the bytes of an image.
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

/* A BLOB's length is asked for first: a zeroblob that could not be made real
** has lost it afterwards. */
nn_status bh_image(sqlite3_value *value, const void **bytes, sqlite3_int64 *n,
                   nn_error *err) {
  int type = sqlite3_value_type(value);
  err->status = NN_OK;
  err->text[0] = 0;
  if (type != SQLITE_BLOB) {
    sqlite3_snprintf(sizeof(err->text), err->text,
                     "argument 1 (image) must be a BLOB, not %s%s",
                     bh_type_name(type), type == SQLITE_TEXT
                     ? "; readfile('...') gives the bytes of a file" : "");
    return err->status = NN_PICTURE;
  }
  *n = sqlite3_value_bytes(value);
  *bytes = *n ? sqlite3_value_blob(value) : "";
  return *bytes ? NN_OK : (err->status = NN_NOMEM);
}

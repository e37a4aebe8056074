/*
** Memory and errors between nn and SQLite.
**
** nn reports a status and a sentence; SQLite wants a result code and a message.
** This file is the one place where the first becomes the second, so that every
** function fails in the same words: "img_hash: " and then nn's sentence.  Only
** two of nn's statuses are more than SQLITE_ERROR to SQLite: out of memory, and
** a picture or blob too large.
**
** It also holds the allocator that nn is given: SQLite's own, so that memory
** counts in sqlite3_memory_used and obeys the host's heap limit.
*/
#include <stdarg.h>
#include <string.h>

#include "ext_int.h"
SQLITE_EXTENSION_INIT3

static void *errors_alloc(void *context, size_t n) {
  (void)context;
  return sqlite3_malloc64(n);
}

static void errors_release(void *context, void *p) {
  (void)context;
  sqlite3_free(p);
}

const nn_memory bh_memory = {errors_alloc, errors_release, NULL};

int bh_code(nn_status status) {
  switch (status) {
    case NN_OK: return SQLITE_OK;
    case NN_NOMEM: return SQLITE_NOMEM;
    case NN_TOO_LARGE: return SQLITE_TOOBIG;
    case NN_INTERRUPTED: return SQLITE_INTERRUPT;
    case NN_ARGUMENT:
    case NN_PICTURE:
    case NN_MODEL:
    case NN_NO_BLAS: break;
  }
  return SQLITE_ERROR;
}

/* Make text, which is freed, the error message; NULL is out of memory. */
static void errors_result(sqlite3_context *context, char *text, int code) {
  if (!text) {
    sqlite3_result_error_nomem(context);
    return;
  }
  sqlite3_result_error(context, text, -1);
  if (code != SQLITE_ERROR) sqlite3_result_error_code(context, code);
  sqlite3_free(text);
}

void bh_result_error(sqlite3_context *context, const char *function,
                     const nn_error *err) {
  if (err->status == NN_NOMEM) {
    sqlite3_result_error_nomem(context);
    return;
  }
  errors_result(context, sqlite3_mprintf("%s: %s", function, err->text),
                bh_code(err->status));
}

void bh_result_text_error(sqlite3_context *context, const char *format, ...) {
  va_list args;
  va_start(args, format);
  errors_result(context, sqlite3_vmprintf(format, args), SQLITE_ERROR);
  va_end(args);
}

void bh_result_message(sqlite3_context *context, const char *function, int rc,
                       char *message) {
  if (rc == SQLITE_NOMEM || !message) {
    sqlite3_result_error_nomem(context);
  } else {
    errors_result(context, sqlite3_mprintf("%s: %s", function, message), rc);
  }
  sqlite3_free(message);
}

/* Make text, which the table then owns, its message. */
static int errors_table(sqlite3_vtab *table, char *text, int code) {
  sqlite3_free(table->zErrMsg);
  table->zErrMsg = text;
  return text ? code : SQLITE_NOMEM;
}

int bh_table_error(sqlite3_vtab *table, const char *format, ...) {
  va_list args;
  va_start(args, format);
  char *text = sqlite3_vmprintf(format, args);
  va_end(args);
  return errors_table(table, text, SQLITE_ERROR);
}

int bh_table_nn_error(sqlite3_vtab *table, const char *function,
                      const nn_error *err) {
  if (err->status == NN_NOMEM) return SQLITE_NOMEM;
  return errors_table(table, sqlite3_mprintf("%s: %s", function, err->text),
                      bh_code(err->status));
}

int bh_table_report(sqlite3_vtab *table, const char *function, int rc,
                    char *message) {
  size_t n = strlen(function);
  if (!message) return rc;
  /* A search inside a search has put the name before it already. */
  int named = strncmp(message, function, n) == 0 &&
              strncmp(message + n, ": ", 2) == 0;
  int made = bh_table_error(table, "%s%s%s", named ? "" : function,
                            named ? "" : ": ", message);
  sqlite3_free(message);
  return made == SQLITE_NOMEM ? made : rc;
}

int bh_table_name(sqlite3_vtab *table, const char *function,
                  sqlite3_value *value, const char *name, int optional,
                  const char **out) {
  int type = value ? sqlite3_value_type(value) : SQLITE_NULL;
  *out = NULL;
  if (optional && type == SQLITE_NULL) return SQLITE_OK;
  if (type != SQLITE_TEXT)
    return bh_table_error(table, "%s: argument %s must be TEXT", function,
                          name);
  int rc = bh_text(value, out);
  if (rc == SQLITE_MISMATCH)
    return bh_table_error(table, "%s: argument %s has a NUL in it", function,
                          name);
  return rc;
}

/*
** A query as an argument:
**
**   SELECT key, code FROM img_hash_each('SELECT id, image FROM photos');
**
** The text comes from the caller and runs with the caller's rights, which is
** why the functions that take one are DIRECTONLY.  Being asked for rows, it
** should give rows and do nothing else, so it must be a single statement that
** only reads.  SQLite calls BEGIN, COMMIT, ATTACH and most pragmas read-only
** too, and there are pragmas of any number of columns; therefore the first word
** must be one that a query begins with.  WITH may begin an INSERT as well,
** which is not read-only and refused for that.
**
** A query may call the function that runs it.  One that is handed its own text
** as a parameter would do so for ever, so the depth is bounded.
*/
#include <string.h>

#include "inner.h"
SQLITE_EXTENSION_INIT3

/* Past white space, comments and semicolons. */
static const char *inner_skip(const char *p) {
  for (;;) {
    if (*p && strchr(" \t\n\f\r;", *p)) {
      p++;
    } else if (p[0] == '-' && p[1] == '-') {
      while (*p && *p != '\n') p++;
    } else if (p[0] == '/' && p[1] == '*') {
      const char *end = strstr(p + 2, "*/");
      p = end ? end + 2 : p + strlen(p);
    } else {
      return p;
    }
  }
}

static int inner_begins(const char *p, const char *word) {
  int n = (int)strlen(word);
  if (sqlite3_strnicmp(p, word, n) != 0) return 0;
  unsigned char next = (unsigned char)p[n];
  return next < 0x80 && !(next >= '0' && next <= '9') && next != '_' &&
         next != '$' && !((next | 0x20) >= 'a' && (next | 0x20) <= 'z');
}

static int inner_is_query(const char *p) {
  p = inner_skip(p);
  return inner_begins(p, "SELECT") || inner_begins(p, "VALUES") ||
         inner_begins(p, "WITH");
}

/* What is wrong with a statement that could be prepared, or NULL with *wrong
** set where there is no memory to say it. */
static char *inner_complaint(const bh_inner_form *form, sqlite3_stmt *stmt,
                             const char *text, const char *tail, int count,
                             int *wrong) {
  *wrong = 1;
  if (!inner_is_query(text) || !sqlite3_stmt_readonly(stmt))
    return sqlite3_mprintf("argument %s must be a query that only reads: "
                           "SELECT, VALUES or WITH", form->name);
  if (*inner_skip(tail))
    return sqlite3_mprintf("argument %s has more than one statement",
                           form->name);
  if (sqlite3_column_count(stmt) != form->columns)
    return sqlite3_mprintf("argument %s must give %d columns, %s, not %d",
                           form->name, form->columns, form->meaning,
                           sqlite3_column_count(stmt));
  if (sqlite3_bind_parameter_count(stmt) != count)
    return sqlite3_mprintf("argument %s has %d parameters, but %d values are "
                           "given for them", form->name,
                           sqlite3_bind_parameter_count(stmt), count);
  *wrong = 0;
  return NULL;
}

static int inner_text(const bh_inner_form *form, sqlite3_value *sql,
                      const char **text, char **error) {
  int rc = SQLITE_ERROR;
  if (sqlite3_value_type(sql) != SQLITE_TEXT) {
    *error = sqlite3_mprintf("argument %s must be TEXT, not %s", form->name,
                             bh_type_name(sqlite3_value_type(sql)));
    return rc;
  }
  rc = bh_text(sql, text);
  if (rc == SQLITE_MISMATCH) {
    *error = sqlite3_mprintf("argument %s has a NUL in it", form->name);
    rc = SQLITE_ERROR;
  }
  return rc;
}

/* "the query: " and what SQLite says. */
static void inner_fail(bh_connection *c, int rc, char **error) {
  *error = rc == SQLITE_NOMEM || rc == SQLITE_INTERRUPT
               ? NULL
               : sqlite3_mprintf("the query: %s", sqlite3_errmsg(c->db));
}

int bh_inner_prepare(bh_connection *c, const bh_inner_form *form,
                     sqlite3_value *sql, sqlite3_value *const *arguments,
                     int count, sqlite3_stmt **out, char **error) {
  const char *text, *tail;
  sqlite3_stmt *stmt = NULL;
  int wrong = 0;
  *out = NULL;
  *error = NULL;
  int rc = inner_text(form, sql, &text, error);
  if (rc != SQLITE_OK) return rc;
  while (count > 0 && !arguments[count - 1]) count--;
  rc = sqlite3_prepare_v2(c->db, text, -1, &stmt, &tail);
  if (rc != SQLITE_OK) {
    inner_fail(c, rc, error);
    return rc;
  }
  if (!stmt) {
    *error = sqlite3_mprintf("argument %s is empty", form->name);
    return SQLITE_ERROR;
  }
  *error = inner_complaint(form, stmt, text, tail, count, &wrong);
  if (wrong) rc = *error ? SQLITE_ERROR : SQLITE_NOMEM;
  for (int i = 0; rc == SQLITE_OK && i < count; i++)
    if (arguments[i]) rc = sqlite3_bind_value(stmt, i + 1, arguments[i]);
  if (rc != SQLITE_OK) {
    sqlite3_finalize(stmt);
    return rc;
  }
  *out = stmt;
  return SQLITE_OK;
}

int bh_inner_step(bh_connection *c, sqlite3_stmt *stmt, char **error) {
  *error = NULL;
  if (c->inner_depth == BH_INNER_DEPTH) {
    *error = sqlite3_mprintf("queries in arguments are nested more than %d "
                             "deep", BH_INNER_DEPTH);
    return SQLITE_ERROR;
  }
  c->inner_depth++;
  int rc = sqlite3_step(stmt);
  c->inner_depth--;
  if (rc != SQLITE_ROW && rc != SQLITE_DONE) inner_fail(c, rc, error);
  return rc;
}

int bh_inner_is_written(bh_connection *c) {
  sqlite3_stmt *stmt = NULL;
  while ((stmt = sqlite3_next_stmt(c->db, stmt)) != NULL)
    if (sqlite3_stmt_busy(stmt) && !sqlite3_stmt_readonly(stmt)) return 1;
  return 0;
}

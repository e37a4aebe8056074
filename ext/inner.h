/*
** The query that an argument of a table-valued function holds: img_hash_each
** and its kind run one, row by row, on the connection that called them.
*/
#ifndef BINHASH_INNER_H
#define BINHASH_INNER_H

#include "ext_int.h"

/* How deep such queries may call each other. */
#define BH_INNER_DEPTH 4

/* What a query must be. */
typedef struct bh_inner_form {
  const char *name;       /* of the argument: "sql" */
  int columns;
  const char *meaning;    /* of the columns: "a key and an image" */
} bh_inner_form;

/*
** Prepare the query: one statement that only reads and begins with SELECT,
** VALUES or WITH, of form->columns columns.  arguments[i] is bound to ?i+1;
** pointers that are NULL behind the last are none, and there must be as many as
** the query has parameters.  On error *out is NULL, and *error is a message for
** sqlite3_free, or NULL where the code says all.  The caller finalises *out
** before its cursor ends.
*/
int bh_inner_prepare(bh_connection *connection, const bh_inner_form *form,
                     sqlite3_value *sql, sqlite3_value *const *arguments,
                     int count, sqlite3_stmt **out, char **error);
/* SQLITE_ROW, SQLITE_DONE, or an error as above. */
int bh_inner_step(bh_connection *connection, sqlite3_stmt *stmt, char **error);
/* Does a statement that is running on this connection write? */
int bh_inner_is_written(bh_connection *connection);

#endif

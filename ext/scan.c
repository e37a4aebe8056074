/*
** The inner scan of binhash_topk, binhash_pairs and binhash_search: every code
** of a table or view, once.
**
** It is one statement,
**
**   SELECT binhash_topk_add(t.rowid, t."code", t."key")
**   FROM "main"."photos" AS t
**
** whose private aggregate (scan_step.c) gives each row to a function of the
** caller's.  An aggregate, because SQLite then runs the whole loop inside one
** sqlite3_step, which costs half of stepping from row to row.  A scan within a
** scan, as of a view that searches, puts back the state that it found.  Names
** are quoted and columns qualified by the table, or SQLite would read a column
** that does not exist as a string.
**
** What identifies a row is its rowid, reached by whichever of its three names
** no column has taken.  Views, WITHOUT ROWID tables and tables whose columns
** took all three have none; their rows are numbered in the order of the scan,
** unless the caller is content with a column that is called rowid.
**
** If only some rowids are wanted, they are looked up one by one where that
** seems cheaper than the scan, else the scan passes over the others.
**
** Features are many bytes, and wanted of few rows.  Those of an ordinary table
** are fetched by rowid when the scan is over, which can then run on an index
** that has the codes alone.  What has no rowids, and virtual tables, for which
** a look-up may be a scan, hand them over with the codes.
**
** The scan may be closed, or run again, at any time; it holds nothing but its
** prepared statements between runs.  Not here: arguments, order and rows of the
** result, which are topk.c, pairs.c and fine.c.
*/
#include <stdlib.h>
#include <string.h>

#include "scan.h"
SQLITE_EXTENSION_INIT3

/* Rowids that are looked up without asking how many rows there are, how many
** times fewer than rows they must be beyond that, and the steps of SQLite's
** machine above which one lookup was a scan (of a virtual table). */
#define SCAN_FEW 16
#define SCAN_SPARSE 16
#define SCAN_LOOKUP_STEPS 1000

/* Searches of views that search themselves would use up the C stack. */
#define SCAN_DEPTH_MAX 16

/* A search is done again when the schema has changed, but not for ever. */
#define SCAN_ATTEMPTS 4

/* What a source names. */
enum {
  SCAN_TABLE, SCAN_COLUMN, SCAN_SCHEMA, SCAN_KEY, SCAN_FEATURES, SCAN_NAMES
};

struct bh_scan {
  sqlite3 *db;
  bh_connection *connection;
  char *names[SCAN_NAMES];   /* but for the first two, they may be NULL */
  const char *rowid;   /* what the rowid is called here, NULL without one */
  int rowid_column;    /* a column may stand for it, */
  int is_column;       /* and does: its values may be anything */
  int fetches;         /* features are looked up by rowid */
  sqlite3_stmt *all;
  sqlite3_stmt *one, *features;   /* prepared when they are needed */
};

/* Opening ----------------------------------------------------------------- */

/* The connection's last error, as a code and a message that is ours to free.
** Some codes say all there is to say. */
static int scan_error(sqlite3 *db, int rc, char **error) {
  if (rc == SQLITE_NOMEM || rc == SQLITE_INTERRUPT) return rc;
  *error = sqlite3_mprintf("%s", sqlite3_errmsg(db));
  return *error ? rc : SQLITE_NOMEM;
}

/* Prepare the statement in sql, which is freed; NULL is out of memory. */
static int scan_prepare(sqlite3 *db, char *sql, sqlite3_stmt **out,
                        char **error) {
  if (!sql) return SQLITE_NOMEM;
  int rc = sqlite3_prepare_v2(db, sql, -1, out, NULL);
  sqlite3_free(sql);
  return rc == SQLITE_OK ? rc : scan_error(db, rc, error);
}

/* "schema". or nothing, for a name in SQL. */
static char *scan_schema_prefix(const bh_scan *scan) {
  const char *schema = scan->names[SCAN_SCHEMA];
  return schema ? sqlite3_mprintf("\"%w\".", schema) : sqlite3_mprintf("");
}

static const char *const scan_rowid_names[3] = {"rowid", "_rowid_", "oid"};

/* What the columns are: which of the names of the rowid are taken (bit i), and
** whether the columns asked for are there. */
typedef struct scan_columns {
  int count, taken, column, key, features;
} scan_columns;

/* Is a column called like one of the source's, if the source names it? */
static int scan_is_named(const bh_scan *scan, int which, const char *column) {
  const char *name = scan->names[which];
  return name && sqlite3_stricmp(column, name) == 0;
}

static int scan_read_columns(bh_scan *scan, scan_columns *found,
                             char **error) {
  sqlite3_stmt *stmt = NULL;
  char *schema = scan_schema_prefix(scan);
  int rc = scan_prepare(scan->db, !schema ? NULL : sqlite3_mprintf(
                            "PRAGMA %stable_xinfo(\"%w\")", schema,
                            scan->names[SCAN_TABLE]), &stmt, error);
  sqlite3_free(schema);
  if (rc != SQLITE_OK) return rc;
  memset(found, 0, sizeof(*found));
  while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
    const char *name = (const char *)sqlite3_column_text(stmt, 1);
    if (!name) continue;
    found->count++;
    for (int i = 0; i < 3; i++)
      if (sqlite3_stricmp(name, scan_rowid_names[i]) == 0)
        found->taken |= 1 << i;
    found->column |= scan_is_named(scan, SCAN_COLUMN, name);
    found->key |= scan_is_named(scan, SCAN_KEY, name);
    found->features |= scan_is_named(scan, SCAN_FEATURES, name);
  }
  if (rc != SQLITE_DONE) rc = scan_error(scan->db, rc, error);
  sqlite3_finalize(stmt);
  return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/*
** The name by which the rowid is reached.  SQLite answers for a column that
** does not exist only if it is a name of the rowid and the table has one; a
** view has no columns in its eyes.
*/
static const char *scan_find_rowid(const bh_scan *scan,
                                   const scan_columns *found) {
  for (int i = 0; i < 3; i++)
    if (!(found->taken & 1 << i))
      return sqlite3_table_column_metadata(scan->db, scan->names[SCAN_SCHEMA],
                                           scan->names[SCAN_TABLE],
                                           scan_rowid_names[i], NULL, NULL,
                                           NULL, NULL, NULL)
                     == SQLITE_OK
                 ? scan_rowid_names[i]
                 : NULL;
  return NULL;
}

/* A column that is not there, unless it is the rowid by one of its names, or
** not asked for. */
static int scan_check_column(const bh_scan *scan, int which, int found,
                             const char *argument, char **error) {
  const char *name = scan->names[which];
  if (found || !name) return SQLITE_OK;
  for (int i = 0; scan->rowid && i < 3; i++)
    if (sqlite3_stricmp(name, scan_rowid_names[i]) == 0) return SQLITE_OK;
  *error = sqlite3_mprintf("no such column: %s.%s (argument %s)",
                           scan->names[SCAN_TABLE], name, argument);
  return *error ? SQLITE_ERROR : SQLITE_NOMEM;
}

/* Every schema has a table of this name, in which it is described. */
static int scan_check_schema(const bh_scan *scan, char **error) {
  if (!scan->names[SCAN_SCHEMA]) return SQLITE_OK;
  int rc = sqlite3_table_column_metadata(scan->db, scan->names[SCAN_SCHEMA],
                                         "sqlite_schema", NULL, NULL, NULL,
                                         NULL, NULL, NULL);
  if (rc == SQLITE_OK) return rc;
  if (rc != SQLITE_ERROR) return scan_error(scan->db, rc, error);
  *error = sqlite3_mprintf("no such schema: %s (argument schema)",
                           scan->names[SCAN_SCHEMA]);
  return *error ? SQLITE_ERROR : SQLITE_NOMEM;
}

static int scan_is_in(const bh_scan *scan, const char *schema) {
  if (scan->names[SCAN_SCHEMA])
    return sqlite3_stricmp(schema, scan->names[SCAN_SCHEMA]) == 0;
  return sqlite3_table_column_metadata(scan->db, schema,
                                       scan->names[SCAN_TABLE], NULL, NULL,
                                       NULL, NULL, NULL, NULL) == SQLITE_OK;
}

/* The schema of the table, for sqlite3_free; NULL where there is none.  A bare
** name means a table of temp, then of main, then of what was attached first. */
static int scan_find_schema(bh_scan *scan, char **schema, char **error) {
  sqlite3_stmt *stmt = NULL;
  int rc = scan_prepare(scan->db, sqlite3_mprintf(
                            "SELECT name FROM pragma_database_list "
                            "ORDER BY name <> 'temp', seq"), &stmt, error);
  *schema = NULL;
  while (rc == SQLITE_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
    const char *name = (const char *)sqlite3_column_text(stmt, 0);
    rc = name ? SQLITE_OK : SQLITE_NOMEM;
    if (rc != SQLITE_OK || !scan_is_in(scan, name)) continue;
    *schema = sqlite3_mprintf("%s", name);
    if (!*schema) rc = SQLITE_NOMEM;
    break;
  }
  if (rc != SQLITE_OK && rc != SQLITE_DONE)
    rc = scan_error(scan->db, rc, error);
  sqlite3_finalize(stmt);
  return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

/* Is it an ordinary table, in which a look-up by rowid is one?  Virtual tables
** have no root page, or are not in the schema at all. */
static int scan_is_ordinary(bh_scan *scan, int *ordinary, char **error) {
  sqlite3_stmt *stmt = NULL;
  char *schema = NULL;
  *ordinary = 0;
  int rc = scan_find_schema(scan, &schema, error);
  if (rc != SQLITE_OK || !schema) return rc;
  rc = scan_prepare(scan->db, sqlite3_mprintf(
                        "SELECT rootpage > 0 FROM \"%w\".sqlite_schema WHERE "
                        "type = 'table' AND name = %Q COLLATE NOCASE",
                        schema, scan->names[SCAN_TABLE]), &stmt, error);
  sqlite3_free(schema);
  if (rc != SQLITE_OK) return rc;
  rc = sqlite3_step(stmt);
  *ordinary = rc == SQLITE_ROW && sqlite3_column_int(stmt, 0);
  rc = rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK
                                             : scan_error(scan->db, rc, error);
  sqlite3_finalize(stmt);
  return rc;
}

static int scan_check_columns(bh_scan *scan, const scan_columns *found,
                              char **error) {
  int rc = scan_check_column(scan, SCAN_COLUMN, found->column,
                             scan->names[SCAN_FEATURES] ? "code_column"
                                                        : "column", error);
  if (rc == SQLITE_OK)
    rc = scan_check_column(scan, SCAN_FEATURES, found->features,
                           "feature_column", error);
  if (rc == SQLITE_OK)
    rc = scan_check_column(scan, SCAN_KEY, found->key, "key_column", error);
  return rc;
}

static int scan_describe(bh_scan *scan, char **error) {
  scan_columns found;
  const char *schema = scan->names[SCAN_SCHEMA];
  int rc = scan_check_schema(scan, error);
  if (rc == SQLITE_OK) rc = scan_read_columns(scan, &found, error);
  if (rc != SQLITE_OK) return rc;
  if (found.count == 0) {
    *error = sqlite3_mprintf("no such table: %s%s%s (argument table)",
                             schema ? schema : "", schema ? "." : "",
                             scan->names[SCAN_TABLE]);
    return *error ? SQLITE_ERROR : SQLITE_NOMEM;
  }
  scan->rowid = scan_find_rowid(scan, &found);
  scan->is_column = !scan->rowid && scan->rowid_column && found.taken & 1;
  if (scan->is_column) scan->rowid = scan_rowid_names[0];
  rc = scan_check_columns(scan, &found, error);
  if (rc == SQLITE_OK && scan->names[SCAN_FEATURES] && scan->rowid &&
      !scan->is_column)
    rc = scan_is_ordinary(scan, &scan->fetches, error);
  return rc;
}

/* Prepare what, say the aggregate of all columns, over the rows that where
** leaves. */
static int scan_prepare_select(bh_scan *scan, char *what, const char *where,
                               sqlite3_stmt **out, char **error) {
  char *schema = scan_schema_prefix(scan);
  char *sql = !schema || !what
                  ? NULL
                  : sqlite3_mprintf("SELECT %s FROM %s\"%w\" AS t%s%s%s", what,
                                    schema, scan->names[SCAN_TABLE],
                                    where ? " WHERE t." : "",
                                    where ? where : "", where ? " = ?1" : "");
  sqlite3_free(schema);
  sqlite3_free(what);
  return scan_prepare(scan->db, sql, out, error);
}

/* The column as a further item of a list, or nothing. */
static char *scan_item(const bh_scan *scan, int which) {
  const char *name = scan->names[which];
  return name ? sqlite3_mprintf(", t.\"%w\"", name) : sqlite3_mprintf("");
}

/* The call, with as many arguments as are wanted. */
static char *scan_aggregate(const bh_scan *scan) {
  char *call = NULL;
  char *key = scan_item(scan, SCAN_KEY);
  char *features = scan_item(scan, SCAN_FEATURES);
  int carries = scan->names[SCAN_FEATURES] && !scan->fetches;
  if (key && features)
    call = sqlite3_mprintf(BH_SCAN_FUNCTION "(%s%s, t.\"%w\"%s%s)",
                           scan->rowid ? "t." : "NULL",
                           scan->rowid ? scan->rowid : "",
                           scan->names[SCAN_COLUMN],
                           scan->fetches ? "" : carries && !*key ? ", NULL"
                                                                 : key,
                           carries ? features : "");
  sqlite3_free(key);
  sqlite3_free(features);
  return call;
}

static void scan_names(const bh_source *source, const char **names) {
  names[SCAN_TABLE] = source->table;
  names[SCAN_COLUMN] = source->column;
  names[SCAN_SCHEMA] = source->schema;
  names[SCAN_KEY] = source->key;
  names[SCAN_FEATURES] = source->features;
}

/* Find out what the source is and prepare to read it. */
static int scan_open(bh_connection *connection, const bh_source *source,
                     bh_scan **out, char **error) {
  const char *names[SCAN_NAMES];
  *out = NULL;
  bh_scan *scan = sqlite3_malloc64(sizeof(*scan));
  if (!scan) return SQLITE_NOMEM;
  memset(scan, 0, sizeof(*scan));
  scan->db = connection->db;
  scan->connection = connection;
  scan->rowid_column = source->rowid_column;
  scan_names(source, names);
  int rc = SQLITE_OK;
  for (int i = 0; i < SCAN_NAMES; i++)
    if (names[i] && !(scan->names[i] = sqlite3_mprintf("%s", names[i])))
      rc = SQLITE_NOMEM;
  if (rc == SQLITE_OK) rc = scan_describe(scan, error);
  if (rc == SQLITE_OK)
    rc = scan_prepare_select(scan, scan_aggregate(scan), NULL, &scan->all,
                             error);
  if (rc != SQLITE_OK) {
    bh_scan_close(scan);
    return rc;
  }
  *out = scan;
  return SQLITE_OK;
}

void bh_scan_close(bh_scan *scan) {
  if (!scan) return;
  sqlite3_finalize(scan->all);
  sqlite3_finalize(scan->one);
  sqlite3_finalize(scan->features);
  for (int i = 0; i < SCAN_NAMES; i++) sqlite3_free(scan->names[i]);
  sqlite3_free(scan);
}

static int scan_is_of(const bh_scan *scan, const bh_source *source) {
  const char *names[SCAN_NAMES];
  scan_names(source, names);
  if (source->rowid_column != scan->rowid_column) return 0;
  for (int i = 0; i < SCAN_NAMES; i++) {
    if (!names[i] != !scan->names[i]) return 0;
    if (names[i] && strcmp(names[i], scan->names[i]) != 0) return 0;
  }
  return 1;
}

/* Has the schema changed since it was opened?  What its runs added after that
** may be numbered wrongly. */
static int scan_is_stale(const bh_scan *scan) {
  sqlite3_stmt *const stmts[] = {scan->all, scan->one, scan->features};
  for (int i = 0; i < 3; i++)
    if (stmts[i] &&
        sqlite3_stmt_status(stmts[i], SQLITE_STMTSTATUS_REPREPARE, 0) > 0)
      return 1;
  return 0;
}

int bh_scan_has_rowids(const bh_scan *scan) { return scan->rowid != NULL; }

int bh_scan_fetches(const bh_scan *scan) { return scan->fetches; }

/* Running ----------------------------------------------------------------- */

/* One run of a statement that adds to the state. */
static int scan_run_statement(bh_scan *scan, sqlite3_stmt *stmt,
                              bh_scan_state *state, char **error) {
  bh_scan_state *outer = scan->connection->scanning;
  scan->connection->scanning = state;
  int rc = sqlite3_step(stmt);
  scan->connection->scanning = outer;
  rc = rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK
                                             : scan_error(scan->db, rc, error);
  sqlite3_reset(stmt);
  return rc;
}

/* Is the list so long that one scan is cheaper?  The largest rowid, which costs
** nothing to find, stands for the number of rows. */
static int scan_list_is_long(bh_scan *scan, sqlite3_int64 count, int *is_long,
                             char **error) {
  *is_long = 0;
  if (count <= SCAN_FEW) return SQLITE_OK;
  sqlite3_stmt *stmt = NULL;
  int rc = scan_prepare_select(scan, sqlite3_mprintf("max(t.%s)", scan->rowid),
                               NULL, &stmt, error);
  if (rc != SQLITE_OK) return rc;
  rc = sqlite3_step(stmt);
  if (rc == SQLITE_ROW) {
    *is_long = count >= sqlite3_column_int64(stmt, 0) / SCAN_SPARSE;
    rc = SQLITE_OK;
  } else {
    rc = scan_error(scan->db, rc, error);
  }
  sqlite3_finalize(stmt);
  return rc;
}

/*
** Look the listed rows up.  The first lookup shows whether it is one: a virtual
** table may visit every row for it, and then the rest of the list is left in
** the target for a scan.
*/
static int scan_lookup(bh_scan *scan, bh_scan_state *state, char **error) {
  bh_target *target = &state->target;
  int rc = SQLITE_OK;
  if (!scan->one)
    rc = scan_prepare_select(scan, scan_aggregate(scan), scan->rowid,
                             &scan->one, error);
  for (int first = 1; rc == SQLITE_OK && target->rowid_count > 0; first = 0) {
    const sqlite3_int64 *rowid = target->rowids;
    if (first) sqlite3_stmt_status(scan->one, SQLITE_STMTSTATUS_VM_STEP, 1);
    rc = sqlite3_bind_int64(scan->one, 1, *rowid);
    if (rc == SQLITE_OK) rc = scan_run_statement(scan, scan->one, state, error);
    target->rowids++;
    target->rowid_count--;
    if (first && sqlite3_stmt_status(scan->one, SQLITE_STMTSTATUS_VM_STEP, 0) >
                     SCAN_LOOKUP_STEPS)
      break;
  }
  return rc;
}

int bh_scan_run(bh_scan *scan, const bh_target *target, char **error) {
  bh_scan_state state;
  int rc = SQLITE_OK, is_long = 0;
  *error = NULL;
  memset(&state, 0, sizeof(state));
  state.target = *target;
  state.numbered = !scan->rowid;
  state.checked = scan->is_column;
  if (state.numbered) state.target.rowids = NULL;
  state.plain = !state.numbered && !state.checked && !state.target.rowids &&
                !state.target.integers && !target->keep_keys &&
                (scan->fetches || !scan->names[SCAN_FEATURES]);
  if (state.target.rowids) {
    rc = scan_list_is_long(scan, target->rowid_count, &is_long, error);
    if (rc == SQLITE_OK && !is_long) rc = scan_lookup(scan, &state, error);
  }
  if (rc == SQLITE_OK &&
      (!state.target.rowids || state.target.rowid_count > 0))
    rc = scan_run_statement(scan, scan->all, &state, error);
  sqlite3_free(state.key);
  return rc;
}

/* Fetching ----------------------------------------------------------------- */

static int scan_prepare_features(bh_scan *scan, char **error) {
  char *what = NULL, *key = scan_item(scan, SCAN_KEY);
  if (key)
    what = sqlite3_mprintf("t.\"%w\"%s", scan->names[SCAN_FEATURES], key);
  sqlite3_free(key);
  return scan_prepare_select(scan, what, scan->rowid, &scan->features, error);
}

int bh_scan_fetch(bh_scan *scan, sqlite3_int64 rowid, sqlite3_stmt **row,
                  char **error) {
  int rc = SQLITE_OK;
  *row = NULL;
  *error = NULL;
  if (!scan->features) rc = scan_prepare_features(scan, error);
  if (rc != SQLITE_OK) return rc;
  sqlite3_reset(scan->features);
  rc = sqlite3_bind_int64(scan->features, 1, rowid);
  if (rc == SQLITE_OK) rc = sqlite3_step(scan->features);
  if (rc == SQLITE_ROW) *row = scan->features;
  return rc == SQLITE_ROW || rc == SQLITE_DONE
             ? SQLITE_OK
             : scan_error(scan->db, rc, error);
}

void bh_scan_fetched(bh_scan *scan) { sqlite3_reset(scan->features); }

/* Searching ---------------------------------------------------------------- */

/* One attempt, *again when it is to be followed by another. */
static int scan_attempt(const bh_searcher *searcher, const bh_source *source,
                        bh_scan **kept, int *again) {
  char *error = NULL;
  int rc = SQLITE_OK, fresh = !*kept || !scan_is_of(*kept, source);
  *again = 0;
  if (fresh) {
    bh_scan_close(*kept);
    rc = scan_open(searcher->connection, source, kept, &error);
  }
  if (rc != SQLITE_OK)
    return bh_table_report(searcher->table, searcher->name, rc, error);
  rc = searcher->run(searcher->context, *kept);
  /* What a kept scan cannot do may be the work of a schema that is gone. */
  if (rc == SQLITE_OK || rc == SQLITE_ERROR)
    *again = scan_is_stale(*kept) || (rc == SQLITE_ERROR && !fresh);
  return rc;
}

int bh_scan_search(const bh_searcher *searcher, const bh_source *source,
                   bh_scan **kept) {
  int rc = SQLITE_OK, again = 1;
  if (*searcher->depth >= SCAN_DEPTH_MAX)
    return bh_table_error(searcher->table, "%s: searches are nested more than "
                          "%d deep", searcher->name, SCAN_DEPTH_MAX);
  ++*searcher->depth;
  for (int attempt = 1; again; attempt++) {
    rc = scan_attempt(searcher, source, kept, &again);
    if (!again || attempt == SCAN_ATTEMPTS) break;
    bh_scan_close(*kept);
    *kept = NULL;
  }
  --*searcher->depth;
  return rc;
}

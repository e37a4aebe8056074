/*
** SELECT binhash_triggers('photo_codes' [, schema]): the triggers that keep an
** index with content= true, as text to be looked at and run.
**
**   photo_codes_before_insert   names the rows that are in the new one's way
**   photo_codes_insert          takes the new row, and drops those that went
**   photo_codes_delete          drops the row
**   photo_codes_before_update   the same as for an insertion,
**   photo_codes_update          of the rowid, the code, or a UNIQUE column
**
** index_content.c says what 'replacing' and 'replaced' do.  A row is in the way
** if it equals the new one in all columns of a UNIQUE index, by the collation
** of that index; an index with a WHERE is taken without it, which names too
** many rows and does no harm.  Names are written without their schema, since a
** trigger knows its own alone, but for the table that it is on.
**
** The text is made from what the database says of the content table now; after
** another UNIQUE index has been made, it is to be made again.
*/
#include <string.h>

#include "ext_int.h"
SQLITE_EXTENSION_INIT3

/* The index that a name means: of temp, of main, or the first there is. */
static bh_index *triggers_find(bh_connection *c, const char *name,
                               const char *schema) {
  bh_index *found = NULL;
  int best = 0;
  for (bh_index *i = c->indexes; i; i = i->next) {
    int rank = sqlite3_stricmp(i->schema, "temp") == 0 ? 3
               : sqlite3_stricmp(i->schema, "main") == 0 ? 2 : 1;
    if (sqlite3_stricmp(i->name, name) != 0 ||
        (schema && sqlite3_stricmp(i->schema, schema) != 0) || rank <= best)
      continue;
    found = i;
    best = rank;
  }
  return found;
}

/* Have SQLite connect to the table, if it has not yet. */
static void triggers_touch(bh_connection *c, const char *name,
                           const char *schema) {
  sqlite3_stmt *s = NULL;
  char *text = schema ? sqlite3_mprintf("SELECT 1 FROM \"%w\".\"%w\"", schema,
                                        name)
                      : sqlite3_mprintf("SELECT 1 FROM \"%w\"", name);
  if (text) sqlite3_prepare_v2(c->db, text, -1, &s, NULL);
  sqlite3_finalize(s);
  sqlite3_free(text);
}

/* The columns of one unique index as a condition on the new row; none of it is
** kept if one of them is an expression. */
static int triggers_condition(bh_index *index, const char *unique,
                              sqlite3_str *out) {
  sqlite3_stmt *s = NULL;
  sqlite3_str *text = sqlite3_str_new(NULL);
  int columns = 0, plain = 1;
  int rc = sqlite3_prepare_v2(index->connection->db,
                              "SELECT name, coll FROM pragma_index_xinfo(?1, "
                              "?2) WHERE key", -1, &s, NULL);
  if (rc == SQLITE_OK) {
    sqlite3_bind_text(s, 1, unique, -1, SQLITE_TRANSIENT);
    sqlite3_bind_text(s, 2, index->schema, -1, SQLITE_TRANSIENT);
    while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
      const char *name = (const char *)sqlite3_column_text(s, 0);
      const char *collation = (const char *)sqlite3_column_text(s, 1);
      if (!name) plain = 0;
      else
        sqlite3_str_appendf(text, "%sc.\"%w\" = new.\"%w\" COLLATE \"%w\"",
                            columns++ ? " AND " : "", name, name,
                            collation ? collation : "BINARY");
    }
    rc = sqlite3_finalize(s);
  }
  char *condition = sqlite3_str_finish(text);
  if (rc == SQLITE_OK && plain && columns > 0 && condition)
    sqlite3_str_appendf(out, "\n       OR (%s)", condition);
  sqlite3_free(condition);
  return rc;
}

/* "OR (...)" for each unique index of the content table. */
static int triggers_conditions(bh_index *index, sqlite3_str *conditions) {
  sqlite3_stmt *s = NULL;
  int rc = sqlite3_prepare_v2(index->connection->db,
                              "SELECT name FROM pragma_index_list(?1, ?2) "
                              "WHERE \"unique\" ORDER BY name", -1, &s, NULL);
  if (rc != SQLITE_OK) return rc;
  sqlite3_bind_text(s, 1, index->content, -1, SQLITE_TRANSIENT);
  sqlite3_bind_text(s, 2, index->schema, -1, SQLITE_TRANSIENT);
  while (rc == SQLITE_OK && (rc = sqlite3_step(s)) == SQLITE_ROW)
    rc = triggers_condition(index, (const char *)sqlite3_column_text(s, 0),
                            conditions);
  int done = sqlite3_finalize(s);
  return rc == SQLITE_DONE || rc == SQLITE_OK ? done : rc;
}

static void triggers_head(const bh_index *index, sqlite3_str *out,
                          const char *suffix, const char *event) {
  sqlite3_str_appendf(out, "CREATE TRIGGER \"%w\".\"%w_%s\" %s ON \"%w\" "
                      "BEGIN\n", index->schema, index->name, suffix, event,
                      index->content);
}

static void triggers_before(const bh_index *index, sqlite3_str *out,
                            const char *conditions) {
  sqlite3_str_appendf(
      out,
      "  INSERT INTO \"%w\"(\"%w\") VALUES ('replacing');\n"
      "  INSERT INTO \"%w\"(\"%w\", rowid)\n"
      "    SELECT 'replacing', c.\"%w\" FROM \"%w\" c\n"
      "    WHERE c.\"%w\" = new.\"%w\"%s;\nEND;\n",
      index->name, index->name, index->name, index->name, index->content_rowid,
      index->content, index->content_rowid, index->content_rowid, conditions);
}

static void triggers_after(const bh_index *index, sqlite3_str *out) {
  sqlite3_str_appendf(
      out,
      "  INSERT INTO \"%w\"(\"%w\") VALUES ('replaced');\n"
      "  DELETE FROM \"%w\" WHERE rowid = new.\"%w\";\n"
      "  INSERT INTO \"%w\"(rowid, code)\n"
      "    SELECT new.\"%w\", new.\"%w\" WHERE new.\"%w\" IS NOT NULL;\nEND;\n",
      index->name, index->name, index->name, index->content_rowid, index->name,
      index->content_rowid, index->content_column, index->content_column);
}

static int triggers_text(bh_index *index, sqlite3_str *out) {
  sqlite3_str *list = sqlite3_str_new(NULL);
  int rc = triggers_conditions(index, list);
  char *conditions = sqlite3_str_finish(list);
  if (rc != SQLITE_OK) {
    sqlite3_free(conditions);
    return rc;
  }
  triggers_head(index, out, "before_insert", "BEFORE INSERT");
  triggers_before(index, out, conditions ? conditions : "");
  triggers_head(index, out, "insert", "AFTER INSERT");
  triggers_after(index, out);
  triggers_head(index, out, "delete", "AFTER DELETE");
  sqlite3_str_appendf(out, "  DELETE FROM \"%w\" WHERE rowid = old.\"%w\";\n"
                      "END;\n", index->name, index->content_rowid);
  triggers_head(index, out, "before_update", "BEFORE UPDATE");
  triggers_before(index, out, conditions ? conditions : "");
  triggers_head(index, out, "update", "AFTER UPDATE");
  sqlite3_str_appendf(out, "  DELETE FROM \"%w\" WHERE rowid = old.\"%w\";\n",
                      index->name, index->content_rowid);
  triggers_after(index, out);
  sqlite3_free(conditions);
  return SQLITE_OK;
}

static void triggers_function(sqlite3_context *context, int argc,
                              sqlite3_value **argv) {
  bh_connection *c = sqlite3_user_data(context);
  const char *names[2] = {NULL, NULL};
  for (int i = 0; i < argc; i++) {
    int type = sqlite3_value_type(argv[i]);
    if (type == SQLITE_NULL && i == 0) return;
    if (type == SQLITE_NULL) continue;
    names[i] = (const char *)sqlite3_value_text(argv[i]);
    if (!names[i]) {
      sqlite3_result_error_nomem(context);
      return;
    }
  }
  triggers_touch(c, names[0], names[1]);
  bh_index *index = triggers_find(c, names[0], names[1]);
  if (!index || !index->content) {
    bh_result_text_error(context, index
                         ? "binhash_triggers: %s has no content= to be kept by "
                           "triggers"
                         : "binhash_triggers: there is no index %s", names[0]);
    return;
  }
  sqlite3_str *out = sqlite3_str_new(c->db);
  int rc = triggers_text(index, out);
  if (rc == SQLITE_OK) rc = sqlite3_str_errcode(out);
  char *text = sqlite3_str_finish(out);
  if (rc == SQLITE_NOMEM || (rc == SQLITE_OK && !text)) {
    sqlite3_result_error_nomem(context);
  } else if (rc != SQLITE_OK) {
    sqlite3_result_error_code(context, rc);
  } else {
    sqlite3_result_text(context, text, -1, SQLITE_TRANSIENT);
  }
  sqlite3_free(text);
}

int bh_register_triggers(bh_connection *c) {
  int rc = bh_function(c, "binhash_triggers", 1, 0, triggers_function);
  if (rc == SQLITE_OK)
    rc = bh_function(c, "binhash_triggers", 2, 0, triggers_function);
  return rc;
}

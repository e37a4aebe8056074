/*
** The index on disk: two shadow tables, and the only SQL that touches them.
**
**   CREATE TABLE t_state(id INTEGER PRIMARY KEY, format, bits, stamp, rows,
**                        changes BLOB, model TEXT, sha256 TEXT)
**   CREATE TABLE t_blocks(id INTEGER PRIMARY KEY, block BLOB)
**
** t_blocks is the rows, about 670 of 48 bits to a block, in the order of their
** rowids.  A block (its bytes are told in nn/block.c) with the id K holds the
** rows from K up to the next block's id, and the first block's id is -2^63, so
** each rowid has exactly one block that it belongs into.  A full block takes a
** page of 4096 bytes and no overflow page, which makes of the table a b-tree
** whose leaves are packed: a change of one row writes one leaf, and reading all
** of them is as fast as reading BLOBs of any other size, since the time goes
** into pages.  Only the first block may be empty.
**
** t_state is one row, with the id 1.  format is this file's version, 1; a newer
** one is refused by its number.  rows is how many there are.
**
** stamp is a random number that each flush (index_write.c) draws anew.  Two
** states of the table that differ never have the same stamp, whatever was
** rolled back, restored or copied in between, which a counter could not
** promise.  So a copy in memory says by its stamp whether it is the truth.
**
** changes says how to come to this state from those shortly before it: entries
** of the latest flushes, oldest first, each
**
**    0  i64  the stamp before the flush
**    8  u32  how many blocks it wrote or deleted, n
**   12  i64  n ids of blocks
**
** little-endian.  A copy whose stamp stands there has to look at the blocks of
** that entry and of those behind it, and at no other.  The list is cut at
** the front to 1,500 bytes, and is emptied by a flush that changed very many.
**
** Everything that comes from these tables may have been written by somebody
** else: a wrong type, a missing row, a block that is not sound is
** SQLITE_CORRUPT_VTAB, with a message that says which.
*/
#include <stdarg.h>
#include <string.h>

#include "ext_int.h"
SQLITE_EXTENSION_INIT3

static const char *const store_sql[BH_INDEX_SQL] = {
    "SELECT format, bits, stamp, rows, changes FROM \"%w\".\"%w_state\" "
    "WHERE id = 1",
    "UPDATE \"%w\".\"%w_state\" SET stamp = ?1, rows = ?2, changes = ?3 "
    "WHERE id = 1",
    "SELECT id, block FROM \"%w\".\"%w_blocks\" WHERE id <= ?1 "
    "ORDER BY id DESC LIMIT 1",
    "SELECT id FROM \"%w\".\"%w_blocks\" WHERE id > ?1 ORDER BY id LIMIT 1",
    "SELECT id, block FROM \"%w\".\"%w_blocks\" WHERE id = ?1",
    "SELECT id, block FROM \"%w\".\"%w_blocks\" ORDER BY id DESC LIMIT 1",
    "SELECT id, block FROM \"%w\".\"%w_blocks\" ORDER BY id",
    "REPLACE INTO \"%w\".\"%w_blocks\"(id, block) VALUES(?1, ?2)",
    "DELETE FROM \"%w\".\"%w_blocks\" WHERE id = ?1",
};

int bh_index_sql(bh_index *index, int which, sqlite3_stmt **out) {
  if (!index->sql[which]) {
    char *text = sqlite3_mprintf(store_sql[which], index->schema, index->name);
    if (!text) return SQLITE_NOMEM;
    int rc = sqlite3_prepare_v3(index->connection->db, text, -1,
                                SQLITE_PREPARE_PERSISTENT,
                                &index->sql[which], NULL);
    sqlite3_free(text);
    if (rc == SQLITE_ERROR)
      return bh_index_corrupt(index, "a shadow table is missing or altered", 0);
    if (rc != SQLITE_OK) return rc;
  }
  *out = index->sql[which];
  return SQLITE_OK;
}

void bh_index_forget_sql(bh_index *index) {
  for (int i = 0; i < BH_INDEX_SQL; i++) {
    sqlite3_finalize(index->sql[i]);
    index->sql[i] = NULL;
  }
}

int bh_index_corrupt(bh_index *index, const char *what, sqlite3_int64 id) {
  char *text = id ? sqlite3_mprintf("binhash: %s: block %lld: %s", index->name,
                                    id, what)
                  : sqlite3_mprintf("binhash: %s: %s", index->name, what);
  sqlite3_free(index->base.zErrMsg);
  index->base.zErrMsg = text;
  return text ? SQLITE_CORRUPT_VTAB : SQLITE_NOMEM;
}

int bh_index_prepare(bh_index *index, sqlite3_stmt **out, const char *format,
                     ...) {
  va_list args;
  va_start(args, format);
  char *text = sqlite3_vmprintf(format, args);
  va_end(args);
  *out = NULL;
  if (!text) return SQLITE_NOMEM;
  int rc = sqlite3_prepare_v2(index->connection->db, text, -1, out, NULL);
  sqlite3_free(text);
  return rc;
}

int bh_index_exec(bh_index *index, const char *format, ...) {
  va_list args;
  va_start(args, format);
  char *text = sqlite3_vmprintf(format, args);
  va_end(args);
  if (!text) return SQLITE_NOMEM;
  int rc = sqlite3_exec(index->connection->db, text, NULL, NULL, NULL);
  sqlite3_free(text);
  return rc;
}

/* The tables --------------------------------------------------------------- */

int bh_index_create_tables(bh_index *index, const char *sha256) {
  sqlite3_int64 stamp;
  sqlite3_randomness(sizeof(stamp), &stamp);
  return bh_index_exec(
      index,
      "CREATE TABLE \"%w\".\"%w_state\"(id INTEGER PRIMARY KEY, format, bits, "
      "stamp, rows, changes BLOB, model TEXT, sha256 TEXT);"
      "CREATE TABLE \"%w\".\"%w_blocks\"(id INTEGER PRIMARY KEY, block BLOB);"
      "INSERT INTO \"%w\".\"%w_state\" VALUES(1, %d, %d, %lld, 0, x'', %Q, %Q)",
      index->schema, index->name, index->schema, index->name, index->schema,
      index->name, BH_INDEX_FORMAT, index->bits, stamp, index->model, sha256);
}

int bh_index_drop_tables(bh_index *index) {
  bh_index_forget_sql(index);
  return bh_index_exec(index, "DROP TABLE IF EXISTS \"%w\".\"%w_state\";"
                       "DROP TABLE IF EXISTS \"%w\".\"%w_blocks\"",
                       index->schema, index->name, index->schema, index->name);
}

int bh_index_rename_tables(bh_index *index, const char *name) {
  char *copy = sqlite3_mprintf("%s", name);
  if (!copy) return SQLITE_NOMEM;
  bh_index_forget_sql(index);
  int rc = bh_index_exec(
      index, "ALTER TABLE \"%w\".\"%w_state\" RENAME TO \"%w_state\";"
      "ALTER TABLE \"%w\".\"%w_blocks\" RENAME TO \"%w_blocks\"",
      index->schema, index->name, name, index->schema, index->name, name);
  if (rc != SQLITE_OK) {
    sqlite3_free(copy);
    return rc;
  }
  sqlite3_free(index->name);
  index->name = copy;
  return SQLITE_OK;
}

/* The state ---------------------------------------------------------------- */

int bh_index_read_state(bh_index *index, bh_index_state *state,
                        sqlite3_stmt **statement) {
  sqlite3_stmt *s;
  int rc = bh_index_sql(index, BH_INDEX_STATE, &s);
  if (rc != SQLITE_OK) return rc;
  rc = sqlite3_step(s);
  if (rc != SQLITE_ROW) {
    rc = sqlite3_reset(s);
    return rc && rc != SQLITE_ERROR
               ? rc : bh_index_corrupt(index, "its state is missing", 0);
  }
  sqlite3_int64 format = sqlite3_column_int64(s, 0);
  if (format > BH_INDEX_FORMAT && format < 1000000) {
    sqlite3_reset(s);
    return bh_table_error(&index->base, "binhash: %s: its format is %lld, this "
                          "version knows up to %d", index->name, format,
                          BH_INDEX_FORMAT);
  }
  state->stamp = sqlite3_column_int64(s, 2);
  state->rows = sqlite3_column_int64(s, 3);
  state->changes = sqlite3_column_blob(s, 4);
  state->change_bytes = sqlite3_column_bytes(s, 4);
  if (format != BH_INDEX_FORMAT ||
      sqlite3_column_int64(s, 1) != index->bits || state->rows < 0 ||
      sqlite3_column_type(s, 2) != SQLITE_INTEGER) {
    sqlite3_reset(s);
    return bh_index_corrupt(index, "its state is not sound", 0);
  }
  *statement = s;
  return SQLITE_OK;
}

int bh_index_read_sha256(bh_index *index, char **sha256) {
  sqlite3_stmt *s = NULL;
  *sha256 = NULL;
  int rc = bh_index_prepare(index, &s, "SELECT sha256 FROM \"%w\".\"%w_state\"",
                            index->schema, index->name);
  if (rc == SQLITE_OK && sqlite3_step(s) == SQLITE_ROW) {
    const unsigned char *found = sqlite3_column_text(s, 0);
    *sha256 = sqlite3_mprintf("%s", found ? (const char *)found : "");
    if (!*sha256) rc = SQLITE_NOMEM;
  }
  int done = sqlite3_finalize(s);
  if (rc == SQLITE_OK) rc = done;
  if (rc == SQLITE_OK && !*sha256)
    rc = bh_index_corrupt(index, "its state is missing", 0);
  return rc;
}

int bh_index_write_state(bh_index *index, const bh_index_state *state) {
  sqlite3_stmt *s;
  int rc = bh_index_sql(index, BH_INDEX_SET_STATE, &s);
  if (rc != SQLITE_OK) return rc;
  sqlite3_bind_int64(s, 1, state->stamp);
  sqlite3_bind_int64(s, 2, state->rows);
  sqlite3_bind_blob(s, 3, state->changes, state->change_bytes, SQLITE_STATIC);
  sqlite3_step(s);
  rc = sqlite3_reset(s);
  sqlite3_clear_bindings(s);
  return rc;
}

int bh_index_restore_changes(bh_index *index, sqlite3_int64 n) {
  if (n == 1 || n > BH_INDEX_CHANGES_MAX) return SQLITE_OK;
  return bh_index_exec(
      index, "REPLACE INTO \"%w\".\"%w_state\" SELECT s.* FROM "
      "(WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c) "
      "SELECT i FROM c LIMIT %lld), \"%w\".\"%w_state\" s",
      index->schema, index->name, n, index->schema, index->name);
}

/* Blocks ------------------------------------------------------------------- */

int bh_index_hold(bh_index *index, sqlite3_stmt *statement, bh_slabs *slabs,
                  bh_held **out) {
  nn_error err;
  sqlite3_int64 id = sqlite3_column_int64(statement, 0);
  const void *bytes = sqlite3_column_blob(statement, 1);
  int n = sqlite3_column_bytes(statement, 1);
  *out = NULL;
  if (sqlite3_column_type(statement, 1) != SQLITE_BLOB)
    return bh_index_corrupt(index, "it is no BLOB", id);
  if (!bytes && n > 0) return SQLITE_NOMEM;
  bh_held *held = bh_held_new(slabs, (size_t)n);
  if (!held) return SQLITE_NOMEM;
  held->id = id;
  held->size = (uint32_t)n;
  held->removed = UINT64_MAX;
  if (n > 0) memcpy(held->bytes, bytes, (size_t)n);
  int rc = SQLITE_OK;
  if (nn_block_open(held->bytes, (size_t)n, index->bits, &held->block, &err)) {
    rc = bh_index_corrupt(index, err.text, id);
  } else if (held->block.rows > 0 && held->block.base < id) {
    rc = bh_index_corrupt(index, "it has rows of the block before it", id);
  }
  if (rc != SQLITE_OK) {
    bh_held_unref(held);
    return rc;
  }
  *out = held;
  return SQLITE_OK;
}

void bh_index_unsee(bh_index *index) {
  bh_held_unref(index->seen);
  index->seen = NULL;
}

/* The id of the block after id; INT64_MAX and *last where there is none. */
static int store_next(bh_index *index, sqlite3_int64 id, sqlite3_int64 *next,
                      int *last) {
  sqlite3_stmt *s;
  int rc = bh_index_sql(index, BH_INDEX_NEXT, &s);
  if (rc != SQLITE_OK) return rc;
  sqlite3_bind_int64(s, 1, id);
  *last = sqlite3_step(s) != SQLITE_ROW;
  *next = *last ? INT64_MAX : sqlite3_column_int64(s, 0);
  return sqlite3_reset(s);
}

int bh_index_see(bh_index *index, sqlite3_int64 rowid) {
  sqlite3_stmt *s;
  int last;
  if (index->seen && index->seen->id <= rowid &&
      (index->seen_last || rowid < index->until))
    return SQLITE_OK;
  bh_index_unsee(index);
  int rc = bh_index_sql(index, BH_INDEX_AT, &s);
  if (rc != SQLITE_OK) return rc;
  sqlite3_bind_int64(s, 1, rowid);
  bh_held *held = NULL;
  if (sqlite3_step(s) == SQLITE_ROW) {
    rc = bh_index_hold(index, s, NULL, &held);
    sqlite3_reset(s);
  } else {
    rc = sqlite3_reset(s);
  }
  if (rc != SQLITE_OK || !held) return rc;
  rc = store_next(index, held->id, &index->until, &last);
  if (rc == SQLITE_OK && !last && held->block.rows > 0 &&
      nn_block_rowid(&held->block, held->block.rows - 1) >= index->until)
    rc = bh_index_corrupt(index, "it has rows of the block behind it",
                          held->id);
  if (rc != SQLITE_OK) {
    bh_held_unref(held);
    return rc;
  }
  index->seen = held;
  index->seen_last = last;
  return SQLITE_OK;
}

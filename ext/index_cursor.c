/*
** Reading from the index: xFilter, xNext, xColumn.
**
** A cursor does one of three things, as index_plan.c chose:
**
**   search    rows by rising distance from a query (index_search.c)
**   look-up   the rows of one rowid or of a list of them
**   scan      all rows between two rowids, in the order of rowids
**
** A look-up or a scan reads the blocks of the table itself, one at a time, and
** needs no copy in memory: it is what SELECT code FROM photo_codes WHERE rowid
** = 7 does, what UPDATE and DELETE do to find their rows, and count(*).
**
** Before any of them, changes that are not written yet are flushed, so that
** there is one place only where rows are.
**
** Columns: code; query and image, which are what they were compared with;
** distance, NULL without a query; and the column that is called like the table,
** always NULL, which takes commands and MATCH.
*/
#include <string.h>

#include "ext_int.h"
SQLITE_EXTENSION_INIT3

typedef struct index_cursor {
  sqlite3_vtab_cursor base;
  bh_search *search;
  sqlite3_value *query;        /* as it was given, NULL without a search */
  int is_image;
  bh_found row;                /* of a search; of others the rowid alone */
  int eof;
  uint8_t code[128];
  int has_code;
  /* look-ups */
  bh_rowids rowids;
  sqlite3_int64 rowid_at;
  /* scans */
  sqlite3_stmt *scan;          /* blocks from the first to look at */
  bh_held *held;
  int held_row;                /* the next */
  bh_bounds range;             /* of rowids */
} index_cursor;

static bh_index *cursor_index(index_cursor *cursor) {
  return (bh_index *)cursor->base.pVtab;
}

int bh_index_open(sqlite3_vtab *table, sqlite3_vtab_cursor **out) {
  (void)table;
  index_cursor *cursor = sqlite3_malloc64(sizeof(*cursor));
  if (!cursor) return SQLITE_NOMEM;
  memset(cursor, 0, sizeof(*cursor));
  *out = &cursor->base;
  return SQLITE_OK;
}

static void cursor_clear(index_cursor *cursor) {
  bh_search_close(cursor->search);
  cursor->search = NULL;
  sqlite3_value_free(cursor->query);
  cursor->query = NULL;
  bh_rowids_clear(&cursor->rowids);
  cursor->rowid_at = 0;
  sqlite3_finalize(cursor->scan);
  cursor->scan = NULL;
  bh_held_unref(cursor->held);
  cursor->held = NULL;
  cursor->eof = 1;
  cursor->row.distance = -1;
}

int bh_index_close(sqlite3_vtab_cursor *base) {
  cursor_clear((index_cursor *)base);
  sqlite3_free(base);
  return SQLITE_OK;
}

/* The query ---------------------------------------------------------------- */

/* The code of the image that is searched for, by the index's own model. */
static int cursor_hash(index_cursor *cursor, uint8_t *code) {
  bh_index *index = cursor_index(cursor);
  nn_error err;
  nn_picture picture;
  bh_output out;
  bh_head head;
  if (!index->model)
    return bh_table_error(&index->base, "binhash: %s: image = ? needs an index "
                          "with model=, this one has none", index->name);
  int rc = bh_index_model(index, &head);
  if (rc != SQLITE_OK) return rc;
  bh_look look = {.model = head.model, .blob = head.head->latent};
  memset(&picture, 0, sizeof(picture));
  nn_status status = bh_image(cursor->query, &look.image, &look.bytes, &err);
  if (!status)
    status = bh_forward(index->connection, &look, &picture, &out, &err);
  nn_picture_free(&bh_memory, &picture);
  if (status) return bh_table_nn_error(&index->base, "binhash: image", &err);
  nn_code_from_logits(out.values, index->bits, code);
  sqlite3_free(out.owned);
  return SQLITE_OK;
}

static int cursor_query(index_cursor *cursor, uint8_t *code) {
  bh_index *index = cursor_index(cursor);
  if (cursor->is_image) return cursor_hash(cursor, code);
  char *problem = NULL;
  int rc = bh_index_code(index, cursor->query, code, &problem);
  if (rc == SQLITE_NOMEM) return rc;
  if (rc == SQLITE_OK) return rc;
  rc = bh_table_error(&index->base, "binhash: %s: query: %s", index->name,
                      problem);
  sqlite3_free(problem);
  return rc;
}

/* Filtering ---------------------------------------------------------------- */

typedef struct cursor_arguments {
  bh_bounds distance;
  sqlite3_int64 limit, offset;
  int empty;
} cursor_arguments;

static int cursor_take(index_cursor *cursor, cursor_arguments *a,
                       const char *letters, sqlite3_value **argv) {
  int rc = SQLITE_OK;
  for (int i = 0; rc == SQLITE_OK && letters[i]; i++) {
    char letter = letters[i];
    if (letter == 'q' || letter == 'i') {
      cursor->is_image = letter == 'i';
      if (sqlite3_value_type(argv[i]) == SQLITE_NULL) a->empty = 1;
      cursor->query = sqlite3_value_dup(argv[i]);
      if (!cursor->query) rc = SQLITE_NOMEM;
    } else if (letter == 'r') {
      rc = bh_rowids_take(&cursor->rowids, argv[i], &a->empty);
    } else if (letter == 'R') {
      rc = bh_rowids_take_list(&cursor->rowids, argv[i], &a->empty);
    } else if (letter >= '1' && letter <= '4') {
      bh_bounds_take(&cursor->range, "<(>)"[letter - '1'], argv[i]);
    } else if (letter == 'l') {
      bh_hint_take(&a->limit, argv[i]);
    } else if (letter == 'o') {
      bh_hint_take(&a->offset, argv[i]);
    } else {
      bh_bounds_take(&a->distance, letter, argv[i]);
    }
  }
  return rc;
}

static int cursor_start_search(index_cursor *cursor,
                               const cursor_arguments *a) {
  bh_index *index = cursor_index(cursor);
  uint8_t code[128];
  if (a->distance.empty) return SQLITE_OK;
  int rc = cursor_query(cursor, code);
  if (rc == SQLITE_OK)
    rc = bh_search_open(index, code, a->distance, &cursor->rowids,
                        bh_hint(a->limit, a->offset), &cursor->search);
  if (rc != SQLITE_OK) return rc;
  cursor->eof = 0;
  return bh_index_next(&cursor->base);
}

/* Blocks from the one on in which the lowest rowid lies. */
static int cursor_start_scan(index_cursor *cursor) {
  bh_index *index = cursor_index(cursor);
  int rc = bh_index_prepare(
      index, &cursor->scan,
      "SELECT id, block FROM \"%w\".\"%w_blocks\" WHERE id >= (SELECT "
      "ifnull(max(id), -9223372036854775807 - 1) "
      "FROM \"%w\".\"%w_blocks\" WHERE id <= ?1) ORDER BY id",
      index->schema, index->name, index->schema, index->name);
  if (rc != SQLITE_OK) return rc;
  sqlite3_bind_int64(cursor->scan, 1, cursor->range.min);
  cursor->eof = 0;
  return bh_index_next(&cursor->base);
}

static const char cursor_form[] =
    "binhash: %s: a search wants a query: WHERE query = ? (or image = ?, or %s "
    "MATCH ?) beside what is asked of distance; an outer join may keep it from "
    "here";

int bh_index_filter(sqlite3_vtab_cursor *base, int idx_num, const char *idx_str,
                    int argc, sqlite3_value **argv) {
  index_cursor *cursor = (index_cursor *)base;
  bh_index *index = cursor_index(cursor);
  (void)argc;
  cursor_clear(cursor);
  cursor_arguments a = {{0, index->bits, 0}, -1, -1, 0};
  cursor->range = (bh_bounds){INT64_MIN, INT64_MAX, 0};
  if (idx_num & BH_INDEX_LACKS_QUERY)
    return bh_table_error(base->pVtab, cursor_form, index->name, index->name);
  int rc = bh_index_flush(index);
  if (rc == SQLITE_OK) rc = cursor_take(cursor, &a, idx_str, argv);
  if (rc != SQLITE_OK || a.empty || cursor->range.empty) return rc;
  /* So that a table whose state is not sound, or newer, is never read. */
  bh_index_state state;
  sqlite3_stmt *statement;
  rc = bh_index_read_state(index, &state, &statement);
  if (rc != SQLITE_OK) return rc;
  sqlite3_reset(statement);
  if (idx_num & BH_INDEX_IS_SEARCH) return cursor_start_search(cursor, &a);
  if (!cursor->rowids.list) return cursor_start_scan(cursor);
  bh_index_unsee(index);
  cursor->eof = 0;
  return bh_index_next(base);
}

/* Rows --------------------------------------------------------------------- */

static int cursor_next_found(index_cursor *cursor) {
  int rc = bh_search_next(cursor->search, &cursor->row);
  if (rc != SQLITE_OK) return rc;
  cursor->eof = cursor->row.distance < 0;
  return SQLITE_OK;
}

static int cursor_next_looked_up(index_cursor *cursor) {
  bh_index *index = cursor_index(cursor);
  while (cursor->rowid_at < cursor->rowids.count) {
    sqlite3_int64 rowid = cursor->rowids.list[cursor->rowid_at++];
    bh_index_unsee(index);
    int rc = bh_index_see(index, rowid);
    if (rc != SQLITE_OK) return rc;
    if (!index->seen) break;
    const nn_block *block = &index->seen->block;
    int row = nn_block_find(block, rowid);
    if (row == block->rows || nn_block_rowid(block, row) != rowid) continue;
    cursor->row.rowid = rowid;
    nn_block_code(block, row, cursor->code);
    cursor->has_code = 1;
    bh_index_unsee(index);
    return SQLITE_OK;
  }
  bh_index_unsee(index);
  cursor->eof = 1;
  return SQLITE_OK;
}

/* The next block of the scan that has rows in the range. */
static int cursor_next_block(index_cursor *cursor) {
  bh_index *index = cursor_index(cursor);
  sqlite3_int64 after = INT64_MIN;
  int any = cursor->held && cursor->held->block.rows > 0;
  if (any) after = nn_block_rowid(&cursor->held->block,
                                  cursor->held->block.rows - 1);
  bh_held_unref(cursor->held);
  cursor->held = NULL;
  int rc = sqlite3_step(cursor->scan);
  if (rc != SQLITE_ROW) {
    cursor->eof = 1;
    return sqlite3_reset(cursor->scan);
  }
  rc = bh_index_hold(index, cursor->scan, NULL, &cursor->held);
  if (rc != SQLITE_OK) return rc;
  if (any && after >= cursor->held->id)
    return bh_index_corrupt(index, "the one before it has rows of it",
                            cursor->held->id);
  cursor->held_row = nn_block_find(&cursor->held->block, cursor->range.min);
  return SQLITE_OK;
}

static int cursor_next_scanned(index_cursor *cursor) {
  while (!cursor->held || cursor->held_row >= cursor->held->block.rows) {
    int rc = cursor_next_block(cursor);
    if (rc != SQLITE_OK || cursor->eof) return rc;
  }
  cursor->row.rowid = nn_block_rowid(&cursor->held->block, cursor->held_row++);
  if (cursor->row.rowid > cursor->range.max) cursor->eof = 1;
  return SQLITE_OK;
}

int bh_index_next(sqlite3_vtab_cursor *base) {
  index_cursor *cursor = (index_cursor *)base;
  cursor->has_code = 0;
  if (cursor->search) return cursor_next_found(cursor);
  if (cursor->scan) return cursor_next_scanned(cursor);
  return cursor_next_looked_up(cursor);
}

int bh_index_eof(sqlite3_vtab_cursor *base) {
  return ((index_cursor *)base)->eof;
}

/* The code of the row; a row that was deleted since it was found has none. */
static int cursor_code(index_cursor *cursor) {
  if (cursor->has_code) return SQLITE_OK;
  if (!cursor->search) {
    nn_block_code(&cursor->held->block, cursor->held_row - 1, cursor->code);
    cursor->has_code = 1;
    return SQLITE_OK;
  }
  if (!bh_search_is_cached(cursor->search)) {
    int rc = bh_index_flush(cursor_index(cursor));
    if (rc != SQLITE_OK) return rc;
  }
  return bh_search_code(cursor->search, cursor->row.rowid, cursor->code,
                        &cursor->has_code);
}

int bh_index_column(sqlite3_vtab_cursor *base, sqlite3_context *context,
                    int column) {
  index_cursor *cursor = (index_cursor *)base;
  int rc = SQLITE_OK;
  switch (column) {
    case BH_INDEX_CODE:
      rc = cursor_code(cursor);
      if (rc == SQLITE_OK && cursor->has_code)
        sqlite3_result_blob(context, cursor->code, cursor_index(cursor)->bytes,
                            SQLITE_TRANSIENT);
      break;
    case BH_INDEX_QUERY:
    case BH_INDEX_IMAGE:
      /* For an UPDATE, what is not assigned is not a value to store. */
      if (!sqlite3_vtab_nochange(context) && cursor->query &&
          cursor->is_image == (column == BH_INDEX_IMAGE))
        sqlite3_result_value(context, cursor->query);
      break;
    case BH_INDEX_DISTANCE:
      if (!sqlite3_vtab_nochange(context) && cursor->search)
        sqlite3_result_int(context, cursor->row.distance);
      break;
  }
  return rc;
}

int bh_index_rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *rowid) {
  *rowid = ((index_cursor *)base)->row.rowid;
  return SQLITE_OK;
}

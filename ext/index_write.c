/*
** Writing to the index: changes are flushed into blocks.
**
**   INSERT INTO photo_codes(rowid, code) VALUES (1, x'0123456789ab');
**
** Changes are gathered in memory (index_pending.c), so a transaction of many
** rows writes each block about once.  They are flushed before anything could
** see that they are not on disk: before a search or a scan, at a savepoint, at
** the commit, and when there are many.
**
** A flush goes through the changes in the order of rowids.  Those of one block
** are merged with its rows; what no longer fits a block is split:
**
**   rows behind all that was there    blocks are filled, since the next rows
**                                     will come behind these: to the brim, but
**                                     for a sixteenth where rowids have gaps
**                                     into which single rows may come
**   rows before all that was there    the same from the other end
**   anything else                     halves, until each half fits
**
** so tables filled in order have little room to spare, and others are filled to
** seven tenths or so.  A block that deletions leave with less than a quarter
** takes in the one behind it if there is room; an empty one goes, unless it is
** the first.
**
** A flush that fails half way leaves blocks that do not agree.  The transaction
** cannot be committed then: every later call, xSync above all, fails until it
** is rolled back, to a savepoint at least at which everything had been flushed.
** (A flush at a savepoint that fails is before it: going back to that one does
** not help.)
*/
#include <string.h>

#include "ext_int.h"
SQLITE_EXTENSION_INIT3

#define WRITE_LIST_MAX 1500       /* bytes of the state's list of changes */
#define WRITE_ENTRY 12            /* bytes of an entry without its ids */

/* Bytes of a block: a page of 4096 holds one and no overflow page is needed.
** Codes so long that hardly any would fit get four such pages. */
static size_t write_capacity(const bh_index *index) {
  return index->bytes <= 32 ? 4056 : 16320;
}

/* Flushing ----------------------------------------------------------------- */

/* The flush in hand. */
typedef struct write_flush {
  bh_index *index;
  bh_pending pending;           /* taken from the index */
  uint64_t stamp;
  sqlite3_int64 rows;           /* of the table */
  sqlite3_int64 ids[(WRITE_LIST_MAX - WRITE_ENTRY) / 8];   /* of blocks */
  uint32_t id_count;            /* may be more than there is room for */
  /* the rows of the block in hand, merged */
  int64_t *rowids;
  uint8_t *codes;
  int merged;
  uint8_t *block;               /* room for one */
} write_flush;

static void write_note(write_flush *f, sqlite3_int64 id) {
  if (f->id_count < sizeof(f->ids) / sizeof(*f->ids)) f->ids[f->id_count] = id;
  f->id_count++;
}

static int write_run(bh_index *index, int which, sqlite3_int64 id,
                     const void *bytes, size_t n) {
  sqlite3_stmt *s;
  int rc = bh_index_sql(index, which, &s);
  if (rc != SQLITE_OK) return rc;
  sqlite3_bind_int64(s, 1, id);
  if (bytes) sqlite3_bind_blob(s, 2, bytes, (int)n, SQLITE_STATIC);
  sqlite3_step(s);
  rc = sqlite3_reset(s);
  sqlite3_clear_bindings(s);
  return rc;
}

/* Rows from `first` on, n of them, as the block id. */
static int write_block(write_flush *f, sqlite3_int64 id, int first, int n) {
  int width = nn_block_width(f->rowids + first, n);
  nn_block_write(f->block, f->index->bits, f->stamp, f->rowids + first,
                 f->codes + (size_t)first * (size_t)f->index->bytes, n);
  write_note(f, id);
  return write_run(f->index, BH_INDEX_PUT, id, f->block,
                   nn_block_size(n, width, f->index->bytes));
}

static int write_fits(const write_flush *f, int first, int n) {
  int width = nn_block_width(f->rowids + first, n);
  return nn_block_size(n, width, f->index->bytes) <=
         write_capacity(f->index);
}

/* Do they fit with room for rows that come between them later?  Where rowids
** have no gaps none can. */
static int write_fits_loosely(const write_flush *f, int first, int n) {
  int width = nn_block_width(f->rowids + first, n);
  size_t capacity = write_capacity(f->index);
  return nn_block_size(n, width, f->index->bytes) <=
         (width == 0 ? capacity : capacity - capacity / 16);
}

/* The most rows from `first` on, or, backwards, up to `first` + n, that fit a
** block; a block that holds more rows may need wider offsets. */
static int write_most(const write_flush *f, int first, int n, int backwards) {
  int least = 1, most = n;
  while (least < most) {
    int middle = least + (most - least + 1) / 2;
    if (write_fits_loosely(f, backwards ? first + n - middle : first, middle))
      least = middle;
    else
      most = middle - 1;
  }
  return least;
}

static int write_halves(write_flush *f, sqlite3_int64 id, int first, int n) {
  if (write_fits(f, first, n)) return write_block(f, id, first, n);
  int rc = write_halves(f, id, first, n / 2);
  if (rc == SQLITE_OK)
    rc = write_halves(f, f->rowids[first + n / 2], first + n / 2, n - n / 2);
  return rc;
}

/* Which way new rows lie of the old ones. */
enum { WRITE_AMONG, WRITE_BEHIND, WRITE_BEFORE };

static int write_split(write_flush *f, sqlite3_int64 id, int where) {
  int first = 0, n = f->merged, rc = SQLITE_OK;
  if (where == WRITE_AMONG) return write_halves(f, id, 0, n);
  while (where == WRITE_BEFORE && rc == SQLITE_OK && !write_fits(f, 0, n)) {
    int k = write_most(f, 0, n, 1);
    n -= k;
    rc = write_block(f, f->rowids[n], n, k);
  }
  while (rc == SQLITE_OK && n > 0) {
    int k = write_most(f, first, n, 0);
    rc = write_block(f, first == 0 ? id : f->rowids[first], first, k);
    first += k;
    n -= k;
  }
  return rc;
}

static void write_append(write_flush *f, sqlite3_int64 rowid,
                         const uint8_t *code) {
  f->rowids[f->merged] = rowid;
  if (code)
    memcpy(f->codes + (size_t)f->merged * (size_t)f->index->bytes, code,
           (size_t)f->index->bytes);
  f->merged++;
}

static void write_append_row(write_flush *f, const nn_block *block, int row) {
  nn_block_code(block, row,
                f->codes + (size_t)f->merged * (size_t)f->index->bytes);
  write_append(f, nn_block_rowid(block, row), NULL);
}

/* Rows of the block and n changes, into the flush. */
static void write_merge(write_flush *f, const nn_block *block,
                        const bh_change *changes, uint32_t n) {
  int row = 0, rows = block ? block->rows : 0;
  f->merged = 0;
  for (uint32_t i = 0; i < n; i++) {
    while (row < rows && nn_block_rowid(block, row) < changes[i].rowid)
      write_append_row(f, block, row++);
    if (row < rows && nn_block_rowid(block, row) == changes[i].rowid) row++;
    if (!changes[i].gone)
      write_append(f, changes[i].rowid, f->pending.codes +
                   (size_t)changes[i].code * (size_t)f->index->bytes);
  }
  while (row < rows) write_append_row(f, block, row++);
}

/* Memory for n merged rows. */
static int write_room(write_flush *f, size_t n) {
  sqlite3_free(f->rowids);
  sqlite3_free(f->codes);
  f->rowids = sqlite3_malloc64(n * sizeof(*f->rowids));
  f->codes = sqlite3_malloc64(n * (size_t)f->index->bytes);
  return f->rowids && f->codes ? SQLITE_OK : SQLITE_NOMEM;
}

/* A block that has become small takes in the one behind it.  The merged rows
** are in the flush, which has room for a block more. */
static int write_take_next(write_flush *f) {
  bh_index *index = f->index;
  bh_held *next;
  sqlite3_stmt *s;
  int rc = bh_index_sql(index, BH_INDEX_GET, &s);
  if (rc != SQLITE_OK) return rc;
  sqlite3_int64 id = index->until;
  sqlite3_bind_int64(s, 1, id);
  if (sqlite3_step(s) != SQLITE_ROW) return sqlite3_reset(s);
  rc = bh_index_hold(index, s, NULL, &next);
  sqlite3_reset(s);
  if (rc != SQLITE_OK) return rc;
  int before = f->merged;
  for (int i = 0; i < next->block.rows; i++)
    write_append_row(f, &next->block, i);
  bh_held_unref(next);
  if (!write_fits(f, 0, f->merged)) {
    f->merged = before;
    return SQLITE_OK;
  }
  write_note(f, id);
  return write_run(index, BH_INDEX_DROP, id, NULL, 0);
}

/* Merge the changes of one block, which *changes begins with; *n goes down by
** how many they are. */
static int write_one(write_flush *f, const bh_change *changes, uint32_t *n) {
  bh_index *index = f->index;
  int rc = bh_index_see(index, changes[0].rowid);
  if (rc != SQLITE_OK) return rc;
  const bh_held *held = index->seen;
  uint32_t k = 1;
  while (k < *n && (!held || index->seen_last ||
                    changes[k].rowid < index->until))
    k++;
  *n -= k;
  const nn_block *block = held ? &held->block : NULL;
  int rows = block ? block->rows : 0;
  rc = write_room(f, (size_t)rows + k + write_capacity(index));
  if (rc != SQLITE_OK) return rc;
  write_merge(f, block, changes, k);
  f->rows += f->merged - rows;
  int where = WRITE_AMONG;
  if (rows == 0 || changes[0].rowid > nn_block_rowid(block, rows - 1))
    where = WRITE_BEHIND;
  else if (changes[k - 1].rowid < nn_block_rowid(block, 0))
    where = WRITE_BEFORE;
  sqlite3_int64 id = held ? held->id : INT64_MIN;
  if (f->merged < rows && !index->seen_last && f->merged > 0 &&
      nn_block_size(f->merged, 0, index->bytes) < write_capacity(index) / 4)
    rc = write_take_next(f);
  if (rc == SQLITE_OK && f->merged > 0) {
    rc = write_split(f, id, where);
  } else if (rc == SQLITE_OK && held && id == INT64_MIN) {
    rc = write_block(f, id, 0, 0);
  } else if (rc == SQLITE_OK && held) {
    write_note(f, id);
    rc = write_run(index, BH_INDEX_DROP, id, NULL, 0);
  }
  bh_index_unsee(index);
  return rc;
}

/* The list of changes with this flush behind the others; returns its bytes. */
static int write_list(const write_flush *f, const bh_index_state *old,
                      uint8_t *list) {
  size_t n = WRITE_ENTRY + 8 * (size_t)f->id_count;
  size_t from = 0, kept = (size_t)old->change_bytes;
  if (n > WRITE_LIST_MAX) return 0;
  while (from < kept && n + (kept - from) > WRITE_LIST_MAX) {
    uint32_t ids;
    if (kept - from < WRITE_ENTRY) return 0;   /* not a list: begin anew */
    memcpy(&ids, old->changes + from + 8, sizeof(ids));
    if (ids > (kept - from - WRITE_ENTRY) / 8) return 0;
    from += WRITE_ENTRY + 8 * (size_t)ids;
  }
  if (kept > from) memcpy(list, old->changes + from, kept - from);
  uint8_t *entry = list + (kept - from);
  memcpy(entry, &old->stamp, 8);
  memcpy(entry + 8, &f->id_count, 4);
  memcpy(entry + WRITE_ENTRY, f->ids, 8 * (size_t)f->id_count);
  return (int)(kept - from + n);
}

static int write_all(write_flush *f) {
  bh_index *index = f->index;
  bh_index_state state;
  sqlite3_stmt *s;
  uint8_t list[WRITE_LIST_MAX];
  f->block = sqlite3_malloc64(write_capacity(index));
  if (!f->block) return SQLITE_NOMEM;
  int rc = bh_index_read_state(index, &state, &s);
  if (rc != SQLITE_OK) return rc;
  f->rows = state.rows;
  uint32_t n = f->pending.count;
  if (state.rows > INT64_MAX - (sqlite3_int64)n)
    rc = bh_index_corrupt(index, "its number of rows is wrong", 0);
  bh_pending_sort(&f->pending);
  const bh_change *changes = f->pending.changes;
  for (uint32_t left = n; rc == SQLITE_OK && left > 0;)
    rc = write_one(f, changes + (n - left), &left);
  if (rc == SQLITE_OK && f->rows < 0)
    rc = bh_index_corrupt(index, "its number of rows is wrong", 0);
  if (rc == SQLITE_OK) state.change_bytes = write_list(f, &state, list);
  sqlite3_reset(s);
  if (rc != SQLITE_OK) return rc;
  state.changes = list;
  state.stamp = (sqlite3_int64)f->stamp;
  state.rows = f->rows;
  return bh_index_write_state(index, &state);
}

void bh_index_fail(bh_index *index, int rc) {
  index->failed = rc;
  index->failed_savepoint = index->savepoint;
}

int bh_index_flush(bh_index *index) {
  if (index->failed) return index->failed;
  if (index->pending.count == 0) return SQLITE_OK;
  write_flush f;
  memset(&f, 0, sizeof(f));
  f.index = index;
  /* A write that fails may roll all back before it returns, and then what is
  ** pending is dropped: so it is out of reach. */
  f.pending = index->pending;
  memset(&index->pending, 0, sizeof(index->pending));
  unsigned rollbacks = index->rollbacks;
  sqlite3_randomness(sizeof(f.stamp), &f.stamp);
  sqlite3 *db = index->connection->db;
  sqlite3_int64 rowid = sqlite3_last_insert_rowid(db);
  sqlite3_int64 changed = sqlite3_changes(db);
  int rc = write_all(&f);
  if (rc == SQLITE_OK) rc = bh_index_restore_changes(index, changed);
  sqlite3_set_last_insert_rowid(db, rowid);
  sqlite3_free(f.rowids);
  sqlite3_free(f.codes);
  sqlite3_free(f.block);
  bh_pending_free(&f.pending);
  bh_index_drop_pending(index);
  if (rc != SQLITE_OK && rollbacks == index->rollbacks)
    bh_index_fail(index, rc);
  return rc;
}

int bh_index_clear(bh_index *index) {
  bh_index_drop_pending(index);
  bh_index_state state = {0, 0, (const uint8_t *)"", 0};
  sqlite3_randomness(sizeof(state.stamp), &state.stamp);
  int rc = bh_index_exec(index, "DELETE FROM \"%w\".\"%w_blocks\"",
                         index->schema, index->name);
  return rc == SQLITE_OK ? bh_index_write_state(index, &state) : rc;
}

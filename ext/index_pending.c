/*
** What is to be written to the index, gathered in memory.
**
** A row that is inserted, changed or deleted becomes a change, and a later
** change of its rowid replaces that one; a hash finds them.  Their codes lie in
** an array of their own, in the order in which they came.  For index_write.c,
** which flushes them into blocks, they are put in the order of rowids, by radix
** and no more passes than their rowids need: comparing took a tenth of all time
** where rows come in no order.
**
** Here is also what an insertion asks: is there a row with this rowid, among
** the changes or in the blocks, and which rowid is free.
*/
#include <stdlib.h>
#include <string.h>

#include "ext_int.h"
SQLITE_EXTENSION_INIT3

#define PENDING_MAX 131072        /* changes in memory */
#define PENDING_MIN 64
#define PENDING_SLOT_BITS 18      /* of a slot: the change, above it the tag */
#define PENDING_DIGIT 11          /* bits that a pass sorts by */
#define PENDING_RADIX_MIN 1024    /* fewer changes are sorted by comparing */

/* Changes in memory -------------------------------------------------------- */

static uint64_t pending_hash(sqlite3_int64 rowid) {
  return (uint64_t)rowid * 0x9e3779b97f4a7c15u;
}

/* What the slot of a change holds: its number from 1 on and some more bits of
** the hash, which spare a look at the changes of other rowids. */
static uint32_t pending_slot_value(uint64_t hash, uint32_t change) {
  return (uint32_t)(hash >> (32 + PENDING_SLOT_BITS)) << PENDING_SLOT_BITS |
         (change + 1);
}

static uint32_t pending_slot_change(uint32_t slot) {
  return (slot & (((uint32_t)1 << PENDING_SLOT_BITS) - 1)) - 1;
}

/* The slot of a rowid, or the free one where it would stand. */
static uint32_t *pending_slot(bh_index *index, sqlite3_int64 rowid) {
  const bh_pending *pending = &index->pending;
  uint64_t hash = pending_hash(rowid);
  uint32_t mask = 2 * pending->room - 1, tag = pending_slot_value(hash, 0) - 1;
  uint32_t at = (uint32_t)(hash >> 32) & mask, slot;
  while ((slot = pending->slots[at]) != 0 &&
         (slot >> PENDING_SLOT_BITS != tag >> PENDING_SLOT_BITS ||
          pending->changes[pending_slot_change(slot)].rowid != rowid))
    at = (at + 1) & mask;
  return &pending->slots[at];
}

static bh_change *pending_find(bh_index *index, sqlite3_int64 rowid) {
  if (index->pending.count == 0) return NULL;
  if (index->pending.rising && rowid > index->pending.max) return NULL;
  uint32_t slot = *pending_slot(index, rowid);
  return slot ? &index->pending.changes[pending_slot_change(slot)] : NULL;
}

void bh_pending_free(bh_pending *pending) {
  sqlite3_free(pending->changes);
  sqlite3_free(pending->codes);
  sqlite3_free(pending->slots);
  memset(pending, 0, sizeof(*pending));
}

void bh_index_drop_pending(bh_index *index) {
  bh_pending_free(&index->pending);
  index->max_known = 0;
  bh_index_unsee(index);
  bh_known_forget(index);
}

/* Room for twice as many changes. */
static int pending_grow(bh_index *index) {
  uint32_t room = index->pending.room;
  room = room ? 2 * room : PENDING_MIN;
  bh_change *changes = sqlite3_realloc64(index->pending.changes,
                                         room * sizeof(*changes));
  if (!changes) return SQLITE_NOMEM;
  index->pending.changes = changes;
  uint8_t *codes = sqlite3_realloc64(
      index->pending.codes, (sqlite3_uint64)room * (unsigned)index->bytes);
  if (!codes) return SQLITE_NOMEM;
  index->pending.codes = codes;
  uint32_t *slots = sqlite3_malloc64(2 * (sqlite3_uint64)room * sizeof(*slots));
  if (!slots) return SQLITE_NOMEM;
  sqlite3_free(index->pending.slots);
  memset(slots, 0, 2 * (size_t)room * sizeof(*slots));
  index->pending.slots = slots;
  index->pending.room = room;
  for (uint32_t i = 0; i < index->pending.count; i++)
    *pending_slot(index, changes[i].rowid) =
        pending_slot_value(pending_hash(changes[i].rowid), i);
  return SQLITE_OK;
}

/* The change of a rowid, a new one if there is none yet. */
static int pending_change(bh_index *index, sqlite3_int64 rowid,
                        bh_change **out) {
  if (index->failed) return index->failed;
  *out = pending_find(index, rowid);
  if (*out) return SQLITE_OK;
  if (index->pending.count == PENDING_MAX) {
    int rc = bh_index_flush(index);
    if (rc != SQLITE_OK) return rc;
  }
  if (index->pending.count == index->pending.room) {
    int rc = pending_grow(index);
    if (rc != SQLITE_OK) return rc;
  }
  uint32_t i = index->pending.count++;
  *out = &index->pending.changes[i];
  (*out)->rowid = rowid;
  (*out)->code = i;
  *pending_slot(index, rowid) = pending_slot_value(pending_hash(rowid), i);
  if (i == 0) {
    index->pending.rising = 1;
    index->pending.max = rowid;
  } else if (rowid > index->pending.max) {
    index->pending.max = rowid;
  } else {
    index->pending.rising = 0;
  }
  return SQLITE_OK;
}

int bh_index_put(bh_index *index, sqlite3_int64 rowid, const void *code) {
  bh_change *change;
  int rc = pending_change(index, rowid, &change);
  if (rc != SQLITE_OK) return rc;
  change->gone = 0;
  memcpy(index->pending.codes + (size_t)change->code * (size_t)index->bytes,
         code, (size_t)index->bytes);
  return SQLITE_OK;
}

int bh_index_remove(bh_index *index, sqlite3_int64 rowid) {
  bh_change *change;
  int rc = pending_change(index, rowid, &change);
  if (rc != SQLITE_OK) return rc;
  change->gone = 1;
  index->pending.deletions = 1;
  return SQLITE_OK;
}

/* Questions ---------------------------------------------------------------- */

/* Find out the greatest rowid of the blocks. */
static int pending_know_max(bh_index *index) {
  sqlite3_stmt *s;
  if (index->max_known) return SQLITE_OK;
  int rc = bh_index_sql(index, BH_INDEX_LAST, &s);
  if (rc != SQLITE_OK) return rc;
  index->max_any = 0;
  if (sqlite3_step(s) == SQLITE_ROW) {
    bh_held *held;
    rc = bh_index_hold(index, s, NULL, &held);
    sqlite3_reset(s);
    if (rc != SQLITE_OK) return rc;
    index->max_any = held->block.rows > 0;
    if (index->max_any)
      index->max_rowid = nn_block_rowid(&held->block, held->block.rows - 1);
    bh_held_unref(held);
  } else {
    rc = sqlite3_reset(s);
    if (rc != SQLITE_OK) return rc;
  }
  index->max_known = 1;
  return SQLITE_OK;
}

int bh_index_has(bh_index *index, sqlite3_int64 rowid, int *has) {
  if (index->failed) return index->failed;
  const bh_change *change = pending_find(index, rowid);
  *has = change && !change->gone;
  if (change) return SQLITE_OK;
  int rc = pending_know_max(index);
  if (rc != SQLITE_OK) return rc;
  if (!index->max_any || rowid > index->max_rowid ||
      bh_known_has(index, rowid, has))
    return SQLITE_OK;
  rc = bh_index_see(index, rowid);
  if (rc != SQLITE_OK || !index->seen) return rc;
  bh_known_add(index);
  const nn_block *block = &index->seen->block;
  int row = nn_block_find(block, rowid);
  *has = row < block->rows && nn_block_rowid(block, row) == rowid;
  return SQLITE_OK;
}

/* One more than the greatest, as for a table with an INTEGER PRIMARY KEY; where
** that is taken, some other that is free. */
int bh_index_new_rowid(bh_index *index, sqlite3_int64 *rowid) {
  int rc = index->pending.deletions ? bh_index_flush(index) : SQLITE_OK;
  if (rc == SQLITE_OK) rc = pending_know_max(index);
  if (rc != SQLITE_OK) return rc;
  int any = index->max_any;
  sqlite3_int64 max = any ? index->max_rowid : 0;
  if (index->pending.count > 0 && (!any || index->pending.max > max))
    max = index->pending.max;
  *rowid = max + (max < INT64_MAX);
  if (max < INT64_MAX) return SQLITE_OK;
  for (int i = 0; i < 100; i++) {
    int has;
    sqlite3_randomness(sizeof(*rowid), rowid);
    *rowid = (*rowid & (INT64_MAX >> 1)) + 1;
    rc = bh_index_has(index, *rowid, &has);
    if (rc != SQLITE_OK || !has) return rc;
  }
  return SQLITE_FULL;
}

/* Order -------------------------------------------------------------------- */

static int pending_compare(const void *a, const void *b) {
  sqlite3_int64 x = ((const bh_change *)a)->rowid;
  sqlite3_int64 y = ((const bh_change *)b)->rowid;
  return x < y ? -1 : x > y;
}

/* One pass: by the digit that begins at this bit of rowid - least. */
static void pending_pass(const bh_change *from, bh_change *to, uint32_t n,
                         uint64_t least, int bit) {
  uint32_t places[1 << PENDING_DIGIT] = {0}, place = 0;
  const uint64_t mask = (1 << PENDING_DIGIT) - 1;
  for (uint32_t i = 0; i < n; i++)
    places[((uint64_t)from[i].rowid - least) >> bit & mask]++;
  for (uint32_t d = 0; d <= mask; d++) {
    uint32_t count = places[d];
    places[d] = place;
    place += count;
  }
  for (uint32_t i = 0; i < n; i++)
    to[places[((uint64_t)from[i].rowid - least) >> bit & mask]++] = from[i];
}

void bh_pending_sort(bh_pending *pending) {
  bh_change *changes = pending->changes, *spare = NULL;
  uint32_t n = pending->count;
  if (pending->rising) return;
  if (n >= PENDING_RADIX_MIN) spare = sqlite3_malloc64(n * sizeof(*spare));
  if (!spare) {
    qsort(changes, n, sizeof(*changes), pending_compare);
    return;
  }
  sqlite3_int64 least = pending->max;
  for (uint32_t i = 0; i < n; i++)
    if (changes[i].rowid < least) least = changes[i].rowid;
  uint64_t span = (uint64_t)pending->max - (uint64_t)least;
  for (int bit = 0; bit < 64 && span >> bit; bit += PENDING_DIGIT) {
    pending_pass(changes, spare, n, (uint64_t)least, bit);
    bh_change *swap = changes;
    changes = spare;
    spare = swap;
  }
  pending->changes = changes;
  sqlite3_free(spare);
}

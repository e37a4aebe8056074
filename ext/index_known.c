/*
** Which rowids the blocks of an index have, as far as a transaction has seen.
**
**   BEGIN; INSERT INTO photo_codes(rowid, code) VALUES (?, ?); ... COMMIT;
**
** Each row that is inserted must be told from one that is there already, so an
** INSERT of a rowid that is not the greatest looks into the block where that
** would stand (bh_index_see).  To read a block, sum it up and check it takes as
** long as inserting five rows; and of rows that come in no order, hardly two in
** turn belong into the same one.  So of each block that was looked into its
** rowids stay here, without the codes, a kilobyte or two of it, or nothing but
** their number where they have no gaps, and later rows of that block are
** answered from here.
**
** They are found by the id of their block, in an array in the order of ids.
** What is here is true for as long as the blocks are not written, so a flush, a
** rollback and the end of the transaction forget it all.  So does growing to
** KNOWN_BYTES_MAX; then it begins anew, as it does without memory.
*/
#include <string.h>

#include "ext_int.h"
SQLITE_EXTENSION_INIT3

#define KNOWN_BYTES_MAX ((size_t)32 << 20)
#define KNOWN_ROOM_MIN 16

/* The rowids from its block's id on and before `until`. */
typedef struct known_block {
  nn_block block;              /* without planes */
  sqlite3_int64 until;
  int last;                    /* there is no block behind it */
  uint8_t offsets[];
} known_block;

struct bh_known {
  size_t count, room, bytes;
  sqlite3_int64 *ids;          /* rising */
  known_block **blocks;        /* one for each id */
};

void bh_known_forget(bh_index *index) {
  struct bh_known *known = index->known;
  if (!known) return;
  for (size_t i = 0; i < known->count; i++) sqlite3_free(known->blocks[i]);
  sqlite3_free(known->blocks);
  sqlite3_free(known->ids);
  sqlite3_free(known);
  index->known = NULL;
}

/* How many ids are not above this one. */
static size_t known_find(const struct bh_known *known, sqlite3_int64 id) {
  size_t low = 0, high = known->count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (known->ids[middle] <= id) low = middle + 1;
    else high = middle;
  }
  return low;
}

int bh_known_has(const bh_index *index, sqlite3_int64 rowid, int *has) {
  const struct bh_known *known = index->known;
  size_t at = known ? known_find(known, rowid) : 0;
  if (at == 0) return 0;
  const known_block *k = known->blocks[at - 1];
  if (!k->last && rowid >= k->until) return 0;
  int row = nn_block_find(&k->block, rowid);
  *has = row < k->block.rows && nn_block_rowid(&k->block, row) == rowid;
  return 1;
}

/* Room for one more. */
static int known_grow(struct bh_known *known) {
  if (known->count < known->room) return 1;
  size_t room = known->room ? 2 * known->room : KNOWN_ROOM_MIN;
  sqlite3_int64 *ids = sqlite3_realloc64(known->ids, room * sizeof(*ids));
  if (!ids) return 0;
  known->ids = ids;
  known_block **blocks =
      sqlite3_realloc64(known->blocks, room * sizeof(*blocks));
  if (!blocks) return 0;
  known->blocks = blocks;
  known->room = room;
  return 1;
}

static known_block *known_copy(const bh_index *index, size_t n) {
  known_block *k = sqlite3_malloc64(sizeof(*k) + n);
  if (!k) return NULL;
  k->block = index->seen->block;
  memcpy(k->offsets, k->block.offsets, n);
  k->block.offsets = k->offsets;
  k->block.planes = NULL;
  k->until = index->until;
  k->last = index->seen_last;
  return k;
}

void bh_known_add(bh_index *index) {
  const bh_held *held = index->seen;
  size_t n = (size_t)held->block.rows * (size_t)held->block.width;
  size_t weight = sizeof(known_block) + n + sizeof(held->id) + sizeof(held);
  if (index->known && index->known->bytes + weight > KNOWN_BYTES_MAX)
    bh_known_forget(index);
  if (!index->known) {
    index->known = sqlite3_malloc64(sizeof(*index->known));
    if (!index->known) return;
    memset(index->known, 0, sizeof(*index->known));
  }
  struct bh_known *known = index->known;
  size_t at = known_find(known, held->id);
  if (at > 0 && known->ids[at - 1] == held->id) return;
  if (!known_grow(known)) return;
  known_block *k = known_copy(index, n);
  if (!k) return;
  size_t behind = known->count - at;
  memmove(known->ids + at + 1, known->ids + at, behind * sizeof(*known->ids));
  memmove(known->blocks + at + 1, known->blocks + at,
          behind * sizeof(*known->blocks));
  known->ids[at] = held->id;
  known->blocks[at] = k;
  known->count++;
  known->bytes += weight;
}

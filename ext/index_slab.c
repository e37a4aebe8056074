/*
** Memory for the blocks of a large table, many in one piece.
**
**   SELECT rowid, distance FROM photo_codes WHERE query = ? LIMIT 10;
**
** A scan of ten million codes reads 60 MB and more.  In pages of 4 KB the CPU
** has to look up where each page is, a tenth to a quarter of the scan's time;
** pieces of many MB can have pages of 2 MB, which are asked for.  So a walk
** that reads a whole table (index_cache.c) lays its blocks into slabs, one
** behind the other, in the order in which they will be scanned.
**
** Blocks are let go one by one, but a slab as a whole, when the last of its
** blocks is gone: the cache counts what is dead in between, and reads all anew
** when that is much.  Small tables have no slabs, nor do blocks that are read
** singly; and where there is no memory for a slab, a block has its own.
*/
#include <string.h>

#include "ext_int.h"
SQLITE_EXTENSION_INIT3

#define SLAB_BYTES ((sqlite3_int64)32 << 20)
#define SLAB_BYTES_MIN ((sqlite3_int64)4 << 20)
#define SLAB_TABLE_MIN ((sqlite3_int64)16 << 20)
#define SLAB_ALIGN 16

struct bh_slab {
  int references;              /* of blocks, and of who fills it */
  size_t used, room;
  uint64_t counted;            /* bh_slab_used of this version was told */
  uint8_t *bytes;
};

void bh_slabs_open(bh_slabs *slabs, const bh_index *index, sqlite3_int64 rows,
                   sqlite3_int64 most, int few) {
  sqlite3_int64 each = index->bytes;
  memset(slabs, 0, sizeof(*slabs));
  slabs->few = few;
  /* What is around the codes is a twentieth or so.  The number of rows is the
  ** file's word and not to be trusted. */
  each += each / 20 + 1;
  slabs->left = rows < INT64_MAX / each ? rows * each : INT64_MAX;
  if (slabs->left < SLAB_TABLE_MIN) slabs->left = 0;
  else if (slabs->left > most) slabs->left = most > 0 ? most : 0;
}

static void slab_unref(bh_slab *slab) {
  if (!slab || --slab->references > 0) return;
  nn_free(&bh_memory, slab->bytes);
  sqlite3_free(slab);
}

sqlite3_int64 bh_slab_used(bh_slab *slab, uint64_t version) {
  if (slab->counted == version) return 0;
  slab->counted = version;
  return (sqlite3_int64)slab->used;
}

void bh_slabs_close(bh_slabs *slabs) {
  slab_unref(slabs->current);
  slabs->current = NULL;
}

/* A slab for what is left, but, where few were to come, for no more than came
** so far; NULL where none is wanted or there is no memory, and then none is
** tried again. */
static bh_slab *slab_new(bh_slabs *slabs) {
  sqlite3_int64 bytes = slabs->left - slabs->taken;
  if (slabs->few && bytes > slabs->taken) bytes = slabs->taken;
  if (slabs->left == 0 || (slabs->few && bytes < SLAB_BYTES_MIN)) return NULL;
  if (bytes < SLAB_BYTES_MIN) bytes = SLAB_BYTES_MIN;
  if (bytes > SLAB_BYTES) bytes = SLAB_BYTES;
  bh_slab *slab = sqlite3_malloc64(sizeof(*slab));
  uint8_t *memory = slab ? nn_alloc(&bh_memory, (size_t)bytes) : NULL;
  if (!memory) {
    sqlite3_free(slab);
    slabs->left = 0;
    return NULL;
  }
  nn_large_pages(memory, (size_t)bytes);
  memset(slab, 0, sizeof(*slab));
  slab->references = 1;
  slab->room = (size_t)bytes;
  slab->bytes = memory;
  return slab;
}

bh_held *bh_held_new(bh_slabs *slabs, size_t bytes) {
  size_t n = (sizeof(bh_held) + bytes + SLAB_ALIGN - 1) / SLAB_ALIGN *
             SLAB_ALIGN;
  bh_slab *slab = slabs ? slabs->current : NULL;
  if (slabs && (!slab || n > slab->room - slab->used)) {
    bh_slabs_close(slabs);
    slab = slabs->current = slab_new(slabs);
  }
  if (slabs) slabs->taken += (sqlite3_int64)n;
  if (slab && n > slab->room - slab->used) slab = NULL;
  bh_held *held = slab ? (bh_held *)(slab->bytes + slab->used)
                       : sqlite3_malloc64(n);
  if (!held) return NULL;
  memset(held, 0, sizeof(*held));
  held->references = 1;
  held->slab = slab;
  if (slab) {
    slab->used += n;
    slab->references++;
  }
  return held;
}

void bh_held_unref(bh_held *held) {
  if (!held || --held->references > 0) return;
  if (held->slab) slab_unref(held->slab);
  else sqlite3_free(held);
}

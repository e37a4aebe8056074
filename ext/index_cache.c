/*
** The index in memory: a copy of its blocks, which is only ever a cache.
**
** A search wants all codes, and finds them here if they fit into what
** binhash_config('cache_bytes') allows the indexes of a connection.  The blocks
** are kept as they are on disk, 6.3 bytes a row for codes of 48 bits, those of
** a large table in a few pieces of memory (index_slab.c).
**
** Is the copy the truth?  Before each search one row is read, the state
** (index_store.c), and its random stamp compared with the copy's.  If they
** differ, and the state's list of changes knows the copy's stamp, the blocks
** that are named from there on are read again, one by one.  Otherwise all
** blocks are walked through, but those whose own stamp is the same as in the
** copy are not copied and not checked again.  Nothing here depends on who
** changed the table, on this connection or another, nor on rollbacks.
**
** A snapshot never changes while a cursor holds it: what a refresh would
** replace is then copied first (pointers only; blocks are shared).  So a search
** that is under way gives the rows that were there when it began.
**
** The multi-index (nn/multi.c) is built over the blocks of one snapshot, when
** enough rows have been scanned that its building would have paid for itself.
** It holds those blocks for as long as it lives.  Later snapshots use it too:
** each block knows since which version it is gone, and a snapshot lists the
** blocks that the multi-index has not seen, which are scanned.  When those are
** more than a sixteenth of the rows it is dropped, and the counting begins
** anew.  Learned codes crowd into a few buckets, and then probing may cost more
** than a scan, all the more where a scan soon has enough equal codes.  So both
** are timed.  A multi-index that has lost more than it saved is dropped, and
** built again only after so many more scans that trying costs next to nothing.
*/
#include <string.h>

#include "ext_int.h"
SQLITE_EXTENSION_INIT3

#define CACHE_ENTRY 12         /* bytes of an entry of the list, without ids */
/* Scans of the whole table that cost as much as building the multi-index. */
#define CACHE_BUILD_SCANS 100
/* Below this a scan is always as fast. */
#define CACHE_MULTI_ROWS 65536
/* Of that many scans the times count, those of one search as two at most, and
** that many scans may be lost or count as saved. */
#define CACHE_LATELY 8
#define CACHE_LOSS 2
#define CACHE_TRUST 8
/* How many times as many scans come before it is tried again. */
#define CACHE_AGAIN 32
/* The part of a copy that may be of blocks in its slabs that are gone. */
#define CACHE_DEAD 4

static sqlite3_int64 cache_weight(const bh_held *held) {
  return (sqlite3_int64)(sizeof(*held) + held->size + sizeof(held) + 16);
}

/* What this table's copy may take, beside those of other tables. */
static sqlite3_int64 cache_allowed(const bh_index *index,
                                   const bh_snapshot *snapshot) {
  return index->connection->config.cache_bytes -
         index->connection->index_bytes + (snapshot ? snapshot->bytes : 0);
}

/* Snapshots ---------------------------------------------------------------- */

void bh_snapshot_unref(bh_index *index, bh_snapshot *snapshot) {
  if (!snapshot || --snapshot->references > 0) return;
  index->connection->index_bytes -= snapshot->bytes;
  for (size_t i = 0; i < snapshot->count; i++)
    bh_held_unref(snapshot->held[i]);
  sqlite3_free(snapshot->held);
  sqlite3_free(snapshot->fresh);
  sqlite3_free(snapshot);
}

static void cache_set_bytes(bh_index *index, bh_snapshot *snapshot,
                            sqlite3_int64 bytes) {
  index->connection->index_bytes += bytes - snapshot->bytes;
  snapshot->bytes = bytes;
}

static bh_snapshot *cache_new(bh_index *index) {
  bh_snapshot *snapshot = sqlite3_malloc64(sizeof(*snapshot));
  if (!snapshot) return NULL;
  memset(snapshot, 0, sizeof(*snapshot));
  snapshot->references = 1;
  snapshot->version = ++index->versions;
  return snapshot;
}

static int cache_room(bh_snapshot *snapshot, size_t room) {
  if (room <= snapshot->room) return SQLITE_OK;
  if (room < 2 * snapshot->room) room = 2 * snapshot->room;
  bh_held **held = sqlite3_realloc64(snapshot->held, room * sizeof(*held));
  if (!held) return SQLITE_NOMEM;
  snapshot->held = held;
  snapshot->room = room;
  return SQLITE_OK;
}

/* Put a block, whose reference the snapshot takes, at a place. */
static int cache_insert(bh_index *index, bh_snapshot *snapshot, size_t at,
                        bh_held *held) {
  int rc = cache_room(snapshot, snapshot->count + 1);
  if (rc != SQLITE_OK) {
    bh_held_unref(held);
    return rc;
  }
  memmove(snapshot->held + at + 1, snapshot->held + at,
          (snapshot->count - at) * sizeof(*snapshot->held));
  snapshot->held[at] = held;
  snapshot->count++;
  snapshot->rows += held->block.rows;
  cache_set_bytes(index, snapshot, snapshot->bytes + cache_weight(held));
  return SQLITE_OK;
}

static void cache_remove(bh_index *index, bh_snapshot *snapshot, size_t at) {
  bh_held *held = snapshot->held[at];
  memmove(snapshot->held + at, snapshot->held + at + 1,
          (snapshot->count - at - 1) * sizeof(*snapshot->held));
  snapshot->count--;
  snapshot->rows -= held->block.rows;
  cache_set_bytes(index, snapshot, snapshot->bytes - cache_weight(held));
  held->removed = snapshot->version;
  bh_held_unref(held);
}

size_t bh_snapshot_find(const bh_snapshot *snapshot, sqlite3_int64 rowid) {
  size_t low = 0, high = snapshot->count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (snapshot->held[middle]->id <= rowid) low = middle + 1;
    else high = middle;
  }
  return low > 0 ? low - 1 : 0;
}

/* The same blocks for a new version. */
static int cache_copy(bh_index *index, const bh_snapshot *old,
                      bh_snapshot **out) {
  bh_snapshot *copy = cache_new(index);
  if (!copy) return SQLITE_NOMEM;
  if (cache_room(copy, old->count + 16) != SQLITE_OK) {
    bh_snapshot_unref(index, copy);
    return SQLITE_NOMEM;
  }
  for (size_t i = 0; i < old->count; i++) {
    copy->held[i] = old->held[i];
    copy->held[i]->references++;
  }
  copy->count = old->count;
  copy->rows = old->rows;
  copy->dead = old->dead;
  cache_set_bytes(index, copy, old->bytes);
  *out = copy;
  return SQLITE_OK;
}

/* Refreshing --------------------------------------------------------------- */

/* Rows of neighbours must not overlap, which no block can tell of itself. */
static int cache_check_order(bh_index *index, const bh_snapshot *snapshot) {
  for (size_t i = 1; i < snapshot->count; i++) {
    const bh_held *held = snapshot->held[i - 1];
    if (held->block.rows > 0 &&
        nn_block_rowid(&held->block, held->block.rows - 1) >=
            snapshot->held[i]->id)
      return bh_index_corrupt(index, "it has rows of the block behind it",
                              held->id);
  }
  return SQLITE_OK;
}

/* Look at one block again. */
static int cache_reload(bh_index *index, bh_snapshot *snapshot,
                        sqlite3_int64 id) {
  sqlite3_stmt *s;
  bh_held *held = NULL;
  int rc = bh_index_sql(index, BH_INDEX_GET, &s);
  if (rc != SQLITE_OK) return rc;
  sqlite3_bind_int64(s, 1, id);
  if (sqlite3_step(s) == SQLITE_ROW) {
    rc = bh_index_hold(index, s, NULL, &held);
    sqlite3_reset(s);
  } else {
    rc = sqlite3_reset(s);
  }
  if (rc != SQLITE_OK) return rc;
  size_t at = bh_snapshot_find(snapshot, id);
  int there = at < snapshot->count && snapshot->held[at]->id == id;
  if (there) cache_remove(index, snapshot, at);
  else if (at < snapshot->count && snapshot->held[at]->id < id) at++;
  return held ? cache_insert(index, snapshot, at, held) : SQLITE_OK;
}

/* The ids that changed since a stamp, for as long as the state's list goes
** back; *count is -1 where it does not. */
static void cache_changes(const bh_index_state *state, sqlite3_int64 stamp,
                          const uint8_t **ids, int *count) {
  const uint8_t *p = state->changes, *end = p ? p + state->change_bytes : p;
  *count = -1;
  while (end - p >= CACHE_ENTRY) {
    uint32_t n;
    memcpy(&n, p + 8, sizeof(n));
    if (n > (size_t)(end - p - CACHE_ENTRY) / 8) break;
    if (memcmp(p, &stamp, 8) == 0) {
      *ids = p;
      *count = (int)(end - p);
      return;
    }
    p += CACHE_ENTRY + 8 * (size_t)n;
  }
}

/* From one stamp to the next by the list of changes. */
static int cache_follow(bh_index *index, bh_snapshot *snapshot,
                        const uint8_t *list, int bytes) {
  const uint8_t *p = list, *end = list + bytes;
  int rc = SQLITE_OK;
  while (rc == SQLITE_OK && end - p >= CACHE_ENTRY) {
    uint32_t n;
    memcpy(&n, p + 8, sizeof(n));
    p += CACHE_ENTRY;
    if (n > (size_t)(end - p) / 8) break;
    for (uint32_t i = 0; rc == SQLITE_OK && i < n; i++, p += 8) {
      sqlite3_int64 id;
      memcpy(&id, p, sizeof(id));
      rc = cache_reload(index, snapshot, id);
    }
  }
  return rc;
}

/* Is the row of the walk the block that we have? */
static int cache_same(sqlite3_stmt *s, const bh_held *held) {
  const void *bytes = sqlite3_column_blob(s, 1);
  return bytes && sqlite3_column_bytes(s, 1) == (int)held->size &&
         memcmp(bytes, held->bytes, 24) == 0;
}

/* All blocks into a snapshot, those of the old one where they are the same.
** *full: they are more than is allowed, or are with those of the old one. */
static int cache_walk(bh_index *index, bh_snapshot *old, bh_snapshot *snapshot,
                      sqlite3_int64 rows, int *full) {
  sqlite3_stmt *s;
  size_t at = 0;
  bh_slabs slabs;
  sqlite3_int64 allowed = cache_allowed(index, old);
  sqlite3_int64 beside = old ? old->bytes : 0;   /* what is not shared */
  int rc = bh_index_sql(index, BH_INDEX_WALK, &s);
  if (rc != SQLITE_OK) return rc;
  bh_slabs_open(&slabs, index, rows, allowed - beside, old != NULL);
  while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
    bh_held *held;
    sqlite3_int64 id = sqlite3_column_int64(s, 0);
    while (old && at < old->count && old->held[at]->id < id) at++;
    if (old && at < old->count && old->held[at]->id == id &&
        cache_same(s, old->held[at])) {
      held = old->held[at];
      held->references++;
      beside -= cache_weight(held);
      rc = SQLITE_OK;
    } else {
      rc = bh_index_hold(index, s, &slabs, &held);
    }
    if (rc == SQLITE_OK)
      rc = cache_insert(index, snapshot, snapshot->count, held);
    *full = snapshot->bytes + beside > allowed;
    if (rc != SQLITE_OK || *full) break;
  }
  bh_slabs_close(&slabs);
  int done = sqlite3_reset(s);
  if (rc == SQLITE_DONE || rc == SQLITE_ROW) rc = done;
  return rc;
}

/* A walk beside the copy that there was, or without it where there is no room
** for both.  Blocks of the old one that the new one has not are gone since the
** new version. */
static int cache_walk_anew(bh_index *index, sqlite3_int64 rows,
                           bh_snapshot **out) {
  bh_snapshot *old = index->snapshot, *snapshot = cache_new(index);
  int full = 0;
  *out = NULL;
  if (!snapshot) return SQLITE_NOMEM;
  int rc = cache_walk(index, old, snapshot, rows, &full);
  size_t j = 0;
  for (size_t i = 0; rc == SQLITE_OK && !full && old && i < old->count; i++) {
    while (j < snapshot->count && snapshot->held[j]->id < old->held[i]->id) j++;
    if (j == snapshot->count || snapshot->held[j] != old->held[i])
      old->held[i]->removed = snapshot->version;
  }
  if (rc == SQLITE_OK && !full) *out = snapshot;
  else bh_snapshot_unref(index, snapshot);
  if (rc != SQLITE_OK || !full || !old) return rc;
  bh_index_drop_cache(index);
  return cache_walk_anew(index, rows, out);
}

/* The multi-index and a new version ---------------------------------------- */

void bh_multi_unref(bh_multi *multi) {
  if (!multi || --multi->references > 0) return;
  for (size_t i = 0; i < multi->count; i++) bh_held_unref(multi->held[i]);
  sqlite3_free(multi->held);
  nn_multi_close(multi->multi);
  sqlite3_free(multi);
}

static void cache_drop_multi(bh_index *index) {
  if (!index->multi) return;
  index->connection->index_bytes -= index->multi_bytes;
  index->multi_bytes = 0;
  bh_multi_unref(index->multi);
  index->multi = NULL;
  index->scanned = 0;
  index->saved = 0;
}

void bh_index_judge(bh_index *index, const bh_multi *multi,
                    sqlite3_int64 took) {
  sqlite3_int64 scan = index->scan_took, trust = CACHE_TRUST * scan;
  if (!multi) {
    index->scan_took += scan > 0 ? (took - scan) / CACHE_LATELY : took;
    return;
  }
  if (multi != index->multi || scan <= 0 ||
      index->connection->config.multi_index != 1)
    return;
  /* A thread may have had to wait: no search alone says much. */
  index->saved += took < CACHE_LOSS * scan ? scan - took : -CACHE_LOSS * scan;
  if (index->saved > trust) index->saved = trust;
  if (index->saved >= -trust) return;
  sqlite3_int64 again = CACHE_AGAIN * CACHE_BUILD_SCANS * multi->rows;
  cache_drop_multi(index);
  index->scanned = -again;
}

/* List the blocks that the multi-index does not have; without much of the
** table in it, it is of no use. */
static int cache_list_fresh(bh_index *index, bh_snapshot *snapshot) {
  sqlite3_int64 fresh = 0;
  snapshot->fresh_count = 0;
  if (!index->multi) return SQLITE_OK;
  for (size_t i = 0; i < snapshot->count; i++) {
    if (snapshot->held[i]->indexed == index->multi->number) continue;
    fresh += snapshot->held[i]->block.rows;
    if (snapshot->fresh_count == snapshot->fresh_room) {
      size_t room = snapshot->fresh_room ? 2 * snapshot->fresh_room : 16;
      size_t *list = sqlite3_realloc64(snapshot->fresh, room * sizeof(*list));
      if (!list) return SQLITE_NOMEM;
      snapshot->fresh = list;
      snapshot->fresh_room = room;
    }
    snapshot->fresh[snapshot->fresh_count++] = i;
  }
  sqlite3_int64 lost = index->multi->rows - (snapshot->rows - fresh);
  if (fresh + lost > snapshot->rows / 16) {
    cache_drop_multi(index);
    snapshot->fresh_count = 0;
  }
  return SQLITE_OK;
}

/* Make a refreshed snapshot the table's. */
static int cache_adopt(bh_index *index, bh_snapshot *snapshot,
                       sqlite3_int64 stamp, sqlite3_int64 rows) {
  int rc = cache_check_order(index, snapshot);
  if (rc == SQLITE_OK && snapshot->rows != rows)
    rc = bh_index_corrupt(index, "its number of rows is wrong", 0);
  if (rc == SQLITE_OK) rc = cache_list_fresh(index, snapshot);
  if (rc != SQLITE_OK) {
    bh_snapshot_unref(index, snapshot);
    return rc;
  }
  snapshot->stamp = stamp;
  index->snapshot = snapshot;
  return SQLITE_OK;
}

void bh_index_drop_cache(bh_index *index) {
  cache_drop_multi(index);
  bh_snapshot_unref(index, index->snapshot);
  index->snapshot = NULL;
}

/* Count in what the slabs have beside the snapshot's blocks. */
static void cache_count_dead(bh_index *index, bh_snapshot *snapshot) {
  sqlite3_int64 dead = 0;
  for (size_t i = 0; i < snapshot->count; i++) {
    const bh_held *held = snapshot->held[i];
    if (held->slab)
      dead += bh_slab_used(held->slab, snapshot->version) - cache_weight(held);
  }
  if (dead < 0) dead = 0;
  cache_set_bytes(index, snapshot, snapshot->bytes - snapshot->dead + dead);
  snapshot->dead = dead;
}

/* Keep within what is allowed: a snapshot that takes more, or of which much is
** dead, is let go, and where that is because of the dead all is read anew. */
static int cache_tighten(bh_index *index, sqlite3_int64 rows,
                         bh_snapshot **snapshot) {
  bh_snapshot *loose = *snapshot;
  cache_count_dead(index, loose);
  sqlite3_int64 dead = loose->dead;
  if (dead <= loose->bytes / CACHE_DEAD &&
      loose->bytes <= cache_allowed(index, loose))
    return SQLITE_OK;
  *snapshot = NULL;
  bh_snapshot_unref(index, loose);
  cache_drop_multi(index);
  return dead > 0 ? cache_walk_anew(index, rows, snapshot) : SQLITE_OK;
}

/* A snapshot of the state.  Where it fails on the way, the copy is dropped:
** it is half of one state and half of another. */
static int cache_refresh(bh_index *index, const bh_index_state *state,
                         bh_snapshot **out) {
  const uint8_t *list = NULL;
  int bytes = -1, rc = SQLITE_OK;
  bh_snapshot *old = index->snapshot, *snapshot = NULL;
  *out = NULL;
  if (old) cache_changes(state, old->stamp, &list, &bytes);
  if (bytes < 0) {
    rc = cache_walk_anew(index, state->rows, &snapshot);
    bh_snapshot_unref(index, index->snapshot);
    index->snapshot = NULL;
  } else {
    if (old->references > 1) {
      rc = cache_copy(index, old, &snapshot);
      bh_snapshot_unref(index, old);
    } else {
      snapshot = old;
      snapshot->version = ++index->versions;
    }
    index->snapshot = NULL;
    if (rc == SQLITE_OK) rc = cache_follow(index, snapshot, list, bytes);
    if (rc != SQLITE_OK) {
      bh_snapshot_unref(index, snapshot);
      snapshot = NULL;
    }
  }
  if (rc == SQLITE_OK && snapshot)
    rc = cache_tighten(index, state->rows, &snapshot);
  if (rc == SQLITE_OK && snapshot)
    rc = cache_adopt(index, snapshot, state->stamp, state->rows);
  if (rc != SQLITE_OK || !snapshot) {
    cache_drop_multi(index);
    /* Memory that is refused is no error: the blocks are streamed instead. */
    return rc == SQLITE_NOMEM ? SQLITE_OK : rc;
  }
  *out = snapshot;
  return SQLITE_OK;
}

int bh_index_snapshot(bh_index *index, bh_snapshot **out) {
  bh_index_state state;
  sqlite3_stmt *s;
  *out = NULL;
  int rc = bh_index_read_state(index, &state, &s);
  if (rc != SQLITE_OK) return rc;
  /* Codes alone; what they take with all around them is seen on the way. */
  sqlite3_int64 allowed = cache_allowed(index, index->snapshot);
  if (state.rows > allowed / index->bytes) {
    bh_index_drop_cache(index);
  } else if (index->snapshot && index->snapshot->stamp == state.stamp) {
    *out = index->snapshot;
  } else {
    rc = cache_refresh(index, &state, out);
  }
  sqlite3_reset(s);
  if (*out) (*out)->references++;
  return rc;
}

/* Build the multi-index of a snapshot. */
static int cache_build(bh_index *index, bh_snapshot *snapshot) {
  nn_error err;
  int rc = SQLITE_NOMEM;
  bh_multi *multi = sqlite3_malloc64(sizeof(*multi));
  nn_block *blocks = sqlite3_malloc64(snapshot->count * sizeof(*blocks));
  if (!multi || !blocks) goto done;
  memset(multi, 0, sizeof(*multi));
  multi->references = 1;
  multi->held = sqlite3_malloc64(snapshot->count * sizeof(*multi->held));
  if (!multi->held) goto done;
  for (size_t i = 0; i < snapshot->count; i++)
    blocks[i] = snapshot->held[i]->block;
  rc = bh_code(nn_multi_build(&bh_memory, index->bits, blocks, snapshot->count,
                              (int)index->connection->config.threads, bh_poll,
                              index->connection, &multi->multi, &err));
  if (rc != SQLITE_OK) goto done;
  multi->number = ++index->multis;
  multi->rows = snapshot->rows;
  multi->count = snapshot->count;
  for (size_t i = 0; i < snapshot->count; i++) {
    multi->held[i] = snapshot->held[i];
    multi->held[i]->references++;
    multi->held[i]->indexed = multi->number;
  }
  snapshot->fresh_count = 0;
  index->multi = multi;
  index->multi_bytes = (sqlite3_int64)nn_multi_bytes(multi->multi);
  index->connection->index_bytes += index->multi_bytes;
  multi = NULL;
done:
  sqlite3_free(blocks);
  if (multi) sqlite3_free(multi->held);
  sqlite3_free(multi);
  return rc;
}

int bh_index_multi(bh_index *index, bh_snapshot *snapshot, bh_multi **out) {
  sqlite3_int64 setting = index->connection->config.multi_index;
  *out = NULL;
  if (setting == 0 || snapshot != index->snapshot) return SQLITE_OK;
  if (!index->multi) {
    if (snapshot->rows < CACHE_MULTI_ROWS ||
        (setting == 1 &&
         index->scanned / CACHE_BUILD_SCANS < snapshot->rows))
      return SQLITE_OK;
    sqlite3_int64 bytes = (sqlite3_int64)nn_multi_bytes_for(
        index->bits, (uint64_t)snapshot->rows);
    if (bytes == 0 || bytes > cache_allowed(index, snapshot) - snapshot->bytes)
      return SQLITE_OK;
    int rc = cache_build(index, snapshot);
    /* Without memory for it the search is a scan. */
    if (rc != SQLITE_OK) return rc == SQLITE_NOMEM ? SQLITE_OK : rc;
  }
  *out = index->multi;
  index->multi->references++;
  return SQLITE_OK;
}

/*
** A search in the index: rows by rising (distance, rowid), as many as are
** asked for.
**
**   SELECT rowid, distance FROM photo_codes WHERE query = ? LIMIT 10;
**
** There are three ways to the same rows, and a search may go from the second
** over to the first:
**
**   scan     a pass over all blocks finds the next rows (nn/top.c).  How many
**            is the LIMIT, if SQLite told it, else a few; when they are used
**            up, another pass finds more, eight times as many.  The blocks are
**            those in memory (index_cache.c) or, where they are more than it
**            may hold, those of the table.  Those in memory are shared out to
**            as many threads as they are worth (nn/sweep.c).
**   probes   the multi-index (nn/multi.c) finds the rows at distance 0, then 1,
**            and so on.  What a step will cost is known before it is done: once
**            the steps would be dearer than a scan, the search goes on as a
**            scan of the distances that are left.  Blocks that the multi-index
**            does not have are scanned, and the two streams are merged.
**   list     rowid IN (...): each row is looked up, and the few are sorted.
**
** All give exactly the same rows in the same order; which one is taken is never
** seen in a result.
**
** Not here: what is in memory and whether it is the truth, and what WHERE said.
*/
#define _GNU_SOURCE   /* clock_gettime with -std=c11 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "ext_int.h"
SQLITE_EXTENSION_INIT3

#define SEARCH_WANT 64         /* rows of the first pass, if nothing is known */
#define SEARCH_WANT_MAX 131072
#define SEARCH_GROWTH 8
#define SEARCH_POLL 2048       /* blocks of a stream between two questions */
/* A candidate of the multi-index costs as much as so many rows of a scan. */
#define SEARCH_CANDIDATE 12

/* Passes over some blocks. */
typedef struct search_pass {
  nn_top *top;
  const size_t *blocks;        /* of the snapshot; NULL: all */
  size_t block_count;
  sqlite3_int64 want, left;    /* of a pass; of it, not handed out yet */
  int started;
  bh_found next;               /* distance -1: none, or not looked for */
  int known;                   /* next is */
} search_pass;

struct bh_search {
  bh_index *index;
  bh_snapshot *snapshot;       /* NULL: the blocks are streamed */
  uint8_t *query;
  int min, max;                /* distances */
  search_pass pass;
  sqlite3_int64 took;          /* nanoseconds, to find rows */
  /* probes */
  bh_multi *multi;
  nn_probe *probe;
  size_t *fresh;               /* blocks for `pass` */
  int step;                    /* distances before it are done with */
  sqlite3_int64 spent, budget;
  bh_found probed;             /* the multi-index's next row, if known */
  int probed_known;
  /* list */
  bh_found *found;
  sqlite3_int64 found_count, found_next;
};

static int search_error(bh_search *search, const nn_error *err) {
  return bh_table_nn_error(&search->index->base, "binhash", err);
}

static sqlite3_int64 search_clock(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (sqlite3_int64)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Passes ------------------------------------------------------------------- */

/* A block of a stream. */
static int search_add(bh_search *search, const nn_block *block) {
  nn_error err;
  search->index->scanned += block->rows;
  if (nn_top_add(search->pass.top, block, NULL, &err) != NN_OK)
    return search_error(search, &err);
  return SQLITE_OK;
}

/* All blocks of the table, one after the other. */
static int search_stream(bh_search *search) {
  sqlite3_stmt *s = NULL;
  bh_index *index = search->index;
  sqlite3_int64 after = 0;     /* the greatest rowid so far */
  int n = 0;
  /* A statement of its own: another search may be under way in the index's. */
  int rc = bh_index_prepare(index, &s, "SELECT id, block FROM "
                            "\"%w\".\"%w_blocks\" ORDER BY id",
                            index->schema, index->name);
  while (rc == SQLITE_OK && (rc = sqlite3_step(s)) == SQLITE_ROW) {
    bh_held *held;
    rc = bh_index_hold(index, s, NULL, &held);
    if (rc != SQLITE_OK) break;
    const nn_block *block = &held->block;
    if (n > 0 && after >= held->id)
      rc = bh_index_corrupt(index, "the one before it has rows of it",
                            held->id);
    after = block->rows > 0 ? nn_block_rowid(block, block->rows - 1)
                            : held->id;
    if (rc == SQLITE_OK) rc = search_add(search, block);
    bh_held_unref(held);
    if (rc == SQLITE_OK && ++n % SEARCH_POLL == 0 && bh_poll(index->connection))
      rc = SQLITE_INTERRUPT;
  }
  int done = sqlite3_finalize(s);
  return rc == SQLITE_DONE || rc == SQLITE_OK ? done : rc;
}

/* Block i of a pass over those in memory; asked by several threads. */
static const nn_block *search_block(const void *context, size_t i) {
  const bh_search *search = context;
  const search_pass *pass = &search->pass;
  return &search->snapshot->held[pass->blocks ? pass->blocks[i] : i]->block;
}

static int search_cached(bh_search *search) {
  const search_pass *pass = &search->pass;
  bh_connection *connection = search->index->connection;
  nn_blocks blocks = {search_block, search, pass->blocks ? pass->block_count
                                                : search->snapshot->count};
  nn_error err;
  uint64_t before = nn_top_compared(pass->top);
  if (nn_top_sweep(pass->top, &blocks, (int)connection->config.threads, bh_poll,
                   connection, &err) != NN_OK)
    return search_error(search, &err);
  search->index->scanned +=
      (sqlite3_int64)(nn_top_compared(pass->top) - before);
  return SQLITE_OK;
}

/* The next pass. */
static int search_run_pass(bh_search *search) {
  search_pass *pass = &search->pass;
  nn_error err;
  if (pass->started) {
    pass->want *= SEARCH_GROWTH;
    if (pass->want > SEARCH_WANT_MAX) pass->want = SEARCH_WANT_MAX;
  }
  pass->started = 1;
  pass->left = pass->want;
  if (nn_top_begin(pass->top, (uint64_t)pass->want, search->min, search->max,
                   &err) != NN_OK)
    return search_error(search, &err);
  if (search->snapshot) return search_cached(search);
  int rc = search_stream(search);
  if (rc == SQLITE_OK && nn_top_end(pass->top, &err) != NN_OK)
    rc = search_error(search, &err);
  return rc;
}

/* Make the next row of the passes known; at the end its distance is -1. */
static int search_peek(bh_search *search) {
  search_pass *pass = &search->pass;
  if (pass->known) return SQLITE_OK;
  for (;;) {
    int64_t rowid;
    if (pass->started &&
        nn_top_row(pass->top, &rowid, &pass->next.distance)) {
      pass->next.rowid = rowid;
      pass->left--;
      break;
    }
    pass->next.distance = -1;
    if (pass->started && pass->left > 0) break;   /* it was the last */
    sqlite3_int64 began = search_clock();
    int rc = search_run_pass(search);
    search->took += search_clock() - began;
    if (rc != SQLITE_OK) return rc;
  }
  pass->known = 1;
  return SQLITE_OK;
}

static int search_next_of_pass(bh_search *search, bh_found *found) {
  int rc = search_peek(search);
  *found = search->pass.next;
  /* The end stays known. */
  if (found->distance >= 0) search->pass.known = 0;
  return rc;
}

/* Probes ------------------------------------------------------------------- */

/* From here on the rest is scanned: all blocks, distances from `step` on. */
static void search_give_up_probes(bh_search *search) {
  nn_probe_close(search->probe);
  search->probe = NULL;
  nn_top_after(search->pass.top, search->step - 1, INT64_MAX);
  search->pass.blocks = NULL;
  search->pass.known = search->pass.started = 0;
}

/* The next row that the multi-index has at the distances done so far. */
static int search_probed(bh_search *search, bh_found *found) {
  uint32_t block, row;
  found->distance = -1;
  if (search->step == 0) return 0;
  while (nn_probe_row(search->probe, &block, &row)) {
    const bh_held *held = search->multi->held[block];
    if (held->removed <= search->snapshot->version) continue;
    found->rowid = nn_block_rowid(&held->block, (int)row);
    found->distance = search->step - 1;
    return 1;
  }
  return 0;
}

/* The next step; 0: the rest is cheaper by a scan, or there is no memory, which
** a scan does without. */
static int search_step(bh_search *search) {
  nn_error err;
  sqlite3_int64 began = search_clock();
  sqlite3_int64 cost = (sqlite3_int64)nn_probe_cost(search->probe);
  int done = search->spent + cost <= search->budget;
  if (done) {
    search->spent += cost;
    done = nn_probe_step(search->probe, &err) == NN_OK;
  }
  search->step += done;
  search->took += search_clock() - began;
  return done;
}

static int search_next_of_probes(bh_search *search, bh_found *found) {
  for (;;) {
    /* Rows of the blocks that are scanned come in between: first those nearer
    ** than what the multi-index holds at this distance, and among equals the
    ** one with the lower rowid. */
    int rc = search_peek(search);
    if (rc != SQLITE_OK) return rc;
    bh_found scanned = search->pass.next;
    if (!search->probed_known)
      search->probed_known = search_probed(search, &search->probed);
    int take_scanned =
        scanned.distance >= 0 && scanned.distance < search->step &&
        (!search->probed_known ||
         scanned.distance < search->probed.distance ||
         (scanned.distance == search->probed.distance &&
          scanned.rowid < search->probed.rowid));
    if (take_scanned) {
      *found = scanned;
      search->pass.known = 0;
      return SQLITE_OK;
    }
    if (search->probed_known) {
      *found = search->probed;
      search->probed_known = 0;
      if (found->distance < search->min) continue;
      return SQLITE_OK;
    }
    if (search->step > search->max) {
      found->distance = -1;
      return SQLITE_OK;
    }
    if (!search_step(search)) {
      search_give_up_probes(search);
      return search_next_of_pass(search, found);
    }
  }
}

static int search_open_probes(bh_search *search, sqlite3_int64 hint) {
  nn_error err;
  uint64_t wanted = UINT64_MAX;
  bh_snapshot *snapshot = search->snapshot;
  int rc = bh_index_multi(search->index, snapshot, &search->multi);
  if (rc != SQLITE_OK || !search->multi) return rc;
  size_t n = snapshot->fresh_count;
  search->fresh = sqlite3_malloc64((n + 1) * sizeof(*search->fresh));
  if (!search->fresh) return SQLITE_NOMEM;
  if (n > 0) memcpy(search->fresh, snapshot->fresh, n * sizeof(*search->fresh));
  search->pass.blocks = search->fresh;
  search->pass.block_count = n;
  search->budget = snapshot->rows / SEARCH_CANDIDATE;
  /* Of the nearest rows some may be gone, or come from blocks that are
  ** scanned. */
  if (hint > 0 && search->min <= 0)
    wanted = (uint64_t)hint + (n > 0 ? SEARCH_WANT : 0);
  if (nn_probe_open(&bh_memory, search->multi->multi, search->query,
                    (uint64_t)search->budget, search->max, wanted,
                    &search->probe, &err) != NN_OK)
    return search_error(search, &err);
  return SQLITE_OK;
}

/* Lists -------------------------------------------------------------------- */

static int search_compare(const void *a, const void *b) {
  const bh_found *x = a, *y = b;
  if (x->distance != y->distance) return x->distance < y->distance ? -1 : 1;
  return x->rowid < y->rowid ? -1 : x->rowid > y->rowid;
}

int bh_search_code(bh_search *search, sqlite3_int64 rowid, uint8_t *code,
                   int *has) {
  bh_index *index = search->index;
  const nn_block *block = NULL;
  *has = 0;
  if (search->snapshot) {
    if (search->snapshot->count == 0) return SQLITE_OK;
    size_t at = bh_snapshot_find(search->snapshot, rowid);
    block = &search->snapshot->held[at]->block;
  } else {
    int rc = bh_index_see(index, rowid);
    if (rc != SQLITE_OK || !index->seen) return rc;
    block = &index->seen->block;
  }
  int row = nn_block_find(block, rowid);
  *has = row < block->rows && nn_block_rowid(block, row) == rowid;
  if (*has) nn_block_code(block, row, code);
  if (!search->snapshot) bh_index_unsee(index);
  return SQLITE_OK;
}

int bh_search_is_cached(const bh_search *search) {
  return search->snapshot != NULL;
}

static int search_list(bh_search *search, const bh_rowids *rowids) {
  uint8_t code[128];
  search->found = sqlite3_malloc64((sqlite3_uint64)rowids->count *
                                   sizeof(*search->found));
  if (!search->found) return SQLITE_NOMEM;
  bh_index_unsee(search->index);
  for (sqlite3_int64 i = 0; i < rowids->count; i++) {
    int has;
    int rc = bh_search_code(search, rowids->list[i], code, &has);
    if (rc != SQLITE_OK) return rc;
    if (!has) continue;
    int distance = (int)nn_hamming(search->query, code,
                                   (size_t)search->index->bytes);
    if (distance < search->min || distance > search->max) continue;
    bh_found *found = &search->found[search->found_count++];
    found->rowid = rowids->list[i];
    found->distance = distance;
  }
  qsort(search->found, (size_t)search->found_count, sizeof(*search->found),
        search_compare);
  return SQLITE_OK;
}

/* The whole ---------------------------------------------------------------- */

void bh_search_close(bh_search *search) {
  if (!search) return;
  if (search->snapshot && search->took > 0)
    bh_index_judge(search->index, search->multi, search->took);
  nn_probe_close(search->probe);
  nn_top_close(search->pass.top);
  bh_multi_unref(search->multi);
  bh_snapshot_unref(search->index, search->snapshot);
  sqlite3_free(search->fresh);
  sqlite3_free(search->found);
  sqlite3_free(search->query);
  sqlite3_free(search);
}

static int search_begin(bh_search *search, const void *query,
                        const bh_rowids *rowids, sqlite3_int64 hint) {
  nn_error err;
  bh_index *index = search->index;
  search->query = sqlite3_malloc64((sqlite3_uint64)index->bytes);
  if (!search->query) return SQLITE_NOMEM;
  memcpy(search->query, query, (size_t)index->bytes);
  int rc = bh_index_snapshot(index, &search->snapshot);
  if (rc != SQLITE_OK) return rc;
  if (rowids->list) return search_list(search, rowids);
  if (nn_top_open(&bh_memory, search->query, index->bits, &search->pass.top,
                  &err) != NN_OK)
    return search_error(search, &err);
  search->pass.want = hint > 0 ? hint : SEARCH_WANT;
  if (search->pass.want > SEARCH_WANT_MAX) search->pass.want = SEARCH_WANT_MAX;
  return search->snapshot ? search_open_probes(search, hint) : SQLITE_OK;
}

int bh_search_open(bh_index *index, const void *query, bh_bounds distance,
                   const bh_rowids *rowids, sqlite3_int64 hint,
                   bh_search **out) {
  bh_search *search = sqlite3_malloc64(sizeof(*search));
  *out = NULL;
  if (!search) return SQLITE_NOMEM;
  memset(search, 0, sizeof(*search));
  search->index = index;
  search->min = (int)distance.min;
  search->max = (int)distance.max;
  int rc = search_begin(search, query, rowids, hint);
  if (rc == SQLITE_OK) *out = search;
  else bh_search_close(search);
  return rc;
}

int bh_search_next(bh_search *search, bh_found *found) {
  if (search->found) {
    if (search->found_next < search->found_count)
      *found = search->found[search->found_next++];
    else
      found->distance = -1;
    return SQLITE_OK;
  }
  return search->probe ? search_next_of_probes(search, found)
                       : search_next_of_pass(search, found);
}

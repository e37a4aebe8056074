/*
** The pool of a search from coarse to fine: the nearest codes, then in the
** order of another distance.  It serves binhash_search.
**
**   nn_pool_wants     a row of the scan: the Hamming distance of its code, if
**   nn_pool_put       it is among the nearest so far; then it is put in, and
**                     the one that is now too far falls out
**   nn_pool_by_rowid  the rows in the order in which a table is best read, for
**                     the caller to give each its distance
**   nn_pool_rank      from here on the rows come out in the order of that
**   nn_pool_next      distance, then of rowids
**
** While it fills, the pool is a heap with the farthest row on top, by Hamming
** distance and then rowid; so a row of the scan costs its Hamming distance and
** one comparison, and a heap's step if it enters.  A pool without a bound keeps
** everything within its radius, in no order.  Ranking makes a heap with the
** nearest row on top, and each row that is taken costs a step of it; no more is
** ordered than is asked for.
**
** A row is 32 bytes, and only rows of the pool are held.  Each carries a
** pointer of the caller's, who frees what it points to.  Not here: what the
** distance is, which is features.c, and where the rows come from.
*/
#include <string.h>

#include "codes.h"
#include "nn_int.h"

#define POOL_ROOM_FIRST ((size_t)64)
#define POOL_POLL 8192   /* steps of a heap between two polls: a millisecond */

struct nn_pool {
  nn_memory mem;
  uint8_t *query;
  size_t n;                 /* bytes of the query and of every code */
  int max_hamming;
  uint64_t bound;           /* rows, at most; 0: none */
  nn_pool_row *rows;
  size_t count, room;
};

/* Is a nearer to the top of a heap than b? */
typedef int pool_above(const nn_pool_row *a, const nn_pool_row *b);

static int pool_farther(const nn_pool_row *a, const nn_pool_row *b) {
  return a->hamming != b->hamming ? a->hamming > b->hamming
                                  : a->rowid > b->rowid;
}

static int pool_later(const nn_pool_row *a, const nn_pool_row *b) {
  return a->rowid > b->rowid;
}

static int pool_nearer(const nn_pool_row *a, const nn_pool_row *b) {
  return a->distance != b->distance ? a->distance < b->distance
                                    : a->rowid < b->rowid;
}

/* A row into the place at i, or below it. */
static void pool_sift(nn_pool_row *heap, size_t count, size_t i,
                      nn_pool_row row, pool_above *above) {
  for (size_t child; (child = 2 * i + 1) < count; i = child) {
    if (child + 1 < count && above(&heap[child + 1], &heap[child])) child++;
    if (!above(&heap[child], &row)) break;
    heap[i] = heap[child];
  }
  heap[i] = row;
}

/* A row into the place at i, which is the last, or above it. */
static void pool_lift(nn_pool_row *heap, size_t i, nn_pool_row row,
                      pool_above *above) {
  for (size_t parent; i > 0 && above(&row, &heap[(i - 1) / 2]); i = parent) {
    parent = (i - 1) / 2;
    heap[i] = heap[parent];
  }
  heap[i] = row;
}

static nn_status pool_poll(size_t step, int (*poll)(void *), void *context,
                           nn_error *err) {
  if (step % POOL_POLL || !poll || !poll(context)) return NN_OK;
  return nn_fail(err, NN_INTERRUPTED, "interrupted");
}

static nn_status pool_heapify(nn_pool *pool, pool_above *above,
                              int (*poll)(void *), void *context,
                              nn_error *err) {
  for (size_t i = pool->count / 2; i-- > 0;) {
    pool_sift(pool->rows, pool->count, i, pool->rows[i], above);
    if (pool_poll(i, poll, context, err) != NN_OK) return err->status;
  }
  return NN_OK;
}

nn_status nn_pool_open(const nn_memory *mem, const void *query, size_t n,
                       int max_hamming, uint64_t bound, nn_pool **out,
                       nn_error *err) {
  *out = NULL;
  if (n == 0 || n > NN_CODE_MAX)
    return nn_fail(err, NN_ARGUMENT, "a code has 1 to %d bytes, not %zu",
                   NN_CODE_MAX, n);
  nn_pool *pool = nn_zalloc(mem, sizeof(*pool));
  if (pool) pool->query = nn_alloc(mem, n);
  if (!pool || !pool->query) {
    nn_free(mem, pool);
    return nn_fail(err, NN_NOMEM, "out of memory");
  }
  pool->mem = *mem;
  memcpy(pool->query, query, n);
  pool->n = n;
  pool->max_hamming = max_hamming;
  pool->bound = bound;
  *out = pool;
  return NN_OK;
}

void nn_pool_close(nn_pool *pool) {
  if (!pool) return;
  nn_memory mem = pool->mem;
  nn_free(&mem, pool->rows);
  nn_free(&mem, pool->query);
  nn_free(&mem, pool);
}

int nn_pool_wants(const nn_pool *pool, int64_t rowid, const void *code) {
  uint64_t hamming = nn_hamming(pool->query, code, pool->n);
  if ((int64_t)hamming > pool->max_hamming) return -1;
  if (pool->bound && pool->count == pool->bound) {
    const nn_pool_row *top = pool->rows;
    if ((int)hamming > top->hamming ||
        ((int)hamming == top->hamming && rowid > top->rowid))
      return -1;
  }
  return (int)hamming;
}

static int pool_grow(nn_pool *pool) {
  if (pool->count < pool->room) return 1;
  size_t room = pool->room ? 2 * pool->room : POOL_ROOM_FIRST;
  nn_pool_row *rows = nn_alloc(&pool->mem, nn_mul(room, sizeof(*rows)));
  if (!rows) return 0;
  if (pool->count) memcpy(rows, pool->rows, pool->count * sizeof(*rows));
  nn_free(&pool->mem, pool->rows);
  pool->rows = rows;
  pool->room = room;
  return 1;
}

nn_status nn_pool_put(nn_pool *pool, const nn_pool_row *row,
                      nn_pool_row *fallen, nn_error *err) {
  fallen->hamming = -1;
  fallen->held = NULL;
  if (pool->bound && pool->count == pool->bound) {
    *fallen = pool->rows[0];
    pool_sift(pool->rows, pool->count, 0, *row, pool_farther);
    return NN_OK;
  }
  if (!pool_grow(pool)) return nn_fail(err, NN_NOMEM, "out of memory");
  if (pool->bound)
    pool_lift(pool->rows, pool->count, *row, pool_farther);
  else
    pool->rows[pool->count] = *row;
  pool->count++;
  return NN_OK;
}

size_t nn_pool_count(const nn_pool *pool) { return pool->count; }

nn_pool_row *nn_pool_at(nn_pool *pool, size_t i) { return &pool->rows[i]; }

/* A heapsort: it needs no memory, and its worst case is its usual one. */
nn_status nn_pool_by_rowid(nn_pool *pool, int (*poll)(void *), void *context,
                           nn_error *err) {
  nn_pool_row *rows = pool->rows;
  nn_status status = pool_heapify(pool, pool_later, poll, context, err);
  for (size_t i = pool->count; status == NN_OK && i-- > 1;) {
    nn_pool_row last = rows[i];
    rows[i] = rows[0];
    pool_sift(rows, i, 0, last, pool_later);
    status = pool_poll(i, poll, context, err);
  }
  return status;
}

nn_status nn_pool_rank(nn_pool *pool, int (*poll)(void *), void *context,
                       nn_error *err) {
  size_t kept = 0;
  for (size_t i = 0; i < pool->count; i++)
    if (pool->rows[i].distance >= 0) pool->rows[kept++] = pool->rows[i];
  pool->count = kept;
  return pool_heapify(pool, pool_nearer, poll, context, err);
}

int nn_pool_next(nn_pool *pool, nn_pool_row *row) {
  if (pool->count == 0) return 0;
  *row = pool->rows[0];
  pool->count--;
  if (pool->count)
    pool_sift(pool->rows, pool->count, 0, pool->rows[pool->count],
              pool_nearer);
  return 1;
}

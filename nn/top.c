/*
** The next rows of many blocks by rising (distance, rowid), found in passes.
**
** A pass wants so many rows.  Two codes have one of only bits + 1 distances, so
** a count of the rows kept at each distance says at any time how near a row
** must be to matter, and no heap is needed:
**
**   rows nearer than T                        are all kept
**   rows at T                                 while fewer than `want` in all
**                                             are kept
**
** T begins at the largest distance allowed, and falls whenever the rows nearer
** than T are `want` alone.  Blocks come in the order of rowids, so of the rows
** at T the first ones are the right ones, and ties need no comparison.  What T
** has left behind is thrown out when the room is used up, half of which is then
** free.  At the end a counting sort puts the rows in order.
**
** A later pass gives the rows behind the last one of the pass before it, by
** their distance and rowid.  So a stream of any length is made of passes that
** keep little, each as fast as reading the codes.
*/
#include <string.h>

#include "sweep.h"

#define TOP_WANT_MAX ((uint64_t)1 << 24)
/* Rows that a pass has room for: four times what it wants, but what nn_alloc
** gives at most.  More than twice is never kept for good (top_compact). */
#define TOP_ROOM_MAX ((size_t)3 << 24)

typedef struct top_row {
  int64_t rowid;
  int distance;
} top_row;

struct nn_top {
  nn_memory mem;
  uint8_t query[NN_BLOCK_BITS_MAX / 8];
  int bits;
  /* rows behind this one are wanted */
  int after_distance;
  int64_t after_rowid;
  /* the pass */
  uint64_t want;
  int min, limit;              /* limit: T */
  uint64_t nearer, at;         /* rows kept below T, and at T */
  uint64_t counts[NN_BLOCK_BITS_MAX + 1];
  top_row *rows;
  size_t count, room;
  top_row *sorted;             /* room for as many */
  size_t next, end;            /* of the sorted ones, to hand out */
  uint16_t *block_rows, *block_distances;   /* room for a block's */
  int block_room;
  uint64_t compared;           /* rows, in all passes */
  atomic_int *shared;          /* a limit found by others as well, or NULL */
};

static nn_status top_nomem(nn_error *err) {
  return nn_fail(err, NN_NOMEM, "out of memory");
}

nn_status nn_top_open(const nn_memory *mem, const void *query, int bits,
                      nn_top **out, nn_error *err) {
  *out = NULL;
  if (bits < 1 || bits > NN_BLOCK_BITS_MAX)
    return nn_fail(err, NN_ARGUMENT, "a code has 1 to %d bits, not %d",
                   NN_BLOCK_BITS_MAX, bits);
  nn_top *top = nn_zalloc(mem, sizeof(*top));
  if (!top) return top_nomem(err);
  top->mem = *mem;
  top->bits = bits;
  memcpy(top->query, query, (size_t)(bits + 7) / 8);
  top->after_distance = -1;
  top->after_rowid = INT64_MAX;
  *out = top;
  return NN_OK;
}

void nn_top_close(nn_top *top) {
  if (!top) return;
  nn_memory mem = top->mem;
  nn_free(&mem, top->rows);
  nn_free(&mem, top->sorted);
  nn_free(&mem, top->block_rows);
  nn_free(&mem, top->block_distances);
  nn_free(&mem, top);
}

void nn_top_after(nn_top *top, int distance, int64_t rowid) {
  top->after_distance = distance;
  top->after_rowid = rowid;
  top->next = top->end = 0;
}

/* A pass ------------------------------------------------------------------- */

/* Room for the rows of a pass: at most `want` are below T and as many at T. */
static int top_room(nn_top *top, size_t room) {
  if (room <= top->room) return 1;
  nn_free(&top->mem, top->rows);
  nn_free(&top->mem, top->sorted);
  top->room = 0;
  top->rows = nn_alloc(&top->mem, nn_mul(room, sizeof(*top->rows)));
  top->sorted = nn_alloc(&top->mem, nn_mul(room, sizeof(*top->sorted)));
  if (!top->rows || !top->sorted) return 0;
  top->room = room;
  return 1;
}

nn_status nn_top_begin(nn_top *top, uint64_t want, int min, int max,
                       nn_error *err) {
  if (want < 1 || want > TOP_WANT_MAX)
    return nn_fail(err, NN_ARGUMENT, "a pass is for 1 to %llu rows, not %llu",
                   (unsigned long long)TOP_WANT_MAX, (unsigned long long)want);
  size_t room = (size_t)want * 4;
  top->next = top->end = 0;
  if (!top_room(top, room < TOP_ROOM_MAX ? room : TOP_ROOM_MAX))
    return top_nomem(err);
  if (min < top->after_distance) min = top->after_distance;
  top->want = want;
  top->min = min < 0 ? 0 : min;
  top->limit = max > top->bits ? top->bits : max;
  top->nearer = top->at = 0;
  top->count = 0;
  memset(top->counts, 0, sizeof(top->counts));
  return NN_OK;
}

/* Throw out what lies beyond T. */
static void top_compact(nn_top *top) {
  size_t kept = 0;
  for (size_t i = 0; i < top->count; i++)
    if (top->rows[i].distance <= top->limit) top->rows[kept++] = top->rows[i];
  top->count = kept;
}

static void top_keep(nn_top *top, int64_t rowid, int distance) {
  if (distance == top->limit && top->nearer + top->at >= top->want) return;
  if (top->count == top->room) top_compact(top);
  top->rows[top->count].rowid = rowid;
  top->rows[top->count++].distance = distance;
  top->counts[distance]++;
  if (distance == top->limit) top->at++;
  else top->nearer++;
  while (top->nearer >= top->want) {
    top->limit--;
    top->at = top->counts[top->limit];
    top->nearer -= top->at;
  }
}

static int top_block_room(nn_top *top, int rows) {
  if (rows <= top->block_room) return 1;
  nn_free(&top->mem, top->block_rows);
  nn_free(&top->mem, top->block_distances);
  top->block_room = 0;
  size_t bytes = (size_t)rows * sizeof(uint16_t);
  top->block_rows = nn_alloc(&top->mem, bytes);
  top->block_distances = nn_alloc(&top->mem, bytes);
  if (!top->block_rows || !top->block_distances) return 0;
  top->block_room = rows;
  return 1;
}

/* Once there are enough, rows at T that come later are not wanted; but rows at
** another's T may come before those that it has. */
static int top_limit(const nn_top *top) {
  int limit = top->limit - (top->nearer + top->at >= top->want);
  if (!top->shared) return limit;
  int theirs = atomic_load_explicit(top->shared, memory_order_relaxed);
  return theirs < limit ? theirs : limit;
}

/* Tell the others how far a row may be. */
static void top_tell(const nn_top *top) {
  if (!top->shared || top->nearer + top->at < top->want) return;
  int theirs = atomic_load_explicit(top->shared, memory_order_relaxed);
  while (top->limit < theirs &&
         !atomic_compare_exchange_weak_explicit(
             top->shared, &theirs, top->limit, memory_order_relaxed,
             memory_order_relaxed))
    continue;
}

nn_status nn_top_add(nn_top *top, const nn_block *block, const nn_block *next,
                     nn_error *err) {
  if (!top_block_room(top, block->rows)) return top_nomem(err);
  int limit = top_limit(top);
  if (limit >= 0) top->compared += (uint64_t)block->rows;
  int n = nn_block_select(block, top->query, limit, next, top->block_rows,
                          top->block_distances);
  for (int i = 0; i < n; i++) {
    int distance = top->block_distances[i];
    if (distance > top->limit || distance < top->min) continue;
    int64_t rowid = nn_block_rowid(block, top->block_rows[i]);
    if (distance == top->after_distance && rowid <= top->after_rowid) continue;
    top_keep(top, rowid, distance);
  }
  top_tell(top);
  return NN_OK;
}

nn_status nn_top_end(nn_top *top, nn_error *err) {
  uint64_t places[NN_BLOCK_BITS_MAX + 1], place = 0;
  (void)err;
  for (int d = 0; d <= top->bits; d++) {
    places[d] = place;
    if (d <= top->limit) place += top->counts[d];
  }
  for (size_t i = 0; i < top->count; i++)
    if (top->rows[i].distance <= top->limit)
      top->sorted[places[top->rows[i].distance]++] = top->rows[i];
  top->next = 0;
  top->end = place < top->want ? (size_t)place : (size_t)top->want;
  if (top->end > 0) {
    top->after_distance = top->sorted[top->end - 1].distance;
    top->after_rowid = top->sorted[top->end - 1].rowid;
  }
  return NN_OK;
}

int nn_top_row(nn_top *top, int64_t *rowid, int *distance) {
  if (top->next == top->end) return 0;
  *rowid = top->sorted[top->next].rowid;
  *distance = top->sorted[top->next++].distance;
  return 1;
}

uint64_t nn_top_compared(const nn_top *top) { return top->compared; }

/* Shared passes ------------------------------------------------------------ */

nn_memory nn_top_memory(const nn_top *top) { return top->mem; }

nn_status nn_top_twin(const nn_top *top, nn_top **out, nn_error *err) {
  nn_status status = nn_top_open(&top->mem, top->query, top->bits, out, err);
  if (status != NN_OK) return status;
  nn_top_after(*out, top->after_distance, top->after_rowid);
  status = nn_top_begin(*out, top->want, top->min, top->limit, err);
  if (status != NN_OK) {
    nn_top_close(*out);
    *out = NULL;
  }
  return status;
}

nn_status nn_top_reserve(nn_top *top, int rows, nn_error *err) {
  return top_block_room(top, rows) ? NN_OK : top_nomem(err);
}

void nn_top_share(nn_top *top, atomic_int *limit) { top->shared = limit; }

static int top_is_before(const top_row *a, const top_row *b) {
  return a->distance < b->distance ||
         (a->distance == b->distance && a->rowid < b->rowid);
}

void nn_top_merge(nn_top *const *tops, int n) {
  nn_top *top = tops[0];
  size_t count = 0;
  for (int i = 1; i < n; i++) top->compared += tops[i]->compared;
  while (count < top->want) {
    nn_top *from = NULL;
    for (int i = 0; i < n; i++)
      if (tops[i]->next < tops[i]->end &&
          (!from || top_is_before(&tops[i]->sorted[tops[i]->next],
                                  &from->sorted[from->next])))
        from = tops[i];
    if (!from) break;
    top->rows[count++] = from->sorted[from->next++];
  }
  top_row *rows = top->rows;
  top->rows = top->sorted;
  top->sorted = rows;
  top->next = 0;
  top->end = count;
  if (count > 0) {
    top->after_distance = rows[count - 1].distance;
    top->after_rowid = rows[count - 1].rowid;
  }
}

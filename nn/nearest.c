/*
** Rows in the order of their distance, without sorting by distance.
**
** Two codes of B bits have one of only B+1 distances, so the nearest rows need
** no heap and no comparison of distances.  This serves binhash_topk:
**
**   nn_nearest_add    one row of the scan: its distance goes into an array, and
**                     a histogram counts it
**   nn_nearest_next   the histogram says which distances hold the next few
**                     hundred rows; one pass over the array picks those rows
**                     and a counting sort orders them.  That batch is handed
**                     out row by row, then a larger one follows it.
**
** So a caller who takes ten rows pays for the scan, one pass over two bytes a
** row, and ten rows; one who takes all of them pays a pass per batch, and the
** batches grow.  There is no k to choose in advance, and no filter above can
** starve the result.
**
** Rows of one distance come in rowid order.  A scan usually adds rows with
** rising rowids, and then the pass finds them in that order.  A scan through an
** index on the codes does not, and then each batch is sorted by rowid within a
** distance, in place.
**
** Rows live in blocks of 4096.  While rowids count up by one within a block it
** keeps the first alone.  Codes and payloads, if any are to be kept, lie in
** chunks of memory, and each row of the block has a pointer to its record:
**
**   code       the query's length, if codes are kept
**   size       one more than the payload's bytes, 0 where there is no payload
**   payload    the bytes
**
** All rows of a search are held, so what comes out does not depend on what
** happens to the table meanwhile.  Not here: the scan itself, SQL, k, and
** bounds other than the largest distance.
*/
#include <string.h>

#include "nn_int.h"

#define NEAREST_BLOCK 4096
#define NEAREST_CHUNK_MIN ((size_t)4096)
#define NEAREST_CHUNK_MAX ((size_t)262144)
/* Rows that a batch aims at: first, unless the caller says more, and at most.
** A batch may hold up to NEAREST_SLACK times as many. */
#define NEAREST_WANT_MIN 64
#define NEAREST_WANT_FIRST 512
#define NEAREST_WANT_MAX 131072
#define NEAREST_SLACK 8

typedef struct nearest_block {
  int64_t first;            /* rowid of row 0 */
  int64_t *rowids;          /* NULL while row i is first + i */
  const uint8_t **records;  /* NULL while no row has one */
  uint16_t distances[NEAREST_BLOCK];
} nearest_block;

typedef struct nearest_chunk {
  struct nearest_chunk *next;
  size_t used, room;        /* of the bytes that follow */
} nearest_chunk;

typedef struct nearest_entry {
  int64_t rowid;
  uint64_t index;           /* block * NEAREST_BLOCK + row */
} nearest_entry;

struct nn_nearest {
  nn_memory mem;
  uint8_t *query;
  size_t n;                 /* bytes of the query and of every code */
  int max_distance;
  int keep_codes;

  nearest_block **blocks;   /* all full but the last */
  size_t block_count, block_room;
  nearest_block *last;      /* NULL before the first row */
  int last_rows;            /* in it */
  int64_t last_rowid;
  int ordered;              /* rowids have only ever risen */
  int plain;                /* the last block has room, no rowids, no codes */
  nearest_chunk *chunks;    /* the one that is being filled first */

  uint64_t *counts;         /* rows still to come, by distance; 8n + 1 */
  uint64_t *places;         /* of the batch, by distance: where the next goes */
  int distance;             /* nothing below it is to come */
  uint64_t resume;          /* rows before it are done with, at `distance` */
  uint64_t want;            /* rows that the next batch aims at */
  nearest_entry *batch;
  uint64_t batch_room, batch_rows, batch_next;
};

static nn_status nearest_nomem(nn_error *err) {
  return nn_fail(err, NN_NOMEM, "out of memory");
}

/* Adding ------------------------------------------------------------------ */

nn_status nn_nearest_open(const nn_memory *mem, const void *query, size_t n,
                          int max_distance, int keep_codes, nn_nearest **out,
                          nn_error *err) {
  *out = NULL;
  if (n == 0 || n > NN_CODE_MAX)
    return nn_fail(err, NN_ARGUMENT, "a code has 1 to %d bytes, not %zu",
                   NN_CODE_MAX, n);
  nn_nearest *s = nn_zalloc(mem, sizeof(*s));
  if (!s) return nearest_nomem(err);
  s->mem = *mem;
  s->query = nn_alloc(mem, n);
  s->counts = nn_zalloc(mem, (8 * n + 1) * sizeof(*s->counts));
  s->places = nn_alloc(mem, (8 * n + 1) * sizeof(*s->places));
  if (!s->query || !s->counts || !s->places) {
    nn_nearest_close(s);
    return nearest_nomem(err);
  }
  memcpy(s->query, query, n);
  s->n = n;
  s->max_distance = max_distance;
  s->keep_codes = keep_codes;
  s->ordered = 1;
  *out = s;
  return NN_OK;
}

void nn_nearest_close(nn_nearest *s) {
  if (!s) return;
  nn_memory mem = s->mem;
  for (size_t i = 0; i < s->block_count; i++) {
    nn_free(&mem, s->blocks[i]->rowids);
    nn_free(&mem, s->blocks[i]->records);
    nn_free(&mem, s->blocks[i]);
  }
  while (s->chunks) {
    nearest_chunk *next = s->chunks->next;
    nn_free(&mem, s->chunks);
    s->chunks = next;
  }
  nn_free(&mem, s->blocks);
  nn_free(&mem, s->batch);
  nn_free(&mem, s->places);
  nn_free(&mem, s->counts);
  nn_free(&mem, s->query);
  nn_free(&mem, s);
}

/* An empty block at the end, whose first row will be rowid. */
static int nearest_grow(nn_nearest *s, int64_t rowid) {
  if (s->block_count == s->block_room) {
    size_t room = s->block_room ? 2 * s->block_room : 16;
    nearest_block **blocks = nn_alloc(&s->mem, nn_mul(room, sizeof(*blocks)));
    if (!blocks) return 0;
    if (s->block_count)
      memcpy(blocks, s->blocks, s->block_count * sizeof(*blocks));
    nn_free(&s->mem, s->blocks);
    s->blocks = blocks;
    s->block_room = room;
  }
  nearest_block *block = nn_alloc(&s->mem, sizeof(*block));
  if (!block) return 0;
  block->first = rowid;
  block->rowids = NULL;
  block->records = NULL;
  s->blocks[s->block_count++] = block;
  s->last = block;
  s->last_rows = 0;
  return 1;
}

/* first + i, which wraps where a rowid near the last one begins a block; the
** comparison with a rowid is still right. */
static inline int64_t nearest_counted(int64_t first, int i) {
  return (int64_t)((uint64_t)first + (uint64_t)i);
}

/* Row i of the last block breaks the run of rowids, or one before it did. */
static int nearest_put_rowid(nn_nearest *s, int i, int64_t rowid) {
  nearest_block *block = s->last;
  if (!block->rowids) {
    block->rowids = nn_alloc(&s->mem, NEAREST_BLOCK * sizeof(int64_t));
    if (!block->rowids) return 0;
    for (int j = 0; j < i; j++)
      block->rowids[j] = nearest_counted(block->first, j);
  }
  block->rowids[i] = rowid;
  return 1;
}

/* n bytes of a chunk. */
static uint8_t *nearest_take(nn_nearest *s, size_t n) {
  nearest_chunk *chunk = s->chunks;
  if (!chunk || n > chunk->room - chunk->used) {
    size_t room = chunk ? 2 * chunk->room : NEAREST_CHUNK_MIN;
    if (room > NEAREST_CHUNK_MAX) room = NEAREST_CHUNK_MAX;
    if (room < n) room = n;
    chunk = nn_alloc(&s->mem, sizeof(*chunk) + room);
    if (!chunk) return NULL;
    chunk->next = s->chunks;
    chunk->used = 0;
    chunk->room = room;
    s->chunks = chunk;
  }
  uint8_t *p = (uint8_t *)(chunk + 1) + chunk->used;
  chunk->used += n;
  return p;
}

/* The record of row i of the last block. */
static int nearest_put_record(nn_nearest *s, int i, const void *code,
                              const void *payload, size_t payload_bytes) {
  nearest_block *block = s->last;
  size_t size = payload ? payload_bytes + 1 : 0;
  if (payload && payload_bytes > NN_ALLOC_MAX - NN_CODE_MAX - 64) return 0;
  if (!block->records) {
    block->records = nn_zalloc(&s->mem,
                               NEAREST_BLOCK * sizeof(*block->records));
    if (!block->records) return 0;
  }
  size_t code_bytes = s->keep_codes ? s->n : 0;
  uint8_t *p = nearest_take(s, code_bytes + sizeof(size) +
                            (payload ? payload_bytes : 0));
  if (!p) return 0;
  block->records[i] = p;
  if (code_bytes) memcpy(p, code, code_bytes);
  memcpy(p + code_bytes, &size, sizeof(size));
  if (payload && payload_bytes)
    memcpy(p + code_bytes + sizeof(size), payload, payload_bytes);
  return 1;
}

/* A row within max_distance, whatever has to be kept of it. */
static nn_status nearest_put(nn_nearest *s, int64_t rowid, uint64_t distance,
                             const void *code, const void *payload,
                             size_t payload_bytes, nn_error *err) {
  if (s->last && rowid <= s->last_rowid) s->ordered = 0;
  if (!s->last || s->last_rows == NEAREST_BLOCK)
    if (!nearest_grow(s, rowid)) return nearest_nomem(err);
  nearest_block *block = s->last;
  int i = s->last_rows;
  if ((block->rowids || rowid != nearest_counted(block->first, i)) &&
      !nearest_put_rowid(s, i, rowid))
    return nearest_nomem(err);
  if ((s->keep_codes || payload) &&
      !nearest_put_record(s, i, code, payload, payload_bytes))
    return nearest_nomem(err);
  block->distances[i] = (uint16_t)distance;
  s->counts[distance]++;
  s->last_rowid = rowid;
  s->last_rows = i + 1;
  s->plain = !block->rowids && !s->keep_codes && i + 1 < NEAREST_BLOCK;
  return NN_OK;
}

/* Called for every row of a table: the usual case, a row after the one before
** it with nothing to keep, is all that stands here. */
nn_status nn_nearest_add(nn_nearest *s, int64_t rowid, const void *code,
                         const void *payload, size_t payload_bytes,
                         nn_error *err) {
  uint64_t distance = nn_hamming(s->query, code, s->n);
  if ((int64_t)distance > s->max_distance) return NN_OK;
  if (!s->plain || payload || rowid == INT64_MIN ||
      rowid - 1 != s->last_rowid)
    return nearest_put(s, rowid, distance, code, payload, payload_bytes, err);
  s->last->distances[s->last_rows++] = (uint16_t)distance;
  s->counts[distance]++;
  s->last_rowid = rowid;
  s->plain = s->last_rows < NEAREST_BLOCK;
  return NN_OK;
}

/* Taking ------------------------------------------------------------------ */

static int64_t nearest_rowid(const nearest_block *block, int i) {
  return block->rowids ? block->rowids[i] : nearest_counted(block->first, i);
}

static void nearest_sift(nearest_entry *heap, uint64_t i, uint64_t n) {
  nearest_entry entry = heap[i];
  for (uint64_t child; (child = 2 * i + 1) < n; i = child) {
    if (child + 1 < n && heap[child].rowid < heap[child + 1].rowid) child++;
    if (heap[child].rowid <= entry.rowid) break;
    heap[i] = heap[child];
  }
  heap[i] = entry;
}

/*
** Sort rows of one distance by rowid: a heapsort, since it needs no memory and
** its worst case is its usual one.  Runs already in order are common.
*/
static void nearest_sort(nearest_entry *rows, uint64_t n) {
  uint64_t i = 1;
  while (i < n && rows[i - 1].rowid < rows[i].rowid) i++;
  if (i >= n) return;
  for (i = n / 2; i-- > 0;) nearest_sift(rows, i, n);
  for (i = n - 1; i > 0; i--) {
    nearest_entry top = rows[0];
    rows[0] = rows[i];
    rows[i] = top;
    nearest_sift(rows, 0, i);
  }
}

/*
** Which rows come next: those of distance s->distance to *to, *rows in number,
** 0 at the end.  Whole distances as long as that is not far more than wanted;
** where one distance alone is, as with many equal codes, only its first rows,
** if rowids were added in order and so the first are known.  What is left of
** such a distance later comes alone: its pass begins where the last one ended.
*/
static void nearest_plan(nn_nearest *s, int *to, uint64_t *rows) {
  int bits = 8 * (int)s->n;
  uint64_t most = NEAREST_SLACK * s->want;
  while (s->distance <= bits && s->counts[s->distance] == 0) s->distance++;
  *to = s->distance;
  *rows = 0;
  if (s->distance > bits) return;
  *rows = s->counts[*to];
  if (s->ordered && *rows > most) {
    *rows = s->want;
    return;
  }
  if (s->resume > 0) return;
  while (*to < bits && *rows < s->want && *rows + s->counts[*to + 1] <= most)
    *rows += s->counts[++*to];
}

/* The pass: put the planned rows into the batch, each at its place. */
static void nearest_gather(nn_nearest *s, int to, uint64_t rows) {
  unsigned from = (unsigned)s->distance, span = (unsigned)to - from;
  uint64_t taken = 0, start = s->resume;
  for (size_t b = start / NEAREST_BLOCK; b < s->block_count; b++) {
    const nearest_block *block = s->blocks[b];
    int n = block == s->last ? s->last_rows : NEAREST_BLOCK;
    int i = (int)(start % NEAREST_BLOCK);
    start = 0;
    for (; i < n; i++) {
      unsigned above = block->distances[i] - from;
      if (above > span) continue;
      nearest_entry *entry = &s->batch[s->places[from + above]++];
      entry->rowid = nearest_rowid(block, i);
      entry->index = (uint64_t)b * NEAREST_BLOCK + (uint64_t)i;
      if (++taken == rows) {
        s->resume = entry->index + 1;
        return;
      }
    }
  }
}

/* Fill the batch; it stays empty after the last row. */
static nn_status nearest_refill(nn_nearest *s, nn_error *err) {
  int to;
  uint64_t rows;
  s->batch_rows = s->batch_next = 0;
  nearest_plan(s, &to, &rows);
  if (rows == 0) return NN_OK;
  if (rows > s->batch_room) {
    nn_free(&s->mem, s->batch);
    s->batch_room = 0;
    s->batch = rows > NN_ALLOC_MAX
                   ? NULL
                   : nn_alloc(&s->mem,
                              nn_mul((size_t)rows, sizeof(*s->batch)));
    if (!s->batch) return nearest_nomem(err);
    s->batch_room = rows;
  }
  uint64_t place = 0;
  for (int d = s->distance; d <= to; d++) {
    s->places[d] = place;
    place += s->counts[d];
  }
  nearest_gather(s, to, rows);
  if (rows < s->counts[s->distance]) {   /* part of one distance */
    s->counts[s->distance] -= rows;
  } else {
    for (int d = s->distance; d <= to; d++) {
      if (!s->ordered)
        nearest_sort(s->batch + (s->places[d] - s->counts[d]), s->counts[d]);
      s->counts[d] = 0;
    }
    s->resume = 0;
  }
  s->batch_rows = rows;
  if (s->want < NEAREST_WANT_MAX) s->want *= 4;
  if (s->want > NEAREST_WANT_MAX) s->want = NEAREST_WANT_MAX;
  return NN_OK;
}

nn_status nn_nearest_next(nn_nearest *s, int64_t hint, nn_nearest_row *row,
                          nn_error *err) {
  memset(row, 0, sizeof(*row));
  row->distance = -1;
  if (s->want == 0) {
    s->want = hint <= 0 ? NEAREST_WANT_FIRST : (uint64_t)hint;
    if (s->want < NEAREST_WANT_MIN) s->want = NEAREST_WANT_MIN;
    if (s->want > NEAREST_WANT_MAX) s->want = NEAREST_WANT_MAX;
  }
  if (s->batch_next == s->batch_rows) {
    nn_status status = nearest_refill(s, err);
    if (status != NN_OK) return status;
    if (s->batch_rows == 0) return NN_OK;
  }
  const nearest_entry *entry = &s->batch[s->batch_next++];
  const nearest_block *block = s->blocks[entry->index / NEAREST_BLOCK];
  int i = (int)(entry->index % NEAREST_BLOCK);
  row->rowid = entry->rowid;
  row->distance = block->distances[i];
  const uint8_t *record = block->records ? block->records[i] : NULL;
  if (!record) return NN_OK;
  if (s->keep_codes) {
    row->code = record;
    record += s->n;
  }
  size_t size;
  memcpy(&size, record, sizeof(size));
  if (size) {
    row->payload = record + sizeof(size);
    row->payload_bytes = size - 1;
  }
  return NN_OK;
}

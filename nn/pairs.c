/*
** All pairs of rows whose codes are within a distance of each other.
**
**   nn_pairs_add    keeps a row: its rowid, and its code as words
**   nn_pairs_next   groups the rows by code when it is called first; then pairs
**                   come out one by one
**
** A set with many near duplicates has groups of equal codes, and the pairs
** within a group are the product of its rows: 5,000 equal codes are 12.5
** million pairs, which no comparison of codes need find.  So rows are grouped
** first, by a sort of 32-bit checksums of the codes; codes with equal checksums
** are then compared, so that a checksum decides nothing.  Next:
**
**   the pairs within each group, at distance 0
**   for each pair of distinct codes within the distance, which join.c finds,
**   the product of their two groups
**
** Both products are a pair of counters, so however many pairs there are, memory
** is that of the rows: 16 bytes a row as they are added and about 40 while they
** are grouped and joined, for codes of up to eight bytes; a longer code counts
** by its words.  Each array is one allocation, so NN_ALLOC_MAX bounds the rows,
** at 134 million for short codes.
**
** The order in which pairs come is that of whatever finds them first, and no
** promise.
*/
#include <string.h>

#include "join.h"

#define PAIRS_ROOM_MIN 256

struct nn_pairs {
  nn_memory mem;
  size_t bytes;               /* of a code */
  int words, limit;
  /* Rows as they were added; then only rowids, group by group. */
  int64_t *rowids;
  uint64_t *codes;
  size_t rows, room;

  int grouped;
  uint64_t *distinct;         /* a code for each group */
  uint32_t *starts;           /* of the groups in rowids, and the end */
  uint32_t groups, group;     /* the next whose own pairs are to come */
  nn_join *join;              /* NULL: nothing to join */
  const nn_joined *found;     /* pairs of groups that it gave */
  uint32_t found_count, found_next;

  /* The product in hand: rows a to a_end, each with b to b_end. */
  uint32_t a, a_end, b, b_start, b_end;
  int within;                 /* one group: b starts behind a */
  int distance;
  nn_poller poller;
};

static nn_status pairs_nomem(nn_error *err) {
  return nn_fail(err, NN_NOMEM, "out of memory");
}

static nn_status pairs_interrupted(nn_error *err) {
  return nn_fail(err, NN_INTERRUPTED, "interrupted");
}

/* Adding ------------------------------------------------------------------ */

nn_status nn_pairs_open(const nn_memory *mem, size_t code_bytes,
                        int max_distance, nn_pairs **out, nn_error *err) {
  *out = NULL;
  if (code_bytes == 0 || code_bytes > NN_CODE_MAX)
    return nn_fail(err, NN_ARGUMENT, "a code has 1 to %d bytes, not %zu",
                   NN_CODE_MAX, code_bytes);
  if (max_distance < 0)
    return nn_fail(err, NN_ARGUMENT, "a distance is 0 or more, not %d",
                   max_distance);
  nn_pairs *s = nn_zalloc(mem, sizeof(*s));
  if (!s) return pairs_nomem(err);
  s->mem = *mem;
  s->bytes = code_bytes;
  s->words = (int)((code_bytes + 7) / 8);
  s->limit = max_distance < 8 * NN_CODE_MAX ? max_distance : 8 * NN_CODE_MAX;
  s->poller.left = NN_POLLER_WORK;
  *out = s;
  return NN_OK;
}

void nn_pairs_close(nn_pairs *s) {
  if (!s) return;
  nn_memory mem = s->mem;
  nn_join_close(s->join);
  nn_free(&mem, s->rowids);
  nn_free(&mem, s->codes);
  nn_free(&mem, s->distinct);
  nn_free(&mem, s->starts);
  nn_free(&mem, s);
}

static int pairs_grow(nn_pairs *s) {
  size_t row = sizeof(*s->codes) * (size_t)s->words;
  size_t most = (NN_ALLOC_MAX - 256) / row;
  size_t room = s->room ? 2 * s->room : PAIRS_ROOM_MIN;
  if (room > most) room = most;
  if (room <= s->rows) return 0;
  int64_t *rowids = nn_alloc(&s->mem, room * sizeof(*rowids));
  uint64_t *codes = nn_alloc(&s->mem, room * row);
  if (!rowids || !codes) {
    nn_free(&s->mem, rowids);
    nn_free(&s->mem, codes);
    return 0;
  }
  if (s->rows) {
    memcpy(rowids, s->rowids, s->rows * sizeof(*rowids));
    memcpy(codes, s->codes, s->rows * row);
  }
  nn_free(&s->mem, s->rowids);
  nn_free(&s->mem, s->codes);
  s->rowids = rowids;
  s->codes = codes;
  s->room = room;
  return 1;
}

nn_status nn_pairs_add(nn_pairs *s, int64_t rowid, const void *code,
                       nn_error *err) {
  const uint8_t *p = code;
  if (s->rows == s->room && !pairs_grow(s)) return pairs_nomem(err);
  uint64_t *to = s->codes + s->rows * (size_t)s->words;
  /* Little-endian on every machine, so that what is left over in the last word
  ** are its high bits. */
  for (size_t left = s->bytes; left > 0;) {
    size_t n = left < 8 ? left : 8;
    uint64_t word = 0;
    for (size_t i = 0; i < n; i++) word |= (uint64_t)p[i] << 8 * i;
    *to++ = word;
    p += n;
    left -= n;
  }
  s->rowids[s->rows++] = rowid;
  return NN_OK;
}

/* Grouping ---------------------------------------------------------------- */

static const uint64_t *pairs_code(const nn_pairs *s, uint64_t entry) {
  return s->codes + (size_t)(uint32_t)entry * (size_t)s->words;
}

/* Entries from `from` to before `to` have equal checksums: put those with equal
** codes side by side, and write down where each group starts.  0: stopped. */
static int pairs_split(nn_pairs *s, uint64_t *entries, uint32_t from,
                       uint32_t to) {
  size_t size = sizeof(*s->codes) * (size_t)s->words;
  while (from < to) {
    const uint64_t *code = pairs_code(s, entries[from]);
    s->starts[s->groups++] = from;
    uint32_t end = from + 1;
    for (uint32_t i = end; i < to; i++) {
      if (memcmp(code, pairs_code(s, entries[i]), size) == 0) {
        uint64_t swap = entries[end];
        entries[end++] = entries[i];
        entries[i] = swap;
      }
      if (nn_poller_stops(&s->poller, 4 + size / 8)) return 0;
    }
    from = end;
  }
  return 1;
}

/* Sort the rows into groups.  0: stopped. */
static int pairs_sort(nn_pairs *s, uint64_t *entries, uint64_t *spare) {
  uint32_t n = (uint32_t)s->rows;
  size_t size = sizeof(*s->codes) * (size_t)s->words;
  for (uint32_t i = 0; i < n; i++) {
    entries[i] = (uint64_t)nn_checksum(pairs_code(s, i), size) << 32 | i;
    if (nn_poller_stops(&s->poller, 8 + size / 8)) return 0;
  }
  if (!nn_sort_keys(entries, spare, n, 32, &s->poller)) return 0;
  for (uint32_t from = 0, to = 0; from < n; from = to) {
    while (to < n && entries[to] >> 32 == entries[from] >> 32) to++;
    if (!pairs_split(s, entries, from, to) ||
        nn_poller_stops(&s->poller, 4 + to - from))
      return 0;
  }
  s->starts[s->groups] = n;
  return 1;
}

/* The distinct codes, and the rowids in the order of the groups, into `rowids`.
** 0: stopped. */
static int pairs_gather(nn_pairs *s, const uint64_t *entries,
                        int64_t *rowids) {
  size_t words = (size_t)s->words;
  for (size_t i = 0; i < s->rows; i++) {
    rowids[i] = s->rowids[(uint32_t)entries[i]];
    if (nn_poller_stops(&s->poller, 4)) return 0;
  }
  for (uint32_t g = 0; g < s->groups; g++) {
    memcpy(s->distinct + g * words, pairs_code(s, entries[s->starts[g]]),
           words * sizeof(*s->codes));
    if (nn_poller_stops(&s->poller, 4 + words)) return 0;
  }
  return 1;
}

static nn_status pairs_group(nn_pairs *s, nn_error *err) {
  size_t n = s->rows;
  nn_status status = NN_OK;
  uint64_t *entries = nn_alloc(&s->mem, nn_mul(n, sizeof(*entries)));
  uint64_t *spare = nn_alloc(&s->mem, nn_mul(n, sizeof(*spare)));
  s->starts = nn_alloc(&s->mem, nn_mul(n + 1, sizeof(*s->starts)));
  if (!entries || !spare || !s->starts) status = pairs_nomem(err);
  else if (!pairs_sort(s, entries, spare)) status = pairs_interrupted(err);
  if (status == NN_OK) {
    s->distinct = nn_alloc(&s->mem, nn_mul(s->groups, sizeof(*s->distinct) *
                                                          (size_t)s->words));
    if (!s->distinct) status = pairs_nomem(err);
    /* The sort has left its spare room, which is as large as the rowids. */
    else if (!pairs_gather(s, entries, (int64_t *)spare))
      status = pairs_interrupted(err);
  }
  nn_free(&s->mem, entries);
  if (status == NN_OK) {
    nn_free(&s->mem, s->rowids);
    nn_free(&s->mem, s->codes);
    s->rowids = (int64_t *)spare;
    s->codes = NULL;
    s->grouped = 1;
  } else {
    nn_free(&s->mem, spare);
  }
  if (status == NN_OK && s->limit > 0 && s->groups > 1)
    status = nn_join_open(&s->mem, s->distinct, s->groups, s->words, s->limit,
                          NN_JOIN_BEST, &s->join, err);
  return status;
}

/* Taking ------------------------------------------------------------------ */

/* Begin the next product; it stays empty after the last. */
static nn_status pairs_begin(nn_pairs *s, nn_error *err) {
  for (; s->group < s->groups; s->group++) {
    uint32_t from = s->starts[s->group], to = s->starts[s->group + 1];
    if (nn_poller_stops(&s->poller, 1)) return pairs_interrupted(err);
    if (to - from < 2) continue;
    s->a = from;
    s->a_end = to - 1;
    s->b = from + 1;
    s->b_end = to;
    s->within = 1;
    s->distance = 0;
    s->group++;
    return NN_OK;
  }
  if (!s->join) return NN_OK;
  if (s->found_next == s->found_count) {
    s->found_next = 0;
    nn_status status = nn_join_next(s->join, &s->poller, &s->found,
                                    &s->found_count, err);
    if (status != NN_OK || s->found_count == 0) return status;
  }
  const nn_joined *pair = &s->found[s->found_next++];
  s->a = s->starts[pair->a];
  s->a_end = s->starts[pair->a + 1];
  s->b = s->b_start = s->starts[pair->b];
  s->b_end = s->starts[pair->b + 1];
  s->within = 0;
  s->distance = pair->distance;
  return NN_OK;
}

nn_status nn_pairs_next(nn_pairs *s, int (*poll)(void *), void *poll_context,
                        int64_t *a, int64_t *b, int *distance, nn_error *err) {
  nn_status status = NN_OK;
  *a = *b = 0;
  *distance = -1;
  if (s->a >= s->a_end) {
    s->poller.ask = poll;
    s->poller.context = poll_context;
    if (!s->grouped && s->rows > 0) status = pairs_group(s, err);
    if (status == NN_OK) status = pairs_begin(s, err);
    if (status != NN_OK || s->a >= s->a_end) return status;
  }
  int64_t x = s->rowids[s->a], y = s->rowids[s->b];
  *a = x < y ? x : y;
  *b = x < y ? y : x;
  *distance = s->distance;
  if (++s->b == s->b_end) {
    s->a++;
    s->b = s->within ? s->a + 1 : s->b_start;
  }
  return NN_OK;
}

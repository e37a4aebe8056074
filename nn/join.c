/*
** Which codes of a set are within a distance of each other, without comparing
** each with all the others.
**
** Multi-index hashing (see multi.c), as a join of a set with itself.  Codes are
** cut into substrings, each with a radius, so that
**
**   sum over the substrings of (radius + 1) = max_distance + 1
**
** Two codes that differ in max_distance bits or fewer then differ in at least
** one substring by no more than its radius.  There are two ways to choose:
**
**   equal   max_distance + 1 substrings of radius 0
**   near    half as many, so twice as long, of radius 1 (and one of radius 0
**           where max_distance is even)
**
** and the third is to compare every code with every other, which large radii
** leave.  Substrings are compared as keys of at most 32 bits: a longer one is
** folded by exclusive or, which keeps equal ones equal and those that differ in
** one bit so.  The table of a substring is the codes sorted by its key; there
** is one at a time, so memory is O(codes).  It is walked by phases:
**
**   phase 0      each code with those behind it in its own bucket
**   phase 1 + b  each code whose key has bit b clear with the bucket in which
**                it is set; that bucket only moves forward as the code does,
**                so nothing is looked up
**
** A pair that is near in several substrings is given by the first of them, as
** the two codes alone tell: nothing is remembered.
**
** Substrings are cut so that each has as many bits that vary within the set as
** the others; bits that are the same in all codes tell nothing.  What a way
** costs depends on how the codes crowd, so it is measured: pairs of a sample of
** the codes are counted in each substring.
**
** The walk can be left and taken up after any slice of comparisons, so pairs
** come out as they are asked for.  Not here: equal codes and rows (pairs.c).
*/
#include <string.h>

#include "join.h"

#define JOIN_SPANS_MAX 128
#define JOIN_SLICE 1024       /* comparisons at once */
#define JOIN_DIGIT 11         /* bits of a pass of the sort */
#define JOIN_SAMPLE 1024      /* codes */
#define JOIN_SAMPLE_LONG 256  /* where they are long */
/* Costs for each code, in comparisons of short codes: of a table, and of a
** phase. */
#define JOIN_COST_TABLE 32
#define JOIN_COST_PHASE 3
/* Below this it does not pay to look for a better way. */
#define JOIN_COST_SMALL 2000000

/* A substring: bits from `from` to before `to`. */
typedef struct join_span {
  int from, to, radius;
} join_span;

typedef struct join_hit {
  uint32_t at;
  int distance;
} join_hit;

typedef uint32_t join_scanner(const uint64_t *code, const uint64_t *others,
                              uint32_t n, int words, int limit,
                              join_hit *hits);

struct nn_join {
  nn_memory mem;
  const uint64_t *codes;
  uint32_t count;
  int words, limit, way;
  join_scanner *scan;
  uint64_t *varies;           /* bits that are not the same in all codes */
  int varying;                /* their number */
  join_span spans[JOIN_SPANS_MAX];
  int span_count;             /* 0: every code with every other */
  int span;                   /* the table in hand */
  uint64_t *entries;          /* key << 32 | number of the code, rising */
  uint64_t *room;             /* for the codes in this order */
  const uint64_t *ordered;    /* the codes in this order */
  int phase, phases;
  uint32_t row;               /* the next one of the phase */
  uint32_t low, high, target; /* the bucket that was found last, its key */
  uint32_t self, at, end;     /* compare `self` with those from at to end */
  uint32_t batch_count;
  nn_joined batch[JOIN_SLICE];
  join_hit hits[JOIN_SLICE];
};

/* Sorting ------------------------------------------------------------------ */

/* One pass; 0: stopped. */
static int join_sort_pass(const uint64_t *from, uint64_t *to, uint32_t n,
                          int shift, int bits, nn_poller *poller) {
  uint32_t places[1 << JOIN_DIGIT] = {0}, sum = 0;
  uint32_t mask = ((uint32_t)1 << bits) - 1;
  for (uint32_t i = 0; i < n; i++) places[from[i] >> shift & mask]++;
  for (uint32_t v = 0; v <= mask; v++) {
    uint32_t here = places[v];
    places[v] = sum;
    sum += here;
  }
  for (uint32_t i = 0; i < n; i++) {
    to[places[from[i] >> shift & mask]++] = from[i];
    if (i % JOIN_SLICE == 0 && nn_poller_stops(poller, 4 * JOIN_SLICE))
      return 0;
  }
  return 1;
}

int nn_sort_keys(uint64_t *entries, uint64_t *spare, uint32_t n, int bits,
                 nn_poller *poller) {
  int passes = (bits + JOIN_DIGIT - 1) / JOIN_DIGIT;
  uint64_t *from = entries, *to = spare;
  for (int i = 0, shift = 32; i < passes; i++) {
    int digit = bits / passes + (i < bits % passes);
    if (!join_sort_pass(from, to, n, shift, digit, poller)) return 0;
    uint64_t *swap = from;
    from = to;
    to = swap;
    shift += digit;
  }
  if (from != entries) memcpy(entries, from, n * sizeof(*entries));
  return 1;
}

/* Comparing ---------------------------------------------------------------- */

#define JOIN_INLINE __attribute__((always_inline)) static inline

/* Codes within the limit.  Every one is written down and kept or not, since
** a branch would often be guessed wrongly. */
JOIN_INLINE uint32_t join_scan(const uint64_t *code, const uint64_t *others,
                               uint32_t n, int words, int limit,
                               join_hit *hits, int (*count)(uint64_t)) {
  uint32_t found = 0;
  for (uint32_t i = 0; i < n; i++, others += words) {
    int distance = 0;
    for (int w = 0; w < words; w++) distance += count(code[w] ^ others[w]);
    hits[found].at = i;
    hits[found].distance = distance;
    found += distance <= limit;
  }
  return found;
}

JOIN_INLINE int join_count(uint64_t x) { return (int)nn_popcount64(x); }

static uint32_t join_scan_plain(const uint64_t *code, const uint64_t *others,
                                uint32_t n, int words, int limit,
                                join_hit *hits) {
  if (words == 1)
    return join_scan(code, others, n, 1, limit, hits, join_count);
  return join_scan(code, others, n, words, limit, hits, join_count);
}

#if defined(__x86_64__)
NN_TARGET("popcnt") JOIN_INLINE int join_popcnt(uint64_t x) {
  return __builtin_popcountll(x);
}

NN_TARGET("popcnt")
static uint32_t join_scan_popcnt(const uint64_t *code, const uint64_t *others,
                                 uint32_t n, int words, int limit,
                                 join_hit *hits) {
  if (words == 1)
    return join_scan(code, others, n, 1, limit, hits, join_popcnt);
  return join_scan(code, others, n, words, limit, hits, join_popcnt);
}
#else
#define join_scan_popcnt join_scan_plain
#endif

#define JOIN_LONG 8   /* words; beyond, the kernels of hamming.c are faster */

static uint32_t join_scan_long(const uint64_t *code, const uint64_t *others,
                               uint32_t n, int words, int limit,
                               join_hit *hits) {
  uint32_t found = 0;
  for (uint32_t i = 0; i < n; i++, others += words) {
    hits[found].at = i;
    hits[found].distance = (int)nn_hamming(code, others, 8 * (size_t)words);
    found += hits[found].distance <= limit;
  }
  return found;
}

/* What one comparison costs, that of short codes being 1. */
static int join_unit(const nn_join *join) {
  if (join->words == 1) return 1;
  return join->words <= JOIN_LONG ? 1 + join->words : 8 + join->words / 2;
}

/* The substring, folded to 32 bits. */
static uint32_t join_key(const uint64_t *code, const join_span *span) {
  uint32_t key = 0;
  for (int from = span->from; from < span->to; from += 32) {
    int width = span->to - from < 32 ? span->to - from : 32, low = from % 64;
    uint64_t x = code[from / 64] >> low;
    if (low + width > 64) x |= code[from / 64 + 1] << (64 - low);
    key ^= (uint32_t)x & UINT32_MAX >> (32 - width);
  }
  return key;
}

static int join_key_bits(const join_span *span) {
  return span->to - span->from < 32 ? span->to - span->from : 32;
}

/* Do two codes differ in the substring by no more than its radius? */
static int join_is_near(const uint64_t *a, const uint64_t *b,
                        const join_span *span) {
  int first = span->from / 64, last = (span->to - 1) / 64, left = span->radius;
  for (int w = first; w <= last; w++) {
    uint64_t x = a[w] ^ b[w];
    if (w == first) x &= UINT64_MAX << span->from % 64;
    if (w == last) x &= UINT64_MAX >> (63 - (span->to - 1) % 64);
    for (; x; x &= x - 1)
      if (left-- == 0) return 0;
  }
  return 1;
}

/* Is the table in hand the first in which the pair is met? */
static int join_is_first(const nn_join *join, const uint64_t *a,
                         const uint64_t *b) {
  for (int i = 0; i < join->span; i++)
    if (join_is_near(a, b, &join->spans[i])) return 0;
  return join_is_near(a, b, &join->spans[join->span]);
}

/* Choosing the way --------------------------------------------------------- */

static const uint64_t *join_code(const nn_join *join, uint64_t i) {
  return join->codes + i * (uint64_t)join->words;
}

/* 0: stopped. */
static int join_find_varying(nn_join *join, nn_poller *poller) {
  size_t words = (size_t)join->words;
  for (uint32_t i = 1; i < join->count; i++) {
    const uint64_t *code = join_code(join, i);
    for (size_t w = 0; w < words; w++)
      join->varies[w] |= code[w] ^ join->codes[w];
    if (i % JOIN_SLICE == 0 && nn_poller_stops(poller, JOIN_SLICE * words))
      return 0;
  }
  join->varying = 0;
  for (size_t w = 0; w < words; w++)
    join->varying += (int)nn_popcount64(join->varies[w]);
  return 1;
}

/* Cut the codes for a way.  0: that is not possible. */
static int join_cut(nn_join *join, int way) {
  int near = way == NN_JOIN_NEAR ? (join->limit + 1) / 2 : 0;
  int spans = join->limit + 1 - near, seen = 0, made = 0;
  if (spans > JOIN_SPANS_MAX || spans > join->varying) return 0;
  for (int bit = 0; made < spans; bit++) {
    if (!(join->varies[bit / 64] >> bit % 64 & 1)) continue;
    if (++seen * spans < join->varying * (made + 1)) continue;
    join_span *span = &join->spans[made];
    span->from = made ? join->spans[made - 1].to : 0;
    span->to = bit + 1;
    span->radius = made < near;
    made++;
  }
  join->spans[made - 1].to = 64 * join->words;
  join->span_count = spans;
  return 1;
}

/* Pairs of the sample whose keys are near. */
static uint64_t join_count_near(const uint32_t *keys, uint32_t n, int radius) {
  uint64_t near = 0;
  for (uint32_t i = 0; i < n; i++) {
    uint32_t here = 0;
    for (uint32_t k = i + 1; k < n; k++) {
      uint32_t x = keys[i] ^ keys[k];
      here += radius ? (x & (x - 1)) == 0 : x == 0;
    }
    near += here;
  }
  return near;
}

/* What the cut costs.  `*stopped` is set where it was. */
static double join_cost(const nn_join *join, nn_poller *poller, int *stopped) {
  uint32_t keys[JOIN_SAMPLE];
  uint32_t n = join->words > 16 ? JOIN_SAMPLE_LONG : JOIN_SAMPLE;
  if (n > join->count) n = join->count;
  double cost = 0, scale = (double)join->count / n;
  for (int i = 0; i < join->span_count; i++) {
    const join_span *span = &join->spans[i];
    for (uint32_t k = 0; k < n; k++)
      keys[k] = join_key(join_code(join, (uint64_t)k * join->count / n), span);
    uint64_t near = join_count_near(keys, n, span->radius);
    /* None of the sample is not none of all. */
    cost += (near ? (double)near : 0.5) * scale * scale * join_unit(join);
    cost += (double)join->count *
            (JOIN_COST_TABLE +
             JOIN_COST_PHASE * (span->radius ? 1 + join_key_bits(span) : 1));
    if (nn_poller_stops(poller, n * n / 4)) *stopped = 1;
  }
  return cost;
}

/* Decide on the way, and cut for it.  0: stopped. */
static int join_choose(nn_join *join, nn_poller *poller) {
  int best = NN_JOIN_ALL, stopped = 0;
  double least = 0.5 * join->count * join->count * join_unit(join);
  if (join->way == NN_JOIN_BEST && least > JOIN_COST_SMALL) {
    for (int way = NN_JOIN_EQUAL; way <= NN_JOIN_NEAR; way++) {
      if (!join_cut(join, way)) continue;
      double cost = join_cost(join, poller, &stopped);
      if (stopped) return 0;
      if (cost < least) {
        least = cost;
        best = way;
      }
    }
    join->way = best;
  }
  if (join->way < NN_JOIN_EQUAL || !join_cut(join, join->way)) {
    join->way = NN_JOIN_ALL;
    join->span_count = 0;
  }
  return 1;
}

/* Walking ------------------------------------------------------------------ */

static void join_begin_phase(nn_join *join) {
  join->row = join->low = join->target = 0;
  join->high = join->entries ? 0 : join->count;
}

/* The table of the substring in hand.  0: stopped. */
static int join_load(nn_join *join, nn_poller *poller) {
  const join_span *span = &join->spans[join->span];
  size_t words = (size_t)join->words;
  for (uint32_t i = 0; i < join->count; i++) {
    join->entries[i] = (uint64_t)join_key(join_code(join, i), span) << 32 | i;
    if (i % JOIN_SLICE == 0 && nn_poller_stops(poller, JOIN_SLICE * words))
      return 0;
  }
  if (!nn_sort_keys(join->entries, join->room, join->count,
                    join_key_bits(span), poller))
    return 0;
  for (uint32_t i = 0; i < join->count; i++) {
    const uint64_t *code = join_code(join, (uint32_t)join->entries[i]);
    uint64_t *to = join->room + i * words;
    for (size_t w = 0; w < words; w++) to[w] = code[w];
    if (i % JOIN_SLICE == 0 && nn_poller_stops(poller, 4 * JOIN_SLICE * words))
      return 0;
  }
  join->phase = 0;
  join->phases = span->radius ? 1 + join_key_bits(span) : 1;
  join_begin_phase(join);
  return 1;
}

static uint32_t join_key_at(const nn_join *join, uint32_t row) {
  return (uint32_t)(join->entries[row] >> 32);
}

/* The bucket with this key, which is behind the one that was found last. */
static void join_find(nn_join *join, uint32_t key) {
  uint32_t n = join->count, low = join->high;
  while (low < n && join_key_at(join, low) < key) low++;
  join->low = join->high = low;
  while (join->high < n && join_key_at(join, join->high) == key) join->high++;
  join->target = key;
}

/* Whom to compare the next row with, which may be nobody. */
static void join_seek_row(nn_join *join) {
  uint32_t row = join->row++;
  join->self = row;
  if (join->phase == 0) {
    if (row >= join->high) join_find(join, join_key_at(join, row));
    join->at = row + 1;
    join->end = join->high;
    return;
  }
  uint32_t bit = (uint32_t)1 << (join->phase - 1);
  uint32_t key = join_key_at(join, row);
  if (key & bit) return;
  if ((key | bit) != join->target) join_find(join, key | bit);
  join->at = join->low;
  join->end = join->high;
}

/* Find somebody to compare; 0: the table has no more.  Returns after a slice
** of rows without, too. */
static int join_seek(nn_join *join) {
  for (int i = 0; i < JOIN_SLICE && join->at >= join->end; i++) {
    if (join->row < join->count) {
      join_seek_row(join);
    } else {
      if (join->phase + 1 >= join->phases) return 0;
      join->phase++;
      join_begin_phase(join);
    }
  }
  return 1;
}

static uint32_t join_number(const nn_join *join, uint32_t row) {
  return join->entries ? (uint32_t)join->entries[row] : row;
}

/* A slice of comparisons, into the batch.  Returns how many. */
static uint32_t join_compare(nn_join *join) {
  uint32_t n = join->end - join->at;
  size_t words = (size_t)join->words;
  if (n > JOIN_SLICE) n = JOIN_SLICE;
  const uint64_t *code = join->ordered + join->self * words;
  const uint64_t *others = join->ordered + join->at * words;
  uint32_t found = join->scan(code, others, n, join->words, join->limit,
                              join->hits);
  for (uint32_t i = 0; i < found; i++) {
    const join_hit *hit = &join->hits[i];
    if (join->span_count > 0 &&
        !join_is_first(join, code, others + hit->at * words))
      continue;
    join->batch[join->batch_count++] = (nn_joined){
        join_number(join, join->self), join_number(join, join->at + hit->at),
        hit->distance};
  }
  join->at += n;
  return n;
}

/* Opening ------------------------------------------------------------------ */

nn_status nn_join_open(const nn_memory *mem, const uint64_t *codes,
                       uint32_t count, int words, int max_distance, int way,
                       nn_join **out, nn_error *err) {
  nn_join *join = nn_zalloc(mem, sizeof(*join));
  *out = NULL;
  if (!join) return nn_fail(err, NN_NOMEM, "out of memory");
  join->mem = *mem;
  join->codes = join->ordered = codes;
  join->count = count;
  join->words = words;
  join->limit = max_distance;
  join->way = way;
  join->span = -1;
  join->scan = words > JOIN_LONG ? join_scan_long
               : nn_cpu_features() & NN_CPU_POPCNT ? join_scan_popcnt
                                                   : join_scan_plain;
  join->varies = nn_zalloc(mem, (size_t)words * sizeof(*join->varies));
  if (!join->varies) {
    nn_join_close(join);
    return nn_fail(err, NN_NOMEM, "out of memory");
  }
  *out = join;
  return NN_OK;
}

void nn_join_close(nn_join *join) {
  if (!join) return;
  nn_memory mem = join->mem;
  nn_free(&mem, join->varies);
  nn_free(&mem, join->entries);
  nn_free(&mem, join->room);
  nn_free(&mem, join);
}

int nn_join_way(const nn_join *join) { return join->way; }

/* The first table, or none. */
static nn_status join_begin(nn_join *join, nn_poller *poller, nn_error *err) {
  size_t n = join->count;
  if (!join_find_varying(join, poller) || !join_choose(join, poller))
    return nn_fail(err, NN_INTERRUPTED, "interrupted");
  join->span = 0;
  if (join->span_count == 0) {
    join->phases = 1;
    join_begin_phase(join);
    return NN_OK;
  }
  join->entries = nn_alloc(&join->mem, nn_mul(n, sizeof(*join->entries)));
  join->room = nn_alloc(&join->mem, nn_mul(nn_mul(n, (size_t)join->words),
                                           sizeof(*join->room)));
  join->ordered = join->room;
  if (!join->entries || !join->room)
    return nn_fail(err, NN_NOMEM, "out of memory");
  if (!join_load(join, poller))
    return nn_fail(err, NN_INTERRUPTED, "interrupted");
  return NN_OK;
}

nn_status nn_join_next(nn_join *join, nn_poller *poller,
                       const nn_joined **pairs, uint32_t *n, nn_error *err) {
  nn_status status;
  *pairs = join->batch;
  *n = join->batch_count = 0;
  if (join->span < 0 && (status = join_begin(join, poller, err)) != NN_OK)
    return status;
  while (join->batch_count == 0) {
    uint64_t work = JOIN_SLICE;
    if (join->at < join->end) {
      work = join_compare(join) * (uint64_t)join_unit(join);
    } else if (!join_seek(join)) {
      if (join->span + 1 >= join->span_count) break;
      join->span++;
      if (!join_load(join, poller))
        return nn_fail(err, NN_INTERRUPTED, "interrupted");
    } else if (join->at < join->end) {
      work = 4;   /* found at once, as a rule */
    }
    if (nn_poller_stops(poller, work))
      return nn_fail(err, NN_INTERRUPTED, "interrupted");
  }
  *n = join->batch_count;
  return NN_OK;
}

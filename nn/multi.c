/*
** Multi-index hashing: rows near a code without a look at all the others.
**
** Norouzi, Punjani and Fleet, "Fast Search in Hamming Space with Multi-Index
** Hashing" (CVPR 2012).  A code of up to 64 bits is cut into m substrings.  Two
** codes that differ in few bits differ in very few bits of at least one
** substring, so m tables, each sorted by one substring, hold the near rows in
** the few buckets around the query's own substring.
**
**   table j    entries (code, ordinal of the row) in the order of substring
**              j, and where each of its 2^s values begins
**
** A query goes by steps, t = r * m + j: table j, the buckets whose substring
** differs from the query's in exactly r bits.  After step t every row within
** distance t has been met: one that has not differs in at least r + 1 bits of
** the first j + 1 substrings and in at least r of the others, which is more
** than t in all.  So step t ends with all rows at distance t in hand, and rows
** come out by distance as exactly as from a scan (section 3 of the paper).
**
** A row stands in all m tables, but is taken from the one where it is met
** first.  Which that is needs no memory: the row is met at the smallest of
** s_i * m + i, where s_i is the distance of its substring i, so in table j at
** radius r it is new if s_i > r for all i < j and s_i >= r for all i > j.
**
** What a step costs is known beforehand: its buckets are counted.  Uniform
** codes need hundreds of buckets with a hundred rows each where a scan looks at
** ten millions.  Codes that crowd (many equal ones, a substring that is
** constant) make buckets as large as the table; then the count says so, and the
** caller scans.
**
** Memory is 12 bytes a row and table, and 4 bytes for each value of a
** substring. How long substrings are is a matter of the number of rows: with
** 2^s far fewer than rows a bucket is read in one stream, which is much faster
** than many buckets with a row each.
*/
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "floats.h"

#define MULTI_TABLES_MAX 6
#define MULTI_WIDTH_MAX 22    /* bits of a substring */
#define MULTI_WIDTH_MIN 8
#define MULTI_POLL 65536      /* rows between two questions */
/* What going to a bucket costs, in rows read from it. */
#define MULTI_BUCKET 16
#define MULTI_NONE UINT32_MAX

typedef struct multi_table {
  int shift, width;           /* of the substring in the code as a number */
  uint32_t *starts;           /* 2^width + 1 */
  uint64_t *codes;
  uint32_t *ordinals;
} multi_table;

struct nn_multi {
  nn_memory mem;
  int bits, tables;
  uint64_t rows;
  uint32_t *block_starts;     /* ordinal of each block's row 0, and the end */
  size_t block_count;
  multi_table table[MULTI_TABLES_MAX];
};

/* The tables that so many rows want, 0 for none. */
static int multi_tables(int bits, uint64_t rows) {
  int most = MULTI_WIDTH_MIN, tables = 1;
  if (bits > 64 || rows < 1024 || rows >= MULTI_NONE) return 0;
  while (most < MULTI_WIDTH_MAX && rows >> (most + 2) > 1) most++;
  while ((bits + tables - 1) / tables > most) tables++;
  return tables <= MULTI_TABLES_MAX ? tables : 0;
}

/* Substring j: the first ones get the bits that are left over. */
static int multi_width(int bits, int tables, int j) {
  return bits / tables + (j < bits % tables);
}

size_t nn_multi_bytes_for(int bits, uint64_t rows) {
  int tables = multi_tables(bits, rows);
  size_t sum = 0;
  /* nn_alloc puts less than 128 bytes to what it is asked for. */
  if (tables == 0 || rows * sizeof(uint64_t) > NN_ALLOC_MAX - 128) return 0;
  for (int j = 0; j < tables; j++)
    sum += (size_t)rows * (sizeof(uint64_t) + sizeof(uint32_t)) +
           (((size_t)1 << multi_width(bits, tables, j)) + 1) * sizeof(uint32_t);
  return sum;
}

size_t nn_multi_bytes(const nn_multi *multi) {
  return nn_multi_bytes_for(multi->bits, multi->rows) +
         (multi->block_count + 1) * sizeof(uint32_t) + sizeof(*multi);
}

void nn_multi_close(nn_multi *multi) {
  if (!multi) return;
  nn_memory mem = multi->mem;
  for (int j = 0; j < MULTI_TABLES_MAX; j++) {
    nn_free(&mem, multi->table[j].starts);
    nn_free(&mem, multi->table[j].codes);
    nn_free(&mem, multi->table[j].ordinals);
  }
  nn_free(&mem, multi->block_starts);
  nn_free(&mem, multi);
}

/* A code as a number of `bits` bits. */
static uint64_t multi_number(const uint8_t *code, int bits) {
  uint64_t x = 0;
  for (int i = 0; i < (bits + 7) / 8; i++) x = x << 8 | code[i];
  return x >> (8 - bits % 8) % 8;
}

static uint32_t multi_key(const multi_table *table, uint64_t code) {
  return (uint32_t)(code >> table->shift) &
         (((uint32_t)1 << table->width) - 1);
}

/* Building ----------------------------------------------------------------- */

typedef struct multi_build {
  nn_multi *multi;
  uint64_t *codes;            /* of all rows, in order */
  int (*poll)(void *);
  void *poll_context;
  atomic_int stopped;
} multi_build;

/* Is the build to end?  The calling thread, worker 0, asks. */
static int multi_stops(multi_build *b, int worker) {
  if (worker == 0 && b->poll && !b->stopped && b->poll(b->poll_context))
    b->stopped = 1;
  return b->stopped;
}

/* The codes of all blocks. */
static void multi_gather(multi_build *b, const nn_block *blocks) {
  uint32_t at = 0, asked = 0;
  int spare = (8 - b->multi->bits % 8) % 8;
  for (size_t i = 0; i < b->multi->block_count; i++) {
    const uint8_t *p = blocks[i].planes;
    uint64_t *to = b->codes + at;
    int n = blocks[i].rows;
    b->multi->block_starts[i] = at;
    memset(to, 0, (size_t)n * sizeof(*to));
    for (int plane = 0; plane < blocks[i].code_bytes; plane++, p += n)
      for (int row = 0; row < n; row++) to[row] = to[row] << 8 | p[row];
    for (int row = 0; spare && row < n; row++) to[row] >>= spare;
    at += (uint32_t)n;
    if (at - asked >= MULTI_POLL) {
      asked = at;
      if (multi_stops(b, 0)) return;
    }
  }
  b->multi->block_starts[b->multi->block_count] = at;
}

/* A counting sort of all rows by substring j: one task of a team. */
static void multi_sort(void *context, size_t j, int worker) {
  multi_build *b = context;
  multi_table *table = &b->multi->table[j];
  uint64_t rows = b->multi->rows;
  size_t values = (size_t)1 << table->width;
  uint32_t sum = 0;
  memset(table->starts, 0, (values + 1) * sizeof(*table->starts));
  for (uint64_t i = 0; i < rows; i++)
    table->starts[multi_key(table, b->codes[i])]++;
  for (size_t v = 0; v <= values; v++) {
    uint32_t n = v < values ? table->starts[v] : 0;
    table->starts[v] = sum;
    sum += n;
  }
  for (uint64_t i = 0; i < rows; i++) {
    uint32_t to = table->starts[multi_key(table, b->codes[i])]++;
    table->codes[to] = b->codes[i];
    table->ordinals[to] = (uint32_t)i;
    if (i % MULTI_POLL == MULTI_POLL - 1 && multi_stops(b, worker)) return;
  }
  /* Each start has moved to its bucket's end, which is the next one's start. */
  memmove(table->starts + 1, table->starts,
          values * sizeof(*table->starts));
  table->starts[0] = 0;
}

static int multi_alloc(nn_multi *multi, multi_build *b) {
  const nn_memory *mem = &multi->mem;
  size_t rows = (size_t)multi->rows;
  int shift = multi->bits;
  multi->block_starts = nn_alloc(
      mem, nn_mul(multi->block_count + 1, sizeof(*multi->block_starts)));
  b->codes = nn_alloc(mem, nn_mul(rows, sizeof(*b->codes)));
  if (!multi->block_starts || !b->codes) return 0;
  for (int j = 0; j < multi->tables; j++) {
    multi_table *table = &multi->table[j];
    table->width = multi_width(multi->bits, multi->tables, j);
    table->shift = shift -= table->width;
    table->starts = nn_alloc(mem, (((size_t)1 << table->width) + 1) *
                                      sizeof(*table->starts));
    table->codes = nn_alloc(mem, nn_mul(rows, sizeof(*table->codes)));
    table->ordinals = nn_alloc(mem, nn_mul(rows, sizeof(*table->ordinals)));
    if (!table->starts || !table->codes || !table->ordinals) return 0;
  }
  return 1;
}

/* Each table by one thread, while there are threads. */
static void multi_fill(multi_build *b, const nn_block *blocks, int threads) {
  nn_multi *multi = b->multi;
  nn_team *team = NULL;
  nn_error err;
  multi_gather(b, blocks);
  if (b->stopped) return;
  if (threads > multi->tables) threads = multi->tables;
  /* Without a team the caller does it all. */
  if (nn_team_open(&multi->mem, threads, &team, &err) != NN_OK) team = NULL;
  nn_team_run(team, (size_t)multi->tables, multi_sort, b);
  nn_team_close(team);
}

nn_status nn_multi_build(const nn_memory *mem, int bits, const nn_block *blocks,
                         size_t block_count, int threads, int (*poll)(void *),
                         void *poll_context, nn_multi **out, nn_error *err) {
  uint64_t rows = 0;
  *out = NULL;
  for (size_t i = 0; i < block_count; i++) rows += (uint64_t)blocks[i].rows;
  if (nn_multi_bytes_for(bits, rows) == 0)
    return nn_fail(err, NN_ARGUMENT, "no multi-index of %llu rows of %d bits",
                   (unsigned long long)rows, bits);
  nn_multi *multi = nn_zalloc(mem, sizeof(*multi));
  if (!multi) return nn_fail(err, NN_NOMEM, "out of memory");
  multi->mem = *mem;
  multi->bits = bits;
  multi->rows = rows;
  multi->block_count = block_count;
  multi->tables = multi_tables(bits, rows);
  multi_build b = {multi, NULL, poll, poll_context, 0};
  nn_status status = NN_OK;
  if (multi_alloc(multi, &b))
    multi_fill(&b, blocks, threads);
  else
    status = nn_fail(err, NN_NOMEM, "out of memory");
  if (b.stopped) status = nn_fail(err, NN_INTERRUPTED, "interrupted");
  nn_free(mem, b.codes);
  if (status == NN_OK) *out = multi;
  else nn_multi_close(multi);
  return status;
}

/* Probing ------------------------------------------------------------------ */

#define PROBE_INLINE __attribute__((always_inline)) static inline
#define PROBE_AHEAD 4     /* buckets that are fetched before they are read */
#define PROBE_FETCH 256   /* codes of a bucket that are */
#define PROBE_TOO_FAR ((uint64_t)1 << 62)   /* a cost that nobody pays */

/* A row that was met and has not come out yet. */
typedef struct probe_row {
  uint32_t ordinal, next;     /* next at the same distance, MULTI_NONE */
} probe_row;

struct nn_probe {
  nn_memory mem;              /* not the index's, which others share */
  const nn_multi *multi;
  uint64_t query;
  int horizon;                /* no step beyond it will be done */
  uint64_t wanted, kept;      /* rows; of those met within the horizon */
  uint64_t counts[65];        /* of rows met, by distance */
  int step;                   /* the next one */
  int (*bucket)(nn_probe *, const multi_table *, int, uint32_t);
  uint64_t cost;              /* of it, UINT64_MAX: not counted yet */
  probe_row *met;
  size_t met_count, met_room;
  uint32_t heads[65];         /* by distance */
  uint32_t *rows;             /* at the distance of the last step, in order */
  size_t row_count, row_room, row_next;
};

void nn_probe_close(nn_probe *probe) {
  if (!probe) return;
  nn_memory mem = probe->mem;
  nn_free(&mem, probe->met);
  nn_free(&mem, probe->rows);
  nn_free(&mem, probe);
}

/* The next larger number with as many bits set (Gosper); x is not 0. */
static uint64_t probe_next_mask(uint64_t x) {
  uint64_t low = x & -x, up = x + low;
  return up | ((x ^ up) / low) >> 2;
}

static uint64_t probe_choose(int n, int k) {
  uint64_t c = 1;
  for (int i = 1; i <= k; i++) c = c * (uint64_t)(n - k + i) / (uint64_t)i;
  return c;
}

/* The table, radius and substring of the next step; 0: it has no bucket. */
static int probe_where(const nn_probe *probe, const multi_table **table, int *r,
                       uint32_t *key) {
  int j = probe->step % probe->multi->tables;
  *r = probe->step / probe->multi->tables;
  *table = &probe->multi->table[j];
  *key = multi_key(*table, probe->query);
  return *r <= (*table)->width;
}

uint64_t nn_probe_cost(const nn_probe *probe) {
  const multi_table *table;
  int r;
  uint32_t key;
  if (probe->step > probe->horizon) return PROBE_TOO_FAR;
  if (probe->cost != UINT64_MAX) return probe->cost;
  if (!probe_where(probe, &table, &r, &key)) return 0;
  uint64_t buckets = probe_choose(table->width, r);
  uint64_t cost = buckets * MULTI_BUCKET;
  if (cost < probe->multi->rows) {
    uint64_t mask = ((uint64_t)1 << r) - 1;
    for (uint64_t i = 0; i < buckets; i++) {
      const uint32_t *start = &table->starts[key ^ (uint32_t)mask];
      cost += start[1] - start[0];
      if (mask) mask = probe_next_mask(mask);
    }
  }
  ((nn_probe *)probe)->cost = cost;
  return cost;
}

/* Room for n more rows that are met. */
static int probe_room(nn_probe *probe, size_t n) {
  const nn_memory *mem = &probe->mem;
  size_t need = probe->met_count + n, room = probe->met_room;
  if (need <= room) return 1;
  room = room < 512 ? 1024 : 2 * room;
  if (room < need) room = need;
  probe_row *met = nn_alloc(mem, nn_mul(room, sizeof(*met)));
  if (!met) return 0;
  if (probe->met_count)
    memcpy(met, probe->met, probe->met_count * sizeof(*met));
  nn_free(mem, probe->met);
  probe->met = met;
  probe->met_room = room;
  return 1;
}

/* Is this the first table in which a row with these differing bits is met? */
static int probe_is_first(const nn_multi *multi, uint64_t differs, int j,
                          int r) {
  for (int i = 0; i < multi->tables; i++) {
    if (i == j) continue;
    int s = (int)nn_popcount64(multi_key(&multi->table[i], differs));
    if (s < r || (i < j && s == r)) return 0;
  }
  return 1;
}

/* Keep a row.  Where enough are nearer than the horizon, it comes nearer. */
static void probe_keep(nn_probe *probe, uint32_t ordinal, int distance) {
  probe_row *row = &probe->met[probe->met_count];
  row->ordinal = ordinal;
  row->next = probe->heads[distance];
  probe->heads[distance] = (uint32_t)probe->met_count++;
  probe->counts[distance]++;
  probe->kept++;
  while (probe->kept - probe->counts[probe->horizon] >= probe->wanted)
    probe->kept -= probe->counts[probe->horizon--];
}

/* Rows of a bucket beyond the horizon, nearly all, are done with at once. */
PROBE_INLINE int probe_read(nn_probe *probe, const multi_table *table, int r,
                            uint32_t value, int (*count)(uint64_t)) {
  int j = (int)(table - probe->multi->table);
  uint32_t from = table->starts[value], end = table->starts[value + 1];
  while (from < end) {
    uint32_t to = end - from > PROBE_FETCH ? from + PROBE_FETCH : end;
    if (!probe_room(probe, to - from)) return 0;
    for (; from < to; from++) {
      uint64_t differs = table->codes[from] ^ probe->query;
      int distance = count(differs);
      if (distance <= probe->horizon &&
          probe_is_first(probe->multi, differs, j, r))
        probe_keep(probe, table->ordinals[from], distance);
    }
  }
  return 1;
}

PROBE_INLINE int probe_count(uint64_t x) { return (int)nn_popcount64(x); }

static int probe_bucket_plain(nn_probe *probe, const multi_table *table, int r,
                              uint32_t value) {
  return probe_read(probe, table, r, value, probe_count);
}

#if defined(__x86_64__)
NN_TARGET("popcnt") PROBE_INLINE int probe_popcnt(uint64_t x) {
  return __builtin_popcountll(x);
}

NN_TARGET("popcnt")
static int probe_bucket_popcnt(nn_probe *probe, const multi_table *table, int r,
                               uint32_t value) {
  return probe_read(probe, table, r, value, probe_popcnt);
}
#else
#define probe_bucket_popcnt probe_bucket_plain
#endif

/* How far steps come if all their buckets hold what buckets hold on average.
** Near it, one row in thousands has to be remembered; without it, one in four,
** for steps that will never be. */
static int probe_horizon(const nn_multi *multi, uint64_t budget) {
  uint64_t cost = 0;
  int step = 0;
  for (; step < 64; step++) {
    int r = step / multi->tables;
    int width = multi->table[step % multi->tables].width;
    if (r <= width)
      cost += probe_choose(width, r) * (MULTI_BUCKET + (multi->rows >> width));
    if (cost > budget) break;
  }
  return step;
}

nn_status nn_probe_open(const nn_memory *mem, const nn_multi *multi,
                        const void *query, uint64_t budget, int max,
                        uint64_t wanted, nn_probe **out, nn_error *err) {
  nn_probe *probe = nn_zalloc(mem, sizeof(*probe));
  *out = probe;
  if (!probe) return nn_fail(err, NN_NOMEM, "out of memory");
  probe->mem = *mem;
  probe->multi = multi;
  probe->query = multi_number(query, multi->bits);
  probe->horizon = probe_horizon(multi, budget);
  if (max < probe->horizon) probe->horizon = max < 0 ? 0 : max;
  probe->wanted = wanted > 0 ? wanted : 1;
  probe->bucket = nn_cpu_features() & NN_CPU_POPCNT ? probe_bucket_popcnt
                                                    : probe_bucket_plain;
  probe->cost = UINT64_MAX;
  for (int d = 0; d <= 64; d++) probe->heads[d] = MULTI_NONE;
  return NN_OK;
}

static int probe_compare(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return x < y ? -1 : x > y;
}

/* The rows of one distance in order. */
static int probe_collect(nn_probe *probe, int distance) {
  const nn_memory *mem = &probe->mem;
  size_t n = 0;
  probe->row_count = probe->row_next = 0;
  if (distance > 64) return 1;
  for (uint32_t i = probe->heads[distance]; i != MULTI_NONE;
       i = probe->met[i].next)
    n++;
  if (n > probe->row_room) {
    nn_free(mem, probe->rows);
    probe->row_room = 0;
    probe->rows = nn_alloc(mem, nn_mul(n, sizeof(*probe->rows)));
    if (!probe->rows) return 0;
    probe->row_room = n;
  }
  probe->row_count = n;
  /* The list has the last one first. */
  for (uint32_t i = probe->heads[distance]; i != MULTI_NONE;
       i = probe->met[i].next)
    probe->rows[--n] = probe->met[i].ordinal;
  for (size_t i = 1; i < probe->row_count; i++)
    if (probe->rows[i - 1] > probe->rows[i]) {
      qsort(probe->rows, probe->row_count, sizeof(*probe->rows),
            probe_compare);
      break;
    }
  return 1;
}

/* Have the CPU fetch a bucket, or the beginning of a long one. */
static void probe_prefetch(const multi_table *table, uint32_t value) {
  const uint64_t *p = table->codes + table->starts[value];
  const uint64_t *end = table->codes + table->starts[value + 1];
  if (end - p > PROBE_FETCH) end = p + PROBE_FETCH;
  for (; p < end; p += 8) __builtin_prefetch(p);
}

nn_status nn_probe_step(nn_probe *probe, nn_error *err) {
  const multi_table *table;
  int r, ok = 1;
  uint32_t key;
  if (probe_where(probe, &table, &r, &key)) {
    uint64_t buckets = probe_choose(table->width, r);
    uint64_t mask = ((uint64_t)1 << r) - 1, ahead = mask;
    for (uint64_t i = 0; ok && i < buckets + PROBE_AHEAD; i++) {
      if (i < buckets) {
        probe_prefetch(table, key ^ (uint32_t)ahead);
        if (ahead) ahead = probe_next_mask(ahead);
      }
      if (i < PROBE_AHEAD) continue;
      ok = probe->bucket(probe, table, r, key ^ (uint32_t)mask);
      if (mask) mask = probe_next_mask(mask);
    }
  }
  if (!ok || !probe_collect(probe, probe->step))
    return nn_fail(err, NN_NOMEM, "out of memory");
  probe->step++;
  probe->cost = UINT64_MAX;
  return NN_OK;
}

int nn_probe_row(nn_probe *probe, uint32_t *block, uint32_t *row) {
  if (probe->row_next == probe->row_count) return 0;
  uint32_t ordinal = probe->rows[probe->row_next++];
  const uint32_t *starts = probe->multi->block_starts;
  size_t low = 0, high = probe->multi->block_count;
  while (high - low > 1) {
    size_t middle = low + (high - low) / 2;
    if (starts[middle] <= ordinal) low = middle;
    else high = middle;
  }
  *block = (uint32_t)low;
  *row = ordinal - starts[low];
  return 1;
}

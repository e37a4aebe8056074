/*
** The multi-index against a look at every row.
**
** After step t the index must give all rows at distance t, in order and once
** each, whatever codes there are: uniform ones; a few centres with some bits
** flipped; one or two codes alone; codes with a part that never changes, as
** bits of a network that has died; and numbers of bits that no number of
** substrings divides.  With a budget without end all steps to the last are
** done, so every row comes out; with small ones the steps stop where they must
** and what came before is complete all the same.  A build can be stopped at
** each question, and each allocation of build, query and steps fails once.
** Index and query have allocators of their own here, which must each get back
** what they gave.
*/
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../nn/nn_int.h"
#include "test_util.h"

#define TOO_FAR ((uint64_t)1 << 60)   /* no budget of a test */

static test_rng rng = {0x082efa98ec4e6c89u};

typedef enum kind {
  UNIFORM,
  CLUSTERED,
  EQUAL,
  TWO,
  CONSTANT_FIRST,   /* the first third of the bits */
  CONSTANT_LAST,
  FEW_BITS,         /* all rows near 0 */
  KINDS
} kind;

typedef struct data {
  int bits, count, block_count;
  uint64_t *codes;            /* as numbers, of all rows in order */
  nn_block *blocks;
  uint8_t **bytes;
  int *starts;                /* number of the first row of a block */
} data;

static uint64_t all_ones(int bits) { return UINT64_MAX >> (64 - bits); }

static uint64_t some_flips(int bits, int most) {
  uint64_t x = 0;
  for (int i = (int)test_below(&rng, (uint64_t)most + 1); i > 0; i--)
    x ^= (uint64_t)1 << test_below(&rng, (uint64_t)bits);
  return x;
}

static int distance_of(uint64_t a, uint64_t b) {
  int n = 0;
  for (a ^= b; a; a &= a - 1) n++;
  return n;
}

/* The bytes of a code, in memory of exactly their size when `to` is NULL. */
static uint8_t *code_bytes(uint64_t code, int bits, uint8_t *to) {
  size_t n = (size_t)(bits + 7) / 8;
  if (!to) to = malloc(n);
  memset(to, 0, n);
  for (int i = 0; i < bits; i++)
    if (code >> (bits - 1 - i) & 1) to[i / 8] |= (uint8_t)(0x80 >> i % 8);
  return to;
}

static void make_codes(data *d, kind k) {
  uint64_t centres[5], mask = all_ones(d->bits);
  int third = (d->bits + 2) / 3;
  for (int i = 0; i < 5; i++) centres[i] = test_random(&rng) & mask;
  for (int i = 0; i < d->count; i++) {
    uint64_t x = test_random(&rng) & mask;
    if (k == CLUSTERED)
      x = centres[test_below(&rng, 5)] ^ some_flips(d->bits, 4);
    if (k == EQUAL) x = centres[0];
    if (k == TWO) x = test_below(&rng, 9) ? centres[0] : ~centres[0] & mask;
    if (k == CONSTANT_FIRST) x &= all_ones(d->bits - third);
    if (k == CONSTANT_LAST) x |= all_ones(third);
    if (k == FEW_BITS) x = some_flips(d->bits, 3);
    d->codes[i] = x;
  }
}

/* The fewest rows, from `count` on, for which there is an index. */
static int rows_for(int bits, int count) {
  while (nn_multi_bytes_for(bits, (uint64_t)count) == 0) count += count / 2;
  return count;
}

/* Rows in blocks of up to block_rows, with an empty one before and behind. */
static void make_data(data *d, int bits, int count, int block_rows, kind k) {
  size_t bytes = (size_t)(bits + 7) / 8, most = 2 * (size_t)count + 3;
  memset(d, 0, sizeof(*d));
  d->bits = bits;
  d->count = count;
  d->codes = malloc((size_t)count * sizeof(*d->codes));
  d->blocks = calloc(most, sizeof(*d->blocks));
  d->bytes = calloc(most, sizeof(*d->bytes));
  d->starts = calloc(most, sizeof(*d->starts));
  make_codes(d, k);
  int64_t *rowids = malloc((size_t)block_rows * sizeof(*rowids));
  uint8_t *codes = malloc((size_t)block_rows * bytes);
  for (int at = 0, empty = 1; at < count || !empty; empty = !empty) {
    int n = empty ? 0 : 1 + (int)test_below(&rng, (uint64_t)block_rows);
    if (n > count - at) n = count - at;
    for (int i = 0; i < n; i++) {
      rowids[i] = at + i;
      code_bytes(d->codes[at + i], bits, codes + (size_t)i * bytes);
    }
    size_t size = nn_block_size(n, 0, (int)bytes);
    nn_error err;
    int b = d->block_count++;
    d->bytes[b] = malloc(size);
    nn_block_write(d->bytes[b], bits, 0, rowids, codes, n);
    assert_int_equal(nn_block_open(d->bytes[b], size, bits, &d->blocks[b],
                                   &err), NN_OK);
    d->starts[b] = at;
    at += n;
  }
  free(rowids);
  free(codes);
}

static void free_data(data *d) {
  for (int i = 0; i < d->block_count; i++) free(d->bytes[i]);
  free(d->bytes);
  free(d->blocks);
  free(d->starts);
  free(d->codes);
}

static nn_multi *build(const data *d, const nn_memory *mem) {
  nn_multi *multi;
  nn_error err;
  int threads = 1 + (int)test_below(&rng, 4);
  assert_int_equal(nn_multi_build(mem, d->bits, d->blocks,
                                  (size_t)d->block_count, threads, NULL, NULL,
                                  &multi, &err), NN_OK);
  size_t bytes = nn_multi_bytes_for(d->bits, (uint64_t)d->count);
  assert_true(nn_multi_bytes(multi) >= bytes);
  assert_true(nn_multi_bytes(multi) <=
              bytes + 4096 + 4 * (size_t)d->block_count);
  return multi;
}

/* Of all rows, to be freed. */
static uint8_t *distances_to(const data *d, uint64_t query) {
  uint8_t *distances = malloc((size_t)d->count);
  for (int i = 0; i < d->count; i++)
    distances[i] = (uint8_t)distance_of(d->codes[i], query);
  return distances;
}

/* Does the step that was done give the rows at distance t? */
static int step_is_right(const data *d, nn_probe *probe,
                         const uint8_t *distances, int t) {
  uint32_t block, row;
  for (int i = 0; i < d->count; i++) {
    if (distances[i] != t) continue;
    if (!nn_probe_row(probe, &block, &row) ||
        block >= (uint32_t)d->block_count ||
        row >= (uint32_t)d->blocks[block].rows ||
        d->starts[block] + (int)row != i)
      return 0;
  }
  return !nn_probe_row(probe, &block, &row) &&
         !nn_probe_row(probe, &block, &row);
}

/* All steps that the budget allows.  Returns how many there were, -1 where one
** was wrong. */
static int run_bounded(const data *d, const nn_multi *multi, uint64_t query,
                       uint64_t budget, int max, uint64_t wanted) {
  test_memory memory;
  nn_probe *probe;
  nn_error err;
  uint32_t block, row;
  int steps = 0;
  test_memory_init(&memory, 0x5a);
  uint8_t *bytes = code_bytes(query, d->bits, NULL);
  assert_int_equal(nn_probe_open(&memory.mem, multi, bytes, budget, max,
                                 wanted, &probe, &err), NN_OK);
  free(bytes);   /* it was copied */
  uint8_t *distances = distances_to(d, query);
  assert_int_equal(nn_probe_row(probe, &block, &row), 0);
  for (;;) {
    uint64_t cost = nn_probe_cost(probe);
    assert_true(nn_probe_cost(probe) == cost);
    if (cost >= TOO_FAR) break;
    assert_int_equal(nn_probe_step(probe, &err), NN_OK);
    if (!step_is_right(d, probe, distances, steps)) {
      steps = -1;
      break;
    }
    steps++;
    assert_true(steps <= 65);
  }
  free(distances);
  nn_probe_close(probe);
  assert_int_equal(memory.live, 0);
  return steps;
}

static int run_steps(const data *d, const nn_multi *multi, uint64_t query,
                     uint64_t budget) {
  return run_bounded(d, multi, query, budget, 1000, UINT64_MAX);
}

static uint64_t some_query(const data *d, int i) {
  uint64_t code = d->codes[test_below(&rng, (uint64_t)d->count)];
  uint64_t mask = all_ones(d->bits);
  if (i == 0) return code;
  if (i == 1) return code ^ some_flips(d->bits, 4);
  if (i == 2) return ~code & mask;
  if (i == 3) return test_random(&rng) & mask;
  return i == 4 ? 0 : mask;
}

static void check_queries(const data *d, int queries, uint64_t budget) {
  test_memory memory;
  test_memory_init(&memory, 0xa5);
  nn_multi *multi = build(d, &memory.mem);
  long calls = memory.calls;
  for (int i = 0; i < queries; i++) {
    int steps = run_steps(d, multi, some_query(d, i), budget);
    if (steps < 0)
      fail_msg("wrong rows: %d rows of %d bits, query %d", d->count, d->bits,
               i);
    if (budget == UINT64_MAX) assert_int_equal(steps, 65);
  }
  assert_int_equal(memory.calls, calls);   /* queries have their own */
  nn_multi_close(multi);
  assert_int_equal(memory.live, 0);
}

static void every_kind_of_codes(void **state) {
  (void)state;
  const int all_bits[] = {8, 12, 13, 22, 23, 32, 47, 48, 61, 63, 64};
  for (int b = 0; b < 11; b++)
    for (int k = 0; k < KINDS; k++) {
      data d;
      int count = rows_for(all_bits[b], 1024 + 700 * k);
      make_data(&d, all_bits[b], count, k % 2 ? 400 : 9, (kind)k);
      check_queries(&d, 6, UINT64_MAX);
      free_data(&d);
    }
}

static void many_rows(void **state) {
  (void)state;
  data d;
  make_data(&d, 48, 200000, 5000, UNIFORM);
  for (int i = 0; i < d.count / 2; i++)   /* half of them in clusters */
    d.codes[2 * i] = d.codes[2 * (i % 40)] ^ some_flips(48, 6);
  for (int b = 0; b < d.block_count; b++)
    for (int i = 0; i < d.blocks[b].rows; i++) {
      uint8_t code[6];
      code_bytes(d.codes[d.starts[b] + i], 48, code);
      for (int plane = 0; plane < 6; plane++)
        ((uint8_t *)d.blocks[b].planes)[plane * d.blocks[b].rows + i] =
            code[plane];
    }
  check_queries(&d, 6, UINT64_MAX);
  check_queries(&d, 6, 20000);
  free_data(&d);
}

/* Steps stop, no later for less, and all that came before is right. */
static void small_budgets(void **state) {
  (void)state;
  const uint64_t budgets[] = {0, 1, 15, 16, 17, 100, 400, 1000, 5000, 20000,
                              100000, UINT64_MAX};
  const int all_bits[] = {12, 32, 48, 64};
  for (int b = 0; b < 4; b++)
    for (int k = 0; k < KINDS; k++) {
      data d;
      make_data(&d, all_bits[b], rows_for(all_bits[b], 3000), 300, (kind)k);
      nn_multi *multi = build(&d, &nn_memory_libc);
      for (int q = 0; q < 4; q++) {
        uint64_t query = some_query(&d, q);
        int before = 1, first = 0;
        for (int i = 0; i < 12; i++) {
          int steps = run_steps(&d, multi, query, budgets[i]);
          assert_true(steps >= before);
          before = steps;
          if (i == 0) first = steps;
        }
        assert_true(first < 4 && before == 65);
      }
      nn_multi_close(multi);
      free_data(&d);
    }
}

/* With so many rows wanted the steps go as far as it takes to have them, and no
** farther than max. */
static void as_many_as_wanted(void **state) {
  (void)state;
  for (int k = 0; k < KINDS; k++) {
    data d;
    make_data(&d, 48, 5000, 300, (kind)k);
    nn_multi *multi = build(&d, &nn_memory_libc);
    for (int q = 0; q < 4; q++) {
      uint64_t query = some_query(&d, q);
      uint8_t *distances = distances_to(&d, query);
      for (int i = 0; i < 8; i++) {
        static const uint64_t wanted[] = {0, 1, 2, 10, 64, 1000, 5000, 6000};
        int max = q % 2 ? 48 : (int)test_below(&rng, 30);
        int steps = run_bounded(&d, multi, query, UINT64_MAX, max, wanted[i]);
        uint64_t nearer = 0, all = 0;   /* but for the last step, and in all */
        for (int row = 0; row < d.count; row++) {
          nearer += distances[row] < steps - 1;
          all += distances[row] < steps;
        }
        assert_true(steps > 0 && steps <= max + 1);
        assert_true(all >= wanted[i] || steps == max + 1);
        assert_true(nearer < (wanted[i] ? wanted[i] : 1));
      }
      assert_int_equal(run_bounded(&d, multi, query, UINT64_MAX, -1, 9), 1);
      free(distances);
    }
    nn_multi_close(multi);
    free_data(&d);
  }
}

/* Rows that crowd in one bucket make a step as dear as they are. */
static void cost_counts_candidates(void **state) {
  (void)state;
  const kind kinds[] = {EQUAL, CONSTANT_FIRST, UNIFORM};
  for (int k = 0; k < 3; k++) {
    data d;
    nn_probe *probe;
    nn_error err;
    make_data(&d, 48, 4000, 300, kinds[k]);
    nn_multi *multi = build(&d, &nn_memory_libc);
    uint8_t *bytes = code_bytes(d.codes[0], 48, NULL);
    assert_int_equal(nn_probe_open(&nn_memory_libc, multi, bytes, 1 << 20, 48,
                                   UINT64_MAX, &probe, &err), NN_OK);
    if (kinds[k] == UNIFORM) assert_true(nn_probe_cost(probe) < 400);
    else assert_true(nn_probe_cost(probe) >= 4000);
    assert_true(nn_probe_cost(probe) < TOO_FAR);
    free(bytes);
    nn_probe_close(probe);
    nn_multi_close(multi);
    free_data(&d);
  }
}

/* Poll --------------------------------------------------------------------- */

typedef struct stopper {
  int asked, stop_at;
} stopper;

static int stop(void *context) {
  stopper *s = context;
  return ++s->asked == s->stop_at;
}

static void every_question_stops(void **state) {
  (void)state;
  data d;
  make_data(&d, 48, 200000, 65535, UNIFORM);
  int stops = 0;
  for (;; stops++) {
    test_memory memory;
    stopper s = {0, stops + 1};
    nn_multi *multi;
    nn_error err;
    test_memory_init(&memory, 0xa5);
    nn_status status = nn_multi_build(&memory.mem, 48, d.blocks,
                                      (size_t)d.block_count, 1, stop, &s,
                                      &multi, &err);
    if (status == NN_OK) {
      assert_int_equal(s.asked, stops);
      assert_true(run_steps(&d, multi, d.codes[9], 20000) > 0);
      nn_multi_close(multi);
      assert_int_equal(memory.live, 0);
      break;
    }
    assert_int_equal(status, NN_INTERRUPTED);
    assert_int_equal(err.status, NN_INTERRUPTED);
    assert_null(multi);
    assert_int_equal(s.asked, stops + 1);
    assert_int_equal(memory.live, 0);
  }
  assert_true(stops > 6);
  free_data(&d);
}

/* Memory ------------------------------------------------------------------- */

static void what_has_no_index(void **state) {
  (void)state;
  assert_true(nn_multi_bytes_for(48, 1024) > 0);
  assert_true(nn_multi_bytes_for(48, 10000000) > 0);
  assert_true(nn_multi_bytes_for(48, 0) == 0);
  assert_true(nn_multi_bytes_for(48, 1023) == 0);
  assert_true(nn_multi_bytes_for(64, 1024) == 0);
  assert_true(nn_multi_bytes_for(65, 1000000) == 0);
  assert_true(nn_multi_bytes_for(1024, 1000000) == 0);
  /* An array of codes that is more than there is at once. */
  assert_true(nn_multi_bytes_for(48, NN_ALLOC_MAX / 8) == 0);
  assert_true(nn_multi_bytes_for(48, UINT32_MAX) == 0);
  assert_true(nn_multi_bytes_for(48, UINT64_MAX) == 0);
  data d;
  nn_multi *multi;
  nn_error err;
  make_data(&d, 48, 1023, 100, UNIFORM);
  assert_int_equal(nn_multi_build(&nn_memory_libc, 48, d.blocks,
                                  (size_t)d.block_count, 1, NULL, NULL,
                                  &multi, &err), NN_ARGUMENT);
  assert_null(multi);
  assert_int_equal(nn_multi_build(&nn_memory_libc, 48, NULL, 0, 1, NULL, NULL,
                                  &multi, &err), NN_ARGUMENT);
  nn_multi_close(NULL);
  nn_probe_close(NULL);
  free_data(&d);
}

static void building_runs_out_of_memory(void **state) {
  (void)state;
  data d;
  make_data(&d, 48, 2000, 300, CLUSTERED);
  long failures = 0;
  for (;; failures++) {
    test_memory memory;
    nn_multi *multi;
    nn_error err;
    test_memory_init(&memory, 0xa5);
    memory.fail_at = failures + 1;
    nn_status status = nn_multi_build(&memory.mem, 48, d.blocks,
                                      (size_t)d.block_count, 2, NULL, NULL,
                                      &multi, &err);
    /* The last is of the team, without which one thread does it all. */
    if (status == NN_OK) {
      assert_true(memory.calls <= memory.fail_at);
      nn_multi_close(multi);
      assert_int_equal(memory.live, 0);
      break;
    }
    assert_int_equal(status, NN_NOMEM);
    assert_int_equal(err.status, NN_NOMEM);
    assert_null(multi);
    assert_int_equal(memory.live, 0);
  }
  assert_true(failures > 10);
  free_data(&d);
}

static void queries_run_out_of_memory(void **state) {
  (void)state;
  data d;
  make_data(&d, 48, 6000, 300, CLUSTERED);
  nn_multi *multi = build(&d, &nn_memory_libc);
  uint64_t query = d.codes[7];
  uint8_t *bytes = code_bytes(query, 48, NULL);
  uint8_t *distances = distances_to(&d, query);
  long failures = 0;
  for (;; failures++) {
    test_memory memory;
    nn_probe *probe;
    nn_error err;
    test_memory_init(&memory, 0xa5);
    memory.fail_at = failures + 1;
    nn_status status = nn_probe_open(&memory.mem, multi, bytes, UINT64_MAX, 64,
                                     UINT64_MAX, &probe, &err);
    if (status != NN_OK) assert_null(probe);
    for (int t = 0; status == NN_OK && t <= 64; t++) {
      status = nn_probe_step(probe, &err);
      if (status == NN_OK)
        assert_true(step_is_right(&d, probe, distances, t));
    }
    if (status != NN_OK) {
      assert_int_equal(status, NN_NOMEM);
      assert_int_equal(err.status, NN_NOMEM);
    }
    nn_probe_close(probe);
    assert_int_equal(memory.live, 0);
    if (status == NN_OK) break;
  }
  assert_true(failures > 5);
  free(distances);
  free(bytes);
  nn_multi_close(multi);
  free_data(&d);
}

/* Rows that are not where they are expected are noticed: one that has moved to
** another distance, and two that changed places. */
static void wrong_rows_are_noticed(void **state) {
  (void)state;
  data d;
  make_data(&d, 48, 2000, 300, CLUSTERED);
  nn_multi *multi = build(&d, &nn_memory_libc);
  uint64_t query = d.codes[7];
  assert_int_equal(run_steps(&d, multi, query, UINT64_MAX), 65);
  d.codes[1000] ^= 1;
  assert_int_equal(run_steps(&d, multi, query, UINT64_MAX), -1);
  d.codes[1000] ^= 1;
  int other = 8;
  while (distance_of(d.codes[other], query) == 0) other++;
  d.codes[7] = d.codes[other];
  d.codes[other] = query;
  assert_int_equal(run_steps(&d, multi, query, UINT64_MAX), -1);
  nn_multi_close(multi);
  free_data(&d);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_kind_of_codes),
      cmocka_unit_test(many_rows),
      cmocka_unit_test(small_budgets),
      cmocka_unit_test(as_many_as_wanted),
      cmocka_unit_test(cost_counts_candidates),
      cmocka_unit_test(every_question_stops),
      cmocka_unit_test(what_has_no_index),
      cmocka_unit_test(building_runs_out_of_memory),
      cmocka_unit_test(queries_run_out_of_memory),
      cmocka_unit_test(wrong_rows_are_noticed),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

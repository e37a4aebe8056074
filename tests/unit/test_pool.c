/*
** The pool against a sort of all rows: bounds, radii, ties, rows without a
** distance; every allocation failing; a poll that says stop.
*/
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../nn/codes.h"
#include "test_util.h"

static test_rng rng = {0x853c49e6748fea9bu};

#define ROWS_MAX 3000

typedef struct rows {
  size_t count;
  int64_t rowids[ROWS_MAX];
  uint8_t codes[ROWS_MAX][2];
  double distances[ROWS_MAX];
} rows;

static rows table;

/* Rows with rowids that rise, fall or jump; few codes, so that there are ties;
** few distances, some of them below 0. */
static void make_rows(size_t count) {
  int order = (int)test_below(&rng, 3);
  table.count = count;
  for (size_t i = 0; i < count; i++) {
    table.rowids[i] = order == 0   ? (int64_t)i
                      : order == 1 ? -(int64_t)i
                                   : (int64_t)(i * 7919 % 10007) - 5000;
    table.codes[i][0] = (uint8_t)(test_random(&rng) & test_random(&rng));
    table.codes[i][1] = (uint8_t)test_below(&rng, 4);
    table.distances[i] = (double)test_below(&rng, 20) - 2;
  }
}

static int by_hamming(const void *a, const void *b) {
  const nn_pool_row *x = a, *y = b;
  if (x->hamming != y->hamming) return x->hamming < y->hamming ? -1 : 1;
  return x->rowid < y->rowid ? -1 : x->rowid > y->rowid;
}

static int by_distance(const void *a, const void *b) {
  const nn_pool_row *x = a, *y = b;
  if (x->distance != y->distance) return x->distance < y->distance ? -1 : 1;
  return x->rowid < y->rowid ? -1 : x->rowid > y->rowid;
}

/* The rows that must come out, in order. */
static size_t expect(int radius, uint64_t bound, nn_pool_row *out) {
  const uint8_t query[2] = {0, 0};
  size_t n = 0, kept = 0;
  for (size_t i = 0; i < table.count; i++) {
    nn_pool_row row = {table.rowids[i], table.distances[i],
                       (int)nn_hamming(query, table.codes[i], 2),
                       &table.codes[i]};
    if (row.hamming <= radius) out[n++] = row;
  }
  qsort(out, n, sizeof(*out), by_hamming);
  if (bound && n > bound) n = bound;
  for (size_t i = 0; i < n; i++)
    if (out[i].distance >= 0) out[kept++] = out[i];
  qsort(out, kept, sizeof(*out), by_distance);
  return kept;
}

/* All rows are offered; each has its distance at once or, if late, when the
** pool is in the order of rowids. */
static nn_status fill_pool(nn_pool *pool, int late, nn_error *err) {
  for (size_t i = 0; i < table.count; i++) {
    nn_pool_row fallen, row = {table.rowids[i], table.distances[i], 0,
                               &table.codes[i]};
    if (late) row.distance = (double)i;
    row.hamming = nn_pool_wants(pool, row.rowid, table.codes[i]);
    if (row.hamming < 0) continue;
    nn_status status = nn_pool_put(pool, &row, &fallen, err);
    if (status != NN_OK) return status;
    if (fallen.hamming >= 0) {
      assert_non_null(fallen.held);
      assert_true(by_hamming(&fallen, &row) > 0);
    }
  }
  if (!late) return NN_OK;
  nn_status status = nn_pool_by_rowid(pool, NULL, NULL, err);
  for (size_t i = 0; i < nn_pool_count(pool); i++) {
    nn_pool_row *row = nn_pool_at(pool, i);
    if (i) assert_true(row->rowid > nn_pool_at(pool, i - 1)->rowid);
    row->distance = table.distances[(size_t)row->distance];
  }
  return status;
}

static void against_a_sort(void **state) {
  (void)state;
  static nn_pool_row expected[ROWS_MAX];
  const uint8_t query[2] = {0, 0};
  for (int round = 0; round < 600; round++) {
    make_rows(test_below(&rng, round % 50 ? 150 : ROWS_MAX));
    int radius = (int)test_below(&rng, 18) - (round % 9 == 0);
    uint64_t bound = test_below(&rng, 3) ? test_below(&rng, 200) : 0;
    size_t count = expect(radius, bound, expected);
    nn_pool *pool;
    nn_pool_row row;
    nn_error err;
    assert_int_equal(nn_pool_open(&nn_memory_libc, query, 2, radius, bound,
                                  &pool, &err), NN_OK);
    assert_int_equal(fill_pool(pool, round & 1, &err), NN_OK);
    assert_true(!bound || nn_pool_count(pool) <= bound);
    assert_int_equal(nn_pool_rank(pool, NULL, NULL, &err), NN_OK);
    for (size_t i = 0; i < count; i++) {
      assert_int_equal(nn_pool_next(pool, &row), 1);
      assert_int_equal(row.rowid, expected[i].rowid);
      assert_int_equal(row.hamming, expected[i].hamming);
      assert_true(row.distance == expected[i].distance);
      assert_ptr_equal(row.held, expected[i].held);
    }
    assert_int_equal(nn_pool_next(pool, &row), 0);
    assert_int_equal(nn_pool_next(pool, &row), 0);
    nn_pool_close(pool);
  }
}

static void refusals(void **state) {
  (void)state;
  static const uint8_t query[NN_CODE_MAX + 1];
  nn_pool *pool;
  nn_error err;
  assert_int_equal(nn_pool_open(&nn_memory_libc, query, 0, 8, 1, &pool, &err),
                   NN_ARGUMENT);
  assert_null(pool);
  assert_int_equal(nn_pool_open(&nn_memory_libc, query, NN_CODE_MAX + 1, 8, 1,
                                &pool, &err), NN_ARGUMENT);
  assert_string_equal(err.text, "a code has 1 to 8191 bytes, not 8192");
  nn_pool_close(NULL);
}

static void each_allocation_fails(void **state) {
  (void)state;
  const uint8_t query[2] = {0, 0};
  make_rows(1000);
  for (long at = 1;; at++) {
    test_memory memory;
    nn_pool *pool;
    nn_error err;
    test_memory_init(&memory, 0xa5);
    memory.fail_at = at;
    nn_status status = nn_pool_open(&memory.mem, query, 2, 16, 0, &pool, &err);
    if (status == NN_OK) status = fill_pool(pool, 1, &err);
    nn_pool_close(pool);
    assert_int_equal(memory.live, 0);
    if (memory.calls < at) {
      assert_int_equal(status, NN_OK);
      assert_true(at > 5);
      return;
    }
    assert_int_equal(status, NN_NOMEM);
  }
}

static int polls, polls_until_stop;

static int stop_poll(void *context) {
  (void)context;
  return ++polls >= polls_until_stop;
}

/* Each poll in turn says stop; the rows are all still there to be freed. */
static void interrupted(void **state) {
  (void)state;
  const uint8_t query[2] = {0, 0}, code[2] = {0, 1};
  nn_pool *pool;
  nn_pool_row fallen, row = {0, 1, 1, NULL};
  nn_error err;
  size_t count = 20000;
  int stops = 0;
  for (polls_until_stop = 1;; polls_until_stop++) {
    polls = 0;
    assert_int_equal(nn_pool_open(&nn_memory_libc, query, 2, 16, 0, &pool,
                                  &err), NN_OK);
    for (row.rowid = 0; row.rowid < (int64_t)count; row.rowid++) {
      assert_int_equal(nn_pool_wants(pool, row.rowid, code), 1);
      assert_int_equal(nn_pool_put(pool, &row, &fallen, &err), NN_OK);
    }
    nn_status status = nn_pool_by_rowid(pool, stop_poll, NULL, &err);
    if (status == NN_OK) status = nn_pool_rank(pool, stop_poll, NULL, &err);
    assert_int_equal(nn_pool_count(pool), count);
    nn_pool_close(pool);
    if (status == NN_OK) break;
    assert_int_equal(status, NN_INTERRUPTED);
    stops++;
  }
  assert_true(stops >= 5);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(against_a_sort),
      cmocka_unit_test(refusals),
      cmocka_unit_test(each_allocation_fails),
      cmocka_unit_test(interrupted),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

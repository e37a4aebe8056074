/*
** nn_nearest against a sort: rows in (distance, rowid) order whatever the order
** they were added in, codes and payloads with them, any length, ties without
** end, bounds, hints, and every allocation failing in turn.
*/
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../nn/nn_int.h"

static uint64_t random_state = 362436069362436069u;

static uint64_t random64(void) {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return random_state;
}

/* An allocator that fails once, at call fail_at, and knows what is not given
** back. */
static long alloc_calls, alloc_live, alloc_fail_at = -1;

static void *counting_alloc(void *context, size_t n) {
  (void)context;
  if (alloc_calls++ == alloc_fail_at) return NULL;
  alloc_live++;
  return malloc(n);
}

static void counting_release(void *context, void *p) {
  (void)context;
  if (p) alloc_live--;
  free(p);
}

static const nn_memory counting = {counting_alloc, counting_release, NULL};

typedef struct row {
  int64_t rowid;
  int distance;
  uint8_t code[16];
} row;

static int compare_rows(const void *a, const void *b) {
  const row *x = a, *y = b;
  if (x->distance != y->distance) return x->distance - y->distance;
  return x->rowid < y->rowid ? -1 : x->rowid > y->rowid;
}

enum order { CONSECUTIVE, GAPS, BACKWARDS, SHUFFLED };

/* rows of n-byte codes, most of them near the query and many equal */
static row *make_rows(int count, size_t n, enum order order, int spread,
                      const uint8_t *query) {
  row *rows = calloc((size_t)count + 1, sizeof(*rows));
  int64_t rowid = order == CONSECUTIVE ? 1 : -1000;
  for (int i = 0; i < count; i++) {
    rows[i].rowid = rowid;
    rowid += order == CONSECUTIVE ? 1 : 1 + (int64_t)(random64() % 3);
    memcpy(rows[i].code, query, n);
    for (int flips = (int)(random64() % (uint64_t)spread); flips > 0; flips--) {
      size_t bit = random64() % (8 * n);
      rows[i].code[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    rows[i].distance = (int)nn_hamming(query, rows[i].code, n);
  }
  if (order == BACKWARDS || order == SHUFFLED)
    for (int i = 0; i < count; i++) {
      int j = order == BACKWARDS ? count - 1 - i
                                 : (int)(random64() % (uint64_t)count);
      if (order == BACKWARDS && j <= i) break;
      row swap = rows[i];
      rows[i] = rows[j];
      rows[j] = swap;
    }
  return rows;
}

/* The payload of a row: none for some, empty for others. */
static size_t payload_of(const row *r, char text[64], const void **payload) {
  int n = snprintf(text, 64, "row %lld", (long long)r->rowid);
  *payload = r->rowid % 5 == 0 ? NULL : text;
  return r->rowid % 5 == 0 || r->rowid % 7 == 0 ? 0 : (size_t)n;
}

typedef struct plan {
  int count;
  size_t n;
  enum order order;
  int spread, max_distance, keep_codes, payloads;
  int64_t hint;
} plan;

/* Run one search; NN_NOMEM is passed on, anything else must be right. */
static nn_status check_search(const plan *p, const uint8_t *query, row *rows,
                              const row *sorted, const nn_memory *mem) {
  nn_nearest *nearest;
  nn_error err;
  char text[64];
  const void *payload = NULL;
  nn_status status = nn_nearest_open(mem, query, p->n, p->max_distance,
                                     p->keep_codes, &nearest, &err);
  for (int i = 0; status == NN_OK && i < p->count; i++) {
    size_t n = p->payloads ? payload_of(&rows[i], text, &payload) : 0;
    status = nn_nearest_add(nearest, rows[i].rowid, rows[i].code, payload, n,
                            &err);
  }
  for (int i = 0; status == NN_OK; i++) {
    nn_nearest_row got;
    status = nn_nearest_next(nearest, p->hint, &got, &err);
    if (status != NN_OK) break;
    if (i == p->count || sorted[i].distance > p->max_distance) {
      assert_int_equal(got.distance, -1);
      assert_int_equal(nn_nearest_next(nearest, 0, &got, &err), NN_OK);
      assert_int_equal(got.distance, -1);
      break;
    }
    assert_int_equal(got.distance, sorted[i].distance);
    assert_int_equal(got.rowid, sorted[i].rowid);
    if (p->keep_codes) assert_memory_equal(got.code, sorted[i].code, p->n);
    else assert_null(got.code);
    size_t n = p->payloads ? payload_of(&sorted[i], text, &payload) : 0;
    assert_int_equal(got.payload_bytes, n);
    assert_int_equal(!got.payload, !payload);
    if (n) assert_memory_equal(got.payload, payload, n);
  }
  if (status != NN_OK) {
    assert_int_equal(status, NN_NOMEM);
    assert_int_equal(err.status, NN_NOMEM);
  }
  nn_nearest_close(nearest);
  return status;
}

static void check_plan(const plan *p) {
  uint8_t query[16];
  for (size_t i = 0; i < sizeof(query); i++) query[i] = (uint8_t)random64();
  row *rows = make_rows(p->count, p->n, p->order, p->spread, query);
  row *sorted = malloc(((size_t)p->count + 1) * sizeof(*sorted));
  memcpy(sorted, rows, ((size_t)p->count + 1) * sizeof(*sorted));
  qsort(sorted, (size_t)p->count, sizeof(*sorted), compare_rows);
  assert_int_equal(check_search(p, query, rows, sorted, &counting), NN_OK);
  assert_int_equal(alloc_live, 0);
  free(rows);
  free(sorted);
}

static void every_shape(void **state) {
  (void)state;
  const size_t lengths[] = {1, 3, 4, 6, 8, 9, 16};
  const int counts[] = {0, 1, 2, 100, 4095, 4096, 4097, 20000};
  for (int i = 0; i < 600; i++) {
    plan p = {
        .count = counts[random64() % 8],
        .n = lengths[random64() % 7],
        .order = (enum order)(random64() % 4),
        .spread = 1 + (int)(random64() % 40),
        .max_distance = random64() % 3 ? 65528 : (int)(random64() % 30) - 1,
        .keep_codes = (int)(random64() % 2),
        .payloads = (int)(random64() % 2),
        .hint = random64() % 2 ? 0 : (int64_t)(random64() % 10000) - 10,
    };
    check_plan(&p);
  }
}

/* Batches that end within one distance, and the rest of it beside others. */
static void many_ties(void **state) {
  (void)state;
  for (int order = CONSECUTIVE; order <= SHUFFLED; order++)
    for (int spread = 1; spread <= 3; spread++)
      for (int64_t hint = 0; hint <= 100; hint += 50)
        check_plan(&(plan){.count = 60000, .n = 6, .order = (enum order)order,
                           .spread = spread, .max_distance = 65528,
                           .hint = hint});
}

/* Rowids at the ends of their range, where first + i would overflow. */
static void extreme_rowids(void **state) {
  (void)state;
  const int64_t rowids[] = {INT64_MAX - 1, INT64_MAX, INT64_MIN, INT64_MIN + 1,
                            0, -1};
  const int64_t expected[] = {INT64_MIN, INT64_MIN + 1, -1, 0, INT64_MAX - 1,
                              INT64_MAX};
  nn_nearest *nearest;
  nn_nearest_row got;
  nn_error err;
  assert_int_equal(nn_nearest_open(&counting, "abc", 3, 24, 0, &nearest, &err),
                   NN_OK);
  for (int i = 0; i < 6; i++)
    assert_int_equal(nn_nearest_add(nearest, rowids[i], "abc", NULL, 0, &err),
                     NN_OK);
  for (int i = 0; i < 6; i++) {
    assert_int_equal(nn_nearest_next(nearest, 0, &got, &err), NN_OK);
    assert_int_equal(got.distance, 0);
    assert_int_equal(got.rowid, expected[i]);
  }
  nn_nearest_close(nearest);
  assert_int_equal(alloc_live, 0);
}

static void longest_codes(void **state) {
  (void)state;
  static uint8_t query[NN_CODE_MAX], code[NN_CODE_MAX];
  nn_nearest *nearest;
  nn_nearest_row got;
  nn_error err;
  assert_int_equal(nn_nearest_open(&counting, query, 0, 9, 0, &nearest, &err),
                   NN_ARGUMENT);
  assert_int_equal(nn_nearest_open(&counting, query, NN_CODE_MAX + 1, 9, 0,
                                   &nearest, &err), NN_ARGUMENT);
  assert_null(nearest);
  assert_int_equal(nn_nearest_open(&counting, query, NN_CODE_MAX, 65528, 1,
                                   &nearest, &err), NN_OK);
  assert_int_equal(nn_nearest_add(nearest, 5, query, NULL, 0, &err), NN_OK);
  memset(code, 0xff, sizeof(code));
  assert_int_equal(nn_nearest_add(nearest, 4, code, NULL, 0, &err), NN_OK);
  nn_nearest_next(nearest, 0, &got, &err);
  assert_int_equal(got.distance, 0);
  nn_nearest_next(nearest, 0, &got, &err);
  assert_int_equal(got.distance, 8 * NN_CODE_MAX);
  assert_memory_equal(got.code, code, sizeof(code));
  nn_nearest_next(nearest, 0, &got, &err);
  assert_int_equal(got.distance, -1);
  nn_nearest_close(nearest);
  nn_nearest_close(NULL);
  assert_int_equal(alloc_live, 0);
}

static void payload_too_large(void **state) {
  (void)state;
  nn_nearest *nearest;
  nn_error err;
  assert_int_equal(nn_nearest_open(&counting, "a", 1, 8, 0, &nearest, &err),
                   NN_OK);
  assert_int_equal(nn_nearest_add(nearest, 1, "a", "b", SIZE_MAX, &err),
                   NN_NOMEM);
  nn_nearest_close(nearest);
  assert_int_equal(alloc_live, 0);
}

/* Each allocation of a search fails once: NN_NOMEM, nothing leaks, and without
** a failure the search is right. */
static void every_allocation_fails(void **state) {
  (void)state;
  const plan p = {.count = 9000, .n = 6, .order = SHUFFLED, .spread = 20,
                  .max_distance = 65528, .keep_codes = 1, .payloads = 1};
  uint8_t query[16] = {0};
  row *rows = make_rows(p.count, p.n, p.order, p.spread, query);
  row *sorted = malloc((size_t)p.count * sizeof(*sorted));
  memcpy(sorted, rows, (size_t)p.count * sizeof(*sorted));
  qsort(sorted, (size_t)p.count, sizeof(*sorted), compare_rows);
  long failures = 0;
  for (;; failures++) {
    alloc_calls = 0;
    alloc_fail_at = failures;
    nn_status status = check_search(&p, query, rows, sorted, &counting);
    assert_int_equal(alloc_live, 0);
    if (status == NN_OK) break;
  }
  alloc_fail_at = -1;
  assert_true(failures > 15);
  free(rows);
  free(sorted);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_shape),
      cmocka_unit_test(many_ties),
      cmocka_unit_test(extreme_rowids),
      cmocka_unit_test(longest_codes),
      cmocka_unit_test(payload_too_large),
      cmocka_unit_test(every_allocation_fails),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

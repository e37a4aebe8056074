/*
** nn_pairs against every row compared with every other: all distances, codes of
** many lengths, uniform, crowded and equal, rowids in any order; the join in
** each of its ways; interruption, and every allocation failing in turn.
*/
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../nn/join.h"

static uint64_t random_state = 88172645463325252u;

static uint64_t random64(void) {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return random_state;
}

/* An allocator that fails once, at call fail_at, and knows what is not given
** back. */
static long alloc_calls, alloc_live, alloc_fail_at = -1;
static size_t alloc_sum;

static void *counting_alloc(void *context, size_t n) {
  (void)context;
  if (alloc_calls++ == alloc_fail_at) return NULL;
  alloc_live++;
  alloc_sum += n;
  return malloc(n);
}

static void counting_release(void *context, void *p) {
  (void)context;
  if (p) alloc_live--;
  free(p);
}

static const nn_memory counting = {counting_alloc, counting_release, NULL};

typedef struct pair {
  int64_t a, b;
  int distance;
} pair;

typedef struct pair_list {
  pair *pairs;
  size_t count, room;
} pair_list;

static void list_add(pair_list *list, int64_t a, int64_t b, int distance) {
  if (list->count == list->room) {
    list->room = list->room ? 2 * list->room : 1024;
    list->pairs = realloc(list->pairs, list->room * sizeof(*list->pairs));
  }
  list->pairs[list->count++] = (pair){a, b, distance};
}

static int compare_pairs(const void *p, const void *q) {
  const pair *x = p, *y = q;
  if (x->a != y->a) return x->a < y->a ? -1 : 1;
  if (x->b != y->b) return x->b < y->b ? -1 : 1;
  return x->distance - y->distance;
}

static void list_sort(pair_list *list) {
  if (list->count)
    qsort(list->pairs, list->count, sizeof(*list->pairs), compare_pairs);
}

static void check_equal(const pair_list *got, const pair_list *expected) {
  assert_int_equal(got->count, expected->count);
  for (size_t i = 0; i < got->count; i++) {
    assert_int_equal(got->pairs[i].a, expected->pairs[i].a);
    assert_int_equal(got->pairs[i].b, expected->pairs[i].b);
    assert_int_equal(got->pairs[i].distance, expected->pairs[i].distance);
  }
}

/* Sets ---------------------------------------------------------------------- */

enum kind { UNIFORM, CROWDED, EQUAL, CONSTANT_BYTES, KINDS };

typedef struct set {
  int count;
  size_t n;
  int64_t *rowids;
  uint8_t *codes;
} set;

static set make_set(int count, size_t n, enum kind kind) {
  set s = {count, n, calloc((size_t)count + 1, sizeof(int64_t)),
           calloc((size_t)count + 1, n)};
  uint8_t *centres = malloc(8 * n);
  for (size_t i = 0; i < 8 * n; i++) centres[i] = (uint8_t)random64();
  for (int i = 0; i < count; i++) {
    uint8_t *code = s.codes + (size_t)i * n;
    s.rowids[i] = i * 3 - count;
    if (kind == UNIFORM || kind == CONSTANT_BYTES) {
      for (size_t k = 0; k < n; k++)
        code[k] = kind == UNIFORM || k % 3 == 0 ? (uint8_t)random64() : 0x5a;
      continue;
    }
    memcpy(code, centres + n * (random64() % 8), n);
    int flips = kind == EQUAL ? random64() % 4 == 0 : (int)(random64() % 7);
    for (; flips > 0; flips--) {
      size_t bit = random64() % (8 * n);
      code[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
  }
  for (int i = count - 1; i > 0; i--) {
    int k = (int)(random64() % (uint64_t)(i + 1));
    int64_t swap = s.rowids[i];
    s.rowids[i] = s.rowids[k];
    s.rowids[k] = swap;
  }
  if (count > 4) {
    s.rowids[0] = INT64_MIN;
    s.rowids[1] = INT64_MAX;
  }
  free(centres);
  return s;
}

static void free_set(set *s) {
  free(s->rowids);
  free(s->codes);
}

static pair_list brute_force(const set *s, int max_distance) {
  pair_list list = {0};
  for (int i = 0; i < s->count; i++)
    for (int k = 0; k < i; k++) {
      int d = (int)nn_hamming(s->codes + (size_t)i * s->n,
                              s->codes + (size_t)k * s->n, s->n);
      int64_t a = s->rowids[i], b = s->rowids[k];
      if (d <= max_distance) list_add(&list, a < b ? a : b, a < b ? b : a, d);
    }
  list_sort(&list);
  return list;
}

static nn_status collect(const set *s, int max_distance, pair_list *list) {
  nn_pairs *pairs;
  nn_error err;
  int64_t a, b;
  int distance = 0;
  nn_status status = nn_pairs_open(&counting, s->n, max_distance, &pairs, &err);
  for (int i = 0; status == NN_OK && i < s->count; i++)
    status = nn_pairs_add(pairs, s->rowids[i], s->codes + (size_t)i * s->n,
                          &err);
  while (status == NN_OK && distance >= 0) {
    status = nn_pairs_next(pairs, NULL, NULL, &a, &b, &distance, &err);
    if (status == NN_OK && distance >= 0) list_add(list, a, b, distance);
  }
  if (status == NN_OK) {
    assert_int_equal(nn_pairs_next(pairs, NULL, NULL, &a, &b, &distance, &err),
                     NN_OK);
    assert_int_equal(distance, -1);
  } else {
    assert_int_equal(err.status, status);
  }
  nn_pairs_close(pairs);
  assert_int_equal(alloc_live, 0);
  return status;
}

static void check_set(const set *s, int max_distance) {
  pair_list got = {0}, expected = brute_force(s, max_distance);
  assert_int_equal(collect(s, max_distance, &got), NN_OK);
  list_sort(&got);
  check_equal(&got, &expected);
  free(got.pairs);
  free(expected.pairs);
}

static const size_t lengths[] = {1, 2, 6, 8, 9, 32};

static void all_distances(void **state) {
  (void)state;
  for (int l = 0; l < 6; l++)
    for (int kind = 0; kind < KINDS; kind++) {
      set s = make_set(90, lengths[l], (enum kind)kind);
      for (int d = 0; d <= 8 * (int)lengths[l] + 1; d++) check_set(&s, d);
      free_set(&s);
    }
}

static void few_rows(void **state) {
  (void)state;
  for (int count = 0; count < 5; count++)
    for (int kind = 0; kind < KINDS; kind++) {
      set s = make_set(count, 6, (enum kind)kind);
      check_set(&s, 0);
      check_set(&s, 3);
      check_set(&s, INT32_MAX);
      free_set(&s);
    }
}

/* So many that tables pay. */
static void many_rows(void **state) {
  (void)state;
  for (int l = 0; l < 6; l++)
    for (int kind = 0; kind < KINDS; kind++) {
      set s = make_set(3000, lengths[l], (enum kind)kind);
      check_set(&s, (int)(random64() % 3));
      if (kind == UNIFORM && l > 1) check_set(&s, 3 + (int)(random64() % 6));
      free_set(&s);
    }
}

/* The ways ------------------------------------------------------------------ */

/* Distinct codes with a join of one way, against all with all. */
static void check_way(const set *s, int max_distance, int way) {
  size_t words = (s->n + 7) / 8;
  uint64_t *codes = calloc((size_t)s->count * words, 8);
  set distinct = {0, s->n, s->rowids, malloc((size_t)s->count * s->n)};
  for (int i = 0; i < s->count; i++) {
    const uint8_t *code = s->codes + (size_t)i * s->n;
    int k = 0;
    while (k < distinct.count &&
           memcmp(distinct.codes + (size_t)k * s->n, code, s->n) != 0)
      k++;
    if (k < distinct.count) continue;
    memcpy(distinct.codes + (size_t)k * s->n, code, s->n);
    memcpy(codes + (size_t)k * words, code, s->n);
    distinct.rowids[k] = k;
    distinct.count++;
  }
  pair_list got = {0}, expected = brute_force(&distinct, max_distance);
  nn_join *join;
  nn_error err;
  nn_poller poller = {0};
  assert_int_equal(nn_join_open(&counting, codes, (uint32_t)distinct.count,
                                (int)words, max_distance, way, &join, &err),
                   NN_OK);
  const nn_joined *found;
  uint32_t n = 1;
  while (n > 0) {
    assert_int_equal(nn_join_next(join, &poller, &found, &n, &err), NN_OK);
    for (uint32_t i = 0; i < n; i++) {
      uint32_t a = found[i].a, b = found[i].b;
      list_add(&got, a < b ? a : b, a < b ? b : a, found[i].distance);
    }
  }
  assert_true(nn_join_way(join) == way || nn_join_way(join) == NN_JOIN_ALL);
  nn_join_close(join);
  assert_int_equal(alloc_live, 0);
  list_sort(&got);
  check_equal(&got, &expected);
  free(got.pairs);
  free(expected.pairs);
  free(distinct.codes);
  free(codes);
}

static void every_way(void **state) {
  (void)state;
  for (int l = 0; l < 6; l++)
    for (int kind = 0; kind < KINDS; kind++)
      for (int way = NN_JOIN_ALL; way <= NN_JOIN_NEAR; way++)
        for (int d = 1; d <= 8 * (int)lengths[l]; d += d < 12 ? 1 : 17) {
          set s = make_set(120, lengths[l], (enum kind)kind);
          check_way(&s, d, way);
          free_set(&s);
        }
}

/* Which way is taken where all codes are uniform, or all crowd. */
static int way_of(uint32_t count, int max_distance, int crowd) {
  uint64_t *codes = malloc(count * sizeof(*codes));
  for (uint32_t i = 0; i < count; i++)
    codes[i] = crowd ? i : random64();   /* distinct, as good as always */
  nn_join *join;
  nn_error err;
  nn_poller poller = {0};
  const nn_joined *found;
  uint32_t n;
  assert_int_equal(nn_join_open(&counting, codes, count, 1, max_distance,
                                NN_JOIN_BEST, &join, &err), NN_OK);
  assert_int_equal(nn_join_next(join, &poller, &found, &n, &err), NN_OK);
  int way = nn_join_way(join);
  nn_join_close(join);
  free(codes);
  return way;
}

static void best_way(void **state) {
  (void)state;
  assert_int_equal(way_of(500, 2, 0), NN_JOIN_ALL);
  assert_int_equal(way_of(100000, 1, 0), NN_JOIN_EQUAL);
  assert_int_equal(way_of(100000, 8, 0), NN_JOIN_NEAR);
  assert_int_equal(way_of(100000, 40, 0), NN_JOIN_ALL);
  assert_int_equal(way_of(65536, 20, 1), NN_JOIN_ALL);
}

/* Size ---------------------------------------------------------------------- */

/* 12.5 million pairs out of the memory of 5,000 rows. */
static void equal_codes(void **state) {
  (void)state;
  nn_pairs *pairs;
  nn_error err;
  int64_t a, b, sum = 0;
  int distance = 0;
  long count = 0;
  alloc_sum = 0;
  assert_int_equal(nn_pairs_open(&counting, 6, 4, &pairs, &err), NN_OK);
  for (int i = 0; i < 5000; i++)
    assert_int_equal(nn_pairs_add(pairs, i % 2 ? i : -i, "abcdef", &err),
                     NN_OK);
  for (;; count++) {
    nn_pairs_next(pairs, NULL, NULL, &a, &b, &distance, &err);
    if (distance < 0) break;
    if (a >= b || distance != 0) fail();
    sum += b - a;
  }
  assert_int_equal(count, 5000 * 4999 / 2);
  assert_true(sum > 0);
  assert_true(alloc_sum < 1000000);
  nn_pairs_close(pairs);
  nn_pairs_close(NULL);
  assert_int_equal(alloc_live, 0);
}

static void longest_codes(void **state) {
  (void)state;
  nn_pairs *pairs;
  nn_error err;
  assert_int_equal(nn_pairs_open(&counting, 0, 1, &pairs, &err), NN_ARGUMENT);
  assert_null(pairs);
  assert_int_equal(nn_pairs_open(&counting, NN_CODE_MAX + 1, 1, &pairs, &err),
                   NN_ARGUMENT);
  assert_int_equal(nn_pairs_open(&counting, 8, -1, &pairs, &err), NN_ARGUMENT);
  set s = make_set(100, NN_CODE_MAX, CROWDED);
  check_set(&s, 0);
  check_set(&s, 9);
  check_set(&s, 33000);
  check_way(&s, 5, NN_JOIN_EQUAL);
  check_way(&s, 5, NN_JOIN_NEAR);
  free_set(&s);
}

/* Interruption -------------------------------------------------------------- */

static long polls, stop_at;

static int stop(void *context) {
  assert_ptr_equal(context, &polls);
  return polls++ == stop_at;
}

static nn_status run_interrupted(const set *s, int max_distance) {
  nn_pairs *pairs;
  nn_error err;
  int64_t a, b;
  int distance = 0;
  nn_status status = nn_pairs_open(&counting, s->n, max_distance, &pairs, &err);
  for (int i = 0; i < s->count; i++)
    nn_pairs_add(pairs, s->rowids[i], s->codes + (size_t)i * s->n, &err);
  polls = 0;
  while (status == NN_OK && distance >= 0)
    status = nn_pairs_next(pairs, stop, &polls, &a, &b, &distance, &err);
  nn_pairs_close(pairs);
  assert_int_equal(alloc_live, 0);
  return status;
}

/* In whatever it is asked, it stops. */
static void interruption(void **state) {
  (void)state;
  set s = make_set(200000, 8, UNIFORM);
  for (int d = 3; d <= 5; d++) {
    stop_at = -1;
    assert_int_equal(run_interrupted(&s, d), NN_OK);
    long all = polls;
    assert_true(all >= 10);
    for (stop_at = 0; stop_at < all; stop_at += 1 + all / 20)
      assert_int_equal(run_interrupted(&s, d), NN_INTERRUPTED);
  }
  free_set(&s);
}

/* Each allocation fails once: NN_NOMEM, nothing leaks, and without a failure
** the pairs are right. */
static void every_allocation_fails(void **state) {
  (void)state;
  for (int l = 2; l < 6; l++) {
    set s = make_set(3000, lengths[l], CROWDED);
    pair_list expected = brute_force(&s, 2);
    long failures = 0;
    for (;; failures++) {
      pair_list got = {0};
      alloc_calls = 0;
      alloc_fail_at = failures;
      nn_status status = collect(&s, 2, &got);
      if (status == NN_OK) {
        list_sort(&got);
        check_equal(&got, &expected);
      } else {
        assert_int_equal(status, NN_NOMEM);
      }
      free(got.pairs);
      if (status == NN_OK) break;
    }
    alloc_fail_at = -1;
    assert_true(failures > 12);
    free(expected.pairs);
    free_set(&s);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(all_distances),
      cmocka_unit_test(few_rows),
      cmocka_unit_test(many_rows),
      cmocka_unit_test(every_way),
      cmocka_unit_test(best_way),
      cmocka_unit_test(equal_codes),
      cmocka_unit_test(longest_codes),
      cmocka_unit_test(interruption),
      cmocka_unit_test(every_allocation_fails),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

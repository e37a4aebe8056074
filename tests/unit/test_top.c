/*
** nn_top against a sort: passes over blocks, each of which must give exactly
** the next rows by (distance, rowid).
**
** What a pass keeps depends on the order in which distances come, so codes are
** uniform, near, all equal, of two values, or fall or rise in distance from the
** first row to the last: falling distances replace all that was kept again and
** again, equal ones end a pass in the middle of ties.  Passes want one row, a
** few, or more than there are, and more each time, with bounds on the distance
** that change on the way.  Each allocation fails once, after which the pass is
** begun again and goes on as if nothing had happened.
*/
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../nn/sweep.h"
#include "test_util.h"

static test_rng rng = {0xa4093822299f31d0u};

typedef enum kind { UNIFORM, NEAR, EQUAL, TWO, FALLING, RISING, KINDS } kind;

typedef struct row {
  int64_t rowid;
  int distance;
} row;

typedef struct data {
  int bits, count;
  uint8_t query[NN_BLOCK_BITS_MAX / 8];
  row *rows;                  /* by (distance, rowid) */
  nn_block *blocks;
  uint8_t **bytes;            /* of the blocks */
  int block_count;
} data;

static int compare_rows(const void *a, const void *b) {
  const row *x = a, *y = b;
  if (x->distance != y->distance) return x->distance - y->distance;
  return x->rowid < y->rowid ? -1 : x->rowid > y->rowid;
}

/* A code with so many bits that differ from the query's. */
static void differ(const data *d, uint8_t *code, int flips) {
  int bytes = (d->bits + 7) / 8, from = (int)test_below(&rng, 1000);
  memcpy(code, d->query, (size_t)bytes);
  for (int i = 0; i < flips; i++) {
    int bit = (from + i) % d->bits;
    code[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
  }
}

static void make_code(const data *d, uint8_t *code, kind k, int i) {
  int bits = d->bits, flips = 0;
  uint64_t all = (uint64_t)bits + 1;
  if (k == NEAR) flips = (int)test_below(&rng, 5);
  if (k == EQUAL) flips = 3;
  if (k == TWO) flips = test_below(&rng, 3) ? bits : 1;
  if (k == FALLING || k == RISING)
    flips = (int)((uint64_t)i * all / (uint64_t)d->count);
  if (k == FALLING) flips = bits - flips;
  differ(d, code, flips > bits ? bits : flips);
  if (k != UNIFORM) return;
  for (int bit = 0; bit < bits; bit++)
    if (test_below(&rng, 2)) code[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
}

/* count rows in blocks of up to block_rows, some of them empty. */
static void make_data(data *d, int count, int bits, int block_rows, kind k) {
  size_t bytes = (size_t)(bits + 7) / 8;
  int64_t rowid = -50;
  memset(d, 0, sizeof(*d));
  d->bits = bits;
  d->count = count;
  for (size_t i = 0; i < bytes; i++) d->query[i] = (uint8_t)test_random(&rng);
  if (bits % 8) d->query[bytes - 1] &= (uint8_t)(0xff00 >> bits % 8);
  d->rows = calloc((size_t)count + 1, sizeof(*d->rows));
  d->blocks = calloc(2 * (size_t)count + 8, sizeof(*d->blocks));
  d->bytes = calloc(2 * (size_t)count + 8, sizeof(*d->bytes));
  int64_t *rowids = malloc((size_t)block_rows * sizeof(*rowids));
  uint8_t *codes = malloc((size_t)block_rows * bytes);
  for (int at = 0; at < count || d->block_count < 2;) {
    int n = 1 + (int)test_below(&rng, (uint64_t)block_rows);
    if (d->block_count % 2) n = 0;     /* every other one is empty */
    if (n > count - at) n = count - at;
    for (int i = 0; i < n; i++, at++) {
      uint8_t *code = codes + (size_t)i * bytes;
      rowids[i] = rowid;
      rowid += 1 + (int64_t)test_below(&rng, 3);
      make_code(d, code, k, at);
      d->rows[at].rowid = rowids[i];
      d->rows[at].distance = (int)nn_hamming(code, d->query, bytes);
    }
    size_t size = nn_block_size(n, nn_block_width(rowids, n), (int)bytes);
    uint8_t *block = malloc(size);
    nn_error err;
    nn_block_write(block, bits, 0, rowids, codes, n);
    assert_int_equal(nn_block_open(block, size, bits,
                                   &d->blocks[d->block_count], &err), NN_OK);
    d->bytes[d->block_count++] = block;
  }
  qsort(d->rows, (size_t)count, sizeof(*d->rows), compare_rows);
  free(rowids);
  free(codes);
}

static void free_data(data *d) {
  for (int i = 0; i < d->block_count; i++) free(d->bytes[i]);
  free(d->bytes);
  free(d->blocks);
  free(d->rows);
}

static const nn_block *data_block(const void *context, size_t i) {
  return &((const data *)context)->blocks[i];
}

/* How passes go over their blocks: 0, one by one; else by so many threads. */
static int threads;

static nn_status add_blocks(const data *d, nn_top *top, nn_error *err) {
  if (threads > 0) {
    nn_blocks blocks = {data_block, d, (size_t)d->block_count};
    return nn_top_sweep_by(top, &blocks, threads, NULL, NULL, err);
  }
  nn_status status = NN_OK;
  for (int i = 0; status == NN_OK && i < d->block_count; i++)
    status = nn_top_add(top, &d->blocks[i], NULL, err);
  return status == NN_OK ? nn_top_end(top, err) : status;
}

/* One pass.  *at is the number of rows, of all, that are behind the stream, and
** moves on; right: are its rows those of the sort? */
static nn_status run_pass(const data *d, nn_top *top, uint64_t want, int min,
                          int max, int *at, int *right) {
  nn_error err;
  nn_status status = nn_top_begin(top, want, min, max, &err);
  if (status == NN_OK) status = add_blocks(d, top, &err);
  int64_t rowid = 0;
  int distance = 0;
  *right = 1;
  if (status != NN_OK) {
    assert_int_equal(err.status, status);
    *right = !nn_top_row(top, &rowid, &distance);
    return status;
  }
  uint64_t had = 0;
  int last = *at;
  for (int i = *at; had < want && i < d->count; i++) {
    const row *r = &d->rows[i];
    if (r->distance < min || r->distance > max) continue;
    if (!nn_top_row(top, &rowid, &distance) || rowid != r->rowid ||
        distance != r->distance) {
      *right = 0;
      return NN_OK;
    }
    had++;
    last = i + 1;
  }
  for (int i = 0; i < 2; i++)
    if (nn_top_row(top, &rowid, &distance)) *right = 0;
  *at = last;
  return NN_OK;
}

static nn_top *open_top(const data *d, const nn_memory *mem) {
  nn_top *top;
  nn_error err;
  uint8_t *query = test_copy(d->query, (size_t)(d->bits + 7) / 8);
  assert_int_equal(nn_top_open(mem, query, d->bits, &top, &err), NN_OK);
  free(query);   /* it was copied */
  return top;
}

/* Passes that want `first`, then `grow` times as many plus `more`, to the end
** of all rows and once beyond it. */
static void check_stream(const data *d, uint64_t first, uint64_t grow,
                         uint64_t more, int min, int max) {
  test_memory memory;
  test_memory_init(&memory, 0xa5);
  nn_top *top = open_top(d, &memory.mem);
  uint64_t want = first;
  int at = 0, before = -1, right;
  while (at != before) {
    before = at;
    assert_int_equal(run_pass(d, top, want, min, max, &at, &right), NN_OK);
    if (!right)
      fail_msg("%d rows of %d bits: wrong rows behind %d, of %d to %d, want "
               "%llu", d->count, d->bits, before, min, max,
               (unsigned long long)want);
    want = want * grow + more;
  }
  nn_top_close(top);
  assert_int_equal(memory.live, 0);
}

static void streams(void **state) {
  (void)state;
  const int all_bits[] = {1, 8, 12, 48, 64, 300, 1024};
  const int counts[] = {0, 1, 2, 100, 1000};
  for (int b = 0; b < 7; b++)
    for (int n = 0; n < 5; n++)
      for (int k = 0; k < KINDS; k++) {
        data d;
        int bits = all_bits[b], count = counts[n];
        make_data(&d, count, bits, 1 + count / 7, (kind)k);
        check_stream(&d, 1, 2, 0, 0, bits);
        check_stream(&d, 1 + test_below(&rng, 20), 1, 1 + test_below(&rng, 9),
                     -1, bits + 7);
        check_stream(&d, 100, 1, 0, bits / 3, bits / 2);
        check_stream(&d, 7, 3, 1, 0, (int)test_below(&rng, 5));
        check_stream(&d, 50, 2, 0, bits, bits);
        check_stream(&d, 50, 2, 0, 1, 0);
        check_stream(&d, 50, 2, 0, 0, -1);
        if (count) check_stream(&d, (uint64_t)count, 1, 0, 0, bits);
        check_stream(&d, (uint64_t)count + 1, 1, 0, 0, bits);
        free_data(&d);
      }
}

/* Every want there is, and streams of one row at a time. */
static void every_want(void **state) {
  (void)state;
  for (int k = 0; k < KINDS; k++) {
    data d;
    make_data(&d, 150, 12, 40, (kind)k);
    for (uint64_t want = 1; want <= 152; want++)
      check_stream(&d, want, 1, 0, 0, 12);
    free_data(&d);
  }
}

/* Many rows for few wanted ones, so that what was kept is thrown out often. */
static void room_is_used_up(void **state) {
  (void)state;
  for (int k = 0; k < KINDS; k++)
    for (int bits = 12; bits <= 256; bits += 61) {
      data d;
      make_data(&d, 40000, bits, 1000, (kind)k);
      test_memory memory;
      test_memory_init(&memory, 0x5a);
      nn_top *top = open_top(&d, &memory.mem);
      int at = 0, right;
      for (uint64_t want = 1; want <= 20000; want = want * 3 + 1) {
        assert_int_equal(run_pass(&d, top, want, 0, bits, &at, &right), NN_OK);
        assert_true(right);
      }
      nn_top_close(top);
      assert_int_equal(memory.live, 0);
      free_data(&d);
    }
}

/* Bounds that change from pass to pass, and a stream that is set to begin
** behind any row, there or not. */
static void bounds_and_beginnings(void **state) {
  (void)state;
  for (int i = 0; i < 300; i++) {
    data d;
    int bits = i % 2 ? 12 : 64, right;
    make_data(&d, 400, bits, 60, (kind)(i % KINDS));
    nn_top *top = open_top(&d, &nn_memory_libc);
    int at = 0, min = 0, max = bits;
    for (int pass = 0; pass < 12; pass++) {
      if (pass % 3 == 2) {
        row after = {-60 + (int64_t)test_below(&rng, 1000),
                     (int)test_below(&rng, (uint64_t)bits + 1)};
        if (pass == 5) after = d.rows[test_below(&rng, 400)];
        if (pass == 8) after = (row){INT64_MAX, -1};   /* the beginning */
        nn_top_after(top, after.distance, after.rowid);
        for (at = 0; at < d.count; at++)
          if (compare_rows(&d.rows[at], &after) > 0) break;
        int64_t rowid;
        int distance;
        assert_false(nn_top_row(top, &rowid, &distance));
      }
      if (pass % 2) {
        min = (int)test_below(&rng, (uint64_t)bits + 1);
        max = min + (int)test_below(&rng, 9);
      } else {
        min = 0;
        max = bits;
      }
      run_pass(&d, top, 1 + test_below(&rng, 90), min, max, &at, &right);
      assert_true(right);
    }
    nn_top_close(top);
    free_data(&d);
  }
}

/* The same by several threads, of which some come too late to find a block. */
static void sweeps(void **state) {
  (void)state;
  const int by[] = {1, 2, 3, 7, NN_TEAM_MAX};
  for (int i = 0; i < 5; i++)
    for (int k = 0; k < (i == 4 ? 1 : KINDS); k++) {
      data d;
      int bits = k % 2 ? 48 : 12, count = i == 4 ? 300 : 6000;
      make_data(&d, count, bits, i % 2 ? 40 : 9, (kind)k);
      threads = by[i];
      check_stream(&d, 1, 5, 1, 0, bits);
      check_stream(&d, 100, 4, 0, bits / 3, bits / 2);
      check_stream(&d, (uint64_t)count + 1, 1, 0, 0, bits);
      threads = 0;
      free_data(&d);
    }
}

static int stop_at_once(void *asked) {
  return ++*(int *)asked > 0;
}

/* A sweep that is stopped has no rows, and its pass can be begun again; one of
** few blocks does not ask. */
static void sweeps_are_stopped(void **state) {
  (void)state;
  data d;
  make_data(&d, 5000, 48, 1, NEAR);
  nn_blocks blocks = {data_block, &d, (size_t)d.block_count};
  for (int by = 1; by <= 3; by++) {
    nn_error err;
    nn_top *top = open_top(&d, &nn_memory_libc);
    int64_t rowid;
    int distance, asked = 0, at = 0, right;
    assert_int_equal(nn_top_begin(top, 10, 0, 48, &err), NN_OK);
    /* With several the caller may have had too little of the work to ask. */
    nn_status status = nn_top_sweep_by(top, &blocks, by, stop_at_once, &asked,
                                       &err);
    assert_int_equal(status, asked ? NN_INTERRUPTED : NN_OK);
    if (by == 1) assert_int_equal(asked, 1);
    if (asked) {
      assert_false(nn_top_row(top, &rowid, &distance));
      run_pass(&d, top, 10, 0, 48, &at, &right);
      assert_true(right);
    }
    nn_top_close(top);
  }
  free_data(&d);
}

/* Threads are taken where there is much to do, and the answer is the same. */
static void large_sweeps(void **state) {
  (void)state;
  data d;
  make_data(&d, 140000, 1024, 500, NEAR);   /* two shares of 8 MB */
  nn_blocks blocks = {data_block, &d, (size_t)d.block_count};
  nn_top *top = open_top(&d, &nn_memory_libc);
  nn_error err;
  int64_t rowid;
  int distance;
  assert_int_equal(nn_top_begin(top, 500, 0, 1024, &err), NN_OK);
  assert_int_equal(nn_top_sweep(top, &blocks, 256, NULL, NULL, &err), NN_OK);
  for (int i = 0; i < 500; i++) {
    assert_int_equal(nn_top_row(top, &rowid, &distance), 1);
    assert_true(rowid == d.rows[i].rowid && distance == d.rows[i].distance);
  }
  nn_top_close(top);
  free_data(&d);
}

/* Rowids at both ends of their range, equal distances. */
static void extreme_rowids(void **state) {
  (void)state;
  const int64_t rowids[] = {INT64_MIN, INT64_MIN + 1, -1, 0, INT64_MAX - 1,
                            INT64_MAX};
  uint8_t codes[6] = {0}, bytes[200];
  nn_block block;
  nn_error err;
  nn_top *top;
  int64_t rowid;
  int distance;
  nn_block_write(bytes, 8, 0, rowids, codes, 6);
  assert_int_equal(nn_block_open(bytes, nn_block_size(6, 8, 1), 8, &block,
                                 &err), NN_OK);
  assert_int_equal(nn_top_open(&nn_memory_libc, codes, 8, &top, &err), NN_OK);
  for (int i = 0; i <= 6; i++) {
    assert_int_equal(nn_top_begin(top, 1, 0, 8, &err), NN_OK);
    assert_int_equal(nn_top_add(top, &block, NULL, &err), NN_OK);
    assert_int_equal(nn_top_end(top, &err), NN_OK);
    assert_int_equal(nn_top_row(top, &rowid, &distance), i < 6);
    if (i < 6) assert_true(rowid == rowids[i] && distance == 0);
  }
  nn_top_close(top);
}

static void what_is_refused(void **state) {
  (void)state;
  static const uint8_t query[NN_BLOCK_BITS_MAX / 8];
  nn_top *top;
  nn_error err;
  const int bad[] = {0, -1, NN_BLOCK_BITS_MAX + 1};
  for (int i = 0; i < 3; i++) {
    assert_int_equal(nn_top_open(&nn_memory_libc, query, bad[i], &top, &err),
                     NN_ARGUMENT);
    assert_null(top);
  }
  assert_int_equal(nn_top_open(&nn_memory_libc, query, 48, &top, &err), NN_OK);
  assert_int_equal(nn_top_begin(top, 0, 0, 48, &err), NN_ARGUMENT);
  assert_int_equal(nn_top_begin(top, ((uint64_t)1 << 24) + 1, 0, 48, &err),
                   NN_ARGUMENT);
  assert_int_equal(nn_top_begin(top, UINT64_MAX, 0, 48, &err), NN_ARGUMENT);
  /* Nothing touches memory that no row comes to. */
  assert_int_equal(nn_top_begin(top, (uint64_t)1 << 24, 0, 48, &err), NN_OK);
  nn_top_close(top);
  nn_top_close(NULL);
}

/* Each allocation of a stream fails once.  The pass that it failed in has no
** row, is begun again, and is right. */
static void every_allocation_fails(void **state) {
  (void)state;
  data d;
  make_data(&d, 3000, 48, 300, NEAR);
  long failures = 0;
  for (long fail_at = 1;; fail_at++) {
    test_memory memory;
    test_memory_init(&memory, 0xa5);
    memory.fail_at = fail_at;
    nn_error err;
    nn_top *top;
    nn_status status = nn_top_open(&memory.mem, d.query, 48, &top, &err);
    if (status != NN_OK) {
      assert_int_equal(status, NN_NOMEM);
      assert_null(top);
      assert_int_equal(memory.live, 0);
      failures++;
      continue;
    }
    int at = 0, right, failed = 0;
    for (uint64_t want = 5; at < d.count; want *= 4) {
      status = run_pass(&d, top, want, 0, 48, &at, &right);
      assert_true(right);
      if (status == NN_OK) continue;
      assert_int_equal(status, NN_NOMEM);
      assert_int_equal(failed++, 0);
      want /= 4;
    }
    nn_top_close(top);
    assert_int_equal(memory.live, 0);
    failures += failed;
    if (memory.calls < fail_at) break;
    assert_int_equal(failed, 1);
  }
  assert_true(failures > 10);
  free_data(&d);
}

/* Rows of the pass before that nobody took are gone when the next one does not
** even begin. */
static void a_failed_pass_has_no_rows(void **state) {
  (void)state;
  data d;
  make_data(&d, 200, 48, 300, NEAR);
  for (long fail_in = 1; fail_in <= 2; fail_in++) {
    test_memory memory;
    test_memory_init(&memory, 0xa5);
    nn_top *top = open_top(&d, &memory.mem);
    nn_error err;
    int64_t rowid;
    int distance, at = 10, right;
    assert_int_equal(nn_top_begin(top, 10, 0, 48, &err), NN_OK);
    for (int i = 0; i < d.block_count; i++)
      assert_int_equal(nn_top_add(top, &d.blocks[i], NULL, &err), NN_OK);
    assert_int_equal(nn_top_end(top, &err), NN_OK);
    assert_int_equal(nn_top_row(top, &rowid, &distance), 1);
    memory.fail_at = memory.calls + fail_in;
    assert_int_equal(nn_top_begin(top, 100, 0, 48, &err), NN_NOMEM);
    assert_int_equal(nn_top_row(top, &rowid, &distance), 0);
    assert_int_equal(run_pass(&d, top, 100, 0, 48, &at, &right), NN_OK);
    assert_true(right);
    nn_top_close(top);
    assert_int_equal(memory.live, 0);
  }
  free_data(&d);
}

/* Memory that is refused to more threads is none that a sweep cannot do
** without: from the first that it wants for another thread on, it succeeds. */
static void sweeps_with_little_memory(void **state) {
  (void)state;
  data d;
  make_data(&d, 3000, 48, 30, NEAR);
  int refused = 0, succeeded = 0;
  for (long fail_in = 1; fail_in <= 24; fail_in++) {
    test_memory memory;
    test_memory_init(&memory, 0xa5);
    nn_top *top = open_top(&d, &memory.mem);
    int at = 0, right;
    memory.fail_at = memory.calls + fail_in;
    threads = 4;
    nn_status status = run_pass(&d, top, 20, 0, 48, &at, &right);
    assert_true(right);
    if (status != NN_OK) {
      assert_int_equal(status, NN_NOMEM);
      assert_int_equal(succeeded, 0);
      refused++;
    } else {
      succeeded += memory.calls >= memory.fail_at;
    }
    threads = 0;
    nn_top_close(top);
    assert_int_equal(memory.live, 0);
  }
  assert_true(refused >= 4 && succeeded >= 10);
  free_data(&d);
}

/* What the passes are compared with is not always pleased. */
static void wrong_rows_are_noticed(void **state) {
  (void)state;
  data d;
  make_data(&d, 100, 48, 30, UNIFORM);
  for (int wrong = 0; wrong < 4; wrong++) {
    nn_top *top = open_top(&d, &nn_memory_libc);
    row before = d.rows[4], after = d.rows[5];
    int at = 0, right;
    if (wrong == 1) d.rows[4].rowid++;
    if (wrong == 2) d.rows[4].distance++;
    if (wrong == 3) d.rows[4] = after, d.rows[5] = before;
    run_pass(&d, top, 10, 0, 48, &at, &right);
    assert_int_equal(right, wrong == 0);
    d.rows[4] = before;
    d.rows[5] = after;
    nn_top_close(top);
  }
  free_data(&d);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(streams),
      cmocka_unit_test(every_want),
      cmocka_unit_test(room_is_used_up),
      cmocka_unit_test(bounds_and_beginnings),
      cmocka_unit_test(sweeps),
      cmocka_unit_test(sweeps_are_stopped),
      cmocka_unit_test(large_sweeps),
      cmocka_unit_test(extreme_rowids),
      cmocka_unit_test(what_is_refused),
      cmocka_unit_test(every_allocation_fails),
      cmocka_unit_test(a_failed_pass_has_no_rows),
      cmocka_unit_test(sweeps_with_little_memory),
      cmocka_unit_test(wrong_rows_are_noticed),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

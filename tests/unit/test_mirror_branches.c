/*
** Networks of two branches from the input, each ended by a MirrorMean of its
** own and read by a head of its own: what img_hash(image, head) runs when it is
** asked for one of them, for both, and for what lies on the way.
**
** Every blob alone and all together, by every engine and set of kernels, in
** batches that fill the groups of run.c or do not, on several threads, against
** integer_definition.h; and that a branch nobody asked for does not run.
*/
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "integer_test.h"
#include "model_test.h"

enum { BATCH_MAX = 11 };

typedef struct branches {
  net t;
  uint8_t *file;
  nn_model *model;
  float *input, *want[NET_MAX + 1];   /* of BATCH_MAX images */
  int own[2];                         /* a layer of either branch alone */
} branches;

/* From blob `from`: a convolution or two and a mean of planes, which is read
** at the end.  `product`: by an inner product before the MirrorMean. */
static int add_branch(net *t, int from, int deep, int product) {
  int last = net_add(t, NN_CONVOLUTION, 1, &from, 0);
  if (deep) {
    int one = net_add(t, NN_RELU, 1, &last, 0);
    int two = net_add(t, NN_CONVOLUTION, 1, &one, 0);
    last = net_add(t, NN_CONCAT, 2, (int[]){two, two}, 0);
  }
  last = net_add(t, NN_POOLING, 1, &last, 0);
  return product ? net_add(t, NN_INNER_PRODUCT, 1, &last, 0) : last;
}

/* The latent layer of head h reads a MirrorMean. */
static int add_head(net *t, int mean) {
  int flat = net_add(t, NN_FLATTEN, 1, &mean, 0);
  return net_add(t, NN_INNER_PRODUCT, 1, &flat, 1);
}

static void open_branches(branches *s, int seed) {
  net *t = &s->t;
  nn_error err;
  size_t n;
  net_open(t, 7000 + (uint64_t)seed, 3, 9 + seed % 3, 8 + seed % 4);
  int stem = seed % 2 ? net_add(t, NN_LRN, 1, (int[]){0}, 0) : 0;
  s->own[0] = t->count;
  int a = add_branch(t, stem, 1, seed % 5 == 1);
  s->own[1] = t->count;
  int b = add_branch(t, seed % 3 ? 0 : stem, 0, seed % 5 == 2);
  a = net_add(t, NN_MIRROR_MEAN, 1, &a, 0);
  b = net_add(t, NN_MIRROR_MEAN, 1, &b, 0);
  a = add_head(t, a);
  b = add_head(t, b);
  builder_member(&t->b, "\"heads\":[{\"name\":\"a\",\"latent\":\"l%d\"},"
                 "{\"name\":\"b\",\"latent\":\"l%d\"}]", a, b);
  s->file = builder_finish(&t->b, &n);
  assert_int_equal(nn_model_open(&nn_memory_libc, s->file, n, &s->model, &err),
                   NN_OK);
  assert_int_equal(s->model->mirrors, 2);
  size_t size = net_size(&t->blobs[0]);
  s->input = net_alloc(size * BATCH_MAX, sizeof(*s->input));
  for (size_t i = 0; i < size * BATCH_MAX; i++) {
    s->input[i] = (float)builder_pick(&t->b, 0, 255);
  }
  for (int j = 0; j <= t->count; j++) {
    s->want[j] = net_alloc(net_size(&t->blobs[j]) * BATCH_MAX, sizeof(float));
  }
  for (size_t i = 0; i < BATCH_MAX; i++) {
    net_run(t, s->input + i * size);
    for (int j = 0; j <= t->count; j++) {
      size_t one = net_size(&t->blobs[j]);
      for (size_t k = 0; k < one; k++) {
        s->want[j][i * one + k] = net_value(&t->blobs[j], k);
      }
    }
  }
}

static void close_branches(branches *s) {
  nn_model_close(s->model);
  for (int j = 0; j <= s->t.count; j++) free(s->want[j]);
  free(s->input);
  free(s->file);
  net_close(&s->t);
}

/* Whether `count` blobs of a batch, asked for in one call, are as wanted. */
static int same_blobs(const branches *s, nn_engine engine, int threads,
                      int batch, const int *blobs, int count) {
  float *out[NET_MAX + 1] = {NULL};
  nn_error err;
  int same = 1;
  for (int j = 0; j < count; j++) {
    out[j] = net_alloc(net_size(&s->t.blobs[blobs[j]]) * (size_t)batch,
                       sizeof(float));
  }
  assert_int_equal(nn_run_team(&nn_memory_libc, s->model, engine, threads,
                               s->input, batch, blobs, count, out, &err),
                   NN_OK);
  for (int j = 0; j < count; j++) {
    size_t n = net_size(&s->t.blobs[blobs[j]]) * (size_t)batch;
    same &= memcmp(out[j], s->want[blobs[j]], n * sizeof(float)) == 0;
    free(out[j]);
  }
  return same;
}

/* Each blob, both codes, a code and what its branch or the other one begins
** with, and everything. */
static void check_asked(const branches *s, nn_engine engine, int threads,
                        int batch) {
  int blobs[NET_MAX + 1], codes[2];
  for (int i = 0; i < 2; i++) codes[i] = nn_model_head(s->model, i)->latent;
  for (int b = 0; b <= s->t.count; b++) {
    blobs[b] = b;
    assert_true(same_blobs(s, engine, threads, batch, &b, 1));
  }
  assert_true(same_blobs(s, engine, threads, batch, codes, 2));
  for (int i = 0; i < 4; i++) {
    int two[2] = {codes[i / 2], s->own[i % 2] + 1};
    assert_true(same_blobs(s, engine, threads, batch, two, 2));
  }
  assert_true(same_blobs(s, engine, threads, batch, blobs, s->t.count + 1));
}

static void test_branches(void **state) {
  static const int batches[] = {1, 3, 8, BATCH_MAX};
  (void)state;
  for (int seed = 0; seed < 12; seed++) {
    branches s;
    open_branches(&s, seed);
    const nn_int_form *own = s.model->form;
    int batch = batches[seed % 4];
    for (int i = 0; nn_int_kernels(i); i++) {
      s.model->form = nn_int_kernels(i);
      check_asked(&s, NN_FAST, 1 + seed % 3, batch);
    }
    s.model->form = own;
    check_asked(&s, NN_REFERENCE, 1, batch);
    check_asked(&s, NN_BLAS, 1, batch);
    close_branches(&s);
  }
}

/* The plain kernels, with their calls counted. */
static int calls;

static void counted_sums(int rows, int taps, int quads,
                         const uint8_t *const *in, const int8_t *weight,
                         int32_t *out) {
  calls++;
  nn_int_kernels(0)->sums(rows, taps, quads, in, weight, out);
}

static void counted_wide(int rows, int taps, int quads,
                         const uint8_t *const *in, const int8_t *weight,
                         int32_t *out) {
  calls++;
  nn_int_kernels(0)->wide(rows, taps, quads, in, weight, out);
}

static int counted(const branches *s, const int *blobs, int count) {
  calls = 0;
  assert_true(same_blobs(s, NN_FAST, 1, 3, blobs, count));
  return calls;
}

/* Both codes cost what each costs alone, so neither runs the other's branch;
** and what was asked for from before a MirrorMean that nobody needs runs once,
** beside a code. */
static void test_what_runs(void **state) {
  (void)state;
  for (int seed = 0; seed < 12; seed++) {
    branches s;
    int codes[2], alone[2];
    open_branches(&s, seed);
    nn_int_form form = *nn_int_kernels(0);
    form.sums = counted_sums;
    form.wide = counted_wide;
    s.model->form = &form;
    for (int i = 0; i < 2; i++) {
      codes[i] = nn_model_head(s.model, i)->latent;
      alone[i] = counted(&s, &codes[i], 1);
      assert_true(alone[i] > 0);
    }
    assert_int_equal(counted(&s, codes, 2), alone[0] + alone[1]);
    for (int i = 0; i < 2; i++) {
      int two[2] = {codes[i], s.own[!i] + 1};
      int once = counted(&s, &two[1], 1);
      assert_true(once > 0 && once < alone[!i]);
      assert_int_equal(counted(&s, two, 2), alone[i] + once);
    }
    close_branches(&s);
  }
}

/* Branches are what ties blobs together, the pixels apart: a layer below both
** heads makes one of them, but for a 1x1 convolution of the input, which the
** first layer of a branch may be here. */
static void test_branch_of(void **state) {
  (void)state;
  for (int seed = 0; seed < 6; seed++) {
    branches s;
    open_branches(&s, seed);
    const int a = nn_model_head(s.model, 0)->latent;
    const int b = nn_model_head(s.model, 1)->latent;
    const int shared = seed % 2 && seed % 3 == 0;
    assert_int_equal(nn_model_branch(s.model, a) ==
                     nn_model_branch(s.model, b), shared);
    assert_int_equal(nn_model_branch(s.model, a),
                     nn_model_branch(s.model, s.own[0] + 2));
    assert_int_equal(nn_model_branch(s.model, b),
                     nn_model_branch(s.model, s.own[1] + 2));
    assert_int_equal(nn_model_branch(s.model, 0), 0);
    close_branches(&s);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_branches),
      cmocka_unit_test(test_what_runs),
      cmocka_unit_test(test_branch_of),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

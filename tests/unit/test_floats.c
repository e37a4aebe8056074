/*
** The kernels of float32 networks and what is made of them: every form against
** the plain reference, convolutions and inner products of every form against
** reference.c, and what the engine promises of batches and threads, that they
** change nothing in any bit.
*/
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../nn/floats.h"
#include "layers_test.h"

static float *filled(builder *b, size_t n) {
  float *x = aligned_alloc(64, (n * sizeof(float) + 127) / 64 * 64);
  assert_non_null(x);
  for (size_t i = 0; i < n; i++) x[i] = builder_float(b);
  return x;
}

/* Kernels ----------------------------------------------------------------- */

static void check_tile(builder *b, const nn_float_form *f, int rows, size_t k,
                       int add) {
  size_t wide = (size_t)f->columns, lda = k + 3, ldc = wide + 5;
  float *a = filled(b, (size_t)rows * lda), *cols = filled(b, k * wide);
  float *c = filled(b, (size_t)rows * ldc), *want = filled(b, (size_t)rows * ldc);
  memcpy(want, c, (size_t)rows * ldc * sizeof(*c));
  f->tile(rows, k, a, lda, cols, c, ldc, add);
  for (size_t r = 0; r < (size_t)rows; r++) {
    for (size_t j = 0; j < ldc; j++) {
      double sum = add || j >= wide ? (double)want[r * ldc + j] : 0;
      for (size_t i = 0; i < k && j < wide; i++) {
        sum += (double)a[r * lda + i] * (double)cols[i * wide + j];
      }
      if (!(fabs((double)c[r * ldc + j] - sum) < 1e-4)) {
        fail_msg("%s: tile of %d rows, depth %zu, row %zu, column %zu: %g, "
                 "not %g", f->name, rows, k, r, j, (double)c[r * ldc + j],
                 sum);
      }
    }
  }
  free(a);
  free(cols);
  free(c);
  free(want);
}

static void test_tiles(void **state) {
  static const size_t depths[] = {1, 2, 7, 64, 257};
  builder b;
  (void)state;
  builder_open(&b, 11, 1, 1, 1);
  for (int i = 0; nn_float_kernels(i); i++) {
    const nn_float_form *f = nn_float_kernels(i);
    for (int rows = 1; rows <= f->rows; rows++) {
      for (int d = 0; d < 5; d++) {
        check_tile(&b, f, rows, depths[d], 0);
        check_tile(&b, f, rows, depths[d], 1);
      }
    }
  }
  builder_close(&b);
}

/* The sums of one pair of row and image, taken alone. */
static void alone(const nn_float_form *f, size_t k, const float *w,
                  const float *x, float *sums) {
  memset(sums, 0, NN_FLOAT_LANES * sizeof(*sums));
  f->dot(1, 1, k, w, 0, x, 0, sums);
}

static void check_dot(builder *b, const nn_float_form *f, int rows, int images,
                      size_t k) {
  size_t ldw = k + 9, ldx = k + 2, lanes = (size_t)f->lanes;
  float one[NN_FLOAT_LANES];
  float *w = filled(b, (size_t)rows * ldw), *x = filled(b, (size_t)images * ldx);
  float *sums = filled(b, (size_t)(rows * images) * lanes);
  memset(sums, 0, (size_t)(rows * images) * lanes * sizeof(*sums));
  size_t first = k / 2 / lanes * lanes;   /* in two pieces, as a batch is */
  f->dot(rows, images, first, w, ldw, x, ldx, sums);
  f->dot(rows, images, k - first, w + first, ldw, x + first, ldx, sums);
  for (int i = 0; i < rows * images; i++) {
    const float *row = w + (size_t)(i / images) * ldw;
    const float *image = x + (size_t)(i % images) * ldx;
    alone(f, k, row, image, one);
    if (memcmp(one, sums + (size_t)i * lanes, lanes * sizeof(*one)) != 0) {
      fail_msg("%s: %d rows, %d images, depth %zu: pair %d differs from its "
               "own sum", f->name, rows, images, k, i);
    }
    double want = 0, got = 0;
    for (size_t j = 0; j < k; j++) want += (double)row[j] * (double)image[j];
    for (size_t j = 0; j < lanes; j++) got += (double)one[j];
    if (!(fabs(got - want) < 1e-4)) {
      fail_msg("%s: dot of %zu: %g, not %g", f->name, k, got, want);
    }
  }
  free(w);
  free(x);
  free(sums);
}

static void test_dots(void **state) {
  static const size_t depths[] = {1, 7, 8, 16, 31, 100, 515};
  builder b;
  (void)state;
  builder_open(&b, 12, 1, 1, 1);
  for (int i = 0; nn_float_kernels(i); i++) {
    const nn_float_form *f = nn_float_kernels(i);
    for (int images = 1; images <= f->dot_images; images++) {
      int most = images == 1 ? f->dot_rows : f->batch_rows;
      for (int rows = 1; rows <= most; rows++) {
        for (int d = 0; d < 7; d++) check_dot(&b, f, rows, images, depths[d]);
      }
    }
  }
  builder_close(&b);
}

static void test_dispatch(void **state) {
  (void)state;
  assert_string_equal(nn_float_kernels_for(0, 0)->name, "scalar");
#if defined(__x86_64__)
  assert_null(nn_float_kernels_for(NN_CPU_AVX2, 1));   /* FMA is wanted too */
  assert_string_equal(nn_float_kernels_for(NN_CPU_FMA, 1)->name, "avx2");
  assert_null(nn_float_kernels_for(NN_CPU_FMA, 2));
  assert_string_equal(nn_float_kernels_for(NN_CPU_AVX512F, 1)->name, "avx512");
  assert_string_equal(nn_float_kernels_for(~0u, 2)->name, "avx512");
  assert_null(nn_float_kernels_for(~0u, 3));
#endif
}

/* Layers ------------------------------------------------------------------ */

/* A convolution, and perhaps a batch norm and a ReLU of it. */
static void convolution(builder *b, int group, int in, int out,
                        const int kernel[2], const int stride[2], int room) {
  int h = builder_pick(b, kernel[0], kernel[0] + room);
  int w = builder_pick(b, kernel[1], kernel[1] + room * 3 / 2);
  int p[4], weights[4] = {out, in / group, kernel[0], kernel[1]};
  for (int i = 0; i < 4; i++) {
    p[i] = builder_pick(b, 0, 1) * builder_pick(b, 0, kernel[i % 2] / 2);
  }
  builder_close(b);
  builder_open(b, builder_random(b), in, h, w);
  builder_values(b, "w", -0.3f, 0.3f, 4, weights);
  builder_values(b, "b", -1, 1, 1, &out);
  builder_values(b, "m", -1, 1, 1, &out);
  builder_values(b, "v", 0.5, 2, 1, &out);
  builder_layer(b, "\"name\":\"conv\",\"type\":\"Convolution\","
                "\"bottom\":[\"data\"],\"num_output\":%d,"
                "\"kernel_size\":[%d,%d],\"stride\":[%d,%d],"
                "\"pad\":[%d,%d,%d,%d],\"group\":%d,\"weight\":\"w\"%s",
                out, kernel[0], kernel[1], stride[0], stride[1], p[0], p[1],
                p[2], p[3], group,
                builder_pick(b, 0, 1) ? ",\"bias\":\"b\"" : "");
  if (builder_pick(b, 0, 1)) {
    builder_layer(b, "\"name\":\"norm\",\"type\":\"BatchNorm\","
                  "\"bottom\":[\"conv\"],\"mean\":\"m\",\"variance\":\"v\"");
    builder_layer(b, "\"name\":\"relu\",\"type\":\"ReLU\","
                  "\"bottom\":[\"norm\"]");
  }
}

/* One of many channels, of all that the two files tell apart: 3x3 with and
** without stride, 1x1, others; groups; padding; odd sizes. */
static void wide_convolution(builder *b) {
  int group = builder_pick(b, 1, 3);
  int in = group * builder_pick(b, 14, 40), out = group * builder_pick(b, 1, 70);
  int side = builder_pick(b, 0, 3), kernel = side < 2 ? 3 : side == 2 ? 1 : 4;
  int stride = builder_pick(b, 0, 2) ? 1 : builder_pick(b, 2, 3);
  convolution(b, group, in, out, (int[]){kernel, kernel},
              (int[]){stride, stride}, 20);
}

/* All blobs by every form; alone, in a batch, and on several threads. */
static void check_forms(builder *b, int batch) {
  uint8_t *file;
  nn_error err;
  nn_model *model = open_model(b, &file);
  int blob = nn_model_last_blob(model);
  size_t in = model->blobs[0].size, n = model->blobs[blob].size;
  float *input = random_floats(b, in * (size_t)batch);
  float *want = run_blob(model, NN_REFERENCE, input, batch, blob);
  float *got = malloc(n * (size_t)batch * sizeof(*got));
  for (int i = 0; nn_float_kernels(i); i++) {
    assert_int_equal(nn_floats_ready(model, nn_float_kernels(i), &err), NN_OK);
    float *all = run_blob(model, NN_FAST, input, batch, blob);
    double d = difference(all, want, n * (size_t)batch);
    if (!(d < 2e-5)) {
      fail_msg("%s: differs by %g in %s", nn_float_kernels(i)->name, d, b->layers.text);
    }
    for (int j = 0; j < batch; j++) {
      float *one = run_blob(model, NN_FAST, input + (size_t)j * in, 1, blob);
      assert_memory_equal(one, all + (size_t)j * n, n * sizeof(float));
      free(one);
    }
    for (int threads = 2; threads <= 5; threads += 3) {
      assert_int_equal(
          nn_run_team(&nn_memory_libc, model, NN_FAST, threads, input, batch,
                      &blob, 1, &got, &err), NN_OK);
      assert_memory_equal(got, all, n * (size_t)batch * sizeof(float));
    }
    free(all);
  }
  free(got);
  free(want);
  free(input);
  nn_model_close(model);
  free(file);
}

static void test_convolutions(void **state) {
  (void)state;
  for (int i = 0; i < 150; i++) {
    builder b;
    builder_open(&b, (uint64_t)i + 100, 1, 1, 1);
    wide_convolution(&b);
    check_forms(&b, 1 + i % 3);
    builder_close(&b);
  }
}

/* Filters that winograd.c cuts into pieces: of every length that gives other
** pieces, alike along both axes or not, with strides that it takes apart. */
static void test_cut_convolutions(void **state) {
  static const int filters[][4] = {
      {5, 5, 1, 1}, {11, 11, 4, 4}, {3, 3, 1, 1},   {6, 6, 1, 1},
      {7, 7, 1, 1}, {8, 8, 1, 1},   {9, 9, 3, 3},   {5, 3, 1, 1},
      {3, 6, 1, 2}, {4, 3, 1, 1},   {11, 3, 4, 1},  {13, 10, 1, 1},
      {3, 5, 1, 1}, {12, 9, 4, 3}, {15, 10, 3, 2}, {3, 4, 1, 1}};
  (void)state;
  for (int i = 0; i < 32; i++) {
    const int *f = filters[i % 16];
    builder b;
    builder_open(&b, (uint64_t)i + 700, 1, 1, 1);
    int group = builder_pick(&b, 1, 2), each = builder_pick(&b, 1, 19);
    each += each * f[2] * f[3] < 16 ? 16 : 0;
    convolution(&b, group, group * each, group * builder_pick(&b, 16, 24), f,
                f + 2, 10);
    uint8_t *file;
    nn_model *model = open_model(&b, &file);
    const nn_blob *top = &model->blobs[1];
    assert_int_equal(nn_winograd_fits(&model->layers[0], model->blobs),
                     top->h * top->w >= 16);
    nn_model_close(model);
    free(file);
    check_forms(&b, 1 + i % 2);
    builder_close(&b);
  }
}

/* More tiles than are at hand at once, and positions of many strips. */
static void test_large_convolutions(void **state) {
  (void)state;
  for (int kernel = 3; kernel <= 5; kernel += 2) {
    builder b;
    int weights[4] = {20, 130, kernel, kernel};
    builder_open(&b, 5, 130, 61, 63);
    builder_values(&b, "w", -0.1f, 0.1f, 4, weights);
    builder_layer(&b, "\"name\":\"conv\",\"type\":\"Convolution\","
                  "\"bottom\":[\"data\"],\"num_output\":20,"
                  "\"kernel_size\":[%d,%d],\"pad\":[1,1,1,1],\"weight\":\"w\"",
                  kernel, kernel);
    check_forms(&b, 1);
    builder_close(&b);
  }
}

static void test_inner_products(void **state) {
  (void)state;
  for (int i = 0; i < 24; i++) {
    builder b;
    builder_open(&b, (uint64_t)i + 40, 1, 1, 1);
    int in = builder_pick(&b, 1, i % 4 ? 200 : 1700);
    int out = builder_pick(&b, 1, 150), batch = builder_pick(&b, 1, 70);
    int weights[2] = {out, in};
    builder_close(&b);
    builder_open(&b, (uint64_t)i + 40, in, 1, 1);
    builder_values(&b, "w", -0.3f, 0.3f, 2, weights);
    builder_layer(&b, "\"name\":\"fc\",\"type\":\"InnerProduct\","
                  "\"bottom\":[\"data\"],\"num_output\":%d,\"weight\":\"w\"",
                  out);
    check_forms(&b, batch);
    builder_close(&b);
  }
}

/* Teams ------------------------------------------------------------------- */

typedef struct tally {
  int seen[1000];
  int workers;
} tally;

static void count_task(void *context, size_t task, int worker) {
  tally *t = context;
  __atomic_fetch_add(&t->seen[task], 1, __ATOMIC_RELAXED);
  if (worker >= t->workers) __atomic_fetch_add(&t->seen[999], 1000,
                                               __ATOMIC_RELAXED);
}

static void test_teams(void **state) {
  (void)state;
  for (int threads = 0; threads <= 9; threads++) {
    nn_team *team;
    nn_error err;
    assert_int_equal(nn_team_open(&nn_memory_libc, threads, &team, &err),
                     NN_OK);
    for (int round = 0; round < 200; round++) {
      tally t = {.workers = nn_team_size(team)};
      size_t tasks = (size_t)(round * 5 % 1000);
      nn_team_run(team, tasks, count_task, &t);
      for (size_t i = 0; i < 1000; i++) {
        assert_int_equal(t.seen[i], i < tasks);
      }
    }
    nn_team_close(team);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_tiles),
      cmocka_unit_test(test_dots),
      cmocka_unit_test(test_dispatch),
      cmocka_unit_test(test_convolutions),
      cmocka_unit_test(test_cut_convolutions),
      cmocka_unit_test(test_large_convolutions),
      cmocka_unit_test(test_inner_products),
      cmocka_unit_test(test_teams),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
** Integer networks: every layer and random graphs of them, by every engine and
** every set of kernels, against the definition as integer_test.h computes it.
** All comparisons are for equal bits.  What is refused, and what a host may do
** to floating point and memory, is test_integer_models.c.
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

/* Comparing --------------------------------------------------------------- */

static nn_model *open_net(const net *t, uint8_t **file) {
  nn_model *model = NULL;
  nn_error err;
  size_t n;
  *file = builder_finish(&t->b, &n);
  if (nn_model_open(&nn_memory_libc, *file, n, &model, &err) != NN_OK) {
    fail_msg("%s in %s", err.text, t->b.layers.text);
  }
  assert_int_equal(nn_model_kind(model), NN_INTEGER);
  return model;
}

/* Pixels of a batch: random, or all `same`. */
static float *images(net *t, int batch, int same) {
  size_t n = net_size(&t->blobs[0]) * (size_t)batch;
  float *x = net_alloc(n, sizeof(*x));
  for (size_t i = 0; i < n; i++) {
    x[i] = (float)(same < 0 ? builder_pick(&t->b, 0, 255) : same);
  }
  return x;
}

/* All blobs of all images, as numbers: [blob][image][c][y][x]. */
static float **wanted(net *t, const float *input, int batch) {
  float **want = net_alloc(NET_MAX + 1, sizeof(*want));
  for (int i = 0; i < batch; i++) {
    net_run(t, input + (size_t)i * net_size(&t->blobs[0]));
    for (int b = 0; b <= t->count; b++) {
      size_t n = net_size(&t->blobs[b]);
      if (!i) want[b] = net_alloc(n * (size_t)batch, sizeof(float));
      for (size_t j = 0; j < n; j++) {
        want[b][(size_t)i * n + j] = net_value(&t->blobs[b], j);
      }
    }
  }
  return want;
}

static void free_all(float **x) {
  for (int b = 0; b <= NET_MAX; b++) free(x[b]);
  free(x);
}

static const char *const engine_names[] = {"fast", "reference", "blas"};

static void same_floats(const net *t, int blob, const char *how,
                        const float *got, const float *want, size_t n) {
  if (memcmp(got, want, n * sizeof(*got)) == 0) return;
  size_t i = 0;
  while (memcmp(got + i, want + i, sizeof(*got)) == 0) i++;
  fail_msg("%s: value %zu of l%d is %.9g, not %.9g: %s %s", how, i, blob,
           (double)got[i], (double)want[i], t->b.network.text,
           t->b.layers.text);
}

/* Each blob alone, and all in one pass. */
static void check_engine(const net *t, const nn_model *model, nn_engine engine,
                         const char *how, const float *input, int batch,
                         float **want) {
  int blobs[NET_MAX + 2] = {0}, count = t->count + 1;
  float *out[NET_MAX + 2] = {NULL};
  nn_error err;
  for (int b = 0; b <= count; b++) {
    int blob = blobs[b] = b < count ? b : count / 2;   /* one of them twice */
    size_t n = net_size(&t->blobs[blob]) * (size_t)batch;
    out[b] = malloc((n + 1) * sizeof(float));
    out[b][n] = 12345;   /* nothing may be written behind the end */
    if (nn_run(&nn_memory_libc, model, engine, input, batch, blob, out[b],
               &err)) {
      fail_msg("%s", err.text);
    }
    same_floats(t, blob, how, out[b], want[blob], n);
    memset(out[b], 0xaa, n * sizeof(float));
  }
  assert_int_equal(nn_run_blobs(&nn_memory_libc, model, engine, input, batch,
                                blobs, count + 1, out, &err), NN_OK);
  for (int b = 0; b <= count; b++) {
    size_t n = net_size(&t->blobs[blobs[b]]) * (size_t)batch;
    same_floats(t, blobs[b], how, out[b], want[blobs[b]], n);
    assert_true(out[b][n] == 12345);
    free(out[b]);
  }
}

static void check_input(const net *t, nn_model *model, const float *input,
                        int batch, float **want) {
  const nn_int_form *own = model->form;
  for (int i = 0; nn_int_kernels(i); i++) {
    model->form = nn_int_kernels(i);
    check_engine(t, model, NN_FAST, model->form->name, input, batch, want);
  }
  model->form = own;
  for (int e = NN_REFERENCE; e <= NN_BLAS; e++) {
    check_engine(t, model, (nn_engine)e, engine_names[e], input, batch, want);
  }
}

/* Random pixels, all 0 and all 255, by everything that can compute. */
static void check_net(net *t, int batch) {
  static const int same[] = {-1, 0, 255};
  uint8_t *file;
  nn_model *model = open_net(t, &file);
  assert_int_equal(nn_model_blob_count(model), t->count + 1);
  for (int b = 0; b <= t->count; b++) {
    int chw[3];
    assert_int_equal(nn_model_blob_shape(model, b, chw),
                     net_size(&t->blobs[b]));
    assert_true(chw[0] == t->blobs[b].c && chw[1] == t->blobs[b].h);
  }
  for (int i = 0; i < 3; i++) {
    float *input = images(t, batch, same[i]);
    float **want = wanted(t, input, batch);
    check_input(t, model, input, batch, want);
    free_all(want);
    free(input);
  }
  nn_model_close(model);
  free(file);
}

/* Layers ------------------------------------------------------------------ */

/* This test is the first: NN_FAST has no use for a BLAS library. */
static void test_fast_needs_no_blas(void **state) {
  net t;
  char line[4096];
  uint8_t *file;
  float out[64];
  nn_error err;
  (void)state;
  net_open(&t, 3, 3, 6, 6);
  net_add(&t, NN_INNER_PRODUCT, 1, (int[]){0}, 1);
  nn_model *model = open_net(&t, &file);
  float *input = images(&t, 1, -1);
  assert_int_equal(
      nn_run(&nn_memory_libc, model, NN_FAST, input, 1, 1, out, &err), NN_OK);
  FILE *maps = fopen("/proc/self/maps", "r");
  while (maps && fgets(line, sizeof(line), maps)) {
    assert_null(strstr(line, "blas"));
  }
  if (maps) fclose(maps);
  free(input);
  nn_model_close(model);
  free(file);
  net_close(&t);
}

/* One layer on the input (bytes up to 255, a zero point for each channel), then
** on bytes up to 255 or less, then on sums where it reads those. */
static void test_layers(void **state) {
  static const nn_type types[] = {
      NN_CONVOLUTION, NN_CONVOLUTION, NN_CONVOLUTION, NN_INNER_PRODUCT,
      NN_POOLING,     NN_POOLING,     NN_ELTWISE,     NN_CONCAT,
      NN_SIGMOID,     NN_LRN,         NN_RELU,        NN_FLATTEN,
      NN_SOFTMAX,     NN_SIGMOID,     NN_MIRROR_MEAN, NN_LOOKUP,
      NN_PADDING,     NN_SLICE,       NN_PERMUTE,     NN_SHUFFLE_CHANNEL,
      NN_RESHAPE,     NN_CONSTANT,    NN_LOOKUP};
  enum { TYPES = sizeof(types) / sizeof(*types) };
  (void)state;
  for (int i = 0; i < 30 * TYPES; i++) {
    net t;
    nn_type type = types[i % TYPES];
    int side = i % 4 ? 9 : 3;
    int sums = type == NN_SOFTMAX ? 2 : i % TYPES == 13 || i % TYPES == 22;
    builder b = {.random = (uint64_t)i * 77 + 5};
    int c = builder_pick(&b, 1, 19), h = builder_pick(&b, 1, side);
    net_open(&t, (uint64_t)i + 1, c, h, builder_pick(&b, 1, side));
    if (sums) {
      net_add(&t, i % 2 ? NN_CONVOLUTION : NN_INNER_PRODUCT, 1, (int[]){0},
              sums);
      net_add(&t, type, 1, (int[]){1}, 0);
    } else {
      int n = type == NN_ELTWISE  ? builder_pick(&b, 2, 3)
              : type == NN_CONCAT ? builder_pick(&b, 1, 3)
                                  : 1;
      net_add(&t, type, n, (int[]){0, 0, 0}, 0);
      if (type != NN_MIRROR_MEAN) {
        int last = net_add(&t, NN_RELU, 1, (int[]){1}, 0);
        last = net_add(&t, NN_LRN, 1, &last, 0);
        net_add(&t, type, n, (int[]){last, last, last}, 0);
      }
    }
    check_net(&t, 1 + i % 3);
    net_close(&t);
  }
}

/* Every weight 127, or -128, or one of both, on images that are all 0 and all
** 255: what a kernel whose pairs saturate would show. */
static void test_saturating(void **state) {
  (void)state;
  for (int i = 0; i < 90; i++) {
    net t;
    net_open(&t, (uint64_t)i + 1, 1 + i * 7 % 70, 1 + i % 5, 1 + i % 4);
    t.extreme = 1 + i % 3;
    net_add(&t, NN_LRN, 1, (int[]){0}, 0);
    net_add(&t, i % 2 ? NN_CONVOLUTION : NN_INNER_PRODUCT, 1, (int[]){1}, 1);
    net_add(&t, i % 2 ? NN_CONVOLUTION : NN_INNER_PRODUCT, 1, (int[]){0}, 1);
    net_add(&t, NN_CONVOLUTION, 1, (int[]){0}, 0);
    net_add(&t, NN_INNER_PRODUCT, 1, (int[]){4}, 1);
    check_net(&t, 1 + i % 2);
    net_close(&t);
  }
}

/* A net of one convolution, by every form (that which fits the CPU best may have
** no use for whole.c), on several threads, for pixels that are all 0 and all 255
** and for random ones. */
static void check_cut(net *t, int batch) {
  static const int same[] = {-1, 0, 255};
  nn_error err;
  uint8_t *file;
  nn_model *model = open_net(t, &file);
  for (int i = 0; i < 3; i++) {
    float *input = images(t, batch, same[i]);
    float **want = wanted(t, input, batch);
    size_t n = net_size(&t->blobs[1]) * (size_t)batch;
    float *got = net_alloc(n, sizeof(*got));
    for (int j = 0; nn_int_kernels(j); j++) {
      model->form = nn_int_kernels(j);
      assert_int_equal(nn_whole_ready(model, &model->layers[0], &err), NN_OK);
      if (nn_words_of(model->form)) {
        int made = model->layers[0].whole.words != NULL;
        assert_int_equal(made, model->blobs[1].h * model->blobs[1].w >= 16);
      }
      for (int threads = 1; threads <= 5; threads += 2) {
        assert_int_equal(
            nn_run_team(&nn_memory_libc, model, NN_FAST, threads, input,
                        batch, (int[]){1}, 1, &got, &err), NN_OK);
        same_floats(t, 1, model->form->name, got, want[1], n);
      }
    }
    free(got);
    free_all(want);
    free(input);
  }
  nn_model_close(model);
  free(file);
}

/* Filters that whole.c cuts into pieces, of channels and outputs that fill
** vectors and blocks or do not; and extreme weights on extreme images, whose
** sums wrap around on the way. */
static void test_cut_filters(void **state) {
  static const int filters[][2] = {{3, 3}, {5, 5}, {3, 5}, {6, 3}, {7, 7},
                                   {5, 3}, {4, 3}, {8, 8}};
  (void)state;
  for (int i = 0; i < 16; i++) {
    net t;
    int groups = 1 + i % 2, inputs = 16 + i * 7 % 17;
    net_open(&t, (uint64_t)i + 900, groups * inputs, 8 + i % 5, 8 + i % 3);
    t.filter[0] = filters[i % 8][0];
    t.filter[1] = filters[i % 8][1];
    t.groups = groups;
    t.each = 16 + i * 5 % 20;
    t.extreme = i % 4;
    net_add(&t, NN_CONVOLUTION, 1, (int[]){0}, i % 3 == 2);
    check_cut(&t, 1 + i * 5 % 11);
    net_close(&t);
  }
}

/* Strides, which whole.c takes apart: of pixels and of more channels, in groups
** and not, with planes that end within a cell. */
static void test_cut_strides(void **state) {
  static const int cases[][5] = {   /* kernel, strides, channels of a group */
      {11, 11, 4, 4, 3}, {9, 9, 3, 3, 2},  {6, 6, 2, 2, 5}, {12, 11, 4, 4, 1},
      {11, 3, 4, 1, 4},  {3, 6, 1, 2, 11}, {8, 9, 3, 3, 4}, {6, 5, 2, 2, 9}};
  (void)state;
  for (int i = 0; i < 16; i++) {
    const int *c = cases[i % 8];
    net t;
    int groups = 1 + i / 8;
    net_open(&t, (uint64_t)i + 950, groups * c[4], 6 * c[2] + 7 + i % 4,
             6 * c[3] + 6 + i % 5);
    for (int j = 0; j < 2; j++) {
      t.filter[j] = c[j];
      t.strides[j] = c[2 + j];
    }
    t.groups = groups;
    t.each = 16 + i * 5 % 20;
    t.extreme = i % 4;
    net_add(&t, NN_CONVOLUTION, 1, (int[]){0}, i % 3 == 2);
    check_cut(&t, 1 + i * 5 % 7);
    net_close(&t);
  }
}

/* Around as many channels as go at once, and as may be around one. */
static void test_lrn(void **state) {
  static const int channels[] = {1, 8, 17, 255, 256, 257, 300};
  static const int local[] = {1, 3, 5, 15, 17, 19, 701};
  (void)state;
  for (int i = 0; i < 49; i++) {
    net t;
    net_open(&t, (uint64_t)i + 1300, 3, 2, 3);
    t.outputs = channels[i % 7];
    t.local = local[i / 7];
    net_add(&t, NN_CONVOLUTION, 1, (int[]){0}, 0);
    net_add(&t, NN_LRN, 1, (int[]){1}, 0);
    check_net(&t, 1);
    net_close(&t);
  }
}

/* Filters of one tap and one channel, of bytes of either kind. */
static void test_scales(void **state) {
  (void)state;
  for (int i = 0; i < 40; i++) {
    net t;
    int channels = 1 + i % 19;
    net_open(&t, (uint64_t)i + 1200, channels, 1 + i % 6, 7);
    t.filter[0] = t.filter[1] = t.unpadded = 1;
    t.groups = channels;
    t.each = 1;
    t.extreme = i % 4;
    net_add(&t, NN_CONVOLUTION, 1, (int[]){0}, 0);
    net_add(&t, NN_CONVOLUTION, 1, (int[]){1}, i % 5 == 4);
    check_net(&t, 1 + i % 3);
    uint8_t *file;
    nn_model *model = open_net(&t, &file);
    assert_non_null(model->layers[0].whole.alone);
    assert_int_equal(model->layers[1].whole.alone != NULL, i % 5 != 4);
    nn_model_close(model);
    free(file);
    net_close(&t);
  }
}

/* Deep filters, over the depth that floats add exactly, and wide ones. */
static void test_large(void **state) {
  (void)state;
  for (int i = 0; i < 4; i++) {
    net t;
    net_open(&t, 50 + (uint64_t)i, 60, 12, 11);
    t.extreme = i;
    net_add(&t, NN_CONVOLUTION, 1, (int[]){0}, 0);
    net_add(&t, NN_INNER_PRODUCT, 1, (int[]){0}, 1);
    net_add(&t, NN_LRN, 1, (int[]){0}, 0);
    net_add(&t, NN_INNER_PRODUCT, 1, (int[]){3}, 0);
    net_add(&t, NN_CONCAT, 3, (int[]){0, 3, 0}, 0);
    net_add(&t, NN_POOLING, 1, (int[]){5}, 0);
    net_add(&t, NN_CONCAT, 3, (int[]){5, 5, 5}, 0);
    net_add(&t, NN_ELTWISE, 2, (int[]){7, 7}, 0);
    check_net(&t, 2);
    net_close(&t);
  }
}

/* Graphs ------------------------------------------------------------------ */

/* Up to `want` blobs behind the MirrorMean that go with blob `first`. */
static int companions(net *t, nn_type type, int low, int *bottom, int want) {
  int n = 1;
  const net_blob *a = &t->blobs[bottom[0]];
  for (int tries = 0; tries < 20 && n < want; tries++) {
    int i = builder_pick(&t->b, low, t->count);
    const net_blob *b = &t->blobs[i];
    if (b->sums || b->h != a->h || b->w != a->w) continue;
    if (type == NN_ELTWISE && b->c != a->c) continue;
    bottom[n++] = i;
  }
  while (type == NN_ELTWISE && n < 2) bottom[n++] = bottom[0];
  return n;
}

/* Broadcasting: each operation of a blob and a Constant with some sides of it,
** of a blob and the mean of its planes, and of two that stand for each other. */
static void test_broadcasting(void **state) {
  (void)state;
  for (int i = 0; i < 200; i++) {
    net t;
    builder b = {.random = (uint64_t)i * 31 + 9};
    int c = builder_pick(&b, 1, i % 5 ? 20 : 60), h = builder_pick(&b, 1, 6);
    net_open(&t, 900 + (uint64_t)i, c, h, builder_pick(&b, 1, 6));
    int wide = net_add(&t, NN_LRN, 1, (int[]){0}, 0);
    if (i % 5 == 0 && i % 3) {   /* over what is worked on at a time */
      wide = net_add(&t, NN_CONCAT, 4, (int[]){wide, wide, wide, wide}, 0);
      wide = net_add(&t, NN_CONCAT, 2, (int[]){wide, wide}, 0);
    }
    int other = net_add(&t, NN_CONSTANT, 1, &wide, 0);
    int third = net_add(&t, NN_CONSTANT, 1, &wide, 0);
    int more[3] = {i % 3 ? wide : 0, other, third};
    if (i % 4 == 1) more[0] = third;
    net_add(&t, NN_ELTWISE, 2, more, 0);
    net_add(&t, NN_ELTWISE, 2, (int[]){other, wide}, 0);
    int last = net_add(&t, NN_ELTWISE, 3, more, 0);
    last = net_add(&t, NN_RELU, 1, &last, 0);
    net_add(&t, NN_ELTWISE, 2, (int[]){last, last}, 0);
    check_net(&t, 1 + i % 2);
    net_close(&t);
  }
}

static void add_random(net *t) {
  static const nn_type types[] = {
      NN_CONVOLUTION, NN_CONVOLUTION, NN_CONVOLUTION, NN_POOLING, NN_RELU,
      NN_RELU, NN_ELTWISE, NN_ELTWISE, NN_CONCAT, NN_SIGMOID, NN_LRN,
      NN_LOOKUP, NN_PADDING, NN_SLICE, NN_SHUFFLE_CHANNEL, NN_PERMUTE,
      NN_RESHAPE, NN_FLATTEN, NN_INNER_PRODUCT, NN_INNER_PRODUCT,
      NN_MIRROR_MEAN};
  int low = t->mirror + 1, n = 1;
  int from = builder_pick(&t->b, 0, 3) ? t->count
                                       : builder_pick(&t->b, low, t->count);
  nn_type type = types[builder_pick(&t->b, 0, t->count < 5 ? 14 : 20)];
  if (from < low) from = low;
  const net_blob *in = &t->blobs[from];
  int bottom[4] = {from};
  if (in->sums) {
    type = builder_pick(&t->b, 0, 1) ? NN_SIGMOID : NN_SOFTMAX;
    for (int c = 1; c < in->c; c++) {
      if (in->scale[c] != in->scale[0]) type = NN_SIGMOID;
    }
  } else if (type == NN_MIRROR_MEAN && t->mirror >= 0) {
    type = NN_INNER_PRODUCT;   /* more of them: add_mirrors */
  } else if (net_size(in) > 3000) {
    type = NN_INNER_PRODUCT;
  }
  if (type == NN_ELTWISE || type == NN_CONCAT) {
    n = companions(t, type, low, bottom, builder_pick(&t->b, 2, 4));
  }
  net_add(t, type, n, bottom,
          builder_pick(&t->b, 0, 4) ? 0 : builder_pick(&t->b, 1, 2));
}

/* Beside a MirrorMean that was added last, some of other blobs before it. */
static int add_mirrors(net *t) {
  if (t->mirrors != 1 || t->mirror != t->count - 1) return 0;
  for (int i = builder_pick(&t->b, 0, 3); i > 0 && t->count < NET_MAX; i--) {
    int from = builder_pick(&t->b, 0, t->mirror);
    if (!t->blobs[from].sums) net_add(t, NN_MIRROR_MEAN, 1, &from, 0);
  }
  return t->mirrors > 1;
}

static void test_graphs(void **state) {
  int in_place = 0, mirrors = 0, early = 0, several = 0;
  (void)state;
  for (int i = 0; i < 150; i++) {
    net t;
    uint8_t *file;
    net_open(&t, 2000 + (uint64_t)i, 1 + i % 9, 3 + i % 6, 3 + i % 7);
    while (t.count < 2 + i % (NET_MAX - 1)) {
      add_random(&t);
      several += add_mirrors(&t);
    }
    nn_model *model = open_net(&t, &file);
    for (int j = 0; j < t.count; j++) {
      in_place += model->layers[j].in_place >= 0;
    }
    mirrors += t.mirror >= 0;
    early += t.mirror >= 0 && model->first_batched < t.mirror;
    nn_model_close(model);
    free(file);
    check_net(&t, 1 + i % 3);
    net_close(&t);
  }
  /* the graphs do contain what they are to test */
  assert_true(in_place > 100);
  assert_true(mirrors > 20);
  assert_true(several > 10);
  assert_true(early > 5);
}

/* A MirrorMean against the two pictures run by hand; 1 if they differ. */
static int check_mirror_mean(uint64_t seed) {
  net t;
  uint8_t *file;
  nn_error err;
  net_open(&t, seed, 3, 8, 7);
  net_add(&t, NN_CONVOLUTION, 1, (int[]){0}, 0);
  net_add(&t, NN_INNER_PRODUCT, 1, (int[]){1}, 0);
  net_add(&t, NN_MIRROR_MEAN, 1, (int[]){2}, 0);
  nn_model *model = open_net(&t, &file);
  float *x = images(&t, 1, -1), *mirror = images(&t, 1, 0);
  for (int i = 0; i < 3 * 8 * 7; i++) mirror[i] = x[i / 7 * 7 + 6 - i % 7];
  float a[64], b[64], mean[64];
  const nn_blob *top = &model->blobs[3];
  nn_run(&nn_memory_libc, model, NN_FAST, x, 1, 2, a, &err);
  nn_run(&nn_memory_libc, model, NN_FAST, mirror, 1, 2, b, &err);
  nn_run(&nn_memory_libc, model, NN_FAST, x, 1, 3, mean, &err);
  int differ = memcmp(a, b, top->size * sizeof(float)) != 0;
  for (size_t i = 0; i < top->size; i++) {
    float z = (float)top->quant.zero[0], s = top->quant.scale;
    int p = (int)(a[i] / s + z), q = (int)(b[i] / s + z);
    assert_true(mean[i] == (float)((p + q + 1) / 2 - (int)z) * s);
  }
  free(x);
  free(mirror);
  nn_model_close(model);
  free(file);
  net_close(&t);
  return differ;
}

/* Of a small random network one picture and its mirror image may come to the
** same few saturated bytes, and which network a seed gives is the compiler's
** choice; of many networks most must tell them apart. */
static void test_mirror_mean(void **state) {
  int differ = 0;
  (void)state;
  for (uint64_t seed = 1; seed <= 40; seed++)
    differ += check_mirror_mean(seed);
  assert_true(differ > 10);
}

/* Worth of the checks ----------------------------------------------------- */

/* One bit of one packed weight, constant, table or multiplier is seen. */
static void test_checks_can_fail(void **state) {
  net t;
  uint8_t *file;
  nn_error err;
  float got[64];
  (void)state;
  net_open(&t, 4, 5, 4, 4);
  net_add(&t, NN_INNER_PRODUCT, 1, (int[]){0}, 1);
  nn_model *model = open_net(&t, &file);
  float *input = images(&t, 1, 255);
  float **want = wanted(&t, input, 1);
  nn_whole *w = &model->layers[0].whole;
  size_t n = net_size(&t.blobs[1]);
  for (int i = 0; i < 3; i++) {
    int8_t *byte = i == 1   ? w->packed + 4 * 2 + 1
                   : i == 2 ? (int8_t *)w->folded
                            : NULL;
    if (byte) *byte ^= 1;
    nn_run(&nn_memory_libc, model, NN_FAST, input, 1, 1, got, &err);
    assert_int_equal(memcmp(got, want[1], n * sizeof(float)) == 0, i == 0);
    nn_run(&nn_memory_libc, model, NN_REFERENCE, input, 1, 1, got, &err);
    assert_memory_equal(got, want[1], n * sizeof(float));
    if (byte) *byte ^= 1;
  }
  free_all(want);
  free(input);
  nn_model_close(model);
  free(file);
  net_close(&t);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_fast_needs_no_blas),
      cmocka_unit_test(test_layers),
      cmocka_unit_test(test_saturating),
      cmocka_unit_test(test_cut_filters),
      cmocka_unit_test(test_cut_strides),
      cmocka_unit_test(test_lrn),
      cmocka_unit_test(test_scales),
      cmocka_unit_test(test_large),
      cmocka_unit_test(test_broadcasting),
      cmocka_unit_test(test_graphs),
      cmocka_unit_test(test_mirror_mean),
      cmocka_unit_test(test_checks_can_fail),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

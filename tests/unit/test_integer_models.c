/*
** Integer networks in their surroundings: a host that rounds otherwise or knows
** no denormals, tensors at any alignment, heads and pixels, a batch in pieces,
** and every allocation failing once.
*/
#include <fenv.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

#include "integer_test.h"
#include "model_test.h"

/* A small network ---------------------------------------------------------- */

/* Everything that a shipped network has, with a head whose latent is `latent`;
** the sums of l8 have scales up to 2^9 and down to 2^-60. */
static void add_small(net *t, const char *latent) {
  net_open(t, 12, 3, 9, 8);
  net_add(t, NN_CONVOLUTION, 1, (int[]){0}, 0);
  net_add(t, NN_RELU, 1, (int[]){1}, 0);
  net_add(t, NN_ELTWISE, 2, (int[]){1, 2}, 0);
  net_add(t, NN_LRN, 1, (int[]){3}, 0);
  net_add(t, NN_POOLING, 1, (int[]){4}, 0);
  net_add(t, NN_MIRROR_MEAN, 1, (int[]){5}, 0);
  net_add(t, NN_FLATTEN, 1, (int[]){6}, 0);
  net_add(t, NN_INNER_PRODUCT, 1, (int[]){7}, 1);
  net_add(t, NN_SIGMOID, 1, (int[]){8}, 0);
  net_add(t, NN_INNER_PRODUCT, 1, (int[]){9}, 2);
  net_add(t, NN_SOFTMAX, 1, (int[]){10}, 0);
  builder_member(&t->b, "\"heads\":[{\"name\":\"h\",\"latent\":\"%s\","
                 "\"classifier\":\"l11\"}]", latent);
}

static float *small_pixels(net *t, int batch) {
  size_t n = net_size(&t->blobs[0]) * (size_t)batch;
  float *x = net_alloc(n, sizeof(*x));
  for (size_t i = 0; i < n; i++) x[i] = (float)builder_pick(&t->b, 0, 255);
  return x;
}

/* Every blob and the code, into one hash. */
static uint64_t small_hash(const net *t, const uint8_t *file, size_t n,
                           nn_engine engine, const float *input) {
  uint64_t hash = 0xcbf29ce484222325u;
  nn_model *model = opened(file, n);
  const nn_head *head = nn_model_head(model, 0);
  nn_error err;
  for (int b = 0; b <= t->count; b++) {
    size_t size = net_size(&t->blobs[b]);
    float *out = net_alloc(size, sizeof(*out));
    assert_int_equal(nn_run(&nn_memory_libc, model, engine, input, 1, b, out,
                            &err), NN_OK);
    uint8_t code[128];
    if (b == head->latent) {
      nn_code_from_logits(out, head->bits, code);
      for (int i = 0; i < head->bits; i++) {
        int one = t->blobs[b].q[i] > t->blobs[b].zero[i];
        assert_int_equal(code[i / 8] >> (7 - i % 8) & 1, one);
      }
    }
    for (size_t i = 0; i < size * sizeof(float); i++) {
      hash = (hash ^ ((uint8_t *)out)[i]) * 0x100000001b3u;
    }
    free(out);
  }
  nn_model_close(model);
  return hash;
}

/* Opened and run under every rounding, with and without denormals. */
static void test_host_arithmetic(void **state) {
  static const int modes[] = {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD,
                              FE_TOWARDZERO};
  net t;
  size_t n;
  (void)state;
  add_small(&t, "l9");
  uint8_t *file = builder_finish(&t.b, &n);
  float *input = small_pixels(&t, 1);
  net_run(&t, input);
  uint64_t want = small_hash(&t, file, n, NN_REFERENCE, input);
  for (int i = 0; i < 8; i++) {
#if defined(__SSE2__)
    if (i & 4) _mm_setcsr(_mm_getcsr() | 0x8040);   /* FTZ and DAZ */
#endif
    fesetround(modes[i % 4]);
    for (int e = NN_FAST; e <= NN_BLAS; e++) {
      assert_true(small_hash(&t, file, n, (nn_engine)e, input) == want);
      assert_int_equal(fegetround(), modes[i % 4]);
    }
#if defined(__SSE2__)
    _mm_setcsr(_mm_getcsr() & ~0x8040u);
#endif
    fesetround(FE_TONEAREST);
  }
  free(input);
  free(file);
  net_close(&t);
}

/* Sums that lie between two floats, and half way. */
static void test_rounding_of_sums(void **state) {
  static const int32_t sums[] = {
      0, 1, -1, 16777216, 16777217, 16777218, 16777219, -16777217, -16777219,
      33554431, 33554434, 33554438, 2147400000, 2147400064, 2147400192,
      -2147400192, 2147418112 - 1};
  static const float scales[] = {1, 0x1p-60f, 0x1p60f, 0x1.fffep-3f,
                                 0x1.0002p7f};
  (void)state;
  for (size_t i = 0; i < sizeof(sums) / sizeof(*sums); i++) {
    for (size_t j = 0; j < sizeof(scales) / sizeof(*scales); j++) {
      nn_blob blob = {.c = 1, .h = 1, .w = 1, .size = 1, .slots = 1};
      blob.quant.sums = 1;
      blob.quant.scales = &scales[j];
      float got = 7, want = (float)((double)sums[i] * (double)scales[j]);
      nn_int_values(&blob, 1, &sums[i], &got);
      if (memcmp(&got, &want, sizeof(got))) {
        fail_msg("%d * %a is %a, not %a", sums[i], (double)scales[j],
                 (double)got, (double)want);
      }
    }
  }
}

/* The latent layer may be sums, bytes, or a sigmoid of sums; the picture's
** pixels come through nn_prepare as they are. */
static void test_heads(void **state) {
  static const struct {
    const char *latent;
    int blob;
  } heads[] = {{"l8", 8}, {"l9", 8}, {"l5", 5}, {"l7", 7}};
  (void)state;
  for (int i = 0; i < 4; i++) {
    net t;
    size_t n;
    nn_error err;
    uint8_t rgb[9 * 8 * 3], code[128], want[128] = {0};
    float input[9 * 8 * 3];
    add_small(&t, heads[i].latent);
    uint8_t *file = builder_finish(&t.b, &n);
    nn_model *model = opened(file, n);
    const nn_head *head = nn_model_head(model, 0);
    const net_blob *latent = &t.blobs[heads[i].blob];
    nn_picture picture;
    assert_int_equal(head->latent, heads[i].blob);
    assert_int_equal(head->bits, net_size(latent));
    for (size_t j = 0; j < sizeof(rgb); j++) {
      rgb[j] = (uint8_t)builder_random(&t.b);
    }
    nn_picture_borrow(rgb, 8, 9, &picture);
    nn_prepare(&nn_memory_libc, model, &picture, input, &err);
    for (int c = 0, j = 0; c < 3; c++) {
      for (int p = 0; p < 72; p++) assert_true(input[j++] == rgb[3 * p + c]);
    }
    net_run(&t, input);
    for (int j = 0; j < head->bits; j++) {
      int bit = latent->q[j] > latent->zero[j / (latent->h * latent->w)];
      want[j / 8] |= (uint8_t)(bit << (7 - j % 8));
    }
    assert_int_equal(nn_hash(&nn_memory_libc, model, head, &picture, code,
                             &err), NN_OK);
    assert_memory_equal(code, want, (size_t)(head->bits + 7) / 8);
    nn_model_close(model);
    free(file);
    net_close(&t);
  }
}

/* What is no pixel becomes one. */
static void test_odd_pixels(void **state) {
  builder b;
  size_t n;
  nn_error err;
  float x[6] = {-5, NAN, 300, 7.75f, INFINITY, 255}, out[6];
  const float want[6] = {-1, -1, 254, 6, 254, 254};
  (void)state;
  builder_open_integer(&b, 1, 1, 1, 6, "[1]");
  builder_layer(&b, "\"name\":\"x\",\"type\":\"Flatten\","
                "\"bottom\":[\"data\"]");
  uint8_t *file = builder_finish(&b, &n);
  nn_model *model = opened(file, n);
  for (int e = NN_FAST; e <= NN_BLAS; e++) {
    for (int blob = 0; blob < 2; blob++) {
      nn_run(&nn_memory_libc, model, (nn_engine)e, x, 1, blob, out, &err);
      assert_memory_equal(out, want, sizeof(want));
    }
  }
  nn_model_close(model);
  free(file);
  builder_close(&b);
}

/* Tensors at every alignment, in a copy that ends where the file ends. */
static void test_alignment(void **state) {
  net t;
  size_t n;
  (void)state;
  add_small(&t, "l8");
  uint8_t *file = builder_finish(&t.b, &n);
  float *input = small_pixels(&t, 1);
  net_run(&t, input);
  uint64_t want = small_hash(&t, file, n, NN_REFERENCE, input);
  for (size_t shift = 0; shift < 5; shift++) {
    uint8_t *moved = malloc(n + shift);
    memcpy(moved + shift, file, n);
    for (int e = NN_FAST; e <= NN_BLAS; e++) {
      assert_true(small_hash(&t, moved + shift, n, (nn_engine)e, input) ==
                  want);
    }
    free(moved);
  }
  free(input);
  free(file);
  net_close(&t);
}

/* A network whose layers are large enough for several tasks each, by positions
** and by blocks of channels. */
static void add_wide(net *t, int seed) {
  net_open(t, (uint64_t)seed + 300, 3, 11 + seed % 7, 13);
  net_add(t, NN_CONVOLUTION, 1, (int[]){0}, 0);
  net_add(t, NN_CONVOLUTION, 1, (int[]){1}, 0);
  net_add(t, NN_FLATTEN, 1, (int[]){2}, 0);
  net_add(t, NN_INNER_PRODUCT, 1, (int[]){3}, 1);
}

static void test_threads(void **state) {
  (void)state;
  for (int i = 0; i < 40; i++) {
    net t;
    size_t n;
    nn_error err;
    nn_model *model = NULL;
    add_wide(&t, i);
    uint8_t *file = builder_finish(&t.b, &n);
    assert_int_equal(nn_model_open(&nn_memory_libc, file, n, &model, &err),
                     NN_OK);
    int blob = nn_model_last_blob(model), batch = 1 + i % 3;
    size_t in = model->blobs[0].size * (size_t)batch;
    size_t size = model->blobs[blob].size * (size_t)batch;
    float *input = malloc(in * sizeof(float)), *out[2];
    for (size_t j = 0; j < in; j++) {
      input[j] = (float)builder_pick(&t.b, 0, 255);
    }
    for (int k = 0; k < 2; k++) out[k] = malloc(size * sizeof(float));
    assert_int_equal(nn_run(&nn_memory_libc, model, NN_REFERENCE, input, batch,
                            blob, out[0], &err), NN_OK);
    for (int threads = 1; threads <= 5; threads += 2) {
      memset(out[1], 0, size * sizeof(float));
      assert_int_equal(nn_run_team(&nn_memory_libc, model, NN_FAST, threads,
                                   input, batch, &blob, 1, &out[1], &err),
                       NN_OK);
      assert_memory_equal(out[0], out[1], size * sizeof(float));
    }
    free(out[0]);
    free(out[1]);
    free(input);
    nn_model_close(model);
    free(file);
    net_close(&t);
  }
}

static void test_arguments(void **state) {
  net t;
  size_t n;
  nn_error err;
  float *out[65] = {NULL};
  int blobs[65] = {0};
  (void)state;
  add_small(&t, "l8");
  uint8_t *file = builder_finish(&t.b, &n);
  nn_model *model = opened(file, n);
  float *input = small_pixels(&t, 1);
  for (int count = 0; count <= 65; count += 65) {
    assert_int_equal(nn_run_blobs(&nn_memory_libc, model, NN_FAST, input, 1,
                                  blobs, count, out, &err), NN_ARGUMENT);
    assert_non_null(strstr(err.text, "blobs at once, not 1 to 64"));
  }
  blobs[0] = 99;
  assert_int_equal(nn_run_blobs(&nn_memory_libc, model, NN_FAST, input, 1,
                                blobs, 1, out, &err), NN_ARGUMENT);
  free(input);
  nn_model_close(model);
  free(file);
  net_close(&t);
}

/* A batch that one allocation does not hold: a wide layer that nobody asks for
** makes the plan large. */
static void test_batch_in_pieces(void **state) {
  enum { WIDE = 1 << 20, BATCH = 1100 };
  builder b;
  size_t n;
  nn_error err;
  int shape[2] = {WIDE, 1}, narrow[2] = {3, 1};
  int8_t *w = net_alloc(WIDE, 1);
  int32_t *m = net_alloc(WIDE, 4);
  const float scales[3] = {1, 1, 1};
  (void)state;
  for (int i = 0; i < WIDE; i++) m[i] = 1, w[i] = (int8_t)i;
  builder_open_integer(&b, 1, 1, 1, 1, "[3]");
  builder_i8(&b, "w", 2, shape, w);
  builder_i32(&b, "m", WIDE, m);
  builder_i8(&b, "n", 2, narrow, w + 5);
  builder_vector(&b, "v", 3, scales);
  builder_layer(&b, "\"name\":\"wide\",\"type\":\"InnerProduct\",\"bottom\":"
                "[\"data\"],\"num_output\":%d,\"weight\":\"w\",\"multiplier\":"
                "\"m\",\"shift\":\"m\",\"scale\":1", WIDE);
  builder_layer(&b, "\"name\":\"out\",\"type\":\"InnerProduct\",\"bottom\":"
                "[\"data\"],\"num_output\":3,\"weight\":\"n\",\"scales\":"
                "\"v\"");
  uint8_t *file = builder_finish(&b, &n);
  nn_model *model = opened(file, n);
  float *x = net_alloc(BATCH, sizeof(*x));
  float *y = net_alloc(3 * BATCH, sizeof(*y)), *z = net_alloc(BATCH, 4);
  float *const out[2] = {y, z};
  for (int i = 0; i < BATCH; i++) x[i] = (float)(i % 256);
  assert_true(model->batch_arena * 4 * BATCH > NN_ALLOC_MAX);
  assert_int_equal(nn_run_blobs(&nn_memory_libc, model, NN_FAST, x, BATCH,
                                (const int[]){2, 0}, 2, out, &err), NN_OK);
  for (int i = 0; i < BATCH; i++) {
    for (int o = 0; o < 3; o++) {
      assert_true(y[3 * i + o] == (x[i] - 3) * (float)(5 + o));
    }
    assert_true(z[i] == x[i] - 3);
  }
  nn_model_close(model);
  free(file);
  builder_close(&b);
  free(x);
  free(y);
  free(z);
  free(w);
  free(m);
}

/* Allocation number `fail` gives NULL; `live` counts what is not released. */
typedef struct faults {
  int count, fail, live;
} faults;

static void *faults_alloc(void *context, size_t n) {
  faults *f = context;
  if (f->count++ == f->fail) return NULL;
  f->live++;
  return malloc(n);
}

static void faults_release(void *context, void *p) {
  faults *f = context;
  if (p) f->live--;
  free(p);
}

static void test_every_allocation_fails(void **state) {
  net t;
  size_t n;
  (void)state;
  add_small(&t, "l8");
  uint8_t *file = builder_finish(&t.b, &n), *moved = malloc(n + 1);
  float *input = small_pixels(&t, 1);
  float out[1024];
  memcpy(moved + 1, file, n);   /* so that tensors are copied */
  assert_true(net_size(&t.blobs[t.count]) <= 1024);
  for (int fail = 0;; fail++) {
    faults f = {0, fail, 0};
    nn_memory mem = {faults_alloc, faults_release, &f};
    nn_model *model;
    nn_error err;
    nn_status status = nn_model_open(&mem, moved + 1, n, &model, &err);
    for (int e = NN_FAST; e <= NN_BLAS && !status; e++) {
      status = nn_run(&mem, model, (nn_engine)e, input, 1, t.count, out, &err);
    }
    nn_model_close(model);
    assert_int_equal(f.live, 0);
    if (f.count <= fail) {
      assert_int_equal(status, NN_OK);
      assert_true(fail > 40);
      break;
    }
    assert_int_equal(status, NN_NOMEM);
    assert_string_equal(err.text, "out of memory");
  }
  free(input);
  free(moved);
  free(file);
  net_close(&t);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_host_arithmetic),
      cmocka_unit_test(test_rounding_of_sums),
      cmocka_unit_test(test_heads),
      cmocka_unit_test(test_odd_pixels),
      cmocka_unit_test(test_alignment),
      cmocka_unit_test(test_threads),
      cmocka_unit_test(test_arguments),
      cmocka_unit_test(test_batch_in_pieces),
      cmocka_unit_test(test_every_allocation_fails),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
** Weights of 16 bits: every one of the 65536 by every form, sums of them bit
** for bit those of the floats that they are, and whole networks whose files
** differ in nothing but that.
*/
#include <math.h>
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

/* IEEE 754's definition, by which NaN is any. */
static double defined(unsigned half) {
  double sign = half & 0x8000 ? -1 : 1;
  int exponent = (int)(half >> 10 & 31);
  double fraction = half & 0x3ff;
  if (exponent == 31) return fraction > 0 ? (double)NAN : sign * HUGE_VAL;
  if (exponent == 0) return sign * ldexp(fraction, -24);
  return sign * ldexp(1024 + fraction, exponent - 25);
}

static void check_value(const char *name, unsigned half, float got) {
  double want = defined(half);
  if (isnan(want) ? isnan(got)
                  : (double)got == want && !signbit(got) == !signbit(want)) {
    return;
  }
  fail_msg("%s: %04x is %g, not %g", name, half, (double)got, want);
}

/* The half forms that any form of floats.c may meet, the scalar one included. */
static const nn_half_form *form_at(int i, const nn_float_form **with) {
  *with = nn_float_kernels(i / 2);
  return *with ? nn_half_kernels_for(i % 2 ? nn_cpu_features() : 0, *with)
               : NULL;
}

static void test_every_half(void **state) {
  enum { ALL = 1 << 16 };
  static uint16_t halves[ALL];
  static float floats[ALL + 1];
  const nn_float_form *with;
  const nn_half_form *form;
  (void)state;
  for (unsigned h = 0; h < ALL; h++) {
    halves[h] = (uint16_t)h;
    check_value("value", h, nn_half_value((uint16_t)h));
  }
  for (int i = 0; (form = form_at(i, &with)) != NULL; i++) {
    floats[ALL] = 77;
    form->widen(ALL, halves, floats);
    for (unsigned h = 0; h < ALL; h++) check_value(form->name, h, floats[h]);
    assert_true(floats[ALL] == 77);
    for (size_t n = 0; n < 50; n++) {   /* of any alignment */
      for (size_t j = 0; j < 60; j++) floats[j] = 77;
      form->widen(n, halves + 0x3bf1 + n, floats + n % 3);
      for (size_t j = 0; j < n; j++) {
        check_value(form->name, (unsigned)(0x3bf1 + n + j), floats[n % 3 + j]);
      }
      assert_true(floats[n % 3 + n] == 77);
    }
  }
}

/* Some of each size, of both signs, those below the normal ones too. */
static uint16_t some_half(builder *b) {
  int exponent = builder_pick(b, 0, 4) ? builder_pick(b, 10, 16)
                                       : builder_pick(b, 0, 20);
  return (uint16_t)((unsigned)builder_pick(b, 0, 1) << 15 |
                    (unsigned)exponent << 10 | (builder_random(b) & 0x3ff));
}

static void check_dot(builder *b, const nn_half_form *form,
                      const nn_float_form *with, int rows, size_t k) {
  size_t apart = k + 5, n = (size_t)(rows * with->lanes);
  uint16_t *w = malloc((size_t)rows * apart * sizeof(*w));
  float *wide = malloc((size_t)rows * apart * sizeof(*wide));
  float *x = malloc(k * sizeof(*x) + 1);
  float got[NN_DOT_ROWS * NN_FLOAT_LANES], want[NN_DOT_ROWS * NN_FLOAT_LANES];
  assert_true(w && wide && x);
  for (size_t i = 0; i < (size_t)rows * apart; i++) {
    w[i] = some_half(b);
    wide[i] = nn_half_value(w[i]);
  }
  for (size_t i = 0; i < k; i++) x[i] = builder_float(b);
  for (size_t i = 0; i < n; i++) got[i] = want[i] = builder_float(b);
  form->dot(rows, k, w, apart, x, got);
  with->dot(rows, 1, k, wide, apart, x, 0, want);
  if (memcmp(got, want, n * sizeof(*got)) != 0) {
    fail_msg("%s: %d rows of %zu", form->name, rows, k);
  }
  free(w);
  free(wide);
  free(x);
}

static void test_dots(void **state) {
  const nn_float_form *with;
  const nn_half_form *form;
  builder b = {.random = 99};
  (void)state;
  for (int i = 0; (form = form_at(i, &with)) != NULL; i++) {
    if (!form->dot) continue;
    assert_true(with->dot_rows <= 8);
    for (int rows = 1; rows <= with->dot_rows; rows++) {
      for (size_t k = 1; k < 50; k++) check_dot(&b, form, with, rows, k);
      check_dot(&b, form, with, rows, 1003);
    }
    print_message("%s with %s\n", form->name, with->name);
  }
}

/* Networks ---------------------------------------------------------------- */

/* A tensor of random halves, as such or as the floats that they are. */
static void add_weights(builder *b, const char *name, int rank,
                        const int *sides, int halves) {
  size_t n = builder_entry(b, name, halves ? "F16" : "F32", halves ? 2 : 4,
                           rank, sides);
  for (size_t i = 0; i < n; i++) {
    uint16_t half = some_half(b);
    float x = nn_half_value(half);
    builder_bytes(&b->data, halves ? (void *)&half : (void *)&x,
                  halves ? 2 : 4);
  }
}

/* A convolution, two inner products with a norm and a ReLU between.  A byte
** that nobody names first puts halves where they cannot be used. */
static void build(builder *b, uint64_t seed, int halves, int odd) {
  builder_open(b, seed, 3, 7, 9);
  int wide = builder_pick(b, 1, 150), conv[4] = {12, 3, 3, 3};
  int first[2] = {wide, 12 * 7 * 9}, second[2] = {10, wide};
  if (odd) builder_u8(b, "odd", 1, (const uint8_t *)"x");
  add_weights(b, "c.w", 4, conv, halves);
  add_weights(b, "a.w", 2, first, halves);
  add_weights(b, "a.b", 1, first, halves);
  add_weights(b, "z.w", 2, second, halves);
  add_weights(b, "n.m", 1, first, halves);
  builder_layer(b, "\"name\":\"c\",\"type\":\"Convolution\",\"bottom\":"
                "[\"data\"],\"num_output\":12,\"kernel_size\":[3,3],"
                "\"pad\":[1,1,1,1],\"weight\":\"c.w\"");
  builder_layer(b, "\"name\":\"a\",\"type\":\"InnerProduct\",\"bottom\":"
                "[\"c\"],\"num_output\":%d,\"weight\":\"a.w\","
                "\"bias\":\"a.b\"", wide);
  builder_layer(b, "\"name\":\"s\",\"type\":\"Scale\",\"bottom\":[\"a\"],"
                "\"weight\":\"n.m\"");
  builder_layer(b, "\"name\":\"r\",\"type\":\"ReLU\",\"bottom\":[\"s\"]");
  builder_layer(b, "\"name\":\"z\",\"type\":\"InnerProduct\",\"bottom\":"
                "[\"r\"],\"num_output\":10,\"weight\":\"z.w\"");
}

static float *last_blob(nn_model *model, nn_engine engine, int threads,
                        const float *input, int batch) {
  nn_error err;
  int blob = nn_model_last_blob(model);
  float *out = malloc((size_t)batch * 10 * sizeof(*out));
  assert_non_null(out);
  if (nn_run_team(&nn_memory_libc, model, engine, threads, input, batch, &blob,
                  1, &out, &err)) {
    fail_msg("%s", err.text);
  }
  return out;
}

static void compare(nn_model *halves, nn_model *floats, nn_engine engine,
                    const float *input, int batch, const char *how) {
  for (int threads = 1; threads <= 3; threads += 2) {
    float *got = last_blob(halves, engine, threads, input, batch);
    float *want = last_blob(floats, engine, threads, input, batch);
    if (memcmp(got, want, (size_t)batch * 10 * sizeof(*got)) != 0) {
      fail_msg("%s, batch %d, %d threads", how, batch, threads);
    }
    free(got);
    free(want);
  }
}

static void check_networks(uint64_t seed, int odd) {
  static const int batches[] = {1, 2, 3, 7, 32, 35};
  builder half, full;
  uint8_t *half_file, *full_file;
  nn_error err;
  build(&half, seed, 1, odd);
  build(&full, seed, 0, odd);
  nn_model *halves = open_model(&half, &half_file);
  nn_model *floats = open_model(&full, &full_file);
  assert_non_null(halves->layers[1].halves);
  assert_null(halves->layers[1].weight);
  assert_null(floats->layers[1].halves);
  for (int k = 0; k < 6; k++) {
    float *input = random_floats(&full, (size_t)batches[k] * 3 * 7 * 9);
    for (int i = 0; nn_float_kernels(i); i++) {
      const nn_float_form *form = nn_float_kernels(i);
      assert_int_equal(nn_floats_ready(halves, form, &err), NN_OK);
      assert_int_equal(nn_floats_ready(floats, form, &err), NN_OK);
      compare(halves, floats, NN_FAST, input, batches[k], form->name);
    }
    compare(halves, floats, NN_REFERENCE, input, batches[k], "reference");
    free(input);
  }
  nn_model_close(halves);
  nn_model_close(floats);
  free(half_file);
  free(full_file);
  builder_close(&half);
  builder_close(&full);
}

static void test_networks(void **state) {
  (void)state;
  for (uint64_t seed = 1; seed < 5; seed++) {
    check_networks(seed, 0);
    check_networks(seed, 1);
  }
}

/* Without dots of floats the convolutions take OpenBLAS and inner products of
** halves the plain form. */
static void test_old_cpu(void **state) {
  builder b;
  uint8_t *file;
  nn_error err;
  (void)state;
  if (!nn_blas_name()) skip();
  build(&b, 3, 1, 0);
  nn_model *model = open_model(&b, &file);
  float *input = random_floats(&b, 3 * 3 * 7 * 9);
  float *want = last_blob(model, NN_REFERENCE, 1, input, 3);
  assert_int_equal(nn_floats_ready(model, NULL, &err), NN_OK);
  float *got = last_blob(model, NN_FAST, 1, input, 3);
  assert_true(difference(got, want, 30) < 1e-5);
  free(got);
  free(want);
  free(input);
  nn_model_close(model);
  free(file);
  builder_close(&b);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_every_half),
      cmocka_unit_test(test_dots),
      cmocka_unit_test(test_networks),
      cmocka_unit_test(test_old_cpu),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
** Features: every kernel that this CPU can run against the definition of
** sql/README.md, written out once more here, in both forms, to the last bit; the
** packed form, its bound and its refusals; blobs that are neither.
*/
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../nn/vectors.h"
#include "test_util.h"

static test_rng rng = {0x9e3779b97f4a7c15u};

/* A blob of its exact size at an odd address, and its values as doubles. */
typedef struct sample {
  uint8_t *memory, *blob;
  size_t bytes, n;
  double *values;
  nn_features read;
} sample;

static float random_float(void) {
  switch (test_below(&rng, 12)) {
    case 0: return 0;
    case 1: return 1e-45f;
    case 2: return -3.4e38f;
    case 3: return 3.4e38f;
    default: return (float)(int64_t)test_random(&rng) / 1e18f;
  }
}

static void sample_open(sample *s, const void *blob, size_t bytes) {
  s->memory = calloc(1, bytes + 1);
  s->blob = s->memory + 1;
  s->bytes = bytes;
  if (bytes) memcpy(s->blob, blob, bytes);
  assert_int_equal(nn_features_read(s->blob, bytes, &s->read), 1);
  s->n = s->read.n;
}

/* n random values, packed or not; tame: without the extremes. */
static void sample_make(sample *s, size_t n, int packed, int tame) {
  nn_error err;
  float *x = calloc(n + 1, sizeof(*x));
  for (size_t i = 0; i < n; i++)
    x[i] = tame ? (float)test_below(&rng, 1000000) / 1e5f : random_float();
  sample_open(s, x, n * sizeof(*x));
  assert_int_equal(s->n, n);
  s->values = malloc(n * sizeof(*s->values) + 1);
  for (size_t i = 0; i < n; i++) s->values[i] = x[i];
  if (packed) {
    size_t bytes = nn_features_packed_size(n);
    uint8_t *blob = malloc(bytes);
    assert_int_equal(nn_features_pack(&s->read, blob, &err), NN_OK);
    free(s->memory);
    sample_open(s, blob, bytes);
    float step, offset;
    memcpy(&step, blob + 1, 4);
    memcpy(&offset, blob + 5, 4);
    for (size_t i = 0; i < n; i++)
      s->values[i] = offset + (double)step * blob[9 + i];
    free(blob);
  }
  free(x);
}

static void sample_free(sample *s) {
  free(s->memory);
  free(s->values);
}

static double fold(double lanes[16]) {
  for (int half = 8; half; half /= 2)
    for (int i = 0; i < half; i++) lanes[i] = lanes[i] + lanes[i + half];
  return lanes[0];
}

static double defined_euclidean(const sample *a, const sample *b) {
  double lanes[16] = {0};
  for (size_t i = 0; i < a->n; i++) {
    double d = a->values[i] - b->values[i];
    lanes[i % 16] += d * d;
  }
  return sqrt(fold(lanes));
}

static double defined_cosine(const sample *a, const sample *b) {
  double xx[16] = {0}, yy[16] = {0}, xy[16] = {0};
  for (size_t i = 0; i < a->n; i++) {
    xx[i % 16] += a->values[i] * a->values[i];
    yy[i % 16] += b->values[i] * b->values[i];
    xy[i % 16] += a->values[i] * b->values[i];
  }
  double x = fold(xx), y = fold(yy);
  return x == 0 || y == 0 ? 1 : 1 - fold(xy) / sqrt(x * y);
}

static void assert_same(double got, double expected, const char *what,
                        size_t n) {
  if (memcmp(&got, &expected, sizeof(got)) != 0 &&
      !(isnan(got) && isnan(expected)))
    fail_msg("%s of %zu values: %.17g, not %.17g", what, n, got, expected);
}

static void kernels_agree(void **state) {
  (void)state;
  const nn_features_form *form;
  for (size_t n = 0; n <= 200; n += n < 80 ? 1 : 13)
    for (int forms = 0; forms < 4; forms++)
      for (int tame = 0; tame < 2; tame++) {
        sample a, b;
        sample_make(&a, n, forms & 1, tame);
        sample_make(&b, n, forms >> 1, tame);
        double euclidean = defined_euclidean(&a, &b);
        double cosine = defined_cosine(&a, &b);
        for (int i = 0; (form = nn_features_kernels(i)) != NULL; i++) {
          assert_same(nn_features_euclidean_by(form, &a.read, &b.read),
                      euclidean, form->name, n);
          assert_same(nn_features_cosine_by(form, &a.read, &b.read), cosine,
                      form->name, n);
        }
        assert_same(nn_features_euclidean(&b.read, &a.read), euclidean,
                    "the other way round", n);
        assert_same(nn_features_cosine(&b.read, &a.read), cosine,
                    "the other way round", n);
        assert_true(nn_features_euclidean(&a.read, &a.read) == 0);
        double itself = nn_features_cosine(&a.read, &a.read);
        assert_true(itself == 0 || (itself == 1 && a.n == 0) ||
                    (itself == 1 && defined_cosine(&a, &a) == 1));
        sample_free(&a);
        sample_free(&b);
      }
}

static void kernels_are_listed(void **state) {
  (void)state;
  assert_string_equal(nn_features_kernels(0)->name, "scalar");
#ifdef __aarch64__
  assert_string_equal(nn_features_kernels(1)->name, "neon");
#endif
}

static void edges(void **state) {
  (void)state;
  const float zero[2] = {0, 0}, one[2] = {1, 0}, other[2] = {-2, 0};
  const float huge[2] = {3e38f, 3e38f}, tiny[2] = {1e-45f, 1e-45f};
  const float nan[2] = {NAN, 0}, three_four[2] = {3, 4};
  nn_features z, o, t, h, s, n, f;
  nn_features_read(zero, 8, &z);
  nn_features_read(one, 8, &o);
  nn_features_read(other, 8, &t);
  nn_features_read(huge, 8, &h);
  nn_features_read(tiny, 8, &s);
  nn_features_read(nan, 8, &n);
  nn_features_read(three_four, 8, &f);
  assert_true(nn_features_euclidean(&z, &f) == 5);
  assert_true(nn_features_cosine(&z, &o) == 1);
  assert_true(nn_features_cosine(&z, &z) == 1);
  assert_true(nn_features_cosine(&o, &t) == 2);
  assert_true(nn_features_cosine(&h, &h) == 0);
  assert_true(nn_features_cosine(&s, &s) == 0);
  assert_true(nn_features_cosine(&h, &s) < 1e-12);
  assert_true(isnan(nn_features_cosine(&n, &o)));
  assert_true(isnan(nn_features_euclidean(&n, &o)));
}

/* No value is off by more than half a step, no distance by more than the bound,
** and the step is what it must be. */
static void packing_is_bounded(void **state) {
  (void)state;
  for (int round = 0; round < 2000; round++) {
    size_t n = 1 + test_below(&rng, 70);
    sample a, b, plain_a, plain_b;
    uint64_t seed = rng.state;
    sample_make(&plain_a, n, 0, round & 1);
    sample_make(&plain_b, n, 0, round & 1);
    rng.state = seed;
    sample_make(&a, n, 1, round & 1);
    sample_make(&b, n, 1, round & 1);
    assert_int_equal(a.bytes % 4, 1);
    for (size_t i = 0; i < n; i++)
      if (!(fabs(a.values[i] - plain_a.values[i]) <=
            a.read.step / 2 * (1 + 1e-15)))
        fail_msg("%.17g is packed as %.17g in steps of %.17g",
                 plain_a.values[i], a.values[i], a.read.step);
    double least = plain_a.values[0], most = least;
    for (size_t i = 1; i < n; i++) {
      if (plain_a.values[i] < least) least = plain_a.values[i];
      if (plain_a.values[i] > most) most = plain_a.values[i];
    }
    /* The smallest float32 of which 255 steps reach the greatest value. */
    double exact = (most - least) / 255;
    assert_true(a.read.offset == least && a.read.step >= exact);
    assert_true(exact == 0 || nextafterf((float)a.read.step, 0) < exact);
    double off = fabs(nn_features_euclidean(&a.read, &b.read) -
                      nn_features_euclidean(&plain_a.read, &plain_b.read));
    assert_true(off <= (a.read.step + b.read.step) / 2 * sqrt((double)n) *
                           (1 + 1e-9));
    sample_free(&a), sample_free(&b), sample_free(&plain_a),
        sample_free(&plain_b);
  }
}

/* The bytes themselves, which are a format. */
static void packed_bytes(void **state) {
  (void)state;
  const float x[5] = {0, 255, 1, 100.5f, 254.4f}, same[2] = {-2, -2};
  const uint8_t expected[17] = {0xfb, 0, 0, 0x80, 0x3f, 0, 0, 0, 0,
                                0, 255, 1, 101, 254, 0, 0, 0};
  const uint8_t alike[13] = {0xfa, 0, 0, 0, 0, 0, 0, 0, 0xc0, 0, 0, 0, 0};
  uint8_t out[17];
  nn_features f;
  nn_error err;
  nn_features_read(x, 20, &f);
  assert_int_equal(nn_features_packed_size(5), 17);
  assert_int_equal(nn_features_pack(&f, out, &err), NN_OK);
  assert_memory_equal(out, expected, 17);
  nn_features_read(same, 8, &f);
  assert_int_equal(nn_features_pack(&f, out, &err), NN_OK);
  assert_memory_equal(out, alike, 13);
  nn_features_read(x, 0, &f);
  assert_int_equal(nn_features_packed_size(0), 9);
  assert_int_equal(nn_features_pack(&f, out, &err), NN_OK);
  assert_int_equal(out[0], 0xf8);
  assert_int_equal(nn_features_read(out, 9, &f), 1);
  assert_int_equal(f.n, 0);
}

static void packing_refuses(void **state) {
  (void)state;
  const float bad[3][3] = {
      {1, NAN, 2}, {1, 2, INFINITY}, {-INFINITY, 0, 0}};
  const char *const text[3] = {"value 2 of 3 is NaN", "value 3 of 3 is infinite",
                               "value 1 of 3 is infinite"};
  uint8_t out[13];
  nn_features f;
  nn_error err;
  for (int i = 0; i < 3; i++) {
    nn_features_read(bad[i], 12, &f);
    assert_int_equal(nn_features_pack(&f, out, &err), NN_ARGUMENT);
    assert_string_equal(err.text, text[i]);
  }
  f.n = NN_FEATURES_MAX + 1;   /* it does not look at the values then */
  assert_int_equal(nn_features_pack(&f, out, &err), NN_ARGUMENT);
  assert_string_equal(err.text, "there are 16777217 values, at most 16777216 "
                                "can be packed");
}

/* Each byte of the head set to each value, each length: it is read, or not, and
** nothing beyond the blob is touched; what is read has the promised shape. */
static void hostile_blobs(void **state) {
  (void)state;
  sample s;
  sample_make(&s, 6, 1, 1);
  for (size_t bytes = 0; bytes <= s.bytes; bytes++)
    for (size_t at = 0; at < s.bytes; at++)
      for (int value = 0; value < 256; value++) {
        uint8_t *blob = malloc(bytes + 1);   /* malloc(0) may be NULL */
        uint8_t *end = blob + 1;
        memcpy(end, s.blob, bytes);
        if (at < bytes) end[at] = (uint8_t)value;
        nn_features f;
        int read = nn_features_read(end, bytes, &f);
        if (bytes % 4 == 0) {
          assert_int_equal(read, 1);
          assert_int_equal(f.packed, 0);
        } else if (read) {
          assert_int_equal(bytes % 4, 1);
          assert_int_equal(end[0] & 0xfc, 0xf8);
          assert_true(f.n + 9 <= bytes && f.n + 12 >= bytes);
          assert_true(isfinite(f.step) && f.step >= 0 && isfinite(f.offset));
          assert_true(isfinite(nn_features_euclidean(&f, &f)));
        }
        if (at == 0 && bytes == s.bytes)
          assert_int_equal(read, value >= 0xf8 && value <= 0xfa);
        free(blob);
      }
  sample_free(&s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(kernels_are_listed),
      cmocka_unit_test(kernels_agree),
      cmocka_unit_test(edges),
      cmocka_unit_test(packing_is_bounded),
      cmocka_unit_test(packed_bytes),
      cmocka_unit_test(packing_refuses),
      cmocka_unit_test(hostile_blobs),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

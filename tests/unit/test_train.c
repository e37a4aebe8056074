/*
** Learning a hash layer in nn: what was measured is what the exported model
** computes, and the plain loop learns what BLAS learns.
**
** Examples are noisy pictures of three kinds through the model that ships.
*/
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../nn/learn.h"
#include "test_util.h"

#define IMAGES 60
#define PIXELS (3 * 32 * 32)

typedef struct fixture {
  uint8_t *bytes;
  size_t n;
  nn_model *base;
  nn_examples *examples;
  float *pixels;
  nn_error err;
} fixture;

static void draw(test_rng *rng, int kind, float *to) {
  for (int c = 0; c < 3; c++)
    for (int i = 0; i < 32 * 32; i++)
      *to++ = (float)(test_below(rng, 100) + (c == kind ? 150 : 20));
}

/* Features and logits of IMAGES pictures, as examples of three classes. */
static void open_fixture(fixture *f) {
  static const char *const names[] = {"red", "green", "blue"};
  test_rng rng = {7};
  float *out[2];
  int chw[3], again, fresh, example, index;
  memset(f, 0, sizeof(*f));
  f->bytes = test_read_file("weights/cifar10-48.safetensors", &f->n);
  assert_non_null(f->bytes);
  assert_int_equal(nn_model_open(&nn_memory_libc, f->bytes, f->n, &f->base,
                                 &f->err), NN_OK);
  const nn_head *head = nn_model_head(f->base, 0);
  const int blobs[2] = {head->features, head->latent};
  assert_int_equal(nn_examples_open(&nn_memory_libc, f->base, head,
                                    &f->examples, &f->err), NN_OK);
  f->pixels = malloc(IMAGES * PIXELS * sizeof(float));
  for (int j = 0; j < 2; j++)
    out[j] = malloc(nn_model_blob_shape(f->base, blobs[j], chw) *
                    sizeof(float));
  for (int i = 0; i < IMAGES; i++) {
    float *at = f->pixels + i * PIXELS;
    draw(&rng, i % 3, at);
    assert_int_equal(nn_run_blobs(&nn_memory_libc, f->base, NN_FAST, at, 1,
                                  blobs, 2, out, &f->err), NN_OK);
    assert_int_equal(nn_examples_add(f->examples, at, PIXELS * sizeof(float), i,
                                     &example, &fresh, &f->err), NN_OK);
    assert_true(fresh && example == i);
    assert_int_equal(nn_examples_class(f->examples, names[i % 3],
                                       strlen(names[i % 3]), &index, &f->err),
                     NN_OK);
    assert_int_equal(nn_examples_label(f->examples, i, index, &again, &f->err),
                     NN_OK);
    assert_int_equal(nn_examples_fill(f->examples, i, out[0], out[1], &f->err),
                     NN_OK);
  }
  free(out[0]);
  free(out[1]);
}

static void close_fixture(fixture *f) {
  nn_examples_close(f->examples);
  nn_model_close(f->base);
  free(f->pixels);
  free(f->bytes);
}

static const nn_train_options options = {.bits = 20, .epochs = 5, .batch = 16,
                                         .seed = 3, .rate = 0.1,
                                         .validation = 0.2};

/* The layer as it is measured, and the model that is written, give one code and
** one class for every picture. */
static void measured_is_exported(void **state) {
  fixture f;
  nn_watch watch = {NULL, NULL, NULL};
  nn_trained *trained;
  nn_train_result result;
  nn_model *made;
  void *bytes;
  size_t n;
  (void)state;
  open_fixture(&f);
  assert_int_equal(nn_train(&nn_memory_libc, f.examples, &options, &watch,
                            &trained, &result, &f.err), NN_OK);
  assert_int_equal(result.held_out, 12);
  assert_true(result.accuracy == 1 && result.map > 0.99);
  assert_int_equal(nn_trained_write(trained, "{\"a\":\"\\u00e9\"}", &bytes, &n,
                                    &f.err), NN_OK);
  assert_int_equal(nn_model_open(&nn_memory_libc, bytes, n, &made, &f.err),
                   NN_OK);
  assert_string_equal(nn_model_report(made), "{\"a\":\"\\u00e9\"}");
  assert_int_equal(nn_model_kind(made), NN_INTEGER);
  const nn_head *head = nn_model_head(made, 0);
  float logits[20], prob[3], scores[3];
  float *spare = malloc(nn_hash_layer_spare(&trained->layer) * sizeof(float));
  float *out[2] = {logits, prob};
  const int blobs[2] = {head->latent, head->classifier};
  assert_int_equal(head->bits, 20);
  assert_int_equal(head->classes, 3);
  for (int i = 0; i < IMAGES; i++) {
    uint8_t code[3], expected[3];
    assert_int_equal(nn_run_blobs(&nn_memory_libc, made,
                                  i ? NN_FAST : NN_REFERENCE,
                                  f.pixels + i * PIXELS, 1, blobs, 2, out,
                                  &f.err), NN_OK);
    nn_code_from_logits(logits, 20, expected);
    nn_hash_layer_run(f.examples, &trained->layer, (size_t)i, code, scores,
                      spare);
    assert_memory_equal(code, expected, 3);
    /* The softmax of the exact scores, up to the steps of its table. */
    float sum = 0;
    for (int c = 0; c < 3; c++) sum += expf(scores[c] - scores[0]);
    for (int c = 0; c < 3; c++)
      assert_true(fabsf(prob[c] - expf(scores[c] - scores[0]) / sum) < 0.01f);
  }
  free(spare);
  nn_model_close(made);
  nn_train_free(&nn_memory_libc, bytes);
  nn_trained_close(trained);
  close_fixture(&f);
}

static void learn(fixture *f, const nn_blas *blas, nn_hash_layer *layer,
                  nn_train_result *result) {
  nn_watch watch = {NULL, NULL, NULL};
  uint32_t order[IMAGES];
  float mean[512];
  nn_lesson lesson = {.examples = f->examples, .options = &options,
                      .watch = &watch, .blas = blas, .random = {3},
                      .order = order, .trained = IMAGES, .mean = mean,
                      .result = result};
  for (uint32_t i = 0; i < IMAGES; i++) order[i] = i;
  assert_true(f->examples->features <= 512);
  assert_int_equal(nn_hash_layer_new(&nn_memory_libc, 20, 3,
                                     (int)f->examples->features, 1, layer,
                                     &f->err), NN_OK);
  assert_int_equal(nn_learn(&lesson, layer, &f->err), NN_OK);
}

static void plain_loop_learns_the_same(void **state) {
  fixture f;
  nn_hash_layer fast, plain;
  nn_train_result a, b;
  (void)state;
  open_fixture(&f);
  const nn_blas *blas = nn_blas_get(&f.err);
  if (!blas) {
    close_fixture(&f);
    skip();
  }
  learn(&f, blas, &fast, &a);
  learn(&f, NULL, &plain, &b);
  assert_true(fabs(a.loss - b.loss) < 1e-3 && a.loss < a.first_loss);
  double off = 0, all = 0;
  for (size_t i = 0; i < 20 * f.examples->features; i++) {
    double d = (double)fast.weight[i] - (double)plain.weight[i];
    off += d * d;
    all += (double)fast.weight[i] * (double)fast.weight[i];
  }
  assert_true(off < 1e-6 * all);
  nn_hash_layer_free(&nn_memory_libc, &fast);
  nn_hash_layer_free(&nn_memory_libc, &plain);
  close_fixture(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(measured_is_exported),
      cmocka_unit_test(plain_loop_learns_the_same),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

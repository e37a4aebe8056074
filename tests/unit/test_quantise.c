/*
** The quantiser on drawn networks: what comes out opens, keeps the names of its
** layers, gives the same bits by every engine, and is near the float32 network
** layer by layer; what has no integer form is refused by its name.
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

#include "../../weights/quantise.h"
#include "model_builder.h"

#define SIDE 24
#define IMAGES 12
#define SEEDS 3
#define MORE 6      /* pictures that are not calibrated on */

/* Networks ---------------------------------------------------------------- */

static char last[64];   /* the layer that was added last */

/* A layer of that type on the last one, with members. */
static void add(builder *b, const char *name, const char *type,
                const char *more) {
  builder_layer(b, "\"name\":\"%s\",\"type\":\"%s\",\"bottom\":[\"%s\"]%s%s",
                name, type, last, *more ? "," : "", more);
  snprintf(last, sizeof(last), "%s", name);
}

static void add_two(builder *b, const char *name, const char *type,
                    const char *other, const char *more) {
  builder_layer(b, "\"name\":\"%s\",\"type\":\"%s\","
                "\"bottom\":[\"%s\",\"%s\"]%s%s", name, type, last, other,
                *more ? "," : "", more);
  snprintf(last, sizeof(last), "%s", name);
}

static void values(builder *b, const char *name, const char *member, float low,
                   float high, int n) {
  char tensor[64];
  snprintf(tensor, sizeof(tensor), "%s.%s", name, member);
  builder_values(b, tensor, low, high, 1, &n);
}

/* Weights that keep the variance of what they read. */
static void add_conv(builder *b, const char *name, int in, int out, int kernel,
                     const char *more, int group) {
  char tensor[64], text[256];
  int shape[4] = {out, in / group, kernel, kernel};
  float reach = sqrtf(6.f / (float)(in / group * kernel * kernel));
  snprintf(tensor, sizeof(tensor), "%s.w", name);
  builder_values(b, tensor, -reach, reach, 4, shape);
  values(b, name, "b", -0.3f, 0.3f, out);
  snprintf(text, sizeof(text), "\"num_output\":%d,\"kernel_size\":[%d,%d],"
           "\"group\":%d,\"weight\":\"%s.w\",\"bias\":\"%s.b\"%s", out, kernel,
           kernel, group, name, name, more);
  add(b, name, "Convolution", text);
}

static void add_product(builder *b, const char *name, int in, int out,
                        float gain) {
  char tensor[64], text[128];
  int shape[2] = {out, in};
  float reach = gain * sqrtf(6.f / (float)in);
  snprintf(tensor, sizeof(tensor), "%s.w", name);
  builder_values(b, tensor, -reach, reach, 2, shape);
  values(b, name, "b", -0.5f, 0.5f, out);
  snprintf(text, sizeof(text), "\"num_output\":%d,\"weight\":\"%s.w\","
           "\"bias\":\"%s.b\"", out, name, name);
  add(b, name, "InnerProduct", text);
}

static void add_norm(builder *b, const char *name, int c) {
  char text[256];
  values(b, name, "mean", -0.5f, 0.5f, c);
  values(b, name, "variance", 0.5f, 2, c);
  values(b, name, "g", 0.7f, 1.5f, c);
  values(b, name, "s", -0.4f, 0.4f, c);
  snprintf(text, sizeof(text), "\"mean\":\"%s.mean\",\"variance\":"
           "\"%s.variance\",\"weight\":\"%s.g\",\"bias\":\"%s.s\"", name, name,
           name, name);
  add(b, name, "BatchNorm", text);
}

/* The tail of every network: 32 bits, and a classifier behind them. */
static void add_tail(builder *b, int c) {
  add_product(b, "latent", c, 32, 1.5f);
  add(b, "code", "Sigmoid", "");
  add_product(b, "scores", 32, 10, 3);
  add(b, "prob", "Softmax", "");
  add_product(b, "after", 10, 5, 3);
  builder_member(b, "\"preprocess\":{\"order\":\"BGR\",\"mean\":[104.3,117,"
                 "122.8],\"scale\":[0.02,0.017,0.018]}");
  builder_member(b, "\"heads\":[{\"name\":\"drawn\",\"latent\":\"code\","
                 "\"classifier\":\"prob\"}]");
}

static void open_net(builder *b, uint64_t seed) {
  builder_open(b, seed, 3, SIDE, SIDE);
  snprintf(last, sizeof(last), "data");
}

/* Caffe's: LRN, groups, Caffe's pooling, and norms that cannot be folded. */
static void draw_caffe(builder *b, uint64_t seed) {
  open_net(b, seed);
  add_conv(b, "conv1", 3, 16, 5, ",\"stride\":[2,2],\"pad\":[2,2,2,2]", 1);
  add(b, "relu1", "ReLU", "");
  add(b, "pool1", "Pooling", "\"pool\":\"MAX\",\"kernel_size\":[3,3],"
      "\"stride\":[2,2]");
  add(b, "norm1", "LRN", "\"local_size\":5,\"alpha\":0.5,\"beta\":0.75");
  add_conv(b, "conv2", 16, 24, 3, ",\"pad\":[1,1,1,1]", 2);
  add(b, "relu2", "ReLU", "");
  add_norm(b, "bn2", 24);
  add_conv(b, "conv3", 24, 24, 3, ",\"pad\":[1,1,1,1]", 1);
  add_norm(b, "bn3", 24);
  add(b, "relu3", "ReLU", "");
  add_two(b, "sum3", "Eltwise", "relu2", "");
  add(b, "pool3", "Pooling", "\"pool\":\"AVE\",\"kernel_size\":[3,3],"
      "\"stride\":[2,2],\"pad\":[1,1,1,1]");
  add(b, "flat", "Flatten", "");
  add_tail(b, 24 * 4 * 4);
}

/* MobileNet's: clips, depthwise convolutions, squeeze and excitation, swish. */
static void draw_mobile(builder *b, uint64_t seed) {
  open_net(b, seed);
  add_conv(b, "stem", 3, 16, 3, ",\"stride\":[2,2],\"pad\":[1,1,1,1]", 1);
  add_norm(b, "stem.norm", 16);
  add(b, "stem.clip", "Clip", "\"min\":0,\"max\":6");
  add_conv(b, "deep", 16, 16, 3, ",\"pad\":[1,1,1,1]", 16);
  add_norm(b, "deep.norm", 16);
  add(b, "deep.swish", "HardSwish", "");
  add(b, "se.mean", "Pooling", "\"pool\":\"AVE\",\"global_pooling\":true");
  add_conv(b, "se.down", 16, 8, 1, "", 1);
  add(b, "se.relu", "ReLU", "");
  add_conv(b, "se.up", 8, 16, 1, "", 1);
  add(b, "se.gate", "HardSigmoid", "\"alpha\":0.1666667");
  add_two(b, "se", "Eltwise", "deep.swish", "\"operation\":\"PROD\"");
  add_conv(b, "point", 16, 16, 1, "", 1);
  add_two(b, "sum", "Eltwise", "stem.clip", "\"coeff\":[0.8,1.1]");
  add_conv(b, "wide", 16, 24, 1, "", 1);
  add(b, "wide.gate", "Sigmoid", "");
  add_two(b, "wide.swish", "Eltwise", "wide", "\"operation\":\"PROD\"");
  add_conv(b, "slope", 24, 24, 3, ",\"stride\":[2,2]", 1);
  add(b, "leaky", "ReLU", "\"negative_slope\":0.1");
  add(b, "pool", "Pooling", "\"pool\":\"MAX\",\"kernel_size\":[2,2],"
      "\"dilation\":[2,2],\"round_mode\":\"FLOOR\"");
  add(b, "mean", "Pooling", "\"pool\":\"AVE\",\"global_pooling\":true");
  add_tail(b, 24);
}

/* ShuffleNet's, and everything that moves bytes or compares blobs. */
static void draw_shuffle(builder *b, uint64_t seed) {
  int shape[3] = {1, 12, 12}, side[3] = {16, 1, 1};
  open_net(b, seed);
  add(b, "edge", "Padding", "\"pad\":[1,1,1,1],\"mode\":\"reflect\"");
  add_conv(b, "stem", 3, 16, 3, ",\"stride\":[2,2]", 1);
  add(b, "low", "Slice", "\"begin\":0,\"end\":8");
  add_conv(b, "branch", 8, 8, 3, ",\"pad\":[1,1,1,1]", 1);
  snprintf(last, sizeof(last), "stem");
  add(b, "high", "Slice", "\"begin\":8,\"end\":16");
  add_two(b, "join", "Concat", "branch", "");
  add(b, "shuffle", "ShuffleChannel", "\"group\":2");
  builder_values(b, "map", -1, 1, 3, shape);
  builder_values(b, "each", 0.2f, 1.5f, 3, side);
  builder_layer(b, "\"name\":\"map\",\"type\":\"Constant\",\"weight\":"
                "\"map\"");
  builder_layer(b, "\"name\":\"each\",\"type\":\"Constant\",\"weight\":"
                "\"each\"");
  add_two(b, "difference", "Eltwise", "map", "\"operation\":\"SUB\"");
  add_two(b, "times", "Eltwise", "each", "\"operation\":\"PROD\"");
  add_two(b, "most", "Eltwise", "stem", "\"operation\":\"MAX\"");
  add(b, "rows", "Permute", "\"order\":[1,3,2]");
  add(b, "shape", "Reshape", "\"dims\":[32,6,12]");
  add_two(b, "tall", "Concat", "shape", "\"axis\":2");
  values(b, "scale", "w", 0.5f, 1.5f, 32);
  add(b, "scale", "Scale", "\"weight\":\"scale.w\"");
  add(b, "border", "Padding", "\"pad\":[0,1,2,0],\"value\":0.5");
  add_conv(b, "last", 32, 16, 3, ",\"stride\":[2,2]", 1);
  add(b, "clip", "Clip", "\"min\":-1,\"max\":9");
  add(b, "largest", "Pooling", "\"pool\":\"MAX\",\"global_pooling\":true");
  add_tail(b, 16);
}

/* Running ----------------------------------------------------------------- */

/* Pictures with something in them: patches of colour under noise. */
static uint8_t *pictures(builder *b, int count) {
  uint8_t *pixels = malloc((size_t)count * 3 * SIDE * SIDE);
  assert_non_null(pixels);
  for (int i = 0; i < count * 3; i++) {
    int patch[16];
    for (int k = 0; k < 16; k++) patch[k] = builder_pick(b, 0, 255);
    for (int y = 0; y < SIDE; y++) {
      for (int x = 0; x < SIDE; x++) {
        int v = patch[y * 4 / SIDE * 4 + x * 4 / SIDE] +
                builder_pick(b, -30, 30);
        pixels[(i * SIDE + y) * SIDE + x] =
            (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
      }
    }
  }
  return pixels;
}

typedef struct pair {
  uint8_t *file, *whole;
  size_t n, whole_n;
  nn_model *model, *integer;
  uint8_t *pixels;
  float *input, *bytes;      /* of all pictures, for either network */
} pair;

static void pair_inputs(pair *p) {
  const nn_preprocess *pre = &p->model->preprocess;
  size_t plane = SIDE * SIDE, n = (IMAGES + MORE) * 3 * plane;
  p->input = malloc(n * sizeof(float));
  p->bytes = malloc(n * sizeof(float));
  for (size_t i = 0; i < n; i++) {
    int c = (int)(i / plane % 3);
    p->bytes[i] = p->pixels[i];
    p->input[i] = ((float)p->pixels[i] - pre->mean[c]) * pre->scale[c];
  }
}

static pair pair_open(builder *b, int bits, size_t memory, FILE *log) {
  pair p = {0};
  nn_error err = {NN_OK, ""};
  p.file = builder_finish(b, &p.n);
  p.pixels = pictures(b, IMAGES + MORE);
  quantise_options options = {.pixels = p.pixels, .images = IMAGES,
                              .held_out = MORE, .verbose = 1, .log = log,
                              .activation_bits = bits, .memory = memory};
  if (quantise_model(p.file, p.n, &options, &p.whole, &p.whole_n, &err)) {
    fail_msg("%s", err.text);
  }
  assert_int_equal(nn_model_open(&nn_memory_libc, p.file, p.n, &p.model, &err),
                   NN_OK);
  assert_int_equal(nn_model_open(&nn_memory_libc, p.whole, p.whole_n,
                                 &p.integer, &err), NN_OK);
  assert_int_equal(nn_model_kind(p.integer), NN_INTEGER);
  pair_inputs(&p);
  return p;
}

static void pair_close(pair *p, builder *b) {
  nn_model_close(p->model);
  nn_model_close(p->integer);
  nn_free(&nn_memory_libc, p->whole);
  free(p->file);
  free(p->pixels);
  free(p->input);
  free(p->bytes);
  builder_close(b);
}

static float *run(const nn_model *model, nn_engine engine, const float *input,
                  const char *name) {
  int chw[3], blob = nn_model_blob(model, name);
  nn_error err;
  if (blob < 0) fail_msg("no layer %s", name);
  size_t n = nn_model_blob_shape(model, blob, chw);
  float *out = malloc((IMAGES + MORE) * n * sizeof(float));
  assert_non_null(out);
  if (nn_run(&nn_memory_libc, model, engine, input, IMAGES + MORE, blob, out,
             &err)) {
    fail_msg("%s", err.text);
  }
  return out;
}

/* dB of b's noise under a's variance; negative values count 0 where the integer
** layer writes none. */
static double noise(const float *a, const float *b, size_t n, int positive,
                    double most) {
  double sum = 0, squares = 0, wrong = 0;
  for (size_t i = 0; i < n; i++) {
    double x = positive && a[i] < 0 ? 0 : (double)a[i];
    x = x > most ? most : x;
    sum += x;
    squares += x * x;
    wrong += ((double)b[i] - x) * ((double)b[i] - x);
  }
  double variance = squares / (double)n - sum / (double)n * sum / (double)n;
  return 10 * log10(variance / (wrong / (double)n + 1e-20));
}

/* Every layer of the integer network is near the float32 network's of its name,
** on the pictures that it was calibrated on; returns how near, in the mean.
** `clipped` ends where the Clip behind it does. */
static double check_near(const pair *p, const char *clipped, double least) {
  double sum = 0;
  int count = 0;
  for (int i = 0; i < nn_model_blob_count(p->integer); i++) {
    const char *name = nn_model_blob_name(p->integer, i);
    const nn_quant *quant = &p->integer->blobs[i].quant;
    int chw[3], blob = nn_model_blob(p->model, name);
    if (i == 0 || blob < 0) continue;
    size_t n = nn_model_blob_shape(p->model, blob, chw) * IMAGES;
    float *a = run(p->model, NN_FAST, p->input, name);
    float *b = run(p->integer, NN_FAST, p->bytes, name);
    double dB = noise(a, b, n, !quant->sums && !quant->zero[0],
                      strcmp(name, clipped) == 0 ? 6 : INFINITY);
    if (!(dB > least)) fail_msg("%s: %.1f dB", name, dB);
    sum += dB;
    count++;
    free(a);
    free(b);
  }
  return sum / count;
}

static int bits_changed(const pair *p) {
  float *a = run(p->model, NN_FAST, p->input, "latent");
  float *b = run(p->integer, NN_FAST, p->bytes, "latent");
  int changed = 0;
  for (int i = 0; i < 32 * (IMAGES + MORE); i++) {
    changed += (a[i] > 0) != (b[i] > 0);
  }
  free(a);
  free(b);
  return changed;
}

static void check_engines(const pair *p) {
  for (int i = 1; i < nn_model_blob_count(p->integer); i++) {
    const char *name = nn_model_blob_name(p->integer, i);
    size_t n = p->integer->blobs[i].size * (IMAGES + MORE) * sizeof(float);
    float *fast = run(p->integer, NN_FAST, p->bytes, name);
    float *naive = run(p->integer, NN_REFERENCE, p->bytes, name);
    float *blas = run(p->integer, NN_BLAS, p->bytes, name);
    assert_memory_equal(fast, naive, n);
    assert_memory_equal(fast, blas, n);
    free(fast);
    free(naive);
    free(blas);
  }
}

/* Layers that are gone: those that are in `folded`. */
static void check_names(const pair *p, const char *const *folded) {
  for (int i = 0; i < nn_model_blob_count(p->model); i++) {
    const char *name = nn_model_blob_name(p->model, i);
    int gone = 0;
    for (const char *const *f = folded; *f; f++) gone |= !strcmp(*f, name);
    assert_int_equal(nn_model_blob(p->integer, name) < 0, gone);
  }
}

typedef void (*drawing)(builder *b, uint64_t seed);

/* Bytes of the layers' own go up to what the activations' bits hold. */
static void check_largest(const pair *p, int bits) {
  for (int i = 1; i < nn_model_blob_count(p->integer); i++) {
    const nn_quant *quant = &p->integer->blobs[i].quant;
    if (!quant->sums) assert_int_equal(quant->max, bits == 8 ? 255 : 127);
  }
}

/* With activations of 7 bits and then of 8, whose steps are 6 dB finer; weights
** stay as coarse as they are. */
static void check_drawing(drawing draw, const char *const *folded,
                          const char *clipped) {
  int changed[2] = {0};
  double near[2] = {0};
  for (uint64_t seed = 1; seed <= SEEDS; seed++)
    for (int i = 0; i < 2; i++) {
      int bits = 7 + i;
      builder b;
      draw(&b, seed);
      pair p = pair_open(&b, bits, 0, NULL);
      check_names(&p, folded);
      near[i] += check_near(&p, clipped, bits == 8 ? 26 : 18) / SEEDS;
      check_largest(&p, bits);
      check_engines(&p);
      changed[i] += bits_changed(&p);
      pair_close(&p, &b);
    }
  print_message("%d and %d of %d bits changed, %.1f and %.1f dB\n", changed[0],
                changed[1], SEEDS * 32 * (IMAGES + MORE), near[0], near[1]);
  for (int i = 0; i < 2; i++) {
    assert_true(changed[i] < SEEDS * 32 * (IMAGES + MORE) / 40);
  }
  assert_true(near[1] > near[0] + 2);
}

static void test_caffe(void **state) {
  static const char *const folded[] = {"conv3", NULL};
  (void)state;
  check_drawing(draw_caffe, folded, "");
}

static void test_mobile(void **state) {
  static const char *const folded[] = {"stem", "deep", NULL};
  (void)state;
  check_drawing(draw_mobile, folded, "stem.norm");
}

static void test_shuffle(void **state) {
  static const char *const folded[] = {NULL};
  (void)state;
  check_drawing(draw_shuffle, folded, "");
}

/* The same file from the same pictures, with 7 bits where nothing is said, and
** a batch that is cut short for want
** of memory still gives a network. */
static void test_again(void **state) {
  (void)state;
  builder b[3];
  pair p[3];
  for (int i = 0; i < 3; i++) {
    draw_caffe(&b[i], 9);
    p[i] = pair_open(&b[i], i == 1 ? 7 : 0, i == 2 ? 1 : 0, NULL);
  }
  assert_int_equal(p[0].whole_n, p[1].whole_n);
  assert_memory_equal(p[0].whole, p[1].whole, p[0].whole_n);
  check_near(&p[2], "", 15);
  for (int i = 0; i < 3; i++) pair_close(&p[i], &b[i]);
}

static void test_report(void **state) {
  (void)state;
  char *text = NULL;
  size_t n;
  builder b;
  draw_caffe(&b, 5);
  FILE *log = open_memstream(&text, &n);
  pair p = pair_open(&b, 0, 0, log);
  fclose(log);
  assert_non_null(strstr(text, "layer conv3 is folded into bn3\n"));
  assert_non_null(strstr(text, " bits changed ("));
  assert_non_null(strstr(text, " on 12 calibration pictures\n"));
  assert_non_null(strstr(text, " on 6 other pictures\n"));
  assert_non_null(strstr(text, "largest sum that a filter can reach: "));
  assert_non_null(strstr(text, "\nnorm1 "));
  free(text);
  pair_close(&p, &b);
}

/* Refusals ---------------------------------------------------------------- */

static void refused(builder *b, const char *why) {
  nn_error err = {NN_OK, ""};
  uint8_t *out = (uint8_t *)b;
  size_t n, out_n;
  uint8_t *file = builder_finish(b, &n), *pixels = pictures(b, IMAGES);
  quantise_options options = {.pixels = pixels, .images = IMAGES};
  assert_true(quantise_model(file, n, &options, &out, &out_n, &err) != NN_OK);
  assert_null(out);
  if (!strstr(err.text, why)) fail_msg("\"%s\", not \"%s\"", err.text, why);
  free(file);
  free(pixels);
  builder_close(b);
}

static void test_refusals(void **state) {
  static const char *const zero = "[1,2,3]";
  builder b;
  (void)state;
  open_net(&b, 1);
  add_conv(&b, "a", 3, 4, 3, "", 1);
  add_two(&b, "ratio", "Eltwise", "a", "\"operation\":\"DIV\"");
  refused(&b, "layer ratio: the quotient of two blobs has no integer form");
  open_net(&b, 1);
  add_conv(&b, "a", 3, 4, 3, "", 1);
  builder_layer(&b, "\"name\":\"cube\",\"type\":\"Eltwise\",\"bottom\":[\"a\","
                "\"a\",\"a\"],\"operation\":\"PROD\"");
  refused(&b, "layer cube: the product of more than two blobs");
  open_net(&b, 1);
  add_conv(&b, "a", 3, 4, 3, "", 1);
  add(&b, "rows", "Softmax", "\"axis\":2");
  refused(&b, "layer rows: a Softmax of rows or columns");
  builder_open_integer(&b, 1, 3, SIDE, SIDE, zero);
  snprintf(last, sizeof(last), "data");
  add(&b, "pool", "ReLU", "");
  refused(&b, "it is an integer network already");
  open_net(&b, 1);
  add(&b, "unknown", "Mystery", "");
  refused(&b, "unknown type Mystery");
}

/* No pictures, and values that are no numbers. */
static void test_pictures(void **state) {
  builder b;
  nn_error err = {NN_OK, ""};
  float infinite = INFINITY;
  uint8_t *out, pixel = 0;
  size_t n, out_n;
  (void)state;
  draw_caffe(&b, 1);
  uint8_t *file = builder_finish(&b, &n);
  quantise_options options = {.pixels = &pixel, .images = 0};
  assert_int_equal(quantise_model(file, n, &options, &out, &out_n, &err),
                   NN_ARGUMENT);
  assert_non_null(strstr(err.text, "no picture to calibrate on"));
  options.activation_bits = 9;
  assert_int_equal(quantise_model(file, n, &options, &out, &out_n, &err),
                   NN_ARGUMENT);
  assert_non_null(strstr(err.text, "activations have 7 or 8 bits, not 9"));
  free(file);
  builder_close(&b);
  open_net(&b, 1);
  int one = 1, shape[4] = {1, 3, SIDE, SIDE};
  builder_values(&b, "a.w", -1, 1, 4, shape);
  builder_vector(&b, "a.b", one, &infinite);
  add(&b, "a", "Convolution", "\"num_output\":1,\"kernel_size\":[24,24],"
      "\"weight\":\"a.w\",\"bias\":\"a.b\"");
  add(&b, "r", "ReLU", "");
  refused(&b, "layer a: a picture gives a value that is no number");
}

int main(int argc, char **argv) {
  if (argc > 1) cmocka_set_test_filter(argv[1]);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_caffe),    cmocka_unit_test(test_mobile),
      cmocka_unit_test(test_shuffle),  cmocka_unit_test(test_again),
      cmocka_unit_test(test_report),   cmocka_unit_test(test_refusals),
      cmocka_unit_test(test_pictures),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

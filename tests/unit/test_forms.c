/*
** Layers that compute element by element and layers that move elements: each
** against its naive reference over random forms, blobs that are broadcast in
** every way, values worked out by hand, and what is refused, with the sentence.
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

#include "layers_test.h"
#include "model_test.h"

static void test_random_forms(void **state) {
  static const nn_type types[] = {
      NN_CLIP,  NN_HARD_SIGMOID, NN_HARD_SWISH, NN_SCALE,
      NN_RELU,  NN_PADDING,      NN_SHUFFLE_CHANNEL, NN_SLICE,
      NN_RESHAPE, NN_PERMUTE,    NN_SOFTMAX};
  (void)state;
  for (int i = 0; i < 1100; i++) {
    builder b;
    int side = i % 4 ? 9 : 30;
    builder_open(&b, (uint64_t)i + 77, 1, 1, 1);
    int c = builder_pick(&b, 1, 12), h = builder_pick(&b, 1, side);
    shape in = {c, h, builder_pick(&b, 1, side)};
    builder_close(&b);
    builder_open(&b, (uint64_t)i + 77, in.c, in.h, in.w);
    add_layer(&b, types[i % 11], "layer", "data", in);
    check_model(&b, 1 + i % 3, 1e-5);
    builder_close(&b);
  }
}

/* All eight ways in which sides of two blobs may be 1, on either side; the
** constant may be written over, the input may not. */
static void test_broadcasts(void **state) {
  (void)state;
  for (int i = 0; i < 600; i++) {
    builder b;
    const int side[3] = {1 + i % 5, 1 + i % 7, 1 + (i % 3) * 300};
    shape whole = {side[0], side[1], side[2]};
    builder_open(&b, (uint64_t)i + 5, i & 1 ? side[0] : 1,
                 i & 2 ? side[1] : 1, i & 4 ? side[2] : 1);
    add_constant(&b, "k", whole);
    if (i % 3 == 0) {
      add_constant(&b, "m", whole);
      add_eltwise(&b, "x", "\"k\",\"data\",\"m\"", 3, 0);
    } else if (i % 3 == 1) {
      add_eltwise(&b, "x", "\"data\",\"k\"", 2, 1);
    } else {
      add_eltwise(&b, "x", "\"k\",\"data\",\"k\",\"k\"", 4, 0);
    }
    check_model(&b, 1 + i % 3, 1e-5);
    builder_close(&b);
  }
}

/* Every edge of a depthwise convolution, with strides, dilation, wide kernels,
** several outputs a channel, bias, and the norm and ReLU that fold into it. */
static void test_depthwise(void **state) {
  (void)state;
  for (int i = 0; i < 600; i++) {
    builder b;
    builder_open(&b, (uint64_t)i + 9, 1, 1, 1);
    int c = builder_pick(&b, 2, 6), h = builder_pick(&b, 1, 12);
    int w = builder_pick(&b, 1, 12), each = builder_pick(&b, 1, 3);
    builder_close(&b);
    builder_open(&b, (uint64_t)i + 9, c, h, w);
    int k[2], s[2], p[4], d[2];
    for (int a = 0; a < 2; a++) {
      k[a] = builder_pick(&b, 1, 8);
      s[a] = builder_pick(&b, 1, 3);
      d[a] = builder_pick(&b, 1, 3);
      p[a] = builder_pick(&b, 0, 9);
      int window = d[a] * (k[a] - 1) + 1 - (a ? w : h) - p[a];
      p[a + 2] = builder_pick(&b, 0, 4) + (window > 0 ? window : 0);
    }
    int weights[4] = {c * each, 1, k[0], k[1]};
    builder_values(&b, "w", -1, 1, 4, weights);
    builder_layer(&b, "\"name\":\"x\",\"type\":\"Convolution\","
                  "\"bottom\":[\"data\"],\"num_output\":%d,"
                  "\"kernel_size\":[%d,%d],\"stride\":[%d,%d],"
                  "\"pad\":[%d,%d,%d,%d],\"dilation\":[%d,%d],\"group\":%d,"
                  "\"weight\":\"w\"", c * each, k[0], k[1], s[0], s[1], p[0],
                  p[1], p[2], p[3], d[0], d[1], c);
    if (i % 2) add_batch_norm(&b, "n", "x", (shape){c * each, 1, 1});
    builder_layer(&b, "\"name\":\"r\",\"type\":\"ReLU\",\"bottom\":[\"%s\"]",
                  i % 2 ? "n" : "x");
    uint8_t *file;
    nn_model *model = open_model(&b, &file);
    assert_true(nn_depthwise(&model->layers[0], model->blobs));
    nn_model_close(model);
    free(file);
    check_model(&b, 1 + i % 2, 1e-5);
    builder_close(&b);
  }
}

/* By hand ----------------------------------------------------------------- */

static void check_values(const char *layer, shape in, shape out,
                         const float *want) {
  builder b;
  uint8_t *file;
  int chw[3], n = out.c * out.h * out.w, twelve[3] = {3, 2, 2}, three = 3;
  float x[12], w[12] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
  for (int i = 0; i < 12; i++) x[i] = (float)(i - 3);
  builder_open(&b, 1, in.c, in.h, in.w);
  builder_tensor(&b, "k", 3, twelve, w);
  builder_tensor(&b, "w", 1, &three, w);
  builder_layer(&b, "\"name\":\"k\",\"type\":\"Constant\",\"weight\":\"k\"");
  builder_layer(&b, "\"name\":\"x\",%s", layer);
  nn_model *model = open_model(&b, &file);
  assert_int_equal(nn_model_blob_shape(model, 2, chw), (size_t)n);
  assert_true(chw[0] == out.c && chw[1] == out.h && chw[2] == out.w);
  for (int engine = NN_FAST; engine <= NN_REFERENCE; engine++) {
    float *got = run_blob(model, (nn_engine)engine, x, 1, 2);
    for (int i = 0; i < n; i++) {
      if (!(fabsf(got[i] - want[i]) < 1e-5f)) {
        fail_msg("%s: value %d is %g, not %g", layer, i, (double)got[i],
                 (double)want[i]);
      }
    }
    free(got);
  }
  nn_model_close(model);
  free(file);
  builder_close(&b);
}

#define SHAPE(c, h, w) ((shape){c, h, w})
#define CHECK_VALUES(layer, in, out, ...)       \
  do {                                          \
    const float want_[] = __VA_ARGS__;          \
    check_values(layer, in, out, want_);        \
  } while (0)
#define ONE ",\"bottom\":[\"data\"]"

/* The input is -3, -2, ..., the constant 1, 2, ..., 12 as 3 x 2 x 2. */
static void test_by_hand(void **state) {
  (void)state;
  CHECK_VALUES("\"type\":\"ReLU\",\"negative_slope\":0.5" ONE, SHAPE(1, 1, 6),
               SHAPE(1, 1, 6), {-1.5f, -1, -0.5f, 0, 1, 2});
  CHECK_VALUES("\"type\":\"Clip\",\"min\":-1,\"max\":1.5" ONE, SHAPE(1, 1, 6),
               SHAPE(1, 1, 6), {-1, -1, -1, 0, 1, 1.5f});
  CHECK_VALUES("\"type\":\"HardSigmoid\"" ONE, SHAPE(1, 1, 7), SHAPE(1, 1, 7),
               {0, 0.1f, 0.3f, 0.5f, 0.7f, 0.9f, 1});
  CHECK_VALUES("\"type\":\"HardSwish\"" ONE, SHAPE(1, 1, 8), SHAPE(1, 1, 8),
               {0, -1 / 3.f, -1 / 3.f, 0, 2 / 3.f, 5 / 3.f, 3, 4});
  CHECK_VALUES("\"type\":\"Scale\",\"weight\":\"w\",\"bias\":\"w\"" ONE,
               SHAPE(3, 1, 2), SHAPE(3, 1, 2), {-2, -1, 0, 2, 6, 9});
  CHECK_VALUES("\"type\":\"Eltwise\",\"bottom\":[\"data\",\"k\"],"
               "\"coeff\":[2,-1]", SHAPE(3, 1, 1), SHAPE(3, 2, 2),
               {-7, -8, -9, -10, -9, -10, -11, -12, -11, -12, -13, -14});
  CHECK_VALUES("\"type\":\"Eltwise\",\"bottom\":[\"data\",\"k\"],"
               "\"operation\":\"SUB\"", SHAPE(1, 2, 2), SHAPE(3, 2, 2),
               {-4, -4, -4, -4, -8, -8, -8, -8, -12, -12, -12, -12});
  CHECK_VALUES("\"type\":\"Eltwise\",\"bottom\":[\"data\",\"k\"],"
               "\"operation\":\"DIV\"", SHAPE(1, 1, 1), SHAPE(3, 2, 2),
               {-3, -1.5f, -1, -0.75f, -0.6f, -0.5f, -3 / 7.f, -0.375f,
                -1 / 3.f, -0.3f, -3 / 11.f, -0.25f});
  CHECK_VALUES("\"type\":\"Eltwise\",\"bottom\":[\"k\",\"data\"],"
               "\"operation\":\"MAX\"", SHAPE(3, 2, 2), SHAPE(3, 2, 2),
               {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12});
  CHECK_VALUES("\"type\":\"Slice\",\"axis\":2,\"begin\":1,\"end\":3" ONE,
               SHAPE(2, 3, 2), SHAPE(2, 2, 2), {-1, 0, 1, 2, 5, 6, 7, 8});
  CHECK_VALUES("\"type\":\"Permute\",\"order\":[3,1,2]" ONE, SHAPE(1, 2, 3),
               SHAPE(3, 1, 2), {-3, 0, -2, 1, -1, 2});
  CHECK_VALUES("\"type\":\"ShuffleChannel\",\"group\":2" ONE, SHAPE(6, 1, 1),
               SHAPE(6, 1, 1), {-3, 0, -2, 1, -1, 2});
  CHECK_VALUES("\"type\":\"Padding\",\"pad\":[0,2,1,1],\"value\":9" ONE,
               SHAPE(1, 1, 3), SHAPE(1, 2, 6),
               {9, 9, -3, -2, -1, 9, 9, 9, 9, 9, 9, 9});
  CHECK_VALUES("\"type\":\"Padding\",\"pad\":[1,2,0,1],\"mode\":\"reflect\""
               ONE, SHAPE(1, 2, 3), SHAPE(1, 3, 6),
               {2, 1, 0, 1, 2, 1, -1, -2, -3, -2, -1, -2, 2, 1, 0, 1, 2, 1});
  CHECK_VALUES("\"type\":\"Padding\",\"pad\":[1,2,0,1],\"mode\":\"edge\"" ONE,
               SHAPE(1, 1, 3), SHAPE(1, 2, 6),
               {-3, -3, -3, -2, -1, -1, -3, -3, -3, -2, -1, -1});
  CHECK_VALUES("\"type\":\"Concat\",\"axis\":3,\"bottom\":[\"k\",\"data\"]",
               SHAPE(3, 2, 1), SHAPE(3, 2, 3),
               {1, 2, -3, 3, 4, -2, 5, 6, -1, 7, 8, 0, 9, 10, 1, 11, 12, 2});
  CHECK_VALUES("\"type\":\"Softmax\",\"axis\":3" ONE, SHAPE(2, 1, 2),
               SHAPE(2, 1, 2),
               {0.2689414f, 0.7310586f, 0.2689414f, 0.7310586f});
  /* taps of the maximum two apart: 0 2, 1 3, 2 4 */
  CHECK_VALUES("\"type\":\"Pooling\",\"pool\":\"MAX\",\"kernel_size\":[1,2],"
               "\"dilation\":[1,2]" ONE, SHAPE(1, 1, 5), SHAPE(1, 1, 3),
               {-1, 0, 1});
}

/* Refused ----------------------------------------------------------------- */

#define PAD "\"type\":\"Padding\"" ONE
#define ELT "\"type\":\"Eltwise\",\"bottom\":[\"data\",\"data\"]"
#define SLICE "\"type\":\"Slice\"" ONE

static void test_refusals(void **state) {
  static const struct {
    const char *layer, *why;
  } cases[] = {
      {"\"type\":\"Clip\",\"min\":2,\"max\":1" ONE, "min is larger than max"},
      {"\"type\":\"Clip\",\"low\":2" ONE, "unknown member low"},
      {"\"type\":\"ReLU\",\"negative_slope\":\"0\"" ONE,
       "negative_slope wants a number"},
      {"\"type\":\"Scale\"" ONE, "no weight"},
      {"\"type\":\"Scale\",\"weight\":\"four\"" ONE,
       "weight has shape [4], expected [3]"},
      {"\"type\":\"Scale\",\"weight\":\"one\",\"bias\":\"four\"" ONE,
       "bias has shape [4], expected [3]"},
      {"\"type\":\"Scale\",\"weight\":\"none\"" ONE,
       "weight has shape [0], expected [3]"},
      {"\"type\":\"Constant\"", "no weight"},
      {"\"type\":\"Constant\",\"weight\":\"one\"",
       "weight has shape [1], expected [n, n, n]"},
      {"\"type\":\"Constant\",\"weight\":\"empty\"", "weight has 0 values"},
      {"\"type\":\"Constant\",\"weight\":\"k\"" ONE,
       "a Constant has no bottom"},
      {PAD, "no pad"},
      {PAD ",\"pad\":[1,1,1]", "pad wants 4"},
      {PAD ",\"pad\":[1,1,1,1],\"mode\":\"wrap\"",
       "mode is constant, reflect or edge, not wrap"},
      {PAD ",\"pad\":[1,1,1,1],\"mode\":\"edge\",\"value\":1",
       "value does not go with edge"},
      {PAD ",\"pad\":[0,6,0,0],\"mode\":\"reflect\"",
       "reflection of 6 at a side of 6"},
      {PAD ",\"pad\":[65535,65535,65535,65535]", "is too large"},
      {"\"type\":\"ShuffleChannel\",\"group\":2" ONE,
       "2 groups do not divide 3 channels into 3"},
      {"\"type\":\"ShuffleChannel\",\"group\":0" ONE, "group wants"},
      {SLICE, "wants begin and end"},
      {SLICE ",\"begin\":1,\"end\":1", "begin 1 and end 1 in a side of 3"},
      {SLICE ",\"begin\":0,\"end\":4", "begin 0 and end 4 in a side of 3"},
      {SLICE ",\"axis\":4,\"begin\":0,\"end\":1", "axis wants"},
      {"\"type\":\"Reshape\"" ONE, "no dims"},
      {"\"type\":\"Reshape\",\"dims\":[3,6,7]" ONE,
       "3 x 6 x 7 is not as many as 3 x 6 x 6"},
      {"\"type\":\"Reshape\",\"dims\":[268435456,268435456,268435456]" ONE,
       "is not as many as"},
      {"\"type\":\"Permute\"" ONE, "no order"},
      {"\"type\":\"Permute\",\"order\":[1,2,2]" ONE, "an axis twice"},
      {"\"type\":\"Permute\",\"order\":[0,1,2]" ONE, "order wants"},
      {ELT ",\"operation\":\"MIN\"",
       "operation is SUM, PROD, SUB, DIV or MAX, not MIN"},
      {"\"type\":\"Eltwise\",\"bottom\":[\"data\",\"data\",\"data\"],"
       "\"operation\":\"SUB\"", "SUB wants 2 bottoms, not 3"},
      {ELT ",\"operation\":\"PROD\",\"coeff\":[1,2]",
       "coeff does not go with PROD"},
      {ELT ",\"coeff\":[1]", "coeff wants 2 numbers"},
      {"\"type\":\"Softmax\",\"axis\":0" ONE, "axis wants"},
      {"\"type\":\"Concat\",\"axis\":4" ONE, "axis wants"},
      {"\"type\":\"Pooling\",\"pool\":\"MAX\",\"kernel_size\":[2,2],"
       "\"pad\":[1,1,1,1],\"dilation\":[6,1]" ONE, NULL},
      {"\"type\":\"Pooling\",\"pool\":\"MAX\",\"kernel_size\":[2,2],"
       "\"pad\":[1,1,1,1],\"dilation\":[7,1]" ONE,
       "a window of its height has no pixel"},
      {"\"type\":\"Pooling\",\"pool\":\"MAX\",\"global_pooling\":true,"
       "\"dilation\":[1,1]" ONE, "no geometry"}};
  (void)state;
  for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
    builder b;
    int four = 4, one = 1, none = 0, empty[3] = {2, 0, 3}, k[3] = {3, 6, 6};
    builder_open(&b, 1, 3, 6, 6);
    builder_values(&b, "four", -1, 1, 1, &four);
    builder_values(&b, "one", -1, 1, 1, &one);
    builder_values(&b, "none", -1, 1, 1, &none);
    builder_values(&b, "empty", -1, 1, 3, empty);
    builder_values(&b, "k", -1, 1, 3, k);
    builder_layer(&b, "\"name\":\"x\",%s", cases[i].layer);
    if (cases[i].why) {
      refused_network(&b, cases[i].why);
    } else {
      check_model(&b, 1, 1e-5);
      builder_close(&b);
    }
  }
}

/* What has no integer form is refused by its name, and so is the float form of
** what has one. */
static void test_integer_networks_refuse(void **state) {
  static const struct {
    const char *layer, *why;
  } cases[] = {
      {"\"type\":\"Clip\"" ONE, "Clip has no form in integer networks"},
      {"\"type\":\"HardSigmoid\"" ONE, "HardSigmoid has no form"},
      {"\"type\":\"HardSwish\"" ONE, "HardSwish has no form"},
      {"\"type\":\"Scale\"" ONE, "Scale has no form"},
      {"\"type\":\"Constant\"", "Constant has no form"},
      {PAD, "Padding has no form"},
      {"\"type\":\"ShuffleChannel\"" ONE, "ShuffleChannel has no form"},
      {SLICE, "Slice has no form"},
      {"\"type\":\"Reshape\"" ONE, "Reshape has no form"},
      {"\"type\":\"Permute\"" ONE, "Permute has no form"},
      {"\"type\":\"ReLU\",\"negative_slope\":0.1" ONE,
       "unknown member negative_slope"},
      {"\"type\":\"Softmax\",\"axis\":1" ONE, "unknown member axis"},
      {"\"type\":\"Concat\",\"axis\":2" ONE, "axis wants"},
      {"\"type\":\"Pooling\",\"pool\":\"MAX\",\"kernel_size\":[1,1],"
       "\"dilation\":[1,1]" ONE, "unknown member dilation"},
      {ELT ",\"coeff\":[1,2]", "unknown member coeff"},
      {ELT ",\"operation\":\"PROD\"", "operation is SUM, not PROD"}};
  (void)state;
  for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
    builder b;
    builder_open_integer(&b, 1, 3, 6, 6, "[0,0,0]");
    builder_layer(&b, "\"name\":\"x\",%s", cases[i].layer);
    refused_network(&b, cases[i].why);
  }
  builder b;   /* nor is anything broadcast */
  builder_open_integer(&b, 1, 3, 6, 6, "[0,0,0]");
  builder_layer(&b, "\"name\":\"p\",\"type\":\"Pooling\",\"pool\":\"MAX\","
                "\"global_pooling\":true" ONE);
  builder_layer(&b, "\"name\":\"x\",\"type\":\"Eltwise\",\"bottom\":[\"p\","
                "\"data\"],\"multiplier\":[1,1],\"shift\":1,\"scale\":1");
  refused_network(&b, "data is 3 x 6 x 6, which does not go with 3 x 1 x 1");
}

/* A Constant reads nothing, which a head that wants features must not take for
** a layer. */
static void test_constant_heads(void **state) {
  builder b;
  int k[3] = {8, 1, 1};
  (void)state;
  builder_open(&b, 1, 3, 6, 6);
  builder_values(&b, "k", -1, 1, 3, k);
  builder_layer(&b, "\"name\":\"k\",\"type\":\"Constant\",\"weight\":\"k\"");
  builder_member(&b, "\"heads\":[{\"name\":\"h\",\"latent\":\"k\"}]");
  refused_network(&b, "latent names a layer that reads none");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_by_hand),
      cmocka_unit_test(test_random_forms),
      cmocka_unit_test(test_broadcasts),
      cmocka_unit_test(test_depthwise),
      cmocka_unit_test(test_refusals),
      cmocka_unit_test(test_integer_networks_refuse),
      cmocka_unit_test(test_constant_heads),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
** The layers: every fast layer against its naive reference over random
** geometries, and values worked out by hand.  Whole graphs, and what these
** checks are worth, are test_graphs.c.
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

static void test_random_geometries(void **state) {
  static const nn_type types[] = {
      NN_CONVOLUTION, NN_CONVOLUTION, NN_CONVOLUTION, NN_POOLING,
      NN_POOLING,     NN_LRN,         NN_INNER_PRODUCT, NN_BATCH_NORM,
      NN_SOFTMAX,     NN_SIGMOID,     NN_RELU,          NN_FLATTEN};
  (void)state;
  for (int i = 0; i < 1500; i++) {
    builder b;
    builder_open(&b, (uint64_t)i + 1, 1, 1, 1);
    int side = i % 4 ? 14 : 4;
    int c = builder_pick(&b, 1, 12), h = builder_pick(&b, 1, side);
    shape in = {c, h, builder_pick(&b, 1, side)};
    builder_close(&b);
    builder_open(&b, (uint64_t)i + 1, in.c, in.h, in.w);
    b.int8 = i % 5 == 0;
    add_layer(&b, types[i % 12], "layer", "data", in);
    check_model(&b, 1 + i % 3, 1e-5);
    builder_close(&b);
  }
}

/* A convolution in several strips of rows, a plane larger than LRN's block. */
static void test_large_planes(void **state) {
  builder b;
  int weights[4] = {5, 64, 5, 5};
  (void)state;
  builder_open(&b, 7, 64, 60, 61);
  builder_values(&b, "w", -1, 1, 4, weights);
  builder_layer(&b, "\"name\":\"norm\",\"type\":\"LRN\",\"bottom\":[\"data\"],"
                "\"local_size\":5,\"alpha\":0.1,\"beta\":0.75");
  builder_layer(&b, "\"name\":\"conv\",\"type\":\"Convolution\","
                "\"bottom\":[\"norm\"],\"num_output\":5,"
                "\"kernel_size\":[5,5],\"stride\":[2,1],"
                "\"pad\":[2,2,2,2],\"weight\":\"w\"");
  check_model(&b, 2, 1e-5);
  builder_close(&b);
}

/* By hand ----------------------------------------------------------------- */

static void check_values(const char *layer, int c, int h, int w,
                         const float *input, int n, const float *want) {
  builder b;
  uint8_t *file;
  builder_open(&b, 1, c, h, w);
  float ones[4] = {1, 1, 1, 1}, cross[9] = {0, 1, 0, 1, 2, 1, 0, 1, 0};
  int four[4] = {1, 1, 2, 2}, nine[4] = {1, 1, 3, 3};
  builder_tensor(&b, "ones", 4, four, ones);
  builder_tensor(&b, "cross", 4, nine, cross);
  builder_layer(&b, "\"name\":\"x\",\"bottom\":[\"data\"],%s", layer);
  nn_model *model = open_model(&b, &file);
  int chw[3];
  assert_int_equal(nn_model_blob_shape(model, 1, chw), (size_t)n);
  for (int engine = NN_FAST; engine <= NN_REFERENCE; engine++) {
    float *got = run_blob(model, (nn_engine)engine, input, 1, 1);
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

#define CHECK_VALUES(layer, c, h, w, input, ...)                        \
  do {                                                                  \
    const float want_[] = __VA_ARGS__;                                  \
    check_values(layer, c, h, w, input,                                 \
                 (int)(sizeof(want_) / sizeof(float)), want_);          \
  } while (0)

static void test_by_hand(void **state) {
  float x[16];
  (void)state;
  for (int i = 0; i < 16; i++) x[i] = (float)(i + 1);
  /* 4x4, kernel 3, stride 2: Caffe has 2x2, PyTorch 1x1 */
  CHECK_VALUES("\"type\":\"Pooling\",\"pool\":\"MAX\",\"kernel_size\":[3,3],"
               "\"stride\":[2,2]", 1, 4, 4, x, {11, 12, 15, 16});
  CHECK_VALUES("\"type\":\"Pooling\",\"pool\":\"MAX\",\"kernel_size\":[3,3],"
               "\"stride\":[2,2],\"round_mode\":\"FLOOR\"", 1, 4, 4, x, {11});
  /* the window that hangs over the edge counts what is within the image */
  CHECK_VALUES("\"type\":\"Pooling\",\"pool\":\"AVE\",\"kernel_size\":[3,3],"
               "\"stride\":[2,2]", 1, 4, 4, x, {6, 7.5f, 12, 13.5f});
  /* padding counts, unless it is told not to */
  CHECK_VALUES("\"type\":\"Pooling\",\"pool\":\"AVE\",\"kernel_size\":[2,2],"
               "\"stride\":[2,2],\"pad\":[1,1,1,1]", 1, 2, 2, x,
               {0.25f, 0.5f, 0.75f, 1});
  CHECK_VALUES("\"type\":\"Pooling\",\"pool\":\"AVE\",\"kernel_size\":[2,2],"
               "\"stride\":[2,2],\"pad\":[1,1,1,1],"
               "\"count_include_pad\":false", 1, 2, 2, x, {1, 2, 3, 4});
  /* ceil would begin a third window at column 4, in the right padding */
  CHECK_VALUES("\"type\":\"Pooling\",\"pool\":\"MAX\",\"kernel_size\":[1,2],"
               "\"stride\":[1,2],\"pad\":[0,0,0,1]", 1, 1, 4, x, {2, 4});
  CHECK_VALUES("\"type\":\"Pooling\",\"pool\":\"AVE\","
               "\"global_pooling\":true", 2, 2, 2, x, {2.5f, 6.5f});
  CHECK_VALUES("\"type\":\"Convolution\",\"num_output\":1,\"kernel_size\":"
               "[2,2],\"weight\":\"ones\",\"dilation\":[2,2]", 1, 4, 4, x,
               {24, 28, 40, 44});
  /* padding at the top and the left alone: not symmetric */
  CHECK_VALUES("\"type\":\"Convolution\",\"num_output\":1,\"kernel_size\":"
               "[2,2],\"weight\":\"ones\",\"stride\":[2,2],"
               "\"pad\":[1,1,0,0]", 1, 3, 3, x, {1, 5, 11, 28});
  CHECK_VALUES("\"type\":\"Convolution\",\"num_output\":1,\"kernel_size\":"
               "[3,3],\"weight\":\"cross\",\"pad\":[1,0,0,1]", 1, 2, 2, x,
               {9});
  const float l[3] = {1, 2, 3};
  CHECK_VALUES("\"type\":\"LRN\",\"local_size\":3,\"alpha\":3,\"beta\":0.75",
               3, 1, 1, l, {0.2608474f, 0.2623992f, 0.4145021f});
  CHECK_VALUES("\"type\":\"LRN\",\"local_size\":3,\"alpha\":3,\"beta\":1,"
               "\"k\":2", 3, 1, 1, l, {1 / 7.f, 2 / 16.f, 3 / 15.f});
  const float z[3] = {0, 1001, 1000};
  CHECK_VALUES("\"type\":\"Softmax\"", 3, 1, 1, z,
               {0, 0.7310586f, 0.2689414f});
  const float s[3] = {0, -1000, 2};
  CHECK_VALUES("\"type\":\"Sigmoid\"", 3, 1, 1, s, {0.5f, 0, 0.8807971f});
  CHECK_VALUES("\"type\":\"ReLU\"", 3, 1, 1, s, {0, 0, 2});
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_by_hand),
      cmocka_unit_test(test_random_geometries),
      cmocka_unit_test(test_large_planes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

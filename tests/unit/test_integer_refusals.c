/*
** What the reader refuses in an integer network: every member and tensor that
** is missing, of another type or out of its range, each with the layer and
** member that it is about, and sums that could leave 32 bits.  The good form
** stands beside the bad ones, so that a check cannot refuse everything.
*/
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model_test.h"

/* Refused ----------------------------------------------------------------- */

/* Tensors for 3 x 6 x 6 pixels with zero points 0, 255, 7. */
static void add_tensors(builder *b) {
  static const float scales[4] = {1, 0.5f, 0x1.fffep3f, 0x1p-60f};
  static const float fine[4] = {1, 0x1.00001p0f, 1, 1}, one[4] = {1, 1, 1, 1};
  static const float low[4] = {1, 1, 0x1p-61f, 1}, high[4] = {0x1p61f, 1, 1, 1};
  static const int32_t good[4] = {0, 1, 5, INT32_MAX};
  static const int32_t shift[4] = {1, 30, 62, 9};
  static const int32_t bad_shift[4] = {1, 0, 2, 3}, far[4] = {1, 63, 2, 3};
  static const int32_t minus[4] = {1, 2, -1, 3}, zeros[4] = {0, 0, 0, 0};
  static const int32_t exponential[4] = {1 << 30, 5, 0, 0};
  static const int32_t steep[4] = {1 << 30, (1 << 30) + 1, 0, 0};
  static const int32_t most[4] = {INT32_MAX, 0, 0, 0};
  int shape[4] = {4, 3, 3, 3}, fc[2] = {4, 108};
  const int cube[3] = {2, 1, 1};
  int8_t w[432];
  uint8_t lookup[256] = {0};
  memset(w, 1, sizeof(w));
  builder_vector(b, "scales", 4, scales);
  builder_vector(b, "same", 4, one);
  builder_vector(b, "fine", 4, fine);
  builder_vector(b, "low", 4, low);
  builder_vector(b, "high", 4, high);
  builder_vector(b, "three", 3, one);
  builder_values(b, "float", -1, 1, 4, shape);
  builder_i32(b, "m", 4, good);
  builder_i32(b, "s", 4, shift);
  builder_i32(b, "s0", 4, bad_shift);
  builder_i32(b, "s63", 4, far);
  builder_i32(b, "minus", 4, minus);
  builder_i32(b, "zeros", 4, zeros);
  builder_i32(b, "exp", 4, exponential);
  builder_i32(b, "steep", 4, steep);
  builder_i32(b, "most", 4, most);
  builder_i32(b, "none", 0, zeros);
  builder_i8(b, "w", 4, shape, w);
  builder_i8(b, "fc", 2, fc, w);
  lookup[9] = 127;
  builder_u8(b, "t", 256, lookup);
  lookup[200] = 128;
  builder_u8(b, "t128", 256, lookup);
  builder_entry(b, "k", "U8", 1, 3, cube);
  builder_bytes(&b->data, "\0\011", 2);
  builder_entry(b, "cube", "I8", 1, 3, cube);
  builder_bytes(&b->data, "\0\0", 2);
  builder_u8(b, "t255", 255, lookup);
}

#define SUMS                                                               \
  "\"name\":\"sums\",\"type\":\"InnerProduct\",\"bottom\":[\"data\"],"     \
  "\"num_output\":4,\"weight\":\"fc\",\"scales\":\"scales\""
#define BYTES "\"scale\":0.5"
#define CONV                                                               \
  "\"type\":\"Convolution\",\"bottom\":[\"data\"],\"num_output\":4,"       \
  "\"kernel_size\":[3,3],\"weight\":\"w\","
#define FC "\"type\":\"InnerProduct\",\"bottom\":[\"data\"],\"num_output\":4,"
#define MS "\"multiplier\":\"m\",\"shift\":\"s\","
#define ELT "\"type\":\"Eltwise\",\"bottom\":[\"data\",\"data\"],"
#define CAT "\"type\":\"Concat\",\"bottom\":[\"data\"],"
#define SIG "\"type\":\"Sigmoid\",\"bottom\":[\"data\"],"
#define PROD "\"operation\":\"PROD\","
#define LOOK "\"type\":\"Lookup\",\"bottom\":[\"data\"],"
#define MOVE "\"bottom\":[\"data\"],\"type\":"
#define LRN "\"type\":\"LRN\",\"bottom\":[\"data\"],"
#define SOFT "\"type\":\"Softmax\",\"bottom\":[\"sums\"],"
#define SCALE "scale wants a number from 2^-60 to 2^60 of at most 16"

static const struct {
  const char *layer, *why;   /* NULL: it is a good layer */
} cases[] = {
    {CONV MS BYTES, NULL},
    {CONV MS BYTES ",\"max\":255,\"zero_point\":255", NULL},
    {CONV "\"scales\":\"scales\"", NULL},
    {CONV MS BYTES ",\"max\":256", "layer x: max wants a whole number from 1"},
    {CONV MS BYTES ",\"max\":0", "max wants a whole number from 1 to 255"},
    {CONV MS BYTES ",\"zero_point\":128",
     "layer x: zero_point wants a whole number from 0 to 127"},
    {CONV MS BYTES ",\"zero_point\":-1", "zero_point wants"},
    {CONV MS "\"max\":9", "layer x: no scale"},
    {CONV MS "\"scale\":0", SCALE},
    {CONV MS "\"scale\":-1", SCALE},
    {CONV MS "\"scale\":\"1\"", SCALE},
    {CONV MS "\"scale\":1.0000001", SCALE},
    {CONV MS "\"scale\":0.1", SCALE},
    {CONV MS "\"scale\":1e19", SCALE},
    {CONV MS "\"scale\":8e-19", SCALE},
    {CONV MS "\"scale\":8.673617379884035e-19", NULL},
    {CONV MS "\"scale\":1152921504606846976", NULL},
    {CONV MS "\"scale\":1152939097061330944", SCALE},
    {CONV MS "\"scale\":0.0999755859375", NULL},   /* 52416 / 2^19 */
    {CONV BYTES, "layer x: wants multiplier, shift and scale, or scales"},
    {CONV "\"multiplier\":\"m\"," BYTES, "layer x: no shift"},
    {CONV "\"multiplier\":\"minus\",\"shift\":\"s\"," BYTES,
     "layer x: multiplier: entry 2 is -1, not 0 to 2147483647"},
    {CONV "\"multiplier\":\"m\",\"shift\":\"s0\"," BYTES,
     "layer x: shift: entry 1 is 0, not 1 to 62"},
    {CONV "\"multiplier\":\"m\",\"shift\":\"s63\"," BYTES,
     "layer x: shift: entry 1 is 63, not 1 to 62"},
    {CONV "\"multiplier\":\"same\",\"shift\":\"s\"," BYTES,
     "layer x: multiplier wants a tensor of I32"},
    {CONV "\"multiplier\":3,\"shift\":\"s\"," BYTES,
     "layer x: multiplier wants a string"},
    {CONV "\"multiplier\":\"none\",\"shift\":\"s\"," BYTES,
     "multiplier has shape [0], expected [4]"},
    {CONV MS BYTES ",\"scales\":\"scales\"",
     "layer x: multiplier does not go with scales"},
    {CONV "\"scales\":\"scales\",\"max\":3", "max does not go with scales"},
    {CONV "\"scales\":\"three\"", "scales has shape [3], expected [4]"},
    {CONV "\"scales\":\"m\"", "layer x: scales wants a tensor of F32"},
    {CONV "\"scales\":\"fine\"", "layer x: scales: that of channel 1 is no"},
    {CONV "\"scales\":\"low\"", "scales: that of channel 2"},
    {CONV "\"scales\":\"high\"", "scales: that of channel 0"},
    {CONV "\"scales\":\"same\",\"bias\":\"same\"",
     "layer x: bias wants a tensor of I32"},
    {CONV "\"scales\":\"same\",\"bias\":\"most\"",
     "layer x: weight: the sum of filter 0 can reach"},
    {CONV "\"scales\":\"same\",\"eps\":1", "layer x: unknown member eps"},
    {"\"type\":\"Convolution\",\"bottom\":[\"data\"],\"num_output\":4,"
     "\"kernel_size\":[3,3],\"weight\":\"float\",\"scales\":\"same\"",
     "layer x: weight wants a tensor of I8"},
    {FC "\"weight\":\"w\",\"scales\":\"same\"",
     "layer x: weight has shape [4, 3, 3, 3], expected [4, 108]"},
    {FC "\"weight\":\"nosuch\",\"scales\":\"same\"", "no tensor nosuch"},
    {FC "\"scales\":\"same\"", "layer x: no weight"},
    {FC "\"weight\":\"fc\",\"scales\":\"same\"", NULL},
    {"\"type\":\"InnerProduct\",\"bottom\":[\"sums\"],\"num_output\":4,"
     "\"weight\":\"fc\",\"scales\":\"same\"",
     "layer x: its bottom sums has sums, and it reads bytes"},
    {"\"type\":\"ReLU\",\"bottom\":[\"sums\"]",
     "layer x: its bottom sums has sums, and it reads bytes"},
    {"\"type\":\"Pooling\",\"bottom\":[\"sums\"],\"pool\":\"MAX\","
     "\"global_pooling\":true", "it reads bytes"},
    {"\"type\":\"Flatten\",\"bottom\":[\"sums\"]", "it reads bytes"},
    {"\"type\":\"MirrorMean\",\"bottom\":[\"sums\"]", "it reads bytes"},
    {"\"type\":\"ReLU\",\"bottom\":[\"data\"],\"scale\":1",
     "unknown member scale"},
    {"\"type\":\"BatchNorm\",\"bottom\":[\"data\"],\"mean\":\"three\","
     "\"variance\":\"three\"",
     "layer x: BatchNorm has no form in integer networks"},
    {ELT "\"multiplier\":[1,2],\"shift\":3," BYTES, NULL},
    {ELT BYTES, "layer x: no multiplier"},
    {ELT "\"multiplier\":[1,2]," BYTES, "layer x: no shift"},
    {ELT "\"multiplier\":[1],\"shift\":3," BYTES,
     "multiplier wants 2 whole numbers from -1073741824 to 1073741824"},
    {ELT "\"multiplier\":[1,-1],\"shift\":3," BYTES, NULL},
    {ELT "\"multiplier\":[1,-1073741825],\"shift\":3," BYTES,
     "multiplier wants 2"},
    {ELT "\"multiplier\":[4210752,-4210753],\"shift\":1," BYTES,
     "layer x: multiplier: a sum can reach 2147483776, which is more"},
    {ELT "\"multiplier\":[1,1.5],\"shift\":3," BYTES, "multiplier wants 2"},
    {ELT "\"multiplier\":[1,2],\"shift\":0," BYTES, "shift wants"},
    {ELT "\"multiplier\":[1,2],\"shift\":31," BYTES, "shift wants"},
    {ELT "\"multiplier\":[1,2],\"shift\":3", "layer x: no scale"},
    {ELT "\"multiplier\":[1,2],\"shift\":3,\"max\":256," BYTES,
     "max wants a whole number from 1 to 255"},
    {ELT "\"multiplier\":[4210752,4210752],\"shift\":1," BYTES, NULL},
    {ELT "\"multiplier\":[4210752,4210753],\"shift\":1," BYTES,
     "layer x: multiplier: a sum can reach 2147483776, which is more"},
    {ELT "\"multiplier\":[4210752,2105377],\"shift\":30," BYTES,
     "layer x: multiplier: a sum can reach"},
    {ELT "\"multiplier\":[1,2],\"shift\":3,\"operation\":\"MAX\"," BYTES, NULL},
    {ELT "\"multiplier\":[1,-2],\"shift\":3,\"operation\":\"MAX\"," BYTES,
     "multiplier wants 2 whole numbers from 0 to 1073741824"},
    {ELT "\"multiplier\":[1,2],\"shift\":3,\"operation\":\"DIV\"," BYTES,
     "operation is SUM"},
    {ELT PROD "\"multiplier\":2147483647,\"shift\":62," BYTES, NULL},
    {ELT PROD "\"multiplier\":[1],\"shift\":3," BYTES, "multiplier wants a"},
    {ELT PROD "\"multiplier\":-1,\"shift\":3," BYTES, "multiplier wants a"},
    {ELT PROD "\"multiplier\":1,\"shift\":63," BYTES, "shift wants a"},
    {ELT PROD "\"multiplier\":1,\"shift\":3", "layer x: no scale"},
    {"\"type\":\"Eltwise\",\"bottom\":[\"data\",\"data\",\"data\"]," PROD
     "\"multiplier\":1,\"shift\":3," BYTES, "PROD wants 2 bottoms, not 3"},
    {LOOK "\"table\":\"t\"," BYTES, NULL},
    {LOOK "\"table\":\"t128\"," BYTES, "entry 200 is 128, and max 127"},
    {"\"type\":\"Constant\",\"weight\":\"k\"," BYTES, NULL},
    {"\"type\":\"Constant\",\"weight\":\"k\",\"max\":8," BYTES,
     "layer x: weight: value 1 is 9, and max 8"},
    {"\"type\":\"Constant\",\"weight\":\"cube\"," BYTES,
     "layer x: weight wants a tensor of U8"},
    {"\"type\":\"Constant\",\"weight\":\"k\"", "layer x: no scale"},
    {MOVE "\"Slice\",\"begin\":0,\"end\":1",
     "layer x: the channels of data have different zero points"},
    {MOVE "\"Permute\",\"order\":[1,3,2]", "different zero points"},
    {MOVE "\"Reshape\",\"dims\":[3,36,1]", "different zero points"},
    {MOVE "\"ShuffleChannel\",\"group\":3", "different zero points"},
    {MOVE "\"Padding\",\"pad\":[1,1,1,1],\"value\":255", NULL},
    {MOVE "\"Padding\",\"pad\":[1,1,1,1],\"value\":256",
     "value wants a whole number from 0 to 255"},
    {MOVE "\"Padding\",\"pad\":[1,1,1,1],\"value\":0.5", "value wants a whole"},
    {"\"type\":\"Padding\",\"bottom\":[\"sums\"],\"pad\":[1,1,1,1]",
     "layer x: its bottom sums has sums, and it reads bytes"},
    {MOVE "\"Softmax\",\"axis\":1", "unknown member axis"},
    {"\"type\":\"Eltwise\",\"bottom\":[\"sums\",\"sums\"],"
     "\"multiplier\":[1,2],\"shift\":3," BYTES, "it reads bytes"},
    {CAT "\"multiplier\":[8421504],\"shift\":1," BYTES, NULL},
    {CAT "\"multiplier\":[8421505],\"shift\":1," BYTES, "a sum can reach"},
    {CAT "\"multiplier\":1,\"shift\":1," BYTES, "multiplier wants 1"},
    {SIG "\"table\":\"t\"," BYTES, NULL},
    {SIG BYTES, "layer x: no table"},
    {SIG "\"table\":\"t\"", "layer x: no scale"},
    {SIG "\"table\":\"t128\"," BYTES,
     "layer x: table: entry 200 is 128, and max 127"},
    {SIG "\"table\":\"t\",\"max\":100," BYTES, "entry 9 is 127, and max 100"},
    {SIG "\"table\":\"t255\"," BYTES, "table has shape [255], expected [256]"},
    {SIG "\"table\":\"m\"," BYTES, "table has shape [4], expected [256]"},
    {SIG "\"table\":\"t\"," MS BYTES, "multiplier does not go with bytes"},
    {"\"type\":\"Sigmoid\",\"bottom\":[\"sums\"],\"table\":\"t\"," MS BYTES,
     NULL},
    {"\"type\":\"Sigmoid\",\"bottom\":[\"sums\"],\"table\":\"t\"," BYTES,
     "layer x: no multiplier"},
    {LRN "\"local_size\":3,\"table\":\"m\",\"sum_shift\":0,\"shift\":62,"
     BYTES, NULL},
    {LRN "\"table\":\"m\",\"sum_shift\":0,\"shift\":62," BYTES,
     "layer x: no local_size"},
    {LRN "\"local_size\":2,\"table\":\"m\",\"sum_shift\":0,\"shift\":62,"
     BYTES, "local_size must be odd"},
    {LRN "\"local_size\":3,\"sum_shift\":0,\"shift\":62," BYTES,
     "layer x: no table"},
    {LRN "\"local_size\":3,\"table\":\"m\",\"shift\":62," BYTES,
     "layer x: no sum_shift"},
    {LRN "\"local_size\":3,\"table\":\"m\",\"sum_shift\":31,\"shift\":62,"
     BYTES, "sum_shift wants a whole number from 0 to 30"},
    {LRN "\"local_size\":3,\"table\":\"m\",\"sum_shift\":0,\"shift\":63,"
     BYTES, "shift wants a whole number from 1 to 62"},
    {LRN "\"local_size\":3,\"table\":\"minus\",\"sum_shift\":0,\"shift\":62,"
     BYTES, "table: entry 2 is -1, not 0 to"},
    {LRN "\"local_size\":3,\"table\":\"none\",\"sum_shift\":0,\"shift\":62,"
     BYTES, "table has 0 entries, not 1 to 65536"},
    {LRN "\"local_size\":3,\"table\":\"fc\",\"sum_shift\":0,\"shift\":62,"
     BYTES, "table has shape [4, 108], expected [n]"},
    {LRN "\"local_size\":3,\"alpha\":1," BYTES, "unknown member alpha"},
    {SOFT "\"table\":\"exp\",\"shift\":30", "channels of sums have different"},
    {"\"type\":\"Softmax\",\"bottom\":[\"data\"],\"table\":\"exp\","
     "\"shift\":1", "its bottom data has bytes, and it reads sums"},
    {"\"type\":\"Softmax\",\"bottom\":[\"same\"],\"table\":\"exp\","
     "\"shift\":30", NULL},
    {"\"type\":\"Softmax\",\"bottom\":[\"same\"],\"table\":\"exp\"",
     "layer x: no shift"},
    {"\"type\":\"Softmax\",\"bottom\":[\"same\"],\"shift\":3",
     "layer x: no table"},
    {"\"type\":\"Softmax\",\"bottom\":[\"same\"],\"table\":\"steep\","
     "\"shift\":3", "table: entry 1 is 1073741825, not 0 to 1073741824"},
    {"\"type\":\"Softmax\",\"bottom\":[\"same\"],\"table\":\"zeros\","
     "\"shift\":3", "layer x: table: entry 0 is 0"},
    {"\"type\":\"MirrorMean\",\"bottom\":[\"data\"]", NULL}};

static void open_case(builder *b, const char *zero) {
  builder_open_integer(b, 1, 3, 6, 6, zero);
  add_tensors(b);
}

static void test_refused(void **state) {
  int good = 0;
  (void)state;
  for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
    builder b;
    size_t n;
    open_case(&b, "[0,255,7]");
    builder_layer(&b, SUMS);
    builder_layer(&b, "\"name\":\"same\"," FC
                  "\"weight\":\"fc\",\"scales\":\"same\"");
    builder_layer(&b, "\"name\":\"x\",%s", cases[i].layer);
    if (cases[i].why) {
      refused_network(&b, cases[i].why);
      continue;
    }
    uint8_t *file = builder_finish(&b, &n);
    nn_model_close(opened(file, n));
    free(file);
    builder_close(&b);
    good++;
  }
  assert_true(good > 10);
}

static void test_networks_refused(void **state) {
  static const char *const zeros[] = {"[0,0]",    "[0,0,0,0]", "0",
                                      "[0,0,256]", "[0,-1,0]",  "[0,0.5,0]",
                                      "\"0\"",     "[]"};
  builder b;
  (void)state;
  for (size_t i = 0; i < sizeof(zeros) / sizeof(*zeros); i++) {
    open_case(&b, zeros[i]);
    builder_layer(&b, SUMS);
    refused_network(&b, "input: zero_point wants 3 whole numbers from 0 to");
  }
  for (int i = 0; i < 2; i++) {
    open_case(&b, "[0,0,0]");
    builder_layer(&b, SUMS);
    builder_member(&b, "\"preprocess\":{\"%s\":[0,0,0]}",
                   i ? "mean" : "scale");
    refused_network(&b, "preprocess: an integer network reads the pixels");
  }
  builder_open(&b, 1, 3, 6, 6);
  builder_layer(&b, "\"name\":\"x\",\"type\":\"MirrorMean\","
                "\"bottom\":[\"data\"]");
  refused_network(&b, "layer x: MirrorMean is for integer networks alone");
}

/* What may not be said of MirrorMeans; the others of these are taken. */
static void test_mirror_means(void **state) {
  static const struct {
    const char *type, *bottom, *why;
    int behind;   /* layers behind m, before x */
  } wrong[] = {
      {"ReLU", "r", "layer x: its bottom r lies before the MirrorMean", 0},
      {"ReLU", "data", "layer x: its bottom data lies before the MirrorMean",
       0},
      {"ReLU", "r", "layer x: its bottom r lies before the MirrorMean", 1},
      {"MirrorMean", "m", "layer x: its bottom m depends on a MirrorMean", 0},
      {"MirrorMean", "s", "layer x: its bottom s depends on a MirrorMean", 1},
      {"MirrorMean", "r", "layer x: MirrorMeans stand side by side, and layers "
       "stand between it and m", 1},
      {"MirrorMean", "r", NULL, 0},
      {"MirrorMean", "data", NULL, 0},
      {"ReLU", "m", NULL, 1}};
  (void)state;
  for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
    builder b;
    size_t n;
    open_case(&b, "[0,0,0]");
    builder_layer(&b, "\"name\":\"r\",\"type\":\"ReLU\","
                  "\"bottom\":[\"data\"]");
    builder_layer(&b, "\"name\":\"m\",\"type\":\"MirrorMean\","
                  "\"bottom\":[\"r\"]");
    if (wrong[i].behind) {
      builder_layer(&b, "\"name\":\"s\",\"type\":\"ReLU\","
                    "\"bottom\":[\"m\"]");
    }
    builder_layer(&b, "\"name\":\"x\",\"type\":\"%s\",\"bottom\":[\"%s\"]",
                  wrong[i].type, wrong[i].bottom);
    if (wrong[i].why) {
      refused_network(&b, wrong[i].why);
      continue;
    }
    uint8_t *file = builder_finish(&b, &n);
    nn_model_close(opened(file, n));
    free(file);
    builder_close(&b);
  }
}

/* A filter whose worst sum is 2^31 - 1 is taken, and one more is not; so it is
** for negative sums, and with zero points that move the constant. */
static void test_worst_sums(void **state) {
  (void)state;
  for (int i = 0; i < 8; i++) {
    builder b;
    size_t n;
    const int shape[2] = {1, 2};
    const int8_t w[2] = {127, -128};
    const float scale = 1;
    int zero = i & 4 ? 200 : 0, sign = i & 2 ? -1 : 1;
    /* 255 * 255 is what the products reach, zero * 1 what moves */
    int32_t bias = sign * (INT32_MAX - 255 * 255 + (i & 1)) - zero;
    builder_open_integer(&b, 1, 2, 1, 1, zero ? "[200,200]" : "[0,0]");
    builder_i8(&b, "w", 2, shape, w);
    builder_i32(&b, "b", 1, &bias);
    builder_vector(&b, "v", 1, &scale);
    builder_layer(&b, "\"name\":\"x\",\"type\":\"InnerProduct\",\"bottom\":"
                  "[\"data\"],\"num_output\":1,\"weight\":\"w\",\"bias\":"
                  "\"b\",\"scales\":\"v\"");
    if (i & 1) {
      refused_network(&b, "sum of filter 0 can reach 2147483648");
      continue;
    }
    uint8_t *file = builder_finish(&b, &n);
    nn_model *model = opened(file, n);
    float x[2] = {sign > 0 ? 255 : 0, sign > 0 ? 0 : 255}, y;
    nn_error err;
    for (int e = NN_FAST; e <= NN_BLAS; e++) {
      assert_int_equal(nn_run(&nn_memory_libc, model, (nn_engine)e, x, 1, 1,
                              &y, &err), NN_OK);
      double want = (double)bias + 127.0 * ((double)x[0] - zero) -
                    128.0 * ((double)x[1] - zero);
      assert_true(y == (float)want);
    }
    nn_model_close(model);
    free(file);
    builder_close(&b);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_refused),
      cmocka_unit_test(test_networks_refused),
      cmocka_unit_test(test_mirror_means),
      cmocka_unit_test(test_worst_sums),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
** The model reader on files that are right, and on every way of being wrong
** that has a name: offsets, lengths, shapes, words, geometry, heads.  Each
** error must say what it is about.
*/
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../nn/nn_int.h"
#include "model_builder.h"

#define META                                                              \
  "\"__metadata__\":{\"format\":\"binhash\",\"format_version\":\"1\","    \
  "\"network\":\"{\\\"input\\\":{\\\"name\\\":\\\"data\\\","              \
  "\\\"channels\\\":1,\\\"height\\\":2,\\\"width\\\":2},"                 \
  "\\\"layers\\\":[{\\\"name\\\":\\\"a\\\",\\\"type\\\":\\\"ReLU\\\","    \
  "\\\"bottom\\\":[\\\"data\\\"]}]}\"}"

static void refused(const uint8_t *file, size_t n, const char *why) {
  nn_model *model = (nn_model *)(void *)&model;
  nn_error err = {NN_OK, ""};
  uint8_t *copy = malloc(n + !n);   /* exactly n bytes, for asan */
  assert_non_null(copy);
  if (n) memcpy(copy, file, n);
  nn_status status = nn_model_open(&nn_memory_libc, copy, n, &model, &err);
  if (status == NN_OK) fail_msg("accepted, expected \"%s\"", why);
  assert_int_equal(status, NN_MODEL);
  assert_int_equal(err.status, NN_MODEL);
  assert_null(model);
  if (!strstr(err.text, why)) fail_msg("\"%s\", not \"%s\"", err.text, why);
  free(copy);
}

/* The header as given, with 16 bytes of data. */
static void refused_header(const char *header, const char *why) {
  static const uint8_t data[16];
  size_t n;
  uint8_t *file =
      builder_file(header, strlen(header), data, sizeof(data), &n);
  refused(file, n, why);
  free(file);
}

static void refused_network(builder *b, const char *why) {
  size_t n;
  uint8_t *file = builder_finish(b, &n);
  refused(file, n, why);
  free(file);
  builder_close(b);
}

static nn_model *opened(const uint8_t *file, size_t n) {
  nn_model *model;
  nn_error err;
  if (nn_model_open(&nn_memory_libc, file, n, &model, &err) != NN_OK) {
    fail_msg("%s", err.text);
  }
  assert_string_equal(err.text, "");
  return model;
}

/* The file ---------------------------------------------------------------- */

static void test_header(void **state) {
  uint8_t file[64] = {0};
  (void)state;
  refused(file, 0, "0 bytes are no model file");
  refused(file, 7, "7 bytes are no model file");
  refused(file, 8, "byte 0: expected a value");
  memset(file, 0xff, 8);
  refused(file, 64, "cut short");
  memset(file, 0, 8);
  file[0] = 57;
  refused(file, 64, "header has 57 bytes and 56 follow");
  refused_header("[]", "not a JSON object");
  refused_header("{}", "16 bytes after the last tensor");
  refused_header("{\"__metadata__\":{\"format\":\"pt\"}}", "16 bytes after");
  refused_header("{\"t\":{\"dtype\":\"U8\",\"shape\":[16],"
                 "\"data_offsets\":[0,16]},"
                 "\"__metadata__\":{\"format\":\"pt\"}}",
                 "not one of binhash");
  refused_header("{\"t\":{\"dtype\":\"U8\",\"shape\":[16],"
                 "\"data_offsets\":[0,16]},\"__metadata__\":"
                 "{\"format\":\"binhash\",\"format_version\":\"2\","
                 "\"network\":\"{}\"}}",
                 "format version 2");
  refused_header("{\"t\":{\"dtype\":\"U8\",\"shape\":[16],"
                 "\"data_offsets\":[0,16]},\"__metadata__\":"
                 "{\"format\":\"binhash\",\"network\":\"{}\"}}",
                 "format version missing");
  refused_header("{\"t\":{\"dtype\":\"U8\",\"shape\":[16],"
                 "\"data_offsets\":[0,16]},\"__metadata__\":"
                 "{\"format\":\"binhash\",\"format_version\":\"1\","
                 "\"network\":\"{\\\"a\\\" 1}\"}}",
                 "network, byte 5: expected a colon");
}

static void test_tensors(void **state) {
  static const struct {
    const char *tensors, *why;
  } cases[] = {
      {"\"t\":1", "tensor t: no dtype"},
      {"\"t\":{\"dtype\":\"F33\"}", "tensor t: unknown dtype"},
      {"\"t\":{\"dtype\":\"F32\"}", "tensor t: no shape"},
      {"\"t\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1]}", "no shape"},
      {"\"t\":{\"dtype\":\"F32\",\"shape\":[-1]}", "whole numbers"},
      {"\"t\":{\"dtype\":\"F32\",\"shape\":[1.5]}", "whole numbers"},
      {"\"t\":{\"dtype\":\"F32\",\"shape\":[4]}", "data_offsets wants"},
      {"\"t\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0]}",
       "data_offsets wants"},
      {"\"t\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,1e1]}",
       "data_offsets wants"},
      {"\"t\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[-16,0]}",
       "outside"},
      {"\"t\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[16,0]}",
       "outside"},
      {"\"t\":{\"dtype\":\"F32\",\"shape\":[5],\"data_offsets\":[0,20]}",
       "outside"},
      {"\"t\":{\"dtype\":\"F32\",\"shape\":[4],"
       "\"data_offsets\":[9223372036854775792,9223372036854775807]}",
       "outside"},
      {"\"t\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,16]}",
       "disagree"},
      {"\"t\":{\"dtype\":\"I8\",\"shape\":[4],\"data_offsets\":[0,16]}",
       "disagree"},
      /* products that wrap to the right length */
      {"\"t\":{\"dtype\":\"F32\",\"shape\":[4611686018427387905,4],"
       "\"data_offsets\":[0,16]}", "disagree"},
      {"\"t\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],"
       "\"data_offsets\":[0,0]}", "disagree"},
      {"\"t\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904],"
       "\"data_offsets\":[0,0]}", "disagree"},
      {"\"t\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}",
       "8 bytes after the last tensor"},
      {"\"t\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,16]}",
       "tensor t: unused bytes"},
      {"\"s\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,12]},"
       "\"t\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,16]}",
       "tensor t: its bytes overlap"},
      {"\"s\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]},"
       "\"t\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}",
       "overlap"},
      {"\"s\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]},"
       "\"s\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}",
       "the key s comes twice"},
      {"\"a\\nb\\u001b\":1", "tensor a\\x0ab\\x1b: no dtype"}};
  (void)state;
  for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
    char header[2048];
    snprintf(header, sizeof(header), "{%s," META "}", cases[i].tensors);
    refused_header(header, cases[i].why);
  }
}

static void test_empty_tensors_and_dtypes(void **state) {
  static const char header[] =
      "{\"z\":{\"dtype\":\"F32\",\"shape\":[0,5],\"data_offsets\":[16,16]},"
      "\"y\":{\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[8,16]},"
      "\"x\":{\"dtype\":\"BF16\",\"shape\":[2,2],\"data_offsets\":[0,8]},"
      "\"w\":{\"dtype\":\"F64\",\"shape\":[0],\"data_offsets\":[0,0]}," META
      "}";
  static const uint8_t data[16];
  size_t n;
  (void)state;
  uint8_t *file = builder_file(header, sizeof(header) - 1, data, 16, &n);
  nn_model *model = opened(file, n);
  assert_int_equal(nn_model_head_count(model), 0);
  assert_null(nn_model_head(model, 0));
  assert_int_equal(nn_model_kind(model), NN_FLOAT32);
  nn_model_close(model);
  free(file);
  nn_model_close(NULL);
}

static void add_good(builder *b) {
  int weights[4] = {4, 3, 3, 3}, fc[2] = {10, 4}, four = 4, ten = 10;
  builder_values(b, "c.w", -1, 1, 4, weights);
  builder_values(b, "c.b", -1, 1, 1, &four);
  builder_values(b, "f.w", -1, 1, 2, fc);
  builder_values(b, "f.b", -1, 1, 1, &ten);
  builder_layer(b, "\"name\":\"c\",\"type\":\"Convolution\","
                "\"bottom\":[\"data\"],\"num_output\":4,"
                "\"kernel_size\":[3,3],\"weight\":\"c.w\",\"bias\":\"c.b\"");
  builder_layer(b, "\"name\":\"p\",\"type\":\"Pooling\",\"bottom\":[\"c\"],"
                "\"pool\":\"AVE\",\"global_pooling\":true");
  builder_layer(b, "\"name\":\"f\",\"type\":\"InnerProduct\","
                "\"bottom\":[\"p\"],\"num_output\":10,\"weight\":\"f.w\","
                "\"bias\":\"f.b\"");
  builder_layer(b, "\"name\":\"s\",\"type\":\"Sigmoid\",\"bottom\":[\"f\"]");
}

static void test_every_cut(void **state) {
  builder b;
  size_t n;
  (void)state;
  builder_open(&b, 3, 3, 6, 6);
  b.int8 = 1;
  add_good(&b);
  uint8_t *file = builder_finish(&b, &n);
  for (size_t cut = 0; cut < n; cut++) refused(file, cut, "");
  nn_model_close(opened(file, n));
  free(file);
  builder_close(&b);
}

/* The same file at four alignments gives the same numbers: floats are used
** where they lie or copied. */
static void test_alignment(void **state) {
  builder b;
  size_t n;
  float input[108], first[10], out[10];
  nn_error err;
  (void)state;
  builder_open(&b, 4, 3, 6, 6);
  add_good(&b);
  uint8_t *file = builder_finish(&b, &n);
  uint8_t *moved = malloc(n + 8);
  assert_non_null(moved);
  for (int i = 0; i < 108; i++) input[i] = builder_float(&b);
  for (size_t shift = 0; shift < 5; shift++) {
    memcpy(moved + shift, file, n);
    nn_model *model = opened(moved + shift, n);
    const uint8_t *weight = (const uint8_t *)model->layers[0].weight;
    assert_int_equal(weight >= moved && weight < moved + n + 8,
                     shift % 4 == 0);
    assert_int_equal(nn_run(&nn_memory_libc, model, NN_FAST, input, 1,
                            nn_model_last_blob(model), out, &err),
                     NN_OK);
    if (shift == 0) memcpy(first, out, sizeof(first));
    assert_memory_equal(first, out, sizeof(first));
    nn_model_close(model);
  }
  free(moved);
  free(file);
  builder_close(&b);
}

static void test_int8(void **state) {
  static const int8_t values[6] = {-128, -1, 0, 1, 64, 127};
  static const float scale[2] = {0.5f, -2};
  const int shape[2] = {2, 3}, two = 2, rest = 2;
  builder b;
  size_t n;
  (void)state;
  builder_open(&b, 1, 3, 1, 1);
  builder_vector(&b, "w.scale", two, scale);
  builder_entry(&b, "w", "I8", 1, 2, shape);
  builder_bytes(&b.data, values, 6);
  builder_entry(&b, "rest", "U8", 1, 1, &rest);
  builder_bytes(&b.data, "\0\0", 2);
  builder_layer(&b, "\"name\":\"x\",\"type\":\"InnerProduct\","
                "\"bottom\":[\"data\"],\"num_output\":2,\"weight\":\"w\"");
  uint8_t *file = builder_finish(&b, &n);
  nn_model *model = opened(file, n);
  const float want[6] = {-64, -0.5f, 0, -2, -128, -254};
  for (int i = 0; i < 6; i++) {
    assert_true(model->layers[0].weight[i] == want[i]);
  }
  nn_model_close(model);
  free(file);
  builder_close(&b);
  for (int wrong = 0; wrong < 3; wrong++) {
    const int three = 3;
    const float more[3] = {1, 1, 1};
    builder_open(&b, 1, 3, 1, 1);
    if (wrong == 1) builder_vector(&b, "w.scale", three, more);
    builder_entry(&b, "w", wrong == 2 ? "U8" : "I8", 1, 2, shape);
    builder_bytes(&b.data, values, 6);
    builder_layer(&b, "\"name\":\"x\",\"type\":\"InnerProduct\","
                  "\"bottom\":[\"data\"],\"num_output\":2,\"weight\":\"w\"");
    refused_network(&b, wrong == 2 ? "must be F32 or I8"
                                   : "tensor w: an I8 tensor wants");
  }
}

/* A batch norm that is folded keeps what the file says beside it. */
static void test_folding(void **state) {
  builder b;
  size_t n;
  float input[108], plain[64], normed[64];
  const float mean[4] = {1, 2, 3, 4}, variance[4] = {4, 4, 4, 4};
  nn_error err;
  (void)state;
  builder_open(&b, 6, 3, 6, 6);
  int weights[4] = {4, 3, 3, 3};
  builder_values(&b, "c.w", -1, 1, 4, weights);
  builder_vector(&b, "m", 4, mean);
  builder_vector(&b, "v", 4, variance);
  builder_layer(&b, "\"name\":\"c\",\"type\":\"Convolution\","
                "\"bottom\":[\"data\"],\"num_output\":4,"
                "\"kernel_size\":[3,3],\"weight\":\"c.w\"");
  builder_layer(&b, "\"name\":\"n\",\"type\":\"BatchNorm\","
                "\"bottom\":[\"c\"],\"mean\":\"m\",\"variance\":\"v\","
                "\"eps\":0");
  builder_layer(&b, "\"name\":\"r\",\"type\":\"ReLU\",\"bottom\":[\"n\"]");
  uint8_t *file = builder_finish(&b, &n);
  nn_model *model = opened(file, n);
  assert_int_equal(model->layers[0].norm, 1);
  assert_int_equal(model->layers[0].relu, 2);
  for (int i = 0; i < 108; i++) input[i] = builder_float(&b);
  assert_int_equal(
      nn_run(&nn_memory_libc, model, NN_FAST, input, 1, 1, plain, &err),
      NN_OK);
  assert_int_equal(
      nn_run(&nn_memory_libc, model, NN_FAST, input, 1, 2, normed, &err),
      NN_OK);
  for (int i = 0; i < 64; i++) {
    float d = normed[i] - (plain[i] - mean[i / 16]) / 2;
    assert_true(d < 1e-5f && d > -1e-5f);
  }
  nn_model_close(model);
  free(file);
  builder_close(&b);
}

static void test_sha256(void **state) {
  char hex[65];
  uint8_t million[1000];
  (void)state;
  nn_sha256("", 0, hex);
  assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb924"
                           "27ae41e4649b934ca495991b7852b855");
  nn_sha256("abc", 3, hex);
  assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223"
                           "b00361a396177a9cb410ff61f20015ad");
  nn_sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56,
            hex);
  assert_string_equal(hex, "248d6a61d20638b8e5c026930c3e6039"
                           "a33ce45964ff2167f6ecedd419db06c1");
  memset(million, 'a', sizeof(million));
  nn_sha256(million, 1000, hex);
  assert_string_equal(hex, "41edece42d63e8d9bf515a9ba6932e1c"
                           "20cbc9f5a5d134645adb5db1b9737ea3");
  builder b;
  size_t n;
  builder_open(&b, 3, 3, 6, 6);
  add_good(&b);
  uint8_t *file = builder_finish(&b, &n);
  nn_model *model = opened(file, n);
  nn_sha256(file, n, hex);
  assert_string_equal(nn_model_sha256(model), hex);
  assert_string_equal(nn_model_sha256(model), hex);
  nn_model_close(model);
  free(file);
  builder_close(&b);
}

/* The network ------------------------------------------------------------- */

static void test_layers_refused(void **state) {
  static const struct {
    const char *layer, *why;
  } cases[] = {
      {"\"type\":\"ReLU\",\"bottom\":[\"data\"]", "layer 0 has no name"},
      {"\"name\":\"\",\"type\":\"ReLU\"", "layer 0 has no name"},
      {"\"name\":\"data\",\"type\":\"ReLU\",\"bottom\":[\"data\"]",
       "layer data: the name is taken"},
      {"\"name\":\"x\",\"bottom\":[\"data\"]", "layer x: no type"},
      {"\"name\":\"x\",\"type\":\"Dropout\",\"bottom\":[\"data\"]",
       "layer x: unknown type Dropout"},
      {"\"name\":\"x\",\"type\":\"ReLU\"", "bottom wants 1 to 1"},
      {"\"name\":\"x\",\"type\":\"ReLU\",\"bottom\":[]", "bottom wants"},
      {"\"name\":\"x\",\"type\":\"ReLU\",\"bottom\":[1]", "not a string"},
      {"\"name\":\"x\",\"type\":\"ReLU\",\"bottom\":[\"x\"]",
       "layer x: its bottom x is no layer before it"},
      {"\"name\":\"x\",\"type\":\"Eltwise\",\"bottom\":[\"data\"]",
       "bottom wants 2 to 64"},
      {"\"name\":\"x\",\"type\":\"ReLU\",\"bottom\":[\"data\"],\"slope\":1",
       "layer x: unknown member slope"},
      {"\"name\":\"x\",\"type\":\"Convolution\",\"bottom\":[\"data\"]",
       "no kernel_size"},
      {"\"name\":\"x\",\"type\":\"Convolution\",\"bottom\":[\"data\"],"
       "\"kernel_size\":3,\"num_output\":4,\"weight\":\"w\"",
       "kernel_size wants 2 whole numbers from 1 to 65535"},
      {"\"name\":\"x\",\"type\":\"Convolution\",\"bottom\":[\"data\"],"
       "\"kernel_size\":[3,0],\"num_output\":4,\"weight\":\"w\"",
       "kernel_size wants"},
      {"\"name\":\"x\",\"type\":\"Convolution\",\"bottom\":[\"data\"],"
       "\"kernel_size\":[3,3],\"weight\":\"w\"", "no num_output"},
      {"\"name\":\"x\",\"type\":\"Convolution\",\"bottom\":[\"data\"],"
       "\"kernel_size\":[3,3],\"num_output\":4", "layer x: no weight"},
      {"\"name\":\"x\",\"type\":\"Convolution\",\"bottom\":[\"data\"],"
       "\"kernel_size\":[3,3],\"num_output\":4,\"weight\":\"nosuch\"",
       "weight: there is no tensor nosuch"},
      {"\"name\":\"x\",\"type\":\"Convolution\",\"bottom\":[\"data\"],"
       "\"kernel_size\":[3,3],\"num_output\":5,\"weight\":\"w\"",
       "layer x: weight has shape [4, 3, 3, 3], expected [5, 3, 3, 3]"},
      {"\"name\":\"x\",\"type\":\"Convolution\",\"bottom\":[\"data\"],"
       "\"kernel_size\":[3,3],\"num_output\":4,\"weight\":\"w\","
       "\"bias\":\"w\"",
       "layer x: bias has shape [4, 3, 3, 3], expected [4]"},
      {"\"name\":\"x\",\"type\":\"Convolution\",\"bottom\":[\"data\"],"
       "\"kernel_size\":[3,3],\"num_output\":4,\"weight\":\"w\",\"group\":2",
       "layer x: 2 groups do not divide 3 channels into 4"},
      {"\"name\":\"x\",\"type\":\"Convolution\",\"bottom\":[\"data\"],"
       "\"kernel_size\":[7,3],\"num_output\":4,\"weight\":\"w\"",
       "layer x: its kernel covers 7 pixels of height, the padded input has "
       "6"},
      {"\"name\":\"x\",\"type\":\"Convolution\",\"bottom\":[\"data\"],"
       "\"kernel_size\":[3,3],\"dilation\":[1,3],\"num_output\":4,"
       "\"weight\":\"w\"", "covers 7 pixels of width"},
      {"\"name\":\"x\",\"type\":\"Convolution\",\"bottom\":[\"data\"],"
       "\"kernel_size\":[1,1],\"pad\":[65535,65535,65535,65535],"
       "\"num_output\":4,\"weight\":\"w\"", "too large"},
      {"\"name\":\"x\",\"type\":\"InnerProduct\",\"bottom\":[\"data\"],"
       "\"num_output\":4,\"weight\":\"w\"", "expected [4, 108]"},
      {"\"name\":\"x\",\"type\":\"InnerProduct\",\"bottom\":[\"data\"],"
       "\"num_output\":0,\"weight\":\"w\"", "num_output wants"},
      {"\"name\":\"x\",\"type\":\"Pooling\",\"bottom\":[\"data\"],"
       "\"kernel_size\":[2,2]", "no pool"},
      {"\"name\":\"x\",\"type\":\"Pooling\",\"bottom\":[\"data\"],"
       "\"pool\":\"STOCHASTIC\",\"kernel_size\":[2,2]",
       "pool is MAX or AVE, not STOCHASTIC"},
      {"\"name\":\"x\",\"type\":\"Pooling\",\"bottom\":[\"data\"],"
       "\"pool\":\"MAX\"", "no kernel_size"},
      {"\"name\":\"x\",\"type\":\"Pooling\",\"bottom\":[\"data\"],"
       "\"pool\":\"MAX\",\"kernel_size\":[2,2],\"pad\":[0,2,0,0]",
       "padding of 2 for a kernel of 2"},
      {"\"name\":\"x\",\"type\":\"Pooling\",\"bottom\":[\"data\"],"
       "\"pool\":\"MAX\",\"global_pooling\":true,\"stride\":[1,1]",
       "no geometry"},
      {"\"name\":\"x\",\"type\":\"Pooling\",\"bottom\":[\"data\"],"
       "\"pool\":\"MAX\",\"global_pooling\":1", "true or false"},
      {"\"name\":\"x\",\"type\":\"LRN\",\"bottom\":[\"data\"],"
       "\"local_size\":5,\"alpha\":1", "wants local_size, alpha and beta"},
      {"\"name\":\"x\",\"type\":\"LRN\",\"bottom\":[\"data\"],"
       "\"local_size\":4,\"alpha\":1,\"beta\":1", "must be odd"},
      {"\"name\":\"x\",\"type\":\"LRN\",\"bottom\":[\"data\"],"
       "\"local_size\":5,\"alpha\":-1,\"beta\":1", "alpha >= 0"},
      {"\"name\":\"x\",\"type\":\"LRN\",\"bottom\":[\"data\"],"
       "\"local_size\":5,\"alpha\":1,\"beta\":1e39", "beta wants a number"},
      {"\"name\":\"x\",\"type\":\"BatchNorm\",\"bottom\":[\"data\"]",
       "no mean"},
      {"\"name\":\"x\",\"type\":\"BatchNorm\",\"bottom\":[\"data\"],"
       "\"mean\":\"b\",\"variance\":\"b\"",
       "mean has shape [4], expected [3]"},
      {"\"name\":\"x\",\"type\":\"Eltwise\",\"bottom\":[\"data\",\"data\"],"
       "\"operation\":\"PROD\"", "operation is SUM"},
      {"\"name\":\"x\",\"type\":\"Concat\",\"bottom\":[\"data\"],"
       "\"axis\":2", "axis wants"},
      {"\"name\":\"x\\u0007y\",\"type\":\"Q\\n\",\"bottom\":[\"data\"]",
       "layer x\\x07y: unknown type Q\\x0a"}};
  (void)state;
  for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
    builder b;
    int weights[4] = {4, 3, 3, 3}, four = 4;
    builder_open(&b, 1, 3, 6, 6);
    builder_values(&b, "w", -1, 1, 4, weights);
    builder_values(&b, "b", -1, 1, 1, &four);
    builder_layer(&b, "%s", cases[i].layer);
    refused_network(&b, cases[i].why);
  }
}

static void test_joins_refused(void **state) {
  builder b;
  (void)state;
  for (int concat = 0; concat < 2; concat++) {
    builder_open(&b, 1, 3, 6, 6);
    builder_layer(&b, "\"name\":\"p\",\"type\":\"Pooling\","
                  "\"bottom\":[\"data\"],\"pool\":\"MAX\","
                  "\"kernel_size\":[2,2]");
    builder_layer(&b, "\"name\":\"x\",\"type\":\"%s\","
                  "\"bottom\":[\"data\",\"p\"]",
                  concat ? "Concat" : "Eltwise");
    refused_network(&b, "layer x: p is 3 x 5 x 5, which does not go with "
                        "3 x 6 x 6");
  }
  /* doubling: the shape is refused long before memory is */
  builder_open(&b, 1, 3, 100, 100);
  for (int i = 0; i < 40; i++) {
    char bottom[16] = "data";
    if (i) snprintf(bottom, sizeof(bottom), "c%d", i - 1);
    builder_layer(&b, "\"name\":\"c%d\",\"type\":\"Concat\","
                  "\"bottom\":[\"%s\",\"%s\"]", i, bottom, bottom);
  }
  refused_network(&b, "too large");
}

static void test_counts(void **state) {
  builder b;
  size_t n;
  (void)state;
  for (int layers = NN_LAYER_MAX; layers <= NN_LAYER_MAX + 1; layers++) {
    builder_open(&b, 1, 1, 2, 2);
    for (int i = 0; i < layers; i++) {
      char bottom[16] = "data";
      if (i) snprintf(bottom, sizeof(bottom), "l%d", i - 1);
      builder_layer(&b, "\"name\":\"l%d\",\"type\":\"ReLU\","
                    "\"bottom\":[\"%s\"]", i, bottom);
    }
    if (layers > NN_LAYER_MAX) {
      refused_network(&b, "1 to 1024 layers");
    } else {
      uint8_t *file = builder_finish(&b, &n);
      float x[4] = {-1, 2, 3, 4}, out[4];
      nn_error err;
      nn_model *model = opened(file, n);
      assert_int_equal(nn_run(&nn_memory_libc, model, NN_FAST, x, 1,
                              NN_LAYER_MAX, out, &err), NN_OK);
      assert_true(out[0] == 0 && out[3] == 4);
      nn_model_close(model);
      free(file);
      builder_close(&b);
    }
  }
  builder_open(&b, 1, 1, 2, 2);
  refused_network(&b, "1 to 1024 layers");
  /* each blob fits, and one image's do not: ten branches until the last */
  builder_open(&b, 1, 64, 1024, 1024);
  builder_text all = {0};
  for (int i = 0; i < 10; i++) {
    builder_layer(&b, "\"name\":\"l%d\",\"type\":\"LRN\","
                  "\"bottom\":[\"data\"],\"local_size\":1,\"alpha\":1,"
                  "\"beta\":1", i);
    builder_printf(&all, i ? ",\"l%d\"" : "\"l%d\"", i);
  }
  builder_layer(&b, "\"name\":\"sum\",\"type\":\"Eltwise\",\"bottom\":[%s]",
                all.text);
  builder_layer(&b, "\"name\":\"end\",\"type\":\"ReLU\","
                "\"bottom\":[\"sum\"]");
  refused_network(&b, "wants more than 1024 MB for one image");
  free(all.text);
}

static void test_input_and_preprocess(void **state) {
  static const struct {
    const char *member, *why;
  } cases[] = {
      {"\"preprocess\":1", "preprocess: expected a JSON object"},
      {"\"preprocess\":{\"order\":\"GBR\"}", "order is RGB or BGR, not GBR"},
      {"\"preprocess\":{\"resize\":\"cubic\"}", "bilinear or area"},
      {"\"preprocess\":{\"aspect\":\"pad\"}", "stretch or crop"},
      {"\"preprocess\":{\"size\":[8,5]}",
       "preprocess: size 8 x 5 is below the input's 6 x 6"},
      {"\"preprocess\":{\"size\":[65535,65535]}", "too large"},
      {"\"preprocess\":{\"mean\":[1,2]}", "mean wants 3 numbers"},
      {"\"preprocess\":{\"mean\":[1,2,\"3\"]}", "mean wants 3 numbers"},
      {"\"preprocess\":{\"swap\":true}", "unknown member swap"}};
  builder b;
  (void)state;
  for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
    builder_open(&b, 3, 3, 6, 6);
    add_good(&b);
    builder_member(&b, "%s", cases[i].member);
    refused_network(&b, cases[i].why);
  }
  builder_open(&b, 3, 3, 0, 6);
  refused_network(&b, "1 to 1024 layers");
  builder_open(&b, 3, 3, 0, 6);
  add_good(&b);
  refused_network(&b, "input: height wants a whole number from 1 to 65535");
  builder_open(&b, 3, 65535, 65535, 6);
  add_good(&b);
  refused_network(&b, "too large");
}

static void test_heads(void **state) {
  static const struct {
    const char *head, *why;
  } cases[] = {
      {"\"latent\":\"f\"", "heads: a head wants a name"},
      {"\"name\":\"h\"", "head h: latent must name a layer"},
      {"\"name\":\"h\",\"latent\":\"data\"", "latent must name a layer"},
      {"\"name\":\"h\",\"latent\":\"z\"", "latent: there is no layer z"},
      {"\"name\":\"h\",\"latent\":\"f\",\"features\":\"z\"",
       "features: there is no layer z"},
      {"\"name\":\"h\",\"latent\":\"f\",\"classifier\":\"z\"",
       "classifier: there is no layer z"},
      {"\"name\":\"h\",\"latent\":\"f\",\"classes\":[\"a\"]",
       "as many names as the classifier has outputs, 0"},
      {"\"name\":\"h\",\"latent\":\"f\",\"classifier\":\"s\","
       "\"classes\":[\"a\"]", "outputs, 10"},
      {"\"name\":\"h\",\"latent\":\"f\",\"classifier\":\"p\","
       "\"classes\":[1,2,3,4]", "classes wants strings"}};
  builder b;
  size_t n;
  (void)state;
  for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
    builder_open(&b, 3, 3, 6, 6);
    add_good(&b);
    builder_member(&b, "\"heads\":[{%s}]", cases[i].head);
    refused_network(&b, cases[i].why);
  }
  builder_open(&b, 3, 3, 40, 40);
  builder_layer(&b, "\"name\":\"r\",\"type\":\"ReLU\",\"bottom\":[\"data\"]");
  builder_member(&b, "\"heads\":[{\"name\":\"h\",\"latent\":\"r\"}]");
  refused_network(&b, "1 to 1024 units, not 4800");
  builder_open(&b, 3, 3, 6, 6);
  add_good(&b);
  builder_member(&b, "\"heads\":[{\"name\":\"h\",\"latent\":\"f\"},"
                     "{\"name\":\"h\",\"latent\":\"f\"}]");
  refused_network(&b, "heads: two heads are called h");
  builder_open(&b, 3, 3, 6, 6);
  add_good(&b);
  builder_member(&b, "\"heads\":[{\"name\":\"one\",\"latent\":\"s\","
                     "\"later\":{}},{\"name\":\"two\",\"latent\":\"c\","
                     "\"features\":\"data\",\"classifier\":\"p\","
                     "\"classes\":[\"a\",\"b\",\"\\u00fc\",\"d\"]}]");
  uint8_t *file = builder_finish(&b, &n);
  nn_model *model = opened(file, n);
  memset(file, 0xee, 8);   /* names are the model's own */
  assert_int_equal(nn_model_head_count(model), 2);
  const nn_head *head = nn_model_head(model, 0);
  assert_string_equal(head->name, "one");
  assert_int_equal(head->bits, 10);
  assert_int_equal(head->latent, nn_model_blob(model, "f"));
  assert_int_equal(head->features, nn_model_blob(model, "p"));
  assert_int_equal(head->classifier, -1);
  assert_int_equal(head->classes, 0);
  assert_null(head->class_names);
  head = nn_model_head(model, 1);
  assert_int_equal(head->bits, 64);
  assert_int_equal(head->features, 0);
  assert_int_equal(head->classes, 4);
  assert_string_equal(head->class_names[2], "\xc3\xbc");
  nn_model_close(model);
  free(file);
  builder_close(&b);
}

/* Preparing --------------------------------------------------------------- */

/* No resize changes a pixel here, so that only order, mean, scale and the crops
** are seen. */
static void test_prepare(void **state) {
  builder b;
  size_t n;
  uint8_t rgb[8 * 6 * 3];
  float out[3 * 4 * 4];
  nn_error err;
  (void)state;
  for (int i = 0; i < 8 * 6 * 3; i++) rgb[i] = (uint8_t)(i * 5);
  nn_picture picture = {.pixels = rgb, .width = 8, .height = 6, .dx = 3,
                        .dy = 24};
  for (int bgr = 0; bgr < 2; bgr++) {
    builder_open(&b, 1, 3, 4, 4);
    builder_layer(&b, "\"name\":\"r\",\"type\":\"ReLU\","
                      "\"bottom\":[\"data\"]");
    /* 8 x 6 cropped to the aspect of 6 x 6, then to the middle 4 x 4 */
    builder_member(&b, "\"preprocess\":{\"order\":\"%s\",\"resize\":\"area\","
                   "\"aspect\":\"crop\",\"size\":[6,6],\"mean\":[1,2,3],"
                   "\"scale\":[1,0.5,2]}", bgr ? "BGR" : "RGB");
    uint8_t *file = builder_finish(&b, &n);
    nn_model *model = opened(file, n);
    assert_int_equal(nn_prepare(&nn_memory_libc, model, &picture, out, &err),
                     NN_OK);
    for (int c = 0; c < 3; c++) {
      for (int y = 0; y < 4; y++) {
        for (int x = 0; x < 4; x++) {
          int pixel = rgb[24 * (y + 1) + 3 * (x + 2) + (bgr ? 2 - c : c)];
          float want = ((float)pixel - (float)(c + 1)) *
                       (c == 0 ? 1 : c == 1 ? 0.5f : 2);
          assert_true(out[16 * c + 4 * y + x] == want);
        }
      }
    }
    nn_model_close(model);
    free(file);
    builder_close(&b);
  }
  builder_open(&b, 1, 1, 4, 4);
  builder_layer(&b, "\"name\":\"r\",\"type\":\"ReLU\",\"bottom\":[\"data\"]");
  uint8_t *file = builder_finish(&b, &n);
  nn_model *model = opened(file, n);
  assert_int_equal(nn_prepare(&nn_memory_libc, model, &picture, out, &err),
                   NN_MODEL);
  nn_model_close(model);
  free(file);
  builder_close(&b);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_header),
      cmocka_unit_test(test_tensors),
      cmocka_unit_test(test_empty_tensors_and_dtypes),
      cmocka_unit_test(test_every_cut),
      cmocka_unit_test(test_alignment),
      cmocka_unit_test(test_int8),
      cmocka_unit_test(test_folding),
      cmocka_unit_test(test_sha256),
      cmocka_unit_test(test_layers_refused),
      cmocka_unit_test(test_joins_refused),
      cmocka_unit_test(test_counts),
      cmocka_unit_test(test_input_and_preprocess),
      cmocka_unit_test(test_heads),
      cmocka_unit_test(test_prepare),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
** The model reader on files that are right, and on every way of being wrong
** that has a name: header, offsets, lengths, types, alignment, the 8-bit form,
** the checksum.  Each error must say what it is about.  What the network in the
** file may say is test_network.c.
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
#include "test_util.h"

#define META                                                              \
  "\"__metadata__\":{\"format\":\"binhash\",\"format_version\":\"1\","    \
  "\"network\":\"{\\\"input\\\":{\\\"name\\\":\\\"data\\\","              \
  "\\\"channels\\\":1,\\\"height\\\":2,\\\"width\\\":2},"                 \
  "\\\"layers\\\":[{\\\"name\\\":\\\"a\\\",\\\"type\\\":\\\"ReLU\\\","    \
  "\\\"bottom\\\":[\\\"data\\\"]}]}\"}"

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
    refused_network(&b, wrong == 2 ? "must be F32, F16 or I8"
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
  for (size_t i = 0; i < 300; i++) {   /* the plain form and the CPU's */
    char plain[65];
    million[i] = (uint8_t)(i * 167 + 5);
    nn_sha256_for(0, million, i, plain);
    nn_sha256(million, i, hex);
    assert_string_equal(hex, plain);
  }
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

/* Opened in two steps: nothing runs in between, the second may fail and be tried
** again, and what comes of it is what one step gives. */
static void test_idle(void **state) {
  builder b;
  size_t n;
  nn_error err;
  nn_model *idle;
  test_memory m;
  float input[3 * 6 * 6], got[10], want[10];
  (void)state;
  builder_open(&b, 3, 3, 6, 6);
  add_good(&b);
  uint8_t *file = builder_finish(&b, &n);
  nn_model *model = opened(file, n);
  int last = nn_model_last_blob(model);
  for (int i = 0; i < 3 * 6 * 6; i++) input[i] = (float)(i % 7) - 3;
  assert_int_equal(nn_run(&nn_memory_libc, model, NN_FAST, input, 1, last, want,
                          &err), NN_OK);
  test_memory_init(&m, 0xa5);
  assert_int_equal(nn_model_open_idle(&m.mem, file, n, &idle, &err), NN_OK);
  assert_int_equal(nn_model_last_blob(idle), last);
  assert_int_equal(nn_run(&nn_memory_libc, idle, NN_FAST, input, 1, last, got,
                          &err), NN_ARGUMENT);
  assert_non_null(strstr(err.text, "idle"));
  m.fail_at = m.calls + 1;
  if (idle->floats) {   /* else there is nothing to lay out */
    assert_int_equal(nn_model_ready(idle, &err), NN_NOMEM);
    assert_int_equal(nn_run(&nn_memory_libc, idle, NN_FAST, input, 1, last, got,
                            &err), NN_ARGUMENT);
  }
  assert_int_equal(nn_model_ready(idle, &err), NN_OK);
  long calls = m.calls;
  assert_int_equal(nn_model_ready(idle, &err), NN_OK);
  assert_int_equal(m.calls, calls);
  assert_int_equal(nn_run(&nn_memory_libc, idle, NN_FAST, input, 1, last, got,
                          &err), NN_OK);
  assert_memory_equal(got, want, sizeof(got));
  nn_model_close(idle);
  assert_int_equal(m.live, 0);
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
      cmocka_unit_test(test_idle),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
** nn/text.c and nn/writer.c: what is written reads back as it was, by json.c
** and by nn_model_open, and what cannot be written is refused.
*/
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <locale.h>
#include <math.h>

#include "../../nn/writer.h"
#include "test_util.h"

static nn_error err;

/* Text -------------------------------------------------------------------- */

static void numbers_read_back(void **state) {
  (void)state;
  test_rng rng = {7};
  static const char *const locales[] = {"C", "de_DE.UTF-8", "C.UTF-8"};
  for (int i = 0; i < 3000; i++) {
    nn_text t;
    nn_json *root;
    uint64_t bits = test_random(&rng);
    float f;
    double d;
    memcpy(&f, &bits, sizeof(f));
    memcpy(&d, &bits, sizeof(d));
    if (!isfinite(f) || !isfinite(d)) continue;
    /* a host with a comma, where this machine has such a locale */
    setlocale(LC_NUMERIC, locales[i % 3]);
    nn_text_open(&t, &nn_memory_libc);
    nn_text_add(&t, "[");
    nn_text_float(&t, f);
    nn_text_add(&t, ",");
    nn_text_double(&t, d);
    nn_text_add(&t, "]");
    assert_int_equal(t.status, NN_OK);
    assert_int_equal(nn_json_parse(&nn_memory_libc, "t", t.text, t.n, &root,
                                   &err), NN_OK);
    assert_true((float)root->child->number == f);
    assert_true(root->child->next->number == d);
    nn_free(&nn_memory_libc, root);
    nn_text_free(&t);
  }
  setlocale(LC_NUMERIC, "C");
}

static void numbers_are_short(void **state) {
  (void)state;
  nn_text t;
  nn_text_open(&t, &nn_memory_libc);
  nn_text_float(&t, 1e-4f);
  nn_text_add(&t, " ");
  nn_text_float(&t, 0.75f);
  nn_text_add(&t, " ");
  nn_text_double(&t, 0.1);
  nn_text_add(&t, " ");
  nn_text_float(&t, 104);
  assert_string_equal(t.text, "0.0001 0.75 0.1 104");
  nn_text_free(&t);
}

static void strings_are_escaped(void **state) {
  (void)state;
  nn_text t;
  nn_json *root;
  static const char odd[] = "a\"b\\c\n\t\x01\x7f \xc3\xa9 \xf0\x9f\x98\x80/";
  nn_text_open(&t, &nn_memory_libc);
  nn_text_string(&t, odd);
  assert_int_equal(nn_json_parse(&nn_memory_libc, "t", t.text, t.n, &root,
                                 &err), NN_OK);
  assert_string_equal(root->text, odd);
  nn_free(&nn_memory_libc, root);
  nn_text_free(&t);
}

static void texts_fail_once(void **state) {
  (void)state;
  static const char *const bad[] = {"\xff", "\xc3", "\xed\xa0\x80"};
  nn_text t;
  for (int i = 0; i < 5; i++) {
    nn_text_open(&t, &nn_memory_libc);
    if (i < 3) nn_text_string(&t, bad[i]);
    else if (i == 3) nn_text_float(&t, INFINITY);
    else nn_text_double(&t, NAN);
    size_t n = t.n;
    nn_text_add(&t, "more");
    assert_int_equal(t.n, n);
    assert_int_equal(nn_text_done(&t, "it", &err), NN_ARGUMENT);
    assert_non_null(strstr(err.text, "it: "));
    nn_text_free(&t);
  }
  nn_text_open(&t, &nn_memory_libc);
  static char large[NN_TEXT_MAX / 2 + 1];
  memset(large, ' ', sizeof(large));
  nn_text_bytes(&t, large, sizeof(large));
  assert_int_equal(nn_text_done(&t, "it", &err), NN_OK);
  nn_text_bytes(&t, large, sizeof(large));
  assert_int_equal(nn_text_done(&t, "it", &err), NN_TOO_LARGE);
  nn_text_free(&t);
}

/* Files ------------------------------------------------------------------- */

static const char network[] =
    "{\"input\":{\"name\":\"data\",\"channels\":1,\"height\":1,\"width\":3},"
    "\"layers\":[{\"name\":\"fc\",\"type\":\"InnerProduct\",\"bottom\":"
    "[\"data\"],\"num_output\":2,\"weight\":\"w\",\"bias\":\"b \\\"1\\\"\"}]}";
static const float weights[6] = {1, 2, 3, -1, 0.5f, 4}, biases[2] = {10, 20};
static const int8_t bytes3[3] = {1, -2, 3};
static const int32_t ints[2] = {7, -8};

static const nn_part parts[] = {
    {"small", NN_I8, 1, {3}, bytes3},
    {"ints", NN_I32, 1, {2}, ints},
    {"w", NN_F32, 2, {2, 3}, weights},
    {"none", NN_F32, 1, {0}, NULL},
    {"b \"1\"", NN_F32, 1, {2}, biases}};
static const nn_note notes[] = {{"report", "{\"loss\": 1}"}};
static const nn_writer whole = {network, parts, 5, notes, 1};

static void models_open(void **state) {
  (void)state;
  uint8_t *file;
  size_t n;
  nn_model *model;
  assert_int_equal(nn_write_bytes(&nn_memory_libc, &whole, &file, &n, &err),
                   NN_OK);
  size_t header = 0;
  for (int i = 0; i < 8; i++) header |= (size_t)file[i] << (8 * i);
  assert_int_equal((8 + header) % 64, 0);
  assert_int_equal(n, 8 + header + 24 + 8 + 8 + 3);
  /* floats in their order, then ints, then bytes */
  assert_memory_equal(file + 8 + header, weights, 24);
  assert_memory_equal(file + 8 + header + 24, biases, 8);
  assert_memory_equal(file + 8 + header + 32, ints, 8);
  assert_memory_equal(file + n - 3, bytes3, 3);
  assert_int_equal(nn_model_open(&nn_memory_libc, file, n, &model, &err),
                   NN_OK);
  static const float in[3] = {1, 2, 3};
  float out[2];
  assert_int_equal(nn_run(&nn_memory_libc, model, NN_REFERENCE, in, 1, 1, out,
                          &err), NN_OK);
  assert_true(out[0] == 24 && out[1] == 32);
  nn_model_close(model);
  nn_json *root;
  assert_int_equal(nn_json_parse(&nn_memory_libc, "h", file + 8, header, &root,
                                 &err), NN_OK);
  const nn_json *report =
      nn_json_get(nn_json_get(root, "__metadata__"), "report");
  assert_string_equal(report->text, "{\"loss\": 1}");
  nn_free(&nn_memory_libc, root);
  nn_free(&nn_memory_libc, file);
}

typedef struct sent {
  uint8_t bytes[4096];
  size_t n, stop;
} sent;

static int sent_put(void *context, const void *bytes, size_t n) {
  sent *s = context;
  if (s->n + n > s->stop) return 28;
  memcpy(s->bytes + s->n, bytes, n);
  s->n += n;
  return 0;
}

static void sinks_get_the_same(void **state) {
  (void)state;
  uint8_t *file;
  size_t n;
  sent s = {.stop = sizeof(s.bytes)};
  assert_int_equal(nn_write_bytes(&nn_memory_libc, &whole, &file, &n, &err),
                   NN_OK);
  assert_int_equal(nn_write_model(&nn_memory_libc, &whole, sent_put, &s, &err),
                   NN_OK);
  assert_int_equal(s.n, n);
  assert_memory_equal(s.bytes, file, n);
  nn_free(&nn_memory_libc, file);
  for (size_t stop = 0; stop < n; stop += 9) {
    s = (sent){.stop = stop};
    assert_int_equal(nn_write_model(&nn_memory_libc, &whole, sent_put, &s,
                                    &err), NN_ARGUMENT);
    assert_non_null(strstr(err.text, "(28)"));
  }
}

static void refused(const nn_writer *w, nn_status status, const char *says) {
  uint8_t *file;
  size_t n;
  sent s = {.stop = sizeof(s.bytes)};
  assert_int_equal(nn_write_bytes(&nn_memory_libc, w, &file, &n, &err),
                   status);
  assert_null(file);
  assert_non_null(strstr(err.text, says));
  assert_int_equal(nn_write_model(&nn_memory_libc, w, sent_put, &s, &err),
                   status);
  assert_int_equal(s.n, 0);
}

static void refusals(void **state) {
  (void)state;
  nn_part part = parts[0], two[2] = {parts[0], parts[0]};
  nn_note twice = {"network", "{}"};
  nn_writer w = {network, &part, 1, NULL, 0};
  part.dtype = NN_OTHER;
  refused(&w, NN_ARGUMENT, "tensor small: no dtype");
  part = parts[0];
  part.rank = 9;
  refused(&w, NN_ARGUMENT, "9 sides");
  part = parts[0];
  part.shape[0] = -1;
  refused(&w, NN_ARGUMENT, "negative");
  part = parts[0];
  part.bytes = NULL;
  refused(&w, NN_ARGUMENT, "no values");
  part = parts[0];
  part.rank = 2;
  part.shape[0] = part.shape[1] = (int64_t)1 << 40;
  refused(&w, NN_ARGUMENT, "no values");
  part = parts[0];
  part.name = "\xff";
  refused(&w, NN_ARGUMENT, "UTF-8");
  w = (nn_writer){network, two, 2, NULL, 0};
  refused(&w, NN_ARGUMENT, "the key small comes twice");
  w = (nn_writer){network, parts, 5, &twice, 1};
  refused(&w, NN_ARGUMENT, "the key network comes twice");
  w = (nn_writer){network, parts, NN_TENSOR_MAX, NULL, 0};
  refused(&w, NN_TOO_LARGE, "8192 tensors");
}

static void memory_may_fail(void **state) {
  (void)state;
  test_memory m;
  uint8_t *file;
  size_t n;
  nn_status status = NN_NOMEM;
  for (long i = 1; status == NN_NOMEM; i++) {
    test_memory_init(&m, 0xa5);
    m.fail_at = i;
    assert_true(i < 100);
    status = nn_write_bytes(&m.mem, &whole, &file, &n, &err);
    if (status == NN_OK) nn_free(&m.mem, file);
    assert_int_equal(m.live, 0);
  }
  assert_int_equal(status, NN_OK);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(numbers_read_back), cmocka_unit_test(numbers_are_short),
      cmocka_unit_test(strings_are_escaped), cmocka_unit_test(texts_fail_once),
      cmocka_unit_test(models_open),       cmocka_unit_test(sinks_get_the_same),
      cmocka_unit_test(refusals),          cmocka_unit_test(memory_may_fail)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}

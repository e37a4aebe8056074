/*
** The JSON reader: what it accepts with which value, what it refuses and where,
** numbers exact to the bit in any locale, and names made fit to be shown.
*/
#include <locale.h>
#include <math.h>
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

static nn_json *parse(const char *text, size_t n, nn_error *err) {
  nn_json *root;
  char *copy = malloc(n + !n);   /* exactly n bytes, so that asan sees n + 1 */
  assert_non_null(copy);
  if (n) memcpy(copy, text, n);
  nn_status status =
      nn_json_parse(&nn_memory_libc, "header", copy, n, &root, err);
  free(copy);
  assert_true((status == NN_OK) == (root != NULL));
  return root;
}

static nn_json *good(const char *text) {
  nn_error err;
  nn_json *root = parse(text, strlen(text), &err);
  if (!root) fail_msg("%s: %s", text, err.text);
  return root;
}

static void bad(const char *text, const char *why) {
  nn_error err;
  nn_json *root = parse(text, strlen(text), &err);
  if (root) fail_msg("%s was accepted", text);
  assert_int_equal(err.status, NN_MODEL);
  if (!strstr(err.text, why)) {
    fail_msg("%s: \"%s\", not \"%s\"", text, err.text, why);
  }
}

static void test_values(void **state) {
  (void)state;
  nn_json *root = good(" { \"a\" : [1, -2.5e1 ,true,false,null, \"x\\n\"], "
                       "\"b\":{}, \"c\":[],\"\":0}\n");
  const nn_json *a = nn_json_get(root, "a");
  assert_int_equal(root->kind, NN_JSON_OBJECT);
  assert_int_equal(root->length, 4);
  assert_int_equal(a->length, 6);
  const nn_json *m = a->child;
  assert_true(m->is_integer && m->integer == 1 && m->number == 1);
  m = m->next;
  assert_true(!m->is_integer && m->number == -25);
  m = m->next;
  assert_true(m->kind == NN_JSON_BOOLEAN && m->integer == 1);
  m = m->next;
  assert_true(m->kind == NN_JSON_BOOLEAN && m->integer == 0);
  m = m->next;
  assert_int_equal(m->kind, NN_JSON_NULL);
  m = m->next;
  assert_string_equal(m->text, "x\n");
  assert_null(m->next);
  assert_int_equal(nn_json_get(root, "b")->length, 0);
  assert_int_equal(nn_json_get(root, "c")->kind, NN_JSON_ARRAY);
  assert_non_null(nn_json_get(root, ""));
  assert_null(nn_json_get(root, "d"));
  assert_null(nn_json_get(a, "a"));
  assert_null(nn_json_get(NULL, "a"));
  nn_free(&nn_memory_libc, root);
}

static void string_is(const char *json, const char *text) {
  nn_json *root = good(json);
  assert_int_equal(root->kind, NN_JSON_STRING);
  assert_string_equal(root->text, text);
  assert_int_equal(root->length, strlen(text));
  nn_free(&nn_memory_libc, root);
}

static void test_strings(void **state) {
  (void)state;
  string_is("\"\"", "");
  string_is("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t");
  string_is("\"\\u0041\\u00e9\\u20AC\\ud83d\\ude00\"",
            "A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
  string_is("\"\xf0\x9f\x98\x80\xed\x9f\xbf\"",
            "\xf0\x9f\x98\x80\xed\x9f\xbf");
  bad("\"\\u0000\"", "NUL");
  bad("\"\\ud83d\"", "half of a surrogate");
  bad("\"\\ud83dx\"", "half of a surrogate");
  bad("\"\\ude00\"", "half of a surrogate");
  bad("\"\\ud83d\\u0041\"", "half of a surrogate");
  bad("\"\\ud83d\\u12\"", "half of a surrogate");
  bad("\"\\u12g4\"", "hex");
  bad("\"\\u12\"", "hex");
  bad("\"\\x41\"", "escape");
  bad("\"a\tb\"", "control");
  bad("\"abc", "ends within");
  bad("\"abc\\", "ends within");
  bad("\"\xff\"", "UTF-8");
  bad("\"\xc0\x80\"", "UTF-8");
  bad("\"\xe0\x80\x80\"", "UTF-8");
  bad("\"\xed\xa0\x80\"", "UTF-8");
  bad("\"\xf4\x90\x80\x80\"", "UTF-8");
  bad("\"\xc3\"", "UTF-8");
  bad("\"\xf0\x9f\x98", "UTF-8");
}

static void test_structure(void **state) {
  nn_error err;
  (void)state;
  bad("", "byte 0: expected a value");
  bad("  ", "expected a value");
  bad("[1,]", "byte 3: expected a value");
  bad("[1 2]", "byte 3: expected , or ]");
  bad("[1", "expected , or ]");
  bad("[", "expected a value");
  bad("{", "expected a string");
  bad("{\"a\"}", "expected a colon");
  bad("{\"a\":1 \"b\":2}", "byte 7: expected , or }");
  bad("{\"a\":1,}", "expected a string");
  bad("{1:2}", "expected a string");
  bad("[1}", "expected , or ]");
  bad("]", "expected a value");
  bad("tru", "expected a value");
  bad("nul", "expected a value");
  bad("1 2", "byte 2: more text");
  bad("{} x", "more text");
  bad("{\"a\":1,\"b\":2,\"a\":3}", "the key a comes twice");
  bad("{\"\\u0061\":1,\"a\":3}", "the key a comes twice");
  bad("[{\"x\":{\"y\":1,\"y\":1}}]", "the key y comes twice");
  nn_free(&nn_memory_libc, good("{\"a\":{\"a\":1},\"b\":{\"a\":1}}"));
  /* NUL bytes are no white space */
  assert_null(parse("1\0", 2, &err));
  assert_null(parse("\"\0\"", 3, &err));
  assert_null(parse("\"\\\0\"", 4, &err));
}

static void test_depth_and_size(void **state) {
  char text[2 * NN_JSON_DEPTH + 8];
  nn_error err;
  (void)state;
  for (int depth = NN_JSON_DEPTH; depth <= NN_JSON_DEPTH + 1; depth++) {
    memset(text, '[', (size_t)depth);
    memset(text + depth, ']', (size_t)depth);
    nn_json *root = parse(text, 2 * (size_t)depth, &err);
    assert_true((root != NULL) == (depth == NN_JSON_DEPTH));
    nn_free(&nn_memory_libc, root);
  }
  assert_non_null(strstr(err.text, "nested too deep"));
  /* the most values for their bytes, and the most members to compare */
  builder_text t = {0};
  builder_printf(&t, "{");
  for (int i = 0; t.n < NN_JSON_MAX - 16; i++) {
    builder_printf(&t, i ? ",\"%x\":0" : "\"%x\":0", i);
  }
  builder_printf(&t, "}");
  nn_json *root = parse(t.text, t.n, &err);
  if (!root) fail_msg("%s", err.text);
  assert_true(root->length > 150000);
  nn_free(&nn_memory_libc, root);
  while (t.n <= NN_JSON_MAX) builder_printf(&t, " ");
  assert_null(parse(t.text, t.n, &err));
  assert_non_null(strstr(err.text, "2097153 bytes, more than 2097152"));
  free(t.text);
}

static void number_is(const char *text, double want, int is_integer) {
  nn_json *root = good(text);
  if (root->number != want || root->is_integer != is_integer) {
    fail_msg("%s is %.17g", text, root->number);
  }
  nn_free(&nn_memory_libc, root);
}

static void check_numbers(void) {
  builder b = {.random = 42};
  char text[64];
  number_is("0", 0, 1);
  number_is("-0", 0, 1);
  number_is("0.5", 0.5, 0);
  number_is("1e0", 1, 0);
  number_is("12.5E+3", 12500, 0);
  number_is("1e-400", 0, 0);
  number_is("0e99999999999999999999", 0, 0);
  number_is("1.7976931348623157e308", 1.7976931348623157e308, 0);
  number_is("4.9406564584124654e-324", 4.9406564584124654e-324, 0);
  number_is("0.000000000000000000000000000001e30", 1, 0);
  for (int i = 0; i < 20000; i++) {
    uint32_t bits = builder_random(&b);
    uint64_t wide = (uint64_t)builder_random(&b) << 32 | bits;
    float f;
    double d;
    memcpy(&f, &bits, sizeof(f));
    memcpy(&d, &wide, sizeof(d));
    if (isfinite(f)) {
      snprintf(text, sizeof(text), "%.9g", (double)f);
      for (char *p = text; *p; p++) *p = *p == ',' ? '.' : *p;
      nn_json *root = good(text);
      assert_true((float)root->number == f);
      nn_free(&nn_memory_libc, root);
    }
    if (isfinite(d)) {
      snprintf(text, sizeof(text), "%.17g", d);
      for (char *p = text; *p; p++) *p = *p == ',' ? '.' : *p;
      nn_json *root = good(text);
      assert_true(root->number == d);
      nn_free(&nn_memory_libc, root);
    }
  }
}

static void test_numbers(void **state) {
  static const char *const locales[] = {"de_DE.UTF-8", "fr_FR.UTF-8",
                                        "de_DE", "fr_FR", "ru_RU.UTF-8"};
  (void)state;
  check_numbers();
  for (size_t i = 0; i < sizeof(locales) / sizeof(*locales); i++) {
    if (setlocale(LC_ALL, locales[i])) {
      print_message("# numbers checked in %s\n", locales[i]);
      check_numbers();
    }
  }
  setlocale(LC_ALL, "C");
  bad("1e400", "no double holds");
  bad("-1e400", "no double holds");
  bad("01", "leading zero");
  bad("-01", "leading zero");
  bad("1.", "digits after");
  bad("1.e3", "digits after");
  bad("1e", "wants digits");
  bad("1e+", "wants digits");
  bad("-", "expected a value");
  bad("+1", "expected a value");
  bad(".5", "expected a value");
  bad("NaN", "expected a value");
  bad("Infinity", "expected a value");
  bad("0x10", "more text");
  bad("0.3333333333333333333333333333333333333333333333333333333333333333333",
      "more than 64");
  bad("33333333333333333333333333333333333333333333333333333333333333333333",
      "more than 64");
}

static void test_integers(void **state) {
  static const struct {
    const char *text;
    int fits;
    int64_t value;
  } cases[] = {{"9223372036854775807", 1, INT64_MAX},
               {"-9223372036854775808", 1, INT64_MIN},
               {"9223372036854775808", 0, 0},
               {"-9223372036854775809", 0, 0},
               {"18446744073709551616", 0, 0},
               {"99999999999999999999999", 0, 0},
               {"9007199254740993", 1, 9007199254740993},
               {"1.0", 0, 0},
               {"1e2", 0, 0}};
  (void)state;
  for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
    nn_json *root = good(cases[i].text);
    assert_int_equal(root->is_integer, cases[i].fits);
    if (cases[i].fits) assert_true(root->integer == cases[i].value);
    nn_free(&nn_memory_libc, root);
  }
}

static void test_shown(void **state) {
  (void)state;
  assert_string_equal(nn_shown_name("conv1").text, "conv1");
  assert_string_equal(nn_shown_name("a\nb\x1b[0m\x7f").text,
                      "a\\x0ab\\x1b[0m\\x7f");
  assert_string_equal(nn_shown_name("h\xc3\xa9\xff\xc2\x9b").text,
                      "h\xc3\xa9\\xff\\xc2\\x9b");
  char longer[300];
  memset(longer, 'x', sizeof(longer) - 1);
  longer[299] = 0;
  for (int i = 0; i < 60; i++) {
    nn_shown shown = nn_shown_name(longer + i);
    assert_true(strlen(shown.text) < sizeof(shown.text));
    assert_non_null(strstr(shown.text, "x..."));
    longer[i] = i % 2 ? '\n' : 'x';
  }
}

static void *no_memory(void *context, size_t n) {
  (void)context;
  (void)n;
  return NULL;
}

static void test_no_memory(void **state) {
  nn_memory mem = {no_memory, nn_memory_libc.release, NULL};
  nn_json *root;
  nn_error err;
  (void)state;
  assert_int_equal(nn_json_parse(&mem, "header", "1", 1, &root, &err),
                   NN_NOMEM);
  assert_null(root);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_values),    cmocka_unit_test(test_strings),
      cmocka_unit_test(test_structure), cmocka_unit_test(test_depth_and_size),
      cmocka_unit_test(test_numbers),   cmocka_unit_test(test_integers),
      cmocka_unit_test(test_shown),     cmocka_unit_test(test_no_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

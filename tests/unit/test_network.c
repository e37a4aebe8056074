/*
** The network that a model file describes: geometry, joins, limits, words,
** preprocessing and heads that are refused, each with what it is about, and a
** picture prepared as the file says.
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
       "\"operation\":\"MEAN\"", "operation is SUM, PROD, SUB, DIV or MAX"},
      {"\"name\":\"x\",\"type\":\"Concat\",\"bottom\":[\"data\"],"
       "\"axis\":4", "axis wants"},
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

static void test_aliases(void **state) {
  static const struct {
    const char *aliases, *why;
  } cases[] = {
      {"[]", "aliases: expected a JSON object"},
      {"{\"x\":1}", "aliases: x wants the name of a layer"},
      {"{\"x\":\"nosuch\"}", "aliases: x wants the name of a layer"},
      {"{\"x\":\"f\",\"y\":\"x\"}", "aliases: y wants the name of a layer"},
      {"{\"\":\"f\"}", "wants the name of a layer"},
      {"{\"f\":\"s\"}", "aliases: f is a layer's name"},
      {"{\"data\":\"f\"}", "aliases: data is a layer's name"}};
  builder b;
  size_t n;
  (void)state;
  for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
    builder_open(&b, 3, 3, 6, 6);
    add_good(&b);
    builder_member(&b, "\"aliases\":%s", cases[i].aliases);
    refused_network(&b, cases[i].why);
  }
  builder_open(&b, 3, 3, 6, 6);
  add_good(&b);
  builder_member(&b, "\"aliases\":{\"drop\":\"f\",\"picture\":\"data\"},"
                     "\"heads\":[{\"name\":\"h\",\"latent\":\"drop\"}]");
  uint8_t *file = builder_finish(&b, &n);
  nn_model *model = opened(file, n);
  assert_int_equal(nn_model_blob(model, "drop"), nn_model_blob(model, "f"));
  assert_int_equal(nn_model_blob(model, "picture"), 0);
  assert_int_equal(nn_model_blob(model, "nosuch"), -1);
  assert_int_equal(nn_model_head(model, 0)->latent, nn_model_blob(model, "f"));
  nn_model_close(model);
  free(file);
  builder_close(&b);
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
      cmocka_unit_test(test_layers_refused),
      cmocka_unit_test(test_joins_refused),
      cmocka_unit_test(test_counts),
      cmocka_unit_test(test_input_and_preprocess),
      cmocka_unit_test(test_aliases),
      cmocka_unit_test(test_heads),
      cmocka_unit_test(test_prepare),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

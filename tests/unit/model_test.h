/*
** What the tests of the model reader share: a file is refused for a reason, or
** opened.  Include after cmocka.h.
*/
#ifndef BINHASH_MODEL_TEST_H
#define BINHASH_MODEL_TEST_H

#include "../../nn/nn_int.h"
#include "model_builder.h"

static inline void refused(const uint8_t *file, size_t n, const char *why) {
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
static inline void refused_header(const char *header, const char *why) {
  static const uint8_t data[16];
  size_t n;
  uint8_t *file =
      builder_file(header, strlen(header), data, sizeof(data), &n);
  refused(file, n, why);
  free(file);
}

static inline void refused_network(builder *b, const char *why) {
  size_t n;
  uint8_t *file = builder_finish(b, &n);
  refused(file, n, why);
  free(file);
  builder_close(b);
}

static inline nn_model *opened(const uint8_t *file, size_t n) {
  nn_model *model;
  nn_error err;
  if (nn_model_open(&nn_memory_libc, file, n, &model, &err) != NN_OK) {
    fail_msg("%s", err.text);
  }
  assert_string_equal(err.text, "");
  return model;
}

static inline void add_good(builder *b) {
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

#endif

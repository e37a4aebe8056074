/*
** Model files made in memory, for tests: a network's description line by line,
** tensors of given or random values, and the bytes of the safetensors file that
** holds them.  A builder that runs out of memory aborts; it is a test's.
*/
#ifndef BINHASH_TEST_MODEL_BUILDER_H
#define BINHASH_TEST_MODEL_BUILDER_H

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct builder_text {
  char *text;
  size_t n, room;
} builder_text;

typedef struct builder {
  builder_text network;     /* members of the network's object */
  builder_text layers;
  builder_text tensors;     /* entries of the header */
  builder_text data;
  int int8;                 /* store random weights as I8 */
  uint64_t random;
} builder;

static inline void builder_bytes(builder_text *t, const void *bytes,
                                 size_t n) {
  if (t->n + n + 1 > t->room) {
    t->room = 2 * (t->n + n + 1);
    t->text = realloc(t->text, t->room);
    if (!t->text) abort();
  }
  memcpy(t->text + t->n, bytes, n);
  t->n += n;
  t->text[t->n] = 0;
}

static inline void builder_vprintf(builder_text *t, const char *format,
                                   va_list args) {
  char line[2048];
  int n = vsnprintf(line, sizeof(line), format, args);
  if (n < 0 || (size_t)n >= sizeof(line)) abort();
  builder_bytes(t, line, (size_t)n);
}

static inline void builder_printf(builder_text *t, const char *format, ...) {
  va_list args;
  va_start(args, format);
  builder_vprintf(t, format, args);
  va_end(args);
}

static inline void builder_open(builder *b, uint64_t seed, int c, int h,
                                int w) {
  memset(b, 0, sizeof(*b));
  b->random = seed * 0x9e3779b97f4a7c15u + 1;
  builder_printf(&b->network,
                 "\"input\":{\"name\":\"data\",\"channels\":%d,"
                 "\"height\":%d,\"width\":%d}", c, h, w);
  builder_bytes(&b->layers, "", 0);
  builder_bytes(&b->tensors, "", 0);
  builder_bytes(&b->data, "", 0);
}

/* An integer network: the input's zero points are "[1,2,3]". */
static inline void builder_open_integer(builder *b, uint64_t seed, int c,
                                        int h, int w, const char *zero) {
  builder_open(b, seed, c, h, w);
  b->network.n--;   /* the brace that ends the input */
  builder_printf(&b->network, ",\"zero_point\":%s}", zero);
}

static inline void builder_close(builder *b) {
  free(b->network.text);
  free(b->layers.text);
  free(b->tensors.text);
  free(b->data.text);
}

/* A member of the network beside input and layers: "\"heads\":[...]". */
static inline void builder_member(builder *b, const char *format, ...) {
  va_list args;
  builder_printf(&b->network, ",");
  va_start(args, format);
  builder_vprintf(&b->network, format, args);
  va_end(args);
}

/* One layer, as the inside of its JSON object. */
static inline void builder_layer(builder *b, const char *format, ...) {
  va_list args;
  builder_printf(&b->layers, b->layers.n ? ",{" : "{");
  va_start(args, format);
  builder_vprintf(&b->layers, format, args);
  va_end(args);
  builder_printf(&b->layers, "}");
}

/* xorshift64*: the same numbers on every machine. */
static inline uint32_t builder_random(builder *b) {
  b->random ^= b->random >> 12;
  b->random ^= b->random << 25;
  b->random ^= b->random >> 27;
  return (uint32_t)(b->random * 0x2545f4914f6cdd1du >> 32);
}

static inline int builder_pick(builder *b, int low, int high) {
  return low + (int)(builder_random(b) % (uint32_t)(high - low + 1));
}

/* Between -1 and 1. */
static inline float builder_float(builder *b) {
  return (float)(int32_t)builder_random(b) / 2147483648.0f;
}

static inline size_t builder_entry(builder *b, const char *name,
                                   const char *dtype, size_t size, int rank,
                                   const int *shape) {
  size_t count = 1;
  builder_printf(&b->tensors, ",\"%s\":{\"dtype\":\"%s\",\"shape\":[", name,
                 dtype);
  for (int i = 0; i < rank; i++) {
    builder_printf(&b->tensors, i ? ",%d" : "%d", shape[i]);
    count *= (size_t)shape[i];
  }
  builder_printf(&b->tensors, "],\"data_offsets\":[%zu,%zu]}", b->data.n,
                 b->data.n + count * size);
  return count;
}

static inline void builder_tensor(builder *b, const char *name, int rank,
                                  const int *shape, const float *values) {
  size_t n = builder_entry(b, name, "F32", 4, rank, shape);
  builder_bytes(&b->data, values, n * sizeof(float));
}

static inline void builder_vector(builder *b, const char *name, int n,
                                  const float *values) {
  builder_tensor(b, name, 1, &n, values);
}

static inline void builder_i8(builder *b, const char *name, int rank,
                              const int *shape, const int8_t *values) {
  size_t n = builder_entry(b, name, "I8", 1, rank, shape);
  builder_bytes(&b->data, values, n);
}

static inline void builder_i32(builder *b, const char *name, int n,
                               const int32_t *values) {
  builder_entry(b, name, "I32", 4, 1, &n);
  builder_bytes(&b->data, values, (size_t)n * 4);
}

static inline void builder_u8(builder *b, const char *name, int n,
                              const uint8_t *values) {
  builder_entry(b, name, "U8", 1, 1, &n);
  builder_bytes(&b->data, values, (size_t)n);
}

/* Values from low to high; rank > 1 becomes I8 with scales if b->int8. */
static inline void builder_values(builder *b, const char *name, float low,
                                  float high, int rank, const int *shape) {
  char scale[128];
  size_t n;
  if (b->int8 && rank > 1) {
    /* the scales come first: floats stay aligned as long as each I8 tensor is
    ** filled up to 4 bytes by one that nobody names */
    snprintf(scale, sizeof(scale), "%s.scale", name);
    n = builder_entry(b, scale, "F32", 4, 1, shape);
    for (size_t i = 0; i < n; i++) {
      float v = (0.5f + builder_float(b) / 4) * high / 127;
      builder_bytes(&b->data, &v, sizeof(v));
    }
    n = builder_entry(b, name, "I8", 1, rank, shape);
    for (size_t i = 0; i < n; i++) {
      int8_t v = (int8_t)builder_pick(b, -127, 127);
      builder_bytes(&b->data, &v, 1);
    }
    int rest = (int)(-n & 3);
    snprintf(scale, sizeof(scale), "%s.rest", name);
    builder_entry(b, scale, "U8", 1, 1, &rest);
    builder_bytes(&b->data, "\0\0\0", (size_t)rest);
    return;
  }
  n = builder_entry(b, name, "F32", 4, rank, shape);
  for (size_t i = 0; i < n; i++) {
    float v = low + (high - low) * (builder_float(b) + 1) / 2;
    builder_bytes(&b->data, &v, sizeof(v));
  }
}

/* JSON text as it stands inside of a JSON string. */
static inline void builder_quote(builder_text *to, const builder_text *from) {
  for (size_t i = 0; i < from->n; i++) {
    if (from->text[i] == '"' || from->text[i] == '\\') {
      builder_bytes(to, "\\", 1);
    }
    builder_bytes(to, from->text + i, 1);
  }
}

/* A file from its header and data; the header is padded as pack.py pads. */
static inline uint8_t *builder_file(const char *header, size_t n,
                                    const void *data, size_t data_bytes,
                                    size_t *bytes) {
  size_t padded = (n + 8 + 63) / 64 * 64 - 8;
  uint8_t *file = malloc(8 + padded + data_bytes + 1);
  if (!file) abort();
  for (int i = 0; i < 8; i++) file[i] = (uint8_t)((uint64_t)padded >> (8 * i));
  memcpy(file + 8, header, n);
  memset(file + 8 + n, ' ', padded - n);
  if (data_bytes) memcpy(file + 8 + padded, data, data_bytes);
  *bytes = 8 + padded + data_bytes;
  return file;
}

/* The whole file, to be freed. */
static inline uint8_t *builder_finish(const builder *b, size_t *bytes) {
  builder_text network = {0}, header = {0};
  builder_printf(&network, "{");
  builder_bytes(&network, b->network.text, b->network.n);
  builder_printf(&network, ",\"layers\":[");
  builder_bytes(&network, b->layers.text, b->layers.n);
  builder_printf(&network, "]}");
  builder_printf(&header, "{\"__metadata__\":{\"format\":\"binhash\","
                          "\"format_version\":\"1\",\"network\":\"");
  builder_quote(&header, &network);
  builder_printf(&header, "\"}");
  builder_bytes(&header, b->tensors.text, b->tensors.n);
  builder_printf(&header, "}");
  uint8_t *file =
      builder_file(header.text, header.n, b->data.text, b->data.n, bytes);
  free(network.text);
  free(header.text);
  return file;
}

#endif

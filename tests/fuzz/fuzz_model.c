/*
** Any bytes as a model: what nn does with them must be an error that says
** something, or a network that runs, never a crash, a leak or undefined
** behaviour.
**
**   clang -g -O1 -fsanitize=fuzzer,address,undefined tests/fuzz/fuzz_model.c \
**     nn/[a-z]*.c -lpthread -ldl -lm -o fuzz_model
**   ./fuzz_model -max_len=16384 CORPUS
**
** With -DFUZZ_MAIN it has a main of its own: it runs the files that it is given
** or, given none, 10,000 mutations of small valid models, the same ones every
** time, and prints TAP.  Half of them change the file's bytes; the other half
** change the description before it is quoted into the header, so that what is
** behind the outer JSON is reached as well.
*/
#include <stdint.h>
#include <stdlib.h>

#include "../../nn/nn_int.h"
#include "../unit/model_builder.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

/* Multiplications that the reference would do, roughly; small models run. */
static double cost_of(const nn_model *model) {
  double cost = 0;
  for (int i = 0; i < model->layer_count; i++) {
    const nn_layer *l = &model->layers[i];
    double one = 1;
    if (l->type == NN_CONVOLUTION) {
      one = (double)model->blobs[l->bottom[0]].c / l->group * l->kernel[0] *
            l->kernel[1];
    } else if (l->type == NN_POOLING) {
      one = (double)l->kernel[0] * l->kernel[1];
    } else if (l->type == NN_INNER_PRODUCT) {
      one = (double)model->blobs[l->bottom[0]].size;
    } else if (l->type == NN_LRN) {
      one = l->local_size;
    }
    cost += one * (double)model->blobs[l->top].size;
  }
  if (model->mirror >= 0) cost *= 2;
  return cost + (double)model->arena + (double)model->blobs[0].size;
}

/* Every engine gives the same numbers of an integer network. */
static void compare(const nn_model *model, int blob, int batch,
                    float *const *out) {
  size_t n = model->blobs[blob].size * (size_t)batch * sizeof(float);
  if (model->kind != NN_INTEGER) return;
  if (memcmp(out[0], out[1], n) || memcmp(out[0], out[2], n)) abort();
}

/* Every blob by every engine; the numbers of a float network may be anything,
** the memory not. */
static void run_all(const nn_model *model) {
  const int batch = 2;
  nn_error err;
  size_t n = model->blobs[0].size * (size_t)batch;
  float *input = calloc(n, sizeof(*input));
  if (!input) abort();
  for (size_t i = 0; i < n; i++) input[i] = (float)(i * 37 % 263) - 3;
  for (int blob = 0; blob <= model->layer_count; blob++) {
    float *out[3] = {NULL};
    int engines = model->kind == NN_INTEGER ? 3 : 2;
    for (int engine = 0; engine < engines; engine++) {
      out[engine] = malloc(model->blobs[blob].size * (size_t)batch *
                           sizeof(**out));
      if (!out[engine]) abort();
      nn_status status =
          nn_run(&nn_memory_libc, model, (nn_engine)engine, input, batch, blob,
                 out[engine], &err);
      if (status && status != NN_NO_BLAS) abort();
    }
    if (nn_blas_name()) compare(model, blob, batch, out);
    for (int engine = 0; engine < engines; engine++) free(out[engine]);
  }
  free(input);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
  nn_model *model;
  nn_error err;
  nn_status status = nn_model_open(&nn_memory_libc, bytes, n, &model, &err);
  if (status) {
    if (model || !err.text[0]) abort();
    if (status != NN_MODEL && status != NN_NOMEM) abort();
    return 0;
  }
  for (int i = 0; i < nn_model_head_count(model); i++) {
    const nn_head *head = nn_model_head(model, i);
    int chw[3];
    if (head->bits < 1 || head->bits > 1024 || head->latent < 1) abort();
    if (nn_model_blob_shape(model, head->latent, chw) != (size_t)head->bits) {
      abort();
    }
  }
  if (cost_of(model) < 200000) run_all(model);
  nn_model_close(model);
  return 0;
}

#ifdef FUZZ_MAIN

enum { FUZZ_COUNT = 10000, FUZZ_SEEDS = 6 };

static void seed_head(builder *b, const char *latent, const char *classes) {
  builder_member(b, "\"preprocess\":{\"order\":\"BGR\",\"resize\":\"area\","
                 "\"aspect\":\"crop\",\"size\":[12,12],\"mean\":[1,2,3.5],"
                 "\"scale\":[0.5,1e-2,1]}");
  builder_member(b, "\"heads\":[{\"name\":\"h\",\"latent\":\"%s\","
                 "\"features\":\"pool\",\"classifier\":\"prob\","
                 "\"classes\":%s}]", latent, classes);
}

static void seed_fc(builder *b, const char *name, const char *bottom, int in,
                    int out) {
  char tensor[32];
  int weights[2] = {out, in};
  snprintf(tensor, sizeof(tensor), "%s.w", name);
  builder_values(b, tensor, -1, 1, 2, weights);
  builder_layer(b, "\"name\":\"%s\",\"type\":\"InnerProduct\","
                "\"bottom\":[\"%s\"],\"num_output\":%d,\"weight\":\"%s.w\"",
                name, bottom, out, name);
}

/* Three float32 networks with the layer types of the paper among them. */
static void seed_float(builder *b, int which) {
  int weights[4] = {4, 3, 3, 3}, grouped[4] = {4, 2, 2, 2}, four = 4;
  builder_open(b, (uint64_t)which + 1, 3, 10, 10);
  b->int8 = which == 1;
  builder_values(b, "c.w", -1, 1, 4, weights);
  builder_values(b, "c.b", -1, 1, 1, &four);
  builder_values(b, "g.w", -1, 1, 4, grouped);
  builder_values(b, "n.m", -1, 1, 1, &four);
  builder_values(b, "n.v", 0.5, 1, 1, &four);
  builder_layer(b, "\"name\":\"c\",\"type\":\"Convolution\","
                "\"bottom\":[\"data\"],\"num_output\":4,"
                "\"kernel_size\":[3,3],\"stride\":[1,1],\"pad\":[1,1,1,1],"
                "\"weight\":\"c.w\",\"bias\":\"c.b\"");
  builder_layer(b, "\"name\":\"n\",\"type\":\"BatchNorm\",\"bottom\":[\"c\"],"
                "\"mean\":\"n.m\",\"variance\":\"n.v\",\"eps\":1e-3");
  builder_layer(b, "\"name\":\"r\",\"type\":\"ReLU\",\"bottom\":[\"n\"]");
  if (which == 0) {
    builder_layer(b, "\"name\":\"l\",\"type\":\"LRN\",\"bottom\":[\"r\"],"
                  "\"local_size\":3,\"alpha\":0.1,\"beta\":0.75,\"k\":1");
    builder_layer(b, "\"name\":\"g\",\"type\":\"Convolution\","
                  "\"bottom\":[\"l\"],\"num_output\":4,\"kernel_size\":[2,2],"
                  "\"dilation\":[2,1],\"group\":2,\"weight\":\"g.w\"");
  } else {
    builder_layer(b, "\"name\":\"e\",\"type\":\"Eltwise\","
                  "\"bottom\":[\"r\",\"c\"],\"operation\":\"SUM\"");
    builder_layer(b, "\"name\":\"g\",\"type\":\"Concat\","
                  "\"bottom\":[\"e\",\"r\"],\"axis\":1");
  }
  builder_layer(b, "\"name\":\"p\",\"type\":\"Pooling\",\"bottom\":[\"g\"],"
                "\"pool\":\"%s\",\"kernel_size\":[3,3],\"stride\":[2,2],"
                "\"pad\":[0,1,1,0],\"round_mode\":\"%s\","
                "\"count_include_pad\":false", which ? "AVE" : "MAX",
                which == 2 ? "FLOOR" : "CEIL");
  builder_layer(b, "\"name\":\"pool\",\"type\":\"Pooling\","
                "\"bottom\":[\"p\"],\"pool\":\"MAX\",\"global_pooling\":true");
  builder_layer(b, "\"name\":\"flat\",\"type\":\"Flatten\","
                "\"bottom\":[\"pool\"]");
  seed_fc(b, "latent", "flat", which ? 8 : 4, 12);
  builder_layer(b, "\"name\":\"code\",\"type\":\"Sigmoid\","
                   "\"bottom\":[\"latent\"]");
  seed_fc(b, "class", "code", 12, 3);
  builder_layer(b, "\"name\":\"prob\",\"type\":\"Softmax\","
                   "\"bottom\":[\"class\"]");
  seed_head(b, which ? "code" : "latent", "[\"a\",\"b\",\"\\u00e9\"]");
}

/* A filter's weight, bias, multiplier and shift: NAME.w, .b, .m, .s. */
static void seed_filter(builder *b, const char *name, int rank,
                        const int *shape) {
  char tensor[32];
  int8_t weight[1024];
  int32_t numbers[3][16];
  int n = 1;
  for (int i = 0; i < rank; i++) n *= shape[i];
  if (n > 1024 || shape[0] > 16) abort();
  for (int i = 0; i < n; i++) weight[i] = (int8_t)builder_pick(b, -128, 127);
  for (int i = 0; i < shape[0]; i++) {
    numbers[0][i] = builder_pick(b, -9999, 9999);
    numbers[1][i] = (int32_t)(builder_random(b) >> 1);
    numbers[2][i] = builder_pick(b, 37, 42);
  }
  snprintf(tensor, sizeof(tensor), "%s.w", name);
  builder_i8(b, tensor, rank, shape, weight);
  for (int i = 0; i < 3; i++) {
    snprintf(tensor, sizeof(tensor), "%s.%c", name, "bms"[i]);
    builder_i32(b, tensor, shape[0], numbers[i]);
  }
}

/* From the pixels, for a MirrorMean and a head of its own. */
static void seed_branch(builder *b) {
  static const int conv[4] = {5, 3, 2, 3}, second[2] = {12, 5};
  seed_filter(b, "branch", 4, conv);
  seed_filter(b, "second", 2, second);
  builder_layer(b, "\"name\":\"narrow\",\"type\":\"Convolution\","
                "\"bottom\":[\"data\"],\"num_output\":5,\"kernel_size\":"
                "[2,3],\"weight\":\"branch.w\",\"multiplier\":"
                "\"branch.m\",\"shift\":\"branch.s\",\"scale\":2");
  builder_layer(b, "\"name\":\"branch\",\"type\":\"Pooling\",\"bottom\":"
                "[\"narrow\"],\"pool\":\"AVE\",\"global_pooling\":true");
}

/* Integer networks, likewise. */
static void seed_integer(builder *b, int which) {
  static const int conv[4] = {6, 3, 3, 3}, deep[4] = {6, 1, 2, 2};
  static const int class[2] = {3, 12};
  const int latent[2] = {12, which ? 24 : 12};
  static const float scales[12] = {1, 2, 0.5f, 1, 1, 1, 1, 1, 1, 1, 1, 1};
  static const int32_t table[8] = {1 << 30, 1 << 20, 999, 37, 5, 2, 1, 0};
  uint8_t lookup[256];
  for (int i = 0; i < 256; i++) lookup[i] = (uint8_t)(i / 2);
  builder_open_integer(b, (uint64_t)which + 1, 3, 7, 6, "[5,0,128]");
  seed_filter(b, "c", 4, conv);
  seed_filter(b, "d", 4, deep);
  seed_filter(b, "latent", 2, latent);
  seed_filter(b, "class", 2, class);
  builder_vector(b, "v", 12, scales);
  builder_vector(b, "one", 3, scales + 3);
  builder_i32(b, "t", 8, table);
  builder_u8(b, "u", 256, lookup);
  builder_layer(b, "\"name\":\"c\",\"type\":\"Convolution\",\"bottom\":"
                "[\"data\"],\"num_output\":6,\"kernel_size\":[3,3],"
                "\"pad\":[1,0,1,2],\"weight\":\"c.w\",\"bias\":\"c.b\","
                "\"multiplier\":\"c.m\",\"shift\":\"c.s\",\"scale\":0.5,"
                "\"zero_point\":%d,\"max\":%d", which ? 9 : 0,
                which ? 255 : 127);
  builder_layer(b, "\"name\":\"r\",\"type\":\"ReLU\",\"bottom\":[\"c\"]");
  builder_layer(b, "\"name\":\"d\",\"type\":\"Convolution\",\"bottom\":"
                "[\"r\"],\"num_output\":6,\"kernel_size\":[2,2],\"group\":6,"
                "\"dilation\":[2,2],\"pad\":[1,1,1,1],\"weight\":\"d.w\","
                "\"multiplier\":\"d.m\",\"shift\":\"d.s\",\"scale\":0.25");
  builder_layer(b, "\"name\":\"e\",\"type\":\"%s\",\"bottom\":[\"r\","
                "\"d\"],\"multiplier\":[3,64],\"shift\":6,\"scale\":1,"
                "\"zero_point\":4", which ? "Eltwise" : "Concat");
  builder_layer(b, "\"name\":\"n\",\"type\":\"LRN\",\"bottom\":[\"e\"],"
                "\"local_size\":3,\"table\":\"t\",\"sum_shift\":4,"
                "\"shift\":28,\"scale\":1,\"max\":100");
  builder_layer(b, "\"name\":\"p\",\"type\":\"Pooling\",\"bottom\":[\"n\"],"
                "\"pool\":\"%s\",\"kernel_size\":[%d,%d],\"stride\":[6,4]",
                which ? "AVE" : "MAX", which ? 4 : 7, which ? 4 : 6);
  if (which) seed_branch(b);
  builder_layer(b, "\"name\":\"pool\",\"type\":\"%s\",\"bottom\":[\"p\"]",
                which ? "MirrorMean" : "Flatten");
  if (which) {
    builder_layer(b, "\"name\":\"mean\",\"type\":\"MirrorMean\","
                  "\"bottom\":[\"branch\"]");
    builder_layer(b, "\"name\":\"second\",\"type\":\"InnerProduct\","
                  "\"bottom\":[\"mean\"],\"num_output\":12,\"weight\":"
                  "\"second.w\",\"scales\":\"v\"");
  }
  builder_layer(b, "\"name\":\"latent\",\"type\":\"InnerProduct\","
                "\"bottom\":[\"pool\"],\"num_output\":12,\"weight\":"
                "\"latent.w\",\"bias\":\"latent.b\",\"scales\":\"v\"");
  builder_layer(b, "\"name\":\"code\",\"type\":\"Sigmoid\",\"bottom\":"
                "[\"latent\"],\"table\":\"u\",\"multiplier\":\"latent.m\","
                "\"shift\":\"latent.s\",\"scale\":0.0078125");
  builder_layer(b, "\"name\":\"class\",\"type\":\"InnerProduct\","
                "\"bottom\":[\"code\"],\"num_output\":3,\"weight\":"
                "\"class.w\",\"scales\":\"one\"");
  builder_layer(b, "\"name\":\"prob\",\"type\":\"Softmax\",\"bottom\":"
                "[\"class\"],\"table\":\"t\",\"shift\":9");
  builder_member(b, "\"heads\":[{\"name\":\"h\",\"latent\":\"code\","
                 "\"features\":\"pool\",\"classifier\":\"prob\"}%s]",
                 which ? ",{\"name\":\"g\",\"latent\":\"second\"}" : "");
}

/* The types that networks of other frameworks bring, in float32. */
static void seed_forms(builder *b) {
  static const char *const layers[] = {
      "\"type\":\"Padding\",\"pad\":[1,2,0,1],\"mode\":\"reflect\"",
      "\"type\":\"ShuffleChannel\",\"group\":3",
      "\"type\":\"Convolution\",\"num_output\":6,\"kernel_size\":[3,3],"
      "\"stride\":[2,1],\"pad\":[1,1,1,1],\"group\":3,\"weight\":\"d\"",
      "\"type\":\"ReLU\",\"negative_slope\":0.1",
      "\"type\":\"Slice\",\"axis\":1,\"begin\":1,\"end\":5",
      "\"type\":\"Clip\",\"min\":-1,\"max\":6",
      "\"type\":\"Scale\",\"weight\":\"s\",\"bias\":\"o\"",
      "\"type\":\"HardSwish\"",
      "\"type\":\"Pooling\",\"pool\":\"MAX\",\"kernel_size\":[2,2],"
      "\"pad\":[0,1,1,0],\"dilation\":[2,1]",
      "\"type\":\"Permute\",\"order\":[2,3,1]",
      "\"type\":\"Softmax\",\"axis\":3",
      "\"type\":\"HardSigmoid\",\"alpha\":0.5"};
  const int weights[4] = {6, 1, 3, 3}, four = 4, one = 1, k[3] = {1, 1, 4};
  builder_open(b, 3, 3, 6, 5);
  builder_values(b, "d", -1, 1, 4, weights);
  builder_values(b, "s", -1, 1, 1, &four);
  builder_values(b, "o", -1, 1, 1, &one);
  builder_values(b, "k", 1, 2, 3, k);
  for (int i = 0; i < 12; i++) {
    char bottom[8] = "data";
    if (i) snprintf(bottom, sizeof(bottom), "l%d", i - 1);
    builder_layer(b, "\"name\":\"l%d\",\"bottom\":[\"%s\"],%s", i, bottom,
                  layers[i]);
  }
  builder_layer(b, "\"name\":\"k\",\"type\":\"Constant\",\"weight\":\"k\"");
  builder_layer(b, "\"name\":\"e\",\"type\":\"Eltwise\",\"operation\":\"DIV\","
                "\"bottom\":[\"l11\",\"k\"]");
  builder_layer(b, "\"name\":\"f\",\"type\":\"Eltwise\","
                "\"bottom\":[\"e\",\"k\",\"l9\"],\"coeff\":[1,-0.5,2]");
  builder_layer(b, "\"name\":\"r\",\"type\":\"Reshape\",\"bottom\":[\"f\"],"
                "\"dims\":[4,3,8]");
}

static void seed(builder *b, int which) {
  if (which < 3) seed_float(b, which);
  else if (which < 5) seed_integer(b, which - 3);
  else seed_forms(b);
}

/* Mutations --------------------------------------------------------------- */

static size_t cut(uint8_t *p, size_t n, size_t at, size_t length) {
  if (length > n - at) length = n - at;
  memmove(p + at, p + at + length, n - at - length);
  return n - length;
}

static size_t put(uint8_t *p, size_t n, size_t room, size_t at,
                  const void *bytes, size_t length) {
  if (n + length > room) return n;
  memmove(p + at + length, p + at, n - at);
  memcpy(p + at, bytes, length);
  return n + length;
}

/* Another number in place of one that stands at or after `at`. */
static size_t renumber(builder *b, uint8_t *p, size_t n, size_t room,
                       size_t at) {
  static const char *const numbers[] = {
      "0", "1", "2", "3", "7", "64", "65535", "65536", "2147483647",
      "2147483648", "4294967296", "9223372036854775807", "1e300", "-1", "-0",
      "1.5", "1e-320", "18446744073709551615", "4611686018427387905"};
  while (at < n && (p[at] < '0' || p[at] > '9')) at++;
  size_t length = 0;
  while (at + length < n && p[at + length] >= '0' && p[at + length] <= '9') {
    length++;
  }
  if (!length) return n;
  n = cut(p, n, at, length);
  const char *word = numbers[builder_pick(b, 0, 18)];
  return put(p, n, room, at, word, strlen(word));
}

/* A quoted word replaced by another of the same text. */
static size_t reword(builder *b, uint8_t *p, size_t n, size_t room,
                     size_t at) {
  size_t span[2][2];
  for (int i = 0; i < 2; i++) {
    while (at < n && p[at] != '"') at++;
    size_t end = at + 1;
    while (end < n && p[end] != '"' && end - at < 40) end++;
    if (end >= n || p[end] != '"') return n;
    span[i][0] = at;
    span[i][1] = end + 1 - at;
    at = (size_t)builder_pick(b, 0, (int)n - 1);
  }
  uint8_t word[64];
  memcpy(word, p + span[1][0], span[1][1]);
  n = cut(p, n, span[0][0], span[0][1]);
  return put(p, n, room, span[0][0], word, span[1][1]);
}

static size_t mutate(builder *b, uint8_t *p, size_t n, size_t room) {
  static const uint8_t bytes[] = {0, 1, 0x7f, 0x80, 0xff, '"', '\\', '{',
                                  '}', '[', ']', ',', ':', '9', '-', 'e'};
  if (n < 16) return n;
  size_t at = (size_t)builder_pick(b, 0, (int)n - 1);
  size_t from = (size_t)builder_pick(b, 0, (int)n - 1);
  size_t length = (size_t)builder_pick(b, 1, 24);
  uint8_t copy[24];
  switch (builder_pick(b, 0, 7)) {
    case 0: p[at] ^= (uint8_t)(1 << builder_pick(b, 0, 7)); return n;
    case 1: p[at] = bytes[builder_pick(b, 0, 15)]; return n;
    case 2:
    case 3: return renumber(b, p, n, room, at);
    case 4:
    case 5: return reword(b, p, n, room, at);
    case 6: return cut(p, n, at, length);
  }
  if (length > n - from) length = n - from;
  memcpy(copy, p + from, length);
  return put(p, n, room, at, copy, length);
}

/* The description before it is quoted, or the tensors' entries. */
static uint8_t *mutate_text(builder *b, size_t *n) {
  builder_text *const texts[] = {&b->layers, &b->layers, &b->network,
                                 &b->tensors};
  int times = builder_pick(b, 0, 3) ? 1 : 3;
  while (times-- > 0) {
    builder_text *t = texts[builder_pick(b, 0, 3)];
    size_t room = t->n + 64;
    uint8_t *p = malloc(room + 1);
    if (!p) abort();
    memcpy(p, t->text, t->n);
    t->n = mutate(b, p, t->n, room);
    p[t->n] = 0;
    free(t->text);
    t->text = (char *)p;
    t->room = room + 1;
  }
  return builder_finish(b, n);
}

/* The file's bytes, mostly the header's; its length is mended now and then. */
static uint8_t *mutate_file(builder *b, size_t *n) {
  size_t size, header = 0;
  uint8_t *file = builder_finish(b, &size);
  for (int i = 0; i < 8; i++) header |= (size_t)file[i] << (8 * i);
  uint8_t *p = malloc(size + 256);
  if (!p) abort();
  memcpy(p, file, size);
  free(file);
  size_t skip = builder_pick(b, 0, 9) ? 8 : 0;
  size_t before = size, end = builder_pick(b, 0, 4) ? 8 + header : size;
  int times = builder_pick(b, 0, 3) ? 1 : 3;
  while (times-- > 0) {
    size_t tail = size - end, part = end - skip;
    uint8_t kept[4096];
    if (tail > sizeof(kept)) abort();
    memcpy(kept, p + end, tail);
    part = mutate(b, p + skip, part, part + 64);
    end = skip + part;
    memcpy(p + end, kept, tail);
    size = end + tail;
  }
  header += size - before;
  if (builder_pick(b, 0, 3)) {
    for (int i = 0; i < 8; i++) p[i] = (uint8_t)((uint64_t)header >> (8 * i));
  }
  if (builder_pick(b, 0, 15) == 0) size = (size_t)builder_pick(b, 0, (int)size);
  *n = size;
  return p;
}

/* Runs a copy of exactly n bytes, so that a sanitizer sees one too many. */
static int run_copy(const uint8_t *bytes, size_t n) {
  nn_model *model;
  nn_error err;
  uint8_t *copy = malloc(n + !n);
  if (!copy) abort();
  if (n) memcpy(copy, bytes, n);
  LLVMFuzzerTestOneInput(copy, n);
  int accepted = nn_model_open(&nn_memory_libc, copy, n, &model, &err) == NN_OK;
  nn_model_close(model);
  free(copy);
  return accepted;
}

static int run_files(int argc, char **argv) {
  for (int i = 1; i < argc; i++) {
    FILE *f = fopen(argv[i], "rb");
    builder_text t = {0};
    char piece[4096];
    size_t n;
    if (!f) {
      fprintf(stderr, "%s cannot be read\n", argv[i]);
      return 1;
    }
    builder_bytes(&t, "", 0);
    while ((n = fread(piece, 1, sizeof(piece), f)) > 0) {
      builder_bytes(&t, piece, n);
    }
    fclose(f);
    run_copy((const uint8_t *)t.text, t.n);
    free(t.text);
  }
  return 0;
}

int main(int argc, char **argv) {
  int accepted = 0;
  if (argc > 1) return run_files(argc, argv);
  for (int i = 0; i < FUZZ_COUNT + FUZZ_SEEDS; i++) {
    builder b;
    size_t n;
    uint8_t *file;
    seed(&b, i % FUZZ_SEEDS);
    b.random = (uint64_t)(i + 1) * 0x9e3779b97f4a7c15u;
    if (i < FUZZ_SEEDS) file = builder_finish(&b, &n);
    else file = i % 2 ? mutate_text(&b, &n) : mutate_file(&b, &n);
    int ok = run_copy(file, n);
    if (i < FUZZ_SEEDS && !ok) {
      printf("not ok 1 - a model to be mutated is refused\n1..1\n");
      return 1;
    }
    accepted += ok;
    free(file);
    builder_close(&b);
  }
  /* too few would mean that nothing behind the header was reached */
  printf("%s 1 - %d mutated models, %d of them still models\n1..1\n",
         accepted > FUZZ_COUNT / 20 ? "ok" : "not ok", FUZZ_COUNT, accepted);
  return accepted <= FUZZ_COUNT / 20;
}

#endif

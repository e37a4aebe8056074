/*
** Networks of Caffe that somebody made to do harm: text and weights are read
** like any, must be refused with a sentence or become a model that nn_model_open
** takes, and may take no more memory than a bound.
**
** libFuzzer's input is two bytes of length, the text, and the rest as weights.
** With FUZZ_MAIN the program mutates seeds of its own, the same ones each time,
** and prints TAP; given files, it runs those.
*/
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../weights/caffe.h"

/* An allocator that knows how much is taken; what fuzzing needs is far below
** the limit, at which it fails the test. */
#define FUZZ_MEMORY ((size_t)400 << 20)

typedef struct fuzz_memory {
  size_t taken;
  long calls, fail_at;   /* the fail_at-th request fails; 0: none */
} fuzz_memory;

static void *fuzz_take(void *context, size_t n) {
  fuzz_memory *m = context;
  if (++m->calls == m->fail_at) return NULL;
  size_t *p = malloc(n + 64);
  if (!p) return NULL;
  *p = n;
  m->taken += n;
  if (m->taken > FUZZ_MEMORY) abort();
  return (char *)p + 64;
}

static void fuzz_release(void *context, void *p) {
  fuzz_memory *m = context;
  if (!p) return;
  size_t *block = (size_t *)(void *)((char *)p - 64);
  m->taken -= *block;
  free(block);
}

static void fuzz_warn(void *context, const char *sentence) {
  if (!sentence[0] || strlen(sentence) > 1023) abort();
  (void)context;
}

/* The model that the graph becomes is one that can be opened: 1 if it is, 0 if
** the graph was refused by a sentence. */
static int fuzz_open(import *im) {
  nn_text text;
  nn_error err;
  nn_model *model;
  uint8_t *bytes = NULL;
  size_t n;
  int opened = 0;
  nn_part *parts = import_alloc(im, (size_t)im->tensor_count + 1,
                                sizeof(*parts));
  nn_text_open(&text, im->mem);
  if (!parts || import_describe(im, &text)) {
    nn_text_free(&text);
    return 0;
  }
  nn_writer writer = {text.text, parts, im->tensor_count, NULL, 0};
  for (const import_tensor *t = im->tensors; t; t = t->next, parts++) {
    *parts = (nn_part){.name = t->name, .dtype = NN_F32, .rank = t->rank,
                       .bytes = t->values};
    memcpy(parts->shape, t->shape, sizeof(parts->shape));
  }
  if (nn_write_bytes(im->mem, &writer, &bytes, &n, &err) == NN_OK) {
    opened = nn_model_open(im->mem, bytes, n, &model, &err) == NN_OK;
    for (const import_layer *l = im->layers; l && opened; l = l->next) {
      int chw[3], blob = nn_model_blob(model, l->name);
      if (blob < 0) abort();
      nn_model_blob_shape(model, blob, chw);
      if (memcmp(chw, l->shape, sizeof(chw)) != 0) abort();
    }
    nn_model_close(model);
  }
  if (!opened && !err.text[0]) abort();
  nn_free(im->mem, bytes);
  nn_text_free(&text);
  return opened;
}

static int fuzz_import(const uint8_t *text, size_t text_size,
                       const uint8_t *weights, size_t weights_size,
                       long fail_at) {
  fuzz_memory m = {0, 0, fail_at};
  const nn_memory mem = {fuzz_take, fuzz_release, &m};
  import im;
  import_open(&im, &mem);
  im.warn = fuzz_warn;
  im.options.has_mean = 1;   /* no file is opened */
  nn_status status =
      caffe_import(&im, text, text_size, weights, weights_size);
  if (!status) status = import_preprocessing(&im);
  if (!status) status = import_head(&im);
  int opened = status ? 0 : fuzz_open(&im);
  if (status && !im.error[0]) abort();
  import_close(&im);
  if (m.taken) abort();
  return opened;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
  if (n < 2) return 0;
  size_t text = (size_t)bytes[0] | (size_t)bytes[1] << 8;
  if (text > n - 2) text = n - 2;
  fuzz_import(bytes + 2, text, bytes + 2 + text, n - 2 - text, 0);
  return 0;
}

#ifdef FUZZ_MAIN

enum { FUZZ_COUNT = 40000, FUZZ_SEEDS = 3, FUZZ_ROOM = 1 << 16 };

/* Seeds -------------------------------------------------------------------- */

typedef struct fuzz_bytes {
  uint8_t bytes[FUZZ_ROOM];
  size_t n;
} fuzz_bytes;

static void fuzz_put(fuzz_bytes *to, const void *bytes, size_t n) {
  if (to->n + n > FUZZ_ROOM) abort();
  memcpy(to->bytes + to->n, bytes, n);
  to->n += n;
}

static void fuzz_varint(fuzz_bytes *to, uint64_t n) {
  do {
    uint8_t byte = (uint8_t)((n & 0x7f) | (n > 0x7f ? 0x80 : 0));
    fuzz_put(to, &byte, 1);
    n >>= 7;
  } while (n);
}

static void fuzz_piece(fuzz_bytes *to, int field, const void *bytes,
                       size_t n) {
  fuzz_varint(to, (uint64_t)field << 3 | 2);
  fuzz_varint(to, n);
  fuzz_put(to, bytes, n);
}

/* A trained blob of four sides, in the old form or the new. */
static void fuzz_blob(fuzz_bytes *to, int field, int old, const int *side) {
  static fuzz_bytes blob, shape;
  float values[1024];
  int count = side[0] * side[1] * side[2] * side[3];
  blob.n = shape.n = 0;
  for (int i = 0; i < 4; i++) {
    if (!old) fuzz_varint(&shape, (uint64_t)side[i]);
    if (old) fuzz_varint(&blob, (uint64_t)(i + 1) << 3);
    if (old) fuzz_varint(&blob, (uint64_t)side[i]);
  }
  if (!old) {
    static fuzz_bytes dims;
    dims.n = 0;
    fuzz_piece(&dims, 1, shape.bytes, shape.n);
    fuzz_piece(&blob, 7, dims.bytes, dims.n);
  }
  for (int i = 0; i < count; i++) values[i] = (float)(i % 7 - 3) / 8;
  fuzz_piece(&blob, 5, values, (size_t)count * sizeof(float));
  fuzz_piece(to, field, blob.bytes, blob.n);
}

/* A layer and its weights, as generation 0, 1 or 2 has them; an inner product's
** stand in the last two of four sides. */
static void fuzz_layer(fuzz_bytes *to, int generation, const char *name, int o,
                       int i, int kernel, int biases) {
  static fuzz_bytes layer, outer;
  static const int name_field[3] = {1, 4, 1}, blobs_field[3] = {50, 6, 7};
  const int filter[4] = {o, i, kernel, kernel}, matrix[4] = {1, 1, o, i};
  const int bias[4] = {1, 1, 1, o};
  const int *weight = kernel > 1 ? filter : matrix;
  layer.n = outer.n = 0;
  fuzz_piece(&layer, name_field[generation], name, strlen(name));
  fuzz_blob(&layer, blobs_field[generation], generation < 2, weight);
  if (biases) {
    fuzz_blob(&layer, blobs_field[generation], generation < 2, bias);
  }
  if (generation == 0) {
    fuzz_piece(&outer, 1, layer.bytes, layer.n);
    fuzz_piece(to, 2, outer.bytes, outer.n);
  } else {
    fuzz_piece(to, generation == 1 ? 2 : 100, layer.bytes, layer.n);
  }
}

static const char *const fuzz_texts[FUZZ_SEEDS] = {
    "layers { layer { name: \"data\" type: \"data\" cropsize: 8 scale: 0.5 "
    "meanfile: \"m\" det_context_pad: 16 } top: \"data\" top: \"label\" }\n"
    "layers { layer { name: \"pad\" type: \"padding\" pad: 1 } "
    "bottom: \"data\" top: \"pad\" }\n"
    "layers { layer { name: \"a\" type: \"conv\" num_output: 4 kernelsize: 3 "
    "stride: 2 } bottom: \"pad\" top: \"a\" }\n"
    "layers { layer { name: \"r\" type: \"relu\" } bottom: \"a\" top: \"a\" }\n"
    "layers { layer { name: \"n\" type: \"lrn\" local_size: 3 alpha: 0.01 "
    "beta: 0.75 } bottom: \"a\" top: \"n\" }\n"
    "layers { layer { name: \"fc\" type: \"innerproduct\" num_output: 8 } "
    "bottom: \"n\" top: \"fc\" }\n"
    "layers { layer { name: \"s\" type: \"sigmoid\" } bottom: \"fc\" "
    "top: \"s\" }\n"
    "layers { layer { name: \"c\" type: \"innerproduct\" num_output: 2 } "
    "bottom: \"s\" top: \"c\" }\n"
    "layers { layer { name: \"loss\" type: \"softmax_loss\" } bottom: \"c\" "
    "bottom: \"label\" }\n",
    "input: \"data\" input_dim: 1 input_dim: 3 input_dim: 8 input_dim: 8\n"
    "layers { name: \"a\" type: CONVOLUTION convolution_param { num_output: 4 "
    "kernel_size: 3 pad: 1 stride: 2 } bottom: \"data\" top: \"a\" }\n"
    "layers { name: \"p\" type: POOLING pooling_param { pool: AVE "
    "kernel_size: 1 } bottom: \"a\" top: \"p\" }\n"
    "layers { name: \"e\" type: ELTWISE eltwise_param { operation: SUM "
    "coeff: 1 coeff: -0.5 } bottom: \"p\" bottom: \"a\" top: \"e\" }\n"
    "layers { name: \"d\" type: DROPOUT bottom: \"e\" top: \"e\" }\n"
    "layers { name: \"w\" type: POWER power_param { scale: 2 shift: 1 } "
    "bottom: \"e\" top: \"e\" }\n"
    "layers { name: \"fc\" type: INNER_PRODUCT inner_product_param { "
    "num_output: 8 } bottom: \"e\" top: \"fc\" }\n"
    "layers { name: \"s\" type: SIGMOID bottom: \"fc\" top: \"fc\" }\n"
    "layers { name: \"c\" type: INNER_PRODUCT inner_product_param { "
    "num_output: 2 } bottom: \"fc\" top: \"c\" }\n",
    "layer { name: \"data\" type: \"Input\" top: \"data\" input_param { "
    "shape: { dim: [1, 3, 8, 8] } } }\n"
    "layer { name: \"a\" type: \"Convolution\" convolution_param { "
    "num_output: 4 kernel_h: 3 kernel_w: 3 pad: 1 stride: 2 dilation: 1 } "
    "bottom: \"data\" top: \"a\" include { phase: TEST } }\n"
    "layer { name: \"x\" type: \"Slice\" slice_param { slice_point: 1 } "
    "bottom: \"a\" top: \"x\" top: \"y\" }\n"
    "layer { name: \"b\" type: \"Concat\" concat_param { axis: -3 } "
    "bottom: \"y\" bottom: \"x\" top: \"b\" }\n"
    "layer { name: \"t\" type: \"Reshape\" reshape_param { shape { dim: 0 "
    "dim: 2 dim: -1 dim: 4 } } bottom: \"b\" top: \"t\" }\n"
    "layer { name: \"g\" type: \"TanH\" bottom: \"t\" top: \"t\" }\n"
    "layer { name: \"fc\" type: \"InnerProduct\" inner_product_param { "
    "num_output: 8 axis: 1 } bottom: \"t\" top: \"fc\" }\n"
    "layer { name: \"s\" type: \"Sigmoid\" bottom: \"fc\" top: \"fc\" }\n"
    "layer { name: \"c\" type: \"InnerProduct\" inner_product_param { "
    "num_output: 2 bias_term: false } bottom: \"fc\" top: \"c\" }\n"
    "layer { name: \"prob\" type: \"Softmax\" bottom: \"c\" top: \"prob\" }\n"};

static void fuzz_seed(int which, fuzz_bytes *text, fuzz_bytes *weights) {
  text->n = weights->n = 0;
  fuzz_put(text, fuzz_texts[which], strlen(fuzz_texts[which]));
  fuzz_layer(weights, which, "a", 4, 3, 3, 1);
  fuzz_layer(weights, which, "fc", 8, 64, 1, 1);
  fuzz_layer(weights, which, "c", 2, 8, 1, which < 2);
}

/* Mutations ---------------------------------------------------------------- */

static uint64_t fuzz_state;

static size_t fuzz_below(size_t n) {
  fuzz_state ^= fuzz_state >> 12;
  fuzz_state ^= fuzz_state << 25;
  fuzz_state ^= fuzz_state >> 27;
  return (size_t)((fuzz_state * 0x2545f4914f6cdd1du) >> 11) % n;
}

static void fuzz_replace(fuzz_bytes *b, size_t at, size_t length,
                         const void *with, size_t n) {
  if (length > b->n - at) length = b->n - at;
  if (b->n - length + n > FUZZ_ROOM) return;
  memmove(b->bytes + at + n, b->bytes + at + length, b->n - at - length);
  memcpy(b->bytes + at, with, n);
  b->n += n - length;
}

/* Another number or word in place of one of the text. */
static void fuzz_word(fuzz_bytes *b) {
  static const char *const words[] = {
      "0", "1", "2", "3", "-1", "7", "64", "255", "65535", "65536",
      "16777217", "2147483647", "4294967295", "9223372036854775807", "1e300",
      "nan", "-inf", "0x7fffffff", "MAX", "MAX", "true", "\"a\"", "\"data\"",
      "\"fc\"", "\"x\"", "\"Flatten\"", "\"Scale\"", "\"BatchNorm\"",
      "\"Eltwise\"", "\"Pooling\"", "\"Slice\"", "{", "}", "[", "]", "#"};
  size_t at = fuzz_below(b->n);
  while (at < b->n && b->bytes[at] != ' ') at++;
  size_t end = ++at;
  while (end < b->n && b->bytes[end] != ' ') end++;
  if (end >= b->n) return;
  const char *word = words[fuzz_below(sizeof(words) / sizeof(*words))];
  fuzz_replace(b, at, end - at, word, strlen(word));
}

/* A line of the text again, or in another place, or gone. */
static void fuzz_line(fuzz_bytes *b) {
  uint8_t line[512];
  size_t at = fuzz_below(b->n), to = fuzz_below(b->n), end;
  while (at && b->bytes[at - 1] != '\n') at--;
  while (to && b->bytes[to - 1] != '\n') to--;
  for (end = at; end < b->n && b->bytes[end] != '\n';) end++;
  size_t n = end < b->n ? end + 1 - at : end - at;
  if (n > sizeof(line)) return;
  memcpy(line, b->bytes + at, n);
  if (fuzz_below(3) == 0) fuzz_replace(b, at, n, "", 0);
  else fuzz_replace(b, to, 0, line, n);
}

static void fuzz_mutate(fuzz_bytes *b, int text) {
  if (b->n < 8) return;
  size_t at = fuzz_below(b->n), n = fuzz_below(24);
  uint8_t copy[24], byte = (uint8_t)fuzz_below(256);
  size_t kind = fuzz_below(text ? 8 : 5);
  if (kind >= 6) {
    fuzz_word(b);
  } else if (kind == 5) {
    fuzz_line(b);
  } else if (kind == 0) {
    b->bytes[at] ^= (uint8_t)(1 << fuzz_below(8));
  } else if (kind == 1) {
    fuzz_replace(b, at, 1, &byte, 1);
  } else if (kind == 2) {
    fuzz_replace(b, at, n, "", 0);
  } else if (kind == 3) {
    size_t from = fuzz_below(b->n);
    if (n > b->n - from) n = b->n - from;
    memcpy(copy, b->bytes + from, n);
    fuzz_replace(b, at, 0, copy, n);
  } else if (fuzz_below(4) == 0) {
    b->n = at;
  } else {
    uint8_t edge[] = {0, 0x7f, 0x80, 0xff};
    fuzz_replace(b, at, 1, &edge[fuzz_below(4)], 1);
  }
}

/* Copies of their exact sizes, so that a sanitizer sees one byte too many. */
static int fuzz_run(const fuzz_bytes *text, const fuzz_bytes *weights,
                    long fail_at) {
  uint8_t *a = malloc(text->n + !text->n);
  uint8_t *b = malloc(weights->n + !weights->n);
  if (!a || !b) abort();
  memcpy(a, text->bytes, text->n);
  memcpy(b, weights->bytes, weights->n);
  int opened = fuzz_import(a, text->n, b, weights->n, fail_at);
  free(a);
  free(b);
  return opened;
}

static int fuzz_files(int argc, char **argv) {
  static uint8_t bytes[1 << 22];
  for (int i = 1; i < argc; i++) {
    FILE *f = fopen(argv[i], "rb");
    if (!f) {
      fprintf(stderr, "%s cannot be read\n", argv[i]);
      return 1;
    }
    size_t n = fread(bytes, 1, sizeof(bytes), f);
    fclose(f);
    LLVMFuzzerTestOneInput(bytes, n);
  }
  return 0;
}

/* Every allocation of importing each seed fails once, until the network comes
** out; how many there were, 0 when there is no end of them. */
static int fuzz_faults(void) {
  static fuzz_bytes text, weights;
  int faults = 0;
  for (int i = 0; i < FUZZ_SEEDS; i++) {
    fuzz_seed(i, &text, &weights);
    for (long at = 1; !fuzz_run(&text, &weights, at); at++) {
      if (at > 100000) return 0;
      faults++;
    }
  }
  return faults;
}

int main(int argc, char **argv) {
  static fuzz_bytes text, weights;
  int opened = 0;
  if (argc > 1) return fuzz_files(argc, argv);
  for (int i = 0; i < FUZZ_COUNT + FUZZ_SEEDS; i++) {
    fuzz_seed(i % FUZZ_SEEDS, &text, &weights);
    fuzz_state = (uint64_t)(i + 1) * 0x9e3779b97f4a7c15u;
    int times = i < FUZZ_SEEDS ? 0 : fuzz_below(3) ? 1 : 4;
    while (times-- > 0) {
      int in_text = fuzz_below(3) > 0;
      fuzz_mutate(in_text ? &text : &weights, in_text);
    }
    int ok = fuzz_run(&text, &weights, 0);
    if (i < FUZZ_SEEDS && !ok) {
      printf("not ok 1 - network %d, to be mutated, is refused\n1..1\n", i);
      return 1;
    }
    opened += ok;
  }
  /* too few would mean that nothing behind the readers was reached */
  printf("%s 1 - %d mutated networks, %d of them still imported\n",
         opened > FUZZ_COUNT / 20 ? "ok" : "not ok", FUZZ_COUNT, opened);
  int faults = fuzz_faults();
  printf("%s 2 - %d allocations that failed, each refused\n1..2\n",
         faults ? "ok" : "not ok", faults);
  return opened <= FUZZ_COUNT / 20 || !faults;
}

#endif

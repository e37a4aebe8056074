/*
** Networks of ONNX that somebody made to do harm: they are read like any, must
** be refused with a sentence or become a model that nn_model_open takes and
** whose blobs have the shapes that the importer believes, and may take no more
** memory than a bound.
**
** libFuzzer's input is the file.  With FUZZ_MAIN the program mutates seeds of
** its own, the same ones each time, lets every allocation of reading a seed
** fail once, and prints TAP; given files, it runs those.
*/
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../weights/onnx.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

/* What reading a small file may take: folded constants among it. */
#define FUZZ_MEMORY ((size_t)600 << 20)

typedef struct fuzz_memory {
  size_t taken;
  int count, fail;    /* the allocation that gives NULL; -1: none */
} fuzz_memory;

static void *fuzz_take(void *context, size_t n) {
  fuzz_memory *m = context;
  if (m->count++ == m->fail) return NULL;
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

/* The blobs of the finished model are what the importer takes them for. */
static nn_status fuzz_check(import *im) {
  nn_model *model;
  nn_status status = import_trial(im, &model);
  if (status) return status;
  for (const import_layer *l = im->layers; l; l = l->next) {
    int chw[3], blob = nn_model_blob(model, l->name);
    if (blob < 0) abort();
    nn_model_blob_shape(model, blob, chw);
    if (memcmp(chw, l->shape, sizeof(chw)) != 0) abort();
  }
  nn_model_close(model);
  return NN_OK;
}

/* NN_OK for a file that became a model. */
static nn_status fuzz_read(const uint8_t *bytes, size_t n, int fail,
                           int *count) {
  fuzz_memory m = {0, 0, fail};
  const nn_memory mem = {fuzz_take, fuzz_release, &m};
  import im;
  import_open(&im, &mem);
  im.options.output = im.options.name = "fuzz";
  nn_status status = onnx_import(&im, bytes, n);
  if (!status) status = import_preprocessing(&im);
  if (!status) status = import_head(&im);
  if (!status) status = fuzz_check(&im);
  if (status == NN_MODEL && !im.error[0] && fail < 0) abort();
  import_close(&im);
  if (m.taken) abort();
  if (count) *count = m.count;
  return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
  fuzz_read(bytes, n, -1, NULL);
  return 0;
}

#ifdef FUZZ_MAIN

enum { FUZZ_COUNT = 30000, FUZZ_SEEDS = 4, FUZZ_ROOM = 1 << 16 };

/* Seeds -------------------------------------------------------------------- */

/* A file that is being written, and its parts, which live to the end. */
typedef struct fuzz_file {
  OnnxModel model;
  OnnxGraph graph;
  OnnxOpset opset;
  OnnxOpset *opsets[1];
  OnnxNode *node[40];
  OnnxTensor *tensor[40];
  OnnxInfo *input[1], *output[1];
} fuzz_file;

typedef struct fuzz_part {
  struct fuzz_part *next;
  char align[64 - sizeof(struct fuzz_part *)];
} fuzz_part;

static fuzz_part *fuzz_parts;

static void *fuzz_new(size_t n) {
  fuzz_part *part = calloc(1, sizeof(*part) + n);
  if (!part) abort();
  part->next = fuzz_parts;
  fuzz_parts = part;
  return part + 1;
}

static void fuzz_free_parts(void) {
  while (fuzz_parts) {
    fuzz_part *next = fuzz_parts->next;
    free(fuzz_parts);
    fuzz_parts = next;
  }
}

#define FUZZ_NEW(name, type, init)      \
  type *name = fuzz_new(sizeof(type));  \
  init(name)

static OnnxInfo *fuzz_info(char *name, const int64_t *dims) {
  FUZZ_NEW(info, OnnxInfo, onnx_info__init);
  FUZZ_NEW(type, OnnxType, onnx_type__init);
  FUZZ_NEW(array, OnnxTensorType, onnx_tensor_type__init);
  FUZZ_NEW(shape, OnnxShape, onnx_shape__init);
  info->name = name;
  info->type = type;
  type->tensor_type = array;
  array->has_elem_type = array->elem_type = 1;
  if (!dims) return info;
  array->shape = shape;
  shape->n_dim = 4;
  shape->dim = fuzz_new(4 * sizeof(*shape->dim));
  for (int i = 0; i < 4; i++) {
    FUZZ_NEW(dim, OnnxDimension, onnx_dimension__init);
    shape->dim[i] = dim;
    dim->has_dim_value = dims[i] > 0;
    dim->dim_value = dims[i];
  }
  return info;
}

static void fuzz_start(fuzz_file *f, int opset, const int64_t *dims,
                       char *output) {
  memset(f, 0, sizeof(*f));
  onnx_model__init(&f->model);
  onnx_graph__init(&f->graph);
  onnx_opset__init(&f->opset);
  f->opset.has_version = 1;
  f->opset.version = opset;
  f->opsets[0] = &f->opset;
  f->model.n_opset_import = 1;
  f->model.opset_import = f->opsets;
  f->model.graph = &f->graph;
  f->graph.node = f->node;
  f->graph.initializer = f->tensor;
  f->input[0] = fuzz_info("x", dims);
  f->output[0] = fuzz_info(output, NULL);
  f->graph.n_input = f->graph.n_output = 1;
  f->graph.input = f->input;
  f->graph.output = f->output;
}

/* A list as "1 2 -3"; values of a float tensor follow from their places. */
static size_t fuzz_numbers(const char *text, int64_t *out) {
  size_t n = 0;
  for (char *end; *text && n < 16; text = end) {
    out[n] = strtoll(text, &end, 10);
    if (end == text) break;
    n++;
  }
  return n;
}

static void fuzz_tensor(fuzz_file *f, char *name, const char *dims,
                        const char *ints) {
  FUZZ_NEW(t, OnnxTensor, onnx_tensor__init);
  int64_t d[16] = {0}, count = 1;
  t->name = name;
  t->n_dims = fuzz_numbers(dims, d);
  t->dims = fuzz_new(sizeof(d));
  memcpy(t->dims, d, sizeof(d));
  for (size_t i = 0; i < t->n_dims; i++) count *= d[i];
  t->has_data_type = 1;
  if (ints) {
    t->data_type = 7;
    t->int64_data = fuzz_new(sizeof(d));
    t->n_int64_data = fuzz_numbers(ints, t->int64_data);
  } else {
    t->data_type = 1;
    t->has_raw_data = 1;
    t->raw_data.len = (size_t)count * sizeof(float);
    float *values = fuzz_new(t->raw_data.len + 1);
    for (int64_t i = 0; i < count; i++) {
      values[i] = (float)((i * 37 + 11) % 29) / 29 + 0.1f;
    }
    t->raw_data.data = (uint8_t *)values;
  }
  f->tensor[f->graph.n_initializer++] = t;
}

/* Names in one string with spaces between. */
static size_t fuzz_names(const char *text, char ***out) {
  char *copy = fuzz_new(strlen(text) + 1);
  char **names = fuzz_new(8 * sizeof(*names));
  size_t n = 0;
  strcpy(copy, text);
  for (char *word = strtok(copy, " "); word; word = strtok(NULL, " ")) {
    names[n++] = strcmp(word, "-") == 0 ? "" : word;
  }
  *out = names;
  return n;
}

/* attributes: "axis=1;pads=1,1,1,1": a list where there is a comma. */
static void fuzz_node(fuzz_file *f, char *type, const char *inputs,
                      const char *outputs, const char *attributes) {
  FUZZ_NEW(node, OnnxNode, onnx_node__init);
  node->op_type = type;
  node->n_input = fuzz_names(inputs, &node->input);
  node->n_output = fuzz_names(outputs, &node->output);
  node->attribute = fuzz_new(8 * sizeof(*node->attribute));
  char *copy = fuzz_new(strlen(attributes) + 1);
  strcpy(copy, attributes);
  for (char *word = strtok(copy, ";"); word; word = strtok(NULL, ";")) {
    FUZZ_NEW(a, OnnxAttribute, onnx_attribute__init);
    char *value = strchr(word, '=');
    *value++ = 0;
    a->name = word;
    int list = strchr(value, ',') != NULL;
    if (list) {
      a->ints = fuzz_new(16 * sizeof(*a->ints));
      for (char *p = value; *p; p++) *p = *p == ',' ? ' ' : *p;
      a->n_ints = fuzz_numbers(value, a->ints);
    } else if ((*value >= '0' && *value <= '9') || *value == '-') {
      a->has_i = a->has_f = 1;
      a->i = strtoll(value, NULL, 10);
      a->f = strtof(value, NULL);
    } else {
      a->has_s = 1;
      a->s.data = (uint8_t *)value;
      a->s.len = strlen(value);
    }
    node->attribute[node->n_attribute++] = a;
  }
  f->node[f->graph.n_node++] = node;
}

/* The paper's kind of network, as old exporters wrote it. */
static void fuzz_old(fuzz_file *f) {
  static const int64_t dims[4] = {1, 3, 12, 10};
  fuzz_start(f, 9, dims, "y");
  fuzz_tensor(f, "w", "6 3 3 3", NULL);
  fuzz_tensor(f, "c", "6", NULL);
  fuzz_tensor(f, "d", "6 1 3 3", NULL);
  fuzz_tensor(f, "l", "54 8", NULL);
  fuzz_tensor(f, "k", "8", NULL);
  fuzz_tensor(f, "m", "8 4", NULL);
  fuzz_node(f, "Conv", "x w c", "1", "pads=1,1,1,1;strides=2,2");
  fuzz_node(f, "BatchNormalization", "1 c c c c", "2", "epsilon=1");
  fuzz_node(f, "Relu", "2", "3", "");
  fuzz_node(f, "LRN", "3", "4", "size=3");
  fuzz_node(f, "Conv", "4 d", "5", "group=6;auto_pad=SAME_UPPER");
  fuzz_node(f, "MaxPool", "5", "6", "kernel_shape=2,2;strides=2,2");
  fuzz_node(f, "AveragePool", "6", "6a",
            "kernel_shape=2,2;pads=1,1,1,1;count_include_pad=1");
  fuzz_node(f, "Slice", "6a", "6b", "starts=0,0;ends=3,3;axes=2,3");
  fuzz_node(f, "Dropout", "6b", "7", "");
  fuzz_node(f, "Flatten", "7", "8", "");
  fuzz_node(f, "Gemm", "8 l k", "9", "alpha=2");
  fuzz_node(f, "Sigmoid", "9", "10", "");
  fuzz_node(f, "MatMul", "10 m", "11", "");
  fuzz_node(f, "Softmax", "11", "y", "axis=1");
}

/* Folded shapes, groups that change places, cuts and borders. */
static void fuzz_moves(fuzz_file *f) {
  static const int64_t dims[4] = {0, 4, 6, 6};
  fuzz_start(f, 17, dims, "y");
  fuzz_tensor(f, "i0", "", "0");
  fuzz_tensor(f, "i1", "1", "0");
  fuzz_tensor(f, "two", "2", "2 2");
  fuzz_tensor(f, "hw", "2", "6 6");
  fuzz_tensor(f, "rest", "4", "-1 4 6 6");
  fuzz_tensor(f, "pads", "8", "0 0 1 2 0 0 1 -1");
  fuzz_tensor(f, "starts", "2", "1 0");
  fuzz_tensor(f, "ends", "2", "8 9223372036854775807");
  fuzz_tensor(f, "axes", "2", "2 -1");
  fuzz_node(f, "Shape", "x", "s", "");
  fuzz_node(f, "Gather", "s i0", "n", "axis=0");
  fuzz_node(f, "Unsqueeze", "n i1", "n1", "");
  fuzz_node(f, "Concat", "n1 two hw", "target", "axis=0");
  fuzz_node(f, "Reshape", "x target", "1", "");
  fuzz_node(f, "Transpose", "1", "2", "perm=0,2,1,3,4");
  fuzz_node(f, "Reshape", "2 rest", "3", "");
  fuzz_node(f, "Split", "3", "4 5", "axis=1");
  fuzz_node(f, "Pad", "4 pads", "6", "mode=edge");
  fuzz_node(f, "Slice", "6 starts ends axes", "7", "");
  fuzz_node(f, "Transpose", "7", "8", "perm=0,2,3,1");
  fuzz_node(f, "HardSwish", "8", "9", "");
  fuzz_node(f, "Transpose", "9", "10", "perm=0,3,1,2");
  fuzz_node(f, "GlobalMaxPool", "5", "11", "");
  fuzz_node(f, "Mul", "10 11", "12", "");
  fuzz_node(f, "Concat", "12 10", "y", "axis=1");
}

/* Arithmetic, of blobs and with constants of all forms. */
static void fuzz_arithmetic(fuzz_file *f) {
  static const int64_t dims[4] = {2, 3, 5, 7};
  fuzz_start(f, 13, dims, "y");
  fuzz_tensor(f, "mean", "3 1 1", NULL);
  fuzz_tensor(f, "one", "", NULL);
  fuzz_tensor(f, "plane", "5 7", NULL);
  fuzz_tensor(f, "w", "3 4", NULL);
  fuzz_tensor(f, "b", "4", NULL);
  fuzz_tensor(f, "places", "2", "1 -1");
  fuzz_node(f, "Sub", "x mean", "1", "");
  fuzz_node(f, "Div", "1 one", "2", "");
  fuzz_node(f, "Add", "2 plane", "3", "");
  fuzz_node(f, "Max", "3 one", "4", "");
  fuzz_node(f, "ReduceMean", "4", "5", "axes=2,3;keepdims=1");
  fuzz_node(f, "Sum", "5 4 3", "6", "");
  fuzz_node(f, "Transpose", "6", "7", "perm=0,2,3,1");
  fuzz_node(f, "MatMul", "7 w", "8", "");
  fuzz_node(f, "Add", "8 b", "9", "");
  fuzz_node(f, "Clip", "9 one", "10", "");
  fuzz_node(f, "Gather", "10 places", "11", "axis=3");
  fuzz_node(f, "Sqrt", "one", "root", "");
  fuzz_node(f, "Mul", "11 root", "12", "");
  fuzz_node(f, "LeakyRelu", "12", "13", "alpha=0");
  fuzz_node(f, "Cast", "13", "y", "to=1");
}

/* Channels come last, as from TensorFlow. */
static void fuzz_last(fuzz_file *f) {
  static const int64_t dims[4] = {0, 6, 8, 3};
  fuzz_start(f, 11, dims, "y");
  fuzz_tensor(f, "w", "5 3 3 3", NULL);
  fuzz_tensor(f, "dense", "5 4", NULL);
  fuzz_node(f, "Transpose", "x", "1", "perm=0,3,1,2");
  fuzz_node(f, "Conv", "1 w", "2", "auto_pad=SAME_LOWER;dilations=2,1");
  fuzz_node(f, "Transpose", "2", "3", "perm=0,2,3,1");
  fuzz_node(f, "ReduceMean", "3", "4", "axes=1,2;keepdims=0");
  fuzz_node(f, "MatMul", "4 dense", "5", "");
  fuzz_node(f, "Unsqueeze", "5", "6", "axes=2,3");
  fuzz_node(f, "Squeeze", "6", "7", "axes=2,3");
  fuzz_node(f, "Softmax", "7", "y", "axis=-1");
}

static size_t fuzz_seed(int which, uint8_t *to) {
  static void (*const seeds[FUZZ_SEEDS])(fuzz_file *) = {
      fuzz_old, fuzz_moves, fuzz_arithmetic, fuzz_last};
  fuzz_file *f = fuzz_new(sizeof(*f));
  seeds[which](f);
  if (onnx_model__get_packed_size(&f->model) > FUZZ_ROOM / 2) abort();
  return onnx_model__pack(&f->model, to);
}

/* Mutations ---------------------------------------------------------------- */

static uint64_t fuzz_random_state;

static uint32_t fuzz_random(uint32_t below) {
  fuzz_random_state ^= fuzz_random_state >> 12;
  fuzz_random_state ^= fuzz_random_state << 25;
  fuzz_random_state ^= fuzz_random_state >> 27;
  return (uint32_t)(fuzz_random_state * 0x2545f4914f6cdd1du >> 32) % below;
}

/* A few changes: bytes, numbers at their limits, pieces cut or doubled. */
static size_t fuzz_mutate(uint8_t *p, size_t n) {
  static const uint8_t edges[] = {0, 1, 2, 3, 4, 7, 0x7f, 0x80, 0xff};
  int changes = 1 + (int)fuzz_random(4);
  while (changes-- && n > 8) {
    size_t at = fuzz_random((uint32_t)n), length = 1 + fuzz_random(12);
    if (length > n - at) length = n - at;
    switch (fuzz_random(6)) {
      case 0: p[at] = (uint8_t)fuzz_random(256); break;
      case 1: p[at] ^= (uint8_t)(1 << fuzz_random(8)); break;
      case 2:
      case 3: p[at] = edges[fuzz_random(sizeof(edges))]; break;
      case 4:
        memmove(p + at, p + at + length, n - at - length);
        n -= length;
        break;
      default:
        if (n + length > FUZZ_ROOM) break;
        memmove(p + at + length, p + at, n - at);
        n += length;
    }
  }
  return n;
}

static int fuzz_mutations(const uint8_t *const *seeds, const size_t *sizes) {
  static uint8_t file[FUZZ_ROOM];
  int opened = 0;
  for (int i = 0; i < FUZZ_COUNT; i++) {
    fuzz_random_state = (uint64_t)(i + 1) * 0x9e3779b97f4a7c15u;
    size_t n = sizes[i % FUZZ_SEEDS];
    memcpy(file, seeds[i % FUZZ_SEEDS], n);
    n = fuzz_mutate(file, n);
    uint8_t *copy = malloc(n + !n);   /* exactly n bytes, for asan */
    if (!copy) abort();
    memcpy(copy, file, n);
    opened += fuzz_read(copy, n, -1, NULL) == NN_OK;
    free(copy);
  }
  /* too few would mean that nothing behind the first bytes was reached */
  int ok = opened > FUZZ_COUNT / 20 && opened < FUZZ_COUNT;
  printf("%s 1 - %d mutated files of ONNX, %d of them still models\n",
         ok ? "ok" : "not ok", FUZZ_COUNT, opened);
  return ok;
}

static int fuzz_faults(const uint8_t *const *seeds, const size_t *sizes) {
  int failed = 0;
  for (int i = 0; i < FUZZ_SEEDS; i++) {
    nn_status status = NN_NOMEM;
    for (int fail = 0; status; fail++) {
      int count;
      status = fuzz_read(seeds[i], sizes[i], fail, &count);
      if ((status == NN_OK) != (count <= fail)) abort();
      failed += status != NN_OK;
    }
  }
  printf("%s 2 - %d allocations of reading ONNX failed, one by one\n",
         failed > 100 ? "ok" : "not ok", failed);
  return failed > 100;
}

static int fuzz_files(int argc, char **argv) {
  for (int i = 1; i < argc; i++) {
    static uint8_t file[1 << 24];
    FILE *f = fopen(argv[i], "rb");
    if (!f) return 1;
    size_t n = fread(file, 1, sizeof(file), f);
    fclose(f);
    printf("%s: %s\n", argv[i],
           fuzz_read(file, n, -1, NULL) ? "refused" : "a model");
  }
  return 0;
}

int main(int argc, char **argv) {
  static uint8_t room[FUZZ_SEEDS][FUZZ_ROOM];
  const uint8_t *seeds[FUZZ_SEEDS];
  size_t sizes[FUZZ_SEEDS];
  if (argc > 1) return fuzz_files(argc, argv);
  for (int i = 0; i < FUZZ_SEEDS; i++) {
    seeds[i] = room[i];
    sizes[i] = fuzz_seed(i, room[i]);
    if (fuzz_read(seeds[i], sizes[i], -1, NULL)) {
      printf("not ok 1 - seed %d is refused\n1..1\n", i);
      return 1;
    }
  }
  fuzz_free_parts();
  int ok = fuzz_mutations(seeds, sizes);
  ok &= fuzz_faults(seeds, sizes);
  printf("1..2\n");
  return !ok;
}

#endif

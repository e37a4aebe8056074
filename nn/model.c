/*
** A model file: which bytes are which tensor, who owns what, and the questions
** that the rest of the program may ask of an open model.
**
** Everything in SQL that takes a model's name ends here: binhash_load() opens a
** file, the compiled-in default is opened from the extension's own bytes.  The
** format is safetensors (weights/README.md is the normative description): eight
** bytes of header length, a JSON header, then raw little-endian tensors without
** holes.  The network itself is a JSON text in the header's metadata; network.c
** reads that one.
**
** The bytes are hostile until shown otherwise.  Each tensor's shape must
** multiply to its length without overflow, and the tensors, sorted by offset,
** must cover the data from its first byte to its last without gap or overlap,
** which is safetensors' own rule and leaves no room for anything to hide.
**
** A model never moves a float32 or int32 tensor that is aligned: a file of
** 228 MB mapped into memory is read by the kernels where it lies.  What the
** model does own hangs in one list and is freed together.
*/
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "nn_int.h"

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "tensors are used where they lie, which wants a little-endian machine"
#endif

/* Memory of a model ------------------------------------------------------- */

/* 64 bytes, so that what follows keeps nn_alloc's alignment. */
typedef struct nn_chunk {
  struct nn_chunk *next;
  char align[64 - sizeof(struct nn_chunk *)];
} nn_chunk;

/* The digest costs a pass over the file, so it is taken when first asked for;
** the lock is what lets threads share a model that is const otherwise. */
typedef struct nn_digest {
  pthread_mutex_t lock;
  char hex[65];
} nn_digest;

void *nn_model_alloc(nn_model *model, size_t count, size_t size) {
  size_t n = nn_mul(count, size);
  if (n > NN_ALLOC_MAX || model->owned + (uint64_t)n > NN_OWNED_MAX) {
    return NULL;
  }
  nn_chunk *block = nn_zalloc(&model->mem, sizeof(*block) + n);
  if (!block) return NULL;
  block->next = model->blocks;
  model->blocks = block;
  model->owned += n;
  return block + 1;
}

char *nn_model_string(nn_model *model, const char *text) {
  size_t n = strlen(text) + 1;
  char *copy = nn_model_alloc(model, n, 1);
  if (copy) memcpy(copy, text, n);
  return copy;
}

/* The header -------------------------------------------------------------- */

static nn_status model_bad(const nn_tensor *tensor, nn_error *err,
                           const char *sentence) {
  return nn_fail(err, NN_MODEL, "tensor %s: %s",
                 nn_shown_name(tensor->name).text, sentence);
}

static size_t model_dtype(const char *text, nn_dtype *dtype) {
  static const struct {
    const char *name;
    size_t size;
    nn_dtype dtype;
  } types[] = {
      {"F32", 4, NN_F32},        {"I8", 1, NN_I8},
      {"I32", 4, NN_I32},        {"U8", 1, NN_U8},
      {"BOOL", 1, NN_OTHER},     {"U32", 4, NN_OTHER},
      {"F8_E4M3", 1, NN_OTHER},  {"F8_E5M2", 1, NN_OTHER},
      {"I16", 2, NN_OTHER},      {"U16", 2, NN_OTHER},
      {"F16", 2, NN_F16},        {"BF16", 2, NN_OTHER},
      {"I64", 8, NN_OTHER},      {"U64", 8, NN_OTHER},
      {"F64", 8, NN_OTHER}};
  for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
    if (strcmp(types[i].name, text) == 0) {
      *dtype = types[i].dtype;
      return types[i].size;
    }
  }
  return 0;
}

/* One entry of the header: {"dtype":, "shape":, "data_offsets":}. */
static nn_status model_entry(nn_model *model, const nn_json *entry,
                             nn_tensor *tensor, size_t data, nn_error *err) {
  const nn_json *dtype = nn_json_get(entry, "dtype");
  const nn_json *shape = nn_json_get(entry, "shape");
  const nn_json *offsets = nn_json_get(entry, "data_offsets");
  tensor->name = nn_model_string(model, entry->key);
  if (!tensor->name) return nn_fail(err, NN_NOMEM, "out of memory");
  if (!dtype || dtype->kind != NN_JSON_STRING) {
    return model_bad(tensor, err, "no dtype");
  }
  size_t size = model_dtype(dtype->text, &tensor->dtype);
  if (!size) return model_bad(tensor, err, "unknown dtype");
  if (!shape || shape->kind != NN_JSON_ARRAY || shape->length > 8) {
    return model_bad(tensor, err, "no shape of at most 8 numbers");
  }
  tensor->count = 1;
  for (const nn_json *d = shape->child; d; d = d->next) {
    if (!d->is_integer || d->integer < 0) {
      return model_bad(tensor, err, "a shape is made of whole numbers");
    }
    tensor->shape[tensor->rank++] = d->integer;
    tensor->count = nn_mul(tensor->count, (size_t)d->integer);
  }
  if (!offsets || offsets->kind != NN_JSON_ARRAY || offsets->length != 2 ||
      !offsets->child->is_integer || !offsets->child->next->is_integer) {
    return model_bad(tensor, err, "data_offsets wants two whole numbers");
  }
  int64_t begin = offsets->child->integer, end = offsets->child->next->integer;
  if (begin < 0 || end < begin || (uint64_t)end > data) {
    return model_bad(tensor, err, "data_offsets outside of the file");
  }
  tensor->begin = (size_t)begin;
  tensor->end = (size_t)end;
  if (nn_mul(tensor->count, size) != tensor->end - tensor->begin) {
    return model_bad(tensor, err, "shape and data_offsets disagree");
  }
  return NN_OK;
}

static int model_by_offset(const void *a, const void *b) {
  const nn_tensor *x = a, *y = b;
  if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
  return x->end < y->end ? -1 : x->end > y->end;
}

static int model_by_name(const void *a, const void *b) {
  return strcmp(((const nn_tensor *)a)->name, ((const nn_tensor *)b)->name);
}

/* The tensors must tile the data; then give each its bytes. */
static nn_status model_tile(nn_model *model, const uint8_t *data, size_t n,
                            nn_error *err) {
  size_t at = 0, count = (size_t)model->tensor_count;
  qsort(model->tensors, count, sizeof(nn_tensor), model_by_offset);
  for (size_t i = 0; i < count; i++) {
    nn_tensor *tensor = &model->tensors[i];
    if (tensor->begin < at) {
      return model_bad(tensor, err, "its bytes overlap another tensor's");
    }
    if (tensor->begin > at) {
      return model_bad(tensor, err, "unused bytes lie before it");
    }
    tensor->bytes = data + tensor->begin;
    at = tensor->end;
  }
  if (at != n) {
    return nn_fail(err, NN_MODEL, "%zu bytes after the last tensor", n - at);
  }
  qsort(model->tensors, count, sizeof(nn_tensor), model_by_name);
  return NN_OK;
}

static nn_status model_metadata(nn_model *model, const nn_json *header,
                                nn_error *err) {
  const nn_json *meta = nn_json_get(header, "__metadata__");
  const nn_json *format = nn_json_get(meta, "format");
  const nn_json *version = nn_json_get(meta, "format_version");
  const nn_json *network = nn_json_get(meta, "network");
  const nn_json *report = nn_json_get(meta, "report");
  if (!format || format->kind != NN_JSON_STRING ||
      strcmp(format->text, "binhash") != 0 || !network ||
      network->kind != NN_JSON_STRING) {
    return nn_fail(err, NN_MODEL,
                   "a safetensors file, but not one of binhash: its metadata "
                   "has no network");
  }
  if (!version || version->kind != NN_JSON_STRING ||
      strcmp(version->text, "1") != 0) {
    return nn_fail(err, NN_MODEL,
                   "format version %s, this binhash reads version 1",
                   version && version->kind == NN_JSON_STRING
                       ? nn_shown_name(version->text).text
                       : "missing");
  }
  if (report && report->kind == NN_JSON_STRING) {
    model->report = nn_model_string(model, report->text);
    if (!model->report) return nn_fail(err, NN_NOMEM, "out of memory");
  }
  return nn_network_read(model, network->text, network->length, err);
}

static nn_status model_header(nn_model *model, const nn_json *header,
                              size_t skip, nn_error *err) {
  size_t data = model->byte_count - skip;
  nn_status status;
  if (header->kind != NN_JSON_OBJECT) {
    return nn_fail(err, NN_MODEL, "the header is not a JSON object");
  }
  if (header->length > NN_TENSOR_MAX) {
    return nn_fail(err, NN_MODEL, "%zu tensors, more than %d", header->length,
                   NN_TENSOR_MAX);
  }
  model->tensors = nn_model_alloc(model, header->length, sizeof(nn_tensor));
  if (!model->tensors) return nn_fail(err, NN_NOMEM, "out of memory");
  for (const nn_json *m = header->child; m; m = m->next) {
    if (strcmp(m->key, "__metadata__") == 0) continue;
    nn_tensor *tensor = &model->tensors[model->tensor_count++];
    status = model_entry(model, m, tensor, data, err);
    if (status) return status;
  }
  status = model_tile(model, model->bytes + skip, data, err);
  return status ? status : model_metadata(model, header, err);
}

static nn_status model_read(nn_model *model, nn_error *err) {
  uint64_t length = 0;
  nn_json *header;
  if (model->byte_count < 8) {
    return nn_fail(err, NN_MODEL, "%zu bytes are no model file",
                   model->byte_count);
  }
  for (int i = 0; i < 8; i++) length |= (uint64_t)model->bytes[i] << (8 * i);
  if (length > model->byte_count - 8) {
    return nn_fail(err, NN_MODEL,
                   "not a safetensors file, or cut short: it says that its "
                   "header has %llu bytes and %zu follow",
                   (unsigned long long)length, model->byte_count - 8);
  }
  nn_status status = nn_json_parse(&model->mem, "header", model->bytes + 8,
                                   (size_t)length, &header, err);
  if (status) return status;
  status = model_header(model, header, 8 + (size_t)length, err);
  nn_free(&model->mem, header);
  return status ? status : nn_plan(model, err);
}

/* Opening ----------------------------------------------------------------- */

nn_status nn_model_open_idle(const nn_memory *mem, const void *bytes, size_t n,
                             nn_model **out, nn_error *err) {
  nn_model *model = nn_zalloc(mem, sizeof(*model));
  *out = NULL;
  err->status = NN_OK;
  err->text[0] = 0;
  if (!model) return nn_fail(err, NN_NOMEM, "out of memory");
  model->mem = *mem;
  model->bytes = bytes;
  model->byte_count = n;
  model->digest = nn_model_alloc(model, 1, sizeof(nn_digest));
  if (!model->digest || pthread_mutex_init(&model->digest->lock, NULL)) {
    model->digest = NULL;
    nn_model_close(model);
    return nn_fail(err, NN_NOMEM, "out of memory");
  }
  nn_status status = model_read(model, err);
  if (status) nn_model_close(model);
  else *out = model;
  return status;
}

nn_status nn_model_open(const nn_memory *mem, const void *bytes, size_t n,
                        nn_model **out, nn_error *err) {
  nn_status status = nn_model_open_idle(mem, bytes, n, out, err);
  if (!status) status = nn_model_ready(*out, err);
  if (!status) return NN_OK;
  nn_model_close(*out);
  *out = NULL;
  return status;
}

void nn_model_close(nn_model *model) {
  if (!model) return;
  nn_memory mem = model->mem;
  if (model->digest) pthread_mutex_destroy(&model->digest->lock);
  for (nn_chunk *block = model->blocks, *next; block; block = next) {
    next = block->next;
    nn_free(&mem, block);
  }
  nn_free(&mem, model);
}

/* Tensors ----------------------------------------------------------------- */

nn_tensor *nn_model_tensor(const nn_model *model, const char *name) {
  int low = 0, high = model->tensor_count;
  while (low < high) {
    int middle = low + (high - low) / 2;
    int order = strcmp(model->tensors[middle].name, name);
    if (order == 0) return &model->tensors[middle];
    if (order < 0) low = middle + 1;
    else high = middle;
  }
  return NULL;
}

/* int8 * scale[channel]; the scales are the tensor NAME.scale. */
static nn_status model_widen(nn_model *model, const nn_tensor *tensor,
                             float *to, nn_error *err) {
  char name[256];
  size_t n = strlen(tensor->name), i = 0;
  const int8_t *from = (const int8_t *)tensor->bytes;
  if (n + sizeof(".scale") > sizeof(name)) {
    return model_bad(tensor, err, "too long a name for an I8 tensor");
  }
  memcpy(name, tensor->name, n);
  memcpy(name + n, ".scale", sizeof(".scale"));
  const nn_tensor *scale = nn_model_tensor(model, name);
  if (!scale || scale->dtype != NN_F32 || scale->rank != 1 ||
      tensor->rank < 1 || scale->shape[0] != tensor->shape[0]) {
    return model_bad(tensor, err,
                     "an I8 tensor wants an F32 tensor of its name and "
                     "\".scale\", one value a channel");
  }
  size_t row = tensor->shape[0] ? tensor->count / (size_t)tensor->shape[0] : 0;
  for (int64_t channel = 0; channel < tensor->shape[0]; channel++) {
    float s;
    memcpy(&s, scale->bytes + 4 * (size_t)channel, sizeof(s));
    for (size_t j = 0; j < row; j++, i++) to[i] = (float)from[i] * s;
  }
  return NN_OK;
}

nn_status nn_model_floats(nn_model *model, nn_tensor *tensor,
                          const float **out, nn_error *err) {
  *out = tensor->floats;
  if (*out) return NN_OK;
  if (tensor->dtype != NN_F32 && tensor->dtype != NN_F16 &&
      tensor->dtype != NN_I8) {
    return model_bad(tensor, err, "a weight must be F32, F16 or I8");
  }
  if (tensor->dtype == NN_F32 &&
      (uintptr_t)tensor->bytes % _Alignof(float) == 0) {
    *out = tensor->floats = (const float *)(const void *)tensor->bytes;
    return NN_OK;
  }
  float *copy = nn_model_alloc(model, tensor->count, sizeof(float));
  if (!copy) return nn_fail(err, NN_NOMEM, "out of memory");
  *out = tensor->floats = copy;
  if (tensor->dtype == NN_I8) return model_widen(model, tensor, copy, err);
  if (tensor->dtype == NN_F16) {
    for (size_t i = 0; i < tensor->count; i++) {
      uint16_t half;
      memcpy(&half, tensor->bytes + 2 * i, sizeof(half));
      copy[i] = nn_half_value(half);
    }
    return NN_OK;
  }
  if (tensor->count) memcpy(copy, tensor->bytes, tensor->count * sizeof(float));
  return NN_OK;
}

nn_status nn_model_halves(nn_model *model, nn_tensor *tensor,
                          const uint16_t **out, nn_error *err) {
  *out = tensor->halves;
  if (*out) return NN_OK;
  if ((uintptr_t)tensor->bytes % _Alignof(uint16_t) == 0) {
    *out = tensor->halves = (const uint16_t *)(const void *)tensor->bytes;
    return NN_OK;
  }
  uint16_t *copy = nn_model_alloc(model, tensor->count, sizeof(uint16_t));
  if (!copy) return nn_fail(err, NN_NOMEM, "out of memory");
  *out = tensor->halves = copy;
  if (tensor->count) memcpy(copy, tensor->bytes, tensor->count * 2);
  return NN_OK;
}

nn_status nn_model_ints(nn_model *model, nn_tensor *tensor,
                        const int32_t **out, nn_error *err) {
  *out = tensor->ints;
  if (*out) return NN_OK;
  if ((uintptr_t)tensor->bytes % _Alignof(int32_t) == 0) {
    *out = tensor->ints = (const int32_t *)(const void *)tensor->bytes;
    return NN_OK;
  }
  int32_t *copy = nn_model_alloc(model, tensor->count, sizeof(int32_t));
  if (!copy) return nn_fail(err, NN_NOMEM, "out of memory");
  *out = tensor->ints = copy;
  if (tensor->count) memcpy(copy, tensor->bytes, tensor->count * 4);
  return NN_OK;
}

/* Questions --------------------------------------------------------------- */

nn_kind nn_model_kind(const nn_model *model) {
  return model->kind;
}

const char *nn_model_sha256(const nn_model *model) {
  nn_digest *digest = model->digest;
  pthread_mutex_lock(&digest->lock);
  if (!digest->hex[0]) {
    nn_sha256(model->bytes, model->byte_count, digest->hex);
  }
  pthread_mutex_unlock(&digest->lock);
  return digest->hex;
}

const char *nn_model_report(const nn_model *model) {
  return model->report;
}

int nn_model_head_count(const nn_model *model) {
  return model->head_count;
}

const nn_head *nn_model_head(const nn_model *model, int i) {
  return i >= 0 && i < model->head_count ? &model->heads[i] : NULL;
}

void nn_model_input_shape(const nn_model *model, int chw[3]) {
  nn_model_blob_shape(model, 0, chw);
}

int nn_model_blob(const nn_model *model, const char *layer) {
  for (int i = 0; i <= model->layer_count; i++) {
    if (strcmp(model->blobs[i].name, layer) == 0) return i;
  }
  for (int i = 0; i < model->alias_count; i++) {
    if (strcmp(model->aliases[i].name, layer) == 0) {
      return model->aliases[i].blob;
    }
  }
  return -1;
}

int nn_model_blob_count(const nn_model *model) {
  return model->layer_count + 1;
}

const char *nn_model_blob_name(const nn_model *model, int blob) {
  return model->blobs[blob].name;
}

int nn_model_branch(const nn_model *model, int blob) {
  return model->blobs[blob].branch;
}

size_t nn_model_blob_shape(const nn_model *model, int blob, int chw[3]) {
  const nn_blob *b = &model->blobs[blob];
  chw[0] = b->c;
  chw[1] = b->h;
  chw[2] = b->w;
  return b->size;
}

int nn_model_last_blob(const nn_model *model) {
  return model->layer_count;
}

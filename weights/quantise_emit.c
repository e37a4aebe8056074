/*
** One layer of the integer network after the other: its description is
** written, read back as nn_model_open will read it, and run on the calibration
** batch.
**
** The reader makes every check of the format (quantised.c), so what the file
** will hold is refused here, with the layer's name, if it is wrong; and what a
** later layer sees is what the engine computes, not an estimate of it.  Bytes
** of a layer are kept until its last reader has run.
*/
#include <stdlib.h>
#include <string.h>

#include "quantise.h"

/* JSON -------------------------------------------------------------------- */

void quantise_json(nn_text *text, const nn_json *value) {
  int first = 1, array = value->kind == NN_JSON_ARRAY;
  switch (value->kind) {
    case NN_JSON_NULL: nn_text_add(text, "null"); return;
    case NN_JSON_BOOLEAN:
      nn_text_add(text, value->integer ? "true" : "false");
      return;
    case NN_JSON_STRING: nn_text_string(text, value->text); return;
    case NN_JSON_NUMBER:
      if (value->is_integer) {
        nn_text_add(text, "%lld", (long long)value->integer);
      } else {
        nn_text_double(text, value->number);
      }
      return;
    case NN_JSON_ARRAY:
    case NN_JSON_OBJECT: break;
  }
  nn_text_add(text, array ? "[" : "{");
  for (const nn_json *m = value->child; m; m = m->next, first = 0) {
    if (!first) nn_text_add(text, ",");
    if (!array) {
      nn_text_string(text, m->key);
      nn_text_add(text, ":");
    }
    quantise_json(text, m);
  }
  nn_text_add(text, array ? "]" : "}");
}

void quantise_open(quantise *q, const quantise_node *node, const char *type) {
  nn_text *t = &q->text;
  if (t->n) nn_text_add(t, ",");
  q->start = t->n;
  nn_text_add(t, "{\"name\":");
  nn_text_string(t, node->name);
  nn_text_add(t, ",\"type\":\"%s\",\"bottom\":[", type);
  for (int j = 0; j < node->bottoms; j++) {
    if (j) nn_text_add(t, ",");
    nn_text_string(t, node->bottom[j]->name);
  }
  nn_text_add(t, "]");
}

void quantise_copy(quantise *q, const quantise_node *node,
                   const char *const *keys) {
  for (; *keys; keys++) {
    const nn_json *member = nn_json_get(node->json, *keys);
    if (!member) continue;
    nn_text_add(&q->text, ",");
    nn_text_string(&q->text, *keys);
    nn_text_add(&q->text, ":");
    quantise_json(&q->text, member);
  }
}

void quantise_scaled(quantise *q, double scale, int zero) {
  int top = quantise_top(q);
  nn_text_add(&q->text, ",\"scale\":");
  nn_text_double(&q->text, scale);
  if (zero) nn_text_add(&q->text, ",\"zero_point\":%d", zero);
  if (top != 127) nn_text_add(&q->text, ",\"max\":%d", top);
}

double quantise_scale(quantise *q, const quantise_node *node, int *zero_at) {
  double low, high;
  int zero, top = quantise_top(q);
  quantise_best_range(node->values, node->positive, top, &low, &high);
  double scale =
      quantise_byte_scale(node->positive ? 0 : low, high, top, &zero);
  quantise_scaled(q, scale, zero);
  if (zero_at) *zero_at = zero;
  return scale;
}

/* Tensors ----------------------------------------------------------------- */

/* Where a name is, or would be, among the draft's sorted tensors. */
static int emit_place(const nn_model *draft, const char *name) {
  int at = 0;
  while (at < draft->tensor_count &&
         strcmp(draft->tensors[at].name, name) < 0) {
    at++;
  }
  return at;
}

/* The tensor NAME.member, and the member that names it.  The bytes stay where
** they are, in the draft's memory. */
nn_status quantise_tensor(quantise *q, const quantise_node *node,
                          const char *member, nn_dtype dtype, int rank,
                          const int64_t *shape, const void *bytes) {
  nn_model *draft = q->draft;
  char *name =
      quantise_alloc(q, strlen(node->name) + strlen(member) + 2, 1);
  if (!name) return q->err->status;
  if (draft->tensor_count == NN_TENSOR_MAX) {
    return nn_fail(q->err, NN_MODEL, "more than %d tensors", NN_TENSOR_MAX);
  }
  strcpy(name, node->name);
  strcat(name, ".");
  strcat(name, member);
  nn_part *part = &q->parts[q->part_count++];
  *part = (nn_part){.name = name, .dtype = dtype, .rank = rank,
                    .bytes = bytes};
  nn_tensor tensor = {.name = name, .dtype = dtype, .rank = rank, .count = 1,
                      .bytes = bytes};
  for (int i = 0; i < rank; i++) {
    part->shape[i] = tensor.shape[i] = shape[i];
    tensor.count *= (size_t)shape[i];
  }
  int at = emit_place(draft, name);
  memmove(draft->tensors + at + 1, draft->tensors + at,
          (size_t)(draft->tensor_count - at) * sizeof(tensor));
  draft->tensors[at] = tensor;
  draft->tensor_count++;
  nn_text_add(&q->text, ",\"%s\":", member);
  nn_text_string(&q->text, name);
  return NN_OK;
}

/* Running ----------------------------------------------------------------- */

static uint8_t *emit_bytes(quantise *q, const nn_blob *blob) {
  size_t n = nn_mul(nn_mul(blob->slots, 4), (size_t)q->batch);
  /* Kernels look at three bytes behind the last image. */
  uint8_t *bytes = n < SIZE_MAX - 4 ? nn_alloc(&nn_memory_libc, n + 4) : NULL;
  if (!bytes) nn_fail(q->err, NN_NOMEM, "out of memory");
  return bytes;
}

static nn_status emit_run(quantise *q, quantise_node *node) {
  nn_layer *layer = &q->draft->layers[node->made - 1];
  nn_status status = nn_packed_ready(q->draft, layer, q->err);
  if (status) return status;
  nn_int_step step = {.layer = layer, .blobs = q->draft->blobs,
                      .n = q->batch, .form = q->draft->form};
  for (int j = 0; j < node->bottoms; j++) step.in[j] = node->bottom[j]->bytes;
  size_t slots = nn_int_scratch(layer, q->draft->blobs);
  node->bytes = emit_bytes(q, &q->draft->blobs[node->made]);
  if (!node->bytes) return q->err->status;
  float *scratch = NULL;
  if (slots < NN_ALLOC_MAX / 4) {
    scratch = nn_alloc(&nn_memory_libc, (slots + NN_FLOAT_SCRATCH) * 4);
  }
  if (!scratch) return nn_fail(q->err, NN_NOMEM, "out of memory");
  step.private_scratch = scratch;
  step.scratch = scratch + NN_FLOAT_SCRATCH;
  step.out = node->bytes;
  nn_int_fast(&step);
  nn_free(&nn_memory_libc, scratch);
  return NN_OK;
}

/* What nobody reads any more. */
static void emit_drop(quantise *q, int position) {
  for (int i = 0; i <= position; i++) {
    if (q->nodes[i]->last > position) continue;
    nn_free(&nn_memory_libc, q->nodes[i]->bytes);
    q->nodes[i]->bytes = NULL;
  }
}

nn_status quantise_close(quantise *q, quantise_node *node) {
  nn_json *json;
  nn_text_add(&q->text, "}");
  nn_status status = nn_text_done(&q->text, "the network", q->err);
  if (status) return status;
  status = nn_json_parse(&nn_memory_libc, "layer", q->text.text + q->start,
                         q->text.n - q->start, &json, q->err);
  if (status) return status;
  status = nn_network_layer(q->draft, json, q->err);
  nn_free(&nn_memory_libc, json);
  if (status) return status;
  node->made = q->draft->layer_count;
  status = emit_run(q, node);
  int position = 0;
  while (q->nodes[position] != node) position++;
  emit_drop(q, position);
  return status;
}

/* The input --------------------------------------------------------------- */

static nn_status emit_start(quantise *q) {
  const quantise_node *in = q->nodes[0];
  nn_text text;
  nn_json *json = NULL;
  nn_text_open(&text, &nn_memory_libc);
  nn_text_add(&text, "{\"name\":");
  nn_text_string(&text, in->name);
  nn_text_add(&text, ",\"channels\":%d,\"height\":%d,\"width\":%d,"
              "\"zero_point\":[", in->c, in->h, in->w);
  for (int c = 0; c < in->c; c++) {
    nn_text_add(&text, c ? ",%d" : "%d", q->zero[c]);
  }
  nn_text_add(&text, "]}");
  nn_status status = nn_text_done(&text, "the input", q->err);
  if (status == NN_OK) {
    status = nn_json_parse(&nn_memory_libc, "input", text.text, text.n, &json,
                           q->err);
  }
  if (status == NN_OK) {
    status = nn_network_start(q->draft, json, NN_LAYER_MAX, q->err);
  }
  nn_free(&nn_memory_libc, json);
  nn_text_free(&text);
  return status;
}

/* The pictures of the batch as bytes. */
nn_status quantise_input(quantise *q) {
  nn_status status = emit_start(q);
  const nn_blob *in = &q->draft->blobs[0];
  q->draft->tensors =
      quantise_alloc(q, NN_TENSOR_MAX, sizeof(*q->draft->tensors));
  q->parts = quantise_alloc(q, NN_TENSOR_MAX, sizeof(*q->parts));
  if (status || !q->parts || !q->draft->tensors) return q->err->status;
  for (int i = 0; nn_int_kernels(i); i++) q->draft->form = nn_int_kernels(i);
  q->nodes[0]->bytes = emit_bytes(q, in);
  float *one = malloc(in->size * sizeof(float));
  if (!one || !q->nodes[0]->bytes) {
    free(one);
    return nn_fail(q->err, NN_NOMEM, "out of memory");
  }
  for (int i = 0; i < q->batch; i++) {
    const uint8_t *from = q->options->pixels + (size_t)i * in->size;
    for (size_t k = 0; k < in->size; k++) one[k] = from[k];
    nn_int_pixels(in, one, 0,
                  q->nodes[0]->bytes + (size_t)i * in->slots * 4);
  }
  free(one);
  return NN_OK;
}

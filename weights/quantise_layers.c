/*
** The layers without weights as integers: joins, tables, and those that write
** bytes like what they read.
**
** A table is the layer's own function, worked out here in float64 for each of
** the values that its index can stand for; at inference nobody needs a math
** library.
*/
#include <math.h>
#include <string.h>

#include "quantise.h"

static const nn_quant *layers_quant(const quantise *q,
                                    const quantise_node *node) {
  return &q->draft->blobs[node->made].quant;
}

static nn_status layers_fail(const quantise *q, const quantise_node *node,
                             const char *why) {
  return nn_fail(q->err, NN_MODEL, "layer %s: %s",
                 nn_shown_name(node->name).text, why);
}

/* Layers that write bytes like those that they read ----------------------- */

static nn_status layers_same(quantise *q, quantise_node *node,
                             const char *type) {
  static const char *const keys[] = {
      "pool",       "kernel_size",       "stride",         "pad",
      "round_mode", "count_include_pad", "global_pooling", NULL};
  quantise_open(q, node, type);
  if (node->type == NN_POOLING) quantise_copy(q, node, keys);
  return quantise_close(q, node);
}

/* Joins ------------------------------------------------------------------- */

static nn_status layers_join(quantise *q, quantise_node *node,
                             const char *type) {
  double ratio[NN_BOTTOM_MAX];
  int most[NN_BOTTOM_MAX], m[NN_BOTTOM_MAX], shift;
  quantise_open(q, node, type);
  double scale = quantise_scale(q, node);
  for (int j = 0; j < node->bottoms; j++) {
    const nn_quant *in = layers_quant(q, node->bottom[j]);
    ratio[j] = (double)in->scale / scale;
    most[j] = in->max;
  }
  if (!quantise_shared_fractions(ratio, most, node->bottoms,
                                 node->type == NN_ELTWISE, m, &shift)) {
    return layers_fail(q, node, "the scales of its bottoms are too far apart");
  }
  nn_text_add(&q->text, ",\"multiplier\":[");
  for (int j = 0; j < node->bottoms; j++) {
    nn_text_add(&q->text, j ? ",%d" : "%d", m[j]);
  }
  nn_text_add(&q->text, "],\"shift\":%d", shift);
  return quantise_close(q, node);
}

/* Functions of one number ------------------------------------------------- */

static double layers_function(const quantise_node *node, double x) {
  (void)node;
  return 1 / (1 + exp(-x));
}

/* What the table gives for x, in steps of the scale. */
static double layers_entry(const quantise_node *node, double x, double scale,
                           int zero) {
  double y = zero + rint(layers_function(node, x) / scale);
  return fmin(fmax(y, 0), QUANTISE_STEPS);
}

/* The step of the 256 values that a table is read with, from sums: the one of
** the least squared error of what comes out. */
static double layers_step(const quantise_node *node, double scale, int zero) {
  const quantise_values *v = node->bottom[0]->values;
  double best = INFINITY, step = 1.0 / 16;
  for (int k = 8; k < 49; k++) {
    double entry[256], error = 0;
    for (int i = 0; i < 256; i++) {
      entry[i] = (layers_entry(node, (i - 128) * k / 512.0, scale, zero) -
                  zero) * scale;
    }
    for (int i = 0; i < QUANTISE_BINS; i++) {
      if (!v->count[i]) continue;
      double centre = v->sum[i] / (double)v->count[i];
      double at = fmin(fmax(rint(centre * 512 / k), -128), 127);
      double off = entry[(int)at + 128] - layers_function(node, centre);
      error += (double)v->count[i] * off * off;
    }
    if (error >= best) continue;
    best = error;
    step = k / 512.0;
  }
  return step;
}

/* The index that a table is read with, by sums. */
static nn_status layers_index(quantise *q, const quantise_node *node,
                              double step) {
  const nn_quant *in = layers_quant(q, node->bottom[0]);
  int n = node->bottom[0]->c;
  double *unit = quantise_alloc(q, (size_t)n, sizeof(double));
  if (!unit) return q->err->status;
  for (int c = 0; c < n; c++) {
    unit[c] = (double)in->scales[in->scales_step ? c : 0];
  }
  return quantise_requantise(q, node, unit, n, step);
}

static nn_status layers_table(quantise *q, quantise_node *node,
                              const char *type) {
  static const int64_t shape = 256;
  const nn_quant *in = layers_quant(q, node->bottom[0]);
  uint8_t *table = quantise_alloc(q, 256, 1);
  double scale = quantise_round16(1.0 / QUANTISE_STEPS), step = 0;
  if (!table) return q->err->status;
  quantise_open(q, node, type);
  nn_text_add(&q->text, ",\"scale\":");
  nn_text_double(&q->text, scale);
  if (in->sums) {
    step = layers_step(node, scale, 0);
    if (layers_index(q, node, step) != NN_OK) return q->err->status;
  }
  for (int i = 0; i < 256; i++) {
    double x = in->sums ? (i - 128) * step
                        : ((i < in->max ? i : in->max) - in->zero[0]) *
                              (double)in->scale;
    table[i] = (uint8_t)layers_entry(node, x, scale, 0);
  }
  nn_status status =
      quantise_tensor(q, node, "table", NN_U8, 1, &shape, table);
  return status ? status : quantise_close(q, node);
}

/* Other tables ------------------------------------------------------------ */

static nn_status layers_softmax(quantise *q, quantise_node *node) {
  const nn_quant *in = layers_quant(q, node->bottom[0]);
  double unit = (double)in->scales[0];
  int shift = 0;
  while (shift < 30 && ldexp(unit, shift + 1) <= 1.0 / 128) shift++;
  double step = ldexp(unit, shift), middle = (ldexp(1, shift) - 1) / 2 * unit;
  int n = (int)fmin(fmax(ceil(22 / step), 1), 65535);
  const int64_t shape = n + 1;
  int32_t *table = quantise_alloc(q, (size_t)shape, 4);
  if (!table) return q->err->status;
  /* the last entry stays 0, for everything further down */
  for (int i = 0; i < n; i++) {
    table[i] = (int32_t)rint(ldexp(exp(-i * step - middle), 30));
  }
  if (table[0] < 1) {
    return layers_fail(q, node, "the scores that it reads are too coarse");
  }
  quantise_open(q, node, "Softmax");
  nn_text_add(&q->text, ",\"shift\":%d", shift);
  nn_status status =
      quantise_tensor(q, node, "table", NN_I32, 1, &shape, table);
  return status ? status : quantise_close(q, node);
}

static nn_status layers_lrn(quantise *q, quantise_node *node) {
  static const char *const keys[] = {"local_size", NULL};
  const nn_layer *l = node->source;
  const nn_quant *in = layers_quant(q, node->bottom[0]);
  int64_t most = (int64_t)l->local_size * in->max * in->max;
  int sum_shift = 0;
  int32_t m, shift;
  while (most >> 12 >> sum_shift) sum_shift++;
  const int64_t n = (most >> sum_shift) + 1;
  double *gain = quantise_alloc(q, (size_t)n, sizeof(double)), largest = 0;
  int32_t *table = quantise_alloc(q, (size_t)n, 4);
  if (!gain || !table) return q->err->status;
  quantise_open(q, node, "LRN");
  quantise_copy(q, node, keys);
  double square = (double)in->scale * (double)in->scale;
  double scale = quantise_scale(q, node);
  for (int64_t i = 0; i < n; i++) {
    double sum = ldexp((double)i, sum_shift) + (ldexp(1, sum_shift) - 1) / 2;
    gain[i] = pow((double)l->k + (double)l->alpha / l->local_size * sum *
                                     square, -(double)l->beta) *
              (double)in->scale / scale;
    largest = fmax(largest, gain[i]);
  }
  if (!quantise_fraction(largest, &m, &shift)) {
    return layers_fail(q, node, "the ratio of its scales is 2^30 or more");
  }
  for (int64_t i = 0; i < n; i++) {
    table[i] = (int32_t)fmin(rint(ldexp(gain[i], shift)), 0x1p31 - 1);
  }
  nn_text_add(&q->text, ",\"sum_shift\":%d,\"shift\":%d", sum_shift,
              (int)shift);
  nn_status status = quantise_tensor(q, node, "table", NN_I32, 1, &n, table);
  return status ? status : quantise_close(q, node);
}

/* All of them ------------------------------------------------------------- */

static nn_status layers_layer(quantise *q, quantise_node *node) {
  if (node->filter) return quantise_filter(q, node);
  switch (node->type) {
    case NN_POOLING: return layers_same(q, node, "Pooling");
    case NN_RELU: return layers_same(q, node, "ReLU");
    case NN_FLATTEN: return layers_same(q, node, "Flatten");
    case NN_ELTWISE: return layers_join(q, node, "Eltwise");
    case NN_CONCAT: return layers_join(q, node, "Concat");
    case NN_SIGMOID: return layers_table(q, node, "Sigmoid");
    case NN_SOFTMAX: return layers_softmax(q, node);
    case NN_LRN: return layers_lrn(q, node);
    default: break;
  }
  return layers_fail(q, node, "its type has no integer form");
}

nn_status quantise_layers(quantise *q) {
  nn_status status = quantise_input(q);
  for (int i = 1; i < q->count && !status; i++) {
    status = layers_layer(q, q->nodes[i]);
  }
  for (int i = 0; i < q->count; i++) {
    nn_free(&nn_memory_libc, q->nodes[i]->bytes);
    q->nodes[i]->bytes = NULL;
  }
  return status;
}

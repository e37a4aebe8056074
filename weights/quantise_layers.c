/*
** The layers without weights as integers: joins, tables, and those that write
** bytes like what they read.
**
** A difference is a sum whose second factor is negative; a product has one
** multiplier, of the product of the two scales.
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
      "pool",       "kernel_size",       "stride",         "pad",   "dilation",
      "round_mode", "count_include_pad", "global_pooling", "group", "axis",
      "begin",      "end",               "dims",           "order", "mode",
      NULL};
  quantise_open(q, node, type);
  /* a ReLU that was a Clip has nothing of it */
  if (node->type != NN_RELU) quantise_copy(q, node, keys);
  if (node->type == NN_PADDING && node->source->value != 0) {
    const nn_quant *in = layers_quant(q, node->bottom[0]);
    double x = rint((double)node->source->value / (double)in->scale);
    nn_text_add(&q->text, ",\"value\":%d",
                (int)fmin(fmax(x + in->zero[0], 0), in->max));
  }
  return quantise_close(q, node);
}

static nn_status layers_constant(quantise *q, quantise_node *node) {
  const int64_t shape[3] = {node->c, node->h, node->w};
  size_t n = (size_t)node->c * (size_t)node->h * (size_t)node->w;
  uint8_t *bytes = quantise_alloc(q, n, 1);
  int zero;
  if (!bytes) return q->err->status;
  quantise_open(q, node, "Constant");
  double scale = quantise_scale(q, node, &zero);
  for (size_t i = 0; i < n; i++) {
    double x = zero + rint((double)node->source->weight[i] / scale);
    bytes[i] = (uint8_t)fmin(fmax(x, 0), quantise_top(q));
  }
  nn_status status =
      quantise_tensor(q, node, "weight", NN_U8, 3, shape, bytes);
  return status ? status : quantise_close(q, node);
}

/* Joins ------------------------------------------------------------------- */

static nn_status layers_product(quantise *q, quantise_node *node) {
  int32_t m, shift;
  quantise_open(q, node, "Eltwise");
  double scale = quantise_scale(q, node, NULL);
  double unit = (double)layers_quant(q, node->bottom[0])->scale *
                (double)layers_quant(q, node->bottom[1])->scale;
  if (!quantise_fraction(unit / scale, &m, &shift)) {
    return layers_fail(q, node, "the ratio of its scales is 2^30 or more");
  }
  nn_text_add(&q->text, ",\"operation\":\"PROD\",\"multiplier\":%d,"
              "\"shift\":%d", (int)m, (int)shift);
  return quantise_close(q, node);
}

static nn_status layers_join(quantise *q, quantise_node *node,
                             const char *type) {
  static const char *const keys[] = {"axis", NULL};
  const nn_layer *l = node->source;
  double ratio[NN_BOTTOM_MAX];
  int most[NN_BOTTOM_MAX], m[NN_BOTTOM_MAX], shift;
  int eltwise = node->type == NN_ELTWISE;
  int largest = eltwise && l->operation == NN_MAX;
  quantise_open(q, node, type);
  if (largest) nn_text_add(&q->text, ",\"operation\":\"MAX\"");
  else quantise_copy(q, node, keys);
  double scale = quantise_scale(q, node, NULL);
  for (int j = 0; j < node->bottoms; j++) {
    const nn_quant *in = layers_quant(q, node->bottom[j]);
    ratio[j] = (double)in->scale / scale;
    if (l->coeff) ratio[j] *= (double)l->coeff[j];
    if (eltwise && l->operation == NN_SUB && j) ratio[j] = -ratio[j];
    most[j] = in->max;
  }
  if (!quantise_shared_fractions(ratio, most, node->bottoms,
                                 eltwise && !largest, m, &shift)) {
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

static double layers_clamp(double x, double low, double high) {
  return fmin(fmax(x, low), high);
}

static double layers_source(const nn_layer *l, double x) {
  switch (l->type) {
    case NN_RELU: return x > 0 ? x : (double)l->slope * x;
    case NN_CLIP:
      return layers_clamp(x, (double)l->low, (double)l->high);
    case NN_HARD_SIGMOID:
      return layers_clamp((double)l->alpha * x + (double)l->beta, 0, 1);
    case NN_HARD_SWISH: return x * layers_clamp(x / 6 + 0.5, 0, 1);
    case NN_SOFTMAX: return x;   /* a table that makes bytes of its sums */
    default: return 1 / (1 + exp(-x));
  }
}

static double layers_function(const quantise_node *node, double x) {
  return node->gate ? x * layers_source(node->gate, x)
                    : layers_source(node->source, x);
}

/* The bytes that a table gives: from 0 to top. */
typedef struct layers_bytes {
  double scale;
  int zero, top;
} layers_bytes;

/* What the table gives for x. */
static double layers_entry(const quantise_node *node, double x,
                           const layers_bytes *to) {
  double y = to->zero + rint(layers_function(node, x) / to->scale);
  return fmin(fmax(y, 0), to->top);
}

/* The squared error of what comes out of a table that is read in such steps. */
static double layers_step_error(const quantise_node *node, double step,
                                const layers_bytes *to) {
  const quantise_values *v = node->bottom[0]->values;
  double entry[256], error = 0;
  for (int i = 0; i < 256; i++) {
    entry[i] =
        (layers_entry(node, (i - 128) * step, to) - to->zero) * to->scale;
  }
  for (int i = 0; i < QUANTISE_BINS; i++) {
    if (!v->count[i]) continue;
    double centre = v->sum[i] / (double)v->count[i];
    double at = fmin(fmax(rint(centre / step), -128), 127);
    double off = entry[(int)at + 128] - layers_function(node, centre);
    error += (double)v->count[i] * off * off;
  }
  return error;
}

/* The step of the 256 values that a table is read with, from sums: of those
** that a Sigmoid can want, or of shares of the range, the best. */
static double layers_step(const quantise_node *node, const layers_bytes *to) {
  const quantise_values *v = node->bottom[0]->values;
  double reach = fmax(-(double)v->low, (double)v->high) / 127;
  double best = INFINITY, step = 1.0 / 16;
  for (int k = 8; k < 49; k++) {
    double try = node->type == NN_SIGMOID ? k / 512.0 : reach * k / 48;
    double error = try > 0 ? layers_step_error(node, try, to) : INFINITY;
    if (error >= best) continue;
    best = error;
    step = try;
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
  layers_bytes to = {.top = quantise_top(q)};
  double step = 0;
  if (!table) return q->err->status;
  quantise_open(q, node, type);
  if (node->type == NN_SIGMOID) {
    to.scale = quantise_round16(1.0 / to.top);
    quantise_scaled(q, to.scale, 0);
  } else {
    to.scale = quantise_scale(q, node, &to.zero);
  }
  if (in->sums) {
    step = layers_step(node, &to);
    if (layers_index(q, node, step) != NN_OK) return q->err->status;
  }
  for (int i = 0; i < 256; i++) {
    double x = in->sums ? (i - 128) * step
                        : ((i < in->max ? i : in->max) - in->zero[0]) *
                              (double)in->scale;
    table[i] = (uint8_t)layers_entry(node, x, &to);
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
  double scale = quantise_scale(q, node, NULL);
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
    case NN_PADDING: return layers_same(q, node, "Padding");
    case NN_SLICE: return layers_same(q, node, "Slice");
    case NN_SHUFFLE_CHANNEL: return layers_same(q, node, "ShuffleChannel");
    case NN_PERMUTE: return layers_same(q, node, "Permute");
    case NN_RESHAPE: return layers_same(q, node, "Reshape");
    case NN_CONSTANT: return layers_constant(q, node);
    case NN_LOOKUP: return layers_table(q, node, "Lookup");
    case NN_ELTWISE:
      if (node->source->operation == NN_PROD) return layers_product(q, node);
      return layers_join(q, node, "Eltwise");
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

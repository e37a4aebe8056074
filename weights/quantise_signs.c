/*
** Activations and signs: what the plain graph knows of a layer's values without
** looking at any.
**
** A ReLU costs nothing where the layer before it has a zero point of 0, and a
** Clip from 0 (ReLU6) nothing where that layer's bytes end at the clip's upper
** end too; such a Clip is a ReLU from here on.  Every other function of one
** number is a table: Sigmoid and, under the name Lookup, a ReLU with a slope,
** Clip, HardSigmoid, HardSwish, and x * Sigmoid(x) or x * HardSigmoid(x), which
** exporters write as two layers.
**
** Where nothing is negative, or nobody would miss it, bytes begin at 0 and are
** twice as fine.
*/
#include <math.h>

#include "quantise.h"

/* Activations ------------------------------------------------------------- */

static int signs_mixes(const quantise_node *node) {
  return node->type == NN_ELTWISE || node->type == NN_CONCAT ||
         node->type == NN_LRN;
}

static int signs_moves(const quantise_node *node) {
  nn_type type = node->type;
  return type == NN_FLATTEN || type == NN_SLICE || type == NN_PERMUTE ||
         type == NN_RESHAPE || type == NN_SHUFFLE_CHANNEL ||
         (type == NN_PADDING && node->source->value >= 0) ||
         (type == NN_POOLING && !node->source->average);
}

/* Whether the layer before may end its bytes where the Clip does: it has bytes
** of its own, and whoever reads them clips them there. */
static int signs_caps(const quantise *q, const quantise_node *clip) {
  const quantise_node *before = clip->bottom[0];
  quantise_node *reader[NN_LAYER_MAX];
  int n = quantise_readers(q, before, reader, NN_LAYER_MAX);
  if ((!before->filter && !signs_mixes(before)) ||
      quantise_is_named(q, before)) {
    return 0;
  }
  for (int i = 0; i < n; i++) {
    const nn_layer *l = reader[i]->source;
    if (!l || l->type != NN_CLIP || l->low != 0 ||
        l->high != clip->source->high) {
      return 0;
    }
  }
  return 1;
}

static void signs_clip(const quantise *q, quantise_node *node) {
  const nn_layer *l = node->source;
  if (l->low == 0 && isinf(l->high)) {
    node->type = NN_RELU;
  } else if (l->low == 0 && l->high > 0 && signs_caps(q, node)) {
    node->bottom[0]->cap = (double)l->high;
    node->type = NN_RELU;
  } else {
    node->type = NN_LOOKUP;
  }
}

/* x * gate(x): the node becomes a table that reads x. */
static void signs_gate(quantise_node *node) {
  for (int j = 0; j < 2; j++) {
    quantise_node *x = node->bottom[j], *gate = node->bottom[1 - j];
    nn_type type = gate->source ? gate->source->type : NN_ELTWISE;
    if ((type != NN_SIGMOID && type != NN_HARD_SIGMOID) ||
        gate->bottom[0] != x) {
      continue;
    }
    node->type = NN_LOOKUP;
    node->gate = gate->source;
    node->bottom[0] = x;
    node->bottoms = 1;
    return;
  }
}

nn_status quantise_activations(quantise *q) {
  for (int i = 1; i < q->count; i++) {
    quantise_node *node = q->nodes[i];
    switch (node->type) {
      case NN_RELU:
        if (node->source->slope != 0) node->type = NN_LOOKUP;
        break;
      case NN_CLIP: signs_clip(q, node); break;
      case NN_HARD_SIGMOID:
      case NN_HARD_SWISH: node->type = NN_LOOKUP; break;
      case NN_ELTWISE:
        if (node->source->operation == NN_PROD) signs_gate(node);
        break;
      default: break;
    }
  }
  return NN_OK;
}

/* Signs ------------------------------------------------------------------- */

/* Whether nobody would miss the negative values of a layer. */
static int signs_clamped(const quantise *q, const quantise_node *node) {
  quantise_node *reader[NN_LAYER_MAX];
  int n = quantise_readers(q, node, reader, NN_LAYER_MAX);
  if (!n || quantise_is_named(q, node)) return 0;
  for (int i = 0; i < n; i++) {
    if (reader[i]->type == NN_RELU) continue;
    if (!signs_moves(reader[i]) || !signs_clamped(q, reader[i])) return 0;
  }
  return 1;
}

static int signs_eltwise(const quantise_node *node) {
  const nn_layer *l = node->source;
  int all = 1, any = 0;
  for (int j = 0; j < node->bottoms; j++) {
    int positive = node->bottom[j]->positive;
    if (l->coeff && l->coeff[j] < 0) positive = 0;
    all &= positive;
    any |= positive;
  }
  return l->operation == NN_SUB ? 0 : l->operation == NN_MAX ? any : all;
}

static int signs_table(const quantise_node *node) {
  const nn_layer *l = node->source;
  if (node->gate) return 0;
  return l->type == NN_SIGMOID || l->type == NN_HARD_SIGMOID ||
         (l->type == NN_CLIP && l->low >= 0);
}

static int signs_constant(const quantise_node *node) {
  size_t n = (size_t)node->c * (size_t)node->h * (size_t)node->w;
  for (size_t i = 0; i < n; i++) {
    if (node->source->weight[i] < 0) return 0;
  }
  return 1;
}

static int signs_own(const quantise_node *node) {
  switch (node->type) {
    case NN_RELU: return 1;
    case NN_CONSTANT: return signs_constant(node);
    case NN_SIGMOID:
    case NN_LOOKUP: return signs_table(node);
    case NN_ELTWISE: return signs_eltwise(node);
    case NN_CONVOLUTION:
    case NN_INNER_PRODUCT:
    case NN_SOFTMAX: return 0;
    default: break;
  }
  if (node->type == NN_PADDING && node->source->value < 0) return 0;
  for (int j = 0; j < node->bottoms; j++) {
    if (!node->bottom[j]->positive) return 0;
  }
  return 1;
}

void quantise_signs(quantise *q) {
  for (int i = 1; i < q->count; i++) {
    quantise_node *node = q->nodes[i];
    int scaled = signs_mixes(node) || (node->filter && !node->sums);
    node->positive =
        signs_own(node) || (scaled && signs_clamped(q, node));
  }
}

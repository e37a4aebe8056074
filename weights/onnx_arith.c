/*
** Nodes of arithmetic: sums, differences, products, quotients, extremes and
** means of blobs, and of blobs and constants.
**
** Two blobs become an Eltwise.  A constant that is one number, or one for each
** channel, becomes a Scale, or the bias of the product that it is added to; one
** of any other form a Constant that is a bottom like others.  ONNX aligns
** shapes at their last sides, and so the batch must stand against a batch or
** against nothing.
*/
#include <float.h>
#include <string.h>

#include "onnx.h"

typedef enum arith_operation {
  ARITH_ADD,
  ARITH_SUB,
  ARITH_MUL,
  ARITH_DIV,
  ARITH_MAX,
  ARITH_MIN,
  ARITH_MEAN
} arith_operation;

static arith_operation arith_of(const char *name) {
  static const struct {
    const char *name;
    arith_operation operation;
  } names[] = {{"Add", ARITH_ADD}, {"Sum", ARITH_ADD}, {"Sub", ARITH_SUB},
               {"Mul", ARITH_MUL}, {"Div", ARITH_DIV}, {"Max", ARITH_MAX},
               {"Min", ARITH_MIN}, {"Mean", ARITH_MEAN}};
  int i = 0;
  while (strcmp(names[i].name, name) != 0) i++;
  return names[i].operation;
}

/* Blobs -------------------------------------------------------------------- */

static nn_status arith_layer(onnx *o, arith_operation operation,
                             import_layer *const *from, int count,
                             const int shape[3], import_layer **out) {
  static const char *const words[] = {NULL, "SUB", "PROD", "DIV", "MAX",
                                      NULL, NULL};
  float coeff[NN_BOTTOM_MAX];
  nn_status status = NN_OK;
  if (operation == ARITH_MIN) {
    return onnx_fail(o, "the smaller of two blobs is not supported");
  }
  *out = onnx_layer(o, NULL, "Eltwise", NULL, shape);
  if (!*out) return NN_MODEL;
  for (int i = 0; i < count && !status; i++) {
    status = import_bottom(o->im, *out, from[i]);
    if (i < NN_BOTTOM_MAX) coeff[i] = 1.f / (float)count;
  }
  if (!status && words[operation]) {
    status = import_string(o->im, *out, "operation", words[operation]);
  }
  if (!status && operation == ARITH_MEAN) {
    status = import_floats(o->im, *out, "coeff", count, coeff);
  }
  return status;
}

/* Sides of the result, which is what sides of 1 are stretched to. */
static nn_status arith_stretch(onnx *o, const onnx_value *first,
                               const onnx_value *v, int64_t *dims,
                               int *alike) {
  if (v->rank != first->rank) {
    return onnx_fail(o, "%s and %s: the batch of one stands against a side of "
                     "the other", onnx_shape(o, first), onnx_shape(o, v));
  }
  for (int i = 1; i < v->rank; i++) {
    if (v->dims[i] == dims[i]) continue;
    if (v->dims[i] != 1 && dims[i] != 1) {
      return onnx_fail(o, "%s does not go with %s", onnx_shape(o, v),
                       onnx_shape(o, first));
    }
    if (dims[i] == 1) dims[i] = v->dims[i];
    *alike = 0;
  }
  return NN_OK;
}

static nn_status arith_blobs(onnx *o, arith_operation operation) {
  onnx_value *first = o->in[0];
  int64_t dims[ONNX_RANK];
  import_layer *from[NN_BOTTOM_MAX], *layer;
  int alike = 1, ordered = 1, shape[3] = {1, 1, 1}, view[3];
  nn_status status = NN_OK;
  if (o->inputs > NN_BOTTOM_MAX) {
    return onnx_fail(o, "%d inputs, %d can be", o->inputs, NN_BOTTOM_MAX);
  }
  memcpy(dims, first->dims, sizeof(dims));
  for (int i = 0; i < o->inputs && !status; i++) {
    status = arith_stretch(o, first, o->in[i], dims, &alike);
    if (memcmp(o->in[i]->order, first->order, sizeof(first->order)) != 0) {
      ordered = 0;
    }
  }
  for (int i = 0; i < o->inputs && !status && !ordered; i++) {
    status = onnx_plain(o, o->in[i]);
  }
  for (int i = 0; i < o->inputs && !status; i++) {
    /* blobs of one shape may have any sides, as long as they are the same */
    if (alike) memcpy(view, first->layer->shape, sizeof(view));
    else status = onnx_view(o, o->in[i], view);
    if (!status) status = onnx_seen(o, o->in[i], view, &from[i]);
    for (int k = 0; k < 3 && !status; k++) {
      if (view[k] > shape[k]) shape[k] = view[k];
    }
  }
  if (status) return status;
  status = arith_layer(o, operation, from, o->inputs, shape, &layer);
  return status ? status
                : onnx_give(o, 0, layer, first->rank, dims, first->order);
}

/* Constants ---------------------------------------------------------------- */

/* A constant against a blob: its sides along those of the blob's view, and its
** values in their order. */
typedef struct arith_constant {
  int side[3], view[3];
  size_t count;
  const float *values;
} arith_constant;

static nn_status arith_values(onnx *o, const onnx_tensor *t,
                              const float **to) {
  *to = t->floats;
  if (t->floats) return NN_OK;
  float *copy = import_alloc(o->im, t->count, sizeof(*copy));
  if (!copy) return NN_NOMEM;
  for (size_t i = 0; i < t->count; i++) copy[i] = (float)t->ints[i];
  *to = copy;
  return NN_OK;
}

/* Values whose sides lie along order[0], order[1], order[2] as C, H, W. */
static nn_status arith_order(onnx *o, arith_constant *c, const int order[3]) {
  int own[3];          /* sides as the constant has them */
  size_t stride[3];    /* of the constant, along C, H, W */
  for (int i = 0; i < 3; i++) own[i] = c->side[order[i]];
  stride[order[2]] = 1;
  stride[order[1]] = (size_t)own[2];
  stride[order[0]] = (size_t)own[1] * (size_t)own[2];
  float *to = import_alloc(o->im, c->count, sizeof(*to));
  if (!to) return NN_NOMEM;
  size_t at = 0;
  for (int a = 0; a < c->side[0]; a++) {
    for (int b = 0; b < c->side[1]; b++) {
      for (int d = 0; d < c->side[2]; d++) {
        to[at++] = c->values[(size_t)a * stride[0] + (size_t)b * stride[1] +
                             (size_t)d * stride[2]];
      }
    }
  }
  c->values = to;
  return NN_OK;
}

static nn_status arith_align(onnx *o, const onnx_value *v,
                             const onnx_tensor *t, arith_constant *c) {
  int more = v->rank - t->rank;
  c->count = t->count;
  c->side[0] = c->side[1] = c->side[2] = 1;
  nn_status status = arith_values(o, t, &c->values);
  if (status) return status;
  if (more < 0 || (more == 0 && t->dims[0] != 1) || !t->count) {
    return onnx_fail(o, "a constant of %s does not go with %s",
                     import_shape_text(o->im, t->rank, t->dims),
                     onnx_shape(o, v));
  }
  for (int i = 0; i < t->rank; i++) {
    int axis = more + i;
    if (t->dims[i] != 1 && v->dims[axis] != 1 && t->dims[i] != v->dims[axis]) {
      return onnx_fail(o, "a constant of %s does not go with %s",
                       import_shape_text(o->im, t->rank, t->dims),
                       onnx_shape(o, v));
    }
    if (axis > 1 && v->rank > 4 && t->dims[i] != 1) {
      return onnx_fail(o, "a constant of %s for a blob of %d sides; one for "
                       "each channel is supported there",
                       import_shape_text(o->im, t->rank, t->dims), v->rank);
    }
    if (axis > 0 && (v->rank <= 4 || axis == 1)) {
      c->side[v->rank <= 4 ? v->order[axis - 1] : 0] = (int)t->dims[i];
    }
  }
  if (v->rank > 4) {
    c->view[0] = (int)v->dims[1];
    c->view[1] = c->view[2] = 1;
    for (int i = 2; i < v->rank; i++) c->view[1] *= (int)v->dims[i];
    return NN_OK;
  }
  status = onnx_view(o, v, c->view);
  return status ? status : arith_order(o, c, v->order);
}

/* A value for each of n channels, or one: times factor, or its inverse. */
static float *arith_scaled(onnx *o, const arith_constant *c, float factor,
                           int inverse, int n) {
  float *to = import_alloc(o->im, (size_t)n, sizeof(*to));
  for (int i = 0; i < n && to; i++) {
    float x = c->values[c->count == 1 ? 0 : i];
    to[i] = factor * (inverse ? 1 / x : x);
  }
  return to;
}

/* Into the bias of the convolution or inner product that computed the blob. */
static nn_status arith_bias(onnx *o, onnx_value *v, const arith_constant *c,
                            float factor) {
  const int64_t n = v->layer->shape[0];
  float *values = arith_scaled(o, c, factor, 0, (int)n);
  if (!values) return NN_NOMEM;
  nn_status status =
      import_weights(o->im, v->layer, "bias", 1, &n, values);
  return status ? status : onnx_alias(o, v, v->rank, v->dims);
}

/* x * weight + bias, one of which is the constant. */
static nn_status arith_scale(onnx *o, onnx_value *v, const arith_constant *c,
                             arith_operation operation, int constant_first) {
  import_layer *from = v->layer;
  const int64_t n = (int64_t)c->count, one = 1;
  int adds = operation == ARITH_ADD || operation == ARITH_SUB;
  float *single = import_alloc(o->im, 1, sizeof(*single));
  float *values =
      arith_scaled(o, c, operation == ARITH_SUB && !constant_first ? -1 : 1,
                   operation == ARITH_DIV, (int)n);
  nn_status status = n > 1 ? onnx_seen(o, v, c->view, &from) : NN_OK;
  if (!single || !values) return NN_NOMEM;
  if (status) return status;
  *single = operation == ARITH_SUB && constant_first ? -1 : 1;
  import_layer *layer = onnx_layer(o, NULL, "Scale", from, from->shape);
  if (!layer) return NN_MODEL;
  if (adds) {
    status = import_weights(o->im, layer, "weight", 1, &one, single);
    if (!status) {
      status = import_weights(o->im, layer, "bias", 1, &n, values);
    }
  } else {
    status = import_weights(o->im, layer, "weight", 1, &n, values);
  }
  return status ? status : onnx_give_like(o, 0, layer, v);
}

static nn_status arith_clip(onnx *o, onnx_value *v, float limit, int low) {
  import_layer *layer = onnx_layer(o, NULL, "Clip", v->layer,
                                   v->layer->shape);
  if (!layer) return NN_MODEL;
  nn_status status = NN_OK;
  if (limit >= -FLT_MAX && limit <= FLT_MAX) {
    status = import_float(o->im, layer, low ? "min" : "max", limit);
  }
  return status ? status : onnx_give_like(o, 0, layer, v);
}

/* A constant of any form as a bottom. */
static nn_status arith_any(onnx *o, onnx_value *v, const arith_constant *c,
                           const onnx_tensor *t, arith_operation operation,
                           int constant_first) {
  const int64_t sides[3] = {c->side[0], c->side[1], c->side[2]};
  int64_t dims[ONNX_RANK];
  import_layer *from[2], *layer, *blob;
  int shape[3];
  nn_status status = onnx_seen(o, v, c->view, &blob);
  if (status) return status;
  import_layer *constant =
      onnx_layer(o, "constant", "Constant", NULL, c->side);
  if (!constant) return NN_MODEL;
  status = import_weights(o->im, constant, "weight", 3, sides, c->values);
  if (status) return status;
  from[constant_first] = blob;
  from[!constant_first] = constant;
  for (int i = 0; i < 3; i++) {
    shape[i] = c->side[i] > c->view[i] ? c->side[i] : c->view[i];
  }
  memcpy(dims, v->dims, sizeof(dims));
  for (int i = 0; i < t->rank; i++) {
    int64_t *side = &dims[v->rank - t->rank + i];
    if (t->dims[i] > *side) *side = t->dims[i];
  }
  status = arith_layer(o, operation, from, 2, shape, &layer);
  return status ? status : onnx_give(o, 0, layer, v->rank, dims, v->order);
}

static nn_status arith_with_constant(onnx *o, arith_operation operation) {
  int first = o->in[0]->constant != NULL;
  onnx_value *v = o->in[first];
  const onnx_tensor *t = o->in[!first]->constant;
  arith_constant c;
  nn_status status = arith_align(o, v, t, &c);
  if (status) return status;
  int channels = c.side[1] == 1 && c.side[2] == 1 &&
                 (c.side[0] == 1 || c.side[0] == c.view[0]);
  int adds = operation == ARITH_ADD || (operation == ARITH_SUB && !first);
  if (channels && adds && v->open && v->readers == 1 &&
      v->layer->shape[0] == c.view[0]) {
    return arith_bias(o, v, &c, operation == ARITH_SUB ? -1 : 1);
  }
  if (c.count == 1 && (operation == ARITH_MAX || operation == ARITH_MIN)) {
    return arith_clip(o, v, c.values[0], operation == ARITH_MAX);
  }
  if (channels && operation <= ARITH_DIV &&
      !(operation == ARITH_DIV && first)) {
    return arith_scale(o, v, &c, operation, first);
  }
  return arith_any(o, v, &c, t, operation, first);
}

nn_status onnx_arithmetic(onnx *o) {
  arith_operation operation = arith_of(o->node->op_type);
  int constants = 0;
  for (int i = 0; i < o->inputs; i++) {
    if (!o->in[i]) return onnx_fail(o, "input %d is missing", i);
    constants += o->in[i]->constant != NULL;
  }
  if (o->inputs == 1) return onnx_alias(o, o->in[0], o->in[0]->rank,
                                        o->in[0]->dims);
  if (!constants) return arith_blobs(o, operation);
  if (o->inputs == 2) return arith_with_constant(o, operation);
  return onnx_fail(o, "constants among more than two inputs are not "
                   "supported");
}

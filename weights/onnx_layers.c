/*
** Nodes that become the layer that they are: convolutions, inner products,
** pooling, normalisation, activations.
**
** The words of ONNX are checked and turned into those of weights/README.md.
** Where the two differ, it is here: auto_pad is worked out, since a model has
** numbers alone; alpha and beta of a Gemm go into its weights; the softmax of
** old opsets runs over everything behind an axis, which is a view.
*/
#include <float.h>
#include <math.h>
#include <string.h>

#include "onnx.h"

/* Windows ------------------------------------------------------------------ */

typedef struct layers_window {
  int kernel[2], stride[2], dilation[2], pad[4], out[2];
} layers_window;

/* An attribute of `count` integers from min on; what it lacks stays. */
static nn_status layers_ints(onnx *o, const char *name, int count, int min,
                             int *out) {
  const int64_t *list;
  int n;
  nn_status status = onnx_list(o, name, -1, &list, &n);
  if (status || n < 0) return status;
  if (n != count) {
    return onnx_fail(o, "%s has %d numbers; planes, which want %d, are "
                     "supported", name, n, count);
  }
  for (int i = 0; i < n; i++) {
    if (list[i] < min || list[i] > NN_SIDE_MAX) {
      return onnx_fail(o, "%s of %lld, from %d to %d is supported", name,
                       (long long)list[i], min, NN_SIDE_MAX);
    }
    out[i] = (int)list[i];
  }
  return NN_OK;
}

/* The padding that leaves ceil(side / stride) positions; the odd pixel goes
** behind or before. */
static void layers_same(layers_window *w, int axis, int side, int lower) {
  int64_t out = ((int64_t)side + w->stride[axis] - 1) / w->stride[axis];
  int64_t window = (int64_t)w->dilation[axis] * (w->kernel[axis] - 1) + 1;
  int64_t pad = (out - 1) * w->stride[axis] + window - side;
  if (pad < 0) pad = 0;
  w->pad[axis] = (int)(lower ? (pad + 1) / 2 : pad / 2);
  w->pad[axis + 2] = (int)(pad - w->pad[axis]);
}

/* Everything but the kernel, which a convolution has from its weights. */
static nn_status layers_geometry(onnx *o, const int shape[3], int ceil,
                                 layers_window *w) {
  nn_status status;
  int upper = onnx_is(o, "auto_pad", "SAME_UPPER", 0);
  int lower = onnx_is(o, "auto_pad", "SAME_LOWER", 0);
  for (int i = 0; i < 2; i++) w->stride[i] = w->dilation[i] = 1;
  memset(w->pad, 0, sizeof(w->pad));
  if ((status = layers_ints(o, "strides", 2, 1, w->stride)) != NN_OK ||
      (status = layers_ints(o, "dilations", 2, 1, w->dilation)) != NN_OK) {
    return status;
  }
  if (onnx_is(o, "auto_pad", "NOTSET", 1)) {
    status = layers_ints(o, "pads", 4, 0, w->pad);
    if (status) return status;
  } else if (!upper && !lower && !onnx_is(o, "auto_pad", "VALID", 0)) {
    return onnx_fail(o, "auto_pad is NOTSET, VALID, SAME_UPPER or SAME_LOWER");
  }
  for (int i = 0; i < 2; i++) {
    int side = shape[1 + i], stride = w->stride[i];
    if (upper || lower) layers_same(w, i, side, lower);
    int64_t window = (int64_t)w->dilation[i] * (w->kernel[i] - 1) + 1;
    int64_t room = (int64_t)side + w->pad[i] + w->pad[i + 2] - window;
    if (room < 0) {
      return onnx_fail(o, "a kernel that covers %lld pixels, the padded input "
                       "has %lld", (long long)window,
                       (long long)(room + window));
    }
    int64_t out = room / stride + 1;
    if (ceil) {
      out = (room + stride - 1) / stride + 1;
      if ((out - 1) * stride >= (int64_t)side + w->pad[i]) out--;
    }
    w->out[i] = (int)out;
  }
  return NN_OK;
}

static nn_status layers_write(onnx *o, import_layer *layer,
                              const layers_window *w) {
  import *im = o->im;
  static const int none[4] = {0, 0, 0, 0};
  nn_status status = import_ints(im, layer, "kernel_size", 2, w->kernel);
  if (!status && (w->stride[0] != 1 || w->stride[1] != 1)) {
    status = import_ints(im, layer, "stride", 2, w->stride);
  }
  if (!status && memcmp(w->pad, none, sizeof(none)) != 0) {
    status = import_ints(im, layer, "pad", 4, w->pad);
  }
  if (!status && (w->dilation[0] != 1 || w->dilation[1] != 1)) {
    status = import_ints(im, layer, "dilation", 2, w->dilation);
  }
  return status;
}

/* A blob of four sides, in the order N, C, H, W. */
static nn_status layers_planes(onnx *o, onnx_value **value,
                               import_layer **layer) {
  nn_status status = onnx_blob(o, 0, value);
  if (status) return status;
  if ((*value)->rank != 4) {
    return onnx_fail(o, "its input is %s; planes, which have four sides, are "
                     "supported", onnx_shape(o, *value));
  }
  status = onnx_plain(o, *value);
  return status ? status : onnx_own(o, *value, layer);
}

static nn_status layers_give_planes(onnx *o, import_layer *layer) {
  const int64_t dims[4] = {o->batch, layer->shape[0], layer->shape[1],
                           layer->shape[2]};
  return onnx_give(o, 0, layer, 4, dims, NULL);
}

/* Convolution and inner product -------------------------------------------- */

/* A constant input of floats. */
static nn_status layers_floats(onnx *o, int i, const onnx_tensor **t) {
  nn_status status = onnx_constant(o, i, t);
  if (status || (*t)->floats) return status;
  return onnx_fail(o, "input %d is not of floats", i);
}

/* A constant of n floats as the layer's member. */
static nn_status layers_vector(onnx *o, import_layer *layer, const char *key,
                               int i, int n) {
  const onnx_tensor *t;
  const int64_t shape = n;
  if (i >= o->inputs || !o->in[i]) return NN_OK;
  nn_status status = layers_floats(o, i, &t);
  if (status) return status;
  if (t->count != (size_t)n) {
    return onnx_fail(o, "%s has shape %s, %d channels want as many", key,
                     import_shape_text(o->im, t->rank, t->dims), n);
  }
  return import_weights(o->im, layer, key, 1, &shape, t->floats);
}

nn_status onnx_conv(onnx *o) {
  onnx_value *in;
  import_layer *from;
  const onnx_tensor *t;
  layers_window w;
  nn_status status = layers_planes(o, &in, &from);
  if (!status) status = layers_floats(o, 1, &t);
  if (status) return status;
  int64_t group = onnx_int(o, "group", 1);
  if (t->rank != 4 || group < 1 || t->dims[0] < 1 ||
      t->dims[0] > 1 << 24 || t->dims[0] % group ||
      from->shape[0] % group || t->dims[1] != from->shape[0] / group) {
    return onnx_fail(o, "weights of %s in %lld groups for %d channels",
                     import_shape_text(o->im, t->rank, t->dims),
                     (long long)group, from->shape[0]);
  }
  for (int i = 0; i < 2; i++) {
    if (t->dims[2 + i] < 1 || t->dims[2 + i] > NN_SIDE_MAX) {
      return onnx_fail(o, "a kernel of %lld", (long long)t->dims[2 + i]);
    }
    w.kernel[i] = (int)t->dims[2 + i];
  }
  status = layers_geometry(o, from->shape, 0, &w);
  if (status) return status;
  const int shape[3] = {(int)t->dims[0], w.out[0], w.out[1]};
  import_layer *layer = onnx_layer(o, NULL, "Convolution", from, shape);
  if (!layer) return NN_MODEL;
  if ((status = import_int(o->im, layer, "num_output", shape[0])) != NN_OK ||
      (status = layers_write(o, layer, &w)) != NN_OK ||
      (group > 1 && (status = import_int(o->im, layer, "group",
                                         (int)group)) != NN_OK) ||
      (status = import_weights(o->im, layer, "weight", 4, t->dims,
                               t->floats)) != NN_OK ||
      (status = layers_vector(o, layer, "bias", 2, shape[0])) != NN_OK) {
    return status;
  }
  if (o->out[0]) o->out[0]->open = !import_get(layer, "bias");
  return layers_give_planes(o, layer);
}

/* [outputs][inputs] times alpha, of a matrix that may lie the other way. */
static nn_status layers_matrix(onnx *o, const onnx_tensor *t, int as_it_is,
                               float alpha, const float **out) {
  *out = t->floats;
  if (as_it_is && alpha == 1) return NN_OK;
  float *to = import_alloc(o->im, t->count, sizeof(*to));
  if (!to) return NN_NOMEM;
  size_t rows = (size_t)t->dims[0], columns = (size_t)t->dims[1];
  for (size_t r = 0; r < rows; r++) {
    for (size_t c = 0; c < columns; c++) {
      float x = t->floats[r * columns + c] * alpha;
      to[as_it_is ? r * columns + c : c * rows + r] = x;
    }
  }
  *out = to;
  return NN_OK;
}

/* Gemm's third input times beta, one for all outputs or one for each. */
static nn_status layers_gemm_bias(onnx *o, import_layer *layer, float beta) {
  const onnx_tensor *t;
  const int64_t n = layer->shape[0];
  if (o->inputs < 3 || !o->in[2]) return NN_OK;
  nn_status status = layers_floats(o, 2, &t);
  if (status) return status;
  int64_t last = t->rank ? t->dims[t->rank - 1] : 1;
  if (t->count != (size_t)last || (last != 1 && last != n)) {
    return onnx_fail(o, "C has shape %s, and there are %d outputs",
                     import_shape_text(o->im, t->rank, t->dims), (int)n);
  }
  float *to = import_alloc(o->im, (size_t)n, sizeof(*to));
  if (!to) return NN_NOMEM;
  for (int64_t i = 0; i < n; i++) to[i] = beta * t->floats[last == 1 ? 0 : i];
  return import_weights(o->im, layer, "bias", 1, &n, to);
}

/* rows x inputs times a constant; transposed: it is [outputs][inputs]. */
static nn_status layers_product(onnx *o, onnx_value *in, int transposed,
                                float alpha, import_layer **layer) {
  const onnx_tensor *t;
  const float *weights;
  nn_status status = layers_floats(o, 1, &t);
  if (!status) status = onnx_plain(o, in);
  if (status) return status;
  if (t->rank != 2 || in->rank != 2 || t->dims[!!transposed] != in->dims[1] ||
      t->dims[!transposed] < 1 || t->dims[!transposed] > 1 << 24) {
    return onnx_fail(o, "weights of %s for an input of %s",
                     import_shape_text(o->im, t->rank, t->dims),
                     onnx_shape(o, in));
  }
  const int64_t wants[2] = {t->dims[!transposed], in->dims[1]};
  const int shape[3] = {(int)wants[0], 1, 1};
  status = layers_matrix(o, t, transposed, alpha, &weights);
  if (status) return status;
  *layer = onnx_layer(o, NULL, "InnerProduct", in->layer, shape);
  if (!*layer) return NN_MODEL;
  status = import_int(o->im, *layer, "num_output", shape[0]);
  return status ? status
                : import_weights(o->im, *layer, "weight", 2, wants, weights);
}

nn_status onnx_gemm(onnx *o) {
  onnx_value *in;
  import_layer *layer;
  nn_status status = onnx_blob(o, 0, &in);
  if (status) return status;
  if (onnx_int(o, "transA", 0)) {
    return onnx_fail(o, "transA, which takes outputs for images, is not "
                     "supported");
  }
  status = layers_product(o, in, onnx_int(o, "transB", 0) != 0,
                          onnx_float(o, "alpha", 1), &layer);
  if (!status) {
    status = layers_gemm_bias(o, layer, onnx_float(o, "beta", 1));
  }
  if (status) return status;
  const int64_t dims[2] = {o->batch, layer->shape[0]};
  return onnx_give(o, 0, layer, 2, dims, NULL);
}

/* What has the channels last is brought to have them first in its blob: then a
** product at each position is a convolution of 1 x 1. */
static nn_status layers_channels_first(onnx *o, onnx_value *in) {
  int last = in->rank - 2, view[3], order[3];
  if (in->order[last] == 0) return NN_OK;
  nn_status status = onnx_plain(o, in);
  if (!status) status = onnx_view(o, in, view);
  if (status) return status;
  order[0] = last;
  for (int i = 0, k = 1; i < 3; i++) {
    if (i != last) order[k++] = i;
  }
  status = onnx_permute(o, in->name, in, view, order, &in->layer);
  for (int i = 0; i < 3; i++) in->order[order[i]] = i;
  return status;
}

static nn_status layers_positions(onnx *o, onnx_value *in) {
  static const int one[2] = {1, 1};
  const onnx_tensor *t;
  const float *weights;
  import_layer *from;
  int64_t dims[4];
  nn_status status = layers_floats(o, 1, &t);
  if (!status) status = layers_channels_first(o, in);
  if (!status) status = onnx_own(o, in, &from);
  if (status) return status;
  if (t->rank != 2 || t->dims[0] != in->dims[in->rank - 1] ||
      t->dims[1] < 1 || t->dims[1] > 1 << 24) {
    return onnx_fail(o, "weights of %s for an input of %s",
                     import_shape_text(o->im, t->rank, t->dims),
                     onnx_shape(o, in));
  }
  status = layers_matrix(o, t, 0, 1, &weights);
  if (status) return status;
  const int64_t wants[4] = {t->dims[1], t->dims[0], 1, 1};
  const int shape[3] = {(int)t->dims[1], from->shape[1], from->shape[2]};
  import_layer *layer = onnx_layer(o, NULL, "Convolution", from, shape);
  if (!layer) return NN_MODEL;
  status = import_int(o->im, layer, "num_output", shape[0]);
  if (!status) status = import_ints(o->im, layer, "kernel_size", 2, one);
  if (!status) status = import_weights(o->im, layer, "weight", 4, wants,
                                       weights);
  if (status) return status;
  memcpy(dims, in->dims, sizeof(dims));
  dims[in->rank - 1] = t->dims[1];
  if (o->out[0]) o->out[0]->open = 1;
  return onnx_give(o, 0, layer, in->rank, dims, in->order);
}

nn_status onnx_matmul(onnx *o) {
  onnx_value *in;
  import_layer *layer;
  nn_status status = onnx_blob(o, 0, &in);
  if (status) return status;
  if (in->rank == 3 || in->rank == 4) return layers_positions(o, in);
  status = layers_product(o, in, 0, 1, &layer);
  if (status) return status;
  if (o->out[0]) o->out[0]->open = 1;
  const int64_t dims[2] = {o->batch, layer->shape[0]};
  return onnx_give(o, 0, layer, 2, dims, NULL);
}

/* Pooling ------------------------------------------------------------------ */

nn_status onnx_pool(onnx *o) {
  int average = strcmp(o->node->op_type, "AveragePool") == 0;
  int ceil = onnx_int(o, "ceil_mode", 0) != 0;
  onnx_value *in;
  import_layer *from;
  layers_window w = {.kernel = {0, 0}};
  nn_status status = layers_planes(o, &in, &from);
  if (!status) status = layers_ints(o, "kernel_shape", 2, 1, w.kernel);
  if (status) return status;
  if (!w.kernel[0]) return onnx_fail(o, "no kernel_shape");
  if (o->outputs > 1 && o->out[1] && o->out[1]->readers) {
    return onnx_fail(o, "the places of the maxima are not supported");
  }
  status = layers_geometry(o, from->shape, ceil, &w);
  if (status) return status;
  const int shape[3] = {from->shape[0], w.out[0], w.out[1]};
  import_layer *layer = onnx_layer(o, NULL, "Pooling", from, shape);
  if (!layer) return NN_MODEL;
  status = import_string(o->im, layer, "pool", average ? "AVE" : "MAX");
  if (!status) status = layers_write(o, layer, &w);
  if (!status && !ceil) {
    status = import_string(o->im, layer, "round_mode", "FLOOR");
  }
  if (!status && average && !onnx_int(o, "count_include_pad", 0)) {
    status = import_boolean(o->im, layer, "count_include_pad", 0);
  }
  return status ? status : layers_give_planes(o, layer);
}

/* The whole plane, or whole rows or columns of it. */
static nn_status layers_whole(onnx *o, import_layer *from, int average,
                              int rows, int columns, import_layer **out) {
  const int kernel[2] = {rows ? from->shape[1] : 1,
                         columns ? from->shape[2] : 1};
  const int shape[3] = {from->shape[0], rows ? 1 : from->shape[1],
                        columns ? 1 : from->shape[2]};
  *out = onnx_layer(o, NULL, "Pooling", from, shape);
  if (!*out) return NN_MODEL;
  nn_status status = import_string(o->im, *out, "pool",
                                   average ? "AVE" : "MAX");
  if (status) return status;
  if (rows && columns) {
    return import_boolean(o->im, *out, "global_pooling", 1);
  }
  return import_ints(o->im, *out, "kernel_size", 2, kernel);
}

nn_status onnx_global_pool(onnx *o) {
  onnx_value *in;
  import_layer *from, *layer;
  nn_status status = layers_planes(o, &in, &from);
  if (status) return status;
  status = layers_whole(o, from,
                        strcmp(o->node->op_type, "GlobalAveragePool") == 0, 1,
                        1, &layer);
  return status ? status : layers_give_planes(o, layer);
}

/* Mean or maximum over rows, columns or both. */
nn_status onnx_reduce(onnx *o) {
  int average = strcmp(o->node->op_type, "ReduceMean") == 0;
  int keep = onnx_int(o, "keepdims", 1) != 0, over[4] = {0}, n, view[3];
  const int64_t *axes;
  int64_t dims[4], rank = 0;
  onnx_value *in;
  import_layer *from, *layer;
  nn_status status = onnx_blob(o, 0, &in);
  if (!status) status = onnx_list(o, "axes", 1, &axes, &n);
  if (!status) status = onnx_view(o, in, view);
  if (!status) status = onnx_seen(o, in, view, &from);
  if (status) return status;
  if (n <= 0 && onnx_int(o, "noop_with_empty_axes", 0)) {
    return onnx_alias(o, in, in->rank, in->dims);
  }
  for (int i = 0; i < n; i++) {
    int64_t axis = axes[i];
    status = onnx_axis(o, &axis, in->rank);
    if (status) return status;
    over[axis] = 1;
  }
  int side[3] = {0};   /* of the blob */
  for (int i = 1; i < in->rank; i++) side[in->order[i - 1]] |= over[i];
  if (n <= 0 || over[0] || (side[0] && from->shape[0] > 1)) {
    return onnx_fail(o, "rows and columns can be taken together, channels and "
                     "images cannot");
  }
  status = layers_whole(o, from, average, side[1], side[2], &layer);
  if (status) return status;
  onnx_value made = *in;   /* with sides of 1, which are then kept or not */
  made.layer = layer;
  for (int i = 1; i < in->rank; i++) made.dims[i] = over[i] ? 1 : in->dims[i];
  if (keep) return onnx_give_like(o, 0, layer, &made);
  status = onnx_plain(o, &made);
  for (int i = 0; i < in->rank; i++) {
    if (!over[i]) dims[rank++] = in->dims[i];
  }
  return status ? status
                : onnx_give(o, 0, made.layer, (int)rank, dims, NULL);
}

/* Normalisation ------------------------------------------------------------ */

nn_status onnx_batch_norm(onnx *o) {
  static const char *const keys[] = {NULL, "weight", "bias", "mean",
                                     "variance"};
  onnx_value *in;
  import_layer *from;
  int view[3];
  nn_status status = onnx_blob(o, 0, &in);
  if (!status) status = onnx_plain(o, in);
  if (status) return status;
  if (onnx_int(o, "training_mode", 0) || !onnx_int(o, "spatial", 1) ||
      (o->outputs > 1 && o->out[1] && o->out[1]->readers)) {
    return onnx_fail(o, "the form that trains is not supported; export the "
                     "network for inference");
  }
  if (in->rank < 2) return onnx_fail(o, "its input has no channels");
  if (in->rank <= 4) {
    status = onnx_view(o, in, view);
  } else {
    view[0] = (int)in->dims[1];
    view[1] = view[2] = 1;
    for (int i = 2; i < in->rank; i++) view[1] *= (int)in->dims[i];
  }
  if (!status) status = onnx_seen(o, in, view, &from);
  if (status) return status;
  import_layer *layer = onnx_layer(o, NULL, "BatchNorm", from, view);
  if (!layer) return NN_MODEL;
  for (int i = 1; i < 5 && !status; i++) {
    if (i >= o->inputs || !o->in[i]) {
      return onnx_fail(o, "input %d is missing", i);
    }
    status = layers_vector(o, layer, keys[i], i, view[0]);
  }
  float eps = onnx_float(o, "epsilon", 1e-5f);
  if (!status) status = import_float(o->im, layer, "eps", eps);
  return status ? status : onnx_give_like(o, 0, layer, in);
}

nn_status onnx_lrn(onnx *o) {
  onnx_value *in;
  import_layer *from;
  nn_status status = layers_planes(o, &in, &from);
  if (status) return status;
  int64_t size = onnx_int(o, "size", 0);
  if (size < 1 || size % 2 == 0 || size > NN_SIDE_MAX) {
    return onnx_fail(o, "size of %lld; an odd number is supported",
                     (long long)size);
  }
  import_layer *layer = onnx_layer(o, NULL, "LRN", from, from->shape);
  if (!layer) return NN_MODEL;
  status = import_int(o->im, layer, "local_size", (int)size);
  if (!status) {
    status = import_float(o->im, layer, "alpha",
                          onnx_float(o, "alpha", 1e-4f));
  }
  if (!status) {
    status = import_float(o->im, layer, "beta", onnx_float(o, "beta", 0.75f));
  }
  if (!status) {
    status = import_float(o->im, layer, "k", onnx_float(o, "bias", 1));
  }
  return status ? status : layers_give_planes(o, layer);
}

nn_status onnx_softmax(onnx *o) {
  int64_t axis = onnx_int(o, "axis", o->opset < 13 ? 1 : -1);
  int view[3], side;
  onnx_value *in;
  import_layer *from;
  nn_status status = onnx_blob(o, 0, &in);
  if (!status) status = onnx_axis(o, &axis, in->rank);
  if (status) return status;
  if (o->opset < 13) {   /* over all sides from the axis on, as one */
    status = onnx_plain(o, in);
    if (status) return status;
    if (axis < 1) return onnx_fail(o, "it runs over the images of a batch");
    view[0] = view[1] = view[2] = 1;
    side = axis > 1 ? 2 : 1;
    for (int i = 1; i < in->rank; i++) {
      view[i < axis || axis == 1 ? 0 : 1] *= (int)in->dims[i];
    }
  } else {
    status = onnx_along(o, in, (int)axis, view, &side);
  }
  if (!status) status = onnx_seen(o, in, view, &from);
  if (status) return status;
  import_layer *layer = onnx_layer(o, NULL, "Softmax", from, view);
  if (!layer) return NN_MODEL;
  if (side != 1) status = import_int(o->im, layer, "axis", side);
  return status ? status : onnx_give_like(o, 0, layer, in);
}

/* Element by element ------------------------------------------------------- */

nn_status onnx_activation(onnx *o) {
  static const struct {
    const char *operator, *type;
  } types[] = {{"Relu", "ReLU"},           {"LeakyRelu", "ReLU"},
               {"Sigmoid", "Sigmoid"},     {"HardSigmoid", "HardSigmoid"},
               {"HardSwish", "HardSwish"}, {NULL, NULL}};
  const char *name = o->node->op_type, *type = NULL;
  onnx_value *in;
  nn_status status = onnx_blob(o, 0, &in);
  if (status) return status;
  for (int i = 0; types[i].operator; i++) {
    if (strcmp(types[i].operator, name) == 0) type = types[i].type;
  }
  import_layer *layer =
      onnx_layer(o, NULL, type, in->layer, in->layer->shape);
  if (!layer) return NN_MODEL;
  if (strcmp(name, "LeakyRelu") == 0) {
    status = import_float(o->im, layer, "negative_slope",
                          onnx_float(o, "alpha", 0.01f));
  } else if (strcmp(name, "HardSigmoid") == 0) {
    status = import_float(o->im, layer, "alpha", onnx_float(o, "alpha", 0.2f));
    if (!status) {
      status = import_float(o->im, layer, "beta", onnx_float(o, "beta", 0.5f));
    }
  }
  return status ? status : onnx_give_like(o, 0, layer, in);
}

nn_status onnx_clip(onnx *o) {
  float low = -FLT_MAX, high = FLT_MAX;
  onnx_value *in;
  nn_status status = onnx_blob(o, 0, &in);
  if (!status) status = onnx_number(o, "min", 1, &low);
  if (!status) status = onnx_number(o, "max", 2, &high);
  if (status) return status;
  if (!(low <= high)) {
    return onnx_fail(o, "min %g and max %g", (double)low, (double)high);
  }
  import_layer *layer =
      onnx_layer(o, NULL, "Clip", in->layer, in->layer->shape);
  if (!layer) return NN_MODEL;
  if (low > -FLT_MAX) status = import_float(o->im, layer, "min", low);
  if (!status && high < FLT_MAX) {
    status = import_float(o->im, layer, "max", high);
  }
  return status ? status : onnx_give_like(o, 0, layer, in);
}

/* Dropout does nothing but in training, Cast nothing to floats. */
nn_status onnx_same(onnx *o) {
  const char *name = o->node->op_type;
  onnx_value *in;
  nn_status status = onnx_blob(o, 0, &in);
  if (status) return status;
  if (strcmp(name, "Cast") == 0) {
    int64_t to = onnx_int(o, "to", 0);
    if (to != 1 && to != 10 && to != 11) {
      return onnx_fail(o, "to integers; what depends on the image stays in "
                       "floats");
    }
  } else if (strcmp(name, "Dropout") == 0) {
    float training = 0;
    if (o->inputs > 2) status = onnx_number(o, "", 2, &training);
    if (status) return status;
    if (training != 0 ||
        (o->outputs > 1 && o->out[1] && o->out[1]->readers)) {
      return onnx_fail(o, "the form that trains is not supported; export the "
                       "network for inference");
    }
  }
  return onnx_alias(o, in, in->rank, in->dims);
}

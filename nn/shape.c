/*
** Shapes: what a layer writes, from what it reads and its geometry, and whether
** the tensors that it names fit.
**
** It is arithmetic over numbers that a file's author chose, done in 64 bits
** after network.c has bounded each of them, and it refuses what cannot be
** computed: an output without pixels, channels that do not divide into groups,
** a kernel that is larger than the padded input, a weight of another shape.
** Everything behind it (plan.c, the kernels) relies on these checks and repeats
** none.
**
** Two roundings of pooling exist, and half a network's layers shift by a pixel
** when they are confused.  CEIL is Caffe's: as many windows as begin within the
** image or its top and left padding, the last of which may hang over the edge.
** FLOOR is PyTorch's: the windows that fit.
*/
#include <stdio.h>
#include <string.h>

#include "nn_int.h"

/* Outputs ----------------------------------------------------------------- */

/* Positions of a window along one axis: 0 is height, 1 is width. */
static nn_status shape_axis(const nn_layer *layer, int axis, int side,
                            const nn_fields *fields, int64_t *out) {
  int64_t before = layer->pad[axis], after = layer->pad[axis + 2];
  int64_t padded = side + before + after, stride = layer->stride[axis];
  int64_t window =
      (int64_t)layer->dilation[axis] * (layer->kernel[axis] - 1) + 1;
  if (window > padded) {
    return nn_field_fail(fields,
                         "its kernel covers %lld pixels of %s, the padded "
                         "input has %lld",
                         (long long)window, axis ? "width" : "height",
                         (long long)padded);
  }
  *out = (padded - window) / stride + 1;
  if (layer->ceil) {
    *out = (padded - window + stride - 1) / stride + 1;
    if ((*out - 1) * stride >= side + before) --*out;
  }
  return NN_OK;
}

static nn_status shape_set(nn_blob *top, int64_t c, int64_t h, int64_t w,
                           const nn_fields *fields) {
  size_t size = nn_mul(nn_mul((size_t)c, (size_t)h), (size_t)w);
  if (size > NN_ALLOC_MAX / sizeof(float)) {
    return nn_field_fail(fields, "its output of %lld x %lld x %lld is too "
                         "large", (long long)c, (long long)h, (long long)w);
  }
  top->c = (int)c;
  top->h = (int)h;
  top->w = (int)w;
  top->size = top->slots = size;
  return NN_OK;
}

static nn_status shape_window(const nn_layer *layer, const nn_blob *in,
                              int channels, nn_blob *top,
                              const nn_fields *fields) {
  int64_t h = 0, w = 0;
  nn_status status = shape_axis(layer, 0, in->h, fields, &h);
  if (status == NN_OK) status = shape_axis(layer, 1, in->w, fields, &w);
  return status ? status : shape_set(top, channels, h, w, fields);
}

static int shape_side(const nn_blob *blob, int axis) {
  return axis == 0 ? blob->c : axis == 1 ? blob->h : blob->w;
}

/* The sides of bottom `in` into those found so far.  Eltwise: alike, or 1 where
** there may be broadcasting.  Concat: alike but for its axis, along which they
** add up. */
static int shape_joins(const nn_layer *layer, const nn_blob *in,
                       int broadcast, int64_t side[3]) {
  for (int axis = 0; axis < 3; axis++) {
    int more = shape_side(in, axis);
    if (layer->type == NN_CONCAT && axis == layer->axis - 1) {
      side[axis] += more;
    } else if (more != side[axis]) {
      if (!broadcast || (more != 1 && side[axis] != 1)) return 0;
      if (side[axis] == 1) side[axis] = more;
    }
  }
  return 1;
}

static nn_status shape_join(const nn_model *model, const nn_layer *layer,
                            nn_blob *top, const nn_fields *fields) {
  const nn_blob *first = &model->blobs[layer->bottom[0]];
  int64_t side[3] = {first->c, first->h, first->w};
  int broadcast = layer->type == NN_ELTWISE;
  for (int i = 1; i < layer->bottoms; i++) {
    const nn_blob *in = &model->blobs[layer->bottom[i]];
    if (shape_joins(layer, in, broadcast, side)) continue;
    return nn_field_fail(fields,
                         "%s is %d x %d x %d, which does not go with "
                         "%d x %d x %d",
                         nn_shown_name(in->name).text, in->c, in->h, in->w,
                         first->c, first->h, first->w);
  }
  return shape_set(top, side[0], side[1], side[2], fields);
}

/* Every window of a pooling has a pixel: padding is less than the kernel, and
** taps that are apart do not all miss a small image. */
static nn_status shape_pooled(const nn_layer *layer, const nn_blob *in,
                              const nn_blob *top, const nn_fields *fields) {
  for (int axis = 0; axis < 2; axis++) {
    int side = shape_side(in, axis + 1), dilation = layer->dilation[axis];
    for (int at = 0; dilation > 1 && at < shape_side(top, axis + 1); at++) {
      int64_t from = (int64_t)at * layer->stride[axis] - layer->pad[axis];
      int64_t tap = from < 0 ? (-from + dilation - 1) / dilation : 0;
      if (tap >= layer->kernel[axis] || from + tap * dilation >= side) {
        return nn_field_fail(fields, "a window of its %s has no pixel",
                             axis ? "width" : "height");
      }
    }
  }
  return NN_OK;
}

static nn_status shape_pooling(const nn_layer *layer, const nn_blob *in,
                               nn_blob *top, const nn_fields *fields) {
  for (int i = 0; i < 4; i++) {
    if (layer->pad[i] >= layer->kernel[i % 2]) {
      return nn_field_fail(fields, "padding of %d for a kernel of %d",
                           layer->pad[i], layer->kernel[i % 2]);
    }
  }
  nn_status status = shape_window(layer, in, in->c, top, fields);
  return status ? status : shape_pooled(layer, in, top, fields);
}

static nn_status shape_constant(const nn_model *model, nn_blob *top,
                                const nn_fields *fields) {
  const int64_t any[3] = {-1, -1, -1};
  nn_tensor *tensor;
  nn_status status =
      nn_layer_tensor(model, fields, "weight", 1, 3, any, &tensor);
  if (status) return status;
  if (!tensor->count || tensor->count > NN_ALLOC_MAX / sizeof(float)) {
    return nn_field_fail(fields, "weight has %zu values", tensor->count);
  }
  return shape_set(top, tensor->shape[0], tensor->shape[1], tensor->shape[2],
                   fields);
}

static nn_status shape_padding(const nn_layer *layer, const nn_blob *in,
                               nn_blob *top, const nn_fields *fields) {
  for (int i = 0; i < 4 && layer->padding == NN_PAD_REFLECT; i++) {
    int side = shape_side(in, 1 + i % 2);
    if (layer->pad[i] < side) continue;
    return nn_field_fail(fields, "reflection of %d at a side of %d",
                         layer->pad[i], side);
  }
  return shape_set(top, in->c, (int64_t)in->h + layer->pad[0] + layer->pad[2],
                   (int64_t)in->w + layer->pad[1] + layer->pad[3], fields);
}

static nn_status shape_slice(const nn_layer *layer, const nn_blob *in,
                             nn_blob *top, const nn_fields *fields) {
  int64_t side[3] = {in->c, in->h, in->w};
  int64_t *cut = &side[layer->axis - 1];
  if (layer->begin >= layer->end || layer->end > *cut) {
    return nn_field_fail(fields, "begin %d and end %d in a side of %lld",
                         layer->begin, layer->end, (long long)*cut);
  }
  *cut = layer->end - layer->begin;
  return shape_set(top, side[0], side[1], side[2], fields);
}

static nn_status shape_reshape(const nn_layer *layer, const nn_blob *in,
                               nn_blob *top, const nn_fields *fields) {
  const int *d = layer->dims;
  if (nn_mul(nn_mul((size_t)d[0], (size_t)d[1]), (size_t)d[2]) != in->size) {
    return nn_field_fail(fields, "%d x %d x %d is not as many as "
                         "%d x %d x %d", d[0], d[1], d[2], in->c, in->h,
                         in->w);
  }
  return shape_set(top, d[0], d[1], d[2], fields);
}

static nn_status shape_divides(int group, const nn_blob *in, int num_output,
                               const nn_fields *fields) {
  if (in->c % group == 0 && num_output % group == 0) return NN_OK;
  return nn_field_fail(fields, "%d groups do not divide %d channels into %d",
                       group, in->c, num_output);
}

nn_status nn_layer_shape(nn_model *model, nn_layer *layer, int num_output,
                         const nn_fields *fields) {
  const nn_blob *in = layer->bottoms ? &model->blobs[layer->bottom[0]] : NULL;
  nn_blob *top = &model->blobs[layer->top];
  nn_status status;
  switch (layer->type) {
    case NN_CONVOLUTION:
      status = shape_divides(layer->group, in, num_output, fields);
      return status ? status
                    : shape_window(layer, in, num_output, top, fields);
    case NN_SHUFFLE_CHANNEL:
      status = shape_divides(layer->group, in, in->c, fields);
      if (status) return status;
      break;
    case NN_POOLING: return shape_pooling(layer, in, top, fields);
    case NN_INNER_PRODUCT: return shape_set(top, num_output, 1, 1, fields);
    case NN_FLATTEN:
      return shape_set(top, (int64_t)in->size, 1, 1, fields);
    case NN_ELTWISE:
    case NN_CONCAT: return shape_join(model, layer, top, fields);
    case NN_CONSTANT: return shape_constant(model, top, fields);
    case NN_PADDING: return shape_padding(layer, in, top, fields);
    case NN_SLICE: return shape_slice(layer, in, top, fields);
    case NN_RESHAPE: return shape_reshape(layer, in, top, fields);
    case NN_PERMUTE:
      return shape_set(top, shape_side(in, layer->order[0]),
                       shape_side(in, layer->order[1]),
                       shape_side(in, layer->order[2]), fields);
    case NN_LRN:
    case NN_RELU:
    case NN_SIGMOID:
    case NN_SOFTMAX:
    case NN_BATCH_NORM:
    case NN_MIRROR_MEAN:
    case NN_CLIP:
    case NN_HARD_SIGMOID:
    case NN_HARD_SWISH:
    case NN_SCALE:
    case NN_LOOKUP: break;
  }
  return shape_set(top, in->c, in->h, in->w, fields);
}

/* Tensors ----------------------------------------------------------------- */

static void shape_text(char *to, size_t n, const int64_t *shape, int rank) {
  size_t at = (size_t)snprintf(to, n, "[");
  for (int i = 0; i < rank && at < n; i++) {
    at += shape[i] < 0
              ? (size_t)snprintf(to + at, n - at, i ? ", n" : "n")
              : (size_t)snprintf(to + at, n - at, i ? ", %lld" : "%lld",
                                 (long long)shape[i]);
  }
  if (at < n) snprintf(to + at, n - at, "]");
}

static int shape_same(const nn_tensor *tensor, int rank,
                      const int64_t *shape) {
  if (tensor->rank != rank) return 0;
  for (int i = 0; i < rank; i++) {
    if (shape[i] >= 0 && tensor->shape[i] != shape[i]) return 0;
  }
  return 1;
}

nn_status nn_layer_tensor(const nn_model *model, const nn_fields *fields,
                          const char *key, int required, int rank,
                          const int64_t *shape, nn_tensor **out) {
  const char *name = NULL;
  nn_status status = nn_field_string(fields, key, &name);
  *out = NULL;
  if (status) return status;
  if (!name) {
    return required ? nn_field_fail(fields, "no %s", key) : NN_OK;
  }
  nn_tensor *tensor = nn_model_tensor(model, name);
  if (!tensor) {
    return nn_field_fail(fields, "%s: there is no tensor %s", key,
                         nn_shown_name(name).text);
  }
  if (!shape_same(tensor, rank, shape)) {
    char has[64], wants[64];
    shape_text(has, sizeof(has), tensor->shape, tensor->rank);
    shape_text(wants, sizeof(wants), shape, rank);
    return nn_field_fail(fields, "%s has shape %s, expected %s", key, has,
                         wants);
  }
  *out = tensor;
  return NN_OK;
}

/* Its values as floats. */
static nn_status shape_floats(nn_model *model, const nn_fields *fields,
                              const char *key, int required, int rank,
                              const int64_t *shape, const float **out) {
  nn_tensor *tensor;
  nn_status status =
      nn_layer_tensor(model, fields, key, required, rank, shape, &tensor);
  *out = NULL;
  if (status || !tensor) return status;
  return nn_model_floats(model, tensor, out, fields->err);
}

/* The weights of an inner product, which may stay in 16 bits. */
static nn_status shape_product(nn_model *model, nn_layer *layer,
                               const nn_fields *fields,
                               const int64_t *shape) {
  nn_tensor *tensor;
  nn_status status =
      nn_layer_tensor(model, fields, "weight", 1, 2, shape, &tensor);
  if (status) return status;
  if (tensor->dtype == NN_F16) {
    return nn_model_halves(model, tensor, &layer->halves, fields->err);
  }
  return nn_model_floats(model, tensor, &layer->weight, fields->err);
}

/* A Scale's weight and bias have a value for each channel, or one for all. */
static nn_status shape_scale(nn_model *model, nn_layer *layer,
                             const nn_fields *fields) {
  const int64_t channels = model->blobs[layer->top].c, any = -1, one = 1;
  static const char *const keys[2] = {"weight", "bias"};
  for (int i = 0; i < 2; i++) {
    nn_tensor *tensor;
    nn_status status =
        nn_layer_tensor(model, fields, keys[i], !i, 1, &any, &tensor);
    if (status) return status;
    int single = tensor && tensor->count == 1;
    status = shape_floats(model, fields, keys[i], !i, 1,
                          single ? &one : &channels,
                          i ? &layer->bias : &layer->weight);
    if (status) return status;
    if (i) layer->biases = single ? 1 : (int)channels;
    else layer->weights = single ? 1 : (int)channels;
  }
  return NN_OK;
}

nn_status nn_layer_tensors(nn_model *model, nn_layer *layer,
                           const nn_fields *fields) {
  const nn_blob *in = layer->bottoms ? &model->blobs[layer->bottom[0]] : NULL;
  const nn_blob *top = &model->blobs[layer->top];
  int64_t shape[4] = {top->c, 0, 0, 0};
  int rank = 1, norm = layer->type == NN_BATCH_NORM;
  nn_status status;
  if (layer->type == NN_SCALE) return shape_scale(model, layer, fields);
  if (layer->type == NN_CONVOLUTION) {
    rank = 4;
    shape[1] = in->c / layer->group;
    shape[2] = layer->kernel[0];
    shape[3] = layer->kernel[1];
  } else if (layer->type == NN_INNER_PRODUCT) {
    rank = 2;
    shape[1] = (int64_t)in->size;
  } else if (layer->type == NN_CONSTANT) {
    rank = 3;
    shape[1] = top->h;
    shape[2] = top->w;
  } else if (!norm) {
    return NN_OK;
  }
  status = layer->type == NN_INNER_PRODUCT
               ? shape_product(model, layer, fields, shape)
               : shape_floats(model, fields, "weight", !norm, rank, shape,
                              &layer->weight);
  if (status == NN_OK) {
    status = shape_floats(model, fields, "bias", 0, 1, shape, &layer->bias);
  }
  if (status == NN_OK && norm) {
    status = shape_floats(model, fields, "mean", 1, 1, shape, &layer->mean);
  }
  if (status == NN_OK && norm) {
    status =
        shape_floats(model, fields, "variance", 1, 1, shape, &layer->variance);
  }
  return status;
}

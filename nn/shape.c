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

/* Eltwise: all alike.  Concat: alike but for the channels, which add up. */
static nn_status shape_join(const nn_model *model, const nn_layer *layer,
                            nn_blob *top, const nn_fields *fields) {
  const nn_blob *first = &model->blobs[layer->bottom[0]];
  int64_t channels = 0;
  int concat = layer->type == NN_CONCAT;
  for (int i = 0; i < layer->bottoms; i++) {
    const nn_blob *in = &model->blobs[layer->bottom[i]];
    if (in->h != first->h || in->w != first->w ||
        (!concat && in->c != first->c)) {
      return nn_field_fail(fields,
                           "%s is %d x %d x %d, which does not go with "
                           "%d x %d x %d",
                           nn_shown_name(in->name).text, in->c, in->h, in->w,
                           first->c, first->h, first->w);
    }
    channels += in->c;
  }
  return shape_set(top, concat ? channels : first->c, first->h, first->w,
                   fields);
}

nn_status nn_layer_shape(const nn_model *model, nn_layer *layer,
                         int num_output, const nn_fields *fields) {
  const nn_blob *in = &model->blobs[layer->bottom[0]];
  nn_blob *top = &model->blobs[layer->top];
  switch (layer->type) {
    case NN_CONVOLUTION:
      if (in->c % layer->group || num_output % layer->group) {
        return nn_field_fail(fields,
                             "%d groups do not divide %d channels into %d",
                             layer->group, in->c, num_output);
      }
      return shape_window(layer, in, num_output, top, fields);
    case NN_POOLING:
      for (int i = 0; i < 4; i++) {
        if (layer->pad[i] >= layer->kernel[i % 2]) {
          return nn_field_fail(fields, "padding of %d for a kernel of %d",
                               layer->pad[i], layer->kernel[i % 2]);
        }
      }
      return shape_window(layer, in, in->c, top, fields);
    case NN_INNER_PRODUCT:
      return shape_set(top, num_output, 1, 1, fields);
    case NN_FLATTEN:
      return shape_set(top, (int64_t)in->size, 1, 1, fields);
    case NN_ELTWISE:
    case NN_CONCAT:
      return shape_join(model, layer, top, fields);
    case NN_LRN:
    case NN_RELU:
    case NN_SIGMOID:
    case NN_SOFTMAX:
    case NN_BATCH_NORM:
    case NN_MIRROR_MEAN:
      break;
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

nn_status nn_layer_tensors(nn_model *model, nn_layer *layer,
                           const nn_fields *fields) {
  const nn_blob *in = &model->blobs[layer->bottom[0]];
  const nn_blob *top = &model->blobs[layer->top];
  int64_t shape[4] = {top->c, 0, 0, 0};
  int rank = 1, norm = layer->type == NN_BATCH_NORM;
  nn_status status;
  if (layer->type == NN_CONVOLUTION) {
    rank = 4;
    shape[1] = in->c / layer->group;
    shape[2] = layer->kernel[0];
    shape[3] = layer->kernel[1];
  } else if (layer->type == NN_INNER_PRODUCT) {
    rank = 2;
    shape[1] = (int64_t)in->size;
  } else if (!norm) {
    return NN_OK;
  }
  status = shape_floats(model, fields, "weight", !norm, rank, shape,
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

/*
** Caffe's layers that were trained: filters, inner products, norms, scales.
**
** A trained blob has a shape of its own, or, in files of before 2014, four
** numbers of which the first are 1 where there are fewer axes.  So two shapes
** are the same when they are, less the ones in front.  A blob that is missing
** or has another shape is an error that says which was expected: it is how a
** network and weights that do not belong together show.
*/
#include <math.h>
#include <string.h>

#include "caffe.h"

/* Blobs -------------------------------------------------------------------- */

static int filters_shape(const Caffe__BlobProto *blob, int64_t shape[8]) {
  if (!blob->shape) {
    shape[0] = blob->num;
    shape[1] = blob->channels;
    shape[2] = blob->height;
    shape[3] = blob->width;
    return 4;
  }
  int rank = blob->shape->n_dim > 8 ? 8 : (int)blob->shape->n_dim;
  for (int i = 0; i < rank; i++) shape[i] = blob->shape->dim[i];
  return rank;
}

static int filters_same(int a_rank, const int64_t *a, int b_rank,
                        const int64_t *b) {
  while (a_rank && *a == 1) a_rank--, a++;
  while (b_rank && *b == 1) b_rank--, b++;
  if (a_rank != b_rank) return 0;
  for (int i = 0; i < a_rank; i++) {
    if (a[i] != b[i]) return 0;
  }
  return 1;
}

/* The values of trained blob i, which is called `what` and must have the
** shape.  Doubles become floats. */
static nn_status filters_blob(caffe_net *net, const caffe_layer *l, size_t i,
                              const char *what, int rank,
                              const int64_t *shape, const float **out) {
  import *im = net->im;
  int64_t has[8];
  size_t count = 1;
  *out = NULL;
  if (i >= l->blobs) {
    return import_fail(im, l->p.name, "%s of %s are missing: %s has %s",
                       what, import_shape_text(im, rank, shape), net->weights,
                       l->trained ? "not as many blobs for this layer"
                                  : "no blobs for a layer of this name");
  }
  const Caffe__BlobProto *blob = l->blob[i];
  int has_rank = filters_shape(blob, has);
  for (int k = 0; k < rank; k++) count = nn_mul(count, (size_t)shape[k]);
  if (!filters_same(rank, shape, has_rank, has)) {
    return import_fail(im, l->p.name, "%s of %s were expected, and %s has %s",
                       what, import_shape_text(im, rank, shape), net->weights,
                       import_shape_text(im, has_rank, has));
  }
  size_t values = blob->n_data ? blob->n_data : blob->n_double_data;
  if (values != count) {
    return import_fail(im, l->p.name, "%s of %s were expected, and %s has %zu "
                       "values", what, import_shape_text(im, rank, shape),
                       net->weights, values);
  }
  *out = blob->data;
  if (blob->n_data) return NN_OK;
  float *copy = import_alloc(im, count, sizeof(*copy));
  if (!copy) return NN_NOMEM;
  for (size_t k = 0; k < count; k++) copy[k] = (float)blob->double_data[k];
  *out = copy;
  return NN_OK;
}

/* Blob i as the layer's member `key`. */
static nn_status filters_member(caffe_net *net, const caffe_layer *l, size_t i,
                                const char *what, int rank,
                                const int64_t *shape, import_layer *layer,
                                const char *key) {
  const float *values = NULL;
  nn_status status = filters_blob(net, l, i, what, rank, shape, &values);
  if (status) return status;
  return import_weights(net->im, layer, key, rank, shape, values);
}

static nn_status filters_outputs(caffe_net *net, const caffe_layer *l, int has,
                                 uint32_t n) {
  if (has && n >= 1 && n <= 1 << 24) return NN_OK;
  return import_fail(net->im, l->p.name, "num_output of 1 to %d was expected",
                     1 << 24);
}

/* Convolution -------------------------------------------------------------- */

static nn_status filters_geometry(caffe_net *net, const caffe_layer *l,
                                  const Caffe__ConvolutionParameter *c,
                                  int pad, import_layer *layer) {
  import *im = net->im;
  const import_layer *in = layer->bottom[0];
  int kernel[2], stride[2], dilation[2], pads[4];
  nn_status status =
      caffe_pair(net, l, "kernel_size", c->n_kernel_size, c->kernel_size,
                 c->has_kernel_h, c->kernel_h, c->has_kernel_w, c->kernel_w, 0,
                 kernel);
  if (!status) {
    status = caffe_pair(net, l, "stride", c->n_stride, c->stride,
                        c->has_stride_h, c->stride_h, c->has_stride_w,
                        c->stride_w, 1, stride);
  }
  if (!status) {
    status = caffe_pair(net, l, "pad", c->n_pad, c->pad, c->has_pad_h,
                        c->pad_h, c->has_pad_w, c->pad_w, 0, pads);
  }
  if (!status) {
    status = caffe_pair(net, l, "dilation", c->n_dilation, c->dilation, 0, 0,
                        0, 0, 1, dilation);
  }
  if (status) return status;
  for (int i = 0; i < 2; i++) {
    int64_t reach = (int64_t)dilation[i] * (kernel[i] - 1) + 1;
    pads[i] += pad;
    pads[i + 2] = pads[i];
    layer->shape[1 + i] = caffe_side(net, l, in->shape[1 + i], 2 * pads[i],
                                     reach, stride[i], 0);
    if (!layer->shape[1 + i]) return NN_MODEL;
  }
  status = import_ints(im, layer, "kernel_size", 2, kernel);
  if (!status && (stride[0] > 1 || stride[1] > 1)) {
    status = import_ints(im, layer, "stride", 2, stride);
  }
  if (!status && (pads[0] || pads[1])) {
    status = import_ints(im, layer, "pad", 4, pads);
  }
  if (!status && (dilation[0] > 1 || dilation[1] > 1)) {
    status = import_ints(im, layer, "dilation", 2, dilation);
  }
  return status;
}

nn_status caffe_convolution(caffe_net *net, const caffe_layer *l,
                            caffe_blob *in, import_layer **out) {
  import *im = net->im;
  const Caffe__ConvolutionParameter *c = l->p.convolution_param;
  if (!c) return import_fail(im, l->p.name, "convolution_param is missing");
  nn_status status =
      filters_outputs(net, l, c->has_num_output, c->num_output);
  if (status) return status;
  int channels = in->layer->shape[0], outputs = (int)c->num_output;
  if (c->axis != 1 && c->axis != -3) {
    return import_fail(im, l->p.name, "axis %d; 1 is supported", c->axis);
  }
  if (!c->group || c->group > (uint32_t)channels ||
      (uint32_t)channels % c->group || (uint32_t)outputs % c->group) {
    return import_fail(im, l->p.name, "%u groups of %d channels into %d",
                       c->group, channels, outputs);
  }
  import_layer *layer = import_add(im, l->p.name, "Convolution", in->layer);
  if (!layer) return NN_MODEL;
  *out = layer;
  layer->shape[0] = outputs;
  status = import_int(im, layer, "num_output", outputs);
  if (!status) status = filters_geometry(net, l, c, in->pad, layer);
  if (!status && c->group > 1) {
    status = import_int(im, layer, "group", (int)c->group);
  }
  if (status) return status;
  const int *kernel = import_get(layer, "kernel_size")->ints;
  int64_t shape[4] = {outputs, channels / (int)c->group, kernel[0], kernel[1]};
  status = filters_member(net, l, 0, "weights", 4, shape, layer, "weight");
  if (status || !c->bias_term) return status;
  return filters_member(net, l, 1, "biases", 1, shape, layer, "bias");
}

/* Inner product ------------------------------------------------------------ */

nn_status caffe_inner_product(caffe_net *net, const caffe_layer *l,
                              caffe_blob *in, import_layer **out) {
  import *im = net->im;
  const Caffe__InnerProductParameter *p = l->p.inner_product_param;
  if (!p) return import_fail(im, l->p.name, "inner_product_param is missing");
  nn_status status =
      filters_outputs(net, l, p->has_num_output, p->num_output);
  if (status) return status;
  if (p->axis != 1 && p->axis != 1 - in->rank) {
    return import_fail(im, l->p.name, "axis %d; 1 is supported", p->axis);
  }
  import_layer *layer = import_add(im, l->p.name, "InnerProduct", in->layer);
  if (!layer) return NN_MODEL;
  *out = layer;
  const int *chw = in->layer->shape;
  int64_t shape[2] = {p->num_output, (int64_t)chw[0] * chw[1] * chw[2]};
  const int64_t turned[2] = {shape[1], shape[0]};
  const float *weights = NULL;
  layer->shape[0] = (int)shape[0];
  layer->shape[1] = layer->shape[2] = 1;
  status = import_int(im, layer, "num_output", (int)shape[0]);
  if (!status) {
    status = filters_blob(net, l, 0, "weights", 2, p->transpose ? turned
                                                                : shape,
                          &weights);
  }
  if (!status && p->transpose) {
    size_t rows = (size_t)shape[0], columns = (size_t)shape[1];
    float *copy = import_alloc(im, nn_mul(rows, columns), sizeof(*copy));
    if (!copy) return NN_NOMEM;
    for (size_t i = 0; i < rows; i++) {
      for (size_t j = 0; j < columns; j++) {
        copy[i * columns + j] = weights[j * rows + i];
      }
    }
    weights = copy;
  }
  if (!status) {
    status = import_weights(im, layer, "weight", 2, shape, weights);
  }
  if (status || !p->bias_term) return status;
  return filters_member(net, l, 1, "biases", 1, shape, layer, "bias");
}

/* Norms and scales --------------------------------------------------------- */

nn_status caffe_affine(caffe_net *net, const char *name, import_layer *in,
                       const float *weight, const float *bias,
                       import_layer **out) {
  import *im = net->im;
  const int64_t channels = in->shape[0];
  float *zeros = import_alloc(im, (size_t)channels, sizeof(float));
  float *ones = import_alloc(im, (size_t)channels, sizeof(float));
  if (!zeros || !ones) return NN_NOMEM;
  for (int64_t c = 0; c < channels; c++) ones[c] = 1;
  nn_status status = caffe_add(net, name, "BatchNorm", in, out);
  if (status) return status;
  status = import_weights(im, *out, "mean", 1, &channels, zeros);
  if (!status) {
    status = import_weights(im, *out, "variance", 1, &channels, ones);
  }
  if (!status) status = import_float(im, *out, "eps", 0);
  if (!status) {
    status = import_weights(im, *out, "weight", 1, &channels, weight);
  }
  if (status || !bias) return status;
  return import_weights(im, *out, "bias", 1, &channels, bias);
}

/* Three blobs: sums of means and of variances, and by how much both are too
** large (the moving average of ones; 0 when nothing was added yet). */
nn_status caffe_batch_norm(caffe_net *net, const caffe_layer *l,
                           caffe_blob *in, import_layer **out) {
  import *im = net->im;
  static const char *const keys[2] = {"mean", "variance"};
  static const char *const names[2] = {"means", "variances"};
  const int64_t channels = in->layer->shape[0], one = 1;
  const float *sums[2], *factor;
  float eps = l->p.batch_norm_param ? l->p.batch_norm_param->eps : 1e-5f;
  nn_status status = caffe_add(net, l->p.name, "BatchNorm", in->layer, out);
  for (size_t i = 0; i < 2 && !status; i++) {
    status = filters_blob(net, l, i, names[i], 1, &channels, &sums[i]);
  }
  if (!status) {
    status = filters_blob(net, l, 2, "a factor", 1, &one, &factor);
  }
  for (size_t i = 0; i < 2 && !status; i++) {
    float *values = import_alloc(im, (size_t)channels, sizeof(float));
    if (!values) return NN_NOMEM;
    for (int64_t c = 0; c < channels; c++) {
      values[c] = *factor ? sums[i][c] / *factor : 0;
    }
    status = import_weights(im, *out, keys[i], 1, &channels, values);
  }
  if (!status && !(eps >= 0 && eps < 1e30f)) {
    status = import_fail(im, l->p.name, "eps is not a positive number");
  }
  return status ? status : import_float(im, *out, "eps", eps);
}

/* A second blob of a number for each channel (axis 0: of each image). */
static nn_status filters_gate(caffe_net *net, const caffe_layer *l,
                              caffe_blob *in, caffe_blob *by,
                              import_layer **out) {
  import *im = net->im;
  const Caffe__ScaleParameter *p = l->p.scale_param;
  if (!p || p->axis != 0 || by->rank != 2 || p->bias_term ||
      by->layer->shape[0] != in->layer->shape[0]) {
    return import_fail(im, l->p.name, "axis 0, no bias_term and, as the second "
                       "bottom, a number for each of %d channels were expected",
                       in->layer->shape[0]);
  }
  nn_status status = caffe_add(net, l->p.name, "Eltwise", in->layer, out);
  if (!status) status = import_bottom(im, *out, by->layer);
  return status ? status : import_string(im, *out, "operation", "PROD");
}

/* By trained numbers for each channel, or by a second blob. */
nn_status caffe_scale(caffe_net *net, const caffe_layer *l, caffe_blob *in,
                      import_layer **out) {
  import *im = net->im;
  const Caffe__ScaleParameter *p = l->p.scale_param;
  const int64_t channels = in->layer->shape[0];
  const float *weight, *bias = NULL;
  int has_bias = p && p->bias_term;
  if (l->p.n_bottom == 2) {
    caffe_blob *by;
    nn_status found = caffe_read(net, l, 1, &by);
    return found ? found : filters_gate(net, l, in, by, out);
  }
  if (p && (p->axis != 1 || p->num_axes != 1)) {
    return import_fail(im, l->p.name, "axis %d, num_axes %d; 1 and 1 are "
                       "supported: a number for each channel", p->axis,
                       p->num_axes);
  }
  nn_status status =
      filters_blob(net, l, 0, "factors", 1, &channels, &weight);
  if (!status && has_bias) {
    status = filters_blob(net, l, 1, "biases", 1, &channels, &bias);
  }
  if (status) return status;
  return caffe_affine(net, l->p.name, in->layer, weight, bias, out);
}

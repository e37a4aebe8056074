/*
** Caffe's layers without trained blobs, that read one blob and write one:
** pooling, normalisation, functions of one number, other shapes.
**
** Each is said in the terms of the model file (weights/README.md), with Caffe's
** defaults and rounding; what these terms cannot say is refused by the layer's
** name and what was expected.
**
** Not here: layers that were trained (caffe_filters.c), and those of several
** bottoms or tops (caffe.c).
*/
#include <math.h>
#include <string.h>

#include "caffe.h"

/* Pooling ------------------------------------------------------------------ */

static nn_status caffe_pool_window(caffe_net *net, const caffe_layer *l,
                                   const Caffe__PoolingParameter *p,
                                   import_layer *layer) {
  import *im = net->im;
  int kernel[2], stride[2], pads[4], floors = p->round_mode;
  nn_status status =
      caffe_pair(net, l, "kernel_size", p->has_kernel_size, &p->kernel_size,
                 p->has_kernel_h, p->kernel_h, p->has_kernel_w, p->kernel_w, 0,
                 kernel);
  if (!status) {
    status = caffe_pair(net, l, "stride", 1, &p->stride, p->has_stride_h,
                        p->stride_h, p->has_stride_w, p->stride_w, 1, stride);
  }
  if (!status) {
    status = caffe_pair(net, l, "pad", p->has_pad, &p->pad, p->has_pad_h,
                        p->pad_h, p->has_pad_w, p->pad_w, 0, pads);
  }
  if (status) return status;
  for (int i = 0; i < 2; i++) {
    int64_t side = layer->bottom[0]->shape[1 + i];
    pads[i + 2] = pads[i];
    if (pads[i] >= kernel[i]) {
      return import_fail(im, l->p.name, "pad %d for a kernel of %d; less than "
                         "the kernel was expected", pads[i], kernel[i]);
    }
    int64_t n = caffe_side(net, l, side, 2 * pads[i], kernel[i], stride[i],
                           !floors);
    if (!n) return NN_MODEL;
    /* as Caffe clips it, or, without padding, does not */
    if (!floors && (n - 1) * stride[i] >= side + pads[i]) {
      if (!pads[0] && !pads[1]) {
        return import_fail(im, l->p.name, "stride %d leaves a last window "
                           "without pixels", stride[i]);
      }
      n--;
    }
    layer->shape[1 + i] = (int)n;
  }
  status = import_ints(im, layer, "kernel_size", 2, kernel);
  if (!status) status = import_ints(im, layer, "stride", 2, stride);
  if (!status && (pads[0] || pads[1])) {
    status = import_ints(im, layer, "pad", 4, pads);
  }
  if (!status && floors) {
    status = import_string(im, layer, "round_mode", "FLOOR");
  }
  return status;
}

nn_status caffe_pooling(caffe_net *net, const caffe_layer *l,
                        caffe_blob *in, import_layer **out) {
  import *im = net->im;
  const Caffe__PoolingParameter *p = l->p.pooling_param;
  if (!p) return import_fail(im, l->p.name, "pooling_param is missing");
  if (p->pool != CAFFE__POOLING_PARAMETER__POOL_METHOD__MAX &&
      p->pool != CAFFE__POOLING_PARAMETER__POOL_METHOD__AVE) {
    return import_fail(im, l->p.name, "STOCHASTIC pooling is not supported; "
                       "MAX and AVE are");
  }
  if (p->round_mode != CAFFE__POOLING_PARAMETER__ROUND_MODE__CEIL &&
      p->round_mode != CAFFE__POOLING_PARAMETER__ROUND_MODE__FLOOR) {
    return import_fail(im, l->p.name, "round_mode %d", (int)p->round_mode);
  }
  nn_status status = caffe_plain(net, l, "Pooling", in, out);
  if (!status) {
    status = import_string(
        im, *out, "pool",
        p->pool == CAFFE__POOLING_PARAMETER__POOL_METHOD__MAX ? "MAX" : "AVE");
  }
  if (status) return status;
  if (!p->global_pooling) return caffe_pool_window(net, l, p, *out);
  (*out)->shape[1] = (*out)->shape[2] = 1;
  return import_boolean(im, *out, "global_pooling", 1);
}

/* Layers without weights --------------------------------------------------- */

nn_status caffe_lrn(caffe_net *net, const caffe_layer *l,
                    caffe_blob *in, import_layer **out) {
  import *im = net->im;
  Caffe__LRNParameter otherwise = CAFFE__LRNPARAMETER__INIT;
  const Caffe__LRNParameter *p = l->p.lrn_param ? l->p.lrn_param : &otherwise;
  if (p->norm_region != CAFFE__LRNPARAMETER__NORM_REGION__ACROSS_CHANNELS) {
    return import_fail(im, l->p.name, "norm_region WITHIN_CHANNEL is not "
                       "supported; ACROSS_CHANNELS is");
  }
  if (p->local_size % 2 == 0 || p->local_size > NN_SIDE_MAX) {
    return import_fail(im, l->p.name, "local_size %u; an odd number was "
                       "expected", p->local_size);
  }
  nn_status status = caffe_plain(net, l, "LRN", in, out);
  if (!status) {
    status = import_int(im, *out, "local_size", (int)p->local_size);
  }
  if (!status) status = import_float(im, *out, "alpha", p->alpha);
  if (!status) status = import_float(im, *out, "beta", p->beta);
  return status || p->k == 1 ? status : import_float(im, *out, "k", p->k);
}

nn_status caffe_relu(caffe_net *net, const caffe_layer *l,
                     caffe_blob *in, import_layer **out) {
  const Caffe__ReLUParameter *p = l->p.relu_param;
  nn_status status = caffe_plain(net, l, "ReLU", in, out);
  if (status || !p || p->negative_slope == 0) return status;
  return import_float(net->im, *out, "negative_slope", p->negative_slope);
}

nn_status caffe_sigmoid(caffe_net *net, const caffe_layer *l,
                        caffe_blob *in, import_layer **out) {
  return caffe_plain(net, l, "Sigmoid", in, out);
}

nn_status caffe_softmax(caffe_net *net, const caffe_layer *l,
                        caffe_blob *in, import_layer **out) {
  const Caffe__SoftmaxParameter *p = l->p.softmax_param;
  if (p && p->axis != 1 && p->axis != 1 - in->rank) {
    return import_fail(net->im, l->p.name, "axis %d; 1 is supported", p->axis);
  }
  return caffe_plain(net, l, "Softmax", in, out);
}

/* One factor and one addend for all channels. */
static nn_status caffe_linear(caffe_net *net, const char *name,
                              import_layer *in, float factor, float addend,
                              import_layer **out) {
  import *im = net->im;
  const int64_t one = 1;
  float *values = import_alloc(im, 2, sizeof(float));
  if (!values) return NN_NOMEM;
  values[0] = factor;
  values[1] = addend;
  nn_status status = caffe_add(net, name, "Scale", in, out);
  if (!status) status = import_weights(im, *out, "weight", 1, &one, values);
  if (status || addend == 0) return status;
  return import_weights(im, *out, "bias", 1, &one, values + 1);
}

nn_status caffe_power(caffe_net *net, const caffe_layer *l,
                      caffe_blob *in, import_layer **out) {
  Caffe__PowerParameter otherwise = CAFFE__POWER_PARAMETER__INIT;
  const Caffe__PowerParameter *p =
      l->p.power_param ? l->p.power_param : &otherwise;
  if (p->power != 1) {
    return import_fail(net->im, l->p.name, "power %g; 1 is supported",
                       (double)p->power);
  }
  return caffe_linear(net, l->p.name, in->layer, p->scale, p->shift, out);
}

/* tanh(x) = 2 * sigmoid(2 * x) - 1 */
nn_status caffe_tanh(caffe_net *net, const caffe_layer *l,
                     caffe_blob *in, import_layer **out) {
  import *im = net->im;
  import_layer *twice, *sigmoid;
  char *first = import_unique(im, import_print(im, "%.900s_twice", l->p.name));
  char *second = import_unique(im,
                               import_print(im, "%.900s_half", l->p.name));
  if (!first || !second) return NN_NOMEM;
  nn_status status = caffe_linear(net, first, in->layer, 2, 0, &twice);
  if (!status) status = caffe_add(net, second, "Sigmoid", twice, &sigmoid);
  return status ? status
                : caffe_linear(net, l->p.name, sigmoid, 2, -1, out);
}

nn_status caffe_flatten(caffe_net *net, const caffe_layer *l,
                        caffe_blob *in, import_layer **out) {
  const Caffe__FlattenParameter *p = l->p.flatten_param;
  if (p && (p->axis != 1 || (p->end_axis != -1 &&
                             p->end_axis != in->rank - 1))) {
    return import_fail(net->im, l->p.name, "axis %d to %d; 1 to the last are "
                       "supported", p->axis, p->end_axis);
  }
  nn_status status = caffe_plain(net, l, "Flatten", in, out);
  if (status) return status;
  int *shape = (*out)->shape;
  int64_t n = (int64_t)shape[0] * shape[1] * shape[2];
  if (n > INT32_MAX) return import_fail(net->im, l->p.name, "too large");
  shape[0] = (int)n;
  shape[1] = shape[2] = 1;
  return NN_OK;
}

nn_status caffe_reshape(caffe_net *net, const caffe_layer *l,
                        caffe_blob *in, import_layer **out) {
  import *im = net->im;
  const Caffe__ReshapeParameter *p = l->p.reshape_param;
  const int *from = in->layer->shape;
  int64_t total = (int64_t)from[0] * from[1] * from[2], known = 1;
  int dims[3] = {1, 1, 1}, free = -1;
  if (!p || !p->shape || p->axis != 0 || p->num_axes != -1 ||
      p->shape->n_dim < 2 || p->shape->n_dim > 4 || p->shape->dim[0] != 0) {
    return import_fail(im, l->p.name, "a shape of 2 to 4 numbers was expected, "
                       "the first of them 0, and no axis");
  }
  for (int i = 0; i < (int)p->shape->n_dim - 1; i++) {
    int64_t side = p->shape->dim[i + 1];
    if (side == 0) side = from[i];
    if (side == -1 && free < 0) free = i;
    else if (side < 1 || side > total) return import_fail(im, l->p.name,
                                                          "no such shape");
    else dims[i] = (int)side;
    if (side != -1) known *= side;
    if (known > total) return import_fail(im, l->p.name, "no such shape");
  }
  if (free >= 0 && total / known <= NN_SIDE_MAX * (int64_t)NN_SIDE_MAX &&
      total / known <= INT32_MAX) {
    dims[free] = (int)(total / known);
    known *= dims[free];
  }
  if (known != total) {
    return import_fail(im, l->p.name, "%lld values were expected, and the "
                       "shape has %lld", (long long)total, (long long)known);
  }
  int flat = dims[1] == 1 && dims[2] == 1;
  nn_status status =
      caffe_plain(net, l, flat ? "Flatten" : "Reshape", in, out);
  if (status) return status;
  memcpy((*out)->shape, dims, sizeof(dims));
  return flat ? NN_OK : import_ints(im, *out, "dims", 3, dims);
}

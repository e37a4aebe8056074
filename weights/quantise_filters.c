/*
** Convolutions and inner products as integers.
**
** Weights are -127 to 127 times a unit for each output channel (what a Softmax
** reads has one unit for all), the unit of the least squared error.  A sum's
** unit is the weight's times the input's, rounded to 16 bits, and the weight's
** is made to fit.  It is at least 2^-24 of the layer's largest and |bias| /
** 2^29, and doubled until no sum can leave 32 bits.
**
** What quantised weights and inputs get wrong is not 0 on average.  The mean
** of it is taken out of the bias, layer by layer, each behind the quantised
** layers before it.  It needs no forward pass: the mean of a channel over
** pictures and positions is linear in the mean of what each tap of the filter
** sees.
*/
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "quantise.h"

/* Sums stay that much below 2^31, since the bias will still move. */
#define FILTERS_LIMIT (0x1p31 - 0x1p28)

typedef struct filters_work {
  const nn_blob *in;
  double *unit, *bias;     /* of each output channel */
  double *tap;             /* [in->c][taps]: mean of q - zero point */
  int8_t *q;               /* [c][row] */
} filters_work;

/* Units ------------------------------------------------------------------- */

static int filters_for_softmax(const quantise *q, const quantise_node *node) {
  quantise_node *reader[NN_LAYER_MAX];
  int n = quantise_readers(q, node, reader, NN_LAYER_MAX), softmax = 0;
  for (int i = 0; i < n; i++) softmax |= reader[i]->type == NN_SOFTMAX;
  return softmax;
}

static void filters_first_units(const quantise_node *node, int one,
                                filters_work *w) {
  double error, most = 0, scale = (double)w->in->quant.scale;
  size_t outputs = (size_t)node->c;
  for (size_t o = 0; o < outputs; o++) {
    if (one && o) {
      w->unit[o] = w->unit[0];
    } else {
      quantise_weight_unit(node->weight + o * node->row,
                           one ? outputs * node->row : node->row, &w->unit[o],
                           &error);
      w->unit[o] *= scale;
    }
    most = fmax(most, w->unit[o]);
  }
  for (size_t o = 0; o < outputs; o++) {
    double unit = fmax(w->unit[o], most * 0x1p-24);
    unit = fmax(unit, fabs(w->bias[o]) * 0x1p-29);
    w->unit[o] =
        quantise_round16(fmax(unit > 0 ? unit : scale, 0x1p-60));
  }
}

/* The weights of filter o, and the most that its sum can become. */
static double filters_round(const quantise_node *node, filters_work *w,
                            int o) {
  const float *weight = node->weight + (size_t)o * node->row;
  int8_t *to = w->q + (size_t)o * node->row;
  int channels = w->in->c / node->group;
  int first = o / (node->c / node->group) * channels;
  size_t taps = node->row / (size_t)channels;
  double unit = w->unit[o] / (double)w->in->quant.scale;
  double size = 0, offset = 0;
  for (size_t i = 0; i < node->row; i++) {
    double x = rint(weight[i] / unit);
    x = fmin(fmax(x, -QUANTISE_WEIGHT), QUANTISE_WEIGHT);
    to[i] = (int8_t)x;
    size += fabs(x);
    offset += x * nn_int_zero(w->in, (size_t)first + i / taps);
  }
  return fabs(rint(w->bias[o] / w->unit[o]) - offset) +
         w->in->quant.max * size;
}

static void filters_units(const quantise_node *node, int one,
                          filters_work *w) {
  int again = 1;
  filters_first_units(node, one, w);
  while (again) {
    double most = 0;
    for (int o = 0; one && o < node->c; o++) most = fmax(most, w->unit[o]);
    again = 0;
    for (int o = 0; o < node->c; o++) {
      if (one) w->unit[o] = most;
      while (filters_round(node, w, o) >= FILTERS_LIMIT) {
        w->unit[o] *= 2;
        again = one;
      }
    }
  }
}

/* The bias ---------------------------------------------------------------- */

/* The mean picture: of each position and channel, q - zero point. */
static double *filters_mean_picture(const quantise *q,
                                    const quantise_node *bottom) {
  const nn_blob *in = &q->draft->blobs[bottom->made];
  size_t stride = nn_int_stride(in), n = in->slots * 4;
  uint32_t *sum = calloc(n, sizeof(*sum));
  double *mean = malloc(n * sizeof(*mean));
  if (!sum || !mean) {
    free(sum);
    free(mean);
    return NULL;
  }
  for (int i = 0; i < q->batch; i++) {
    const uint8_t *from = bottom->bytes + (size_t)i * n;
    for (size_t k = 0; k < n; k++) sum[k] += from[k];
  }
  for (size_t k = 0; k < n; k++) {
    size_t c = k % stride;
    mean[k] = (double)sum[k] / q->batch;
    if (c < (size_t)in->c) mean[k] -= nn_int_zero(in, c);
  }
  free(sum);
  return mean;
}

static void filters_tap(const quantise_node *node, const nn_blob *in,
                        const double *mean, int ky, int kx, double *tap) {
  size_t stride = nn_int_stride(in), taps = (size_t)node->kernel[0] *
                                            (size_t)node->kernel[1];
  size_t at = (size_t)ky * (size_t)node->kernel[1] + (size_t)kx;
  for (int y = 0; y < node->h; y++) {
    int64_t iy = (int64_t)y * node->stride[0] - node->pad[0] +
                 (int64_t)ky * node->dilation[0];
    if (iy < 0 || iy >= in->h) continue;
    for (int x = 0; x < node->w; x++) {
      int64_t ix = (int64_t)x * node->stride[1] - node->pad[1] +
                   (int64_t)kx * node->dilation[1];
      if (ix < 0 || ix >= in->w) continue;
      const double *from = mean + (size_t)(iy * in->w + ix) * stride;
      for (size_t c = 0; c < (size_t)in->c; c++) tap[c * taps + at] += from[c];
    }
  }
}

static nn_status filters_taps(quantise *q, const quantise_node *node,
                              filters_work *w) {
  size_t n = nn_mul((size_t)w->in->c, (size_t)node->kernel[0] *
                                          (size_t)node->kernel[1]);
  double *mean = filters_mean_picture(q, node->bottom[0]);
  w->tap = calloc(n, sizeof(double));
  if (!mean || !w->tap) {
    free(mean);
    return nn_fail(q->err, NN_NOMEM, "out of memory");
  }
  for (int ky = 0; ky < node->kernel[0]; ky++) {
    for (int kx = 0; kx < node->kernel[1]; kx++) {
      filters_tap(node, w->in, mean, ky, kx, w->tap);
    }
  }
  for (size_t i = 0; i < n; i++) w->tap[i] /= (double)node->h * node->w;
  free(mean);
  return NN_OK;
}

static void filters_correct(const quantise_node *node, filters_work *w) {
  size_t channels = (size_t)(w->in->c / node->group);
  size_t taps = node->row / channels;
  for (int o = 0; o < node->c; o++) {
    size_t first = (size_t)(o / (node->c / node->group)) * channels;
    const int8_t *weight = w->q + (size_t)o * node->row;
    const double *tap = w->tap + first * taps;
    double sum = 0, limit = w->unit[o] * 0x1p27;
    for (size_t i = 0; i < node->row; i++) sum += weight[i] * tap[i];
    double wrong = sum * w->unit[o] + w->bias[o] - node->mean[o];
    w->bias[o] -= fmin(fmax(wrong, -limit), limit);
  }
}

/* Emission ---------------------------------------------------------------- */

static void filters_geometry(quantise *q, const quantise_node *node) {
  static const char *const keys[] = {"num_output", "kernel_size", "stride",
                                     "pad",        "dilation",    "group",
                                     NULL};
  if (node->json) {
    quantise_copy(q, node, keys);
    return;
  }
  nn_text_add(&q->text, ",\"num_output\":%d,\"kernel_size\":[%d,%d],"
              "\"group\":%d", node->c, node->kernel[0], node->kernel[1],
              node->group);
}

/* multiplier and shift of each channel, from sums of such units to a scale. */
nn_status quantise_requantise(quantise *q, const quantise_node *node,
                              const double *unit, int n, double scale) {
  const int64_t shape = n;
  int32_t *m = quantise_alloc(q, (size_t)n, 4);
  int32_t *s = quantise_alloc(q, (size_t)n, 4);
  if (!m || !s) return q->err->status;
  for (int c = 0; c < n; c++) {
    if (quantise_fraction(unit[c] / scale, &m[c], &s[c])) continue;
    return nn_fail(q->err, NN_MODEL, "layer %s: the ratio of its scales is "
                   "2^30 or more", nn_shown_name(node->name).text);
  }
  nn_status status =
      quantise_tensor(q, node, "multiplier", NN_I32, 1, &shape, m);
  return status ? status
                : quantise_tensor(q, node, "shift", NN_I32, 1, &shape, s);
}

static nn_status filters_bias(quantise *q, const quantise_node *node,
                              filters_work *w) {
  const int64_t shape = node->c;
  int32_t *bias = quantise_alloc(q, (size_t)node->c, 4);
  if (!bias) return q->err->status;
  for (int o = 0; o < node->c; o++) {
    bias[o] = (int32_t)rint(w->bias[o] / w->unit[o]);
    int64_t worst = (int64_t)filters_round(node, w, o);
    if (worst > q->largest) {
      q->largest = worst;
      q->largest_name = node->name;
    }
    q->above24 += worst > 1 << 24;
    q->filters++;
  }
  return quantise_tensor(q, node, "bias", NN_I32, 1, &shape, bias);
}

static nn_status filters_outputs(quantise *q, quantise_node *node,
                                 filters_work *w) {
  const int64_t shape = node->c;
  if (!node->sums) {
    double scale = quantise_scale(q, node, NULL);
    return quantise_requantise(q, node, w->unit, node->c, scale);
  }
  float *scales = quantise_alloc(q, (size_t)node->c, sizeof(float));
  if (!scales) return q->err->status;
  for (int o = 0; o < node->c; o++) scales[o] = (float)w->unit[o];
  return quantise_tensor(q, node, "scales", NN_F32, 1, &shape, scales);
}

static nn_status filters_emit(quantise *q, quantise_node *node,
                              filters_work *w) {
  int product = node->type == NN_INNER_PRODUCT;
  const int64_t shape[4] = {
      node->c, product ? (int64_t)node->row : w->in->c / node->group,
      node->kernel[0], node->kernel[1]};
  quantise_open(q, node, product ? "InnerProduct" : "Convolution");
  filters_geometry(q, node);
  nn_status status = quantise_tensor(q, node, "weight", NN_I8,
                                     product ? 2 : 4, shape, w->q);
  if (status == NN_OK) status = filters_bias(q, node, w);
  if (status == NN_OK) status = filters_outputs(q, node, w);
  return status ? status : quantise_close(q, node);
}

nn_status quantise_filter(quantise *q, quantise_node *node) {
  filters_work w = {.in = &q->draft->blobs[node->bottom[0]->made]};
  w.q = quantise_alloc(q, nn_mul((size_t)node->c, node->row), 1);
  w.unit = quantise_alloc(q, 2 * (size_t)node->c, sizeof(double));
  if (!w.q || !w.unit) return q->err->status;
  w.bias = w.unit + node->c;
  memcpy(w.bias, node->bias, (size_t)node->c * sizeof(double));
  filters_units(node, filters_for_softmax(q, node), &w);
  nn_status status = filters_taps(q, node, &w);
  if (status == NN_OK) {
    filters_correct(node, &w);
    status = filters_emit(q, node, &w);
  }
  free(w.tap);
  return status;
}

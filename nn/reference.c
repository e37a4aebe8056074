/*
** Every layer as its definition reads: one plain loop nest, sums in double, no
** BLAS, nothing folded.
**
** It is what layers.c is measured against, and what a reader of a layer's
** meaning should read first.  It shares no code with the fast forms, and no
** idea of speed.  Indices are spelled out through reference_at() so that a loop
** says which channel, row and column it means.
*/
#include <math.h>

#include "nn_int.h"

static size_t reference_at(const nn_blob *b, int i, int c, int64_t y,
                           int64_t x) {
  return (((size_t)i * (size_t)b->c + (size_t)c) * (size_t)b->h + (size_t)y) *
             (size_t)b->w + (size_t)x;
}

/* out[o][y][x] = bias[o] + sum over c, ky, kx of weight[o][c][ky][kx] *
** in[first channel of o's group + c][y * stride + ky * dilation - pad][...] */
static double reference_conv_at(const nn_step *s, int i, int o, int y, int x) {
  const nn_layer *l = s->layer;
  const nn_blob *in = &s->blobs[l->bottom[0]], *top = &s->blobs[l->top];
  int channels = in->c / l->group;
  int first = o / (top->c / l->group) * channels;
  double sum = s->bias ? s->bias[o] : 0;
  for (int c = 0; c < channels; c++) {
    for (int ky = 0; ky < l->kernel[0]; ky++) {
      for (int kx = 0; kx < l->kernel[1]; kx++) {
        int64_t iy = (int64_t)y * l->stride[0] - l->pad[0] +
                     (int64_t)ky * l->dilation[0];
        int64_t ix = (int64_t)x * l->stride[1] - l->pad[1] +
                     (int64_t)kx * l->dilation[1];
        if (iy < 0 || iy >= in->h || ix < 0 || ix >= in->w) continue;
        size_t w = (((size_t)o * (size_t)channels + (size_t)c) *
                        (size_t)l->kernel[0] + (size_t)ky) *
                       (size_t)l->kernel[1] + (size_t)kx;
        sum += (double)s->weight[w] *
               s->in[0][reference_at(in, i, first + c, iy, ix)];
      }
    }
  }
  return sum;
}

/* out[o] = bias[o] + sum over j of weight[o][j] * in[j] */
static double reference_product_at(const nn_step *s, int i, int o) {
  size_t n = s->blobs[s->layer->bottom[0]].size;
  double sum = s->bias ? s->bias[o] : 0;
  const uint16_t *halves = s->layer->halves;
  for (size_t j = 0; j < n; j++) {
    size_t at = (size_t)o * n + j;
    double w = (double)(halves ? nn_half_value(halves[at]) : s->weight[at]);
    sum += w * s->in[0][(size_t)i * n + j];
  }
  return sum;
}

/* The maximum, or the mean, of the window's pixels within the image.  The mean
** divides by the window's pixels within image and padding, or, without
** include_pad, within the image. */
static double reference_pool_at(const nn_step *s, int i, int c, int y, int x) {
  const nn_layer *l = s->layer;
  const nn_blob *in = &s->blobs[l->bottom[0]];
  double sum = 0, most = -INFINITY;
  double inside = 0, padded = 0;
  for (int ky = 0; ky < l->kernel[0]; ky++) {
    for (int kx = 0; kx < l->kernel[1]; kx++) {
      int64_t iy = (int64_t)y * l->stride[0] - l->pad[0] +
                   (int64_t)ky * l->dilation[0];
      int64_t ix = (int64_t)x * l->stride[1] - l->pad[1] +
                   (int64_t)kx * l->dilation[1];
      if (iy >= in->h + l->pad[2] || ix >= in->w + l->pad[3]) continue;
      padded++;
      if (iy < 0 || iy >= in->h || ix < 0 || ix >= in->w) continue;
      inside++;
      double v = s->in[0][reference_at(in, i, c, iy, ix)];
      sum += v;
      if (v > most) most = v;
    }
  }
  if (!l->average) return most;
  return sum / (l->include_pad ? padded : inside);
}

/* x / (k + alpha / local_size * sum of x^2 over the channels around)^beta */
static double reference_lrn_at(const nn_step *s, int i, int c, int y, int x) {
  const nn_layer *l = s->layer;
  const nn_blob *in = &s->blobs[l->bottom[0]];
  double sum = 0;
  for (int j = c - l->local_size / 2; j <= c + l->local_size / 2; j++) {
    if (j < 0 || j >= in->c) continue;
    double v = s->in[0][reference_at(in, i, j, y, x)];
    sum += v * v;
  }
  return s->in[0][reference_at(in, i, c, y, x)] /
         pow(l->k + (double)l->alpha / l->local_size * sum, l->beta);
}

/* (x - mean) / sqrt(variance + eps) * weight + bias */
static double reference_norm(const nn_layer *l, int c, double x) {
  double y = (x - l->mean[c]) / sqrt((double)l->variance[c] + l->eps);
  return y * (l->weight ? l->weight[c] : 1) + (l->bias ? l->bias[c] : 0);
}

/* exp(x) over the sum of exp along the axis, for the place with that axis at 0;
** the input may lie where the output goes, so it is all read before any is
** written. */
static void reference_softmax(const nn_step *s, int i, int c, int y, int x) {
  const nn_blob *in = &s->blobs[s->layer->bottom[0]];
  int axis = s->layer->axis, dc = axis == 1, dy = axis == 2, dx = axis == 3;
  int n = dc ? in->c : dy ? in->h : in->w;
  double most = -INFINITY, sum = 0;
  for (int j = 0; j < n; j++) {
    double v = s->in[0][reference_at(in, i, c + j * dc, y + j * dy,
                                     x + j * dx)];
    if (v > most) most = v;
  }
  for (int j = 0; j < n; j++) {
    sum += exp(s->in[0][reference_at(in, i, c + j * dc, y + j * dy,
                                     x + j * dx)] - most);
  }
  for (int j = 0; j < n; j++) {
    size_t at = reference_at(in, i, c + j * dc, y + j * dy, x + j * dx);
    s->out[at] = (float)(exp(s->in[0][at] - most) / sum);
  }
}

static void reference_softmax_all(const nn_step *s, int i) {
  const nn_blob *in = &s->blobs[s->layer->bottom[0]];
  int axis = s->layer->axis;
  for (int c = 0; c < (axis == 1 ? 1 : in->c); c++) {
    for (int y = 0; y < (axis == 2 ? 1 : in->h); y++) {
      for (int x = 0; x < (axis == 3 ? 1 : in->w); x++) {
        reference_softmax(s, i, c, y, x);
      }
    }
  }
}

/* Element by element ------------------------------------------------------ */

/* A bottom's element; one side of it stands for all. */
static double reference_broadcast(const nn_step *s, int j, int i, int c, int y,
                                  int x) {
  const nn_blob *in = &s->blobs[s->layer->bottom[j]];
  return s->in[j][reference_at(in, i, in->c == 1 ? 0 : c, in->h == 1 ? 0 : y,
                               in->w == 1 ? 0 : x)];
}

static double reference_eltwise_at(const nn_step *s, int i, int c, int y,
                                   int x) {
  const nn_layer *l = s->layer;
  double value = reference_broadcast(s, 0, i, c, y, x);
  if (l->coeff) value *= l->coeff[0];
  for (int j = 1; j < l->bottoms; j++) {
    double v = reference_broadcast(s, j, i, c, y, x);
    switch (l->operation) {
      case NN_SUM: value += l->coeff ? l->coeff[j] * v : v; break;
      case NN_PROD: value *= v; break;
      case NN_SUB: value -= v; break;
      case NN_DIV: value /= v; break;
      case NN_MAX: value = v > value ? v : value; break;
    }
  }
  return value;
}

static double reference_between(double x, double low, double high) {
  return x < low ? low : x > high ? high : x;
}

static double reference_scale(const nn_step *s, int c, double x) {
  const nn_layer *l = s->layer;
  double w = s->weight[l->weights == 1 ? 0 : c];
  return x * w + (s->bias ? s->bias[l->biases == 1 ? 0 : c] : 0);
}

static double reference_activation(const nn_layer *l, double x) {
  switch (l->type) {
    case NN_RELU: return x > 0 ? x : l->slope * x;
    case NN_SIGMOID: return 1 / (1 + exp(-x));
    case NN_CLIP: return reference_between(x, l->low, l->high);
    case NN_HARD_SIGMOID:
      return reference_between(l->alpha * x + l->beta, 0, 1);
    default: return x * reference_between(x / 6 + 0.5, 0, 1);   /* HardSwish */
  }
}

/* Arrangement ------------------------------------------------------------- */

/* The bottoms follow each other along the axis. */
static double reference_concat_at(const nn_step *s, int i, int c, int y,
                                  int x) {
  int at[3] = {c, y, x}, *along = &at[s->layer->axis - 1], j = 0;
  for (;; j++) {
    const nn_blob *in = &s->blobs[s->layer->bottom[j]];
    int sides[3] = {in->c, in->h, in->w};
    int side = sides[s->layer->axis - 1];
    if (*along < side) break;
    *along -= side;
  }
  return s->in[j][reference_at(&s->blobs[s->layer->bottom[j]], i, at[0], at[1],
                               at[2])];
}

static double reference_slice_at(const nn_step *s, int i, int c, int y,
                                 int x) {
  int at[3] = {c, y, x};
  at[s->layer->axis - 1] += s->layer->begin;
  return s->in[0][reference_at(&s->blobs[s->layer->bottom[0]], i, at[0], at[1],
                               at[2])];
}

/* Axis k of the output is axis order[k] of the input. */
static double reference_permute_at(const nn_step *s, int i, int c, int y,
                                   int x) {
  int from[3] = {0}, at[3] = {c, y, x};
  for (int k = 0; k < 3; k++) from[s->layer->order[k]] = at[k];
  return s->in[0][reference_at(&s->blobs[s->layer->bottom[0]], i, from[0],
                               from[1], from[2])];
}

/* Output channel j * group + g is input channel g * (C / group) + j. */
static double reference_shuffle_at(const nn_step *s, int i, int c, int y,
                                   int x) {
  const nn_blob *in = &s->blobs[s->layer->bottom[0]];
  int group = s->layer->group;
  int from = c % group * (in->c / group) + c / group;
  return s->in[0][reference_at(in, i, from, y, x)];
}

/* Reflection leaves out the edge itself: 2 1 | 0 1 2 3 | 2 1. */
static int reference_inside(nn_padding padding, int at, int side) {
  if (padding == NN_PAD_EDGE) return at < 0 ? 0 : at < side ? at : side - 1;
  return at < 0 ? -at : at < side ? at : 2 * (side - 1) - at;
}

static double reference_padding_at(const nn_step *s, int i, int c, int y,
                                   int x) {
  const nn_layer *l = s->layer;
  const nn_blob *in = &s->blobs[l->bottom[0]];
  y -= l->pad[0];
  x -= l->pad[1];
  if (l->padding != NN_PAD_CONSTANT) {
    y = reference_inside(l->padding, y, in->h);
    x = reference_inside(l->padding, x, in->w);
  } else if (y < 0 || y >= in->h || x < 0 || x >= in->w) {
    return l->value;
  }
  return s->in[0][reference_at(in, i, c, y, x)];
}

/* All types --------------------------------------------------------------- */

static double reference_value(const nn_step *s, int i, int c, int y, int x) {
  const nn_layer *l = s->layer;
  const nn_blob *top = &s->blobs[l->top];
  size_t at = reference_at(top, i, c, y, x);
  switch (l->type) {
    case NN_CONVOLUTION: return reference_conv_at(s, i, c, y, x);
    case NN_INNER_PRODUCT: return reference_product_at(s, i, c);
    case NN_POOLING: return reference_pool_at(s, i, c, y, x);
    case NN_LRN: return reference_lrn_at(s, i, c, y, x);
    case NN_BATCH_NORM: return reference_norm(l, c, s->in[0][at]);
    case NN_SCALE: return reference_scale(s, c, s->in[0][at]);
    case NN_ELTWISE: return reference_eltwise_at(s, i, c, y, x);
    case NN_CONCAT: return reference_concat_at(s, i, c, y, x);
    case NN_SLICE: return reference_slice_at(s, i, c, y, x);
    case NN_PERMUTE: return reference_permute_at(s, i, c, y, x);
    case NN_SHUFFLE_CHANNEL: return reference_shuffle_at(s, i, c, y, x);
    case NN_PADDING: return reference_padding_at(s, i, c, y, x);
    case NN_CONSTANT: return s->weight[at - (size_t)i * top->size];
    case NN_RELU:
    case NN_SIGMOID:
    case NN_CLIP:
    case NN_HARD_SIGMOID:
    case NN_HARD_SWISH: return reference_activation(l, s->in[0][at]);
    case NN_SOFTMAX:
    case NN_MIRROR_MEAN:
    case NN_LOOKUP:   /* both in integer networks alone */
    case NN_RESHAPE:
    case NN_FLATTEN: break;
  }
  return s->in[0][at];
}

void nn_layer_reference(const nn_step *s) {
  const nn_blob *top = &s->blobs[s->layer->top];
  for (int i = 0; i < s->n; i++) {
    if (s->layer->type == NN_SOFTMAX) {
      reference_softmax_all(s, i);
      continue;
    }
    for (int c = 0; c < top->c; c++) {
      for (int y = 0; y < top->h; y++) {
        for (int x = 0; x < top->w; x++) {
          s->out[reference_at(top, i, c, y, x)] =
              (float)reference_value(s, i, c, y, x);
        }
      }
    }
  }
}

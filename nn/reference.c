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
  for (size_t j = 0; j < n; j++) {
    sum += (double)s->weight[(size_t)o * n + j] * s->in[0][(size_t)i * n + j];
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
      int64_t iy = (int64_t)y * l->stride[0] - l->pad[0] + ky;
      int64_t ix = (int64_t)x * l->stride[1] - l->pad[1] + kx;
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

/* exp(x) over the sum of exp over the channels, for one position; the input
** may lie where the output goes, so it is all read before any is written. */
static void reference_softmax(const nn_step *s, int i, int y, int x) {
  const nn_blob *in = &s->blobs[s->layer->bottom[0]];
  double most = -INFINITY, sum = 0;
  for (int c = 0; c < in->c; c++) {
    double v = s->in[0][reference_at(in, i, c, y, x)];
    if (v > most) most = v;
  }
  for (int c = 0; c < in->c; c++) {
    sum += exp(s->in[0][reference_at(in, i, c, y, x)] - most);
  }
  for (int c = 0; c < in->c; c++) {
    size_t at = reference_at(in, i, c, y, x);
    s->out[at] = (float)(exp(s->in[0][at] - most) / sum);
  }
}

static double reference_sum_at(const nn_step *s, size_t at) {
  double sum = 0;
  for (int j = 0; j < s->layer->bottoms; j++) sum += s->in[j][at];
  return sum;
}

static double reference_concat_at(const nn_step *s, int i, int c, int y,
                                  int x) {
  int j = 0;
  while (c >= s->blobs[s->layer->bottom[j]].c) {
    c -= s->blobs[s->layer->bottom[j++]].c;
  }
  return s->in[j][reference_at(&s->blobs[s->layer->bottom[j]], i, c, y, x)];
}

static double reference_value(const nn_step *s, int i, int c, int y, int x) {
  const nn_layer *l = s->layer;
  size_t at = reference_at(&s->blobs[l->top], i, c, y, x);
  switch (l->type) {
    case NN_CONVOLUTION: return reference_conv_at(s, i, c, y, x);
    case NN_INNER_PRODUCT: return reference_product_at(s, i, c);
    case NN_POOLING: return reference_pool_at(s, i, c, y, x);
    case NN_LRN: return reference_lrn_at(s, i, c, y, x);
    case NN_RELU: return s->in[0][at] > 0 ? s->in[0][at] : 0;
    case NN_SIGMOID: return 1 / (1 + exp(-(double)s->in[0][at]));
    case NN_BATCH_NORM: return reference_norm(l, c, s->in[0][at]);
    case NN_ELTWISE: return reference_sum_at(s, at);
    case NN_CONCAT: return reference_concat_at(s, i, c, y, x);
    case NN_SOFTMAX:
    case NN_MIRROR_MEAN:   /* in integer networks alone */
    case NN_FLATTEN: break;
  }
  return s->in[0][at];
}

void nn_layer_reference(const nn_step *s) {
  const nn_blob *top = &s->blobs[s->layer->top];
  for (int i = 0; i < s->n; i++) {
    if (s->layer->type == NN_SOFTMAX) {
      for (int y = 0; y < top->h; y++) {
        for (int x = 0; x < top->w; x++) reference_softmax(s, i, y, x);
      }
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

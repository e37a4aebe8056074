/*
** Every layer of an integer network as its definition reads: one plain loop
** nest a layer, zero points taken out where the definition takes them out, sums
** in 64 bits.
**
** It is what bytes.c, packed.c and the vector kernels are measured against, and
** what a reader of a layer's meaning should read beside weights/README.md.  It
** uses the weights as they lie in the file and nothing that was worked out when
** the model was opened.  Only where a value lies in memory is shared: bytes as
** NHWC with the channels filled up to a multiple of 4, sums without.
*/
#include "nn_int.h"

static size_t naive_at(const nn_blob *b, int i, int c, int64_t y, int64_t x) {
  size_t position = ((size_t)i * (size_t)b->h + (size_t)y) * (size_t)b->w +
                    (size_t)x;
  return position * (b->quant.sums ? (size_t)b->c : nn_int_stride(b)) +
         (size_t)c;
}

static int64_t naive_q(const nn_int_step *s, int j, int i, int c, int64_t y,
                       int64_t x) {
  const nn_blob *b = &s->blobs[s->layer->bottom[j]];
  size_t at = naive_at(b, i, c, y, x);
  return b->quant.sums ? ((const int32_t *)s->in[j])[at]
                       : ((const uint8_t *)s->in[j])[at];
}

/* q - zero point */
static int64_t naive_value(const nn_int_step *s, int j, int i, int c, int64_t y,
                           int64_t x) {
  const nn_blob *b = &s->blobs[s->layer->bottom[j]];
  return naive_q(s, j, i, c, y, x) - nn_int_zero(b, (size_t)c);
}

/* (a * m + 2^(s-1)) >> s, where >> rounds towards minus infinity */
static int64_t naive_requantise(int64_t a, int64_t m, int s) {
  int64_t product = a * m + ((int64_t)1 << (s - 1)), unit = (int64_t)1 << s;
  int64_t quotient = product / unit;
  return quotient - (product % unit < 0);
}

/* clamp(zero point + x, max) of the blob that the layer writes */
static int64_t naive_clamp(const nn_int_step *s, int64_t x) {
  const nn_blob *top = &s->blobs[s->layer->top];
  x += nn_int_zero(top, 0);
  return x < 0 ? 0 : x > top->quant.max ? top->quant.max : x;
}

/* The accumulator of filter o at row y and column x.  An inner product's kernel
** is as large as what it reads. */
static int64_t naive_sum(const nn_int_step *s, int i, int o, int y, int x) {
  const nn_layer *l = s->layer;
  const nn_blob *in = &s->blobs[l->bottom[0]], *top = &s->blobs[l->top];
  int channels = in->c / l->group;
  int first = o / (top->c / l->group) * channels;
  int64_t sum = l->whole.bias ? l->whole.bias[o] : 0;
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
        sum += l->whole.weight[w] * naive_value(s, 0, i, first + c, iy, ix);
      }
    }
  }
  return sum;
}

static int64_t naive_filter(const nn_int_step *s, int i, int o, int y, int x) {
  const nn_whole *w = &s->layer->whole;
  int64_t sum = naive_sum(s, i, o, y, x);
  if (s->blobs[s->layer->top].quant.sums) return sum;
  return naive_clamp(s, naive_requantise(sum, w->multiplier[o], w->shift[o]));
}

static int64_t naive_pool(const nn_int_step *s, int i, int c, int y, int x) {
  const nn_layer *l = s->layer;
  const nn_blob *in = &s->blobs[l->bottom[0]];
  int64_t sum = 0, most = 0, inside = 0, padded = 0;
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
      sum += naive_value(s, 0, i, c, iy, ix);
      if (naive_q(s, 0, i, c, iy, ix) > most) {
        most = naive_q(s, 0, i, c, iy, ix);
      }
    }
  }
  if (!l->average) return most;
  int64_t d = l->include_pad ? padded : inside, twice = 2 * sum + d;
  int64_t mean = twice / (2 * d) - (twice % (2 * d) < 0);
  return nn_int_zero(in, (size_t)c) + mean;
}

/* What bottom j has there; a side of 1 stands for all of the output's. */
static int64_t naive_broadcast(const nn_int_step *s, int j, int i, int c,
                               int y, int x) {
  const nn_blob *b = &s->blobs[s->layer->bottom[j]];
  return naive_value(s, j, i, b->c > 1 ? c : 0, b->h > 1 ? y : 0,
                     b->w > 1 ? x : 0);
}

static int64_t naive_eltwise(const nn_int_step *s, int i, int c, int y, int x) {
  const nn_layer *l = s->layer;
  const nn_whole *w = &l->whole;
  int64_t first = naive_broadcast(s, 0, i, c, y, x), m = 1;
  if (l->operation == NN_PROD) {
    m = w->factor[0];
    first *= naive_broadcast(s, 1, i, c, y, x);
  } else {
    first *= w->factor[0];
    for (int j = 1; j < l->bottoms; j++) {
      int64_t next = w->factor[j] * naive_broadcast(s, j, i, c, y, x);
      if (l->operation == NN_SUM) first += next;
      else if (next > first) first = next;
    }
  }
  return naive_clamp(s, naive_requantise(first, m, w->right));
}

static int naive_side(const nn_blob *b, int axis) {
  return axis == 1 ? b->c : axis == 2 ? b->h : b->w;
}

static int64_t naive_concat(const nn_int_step *s, int i, int c, int y, int x) {
  const nn_layer *l = s->layer;
  int at[4] = {0, c, y, x}, j = 0, side;
  while ((side = naive_side(&s->blobs[l->bottom[j]], l->axis)) <=
         at[l->axis]) {
    at[l->axis] -= side;
    j++;
  }
  int64_t value = naive_value(s, j, i, at[1], at[2], at[3]);
  return naive_clamp(s, naive_requantise(value, l->whole.factor[j],
                                         l->whole.right));
}

/* Layers that move bytes -------------------------------------------------- */

static int64_t naive_slice(const nn_int_step *s, int i, int c, int y, int x) {
  int at[4] = {0, c, y, x};
  at[s->layer->axis] += s->layer->begin;
  return naive_q(s, 0, i, at[1], at[2], at[3]);
}

static int64_t naive_permute(const nn_int_step *s, int i, int c, int y,
                             int x) {
  int to[3] = {c, y, x}, from[3] = {0, 0, 0};
  for (int k = 0; k < 3; k++) from[s->layer->order[k]] = to[k];
  return naive_q(s, 0, i, from[0], from[1], from[2]);
}

static int64_t naive_reshape(const nn_int_step *s, int i, int c, int y,
                             int x) {
  const nn_blob *in = &s->blobs[s->layer->bottom[0]];
  const nn_blob *top = &s->blobs[s->layer->top];
  int64_t at = ((int64_t)c * top->h + y) * top->w + x;
  return naive_q(s, 0, i, (int)(at / in->w / in->h), at / in->w % in->h,
                 at % in->w);
}

static int64_t naive_padding(const nn_int_step *s, int i, int c, int y,
                             int x) {
  const nn_layer *l = s->layer;
  const nn_blob *in = &s->blobs[l->bottom[0]];
  int64_t at[2] = {(int64_t)y - l->pad[0], (int64_t)x - l->pad[1]};
  int side[2] = {in->h, in->w};
  for (int k = 0; k < 2; k++) {
    if (at[k] >= 0 && at[k] < side[k]) continue;
    if (l->padding == NN_PAD_CONSTANT) {
      return l->whole.fill < 0 ? nn_int_zero(in, (size_t)c) : l->whole.fill;
    }
    int64_t end = at[k] < 0 ? 0 : side[k] - 1;
    at[k] = l->padding == NN_PAD_EDGE ? end : 2 * end - at[k];
  }
  return naive_q(s, 0, i, c, at[0], at[1]);
}

static int64_t naive_lookup(const nn_int_step *s, int i, int c, int y, int x) {
  const nn_whole *w = &s->layer->whole;
  int64_t q = naive_q(s, 0, i, c, y, x);
  if (w->multiplier) {
    q = 128 + naive_requantise(q, w->multiplier[c], w->shift[c]);
    q = q < 0 ? 0 : q > 255 ? 255 : q;
  }
  return w->lookup[q];
}

static int64_t naive_lrn(const nn_int_step *s, int i, int c, int y, int x) {
  const nn_layer *l = s->layer;
  const nn_whole *w = &l->whole;
  int64_t sum = 0;
  for (int j = c - l->local_size / 2; j <= c + l->local_size / 2; j++) {
    if (j < 0 || j >= s->blobs[l->bottom[0]].c) continue;
    int64_t v = naive_value(s, 0, i, j, y, x);
    sum += v * v;
  }
  sum >>= w->sum_shift;
  if (sum >= w->entries) sum = w->entries - 1;
  return naive_clamp(s, naive_requantise(naive_value(s, 0, i, c, y, x),
                                         w->table[sum], w->right));
}

static int64_t naive_exponential(const nn_int_step *s, int i, int c, int y,
                                 int x, int64_t most) {
  const nn_whole *w = &s->layer->whole;
  int64_t below = (most - naive_q(s, 0, i, c, y, x)) >> w->right;
  return w->table[below < w->entries ? below : w->entries - 1];
}

/* All channels of one position; where input and output are the same memory,
** each channel is read once more before it is written, and by nobody later. */
static void naive_softmax(const nn_int_step *s, int i, int y, int x) {
  const nn_blob *in = &s->blobs[s->layer->bottom[0]];
  int32_t *to = (int32_t *)s->out + naive_at(in, i, 0, y, x);
  int64_t most = naive_q(s, 0, i, 0, y, x), sum = 0;
  for (int c = 1; c < in->c; c++) {
    if (naive_q(s, 0, i, c, y, x) > most) most = naive_q(s, 0, i, c, y, x);
  }
  for (int c = 0; c < in->c; c++) {
    sum += naive_exponential(s, i, c, y, x, most);
  }
  for (int c = 0; c < in->c; c++) {
    int64_t e = naive_exponential(s, i, c, y, x, most);
    to[c] = (int32_t)(((e << 24) + sum / 2) / sum);
  }
}

static int64_t naive_result(const nn_int_step *s, int i, int c, int y, int x) {
  const nn_layer *l = s->layer;
  const nn_blob *in = l->bottoms ? &s->blobs[l->bottom[0]] : NULL;
  const nn_blob *top = &s->blobs[l->top];
  int plane = in ? in->h * in->w : 1;
  int64_t q;
  switch (l->type) {
    case NN_CONVOLUTION:
    case NN_INNER_PRODUCT: return naive_filter(s, i, c, y, x);
    case NN_POOLING: return naive_pool(s, i, c, y, x);
    case NN_LRN: return naive_lrn(s, i, c, y, x);
    case NN_SIGMOID:
    case NN_LOOKUP: return naive_lookup(s, i, c, y, x);
    case NN_SLICE: return naive_slice(s, i, c, y, x);
    case NN_PERMUTE: return naive_permute(s, i, c, y, x);
    case NN_RESHAPE: return naive_reshape(s, i, c, y, x);
    case NN_PADDING: return naive_padding(s, i, c, y, x);
    case NN_SHUFFLE_CHANNEL:
      return naive_q(s, 0, i, c % l->group * (top->c / l->group) + c / l->group,
                     y, x);
    case NN_CONSTANT:
      return l->whole.lookup[((size_t)c * (size_t)top->h + (size_t)y) *
                                 (size_t)top->w + (size_t)x];
    case NN_ELTWISE: return naive_eltwise(s, i, c, y, x);
    case NN_CONCAT: return naive_concat(s, i, c, y, x);
    case NN_FLATTEN:
      return naive_q(s, 0, i, c / plane, c % plane / in->w, c % in->w);
    case NN_RELU:
      q = naive_q(s, 0, i, c, y, x);
      return naive_value(s, 0, i, c, y, x) > 0
                 ? q
                 : nn_int_zero(in, (size_t)c);
    case NN_MIRROR_MEAN:
      q = naive_q(s, 0, i, c, y, x);
      if (!s->mirrored) return q;
      return (((uint8_t *)s->out)[naive_at(in, i, c, y, x)] + q + 1) >> 1;
    default: break;
  }
  return 0;
}

static void naive_position(const nn_int_step *s, int i, int y, int x) {
  const nn_blob *top = &s->blobs[s->layer->top];
  size_t at = naive_at(top, i, 0, y, x), c = 0;
  if (s->layer->type == NN_SOFTMAX) {
    naive_softmax(s, i, y, x);
    return;
  }
  for (; c < (size_t)top->c; c++) {
    int64_t q = naive_result(s, i, (int)c, y, x);
    if (top->quant.sums) ((int32_t *)s->out)[at + c] = (int32_t)q;
    else ((uint8_t *)s->out)[at + c] = (uint8_t)q;
  }
  if (top->quant.sums) return;
  for (; c < nn_int_stride(top); c++) ((uint8_t *)s->out)[at + c] = 0;
}

void nn_int_reference(const nn_int_step *s) {
  const nn_blob *top = &s->blobs[s->layer->top];
  for (int i = 0; i < s->n; i++) {
    for (int y = 0; y < top->h; y++) {
      for (int x = 0; x < top->w; x++) naive_position(s, i, y, x);
    }
  }
}

/*
** Depthwise convolutions: those whose groups have one channel to read, half of
** the layers of MobileNet, ShuffleNet and EfficientNet.
**
** layers.c unrolls a convolution into columns and multiplies matrices.  With
** one channel a group such a matrix has one row, or a few: the columns are nine
** times the image, written once and read once, and nothing is gained by a
** library.  Here each output row is the sum of its taps, each of which is an
** input row moved by some pixels and multiplied by one weight.  A row and its
** sum stay in the first cache, and a loop along a row is what a compiler's
** vectors fit.
**
** Three taps of a row, the usual kernel, are added in one pass over the part
** where all three lie within the image.
*/
#include "nn_int.h"

int nn_depthwise(const nn_layer *l, const nn_blob *blobs) {
  return l->type == NN_CONVOLUTION && l->group > 1 &&
         l->group == blobs[l->bottom[0]].c;
}

/* The output columns whose tap lies within the image, where the input column
** under output column 0 is `shift`: [*low, *high). */
static void depthwise_span(int n, int width, int64_t shift, int stride,
                           int *low, int *high) {
  int64_t from = shift >= 0 ? 0 : (-shift + stride - 1) / stride;
  int64_t to = width > shift ? (width - shift + stride - 1) / stride : 0;
  if (to > n) to = n;
  if (from > to) from = to;
  *low = (int)from;
  *high = (int)to;
}

static void depthwise_tap(const float *row, int64_t shift, int stride, int low,
                          int high, float w, float *to) {
  if (low >= high) return;
  row += low * (int64_t)stride + shift;
  to += low;
  int n = high - low;
  if (stride == 1) {
    for (int i = 0; i < n; i++) to[i] += w * row[i];
  } else if (stride == 2) {
    for (int i = 0; i < n; i++) to[i] += w * row[2 * i];
  } else {
    for (int i = 0; i < n; i++) to[i] += w * row[(int64_t)i * stride];
  }
}

/* The taps of one row of the kernel, three by three. */
static void depthwise_row(const nn_layer *l, const nn_blob *in,
                          const float *row, const float *w, int n, float *to) {
  int stride = l->stride[1], step = l->dilation[1], kx = 0;
  for (; kx + 3 <= l->kernel[1]; kx += 3, w += 3) {
    int64_t shift = (int64_t)kx * step - l->pad[1];
    int low[3], high[3];
    for (int t = 0; t < 3; t++) {
      depthwise_span(n, in->w, shift + t * (int64_t)step, stride, &low[t],
                     &high[t]);
    }
    /* the later a tap, the earlier its columns begin and end */
    int from = low[0], to_end = high[2];
    if (from >= to_end) from = to_end = high[0];
    for (int t = 0; t < 3; t++) {
      int64_t at = shift + t * (int64_t)step;
      int left = high[t] < from ? high[t] : from;
      int right = low[t] > to_end ? low[t] : to_end;
      depthwise_tap(row, at, stride, low[t], left, w[t], to);
      depthwise_tap(row, at, stride, right, high[t], w[t], to);
    }
    if (from >= to_end) continue;
    const float *x = row + from * (int64_t)stride + shift, *y = x + step;
    const float *z = y + step;
    float *sum = to + from;
    int count = to_end - from;
    if (stride == 1) {
      for (int i = 0; i < count; i++) {
        sum[i] += w[0] * x[i] + w[1] * y[i] + w[2] * z[i];
      }
    } else {
      for (int i = 0; i < count; i++) {
        int64_t j = (int64_t)i * stride;
        sum[i] += w[0] * x[j] + w[1] * y[j] + w[2] * z[j];
      }
    }
  }
  for (; kx < l->kernel[1]; kx++, w++) {
    int64_t shift = (int64_t)kx * step - l->pad[1];
    int low, high;
    depthwise_span(n, in->w, shift, stride, &low, &high);
    depthwise_tap(row, shift, stride, low, high, *w, to);
  }
}

static void depthwise_plane(const nn_layer *l, const nn_blob *in,
                            const nn_blob *top, const float *plane,
                            const float *weight, float scale, float bias,
                            int relu, float *to) {
  for (int y = 0; y < top->h; y++, to += top->w) {
    for (int x = 0; x < top->w; x++) to[x] = 0;
    for (int ky = 0; ky < l->kernel[0]; ky++) {
      int64_t iy = (int64_t)y * l->stride[0] +
                   (int64_t)ky * l->dilation[0] - l->pad[0];
      if (iy < 0 || iy >= in->h) continue;
      depthwise_row(l, in, plane + iy * in->w,
                    weight + (size_t)ky * (size_t)l->kernel[1], top->w, to);
    }
    for (int x = 0; x < top->w; x++) to[x] = to[x] * scale + bias;
    if (!relu) continue;
    for (int x = 0; x < top->w; x++) to[x] = to[x] > 0 ? to[x] : 0;
  }
}

void nn_depthwise_run(const nn_step *s) {
  const nn_layer *l = s->layer;
  const nn_blob *in = &s->blobs[l->bottom[0]], *top = &s->blobs[l->top];
  size_t from = (size_t)in->h * (size_t)in->w;
  size_t plane = (size_t)top->h * (size_t)top->w;
  size_t taps = (size_t)l->kernel[0] * (size_t)l->kernel[1];
  int each = top->c / l->group;   /* outputs of a channel */
  for (int i = 0; i < s->n; i++) {
    const float *image = s->in[0] + (size_t)i * in->size;
    float *to = s->out + (size_t)i * top->size;
    for (int o = 0; o < top->c; o++, to += plane) {
      depthwise_plane(l, in, top, image + (size_t)(o / each) * from,
                      s->weight + (size_t)o * taps, s->scale ? s->scale[o] : 1,
                      s->bias ? s->bias[o] : 0, s->relu, to);
    }
  }
}

/*
** The fast form of every layer, in float32: multiplications and normalisation
** here, pooling in pooling.c, depthwise convolutions in depthwise.c, what is
** done element by element in pointwise.c, what moves elements in arrange.c.
**
** Convolutions and inner products go to convolve.c and dense.c on CPUs that
** these have kernels for.  The portable way is here, by OpenBLAS: a convolution
** is unrolled into columns (im2col) and multiplied, per image and group, a
** strip of output rows at a time so that the columns stay within a few
** megabytes; a 1x1 convolution is a multiplication as it stands.  An inner
** product is sgemv for one image and sgemm for a batch.  Bias and, where plan.c
** found them, a batch norm and ReLU take one pass over the result.  The rest
** are plain loops along a row or a plane, written so that a compiler's baseline
** vectors fit them.
**
** reference.c has the same layers as their definition reads; a test holds the
** two equal.  Nothing here checks a shape: shape.c did.
*/
#include <math.h>
#include <string.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#include "floats.h"

/* Floats of columns that one multiplication works on, unless a single output
** row needs more. */
#define LAYERS_COLUMNS ((size_t)2 << 20)

/* Positions of a plane that LRN sums at a time: they stay in the first cache
** while the channels around them pass by. */
#define LAYERS_LRN_BLOCK 128

static float layers_positive(float x) {
  return x > 0 ? x : 0;
}

/* Convolution ------------------------------------------------------------- */

/* Rows of the unrolled matrix: the weights of one output channel. */
static size_t layers_depth(const nn_layer *l, const nn_blob *in) {
  return (size_t)(in->c / l->group) * (size_t)l->kernel[0] *
         (size_t)l->kernel[1];
}

static int layers_strip(const nn_layer *l, const nn_blob *in,
                        const nn_blob *top) {
  size_t row = nn_mul(layers_depth(l, in), (size_t)top->w);
  size_t rows = LAYERS_COLUMNS / row;
  return rows < 1 ? 1 : rows < (size_t)top->h ? (int)rows : top->h;
}

size_t nn_layer_scratch(const nn_layer *l, const nn_blob *blobs) {
  if (l->type != NN_CONVOLUTION) return 0;
  const nn_blob *in = &blobs[l->bottom[0]], *top = &blobs[l->top];
  if (nn_depthwise(l, blobs)) return 0;
  size_t copy = nn_winograd_fits(l, blobs) ? nn_winograd_scratch(l, blobs)
                                           : nn_convolve_scratch(l, blobs);
  if (nn_layer_pointwise(l)) return copy;
  size_t columns = nn_mul(nn_mul(layers_depth(l, in), (size_t)top->w),
                          (size_t)layers_strip(l, in, top));
  return copy > columns ? copy : columns;
}

/* One output row of one tap: the input row as seen through it.  `shift` is the
** input column under output column 0. */
static void layers_tap(float *to, int n, const float *row, int width,
                       int64_t shift, int stride) {
  int64_t low = shift >= 0 ? 0 : (-shift + stride - 1) / stride;
  int64_t high = width > shift ? (width - shift + stride - 1) / stride : 0;
  if (low > n) low = n;
  if (high > n) high = n;
  if (high < low) high = low;
  memset(to, 0, (size_t)low * sizeof(*to));
  memset(to + high, 0, (size_t)(n - high) * sizeof(*to));
  if (low == high) return;
  row += low * stride + shift;
  if (stride == 1) {
    memcpy(to + low, row, (size_t)(high - low) * sizeof(*to));
  } else {
    for (int64_t i = low; i < high; i++, row += stride) to[i] = *row;
  }
}

/* All output rows of one tap, the first of which sees the input row y. */
static void layers_tap_rows(const nn_layer *l, const nn_blob *in, int width,
                            const float *plane, int64_t y, int64_t shift,
                            int rows, float *to) {
  for (int i = 0; i < rows; i++, y += l->stride[0], to += width) {
    if (y < 0 || y >= in->h) {
      memset(to, 0, (size_t)width * sizeof(*to));
    } else {
      layers_tap(to, width, plane + y * in->w, in->w, shift, l->stride[1]);
    }
  }
}

/* The same where strides are 1 and rows as wide as the input's: then a tap is
** the plane moved by some pixels, one copy, in which the columns that came
** around from the neighbouring row are zeroed. */
static void layers_tap_plane(const nn_blob *in, const float *plane, int64_t y,
                             int64_t shift, int rows, float *to) {
  int64_t w = in->w, edge = shift < 0 ? -shift : shift;
  int64_t first = y < 0 ? -y : 0, last = in->h - y;
  if (last > rows) last = rows;
  if (edge >= w || last <= first) first = last = rows;
  memset(to, 0, (size_t)(first * w) * sizeof(*to));
  memset(to + last * w, 0, (size_t)((rows - last) * w) * sizeof(*to));
  if (first == last) return;
  plane += (y + first) * w;
  to += first * w;
  size_t n = (size_t)((last - first) * w - edge);
  memcpy(shift < 0 ? to + edge : to, shift < 0 ? plane : plane + edge,
         n * sizeof(*to));
  if (shift > 0) to += w - edge;
  for (int64_t i = first; i < last; i++, to += w) {
    for (int64_t x = 0; x < edge; x++) to[x] = 0;
  }
}

/* Columns of `rows` output rows from y0 on, of one group: each row of the
** matrix is one tap of one channel, over all those output pixels. */
static void layers_unroll(const nn_layer *l, const nn_blob *in,
                          const nn_blob *top, const float *group, int y0,
                          int rows, float *to) {
  size_t plane = (size_t)in->h * (size_t)in->w;
  int moved = l->stride[0] == 1 && l->stride[1] == 1 && top->w == in->w;
  for (int c = 0; c < in->c / l->group; c++, group += plane) {
    for (int ky = 0; ky < l->kernel[0]; ky++) {
      for (int kx = 0; kx < l->kernel[1]; kx++) {
        int64_t shift = (int64_t)kx * l->dilation[1] - l->pad[1];
        int64_t y = (int64_t)y0 * l->stride[0] +
                    (int64_t)ky * l->dilation[0] - l->pad[0];
        if (moved) layers_tap_plane(in, group, y, shift, rows, to);
        else layers_tap_rows(l, in, top->w, group, y, shift, rows, to);
        to += (size_t)rows * (size_t)top->w;
      }
    }
  }
}

/* x * scale + bias, clamped at 0 if wanted, over each channel's plane. */
static void layers_finish(const nn_step *s, float *x, int channels,
                          size_t plane) {
  if (!s->bias && !s->relu) return;   /* a scale comes with a bias */
  for (int c = 0; c < channels; c++, x += plane) {
    float a = s->scale ? s->scale[c] : 1, b = s->bias ? s->bias[c] : 0;
    if (s->relu) {
      for (size_t i = 0; i < plane; i++) x[i] = layers_positive(x[i] * a + b);
    } else {
      for (size_t i = 0; i < plane; i++) x[i] = x[i] * a + b;
    }
  }
}

static void layers_convolution(const nn_step *s) {
  const nn_layer *l = s->layer;
  const nn_blob *in = &s->blobs[l->bottom[0]], *top = &s->blobs[l->top];
  int m = top->c / l->group, k = (int)layers_depth(l, in);
  int plane = top->h * top->w, pointwise = nn_layer_pointwise(l);
  int strip = pointwise ? top->h : layers_strip(l, in, top);
  size_t group_in = in->size / (size_t)l->group;
  for (int i = 0; i < s->n; i++) {
    float *image = s->out + (size_t)i * top->size;
    for (int g = 0; g < l->group; g++) {
      const float *from =
          s->in[0] + (size_t)i * in->size + (size_t)g * group_in;
      const float *weight = s->weight + (size_t)g * (size_t)m * (size_t)k;
      float *to = image + (size_t)g * (size_t)m * (size_t)plane;
      for (int y = 0; y < top->h; y += strip) {
        int rows = top->h - y < strip ? top->h - y : strip;
        int n = rows * top->w;
        if (!pointwise) layers_unroll(l, in, top, from, y, rows, s->scratch);
        nn_blas_sgemm(s->blas, 0, m, n, k, weight, k,
                      pointwise ? from : s->scratch, n,
                      to + (size_t)y * (size_t)top->w, plane);
      }
    }
    layers_finish(s, image, top->c, (size_t)plane);
  }
}

static void layers_inner_product(const nn_step *s) {
  const nn_layer *l = s->layer;
  int k = (int)s->blobs[l->bottom[0]].size, m = (int)s->blobs[l->top].size;
  if (s->n == 1) {
    nn_blas_sgemv(s->blas, m, k, s->weight, s->in[0], s->out);
  } else {
    nn_blas_sgemm(s->blas, 1, s->n, m, k, s->in[0], k, s->weight, k, s->out,
                  m);
  }
  for (int i = 0; i < s->n; i++) {
    layers_finish(s, s->out + (size_t)i * (size_t)m, m, 1);
  }
}

/* Normalisation ----------------------------------------------------------- */

/* to = x * s^-0.75, as x / (sqrt(s) * sqrt(sqrt(s))).  sqrtf sets errno, which
** keeps compilers from vectorising it, hence the two intrinsics. */
static void layers_three_quarters(const float *x, const float *s, int n,
                                  float *to) {
  int i = 0;
#if defined(__SSE2__)
  for (; i + 4 <= n; i += 4) {
    __m128 root = _mm_sqrt_ps(_mm_loadu_ps(s + i));
    __m128 divisor = _mm_mul_ps(root, _mm_sqrt_ps(root));
    _mm_storeu_ps(to + i, _mm_div_ps(_mm_loadu_ps(x + i), divisor));
  }
#elif defined(__aarch64__)
  for (; i + 4 <= n; i += 4) {
    float32x4_t root = vsqrtq_f32(vld1q_f32(s + i));
    float32x4_t divisor = vmulq_f32(root, vsqrtq_f32(root));
    vst1q_f32(to + i, vdivq_f32(vld1q_f32(x + i), divisor));
  }
#endif
  for (; i < n; i++) {
    float root = sqrtf(s[i]);
    to[i] = x[i] / (root * sqrtf(root));
  }
}

/* One image, positions [at, at + n) of every plane. */
static void layers_lrn_block(const nn_layer *l, const nn_blob *in,
                             const float *x, float *to, size_t at, int n) {
  float sum[LAYERS_LRN_BLOCK];
  size_t plane = (size_t)in->h * (size_t)in->w;
  float share = l->alpha / (float)l->local_size;
  int half = l->local_size / 2;
  for (int c = 0; c < in->c; c++) {
    int first = c < half ? 0 : c - half;
    int last = in->c - 1 - c < half ? in->c - 1 : c + half;
    for (int i = 0; i < n; i++) sum[i] = 0;
    for (int j = first; j <= last; j++) {
      const float *other = x + (size_t)j * plane + at;
      for (int i = 0; i < n; i++) sum[i] += other[i] * other[i];
    }
    for (int i = 0; i < n; i++) sum[i] = l->k + share * sum[i];
    const float *own = x + (size_t)c * plane + at;
    float *mine = to + (size_t)c * plane + at;
    if (l->beta == 0.75f) {
      layers_three_quarters(own, sum, n, mine);
    } else {
      for (int i = 0; i < n; i++) mine[i] = own[i] * powf(sum[i], -l->beta);
    }
  }
}

static void layers_lrn_task(void *context, size_t task, int worker) {
  const nn_step *s = context;
  const nn_blob *in = &s->blobs[s->layer->bottom[0]];
  size_t plane = (size_t)in->h * (size_t)in->w;
  size_t image = task / nn_pieces(plane, LAYERS_LRN_BLOCK) * in->size;
  size_t at = task % nn_pieces(plane, LAYERS_LRN_BLOCK) * LAYERS_LRN_BLOCK;
  size_t n = plane - at < LAYERS_LRN_BLOCK ? plane - at : LAYERS_LRN_BLOCK;
  (void)worker;
  layers_lrn_block(s->layer, in, s->in[0] + image, s->out + image, at, (int)n);
}

static void layers_lrn(const nn_step *s) {
  const nn_blob *in = &s->blobs[s->layer->bottom[0]];
  size_t blocks = nn_pieces((size_t)in->h * (size_t)in->w, LAYERS_LRN_BLOCK);
  nn_step step = *s;
  nn_team_run(s->team, (size_t)s->n * blocks, layers_lrn_task, &step);
}

static void layers_batch_norm(const nn_step *s) {
  const nn_layer *l = s->layer;
  const nn_blob *in = &s->blobs[l->bottom[0]];
  size_t plane = (size_t)in->h * (size_t)in->w;
  const float *x = s->in[0];
  float *to = s->out;
  for (int i = 0; i < s->n; i++) {
    for (int c = 0; c < in->c; c++, x += plane, to += plane) {
      float scale = l->scale[c], shift = l->shift[c];
      for (size_t p = 0; p < plane; p++) to[p] = x[p] * scale + shift;
    }
  }
}

/* Over one axis of each position; the maximum goes first, so that no exp
** overflows.  Elements of the axis lie `stride` apart. */
static void layers_softmax_at(const float *x, int n, size_t stride,
                              float *to) {
  float top = x[0], sum = 0;
  for (int c = 1; c < n; c++) {
    if (x[(size_t)c * stride] > top) top = x[(size_t)c * stride];
  }
  for (int c = 0; c < n; c++) {
    sum += to[(size_t)c * stride] = expf(x[(size_t)c * stride] - top);
  }
  for (int c = 0; c < n; c++) to[(size_t)c * stride] /= sum;
}

static void layers_softmax(const nn_step *s) {
  const nn_blob *in = &s->blobs[s->layer->bottom[0]];
  int axis = s->layer->axis;
  int n = axis == 1 ? in->c : axis == 2 ? in->h : in->w;
  size_t stride = axis == 3   ? 1
                  : axis == 2 ? (size_t)in->w
                              : (size_t)in->h * (size_t)in->w;
  size_t piece = (size_t)n * stride, total = (size_t)s->n * in->size;
  for (size_t at = 0; at < total; at += piece) {
    for (size_t p = 0; p < stride; p++) {
      layers_softmax_at(s->in[0] + at + p, n, stride, s->out + at + p);
    }
  }
}

/* All types --------------------------------------------------------------- */

void nn_layer_fast(const nn_step *s) {
  switch (s->layer->type) {
    case NN_CONVOLUTION:
      if (nn_depthwise(s->layer, s->blobs)) nn_depthwise_run(s);
      else if (s->blas) layers_convolution(s);
      else if (s->layer->winograd) nn_winograd_run(s);
      else nn_convolve_run(s);
      break;
    case NN_INNER_PRODUCT:
      if (s->blas && !s->layer->halves) layers_inner_product(s);
      else nn_dense_run(s);
      break;
    case NN_POOLING: nn_pooling_run(s); break;
    case NN_LRN: layers_lrn(s); break;
    case NN_BATCH_NORM: layers_batch_norm(s); break;
    case NN_SOFTMAX: layers_softmax(s); break;
    case NN_RELU:
    case NN_SIGMOID:
    case NN_CLIP:
    case NN_HARD_SIGMOID:
    case NN_HARD_SWISH:
    case NN_SCALE:
    case NN_ELTWISE: nn_pointwise_run(s); break;
    case NN_CONCAT:
    case NN_FLATTEN:
    case NN_CONSTANT:
    case NN_PADDING:
    case NN_SHUFFLE_CHANNEL:
    case NN_SLICE:
    case NN_RESHAPE:
    case NN_PERMUTE:
    case NN_MIRROR_MEAN:
    case NN_LOOKUP:   /* both in integer networks alone */
      nn_arrange_run(s);
      break;
  }
}

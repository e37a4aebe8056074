/*
** The fast form of every layer, in float32: multiplications, pooling and
** normalisation here, depthwise convolutions in depthwise.c, what is done
** element by element in pointwise.c, what moves elements in arrange.c.
**
** What img_hash() spends its time in.  A convolution is unrolled into columns
** (im2col) and multiplied by OpenBLAS, per image and group, a strip of output
** rows at a time so that the columns stay within a few megabytes; a 1x1
** convolution is a multiplication as it stands.  An inner product is sgemv for
** one image and sgemm for a batch.  Bias and, where plan.c found one, ReLU take
** one pass over the result.  The rest are plain loops along a row or a plane,
** written so that a compiler's baseline vectors fit them.
**
** reference.c has the same layers as their definition reads; a test holds the
** two equal.  Nothing here checks a shape: shape.c did.
*/
#include <float.h>
#include <math.h>
#include <string.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#include "nn_int.h"

/* Floats of columns that one multiplication works on, unless a single output
** row needs more. */
#define LAYERS_COLUMNS ((size_t)2 << 20)

/* Positions of a plane that LRN sums at a time: they stay in the first cache
** while the channels around them pass by. */
#define LAYERS_LRN_BLOCK 512

static float layers_positive(float x) {
  return x > 0 ? x : 0;
}

/* Convolution ------------------------------------------------------------- */

static int layers_pointwise(const nn_layer *l) {
  return l->kernel[0] == 1 && l->kernel[1] == 1 && l->stride[0] == 1 &&
         l->stride[1] == 1 && !l->pad[0] && !l->pad[1] && !l->pad[2] &&
         !l->pad[3];
}

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
  if (l->type != NN_POOLING && l->type != NN_CONVOLUTION) return 0;
  const nn_blob *in = &blobs[l->bottom[0]], *top = &blobs[l->top];
  if (l->type == NN_POOLING) return (size_t)in->w;
  if (layers_pointwise(l) || nn_depthwise(l, blobs)) return 0;
  return nn_mul(nn_mul(layers_depth(l, in), (size_t)top->w),
                (size_t)layers_strip(l, in, top));
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

/* x + bias, clamped at 0 if wanted, over each channel's plane. */
static void layers_finish(float *x, int channels, size_t plane,
                          const float *bias, int relu) {
  if (!bias && !relu) return;
  for (int c = 0; c < channels; c++, x += plane) {
    float b = bias ? bias[c] : 0;
    if (relu) {
      for (size_t i = 0; i < plane; i++) x[i] = layers_positive(x[i] + b);
    } else {
      for (size_t i = 0; i < plane; i++) x[i] += b;
    }
  }
}

static void layers_convolution(const nn_step *s) {
  const nn_layer *l = s->layer;
  const nn_blob *in = &s->blobs[l->bottom[0]], *top = &s->blobs[l->top];
  int m = top->c / l->group, k = (int)layers_depth(l, in);
  int plane = top->h * top->w, pointwise = layers_pointwise(l);
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
    layers_finish(image, top->c, (size_t)plane, s->bias, s->relu);
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
    float *x = s->out + (size_t)i * (size_t)m;
    if (s->bias) {
      for (int j = 0; j < m; j++) x[j] += s->bias[j];
    }
    if (s->relu) {
      for (int j = 0; j < m; j++) x[j] = layers_positive(x[j]);
    }
  }
}

/* Pooling ----------------------------------------------------------------- */

int nn_pool_window(const nn_layer *l, int axis, int side, int at, int *low,
                   int *high) {
  int64_t from = (int64_t)at * l->stride[axis] - l->pad[axis];
  int64_t to = from + l->kernel[axis];
  int64_t end = (int64_t)side + l->pad[axis + 2];
  *low = from < 0 ? 0 : (int)from;
  *high = to > side ? side : (int)to;
  return l->include_pad ? (int)((to > end ? end : to) - from) : *high - *low;
}

/* The rows of a window into one row: their maximum or their sum. */
static void layers_fold_rows(const float *rows, int count, int width,
                             int average, float *to) {
  memcpy(to, rows, (size_t)width * sizeof(*to));
  for (int y = 1; y < count; y++) {
    rows += width;
    if (average) {
      for (int x = 0; x < width; x++) to[x] += rows[x];
    } else {
      for (int x = 0; x < width; x++) to[x] = to[x] > rows[x] ? to[x] : rows[x];
    }
  }
}

/* Taps that lie apart, each looked at by itself. */
static float layers_pool_taps(const nn_layer *l, const nn_blob *in,
                              const float *plane, int y, int x) {
  int64_t y0 = (int64_t)y * l->stride[0] - l->pad[0];
  int64_t x0 = (int64_t)x * l->stride[1] - l->pad[1];
  float most = -FLT_MAX, sum = 0;
  int inside = 0, padded = 0;
  for (int ky = 0; ky < l->kernel[0]; ky++) {
    int64_t iy = y0 + (int64_t)ky * l->dilation[0];
    if (iy >= (int64_t)in->h + l->pad[2]) break;
    for (int kx = 0; kx < l->kernel[1]; kx++) {
      int64_t ix = x0 + (int64_t)kx * l->dilation[1];
      if (ix >= (int64_t)in->w + l->pad[3]) break;
      padded++;
      if (iy < 0 || iy >= in->h || ix < 0 || ix >= in->w) continue;
      float v = plane[iy * in->w + ix];
      most = v > most ? v : most;
      sum += v;
      inside++;
    }
  }
  return l->average ? sum / (float)(l->include_pad ? padded : inside) : most;
}

static void layers_pool_dilated(const nn_layer *l, const nn_blob *in,
                                const nn_blob *top, const float *plane,
                                float *to) {
  for (int y = 0; y < top->h; y++) {
    for (int x = 0; x < top->w; x++) {
      *to++ = layers_pool_taps(l, in, plane, y, x);
    }
  }
}

static void layers_pool_plane(const nn_layer *l, const nn_blob *in,
                              const nn_blob *top, const float *plane,
                              float *row, float *to) {
  for (int y = 0; y < top->h; y++, to += top->w) {
    int y0, y1, x0, x1;
    int tall = nn_pool_window(l, 0, in->h, y, &y0, &y1);
    layers_fold_rows(plane + (size_t)y0 * (size_t)in->w, y1 - y0, in->w,
                     l->average, row);
    for (int x = 0; x < top->w; x++) {
      int wide = nn_pool_window(l, 1, in->w, x, &x0, &x1);
      float value = row[x0];
      if (l->average) {
        for (int i = x0 + 1; i < x1; i++) value += row[i];
        value /= (float)tall * (float)wide;
      } else {
        for (int i = x0 + 1; i < x1; i++) {
          value = value > row[i] ? value : row[i];
        }
      }
      to[x] = value;
    }
  }
}

static void layers_pooling(const nn_step *s) {
  const nn_layer *l = s->layer;
  const nn_blob *in = &s->blobs[l->bottom[0]], *top = &s->blobs[l->top];
  size_t from = (size_t)in->h * (size_t)in->w;
  size_t to = (size_t)top->h * (size_t)top->w;
  size_t planes = (size_t)s->n * (size_t)in->c;
  int apart = l->dilation[0] > 1 || l->dilation[1] > 1;
  for (size_t i = 0; i < planes; i++) {
    const float *plane = s->in[0] + i * from;
    if (apart) layers_pool_dilated(l, in, top, plane, s->out + i * to);
    else layers_pool_plane(l, in, top, plane, s->scratch, s->out + i * to);
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

static void layers_lrn(const nn_step *s) {
  const nn_blob *in = &s->blobs[s->layer->bottom[0]];
  size_t plane = (size_t)in->h * (size_t)in->w;
  for (int i = 0; i < s->n; i++) {
    size_t image = (size_t)i * in->size;
    for (size_t at = 0; at < plane; at += LAYERS_LRN_BLOCK) {
      size_t n = plane - at < LAYERS_LRN_BLOCK ? plane - at : LAYERS_LRN_BLOCK;
      layers_lrn_block(s->layer, in, s->in[0] + image, s->out + image, at,
                       (int)n);
    }
  }
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
      else layers_convolution(s);
      break;
    case NN_INNER_PRODUCT: layers_inner_product(s); break;
    case NN_POOLING: layers_pooling(s); break;
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

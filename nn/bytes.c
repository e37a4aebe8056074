/*
** The layers of integer networks that read one blob: pooling, tables, and what
** prepares layers without weights when a model is opened.
**
** Bytes lie as NHWC, so most of these loops run over the channels of a
** position, which are contiguous and filled up to a multiple of 4; the filling
** goes through the arithmetic with the rest, which costs nothing, and means
** nothing.  They are plain C that a compiler's baseline vectors fit, and LRN
** has the bytes of its form (requantise.c).  naive.c
** has the same layers as their definition reads, and a test holds the two
** equal.  Convolutions and inner products are packed.c, layers that read
** several blobs mix.c, those that only move bytes gather.c.
*/
#include <string.h>

#include "floats.h"

#define BYTES_POSITIONS 64   /* of a task */
/* LRN: channels at once, and those around one on either side, at most. */
#define BYTES_LRN_PIECE 256
#define BYTES_LRN_HALF 8

static size_t bytes_positions(const nn_int_step *s, const nn_blob *blob) {
  return (size_t)s->n * (size_t)blob->h * (size_t)blob->w;
}

static uint8_t bytes_clamp(int64_t x, int max) {
  return (uint8_t)(x < 0 ? 0 : x > max ? max : x);
}

/* floor((a * m + 2^(s-1)) / 2^s).  Shifting a negative number to the right
** keeps its sign with every compiler that there is a kernel for. */
static int64_t bytes_requantise(int64_t a, int64_t m, int s) {
  return (a * m + ((int64_t)1 << (s - 1))) >> s;
}

/* Pooling ----------------------------------------------------------------- */

typedef struct bytes_window {
  int y0, y1, x0, x1;    /* of the image, */
  int dy, dx;            /* so many apart */
  int64_t divisor;
} bytes_window;

/* As nn_pool_window, for taps that are apart. */
static int bytes_axis(const nn_layer *l, int axis, int side, int at, int *low,
                      int *high) {
  if (l->dilation[axis] == 1) {
    return nn_pool_window(l, axis, side, at, low, high);
  }
  int64_t from = (int64_t)at * l->stride[axis] - l->pad[axis], tap = from;
  int64_t end = (int64_t)side + l->pad[axis + 2];
  int padded = 0, inside = 0;
  *low = *high = 0;
  for (int k = 0; k < l->kernel[axis] && tap < end; k++) {
    padded++;
    if (tap >= 0 && tap < side) {
      if (!inside++) *low = (int)tap;
      *high = (int)tap + 1;
    }
    tap += l->dilation[axis];
  }
  return l->include_pad ? padded : inside;
}

static bytes_window bytes_window_at(const nn_layer *l, const nn_blob *in,
                                    int y, int x) {
  bytes_window w = {.dy = l->dilation[0], .dx = l->dilation[1]};
  w.divisor = bytes_axis(l, 0, in->h, y, &w.y0, &w.y1);
  w.divisor *= bytes_axis(l, 1, in->w, x, &w.x0, &w.x1);
  return w;
}

static void bytes_pool_max(const nn_blob *in, const bytes_window *w,
                           const uint8_t *image, uint8_t *restrict to) {
  size_t stride = nn_int_stride(in), step = stride * (size_t)w->dx;
  memset(to, 0, stride);
  for (int y = w->y0; y < w->y1; y += w->dy) {
    const uint8_t *from =
        image + ((size_t)y * (size_t)in->w + (size_t)w->x0) * stride;
    for (int x = w->x0; x < w->x1; x += w->dx, from += step) {
      for (size_t c = 0; c < stride; c++) {
        to[c] = from[c] > to[c] ? from[c] : to[c];
      }
    }
  }
}

static void bytes_pool_mean(const nn_blob *in, const bytes_window *w,
                            const uint8_t *image, int64_t *restrict sum,
                            uint8_t *to) {
  size_t stride = nn_int_stride(in), step = stride * (size_t)w->dx;
  int64_t count = 0;
  memset(sum, 0, stride * sizeof(*sum));
  for (int y = w->y0; y < w->y1; y += w->dy) {
    const uint8_t *from =
        image + ((size_t)y * (size_t)in->w + (size_t)w->x0) * stride;
    for (int x = w->x0; x < w->x1; x += w->dx, from += step, count++) {
      for (size_t c = 0; c < stride; c++) sum[c] += from[c];
    }
  }
  memset(to, 0, stride);
  for (int c = 0; c < in->c; c++) {
    int zero = nn_int_zero(in, (size_t)c);
    /* the mean of q - zero, moved up by zero, so that nothing is negative */
    int64_t total = sum[c] - count * zero + w->divisor * zero;
    to[c] = (uint8_t)((2 * total + w->divisor) / (2 * w->divisor));
  }
}

static void bytes_pooling(const nn_int_step *s) {
  const nn_layer *l = s->layer;
  const nn_blob *in = &s->blobs[l->bottom[0]], *top = &s->blobs[l->top];
  const uint8_t *image = s->in[0];
  uint8_t *to = s->out;
  for (int i = 0; i < s->n; i++, image += in->slots * 4) {
    for (int y = 0; y < top->h; y++) {
      for (int x = 0; x < top->w; x++, to += nn_int_stride(top)) {
        bytes_window w = bytes_window_at(l, in, y, x);
        if (l->average) bytes_pool_mean(in, &w, image, s->scratch, to);
        else bytes_pool_max(in, &w, image, to);
      }
    }
  }
}

/* Tables ------------------------------------------------------------------ */

static void bytes_lookup(const nn_int_step *s) {
  const nn_whole *w = &s->layer->whole;
  const nn_blob *in = &s->blobs[s->layer->bottom[0]];
  size_t stride = nn_int_stride(in), positions = bytes_positions(s, in);
  uint8_t *to = s->out;
  if (!in->quant.sums) {
    const uint8_t *from = s->in[0];
    for (size_t i = 0; i < positions * stride; i++) to[i] = w->lookup[from[i]];
    return;
  }
  const int32_t *from = s->in[0];
  for (size_t p = 0; p < positions; p++, to += stride, from += in->c) {
    for (int c = 0; c < in->c; c++) {
      int64_t q = bytes_requantise(from[c], w->multiplier[c], w->shift[c]);
      to[c] = w->lookup[bytes_clamp(128 + q, 255)];
    }
    memset(to + in->c, 0, stride - (size_t)in->c);
  }
}

static uint32_t bytes_square(const nn_blob *in, const uint8_t *from, int c) {
  int value = from[c] - nn_int_zero(in, (size_t)c);
  return (uint32_t)(value * value);
}

/* One position; the sum moves along with the channels.  It is below 2^32:
** local_size is at most 65535, a square at most 255 * 255. */
static void bytes_lrn_at(const nn_int_step *s, const uint8_t *from,
                         uint8_t *to) {
  const nn_layer *l = s->layer;
  const nn_whole *w = &l->whole;
  const nn_blob *in = &s->blobs[l->bottom[0]], *top = &s->blobs[l->top];
  int half = l->local_size / 2, zero = nn_int_zero(top, 0);
  uint32_t sum = 0, last = (uint32_t)w->entries - 1;
  for (int c = 0; c < half && c < in->c; c++) sum += bytes_square(in, from, c);
  for (int c = 0; c < in->c; c++) {
    if (in->c - c > half) sum += bytes_square(in, from, c + half);
    uint32_t entry = sum >> w->sum_shift;
    int value = from[c] - nn_int_zero(in, (size_t)c);
    int64_t q = bytes_requantise(value, w->table[entry < last ? entry : last],
                                 w->right);
    to[c] = bytes_clamp(zero + q, top->quant.max);
    if (c >= half) sum -= bytes_square(in, from, c - half);
  }
  memset(to + in->c, 0, nn_int_stride(in) - (size_t)in->c);
}

/* Whether channels may go by many at once: few are around one, and all have the
** same zero point. */
static int bytes_lrn_together(const nn_layer *l, const nn_blob *in) {
  const nn_quant *q = &in->quant;
  return l->local_size / 2 <= BYTES_LRN_HALF && q->span >= (size_t)in->c;
}

/* Channels [c, c + n) of one position. */
static void bytes_lrn_some(const nn_int_step *s, const uint8_t *from, int c,
                           int n, uint8_t *to) {
  static const int32_t none[BYTES_LRN_PIECE];
  const nn_layer *l = s->layer;
  const nn_whole *w = &l->whole;
  const nn_blob *in = &s->blobs[l->bottom[0]], *top = &s->blobs[l->top];
  int32_t value[BYTES_LRN_PIECE + 2 * BYTES_LRN_HALF];
  uint32_t square[BYTES_LRN_PIECE + 2 * BYTES_LRN_HALF];
  uint32_t sum[BYTES_LRN_PIECE], last = (uint32_t)w->entries - 1;
  int32_t factor[BYTES_LRN_PIECE], right[BYTES_LRN_PIECE];
  int half = l->local_size / 2, all = n + 2 * half, zero = nn_int_zero(in, 0);
  int begin = c < half ? half - c : 0, end = in->c - c + half;
  if (end > all) end = all;
  for (int i = 0; i < begin; i++) value[i] = 0;
  for (int i = begin; i < end; i++) value[i] = from[c - half + i] - zero;
  for (int i = end; i < all; i++) value[i] = 0;
  for (int i = 0; i < all; i++) square[i] = (uint32_t)(value[i] * value[i]);
  for (int i = 0; i < n; i++) sum[i] = square[i];
  for (int k = 1; k < l->local_size; k++) {
    for (int i = 0; i < n; i++) sum[i] += square[i + k];
  }
  for (int i = 0; i < n; i++) {
    uint32_t entry = sum[i] >> w->sum_shift;
    factor[i] = w->table[entry < last ? entry : last];
    right[i] = w->right;
  }
  s->form->bytes(1, n, value + half, none, factor, right, nn_int_zero(top, 0),
                 top->quant.max, to + c, 0);
}

static void bytes_lrn_position(const nn_int_step *s, const uint8_t *from,
                               uint8_t *to) {
  const nn_blob *in = &s->blobs[s->layer->bottom[0]];
  for (int c = 0, n; c < in->c; c += n) {
    n = in->c - c < BYTES_LRN_PIECE ? in->c - c : BYTES_LRN_PIECE;
    bytes_lrn_some(s, from, c, n, to);
  }
  memset(to + in->c, 0, nn_int_stride(in) - (size_t)in->c);
}

static void bytes_lrn_task(void *context, size_t task, int worker) {
  const nn_int_step *s = context;
  const nn_blob *in = &s->blobs[s->layer->bottom[0]];
  size_t stride = nn_int_stride(in), positions = bytes_positions(s, in);
  size_t p = task * BYTES_POSITIONS, end = p + BYTES_POSITIONS;
  const uint8_t *from = s->in[0];
  uint8_t *to = s->out;
  int together = bytes_lrn_together(s->layer, in);
  (void)worker;
  for (; p < end && p < positions; p++) {
    if (together) bytes_lrn_position(s, from + p * stride, to + p * stride);
    else bytes_lrn_at(s, from + p * stride, to + p * stride);
  }
}

static void bytes_lrn(const nn_int_step *s) {
  nn_int_step step = *s;
  size_t positions = bytes_positions(s, &s->blobs[s->layer->bottom[0]]);
  nn_team_run(s->team, nn_pieces(positions, BYTES_POSITIONS), bytes_lrn_task,
              &step);
}

static int64_t bytes_exponential(const nn_whole *w, int64_t below) {
  below >>= w->right;
  return w->table[below < w->entries ? below : w->entries - 1];
}

static void bytes_softmax(const nn_int_step *s) {
  const nn_whole *w = &s->layer->whole;
  const nn_blob *in = &s->blobs[s->layer->bottom[0]];
  size_t positions = bytes_positions(s, in);
  const int32_t *from = s->in[0];
  int32_t *to = s->out;
  for (size_t p = 0; p < positions; p++, from += in->c, to += in->c) {
    int64_t most = from[0], sum = 0;
    for (int c = 1; c < in->c; c++) most = from[c] > most ? from[c] : most;
    for (int c = 0; c < in->c; c++) {
      sum += bytes_exponential(w, most - from[c]);
    }
    for (int c = 0; c < in->c; c++) {
      int64_t e = bytes_exponential(w, most - from[c]);
      to[c] = (int32_t)(((e << 24) + sum / 2) / sum);
    }
  }
}

/* The rest ---------------------------------------------------------------- */

static void bytes_relu(const nn_int_step *s) {
  const nn_blob *in = &s->blobs[s->layer->bottom[0]];
  size_t stride = nn_int_stride(in), positions = bytes_positions(s, in);
  const uint8_t *from = s->in[0];
  uint8_t *to = s->out, zero = (uint8_t)nn_int_zero(in, 0);
  if (in->quant.span >= (size_t)in->c) {
    if (!zero && to == from) return;
    for (size_t i = 0; i < positions * stride; i++) {
      to[i] = from[i] > zero ? from[i] : zero;
    }
    return;
  }
  for (size_t p = 0; p < positions; p++, from += stride, to += stride) {
    for (int c = 0; c < in->c; c++) {
      zero = (uint8_t)nn_int_zero(in, (size_t)c);
      to[c] = from[c] > zero ? from[c] : zero;
    }
    memset(to + in->c, 0, stride - (size_t)in->c);
  }
}

static void bytes_flatten(const nn_int_step *s) {
  const nn_blob *in = &s->blobs[s->layer->bottom[0]];
  const nn_blob *top = &s->blobs[s->layer->top];
  size_t plane = (size_t)in->h * (size_t)in->w, stride = nn_int_stride(in);
  const uint8_t *from = s->in[0];
  uint8_t *to = s->out;
  if (to == from) return;
  for (int i = 0; i < s->n; i++, from += in->slots * 4) {
    for (int c = 0; c < in->c; c++) {
      for (size_t p = 0; p < plane; p++) *to++ = from[p * stride + (size_t)c];
    }
    for (size_t c = in->size; c < nn_int_stride(top); c++) *to++ = 0;
  }
}

static void bytes_mirror_mean(const nn_int_step *s) {
  size_t n = (size_t)s->n * s->blobs[s->layer->top].slots * 4;
  const uint8_t *from = s->in[0];
  uint8_t *to = s->out;
  if (!s->mirrored) {
    memcpy(to, from, n);
    return;
  }
  for (size_t i = 0; i < n; i++) to[i] = (uint8_t)((to[i] + from[i] + 1) >> 1);
}

void nn_int_fast(const nn_int_step *s) {
  switch (s->layer->type) {
    case NN_CONVOLUTION:
    case NN_INNER_PRODUCT: nn_packed_run(s); break;
    case NN_POOLING: bytes_pooling(s); break;
    case NN_ELTWISE:
    case NN_CONCAT: nn_mix_run(s); break;
    case NN_SIGMOID:
    case NN_LOOKUP: bytes_lookup(s); break;
    case NN_LRN: bytes_lrn(s); break;
    case NN_SOFTMAX: bytes_softmax(s); break;
    case NN_RELU: bytes_relu(s); break;
    case NN_FLATTEN: bytes_flatten(s); break;
    case NN_MIRROR_MEAN: bytes_mirror_mean(s); break;
    case NN_CONSTANT:
    case NN_PADDING:
    case NN_SHUFFLE_CHANNEL:
    case NN_SLICE:
    case NN_RESHAPE:
    case NN_PERMUTE: nn_gather_run(s); break;
    default: break;   /* refused in integer networks */
  }
}

/* Before it runs ---------------------------------------------------------- */

nn_status nn_int_ready(nn_model *model, nn_layer *layer, nn_error *err) {
  switch (layer->type) {
    case NN_ELTWISE:
    case NN_CONCAT: return nn_mix_ready(model, layer, err);
    case NN_CONSTANT:
    case NN_PADDING:
    case NN_SHUFFLE_CHANNEL:
    case NN_SLICE:
    case NN_RESHAPE:
    case NN_PERMUTE: return nn_gather_ready(model, layer, err);
    default: return NN_OK;
  }
}

size_t nn_int_scratch(const nn_layer *layer, const nn_blob *blobs) {
  size_t whole;
  switch (layer->type) {
    case NN_CONVOLUTION:
      whole = nn_whole_scratch(layer, blobs);
      if (whole > nn_packed_scratch(layer)) return whole;
      return nn_packed_scratch(layer);
    case NN_INNER_PRODUCT: return nn_packed_scratch(layer);
    case NN_POOLING:
      if (!layer->average) return 0;
      return nn_int_stride(&blobs[layer->bottom[0]]) * sizeof(int64_t) / 4;
    default: return 0;
  }
}

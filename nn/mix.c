/*
** Layers of integer networks that read several blobs of bytes: Eltwise and
** Concat.
**
** Residual networks add, DenseNet and Inception put side by side, squeeze and
** excitation multiplies each channel by a number of its own.  Every bottom has
** a scale and a zero point of its own, so whatever is done, one rounding
** brings the result to the scale of the output.  A sum and a maximum are taken
** of factor * (q - zero point), in 32 bits that were checked when the model
** was opened; a product of two is requantised as a filter's sum is, by the
** kernels of integer.c.
**
** A side of 1 goes with any (broadcasting).  What a bottom has at a position
** is then its only row's or column's, and its only channel stands for all.
**
** Bytes lie as NHWC, so the inner loops run over the channels of a position,
** in pieces that fit a buffer of their own, because the result may lie where a
** bottom lies.  The zero points are taken out beforehand (nn_whole.constant).
*/
#include <string.h>

#include "nn_int.h"

#define MIX_PIECE 256

/* What the bottoms have at one position; step 0: one channel for all. */
typedef struct mix_sources {
  const uint8_t *at[NN_BOTTOM_MAX];
  int step[NN_BOTTOM_MAX];
} mix_sources;

/* Pieces ------------------------------------------------------------------ */

#define MIX_INLINE static inline __attribute__((always_inline)) void

MIX_INLINE mix_sum(const nn_whole *w, int bottoms, const mix_sources *from,
                   size_t skip, size_t n, int32_t *sum) {
  memcpy(sum, w->constant + skip, n * sizeof(*sum));
  for (int j = 0; j < bottoms; j++) {
    int32_t factor = w->factor[j];
    if (from->step[j]) {
      const uint8_t *x = from->at[j] + skip;
      for (size_t i = 0; i < n; i++) sum[i] += factor * x[i];
    } else {
      int32_t one = factor * from->at[j][0];
      for (size_t i = 0; i < n; i++) sum[i] += one;
    }
  }
}

static void mix_max(const nn_whole *w, int bottoms, size_t stride,
                    const mix_sources *from, size_t skip, size_t n,
                    int32_t *most) {
  for (int j = 0; j < bottoms; j++) {
    const uint8_t *x = from->at[j] + (from->step[j] ? skip : 0);
    const int32_t *constant = w->constant + (size_t)j * stride + skip;
    int32_t factor = w->factor[j];
    int step = from->step[j];
    for (size_t i = 0; i < n; i++) {
      int32_t y = factor * x[step ? i : 0] + constant[i];
      most[i] = j && most[i] > y ? most[i] : y;
    }
  }
}

static void mix_product(const nn_whole *w, size_t stride,
                        const mix_sources *from, size_t skip, size_t n,
                        int32_t *product) {
  const int32_t *zero = w->constant + skip;
  for (int j = 0; j < 2; j++, zero += stride) {
    const uint8_t *x = from->at[j] + (from->step[j] ? skip : 0);
    int step = from->step[j];
    for (size_t i = 0; i < n; i++) {
      int32_t value = x[step ? i : 0] - zero[i];
      product[i] = j ? product[i] * value : value;
    }
  }
}

/* Sums that have the half to round in them, as bytes. */
MIX_INLINE mix_bytes(const nn_int_step *s, const int32_t *sum, size_t n,
                     uint8_t *to) {
  const nn_blob *top = &s->blobs[s->layer->top];
  int zero = nn_int_zero(top, 0), max = top->quant.max;
  int right = s->layer->whole.right;
  for (size_t i = 0; i < n; i++) {
    int32_t q = (sum[i] >> right) + zero;
    q = q < 0 ? 0 : q;
    to[i] = (uint8_t)(q > max ? max : q);
  }
}

MIX_INLINE mix_add(const nn_int_step *s, const mix_sources *from, size_t skip,
                   size_t n, uint8_t *to) {
  int32_t sum[MIX_PIECE];
  mix_sum(&s->layer->whole, s->layer->bottoms, from, skip, n, sum);
  mix_bytes(s, sum, n, to);
}

static void mix_add_plain(const nn_int_step *s, const mix_sources *from,
                          size_t skip, size_t n, uint8_t *to) {
  mix_add(s, from, skip, n, to);
}

/* The same loops by the compiler for vectors of twice the size. */
#ifdef __x86_64__
NN_TARGET("avx2")
static void mix_add_avx2(const nn_int_step *s, const mix_sources *from,
                         size_t skip, size_t n, uint8_t *to) {
  mix_add(s, from, skip, n, to);
}
#define MIX_ADD \
  (nn_cpu_features() & NN_CPU_AVX2 ? mix_add_avx2 : mix_add_plain)
#else
#define MIX_ADD mix_add_plain
#endif

/* Eltwise ----------------------------------------------------------------- */

/* Channels of one position. */
static void mix_position(const nn_int_step *s, const mix_sources *from,
                         uint8_t *to) {
  const nn_layer *l = s->layer;
  const nn_blob *top = &s->blobs[l->top];
  const nn_whole *w = &l->whole;
  size_t stride = nn_int_stride(top);
  int32_t sum[MIX_PIECE];
  static const int32_t none[MIX_PIECE];
  for (size_t c = 0; c < stride; c += MIX_PIECE) {
    size_t n = stride - c < MIX_PIECE ? stride - c : MIX_PIECE;
    if (l->operation == NN_PROD) {
      mix_product(w, stride, from, c, n, sum);
      s->form->bytes(1, (int)n, sum, none, w->multiplier, w->shift,
                     nn_int_zero(top, 0), top->quant.max, to + c, 0);
      continue;
    }
    if (l->operation == NN_MAX) {
      mix_max(w, l->bottoms, stride, from, c, n, sum);
      mix_bytes(s, sum, n, to + c);
    } else {
      MIX_ADD(s, from, c, n, to + c);
    }
  }
}

static size_t mix_offset(const nn_blob *in, int i, int y, int x) {
  size_t row = (size_t)i * (size_t)in->h + (size_t)(in->h > 1 ? y : 0);
  return (row * (size_t)in->w + (size_t)(in->w > 1 ? x : 0)) *
         nn_int_stride(in);
}

static void mix_eltwise(const nn_int_step *s) {
  const nn_layer *l = s->layer;
  const nn_blob *top = &s->blobs[l->top];
  uint8_t *to = s->out;
  mix_sources from;
  for (int j = 0; j < l->bottoms; j++) {
    from.step[j] = s->blobs[l->bottom[j]].c == top->c;
  }
  for (int i = 0; i < s->n; i++) {
    for (int y = 0; y < top->h; y++) {
      for (int x = 0; x < top->w; x++, to += nn_int_stride(top)) {
        for (int j = 0; j < l->bottoms; j++) {
          from.at[j] = (const uint8_t *)s->in[j] +
                       mix_offset(&s->blobs[l->bottom[j]], i, y, x);
        }
        mix_position(s, &from, to);
      }
    }
  }
}

/* Concat ------------------------------------------------------------------ */

/* Bottom j of image i into the output, whose position and channel `at` its
** first has. */
static void mix_part(const nn_int_step *s, int j, int i, const int at[3],
                     const int32_t *constant) {
  const nn_layer *l = s->layer;
  const nn_blob *in = &s->blobs[l->bottom[j]], *top = &s->blobs[l->top];
  const uint8_t *from = (const uint8_t *)s->in[j] + mix_offset(in, i, 0, 0);
  int32_t sum[MIX_PIECE], factor = l->whole.factor[j];
  size_t channels = (size_t)in->c;
  for (int y = 0; y < in->h; y++) {
    size_t row = (size_t)i * (size_t)top->h + (size_t)(y + at[1]);
    uint8_t *to = (uint8_t *)s->out + (size_t)at[0] +
                  (row * (size_t)top->w + (size_t)at[2]) * nn_int_stride(top);
    for (int x = 0; x < in->w; x++, from += nn_int_stride(in)) {
      for (size_t c = 0; c < channels; c += MIX_PIECE) {
        size_t n = channels - c < MIX_PIECE ? channels - c : MIX_PIECE;
        for (size_t k = 0; k < n; k++) {
          sum[k] = factor * from[c + k] + constant[c + k];
        }
        mix_bytes(s, sum, n, to + c);
      }
      to += nn_int_stride(top);
    }
  }
}

static void mix_concat(const nn_int_step *s) {
  const nn_layer *l = s->layer;
  const nn_blob *top = &s->blobs[l->top];
  size_t stride = nn_int_stride(top), c = (size_t)top->c;
  size_t positions = (size_t)s->n * (size_t)top->h * (size_t)top->w;
  uint8_t *to = s->out;
  for (int i = 0; i < s->n; i++) {
    const int32_t *constant = l->whole.constant;
    int at[3] = {0, 0, 0};
    for (int j = 0; j < l->bottoms; j++) {
      const nn_blob *in = &s->blobs[l->bottom[j]];
      mix_part(s, j, i, at, constant);
      constant += nn_int_stride(in);
      at[l->axis - 1] += l->axis == 1 ? in->c : l->axis == 2 ? in->h : in->w;
    }
  }
  for (size_t p = 0; p < positions && c < stride; p++, to += stride) {
    memset(to + c, 0, stride - c);
  }
}

void nn_mix_run(const nn_int_step *s) {
  if (s->layer->type == NN_CONCAT) mix_concat(s);
  else mix_eltwise(s);
}

/* Before it runs ---------------------------------------------------------- */

/* to[c] = 2^(shift-1) - sum of factor * zero point, for channels [0, n) of the
** bottoms [first, first + count) together.  It is an int32, and stays one with
** the products added, because the sums were checked. */
static void mix_constant(const nn_model *model, const nn_layer *l, int first,
                         int count, int n, int32_t *to) {
  for (int c = 0; c < n; c++) {
    int64_t sum = (int64_t)1 << (l->whole.right - 1);
    for (int j = first; j < first + count; j++) {
      const nn_blob *in = &model->blobs[l->bottom[j]];
      sum -= (int64_t)l->whole.factor[j] *
             nn_int_zero(in, c < in->c ? (size_t)c : 0);
    }
    to[c] = (int32_t)sum;
  }
}

/* A product's zero points, and its multiplier and shift for a piece. */
static nn_status mix_product_ready(nn_model *model, nn_layer *l,
                                   nn_error *err) {
  const nn_blob *top = &model->blobs[l->top];
  size_t stride = nn_int_stride(top);
  int32_t *to = nn_model_alloc(model, 2 * stride + 2 * MIX_PIECE, sizeof(*to));
  if (!to) return nn_fail(err, NN_NOMEM, "out of memory");
  l->whole.constant = to;
  for (int j = 0; j < 2; j++, to += stride) {
    const nn_blob *in = &model->blobs[l->bottom[j]];
    for (int c = 0; c < top->c; c++) {
      to[c] = nn_int_zero(in, c < in->c ? (size_t)c : 0);
    }
  }
  for (int i = 0; i < MIX_PIECE; i++) {
    to[i] = l->whole.factor[0];
    to[MIX_PIECE + i] = l->whole.right;
  }
  l->whole.multiplier = to;
  l->whole.shift = to + MIX_PIECE;
  return NN_OK;
}

nn_status nn_mix_ready(nn_model *model, nn_layer *l, nn_error *err) {
  const nn_blob *top = &model->blobs[l->top];
  int concat = l->type == NN_CONCAT;
  int parts = concat || l->operation == NN_MAX ? l->bottoms : 1;
  size_t n = 0;
  if (!concat && l->operation == NN_PROD) {
    return mix_product_ready(model, l, err);
  }
  for (int j = 0; j < parts; j++) {
    n += nn_int_stride(concat ? &model->blobs[l->bottom[j]] : top);
  }
  int32_t *to = nn_model_alloc(model, n, sizeof(*to));
  if (!to) return nn_fail(err, NN_NOMEM, "out of memory");
  l->whole.constant = to;
  for (int j = 0; j < parts; j++) {
    const nn_blob *like = concat ? &model->blobs[l->bottom[j]] : top;
    mix_constant(model, l, j, parts == 1 ? l->bottoms : 1, like->c, to);
    to += nn_int_stride(like);
  }
  return NN_OK;
}

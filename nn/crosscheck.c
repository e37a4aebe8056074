/*
** Convolutions and inner products of integer networks by OpenBLAS: a second
** opinion on packed.c and its kernels, from a library that shares no line with
** them (NN_BLAS in network.h, `binhash-run --engine blas`).
**
** Whole numbers up to 2^24 are exact in float32, and so is any sum of products
** of them, in any order and with or without fused multiplications, as long as
** no partial sum can pass 2^24.  So the depth of a filter is cut into pieces
** short enough for the worst weights and bytes, and the results of the pieces
** are added as integers.  Bytes and weights are gathered into rows of floats
** for a few positions and filters at a time: it is a check, and not built for
** speed.
*/
#include <string.h>

#include "nn_int.h"

#define CROSSCHECK_TILE 64      /* positions and filters of a multiplication */
#define CROSSCHECK_DEPTH 1024   /* products of each, at most */
#define CROSSCHECK_EXACT ((1 << 24) - 1)

size_t nn_crosscheck_scratch(void) {
  return 2 * CROSSCHECK_TILE * CROSSCHECK_DEPTH +
         2 * CROSSCHECK_TILE * CROSSCHECK_TILE;
}

typedef struct crosscheck_tile {
  size_t position;        /* the first, of all images */
  int positions;
  int out, outs;          /* filters, of one group */
  int from, depth;        /* products [from, from + depth) of each */
  float *bytes;           /* [positions][depth] */
  float *weights;         /* [outs][depth] */
  float *products;        /* [positions][outs] */
  int32_t *sums;          /* [positions][outs], all pieces so far */
} crosscheck_tile;

/* The byte that product k of a filter of group g multiplies, less its zero
** point; 0 outside of the image. */
static int crosscheck_byte(const nn_int_step *s, int g, size_t position,
                           int k) {
  const nn_layer *l = s->layer;
  const nn_blob *in = &s->blobs[l->bottom[0]], *top = &s->blobs[l->top];
  size_t w = (size_t)top->w, h = (size_t)top->h;
  int taps = l->kernel[0] * l->kernel[1], tap = k % taps;
  int c = g * (in->c / l->group) + k / taps;
  int64_t y = (int64_t)(position / w % h) * l->stride[0] - l->pad[0] +
              (int64_t)(tap / l->kernel[1]) * l->dilation[0];
  int64_t x = (int64_t)(position % w) * l->stride[1] - l->pad[1] +
              (int64_t)(tap % l->kernel[1]) * l->dilation[1];
  if (y < 0 || y >= in->h || x < 0 || x >= in->w) return 0;
  const uint8_t *image =
      (const uint8_t *)s->in[0] + position / (w * h) * in->slots * 4;
  size_t at = (size_t)(y * in->w + x) * nn_int_stride(in) + (size_t)c;
  return image[at] - nn_int_zero(in, (size_t)c);
}

static void crosscheck_piece(const nn_int_step *s, const crosscheck_tile *t,
                             int all) {
  int g = t->out / (s->blobs[s->layer->top].c / s->layer->group);
  float *to = t->bytes;
  for (int p = 0; p < t->positions; p++) {
    for (int k = 0; k < t->depth; k++) {
      *to++ = (float)crosscheck_byte(s, g, t->position + (size_t)p,
                                     t->from + k);
    }
  }
  to = t->weights;
  for (int o = 0; o < t->outs; o++) {
    const int8_t *weight = s->layer->whole.weight +
                           (size_t)(t->out + o) * (size_t)all + t->from;
    for (int k = 0; k < t->depth; k++) *to++ = (float)weight[k];
  }
  nn_blas_sgemm(s->blas, 1, t->positions, t->outs, t->depth, t->bytes,
                t->depth, t->weights, t->depth, t->products, t->outs);
  for (int i = 0; i < t->positions * t->outs; i++) {
    t->sums[i] += (int32_t)t->products[i];
  }
}

static void crosscheck_write(const nn_int_step *s, const crosscheck_tile *t) {
  const nn_blob *top = &s->blobs[s->layer->top];
  const nn_whole *w = &s->layer->whole;
  const int32_t *sum = t->sums;
  for (int p = 0; p < t->positions; p++) {
    size_t at = t->position + (size_t)p;
    for (int o = t->out; o < t->out + t->outs; o++) {
      int64_t q = *sum++ + (int64_t)(w->bias ? w->bias[o] : 0);
      if (top->quant.sums) {
        ((int32_t *)s->out)[at * (size_t)top->c + (size_t)o] = (int32_t)q;
        continue;
      }
      q = (q * w->multiplier[o] + ((int64_t)1 << (w->shift[o] - 1))) >>
          w->shift[o];
      q += nn_int_zero(top, 0);
      q = q < 0 ? 0 : q > top->quant.max ? top->quant.max : q;
      ((uint8_t *)s->out)[at * nn_int_stride(top) + (size_t)o] = (uint8_t)q;
    }
  }
}

void nn_crosscheck_run(const nn_int_step *s) {
  const nn_layer *l = s->layer;
  const nn_blob *in = &s->blobs[l->bottom[0]], *top = &s->blobs[l->top];
  size_t positions = (size_t)s->n * (size_t)top->h * (size_t)top->w;
  int outputs = top->c / l->group;
  int all = in->c / l->group * l->kernel[0] * l->kernel[1];
  int most = CROSSCHECK_EXACT / (128 * in->quant.max);
  crosscheck_tile t = {.bytes = s->scratch};
  if (most > CROSSCHECK_DEPTH) most = CROSSCHECK_DEPTH;
  t.weights = t.bytes + CROSSCHECK_TILE * CROSSCHECK_DEPTH;
  t.products = t.weights + CROSSCHECK_TILE * CROSSCHECK_DEPTH;
  t.sums = (int32_t *)(void *)(t.products + CROSSCHECK_TILE * CROSSCHECK_TILE);
  if (!top->quant.sums) memset(s->out, 0, (size_t)s->n * top->slots * 4);
  for (; t.position < positions; t.position += CROSSCHECK_TILE) {
    size_t left = positions - t.position;
    t.positions = left < CROSSCHECK_TILE ? (int)left : CROSSCHECK_TILE;
    for (t.out = 0; t.out < top->c; t.out += t.outs) {
      t.outs = outputs - t.out % outputs;
      if (t.outs > CROSSCHECK_TILE) t.outs = CROSSCHECK_TILE;
      memset(t.sums, 0, sizeof(*t.sums) * CROSSCHECK_TILE * CROSSCHECK_TILE);
      for (t.from = 0; t.from < all; t.from += most) {
        t.depth = all - t.from < most ? all - t.from : most;
        crosscheck_piece(s, &t, all);
      }
      crosscheck_write(s, &t);
    }
  }
}

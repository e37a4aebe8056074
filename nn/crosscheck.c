/*
** Convolutions and inner products of integer networks by OpenBLAS: a second
** opinion on packed.c and its kernels, from a library that shares no line with
** them (NN_BLAS in network.h, `binhash-run --engine blas`).
**
** Whole numbers up to 2^24 are exact in float32, and so is any sum of products
** of them, in any order and with or without fused multiplications, as long as
** no partial sum can pass 2^24.  So the depth of a filter is cut into pieces
** short enough for the worst weights and bytes, and the results of the pieces
** are added as integers.  Bytes are gathered a few positions at a time, once
** for all filters, tap by tap with a test at each: it is a check, and not built
** for speed.
*/
#include <string.h>

#include "nn_int.h"

#define CROSSCHECK_POSITIONS 64 /* of a multiplication, at most */
#define CROSSCHECK_FILTERS 64
#define CROSSCHECK_DEPTH 1024   /* products of each, at most */
#define CROSSCHECK_OUTS 512     /* filters that share bytes, at most */
#define CROSSCHECK_EXACT ((1 << 24) - 1)

size_t nn_crosscheck_scratch(void) {
  return (CROSSCHECK_POSITIONS + CROSSCHECK_FILTERS) * CROSSCHECK_DEPTH +
         (CROSSCHECK_FILTERS + CROSSCHECK_OUTS) * CROSSCHECK_POSITIONS;
}

/* Where the filter lies on the image for a position of the output. */
typedef struct crosscheck_place {
  const uint8_t *image;
  int64_t y, x;           /* of its first tap */
} crosscheck_place;

typedef struct crosscheck_tile {
  size_t position;        /* the first, of all images */
  int positions;
  int out, outs;          /* filters, of one group */
  int from, depth;        /* products [from, from + depth) of each */
  float *bytes;           /* [depth][positions] */
  float *weights;         /* [CROSSCHECK_FILTERS][depth] */
  float *products;        /* [CROSSCHECK_FILTERS][positions] */
  int32_t *sums;          /* [outs][positions], all pieces so far */
  crosscheck_place place[CROSSCHECK_POSITIONS];
} crosscheck_tile;

static void crosscheck_places(const nn_int_step *s, crosscheck_tile *t) {
  const nn_layer *l = s->layer;
  const nn_blob *in = &s->blobs[l->bottom[0]], *top = &s->blobs[l->top];
  size_t w = (size_t)top->w, h = (size_t)top->h;
  for (int p = 0; p < t->positions; p++) {
    size_t position = t->position + (size_t)p;
    t->place[p] = (crosscheck_place){
        (const uint8_t *)s->in[0] + position / (w * h) * in->slots * 4,
        (int64_t)(position / w % h) * l->stride[0] - l->pad[0],
        (int64_t)(position % w) * l->stride[1] - l->pad[1]};
  }
}

/* The bytes that a piece of the filters multiplies, less their zero points; 0
** outside of the image. */
static void crosscheck_gather(const nn_int_step *s, const crosscheck_tile *t) {
  const nn_layer *l = s->layer;
  const nn_blob *in = &s->blobs[l->bottom[0]];
  int taps = l->kernel[0] * l->kernel[1], each = in->c / l->group;
  int first = t->out / (s->blobs[l->top].c / l->group) * each;
  float *to = t->bytes;
  for (int k = t->from; k < t->from + t->depth; k++) {
    int tap = k % taps;
    size_t c = (size_t)(first + k / taps);
    int64_t down = (int64_t)(tap / l->kernel[1]) * l->dilation[0];
    int64_t right = (int64_t)(tap % l->kernel[1]) * l->dilation[1];
    int zero = nn_int_zero(in, c);
    for (int p = 0; p < t->positions; p++) {
      int64_t y = t->place[p].y + down, x = t->place[p].x + right;
      int inside = y >= 0 && y < in->h && x >= 0 && x < in->w;
      size_t at = (size_t)(y * in->w + x) * nn_int_stride(in) + c;
      *to++ = inside ? (float)(t->place[p].image[at] - zero) : 0;
    }
  }
}

static void crosscheck_piece(const nn_int_step *s, const crosscheck_tile *t,
                             int all) {
  crosscheck_gather(s, t);
  for (int out = 0, outs; out < t->outs; out += outs) {
    float *to = t->weights;
    outs = t->outs - out;
    if (outs > CROSSCHECK_FILTERS) outs = CROSSCHECK_FILTERS;
    for (int o = 0; o < outs; o++) {
      const int8_t *weight = s->layer->whole.weight +
                             (size_t)(t->out + out + o) * (size_t)all +
                             t->from;
      for (int k = 0; k < t->depth; k++) *to++ = (float)weight[k];
    }
    nn_blas_sgemm(s->blas, 0, outs, t->positions, t->depth, t->weights,
                  t->depth, t->bytes, t->positions, t->products,
                  t->positions);
    int32_t *sum = t->sums + out * t->positions;
    for (int i = 0; i < outs * t->positions; i++) {
      sum[i] += (int32_t)t->products[i];
    }
  }
}

static void crosscheck_write(const nn_int_step *s, const crosscheck_tile *t) {
  const nn_blob *top = &s->blobs[s->layer->top];
  const nn_whole *w = &s->layer->whole;
  const int32_t *sum = t->sums;
  for (int o = t->out; o < t->out + t->outs; o++) {
    for (int p = 0; p < t->positions; p++) {
      size_t at = t->position + (size_t)p;
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
  t.weights = t.bytes + CROSSCHECK_POSITIONS * CROSSCHECK_DEPTH;
  t.products = t.weights + CROSSCHECK_FILTERS * CROSSCHECK_DEPTH;
  t.sums = (int32_t *)(void *)(t.products +
                               CROSSCHECK_FILTERS * CROSSCHECK_POSITIONS);
  if (!top->quant.sums) memset(s->out, 0, (size_t)s->n * top->slots * 4);
  for (; t.position < positions; t.position += CROSSCHECK_POSITIONS) {
    size_t left = positions - t.position;
    t.positions = left < CROSSCHECK_POSITIONS ? (int)left
                                              : CROSSCHECK_POSITIONS;
    crosscheck_places(s, &t);
    for (t.out = 0; t.out < top->c; t.out += t.outs) {
      t.outs = outputs - t.out % outputs;
      if (t.outs > CROSSCHECK_OUTS) t.outs = CROSSCHECK_OUTS;
      memset(t.sums, 0,
             sizeof(*t.sums) * CROSSCHECK_OUTS * CROSSCHECK_POSITIONS);
      for (t.from = 0; t.from < all; t.from += most) {
        t.depth = all - t.from < most ? all - t.from : most;
        crosscheck_piece(s, &t, all);
      }
      crosscheck_write(s, &t);
    }
  }
}

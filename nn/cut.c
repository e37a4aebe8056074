/*
** Filters cut to Winograd's size, and the weights that come of it.
**
** winograd.c multiplies with filters of 3x3 and stride 1.  Others are made of
** this one, so that they round as well as it does.  A stride is taken apart: a
** filter with stride s is one with stride 1 over an input whose s x s
** neighbours are channels of one position.  What is then longer than three taps
** is cut into pieces of three and of two, each over its own part of the input,
** whose products are added up at the same 16 places: a piece only makes the
** sums deeper.  One of two taps is one of three whose last is 0, and where only
** that tap counts (the last row or column of places) it has nothing to add and
** is left out.  A tile costs these products a channel:
**
**     3x3                         16 where 36 would be
**     5x5              3 + 2      49 of 100
**     11x11, stride 4  3         256 of 484
**
** Points other than Winograd's 0, 1, -1 would save more for long filters, and
** round so much worse that outputs left the engine's 1e-5.
**
** img_hash() under a float32 network comes here when it first needs the model:
** the weights are transformed once, and packed as the products read them.
** Which layers gain nothing (3x3 with stride 2, 7x7 with stride 2, few
** channels) is said here, too.
**
** Not here: anything that is done for an image (winograd.c).
*/
#include <string.h>

#include "cut.h"

#define CUT_LEAST 16   /* channels of a piece, and outputs of a group */
#define CUT_SIDE 16    /* of a filter */

/* The cut ----------------------------------------------------------------- */

static nn_cut_axis cut_axis(int kernel, int stride) {
  nn_cut_axis a;
  a.stride = (size_t)stride;
  a.taps = nn_pieces((size_t)kernel, a.stride);
  size_t twos = (3 - a.taps % 3) % 3;
  a.threes = a.taps < 2 * twos ? 0 : (a.taps - 2 * twos) / 3;
  a.pieces = a.taps < 2 ? 0 : a.threes + twos;
  return a;
}

size_t nn_cut_depth(const nn_layer *l, const nn_blob *in) {
  return (size_t)(in->c / l->group) * (size_t)l->stride[0] *
         (size_t)l->stride[1];
}

nn_cut nn_cut_of(const nn_layer *l, size_t depth) {
  nn_cut c;
  c.y = cut_axis(l->kernel[0], l->stride[0]);
  c.x = cut_axis(l->kernel[1], l->stride[1]);
  c.depth = depth;
  c.total = 0;
  for (size_t i = 0; i < 16; i++) {
    c.place[i].before = c.total;
    c.place[i].depth = c.depth * nn_cut_count(&c.y, i / 4) *
                       nn_cut_count(&c.x, i % 4);
    c.total += c.place[i].depth;
  }
  return c;
}

/* At least 46 of 100; where fewer are saved, B' and A' cost as much. */
int nn_cut_saves(const nn_layer *l) {
  if (l->dilation[0] != 1 || l->dilation[1] != 1 || l->kernel[0] > CUT_SIDE ||
      l->kernel[1] > CUT_SIDE || l->stride[0] > l->kernel[0] ||
      l->stride[1] > l->kernel[1]) {
    return 0;
  }
  nn_cut cut = nn_cut_of(l, (size_t)l->stride[0] * (size_t)l->stride[1]);
  return cut.y.pieces > 0 && cut.x.pieces > 0 &&
         cut.total * 100 <= 54 * 4 * (size_t)l->kernel[0] *
                                (size_t)l->kernel[1];
}

int nn_winograd_fits(const nn_layer *l, const nn_blob *blobs) {
  const nn_blob *in = &blobs[l->bottom[0]], *top = &blobs[l->top];
  return l->type == NN_CONVOLUTION && nn_cut_saves(l) &&
         nn_cut_depth(l, in) >= CUT_LEAST &&
         top->c / l->group >= CUT_LEAST && top->h * top->w >= 16;
}

/* Weights ----------------------------------------------------------------- */

/* G g G' of one piece. */
static inline void cut_filter(double g[3][3], double out[16]) {
  double half[4][3];
  for (int x = 0; x < 3; x++) {
    double a = g[0][x], b = g[1][x], c = g[2][x];
    half[0][x] = a;
    half[1][x] = (a + b + c) / 2;
    half[2][x] = (a - b + c) / 2;
    half[3][x] = c;
  }
  for (int y = 0; y < 4; y++) {
    double a = half[y][0], b = half[y][1], c = half[y][2];
    out[4 * y] = a;
    out[4 * y + 1] = (a + b + c) / 2;
    out[4 * y + 2] = (a - b + c) / 2;
    out[4 * y + 3] = c;
  }
}

/* A piece of a filter, in one phase of its strides: of the taps within the
** filter, the first, how many, and from one to the next. */
typedef struct cut_piece {
  size_t first, high, wide, down, across;
} cut_piece;

static size_t cut_taps(const nn_cut_axis *a, size_t piece, size_t phase,
                       int kernel, size_t *first) {
  size_t most = piece < a->threes ? 3 : 2;
  *first = nn_cut_start(a, piece) * a->stride + phase;
  size_t left = *first < (size_t)kernel ? (size_t)kernel - *first : 0;
  return nn_pieces(left, a->stride) < most ? nn_pieces(left, a->stride) : most;
}

/* Piece (py, px), phase (y, x). */
static cut_piece cut_piece_of(const nn_layer *l, const nn_cut *cut, size_t py,
                              size_t px, size_t y, size_t x) {
  cut_piece p;
  size_t row, column;
  p.high = cut_taps(&cut->y, py, y, l->kernel[0], &row);
  p.wide = cut_taps(&cut->x, px, x, l->kernel[1], &column);
  p.first = row * (size_t)l->kernel[1] + column;
  p.down = cut->y.stride * (size_t)l->kernel[1];
  p.across = cut->x.stride;
  return p;
}

/* Channel d of a piece of the outputs of one panel, which lie side by side:
** filters are `apart` floats apart, places as `to` says. */
static void cut_channel(const cut_piece *p, const float *w, size_t apart,
                        size_t outputs, float *const to[16]) {
  for (size_t o = 0; o < outputs; o++, w += apart) {
    double g[3][3] = {{0}}, u[16];
    const float *from = w + p->first;
    for (size_t i = 0; i < p->high; i++, from += p->down) {
      for (size_t j = 0; j < p->wide; j++) {
        g[i][j] = (double)from[j * p->across];
      }
    }
    cut_filter(g, u);
    for (size_t i = 0; i < 16; i++) {
      if (to[i]) to[i][o] = (float)u[i];
    }
  }
}

/* Piece (py, px) of all filters of a group: to [place][panel][channel of all
** pieces][output of the panel]. */
static void cut_pack(const nn_layer *l, const nn_cut *cut, const float *w,
                     size_t channels, size_t wide, size_t py, size_t px,
                     float *to) {
  size_t panels = nn_pieces(channels, wide);
  size_t taps = (size_t)l->kernel[0] * (size_t)l->kernel[1];
  size_t phases = cut->y.stride * cut->x.stride, each = cut->depth / phases;
  for (size_t i = 0; i < panels * cut->depth; i++) {
    size_t panel = i / cut->depth, d = i % cut->depth, phase = d / each;
    size_t first = panel * wide;
    size_t outputs = channels - first < wide ? channels - first : wide;
    cut_piece piece = cut_piece_of(l, cut, py, px, phase / cut->x.stride,
                                   phase % cut->x.stride);
    float *at[16];
    for (size_t j = 0; j < 16; j++) {
      const nn_cut_place *p = &cut->place[j];
      size_t across = nn_cut_count(&cut->x, j % 4);
      size_t k = (py * across + px) * cut->depth + d;
      int counts = py < nn_cut_count(&cut->y, j / 4) && px < across;
      at[j] = counts ? to + (p->before * panels + panel * p->depth + k) * wide
                     : NULL;
    }
    cut_channel(&piece, w + (first * each + d % each) * taps, each * taps,
                outputs, at);
  }
}

nn_status nn_winograd_ready(nn_model *model, nn_layer *layer, nn_error *err) {
  const nn_blob *in = &model->blobs[layer->bottom[0]];
  nn_cut cut = nn_cut_of(layer, nn_cut_depth(layer, in));
  size_t groups = (size_t)layer->group;
  size_t channels = (size_t)model->blobs[layer->top].c / groups;
  size_t wide = (size_t)model->floats->columns;
  size_t group = nn_mul(nn_pieces(channels, wide) * wide, cut.total);
  float *to = nn_model_alloc(model, nn_mul(groups, group), sizeof(float));
  if (!to) return nn_fail(err, NN_NOMEM, "out of memory");
  layer->winograd = to;
  const float *w = layer->weight;
  for (size_t g = 0; g < groups; g++, to += group) {
    for (size_t i = 0; i < cut.y.pieces * cut.x.pieces; i++) {
      cut_pack(layer, &cut, w, channels, wide, i / cut.x.pieces,
                    i % cut.x.pieces, to);
    }
    w += channels * (size_t)in->c / groups * (size_t)layer->kernel[0] *
         (size_t)layer->kernel[1];
  }
  return NN_OK;
}

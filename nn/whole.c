/*
** Convolutions of integer networks by Winograd's way, exactly.
**
** img_hash() under an integer model spends nearly all of its time in 3x3
** convolutions.  What winograd.c does to those of float32 networks needs no
** rounding on integers: B' and A' add, and G has halves, so 2G is taken and the
** result is four times the sum,
**
**     4 Y = A' [ (2G g (2G)') . (B' d B) ] A
**
** of which two bits are dropped.  Bytes become numbers of up to 4 * 255, and
** weights of up to 9 * 128: 16 bits, whose products are added in pairs in 32
** (words.c).  Sums may wrap around there and come back, since all that is done
** to them is to add; it is enough that four times the result fits 32 bits,
** which is known of each filter when the model is opened.  So every code stays
** what the definition says, and 3x3 takes 16 products where 36 would be; 5x5 is
** cut into pieces, and 11x11 with stride 4 is 3x3 over cells of 4x4 positions,
** whose channels are those of all sixteen (cut.c).
**
** The input's bytes lie with their channels together, as B' wants them; what is
** outside of the image has the zero point.  Where there is a stride an image is
** copied cell by cell first.  A task takes some tiles of 2x2
** outputs: all that B' makes of them stays in the second cache, and the weights
** pass by, sixteen outputs at a time.  Where there are too few tiles for the
** threads the outputs are divided, and each part does its own B'.
**
** Only where products of words go with the form of the kernels: with VNNI the
** plain way (packed.c) is faster.
**
** Of the time four fifths are the products, at 65 to 80 % of what VPMADDWD can
** do (Zen 3); the rest are bytes again (requantise.c), A' and B'.
**
** Not here: few channels, and strides by which cutting saves little (packed.c).
*/
#include <string.h>

#include "cut.h"

#define WHOLE_LANES 8            /* channels at a time */
#define WHOLE_TILES 48           /* of a task, at most; a multiple of 6 */
#define WHOLE_LEAST 16           /* channels and outputs of a group */
#define WHOLE_VALUES ((size_t)81920)   /* 16-bit, of a task */

/* The sums of 16 places and 16 outputs, and the values of the tiles. */
_Static_assert(16 * WHOLE_TILES * NN_INT_BLOCK + WHOLE_VALUES / 2 <=
                   NN_FLOAT_SCRATCH, "a task's memory fits");

#define WHOLE_INLINE static inline __attribute__((always_inline)) void

typedef uint8_t whole_bytes __attribute__((vector_size(8)));
typedef int16_t whole_vector __attribute__((vector_size(16)));
typedef int32_t whole_words __attribute__((vector_size(16)));
typedef uint32_t whole_modulo __attribute__((vector_size(16)));

typedef struct whole_job {
  const nn_int_step *step;
  const nn_layer *layer;
  const nn_blob *in, *top;
  nn_words words;
  nn_cut cut;
  size_t wide, high, tiles;      /* of an image; of all */
  size_t each, strips;           /* tiles of a task */
  size_t inputs, outputs;        /* of a group */
  size_t blocks, part, parts;    /* of 16 outputs: of all groups, of a task */
  const uint8_t *from;           /* the input, or an image's cells */
  int64_t rows, columns;         /* of it, */
  size_t image, row, position;   /* and bytes from one to the next */
  int64_t top_pad, left_pad;
  size_t first;                  /* the image at hand, if they come singly */
} whole_job;

/* The cut ----------------------------------------------------------------- */

/* Channels as they are multiplied: whole vectors. */
static size_t whole_depth(const nn_layer *l, const nn_blob *in) {
  return nn_pieces(nn_cut_depth(l, in), WHOLE_LANES) * WHOLE_LANES;
}

static nn_cut whole_cut(const nn_layer *l, const nn_blob *in) {
  return nn_cut_of(l, whole_depth(l, in));
}

static size_t whole_blocks(const nn_layer *l, const nn_blob *top) {
  return nn_pieces((size_t)(top->c / l->group), NN_INT_BLOCK);
}

/* No sum of a filter, zero points not taken out, leaves 29 bits and a sign. */
static int whole_small(const nn_layer *l, const nn_blob *in,
                       const nn_blob *top) {
  size_t taps = (size_t)l->kernel[0] * (size_t)l->kernel[1] *
                (size_t)(in->c / l->group);
  const int8_t *w = l->whole.weight;
  for (int o = 0; o < top->c; o++) {
    int64_t worst = 0;
    for (size_t i = 0; i < taps; i++, w++) {
      worst += (*w < 0 ? -*w : *w) * in->quant.max;
    }
    if (worst >= 1 << 29) return 0;
  }
  return 1;
}

/* Whether a convolution can be cut, whatever its weights are. */
static int whole_shape(const nn_layer *l, const nn_blob *blobs) {
  const nn_blob *in = &blobs[l->bottom[0]], *top = &blobs[l->top];
  return nn_cut_depth(l, in) >= WHOLE_LEAST &&
         top->c / l->group >= WHOLE_LEAST && top->h * top->w >= 16 &&
         nn_cut_saves(l) &&
         whole_cut(l, in).total * NN_PAIR_ROWS <= WHOLE_VALUES;
}

/* Weights ----------------------------------------------------------------- */

/* 2G g (2G)' of one piece. */
static void whole_filter(int g[3][3], int out[16]) {
  int twice[4][3];
  for (int x = 0; x < 3; x++) {
    int a = g[0][x], b = g[1][x], c = g[2][x];
    twice[0][x] = 2 * a;
    twice[1][x] = a + b + c;
    twice[2][x] = a - b + c;
    twice[3][x] = 2 * c;
  }
  for (int y = 0; y < 4; y++) {
    int a = twice[y][0], b = twice[y][1], c = twice[y][2];
    out[4 * y] = 2 * a;
    out[4 * y + 1] = a + b + c;
    out[4 * y + 2] = a - b + c;
    out[4 * y + 3] = 2 * c;
  }
}

/* Piece (py, px) of the filter at w, one of a channel, in phase (y, x) of the
** strides, as output o of its block and channel c of the cells. */
static void whole_pack(const nn_layer *l, const nn_cut *cut, const int8_t *w,
                       size_t py, size_t px, size_t phase, size_t c, size_t o,
                       int16_t *to) {
  int g[3][3] = {{0}}, u[16];
  size_t high = py < cut->y.threes ? 3 : 2, wide = px < cut->x.threes ? 3 : 2;
  size_t kernel = (size_t)l->kernel[1];
  for (size_t i = 0; i < high; i++) {
    size_t y = (nn_cut_start(&cut->y, py) + i) * cut->y.stride +
               phase / cut->x.stride;
    for (size_t j = 0; j < wide && y < (size_t)l->kernel[0]; j++) {
      size_t x = (nn_cut_start(&cut->x, px) + j) * cut->x.stride +
                 phase % cut->x.stride;
      if (x < kernel) g[i][j] = w[y * kernel + x];
    }
  }
  whole_filter(g, u);
  for (size_t i = 0; i < 16; i++) {
    size_t across = nn_cut_count(&cut->x, i % 4);
    if (py >= nn_cut_count(&cut->y, i / 4) || px >= across) continue;
    size_t k = (py * across + px) * cut->depth + c;
    to[(cut->place[i].before + k / 2 * 2) * NN_INT_BLOCK + 2 * o + k % 2] =
        (int16_t)u[i];
  }
}

/* All pieces and phases of the filter of one channel and output. */
static void whole_channel(const nn_layer *l, const nn_cut *cut,
                          const int8_t *w, size_t inputs, size_t c, size_t o,
                          int16_t *to) {
  size_t pieces = cut->y.pieces * cut->x.pieces;
  size_t phases = cut->y.stride * cut->x.stride;
  for (size_t i = 0; i < pieces * phases; i++) {
    size_t p = i / phases, phase = i % phases;
    whole_pack(l, cut, w, p / cut->x.pieces, p % cut->x.pieces, phase,
               phase * inputs + c, o, to);
  }
}

/* Nothing of a layer that does not fit; of others, as [group][block][place]
** [pair of channels][output of the block][2]. */
nn_status nn_whole_ready(nn_model *model, nn_layer *layer, nn_error *err) {
  if (layer->type != NN_CONVOLUTION) return NN_OK;
  const nn_blob *in = &model->blobs[layer->bottom[0]];
  const nn_blob *top = &model->blobs[layer->top];
  if (!nn_words_of(model->form) || !whole_shape(layer, model->blobs) ||
      !whole_small(layer, in, top)) {
    return NN_OK;
  }
  nn_cut cut = whole_cut(layer, in);
  size_t outputs = (size_t)(top->c / layer->group);
  size_t inputs = (size_t)(in->c / layer->group);
  size_t blocks = whole_blocks(layer, top), block = cut.total * NN_INT_BLOCK;
  size_t taps = (size_t)layer->kernel[0] * (size_t)layer->kernel[1];
  int16_t *to = nn_model_alloc(
      model, nn_mul((size_t)layer->group * blocks, block), sizeof(*to));
  if (!to) return nn_fail(err, NN_NOMEM, "out of memory");
  layer->whole.words = to;
  const int8_t *w = layer->whole.weight;
  for (size_t o = 0; o < (size_t)top->c; o++) {
    size_t at = o / outputs * blocks + o % outputs / NN_INT_BLOCK;
    for (size_t c = 0; c < inputs; c++, w += taps) {
      whole_channel(layer, &cut, w, inputs, c, o % outputs % NN_INT_BLOCK,
                    to + at * block);
    }
  }
  return NN_OK;
}

/* Cells ------------------------------------------------------------------- */

static int whole_strides(const nn_layer *l) {
  return l->stride[0] > 1 || l->stride[1] > 1;
}

/* The cells of an image that whole tiles look at, for B' to read in place of
** the input. */
static void whole_cells(whole_job *job) {
  const nn_cut *cut = &job->cut;
  job->rows = (int64_t)(2 * job->high + cut->y.taps - 1);
  job->columns = (int64_t)(2 * job->wide + cut->x.taps - 1);
  job->position = job->inputs * (size_t)job->layer->group;
  /* copying four bytes for three writes behind the last */
  job->row = (size_t)job->columns * job->position + sizeof(uint32_t);
  job->image = (size_t)job->rows * job->row;
  job->top_pad = job->left_pad = 0;
}

/* n channels of a position.  A pixel's are read and written as four: the fourth
** is written over by what comes next. */
static inline void whole_copy(uint8_t *to, const uint8_t *from, size_t n,
                              const int pixel) {
  if (pixel) memcpy(to, from, sizeof(uint32_t));
  else memcpy(to, from, n);
}

/* Row `at` of the cells: of each the positions of a stride, row by row, group
** by group. */
WHOLE_INLINE whole_cell_row(const whole_job *job, size_t at, const int pixel) {
  const nn_layer *l = job->layer;
  const nn_blob *in = job->in;
  size_t down = job->cut.y.stride, across = job->cut.x.stride;
  size_t groups = (size_t)l->group, each = (size_t)in->c / groups;
  int64_t stride = (int64_t)nn_int_stride(in);
  const uint8_t *image =
      (const uint8_t *)job->step->in[0] + job->first * in->slots * 4;
  uint8_t *to = (uint8_t *)job->step->scratch + at * job->row;
  for (size_t i = 0; i < (size_t)job->columns * groups * down; i++) {
    size_t g = i / down % groups;
    int64_t y = (int64_t)(at * down + i % down) - l->pad[0];
    int64_t x = (int64_t)(i / down / groups * across) - l->pad[1];
    const uint8_t *outside = l->whole.outside + g * each;
    int64_t from = (y * in->w + x) * stride + (int64_t)(g * each);
    int inside = y >= 0 && y < in->h;
    for (size_t j = 0; j < across; j++, x++, from += stride, to += each) {
      int seen = inside && x >= 0 && x < in->w;
      whole_copy(to, seen ? image + from : outside, each, pixel);
    }
  }
}

static void whole_cell_task(void *context, size_t at, int worker) {
  const whole_job *job = context;
  (void)worker;
  if (job->in->c <= 4 && job->layer->group == 1) whole_cell_row(job, at, 1);
  else whole_cell_row(job, at, 0);
}

/* The input --------------------------------------------------------------- */

/* n <= 8 bytes as numbers, zeros behind them. */
static inline whole_vector whole_load(const uint8_t *p, size_t n) {
  whole_bytes x = {0};
  if (n == WHOLE_LANES) memcpy(&x, p, sizeof(x));
  else memcpy(&x, p, n);
  return __builtin_convertvector(x, whole_vector);
}

/* B' d B of n <= 8 channels of a piece, the fourth row or column of places only
** where it has three taps; d is what the 16 positions hold, place i goes to
** to[i] + at. */
WHOLE_INLINE whole_values(const uint8_t *const *d, const size_t n,
                          const size_t high, const size_t wide, size_t at,
                          int16_t *const *to) {
  whole_vector t[4][4];
  for (size_t x = 0; x < wide; x++) {
    whole_vector v[4];
    for (size_t y = 0; y < high; y++) v[y] = whole_load(d[4 * y + x] + at, n);
    t[0][x] = v[0] - v[2];
    t[1][x] = v[1] + v[2];
    t[2][x] = v[2] - v[1];
    if (high == 4) t[3][x] = v[1] - v[3];
  }
  for (size_t y = 0; y < high; y++) {
    whole_vector v[4] = {t[y][0] - t[y][2], t[y][1] + t[y][2],
                         t[y][2] - t[y][1]};
    if (wide == 4) v[3] = t[y][1] - t[y][3];
    for (size_t x = 0; x < wide; x++) {
      memcpy(to[4 * y + x] + at, &v[x], sizeof(v[x]));
    }
  }
}

WHOLE_INLINE whole_piece(const uint8_t *const *d, size_t n, const size_t high,
                         const size_t wide, int16_t *const *to) {
  size_t i = 0;
  for (; i + WHOLE_LANES <= n; i += WHOLE_LANES) {
    whole_values(d, WHOLE_LANES, high, wide, i, to);
  }
  if (i < n) whole_values(d, n - i, high, wide, i, to);
}

/* What the 16 positions of piece (py, px) of a tile hold, from the group's
** first channel on. */
static void whole_look(const whole_job *job, size_t g, size_t tile, size_t py,
                       size_t px, const uint8_t *d[16]) {
  size_t image = tile / (job->wide * job->high), first = g * job->inputs;
  const uint8_t *from = job->from + image * job->image + first;
  int64_t y = (int64_t)(tile / job->wide % job->high * 2 +
                        nn_cut_start(&job->cut.y, py)) - job->top_pad;
  int64_t x = (int64_t)(tile % job->wide * 2 +
                        nn_cut_start(&job->cut.x, px)) - job->left_pad;
  for (int i = 0; i < 16; i++) {
    int64_t iy = y + i / 4, ix = x + i % 4;
    int inside = iy >= 0 && iy < job->rows && ix >= 0 && ix < job->columns;
    d[i] = inside ? from + (size_t)iy * job->row + (size_t)ix * job->position
                  : job->layer->whole.outside + first;
  }
}

/* All pieces of tiles [tile, tile + n), as [place][tile][channel]. */
static void whole_tiles(const whole_job *job, size_t g, size_t tile, size_t n,
                        int16_t *values) {
  const nn_cut *cut = &job->cut;
  size_t pieces = cut->y.pieces * cut->x.pieces;
  for (size_t i = 0; i < n * pieces; i++) {
    size_t py = i % pieces / cut->x.pieces, px = i % cut->x.pieces;
    const uint8_t *d[16];
    int16_t *to[16];
    whole_look(job, g, tile + i / pieces, py, px, d);
    for (size_t j = 0; j < 16; j++) {
      const nn_cut_place *p = &cut->place[j];
      size_t piece = py * nn_cut_count(&cut->x, j % 4) + px;
      to[j] = values + p->before * n + i / pieces * p->depth +
              piece * cut->depth;
    }
    if (py < cut->y.threes) {
      if (px < cut->x.threes) whole_piece(d, job->inputs, 4, 4, to);
      else whole_piece(d, job->inputs, 4, 3, to);
    } else {
      if (px < cut->x.threes) whole_piece(d, job->inputs, 3, 4, to);
      else whole_piece(d, job->inputs, 3, 3, to);
    }
  }
}

/* The outputs ------------------------------------------------------------- */

/* A quarter of A' m A of 16 outputs, for a tile's four positions. */
static inline void whole_sums(const int32_t *m, size_t apart,
                              int32_t sums[4][NN_INT_BLOCK]) {
  for (size_t q = 0; q < NN_INT_BLOCK; q += 4) {
    whole_modulo t[2][4], v[4];
    for (size_t i = 0; i < 4; i++) {
      whole_modulo a[4];
      for (size_t j = 0; j < 4; j++) {
        memcpy(&a[j], m + (4 * j + i) * apart + q, sizeof(a[j]));
      }
      t[0][i] = a[0] + a[1] + a[2];
      t[1][i] = a[1] - a[2] - a[3];
    }
    for (size_t i = 0; i < 2; i++) {
      v[2 * i] = t[i][0] + t[i][1] + t[i][2];
      v[2 * i + 1] = t[i][1] - t[i][2] - t[i][3];
    }
    for (size_t i = 0; i < 4; i++) {
      whole_words y = (whole_words)v[i] >> 2;
      memcpy(sums[i] + q, &y, sizeof(y));
    }
  }
}

/* The products of tiles [tile, tile + n), which lie at m, with one block. */
static void whole_outputs(const whole_job *job, size_t tile, size_t n,
                          size_t block, const int32_t *m) {
  size_t all = whole_blocks(job->layer, job->top), from = block % all;
  size_t o = block / all * job->outputs + from * NN_INT_BLOCK;
  size_t left = job->outputs - from * NN_INT_BLOCK;
  int outs = left < NN_INT_BLOCK ? (int)left : NN_INT_BLOCK;
  size_t w = (size_t)job->top->w, h = (size_t)job->top->h;
  for (size_t t = tile; t < tile + n; t++, m += NN_INT_BLOCK) {
    int32_t sums[4][NN_INT_BLOCK];
    size_t y = t / job->wide % job->high * 2, x = t % job->wide * 2;
    size_t row = (job->first + t / (job->wide * job->high)) * h + y;
    whole_sums(m, n * NN_INT_BLOCK, sums);
    for (size_t i = 0; i < 2 && y + i < h; i++) {
      nn_packed_write(job->step, (int)o, outs, x + 1 < w ? 2 : 1,
                      (row + i) * w + x, sums[2 * i]);
    }
  }
}

static void whole_products(const whole_job *job, size_t n, size_t block,
                           const int16_t *values, int32_t *m) {
  const int16_t *w = job->layer->whole.words +
                     block * job->cut.total * NN_INT_BLOCK;
  for (size_t i = 0; i < 16; i++) {
    size_t depth = job->cut.place[i].depth;
    for (size_t r = 0, some; r < n; r += some, m += some * NN_INT_BLOCK) {
      some = nn_even(n - r, NN_PAIR_ROWS);
      job->words((int)some, depth / 2, values + r * depth, depth,
                             w, m);
    }
    values += n * depth;
    w += depth * NN_INT_BLOCK;
  }
}

static void whole_task(void *context, size_t task, int worker) {
  const whole_job *job = context;
  size_t tile = task % job->strips * job->each;
  size_t n = job->tiles - tile < job->each ? job->tiles - tile : job->each;
  size_t block = task / job->strips * job->part;
  size_t end = block + job->part < job->blocks ? block + job->part
                                               : job->blocks;
  size_t all = whole_blocks(job->layer, job->top);
  float *scratch = job->step->private_scratch +
                   (size_t)worker * NN_FLOAT_SCRATCH;
  int32_t *m = (int32_t *)(void *)scratch;
  int16_t *values = (int16_t *)(void *)(m + 16 * WHOLE_TILES * NN_INT_BLOCK);
  for (size_t k = block; k < end; k++) {
    if (k == block || k % all == 0) {
      whole_tiles(job, k / all, tile, n, values);
    }
    whole_products(job, n, k, values, m);
    whole_outputs(job, tile, n, k, m);
  }
}

/* Tiles of a task, and the outputs divided where those are few. */
static void whole_divide(whole_job *job, size_t threads) {
  size_t most = WHOLE_VALUES / job->cut.total / NN_PAIR_ROWS * NN_PAIR_ROWS;
  if (most > WHOLE_TILES) most = WHOLE_TILES;
  job->strips = nn_pieces(job->tiles, most);
  job->each = nn_pieces(nn_pieces(job->tiles, job->strips), NN_PAIR_ROWS) *
              NN_PAIR_ROWS;
  job->strips = nn_pieces(job->tiles, job->each);
  job->parts = threads > 1 ? nn_pieces(2 * threads, job->strips) : 1;
  job->part = nn_pieces(job->blocks, job->parts);
  job->parts = nn_pieces(job->blocks, job->part);
}

static void whole_open(const nn_layer *l, const nn_blob *blobs,
                       whole_job *job) {
  const nn_blob *in = &blobs[l->bottom[0]], *top = &blobs[l->top];
  job->layer = l;
  job->in = in;
  job->top = top;
  job->cut = whole_cut(l, in);
  job->wide = nn_pieces((size_t)top->w, 2);
  job->high = nn_pieces((size_t)top->h, 2);
  job->inputs = nn_cut_depth(l, in);
  job->outputs = (size_t)(top->c / l->group);
  job->blocks = whole_blocks(l, top) * (size_t)l->group;
  job->rows = in->h;
  job->columns = in->w;
  job->position = nn_int_stride(in);
  job->row = (size_t)in->w * job->position;
  job->image = in->slots * 4;
  job->top_pad = l->pad[0];
  job->left_pad = l->pad[1];
  job->first = 0;
  if (whole_strides(l)) whole_cells(job);
}

size_t nn_whole_scratch(const nn_layer *l, const nn_blob *blobs) {
  whole_job job;
  if (!whole_strides(l) || !whole_shape(l, blobs)) return 0;
  whole_open(l, blobs, &job);
  return nn_pieces(job.image, sizeof(float));
}

/* The tiles of n images. */
static void whole_images(whole_job *job, size_t n) {
  nn_team *team = job->step->team;
  job->tiles = n * job->wide * job->high;
  whole_divide(job, (size_t)nn_team_size(team));
  nn_team_run(team, job->strips * job->parts, whole_task, job);
}

void nn_whole_run(const nn_int_step *s) {
  whole_job job;
  whole_open(s->layer, s->blobs, &job);
  job.step = s;
  job.words = nn_words_of(s->form);
  job.from = s->in[0];
  if (!whole_strides(s->layer)) {
    whole_images(&job, (size_t)s->n);
    return;
  }
  job.from = s->scratch;
  for (; job.first < (size_t)s->n; job.first++) {
    nn_team_run(s->team, (size_t)job.rows, whole_cell_task, &job);
    whole_images(&job, 1);
  }
}

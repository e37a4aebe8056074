/*
** Convolutions and inner products of integer networks whose kernels take rows
** that lie at equal distances: VPDPBUSD's for several blocks of outputs
** (vnni.c) and AMX's tiles (amx.c).
**
** What img_hash's positions see lies anywhere, and packed.c gives its kernels a
** pointer for each tap of each position.  Kernels that multiply faster than
** they can follow pointers want it gathered: up to 32 positions, of each what
** all taps see, one after the other as the weights have them.  Such a panel is
** read once for every four blocks of outputs, so that gathering costs two to
** five cycles for each 64 bytes, where the products cost one for each block of
** sixteen outputs at best.  And it makes short taps long: three channels by 11 x
** 11 taps are 11 runs of 44 bytes, since the channels of neighbouring positions
** lie side by side, and pointers to 121 quads would cost more than the products.
**
** A run that leaves the image has the zero point where it is outside.  Behind
** the last quad are zeros up to a whole tile, and a line more between rows,
** which keeps them out of each other's sets of the cache.  Where the filter is
** the whole plane, as an inner product's is, rows need not be gathered: an image
** is one already.
**
** Panels of a task go over all of its blocks, one after the other; where the
** weights of all blocks would not stay in the second cache, or there are few
** panels, blocks are divided among tasks.  What comes out of four blocks is made
** bytes of at once, while it is in the first cache.
**
** Layers whose rows are too long for a task's memory, or of which each block
** sees channels of its own, as where groups are small, stay with packed.c.
*/
#include <string.h>

#include "floats.h"

#ifdef __x86_64__

#include <immintrin.h>

#define PANEL_TARGET NN_TARGET("avx512f,avx512bw,avx512vl")

#define PANEL_LINE 64                      /* bytes */
#define PANEL_MOST 8                       /* panels of a task */
#define PANEL_TASKS 4                      /* for each thread, if it may be */
#define PANEL_WEIGHTS ((size_t)1 << 20)    /* of a task, to stay in a cache */
#define PANEL_SUMS (NN_INT_PANEL_BLOCKS * NN_INT_PANEL * NN_INT_BLOCK)

typedef struct panel_job {
  const nn_int_step *step;
  const nn_blob *in, *top;
  size_t taps, bytes;           /* of a block's weights */
  size_t quads, stride;         /* of a row: of each tap's channels; bytes */
  size_t whole;                 /* quads of a row */
  int rows;                     /* of a panel, at most */
  size_t positions, strip, strips;
  int blocks, part;             /* of all, of a task */
} panel_job;

/* Rows -------------------------------------------------------------------- */

/* Whether the filter is the whole plane, with all channels. */
static int panel_flat(const nn_int_step *s) {
  const nn_layer *l = s->layer;
  const nn_blob *in = &s->blobs[l->bottom[0]];
  return l->group == 1 && l->kernel[0] == in->h && l->kernel[1] == in->w &&
         (l->dilation[0] == 1 || in->h == 1) &&
         (l->dilation[1] == 1 || in->w == 1) && !l->pad[0] && !l->pad[1] &&
         !l->pad[2] && !l->pad[3];
}

static void panel_open(const nn_int_step *s, panel_job *job) {
  const nn_layer *l = s->layer;
  nn_int_block b = nn_packed_block(l, s->blobs, 0);
  size_t room = NN_FLOAT_SCRATCH * sizeof(float) - PANEL_LINE -
                PANEL_SUMS * sizeof(int32_t);
  job->step = s;
  job->in = &s->blobs[l->bottom[0]];
  job->top = &s->blobs[l->top];
  job->taps = nn_packed_taps(l);
  job->bytes = nn_packed_bytes(l, s->blobs);
  job->quads = (size_t)b.quads;
  job->whole = job->bytes / NN_INT_BLOCK / 4;
  job->stride = nn_pieces(4 * job->whole, PANEL_LINE) * PANEL_LINE + PANEL_LINE;
  job->rows = NN_INT_PANEL;
  if (room / job->stride < NN_INT_PANEL) job->rows = NN_INT_PANEL_ROWS;
  if (room / job->stride < NN_INT_PANEL_ROWS) job->rows = 0;
}

int nn_panel_fits(const nn_int_step *s) {
  panel_job job;
  if (!s->form->many || (nn_packed_unit(s->layer, s->blobs) == 1 &&
                         s->layer->group > 1)) {
    return 0;
  }
  panel_open(s, &job);
  return job.rows > 0;
}

/* A multiple of four bytes; up to a line behind them is written over. */
PANEL_TARGET
static inline uint8_t *panel_copy(uint8_t *to, const uint8_t *from, size_t n) {
  size_t at = 0;
  for (; at + PANEL_LINE <= n; at += PANEL_LINE) {
    _mm512_storeu_si512(to + at, _mm512_loadu_si512(from + at));
  }
  if (at < n) {
    __mmask16 mask = (__mmask16)((1u << (n - at) / 4) - 1);
    _mm512_storeu_si512(to + at, _mm512_maskz_loadu_epi32(mask, from + at));
  }
  return to + n;
}

/* Taps [first, last) of a row of the filter, of a step each. */
PANEL_TARGET
static inline uint8_t *panel_taps(uint8_t *to, const uint8_t *from,
                                  int64_t step, int first, int last, size_t n) {
  for (int k = first; k < last; k++, from += step) to = panel_copy(to, from, n);
  return to;
}

/* What the position at column x0 of the input sees in one of its rows, or
** outside of it, of the channels from `in` on. */
PANEL_TARGET
static inline uint8_t *panel_row(const panel_job *job, const uint8_t *row,
                                 int64_t x0, int in, uint8_t *to) {
  const nn_layer *l = job->step->layer;
  const uint8_t *outside = l->whole.outside + in;
  const int64_t apart = l->dilation[1], w = job->in->w;
  const size_t stride = nn_int_stride(job->in), n = 4 * job->quads;
  int all = l->kernel[1], first = 0, last = all;
  if (!row) return panel_taps(to, outside, 0, 0, all, n);
  if (x0 < 0) {
    first = (int)((-x0 + apart - 1) / apart);
    if (first > all) first = all;
  }
  if (x0 + (int64_t)(all - 1) * apart >= w) {
    last = x0 < w ? (int)((w - 1 - x0) / apart) + 1 : 0;
    if (last < first) last = first;
  }
  to = panel_taps(to, outside, 0, 0, first, n);
  if (first < last) row += (x0 + first * apart) * (int64_t)stride + in;
  if (apart == 1 && n == stride) {
    to = panel_copy(to, row, (size_t)(last - first) * n);
  } else {
    to = panel_taps(to, row, apart * (int64_t)stride, first, last, n);
  }
  return panel_taps(to, outside, 0, last, all, n);
}

/* `rows` positions from the first on, which see channels from `in` on. */
PANEL_TARGET
static void panel_gather(const panel_job *job, size_t first, int rows, int in,
                         uint8_t *to) {
  const nn_layer *l = job->step->layer;
  const nn_blob *from = job->in;
  size_t w = (size_t)job->top->w, h = (size_t)job->top->h;
  size_t x = first % w, y = first / w % h, stride = nn_int_stride(from);
  const uint8_t *image =
      (const uint8_t *)job->step->in[0] + first / w / h * from->slots * 4;
  for (int r = 0; r < rows; r++, to += job->stride) {
    uint8_t *end = to;
    int64_t iy = (int64_t)y * l->stride[0] - l->pad[0];
    int64_t ix = (int64_t)x * l->stride[1] - l->pad[1];
    for (int k = 0; k < l->kernel[0]; k++, iy += l->dilation[0]) {
      int inside = iy >= 0 && iy < from->h;
      end = panel_row(job, inside ? image + (size_t)(iy * from->w) * stride
                                  : NULL, ix, in, end);
    }
    _mm512_storeu_si512(end, _mm512_setzero_si512());
    if (++x < w) continue;
    x = 0;
    if (++y < h) continue;
    y = 0;
    image += from->slots * 4;
  }
}

/* Blocks ------------------------------------------------------------------ */

/* Blocks [block, end) of `rows` positions, which are gathered at `panel` for
** each that sees other channels, or lie in the input. */
static void panel_blocks(const panel_job *job, size_t first, int rows,
                         int block, int end, uint8_t *panel, int32_t *sums) {
  const nn_int_step *s = job->step;
  const nn_layer *l = s->layer;
  const uint8_t *in = panel;
  size_t stride = job->stride;
  int unit = nn_packed_unit(l, s->blobs), gathered = -1;
  if (panel_flat(s) && rows % NN_INT_PANEL_ROWS == 0 &&
      job->whole % NN_INT_PANEL_QUADS == 0) {
    in = (const uint8_t *)s->in[0] + first * job->in->slots * 4;
    stride = job->in->slots * 4;
    gathered = 0;
  }
  for (int k = block, count; k < end; k += count) {
    nn_int_block b = nn_packed_block(l, s->blobs, k);
    count = unit - k % unit;
    if (count > end - k) count = end - k;
    if (count > NN_INT_PANEL_BLOCKS) count = NN_INT_PANEL_BLOCKS;
    if (b.in != gathered) panel_gather(job, first, rows, b.in, panel);
    gathered = b.in;
    s->form->many(count, job->bytes, rows, job->whole, in, stride,
                  l->whole.packed + (size_t)k * job->bytes, sums);
    for (int i = 0; i < count; i++) {
      if (i) b = nn_packed_block(l, s->blobs, k + i);
      nn_packed_write(s, &b, rows, first,
                      sums + i * NN_INT_PANEL * NN_INT_BLOCK);
    }
  }
}

static void panel_task(void *context, size_t task, int worker) {
  const panel_job *job = context;
  const nn_int_step *s = job->step;
  size_t first = task % job->strips * job->strip, last = first + job->strip;
  int block = (int)(task / job->strips) * job->part;
  int end = job->blocks - block < job->part ? job->blocks : block + job->part;
  uintptr_t at = (uintptr_t)(s->private_scratch +
                             (size_t)worker * NN_FLOAT_SCRATCH);
  int32_t *sums = (int32_t *)((at + PANEL_LINE - 1) / PANEL_LINE * PANEL_LINE);
  if (last > job->positions) last = job->positions;
  if (s->form->open) s->form->open();
  for (size_t p = first; p < last; p += (size_t)job->rows) {
    int rows = last - p < (size_t)job->rows ? (int)(last - p) : job->rows;
    panel_blocks(job, p, rows, block, end, (uint8_t *)(sums + PANEL_SUMS),
                 sums);
  }
  if (s->form->close) s->form->close();
}

/* Tasks: strips of whole panels by parts of the blocks, fours of which stay
** together. */
void nn_panel_run(const nn_int_step *s) {
  panel_job job;
  panel_open(s, &job);
  size_t threads = (size_t)nn_team_size(s->team), rows = (size_t)job.rows;
  job.positions = (size_t)s->n * (size_t)job.top->h * (size_t)job.top->w;
  job.blocks = nn_packed_blocks(s->layer, s->blobs);
  size_t panels = nn_pieces(job.positions, rows), most = PANEL_MOST;
  if (threads > 1 && panels / (PANEL_TASKS * threads) < most) {
    most = panels / (PANEL_TASKS * threads);
  }
  job.strip = (most ? most : 1) * rows;
  job.strips = nn_pieces(job.positions, job.strip);
  size_t parts = nn_pieces((size_t)job.blocks * job.bytes, PANEL_WEIGHTS);
  if (threads > 1 && parts * job.strips < PANEL_TASKS * threads) {
    parts = nn_pieces(PANEL_TASKS * threads, job.strips);
  }
  size_t fours = nn_pieces((size_t)job.blocks, NN_INT_PANEL_BLOCKS);
  job.part = (int)nn_pieces(fours, parts) * NN_INT_PANEL_BLOCKS;
  parts = nn_pieces((size_t)job.blocks, (size_t)job.part);
  nn_team_run(s->team, job.strips * parts, panel_task, &job);
}

#else

int nn_panel_fits(const nn_int_step *s) {
  (void)s;
  return 0;
}

void nn_panel_run(const nn_int_step *s) { (void)s; }

#endif

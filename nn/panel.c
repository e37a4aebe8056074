/*
** Convolutions and inner products of integer networks whose kernels take rows
** that lie at equal distances: VPDPBUSD's for several blocks of outputs
** (vnni.c) and AMX's tiles (amx.c).
**
** What img_hash's positions see lies anywhere, and packed.c gives its kernels a
** pointer for each tap of each position.  Kernels that multiply faster than
** they can follow pointers want it gathered: some thirty positions, of each
** what all taps see, one after the other as the weights have them.  Such a
** panel is read once for every two or four blocks of outputs.  Gathering it
** costs two to five cycles for each 64 bytes, and multiplying them eight cycles
** for each block of sixteen outputs by VPDPBUSD.  And it makes short taps long:
** three channels by 11 x 11 taps are 11 runs of 44 bytes, since the channels of
** neighbouring positions lie side by side, and pointers to 121 quads would cost
** more than the products.
**
** A run that leaves the image has the zero point where it is outside.  Behind
** the last quad are zeros up to a whole tile, and a line more between rows,
** which keeps them out of each other's sets of the cache.  Where the filter is
** the whole plane, as an inner product's is, an image is a row already; they
** are read where they lie, unless a kernel would read more than there is.
**
** Panels of a task go over all of its blocks, one after the other; where the
** weights of all blocks would not stay in the second cache, or there are few
** panels, blocks are divided among tasks.  What comes out of four blocks is
** made bytes of at once, while it is in the first cache.
**
** Where the time goes, on a Xeon of the fifth generation by VPDPBUSD: in 3x3
** over 64 channels with 64 outputs two thirds is products at their peak, a
** tenth bytes (requantise.c), a tenth gathering; over 256 channels with as many
** outputs four fifths is products at their peak.
**
** Layers whose rows are too long for a task's memory, or of which each block
** sees channels of its own, as where groups are small, stay with packed.c.
*/
#include "floats.h"

#ifdef __x86_64__

#include <immintrin.h>

#define PANEL_TARGET NN_TARGET("avx512f,avx512bw,avx512vl")
#define PANEL_INLINE static inline __attribute__((always_inline))

#define PANEL_LINE 64                      /* bytes */
#define PANEL_MOST 8                       /* panels of a task */
#define PANEL_TASKS 4                      /* for each thread, if it may be; */
#define PANEL_LEAST 2                      /* if blocks are divided for it */
#define PANEL_WEIGHTS ((size_t)1 << 20)    /* of a task, to stay in a cache */
#define PANEL_SUMS (NN_INT_PANEL_BLOCKS * NN_INT_PANEL * NN_INT_BLOCK)

typedef struct panel_job {
  const nn_int_step *step;
  const nn_blob *in, *top;
  size_t bytes;                 /* of a block's weights */
  size_t quads, stride;         /* of a row: of each tap's channels; bytes */
  size_t whole;                 /* quads of a row */
  int flat;                     /* rows are images that can be read as such */
  int rows;                     /* of a panel, at most; 0: none fits */
  nn_int_tasks tasks;
} panel_job;

/* Rows -------------------------------------------------------------------- */

/* Whether the filter is the whole plane, with all channels. */
static int panel_flat(const nn_int_step *s) {
  const nn_layer *l = s->layer;
  const nn_blob *in = &s->blobs[l->bottom[0]];
  return l->group == 1 && l->kernel[0] == in->h && l->kernel[1] == in->w &&
         (l->dilation[0] == 1 || in->h == 1) &&
         (l->dilation[1] == 1 || in->w == 1) && nn_layer_unpadded(l);
}

static void panel_open(const nn_int_step *s, panel_job *job) {
  const nn_layer *l = s->layer;
  nn_int_block b = nn_packed_block(l, s->blobs, 0);
  size_t room = NN_FLOAT_SCRATCH * sizeof(float) - PANEL_LINE -
                PANEL_SUMS * sizeof(int32_t);
  job->step = s;
  job->in = &s->blobs[l->bottom[0]];
  job->top = &s->blobs[l->top];
  job->bytes = nn_packed_bytes(l, s->blobs);
  job->quads = (size_t)b.quads;
  job->whole = job->bytes / NN_INT_BLOCK / 4;
  job->stride = nn_pieces(4 * job->whole, PANEL_LINE) * PANEL_LINE + PANEL_LINE;
  job->flat = panel_flat(s) && (s->form->tile == 1 ||
                                job->whole % NN_INT_TILE_QUADS == 0);
  job->rows = s->form->panel;
  if (job->flat && s->form->tile == 1) return;
  while (job->rows > 0 && room / job->stride < (size_t)job->rows) {
    job->rows -= s->form->tile;
  }
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

/* How many bytes are copied at a time: whole lines, and the rest of one.  What
** lies behind them, up to a line, is written over by what comes next. */
typedef struct panel_run {
  size_t bytes, lines;
  __mmask16 rest;
} panel_run;

static inline panel_run panel_run_of(size_t bytes) {
  return (panel_run){bytes, bytes / PANEL_LINE * PANEL_LINE,
                     (__mmask16)((1u << bytes % PANEL_LINE / 4) - 1)};
}

PANEL_TARGET PANEL_INLINE uint8_t *panel_copy(uint8_t *to, const uint8_t *from,
                                              panel_run run) {
  size_t at = 0;
  for (; at < run.lines; at += PANEL_LINE) {
    _mm512_storeu_si512(to + at, _mm512_loadu_si512(from + at));
  }
  if (run.rest) {
    _mm512_storeu_si512(to + at, _mm512_maskz_loadu_epi32(run.rest, from + at));
  }
  return to + run.bytes;
}

/* As many runs, of a step each. */
PANEL_TARGET PANEL_INLINE uint8_t *panel_runs(uint8_t *to, const uint8_t *from,
                                              int64_t step, int count,
                                              panel_run run) {
  for (; count > 0; count--, from += step) to = panel_copy(to, from, run);
  return to;
}

/* What a layer's positions see: the same for all of them. */
typedef struct panel_sight {
  int high, wide;               /* taps */
  int64_t down, across;         /* positions of the input between them */
  int64_t rows, columns;        /* of the input, and its bytes: */
  int64_t row, position;
  const uint8_t *outside;
  panel_run tap, taps;          /* channels of one; of a row of the filter */
  int joined;                   /* whose channels lie side by side */
} panel_sight;

/* Taps of one row of the filter, of a row of the input, or none. */
PANEL_TARGET
static uint8_t *panel_row(const panel_sight *g, const uint8_t *row, int64_t x,
                          uint8_t *to) {
  int64_t first = 0, last = row ? g->wide : 0;
  if (x < 0) first = (-x + g->across - 1) / g->across;
  if (first > g->wide) first = g->wide;
  if (row && x + (g->wide - 1) * g->across >= g->columns) {
    last = x < g->columns ? (g->columns - 1 - x) / g->across + 1 : 0;
  }
  if (last < first) last = first;
  to = panel_runs(to, g->outside, 0, (int)first, g->tap);
  if (first < last) {
    row += (x + first * g->across) * g->position;
    to = panel_runs(to, row, g->across * g->position, (int)(last - first),
                    g->tap);
  }
  return panel_runs(to, g->outside, 0, g->wide - (int)last, g->tap);
}

/* What the position at (y, x) of the input sees. */
PANEL_TARGET PANEL_INLINE void panel_see(const panel_sight *g,
                                         const uint8_t *image, int64_t y,
                                         int64_t x, uint8_t *to) {
  int64_t next = g->down * g->row;
  if (y < 0 || y + (g->high - 1) * g->down >= g->rows || x < 0 ||
      x + (g->wide - 1) * g->across >= g->columns) {
    for (int k = 0; k < g->high; k++, y += g->down) {
      to = panel_row(g, y >= 0 && y < g->rows ? image + y * g->row : NULL, x,
                     to);
    }
  } else if (g->joined) {
    to = panel_runs(to, image + y * g->row + x * g->position, next, g->high,
                    g->taps);
  } else {
    const uint8_t *row = image + y * g->row + x * g->position;
    for (int k = 0; k < g->high; k++, row += next) {
      to = panel_runs(to, row, g->across * g->position, g->wide, g->tap);
    }
  }
  _mm512_storeu_si512(to, _mm512_setzero_si512());
}

/* `rows` positions from the first on, which see channels from `in` on. */
PANEL_TARGET
static void panel_gather(const panel_job *job, size_t first, int rows, int in,
                         uint8_t *to) {
  const nn_layer *l = job->step->layer;
  const nn_blob *from = job->in;
  size_t w = (size_t)job->top->w, h = (size_t)job->top->h;
  size_t x = first % w, y = first / w % h, stride = nn_int_stride(from);
  const uint8_t *image = (const uint8_t *)job->step->in[0] +
                         first / w / h * from->slots * 4 + in;
  const panel_sight sight = {
      .high = l->kernel[0], .wide = l->kernel[1],
      .down = l->dilation[0], .across = l->dilation[1],
      .rows = from->h, .columns = from->w,
      .row = from->w * (int64_t)stride, .position = (int64_t)stride,
      .outside = l->whole.outside + in,
      .tap = panel_run_of(4 * job->quads),
      .taps = panel_run_of(4 * job->quads * (size_t)l->kernel[1]),
      .joined = l->dilation[1] == 1 && 4 * job->quads == stride};
  for (int r = 0; r < rows; r++, to += job->stride) {
    panel_see(&sight, image, (int64_t)y * l->stride[0] - l->pad[0],
              (int64_t)x * l->stride[1] - l->pad[1], to);
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
  if (job->flat && rows % s->form->tile == 0) {
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
      nn_packed_write(s, b.out, b.outs, rows, first,
                      sums + i * NN_INT_PANEL * NN_INT_BLOCK);
    }
  }
}

static void panel_task(void *context, size_t task, int worker) {
  const panel_job *job = context;
  const nn_int_step *s = job->step;
  nn_int_share share = nn_int_task(&job->tasks, task);
  uintptr_t at = (uintptr_t)(s->private_scratch +
                             (size_t)worker * NN_FLOAT_SCRATCH);
  int32_t *sums = (int32_t *)((at + PANEL_LINE - 1) / PANEL_LINE * PANEL_LINE);
  if (s->form->open) s->form->open();
  for (size_t p = share.first; p < share.last; p += (size_t)job->rows) {
    size_t left = share.last - p;
    int rows = left < (size_t)job->rows ? (int)left : job->rows;
    panel_blocks(job, p, rows, share.block, share.end,
                 (uint8_t *)(sums + PANEL_SUMS), sums);
  }
  if (s->form->close) s->form->close();
}

/* Tasks: strips of whole panels by parts of the blocks, fours of which stay
** together. */
void nn_panel_run(const nn_int_step *s) {
  panel_job job;
  nn_int_tasks *t = &job.tasks;
  panel_open(s, &job);
  size_t threads = (size_t)nn_team_size(s->team), rows = (size_t)job.rows;
  t->positions = (size_t)s->n * (size_t)job.top->h * (size_t)job.top->w;
  t->blocks = nn_packed_blocks(s->layer, s->blobs);
  size_t panels = nn_pieces(t->positions, rows), most = PANEL_MOST;
  if (threads > 1 && panels / (PANEL_TASKS * threads) < most) {
    most = panels / (PANEL_TASKS * threads);
  }
  t->strip = (most ? most : 1) * rows;
  t->strips = nn_pieces(t->positions, t->strip);
  size_t parts = nn_pieces((size_t)t->blocks * job.bytes, PANEL_WEIGHTS);
  if (threads > 1 && parts * t->strips < PANEL_LEAST * threads) {
    parts = nn_pieces(PANEL_LEAST * threads, t->strips);
  }
  size_t fours = nn_pieces((size_t)t->blocks, NN_INT_PANEL_BLOCKS);
  t->part = (int)nn_pieces(fours, parts) * NN_INT_PANEL_BLOCKS;
  nn_team_run(s->team, nn_int_count(t), panel_task, &job);
}

#else

int nn_panel_fits(const nn_int_step *s) {
  (void)s;
  return 0;
}

void nn_panel_run(const nn_int_step *s) { (void)s; }

#endif

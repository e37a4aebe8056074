/*
** Convolutions of float32 networks, through the tiles of floats.c.
**
** A convolution is the product of the weights (output channels x taps) and the
** columns (taps x positions), and nearly all of img_hash() under a float32
** model.  What is around the tiles must stay out of their way:
**
**   weights   are read where they lie, some rows at a time: the model file is
**             mapped, and packing them was no faster
**   input     is copied once for each image into planes with their padding, so
**             that no tap looks outside; a stride along rows takes the columns
**             apart, so that what a tap sees of a row is contiguous whatever
**             the stride.  Where neither is needed the input is read as it lies
**   columns   are never whole in memory: a strip of positions that fits the
**             second cache is packed, 256 taps at a time, into panels of as
**             many positions as a tile has; each row of a panel is one copy, or
**             a few where the panel goes on in the next output row
**
** A panel of columns stays in the first cache while the weights' panels pass by
** it.  Strips are the tasks of the team; where there are too few of them, the
** output channels are divided too.  Bias, a batch norm that follows (its scale
** and offset) and ReLU take one pass over a strip when it is complete.
**
** Every output is the sum over the taps in their order, in pieces of 256: the
** same whatever the number of threads.
**
** Not here: depthwise convolutions and CPUs without tiles (layers.c).
*/
#include <string.h>

#include "floats.h"

#define CONVOLVE_DEPTH 256     /* taps at a time */
#define CONVOLVE_STRIP 96      /* positions of a strip */
#define CONVOLVE_CHUNK 8       /* floats that are copied at once */

/* The input as the taps see it: tap k of position (y, x) is at
** base[taps[k] + y * stride * row + x]. */
typedef struct convolve_source {
  const float *base, *end;   /* nothing is read behind end */
  size_t plane, row, phase;
  int direct;                /* it is the input itself */
} convolve_source;

/* Positions of a panel that lie side by side in the source. */
typedef struct convolve_run {
  size_t offset, length;
} convolve_run;

typedef struct convolve_job {
  const nn_step *step;
  const nn_float_form *form;
  const nn_layer *layer;
  const nn_blob *in, *top;
  convolve_source source;
  const float *image;        /* of the input */
  float *copy, *out;
  size_t depth, channels;    /* of a group */
  size_t positions, per_strip, strips;   /* panels of a strip */
  size_t parts, rows;        /* of the output channels; channels of each */
} convolve_job;

static size_t convolve_depth(const nn_layer *l, const nn_blob *in) {
  return (size_t)(in->c / l->group) * (size_t)l->kernel[0] *
         (size_t)l->kernel[1];
}

static convolve_source convolve_layout(const nn_layer *l, const nn_blob *in) {
  convolve_source s;
  size_t stride = (size_t)l->stride[1];
  size_t w = (size_t)in->w + (size_t)l->pad[1] + (size_t)l->pad[3];
  size_t h = (size_t)in->h + (size_t)l->pad[0] + (size_t)l->pad[2];
  s.base = s.end = NULL;
  s.direct = stride == 1 && nn_layer_unpadded(l);
  s.phase = nn_pieces(w, stride);
  s.row = s.phase * stride;
  s.plane = nn_mul(s.row, h);
  return s;
}

size_t nn_convolve_scratch(const nn_layer *l, const nn_blob *blobs) {
  const nn_blob *in = &blobs[l->bottom[0]];
  convolve_source s = convolve_layout(l, in);
  size_t size = nn_mul(s.plane, (size_t)in->c);
  if (s.direct || size == SIZE_MAX) return s.direct ? 0 : SIZE_MAX;
  return (size + CONVOLVE_CHUNK + 15) / 16 * 16;
}

/* Taps -------------------------------------------------------------------- */

/* Where tap k looks, from the first position's corner of its plane. */
static void convolve_taps(const nn_layer *l, const nn_blob *in, size_t *to) {
  convolve_source s = convolve_layout(l, in);
  size_t stride = (size_t)l->stride[1];
  for (int c = 0; c < in->c / l->group; c++) {
    for (int ky = 0; ky < l->kernel[0]; ky++) {
      for (int kx = 0; kx < l->kernel[1]; kx++) {
        size_t x = (size_t)kx * (size_t)l->dilation[1];
        *to++ = (size_t)c * s.plane +
                (size_t)ky * (size_t)l->dilation[0] * s.row +
                x % stride * s.phase + x / stride;
      }
    }
  }
}

nn_status nn_convolve_ready(nn_model *model, nn_layer *layer, nn_error *err) {
  const nn_blob *in = &model->blobs[layer->bottom[0]];
  layer->taps = nn_model_alloc(model, convolve_depth(layer, in),
                               sizeof(*layer->taps));
  if (!layer->taps) return nn_fail(err, NN_NOMEM, "out of memory");
  convolve_taps(layer, in, layer->taps);
  return NN_OK;
}

/* The padded copy --------------------------------------------------------- */

static void convolve_row(const nn_layer *l, const convolve_source *s,
                         const float *from, size_t w, float *to) {
  size_t stride = (size_t)l->stride[1], left = (size_t)l->pad[1];
  memset(to, 0, s->row * sizeof(*to));
  if (stride == 1) {
    memcpy(to + left, from, w * sizeof(*to));
    return;
  }
  for (size_t phase = 0; phase < stride; phase++) {
    /* the first column of this phase that is not padding */
    size_t x = (phase + stride - left % stride) % stride;
    float *at = to + phase * s->phase + (left + x) / stride;
    for (; x < w; x += stride) *at++ = from[x];
  }
}

static void convolve_copy(void *context, size_t c, int worker) {
  const convolve_job *job = context;
  const nn_layer *l = job->layer;
  const convolve_source *s = &job->source;
  size_t w = (size_t)job->in->w, h = (size_t)job->in->h;
  const float *from = job->image + c * w * h;
  float *to = job->copy + c * s->plane;
  size_t top = (size_t)l->pad[0] * s->row, bottom = (size_t)l->pad[2] * s->row;
  (void)worker;
  memset(to, 0, top * sizeof(*to));
  for (size_t y = 0; y < h; y++) {
    convolve_row(l, s, from + y * w, w, to + top + y * s->row);
  }
  memset(to + top + h * s->row, 0, bottom * sizeof(*to));
}

/* Strips ------------------------------------------------------------------ */

/* The runs that make up positions [p, p + n); returns how many. */
static size_t convolve_runs(const convolve_job *job, size_t p, size_t n,
                            convolve_run *runs) {
  size_t w = (size_t)job->top->w, count = 0;
  size_t row = (size_t)job->layer->stride[0] * job->source.row;
  while (n > 0) {
    size_t x = p % w, length = w - x < n ? w - x : n;
    size_t offset = p / w * row + x;
    if (count && runs[count - 1].offset + runs[count - 1].length == offset) {
      runs[count - 1].length += length;
    } else {
      runs[count].offset = offset;
      runs[count++].length = length;
    }
    p += length;
    n -= length;
  }
  return count;
}

/* One row of a panel.  Copies are whole chunks, of which the last may write
** over what comes next in the panel, and is written over by that. */
static inline void convolve_pack_row(const convolve_run *runs, size_t count,
                                     const float *from, const float *end,
                                     float *to) {
  for (size_t i = 0; i < count; i++) {
    const float *x = from + runs[i].offset;
    size_t n = runs[i].length;
    if ((size_t)(end - x) >= n + CONVOLVE_CHUNK) {
      for (size_t j = 0; j < n; j += CONVOLVE_CHUNK) {
        memcpy(to + j, x + j, CONVOLVE_CHUNK * sizeof(*to));
      }
    } else {
      memcpy(to, x, n * sizeof(*to));
    }
    to += n;
  }
}

/* Taps [k, k + n) of the panel whose first position is p. */
static void convolve_pack(const convolve_job *job, const float *group,
                          size_t p, size_t k, size_t n, float *to) {
  convolve_run runs[NN_FLOAT_COLUMNS];
  size_t columns = (size_t)job->form->columns;
  size_t valid = job->positions - p < columns ? job->positions - p : columns;
  size_t count = convolve_runs(job, p, valid, runs);
  const size_t *taps = job->layer->taps + k;
  if (valid < columns) memset(to, 0, n * columns * sizeof(*to));
  for (size_t i = 0; i < n; i++, to += columns) {
    convolve_pack_row(runs, count, group + taps[i], job->source.end, to);
  }
}

/* A tile that hangs over the last position. */
static void convolve_edge(const convolve_job *job, size_t n, const float *a,
                          const float *b, size_t rows, size_t columns,
                          float *c, int add) {
  float tile[NN_FLOAT_ROWS * NN_FLOAT_COLUMNS];
  size_t wide = (size_t)job->form->columns;
  memset(tile, 0, sizeof(tile));
  for (size_t r = 0; add && r < rows; r++) {
    memcpy(tile + r * wide, c + r * job->positions, columns * sizeof(*c));
  }
  job->form->tile((int)rows, n, a, job->depth, b, tile, wide, add);
  for (size_t r = 0; r < rows; r++) {
    memcpy(c + r * job->positions, tile + r * wide, columns * sizeof(*c));
  }
}

/* All tiles of a panel of columns at position p: taps [k, k + n) of the group's
** channels [first, last). */
static void convolve_panel(const convolve_job *job, size_t g, size_t first,
                           size_t last, size_t p, size_t k, size_t n,
                           const float *columns) {
  const nn_float_form *form = job->form;
  size_t rows = (size_t)form->rows, wide = (size_t)form->columns;
  size_t valid = job->positions - p < wide ? job->positions - p : wide;
  for (size_t i = first, have; i < last; i += have) {
    size_t channel = g * job->channels + i;
    have = nn_even(last - i, rows);
    const float *a = job->step->weight + channel * job->depth + k;
    float *c = job->out + channel * job->positions + p;
    if (valid == wide) {
      form->tile((int)have, n, a, job->depth, columns, c, job->positions,
                 k > 0);
    } else {
      convolve_edge(job, n, a, columns, have, valid, c, k > 0);
    }
  }
}

/* Scale, offset and ReLU of channels [first, last), positions [p, end). */
static void convolve_finish(const convolve_job *job, size_t first, size_t last,
                            size_t p, size_t end) {
  const nn_step *s = job->step;
  for (size_t c = first; c < last; c++) {
    float *x = job->out + c * job->positions;
    float scale = s->scale ? s->scale[c] : 1, bias = s->bias ? s->bias[c] : 0;
    if (s->scale) {
      for (size_t i = p; i < end; i++) x[i] = x[i] * scale + bias;
    } else if (s->bias) {
      for (size_t i = p; i < end; i++) x[i] += bias;
    }
    if (s->relu) {
      for (size_t i = p; i < end; i++) x[i] = x[i] > 0 ? x[i] : 0;
    }
  }
}

static void convolve_task(void *context, size_t task, int worker) {
  const convolve_job *job = context;
  size_t strip = task % job->strips, part = task / job->strips % job->parts;
  size_t g = task / job->strips / job->parts;
  size_t wide = (size_t)job->form->columns;
  size_t p = strip * job->per_strip * wide;
  size_t end = p + job->per_strip * wide;
  size_t first = part * job->rows, last = first + job->rows;
  if (end > job->positions) end = job->positions;
  if (last > job->channels) last = job->channels;
  float *columns = job->step->private_scratch +
                   (size_t)worker * NN_FLOAT_SCRATCH;
  const float *group = job->source.base + g * (size_t)(job->in->c /
                           job->layer->group) * job->source.plane;
  size_t pieces = nn_pieces(job->depth, CONVOLVE_DEPTH);
  size_t deep = nn_pieces(job->depth, pieces);
  for (size_t k = 0; k < job->depth; k += deep) {
    size_t n = job->depth - k < deep ? job->depth - k : deep;
    float *panel = columns;
    for (size_t q = p; q < end; q += wide, panel += n * wide) {
      convolve_pack(job, group, q, k, n, panel);
    }
    panel = columns;
    for (size_t q = p; q < end; q += wide, panel += n * wide) {
      convolve_panel(job, g, first, last, q, k, n, panel);
    }
  }
  convolve_finish(job, g * job->channels + first, g * job->channels + last, p,
                  end);
}

/* Calls ------------------------------------------------------------------- */

static void convolve_divide(convolve_job *job, int threads) {
  const nn_layer *l = job->layer;
  size_t wide = (size_t)job->form->columns;
  size_t columns = nn_pieces(job->positions, wide);
  size_t most = CONVOLVE_STRIP / wide;
  job->strips = nn_pieces(columns, most);
  job->per_strip = nn_pieces(columns, job->strips);
  job->strips = nn_pieces(columns, job->per_strip);
  size_t tasks = job->strips * (size_t)l->group, want = 2 * (size_t)threads;
  size_t parts = threads == 1 || tasks >= want ? 1 : nn_pieces(want, tasks);
  size_t rows = (size_t)job->form->rows;
  job->rows = nn_pieces(nn_pieces(job->channels, rows), parts) * rows;
  job->parts = nn_pieces(job->channels, job->rows);
}

void nn_convolve_run(const nn_step *step) {
  convolve_job job;
  const nn_layer *l = step->layer;
  job.step = step;
  job.form = step->form;
  job.layer = l;
  job.in = &step->blobs[l->bottom[0]];
  job.top = &step->blobs[l->top];
  job.depth = convolve_depth(l, job.in);
  job.channels = (size_t)(job.top->c / l->group);
  job.positions = (size_t)job.top->h * (size_t)job.top->w;
  job.source = convolve_layout(l, job.in);
  job.copy = step->scratch;
  convolve_divide(&job, nn_team_size(step->team));
  for (int i = 0; i < step->n; i++) {
    job.image = step->in[0] + (size_t)i * job.in->size;
    job.out = step->out + (size_t)i * job.top->size;
    if (job.source.direct) {
      job.source.base = job.image;
      job.source.end = job.image + job.in->size;
    } else {
      size_t size = job.source.plane * (size_t)job.in->c;
      nn_team_run(step->team, (size_t)job.in->c, convolve_copy, &job);
      memset(job.copy + size, 0, CONVOLVE_CHUNK * sizeof(float));
      job.source.base = job.copy;
      job.source.end = job.copy + size + CONVOLVE_CHUNK;
    }
    nn_team_run(step->team, job.strips * job.parts * (size_t)l->group,
                convolve_task, &job);
  }
}

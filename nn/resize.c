/*
** Resizing, in fixed point: the same bytes on every machine.
**
** Columns and rows are treated alike and one after the other.  For an axis of
** S source pixels and D destination pixels, destination pixel d is a weighted
** mean of neighbouring source pixels, whose weights are integers that add up to
** exactly 2^15.
**
**   Area (NN_AREA on an axis that shrinks, D < S).  In units of 1/D of a source
**   pixel, d covers the interval [d*S, (d+1)*S), and source pixel i lies at
**   [i*D, (i+1)*D).  Let c(i) be how much of d's interval lies before the end
**   of pixel i, from 0 to S, and
**
**       cum(i) = floor((2^15 * 2 * c(i) + S) / (2 * S))
**
**   its share of 2^15, rounded half up.  The weight of pixel i is
**   cum(i) - cum(i - 1), where cum before the first pixel is 0.
**
**   Samples of a JPEG at reduced scale are averaged in the same way, whether
**   the axis shrinks or not: S stays the number of pixels, and sample i, `unit`
**   pixels long, lies at [(origin + i*unit)*D, (origin + (i+1)*unit)*D).  The
**   first may begin before the axis and the last end behind it; what counts is
**   the part within.  A picture of w columns is so w/8 samples wide, as a
**   fraction.  Of a sample longer than a pixel that d covers in part, from p to
**   q of its U = unit*D, the mean of that part is not the sample's: through it
**   pixels rise or fall, for a guess, by half as much as from the sample before
**   to the one behind.  The part is then off by (p + q - U) / (4*U) of that
**   much, so sample i + 1 has the further weight
**
**       e(i) = floor((2^15 * (q - p) * (p + q - U) + 2*S*U) / (4*S*U))
**
**   and sample i - 1 has that much less.  Where there is none, sample i stands
**   for it.  (So Dukowicz and Kodis, SIAM J. Sci. Stat. Comput. 8, 1987, remap
**   the cells of one mesh to those of another.)
**
**   Bilinear (NN_BILINEAR, and NN_AREA on an axis that does not shrink).  The
**   centre of d lies at the source position
**
**       p = ((2*d + 1)*S - D) / (2*D)
**
**   counted from the centre of source pixel 0.  Let i = floor(p), let r be the
**   remainder of that division (0 <= r < 2*D), and
**
**       f = floor((2^15 * r + D) / (2*D))
**
**   the fraction, rounded half up to 15 bits.  Pixel i has the weight 2^15 - f
**   and pixel i + 1 the weight f.  Where p < 0, pixel 0 has all of it, and
**   where i >= S - 1, pixel S - 1.
**
** For each source row y and each channel, with u over the pixels of the axis:
**
**       h(x, y) = floor((sum over u of weight(u) * p(u, y) + 128) / 2^8)
**
** which keeps 7 bits of fraction and is at most 32640; then for each pixel
**
**       result(x, y) = floor((sum over v of weight(v) * h(x, v) + 2^21) / 2^22)
**
** An axis with S = D is copied exactly by these rules.  Of samples, h is kept
** within 0 to 32640, and the result keeps 8 bits of fraction,
**
**       result(x, y) = floor((sum over v of weight(v) * h(x, v) + 2^13) / 2^14)
**
** within 0 to 65280, since it is colours that are rounded (reduce.c), and
** chroma's fractions count almost twice there.
**
** How it is done: the weights of the columns are computed once, at most
** S + 4*D of them, those of a row when it is its turn.  The last resized source
** rows are kept, as many as two destination rows can share: no row is resized
** twice as the destination moves down, and none that has no weight at all.
** Source pixels are reached through dx and dy of nn_picture, so an orientation
** costs nothing.
*/
#include <string.h>

#include "jpeg.h"

enum {
  RESIZE_ONE = 1 << 15,       /* sum of the weights */
  RESIZE_HELD = 4,            /* source rows */
  RESIZE_LINE_MAX = 255 << 7,
  RESIZE_SIDE_MAX = 1 << 24,  /* of the destination */
  RESIZE_SAMPLED_MAX = 65535  /* of one that is made of samples */
};

/* An axis: S source pixels become D.  For area averages these may come as
** samples of `unit` pixels, the first of which begins at pixel `origin`; there
** are `samples` of them. */
typedef struct resize_axis {
  int64_t s, d;
  int area;
  int64_t unit, origin, samples;
} resize_axis;

/* Those that a destination pixel is made of: `count` from `first` on. */
typedef struct resize_span {
  int first, count;
} resize_span;

static resize_axis resize_axis_of(int s, int d, nn_filter filter) {
  return (resize_axis){s, d, filter == NN_AREA && d < s, 1, 0, s};
}

static resize_span resize_span_of(const resize_axis *a, int d) {
  if (a->area) {
    /* In units of 1/D of a pixel; a rectangle begins in its first sample or
    ** behind it, so nothing is negative. */
    int64_t start = d * a->s - a->origin * a->d, size = a->unit * a->d;
    int64_t from = start / size, to = (start + a->s + size - 1) / size;
    if (a->unit > 1 && from > 0) from--;
    if (a->unit > 1 && to < a->samples) to++;
    return (resize_span){(int)from, (int)(to - from)};
  }
  int64_t p = (2 * (int64_t)d + 1) * a->s - a->d;
  if (p < 0) return (resize_span){0, 1};
  int64_t i = p / (2 * a->d);
  if (i >= a->s - 1) return (resize_span){(int)a->s - 1, 1};
  return (resize_span){(int)i, 2};
}

/* cum(i) of destination pixel d. */
static int64_t resize_cumulative(const resize_axis *a, int d, int64_t i) {
  int64_t covered = (a->origin + (i + 1) * a->unit) * a->d - d * a->s;
  if (covered < 0) covered = 0;
  if (covered > a->s) covered = a->s;
  return (2 * RESIZE_ONE * covered + a->s) / (2 * a->s);
}

/* e(i).  S and D are below 2^16 here, U below 2^21. */
static int32_t resize_slope(const resize_axis *a, int d, int64_t i) {
  int64_t size = a->unit * a->d;
  int64_t p = d * a->s - (a->origin + i * a->unit) * a->d, q = p + a->s;
  if (p < 0) p = 0;
  if (q > size) q = size;
  if (p >= q) return 0;
  int64_t whole = 4 * a->s * size;
  /* At least -2^13, so that what is divided is made positive by 2^15. */
  int64_t e = RESIZE_ONE * (q - p) * (p + q - size) + whole / 2;
  return (int32_t)((e + RESIZE_ONE * whole) / whole) - RESIZE_ONE;
}

/* The weights of a span of d, into to[0] to to[count - 1]. */
static void resize_weights(const resize_axis *a, int d, resize_span span,
                           int32_t *to) {
  if (a->area) {
    int64_t before = 0;
    for (int i = 0; i < span.count; i++) {
      int64_t sum = resize_cumulative(a, d, (int64_t)span.first + i);
      to[i] = (int32_t)(sum - before);
      before = sum;
    }
    for (int i = 0; a->unit > 1 && i < span.count; i++) {
      int32_t e = resize_slope(a, d, (int64_t)span.first + i);
      to[i + 1 < span.count ? i + 1 : i] += e;
      to[i > 0 ? i - 1 : i] -= e;
    }
  } else if (span.count == 1) {
    to[0] = RESIZE_ONE;
  } else {
    int64_t p = (2 * (int64_t)d + 1) * a->s - a->d;
    int64_t r = p % (2 * a->d);
    to[1] = (int32_t)((RESIZE_ONE * r + a->d) / (2 * a->d));
    to[0] = RESIZE_ONE - to[1];
  }
}

typedef struct resize_job {
  const uint8_t *src;        /* the first pixel or sample of the axes */
  ptrdiff_t dx, dy;
  int bytes;                 /* of each: 3, or 1 */
  resize_axis columns, rows;
  resize_span *span;         /* of each destination column */
  int32_t *weight;           /* of the columns, span by span */
  int32_t *row_weight;
  uint16_t *line[RESIZE_HELD];   /* resized source rows, by number */
  int held[RESIZE_HELD];         /* which ones, -1: none */
  int32_t *sum;              /* a destination row in the making */
} resize_job;

/* Resize source row v into line. */
static void resize_line(const resize_job *job, int v, uint16_t *line) {
  ptrdiff_t dx = job->dx;
  const uint8_t *row = job->src + v * job->dy;
  const int32_t *w = job->weight;
  int width = (int)job->columns.d;
  for (int x = 0; x < width; x++, line += 3) {
    resize_span span = job->span[x];
    const uint8_t *p = row + span.first * dx;
    uint32_t r = 128, g = 128, b = 128;
    for (int i = 0; i < span.count; i++, p += dx) {
      r += (uint32_t)w[i] * p[0];
      g += (uint32_t)w[i] * p[1];
      b += (uint32_t)w[i] * p[2];
    }
    w += span.count;
    line[0] = (uint16_t)(r >> 8);
    line[1] = (uint16_t)(g >> 8);
    line[2] = (uint16_t)(b >> 8);
  }
}

static int32_t resize_within(int32_t x, int32_t most) {
  return x < 0 ? 0 : x > most ? most : x;
}

/* The same for samples of one byte.  A sum below 0 becomes 0, so it does not
** matter which way it is rounded. */
static void resize_line_of_one(const resize_job *job, int v, uint16_t *line) {
  ptrdiff_t dx = job->dx;
  const uint8_t *row = job->src + v * job->dy;
  const int32_t *w = job->weight;
  int width = (int)job->columns.d;
  for (int x = 0; x < width; x++) {
    resize_span span = job->span[x];
    const uint8_t *p = row + span.first * dx;
    int32_t sum = 128;
    for (int i = 0; i < span.count; i++, p += dx) sum += w[i] * *p;
    w += span.count;
    line[x] = (uint16_t)resize_within(sum / 256, RESIZE_LINE_MAX);
  }
}

/* Destination row d: into sums that have 22 bits of fraction. */
static void resize_row(resize_job *job, int d) {
  size_t n = (size_t)job->bytes * (size_t)job->columns.d;
  resize_span span = resize_span_of(&job->rows, d);
  resize_weights(&job->rows, d, span, job->row_weight);
  memset(job->sum, 0, n * sizeof(*job->sum));
  for (int k = 0; k < span.count; k++) {
    int32_t w = job->row_weight[k];
    if (!w) continue;
    int v = span.first + k, at = v % RESIZE_HELD;
    uint16_t *line = job->line[at];
    if (job->held[at] != v) {
      (job->bytes == 3 ? resize_line : resize_line_of_one)(job, v, line);
      job->held[at] = v;
    }
    for (size_t i = 0; i < n; i++) job->sum[i] += w * line[i];
  }
}

/* Most source pixels that one destination pixel is made of. */
static size_t resize_longest(const resize_axis *a) {
  return a->area ? (size_t)(a->s / (a->d * a->unit)) + 4 : 2;
}

/* Memory of a job, in one piece behind its pointers. */
static void *resize_take(const nn_memory *mem, resize_job *job) {
  size_t width = (size_t)job->columns.d;
  size_t weights = nn_mul(width, resize_longest(&job->columns));
  size_t longest = resize_longest(&job->rows);
  size_t bytes = nn_mul(width, sizeof(resize_span) + 3 * sizeof(int32_t) +
                                   3 * RESIZE_HELD * sizeof(uint16_t)) +
                 (weights + longest) * sizeof(int32_t);
  char *p = nn_alloc(mem, bytes);
  if (!p) return NULL;
  job->span = (resize_span *)(void *)p;
  job->sum = (int32_t *)(void *)(job->span + width);
  job->weight = job->sum + 3 * width;
  job->row_weight = job->weight + weights;
  for (int i = 0; i < RESIZE_HELD; i++) {
    job->line[i] = (uint16_t *)(void *)(job->row_weight + longest) +
                   (size_t)i * 3 * width;
    job->held[i] = -1;
  }
  return p;
}

/* Into pixels, or into samples. */
static nn_status resize_run(const nn_memory *mem, resize_job *job,
                            uint8_t *pixels, uint16_t *samples,
                            nn_error *err) {
  int width = (int)job->columns.d, height = (int)job->rows.d;
  size_t n = (size_t)job->bytes * (size_t)width;
  void *memory = resize_take(mem, job);
  if (!memory) return nn_fail(err, NN_NOMEM, "out of memory");
  int32_t *weight = job->weight;
  for (int i = 0; i < width; i++) {
    job->span[i] = resize_span_of(&job->columns, i);
    resize_weights(&job->columns, i, job->span[i], weight);
    weight += job->span[i].count;
  }
  for (int i = 0; i < height; i++) {
    resize_row(job, i);
    for (size_t k = 0; pixels && k < n; k++) {
      *pixels++ = (uint8_t)((job->sum[k] + (1 << 21)) >> 22);
    }
    for (size_t k = 0; samples && k < n; k++) {
      int32_t one = (job->sum[k] + (1 << 13)) / (1 << 14);
      *samples++ = (uint16_t)resize_within(one, 255 << 8);
    }
  }
  nn_free(mem, memory);
  return NN_OK;
}

static nn_status resize_channels(const nn_memory *mem, const nn_picture *src,
                                 const int at[2], const int side[2], int dst_w,
                                 int dst_h, uint8_t *dst, nn_error *err) {
  size_t n = nn_mul((size_t)dst_w, (size_t)dst_h);
  const uint16_t *planes[4] = {NULL};
  nn_status status = NN_OK;
  uint16_t *memory =
      nn_alloc(mem, nn_mul(n, (size_t)src->channels * sizeof(*memory)));
  if (!memory) return nn_fail(err, NN_NOMEM, "out of memory");
  for (int i = 0; !status && i < src->channels; i++) {
    const nn_channel *c = &src->channel[i];
    resize_job job = {.src = c->samples, .dx = c->step[0], .dy = c->step[1],
                      .bytes = 1};
    job.columns = (resize_axis){side[0], dst_w, 1, c->unit[0],
                                c->origin[0] - at[0], c->count[0]};
    job.rows = (resize_axis){side[1], dst_h, 1, c->unit[1],
                             c->origin[1] - at[1], c->count[1]};
    status = resize_run(mem, &job, NULL, memory + n * (size_t)i, err);
    planes[i] = memory + n * (size_t)i;
  }
  if (!status) nn_colours_convert(src->colours, planes, n, dst);
  nn_free(mem, memory);
  return status;
}

nn_status nn_resize(const nn_memory *mem, const nn_picture *src, int x, int y,
                    int w, int h, nn_filter filter, int dst_w, int dst_h,
                    uint8_t *dst, nn_error *err) {
  if (x < 0 || y < 0 || w < 1 || h < 1 || w > src->width - x ||
      h > src->height - y) {
    return nn_fail(err, NN_ARGUMENT, "the rectangle is not in the picture");
  }
  int most = src->channels ? RESIZE_SAMPLED_MAX : RESIZE_SIDE_MAX;
  if (dst_w < 1 || dst_h < 1 || dst_w > most || dst_h > most) {
    return nn_fail(err, NN_ARGUMENT, "cannot resize to %d x %d pixels", dst_w,
                   dst_h);
  }
  if (src->channels) {
    return resize_channels(mem, src, (int[]){x, y}, (int[]){w, h}, dst_w, dst_h,
                           dst, err);
  }
  resize_job job = {.src = src->pixels + y * src->dy + x * src->dx,
                    .dx = src->dx, .dy = src->dy, .bytes = 3};
  job.columns = resize_axis_of(w, dst_w, filter);
  job.rows = resize_axis_of(h, dst_h, filter);
  return resize_run(mem, &job, dst, NULL, err);
}

/*
** Pooling of float32 networks.
**
** A window's rows are folded first, along whole rows of the plane, which is what
** vectors are good at; then its columns, where windows that lie within the image
** need no look at its edges.  Planes are the tasks of the team.
**
** Windows whose taps lie apart (dilation) are rare and looked at tap by tap.
** nn_pool_window is what a window is, for every engine.
*/
#include <float.h>
#include <string.h>

#include "floats.h"

int nn_pool_window(const nn_layer *l, int axis, int side, int at, int *low,
                   int *high) {
  int64_t from = (int64_t)at * l->stride[axis] - l->pad[axis];
  int64_t to = from + l->kernel[axis];
  int64_t end = (int64_t)side + l->pad[axis + 2];
  *low = from < 0 ? 0 : (int)from;
  *high = to > side ? side : (int)to;
  return l->include_pad ? (int)((to > end ? end : to) - from) : *high - *low;
}

/* The rows of a window into one row: their maximum or their sum. */
static void pooling_fold_rows(const float *rows, int count, int width,
                             int average, float *to) {
  memcpy(to, rows, (size_t)width * sizeof(*to));
  for (int y = 1; y < count; y++) {
    rows += width;
    if (average) {
      for (int x = 0; x < width; x++) to[x] += rows[x];
    } else {
      for (int x = 0; x < width; x++) to[x] = to[x] > rows[x] ? to[x] : rows[x];
    }
  }
}

/* Taps that lie apart, each looked at by itself. */
static float pooling_taps(const nn_layer *l, const nn_blob *in,
                              const float *plane, int y, int x) {
  int64_t y0 = (int64_t)y * l->stride[0] - l->pad[0];
  int64_t x0 = (int64_t)x * l->stride[1] - l->pad[1];
  float most = -FLT_MAX, sum = 0;
  int inside = 0, padded = 0;
  for (int ky = 0; ky < l->kernel[0]; ky++) {
    int64_t iy = y0 + (int64_t)ky * l->dilation[0];
    if (iy >= (int64_t)in->h + l->pad[2]) break;
    for (int kx = 0; kx < l->kernel[1]; kx++) {
      int64_t ix = x0 + (int64_t)kx * l->dilation[1];
      if (ix >= (int64_t)in->w + l->pad[3]) break;
      padded++;
      if (iy < 0 || iy >= in->h || ix < 0 || ix >= in->w) continue;
      float v = plane[iy * in->w + ix];
      most = v > most ? v : most;
      sum += v;
      inside++;
    }
  }
  return l->average ? sum / (float)(l->include_pad ? padded : inside) : most;
}

static void pooling_dilated(const nn_layer *l, const nn_blob *in,
                                const nn_blob *top, const float *plane,
                                float *to) {
  for (int y = 0; y < top->h; y++) {
    for (int x = 0; x < top->w; x++) {
      *to++ = pooling_taps(l, in, plane, y, x);
    }
  }
}

/* The columns of one window, which may hang over an edge. */
static float pooling_column(const nn_layer *l, int width, const float *row,
                            int tall, int x) {
  int x0, x1, wide = nn_pool_window(l, 1, width, x, &x0, &x1);
  float value = row[x0];
  for (int i = x0 + 1; i < x1; i++) {
    if (l->average) value += row[i];
    else value = value > row[i] ? value : row[i];
  }
  return l->average ? value / ((float)tall * (float)wide) : value;
}

/* The same for n windows that lie within the image, the first at row. */
static inline void pooling_inside(const float *row, int n, int kernel,
                                  int stride, int average, float divisor,
                                  float *to) {
  for (int x = 0; x < n; x++, row += stride) {
    float value = row[0];
    for (int i = 1; i < kernel; i++) {
      if (average) value += row[i];
      else value = value > row[i] ? value : row[i];
    }
    to[x] = average ? value / divisor : value;
  }
}

static void pooling_columns(const nn_layer *l, int width, int outputs,
                            const float *row, int tall, float *to) {
  int kernel = l->kernel[1], stride = l->stride[1], pad = l->pad[1];
  int first = (pad + stride - 1) / stride;
  int last = width + pad < kernel ? 0 : (width + pad - kernel) / stride + 1;
  if (first > outputs) first = outputs;
  if (last > outputs) last = outputs;
  if (last < first) last = first;
  for (int x = 0; x < first; x++) {
    to[x] = pooling_column(l, width, row, tall, x);
  }
  if (last > first) {   /* the pointer is made only where it points at something */
    const float *from = row + (int64_t)first * stride - pad;
    float divisor = (float)tall * (float)kernel;
    int n = last - first;
    if (!l->average && kernel == 3 && stride == 2) {
      pooling_inside(from, n, 3, 2, 0, divisor, to + first);
    } else if (!l->average && kernel == 2 && stride == 2) {
      pooling_inside(from, n, 2, 2, 0, divisor, to + first);
    } else {
      pooling_inside(from, n, kernel, stride, l->average, divisor, to + first);
    }
  }
  for (int x = last; x < outputs; x++) {
    to[x] = pooling_column(l, width, row, tall, x);
  }
}

static void pooling_plane(const nn_layer *l, const nn_blob *in,
                          const nn_blob *top, const float *plane, float *row,
                          float *to) {
  for (int y = 0; y < top->h; y++, to += top->w) {
    int y0, y1, tall = nn_pool_window(l, 0, in->h, y, &y0, &y1);
    pooling_fold_rows(plane + (size_t)y0 * (size_t)in->w, y1 - y0, in->w,
                      l->average, row);
    pooling_columns(l, in->w, top->w, row, tall, to);
  }
}

static void pooling_task(void *context, size_t task, int worker) {
  const nn_step *s = context;
  const nn_layer *l = s->layer;
  const nn_blob *in = &s->blobs[l->bottom[0]], *top = &s->blobs[l->top];
  const float *plane = s->in[0] + task * (size_t)in->h * (size_t)in->w;
  float *to = s->out + task * (size_t)top->h * (size_t)top->w;
  float *row = s->private_scratch + (size_t)worker * NN_FLOAT_SCRATCH;
  if (l->dilation[0] > 1 || l->dilation[1] > 1) {
    pooling_dilated(l, in, top, plane, to);
  } else {
    pooling_plane(l, in, top, plane, row, to);
  }
}

_Static_assert(NN_SIDE_MAX <= NN_FLOAT_SCRATCH, "a row fits");

void nn_pooling_run(const nn_step *s) {
  const nn_blob *in = &s->blobs[s->layer->bottom[0]];
  nn_step step = *s;
  nn_team_run(s->team, (size_t)s->n * (size_t)in->c, pooling_task, &step);
}

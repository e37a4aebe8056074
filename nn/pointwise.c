/*
** Layers that compute each element from those in its place: activations, a
** scale for each channel, and the arithmetic of several blobs.
**
** What comes between two multiplications of matrices, and costs what reading
** and writing memory costs.  All of them may write over what they read
** (plan.c), so an element is read from every bottom before it is written.
**
** Broadcasting: a side of 1 goes with any.  A blob of one bottom then stands
** still along that side, which here is a stride of 0; a squeeze-and-excitation
** block's factors, one for each channel, stand still along a whole plane.
** Sides along which all bottoms run alike are made one, so that what is not
** broadcast is one long loop.
*/
#include <math.h>
#include <string.h>

#include "nn_int.h"

/* Elements that are brought together at a time, on the stack. */
#define POINTWISE_BLOCK 512

/* Activations ------------------------------------------------------------- */

static void pointwise_relu(const float *x, size_t n, float slope, float *to) {
  if (slope == 0) {
    for (size_t i = 0; i < n; i++) to[i] = x[i] > 0 ? x[i] : 0;
  } else {
    for (size_t i = 0; i < n; i++) to[i] = x[i] > 0 ? x[i] : slope * x[i];
  }
}

static float pointwise_clip(float x, float low, float high) {
  x = x > low ? x : low;
  return x < high ? x : high;
}

static void pointwise_activation(const nn_layer *l, const float *x, size_t n,
                                 float *to) {
  float a = l->alpha, b = l->beta, low = l->low, high = l->high;
  switch (l->type) {
    case NN_CLIP:
      for (size_t i = 0; i < n; i++) to[i] = pointwise_clip(x[i], low, high);
      break;
    case NN_HARD_SIGMOID:
      for (size_t i = 0; i < n; i++) {
        to[i] = pointwise_clip(a * x[i] + b, 0, 1);
      }
      break;
    case NN_HARD_SWISH:
      for (size_t i = 0; i < n; i++) {
        to[i] = x[i] * pointwise_clip(x[i] * (1 / 6.f) + 0.5f, 0, 1);
      }
      break;
    case NN_SIGMOID:
      for (size_t i = 0; i < n; i++) to[i] = 1 / (1 + expf(-x[i]));
      break;
    default: pointwise_relu(x, n, l->slope, to);
  }
}

/* x * weight + bias, each of which is the channel's or one for all. */
static void pointwise_scale(const nn_step *s) {
  const nn_layer *l = s->layer;
  const nn_blob *in = &s->blobs[l->bottom[0]];
  size_t plane = (size_t)in->h * (size_t)in->w;
  const float *x = s->in[0];
  float *to = s->out;
  for (int i = 0; i < s->n; i++) {
    for (int c = 0; c < in->c; c++, x += plane, to += plane) {
      float w = s->weight[l->weights == 1 ? 0 : c];
      float b = !s->bias ? 0 : s->bias[l->biases == 1 ? 0 : c];
      for (size_t p = 0; p < plane; p++) to[p] = x[p] * w + b;
    }
  }
}

/* Several bottoms --------------------------------------------------------- */

/* to = to (operation) coeff * x, where x stands still if step is 0. */
static void pointwise_fold(nn_operation operation, float *to, const float *x,
                           int step, int n, float coeff) {
  switch (operation) {
    case NN_SUM:
      if (step) {
        for (int i = 0; i < n; i++) to[i] += coeff * x[i];
      } else {
        for (int i = 0; i < n; i++) to[i] += coeff * x[0];
      }
      break;
    case NN_PROD:
      if (step) {
        for (int i = 0; i < n; i++) to[i] *= x[i];
      } else {
        for (int i = 0; i < n; i++) to[i] *= x[0];
      }
      break;
    case NN_SUB:
      for (int i = 0; i < n; i++) to[i] -= x[step * i];
      break;
    case NN_DIV:
      for (int i = 0; i < n; i++) to[i] /= x[step * i];
      break;
    case NN_MAX:
      for (int i = 0; i < n; i++) {
        to[i] = to[i] > x[step * i] ? to[i] : x[step * i];
      }
      break;
  }
}

/* n elements of every bottom, from x[j] on, step[j] apart. */
static void pointwise_run_length(const nn_layer *l, const float *const *x,
                                 const int *step, size_t n, float *to) {
  float sum[POINTWISE_BLOCK];
  for (size_t at = 0; at < n; at += POINTWISE_BLOCK) {
    int count = n - at < POINTWISE_BLOCK ? (int)(n - at) : POINTWISE_BLOCK;
    const float *first = x[0] + (step[0] ? at : 0);
    float coeff = l->coeff ? l->coeff[0] : 1;
    for (int i = 0; i < count; i++) sum[i] = coeff * first[step[0] * i];
    for (int j = 1; j < l->bottoms; j++) {
      pointwise_fold(l->operation, sum, x[j] + (step[j] ? at : 0), step[j],
                     count, l->coeff ? l->coeff[j] : 1);
    }
    memcpy(to + at, sum, (size_t)count * sizeof(*to));
  }
}

/* Sides of the output that all bottoms run along in the same way are one: the
** number of elements in a run, from the last side on. */
static size_t pointwise_run_sides(const nn_step *s, int side[4], int *rows) {
  const nn_layer *l = s->layer;
  const nn_blob *top = &s->blobs[l->top];
  int alike[3] = {1, 1, 1};   /* C and H, H and W may be one; nothing is cut */
  for (int j = 0; j < l->bottoms; j++) {
    const nn_blob *in = &s->blobs[l->bottom[j]];
    int c = in->c == top->c, h = in->h == top->h, w = in->w == top->w;
    if (h != w) alike[1] = 0;
    if (c != h) alike[0] = 0;
    if (!c || !h || !w) alike[2] = 0;
  }
  side[0] = s->n;
  side[1] = top->c;
  side[2] = top->h;
  side[3] = top->w;
  *rows = 3;
  if (alike[2]) *rows = 0;                    /* images too */
  else if (alike[1] && alike[0]) *rows = 1;
  else if (alike[1]) *rows = 2;
  size_t run = 1;
  for (int i = *rows; i < 4; i++) run = nn_mul(run, (size_t)side[i]);
  return run;
}

/* Where bottom j begins for image i, channel c and row y. */
static const float *pointwise_at(const nn_step *s, int j, int i, int c,
                                 int y) {
  const nn_blob *in = &s->blobs[s->layer->bottom[j]];
  size_t at = (size_t)i * in->size;
  if (in->c > 1) at += (size_t)c * (size_t)in->h * (size_t)in->w;
  if (in->h > 1) at += (size_t)y * (size_t)in->w;
  return s->in[j] + at;
}

static void pointwise_eltwise(const nn_step *s) {
  const nn_layer *l = s->layer;
  const float *x[NN_BOTTOM_MAX];
  int side[4], step[NN_BOTTOM_MAX], rows;
  size_t run = pointwise_run_sides(s, side, &rows);
  float *to = s->out;
  for (int j = 0; j < l->bottoms; j++) {
    const nn_blob *in = &s->blobs[l->bottom[j]];
    /* what is not cut into rows is either whole or one element */
    step[j] = rows == 3   ? in->w > 1
              : rows == 2 ? in->h * in->w > 1
              : rows == 1 ? in->size > 1
                          : 1;
  }
  for (int i = 0; i < (rows > 0 ? side[0] : 1); i++) {
    for (int c = 0; c < (rows > 1 ? side[1] : 1); c++) {
      for (int y = 0; y < (rows > 2 ? side[2] : 1); y++, to += run) {
        for (int j = 0; j < l->bottoms; j++) {
          x[j] = pointwise_at(s, j, i, c, y);
        }
        pointwise_run_length(l, x, step, run, to);
      }
    }
  }
}

void nn_pointwise_run(const nn_step *s) {
  size_t n = (size_t)s->n * s->blobs[s->layer->top].size;
  if (s->layer->type == NN_ELTWISE) pointwise_eltwise(s);
  else if (s->layer->type == NN_SCALE) pointwise_scale(s);
  else pointwise_activation(s->layer, s->in[0], n, s->out);
}

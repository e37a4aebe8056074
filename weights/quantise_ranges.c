/*
** What the numbers of the float32 network look like: one pass over the pictures
** that the quantiser calibrates on.
**
** For each layer that will have a scale, and for what a table reads, the values
** are counted in bins around 0.  Nobody knows the range beforehand, so the bins
** grow: when a value lies outside, neighbours are merged and the reach doubles.
** A bin keeps the sum of its values beside their number, so that its centre is
** where they are.  For each filter the mean of every channel is taken too, from
** those pictures that the integer layers will be run on (quantise_filters.c
** compares them).
**
** Memory is for a few pictures at a time, however many there are.
*/
#include <math.h>
#include <stdlib.h>

#include "quantise.h"

#define RANGES_CHUNK 8        /* pictures at a time */
#define RANGES_BLOBS 64       /* blobs of one forward pass */
#define RANGES_FLOATS ((size_t)64 << 20)

typedef struct ranges_pass {
  quantise *q;
  int blobs[RANGES_BLOBS];
  quantise_node *nodes[RANGES_BLOBS];    /* that have the values or the mean */
  float *out[RANGES_BLOBS];
  int count;
  float *input;
  int chunk;
} ranges_pass;

/* Bins -------------------------------------------------------------------- */

static void ranges_double(quantise_values *v) {
  const int half = QUANTISE_BINS / 2;
  /* around the middle, so that none is read after it was written */
  for (int i = 0; i < half / 2; i++) {
    int up = half + i, down = half - 1 - i;
    v->count[up] = v->count[half + 2 * i] + v->count[half + 2 * i + 1];
    v->sum[up] = v->sum[half + 2 * i] + v->sum[half + 2 * i + 1];
    v->count[down] = v->count[half - 1 - 2 * i] + v->count[half - 2 - 2 * i];
    v->sum[down] = v->sum[half - 1 - 2 * i] + v->sum[half - 2 - 2 * i];
  }
  for (int i = half / 2; i < half; i++) {
    v->count[half + i] = v->count[half - 1 - i] = 0;
    v->sum[half + i] = v->sum[half - 1 - i] = 0;
  }
  v->reach *= 2;
}

/* 0 when a value is none. */
static int ranges_count(quantise_values *v, const float *x, size_t n) {
  for (size_t i = 0; i < n; i++) {
    if (!isfinite(x[i])) return 0;
    if (x[i] < v->low) v->low = x[i];
    if (x[i] > v->high) v->high = x[i];
  }
  while (v->high >= v->reach || -v->low > v->reach) ranges_double(v);
  double bins = QUANTISE_BINS / 2 / v->reach;
  for (size_t i = 0; i < n; i++) {
    int bin = (int)floor(x[i] * bins) + QUANTISE_BINS / 2;
    v->count[bin]++;
    v->sum[bin] += x[i];
  }
  return 1;
}

static void ranges_mean(const quantise_node *node, const float *x, int n) {
  size_t plane = (size_t)node->h * (size_t)node->w;
  for (int i = 0; i < n; i++) {
    for (int c = 0; c < node->c; c++) {
      double sum = 0;
      for (size_t p = 0; p < plane; p++) sum += *x++;
      node->mean[c] += sum / (double)plane;
    }
  }
}

/* Which layers ------------------------------------------------------------ */

static nn_status ranges_values(quantise *q, quantise_node *node) {
  if (node->values) return NN_OK;
  quantise_values *v = quantise_alloc(q, 1, sizeof(*v));
  if (!v) return q->err->status;
  v->reach = 0x1p-20;
  v->cap = node->cap > 0 ? node->cap : INFINITY;
  v->count = quantise_alloc(q, QUANTISE_BINS, sizeof(*v->count));
  v->sum = quantise_alloc(q, QUANTISE_BINS, sizeof(*v->sum));
  node->values = v;
  return v->count && v->sum ? NN_OK : q->err->status;
}

static int ranges_own_scale(const quantise_node *node) {
  if (node->filter) return !node->sums;
  return node->type == NN_ELTWISE || node->type == NN_CONCAT ||
         node->type == NN_LRN || node->type == NN_LOOKUP ||
         node->type == NN_CONSTANT;
}

static nn_status ranges_wanted(quantise *q) {
  for (int i = 1; i < q->count; i++) {
    quantise_node *node = q->nodes[i];
    if (ranges_own_scale(node) && ranges_values(q, node) != NN_OK) break;
    if (quantise_is_table(node->type) &&
        ranges_values(q, node->bottom[0]) != NN_OK) {
      break;
    }
    if (!node->filter) continue;
    node->mean = quantise_alloc(q, (size_t)node->c, sizeof(double));
    if (!node->mean) break;
  }
  return q->err->status;
}

/* The pass ---------------------------------------------------------------- */

/* Pictures [first, first + n) as the float32 network wants them. */
static void ranges_input(const ranges_pass *pass, int first, int n) {
  const nn_blob *in = &pass->q->model->blobs[0];
  const nn_preprocess *p = &pass->q->model->preprocess;
  const uint8_t *from = pass->q->options->pixels + (size_t)first * in->size;
  size_t plane = (size_t)in->h * (size_t)in->w;
  float *to = pass->input;
  for (int i = 0; i < n * in->c; i++) {
    float mean = in->c == 3 ? p->mean[i % 3] : 0;
    float scale = in->c == 3 ? p->scale[i % 3] : 1;
    for (size_t k = 0; k < plane; k++) *to++ = ((float)*from++ - mean) * scale;
  }
}

static nn_status ranges_take(const ranges_pass *pass, int first, int n) {
  int means = pass->q->batch - first;
  means = means < 0 ? 0 : means > n ? n : means;
  for (int b = 0; b < pass->count; b++) {
    quantise_node *node = pass->nodes[b];
    size_t size = pass->q->model->blobs[pass->blobs[b]].size;
    if (node->values &&
        !ranges_count(node->values, pass->out[b], size * (size_t)n)) {
      return nn_fail(pass->q->err, NN_MODEL,
                     "layer %s: a picture gives a value that is no number",
                     nn_shown_name(node->name).text);
    }
    if (node->mean) ranges_mean(node, pass->out[b], means);
  }
  return NN_OK;
}

static nn_status ranges_run(ranges_pass *pass) {
  quantise *q = pass->q;
  nn_status status = NN_OK;
  for (int b = 0; b < pass->count && !status; b++) {
    size_t size = q->model->blobs[pass->blobs[b]].size;
    pass->out[b] = malloc(size * (size_t)pass->chunk * sizeof(float));
    if (!pass->out[b]) status = nn_fail(q->err, NN_NOMEM, "out of memory");
  }
  for (int i = 0; i < q->options->images && !status; i += pass->chunk) {
    int left = q->options->images - i;
    int n = left < pass->chunk ? left : pass->chunk;
    ranges_input(pass, i, n);
    status = nn_run_blobs(&nn_memory_libc, q->model, NN_FAST, pass->input, n,
                          pass->blobs, pass->count, pass->out, q->err);
    if (status == NN_OK) status = ranges_take(pass, i, n);
  }
  for (int b = 0; b < pass->count; b++) free(pass->out[b]);
  pass->count = 0;
  return status;
}

static nn_status ranges_passes(ranges_pass *pass) {
  quantise *q = pass->q;
  size_t floats = 0;
  nn_status status = NN_OK;
  for (int i = 1; i < q->count && !status; i++) {
    quantise_node *node = q->nodes[i];
    if (!node->values && !node->mean) continue;
    size_t size = q->model->blobs[node->blob].size * (size_t)pass->chunk;
    if (pass->count == RANGES_BLOBS ||
        (pass->count && floats + size > RANGES_FLOATS)) {
      status = ranges_run(pass);
      floats = 0;
    }
    floats += size;
    pass->nodes[pass->count] = node;
    pass->blobs[pass->count++] = node->blob;
  }
  return status || !pass->count ? status : ranges_run(pass);
}

nn_status quantise_measure(quantise *q) {
  ranges_pass pass = {.q = q, .chunk = RANGES_CHUNK};
  nn_status status = ranges_wanted(q);
  if (status) return status;
  pass.input = malloc(q->model->blobs[0].size * RANGES_CHUNK * sizeof(float));
  if (!pass.input) return nn_fail(q->err, NN_NOMEM, "out of memory");
  status = ranges_passes(&pass);
  free(pass.input);
  for (int i = 1; i < q->count && !status; i++) {
    quantise_node *node = q->nodes[i];
    for (int c = 0; node->mean && c < node->c; c++) {
      node->mean[c] /= q->batch;
    }
  }
  return status;
}

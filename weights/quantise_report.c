/*
** What quantisation cost: the float32 network and the integer one, both opened
** from their files, on the same pictures.
**
** The bits of each head's code that differ, on the pictures that were calibrated
** on and on others, are the figure to judge by.  The largest sum that a
** filter can reach stands beside 2^24, up to which float32 adds whole numbers
** exactly (OpenBLAS as a second opinion cuts longer sums into pieces), and 2^31,
** which no sum passes.  Layer by layer, what is lost is told in dB of the layer's
** own variance.
*/
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "quantise.h"

#define REPORT_CHUNK 8
#define REPORT_LAYERS 32   /* pictures that layers are compared on */

typedef struct report_pair {
  quantise *q;
  nn_model *integer;
  float *pixels, *input;     /* of a chunk, for either network */
} report_pair;

/* Pictures [first, first + n) for both networks. */
static void report_input(const report_pair *p, int first, int n) {
  const nn_model *model = p->q->model;
  const nn_blob *in = &model->blobs[0];
  const uint8_t *from = p->q->options->pixels + (size_t)first * in->size;
  size_t plane = (size_t)in->h * (size_t)in->w;
  for (size_t i = 0; i < (size_t)n * in->size; i++) {
    int c = (int)(i / plane % (size_t)in->c), three = in->c == 3;
    float mean = three ? model->preprocess.mean[c] : 0;
    float scale = three ? model->preprocess.scale[c] : 1;
    p->pixels[i] = from[i];
    p->input[i] = ((float)from[i] - mean) * scale;
  }
}

/* Blobs of both networks, for a chunk: a[] is the float32 network's. */
static nn_status report_run(const report_pair *p, int n, int count,
                            const int *blobs, const int *integer,
                            float *const *a, float *const *b) {
  nn_status status = nn_run_blobs(&nn_memory_libc, p->q->model, NN_FAST,
                                  p->input, n, blobs, count, a, p->q->err);
  if (status) return status;
  return nn_run_blobs(&nn_memory_libc, p->integer, NN_FAST, p->pixels, n,
                      integer, count, b, p->q->err);
}

/* Codes ------------------------------------------------------------------- */

typedef struct report_codes {
  int blobs[NN_HEAD_MAX], integer[NN_HEAD_MAX];
  float *a[NN_HEAD_MAX], *b[NN_HEAD_MAX];
  long long changed[NN_HEAD_MAX];
  int heads;
} report_codes;

static nn_status report_codes_open(const report_pair *p, report_codes *r) {
  const nn_model *model = p->q->model;
  memset(r, 0, sizeof(*r));
  for (int h = 0; h < nn_model_head_count(model); h++) {
    const nn_head *head = nn_model_head(model, h);
    size_t room = REPORT_CHUNK * (size_t)head->bits;
    r->blobs[h] = head->latent;
    r->integer[h] = nn_model_blob(p->integer,
                                  nn_model_blob_name(model, head->latent));
    r->a[h] = malloc(2 * room * sizeof(float));
    r->heads++;
    if (!r->a[h]) return nn_fail(p->q->err, NN_NOMEM, "out of memory");
    r->b[h] = r->a[h] + room;
  }
  return NN_OK;
}

static nn_status report_bits(const report_pair *p, report_codes *r, int first,
                             int count) {
  nn_status status = NN_OK;
  memset(r->changed, 0, sizeof(r->changed));
  for (int i = 0; i < count && !status; i += REPORT_CHUNK) {
    int n = count - i < REPORT_CHUNK ? count - i : REPORT_CHUNK;
    report_input(p, first + i, n);
    status = report_run(p, n, r->heads, r->blobs, r->integer, r->a, r->b);
    for (int h = 0; h < r->heads && !status; h++) {
      int bits = nn_model_head(p->q->model, h)->bits;
      for (int k = 0; k < bits * n; k++) {
        r->changed[h] += (r->a[h][k] > 0) != (r->b[h][k] > 0);
      }
    }
  }
  return status;
}

static nn_status report_part(const report_pair *p, report_codes *r,
                             const char *what, int first, int count) {
  nn_status status = report_bits(p, r, first, count);
  for (int h = 0; h < r->heads && !status; h++) {
    const nn_head *head = nn_model_head(p->q->model, h);
    long long all = (long long)count * head->bits;
    fprintf(p->q->options->log, "%s: %lld of %lld bits changed (%.2f %%) on "
            "%d %s pictures\n", head->name, r->changed[h], all,
            100.0 * (double)r->changed[h] / (double)all, count, what);
  }
  return status;
}

static nn_status report_heads(const report_pair *p) {
  const quantise_options *o = p->q->options;
  report_codes r;
  nn_status status = report_codes_open(p, &r);
  if (status == NN_OK && r.heads) {
    status = report_part(p, &r, "calibration", 0, o->images);
  }
  if (status == NN_OK && r.heads && o->held_out) {
    status = report_part(p, &r, "other", o->images, o->held_out);
  }
  for (int h = 0; h < r.heads; h++) free(r.a[h]);
  return status;
}

/* Layers ------------------------------------------------------------------ */

/* The noise of b against the variance of a, both of n values of any number of
** chunks. */
typedef struct report_noise {
  double sum, squares, noise, n;
} report_noise;

static void report_add(report_noise *r, const quantise_node *node,
                       const float *a, const float *b, size_t n) {
  for (size_t i = 0; i < n; i++) {
    double x = node->positive && a[i] < 0 ? 0 : (double)a[i];
    if (node->cap > 0 && x > node->cap) x = node->cap;
    double off = (double)b[i] - x;
    r->sum += x;
    r->squares += x * x;
    r->noise += off * off;
  }
  r->n += (double)n;
}

static void report_line(const report_pair *p, const quantise_node *node,
                        const report_noise *r) {
  const nn_quant *quant = &p->q->draft->blobs[node->made].quant;
  double mean = r->sum / r->n, variance = r->squares / r->n - mean * mean;
  double noise = r->noise / r->n;
  char scale[32] = "of channels";
  if (!quant->sums) {
    snprintf(scale, sizeof(scale), "%.6g, zero %d", (double)quant->scale,
             quant->zero[0]);
  }
  fprintf(p->q->options->log, "%-24s scale %-22s %5.1f dB\n", node->name,
          scale, noise > 0 && variance > 0 ? 10 * log10(variance / noise)
                                           : 99.0);
}

static nn_status report_layer(const report_pair *p,
                              const quantise_node *node) {
  int count = p->q->options->images;
  size_t size = p->q->model->blobs[node->blob].size;
  float *a = malloc(2 * REPORT_CHUNK * size * sizeof(float));
  int blob = nn_model_blob(p->integer, node->name);
  report_noise noise = {0};
  nn_status status = NN_OK;
  if (!a) return nn_fail(p->q->err, NN_NOMEM, "out of memory");
  float *b = a + REPORT_CHUNK * size;
  if (count > REPORT_LAYERS) count = REPORT_LAYERS;
  for (int i = 0; i < count && !status; i += REPORT_CHUNK) {
    int n = count - i < REPORT_CHUNK ? count - i : REPORT_CHUNK;
    report_input(p, i, n);
    status = report_run(p, n, 1, &node->blob, &blob, &a, &b);
    if (!status) report_add(&noise, node, a, b, size * (size_t)n);
  }
  free(a);
  if (status == NN_OK) report_line(p, node, &noise);
  return status;
}

/* The report -------------------------------------------------------------- */

static nn_status report_all(const report_pair *p) {
  const quantise *q = p->q;
  nn_status status = NN_OK;
  for (int i = 1; i < q->count && q->options->verbose && !status; i++) {
    status = report_layer(p, q->nodes[i]);
  }
  if (status == NN_OK) status = report_heads(p);
  if (status || !q->largest_name) return status;
  fprintf(q->options->log,
          "largest sum that a filter can reach: %lld, in %s; that is %.3g of "
          "2^24 and %.3g of 2^31; %lld of %lld filters can pass 2^24\n",
          (long long)q->largest, q->largest_name,
          (double)q->largest * 0x1p-24, (double)q->largest * 0x1p-31,
          q->above24, q->filters);
  return status;
}

nn_status quantise_report(quantise *q, const uint8_t *bytes, size_t n) {
  report_pair p = {.q = q};
  size_t size = q->model->blobs[0].size;
  nn_status status =
      nn_model_open(&nn_memory_libc, bytes, n, &p.integer, q->err);
  if (status) return status;
  p.pixels = malloc(2 * REPORT_CHUNK * size * sizeof(float));
  if (p.pixels) {
    p.input = p.pixels + REPORT_CHUNK * size;
    status = report_all(&p);
  } else {
    status = nn_fail(q->err, NN_NOMEM, "out of memory");
  }
  free(p.pixels);
  nn_model_close(p.integer);
  return status;
}

/*
** What quantisation cost: the float32 network and the integer one, both opened
** from their files, on the same pictures.
**
** The bits of each head's code that differ, on the pictures that were calibrated
** on and on others, are what matters; the share of the wanted decisions that a
** picture's nearest neighbours change follows from them.  The largest sum that a
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

/* The same blob of both networks, for a chunk. */
static nn_status report_run(const report_pair *p, int n, const char *name,
                            int blob, float *a, float *b) {
  nn_status status = nn_run(&nn_memory_libc, p->q->model, NN_FAST, p->input, n,
                            blob, a, p->q->err);
  if (status) return status;
  return nn_run(&nn_memory_libc, p->integer, NN_FAST, p->pixels, n,
                nn_model_blob(p->integer, name), b, p->q->err);
}

/* Codes ------------------------------------------------------------------- */

static nn_status report_bits(const report_pair *p, const nn_head *head,
                             int first, int count, long long *changed) {
  size_t bits = (size_t)head->bits;
  float *a = malloc(2 * REPORT_CHUNK * bits * sizeof(float));
  nn_status status = NN_OK;
  if (!a) return nn_fail(p->q->err, NN_NOMEM, "out of memory");
  float *b = a + REPORT_CHUNK * bits;
  *changed = 0;
  for (int i = 0; i < count && !status; i += REPORT_CHUNK) {
    int n = count - i < REPORT_CHUNK ? count - i : REPORT_CHUNK;
    report_input(p, first + i, n);
    status = report_run(p, n, nn_model_blob_name(p->q->model, head->latent),
                        head->latent, a, b);
    for (size_t k = 0; k < bits * (size_t)n && !status; k++) {
      *changed += (a[k] > 0) != (b[k] > 0);
    }
  }
  free(a);
  return status;
}

static nn_status report_head(const report_pair *p, const nn_head *head) {
  const quantise_options *o = p->q->options;
  const struct {
    const char *what;
    int first, count;
  } parts[] = {{"calibration", 0, o->images},
               {"other", o->images, o->held_out}};
  for (int i = 0; i < 2; i++) {
    long long changed = 0, all = (long long)parts[i].count * head->bits;
    if (!all) continue;
    nn_status status = report_bits(p, head, parts[i].first, parts[i].count,
                                   &changed);
    if (status) return status;
    fprintf(o->log, "%s: %lld of %lld bits changed (%.2f %%) on %d %s "
            "pictures\n", head->name, changed, all,
            100.0 * (double)changed / (double)all, parts[i].count,
            parts[i].what);
  }
  return NN_OK;
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
  report_noise noise = {0};
  nn_status status = NN_OK;
  if (!a) return nn_fail(p->q->err, NN_NOMEM, "out of memory");
  float *b = a + REPORT_CHUNK * size;
  if (count > REPORT_LAYERS) count = REPORT_LAYERS;
  for (int i = 0; i < count && !status; i += REPORT_CHUNK) {
    int n = count - i < REPORT_CHUNK ? count - i : REPORT_CHUNK;
    report_input(p, i, n);
    status = report_run(p, n, node->name, node->blob, a, b);
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
  for (int i = 0; i < nn_model_head_count(q->model) && !status; i++) {
    status = report_head(p, nn_model_head(q->model, i));
  }
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

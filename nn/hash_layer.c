/*
** The latent layer and the classifier that were learned, in the exact form that
** an integer network wants, and what they make of an example.
**
** weights/README.md ("Integer networks") says what each constant means, and
** `binhash-import --int8` chooses them for whole networks by the same rules:
** weights are -127 to 127 times a unit for each output, the one of the least
** squared error among max|w| / 127 and shares of it; what rounding adds to the
** mean of a sum is taken out of its bias; a unit is doubled until no sum can
** leave 32 bits; the sigmoid is a table of 256 values, a step apart that has
** the least squared error; the classifier has one unit for all, as its softmax
** wants.
**
** A model is measured by what it will compute when it is loaded.  So the run
** here is that of the integer layers, and the code of an example is the one
** that img_hash will give for its picture.
*/
#include <math.h>
#include <string.h>

#include "learn.h"

#define LAYER_STEPS 127
#define LAYER_SUM_MAX (0x1p31 - 0x1p28)   /* of what could be added */

/* Memory ------------------------------------------------------------------- */

nn_status nn_hash_layer_new(const nn_memory *mem, int bits, int classes,
                            size_t features, int integer, nn_hash_layer *out,
                            nn_error *err) {
  size_t b = (size_t)bits, c = (size_t)classes;
  memset(out, 0, sizeof(*out));
  out->bits = bits;
  out->classes = classes;
  out->features = features;
  out->integer = integer;
  out->weight = nn_alloc(mem, nn_mul(b * features, sizeof(float)));
  out->bias = nn_alloc(mem, b * sizeof(float));
  out->score = nn_alloc(mem, c * b * sizeof(float));
  out->score_bias = nn_alloc(mem, c * sizeof(float));
  int ok = out->weight && out->bias && out->score && out->score_bias;
  if (ok && integer) {
    out->weight8 = nn_alloc(mem, b * features);
    out->score8 = nn_alloc(mem, c * b);
    out->bias32 = nn_alloc(mem, b * sizeof(int32_t));
    out->score_bias32 = nn_alloc(mem, c * sizeof(int32_t));
    out->folded = nn_alloc(mem, b * sizeof(int32_t));
    out->multiplier = nn_alloc(mem, b * sizeof(int32_t));
    out->shift = nn_alloc(mem, b * sizeof(int32_t));
    out->scales = nn_alloc(mem, b * sizeof(float));
    out->score_scales = nn_alloc(mem, c * sizeof(float));
    out->softmax = nn_alloc(mem, 65536 * sizeof(int32_t));
    ok = out->weight8 && out->score8 && out->bias32 && out->score_bias32 &&
         out->folded && out->multiplier && out->shift && out->scales &&
         out->score_scales && out->softmax;
  }
  return ok ? NN_OK : nn_fail(err, NN_NOMEM, "out of memory");
}

void nn_hash_layer_free(const nn_memory *mem, nn_hash_layer *layer) {
  nn_free(mem, layer->weight);
  nn_free(mem, layer->bias);
  nn_free(mem, layer->score);
  nn_free(mem, layer->score_bias);
  nn_free(mem, layer->weight8);
  nn_free(mem, layer->score8);
  nn_free(mem, layer->bias32);
  nn_free(mem, layer->score_bias32);
  nn_free(mem, layer->folded);
  nn_free(mem, layer->multiplier);
  nn_free(mem, layer->shift);
  nn_free(mem, layer->scales);
  nn_free(mem, layer->score_scales);
  nn_free(mem, layer->softmax);
}

/* Numbers ------------------------------------------------------------------ */

/* The nearest number of 16 significant bits, at least 2^-60. */
static double layer_round16(double x) {
  int exponent;
  double mantissa = frexp(x, &exponent);
  x = ldexp(floor(mantissa * 65536 + 0.5), exponent - 16);
  return x < 0x1p-60 ? 0x1p-60 : x;
}

/* ratio = *m / 2^*s as exactly as 31 bits say it; 0: it is too large. */
static int layer_fraction(double ratio, int32_t *m, int32_t *s) {
  int exponent;
  frexp(ratio, &exponent);
  int shift = 31 - exponent < 62 ? 31 - exponent : 62;
  int64_t whole = (int64_t)floor(ldexp(ratio, shift) + 0.5);
  if (whole == (int64_t)1 << 31) {
    whole >>= 1;
    shift--;
  }
  *m = (int32_t)whole;
  *s = shift;
  return shift >= 1;
}

static double layer_nearest(double x) {
  double q = floor(x + 0.5);
  return q > LAYER_STEPS ? LAYER_STEPS : q < -LAYER_STEPS ? -LAYER_STEPS : q;
}

/* The unit of n weights that has the least squared error; 0: all are 0. */
static double layer_unit(const float *w, size_t n) {
  double most = 0, best = INFINITY, unit = 0;
  for (size_t i = 0; i < n; i++)
    if (fabs((double)w[i]) > most) most = fabs((double)w[i]);
  for (int share = 50; share >= 25 && most > 0; share--) {
    double try = most * share / 50 / LAYER_STEPS, error = 0;
    for (size_t i = 0; i < n && error < best; i++) {
      double off = layer_nearest(w[i] / try) * try - (double)w[i];
      error += off * off;
    }
    if (error < best) {
      best = error;
      unit = try;
    }
  }
  return unit;
}

/* Latent layer ------------------------------------------------------------- */

/* What the sum of a filter is at most, for one unit of it. */
static double layer_worst(const nn_examples *e, const float *w, double bias,
                          double unit) {
  double step = unit / (double)e->quant->scale, offset = 0, sum = 0;
  for (size_t i = 0; i < e->features; i++) {
    double q = layer_nearest(w[i] / step);
    offset += q * (double)nn_feature_offset(e, i) / (double)e->quant->scale;
    sum += fabs(q) * e->quant->max;
  }
  return fabs(bias / unit - offset) + sum;
}

/* Row o of the latent layer in integers. */
static void layer_row(const nn_examples *e, const float *mean,
                      nn_hash_layer *layer, int o) {
  const float *w = layer->weight + (size_t)o * e->features;
  int8_t *to = layer->weight8 + (size_t)o * e->features;
  double scale = (double)e->quant->scale, bias = (double)layer->bias[o];
  for (size_t i = 0; i < e->features; i++)
    bias += (double)w[i] * (double)nn_feature_offset(e, i);
  double unit = layer_unit(w, e->features) * scale;
  if (unit < fabs(bias) * 0x1p-29) unit = fabs(bias) * 0x1p-29;
  unit = layer_round16(unit > 0 ? unit : scale);
  while (layer_worst(e, w, bias, unit) >= LAYER_SUM_MAX) unit *= 2;
  double zeros = 0, limit = unit * 0x1p27, wrong = 0;
  for (size_t i = 0; i < e->features; i++) {
    double offset = (double)nn_feature_offset(e, i);
    double q = layer_nearest(w[i] * scale / unit);
    to[i] = (int8_t)q;
    zeros += q * floor(offset / scale + 0.5);
    wrong += (q * unit / scale - (double)w[i]) * ((double)mean[i] - offset);
  }
  bias -= wrong > limit ? limit : wrong < -limit ? -limit : wrong;
  layer->scales[o] = (float)unit;
  layer->bias32[o] = (int32_t)floor(bias / unit + 0.5);
  layer->folded[o] = (int32_t)(layer->bias32[o] - zeros);
}

static int32_t layer_sum(const nn_hash_layer *layer, int o, const uint8_t *q) {
  const int8_t *w = layer->weight8 + (size_t)o * layer->features;
  int32_t sum = 0;
  for (size_t i = 0; i < layer->features; i++) sum += w[i] * q[i];
  return layer->folded[o] + sum;
}

/* Sigmoid ------------------------------------------------------------------ */

static double layer_logistic(double x) {
  return 1 / (1 + exp(-x));
}

static double layer_step_error(const float *z, size_t n, double step) {
  double table[256], error = 0;
  for (int i = 0; i < 256; i++)
    table[i] = floor(layer_logistic((i - 128) * step) * LAYER_STEPS + 0.5) /
               LAYER_STEPS;
  for (size_t i = 0; i < n; i++) {
    double at = floor((double)z[2 * i] / step + 0.5) + 128;
    double off = table[at < 0 ? 0 : at > 255 ? 255 : (int)at] -
                 (double)z[2 * i + 1];
    error += off * off;
  }
  return error;
}

/* z: pairs of a logit and its sigmoid. */
static nn_status layer_sigmoid(nn_hash_layer *layer, const float *z, size_t n,
                               const nn_watch *watch, nn_error *err) {
  double best = INFINITY, step = 1.0 / 16;
  for (int i = 8; i <= 48; i++) {
    double error = layer_step_error(z, n, i / 512.0);
    if (nn_watch_stops(watch))
      return nn_fail(err, NN_INTERRUPTED, "interrupted");
    if (error < best) {
      best = error;
      step = i / 512.0;
    }
  }
  layer->table_scale = (float)layer_round16(1.0 / LAYER_STEPS);
  for (int i = 0; i < 256; i++) {
    double q = floor(layer_logistic((i - 128) * step) /
                     (double)layer->table_scale + 0.5);
    layer->table[i] = (uint8_t)(q > LAYER_STEPS ? LAYER_STEPS : q);
  }
  for (int o = 0; o < layer->bits; o++)
    if (!layer_fraction((double)layer->scales[o] / step,
                        &layer->multiplier[o], &layer->shift[o]))
      return nn_fail(err, NN_ARGUMENT, "the latent layer's logits are too "
                     "large for an integer network: lower the rate");
  return NN_OK;
}

static int layer_lookup(const nn_hash_layer *layer, int o, int32_t sum) {
  int s = layer->shift[o];
  int64_t at = 128 + (((int64_t)sum * layer->multiplier[o] +
                       ((int64_t)1 << (s - 1))) >> s);
  return layer->table[at < 0 ? 0 : at > 255 ? 255 : at];
}

/* Classifier --------------------------------------------------------------- */

/* exact, rounded: what the sigmoids are on average, before and behind the
** table. */
static void layer_scores(nn_hash_layer *layer, const double *exact,
                         const double *rounded) {
  size_t bits = (size_t)layer->bits, n = (size_t)layer->classes * bits;
  double scale = (double)layer->table_scale;
  double unit = layer_unit(layer->score, n) * scale;
  for (int c = 0; c < layer->classes; c++)
    if (unit < fabs((double)layer->score_bias[c]) * 0x1p-29)
      unit = fabs((double)layer->score_bias[c]) * 0x1p-29;
  unit = layer_round16(unit > 0 ? unit : scale);
  for (int c = 0; c < layer->classes; c++) {
    double bias = (double)layer->score_bias[c];
    for (size_t i = 0; i < bits; i++) {
      double v = (double)layer->score[(size_t)c * bits + i];
      double q = layer_nearest(v * scale / unit);
      layer->score8[(size_t)c * bits + i] = (int8_t)q;
      bias += v * exact[i] - q * unit / scale * rounded[i];
    }
    layer->score_scales[c] = (float)unit;
    layer->score_bias32[c] = (int32_t)floor(bias / unit + 0.5);
  }
}

static void layer_softmax(nn_hash_layer *layer) {
  double unit = (double)layer->score_scales[0];
  int shift = 0;
  while (shift < 30 && ldexp(unit, shift + 1) <= 1.0 / 128) shift++;
  double step = ldexp(unit, shift), middle = (ldexp(1, shift) - 1) / 2 * unit;
  double entries = ceil(22 / step);
  int n = entries > 65535 ? 65535 : entries < 1 ? 1 : (int)entries;
  for (int i = 0; i < n; i++) {
    double y = floor(exp(-i * step - middle) * 0x1p30 + 0.5);
    layer->softmax[i] = (int32_t)y;
  }
  if (layer->softmax[0] < 1) layer->softmax[0] = 1;
  layer->softmax[n] = 0;   /* what everything further down gets */
  layer->softmax_count = n + 1;
  layer->softmax_shift = shift;
}

/* The whole ---------------------------------------------------------------- */

/* Pairs of logit and sigmoid of the sample's units. */
static void layer_sample(const nn_examples *e, const nn_hash_layer *layer,
                         const uint32_t *sample, size_t n, float *z) {
  for (size_t i = 0; i < n; i++) {
    const uint8_t *q = nn_example_bytes(e, sample[i]) + 2 * sizeof(float);
    for (int o = 0; o < layer->bits; o++, z += 2) {
      double x = (double)layer_sum(layer, o, q) * (double)layer->scales[o];
      z[0] = (float)x;
      z[1] = (float)layer_logistic(x);
    }
  }
}

static void layer_means(const nn_hash_layer *layer, const float *z, size_t n,
                        double *exact, double *rounded) {
  size_t bits = (size_t)layer->bits;
  for (size_t o = 0; o < bits; o++) {
    exact[o] = rounded[o] = 0;
    for (size_t i = 0; i < n; i++) {
      const float *pair = z + 2 * (i * bits + o);
      int32_t sum = (int32_t)(pair[0] / layer->scales[o]);
      exact[o] += (double)pair[1] / (double)n;
      rounded[o] += layer_lookup(layer, (int)o, sum) *
                    (double)layer->table_scale / (double)n;
    }
  }
}

nn_status nn_hash_layer_quantise(const nn_examples *e, const float *mean,
                                 const uint32_t *sample, size_t n,
                                 const nn_watch *watch, nn_hash_layer *layer,
                                 nn_error *err) {
  size_t bits = (size_t)layer->bits;
  float *z = nn_alloc(&e->mem, 2 * n * bits * sizeof(*z));
  double *means = nn_alloc(&e->mem, 2 * bits * sizeof(*means));
  nn_status status = z && means ? NN_OK
                                : nn_fail(err, NN_NOMEM, "out of memory");
  for (int o = 0; o < layer->bits && !status; o++) {
    layer_row(e, mean, layer, o);
    if (nn_watch_stops(watch))
      status = nn_fail(err, NN_INTERRUPTED, "interrupted");
  }
  if (!status) {
    layer_sample(e, layer, sample, n, z);
    status = layer_sigmoid(layer, z, n * bits, watch, err);
  }
  if (!status) {
    layer_means(layer, z, n, means, means + bits);
    layer_scores(layer, means, means + bits);
    layer_softmax(layer);
  }
  nn_free(&e->mem, z);
  nn_free(&e->mem, means);
  return status;
}

/* Running ------------------------------------------------------------------ */

size_t nn_hash_layer_spare(const nn_hash_layer *layer) {
  return layer->features + 2 * (size_t)layer->bits;
}

static void layer_run_integer(const nn_examples *e, const nn_hash_layer *layer,
                              size_t example, float *logits, float *scores,
                              uint8_t *h) {
  const uint8_t *q = nn_example_bytes(e, example) + 2 * sizeof(float);
  for (int o = 0; o < layer->bits; o++) {
    int32_t sum = layer_sum(layer, o, q);
    logits[o] = (float)sum;
    h[o] = (uint8_t)layer_lookup(layer, o, sum);
  }
  for (int c = 0; c < layer->classes; c++) {
    const int8_t *v = layer->score8 + (size_t)c * (size_t)layer->bits;
    int32_t sum = layer->score_bias32[c];
    for (int o = 0; o < layer->bits; o++) sum += v[o] * h[o];
    scores[c] = (float)sum * layer->score_scales[c];
  }
}

static void layer_run_float(const nn_examples *e, const nn_hash_layer *layer,
                            size_t example, float *logits, float *scores,
                            float *values) {
  float *h = values + layer->features;
  nn_example_values(e, example, values);
  for (int o = 0; o < layer->bits; o++) {
    const float *w = layer->weight + (size_t)o * layer->features;
    float sum[8] = {0};
    size_t i = 0;
    for (; i + 8 <= layer->features; i += 8)
      for (size_t j = 0; j < 8; j++) sum[j] += w[i + j] * values[i + j];
    for (; i < layer->features; i++) sum[0] += w[i] * values[i];
    logits[o] = ((sum[0] + sum[1]) + (sum[2] + sum[3])) +
                ((sum[4] + sum[5]) + (sum[6] + sum[7])) + layer->bias[o];
    h[o] = 1 / (1 + expf(-logits[o]));
  }
  for (int c = 0; c < layer->classes; c++) {
    const float *v = layer->score + (size_t)c * (size_t)layer->bits;
    scores[c] = layer->score_bias[c];
    for (int o = 0; o < layer->bits; o++) scores[c] += v[o] * h[o];
  }
}

void nn_hash_layer_run(const nn_examples *e, const nn_hash_layer *layer,
                       size_t example, uint8_t *code, float *scores,
                       float *spare) {
  float *logits = spare;
  spare += layer->bits;
  if (layer->integer)
    layer_run_integer(e, layer, example, logits, scores, (uint8_t *)spare);
  else
    layer_run_float(e, layer, example, logits, scores, spare);
  nn_code_from_logits(logits, layer->bits, code);
}

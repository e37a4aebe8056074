/*
** Learning: the latent layer and the classifier of the paper, by stochastic
** gradient descent on features that do not change.
**
**   Lin, Yang, Hsiao, Chen: Deep Learning of Binary Hash Codes for Fast Image
**   Retrieval (CVPRW 2015); the terms are those of their later SSDH (Yang, Lin,
**   Chen, TPAMI 2018), with the balance taken over the batch.
**
** Features are brought to mean 0 and deviation 1 over the examples.  Then, for
** a batch of m examples x and with u = 2 * sigmoid(W x + b) - 1 in place of the
** sigmoid, which conditions better,
**
**   loss = - sum over classes of target * log softmax(V u + c)
**          - q / 2 * sum over units of u^2       presses units to 0 or 1
**          + 2 * p * sum over units of mean(u)^2  makes each 1 for half of them
**
** An example of k classes has the target 1/k for each.  The second term comes
** in over the last 40 % of the steps: units that are pressed to one side before
** they know which side is theirs stay there.  It is small, for what presses
** more is that V decays fast: a classifier of small weights needs units that
** agree on a class and are far from 0, which is what a code should be.  (On
** features of a model of CIFAR-10, a V that decays like W lost 0.05 of mAP, and
** q = 0.1 some 0.03.) Descent is Nesterov's, momentum 0.9; the rate climbs over
** the first 5 % of the steps and falls in a straight line to 0.  At the end
** normalisation and the change to u are folded into the layers, which then read
** features as they are.
**
** Nearly all of the work is three products of matrices a step, through sgemm,
** or a plain loop where there is no BLAS library: an integer network wants
** none, and neither does learning on its features.  Everything is on the
** caller's thread, and the random numbers are our own, so that one seed gives
** one model on one machine.
*/
#include <math.h>
#include <string.h>

#include "learn.h"

#define TRAIN_MOMENTUM 0.9f
#define TRAIN_DECAY 5e-3f           /* of W, for TRAIN_FEW examples or fewer */
#define TRAIN_FEW 1000
#define TRAIN_SCORE_DECAY 0.1f      /* of V, for ten classes or fewer */
#define TRAIN_PRESS 0.01f           /* q */
#define TRAIN_BALANCE 0.1f          /* p */
#define TRAIN_RAMP 0.6              /* where the second term comes in */
#define TRAIN_CLIMB 0.05
#define TRAIN_WORK ((int64_t)1 << 24)   /* multiplications between questions */
#define TRAIN_BATCH_VALUES ((size_t)1 << 26)

/* What is learned: n numbers, their velocities and their gradient. */
typedef struct train_part {
  size_t n;
  float *value, *velocity, *gradient;
  float decay;
} train_part;

typedef struct train_state {
  nn_lesson *lesson;
  const nn_memory *mem;
  const nn_examples *e;
  int64_t work;                /* since the last question */
  int bits, classes, features;
  float *scale;                /* 1 / deviation of the features */
  train_part weight, bias, score, score_bias;
  float *x;                    /* [batch][features] */
  float *u, *du;               /* [batch][bits] */
  float *turned;               /* a transposed matrix of small ones */
  float *y;                    /* [batch][classes]: scores, then gradients */
  float *wide;                 /* the plain loop's transposed matrix */
  double loss;                 /* sum over the epoch */
  nn_error *err;
} train_state;

/* Products ----------------------------------------------------------------- */

static nn_status train_poll(train_state *t, int64_t work) {
  t->work += work;
  if (t->work < TRAIN_WORK) return NN_OK;
  t->work = 0;
  return nn_watch_stops(t->lesson->watch)
             ? nn_fail(t->err, NN_INTERRUPTED, "interrupted") : NN_OK;
}

/* C[m][n] = A[m][k] * B[k][n], each without gaps. */
static void train_plain(int m, int n, int k, const float *a, const float *b,
                        float *c) {
  memset(c, 0, (size_t)m * (size_t)n * sizeof(*c));
  for (int i = 0; i < m; i++, c += n)
    for (int l = 0; l < k; l++) {
      const float by = *a++, *row = b + (size_t)l * (size_t)n;
      for (int j = 0; j < n; j++) c[j] += by * row[j];
    }
}

static void train_turn(int rows, int columns, const float *from, float *to) {
  for (int i = 0; i < rows; i++)
    for (int j = 0; j < columns; j++)
      to[(size_t)j * (size_t)rows + (size_t)i] = *from++;
}

/* The same in pieces short enough to ask between them; with transpose_b, B is
** [n][k]. */
static nn_status train_multiply(train_state *t, int transpose_b, int m, int n,
                                int k, const float *a, const float *b,
                                float *c) {
  int64_t row = (int64_t)n * k;
  int piece = (int)(TRAIN_WORK / row) + 1;
  if (!t->lesson->blas && transpose_b) {
    train_turn(n, k, b, t->wide);
    b = t->wide;
  }
  for (int i = 0; i < m; i += piece) {
    int rows = m - i < piece ? m - i : piece;
    const float *from = a + (size_t)i * (size_t)k;
    float *to = c + (size_t)i * (size_t)n;
    if (t->lesson->blas)
      nn_blas_sgemm(t->lesson->blas, transpose_b, rows, n, k, from, k, b,
                    transpose_b ? k : n, to, n);
    else
      train_plain(rows, n, k, from, b, to);
    nn_status status = train_poll(t, rows * row);
    if (status) return status;
  }
  return NN_OK;
}

/* Features ----------------------------------------------------------------- */

/* Mean and deviation of the features. */
static nn_status train_moments(train_state *t) {
  size_t n = (size_t)t->features;
  double *sum = nn_zalloc(t->mem, 2 * n * sizeof(*sum)), all = 0;
  nn_status status = sum ? NN_OK : nn_fail(t->err, NN_NOMEM, "out of memory");
  for (size_t i = 0; i < t->lesson->trained && !status; i++) {
    nn_example_values(t->e, t->lesson->order[i], t->x);
    for (size_t j = 0; j < n; j++) {
      sum[j] += (double)t->x[j];
      sum[n + j] += (double)t->x[j] * (double)t->x[j];
    }
    status = train_poll(t, 4 * (int64_t)n);
  }
  for (size_t j = 0; j < n && !status; j++) {
    double mean = sum[j] / (double)t->lesson->trained;
    double variance = sum[n + j] / (double)t->lesson->trained - mean * mean;
    t->lesson->mean[j] = (float)mean;
    sum[j] = variance > 0 ? variance : 0;
    all += sum[j] / (double)n;
  }
  /* A feature that is nearly always the same is not blown up. */
  for (size_t j = 0; j < n && !status; j++)
    t->scale[j] = all > 0 ? (float)(1 / sqrt(sum[j] + 0.01 * all)) : 0;
  nn_free(t->mem, sum);
  return status;
}

/* Memory ------------------------------------------------------------------- */

static float *train_floats(train_state *t, size_t a, size_t b) {
  return nn_zalloc(t->mem, nn_mul(nn_mul(a, b), sizeof(float)));
}

static int train_part_new(train_state *t, train_part *part, size_t a, size_t b,
                          float decay) {
  part->n = a * b;
  part->decay = decay;
  part->value = train_floats(t, a, b);
  part->velocity = train_floats(t, a, b);
  part->gradient = train_floats(t, a, b);
  return part->value && part->velocity && part->gradient;
}

/* What is thought of W before anything is seen weighs as much as so many
** examples: the more there are, the less it counts.  (On features of photo-64,
** of pictures of CIFAR-10 that were kept out, mAP was the same with 300 and
** 1000 examples, .010 higher with 5000, and .031 with 20,000.) */
static float train_decay(const train_state *t) {
  size_t n = t->lesson->trained;
  return TRAIN_DECAY * (n > TRAIN_FEW ? TRAIN_FEW / (float)n : 1);
}

/* An example is of one class in so many, and so is a step that makes the
** weights of a class grow; what lets them shrink has to be as weak. */
static float train_score_decay(const train_state *t) {
  return TRAIN_SCORE_DECAY * (t->classes > 10 ? 10 / (float)t->classes : 1);
}

static nn_status train_memory(train_state *t) {
  size_t n = (size_t)t->features, bits = (size_t)t->bits;
  size_t batch = (size_t)t->lesson->options->batch;
  size_t classes = (size_t)t->classes;
  size_t small = bits > classes ? bits : classes;
  if (batch * n > TRAIN_BATCH_VALUES || batch * classes > TRAIN_BATCH_VALUES) {
    return nn_fail(t->err, NN_ARGUMENT, "options: batch must be at most %zu for"
                   " %zu features and %zu classes",
                   TRAIN_BATCH_VALUES / (n > classes ? n : classes), n,
                   classes);
  }
  t->scale = train_floats(t, 1, n);
  t->x = train_floats(t, batch, n);
  t->u = train_floats(t, batch, bits);
  t->du = train_floats(t, batch, bits);
  t->turned = train_floats(t, batch, small);
  t->y = train_floats(t, batch, classes);
  if (!t->lesson->blas) t->wide = train_floats(t, small, n > bits ? n : bits);
  int ok = train_part_new(t, &t->weight, bits, n, train_decay(t)) &&
           train_part_new(t, &t->bias, 1, bits, 0) &&
           train_part_new(t, &t->score, classes, bits, train_score_decay(t)) &&
           train_part_new(t, &t->score_bias, 1, classes, 0);
  if (ok && t->scale && t->x && t->u && t->du && t->turned && t->y &&
      (t->lesson->blas || t->wide))
    return NN_OK;
  return nn_fail(t->err, NN_NOMEM, "out of memory");
}

static void train_part_free(train_state *t, train_part *part) {
  nn_free(t->mem, part->value);
  nn_free(t->mem, part->velocity);
  nn_free(t->mem, part->gradient);
}

static void train_free(train_state *t) {
  nn_free(t->mem, t->scale);
  nn_free(t->mem, t->x);
  nn_free(t->mem, t->u);
  nn_free(t->mem, t->du);
  nn_free(t->mem, t->turned);
  nn_free(t->mem, t->y);
  nn_free(t->mem, t->wide);
  train_part_free(t, &t->weight);
  train_part_free(t, &t->bias);
  train_part_free(t, &t->score);
  train_part_free(t, &t->score_bias);
}

/* A step ------------------------------------------------------------------- */

/* u of m examples, features normalised into x. */
static nn_status train_forward(train_state *t, const uint32_t *list, int m) {
  size_t n = (size_t)t->features;
  for (int i = 0; i < m; i++) {
    float *x = t->x + (size_t)i * n;
    nn_example_values(t->e, list[i], x);
    for (size_t j = 0; j < n; j++)
      x[j] = (x[j] - t->lesson->mean[j]) * t->scale[j];
  }
  nn_status status = train_multiply(t, 1, m, t->bits, t->features, t->x,
                                    t->weight.value, t->u);
  for (int i = 0; i < m && !status; i++)
    for (int j = 0; j < t->bits; j++) {
      float *u = &t->u[i * t->bits + j];
      *u = 2 / (1 + expf(-(*u + t->bias.value[j]))) - 1;
    }
  if (status) return status;
  return train_multiply(t, 1, m, t->classes, t->bits, t->u, t->score.value,
                        t->y);
}

/* The scores of an example become the gradient of its loss over m. */
static void train_loss(train_state *t, uint32_t example, int m, float *y) {
  const nn_examples *e = t->e;
  double sum = 0;
  float high = -INFINITY;
  int targets = 0;
  for (int c = 0; c < t->classes; c++) {
    y[c] += t->score_bias.value[c];
    if (y[c] > high) high = y[c];
  }
  for (int c = 0; c < t->classes; c++) sum += (double)expf(y[c] - high);
  float log_sum = (float)log(sum) + high;
  for (int l = e->list[example].label; l >= 0; l = e->labels[l].next) targets++;
  for (int l = e->list[example].label; l >= 0; l = e->labels[l].next)
    t->loss += (double)(log_sum - y[e->labels[l].index]) / targets;
  for (int c = 0; c < t->classes; c++)
    y[c] = expf(y[c] - log_sum) / (float)m;
  for (int l = e->list[example].label; l >= 0; l = e->labels[l].next)
    y[e->labels[l].index] -= 1 / (float)(targets * m);
}

/* The gradient of u, which the classifier's is in, becomes that of W x + b. */
static void train_units(train_state *t, int m, float press) {
  for (int j = 0; j < t->bits; j++) {
    float mean = 0, sum = 0;
    for (int i = 0; i < m; i++) mean += t->u[i * t->bits + j];
    mean /= (float)m;
    for (int i = 0; i < m; i++) {
      float u = t->u[i * t->bits + j], *du = &t->du[i * t->bits + j];
      *du += (4 * TRAIN_BALANCE * mean - press * u) / (float)m;
      *du *= (1 - u * u) / 2;
      sum += *du;
    }
    t->bias.gradient[j] = sum;
  }
}

static nn_status train_backward(train_state *t, int m, float press) {
  for (int c = 0; c < t->classes; c++) {
    float sum = 0;
    for (int i = 0; i < m; i++) sum += t->y[i * t->classes + c];
    t->score_bias.gradient[c] = sum;
  }
  nn_status status = train_multiply(t, 0, m, t->bits, t->classes, t->y,
                                    t->score.value, t->du);
  if (status) return status;
  train_turn(m, t->classes, t->y, t->turned);
  status = train_multiply(t, 0, t->classes, t->bits, m, t->turned, t->u,
                          t->score.gradient);
  if (status) return status;
  train_units(t, m, press);
  train_turn(m, t->bits, t->du, t->turned);
  return train_multiply(t, 0, t->bits, t->features, m, t->turned, t->x,
                        t->weight.gradient);
}

static void train_descend(train_part *part, float rate) {
  for (size_t i = 0; i < part->n; i++) {
    float g = part->gradient[i] + part->decay * part->value[i];
    part->velocity[i] = TRAIN_MOMENTUM * part->velocity[i] + g;
    part->value[i] -= rate * (g + TRAIN_MOMENTUM * part->velocity[i]);
  }
}

/* at: how far the run is, 0 to 1. */
static nn_status train_step(train_state *t, const uint32_t *list, int m,
                            double at) {
  double share = at < TRAIN_CLIMB ? at / TRAIN_CLIMB
                                  : (1 - at) / (1 - TRAIN_CLIMB);
  double press = at > TRAIN_RAMP ? (at - TRAIN_RAMP) / (1 - TRAIN_RAMP) : 0;
  float rate = (float)(t->lesson->options->rate * share);
  nn_status status = train_forward(t, list, m);
  if (status) return status;
  for (int i = 0; i < m; i++)
    train_loss(t, list[i], m, t->y + (size_t)i * (size_t)t->classes);
  status = train_backward(t, m, TRAIN_PRESS * (float)press);
  if (status) return status;
  train_descend(&t->weight, rate);
  train_descend(&t->bias, rate);
  train_descend(&t->score, rate);
  train_descend(&t->score_bias, rate);
  return train_poll(t, 16 * (int64_t)t->features * (m + t->bits));
}

/* The run ------------------------------------------------------------------ */

static void train_start(train_state *t) {
  double w = 1 / sqrt(t->features), v = 1 / sqrt(t->bits);
  for (size_t i = 0; i < t->weight.n; i++)
    t->weight.value[i] = (float)(w * nn_random_normal(&t->lesson->random));
  for (size_t i = 0; i < t->score.n; i++)
    t->score.value[i] = (float)(v * nn_random_normal(&t->lesson->random));
}

static nn_status train_epochs(train_state *t) {
  nn_lesson *lesson = t->lesson;
  size_t batch = (size_t)lesson->options->batch;
  size_t steps = (lesson->trained + batch - 1) / batch;
  double total = (double)steps * lesson->options->epochs, done = 0;
  for (int epoch = 1; epoch <= lesson->options->epochs; epoch++) {
    t->loss = 0;
    nn_shuffle(&lesson->random, lesson->order, lesson->trained);
    for (size_t i = 0; i < lesson->trained; i += batch) {
      size_t m = lesson->trained - i < batch ? lesson->trained - i : batch;
      nn_status status = train_step(t, lesson->order + i, (int)m,
                                    (done + 0.5) / total);
      if (status) return status;
      done++;
    }
    t->loss /= (double)lesson->trained;
    if (!isfinite(t->loss)) {
      return nn_fail(t->err, NN_ARGUMENT, "the loss is not finite in epoch %d: "
                     "lower the rate, which is %g", epoch,
                     lesson->options->rate);
    }
    if (epoch == 1) lesson->result->first_loss = t->loss;
    lesson->result->loss = t->loss;
    if (lesson->watch->tell)
      lesson->watch->tell(lesson->watch->context, epoch, t->loss);
  }
  return NN_OK;
}

/* What was learned, as layers over features as they are stored. */
static nn_status train_fold(train_state *t, nn_hash_layer *layer) {
  for (int i = 0; i < t->bits; i++) {
    size_t row = (size_t)i * (size_t)t->features;
    double bias = (double)t->bias.value[i];
    for (int j = 0; j < t->features; j++) {
      float w = t->weight.value[row + (size_t)j] * t->scale[j];
      layer->weight[row + (size_t)j] = w;
      bias -= (double)w * (double)t->lesson->mean[j];
    }
    layer->bias[i] = (float)bias;
    if (!isfinite(layer->bias[i]))
      return nn_fail(t->err, NN_ARGUMENT, "the weights are not finite: lower "
                     "the rate, which is %g", t->lesson->options->rate);
  }
  for (int c = 0; c < t->classes; c++) {
    double bias = (double)t->score_bias.value[c];
    for (int i = 0; i < t->bits; i++) {
      float v = t->score.value[c * t->bits + i];
      layer->score[c * t->bits + i] = 2 * v;
      bias -= (double)v;
    }
    layer->score_bias[c] = (float)bias;
  }
  return NN_OK;
}

nn_status nn_learn(nn_lesson *lesson, nn_hash_layer *layer, nn_error *err) {
  train_state t = {.lesson = lesson, .e = lesson->examples,
                   .mem = &lesson->examples->mem, .err = err,
                   .bits = layer->bits, .classes = layer->classes,
                   .features = (int)layer->features};
  nn_status status = train_memory(&t);
  if (status == NN_OK) status = train_moments(&t);
  if (status == NN_OK) {
    train_start(&t);
    status = train_epochs(&t);
  }
  if (status == NN_OK) status = train_fold(&t, layer);
  train_free(&t);
  return status;
}

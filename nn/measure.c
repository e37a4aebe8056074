/*
** How good a hash layer is: what the report of binhash_train says of it.
**
**   accuracy   share of held-out pictures whose most likely class is theirs
**   map        mean average precision: held-out pictures search among those
**              that were learned from; as the paper's authors compute it, the
**              mean of precision@i over the hits within the first 1,000.  A
**              picture with a class in common is a hit; ties in distance are
**              broken by chance, for the examples stand in random order
**   base_map   the same with the codes that the base model gives
**   noise      share of the labels that look wrong, after Northcutt, Jiang and
**              Chuang, "Confident Learning" (JAIR 2021): a picture is doubtful
**              whose probability of another class is above one half and above
**              what pictures of that class have on average
**
** All of it is of the layer as it is exported, in integers where the base is an
** integer network.  Examples that were drawn from what the base remembers are
** no pictures: they are told apart by their row.
*/
#include <math.h>
#include <string.h>

#include "learn.h"

#define MEASURE_TOP 1000
#define MEASURE_QUERIES 1000
#define MEASURE_SURE 0.5f         /* a probability that tells a class */
#define MEASURE_WORK (1 << 18)     /* distances between two questions */

typedef struct measure_state {
  const nn_examples *e;
  const nn_hash_layer *layer;
  const uint32_t *order;
  size_t trained, held;
  const nn_watch *watch;
  uint8_t *codes;              /* of all, in their order */
  size_t code_bytes;
  uint16_t *distances;
  uint32_t *ranked;
  float *scores, *spare;
  double *sum;                 /* of each class: probability of its own */
  uint32_t *count;
  nn_error *err;
} measure_state;

static nn_status measure_poll(const measure_state *m, size_t i, size_t every) {
  if (i % every || !nn_watch_stops(m->watch)) return NN_OK;
  return nn_fail(m->err, NN_INTERRUPTED, "interrupted");
}

static int measure_is_picture(const measure_state *m, size_t i) {
  return m->e->list[m->order[i]].row >= 0;
}

/* Codes and classes -------------------------------------------------------- */

/* Scores become probabilities; the most likely class. */
static int measure_softmax(const measure_state *m, float *y) {
  int top = 0;
  float sum = 0;
  for (int c = 1; c < m->layer->classes; c++)
    if (y[c] > y[top]) top = c;
  float high = y[top];
  for (int c = 0; c < m->layer->classes; c++) {
    y[c] = expf(y[c] - high);
    sum += y[c];
  }
  for (int c = 0; c < m->layer->classes; c++) y[c] /= sum;
  return top;
}

/* The only class of a picture, -1 where there are several. */
static int measure_class(const measure_state *m, size_t i) {
  const nn_label *label = &m->e->labels[m->e->list[m->order[i]].label];
  return label->next < 0 && measure_is_picture(m, i) ? label->index : -1;
}

static nn_status measure_codes(measure_state *m, nn_train_result *result) {
  size_t right[2] = {0, 0}, seen[2] = {0, 0};
  for (size_t i = 0; i < m->trained + m->held; i++) {
    nn_hash_layer_run(m->e, m->layer, m->order[i],
                      m->codes + i * m->code_bytes, m->scores, m->spare);
    int top = measure_softmax(m, m->scores), own = measure_class(m, i);
    if (own >= 0) {
      m->sum[own] += (double)m->scores[own];
      m->count[own]++;
    }
    if (i >= m->trained) {
      int picture = measure_is_picture(m, i);
      seen[picture]++;
      right[picture] += (size_t)nn_example_is(m->e, m->order[i], top);
    }
    nn_status status = measure_poll(m, i, 64);
    if (status) return status;
  }
  if (seen[1]) result->accuracy = (double)right[1] / (double)seen[1];
  if (seen[0]) result->replay_accuracy = (double)right[0] / (double)seen[0];
  return NN_OK;
}

/* Doubtful labels ---------------------------------------------------------- */

/* How much more likely another class is than the one of the label; 0: it is
** not doubtful. */
static float measure_doubt(const measure_state *m, const float *p, int own) {
  float doubt = 0;
  for (int c = 0; c < m->layer->classes; c++)
    if (c != own && m->count[c] && p[c] - p[own] > doubt &&
        p[c] >= MEASURE_SURE && (double)p[c] >= m->sum[c] / m->count[c])
      doubt = p[c] - p[own];
  return doubt;
}

static void measure_suspect(nn_train_result *result, float worst[NN_SUSPECTS],
                            float doubt, int64_t row) {
  int at = result->suspects;
  while (at > 0 && worst[at - 1] < doubt) at--;
  if (at == NN_SUSPECTS) return;
  if (result->suspects < NN_SUSPECTS) result->suspects++;
  for (int i = result->suspects - 1; i > at; i--) {
    worst[i] = worst[i - 1];
    result->suspect[i] = result->suspect[i - 1];
  }
  worst[at] = doubt;
  result->suspect[at] = row;
}

static nn_status measure_noise(measure_state *m, nn_train_result *result) {
  float worst[NN_SUSPECTS];
  size_t doubtful = 0, all = 0;
  uint8_t code[128];
  for (size_t i = 0; i < m->trained + m->held; i++) {
    int own = measure_class(m, i);
    nn_status status = measure_poll(m, i, 64);
    if (status) return status;
    if (own < 0) continue;
    nn_hash_layer_run(m->e, m->layer, m->order[i], code, m->scores, m->spare);
    measure_softmax(m, m->scores);
    float doubt = measure_doubt(m, m->scores, own);
    all++;
    if (doubt <= 0) continue;
    doubtful++;
    measure_suspect(result, worst, doubt, m->e->list[m->order[i]].row);
  }
  if (all) result->noise = (double)doubtful / (double)all;
  return NN_OK;
}

/* Retrieval ---------------------------------------------------------------- */

/* The code of example i of the order, that of the base or the new one. */
static const uint8_t *measure_code(const measure_state *m, size_t i, int base) {
  if (!base) return m->codes + i * m->code_bytes;
  return nn_example_bytes(m->e, m->order[i]) + 2 * sizeof(float) +
         m->e->features;
}

/* The nearest 1,000 of the trained pictures, by distance and then in order,
** into ranked; returns how many there are, -1 when stopped. */
static int measure_rank(measure_state *m, size_t query, int base) {
  size_t bytes = base ? m->e->code_bytes : m->code_bytes;
  size_t start[8 * 128 + 2] = {0}, taken = 0;
  const uint8_t *code = measure_code(m, query, base);
  for (size_t i = 0; i < m->trained; i++) {
    if (!measure_is_picture(m, i)) continue;
    if (measure_poll(m, i + 1, MEASURE_WORK)) return -1;
    m->distances[i] =
        (uint16_t)nn_hamming(code, measure_code(m, i, base), bytes);
    start[m->distances[i] + 1]++;
  }
  for (size_t d = 1; d < 8 * bytes + 2; d++) start[d] += start[d - 1];
  for (size_t i = 0; i < m->trained; i++) {
    if (!measure_is_picture(m, i)) continue;
    size_t at = start[m->distances[i]]++;
    if (at >= MEASURE_TOP) continue;
    m->ranked[at] = (uint32_t)i;
    taken++;
  }
  return (int)taken;
}

static nn_status measure_map(measure_state *m, int base, double *out) {
  double sum = 0;
  size_t queries = 0;
  for (size_t i = m->trained; i < m->trained + m->held; i++) {
    double precision = 0;
    int hits = 0;
    if (!measure_is_picture(m, i) || queries == MEASURE_QUERIES) continue;
    nn_status status = measure_poll(m, i, 4);
    int n = status ? -1 : measure_rank(m, i, base);
    if (n < 0) return NN_INTERRUPTED;
    for (int j = 0; j < n; j++)
      if (nn_examples_share(m->e, m->order[i], m->order[m->ranked[j]]))
        precision += (double)++hits / (j + 1);
    if (hits) sum += precision / hits;
    queries++;
  }
  if (queries) *out = sum / (double)queries;
  return NN_OK;
}

/* The whole ---------------------------------------------------------------- */

static nn_status measure_memory(measure_state *m) {
  const nn_memory *mem = &m->e->mem;
  size_t n = m->trained + m->held, classes = (size_t)m->layer->classes;
  m->codes = nn_alloc(mem, nn_mul(n, m->code_bytes));
  m->distances = nn_alloc(mem, m->trained * sizeof(*m->distances));
  m->ranked = nn_alloc(mem, MEASURE_TOP * sizeof(*m->ranked));
  m->scores = nn_alloc(mem, classes * sizeof(*m->scores));
  m->spare = nn_alloc(mem, nn_hash_layer_spare(m->layer) * sizeof(*m->spare));
  m->sum = nn_zalloc(mem, classes * sizeof(*m->sum));
  m->count = nn_zalloc(mem, classes * sizeof(*m->count));
  if (m->codes && m->distances && m->ranked && m->scores && m->spare &&
      m->sum && m->count)
    return NN_OK;
  return nn_fail(m->err, NN_NOMEM, "out of memory");
}

static void measure_free(measure_state *m) {
  const nn_memory *mem = &m->e->mem;
  nn_free(mem, m->codes);
  nn_free(mem, m->distances);
  nn_free(mem, m->ranked);
  nn_free(mem, m->scores);
  nn_free(mem, m->spare);
  nn_free(mem, m->sum);
  nn_free(mem, m->count);
}

nn_status nn_train_measure(const nn_trained *trained, const uint32_t *order,
                           size_t trained_count, size_t held,
                           const nn_watch *watch, nn_train_result *result,
                           nn_error *err) {
  measure_state m = {.e = trained->examples, .layer = &trained->layer,
                     .order = order, .trained = trained_count, .held = held,
                     .watch = watch, .err = err,
                     .code_bytes = ((size_t)trained->layer.bits + 7) / 8};
  result->accuracy = result->map = result->base_map = -1;
  result->replay_accuracy = result->noise = -1;
  nn_status status = measure_memory(&m);
  if (status == NN_OK) status = measure_codes(&m, result);
  if (status == NN_OK) status = measure_noise(&m, result);
  if (status == NN_OK) status = measure_map(&m, 0, &result->map);
  if (status == NN_OK) status = measure_map(&m, 1, &result->base_map);
  measure_free(&m);
  return status;
}

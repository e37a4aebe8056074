/*
** What a trained model keeps of its classes, so that it can learn others later
** without forgetting them.
**
** The pictures are gone when a model is the base of the next:
**
**     SELECT model FROM binhash_train('SELECT image, label FROM new_photos',
**                                     '{"base": "mine"}');
**
** A hash layer that saw the new classes alone would spend all of its bits on
** them.  So the model file has, beside the layers, mean and deviation of every
** feature for each class, and a sketch: a few examples drawn at random, a byte
** a feature.  From these, examples are drawn and trained on with the new ones:
**
**     mean + deviation * (cos * sketch + sin * normal)
**
** A sketch alone would be learned by heart, and a normal distribution alone
** knows nothing of how the features of a class go together; the mixture keeps
** mean and deviation and most of the correlations.  (Feature replay after
** Kemker and Kanan, "FearNet", 2018; the mixture is a smoothed bootstrap,
** Silverman 1986.)  The features come from layers that training leaves alone,
** so they mean the same in the new model.
**
** What a class was is copied from model to model; only a class of which new
** pictures came is summed up anew, from those and from what was drawn.
*/
#include <math.h>
#include <string.h>

#include "learn.h"

#define REPLAY_EACH_MAX 64          /* sketches of a class */
#define REPLAY_EACH_MIN 4
#define REPLAY_SKETCH_BYTES ((size_t)2 << 20)    /* of all, about */
#define REPLAY_VALUES_MAX ((size_t)4 << 20)      /* classes * features */
#define REPLAY_STEPS 32             /* of a deviation */
#define REPLAY_COS 0.92
#define REPLAY_DRAW_MIN 20          /* examples drawn of a class */
#define REPLAY_DRAW_MAX 2000

const char *const nn_kept_names[4] = {
    "binhash_train.counts", "binhash_train.mean", "binhash_train.deviation",
    "binhash_train.sketch"};

double nn_random_normal(nn_random *random) {
  double u = (double)((nn_random_next(random) >> 11) + 1) * 0x1p-53;
  double v = (double)(nn_random_next(random) >> 11) * 0x1p-53;
  return sqrt(-2 * log(u)) * cos(6.283185307179586 * v);
}

/* What the base keeps ------------------------------------------------------ */

/* The bytes of a tensor of that form, NULL if there is none; a side of -1 may
** be anything and is told. */
static const uint8_t *replay_tensor(const nn_model *model, const char *name,
                                    nn_dtype dtype, int rank,
                                    int64_t shape[3]) {
  const nn_tensor *tensor = nn_model_tensor(model, name);
  if (!tensor || tensor->dtype != dtype || tensor->rank != rank) return NULL;
  for (int i = 0; i < rank; i++) {
    if (shape[i] == -1) shape[i] = tensor->shape[i];
    if (shape[i] != tensor->shape[i]) return NULL;
  }
  return tensor->bytes;
}

void nn_kept_find(const nn_examples *e, nn_kept *out) {
  const nn_head *head = e->head;
  int64_t flat[3] = {head->classes, (int64_t)e->features, 0};
  int64_t deep[3] = {head->classes, -1, (int64_t)e->features};
  memset(out, 0, sizeof(*out));
  if (!head->class_names || head->classes > NN_CLASSES_MAX) return;
  out->counts = replay_tensor(e->base, nn_kept_names[0], NN_I32, 1, flat);
  out->mean = replay_tensor(e->base, nn_kept_names[1], NN_F32, 2, flat);
  out->deviation = replay_tensor(e->base, nn_kept_names[2], NN_F32, 2, flat);
  out->sketch = (const int8_t *)replay_tensor(e->base, nn_kept_names[3], NN_I8,
                                              3, deep);
  if (!out->counts || !out->mean || !out->deviation || !out->sketch ||
      deep[1] < 1 || deep[1] > REPLAY_EACH_MAX)
    return;
  out->each = (int)deep[1];
  out->classes = head->classes;
}

static float replay_float(const uint8_t *from, size_t i) {
  float value;
  memcpy(&value, from + i * sizeof(value), sizeof(value));
  return value;
}

static int32_t replay_count(const nn_kept *kept, int index) {
  int32_t count;
  memcpy(&count, kept->counts + 4 * (size_t)index, sizeof(count));
  return count;
}

/* Drawing ------------------------------------------------------------------ */

/* Examples to draw of an old class: as many as a class of the table has on
** average, but no more than it had itself. */
static int replay_wanted(const nn_examples *e, const nn_kept *kept, int index) {
  int64_t sum = 0, n = 0;
  for (size_t i = 0; i < e->class_count; i++) {
    sum += e->classes[i].size;
    n += e->classes[i].size > 0;
  }
  int64_t wanted = n ? sum / n : 0;
  if (wanted > REPLAY_DRAW_MAX) wanted = REPLAY_DRAW_MAX;
  if (wanted > replay_count(kept, index)) wanted = replay_count(kept, index);
  return (int)(wanted < REPLAY_DRAW_MIN ? REPLAY_DRAW_MIN : wanted);
}

static void replay_values(const nn_examples *e, const nn_kept *kept, int index,
                          nn_random *random, float *out) {
  const double sine = sqrt(1 - REPLAY_COS * REPLAY_COS);
  size_t first = (size_t)index * e->features;
  const int8_t *sketch =
      kept->sketch + (size_t)kept->each * first +
      nn_random_below(random, (uint32_t)kept->each) * e->features;
  for (size_t i = 0; i < e->features; i++) {
    double steps = REPLAY_COS * sketch[i] / REPLAY_STEPS +
                   sine * nn_random_normal(random);
    out[i] = (float)((double)replay_float(kept->mean, first + i) +
                     (double)replay_float(kept->deviation, first + i) * steps) -
             nn_feature_offset(e, i);
  }
}

nn_status nn_kept_draw(nn_examples *e, nn_random *random,
                       const nn_watch *watch, nn_error *err) {
  nn_kept kept;
  nn_status status = NN_OK;
  nn_kept_find(e, &kept);
  float *values = nn_alloc(&e->mem, e->features * sizeof(*values));
  if (!values) return nn_fail(err, NN_NOMEM, "out of memory");
  for (int i = 0; i < kept.classes && !status; i++) {
    int n = replay_wanted(e, &kept, i);
    for (int j = 0; j < n && !status; j++) {
      replay_values(e, &kept, i, random, values);
      status = nn_examples_draw(e, values, i, err);
      if (!status && j % 64 == 0 && nn_watch_stops(watch))
        status = nn_fail(err, NN_INTERRUPTED, "interrupted");
    }
  }
  nn_free(&e->mem, values);
  return status;
}

/* Keeping ------------------------------------------------------------------ */

typedef struct replay_maker {
  const nn_examples *e;
  const nn_watch *watch;
  nn_kept old;
  int classes, each;
  int32_t *counts;
  float *mean, *deviation;
  int8_t *sketch;
  double *sum, *squares;      /* of the features of a class */
  float *values;
  uint32_t *picks;            /* [classes][each] examples */
  nn_error *err;
} replay_maker;

/* Is what the base says of it all there is? */
static int replay_is_old(const replay_maker *m, int index) {
  return index < m->old.classes && m->e->classes[index].size == 0;
}

/* Draw `each` examples of each class, all with the same chance. */
static void replay_pick(replay_maker *m, nn_random *random) {
  const nn_examples *e = m->e;
  for (size_t i = 0; i < e->count; i++) {
    if (e->list[i].state != NN_EXAMPLE_FILLED) continue;
    for (int l = e->list[i].label; l >= 0; l = e->labels[l].next) {
      int index = e->labels[l].index;
      uint32_t seen = (uint32_t)m->counts[index]++, at = seen;
      if (seen >= (uint32_t)m->each) at = nn_random_below(random, seen + 1);
      if (at < (uint32_t)m->each)
        m->picks[index * m->each + (int)at] = (uint32_t)i;
    }
  }
  for (int index = 0; index < m->classes; index++) {
    uint32_t *picks = m->picks + index * m->each;
    for (int j = m->counts[index]; j < m->each && m->counts[index]; j++)
      picks[j] = picks[j % m->counts[index]];
  }
}

/* Sums of the features of all classes, in two arrays. */
static nn_status replay_sums(replay_maker *m) {
  const nn_examples *e = m->e;
  for (size_t i = 0; i < e->count; i++) {
    if (i % 256 == 0 && nn_watch_stops(m->watch))
      return nn_fail(m->err, NN_INTERRUPTED, "interrupted");
    if (e->list[i].state != NN_EXAMPLE_FILLED) continue;
    nn_example_values(e, i, m->values);
    for (int l = e->list[i].label; l >= 0; l = e->labels[l].next) {
      size_t first = (size_t)e->labels[l].index * e->features;
      for (size_t j = 0; j < e->features; j++) {
        double x = m->values[j];
        m->sum[first + j] += x;
        m->squares[first + j] += x * x;
      }
    }
  }
  return NN_OK;
}

static void replay_sketch(replay_maker *m, int index) {
  const nn_examples *e = m->e;
  size_t first = (size_t)index * e->features;
  for (int j = 0; j < m->each; j++) {
    int8_t *to = m->sketch + (size_t)m->each * first + (size_t)j * e->features;
    nn_example_values(e, m->picks[index * m->each + j], m->values);
    for (size_t i = 0; i < e->features; i++) {
      double d = m->deviation[first + i];
      double steps = d > 0 ? (m->values[i] - m->mean[first + i]) / d *
                                 REPLAY_STEPS : 0;
      to[i] = (int8_t)(steps >= 127 ? 127 : steps <= -127 ? -127
                       : floor(steps + 0.5));
    }
  }
}

static void replay_copy(replay_maker *m, int index) {
  size_t n = m->e->features, first = (size_t)index * n;
  m->counts[index] = replay_count(&m->old, index);
  memcpy(m->mean + first, m->old.mean + first * sizeof(float),
         n * sizeof(float));
  memcpy(m->deviation + first, m->old.deviation + first * sizeof(float),
         n * sizeof(float));
  for (int j = 0; j < m->each; j++)
    memcpy(m->sketch + (size_t)m->each * first + (size_t)j * n,
           m->old.sketch + (size_t)m->old.each * first +
               (size_t)(j % m->old.each) * n, n);
}

static void replay_class(replay_maker *m, int index) {
  size_t n = m->e->features, first = (size_t)index * n;
  for (size_t i = first; i < first + n; i++) {
    double mean = m->sum[i] / m->counts[index];
    double variance = m->squares[i] / m->counts[index] - mean * mean;
    m->mean[i] = (float)mean;
    m->deviation[i] = (float)sqrt(variance > 0 ? variance : 0);
  }
  replay_sketch(m, index);
}

/* The one piece that the model's tensors are, and what is needed meanwhile. */
static nn_status replay_memory(replay_maker *m, void **owned) {
  const nn_memory *mem = &m->e->mem;
  size_t c = (size_t)m->classes, n = c * m->e->features;
  char *all = nn_zalloc(mem, 8 * n + 4 * c + n * (size_t)m->each);
  *owned = all;
  m->sum = nn_zalloc(mem, n * sizeof(*m->sum));
  m->squares = nn_zalloc(mem, n * sizeof(*m->squares));
  m->values = nn_alloc(mem, m->e->features * sizeof(*m->values));
  m->picks = nn_zalloc(mem, c * (size_t)m->each * sizeof(*m->picks));
  if (!all || !m->sum || !m->squares || !m->values || !m->picks)
    return nn_fail(m->err, NN_NOMEM, "out of memory");
  m->mean = (float *)(void *)all;
  m->deviation = m->mean + n;
  m->counts = (int32_t *)(void *)(m->deviation + n);
  m->sketch = (int8_t *)(m->counts + c);
  return NN_OK;
}

static nn_status replay_make(replay_maker *m, nn_random *random) {
  replay_pick(m, random);
  nn_status status = replay_sums(m);
  for (int i = 0; i < m->classes && !status; i++) {
    if (replay_is_old(m, i)) replay_copy(m, i);
    else replay_class(m, i);
    if (i % 16 == 0 && nn_watch_stops(m->watch))
      status = nn_fail(m->err, NN_INTERRUPTED, "interrupted");
  }
  return status;
}

nn_status nn_kept_make(const nn_examples *e, nn_random *random,
                       const nn_watch *watch, nn_kept *out, void **owned,
                       nn_error *err) {
  replay_maker m = {.e = e, .watch = watch, .err = err,
                    .classes = (int)e->class_count};
  size_t n = e->class_count * e->features;
  memset(out, 0, sizeof(*out));
  *owned = NULL;
  if (n > REPLAY_VALUES_MAX) return NN_OK;
  size_t each = REPLAY_SKETCH_BYTES / n;
  m.each = (int)(each > REPLAY_EACH_MAX ? REPLAY_EACH_MAX
                 : each < REPLAY_EACH_MIN ? REPLAY_EACH_MIN : each);
  nn_kept_find(e, &m.old);
  nn_status status = replay_memory(&m, owned);
  if (status == NN_OK) status = replay_make(&m, random);
  nn_free(&e->mem, m.sum);
  nn_free(&e->mem, m.squares);
  nn_free(&e->mem, m.values);
  nn_free(&e->mem, m.picks);
  if (status) {
    nn_free(&e->mem, *owned);
    *owned = NULL;
    return status;
  }
  *out = (nn_kept){m.classes, m.each, (const uint8_t *)m.counts,
                   (const uint8_t *)m.mean, (const uint8_t *)m.deviation,
                   m.sketch};
  return NN_OK;
}

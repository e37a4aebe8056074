/*
** A run of binhash_train, from examples to a layer that was measured: what is
** held out, what is learned, in which form, and what of it the model keeps.
**
** The order of things is fixed, and everything that is left to chance comes
** from one seed: examples of the base's classes are drawn (replay.c), all are
** shuffled, a share of each class is held out, the rest is learned from
** (train.c), the layer is made exact (hash_layer.c) and measured (measure.c),
** and what later models need of the examples is put aside (replay.c).
*/
#include <math.h>
#include <string.h>

#include "learn.h"

#define TRAINED_SAMPLE 512   /* examples that choose the sigmoid's steps */

void nn_shuffle(nn_random *random, uint32_t *list, size_t n) {
  for (size_t i = n; i > 1; i--) {
    size_t j = nn_random_below(random, (uint32_t)i);
    uint32_t swap = list[i - 1];
    list[i - 1] = list[j];
    list[j] = swap;
  }
}

/* The class that an example counts for when some are held out: the one that its
** last row named; those that were drawn apart from those that were seen. */
static size_t trained_kind(const nn_examples *e, uint32_t i) {
  const nn_example *x = &e->list[i];
  return 2 * (size_t)e->labels[x->label].index + (x->row < 0);
}

/* All examples in random order into `all`, and from there those to learn from
** into order, those held out behind them: a share of each kind, rounded
** down. */
static void trained_deal(nn_lesson *lesson, uint32_t *all, int *count,
                         int *out, size_t *held) {
  const nn_examples *e = lesson->examples;
  size_t n = 0;
  for (size_t i = 0; i < e->count; i++)
    if (e->list[i].state == NN_EXAMPLE_FILLED) all[n++] = (uint32_t)i;
  nn_shuffle(&lesson->random, all, n);
  for (size_t i = 0; i < n; i++) count[trained_kind(e, all[i])]++;
  for (size_t i = 0; i < n; i++) {
    size_t kind = trained_kind(e, all[i]);
    if (out[kind] < (int)(lesson->options->validation * count[kind])) {
      out[kind]++;
      lesson->order[n - ++*held] = all[i];
    } else {
      lesson->order[lesson->trained++] = all[i];
    }
  }
}

static nn_status trained_split(nn_lesson *lesson, size_t *held,
                               nn_error *err) {
  const nn_examples *e = lesson->examples;
  const nn_memory *mem = &e->mem;
  size_t kinds = 2 * e->class_count;
  int *count = nn_zalloc(mem, 2 * kinds * sizeof(*count));
  uint32_t *all = nn_alloc(mem, e->count * sizeof(*all));
  lesson->order = nn_alloc(mem, e->count * sizeof(*lesson->order));
  lesson->mean = nn_alloc(mem, e->features * sizeof(*lesson->mean));
  int ok = count && all && lesson->order && lesson->mean;
  if (ok) trained_deal(lesson, all, count, count + kinds, held);
  nn_free(mem, count);
  nn_free(mem, all);
  return ok ? NN_OK : nn_fail(err, NN_NOMEM, "out of memory");
}

/* Counts of the result, and the loss of knowing nothing but how often each
** class is a target. */
static nn_status trained_count(const nn_lesson *lesson, size_t held,
                               nn_train_result *result, nn_error *err) {
  const nn_examples *e = lesson->examples;
  double *share = nn_zalloc(&e->mem, e->class_count * sizeof(*share));
  if (!share) return nn_fail(err, NN_NOMEM, "out of memory");
  for (size_t i = 0; i < lesson->trained + held; i++) {
    const nn_example *x = &e->list[lesson->order[i]];
    int n = 0;
    for (int l = x->label; l >= 0; l = e->labels[l].next) n++;
    for (int l = x->label; l >= 0 && i < lesson->trained;
         l = e->labels[l].next)
      share[e->labels[l].index] += 1.0 / n / (double)lesson->trained;
    result->replayed += x->row < 0;
    if (x->row < 0) continue;
    result->images++;
    result->labels += n;
    result->several += n > 1;
    result->held_out += i >= lesson->trained;
  }
  for (size_t c = 0; c < e->class_count; c++)
    if (share[c] > 0) result->chance -= share[c] * log(share[c]);
  nn_free(&e->mem, share);
  return NN_OK;
}

static nn_status trained_learn(nn_trained *t, nn_lesson *lesson, size_t held,
                               nn_error *err) {
  size_t sample = lesson->trained < TRAINED_SAMPLE ? lesson->trained
                                                   : TRAINED_SAMPLE;
  nn_status status = nn_learn(lesson, &t->layer, err);
  if (status == NN_OK && t->layer.integer)
    status = nn_hash_layer_quantise(t->examples, lesson->mean, lesson->order,
                                    sample, lesson->watch, &t->layer, err);
  if (status == NN_OK)
    status = nn_train_measure(t, lesson->order, lesson->trained, held,
                              lesson->watch, lesson->result, err);
  if (status == NN_OK)
    status = nn_kept_make(t->examples, &lesson->random, lesson->watch,
                          &t->kept, &t->kept_owned, err);
  lesson->result->keeps = t->kept.classes > 0;
  return status;
}

static nn_status trained_run(nn_trained *t, nn_examples *e, nn_lesson *lesson,
                             nn_error *err) {
  nn_train_result *result = lesson->result;
  int bits = lesson->options->bits ? lesson->options->bits : e->head->bits;
  nn_error no_blas;
  size_t held = 0;
  nn_status status = nn_kept_draw(e, &lesson->random, lesson->watch, err);
  if (status == NN_OK) status = trained_split(lesson, &held, err);
  if (status == NN_OK) status = trained_count(lesson, held, result, err);
  if (status == NN_OK)
    status = nn_hash_layer_new(&t->mem, bits, (int)e->class_count, e->features,
                               e->integer, &t->layer, err);
  if (status) return status;
  lesson->blas = nn_blas_get(&no_blas);
  result->blas = lesson->blas != NULL;
  result->bits = bits;
  result->classes = (int)e->class_count;
  result->features = (int)e->features;
  return trained_learn(t, lesson, held, err);
}

nn_status nn_train(const nn_memory *mem, nn_examples *examples,
                   const nn_train_options *options, const nn_watch *watch,
                   nn_trained **out, nn_train_result *result, nn_error *err) {
  nn_lesson lesson = {.examples = examples, .options = options,
                      .watch = watch, .result = result,
                      .random = {(uint64_t)options->seed}};
  memset(result, 0, sizeof(*result));
  *out = NULL;
  nn_examples_seal(examples);
  int seen = 0;
  for (size_t i = 0; i < examples->class_count; i++)
    seen += examples->classes[i].size > 0;
  if (!seen) return nn_fail(err, NN_ARGUMENT, "no picture with a label");
  nn_trained *t = nn_zalloc(mem, sizeof(*t));
  if (!t) return nn_fail(err, NN_NOMEM, "out of memory");
  t->mem = *mem;
  t->examples = examples;
  nn_status status = trained_run(t, examples, &lesson, err);
  nn_free(mem, lesson.order);
  nn_free(mem, lesson.mean);
  if (status) nn_trained_close(t);
  else *out = t;
  return status;
}

void nn_trained_close(nn_trained *t) {
  if (!t) return;
  nn_memory mem = t->mem;
  nn_hash_layer_free(&mem, &t->layer);
  nn_free(&mem, t->kept_owned);
  nn_free(&mem, t);
}

/*
** Between the files that train: the examples as they lie, the layer that is
** learned, and random numbers.
*/
#ifndef BINHASH_NN_LEARN_H
#define BINHASH_NN_LEARN_H

#include "nn_int.h"
#include "train.h"

/* Random numbers, of one seed the same everywhere: splitmix64. */
typedef struct nn_random {
  uint64_t state;
} nn_random;

static inline uint64_t nn_random_next(nn_random *random) {
  uint64_t x = random->state += 0x9e3779b97f4a7c15u;
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
  x = (x ^ x >> 27) * 0x94d049bb133111ebu;
  return x ^ x >> 31;
}

/* 0 to n - 1, n below 2^32. */
static inline uint32_t nn_random_below(nn_random *random, uint32_t n) {
  return (uint32_t)((nn_random_next(random) >> 32) * n >> 32);
}

/* Of mean 0 and variance 1. */
double nn_random_normal(nn_random *random);   /* replay.c */

/* examples.c --------------------------------------------------------------- */

typedef enum nn_example_state {
  NN_EXAMPLE_WAITING, NN_EXAMPLE_FILLED, NN_EXAMPLE_DROPPED
} nn_example_state;

typedef struct nn_example {
  uint8_t key[32];           /* SHA-256 */
  int64_t row;               /* of the table; -1: drawn, not seen */
  int label;                 /* the last of its labels, -1 */
  nn_example_state state;
} nn_example;

typedef struct nn_label {
  int index;                 /* the class */
  int next;                  /* another of the same example, -1 */
} nn_label;

typedef struct nn_class {
  char *name;
  int size;                  /* pictures of the table */
} nn_class;

/*
** A row is a float32 low, a float32 step, a byte for each feature, whose value
** is low + q * step, and the code that the base gave.  Where the base computes
** in integers the byte is its own, and low is 0: the value is then the feature
** plus zero * step of its channel.
*/
struct nn_examples {
  nn_memory mem;
  const nn_model *base;
  const nn_head *head;
  size_t features;
  int integer;
  const nn_quant *quant;     /* of integer features */
  size_t plane;              /* features of a channel */
  size_t row_bytes, code_bytes;
  int rows_of_chunk;
  uint8_t **chunks;
  size_t chunk_count, chunk_room;
  nn_example *list;
  size_t count, room;
  uint32_t *slots;           /* key -> example + 1 */
  size_t slot_count;         /* a power of two, or 0 */
  nn_label *labels;
  size_t label_count, label_room;
  nn_class *classes;
  size_t class_count, class_room;
  uint32_t *class_slots;
  size_t class_slot_count;
  size_t name_bytes;
  int old_classes;
};

static inline const uint8_t *nn_example_bytes(const nn_examples *e, size_t i) {
  return e->chunks[i / (size_t)e->rows_of_chunk] +
         i % (size_t)e->rows_of_chunk * e->row_bytes;
}

/* The feature as stored, less what the byte 0 stands for in the base. */
static inline float nn_feature_offset(const nn_examples *e, size_t feature) {
  if (!e->integer) return 0;
  size_t channel = feature / e->plane;
  return (float)e->quant->zero[channel < e->quant->span
                                   ? 0 : channel / e->quant->span] *
         e->quant->scale;
}

/* The features of an example as numbers, low + q * step. */
void nn_example_values(const nn_examples *e, size_t i, float *out);
/* An example of no picture, whose features are given so; row -1. */
nn_status nn_examples_draw(nn_examples *e, const float *values, int index,
                           nn_error *err);
/* Is it one of a class?  O(its labels). */
int nn_example_is(const nn_examples *e, size_t i, int index);
/* Have they a class in common? */
int nn_examples_share(const nn_examples *e, size_t a, size_t b);

/* No row comes any more: classes that have no example left are dropped, unless
** the base brought them. */
void nn_examples_seal(nn_examples *e);

/* replay.c: what a model keeps of its classes ------------------------------ */

/*
** Of each class how many examples there were, mean and deviation of each
** feature, and a sketch: `each` examples, in 32nds of a deviation from the
** mean.
*/
typedef struct nn_kept {
  int classes, each;         /* classes 0: nothing is kept */
  const uint8_t *counts;     /* int32 [classes] */
  const uint8_t *mean, *deviation;   /* float32 [classes][features] */
  const int8_t *sketch;      /* [classes][each][features] */
} nn_kept;

/* The names of the tensors that hold them, in that order. */
extern const char *const nn_kept_names[4];

/* What the base keeps, where it lies in its file; of any alignment. */
void nn_kept_find(const nn_examples *e, nn_kept *out);
/* Draw examples of the classes that the base brought. */
nn_status nn_kept_draw(nn_examples *e, nn_random *random,
                       const nn_watch *watch, nn_error *err);
/* What is to be kept of the examples, in one piece of memory, *owned; nothing
** where it would be more than a model should carry. */
nn_status nn_kept_make(const nn_examples *e, nn_random *random,
                       const nn_watch *watch, nn_kept *out, void **owned,
                       nn_error *err);

/* hash_layer.c: what is learned -------------------------------------------- */

/*
** Latent layer and classifier, in float32 over features as stored, and, for a
** base that computes in integers, as the exported layers compute: see
** weights/README.md for each constant.
*/
typedef struct nn_hash_layer {
  int bits, classes, integer;
  size_t features;
  float *weight, *bias;              /* [bits][features], [bits] */
  float *score, *score_bias;         /* [classes][bits], [classes] */
  int8_t *weight8, *score8;
  int32_t *bias32, *score_bias32;
  int32_t *folded;                   /* bias32, the zero points taken out */
  float *scales, *score_scales;      /* of the sums; the latter all equal */
  int32_t *multiplier, *shift;       /* of the sigmoid */
  uint8_t table[256];
  float table_scale;
  int32_t *softmax;
  int softmax_count, softmax_shift;
} nn_hash_layer;

nn_status nn_hash_layer_new(const nn_memory *mem, int bits, int classes,
                            size_t features, int integer, nn_hash_layer *out,
                            nn_error *err);
void nn_hash_layer_free(const nn_memory *mem, nn_hash_layer *layer);
/* The integer form of the float one.  mean: of the features as stored, over the
** examples; some of these, in `sample`, choose the sigmoid's steps. */
nn_status nn_hash_layer_quantise(const nn_examples *e, const float *mean,
                                 const uint32_t *sample, size_t n,
                                 const nn_watch *watch, nn_hash_layer *layer,
                                 nn_error *err);
/* Floats of room that a run wants. */
size_t nn_hash_layer_spare(const nn_hash_layer *layer);
/* The code of an example, and its logits of the classes, as the exported model
** computes them. */
void nn_hash_layer_run(const nn_examples *e, const nn_hash_layer *layer,
                       size_t example, uint8_t *code, float *scores,
                       float *spare);

/* train.c ------------------------------------------------------------------ */

typedef struct nn_lesson {
  const nn_examples *examples;
  const nn_train_options *options;
  const nn_watch *watch;
  const nn_blas *blas;       /* NULL: a plain loop */
  nn_random random;
  uint32_t *order;           /* the examples to learn from, in random order */
  size_t trained;
  float *mean;               /* of the features, told: room for them all */
  nn_train_result *result;   /* the losses, told */
} nn_lesson;

/* Learn the float form of a layer whose sizes are set. */
nn_status nn_learn(nn_lesson *lesson, nn_hash_layer *layer, nn_error *err);
void nn_shuffle(nn_random *random, uint32_t *list, size_t n);

/* trained.c, trained_model.c ----------------------------------------------- */

struct nn_trained {
  nn_memory mem;
  const nn_examples *examples;
  nn_hash_layer layer;
  nn_kept kept;
  void *kept_owned;
};

/* measure.c ---------------------------------------------------------------- */

/* order: `trained` examples that were learned from, and behind them `held` that
** were not, each in random order.  Fills the shares of the result. */
nn_status nn_train_measure(const nn_trained *trained, const uint32_t *order,
                           size_t trained_count, size_t held,
                           const nn_watch *watch, nn_train_result *result,
                           nn_error *err);

static inline int nn_watch_stops(const nn_watch *watch) {
  return watch->stop && watch->stop(watch->context);
}

#endif

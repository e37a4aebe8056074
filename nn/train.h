/*
** Learning a hash layer: from pictures with labels and a base model to the file
** of a new model.  See network.h for memory and errors.
**
**   nn_train_options   what is to be done, from JSON
**   nn_examples        features of pictures and their labels, kept small
**   nn_trained         what was learned, measured, and written as a model
*/
#ifndef BINHASH_NN_TRAIN_H
#define BINHASH_NN_TRAIN_H

#include "network.h"

/* Options (train_options.c) ------------------------------------------------ */

typedef struct nn_train_options {
  char base[104];          /* a model's name; "": the default model */
  int bits;                /* 0: as many as the base has */
  int epochs, batch;
  int64_t seed;
  double rate;
  double validation;       /* share of the images that are held out */
} nn_train_options;

/* From a JSON object of n bytes; n 0: all defaults.  NN_ARGUMENT names the key
** that is unknown or out of range, and its limits. */
nn_status nn_train_options_read(const nn_memory *mem, const char *text,
                                size_t n, nn_train_options *out,
                                nn_error *err);

/* Examples (examples.c, replay.c) ------------------------------------------ */

#define NN_FEATURES_MAX 65536
#define NN_CLASSES_MAX 10000
#define NN_CLASS_NAME_MAX 200            /* bytes of a label */
#define NN_CLASS_NAMES_MAX (192 << 10)   /* of all together */
#define NN_EXAMPLES_MAX (1 << 24)

/*
** Pictures as their features, a byte each, with the classes they belong to.  A
** picture is known by the SHA-256 of its bytes, so that one which comes again
** with another label is one example of two classes.
*/
typedef struct nn_examples nn_examples;

/*
** Features are those that head of base has, which must outlive the examples.
** NN_MODEL where no hash layer can stand behind them.  A base that was made
** here brings its own classes, which are not to be forgotten.
*/
nn_status nn_examples_open(const nn_memory *mem, const nn_model *base,
                           const nn_head *head, nn_examples **out,
                           nn_error *err);
void nn_examples_close(nn_examples *examples);   /* NULL is fine */

/* The class of that name, a new one if need be.  NN_ARGUMENT for a name that no
** class can have; NN_TOO_LARGE for a class too many. */
nn_status nn_examples_class(nn_examples *examples, const char *name, size_t n,
                            int *index, nn_error *err);

/*
** The example of these bytes.  *fresh: there was none, and nn_examples_fill or
** nn_examples_drop has to follow before training.  row: for reports.
*/
nn_status nn_examples_add(nn_examples *examples, const void *image, size_t n,
                          int64_t row, int *example, int *fresh,
                          nn_error *err);
/* It is also of this class; *again: that was known. */
nn_status nn_examples_label(nn_examples *examples, int example, int index,
                            int *again, nn_error *err);
/* What the base makes of it: features and logits of its code, as nn_run gives
** them.  NN_PICTURE where they are no numbers, which drops it. */
nn_status nn_examples_fill(nn_examples *examples, int example,
                           const float *features, const float *logits,
                           nn_error *err);
/* There is no picture in those bytes. */
void nn_examples_drop(nn_examples *examples, int example);
int nn_examples_is_dropped(const nn_examples *examples, int example);

int nn_examples_classes(const nn_examples *examples);
/* Of them, the first: those that the base brought. */
int nn_examples_old_classes(const nn_examples *examples);
const char *nn_examples_class_name(const nn_examples *examples, int index);
/* Pictures of the table that belong to it. */
int nn_examples_class_size(const nn_examples *examples, int index);

/* Training (train.c, hash_layer.c, measure.c) ------------------------------ */

/* Who watches: stop is asked every few milliseconds and ends the run when its
** answer is not 0; tell hears of every epoch.  Both may be NULL. */
typedef struct nn_watch {
  int (*stop)(void *context);
  void (*tell)(void *context, int epoch, double loss);
  void *context;
} nn_watch;

#define NN_SUSPECTS 5

/* Shares are -1 where there is nothing to measure. */
typedef struct nn_train_result {
  int bits, classes, features;
  int images, held_out;      /* pictures; of them, not trained on */
  int64_t labels;            /* of pictures */
  int several;               /* pictures of several classes */
  int replayed;              /* examples drawn for what the base knew */
  int blas;                  /* sgemm did the work, not a plain loop */
  int keeps;                 /* the model can learn other classes later */
  double first_loss, loss;   /* mean of the first and of the last epoch */
  double chance;             /* loss of always guessing the classes' shares */
  double accuracy, map;      /* of held-out pictures, as exported */
  double base_map;           /* the same with the codes of the base */
  double replay_accuracy;    /* of drawn examples that were held out */
  double noise;              /* share of labels that look wrong */
  int suspects;
  int64_t suspect[NN_SUSPECTS];   /* rows of the most doubtful labels */
} nn_train_result;

typedef struct nn_trained nn_trained;

/* Train on all examples that were filled.  NN_ARGUMENT where there are none, or
** where the rate is too high to give numbers. */
nn_status nn_train(const nn_memory *mem, nn_examples *examples,
                   const nn_train_options *options, const nn_watch *watch,
                   nn_trained **out, nn_train_result *result, nn_error *err);
void nn_trained_close(nn_trained *trained);   /* NULL is fine */

/*
** The file of the model, for nn_train_free: the layers of the base up to its
** features as they are, the new layers behind them, and the report, in UTF-8,
** in the metadata.
*/
nn_status nn_trained_write(const nn_trained *trained, const char *report,
                           void **bytes, size_t *size, nn_error *err);
void nn_train_free(const nn_memory *mem, void *bytes);

#endif

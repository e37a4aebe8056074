/*
** The quantiser: a trained float32 network and pictures in, the exact integer
** form of the network out (weights/README.md, "Integer networks").
**
** Its parts, in the order in which a network passes them:
**
**   quantise_graph.c    the plain graph: norms and preprocessing folded
**   quantise_ranges.c   what the float32 network's numbers look like
**   quantise_numbers.c  scales, zero points and fractions out of that
**   quantise_filters.c  convolutions and inner products as integers
**   quantise_layers.c   all other layers, and each layer run when it is there
**   quantise.c          the whole, and what it cost
**
** They are of the tools, not of the extension; memory is the C library's.
*/
#ifndef BINHASH_QUANTISE_H
#define BINHASH_QUANTISE_H

#include <stdio.h>

#include "../nn/floats.h"
#include "../nn/writer.h"

/* The largest of a weight, in units. */
#define QUANTISE_WEIGHT 127

typedef struct quantise_options {
  const uint8_t *pixels;   /* of pictures, in the form and order of the input */
  int images;              /* [images][C][height][width]; those to calibrate */
  int held_out;            /* on, and then those that only the report sees */
  int activation_bits;     /* 7 (0 as well) or 8: what layers write goes from 0
                           ** to 127 or 255 */
  int verbose;             /* a line for each layer */
  size_t memory;           /* for bytes between layers; 0: 1 GiB */
  FILE *log;               /* the report; NULL: none */
} quantise_options;

/*
** The integer form of a float32 model file: *out is another model file, which
** nn_free(&nn_memory_libc, ...) takes back.  Errors: NN_MODEL names the layer
** that has no integer form, NN_ARGUMENT says what is wrong with the pictures.
*/
nn_status quantise_model(const void *bytes, size_t n,
                         const quantise_options *options, uint8_t **out,
                         size_t *out_n, nn_error *err);

/* A table of pictures. */
typedef struct quantise_pictures {
  const char *path;                /* a SQLite file */
  const char *table, *column;      /* NULL: images, image */
  int images, held_out;            /* rows wanted; then those that came */
  int broken;                      /* rows that are no picture, left out */
  uint8_t *pixels;                 /* as quantise_options has them; free() */
} quantise_pictures;

/* quantise_pictures.c: read and prepare them as the model says, without its
** mean and scale. */
nn_status quantise_read(const nn_model *model, quantise_pictures *pictures,
                        nn_error *err);

/* Within the quantiser ---------------------------------------------------- */

/* The values that a blob had: how many in each of many bins around 0, and
** their sum. */
#define QUANTISE_BINS 16384

typedef struct quantise_values {
  double reach;            /* bins cover [-reach, reach) */
  float low, high;
  double cap;              /* what is above counts as this; or infinity */
  uint64_t *count;
  double *sum;
} quantise_values;

/*
** A layer of the plain graph.  It computes what layer `source` of the float32
** network computes; several nodes may share one, and what is between them is
** a step that only the integer network has.  Node 0 is the input.
*/
typedef struct quantise_node {
  const char *name;
  nn_type type;
  const nn_json *json;         /* of the source; NULL: the node has no source's
                               ** geometry, each channel for itself */
  const nn_layer *source;      /* NULL: the input */
  const nn_layer *gate;        /* a table: what x is multiplied with, or NULL */
  struct quantise_node *bottom[NN_BOTTOM_MAX];
  int bottoms;
  int blob;                    /* what the source writes */
  int c, h, w;
  int filter;                  /* has weights: */
  int kernel[2], stride[2], pad[2], dilation[2], group;
  const float *weight;         /* [c][row] */
  const double *bias;          /* [c] */
  size_t row;
  int sums;                    /* writes sums */
  int positive;                /* nobody would miss its negative values, */
  double cap;                  /* nor what is above, unless 0 */
  int made;                    /* the integer network's blob */
  int last;                    /* the position of its last reader */
  uint8_t *bytes;              /* of the calibration batch, while wanted */
  quantise_values *values;     /* NULL: not wanted */
  double *mean;                /* of each channel; NULL: not wanted */
} quantise_node;

typedef struct quantise {
  const quantise_options *options;
  const nn_model *model;       /* float32 */
  nn_model *draft;             /* the integer network, as far as it is there;
                               ** all memory is its */
  const nn_json *network;      /* the float32 network's description */
  quantise_node **nodes;       /* in their order */
  int count, room;
  uint8_t *zero;               /* of the input's channels */
  nn_text text;                /* the integer network's layers, as JSON */
  size_t start;                /* of the one that is being written */
  nn_part *parts;              /* its tensors; the draft has them too */
  int part_count;
  int batch;                   /* pictures that every layer is run on */
  int64_t largest;             /* the most that a filter's sum can become */
  const char *largest_name;
  long long above24;           /* filters whose sum can pass 2^24 */
  long long filters;           /* all */
  nn_error *err;
} quantise;

/* The largest byte of a layer that has its own scale. */
static inline int quantise_top(const quantise *q) {
  return q->options->activation_bits == 8 ? 255 : 127;
}

/* quantise_graph.c */
nn_status quantise_plain(quantise *q);
void *quantise_alloc(quantise *q, size_t count, size_t size);
int quantise_readers(const quantise *q, const quantise_node *node,
                     quantise_node **readers, int most);
/* Whether a node is a function of one number, which a table is. */
static inline int quantise_is_table(nn_type type) {
  return type == NN_SIGMOID || type == NN_LOOKUP;
}

/* quantise_signs.c: activations that are folded or become tables, before sums
** are told from bytes; then which nodes have no negative values. */
nn_status quantise_activations(quantise *q);
void quantise_signs(quantise *q);
int quantise_is_named(const quantise *q, const quantise_node *node);

/* quantise_ranges.c */
nn_status quantise_measure(quantise *q);

/* quantise_numbers.c */
double quantise_round16(double x);
int quantise_fraction(double ratio, int32_t *m, int32_t *s);
int quantise_shared_fractions(const double *ratios, const int *most, int n,
                              int sum, int *m, int *shift);
double quantise_byte_scale(double low, double high, int top, int *zero);
void quantise_best_range(const quantise_values *values, int positive, int top,
                         double *low, double *high);
void quantise_weight_unit(const float *weight, size_t n, double *unit,
                          double *error);

/* quantise_filters.c */
nn_status quantise_filter(quantise *q, quantise_node *node);
/* multiplier and shift of each of n channels, from such units to a scale. */
nn_status quantise_requantise(quantise *q, const quantise_node *node,
                              const double *unit, int n, double scale);

/* quantise_layers.c */
nn_status quantise_layers(quantise *q);

/* quantise_emit.c: one layer's description, its members one after the other,
** its tensors, and then the layer itself, run on the batch. */
void quantise_json(nn_text *text, const nn_json *value);
void quantise_open(quantise *q, const quantise_node *node, const char *type);
/* Members as the float32 network has them, if it has; keys end in NULL. */
void quantise_copy(quantise *q, const quantise_node *node,
                   const char *const *keys);
nn_status quantise_close(quantise *q, quantise_node *node);
nn_status quantise_input(quantise *q);
nn_status quantise_tensor(quantise *q, const quantise_node *node,
                          const char *member, nn_dtype dtype, int rank,
                          const int64_t *shape, const void *bytes);
/* Members scale, zero_point and max of a node's own bytes: of a scale that
** there is, and of the best one for a node; zero may be NULL. */
void quantise_scaled(quantise *q, double scale, int zero);
double quantise_scale(quantise *q, const quantise_node *node, int *zero);

/* quantise_report.c: of the file that became of it. */
nn_status quantise_report(quantise *q, const uint8_t *bytes, size_t n);

#endif

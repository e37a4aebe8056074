/*
** What the parts of binhash-import share: a network as it is being read, and
** what becomes of it.
**
** A reader (caffe.c, onnx.c) turns somebody's file into an import graph, which
** is the network description of README.md in this folder, word for word: an
** input, layers with members and bottoms, preprocessing, tensors.  So a member
** that README.md knows is added under its name, and nothing has to be invented
** in between.  What all formats share is done to the graph afterwards, in
** import_head.c, import_hash.c and import_write.c.
**
** Everything that a graph holds lives in one arena until import_close.  What
** can fail returns an nn_status, or NULL, and has then written import.error,
** which names the file and the layer: a caller passes failures on.
*/
#ifndef BINHASH_IMPORT_H
#define BINHASH_IMPORT_H

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>
#include <stdint.h>

#include "../nn/writer.h"

/* A member of a layer's object.  count 0: one value, not in an array. */
typedef enum import_kind {
  IMPORT_INTS,
  IMPORT_FLOATS,
  IMPORT_STRING,
  IMPORT_BOOLEAN      /* in ints */
} import_kind;

typedef struct import_member {
  const char *key;
  import_kind kind;
  int count;
  int *ints;
  float *floats;
  const char *string;
  struct import_member *next;
} import_member;

/*
** A layer writes one blob.  The input is the first layer of a graph, of type
** "Input", and not written as one.  `shape` is C, H, W of the blob: the reader
** fills it in, for its own use and for messages (what nn makes of the finished
** network is compared with it, so it must be right where it is not 0).
*/
typedef struct import_layer {
  const char *name, *type;
  struct import_layer **bottom;
  int bottoms;
  int shape[3];
  import_member *members;
  struct import_layer *next;
} import_layer;

/* Values are borrowed: they outlive the graph, or lie in its arena. */
typedef struct import_tensor {
  const char *name;
  int rank;
  int64_t shape[8];
  size_t count;
  const float *values;
  struct import_tensor *next;
} import_tensor;

/* Another name of a layer's blob. */
typedef struct import_alias {
  const char *name;
  import_layer *layer;
  struct import_alias *next;
} import_alias;

/* README.md, "Preprocessing"; size 0: the input's.  `scale` multiplies. */
typedef struct import_preprocess {
  int bgr, area, crop;
  int size[2];              /* height, width */
  float mean[3], scale[3];  /* in the input's order of channels */
} import_preprocess;

/* What the command line says; NULL, 0 or a `has_` of 0 where it is silent. */
typedef struct import_options {
  const char *output;       /* -o */
  const char *name;         /* --name: of the head */
  const char *latent, *features, *classifier;   /* names of layers */
  const char *mean_file;    /* --mean FILE */
  int has_mean, has_std, has_order, has_resize, has_crop;
  float mean[3], std[3];    /* --mean, --std: in the order that is written */
  int bgr;                  /* --order */
  int resize[2], resize_crop;   /* height, width; one number: keep the aspect */
  int crop[2];              /* --crop: the network's input */
  const char *hash;         /* --hash LAYER */
  int bits;                 /* --bits */
  int itq;                  /* --hash-method itq */
  uint64_t seed;            /* --seed */
  const char *images;       /* --images DB */
  const char *int8;         /* --int8 DB */
  int activation_bits;      /* --activation-bits of it; 0: not given */
  int fp16;                 /* --fp16 */
  int verbose;              /* --verbose: its report names every layer */
  const char *table, *column;   /* of images in a database */
  int limit;                /* --limit: images that are read */
} import_options;

typedef struct import {
  const nn_memory *mem;
  import_options options;
  const char *file;         /* being read; opens every error */
  char error[1024];         /* "" while nothing went wrong */
  void (*warn)(void *context, const char *sentence);   /* NULL: silence */
  void *warn_context;
  struct import_chunk *chunks;
  size_t left;              /* of the memory that the arena may take */
  struct import_map *maps;  /* files that are mapped until import_close */

  import_layer *layers, *last;   /* the first is the input */
  int layer_count;          /* the input too */
  import_tensor *tensors, *last_tensor;
  int tensor_count;
  import_alias *aliases;
  import_preprocess preprocess;
  import_layer *latent, *features, *classifier;   /* the head; NULL: unknown */
  const char **classes;     /* names of the classifier's outputs, or NULL */
  int class_count;
} import;

/* import_graph.c: building ------------------------------------------------- */

#define IMPORT_MEMORY_DEFAULT ((size_t)8 << 30)

void import_open(import *im, const nn_memory *mem);
/* The arena, and by import_close (import_file.c) the files as well. */
void import_free_chunks(import *im);
void import_close(import *im);

/* Write the sentence behind "FILE: layer NAME: " (name NULL: behind "FILE: "),
** and return NN_MODEL. */
nn_status import_fail(import *im, const char *layer, const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 3, 4)))
#endif
    ;
nn_status import_no_memory(import *im);
void import_warn(import *im, const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 2, 3)))
#endif
    ;

/* Zeroed, IMPORT_ALIGN-aligned; NULL and the error set. */
#define IMPORT_ALIGN 64
void *import_alloc(import *im, size_t count, size_t size);
char *import_copy(import *im, const char *text);
char *import_print(import *im, const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 2, 3)))
#endif
    ;

/* The input, once, before any layer. */
import_layer *import_input(import *im, const char *name, int channels,
                           int height, int width);
/* A layer behind those that there are.  bottom may be NULL (and be added with
** import_bottom).  A name that is taken is an error. */
import_layer *import_add(import *im, const char *name, const char *type,
                         import_layer *bottom);
nn_status import_bottom(import *im, import_layer *layer, import_layer *bottom);
/* Behind `after` instead of at the end. */
import_layer *import_insert(import *im, import_layer *after, const char *name,
                            const char *type, import_layer *bottom);

nn_status import_int(import *im, import_layer *layer, const char *key,
                     int value);
nn_status import_ints(import *im, import_layer *layer, const char *key,
                      int count, const int *values);
nn_status import_float(import *im, import_layer *layer, const char *key,
                       float value);
nn_status import_floats(import *im, import_layer *layer, const char *key,
                        int count, const float *values);
nn_status import_string(import *im, import_layer *layer, const char *key,
                        const char *value);
nn_status import_boolean(import *im, import_layer *layer, const char *key,
                         int value);
const import_member *import_get(const import_layer *layer, const char *key);

/* The tensor of that name is new; values are borrowed. */
import_tensor *import_add_tensor(import *im, const char *name, int rank,
                                 const int64_t *shape, const float *values);
/* The same for a layer's member `key`, with the name "LAYER.key". */
nn_status import_weights(import *im, import_layer *layer, const char *key,
                         int rank, const int64_t *shape, const float *values);
import_tensor *import_tensor_find(const import *im, const char *name);

import_layer *import_find(const import *im, const char *name);
/* `base`, or base_2, base_3, ...: what no layer and no alias is called. */
char *import_unique(import *im, const char *base);
/* A layer's or alias's layer, NULL if there is neither. */
import_layer *import_named(const import *im, const char *name);
/* A further name for what the layer writes.  One that is taken by a layer or an
** alias stays with it, in silence. */
nn_status import_add_alias(import *im, const char *name, import_layer *layer);
nn_status import_rename(import *im, import_layer *layer, const char *name);
/* How many bottoms are this layer. */
int import_readers(const import *im, const import_layer *layer);
/* Whoever reads `layer`, aliases too, gets `instead`; the layer goes, and its
** name becomes an alias of `instead`. */
nn_status import_replace(import *im, import_layer *layer,
                         import_layer *instead);
/* "96 x 3 x 11 x 11", for messages. */
const char *import_shape_text(import *im, int rank, const int64_t *shape);

/* import_file.c: files and protocol buffers -------------------------------- */

/* The bytes of a file, there until import_close. */
nn_status import_map_file(import *im, const char *path, const uint8_t **bytes,
                          size_t *n);
/* The same of one that is open, which import.file names. */
nn_status import_map_open(import *im, int fd, const uint8_t **bytes,
                          size_t *n);
/* Unpack a message out of hostile bytes.  What it takes is bounded by a
** multiple of n and freed by import_close.  `what` says what the bytes should
** be: "a caffemodel". */
nn_status import_unpack(import *im, const ProtobufCMessageDescriptor *type,
                        const char *what, const uint8_t *bytes, size_t n,
                        ProtobufCMessage **out);

/* Readers ------------------------------------------------------------------ */

/* Fill the graph; `paths` are those of the command line. */
nn_status import_caffe(import *im, const char *const *paths);
nn_status import_onnx(import *im, const char *const *paths);
/* What a reader supports, for --list: names up to a NULL. */
const char *const *import_caffe_supported(void);
const char *const *import_onnx_supported(void);

/* After reading ------------------------------------------------------------ */

/* import_head.c: preprocessing, then the head, as the options say or by the
** defaults. */
nn_status import_preprocessing(import *im);
nn_status import_head(import *im);
/* import_hash.c: a latent layer on options.hash. */
nn_status import_hash(import *im);
/* import_write.c: the network's description; and the file at `path`, opened
** again with nn_model_open and compared with the graph before it is put there.
*/
nn_status import_describe(import *im, nn_text *text);
nn_status import_write(import *im, const char *path);
/* The graph as it is, as a model that can run; to be closed with
** nn_model_close before import_close. */
nn_status import_trial(import *im, nn_model **model);
/* The model file at `path`; to be closed in the same way. */
nn_status import_model(import *im, const char *path, nn_model **model);

/* import_int8.c: a float32 model in integer form, to options.output. */
nn_status import_int8(import *im, const nn_model *model);

/* import_half.c: the same with the weights of inner products in 16 bits. */
nn_status import_half(import *im, const nn_model *model);

#endif

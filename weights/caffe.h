/*
** Between the files of the Caffe reader.
*/
#ifndef BINHASH_CAFFE_H
#define BINHASH_CAFFE_H

#include "caffe.pb-c.h"
#include "import.h"

/* A layer of any generation, as the current one would write it. */
typedef struct caffe_layer {
  Caffe__LayerParameter p;    /* name, type, bottom, top, parameters */
  int padding;                /* V0's "padding": pixels a side; else -1 */
  size_t blobs;               /* the trained ones, by name */
  Caffe__BlobProto **blob;
  int trained;                /* the caffemodel has a layer of that name */
} caffe_layer;

/* What is read of the data layers. */
typedef struct caffe_data {
  int channels, height, width;   /* 0: not said */
  int new_height, new_width;     /* pictures are resized to */
  float scale;
  const char *mean_file;
  int mean_values;
  float mean[3];
} caffe_data;

/* A name of a blob at the place in the network that was reached. */
typedef struct caffe_blob {
  const char *name;
  import_layer *layer;        /* that wrote it last; NULL: a label */
  int rank;                   /* axes with the batch's */
  int pad;                    /* V0: a padding layer's, not yet applied */
  struct caffe_blob *next;
} caffe_blob;

typedef struct caffe_net {
  import *im;
  const char *weights;        /* the caffemodel's name, for messages */
  const char *deploy;
  caffe_layer *layers;
  size_t layer_count;
  caffe_data data;
  const char *input;          /* blob that the pictures are */
  caffe_blob *blobs;
} caffe_net;

/* caffe_read.c: both files, as bytes, into net->layers and net->data. */
nn_status caffe_read_net(caffe_net *net, const uint8_t *text, size_t n);
nn_status caffe_read_weights(caffe_net *net, const uint8_t *bytes, size_t n);
/* A mean image: its mean over each channel. */
nn_status caffe_read_mean(import *im, const char *path, int channels,
                          float *mean);

/* caffe_filters.c: layers with trained blobs. */
nn_status caffe_convolution(caffe_net *net, const caffe_layer *l,
                            caffe_blob *in, import_layer **out);
nn_status caffe_inner_product(caffe_net *net, const caffe_layer *l,
                              caffe_blob *in, import_layer **out);
nn_status caffe_batch_norm(caffe_net *net, const caffe_layer *l,
                           caffe_blob *in, import_layer **out);
nn_status caffe_scale(caffe_net *net, const caffe_layer *l, caffe_blob *in,
                      import_layer **out);
/* x * weight + bias, one value for each channel, as a layer of that name. */
nn_status caffe_affine(caffe_net *net, const char *name, import_layer *in,
                       const float *weight, const float *bias,
                       import_layer **out);

/* caffe_layers.c: layers without them, of one bottom and one top. */
nn_status caffe_pooling(caffe_net *net, const caffe_layer *l,
                        caffe_blob *in, import_layer **out);
nn_status caffe_lrn(caffe_net *net, const caffe_layer *l,
                    caffe_blob *in, import_layer **out);
nn_status caffe_relu(caffe_net *net, const caffe_layer *l,
                     caffe_blob *in, import_layer **out);
nn_status caffe_sigmoid(caffe_net *net, const caffe_layer *l,
                        caffe_blob *in, import_layer **out);
nn_status caffe_softmax(caffe_net *net, const caffe_layer *l,
                        caffe_blob *in, import_layer **out);
nn_status caffe_power(caffe_net *net, const caffe_layer *l,
                      caffe_blob *in, import_layer **out);
nn_status caffe_tanh(caffe_net *net, const caffe_layer *l,
                     caffe_blob *in, import_layer **out);
nn_status caffe_flatten(caffe_net *net, const caffe_layer *l,
                        caffe_blob *in, import_layer **out);
nn_status caffe_reshape(caffe_net *net, const caffe_layer *l,
                        caffe_blob *in, import_layer **out);

/* caffe.c: */
/* What bottom i is; a blob that no layer wrote is an error. */
nn_status caffe_read(caffe_net *net, const caffe_layer *l, size_t i,
                     caffe_blob **out);
/* A layer that writes what its only bottom has the shape of. */
nn_status caffe_add(caffe_net *net, const char *name, const char *type,
                    import_layer *in, import_layer **out);
/* The same under the layer's own name. */
nn_status caffe_plain(caffe_net *net, const caffe_layer *l, const char *type,
                      caffe_blob *in, import_layer **out);
/* The side of a window's output; 0 and the error set where there is none. */
int caffe_side(caffe_net *net, const caffe_layer *l, int64_t side, int64_t pad,
               int64_t reach, int64_t stride, int ceil);
/* Numbers of a layer's geometry that hold for both axes, or are given for each,
** as [height, width]. */
nn_status caffe_pair(caffe_net *net, const caffe_layer *l, const char *what,
                     size_t n, const uint32_t *values, int has_h, uint32_t h,
                     int has_w, uint32_t w, uint32_t otherwise, int out[2]);

/* The Caffe half of import_caffe, for callers that have the bytes. */
nn_status caffe_import(import *im, const uint8_t *text, size_t text_size,
                       const uint8_t *weights, size_t weights_size);

#endif

/*
** What the parts of the ONNX reader share: values, the node being read, and how
** a node's result becomes a layer.
**
** An ONNX graph computes arrays of any rank; a model's blobs have a batch and
** three sides.  What makes the two one is that both keep their elements in
** order, the last side together.  So a value is a layer's blob with the shape
** that ONNX sees: reshaping it, flattening it, adding or dropping sides of 1
** changes the shape beside the blob and computes nothing, and only an operator
** that wants rows or channels has the blob in that form, by a Reshape where it
** does not have it.  A transposition is kept beside the blob likewise, until
** something cannot do with it; two that undo each other leave no trace.
**
** What does not depend on the image is a constant and folded at once.
*/
#ifndef BINHASH_ONNX_H
#define BINHASH_ONNX_H

#include "import.h"
#include "onnx.pb-c.h"

#define ONNX_RANK 8        /* sides of an array */
#define ONNX_INPUTS 512    /* inputs or outputs of a node */

/* A constant; floats or ints, the other is NULL. */
typedef struct onnx_tensor {
  int rank;
  int64_t dims[ONNX_RANK];
  size_t count;
  const float *floats;
  const int64_t *ints;
} onnx_tensor;

/*
** What a name of the graph stands for: a constant, or a layer's blob.  dims[0]
** is the batch then, which is 1 where the graph leaves it open.
**
** order, up to rank 4: side i + 1 of the value is side order[i] of the view
** that the blob is, 0 to 2 for C, H, W.  The blob has as many elements as the
** view and may have other sides.
*/
typedef struct onnx_value {
  const char *name;
  OnnxTensor *proto;              /* of an initialiser that nobody read yet */
  const onnx_tensor *constant;
  import_layer *layer;
  int rank;
  int64_t dims[ONNX_RANK];
  int order[3];
  int readers;                    /* of the nodes that count, and outputs */
  int open;                       /* a product whose layer has no bias yet */
  struct onnx_value *next;        /* of those whose names are alike */
} onnx_value;

typedef struct onnx {
  import *im;
  OnnxGraph *graph;
  int64_t opset, batch;
  size_t folded;                  /* elements that folding may still make */
  onnx_value **names;             /* by their hash */
  size_t name_mask;
  OnnxNode *node;                 /* the one that is being read */
  const char *called;             /* its layers, where not after it */
  int inputs, outputs;
  onnx_value *in[ONNX_INPUTS], *out[ONNX_INPUTS];   /* NULL: left out */
} onnx;

/* onnx.c: import_onnx on bytes that are there. */
nn_status onnx_import(import *im, const uint8_t *bytes, size_t n);

/* onnx_value.c: names, attributes, views ----------------------------------- */

nn_status onnx_fail(onnx *o, const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 2, 3)))
#endif
    ;
/* The value of that name; made if there is none.  NULL: out of memory. */
onnx_value *onnx_named(onnx *o, const char *name);

const OnnxAttribute *onnx_attribute(const onnx *o, const char *name);
int64_t onnx_int(const onnx *o, const char *name, int64_t otherwise);
float onnx_float(const onnx *o, const char *name, float otherwise);
/* A string attribute is `word`; `otherwise` where there is none. */
int onnx_is(const onnx *o, const char *name, const char *word, int otherwise);
/* Integers out of attribute `name` or, if there is none, of the constant that
** is input i (-1: no input).  *count is -1 where there is neither. */
nn_status onnx_list(onnx *o, const char *name, int i, const int64_t **list,
                    int *count);
/* One float, of an attribute or an input, which keeps its default. */
nn_status onnx_number(onnx *o, const char *name, int i, float *out);
/* *axis from -rank to rank - 1 becomes 0 to rank - 1. */
nn_status onnx_axis(onnx *o, int64_t *axis, int rank);

/* Input i, which must be there and a blob, or a constant. */
nn_status onnx_blob(onnx *o, int i, onnx_value **out);
nn_status onnx_constant(onnx *o, int i, const onnx_tensor **out);
/* "1 x 3 x 5", for messages. */
const char *onnx_shape(onnx *o, const onnx_value *value);

/* The value's own sides behind the batch, along C, H, W of its view. */
nn_status onnx_view(onnx *o, const onnx_value *value, int view[3]);
/* The value as a layer of those sides, by a Reshape if need be. */
nn_status onnx_seen(onnx *o, onnx_value *value, const int view[3],
                    import_layer **out);
/* The same for its own view. */
nn_status onnx_own(onnx *o, onnx_value *value, import_layer **out);
/* What was transposed is brought in order, by a Permute if need be. */
nn_status onnx_plain(onnx *o, onnx_value *value);
/* A view in which the axis is a side of its own: that side, 1 to 3. */
nn_status onnx_along(onnx *o, const onnx_value *value, int axis, int view[3],
                     int *side);

/* A layer called after the node (what: NULL), or "NODE_what". */
import_layer *onnx_layer(onnx *o, const char *what, const char *type,
                         import_layer *bottom, const int shape[3]);
/* Output i is the layer's blob, of that shape behind the batch.  `order` may be
** NULL for none. */
nn_status onnx_give(onnx *o, int i, import_layer *layer, int rank,
                    const int64_t *dims, const int *order);
/* The same, with the shape and order of a value. */
nn_status onnx_give_like(onnx *o, int i, import_layer *layer,
                         const onnx_value *like);
/* Output 0 is what the value is, with a shape of its own: no layer. */
nn_status onnx_alias(onnx *o, onnx_value *value, int rank,
                     const int64_t *dims);
/* A layer that moves the sides of the value's view: side i of the result is
** side order[i], 0 to 2. */
nn_status onnx_permute(onnx *o, const char *name, onnx_value *value,
                       const int view[3], const int order[3],
                       import_layer **out);

/* onnx_tensor.c: constants out of the file --------------------------------- */

nn_status onnx_read_tensor(onnx *o, const char *name, const OnnxTensor *proto,
                           const onnx_tensor **out);
/* One of that shape, not filled in: *floats or *ints is where to.  Where both
** are wanted, floats. */
nn_status onnx_new_tensor(onnx *o, int rank, const int64_t *dims,
                          float **floats, int64_t **ints, onnx_tensor **out);

/* onnx_fold.c: nodes of constants ------------------------------------------ */

/* Whether this type can be folded, and do it; all inputs are constants. */
int onnx_folds(const char *type);
nn_status onnx_fold(onnx *o);
/* The shape of a value as a constant, input 0 being a blob. */
nn_status onnx_shape_of(onnx *o);
const char *const *onnx_fold_names(void);

/* What it shares with onnx_compute.c: a result of that shape, to be filled in;
** output 0 of the node; the strides of an array; and an array out of another's
** elements, the first at `from`, others by strides, of 0 or below 0 too. */
nn_status onnx_fold_new(onnx *o, int is_float, int rank, const int64_t *dims,
                        float **floats, int64_t **ints, onnx_tensor **out);
nn_status onnx_fold_give(onnx *o, const onnx_tensor *t);
void onnx_fold_strides(const onnx_tensor *t, int64_t *stride);
nn_status onnx_fold_take(onnx *o, const onnx_tensor *t, int rank,
                         const int64_t *dims, const int64_t *stride,
                         int64_t from, const onnx_tensor **result);

/* onnx_compute.c */
nn_status onnx_fold_expand(onnx *o);
nn_status onnx_fold_where(onnx *o);
nn_status onnx_fold_arithmetic(onnx *o);
nn_status onnx_fold_unary(onnx *o);
nn_status onnx_fold_cast(onnx *o);

/* onnx_layers.c, onnx_moves.c, onnx_arith.c: nodes of blobs ---------------- */

nn_status onnx_conv(onnx *o);
nn_status onnx_gemm(onnx *o);
nn_status onnx_matmul(onnx *o);
nn_status onnx_pool(onnx *o);
nn_status onnx_global_pool(onnx *o);
nn_status onnx_reduce(onnx *o);
nn_status onnx_batch_norm(onnx *o);
nn_status onnx_lrn(onnx *o);
nn_status onnx_softmax(onnx *o);
nn_status onnx_activation(onnx *o);
nn_status onnx_clip(onnx *o);
nn_status onnx_same(onnx *o);        /* Identity, Dropout, Cast */
nn_status onnx_reshape(onnx *o);     /* Flatten, Squeeze, Unsqueeze too */
nn_status onnx_transpose(onnx *o);
nn_status onnx_concat(onnx *o);
nn_status onnx_slice(onnx *o);
nn_status onnx_split(onnx *o);
nn_status onnx_gather(onnx *o);
nn_status onnx_pad(onnx *o);
nn_status onnx_arithmetic(onnx *o);

#endif

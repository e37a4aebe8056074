/*
** What a network is made of in memory: the types of layers, blobs, a layer with
** all that its description said, and one step of the forward pass.
**
** network.c fills these from a model's description, shape.c and plan.c complete
** them, and the files named below compute with them.  A layer is one struct for
** every type, whose members say which types they belong to: a network has at
** most a thousand, and whoever reads one looks at its type first.
*/
#ifndef BINHASH_NN_LAYER_H
#define BINHASH_NN_LAYER_H

#include <stddef.h>
#include <stdint.h>

#define NN_BOTTOM_MAX 64     /* inputs of a layer */

typedef struct nn_blas nn_blas;

typedef enum nn_type {
  NN_CONVOLUTION,
  NN_INNER_PRODUCT,
  NN_POOLING,
  NN_LRN,
  NN_RELU,
  NN_SIGMOID,
  NN_SOFTMAX,
  NN_BATCH_NORM,
  NN_ELTWISE,
  NN_CONCAT,
  NN_FLATTEN,
  NN_MIRROR_MEAN,
  NN_CLIP,
  NN_HARD_SIGMOID,
  NN_HARD_SWISH,
  NN_SCALE,
  NN_CONSTANT,
  NN_PADDING,
  NN_SHUFFLE_CHANNEL,
  NN_SLICE,
  NN_RESHAPE,
  NN_PERMUTE,
  NN_LOOKUP
} nn_type;

typedef enum nn_operation {
  NN_SUM,
  NN_PROD,
  NN_SUB,
  NN_DIV,
  NN_MAX
} nn_operation;

typedef enum nn_padding {
  NN_PAD_CONSTANT,
  NN_PAD_REFLECT,
  NN_PAD_EDGE
} nn_padding;

/*
** What the integers of a blob stand for: value = (q - zero) * scale.  Bytes lie
** as NHWC, each position's channels filled up to a multiple of 4; sums are
** int32, NHWC without filling.
*/
typedef struct nn_quant {
  int sums;               /* 32-bit integers, zero 0, a scale per channel */
  int max;                /* bytes: the largest q */
  float scale;            /* bytes */
  const uint8_t *zero;    /* bytes: of channel c, zero[c / span] */
  size_t span;
  const float *scales;    /* sums: of channel c, scales[c * scales_step] */
  int scales_step;        /* 1, or 0 where there is one for all */
} nn_quant;

/* Blob 0 is the input, blob i + 1 what layer i writes. */
typedef struct nn_blob {
  const char *name;
  int c, h, w;
  size_t size;       /* c * h * w, values of one image */
  size_t slots;      /* its memory in pieces of 4 bytes; size of floats */
  int readers;       /* layers that read it, one that reads twice counts 2 */
  int last_reader;   /* index of the last of them, -1 */
  int branch;        /* the lowest blob that it is tied to, pixels apart */
  int batched;       /* kept for all images of a batch at once */
  size_t offset;     /* slots: batched, times the batch; else of one image */
  nn_quant quant;    /* in integer networks */
} nn_blob;

/* What a layer of an integer network has beside its geometry; an inner product
** is a convolution whose kernel is the whole plane. */
typedef struct nn_whole {
  const int8_t *weight;         /* as in the file, [O][C / group][kh][kw] */
  const int32_t *bias;          /* as in the file; NULL: zeros */
  const int32_t *multiplier, *shift;   /* of each channel */
  int32_t *folded;              /* bias - sum of weight * zero point */
  int8_t *packed;               /* packed.c: weights as the kernels want them */
  uint8_t *outside;             /* packed.c: a position outside of the image */
  uint8_t *alone;               /* packed.c: what each channel's bytes become */
  int16_t *words;               /* whole.c: what it makes of them, or NULL */
  int *factor;                  /* eltwise, concat: of each bottom */
  int32_t *constant;            /* eltwise, concat: mix.c */
  int32_t *gather;              /* gather.c: where each byte comes from */
  int fill;                     /* padding: a byte; -1: the zero points */
  int right;                    /* shift that is a number: bits */
  int sum_shift;                /* LRN */
  const int32_t *table;         /* LRN, softmax */
  int entries;                  /* of it */
  const uint8_t *lookup;        /* sigmoid, lookup; constant */
} nn_whole;

/* Pairs are [height, width]; pad is top, left, bottom, right. */
typedef struct nn_layer {
  nn_type type;
  const char *name;
  int *bottom;            /* blobs that it reads */
  int bottoms;
  int top;                /* the blob that it writes */
  int in_place;           /* top lies where this bottom lay; -1: nowhere */
  int kernel[2], stride[2], pad[4], dilation[2], group;
  int average;            /* pooling: AVE, not MAX */
  int ceil;               /* pooling: Caffe's rounding, not PyTorch's */
  int include_pad;        /* pooling: the divisor counts padding */
  int local_size;         /* LRN */
  float alpha, beta, k;   /* LRN; HardSigmoid: alpha * x + beta */
  float slope;            /* ReLU: of what is negative */
  float low, high;        /* Clip */
  nn_operation operation; /* Eltwise */
  float *coeff;           /* Eltwise, SUM: of each bottom; NULL: ones */
  nn_padding padding;     /* Padding */
  float value;            /* Padding: what is constant */
  int axis;               /* Softmax, Concat, Slice: 1 to 3 for C, H, W */
  int begin, end;         /* Slice */
  int dims[3];            /* Reshape: what it writes */
  int order[3];           /* Permute: the axis of the bottom, 0 to 2 */
  int weights, biases;    /* Scale: how many, C or 1 */
  float eps;              /* batch norm */
  const float *mean, *variance;
  const float *weight, *bias;     /* bias NULL: zeros; a norm's weight: ones */
  const uint16_t *halves; /* InnerProduct: weights in 16 bits, weight is NULL */
  float *scale, *shift;           /* batch norm as x * scale + shift */
  float *folded_scale, *folded_bias;   /* of its sums, for that norm */
  size_t *taps;           /* convolve.c: where they look */
  const float *winograd;  /* cut.c: what it makes of the weights, NULL */
  int norm;               /* that batch norm's layer, -1 */
  int relu;               /* the ReLU done in the same pass, -1 */
  int absorbed;           /* one that the layer before can do (plan.c) */
  nn_whole whole;         /* in integer networks */
} nn_layer;

/* Convolutions, pooling: no padding; and one tap that sees each position. */
static inline int nn_layer_unpadded(const nn_layer *l) {
  return !l->pad[0] && !l->pad[1] && !l->pad[2] && !l->pad[3];
}

static inline int nn_layer_pointwise(const nn_layer *l) {
  return l->kernel[0] == 1 && l->kernel[1] == 1 && l->stride[0] == 1 &&
         l->stride[1] == 1 && nn_layer_unpadded(l);
}

/* One layer over n images ------------------------------------------------- */

typedef struct nn_step {
  const nn_layer *layer;
  const nn_blob *blobs;         /* the model's, for shapes */
  int n;
  const float *in[NN_BOTTOM_MAX];
  float *out;                   /* may be the in[] that is in place */
  const float *weight;
  const float *scale, *bias;    /* of the sums; NULL: ones, zeros */
  int relu;                     /* convolution, inner product: clamp at 0 */
  float *scratch;
  const nn_blas *blas;          /* multiplies, if it is not NULL */
  const struct nn_float_form *form;   /* else this does (floats.h) */
  struct nn_team *team;
  float *private_scratch;       /* NN_FLOAT_SCRATCH for each of the team */
} nn_step;

void nn_layer_fast(const nn_step *step);
void nn_layer_reference(const nn_step *step);
/* Floats of private memory that the fast form of a layer wants. */
size_t nn_layer_scratch(const nn_layer *layer, const nn_blob *blobs);
/* The window of a pooling's output position `at` along an axis, clipped to the
** input; returns how many positions the divisor of an average counts. */
int nn_pool_window(const nn_layer *layer, int axis, int side, int at, int *low,
                   int *high);

/* depthwise.c: convolutions whose groups have one channel to read. */
int nn_depthwise(const nn_layer *layer, const nn_blob *blobs);
void nn_depthwise_run(const nn_step *step);
/* pointwise.c: layers that compute each element from those in its place. */
void nn_pointwise_run(const nn_step *step);
/* arrange.c: layers that move elements and compute nothing. */
void nn_arrange_run(const nn_step *step);

#endif

/*
** Integer networks for tests: layers of random geometry and numbers, written
** into a model file by the builder and computed by integer_definition.h.
** No expression draws twice: C leaves the order of its operands to the compiler,
** and every build is to test the same networks.
** Include after cmocka.h.
*/
#ifndef BINHASH_INTEGER_TEST_H
#define BINHASH_INTEGER_TEST_H

#include <math.h>

#include "../../nn/nn_int.h"
#include "model_builder.h"

#define NET_MAX 24

typedef struct net_blob {
  int c, h, w, sums, max;
  int *zero;           /* of each channel */
  double *scale;       /* of each channel */
  int64_t *q;          /* of one image */
} net_blob;

typedef struct net_layer {
  nn_type type;
  int bottom[4], bottoms;
  int k[2], s[2], p[4], d[2], group;
  int average, include_pad;
  int8_t *weight;
  int32_t *bias, *m, *shift, *table;
  uint8_t lookup[256];
  int factor[4], right, sum_shift, local, n;
  nn_operation operation;
  int axis, begin, dims[3], mode, fill;   /* of layers that move bytes */
} net_layer;

/* Layer i writes blob i + 1. */
typedef struct net {
  builder b;
  int extreme;         /* 1: weights are 127, 2: -128, 3: one of them */
  int outputs;         /* of filters to come, as near as groups let; 0: any */
  int filter[2];       /* convolutions have these kernels and strides, */
  int strides[2];      /* which are 1 where they are 0, */
  int groups, each;    /* and so many groups and outputs of a group; or 0; */
  int unpadded;        /* 1: and no padding */
  int local;           /* LRN's local_size; 0: any up to 9 */
  net_blob blobs[NET_MAX + 1];
  net_layer layers[NET_MAX];
  int count;
  int mirror, mirrors; /* the first MirrorMean, -1, and how many in a row */
} net;

/* Numbers ----------------------------------------------------------------- */

static inline void *net_alloc(size_t n, size_t size) {
  void *p = calloc(n + !n, size);
  if (!p) abort();
  return p;
}

static inline size_t net_size(const net_blob *b) {
  return (size_t)b->c * (size_t)b->h * (size_t)b->w;
}

/* 16 significant bits around 2^exponent. */
static inline double net_scale(builder *b, int exponent) {
  return ldexp(builder_pick(b, 32768, 65535), exponent - 16);
}

static inline int64_t net_floor(int64_t a, int64_t unit) {
  int64_t q = a / unit;
  return q * unit > a ? q - 1 : q;
}

static inline int64_t net_requantise(int64_t a, int64_t m, int s) {
  return net_floor(a * m + ((int64_t)1 << (s - 1)), (int64_t)1 << s);
}

static inline int64_t net_clamp(int64_t x, int64_t max) {
  return x < 0 ? 0 : x > max ? max : x;
}

/* Opening ----------------------------------------------------------------- */

static inline void net_open(net *t, uint64_t seed, int c, int h, int w) {
  char zeros[1024] = "[";
  int zero[64], some = seed % 3 != 0;
  builder b = {.random = seed * 0x9e3779b97f4a7c15u + 77};
  memset(t, 0, sizeof(*t));
  t->mirror = -1;
  for (int i = 0; i < c; i++) {
    char one[8];
    zero[i] = some ? builder_pick(&b, 0, 255) : 0;
    snprintf(one, sizeof(one), i ? ",%d" : "%d", zero[i]);
    strcat(zeros, one);
  }
  strcat(zeros, "]");
  builder_open(&t->b, seed, c, h, w);
  t->b.network.n = 0;
  builder_printf(&t->b.network, "\"input\":{\"name\":\"l0\","
                 "\"channels\":%d,\"height\":%d,\"width\":%d,"
                 "\"zero_point\":%s}", c, h, w, zeros);
  net_blob *in = &t->blobs[0];
  *in = (net_blob){.c = c, .h = h, .w = w, .max = 255};
  in->zero = net_alloc((size_t)c, sizeof(int));
  in->scale = net_alloc((size_t)c, sizeof(double));
  in->q = net_alloc(net_size(in), sizeof(int64_t));
  memcpy(in->zero, zero, (size_t)c * sizeof(int));
  for (int i = 0; i < c; i++) in->scale[i] = 1;
}

static inline void net_close(net *t) {
  for (int i = 0; i <= t->count; i++) {
    free(t->blobs[i].zero);
    free(t->blobs[i].scale);
    free(t->blobs[i].q);
  }
  for (int i = 0; i < t->count; i++) {
    net_layer *l = &t->layers[i];
    free(l->weight);
    free(l->bias);
    free(l->m);
    free(l->shift);
    free(l->table);
  }
  builder_close(&t->b);
}

/* The blob that the layer being added writes; quantities like `like`'s, each
** channel standing for `repeat` of it. */
static inline net_blob *net_top(net *t, int c, int h, int w,
                                const net_blob *like, int repeat) {
  net_blob *top = &t->blobs[t->count + 1];
  *top = (net_blob){.c = c, .h = h, .w = w, .max = like ? like->max : 127};
  top->zero = net_alloc((size_t)c, sizeof(int));
  top->scale = net_alloc((size_t)c, sizeof(double));
  top->q = net_alloc(net_size(top), sizeof(int64_t));
  for (int i = 0; like && i < c; i++) {
    top->zero[i] = like->zero[i / repeat];
    top->scale[i] = like->scale[i / repeat];
  }
  return top;
}

/* Members scale, zero_point and max, random, for a layer that writes bytes. */
static inline const char *net_bytes(net *t, net_blob *top) {
  static char text[128];
  builder *b = &t->b;
  double scale = net_scale(b, builder_pick(b, -20, 20));
  int plain = builder_pick(b, 0, 2) == 0;
  int max = plain                   ? 127
            : builder_pick(b, 0, 3) ? 255
                                    : builder_pick(b, 1, 255);
  int zero = plain ? 0 : builder_pick(b, 0, max);
  top->max = max;
  for (int c = 0; c < top->c; c++) {
    top->zero[c] = zero;
    top->scale[c] = scale;
  }
  snprintf(text, sizeof(text), ",\"scale\":%.17g", scale);
  if (!plain) {
    snprintf(text, sizeof(text),
             ",\"scale\":%.17g,\"zero_point\":%d,\"max\":%d", scale, zero, max);
  }
  return text;
}

/* Layers ------------------------------------------------------------------ */

static inline int net_window(int side, int before, int after, int kernel,
                             int stride, int dilation, int ceiling) {
  int room = side + before + after - (dilation * (kernel - 1) + 1);
  if (room < 0) return 0;
  int out = (ceiling ? (room + stride - 1) / stride : room / stride) + 1;
  if (ceiling && (out - 1) * stride >= side + before) out--;
  return out;
}

/* Whether some window of a pooling has no pixel, which is refused. */
static inline int net_hollow(const net_layer *l, const net_blob *in, int h,
                             int w) {
  for (int axis = 0; axis < 2; axis++) {
    int side = axis ? in->w : in->h;
    for (int at = 0; at < (axis ? w : h); at++) {
      int inside = 0;
      for (int k = 0; k < l->k[axis]; k++) {
        int tap = at * l->s[axis] - l->p[axis] + k * l->d[axis];
        inside += tap >= 0 && tap < side;
      }
      if (!inside) return 1;
    }
  }
  return 0;
}

static inline void net_geometry(net *t, net_layer *l, const net_blob *in,
                                int *h, int *w, int pool, int ceiling) {
  builder *b = &t->b;
  do {
    for (int i = 0; i < 2; i++) {
      l->k[i] = builder_pick(b, 1, builder_pick(b, 0, 3) ? 3 : 5);
      l->s[i] = builder_pick(b, 1, builder_pick(b, 0, 2) ? 1 : 3);
      l->d[i] = builder_pick(b, 0, 3) ? 1 : builder_pick(b, 2, 3);
      l->p[i] = builder_pick(b, 0, pool ? l->k[i] - 1 : 3);
      l->p[i + 2] = builder_pick(b, 0, pool ? l->k[i] - 1 : 3);
      if (!pool && t->unpadded) l->p[i] = l->p[i + 2] = 0;
      if (!pool && t->filter[i]) {
        l->k[i] = t->filter[i];
        l->s[i] = t->strides[i] ? t->strides[i] : 1;
        l->d[i] = 1;
      }
    }
    *h = net_window(in->h, l->p[0], l->p[2], l->k[0], l->s[0], l->d[0],
                    ceiling);
    *w = net_window(in->w, l->p[1], l->p[3], l->k[1], l->s[1], l->d[1],
                    ceiling);
  } while (*h < 1 || *w < 1 || *h > 40 || *w > 40 ||
           (pool && net_hollow(l, in, *h, *w)));
}

/* multiplier and shift of n channels, for values of about 2^bits. */
static inline void net_requantisation(net *t, net_layer *l, const char *name,
                                      int n, int bits) {
  char tensor[32];
  builder *b = &t->b;
  l->m = net_alloc((size_t)n, 4);
  l->shift = net_alloc((size_t)n, 4);
  for (int i = 0; i < n; i++) {
    int special = builder_pick(b, 0, 40);
    l->m[i] = (int32_t)(builder_random(b) >> 1 | 1u << 29);
    l->shift[i] = 30 + bits - 6 + builder_pick(b, -1, 1);
    if (special == 0) l->m[i] = 0;
    if (special == 1) l->m[i] = INT32_MAX;
    if (special == 2) l->shift[i] = 1;
    if (special == 3) l->shift[i] = 62;
    if (special == 4) l->m[i] = builder_pick(b, 1, 200);
  }
  snprintf(tensor, sizeof(tensor), "%s.m", name);
  builder_i32(b, tensor, n, l->m);
  snprintf(tensor, sizeof(tensor), "%s.s", name);
  builder_i32(b, tensor, n, l->shift);
}

static inline void net_add_filters(net *t, net_layer *l, const char *name,
                                   const net_blob *in, int sums) {
  builder *b = &t->b;
  char members[512] = "", tensor[32], more[256] = "";
  int h = 1, w = 1, product = l->type == NN_INNER_PRODUCT;
  l->group = 1;
  l->s[0] = l->s[1] = l->d[0] = l->d[1] = 1;
  l->k[0] = in->h;
  l->k[1] = in->w;
  if (!product) {
    int special = builder_pick(b, 0, 5), groups = builder_pick(b, 1, 6);
    net_geometry(t, l, in, &h, &w, 0, 0);
    if (special == 0) l->group = in->c;
    else if (special < 3 && in->c % groups == 0) l->group = groups;
    if (t->groups) l->group = t->groups;
  }
  int each = builder_pick(b, 1, l->group == 1 ? 40 : builder_pick(b, 1, 20));
  if (t->outputs) each = (t->outputs + l->group - 1) / l->group;
  if (t->each && !product) each = t->each;
  net_blob *top = net_top(t, l->group * each, h, w, NULL, 1);
  int depth = in->c / l->group;
  int shape[4] = {top->c, depth, l->k[0], l->k[1]};
  size_t n = (size_t)top->c * (size_t)(depth * l->k[0] * l->k[1]);
  l->weight = net_alloc(n, 1);
  for (size_t i = 0; i < n; i++) {
    int any = builder_pick(b, -128, 127);
    int end = t->extreme == 3 ? builder_pick(b, 1, 2) : t->extreme;
    l->weight[i] = (int8_t)(end == 1 ? 127 : end == 2 ? -128 : any);
  }
  if (product) shape[1] = in->c * in->h * in->w;
  snprintf(tensor, sizeof(tensor), "%s.w", name);
  builder_i8(b, tensor, product ? 2 : 4, shape, l->weight);
  if (builder_pick(b, 0, 2)) {
    l->bias = net_alloc((size_t)top->c, 4);
    for (int i = 0; i < top->c; i++) {
      int32_t any = (int32_t)builder_random(b);
      l->bias[i] = any >> builder_pick(b, 8, 31);
    }
    snprintf(tensor, sizeof(tensor), "%s.b", name);
    builder_i32(b, tensor, top->c, l->bias);
    snprintf(members, sizeof(members), ",\"bias\":\"%s\"", tensor);
  }
  if (!product) {
    snprintf(members + strlen(members), 300,
             ",\"kernel_size\":[%d,%d],\"stride\":[%d,%d],"
             "\"pad\":[%d,%d,%d,%d],\"dilation\":[%d,%d],\"group\":%d",
             l->k[0], l->k[1], l->s[0], l->s[1], l->p[0], l->p[1], l->p[2],
             l->p[3], l->d[0], l->d[1], l->group);
  }
  if (sums) {
    float *scales = net_alloc((size_t)top->c, sizeof(float));
    double one = net_scale(b, -9);
    top->sums = 1;
    for (int c = 0; c < top->c; c++) {
      top->scale[c] = sums == 2 ? one : net_scale(b, builder_pick(b, -30, 9));
      scales[c] = (float)top->scale[c];
    }
    snprintf(tensor, sizeof(tensor), "%s.v", name);
    builder_vector(b, tensor, top->c, scales);
    free(scales);
    snprintf(more, sizeof(more), ",\"scales\":\"%s.v\"", name);
  } else {
    int bits = 12 + (int)(log2((double)n / top->c) / 2);
    net_requantisation(t, l, name, top->c, bits);
    snprintf(more, sizeof(more),
             ",\"multiplier\":\"%s.m\",\"shift\":\"%s.s\"%s", name, name,
             net_bytes(t, top));
  }
  builder_layer(b, "\"name\":\"%s\",\"type\":\"%s\",\"bottom\":[\"l%d\"],"
                "\"num_output\":%d,\"weight\":\"%s.w\"%s%s", name,
                product ? "InnerProduct" : "Convolution", l->bottom[0], top->c,
                name, members, more);
}

static inline void net_add_pooling(net *t, net_layer *l, const char *name,
                                   const net_blob *in) {
  builder *b = &t->b;
  int h, w, ceiling = builder_pick(b, 0, 1);
  l->average = builder_pick(b, 0, 1);
  l->include_pad = 1;
  const char *pool = l->average ? "AVE" : "MAX";
  if (builder_pick(b, 0, 4) == 0) {
    l->k[0] = in->h;
    l->k[1] = in->w;
    l->s[0] = l->s[1] = l->d[0] = l->d[1] = 1;
    net_top(t, in->c, 1, 1, in, 1);
    builder_layer(b, "\"name\":\"%s\",\"type\":\"Pooling\",\"bottom\":"
                  "[\"l%d\"],\"pool\":\"%s\",\"global_pooling\":true", name,
                  l->bottom[0], pool);
    return;
  }
  net_geometry(t, l, in, &h, &w, 1, ceiling);
  l->include_pad = builder_pick(b, 0, 1);
  net_top(t, in->c, h, w, in, 1);
  builder_layer(b, "\"name\":\"%s\",\"type\":\"Pooling\",\"bottom\":"
                "[\"l%d\"],\"pool\":\"%s\",\"kernel_size\":[%d,%d],"
                "\"stride\":[%d,%d],\"pad\":[%d,%d,%d,%d],"
                "\"dilation\":[%d,%d],\"round_mode\":\"%s\",\"count_include_pad\":%s", name,
                l->bottom[0], pool, l->k[0], l->k[1], l->s[0], l->s[1],
                l->p[0], l->p[1], l->p[2], l->p[3], l->d[0], l->d[1],
                ceiling ? "CEIL" : "FLOOR", l->include_pad ? "true" : "false");
}

/* The sides of a join: of an Eltwise the largest, along a Concat's axis, which
** is any where nothing is in the way, their sum. */
static inline void net_join_sides(net *t, net_layer *l, int side[3]) {
  int alike = 1, concat = l->type == NN_CONCAT;
  for (int j = 1; j < l->bottoms; j++) {
    alike &= t->blobs[l->bottom[j]].c == t->blobs[l->bottom[0]].c;
  }
  l->axis = concat && alike ? builder_pick(&t->b, 1, 3) : 1;
  side[0] = side[1] = side[2] = 0;
  for (int j = 0; j < l->bottoms; j++) {
    const net_blob *in = &t->blobs[l->bottom[j]];
    int own[3] = {in->c, in->h, in->w};
    for (int k = 0; k < 3; k++) {
      if (concat && k == l->axis - 1) side[k] += own[k];
      else if (own[k] > side[k]) side[k] = own[k];
    }
  }
}

static inline void net_add_product(net *t, net_layer *l, const char *name,
                                   const int side[3]) {
  builder *b = &t->b;
  l->factor[0] = (int)(builder_random(b) >> builder_pick(b, 1, 31));
  l->right = builder_pick(b, 0, 5) ? builder_pick(b, 30, 42)
                                   : builder_pick(b, 1, 62);
  net_blob *top = net_top(t, side[0], side[1], side[2], NULL, 1);
  builder_layer(b, "\"name\":\"%s\",\"type\":\"Eltwise\",\"bottom\":"
                "[\"l%d\",\"l%d\"],\"operation\":\"PROD\","
                "\"multiplier\":%d,\"shift\":%d%s", name, l->bottom[0],
                l->bottom[1], l->factor[0], l->right, net_bytes(t, top));
}

static inline void net_add_join(net *t, net_layer *l, const char *name) {
  builder *b = &t->b;
  int concat = l->type == NN_CONCAT, side[3], pick = builder_pick(b, 0, 3);
  net_join_sides(t, l, side);
  l->operation = NN_SUM;
  if (!concat && pick == 3) l->operation = NN_MAX;
  if (!concat && pick == 2 && l->bottoms == 2) {
    l->operation = NN_PROD;
    net_add_product(t, l, name, side);
    return;
  }
  char bottoms[128] = "", factors[128] = "";
  /* a sum of at most four bottoms of up to 255, times 2^20, fits 31 bits */
  for (int j = 0; j < l->bottoms; j++) {
    l->factor[j] = builder_pick(b, 0, 1 << builder_pick(b, 0, 20));
    if (!concat && l->operation == NN_SUM && builder_pick(b, 0, 2) == 0) {
      l->factor[j] = -l->factor[j];
    }
    snprintf(bottoms + strlen(bottoms), 32, j ? ",\"l%d\"" : "\"l%d\"",
             l->bottom[j]);
    snprintf(factors + strlen(factors), 32, j ? ",%d" : "%d", l->factor[j]);
  }
  l->right = builder_pick(b, 1, 20);
  char own[64] = "";
  if (concat) snprintf(own, sizeof(own), "\"axis\":%d,", l->axis);
  else if (l->operation == NN_MAX) strcpy(own, "\"operation\":\"MAX\",");
  net_blob *top = net_top(t, side[0], side[1], side[2], NULL, 1);
  builder_layer(b, "\"name\":\"%s\",\"type\":\"%s\",\"bottom\":[%s],"
                "%s\"multiplier\":[%s],\"shift\":%d%s", name,
                concat ? "Concat" : "Eltwise", bottoms, own, factors, l->right,
                net_bytes(t, top));
}

static inline void net_add_table(net *t, net_layer *l, const char *name,
                                 const net_blob *in) {
  builder *b = &t->b;
  char tensor[32], more[256] = "";
  snprintf(tensor, sizeof(tensor), "%s.t", name);
  net_blob *top = net_top(t, in->c, in->h, in->w, NULL, 1);
  const char *word = l->type == NN_SIGMOID ? "Sigmoid"
                     : l->type == NN_LOOKUP ? "Lookup"
                     : l->type == NN_LRN   ? "LRN"
                                           : "Softmax";
  if (l->type == NN_SIGMOID || l->type == NN_LOOKUP) {
    const char *bytes = net_bytes(t, top);
    for (int i = 0; i < 256; i++) {
      l->lookup[i] = (uint8_t)builder_pick(b, 0, top->max);
    }
    builder_u8(b, tensor, 256, l->lookup);
    snprintf(more, sizeof(more), "%s%s", bytes,
             in->sums ? ",\"multiplier\":\"@.m\",\"shift\":\"@.s\"" : "");
    for (char *at; (at = strchr(more, '@'));) {
      char rest[256];
      strcpy(rest, at + 1);
      snprintf(at, sizeof(more) - (size_t)(at - more), "%s%s", name, rest);
    }
    if (in->sums) net_requantisation(t, l, name, in->c, 14);
  } else {
    l->n = builder_pick(b, 0, 1) ? builder_pick(b, 1, 5)
                                 : builder_pick(b, 6, 400);
    l->table = net_alloc((size_t)l->n, 4);
    int lrn = l->type == NN_LRN;
    for (int i = 0; i < l->n; i++) {
      l->table[i] = (int32_t)(builder_random(b) >> (lrn ? 1 : 2));
    }
    if (!lrn) l->table[0] = l->table[0] % (1 << 29) + 1;
    builder_i32(b, tensor, l->n, l->table);
    l->right = lrn ? builder_pick(b, 26, 32) : builder_pick(b, 0, 30);
    l->local = 2 * builder_pick(b, 0, 4) + 1;
    if (t->local) l->local = t->local;
    l->sum_shift = builder_pick(b, 0, 12);
    snprintf(more, sizeof(more), ",\"shift\":%d", l->right);
    if (lrn) {
      snprintf(more, sizeof(more),
               ",\"shift\":%d,\"local_size\":%d,\"sum_shift\":%d%s", l->right,
               l->local, l->sum_shift, net_bytes(t, top));
    } else {
      top->sums = 1;
      for (int c = 0; c < top->c; c++) top->scale[c] = 0x1p-24;
    }
  }
  builder_layer(b, "\"name\":\"%s\",\"type\":\"%s\",\"bottom\":[\"l%d\"],"
                "\"table\":\"%s\"%s", name, word, l->bottom[0], tensor, more);
}

#include "integer_moves_test.h"

/* Add a layer that reads the given blobs; sums: 1 a scale for each channel, 2
** one for all.  The input is called l0. */
static inline int net_add(net *t, nn_type type, int bottoms, const int *bottom,
                          int sums) {
  net_layer *l = &t->layers[t->count];
  const net_blob *in = &t->blobs[bottom[0]];
  char name[16];
  snprintf(name, sizeof(name), "l%d", t->count + 1);
  if (net_moves(type) && !net_uniform(in)) type = NN_PADDING;
  l->type = type;
  l->bottoms = bottoms;
  memcpy(l->bottom, bottom, (size_t)bottoms * sizeof(int));
  switch (type) {
    case NN_CONVOLUTION:
    case NN_INNER_PRODUCT: net_add_filters(t, l, name, in, sums); break;
    case NN_POOLING: net_add_pooling(t, l, name, in); break;
    case NN_ELTWISE:
    case NN_CONCAT: net_add_join(t, l, name); break;
    case NN_SIGMOID:
    case NN_LOOKUP:
    case NN_LRN:
    case NN_SOFTMAX: net_add_table(t, l, name, in); break;
    case NN_PADDING: net_add_padding(t, l, name, in); break;
    case NN_SLICE:
    case NN_SHUFFLE_CHANNEL:
    case NN_PERMUTE:
    case NN_RESHAPE: net_add_moved(t, l, name, in); break;
    case NN_CONSTANT:
      /* some sides of what it goes with, and the others 1 */
      l->dims[0] = builder_pick(&t->b, 0, 1) ? in->c : 1;
      l->dims[1] = builder_pick(&t->b, 0, 1) ? in->h : 1;
      l->dims[2] = builder_pick(&t->b, 0, 1) ? in->w : 1;
      net_add_constant(t, l, name);
      break;
    default:
      if (type == NN_FLATTEN) {
        net_top(t, in->c * in->h * in->w, 1, 1, in, in->h * in->w);
      } else {
        net_top(t, in->c, in->h, in->w, in, 1);
      }
      if (type == NN_MIRROR_MEAN && !t->mirrors++) t->mirror = t->count;
      builder_layer(&t->b, "\"name\":\"%s\",\"type\":\"%s\",\"bottom\":"
                    "[\"l%d\"]", name,
                    type == NN_FLATTEN ? "Flatten"
                    : type == NN_RELU  ? "ReLU"
                                       : "MirrorMean", bottom[0]);
  }
  return ++t->count;
}

#include "integer_definition.h"

#endif

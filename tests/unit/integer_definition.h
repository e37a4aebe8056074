/*
** Integer networks as weights/README.md defines them, in NCHW and 64 bits, by
** code that shares nothing with nn/.  Part of integer_test.h, which draws them.
*/
#ifndef BINHASH_INTEGER_DEFINITION_H
#define BINHASH_INTEGER_DEFINITION_H

static inline int64_t net_filter(const net_layer *l, const net_blob *in,
                                 const net_blob *top, int o, int y, int x) {
  int depth = in->c / l->group, g = o / (top->c / l->group);
  int64_t sum = l->bias ? l->bias[o] : 0;
  const int8_t *w = l->weight + (size_t)o * (size_t)(depth * l->k[0] * l->k[1]);
  for (int c = g * depth; c < (g + 1) * depth; c++) {
    for (int i = 0; i < l->k[0]; i++) {
      for (int j = 0; j < l->k[1]; j++, w++) {
        int iy = y * l->s[0] + i * l->d[0] - l->p[0];
        int ix = x * l->s[1] + j * l->d[1] - l->p[1];
        if (iy < 0 || iy >= in->h || ix < 0 || ix >= in->w) continue;
        sum += *w * (net_at(in, c, iy, ix) - in->zero[c]);
      }
    }
  }
  if (top->sums) return sum;
  return net_clamp(top->zero[o] + net_requantise(sum, l->m[o], l->shift[o]),
                   top->max);
}

static inline int64_t net_pool(const net_layer *l, const net_blob *in, int c,
                               int y, int x) {
  int64_t sum = 0, most = -1, inside = 0, padded = 0;
  int y0 = y * l->s[0] - l->p[0], x0 = x * l->s[1] - l->p[1];
  for (int i = 0; i < l->k[0]; i++) {
    for (int j = 0; j < l->k[1]; j++) {
      int iy = y0 + i * l->d[0], ix = x0 + j * l->d[1];
      padded += iy < in->h + l->p[2] && ix < in->w + l->p[3];
      if (iy < 0 || iy >= in->h || ix < 0 || ix >= in->w) continue;
      inside++;
      int64_t q = net_at(in, c, iy, ix);
      sum += q - in->zero[c];
      most = q > most ? q : most;
    }
  }
  int64_t d = l->include_pad ? padded : inside;
  return l->average ? in->zero[c] + net_floor(2 * sum + d, 2 * d) : most;
}

static inline int64_t net_join(const net *t, const net_layer *l,
                               const net_blob *top, int c, int y, int x) {
  int64_t sum = 0;
  int prod = l->type == NN_ELTWISE && l->operation == NN_PROD;
  for (int j = 0; j < l->bottoms; j++) {
    const net_blob *in = &t->blobs[l->bottom[j]];
    if (l->type == NN_CONCAT) {
      int *at = l->axis == 1 ? &c : l->axis == 2 ? &y : &x;
      int side = l->axis == 1 ? in->c : l->axis == 2 ? in->h : in->w;
      if (*at >= side) {
        *at -= side;
        continue;
      }
    }
    int cj = in->c == 1 ? 0 : c, yj = in->h == 1 ? 0 : y;
    int64_t value = net_at(in, cj, yj, in->w == 1 ? 0 : x) - in->zero[cj];
    if (prod) sum = j ? sum * value : value;
    else if (l->operation == NN_MAX && j && l->factor[j] * value < sum) {}
    else if (l->operation == NN_MAX) sum = l->factor[j] * value;
    else sum += l->factor[j] * value;
    if (l->type == NN_CONCAT) break;
  }
  sum = net_requantise(sum, prod ? l->factor[0] : 1, l->right);
  return net_clamp(top->zero[0] + sum, top->max);
}

static inline int64_t net_lrn(const net_layer *l, const net_blob *in,
                              const net_blob *top, int c, int y, int x) {
  int64_t sum = 0;
  for (int i = 0; i < in->c; i++) {
    int64_t v = net_at(in, i, y, x) - in->zero[i];
    if (abs(i - c) <= l->local / 2) sum += v * v;
  }
  sum >>= l->sum_shift;
  int32_t entry = l->table[sum < l->n ? sum : l->n - 1];
  return net_clamp(top->zero[0] + net_requantise(net_at(in, c, y, x) -
                                                 in->zero[c], entry, l->right),
                   top->max);
}

static inline int64_t net_softmax(const net_layer *l, const net_blob *in,
                                  int c, int y, int x) {
  int64_t most = INT64_MIN, total = 0, own = 0;
  for (int i = 0; i < in->c; i++) {
    if (net_at(in, i, y, x) > most) most = net_at(in, i, y, x);
  }
  for (int i = 0; i < in->c; i++) {
    int64_t at = net_floor(most - net_at(in, i, y, x), (int64_t)1 << l->right);
    int64_t e = l->table[at < l->n ? at : l->n - 1];
    total += e;
    if (i == c) own = e;
  }
  return net_floor(own * (1 << 24) + total / 2, total);
}

static inline int64_t net_result(const net *t, const net_layer *l,
                                 const net_blob *top, int c, int y, int x) {
  const net_blob *in = &t->blobs[l->bottom[0]];
  int64_t q;
  switch (l->type) {
    case NN_CONVOLUTION: return net_filter(l, in, top, c, y, x);
    case NN_INNER_PRODUCT: return net_filter(l, in, top, c, 0, 0);
    case NN_POOLING: return net_pool(l, in, c, y, x);
    case NN_ELTWISE:
    case NN_CONCAT: return net_join(t, l, top, c, y, x);
    case NN_LRN: return net_lrn(l, in, top, c, y, x);
    case NN_SOFTMAX: return net_softmax(l, in, c, y, x);
    case NN_FLATTEN: return in->q[c];
    case NN_PADDING:
    case NN_SLICE:
    case NN_SHUFFLE_CHANNEL:
    case NN_PERMUTE:
    case NN_RESHAPE: return net_moved(l, in, top, c, y, x);
    case NN_CONSTANT: return (uint8_t)l->weight[(c * top->h + y) * top->w + x];
    default: break;
  }
  q = net_at(in, c, y, x);
  if (l->type == NN_RELU) return q > in->zero[c] ? q : in->zero[c];
  if (l->type == NN_MIRROR_MEAN) return q;
  if (in->sums) {
    q = net_clamp(128 + net_requantise(q, l->m[c], l->shift[c]), 255);
  }
  return l->lookup[q];
}

/* Layers [from, to) of what lies in blobs[0].q. */
static inline void net_compute(net *t, int from, int to) {
  for (int i = from; i < to; i++) {
    net_blob *top = &t->blobs[i + 1];
    int64_t *q = top->q;
    for (int c = 0; c < top->c; c++) {
      for (int y = 0; y < top->h; y++) {
        for (int x = 0; x < top->w; x++) {
          *q++ = net_result(t, &t->layers[i], top, c, y, x);
        }
      }
    }
  }
}

/* The whole network on one image, every blob that of the picture as it is, and
** the mean of both at the MirrorMeans. */
static inline void net_run(net *t, const float *image) {
  net_blob *in = &t->blobs[0], *means = &t->blobs[t->mirror + 1];
  size_t n = net_size(in), w = (size_t)in->w;
  int behind = t->mirrors ? t->mirror + t->mirrors : 0;
  int64_t *other[NET_MAX] = {NULL};
  for (size_t i = 0; i < n; i++) {
    in->q[i] = (int64_t)image[i / w * w + w - 1 - i % w];
  }
  if (t->mirrors) net_compute(t, 0, behind);
  for (int j = 0; j < t->mirrors; j++) {
    other[j] = net_alloc(net_size(&means[j]), sizeof(*other[j]));
    memcpy(other[j], means[j].q, net_size(&means[j]) * sizeof(*other[j]));
  }
  for (size_t i = 0; i < n; i++) in->q[i] = (int64_t)image[i];
  net_compute(t, 0, behind);
  for (int j = 0; j < t->mirrors; j++) {
    for (size_t i = 0; i < net_size(&means[j]); i++) {
      means[j].q[i] = (means[j].q[i] + other[j][i] + 1) / 2;
    }
    free(other[j]);
  }
  net_compute(t, behind, t->count);
}

/* Value i of a blob as a number: exact in double, then rounded once. */
static inline float net_value(const net_blob *b, size_t i) {
  size_t c = i / ((size_t)b->h * (size_t)b->w);
  return (float)((double)(b->q[i] - b->zero[c]) * b->scale[c]);
}

#endif

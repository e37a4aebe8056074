/*
** Layers of integer networks that move bytes, for tests: random ones, written
** into the model file, and what they mean.  Part of integer_test.h.
*/
#ifndef BINHASH_INTEGER_MOVES_TEST_H
#define BINHASH_INTEGER_MOVES_TEST_H

/* Whether all channels have one zero point, as most of these layers want. */
static inline int net_uniform(const net_blob *b) {
  for (int c = 1; c < b->c; c++) {
    if (b->zero[c] != b->zero[0]) return 0;
  }
  return 1;
}

static inline int net_moves(nn_type type) {
  return type == NN_SLICE || type == NN_SHUFFLE_CHANNEL ||
         type == NN_PERMUTE || type == NN_RESHAPE;
}

/* A blob of one zero point, that of `in`. */
static inline void net_moved_top(net *t, const net_blob *in,
                                 const int side[3]) {
  net_blob *top = net_top(t, side[0], side[1], side[2], NULL, 1);
  top->max = in->max;
  for (int c = 0; c < top->c; c++) {
    top->zero[c] = in->zero[0];
    top->scale[c] = in->scale[0];
  }
}

static inline void net_add_padding(net *t, net_layer *l, const char *name,
                                   const net_blob *in) {
  static const char *const modes[] = {"constant", "reflect", "edge"};
  builder *b = &t->b;
  char value[32] = "";
  l->mode = builder_pick(b, 0, 2);
  for (int i = 0; i < 4; i++) {
    int side = i % 2 ? in->w : in->h, most = side > 3 ? 3 : side - 1;
    l->p[i] = builder_pick(b, 0, l->mode == 1 ? most : 3);
  }
  l->fill = l->mode == 0 && builder_pick(b, 0, 1)
                ? builder_pick(b, 0, in->max)
                : -1;
  if (l->fill >= 0) snprintf(value, sizeof(value), ",\"value\":%d", l->fill);
  net_top(t, in->c, in->h + l->p[0] + l->p[2], in->w + l->p[1] + l->p[3], in,
          1);
  builder_layer(b, "\"name\":\"%s\",\"type\":\"Padding\",\"bottom\":[\"l%d\"],"
                "\"pad\":[%d,%d,%d,%d],\"mode\":\"%s\"%s", name, l->bottom[0],
                l->p[0], l->p[1], l->p[2], l->p[3], modes[l->mode], value);
}

static inline void net_add_constant(net *t, net_layer *l, const char *name) {
  builder *b = &t->b;
  char tensor[32];
  int side[3];
  for (int k = 0; k < 3; k++) side[k] = l->dims[k];
  net_blob *top = net_top(t, side[0], side[1], side[2], NULL, 1);
  const char *bytes = net_bytes(t, top);
  l->weight = net_alloc(net_size(top), 1);
  for (size_t i = 0; i < net_size(top); i++) {
    l->weight[i] = (int8_t)builder_pick(b, 0, top->max);
  }
  snprintf(tensor, sizeof(tensor), "%s.w", name);
  builder_entry(b, tensor, "U8", 1, 3, side);
  builder_bytes(&b->data, l->weight, net_size(top));
  builder_layer(b, "\"name\":\"%s\",\"type\":\"Constant\",\"weight\":\"%s\"%s",
                name, tensor, bytes);
}

static inline int net_divisor(builder *b, int n) {
  int d = builder_pick(b, 1, n);
  while (n % d) d--;
  return d;
}

static inline void net_add_moved(net *t, net_layer *l, const char *name,
                                 const net_blob *in) {
  static const int orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                   {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
  builder *b = &t->b;
  int side[3] = {in->c, in->h, in->w}, old[3] = {in->c, in->h, in->w};
  char members[128] = "";
  const char *word = "Slice";
  if (l->type == NN_SLICE) {
    l->axis = builder_pick(b, 1, 3);
    l->begin = builder_pick(b, 0, side[l->axis - 1] - 1);
    int end = builder_pick(b, l->begin + 1, side[l->axis - 1]);
    snprintf(members, sizeof(members), "\"axis\":%d,\"begin\":%d,\"end\":%d",
             l->axis, l->begin, end);
    side[l->axis - 1] = end - l->begin;
  } else if (l->type == NN_SHUFFLE_CHANNEL) {
    word = "ShuffleChannel";
    l->group = net_divisor(b, in->c);
    snprintf(members, sizeof(members), "\"group\":%d", l->group);
  } else if (l->type == NN_PERMUTE) {
    word = "Permute";
    memcpy(l->dims, orders[builder_pick(b, 0, 5)], sizeof(l->dims));
    for (int k = 0; k < 3; k++) side[k] = old[l->dims[k]];
    snprintf(members, sizeof(members), "\"order\":[%d,%d,%d]", l->dims[0] + 1,
             l->dims[1] + 1, l->dims[2] + 1);
  } else {
    word = "Reshape";
    side[0] = net_divisor(b, in->c * in->h * in->w);
    side[1] = net_divisor(b, in->c * in->h * in->w / side[0]);
    side[2] = in->c * in->h * in->w / side[0] / side[1];
    snprintf(members, sizeof(members), "\"dims\":[%d,%d,%d]", side[0],
             side[1], side[2]);
  }
  net_moved_top(t, in, side);
  builder_layer(b, "\"name\":\"%s\",\"type\":\"%s\",\"bottom\":[\"l%d\"],%s",
                name, word, l->bottom[0], members);
}

/* The definition ---------------------------------------------------------- */

static inline int64_t net_at(const net_blob *b, int c, int y, int x) {
  return b->q[((size_t)c * (size_t)b->h + (size_t)y) * (size_t)b->w +
              (size_t)x];
}

static inline int64_t net_padded(const net_layer *l, const net_blob *in, int c,
                                 int y, int x) {
  y -= l->p[0];
  x -= l->p[1];
  int outside = y < 0 || y >= in->h || x < 0 || x >= in->w;
  if (outside && l->mode == 0) return l->fill < 0 ? in->zero[c] : l->fill;
  if (l->mode == 1) {
    y = abs(y);
    x = abs(x);
    if (y >= in->h) y = 2 * in->h - 2 - y;
    if (x >= in->w) x = 2 * in->w - 2 - x;
  }
  y = (int)net_clamp(y, in->h - 1);
  x = (int)net_clamp(x, in->w - 1);
  return net_at(in, c, y, x);
}

static inline int64_t net_moved(const net_layer *l, const net_blob *in,
                                const net_blob *top, int c, int y, int x) {
  int to[3] = {c, y, x}, from[3] = {c, y, x};
  if (l->type == NN_PADDING) return net_padded(l, in, c, y, x);
  if (l->type == NN_SLICE) from[l->axis - 1] += l->begin;
  if (l->type == NN_PERMUTE) {
    for (int k = 0; k < 3; k++) from[l->dims[k]] = to[k];
  }
  if (l->type == NN_SHUFFLE_CHANNEL) {
    for (int i = 0; i < in->c; i++) {
      int each = in->c / l->group;
      if (i % each * l->group + i / each == c) from[0] = i;
    }
  }
  if (l->type == NN_RESHAPE) return in->q[(c * top->h + y) * top->w + x];
  return net_at(in, from[0], from[1], from[2]);
}

#endif

/*
** Layers that move elements and compute nothing: Concat, Slice, Permute,
** ShuffleChannel, Padding, Constant, Reshape and Flatten.
**
** Networks that come from other frameworks are full of them: branches that are
** put side by side, halves of a blob that go separate ways, channels that
** change places so that the groups of the next convolution see each other's.
** An array of images lies in memory with its last side together, so everything
** here is copies of the longest pieces that stay whole.
**
** Reshape and Flatten change a shape and no byte; where plan.c lets them write
** over what they read, nothing is done at all.
*/
#include <string.h>

#include "nn_int.h"

static size_t arrange_side(const nn_blob *blob, int axis) {
  return (size_t)(axis == 1 ? blob->c : axis == 2 ? blob->h : blob->w);
}

/* Elements from one step along an axis to the next. */
static size_t arrange_stride(const nn_blob *blob, int axis) {
  if (axis == 3) return 1;
  return axis == 2 ? (size_t)blob->w : (size_t)blob->h * (size_t)blob->w;
}

static void arrange_copy(float *to, const float *from, size_t n) {
  memcpy(to, from, n * sizeof(*to));
}

/* What lies at one place of the sides before the axis is one piece in each
** bottom; the pieces follow each other. */
static void arrange_concat(const nn_step *s) {
  const nn_layer *l = s->layer;
  const nn_blob *top = &s->blobs[l->top];
  size_t outer = (size_t)s->n, piece[NN_BOTTOM_MAX];
  float *to = s->out;
  for (int axis = 1; axis < l->axis; axis++) outer *= arrange_side(top, axis);
  for (int j = 0; j < l->bottoms; j++) {
    const nn_blob *in = &s->blobs[l->bottom[j]];
    piece[j] = arrange_side(in, l->axis) * arrange_stride(in, l->axis);
  }
  for (size_t i = 0; i < outer; i++) {
    for (int j = 0; j < l->bottoms; j++) {
      arrange_copy(to, s->in[j] + i * piece[j], piece[j]);
      to += piece[j];
    }
  }
}

static void arrange_slice(const nn_step *s) {
  const nn_layer *l = s->layer;
  const nn_blob *in = &s->blobs[l->bottom[0]], *top = &s->blobs[l->top];
  size_t outer = (size_t)s->n, stride = arrange_stride(in, l->axis);
  size_t whole = arrange_side(in, l->axis) * stride;
  size_t piece = arrange_side(top, l->axis) * stride;
  const float *from = s->in[0] + (size_t)l->begin * stride;
  for (int axis = 1; axis < l->axis; axis++) outer *= arrange_side(top, axis);
  for (size_t i = 0; i < outer; i++) {
    arrange_copy(s->out + i * piece, from + i * whole, piece);
  }
}

/* Rows along the last side of the output, whose elements lie a stride apart in
** the input. */
static void arrange_permute(const nn_step *s) {
  const nn_layer *l = s->layer;
  const nn_blob *in = &s->blobs[l->bottom[0]], *top = &s->blobs[l->top];
  size_t stride[3];
  float *to = s->out;
  for (int i = 0; i < 3; i++) stride[i] = arrange_stride(in, l->order[i] + 1);
  for (int i = 0; i < s->n; i++) {
    const float *image = s->in[0] + (size_t)i * in->size;
    for (int c = 0; c < top->c; c++) {
      for (int y = 0; y < top->h; y++, to += top->w) {
        const float *from =
            image + (size_t)c * stride[0] + (size_t)y * stride[1];
        for (int x = 0; x < top->w; x++) to[x] = from[(size_t)x * stride[2]];
      }
    }
  }
}

/* Channel j of group g becomes channel g of group j. */
static void arrange_shuffle(const nn_step *s) {
  const nn_layer *l = s->layer;
  const nn_blob *in = &s->blobs[l->bottom[0]];
  size_t plane = (size_t)in->h * (size_t)in->w;
  int each = in->c / l->group;
  float *to = s->out;
  for (int i = 0; i < s->n; i++) {
    const float *image = s->in[0] + (size_t)i * in->size;
    for (int j = 0; j < each; j++) {
      for (int g = 0; g < l->group; g++, to += plane) {
        arrange_copy(to, image + (size_t)(g * each + j) * plane, plane);
      }
    }
  }
}

/* Padding ----------------------------------------------------------------- */

/* The element of a side that stands at `at`, which may lie outside. */
static int64_t arrange_source(nn_padding padding, int64_t at, int64_t side) {
  if (at >= 0 && at < side) return at;
  if (padding == NN_PAD_EDGE) return at < 0 ? 0 : side - 1;
  return at < 0 ? -at : 2 * (side - 1) - at;
}

static void arrange_padded_row(const nn_layer *l, const float *row, int width,
                               float *to) {
  int left = l->pad[1], right = l->pad[3];
  for (int x = 0; x < left; x++) {
    to[x] = l->padding == NN_PAD_CONSTANT
                ? l->value
                : row[arrange_source(l->padding, x - left, width)];
  }
  arrange_copy(to + left, row, (size_t)width);
  to += left + width;
  for (int x = 0; x < right; x++) {
    to[x] = l->padding == NN_PAD_CONSTANT
                ? l->value
                : row[arrange_source(l->padding, (int64_t)width + x, width)];
  }
}

static void arrange_padding(const nn_step *s) {
  const nn_layer *l = s->layer;
  const nn_blob *in = &s->blobs[l->bottom[0]], *top = &s->blobs[l->top];
  size_t planes = (size_t)s->n * (size_t)in->c;
  const float *plane = s->in[0];
  float *to = s->out;
  for (size_t i = 0; i < planes; i++, plane += (size_t)in->h * in->w) {
    for (int y = 0; y < top->h; y++, to += top->w) {
      int64_t at = (int64_t)y - l->pad[0];
      if (l->padding == NN_PAD_CONSTANT && (at < 0 || at >= in->h)) {
        for (int x = 0; x < top->w; x++) to[x] = l->value;
        continue;
      }
      at = arrange_source(l->padding, at, in->h);
      arrange_padded_row(l, plane + at * in->w, in->w, to);
    }
  }
}

/* All types --------------------------------------------------------------- */

void nn_arrange_run(const nn_step *s) {
  size_t size = s->blobs[s->layer->top].size;
  switch (s->layer->type) {
    case NN_CONCAT: arrange_concat(s); break;
    case NN_SLICE: arrange_slice(s); break;
    case NN_PERMUTE: arrange_permute(s); break;
    case NN_SHUFFLE_CHANNEL: arrange_shuffle(s); break;
    case NN_PADDING: arrange_padding(s); break;
    case NN_CONSTANT:
      for (int i = 0; i < s->n; i++) {
        arrange_copy(s->out + (size_t)i * size, s->weight, size);
      }
      break;
    default:
      if (s->out != s->in[0]) {
        arrange_copy(s->out, s->in[0], (size_t)s->n * size);
      }
  }
}

/*
** Layers of integer networks that move bytes and compute nothing: Slice,
** Padding, ShuffleChannel, Permute, Reshape and Constant.
**
** Each byte of the output has one place in the input where it comes from, or is
** a constant.  Which is worked out once, when the model is opened, from what the
** layer means in the order C, H, W; the table of offsets then takes care of the
** NHWC in which bytes lie, with channels filled up to a multiple of 4, and
** running any of these layers is one loop.
*/
#include "nn_int.h"

/* Of an axis that is padded: the element that stands at `at`; -1: none. */
static int64_t gather_mirrored(nn_padding padding, int64_t at, int64_t side) {
  if (at >= 0 && at < side) return at;
  if (padding == NN_PAD_CONSTANT) return -1;
  if (padding == NN_PAD_EDGE) return at < 0 ? 0 : side - 1;
  return at < 0 ? -at : 2 * (side - 1) - at;
}

/* What stands at `at` of the output (C, H, W) stands at *from of the input; 0
** where nothing does. */
static int gather_source(const nn_layer *l, const nn_blob *in,
                         const nn_blob *top, const int at[3],
                         int64_t from[3]) {
  int64_t linear;
  int each;
  for (int k = 0; k < 3; k++) from[k] = at[k];
  switch (l->type) {
    case NN_SLICE: from[l->axis - 1] += l->begin; return 1;
    case NN_SHUFFLE_CHANNEL:
      each = in->c / l->group;
      from[0] = at[0] % l->group * each + at[0] / l->group;
      return 1;
    case NN_PERMUTE:
      for (int k = 0; k < 3; k++) from[l->order[k]] = at[k];
      return 1;
    case NN_RESHAPE:
      linear = ((int64_t)at[0] * top->h + at[1]) * top->w + at[2];
      from[0] = linear / ((int64_t)in->h * in->w);
      from[1] = linear / in->w % in->h;
      from[2] = linear % in->w;
      return 1;
    case NN_PADDING:
      from[1] = gather_mirrored(l->padding, at[1] - l->pad[0], in->h);
      from[2] = gather_mirrored(l->padding, at[2] - l->pad[1], in->w);
      return from[1] >= 0 && from[2] >= 0;
    default: return 0;
  }
}

/* The constant at a place that has no source. */
static int gather_constant(const nn_layer *l, const nn_blob *in,
                           const nn_blob *top, const int at[3]) {
  if (l->type == NN_CONSTANT) {
    return l->whole.lookup[((size_t)at[0] * (size_t)top->h + (size_t)at[1]) *
                               (size_t)top->w + (size_t)at[2]];
  }
  return l->whole.fill >= 0 ? l->whole.fill : nn_int_zero(in, (size_t)at[0]);
}

/* An offset within the input's image, or ~ of a byte. */
nn_status nn_gather_ready(nn_model *model, nn_layer *l, nn_error *err) {
  const nn_blob *in = l->bottoms ? &model->blobs[l->bottom[0]] : NULL;
  const nn_blob *top = &model->blobs[l->top];
  int32_t *to = nn_model_alloc(model, nn_mul(top->slots, 4), sizeof(*to));
  if (!to) return nn_fail(err, NN_NOMEM, "out of memory");
  l->whole.gather = to;
  int at[3];
  for (at[1] = 0; at[1] < top->h; at[1]++) {
    for (at[2] = 0; at[2] < top->w; at[2]++) {
      for (at[0] = 0; at[0] < top->c; at[0]++, to++) {
        int64_t from[3];
        *to = gather_source(l, in, top, at, from)
                  ? (int32_t)((from[1] * in->w + from[2]) *
                                  (int64_t)nn_int_stride(in) + from[0])
                  : ~gather_constant(l, in, top, at);
      }
      for (; (size_t)at[0] < nn_int_stride(top); at[0]++) *to++ = ~0;
    }
  }
  return NN_OK;
}

void nn_gather_run(const nn_int_step *s) {
  const nn_layer *l = s->layer;
  const nn_blob *in = l->bottoms ? &s->blobs[l->bottom[0]] : NULL;
  size_t n = s->blobs[l->top].slots * 4;
  const int32_t *offset = l->whole.gather;
  uint8_t *to = s->out;
  for (int i = 0; i < s->n; i++, to += n) {
    const uint8_t *from =
        in ? (const uint8_t *)s->in[0] + (size_t)i * in->slots * 4 : NULL;
    for (size_t k = 0; k < n; k++) {
      to[k] = offset[k] < 0 ? (uint8_t)~offset[k] : from[offset[k]];
    }
  }
}

/*
** Convolutions and inner products of integer networks, through the kernels of
** integer.c: what img_hash() spends its time in.
**
** Weights are packed once, when the model is first used, into blocks of
** NN_INT_BLOCK output channels, the way the kernels read them.  Nothing is
** unrolled: a kernel takes, for each tap of the filter and each of a few
** output positions, a pointer to the channels that the tap sees there (the
** indirection buffer of XNNPACK), and what lies outside of the image is a
** position whose bytes are the zero point.  So strides, dilation and padding
** are a matter of pointers, an inner product is a convolution whose kernel is
** the whole plane, and a batch is more positions.
**
** Strips of positions, or parts of the blocks where those are few, are the
** tasks of a team, if there is one (team.c).
**
** The outer loop goes over blocks of channels and the inner one over positions,
** so that the weights of a block stay in the cache; pointers are made for a
** strip of positions at a time.  A form that takes many blocks at once has
** panel.c in this file's place.
**
** Zero points cost nothing at run time: sum of w * (q - zero) + bias is the sum
** of w * q and a constant (nn_whole.folded).
**
** Groups whose output channels do not fill a block share one: their block reads
** the channels of all of them, with weights of 0 where a filter does not look.
** For a depthwise convolution that is 16 groups a block.  A block that ends
** within four channels reads up to three bytes too many; what lies there, at
** worst behind the last blob and then this file's scratch memory, meets weights
** of 0.
**
** A filter of one tap and one channel, a scale that could not go into another
** layer, is a table of 256 bytes for each channel.
*/
#include "floats.h"
#include "integers.h"

/* Pointers that are made at a time, unless one step needs more. */
#define PACKED_POINTERS 8192

/* Blocks ------------------------------------------------------------------ */

/* Groups that share a block. */
static int packed_shared(const nn_layer *l, const nn_blob *top) {
  int outputs = top->c / l->group;
  int shared = outputs >= NN_INT_BLOCK ? 1 : NN_INT_BLOCK / outputs;
  return shared < l->group ? shared : l->group;
}

/* Those of as many groups as share one. */
int nn_packed_unit(const nn_layer *l, const nn_blob *blobs) {
  const nn_blob *top = &blobs[l->top];
  int outputs = top->c / l->group * packed_shared(l, top);
  return (outputs + NN_INT_BLOCK - 1) / NN_INT_BLOCK;
}

int nn_packed_blocks(const nn_layer *l, const nn_blob *blobs) {
  int shared = packed_shared(l, &blobs[l->top]);
  return (l->group + shared - 1) / shared * nn_packed_unit(l, blobs);
}

nn_int_block nn_packed_block(const nn_layer *l, const nn_blob *blobs, int k) {
  const nn_blob *in = &blobs[l->bottom[0]], *top = &blobs[l->top];
  int inputs = in->c / l->group, outputs = top->c / l->group;
  int shared = packed_shared(l, top), unit = nn_packed_unit(l, blobs);
  int first = k / unit * shared, part = k % unit * NN_INT_BLOCK;
  int groups = l->group - first < shared ? l->group - first : shared;
  nn_int_block b;
  b.out = first * outputs + part;
  b.outs = groups * outputs - part;
  if (b.outs > NN_INT_BLOCK) b.outs = NN_INT_BLOCK;
  b.in = first * inputs;
  b.quads = (groups * inputs + 3) / 4;
  return b;
}

size_t nn_packed_taps(const nn_layer *l) {
  return (size_t)l->kernel[0] * (size_t)l->kernel[1];
}

/* Those of the first, which no block exceeds. */
size_t nn_packed_bytes(const nn_layer *l, const nn_blob *blobs) {
  nn_int_block b = nn_packed_block(l, blobs, 0);
  return nn_mul(nn_packed_taps(l), (size_t)b.quads * NN_INT_BLOCK * 4);
}

/* Packing ----------------------------------------------------------------- */

/* Output channel o of the block into its lane. */
static void packed_filter(const nn_layer *l, const nn_blob *blobs,
                          const nn_int_block *b, int o, int8_t *to) {
  int inputs = blobs[l->bottom[0]].c / l->group;
  int outputs = blobs[l->top].c / l->group;
  int first = (b->out + o) / outputs * inputs - b->in;
  size_t taps = nn_packed_taps(l), quads = (size_t)b->quads;
  const int8_t *weight =
      l->whole.weight + (size_t)(b->out + o) * (size_t)inputs * taps;
  for (int c = first; c < first + inputs; c++) {
    size_t at = ((size_t)(c / 4) * NN_INT_BLOCK + (size_t)o) * 4 +
                (size_t)(c % 4);
    for (size_t t = 0; t < taps; t++) {
      to[at + t * quads * NN_INT_BLOCK * 4] = *weight++;
    }
  }
}

/* Whether each channel is made of its own at the same position alone. */
static int packed_alone(const nn_layer *l, const nn_blob *blobs) {
  const nn_blob *top = &blobs[l->top];
  return l->type == NN_CONVOLUTION && nn_layer_pointwise(l) &&
         l->group == top->c && l->group == blobs[l->bottom[0]].c &&
         !top->quant.sums;
}

static nn_status packed_tables(nn_model *model, nn_layer *layer,
                               nn_error *err) {
  const nn_blob *top = &model->blobs[layer->top];
  nn_whole *w = &layer->whole;
  uint8_t *to = nn_model_alloc(model, (size_t)top->c, 256);
  if (!to) return nn_fail(err, NN_NOMEM, "out of memory");
  w->alone = to;
  for (int c = 0; c < top->c; c++) {
    for (int32_t q = 0; q < 256; q++) {
      int32_t sum = q * w->weight[c];
      nn_bytes_scalar(1, 1, &sum, w->folded + c, w->multiplier + c,
                      w->shift + c, nn_int_zero(top, 0), top->quant.max, to++,
                      0);
    }
  }
  return NN_OK;
}

/* Convolutions and inner products, of which it was not done yet. */
nn_status nn_packed_ready(nn_model *model, nn_layer *layer, nn_error *err) {
  if (layer->whole.packed || layer->whole.alone ||
      (layer->type != NN_CONVOLUTION && layer->type != NN_INNER_PRODUCT)) {
    return NN_OK;
  }
  const nn_blob *blobs = model->blobs, *in = &blobs[layer->bottom[0]];
  nn_whole *w = &layer->whole;
  if (packed_alone(layer, blobs)) return packed_tables(model, layer, err);
  int blocks = nn_packed_blocks(layer, blobs);
  size_t bytes = nn_packed_bytes(layer, blobs);
  size_t all = nn_mul((size_t)blocks, bytes);
  if (all > SIZE_MAX - NN_INT_SLACK) all = SIZE_MAX - NN_INT_SLACK;
  /* a block may read up to three bytes behind the last channel */
  w->outside = nn_model_alloc(model, nn_int_stride(in) + 4, 1);
  int8_t *packed = nn_model_alloc(model, all + NN_INT_SLACK, 1);
  if (!packed || !w->outside) {
    return nn_fail(err, NN_NOMEM, "out of memory");
  }
  for (int c = 0; c < in->c; c++) {
    w->outside[c] = (uint8_t)nn_int_zero(in, (size_t)c);
  }
  for (int k = 0; k < blocks; k++) {
    nn_int_block b = nn_packed_block(layer, blobs, k);
    for (int o = 0; o < b.outs; o++) {
      packed_filter(layer, blobs, &b, o, packed + (size_t)k * bytes);
    }
  }
  w->packed = packed;
  return NN_OK;
}

/* Running ----------------------------------------------------------------- */

/* What any form of this CPU wants, for the passes of a model may differ. */
size_t nn_packed_scratch(const nn_layer *layer) {
  const nn_int_form *form;
  size_t rows = 1;
  for (int i = 0; (form = nn_int_kernels_for(nn_cpu_features(), i)); i++) {
    if ((size_t)form->rows > rows) rows = (size_t)form->rows;
  }
  size_t step = nn_mul(nn_packed_taps(layer), rows);
  size_t pointers = step > PACKED_POINTERS ? step : PACKED_POINTERS;
  size_t bytes = nn_mul(pointers, sizeof(uint8_t *));
  size_t sums = rows * NN_INT_BLOCK * sizeof(int32_t);
  return bytes > SIZE_MAX - sums ? SIZE_MAX : (bytes + sums + 3) / 4;
}

/* What one output position sees: a pointer for each tap, `apart` apart. */
static void packed_point(const nn_int_step *s, size_t position, size_t apart,
                         const uint8_t **to) {
  const nn_layer *l = s->layer;
  const nn_blob *in = &s->blobs[l->bottom[0]], *top = &s->blobs[l->top];
  size_t stride = nn_int_stride(in), w = (size_t)top->w, h = (size_t)top->h;
  const uint8_t *image =
      (const uint8_t *)s->in[0] + position / (w * h) * in->slots * 4;
  int64_t iy = (int64_t)(position / w % h) * l->stride[0] - l->pad[0];
  int64_t left = (int64_t)(position % w) * l->stride[1] - l->pad[1];
  for (int ky = 0; ky < l->kernel[0]; ky++, iy += l->dilation[0]) {
    int64_t ix = left;
    for (int kx = 0; kx < l->kernel[1]; kx++, ix += l->dilation[1]) {
      int inside = iy >= 0 && iy < in->h && ix >= 0 && ix < in->w;
      *to = inside ? image + (size_t)(iy * in->w + ix) * stride
                   : l->whole.outside;
      to += apart;
    }
  }
}

void nn_packed_write(const nn_int_step *s, int out, int outs, int rows,
                     size_t position, const int32_t *sums) {
  const nn_blob *top = &s->blobs[s->layer->top];
  const nn_whole *w = &s->layer->whole;
  const int32_t *bias = w->folded + out;
  size_t stride = nn_int_stride(top);
  if (!top->quant.sums) {
    s->form->bytes(rows, outs, sums, bias, w->multiplier + out, w->shift + out,
                   nn_int_zero(top, 0), top->quant.max,
                   (uint8_t *)s->out + position * stride + out, stride);
    return;
  }
  for (int r = 0; r < rows; r++, sums += NN_INT_BLOCK) {
    int32_t *to = (int32_t *)s->out + (position + (size_t)r) * (size_t)top->c +
                  out;
    for (int o = 0; o < outs; o++) to[o] = sums[o] + bias[o];
  }
}

/* Positions [first, last) of the blocks [block, blocks), with the pointers of
** all of them at hand.  `moved` is the channel that these point at. */
static void packed_strip(const nn_int_step *s, size_t first, size_t last,
                         int block, int blocks, const uint8_t **pointers,
                         int32_t *sums) {
  const nn_layer *l = s->layer;
  size_t taps = nn_packed_taps(l), most = (size_t)s->form->rows;
  size_t bytes = nn_packed_bytes(l, s->blobs);
  int wide = s->blobs[l->bottom[0]].quant.max > 127, moved = 0;
  for (size_t p = first; p < last; p++) {
    size_t tile = (p - first) / most * most, left = last - first - tile;
    packed_point(s, p, left < most ? left : most,
                 pointers + tile * taps + (p - first - tile));
  }
  for (int k = block; k < blocks; k++) {
    nn_int_block b = nn_packed_block(l, s->blobs, k);
    if (b.in != moved) {
      for (size_t i = 0; i < (last - first) * taps; i++) {
        pointers[i] += b.in - moved;
      }
      moved = b.in;
    }
    for (size_t p = first; p < last; p += most) {
      int rows = (int)(last - p < most ? last - p : most);
      (wide ? s->form->wide : s->form->sums)(
          rows, (int)taps, b.quads, pointers + (p - first) * taps,
          l->whole.packed + (size_t)k * bytes, sums);
      nn_packed_write(s, b.out, b.outs, rows, p, sums);
    }
  }
}

/* The bytes that fill up the last channels of each position. */
static void packed_fill(const nn_blob *top, size_t positions, uint8_t *out) {
  size_t stride = nn_int_stride(top), c = (size_t)top->c;
  if (top->quant.sums || c == stride) return;
  for (size_t p = 0; p < positions; p++, out += stride) {
    out[c] = out[(c + stride) / 2] = out[stride - 1] = 0;   /* one to three */
  }
}

/* Channel by channel, so that a table stays at hand, and by eights, since a CPU
** takes reads behind writes for reads of what they wrote where the lowest bits
** of their places are the same. */
static void packed_look_up(const nn_int_step *s, size_t positions) {
  const nn_blob *top = &s->blobs[s->layer->top];
  size_t stride = nn_int_stride(top);
  for (int c = 0; c < top->c; c++) {
    const uint8_t *from = (const uint8_t *)s->in[0] + c;
    const uint8_t *table = s->layer->whole.alone + 256 * (size_t)c;
    uint8_t *to = (uint8_t *)s->out + c, some[8];
    size_t p = 0;
    for (; p + 8 <= positions; p += 8) {
      for (size_t i = 0; i < 8; i++) some[i] = table[from[(p + i) * stride]];
      for (size_t i = 0; i < 8; i++) to[(p + i) * stride] = some[i];
    }
    for (; p < positions; p++) to[p * stride] = table[from[p * stride]];
  }
}

typedef struct packed_job {
  const nn_int_step *step;
  nn_int_tasks tasks;
  int alone;                    /* scratch memory is the step's */
} packed_job;

static void packed_task(void *context, size_t task, int worker) {
  const packed_job *job = context;
  const nn_int_step *s = job->step;
  nn_int_share share = nn_int_task(&job->tasks, task);
  int32_t *sums = s->scratch;
  if (!job->alone) {
    sums = (int32_t *)(void *)(s->private_scratch +
                               (size_t)worker * NN_FLOAT_SCRATCH);
  }
  packed_strip(s, share.first, share.last, share.block, share.end,
               (const uint8_t **)(void *)(sums + (size_t)s->form->rows *
                                                     NN_INT_BLOCK),
               sums);
}

static void packed_pointers(const nn_int_step *s, size_t positions) {
  packed_job job = {.step = s};
  nn_int_tasks *t = &job.tasks;
  size_t rows = (size_t)s->form->rows, threads = (size_t)nn_team_size(s->team);
  t->positions = positions;
  t->strip = PACKED_POINTERS / (nn_packed_taps(s->layer) * rows) * rows;
  if (t->strip < rows) t->strip = rows;
  t->blocks = t->part = nn_packed_blocks(s->layer, s->blobs);
  job.alone = threads == 1 || nn_packed_scratch(s->layer) > NN_FLOAT_SCRATCH;
  if (!job.alone) {
    size_t share = nn_pieces(nn_pieces(positions, 2 * threads), rows) * rows;
    if (share < t->strip) t->strip = share;
  }
  t->strips = nn_pieces(positions, t->strip);
  if (!job.alone && t->strips < 2 * threads) {
    size_t parts = nn_pieces(2 * threads, t->strips);
    t->part = (int)nn_pieces((size_t)t->blocks, parts);
  }
  nn_team_run(job.alone ? NULL : s->team, nn_int_count(t), packed_task, &job);
}

void nn_packed_run(const nn_int_step *s) {
  const nn_blob *top = &s->blobs[s->layer->top];
  size_t positions = (size_t)s->n * (size_t)top->h * (size_t)top->w;
  if (s->layer->whole.alone) {
    packed_look_up(s, positions);
  } else if (s->layer->whole.words && nn_words_of(s->form)) {
    nn_whole_run(s);
  } else if (nn_panel_fits(s)) {
    nn_panel_run(s);
  } else {
    packed_pointers(s, positions);
  }
  packed_fill(top, positions, s->out);
}

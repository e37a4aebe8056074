/*
** The plan that is made once, when a model is opened: which layers melt into
** the one before, and where each blob lies in the one piece of memory that a
** forward pass takes.  And what is made once when it is first used: weights in
** the order, and transformed, as kernels read them.
**
** Folding.  In a float32 network a batch norm that alone reads a convolution or
** inner product is a scale and a bias of its sums, and both, and a ReLU after
** them, cost next to nothing in the pass that adds the bias.  They stay layers
** of their own: the reference engine runs them as such, and whoever asks for
** the convolution's own blob gets it unfolded (run.c decides by what was asked
** for).
**
** Lifetimes.  Every blob is planned as if every layer ran, in order: it lives
** from the layer that writes it to the last that reads it.  Layers that work
** element by element take over the memory of a bottom that nobody reads later.
** Then each buffer goes to the lowest offset that no living buffer overlaps.
** Running fewer layers (only the ancestors of what was asked for) can only
** leave memory unused.  What was asked for of a float32 network never lies
** here: its layer writes straight to the caller, and a blob that nobody reads
** needs no place.  An integer network's blobs all have one, for the caller gets
** floats, and so has the input, as bytes.
**
** Batches.  Up to the first inner product a batch runs image by image, or a few
** at a time (run.c): the blobs stay in the cache, and need memory once.  From
** there on a layer takes the whole batch, which reads its weights once.  (The
** first MirrorMean ends the first part too: what is before it runs twice.)  So
** there are two arenas, one for the buffers that die in the first part, and one
** for the others.  What n images share an arena multiply its offsets by n,
** which keeps buffers as disjoint as they were.
*/
#include <math.h>
#include <string.h>

#include "floats.h"

/* Buffers begin on cache lines: 16 slots of 4 bytes. */
#define PLAN_ALIGN 16

typedef struct plan_buffer {
  size_t offset, size;
  int birth, death;     /* layers */
  int batched;
} plan_buffer;

/* Readers ----------------------------------------------------------------- */

static void plan_readers(nn_model *model) {
  for (int i = 0; i <= model->layer_count; i++) {
    model->blobs[i].last_reader = -1;
  }
  for (int i = 0; i < model->layer_count; i++) {
    const nn_layer *layer = &model->layers[i];
    for (int j = 0; j < layer->bottoms; j++) {
      nn_blob *blob = &model->blobs[layer->bottom[j]];
      blob->readers++;
      blob->last_reader = i;
    }
  }
}

/* The pixels, and what an integer network makes of each by itself. */
static int plan_pixels(const nn_model *model, int blob) {
  if (!blob) return 1;
  const nn_layer *layer = &model->layers[blob - 1];
  return layer->type == NN_CONVOLUTION && layer->bottom[0] == 0 &&
         layer->kernel[0] * layer->kernel[1] == 1;
}

/* Blobs that some layer ties together, the pixels apart, are a branch; heads of
** different branches have no work in common that would be worth sharing. */
static void plan_branches(nn_model *model) {
  nn_blob *blobs = model->blobs;
  for (int i = 1; i <= model->layer_count; i++) blobs[i].branch = i;
  for (int i = 0; i < model->layer_count; i++) {
    const nn_layer *layer = &model->layers[i];
    for (int j = 0; j < layer->bottoms; j++) {
      int a = blobs[layer->top].branch, b = blobs[layer->bottom[j]].branch;
      if (plan_pixels(model, layer->bottom[j]) || a == b) continue;
      for (int k = 1; k <= layer->top; k++) {
        if (blobs[k].branch == (a > b ? a : b)) blobs[k].branch = a < b ? a : b;
      }
    }
  }
}

/* Batch norm as x * scale + shift, in double until the end. */
static nn_status plan_norm(nn_model *model, nn_layer *layer, nn_error *err) {
  int channels = model->blobs[layer->top].c;
  layer->scale = nn_model_alloc(model, (size_t)channels, sizeof(float));
  layer->shift = nn_model_alloc(model, (size_t)channels, sizeof(float));
  if (!layer->scale || !layer->shift) {
    return nn_fail(err, NN_NOMEM, "out of memory");
  }
  for (int c = 0; c < channels; c++) {
    double scale = (layer->weight ? (double)layer->weight[c] : 1.0) /
                   sqrt((double)layer->variance[c] + (double)layer->eps);
    layer->scale[c] = (float)scale;
    layer->shift[c] = (float)((layer->bias ? (double)layer->bias[c] : 0.0) -
                              (double)layer->mean[c] * scale);
  }
  return NN_OK;
}

/* The only layer that reads what layer i writes, if it is of that type. */
static nn_layer *plan_only_reader(const nn_model *model, int top,
                                  nn_type type) {
  const nn_blob *blob = &model->blobs[top];
  if (blob->readers != 1) return NULL;
  nn_layer *reader = &model->layers[blob->last_reader];
  return reader->type == type ? reader : NULL;
}

/* The norm that follows, as scale and bias of what the layer adds up. */
static nn_status plan_fold(nn_model *model, nn_layer *layer,
                           const nn_layer *norm, nn_error *err) {
  int channels = model->blobs[layer->top].c;
  layer->folded_scale = nn_model_alloc(model, (size_t)channels, sizeof(float));
  layer->folded_bias = nn_model_alloc(model, (size_t)channels, sizeof(float));
  if (!layer->folded_scale || !layer->folded_bias) {
    return nn_fail(err, NN_NOMEM, "out of memory");
  }
  for (int c = 0; c < channels; c++) {
    double scale = (norm->weight ? (double)norm->weight[c] : 1.0) /
                   sqrt((double)norm->variance[c] + (double)norm->eps);
    double bias = layer->bias ? (double)layer->bias[c] : 0.0;
    layer->folded_scale[c] = (float)scale;
    layer->folded_bias[c] =
        (float)((bias - (double)norm->mean[c]) * scale +
                (norm->bias ? (double)norm->bias[c] : 0.0));
  }
  return NN_OK;
}

static nn_status plan_absorb(nn_model *model, nn_error *err) {
  nn_status status;
  for (int i = 0; i < model->layer_count; i++) {
    nn_layer *layer = &model->layers[i], *next;
    int top = layer->top;
    if (layer->type == NN_BATCH_NORM) {
      if ((status = plan_norm(model, layer, err)) != NN_OK) return status;
    }
    if (layer->type != NN_CONVOLUTION && layer->type != NN_INNER_PRODUCT) {
      continue;
    }
    if ((next = plan_only_reader(model, top, NN_BATCH_NORM)) != NULL) {
      if ((status = plan_fold(model, layer, next, err)) != NN_OK) {
        return status;
      }
      next->absorbed = 1;
      layer->norm = (int)(next - model->layers);
      top = next->top;
    }
    next = plan_only_reader(model, top, NN_RELU);
    if (next && next->slope == 0) {
      next->absorbed = 1;
      layer->relu = (int)(next - model->layers);
    }
  }
  return NN_OK;
}

/* Memory ------------------------------------------------------------------ */

/* Which bottom's memory layer i may write over, -1 for none.  The input is the
** caller's and never written. */
static int plan_in_place(const nn_model *model, int i) {
  const nn_layer *layer = &model->layers[i];
  if (!layer->bottoms) return -1;
  const nn_blob *in = &model->blobs[layer->bottom[0]];
  switch (layer->type) {
    case NN_SIGMOID:
    case NN_LOOKUP:
      if (in->quant.sums) return -1;   /* four bytes become one */
      break;
    case NN_FLATTEN:   /* from NHWC to CHW, unless that is the same */
      if (model->kind == NN_INTEGER && in->h * in->w > 1) return -1;
      break;
    case NN_RESHAPE:
      if (model->kind == NN_INTEGER) return -1;
      break;
    case NN_RELU:
    case NN_SOFTMAX:
    case NN_BATCH_NORM:
    case NN_ELTWISE:
    case NN_CLIP:
    case NN_HARD_SIGMOID:
    case NN_HARD_SWISH:
    case NN_SCALE:
      break;
    default:
      return -1;
  }
  for (int j = 0; j < layer->bottoms; j++) {
    const nn_blob *bottom = &model->blobs[layer->bottom[j]];
    if (layer->bottom[j] > 0 && bottom->last_reader == i &&
        bottom->size == model->blobs[layer->top].size) {
      return j;   /* not one that is broadcast */
    }
  }
  return -1;
}

/* Put buffer k, whose life begins last, at the lowest free offset.  `order`
** holds the buffers placed so far by their offsets. */
static void plan_place(plan_buffer *buffers, int k, int *order, int placed) {
  plan_buffer *b = &buffers[k];
  int at = 0;
  b->offset = 0;
  for (int i = 0; i < placed; i++) {
    const plan_buffer *other = &buffers[order[i]];
    if (other->death < b->birth || other->batched != b->batched) continue;
    if (b->offset + b->size <= other->offset) break;
    if (other->offset + other->size > b->offset) {
      b->offset = other->offset + other->size;
    }
  }
  while (at < placed && buffers[order[at]].offset <= b->offset) at++;
  memmove(order + at + 1, order + at, (size_t)(placed - at) * sizeof(*order));
  order[at] = k;
}

static size_t plan_size(const nn_blob *blob) {
  return (blob->slots + PLAN_ALIGN - 1) / PLAN_ALIGN * PLAN_ALIGN;
}

/* Blob b lies in buffer k at least until layer `last` has run. */
static void plan_keep(const nn_model *model, plan_buffer *buffer, int last) {
  if (last < buffer->death) return;
  buffer->death = last;
  buffer->batched = last >= model->first_batched;
}

/* Buffers from blobs: of_blob[b] is the buffer of blob b, -1 for none.  A float
** network reads the caller's input and writes what was asked for to the caller;
** an integer network does both in memory of its own, so each blob has some. */
static int plan_buffers(nn_model *model, plan_buffer *buffers, int *of_blob) {
  int count = 0, integer = model->kind == NN_INTEGER;
  of_blob[0] = -1;
  if (integer) {
    of_blob[0] = count++;
    buffers[0].size = plan_size(&model->blobs[0]);
    plan_keep(model, &buffers[0], model->blobs[0].last_reader);
  }
  for (int i = 0; i < model->layer_count; i++) {
    nn_layer *layer = &model->layers[i];
    const nn_blob *top = &model->blobs[layer->top];
    int in_place = plan_in_place(model, i), k = -1;
    if (in_place >= 0) {
      layer->in_place = in_place;
      k = of_blob[layer->bottom[in_place]];
    } else if (top->readers || integer) {
      k = count++;
      /* what the picture gave outlives the layers' second run */
      buffers[k].birth = layer->type == NN_MIRROR_MEAN ? 0 : i;
      buffers[k].size = plan_size(top);
    }
    of_blob[layer->top] = k;
    if (k >= 0) {
      plan_keep(model, &buffers[k], integer && !top->readers
                                        ? i
                                        : top->last_reader);
    }
  }
  return count;
}

static nn_status plan_arena(nn_model *model, nn_error *err) {
  size_t n = (size_t)model->layer_count + 1;
  const size_t limit = NN_ALLOC_MAX / sizeof(float) - 1024;
  plan_buffer *buffers =
      nn_zalloc(&model->mem, n * (sizeof(*buffers) + 2 * sizeof(int)));
  if (!buffers) return nn_fail(err, NN_NOMEM, "out of memory");
  int *of_blob = (int *)(void *)(buffers + n), *order = of_blob + n;
  int count = plan_buffers(model, buffers, of_blob);
  for (int k = 0; k < count; k++) {
    size_t *arena = buffers[k].batched ? &model->batch_arena : &model->arena;
    plan_place(buffers, k, order, k);
    size_t end = buffers[k].offset + buffers[k].size;
    if (end > *arena) *arena = end;
    if (end > limit) break;
  }
  for (int b = 0; b <= model->layer_count; b++) {
    if (of_blob[b] < 0) continue;
    model->blobs[b].offset = buffers[of_blob[b]].offset;
    model->blobs[b].batched = buffers[of_blob[b]].batched;
  }
  nn_free(&model->mem, buffers);
  for (int i = 0; i < model->layer_count; i++) {
    size_t scratch = model->kind == NN_INTEGER
                         ? nn_int_scratch(&model->layers[i], model->blobs)
                         : nn_layer_scratch(&model->layers[i], model->blobs);
    if (scratch > model->scratch) model->scratch = scratch;
  }
  if (model->arena > limit || model->batch_arena > limit - model->arena ||
      model->scratch > limit - model->arena - model->batch_arena) {
    return nn_fail(err, NN_MODEL,
                   "the network wants more than %zu MB for one image",
                   NN_ALLOC_MAX >> 20);
  }
  return NN_OK;
}

/* Weights ----------------------------------------------------------------- */

/* One layer's, as the kernels of the model's form read them. */
static nn_status plan_ready(nn_model *model, nn_layer *layer, nn_error *err) {
  if (model->kind == NN_INTEGER) {
    nn_status status = nn_packed_ready(model, layer, err);
    return status ? status : nn_whole_ready(model, layer, err);
  }
  if (!model->floats || layer->type != NN_CONVOLUTION ||
      nn_depthwise(layer, model->blobs)) {
    return NN_OK;   /* depthwise.c wants nothing ready */
  }
  return nn_winograd_fits(layer, model->blobs)
             ? nn_winograd_ready(model, layer, err)
             : nn_convolve_ready(model, layer, err);
}

nn_status nn_model_ready(nn_model *model, nn_error *err) {
  nn_status status = NN_OK;
  while (model->ready < model->layer_count && !status) {
    status = plan_ready(model, &model->layers[model->ready], err);
    if (!status) model->ready++;
  }
  return status;
}

nn_status nn_floats_ready(nn_model *model, const nn_float_form *form,
                          nn_error *err) {
  model->floats = form;
  model->ready = 0;
  return nn_model_ready(model, err);
}

/* The plan ---------------------------------------------------------------- */

nn_status nn_plan(nn_model *model, nn_error *err) {
  while (model->first_batched < model->layer_count &&
         model->layers[model->first_batched].type != NN_INNER_PRODUCT &&
         model->first_batched != model->mirror) {
    model->first_batched++;
  }
  plan_readers(model);
  plan_branches(model);
  if (model->kind == NN_INTEGER) {
    unsigned cpu = nn_cpu_features() & ~(unsigned)NN_CPU_AMX;
    model->form = nn_int_kernels_for(cpu, -1);   /* AMX is asked for: run.c */
    return plan_arena(model, err);
  }
  /* The plain form is no faster than BLAS. */
  for (int i = 1; nn_float_kernels(i); i++) {
    model->floats = nn_float_kernels(i);
  }
  nn_status status = plan_absorb(model, err);
  return status ? status : plan_arena(model, err);
}

/*
** The forward pass: images through the layers that one blob depends on.
**
** img_hash() asks for the logits, img_features() for the layer before them,
** img_layer() for any layer by its name; each runs only the ancestors of what
** it asks for.  All of those stand before it in the file's order, so what was
** asked for is written last, straight into the caller's memory, and no layer
** that works in place can spoil it.  Everything between lies where plan.c put
** it, in one piece of memory that is taken here and given back at the end.
**
** A batch whose memory would exceed one allocation is run in pieces.
*/
#include <string.h>

#include "nn_int.h"

typedef struct run_pass {
  const nn_model *model;
  nn_engine engine;
  const nn_blas *blas;
  const uint8_t *needed;    /* by layer */
  int target;               /* blob */
  int batch;                /* images in memory */
  int first, n;             /* of them, those that run now */
  const float *input;       /* of the batch */
  float *arena, *batch_arena, *scratch;
  float *out;               /* of the batch */
} run_pass;

/* The blobs that the target is made from.  Returns whether BLAS is wanted. */
static int run_needed(const nn_model *model, int target, uint8_t *needed) {
  int blas = 0;
  needed[target - 1] = 1;
  for (int i = target - 1; i >= 0; i--) {
    const nn_layer *layer = &model->layers[i];
    if (!needed[i]) continue;
    blas |= layer->type == NN_CONVOLUTION || layer->type == NN_INNER_PRODUCT;
    for (int j = 0; j < layer->bottoms; j++) {
      if (layer->bottom[j] > 0) needed[layer->bottom[j] - 1] = 1;
    }
  }
  return blas;
}

/* Where the images that run now have their part of a blob. */
static float *run_blob(const run_pass *pass, int blob) {
  const nn_blob *b = &pass->model->blobs[blob];
  size_t skip = (size_t)pass->first * b->size;
  if (blob == pass->target) return pass->out + skip;
  if (!b->batched) return pass->arena + b->offset;
  return pass->batch_arena + b->offset * (size_t)pass->batch + skip;
}

/* What was folded into this layer is done with it, unless the blob that was
** asked for lies between. */
static void run_layer(const run_pass *pass, int i) {
  const nn_model *model = pass->model;
  const nn_layer *layer = &model->layers[i];
  int fast = pass->engine == NN_FAST;
  nn_step step;
  step.layer = layer;
  step.blobs = model->blobs;
  step.n = pass->n;
  step.scratch = pass->scratch;
  step.blas = pass->blas;
  step.out = run_blob(pass, layer->top);
  for (int j = 0; j < layer->bottoms; j++) {
    step.in[j] = layer->bottom[j] ? run_blob(pass, layer->bottom[j])
                                  : pass->input + (size_t)pass->first *
                                                      model->blobs[0].size;
  }
  if (fast && layer->absorbed) {
    if (step.out != step.in[0]) {
      memcpy(step.out, step.in[0], model->blobs[layer->top].size *
                                       (size_t)pass->n * sizeof(float));
    }
    return;
  }
  int norm = fast && layer->norm >= 0 && pass->needed[layer->norm];
  step.relu = fast && layer->relu >= 0 && pass->needed[layer->relu];
  step.weight = norm ? layer->folded_weight : layer->weight;
  step.bias = norm ? layer->folded_bias : layer->bias;
  if (fast) nn_layer_fast(&step);
  else nn_layer_reference(&step);
}

/* The layers of the first part for each image, then the rest for all. */
static void run_batch(run_pass *pass) {
  int last = pass->target, middle = pass->model->first_batched;
  if (middle > last) middle = last;
  pass->n = 1;
  for (pass->first = 0; pass->first < pass->batch; pass->first++) {
    for (int i = 0; i < middle; i++) {
      if (pass->needed[i]) run_layer(pass, i);
    }
  }
  pass->first = 0;
  pass->n = pass->batch;
  for (int i = middle; i < last; i++) {
    if (pass->needed[i]) run_layer(pass, i);
  }
}

static nn_status run_check(const nn_model *model, int batch, int blob,
                           nn_error *err) {
  err->status = NN_OK;
  err->text[0] = 0;
  if (batch < 1) {
    return nn_fail(err, NN_ARGUMENT, "a batch of %d images", batch);
  }
  if (blob < 0 || blob > model->layer_count) {
    return nn_fail(err, NN_ARGUMENT, "the network has no blob %d", blob);
  }
  return NN_OK;
}

nn_status nn_run(const nn_memory *mem, const nn_model *model, nn_engine engine,
                 const float *input, int batch, int blob, float *out,
                 nn_error *err) {
  const size_t limit = NN_ALLOC_MAX / sizeof(float) - 1024;
  uint8_t needed[NN_LAYER_MAX] = {0};
  run_pass pass = {.model = model, .engine = engine, .needed = needed,
                   .target = blob};
  nn_status status = run_check(model, batch, blob, err);
  if (status) return status;
  if (blob == 0) {
    memcpy(out, input, nn_mul((size_t)batch, model->blobs[0].size) *
                           sizeof(float));
    return NN_OK;
  }
  if (run_needed(model, blob, needed) && engine == NN_FAST) {
    pass.blas = nn_blas_get(err);
    if (!pass.blas) return err->status;
  }
  size_t fixed = model->arena + model->scratch;
  size_t most = model->batch_arena ? (limit - fixed) / model->batch_arena
                                   : limit;
  int piece = (size_t)batch < most ? batch : (int)most;
  size_t batched = model->batch_arena * (size_t)piece;
  pass.arena = nn_alloc(mem, (fixed + batched) * sizeof(float));
  if (!pass.arena) return nn_fail(err, NN_NOMEM, "out of memory");
  pass.batch_arena = pass.arena + model->arena;
  pass.scratch = pass.batch_arena + batched;
  for (int done = 0; done < batch; done += pass.batch) {
    pass.batch = batch - done < piece ? batch - done : piece;
    pass.input = input + (size_t)done * model->blobs[0].size;
    pass.out = out + (size_t)done * model->blobs[blob].size;
    run_batch(&pass);
  }
  nn_free(mem, pass.arena);
  return NN_OK;
}

/*
** The forward pass: images through the layers that some blobs depend on.
**
** img_hash() asks for the logits, img_features() for the layer before them,
** img_layer() for any layer by its name; each runs only the ancestors of what
** it asks for, and whoever wants several blobs gets them in one pass.
** Everything between lies where plan.c put it, in one piece of memory that is
** taken here and given back at the end.
**
** Layers work in place on what nobody reads later, which must not spoil a blob
** that was asked for.  A float32 network therefore has such a blob in the
** caller's memory, where its layer writes it and later layers only read it.  An
** integer network's blobs become the caller's floats as soon as their layer has
** run.
**
** What MirrorMeans read runs twice, on the images as they are and mirrored; a
** MirrorMean keeps its result of the first time and takes the mean at the
** second.  They stand side by side, before all that reads them.
**
** Up to the first inner product a batch goes by groups of a few images.  On
** several threads each takes groups of its own, so that what a layer writes
** stays in the cache of the core that reads it next; only images that are left
** over, and a single one, are shared by the team within each layer.
**
** A batch whose memory would exceed one allocation is run in pieces.
*/
#include <string.h>

#include "integers.h"
#include "floats.h"

#define RUN_SLOTS (NN_ALLOC_MAX / 4 - 1024)   /* of one allocation */
#define RUN_BLOBS 64                          /* asked for at once */
#define RUN_GROUP 8                           /* images of the first part */
#define RUN_CACHED ((size_t)1 << 18)          /* slots that they may take */
#define RUN_SPREAD ((size_t)1 << 24)          /* and threads together */
#define RUN_APART 16                          /* slots between two arenas */
#define RUN_ONCE 1
#define RUN_TWICE 3                           /* for the mirror image too */

typedef struct run_pass {
  const nn_model *model;
  nn_engine engine;
  const nn_int_form *form;           /* of an integer network */
  const nn_blas *blas;
  uint8_t needed[NN_LAYER_MAX];      /* by layer: 0, RUN_ONCE, RUN_TWICE */
  uint8_t folded[NN_LAYER_MAX];      /* with the batch norm that follows */
  uint8_t clamped[NN_LAYER_MAX];     /* with the ReLU that follows */
  uint8_t done[NN_LAYER_MAX];        /* by the layer before */
  float *want[NN_LAYER_MAX + 1];     /* by blob: the caller's, of the batch */
  int means;                         /* MirrorMeans are needed */
  int last;                          /* layers, up to that asked for last */
  int batch;                         /* images in memory */
  int group;                         /* of them, at once in the first part */
  int spread;                        /* threads that take groups alone, or 1 */
  int alone;                         /* images of such groups, of the batch */
  int mirrored;
  const float *input;                /* of the batch */
  nn_team *team;
  float *arena, *batch_arena, *scratch, *private_scratch;
  size_t apart;                      /* from one thread's arena to the next */
  size_t scratch_apart;              /* likewise, of its scratch */
} run_pass;

/* Images that go through layers together, and who computes them: the team, or
** one of its threads alone. */
typedef struct run_part {
  const run_pass *pass;
  int first, n;                      /* of the batch */
  nn_team *team;
  float *arena, *scratch, *private_scratch;
} run_part;

/* What runs --------------------------------------------------------------- */

/* The layers that the blobs are made by, twice those that a MirrorMean of them
** reads.  Returns whether any multiplies. */
static int run_needed(run_pass *pass) {
  int multiplies = 0;
  for (int i = pass->model->layer_count - 1; i >= 0; i--) {
    const nn_layer *layer = &pass->model->layers[i];
    if (pass->want[layer->top]) pass->needed[i] |= RUN_ONCE;
    if (!pass->needed[i]) continue;
    if (layer->type == NN_MIRROR_MEAN) {
      pass->needed[i] = RUN_TWICE;
      pass->means = 1;
    }
    if (!pass->last) pass->last = i + 1;
    multiplies |=
        layer->type == NN_CONVOLUTION || layer->type == NN_INNER_PRODUCT;
    for (int j = 0; j < layer->bottoms; j++) {
      int bottom = layer->bottom[j];
      if (bottom > 0) pass->needed[bottom - 1] |= pass->needed[i];
    }
  }
  return multiplies;
}

/* Which batch norms and ReLUs the layer before does: those that are needed,
** unless somebody asked for what lies between. */
static void run_fold(run_pass *pass) {
  for (int i = 0; i < pass->last; i++) {
    const nn_layer *layer = &pass->model->layers[i];
    int top = layer->top;
    if (layer->norm >= 0) {
      if (!pass->needed[layer->norm] || pass->want[top]) continue;
      pass->folded[i] = pass->done[layer->norm] = 1;
      top = pass->model->layers[layer->norm].top;
    }
    if (layer->relu < 0 || !pass->needed[layer->relu] || pass->want[top]) {
      continue;
    }
    pass->clamped[i] = pass->done[layer->relu] = 1;
  }
}

/* Layers ------------------------------------------------------------------ */

/* Where the images that run now have their part of a blob. */
static float *run_place(const run_part *part, int blob) {
  const run_pass *pass = part->pass;
  const nn_blob *b = &pass->model->blobs[blob];
  if (!b->batched) return part->arena + b->offset * (size_t)pass->group;
  return pass->batch_arena + b->offset * (size_t)pass->batch +
         (size_t)part->first * b->slots;
}

static float *run_wanted(const run_part *part, int blob) {
  float *want = part->pass->want[blob];
  return want ? want +
                    (size_t)part->first * part->pass->model->blobs[blob].size
              : NULL;
}

static void run_float(const run_part *part, int i) {
  const run_pass *pass = part->pass;
  const nn_model *model = pass->model;
  const nn_layer *layer = &model->layers[i];
  nn_step step;
  step.layer = layer;
  step.blobs = model->blobs;
  step.n = part->n;
  step.scratch = part->scratch;
  step.blas = pass->blas;
  step.out = run_wanted(part, layer->top);
  if (!step.out) step.out = run_place(part, layer->top);
  for (int j = 0; j < layer->bottoms; j++) {
    int bottom = layer->bottom[j];
    step.in[j] = run_wanted(part, bottom);
    if (!bottom) {
      step.in[j] = pass->input + (size_t)part->first * model->blobs[0].size;
    } else if (!step.in[j]) {
      step.in[j] = run_place(part, bottom);
    }
  }
  if (pass->done[i]) {
    if (step.out != step.in[0]) {
      memcpy(step.out, step.in[0], model->blobs[layer->top].size *
                                       (size_t)part->n * sizeof(float));
    }
    return;
  }
  step.relu = pass->clamped[i];
  step.weight = layer->weight;
  step.scale = pass->folded[i] ? layer->folded_scale : NULL;
  step.bias = pass->folded[i] ? layer->folded_bias : layer->bias;
  step.form = model->floats;
  step.team = part->team;
  step.private_scratch = part->private_scratch;
  if (pass->engine == NN_REFERENCE) nn_layer_reference(&step);
  else nn_layer_fast(&step);
}

static void run_integer(const run_part *part, int i) {
  const run_pass *pass = part->pass;
  const nn_model *model = pass->model;
  const nn_layer *layer = &model->layers[i];
  int product =
      layer->type == NN_CONVOLUTION || layer->type == NN_INNER_PRODUCT;
  nn_int_step step;
  step.layer = layer;
  step.blobs = model->blobs;
  step.n = part->n;
  step.mirrored = pass->mirrored;
  step.scratch = part->scratch;
  step.form = pass->form;
  step.blas = pass->blas;
  step.team = part->team;
  step.private_scratch = part->private_scratch;
  step.out = run_place(part, layer->top);
  for (int j = 0; j < layer->bottoms; j++) {
    step.in[j] = run_place(part, layer->bottom[j]);
  }
  if (pass->engine == NN_REFERENCE) nn_int_reference(&step);
  else if (pass->engine == NN_BLAS && product) nn_crosscheck_run(&step);
  else nn_int_fast(&step);
  float *want = run_wanted(part, layer->top);
  if (want && pass->mirrored == (layer->type == NN_MIRROR_MEAN)) {
    nn_int_values(&model->blobs[layer->top], part->n, step.out, want);
  }
}

/* The images that run now, for the first layer to read. */
static void run_input(const run_part *part) {
  const run_pass *pass = part->pass;
  const nn_blob *input = &pass->model->blobs[0];
  const float *from = pass->input + (size_t)part->first * input->size;
  float *want = run_wanted(part, 0), *to = run_place(part, 0);
  if (pass->model->kind == NN_FLOAT32) {
    if (want) memcpy(want, from, input->size * (size_t)part->n * sizeof(float));
    return;
  }
  for (size_t i = 0; i < (size_t)part->n; i++) {
    nn_int_pixels(input, from + i * input->size, pass->mirrored,
                  (uint8_t *)(to + i * input->slots));
  }
  if (want && !pass->mirrored) nn_int_values(input, part->n, to, want);
}

static void run_layers(const run_part *part, int from, int to) {
  const run_pass *pass = part->pass;
  for (int i = from; i < to; i++) {
    if (!(pass->needed[i] >> pass->mirrored & 1)) continue;
    if (pass->model->kind == NN_INTEGER) run_integer(part, i);
    else run_float(part, i);
  }
}

/* Batches ----------------------------------------------------------------- */

/* Images [first, first + n), by the team or by its thread `worker` alone. */
static run_part run_part_of(const run_pass *pass, nn_team *team, int worker,
                            int first, int n) {
  size_t w = (size_t)worker;
  return (run_part){.pass = pass,
                    .first = first,
                    .n = n,
                    .team = team,
                    .arena = pass->arena + w * pass->apart,
                    .scratch = pass->scratch + w * pass->scratch_apart,
                    .private_scratch =
                        pass->private_scratch + w * NN_FLOAT_SCRATCH};
}

/* The group that begins with image `first`, of those before `end`, through the
** first part of the network. */
static int run_first(const run_pass *pass, nn_team *team, int worker,
                     int first, int end) {
  int n = end - first < pass->group ? end - first : pass->group;
  run_part part = run_part_of(pass, team, worker, first, n);
  run_input(&part);
  run_layers(&part, 0, pass->model->first_batched);
  return n;
}

static void run_task(void *context, size_t task, int worker) {
  const run_pass *pass = context;
  run_first(pass, NULL, worker, (int)task * pass->group, pass->alone);
}

/* Layers [0, to): those of the first part for each group, then for all. */
static void run_start(run_pass *pass, int to) {
  int first = pass->alone;
  nn_team_run(pass->team, nn_pieces((size_t)first, (size_t)pass->group),
              run_task, pass);
  while (first < pass->batch) {
    first += run_first(pass, pass->team, 0, first, pass->batch);
  }
  run_part all = run_part_of(pass, pass->team, 0, 0, pass->batch);
  run_layers(&all, pass->model->first_batched, to);
}

static void run_batch(run_pass *pass) {
  int behind = pass->model->mirror + pass->model->mirrors;
  if (!pass->means) {
    run_start(pass, pass->last);
    return;
  }
  for (pass->mirrored = 0; pass->mirrored < 2; pass->mirrored++) {
    run_start(pass, behind);
  }
  pass->mirrored = 0;
  run_part all = run_part_of(pass, pass->team, 0, 0, pass->batch);
  run_layers(&all, behind, pass->last);
}

/* Images that run at once in the first part: of an integer network as many as
** the cache holds, since a layer's weights pass by tiles of all of them, and of
** a float network one, whose convolutions are done image by image. */
static int run_group(const nn_model *model, int batch) {
  if (model->kind == NN_FLOAT32 || !model->arena) return 1;
  size_t group = RUN_CACHED / model->arena;
  if (group > RUN_GROUP) group = RUN_GROUP;
  return group < 1 ? 1 : group < (size_t)batch ? (int)group : batch;
}

/* Whether threads may go through the first part side by side: not where a layer
** of it reads what is kept of the whole batch, as packed.c and panel.c look at
** three bytes behind an image. */
static int run_separate(const nn_model *model) {
  for (int i = 0; i < model->first_batched; i++) {
    const nn_layer *layer = &model->layers[i];
    for (int j = 0; j < layer->bottoms; j++) {
      if (model->blobs[layer->bottom[j]].batched) return 0;
    }
  }
  return 1;
}

/* Groups, and the threads that take them alone: each as many images. */
static void run_divide(run_pass *pass, int batch, size_t scratch) {
  const nn_model *model = pass->model;
  int threads = nn_team_size(pass->team), each = batch / threads;
  pass->spread = 1;
  pass->group = run_group(model, batch);
  pass->apart = model->arena * (size_t)pass->group + RUN_APART;
  pass->scratch_apart = scratch;
  if (threads < 2 || !each || !run_separate(model)) return;
  size_t most = (size_t)run_group(model, each);
  size_t group = nn_pieces((size_t)each, nn_pieces((size_t)each, most));
  size_t apart = model->arena * group + RUN_APART;
  if (apart + scratch > RUN_SPREAD / (size_t)threads) return;
  pass->spread = threads;
  pass->group = (int)group;
  pass->apart = apart;
}

/* All images, in pieces of as many as memory for one allocation holds. */
static nn_status run_pieces(const nn_memory *mem, run_pass *pass,
                            const float *input, int batch, nn_error *err) {
  const nn_model *model = pass->model;
  size_t scratch = model->scratch, each = model->batch_arena;
  if (model->kind == NN_INTEGER && pass->blas &&
      scratch < nn_crosscheck_scratch()) {
    scratch = nn_crosscheck_scratch();
  }
  scratch = nn_pieces(scratch, RUN_APART) * RUN_APART;
  size_t private = (size_t)nn_team_size(pass->team) * NN_FLOAT_SCRATCH;
  run_divide(pass, batch, scratch);
  size_t arena = pass->apart * (size_t)pass->spread;
  size_t fixed = private + arena + scratch * (size_t)pass->spread;
  if (fixed > RUN_SLOTS || each > RUN_SLOTS - fixed) {
    return nn_fail(err, NN_NOMEM, "out of memory");
  }
  size_t most = each ? (RUN_SLOTS - fixed) / each : RUN_SLOTS;
  int piece = (size_t)batch < most ? batch : (int)most;
  size_t batched = each * (size_t)piece;
  pass->arena = nn_alloc(mem, (fixed + batched) * sizeof(float));
  if (!pass->arena) return nn_fail(err, NN_NOMEM, "out of memory");
  pass->batch_arena = pass->arena + arena;
  pass->private_scratch = pass->batch_arena + batched;
  pass->scratch = pass->private_scratch + private;
  for (int done = 0; done < batch; done += pass->batch) {
    pass->batch = batch - done < piece ? batch - done : piece;
    pass->alone = pass->spread < 2 ? 0 : pass->batch / pass->spread *
                                             pass->spread;
    pass->input = input + (size_t)done * model->blobs[0].size;
    run_batch(pass);
    for (int b = 0; b <= model->layer_count; b++) {
      if (pass->want[b]) {
        pass->want[b] += (size_t)pass->batch * model->blobs[b].size;
      }
    }
  }
  nn_free(mem, pass->arena);
  return NN_OK;
}

/* Calls ------------------------------------------------------------------- */

static nn_status run_check(const nn_model *model, int batch, const int *blobs,
                           int count, nn_error *err) {
  err->status = NN_OK;
  err->text[0] = 0;
  if (model->ready < model->layer_count) {
    return nn_fail(err, NN_ARGUMENT, "the model was opened idle");
  }
  if (batch < 1) {
    return nn_fail(err, NN_ARGUMENT, "a batch of %d images", batch);
  }
  if (count < 1 || count > RUN_BLOBS) {
    return nn_fail(err, NN_ARGUMENT, "%d blobs at once, not 1 to %d", count,
                   RUN_BLOBS);
  }
  for (int i = 0; i < count; i++) {
    if (blobs[i] < 0 || blobs[i] > model->layer_count) {
      return nn_fail(err, NN_ARGUMENT, "the network has no blob %d", blobs[i]);
    }
  }
  return NN_OK;
}

nn_status nn_run_team(const nn_memory *mem, const nn_model *model,
                      nn_engine engine, int threads, const float *input,
                      int batch, const int *blobs, int count,
                      float *const *out, nn_error *err) {
  run_pass pass = {.model = model, .form = model->form};
  nn_status status = run_check(model, batch, blobs, count, err);
  if (status) return status;
  if (engine == NN_AMX) {
    if (nn_amx_permitted()) pass.form = nn_int_kernels(-1);
    engine = NN_FAST;
  }
  pass.engine = engine;
  for (int i = 0; i < count; i++) pass.want[blobs[i]] = out[i];
  int multiplies = run_needed(&pass);
  int floats = model->kind == NN_FLOAT32 && engine != NN_REFERENCE;
  if (floats) run_fold(&pass);   /* integer networks have nothing to fold */
  int blas = engine == NN_BLAS || (floats && !model->floats);
  if (blas && multiplies) {
    pass.blas = nn_blas_get(err);
    if (!pass.blas) return err->status;
  }
  if (engine == NN_FAST && !blas) {
    status = nn_team_open(mem, threads, &pass.team, err);
  }
  if (!status) status = run_pieces(mem, &pass, input, batch, err);
  nn_team_close(pass.team);
  /* a blob that was named twice was written where it was named last */
  for (int i = 0; i < count && !status; i++) {
    for (int j = count - 1; j > i; j--) {
      if (blobs[j] != blobs[i]) continue;
      memcpy(out[i], out[j], (size_t)batch * model->blobs[blobs[i]].size *
                                 sizeof(float));
      break;
    }
  }
  return status;
}

nn_status nn_run_blobs(const nn_memory *mem, const nn_model *model,
                       nn_engine engine, const float *input, int batch,
                       const int *blobs, int count, float *const *out,
                       nn_error *err) {
  return nn_run_team(mem, model, engine, 1, input, batch, blobs, count, out,
                     err);
}

nn_status nn_run(const nn_memory *mem, const nn_model *model, nn_engine engine,
                 const float *input, int batch, int blob, float *out,
                 nn_error *err) {
  return nn_run_blobs(mem, model, engine, input, batch, &blob, 1, &out, err);
}

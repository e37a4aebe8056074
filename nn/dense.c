/*
** Inner products of float32 networks, through the dots of floats.c.
**
** The paper's network has 219 MB of weights in two of them, and for one image
** each is used once: the time is that of reading them.  So they are read where
** they lie (the model file is mapped, a packed copy would double it), eight
** rows side by side, each from end to end.
**
** For a batch the images are in the cache and rows pass by.  Tasks are blocks
** of 64 rows.  Within a block 512 columns are taken at a time: the images'
** part is copied to where it stays in the second cache (rows a power of two
** apart would push each other out of the first); four rows meet all images
** before the next four, which are fetched meanwhile: pieces of rows that are
** far apart are nothing that the CPU would foresee.  What a row and an image
** have added up so far waits in a register's worth of memory, so the order of a
** sum is that of a single image.
**
** Weights in 16 bits are read where they lie as well, and widened on the way:
** for one image in registers (halves.c), for a batch the rows at hand into a
** piece of memory that stays in the cache.
**
** The lanes of a sum are added in a fixed order at the end; then bias, a batch
** norm's scale and ReLU.
**
** Not here: CPUs without dots, which take OpenBLAS (layers.c), though not for
** weights in 16 bits.
*/
#include <string.h>

#include "floats.h"

#define DENSE_ROWS 64       /* of a task */
#define DENSE_IMAGES 32     /* at a time */
#define DENSE_COLUMNS 512   /* at a time, when there are several images */

#define DENSE_APART (DENSE_COLUMNS + 16)   /* between copied images */
#define DENSE_SUMS (DENSE_ROWS * DENSE_IMAGES * NN_FLOAT_LANES)
#define DENSE_COPIES (DENSE_IMAGES * DENSE_APART)

_Static_assert(DENSE_SUMS + DENSE_COPIES + NN_DOT_ROWS * DENSE_APART <=
                   NN_FLOAT_SCRATCH,
               "a task's sums, its part of the images and widened rows fit");

typedef struct dense_job {
  const nn_step *step;
  const nn_float_form *form;
  const nn_half_form *half;   /* NULL: weights are floats */
  size_t depth, outputs;
  int first, images;   /* that are multiplied now */
} dense_job;

/* Part `part` of `parts` of the next rows, of n columns each from `at` on, on
** its way to the cache. */
static void dense_fetch(const dense_job *job, size_t at, int rows, size_t n,
                        int part, int parts) {
  size_t size = job->half ? sizeof(uint16_t) : sizeof(float);
  const char *w = job->half ? (const char *)job->step->layer->halves
                            : (const char *)job->step->weight;
  size_t each = (n + (size_t)parts - 1) / (size_t)parts;
  size_t from = (size_t)part * each, to = from + each < n ? from + each : n;
  w += at * size;
  for (int r = 0; r < rows; r++, w += job->depth * size) {
    for (size_t i = from; i < to; i += 64 / size) {
      __builtin_prefetch(w + i * size);
    }
  }
}

/* `rows` rows by `images` images, weights from `at` on.  Those of 16 bits have
** been widened to `wide`, unless there is a dot of them. */
static void dense_dot(const dense_job *job, size_t at, int rows, int images,
                      size_t n, const float *wide, const float *x,
                      size_t apart, float *sums) {
  const nn_float_form *form = job->form;
  if (!job->half) {
    form->dot(rows, images, n, job->step->weight + at, job->depth, x, apart,
              sums);
  } else if (wide) {
    form->dot(rows, images, n, wide, DENSE_APART, x, apart, sums);
  } else {
    job->half->dot(rows, n, job->step->layer->halves + at, job->depth, x,
                   sums);
  }
}

/* Whether a part of the weights is widened before it is multiplied. */
static int dense_widens(const dense_job *job) {
  return job->half && (job->images > 1 || !job->half->dot);
}

/* Rows [row, row + rows) and all images of the job, columns [k, k + n), which
** lie at x, `apart` floats from one image to the next. */
static void dense_block(const dense_job *job, size_t row, int rows, size_t k,
                        size_t n, const float *x, size_t apart, float *sums,
                        float *wide) {
  const nn_float_form *form = job->form;
  size_t lanes = (size_t)form->lanes;
  if (!dense_widens(job)) wide = NULL;
  int most = job->images == 1 ? form->dot_rows : form->batch_rows;
  for (int r = 0; r < rows; r += most) {
    int some = rows - r < most ? rows - r : most;
    int next = rows - r - some < most ? rows - r - some : most;
    size_t at = (row + (size_t)r) * job->depth + k;
    for (size_t i = 0; wide && i < (size_t)some; i++) {
      job->half->widen(n, job->step->layer->halves + at + i * job->depth,
                       wide + i * DENSE_APART);
    }
    for (int m = 0; m < job->images; m += form->dot_images) {
      int left = job->images - m;
      int images = left < form->dot_images ? left : form->dot_images;
      if (job->images > 1) {
        dense_fetch(job, at + (size_t)some * job->depth, next, n,
                    m / form->dot_images,
                    (job->images + form->dot_images - 1) / form->dot_images);
      }
      dense_dot(job, at, some, images, n, wide, x + (size_t)m * apart, apart,
                sums);
      sums += (size_t)(some * images) * lanes;
    }
  }
}

/* The sum of a register, by halves. */
static float dense_sum(float *lane, int lanes) {
  for (int half = lanes / 2; half > 0; half /= 2) {
    for (int i = 0; i < half; i++) lane[i] += lane[i + half];
  }
  return lane[0];
}

/* What dense_block left, in its order, to the outputs. */
static void dense_finish(const dense_job *job, size_t row, int rows,
                         float *sums) {
  const nn_float_form *form = job->form;
  const nn_step *s = job->step;
  int most = job->images == 1 ? form->dot_rows : form->batch_rows;
  for (int r = 0; r < rows; r += most) {
    int some = rows - r < most ? rows - r : most;
    for (int m = 0; m < job->images; m += form->dot_images) {
      int left = job->images - m;
      int images = left < form->dot_images ? left : form->dot_images;
      for (int i = 0; i < some * images; i++, sums += form->lanes) {
        size_t o = row + (size_t)(r + i / images);
        size_t image = (size_t)(job->first + m + i % images);
        float y = dense_sum(sums, form->lanes);
        if (s->scale) y *= s->scale[o];
        if (s->bias) y += s->bias[o];
        s->out[image * job->outputs + o] = s->relu && !(y > 0) ? 0 : y;
      }
    }
  }
}

static void dense_task(void *context, size_t task, int worker) {
  const dense_job *job = context;
  size_t row = task * DENSE_ROWS;
  int rows = job->outputs - row < DENSE_ROWS ? (int)(job->outputs - row)
                                             : DENSE_ROWS;
  float *sums = job->step->private_scratch + (size_t)worker * NN_FLOAT_SCRATCH;
  int whole = job->images == 1 && !dense_widens(job);
  size_t most = whole ? job->depth : DENSE_COLUMNS;
  memset(sums, 0, (size_t)(rows * job->images * job->form->lanes) *
                      sizeof(*sums));
  const float *x = job->step->in[0] + (size_t)job->first * job->depth;
  float *copy = sums + DENSE_SUMS, *wide = copy + DENSE_COPIES;
  for (size_t k = 0; k < job->depth; k += most) {
    size_t n = job->depth - k < most ? job->depth - k : most;
    if (job->images == 1) {
      dense_block(job, row, rows, k, n, x + k, 0, sums, wide);
      continue;
    }
    for (size_t m = 0; m < (size_t)job->images; m++) {
      memcpy(copy + m * DENSE_APART, x + m * job->depth + k,
             n * sizeof(*copy));
    }
    dense_block(job, row, rows, k, n, copy, DENSE_APART, sums, wide);
  }
  dense_finish(job, row, rows, sums);
}

void nn_dense_run(const nn_step *step) {
  dense_job job;
  job.step = step;
  job.form = step->form ? step->form : nn_float_kernels_for(0, 0);
  job.half = step->layer->halves
                 ? nn_half_kernels_for(nn_cpu_features(), job.form)
                 : NULL;
  job.depth = step->blobs[step->layer->bottom[0]].size;
  job.outputs = step->blobs[step->layer->top].size;
  for (job.first = 0; job.first < step->n; job.first += job.images) {
    int left = step->n - job.first;
    job.images = left < DENSE_IMAGES ? left : DENSE_IMAGES;
    nn_team_run(step->team, nn_pieces(job.outputs, DENSE_ROWS), dense_task,
                &job);
  }
}

/*
** What the files of float32 networks share: the kernels (floats.c), the team of
** threads that a forward pass may have (team.c), and the layers that are made
** of both (convolve.c, dense.c).
*/
#ifndef BINHASH_NN_FLOATS_H
#define BINHASH_NN_FLOATS_H

#include "nn_int.h"

/* Kernels ----------------------------------------------------------------- */

/* Limits of every form, for memory whose size must not depend on one. */
#define NN_FLOAT_ROWS 12
#define NN_FLOAT_COLUMNS 32
#define NN_FLOAT_LANES 16
#define NN_DOT_ROWS 8
#define NN_DOT_IMAGES 6

/*
** One set of kernels.
**
** tile: c[r * ldc + j] = (add ? what it was : 0) + the sum over i < k of
** a[r * lda + i] * b[i * columns + j], in the order of i, for r < rows, which
** is 1 to the form's, and all j < columns.
**
** dot: sums[(r * images + m) * lanes + l] grows by the products of w[r * ldw +
** i] and x[m * ldx + i] over those i < k with i % lanes == l, in the order of
** i, for r < rows <= dot_rows and m < images <= dot_images; with more than one
** image rows <= batch_rows.  So what a sum is does not depend on how many rows
** or images are taken at a time.
*/
typedef struct nn_float_form {
  const char *name;
  int rows, columns;
  int lanes, dot_rows, dot_images, batch_rows;
  void (*tile)(int rows, size_t k, const float *a, size_t lda, const float *b,
               float *c, size_t ldc, int add);
  void (*dot)(int rows, int images, size_t k, const float *w, size_t ldw,
              const float *x, size_t ldx, float *sums);
} nn_float_form;

/* The i-th set that this CPU can run, NULL after the last.  0 is the plain
** reference, the last is the fastest. */
const nn_float_form *nn_float_kernels(int i);
/* The same for a CPU with these features. */
const nn_float_form *nn_float_kernels_for(unsigned cpu, int i);

/* halves.c ---------------------------------------------------------------- */

/*
** What reads weights of 16 bits (F16) beside a form of floats.c: widen gives
** the floats that n halves are; dot, which a form may lack, is floats.c's for
** one image, with the same lanes, rows and order of sums.
*/
typedef struct nn_half_form {
  const char *name;
  void (*widen)(size_t n, const uint16_t *from, float *to);
  void (*dot)(int rows, size_t k, const uint16_t *w, size_t ldw,
              const float *x, float *sums);
} nn_half_form;

/* The fastest for that form on a CPU with these features. */
const nn_half_form *nn_half_kernels_for(unsigned cpu,
                                        const nn_float_form *form);

/* Teams ------------------------------------------------------------------- */

#define NN_TEAM_MAX 64   /* threads of one, the caller among them */

/*
** Threads that work for one call, the caller's among them.  open() starts
** threads - 1 (fewer, if the system refuses); run() calls work(context, task,
** worker) once for each task, 0 <= worker < nn_team_size, in any order, and
** returns when all are done; close() joins.  A NULL team is the caller alone.
*/
typedef struct nn_team nn_team;
nn_status nn_team_open(const nn_memory *mem, int threads, nn_team **team,
                       nn_error *err);
void nn_team_close(nn_team *team);
int nn_team_size(const nn_team *team);
void nn_team_run(nn_team *team, size_t tasks,
                 void (*work)(void *context, size_t task, int worker),
                 void *context);

/* Pieces of `each` that n takes, the last of which may be short. */
static inline size_t nn_pieces(size_t n, size_t each) {
  return (n + each - 1) / each;
}

/* How many of n to take first, for the fewest pieces of at most `most` that are
** as even as can be. */
static inline size_t nn_even(size_t n, size_t most) {
  return nn_pieces(n, nn_pieces(n, most));
}

/* Layers ------------------------------------------------------------------ */

/* Floats of private memory that each thread wants. */
#define NN_FLOAT_SCRATCH ((size_t)65536)

/* plan.c: have the model's layers use this form, NULL for OpenBLAS.  Tests do
** so; nn_plan takes the fastest. */
nn_status nn_floats_ready(nn_model *model, const nn_float_form *form,
                          nn_error *err);

/* convolve.c: what is found out when the model is first used, the floats of
** memory that the threads share (a padded copy of the input), the layer. */
nn_status nn_convolve_ready(nn_model *model, nn_layer *layer, nn_error *err);
size_t nn_convolve_scratch(const nn_layer *layer, const nn_blob *blobs);
void nn_convolve_run(const nn_step *step);

/* cut.c: which convolutions winograd.c does, and what it wants ready. */
int nn_winograd_fits(const nn_layer *layer, const nn_blob *blobs);
nn_status nn_winograd_ready(nn_model *model, nn_layer *layer, nn_error *err);

/* winograd.c: convolutions of 3x3, and others in pieces. */
size_t nn_winograd_scratch(const nn_layer *layer, const nn_blob *blobs);
void nn_winograd_run(const nn_step *step);

/* pooling.c: as everything else, on the team. */
void nn_pooling_run(const nn_step *step);

/* dense.c: an inner product, its weights read where they lie. */
void nn_dense_run(const nn_step *step);

#endif

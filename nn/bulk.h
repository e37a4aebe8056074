/*
** Many pictures through one network, on several threads: put them in, get what
** the network makes of them in the same order.  See network.h for models,
** memory and errors.
*/
#ifndef BINHASH_NN_BULK_H
#define BINHASH_NN_BULK_H

#include "network.h"

typedef struct nn_bulk nn_bulk;

typedef struct nn_bulk_options {
  const nn_model *model;    /* outlives the bulk */
  nn_engine engine;         /* NN_FAST or NN_AMX */
  const int *blobs;         /* what is wanted, as for nn_run_blobs */
  int count;
  int threads;              /* 1: none but the caller's */
  int batch;                /* images that a pass takes; 0: what suits the
                            ** model and gives what one image alone gives */
  uint64_t max_pixels;
} nn_bulk_options;

/*
** Threads are started here and joined by nn_bulk_close; where the system gives
** none, the caller's does the work.  All of these are called on one thread, and
** memory is taken and given back on it.
*/
nn_status nn_bulk_open(const nn_memory *mem, const nn_bulk_options *options,
                       nn_bulk **out, nn_error *err);
/* Returns once each thread is done with the picture that it is at.  NULL is
** fine.  In a process forked since nn_bulk_open, which has none of the threads,
** the memory is left alone. */
void nn_bulk_close(nn_bulk *bulk);

/* Threads that were started, 0 where the caller's does the work. */
int nn_bulk_threads(const nn_bulk *bulk);
/* May a picture of n bytes be put?  One may always where there is none. */
int nn_bulk_has_room(const nn_bulk *bulk, size_t n);
/* A copy is made of the bytes.  After an error nothing was put. */
nn_status nn_bulk_put(nn_bulk *bulk, const void *bytes, size_t n,
                      nn_error *err);

/* What became of a picture: values, as for nn_run_blobs, or why there are
** none.  Valid until the picture is dropped. */
typedef struct nn_bulk_result {
  const nn_error *error;       /* its status is NN_OK where there are values */
  float *const *values;
} nn_bulk_result;

/*
** The oldest picture that was put and not dropped.  *done is 0 where it is not
** ready after about `ms` milliseconds, or where the caller should have a look
** at other things before it asks again.  An error that is not of the picture
** (no memory for it even alone; the network cannot run here) stands in *out as
** well.  Fails only where there is no picture, or in a forked process.
*/
nn_status nn_bulk_get(nn_bulk *bulk, int ms, int *done, nn_bulk_result *out,
                      nn_error *err);
/* Drop the oldest, which nn_bulk_get gave. */
void nn_bulk_drop(nn_bulk *bulk);

#endif

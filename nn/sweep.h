/*
** Between top.c and sweep.c: a pass that several threads share.
*/
#ifndef BINHASH_NN_SWEEP_H
#define BINHASH_NN_SWEEP_H

#include <stdatomic.h>

#include "floats.h"

/* top.c: another pass for the same rows as one that has just begun, of which
** no block was added yet. */
nn_status nn_top_twin(const nn_top *top, nn_top **out, nn_error *err);
/* Room for blocks of so many rows, so that nn_top_add wants no memory. */
nn_status nn_top_reserve(nn_top *top, int rows, nn_error *err);
nn_memory nn_top_memory(const nn_top *top);
/* The passes of several threads tell each other here how far a row may be. */
void nn_top_share(nn_top *top, atomic_int *limit);
/* After nn_top_end of all: their rows become those of the first. */
void nn_top_merge(nn_top *const *tops, int n);

/* sweep.c: nn_top_sweep by exactly so many threads, 1 to NN_TEAM_MAX, if there
** is memory for them. */
nn_status nn_top_sweep_by(nn_top *top, const nn_blocks *blocks, int threads,
                          int (*poll)(void *), void *poll_context,
                          nn_error *err);

#endif

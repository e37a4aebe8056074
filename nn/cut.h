/*
** How filters are cut for winograd.c and whole.c: what cut.c finds out about a
** layer.
*/
#ifndef BINHASH_NN_CUT_H
#define BINHASH_NN_CUT_H

#include "floats.h"

/* How an axis of the filter is cut: pieces of three taps, then of two. */
typedef struct nn_cut_axis {
  size_t stride, taps, threes, pieces;
} nn_cut_axis;

/* One of the 16 places: of a group, channels of all pieces that add to it, and
** those of the places before it. */
typedef struct nn_cut_place {
  size_t depth, before;
} nn_cut_place;

typedef struct nn_cut {
  nn_cut_axis y, x;
  size_t depth;                /* channels of a piece, of a group */
  nn_cut_place place[16];
  size_t total;                /* depth of all places */
} nn_cut;

/* The cut of a layer's filters, whether or not it fits: of a piece `depth`
** channels are multiplied. */
nn_cut nn_cut_of(const nn_layer *l, size_t depth);
/* The channels of a group, in all phases of the strides. */
size_t nn_cut_depth(const nn_layer *l, const nn_blob *in);
/* Whether that saves enough multiplications. */
int nn_cut_saves(const nn_layer *l);

/* The tap at which a piece begins. */
static inline size_t nn_cut_start(const nn_cut_axis *a, size_t piece) {
  return piece < a->threes ? 3 * piece : 2 * piece + a->threes;
}

/* Pieces that count in a row (column) of places. */
static inline size_t nn_cut_count(const nn_cut_axis *a, size_t place) {
  return place < 3 ? a->pieces : a->threes;
}

#endif

/*
** Features: vectors of a network's layer as blobs, packed or not, and their
** distances.  See features.c for what the bytes are and what is computed.
*/
#ifndef BINHASH_NN_VECTORS_H
#define BINHASH_NN_VECTORS_H

#include <stddef.h>
#include <stdint.h>

#include "network.h"

/* Values that nn_features_pack takes. */
#define NN_FEATURES_MAX ((size_t)1 << 24)

/* A vector that has been read.  It points into the blob, which is the caller's
** and of any alignment. */
typedef struct nn_features {
  const uint8_t *values;   /* n float32, little-endian, or n bytes */
  size_t n;
  int packed;
  double offset, step;     /* packed: value i is offset + step * values[i] */
} nn_features;

/* Read a blob that may be anything: 1, or 0 for one that is neither float32 nor
** packed.  O(1). */
int nn_features_read(const void *blob, size_t bytes, nn_features *out);

/* Bytes of n values when they are packed: 9 + n rounded up to a multiple of
** four, which is no multiple of four. */
size_t nn_features_packed_size(size_t n);

/* Pack float32 features into nn_features_packed_size(n) bytes.  NN_ARGUMENT
** with a sentence for more than NN_FEATURES_MAX values and for those that are
** not finite. */
nn_status nn_features_pack(const nn_features *from, uint8_t *out,
                           nn_error *err);

/*
** Euclidean and cosine distance (1 - cosine) of two vectors of one length, the
** same double on every machine; NaN if there is one among the values.  The
** cosine distance of a vector of zeros is 1.
*/
double nn_features_euclidean(const nn_features *a, const nn_features *b);
double nn_features_cosine(const nn_features *a, const nn_features *b);

/* Kernels ------------------------------------------------------------------ */

/* Sums are kept in so many lanes. */
#define NN_FEATURES_LANES 16

/*
** Add what the first n values give, n a multiple of the lanes, value i to lane
** i modulo the lanes.  squares: of a - b, into one set of lanes.  products:
** a*a, b*b, a*b, into three sets, one after the other.
*/
typedef struct nn_features_form {
  const char *name;
  void (*squares)(const nn_features *a, const nn_features *b, size_t n,
                  double *lanes);
  void (*products)(const nn_features *a, const nn_features *b, size_t n,
                   double *lanes);
} nn_features_form;

/* The i-th kernel that this CPU can run, from the reference to the fastest;
** NULL past the last. */
const nn_features_form *nn_features_kernels(int i);

/* The distances by one of them. */
double nn_features_euclidean_by(const nn_features_form *form,
                                const nn_features *a, const nn_features *b);
double nn_features_cosine_by(const nn_features_form *form,
                             const nn_features *a, const nn_features *b);

#endif

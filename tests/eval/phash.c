/*
** A perceptual hash, to compare with: evaluated here, not offered.
**
** The usual one of 64 bits (Zauner, "Implementation and Benchmarking of
** Perceptual Image Hash Functions", 2010): 32x32 grey pixels, their discrete
** cosine transform, the 8x8 coefficients of the lowest frequencies without
** those of frequency 0 along either side, and a bit for each that is above
** their median.
*/
#include <math.h>
#include <stdlib.h>

#include "eval.h"

#define PHASH_SIDE 32
#define PHASH_KEPT 8

static int phash_order(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

uint64_t eval_phash(const float *pixels) {
  enum { S = PHASH_SIDE, K = PHASH_KEPT, PLANE = S * S };
  double wave[K][S], rows[S][K], found[K * K], sorted[K * K];
  for (int k = 0; k < K; k++) {
    for (int i = 0; i < S; i++) {
      wave[k][i] = cos(acos(-1) * (k + 1) * (2 * i + 1) / (2 * S));
    }
  }
  for (int y = 0; y < S; y++) {
    for (int k = 0; k < K; k++) {
      rows[y][k] = 0;
      for (int x = 0; x < S; x++) {
        const float *p = pixels + y * S + x;
        double grey = 0.299 * p[0] + 0.587 * p[PLANE] + 0.114 * p[2 * PLANE];
        rows[y][k] += wave[k][x] * grey;
      }
    }
  }
  for (int j = 0; j < K * K; j++) {
    found[j] = 0;
    for (int y = 0; y < S; y++) found[j] += wave[j / K][y] * rows[y][j % K];
    sorted[j] = found[j];
  }
  qsort(sorted, K * K, sizeof *sorted, phash_order);
  double median = (sorted[K * K / 2 - 1] + sorted[K * K / 2]) / 2;
  uint64_t hash = 0;
  for (int j = 0; j < K * K; j++) hash = hash << 1 | (found[j] > median);
  return hash;
}

/*
** What comes out of a network, as bytes: codes and features.
**
** A code is made here and nowhere else, so this file owns its layout: latent
** unit 0 is the most significant bit of byte 0, bit i is 1 when logit i is
** above zero, and the spare low bits of the last byte are 0.  The sigmoid that
** follows the latent layer is above one half exactly where the logit is above
** zero, so it is never computed; a logit of zero gives 0, and so does NaN,
** since a comparison with it is false.
**
** Features are float32 blobs, little-endian, and their distances serve
** feature_distance() and cosine_distance().  A blob from SQLite may start at
** any address and may have been written on another machine, hence the reading
** byte by byte, which compilers turn into one load where that is the same.
** Sums are double, in four lanes, so that an addition need not wait for the one
** before it.  Not here: the distance of codes, which is hamming.c.
*/
#include <math.h>
#include <string.h>

#include "nn_int.h"

void nn_code_from_logits(const float *logits, int bits, uint8_t *code) {
  memset(code, 0, ((size_t)bits + 7) / 8);
  for (int i = 0; i < bits; i++)
    if (logits[i] > 0) code[i >> 3] |= (uint8_t)(0x80 >> (i & 7));
}

/* The i-th float of a blob. */
static inline double code_float(const uint8_t *p, size_t i) {
  p += 4 * i;
  uint32_t bits = (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
                  (uint32_t)p[3] << 24;
  float x;
  memcpy(&x, &bits, sizeof(x));
  return x;
}

double nn_euclidean(const void *a, const void *b, size_t n) {
  double sum[4] = {0, 0, 0, 0};
  size_t i = 0;
  for (; i + 4 <= n; i += 4)
    for (size_t j = 0; j < 4; j++) {
      double d = code_float(a, i + j) - code_float(b, i + j);
      sum[j] += d * d;
    }
  for (; i < n; i++) {
    double d = code_float(a, i) - code_float(b, i);
    sum[0] += d * d;
  }
  return sqrt((sum[0] + sum[1]) + (sum[2] + sum[3]));
}

/*
** sqrt(aa * bb) rather than the product of two roots: of a vector and itself
** that is exactly aa, and the distance exactly 0.  Squares of float32 are
** within 1e-90 and 1e77, so the product neither over- nor underflows.
*/
double nn_cosine(const void *a, const void *b, size_t n) {
  double aa[4] = {0, 0, 0, 0}, bb[4] = {0, 0, 0, 0}, ab[4] = {0, 0, 0, 0};
  size_t i = 0;
  for (; i + 4 <= n; i += 4)
    for (size_t j = 0; j < 4; j++) {
      double x = code_float(a, i + j), y = code_float(b, i + j);
      aa[j] += x * x;
      bb[j] += y * y;
      ab[j] += x * y;
    }
  for (; i < n; i++) {
    double x = code_float(a, i), y = code_float(b, i);
    aa[0] += x * x;
    bb[0] += y * y;
    ab[0] += x * y;
  }
  double xx = (aa[0] + aa[1]) + (aa[2] + aa[3]);
  double yy = (bb[0] + bb[1]) + (bb[2] + bb[3]);
  double xy = (ab[0] + ab[1]) + (ab[2] + ab[3]);
  if (xx == 0 || yy == 0) return 1;
  return 1 - xy / sqrt(xx * yy);
}

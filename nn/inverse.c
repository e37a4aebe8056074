/*
** From the coefficients of a JPEG's block to its samples: the inverse cosine
** transform, at the scales 2, 4 and 8 (scale 1 is the DC alone, nn_jpeg_mean).
**
** The 64 samples of a block are averaged before they are made: at scale n each
** of the n x n samples is the mean of 8/n x 8/n of them.  In one dimension the
** mean of neighbours of sample j of n multiplies coefficient u by
**
**     cos((2 * j + 1) * u * pi / (2 * n))
**
** times a factor of u alone, the product of cos(u * pi * 8 / (2^i * 16)) over
** the halvings; what some u is multiplied by is 0 for every j, and these are
** never asked for: 4 at scale 4; 2, 4 and 6 at scale 2.
**
** Exactly, the transform is two products with a matrix K of n x 8 integers:
**
**     t(j, x) = floor((sum over v of K(j, v) * c(v, x) + 2^(s-1)) / 2^s)
**     out(j, i) = floor((sum over u of K(i, u) * t(j, u) + 2^(r-1)) / 2^r)
**
** with s = 11, 12, 13 and r = 18, 19, 20 at scales 8, 4, 2, then 128 is added
** and the result clamped to 0 to 255.  K is what libjpeg's jidctint and
** jidctred amount to: they share multiplications, but round nowhere within a
** pass, so their sums are these.  The matrices are below, as the half for even
** u and the half for odd u of their upper rows: row n - 1 - j is row j with the
** odd ones negated.  weights/README.md has them too.
**
** Sums are taken in 64 bits, so that no block, however loud, needs a thought;
** scale 1 is what most pictures are decoded at.
*/
#include "jpeg.h"

/* u of the even and the odd halves, and K for the upper rows. */
typedef struct inverse_matrix {
  int evens, even[4];      /* the odd ones are 1, 3, 5 and 7 */
  int shift;               /* of the columns' pass; the rows' has 7 more */
  int32_t of_even[4][4], of_odd[4][4];
} inverse_matrix;

static const inverse_matrix inverse_2 = {
    1, {0}, 13,
    {{32768}},
    {{29692, -10426, 6967, -5906}}};

static const inverse_matrix inverse_4 = {
    3, {0, 2, 6}, 12,
    {{16384, 15137, -6270}, {16384, -15137, 6270}},
    {{20995, 7373, -4926, -4176}, {8697, -17799, 11893, -1730}}};

static const inverse_matrix inverse_8 = {
    4, {0, 2, 4, 6}, 11,
    {{8192, 10703, 8192, 4433},
     {8192, 4433, -8192, -10704},
     {8192, -4433, -8192, 10704},
     {8192, -10703, 8192, -4433}},
    {{11363, 9633, 6437, 2260},
     {9633, -2259, -11362, -6436},
     {6437, -11362, 2261, 9633},
     {2260, -6436, 9633, -11363}}};

/* One product: 8 numbers `step` apart into n, `to_step` apart. */
static inline void inverse_pass(const inverse_matrix *m, int n,
                                const int32_t *from, int step, int shift,
                                int32_t *to, int to_step) {
  for (int j = 0; j < n / 2; j++) {
    int64_t even = (int64_t)1 << (shift - 1), odd = 0;
    for (int i = 0; i < m->evens; i++) {
      even += (int64_t)m->of_even[j][i] * from[m->even[i] * step];
    }
    for (int i = 0; i < 4; i++) {
      odd += (int64_t)m->of_odd[j][i] * from[(2 * i + 1) * step];
    }
    to[j * to_step] = (int32_t)((even + odd) >> shift);
    to[(n - 1 - j) * to_step] = (int32_t)((even - odd) >> shift);
  }
}

static inline void inverse_run(const inverse_matrix *m, int n,
                               const int32_t value[64], unsigned columns,
                               uint8_t *to, size_t stride) {
  int32_t half[8][8] = {{0}}, row[8];
  for (int u = 0; u < 8; u++) {
    if (columns >> u & 1) {
      inverse_pass(m, n, value + u, 8, m->shift, &half[0][u], 8);
    }
  }
  for (int j = 0; j < n; j++, to += stride) {
    inverse_pass(m, n, half[j], 1, m->shift + 7, row, 1);
    for (int i = 0; i < n; i++) to[i] = nn_jpeg_clamp(row[i] + 128);
  }
}

void nn_jpeg_inverse(const int32_t value[64], unsigned columns, int n,
                     uint8_t *to, size_t stride) {
  if (n == 2) {
    inverse_run(&inverse_2, 2, value, columns, to, stride);
  } else if (n == 4) {
    inverse_run(&inverse_4, 4, value, columns, to, stride);
  } else {
    inverse_run(&inverse_8, 8, value, columns, to, stride);
  }
}

/*
** The sums of float32 networks, as fast as the CPU allows.
**
** Two loops are nearly all the time of img_hash() under a float32 model: the
** product of two packed matrices, which convolutions are made of, and scalar
** products of long rows, which inner products are.  Both are here in plain C,
** which is the reference, and once for each instruction set:
**
**   scalar   as the definition reads
**   avx2     tiles of 6 channels by 16 positions, FMA of 8
**   avx512   tiles of 12 by 32, FMA of 16
**   neon     tiles of 6 by 16, FMA of 4
**
** A tile's sums stay in registers for its whole depth.  Each step loads one row
** of positions and multiplies it with one number of each channel, so of a and b
** together far fewer bytes are read than there are products.  A dot keeps one
** register of sums for each pair of a row and an image: rows are read once, from
** memory, and serve all images at hand.
**
** The order in which a sum is taken is fixed by the form alone, not by how many
** rows, images or threads there are: a picture has the same code in a batch as
** alone.  Between forms the last bits may differ (float32 models promise no
** more, weights/README.md).
**
** CPUs with none of the three multiply by OpenBLAS (layers.c).
**
** Not here: how matrices are packed, tiles at an edge, threads (convolve.c,
** dense.c).
*/
#include "floats.h"

#if defined(__x86_64__)
#include <immintrin.h>
#define FLOATS_AVX2 NN_TARGET("avx2,fma")
#define FLOATS_AVX512 NN_TARGET("avx512f,avx512bw,avx512vl")
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#define FLOATS_INLINE static inline __attribute__((always_inline)) void
#ifdef __clang__
#define FLOATS_UNROLL _Pragma("clang loop unroll(full)")
#else
#define FLOATS_UNROLL _Pragma("GCC unroll 16")
#endif

/* The plain reference ----------------------------------------------------- */

static void floats_scalar_tile(int rows, size_t k, const float *a, size_t lda,
                               const float *b, float *c, size_t ldc, int add) {
  for (int r = 0; r < rows; r++, a += lda, c += ldc) {
    for (size_t j = 0; j < 4; j++) {
      float sum = add ? c[j] : 0;
      for (size_t i = 0; i < k; i++) sum += a[i] * b[i * 4 + j];
      c[j] = sum;
    }
  }
}

static void floats_scalar_dot(int rows, int images, size_t k, const float *w,
                              size_t ldw, const float *x, size_t ldx,
                              float *sums) {
  for (int r = 0; r < rows; r++, w += ldw) {
    for (int m = 0; m < images; m++, sums++) {
      for (size_t i = 0; i < k; i++) *sums += w[i] * x[(size_t)m * ldx + i];
    }
  }
}

/*
** A dot of a constant number of rows and images is one function for each such
** pair, whose sums must end in registers.  CASES names the pairs of a form: up
** to eight rows of one image, up to four of more.
*/
#define FLOATS_CASE(form, r, m)                                \
  case (m) * 16 + (r):                                         \
    floats_##form##_dots(r, m, k, w, ldw, x, ldx, sums); break;
#define FLOATS_CASES4(form, m)                            \
  FLOATS_CASE(form, 1, m) FLOATS_CASE(form, 2, m)         \
  FLOATS_CASE(form, 3, m) FLOATS_CASE(form, 4, m)
#define FLOATS_CASES8(form, m)                            \
  FLOATS_CASES4(form, m)                                  \
  FLOATS_CASE(form, 5, m) FLOATS_CASE(form, 6, m)         \
  FLOATS_CASE(form, 7, m) FLOATS_CASE(form, 8, m)

/* Likewise a tile, of any number of rows up to the form's. */
#define FLOATS_TILE(form, r) \
  case r: floats_##form##_rows(r, k, a, lda, b, c, ldc, add); break;
#define FLOATS_TILES6(form)                                             \
  FLOATS_TILE(form, 1) FLOATS_TILE(form, 2) FLOATS_TILE(form, 3)        \
  FLOATS_TILE(form, 4) FLOATS_TILE(form, 5) FLOATS_TILE(form, 6)
#define FLOATS_TILES12(form)                                            \
  FLOATS_TILES6(form)                                                   \
  FLOATS_TILE(form, 7) FLOATS_TILE(form, 8) FLOATS_TILE(form, 9)        \
  FLOATS_TILE(form, 10) FLOATS_TILE(form, 11) FLOATS_TILE(form, 12)

#if defined(__x86_64__)

/* AVX2 -------------------------------------------------------------------- */

FLOATS_AVX2 FLOATS_INLINE floats_avx2_rows(const int rows, size_t k,
                                           const float *a, size_t lda,
                                           const float *b, float *c,
                                           size_t ldc, int add) {
  __m256 sum[6][2];
  FLOATS_UNROLL
  for (int r = 0; r < rows; r++) {
    float *to = c + (size_t)r * ldc;
    sum[r][0] = add ? _mm256_loadu_ps(to) : _mm256_setzero_ps();
    sum[r][1] = add ? _mm256_loadu_ps(to + 8) : _mm256_setzero_ps();
  }
  for (size_t i = 0; i < k; i++, b += 16) {
    __m256 b0 = _mm256_loadu_ps(b), b1 = _mm256_loadu_ps(b + 8);
    FLOATS_UNROLL
    for (int r = 0; r < rows; r++) {
      __m256 x = _mm256_broadcast_ss(a + (size_t)r * lda + i);
      sum[r][0] = _mm256_fmadd_ps(x, b0, sum[r][0]);
      sum[r][1] = _mm256_fmadd_ps(x, b1, sum[r][1]);
    }
  }
  FLOATS_UNROLL
  for (int r = 0; r < rows; r++) {
    float *to = c + (size_t)r * ldc;
    _mm256_storeu_ps(to, sum[r][0]);
    _mm256_storeu_ps(to + 8, sum[r][1]);
  }
}

FLOATS_AVX2 static void floats_avx2_tile(int rows, size_t k, const float *a,
                                         size_t lda, const float *b, float *c,
                                         size_t ldc, int add) {
  switch (rows) {
    FLOATS_TILES6(avx2)
  }
}

/* The first n < 8 floats, zeros behind them. */
FLOATS_AVX2 static inline __m256 floats_avx2_some(const float *p, size_t n) {
  __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  __m256i mask = _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), lane);
  return _mm256_maskload_ps(p, mask);
}

FLOATS_AVX2 FLOATS_INLINE floats_avx2_dots(const int rows, const int images,
                                           size_t k, const float *w,
                                           size_t ldw, const float *x,
                                           size_t ldx, float *sums) {
  __m256 sum[NN_DOT_ROWS][3], v[3];
  FLOATS_UNROLL
  for (int r = 0; r < rows; r++) {
    FLOATS_UNROLL
    for (int m = 0; m < images; m++) {
      sum[r][m] = _mm256_loadu_ps(sums + (r * images + m) * 8);
    }
  }
  size_t i = 0;
  for (; i + 8 <= k; i += 8) {
    FLOATS_UNROLL
    for (int m = 0; m < images; m++) {
      v[m] = _mm256_loadu_ps(x + (size_t)m * ldx + i);
    }
    FLOATS_UNROLL
    for (int r = 0; r < rows; r++) {
      __m256 y = _mm256_loadu_ps(w + (size_t)r * ldw + i);
      FLOATS_UNROLL
      for (int m = 0; m < images; m++) {
        sum[r][m] = _mm256_fmadd_ps(y, v[m], sum[r][m]);
      }
    }
  }
  if (i < k) {
    FLOATS_UNROLL
    for (int m = 0; m < images; m++) {
      v[m] = floats_avx2_some(x + (size_t)m * ldx + i, k - i);
    }
    FLOATS_UNROLL
    for (int r = 0; r < rows; r++) {
      __m256 y = floats_avx2_some(w + (size_t)r * ldw + i, k - i);
      FLOATS_UNROLL
      for (int m = 0; m < images; m++) {
        sum[r][m] = _mm256_fmadd_ps(y, v[m], sum[r][m]);
      }
    }
  }
  FLOATS_UNROLL
  for (int r = 0; r < rows; r++) {
    FLOATS_UNROLL
    for (int m = 0; m < images; m++) {
      _mm256_storeu_ps(sums + (r * images + m) * 8, sum[r][m]);
    }
  }
}

FLOATS_AVX2 static void floats_avx2_dot(int rows, int images, size_t k,
                                        const float *w, size_t ldw,
                                        const float *x, size_t ldx,
                                        float *sums) {
  switch (images * 16 + rows) {
    FLOATS_CASES8(avx2, 1)
    FLOATS_CASES4(avx2, 2)
    FLOATS_CASES4(avx2, 3)
  }
}

/* AVX-512 ----------------------------------------------------------------- */

FLOATS_AVX512 FLOATS_INLINE floats_avx512_rows(const int rows, size_t k,
                                               const float *a, size_t lda,
                                               const float *b, float *c,
                                               size_t ldc, int add) {
  __m512 sum[12][2];
  FLOATS_UNROLL
  for (int r = 0; r < rows; r++) {
    float *to = c + (size_t)r * ldc;
    sum[r][0] = add ? _mm512_loadu_ps(to) : _mm512_setzero_ps();
    sum[r][1] = add ? _mm512_loadu_ps(to + 16) : _mm512_setzero_ps();
  }
  for (size_t i = 0; i < k; i++, b += 32) {
    __m512 b0 = _mm512_loadu_ps(b), b1 = _mm512_loadu_ps(b + 16);
    FLOATS_UNROLL
    for (int r = 0; r < rows; r++) {
      __m512 x = _mm512_set1_ps(a[(size_t)r * lda + i]);
      sum[r][0] = _mm512_fmadd_ps(x, b0, sum[r][0]);
      sum[r][1] = _mm512_fmadd_ps(x, b1, sum[r][1]);
    }
  }
  FLOATS_UNROLL
  for (int r = 0; r < rows; r++) {
    float *to = c + (size_t)r * ldc;
    _mm512_storeu_ps(to, sum[r][0]);
    _mm512_storeu_ps(to + 16, sum[r][1]);
  }
}

FLOATS_AVX512 static void floats_avx512_tile(int rows, size_t k,
                                             const float *a, size_t lda,
                                             const float *b, float *c,
                                             size_t ldc, int add) {
  switch (rows) {
    FLOATS_TILES12(avx512)
  }
}

FLOATS_AVX512 FLOATS_INLINE floats_avx512_dots(const int rows,
                                               const int images, size_t k,
                                               const float *w, size_t ldw,
                                               const float *x, size_t ldx,
                                               float *sums) {
  __m512 sum[NN_DOT_ROWS][NN_DOT_IMAGES], v[NN_DOT_IMAGES];
  FLOATS_UNROLL
  for (int r = 0; r < rows; r++) {
    FLOATS_UNROLL
    for (int m = 0; m < images; m++) {
      sum[r][m] = _mm512_loadu_ps(sums + (r * images + m) * 16);
    }
  }
  for (size_t i = 0; i < k; i += 16) {
    __mmask16 mask =
        k - i < 16 ? (__mmask16)((1u << (k - i)) - 1) : (__mmask16)0xffff;
    FLOATS_UNROLL
    for (int m = 0; m < images; m++) {
      v[m] = _mm512_maskz_loadu_ps(mask, x + (size_t)m * ldx + i);
    }
    FLOATS_UNROLL
    for (int r = 0; r < rows; r++) {
      __m512 y = _mm512_maskz_loadu_ps(mask, w + (size_t)r * ldw + i);
      FLOATS_UNROLL
      for (int m = 0; m < images; m++) {
        sum[r][m] = _mm512_fmadd_ps(y, v[m], sum[r][m]);
      }
    }
  }
  FLOATS_UNROLL
  for (int r = 0; r < rows; r++) {
    FLOATS_UNROLL
    for (int m = 0; m < images; m++) {
      _mm512_storeu_ps(sums + (r * images + m) * 16, sum[r][m]);
    }
  }
}

FLOATS_AVX512 static void floats_avx512_dot(int rows, int images, size_t k,
                                            const float *w, size_t ldw,
                                            const float *x, size_t ldx,
                                            float *sums) {
  switch (images * 16 + rows) {
    FLOATS_CASES8(avx512, 1)
    FLOATS_CASES4(avx512, 2)
    FLOATS_CASES4(avx512, 3)
    FLOATS_CASES4(avx512, 4)
    FLOATS_CASES4(avx512, 5)
    FLOATS_CASES4(avx512, 6)
  }
}

#elif defined(__aarch64__)

/* NEON -------------------------------------------------------------------- */

FLOATS_INLINE floats_neon_rows(const int rows, size_t k, const float *a,
                               size_t lda, const float *b, float *c,
                               size_t ldc, int add) {
  float32x4_t sum[6][4];
  FLOATS_UNROLL
  for (int r = 0; r < rows; r++) {
    FLOATS_UNROLL
    for (int j = 0; j < 4; j++) {
      sum[r][j] = add ? vld1q_f32(c + (size_t)r * ldc + 4 * j)
                      : vdupq_n_f32(0);
    }
  }
  for (size_t i = 0; i < k; i++, b += 16) {
    float32x4_t v[4];
    FLOATS_UNROLL
    for (int j = 0; j < 4; j++) v[j] = vld1q_f32(b + 4 * j);
    FLOATS_UNROLL
    for (int r = 0; r < rows; r++) {
      float x = a[(size_t)r * lda + i];
      FLOATS_UNROLL
      for (int j = 0; j < 4; j++) sum[r][j] = vfmaq_n_f32(sum[r][j], v[j], x);
    }
  }
  FLOATS_UNROLL
  for (int r = 0; r < rows; r++) {
    FLOATS_UNROLL
    for (int j = 0; j < 4; j++) {
      vst1q_f32(c + (size_t)r * ldc + 4 * j, sum[r][j]);
    }
  }
}

static void floats_neon_tile(int rows, size_t k, const float *a, size_t lda,
                             const float *b, float *c, size_t ldc, int add) {
  switch (rows) {
    FLOATS_TILES6(neon)
  }
}

/* The first n < 4 floats, zeros behind them. */
static inline float32x4_t floats_neon_some(const float *p, size_t n) {
  float x[4] = {p[0], n > 1 ? p[1] : 0, n > 2 ? p[2] : 0, 0};
  return vld1q_f32(x);
}

FLOATS_INLINE floats_neon_dots(const int rows, const int images, size_t k,
                               const float *w, size_t ldw, const float *x,
                               size_t ldx, float *sums) {
  float32x4_t sum[NN_DOT_ROWS][NN_DOT_IMAGES], v[NN_DOT_IMAGES];
  FLOATS_UNROLL
  for (int r = 0; r < rows; r++) {
    FLOATS_UNROLL
    for (int m = 0; m < images; m++) {
      sum[r][m] = vld1q_f32(sums + (r * images + m) * 4);
    }
  }
  for (size_t i = 0; i < k; i += 4) {
    int whole = k - i >= 4;
    FLOATS_UNROLL
    for (int m = 0; m < images; m++) {
      const float *p = x + (size_t)m * ldx + i;
      v[m] = whole ? vld1q_f32(p) : floats_neon_some(p, k - i);
    }
    FLOATS_UNROLL
    for (int r = 0; r < rows; r++) {
      const float *p = w + (size_t)r * ldw + i;
      float32x4_t y = whole ? vld1q_f32(p) : floats_neon_some(p, k - i);
      FLOATS_UNROLL
      for (int m = 0; m < images; m++) {
        sum[r][m] = vfmaq_f32(sum[r][m], y, v[m]);
      }
    }
  }
  FLOATS_UNROLL
  for (int r = 0; r < rows; r++) {
    FLOATS_UNROLL
    for (int m = 0; m < images; m++) {
      vst1q_f32(sums + (r * images + m) * 4, sum[r][m]);
    }
  }
}

static void floats_neon_dot(int rows, int images, size_t k, const float *w,
                            size_t ldw, const float *x, size_t ldx,
                            float *sums) {
  switch (images * 16 + rows) {
    FLOATS_CASES8(neon, 1)
    FLOATS_CASES4(neon, 2)
    FLOATS_CASES4(neon, 3)
    FLOATS_CASES4(neon, 4)
    FLOATS_CASES4(neon, 5)
    FLOATS_CASES4(neon, 6)
  }
}

#endif

/* Dispatch ---------------------------------------------------------------- */

const nn_float_form *nn_float_kernels_for(unsigned cpu, int i) {
  static const nn_float_form scalar = {
      "scalar", 4, 4, 1, 8, 6, 4, floats_scalar_tile, floats_scalar_dot};
  if (i == 0) return &scalar;
#if defined(__x86_64__)
  static const nn_float_form avx2 = {
      "avx2", 6, 16, 8, 8, 3, 4, floats_avx2_tile, floats_avx2_dot};
  static const nn_float_form avx512 = {
      "avx512", 12, 32, 16, 8, 6, 4, floats_avx512_tile, floats_avx512_dot};
  if (cpu & NN_CPU_FMA && --i == 0) return &avx2;
  if (cpu & NN_CPU_AVX512F && --i == 0) return &avx512;
#elif defined(__aarch64__)
  static const nn_float_form neon = {
      "neon", 6, 16, 4, 8, 6, 4, floats_neon_tile, floats_neon_dot};
  (void)cpu;
  if (i == 1) return &neon;
#else
  (void)cpu;
#endif
  return NULL;
}

const nn_float_form *nn_float_kernels(int i) {
  return nn_float_kernels_for(nn_cpu_features(), i);
}

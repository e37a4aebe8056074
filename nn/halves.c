/*
** Numbers of 16 bits that become floats on the way: weights of inner products
** whose file has them as F16.
**
** The paper's network is 219 MB, nearly all of it two inner products, and for
** one image the time of those is that of reading them.  As halves they are half
** of that.  A half is IEEE's binary16 and every one of them is a float, so
** nothing is rounded here: a model of halves gives bit for bit what a float32
** model of the same numbers gives.  What it costs was lost when the file was
** written.
**
**   widen   n halves to floats: the definition in plain C, x86's VCVTPH2PS with
**           F16C and with AVX-512, NEON's FCVTL
**   dot     one image: rows of halves, each from end to end and as many side by
**           side as floats.c has, widened in a register
**
** A batch has its rows widened to where they stay in the cache (dense.c) and
** then multiplied by floats.c, since each meets all images.  The order of a sum
** is that of floats.c in both.
**
** Not here: writing halves, which is the packer's and the importer's.
*/
#include <string.h>

#include "floats.h"

#if defined(__x86_64__)
#include <immintrin.h>
#define HALVES_F16C NN_TARGET("avx2,fma,f16c")
#define HALVES_AVX512 NN_TARGET("avx512f,avx512bw,avx512vl")
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#define HALVES_INLINE static inline __attribute__((always_inline)) void
#ifdef __clang__
#define HALVES_UNROLL _Pragma("clang loop unroll(full)")
#else
#define HALVES_UNROLL _Pragma("GCC unroll 8")
#endif

/* One case for each number of rows. */
#define HALVES_CASE(form, r) \
  case r: halves_##form##_rows(r, k, w, ldw, x, sums); break;
#define HALVES_CASES(form)                                              \
  HALVES_CASE(form, 1) HALVES_CASE(form, 2) HALVES_CASE(form, 3)        \
  HALVES_CASE(form, 4) HALVES_CASE(form, 5) HALVES_CASE(form, 6)        \
  HALVES_CASE(form, 7) HALVES_CASE(form, 8)

/* The definition ---------------------------------------------------------- */

float nn_half_value(uint16_t half) {
  uint32_t sign = (uint32_t)(half & 0x8000) << 16, bits;
  uint32_t exponent = half >> 10 & 31, fraction = half & 0x3ff;
  float x;
  if (exponent == 0) {
    x = (float)fraction * 0x1p-24f;   /* exact, and no float is so small */
    memcpy(&bits, &x, sizeof(bits));
  } else if (exponent == 31) {
    /* of NaNs the quiet one, which the CPUs make */
    bits = 0x7f800000 | fraction << 13 | (fraction ? 0x400000 : 0);
  } else {
    bits = (exponent + 112) << 23 | fraction << 13;
  }
  bits |= sign;
  memcpy(&x, &bits, sizeof(x));
  return x;
}

static void halves_scalar_widen(size_t n, const uint16_t *from, float *to) {
  for (size_t i = 0; i < n; i++) to[i] = nn_half_value(from[i]);
}

#if defined(__x86_64__)

/* AVX2 with F16C ---------------------------------------------------------- */

HALVES_F16C
static inline __m256 halves_f16c_some(const uint16_t *p, size_t n) {
  uint16_t x[8] = {0};
  memcpy(x, p, n * sizeof(*x));
  return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)x));
}

HALVES_F16C
static void halves_f16c_widen(size_t n, const uint16_t *from, float *to) {
  size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    const void *p = from + i;
    _mm256_storeu_ps(to + i, _mm256_cvtph_ps(_mm_loadu_si128(p)));
  }
  if (i < n) {
    float x[8];
    _mm256_storeu_ps(x, halves_f16c_some(from + i, n - i));
    memcpy(to + i, x, (n - i) * sizeof(*x));
  }
}

HALVES_F16C
HALVES_INLINE halves_f16c_rows(const int rows, size_t k, const uint16_t *w,
                               size_t ldw, const float *x, float *sums) {
  __m256 sum[NN_DOT_ROWS];
  size_t i = 0;
  HALVES_UNROLL
  for (int r = 0; r < rows; r++) sum[r] = _mm256_loadu_ps(sums + r * 8);
  for (; i + 8 <= k; i += 8) {
    __m256 v = _mm256_loadu_ps(x + i);
    HALVES_UNROLL
    for (int r = 0; r < rows; r++) {
      const void *p = w + (size_t)r * ldw + i;
      sum[r] = _mm256_fmadd_ps(_mm256_cvtph_ps(_mm_loadu_si128(p)), v, sum[r]);
    }
  }
  if (i < k) {
    float some[8] = {0};
    memcpy(some, x + i, (k - i) * sizeof(*some));
    __m256 v = _mm256_loadu_ps(some);
    HALVES_UNROLL
    for (int r = 0; r < rows; r++) {
      __m256 y = halves_f16c_some(w + (size_t)r * ldw + i, k - i);
      sum[r] = _mm256_fmadd_ps(y, v, sum[r]);
    }
  }
  HALVES_UNROLL
  for (int r = 0; r < rows; r++) _mm256_storeu_ps(sums + r * 8, sum[r]);
}

HALVES_F16C
static void halves_f16c_dot(int rows, size_t k, const uint16_t *w, size_t ldw,
                            const float *x, float *sums) {
  switch (rows) { HALVES_CASES(f16c) }
}

/* AVX-512 ----------------------------------------------------------------- */

HALVES_AVX512
static inline __m512 halves_avx512_some(const uint16_t *p, size_t n) {
  uint16_t x[16] = {0};
  memcpy(x, p, n * sizeof(*x));
  return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)x));
}

HALVES_AVX512
static void halves_avx512_widen(size_t n, const uint16_t *from, float *to) {
  size_t i = 0;
  for (; i + 16 <= n; i += 16) {
    const void *p = from + i;
    _mm512_storeu_ps(to + i, _mm512_cvtph_ps(_mm256_loadu_si256(p)));
  }
  if (i < n) {
    float x[16];
    _mm512_storeu_ps(x, halves_avx512_some(from + i, n - i));
    memcpy(to + i, x, (n - i) * sizeof(*x));
  }
}

HALVES_AVX512
HALVES_INLINE halves_avx512_rows(const int rows, size_t k, const uint16_t *w,
                                 size_t ldw, const float *x, float *sums) {
  __m512 sum[NN_DOT_ROWS];
  size_t i = 0;
  HALVES_UNROLL
  for (int r = 0; r < rows; r++) sum[r] = _mm512_loadu_ps(sums + r * 16);
  for (; i + 16 <= k; i += 16) {
    __m512 v = _mm512_loadu_ps(x + i);
    HALVES_UNROLL
    for (int r = 0; r < rows; r++) {
      const void *p = w + (size_t)r * ldw + i;
      sum[r] =
          _mm512_fmadd_ps(_mm512_cvtph_ps(_mm256_loadu_si256(p)), v, sum[r]);
    }
  }
  if (i < k) {
    float some[16] = {0};
    memcpy(some, x + i, (k - i) * sizeof(*some));
    __m512 v = _mm512_loadu_ps(some);
    HALVES_UNROLL
    for (int r = 0; r < rows; r++) {
      __m512 y = halves_avx512_some(w + (size_t)r * ldw + i, k - i);
      sum[r] = _mm512_fmadd_ps(y, v, sum[r]);
    }
  }
  HALVES_UNROLL
  for (int r = 0; r < rows; r++) _mm512_storeu_ps(sums + r * 16, sum[r]);
}

HALVES_AVX512
static void halves_avx512_dot(int rows, size_t k, const uint16_t *w,
                              size_t ldw, const float *x, float *sums) {
  switch (rows) { HALVES_CASES(avx512) }
}

#elif defined(__aarch64__)

/* NEON -------------------------------------------------------------------- */

static inline float32x4_t halves_neon_four(const uint16_t *p) {
  return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p)));
}

static inline float32x4_t halves_neon_some(const uint16_t *p, size_t n) {
  uint16_t x[4] = {0};
  memcpy(x, p, n * sizeof(*x));
  return halves_neon_four(x);
}

static void halves_neon_widen(size_t n, const uint16_t *from, float *to) {
  size_t i = 0;
  for (; i + 4 <= n; i += 4) vst1q_f32(to + i, halves_neon_four(from + i));
  if (i < n) {
    float x[4];
    vst1q_f32(x, halves_neon_some(from + i, n - i));
    memcpy(to + i, x, (n - i) * sizeof(*x));
  }
}

HALVES_INLINE halves_neon_rows(const int rows, size_t k, const uint16_t *w,
                               size_t ldw, const float *x, float *sums) {
  float32x4_t sum[NN_DOT_ROWS];
  size_t i = 0;
  HALVES_UNROLL
  for (int r = 0; r < rows; r++) sum[r] = vld1q_f32(sums + r * 4);
  for (; i + 4 <= k; i += 4) {
    float32x4_t v = vld1q_f32(x + i);
    HALVES_UNROLL
    for (int r = 0; r < rows; r++) {
      float32x4_t y = halves_neon_four(w + (size_t)r * ldw + i);
      sum[r] = vfmaq_f32(sum[r], y, v);
    }
  }
  if (i < k) {
    float some[4] = {0};
    memcpy(some, x + i, (k - i) * sizeof(*some));
    float32x4_t v = vld1q_f32(some);
    HALVES_UNROLL
    for (int r = 0; r < rows; r++) {
      float32x4_t y = halves_neon_some(w + (size_t)r * ldw + i, k - i);
      sum[r] = vfmaq_f32(sum[r], y, v);
    }
  }
  HALVES_UNROLL
  for (int r = 0; r < rows; r++) vst1q_f32(sums + r * 4, sum[r]);
}

static void halves_neon_dot(int rows, size_t k, const uint16_t *w, size_t ldw,
                            const float *x, float *sums) {
  switch (rows) { HALVES_CASES(neon) }
}

#endif

/* Dispatch ---------------------------------------------------------------- */

/* Each with the form of floats.c whose lanes it has. */
static const struct {
  const char *goes_with;
  nn_half_form form;
  unsigned needs;
} halves_forms[] = {
#if defined(__x86_64__)
    {"avx2", {"f16c", halves_f16c_widen, halves_f16c_dot},
     NN_CPU_FMA | NN_CPU_F16C},
    {"avx512", {"avx512", halves_avx512_widen, halves_avx512_dot},
     NN_CPU_AVX512F},
#elif defined(__aarch64__)
    {"neon", {"neon", halves_neon_widen, halves_neon_dot}, 0},
#endif
    {"", {"scalar", halves_scalar_widen, NULL}, 0}};
#define HALVES_FORMS ((int)(sizeof(halves_forms) / sizeof(*halves_forms)))

const nn_half_form *nn_half_kernels_for(unsigned cpu,
                                        const nn_float_form *form) {
  int i = 0;
  for (; i < HALVES_FORMS - 1; i++) {
    if ((halves_forms[i].needs & ~cpu) == 0 &&
        strcmp(halves_forms[i].goes_with, form->name) == 0) {
      break;
    }
  }
  return &halves_forms[i].form;
}

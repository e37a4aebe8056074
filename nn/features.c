/*
** Features as blobs, and their distances: feature_distance(), cosine_distance()
** and feature_pack(), and the fine stage of binhash_search.
**
** A blob of features is float32, little-endian, and so a multiple of four bytes
** long, or it is packed to a quarter of that:
**
**   byte 0       0xf8 + pad, where pad is 0 to 3
**   bytes 1-4    step, a float32, 0 or more
**   bytes 5-8    offset, a float32
**   from byte 9  a byte q for each value, which is offset + step * q
**   at the end   pad bytes of 0, so that values and pad are a multiple of four
**
** Its length is one more than a multiple of four, however many values there
** are, so neither form can be taken for the other.  offset is the smallest
** value and step a 255th of the range, rounded up to a float32; q is the
** nearest, so no value is off by more than half a step, and no distance between
** two vectors of n values by more than (step + step') / 2 * sqrt(n).
**
** A distance is defined down to its last bit, so that an ORDER BY gives the
** same rows everywhere.  Values are doubles (the product step * q is exact in
** one, the sum with offset is rounded).  Differences, squares and products are
** rounded to double; value i is added to lane i modulo 16, in the order of i;
** then the upper half of the lanes is added to the lower half, 8 to 8, 4 to 4,
** 2 to 2, 1 to 1.  No product and sum are fused into one rounding.  This
** assumes floating point as C hands it to a program: rounding to nearest, and
** no numbers near 0 flushed to it.
**
** The kernels add whole sets of 16 values in those lanes; what is left is added
** by the reference, and no kernel can be told by its result.
**
** Not here: the distance of codes (hamming.c), and which rows (pool.c).
*/
#include <math.h>
#include <string.h>

#include "vectors.h"
#include "nn_int.h"

#if defined(__x86_64__)
#include <immintrin.h>
#define FEATURES_X86 1
#elif defined(__aarch64__) && !defined(__AARCH64EB__)
#include <arm_neon.h>
#define FEATURES_NEON 1
#endif

#define FEATURES_TAG 0xf8
#define FEATURES_HEAD 9
#define FEATURES_INLINE static inline __attribute__((always_inline))

/* Blobs -------------------------------------------------------------------- */

static float features_float(const uint8_t *p) {
  uint32_t bits = (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
                  (uint32_t)p[3] << 24;
  float x;
  memcpy(&x, &bits, sizeof(x));
  return x;
}

static void features_put_float(uint8_t *p, float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof(bits));
  for (int i = 0; i < 4; i++) p[i] = (uint8_t)(bits >> 8 * i);
}

static int features_read_packed(const uint8_t *p, size_t bytes,
                                nn_features *out) {
  if (bytes < FEATURES_HEAD || (p[0] & 0xfc) != FEATURES_TAG) return 0;
  size_t pad = p[0] & 3, room = bytes - FEATURES_HEAD;
  if (room % 4 != 0 || pad > room) return 0;
  for (size_t i = 1; i <= pad; i++)
    if (p[bytes - i]) return 0;
  out->step = features_float(p + 1);
  out->offset = features_float(p + 5);
  out->values = p + FEATURES_HEAD;
  out->n = room - pad;
  out->packed = 1;
  return out->step >= 0 && isfinite(out->step) && isfinite(out->offset);
}

int nn_features_read(const void *blob, size_t bytes, nn_features *out) {
  memset(out, 0, sizeof(*out));
  if (bytes % 4 != 0) return features_read_packed(blob, bytes, out);
  out->values = blob;
  out->n = bytes / 4;
  return 1;
}

/* Value i. */
static inline double features_value(const nn_features *f, size_t i) {
  return f->packed ? f->offset + f->step * f->values[i]
                   : features_float(f->values + 4 * i);
}

/* Packing ------------------------------------------------------------------ */

size_t nn_features_packed_size(size_t n) {
  return FEATURES_HEAD + (n + 3) / 4 * 4;
}

/* The smallest and the greatest value, both +0 if there is none or it is 0. */
static nn_status features_range(const nn_features *from, float *least,
                                float *most, nn_error *err) {
  *least = *most = from->n ? features_float(from->values) : 0;
  for (size_t i = 0; i < from->n; i++) {
    float x = features_float(from->values + 4 * i);
    if (!isfinite(x))
      return nn_fail(err, NN_ARGUMENT, "value %zu of %zu is %s", i + 1, from->n,
                     isnan(x) ? "NaN" : "infinite");
    if (x < *least) *least = x;
    if (x > *most) *most = x;
  }
  *least += 0.0f;
  *most += 0.0f;
  return NN_OK;
}

/* The smallest float32 that is not below x, which is 0 or more. */
static float features_round_up(double x) {
  float f = (float)x;
  uint32_t bits;
  if (f >= x) return f;
  memcpy(&bits, &f, sizeof(bits));
  bits++;
  memcpy(&f, &bits, sizeof(f));
  return f;
}

nn_status nn_features_pack(const nn_features *from, uint8_t *out,
                           nn_error *err) {
  float least, most;
  if (from->n > NN_FEATURES_MAX)
    return nn_fail(err, NN_ARGUMENT, "there are %zu values, at most %zu can be "
                   "packed", from->n, NN_FEATURES_MAX);
  nn_status status = features_range(from, &least, &most, err);
  if (status != NN_OK) return status;
  float step = features_round_up(((double)most - least) / 255);
  size_t pad = (4 - from->n % 4) % 4;
  out[0] = (uint8_t)(FEATURES_TAG + pad);
  features_put_float(out + 1, step);
  features_put_float(out + 5, least);
  out += FEATURES_HEAD;
  for (size_t i = 0; i < from->n; i++) {
    double above = features_value(from, i) - least;
    out[i] = step > 0 ? (uint8_t)(above / step + 0.5) : 0;
  }
  memset(out + from->n, 0, pad);
  return NN_OK;
}

/* Kernels: the reference --------------------------------------------------- */

static void features_squares(const nn_features *a, const nn_features *b,
                             size_t from, size_t to, double *lanes) {
  for (size_t i = from; i < to; i++) {
    double d = features_value(a, i) - features_value(b, i);
    lanes[i % NN_FEATURES_LANES] += d * d;
  }
}

static void features_products(const nn_features *a, const nn_features *b,
                              size_t from, size_t to, double *lanes) {
  for (size_t i = from; i < to; i++) {
    double x = features_value(a, i), y = features_value(b, i);
    size_t lane = i % NN_FEATURES_LANES;
    lanes[lane] += x * x;
    lanes[lane + NN_FEATURES_LANES] += y * y;
    lanes[lane + 2 * NN_FEATURES_LANES] += x * y;
  }
}

static void features_scalar_squares(const nn_features *a, const nn_features *b,
                                    size_t n, double *lanes) {
  features_squares(a, b, 0, n, lanes);
}

static void features_scalar_products(const nn_features *a, const nn_features *b,
                                     size_t n, double *lanes) {
  features_products(a, b, 0, n, lanes);
}

/*
** Every other kernel is written once for a vector V of W doubles, and compiled
** for each pair of forms, so that no value asks which form it has.  NAME_load
** gives W values from i on.
*/
#define FEATURES_KERNEL(NAME, TARGET, V, W, LOAD, STORE, ADD, SUB, MUL)        \
  TARGET FEATURES_INLINE V NAME##_load(const nn_features *f, size_t i,         \
                                       int packed);                            \
  TARGET FEATURES_INLINE void NAME##_squares_of(                               \
      const nn_features *a, const nn_features *b, size_t n, double *lanes,     \
      int a_packed, int b_packed) {                                            \
    V sums[NN_FEATURES_LANES / W];                                             \
    for (size_t j = 0; j < NN_FEATURES_LANES / W; j++)                         \
      sums[j] = LOAD(lanes + j * W);                                           \
    for (size_t i = 0; i < n; i += NN_FEATURES_LANES)                          \
      for (size_t j = 0; j < NN_FEATURES_LANES / W; j++) {                     \
        V d = SUB(NAME##_load(a, i + j * W, a_packed),                         \
                  NAME##_load(b, i + j * W, b_packed));                        \
        sums[j] = ADD(sums[j], MUL(d, d));                                     \
      }                                                                        \
    for (size_t j = 0; j < NN_FEATURES_LANES / W; j++)                         \
      STORE(lanes + j * W, sums[j]);                                           \
  }                                                                            \
  TARGET FEATURES_INLINE void NAME##_products_of(                              \
      const nn_features *a, const nn_features *b, size_t n, double *lanes,     \
      int a_packed, int b_packed) {                                            \
    V sums[3 * NN_FEATURES_LANES / W];                                         \
    size_t sets = NN_FEATURES_LANES / W;                                       \
    for (size_t j = 0; j < 3 * sets; j++) sums[j] = LOAD(lanes + j * W);       \
    for (size_t i = 0; i < n; i += NN_FEATURES_LANES)                          \
      for (size_t j = 0; j < sets; j++) {                                      \
        V x = NAME##_load(a, i + j * W, a_packed);                             \
        V y = NAME##_load(b, i + j * W, b_packed);                             \
        sums[j] = ADD(sums[j], MUL(x, x));                                     \
        sums[j + sets] = ADD(sums[j + sets], MUL(y, y));                       \
        sums[j + 2 * sets] = ADD(sums[j + 2 * sets], MUL(x, y));               \
      }                                                                        \
    for (size_t j = 0; j < 3 * sets; j++) STORE(lanes + j * W, sums[j]);       \
  }                                                                            \
  FEATURES_PAIRS(NAME, TARGET, squares)                                        \
  FEATURES_PAIRS(NAME, TARGET, products)

#define FEATURES_PAIRS(NAME, TARGET, SUMS)                                     \
  TARGET static void NAME##_##SUMS(const nn_features *a, const nn_features *b, \
                                   size_t n, double *lanes) {                  \
    if (a->packed && b->packed) NAME##_##SUMS##_of(a, b, n, lanes, 1, 1);      \
    else if (a->packed) NAME##_##SUMS##_of(a, b, n, lanes, 1, 0);              \
    else if (b->packed) NAME##_##SUMS##_of(a, b, n, lanes, 0, 1);              \
    else NAME##_##SUMS##_of(a, b, n, lanes, 0, 0);                             \
  }

/* Kernels: instruction sets ------------------------------------------------ */

#ifdef FEATURES_X86

#define FEATURES_AVX2 NN_TARGET("avx2")
FEATURES_KERNEL(features_avx2, FEATURES_AVX2, __m256d, 4, _mm256_loadu_pd,
                _mm256_storeu_pd, _mm256_add_pd,
                _mm256_sub_pd, _mm256_mul_pd)

FEATURES_AVX2 FEATURES_INLINE
__m256d features_avx2_load(const nn_features *f, size_t i, int packed) {
  int32_t four;
  if (!packed)
    return _mm256_cvtps_pd(_mm_loadu_ps((const float *)(f->values + 4 * i)));
  memcpy(&four, f->values + i, sizeof(four));
  __m256d q = _mm256_cvtepi32_pd(_mm_cvtepu8_epi32(_mm_cvtsi32_si128(four)));
  return _mm256_add_pd(_mm256_set1_pd(f->offset),
                       _mm256_mul_pd(_mm256_set1_pd(f->step), q));
}

#define FEATURES_AVX512 NN_TARGET("avx512f,avx512bw,avx512vl")
FEATURES_KERNEL(features_avx512, FEATURES_AVX512, __m512d, 8, _mm512_loadu_pd,
                _mm512_storeu_pd, _mm512_add_pd,
                _mm512_sub_pd, _mm512_mul_pd)

FEATURES_AVX512 FEATURES_INLINE
__m512d features_avx512_load(const nn_features *f, size_t i, int packed) {
  if (!packed)
    return _mm512_cvtps_pd(
        _mm256_loadu_ps((const float *)(f->values + 4 * i)));
  __m256i q = _mm256_cvtepu8_epi32(
      _mm_loadl_epi64((const __m128i *)(f->values + i)));
  return _mm512_add_pd(_mm512_set1_pd(f->offset),
                       _mm512_mul_pd(_mm512_set1_pd(f->step),
                                     _mm512_cvtepi32_pd(q)));
}

#endif

#ifdef FEATURES_NEON

FEATURES_KERNEL(features_neon, , float64x2_t, 2, vld1q_f64, vst1q_f64,
                vaddq_f64, vsubq_f64, vmulq_f64)

FEATURES_INLINE
float64x2_t features_neon_load(const nn_features *f, size_t i, int packed) {
  if (!packed)
    return vcvt_f64_f32(vreinterpret_f32_u8(vld1_u8(f->values + 4 * i)));
  const uint8_t *p = f->values + i;
  float64x2_t q = {p[0], p[1]};
  return vaddq_f64(vdupq_n_f64(f->offset),
                   vmulq_f64(vdupq_n_f64(f->step), q));
}

#endif

/* From the plain one to the fastest, each with what it needs of the CPU. */
static const struct {
  nn_features_form form;
  unsigned needs;
} features_forms[] = {
    {{"scalar", features_scalar_squares, features_scalar_products}, 0},
#ifdef FEATURES_X86
    {{"avx2", features_avx2_squares, features_avx2_products}, NN_CPU_AVX2},
    {{"avx512", features_avx512_squares, features_avx512_products},
     NN_CPU_AVX512},
#endif
#ifdef FEATURES_NEON
    {{"neon", features_neon_squares, features_neon_products}, 0},
#endif
};
#define FEATURES_FORMS ((int)(sizeof(features_forms) / sizeof(*features_forms)))

const nn_features_form *nn_features_kernels(int i) {
  unsigned cpu = nn_cpu_features();
  for (int j = 0; j < FEATURES_FORMS; j++)
    if ((features_forms[j].needs & ~cpu) == 0 && i-- == 0)
      return &features_forms[j].form;
  return NULL;
}

/* Looked for once; threads that race here store the same. */
static const nn_features_form *features_best(void) {
  static const nn_features_form *known;
  const nn_features_form *form = __atomic_load_n(&known, __ATOMIC_RELAXED);
  if (form) return form;
  for (int i = 0; nn_features_kernels(i); i++) form = nn_features_kernels(i);
  __atomic_store_n(&known, form, __ATOMIC_RELAXED);
  return form;
}

/* Distances ---------------------------------------------------------------- */

static double features_fold(double *lanes) {
  for (size_t half = NN_FEATURES_LANES / 2; half > 0; half /= 2)
    for (size_t i = 0; i < half; i++) lanes[i] += lanes[i + half];
  return lanes[0];
}

double nn_features_euclidean_by(const nn_features_form *form,
                                const nn_features *a, const nn_features *b) {
  double lanes[NN_FEATURES_LANES] = {0};
  size_t whole = a->n / NN_FEATURES_LANES * NN_FEATURES_LANES;
  if (whole) form->squares(a, b, whole, lanes);
  features_squares(a, b, whole, a->n, lanes);
  return sqrt(features_fold(lanes));
}

/*
** sqrt(xx * yy) rather than the product of two roots: of a vector and itself
** that is exactly xx, and the distance exactly 0.  Squares of float32 are
** within 1e-90 and 1e77, so the product neither over- nor underflows.
*/
double nn_features_cosine_by(const nn_features_form *form,
                             const nn_features *a, const nn_features *b) {
  double lanes[3 * NN_FEATURES_LANES] = {0};
  size_t whole = a->n / NN_FEATURES_LANES * NN_FEATURES_LANES;
  if (whole) form->products(a, b, whole, lanes);
  features_products(a, b, whole, a->n, lanes);
  double xx = features_fold(lanes);
  double yy = features_fold(lanes + NN_FEATURES_LANES);
  double xy = features_fold(lanes + 2 * NN_FEATURES_LANES);
  if (xx == 0 || yy == 0) return 1;
  return 1 - xy / sqrt(xx * yy);
}

double nn_features_euclidean(const nn_features *a, const nn_features *b) {
  return nn_features_euclidean_by(features_best(), a, b);
}

double nn_features_cosine(const nn_features *a, const nn_features *b) {
  return nn_features_cosine_by(features_best(), a, b);
}

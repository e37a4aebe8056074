/*
** x86's vectors on CPUs that lack them: SIMDe's portable functions under the
** names of the intrinsics, and those that its release in Debian has not got;
** AMX's, which it has not at all, are in tiles.h.
**
** Kernels that are compiled with this folder before the system's headers, an
** empty NN_TARGET and NN_CPU_EMULATED compute what AVX-512 would, so their
** tests run everywhere.  It is the arithmetic that is tested so, not what an
** assembler makes of it.
*/
#ifndef BINHASH_EMULATED_IMMINTRIN_H
#define BINHASH_EMULATED_IMMINTRIN_H

#include <stdint.h>
#include <string.h>

#include <simde/x86/avx512.h>
#include <simde/x86/f16c.h>
#include <simde/x86/fma.h>

#include "tiles.h"

#define __mmask16 uint16_t
#define __mmask64 uint64_t

/* The elements of `type` whose bit is set, zeros for the others. */
#define EMULATED_MASKED(name, type, lanes, mask_type, vector)          \
  static inline vector name(mask_type mask, const void *p) {           \
    type x[lanes];                                                     \
    vector v;                                                          \
    memset(x, 0, sizeof(x));                                           \
    for (int i = 0; i < lanes; i++) {                                  \
      if (mask >> i & 1) memcpy(&x[i], (const type *)p + i, sizeof(*x)); \
    }                                                                  \
    memcpy(&v, x, sizeof(v));                                          \
    return v;                                                          \
  }
EMULATED_MASKED(emulated_some_ps, float, 16, uint16_t, __m512)
EMULATED_MASKED(emulated_some_32, int32_t, 16, uint16_t, __m512i)
EMULATED_MASKED(emulated_some_8, int8_t, 64, uint64_t, __m512i)
#undef _mm512_maskz_loadu_ps
#undef _mm512_maskz_loadu_epi32
#undef _mm512_maskz_loadu_epi8
#define _mm512_maskz_loadu_ps emulated_some_ps
#define _mm512_maskz_loadu_epi32 emulated_some_32
#define _mm512_maskz_loadu_epi8 emulated_some_8

#undef _mm256_dpbusd_avx_epi32
#define _mm256_dpbusd_avx_epi32 simde_mm256_dpbusd_epi32

static inline __m512i emulated_srav_64(__m512i a, __m512i n) {
  int64_t x[8], s[8];
  memcpy(x, &a, sizeof(x));
  memcpy(s, &n, sizeof(s));
  for (int i = 0; i < 8; i++) {
    x[i] = (uint64_t)s[i] > 63 ? (x[i] < 0 ? -1 : 0) : x[i] >> s[i];
  }
  memcpy(&a, x, sizeof(a));
  return a;
}
#undef _mm512_srav_epi64
#define _mm512_srav_epi64 emulated_srav_64

static inline __m128i emulated_saturated_8(__m512i a) {
  uint32_t x[16];
  uint8_t y[16];
  __m128i v;
  memcpy(x, &a, sizeof(x));
  for (int i = 0; i < 16; i++) y[i] = (uint8_t)(x[i] > 255 ? 255 : x[i]);
  memcpy(&v, y, sizeof(v));
  return v;
}
#undef _mm512_cvtusepi32_epi8
#define _mm512_cvtusepi32_epi8 emulated_saturated_8

static inline __m512d emulated_widened(__m256 a) {
  float x[8];
  double y[8];
  __m512d v;
  memcpy(x, &a, sizeof(x));
  for (int i = 0; i < 8; i++) y[i] = (double)x[i];
  memcpy(&v, y, sizeof(v));
  return v;
}
#undef _mm512_cvtps_pd
#define _mm512_cvtps_pd emulated_widened

static inline __m512d emulated_doubles(__m256i a) {
  int32_t x[8];
  double y[8];
  __m512d v;
  memcpy(x, &a, sizeof(x));
  for (int i = 0; i < 8; i++) y[i] = x[i];
  memcpy(&v, y, sizeof(v));
  return v;
}
#undef _mm512_cvtepi32_pd
#define _mm512_cvtepi32_pd emulated_doubles

static inline __m128i emulated_low_bytes(__m512i a) {
  int32_t x[16];
  uint8_t y[16];
  __m128i v;
  memcpy(x, &a, sizeof(x));
  for (int i = 0; i < 16; i++) y[i] = (uint8_t)x[i];
  memcpy(&v, y, sizeof(v));
  return v;
}
#undef _mm512_cvtepi32_epi8
#define _mm512_cvtepi32_epi8 emulated_low_bytes

static inline void emulated_store_some(void *p, uint16_t mask, __m128i a) {
  uint8_t x[16];
  memcpy(x, &a, sizeof(x));
  for (int i = 0; i < 16; i++) {
    if (mask >> i & 1) ((uint8_t *)p)[i] = x[i];
  }
}
#undef _mm_mask_storeu_epi8
#define _mm_mask_storeu_epi8 emulated_store_some

/* SIMDe 0.7.4 looks at one lane and forgets the others. */
static inline int emulated_testz(__m256i a, __m256i b) {
  uint64_t x[4], y[4], any = 0;
  memcpy(x, &a, sizeof(x));
  memcpy(y, &b, sizeof(y));
  for (int i = 0; i < 4; i++) any |= x[i] & y[i];
  return any == 0;
}
#undef _mm256_testz_si256
#define _mm256_testz_si256 emulated_testz

static inline __m512 emulated_cvtph_512(__m256i a) {
  __m128i half[2];
  __m256 part[2];
  __m512 v;
  memcpy(half, &a, sizeof(half));
  part[0] = _mm256_cvtph_ps(half[0]);
  part[1] = _mm256_cvtph_ps(half[1]);
  memcpy(&v, part, sizeof(v));
  return v;
}
#undef _mm512_cvtph_ps
#define _mm512_cvtph_ps emulated_cvtph_512

static inline int64_t emulated_reduce_64(__m512i a) {
  int64_t x[8], sum = 0;
  memcpy(x, &a, sizeof(x));
  for (int i = 0; i < 8; i++) sum += x[i];
  return sum;
}
#undef _mm512_reduce_add_epi64
#define _mm512_reduce_add_epi64 emulated_reduce_64

#endif

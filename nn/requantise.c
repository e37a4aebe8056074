/*
** From the sums of integer networks back to bytes, as fast as the CPU allows:
** the other half of what a layer of img_hash costs beside integer.c.
**
** y = clamp(zero + (((sum + bias) * m + 2^(s-1)) >> s), max), with a bias, a
** multiplier and a shift for each channel, in 64 bits: a sum and its bias fit
** 32, the product 63, so nothing overflows and nothing is rounded but once
** (weights/README.md).  Here in plain C, which is the reference, and for AVX2
** and AVX-512; all give the same bytes.
**
** x86 multiplies 32 by 32 bits in the even lanes of a register, so sixteen
** channels are twice eight products, of the even ones and of the odd ones moved
** down, and come together again as bytes.
**
** Not here: what the sums are of, which is integer.c and amx.c.
*/
#include "integers.h"

#ifdef __x86_64__
#include <immintrin.h>
#define REQUANTISE_AVX2 NN_TARGET("avx2")
#define REQUANTISE_AVX512 NN_TARGET("avx512f,avx512bw,avx512vl")
#endif

void nn_bytes_scalar(int n, const int32_t *acc,
                     const int32_t *bias, const int32_t *m,
                     const int32_t *s, int zero, int max,
                     uint8_t *out) {
  for (int i = 0; i < n; i++) {
    /* At most 2^62, and half of that to round: no overflow. */
    int64_t y = ((int64_t)acc[i] + bias[i]) * m[i];
    y = zero + ((y + ((int64_t)1 << (s[i] - 1))) >> s[i]);
    out[i] = (uint8_t)(y < 0 ? 0 : y > max ? max : y);
  }
}

#ifdef __x86_64__

/* Requantise the numbers in the even lanes of x, by the even lanes of m and s,
** and clamp them.  AVX2 shifts 64 bits to the right without the sign only, so
** 2^62, a multiple of 2^s, is added before and its share taken off after. */
REQUANTISE_AVX2
static inline __m256i requantise_avx2(__m256i x, __m256i m, __m256i s,
                                      __m256i zero, __m256i max) {
  const __m256i one = _mm256_set1_epi64x(1);
  const __m256i offset = _mm256_set1_epi64x((int64_t)1 << 62);
  s = _mm256_and_si256(s, _mm256_set1_epi64x(63));
  __m256i half = _mm256_sllv_epi64(one, _mm256_sub_epi64(s, one));
  __m256i y = _mm256_add_epi64(_mm256_mul_epi32(x, m),
                               _mm256_add_epi64(half, offset));
  y = _mm256_sub_epi64(_mm256_srlv_epi64(y, s), _mm256_srlv_epi64(offset, s));
  y = _mm256_add_epi64(y, zero);
  y = _mm256_blendv_epi8(y, max, _mm256_cmpgt_epi64(y, max));
  return _mm256_andnot_si256(
      _mm256_cmpgt_epi64(_mm256_setzero_si256(), y), y);
}

REQUANTISE_AVX2
void nn_bytes_avx2(int n, const int32_t *acc, const int32_t *bias,
                   const int32_t *m, const int32_t *s, int zero,
                   int max, uint8_t *out) {
  const __m256i zeros = _mm256_set1_epi64x(zero);
  const __m256i maxima = _mm256_set1_epi64x(max);
  int i = 0;
  for (; i + 8 <= n; i += 8) {
    __m256i x = _mm256_add_epi32(
        _mm256_loadu_si256((const __m256i *)(acc + i)),
        _mm256_loadu_si256((const __m256i *)(bias + i)));
    __m256i mi = _mm256_loadu_si256((const __m256i *)(m + i));
    __m256i si = _mm256_loadu_si256((const __m256i *)(s + i));
    __m256i even = requantise_avx2(x, mi, si, zeros, maxima);
    __m256i odd = requantise_avx2(
        _mm256_srli_epi64(x, 32), _mm256_srli_epi64(mi, 32),
        _mm256_srli_epi64(si, 32), zeros, maxima);
    __m256i y = _mm256_or_si256(even, _mm256_slli_epi64(odd, 32));
    __m128i y16 = _mm_packus_epi32(_mm256_castsi256_si128(y),
                                   _mm256_extracti128_si256(y, 1));
    _mm_storel_epi64((__m128i *)(out + i), _mm_packus_epi16(y16, y16));
  }
  nn_bytes_scalar(n - i, acc + i, bias + i, m + i, s + i, zero, max,
                  out + i);
}

/* As requantise_avx2. */
REQUANTISE_AVX512
static inline __m512i requantise_avx512(__m512i x, __m512i m,
                                        __m512i s, __m512i zero,
                                        __m512i max) {
  const __m512i one = _mm512_set1_epi64(1);
  s = _mm512_and_si512(s, _mm512_set1_epi64(63));
  __m512i half = _mm512_sllv_epi64(one, _mm512_sub_epi64(s, one));
  __m512i y = _mm512_add_epi64(_mm512_mul_epi32(x, m), half);
  y = _mm512_add_epi64(_mm512_srav_epi64(y, s), zero);
  return _mm512_max_epi64(_mm512_min_epi64(y, max), _mm512_setzero_si512());
}

/* Sixteen channels, of which the mask says which are there. */
REQUANTISE_AVX512
static inline __m128i requantise_sixteen(__mmask16 mask,
                                         const int32_t *acc,
                                         const int32_t *bias,
                                         const int32_t *m,
                                         const int32_t *s, __m512i zero,
                                         __m512i max) {
  __m512i x = _mm512_add_epi32(_mm512_maskz_loadu_epi32(mask, acc),
                               _mm512_maskz_loadu_epi32(mask, bias));
  __m512i mi = _mm512_maskz_loadu_epi32(mask, m);
  __m512i si = _mm512_maskz_loadu_epi32(mask, s);
  __m512i even = requantise_avx512(x, mi, si, zero, max);
  __m512i odd = requantise_avx512(
      _mm512_srli_epi64(x, 32), _mm512_srli_epi64(mi, 32),
      _mm512_srli_epi64(si, 32), zero, max);
  return _mm512_cvtepi32_epi8(
      _mm512_or_si512(even, _mm512_slli_epi64(odd, 32)));
}

REQUANTISE_AVX512
void nn_bytes_avx512(int n, const int32_t *acc,
                     const int32_t *bias, const int32_t *m,
                     const int32_t *s, int zero, int max,
                     uint8_t *out) {
  const __m512i zeros = _mm512_set1_epi64(zero);
  const __m512i maxima = _mm512_set1_epi64(max);
  int i = 0;
  for (; i + 16 <= n; i += 16)
    _mm_storeu_si128((__m128i *)(out + i),
                     requantise_sixteen(0xffff, acc + i, bias + i, m + i, s + i,
                                        zeros, maxima));
  if (i < n) {
    __mmask16 mask = (__mmask16)((1 << (n - i)) - 1);
    _mm_mask_storeu_epi8(out + i, mask,
                         requantise_sixteen(mask, acc + i, bias + i, m + i,
                                            s + i, zeros, maxima));
  }
}

#endif

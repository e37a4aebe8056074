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
** down, and come together again as bytes.  For rows of the same channels
** (panel.c) what these are multiplied with stays in registers: some ten cycles
** for sixteen bytes with AVX-512 (Xeon of the fifth generation).
**
** Not here: what the sums are of (integer.c, vnni.c, amx.c, whole.c).
*/
#include "integers.h"

#ifdef __x86_64__
#include <immintrin.h>
#define REQUANTISE_AVX2 NN_TARGET("avx2")
#define REQUANTISE_AVX512 NN_TARGET("avx512f,avx512bw,avx512vl")
#endif

NN_BYTES(nn_bytes_scalar) {
  for (; rows; rows--, acc += NN_INT_BLOCK, out += stride)
    for (int i = 0; i < n; i++) {
      /* At most 2^62, and half of that to round: no overflow. */
      int64_t y = ((int64_t)acc[i] + bias[i]) * m[i];
      y = zero + ((y + ((int64_t)1 << (s[i] - 1))) >> s[i]);
      out[i] = (uint8_t)(y < 0 ? 0 : y > max ? max : y);
    }
}

#ifdef __x86_64__

/* What four channels, in the even lanes of 64 bits, are multiplied with, what
** is added, by how much they are moved then, and what is taken off.  AVX2
** shifts 64 bits to the right without the sign only, so 2^62, a multiple of
** 2^s, is added before and its share taken off after, but for the zero point.
*/
typedef struct requantise_four {
  __m256i m, add, s, less;
} requantise_four;

REQUANTISE_AVX2
static inline requantise_four requantise_four_get(__m256i m, __m256i s,
                                                  int zero) {
  const __m256i one = _mm256_set1_epi64x(1);
  const __m256i offset = _mm256_set1_epi64x((int64_t)1 << 62);
  requantise_four by;
  by.m = m;
  by.s = _mm256_and_si256(s, _mm256_set1_epi64x(63));
  by.add = _mm256_add_epi64(
      _mm256_sllv_epi64(one, _mm256_sub_epi64(by.s, one)), offset);
  by.less = _mm256_sub_epi64(_mm256_srlv_epi64(offset, by.s),
                             _mm256_set1_epi64x(zero));
  return by;
}

REQUANTISE_AVX2
static inline __m256i requantise_avx2(const requantise_four *by, __m256i x,
                                      __m256i max) {
  __m256i y = _mm256_add_epi64(_mm256_mul_epi32(x, by->m), by->add);
  y = _mm256_sub_epi64(_mm256_srlv_epi64(y, by->s), by->less);
  y = _mm256_blendv_epi8(y, max, _mm256_cmpgt_epi64(y, max));
  return _mm256_andnot_si256(
      _mm256_cmpgt_epi64(_mm256_setzero_si256(), y), y);
}

REQUANTISE_AVX2
NN_BYTES(nn_bytes_avx2) {
  const __m256i maxima = _mm256_set1_epi64x(max);
  int i = 0;
  for (; i + 8 <= n; i += 8) {
    __m256i b = _mm256_loadu_si256((const __m256i *)(bias + i));
    __m256i mi = _mm256_loadu_si256((const __m256i *)(m + i));
    __m256i si = _mm256_loadu_si256((const __m256i *)(s + i));
    const requantise_four even_by = requantise_four_get(mi, si, zero);
    const requantise_four odd_by = requantise_four_get(
        _mm256_srli_epi64(mi, 32), _mm256_srli_epi64(si, 32), zero);
    const int32_t *from = acc + i;
    uint8_t *to = out + i;
    for (int r = 0; r < rows; r++, from += NN_INT_BLOCK, to += stride) {
      __m256i x = _mm256_add_epi32(
          _mm256_loadu_si256((const __m256i *)from), b);
      __m256i even = requantise_avx2(&even_by, x, maxima);
      __m256i odd =
          requantise_avx2(&odd_by, _mm256_srli_epi64(x, 32), maxima);
      __m256i y = _mm256_or_si256(even, _mm256_slli_epi64(odd, 32));
      __m128i y16 = _mm_packus_epi32(_mm256_castsi256_si128(y),
                                     _mm256_extracti128_si256(y, 1));
      _mm_storel_epi64((__m128i *)to, _mm_packus_epi16(y16, y16));
    }
  }
  if (i < n) {
    nn_bytes_scalar(rows, n - i, acc + i, bias + i, m + i, s + i, zero, max,
                    out + i, stride);
  }
}

/* What sixteen channels are multiplied with and moved by, in the even lanes of
** 64 bits: of the even channels and of the odd ones.  `most` moves the odd ones
** by 32 less, where that can be. */
typedef struct requantise_by {
  __m512i bias, m[2], s[2], half[2], most, zero;
  __m128i max;
} requantise_by;

REQUANTISE_AVX512
static inline requantise_by requantise_get(__mmask16 mask, const int32_t *bias,
                                           const int32_t *m, const int32_t *s,
                                           int zero, int max) {
  const __m512i one = _mm512_set1_epi64(1), low = _mm512_set1_epi64(63);
  __m512i si = _mm512_maskz_loadu_epi32(mask, s);
  requantise_by by;
  by.bias = _mm512_maskz_loadu_epi32(mask, bias);
  by.m[0] = _mm512_maskz_loadu_epi32(mask, m);
  by.m[1] = _mm512_srli_epi64(by.m[0], 32);
  by.s[0] = _mm512_and_si512(si, low);
  by.s[1] = _mm512_srli_epi64(si, 32);
  for (int i = 0; i < 2; i++)
    by.half[i] = _mm512_sllv_epi64(one, _mm512_sub_epi64(by.s[i], one));
  by.most = _mm512_sub_epi64(by.s[1], _mm512_set1_epi64(32));
  by.zero = _mm512_set1_epi32(zero);
  by.max = _mm_set1_epi8((char)max);
  return by;
}

/* What is to be moved, of the even channels (0) or the odd ones (1) of x. */
REQUANTISE_AVX512
static inline __m512i requantise_product(const requantise_by *by, int odd,
                                         __m512i x) {
  if (odd) x = _mm512_srli_epi64(x, 32);
  return _mm512_add_epi64(_mm512_mul_epi32(x, by->m[odd]), by->half[odd]);
}

/* Where all move by 32 or more, what they leave fits 32 bits: of an even
** channel the lower half of its lane, of an odd one, moved by 32 less, the
** upper. */
REQUANTISE_AVX512
static inline __m128i requantise_far(const requantise_by *by, __m512i x) {
  __m512i even = _mm512_srav_epi64(requantise_product(by, 0, x), by->s[0]);
  __m512i odd = _mm512_srav_epi64(requantise_product(by, 1, x), by->most);
  __m512i y = _mm512_mask_blend_epi32(0xaaaa, even, odd);
  y = _mm512_max_epi32(_mm512_add_epi32(y, by->zero), _mm512_setzero_si512());
  return _mm_min_epu8(_mm512_cvtusepi32_epi8(y), by->max);
}

/* Limits of a byte first, so that the two halves fit together. */
REQUANTISE_AVX512
static inline __m128i requantise_near(const requantise_by *by, __m512i x,
                                      int zero) {
  __m512i half[2];
  for (int i = 0; i < 2; i++) {
    __m512i y = _mm512_srav_epi64(requantise_product(by, i, x), by->s[i]);
    y = _mm512_add_epi64(y, _mm512_set1_epi64(zero));
    half[i] = _mm512_max_epi64(_mm512_min_epi64(y, _mm512_set1_epi64(255)),
                               _mm512_setzero_si512());
  }
  __m512i y = _mm512_or_si512(half[0], _mm512_slli_epi64(half[1], 32));
  return _mm_min_epu8(_mm512_cvtepi32_epi8(y), by->max);
}

REQUANTISE_AVX512
NN_BYTES(nn_bytes_avx512) {
  for (int i = 0; i < n; i += NN_INT_BLOCK) {
    __mmask16 mask =
        (__mmask16)(n - i < NN_INT_BLOCK ? (1 << (n - i)) - 1 : 0xffff);
    const requantise_by by =
        requantise_get(mask, bias + i, m + i, s + i, zero, max);
    int near = _mm512_mask_cmpgt_epi32_mask(
        mask, _mm512_set1_epi32(32), _mm512_maskz_loadu_epi32(mask, s + i));
    const int32_t *from = acc + i;
    uint8_t *to = out + i;
    for (int r = 0; r < rows; r++, from += NN_INT_BLOCK, to += stride) {
      __m512i x = _mm512_add_epi32(_mm512_maskz_loadu_epi32(mask, from),
                                   by.bias);
      __m128i y = near ? requantise_near(&by, x, zero) : requantise_far(&by, x);
      if (mask == 0xffff) _mm_storeu_si128((__m128i *)to, y);
      else _mm_mask_storeu_epi8(to, mask, y);
    }
  }
}

#endif

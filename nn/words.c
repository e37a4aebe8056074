/*
** Products of 16-bit numbers, added in 32 bits, for CPUs without VNNI.
**
** whole.c multiplies with what a transform has made of bytes, which needs ten
** or eleven bits with a sign.  VPMADDWD multiplies 16 of them and adds pairs in
** 32 bits, exactly; VPMADDUBSW, which integer.c has for bytes, takes 32 but
** needs a second multiplication to leave its 16 bits, so the two are equally
** fast, and whole.c has half as much to multiply.  img_hash() under an integer
** model spends most of its time here where the CPU has AVX2 and no VNNI.
**
** Sums wrap around at 32 bits, as do those of a C compiler's unsigned numbers;
** whole.c knows when that is no harm.
**
** Not here: CPUs whose VPDPBUSD multiplies 64 bytes at once, which is more than
** the transform saves.
*/
#include <string.h>

#include "nn_int.h"

#define WORDS_BLOCK (NN_INT_BLOCK * 2)   /* weights of a pair */

static void words_scalar(int rows, size_t pairs, const int16_t *a, size_t lda,
                          const int16_t *weight, int32_t *out) {
  for (int r = 0; r < rows; r++, a += lda) {
    for (int o = 0; o < NN_INT_BLOCK; o++) {
      uint32_t sum = 0;
      for (size_t i = 0; i < pairs; i++) {
        const int16_t *w = weight + i * WORDS_BLOCK + 2 * o;
        sum += (uint32_t)(a[2 * i] * w[0]) + (uint32_t)(a[2 * i + 1] * w[1]);
      }
      *out++ = (int32_t)sum;
    }
  }
}

const nn_words nn_words_scalar = words_scalar;

#if defined(__x86_64__)
#include <immintrin.h>

#define WORDS_AVX2 NN_TARGET("avx2")
#define WORDS_TILE static inline __attribute__((always_inline)) void
#ifdef __clang__
#define WORDS_UNROLL _Pragma("clang loop unroll(full)")
#else
#define WORDS_UNROLL _Pragma("GCC unroll 16")
#endif

/* Two numbers for a broadcast. */
static inline int32_t words_pair(const int16_t *p) {
  int32_t x;
  memcpy(&x, p, 4);
  return x;
}

WORDS_AVX2
WORDS_TILE words_avx2_tile(const int rows, size_t pairs, const int16_t *a,
                             size_t lda, const int16_t *weight, int32_t *out) {
  __m256i acc[NN_PAIR_ROWS][2];
  WORDS_UNROLL
  for (int r = 0; r < rows; r++) acc[r][0] = acc[r][1] = _mm256_setzero_si256();
  for (size_t i = 0; i < pairs; i++, weight += WORDS_BLOCK) {
    __m256i w0 = _mm256_load_si256((const __m256i *)weight);
    __m256i w1 = _mm256_load_si256((const __m256i *)(weight + 16));
    WORDS_UNROLL
    for (int r = 0; r < rows; r++) {
      __m256i x = _mm256_set1_epi32(words_pair(a + (size_t)r * lda + 2 * i));
      acc[r][0] = _mm256_add_epi32(acc[r][0], _mm256_madd_epi16(x, w0));
      acc[r][1] = _mm256_add_epi32(acc[r][1], _mm256_madd_epi16(x, w1));
    }
  }
  WORDS_UNROLL
  for (int r = 0; r < rows; r++, out += NN_INT_BLOCK) {
    _mm256_storeu_si256((__m256i *)out, acc[r][0]);
    _mm256_storeu_si256((__m256i *)(out + 8), acc[r][1]);
  }
}

WORDS_AVX2
static void words_avx2(int rows, size_t pairs, const int16_t *a, size_t lda,
                        const int16_t *weight, int32_t *out) {
  switch (rows) {
    case 1: words_avx2_tile(1, pairs, a, lda, weight, out); break;
    case 2: words_avx2_tile(2, pairs, a, lda, weight, out); break;
    case 3: words_avx2_tile(3, pairs, a, lda, weight, out); break;
    case 4: words_avx2_tile(4, pairs, a, lda, weight, out); break;
    case 5: words_avx2_tile(5, pairs, a, lda, weight, out); break;
    default: words_avx2_tile(6, pairs, a, lda, weight, out); break;
  }
}

#endif

nn_words nn_words_of(const nn_int_form *form) {
#if defined(__x86_64__)
  if (strcmp(form->name, "avx2") == 0) return words_avx2;
#endif
  (void)form;
  return NULL;
}

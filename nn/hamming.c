/*
** The Hamming distance of two blobs, as fast as the CPU allows.
**
** This is the inner loop of hamming(), and of binhash_topk for codes longer
** than eight bytes.  There is a plain kernel, which is the reference, and one
** for each instruction set that counts bits faster:
**
**   scalar   the bits of a byte from a table; nothing assumed, slow
**   swar     eight bytes at a time in ordinary arithmetic; the baseline
**   popcnt   the same with x86's POPCNT
**   avx2     32 bytes at a time, a nibble looked up by PSHUFB
**   avx512   64 bytes at a time with VPOPCNTQ, the end by a masked load
**   neon     16 bytes at a time with CNT
**
** All count the same integer, so which one runs is never seen in a result.
** Each is compiled for its own instruction set by an attribute, and the pick is
** made once from nn_cpu_features.  A test runs every kernel that the CPU has
** against the reference, over all lengths and alignments near the widths above.
**
** Blobs of up to eight bytes, the most common codes by far, are one word, and
** every kernel but the reference counts that first of all.
**
** Not here: rows, thresholds and order, which are nearest.c.
*/
#include <string.h>

#include "nn_int.h"

#if defined(__x86_64__)
#include <immintrin.h>
#define HAMMING_X86 1
#elif defined(__aarch64__)
#include <arm_neon.h>
#define HAMMING_NEON 1
#endif

static uint64_t hamming_scalar(const void *a, const void *b, size_t n) {
  static const uint8_t bits[16] = {0, 1, 1, 2, 1, 2, 2, 3,
                                   1, 2, 2, 3, 2, 3, 3, 4};
  const uint8_t *p = a, *q = b;
  uint64_t sum = 0;
  for (size_t i = 0; i < n; i++) {
    unsigned x = (unsigned)(p[i] ^ q[i]);
    sum += (uint64_t)bits[x & 15] + bits[x >> 4];
  }
  return sum;
}

/* The difference of eight bytes; their order does not matter to a count. */
static inline uint64_t hamming_word(const uint8_t *p, const uint8_t *q) {
  uint64_t x, y;
  memcpy(&x, p, 8);
  memcpy(&y, q, 8);
  return x ^ y;
}

static uint64_t hamming_swar(const void *a, const void *b, size_t n) {
  const uint8_t *p = a, *q = b;
  uint64_t sum = 0;
  for (; n > 8; p += 8, q += 8, n -= 8)
    sum += nn_popcount64(hamming_word(p, q));
  return sum + nn_popcount64(nn_difference8(p, q, n));
}

#ifdef HAMMING_X86

#define HAMMING_WORD(a, b, n) \
  (uint64_t)__builtin_popcountll(nn_difference8(a, b, n))

NN_TARGET("popcnt")
static uint64_t hamming_popcnt(const void *a, const void *b, size_t n) {
  const uint8_t *p = a, *q = b;
  uint64_t sum = 0;
  for (; n > 8; p += 8, q += 8, n -= 8)
    sum += (uint64_t)__builtin_popcountll(hamming_word(p, q));
  return sum + HAMMING_WORD(p, q, n);
}

NN_TARGET("avx2,popcnt")
static uint64_t hamming_avx2(const void *a, const void *b, size_t n) {
  const uint8_t *p = a, *q = b;
  if (n < 32) return hamming_popcnt(p, q, n);
  const __m256i table = _mm256_setr_epi8(
      0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4,
      0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
  const __m256i low = _mm256_set1_epi8(15);
  __m256i sums = _mm256_setzero_si256();
  for (; n >= 32; p += 32, q += 32, n -= 32) {
    __m256i x = _mm256_xor_si256(_mm256_loadu_si256((const __m256i *)p),
                                 _mm256_loadu_si256((const __m256i *)q));
    __m256i high = _mm256_and_si256(_mm256_srli_epi16(x, 4), low);
    __m256i bits = _mm256_add_epi8(
        _mm256_shuffle_epi8(table, _mm256_and_si256(x, low)),
        _mm256_shuffle_epi8(table, high));
    sums = _mm256_add_epi64(sums,
                            _mm256_sad_epu8(bits, _mm256_setzero_si256()));
  }
  uint64_t lanes[4];
  _mm256_storeu_si256((__m256i *)lanes, sums);
  return lanes[0] + lanes[1] + lanes[2] + lanes[3] + hamming_popcnt(p, q, n);
}

NN_TARGET("avx512f,avx512bw,avx512vpopcntdq,popcnt")
static uint64_t hamming_avx512(const void *a, const void *b, size_t n) {
  const uint8_t *p = a, *q = b;
  if (n <= 8) return HAMMING_WORD(p, q, n);
  __m512i sums = _mm512_setzero_si512();
  for (; n >= 64; p += 64, q += 64, n -= 64) {
    __m512i x = _mm512_xor_si512(_mm512_loadu_si512(p), _mm512_loadu_si512(q));
    sums = _mm512_add_epi64(sums, _mm512_popcnt_epi64(x));
  }
  if (n > 0) {
    __mmask64 mask = ~(__mmask64)0 >> (64 - n);
    __m512i x = _mm512_xor_si512(_mm512_maskz_loadu_epi8(mask, p),
                                 _mm512_maskz_loadu_epi8(mask, q));
    sums = _mm512_add_epi64(sums, _mm512_popcnt_epi64(x));
  }
  return (uint64_t)_mm512_reduce_add_epi64(sums);
}

#endif

#ifdef HAMMING_NEON

static uint64_t hamming_neon(const void *a, const void *b, size_t n) {
  const uint8_t *p = a, *q = b;
  uint64x2_t sums = vdupq_n_u64(0);
  for (; n >= 16; p += 16, q += 16, n -= 16) {
    uint8x16_t bits = vcntq_u8(veorq_u8(vld1q_u8(p), vld1q_u8(q)));
    sums = vpadalq_u32(sums, vpaddlq_u16(vpaddlq_u8(bits)));
  }
  return vaddvq_u64(sums) + hamming_swar(p, q, n);
}

#endif

/* From the plain one to the fastest, each with what it needs of the CPU. */
static const struct {
  nn_hamming_form form;
  unsigned needs;
} hamming_forms[] = {
    {{"scalar", hamming_scalar}, 0},
    {{"swar", hamming_swar}, 0},
#ifdef HAMMING_X86
    {{"popcnt", hamming_popcnt}, NN_CPU_POPCNT},
    {{"avx2", hamming_avx2}, NN_CPU_AVX2 | NN_CPU_POPCNT},
    {{"avx512", hamming_avx512}, NN_CPU_AVX512 | NN_CPU_POPCNT},
#endif
#ifdef HAMMING_NEON
    {{"neon", hamming_neon}, 0},
#endif
};
#define HAMMING_FORMS ((int)(sizeof(hamming_forms) / sizeof(*hamming_forms)))

const nn_hamming_form *nn_hamming_kernels(int i) {
  unsigned cpu = nn_cpu_features();
  for (int j = 0; j < HAMMING_FORMS; j++)
    if ((hamming_forms[j].needs & ~cpu) == 0 && i-- == 0)
      return &hamming_forms[j].form;
  return NULL;
}

static const nn_hamming_form *hamming_best(void) {
  const nn_hamming_form *form = NULL, *next;
  for (int i = 0; (next = nn_hamming_kernels(i)) != NULL; i++) form = next;
  return form;
}

static uint64_t hamming_choose(const void *a, const void *b, size_t n);

/* The kernel to run.  The first call of the process finds it out; threads that
** race there store the same. */
static uint64_t (*hamming_run)(const void *, const void *, size_t) =
    hamming_choose;

static uint64_t hamming_choose(const void *a, const void *b, size_t n) {
  __atomic_store_n(&hamming_run, hamming_best()->run, __ATOMIC_RELAXED);
  return nn_hamming(a, b, n);
}

uint64_t nn_hamming(const void *a, const void *b, size_t n) {
  return __atomic_load_n(&hamming_run, __ATOMIC_RELAXED)(a, b, n);
}

const char *nn_hamming_kernel(void) { return hamming_best()->name; }

/*
** The sums of integer networks, as fast as the CPU allows.
**
** Nearly all the time of img_hash under an integer model goes into one loop:
** products of activations (bytes without sign) and weights (bytes with sign),
** added in 32 bits.  There is one in plain C, which is the reference, and one
** for each instruction set that does it faster:
**
**   scalar      as the definition reads
**   generic     GCC's vectors of 16 bytes: the baseline, whatever it is
**   avx2        32 products at a time by VPMADDUBSW
**   avxvnni     32 at a time by VPDPBUSD, without AVX-512 (vnni.c)
**   avx512vnni  64 at a time by VPDPBUSD (vnni.c)
**   amx         16384 at a time by TDPBUSD, where allowed (amx.c)
**   neondot     16 at a time by SDOT
**   neoni8mm    16 at a time by SUDOT, of bytes up to 255 as of others
**
** All add the same integers, and no sum leaves 32 bits (weights/README.md), so
** which one runs, and in which order it adds, is never seen in a code.
**
** A call is a tile: some rows (positions of the output) by sixteen channels,
** over all taps of the filter.  Weights lie so that one load gives four input
** channels of eight or sixteen outputs; of the activations four bytes are
** spread over a register.  Each load of weights then serves all rows, and the
** sums stay in registers until the tile is done.  Every number of rows up to
** the form's own is compiled for itself, so a tile at the edge costs its share.
**
** AVX2 has no exact way to add four products of bytes at once: VPMADDUBSW adds
** two of them in 16 bits, saturating.  Two products of 0..127 and -128..127 do
** fit, so their sum is widened before anything is added to it.  Where bytes go
** up to 255 they would not fit, and both factors are widened first: the even
** and the odd bytes of a register are 16-bit numbers in the lanes they have, so
** VPMADDWD of each gives sums for the same outputs.
**
** Not here: from sums back to bytes, which is requantise.c; which bytes a tile
** reads, padding, layers, which are the callers'.
*/
#include <string.h>

#include "integers.h"

#if defined(__aarch64__)
#include <arm_neon.h>
#elif defined(__x86_64__)
#include <immintrin.h>
#define INTEGER_X86 1
#define INTEGER_AVX2 NN_TARGET("avx2")
#endif

/* The plain reference ----------------------------------------------------- */

static void integer_scalar(int rows, int taps, int quads,
                           const uint8_t *const *in, const int8_t *weight,
                           int32_t *out) {
  for (int r = 0; r < rows; r++)
    for (int o = 0; o < NN_INT_BLOCK; o++) {
      int32_t sum = 0;
      for (int t = 0; t < taps; t++)
        for (int c = 0; c < 4 * quads; c++) {
          size_t quad = (size_t)t * quads + c / 4;
          sum += in[(size_t)t * rows + r][c] *
                 weight[(quad * NN_INT_BLOCK + o) * 4 + c % 4];
        }
      out[r * NN_INT_BLOCK + o] = sum;
    }
}

/* The baseline ------------------------------------------------------------ */

typedef int16_t integer_halves __attribute__((vector_size(16)));
typedef int32_t integer_words __attribute__((vector_size(16)));

#define INTEGER_GENERIC_ROWS 2

/* The sum of the two 16-bit numbers in each word. */
#define INTEGER_PAIRS(x) \
  (((integer_words)(x) << 16 >> 16) + ((integer_words)(x) >> 16))

/* Four bytes that start at p, the even (shift 0) or odd (8) ones. */
static inline integer_halves integer_spread(const uint8_t *p, int shift) {
  int32_t x = (int32_t)(nn_load32(p) >> shift & 0x00ff00ff);
  return (integer_halves)(integer_words){x, x, x, x};
}

/* Products of bytes fit 16 bits with a sign, two of up to 127 together. */
NN_INT_TILE integer_generic_tile(const int wide, const int rows, int taps,
                                  int quads, const uint8_t *const *in,
                                  const int8_t *weight, int32_t *out) {
  integer_words acc[INTEGER_GENERIC_ROWS][4];
  memset(acc, 0, sizeof(acc));
  for (int t = 0; t < taps; t++, in += rows)
    for (int q = 0; q < quads; q++, weight += NN_INT_BYTES) {
      integer_halves even[INTEGER_GENERIC_ROWS], odd[INTEGER_GENERIC_ROWS];
      NN_INT_UNROLL
      for (int r = 0; r < rows; r++) {
        even[r] = integer_spread(in[r] + 4 * q, 0);
        odd[r] = integer_spread(in[r] + 4 * q, 8);
      }
      NN_INT_UNROLL
      for (int k = 0; k < 4; k++) {
        integer_halves w;
        memcpy(&w, weight + 16 * k, 16);
        integer_halves w_even = w << 8 >> 8, w_odd = w >> 8;
        NN_INT_UNROLL
        for (int r = 0; r < rows; r++) {
          integer_halves x = even[r] * w_even, y = odd[r] * w_odd;
          if (wide)
            acc[r][k] += INTEGER_PAIRS(x) + INTEGER_PAIRS(y);
          else
            acc[r][k] += INTEGER_PAIRS(x + y);
        }
      }
    }
  NN_INT_UNROLL
  for (int r = 0; r < rows; r++)
    memcpy(out + r * NN_INT_BLOCK, acc[r], sizeof(acc[r]));
}

static void integer_generic_sums(int rows, int taps, int quads,
                                 const uint8_t *const *in,
                                 const int8_t *weight, int32_t *out) {
  if (rows == 1)
    integer_generic_tile(0, 1, taps, quads, in, weight, out);
  else
    integer_generic_tile(0, 2, taps, quads, in, weight, out);
}

static void integer_generic_wide(int rows, int taps, int quads,
                                 const uint8_t *const *in,
                                 const int8_t *weight, int32_t *out) {
  if (rows == 1)
    integer_generic_tile(1, 1, taps, quads, in, weight, out);
  else
    integer_generic_tile(1, 2, taps, quads, in, weight, out);
}

#ifdef INTEGER_X86

/* AVX2 -------------------------------------------------------------------- */

#define INTEGER_AVX2_ROWS 4

INTEGER_AVX2
NN_INT_TILE integer_avx2_sums_tile(const int rows, int taps, int quads,
                                    const uint8_t *const *in,
                                    const int8_t *weight, int32_t *out) {
  const __m256i ones = _mm256_set1_epi16(1);
  __m256i acc[INTEGER_AVX2_ROWS][2];
  NN_INT_UNROLL
  for (int r = 0; r < rows; r++) acc[r][0] = acc[r][1] = _mm256_setzero_si256();
  for (int t = 0; t < taps; t++, in += rows)
    for (int q = 0; q < quads; q++, weight += NN_INT_BYTES) {
      __m256i w0 = _mm256_load_si256((const __m256i *)weight);
      __m256i w1 = _mm256_load_si256((const __m256i *)(weight + 32));
      NN_INT_UNROLL
      for (int r = 0; r < rows; r++) {
        __m256i x = _mm256_set1_epi32(nn_int_quad(in[r] + 4 * q));
        __m256i p0 = _mm256_madd_epi16(_mm256_maddubs_epi16(x, w0), ones);
        __m256i p1 = _mm256_madd_epi16(_mm256_maddubs_epi16(x, w1), ones);
        acc[r][0] = _mm256_add_epi32(acc[r][0], p0);
        acc[r][1] = _mm256_add_epi32(acc[r][1], p1);
      }
    }
  NN_INT_UNROLL
  for (int r = 0; r < rows; r++, out += NN_INT_BLOCK) {
    _mm256_storeu_si256((__m256i *)out, acc[r][0]);
    _mm256_storeu_si256((__m256i *)(out + 8), acc[r][1]);
  }
}

INTEGER_AVX2
NN_INT_TILE integer_avx2_wide_tile(const int rows, int taps, int quads,
                                    const uint8_t *const *in,
                                    const int8_t *weight, int32_t *out) {
  const __m256i low = _mm256_set1_epi16(255);
  __m256i acc[INTEGER_AVX2_ROWS][2];
  NN_INT_UNROLL
  for (int r = 0; r < rows; r++) acc[r][0] = acc[r][1] = _mm256_setzero_si256();
  for (int t = 0; t < taps; t++, in += rows)
    for (int q = 0; q < quads; q++, weight += NN_INT_BYTES) {
      __m256i w0 = _mm256_load_si256((const __m256i *)weight);
      __m256i w1 = _mm256_load_si256((const __m256i *)(weight + 32));
      __m256i even0 = _mm256_srai_epi16(_mm256_slli_epi16(w0, 8), 8);
      __m256i even1 = _mm256_srai_epi16(_mm256_slli_epi16(w1, 8), 8);
      __m256i odd0 = _mm256_srai_epi16(w0, 8);
      __m256i odd1 = _mm256_srai_epi16(w1, 8);
      NN_INT_UNROLL
      for (int r = 0; r < rows; r++) {
        __m256i x = _mm256_set1_epi32(nn_int_quad(in[r] + 4 * q));
        __m256i even = _mm256_and_si256(x, low);
        __m256i odd = _mm256_srli_epi16(x, 8);
        __m256i p0 = _mm256_add_epi32(_mm256_madd_epi16(even, even0),
                                      _mm256_madd_epi16(odd, odd0));
        __m256i p1 = _mm256_add_epi32(_mm256_madd_epi16(even, even1),
                                      _mm256_madd_epi16(odd, odd1));
        acc[r][0] = _mm256_add_epi32(acc[r][0], p0);
        acc[r][1] = _mm256_add_epi32(acc[r][1], p1);
      }
    }
  NN_INT_UNROLL
  for (int r = 0; r < rows; r++, out += NN_INT_BLOCK) {
    _mm256_storeu_si256((__m256i *)out, acc[r][0]);
    _mm256_storeu_si256((__m256i *)(out + 8), acc[r][1]);
  }
}

INTEGER_AVX2
static void integer_avx2_sums(int rows, int taps, int quads,
                              const uint8_t *const *in, const int8_t *weight,
                              int32_t *out) {
  switch (rows) { NN_INT_CASES4(integer_avx2_sums_tile, 0) }
}

INTEGER_AVX2
static void integer_avx2_wide(int rows, int taps, int quads,
                              const uint8_t *const *in, const int8_t *weight,
                              int32_t *out) {
  switch (rows) { NN_INT_CASES4(integer_avx2_wide_tile, 0) }
}

#endif

/* NEON with dot products -------------------------------------------------- */

#ifdef NN_INT_DOT

#define INTEGER_DOT_ROWS 5

/* Quad `lane` of what the rows see, which is at hand in x. */
#define INTEGER_DOT_QUAD(lane)                                          \
  do {                                                                  \
    NN_INT_UNROLL                                                      \
    for (int i = 0; i < 4; i++) {                                       \
      int8x16_t w = vld1q_s8(weight + (lane) * NN_INT_BYTES + 16 * i); \
      if (wide) sum[i] = vdotq_s32(sum[i], w, ones);                    \
      NN_INT_UNROLL                                                    \
      for (int r = 0; r < rows; r++)                                    \
        acc[r][i] = vdotq_laneq_s32(acc[r][i], w, x[r], lane);          \
    }                                                                   \
  } while (0)

/* SDOT takes both factors with a sign.  Bytes above 127 are read 128 too low,
** and 128 times the sum of the weights is added at the end; what wraps around
** on the way comes back. */
NN_INT_DOT
NN_INT_TILE integer_dot_tile(const int wide, const int rows, int taps,
                              int quads, const uint8_t *const *in,
                              const int8_t *weight, int32_t *out) {
  int32x4_t acc[INTEGER_DOT_ROWS][4], sum[4];
  int8x16_t x[INTEGER_DOT_ROWS];
  const int8x16_t ones = vdupq_n_s8(1);
  const uint8x16_t high = vdupq_n_u8(wide ? 128 : 0);
  NN_INT_UNROLL
  for (int i = 0; i < 4; i++) {
    sum[i] = vdupq_n_s32(0);
    NN_INT_UNROLL
    for (int r = 0; r < rows; r++) acc[r][i] = sum[i];
  }
  for (int t = 0; t < taps; t++, in += rows) {
    int q = 0;
    for (; q + 4 <= quads; q += 4, weight += 4 * NN_INT_BYTES) {
      NN_INT_UNROLL
      for (int r = 0; r < rows; r++)
        x[r] = vreinterpretq_s8_u8(veorq_u8(vld1q_u8(in[r] + 4 * q), high));
      INTEGER_DOT_QUAD(0);
      INTEGER_DOT_QUAD(1);
      INTEGER_DOT_QUAD(2);
      INTEGER_DOT_QUAD(3);
    }
    for (; q < quads; q++, weight += NN_INT_BYTES) {
      NN_INT_UNROLL
      for (int r = 0; r < rows; r++)
        x[r] = vreinterpretq_s8_u8(veorq_u8(
            vreinterpretq_u8_u32(vdupq_n_u32((uint32_t)nn_load32(in[r] +
                                                                 4 * q))),
            high));
      INTEGER_DOT_QUAD(0);
    }
  }
  NN_INT_UNROLL
  for (int r = 0; r < rows; r++, out += NN_INT_BLOCK) {
    NN_INT_UNROLL
    for (int i = 0; i < 4; i++)
      vst1q_s32(out + 4 * i, vaddq_s32(acc[r][i], vshlq_n_s32(sum[i], 7)));
  }
}

#define INTEGER_DOT_CASE(wide, r)                                      \
  case r: integer_dot_tile(wide, r, taps, quads, in, weight, out); break;
#define INTEGER_DOT_CASES(wide)                                        \
  INTEGER_DOT_CASE(wide, 1) INTEGER_DOT_CASE(wide, 2)                  \
  INTEGER_DOT_CASE(wide, 3) INTEGER_DOT_CASE(wide, 4)                  \
  INTEGER_DOT_CASE(wide, 5)

NN_INT_DOT
static void integer_dot_sums(int rows, int taps, int quads,
                             const uint8_t *const *in, const int8_t *weight,
                             int32_t *out) {
  switch (rows) { INTEGER_DOT_CASES(0) }
}

NN_INT_DOT
static void integer_dot_wide(int rows, int taps, int quads,
                             const uint8_t *const *in, const int8_t *weight,
                             int32_t *out) {
  switch (rows) { INTEGER_DOT_CASES(1) }
}

#endif

/* NEON with products of bytes of both kinds ------------------------------- */

#ifdef NN_INT_I8MM

#define INTEGER_I8MM_ROWS 5

/* As INTEGER_DOT_QUAD. */
#define INTEGER_I8MM_QUAD(lane)                                         \
  do {                                                                  \
    NN_INT_UNROLL                                                      \
    for (int i = 0; i < 4; i++) {                                       \
      int8x16_t w = vld1q_s8(weight + (lane) * NN_INT_BYTES + 16 * i); \
      NN_INT_UNROLL                                                    \
      for (int r = 0; r < rows; r++)                                    \
        acc[r][i] = vsudotq_laneq_s32(acc[r][i], w, x[r], lane);        \
    }                                                                   \
  } while (0)

NN_INT_I8MM
NN_INT_TILE integer_i8mm_tile(const int rows, int taps, int quads,
                               const uint8_t *const *in, const int8_t *weight,
                               int32_t *out) {
  int32x4_t acc[INTEGER_I8MM_ROWS][4];
  uint8x16_t x[INTEGER_I8MM_ROWS];
  NN_INT_UNROLL
  for (int r = 0; r < rows; r++)
    acc[r][0] = acc[r][1] = acc[r][2] = acc[r][3] = vdupq_n_s32(0);
  for (int t = 0; t < taps; t++, in += rows) {
    int q = 0;
    for (; q + 4 <= quads; q += 4, weight += 4 * NN_INT_BYTES) {
      NN_INT_UNROLL
      for (int r = 0; r < rows; r++) x[r] = vld1q_u8(in[r] + 4 * q);
      INTEGER_I8MM_QUAD(0);
      INTEGER_I8MM_QUAD(1);
      INTEGER_I8MM_QUAD(2);
      INTEGER_I8MM_QUAD(3);
    }
    for (; q < quads; q++, weight += NN_INT_BYTES) {
      NN_INT_UNROLL
      for (int r = 0; r < rows; r++)
        x[r] = vreinterpretq_u8_u32(
            vdupq_n_u32((uint32_t)nn_load32(in[r] + 4 * q)));
      INTEGER_I8MM_QUAD(0);
    }
  }
  NN_INT_UNROLL
  for (int r = 0; r < rows; r++, out += NN_INT_BLOCK) {
    NN_INT_UNROLL
    for (int i = 0; i < 4; i++) vst1q_s32(out + 4 * i, acc[r][i]);
  }
}

NN_INT_I8MM
static void integer_i8mm(int rows, int taps, int quads,
                         const uint8_t *const *in, const int8_t *weight,
                         int32_t *out) {
  switch (rows) {
    NN_INT_CASES4(integer_i8mm_tile, 0)
    NN_INT_CASE(integer_i8mm_tile, 5)
  }
}

#endif

/* Dispatch ---------------------------------------------------------------- */

/* One that takes a block at a time and prepares nothing. */
#define INTEGER_FORM(name, rows, sums, wide, bytes) \
  {name, rows, sums, wide, bytes, 0, 0, NULL, NULL, NULL}

/* From the plain one to the fastest, each with what it needs of the CPU. */
static const struct {
  nn_int_form form;
  unsigned needs;
} integer_forms[] = {
    {INTEGER_FORM("scalar", 4, integer_scalar, integer_scalar,
                  nn_bytes_scalar), 0},
    {INTEGER_FORM("generic", INTEGER_GENERIC_ROWS, integer_generic_sums,
                  integer_generic_wide, nn_bytes_scalar), 0},
#ifdef INTEGER_X86
    {INTEGER_FORM("avx2", INTEGER_AVX2_ROWS, integer_avx2_sums,
                  integer_avx2_wide, nn_bytes_avx2), NN_CPU_AVX2},
#ifdef NN_AVXVNNI_KERNEL
    {INTEGER_FORM("avxvnni", NN_AVXVNNI_ROWS, nn_avxvnni_sums, nn_avxvnni_sums,
                  nn_bytes_avx2), NN_CPU_AVX2 | NN_CPU_AVXVNNI},
#endif
    {{"avx512vnni", NN_VNNI_ROWS, nn_vnni_sums, nn_vnni_sums, nn_bytes_avx512,
      NN_INT_PANEL, 1, nn_vnni_many, NULL, NULL}, NN_CPU_AVX512VNNI},
#endif
#ifdef NN_INT_DOT
    {INTEGER_FORM("neondot", INTEGER_DOT_ROWS, integer_dot_sums,
                  integer_dot_wide, nn_bytes_scalar), NN_CPU_DOTPROD},
#endif
#ifdef NN_INT_I8MM
    {INTEGER_FORM("neoni8mm", INTEGER_I8MM_ROWS, integer_i8mm, integer_i8mm,
                  nn_bytes_scalar), NN_CPU_DOTPROD | NN_CPU_I8MM},
#endif
#if NN_AMX_KERNEL
    {{"amx", NN_VNNI_ROWS, nn_vnni_sums, nn_vnni_sums, nn_bytes_avx512,
      NN_AMX_ROWS, NN_AMX_SIDE, nn_amx_many, nn_amx_open, nn_amx_close},
     NN_CPU_AVX512VNNI | NN_CPU_AMX},
#endif
};
#define INTEGER_FORMS ((int)(sizeof(integer_forms) / sizeof(*integer_forms)))

const nn_int_form *nn_int_kernels_for(unsigned cpu, int i) {
  const nn_int_form *last = NULL;
  for (int j = 0; j < INTEGER_FORMS; j++) {
    if (integer_forms[j].needs & ~cpu) continue;
    last = &integer_forms[j].form;
    if (i-- == 0) return last;
  }
  return i < 0 ? last : NULL;
}

const nn_int_form *nn_int_kernels(int i) {
  unsigned without = nn_amx_permitted() ? 0 : NN_CPU_AMX;
  return nn_int_kernels_for(nn_cpu_features() & ~without, i);
}

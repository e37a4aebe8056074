/*
** The sums of integer networks by VPDPBUSD, which adds four products of bytes
** in 32 bits, exactly, for bytes up to 255 as for others.
**
** Most of img_hash's time goes here on a CPU that has it.  There are three:
**
**   nn_avxvnni_sums  32 products at a time, on CPUs without AVX-512
**   nn_vnni_sums     64 at a time, a block of sixteen outputs
**   nn_vnni_many     the same for up to four blocks
**
** Two VPDPBUSD a cycle want two operands a cycle besides the sums.  With one
** block each product has a broadcast of its own, so the loads decide, and
** nn_vnni_sums ends at 0.8 of what the multipliers can do.  Four blocks share a
** broadcast: six rows by four blocks are ten loads for 24 products, and 24
** sums, four weights and a broadcast fit the registers.  Of long filters the
** weights come from the second cache, for six rows by four blocks 256 bytes in
** twelve cycles and for twelve by two half of that, so these take two.  Few
** blocks have more rows in any case, because a sum rests for four or five
** cycles and ten of them must be under way.
**
** Of the peak (two VPDPBUSD a cycle; Xeon of the fifth generation, 3 GHz)
** nn_vnni_sums reaches 71 to 86 % and nn_vnni_many 96 to 102 % from 32 quads
** on, 47 and 91 % with nine, as build/tests/bench_integer prints.
**
** Not here: which bytes a tile reads (packed.c, panel.c).
*/
#include "integers.h"

#ifdef __x86_64__

#include <immintrin.h>

#define VNNI_512 NN_TARGET("avx512f,avx512bw,avx512vl,avx512vnni")

/* Without AVX-512 --------------------------------------------------------- */

#ifdef NN_AVXVNNI_KERNEL

#define VNNI_256 NN_TARGET("avx2,avxvnni")

VNNI_256
NN_INT_TILE vnni_small_tile(const int rows, int taps, int quads,
                            const uint8_t *const *in, const int8_t *weight,
                            int32_t *out) {
  __m256i acc[NN_AVXVNNI_ROWS][2];
  NN_INT_UNROLL
  for (int r = 0; r < rows; r++) acc[r][0] = acc[r][1] = _mm256_setzero_si256();
  for (int t = 0; t < taps; t++, in += rows)
    for (int q = 0; q < quads; q++, weight += NN_INT_BYTES) {
      __m256i w0 = _mm256_load_si256((const __m256i *)weight);
      __m256i w1 = _mm256_load_si256((const __m256i *)(weight + 32));
      NN_INT_UNROLL
      for (int r = 0; r < rows; r++) {
        __m256i x = _mm256_set1_epi32(nn_int_quad(in[r] + 4 * q));
        acc[r][0] = _mm256_dpbusd_avx_epi32(acc[r][0], x, w0);
        acc[r][1] = _mm256_dpbusd_avx_epi32(acc[r][1], x, w1);
      }
    }
  NN_INT_UNROLL
  for (int r = 0; r < rows; r++, out += NN_INT_BLOCK) {
    _mm256_storeu_si256((__m256i *)out, acc[r][0]);
    _mm256_storeu_si256((__m256i *)(out + 8), acc[r][1]);
  }
}

VNNI_256
void nn_avxvnni_sums(int rows, int taps, int quads, const uint8_t *const *in,
                     const int8_t *weight, int32_t *out) {
  switch (rows) {
    NN_INT_CASES4(vnni_small_tile, 0)
    NN_INT_CASE(vnni_small_tile, 5)
    NN_INT_CASE(vnni_small_tile, 6)
  }
}

#endif

/* One block --------------------------------------------------------------- */

/* Four quads at a time: a row's pointer, for which there is no register, is
** then loaded once for four broadcasts. */
VNNI_512
NN_INT_TILE vnni_tile(const int rows, int taps, int quads,
                      const uint8_t *const *in, const int8_t *weight,
                      int32_t *out) {
  __m512i acc[NN_VNNI_ROWS];
  NN_INT_UNROLL
  for (int r = 0; r < rows; r++) acc[r] = _mm512_setzero_si512();
  for (int t = 0; t < taps; t++, in += rows) {
    int q = 0;
    for (; q + 4 <= quads; q += 4, weight += 4 * NN_INT_BYTES) {
      __m512i w0 = _mm512_load_si512(weight);
      __m512i w1 = _mm512_load_si512(weight + NN_INT_BYTES);
      __m512i w2 = _mm512_load_si512(weight + 2 * NN_INT_BYTES);
      __m512i w3 = _mm512_load_si512(weight + 3 * NN_INT_BYTES);
      NN_INT_UNROLL
      for (int r = 0; r < rows; r++) {
        const uint8_t *p = in[r] + 4 * q;
        acc[r] = _mm512_dpbusd_epi32(
            acc[r], _mm512_set1_epi32(nn_int_quad(p)), w0);
        acc[r] = _mm512_dpbusd_epi32(
            acc[r], _mm512_set1_epi32(nn_int_quad(p + 4)), w1);
        acc[r] = _mm512_dpbusd_epi32(
            acc[r], _mm512_set1_epi32(nn_int_quad(p + 8)), w2);
        acc[r] = _mm512_dpbusd_epi32(
            acc[r], _mm512_set1_epi32(nn_int_quad(p + 12)), w3);
      }
    }
    for (; q < quads; q++, weight += NN_INT_BYTES) {
      __m512i w = _mm512_load_si512(weight);
      NN_INT_UNROLL
      for (int r = 0; r < rows; r++)
        acc[r] = _mm512_dpbusd_epi32(
            acc[r], _mm512_set1_epi32(nn_int_quad(in[r] + 4 * q)), w);
    }
  }
  NN_INT_UNROLL
  for (int r = 0; r < rows; r++)
    _mm512_storeu_si512(out + r * NN_INT_BLOCK, acc[r]);
}

VNNI_512
void nn_vnni_sums(int rows, int taps, int quads, const uint8_t *const *in,
                  const int8_t *weight, int32_t *out) {
  switch (rows) {
    NN_INT_CASES4(vnni_tile, 0)
    NN_INT_CASES4(vnni_tile, 4)
    NN_INT_CASES4(vnni_tile, 8)
    NN_INT_CASES4(vnni_tile, 12)
  }
}

/* Several blocks ---------------------------------------------------------- */

#define VNNI_FEW 2     /* blocks that take more rows */
#define VNNI_LONG 256  /* quads from which on there are no more at once */
#define VNNI_ROWS 6
#define VNNI_ROWS_OF_FEW 12

VNNI_512
NN_INT_TILE vnni_panel(const int blocks, const int rows, size_t apart,
                       size_t quads, const uint8_t *in, size_t stride,
                       const int8_t *weight, int32_t *out) {
  __m512i acc[VNNI_ROWS_OF_FEW][NN_INT_PANEL_BLOCKS];
  NN_INT_UNROLL
  for (int r = 0; r < rows; r++) {
    NN_INT_UNROLL
    for (int b = 0; b < blocks; b++) acc[r][b] = _mm512_setzero_si512();
  }
  for (; quads; quads--, in += 4, weight += NN_INT_BYTES) {
    __m512i w[NN_INT_PANEL_BLOCKS];
    NN_INT_UNROLL
    for (int b = 0; b < blocks; b++)
      w[b] = _mm512_load_si512(weight + (size_t)b * apart);
    NN_INT_UNROLL
    for (int r = 0; r < rows; r++) {
      __m512i x = _mm512_set1_epi32(nn_int_quad(in + (size_t)r * stride));
      NN_INT_UNROLL
      for (int b = 0; b < blocks; b++)
        acc[r][b] = _mm512_dpbusd_epi32(acc[r][b], x, w[b]);
    }
  }
  NN_INT_UNROLL
  for (int r = 0; r < rows; r++) {
    NN_INT_UNROLL
    for (int b = 0; b < blocks; b++)
      _mm512_storeu_si512(out + (b * NN_INT_PANEL + r) * NN_INT_BLOCK,
                          acc[r][b]);
  }
}

#define VNNI_CASE(blocks, r)                                             \
  case r:                                                                \
    vnni_panel(blocks, r, apart, quads, in, stride, weight, out);        \
    break;
#define VNNI_CASES6(blocks, r)                                           \
  VNNI_CASE(blocks, (r) + 1) VNNI_CASE(blocks, (r) + 2)                  \
  VNNI_CASE(blocks, (r) + 3) VNNI_CASE(blocks, (r) + 4)                  \
  VNNI_CASE(blocks, (r) + 5) VNNI_CASE(blocks, (r) + 6)

VNNI_512
static void vnni_rows(int blocks, int rows, size_t apart, size_t quads,
                      const uint8_t *in, size_t stride, const int8_t *weight,
                      int32_t *out) {
  if (blocks == 4) {
    switch (rows) { VNNI_CASES6(4, 0) }
  } else if (blocks == 3) {
    switch (rows) { VNNI_CASES6(3, 0) }
  } else if (blocks == 2) {
    switch (rows) { VNNI_CASES6(2, 0) VNNI_CASES6(2, 6) }
  } else {
    switch (rows) { VNNI_CASES6(1, 0) VNNI_CASES6(1, 6) }
  }
}

/* Rows in parts as even as can be: few are slower than many. */
static void vnni_parts(int blocks, size_t apart, int rows, size_t quads,
                       const uint8_t *in, size_t stride, const int8_t *weight,
                       int32_t *out) {
  const int most = blocks <= VNNI_FEW ? VNNI_ROWS_OF_FEW : VNNI_ROWS;
  for (int n; rows; rows -= n, in += (size_t)n * stride,
                    out += n * NN_INT_BLOCK) {
    int parts = (rows + most - 1) / most;
    n = (rows + parts - 1) / parts;
    vnni_rows(blocks, n, apart, quads, in, stride, weight, out);
  }
}

void nn_vnni_many(int blocks, size_t apart, int rows, size_t quads,
                  const uint8_t *in, size_t stride, const int8_t *weight,
                  int32_t *out) {
  const int each = quads < VNNI_LONG ? NN_INT_PANEL_BLOCKS : VNNI_FEW;
  for (int b = 0; b < blocks; b += each) {
    vnni_parts(blocks - b < each ? blocks - b : each, apart, rows, quads, in,
               stride, weight + (size_t)b * apart,
               out + b * NN_INT_PANEL * NN_INT_BLOCK);
  }
}

#endif

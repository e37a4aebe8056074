/*
** The sums of integer networks in AMX's tiles: sixteen rows by sixteen outputs
** by sixty-four channels at a time.
**
** It serves img_hash and its kin once binhash_config('amx', 1) has the
** permission of the process (cpu.c); without it, and on CPUs without AMX,
** integer.c's other forms do.  The numbers are the same: TDPBUSD adds four
** products of bytes, the first without sign and the second with one, in 32 bits
** that wrap, and no sum leaves them (weights/README.md).  As VPDPBUSD it takes
** bytes up to 255, so one kernel is sums and wide.
**
** Weights.  A block of packed.c has sixty-four bytes for each quad of channels,
** four of each of sixteen outputs, quad after quad and tap after tap.  That is
** what a tile of weights looks like: sixteen quads, its rows sixty-four bytes
** apart.  So VNNI and AMX share one packing, a model that is open serves both,
** and the setting may change at any time.
**
** Activations.  A tile wants its rows at equal distances, and what the
** positions of a convolution see lies anywhere (a tap beside the picture is a
** byte pattern of its own).  So the rows are gathered: what all taps see, one
** after the other, as the weights have them.  Nothing is then lost at the end
** of a tap: three channels by 11 x 11 taps fill 121 quads, seven and a half
** tiles, and only the last is partly empty.  Its bytes behind the last quad are
** zeros, and so it does not matter that the tile of weights reaches into the
** next block, or into the slack behind the last one.
**
** A call takes two tiles of rows and up to eight blocks, so that what was
** gathered is read four times.  Blocks go by twos: two tiles of rows by two of
** weights are four sums, four loads for four products, and each sum rests for
** three products while a product takes about three to come out.  All eight
** tiles are in use, all whole, so one configuration serves every shape: rows
** that are missing are zeros and their sums are not looked at.  Long filters go
** in pieces of AMX_QUADS, whose sums wait in out[].
**
** What it should cost, at 16 cycles for 16384 products: a piece of 1024 bytes
** by eight blocks 4096 cycles, its gathering about 1100 (a load and a store for
** each 64 bytes, one store a cycle), so 0.75 to 0.8 of the peak on layers of
** 128 outputs or more, half of it with 32, and reading weights is all that an
** inner product of one image does.  It has run under emulation only
** (tests/emulated/tiles.c), which is as strict as the CPU about
** configurations and shapes; no time of it was ever measured.
**
** Tiles are configured before a task of packed.c and released behind it, on the
** thread that runs it: a worker that waits, and the host's threads, have none.
*/
#include "integers.h"

#if NN_AMX_KERNEL

#include <immintrin.h>
#include <string.h>

#define AMX_TILES NN_TARGET("avx512f,avx512bw,avx512vl,amx-tile,amx-int8")

#define AMX_SIDE 16                    /* rows of a tile, and its quads */
#define AMX_BYTES 64                   /* of a row of it */
#define AMX_QUADS 256                  /* that are gathered at a time */
/* From row to row of what is gathered: a line more, which is written behind the
** last quad, and keeps the rows out of each other's sets of the cache. */
#define AMX_STRIDE (4 * AMX_QUADS + AMX_BYTES)

/* The numbers of the tiles, which the instructions hold.  Sums have the half of
** the rows in front and the block behind. */
#define AMX_SUM_00 0
#define AMX_SUM_01 1
#define AMX_SUM_10 2
#define AMX_SUM_11 3
#define AMX_IN_0 4
#define AMX_IN_1 5
#define AMX_WEIGHT_0 6
#define AMX_WEIGHT_1 7

/* What LDTILECFG reads: palette 1, eight tiles, all of them whole. */
typedef struct amx_configuration {
  uint8_t palette, start_row, zeros[14];
  uint16_t bytes[16];
  uint8_t rows[16];
} amx_configuration;

static const _Alignas(64) amx_configuration amx_whole = {
    .palette = 1,
    .bytes = {AMX_BYTES, AMX_BYTES, AMX_BYTES, AMX_BYTES, AMX_BYTES, AMX_BYTES,
              AMX_BYTES, AMX_BYTES},
    .rows = {AMX_SIDE, AMX_SIDE, AMX_SIDE, AMX_SIDE, AMX_SIDE, AMX_SIDE,
             AMX_SIDE, AMX_SIDE},
};

AMX_TILES
void nn_amx_open(void) { _tile_loadconfig(&amx_whole); }

AMX_TILES
void nn_amx_close(void) { _tile_release(); }

/* GCC knows that there are at most 16 steps, and would write them all out. */
#ifdef __clang__
#define AMX_ROLLED _Pragma("clang loop unroll(disable)")
#else
#define AMX_ROLLED _Pragma("GCC unroll 1")
#endif

/* GCC's tile instructions do not say that they read or write memory. */
static inline void amx_settle(void) { __asm__ __volatile__("" ::: "memory"); }

/* What `rows` positions see of quads [first, first + count), a row after the
** other, each followed by zeros up to a whole tile. */
AMX_TILES
static void amx_gather(int rows, int quads,
                       const uint8_t *const *in, size_t first, size_t count,
                       uint8_t *to) {
  size_t tap = first / (size_t)quads;
  const int start = (int)(first % (size_t)quads);
  for (int r = 0; r < rows; r++, to += AMX_STRIDE) {
    const uint8_t *const *from = in + tap * (size_t)rows + r;
    size_t at = 0;
    int q = start;
    for (; at < count; from += rows, q = 0) {
      const uint8_t *p = *from;
      for (; q < quads && at < count; q += AMX_SIDE) {
        size_t n = count - at;
        if (n > (size_t)(quads - q)) n = (size_t)(quads - q);
        if (n > AMX_SIDE) n = AMX_SIDE;
        __mmask16 mask = (__mmask16)((1u << n) - 1);
        _mm512_storeu_si512(to + 4 * at,
                            _mm512_maskz_loadu_epi32(mask, p + 4 * q));
        at += n;
      }
    }
    _mm512_storeu_si512(to + 4 * count, _mm512_setzero_si512());
  }
}

/* One or two tiles of rows by one or two blocks, over `steps` tiles of quads.
** The sums are new or go on. */
AMX_TILES
static inline __attribute__((always_inline)) void amx_sums(
    const int two, const int pair, int fresh, size_t steps, const uint8_t *in,
    const int8_t *weight, size_t apart, int32_t *out) {
  enum { HALF = AMX_SIDE * NN_INT_BLOCK, BLOCK = NN_AMX_ROWS * NN_INT_BLOCK };
  if (fresh) {
    _tile_zero(AMX_SUM_00);
    if (pair) _tile_zero(AMX_SUM_01);
    if (two) _tile_zero(AMX_SUM_10);
    if (two && pair) _tile_zero(AMX_SUM_11);
  } else {
    _tile_loadd(AMX_SUM_00, out, AMX_BYTES);
    if (pair) _tile_loadd(AMX_SUM_01, out + BLOCK, AMX_BYTES);
    if (two) _tile_loadd(AMX_SUM_10, out + HALF, AMX_BYTES);
    if (two && pair) _tile_loadd(AMX_SUM_11, out + BLOCK + HALF, AMX_BYTES);
  }
  AMX_ROLLED
  for (; steps; steps--) {
    _tile_loadd(AMX_IN_0, in, AMX_STRIDE);
    _tile_loadd(AMX_WEIGHT_0, weight, AMX_BYTES);
    _tile_dpbusd(AMX_SUM_00, AMX_IN_0, AMX_WEIGHT_0);
    if (two) {
      _tile_loadd(AMX_IN_1, in + AMX_SIDE * AMX_STRIDE, AMX_STRIDE);
      _tile_dpbusd(AMX_SUM_10, AMX_IN_1, AMX_WEIGHT_0);
    }
    if (pair) {
      _tile_loadd(AMX_WEIGHT_1, weight + apart, AMX_BYTES);
      _tile_dpbusd(AMX_SUM_01, AMX_IN_0, AMX_WEIGHT_1);
      if (two) _tile_dpbusd(AMX_SUM_11, AMX_IN_1, AMX_WEIGHT_1);
    }
    in += AMX_BYTES;
    weight += AMX_SIDE * AMX_BYTES;
  }
  _tile_stored(AMX_SUM_00, out, AMX_BYTES);
  if (pair) _tile_stored(AMX_SUM_01, out + BLOCK, AMX_BYTES);
  if (two) _tile_stored(AMX_SUM_10, out + HALF, AMX_BYTES);
  if (two && pair) _tile_stored(AMX_SUM_11, out + BLOCK + HALF, AMX_BYTES);
}

AMX_TILES
void nn_amx_many(int blocks, size_t apart, int rows, int taps, int quads,
                 const uint8_t *const *in, const int8_t *weight,
                 int32_t *out) {
  _Alignas(64) uint8_t gathered[NN_AMX_ROWS * AMX_STRIDE];
  const size_t all = (size_t)taps * (size_t)quads;
  const int two = rows > AMX_SIDE, whole = two ? 2 * AMX_SIDE : AMX_SIDE;
  memset(gathered + rows * AMX_STRIDE, 0,
         (size_t)(whole - rows) * AMX_STRIDE);
  for (size_t first = 0; first < all; first += AMX_QUADS) {
    size_t count = all - first < AMX_QUADS ? all - first : AMX_QUADS;
    size_t steps = (count + AMX_SIDE - 1) / AMX_SIDE;
    amx_gather(rows, quads, in, first, count, gathered);
    amx_settle();
    for (int b = 0; b < blocks; b += 2) {
      const int8_t *w = weight + (size_t)b * apart + first * AMX_BYTES;
      int32_t *to = out + (size_t)b * NN_AMX_ROWS * NN_INT_BLOCK;
      const int pair = b + 1 < blocks;
      if (two && pair) amx_sums(1, 1, !first, steps, gathered, w, apart, to);
      else if (two) amx_sums(1, 0, !first, steps, gathered, w, apart, to);
      else if (pair) amx_sums(0, 1, !first, steps, gathered, w, apart, to);
      else amx_sums(0, 0, !first, steps, gathered, w, apart, to);
    }
    amx_settle();
  }
}

void nn_amx_one(int rows, int taps, int quads, const uint8_t *const *in,
                const int8_t *weight, int32_t *out) {
  nn_amx_many(1, 0, rows, taps, quads, in, weight, out);
}

#endif

/*
** The sums of integer networks in AMX's tiles: sixteen rows by sixteen outputs
** by sixty-four channels at a time.
**
** It serves img_hash and its kin once binhash_config('amx', 1) has the
** permission of the process (cpu.c); without it, and on CPUs without AMX,
** integer.c's other forms do.  The numbers are the same: TDPBUSD adds four
** products of bytes, the first without sign and the second with one, in 32 bits
** that wrap, and no sum leaves them (weights/README.md).  As VPDPBUSD it takes
** bytes up to 255.  Layers that panel.c leaves to packed.c go by VPDPBUSD.
**
** Weights.  A block of packed.c has sixty-four bytes for each quad of channels,
** four of each of sixteen outputs, quad after quad and tap after tap.  That is
** what a tile of weights looks like: sixteen quads, its rows sixty-four bytes
** apart.  So VNNI and AMX share one packing, a model that is open serves both,
** and the setting may change at any time.
**
** Activations.  A tile wants its rows at equal distances, and gets them: what
** the positions of a convolution see is gathered (panel.c), all taps one after
** the other as the weights have them, so that nothing is lost at the end of a
** tap; the bytes behind the last quad are zeros, and so it does not matter
** that the last tile of weights reaches into the next block, or into the slack
** behind the last one.
**
** A call takes two tiles of rows by two blocks at a time: four sums, four
** loads for four products.  All eight tiles are in use, all whole, so one
** configuration serves every shape; of rows that are missing the sums are not
** looked at.
**
** What it costs in cycles (Xeon of the fifth generation): a product of 16384
** multiply-adds 17, also where it waits for the one before, a load of a tile 9
** from the first cache and 22 from the second, four stores 70.  So a step of
** four products takes 69 by itself and 70 to 90 with its loads, from either
** cache and whatever is fetched ahead, in a long call less than in a short one,
** which ends with stores; and to make bytes of what nine steps gave (64
** channels by 3 x 3; requantise.c) takes half as long again as they did.
** bench_integer prints 71 to 92 % of the peak from 144 quads on, half of it
** with 32 and a fifth with nine.
**
** Tiles are configured before a task of panel.c and released behind it, on the
** thread that runs it: a worker that waits, and the host's threads, have none.
*/
#include "integers.h"

#if NN_AMX_KERNEL

#include <immintrin.h>

#define AMX_TILES NN_TARGET("amx-tile,amx-int8")

#define AMX_SIDE NN_AMX_SIDE           /* of a tile: rows, and quads of each */
#define AMX_BYTES (4 * AMX_SIDE)       /* of a row of it */

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

/* GCC's tile instructions do not say that they read or write memory. */
static inline void amx_settle(void) { __asm__ __volatile__("" ::: "memory"); }

/* One or two tiles of rows, `stride` bytes apart, by one or two blocks. */
AMX_TILES
static inline __attribute__((always_inline)) void amx_sums(
    const int two, const int pair, size_t steps, const uint8_t *in,
    size_t stride, const int8_t *weight, size_t apart, int32_t *out) {
  enum { HALF = AMX_SIDE * NN_INT_BLOCK, BLOCK = NN_INT_PANEL * NN_INT_BLOCK };
  _tile_zero(AMX_SUM_00);
  if (pair) _tile_zero(AMX_SUM_01);
  if (two) _tile_zero(AMX_SUM_10);
  if (two && pair) _tile_zero(AMX_SUM_11);
  for (; steps; steps--) {
    _tile_loadd(AMX_IN_0, in, stride);
    _tile_loadd(AMX_WEIGHT_0, weight, AMX_BYTES);
    _tile_dpbusd(AMX_SUM_00, AMX_IN_0, AMX_WEIGHT_0);
    if (two) {
      _tile_loadd(AMX_IN_1, in + AMX_SIDE * stride, stride);
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
void nn_amx_many(int blocks, size_t apart, int rows, size_t quads,
                 const uint8_t *in, size_t stride, const int8_t *weight,
                 int32_t *out) {
  const size_t steps = (quads + AMX_SIDE - 1) / AMX_SIDE;
  const int two = rows > AMX_SIDE;
  amx_settle();
  for (int b = 0; b < blocks; b += 2) {
    const int8_t *w = weight + (size_t)b * apart;
    int32_t *to = out + b * NN_INT_PANEL * NN_INT_BLOCK;
    const int pair = b + 1 < blocks;
    if (two && pair) amx_sums(1, 1, steps, in, stride, w, apart, to);
    else if (two) amx_sums(1, 0, steps, in, stride, w, apart, to);
    else if (pair) amx_sums(0, 1, steps, in, stride, w, apart, to);
    else amx_sums(0, 0, steps, in, stride, w, apart, to);
  }
  amx_settle();
}

#endif

/*
** Blocks of rows: the bytes in which an index keeps rowids and codes, on disk
** and in memory alike.
**
** A block holds n rows in the order of their rowids, with codes of some number
** of bits, B = (bits + 7) / 8 bytes each.  All numbers are little-endian.
**
**    0  u8   format of the block, 1
**    1  u8   w: bytes of a rowid's offset, 0, 1, 2, 4 or 8
**    2  u16  n: rows
**    4  u32  bits of a code
**    8  u64  stamp: a random number of whoever wrote it
**   16  i64  base: the rowid of row 0; 0 where n is 0
**   24       n offsets of w bytes: rowid - base, rising, the first is 0.  With
**            w = 0 there are none, and row i has the rowid base + i
**            n * B bytes of codes in planes: byte 0 of every code, then byte 1
**            of every code, and so on
**   end - 4  u32  checksum: the low half of XXH64 (seed 0) of all before it
**
** w is the narrowest that will do, so rows without gaps cost B bytes each and
** 28 bytes for all of them.
**
** Why planes: the bytes that one instruction compares belong to 32 or 64
** different rows, so that a sum over planes is the distance of each of those
** rows, and nothing is ever added across a register (planes.c).
**
** A block that comes from a file is not trusted: nn_block_open checks all of
** the above, once, and what it accepts can be used without further checks.
*/
#include <string.h>

#include "nn_int.h"

#define BLOCK_FORMAT 1
#define BLOCK_HEAD 24
#define BLOCK_TAIL 4
#define BLOCK_ROWS_MAX 65535

/* Numbers ------------------------------------------------------------------ */

static uint64_t block_get(const uint8_t *p, int bytes) {
  uint64_t x = 0;
  for (int i = bytes - 1; i >= 0; i--) x = x << 8 | p[i];
  return x;
}

/* The same for eight bytes, which most machines can just load. */
static uint64_t block_get64(const uint8_t *p) {
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
  uint64_t x;
  memcpy(&x, p, 8);
  return x;
#else
  return block_get(p, 8);
#endif
}

static void block_put(uint8_t *p, int bytes, uint64_t x) {
  for (int i = 0; i < bytes; i++, x >>= 8) p[i] = (uint8_t)x;
}

/* XXH64 -------------------------------------------------------------------- */

#define BLOCK_P1 0x9e3779b185ebca87u
#define BLOCK_P2 0xc2b2ae3d27d4eb4fu
#define BLOCK_P3 0x165667b19e3779f9u
#define BLOCK_P4 0x85ebca77c2b2ae63u
#define BLOCK_P5 0x27d4eb2f165667c5u

static uint64_t block_turn(uint64_t x, int r) { return x << r | x >> (64 - r); }

static uint64_t block_round(uint64_t acc, uint64_t lane) {
  return block_turn(acc + lane * BLOCK_P2, 31) * BLOCK_P1;
}

static uint64_t block_join(uint64_t h, uint64_t acc) {
  return (h ^ block_round(0, acc)) * BLOCK_P1 + BLOCK_P4;
}

/* Collet, "xxHash fast digest algorithm", with the seed 0. */
uint64_t nn_xxh64(const void *bytes, size_t n) {
  const uint8_t *p = bytes, *end = p + n;
  uint64_t h = BLOCK_P5;
  if (n >= 32) {
    uint64_t a = BLOCK_P1 + BLOCK_P2, b = BLOCK_P2, c = 0, d = -BLOCK_P1;
    for (; end - p >= 32; p += 32) {
      a = block_round(a, block_get64(p));
      b = block_round(b, block_get64(p + 8));
      c = block_round(c, block_get64(p + 16));
      d = block_round(d, block_get64(p + 24));
    }
    h = block_turn(a, 1) + block_turn(b, 7) + block_turn(c, 12) +
        block_turn(d, 18);
    h = block_join(block_join(block_join(block_join(h, a), b), c), d);
  }
  h += n;
  for (; end - p >= 8; p += 8)
    h = block_turn(h ^ block_round(0, block_get64(p)), 27) * BLOCK_P1 +
        BLOCK_P4;
  for (; end - p >= 4; p += 4)
    h = block_turn(h ^ block_get(p, 4) * BLOCK_P1, 23) * BLOCK_P2 + BLOCK_P3;
  for (; p < end; p++)
    h = block_turn(h ^ *p * BLOCK_P5, 11) * BLOCK_P1;
  h = (h ^ h >> 33) * BLOCK_P2;
  h = (h ^ h >> 29) * BLOCK_P3;
  return h ^ h >> 32;
}

uint32_t nn_checksum(const void *bytes, size_t n) {
  return (uint32_t)nn_xxh64(bytes, n);
}

/* Reading ------------------------------------------------------------------ */

size_t nn_block_size(int rows, int width, int code_bytes) {
  return BLOCK_HEAD + BLOCK_TAIL +
         (size_t)rows * (size_t)(width + code_bytes);
}

/* An offset; each width is read in one go. */
static uint64_t block_offset(const nn_block *block, int row) {
  const uint8_t *p = block->offsets + (size_t)row * (size_t)block->width;
  switch (block->width) {
    case 0: return (uint64_t)row;
    case 1: return *p;
    case 2: return block_get(p, 2);
    case 4: return block_get(p, 4);
    default: return block_get64(p);
  }
}

int64_t nn_block_rowid(const nn_block *block, int row) {
  return (int64_t)((uint64_t)block->base + block_offset(block, row));
}

int nn_block_find(const nn_block *block, int64_t rowid) {
  int low = 0, high = block->rows;
  if (block->width == 0 && high > 0) {
    if (rowid <= block->base) return 0;
    uint64_t offset = (uint64_t)rowid - (uint64_t)block->base;
    return offset < (uint64_t)high ? (int)offset : high;
  }
  while (low < high) {
    int middle = low + (high - low) / 2;
    if (nn_block_rowid(block, middle) < rowid) low = middle + 1;
    else high = middle;
  }
  return low;
}

void nn_block_code(const nn_block *block, int row, uint8_t *code) {
  const uint8_t *p = block->planes + row;
  for (int i = 0; i < block->code_bytes; i++, p += block->rows) code[i] = *p;
}

/* Do offsets rise from 0, and does the last stay within 64 bits of the base? */
static int block_offsets_rise(const nn_block *block) {
  uint64_t before = 0;
  for (int i = 0; block->width && i < block->rows; i++) {
    uint64_t offset = block_offset(block, i);
    if (i == 0 ? offset != 0 : offset <= before) return 0;
    before = offset;
  }
  if (!block->width && block->rows) before = (uint64_t)block->rows - 1;
  return before <= (uint64_t)INT64_MAX - (uint64_t)block->base;
}

/* Are the bits behind the last of each code 0? */
static int block_spare_is_zero(const nn_block *block, int bits) {
  const uint8_t *last = block->planes +
                        (size_t)(block->code_bytes - 1) * (size_t)block->rows;
  uint8_t any = 0;
  if (bits % 8 == 0) return 1;
  for (int i = 0; i < block->rows; i++) any |= last[i];
  return (any & (0xff >> bits % 8)) == 0;
}

nn_status nn_block_open(const void *data, size_t size, int bits, nn_block *out,
                        nn_error *err) {
  const uint8_t *p = data;
  memset(out, 0, sizeof(*out));
  if (size < BLOCK_HEAD + BLOCK_TAIL)
    return nn_fail(err, NN_ARGUMENT, "it has %zu bytes, fewer than a block's "
                   "head", size);
  if (p[0] != BLOCK_FORMAT)
    return nn_fail(err, NN_ARGUMENT, "its format is %d, not %d", p[0],
                   BLOCK_FORMAT);
  if (block_get(p + 4, 4) != (uint64_t)bits)
    return nn_fail(err, NN_ARGUMENT, "its codes have not %d bits", bits);
  out->width = p[1];
  out->rows = (int)block_get(p + 2, 2);
  out->stamp = block_get64(p + 8);
  out->base = (int64_t)block_get64(p + 16);
  out->code_bytes = (bits + 7) / 8;
  out->offsets = p + BLOCK_HEAD;
  out->planes = out->offsets + (size_t)out->rows * (size_t)out->width;
  if ((out->width & (out->width - 1)) != 0 || out->width > 8 ||
      size != nn_block_size(out->rows, out->width, out->code_bytes))
    return nn_fail(err, NN_ARGUMENT, "its length of %zu bytes is not that of "
                   "%d rows", size, out->rows);
  if (nn_checksum(p, size - BLOCK_TAIL) !=
      (uint32_t)block_get(p + size - BLOCK_TAIL, 4))
    return nn_fail(err, NN_ARGUMENT, "its checksum is wrong");
  if (!block_offsets_rise(out))
    return nn_fail(err, NN_ARGUMENT, "its rowids do not rise");
  if (out->rows > 0 && !block_spare_is_zero(out, bits))
    return nn_fail(err, NN_ARGUMENT, "a code has bits behind its last");
  return NN_OK;
}

/* Writing ------------------------------------------------------------------ */

int nn_block_width(const int64_t *rowids, int rows) {
  if (rows < 2) return 0;
  uint64_t span = (uint64_t)rowids[rows - 1] - (uint64_t)rowids[0];
  if (span == (uint64_t)rows - 1) return 0;
  if (span <= UINT8_MAX) return 1;
  if (span <= UINT16_MAX) return 2;
  return span <= UINT32_MAX ? 4 : 8;
}

void nn_block_write(uint8_t *out, int bits, uint64_t stamp,
                    const int64_t *rowids, const uint8_t *codes, int rows) {
  int width = nn_block_width(rowids, rows), bytes = (bits + 7) / 8;
  size_t size = nn_block_size(rows, width, bytes);
  int64_t base = rows > 0 ? rowids[0] : 0;
  out[0] = BLOCK_FORMAT;
  out[1] = (uint8_t)width;
  block_put(out + 2, 2, (uint64_t)rows);
  block_put(out + 4, 4, (uint64_t)bits);
  block_put(out + 8, 8, stamp);
  block_put(out + 16, 8, (uint64_t)base);
  uint8_t *p = out + BLOCK_HEAD;
  for (int i = 0; width && i < rows; i++, p += width)
    block_put(p, width, (uint64_t)rowids[i] - (uint64_t)base);
  for (int plane = 0; plane < bytes; plane++)
    for (int i = 0; i < rows; i++)
      *p++ = codes[(size_t)i * (size_t)bytes + (size_t)plane];
  block_put(p, BLOCK_TAIL, nn_checksum(out, size - BLOCK_TAIL));
}

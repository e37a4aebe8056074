/*
** JPEGs of flat blocks, written by the tests: every block has a colour of its
** own and nothing else, so what each sample must be is known exactly.
*/
#ifndef BINHASH_FLAT_JPEG_H
#define BINHASH_FLAT_JPEG_H

#include "test_util.h"

typedef struct flat_jpeg {
  int width, height, components;
  int h, v;               /* sampling factors of the first and the last of four;
                          ** the others have 1 */
  int adobe;              /* transform of an Adobe marker, -1 without one */
  const char *ids;        /* of the components, NULL: 1, 2, 3, 4 */
  uint64_t seed;          /* of the colours, not 0 */
  uint8_t *bytes;         /* written, for free() */
  size_t n;
  /* While writing. */
  uint64_t bits;
  int count;
} flat_jpeg;

static inline void flat_put(flat_jpeg *j, const void *p, size_t n) {
  memcpy(j->bytes + j->n, p, n);
  j->n += n;
}

static inline void flat_bits(flat_jpeg *j, unsigned value, int n) {
  j->bits = j->bits << n | (value & ((1u << n) - 1));
  for (j->count += n; j->count >= 8; j->count -= 8) {
    uint8_t byte = (uint8_t)(j->bits >> (j->count - 8));
    j->bytes[j->n++] = byte;
    if (byte == 0xff) j->bytes[j->n++] = 0;
  }
}

static inline void flat_segment(flat_jpeg *j, int marker, const void *p,
                                size_t n) {
  uint8_t head[4] = {0xff, (uint8_t)marker, (uint8_t)((n + 2) >> 8),
                     (uint8_t)(n + 2)};
  flat_put(j, head, 4);
  flat_put(j, p, n);
}

static inline int flat_h(const flat_jpeg *j, int c) {
  return c == 0 || c == 3 ? j->h : 1;
}

static inline int flat_v(const flat_jpeg *j, int c) {
  return c == 0 || c == 3 ? j->v : 1;
}

static inline void flat_headers(flat_jpeg *j) {
  /* A DC quantiser of 8: the coefficient is the mean less 128. */
  uint8_t quant[65] = {0, 8}, frame[18], scan[12];
  uint8_t dc[26] = {0x00, 0, 0, 0, 9}, ac[18] = {0x10, 1};
  for (int i = 2; i < 65; i++) quant[i] = 1;
  for (int i = 0; i < 9; i++) dc[17 + i] = (uint8_t)i;
  flat_put(j, "\xff\xd8", 2);
  if (j->adobe >= 0) {
    uint8_t adobe[12] = "Adobe\0d\0\0\0";
    adobe[11] = (uint8_t)j->adobe;
    flat_segment(j, 0xee, adobe, 12);
  }
  flat_segment(j, 0xdb, quant, 65);
  flat_segment(j, 0xc4, dc, 26);
  flat_segment(j, 0xc4, ac, 18);
  frame[0] = 8;
  frame[1] = (uint8_t)(j->height >> 8);
  frame[2] = (uint8_t)j->height;
  frame[3] = (uint8_t)(j->width >> 8);
  frame[4] = (uint8_t)j->width;
  frame[5] = scan[0] = (uint8_t)j->components;
  for (int i = 0; i < j->components; i++) {
    uint8_t id = (uint8_t)(j->ids ? j->ids[i] : i + 1);
    frame[6 + 3 * i] = scan[1 + 2 * i] = id;
    frame[7 + 3 * i] = (uint8_t)(flat_h(j, i) << 4 | flat_v(j, i));
    frame[8 + 3 * i] = scan[2 + 2 * i] = 0;
  }
  flat_segment(j, 0xc0, frame, 6 + 3 * (size_t)j->components);
  memcpy(scan + 1 + 2 * j->components, "\0\77\0", 3);
  flat_segment(j, 0xda, scan, 4 + 2 * (size_t)j->components);
}

/* A code of 4 bits for each size of a DC difference, and one of 1 bit for the
** end of a block. */
static inline void flat_block(flat_jpeg *j, int difference) {
  int size = 0, bits = difference < 0 ? difference - 1 : difference;
  while (abs(difference) >> size) size++;
  flat_bits(j, (unsigned)size, 4);
  if (size) flat_bits(j, (unsigned)bits, size);
  flat_bits(j, 0, 1);
}

static inline void flat_jpeg_write(flat_jpeg *j) {
  test_rng rng = {j->seed};
  int last[4] = {0}, h = j->h, v = j->v;
  int across = (j->width + 8 * h - 1) / (8 * h);
  int down = (j->height + 8 * v - 1) / (8 * v);
  j->bytes = malloc(1000 + (size_t)(across * down) *
                               (size_t)(j->components * h * v) * 4);
  if (!j->bytes) abort();
  j->n = 0;
  flat_headers(j);
  for (int i = 0; i < across * down; i++) {
    for (int c = 0; c < j->components; c++) {
      for (int k = flat_h(j, c) * flat_v(j, c); k > 0; k--) {
        int value = (int)test_below(&rng, 256) - 128;
        flat_block(j, value - last[c]);
        last[c] = value;
      }
    }
  }
  if (j->count) flat_bits(j, 0xff, 8 - j->count);
  flat_put(j, "\xff\xd9", 2);
}

#endif

/*
** The entropy-coded data of a JPEG: bits, codes, restart markers, and the order
** of the blocks.  huffman.c walks scans to check them, coefficients.c to decode
** them; both get their loops from here, with what they do to a block compiled
** in.
**
** In the file each byte 0xff of the data is followed by a 0, and a marker may
** stand anywhere.  A reader that watches for them at each refill has a branch
** in the middle of the chain that all of the time goes to.  So the data up to
** the next marker is copied first, 16 KiB at a time and without those zeros,
** and from there a refill is a load, two shifts and no question.  Before each
** block enough bytes lie ready for the longest that there is; behind the last
** one of the stretch there are zeros, and who consumed them is found out after
** the block.
*/
#ifndef BINHASH_NN_JPEG_BITS_H
#define BINHASH_NN_JPEG_BITS_H

#include <string.h>

#include "jpeg.h"

#define NN_JPEG_SHORT "its data ends early"
#define NN_JPEG_CODE "it has a code that is in no table"
#define NN_JPEG_RUN "a run of zeros goes past its block"
#define NN_JPEG_RANGE "it has coefficients that no picture of 8 bits has"

#if defined(__GNUC__)
#define NN_JPEG_INLINE static inline __attribute__((always_inline))
#define NN_JPEG_RARE(x) __builtin_expect(!!(x), 0)
#else
#define NN_JPEG_INLINE static inline
#define NN_JPEG_RARE(x) (x)
#endif

/* Bits -------------------------------------------------------------------- */

/* Fill the buffer; huffman.c has it. */
void nn_bits_fill(nn_bits *b);

/* Make ready for a block. */
NN_JPEG_INLINE void nn_bits_ready(nn_bits *b) {
  if (NN_JPEG_RARE(b->end - b->p < NN_BITS_BLOCK && !b->ended)) {
    nn_bits_fill(b);
  }
}

/* Were more bits consumed than there are? */
NN_JPEG_INLINE int nn_bits_short(const nn_bits *b) {
  return NN_JPEG_RARE(b->p > b->end) && (b->p - b->end) * 8 > b->count;
}

static inline uint64_t nn_bits_load(const uint8_t *p) {
  uint64_t x = 0;
  for (int i = 0; i < 8; i++) x = x << 8 | p[i];
  return x;
}

/* The reader within a block, in registers. */
typedef struct nn_bits_at {
  uint64_t bits;
  int count;
  const uint8_t *p;
} nn_bits_at;

NN_JPEG_INLINE nn_bits_at nn_bits_begin(const nn_bits *b) {
  return (nn_bits_at){b->bits, b->count, b->p};
}

NN_JPEG_INLINE void nn_bits_end(nn_bits *b, const nn_bits_at *at) {
  b->bits = at->bits;
  b->count = at->count;
  b->p = at->p;
}

/* At least 56 bits.  Those below `count` are the ones that come next, and the
** next refill sets them to what they are. */
NN_JPEG_INLINE void nn_bits_refill(nn_bits_at *at) {
  at->bits |= nn_bits_load(at->p) >> at->count;
  at->p += (63 - at->count) >> 3;
  at->count |= 56;
}

NN_JPEG_INLINE void nn_bits_drop(nn_bits_at *at, int n) {
  at->bits <<= n;
  at->count -= n;
}

/* Codes ------------------------------------------------------------------- */

/* The entry of the next code, whose bits are consumed (31 at most); *before are
** those at its start. */
NN_JPEG_INLINE unsigned nn_jpeg_next(nn_bits_at *at, const nn_jpeg_lookup *t,
                                     uint64_t *before) {
  *before = at->bits;
  unsigned entry = t->fast[at->bits >> (64 - NN_JPEG_FAST)];
  if (NN_JPEG_RARE(!entry)) entry = nn_jpeg_long(t, at->bits);
  nn_bits_drop(at, (int)(entry & 31));
  return entry;
}

NN_JPEG_INLINE int nn_jpeg_skip_of(unsigned entry) { return (int)(entry >> 9); }

NN_JPEG_INLINE int nn_jpeg_size_of(unsigned entry) {
  return (int)(entry >> 5 & 15);
}

/* The bits that follow an entry's code. */
NN_JPEG_INLINE int nn_jpeg_follow(unsigned entry, uint64_t before) {
  int length = (int)(entry & 31), follow = nn_jpeg_size_of(entry);
  return (int)(before << (length - follow) >> 1 >> (63 - follow));
}

/* The same as a value of that magnitude category. */
NN_JPEG_INLINE int nn_jpeg_value(unsigned entry, uint64_t before) {
  int size = nn_jpeg_size_of(entry), v = nn_jpeg_follow(entry, before);
  /* Below half of the range it is negative. */
  int negative = -(v < ((1 << size) >> 1));
  return v + (negative & (1 - (1 << size)));
}

/*
** Pass the AC codes of a baseline block; *sizes is the most that the magnitudes
** of its coefficients add up to.  Several codes at once are right unless the
** block ends before the last of them: then they are taken back, and read one by
** one.  Two lookups take 54 bits at most.
*/
NN_JPEG_INLINE const char *nn_jpeg_pass(nn_bits_at *at,
                                        const nn_jpeg_lookup *ac,
                                        uint64_t *sizes) {
  uint64_t before;
  uint32_t entry;
  int k = 0;
  for (;;) {
    nn_bits_refill(at);
    before = at->bits;
    entry = ac->skip[before >> (64 - NN_JPEG_SKIP)];
    nn_bits_drop(at, (int)(entry & 63));
    k += (int)(entry >> 6 & 127);
    *sizes += entry >> 13;
    if (k <= 62) {
      before = at->bits;
      entry = ac->skip[before >> (64 - NN_JPEG_SKIP)];
      nn_bits_drop(at, (int)(entry & 63));
      k += (int)(entry >> 6 & 127);
      *sizes += entry >> 13;
      if (k <= 62) continue;
    }
    int skip = (int)(entry >> 6 & 127);
    if (skip >= NN_JPEG_END && skip != NN_JPEG_BAD && k - NN_JPEG_END <= 62) {
      return NULL;
    }
    at->bits = before;
    at->count += (int)(entry & 63);
    k -= skip;
    *sizes -= entry >> 13;
    nn_bits_refill(at);
    unsigned one = nn_jpeg_next(at, ac, &before);
    if (nn_jpeg_skip_of(one) == NN_JPEG_END) return NULL;
    if (nn_jpeg_skip_of(one) == NN_JPEG_BAD) return NN_JPEG_CODE;
    k += nn_jpeg_skip_of(one);
    *sizes += (1u << nn_jpeg_size_of(one)) - 1;
    if (k > 63) return NN_JPEG_RUN;
    if (k == 63) return NULL;
  }
}

/* Coefficients first to last, both included, as bits. */
NN_JPEG_INLINE uint64_t nn_jpeg_band(int first, int last) {
  return (~(uint64_t)0 >> (63 - last)) & (~(uint64_t)0 << first);
}

/* Scans ------------------------------------------------------------------- */

/* Begin and end a scan, and pass a restart marker; huffman.c has them. */
void nn_jpeg_walk_begin(nn_jpeg *jpeg);
const char *nn_jpeg_walk_end(nn_jpeg *jpeg);
const char *nn_jpeg_restart(nn_jpeg *jpeg);

/* What is done to the block in column x and row y of component c. */
typedef const char *nn_jpeg_each(nn_jpeg *jpeg, int c, int x, int y);

/* A scan of one component: its blocks row by row, those alone that hold
** pixels. */
NN_JPEG_INLINE const char *nn_jpeg_walk_single(nn_jpeg *jpeg,
                                               nn_jpeg_each each) {
  nn_jpeg_walk *w = &jpeg->work->walk;
  int c = jpeg->scan.component[0];
  const nn_jpeg_component *component = &jpeg->component[c];
  for (int y = 0; y < component->rows; y++) {
    for (int x = 0; x < component->columns; x++) {
      const char *why = NULL;
      if (jpeg->restart_interval && !w->left--) {
        why = nn_jpeg_restart(jpeg);
        w->left--;
      }
      if (!why) why = each(jpeg, c, x, y);
      if (why) return why;
    }
  }
  return NULL;
}

/* The blocks of one minimum coded unit. */
NN_JPEG_INLINE const char *nn_jpeg_walk_unit(nn_jpeg *jpeg, nn_jpeg_each each,
                                             int x, int y) {
  for (int i = 0; i < jpeg->scan.components; i++) {
    int c = jpeg->scan.component[i];
    const nn_jpeg_component *component = &jpeg->component[c];
    for (int v = 0; v < component->v; v++) {
      for (int h = 0; h < component->h; h++) {
        const char *why = each(jpeg, c, x * component->h + h,
                               y * component->v + v);
        if (why) return why;
      }
    }
  }
  return NULL;
}

NN_JPEG_INLINE const char *nn_jpeg_walk_interleaved(nn_jpeg *jpeg,
                                                    nn_jpeg_each each) {
  nn_jpeg_walk *w = &jpeg->work->walk;
  for (int y = 0; y < jpeg->units_y; y++) {
    for (int x = 0; x < jpeg->units_x; x++) {
      const char *why = NULL;
      if (jpeg->restart_interval && !w->left--) {
        why = nn_jpeg_restart(jpeg);
        w->left--;
      }
      if (!why) why = nn_jpeg_walk_unit(jpeg, each, x, y);
      if (why) return why;
    }
  }
  return NULL;
}

/* All of the scan whose header was read. */
NN_JPEG_INLINE const char *nn_jpeg_walk_all(nn_jpeg *jpeg, nn_jpeg_each each) {
  nn_jpeg_walk_begin(jpeg);
  const char *why = jpeg->scan.components == 1
                        ? nn_jpeg_walk_single(jpeg, each)
                        : nn_jpeg_walk_interleaved(jpeg, each);
  return why ? why : nn_jpeg_walk_end(jpeg);
}

#endif

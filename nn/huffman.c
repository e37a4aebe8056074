/*
** The entropy-coded scans of a JPEG, walked to their last bit and no further:
** every Huffman code is looked up and every length added up, but no pixel is
** made.
**
** stb_image decodes what it can and says nothing about the rest.  A scan that
** ends early, a restart marker that is missing, a run of zeros past the end of
** a block: each leaves blocks undecoded or misread, and some read bits that
** are not there.  jpeg.c therefore sends every scan through here before
** stb_image sees the file, and refuses it by name when the walk fails.  What
** passes is a scan in which each block of each component was coded in full.
**
** Speed matters, since this runs before every decode.  The bits are kept at
** the top of a 64-bit word that is refilled by eight bytes at a time while none
** of them is 0xff.  A table of 1024 entries maps the next ten bits to an entry
** of 16: how many bits the code and what follows it take, the magnitude
** category, and how far the position in the block moves.  A symbol so costs a
** load, two shifts and two additions.
**
** One more thing is asked of each block.  The inverse transform of stb_image
** works in 32-bit integers, its SSE2 form in 16-bit ones that wrap or saturate:
** coefficients that no picture of 8 bits can have overflow the one (undefined
** in C) and make the other give different pixels.  Let L be the sum of
** |coefficient * quantiser| over two columns of the block that the transform
** adds (0 and 4, 1 and 7, 3 and 5; 2 and 6 for good measure).  The column pass
** scales by at most 4 * sqrt(2) * cos(pi / 16) = 5.548, so while L stays within
** 5900 every 16-bit sum stays below 32768 and all of it is exact.  A block of
** real pixels has L <= 4096 plus what quantisation rounds up, at most 5461 with
** 8-bit quantisers.  Blocks beyond the limit are refused, and what passes
** decodes to the same pixels on every machine.
**
** A baseline block is bounded from above by its magnitude categories, which
** costs nothing, and looked at again only when that bound is too large.  A
** progressive one arrives over several scans, so each block has a record of
** 16 bytes: which coefficients are nonzero (a refinement scan has one bit for
** each of them) and the sums so far, with what refinement may still add.
*/
#include <stdlib.h>
#include <string.h>

#include "nn_int.h"

enum {
  HUFFMAN_FAST = 10,      /* bits that the table of a code resolves */
  HUFFMAN_RANGE = 5900,   /* see above */
  /* Values of an entry's `skip` that are no distance. */
  HUFFMAN_END = 64,       /* the block, or a run of blocks, ends here */
  HUFFMAN_BAD = 127       /* no code, or one that means nothing */
};

/* What the symbols of a table mean in this scan. */
enum {
  HUFFMAN_DC,
  HUFFMAN_AC,
  HUFFMAN_AC_FIRST,
  HUFFMAN_AC_REFINE
};

static const char huffman_short[] = "its data ends early";
static const char huffman_code[] = "it has a code that is in no table";
static const char huffman_run[] = "a run of zeros goes past its block";
static const char huffman_range[] =
    "it has coefficients that no picture of 8 bits has";

/* Which of the four sums a coefficient, numbered in zigzag order, goes to. */
static const uint8_t huffman_pair[64] = {
    0, 1, 0, 0, 1, 3, 2, 3, 1, 0, 0, 1, 3, 2, 0, 2,
    0, 2, 3, 1, 0, 0, 1, 3, 2, 0, 2, 3, 1, 3, 2, 0,
    2, 3, 1, 0, 1, 3, 2, 0, 2, 3, 1, 1, 3, 2, 0, 2,
    3, 2, 0, 2, 3, 1, 1, 3, 2, 0, 2, 3, 1, 1, 3, 1};

/* Tables ------------------------------------------------------------------ */

/*
** An entry: bits 0-4 how many bits the code takes together with what follows
** it, bits 5-8 how many of them follow it, bits 9-15 the skip.  The skip of a
** DC code is 0.  No entry is 0, which in the table stands for a longer code.
*/
static inline unsigned huffman_entry(int length, int follow, int skip) {
  return (unsigned)(length + follow) | (unsigned)follow << 5 |
         (unsigned)skip << 9;
}

static unsigned huffman_symbol_entry(int kind, int length, int symbol) {
  int run = symbol >> 4, size = symbol & 15;
  if (kind == HUFFMAN_DC) {
    return run ? huffman_entry(0, 0, HUFFMAN_BAD)
               : huffman_entry(length, size, 0);
  }
  if (size == 0 && run == 15) return huffman_entry(length, 0, 16);
  if (size == 0) {
    /* EOBn is a code of progressive scans and has n more bits. */
    if (kind == HUFFMAN_AC && run) return huffman_entry(0, 0, HUFFMAN_BAD);
    return huffman_entry(length, run, HUFFMAN_END);
  }
  if (kind == HUFFMAN_AC_REFINE && size != 1) {
    return huffman_entry(0, 0, HUFFMAN_BAD);
  }
  return huffman_entry(length, size, run + 1);
}

/* Codes of the table that are longer than HUFFMAN_FAST. */
static unsigned huffman_long(const nn_jpeg_lookup *t, uint64_t bits) {
  unsigned top = (unsigned)(bits >> 48);
  for (int length = HUFFMAN_FAST + 1; length <= 16; length++) {
    if (top < t->limit[length]) {
      int i = (int)(top >> (16 - length)) + t->offset[length];
      return huffman_symbol_entry(t->kind, length, t->values[i]);
    }
  }
  return huffman_entry(0, 0, HUFFMAN_BAD);
}

/* Canonical codes: those of a length follow each other, and the first of a
** length is twice what follows the last of the length before. */
static void huffman_build(const nn_jpeg_codes *codes, int kind,
                          nn_jpeg_lookup *t) {
  memset(t->fast, 0, sizeof(t->fast));
  t->kind = kind;
  t->values = codes->values;
  unsigned code = 0;
  int i = 0;
  for (int length = 1; length <= 16; length++, code <<= 1) {
    t->offset[length] = i - (int)code;
    for (int j = 0; j < codes->count[length]; j++, i++, code++) {
      if (length > HUFFMAN_FAST) continue;
      int spare = HUFFMAN_FAST - length;
      unsigned entry = huffman_symbol_entry(kind, length, codes->values[i]);
      for (unsigned k = 0; k < 1u << spare; k++) {
        t->fast[(code << spare) + k] = (uint16_t)entry;
      }
    }
    t->limit[length] = code << (16 - length);
  }
}

/* Bits -------------------------------------------------------------------- */

/*
** `count` bits at the top of `bits` are valid.  Where the data stops, at a
** marker or at the end of the file, zeros are handed out instead; `pad` counts
** them, and who consumed one finds count < pad.
*/
typedef struct huffman_bits {
  const uint8_t *p, *end;
  uint64_t bits;
  int count, pad;
} huffman_bits;

static inline uint64_t huffman_load(const uint8_t *p) {
  uint64_t x = 0;
  for (int i = 0; i < 8; i++) x = x << 8 | p[i];
  return x;
}

static void huffman_refill_slowly(huffman_bits *b) {
  while (b->count <= 56) {
    const uint8_t *p = b->p;
    unsigned byte = 0;
    int real = p < b->end;
    if (real && *p == 0xff) {
      /* 0xff 0 is the byte 0xff, and fill bytes may stand between them. */
      while (p < b->end && *p == 0xff) p++;
      real = p < b->end && *p == 0;
      byte = 0xff;
    } else if (real) {
      byte = *p;
    }
    if (real) {
      b->p = p + 1;
      b->bits |= (uint64_t)byte << (56 - b->count);
    } else {
      b->pad += 8;
    }
    b->count += 8;
  }
}

/* At least 32 bits: a code of 16 and the 15 that may follow it. */
static inline void huffman_refill(huffman_bits *b) {
  if (b->count >= 32) return;
  if (b->end - b->p >= 8) {
    uint64_t x = huffman_load(b->p), inverse = ~x;
    const uint64_t ones = 0x0101010101010101u;
    if (!((inverse - ones) & x & (ones << 7))) {   /* no byte is 0xff */
      int bytes = (63 - b->count) >> 3;
      /* Bits below `count` are those that come next; the next refill sets them
      ** to what they are. */
      b->bits |= x >> b->count;
      b->p += bytes;
      b->count += 8 * bytes;
      return;
    }
  }
  huffman_refill_slowly(b);
}

static inline void huffman_drop(huffman_bits *b, int n) {
  b->bits <<= n;
  b->count -= n;
}

/* The next entry; the bits it stands for are consumed, and *before are those
** at the code's start. */
static inline unsigned huffman_next(huffman_bits *b, const nn_jpeg_lookup *t,
                                    uint64_t *before) {
  huffman_refill(b);
  *before = b->bits;
  unsigned entry = t->fast[b->bits >> (64 - HUFFMAN_FAST)];
  if (!entry) entry = huffman_long(t, b->bits);
  huffman_drop(b, (int)(entry & 31));
  return entry;
}

/* The bits that follow an entry's code. */
static inline int huffman_follow(unsigned entry, uint64_t before) {
  int length = (int)(entry & 31), follow = (int)(entry >> 5 & 15);
  if (!follow) return 0;
  return (int)(before << (length - follow) >> (64 - follow));
}

/* The same as a value of that magnitude category. */
static inline int huffman_value(unsigned entry, uint64_t before) {
  int size = (int)(entry >> 5 & 15), v = huffman_follow(entry, before);
  return size && v < 1 << (size - 1) ? v - (1 << size) + 1 : v;
}

/* Add to a sum of a block; 0 when it is too large then. */
static inline int huffman_add(uint16_t sum[4], int k, uint64_t amount) {
  uint64_t total = sum[huffman_pair[k]] + amount;
  if (total > HUFFMAN_RANGE) return 0;
  sum[huffman_pair[k]] = (uint16_t)total;
  return 1;
}

/* Baseline blocks --------------------------------------------------------- */

/* The sums of a block, exactly; b is a copy of the reader behind the DC. */
static const char *huffman_block_range(huffman_bits b, const nn_jpeg_lookup *ac,
                                       int dc, const uint32_t *quant) {
  uint16_t sum[4] = {0};
  if (!huffman_add(sum, 0, (uint64_t)abs(dc) * quant[0])) return huffman_range;
  for (int k = 0; k < 63;) {
    uint64_t before;
    unsigned entry = huffman_next(&b, ac, &before);
    k += (int)(entry >> 9);
    if (k > 63) break;
    uint64_t size = (uint64_t)abs(huffman_value(entry, before));
    if (!huffman_add(sum, k, size * quant[k])) return huffman_range;
  }
  return NULL;
}

/* quant has zeros beyond 63, where an end of block goes. */
static inline const char *huffman_block(huffman_bits *b,
                                        const nn_jpeg_lookup *dc,
                                        const nn_jpeg_lookup *ac,
                                        const uint32_t *quant, int *last) {
  uint64_t before;
  unsigned entry = huffman_next(b, dc, &before);
  if (entry >> 9) return huffman_code;
  *last += huffman_value(entry, before);
  huffman_bits start = *b;
  uint64_t bound = (uint64_t)abs(*last) * quant[0];
  int k = 0;
  do {
    entry = huffman_next(b, ac, &before);
    k += (int)(entry >> 9);
    bound += ((uint64_t)quant[k] << (entry >> 5 & 15)) - quant[k];
  } while (k < 63);
  if (k > 63 && entry >> 9 != HUFFMAN_END) {
    return entry >> 9 == HUFFMAN_BAD ? huffman_code : huffman_run;
  }
  if (b->count < b->pad) return huffman_short;
  if (bound <= HUFFMAN_RANGE) return NULL;
  return huffman_block_range(start, ac, *last, quant);
}

/* Progressive blocks ------------------------------------------------------ */

static inline const char *huffman_dc(const nn_jpeg *jpeg, huffman_bits *b,
                                     const nn_jpeg_lookup *dc, unsigned quant,
                                     int *last, nn_jpeg_block *block) {
  huffman_refill(b);
  if (jpeg->scan.high) {
    huffman_drop(b, 1);
    return b->count < b->pad ? huffman_short : NULL;
  }
  uint64_t before;
  unsigned entry = huffman_next(b, dc, &before);
  if (entry >> 9) return huffman_code;
  if (b->count < b->pad) return huffman_short;
  *last += huffman_value(entry, before);
  /* Refinement adds less than one unit of this scan. */
  uint64_t most = (((uint64_t)abs(*last) + 1) << jpeg->scan.low) - 1;
  return huffman_add(block->sum, 0, most * quant) ? NULL : huffman_range;
}

/* *run is the number of further blocks in which nothing is coded. */
static const char *huffman_ac_first(const nn_jpeg *jpeg, huffman_bits *b,
                                    const nn_jpeg_lookup *ac,
                                    const uint32_t *quant, int *run,
                                    nn_jpeg_block *block) {
  int k = jpeg->scan.first - 1, last = jpeg->scan.last;
  while (k < last) {
    uint64_t before;
    unsigned entry = huffman_next(b, ac, &before);
    int skip = (int)(entry >> 9), size = (int)(entry >> 5 & 15);
    if (skip == HUFFMAN_BAD) return huffman_code;
    if (skip == HUFFMAN_END) {
      *run = (1 << size) - 1 + huffman_follow(entry, before);
      break;
    }
    k += skip;
    if (k > last) return huffman_run;
    if (!size) continue;
    uint64_t most = (uint64_t)abs(huffman_value(entry, before));
    most = ((most + 1) << jpeg->scan.low) - 1;
    if (!huffman_add(block->sum, k, most * quant[k])) return huffman_range;
    block->nonzero |= (uint64_t)1 << k;
  }
  return b->count < b->pad ? huffman_short : NULL;
}

/* Coefficients first to last, both included, as bits. */
static inline uint64_t huffman_band(int first, int last) {
  return (~(uint64_t)0 >> (63 - last)) & (~(uint64_t)0 << first);
}

/* A bit for each nonzero coefficient of the band. */
static void huffman_corrections(huffman_bits *b, uint64_t nonzero) {
  int n = __builtin_popcountll(nonzero);
  for (; n > 32; n -= 32) {
    huffman_refill(b);
    huffman_drop(b, 32);
  }
  huffman_refill(b);
  huffman_drop(b, n);
}

/*
** A code says how many coefficients that are zero so far stay so, and whether
** the next one becomes nonzero; those that are nonzero already and are passed
** on the way have a bit each behind it.
*/
static const char *huffman_ac_refine(const nn_jpeg *jpeg, huffman_bits *b,
                                     const nn_jpeg_lookup *ac,
                                     const uint32_t *quant, int *run,
                                     nn_jpeg_block *block) {
  int k = jpeg->scan.first, last = jpeg->scan.last;
  uint64_t before, nonzero = block->nonzero;
  while (k <= last) {
    unsigned entry = huffman_next(b, ac, &before);
    int skip = (int)(entry >> 9), size = (int)(entry >> 5 & 15);
    if (skip == HUFFMAN_BAD) return huffman_code;
    if (skip == HUFFMAN_END) {
      *run = (1 << size) - 1 + huffman_follow(entry, before);
      huffman_corrections(b, nonzero & huffman_band(k, last));
      break;
    }
    uint64_t zeros = ~nonzero & huffman_band(k, last);
    for (; skip > 1 && zeros; skip--) zeros &= zeros - 1;
    if (!zeros) return huffman_run;
    int to = __builtin_ctzll(zeros);
    huffman_corrections(b, nonzero & huffman_band(k, to));
    if (size) {
      uint64_t most = ((uint64_t)2 << jpeg->scan.low) - 1;
      if (!huffman_add(block->sum, to, most * quant[to])) return huffman_range;
      block->nonzero |= (uint64_t)1 << to;
    }
    k = to + 1;
  }
  return b->count < b->pad ? huffman_short : NULL;
}

/* Scans ------------------------------------------------------------------- */

/* What a scan carries from block to block. */
typedef struct huffman_walk {
  huffman_bits b;
  int last[4];    /* DC prediction of each component */
  int run;        /* blocks that an end-of-band code still covers */
  int left;       /* units until the next restart marker */
  int restart;    /* its number, 0 to 7 */
} huffman_walk;

/* Behind the marker that is the next thing in the data: *marker, or 0. */
static const uint8_t *huffman_marker(huffman_bits *b, int *marker) {
  huffman_refill(b);
  const uint8_t *p = b->p;
  while (p < b->end && *p == 0xff) p++;
  int real = b->count - b->pad < 8 && p > b->p && p < b->end;
  *marker = real ? *p : 0;
  return p + 1;
}

static const char *huffman_restart(const nn_jpeg *jpeg, huffman_walk *w) {
  huffman_bits *b = &w->b;
  int marker;
  const uint8_t *p = huffman_marker(b, &marker);
  if (marker != 0xd0 + w->restart) {
    return "a restart marker is missing or out of order";
  }
  *b = (huffman_bits){p, b->end, 0, 0, 0};
  memset(w->last, 0, sizeof(w->last));
  w->run = 0;
  w->left = jpeg->restart_interval;
  w->restart = (w->restart + 1) & 7;
  return NULL;
}

static inline const char *huffman_any_block(const nn_jpeg *jpeg,
                                            huffman_walk *w, int c,
                                            size_t index) {
  const nn_jpeg_component *component = &jpeg->component[c];
  const nn_jpeg_lookup *dc = &jpeg->lookup[0][component->dc];
  const nn_jpeg_lookup *ac = &jpeg->lookup[1][component->ac];
  const uint32_t *quant = jpeg->quant[component->quant];
  if (!jpeg->progressive) {
    return huffman_block(&w->b, dc, ac, quant, &w->last[c]);
  }
  nn_jpeg_block *block = &component->blocks[index];
  if (jpeg->scan.first == 0) {
    return huffman_dc(jpeg, &w->b, dc, quant[0], &w->last[c], block);
  }
  if (w->run) {
    w->run--;
    if (!jpeg->scan.high) return NULL;
    uint64_t band = huffman_band(jpeg->scan.first, jpeg->scan.last);
    huffman_corrections(&w->b, block->nonzero & band);
    return w->b.count < w->b.pad ? huffman_short : NULL;
  }
  return (jpeg->scan.high ? huffman_ac_refine : huffman_ac_first)(
      jpeg, &w->b, ac, quant, &w->run, block);
}

/* A scan of one component: its blocks row by row, those alone that hold
** pixels. */
static const char *huffman_scan_single(const nn_jpeg *jpeg, huffman_walk *w) {
  int c = jpeg->scan.component[0];
  const nn_jpeg_component *component = &jpeg->component[c];
  for (int y = 0; y < component->rows; y++) {
    size_t row = (size_t)y * (size_t)component->stride;
    for (int x = 0; x < component->columns; x++) {
      const char *why = NULL;
      if (jpeg->restart_interval && !w->left--) {
        why = huffman_restart(jpeg, w);
        w->left--;
      }
      if (!why) why = huffman_any_block(jpeg, w, c, row + (size_t)x);
      if (why) return why;
    }
  }
  return NULL;
}

/* The blocks of one minimum coded unit. */
static const char *huffman_unit(const nn_jpeg *jpeg, huffman_walk *w, int x,
                                int y) {
  for (int i = 0; i < jpeg->scan.components; i++) {
    int c = jpeg->scan.component[i];
    const nn_jpeg_component *component = &jpeg->component[c];
    for (int v = 0; v < component->v; v++) {
      size_t row = (size_t)(y * component->v + v) * (size_t)component->stride;
      for (int h = 0; h < component->h; h++) {
        size_t index = row + (size_t)(x * component->h + h);
        const char *why = huffman_any_block(jpeg, w, c, index);
        if (why) return why;
      }
    }
  }
  return NULL;
}

static const char *huffman_scan_interleaved(const nn_jpeg *jpeg,
                                            huffman_walk *w) {
  for (int y = 0; y < jpeg->units_y; y++) {
    for (int x = 0; x < jpeg->units_x; x++) {
      const char *why = NULL;
      if (jpeg->restart_interval && !w->left--) {
        why = huffman_restart(jpeg, w);
        w->left--;
      }
      if (!why) why = huffman_unit(jpeg, w, x, y);
      if (why) return why;
    }
  }
  return NULL;
}

/*
** Behind the last unit.  Padding is fine, but no byte 0xff can be in it, not
** even as 0xff 0: that is more data than there are blocks.  Some encoders write
** a restart marker behind the last unit, too.
*/
static const char *huffman_finish(const nn_jpeg *jpeg, huffman_walk *w) {
  huffman_bits *b = &w->b;
  if (jpeg->restart_interval && !w->left) {
    int marker;
    const uint8_t *p = huffman_marker(b, &marker);
    if (marker >= 0xd0 && marker <= 0xd7) *b = (huffman_bits){.p = p};
  }
  int left = b->count - b->pad;
  uint64_t rest = b->bits << (left & 7);
  for (; left >= 8; left -= 8, rest <<= 8) {
    if (rest >> 56 == 0xff) return "it has more data than blocks";
  }
  return NULL;
}

const char *nn_jpeg_walk_scan(nn_jpeg *jpeg) {
  int kind = !jpeg->progressive ? HUFFMAN_AC
             : jpeg->scan.high  ? HUFFMAN_AC_REFINE
                                : HUFFMAN_AC_FIRST;
  for (int i = 0; i < jpeg->scan.components; i++) {
    const nn_jpeg_component *c = &jpeg->component[jpeg->scan.component[i]];
    if (jpeg->scan.first == 0) {
      huffman_build(&jpeg->codes[0][c->dc], HUFFMAN_DC,
                    &jpeg->lookup[0][c->dc]);
    }
    if (jpeg->scan.last > 0) {
      huffman_build(&jpeg->codes[1][c->ac], kind, &jpeg->lookup[1][c->ac]);
    }
  }
  huffman_walk w = {.left = jpeg->restart_interval};
  w.b.p = jpeg->bytes + jpeg->at;
  w.b.end = jpeg->bytes + jpeg->n;
  const char *why = jpeg->scan.components == 1
                        ? huffman_scan_single(jpeg, &w)
                        : huffman_scan_interleaved(jpeg, &w);
  if (!why) why = huffman_finish(jpeg, &w);
  /* What was read ahead holds no marker, or p would stand at it. */
  jpeg->at = (size_t)(w.b.p - jpeg->bytes);
  return why;
}

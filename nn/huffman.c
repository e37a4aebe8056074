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
** Speed matters, since this runs before every full decode.  jpeg_bits.h has the
** reader of bits.  A table of 1024 entries maps the next ten bits to what is
** needed of a code: how many bits it and what follows it take, the magnitude
** category, and how far the position in the block moves.  Baseline scans, where
** the values of the coefficients are of no interest, have a table of 4096 more
** for the codes of each kind of block: of as many codes as the next twelve bits
** tell, what these things add up to.  A lookup so passes about two codes, and
** the chain from one to the next is a shift, a load and a shift.
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
** A baseline block is bounded from above by its magnitude categories and the
** largest quantiser, which costs an addition, and looked at again only when
** that bound is too large.  A progressive one arrives over several scans, so
** each block has a record of 16 bytes: which coefficients are nonzero (a
** refinement scan has one bit for each of them) and the sums so far, with what
** refinement may still add.
*/
#include <stdlib.h>
#include <string.h>

#include "jpeg_bits.h"

enum { HUFFMAN_RANGE = 5900 };   /* see above */

/* Which of the four sums a coefficient, numbered in zigzag order, goes to. */
static const uint8_t huffman_pair[64] = {
    0, 1, 0, 0, 1, 3, 2, 3, 1, 0, 0, 1, 3, 2, 0, 2,
    0, 2, 3, 1, 0, 0, 1, 3, 2, 0, 2, 3, 1, 3, 2, 0,
    2, 3, 1, 0, 1, 3, 2, 0, 2, 3, 1, 1, 3, 2, 0, 2,
    3, 2, 0, 2, 3, 1, 1, 3, 2, 0, 2, 3, 1, 1, 3, 1};

/* Tables ------------------------------------------------------------------ */

static inline unsigned huffman_entry(int length, int follow, int skip) {
  return (unsigned)(length + follow) | (unsigned)follow << 5 |
         (unsigned)skip << 9;
}

static unsigned huffman_symbol_entry(nn_jpeg_kind kind, int length,
                                     int symbol) {
  int run = symbol >> 4, size = symbol & 15;
  if (kind == NN_JPEG_DC) {
    return run ? huffman_entry(0, 0, NN_JPEG_BAD)
               : huffman_entry(length, size, 0);
  }
  if (size == 0 && run == 15) return huffman_entry(length, 0, 16);
  if (size == 0) {
    /* EOBn is a code of progressive scans and has n more bits. */
    if (kind == NN_JPEG_AC && run) return huffman_entry(0, 0, NN_JPEG_BAD);
    return huffman_entry(length, run, NN_JPEG_END);
  }
  if (kind == NN_JPEG_AC_REFINE && size != 1) {
    return huffman_entry(0, 0, NN_JPEG_BAD);
  }
  return huffman_entry(length, size, run + 1);
}

unsigned nn_jpeg_long(const nn_jpeg_lookup *t, uint64_t bits) {
  unsigned top = (unsigned)(bits >> 48);
  for (int length = NN_JPEG_FAST + 1; length <= 16; length++) {
    if (top < t->limit[length]) {
      int i = (int)(top >> (16 - length)) + t->offset[length];
      return huffman_symbol_entry(t->kind, length, t->values[i]);
    }
  }
  return huffman_entry(0, 0, NN_JPEG_BAD);
}

/* Canonical codes: those of a length follow each other, and the first of a
** length is twice what follows the last of the length before. */
static void huffman_build(const nn_jpeg_codes *codes, nn_jpeg_kind kind,
                          nn_jpeg_lookup *t) {
  memset(t->fast, 0, sizeof(t->fast));
  t->kind = kind;
  t->values = codes->values;
  unsigned code = 0;
  int i = 0;
  for (int length = 1; length <= 16; length++, code <<= 1) {
    t->offset[length] = i - (int)code;
    for (int j = 0; j < codes->count[length]; j++, i++, code++) {
      if (length > NN_JPEG_FAST) continue;
      int spare = NN_JPEG_FAST - length;
      unsigned entry = huffman_symbol_entry(kind, length, codes->values[i]);
      for (unsigned k = 0; k < 1u << spare; k++) {
        t->fast[(code << spare) + k] = (uint16_t)entry;
      }
    }
    t->limit[length] = code << (16 - length);
  }
}

/* The codes at the start of NN_JPEG_SKIP bits. */
static uint32_t huffman_skips(const nn_jpeg_lookup *t, unsigned bits) {
  int length = 0, skips = 0;
  uint32_t sizes = 0;
  while (length < NN_JPEG_SKIP) {
    unsigned next = bits << length & ((1u << NN_JPEG_SKIP) - 1);
    unsigned entry = t->fast[next >> (NN_JPEG_SKIP - NN_JPEG_FAST)];
    int size = nn_jpeg_size_of(entry), skip = nn_jpeg_skip_of(entry);
    int whole = (int)(entry & 31) - size <= NN_JPEG_SKIP - length;
    if (!entry || skip == NN_JPEG_BAD || !whole) break;
    if (skip != NN_JPEG_END && skips + skip > 62) break;
    length += (int)(entry & 31);
    skips += skip;
    sizes += (1u << size) - 1;
    if (skip == NN_JPEG_END) break;
  }
  if (!length) skips = NN_JPEG_BAD;
  return (uint32_t)length | (uint32_t)skips << 6 | sizes << 13;
}

static void huffman_build_skips(nn_jpeg_lookup *t) {
  for (unsigned i = 0; i < 1u << NN_JPEG_SKIP; i++) {
    t->skip[i] = huffman_skips(t, i);
  }
}

void nn_jpeg_build_scan(nn_jpeg *jpeg) {
  nn_jpeg_kind kind = !jpeg->progressive ? NN_JPEG_AC
                      : jpeg->scan.high  ? NN_JPEG_AC_REFINE
                                         : NN_JPEG_AC_FIRST;
  unsigned dc_made = 0, ac_made = 0, skips_made = 0;
  for (int i = 0; i < jpeg->scan.components; i++) {
    const nn_jpeg_component *c = &jpeg->component[jpeg->scan.component[i]];
    nn_jpeg_lookup *ac = &jpeg->work->lookup[1][c->ac];
    if (jpeg->scan.first == 0 && !(dc_made >> c->dc & 1)) {
      huffman_build(&jpeg->codes[0][c->dc], NN_JPEG_DC,
                    &jpeg->work->lookup[0][c->dc]);
      dc_made |= 1u << c->dc;
    }
    if (jpeg->scan.last > 0 && !(ac_made >> c->ac & 1)) {
      huffman_build(&jpeg->codes[1][c->ac], kind, ac);
      ac_made |= 1u << c->ac;
    }
    if (kind == NN_JPEG_AC && c->scale <= 1 && !(skips_made >> c->ac & 1)) {
      huffman_build_skips(ac);
      skips_made |= 1u << c->ac;
    }
  }
}

/* Bits and restart markers ------------------------------------------------ */

void nn_bits_fill(nn_bits *b) {
  const uint64_t ones = 0x0101010101010101u;
  size_t left = (size_t)(b->end - b->p);
  memmove(b->buffer, b->p, left);
  uint8_t *to = b->buffer + left, *last = b->buffer + NN_BITS_BUFFER;
  const uint8_t *from = b->from, *end = b->from_end;
  while (to < last) {
    if (end - from >= 8) {
      uint64_t x;
      memcpy(&x, from, 8);
      memcpy(to, &x, 8);
      if (!((~x - ones) & x & (ones << 7))) {   /* no byte is 0xff */
        from += 8;
        to += 8;
        continue;
      }
    }
    while (from < end && *from != 0xff && to < last) *to++ = *from++;
    if (to == last) break;
    /* 0xff 0 is the byte 0xff, and fill bytes may stand between them. */
    const uint8_t *p = from;
    while (p < end && *p == 0xff) p++;
    if (p == end || *p) {
      b->ended = 1;
      memset(to, 0, NN_BITS_BLOCK + 16);
      break;
    }
    *to++ = 0xff;
    from = p + 1;
  }
  b->p = b->buffer;
  b->end = to;
  b->from = from;
}

/* Go on with what the file has at p. */
static void huffman_start(nn_bits *b, const uint8_t *p) {
  b->bits = 0;
  b->count = 0;
  b->p = b->end = b->buffer;
  b->from = p;
  b->ended = 0;
}

/* Behind the marker that is the next thing in the data: *marker, or 0. */
static const uint8_t *huffman_marker(nn_bits *b, int *marker) {
  nn_bits_ready(b);
  const uint8_t *p = b->from;
  while (p < b->from_end && *p == 0xff) p++;
  int next = b->ended && b->count + (b->end - b->p) * 8 < 8;
  *marker = next && p > b->from && p < b->from_end ? *p : 0;
  return p + 1;
}

const char *nn_jpeg_restart(nn_jpeg *jpeg) {
  nn_jpeg_walk *w = &jpeg->work->walk;
  int marker;
  const uint8_t *p = huffman_marker(&w->b, &marker);
  if (marker != 0xd0 + w->restart) {
    return "a restart marker is missing or out of order";
  }
  huffman_start(&w->b, p);
  memset(w->last, 0, sizeof(w->last));
  w->run = 0;
  w->left = jpeg->restart_interval;
  w->restart = (w->restart + 1) & 7;
  return NULL;
}

void nn_jpeg_walk_begin(nn_jpeg *jpeg) {
  nn_jpeg_walk *w = &jpeg->work->walk;
  memset(w->last, 0, sizeof(w->last));
  w->run = w->restart = 0;
  w->left = jpeg->restart_interval;
  w->b.from_end = jpeg->bytes + jpeg->n;
  huffman_start(&w->b, jpeg->bytes + jpeg->at);
}

/*
** Behind the last unit.  Padding is fine, but no byte 0xff can be in it, not
** even as 0xff 0: that is more data than there are blocks.  Some encoders write
** a restart marker behind the last unit, too.
*/
const char *nn_jpeg_walk_end(nn_jpeg *jpeg) {
  nn_jpeg_walk *w = &jpeg->work->walk;
  nn_bits *b = &w->b;
  if (jpeg->restart_interval && !w->left) {
    int marker;
    const uint8_t *p = huffman_marker(b, &marker);
    if (marker >= 0xd0 && marker <= 0xd7) huffman_start(b, p);
  }
  const uint8_t *rest = b->p - (b->count >> 3);
  /* What was read ahead holds no marker, or `from` would stand at it. */
  jpeg->at = (size_t)(b->from - jpeg->bytes);
  if (rest < b->end && memchr(rest, 0xff, (size_t)(b->end - rest))) {
    return "it has more data than blocks";
  }
  return NULL;
}

/* Baseline blocks --------------------------------------------------------- */

/* Add to a sum of a block; 0 when it is too large then. */
static inline int huffman_add(uint16_t sum[4], int k, uint64_t amount) {
  uint64_t total = sum[huffman_pair[k]] + amount;
  if (total > HUFFMAN_RANGE) return 0;
  sum[huffman_pair[k]] = (uint16_t)total;
  return 1;
}

/* The sums of a block, exactly; at is behind the DC. */
static const char *huffman_block_range(nn_bits_at at, const nn_jpeg_lookup *ac,
                                       int dc, const uint32_t *quant) {
  uint16_t sum[4] = {0};
  if (!huffman_add(sum, 0, (uint64_t)abs(dc) * quant[0])) return NN_JPEG_RANGE;
  for (int k = 0; k < 63;) {
    uint64_t before;
    nn_bits_refill(&at);
    unsigned entry = nn_jpeg_next(&at, ac, &before);
    k += nn_jpeg_skip_of(entry);
    if (k > 63) break;
    uint64_t size = (uint64_t)abs(nn_jpeg_value(entry, before));
    if (!huffman_add(sum, k, size * quant[k])) return NN_JPEG_RANGE;
  }
  return NULL;
}

NN_JPEG_INLINE const char *huffman_block(nn_jpeg *jpeg, int c) {
  nn_jpeg_walk *w = &jpeg->work->walk;
  const nn_jpeg_component *component = &jpeg->component[c];
  const nn_jpeg_lookup *ac = &jpeg->work->lookup[1][component->ac];
  const uint32_t *quant = jpeg->quant[component->quant];
  uint64_t before, sizes = 0;
  nn_bits_at at = nn_bits_begin(&w->b);
  nn_bits_refill(&at);
  const nn_jpeg_lookup *table = &jpeg->work->lookup[0][component->dc];
  unsigned entry = nn_jpeg_next(&at, table, &before);
  if (nn_jpeg_skip_of(entry)) return NN_JPEG_CODE;
  int dc = w->last[c] += nn_jpeg_value(entry, before);
  nn_bits_at start = at;
  const char *why = nn_jpeg_pass(&at, ac, &sizes);
  if (why) return why;
  nn_bits_end(&w->b, &at);
  if (nn_bits_short(&w->b)) return NN_JPEG_SHORT;
  /* quant[64] is the largest of those of AC coefficients. */
  uint64_t bound = (uint64_t)abs(dc) * quant[0] + sizes * quant[64];
  if (bound <= HUFFMAN_RANGE) return NULL;
  return huffman_block_range(start, ac, dc, quant);
}

/* Progressive blocks ------------------------------------------------------ */

NN_JPEG_INLINE const char *huffman_dc(nn_jpeg *jpeg, int c,
                                     nn_jpeg_block *block, nn_bits_at *at) {
  const nn_jpeg_component *component = &jpeg->component[c];
  nn_bits_refill(at);
  if (jpeg->scan.high) {
    nn_bits_drop(at, 1);
    return NULL;
  }
  uint64_t before;
  const nn_jpeg_lookup *table = &jpeg->work->lookup[0][component->dc];
  unsigned entry = nn_jpeg_next(at, table, &before);
  if (nn_jpeg_skip_of(entry)) return NN_JPEG_CODE;
  int last = jpeg->work->walk.last[c] += nn_jpeg_value(entry, before);
  /* Refinement adds less than one unit of this scan. */
  uint64_t most = (((uint64_t)abs(last) + 1) << jpeg->scan.low) - 1;
  most *= jpeg->quant[component->quant][0];
  return huffman_add(block->sum, 0, most) ? NULL : NN_JPEG_RANGE;
}

/* walk.run is the number of further blocks in which nothing is coded. */
NN_JPEG_INLINE const char *huffman_ac_first(
    nn_jpeg *jpeg, const nn_jpeg_component *component, nn_jpeg_block *block,
    nn_bits_at *at) {
  const nn_jpeg_lookup *ac = &jpeg->work->lookup[1][component->ac];
  const uint32_t *quant = jpeg->quant[component->quant];
  int k = jpeg->scan.first - 1, last = jpeg->scan.last;
  while (k < last) {
    uint64_t before;
    nn_bits_refill(at);
    unsigned entry = nn_jpeg_next(at, ac, &before);
    int skip = nn_jpeg_skip_of(entry), size = nn_jpeg_size_of(entry);
    if (skip == NN_JPEG_BAD) return NN_JPEG_CODE;
    if (skip == NN_JPEG_END) {
      jpeg->work->walk.run = (1 << size) - 1 + nn_jpeg_follow(entry, before);
      return NULL;
    }
    k += skip;
    if (k > last) return NN_JPEG_RUN;
    if (!size) continue;
    uint64_t most = (uint64_t)abs(nn_jpeg_value(entry, before));
    most = ((most + 1) << jpeg->scan.low) - 1;
    if (!huffman_add(block->sum, k, most * quant[k])) return NN_JPEG_RANGE;
    block->nonzero |= (uint64_t)1 << k;
  }
  return NULL;
}

/* A bit for each nonzero coefficient of the band. */
NN_JPEG_INLINE void huffman_corrections(nn_bits_at *at, uint64_t nonzero) {
  if (!nonzero) return;
  int n = (int)nn_popcount64(nonzero);
  if (n > 32) {
    nn_bits_refill(at);
    nn_bits_drop(at, 32);
    n -= 32;
  }
  nn_bits_refill(at);
  nn_bits_drop(at, n);
}

/*
** A code says how many coefficients that are zero so far stay so, and whether
** the next one becomes nonzero; those that are nonzero already and are passed
** on the way have a bit each behind it.
*/
NN_JPEG_INLINE const char *huffman_ac_refine(
    nn_jpeg *jpeg, const nn_jpeg_component *component, nn_jpeg_block *block,
    nn_bits_at *at) {
  const nn_jpeg_lookup *ac = &jpeg->work->lookup[1][component->ac];
  const uint32_t *quant = jpeg->quant[component->quant];
  int k = jpeg->scan.first, last = jpeg->scan.last;
  uint64_t before, nonzero = block->nonzero;
  while (k <= last) {
    nn_bits_refill(at);
    unsigned entry = nn_jpeg_next(at, ac, &before);
    int skip = nn_jpeg_skip_of(entry), size = nn_jpeg_size_of(entry);
    if (skip == NN_JPEG_BAD) return NN_JPEG_CODE;
    if (skip == NN_JPEG_END) {
      jpeg->work->walk.run = (1 << size) - 1 + nn_jpeg_follow(entry, before);
      huffman_corrections(at, nonzero & nn_jpeg_band(k, last));
      return NULL;
    }
    uint64_t zeros = ~nonzero & nn_jpeg_band(k, last);
    for (; skip > 1 && zeros; skip--) zeros &= zeros - 1;
    if (!zeros) return NN_JPEG_RUN;
    int to = __builtin_ctzll(zeros);
    huffman_corrections(at, nonzero & nn_jpeg_band(k, to));
    if (size) {
      uint64_t most = ((uint64_t)2 << jpeg->scan.low) - 1;
      if (!huffman_add(block->sum, to, most * quant[to])) return NN_JPEG_RANGE;
      block->nonzero |= (uint64_t)1 << to;
    }
    k = to + 1;
  }
  return NULL;
}

/* Scans ------------------------------------------------------------------- */

/* One function for each kind of scan, so that what is the same for all of its
** blocks is decided once. */
NN_JPEG_INLINE nn_jpeg_block *huffman_record(const nn_jpeg *jpeg, int c, int x,
                                             int y) {
  const nn_jpeg_component *component = &jpeg->component[c];
  return &component->blocks[(size_t)y * (size_t)component->stride + (size_t)x];
}

NN_JPEG_INLINE const char *huffman_each_baseline(nn_jpeg *jpeg, int c, int x,
                                                 int y) {
  (void)x;
  (void)y;
  nn_bits_ready(&jpeg->work->walk.b);
  return huffman_block(jpeg, c);
}

NN_JPEG_INLINE const char *huffman_each_dc(nn_jpeg *jpeg, int c, int x, int y) {
  nn_bits *b = &jpeg->work->walk.b;
  nn_bits_ready(b);
  nn_bits_at at = nn_bits_begin(b);
  const char *why = huffman_dc(jpeg, c, huffman_record(jpeg, c, x, y), &at);
  nn_bits_end(b, &at);
  return nn_bits_short(b) ? NN_JPEG_SHORT : why;
}

NN_JPEG_INLINE const char *huffman_each_first(nn_jpeg *jpeg, int c, int x,
                                              int y) {
  nn_jpeg_walk *w = &jpeg->work->walk;
  if (w->run) {
    w->run--;
    return NULL;
  }
  nn_bits_ready(&w->b);
  nn_bits_at at = nn_bits_begin(&w->b);
  const char *why = huffman_ac_first(jpeg, &jpeg->component[c],
                                     huffman_record(jpeg, c, x, y), &at);
  nn_bits_end(&w->b, &at);
  return nn_bits_short(&w->b) ? NN_JPEG_SHORT : why;
}

NN_JPEG_INLINE const char *huffman_each_refine(nn_jpeg *jpeg, int c, int x,
                                               int y) {
  nn_jpeg_walk *w = &jpeg->work->walk;
  nn_jpeg_block *block = huffman_record(jpeg, c, x, y);
  const char *why = NULL;
  nn_bits_ready(&w->b);
  nn_bits_at at = nn_bits_begin(&w->b);
  if (w->run) {
    w->run--;
    uint64_t band = nn_jpeg_band(jpeg->scan.first, jpeg->scan.last);
    huffman_corrections(&at, block->nonzero & band);
  } else {
    why = huffman_ac_refine(jpeg, &jpeg->component[c], block, &at);
  }
  nn_bits_end(&w->b, &at);
  return nn_bits_short(&w->b) ? NN_JPEG_SHORT : why;
}

const char *nn_jpeg_walk_scan(nn_jpeg *jpeg) {
  nn_jpeg_build_scan(jpeg);
  if (!jpeg->progressive) return nn_jpeg_walk_all(jpeg, huffman_each_baseline);
  if (jpeg->scan.first == 0) return nn_jpeg_walk_all(jpeg, huffman_each_dc);
  if (!jpeg->scan.high) return nn_jpeg_walk_all(jpeg, huffman_each_first);
  return nn_jpeg_walk_all(jpeg, huffman_each_refine);
}

/*
** The scans of a JPEG, decoded at reduced scale: from bits straight to samples,
** for img_hash and all that looks at a picture of many pixels through a network
** of few.
**
** reduce.c says how many samples each component's blocks become, 1, 2 x 2,
** 4 x 4 or 8 x 8.  This file walks the data and makes them, and finds out on
** the way what huffman.c finds out for a full decode: that every block is coded
** to its end, that codes and runs make sense, that no coefficient is larger
** than a picture can have.  One walk does both, so there is no check before.
** The difference is that coefficients which no sample is made of are not
** looked at: their codes are passed (a bad one is still refused), their values
** are not.
**
** Where the time goes, 12 megapixels at quality 92 (4032 x 3024, 4:2:0): all
** but a few percent in nn_jpeg_pass, which runs over the AC codes of blocks of
** which only the mean is wanted.  It looks two codes up at once, on average,
** and computes nothing.  A scale above 1 takes the codes one by one,
** dequantises, and transforms each block as soon as it is read.  No row of
** blocks is stored: a baseline file needs the memory of its samples and no
** more.
**
** In a progressive file the means are in the DC scans.  A scan of AC
** coefficients of a component at scale 1 is passed at the speed of memchr, to
** the next marker; what its bits say is not looked at.  At other scales all
** scans are read, since what a refinement means depends on each coefficient
** before, and the coefficients are stored, 136 bytes a block.
**
** What a full decode accepts is accepted here.  The reverse is not so: data of
** which no sample is made may be wrong in ways that nobody sees.
*/
#include <stdlib.h>
#include <string.h>

#include "jpeg_bits.h"

/* The place of a coefficient in the block, row by row. */
static const uint8_t coefficients_place[64] = {
    0,  1,  8,  16, 9,  2,  3,  10, 17, 24, 32, 25, 18, 11, 4,  5,
    12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6,  7,  14, 21, 28,
    35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51,
    58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63};

/* Where the samples of a block go. */
NN_JPEG_INLINE uint8_t *coefficients_samples(const nn_jpeg_component *component,
                                             int x, int y) {
  size_t n = (size_t)component->scale;
  size_t row = (size_t)y * n * n * (size_t)component->stride;
  return component->samples + row + (size_t)x * n;
}

/* Baseline ---------------------------------------------------------------- */

/* The DC times its quantiser. */
NN_JPEG_INLINE const char *coefficients_dc(nn_jpeg *jpeg, int c,
                                           nn_bits_at *at, int32_t *value) {
  nn_jpeg_work *work = jpeg->work;
  const nn_jpeg_component *component = &jpeg->component[c];
  uint64_t before;
  nn_bits_refill(at);
  unsigned entry = nn_jpeg_next(at, &work->lookup[0][component->dc], &before);
  if (NN_JPEG_RARE(nn_jpeg_skip_of(entry))) return NN_JPEG_CODE;
  int64_t dc = work->walk.last[c] += nn_jpeg_value(entry, before);
  dc *= jpeg->quant[component->quant][0];
  if (NN_JPEG_RARE(dc > NN_JPEG_LOUD || dc < -NN_JPEG_LOUD)) {
    return NN_JPEG_RANGE;
  }
  *value = (int32_t)dc;
  return NULL;
}

/* The AC coefficients times their quantisers, in rows of 8; a bit of *columns
** for each column in which there are any. */
static const char *coefficients_ac(nn_bits_at *at, const nn_jpeg_lookup *ac,
                                   const uint32_t *quant, int32_t value[64],
                                   unsigned *columns) {
  int64_t loud = abs(value[0]);
  for (int k = 0; k < 63;) {
    uint64_t before;
    nn_bits_refill(at);
    unsigned entry = nn_jpeg_next(at, ac, &before);
    int skip = nn_jpeg_skip_of(entry);
    if (skip == NN_JPEG_END) break;
    if (skip == NN_JPEG_BAD) return NN_JPEG_CODE;
    k += skip;
    if (k > 63) return NN_JPEG_RUN;
    if (!nn_jpeg_size_of(entry)) continue;
    int64_t one = nn_jpeg_value(entry, before);
    one *= quant[k];
    loud += one < 0 ? -one : one;
    if (loud > NN_JPEG_LOUD) return NN_JPEG_RANGE;
    value[coefficients_place[k]] = (int32_t)one;
    *columns |= 1u << (coefficients_place[k] & 7);
  }
  return NULL;
}

static const char *coefficients_block(nn_jpeg *jpeg, int c, int x, int y) {
  nn_bits *b = &jpeg->work->walk.b;
  const nn_jpeg_component *component = &jpeg->component[c];
  const nn_jpeg_lookup *ac = &jpeg->work->lookup[1][component->ac];
  int32_t value[64] = {0};
  unsigned columns = 1;
  nn_bits_at at = nn_bits_begin(b);
  const char *why = coefficients_dc(jpeg, c, &at, &value[0]);
  if (!why) {
    why = coefficients_ac(&at, ac, jpeg->quant[component->quant], value,
                          &columns);
  }
  nn_bits_end(b, &at);
  if (nn_bits_short(b)) return NN_JPEG_SHORT;
  if (why) return why;
  size_t n = (size_t)component->scale;
  nn_jpeg_inverse(value, columns, (int)n, coefficients_samples(component, x, y),
                  n * (size_t)component->stride);
  return NULL;
}

NN_JPEG_INLINE const char *coefficients_baseline(nn_jpeg *jpeg, int c, int x,
                                                 int y) {
  nn_bits *b = &jpeg->work->walk.b;
  const nn_jpeg_component *component = &jpeg->component[c];
  nn_bits_ready(b);
  if (component->scale != 1) return coefficients_block(jpeg, c, x, y);
  int32_t dc = 0;
  uint64_t sizes = 0;
  nn_bits_at at = nn_bits_begin(b);
  const char *why = coefficients_dc(jpeg, c, &at, &dc);
  if (!why) {
    why = nn_jpeg_pass(&at, &jpeg->work->lookup[1][component->ac], &sizes);
  }
  nn_bits_end(b, &at);
  if (nn_bits_short(b)) return NN_JPEG_SHORT;
  *coefficients_samples(component, x, y) = nn_jpeg_mean(dc);
  return why;
}

/* Progressive ------------------------------------------------------------- */

/* Far above what NN_JPEG_LOUD lets pass, within int16_t. */
static int coefficients_fits(int64_t x) { return x >= -32768 && x <= 32767; }

static const char *coefficients_dc_scan(nn_jpeg *jpeg, int c, int16_t *to,
                                        nn_bits_at *at) {
  nn_jpeg_work *work = jpeg->work;
  nn_bits_refill(at);
  if (jpeg->scan.high) {
    if (at->bits >> 63) *to = (int16_t)(*to | 1 << jpeg->scan.low);
    nn_bits_drop(at, 1);
    return NULL;
  }
  uint64_t before;
  int table = jpeg->component[c].dc;
  unsigned entry = nn_jpeg_next(at, &work->lookup[0][table], &before);
  if (nn_jpeg_skip_of(entry)) return NN_JPEG_CODE;
  work->walk.last[c] += nn_jpeg_value(entry, before);
  int64_t dc = work->walk.last[c] * ((int64_t)1 << jpeg->scan.low);
  if (!coefficients_fits(dc)) return NN_JPEG_RANGE;
  *to = (int16_t)dc;
  return NULL;
}

static const char *coefficients_first(nn_jpeg *jpeg, const nn_jpeg_lookup *ac,
                                      nn_jpeg_coefficients *block,
                                      nn_bits_at *at) {
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
    int64_t one = nn_jpeg_value(entry, before);
    one *= (int64_t)1 << jpeg->scan.low;
    if (!coefficients_fits(one)) return NN_JPEG_RANGE;
    block->value[k] = (int16_t)one;
    block->nonzero |= (uint64_t)1 << k;
  }
  return NULL;
}

/* A bit for each nonzero coefficient of the band: does it grow? */
static void coefficients_correct(const nn_jpeg *jpeg,
                                 nn_jpeg_coefficients *block, uint64_t nonzero,
                                 nn_bits_at *at) {
  int step = 1 << jpeg->scan.low;
  nn_bits_refill(at);
  for (; nonzero; nonzero &= nonzero - 1) {
    if (at->count < 1) nn_bits_refill(at);
    int16_t *value = &block->value[__builtin_ctzll(nonzero)];
    /* What went before is a multiple of twice the step, so the sum fits. */
    int by = at->bits >> 63 ? *value < 0 ? -step : step : 0;
    *value = (int16_t)(*value + by);
    nn_bits_drop(at, 1);
  }
}

/* As huffman_ac_refine of huffman.c. */
static const char *coefficients_refine(nn_jpeg *jpeg, const nn_jpeg_lookup *ac,
                                       nn_jpeg_coefficients *block,
                                       nn_bits_at *at) {
  int k = jpeg->scan.first, last = jpeg->scan.last;
  uint64_t before, nonzero = block->nonzero;
  while (k <= last) {
    nn_bits_refill(at);
    unsigned entry = nn_jpeg_next(at, ac, &before);
    int skip = nn_jpeg_skip_of(entry), size = nn_jpeg_size_of(entry);
    if (skip == NN_JPEG_BAD) return NN_JPEG_CODE;
    if (skip == NN_JPEG_END) {
      jpeg->work->walk.run = (1 << size) - 1 + nn_jpeg_follow(entry, before);
      coefficients_correct(jpeg, block, nonzero & nn_jpeg_band(k, last), at);
      return NULL;
    }
    uint64_t zeros = ~nonzero & nn_jpeg_band(k, last);
    for (; skip > 1 && zeros; skip--) zeros &= zeros - 1;
    if (!zeros) return NN_JPEG_RUN;
    int to = __builtin_ctzll(zeros);
    coefficients_correct(jpeg, block, nonzero & nn_jpeg_band(k, to), at);
    if (size) {
      int step = 1 << jpeg->scan.low;
      block->value[to] = (int16_t)(nn_jpeg_value(entry, before) * step);
      block->nonzero |= (uint64_t)1 << to;
    }
    k = to + 1;
  }
  return NULL;
}

static const char *coefficients_ac_scan(nn_jpeg *jpeg,
                                        const nn_jpeg_component *component,
                                        nn_jpeg_coefficients *block,
                                        nn_bits_at *at) {
  const nn_jpeg_lookup *ac = &jpeg->work->lookup[1][component->ac];
  int *run = &jpeg->work->walk.run;
  if (*run) {
    --*run;
    if (jpeg->scan.high) {
      uint64_t band = nn_jpeg_band(jpeg->scan.first, jpeg->scan.last);
      coefficients_correct(jpeg, block, block->nonzero & band, at);
    }
    return NULL;
  }
  if (jpeg->scan.high) return coefficients_refine(jpeg, ac, block, at);
  return coefficients_first(jpeg, ac, block, at);
}

NN_JPEG_INLINE const char *coefficients_progressive(nn_jpeg *jpeg, int c,
                                                    int x, int y) {
  nn_bits *b = &jpeg->work->walk.b;
  const nn_jpeg_component *component = &jpeg->component[c];
  size_t i = (size_t)y * (size_t)component->stride + (size_t)x;
  nn_bits_ready(b);
  nn_bits_at at = nn_bits_begin(b);
  const char *why;
  if (jpeg->scan.first == 0) {
    int16_t *to = component->scale == 1 ? &component->dc_values[i]
                                        : &component->coefficients[i].value[0];
    why = coefficients_dc_scan(jpeg, c, to, &at);
  } else {
    why = coefficients_ac_scan(jpeg, component, &component->coefficients[i],
                               &at);
  }
  nn_bits_end(b, &at);
  return nn_bits_short(b) ? NN_JPEG_SHORT : why;
}

/* The samples of a stored block. */
static int coefficients_finish(const nn_jpeg_component *component,
                               const uint32_t *quant, int x, int y) {
  size_t i = (size_t)y * (size_t)component->stride + (size_t)x;
  const nn_jpeg_coefficients *block = &component->coefficients[i];
  size_t n = (size_t)component->scale;
  int32_t value[64] = {0};
  unsigned columns = 1;
  int64_t loud = 0;
  for (uint64_t left = block->nonzero | 1; left; left &= left - 1) {
    int k = __builtin_ctzll(left), place = coefficients_place[k];
    int64_t one = (int64_t)block->value[k] * quant[k];
    loud += one < 0 ? -one : one;
    if (loud > NN_JPEG_LOUD) return 0;
    value[place] = (int32_t)one;
    columns |= 1u << (place & 7);
  }
  nn_jpeg_inverse(value, columns, (int)n, coefficients_samples(component, x, y),
                  n * (size_t)component->stride);
  return 1;
}

int nn_jpeg_reduce_component(const nn_jpeg *jpeg,
                             const nn_jpeg_component *component) {
  const uint32_t *quant = jpeg->quant[component->quant];
  if (component->scale == 1) {
    size_t count = (size_t)component->stride * (size_t)component->rows;
    for (size_t i = 0; i < count; i++) {
      int64_t dc = (int64_t)component->dc_values[i] * quant[0];
      if (dc > NN_JPEG_LOUD || dc < -NN_JPEG_LOUD) return 0;
      component->samples[i] = nn_jpeg_mean((int32_t)dc);
    }
    return 1;
  }
  for (int y = 0; y < component->rows; y++) {
    for (int x = 0; x < component->columns; x++) {
      if (!coefficients_finish(component, quant, x, y)) return 0;
    }
  }
  return 1;
}

/* Scans ------------------------------------------------------------------- */

/* To the next marker that is none of restart: where a scan ends whose bits
** nobody needs. */
static void coefficients_skip_scan(nn_jpeg *jpeg) {
  const uint8_t *p = jpeg->bytes + jpeg->at, *end = jpeg->bytes + jpeg->n;
  while (p < end && (p = memchr(p, 0xff, (size_t)(end - p))) != NULL) {
    const uint8_t *marker = p;
    while (marker < end && *marker == 0xff) marker++;
    if (marker == end) break;
    if (*marker && (*marker < 0xd0 || *marker > 0xd7)) {
      jpeg->at = (size_t)(p - jpeg->bytes);
      return;
    }
    p = marker + 1;
  }
  jpeg->at = jpeg->n;
}

const char *nn_jpeg_reduce_scan(nn_jpeg *jpeg) {
  /* A scan of AC coefficients has one component. */
  if (jpeg->scan.first > 0 &&
      jpeg->component[jpeg->scan.component[0]].scale == 1) {
    coefficients_skip_scan(jpeg);
    return NULL;
  }
  nn_jpeg_build_scan(jpeg);
  return jpeg->progressive ? nn_jpeg_walk_all(jpeg, coefficients_progressive)
                           : nn_jpeg_walk_all(jpeg, coefficients_baseline);
}

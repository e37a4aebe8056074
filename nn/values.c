/*
** Where integer networks meet floats: pixels become bytes on the way in, and
** what img_features() or img_layer() asked for becomes numbers on the way out.
**
** nn_run's input and output are float32 in NCHW for every kind of network;
** within, bytes lie as NHWC (nn_quant in nn_int.h).  Both ways are exact or
** rounded by integer arithmetic, because a host may have changed how its
** floating point rounds and what it does with numbers close to 0: a sum's
** nearest float32, ties to even, is put together from its bits.  Its sign
** survives, since no scale is below 2^-60; so a code can be read off the floats
** as it can off the integers.
*/
#include <string.h>

#include "nn_int.h"

/* What is no whole number from 0 to 255 is cut to one; NaN to 0. */
static uint8_t values_pixel(float x) {
  return !(x > 0) ? 0 : x < 255 ? (uint8_t)x : 255;
}

void nn_int_pixels(const nn_blob *input, const float *from, int mirrored,
                   uint8_t *to) {
  size_t stride = nn_int_stride(input), w = (size_t)input->w;
  memset(to, 0, input->slots * 4);
  for (int c = 0; c < input->c; c++, to++) {
    uint8_t *at = to;
    for (int y = 0; y < input->h; y++, from += w) {
      for (size_t x = 0; x < w; x++, at += stride) {
        *at = values_pixel(from[mirrored ? w - 1 - x : x]);
      }
    }
  }
}

/* q * scale, where scale has at most 24 significant bits and is a normal number
** whatever q is multiplied with it. */
static float values_sum(int32_t q, float scale) {
  uint32_t bits;
  uint64_t product = q < 0 ? (uint64_t)-(int64_t)q : (uint64_t)q;
  float value;
  if (!q) return 0;
  memcpy(&bits, &scale, sizeof(bits));
  uint32_t exponent = bits >> 23;   /* of 2^(exponent - 150) */
  product *= (bits & 0x7fffff) | 0x800000;
  int drop = 0;
  while (product >> drop > 0xffffff) drop++;
  if (drop) {
    uint64_t rest = product & (((uint64_t)1 << drop) - 1);
    uint64_t half = (uint64_t)1 << (drop - 1);
    product >>= drop;
    product += rest > half || (rest == half && (product & 1));
    /* a carry into bit 24 leaves zeros below: the sum below carries it into
    ** the exponent */
  }
  /* bit 23 adds the missing 1 to the exponent */
  bits = (uint32_t)product + ((exponent + (uint32_t)drop - 1) << 23);
  if (q < 0) bits |= 0x80000000u;
  memcpy(&value, &bits, sizeof(value));
  return value;
}

static void values_bytes(const nn_blob *blob, const uint8_t *from, float *to) {
  size_t stride = nn_int_stride(blob);
  size_t plane = (size_t)blob->h * (size_t)blob->w;
  for (int c = 0; c < blob->c; c++) {
    int zero = nn_int_zero(blob, (size_t)c);
    for (size_t i = 0; i < plane; i++) {
      *to++ = (float)(from[i * stride + (size_t)c] - zero) * blob->quant.scale;
    }
  }
}

static void values_sums(const nn_blob *blob, const int32_t *from, float *to) {
  size_t channels = (size_t)blob->c;
  size_t plane = (size_t)blob->h * (size_t)blob->w;
  for (size_t c = 0; c < channels; c++) {
    float scale =
        blob->quant.scales[blob->quant.scales_step ? c : 0];
    for (size_t i = 0; i < plane; i++) {
      *to++ = values_sum(from[i * channels + c], scale);
    }
  }
}

void nn_int_values(const nn_blob *blob, int n, const void *from, float *to) {
  for (int i = 0; i < n; i++, to += blob->size) {
    size_t skip = (size_t)i * blob->slots;
    if (blob->quant.sums) values_sums(blob, (const int32_t *)from + skip, to);
    else values_bytes(blob, (const uint8_t *)from + 4 * skip, to);
  }
}

/*
** What comes out of a network, as bytes: the code.
**
** A code is made here and nowhere else, so this file owns its layout: latent
** unit 0 is the most significant bit of byte 0, bit i is 1 when logit i is
** above zero, and the spare low bits of the last byte are 0.  The sigmoid that
** follows the latent layer is above one half exactly where the logit is above
** zero, so it is never computed; a logit of zero gives 0, and so does NaN,
** since a comparison with it is false.
**
** Not here: the distance of codes, which is hamming.c, and features, which are
** features.c.
*/
#include <string.h>

#include "nn_int.h"

void nn_code_from_logits(const float *logits, int bits, uint8_t *code) {
  memset(code, 0, ((size_t)bits + 7) / 8);
  for (int i = 0; i < bits; i++)
    if (logits[i] > 0) code[i >> 3] |= (uint8_t)(0x80 >> (i & 7));
}

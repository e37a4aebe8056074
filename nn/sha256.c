/*
** SHA-256 (FIPS 180-4) of a model's bytes.
**
** binhash_models shows it, an index of a model records it, and so does what
** binhash_train makes: it is how a code that was stored years ago names the
** model that made it.  A model of 228 MB takes more than a second in the plain
** form of the standard, and a tenth of that by the SHA instructions of x86,
** which most CPUs since 2019 have; still twice what its first code takes, so it
** is taken only where it is asked for (ext/models.c).  Nothing here is
** secret, so the plain form makes no attempt at constant time.
*/
#include <string.h>

#include "nn_int.h"

/* Emulated builds (tests/emulated/) have no such instructions. */
#if defined(__x86_64__) && !defined(NN_CPU_EMULATED)
#define SHA256_X86 1
#include <immintrin.h>
#else
#define SHA256_X86 0
#endif

static const uint32_t sha256_k[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1,
    0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3,
    0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786,
    0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147,
    0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13,
    0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b,
    0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a,
    0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208,
    0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static uint32_t sha256_rotate(uint32_t x, int n) {
  return x >> n | x << (32 - n);
}

typedef void (*sha256_blocks)(uint32_t h[8], const uint8_t *p, size_t blocks);

static void sha256_block(uint32_t h[8], const uint8_t *p) {
  uint32_t w[64];
  for (int i = 0; i < 16; i++, p += 4) {
    w[i] = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 |
           p[3];
  }
  for (int i = 16; i < 64; i++) {
    uint32_t a = w[i - 15], b = w[i - 2];
    w[i] = w[i - 16] + w[i - 7] +
           (sha256_rotate(a, 7) ^ sha256_rotate(a, 18) ^ a >> 3) +
           (sha256_rotate(b, 17) ^ sha256_rotate(b, 19) ^ b >> 10);
  }
  uint32_t a = h[0], b = h[1], c = h[2], d = h[3];
  uint32_t e = h[4], f = h[5], g = h[6], last = h[7];
  for (int i = 0; i < 64; i++) {
    uint32_t t1 = last + sha256_k[i] + w[i] + ((e & f) ^ (~e & g)) +
                  (sha256_rotate(e, 6) ^ sha256_rotate(e, 11) ^
                   sha256_rotate(e, 25));
    uint32_t t2 = ((a & b) ^ (a & c) ^ (b & c)) +
                  (sha256_rotate(a, 2) ^ sha256_rotate(a, 13) ^
                   sha256_rotate(a, 22));
    last = g, g = f, f = e, e = d + t1;
    d = c, c = b, b = a, a = t1 + t2;
  }
  const uint32_t s[8] = {a, b, c, d, e, f, g, last};
  for (int i = 0; i < 8; i++) h[i] += s[i];
}

static void sha256_plain(uint32_t h[8], const uint8_t *p, size_t blocks) {
  for (; blocks > 0; blocks--, p += 64) sha256_block(h, p);
}

#if SHA256_X86

/* Four rounds an iteration, whose words are m[0]; the next sixteen words are
** made as the first are used up.  The instructions want the state as ABEF and
** CDGH, from the highest lane down. */
NN_TARGET("sha,sse4.1")
static void sha256_x86(uint32_t h[8], const uint8_t *p, size_t blocks) {
  const __m128i order = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
  __m128i low = _mm_loadu_si128((const __m128i *)(const void *)h);
  __m128i high = _mm_loadu_si128((const __m128i *)(const void *)(h + 4));
  __m128i cdab = _mm_shuffle_epi32(low, 0xb1);
  __m128i efgh = _mm_shuffle_epi32(high, 0x1b);
  __m128i abef = _mm_alignr_epi8(cdab, efgh, 8);
  __m128i cdgh = _mm_blend_epi16(efgh, cdab, 0xf0);
  for (; blocks > 0; blocks--, p += 64) {
    const __m128i first = abef, second = cdgh;
    __m128i m[4];
    for (int i = 0; i < 4; i++) {
      m[i] = _mm_loadu_si128((const __m128i *)(const void *)(p + 16 * i));
      m[i] = _mm_shuffle_epi8(m[i], order);
    }
    for (int i = 0; i < 16; i++) {
      const uint32_t *k = sha256_k + 4 * i;
      __m128i x = _mm_add_epi32(
          m[0], _mm_loadu_si128((const __m128i *)(const void *)k));
      cdgh = _mm_sha256rnds2_epu32(cdgh, abef, x);
      abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(x, 0x0e));
      x = _mm_add_epi32(_mm_sha256msg1_epu32(m[0], m[1]),
                        _mm_alignr_epi8(m[3], m[2], 4));
      x = _mm_sha256msg2_epu32(x, m[3]);
      m[0] = m[1], m[1] = m[2], m[2] = m[3], m[3] = x;
    }
    abef = _mm_add_epi32(abef, first);
    cdgh = _mm_add_epi32(cdgh, second);
  }
  __m128i feba = _mm_shuffle_epi32(abef, 0x1b);
  __m128i dchg = _mm_shuffle_epi32(cdgh, 0xb1);
  _mm_storeu_si128((__m128i *)(void *)h, _mm_blend_epi16(feba, dchg, 0xf0));
  _mm_storeu_si128((__m128i *)(void *)(h + 4),
                   _mm_alignr_epi8(dchg, feba, 8));
}

#endif

static sha256_blocks sha256_for(unsigned features) {
#if SHA256_X86
  if (features & NN_CPU_SHA) return sha256_x86;
#endif
  (void)features;
  return sha256_plain;
}

void nn_sha256_for(unsigned features, const void *bytes, size_t n,
                   char hex[65]) {
  static const char digits[] = "0123456789abcdef";
  uint32_t h[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                   0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  uint8_t tail[128] = {0};
  const uint8_t *p = bytes;
  size_t rest = n % 64, padded = rest < 56 ? 64 : 128;
  const sha256_blocks blocks = sha256_for(features);
  blocks(h, p, n / 64);
  if (rest) memcpy(tail, p + (n - rest), rest);
  tail[rest] = 0x80;
  for (int i = 0; i < 8; i++) {
    tail[padded - 1 - (size_t)i] = (uint8_t)((uint64_t)n * 8 >> (8 * i));
  }
  blocks(h, tail, padded / 64);
  for (int i = 0; i < 64; i++) {
    hex[i] = digits[h[i / 8] >> (28 - 4 * (i % 8)) & 15];
  }
  hex[64] = 0;
}

void nn_sha256(const void *bytes, size_t n, char hex[65]) {
  nn_sha256_for(nn_cpu_features(), bytes, n, hex);
}

/*
** What unit tests share: an allocator that counts, fills and fails, a seeded
** generator, files read into memory of their exact size, and a hash.
*/
#ifndef BINHASH_TEST_UTIL_H
#define BINHASH_TEST_UTIL_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../nn/network.h"

/* An nn_memory whose blocks come filled with `fill`, so that what is read
** before it is written shows, and whose fail_at-th request (from 1) fails. */
typedef struct test_memory {
  nn_memory mem;
  long calls, live, fail_at;
  int fill;
} test_memory;

static void *test_memory_alloc(void *context, size_t n) {
  test_memory *m = context;
  if (++m->calls == m->fail_at) return NULL;
  void *p = malloc(n ? n : 1);
  if (!p) return NULL;
  memset(p, m->fill, n);
  m->live++;
  return p;
}

static void test_memory_release(void *context, void *p) {
  test_memory *m = context;
  if (p) m->live--;
  free(p);
}

static inline void test_memory_init(test_memory *m, int fill) {
  *m = (test_memory){{test_memory_alloc, test_memory_release, m},
                     0, 0, 0, fill};
}

/* xorshift64*; the state must not be 0. */
typedef struct test_rng {
  uint64_t state;
} test_rng;

static inline uint64_t test_random(test_rng *rng) {
  rng->state ^= rng->state >> 12;
  rng->state ^= rng->state << 25;
  rng->state ^= rng->state >> 27;
  return rng->state * 0x2545f4914f6cdd1du;
}

/* 0 to n - 1. */
static inline uint64_t test_below(test_rng *rng, uint64_t n) {
  return (test_random(rng) >> 11) % n;
}

/* A file's bytes, for free(); NULL when it cannot be read. */
static inline uint8_t *test_read_file(const char *path, size_t *n) {
  FILE *f = fopen(path, "rb");
  if (!f) return NULL;
  long size = fseek(f, 0, SEEK_END) ? -1 : ftell(f);
  rewind(f);
  uint8_t *bytes = size < 0 ? NULL : malloc(size ? (size_t)size : 1);
  if (bytes && fread(bytes, 1, (size_t)size, f) != (size_t)size) {
    free(bytes);
    bytes = NULL;
  }
  fclose(f);
  *n = size < 0 ? 0 : (size_t)size;
  return bytes;
}

/* A copy of exactly n bytes, so that a sanitizer sees reads beyond them. */
static inline uint8_t *test_copy(const void *bytes, size_t n) {
  uint8_t *copy = malloc(n ? n : 1);
  if (!copy) abort();
  if (n) memcpy(copy, bytes, n);
  return copy;
}

#define TEST_HASH_START 0xcbf29ce484222325u

/* FNV-1a of 64 bits, continued from `hash`. */
static inline uint64_t test_hash(uint64_t hash, const void *bytes, size_t n) {
  const uint8_t *p = bytes;
  for (size_t i = 0; i < n; i++) hash = (hash ^ p[i]) * 0x100000001b3u;
  return hash;
}

/* The hash of a picture's pixels, row by row as shown. */
static inline uint64_t test_hash_picture(const nn_picture *picture) {
  uint64_t hash = TEST_HASH_START;
  for (int y = 0; y < picture->height; y++) {
    const uint8_t *p = picture->pixels + y * picture->dy;
    for (int x = 0; x < picture->width; x++, p += picture->dx) {
      hash = test_hash(hash, p, 3);
    }
  }
  return hash;
}

/* A path below the folder of the tests, which TEST_DIR or the environment
** names; valid until the next call. */
#ifndef TEST_DIR
#define TEST_DIR "tests"
#endif
static inline const char *test_path(const char *name) {
  static char path[1024];
  const char *folder = getenv("TEST_DIR");
  snprintf(path, sizeof(path), "%s/%s", folder ? folder : TEST_DIR, name);
  return path;
}

#endif

/*
** 10,000 mutations of the golden pictures, the same ones every time, and every
** picture cut at some places and given headers that claim gigabytes.  Each is
** decoded twice, with memory that held zeros before and memory that held ones:
** the result must be the same error or the same pixels.
**
** Meant to be run under the sanitizers, linked with fuzz_picture.c.  Prints
** TAP.  The last lines are hashes over all results, in full and at reduced
** scale: they must be the same with and without SIMD, from every compiler and on
** every machine, which so are compared where it matters, on files that no
** encoder wrote.
*/
#include <inttypes.h>

#include "../../nn/jpeg.h"
#include "../unit/test_util.h"

enum { MUTATE_COUNT = 10000, MUTATE_FILES = 256, MUTATE_MOST = 1 << 16 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

typedef struct mutate_file {
  uint8_t *bytes;
  size_t n;
} mutate_file;

static mutate_file files[MUTATE_FILES];
static int file_count;
static uint64_t all_results = TEST_HASH_START;
static uint64_t all_reduced = TEST_HASH_START;
static int accepted, differing;

static void load_list(const char *list, const char *folder) {
  char line[300], path[600];
  FILE *f = fopen(test_path(list), "r");
  while (f && file_count < MUTATE_FILES && fgets(line, sizeof(line), f)) {
    line[strcspn(line, " \n")] = 0;
    snprintf(path, sizeof(path), "golden/%s/%s", folder, line);
    mutate_file *file = &files[file_count];
    file->bytes = test_read_file(test_path(path), &file->n);
    if (file->bytes) file_count++;
  }
  if (f) fclose(f);
}

static uint64_t result_of(const uint8_t *bytes, size_t n, int fill) {
  test_memory m;
  nn_error err;
  nn_picture picture;
  test_memory_init(&m, fill);
  nn_status status =
      nn_picture_decode(&m.mem, bytes, n, 1 << 20, &picture, &err);
  uint64_t hash = (uint64_t)status;
  if (!status) {
    hash = test_hash_picture(&picture);
    nn_picture_free(&m.mem, &picture);
    accepted++;
  }
  if (m.live) abort();
  return hash;
}

/* What a small network sees. */
static uint64_t reduced_of(const uint8_t *bytes, size_t n, int fill) {
  static const nn_preprocess needs[] = {
      {.reduced = 1, .area = 1, .width = 4, .height = 4},
      {.reduced = 1, .area = 1, .width = 16, .height = 11}};
  uint64_t hash = TEST_HASH_START;
  for (int i = 0; i < 2; i++) {
    test_memory m;
    nn_error err;
    nn_picture picture;
    uint8_t rgb[16 * 11 * 3] = {0};
    test_memory_init(&m, fill);
    nn_status status = nn_picture_decode_as(&m.mem, &needs[i], bytes, n,
                                            1 << 20, &picture, &err);
    if (!status) {
      if (nn_resize(&m.mem, &picture, 0, 0, picture.width, picture.height,
                    NN_AREA, needs[i].width, needs[i].height, rgb, &err)) {
        abort();
      }
      nn_picture_free(&m.mem, &picture);
    }
    if (m.live) abort();
    hash = test_hash(hash, &status, sizeof(status));
    hash = test_hash(hash, rgb, sizeof(rgb));
  }
  return hash;
}

/* bytes are in a block of exactly n bytes. */
static void run(const uint8_t *bytes, size_t n) {
  uint64_t reduced = reduced_of(bytes, n, 0);
  if (reduced != reduced_of(bytes, n, 0xff)) differing++;
  all_reduced = test_hash(all_reduced, &reduced, sizeof(reduced));
  uint64_t zeros = result_of(bytes, n, 0), ones = result_of(bytes, n, 0xff);
  if (zeros != ones) differing++;
  all_results = test_hash(all_results, &zeros, sizeof(zeros));
  LLVMFuzzerTestOneInput(bytes, n);
}

static void run_copy(const uint8_t *bytes, size_t n) {
  uint8_t *copy = test_copy(bytes, n);
  run(copy, n);
  free(copy);
}

/* Mutations --------------------------------------------------------------- */

static uint32_t png_crc(const uint8_t *p, size_t n) {
  uint32_t c = 0xffffffffu;
  for (; n; n--, p++) {
    c ^= *p;
    for (int i = 0; i < 8; i++) c = c & 1 ? c >> 1 ^ 0xedb88320u : c >> 1;
  }
  return ~c;
}

/* Make the checksums of a PNG hold, so that what is wrong in it is reached. */
static void mend_png(uint8_t *p, size_t n) {
  for (size_t at = 8; n > 12 && at <= n - 12;) {
    uint8_t *c = p + at;
    size_t length = (size_t)c[0] << 24 | (size_t)c[1] << 16 |
                    (size_t)c[2] << 8 | c[3];
    if (length > n - at - 12) return;
    uint32_t crc = png_crc(c + 4, length + 4);
    for (int i = 0; i < 4; i++) c[8 + length + (size_t)i] = crc >> (24 - 8 * i);
    at += length + 12;
  }
}

/* Move the bytes behind `at` by some, forward (doubling them) or back. */
static size_t shift(test_rng *rng, uint8_t *p, size_t n, size_t at) {
  size_t by = 1 + test_below(rng, 16);
  if (test_random(rng) & 1) {
    if (n + by > MUTATE_MOST) return n;
    memmove(p + at + by, p + at, n - at);
    return n + by;
  }
  if (by > n - at) by = n - at;
  memmove(p + at, p + at + by, n - at - by);
  return n - by;
}

/* A run of bytes of another file. */
static void splice(test_rng *rng, uint8_t *p, size_t n, size_t at) {
  const mutate_file *other = &files[test_below(rng, (uint64_t)file_count)];
  size_t length = 1 + test_below(rng, 64);
  size_t from = test_below(rng, other->n);
  if (length > n - at) length = n - at;
  if (length > other->n - from) length = other->n - from;
  memcpy(p + at, other->bytes + from, length);
}

static size_t mutate_once(test_rng *rng, uint8_t *p, size_t n) {
  static const uint8_t values[] = {0, 1, 2, 0x7f, 0x80, 0xfe, 0xff};
  if (n < 8) return n;
  /* Headers are where most is decided. */
  size_t at = test_below(rng, test_random(rng) & 1 && n > 256 ? 256 : n);
  switch (test_below(rng, 8)) {
    case 0:
    case 1:
      p[at] ^= (uint8_t)(1 << test_below(rng, 8));
      break;
    case 2:
      p[at] = values[test_below(rng, sizeof(values))];
      break;
    case 3:
      p[at] = (uint8_t)test_random(rng);
      break;
    case 4: {
      uint8_t value = values[test_below(rng, sizeof(values))];
      if (at > n - 4) at = n - 4;
      memset(p + at, value, 1 + test_below(rng, 4));
      break;
    }
    case 5:
      splice(rng, p, n, at);
      break;
    case 6:
      n = shift(rng, p, n, at);
      break;
    default:
      if (test_below(rng, 4) == 0) n = at;
  }
  return n;
}

static void run_mutation(test_rng *rng) {
  static uint8_t buffer[MUTATE_MOST];
  const mutate_file *file = &files[test_below(rng, (uint64_t)file_count)];
  size_t n = file->n < MUTATE_MOST ? file->n : MUTATE_MOST;
  memcpy(buffer, file->bytes, n);
  for (int i = 1 + (int)test_below(rng, 6); i > 0; i--) {
    n = mutate_once(rng, buffer, n);
  }
  if (test_below(rng, 4)) mend_png(buffer, n);
  run_copy(buffer, n);
}

/* Each picture, cut; and with four bytes of 0x7f or 0xff anywhere in its first
** 64, where sizes and lengths are. */
static void run_claims(test_rng *rng, const mutate_file *file) {
  for (int i = 0; i < 8; i++) run_copy(file->bytes, test_below(rng, file->n));
  for (size_t at = 2; at + 4 < file->n && at < 64; at += 2) {
    uint8_t *copy = test_copy(file->bytes, file->n);
    memset(copy + at, 0xff, 4);
    if (at & 2) copy[at] = 0x7f;
    mend_png(copy, file->n);
    run(copy, file->n);
    free(copy);
  }
}

/* mutate_picture [SEED [COUNT]]; a seed is not 0. */
int main(int argc, char **argv) {
  test_rng rng = {0x62696e68617368};
  int count = argc > 2 ? atoi(argv[2]) : MUTATE_COUNT;
  if (argc > 1) rng.state = strtoull(argv[1], NULL, 0);
  load_list("golden/pictures.txt", "pictures");
  load_list("golden/broken.txt", "broken");
  printf("1..4\n");
  printf("%s 1 - pictures to mutate\n", file_count > 100 ? "ok" : "not ok");
  if (file_count <= 100) return 1;
  for (int i = 0; i < file_count; i++) run_claims(&rng, &files[i]);
  printf("ok 2 - cut pictures and headers that claim gigabytes\n");
  accepted = 0;
  for (int i = 0; i < count; i++) run_mutation(&rng);
  printf("ok 3 - %d mutations\n# %d of them are pictures still\n",
         count, accepted / 2);
  printf("%s 4 - memory does not show\n", differing ? "not ok" : "ok");
  printf("# results %016" PRIx64 "\n", all_results);
  printf("# reduced %016" PRIx64 "\n", all_reduced);
  for (int i = 0; i < file_count; i++) free(files[i].bytes);
  return differing != 0;
}

/*
** The codes that the benchmark of the index searches, of three kinds:
**
**   uniform    every bit is a coin
**   clustered  1000 centres; a code is one of them, every bit flipped with a
**              probability of 10 % (13/128)
**   real       codes of CIFAR-10's images, of 48 bits by cifar10-48 and of 64 by
**              photo-64; beyond their number, copies with up to three bits
**              flipped
**
** Queries are of the same kind: for "real" they come from the test images,
** which are not among the rows.  Everything follows from fixed seeds, so that a
** run can be repeated, and databases of earlier runs serve again.
**
** The images lie beside the checkout, in ../shared/data.  Hashing them takes a
** few minutes, so the codes are kept in build/bench under the model's sha256.
*/
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench_index.h"

#define CENTRES 1000
#define REAL_ROWS 20000
#define IMAGES "../shared/data/cifar10.db"

/* A linear congruential generator whose state is scrambled on its way out. */
uint64_t bench_random(uint64_t *state) {
  uint64_t x = *state = *state * 6364136223846793005u + 1442695040888963407u;
  x = (x ^ x >> 32) * 0xd6e8feb86659fd93u;
  x = (x ^ x >> 29) * 0xd6e8feb86659fd93u;
  return x ^ x >> 32;
}

static void make_uniform(uint8_t *out, size_t bytes, uint64_t seed) {
  for (size_t i = 0; i < bytes; i += 8) {
    uint64_t r = bench_random(&seed);
    memcpy(out + i, &r, bytes - i < 8 ? bytes - i : 8);
  }
}

/* Eight bits, each set with the probability of 13/128: seven random bits for
** each are compared with 13, all eight at once.  The multiplication gathers the
** answers in the highest byte. */
static uint8_t flips(uint64_t *seed) {
  uint64_t high = 0x8080808080808080u;
  uint64_t r = bench_random(seed) & ~high;
  uint64_t below = ~((r | high) - 0x0101010101010101u * 13) & high;
  return (uint8_t)((below >> 7) * 0x0102040810204080u >> 56);
}

static void make_clustered(uint8_t *out, size_t rows, int bytes,
                           uint64_t seed) {
  uint8_t *centres = malloc((size_t)CENTRES * bytes);
  if (!centres) bench_fail(NULL, "no memory");
  make_uniform(centres, (size_t)CENTRES * bytes, 4242);
  for (size_t i = 0; i < rows; i++) {
    const uint8_t *centre =
        centres + bench_random(&seed) % CENTRES * (size_t)bytes;
    for (int b = 0; b < bytes; b++) *out++ = centre[b] ^ flips(&seed);
  }
  free(centres);
}

/* Of the base codes first the codes themselves, then copies of them. */
static void make_real(uint8_t *out, size_t rows, int bytes,
                      const uint8_t *base) {
  uint64_t seed = 99;
  for (size_t i = 0; i < rows; i++) {
    uint64_t r = bench_random(&seed);
    uint8_t *code = out + i * (size_t)bytes;
    memcpy(code, base + i % REAL_ROWS * (size_t)bytes, (size_t)bytes);
    if (i < REAL_ROWS) continue;
    for (unsigned n = r % 4; n > 0; n--) {
      r = bench_random(&seed);
      code[r / 8 % (unsigned)bytes] ^= (uint8_t)(1 << r % 8);
    }
  }
}

static size_t read_file(const char *path, void *out, size_t size) {
  FILE *f = fopen(path, "rb");
  size_t n = f ? fread(out, 1, size, f) : 0;
  if (f) fclose(f);
  return n;
}

static void write_file(const char *path, const void *data, size_t size) {
  FILE *f = fopen(path, "wb");
  if (!f || fwrite(data, 1, size, f) != size || fclose(f) != 0) {
    perror(path);
    exit(1);
  }
}

/* The model whose codes have so many bits; NULL: there is none. */
static const char *real_model(int bits) {
  if (bits == 48) return "weights/cifar10-48.safetensors";
  return bits == 64 ? "weights/photo-64.safetensors" : NULL;
}

/* As the model 'real'; gives the beginning of its sha256. */
static void load_real(sqlite3 *db, const char *file, char sha256[13]) {
  char sql[120];
  snprintf(sql, sizeof(sql), "SELECT binhash_load('real', '%s')", file);
  sqlite3_stmt *stmt = bench_prepare(db, sql);
  if (sqlite3_step(stmt) != SQLITE_ROW) bench_fail(db, file);
  snprintf(sha256, 13, "%s", (const char *)sqlite3_column_text(stmt, 0));
  sqlite3_finalize(stmt);
}

static void hash_images(const char *path, const char *extension,
                        const char *file, size_t bytes, uint8_t *out) {
  sqlite3 *db = bench_open("file:" IMAGES "?immutable=1", extension);
  char sql[200], sha256[13];
  size_t n = 0;
  load_real(db, file, sha256);
  printf("hashing %d images of %s, once (%s)\n", REAL_ROWS + BENCH_QUERIES,
         IMAGES, path);
  fflush(stdout);
  for (int test = 0; test < 2; test++) {
    snprintf(sql, sizeof(sql),
             "SELECT code FROM img_hash_each('SELECT id, image FROM images "
             "WHERE split = ''%s'' ORDER BY id LIMIT %d', 'real')",
             test ? "test" : "train", test ? BENCH_QUERIES : REAL_ROWS);
    sqlite3_stmt *stmt = bench_prepare(db, sql);
    while (sqlite3_step(stmt) == SQLITE_ROW) {
      if (sqlite3_column_bytes(stmt, 0) != (int)bytes)
        bench_fail(NULL, "codes of another length");
      memcpy(out + n++ * bytes, sqlite3_column_blob(stmt, 0), bytes);
    }
    sqlite3_finalize(stmt);
  }
  if (n != REAL_ROWS + BENCH_QUERIES) bench_fail(db, IMAGES);
  write_file(path, out, n * bytes);
  sqlite3_close(db);
}

/* The codes of the images, then those of the queries; NULL where there are no
** images, or no model of so many bits. */
static uint8_t *real_codes(const char *extension, int bits) {
  const char *file = real_model(bits);
  size_t bytes = (size_t)bits / 8, size = (REAL_ROWS + BENCH_QUERIES) * bytes;
  if (!file) return NULL;
  if (bench_file_size(IMAGES) == 0) {
    printf("no %s: codes of real images are left out\n", IMAGES);
    return NULL;
  }
  uint8_t *out = malloc(size);
  char path[96], sha256[13];
  if (!out) bench_fail(NULL, "no memory for the codes");
  sqlite3 *db = bench_open(":memory:", extension);
  load_real(db, file, sha256);
  sqlite3_close(db);
  snprintf(path, sizeof(path), BENCH_DIR "/images-%s.codes", sha256);
  if (read_file(path, out, size) != size)
    hash_images(path, extension, file, bytes, out);
  return out;
}

int bench_codes_make(bench_codes *c, const char *extension, int bits,
                     const char *kind, size_t rows) {
  memset(c, 0, sizeof(*c));
  c->bits = bits;
  c->bytes = bits / 8;
  c->rows = rows;
  snprintf(c->name, sizeof(c->name), "%d-%s-%zu", bits, kind, rows);
  snprintf(c->path, sizeof(c->path), BENCH_DIR "/%s.codes", c->name);
  snprintf(c->query_path, sizeof(c->query_path), BENCH_DIR "/%s.queries",
           c->name);
  size_t size = rows * (size_t)c->bytes;
  size_t query_size = BENCH_QUERIES * (size_t)c->bytes;
  c->codes = malloc(size);
  c->queries = malloc(query_size);
  if (!c->codes || !c->queries) bench_fail(NULL, "no memory for the codes");
  if (strcmp(kind, "real") == 0) {
    uint8_t *base = real_codes(extension, bits);
    if (!base) {
      bench_codes_free(c);
      return 0;
    }
    make_real(c->codes, rows, c->bytes, base);
    memcpy(c->queries, base + (size_t)REAL_ROWS * c->bytes, query_size);
    free(base);
  } else if (strcmp(kind, "clustered") == 0) {
    make_clustered(c->codes, rows, c->bytes, 1);
    make_clustered(c->queries, BENCH_QUERIES, c->bytes, 2);
  } else {
    make_uniform(c->codes, size, 1);
    make_uniform(c->queries, query_size, 2);
  }
  write_file(c->path, c->codes, size);
  write_file(c->query_path, c->queries, query_size);
  return 1;
}

/* The files go too: they are as large as the codes, and made in no time. */
void bench_codes_free(bench_codes *c) {
  remove(c->path);
  remove(c->query_path);
  free(c->codes);
  free(c->queries);
  c->codes = c->queries = NULL;
}

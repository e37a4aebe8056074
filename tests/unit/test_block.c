/*
** Blocks of rows, the bytes that an index trusts once it has checked them.
**
** The hash is held against published values and, at every length that takes
** another path, against a second implementation from the description, written
** for nothing but being another one.  Blocks go there and back for each width
** of offsets and any number of bits, with rowids at both ends of their range.
** Then the reader gets what is no block: every truncation and every changed
** byte of a sound one; blocks that are wrong with a right checksum, one reason
** at a time; and random bytes behind a right head, of which those that are
** accepted must be usable to the last row.  Each block lies in memory of its
** exact size, so that the address sanitizer sees a byte read too many.
*/
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../nn/nn_int.h"
#include "test_util.h"

#define HEAD 24
#define ROWS_MAX 700

static test_rng rng = {0x243f6a8885a308d3u};

/* XXH64 -------------------------------------------------------------------- */

static const uint64_t prime[6] = {
    0, 11400714785074694791u, 14029467366897019727u, 1609587929392839161u,
    9650029242287828579u, 2870177450012600261u};

static uint64_t slow_turn(uint64_t x, int times) {
  while (times-- > 0) x = 2 * x + (x >= (uint64_t)1 << 63);
  return x;
}

static uint64_t slow_number(const uint8_t *p, int n) {
  uint64_t x = 0, unit = 1;
  for (int i = 0; i < n; i++, unit *= 256) x += unit * p[i];
  return x;
}

/* A lane into an accumulator. */
static uint64_t slow_mix(uint64_t lane, uint64_t acc) {
  return slow_turn(acc + lane * prime[2], 31) * prime[1];
}

static uint64_t slow_xxh64(const uint8_t *p, size_t n) {
  uint64_t acc[4] = {prime[1] + prime[2], prime[2], 0, 0 - prime[1]}, h;
  const int turns[4] = {1, 7, 12, 18};
  size_t at = 0;
  for (; at + 32 <= n; at += 32)
    for (size_t i = 0; i < 4; i++)
      acc[i] = slow_mix(slow_number(p + at + 8 * i, 8), acc[i]);
  h = n < 32 ? prime[5] : 0;
  for (int i = 0; n >= 32 && i < 4; i++) h += slow_turn(acc[i], turns[i]);
  for (int i = 0; n >= 32 && i < 4; i++)
    h = (h ^ slow_mix(acc[i], 0)) * prime[1] + prime[4];
  h += n;
  while (at < n) {
    int take = n - at >= 8 ? 8 : n - at >= 4 ? 4 : 1;
    uint64_t x = slow_number(p + at, take);
    if (take == 8)
      h = slow_turn(h ^ slow_mix(x, 0), 27) * prime[1] + prime[4];
    else if (take == 4)
      h = slow_turn(h ^ x * prime[1], 23) * prime[2] + prime[3];
    else
      h = slow_turn(h ^ x * prime[5], 11) * prime[1];
    at += (size_t)take;
  }
  h = (h ^ h / ((uint64_t)1 << 33)) * prime[2];
  h = (h ^ h / ((uint64_t)1 << 29)) * prime[3];
  return h ^ h / ((uint64_t)1 << 32);
}

static void published_hashes(void **state) {
  (void)state;
  const char *spam = "Nobody inspects the spammish repetition";
  assert_true(nn_xxh64("", 0) == 0xef46db3751d8e999u);
  assert_true(nn_xxh64("a", 1) == 0xd24ec4f1a98c6e5bu);
  assert_true(nn_xxh64("abc", 3) == 0x44bc2cf5ad770999u);
  assert_true(nn_xxh64(spam, strlen(spam)) == 0xfbcea83c8a378bf1u);
  assert_int_equal(nn_checksum("abc", 3), 0xad770999u);
}

static void hashes_of_every_length(void **state) {
  (void)state;
  for (size_t n = 0; n <= 300; n++) {
    uint8_t *bytes = malloc(n + 1);
    for (size_t i = 0; i <= n; i++) bytes[i] = (uint8_t)test_random(&rng);
    uint8_t *odd = test_copy(bytes + 1, n);   /* and of another alignment */
    uint64_t hash = nn_xxh64(bytes + 1, n);
    assert_true(hash == slow_xxh64(odd, n));
    assert_true(nn_xxh64(odd, n) == hash);
    assert_int_equal(nn_checksum(odd, n), (uint32_t)hash);
    if (n) odd[test_below(&rng, n)] ^= 0x10;
    assert_true(n == 0 || slow_xxh64(odd, n) != hash);
    free(odd);
    free(bytes);
  }
}

/* There and back ----------------------------------------------------------- */

static void put(uint8_t *p, int bytes, uint64_t x) {
  for (int i = 0; i < bytes; i++, x >>= 8) p[i] = (uint8_t)x;
}

static void fix_checksum(uint8_t *block, size_t size) {
  put(block + size - 4, 4, nn_checksum(block, size - 4));
}

/* What a block is made from. */
typedef struct source {
  int rows, bits, bytes, width;
  int64_t rowids[ROWS_MAX];
  uint8_t *codes;
  size_t size;
} source;

/* Rowids that need offsets of so many bytes, from `base` on; at least two rows
** unless the width is 0. */
static void fill_source(source *s, int rows, int bits, int width,
                        int64_t base) {
  const uint64_t spans[9] = {0, 255, 65535, 0, UINT32_MAX, 0, 0, 0, UINT64_MAX};
  uint64_t most = (uint64_t)INT64_MAX - (uint64_t)base;
  uint64_t span = width ? spans[width] : (uint64_t)rows - 1;
  if (span > most) span = most;
  s->rows = rows;
  s->bits = bits;
  s->bytes = (bits + 7) / 8;
  s->width = width;
  uint64_t offset = 0;
  for (int i = 0; i < rows; i++) {
    /* The last one makes the width; what remains is for those between. */
    uint64_t left = (uint64_t)(rows - 1 - i), step = 1;
    if (width && i > 0 && span - offset > 2 * left)
      step += test_below(&rng, 1 + (span - offset) / (2 * (left + 1)));
    if (i > 0) offset = width && i == rows - 1 ? span : offset + step;
    s->rowids[i] = (int64_t)((uint64_t)base + offset);
  }
  size_t n = (size_t)rows * (size_t)s->bytes;
  s->codes = malloc(n ? n : 1);
  for (size_t i = 0; i < n; i++) s->codes[i] = (uint8_t)test_random(&rng);
  for (int i = 0; bits % 8 && i < rows; i++)
    s->codes[(size_t)(i + 1) * (size_t)s->bytes - 1] &=
        (uint8_t)(0xff00 >> bits % 8);
  s->size = nn_block_size(rows, width, s->bytes);
}

static uint8_t *write_source(const source *s, uint64_t stamp) {
  uint8_t *block = malloc(s->size);
  memset(block, 0xa5, s->size);
  nn_block_write(block, s->bits, stamp, s->rowids, s->codes, s->rows);
  return block;
}

/* Has the block these rows? */
static int has_rows(const nn_block *block, const source *s) {
  uint8_t *code = malloc((size_t)s->bytes);
  int same = block->rows == s->rows && block->code_bytes == s->bytes &&
             block->width == s->width;
  for (int i = 0; same && i < s->rows; i++) {
    nn_block_code(block, i, code);
    same = nn_block_rowid(block, i) == s->rowids[i] &&
           memcmp(code, s->codes + (size_t)i * (size_t)s->bytes,
                  (size_t)s->bytes) == 0;
  }
  free(code);
  return same;
}

/* nn_block_find against a look at one row after the other. */
static int finds(const nn_block *block, const source *s, int64_t rowid) {
  int expected = 0;
  while (expected < s->rows && s->rowids[expected] < rowid) expected++;
  return nn_block_find(block, rowid) == expected;
}

static void check_finds(const nn_block *block, const source *s) {
  assert_true(finds(block, s, INT64_MIN));
  assert_true(finds(block, s, INT64_MAX));
  assert_true(finds(block, s, 0));
  for (int i = 0; i < s->rows; i++) {
    assert_true(finds(block, s, s->rowids[i]));
    if (s->rowids[i] > INT64_MIN)
      assert_true(finds(block, s, s->rowids[i] - 1));
    if (s->rowids[i] < INT64_MAX)
      assert_true(finds(block, s, s->rowids[i] + 1));
    assert_true(finds(block, s, (int64_t)test_random(&rng)));
  }
}

static void check_round_trip(int rows, int bits, int width, int64_t base) {
  source s;
  nn_block block;
  nn_error err;
  fill_source(&s, rows, bits, width, base);
  assert_int_equal(nn_block_width(s.rowids, rows), width);
  uint64_t stamp = test_random(&rng);
  uint8_t *bytes = write_source(&s, stamp);
  assert_int_equal(nn_block_open(bytes, s.size, bits, &block, &err), NN_OK);
  assert_true(block.stamp == stamp);
  assert_true(block.base == (rows ? base : 0));
  assert_true(has_rows(&block, &s));
  check_finds(&block, &s);
  if (rows) {
    /* The comparisons can fail. */
    int row = (int)test_below(&rng, (uint64_t)rows);
    uint8_t *code = s.codes + (size_t)row * (size_t)s.bytes;
    code[0] ^= 0x80;
    assert_false(has_rows(&block, &s));
    code[0] ^= 0x80;
    s.rowids[row] ^= 1;
    assert_false(has_rows(&block, &s));
    s.rowids[row] ^= 1;
    s.rows--;
    assert_false(has_rows(&block, &s));
    if (s.rowids[rows - 1] < INT64_MAX)
      assert_false(finds(&block, &s, INT64_MAX));
  }
  free(s.codes);
  free(bytes);
}

static void round_trips(void **state) {
  (void)state;
  const int bits[] = {1, 7, 12, 48, 63, 64, 256, 1023, 1024};
  const int widths[] = {0, 1, 2, 4, 8}, counts[] = {2, 3, 63, 64, 200};
  for (int i = 0; i < 9; i++) {
    check_round_trip(0, bits[i], 0, 0);
    check_round_trip(1, bits[i], 0, -7);
    check_round_trip(1, bits[i], 0, INT64_MAX);
    check_round_trip(1, bits[i], 0, INT64_MIN);
    for (int w = 0; w < 5; w++)
      for (int n = 0; n < 5; n++) {
        int64_t room = (int64_t)counts[n] - 1;
        const int64_t spans[] = {room, 255, 65535, UINT32_MAX, INT64_MAX};
        check_round_trip(counts[n], bits[i], widths[w], INT64_MIN);
        check_round_trip(counts[n], bits[i], widths[w], -100);
        /* The last row has the greatest rowid there is. */
        check_round_trip(counts[n], bits[i], widths[w], INT64_MAX - spans[w]);
      }
  }
}

static void widths(void **state) {
  (void)state;
  const struct {
    int64_t first, last;
    int width;
  } cases[] = {
      {1, 3, 0}, {1, 4, 1}, {0, 255, 1}, {0, 256, 2}, {-5, 65530, 2},
      {0, 65536, 4}, {0, UINT32_MAX, 4}, {0, (int64_t)UINT32_MAX + 1, 8},
      {INT64_MIN, INT64_MAX, 8}, {INT64_MAX - 2, INT64_MAX, 0}};
  for (int i = 0; i < 10; i++) {
    int64_t rowids[3] = {cases[i].first, cases[i].first + 1, cases[i].last};
    assert_int_equal(nn_block_width(rowids, 3), cases[i].width);
  }
  assert_int_equal(nn_block_width(NULL, 0), 0);
}

/* The most rows that a block can have. */
static void largest_block(void **state) {
  (void)state;
  int rows = 65535;
  int64_t *rowids = malloc((size_t)rows * sizeof(*rowids));
  uint8_t *codes = malloc((size_t)rows);
  for (int i = 0; i < rows; i++) {
    rowids[i] = 2 * (int64_t)i;
    codes[i] = (uint8_t)(i * 7);
  }
  size_t size = nn_block_size(rows, nn_block_width(rowids, rows), 1);
  uint8_t *bytes = malloc(size), code;
  nn_block block;
  nn_error err;
  nn_block_write(bytes, 8, 1, rowids, codes, rows);
  assert_int_equal(nn_block_open(bytes, size, 8, &block, &err), NN_OK);
  assert_int_equal(block.rows, rows);
  for (int i = 0; i < rows; i++) {
    nn_block_code(&block, i, &code);
    assert_true(nn_block_rowid(&block, i) == rowids[i] && code == codes[i]);
    assert_int_equal(nn_block_find(&block, rowids[i] - 1), i);
  }
  free(bytes);
  free(codes);
  free(rowids);
}

/* What is no block --------------------------------------------------------- */

/* Bytes in memory of their own. */
static nn_status open_copy(const uint8_t *bytes, size_t size, int bits) {
  uint8_t *copy = test_copy(bytes, size);
  nn_block block;
  nn_error err = {NN_OK, ""};
  nn_status status = nn_block_open(copy, size, bits, &block, &err);
  assert_int_equal(err.status, status);
  assert_int_equal(err.text[0] != 0, status != NN_OK);
  free(copy);
  return status;
}

static void every_truncation_and_change(void **state) {
  (void)state;
  const int widths_of[] = {0, 1, 2, 4, 8}, rows_of[] = {0, 1, 5, 40};
  for (int w = 0; w < 5; w++)
    for (int n = 0; n < 4; n++) {
      source s;
      if (widths_of[w] && rows_of[n] < 2) continue;
      fill_source(&s, rows_of[n], 12, widths_of[w], -3);
      uint8_t *bytes = write_source(&s, 99);
      assert_int_equal(open_copy(bytes, s.size, 12), NN_OK);
      for (size_t i = 0; i < s.size; i++) {
        assert_int_equal(open_copy(bytes, i, 12), NN_ARGUMENT);
        for (int bit = 0; bit <= 8; bit++) {
          uint8_t before = bytes[i];
          bytes[i] ^= (uint8_t)(bit == 8 ? 0xff : 1 << bit);
          assert_int_equal(open_copy(bytes, s.size, 12), NN_ARGUMENT);
          bytes[i] = before;
        }
        /* Shorter, with a checksum that is right for what is left. */
        if (i < 4) continue;
        uint8_t *copy = test_copy(bytes, i);
        fix_checksum(copy, i);
        assert_int_equal(open_copy(copy, i, 12), NN_ARGUMENT);
        free(copy);
      }
      uint8_t *longer = malloc(s.size + 1);
      memcpy(longer, bytes, s.size);
      longer[s.size] = 0;
      fix_checksum(longer, s.size + 1);
      assert_int_equal(open_copy(longer, s.size + 1, 12), NN_ARGUMENT);
      for (int bits = -1; bits <= 1025; bits++)
        assert_int_equal(open_copy(bytes, s.size, bits),
                         bits == 12 ? NN_OK : NN_ARGUMENT);
      free(longer);
      free(bytes);
      free(s.codes);
    }
}

/* Set a number of a block of 12-bit codes, make the checksum right, open. */
static nn_status open_with(const uint8_t *bytes, size_t size, size_t at,
                           int width, uint64_t x) {
  uint8_t *copy = malloc(size);
  memcpy(copy, bytes, size);
  put(copy + at, width, x);
  fix_checksum(copy, size);
  nn_status status = open_copy(copy, size, 12);
  free(copy);
  return status;
}

static void wrong_with_a_right_checksum(void **state) {
  (void)state;
  source s;
  fill_source(&s, 10, 12, 0, 5);
  uint8_t *bytes = write_source(&s, 1);
  size_t n = s.size;
  assert_int_equal(open_with(bytes, n, 16, 8, 5), NN_OK);
  assert_int_equal(open_with(bytes, n, 0, 1, 0), NN_ARGUMENT);
  assert_int_equal(open_with(bytes, n, 0, 1, 2), NN_ARGUMENT);
  for (uint64_t width = 1; width < 256; width++)
    assert_int_equal(open_with(bytes, n, 1, 1, width), NN_ARGUMENT);
  for (uint64_t rows = 0; rows < 65536; rows += rows < 20 ? 1 : 999)
    assert_int_equal(open_with(bytes, n, 2, 2, rows),
                     rows == 10 ? NN_OK : NN_ARGUMENT);
  assert_int_equal(open_with(bytes, n, 4, 4, 13), NN_ARGUMENT);
  /* Row 9 has base + 9. */
  assert_int_equal(open_with(bytes, n, 16, 8, INT64_MAX - 9), NN_OK);
  assert_int_equal(open_with(bytes, n, 16, 8, INT64_MAX - 8), NN_ARGUMENT);
  assert_int_equal(open_with(bytes, n, 16, 8, INT64_MAX), NN_ARGUMENT);
  assert_int_equal(open_with(bytes, n, 16, 8, (uint64_t)INT64_MIN), NN_OK);
  /* The low four bits of the second byte of each code. */
  for (size_t row = 0; row < 10; row++)
    for (uint64_t x = 0; x < 256; x++)
      assert_int_equal(open_with(bytes, n, HEAD + 10 + row, 1, x),
                       x & 15 ? NN_ARGUMENT : NN_OK);
  free(bytes);
  free(s.codes);
}

static void wrong_offsets(void **state) {
  (void)state;
  const int widths_of[] = {1, 2, 4, 8};
  for (int w = 0; w < 4; w++) {
    int width = widths_of[w];
    size_t step = (size_t)width, last = HEAD + 9 * step;
    source s;
    fill_source(&s, 10, 12, width, 5);
    uint8_t *bytes = write_source(&s, 1);
    size_t n = s.size;
    assert_int_equal(open_with(bytes, n, HEAD, width, 1), NN_ARGUMENT);
    for (int i = 1; i < 10; i++) {
      uint64_t before = (uint64_t)s.rowids[i - 1] - 5;
      size_t at = HEAD + (size_t)i * step;
      assert_int_equal(open_with(bytes, n, at, width, before), NN_ARGUMENT);
      assert_int_equal(open_with(bytes, n, at, width, before + 1), NN_OK);
      if (i > 1)
        assert_int_equal(open_with(bytes, n, at, width, before - 1),
                         NN_ARGUMENT);
      assert_int_equal(open_with(bytes, n, at, width, 0), NN_ARGUMENT);
    }
    if (width == 8) {
      assert_int_equal(open_with(bytes, n, last, 8, INT64_MAX - 5), NN_OK);
      assert_int_equal(open_with(bytes, n, last, 8, INT64_MAX - 4),
                       NN_ARGUMENT);
      assert_int_equal(open_with(bytes, n, last, 8, UINT64_MAX), NN_ARGUMENT);
    } else {
      uint64_t span = (uint64_t)s.rowids[9] - 5;
      assert_int_equal(open_with(bytes, n, 16, 8, INT64_MAX - span), NN_OK);
      assert_int_equal(open_with(bytes, n, 16, 8, INT64_MAX - span + 1),
                       NN_ARGUMENT);
    }
    free(bytes);
    free(s.codes);
  }
}

/* Everything of an accepted block can be asked for, and is in order. */
static void use_block(const nn_block *block, int bits) {
  uint8_t code[NN_BLOCK_BITS_MAX / 8];
  for (int i = 0; i < block->rows; i++) {
    int64_t rowid = nn_block_rowid(block, i);
    if (i) assert_true(nn_block_rowid(block, i - 1) < rowid);
    assert_int_equal(nn_block_find(block, rowid), i);
    nn_block_code(block, i, code);
    if (bits % 8)
      assert_int_equal(code[block->code_bytes - 1] & (0xff >> bits % 8), 0);
    nn_block_find(block, (int64_t)test_random(&rng));
  }
}

static void random_bytes(void **state) {
  (void)state;
  const int bits_of[] = {1, 8, 9, 48, 1024};
  const uint8_t widths_of[] = {0, 1, 2, 4, 8, 3, 16, 255};
  int accepted = 0, refused = 0;
  for (int i = 0; i < 60000; i++) {
    int bits = bits_of[test_below(&rng, 5)];
    int width = widths_of[test_below(&rng, i % 8 ? 5 : 8)];
    int rows = (int)test_below(&rng, 5);
    size_t size = nn_block_size(rows, width, (bits + 7) / 8);
    if (i % 10 == 0) size = test_below(&rng, 200);
    uint8_t *bytes = malloc(size ? size : 1);
    for (size_t at = 0; at < size; at++)
      bytes[at] = (uint8_t)(test_random(&rng) & test_random(&rng));
    if (size >= 28) {
      bytes[0] = 1;
      bytes[1] = (uint8_t)width;
      put(bytes + 2, 2, (uint64_t)rows);
      put(bytes + 4, 4, (uint64_t)bits);
      if (rows && width && width <= 8 && size >= HEAD + 8 && i % 3)
        put(bytes + HEAD, width, 0);
      fix_checksum(bytes, size);
    }
    nn_block block;
    nn_error err;
    if (nn_block_open(bytes, size, bits, &block, &err) == NN_OK) {
      use_block(&block, bits);
      accepted++;
    } else {
      refused++;
    }
    free(bytes);
  }
  assert_true(accepted > 1000 && refused > 1000);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(published_hashes),
      cmocka_unit_test(hashes_of_every_length),
      cmocka_unit_test(round_trips),
      cmocka_unit_test(widths),
      cmocka_unit_test(largest_block),
      cmocka_unit_test(every_truncation_and_change),
      cmocka_unit_test(wrong_with_a_right_checksum),
      cmocka_unit_test(wrong_offsets),
      cmocka_unit_test(random_bytes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

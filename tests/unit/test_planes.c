/*
** Selection within a block: every kernel that this CPU has, against nn_hamming
** row by row.
**
** A kernel adds bits in bytes and works on whole vectors of rows, so what may
** go wrong is a sum that does not fit, a row next to the end of a vector, and a
** read beyond the planes.  Hence codes of all lengths around 31 and 32 planes,
** with distances up to every bit; all numbers of rows up to a few vectors; all
** limits that cut a crowd in two; and blocks and answers in memory of exactly
** their size, where the address sanitizer sees what goes beyond.
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

static test_rng rng = {0x13198a2e03707344u};

static const int all_bits[] = {1,   7,   8,   12,  48,  63,   64,  100,
                               248, 249, 256, 257, 512, 1000, 1024};
#define ALL_BITS ((int)(sizeof(all_bits) / sizeof(*all_bits)))

/* What codes a block is filled with. */
typedef enum kind {
  UNIFORM,      /* random ones */
  SAME,         /* one, at some distance from the query */
  ZEROS,
  ONES,
  QUERY,        /* the query itself */
  COMPLEMENT,   /* every bit differs */
  FARTHEST,     /* all bits, one fewer, or two */
  NEAR,         /* up to four bits differ */
  MIXED,        /* the above in turn */
  KINDS
} kind;

static void flip(uint8_t *code, int bit) {
  code[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
}

static void clear_spare(uint8_t *code, int bits) {
  if (bits % 8) code[bits / 8] &= (uint8_t)(0xff00 >> bits % 8);
}

static void fill_code(uint8_t *code, const uint8_t *query, int bits, kind k) {
  int bytes = (bits + 7) / 8, flips = 0;
  for (int i = 0; i < bytes; i++) {
    if (k == UNIFORM) code[i] = (uint8_t)test_random(&rng);
    else if (k == ZEROS) code[i] = 0;
    else if (k == ONES) code[i] = 0xff;
    else if (k == COMPLEMENT || k == FARTHEST) code[i] = (uint8_t)~query[i];
    else code[i] = query[i];
  }
  if (k == FARTHEST) flips = (int)test_below(&rng, 3);
  if (k == NEAR) flips = (int)test_below(&rng, 5);
  if (k == SAME) flips = 1;
  for (int i = 0; i < flips; i++)
    flip(code, k == SAME ? bits / 2 : (int)test_below(&rng, (uint64_t)bits));
  clear_spare(code, bits);
}

/* A block, its codes row by row, and the query, each of exact size. */
typedef struct fixture {
  nn_block block;
  int bits, bytes;
  uint8_t *data, *codes, *query;
} fixture;

static void open_fixture(fixture *f, int rows, int bits, kind k) {
  nn_error err;
  f->bits = bits;
  f->bytes = (bits + 7) / 8;
  f->query = malloc((size_t)f->bytes);
  for (int i = 0; i < f->bytes; i++)
    f->query[i] = (uint8_t)test_random(&rng);
  if (k == ZEROS || k == ONES)
    memset(f->query, test_below(&rng, 2) ? 0xff : 0, (size_t)f->bytes);
  clear_spare(f->query, bits);
  f->codes = malloc((size_t)rows * (size_t)f->bytes + 1);
  int64_t *rowids = malloc(((size_t)rows + 1) * sizeof(*rowids));
  for (int i = 0; i < rows; i++) {
    rowids[i] = rows % 2 ? i : 3 * (int64_t)i;
    fill_code(f->codes + (size_t)i * (size_t)f->bytes, f->query, bits,
              k == MIXED ? (kind)test_below(&rng, MIXED) : k);
  }
  size_t size = nn_block_size(rows, nn_block_width(rowids, rows), f->bytes);
  f->data = malloc(size);
  nn_block_write(f->data, bits, 0, rowids, f->codes, rows);
  assert_int_equal(nn_block_open(f->data, size, bits, &f->block, &err), NN_OK);
  /* Once it is checked nothing reads its last four bytes: away with them, so
  ** that the planes end where the memory does. */
  uint8_t *planes = test_copy(f->block.planes,
                              (size_t)rows * (size_t)f->bytes);
  free(f->data);
  f->data = planes;
  f->block.planes = planes;
  f->block.offsets = NULL;
  free(rowids);
}

static void close_fixture(fixture *f) {
  free(f->data);
  free(f->codes);
  free(f->query);
}

typedef int (*kernel)(const nn_block *, const uint8_t *, int, const nn_block *,
                      uint16_t *, uint16_t *);

/* Some block that comes next: the CPU fetches it, which is never seen. */
static const nn_block *next_block(const fixture *f) {
  static nn_block other;
  int which = (int)test_below(&rng, 4);
  other = f->block;
  if (which == 1) other.rows /= 3;
  if (which == 2) other.rows = 0;
  return which == 3 ? NULL : &other;
}

/* Does this kernel say of a block what nn_hamming says of its rows? */
static int selects(const fixture *f, int limit, kernel run) {
  size_t bytes = (size_t)f->block.rows * sizeof(uint16_t);
  uint16_t *rows = malloc(bytes ? bytes : 1);
  uint16_t *distances = malloc(bytes ? bytes : 1);
  const nn_block *next = next_block(f);
  int n = run(&f->block, f->query, limit, next, rows, distances);
  int at = 0, same = 1;
  for (int i = 0; same && i < f->block.rows; i++) {
    int d = (int)nn_hamming(f->query, f->codes + (size_t)i * (size_t)f->bytes,
                            (size_t)f->bytes);
    if (d > limit) continue;
    same = at < n && rows[at] == i && distances[at] == d;
    at++;
  }
  free(rows);
  free(distances);
  return same && at == n;
}

static void check_limit(const fixture *f, int limit) {
  const nn_select_form *form;
  for (int i = 0; limit >= 0 && (form = nn_select_kernels(i)) != NULL; i++)
    if (!selects(f, limit, form->run))
      fail_msg("%s: %d rows of %d bits, limit %d", form->name, f->block.rows,
               f->bits, limit);
  assert_true(selects(f, limit, nn_block_select));
}

static void check_limits(const fixture *f) {
  const int limits[] = {-1, 0, 1, 2, 4, 30, 31, 32, 127, 128, 247, 248, 249,
                        254, 255, 256, 257, 1023};
  for (size_t i = 0; i < sizeof(limits) / sizeof(*limits); i++)
    if (limits[i] <= f->bits) check_limit(f, limits[i]);
  check_limit(f, f->bits / 2);
  check_limit(f, f->bits - 2);
  check_limit(f, f->bits - 1);
  check_limit(f, f->bits);
  check_limit(f, f->bits + 1);
  check_limit(f, INT32_MAX);
}

static void kernels_are_listed(void **state) {
  (void)state;
  const nn_select_form *last = NULL, *form;
  assert_string_equal(nn_select_kernels(0)->name, "scalar");
  assert_string_equal(nn_select_kernels(1)->name, "swar");
  for (int i = 0; (form = nn_select_kernels(i)) != NULL; i++) last = form;
  assert_string_equal(nn_block_kernel(), last->name);
  unsigned cpu = nn_cpu_features();
#ifdef __x86_64__
  assert_string_equal(last->name, cpu & NN_CPU_BITALG ? "avx512"
                                  : cpu & NN_CPU_AVX2 ? "avx2" : "swar");
#else
  (void)cpu;
#endif
#ifdef __aarch64__
  assert_string_equal(last->name, "neon");
#endif
}

/* Every number of rows, a limit or two each. */
static void every_number_of_rows(void **state) {
  (void)state;
  for (int b = 0; b < ALL_BITS; b++)
    for (int rows = 0; rows <= 200; rows++) {
      fixture f;
      int bits = all_bits[b];
      open_fixture(&f, rows, bits, rows % 3 ? MIXED : UNIFORM);
      check_limit(&f, bits);
      check_limit(&f, bits / 2);
      check_limit(&f, (int)test_below(&rng, (uint64_t)bits + 1));
      close_fixture(&f);
    }
}

/* Every kind of codes and every limit, where rows end within a vector, with one
** and right behind it. */
static void every_kind_of_codes(void **state) {
  (void)state;
  const int rows[] = {0, 1, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 127, 128,
                      129, 192, 200, 671};
  for (int b = 0; b < ALL_BITS; b++)
    for (int n = 0; n < 19; n++)
      for (int k = 0; k < KINDS; k++) {
        fixture f;
        open_fixture(&f, rows[n], all_bits[b], (kind)k);
        check_limits(&f);
        close_fixture(&f);
      }
}

/* Each distance from 0 to all bits, at each place of a vector, and each limit:
** sums around 255 above all. */
static void every_distance(void **state) {
  (void)state;
  for (int b = 0; b < ALL_BITS; b++) {
    int bits = all_bits[b], step = bits > 300 ? 41 : 1;
    for (int shift = 0; shift < 3; shift++) {
      fixture f;
      open_fixture(&f, bits + 1 + shift, bits, QUERY);
      for (int row = 0; row < f.block.rows; row++) {
        /* From the front, from the back, or from the middle on. */
        int d = row % (bits + 1), from = shift == 2 ? bits / 2 : 0;
        uint8_t *code = f.codes + (size_t)row * (size_t)f.bytes;
        for (int i = 0; i < d; i++)
          flip(code, shift == 1 ? bits - 1 - i : (from + i) % bits);
        for (int i = 0; i < f.bytes; i++)
          f.data[(size_t)i * (size_t)f.block.rows + (size_t)row] = code[i];
      }
      for (int limit = 0; limit <= bits; limit += step) check_limit(&f, limit);
      for (int limit = 246; limit <= 258; limit++) check_limit(&f, limit);
      close_fixture(&f);
    }
  }
}

/* 256 bits that differ do not fit the byte they are counted in, and 255 look
** the same: alone among others at each place. */
static void distances_beyond_a_byte(void **state) {
  (void)state;
  for (int rows = 8; rows <= 130; rows += 61)
    for (int place = 0; place < rows; place++)
      for (int fewer = 0; fewer <= 2; fewer++) {
        fixture f;
        open_fixture(&f, rows, 256, place % 2 ? QUERY : COMPLEMENT);
        uint8_t *code = f.codes + (size_t)place * 32;
        for (int i = 0; i < 32; i++) code[i] = (uint8_t)~f.query[i];
        for (int i = 0; i < fewer; i++) flip(code, 255 - 100 * i);
        for (int i = 0; i < 32; i++) f.data[i * rows + place] = code[i];
        for (int limit = 253; limit <= 257; limit++) check_limit(&f, limit);
        close_fixture(&f);
      }
}

/* A block as long as blocks get. */
static void most_rows(void **state) {
  (void)state;
  fixture f;
  open_fixture(&f, 65535, 48, MIXED);
  for (int limit = 0; limit <= 48; limit += 12) check_limit(&f, limit);
  close_fixture(&f);
}

/* Kernels that are wrong in a row, a distance, the limit, or the order are
** noticed. */
static int skips_a_row(const nn_block *block, const uint8_t *query, int limit,
                       const nn_block *next, uint16_t *rows,
                       uint16_t *distances) {
  int n = nn_block_select(block, query, limit, next, rows, distances);
  return n - 1;
}

static int adds_a_bit(const nn_block *block, const uint8_t *query, int limit,
                      const nn_block *next, uint16_t *rows,
                      uint16_t *distances) {
  int n = nn_block_select(block, query, limit, next, rows, distances);
  distances[n / 2]++;
  return n;
}

static int limit_is_outside(const nn_block *block, const uint8_t *query,
                            int limit, const nn_block *next, uint16_t *rows,
                            uint16_t *distances) {
  return nn_block_select(block, query, limit - 1, next, rows, distances);
}

static int swaps_two(const nn_block *block, const uint8_t *query, int limit,
                     const nn_block *next, uint16_t *rows,
                     uint16_t *distances) {
  int n = nn_block_select(block, query, limit, next, rows, distances);
  uint16_t swap = rows[0];
  rows[0] = rows[n - 1];
  rows[n - 1] = swap;
  return n;
}

static void wrong_kernels_are_noticed(void **state) {
  (void)state;
  fixture f;
  open_fixture(&f, 200, 64, COMPLEMENT);
  assert_true(selects(&f, 64, nn_block_select));
  assert_false(selects(&f, 64, skips_a_row));
  assert_false(selects(&f, 64, adds_a_bit));
  assert_false(selects(&f, 64, limit_is_outside));
  assert_false(selects(&f, 64, swaps_two));
  close_fixture(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(kernels_are_listed),
      cmocka_unit_test(every_number_of_rows),
      cmocka_unit_test(every_kind_of_codes),
      cmocka_unit_test(every_distance),
      cmocka_unit_test(distances_beyond_a_byte),
      cmocka_unit_test(most_rows),
      cmocka_unit_test(wrong_kernels_are_noticed),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

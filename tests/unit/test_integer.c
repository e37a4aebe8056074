/*
** The kernels of integer networks: every form that this CPU can run against the
** definition, and which form a CPU would get.  All arrays end at a page that
** must not be touched, and begin behind bytes that must not change.
*/
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../nn/integers.h"
#include "test_util.h"

static test_rng rng = {88172645463325252u};

/* Guarded memory ---------------------------------------------------------- */

#define CANARY 0xa5
#define CANARY_BYTES 64

typedef struct guarded {
  uint8_t *map;
  size_t mapped;
  uint8_t *p;   /* n bytes, the last of them the last before the page */
} guarded;

static guarded guard(size_t n) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  guarded g;
  g.mapped = (n + CANARY_BYTES + page - 1) / page * page + page;
  g.map = mmap(NULL, g.mapped, PROT_READ | PROT_WRITE,
               MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  assert_ptr_not_equal(g.map, MAP_FAILED);
  memset(g.map, CANARY, g.mapped);
  assert_int_equal(mprotect(g.map + g.mapped - page, page, PROT_NONE), 0);
  g.p = g.map + g.mapped - page - n;
  return g;
}

static void unguard(guarded g) {
  for (int i = 1; i <= CANARY_BYTES; i++) assert_int_equal(g.p[-i], CANARY);
  munmap(g.map, g.mapped);
}

/* Sums -------------------------------------------------------------------- */

/* What activations and weights are. */
enum {
  RANDOM,
  ALL_MAX,        /* weights 127 */
  ALL_MIN,        /* weights -128 */
  ALTERNATE,      /* weights 127, -128 by turns */
  ALTERNATE_TWO,  /* 127, 127, -128, -128 */
  EXTREMES,       /* each of both at random the largest or the smallest */
  KINDS
};

static uint8_t activation(int kind, int max) {
  if (kind == EXTREMES) return (uint8_t)(test_below(&rng, 2) ? max : 0);
  if (kind != RANDOM) return (uint8_t)max;
  return (uint8_t)test_below(&rng, (uint64_t)max + 1);
}

static int8_t one_weight(int kind, size_t i) {
  switch (kind) {
    case ALL_MAX: return 127;
    case ALL_MIN: return -128;
    case ALTERNATE: return i % 2 ? -128 : 127;
    case ALTERNATE_TWO: return i / 2 % 2 ? -128 : 127;
    case EXTREMES: return test_below(&rng, 2) ? -128 : 127;
    default: return (int8_t)test_random(&rng);
  }
}

/* The sums of a block as the definition has them. */
static void check_sums(const nn_int_form *form, const char *how, int kind,
                       int rows, int taps, int quads,
                       const uint8_t *const *from, const int8_t *weight,
                       const int32_t *got) {
  for (int r = 0; r < rows; r++)
    for (int o = 0; o < NN_INT_BLOCK; o++) {
      int64_t sum = 0;
      for (int t = 0; t < taps; t++) {
        const uint8_t *x = from[t * rows + r];
        const int8_t *w = weight + ((size_t)t * (size_t)quads * NN_INT_BLOCK +
                                    (size_t)o) * 4;
        for (int q = 0; q < quads; q++, x += 4, w += 4 * NN_INT_BLOCK)
          sum += x[0] * w[0] + x[1] * w[1] + x[2] * w[2] + x[3] * w[3];
      }
      if (got[r * NN_INT_BLOCK + o] != sum)
        fail_msg("%s, %s, kind %d, %d rows, %d taps, %d quads: row %d, output "
                 "%d is %d instead of %lld", form->name, how, kind, rows, taps,
                 quads, r, o, (int)got[r * NN_INT_BLOCK + o], (long long)sum);
    }
}

/* One call of one form, of sums or wide.  Rows lie anywhere in a pool of bytes,
** over each other and of any alignment, two of them at its ends, and some are
** the same.  Behind the weights and the sums nothing may be touched. */
static void check_tile(const nn_int_form *form, int wide, int kind, int rows,
                       int taps, int quads) {
  size_t n = 4 * (size_t)quads, pointers = (size_t)taps * (size_t)rows;
  size_t pool_size = n + 301, weights = (size_t)taps * n * NN_INT_BLOCK;
  guarded pool = guard(pool_size);
  guarded weight = guard(weights);
  guarded in = guard(pointers * sizeof(uint8_t *));
  guarded out = guard((size_t)rows * NN_INT_BLOCK * 4);
  const uint8_t **from = (const uint8_t **)in.p;
  for (size_t i = 0; i < pool_size; i++)
    pool.p[i] = activation(kind, wide ? 255 : 127);
  for (size_t i = 0; i < weights; i++)
    ((int8_t *)weight.p)[i] = one_weight(kind, i);
  for (size_t i = 0; i < pointers; i++)
    from[i] = i % 4 == 3 ? from[i - 1] : pool.p + test_below(&rng, 302);
  from[test_below(&rng, pointers)] = pool.p;
  from[test_below(&rng, pointers)] = pool.p + 301;
  (wide ? form->wide : form->sums)(rows, taps, quads, from,
                                   (const int8_t *)weight.p, (int32_t *)out.p);
  check_sums(form, wide ? "wide" : "sums", kind, rows, taps, quads, from,
             (const int8_t *)weight.p, (const int32_t *)out.p);
  unguard(pool);
  unguard(weight);
  unguard(in);
  unguard(out);
}

static size_t up_to(size_t n, size_t multiple) {
  return (n + multiple - 1) / multiple * multiple;
}

/* One call of `many`.  Behind rows, quads, weights and sums are as few bytes as
** may be read or written, of which nothing may be seen. */
static void check_blocks(const nn_int_form *form, int kind, int blocks,
                         int rows, int quads) {
  size_t n = 4 * (size_t)quads, one = n * NN_INT_BLOCK;
  size_t row = form->tile == 1 ? n : up_to(n, 4 * NN_INT_TILE_QUADS);
  size_t stride = row + test_below(&rng, 99);
  size_t apart = one + 64 * test_below(&rng, 3);
  size_t all = up_to((size_t)rows, (size_t)form->tile);
  size_t weights = (size_t)(blocks - 1) * apart + one;
  guarded in = guard((all - 1) * stride + row);
  guarded weight = guard(weights + NN_INT_SLACK);
  guarded out = guard((size_t)blocks * NN_INT_PANEL * NN_INT_BLOCK * 4);
  const uint8_t *from[NN_INT_PANEL];
  for (size_t i = 0; i < (all - 1) * stride + row; i++)
    in.p[i] = activation(kind, 255);
  for (int r = 0; r < rows; r++) {
    from[r] = in.p + (size_t)r * stride;
    memset(in.p + (size_t)r * stride + n, 0, row - n);
  }
  for (size_t i = 0; i < weights; i++)
    ((int8_t *)weight.p)[i] = one_weight(kind, i);
  if (form->open) form->open();
  form->many(blocks, apart, rows, (size_t)quads, in.p, stride,
             (const int8_t *)weight.p, (int32_t *)out.p);
  if (form->close) form->close();
  for (int b = 0; b < blocks; b++)
    check_sums(form, "many", kind, rows, 1, quads, from,
               (const int8_t *)weight.p + (size_t)b * apart,
               (const int32_t *)out.p + b * NN_INT_PANEL * NN_INT_BLOCK);
  unguard(in);
  unguard(weight);
  unguard(out);
}

/* Every number of rows, small numbers of quads and taps of all sorts. */
static void tiles_of_every_height(void **state) {
  (void)state;
  const nn_int_form *form;
  for (int i = 0; (form = nn_int_kernels(i)) != NULL; i++)
    for (int wide = 0; wide < 2; wide++)
      for (int rows = 1; rows <= form->rows; rows++)
        for (int quads = 1; quads <= 9; quads++)
          for (int taps = 1; taps <= 3; taps++)
            check_tile(form, wide, EXTREMES, rows, taps, quads);
}

/* Filters up to 5x5 over up to 400 channels. */
static void tiles_of_every_size(void **state) {
  (void)state;
  const nn_int_form *form;
  for (int i = 0; (form = nn_int_kernels(i)) != NULL; i++)
    for (int wide = 0; wide < 2; wide++) {
      check_tile(form, wide, RANDOM, form->rows, 25, 100);
      for (int k = 0; k < 60; k++)
        check_tile(form, wide, RANDOM,
                   1 + (int)test_below(&rng, (uint64_t)form->rows),
                   1 + (int)test_below(&rng, 25),
                   1 + (int)test_below(&rng, 100));
    }
}

/* Every number of blocks and rows, and quads around where a tile ends. */
static void many_blocks(void **state) {
  (void)state;
  static const int quads[] = {1, 2, 15, 16, 17, 31, 32, 33, 255, 256, 257, 530};
  const nn_int_form *form;
  for (int i = 0; (form = nn_int_kernels(i)) != NULL; i++) {
    if (!form->many) continue;
    for (int blocks = 1; blocks <= NN_INT_PANEL_BLOCKS; blocks++) {
      for (int kind = 0; kind < KINDS; kind++)
        check_blocks(form, kind, blocks, form->panel, 27);
      for (int rows = 1; rows <= form->panel; rows++)
        check_blocks(form, RANDOM, blocks, rows, 14);
      for (int k = 0; k < 12; k++)
        check_blocks(form, EXTREMES, blocks,
                     1 + (int)test_below(&rng, (uint64_t)form->panel),
                     quads[k]);
    }
  }
}

static void saturating_input(void **state) {
  (void)state;
  static const int sizes[][2] = {{1, 1}, {9, 16}, {25, 3}, {3, 100}};
  const nn_int_form *form;
  for (int i = 0; (form = nn_int_kernels(i)) != NULL; i++)
    for (int wide = 0; wide < 2; wide++)
      for (int kind = 0; kind < KINDS; kind++)
        for (int k = 0; k < 4; k++)
          check_tile(form, wide, kind, form->rows, sizes[k][0], sizes[k][1]);
}

/* The longest sums that 32 bits hold. */
static void largest_sums(void **state) {
  (void)state;
  const nn_int_form *form;
  for (int i = 0; (form = nn_int_kernels(i)) != NULL; i++)
    for (int kind = ALL_MAX; kind <= ALL_MIN; kind++) {
      check_tile(form, 0, kind, 1, 1, ((1u << 31) - 1) / (4 * 127 * 128));
      check_tile(form, 1, kind, form->rows, 1,
                 ((1u << 31) - 1) / (4 * 255 * 128));
    }
}

/* Pairs of words: of the size that whole.c makes of bytes, random, all the
** largest, or as far as 16 bits go but for the one pair that VPMADDWD cannot
** add; with sums that wrap around. */
static void check_pairs(nn_words words, int rows, size_t pairs, int kind) {
  size_t lda = 2 * pairs + test_below(&rng, 9), n = 2 * pairs;
  guarded a = guard((lda * (size_t)(rows - 1) + n) * 2);
  guarded w = guard(n * NN_INT_BLOCK * 2);
  guarded out = guard((size_t)rows * NN_INT_BLOCK * 4);
  int16_t *x = (int16_t *)a.p, *y = (int16_t *)w.p;
  int most = kind < 2 ? 1020 : 32767, heavy = kind < 2 ? 1152 : 32767;
  for (size_t i = 0; i < lda * (size_t)(rows - 1) + n; i++) {
    int any = (int)test_below(&rng, (uint64_t)most * 2 + 1) - most;
    x[i] = (int16_t)(kind % 2 ? any : most);
  }
  for (size_t i = 0; i < n * NN_INT_BLOCK; i++) {
    int any = (int)test_below(&rng, (uint64_t)heavy * 2 + 1) - heavy;
    y[i] = (int16_t)(kind % 2 ? any : test_below(&rng, 2) ? heavy : -heavy);
  }
  words(rows, pairs, x, lda, y, (int32_t *)out.p);
  for (int r = 0; r < rows; r++) {
    for (size_t o = 0; o < NN_INT_BLOCK; o++) {
      int64_t sum = 0;
      for (size_t i = 0; i < n; i++) {
        sum += (int64_t)x[(size_t)r * lda + i] *
               y[(i / 2 * NN_INT_BLOCK + o) * 2 + i % 2];
      }
      assert_int_equal(((int32_t *)out.p)[(size_t)r * NN_INT_BLOCK + o],
                       (int32_t)(uint32_t)sum);
    }
  }
  unguard(a);
  unguard(w);
  unguard(out);
}

static void pairs_of_words(void **state) {
  (void)state;
  for (int i = 0; nn_int_kernels(i); i++) {
    nn_words words = nn_words_of(nn_int_kernels(i));
    if (!words) words = nn_words_scalar;
    for (int rows = 1; rows <= NN_PAIR_ROWS; rows++) {
      for (int kind = 0; kind < 4; kind++) {
        check_pairs(words, rows, 1 + test_below(&rng, 40), kind);
        check_pairs(words, rows, 600, kind);
      }
    }
  }
}

/* Bytes ------------------------------------------------------------------- */

/* The definition. */
static int requantised(int32_t acc, int32_t bias, int32_t m, int32_t s,
                       int zero, int max) {
  __int128 y = ((__int128)acc + bias) * m + ((__int128)1 << (s - 1));
  y = zero + (y >> s);
  return (int)(y < 0 ? 0 : y > max ? max : y);
}

static int64_t limited(int64_t x, int64_t min, int64_t max) {
  return x < min ? min : x > max ? max : x;
}

/* A sum of all sizes, often one whose byte is neither 0 nor the largest, and
** close to where it changes. */
static int32_t some_sum(int32_t m, int32_t s, int zero, int max) {
  static const int64_t edges[] = {INT32_MIN, INT32_MIN + 1, -1, 0, 1,
                                  INT32_MAX - 1, INT32_MAX};
  int64_t near = (int64_t)test_below(&rng, 3) - 1;
  switch (test_below(&rng, 4)) {
    case 0: return (int32_t)edges[test_below(&rng, 7)];
    case 1: return (int32_t)test_random(&rng);
    case 2: return (int32_t)((int64_t)test_random(&rng) >>
                             (32 + test_below(&rng, 32)));
    default: {
      __int128 y = (__int128)test_below(&rng, (uint64_t)max + 2) - zero;
      y = (y * 2 - 1) * ((__int128)1 << (s - 1)) / (m ? m : 1) + near;
      if (y < INT32_MIN) y = INT32_MIN;
      if (y > INT32_MAX) y = INT32_MAX;
      return (int32_t)y;
    }
  }
}

static int32_t some_multiplier(void) {
  static const int32_t edges[] = {0, 1, 2, 1 << 30, INT32_MAX - 1, INT32_MAX};
  if (test_below(&rng, 2)) return edges[test_below(&rng, 6)];
  return (int32_t)(test_below(&rng, (uint64_t)1 << 31) >>
                   test_below(&rng, 31));
}

typedef struct channels {
  guarded acc, bias, m, s, out;
} channels;

static void some_channels(int n, int least, int most, int32_t *bias,
                          int32_t *m, int32_t *s) {
  for (int i = 0; i < n; i++) {
    m[i] = some_multiplier();
    s[i] = least + (int32_t)test_below(&rng, (uint64_t)(most - least) + 1);
    bias[i] = test_below(&rng, 3) ? (int32_t)test_random(&rng) : 0;
  }
}

/* Shifts from `least` to `most`.  What lies between two rows stays. */
static void check_bytes(const nn_int_form *form, int rows, int n, int least,
                        int most) {
  size_t size = 4 * (size_t)n, stride = (size_t)n + test_below(&rng, 9);
  size_t before = (size_t)rows - 1;
  channels c = {guard(4 * NN_INT_BLOCK * before + size), guard(size),
                guard(size), guard(size), guard(before * stride + (size_t)n)};
  int32_t *bias = (int32_t *)c.bias.p;
  int32_t *m = (int32_t *)c.m.p, *s = (int32_t *)c.s.p;
  int max = 1 + (int)test_below(&rng, 255);
  int zero = (int)test_below(&rng, (uint64_t)max + 1);
  some_channels(n, least, most, bias, m, s);
  for (int j = 0; j < rows * n; j++) {
    int64_t b = bias[j % n];
    int64_t acc = some_sum(m[j % n], s[j % n], zero, max) - b;
    acc = limited(acc, INT32_MIN - (b < 0 ? b : 0),
                  INT32_MAX - (b > 0 ? b : 0));
    ((int32_t *)c.acc.p)[j / n * NN_INT_BLOCK + j % n] = (int32_t)acc;
  }
  form->bytes(rows, n, (int32_t *)c.acc.p, bias, m, s, zero, max, c.out.p,
              stride);
  for (int j = 0; j < rows * n; j++) {
    int32_t acc = ((int32_t *)c.acc.p)[j / n * NN_INT_BLOCK + j % n];
    int i = j % n, got = c.out.p[(size_t)(j / n) * stride + (size_t)i];
    int expected = requantised(acc, bias[i], m[i], s[i], zero, max);
    if (got != expected)
      fail_msg("%s: row %d, channel %d of %d, (%d + %d) * %d >> %d, zero %d, "
               "max %d: %d instead of %d", form->name, j / n, i, n, (int)acc,
               (int)bias[i], (int)m[i], (int)s[i], zero, max, got, expected);
  }
  for (size_t r = 0; r < before; r++)
    for (size_t i = (size_t)n; i < stride; i++)
      assert_int_equal(c.out.p[r * stride + i], CANARY);
  unguard(c.acc);
  unguard(c.bias);
  unguard(c.m);
  unguard(c.s);
  unguard(c.out);
}

static void bytes_of_every_count(void **state) {
  (void)state;
  const nn_int_form *form;
  for (int i = 0; (form = nn_int_kernels(i)) != NULL; i++)
    for (int n = 1; n <= 70; n++)
      for (int k = 0; k < 10; k++)
        check_bytes(form, 1, n, k % 2 ? 32 : 1, 62);
}

static void bytes_of_rows(void **state) {
  (void)state;
  const nn_int_form *form;
  for (int i = 0; (form = nn_int_kernels(i)) != NULL; i++)
    for (int n = 1; n <= NN_INT_BLOCK; n++)
      for (int k = 0; k < 20; k++)
        check_bytes(form, 2 + (int)test_below(&rng, 40), n, k % 2 ? 32 : 1, 62);
}

static void bytes_of_every_shift(void **state) {
  (void)state;
  const nn_int_form *form;
  for (int i = 0; (form = nn_int_kernels(i)) != NULL; i++)
    for (int shift = 1; shift <= 62; shift++)
      for (int k = 0; k < 5; k++) check_bytes(form, 1, 400, shift, shift);
}

/* Every sum of the smallest and the largest, with every multiplier there is at
** the ends of its range. */
static void bytes_at_the_ends(void **state) {
  (void)state;
  static const int32_t sums[] = {INT32_MIN, INT32_MIN + 1, -1, 0,
                                 1, 2, INT32_MAX - 1, INT32_MAX};
  static const int32_t multipliers[] = {0, 1, 1 << 30, INT32_MAX};
  static const int limits[][2] = {{0, 127}, {0, 255}, {255, 255}, {64, 127},
                                  {0, 1}, {1, 1}};
  const nn_int_form *form;
  for (int i = 0; (form = nn_int_kernels(i)) != NULL; i++)
    for (int32_t shift = 1; shift <= 62; shift++)
      for (int k = 0; k < 4; k++)
        for (int j = 0; j < 6; j++) {
          int32_t bias[8] = {0}, m[8], s[8];
          uint8_t out[8];
          for (int c = 0; c < 8; c++) m[c] = multipliers[k], s[c] = shift;
          form->bytes(1, 8, sums, bias, m, s, limits[j][0], limits[j][1], out,
                      0);
          for (int c = 0; c < 8; c++)
            assert_int_equal(out[c], requantised(sums[c], 0, m[c], shift,
                                                 limits[j][0], limits[j][1]));
        }
}

/* Dispatch ---------------------------------------------------------------- */

static const struct {
  const char *name;
  unsigned needs;
} wanted[] = {
    {"scalar", 0},
    {"generic", 0},
#ifdef __x86_64__
    {"avx2", NN_CPU_AVX2},
#ifdef NN_AVXVNNI_KERNEL
    {"avxvnni", NN_CPU_AVX2 | NN_CPU_AVXVNNI},
#endif
    {"avx512vnni", NN_CPU_AVX512VNNI},
#if NN_AMX_KERNEL
    {"amx", NN_CPU_AVX512VNNI | NN_CPU_AMX},
#endif
#endif
#ifdef NN_INT_DOT
    {"neondot", NN_CPU_DOTPROD},
#endif
#ifdef NN_INT_I8MM
    {"neoni8mm", NN_CPU_DOTPROD | NN_CPU_I8MM},
#endif
};
#define WANTED ((int)(sizeof(wanted) / sizeof(*wanted)))

/* For every CPU that could be: all forms that it can run and no others, from
** the plain one up. */
static void every_cpu(void **state) {
  (void)state;
  for (unsigned cpu = 0; cpu < 2 * NN_CPU_I8MM; cpu++) {
    int i = 0;
    for (int k = 0; k < WANTED; k++) {
      if (wanted[k].needs & ~cpu) continue;
      const nn_int_form *form = nn_int_kernels_for(cpu, i++);
      assert_non_null(form);
      assert_string_equal(form->name, wanted[k].name);
      assert_true(form->rows >= 1);
    }
    assert_null(nn_int_kernels_for(cpu, i));
    assert_ptr_equal(nn_int_kernels_for(cpu, -1),
                     nn_int_kernels_for(cpu, i - 1));
  }
}

static void this_cpu(void **state) {
  (void)state;
  const nn_int_form *form;
  unsigned cpu = nn_cpu_features();
  if (!nn_amx_permitted()) cpu &= ~(unsigned)NN_CPU_AMX;
  for (int i = 0; (form = nn_int_kernels(i)) != NULL; i++) {
    assert_ptr_equal(form, nn_int_kernels_for(cpu, i));
    print_message("%s ", form->name);
  }
  print_message("\n");
  assert_string_equal(nn_int_kernels(0)->name, "scalar");
}

/* The first thing that is missing is named, or why the system refused. */
static void amx_verdicts(void **state) {
  (void)state;
  static const char *const missing[] = {"no AMX kernel", "amx_tile",
                                        "amx_int8",      "16 rows of 64",
                                        "avx512_vnni",   "does from 5.16"};
  static const struct {
    int error;
    const char *text;
  } refusals[] = {{EINVAL, "can from 5.16"}, {ENOSYS, "can from 5.16"},
                  {EOPNOTSUPP, "turned off"}, {ENOSPC, "sigaltstack"},
                  {EPERM, "refuses AMX"}};
  nn_error err;
  assert_int_equal(nn_amx_verdict(NN_AMX_HAS_ALL, 0, &err), NN_OK);
  assert_string_equal(err.text, "");
  for (unsigned has = 0; has < NN_AMX_HAS_ALL; has++) {
    int first = 0;
    while (has >> first & 1) first++;
    assert_int_equal(nn_amx_verdict(has, 0, &err), NN_ARGUMENT);
    assert_non_null(strstr(err.text, missing[first]));
  }
  for (int i = 0; i < 5; i++) {
    char number[16];
    snprintf(number, sizeof(number), "error %d)", refusals[i].error);
    assert_int_equal(nn_amx_verdict(NN_AMX_HAS_ALL, refusals[i].error, &err),
                     NN_ARGUMENT);
    assert_non_null(strstr(err.text, refusals[i].text));
    assert_non_null(strstr(err.text, number));
  }
}

/* The process has the permission exactly when it was given one. */
static void amx_request(void **state) {
  (void)state;
  nn_error err;
  int saved = errno = 77;
  int granted = nn_amx_request(&err) == NN_OK;
  assert_int_equal(nn_amx_permitted(), granted);
  assert_int_equal(errno, saved);
  assert_int_equal(err.text[0] == 0, granted);
  const nn_int_form *last = nn_int_kernels(-1);
  assert_int_equal(strcmp(last->name, "amx") == 0, granted);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(tiles_of_every_height),
      cmocka_unit_test(tiles_of_every_size),
      cmocka_unit_test(many_blocks),
      cmocka_unit_test(saturating_input),
      cmocka_unit_test(largest_sums),
      cmocka_unit_test(pairs_of_words),
      cmocka_unit_test(bytes_of_every_count),
      cmocka_unit_test(bytes_of_rows),
      cmocka_unit_test(bytes_of_every_shift),
      cmocka_unit_test(bytes_at_the_ends),
      cmocka_unit_test(every_cpu),
      cmocka_unit_test(this_cpu),
      cmocka_unit_test(amx_verdicts),
      cmocka_unit_test(amx_request),
  };
  nn_error err;
  nn_amx_request(&err);   /* kernels of tiles run where there are any */
  return cmocka_run_group_tests(tests, NULL, NULL);
}

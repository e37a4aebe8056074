/*
** Resizing: nn_resize against the definition, written down as directly as it
** goes, for every byte; and against what a mean must give.
*/
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "../../nn/nn_int.h"
#include "test_util.h"

/* The definition ---------------------------------------------------------- */

/* The weight of source pixel i in destination pixel d, out of 2^15. */
static int64_t weight_of(int64_t s, int64_t d_size, int area, int64_t d,
                         int64_t i) {
  if (area && d_size < s) {
    int64_t cum[2];
    for (int k = 0; k < 2; k++) {
      /* What d covers before the end of pixel i - 1, then of pixel i. */
      int64_t end = (i + k) * d_size, from = d * s, to = (d + 1) * s;
      int64_t covered = end < from ? 0 : end > to ? s : end - from;
      cum[k] = (covered * 65536 + s) / (2 * s);
    }
    return cum[1] - cum[0];
  }
  int64_t p = (2 * d + 1) * s - d_size;
  if (p < 0) return i == 0 ? 32768 : 0;
  int64_t left = p / (2 * d_size), r = p % (2 * d_size);
  if (left >= s - 1) return i == s - 1 ? 32768 : 0;
  int64_t f = (32768 * r + d_size) / (2 * d_size);
  return i == left ? 32768 - f : i == left + 1 ? f : 0;
}

static void resize_by_definition(const nn_picture *src, int x0, int y0, int w,
                                 int h, int area, int dst_w, int dst_h,
                                 uint8_t *dst) {
  int64_t *row = malloc(sizeof(*row) * (size_t)h);
  if (!row) abort();
  for (int x = 0; x < dst_w; x++) {
    for (int c = 0; c < 3; c++) {
      for (int v = 0; v < h; v++) {
        int64_t sum = 128;
        for (int u = 0; u < w; u++) {
          sum += weight_of(w, dst_w, area, x, u) *
                 src->pixels[(x0 + u) * src->dx + (y0 + v) * src->dy + c];
        }
        row[v] = sum >> 8;
      }
      for (int y = 0; y < dst_h; y++) {
        int64_t sum = (int64_t)1 << 21;
        for (int v = 0; v < h; v++) {
          sum += weight_of(h, dst_h, area, y, v) * row[v];
        }
        dst[(y * dst_w + x) * 3 + c] = (uint8_t)(sum >> 22);
      }
    }
  }
  free(row);
}

/* A picture ---------------------------------------------------------------- */

/* Random pixels seen in one of eight orientations, of 3 or 4 bytes. */
static uint8_t *random_picture(test_rng *rng, int w, int h, int orientation,
                               int step, nn_picture *out) {
  size_t n = (size_t)w * (size_t)h * (size_t)step;
  uint8_t *bytes = malloc(n);
  if (!bytes) abort();
  int extreme = test_below(rng, 4) == 0;
  for (size_t i = 0; i < n; i++) {
    uint64_t r = test_random(rng);
    bytes[i] = (uint8_t)(extreme ? (r & 1) * 255 : r);
  }
  int swap = orientation & 4;
  ptrdiff_t dx = swap ? (ptrdiff_t)step * h : step;
  ptrdiff_t dy = swap ? step : (ptrdiff_t)step * w;
  *out = (nn_picture){bytes, w, h, dx, dy, NULL};
  if (orientation & 1) {
    out->pixels += dx * (w - 1);
    out->dx = -dx;
  }
  if (orientation & 2) {
    out->pixels += dy * (h - 1);
    out->dy = -dy;
  }
  return bytes;
}

static void check(test_rng *rng, int w, int h, int dst_w, int dst_h,
                  int orientation) {
  nn_picture src;
  nn_error err;
  int left = (int)test_below(rng, 3), top = (int)test_below(rng, 3);
  uint8_t *bytes = random_picture(rng, w + left + 1, h + top + 1, orientation,
                                  3 + (int)test_below(rng, 2), &src);
  size_t n = (size_t)dst_w * (size_t)dst_h * 3;
  uint8_t *got = malloc(n), *expected = malloc(n);
  if (!got || !expected) abort();
  for (int area = 0; area < 2; area++) {
    test_memory m;
    test_memory_init(&m, 0xcc);
    assert_int_equal(nn_resize(&m.mem, &src, left, top, w, h,
                               area ? NN_AREA : NN_BILINEAR, dst_w, dst_h, got,
                               &err), NN_OK);
    assert_int_equal(m.live, 0);
    resize_by_definition(&src, left, top, w, h, area, dst_w, dst_h, expected);
    if (memcmp(got, expected, n)) {
      fail_msg("%dx%d to %dx%d, area %d, orientation %d", w, h, dst_w, dst_h,
               area, orientation);
    }
  }
  free(got);
  free(expected);
  free(bytes);
}

/* Tests -------------------------------------------------------------------- */

static void test_weights(void **state) {
  (void)state;
  for (int64_t s = 1; s < 70; s++) {
    for (int64_t d_size = 1; d_size < 70; d_size++) {
      for (int64_t d = 0; d < d_size; d++) {
        for (int area = 0; area < 2; area++) {
          int64_t sum = 0;
          for (int64_t i = 0; i < s; i++) {
            int64_t w = weight_of(s, d_size, area, d, i);
            assert_true(w >= 0 && w <= 32768);
            sum += w;
          }
          assert_int_equal(sum, 32768);
        }
      }
    }
  }
}

static void test_definition(void **state) {
  (void)state;
  test_rng rng = {20150607};
  static const int sides[] = {1, 2, 3, 5, 8, 17};
  for (int i = 0; i < 6 * 6 * 6 * 6; i++) {
    check(&rng, sides[i % 6], sides[i / 6 % 6], sides[i / 36 % 6],
          sides[i / 216], i & 7);
  }
  for (int i = 0; i < 60; i++) {
    int size[4];
    for (int k = 0; k < 4; k++) {
      size[k] = 1 + (int)test_below(&rng, k < 2 ? 60 : 40);
    }
    check(&rng, size[0], size[1], size[2], size[3], i & 7);
  }
  check(&rng, 1500, 1, 3, 2, 0);
  check(&rng, 1, 1500, 2, 7, 5);
}

/* More source pixels than a weight has units: some weigh nothing. */
static void test_very_long(void **state) {
  (void)state;
  nn_picture src;
  nn_error err;
  int n = 200000;
  uint8_t got[3], *bytes = malloc((size_t)n * 3);
  assert_non_null(bytes);
  memset(bytes, 255, (size_t)n * 3);
  for (int turned = 0; turned < 2; turned++) {
    nn_picture_borrow(bytes, turned ? 1 : n, turned ? n : 1, &src);
    assert_int_equal(nn_resize(&nn_memory_libc, &src, 0, 0, src.width,
                               src.height, NN_AREA, 1, 1, got, &err), NN_OK);
    assert_int_equal(got[0] & got[1] & got[2], 255);
  }
  free(bytes);
}

static void test_identity(void **state) {
  (void)state;
  test_rng rng = {7};
  nn_picture src;
  nn_error err;
  uint8_t got[31 * 17 * 3];
  uint8_t *bytes = random_picture(&rng, 31, 17, 0, 3, &src);
  for (int filter = 0; filter < 2; filter++) {
    assert_int_equal(nn_resize(&nn_memory_libc, &src, 0, 0, 31, 17,
                               filter ? NN_AREA : NN_BILINEAR, 31, 17, got,
                               &err), NN_OK);
    assert_memory_equal(got, bytes, sizeof(got));
  }
  free(bytes);
}

/* A flat picture stays as it is, whatever its size becomes. */
static void test_flat(void **state) {
  (void)state;
  uint8_t flat[13 * 13 * 3], got[40 * 40 * 3];
  for (int v = 0; v < 256; v++) {
    nn_picture src;
    nn_error err;
    int side = 1 + v % 40;
    memset(flat, v, sizeof(flat));
    nn_picture_borrow(flat, 13, 13, &src);
    assert_int_equal(nn_resize(&nn_memory_libc, &src, 0, 0, 13, 13,
                               v & 1 ? NN_AREA : NN_BILINEAR, side, 41 - side,
                               got, &err), NN_OK);
    for (int i = 0; i < side * (41 - side) * 3; i++) {
      assert_int_equal(got[i], v);
    }
  }
}

static void test_arguments(void **state) {
  (void)state;
  static const uint8_t pixels[4 * 4 * 3];
  static const int wrong[][6] = {
      {-1, 0, 2, 2, 1, 1}, {0, -1, 2, 2, 1, 1}, {3, 0, 2, 2, 1, 1},
      {0, 3, 2, 2, 1, 1},  {0, 0, 0, 2, 1, 1},  {0, 0, 2, 0, 1, 1},
      {0, 0, 5, 2, 1, 1},  {0, 0, 2, 2, 0, 1},  {0, 0, 2, 2, 1, -1},
      {0, 0, 2, 2, 1 << 30, 1}, {1, 0, 0x7fffffff, 1, 1, 1}};
  uint8_t got[3];
  nn_picture src;
  nn_error err;
  nn_picture_borrow(pixels, 4, 4, &src);
  for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
    const int *a = wrong[i];
    assert_int_equal(nn_resize(&nn_memory_libc, &src, a[0], a[1], a[2], a[3],
                               NN_AREA, a[4], a[5], got, &err), NN_ARGUMENT);
  }
}

static void test_out_of_memory(void **state) {
  (void)state;
  static const uint8_t pixels[4 * 4 * 3];
  uint8_t got[2 * 2 * 3];
  nn_picture src;
  nn_error err;
  nn_picture_borrow(pixels, 4, 4, &src);
  for (long at = 1;; at++) {
    test_memory m;
    test_memory_init(&m, 0);
    m.fail_at = at;
    nn_status status = nn_resize(&m.mem, &src, 0, 0, 4, 4, NN_AREA, 2, 2, got,
                                 &err);
    assert_int_equal(m.live, 0);
    if (m.calls < at) {
      assert_int_equal(status, NN_OK);
      break;
    }
    assert_int_equal(status, NN_NOMEM);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_weights),   cmocka_unit_test(test_definition),
      cmocka_unit_test(test_very_long), cmocka_unit_test(test_identity),
      cmocka_unit_test(test_flat),      cmocka_unit_test(test_arguments),
      cmocka_unit_test(test_out_of_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

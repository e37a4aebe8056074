/*
** Quality: nn_quality against its formula, written down as it stands there, for
** random pictures of many sizes; what it must say of plain, smooth, noisy and
** drawn ones; and its memory.
*/
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "../../nn/pictures.h"
#include "test_util.h"

#define SIDE 300

static uint8_t rgb[SIDE * SIDE * 3];

static int quality_of(const nn_picture *picture) {
  nn_error err;
  int quality = -1;
  assert_int_equal(nn_quality(&nn_memory_libc, picture, &quality, &err), NN_OK);
  assert_true(quality >= 0 && quality <= 100);
  return quality;
}

/* The formula ------------------------------------------------------------- */

static int luma(const uint8_t *small, int w, int x, int y) {
  const uint8_t *p = small + 3 * (y * w + x);
  return (77 * p[0] + 150 * p[1] + 29 * p[2] + 128) / 256;
}

static int q(int a, int b, int c) {
  int d = a - 2 * b + c;
  return 50 * (d < 0 ? -d : d) / 255;
}

static int by_formula(const nn_picture *picture) {
  static uint8_t small[64 * 64 * 3];
  nn_error err;
  long w = picture->width < 64 ? picture->width : 64;
  long h = picture->height < 64 ? picture->height : 64;
  long x_sum = 0, y_sum = 0;
  assert_int_equal(nn_resize(&nn_memory_libc, picture, 0, 0, picture->width,
                             picture->height, NN_AREA, (int)w, (int)h, small,
                             &err), NN_OK);
  for (int y = 0; y < h; y++)
    for (int x = 1; x < w - 1; x++)
      x_sum += q(luma(small, (int)w, x - 1, y), luma(small, (int)w, x, y),
                 luma(small, (int)w, x + 1, y));
  for (int x = 0; x < w; x++)
    for (int y = 1; y < h - 1; y++)
      y_sum += q(luma(small, (int)w, x, y - 1), luma(small, (int)w, x, y),
                 luma(small, (int)w, x, y + 1));
  long quality = (64 * x_sum * w + 64 * y_sum * h) / (w * h * 90);
  return (int)(quality < 100 ? quality : 100);
}

static void random_pictures(void **state) {
  test_rng rng = {11};
  int seen[101] = {0}, distinct = 0;
  (void)state;
  for (int i = 0; i < 3000; i++) {
    nn_picture picture, view;
    int w = 1 + (int)test_below(&rng, i % 3 ? 100 : SIDE);
    int h = 1 + (int)test_below(&rng, i % 4 ? 100 : SIDE);
    int amplitude = 1 + (int)test_below(&rng, i % 2 ? 30 : 255);
    int step = 1 + (int)test_below(&rng, 200);
    for (int j = 0; j < w * h * 3; j++)
      rgb[j] = (uint8_t)(j / step * 7 % 256 * amplitude / 255 +
                         (int)test_below(&rng, 2));
    nn_picture_borrow(rgb, w, h, &picture);
    nn_view(&picture, (int)test_below(&rng, NN_VIEW_COUNT), &view);
    int quality = quality_of(&view);
    assert_int_equal(quality, by_formula(&view));
    distinct += !seen[quality]++;
  }
  assert_true(distinct > 50);
}

/* What it must say -------------------------------------------------------- */

typedef double painter(double x, double y);

static int painted(painter *paint, int w, int h) {
  nn_picture picture;
  for (int y = 0; y < h; y++)
    for (int x = 0; x < w; x++) {
      double v = paint(x / (w - 1.0), y / (h - 1.0)) * 255;
      memset(rgb + 3 * (y * w + x), v < 0 ? 0 : v > 255 ? 255 : (int)(v + 0.5),
             3);
    }
  nn_picture_borrow(rgb, w, h, &picture);
  return quality_of(&picture);
}

static test_rng noise_rng = {5};
static double noise(void) {
  return (double)test_below(&noise_rng, 1 << 20) / (1 << 20);
}

static double plain(double x, double y) { return (void)x, (void)y, 0.4; }
static double ramp(double x, double y) { return (void)y, x; }
static double diagonal(double x, double y) { return (x + y) / 2; }
static double round_ramp(double x, double y) {
  return 1 - ((x - 0.5) * (x - 0.5) + (y - 0.5) * (y - 0.5)) * 2;
}
static double dark(double x, double y) {
  return (void)x, (void)y, noise() / 80;
}
static double grain(double x, double y) { return x / 2 + y / 3 + noise() / 10; }
static double edge(double x, double y) { return (void)y, x > 0.5; }
static double bars(double x, double y) {
  return (void)y, (int)(x * 16) % 2 ? 0.8 : 0.2;
}
static double blocks(double x, double y) {
  int i = (int)(x * 20) * 31 + (int)(y * 20) * 17;
  return i * i % 23 / 22.0;
}
static double static_noise(double x, double y) {
  return (void)x, (void)y, noise();
}

static void kinds_of_pictures(void **state) {
  static const int sides[][2] = {{300, 300}, {300, 200}, {64, 64}, {100, 290}};
  (void)state;
  for (int i = 0; i < 4; i++) {
    int w = sides[i][0], h = sides[i][1];
    assert_int_equal(painted(plain, w, h), 0);
    assert_in_range(painted(ramp, w, h), 0, 1);
    assert_in_range(painted(diagonal, w, h), 0, 1);
    assert_in_range(painted(round_ramp, w, h), 0, 1);
    assert_in_range(painted(dark, w, h), 0, 5);
    assert_in_range(painted(edge, w, h), 40, 80);
    assert_int_equal(painted(bars, w, h), 100);
    assert_int_equal(painted(blocks, w, h), 100);
    assert_int_equal(painted(static_noise, w, h), 100);
  }
  assert_in_range(painted(grain, 300, 300), 0, 15);
  assert_int_equal(painted(ramp, 2, 2), 0);
}

static void one_pixel_wide(void **state) {
  nn_picture picture;
  (void)state;
  for (int n = 1; n <= SIDE; n++) {
    for (int i = 0; i < 3 * n; i++) rgb[i] = (uint8_t)(i / 3 % 2 * 255);
    nn_picture_borrow(rgb, n, 1, &picture);
    int along = quality_of(&picture);
    nn_picture_borrow(rgb, 1, n, &picture);
    assert_int_equal(quality_of(&picture), along);
    assert_int_equal(along, by_formula(&picture));
    if (n < 3) assert_int_equal(along, 0);
    else if (n <= 64) assert_true(along > 0);
  }
}

static void memory(void **state) {
  test_memory m;
  nn_error err;
  nn_picture picture;
  int quality;
  (void)state;
  nn_picture_borrow(rgb, 100, 100, &picture);
  test_memory_init(&m, 0xa5);
  assert_int_equal(nn_quality(&m.mem, &picture, &quality, &err), NN_OK);
  long calls = m.calls;
  for (long i = 1; i <= calls; i++) {
    test_memory_init(&m, 0xa5);
    m.fail_at = i;
    assert_int_equal(nn_quality(&m.mem, &picture, &quality, &err), NN_NOMEM);
    assert_int_equal(m.live, 0);
  }
  assert_true(calls > 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(random_pictures),
      cmocka_unit_test(kinds_of_pictures),
      cmocka_unit_test(one_pixel_wide),
      cmocka_unit_test(memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

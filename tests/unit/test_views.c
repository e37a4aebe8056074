/*
** Views: every pixel of every view against what its name says, for pictures of
** all small sizes, and for views of views.
*/
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "../../nn/pictures.h"
#include "test_util.h"

static const uint8_t *pixel(const nn_picture *p, int x, int y) {
  assert_true(x >= 0 && x < p->width && y >= 0 && y < p->height);
  return p->pixels + x * p->dx + y * p->dy;
}

/* Where the pixel (x, y) of a view of a w x h picture comes from. */
static void origin(const char *name, int w, int h, int x, int y, int *u,
                   int *v) {
  int cw = (int)(w * 0.8 + 0.5), ch = (int)(h * 0.8 + 0.5);
  *u = x, *v = y;
  if (!strcmp(name, "identity")) return;
  if (!strcmp(name, "flip")) *u = w - 1 - x;
  else if (!strcmp(name, "flip_vertical")) *v = h - 1 - y;
  else if (!strcmp(name, "rotate180")) *u = w - 1 - x, *v = h - 1 - y;
  /* Clockwise: the first row comes from the left column, read upwards. */
  else if (!strcmp(name, "rotate90")) *u = y, *v = h - 1 - x;
  else if (!strcmp(name, "rotate270")) *u = w - 1 - y, *v = x;
  else if (!strcmp(name, "transpose")) *u = y, *v = x;
  else if (!strcmp(name, "transverse")) *u = w - 1 - y, *v = h - 1 - x;
  else if (!strcmp(name, "centre")) *u += (w - cw) / 2, *v += (h - ch) / 2;
  else if (!strcmp(name, "top_right")) *u += w - cw;
  else if (!strcmp(name, "bottom_left")) *v += h - ch;
  else if (!strcmp(name, "bottom_right")) *u += w - cw, *v += h - ch;
  else assert_string_equal(name, "top_left");
}

static void check_views(const nn_picture *picture) {
  int w = picture->width, h = picture->height;
  for (int view = 0; view < NN_VIEW_COUNT; view++) {
    nn_picture out;
    const char *name = nn_view_name(view);
    nn_view(picture, view, &out);
    int turned = !strcmp(name, "rotate90") || !strcmp(name, "rotate270") ||
                 !strncmp(name, "trans", 5);
    int crop = strchr("ctb", name[0]) && !turned;
    assert_int_equal(out.width, turned ? h : crop ? (int)(w * 0.8 + 0.5) : w);
    assert_int_equal(out.height, turned ? w : crop ? (int)(h * 0.8 + 0.5) : h);
    assert_null(out.owned);
    for (int y = 0; y < out.height; y++)
      for (int x = 0; x < out.width; x++) {
        int u, v;
        origin(name, w, h, x, y, &u, &v);
        assert_ptr_equal(pixel(&out, x, y), pixel(picture, u, v));
      }
  }
}

static void every_size(void **state) {
  static uint8_t rgb[13 * 13 * 3];
  (void)state;
  for (int h = 1; h <= 13; h++)
    for (int w = 1; w <= 13; w++) {
      nn_picture picture, turned;
      nn_picture_borrow(rgb, w, h, &picture);
      check_views(&picture);
      for (int view = 1; view < NN_VIEW_COUNT; view++) {
        nn_view(&picture, view, &turned);
        check_views(&turned);
      }
    }
}

/* The largest sides that there are: no product leaves 31 bits. */
static void large_sides(void **state) {
  static uint8_t byte;
  nn_picture picture = {&byte, INT32_MAX, 1, 0, 0, NULL}, out;
  (void)state;
  for (int view = 0; view < NN_VIEW_COUNT; view++) {
    nn_view(&picture, view, &out);
    assert_true(out.width == INT32_MAX || out.height == INT32_MAX ||
                out.width == 1717986918);
  }
}

static void sets(void **state) {
  static const char *const expected[][9] = {
      {"flip", "identity", "flip"},
      {"d4", "identity", "flip", "rotate90", "rotate180", "rotate270",
       "flip_vertical", "transpose", "transverse"},
      {"crops5", "identity", "centre", "top_left", "top_right", "bottom_left",
       "bottom_right"},
  };
  (void)state;
  for (int i = 0; i < 3; i++) {
    int set = nn_view_set(expected[i][0]), n = 0;
    assert_true(set >= 0);
    while (n < 8 && expected[i][n + 1]) n++;
    assert_int_equal(nn_view_set_size(set), n);
    for (int j = 0; j < n; j++)
      assert_string_equal(nn_view_name(nn_view_of_set(set, j)),
                          expected[i][j + 1]);
    assert_int_equal(nn_view_of_set(set, 0), NN_VIEW_IDENTITY);
  }
  assert_int_equal(nn_view_set("D4"), -1);
  assert_int_equal(nn_view_set(""), -1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_size),
      cmocka_unit_test(large_sides),
      cmocka_unit_test(sets),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

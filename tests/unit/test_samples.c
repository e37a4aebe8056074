/*
** The samples of JPEGs at reduced scale, against those of libjpeg-turbo where
** that is installed; how they are laid out, resized and coloured, against plain
** definitions.
*/
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#ifdef HAVE_LIBJPEG
#include <jpeglib.h>
#endif

#include "../../nn/jpeg.h"
#include "../../nn/pictures.h"
#include "flat_jpeg.h"
#include "test_util.h"

typedef struct file {
  char name[64];
  uint8_t *bytes;
  size_t n;
} file;

static file files[128];
static int file_count;

static int load_files(void **state) {
  (void)state;
  char line[200], path[300];
  FILE *f = fopen(test_path("golden/reduced.txt"), "r");
  if (!f) return -1;
  while (file_count < 128 && fgets(line, sizeof(line), f)) {
    file *one = &files[file_count];
    sscanf(line, "%63s", one->name);
    snprintf(path, sizeof(path), "golden/pictures/%s", one->name);
    one->bytes = test_read_file(test_path(path), &one->n);
    if (!one->bytes) return -1;
    file_count++;
  }
  fclose(f);
  return file_count > 50 ? 0 : -1;
}

static int free_files(void **state) {
  (void)state;
  for (int i = 0; i < file_count; i++) free(files[i].bytes);
  return 0;
}

/* libjpeg-turbo ----------------------------------------------------------- */

#ifdef HAVE_LIBJPEG

/* Rows of a component as libjpeg gives them; NULL when it does not read the
** file.  scale[] gets what libjpeg chose, size[] how many samples count. */
typedef struct theirs {
  int components, scale[4], width[4], height[4];
  uint8_t *rows[4];
  size_t stride[4];
} theirs;

static void theirs_take(theirs *t, const struct jpeg_decompress_struct *d) {
  t->components = d->num_components;
  for (int i = 0; i < t->components; i++) {
    const jpeg_component_info *c = &d->comp_info[i];
    t->scale[i] = c->DCT_scaled_size;
    t->width[i] = (int)c->downsampled_width;
    t->height[i] = (int)c->downsampled_height;
    t->stride[i] = (size_t)c->width_in_blocks * 8 + 64;
    /* A unit more than there is: the last call fills it up. */
    t->rows[i] = calloc(t->stride[i], (size_t)t->height[i] + 128);
    if (!t->rows[i]) abort();
  }
}

/* What it thinks of files without an end is not for the terminal. */
static void theirs_quiet(j_common_ptr d, int level) {
  (void)d;
  (void)level;
}

static void theirs_read(theirs *t, const file *f, unsigned scale) {
  struct jpeg_decompress_struct d;
  struct jpeg_error_mgr e;
  d.err = jpeg_std_error(&e);
  e.emit_message = theirs_quiet;
  jpeg_create_decompress(&d);
  jpeg_mem_src(&d, f->bytes, f->n);
  jpeg_read_header(&d, TRUE);
  d.raw_data_out = TRUE;
  d.dct_method = JDCT_ISLOW;
  d.scale_num = scale;
  d.scale_denom = 8;
  d.do_block_smoothing = FALSE;
  d.out_color_space = d.jpeg_color_space;
  jpeg_start_decompress(&d);
  theirs_take(t, &d);
  for (int unit = 0; d.output_scanline < d.output_height; unit++) {
    JSAMPROW lines[4][32];
    JSAMPARRAY arrays[4];
    for (int i = 0; i < t->components; i++) {
      int rows = d.comp_info[i].v_samp_factor * t->scale[i];
      for (int r = 0; r < rows; r++) {
        lines[i][r] = t->rows[i] + (size_t)(unit * rows + r) * t->stride[i];
      }
      arrays[i] = lines[i];
    }
    jpeg_read_raw_data(&d, arrays, (JDIMENSION)(d.max_v_samp_factor *
                                                (int)scale));
  }
  jpeg_abort_decompress(&d);
  jpeg_destroy_decompress(&d);
}

static void compare_samples(const file *f, const theirs *t) {
  nn_jpeg jpeg;
  nn_error err;
  memset(&jpeg, 0, sizeof(jpeg));
  assert_int_equal(nn_jpeg_open(&jpeg, f->bytes, f->n, &err), NN_OK);
  assert_int_equal(jpeg.components, t->components);
  for (int i = 0; i < t->components; i++) {
    jpeg.component[i].scale = t->scale[i];
  }
  assert_int_equal(nn_jpeg_reduce_opened(&nn_memory_libc, &jpeg, &err), NN_OK);
  for (int i = 0; i < t->components; i++) {
    const nn_jpeg_component *c = &jpeg.component[i];
    size_t stride = (size_t)c->stride * (size_t)c->scale;
    for (int y = 0; y < t->height[i]; y++) {
      const uint8_t *a = c->samples + (size_t)y * stride;
      if (memcmp(a, t->rows[i] + (size_t)y * t->stride[i],
                 (size_t)t->width[i])) {
        fail_msg("%s, component %d at %d, row %d", f->name, i, t->scale[i], y);
      }
    }
  }
  nn_jpeg_reduce_free(&nn_memory_libc, &jpeg);
}

static void same_as_libjpeg(void **state) {
  (void)state;
  int compared[9] = {0};
  for (int i = 0; i < file_count; i++) {
    for (unsigned scale = 1; scale <= 8; scale *= 2) {
      theirs t;
      memset(&t, 0, sizeof(t));
      theirs_read(&t, &files[i], scale);
      compare_samples(&files[i], &t);
      for (int c = 0; c < t.components; c++) {
        compared[t.scale[c]]++;
        free(t.rows[c]);
      }
    }
  }
  for (int scale = 1; scale <= 8; scale *= 2) assert_true(compared[scale] > 99);
}

#else

static void same_as_libjpeg(void **state) {
  (void)state;
  print_message("libjpeg is not installed: samples are not compared\n");
  skip();
}

#endif

/* Layout ------------------------------------------------------------------ */

static const int sides[][2] = {{2, 2}, {4, 4}, {4, 5}, {8, 3}, {16, 11}};

static void decode(const file *f, const int side[2], nn_picture *picture) {
  nn_preprocess p = {.reduced = 1, .area = 1, .width = side[0],
                     .height = side[1]};
  nn_error err;
  assert_int_equal(nn_picture_decode_as(&nn_memory_libc, &p, f->bytes, f->n,
                                        1 << 24, picture, &err), NN_OK);
}

/* A channel with each sample repeated over its pixels, as grey RGB24. */
static uint8_t *spread(const nn_picture *picture, const nn_channel *c) {
  uint8_t *rgb = malloc((size_t)picture->width * (size_t)picture->height * 3);
  uint8_t *to = rgb;
  if (!rgb) abort();
  for (int y = 0; y < picture->height; y++) {
    int v = (y - c->origin[1]) / c->unit[1];
    for (int x = 0; x < picture->width; x++, to += 3) {
      int u = (x - c->origin[0]) / c->unit[0];
      assert_true(u >= 0 && u < c->count[0] && v >= 0 && v < c->count[1]);
      to[0] = to[1] = to[2] = c->samples[u * c->step[0] + v * c->step[1]];
    }
  }
  return rgb;
}

static int64_t floor_div(int64_t a, int64_t b) {
  return a / b - (a % b < 0);
}

static int64_t within(int64_t x, int64_t most) {
  return x < 0 ? 0 : x > most ? most : x;
}

/* The weight of each sample of an axis for destination pixel d of D, as
** weights/README.md says: S pixels from pixel `at` on, of a channel. */
static void weights_of(const nn_channel *c, int axis, int at, int64_t S,
                       int64_t D, int d, int64_t *weight) {
  int64_t U = c->unit[axis] * D, before = 0;
  int count = c->count[axis];
  memset(weight, 0, sizeof(*weight) * (size_t)count);
  for (int i = 0; i < count; i++) {
    int64_t start = (c->origin[axis] - at + (int64_t)i * c->unit[axis]) * D;
    int64_t from = d * S - start, to = from + S;
    from = from < 0 ? 0 : from > U ? U : from;
    to = to < 0 ? 0 : to > U ? U : to;
    int64_t covered = start + U - d * S;
    covered = covered < 0 ? 0 : covered > S ? S : covered;
    int64_t sum = floor_div((covered << 16) + S, 2 * S);
    weight[i] += sum - before;
    before = sum;
    if (c->unit[axis] == 1 || from == to) continue;
    int64_t e = floor_div((to - from) * (from + to - U) * 32768 + 2 * S * U,
                          4 * S * U);
    weight[i + 1 < count ? i + 1 : i] += e;
    weight[i > 0 ? i - 1 : i] -= e;
  }
}

/* A channel of a rectangle as side[0] x side[1] values in units of 1/256. */
static void resize_slowly(const nn_channel *c, const int at[2],
                          const int size[2], const int side[2], uint16_t *to) {
  static int64_t across[64], down[64];
  assert_true(c->count[0] <= 64 && c->count[1] <= 64);
  for (int y = 0; y < side[1]; y++) {
    weights_of(c, 1, at[1], size[1], side[1], y, down);
    for (int x = 0; x < side[0]; x++) {
      int64_t sum = 1 << 13;
      weights_of(c, 0, at[0], size[0], side[0], x, across);
      for (int v = 0; v < c->count[1]; v++) {
        int64_t row = 128;
        for (int u = 0; u < c->count[0]; u++) {
          row += across[u] * c->samples[u * c->step[0] + v * c->step[1]];
        }
        sum += down[v] * within(floor_div(row, 256), 32640);
      }
      *to++ = (uint16_t)within(floor_div(sum, 1 << 14), 65280);
    }
  }
}

/* A rectangle of the channels is resized by that rule. */
static void check_rectangle(const nn_picture *p, int x, int y, int w, int h,
                            const int side[2]) {
  static uint16_t planes[4][256];
  uint8_t rgb[768], expected[768];
  const uint16_t *from[4] = {planes[0], planes[1], planes[2], planes[3]};
  size_t n = (size_t)(side[0] * side[1]);
  nn_error err;
  for (int i = 0; i < p->channels; i++) {
    resize_slowly(&p->channel[i], (int[]){x, y}, (int[]){w, h}, side,
                  planes[i]);
  }
  nn_colours_convert(p->colours, from, n, expected);
  assert_int_equal(nn_resize(&nn_memory_libc, p, x, y, w, h, NN_AREA, side[0],
                             side[1], rgb, &err), NN_OK);
  assert_memory_equal(rgb, expected, 3 * n);
}

/* Pixels that rise evenly along an axis are resized alike, within what rounding
** leaves, whether they come as samples or not; but where a sample has no other
** beside it. */
static void check_slope(int axis, int unit, int d) {
  enum { SIDE = 240, MOST = 24 };
  static uint8_t pixels[SIDE][SIDE][3], samples[SIDE * SIDE];
  uint8_t whole[MOST * MOST * 3], reduced[MOST * MOST * 3];
  int count = SIDE / unit;
  nn_error err;
  for (int i = 0; i < SIDE * SIDE; i++) {
    int at = axis ? i / SIDE : i % SIDE;
    memset(pixels[i / SIDE][i % SIDE], 8 + at, 3);
  }
  for (int i = 0; i < count * count; i++) {
    int at = axis ? i / count : i % count;
    samples[i] = (uint8_t)(8 + at * unit + unit / 2);
  }
  nn_picture full, p = {.width = SIDE, .height = SIDE, .channels = 1,
                        .colours = NN_COLOURS_GREY};
  p.channel[0] = (nn_channel){samples, {1, count}, {count, count},
                              {unit, unit}, {0, 0}};
  nn_picture_borrow(pixels[0][0], SIDE, SIDE, &full);
  assert_int_equal(nn_resize(&nn_memory_libc, &full, 0, 0, SIDE, SIDE, NN_AREA,
                             d, d, whole, &err), NN_OK);
  assert_int_equal(nn_resize(&nn_memory_libc, &p, 0, 0, SIDE, SIDE, NN_AREA, d,
                             d, reduced, &err), NN_OK);
  for (int i = 0; i < d * d; i++) {
    int at = axis ? i / d : i % d, off = abs(whole[3 * i] - reduced[3 * i]);
    int inside = at * SIDE >= unit * d && (at + 1) * SIDE <= (SIDE - unit) * d;
    if (inside && off > 1) {
      fail_msg("axis %d, unit %d, %d pixels: %d off", axis, unit, d, off);
    }
  }
}

static void even_slopes(void **state) {
  (void)state;
  for (int axis = 0; axis < 2; axis++) {
    for (int unit = 2; unit <= 16; unit *= 2) {
      for (int d = 5; d <= 23; d += 2) check_slope(axis, unit, d);
    }
  }
}

static void resized_as_defined(void **state) {
  (void)state;
  int reduced = 0;
  for (int i = 0; i < file_count; i++) {
    for (size_t k = 0; k < sizeof(sides) / sizeof(*sides); k++) {
      nn_picture picture, view;
      decode(&files[i], sides[k], &picture);
      for (int v = 0; picture.channels && v < NN_VIEW_COUNT; v++) {
        nn_view(&picture, v, &view);
        int w = view.width, h = view.height;
        check_rectangle(&view, 0, 0, w, h, sides[k]);
        if (w > 24 && h > 24) check_rectangle(&view, 5, 3, w - 9, h - 7,
                                              sides[k]);
        reduced++;
      }
      nn_picture_free(&nn_memory_libc, &picture);
    }
  }
  assert_true(reduced > 1000);
}

/* A view shows the samples that the picture has, in its places: each sample is
** where the pixel of a full picture would be. */
static void views_of_samples(void **state) {
  (void)state;
  for (int i = 0; i < file_count; i++) {
    nn_picture picture;
    decode(&files[i], sides[1], &picture);
    for (int c = 0; c < picture.channels; c++) {
      nn_picture full, view, full_view;
      uint8_t *pixels = spread(&picture, &picture.channel[c]);
      nn_picture_borrow(pixels, picture.width, picture.height, &full);
      for (int v = 0; v < NN_VIEW_COUNT; v++) {
        nn_view(&picture, v, &view);
        nn_view(&full, v, &full_view);
        assert_int_equal(view.width, full_view.width);
        assert_int_equal(view.height, full_view.height);
        uint8_t *shown = spread(&view, &view.channel[c]), *at = shown;
        for (int y = 0; y < view.height; y++) {
          for (int x = 0; x < view.width; x++, at += 3) {
            assert_int_equal(*at, full_view.pixels[x * full_view.dx +
                                                   y * full_view.dy]);
          }
        }
        free(shown);
      }
      free(pixels);
    }
    nn_picture_free(&nn_memory_libc, &picture);
  }
}

/* Colours ----------------------------------------------------------------- */

/* A picture of flat blocks, one for each pixel of the network: nothing is
** averaged, so the colours are stb_image's own. */
static void colours(void **state) {
  (void)state;
  static const struct {
    int components, adobe;
    const char *ids;
    nn_colours colours;
  } cases[] = {{1, -1, NULL, NN_COLOURS_GREY}, {3, -1, NULL, NN_COLOURS_YCC},
               {3, 1, NULL, NN_COLOURS_YCC},   {3, 0, NULL, NN_COLOURS_RGB},
               {3, -1, "RGB", NN_COLOURS_RGB}, {4, 0, NULL, NN_COLOURS_CMYK},
               {4, 2, NULL, NN_COLOURS_YCCK}};
  enum { SIDE = 96 };
  for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
    flat_jpeg j = {.width = 8 * SIDE, .height = 8 * SIDE,
                   .components = cases[i].components, .h = 1, .v = 1,
                   .adobe = cases[i].adobe, .ids = cases[i].ids,
                   .seed = 77 + i};
    nn_preprocess p = {.reduced = 1, .area = 1, .width = SIDE, .height = SIDE};
    static uint8_t rgb[SIDE * SIDE * 3];
    nn_picture full, reduced;
    nn_error err;
    flat_jpeg_write(&j);
    assert_int_equal(nn_picture_decode(&nn_memory_libc, j.bytes, j.n, 1 << 24,
                                       &full, &err), NN_OK);
    assert_int_equal(nn_picture_decode_as(&nn_memory_libc, &p, j.bytes, j.n,
                                          1 << 24, &reduced, &err), NN_OK);
    assert_int_equal(reduced.channels, cases[i].components);
    assert_int_equal(reduced.colours, cases[i].colours);
    assert_int_equal(nn_resize(&nn_memory_libc, &reduced, 0, 0, 8 * SIDE,
                               8 * SIDE, NN_AREA, SIDE, SIDE, rgb, &err),
                     NN_OK);
    for (int k = 0; k < SIDE * SIDE; k++) {
      const uint8_t *pixel = full.pixels + (k % SIDE * 8 + 3) * full.dx +
                             (k / SIDE * 8 + 4) * full.dy;
      if (memcmp(pixel, rgb + 3 * k, 3)) fail_msg("case %zu, block %d", i, k);
    }
    nn_picture_free(&nn_memory_libc, &full);
    nn_picture_free(&nn_memory_libc, &reduced);
    free(j.bytes);
  }
}

/* The transforms ---------------------------------------------------------- */

/* Each sample is within 1 of the mean, in real numbers, of the samples that it
** stands for. */
static void means_of_the_full_transform(void **state) {
  (void)state;
  static const double cosines[8] = {1, 0.98078528040323044913,
      0.92387953251128675613, 0.83146961230254523708, 0.70710678118654752440,
      0.55557023301960222474, 0.38268343236508977173, 0.19509032201612826785};
  test_rng rng = {99};
  for (int round = 0; round < 3000; round++) {
    int32_t value[64] = {0};
    double full[64];
    for (int i = (int)test_below(&rng, 20); i >= 0; i--) {
      value[test_below(&rng, 64)] = (int)test_below(&rng, 301) - 150;
    }
    for (int at = 0; at < 64; at++) {
      full[at] = 128;
      for (int k = 0; k < 64; k++) {
        double wave = value[k] / 4.0;
        int turn[2] = {(2 * (at / 8) + 1) * (k / 8), (2 * (at % 8) + 1) *
                                                         (k % 8)};
        for (int axis = 0; axis < 2; axis++) {
          int t = turn[axis] % 32;
          if (t > 16) t = 32 - t;
          wave *= t == 8 ? 0 : t < 8 ? cosines[t] : -cosines[16 - t];
        }
        if (k / 8 == 0) wave *= cosines[4];
        if (k % 8 == 0) wave *= cosines[4];
        full[at] += wave;
      }
    }
    for (int n = 1; n <= 8; n *= 2) {
      uint8_t out[64];
      if (n == 1) out[0] = nn_jpeg_mean(value[0]);
      else nn_jpeg_inverse(value, 255, n, out, (size_t)n);
      for (int at = 0; at < n * n; at++) {
        double mean = 0;
        for (int k = 0; k < 64; k++) {
          if (k / 8 / (8 / n) == at / n && k % 8 / (8 / n) == at % n) {
            mean += full[k] * n * n / 64;
          }
        }
        mean = mean < 0 ? 0 : mean > 255 ? 255 : mean;
        assert_true(out[at] - mean < 0.6 && mean - out[at] < 0.6);
      }
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(same_as_libjpeg),
      cmocka_unit_test(resized_as_defined),
      cmocka_unit_test(even_slopes),
      cmocka_unit_test(views_of_samples),
      cmocka_unit_test(colours),
      cmocka_unit_test(means_of_the_full_transform),
  };
  return cmocka_run_group_tests(tests, load_files, free_files);
}

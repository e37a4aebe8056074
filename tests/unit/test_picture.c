/*
** Pictures: golden pixels, and everything that must be refused.
**
** tests/golden/pictures.txt has a line per picture: name, width, height,
** channels, orientation, the smallest number of its bytes that still decodes,
** and the hash of its pixels.  `test_picture --print` writes such lines.  The
** hashes hold for every build; the Makefile runs this test a second time with
** nn/picture.c compiled with -DNN_STB_NO_SIMD.
**
** tests/golden/broken.txt has a line per file that is refused: name, and a part
** of the sentence that says why.
*/
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "../../nn/nn_int.h"
#include "test_util.h"

#define MAX_PIXELS ((uint64_t)1 << 24)

typedef struct golden {
  char name[64];
  int width, height, channels, orientation;
  size_t whole;
  unsigned long long hash;
  uint8_t *bytes;
  size_t n;
} golden;

static golden *goldens;
static int golden_count;

static uint8_t *read_golden(const char *folder, const char *name, size_t *n) {
  char path[300];
  snprintf(path, sizeof(path), "golden/%s/%s", folder, name);
  return test_read_file(test_path(path), n);
}

static int load_goldens(void **state) {
  (void)state;
  FILE *f = fopen(test_path("golden/pictures.txt"), "r");
  if (!f) return -1;
  golden g;
  memset(&g, 0, sizeof(g));
  while (fscanf(f, "%63s %d %d %d %d %zu %llx", g.name, &g.width, &g.height,
                &g.channels, &g.orientation, &g.whole, &g.hash) == 7) {
    golden *more = realloc(goldens, sizeof(g) * (size_t)(golden_count + 1));
    if (!more) abort();
    goldens = more;
    g.bytes = read_golden("pictures", g.name, &g.n);
    if (!g.bytes) return -1;
    goldens[golden_count++] = g;
  }
  fclose(f);
  return golden_count > 100 ? 0 : -1;
}

static int free_goldens(void **state) {
  (void)state;
  for (int i = 0; i < golden_count; i++) free(goldens[i].bytes);
  free(goldens);
  return 0;
}

static const golden *find_golden(const char *name) {
  for (int i = 0; i < golden_count; i++) {
    if (!strcmp(goldens[i].name, name)) return &goldens[i];
  }
  fail_msg("no picture %s", name);
  return NULL;
}

/* Decode; the hash, or 0 with the error. */
static uint64_t decode_with(test_memory *m, const void *bytes, size_t n,
                            nn_error *err) {
  nn_picture picture;
  err->status = NN_OK;
  err->text[0] = 0;
  nn_status status =
      nn_picture_decode(&m->mem, bytes, n, MAX_PIXELS, &picture, err);
  assert_int_equal(status, err->status);
  if (status) {
    assert_true(strlen(err->text) > 5);
    return 0;
  }
  uint64_t hash = test_hash_picture(&picture);
  nn_picture_free(&m->mem, &picture);
  return hash;
}

static uint64_t decode(const void *bytes, size_t n, nn_error *err) {
  test_memory m;
  test_memory_init(&m, 0xa5);
  uint64_t hash = decode_with(&m, bytes, n, err);
  assert_int_equal(m.live, 0);
  return hash;
}

static void assert_refused(const void *bytes, size_t n, const char *why) {
  nn_error err;
  uint8_t *copy = test_copy(bytes, n);
  assert_int_equal(decode(copy, n, &err), 0);
  if (!strstr(err.text, why)) fail_msg("'%s' lacks '%s'", err.text, why);
  free(copy);
}

/* Golden pictures --------------------------------------------------------- */

static void test_golden_pixels(void **state) {
  (void)state;
  for (int i = 0; i < golden_count; i++) {
    const golden *g = &goldens[i];
    nn_error err;
    nn_picture_info info;
    assert_int_equal(nn_picture_read_info(g->bytes, g->n, &info, &err), NN_OK);
    assert_int_equal(info.width, g->width);
    assert_int_equal(info.height, g->height);
    assert_int_equal(info.channels, g->channels);
    assert_int_equal(info.orientation, g->orientation);
    uint64_t hash = decode(g->bytes, g->n, &err);
    if (hash != g->hash) {
      fail_msg("%s: %llx, not %llx %s", g->name, (unsigned long long)hash,
               g->hash, err.text);
    }
  }
}

/* Two pictures of the same pixels, coded differently. */
static void test_same_pixels(void **state) {
  (void)state;
  static const char *const pairs[][2] = {
      {"420.jpg", "420-progressive.jpg"}, {"444.jpg", "444-progressive.jpg"},
      {"420.jpg", "restart.jpg"},
      {"420.jpg", "restart-progressive.jpg"},
      {"420.jpg", "optimized.jpg"},       {"420.jpg", "separate.jpg"},
      {"420.jpg", "restart-last.jpg"},    {"420.jpg", "padded-head.jpg"},
      {"420.jpg", "two-and-one.jpg"},     {"420.jpg", "no-eoi.jpg"},
      {"420.jpg", "trailing.jpg"},        {"420.jpg", "fill-bytes.jpg"},
      {"420.jpg", "extended.jpg"},        {"420.jpg", "wide-quantisers.jpg"},
      {"420.jpg", "padded-scan.jpg"},     {"grey.jpg", "grey-2x2.jpg"},
      {"420.jpg", "exif-1.jpg"},          {"exif-6.jpg", "exif-first.jpg"},
      {"420.jpg", "exif-cut.jpg"},        {"420.jpg", "exif-far.jpg"},
      {"cmyk.jpg", "cmyk-progressive.jpg"},
      {"rgb-8.png", "rgb-8-interlaced.png"},
      {"rgb-8.png", "rgb-16.png"},        {"rgb-8.png", "split.png"},
      {"grey-alpha-8.png", "grey-alpha-16-interlaced.png"},
      {"grey-1.png", "grey-1-interlaced.png"},
      {"rgb-trns.png", "rgb-16-trns.png"}, {"rgb-8.png", "24.bmp"},
      {"rgb-8.png", "24-top-down.bmp"},   {"rgb-8.png", "24-core.bmp"},
      {"rgb-8.png", "32-no-alpha.bmp"},   {"rgb-alpha-8.png", "32.bmp"},
      {"32.bmp", "32-masks.bmp"},         {"grey-8.png", "grey.bmp"},
      {"plain.gif", "interlaced.gif"},    {"plain.gif", "two-frames.gif"}};
  for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
    if (find_golden(pairs[i][0])->hash != find_golden(pairs[i][1])->hash) {
      fail_msg("%s and %s differ", pairs[i][0], pairs[i][1]);
    }
  }
}

/* Each orientation moves pixels as EXIF says. */
static void test_orientation(void **state) {
  (void)state;
  nn_error err;
  nn_picture plain, turned;
  const golden *g = find_golden("exif-1.jpg");
  assert_int_equal(nn_picture_decode(&nn_memory_libc, g->bytes, g->n,
                                     MAX_PIXELS, &plain, &err), NN_OK);
  int w = plain.width, h = plain.height;
  for (int o = 1; o <= 8; o++) {
    char name[32];
    snprintf(name, sizeof(name), "exif-%d.jpg", o);
    g = find_golden(name);
    assert_int_equal(nn_picture_decode(&nn_memory_libc, g->bytes, g->n,
                                       MAX_PIXELS, &turned, &err), NN_OK);
    assert_int_equal(turned.width, o < 5 ? w : h);
    assert_int_equal(turned.height, o < 5 ? h : w);
    for (int y = 0; y < turned.height; y++) {
      for (int x = 0; x < turned.width; x++) {
        const int from[9][2] = {{0, 0},         {x, y},
                                {w - 1 - x, y}, {w - 1 - x, h - 1 - y},
                                {x, h - 1 - y}, {y, x},
                                {y, h - 1 - x}, {w - 1 - y, h - 1 - x},
                                {w - 1 - y, x}};
        assert_memory_equal(
            turned.pixels + x * turned.dx + y * turned.dy,
            plain.pixels + from[o][0] * plain.dx + from[o][1] * plain.dy, 3);
      }
    }
    nn_picture_free(&nn_memory_libc, &turned);
  }
  nn_picture_free(&nn_memory_libc, &plain);
}

/* Broken pictures --------------------------------------------------------- */

/* Of every length only those from `whole` on decode, to the same pixels. */
static void test_truncated(void **state) {
  (void)state;
  for (int i = 0; i < golden_count; i++) {
    const golden *g = &goldens[i];
    for (size_t n = 0; n < g->n; n++) {
      nn_error err;
      uint8_t *cut = test_copy(g->bytes, n);
      uint64_t hash = decode(cut, n, &err);
      free(cut);
      if (hash != (n < g->whole ? 0 : g->hash)) {
        fail_msg("%s, %zu of %zu bytes: %llx %s", g->name, n, g->n,
                 (unsigned long long)hash, err.text);
      }
    }
  }
}

static void test_broken(void **state) {
  (void)state;
  FILE *f = fopen(test_path("golden/broken.txt"), "r");
  assert_non_null(f);
  char line[200];
  int count = 0;
  for (; fgets(line, sizeof(line), f); count++) {
    line[strcspn(line, "\n")] = 0;
    char *why = strchr(line, ' ');
    assert_non_null(why);
    *why++ = 0;
    size_t n = 0;
    uint8_t *bytes = read_golden("broken", line, &n);
    assert_non_null(bytes);
    nn_error err;
    uint64_t hash = decode(bytes, n, &err);
    free(bytes);
    if (hash || !strstr(err.text, why)) {
      fail_msg("%s: '%s' lacks '%s'", line, err.text, why);
    }
  }
  fclose(f);
  assert_true(count > 70);
}

/* What memory held before does not show. */
static void test_memory_does_not_show(void **state) {
  (void)state;
  for (int i = 0; i < golden_count; i++) {
    for (int fill = 0; fill < 256; fill += 255) {
      test_memory m;
      nn_error err;
      test_memory_init(&m, fill);
      assert_true(decode_with(&m, goldens[i].bytes, goldens[i].n, &err) ==
                  goldens[i].hash);
    }
  }
}

/* Every allocation fails once; nothing leaks. */
static void test_out_of_memory(void **state) {
  (void)state;
  for (int i = 0; i < golden_count; i++) {
    for (long at = 1;; at++) {
      test_memory m;
      nn_error err;
      test_memory_init(&m, 0x5a);
      m.fail_at = at;
      uint64_t hash = decode_with(&m, goldens[i].bytes, goldens[i].n, &err);
      assert_int_equal(m.live, 0);
      if (m.calls < at) {
        assert_true(hash == goldens[i].hash);
        break;
      }
      assert_int_equal(err.status, NN_NOMEM);
    }
  }
}

/* A byte of a PNG is changed: its checksums notice.  (Only when the name of a
** chunk that may be absent becomes another one, it is absent.) */
static void test_png_checksums(void **state) {
  (void)state;
  const golden *g = find_golden("palette-4-trns.png");
  for (size_t i = 0; i < g->n; i++) {
    nn_error err;
    uint8_t *copy = test_copy(g->bytes, g->n);
    if (i + 4 < g->n && !memcmp(copy + i, "tRNS", 4)) i += 4;
    copy[i] ^= 0x10;
    assert_int_equal(decode(copy, g->n, &err), 0);
    free(copy);
  }
}

static void test_foreign(void **state) {
  (void)state;
  static const struct {
    const char *bytes;
    size_t n;
    const char *name;
  } foreign[] = {
      {"RIFF\x24\0\0\0WEBPVP8 ", 16, "WebP is not supported"},
      {"\0\0\0\x18" "ftypheic\0\0\0\0mif1heic", 24, "HEIC is not supported"},
      {"\0\0\0\x1c" "ftypmif1\0\0\0\0mif1avif", 24, "AVIF is not supported"},
      {"\0\0\0\x14" "ftypmif1\0\0\0\0mif1", 20, "HEIF is not supported"},
      {"\0\0\0\x18" "ftypavif\0\0\0\0", 16, "AVIF is not supported"},
      {"\0\0\0\x18" "ftypisom\0\0\0\0mp41", 20, "no JPEG, PNG, GIF or BMP"},
      {"II*\0\10\0\0\0", 8, "TIFF is not supported"},
      {"MM\0*\0\0\0\10", 8, "TIFF is not supported"},
      {"\0\0\0\014jP  \r\n\x87\n", 12, "JPEG 2000 is not supported"},
      {"\0\0\0\014JXL \r\n\x87\n", 12, "JPEG XL is not supported"},
      {"\xff\x0a\0", 3, "JPEG XL is not supported"},
      {"<svg xmlns=", 11, "SVG is not supported"},
      {"P6\n1 1\n255\n___", 14, "no JPEG, PNG, GIF or BMP"},
      {"\xff\xd8", 2, "no JPEG, PNG, GIF or BMP"},
      {"", 0, "the image is empty"},
      {"x", 1, "(1 byte)"},
      {"photo.jpg", 9, "(9 bytes)"}};
  for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++) {
    assert_refused(foreign[i].bytes, foreign[i].n, foreign[i].name);
    nn_picture_info info;
    nn_error err;
    assert_int_equal(nn_picture_read_info(foreign[i].bytes, foreign[i].n,
                                          &info, &err), NN_PICTURE);
  }
  assert_refused(foreign[0].bytes, foreign[0].n, "use img_hash_rgb");
}

/* The budget is held against the header: nothing is allocated. */
static void test_budget(void **state) {
  (void)state;
  static const char *const names[] = {"420.jpg", "rgb-8.png", "plain.gif",
                                      "24.bmp"};
  for (size_t i = 0; i < 4; i++) {
    const golden *g = find_golden(names[i]);
    test_memory m;
    nn_error err;
    nn_picture picture;
    uint64_t pixels = (uint64_t)g->width * (uint64_t)g->height;
    test_memory_init(&m, 0);
    assert_int_equal(nn_picture_decode(&m.mem, g->bytes, g->n, pixels - 1,
                                       &picture, &err), NN_TOO_LARGE);
    assert_int_equal(m.calls, 0);
    char sizes[80];
    snprintf(sizes, sizeof(sizes), "%d x %d pixels, more than the limit of %d",
             g->width, g->height, (int)pixels - 1);
    assert_non_null(strstr(err.text, sizes));
    assert_int_equal(nn_picture_decode(&m.mem, g->bytes, g->n, pixels,
                                       &picture, &err), NN_OK);
    nn_picture_free(&m.mem, &picture);
  }
}

/* Headers that claim far more than there is, with no budget at all. */
static void test_huge_claims(void **state) {
  (void)state;
  static const struct {
    const char *name;
    int at, bytes;   /* where the width stands */
  } headers[] = {{"rgb-8.png", 16, 8}, {"24.bmp", 18, 8}, {"plain.gif", 6, 4}};
  for (size_t i = 0; i < 3; i++) {
    const golden *g = find_golden(headers[i].name);
    for (int v = 0x7f; v <= 0xff; v += 0x40) {
      nn_error err;
      nn_picture picture;
      uint8_t *copy = test_copy(g->bytes, g->n);
      memset(copy + headers[i].at, v, (size_t)headers[i].bytes);
      assert_int_not_equal(nn_picture_decode(&nn_memory_libc, copy, g->n,
                                             UINT64_MAX, &picture, &err),
                           NN_OK);
      free(copy);
    }
  }
}

static void test_borrow(void **state) {
  (void)state;
  static const uint8_t rgb[18] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
  nn_picture picture;
  nn_picture_borrow(rgb, 3, 2, &picture);
  assert_ptr_equal(picture.pixels + 2 * picture.dx + picture.dy, rgb + 15);
  nn_picture_free(&nn_memory_libc, &picture);
}

/* Lines for pictures.txt. */
static int print_goldens(int count, char **paths) {
  for (int i = 0; i < count; i++) {
    size_t n = 0;
    nn_error err;
    nn_picture_info info;
    uint8_t *bytes = test_read_file(paths[i], &n);
    const char *name = strrchr(paths[i], '/');
    uint64_t hash = bytes ? decode(bytes, n, &err) : 0;
    if (!hash || nn_picture_read_info(bytes, n, &info, &err)) return 1;
    size_t whole = n;
    while (decode(bytes, whole - 1, &err)) whole--;
    printf("%s %d %d %d %d %zu %llx\n", name ? name + 1 : paths[i], info.width,
           info.height, info.channels, info.orientation, whole,
           (unsigned long long)hash);
    free(bytes);
  }
  return 0;
}

int main(int argc, char **argv) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_golden_pixels),
      cmocka_unit_test(test_same_pixels),
      cmocka_unit_test(test_orientation),
      cmocka_unit_test(test_truncated),
      cmocka_unit_test(test_broken),
      cmocka_unit_test(test_memory_does_not_show),
      cmocka_unit_test(test_out_of_memory),
      cmocka_unit_test(test_png_checksums),
      cmocka_unit_test(test_foreign),
      cmocka_unit_test(test_budget),
      cmocka_unit_test(test_huge_claims),
      cmocka_unit_test(test_borrow),
  };
  if (argc > 1 && !strcmp(argv[1], "--print")) {
    return print_goldens(argc - 2, argv + 2);
  }
  return cmocka_run_group_tests(tests, load_goldens, free_goldens);
}

/*
** JPEGs at reduced scale: golden pixels, what must be refused, every place to
** cut a file, every allocation failing, and memory.
**
** tests/golden/reduced.txt has a line per JPEG of tests/golden/pictures: name,
** and the hash of what networks of several sizes see of it.
** `test_reduced --print` writes that file.
*/
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "../../nn/jpeg.h"
#include "flat_jpeg.h"
#include "test_util.h"

#define MAX_PIXELS ((uint64_t)1 << 28)

typedef struct golden {
  char name[64];
  size_t whole;
  unsigned long long hash, full;
  uint8_t *bytes;
  size_t n;
} golden;

static golden *goldens;
static int golden_count;

static uint8_t *read_file(const char *folder, const char *name, size_t *n) {
  char path[300];
  snprintf(path, sizeof(path), "golden/%s/%s", folder, name);
  return test_read_file(test_path(path), n);
}

/* The JPEGs of pictures.txt; their hashes are in reduced.txt. */
static int load_goldens(void **state) {
  (void)state;
  int number[4];
  char name[64];
  unsigned long long hash;
  golden g;
  FILE *f = fopen(test_path("golden/pictures.txt"), "r");
  if (!f) return -1;
  memset(&g, 0, sizeof(g));
  while (fscanf(f, "%63s %d %d %d %d %zu %llx", g.name, &number[0], &number[1],
                &number[2], &number[3], &g.whole, &g.full) == 7) {
    if (!strstr(g.name, ".jpg")) continue;
    goldens = realloc(goldens, sizeof(g) * (size_t)(golden_count + 1));
    if (!goldens) abort();
    g.bytes = read_file("pictures", g.name, &g.n);
    if (!g.bytes) return -1;
    goldens[golden_count++] = g;
  }
  fclose(f);
  f = fopen(test_path("golden/reduced.txt"), "r");
  while (f && fscanf(f, "%63s %llx", name, &hash) == 2) {
    for (int i = 0; i < golden_count; i++) {
      if (!strcmp(goldens[i].name, name)) goldens[i].hash = hash;
    }
  }
  if (f) fclose(f);
  return golden_count > 50 ? 0 : -1;
}

static int free_goldens(void **state) {
  (void)state;
  for (int i = 0; i < golden_count; i++) free(goldens[i].bytes);
  free(goldens);
  return 0;
}

/* Sizes of networks.  The goldens are 33 x 47 pixels: luma is taken at scales
** 1, 1, 2, 4 and 2, chroma at 1 to 8. */
static const nn_preprocess needs[] = {
    {.reduced = 1, .area = 1, .width = 2, .height = 2},
    {.reduced = 1, .area = 1, .width = 4, .height = 4},
    {.reduced = 2, .area = 1, .width = 4, .height = 5},
    {.reduced = 1, .area = 1, .width = 16, .height = 11},
    {.reduced = 1, .area = 1, .crop = 1, .width = 7, .height = 4},
};
enum { NEEDS = sizeof(needs) / sizeof(*needs), SIDE = 16 };

/* What a network sees, with the error's status, as a hash; the error is in
** *err.  *reduced, unless it is NULL, tells whether the scale was. */
static uint64_t see(test_memory *m, const nn_preprocess *p, const void *bytes,
                    size_t n, int *reduced, nn_error *err) {
  nn_picture picture;
  uint8_t rgb[SIDE * SIDE * 3];
  int x = 0, y = 0;
  err->status = NN_OK;
  err->text[0] = 0;
  nn_status status = nn_picture_decode_as(&m->mem, p, bytes, n, MAX_PIXELS,
                                          &picture, err);
  assert_int_equal(status, err->status);
  if (status) return 0;
  if (reduced) *reduced = picture.channels > 0;
  int w = picture.width, h = picture.height;
  if (p->crop) {
    nn_prepare_crop(picture.width, picture.height, p->width, p->height, &x, &y,
                    &w, &h);
  }
  status = nn_resize(&m->mem, &picture, x, y, w, h, NN_AREA, p->width,
                     p->height, rgb, err);
  nn_picture_free(&m->mem, &picture);
  if (status) return 0;
  return test_hash(TEST_HASH_START, rgb, (size_t)(p->width * p->height * 3));
}

static uint64_t see_all(const void *bytes, size_t n, nn_error *err) {
  uint64_t hash = TEST_HASH_START;
  for (int i = 0; i < NEEDS; i++) {
    test_memory m;
    test_memory_init(&m, 0xa5);
    uint64_t one = see(&m, &needs[i], bytes, n, NULL, err);
    assert_int_equal(m.live, 0);
    if (!one) return 0;
    hash = test_hash(hash, &one, sizeof(one));
  }
  return hash;
}

static int print_goldens(void) {
  nn_error err;
  if (load_goldens(NULL)) return 1;
  for (int i = 0; i < golden_count; i++) {
    printf("%s %016llx\n", goldens[i].name,
           (unsigned long long)see_all(goldens[i].bytes, goldens[i].n, &err));
  }
  return free_goldens(NULL);
}

/* Tests ------------------------------------------------------------------- */

static void golden_pixels(void **state) {
  (void)state;
  for (int i = 0; i < golden_count; i++) {
    const golden *g = &goldens[i];
    nn_error err;
    uint64_t hash = see_all(g->bytes, g->n, &err);
    if (hash != g->hash) {
      fail_msg("%s: %llx, not %llx %s", g->name, (unsigned long long)hash,
               g->hash, err.text);
    }
  }
}

/* What is coded differently and is the same in full is the same here. */
static void same_pixels(void **state) {
  (void)state;
  int pairs = 0;
  for (int i = 0; i < golden_count; i++) {
    for (int j = 0; j < i; j++) {
      const golden *a = &goldens[i], *b = &goldens[j];
      /* Sampling factors of one component mean nothing to stb_image, and
      ** nothing here. */
      if (a->full != b->full) continue;
      if (a->hash != b->hash) fail_msg("%s is not %s", a->name, b->name);
      pairs++;
    }
  }
  assert_true(pairs > 40);
}

/* Near to what is made of the full picture, at every scale. */
static void near_full(void **state) {
  (void)state;
  int reduced_count = 0;
  for (int i = 0; i < golden_count; i++) {
    for (int k = 0; k < NEEDS; k++) {
      const nn_preprocess *p = &needs[k];
      uint8_t rgb[2][SIDE * SIDE * 3];
      int n = p->width * p->height * 3, far = 0;
      if (p->crop) continue;
      for (int full = 0; full < 2; full++) {
        nn_picture picture;
        nn_error err;
        assert_int_equal(
            nn_picture_decode_as(&nn_memory_libc, full ? NULL : p,
                                 goldens[i].bytes, goldens[i].n, MAX_PIXELS,
                                 &picture, &err), NN_OK);
        reduced_count += picture.channels > 0;
        assert_int_equal(
            nn_resize(&nn_memory_libc, &picture, 0, 0, picture.width,
                      picture.height, NN_AREA, p->width, p->height, rgb[full],
                      &err), NN_OK);
        nn_picture_free(&nn_memory_libc, &picture);
      }
      for (int j = 0; j < n; j++) far += abs(rgb[0][j] - rgb[1][j]);
      /* 16 of 255 on average: these pictures are all edges and noise. */
      if (far > 16 * n) fail_msg("%s at %d: %d", goldens[i].name, k, far / n);
    }
  }
  assert_true(reduced_count > 4 * 50);
}

/* A file that is cut is refused exactly where a full decode refuses it: at one
** scale or another, every place to cut is tried. */
static void truncated(void **state) {
  (void)state;
  for (int i = 0; i < golden_count; i++) {
    const golden *g = &goldens[i];
    for (size_t n = 0; n < g->n; n++) {
      test_memory m;
      nn_error err;
      test_memory_init(&m, 0xa5);
      uint8_t *cut = test_copy(g->bytes, n);
      uint64_t hash = see(&m, &needs[n % 3], cut, n, NULL, &err);
      free(cut);
      assert_int_equal(m.live, 0);
      if (!hash != (n < g->whole)) {
        fail_msg("%s, %zu of %zu bytes: %s", g->name, n, g->n, err.text);
      }
    }
  }
}

/* What is refused by a full decode and has 16 blocks or more is refused here
** for the same reason, except for coefficients that nobody needs. */
static void broken(void **state) {
  (void)state;
  FILE *f = fopen(test_path("golden/broken.txt"), "r");
  assert_non_null(f);
  char line[200];
  int count = 0;
  while (fgets(line, sizeof(line), f)) {
    line[strcspn(line, "\n")] = 0;
    char *why = strchr(line, ' ');
    *why++ = 0;
    if (!strstr(line, ".jpg")) continue;
    for (int k = 0; k < NEEDS; k++) {
      size_t n = 0;
      nn_error err;
      test_memory m;
      uint8_t *bytes = read_file("broken", line, &n);
      test_memory_init(&m, 0xa5);
      uint64_t hash = see(&m, &needs[k], bytes, n, NULL, &err);
      assert_int_equal(m.live, 0);
      free(bytes);
      if (hash && !strncmp(line, "loud", 4)) continue;
      if (hash || !strstr(err.text, why)) {
        fail_msg("%s: '%s' lacks '%s'", line, err.text, why);
      }
      count++;
    }
  }
  fclose(f);
  assert_true(count > 200);
}

static void memory_does_not_show(void **state) {
  (void)state;
  for (int i = 0; i < golden_count; i++) {
    for (int k = 0; k < NEEDS; k++) {
      uint64_t hash[2];
      for (int fill = 0; fill < 2; fill++) {
        test_memory m;
        nn_error err;
        test_memory_init(&m, fill * 255);
        hash[fill] = see(&m, &needs[k], goldens[i].bytes, goldens[i].n, NULL,
                         &err);
      }
      assert_true(hash[0] == hash[1]);
    }
  }
}

static void out_of_memory(void **state) {
  (void)state;
  for (int i = 0; i < golden_count; i++) {
    for (int k = 0; k < NEEDS; k++) {
      for (long at = 1;; at++) {
        test_memory m;
        nn_error err;
        test_memory_init(&m, 0x5a);
        m.fail_at = at;
        uint64_t hash = see(&m, &needs[k], goldens[i].bytes, goldens[i].n, NULL,
                            &err);
        assert_int_equal(m.live, 0);
        if (m.calls < at) {
          assert_true(hash != 0);
          break;
        }
        assert_int_equal(err.status, NN_NOMEM);
      }
    }
  }
}

/* Which pictures are reduced: one side short of it, and one at it. */
static void limits(void **state) {
  (void)state;
  static const struct {
    int w, h, components, h1, v1, reduced, scale[2];
    nn_preprocess need;
  } cases[] = {
      {64, 64, 1, 1, 1, 1, {1}, {.reduced = 1, .width = 8, .height = 8}},
      {63, 64, 1, 1, 1, 1, {2}, {.reduced = 1, .width = 8, .height = 8}},
      {64, 63, 1, 1, 1, 1, {2}, {.reduced = 1, .width = 8, .height = 8}},
      {32, 32, 1, 1, 1, 1, {2}, {.reduced = 1, .width = 8, .height = 8}},
      {32, 31, 1, 1, 1, 1, {4}, {.reduced = 1, .width = 8, .height = 8}},
      {16, 16, 1, 1, 1, 1, {4}, {.reduced = 1, .width = 8, .height = 8}},
      {15, 64, 1, 1, 1, 0, {0}, {.reduced = 1, .width = 8, .height = 8}},
      {64, 15, 1, 1, 1, 0, {0}, {.reduced = 1, .width = 8, .height = 8}},
      {64, 64, 1, 1, 1, 0, {0}, {.reduced = 0, .width = 8, .height = 8}},
      {127, 128, 1, 1, 1, 1, {2}, {.reduced = 2, .width = 8, .height = 8}},
      {128, 128, 1, 1, 1, 1, {1}, {.reduced = 2, .width = 8, .height = 8}},
      {64, 64, 3, 2, 2, 1, {1, 2}, {.reduced = 1, .width = 8, .height = 8}},
      {127, 128, 3, 2, 2, 1, {1, 2}, {.reduced = 1, .width = 8, .height = 8}},
      {128, 128, 3, 2, 2, 1, {1, 1}, {.reduced = 1, .width = 8, .height = 8}},
      {16, 16, 3, 2, 2, 1, {4, 8}, {.reduced = 1, .width = 8, .height = 8}},
      {64, 64, 3, 2, 1, 1, {1, 2}, {.reduced = 1, .width = 8, .height = 8}},
      /* A quarter of the columns never covers what is needed. */
      {31, 64, 3, 4, 1, 0, {0}, {.reduced = 1, .width = 8, .height = 8}},
      {32, 64, 3, 4, 1, 1, {2, 8}, {.reduced = 1, .width = 8, .height = 8}},
      /* The part that is cropped out is what counts. */
      {500, 64, 1, 1, 1, 1, {1},
       {.reduced = 1, .crop = 1, .width = 8, .height = 8}},
      {500, 63, 1, 1, 1, 1, {2},
       {.reduced = 1, .crop = 1, .width = 16, .height = 8}},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
    flat_jpeg j = {.width = cases[i].w, .height = cases[i].h,
                   .components = cases[i].components, .h = cases[i].h1,
                   .v = cases[i].v1, .adobe = -1, .seed = i + 1};
    nn_preprocess p = cases[i].need;
    nn_picture picture;
    nn_error err;
    p.area = 1;
    flat_jpeg_write(&j);
    assert_int_equal(nn_picture_decode_as(&nn_memory_libc, &p, j.bytes, j.n,
                                          MAX_PIXELS, &picture, &err), NN_OK);
    if ((picture.channels > 0) != cases[i].reduced) fail_msg("case %zu", i);
    for (int c = 0; c < picture.channels && c < 2; c++) {
      int unit = 8 / cases[i].scale[c] * (c ? cases[i].h1 : 1);
      if (picture.channel[c].unit[0] != unit) fail_msg("case %zu, %d", i, c);
    }
    nn_picture_free(&nn_memory_libc, &picture);
    free(j.bytes);
  }
}

/* Most that was allocated at once. */
typedef struct counted {
  size_t now, most;
} counted;

static void *counted_alloc(void *context, size_t n) {
  counted *c = context;
  size_t *p = malloc(n + 64);
  if (!p) return NULL;
  *p = n;
  c->now += n;
  if (c->now > c->most) c->most = c->now;
  return (char *)p + 64;
}

static void counted_release(void *context, void *p) {
  counted *c = context;
  if (!p) return;
  size_t *block = (size_t *)(void *)((char *)p - 64);
  c->now -= *block;
  free(block);
}

/* 100 megapixels in under 64 MB, whatever the sampling, for networks of up to
** 512 x 512. */
static void large(void **state) {
  (void)state;
  static const int factors[][2] = {{1, 1}, {2, 1}, {2, 2}};
  for (int i = 0; i < 3; i++) {
    flat_jpeg j = {.width = 12000, .height = 8333, .components = 3,
                   .h = factors[i][0], .v = factors[i][1], .adobe = -1,
                   .seed = 5};
    flat_jpeg_write(&j);
    for (int side = 32; side <= 512; side *= 16) {
      counted c = {0, 0};
      nn_memory mem = {counted_alloc, counted_release, &c};
      nn_preprocess p = {.reduced = 2, .area = 1, .width = side,
                         .height = side};
      nn_picture picture;
      nn_error err;
      uint8_t *rgb = malloc((size_t)side * (size_t)side * 3);
      assert_int_equal(nn_picture_decode_as(&mem, &p, j.bytes, j.n, MAX_PIXELS,
                                            &picture, &err), NN_OK);
      assert_int_equal(nn_resize(&mem, &picture, 0, 0, 12000, 8333, NN_AREA,
                                 side, side, rgb, &err), NN_OK);
      nn_picture_free(&mem, &picture);
      free(rgb);
      assert_int_equal(c.now, 0);
      if (c.most > 64000000) fail_msg("%zu bytes", c.most);
    }
    free(j.bytes);
  }
}

int main(int argc, char **argv) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(golden_pixels),
      cmocka_unit_test(same_pixels),
      cmocka_unit_test(near_full),
      cmocka_unit_test(truncated),
      cmocka_unit_test(broken),
      cmocka_unit_test(memory_does_not_show),
      cmocka_unit_test(out_of_memory),
      cmocka_unit_test(limits),
      cmocka_unit_test(large),
  };
  if (argc > 1 && !strcmp(argv[1], "--print")) return print_goldens();
  return cmocka_run_group_tests(tests, load_goldens, free_goldens);
}

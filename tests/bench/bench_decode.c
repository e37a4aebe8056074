/*
** From a JPEG to what a network of 96 x 96 pixels sees: at reduced scale, with
** as many samples for a pixel as photo-64 asks for (reduced_jpeg 3), and in full,
** beside stb_image alone, and libjpeg-turbo in full and at 1/8.
**
**   bench_decode ROUNDS FILE...
**
** The contestants take turns, and the best time of each counts: the machine is
** shared, and what disturbs it only ever adds.  `reduced` and `full` include
** everything from the file's bytes to the resized input: that the file is whole
** was checked; stb and turbo end with pixels.  `memory` is the most that the
** reduced decode had allocated at once.
*/
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../../nn/jpeg.h"
#include "../unit/test_util.h"

#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_NO_STDIO
#define STBI_NO_LINEAR
#define STBI_NO_HDR
#define STBI_NO_GIF
#define STBI_NO_PIC
#define STBI_NO_PNM
#define STBI_NO_PSD
#define STBI_NO_TGA
#define stbi_set_unpremultiply_on_load_thread stbi__unpremultiply_on_load_thread
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wsign-compare"
#pragma GCC diagnostic ignored "-Wshadow"
#include <stb/stb_image.h>
#pragma GCC diagnostic pop

#ifdef HAVE_LIBJPEG
#include <jpeglib.h>
#endif

enum { SIDE = 96, SAMPLES = 3, WAYS = 5 };

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

static size_t most;

static void ours(const uint8_t *bytes, size_t n, int reduced) {
  nn_preprocess p = {.reduced = reduced, .area = 1, .width = SIDE,
                     .height = SIDE};
  counted c = {0, 0};
  nn_memory mem = {counted_alloc, counted_release, &c};
  nn_picture picture;
  nn_error err;
  uint8_t rgb[SIDE * SIDE * 3];
  if (nn_picture_decode_as(&mem, &p, bytes, n, (uint64_t)1 << 28, &picture,
                           &err) ||
      nn_resize(&mem, &picture, 0, 0, picture.width, picture.height, NN_AREA,
                SIDE, SIDE, rgb, &err)) {
    fprintf(stderr, "%s\n", err.text);
    exit(1);
  }
  nn_picture_free(&mem, &picture);
  if (reduced) most = c.most;
}

static void stb(const uint8_t *bytes, size_t n) {
  int w, h, c;
  stbi_uc *p = stbi_load_from_memory(bytes, (int)n, &w, &h, &c, 3);
  if (!p) exit(1);
  stbi_image_free(p);
}

#ifdef HAVE_LIBJPEG
static void turbo(const uint8_t *bytes, size_t n, unsigned scale) {
  struct jpeg_decompress_struct d;
  struct jpeg_error_mgr e;
  d.err = jpeg_std_error(&e);
  jpeg_create_decompress(&d);
  jpeg_mem_src(&d, bytes, n);
  jpeg_read_header(&d, TRUE);
  d.scale_num = scale;
  d.scale_denom = 8;
  jpeg_start_decompress(&d);
  /* All rows are kept, as they are by the others. */
  size_t stride = (size_t)d.output_width * 3;
  uint8_t *pixels = malloc(stride * d.output_height);
  if (!pixels) exit(1);
  while (d.output_scanline < d.output_height) {
    JSAMPROW row = pixels + d.output_scanline * stride;
    jpeg_read_scanlines(&d, &row, 1);
  }
  jpeg_finish_decompress(&d);
  jpeg_destroy_decompress(&d);
  free(pixels);
}
#endif

static void run(int way, const uint8_t *bytes, size_t n) {
  switch (way) {
    case 0: ours(bytes, n, SAMPLES); break;
    case 1: stb(bytes, n); break;
    case 2: ours(bytes, n, 0); break;
#ifdef HAVE_LIBJPEG
    case 3: turbo(bytes, n, 8); break;
    case 4: turbo(bytes, n, 1); break;
#endif
    default: break;
  }
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void bench(const char *path, int rounds) {
  size_t n;
  double best[WAYS];
  uint8_t *bytes = test_read_file(path, &n);
  if (!bytes) {
    printf("  %s: not there\n", path);
    return;
  }
  for (int i = 0; i < WAYS; i++) best[i] = 1e9;
  for (int round = 0; round < rounds; round++) {
    for (int i = 0; i < WAYS; i++) {
      double start = now();
      run(i, bytes, n);
      double took = now() - start;
      if (took < best[i]) best[i] = took;
    }
  }
  const char *name = strrchr(path, '/');
  printf("  %-20s %5.1f %8.1f %7.1f %7.1f", name ? name + 1 : path,
         (double)n / 1e6, best[0], best[1], best[2]);
#ifdef HAVE_LIBJPEG
  printf(" %7.1f %7.1f", best[3], best[4]);
#endif
  printf(" %8.2f %7.2f", best[0] / best[1], best[2] / best[1]);
#ifdef HAVE_LIBJPEG
  printf(" %7.2f", best[4] / best[1]);
#endif
  printf(" %7.1f\n", (double)most / 1e6);
  fflush(stdout);
  free(bytes);
}

int main(int argc, char **argv) {
  if (argc < 3) return 2;
#ifdef HAVE_LIBJPEG
  const char *turbo_names = "   turbo     1/8", *turbo_ratio = "     1/8";
#else
  const char *turbo_names = "", *turbo_ratio = "";
#endif
  printf("  %-20s %5s %8s %7s %7s%s %8s %7s%s %7s\n", "best of some, in ms",
         "MB", "reduced", "stb", "full", turbo_names, "reduced", "full",
         turbo_ratio, "memory");
  printf("  %-20s %5s %8s %7s %7s%s %24s\n", "", "", "ours", "alone", "ours",
         *turbo_names ? "                " : "", "each / stb        MB");
  for (int i = 2; i < argc; i++) bench(argv[i], atoi(argv[1]));
  return 0;
}

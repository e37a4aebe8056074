/*
** An encoded picture becomes pixels: what img_hash, img_info and every other
** function that is given an image start with.
**
** The order of things is what makes it safe and exact:
**
**   1. The first bytes name the format.  Formats that are not decoded here are
**      refused by their names.
**   2. The header gives the size, and the pixel budget is held against it.
**      Nothing was allocated so far.
**   3. jpeg.c, container.c or gif.c establish that the file is whole.
**   4. stb_image decodes (a GIF is decoded by gif.c).
**   5. Alpha is laid on white, and the EXIF orientation is applied: not by
**      moving pixels but by the steps from column to column and from row to
**      row, which may be swapped and negative.
**
** Where a network wants little of a large JPEG, reduce.c takes the place of 3
** and 4.
**
** All of it is integer arithmetic, so the pixels are the same on every machine.
**
** stb_image is compiled into this file and nowhere else, as static functions:
** without file access, and only its JPEG, PNG and BMP readers.  Debian 12 has
** 2.27 as of September 2022.  What is known against it:
**
**   - CVE-2021-42715, -42716, CVE-2023-43898 and -45663: readers that are not
**     compiled (HDR, PNM, PIC, TGA, PSD).  CVE-2023-43281, -45661, -45664,
**     -45666 and -45667: its GIF, not compiled.  CVE-2023-45662: turning
**     pictures upside down, which is never asked for.
**   - CVE-2021-28021, -37789, CVE-2022-28041, -28042 and -28048: its JPEG, with
**     odd sampling factors, scans that run out of bits, codes that no table has
**     and values that overflow.  Part of that is mended in the snapshot, but
**     nothing depends on that: jpeg.c and huffman.c refuse such files before.
**   - Without a number: 2.27 writes a Huffman table of more than 256 codes past
**     the end of its array (refused by jpeg.c), reads indices beyond a palette
**     from the stack (container.c), and computes with coefficients until they
**     overflow (huffman.c).
**
** It takes memory through three macros that have no room for a context, so the
** caller's allocator stands in a thread-local pointer while it runs: set before
** the call, cleared after it, never seen by another thread.  Every block is
** zeroed, since 2.27 leaves pixels of broken files as it found them; blocks are
** linked, so that one it forgets when memory runs out is freed all the same;
** and their size is bounded, so that a PNG of one pixel cannot inflate to a
** gigabyte.
**
** Built with NN_STB_NO_SIMD it uses no SSE2; the pixels must not change.
*/
#include <limits.h>
#include <string.h>

#include "jpeg.h"

/* Memory for stb_image ---------------------------------------------------- */

/* Stands before a block; its size keeps the block aligned. */
typedef struct picture_block {
  struct picture_block *next, *previous;
} picture_block;

enum { PICTURE_HEADER = 64 };

typedef struct picture_heap {
  const nn_memory *mem;
  picture_block list;   /* a ring; `list` itself is no block */
  size_t most;          /* bytes of one block */
  int out_of_memory;
  int too_much;         /* asked for more than `most` */
} picture_heap;

static _Thread_local picture_heap *picture_current;

static void *picture_stb_alloc(size_t n) {
  picture_heap *heap = picture_current;
  if (n > heap->most) {
    heap->too_much = 1;
    return NULL;
  }
  picture_block *block = nn_zalloc(heap->mem, n + PICTURE_HEADER);
  if (!block) {
    heap->out_of_memory = 1;
    return NULL;
  }
  block->next = heap->list.next;
  block->previous = &heap->list;
  block->next->previous = block;
  heap->list.next = block;
  return (char *)block + PICTURE_HEADER;
}

/* Take a block out of the ring. */
static picture_block *picture_take(void *p) {
  picture_block *block = (picture_block *)(void *)((char *)p - PICTURE_HEADER);
  block->next->previous = block->previous;
  block->previous->next = block->next;
  return block;
}

static void picture_stb_free(void *p) {
  if (p) nn_free(picture_current->mem, picture_take(p));
}

static void *picture_stb_resize(void *p, size_t old_size, size_t n) {
  void *q = picture_stb_alloc(n);
  if (!q) return NULL;
  if (p) memcpy(q, p, old_size < n ? old_size : n);
  picture_stb_free(p);
  return q;
}

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
#define STBI_MAX_DIMENSIONS (1 << 24)
#define STBI_MALLOC(n) picture_stb_alloc(n)
#define STBI_REALLOC_SIZED(p, old, n) picture_stb_resize(p, old, n)
#define STBI_FREE(p) picture_stb_free(p)
/* A library does not abort the process; what they assert is checked before. */
#define STBI_ASSERT(x) ((void)(x))
/* 2.27 declares this function by one name and defines it by the other. */
#define stbi_set_unpremultiply_on_load_thread stbi__unpremultiply_on_load_thread
#ifdef NN_STB_NO_SIMD
#define STBI_NO_SIMD
#endif
#if defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wsign-compare"
#pragma GCC diagnostic ignored "-Wshadow"
#endif
#include <stb/stb_image.h>
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif

/* The header does not tell its version to the compiler; the Makefile reads it
** and says it here. */
#ifndef NN_STB_IMAGE_VERSION
#define NN_STB_IMAGE_VERSION "2"
#endif

const char *nn_stb_image_version(void) { return NN_STB_IMAGE_VERSION; }

/* Which format ------------------------------------------------------------ */

typedef enum picture_format {
  PICTURE_JPEG,
  PICTURE_PNG,
  PICTURE_GIF,
  PICTURE_BMP
} picture_format;

static int picture_has(const uint8_t *p, size_t n, size_t at,
                       const char *magic, size_t length) {
  return n >= at + length && !memcmp(p + at, magic, length);
}

/* The format of an ISO base media file, by its brands. */
static const char *picture_brand(const uint8_t *p, size_t n) {
  static const struct {
    char brand[5];
    const char *name;
  } brands[] = {{"avif", "AVIF"}, {"avis", "AVIF"}, {"heic", "HEIC"},
                {"heix", "HEIC"}, {"hevc", "HEIC"}, {"hevx", "HEIC"},
                {"heim", "HEIC"}, {"heis", "HEIC"}, {"mif1", "HEIF"},
                {"msf1", "HEIF"}, {"crx ", "Canon CR3"}};
  size_t end = (size_t)p[2] << 8 | p[3];
  if (end > n) end = n;
  for (size_t i = 0; i < sizeof(brands) / sizeof(brands[0]); i++) {
    /* The major brand at 8, a version at 12, then what it is compatible to. */
    for (size_t at = 8; at + 4 <= end; at += at == 8 ? 8 : 4) {
      if (!memcmp(p + at, brands[i].brand, 4)) return brands[i].name;
    }
  }
  return NULL;
}

/* The name of a format that is known but not decoded, or NULL. */
static const char *picture_foreign(const uint8_t *p, size_t n) {
  static const struct {
    const char *magic;
    size_t length;
    const char *name;
  } formats[] = {{"II*\0", 4, "TIFF"},
                 {"MM\0*", 4, "TIFF"},
                 {"\0\0\0\014jP  ", 8, "JPEG 2000"},
                 {"\xff\x4f\xff\x51", 4, "JPEG 2000"},
                 {"\0\0\0\014JXL ", 8, "JPEG XL"},
                 {"\xff\x0a", 2, "JPEG XL"},
                 {"8BPS", 4, "Photoshop"},
                 {"\0\0\1\0", 4, "ICO"},
                 {"%PDF", 4, "PDF"},
                 {"qoif", 4, "QOI"},
                 {"<svg", 4, "SVG"},
                 {"<?xml", 5, "SVG"}};
  if (picture_has(p, n, 0, "RIFF", 4) && picture_has(p, n, 8, "WEBP", 4)) {
    return "WebP";
  }
  if (picture_has(p, n, 4, "ftyp", 4)) return picture_brand(p, n);
  for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
    if (picture_has(p, n, 0, formats[i].magic, formats[i].length)) {
      return formats[i].name;
    }
  }
  return NULL;
}

static nn_status picture_detect(const uint8_t *p, size_t n,
                                picture_format *format, nn_error *err) {
  if (n == 0) return nn_fail(err, NN_PICTURE, "the image is empty");
  if (n > INT_MAX) {
    return nn_fail(err, NN_PICTURE, "the image is larger than 2 GiB");
  }
  if (picture_has(p, n, 0, "\xff\xd8\xff", 3)) {
    *format = PICTURE_JPEG;
  } else if (picture_has(p, n, 0, "\x89PNG\r\n\x1a\n", 8)) {
    *format = PICTURE_PNG;
  } else if (picture_has(p, n, 0, "GIF87a", 6) ||
             picture_has(p, n, 0, "GIF89a", 6)) {
    *format = PICTURE_GIF;
  } else if (picture_has(p, n, 0, "BM", 2)) {
    *format = PICTURE_BMP;
  } else {
    const char *name = picture_foreign(p, n);
    if (name) {
      return nn_fail(err, NN_PICTURE, "%s is not supported; decode it yourself "
                     "and use img_hash_rgb", name);
    }
    return nn_fail(err, NN_PICTURE,
                   "the image is no JPEG, PNG, GIF or BMP (%zu byte%s)", n,
                   n == 1 ? "" : "s");
  }
  return NN_OK;
}

/* Orientation ------------------------------------------------------------- */

static uint32_t picture_tiff(const uint8_t *p, int bytes, int big) {
  uint32_t x = 0;
  for (int i = 0; i < bytes; i++) x = x << 8 | p[big ? i : bytes - 1 - i];
  return x;
}

int nn_exif_orientation(const uint8_t *p, size_t n) {
  if (n < 8) return 1;
  int big = p[0] == 'M';
  if (memcmp(p, big ? "MM\0*" : "II*\0", 4)) return 1;
  size_t at = picture_tiff(p + 4, 4, big);
  if (at < 8 || n - 2 < at) return 1;
  size_t entries = picture_tiff(p + at, 2, big);
  /* An entry: tag, type, count, value; tag 0x112 is a short (3), or what some
  ** programs write, a long (4). */
  for (at += 2; entries && n - at >= 12; entries--, at += 12) {
    const uint8_t *q = p + at;
    if (picture_tiff(q, 2, big) != 0x112) continue;
    uint32_t type = picture_tiff(q + 2, 2, big);
    if (type != 3 && type != 4) return 1;
    uint32_t value = picture_tiff(q + 8, type == 3 ? 2 : 4, big);
    return value >= 1 && value <= 8 ? (int)value : 1;
  }
  return 1;
}

/* Pixels ------------------------------------------------------------------ */

/* 16 bits a channel become 8, in place: the upper ones. */
static void picture_narrow(uint8_t *rgba, size_t pixels) {
  for (size_t i = 0; i < pixels * 4; i++) {
    uint16_t x;
    memcpy(&x, rgba + 2 * i, 2);
    rgba[i] = (uint8_t)(x >> 8);
  }
}

/* Lay RGBA on white, in place. */
static void picture_on_white(uint8_t *rgba, size_t pixels) {
  for (uint8_t *p = rgba, *end = rgba + 4 * pixels; p < end; p += 4) {
    unsigned a = p[3];
    if (a == 255) continue;
    for (int c = 0; c < 3; c++) {
      p[c] = (uint8_t)((p[c] * a + 255 * (255 - a) + 127) / 255);
    }
  }
}

/* What was decoded into, and how many bytes a pixel has there. */
typedef struct picture_pixels {
  uint8_t *bytes;
  void *owned;
  int step;
} picture_pixels;

static nn_status picture_stb_fail(const picture_heap *heap, nn_error *err) {
  if (heap->out_of_memory) return nn_fail(err, NN_NOMEM, "out of memory");
  if (heap->too_much) {
    return nn_fail(err, NN_PICTURE,
                   "the image has far more data than its size allows");
  }
  const char *why = stbi_failure_reason();
  return nn_fail(err, NN_PICTURE, "the image is damaged: %s",
                 why ? why : "its data makes no sense");
}

/* Run stb_image: 3 or 4 channels, of 8 bits or 16.  `most` bounds one block of
** memory.  info is as stored. */
static nn_status picture_stb(const nn_memory *mem, const uint8_t *bytes,
                             size_t n, const nn_picture_info *info, int wide,
                             size_t most, picture_pixels *out, nn_error *err) {
  picture_heap heap = {.mem = mem, .most = most};
  heap.list.next = heap.list.previous = &heap.list;
  picture_current = &heap;
  stbi__g_failure_reason = NULL;   /* it does not always give one */
  int width = 0, height = 0, channels = 0, want = wide ? 4 : out->step;
  void *pixels =
      wide ? (void *)stbi_load_16_from_memory(bytes, (int)n, &width, &height,
                                              &channels, want)
           : (void *)stbi_load_from_memory(bytes, (int)n, &width, &height,
                                           &channels, want);
  nn_status status = NN_OK;
  if (!pixels) {
    status = picture_stb_fail(&heap, err);
  } else if (width != info->width || height != info->height) {
    status = nn_fail(err, NN_PICTURE, "the image is damaged: two sizes");
  } else {
    out->bytes = pixels;
    out->owned = picture_take(pixels);
  }
  while (heap.list.next != &heap.list) {
    picture_stb_free((char *)heap.list.next + PICTURE_HEADER);
  }
  picture_current = NULL;
  return status;
}

/* stb_image wants an end marker; a file without one is copied and gets it. */
static nn_status picture_jpeg(const nn_memory *mem, const uint8_t *bytes,
                              size_t n, const nn_picture_info *info,
                              picture_pixels *out, nn_error *err) {
  size_t end;
  uint8_t *copy = NULL;
  nn_status status = nn_jpeg_check(mem, bytes, n, &end, err);
  if (status) return status;
  if (end) {
    copy = nn_alloc(mem, end + 2);
    if (!copy) return nn_fail(err, NN_NOMEM, "out of memory");
    memcpy(copy, bytes, end);
    copy[end] = 0xff;
    copy[end + 1] = 0xd9;
    bytes = copy;
    n = end + 2;
  }
  out->step = 3;
  status = picture_stb(mem, bytes, n, info, 0, NN_ALLOC_MAX, out, err);
  nn_free(mem, copy);
  return status;
}

static nn_status picture_png(const nn_memory *mem, const uint8_t *bytes,
                             size_t n, const nn_picture_info *info,
                             picture_pixels *out, nn_error *err) {
  int depth, colors;
  uint8_t *copy = NULL;
  nn_status status = nn_png_check(bytes, n, &depth, &colors, err);
  if (status) return status;
  if (colors < 256) {
    copy = nn_alloc(mem, n + NN_PNG_PALETTE);
    if (!copy) return nn_fail(err, NN_NOMEM, "out of memory");
    n = nn_png_fill_palette(bytes, n, copy);
    bytes = copy;
  }
  /* The file's data is gathered and its rows inflated, both with doubling;
  ** nothing else is larger than 8 bytes a pixel. */
  size_t pixels = (size_t)info->width * (size_t)info->height;
  size_t most = 16 * pixels + 8 * (size_t)info->height + 2 * n + 65536;
  out->step = info->channels == 1 || info->channels == 3 ? 3 : 4;
  status = picture_stb(mem, bytes, n, info, depth == 16, most, out, err);
  if (!status && depth == 16) {
    picture_narrow(out->bytes, pixels);
    out->step = 4;
  }
  nn_free(mem, copy);
  return status;
}

static nn_status picture_bmp(const nn_memory *mem, const uint8_t *bytes,
                             size_t n, const nn_picture_info *info,
                             picture_pixels *out, nn_error *err) {
  nn_status status = nn_bmp_check(bytes, n, err);
  if (status) return status;
  out->step = info->channels;
  return picture_stb(mem, bytes, n, info, 0, NN_ALLOC_MAX, out, err);
}

static nn_status picture_gif(const nn_memory *mem, const uint8_t *bytes,
                             size_t n, picture_pixels *out, nn_error *err) {
  nn_status status = nn_gif_decode(mem, bytes, n, &out->bytes, err);
  out->owned = out->bytes;
  out->step = 3;
  return status;
}

/* The interface ----------------------------------------------------------- */

/* Format and header, the size as stored. */
static nn_status picture_header(const void *bytes, size_t n,
                                picture_format *format, nn_picture_info *out,
                                nn_error *err) {
  nn_status status = picture_detect(bytes, n, format, err);
  if (status) return status;
  switch (*format) {
    case PICTURE_JPEG: return nn_jpeg_read_info(bytes, n, out, err);
    case PICTURE_PNG: return nn_png_read_info(bytes, n, out, err);
    case PICTURE_GIF: return nn_gif_read_info(bytes, n, out, err);
    default: return nn_bmp_read_info(bytes, n, out, err);
  }
}

nn_status nn_picture_read_info(const void *bytes, size_t n,
                               nn_picture_info *out, nn_error *err) {
  picture_format format = PICTURE_JPEG;
  nn_status status = picture_header(bytes, n, &format, out, err);
  if (!status && out->orientation >= 5) {
    int width = out->width;
    out->width = out->height;
    out->height = width;
  }
  return status;
}

/* stb_image counts in int, and no block is larger than NN_ALLOC_MAX. */
static nn_status picture_budget(const nn_picture_info *info, uint64_t max,
                                nn_error *err) {
  const uint64_t hard = NN_ALLOC_MAX / 4 - 65536;
  uint64_t pixels = (uint64_t)info->width * (uint64_t)info->height;
  if (max > hard) max = hard;
  if (pixels > max) {
    return nn_fail(err, NN_TOO_LARGE,
                   "the picture has %d x %d pixels, more than the limit of "
                   "%llu", info->width, info->height, (unsigned long long)max);
  }
  if (info->width > STBI_MAX_DIMENSIONS || info->height > STBI_MAX_DIMENSIONS) {
    return nn_fail(err, NN_TOO_LARGE,
                   "the picture has %d x %d pixels, more than %d in a row",
                   info->width, info->height, STBI_MAX_DIMENSIONS);
  }
  return NN_OK;
}

/* Decode in full; info is as stored. */
static nn_status picture_full(const nn_memory *mem, const void *bytes, size_t n,
                              picture_format format,
                              const nn_picture_info *info, nn_picture *out,
                              nn_error *err) {
  picture_pixels pixels = {NULL, NULL, 3};
  nn_status status;
  switch (format) {
    case PICTURE_JPEG:
      status = picture_jpeg(mem, bytes, n, info, &pixels, err);
      break;
    case PICTURE_PNG:
      status = picture_png(mem, bytes, n, info, &pixels, err);
      break;
    case PICTURE_GIF:
      status = picture_gif(mem, bytes, n, &pixels, err);
      break;
    default:
      status = picture_bmp(mem, bytes, n, info, &pixels, err);
  }
  if (status) return status;
  if (pixels.step == 4) {
    picture_on_white(pixels.bytes, (size_t)info->width * (size_t)info->height);
  }
  *out = (nn_picture){.pixels = pixels.bytes, .width = info->width,
                      .height = info->height, .dx = pixels.step,
                      .dy = (ptrdiff_t)pixels.step * info->width,
                      .owned = pixels.owned};
  return NN_OK;
}

nn_status nn_picture_decode_as(const nn_memory *mem,
                               const nn_preprocess *preprocess,
                               const void *bytes, size_t n,
                               uint64_t max_pixels, nn_picture *out,
                               nn_error *err) {
  picture_format format = PICTURE_JPEG;
  nn_picture_info info;
  int done = 0;
  nn_status status = picture_header(bytes, n, &format, &info, err);
  if (!status) status = picture_budget(&info, max_pixels, err);
  if (!status && format == PICTURE_JPEG && preprocess && preprocess->reduced) {
    status = nn_jpeg_reduce(mem, bytes, n, preprocess, out, &done, err);
  }
  if (!status && !done) {
    status = picture_full(mem, bytes, n, format, &info, out, err);
  }
  if (!status) nn_orient(out, info.orientation);
  return status;
}

nn_status nn_picture_decode(const nn_memory *mem, const void *bytes, size_t n,
                            uint64_t max_pixels, nn_picture *out,
                            nn_error *err) {
  return nn_picture_decode_as(mem, NULL, bytes, n, max_pixels, out, err);
}

nn_status nn_picture_decode_for(const nn_memory *mem, const nn_model *model,
                                const void *bytes, size_t n,
                                uint64_t max_pixels, nn_picture *out,
                                nn_error *err) {
  return nn_picture_decode_as(mem, &model->preprocess, bytes, n, max_pixels,
                              out, err);
}

void nn_picture_borrow(const uint8_t *rgb, int width, int height,
                       nn_picture *out) {
  *out = (nn_picture){.pixels = rgb, .width = width, .height = height, .dx = 3,
                      .dy = (ptrdiff_t)3 * width};
}

void nn_picture_free(const nn_memory *mem, nn_picture *picture) {
  nn_free(mem, picture->owned);
  memset(picture, 0, sizeof(*picture));
}

/*
** GIF: the first frame, decoded here.
**
** The decoder is small, and checking that a frame is complete takes all of it
** but the last step; so it is not left to stb_image, which reads files from
** trusted hands well but refuses those whose encoder keeps a full table of
** strings (the format allows it, gifsicle does it), calls itself for every byte
** of a string, up to 4096 deep, and paints what the first frame leaves open in
** the background colour with red and blue swapped.  Its GIF code is not
** compiled in at all, which also disposes of what is known against it (see
** picture.c).
**
** A GIF is a header with the size of the screen, perhaps a palette, then
** blocks: extensions, of which only the one that names a transparent index
** counts here, and frames.  A frame is a rectangle of indices, packed as LZW
** codes of growing width, cut into sub-blocks of up to 255 bytes.
**
** How a code becomes pixels: table entry c is the string of entry prefix[c]
** followed by the byte suffix[c], and its length is known, so it is written
** backwards into its place among the indices.  Then the indices are painted in
** the order of their rows, which is another one when the frame is interlaced.
**
** The screen is white, and so is what the frame does not cover, what it makes
** transparent, and an index beyond the palette.  A frame that reaches beyond
** the screen enlarges it, as browsers do.  Later frames are not looked at, nor
** is anything behind the first.
**
** Errors: sub-blocks that go beyond the file, a code that is not in the table,
** a stream that ends before the last pixel.
*/
#include <string.h>

#include "nn_int.h"

enum { GIF_CODES = 4096 };

typedef struct gif_frame {
  int width, height;            /* of the screen */
  int x, y, w, h;               /* the frame on it */
  int interlaced;
  int transparent;              /* index, or -1 */
  const uint8_t *palette;
  int colors;
  size_t data;                  /* where the code size and sub-blocks start */
} gif_frame;

static nn_status gif_damaged(nn_error *err, const char *why) {
  return nn_fail(err, NN_PICTURE, "the GIF is damaged: %s", why);
}

static int gif_u16(const uint8_t *p) { return p[1] << 8 | p[0]; }

/* Blocks ------------------------------------------------------------------ */

/* The end of a chain of sub-blocks that starts at `at`; 0 when the file ends
** before it does. */
static size_t gif_chain(const uint8_t *bytes, size_t n, size_t at) {
  while (at < n && bytes[at]) at += (size_t)1 + bytes[at];
  return at < n ? at + 1 : 0;
}

/* A palette as the flags before it describe it; *at goes behind it. */
static nn_status gif_palette(const uint8_t *bytes, size_t n, int flags,
                             size_t *at, gif_frame *frame, nn_error *err) {
  if (!(flags & 0x80)) return NN_OK;
  int colors = 2 << (flags & 7);
  if (n - *at < (size_t)colors * 3) return gif_damaged(err, "it ends early");
  frame->palette = bytes + *at;
  frame->colors = colors;
  *at += (size_t)colors * 3;
  return NN_OK;
}

/* The frame's descriptor, 9 bytes at `at`, and its own palette. */
static nn_status gif_descriptor(const uint8_t *bytes, size_t n, size_t at,
                                gif_frame *frame, nn_error *err) {
  if (n - at < 9) return gif_damaged(err, "it ends early");
  const uint8_t *p = bytes + at;
  frame->x = gif_u16(p);
  frame->y = gif_u16(p + 2);
  frame->w = gif_u16(p + 4);
  frame->h = gif_u16(p + 6);
  frame->interlaced = p[8] >> 6 & 1;
  if (!frame->w || !frame->h) return gif_damaged(err, "its frame has no size");
  if (frame->width < frame->x + frame->w) frame->width = frame->x + frame->w;
  if (frame->height < frame->y + frame->h) frame->height = frame->y + frame->h;
  at += 9;
  nn_status status = gif_palette(bytes, n, p[8], &at, frame, err);
  if (status) return status;
  if (!frame->palette) return gif_damaged(err, "it has no palette");
  frame->data = at;
  return NN_OK;
}

/* Everything up to the data of the first frame. */
static nn_status gif_open(const uint8_t *bytes, size_t n, gif_frame *frame,
                          nn_error *err) {
  memset(frame, 0, sizeof(*frame));
  frame->transparent = -1;
  if (n < 13) return gif_damaged(err, "it ends early");
  frame->width = gif_u16(bytes + 6);
  frame->height = gif_u16(bytes + 8);
  size_t at = 13;
  nn_status status = gif_palette(bytes, n, bytes[10], &at, frame, err);
  if (status) return status;
  for (;;) {
    if (n - at < 2) return gif_damaged(err, "it ends before its first frame");
    if (bytes[at] == 0x2c) {
      return gif_descriptor(bytes, n, at + 1, frame, err);
    }
    if (bytes[at] != 0x21) return gif_damaged(err, "it has an unknown block");
    /* The graphic control extension: length 4, flags, delay, index. */
    const uint8_t *p = bytes + at;
    if (p[1] == 0xf9 && n - at >= 7 && p[2] == 4) {
      frame->transparent = p[3] & 1 ? p[6] : -1;
    }
    at = gif_chain(bytes, n, at + 2);
    if (!at) return gif_damaged(err, "it ends within an extension");
  }
}

nn_status nn_gif_read_info(const uint8_t *bytes, size_t n,
                           nn_picture_info *info, nn_error *err) {
  gif_frame frame;
  nn_status status = gif_open(bytes, n, &frame, err);
  if (status) return status;
  info->format = "gif";
  info->width = frame.width;
  info->height = frame.height;
  info->channels = frame.transparent >= 0 ? 4 : 3;
  info->orientation = 1;
  return NN_OK;
}

/* Codes ------------------------------------------------------------------- */

typedef struct gif_table {
  uint16_t prefix[GIF_CODES];
  uint16_t length[GIF_CODES];
  uint8_t first[GIF_CODES], suffix[GIF_CODES];
} gif_table;

/* The bits of a chain of sub-blocks. */
typedef struct gif_bits {
  const uint8_t *p, *end;
  int left;          /* bytes of the sub-block */
  uint32_t bits;
  int count;
} gif_bits;

/* A code of `width` bits, or -1 when the chain has ended. */
static int gif_code(gif_bits *b, int width) {
  while (b->count < width) {
    if (!b->left) {
      if (b->p == b->end || !*b->p) return -1;
      b->left = *b->p++;
    }
    if (b->p == b->end) return -1;
    b->bits |= (uint32_t)*b->p++ << b->count;
    b->count += 8;
    b->left--;
  }
  int code = (int)(b->bits & ((1u << width) - 1));
  b->bits >>= width;
  b->count -= width;
  return code;
}

static void gif_reset(gif_table *t, int roots) {
  for (int i = 0; i < roots; i++) {
    t->length[i] = 1;
    t->first[i] = t->suffix[i] = (uint8_t)i;
  }
}

static void gif_add(gif_table *t, int entry, int prefix, int suffix) {
  t->prefix[entry] = (uint16_t)prefix;
  t->suffix[entry] = (uint8_t)suffix;
  t->first[entry] = t->first[prefix];
  t->length[entry] = (uint16_t)(t->length[prefix] + 1);
}

/* The string of a code, as far as there is room; returns what was written. */
static size_t gif_emit(const gif_table *t, int code, uint8_t *to,
                       size_t room) {
  size_t length = t->length[code];
  for (size_t i = length; i-- > 0; code = t->prefix[code]) {
    if (i < room) to[i] = t->suffix[code];
  }
  return length < room ? length : room;
}

/* The frame's w * h indices. */
static const char *gif_indices(const uint8_t *bytes, size_t n, size_t at,
                               gif_table *t, uint8_t *out, size_t room) {
  if (at == n) return "it ends early";
  int size = bytes[at];
  if (size < 1 || size > 8) return "its code size is out of range";
  gif_bits b = {bytes + at + 1, bytes + n, 0, 0, 0};
  int clear = 1 << size, next = clear + 2, width = size + 1, last = -1;
  gif_reset(t, clear);
  while (room) {
    int code = gif_code(&b, width);
    if (code < 0 || code == clear + 1) return "its frame ends early";
    if (code == clear) {
      next = clear + 2;
      width = size + 1;
      last = -1;
      continue;
    }
    if (last < 0 ? code > clear : code > next) {
      return "it has a code that is in no table";
    }
    /* A full table stays as it is until it is cleared. */
    if (last >= 0 && next < GIF_CODES) {
      gif_add(t, next, last, t->first[code == next ? last : code]);
      next++;
      if (next == 1 << width && width < 12) width++;
    } else if (code >= next) {
      return "it has a code that is in no table";
    }
    size_t written = gif_emit(t, code, out, room);
    out += written;
    room -= written;
    last = code;
  }
  return gif_chain(bytes, n, at + 1) ? NULL : "it ends within its frame";
}

/* Pixels ------------------------------------------------------------------ */

static void gif_paint_row(const gif_frame *f, const uint8_t *index,
                          uint8_t *to) {
  for (int x = 0; x < f->w; x++, to += 3) {
    if (index[x] == f->transparent || index[x] >= f->colors) continue;
    memcpy(to, f->palette + 3 * index[x], 3);
  }
}

static void gif_paint(const gif_frame *f, const uint8_t *index, uint8_t *rgb) {
  /* Where each pass over the rows begins, and its step. */
  static const int start[4] = {0, 4, 2, 1}, step[4] = {8, 8, 4, 2};
  int passes = f->interlaced ? 4 : 1;
  for (int pass = 0; pass < passes; pass++) {
    int y = f->interlaced ? start[pass] : 0;
    for (; y < f->h; y += f->interlaced ? step[pass] : 1, index += f->w) {
      size_t row = (size_t)(f->y + y) * (size_t)f->width + (size_t)f->x;
      gif_paint_row(f, index, rgb + 3 * row);
    }
  }
}

nn_status nn_gif_decode(const nn_memory *mem, const uint8_t *bytes, size_t n,
                        uint8_t **rgb, nn_error *err) {
  gif_frame frame;
  nn_status status = gif_open(bytes, n, &frame, err);
  if (status) return status;
  size_t pixels = (size_t)frame.w * (size_t)frame.h;
  size_t size = nn_mul((size_t)frame.width * (size_t)frame.height, 3);
  gif_table *table = nn_alloc(mem, sizeof(*table));
  uint8_t *index = nn_alloc(mem, pixels);
  *rgb = nn_alloc(mem, size);
  if (!table || !index || !*rgb) {
    status = nn_fail(err, NN_NOMEM, "out of memory");
  } else {
    const char *why = gif_indices(bytes, n, frame.data, table, index, pixels);
    if (why) status = gif_damaged(err, why);
  }
  if (!status) {
    memset(*rgb, 255, size);
    gif_paint(&frame, index, *rgb);
  } else {
    nn_free(mem, *rgb);
  }
  nn_free(mem, index);
  nn_free(mem, table);
  return status;
}

/*
** Are a PNG and a BMP whole?  What stands around their pixels.
**
** Both keep their pixels in one piece that stb_image reads well when it is
** there.  What it does not look at is looked at here, before it runs:
**
**   - A PNG is a row of chunks, each with its length, a name, and a CRC that
**     stb_image skips.  The chunks must lie within the file, IHDR first and
**     IEND last, the IDATs together; the CRCs of the chunks that make pixels
**     must hold, so that a flipped bit is an error and not another picture.
**     Unknown critical chunks are refused (Apple's CgBI among them, whose
**     colours are swapped): stb_image would write the name of such a chunk into
**     a static buffer, which threads share.
**   - The palette of a PNG may be shorter than the indices that its pixels use.
**     stb_image then reads beyond what it filled.  Which indices occur is known
**     only after inflating, so the palette is filled up with black instead, in
**     a copy.  (That the inflated pixels are complete, stb_image checks.)
**   - A BMP is a header, perhaps a palette, and rows.  stb_image reads zeros
**     behind the end of the file and the stack behind the end of the palette:
**     the rows must lie in the file and each index in the palette.  Refused by
**     name: run-length coding, embedded JPEG and PNG, and palettes of OS/2,
**     which stb_image cuts short.
**
** The headers give width, height, channels and, from a PNG's eXIf chunk, the
** orientation; that is all that reading the info of a picture takes.
*/
#include <limits.h>
#include <string.h>

#include "nn_int.h"

static uint32_t container_be32(const uint8_t *p) {
  return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 |
         p[3];
}

static uint32_t container_le16(const uint8_t *p) {
  return (uint32_t)p[1] << 8 | p[0];
}

static uint32_t container_le32(const uint8_t *p) {
  return container_le16(p + 2) << 16 | container_le16(p);
}

/* PNG: checksums ---------------------------------------------------------- */

/* crc[k][b]: what byte b does to the CRC when k more bytes follow it. */
typedef struct container_crc {
  uint32_t table[8][256];
} container_crc;

static void container_crc_build(container_crc *crc) {
  for (uint32_t i = 0; i < 256; i++) {
    uint32_t c = i;
    for (int k = 0; k < 8; k++) c = c & 1 ? c >> 1 ^ 0xedb88320u : c >> 1;
    crc->table[0][i] = c;
  }
  for (int k = 1; k < 8; k++) {
    for (int i = 0; i < 256; i++) {
      uint32_t c = crc->table[k - 1][i];
      crc->table[k][i] = c >> 8 ^ crc->table[0][c & 255];
    }
  }
}

static uint32_t container_crc_of(const container_crc *crc, const uint8_t *p,
                                 size_t n) {
  uint32_t c = 0xffffffffu;
  for (; n >= 8; n -= 8, p += 8) {
    c ^= container_le32(p);
    c = crc->table[7][c & 255] ^ crc->table[6][c >> 8 & 255] ^
        crc->table[5][c >> 16 & 255] ^ crc->table[4][c >> 24] ^
        crc->table[3][p[4]] ^ crc->table[2][p[5]] ^ crc->table[1][p[6]] ^
        crc->table[0][p[7]];
  }
  for (; n; n--, p++) c = c >> 8 ^ crc->table[0][(c ^ *p) & 255];
  return ~c;
}

/* PNG: chunks ------------------------------------------------------------- */

enum {
  CONTAINER_PNG_SIGNATURE = 8,
  CONTAINER_PNG_CHUNK = 12   /* length, name and CRC of a chunk */
};

/* What the chunks seen so far say. */
typedef struct container_png {
  uint32_t width, height;
  int depth, type;           /* type: 1 palette, 2 colour, 4 alpha */
  int colors, transparent;
  int orientation;
  int idat;                  /* 0 before the first, 1 in them, 2 behind them */
  int end;
} container_png;

static nn_status container_png_damaged(nn_error *err, const char *why) {
  return nn_fail(err, NN_PICTURE, "the PNG is damaged: %s", why);
}

static nn_status container_png_header(container_png *png, const uint8_t *p,
                                      uint32_t length, nn_error *err) {
  /* Bit d of depths[type]: a depth of d bits is allowed. */
  static const uint32_t depths[7] = {0x10116, 0, 0x10100, 0x116, 0x10100, 0,
                                     0x10100};
  if (length != 13) return container_png_damaged(err, "IHDR is malformed");
  png->width = container_be32(p);
  png->height = container_be32(p + 4);
  png->depth = p[8];
  png->type = p[9];
  if (!png->width || !png->height || png->width > INT_MAX ||
      png->height > INT_MAX || p[8] > 16 || p[9] > 6 ||
      !(depths[p[9]] >> p[8] & 1) || p[10] || p[11] || p[12] > 1) {
    return container_png_damaged(err, "IHDR is malformed");
  }
  return NN_OK;
}

static nn_status container_png_palette(container_png *png, uint32_t length,
                                       nn_error *err) {
  int wrong = length % 3 || !length || length > 3 * 256 || png->colors;
  if (wrong || png->idat) {
    return container_png_damaged(err, "PLTE is malformed");
  }
  png->colors = (int)length / 3;
  return NN_OK;
}

static nn_status container_png_transparency(container_png *png, uint32_t length,
                                            nn_error *err) {
  uint32_t most = png->type == 0 ? 2 : png->type == 2 ? 6 : 0;
  int wrong = length != most;
  if (png->type == 3) wrong = !length || length > (uint32_t)png->colors;
  if (wrong || png->idat || png->transparent) {
    return container_png_damaged(err, "tRNS is malformed");
  }
  png->transparent = 1;
  return NN_OK;
}

/* One chunk; p is its data. */
static nn_status container_png_chunk(container_png *png, const uint8_t *name,
                                     const uint8_t *p, uint32_t length,
                                     nn_error *err) {
  int is_idat = !memcmp(name, "IDAT", 4);
  if (!png->width) {
    if (!memcmp(name, "CgBI", 4)) {
      return nn_fail(err, NN_PICTURE, "PNG in Apple's CgBI form is not "
                     "supported");
    }
    if (memcmp(name, "IHDR", 4)) {
      return container_png_damaged(err, "it does not begin with IHDR");
    }
    return container_png_header(png, p, length, err);
  }
  if (png->idat == 1 && !is_idat) png->idat = 2;
  if (is_idat) {
    if (png->idat == 2) return container_png_damaged(err, "IDAT is split");
    if (png->type == 3 && !png->colors) {
      return container_png_damaged(err, "it has no palette");
    }
    /* It is legal and pointless, but stb_image would add to a null pointer. */
    if (!png->idat && !length) {
      return container_png_damaged(err, "its first IDAT is empty");
    }
    png->idat = 1;
  } else if (!memcmp(name, "PLTE", 4)) {
    return container_png_palette(png, length, err);
  } else if (!memcmp(name, "tRNS", 4)) {
    return container_png_transparency(png, length, err);
  } else if (!memcmp(name, "eXIf", 4)) {
    if (!png->orientation) png->orientation = nn_exif_orientation(p, length);
  } else if (!memcmp(name, "IEND", 4)) {
    if (!png->idat) return container_png_damaged(err, "it has no IDAT");
    png->end = 1;
  } else if (!(name[0] & 0x20)) {
    return container_png_damaged(err, "it has an unknown critical chunk");
  }
  return NN_OK;
}

/* Go through all chunks; with a table, check the CRCs that matter. */
static nn_status container_png_walk(const uint8_t *bytes, size_t n,
                                    const container_crc *crc,
                                    container_png *png, nn_error *err) {
  memset(png, 0, sizeof(*png));
  for (size_t at = CONTAINER_PNG_SIGNATURE; !png->end;) {
    const uint8_t *p = bytes + at;
    if (n - at < CONTAINER_PNG_CHUNK ||
        container_be32(p) > n - at - CONTAINER_PNG_CHUNK) {
      return container_png_damaged(err, "it ends early");
    }
    uint32_t length = container_be32(p);
    const uint8_t *name = p + 4;
    int matters = !(name[0] & 0x20) || !memcmp(name, "tRNS", 4) ||
                  !memcmp(name, "eXIf", 4);
    if (crc && matters &&
        container_crc_of(crc, name, length + (size_t)4) !=
            container_be32(p + 8 + length)) {
      return container_png_damaged(err, "a checksum does not hold");
    }
    nn_status status = container_png_chunk(png, name, p + 8, length, err);
    if (status) return status;
    at += CONTAINER_PNG_CHUNK + (size_t)length;
  }
  return NN_OK;
}

nn_status nn_png_read_info(const uint8_t *bytes, size_t n,
                           nn_picture_info *info, nn_error *err) {
  container_png png;
  nn_status status = container_png_walk(bytes, n, NULL, &png, err);
  if (status) return status;
  info->format = "png";
  info->width = (int)png.width;
  info->height = (int)png.height;
  info->channels = png.type & 2 ? 3 : 1;
  if (png.type & 4 || png.transparent) info->channels++;
  info->orientation = png.orientation ? png.orientation : 1;
  return NN_OK;
}

nn_status nn_png_check(const uint8_t *bytes, size_t n, int *depth, int *colors,
                       nn_error *err) {
  container_crc crc;
  container_png png;
  container_crc_build(&crc);
  nn_status status = container_png_walk(bytes, n, &crc, &png, err);
  if (status) return status;
  *depth = png.depth;
  *colors = png.type == 3 ? png.colors : 256;
  return NN_OK;
}

size_t nn_png_fill_palette(const uint8_t *bytes, size_t n, uint8_t *to) {
  const uint8_t *p = bytes + CONTAINER_PNG_SIGNATURE;
  while (memcmp(p + 4, "PLTE", 4)) {
    p += CONTAINER_PNG_CHUNK + (size_t)container_be32(p);
  }
  size_t before = (size_t)(p - bytes), length = container_be32(p);
  size_t after = before + CONTAINER_PNG_CHUNK + length;
  static const uint8_t head[8] = {0, 0, 3, 0, 'P', 'L', 'T', 'E'};
  memcpy(to, bytes, before);
  uint8_t *q = to + before;
  memset(q, 0, NN_PNG_PALETTE);   /* the CRC too: nobody looks at it again */
  memcpy(q, head, sizeof(head));
  memcpy(q + 8, p + 8, length);
  memcpy(q + NN_PNG_PALETTE, bytes + after, n - after);
  return n - CONTAINER_PNG_CHUNK - length + NN_PNG_PALETTE;
}

/* BMP --------------------------------------------------------------------- */

typedef struct container_bmp {
  uint32_t header;         /* bytes */
  uint32_t offset;         /* of the rows, from the start of the file */
  uint32_t width, height;
  int bits;
  uint32_t compression;    /* 0 none, 3 masks for the channels */
  uint32_t alpha;          /* mask */
} container_bmp;

static nn_status container_bmp_damaged(nn_error *err, const char *why) {
  return nn_fail(err, NN_PICTURE, "the BMP is damaged: %s", why);
}

static nn_status container_bmp_unsupported(nn_error *err, const char *what) {
  return nn_fail(err, NN_PICTURE, "BMP %s is not supported", what);
}

static nn_status container_bmp_sizes(container_bmp *bmp, const uint8_t *p,
                                     nn_error *err) {
  if (bmp->header == 12) {
    bmp->width = container_le16(p + 18);
    bmp->height = container_le16(p + 20);
    bmp->bits = (int)container_le16(p + 24);
  } else {
    bmp->width = container_le32(p + 18);
    bmp->height = container_le32(p + 22);
    bmp->bits = (int)container_le16(p + 28);
    bmp->compression = container_le32(p + 30);
    /* A negative height says that the rows go from the top down. */
    if (bmp->height > INT_MAX) bmp->height = 0 - bmp->height;
  }
  if (!bmp->width || bmp->width > INT_MAX || !bmp->height ||
      bmp->height > INT_MAX) {
    return container_bmp_damaged(err, "its header gives no size");
  }
  return NN_OK;
}

static nn_status container_bmp_header(container_bmp *bmp, const uint8_t *p,
                                      size_t n, nn_error *err) {
  memset(bmp, 0, sizeof(*bmp));
  if (n < 26) return container_bmp_damaged(err, "it ends early");
  bmp->offset = container_le32(p + 10);
  bmp->header = container_le32(p + 14);
  if (bmp->header != 12 && bmp->header != 40 && bmp->header != 56 &&
      bmp->header != 108 && bmp->header != 124) {
    return container_bmp_unsupported(err, "with a header of this size");
  }
  if (n < 14 + (size_t)bmp->header) {
    return container_bmp_damaged(err, "it ends early");
  }
  nn_status status = container_bmp_sizes(bmp, p, err);
  if (status) return status;
  if (bmp->compression != 0 && bmp->compression != 3) {
    return container_bmp_unsupported(err, "with compressed rows");
  }
  if (bmp->bits != 1 && bmp->bits != 4 && bmp->bits != 8 && bmp->bits != 16 &&
      bmp->bits != 24 && bmp->bits != 32) {
    return container_bmp_unsupported(err, "of this depth");
  }
  if (bmp->header == 12 && bmp->bits < 24) {
    return container_bmp_unsupported(err, "with an OS/2 palette");
  }
  /* As stb_image sees it: only the long headers have a mask for alpha. */
  if (bmp->bits == 32 && !bmp->compression) bmp->alpha = 0xff000000u;
  if (bmp->compression == 3 && bmp->header >= 108) {
    bmp->alpha = container_le32(p + 66);
  }
  return NN_OK;
}

nn_status nn_bmp_read_info(const uint8_t *bytes, size_t n,
                           nn_picture_info *info, nn_error *err) {
  container_bmp bmp;
  nn_status status = container_bmp_header(&bmp, bytes, n, err);
  if (status) return status;
  info->format = "bmp";
  info->width = (int)bmp.width;
  info->height = (int)bmp.height;
  info->channels = bmp.alpha ? 4 : 3;
  info->orientation = 1;
  return NN_OK;
}

/* Does each pixel's index lie in the palette? */
static int container_bmp_indices(const container_bmp *bmp, const uint8_t *rows,
                                 size_t stride, uint32_t colors) {
  if (colors >= 1u << bmp->bits) return 1;
  int per_byte = 8 / bmp->bits;
  unsigned mask = (1u << bmp->bits) - 1;
  for (uint32_t y = 0; y < bmp->height; y++, rows += stride) {
    for (uint32_t x = 0; x < bmp->width; x++) {
      int shift = 8 - bmp->bits * (1 + (int)(x % (uint32_t)per_byte));
      if ((rows[x / (uint32_t)per_byte] >> shift & mask) >= colors) return 0;
    }
  }
  return 1;
}

nn_status nn_bmp_check(const uint8_t *bytes, size_t n, nn_error *err) {
  container_bmp bmp;
  nn_status status = container_bmp_header(&bmp, bytes, n, err);
  if (status) return status;
  uint64_t stride = ((uint64_t)bmp.width * (uint64_t)bmp.bits + 31) / 32 * 4;
  uint32_t start = 14 + bmp.header;
  if (bmp.compression == 3 && bmp.header < 108) start += 12;
  if (bmp.offset < start || bmp.offset > n ||
      stride > (n - bmp.offset) / bmp.height) {
    return container_bmp_damaged(err, "its rows are not in the file");
  }
  if (bmp.bits > 8) return NN_OK;
  uint32_t colors = (bmp.offset - start) / 4;
  if (colors > 256) colors = 256;
  if (!container_bmp_indices(&bmp, bytes + bmp.offset, (size_t)stride,
                             colors)) {
    return container_bmp_damaged(err, "a pixel is not in the palette");
  }
  return NN_OK;
}

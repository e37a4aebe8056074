/*
** Is a JPEG whole?  Its marker segments, and which scan codes what.
**
** stb_image is a forgiving reader: it gives pixels for files that lack a
** component, whose tables are undefined, whose scans stop in the middle, and
** those pixels are whatever the memory held.  It also trusts lengths that later
** versions check (the codes of a Huffman table, for one).  A picture's code is
** stored for years, so a file is either whole or refused with a reason, by
** rules that do not depend on the version of stb_image underneath:
**
**   - every segment lies within the file and is well formed;
**   - the frame is baseline or extended sequential (SOF0, SOF1) or progressive
**     (SOF2), Huffman coded, of 8 bits, of 1, 3 or 4 components; others are
**     refused by name, and so are four components without Adobe's marker, whose
**     meaning nobody wrote down;
**   - each scan names components and tables that exist, and huffman.c can walk
**     its data to the end;
**   - sequential: each component is coded in exactly one scan;
**   - progressive: the scans of a coefficient come in order, each with one bit
**     more; every component has its DC.  AC coefficients may never arrive,
**     which is legal, but then the file must end with its marker: a progressive
**     file that was cut between two scans looks just like that;
**   - in a progressive file no quantiser changes once its component was begun,
**     since stb_image uses them at the end.
**
** Accepted all the same: a missing end-of-image marker, fill bytes, padding
** behind a scan, anything behind the end.
**
** Reading only the header (size, components, orientation) stops at the first
** scan.
*/
#include <string.h>

#include "jpeg.h"

/* More scans than any encoder writes; 10 are usual.  Each may cost a pass over
** all blocks, however short it is. */
#define JPEG_SCANS_MAX 128

enum {
  JPEG_SOF0 = 0xc0,
  JPEG_SOF1 = 0xc1,
  JPEG_SOF2 = 0xc2,
  JPEG_DHT = 0xc4,
  JPEG_SOF15 = 0xcf,
  JPEG_EOI = 0xd9,
  JPEG_SOS = 0xda,
  JPEG_DQT = 0xdb,
  JPEG_DNL = 0xdc,
  JPEG_DRI = 0xdd,
  JPEG_DHP = 0xde,
  JPEG_EXP = 0xdf,
  JPEG_APP0 = 0xe0,
  JPEG_APP1 = 0xe1,
  JPEG_APP14 = 0xee,
  JPEG_APP15 = 0xef,
  JPEG_COM = 0xfe
};

nn_status nn_jpeg_damaged(nn_error *err, const char *why) {
  return nn_fail(err, NN_PICTURE, "the JPEG is damaged: %s", why);
}

static int jpeg_u16(const uint8_t *p) { return p[0] << 8 | p[1]; }

/* Segments ---------------------------------------------------------------- */

/* The next marker, -1 at the end of the file, or 0 where there is none.  Bytes
** other than 0xff may be in between where encoders are known to pad: behind a
** scan, and before the frame. */
static int jpeg_next_marker(nn_jpeg *jpeg, int padded) {
  const uint8_t *p = jpeg->bytes + jpeg->at, *end = jpeg->bytes + jpeg->n;
  if (padded && p < end) {
    p = memchr(p, 0xff, (size_t)(end - p));
    if (!p) return -1;
  }
  if (p < end && *p != 0xff) return 0;
  while (p < end && *p == 0xff) p++;
  if (p == end) return -1;
  jpeg->at = (size_t)(p + 1 - jpeg->bytes);
  return *p;
}

/* The segment behind a marker, without its length. */
static nn_status jpeg_segment(nn_jpeg *jpeg, const uint8_t **data, int *length,
                              nn_error *err) {
  const uint8_t *p = jpeg->bytes + jpeg->at;
  size_t left = jpeg->n - jpeg->at;
  if (left < 2 || (size_t)jpeg_u16(p) > left) {
    return nn_jpeg_damaged(err, "it ends within a segment");
  }
  if (jpeg_u16(p) < 2) return nn_jpeg_damaged(err, "a segment has no length");
  *data = p + 2;
  *length = jpeg_u16(p) - 2;
  jpeg->at += (size_t)jpeg_u16(p);
  return NN_OK;
}

/* Is the table in use by a component whose data was read already? */
static int jpeg_quant_in_use(const nn_jpeg *jpeg, int table) {
  for (int c = 0; c < jpeg->components; c++) {
    const nn_jpeg_component *component = &jpeg->component[c];
    if (component->quant == table && component->known[0] >= 0) return 1;
  }
  return 0;
}

static nn_status jpeg_quantisers(nn_jpeg *jpeg, const uint8_t *p, int length,
                                 nn_error *err) {
  while (length > 0) {
    int wide = p[0] >> 4, table = p[0] & 15, size = 64 << wide;
    if (wide > 1 || table > 3 || length < 1 + size) {
      return nn_jpeg_damaged(err, "a quantisation table is malformed");
    }
    p++;
    uint32_t quant[65] = {0};
    for (int k = 0; k < 64; k++) {
      quant[k] = wide ? (uint32_t)jpeg_u16(p + 2 * k) : p[k];
      if (!quant[k]) return nn_jpeg_damaged(err, "a quantiser is 0");
      if (k && quant[k] > quant[64]) quant[64] = quant[k];
    }
    if (jpeg->progressive && jpeg_quant_in_use(jpeg, table) &&
        memcmp(jpeg->quant[table], quant, sizeof(quant))) {
      return nn_jpeg_damaged(err, "a quantisation table changes between scans");
    }
    memcpy(jpeg->quant[table], quant, sizeof(quant));
    p += size;
    length -= 1 + size;
  }
  return NN_OK;
}

static nn_status jpeg_huffman_codes(nn_jpeg *jpeg, const uint8_t *p, int length,
                                    nn_error *err) {
  while (length > 0) {
    int kind = p[0] >> 4, table = p[0] & 15, total = 0;
    unsigned code = 0;
    int fits = kind <= 1 && table <= 3 && length >= 17;
    for (int i = 1; fits && i <= 16; i++) {
      total += p[i];
      code += p[i];
      /* More codes of this length than there are. */
      if (code > 1u << i) fits = 0;
      code <<= 1;
    }
    /* 256 symbols would be legal, but no encoder has more than 175, and the
    ** last of 256 is misread by stb_image. */
    if (!fits || total > 255 || length < 17 + total) {
      return nn_jpeg_damaged(err, "a Huffman table is malformed");
    }
    nn_jpeg_codes *codes = &jpeg->codes[kind][table];
    memset(codes, 0, sizeof(*codes));
    codes->defined = 1;
    memcpy(codes->count + 1, p + 1, 16);
    memcpy(codes->values, p + 17, (size_t)total);
    p += 17 + total;
    length -= 17 + total;
  }
  return NN_OK;
}

/* Is it a marker of a segment that can be read or skipped? */
static int jpeg_is_other(int marker) {
  return marker == JPEG_DQT || marker == JPEG_DHT || marker == JPEG_DRI ||
         marker == JPEG_DNL || marker == JPEG_COM ||
         (marker >= JPEG_APP0 && marker <= JPEG_APP15);
}

/* Segments that may stand anywhere before the end. */
static nn_status jpeg_other_segment(nn_jpeg *jpeg, int marker, nn_error *err) {
  const uint8_t *p = NULL;
  int length = 0;
  if (!jpeg_is_other(marker)) {
    return nn_jpeg_damaged(err, "a marker is unknown or missing");
  }
  nn_status status = jpeg_segment(jpeg, &p, &length, err);
  if (status) return status;
  switch (marker) {
    case JPEG_DQT:
      return jpeg_quantisers(jpeg, p, length, err);
    case JPEG_DHT:
      return jpeg_huffman_codes(jpeg, p, length, err);
    case JPEG_DRI:
      if (length != 2) return nn_jpeg_damaged(err, "a segment is malformed");
      jpeg->restart_interval = jpeg_u16(p);
      return NN_OK;
    case JPEG_DNL:
      if (length != 2 || jpeg_u16(p) != jpeg->height) {
        return nn_jpeg_damaged(err, "its height is given twice");
      }
      return NN_OK;
    case JPEG_APP0:
      if (length >= 5 && !memcmp(p, "JFIF", 5)) jpeg->jfif = 1;
      return NN_OK;
    case JPEG_APP1:
      if (!jpeg->orientation && length >= 6 && !memcmp(p, "Exif\0", 6)) {
        jpeg->orientation = nn_exif_orientation(p + 6, (size_t)length - 6);
      }
      return NN_OK;
    case JPEG_APP14:
      if (length < 12 || memcmp(p, "Adobe", 6)) return NN_OK;
      if (jpeg->scans && jpeg->adobe != p[11]) {
        return nn_jpeg_damaged(err, "its colours change between scans");
      }
      jpeg->adobe = p[11];
      return NN_OK;
    default:
      return NN_OK;
  }
}

/* The frame --------------------------------------------------------------- */

static nn_status jpeg_unsupported_frame(int marker, nn_error *err) {
  const char *kind = "hierarchical";
  if (marker == 0xc3) kind = "lossless";
  if (marker >= 0xc9 && marker != JPEG_DHP) kind = "arithmetic-coded";
  if (marker == JPEG_EXP) kind = "hierarchical";
  return nn_fail(err, NN_PICTURE, "%s JPEG is not supported", kind);
}

/* What follows from the sampling factors. */
static nn_status jpeg_layout(nn_jpeg *jpeg, nn_error *err) {
  int h_max = 1, v_max = 1;
  for (int i = 0; i < jpeg->components; i++) {
    if (jpeg->component[i].h > h_max) h_max = jpeg->component[i].h;
    if (jpeg->component[i].v > v_max) v_max = jpeg->component[i].v;
  }
  jpeg->h_max = h_max;
  jpeg->v_max = v_max;
  jpeg->units_x = (jpeg->width + 8 * h_max - 1) / (8 * h_max);
  jpeg->units_y = (jpeg->height + 8 * v_max - 1) / (8 * v_max);
  for (int i = 0; i < jpeg->components; i++) {
    nn_jpeg_component *c = &jpeg->component[i];
    if (h_max % c->h || v_max % c->v) {
      return nn_fail(err, NN_PICTURE,
                     "JPEG with fractional sampling is not supported");
    }
    c->columns = ((jpeg->width * c->h + h_max - 1) / h_max + 7) / 8;
    c->rows = ((jpeg->height * c->v + v_max - 1) / v_max + 7) / 8;
    c->stride = jpeg->units_x * c->h;
    memset(c->known, -1, sizeof(c->known));
  }
  return NN_OK;
}

static nn_status jpeg_frame(nn_jpeg *jpeg, int marker, nn_error *err) {
  const uint8_t *p = NULL;
  int length = 0;
  if (marker > JPEG_SOF2) return jpeg_unsupported_frame(marker, err);
  if (jpeg->components) return nn_jpeg_damaged(err, "it has two frames");
  nn_status status = jpeg_segment(jpeg, &p, &length, err);
  if (status) return status;
  if (length < 6 || length != 6 + 3 * p[5]) {
    return nn_jpeg_damaged(err, "its frame header is malformed");
  }
  if (p[0] != 8) {
    return nn_fail(err, NN_PICTURE, "JPEG of %d bits is not supported", p[0]);
  }
  jpeg->progressive = marker == JPEG_SOF2;
  jpeg->height = jpeg_u16(p + 1);
  jpeg->width = jpeg_u16(p + 3);
  if (!jpeg->height || !jpeg->width) {
    return nn_jpeg_damaged(err, "its header gives no size");
  }
  if (p[5] != 1 && p[5] != 3 && p[5] != 4) {
    return nn_fail(err, NN_PICTURE, "JPEG of %d components is not supported",
                   p[5]);
  }
  jpeg->components = p[5];
  for (int i = 0; i < jpeg->components; i++) {
    nn_jpeg_component *c = &jpeg->component[i];
    const uint8_t *q = p + 6 + 3 * i;
    *c = (nn_jpeg_component){.id = q[0], .h = q[1] >> 4, .v = q[1] & 15,
                             .quant = q[2]};
    int bad = !c->h || c->h > 4 || !c->v || c->v > 4 || c->quant > 3;
    for (int j = 0; j < i; j++) bad |= jpeg->component[j].id == c->id;
    if (bad) return nn_jpeg_damaged(err, "its frame header is malformed");
  }
  return jpeg_layout(jpeg, err);
}

/* Scans ------------------------------------------------------------------- */

static int jpeg_find_component(const nn_jpeg *jpeg, int id) {
  for (int i = 0; i < jpeg->components; i++) {
    if (jpeg->component[i].id == id) return i;
  }
  return -1;
}

/* Which components, and with which tables. */
static nn_status jpeg_scan_components(nn_jpeg *jpeg, const uint8_t *p,
                                      nn_error *err) {
  int blocks = 0, seen = 0;
  for (int i = 0; i < jpeg->scan.components; i++) {
    int index = jpeg_find_component(jpeg, p[2 * i]);
    int tables = p[2 * i + 1];
    if (index < 0 || seen >> index & 1 || tables >> 4 > 3 ||
        (tables & 15) > 3) {
      return nn_jpeg_damaged(err, "a scan header is malformed");
    }
    nn_jpeg_component *c = &jpeg->component[index];
    jpeg->scan.component[i] = index;
    seen |= 1 << index;
    blocks += c->h * c->v;
    c->dc = tables >> 4;
    c->ac = tables & 15;
    if (!jpeg->quant[c->quant][0]) {
      return nn_jpeg_damaged(err, "a quantisation table is missing");
    }
    int refines_dc = jpeg->scan.first == 0 && jpeg->scan.high;
    if ((jpeg->scan.first == 0 && !refines_dc && !jpeg->codes[0][c->dc].defined)
        || (jpeg->scan.last > 0 && !jpeg->codes[1][c->ac].defined)) {
      return nn_jpeg_damaged(err, "a Huffman table is missing");
    }
  }
  if (jpeg->scan.components > 1 && blocks > 10) {
    return nn_jpeg_damaged(err, "its sampling factors are too large");
  }
  return NN_OK;
}

/* Does the scan bring what its components lack, in the order that counts? */
static nn_status jpeg_scan_progress(nn_jpeg *jpeg, nn_error *err) {
  int first = jpeg->scan.first, last = jpeg->scan.last;
  int high = jpeg->scan.high, low = jpeg->scan.low;
  for (int i = 0; i < jpeg->scan.components; i++) {
    nn_jpeg_component *c = &jpeg->component[jpeg->scan.component[i]];
    if (first > 0 && c->known[0] < 0) {
      return nn_jpeg_damaged(err, "a scan comes before the one it builds on");
    }
    for (int k = first; k <= last; k++) {
      int expected = high ? high : -1;
      if (c->known[k] != expected) {
        return nn_jpeg_damaged(err, "a scan repeats or skips another");
      }
      c->known[k] = (int8_t)low;
    }
  }
  return NN_OK;
}

static nn_status jpeg_scan_header(nn_jpeg *jpeg, nn_error *err) {
  const uint8_t *p = NULL;
  int length = 0;
  if (!jpeg->components) return nn_jpeg_damaged(err, "a scan has no frame");
  nn_status status = jpeg_segment(jpeg, &p, &length, err);
  if (status) return status;
  int n = length > 0 ? p[0] : 0;
  if (n < 1 || n > jpeg->components || length != 4 + 2 * n) {
    return nn_jpeg_damaged(err, "a scan header is malformed");
  }
  const uint8_t *q = p + 1 + 2 * n;
  jpeg->scan.components = n;
  jpeg->scan.first = q[0];
  jpeg->scan.last = q[1];
  jpeg->scan.high = q[2] >> 4;
  jpeg->scan.low = q[2] & 15;
  int bad;
  if (jpeg->progressive) {
    int dc = jpeg->scan.first == 0;
    bad = jpeg->scan.last > 63 || jpeg->scan.first > jpeg->scan.last ||
          (dc && jpeg->scan.last > 0) || (!dc && n > 1) ||
          jpeg->scan.low > 13 ||
          (jpeg->scan.high && jpeg->scan.high != jpeg->scan.low + 1);
  } else {
    /* Some encoders write 0 for the last coefficient. */
    bad = jpeg->scan.first || q[2];
    jpeg->scan.last = 63;
  }
  if (bad) return nn_jpeg_damaged(err, "a scan header is malformed");
  status = jpeg_scan_components(jpeg, p + 1, err);
  return status ? status : jpeg_scan_progress(jpeg, err);
}

/* The whole file ---------------------------------------------------------- */

/* Up to and with the header of the next scan, or to the end: *more is 0. */
static nn_status jpeg_to_scan(nn_jpeg *jpeg, int *more, nn_error *err) {
  for (int padded = 1;; padded = !jpeg->components) {
    int marker = jpeg_next_marker(jpeg, padded);
    nn_status status;
    *more = 0;
    if (marker < 0) return NN_OK;
    if (marker == JPEG_EOI) {
      jpeg->ended = 1;
      return NN_OK;
    }
    if (marker == JPEG_SOS) {
      *more = 1;
      return jpeg_scan_header(jpeg, err);
    }
    if ((marker >= JPEG_SOF0 && marker <= JPEG_SOF15 && marker != JPEG_DHT) ||
        marker == JPEG_DHP || marker == JPEG_EXP) {
      status = jpeg_frame(jpeg, marker, err);
    } else {
      status = jpeg_other_segment(jpeg, marker, err);
    }
    if (status) return status;
  }
}

nn_status nn_jpeg_open(nn_jpeg *jpeg, const uint8_t *bytes, size_t n,
                       nn_error *err) {
  int more;
  jpeg->bytes = bytes;
  jpeg->n = n;
  jpeg->at = 2;   /* behind SOI, which told that this is a JPEG */
  jpeg->adobe = -1;
  nn_status status = jpeg_to_scan(jpeg, &more, err);
  if (status) return status;
  /* All that is needed to know what it shows is there by now. */
  if (!more) return nn_jpeg_damaged(err, "it ends before its first scan");
  if (jpeg->components == 4 && jpeg->adobe != 0 && jpeg->adobe != 2) {
    return nn_fail(err, NN_PICTURE,
                   "JPEG of 4 components without Adobe's marker is not "
                   "supported");
  }
  return NN_OK;
}

nn_status nn_jpeg_read_info(const uint8_t *bytes, size_t n,
                            nn_picture_info *info, nn_error *err) {
  nn_jpeg jpeg;
  memset(&jpeg, 0, sizeof(jpeg));
  nn_status status = nn_jpeg_open(&jpeg, bytes, n, err);
  if (status) return status;
  info->format = "jpeg";
  info->width = jpeg.width;
  info->height = jpeg.height;
  info->channels = jpeg.components;
  info->orientation = jpeg.orientation ? jpeg.orientation : 1;
  return NN_OK;
}

/* Every component has its DC; without an end marker, all that there is. */
static nn_status jpeg_complete(const nn_jpeg *jpeg, nn_error *err) {
  for (int i = 0; i < jpeg->components; i++) {
    const nn_jpeg_component *c = &jpeg->component[i];
    if (c->known[0] < 0) return nn_jpeg_damaged(err, "a component is missing");
    for (int k = 0; k < 64 && !jpeg->ended; k++) {
      if (c->known[k]) return nn_jpeg_damaged(err, "it ends early");
    }
  }
  return NN_OK;
}

nn_status nn_jpeg_scans(const nn_memory *mem, nn_jpeg *jpeg,
                        const char *(*scan)(nn_jpeg *jpeg), nn_error *err) {
  nn_status status = NN_OK;
  jpeg->work = nn_alloc(mem, sizeof(*jpeg->work));
  if (!jpeg->work) return nn_fail(err, NN_NOMEM, "out of memory");
  for (int more = 1; !status && more;) {
    const char *why = NULL;
    if (++jpeg->scans > JPEG_SCANS_MAX) {
      status = nn_fail(err, NN_PICTURE, "JPEG of more than %d scans is not "
                       "supported", JPEG_SCANS_MAX);
    } else if ((why = scan(jpeg)) != NULL) {
      status = nn_fail(err, NN_PICTURE, "the JPEG is damaged: in scan %d, %s",
                       jpeg->scans, why);
    } else {
      status = jpeg_to_scan(jpeg, &more, err);
    }
  }
  nn_free(mem, jpeg->work);
  return status ? status : jpeg_complete(jpeg, err);
}

/* What a progressive file needs. */
static nn_status jpeg_blocks(const nn_memory *mem, nn_jpeg *jpeg,
                             nn_error *err) {
  for (int i = 0; i < jpeg->components; i++) {
    nn_jpeg_component *c = &jpeg->component[i];
    size_t count = (size_t)c->stride * (size_t)(jpeg->units_y * c->v);
    c->blocks = nn_zalloc(mem, nn_mul(count, sizeof(*c->blocks)));
    if (!c->blocks) return nn_fail(err, NN_NOMEM, "out of memory");
  }
  return NN_OK;
}

nn_status nn_jpeg_check(const nn_memory *mem, const uint8_t *bytes, size_t n,
                        size_t *end, nn_error *err) {
  nn_jpeg jpeg;
  memset(&jpeg, 0, sizeof(jpeg));
  nn_status status = nn_jpeg_open(&jpeg, bytes, n, err);
  if (!status && jpeg.progressive) status = jpeg_blocks(mem, &jpeg, err);
  if (!status) status = nn_jpeg_scans(mem, &jpeg, nn_jpeg_walk_scan, err);
  *end = jpeg.ended ? 0 : jpeg.at;
  for (int i = 0; i < 4; i++) nn_free(mem, jpeg.component[i].blocks);
  return status;
}

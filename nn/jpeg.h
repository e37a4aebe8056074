/*
** What jpeg.c, huffman.c, coefficients.c and reduce.c know of a JPEG together:
** its headers, the state of its decoding, and what each does for the others.
*/
#ifndef BINHASH_NN_JPEG_H
#define BINHASH_NN_JPEG_H

#include "nn_int.h"

/* Tables ------------------------------------------------------------------ */

enum {
  NN_JPEG_FAST = 10,     /* bits that the table of a code resolves */
  NN_JPEG_SKIP = 12      /* the same of a table of several codes */
};

/* A DHT table: codes per length, and their symbols in order of the codes. */
typedef struct nn_jpeg_codes {
  int defined;
  uint8_t count[17];
  uint8_t values[256];
} nn_jpeg_codes;

/* What its symbols mean in a scan. */
typedef enum nn_jpeg_kind {
  NN_JPEG_DC,
  NN_JPEG_AC,
  NN_JPEG_AC_FIRST,
  NN_JPEG_AC_REFINE
} nn_jpeg_kind;

/*
** The same, made ready for one scan by huffman.c.
**
** An entry of `fast`: bits 0-4 how many bits the code takes together with what
** follows it, bits 5-8 how many of them follow it, bits 9-15 the skip: how far
** the position in the block moves, 0 for a DC code, or one of NN_JPEG_END and
** NN_JPEG_BAD.  No entry is 0, which stands for a longer code.
**
** An entry of `skip` (AC codes of baseline scans) is for several codes at once,
** as many as the bits tell: bits 0-5 how many bits they all take, bits 6-12 the
** sum of their skips, at most 62, plus NN_JPEG_END when the last one ends the
** block, bits 13-31 the largest sum of magnitudes that they can have.  Where
** the bits tell no whole code, no bits and NN_JPEG_BAD.
*/
typedef struct nn_jpeg_lookup {
  uint16_t fast[1 << NN_JPEG_FAST];
  uint32_t skip[1 << NN_JPEG_SKIP];
  uint32_t limit[17];      /* end of the codes of a length, as 16 bits */
  int offset[17];          /* from a code to its place in values */
  const uint8_t *values;
  nn_jpeg_kind kind;
} nn_jpeg_lookup;

enum {
  NN_JPEG_END = 64,      /* the block, or a run of blocks, ends here */
  NN_JPEG_BAD = 127      /* no code, or one that means nothing */
};

/* Bits -------------------------------------------------------------------- */

enum {
  NN_BITS_BLOCK = 264,     /* bytes that no block exceeds, and 8 */
  NN_BITS_BUFFER = 1 << 14
};

/*
** The entropy-coded bits of a scan up to the next marker; see jpeg_bits.h.
** `count` bits at the top of `bits` are valid, what follows is at p.
*/
typedef struct nn_bits {
  uint64_t bits;
  int count;
  const uint8_t *p, *end;          /* of the data in the buffer */
  const uint8_t *from, *from_end;  /* of the file: what is not in there yet */
  int ended;                       /* from is at a marker, or at the end */
  uint8_t buffer[NN_BITS_BUFFER + NN_BITS_BLOCK + 32];
} nn_bits;

/* What a scan carries from block to block. */
typedef struct nn_jpeg_walk {
  int last[4];    /* DC prediction of each component */
  int run;        /* blocks that an end-of-band code still covers */
  int left;       /* units until the next restart marker */
  int restart;    /* its number, 0 to 7 */
  nn_bits b;
} nn_jpeg_walk;

/* What is needed to walk a scan. */
typedef struct nn_jpeg_work {
  nn_jpeg_lookup lookup[2][4];   /* DC, AC */
  nn_jpeg_walk walk;
} nn_jpeg_work;

/* A file ------------------------------------------------------------------ */

/* What the check knows of a block between the scans of a progressive file. */
typedef struct nn_jpeg_block {
  uint64_t nonzero;        /* bit k: coefficient k, in zigzag order */
  uint16_t sum[4];         /* bounds on its size, see huffman.c */
} nn_jpeg_block;

/* What its decoding knows. */
typedef struct nn_jpeg_coefficients {
  uint64_t nonzero;
  int16_t value[64];       /* in zigzag order */
} nn_jpeg_coefficients;

typedef struct nn_jpeg_component {
  int id, h, v;
  int quant, dc, ac;       /* tables */
  int columns, rows;       /* blocks that hold pixels */
  int stride;              /* blocks in a row, those of whole units */
  int8_t known[64];        /* bits of a coefficient still to come; -1: all */
  nn_jpeg_block *blocks;   /* progressive check only */
  /* Reduced decoding only. */
  int scale;               /* a block becomes scale x scale samples */
  uint8_t *samples;        /* scale * stride in a row */
  int16_t *dc_values;      /* progressive: of each block, at scale 1 */
  nn_jpeg_coefficients *coefficients;   /* the same at other scales */
} nn_jpeg_component;

typedef struct nn_jpeg {
  const uint8_t *bytes;
  size_t n, at;            /* where the reader is */
  int width, height, components, progressive;
  int adobe;               /* transform of the Adobe marker, -1 without one */
  int jfif;                /* there is a JFIF marker */
  int orientation;         /* 0: no EXIF seen */
  int restart_interval;    /* units between restart markers, 0: none */
  int h_max, v_max;        /* of the sampling factors */
  int units_x, units_y;    /* minimum coded units */
  int scans;
  int ended;               /* by an end-of-image marker */
  struct {
    int components, component[4];
    int first, last;       /* coefficients */
    int high, low;         /* successive approximation */
  } scan;
  nn_jpeg_component component[4];
  /* In zigzag order, and the largest but the first; quant[0] 0: none. */
  uint32_t quant[4][65];
  nn_jpeg_codes codes[2][4];     /* DC, AC */
  nn_jpeg_work *work;            /* within nn_jpeg_scans */
} nn_jpeg;

/* jpeg.c ------------------------------------------------------------------ */

/* Fills all of *info.  O(segments before the first scan). */
nn_status nn_jpeg_read_info(const uint8_t *bytes, size_t n,
                            nn_picture_info *info, nn_error *err);
/* NN_OK when every block of every component is coded in full.  *end is where
** the end-of-image marker is missing, 0 when it is there. */
nn_status nn_jpeg_check(const nn_memory *mem, const uint8_t *bytes, size_t n,
                        size_t *end, nn_error *err);
/* Read a file up to the header of its first scan, into a zeroed *jpeg, which
** owns nothing then. */
nn_status nn_jpeg_open(nn_jpeg *jpeg, const uint8_t *bytes, size_t n,
                       nn_error *err);
/* The rest of an opened file: `scan` gets each scan whose header was read, and
** gives NULL, or why it is refused ("its data ends early").  What it walked
** over is complete then. */
nn_status nn_jpeg_scans(const nn_memory *mem, nn_jpeg *jpeg,
                        const char *(*scan)(nn_jpeg *jpeg), nn_error *err);
nn_status nn_jpeg_damaged(nn_error *err, const char *why);

/* huffman.c --------------------------------------------------------------- */

/* Make the tables of a scan ready: `skip` where values are not wanted. */
void nn_jpeg_build_scan(nn_jpeg *jpeg);
/* The entry of a code that is longer than NN_JPEG_FAST bits. */
unsigned nn_jpeg_long(const nn_jpeg_lookup *t, uint64_t bits);
/* Walk the data of a scan, from `at`: for nn_jpeg_scans. */
const char *nn_jpeg_walk_scan(nn_jpeg *jpeg);

/* coefficients.c ---------------------------------------------------------- */

/* Walk the data of a scan into samples and coefficients, or skip it where no
** component needs it: for nn_jpeg_scans. */
const char *nn_jpeg_reduce_scan(nn_jpeg *jpeg);
/* The samples of a component of a progressive file, when all scans were read;
** 0 when a block has coefficients that no picture has. */
int nn_jpeg_reduce_component(const nn_jpeg *jpeg,
                             const nn_jpeg_component *component);

/* inverse.c --------------------------------------------------------------- */

/* Most that the sizes of a block's coefficients, each times its quantiser, may
** add up to: four times what huffman.c allows each of four sums. */
#define NN_JPEG_LOUD 23600

/* The samples of a block, n x n (2, 4 or 8), rows `stride` apart.  value has
** the coefficients times their quantisers in rows of 8, within NN_JPEG_LOUD,
** and zeros in the columns whose bits in `columns` are not set. */
void nn_jpeg_inverse(const int32_t value[64], unsigned columns, int n,
                     uint8_t *to, size_t stride);

static inline uint8_t nn_jpeg_clamp(int32_t x) {
  return (uint8_t)(x < 0 ? 0 : x > 255 ? 255 : x);
}

/* A block at scale 1, of a coefficient times its quantiser. */
static inline uint8_t nn_jpeg_mean(int32_t dc) {
  return nn_jpeg_clamp(((dc + 4) >> 3) + 128);
}

/* reduce.c ---------------------------------------------------------------- */

/*
** Decode at reduced scale as the preprocessing asks for (weights/README.md):
** *out, as stored, owns its samples.  *done is 0 when the file is to be decoded
** in full instead, and *out is as it was.
*/
nn_status nn_jpeg_reduce(const nn_memory *mem, const uint8_t *bytes, size_t n,
                         const nn_preprocess *preprocess, nn_picture *out,
                         int *done, nn_error *err);
/* Decode an opened file at the scales that its components have. */
nn_status nn_jpeg_reduce_opened(const nn_memory *mem, nn_jpeg *jpeg,
                                nn_error *err);
/* Free what that took. */
void nn_jpeg_reduce_free(const nn_memory *mem, nn_jpeg *jpeg);
/* n pixels of RGB24 from components of n samples in units of 1/256. */
void nn_colours_convert(nn_colours colours, const uint16_t *const from[4],
                        size_t n, uint8_t *rgb);

/* prepare.c: the centre of a picture with the aspect of w x h, as large as it
** fits. */
void nn_prepare_crop(int picture_w, int picture_h, int w, int h, int *x, int *y,
                     int *crop_w, int *crop_h);
/* picture.c: decode in full, or as the preprocessing asks for. */
nn_status nn_picture_decode_as(const nn_memory *mem,
                               const nn_preprocess *preprocess,
                               const void *bytes, size_t n,
                               uint64_t max_pixels, nn_picture *out,
                               nn_error *err);
/* views.c: turn a picture as stored into the one that is shown. */
void nn_orient(nn_picture *picture, int orientation);

#endif

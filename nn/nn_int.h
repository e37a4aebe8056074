/*
** What the files of nn share with each other and with nobody else, a section
** per file.
*/
#ifndef BINHASH_NN_INT_H
#define BINHASH_NN_INT_H

#include <stdarg.h>
#include <stdint.h>

#include "codes.h"
#include "layer.h"
#include "network.h"

/* memory.c ---------------------------------------------------------------- */

/* Write the sentence and return the status: `return nn_fail(err, ...)`. */
nn_status nn_fail(nn_error *err, nn_status status, const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 3, 4)))
#endif
    ;

/* As nn_alloc, but zeros. */
void *nn_zalloc(const nn_memory *mem, size_t n);

/* a * b, or SIZE_MAX when that overflows (which nn_alloc then refuses). */
size_t nn_mul(size_t a, size_t b);

/* A function compiled for more than the baseline.  Tests that emulate
** instructions which their CPU lacks compile it for the baseline. */
#ifndef NN_TARGET
#define NN_TARGET(features) __attribute__((target(features)))
#endif

/* cpu.c ------------------------------------------------------------------- */

enum {
  NN_CPU_POPCNT = 1 << 0,
  NN_CPU_AVX2 = 1 << 1,        /* with the system's support for ymm */
  NN_CPU_AVX512 = 1 << 2,      /* F, BW, VL, VPOPCNTDQ, and zmm by the system */
  NN_CPU_AVXVNNI = 1 << 3,     /* VPDPBUSD in VEX form, with ymm */
  NN_CPU_AVX512VNNI = 1 << 4,  /* F, BW, VL, VNNI, and zmm */
  NN_CPU_BITALG = 1 << 5,      /* F, BW, BITALG, and zmm */
  NN_CPU_FMA = 1 << 6,         /* with AVX2 */
  NN_CPU_AVX512F = 1 << 7,     /* F, BW, VL, and zmm */
  NN_CPU_DOTPROD = 1 << 8,     /* ARM's SDOT and UDOT */
  NN_CPU_AMX = 1 << 9,         /* TILE, INT8, and both parts by the system;
                               ** its permission is another matter */
  NN_CPU_F16C = 1 << 10,       /* with AVX2's registers */
  NN_CPU_SHA = 1 << 11,        /* and SSE 4.1 */
  NN_CPU_I8MM = 1 << 12        /* ARM's SUDOT and USDOT */
};
unsigned nn_cpu_features(void);   /* found out once, then a load */

/* json.c ------------------------------------------------------------------ */

/* Longest JSON text that is read, and how deep it may nest. */
#define NN_JSON_MAX ((size_t)2 << 20)
#define NN_JSON_DEPTH 32

typedef enum nn_json_kind {
  NN_JSON_NULL,
  NN_JSON_BOOLEAN,
  NN_JSON_NUMBER,
  NN_JSON_STRING,
  NN_JSON_ARRAY,
  NN_JSON_OBJECT
} nn_json_kind;

/*
** A value.  Strings are UTF-8 without NUL bytes.  A number that is written
** without point and exponent and fits 64 bits is an integer too.
*/
typedef struct nn_json {
  nn_json_kind kind;
  int is_integer;
  int64_t integer;              /* of a boolean: 0 or 1 */
  double number;
  const char *text;             /* of a string */
  size_t length;                /* of a string: bytes; else members */
  const char *key;              /* of a member of an object */
  const struct nn_json *child;  /* first member of an array or object */
  const struct nn_json *next;   /* next member of what holds this value */
} nn_json;

/* Read the whole text; nn_free the root to release everything.  `what` names
** the text in errors: "header, byte 17: ...". */
nn_status nn_json_parse(const nn_memory *mem, const char *what,
                        const void *bytes, size_t n, nn_json **root,
                        nn_error *err);
/* The member of an object, NULL if there is none or it is no object. */
const nn_json *nn_json_get(const nn_json *object, const char *key);

/* Bytes of the UTF-8 sequence at p < end, 0 if it is none. */
int nn_utf8(const uint8_t *p, const uint8_t *end);

/* A name out of a file as an error may show it: bounded, control bytes as
** \xNN.  Use as nn_shown_name(name).text within the call that needs it. */
typedef struct nn_shown {
  char text[56];
} nn_shown;
nn_shown nn_shown_name(const char *name);

/* fields.c: typed members of an object ------------------------------------ */

/* `where` opens every error: "layer conv1". */
typedef struct nn_fields {
  const nn_json *object;
  char where[72];
  nn_error *err;
} nn_fields;

nn_status nn_fields_open(nn_fields *fields, const nn_json *object,
                         const char *what, const char *name, nn_error *err);
nn_status nn_field_fail(const nn_fields *fields, const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 2, 3)))
#endif
    ;
/* Refuse members that are not in the list, which ends in NULL. */
nn_status nn_field_known(const nn_fields *fields, const char *const *keys);
/* Each leaves *out alone when there is no such member, so that a default can
** stand there.  count 0: the bare value, else an array of exactly count. */
nn_status nn_field_ints(const nn_fields *fields, const char *key, int count,
                        int min, int max, int *out);
nn_status nn_field_floats(const nn_fields *fields, const char *key, int count,
                          float *out);
nn_status nn_field_boolean(const nn_fields *fields, const char *key, int *out);
nn_status nn_field_string(const nn_fields *fields, const char *key,
                          const char **out);
/* The place of the member in a list of words, which ends in NULL. */
nn_status nn_field_word(const nn_fields *fields, const char *key,
                        const char *const *words, int *out);
/* 0 for the first word, 1 for the second. */
nn_status nn_field_choice(const nn_fields *fields, const char *key,
                          const char *first, const char *second, int *out);

/* sha256.c ---------------------------------------------------------------- */

void nn_sha256(const void *bytes, size_t n, char hex[65]);
/* The same by what a CPU with these features has. */
void nn_sha256_for(unsigned features, const void *bytes, size_t n,
                   char hex[65]);

/* model.c, network.c, plan.c: a model in memory --------------------------- */

#define NN_LAYER_MAX 1024    /* layers of a network */
#define NN_TENSOR_MAX 8192   /* tensors of a file */
#define NN_HEAD_MAX 64       /* heads of a file */
#define NN_ALIAS_MAX 2048    /* further names of blobs */
#define NN_SIDE_MAX 65535    /* height, width, kernel, stride, pad, dilation */
#define NN_OWNED_MAX ((uint64_t)4 << 30)   /* memory of an open model */

typedef enum nn_dtype {
  NN_F32,
  NN_F16,
  NN_I8,
  NN_U8,
  NN_I32,
  NN_OTHER
} nn_dtype;

typedef struct nn_tensor {
  char *name;
  nn_dtype dtype;
  int rank;
  int64_t shape[8];
  size_t count;           /* product of the shape */
  size_t begin, end;      /* bytes, from the start of the data */
  const uint8_t *bytes;   /* NULL until the offsets are checked */
  const float *floats;    /* NULL until some layer wanted them */
  const int32_t *ints;    /* likewise */
  const uint16_t *halves; /* likewise */
} nn_tensor;

typedef struct nn_preprocess {
  int bgr, area, crop;
  int reduced;            /* samples per pixel of a reduced JPEG, 0: full */
  int height, width;      /* resized to this, then cropped to the input */
  float mean[3], scale[3];
} nn_preprocess;

typedef struct nn_alias {
  const char *name;
  int blob;
} nn_alias;

struct nn_model {
  nn_memory mem;
  struct nn_chunk *blocks;    /* all that it owns, freed together */
  size_t owned;               /* bytes of it */
  const uint8_t *bytes;
  size_t byte_count;
  struct nn_digest *digest;   /* the sha256 once somebody asked for it */
  const char *report;         /* of its training, NULL: none */
  nn_tensor *tensors;         /* sorted by name */
  int tensor_count;
  nn_layer *layers;
  int layer_count;
  nn_blob *blobs;
  struct nn_alias *aliases;   /* further names of blobs */
  int alias_count;
  nn_preprocess preprocess;
  nn_head *heads;
  int head_count;
  nn_kind kind;
  int mirror, mirrors;        /* the first MirrorMean, -1; as many in a row */
  const struct nn_int_form *form;   /* kernels of an integer network */
  const struct nn_float_form *floats;   /* of a float32 one; NULL: OpenBLAS */
  int first_batched;          /* layers before run image by image (plan.c) */
  size_t arena;               /* slots of the blobs of one image at a time */
  size_t batch_arena;         /* slots of the others, for each image */
  size_t scratch;             /* slots of one layer's private memory */
  int ready;                  /* layers whose weights kernels can read */
};

/* Zeroed memory that lives as long as the model, NULL if there is none. */
void *nn_model_alloc(nn_model *model, size_t count, size_t size);
char *nn_model_string(nn_model *model, const char *text);
/* The tensor of that name, NULL if there is none. */
nn_tensor *nn_model_tensor(const nn_model *model, const char *name);
/* Its values as float32: where they lie, or widened into the model's memory. */
nn_status nn_model_floats(nn_model *model, nn_tensor *tensor,
                          const float **out, nn_error *err);
/* The values of an F16 tensor as they are, where they lie or copied. */
nn_status nn_model_halves(nn_model *model, nn_tensor *tensor,
                          const uint16_t **out, nn_error *err);
/* halves.c: what one of them is. */
float nn_half_value(uint16_t half);
/* The values of an I32 tensor, where they lie or copied. */
nn_status nn_model_ints(nn_model *model, nn_tensor *tensor,
                        const int32_t **out, nn_error *err);

/* network.c: the description, from the header's text, into layers and blobs. */
nn_status nn_network_read(nn_model *model, const char *text, size_t n,
                          nn_error *err);
/* The same a piece at a time, for who writes a network and runs each layer as
** soon as it is there: the input, with room for so many layers, then each. */
nn_status nn_network_start(nn_model *model, const nn_json *input,
                           size_t layers, nn_error *err);
nn_status nn_network_layer(nn_model *model, const nn_json *layer,
                           nn_error *err);
/* heads.c: preprocessing and heads, once there are layers. */
nn_status nn_heads_read(nn_model *model, const nn_json *network,
                        nn_error *err);
/* parameters.c: the members of a layer that say what it computes. */
nn_status nn_layer_parameters(nn_model *model, const nn_fields *fields,
                              nn_layer *layer, int *num_output);
/* shape.c: the shape of what a layer writes, from those that it reads and its
** geometry; then the tensors that its description names. */
nn_status nn_layer_shape(nn_model *model, nn_layer *layer, int num_output,
                         const nn_fields *fields);
nn_status nn_layer_tensors(nn_model *model, nn_layer *layer,
                           const nn_fields *fields);
/* The tensor that member `key` names, which must have the shape; a side of -1
** may be anything.  NULL for a member that is absent and need not be there. */
nn_status nn_layer_tensor(const nn_model *model, const nn_fields *fields,
                          const char *key, int required, int rank,
                          const int64_t *shape, nn_tensor **out);
/* quantised.c: what integer networks have beside shapes, checked. */
nn_status nn_quantised_input(nn_model *model, const nn_fields *fields);
nn_status nn_quantised_layer(nn_model *model, nn_layer *layer,
                             const nn_fields *fields);
/* The members beside name, type and bottom that a type may have in an integer
** network, up to a NULL; NULL for a type that has no integer form. */
const char *const *nn_quantised_keys(nn_type type);
/* plan.c: folds, lifetimes and the arena. */
nn_status nn_plan(nn_model *model, nn_error *err);

/* blas.c: the only file that knows cblas ---------------------------------- */

/* The BLAS library, looked for until one was found; NULL and NN_NO_BLAS. */
const nn_blas *nn_blas_get(nn_error *err);
/* Row-major C[m][n] = A[m][k] * B[k][n]; with transpose_b, B is [n][k]. */
void nn_blas_sgemm(const nn_blas *blas, int transpose_b, int m, int n, int k,
                   const float *a, int lda, const float *b, int ldb, float *c,
                   int ldc);
/* y[m] = A[m][n] * x[n] */
void nn_blas_sgemv(const nn_blas *blas, int m, int n, const float *a,
                   const float *x, float *y);

/* integer.c: kernels of integer networks ---------------------------------- */

/* Output channels that one kernel call works on: the packed weights of a layer
** come in blocks of so many. */
#define NN_INT_BLOCK 16

/* Bytes behind the last block of weights that `many` may read. */
#define NN_INT_SLACK (15 * 4 * NN_INT_BLOCK)

/* Rows and blocks of a call of `many`, at most; quads of a tile. */
#define NN_INT_PANEL 36
#define NN_INT_PANEL_BLOCKS 4
#define NN_INT_TILE_QUADS 16

/*
** One set of kernels, all of which add the same integers.
**
** sums and wide: out[r * NN_INT_BLOCK + o] is the sum over taps t and channels
** c < 4 * quads of in[t * rows + r][c] * weight[((t * quads + c / 4) *
** NN_INT_BLOCK + o) * 4 + c % 4], for 1 <= rows <= the form's rows.  in[]
** points at 4 * quads readable bytes each, of any alignment; the weights are
** 64-byte aligned.  No sum leaves int32, whatever its order
** (weights/README.md).  sums wants bytes up to 127, wide takes up to 255.
**
** bytes: out[r * stride + i] = clamp(zero + (((acc[r * NN_INT_BLOCK + i] +
** bias[i]) * m[i] + 2^(s[i]-1)) >> s[i]), max) for n channels of each of the
** rows, 0 <= m, 1 <= s <= 62, acc + bias within int32.  More than NN_INT_BLOCK
** channels come in one row.
**
** many, which a form may have: out[(b * NN_INT_PANEL + r) * NN_INT_BLOCK + o]
** is the sum over c < 4 * quads of in[r * stride + c] * weight[b * apart + (c /
** 4 * NN_INT_BLOCK + o) * 4 + c % 4], for 1 to `panel` rows, the form's own
** number, and 1 to NN_INT_PANEL_BLOCKS blocks, and bytes up to 255; apart is a
** multiple of 64.
** A form that takes a tile of rows at a time (`tile` is more than 1) may read
** rows up to a multiple of that, whatever is in them, and of each row quads up
** to a multiple of NN_INT_TILE_QUADS, those behind its own being zeros; and all
** of out may be written.
**
** open, close: what a thread does before calls of `many` and behind them;
** between them it uses no tiles otherwise.  NULL: nothing.
*/
typedef struct nn_int_form {
  const char *name;
  int rows;
  void (*sums)(int rows, int taps, int quads, const uint8_t *const *in,
               const int8_t *weight, int32_t *out);
  void (*wide)(int rows, int taps, int quads, const uint8_t *const *in,
               const int8_t *weight, int32_t *out);
  void (*bytes)(int rows, int n, const int32_t *acc, const int32_t *bias,
                const int32_t *m, const int32_t *s, int zero, int max,
                uint8_t *out, size_t stride);
  int panel, tile;
  void (*many)(int blocks, size_t apart, int rows, size_t quads,
               const uint8_t *in, size_t stride, const int8_t *weight,
               int32_t *out);
  void (*open)(void);
  void (*close)(void);
} nn_int_form;

/* The i-th set that this process can run, NULL after the last.  0 is the plain
** reference, the last is the fastest. */
const nn_int_form *nn_int_kernels(int i);
/* The same for a CPU with these features, by which tests see every choice.  For
** -1 the last. */
const nn_int_form *nn_int_kernels_for(unsigned cpu, int i);

/*
** words.c: out[r * NN_INT_BLOCK + o] is the sum over i < 2 * pairs of a[r *
** lda + i] * weight[(i / 2 * NN_INT_BLOCK + o) * 2 + i % 2] modulo 2^32, for r
** < rows <= NN_PAIR_ROWS; weights are 64-byte aligned, and two products fit 32
** bits.
*/
#define NN_PAIR_ROWS 6
typedef void (*nn_words)(int rows, size_t pairs, const int16_t *a, size_t lda,
                          const int16_t *weight, int32_t *out);
extern const nn_words nn_words_scalar;
/* Those that go with a form; NULL where its own kernels are faster. */
nn_words nn_words_of(const nn_int_form *form);

/* values.c, bytes.c, packed.c, crosscheck.c, naive.c: integer networks ---- */

/* One layer over n images.  What in and out point at is bytes or sums, as the
** blobs say. */
typedef struct nn_int_step {
  const nn_layer *layer;
  const nn_blob *blobs;
  int n;
  const void *in[NN_BOTTOM_MAX];
  void *out;                    /* may be the in[] that is in place */
  int mirrored;                 /* MirrorMean: out has the picture's, in the
                                ** mirror image's values */
  void *scratch;
  const nn_int_form *form;
  const nn_blas *blas;          /* NULL but in the cross-check */
  struct nn_team *team;         /* floats.h */
  float *private_scratch;       /* NN_FLOAT_SCRATCH for each of the team */
} nn_int_step;

/* Bytes from one position of a blob of bytes to the next. */
static inline size_t nn_int_stride(const nn_blob *blob) {
  return ((size_t)blob->c + 3) / 4 * 4;
}

static inline int nn_int_zero(const nn_blob *blob, size_t channel) {
  const nn_quant *q = &blob->quant;
  if (q->sums) return 0;
  if (q->span == 1) return q->zero[channel];
  return q->zero[channel < q->span ? 0 : channel / q->span];
}

/* values.c: pixels of one image (NCHW, 0 to 255) into a blob of bytes, mirrored
** left to right or not; and n images of a blob as numbers, NCHW. */
void nn_int_pixels(const nn_blob *input, const float *from, int mirrored,
                   uint8_t *to);
void nn_int_values(const nn_blob *blob, int n, const void *from, float *to);

/* bytes.c: every layer, fast; the slots of private memory that it wants; and
** what it keeps in the model while that is open. */
void nn_int_fast(const nn_int_step *step);
size_t nn_int_scratch(const nn_layer *layer, const nn_blob *blobs);
nn_status nn_int_ready(nn_model *model, nn_layer *layer, nn_error *err);

/* mix.c: layers that read several blobs; gather.c: those that move bytes. */
void nn_mix_run(const nn_int_step *step);
nn_status nn_mix_ready(nn_model *model, nn_layer *layer, nn_error *err);
void nn_gather_run(const nn_int_step *step);
nn_status nn_gather_ready(nn_model *model, nn_layer *layer, nn_error *err);

/* packed.c: convolutions and inner products through the kernels: ready() is for
** every layer, before it runs. */
void nn_packed_run(const nn_int_step *step);
size_t nn_packed_scratch(const nn_layer *layer);
nn_status nn_packed_ready(nn_model *model, nn_layer *layer, nn_error *err);

/* packed.c: a block of a layer's output channels: which, and what they read. */
typedef struct nn_int_block {
  int out, outs;    /* channels [out, out + outs) */
  int in, quads;    /* from channel `in` on, four at a time */
} nn_int_block;

/* Block k; how many see the same channels one after the other, and there are;
** the taps, and the bytes of a block's weights. */
nn_int_block nn_packed_block(const nn_layer *layer, const nn_blob *blobs,
                             int k);
int nn_packed_unit(const nn_layer *layer, const nn_blob *blobs);
int nn_packed_blocks(const nn_layer *layer, const nn_blob *blobs);
size_t nn_packed_taps(const nn_layer *layer);
size_t nn_packed_bytes(const nn_layer *layer, const nn_blob *blobs);
/* The sums of channels [out, out + outs) at `rows` positions, NN_INT_BLOCK
** apart, become what the layer writes. */
void nn_packed_write(const nn_int_step *step, int out, int outs, int rows,
                     size_t position, const int32_t *sums);

/* A layer's work in tasks: strips of positions by parts of the blocks. */
typedef struct nn_int_tasks {
  size_t positions, strip, strips;   /* of all, of a task; tasks for these */
  int blocks, part;                  /* of all, of a task */
} nn_int_tasks;

/* Positions [first, last) of blocks [block, end). */
typedef struct nn_int_share {
  size_t first, last;
  int block, end;
} nn_int_share;

static inline size_t nn_int_count(const nn_int_tasks *t) {
  return t->strips * (size_t)((t->blocks + t->part - 1) / t->part);
}

static inline nn_int_share nn_int_task(const nn_int_tasks *t, size_t task) {
  nn_int_share s;
  s.first = task % t->strips * t->strip;
  s.last = s.first + t->strip;
  if (s.last > t->positions) s.last = t->positions;
  s.block = (int)(task / t->strips) * t->part;
  s.end = t->blocks - s.block < t->part ? t->blocks : s.block + t->part;
  return s;
}

/* panel.c: the same layers where the form has `many`; whether it is for this
** one. */
int nn_panel_fits(const nn_int_step *step);
void nn_panel_run(const nn_int_step *step);

/* whole.c: convolutions of 3x3 and 5x5, where words go with the form: ready()
** is for every layer, run() for those of which it made words. */
nn_status nn_whole_ready(nn_model *model, nn_layer *layer, nn_error *err);
size_t nn_whole_scratch(const nn_layer *layer, const nn_blob *blobs);
void nn_whole_run(const nn_int_step *step);

/* crosscheck.c: the same by sgemm on floats that are whole numbers. */
size_t nn_crosscheck_scratch(void);
void nn_crosscheck_run(const nn_int_step *step);

/* naive.c: every layer as weights/README.md defines it. */
void nn_int_reference(const nn_int_step *step);

/* hamming.c --------------------------------------------------------------- */

/* One kernel; a and b have n bytes, of any alignment. */
typedef struct nn_hamming_form {
  const char *name;
  uint64_t (*run)(const void *a, const void *b, size_t n);
} nn_hamming_form;

/* The i-th kernel that this CPU can run, NULL after the last.  0 is the plain
** reference, the last is the one that nn_hamming uses. */
const nn_hamming_form *nn_hamming_kernels(int i);

/* planes.c ---------------------------------------------------------------- */

/* One kernel of nn_block_select; limit is not negative. */
typedef struct nn_select_form {
  const char *name;
  int (*run)(const nn_block *block, const uint8_t *query, int limit,
             const nn_block *next, uint16_t *rows, uint16_t *distances);
} nn_select_form;

/* As nn_hamming_kernels. */
const nn_select_form *nn_select_kernels(int i);

static inline uint64_t nn_load32(const uint8_t *p) {
  return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
         (uint32_t)p[3] << 24;
}

/* The bits in which a and b of n <= 8 bytes differ, in some order. */
static inline uint64_t nn_difference8(const uint8_t *a, const uint8_t *b,
                                      size_t n) {
  if (n >= 4) {
    /* The first four bytes, and the last four less those already had. */
    uint64_t low = nn_load32(a) ^ nn_load32(b);
    uint64_t high = nn_load32(a + n - 4) ^ nn_load32(b + n - 4);
    return low | high >> (64 - 8 * n) << 32;
  }
  if (n == 0) return 0;
  /* The first, middle and last byte, which of two or one are the same. */
  return (uint64_t)(a[0] ^ b[0]) |
         (uint64_t)(a[n / 2] ^ b[n / 2]) << 8 * (n / 2) |
         (uint64_t)(a[n - 1] ^ b[n - 1]) << 8 * (n - 1);
}

/* Bits set, in the arithmetic of every CPU. */
static inline unsigned nn_popcount64(uint64_t x) {
  x -= x >> 1 & 0x5555555555555555u;
  x = (x & 0x3333333333333333u) + (x >> 2 & 0x3333333333333333u);
  x = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0fu;
  return (unsigned)(x * 0x0101010101010101u >> 56);
}

/* picture.c --------------------------------------------------------------- */

/* The orientation, 1 to 8, that a TIFF structure (what EXIF is) asks for. */
int nn_exif_orientation(const uint8_t *tiff, size_t n);

/* container.c: are a PNG and a BMP whole? --------------------------------- */

nn_status nn_png_read_info(const uint8_t *bytes, size_t n,
                           nn_picture_info *info, nn_error *err);
/* *depth is bits per sample.  *colors is the size of the palette, 256 for
** pictures without one. */
nn_status nn_png_check(const uint8_t *bytes, size_t n, int *depth, int *colors,
                       nn_error *err);
/* Copy a checked PNG, its palette filled up to 256 colours with black, to `to`
** with room for n + NN_PNG_PALETTE bytes; returns the size of the copy. */
#define NN_PNG_PALETTE (12 + 3 * 256)
size_t nn_png_fill_palette(const uint8_t *bytes, size_t n, uint8_t *to);

nn_status nn_bmp_read_info(const uint8_t *bytes, size_t n,
                           nn_picture_info *info, nn_error *err);
nn_status nn_bmp_check(const uint8_t *bytes, size_t n, nn_error *err);

/* gif.c ------------------------------------------------------------------- */

nn_status nn_gif_read_info(const uint8_t *bytes, size_t n,
                           nn_picture_info *info, nn_error *err);
/* The first frame on white: RGB24 of info's size, in memory of mem. */
nn_status nn_gif_decode(const nn_memory *mem, const uint8_t *bytes, size_t n,
                        uint8_t **rgb, nn_error *err);

#endif

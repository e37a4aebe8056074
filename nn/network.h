/*
** The network half of nn: bytes of a picture in, numbers of a layer out.
**
** Four things live here, in the order in which an image passes them:
**
**   nn_memory    where memory comes from; the caller injects it
**   nn_picture   an encoded image, decoded, oriented and resized: integers
**                only, the same bytes on every machine
**   nn_model     a safetensors file: tensors and the network that uses them
**   nn_run       the forward pass of a batch up to any layer
**
** Nothing in nn knows SQLite, prints, exits, or keeps state between calls
** beyond what is found out about the process once (CPU features, the BLAS
** library).  A model is const once it is open, so threads may share it; all
** scratch memory belongs to the call that took it.
**
** Every function that can fail returns a status and writes a sentence to the
** caller's nn_error.  The sentence names the limit or the thing that is wrong,
** not the function: the caller knows which one it called.
*/
#ifndef BINHASH_NN_NETWORK_H
#define BINHASH_NN_NETWORK_H

#include <stddef.h>
#include <stdint.h>

typedef enum nn_status {
  NN_OK = 0,
  NN_NOMEM,       /* the allocator gave NULL */
  NN_ARGUMENT,    /* the caller's argument is out of range */
  NN_PICTURE,     /* the bytes are not a picture that can be decoded */
  NN_TOO_LARGE,   /* the picture is over the pixel budget */
  NN_MODEL,       /* the bytes are not a model that can be run */
  NN_INTERRUPTED, /* whoever was asked said stop */
  NN_NO_BLAS      /* a float32 network needs OpenBLAS and none is installed */
} nn_status;

typedef struct nn_error {
  nn_status status;
  char text[240];   /* one sentence, no final stop; "" when status is NN_OK */
} nn_error;

/* Memory ------------------------------------------------------------------ */

/*
** alloc() gives n bytes aligned as malloc does, or NULL; release() takes back
** what alloc() gave, NULL included.  Both are called on the caller's thread
** alone.  No request is larger than NN_ALLOC_MAX: what needs more is refused.
*/
typedef struct nn_memory {
  void *(*alloc)(void *context, size_t n);
  void (*release)(void *context, void *p);
  void *context;
} nn_memory;

#define NN_ALLOC_MAX ((size_t)1 << 30)

extern const nn_memory nn_memory_libc;   /* malloc and free */

/* n bytes, 64-byte aligned, NULL if there are none.  nn_free takes them back;
** NULL is fine. */
void *nn_alloc(const nn_memory *mem, size_t n);
void nn_free(const nn_memory *mem, void *p);
/* Ask for large pages for those of n bytes that fill such, before they are
** written; where there are none all is as before. */
void nn_large_pages(void *p, size_t n);

/* Pictures ---------------------------------------------------------------- */

/* Pixels that one picture may have, unless the caller says otherwise. */
#define NN_MAX_PIXELS_DEFAULT ((uint64_t)100 * 1000 * 1000)

typedef struct nn_picture_info {
  const char *format;   /* "jpeg", "png", "gif" or "bmp"; a static string */
  int width, height;    /* as shown, that is after orientation; pixels */
  int channels;         /* as stored: 1 grey, 2 grey+alpha, 3, 4 */
  int orientation;      /* EXIF 1 to 8; 1 where the file says nothing */
} nn_picture_info;

/*
** A component of a JPEG at reduced scale, of samples that are larger than the
** picture's pixels.  In both, [0] is about columns as shown and [1] about rows:
** sample i of an axis covers pixels from origin + i * unit on, as far as they
** are in the picture, and lies i steps from the first.
*/
typedef struct nn_channel {
  const uint8_t *samples;
  ptrdiff_t step[2];
  int count[2], unit[2], origin[2];
} nn_channel;

typedef enum nn_colours {
  NN_COLOURS_GREY,
  NN_COLOURS_RGB,
  NN_COLOURS_YCC,
  NN_COLOURS_CMYK,
  NN_COLOURS_YCCK
} nn_colours;

/*
** RGB24 pixels, 8 bits a channel.  The pixel at column x and row y of the
** picture as shown starts at pixels + x * dx + y * dy; dx and dy are bytes and
** may be negative or swapped, which is how orientation is applied without a
** copy.  `owned` is what nn_picture_free releases, NULL for borrowed pixels.
**
** Where `channels` is not 0, which only nn_picture_decode_for does, there are
** no pixels but these channels, and nn_resize is what can be done with them.
*/
typedef struct nn_picture {
  const uint8_t *pixels;
  int width, height;
  ptrdiff_t dx, dy;
  void *owned;
  int channels;
  nn_colours colours;
  nn_channel channel[4];
} nn_picture;

/*
** Read the header only; O(n) in the number of marker segments or chunks.
** Errors: NN_PICTURE for bytes that no decoder here takes; WebP, HEIC and AVIF
** are named.
*/
nn_status nn_picture_read_info(const void *bytes, size_t n,
                               nn_picture_info *out, nn_error *err);

/*
** Decode JPEG (baseline, progressive), PNG, GIF (first frame) or BMP.  Alpha is
** composited on white, EXIF orientation applied, CMYK and grey made RGB.
** Nothing is decoded before width * height <= max_pixels is known.  A file that
** is cut short, or whose scans do not cover every block, is an error.
** The caller frees *out; on error there is nothing to free.
*/
nn_status nn_picture_decode(const nn_memory *mem, const void *bytes, size_t n,
                            uint64_t max_pixels, nn_picture *out,
                            nn_error *err);

/* Borrow width*height*3 bytes of RGB24, row by row from the top. */
void nn_picture_borrow(const uint8_t *rgb, int width, int height,
                       nn_picture *out);

void nn_picture_free(const nn_memory *mem, nn_picture *picture);

typedef enum nn_filter {
  NN_BILINEAR,  /* two taps an axis at half-pixel centres, as in the paper */
  NN_AREA       /* an axis that shrinks is averaged, one that grows bilinear */
} nn_filter;

/*
** Resize the rectangle (x, y, w, h) of src to dst_w * dst_h pixels of
** interleaved RGB24 at dst.  Fixed point: exact, and the same everywhere; the
** arithmetic is defined in weights/README.md.  Channels are averaged, whatever
** the filter.
*/
nn_status nn_resize(const nn_memory *mem, const nn_picture *src, int x, int y,
                    int w, int h, nn_filter filter, int dst_w, int dst_h,
                    uint8_t *dst, nn_error *err);

/* Models ------------------------------------------------------------------ */

typedef struct nn_model nn_model;

typedef enum nn_kind {
  NN_FLOAT32,   /* the same code on the same machine and build */
  NN_INTEGER    /* the same code everywhere (weights/README.md) */
} nn_kind;

/*
** A head is what a name in SQL stands for: the layers of one network that give
** the code, the features and the class.  Blob numbers are those of
** nn_model_blob.
*/
typedef struct nn_head {
  const char *name;
  int bits;            /* width of the latent layer, 1 to 1024 */
  int latent;          /* blob of logits: bit i is logit i > 0 */
  int features;        /* blob before the latent layer */
  int classifier;      /* blob of scores, one a class; -1 without one */
  int classes;         /* their number; 0 without a classifier */
  const char *const *class_names;   /* NULL where the file has none */
} nn_head;

/*
** Read a model from bytes that the caller holds or maps; they must stay as they
** are until nn_model_close.  Tensors stored as float32, and inner products'
** weights of 16 bits, are used where they lie, others are widened into memory
** of the model.  Errors: NN_MODEL names the
** layer or tensor; any input is safe.
*/
nn_status nn_model_open(const nn_memory *mem, const void *bytes, size_t n,
                        nn_model **out, nn_error *err);
/*
** The same in two steps.  The first reads and checks everything and answers all
** questions about the model; the second lays the weights out for the kernels,
** which takes longer than the first where the file is mapped, and comes before
** anything is run.  It does nothing where that is done; after NN_NOMEM it may
** be tried again.
*/
nn_status nn_model_open_idle(const nn_memory *mem, const void *bytes, size_t n,
                             nn_model **out, nn_error *err);
nn_status nn_model_ready(nn_model *model, nn_error *err);
void nn_model_close(nn_model *model);   /* NULL is fine */

nn_kind nn_model_kind(const nn_model *model);
const char *nn_model_sha256(const nn_model *model);   /* 64 hex digits */
/* The report of its training, if it brings one, else NULL. */
const char *nn_model_report(const nn_model *model);
int nn_model_head_count(const nn_model *model);
const nn_head *nn_model_head(const nn_model *model, int i);
void nn_model_input_shape(const nn_model *model, int chw[3]);

/* The blob that a layer writes, by the layer's name; -1 if there is none. */
int nn_model_blob(const nn_model *model, const char *layer);
int nn_model_blob_count(const nn_model *model);
/* The layer that writes a blob; blob 0 is the input and has its name. */
const char *nn_model_blob_name(const nn_model *model, int blob);
/* The branch of a blob: two blobs have the same where the layers that they are
** made by have something in common, or both have with a third; the input and
** what a 1x1 convolution makes of it do not count. */
int nn_model_branch(const nn_model *model, int blob);
/* Shape of one image's part of a blob, C, H, W; returns C * H * W. */
size_t nn_model_blob_shape(const nn_model *model, int blob, int chw[3]);
/* The last layer's blob. */
int nn_model_last_blob(const nn_model *model);

/*
** What the model's metadata says to do with a picture before the first layer:
** crop, resize, order of channels, mean and scale.  dst gets C*H*W floats; for
** an integer network these are the pixels, 0 to 255.
*/
nn_status nn_prepare(const nn_memory *mem, const nn_model *model,
                     const nn_picture *picture, float *dst, nn_error *err);

/*
** nn_picture_decode for this model's eyes alone: a large JPEG comes at reduced
** scale where the model's preprocessing asks for that.
*/
nn_status nn_picture_decode_for(const nn_memory *mem, const nn_model *model,
                                const void *bytes, size_t n,
                                uint64_t max_pixels, nn_picture *out,
                                nn_error *err);

/* The forward pass -------------------------------------------------------- */

typedef enum nn_engine {
  NN_FAST,       /* our kernels; OpenBLAS for a float32 network on a CPU that
                 ** they do not know (x86 without AVX2 and FMA) */
  NN_REFERENCE,  /* one plain loop nest a layer, double sums; slow, no BLAS */
  NN_BLAS,       /* OpenBLAS, for integer networks on floats that are whole */
  NN_AMX         /* as NN_FAST, an integer network's products in AMX's tiles
                 ** where nn_amx_request has given NN_OK in this process */
} nn_engine;

/*
** Run `batch` images (float32, NCHW) through the layers that `blob` depends on
** and write batch * shape(blob) floats to out.  The arena that holds what is
** between was planned when the model was opened and is taken here in one piece.
*/
nn_status nn_run(const nn_memory *mem, const nn_model *model, nn_engine engine,
                 const float *input, int batch, int blob, float *out,
                 nn_error *err);

/*
** The same for several blobs at once, in one pass over what they depend on:
** out[i] gets batch * shape(blobs[i]) floats.  count is 1 to 64; a blob may be
** named twice.
*/
nn_status nn_run_blobs(const nn_memory *mem, const nn_model *model,
                       nn_engine engine, const float *input, int batch,
                       const int *blobs, int count, float *const *out,
                       nn_error *err);

/*
** The same on up to `threads` threads, the caller's among them, which end
** before it returns.  They serve our own kernels (NN_FAST); the other engines
** run on the caller's alone.  The result does not depend on their number.
*/
nn_status nn_run_team(const nn_memory *mem, const nn_model *model,
                      nn_engine engine, int threads, const float *input,
                      int batch, const int *blobs, int count,
                      float *const *out, nn_error *err);

/*
** Ask the system for AMX, for this process and for good: there is no way to
** give it back, and forks inherit it.  Signal frames of threads that use tiles
** then grow by 8 KB.  Any model may be run with NN_AMX thereafter, those that
** are open too.  NN_ARGUMENT names what is missing; asking again is cheap.
*/
nn_status nn_amx_request(nn_error *err);

/* prepare, run and threshold: the code of a picture, (bits+7)/8 bytes. */
nn_status nn_hash(const nn_memory *mem, const nn_model *model,
                  const nn_head *head, const nn_picture *picture,
                  uint8_t *code, nn_error *err);

/* The BLAS library in use: its name and version, or NULL when none could be
** found.  This looks for it, which loads it. */
const char *nn_blas_name(void);

/* Version of stb_image that decodes, for binhash_info(). */
const char *nn_stb_image_version(void);

#endif

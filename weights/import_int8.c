/*
** --int8: from the float32 network to its exact integer form, on pictures of
** the user's own (quantise.h).
**
** The network is written as it would be without the option, as a file that
** nobody sees, so that what is quantised is what nn_model_open makes of it.
** Of the pictures every second one is calibrated on; the others only serve the
** report, which so tells what happens to pictures that the network has not
** been fitted to.
*/
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "import_images.h"
#include "quantise.h"

/* Pictures that are read, whatever the limit. */
#define INT8_PICTURES 1024

typedef struct int8_pictures {
  nn_model plain;      /* the network's preprocessing without mean and scale */
  uint8_t *pixels;
  float *values;       /* of one picture */
  size_t size;
  int count;
} int8_pictures;

/* Every picture as planes of pixels. */
static nn_status int8_read(import *im, import_images *images,
                           int8_pictures *p) {
  nn_picture picture;
  nn_error err;
  int more = 1;
  while (p->count < im->options.limit) {
    nn_status status = import_images_next(images, &p->plain, &picture, &more);
    if (status || !more) return status;
    status = nn_prepare(im->mem, &p->plain, &picture, p->values, &err);
    nn_picture_free(im->mem, &picture);
    if (status) return import_fail(im, NULL, "%s", err.text);
    uint8_t *to = p->pixels + (size_t)p->count++ * p->size;
    for (size_t i = 0; i < p->size; i++) to[i] = (uint8_t)p->values[i];
  }
  return NN_OK;
}

/* Those of even number first: they are calibrated on. */
static nn_status int8_sort(import *im, int8_pictures *p) {
  size_t n = (size_t)p->count, half = (n + 1) / 2;
  uint8_t *sorted = import_alloc(im, n, p->size);
  if (!sorted) return NN_NOMEM;
  for (size_t i = 0; i < n; i++) {
    memcpy(sorted + (i / 2 + (i % 2 ? half : 0)) * p->size,
           p->pixels + i * p->size, p->size);
  }
  p->pixels = sorted;
  return NN_OK;
}

static nn_status int8_pixels(import *im, const nn_model *model,
                             int8_pictures *p) {
  import_images *images;
  int chw[3];
  p->plain = *model;
  for (int c = 0; c < 3; c++) {
    p->plain.preprocess.mean[c] = 0;
    p->plain.preprocess.scale[c] = 1;
  }
  if (im->options.limit > INT8_PICTURES) im->options.limit = INT8_PICTURES;
  p->size = nn_model_blob_shape(model, 0, chw);
  p->pixels = import_alloc(im, (size_t)im->options.limit, p->size);
  p->values = import_alloc(im, p->size, sizeof(float));
  if (!p->pixels || !p->values) return NN_NOMEM;
  nn_status status = import_images_open(im, im->options.int8, &images);
  if (status == NN_OK) status = int8_read(im, images, p);
  int skipped = images ? import_images_skipped(images) : 0;
  import_images_close(images);
  if (status) return status;
  if (skipped) {
    import_warn(im, "%s: %d pictures could not be read", im->options.int8,
                skipped);
  }
  if (!p->count) {
    im->file = im->options.int8;
    return import_fail(im, NULL, "no picture to calibrate on");
  }
  return int8_sort(im, p);
}

static nn_status int8_write(import *im, const uint8_t *bytes, size_t n) {
  const char *path = im->options.output;
  char *new = import_print(im, "%s.new", path);
  if (!new) return NN_NOMEM;
  FILE *file = fopen(new, "wb");
  int failed = !file || fwrite(bytes, 1, n, file) != n;
  int why = errno;
  if (file && fclose(file) && !failed) failed = 1, why = errno;
  if (!failed && rename(new, path)) failed = 1, why = errno;
  if (!failed) return NN_OK;
  if (file) remove(new);
  return import_fail(im, NULL, "%s: %s", path, strerror(why));
}

nn_status import_int8(import *im, const nn_model *model) {
  int8_pictures p = {.count = 0};
  uint8_t *bytes;
  size_t n;
  nn_error err;
  nn_status status = int8_pixels(im, model, &p);
  if (status) return status;
  quantise_options options = {.pixels = p.pixels,
                              .images = (p.count + 1) / 2,
                              .held_out = p.count / 2,
                              .activation_bits = im->options.activation_bits,
                              .verbose = im->options.verbose,
                              .log = stdout};
  status = quantise_model(model->bytes, model->byte_count, &options, &bytes,
                          &n, &err);
  if (status) return import_fail(im, NULL, "--int8: %s", err.text);
  status = int8_write(im, bytes, n);
  nn_free(&nn_memory_libc, bytes);
  return status;
}

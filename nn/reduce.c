/*
** JPEGs at reduced scale: which scale, and what comes of it.
**
** A photograph has 12 megapixels, a network looks at 32 x 32 to 256 x 256.  A
** JPEG is made of blocks of 8 x 8 samples, of which the first coefficient alone
** gives the mean, and some more give the means of quarters or sixteenths.  So
** for a model whose preprocessing says so (`reduced_jpeg`), img_hash never
** makes the other samples, and never upsamples chroma to throw it away again.
** All of it is integer arithmetic and part of the model's definition
** (weights/README.md, Preprocessing), so codes stay the same everywhere.
**
** Our own reader, not stb_image's.  Its Huffman functions are there to be
** called, but they store all 64 coefficients of a block, one code at a time,
** and know nothing of a file that is cut: the check that precedes a full decode
** would have to precede this one as well.  coefficients.c does both in one
** walk, in about a tenth of the time of a full decode (make bench), since it
** may pass over what it does not need.  stb_image stays the decoder of
** everything else.
**
** The samples are not turned into pixels here.  Components keep sizes of their
** own, and a picture that comes from here says for each where its samples lie
** in the picture (nn_channel): sample i covers the columns from
** origin + i * unit on.  Where the picture's width is no multiple of the unit
** the last sample reaches beyond it, and resize.c counts the part that does
** not.  Orientation, views and crops change origins and steps and copy nothing.
** nn_resize then averages each component to the network's size, and there, on a
** thousand pixels instead of millions, colours are converted.
*/
#include <string.h>

#include "jpeg.h"

/* Scales ------------------------------------------------------------------ */

/* Samples of a component at a scale lie `*x` columns and `*y` rows apart. */
static void reduce_units(const nn_jpeg *jpeg, const nn_jpeg_component *c,
                         int scale, int *x, int *y) {
  *x = jpeg->h_max / c->h * 8 / scale;
  *y = jpeg->v_max / c->v * 8 / scale;
}

/* The smallest scale at which each component has at least need[0] samples in
** side[0] columns, and need[1] in side[1] rows; 0 when the whole picture has
** not twice that, or a component never has it. */
static int reduce_scales(nn_jpeg *jpeg, const int64_t side[2],
                         const int64_t need[2]) {
  if (side[0] < 2 * need[0] || side[1] < 2 * need[1]) return 0;
  for (int i = 0; i < jpeg->components; i++) {
    nn_jpeg_component *c = &jpeg->component[i];
    int x, y;
    for (c->scale = 1; c->scale <= 8; c->scale *= 2) {
      reduce_units(jpeg, c, c->scale, &x, &y);
      if (side[0] >= x * need[0] && side[1] >= y * need[1]) break;
    }
    if (c->scale > 8) return 0;
  }
  return 1;
}

/* The same for the preprocessing's need of the picture as shown. */
static int reduce_wanted(nn_jpeg *jpeg, const nn_preprocess *p) {
  int turned = jpeg->orientation >= 5, corner[2];
  int shown_w = turned ? jpeg->height : jpeg->width;
  int shown_h = turned ? jpeg->width : jpeg->height;
  int w = shown_w, h = shown_h;
  if (p->crop) {
    nn_prepare_crop(shown_w, shown_h, p->width, p->height, &corner[0],
                    &corner[1], &w, &h);
  }
  int64_t need_w = (int64_t)p->reduced * p->width;
  int64_t need_h = (int64_t)p->reduced * p->height;
  if (turned) {
    return reduce_scales(jpeg, (int64_t[]){h, w}, (int64_t[]){need_h, need_w});
  }
  return reduce_scales(jpeg, (int64_t[]){w, h}, (int64_t[]){need_w, need_h});
}

/* Decoding ---------------------------------------------------------------- */

static size_t reduce_blocks(const nn_jpeg *jpeg, const nn_jpeg_component *c) {
  return (size_t)c->stride * (size_t)(jpeg->units_y * c->v);
}

/* The samples of all components in one piece, which is component 0's. */
static nn_status reduce_take(const nn_memory *mem, nn_jpeg *jpeg,
                             nn_error *err) {
  size_t bytes = 0;
  for (int i = 0; i < jpeg->components; i++) {
    nn_jpeg_component *c = &jpeg->component[i];
    bytes += reduce_blocks(jpeg, c) * (size_t)(c->scale * c->scale);
  }
  /* Zeroed, as the blocks of a scan of one component that hold no pixels are
  ** not written, though nothing looks at them. */
  uint8_t *samples = nn_zalloc(mem, bytes);
  if (!samples) return nn_fail(err, NN_NOMEM, "out of memory");
  for (int i = 0; i < jpeg->components; i++) {
    nn_jpeg_component *c = &jpeg->component[i];
    c->samples = samples;
    samples += reduce_blocks(jpeg, c) * (size_t)(c->scale * c->scale);
  }
  for (int i = 0; jpeg->progressive && i < jpeg->components; i++) {
    nn_jpeg_component *c = &jpeg->component[i];
    size_t count = reduce_blocks(jpeg, c);
    void *p;
    if (c->scale == 1) {
      p = c->dc_values = nn_zalloc(mem, nn_mul(count, sizeof(*c->dc_values)));
    } else {
      p = c->coefficients =
          nn_zalloc(mem, nn_mul(count, sizeof(*c->coefficients)));
    }
    if (!p) return nn_fail(err, NN_NOMEM, "out of memory");
  }
  return NN_OK;
}

void nn_jpeg_reduce_free(const nn_memory *mem, nn_jpeg *jpeg) {
  for (int i = 0; i < jpeg->components; i++) {
    nn_jpeg_component *c = &jpeg->component[i];
    nn_free(mem, c->dc_values);
    nn_free(mem, c->coefficients);
    c->dc_values = NULL;
    c->coefficients = NULL;
  }
  nn_free(mem, jpeg->component[0].samples);
  for (int i = 0; i < jpeg->components; i++) jpeg->component[i].samples = NULL;
}

nn_status nn_jpeg_reduce_opened(const nn_memory *mem, nn_jpeg *jpeg,
                                nn_error *err) {
  size_t end;
  nn_status status = reduce_take(mem, jpeg, err);
  if (!status) status = nn_jpeg_scans(mem, jpeg, nn_jpeg_reduce_scan, err);
  if (status || !jpeg->progressive) return status;
  /* Of a scan that was skipped it is not known where its data should end.
  ** Without an end marker the file may have been cut there, and the whole check
  ** is what finds out. */
  if (!jpeg->ended) {
    status = nn_jpeg_check(mem, jpeg->bytes, jpeg->n, &end, err);
  }
  for (int i = 0; !status && i < jpeg->components; i++) {
    if (!nn_jpeg_reduce_component(jpeg, &jpeg->component[i])) {
      status = nn_jpeg_damaged(
          err, "it has coefficients that no picture of 8 bits has");
    }
  }
  return status;
}

/* What stb_image would make of the components. */
static nn_colours reduce_colours(const nn_jpeg *jpeg) {
  if (jpeg->components == 1) return NN_COLOURS_GREY;
  if (jpeg->components == 4) {
    return jpeg->adobe == 2 ? NN_COLOURS_YCCK : NN_COLOURS_CMYK;
  }
  int letters = 1;
  for (int i = 0; i < 3; i++) letters &= jpeg->component[i].id == "RGB"[i];
  return letters || (jpeg->adobe == 0 && !jpeg->jfif) ? NN_COLOURS_RGB
                                                      : NN_COLOURS_YCC;
}

/* The samples become the picture's. */
static void reduce_picture(nn_jpeg *jpeg, nn_picture *out) {
  memset(out, 0, sizeof(*out));
  out->width = jpeg->width;
  out->height = jpeg->height;
  out->colours = reduce_colours(jpeg);
  out->channels = jpeg->components;
  out->owned = jpeg->component[0].samples;
  out->pixels = out->owned;
  for (int i = 0; i < jpeg->components; i++) {
    nn_jpeg_component *c = &jpeg->component[i];
    nn_channel *channel = &out->channel[i];
    channel->samples = c->samples;
    channel->step[0] = 1;
    channel->step[1] = (ptrdiff_t)c->scale * c->stride;
    reduce_units(jpeg, c, c->scale, &channel->unit[0], &channel->unit[1]);
    for (int axis = 0; axis < 2; axis++) {
      int side = axis ? out->height : out->width, unit = channel->unit[axis];
      channel->count[axis] = (side + unit - 1) / unit;
    }
  }
  jpeg->component[0].samples = NULL;
}

nn_status nn_jpeg_reduce(const nn_memory *mem, const uint8_t *bytes, size_t n,
                         const nn_preprocess *preprocess, nn_picture *out,
                         int *done, nn_error *err) {
  nn_jpeg jpeg;
  memset(&jpeg, 0, sizeof(jpeg));
  *done = 0;
  nn_status status = nn_jpeg_open(&jpeg, bytes, n, err);
  if (status || !reduce_wanted(&jpeg, preprocess)) return status;
  status = nn_jpeg_reduce_opened(mem, &jpeg, err);
  if (!status) {
    *done = 1;
    reduce_picture(&jpeg, out);
  }
  nn_jpeg_reduce_free(mem, &jpeg);
  return status;
}

/* Colours ----------------------------------------------------------------- */

/* Of a sample with 8 bits of fraction. */
static uint8_t reduce_round(uint16_t x) { return (uint8_t)((x + 128) >> 8); }

/* stb_image's numbers, which have 20 bits of fraction, of which 8 are zero: the
** 8 of the samples take their place.  Whole samples give what it gives. */
static void reduce_ycc(int y, int cb, int cr, uint8_t rgb[3]) {
  int one = y * (1 << 12) + (1 << 19);
  cb -= 128 << 8;
  cr -= 128 << 8;
  int blue = cb * -1410;
  int r = one + cr * 5743;
  int g = one + cr * -2925 + (blue - (blue & 0xffff));
  int b = one + cb * 7258;
  rgb[0] = nn_jpeg_clamp(r >> 20);
  rgb[1] = nn_jpeg_clamp(g >> 20);
  rgb[2] = nn_jpeg_clamp(b >> 20);
}

/* x * y / 255, rounded. */
static uint8_t reduce_times(uint16_t x, uint16_t y) {
  const uint64_t one = 255 << 16;
  return (uint8_t)(((uint64_t)x * y + one / 2) / one);
}

void nn_colours_convert(nn_colours colours, const uint16_t *const from[4],
                        size_t n, uint8_t *rgb) {
  const uint16_t *a = from[0], *b = from[1], *c = from[2], *k = from[3];
  for (size_t i = 0; i < n; i++, rgb += 3) {
    switch (colours) {
      case NN_COLOURS_GREY:
        rgb[0] = rgb[1] = rgb[2] = reduce_round(a[i]);
        break;
      case NN_COLOURS_RGB:
        rgb[0] = reduce_round(a[i]);
        rgb[1] = reduce_round(b[i]);
        rgb[2] = reduce_round(c[i]);
        break;
      case NN_COLOURS_YCC:
        reduce_ycc(a[i], b[i], c[i], rgb);
        break;
      case NN_COLOURS_CMYK:   /* Adobe's, inverted */
        rgb[0] = reduce_times(a[i], k[i]);
        rgb[1] = reduce_times(b[i], k[i]);
        rgb[2] = reduce_times(c[i], k[i]);
        break;
      default:
        reduce_ycc(a[i], b[i], c[i], rgb);
        for (int j = 0; j < 3; j++) {
          rgb[j] = reduce_times((uint16_t)((255 - rgb[j]) << 8), k[i]);
        }
    }
  }
}

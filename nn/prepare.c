/*
** From a picture to what the network sees, and from there to the code: the two
** calls behind img_hash(), img_features() and img_layer().
**
** The model's preprocessing says how (weights/README.md defines it): crop the
** picture to the target's aspect if asked to, resize, crop the centre to the
** input's size, put the channels in order, subtract the mean and scale.  All
** but the last step is integer arithmetic and the same on every machine; the
** last is one subtraction and one multiplication in float32 for each of the
** 256 values that a channel can have, so it is taken from a table.
*/
#include "jpeg.h"

void nn_prepare_crop(int picture_w, int picture_h, int w, int h, int *x, int *y,
                     int *crop_w, int *crop_h) {
  int64_t pw = picture_w, ph = picture_h;
  int64_t cw = (2 * ph * w + h) / (2 * (int64_t)h);
  int64_t ch = (2 * pw * h + w) / (2 * (int64_t)w);
  if (pw * h > ph * w) ch = ph;   /* too wide: full height */
  else cw = pw;
  *crop_w = (int)(cw < 1 ? 1 : cw > pw ? pw : cw);
  *crop_h = (int)(ch < 1 ? 1 : ch > ph ? ph : ch);
  *x = (picture_w - *crop_w) / 2;
  *y = (picture_h - *crop_h) / 2;
}

/* The middle of interleaved RGB into planes of floats. */
static void prepare_planes(const nn_preprocess *p, const nn_blob *input,
                           const uint8_t *rgb, float *dst) {
  size_t top = (size_t)(p->height - input->h) / 2;
  size_t left = (size_t)(p->width - input->w) / 2;
  for (int c = 0; c < 3; c++) {
    float table[256];
    for (int v = 0; v < 256; v++) {
      table[v] = ((float)v - p->mean[c]) * p->scale[c];
    }
    const uint8_t *plane = rgb + (p->bgr ? 2 - c : c);
    for (int y = 0; y < input->h; y++) {
      const uint8_t *row =
          plane + 3 * ((top + (size_t)y) * (size_t)p->width + left);
      for (int x = 0; x < input->w; x++) *dst++ = table[row[3 * x]];
    }
  }
}

nn_status nn_prepare(const nn_memory *mem, const nn_model *model,
                     const nn_picture *picture, float *dst, nn_error *err) {
  const nn_preprocess *p = &model->preprocess;
  const nn_blob *input = &model->blobs[0];
  int x = 0, y = 0, w = picture->width, h = picture->height;
  err->status = NN_OK;
  err->text[0] = 0;
  if (input->c != 3) {
    return nn_fail(err, NN_MODEL,
                   "the network's input has %d channels, a picture has 3",
                   input->c);
  }
  if (p->crop) nn_prepare_crop(w, h, p->width, p->height, &x, &y, &w, &h);
  uint8_t *rgb = nn_alloc(mem, nn_mul(nn_mul((size_t)p->width,
                                             (size_t)p->height), 3));
  if (!rgb) return nn_fail(err, NN_NOMEM, "out of memory");
  nn_status status =
      nn_resize(mem, picture, x, y, w, h, p->area ? NN_AREA : NN_BILINEAR,
                p->width, p->height, rgb, err);
  if (status == NN_OK) prepare_planes(p, input, rgb, dst);
  nn_free(mem, rgb);
  return status;
}

nn_status nn_hash(const nn_memory *mem, const nn_model *model,
                  const nn_head *head, const nn_picture *picture,
                  uint8_t *code, nn_error *err) {
  size_t n = model->blobs[0].size;
  float *input = nn_alloc(mem, (n + (size_t)head->bits) * sizeof(float));
  if (!input) return nn_fail(err, NN_NOMEM, "out of memory");
  nn_status status = nn_prepare(mem, model, picture, input, err);
  if (status == NN_OK) {
    status = nn_run(mem, model, NN_FAST, input, 1, head->latent, input + n,
                    err);
  }
  if (status == NN_OK) nn_code_from_logits(input + n, head->bits, code);
  nn_free(mem, input);
  return status;
}

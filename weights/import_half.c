/*
** --fp16: the weights of a float32 network's inner products in 16 bits.
**
** That is another model, of about half the size, whose codes are nearly those
** of the network: each weight becomes the nearest number that has eleven bits,
** of two as near the even one.  All else is copied as it is.  A weight that
** would become infinite (65520 and more) is an error.
**
** As for --int8 the network is written as it would be without the option, to a
** file that nobody sees, and what nn_model_open makes of that is what is
** converted.
*/
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "../nn/writer.h"
#include "import.h"

/* 0 where it would be none. */
static int half_of(float x, uint16_t *half) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof(bits));
  uint32_t sign = bits >> 16 & 0x8000, size = bits & 0x7fffffff;
  if (!(fabsf(x) < 65520)) return 0;
  if (fabsf(x) < 0x1p-14f) {
    /* a multiple of 2^-24; the product is exact */
    *half = (uint16_t)(sign | (uint32_t)lrintf(fabsf(x) * 0x1p24f));
    return 1;
  }
  size += 0xfff + (size >> 13 & 1);
  *half = (uint16_t)(sign | ((size >> 13) - (112u << 10)));
  return 1;
}

/* Whether some inner product has its weights there. */
static int half_is_wanted(const nn_model *model, const nn_tensor *tensor) {
  if (tensor->dtype != NN_F32) return 0;
  for (int i = 0; i < model->layer_count; i++) {
    const nn_layer *l = &model->layers[i];
    if (l->type == NN_INNER_PRODUCT && l->weight &&
        l->weight == tensor->floats) {
      return 1;
    }
  }
  return 0;
}

static nn_status half_convert(import *im, const nn_tensor *tensor,
                              nn_part *part) {
  uint16_t *to = import_alloc(im, tensor->count, sizeof(*to));
  if (!to) return NN_NOMEM;
  for (size_t i = 0; i < tensor->count; i++) {
    if (half_of(tensor->floats[i], &to[i])) continue;
    return import_fail(im, NULL, "--fp16: tensor %s: %g does not fit 16 bits",
                       nn_shown_name(tensor->name).text,
                       (double)tensor->floats[i]);
  }
  part->dtype = NN_F16;
  part->bytes = to;
  return NN_OK;
}

/* Every tensor of the file, those of dtypes that no layer can name left out. */
static nn_status half_parts(import *im, const nn_model *model,
                            nn_writer *writer) {
  nn_part *parts =
      import_alloc(im, (size_t)model->tensor_count + 1, sizeof(*parts));
  if (!parts) return NN_NOMEM;
  writer->parts = parts;
  for (int i = 0; i < model->tensor_count; i++) {
    const nn_tensor *tensor = &model->tensors[i];
    nn_part *part = &parts[writer->part_count];
    if (tensor->dtype == NN_OTHER) continue;
    writer->part_count++;
    *part = (nn_part){.name = tensor->name, .dtype = tensor->dtype,
                      .rank = tensor->rank, .bytes = tensor->bytes};
    memcpy(part->shape, tensor->shape, sizeof(part->shape));
    if (half_is_wanted(model, tensor)) {
      nn_status status = half_convert(im, tensor, part);
      if (status) return status;
    }
  }
  return NN_OK;
}

static int half_sink(void *context, const void *bytes, size_t n) {
  if (fwrite(bytes, 1, n, context) == n) return 0;
  return errno ? errno : EIO;
}

/* To OUT.new, which becomes OUT once it is whole. */
static nn_status half_write(import *im, const nn_writer *writer) {
  const char *path = im->options.output;
  nn_error err;
  char *new = import_print(im, "%s.new", path);
  if (!new) return NN_NOMEM;
  errno = 0;
  FILE *file = fopen(new, "wb");
  if (!file) return import_fail(im, NULL, "%s: %s", new, strerror(errno));
  nn_status status = nn_write_model(im->mem, writer, half_sink, file, &err);
  int why = errno;
  if (fclose(file) && !status) {
    status = err.status = NN_ARGUMENT;
    why = errno;
    snprintf(err.text, sizeof(err.text), "%s", path);
  }
  if (!status && rename(new, path)) {
    status = err.status = NN_ARGUMENT;
    why = errno;
    snprintf(err.text, sizeof(err.text), "%s", path);
  }
  if (!status) return NN_OK;
  remove(new);
  return import_fail(im, NULL, "%s%s%s", err.text, why ? ": " : "",
                     why ? strerror(why) : "");
}

nn_status import_half(import *im, const nn_model *model) {
  nn_error err;
  nn_json *header;
  nn_note note = {"report", model->report};
  nn_writer writer = {.notes = &note, .note_count = model->report != NULL};
  size_t n = 0;
  if (model->kind != NN_FLOAT32) {
    return import_fail(im, NULL, "--fp16: an integer network has no floats");
  }
  for (int i = 0; i < 8; i++) n |= (size_t)model->bytes[i] << 8 * i;
  if (nn_json_parse(im->mem, "header", model->bytes + 8, n, &header, &err)) {
    return import_fail(im, NULL, "%s", err.text);
  }
  const nn_json *meta = nn_json_get(header, "__metadata__");
  writer.network = nn_json_get(meta, "network")->text;
  nn_status status = half_parts(im, model, &writer);
  if (status == NN_OK) status = half_write(im, &writer);
  nn_free(im->mem, header);
  return status;
}

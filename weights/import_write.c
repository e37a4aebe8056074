/*
** From a graph to a model file.
**
** The description is written as README.md defines it, and the file beside its
** place, under the name OUT.new.  There it is opened as binhash_load() would
** open it, so that whatever the engine refuses is refused now, with its words
** and the layer's name; and the shape that the engine gives each layer is
** compared with the one that the reader worked out from the network's own
** rules, which would tell a reader's mistake from a working model.  Only then
** does the file take its place.
*/
#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "import.h"

/* The description ---------------------------------------------------------- */

static void write_value(nn_text *text, const import_member *m, int i) {
  if (m->kind == IMPORT_FLOATS) nn_text_float(text, m->floats[i]);
  else if (m->kind == IMPORT_STRING) nn_text_string(text, m->string);
  else if (m->kind == IMPORT_INTS) nn_text_add(text, "%d", m->ints[i]);
  else nn_text_add(text, m->ints[i] ? "true" : "false");
}

static void write_layer(nn_text *text, const import_layer *layer) {
  nn_text_add(text, "{\"name\":");
  nn_text_string(text, layer->name);
  nn_text_add(text, ",\"type\":");
  nn_text_string(text, layer->type);
  nn_text_add(text, ",\"bottom\":[");
  for (int i = 0; i < layer->bottoms; i++) {
    if (i) nn_text_add(text, ",");
    nn_text_string(text, layer->bottom[i]->name);
  }
  nn_text_add(text, "]");
  for (const import_member *m = layer->members; m; m = m->next) {
    nn_text_add(text, ",");
    nn_text_string(text, m->key);
    nn_text_add(text, m->count ? ":[" : ":");
    for (int i = 0; i < (m->count ? m->count : 1); i++) {
      if (i) nn_text_add(text, ",");
      write_value(text, m, i);
    }
    if (m->count) nn_text_add(text, "]");
  }
  nn_text_add(text, "}");
}

static void write_triple(nn_text *text, const char *key, const float *values) {
  nn_text_add(text, ",\"%s\":[", key);
  for (int c = 0; c < 3; c++) {
    if (c) nn_text_add(text, ",");
    nn_text_float(text, values[c]);
  }
  nn_text_add(text, "]");
}

static void write_preprocess(nn_text *text, const import_preprocess *p,
                             const int *shape) {
  if (shape[0] != 3) return;   /* it is pixels that are preprocessed */
  nn_text_add(text, ",\"preprocess\":{\"order\":\"%s\",\"resize\":\"%s\","
              "\"aspect\":\"%s\",\"size\":[%d,%d]", p->bgr ? "BGR" : "RGB",
              p->area ? "area" : "bilinear", p->crop ? "crop" : "stretch",
              p->size[0] ? p->size[0] : shape[1],
              p->size[1] ? p->size[1] : shape[2]);
  write_triple(text, "mean", p->mean);
  write_triple(text, "scale", p->scale);
  nn_text_add(text, "}");
}

static void write_named(nn_text *text, const char *key,
                        const import_layer *layer) {
  if (!layer) return;
  nn_text_add(text, ",\"%s\":", key);
  nn_text_string(text, layer->name);
}

static void write_head(nn_text *text, const import *im) {
  if (!im->latent) return;
  nn_text_add(text, ",\"heads\":[{\"name\":");
  nn_text_string(text, im->options.name ? im->options.name : "imported");
  write_named(text, "latent", im->latent);
  write_named(text, "features", im->features);
  write_named(text, "classifier", im->classifier);
  if (im->classifier && im->class_count) {
    nn_text_add(text, ",\"classes\":[");
    for (int i = 0; i < im->class_count; i++) {
      if (i) nn_text_add(text, ",");
      nn_text_string(text, im->classes[i]);
    }
    nn_text_add(text, "]");
  }
  nn_text_add(text, "}]");
}

static void write_aliases(nn_text *text, const import *im) {
  int n = 0;
  for (const import_alias *a = im->aliases; a; a = a->next) {
    if (n == NN_ALIAS_MAX) break;
    if (import_find(im, a->name)) continue;   /* a later layer's name */
    nn_text_add(text, n++ ? "," : ",\"aliases\":{");
    nn_text_string(text, a->name);
    nn_text_add(text, ":");
    nn_text_string(text, a->layer->name);
  }
  if (n) nn_text_add(text, "}");
}

nn_status import_describe(import *im, nn_text *text) {
  nn_error err;
  if (!im->layers || !im->layers->next) {
    return import_fail(im, NULL, "a network without layers");
  }
  const import_layer *input = im->layers;
  nn_text_add(text, "{\"input\":{\"name\":");
  nn_text_string(text, input->name);
  nn_text_add(text, ",\"channels\":%d,\"height\":%d,\"width\":%d}",
              input->shape[0], input->shape[1], input->shape[2]);
  write_preprocess(text, &im->preprocess, input->shape);
  nn_text_add(text, ",\"layers\":[");
  for (const import_layer *l = input->next; l; l = l->next) {
    if (l != input->next) nn_text_add(text, ",\n");
    write_layer(text, l);
  }
  nn_text_add(text, "]");
  write_aliases(text, im);
  write_head(text, im);
  nn_text_add(text, "}");
  if (nn_text_done(text, "the network's description", &err)) {
    return import_fail(im, NULL, "%s", err.text);
  }
  return NN_OK;
}

/* The file ----------------------------------------------------------------- */

static int write_sink(void *context, const void *bytes, size_t n) {
  if (fwrite(bytes, 1, n, context) == n) return 0;
  return errno ? errno : EIO;
}

static nn_status write_parts(import *im, const char *network, FILE *to) {
  nn_part *parts =
      import_alloc(im, (size_t)im->tensor_count + 1, sizeof(*parts));
  nn_writer writer = {network, parts, im->tensor_count, NULL, 0};
  nn_error err;
  if (!parts) return NN_NOMEM;
  for (const import_tensor *t = im->tensors; t; t = t->next, parts++) {
    *parts = (nn_part){.name = t->name, .dtype = NN_F32, .rank = t->rank,
                       .bytes = t->values};
    memcpy(parts->shape, t->shape, sizeof(parts->shape));
  }
  errno = 0;
  nn_status status = nn_write_model(im->mem, &writer, write_sink, to, &err);
  if (status == NN_OK) return NN_OK;
  return import_fail(im, NULL, "%s%s%s", err.text, errno ? ": " : "",
                     errno ? strerror(errno) : "");
}

/* The engine's shape of each layer is the reader's, where that has one. */
static nn_status write_compare(import *im, const nn_model *model) {
  for (const import_layer *l = im->layers; l; l = l->next) {
    int chw[3], blob = nn_model_blob(model, l->name);
    if (blob < 0) return import_fail(im, l->name, "it was lost");
    nn_model_blob_shape(model, blob, chw);
    if (!l->shape[0] || memcmp(chw, l->shape, sizeof(chw)) == 0) continue;
    return import_fail(im, l->name,
                       "it should give %d x %d x %d, and as written gives "
                       "%d x %d x %d", l->shape[0], l->shape[1], l->shape[2],
                       chw[0], chw[1], chw[2]);
  }
  return NN_OK;
}

/* Open what was written as the engine will. */
static nn_status write_try(import *im, const char *path, FILE *file,
                           nn_model **model) {
  const char *source = im->file;
  const uint8_t *bytes;
  size_t n;
  nn_error err;
  *model = NULL;
  im->file = path;
  nn_status status = fflush(file) ? import_fail(im, NULL, "%s",
                                                strerror(errno))
                                  : NN_OK;
  if (!status) status = import_map_open(im, fileno(file), &bytes, &n);
  im->file = source;
  if (status) return status;
  status = nn_model_open(im->mem, bytes, n, model, &err);
  if (status) return import_fail(im, NULL, "%s", err.text);
  status = write_compare(im, *model);
  if (status) {
    nn_model_close(*model);
    *model = NULL;
  }
  return status;
}

/* The file OUT.new, written and tried; it is there, and open, when *file is. */
static nn_status write_new(import *im, const char *new, FILE **file,
                           nn_model **model) {
  nn_text text;
  *file = NULL;
  *model = NULL;
  nn_text_open(&text, im->mem);
  nn_status status = import_describe(im, &text);
  if (!status) {
    *file = fopen(new, "w+b");
    if (!*file) status = import_fail(im, NULL, "%s: %s", new, strerror(errno));
  }
  if (!status) status = write_parts(im, text.text, *file);
  if (!status) status = write_try(im, new, *file, model);
  nn_text_free(&text);
  return status;
}

static char *write_name(import *im, const char *path) {
  char *new = import_alloc(im, strlen(path) + sizeof(".new"), 1);
  if (new) strcat(strcpy(new, path), ".new");
  return new;
}

nn_status import_write(import *im, const char *path) {
  FILE *file;
  nn_model *model;
  char *new = write_name(im, path);
  if (!new) return NN_NOMEM;
  nn_status status = write_new(im, new, &file, &model);
  nn_model_close(model);
  if (file && fclose(file) && !status) {
    status = import_fail(im, NULL, "%s: %s", new, strerror(errno));
  }
  if (!status && rename(new, path)) {
    status = import_fail(im, NULL, "%s: %s", path, strerror(errno));
  }
  if (file && status) remove(new);
  return status;
}

nn_status import_trial(import *im, nn_model **model) {
  FILE *file;
  char *new = write_name(im, im->options.output);
  *model = NULL;
  if (!new) return NN_NOMEM;
  nn_status status = write_new(im, new, &file, model);
  if (file) {
    fclose(file);
    remove(new);   /* its pages stay mapped */
  }
  return status;
}

nn_status import_model(import *im, const char *path, nn_model **model) {
  const uint8_t *bytes;
  nn_error err;
  size_t n;
  *model = NULL;
  nn_status status = import_map_file(im, path, &bytes, &n);
  if (status) return status;
  im->file = path;
  if (nn_model_open(im->mem, bytes, n, model, &err) != NN_OK) {
    return import_fail(im, NULL, "%s", err.text);
  }
  return NN_OK;
}

/*
** Names, attributes and views: how the nodes of an ONNX graph are asked, and
** how what they compute becomes the blob of a layer.
**
** onnx.h says what a value is.  Here are the few ways to look at one: as it
** lies, in a form with given sides, with its transposition undone.  Each makes
** a layer only where the bytes would have to be moved or another layer would
** see the wrong sides.
*/
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "onnx.h"

/* Messages and names ------------------------------------------------------- */

static const char *value_node_name(const onnx *o) {
  const OnnxNode *node = o->node;
  if (node->name && node->name[0]) return node->name;
  for (size_t i = 0; i < node->n_output; i++) {
    if (node->output[i][0]) return node->output[i];
  }
  return node->op_type ? node->op_type : "?";
}

nn_status onnx_fail(onnx *o, const char *format, ...) {
  char text[768];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof(text), format, args);
  va_end(args);
  if (!o->node) return import_fail(o->im, NULL, "%s", text);
  return import_fail(o->im, NULL, "node %s (%s): %s",
                     nn_shown_name(value_node_name(o)).text,
                     nn_shown_name(o->node->op_type ? o->node->op_type : "")
                         .text, text);
}

onnx_value *onnx_named(onnx *o, const char *name) {
  uint32_t hash = 2166136261u;
  for (const char *p = name; *p; p++) {
    hash = (hash ^ (uint8_t)*p) * 16777619u;
  }
  onnx_value **at = &o->names[hash & o->name_mask];
  for (; *at; at = &(*at)->next) {
    if (strcmp((*at)->name, name) == 0) return *at;
  }
  *at = import_alloc(o->im, 1, sizeof(**at));
  if (*at) (*at)->name = name;
  return *at;
}

const char *onnx_shape(onnx *o, const onnx_value *value) {
  return value->constant
             ? import_shape_text(o->im, value->constant->rank,
                                 value->constant->dims)
             : import_shape_text(o->im, value->rank, value->dims);
}

/* Attributes --------------------------------------------------------------- */

const OnnxAttribute *onnx_attribute(const onnx *o, const char *name) {
  for (size_t i = 0; i < o->node->n_attribute; i++) {
    const OnnxAttribute *a = o->node->attribute[i];
    if (a->name && strcmp(a->name, name) == 0) return a;
  }
  return NULL;
}

int64_t onnx_int(const onnx *o, const char *name, int64_t otherwise) {
  const OnnxAttribute *a = onnx_attribute(o, name);
  return a && a->has_i ? a->i : otherwise;
}

float onnx_float(const onnx *o, const char *name, float otherwise) {
  const OnnxAttribute *a = onnx_attribute(o, name);
  return a && a->has_f ? a->f : otherwise;
}

int onnx_is(const onnx *o, const char *name, const char *word,
            int otherwise) {
  const OnnxAttribute *a = onnx_attribute(o, name);
  if (!a || !a->has_s) return otherwise;
  return a->s.len == strlen(word) && memcmp(a->s.data, word, a->s.len) == 0;
}

nn_status onnx_list(onnx *o, const char *name, int i, const int64_t **list,
                    int *count) {
  const OnnxAttribute *a = onnx_attribute(o, name);
  *count = -1;
  if (a) {
    *list = a->ints;
    *count = a->n_ints > 4096 ? 4096 : (int)a->n_ints;
    return NN_OK;
  }
  if (i < 0 || i >= o->inputs || !o->in[i]) return NN_OK;
  const onnx_tensor *t;
  nn_status status = onnx_constant(o, i, &t);
  if (status) return status;
  if (!t->ints || t->rank > 1 || t->count > 4096) {
    return onnx_fail(o, "%s should be a list of integers", name);
  }
  *list = t->ints;
  *count = (int)t->count;
  return NN_OK;
}

nn_status onnx_number(onnx *o, const char *name, int i, float *out) {
  const OnnxAttribute *a = onnx_attribute(o, name);
  if (a && a->has_f) *out = a->f;
  if (a || i < 0 || i >= o->inputs || !o->in[i]) return NN_OK;
  const onnx_tensor *t;
  nn_status status = onnx_constant(o, i, &t);
  if (status) return status;
  if (t->count != 1) return onnx_fail(o, "%s should be one number", name);
  *out = t->floats ? t->floats[0] : (float)t->ints[0];
  return NN_OK;
}

nn_status onnx_axis(onnx *o, int64_t *axis, int rank) {
  if (*axis < -rank || *axis >= rank) {
    return onnx_fail(o, "axis %lld of %d", (long long)*axis, rank);
  }
  if (*axis < 0) *axis += rank;
  return NN_OK;
}

/* Inputs ------------------------------------------------------------------- */

nn_status onnx_blob(onnx *o, int i, onnx_value **out) {
  if (i >= o->inputs || !o->in[i]) {
    return onnx_fail(o, "input %d is missing", i);
  }
  *out = o->in[i];
  if ((*out)->layer) return NN_OK;
  return onnx_fail(o, "input %d, %s, is a constant, which is not supported",
                   i, nn_shown_name((*out)->name).text);
}

nn_status onnx_constant(onnx *o, int i, const onnx_tensor **out) {
  if (i >= o->inputs || !o->in[i]) {
    return onnx_fail(o, "input %d is missing", i);
  }
  *out = o->in[i]->constant;
  if (*out) return NN_OK;
  return onnx_fail(o, "input %d, %s, depends on the image; only a constant is "
                   "supported there", i, nn_shown_name(o->in[i]->name).text);
}

/* Views -------------------------------------------------------------------- */

static int value_identity(const onnx_value *v) {
  return v->order[0] == 0 && v->order[1] == 1 && v->order[2] == 2;
}

nn_status onnx_view(onnx *o, const onnx_value *value, int view[3]) {
  view[0] = view[1] = view[2] = 1;
  if (value->rank > 4) {
    return onnx_fail(o, "%s has %d sides, 4 are supported here",
                     nn_shown_name(value->name).text, value->rank);
  }
  for (int i = 1; i < value->rank; i++) {
    view[value->order[i - 1]] = (int)value->dims[i];
  }
  return NN_OK;
}

nn_status onnx_seen(onnx *o, onnx_value *value, const int view[3],
                    import_layer **out) {
  import_layer *layer = value->layer;
  *out = layer;
  if (memcmp(layer->shape, view, sizeof(layer->shape)) == 0) return NN_OK;
  /* behind a Reshape, look at what it reads: that may have these sides */
  if (strcmp(layer->type, "Reshape") == 0 &&
      memcmp(layer->bottom[0]->shape, view, sizeof(layer->shape)) == 0) {
    *out = layer->bottom[0];
    return NN_OK;
  }
  *out = onnx_layer(o, "in", "Reshape", layer, view);
  if (!*out) return NN_MODEL;
  value->layer = *out;
  return import_ints(o->im, *out, "dims", 3, view);
}

nn_status onnx_own(onnx *o, onnx_value *value, import_layer **out) {
  int view[3];
  nn_status status = onnx_view(o, value, view);
  return status ? status : onnx_seen(o, value, view, out);
}

nn_status onnx_plain(onnx *o, onnx_value *value) {
  static const int none[3] = {0, 1, 2};
  int view[3], last = -1, moved = 0;
  if (value_identity(value)) return NN_OK;
  nn_status status = onnx_view(o, value, view);
  if (status) return status;
  for (int i = 0; i < 3; i++) {   /* sides of 1 may stand anywhere */
    if (view[value->order[i]] == 1) continue;
    if (value->order[i] < last) moved = 1;
    last = value->order[i];
  }
  if (moved) {
    status = onnx_permute(o, value->name, value, view, value->order,
                          &value->layer);
    if (status) return status;
  }
  memcpy(value->order, none, sizeof(none));
  return NN_OK;
}

nn_status onnx_along(onnx *o, const onnx_value *value, int axis, int view[3],
                     int *side) {
  if (axis < 1) {
    return onnx_fail(o, "it works along the batch, whose images have nothing "
                     "to do with each other");
  }
  if (value->rank <= 4) {
    *side = value->order[axis - 1] + 1;
    return onnx_view(o, value, view);
  }
  view[0] = view[1] = view[2] = 1;
  for (int i = 1; i < value->rank; i++) {
    view[i < axis ? 0 : i == axis ? 1 : 2] *= (int)value->dims[i];
  }
  *side = 2;
  return NN_OK;
}

/* Results ------------------------------------------------------------------ */

import_layer *onnx_layer(onnx *o, const char *what, const char *type,
                         import_layer *bottom, const int shape[3]) {
  const char *base = o->called ? o->called : value_node_name(o);
  if (what) base = import_print(o->im, "%.900s_%s", base, what);
  char *name = base ? import_unique(o->im, base) : NULL;
  import_layer *layer = name ? import_add(o->im, name, type, bottom) : NULL;
  if (layer) memcpy(layer->shape, shape, sizeof(layer->shape));
  return layer;
}

nn_status onnx_give(onnx *o, int i, import_layer *layer, int rank,
                    const int64_t *dims, const int *order) {
  if (i >= o->outputs || !o->out[i]) return NN_OK;
  onnx_value *v = o->out[i];
  int64_t count = 1;
  if (rank > ONNX_RANK) {
    return onnx_fail(o, "its result has %d sides, %d can be", rank, ONNX_RANK);
  }
  if (v->layer || v->constant || v->proto) {
    return onnx_fail(o, "%s is given twice", nn_shown_name(v->name).text);
  }
  v->layer = layer;
  v->rank = rank;
  v->dims[0] = o->batch;
  for (int k = 1; k < rank; k++) {
    if (dims[k] < 1 || (count *= dims[k]) > 1 << 28) {
      return onnx_fail(o, "its result, %s, is empty or too large",
                       import_shape_text(o->im, rank, dims));
    }
    v->dims[k] = dims[k];
  }
  for (int k = 0; k < 3; k++) v->order[k] = order ? order[k] : k;
  if (count != (int64_t)layer->shape[0] * layer->shape[1] * layer->shape[2]) {
    return onnx_fail(o, "its result, %s, is not what it computes",
                     import_shape_text(o->im, rank, v->dims));
  }
  /* one that is transposed is not what its name would be asked for */
  return value_identity(v) ? import_add_alias(o->im, v->name, layer) : NN_OK;
}

nn_status onnx_give_like(onnx *o, int i, import_layer *layer,
                         const onnx_value *like) {
  return onnx_give(o, i, layer, like->rank, like->dims, like->order);
}

nn_status onnx_alias(onnx *o, onnx_value *value, int rank,
                     const int64_t *dims) {
  nn_status status = onnx_give(o, 0, value->layer, rank, dims,
                               rank == value->rank ? value->order : NULL);
  if (status) return status;
  return import_add_alias(o->im, value_node_name(o), value->layer);
}

/* Groups of channels that change places are a ShuffleChannel, whatever the
** sides of the rest are: the blob that has those channels, NULL if none has. */
static import_layer *value_groups(import_layer *from, const int view[3],
                                  const int order[3]) {
  int channels = view[0] * view[1];
  while (from->shape[0] != channels && strcmp(from->type, "Reshape") == 0) {
    from = from->bottom[0];
  }
  return order[0] == 1 && order[1] == 0 && from->shape[0] == channels ? from
                                                                      : NULL;
}

nn_status onnx_permute(onnx *o, const char *name, onnx_value *value,
                       const int view[3], const int order[3],
                       import_layer **out) {
  int from_one[3];
  import_layer *from = value_groups(value->layer, view, order), *layer;
  char *unique = import_unique(o->im, name);
  if (!unique) return NN_NOMEM;
  if (from) {
    *out = layer = import_add(o->im, unique, "ShuffleChannel", from);
    if (!layer) return NN_MODEL;
    memcpy(layer->shape, from->shape, sizeof(layer->shape));
    return import_int(o->im, layer, "group", view[0]);
  }
  nn_status status = onnx_seen(o, value, view, &from);
  if (status) return status;
  *out = layer = import_add(o->im, unique, "Permute", from);
  if (!layer) return NN_MODEL;
  for (int i = 0; i < 3; i++) {
    from_one[i] = order[i] + 1;
    layer->shape[i] = view[order[i]];
  }
  return import_ints(o->im, layer, "order", 3, from_one);
}

/*
** The network's description, a JSON text in the model's header, becomes layers
** and blobs.
**
** Every image function of SQL runs what is built here.  The vocabulary is
** Caffe's, because the paper's network is Caffe's, and what other frameworks
** mean by the same words is said by parameters (round_mode, count_include_pad).
** Layers stand in execution order and read blobs written before them, so there
** are no cycles to look for.  A layer writes one blob, which has its name.
**
** This file knows words: types, parameters, defaults.  shape.c knows what a
** geometry leads to and which tensors fit it, quantised.c what the layers of an
** integer network have instead of floats, plan.c where blobs lie in memory,
** heads.c the preprocessing and the heads.
*/
#include <math.h>
#include <string.h>

#include "nn_int.h"

#define NETWORK_KEYS 16   /* members of a layer of one type */

static const struct network_type {
  const char *name;
  nn_type type;
  int min_bottoms, max_bottoms;
  const char *keys[NETWORK_KEYS];
} network_types[] = {
    {"Convolution", NN_CONVOLUTION, 1, 1,
     {"num_output", "kernel_size", "stride", "pad", "dilation", "group",
      "weight", "bias"}},
    {"InnerProduct", NN_INNER_PRODUCT, 1, 1, {"num_output", "weight", "bias"}},
    {"Pooling", NN_POOLING, 1, 1,
     {"pool", "kernel_size", "stride", "pad", "round_mode",
      "count_include_pad", "global_pooling"}},
    {"LRN", NN_LRN, 1, 1, {"local_size", "alpha", "beta", "k"}},
    {"ReLU", NN_RELU, 1, 1, {NULL}},
    {"Sigmoid", NN_SIGMOID, 1, 1, {NULL}},
    {"Softmax", NN_SOFTMAX, 1, 1, {NULL}},
    {"BatchNorm", NN_BATCH_NORM, 1, 1,
     {"mean", "variance", "weight", "bias", "eps"}},
    {"Eltwise", NN_ELTWISE, 2, NN_BOTTOM_MAX, {"operation"}},
    {"Concat", NN_CONCAT, 1, NN_BOTTOM_MAX, {"axis"}},
    {"Flatten", NN_FLATTEN, 1, 1, {NULL}},
    {"MirrorMean", NN_MIRROR_MEAN, 1, 1, {NULL}}};

/* Parameters -------------------------------------------------------------- */

static nn_status network_known(const nn_model *model, const nn_fields *fields,
                               const struct network_type *type) {
  const char *keys[NETWORK_KEYS + 4] = {"name", "type", "bottom"};
  const char *const *own = type->keys;
  if (model->kind == NN_INTEGER) {
    own = nn_quantised_keys(type->type);
    if (!own) {
      return nn_field_fail(fields, "%s has no form in integer networks",
                           type->name);
    }
  } else if (type->type == NN_MIRROR_MEAN) {
    return nn_field_fail(fields, "MirrorMean is for integer networks alone");
  }
  for (int i = 0; i < NETWORK_KEYS && own[i]; i++) keys[3 + i] = own[i];
  return nn_field_known(fields, keys);
}

static nn_status network_convolution(const nn_fields *fields,
                                     nn_layer *layer) {
  nn_status status;
  layer->group = 1;
  if (!nn_json_get(fields->object, "kernel_size")) {
    return nn_field_fail(fields, "no kernel_size");
  }
  if ((status = nn_field_ints(fields, "kernel_size", 2, 1, NN_SIDE_MAX,
                              layer->kernel)) != NN_OK ||
      (status = nn_field_ints(fields, "stride", 2, 1, NN_SIDE_MAX,
                              layer->stride)) != NN_OK ||
      (status = nn_field_ints(fields, "pad", 4, 0, NN_SIDE_MAX,
                              layer->pad)) != NN_OK ||
      (status = nn_field_ints(fields, "dilation", 2, 1, NN_SIDE_MAX,
                              layer->dilation)) != NN_OK) {
    return status;
  }
  return nn_field_ints(fields, "group", 0, 1, 1 << 24, &layer->group);
}

static nn_status network_pooling(const nn_model *model,
                                 const nn_fields *fields, nn_layer *layer) {
  const nn_blob *in = &model->blobs[layer->bottom[0]];
  nn_status status;
  int global = 0, floor_mode = 0;
  layer->include_pad = 1;
  if (!nn_json_get(fields->object, "pool")) {
    return nn_field_fail(fields, "no pool");
  }
  if ((status = nn_field_choice(fields, "pool", "MAX", "AVE",
                                &layer->average)) != NN_OK ||
      (status = nn_field_choice(fields, "round_mode", "CEIL", "FLOOR",
                                &floor_mode)) != NN_OK ||
      (status = nn_field_boolean(fields, "count_include_pad",
                                 &layer->include_pad)) != NN_OK ||
      (status = nn_field_boolean(fields, "global_pooling",
                                 &global)) != NN_OK) {
    return status;
  }
  layer->ceil = !floor_mode;
  if (global) {
    if (nn_json_get(fields->object, "kernel_size") ||
        nn_json_get(fields->object, "stride") ||
        nn_json_get(fields->object, "pad")) {
      return nn_field_fail(fields, "global_pooling has no geometry to set");
    }
    layer->kernel[0] = in->h;
    layer->kernel[1] = in->w;
    return NN_OK;
  }
  if (!nn_json_get(fields->object, "kernel_size")) {
    return nn_field_fail(fields, "no kernel_size");
  }
  if ((status = nn_field_ints(fields, "kernel_size", 2, 1, NN_SIDE_MAX,
                              layer->kernel)) != NN_OK ||
      (status = nn_field_ints(fields, "stride", 2, 1, NN_SIDE_MAX,
                              layer->stride)) != NN_OK) {
    return status;
  }
  return nn_field_ints(fields, "pad", 4, 0, NN_SIDE_MAX, layer->pad);
}

static nn_status network_lrn(const nn_model *model, const nn_fields *fields,
                             nn_layer *layer) {
  nn_status status;
  int integer = model->kind == NN_INTEGER;
  layer->k = 1;
  if (integer && !nn_json_get(fields->object, "local_size")) {
    return nn_field_fail(fields, "no local_size");
  }
  if (!integer && (!nn_json_get(fields->object, "local_size") ||
                   !nn_json_get(fields->object, "alpha") ||
                   !nn_json_get(fields->object, "beta"))) {
    return nn_field_fail(fields, "wants local_size, alpha and beta");
  }
  if ((status = nn_field_ints(fields, "local_size", 0, 1, NN_SIDE_MAX,
                              &layer->local_size)) != NN_OK ||
      (status = nn_field_floats(fields, "alpha", 0, &layer->alpha)) != NN_OK ||
      (status = nn_field_floats(fields, "beta", 0, &layer->beta)) != NN_OK ||
      (status = nn_field_floats(fields, "k", 0, &layer->k)) != NN_OK) {
    return status;
  }
  if (layer->local_size % 2 == 0) {
    return nn_field_fail(fields, "local_size must be odd");
  }
  if (!(layer->alpha >= 0) || !(layer->k > 0)) {
    return nn_field_fail(fields, "wants alpha >= 0 and k > 0");
  }
  return NN_OK;
}

static nn_status network_parameters(const nn_model *model,
                                    const nn_fields *fields, nn_layer *layer,
                                    int *num_output) {
  nn_status status;
  int axis = 1, other = 0;
  layer->stride[0] = layer->stride[1] = 1;
  layer->dilation[0] = layer->dilation[1] = 1;
  switch (layer->type) {
    case NN_CONVOLUTION:
      status = network_convolution(fields, layer);
      if (status) return status;
      /* fall through */
    case NN_INNER_PRODUCT:
      if (!nn_json_get(fields->object, "num_output")) {
        return nn_field_fail(fields, "no num_output");
      }
      return nn_field_ints(fields, "num_output", 0, 1, 1 << 24, num_output);
    case NN_POOLING:
      return network_pooling(model, fields, layer);
    case NN_LRN:
      return network_lrn(model, fields, layer);
    case NN_BATCH_NORM:
      layer->eps = 1e-5f;
      status = nn_field_floats(fields, "eps", 0, &layer->eps);
      if (status == NN_OK && !(layer->eps >= 0)) {
        return nn_field_fail(fields, "eps is negative");
      }
      return status;
    case NN_ELTWISE:
      return nn_field_choice(fields, "operation", "SUM", "SUM", &other);
    case NN_CONCAT:
      return nn_field_ints(fields, "axis", 0, 1, 1, &axis);
    case NN_RELU:
    case NN_SIGMOID:
    case NN_SOFTMAX:
    case NN_FLATTEN:
    case NN_MIRROR_MEAN:
      break;
  }
  return NN_OK;
}

/* Layers ------------------------------------------------------------------ */

static nn_status network_type(const nn_fields *fields, nn_layer *layer,
                              const struct network_type **type) {
  const char *name = NULL;
  nn_status status = nn_field_string(fields, "type", &name);
  if (status) return status;
  if (!name) return nn_field_fail(fields, "no type");
  for (size_t i = 0; i < sizeof(network_types) / sizeof(*network_types); i++) {
    *type = &network_types[i];
    if (strcmp((*type)->name, name) == 0) {
      layer->type = (*type)->type;
      return NN_OK;
    }
  }
  return nn_field_fail(fields, "unknown type %s", nn_shown_name(name).text);
}

static nn_status network_bottoms(nn_model *model, const nn_fields *fields,
                                 nn_layer *layer,
                                 const struct network_type *type) {
  const nn_json *list = nn_json_get(fields->object, "bottom");
  if (!list || list->kind != NN_JSON_ARRAY ||
      list->length < (size_t)type->min_bottoms ||
      list->length > (size_t)type->max_bottoms) {
    return nn_field_fail(fields, "bottom wants %d to %d names",
                         type->min_bottoms, type->max_bottoms);
  }
  layer->bottom = nn_model_alloc(model, list->length, sizeof(int));
  if (!layer->bottom) return nn_fail(fields->err, NN_NOMEM, "out of memory");
  for (const nn_json *m = list->child; m; m = m->next) {
    /* layer_count counts the layers read so far, so this finds none later */
    int blob = m->kind == NN_JSON_STRING ? nn_model_blob(model, m->text) : -1;
    if (blob < 0) {
      return nn_field_fail(fields, "its bottom %s is no layer before it",
                           m->kind == NN_JSON_STRING
                               ? nn_shown_name(m->text).text
                               : "(not a string)");
    }
    layer->bottom[layer->bottoms++] = blob;
  }
  return NN_OK;
}

nn_status nn_network_layer(nn_model *model, const nn_json *json,
                           nn_error *err) {
  nn_layer *layer = &model->layers[model->layer_count];
  nn_blob *top = &model->blobs[model->layer_count + 1];
  const struct network_type *type;
  nn_fields fields;
  nn_status status;
  int num_output = 0;
  const nn_json *name = nn_json_get(json, "name");
  if (!name || name->kind != NN_JSON_STRING || !name->length) {
    return nn_fail(err, NN_MODEL, "layer %d has no name", model->layer_count);
  }
  if ((status = nn_fields_open(&fields, json, "layer", name->text, err)) !=
      NN_OK) {
    return status;
  }
  if (nn_model_blob(model, name->text) >= 0) {
    return nn_field_fail(&fields, "the name is taken");
  }
  layer->name = nn_model_string(model, name->text);
  if (!layer->name) return nn_fail(err, NN_NOMEM, "out of memory");
  layer->norm = layer->relu = layer->in_place = -1;
  layer->top = model->layer_count + 1;
  top->name = layer->name;
  if ((status = network_type(&fields, layer, &type)) != NN_OK ||
      (status = network_known(model, &fields, type)) != NN_OK ||
      (status = network_bottoms(model, &fields, layer, type)) != NN_OK ||
      (status = network_parameters(model, &fields, layer, &num_output)) !=
          NN_OK ||
      (status = nn_layer_shape(model, layer, num_output, &fields)) != NN_OK ||
      (status = model->kind == NN_INTEGER
                    ? nn_quantised_layer(model, layer, &fields)
                    : nn_layer_tensors(model, layer, &fields)) != NN_OK) {
    return status;
  }
  model->layer_count++;
  return NN_OK;
}

static nn_status network_input(nn_model *model, const nn_json *json,
                               nn_error *err) {
  static const char *const keys[] = {"name",  "channels",   "height",
                                     "width", "zero_point", NULL};
  nn_fields fields;
  const char *name = NULL;
  nn_blob *blob = &model->blobs[0];
  nn_status status = nn_fields_open(&fields, json, "input", NULL, err);
  if (status ||
      (status = nn_field_known(&fields, keys)) != NN_OK ||
      (status = nn_field_string(&fields, "name", &name)) != NN_OK ||
      (status = nn_field_ints(&fields, "channels", 0, 1, NN_SIDE_MAX,
                              &blob->c)) != NN_OK ||
      (status = nn_field_ints(&fields, "height", 0, 1, NN_SIDE_MAX,
                              &blob->h)) != NN_OK ||
      (status = nn_field_ints(&fields, "width", 0, 1, NN_SIDE_MAX,
                              &blob->w)) != NN_OK) {
    return status;
  }
  if (!name || !blob->c || !blob->h || !blob->w) {
    return nn_field_fail(&fields, "wants name, channels, height and width");
  }
  blob->name = nn_model_string(model, name);
  if (!blob->name) return nn_fail(err, NN_NOMEM, "out of memory");
  blob->size = blob->slots = nn_mul(
      nn_mul((size_t)blob->c, (size_t)blob->h), (size_t)blob->w);
  if (blob->size > NN_ALLOC_MAX / sizeof(float)) {
    return nn_field_fail(&fields, "%d x %d x %d is too large", blob->c,
                         blob->h, blob->w);
  }
  if (!nn_json_get(json, "zero_point")) return NN_OK;
  return nn_quantised_input(model, &fields);
}

nn_status nn_network_start(nn_model *model, const nn_json *input,
                           size_t layers, nn_error *err) {
  model->mirror = -1;
  model->layers = nn_model_alloc(model, layers, sizeof(nn_layer));
  model->blobs = nn_model_alloc(model, layers + 1, sizeof(nn_blob));
  if (!model->layers || !model->blobs) {
    return nn_fail(err, NN_NOMEM, "out of memory");
  }
  return network_input(model, input, err);
}

static nn_status network_build(nn_model *model, const nn_json *root,
                               nn_error *err) {
  const nn_json *layers = nn_json_get(root, "layers");
  if (!layers || layers->kind != NN_JSON_ARRAY || !layers->length ||
      layers->length > NN_LAYER_MAX) {
    return nn_fail(err, NN_MODEL, "a network has 1 to %d layers",
                   NN_LAYER_MAX);
  }
  nn_status status = nn_network_start(model, nn_json_get(root, "input"),
                                      layers->length, err);
  for (const nn_json *m = layers->child; m && !status; m = m->next) {
    status = nn_network_layer(model, m, err);
  }
  return status ? status : nn_heads_read(model, root, err);
}

nn_status nn_network_read(nn_model *model, const char *text, size_t n,
                          nn_error *err) {
  nn_json *root;
  nn_status status =
      nn_json_parse(&model->mem, "network", text, n, &root, err);
  if (status) return status;
  status = network_build(model, root, err);
  nn_free(&model->mem, root);
  return status;
}

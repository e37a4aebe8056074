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
** This file knows the types and the words of each.  parameters.c reads what
** they say, shape.c knows what a geometry leads to and which tensors fit it,
** quantised.c what the layers of an integer network have instead of floats,
** plan.c where blobs lie in memory, heads.c the preprocessing and the heads.
*/
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
     {"pool", "kernel_size", "stride", "pad", "dilation", "round_mode",
      "count_include_pad", "global_pooling"}},
    {"LRN", NN_LRN, 1, 1, {"local_size", "alpha", "beta", "k"}},
    {"ReLU", NN_RELU, 1, 1, {"negative_slope"}},
    {"Sigmoid", NN_SIGMOID, 1, 1, {NULL}},
    {"Softmax", NN_SOFTMAX, 1, 1, {"axis"}},
    {"BatchNorm", NN_BATCH_NORM, 1, 1,
     {"mean", "variance", "weight", "bias", "eps"}},
    {"Eltwise", NN_ELTWISE, 2, NN_BOTTOM_MAX, {"operation", "coeff"}},
    {"Concat", NN_CONCAT, 1, NN_BOTTOM_MAX, {"axis"}},
    {"Flatten", NN_FLATTEN, 1, 1, {NULL}},
    {"MirrorMean", NN_MIRROR_MEAN, 1, 1, {NULL}},
    {"Clip", NN_CLIP, 1, 1, {"min", "max"}},
    {"HardSigmoid", NN_HARD_SIGMOID, 1, 1, {"alpha", "beta"}},
    {"HardSwish", NN_HARD_SWISH, 1, 1, {NULL}},
    {"Scale", NN_SCALE, 1, 1, {"weight", "bias"}},
    {"Constant", NN_CONSTANT, 0, 0, {"weight"}},
    {"Padding", NN_PADDING, 1, 1, {"pad", "mode", "value"}},
    {"ShuffleChannel", NN_SHUFFLE_CHANNEL, 1, 1, {"group"}},
    {"Slice", NN_SLICE, 1, 1, {"axis", "begin", "end"}},
    {"Reshape", NN_RESHAPE, 1, 1, {"dims"}},
    {"Permute", NN_PERMUTE, 1, 1, {"order"}},
    {"Lookup", NN_LOOKUP, 1, 1, {NULL}}};

/* Members ----------------------------------------------------------------- */

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
  } else if (type->type == NN_MIRROR_MEAN || type->type == NN_LOOKUP) {
    return nn_field_fail(fields, "%s is for integer networks alone",
                         type->name);
  }
  for (int i = 0; i < NETWORK_KEYS && own[i]; i++) keys[3 + i] = own[i];
  return nn_field_known(fields, keys);
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
  if (!type->max_bottoms) {
    return list && (list->kind != NN_JSON_ARRAY || list->length)
               ? nn_field_fail(fields, "a %s has no bottom", type->name)
               : NN_OK;
  }
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
      (status = nn_layer_parameters(model, &fields, layer, &num_output)) !=
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

/* Once there are layers: {"another name": "layer", ...}. */
static nn_status network_aliases(nn_model *model, const nn_json *json,
                                 nn_error *err) {
  nn_fields fields;
  if (!json) return NN_OK;
  nn_status status = nn_fields_open(&fields, json, "aliases", NULL, err);
  if (status) return status;
  if (json->length > NN_ALIAS_MAX) {
    return nn_field_fail(&fields, "more than %d", NN_ALIAS_MAX);
  }
  model->aliases = nn_model_alloc(model, json->length, sizeof(nn_alias));
  if (!model->aliases) return nn_fail(err, NN_NOMEM, "out of memory");
  int blobs = model->layer_count + 1, blob;
  for (const nn_json *m = json->child; m; m = m->next) {
    for (blob = 0; blob < blobs; blob++) {
      if (strcmp(model->blobs[blob].name, m->key) == 0) {
        return nn_field_fail(&fields, "%s is a layer's name",
                             nn_shown_name(m->key).text);
      }
    }
    for (blob = 0; blob < blobs && m->kind == NN_JSON_STRING; blob++) {
      if (strcmp(model->blobs[blob].name, m->text) == 0) break;
    }
    if (m->kind != NN_JSON_STRING || blob == blobs || !m->key[0]) {
      return nn_field_fail(&fields, "%s wants the name of a layer",
                           nn_shown_name(m->key).text);
    }
    nn_alias *alias = &model->aliases[model->alias_count];
    alias->blob = blob;
    alias->name = nn_model_string(model, m->key);
    if (!alias->name) return nn_fail(err, NN_NOMEM, "out of memory");
    model->alias_count++;
  }
  return NN_OK;
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
  if (status == NN_OK) {
    status = network_aliases(model, nn_json_get(root, "aliases"), err);
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

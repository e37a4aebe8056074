/*
** The members of a layer that say what it computes: geometry, operations,
** constants, each with its default and its bounds.
**
** network.c has looked up the type, refused members that the type does not have
** and found the bottoms, whose shapes are known here.  What a member may be is
** said in weights/README.md, and a value outside of it ends as a sentence that
** names layer and member.  What the numbers lead to (a shape, or that they do
** not fit the bottoms) is shape.c's, and tensors are too.
*/
#include <math.h>

#include "nn_int.h"

/* Windows ----------------------------------------------------------------- */

static nn_status parameters_window(const nn_fields *fields, nn_layer *layer) {
  nn_status status;
  if (!nn_json_get(fields->object, "kernel_size")) {
    return nn_field_fail(fields, "no kernel_size");
  }
  if ((status = nn_field_ints(fields, "kernel_size", 2, 1, NN_SIDE_MAX,
                              layer->kernel)) != NN_OK ||
      (status = nn_field_ints(fields, "stride", 2, 1, NN_SIDE_MAX,
                              layer->stride)) != NN_OK ||
      (status = nn_field_ints(fields, "pad", 4, 0, NN_SIDE_MAX,
                              layer->pad)) != NN_OK) {
    return status;
  }
  return nn_field_ints(fields, "dilation", 2, 1, NN_SIDE_MAX,
                       layer->dilation);
}

static nn_status parameters_convolution(const nn_fields *fields,
                                     nn_layer *layer) {
  nn_status status;
  layer->group = 1;
  if ((status = parameters_window(fields, layer)) != NN_OK) return status;
  return nn_field_ints(fields, "group", 0, 1, 1 << 24, &layer->group);
}

static nn_status parameters_pooling(const nn_model *model,
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
        nn_json_get(fields->object, "pad") ||
        nn_json_get(fields->object, "dilation")) {
      return nn_field_fail(fields, "global_pooling has no geometry to set");
    }
    layer->kernel[0] = in->h;
    layer->kernel[1] = in->w;
    return NN_OK;
  }
  return parameters_window(fields, layer);
}

static nn_status parameters_lrn(const nn_model *model, const nn_fields *fields,
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

/* Element by element ------------------------------------------------------ */

static nn_status parameters_eltwise(nn_model *model, const nn_fields *fields,
                                    nn_layer *layer) {
  static const char *const words[] = {"SUM", "PROD", "SUB",
                                      "DIV", "MAX",  NULL};
  static const char *const whole[] = {"SUM", "PROD", "MAX", NULL};
  int operation = NN_SUM, integer = model->kind == NN_INTEGER;
  nn_status status = nn_field_word(fields, "operation",
                                   integer ? whole : words, &operation);
  if (status) return status;
  if (integer && operation == 2) operation = NN_MAX;
  if (integer && operation == NN_PROD && layer->bottoms != 2) {
    return nn_field_fail(fields, "PROD wants 2 bottoms, not %d",
                         layer->bottoms);
  }
  layer->operation = (nn_operation)operation;
  if ((operation == NN_SUB || operation == NN_DIV) && layer->bottoms != 2) {
    return nn_field_fail(fields, "%s wants 2 bottoms, not %d",
                         words[operation], layer->bottoms);
  }
  if (!nn_json_get(fields->object, "coeff")) return NN_OK;
  if (operation != NN_SUM) {
    return nn_field_fail(fields, "coeff does not go with %s",
                         words[operation]);
  }
  layer->coeff = nn_model_alloc(model, (size_t)layer->bottoms, sizeof(float));
  if (!layer->coeff) return nn_fail(fields->err, NN_NOMEM, "out of memory");
  return nn_field_floats(fields, "coeff", layer->bottoms, layer->coeff);
}

static nn_status parameters_clip(const nn_fields *fields, nn_layer *layer) {
  nn_status status;
  layer->low = -INFINITY;
  layer->high = INFINITY;
  if ((status = nn_field_floats(fields, "min", 0, &layer->low)) != NN_OK ||
      (status = nn_field_floats(fields, "max", 0, &layer->high)) != NN_OK) {
    return status;
  }
  if (layer->low > layer->high) {
    return nn_field_fail(fields, "min is larger than max");
  }
  return NN_OK;
}

static nn_status parameters_hard_sigmoid(const nn_fields *fields,
                                         nn_layer *layer) {
  layer->alpha = 0.2f;
  layer->beta = 0.5f;
  nn_status status = nn_field_floats(fields, "alpha", 0, &layer->alpha);
  return status ? status : nn_field_floats(fields, "beta", 0, &layer->beta);
}

/* Arrangement ------------------------------------------------------------- */

static nn_status parameters_padding(const nn_fields *fields, nn_layer *layer) {
  static const char *const words[] = {"constant", "reflect", "edge", NULL};
  int mode = NN_PAD_CONSTANT;
  nn_status status;
  if (!nn_json_get(fields->object, "pad")) {
    return nn_field_fail(fields, "no pad");
  }
  if ((status = nn_field_ints(fields, "pad", 4, 0, NN_SIDE_MAX,
                              layer->pad)) != NN_OK ||
      (status = nn_field_word(fields, "mode", words, &mode)) != NN_OK) {
    return status;
  }
  layer->padding = (nn_padding)mode;
  if (mode != NN_PAD_CONSTANT && nn_json_get(fields->object, "value")) {
    return nn_field_fail(fields, "value does not go with %s", words[mode]);
  }
  return nn_field_floats(fields, "value", 0, &layer->value);
}

static nn_status parameters_slice(const nn_fields *fields, nn_layer *layer) {
  nn_status status;
  if (!nn_json_get(fields->object, "begin") ||
      !nn_json_get(fields->object, "end")) {
    return nn_field_fail(fields, "wants begin and end");
  }
  if ((status = nn_field_ints(fields, "begin", 0, 0, 1 << 28,
                              &layer->begin)) != NN_OK) {
    return status;
  }
  return nn_field_ints(fields, "end", 0, 1, 1 << 28, &layer->end);
}

/* `order` counts the axes as axis does, from 1. */
static nn_status parameters_permute(const nn_fields *fields, nn_layer *layer) {
  int seen = 0;
  if (!nn_json_get(fields->object, "order")) {
    return nn_field_fail(fields, "no order");
  }
  nn_status status = nn_field_ints(fields, "order", 3, 1, 3, layer->order);
  if (status) return status;
  for (int i = 0; i < 3; i++) seen |= 1 << layer->order[i]--;
  if (seen != 14) return nn_field_fail(fields, "order names an axis twice");
  return NN_OK;
}

static nn_status parameters_reshape(const nn_fields *fields, nn_layer *layer) {
  if (!nn_json_get(fields->object, "dims")) {
    return nn_field_fail(fields, "no dims");
  }
  return nn_field_ints(fields, "dims", 3, 1, 1 << 28, layer->dims);
}

/* All types --------------------------------------------------------------- */

static nn_status parameters_filters(const nn_fields *fields, nn_layer *layer,
                                    int *num_output) {
  nn_status status = NN_OK;
  if (layer->type == NN_CONVOLUTION) {
    status = parameters_convolution(fields, layer);
  }
  if (status) return status;
  if (!nn_json_get(fields->object, "num_output")) {
    return nn_field_fail(fields, "no num_output");
  }
  return nn_field_ints(fields, "num_output", 0, 1, 1 << 24, num_output);
}

nn_status nn_layer_parameters(nn_model *model, const nn_fields *fields,
                              nn_layer *layer, int *num_output) {
  nn_status status;
  layer->stride[0] = layer->stride[1] = 1;
  layer->dilation[0] = layer->dilation[1] = 1;
  layer->axis = 1;
  switch (layer->type) {
    case NN_CONVOLUTION:
    case NN_INNER_PRODUCT:
      return parameters_filters(fields, layer, num_output);
    case NN_POOLING: return parameters_pooling(model, fields, layer);
    case NN_LRN: return parameters_lrn(model, fields, layer);
    case NN_BATCH_NORM:
      layer->eps = 1e-5f;
      status = nn_field_floats(fields, "eps", 0, &layer->eps);
      if (status == NN_OK && !(layer->eps >= 0)) {
        return nn_field_fail(fields, "eps is negative");
      }
      return status;
    case NN_RELU:
      return nn_field_floats(fields, "negative_slope", 0, &layer->slope);
    case NN_CLIP: return parameters_clip(fields, layer);
    case NN_HARD_SIGMOID: return parameters_hard_sigmoid(fields, layer);
    case NN_ELTWISE: return parameters_eltwise(model, fields, layer);
    case NN_CONCAT:
      return nn_field_ints(fields, "axis", 0, 1, 3, &layer->axis);
    case NN_SLICE:
      status = parameters_slice(fields, layer);
      if (status) return status;
      /* fall through */
    case NN_SOFTMAX:
      return nn_field_ints(fields, "axis", 0, 1, 3, &layer->axis);
    case NN_PADDING: return parameters_padding(fields, layer);
    case NN_SHUFFLE_CHANNEL:
      layer->group = 1;
      return nn_field_ints(fields, "group", 0, 1, 1 << 28, &layer->group);
    case NN_PERMUTE: return parameters_permute(fields, layer);
    case NN_RESHAPE: return parameters_reshape(fields, layer);
    case NN_SIGMOID:
    case NN_FLATTEN:
    case NN_MIRROR_MEAN:
    case NN_HARD_SWISH:
    case NN_SCALE:
    case NN_CONSTANT:
    case NN_LOOKUP: break;
  }
  return NN_OK;
}

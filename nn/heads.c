/*
** Heads and preprocessing: the part of a network's description that is about
** its use rather than its arithmetic.
**
** A head is what a name in SQL stands for, as in img_hash(image,
** 'copy-64'): the layer of logits that becomes the code, the layer of
** features before it, the classifier and the names of its classes.  A file may
** hold several heads on one backbone, or none, and then only the layers can be
** run.  The preprocessing says how a picture becomes the input; prepare.c does
** it.
**
** Members that this version does not know are ignored in a head (a later
** version may describe more of one) and refused in the preprocessing (it would
** change the numbers).
*/
#include <string.h>

#include "nn_int.h"

static nn_status heads_preprocess(nn_model *model, const nn_json *json,
                                  nn_error *err) {
  static const char *const keys[] = {"order", "resize", "aspect", "size",
                                     "mean",  "scale",  "reduced_jpeg",
                                     NULL};
  nn_preprocess *p = &model->preprocess;
  const nn_blob *input = &model->blobs[0];
  nn_fields fields;
  nn_status status;
  int size[2] = {input->h, input->w};
  for (int c = 0; c < 3; c++) p->scale[c] = 1;
  p->height = input->h;
  p->width = input->w;
  if (!json) return NN_OK;
  if ((status = nn_fields_open(&fields, json, "preprocess", NULL, err)) !=
          NN_OK ||
      (status = nn_field_known(&fields, keys)) != NN_OK ||
      (status = nn_field_choice(&fields, "order", "RGB", "BGR", &p->bgr)) !=
          NN_OK ||
      (status = nn_field_choice(&fields, "resize", "bilinear", "area",
                                &p->area)) != NN_OK ||
      (status = nn_field_choice(&fields, "aspect", "stretch", "crop",
                                &p->crop)) != NN_OK ||
      (status = nn_field_ints(&fields, "size", 2, 1, NN_SIDE_MAX, size)) !=
          NN_OK ||
      (status = nn_field_ints(&fields, "reduced_jpeg", 0, 1, 8,
                              &p->reduced)) != NN_OK ||
      (status = nn_field_floats(&fields, "mean", 3, p->mean)) != NN_OK ||
      (status = nn_field_floats(&fields, "scale", 3, p->scale)) != NN_OK) {
    return status;
  }
  if (model->kind == NN_INTEGER &&
      (nn_json_get(json, "mean") || nn_json_get(json, "scale"))) {
    return nn_field_fail(&fields, "an integer network reads the pixels, and "
                         "has neither mean nor scale");
  }
  if (p->reduced && !p->area) {
    return nn_field_fail(&fields, "reduced_jpeg wants resize area");
  }
  p->height = size[0];
  p->width = size[1];
  if (p->height < input->h || p->width < input->w) {
    return nn_field_fail(&fields, "size %d x %d is below the input's %d x %d",
                         p->height, p->width, input->h, input->w);
  }
  if (nn_mul(nn_mul((size_t)p->height, (size_t)p->width), 3) > NN_ALLOC_MAX) {
    return nn_field_fail(&fields, "size %d x %d is too large", p->height,
                         p->width);
  }
  return NN_OK;
}

/* The blob that member `key` names, -1 when it is absent. */
static nn_status heads_blob(const nn_model *model, const nn_fields *fields,
                            const char *key, int *blob) {
  const char *name = NULL;
  nn_status status = nn_field_string(fields, key, &name);
  *blob = name ? nn_model_blob(model, name) : -1;
  if (status || !name || *blob >= 0) return status;
  return nn_field_fail(fields, "%s: there is no layer %s", key,
                       nn_shown_name(name).text);
}

static nn_status heads_latent(const nn_model *model, const nn_fields *fields,
                              nn_head *head) {
  nn_status status = heads_blob(model, fields, "latent", &head->latent);
  if (status) return status;
  if (head->latent < 1) {
    return nn_field_fail(fields, "latent must name a layer");
  }
  const nn_layer *layer = &model->layers[head->latent - 1];
  if (layer->type == NN_SIGMOID) {
    head->latent = layer->bottom[0];
    if (head->latent < 1) {
      return nn_field_fail(fields, "latent must name a layer");
    }
    layer = &model->layers[head->latent - 1];
  }
  size_t bits = model->blobs[head->latent].size;
  if (bits > 1024) {
    return nn_field_fail(fields, "a latent layer has 1 to 1024 units, not %zu",
                         bits);
  }
  head->bits = (int)bits;
  status = heads_blob(model, fields, "features", &head->features);
  if (status || head->features >= 0) return status;
  if (!layer->bottoms) {
    return nn_field_fail(fields, "latent names a layer that reads none");
  }
  head->features = layer->bottom[0];
  return NN_OK;
}

static nn_status heads_classes(nn_model *model, const nn_fields *fields,
                               nn_head *head) {
  const nn_json *list = nn_json_get(fields->object, "classes");
  nn_status status =
      heads_blob(model, fields, "classifier", &head->classifier);
  if (status) return status;
  if (head->classifier >= 0) {
    head->classes = (int)model->blobs[head->classifier].size;
  }
  if (!list) return NN_OK;
  if (list->kind != NN_JSON_ARRAY || list->length != (size_t)head->classes) {
    return nn_field_fail(fields,
                         "classes wants as many names as the classifier has "
                         "outputs, %d", head->classes);
  }
  if (!head->classes) return NN_OK;
  const char **names = nn_model_alloc(model, list->length, sizeof(*names));
  if (!names) return nn_fail(fields->err, NN_NOMEM, "out of memory");
  head->class_names = names;
  for (const nn_json *m = list->child; m; m = m->next) {
    if (m->kind != NN_JSON_STRING) {
      return nn_field_fail(fields, "classes wants strings");
    }
    *names = nn_model_string(model, m->text);
    if (!*names++) return nn_fail(fields->err, NN_NOMEM, "out of memory");
  }
  return NN_OK;
}

static nn_status heads_head(nn_model *model, const nn_json *json,
                            nn_error *err) {
  nn_head *head = &model->heads[model->head_count];
  const char *name = NULL;
  nn_fields fields;
  nn_status status = nn_fields_open(&fields, json, "heads", NULL, err);
  if (status == NN_OK) status = nn_field_string(&fields, "name", &name);
  if (status) return status;
  if (!name) return nn_field_fail(&fields, "a head wants a name");
  for (int i = 0; i < model->head_count; i++) {
    if (strcmp(model->heads[i].name, name) == 0) {
      return nn_field_fail(&fields, "two heads are called %s",
                           nn_shown_name(name).text);
    }
  }
  nn_fields_open(&fields, json, "head", name, err);
  head->name = nn_model_string(model, name);
  if (!head->name) return nn_fail(err, NN_NOMEM, "out of memory");
  if ((status = heads_latent(model, &fields, head)) != NN_OK ||
      (status = heads_classes(model, &fields, head)) != NN_OK) {
    return status;
  }
  model->head_count++;
  return NN_OK;
}

nn_status nn_heads_read(nn_model *model, const nn_json *network,
                        nn_error *err) {
  const nn_json *list = nn_json_get(network, "heads");
  nn_status status =
      heads_preprocess(model, nn_json_get(network, "preprocess"), err);
  if (status || !list) return status;
  if (list->kind != NN_JSON_ARRAY || list->length > NN_HEAD_MAX) {
    return nn_fail(err, NN_MODEL, "heads wants an array of at most %d",
                   NN_HEAD_MAX);
  }
  model->heads = nn_model_alloc(model, list->length, sizeof(nn_head));
  if (!model->heads) return nn_fail(err, NN_NOMEM, "out of memory");
  for (const nn_json *m = list->child; m && !status; m = m->next) {
    status = heads_head(model, m, err);
  }
  return status;
}

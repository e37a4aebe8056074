/*
** The file of a trained model: layers of the base as they are, and the new
** ones.
**
** Of the base's network, the layers that its features depend on are copied,
** text and tensors, to the byte: whatever they computed, they compute.  Behind
** them come
**
**   latent       InnerProduct   the logits of the code
**   latent.sigmoid  Sigmoid
**   classifier   InnerProduct
**   prob         Softmax        the class scores
**
** under these names or, where the base has layers called so, with a number
** behind them, and one head, "trained".  weights/README.md defines each; what
** replay.c keeps lies beside them in tensors that no layer names, and the
** report in the metadata.
**
** The file is opened before it is handed out, so what binhash_train returns can
** be loaded.
*/
#include <stdio.h>
#include <string.h>

#include "learn.h"
#include "writer.h"

/* The members of a layer that can name tensors. */
static const char *const model_keys[] = {
    "weight", "bias",       "mean",   "variance",
    "scales", "multiplier", "shift",  "table"};

enum { MODEL_LATENT, MODEL_SIGMOID, MODEL_CLASSIFIER, MODEL_PROB, MODEL_NEW };
#define MODEL_OWN_PARTS 16

typedef struct model_state {
  const nn_trained *t;
  const nn_model *base;
  nn_json *header, *network;   /* of the base */
  uint8_t *keeps;              /* of each layer */
  uint8_t *copied;             /* of each tensor */
  nn_part *parts;
  int part_count;
  char names[MODEL_NEW][40];   /* of the new layers */
  char tensors[MODEL_OWN_PARTS][64];
  int tensor_count;
  nn_text text;
  nn_error *err;
} model_state;

/* The base ----------------------------------------------------------------- */

static nn_status model_parse(model_state *s) {
  const nn_model *base = s->base;
  size_t n = 0;
  for (int i = 7; i >= 0; i--) n = n << 8 | base->bytes[i];
  nn_status status = nn_json_parse(&s->t->mem, "header", base->bytes + 8, n,
                                   &s->header, s->err);
  if (status) return status;
  const nn_json *network =
      nn_json_get(nn_json_get(s->header, "__metadata__"), "network");
  return nn_json_parse(&s->t->mem, "network", network->text, network->length,
                       &s->network, s->err);
}

/* Layers that the features depend on. */
static nn_status model_ancestors(model_state *s) {
  const nn_model *base = s->base;
  s->keeps = nn_zalloc(&s->t->mem, (size_t)base->layer_count + 1);
  s->copied = nn_zalloc(&s->t->mem, (size_t)base->tensor_count + 1);
  s->parts = nn_alloc(&s->t->mem, ((size_t)base->tensor_count +
                                   MODEL_OWN_PARTS) * sizeof(*s->parts));
  if (!s->keeps || !s->copied || !s->parts)
    return nn_fail(s->err, NN_NOMEM, "out of memory");
  int features = s->t->examples->head->features;
  if (features > 0) s->keeps[features - 1] = 1;
  for (int i = base->layer_count - 1; i >= 0; i--) {
    const nn_layer *layer = &base->layers[i];
    for (int j = 0; s->keeps[i] && j < layer->bottoms; j++)
      if (layer->bottom[j] > 0) s->keeps[layer->bottom[j] - 1] = 1;
  }
  return NN_OK;
}

static void model_copy_tensor(model_state *s, const char *name) {
  const nn_tensor *tensor = nn_model_tensor(s->base, name);
  if (!tensor || s->copied[tensor - s->base->tensors]++) return;
  nn_part *part = &s->parts[s->part_count++];
  *part = (nn_part){.name = tensor->name, .dtype = tensor->dtype,
                    .rank = tensor->rank, .bytes = tensor->bytes};
  memcpy(part->shape, tensor->shape, sizeof(part->shape));
}

/* The tensors of a layer, and their scales in a float32 network. */
static void model_copy_tensors(model_state *s, const nn_json *layer) {
  char scale[256];
  for (size_t i = 0; i < sizeof(model_keys) / sizeof(*model_keys); i++) {
    const nn_json *name = nn_json_get(layer, model_keys[i]);
    if (!name || name->kind != NN_JSON_STRING) continue;
    model_copy_tensor(s, name->text);
    int n = snprintf(scale, sizeof(scale), "%s.scale", name->text);
    if (s->base->kind == NN_FLOAT32 && n > 0 && (size_t)n < sizeof(scale))
      model_copy_tensor(s, scale);
  }
}

/* A value of the base's description, as it was read. */
static void model_value(nn_text *text, const nn_json *v) {
  const int is_object = v->kind == NN_JSON_OBJECT;
  switch (v->kind) {
    case NN_JSON_NULL: nn_text_add(text, "null"); break;
    case NN_JSON_BOOLEAN:
      nn_text_add(text, v->integer ? "true" : "false");
      break;
    case NN_JSON_NUMBER:
      if (v->is_integer) nn_text_add(text, "%lld", (long long)v->integer);
      else nn_text_double(text, v->number);
      break;
    case NN_JSON_STRING: nn_text_string(text, v->text); break;
    case NN_JSON_ARRAY:
    case NN_JSON_OBJECT:
      nn_text_add(text, is_object ? "{" : "[");
      for (const nn_json *m = v->child; m; m = m->next) {
        if (m != v->child) nn_text_add(text, ",");
        if (is_object) {
          nn_text_string(text, m->key);
          nn_text_add(text, ":");
        }
        model_value(text, m);
      }
      nn_text_add(text, is_object ? "}" : "]");
      break;
  }
}

/* New layers --------------------------------------------------------------- */

/* Is the name a kept layer's or the input's, or does a kept tensor begin so? */
static int model_is_taken(const model_state *s, const char *name) {
  size_t n = strlen(name);
  int blob = nn_model_blob(s->base, name);
  if (blob == 0 || (blob > 0 && s->keeps[blob - 1])) return 1;
  for (int i = 0; i < s->part_count; i++)
    if (strncmp(s->parts[i].name, name, n) == 0 && s->parts[i].name[n] == '.')
      return 1;
  return 0;
}

static void model_name(const model_state *s, const char *want, char out[40]) {
  snprintf(out, 40, "%s", want);
  for (int i = 2; model_is_taken(s, out); i++)
    snprintf(out, 40, "%.20s.%d", want, i);
}

/* Begin a new layer that reads another. */
static void model_layer(model_state *s, int layer, const char *type,
                        const char *bottom) {
  nn_text_add(&s->text, ",{\"name\":\"%s\",\"type\":\"%s\",\"bottom\":[",
              s->names[layer], type);
  nn_text_string(&s->text, bottom);
  nn_text_add(&s->text, "]");
}

/* A tensor of a new layer, and the member that names it. */
static void model_tensor(model_state *s, int layer, const char *key,
                         nn_dtype dtype, int64_t rows, int64_t columns,
                         const void *bytes) {
  char *name = s->tensors[s->tensor_count++], own[40];
  memcpy(own, s->names[layer], sizeof(own));
  snprintf(name, sizeof(s->tensors[0]), "%s.%s", own, key);
  s->parts[s->part_count++] =
      (nn_part){.name = name, .dtype = dtype, .rank = columns ? 2 : 1,
                .shape = {rows, columns}, .bytes = bytes};
  nn_text_add(&s->text, ",\"%s\":\"%s\"", key, name);
}

static void model_integer_layers(model_state *s, const char *features) {
  const nn_hash_layer *l = &s->t->layer;
  model_layer(s, MODEL_LATENT, "InnerProduct", features);
  nn_text_add(&s->text, ",\"num_output\":%d", l->bits);
  model_tensor(s, MODEL_LATENT, "weight", NN_I8, l->bits,
               (int64_t)l->features, l->weight8);
  model_tensor(s, MODEL_LATENT, "bias", NN_I32, l->bits, 0, l->bias32);
  model_tensor(s, MODEL_LATENT, "scales", NN_F32, l->bits, 0, l->scales);
  nn_text_add(&s->text, "}");
  model_layer(s, MODEL_SIGMOID, "Sigmoid", s->names[MODEL_LATENT]);
  nn_text_add(&s->text, ",\"scale\":");
  nn_text_double(&s->text, (double)l->table_scale);
  model_tensor(s, MODEL_SIGMOID, "multiplier", NN_I32, l->bits, 0,
               l->multiplier);
  model_tensor(s, MODEL_SIGMOID, "shift", NN_I32, l->bits, 0, l->shift);
  model_tensor(s, MODEL_SIGMOID, "table", NN_U8, 256, 0, l->table);
  nn_text_add(&s->text, "}");
  model_layer(s, MODEL_CLASSIFIER, "InnerProduct", s->names[MODEL_SIGMOID]);
  nn_text_add(&s->text, ",\"num_output\":%d", l->classes);
  model_tensor(s, MODEL_CLASSIFIER, "weight", NN_I8, l->classes, l->bits,
               l->score8);
  model_tensor(s, MODEL_CLASSIFIER, "bias", NN_I32, l->classes, 0,
               l->score_bias32);
  model_tensor(s, MODEL_CLASSIFIER, "scales", NN_F32, l->classes, 0,
               l->score_scales);
  nn_text_add(&s->text, "}");
  model_layer(s, MODEL_PROB, "Softmax", s->names[MODEL_CLASSIFIER]);
  nn_text_add(&s->text, ",\"shift\":%d", l->softmax_shift);
  model_tensor(s, MODEL_PROB, "table", NN_I32, l->softmax_count, 0,
               l->softmax);
  nn_text_add(&s->text, "}");
}

static void model_float_layers(model_state *s, const char *features) {
  const nn_hash_layer *l = &s->t->layer;
  model_layer(s, MODEL_LATENT, "InnerProduct", features);
  nn_text_add(&s->text, ",\"num_output\":%d", l->bits);
  model_tensor(s, MODEL_LATENT, "weight", NN_F32, l->bits,
               (int64_t)l->features, l->weight);
  model_tensor(s, MODEL_LATENT, "bias", NN_F32, l->bits, 0, l->bias);
  nn_text_add(&s->text, "}");
  model_layer(s, MODEL_SIGMOID, "Sigmoid", s->names[MODEL_LATENT]);
  nn_text_add(&s->text, "}");
  model_layer(s, MODEL_CLASSIFIER, "InnerProduct", s->names[MODEL_SIGMOID]);
  nn_text_add(&s->text, ",\"num_output\":%d", l->classes);
  model_tensor(s, MODEL_CLASSIFIER, "weight", NN_F32, l->classes, l->bits,
               l->score);
  model_tensor(s, MODEL_CLASSIFIER, "bias", NN_F32, l->classes, 0,
               l->score_bias);
  nn_text_add(&s->text, "}");
  model_layer(s, MODEL_PROB, "Softmax", s->names[MODEL_CLASSIFIER]);
  nn_text_add(&s->text, "}");
}

/* What is kept for later: tensors that no layer names. */
static void model_kept(model_state *s) {
  const nn_kept *k = &s->t->kept;
  const int64_t c = k->classes, n = (int64_t)s->t->examples->features;
  nn_part *part = &s->parts[s->part_count];
  if (!c) return;
  part[0] = (nn_part){nn_kept_names[0], NN_I32, 1, {c}, k->counts};
  part[1] = (nn_part){nn_kept_names[1], NN_F32, 2, {c, n}, k->mean};
  part[2] = (nn_part){nn_kept_names[2], NN_F32, 2, {c, n}, k->deviation};
  part[3] = (nn_part){nn_kept_names[3], NN_I8, 3, {c, k->each, n}, k->sketch};
  s->part_count += 4;
}

/* The description ---------------------------------------------------------- */

static void model_layers(model_state *s) {
  const nn_json *list = nn_json_get(s->network, "layers");
  const char *features =
      nn_model_blob_name(s->base, s->t->examples->head->features);
  size_t begin;
  int i = 0;
  nn_text_add(&s->text, ",\"layers\":[");
  begin = s->text.n;
  for (const nn_json *m = list->child; m; m = m->next) {
    if (!s->keeps[i++]) continue;
    if (s->text.n > begin) nn_text_add(&s->text, ",");
    model_value(&s->text, m);
    model_copy_tensors(s, m);
  }
  for (int j = 0; j < MODEL_NEW; j++) {
    static const char *const names[MODEL_NEW] = {"latent", "latent.sigmoid",
                                                 "classifier", "prob"};
    model_name(s, names[j], s->names[j]);
  }
  size_t behind = s->text.n;
  if (s->t->layer.integer) model_integer_layers(s, features);
  else model_float_layers(s, features);
  /* Without a layer before them, no comma either. */
  if (behind == begin && !s->text.status) s->text.text[begin] = ' ';
  nn_text_add(&s->text, "]");
}

static void model_head(model_state *s) {
  const nn_examples *e = s->t->examples;
  nn_text_add(&s->text, ",\"heads\":[{\"name\":\"trained\",\"latent\":\"%s\","
              "\"classifier\":\"%s\",\"features\":", s->names[MODEL_LATENT],
              s->names[MODEL_PROB]);
  nn_text_string(&s->text, nn_model_blob_name(s->base, e->head->features));
  nn_text_add(&s->text, ",\"classes\":[");
  for (size_t i = 0; i < e->class_count; i++) {
    if (i) nn_text_add(&s->text, ",");
    nn_text_string(&s->text, e->classes[i].name);
  }
  nn_text_add(&s->text, "]}]}");
}

static nn_status model_describe(model_state *s) {
  const nn_json *preprocess = nn_json_get(s->network, "preprocess");
  nn_text_add(&s->text, "{\"input\":");
  model_value(&s->text, nn_json_get(s->network, "input"));
  if (preprocess) {
    nn_text_add(&s->text, ",\"preprocess\":");
    model_value(&s->text, preprocess);
  }
  model_layers(s);
  model_head(s);
  model_kept(s);
  return nn_text_done(&s->text, "the model's network", s->err);
}

static nn_status model_write(model_state *s, const char *report,
                             void **bytes, size_t *size) {
  const nn_note note = {"report", report};
  const nn_writer writer = {s->text.text, s->parts, s->part_count, &note, 1};
  uint8_t *out;
  nn_model *made;
  nn_status status =
      nn_write_bytes(&s->t->mem, &writer, &out, size, s->err);
  if (status) return status;
  status = nn_model_open(&s->t->mem, out, *size, &made, s->err);
  if (status) {
    nn_free(&s->t->mem, out);
    return status;
  }
  nn_model_close(made);
  *bytes = out;
  return NN_OK;
}

nn_status nn_trained_write(const nn_trained *trained, const char *report,
                           void **bytes, size_t *size, nn_error *err) {
  model_state s = {.t = trained, .base = trained->examples->base, .err = err};
  *bytes = NULL;
  nn_text_open(&s.text, &trained->mem);
  nn_status status = model_parse(&s);
  if (status == NN_OK) status = model_ancestors(&s);
  if (status == NN_OK) status = model_describe(&s);
  if (status == NN_OK) status = model_write(&s, report, bytes, size);
  nn_text_free(&s.text);
  nn_free(&trained->mem, s.header);
  nn_free(&trained->mem, s.network);
  nn_free(&trained->mem, s.keeps);
  nn_free(&trained->mem, s.copied);
  nn_free(&trained->mem, s.parts);
  return status;
}

void nn_train_free(const nn_memory *mem, void *bytes) {
  nn_free(mem, bytes);
}

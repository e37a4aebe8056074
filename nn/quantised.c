/*
** What the layers of an integer network have where those of a float network
** have floats: scales, zero points, multipliers, shifts, tables, and the proof
** that no sum of theirs leaves 32 bits.
**
** A model whose input has a zero_point ends here when binhash_load() reads it
** (weights/README.md, "Integer networks", is the definition).  A blob is either
** bytes, the only thing that most layers read, or sums, which the latent layer
** and the scores of a classifier are; which layer reads and writes which is
** settled here, so that the kernels need not ask.
**
** The promise of these networks is the same code on every machine, and it rests
** on three checks, made once, at load.  The worst sum of each filter fits an
** int32, with and without its zero points, so that kernels may add in any order
** and take the zero points out beforehand.  Sums over bottoms fit too.  And a
** scale has so few significant bits that a byte as a number is exact.
**
** Scales are decimals in the description, and the C library reads decimals as
** the host's rounding mode says.  What is meant is a number of 16 bits; so that
** one is taken which is nearest, if it is near enough.
*/
#include <math.h>

#include "nn_int.h"

#define QUANTISED_TABLE_MAX 65536
#define QUANTISED_GEOMETRY \
  "kernel_size", "stride", "pad", "dilation", "group"
#define QUANTISED_FILTERS                                                \
  "num_output", "weight", "bias", "multiplier", "shift", "scale",        \
      "zero_point", "max", "scales"

const char *const *nn_quantised_keys(nn_type type) {
  static const char *const convolution[] = {QUANTISED_GEOMETRY,
                                            QUANTISED_FILTERS, NULL};
  static const char *const product[] = {QUANTISED_FILTERS, NULL};
  static const char *const pooling[] = {
      "pool",       "kernel_size",       "stride",         "pad", "dilation",
      "round_mode", "count_include_pad", "global_pooling", NULL};
  static const char *const eltwise[] = {
      "operation", "multiplier", "shift", "scale", "zero_point", "max", NULL};
  static const char *const concat[] = {
      "axis", "multiplier", "shift", "scale", "zero_point", "max", NULL};
  static const char *const sigmoid[] = {
      "table", "multiplier", "shift", "scale", "zero_point", "max", NULL};
  static const char *const lrn[] = {"local_size", "table",      "sum_shift",
                                    "shift",      "scale",      "zero_point",
                                    "max",        NULL};
  static const char *const softmax[] = {"table", "shift", NULL};
  static const char *const constant[] = {"weight", "scale", "zero_point",
                                         "max", NULL};
  static const char *const padding[] = {"pad", "mode", "value", NULL};
  static const char *const shuffle[] = {"group", NULL};
  static const char *const slice[] = {"axis", "begin", "end", NULL};
  static const char *const reshape[] = {"dims", NULL};
  static const char *const permute[] = {"order", NULL};
  static const char *const none[] = {NULL};
  switch (type) {
    case NN_CONVOLUTION: return convolution;
    case NN_INNER_PRODUCT: return product;
    case NN_POOLING: return pooling;
    case NN_ELTWISE: return eltwise;
    case NN_CONCAT: return concat;
    case NN_SIGMOID:
    case NN_LOOKUP: return sigmoid;
    case NN_CONSTANT: return constant;
    case NN_PADDING: return padding;
    case NN_SHUFFLE_CHANNEL: return shuffle;
    case NN_SLICE: return slice;
    case NN_RESHAPE: return reshape;
    case NN_PERMUTE: return permute;
    case NN_LRN: return lrn;
    case NN_SOFTMAX: return softmax;
    case NN_RELU:
    case NN_FLATTEN:
    case NN_MIRROR_MEAN: return none;
    default: break;
  }
  return NULL;
}

/* Scales ------------------------------------------------------------------ */

/* *out = x with 16 significant bits, from 2^-60 to 2^60; 0 if x is none. */
static int quantised_scale(double x, float *out) {
  int exponent;
  double m = frexp(x, &exponent) * 65536;   /* 32768 <= m < 65536 */
  if (!(x > 0) || exponent < -60 || exponent > 61) return 0;
  int64_t near = (int64_t)(m + 0.5);
  double off = m - (double)near;
  if (off > 0x1p-20 || off < -0x1p-20) return 0;
  *out = (float)ldexp((double)near, exponent - 16);
  return *out >= 0x1p-60f && *out <= 0x1p60f;
}

/* The members scale, zero_point and max of a layer that writes bytes. */
static nn_status quantised_bytes(nn_model *model, nn_layer *layer,
                                 const nn_fields *fields) {
  nn_quant *q = &model->blobs[layer->top].quant;
  const nn_json *scale = nn_json_get(fields->object, "scale");
  int zero = 0, max = 127;
  nn_status status;
  if (!scale) return nn_field_fail(fields, "no scale");
  if (scale->kind != NN_JSON_NUMBER ||
      !quantised_scale(scale->number, &q->scale)) {
    return nn_field_fail(fields, "scale wants a number from 2^-60 to 2^60 of "
                         "at most 16 significant bits");
  }
  if ((status = nn_field_ints(fields, "max", 0, 1, 255, &max)) != NN_OK ||
      (status = nn_field_ints(fields, "zero_point", 0, 0, max, &zero)) !=
          NN_OK) {
    return status;
  }
  uint8_t *copy = nn_model_alloc(model, 1, 1);
  if (!copy) return nn_fail(fields->err, NN_NOMEM, "out of memory");
  *copy = (uint8_t)zero;
  q->zero = copy;
  q->span = SIZE_MAX;
  q->max = max;
  return NN_OK;
}

/* The member scales of a layer that writes sums. */
static nn_status quantised_sums(nn_model *model, nn_layer *layer,
                                const nn_fields *fields) {
  nn_blob *top = &model->blobs[layer->top];
  const int64_t shape = top->c;
  nn_tensor *tensor;
  nn_status status =
      nn_layer_tensor(model, fields, "scales", 1, 1, &shape, &tensor);
  if (status) return status;
  if (tensor->dtype != NN_F32) {
    return nn_field_fail(fields, "scales wants a tensor of F32");
  }
  status = nn_model_floats(model, tensor, &top->quant.scales, fields->err);
  if (status) return status;
  for (int c = 0; c < top->c; c++) {
    float scale;
    if (!quantised_scale((double)top->quant.scales[c], &scale) ||
        scale != top->quant.scales[c]) {
      return nn_field_fail(fields, "scales: that of channel %d is no number "
                           "from 2^-60 to 2^60 of at most 16 significant "
                           "bits", c);
    }
  }
  top->quant.sums = 1;
  top->quant.scales_step = 1;
  return NN_OK;
}

/* Members ----------------------------------------------------------------- */

static nn_status quantised_reads(const nn_model *model, const nn_layer *layer,
                                 const nn_fields *fields, int sums) {
  for (int i = 0; i < layer->bottoms; i++) {
    const nn_blob *in = &model->blobs[layer->bottom[i]];
    if (in->quant.sums == sums) continue;
    return nn_field_fail(fields, "its bottom %s has %s, and it reads %s",
                         nn_shown_name(in->name).text,
                         in->quant.sums ? "sums" : "bytes",
                         sums ? "sums" : "bytes");
  }
  return NN_OK;
}

/* An I32 tensor of n numbers, or of 1 to QUANTISED_TABLE_MAX where n is -1,
** each from min to max. */
static nn_status quantised_ints(nn_model *model, const nn_fields *fields,
                                const char *key, int64_t n, int32_t min,
                                int32_t max, const int32_t **out,
                                int *entries) {
  nn_tensor *tensor;
  nn_status status = nn_layer_tensor(model, fields, key, 1, 1, &n, &tensor);
  if (status) return status;
  if (tensor->dtype != NN_I32) {
    return nn_field_fail(fields, "%s wants a tensor of I32", key);
  }
  if (n < 0 && (tensor->count < 1 || tensor->count > QUANTISED_TABLE_MAX)) {
    return nn_field_fail(fields, "%s has %zu entries, not 1 to %d", key,
                         tensor->count, QUANTISED_TABLE_MAX);
  }
  status = nn_model_ints(model, tensor, out, fields->err);
  for (size_t i = 0; i < tensor->count && !status; i++) {
    if ((*out)[i] < min || (*out)[i] > max) {
      status = nn_field_fail(fields, "%s: entry %zu is %d, not %d to %d", key,
                             i, (int)(*out)[i], (int)min, (int)max);
    }
  }
  if (entries) *entries = (int)tensor->count;
  return status;
}

/* A whole number that has no default. */
static nn_status quantised_int(const nn_fields *fields, const char *key,
                               int min, int max, int *out) {
  if (!nn_json_get(fields->object, key)) {
    return nn_field_fail(fields, "no %s", key);
  }
  return nn_field_ints(fields, key, 0, min, max, out);
}

/* multiplier and shift of each of n channels. */
static nn_status quantised_requantise(nn_model *model, nn_layer *layer,
                                      const nn_fields *fields, int n) {
  nn_whole *w = &layer->whole;
  nn_status status = quantised_ints(model, fields, "multiplier", n, 0,
                                    INT32_MAX, &w->multiplier, NULL);
  if (status) return status;
  return quantised_ints(model, fields, "shift", n, 1, 62, &w->shift, NULL);
}

static nn_status quantised_absent(const nn_fields *fields, const char *with,
                                  const char *const *keys) {
  for (; *keys; keys++) {
    if (nn_json_get(fields->object, *keys)) {
      return nn_field_fail(fields, "%s does not go with %s", *keys, with);
    }
  }
  return NN_OK;
}

/* Filters ----------------------------------------------------------------- */

/* Of n weights: what they are without their signs, added up. */
static int64_t quantised_sizes(const int8_t *weight, size_t n) {
  const size_t most = 1 << 16;   /* whose sum is an int */
  int64_t all = 0;
  for (size_t i = 0; i < n; i += most) {
    size_t end = n - i < most ? n : i + most;
    int some = 0;
    for (size_t j = i; j < end; j++) {
      some += weight[j] < 0 ? -weight[j] : weight[j];
    }
    all += some;
  }
  return all;
}

/* folded[o] = bias[o] - sum of weight * zero point, and with it the largest
** that the accumulator can become, which must be an int32. */
static nn_status quantised_fold(nn_model *model, nn_layer *layer,
                                const nn_fields *fields) {
  const nn_blob *in = &model->blobs[layer->bottom[0]];
  const nn_blob *top = &model->blobs[layer->top];
  nn_whole *w = &layer->whole;
  size_t channels = (size_t)(in->c / layer->group);
  size_t outputs = (size_t)(top->c / layer->group);
  size_t taps = (size_t)layer->kernel[0] * (size_t)layer->kernel[1];
  const int8_t *weight = w->weight;
  w->folded = nn_model_alloc(model, (size_t)top->c, sizeof(*w->folded));
  if (!w->folded) return nn_fail(fields->err, NN_NOMEM, "out of memory");
  for (int o = 0; o < top->c; o++) {
    size_t first = (size_t)o / outputs * channels;
    int64_t folded = w->bias ? w->bias[o] : 0, zeros = 0;
    int64_t worst = quantised_sizes(weight, channels * taps) * in->quant.max;
    for (size_t c = 0; c < channels; c++) {
      int64_t zero = nn_int_zero(in, first + c);
      int64_t sum = 0;
      for (size_t t = 0; t < taps; t++) sum += weight[t];
      zeros += sum * zero;
      weight += taps;
    }
    folded -= zeros;
    worst += folded < 0 ? -folded : folded;
    if (worst > INT32_MAX) {
      return nn_field_fail(fields, "weight: the sum of filter %d can reach "
                           "%lld, which is more than 2^31 - 1", o,
                           (long long)worst);
    }
    w->folded[o] = (int32_t)folded;
  }
  return NN_OK;
}

static nn_status quantised_weights(nn_model *model, nn_layer *layer,
                                   const nn_fields *fields) {
  const nn_blob *in = &model->blobs[layer->bottom[0]];
  const int64_t n = model->blobs[layer->top].c;
  const int product = layer->type == NN_INNER_PRODUCT;
  const int64_t shape[4] = {n, product ? (int64_t)in->size
                                       : in->c / layer->group,
                            layer->kernel[0], layer->kernel[1]};
  nn_tensor *tensor;
  nn_status status = nn_layer_tensor(model, fields, "weight", 1,
                                     product ? 2 : 4, shape, &tensor);
  if (status) return status;
  if (tensor->dtype != NN_I8) {
    return nn_field_fail(fields, "weight wants a tensor of I8");
  }
  layer->whole.weight = (const int8_t *)tensor->bytes;
  if (nn_json_get(fields->object, "bias")) {
    status = quantised_ints(model, fields, "bias", n, INT32_MIN, INT32_MAX,
                            &layer->whole.bias, NULL);
  }
  if (product) {
    layer->kernel[0] = in->h;
    layer->kernel[1] = in->w;
    layer->group = 1;
  }
  return status ? status : quantised_fold(model, layer, fields);
}

static nn_status quantised_filters(nn_model *model, nn_layer *layer,
                                   const nn_fields *fields) {
  static const char *const others[] = {"multiplier", "shift", "scale",
                                       "zero_point", "max",   NULL};
  nn_status status = quantised_reads(model, layer, fields, 0);
  if (status == NN_OK) status = quantised_weights(model, layer, fields);
  if (status) return status;
  if (nn_json_get(fields->object, "scales")) {
    status = quantised_absent(fields, "scales", others);
    return status ? status : quantised_sums(model, layer, fields);
  }
  if (!nn_json_get(fields->object, "multiplier")) {
    return nn_field_fail(fields, "wants multiplier, shift and scale, or "
                         "scales");
  }
  status = quantised_requantise(model, layer, fields,
                                model->blobs[layer->top].c);
  return status ? status : quantised_bytes(model, layer, fields);
}

/* The other layers -------------------------------------------------------- */

/* Layer layer_count is a MirrorMean, which stands beside the others. */
static nn_status quantised_mirror(nn_model *model, const nn_fields *fields) {
  if (model->mirror < 0) model->mirror = model->layer_count;
  int last = model->mirror + model->mirrors - 1;
  if (model->mirrors && last != model->layer_count - 1) {
    return nn_field_fail(fields, "MirrorMeans stand side by side, and layers "
                         "stand between it and %s",
                         nn_shown_name(model->layers[last].name).text);
  }
  model->mirrors++;
  return NN_OK;
}

/* Pooling, ReLU, Flatten, MirrorMean: what they read. */
static nn_status quantised_same(nn_model *model, nn_layer *layer,
                                const nn_fields *fields) {
  const nn_blob *in = &model->blobs[layer->bottom[0]];
  nn_blob *top = &model->blobs[layer->top];
  nn_status status = quantised_reads(model, layer, fields, 0);
  if (status) return status;
  top->quant = in->quant;
  if (layer->type == NN_FLATTEN) {
    top->quant.span = nn_mul(in->quant.span, (size_t)in->h * (size_t)in->w);
  }
  return layer->type == NN_MIRROR_MEAN ? quantised_mirror(model, fields)
                                       : NN_OK;
}

/* A layer that only moves bytes keeps the zero point, which all channels must
** have where it moves bytes from one to another. */
static nn_status quantised_moved(nn_model *model, nn_layer *layer,
                                 const nn_fields *fields) {
  const nn_blob *in = &model->blobs[layer->bottom[0]];
  nn_quant *q = &model->blobs[layer->top].quant;
  nn_status status = quantised_reads(model, layer, fields, 0);
  if (status) return status;
  *q = in->quant;
  if (layer->type == NN_PADDING) {
    layer->whole.fill = -1;
    return nn_field_ints(fields, "value", 0, 0, q->max, &layer->whole.fill);
  }
  q->span = SIZE_MAX;
  for (int c = 1; c < in->c; c++) {
    if (nn_int_zero(in, (size_t)c) == in->quant.zero[0]) continue;
    return nn_field_fail(fields, "the channels of %s have different zero "
                         "points", nn_shown_name(in->name).text);
  }
  return NN_OK;
}

static nn_status quantised_constant(nn_model *model, nn_layer *layer,
                                    const nn_fields *fields) {
  const nn_blob *top = &model->blobs[layer->top];
  const int64_t shape[3] = {top->c, top->h, top->w};
  nn_tensor *tensor;
  nn_status status = quantised_bytes(model, layer, fields);
  if (status == NN_OK) {
    status = nn_layer_tensor(model, fields, "weight", 1, 3, shape, &tensor);
  }
  if (status) return status;
  if (tensor->dtype != NN_U8) {
    return nn_field_fail(fields, "weight wants a tensor of U8");
  }
  layer->whole.lookup = tensor->bytes;
  for (size_t i = 0; i < tensor->count; i++) {
    if (tensor->bytes[i] <= top->quant.max) continue;
    return nn_field_fail(fields, "weight: value %zu is %d, and max %d", i,
                         tensor->bytes[i], top->quant.max);
  }
  return NN_OK;
}

/* The product of two bytes has one multiplier, of 31 bits as a filter's. */
static nn_status quantised_product(nn_model *model, nn_layer *layer,
                                   const nn_fields *fields) {
  nn_whole *w = &layer->whole;
  nn_status status = quantised_reads(model, layer, fields, 0);
  if (status) return status;
  w->factor = nn_model_alloc(model, 1, sizeof(int));
  if (!w->factor) return nn_fail(fields->err, NN_NOMEM, "out of memory");
  if ((status = quantised_int(fields, "multiplier", 0, INT32_MAX,
                              w->factor)) != NN_OK ||
      (status = quantised_int(fields, "shift", 1, 62, &w->right)) != NN_OK) {
    return status;
  }
  return quantised_bytes(model, layer, fields);
}

static nn_status quantised_join(nn_model *model, nn_layer *layer,
                                const nn_fields *fields) {
  nn_whole *w = &layer->whole;
  nn_status status = quantised_reads(model, layer, fields, 0);
  int64_t worst = 0;
  int adds = layer->type == NN_ELTWISE && layer->operation == NN_SUM;
  if (status) return status;
  if (!nn_json_get(fields->object, "multiplier")) {
    return nn_field_fail(fields, "no multiplier");
  }
  w->factor = nn_model_alloc(model, (size_t)layer->bottoms, sizeof(int));
  if (!w->factor) return nn_fail(fields->err, NN_NOMEM, "out of memory");
  if ((status = nn_field_ints(fields, "multiplier", layer->bottoms,
                              adds ? -(1 << 30) : 0, 1 << 30, w->factor)) !=
          NN_OK ||
      (status = quantised_int(fields, "shift", 1, 30, &w->right)) != NN_OK) {
    return status;
  }
  for (int i = 0; i < layer->bottoms; i++) {
    int64_t one =
        (int64_t)w->factor[i] * model->blobs[layer->bottom[i]].quant.max;
    if (one < 0) one = -one;
    if (adds) worst += one;
    else if (one > worst) worst = one;
  }
  worst += (int64_t)1 << (w->right - 1);
  if (worst > INT32_MAX) {
    return nn_field_fail(fields, "multiplier: a sum can reach %lld, which is "
                         "more than 2^31 - 1", (long long)worst);
  }
  return quantised_bytes(model, layer, fields);
}

static nn_status quantised_sigmoid(nn_model *model, nn_layer *layer,
                                   const nn_fields *fields) {
  static const char *const others[] = {"multiplier", "shift", NULL};
  static const int64_t shape = 256;
  const nn_blob *in = &model->blobs[layer->bottom[0]];
  nn_tensor *tensor;
  nn_status status = quantised_bytes(model, layer, fields);
  if (status == NN_OK) {
    status = nn_layer_tensor(model, fields, "table", 1, 1, &shape, &tensor);
  }
  if (status) return status;
  if (tensor->dtype != NN_U8) {
    return nn_field_fail(fields, "table wants a tensor of U8");
  }
  layer->whole.lookup = tensor->bytes;
  for (int i = 0; i < 256; i++) {
    int max = model->blobs[layer->top].quant.max;
    if (tensor->bytes[i] > max) {
      return nn_field_fail(fields, "table: entry %d is %d, and max %d", i,
                           tensor->bytes[i], max);
    }
  }
  if (!in->quant.sums) return quantised_absent(fields, "bytes", others);
  return quantised_requantise(model, layer, fields, in->c);
}

static nn_status quantised_lrn(nn_model *model, nn_layer *layer,
                               const nn_fields *fields) {
  nn_whole *w = &layer->whole;
  nn_status status = quantised_reads(model, layer, fields, 0);
  if (status ||
      (status = quantised_ints(model, fields, "table", -1, 0, INT32_MAX,
                               &w->table, &w->entries)) != NN_OK ||
      (status = quantised_int(fields, "sum_shift", 0, 30, &w->sum_shift)) !=
          NN_OK ||
      (status = quantised_int(fields, "shift", 1, 62, &w->right)) != NN_OK) {
    return status;
  }
  return quantised_bytes(model, layer, fields);
}

static nn_status quantised_softmax(nn_model *model, nn_layer *layer,
                                   const nn_fields *fields) {
  static const float scale = 0x1p-24f;
  const nn_blob *in = &model->blobs[layer->bottom[0]];
  nn_quant *q = &model->blobs[layer->top].quant;
  nn_whole *w = &layer->whole;
  nn_status status = quantised_reads(model, layer, fields, 1);
  if (status) return status;
  for (int c = 1; c < in->c && in->quant.scales_step; c++) {
    if (in->quant.scales[c] == in->quant.scales[0]) continue;
    return nn_field_fail(fields, "the channels of %s have different scales",
                         nn_shown_name(in->name).text);
  }
  if ((status = quantised_ints(model, fields, "table", -1, 0, 1 << 30,
                               &w->table, &w->entries)) != NN_OK ||
      (status = quantised_int(fields, "shift", 0, 30, &w->right)) != NN_OK) {
    return status;
  }
  if (w->table[0] < 1) {
    return nn_field_fail(fields, "table: entry 0 is 0");
  }
  q->sums = 1;
  q->scales = &scale;
  return NN_OK;
}

static nn_status quantised_members(nn_model *model, nn_layer *layer,
                                   const nn_fields *fields) {
  switch (layer->type) {
    case NN_CONVOLUTION:
    case NN_INNER_PRODUCT: return quantised_filters(model, layer, fields);
    case NN_ELTWISE:
      if (layer->operation == NN_PROD) {
        return quantised_product(model, layer, fields);
      }
      return quantised_join(model, layer, fields);
    case NN_CONCAT: return quantised_join(model, layer, fields);
    case NN_CONSTANT: return quantised_constant(model, layer, fields);
    case NN_PADDING:
    case NN_SHUFFLE_CHANNEL:
    case NN_SLICE:
    case NN_RESHAPE:
    case NN_PERMUTE: return quantised_moved(model, layer, fields);
    case NN_SIGMOID:
    case NN_LOOKUP: return quantised_sigmoid(model, layer, fields);
    case NN_LRN: return quantised_lrn(model, layer, fields);
    case NN_SOFTMAX: return quantised_softmax(model, layer, fields);
    default: break;
  }
  return quantised_same(model, layer, fields);
}

/* Sums take a slot each, bytes one for up to four channels. */
static void quantised_slots(nn_blob *blob) {
  blob->slots = blob->quant.sums ? blob->size
                                 : nn_int_stride(blob) / 4 *
                                       ((size_t)blob->h * (size_t)blob->w);
}

/* What runs twice, for the picture and its mirror image, ends in MirrorMeans
** alone: they read what is before them, and other layers nothing of it. */
static nn_status quantised_order(const nn_model *model, const nn_layer *layer,
                                 const nn_fields *fields) {
  const int mean = layer->type == NN_MIRROR_MEAN;
  for (int i = 0; i < layer->bottoms && model->mirror >= 0; i++) {
    const int before = layer->bottom[i] <= model->mirror;
    const char *name = model->blobs[layer->bottom[i]].name;
    if (before == mean) continue;
    return nn_field_fail(fields, mean ? "its bottom %s depends on a MirrorMean"
                                      : "its bottom %s lies before the "
                                        "MirrorMean",
                         nn_shown_name(name).text);
  }
  return NN_OK;
}

nn_status nn_quantised_layer(nn_model *model, nn_layer *layer,
                             const nn_fields *fields) {
  nn_status status = quantised_order(model, layer, fields);
  if (!status) status = quantised_members(model, layer, fields);
  if (status) return status;
  quantised_slots(&model->blobs[layer->top]);
  return nn_int_ready(model, layer, fields->err);
}

nn_status nn_quantised_input(nn_model *model, const nn_fields *fields) {
  nn_blob *input = &model->blobs[0];
  const nn_json *list = nn_json_get(fields->object, "zero_point");
  uint8_t *zero = nn_model_alloc(model, (size_t)input->c, 1);
  if (!zero) return nn_fail(fields->err, NN_NOMEM, "out of memory");
  const nn_json *v = list->kind == NN_JSON_ARRAY &&
                             list->length == (size_t)input->c
                         ? list->child
                         : NULL;
  int c = 0;
  for (; v; v = v->next, c++) {
    if (!v->is_integer || v->integer < 0 || v->integer > 255) break;
    zero[c] = (uint8_t)v->integer;
  }
  if (c < input->c) {
    return nn_field_fail(fields, "zero_point wants %d whole numbers from 0 to "
                         "255", input->c);
  }
  model->kind = NN_INTEGER;
  input->quant = (nn_quant){.max = 255, .scale = 1, .zero = zero, .span = 1};
  quantised_slots(input);
  return NN_OK;
}

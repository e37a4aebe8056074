/*
** The plain graph: the float32 network as the quantiser wants it.
**
** What nn_model_open read becomes a list of nodes that can be rewritten:
**
**   a BatchNorm or Scale is folded into the convolution or inner product before
**   it, unless something else reads that layer or a head names it; then, and
**   behind other layers, it is a convolution of each channel for itself
**   so is an AVE pooling over a whole plane, whose mean is finer than pixels
**   the mean of the preprocessing becomes the zero point of the input; what
**   rounding left of it, and the scale, go into the layers that read the input
**   a layer whose sums are wanted and whose bytes are read too comes twice, as
**   NAME and NAME.bytes; a Softmax that is read as bytes has a table behind it
**
** Every node computes what some layer of the float32 network computes (that is
** its `source`), but for the order of sums, so what its numbers look like can
** be measured by running that network.  No layer loses its name but one that a
** norm is folded into.
*/
#include <math.h>
#include <string.h>

#include "quantise.h"

void *quantise_alloc(quantise *q, size_t count, size_t size) {
  void *p = nn_model_alloc(q->draft, count, size);
  if (!p) nn_fail(q->err, NN_NOMEM, "out of memory");
  return p;
}

static nn_status graph_fail(const quantise *q, const quantise_node *node,
                            const char *why) {
  return nn_fail(q->err, NN_MODEL, "layer %s: %s",
                 nn_shown_name(node->name).text, why);
}

/* Nodes ------------------------------------------------------------------- */

int quantise_readers(const quantise *q, const quantise_node *node,
                     quantise_node **readers, int most) {
  int n = 0;
  for (int i = 1; i < q->count; i++) {
    for (int j = 0; j < q->nodes[i]->bottoms; j++) {
      if (q->nodes[i]->bottom[j] != node) continue;
      if (n < most && readers) readers[n] = q->nodes[i];
      n++;
      break;
    }
  }
  return n;
}

/* The layer's own blob, or the one before it, is what a head wants. */
int quantise_is_named(const quantise *q, const quantise_node *node) {
  for (int i = 0; i < nn_model_head_count(q->model); i++) {
    const nn_head *head = nn_model_head(q->model, i);
    if (head->latent == node->blob || head->features == node->blob ||
        head->classifier == node->blob) {
      return 1;
    }
  }
  return 0;
}

static int graph_is_latent(const quantise *q, const quantise_node *node) {
  for (int i = 0; i < nn_model_head_count(q->model); i++) {
    if (nn_model_head(q->model, i)->latent == node->blob) return 1;
  }
  return 0;
}

static quantise_node *graph_insert(quantise *q, int at,
                                   const quantise_node *like) {
  quantise_node *node = quantise_alloc(q, 1, sizeof(*node));
  if (!node) return NULL;
  if (q->count == q->room) {
    nn_fail(q->err, NN_MODEL, "the integer network would have more than %d "
            "layers", NN_LAYER_MAX);
    return NULL;
  }
  *node = *like;
  memmove(q->nodes + at + 1, q->nodes + at,
          (size_t)(q->count - at) * sizeof(*q->nodes));
  q->nodes[at] = node;
  q->count++;
  return node;
}

static void graph_remove(quantise *q, int at) {
  q->count--;
  memmove(q->nodes + at, q->nodes + at + 1,
          (size_t)(q->count - at) * sizeof(*q->nodes));
}

static int graph_at(const quantise *q, const quantise_node *node) {
  int at = 0;
  while (q->nodes[at] != node) at++;
  return at;
}

/* The name with the suffix, and as many underscores as make it new. */
static const char *graph_fresh(quantise *q, const char *name,
                               const char *suffix) {
  size_t n = strlen(name) + strlen(suffix);
  char *fresh = quantise_alloc(q, n + NN_LAYER_MAX + 2, 1);
  if (!fresh) return NULL;
  strcpy(fresh, name);
  strcat(fresh, suffix);
  for (int i = 0; i < q->count; i++) {
    if (nn_model_blob(q->model, fresh) < 0 &&
        strcmp(q->nodes[i]->name, fresh) != 0) {
      continue;
    }
    fresh[n++] = '_';
    i = -1;
  }
  return fresh;
}

/* `to` reads `with` where it read `what`. */
static void graph_rewire(quantise_node *to, const quantise_node *what,
                         quantise_node *with) {
  for (int j = 0; j < to->bottoms; j++) {
    if (to->bottom[j] == what) to->bottom[j] = with;
  }
}

/* Filters ----------------------------------------------------------------- */

/* The node is a convolution of each channel for itself from now on, every tap
** of which has the channel's gain. */
static nn_status graph_each_channel(quantise *q, quantise_node *node, int kh,
                                    int kw, const double *gain,
                                    const double *bias) {
  size_t taps = (size_t)kh * (size_t)kw;
  float *weight = quantise_alloc(q, nn_mul((size_t)node->c, taps),
                                 sizeof(float));
  double *shift = quantise_alloc(q, (size_t)node->c, sizeof(double));
  if (!weight || !shift) return q->err->status;
  for (int c = 0; c < node->c; c++) {
    for (size_t t = 0; t < taps; t++) {
      weight[(size_t)c * taps + t] = (float)gain[c];
    }
    shift[c] = bias ? bias[c] : 0;
  }
  node->type = NN_CONVOLUTION;
  node->json = NULL;
  node->filter = 1;
  node->kernel[0] = kh;
  node->kernel[1] = kw;
  node->stride[0] = node->stride[1] = 1;
  node->dilation[0] = node->dilation[1] = 1;
  node->pad[0] = node->pad[1] = 0;
  node->group = node->c;
  node->weight = weight;
  node->bias = shift;
  node->row = taps;
  return NN_OK;
}

/* Weights that the file has in 16 bits, as floats. */
static nn_status graph_widened(quantise *q, quantise_node *node, size_t n) {
  const uint16_t *halves = node->source->halves;
  float *weight = quantise_alloc(q, n, sizeof(*weight));
  if (!weight) return q->err->status;
  for (size_t i = 0; i < n; i++) weight[i] = nn_half_value(halves[i]);
  node->weight = weight;
  return NN_OK;
}

/* A filter's weights and bias as the file has them. */
static nn_status graph_filter(quantise *q, quantise_node *node) {
  const nn_layer *l = node->source;
  const quantise_node *in = node->bottom[0];
  int product = node->type == NN_INNER_PRODUCT;
  double *bias = quantise_alloc(q, (size_t)node->c, sizeof(double));
  if (!bias) return q->err->status;
  for (int c = 0; c < node->c; c++) bias[c] = l->bias ? l->bias[c] : 0;
  node->filter = 1;
  node->weight = l->weight;
  node->bias = bias;
  node->group = product ? 1 : l->group;
  for (int i = 0; i < 2; i++) {
    node->kernel[i] = product ? i ? in->w : in->h : l->kernel[i];
    node->stride[i] = product ? 1 : l->stride[i];
    node->pad[i] = product ? 0 : l->pad[i];
    node->dilation[i] = product ? 1 : l->dilation[i];
  }
  node->row = (size_t)(in->c / node->group) * (size_t)node->kernel[0] *
              (size_t)node->kernel[1];
  if (!l->halves) return NN_OK;
  return graph_widened(q, node, nn_mul((size_t)node->c, node->row));
}

static nn_status graph_layer(quantise *q, int i, const nn_json *json) {
  const nn_layer *l = &q->model->layers[i];
  const nn_blob *top = &q->model->blobs[l->top];
  quantise_node one = {.name = l->name, .type = l->type, .json = json,
                       .source = l, .blob = l->top, .bottoms = l->bottoms,
                       .c = top->c, .h = top->h, .w = top->w};
  for (int j = 0; j < l->bottoms; j++) {
    one.bottom[j] = q->nodes[l->bottom[j]];
  }
  quantise_node *node = graph_insert(q, q->count, &one);
  if (!node) return q->err->status;
  if (l->type == NN_CONVOLUTION || l->type == NN_INNER_PRODUCT) {
    return graph_filter(q, node);
  }
  return NN_OK;
}

/* Norms ------------------------------------------------------------------- */

/* Whether the gain and shift of what reads it can go into the node. */
static int graph_folds(const quantise *q, const quantise_node *node) {
  return node->filter && !quantise_is_named(q, node) &&
         quantise_readers(q, node, NULL, 0) == 1;
}

static nn_status graph_fold(quantise *q, quantise_node *into,
                            quantise_node *norm, const double *gain,
                            const double *shift) {
  size_t row = into->row;
  float *weight = quantise_alloc(q, nn_mul((size_t)into->c, row),
                                 sizeof(float));
  double *bias = quantise_alloc(q, (size_t)into->c, sizeof(double));
  if (!weight || !bias) return q->err->status;
  for (int c = 0; c < into->c; c++) {
    const float *from = into->weight + (size_t)c * row;
    float *to = weight + (size_t)c * row;
    for (size_t i = 0; i < row; i++) to[i] = (float)(from[i] * gain[c]);
    bias[c] = into->bias[c] * gain[c] + shift[c];
  }
  quantise_node folded = *into;
  folded.name = norm->name;
  folded.source = norm->source;
  folded.blob = norm->blob;
  folded.weight = weight;
  folded.bias = bias;
  if (q->options->log) {
    fprintf(q->options->log, "layer %s is folded into %s\n", into->name,
            norm->name);
  }
  *norm = folded;
  graph_remove(q, graph_at(q, into));
  return NN_OK;
}

/* Of a BatchNorm or a Scale. */
static void graph_gain(const nn_layer *l, int c, double *gain,
                       double *shift) {
  if (l->type == NN_SCALE) {
    *gain = l->weight[l->weights == 1 ? 0 : c];
    *shift = l->bias ? l->bias[l->biases == 1 ? 0 : c] : 0;
    return;
  }
  *gain = (l->weight ? (double)l->weight[c] : 1) /
          sqrt((double)l->variance[c] + (double)l->eps);
  *shift = (l->bias ? (double)l->bias[c] : 0) - l->mean[c] * *gain;
}

static nn_status graph_norm(quantise *q, quantise_node *node) {
  double *gain = quantise_alloc(q, (size_t)node->c, sizeof(double));
  double *shift = quantise_alloc(q, (size_t)node->c, sizeof(double));
  if (!gain || !shift) return q->err->status;
  for (int c = 0; c < node->c; c++) {
    graph_gain(node->source, c, &gain[c], &shift[c]);
  }
  if (graph_folds(q, node->bottom[0])) {
    return graph_fold(q, node->bottom[0], node, gain, shift);
  }
  return graph_each_channel(q, node, 1, 1, gain, shift);
}

/* An AVE pooling over the whole plane, without padding. */
static nn_status graph_mean(quantise *q, quantise_node *node) {
  const nn_layer *l = node->source;
  const quantise_node *in = node->bottom[0];
  if (!l->average || l->kernel[0] != in->h || l->kernel[1] != in->w ||
      l->dilation[0] > 1 || l->dilation[1] > 1 || !nn_layer_unpadded(l)) {
    return NN_OK;
  }
  double *gain = quantise_alloc(q, (size_t)node->c, sizeof(double));
  if (!gain) return q->err->status;
  for (int c = 0; c < node->c; c++) gain[c] = 1.0 / in->h / in->w;
  return graph_each_channel(q, node, in->h, in->w, gain, NULL);
}

static nn_status graph_norms(quantise *q) {
  nn_status status = NN_OK;
  for (int i = 1; i < q->count && !status; i++) {
    quantise_node *node = q->nodes[i];
    int before = q->count;
    if (node->type == NN_BATCH_NORM || node->type == NN_SCALE) {
      status = graph_norm(q, node);
    }
    if (node->type == NN_POOLING) status = graph_mean(q, node);
    i -= before - q->count;   /* the one that was folded stood before */
  }
  return status;
}

/* The input --------------------------------------------------------------- */

/* Weights that read pixels less their zero points in place of what the
** preprocessing gives. */
static nn_status graph_pixels(quantise *q, quantise_node *node,
                              const double *mean, const double *scale) {
  int width = q->nodes[0]->c / node->group, outputs = node->c / node->group;
  size_t taps = node->row / (size_t)width;
  float *weight = quantise_alloc(q, nn_mul((size_t)node->c, node->row),
                                 sizeof(float));
  double *bias = quantise_alloc(q, (size_t)node->c, sizeof(double));
  if (!weight || !bias) return q->err->status;
  for (int o = 0; o < node->c; o++) {
    const float *from = node->weight + (size_t)o * node->row;
    float *to = weight + (size_t)o * node->row;
    bias[o] = node->bias[o];
    for (int k = 0; k < width; k++) {
      int c = o / outputs * width + k;
      for (size_t t = 0; t < taps; t++) {
        double w = *from++ * scale[c];
        *to++ = (float)w;
        bias[o] += w * (q->zero[c] - mean[c]);
      }
    }
  }
  node->weight = weight;
  node->bias = bias;
  return NN_OK;
}

static nn_status graph_input(quantise *q) {
  quantise_node *input = q->nodes[0], *reader[NN_LAYER_MAX];
  int n = quantise_readers(q, input, reader, NN_LAYER_MAX), others = 0;
  double *mean = quantise_alloc(q, 3 * (size_t)input->c, sizeof(double));
  q->zero = quantise_alloc(q, (size_t)input->c, 1);
  if (!mean || !q->zero) return q->err->status;
  double *scale = mean + input->c, *ones = scale + input->c;
  for (int c = 0; c < input->c; c++) {
    int three = input->c == 3;
    mean[c] = three ? q->model->preprocess.mean[c] : 0;
    scale[c] = three ? q->model->preprocess.scale[c] : 1;
    ones[c] = 1;
    q->zero[c] = (uint8_t)fmin(fmax(rint(mean[c]), 0), 255);
  }
  for (int i = 0; i < n; i++) others += !reader[i]->filter;
  if (others) {
    quantise_node *values = graph_insert(q, 1, input);
    if (!values) return q->err->status;
    values->name = graph_fresh(q, input->name, ".values");
    values->bottom[0] = input;
    values->bottoms = 1;
    if (!values->name ||
        graph_each_channel(q, values, 1, 1, ones, NULL) != NN_OK) {
      return q->err->status;
    }
    for (int i = 0; i < n; i++) graph_rewire(reader[i], input, values);
    return graph_pixels(q, values, mean, scale);
  }
  for (int i = 0; i < n; i++) {
    if (graph_pixels(q, reader[i], mean, scale) != NN_OK) break;
  }
  return q->err->status;
}

/* Sums -------------------------------------------------------------------- */

static int graph_reads_sums(const quantise_node *node) {
  return node->type == NN_SOFTMAX || quantise_is_table(node->type);
}

/* A Softmax reads sums: behind another layer a filter makes them. */
static nn_status graph_softmax(quantise *q) {
  for (int i = 1; i < q->count; i++) {
    quantise_node *node = q->nodes[i], *before = node->bottom[0];
    if (node->type != NN_SOFTMAX || before->filter) continue;
    double *ones = quantise_alloc(q, (size_t)before->c, sizeof(double));
    quantise_node *sums = ones ? graph_insert(q, i, before) : NULL;
    if (!sums) return q->err->status;
    for (int c = 0; c < before->c; c++) ones[c] = 1;
    sums->name = graph_fresh(q, before->name, ".sums");
    sums->bottom[0] = before;
    sums->bottoms = 1;
    if (!sums->name ||
        graph_each_channel(q, sums, 1, 1, ones, NULL) != NN_OK) {
      return q->err->status;
    }
    node->bottom[0] = sums;
  }
  return NN_OK;
}

/* A Softmax writes sums; whoever reads bytes reads them through a table. */
static nn_status graph_scores(quantise *q) {
  for (int i = 1; i < q->count; i++) {
    quantise_node *node = q->nodes[i], *reader[NN_LAYER_MAX];
    int n = quantise_readers(q, node, reader, NN_LAYER_MAX), plain = 0;
    if (node->type != NN_SOFTMAX) continue;
    for (int j = 0; j < n; j++) plain += !graph_reads_sums(reader[j]);
    if (!plain) continue;
    quantise_node *bytes = graph_insert(q, i + 1, node);
    if (!bytes) return q->err->status;
    bytes->name = graph_fresh(q, node->name, ".bytes");
    bytes->type = NN_LOOKUP;
    bytes->bottom[0] = node;
    bytes->bottoms = 1;
    if (!bytes->name) return q->err->status;
    for (int j = 0; j < n; j++) {
      if (!graph_reads_sums(reader[j])) graph_rewire(reader[j], node, bytes);
    }
  }
  return NN_OK;
}

/* Which filters write sums; one that is read as bytes as well comes twice. */
static nn_status graph_sums(quantise *q) {
  for (int i = 1; i < q->count; i++) {
    quantise_node *node = q->nodes[i], *reader[NN_LAYER_MAX];
    int n = quantise_readers(q, node, reader, NN_LAYER_MAX), plain = 0;
    int wanted = graph_is_latent(q, node) && node->name == node->source->name;
    if (!node->filter) continue;
    for (int j = 0; j < n; j++) {
      plain += !graph_reads_sums(reader[j]);
      wanted |= reader[j]->type == NN_SOFTMAX;
    }
    node->sums = !plain || wanted;
    if (!plain || !wanted) continue;
    quantise_node *twin = graph_insert(q, i + 1, node);
    if (!twin) return q->err->status;
    twin->name = graph_fresh(q, node->name, ".bytes");
    if (!twin->name) return q->err->status;
    twin->sums = 0;
    for (int j = 0; j < n; j++) {
      if (!graph_reads_sums(reader[j])) graph_rewire(reader[j], node, twin);
    }
    i++;
  }
  return NN_OK;
}

/* The whole --------------------------------------------------------------- */

static nn_status graph_open(quantise *q) {
  const nn_blob *in = &q->model->blobs[0];
  quantise_node input = {.name = in->name, .c = in->c, .h = in->h, .w = in->w};
  const nn_json *json = nn_json_get(q->network, "layers")->child;
  q->room = NN_LAYER_MAX + 1;
  q->nodes = quantise_alloc(q, (size_t)q->room, sizeof(*q->nodes));
  if (!q->nodes || !graph_insert(q, 0, &input)) return q->err->status;
  for (int i = 0; i < q->model->layer_count; i++, json = json->next) {
    if (graph_layer(q, i, json) != NN_OK) return q->err->status;
  }
  return NN_OK;
}

/* What integers cannot do is refused before anything is measured. */
static const char *graph_refused(const quantise_node *node) {
  const nn_layer *l = node->source;
  switch (node->type) {
    case NN_MIRROR_MEAN:
    case NN_LOOKUP: return "its type has no integer form";
    case NN_SOFTMAX:
      return l->axis == 1 ? NULL : "a Softmax of rows or columns has no "
                                   "integer form";
    case NN_ELTWISE:
      if (l->operation == NN_DIV) {
        return "the quotient of two blobs has no integer form";
      }
      return l->operation == NN_PROD && l->bottoms > 2
                 ? "the product of more than two blobs has no integer form"
                 : NULL;
    default: return NULL;
  }
}

static nn_status graph_check(const quantise *q) {
  for (int i = 1; i < q->count; i++) {
    const char *why = graph_refused(q->nodes[i]);
    if (why) return graph_fail(q, q->nodes[i], why);
  }
  return NN_OK;
}

nn_status quantise_plain(quantise *q) {
  nn_status status = graph_open(q);
  if (status || (status = graph_check(q)) != NN_OK ||
      (status = graph_norms(q)) != NN_OK ||
      (status = quantise_activations(q)) != NN_OK ||
      (status = graph_input(q)) != NN_OK ||
      (status = graph_softmax(q)) != NN_OK ||
      (status = graph_scores(q)) != NN_OK ||
      (status = graph_sums(q)) != NN_OK) {
    return status;
  }
  quantise_signs(q);
  for (int i = 1; i < q->count; i++) {
    for (int j = 0; j < q->nodes[i]->bottoms; j++) {
      q->nodes[i]->bottom[j]->last = i;
    }
  }
  return NN_OK;
}

/*
** What the tests of layers and of graphs share: an oracle that runs a model
** layer by layer in memory of its own, a comparison of both engines with it,
** and layers of random geometry.  Include after cmocka.h.
*/
#ifndef BINHASH_LAYERS_TEST_H
#define BINHASH_LAYERS_TEST_H

#include <math.h>

#include "../../nn/nn_int.h"
#include "model_builder.h"

/* Comparing --------------------------------------------------------------- */

/* Largest difference, relative to the largest value; infinite for a NaN. */
static inline double difference(const float *a, const float *b, size_t n) {
  double most = 1e-30, worst = 0;
  for (size_t i = 0; i < n; i++) {
    double d = fabs((double)a[i] - b[i]);
    if (!(d < INFINITY)) return INFINITY;
    if (d > worst) worst = d;
    if (fabs((double)b[i]) > most) most = fabs((double)b[i]);
  }
  return worst / most;
}

static inline nn_model *open_model(const builder *b, uint8_t **file) {
  nn_model *model = NULL;
  nn_error err;
  size_t n;
  *file = builder_finish(b, &n);
  if (nn_model_open(&nn_memory_libc, *file, n, &model, &err) != NN_OK) {
    fail_msg("%s in %s", err.text, b->layers.text);
  }
  return model;
}

static inline float *random_floats(builder *b, size_t n) {
  float *x = malloc((n + 1) * sizeof(*x));
  assert_non_null(x);
  for (size_t i = 0; i < n; i++) x[i] = 3 * builder_float(b);
  return x;
}

static inline float *run_blob(const nn_model *model, nn_engine engine,
                              const float *input, int batch, int blob) {
  int chw[3];
  nn_error err;
  size_t n = nn_model_blob_shape(model, blob, chw) * (size_t)batch;
  float *out = malloc((n + 1) * sizeof(*out));
  assert_non_null(out);
  out[n] = 12345;   /* nothing may be written behind the end */
  if (nn_run(&nn_memory_libc, model, engine, input, batch, blob, out, &err) !=
      NN_OK) {
    fail_msg("%s", err.text);
  }
  assert_true(out[n] == 12345);
  return out;
}

/* Every blob in memory of its own, layer by layer, nothing folded. */
static inline float **oracle(const nn_model *model, const float *input,
                             int batch) {
  float **blobs = calloc((size_t)model->layer_count + 1, sizeof(*blobs));
  assert_non_null(blobs);
  size_t n = model->blobs[0].size * (size_t)batch;
  blobs[0] = malloc(n * sizeof(float));
  memcpy(blobs[0], input, n * sizeof(float));
  for (int i = 0; i < model->layer_count; i++) {
    const nn_layer *layer = &model->layers[i];
    nn_step step = {.layer = layer, .blobs = model->blobs, .n = batch,
                    .weight = layer->weight, .bias = layer->bias};
    for (int j = 0; j < layer->bottoms; j++) {
      step.in[j] = blobs[layer->bottom[j]];
    }
    n = model->blobs[layer->top].size * (size_t)batch;
    step.out = blobs[layer->top] = malloc(n * sizeof(float));
    nn_layer_reference(&step);
  }
  return blobs;
}

static inline void oracle_free(const nn_model *model, float **blobs) {
  for (int i = 0; i <= model->layer_count; i++) free(blobs[i]);
  free(blobs);
}

/* Both engines give the oracle's values for every blob that may be asked. */
static inline void check_model(builder *b, int batch, double tolerance) {
  uint8_t *file;
  nn_model *model = open_model(b, &file);
  float *input = random_floats(b, model->blobs[0].size * (size_t)batch);
  float **want = oracle(model, input, batch);
  for (int blob = 0; blob <= model->layer_count; blob++) {
    size_t n = model->blobs[blob].size * (size_t)batch;
    for (int engine = NN_FAST; engine <= NN_REFERENCE; engine++) {
      float *got = run_blob(model, (nn_engine)engine, input, batch, blob);
      double d = difference(got, want[blob], n);
      if (!(d <= tolerance)) {
        fail_msg("%s, engine %d, batch %d: differs by %g in %s",
                 model->blobs[blob].name, engine, batch, d, b->layers.text);
      }
      free(got);
    }
  }
  oracle_free(model, want);
  free(input);
  nn_model_close(model);
  free(file);
}

/* Random layers ----------------------------------------------------------- */

typedef struct shape {
  int c, h, w;
} shape;

#include "forms_test.h"

static inline int window_out(int side, int before, int after, int kernel,
                             int stride, int dilation, int ceiling) {
  int room = side + before + after - (dilation * (kernel - 1) + 1);
  if (room < 0) return 0;
  int out = (ceiling ? (room + stride - 1) / stride : room / stride) + 1;
  if (ceiling && (out - 1) * stride >= side + before) out--;
  return out;
}

static inline shape add_convolution(builder *b, const char *name,
                                    const char *bottom, shape in) {
  int k[2], s[2], p[4], d[2], group = 1;
  shape out = {0, 0, 0};
  while (out.h < 1 || out.w < 1) {
    for (int i = 0; i < 2; i++) {
      k[i] = builder_pick(b, 1, 5);
      s[i] = builder_pick(b, 1, 3);
      d[i] = builder_pick(b, 1, 4) == 1 ? 2 : 1;
      p[i] = builder_pick(b, 0, 3);
      p[i + 2] = builder_pick(b, 0, 3);
    }
    int special = builder_pick(b, 0, 5);   /* forms with a path of their own */
    if (special == 0) {
      k[0] = k[1] = s[0] = s[1] = d[0] = d[1] = 1;
      p[0] = p[1] = p[2] = p[3] = 0;
    } else if (special < 4) {
      s[0] = s[1] = 1;   /* rows stay as wide as they are */
      p[1] = builder_pick(b, 0, d[1] * (k[1] - 1));
      p[3] = d[1] * (k[1] - 1) - p[1];
    }
    out.h = window_out(in.h, p[0], p[2], k[0], s[0], d[0], 0);
    out.w = window_out(in.w, p[1], p[3], k[1], s[1], d[1], 0);
  }
  int groups = builder_pick(b, 1, 3);
  if (in.c % groups == 0) group = groups;
  if (builder_pick(b, 0, 9) == 0) group = in.c;
  out.c = group * builder_pick(b, 1, 6);
  int weights[4] = {out.c, in.c / group, k[0], k[1]};
  char tensor[64], bias[128] = "";
  snprintf(tensor, sizeof(tensor), "%s.w", name);
  builder_values(b, tensor, -1, 1, 4, weights);
  if (builder_pick(b, 0, 3)) {
    snprintf(bias, sizeof(bias), ",\"bias\":\"%s.b\"", name);
    snprintf(tensor, sizeof(tensor), "%s.b", name);
    builder_values(b, tensor, -1, 1, 1, &out.c);
  }
  builder_layer(b, "\"name\":\"%s\",\"type\":\"Convolution\","
                "\"bottom\":[\"%s\"],\"num_output\":%d,"
                "\"kernel_size\":[%d,%d],\"stride\":[%d,%d],"
                "\"pad\":[%d,%d,%d,%d],\"dilation\":[%d,%d],\"group\":%d,"
                "\"weight\":\"%s.w\"%s", name, bottom, out.c, k[0], k[1], s[0],
                s[1], p[0], p[1], p[2], p[3], d[0], d[1], group, name, bias);
  return out;
}

static inline shape add_pooling(builder *b, const char *name,
                                const char *bottom, shape in) {
  const char *pool = builder_pick(b, 0, 1) ? "MAX" : "AVE";
  int k[2], s[2], p[4], d[2] = {1, 1}, ceiling = builder_pick(b, 0, 1);
  shape out = {in.c, 0, 0};
  if (builder_pick(b, 0, 5) == 0) {
    builder_layer(b, "\"name\":\"%s\",\"type\":\"Pooling\","
                  "\"bottom\":[\"%s\"],\"pool\":\"%s\","
                  "\"global_pooling\":true", name, bottom, pool);
    return (shape){in.c, 1, 1};
  }
  while (out.h < 1 || out.w < 1) {
    for (int i = 0; i < 2; i++) {
      k[i] = builder_pick(b, 1, 4);
      s[i] = builder_pick(b, 1, 4);
      p[i] = builder_pick(b, 0, k[i] - 1);
      p[i + 2] = builder_pick(b, 0, k[i] - 1);
      d[i] = builder_pick(b, 0, 4) ? 1 : builder_pick(b, 2, 3);
      /* taps that are apart could all miss a small image */
      if (d[i] >= (i ? in.w : in.h)) d[i] = 1;
    }
    out.h = window_out(in.h, p[0], p[2], k[0], s[0], d[0], ceiling);
    out.w = window_out(in.w, p[1], p[3], k[1], s[1], d[1], ceiling);
  }
  builder_layer(b, "\"name\":\"%s\",\"type\":\"Pooling\","
                "\"bottom\":[\"%s\"],\"pool\":\"%s\",\"kernel_size\":[%d,%d],"
                "\"stride\":[%d,%d],\"pad\":[%d,%d,%d,%d],"
                "\"dilation\":[%d,%d],"
                "\"round_mode\":\"%s\",\"count_include_pad\":%s", name, bottom,
                pool, k[0], k[1], s[0], s[1], p[0], p[1], p[2], p[3], d[0],
                d[1],
                ceiling ? "CEIL" : "FLOOR",
                builder_pick(b, 0, 1) ? "true" : "false");
  return out;
}

static inline shape add_inner_product(builder *b, const char *name,
                                      const char *bottom, shape in) {
  shape out = {builder_pick(b, 1, 20), 1, 1};
  int weights[2] = {out.c, in.c * in.h * in.w};
  char tensor[64];
  int bias = builder_pick(b, 0, 1);
  snprintf(tensor, sizeof(tensor), "%s.w", name);
  builder_values(b, tensor, -1, 1, 2, weights);
  if (bias) {
    snprintf(tensor, sizeof(tensor), "%s.b", name);
    builder_values(b, tensor, -1, 1, 1, &out.c);
  }
  builder_layer(b, "\"name\":\"%s\",\"type\":\"InnerProduct\","
                "\"bottom\":[\"%s\"],\"num_output\":%d,\"weight\":\"%s.w\""
                "%s%s%s", name, bottom, out.c, name,
                bias ? ",\"bias\":\"" : "", bias ? name : "",
                bias ? ".b\"" : "");
  return out;
}

static inline shape add_batch_norm(builder *b, const char *name,
                                   const char *bottom, shape in) {
  char tensor[64], more[128] = "";
  snprintf(tensor, sizeof(tensor), "%s.m", name);
  builder_values(b, tensor, -1, 1, 1, &in.c);
  snprintf(tensor, sizeof(tensor), "%s.v", name);
  builder_values(b, tensor, 0.25f, 2, 1, &in.c);
  if (builder_pick(b, 0, 1)) {
    snprintf(tensor, sizeof(tensor), "%s.g", name);
    builder_values(b, tensor, -2, 2, 1, &in.c);
    snprintf(tensor, sizeof(tensor), "%s.h", name);
    builder_values(b, tensor, -2, 2, 1, &in.c);
    snprintf(more, sizeof(more),
             ",\"weight\":\"%s.g\",\"bias\":\"%s.h\",\"eps\":0.001", name,
             name);
  }
  builder_layer(b, "\"name\":\"%s\",\"type\":\"BatchNorm\","
                "\"bottom\":[\"%s\"],\"mean\":\"%s.m\",\"variance\":\"%s.v\""
                "%s", name, bottom, name, name, more);
  return in;
}

static inline shape add_simple(builder *b, const char *name, const char *bottom,
                               shape in, nn_type type) {
  static const float betas[] = {0.75f, 0.75f, 0.5f, 1};
  const char *word = type == NN_RELU      ? "ReLU"
                     : type == NN_SIGMOID ? "Sigmoid"
                     : type == NN_SOFTMAX ? "Softmax"
                     : type == NN_FLATTEN ? "Flatten"
                                          : "LRN";
  char more[128] = "";
  if (type == NN_LRN) {
    /* one after the other, so that every compiler draws the same layer */
    int local = 2 * builder_pick(b, 0, 4) + 1;
    double alpha = builder_pick(b, 0, 20) / 10.0;
    double beta = (double)betas[builder_pick(b, 0, 3)];
    snprintf(more, sizeof(more),
             ",\"local_size\":%d,\"alpha\":%g,\"beta\":%g,\"k\":%d", local,
             alpha, beta, builder_pick(b, 1, 2));
  } else if (type == NN_SOFTMAX && builder_pick(b, 0, 1)) {
    snprintf(more, sizeof(more), ",\"axis\":%d", builder_pick(b, 1, 3));
  } else if (type == NN_RELU && builder_pick(b, 0, 2) == 0) {
    snprintf(more, sizeof(more), ",\"negative_slope\":%g",
             builder_pick(b, -3, 9) / 10.0);
  }
  builder_layer(b, "\"name\":\"%s\",\"type\":\"%s\",\"bottom\":[\"%s\"]%s",
                name, word, bottom, more);
  if (type == NN_FLATTEN) return (shape){in.c * in.h * in.w, 1, 1};
  return in;
}

static inline shape add_layer(builder *b, nn_type type, const char *name,
                              const char *bottom, shape in) {
  switch (type) {
    case NN_CONVOLUTION: return add_convolution(b, name, bottom, in);
    case NN_POOLING: return add_pooling(b, name, bottom, in);
    case NN_INNER_PRODUCT: return add_inner_product(b, name, bottom, in);
    case NN_BATCH_NORM: return add_batch_norm(b, name, bottom, in);
    case NN_CLIP:
    case NN_HARD_SIGMOID:
    case NN_HARD_SWISH:
    case NN_SCALE:
    case NN_PADDING:
    case NN_SHUFFLE_CHANNEL:
    case NN_SLICE:
    case NN_RESHAPE:
    case NN_PERMUTE: return add_form(b, type, name, bottom, in);
    default: return add_simple(b, name, bottom, in, type);
  }
}

#endif

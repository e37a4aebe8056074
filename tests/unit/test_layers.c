/*
** The layers and the graph: every fast layer against its naive reference over
** random geometries, whole random graphs against an oracle that shares no plan
** with the engine, values worked out by hand, a small network of the paper's
** shape, and every allocation failing once.
*/
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../nn/nn_int.h"
#include "model_builder.h"

/* Comparing --------------------------------------------------------------- */

/* Largest difference, relative to the largest value; infinite for a NaN. */
static double difference(const float *a, const float *b, size_t n) {
  double most = 1e-30, worst = 0;
  for (size_t i = 0; i < n; i++) {
    double d = fabs((double)a[i] - b[i]);
    if (!(d < INFINITY)) return INFINITY;
    if (d > worst) worst = d;
    if (fabs((double)b[i]) > most) most = fabs((double)b[i]);
  }
  return worst / most;
}

static nn_model *open_model(const builder *b, uint8_t **file) {
  nn_model *model = NULL;
  nn_error err;
  size_t n;
  *file = builder_finish(b, &n);
  if (nn_model_open(&nn_memory_libc, *file, n, &model, &err) != NN_OK) {
    fail_msg("%s in %s", err.text, b->layers.text);
  }
  return model;
}

static float *random_floats(builder *b, size_t n) {
  float *x = malloc((n + 1) * sizeof(*x));
  assert_non_null(x);
  for (size_t i = 0; i < n; i++) x[i] = 3 * builder_float(b);
  return x;
}

static float *run_blob(const nn_model *model, nn_engine engine,
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
static float **oracle(const nn_model *model, const float *input, int batch) {
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

static void oracle_free(const nn_model *model, float **blobs) {
  for (int i = 0; i <= model->layer_count; i++) free(blobs[i]);
  free(blobs);
}

/* Both engines give the oracle's values for every blob that may be asked. */
static void check_model(builder *b, int batch, double tolerance) {
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

static int window_out(int side, int before, int after, int kernel, int stride,
                      int dilation, int ceiling) {
  int room = side + before + after - (dilation * (kernel - 1) + 1);
  if (room < 0) return 0;
  int out = (ceiling ? (room + stride - 1) / stride : room / stride) + 1;
  if (ceiling && (out - 1) * stride >= side + before) out--;
  return out;
}

static shape add_convolution(builder *b, const char *name, const char *bottom,
                             shape in) {
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

static shape add_pooling(builder *b, const char *name, const char *bottom,
                         shape in) {
  const char *pool = builder_pick(b, 0, 1) ? "MAX" : "AVE";
  int k[2], s[2], p[4], ceiling = builder_pick(b, 0, 1);
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
    }
    out.h = window_out(in.h, p[0], p[2], k[0], s[0], 1, ceiling);
    out.w = window_out(in.w, p[1], p[3], k[1], s[1], 1, ceiling);
  }
  builder_layer(b, "\"name\":\"%s\",\"type\":\"Pooling\","
                "\"bottom\":[\"%s\"],\"pool\":\"%s\",\"kernel_size\":[%d,%d],"
                "\"stride\":[%d,%d],\"pad\":[%d,%d,%d,%d],"
                "\"round_mode\":\"%s\",\"count_include_pad\":%s", name, bottom,
                pool, k[0], k[1], s[0], s[1], p[0], p[1], p[2], p[3],
                ceiling ? "CEIL" : "FLOOR",
                builder_pick(b, 0, 1) ? "true" : "false");
  return out;
}

static shape add_inner_product(builder *b, const char *name,
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

static shape add_batch_norm(builder *b, const char *name, const char *bottom,
                            shape in) {
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

static shape add_simple(builder *b, const char *name, const char *bottom,
                        shape in, nn_type type) {
  static const float betas[] = {0.75f, 0.75f, 0.5f, 1};
  const char *word = type == NN_RELU      ? "ReLU"
                     : type == NN_SIGMOID ? "Sigmoid"
                     : type == NN_SOFTMAX ? "Softmax"
                     : type == NN_FLATTEN ? "Flatten"
                                          : "LRN";
  char more[128] = "";
  if (type == NN_LRN) {
    snprintf(more, sizeof(more),
             ",\"local_size\":%d,\"alpha\":%g,\"beta\":%g,\"k\":%d",
             2 * builder_pick(b, 0, 4) + 1, builder_pick(b, 0, 20) / 10.0,
             (double)betas[builder_pick(b, 0, 3)], builder_pick(b, 1, 2));
  }
  builder_layer(b, "\"name\":\"%s\",\"type\":\"%s\",\"bottom\":[\"%s\"]%s",
                name, word, bottom, more);
  if (type == NN_FLATTEN) return (shape){in.c * in.h * in.w, 1, 1};
  return in;
}

static shape add_layer(builder *b, nn_type type, const char *name,
                       const char *bottom, shape in) {
  switch (type) {
    case NN_CONVOLUTION: return add_convolution(b, name, bottom, in);
    case NN_POOLING: return add_pooling(b, name, bottom, in);
    case NN_INNER_PRODUCT: return add_inner_product(b, name, bottom, in);
    case NN_BATCH_NORM: return add_batch_norm(b, name, bottom, in);
    default: return add_simple(b, name, bottom, in, type);
  }
}

static void test_random_geometries(void **state) {
  static const nn_type types[] = {
      NN_CONVOLUTION, NN_CONVOLUTION, NN_CONVOLUTION, NN_POOLING,
      NN_POOLING,     NN_LRN,         NN_INNER_PRODUCT, NN_BATCH_NORM,
      NN_SOFTMAX,     NN_SIGMOID,     NN_RELU,          NN_FLATTEN};
  (void)state;
  for (int i = 0; i < 1500; i++) {
    builder b;
    builder_open(&b, (uint64_t)i + 1, 1, 1, 1);
    int side = i % 4 ? 14 : 4;
    shape in = {builder_pick(&b, 1, 12), builder_pick(&b, 1, side),
                builder_pick(&b, 1, side)};
    builder_close(&b);
    builder_open(&b, (uint64_t)i + 1, in.c, in.h, in.w);
    b.int8 = i % 5 == 0;
    add_layer(&b, types[i % 12], "layer", "data", in);
    check_model(&b, 1 + i % 3, 1e-5);
    builder_close(&b);
  }
}

/* A convolution in several strips of rows, a plane larger than LRN's block. */
static void test_large_planes(void **state) {
  builder b;
  int weights[4] = {5, 64, 5, 5};
  (void)state;
  builder_open(&b, 7, 64, 60, 61);
  builder_values(&b, "w", -1, 1, 4, weights);
  builder_layer(&b, "\"name\":\"norm\",\"type\":\"LRN\",\"bottom\":[\"data\"],"
                "\"local_size\":5,\"alpha\":0.1,\"beta\":0.75");
  builder_layer(&b, "\"name\":\"conv\",\"type\":\"Convolution\","
                "\"bottom\":[\"norm\"],\"num_output\":5,"
                "\"kernel_size\":[5,5],\"stride\":[2,1],"
                "\"pad\":[2,2,2,2],\"weight\":\"w\"");
  check_model(&b, 2, 1e-5);
  builder_close(&b);
}

/* Random graphs ----------------------------------------------------------- */

#define GRAPH_MAX 24

static void add_join(builder *b, const char *name, int concat,
                     const shape *shapes, int count, shape *out) {
  int first = builder_pick(b, 0, count - 1), n = 0;
  int wanted = builder_pick(b, 2, 4);
  char bottoms[256] = "";
  *out = shapes[first];
  if (concat) out->c = 0;
  for (int tries = 0; n < wanted; tries++) {
    int i = tries < 20 ? builder_pick(b, 0, count - 1) : first;
    if (shapes[i].h != out->h || shapes[i].w != out->w) continue;
    if (!concat && shapes[i].c != out->c) continue;
    char one[32];
    snprintf(one, sizeof(one), i ? "%s\"l%d\"" : "%s\"data\"", n ? "," : "",
             i);
    strcat(bottoms, one);
    if (concat) out->c += shapes[i].c;
    n++;
  }
  builder_layer(b, "\"name\":\"%s\",\"type\":\"%s\",\"bottom\":[%s]", name,
                concat ? "Concat" : "Eltwise", bottoms);
}

static void add_graph(builder *b, int layers, shape in) {
  shape shapes[GRAPH_MAX + 1] = {in};
  nn_type last = NN_FLATTEN, before = NN_FLATTEN;
  for (int i = 1; i <= layers; i++) {
    static const nn_type types[] = {
        NN_CONVOLUTION, NN_CONVOLUTION, NN_BATCH_NORM, NN_RELU, NN_RELU,
        NN_POOLING, NN_LRN, NN_SIGMOID, NN_SOFTMAX, NN_FLATTEN,
        NN_INNER_PRODUCT, NN_ELTWISE, NN_CONCAT, NN_BATCH_NORM};
    nn_type type = types[builder_pick(b, 0, i < 6 ? 8 : 13)];
    /* mostly the layer before, so that chains form; sometimes an older one */
    int from = builder_pick(b, 0, 3) ? i - 1 : builder_pick(b, 0, i - 1);
    if (last == NN_CONVOLUTION && builder_pick(b, 0, 1)) {
      type = NN_BATCH_NORM;
      from = i - 1;
    } else if (before == NN_CONVOLUTION && builder_pick(b, 0, 1)) {
      type = NN_RELU;   /* perhaps the last reader of several */
      from = i - 2;
    }
    char name[16], bottom[16];
    snprintf(name, sizeof(name), "l%d", i);
    snprintf(bottom, sizeof(bottom), from ? "l%d" : "data", from);
    if (shapes[from].c * shapes[from].h * shapes[from].w > 4000 &&
        type != NN_ELTWISE) {
      type = NN_INNER_PRODUCT;
    }
    if (type == NN_ELTWISE || type == NN_CONCAT) {
      add_join(b, name, type == NN_CONCAT, shapes, i, &shapes[i]);
    } else {
      shapes[i] = add_layer(b, type, name, bottom, shapes[from]);
    }
    before = last;
    last = type;
  }
}

static void test_random_graphs(void **state) {
  int absorbed = 0, in_place = 0, norms = 0;
  (void)state;
  for (int i = 0; i < 400; i++) {
    builder b;
    uint8_t *file;
    shape in = {1 + i % 7, 3 + i % 9, 3 + i % 8};
    builder_open(&b, 1000 + (uint64_t)i, in.c, in.h, in.w);
    b.int8 = i % 7 == 0;
    add_graph(&b, 2 + i % (GRAPH_MAX - 1), in);
    nn_model *model = open_model(&b, &file);
    for (int j = 0; j < model->layer_count; j++) {
      absorbed += model->layers[j].absorbed;
      in_place += model->layers[j].in_place >= 0;
      norms += model->layers[j].norm >= 0;
    }
    nn_model_close(model);
    free(file);
    check_model(&b, 1 + i % 3, 2e-4);
    builder_close(&b);
  }
  /* the graphs do contain what they are to test */
  assert_true(absorbed > 200);
  assert_true(in_place > 400);
  assert_true(norms > 50);
}

/* The paper's network, scaled down ---------------------------------------- */

static void add_caffenet_conv(builder *b, const char *name, const char *bottom,
                              int in, int out, int k, int stride, int pad,
                              int group) {
  int weights[4] = {out, in / group, k, k};
  char tensor[32];
  float spread = (float)sqrt(6.0 / (weights[1] * k * k));
  snprintf(tensor, sizeof(tensor), "%s.w", name);
  builder_values(b, tensor, -spread, spread, 4, weights);
  snprintf(tensor, sizeof(tensor), "%s.b", name);
  builder_values(b, tensor, -0.1f, 0.1f, 1, &out);
  builder_layer(b, "\"name\":\"%s\",\"type\":\"Convolution\","
                "\"bottom\":[\"%s\"],\"num_output\":%d,"
                "\"kernel_size\":[%d,%d],\"stride\":[%d,%d],"
                "\"pad\":[%d,%d,%d,%d],\"group\":%d,\"weight\":\"%s.w\","
                "\"bias\":\"%s.b\"", name, bottom, out, k, k, stride, stride,
                pad, pad, pad, pad, group, name, name);
}

static void add_caffenet_fc(builder *b, const char *name, const char *bottom,
                            int in, int out) {
  int weights[2] = {out, in};
  char tensor[32];
  float spread = (float)sqrt(6.0 / in);
  snprintf(tensor, sizeof(tensor), "%s.w", name);
  builder_values(b, tensor, -spread, spread, 2, weights);
  snprintf(tensor, sizeof(tensor), "%s.b", name);
  builder_values(b, tensor, -0.1f, 0.1f, 1, &out);
  builder_layer(b, "\"name\":\"%s\",\"type\":\"InnerProduct\","
                "\"bottom\":[\"%s\"],\"num_output\":%d,\"weight\":\"%s.w\","
                "\"bias\":\"%s.b\"", name, bottom, out, name, name);
}

static void add_caffenet_tail(builder *b, const char *n, const char *bottom,
                              const char *last, int norm) {
  builder_layer(b, "\"name\":\"relu%s\",\"type\":\"ReLU\",\"bottom\":[\"%s\"]",
                n, bottom);
  builder_layer(b, "\"name\":\"pool%s\",\"type\":\"Pooling\","
                "\"bottom\":[\"relu%s\"],\"pool\":\"MAX\","
                "\"kernel_size\":[3,3],\"stride\":[2,2]", n, n);
  if (norm) {
    builder_layer(b, "\"name\":\"%s\",\"type\":\"LRN\","
                  "\"bottom\":[\"pool%s\"],\"local_size\":5,"
                  "\"alpha\":0.0001,\"beta\":0.75", last, n);
  }
}

static void add_caffenet(builder *b) {
  add_caffenet_conv(b, "conv1", "data", 3, 24, 11, 4, 0, 1);
  add_caffenet_tail(b, "1", "conv1", "norm1", 1);
  add_caffenet_conv(b, "conv2", "norm1", 24, 64, 5, 1, 2, 2);
  add_caffenet_tail(b, "2", "conv2", "norm2", 1);
  add_caffenet_conv(b, "conv3", "norm2", 64, 96, 3, 1, 1, 1);
  add_caffenet_conv(b, "conv4", "conv3", 96, 96, 3, 1, 1, 2);
  add_caffenet_conv(b, "conv5", "conv4", 96, 64, 3, 1, 1, 2);
  add_caffenet_tail(b, "5", "conv5", "pool5", 0);
  add_caffenet_fc(b, "fc6", "pool5", 64, 128);
  builder_layer(b, "\"name\":\"relu6\",\"type\":\"ReLU\",\"bottom\":[\"fc6\"]");
  add_caffenet_fc(b, "fc8", "relu6", 128, 48);
  builder_layer(b, "\"name\":\"encode\",\"type\":\"Sigmoid\","
                   "\"bottom\":[\"fc8\"]");
  add_caffenet_fc(b, "class", "encode", 48, 10);
  builder_layer(b, "\"name\":\"prob\",\"type\":\"Softmax\","
                   "\"bottom\":[\"class\"]");
  builder_member(b, "\"heads\":[{\"name\":\"small\",\"latent\":\"encode\","
                    "\"features\":\"relu6\",\"classifier\":\"prob\"}]");
}

static void test_small_caffenet(void **state) {
  builder b;
  uint8_t *file, code[6], packed[6] = {0};
  (void)state;
  builder_open(&b, 11, 3, 67, 67);
  add_caffenet(&b);
  check_model(&b, 1, 1e-5);
  check_model(&b, 4, 1e-5);
  nn_model *model = open_model(&b, &file);
  const nn_head *head = nn_model_head(model, 0);
  assert_int_equal(head->bits, 48);
  assert_string_equal(nn_model_blob_name(model, head->latent), "fc8");
  /* ceil pooling: 15 -> 7, and 3 -> 1; pad keeps 7 */
  int chw[3];
  nn_model_blob_shape(model, nn_model_blob(model, "pool1"), chw);
  assert_int_equal(chw[1], 7);
  nn_model_blob_shape(model, nn_model_blob(model, "pool5"), chw);
  assert_int_equal(chw[1], 1);
  /* the code is the sign of the logits of the same picture */
  uint8_t *rgb = malloc(67 * 67 * 3);
  float *input = malloc(67 * 67 * 3 * sizeof(float));
  nn_error err;
  for (int i = 0; i < 67 * 67 * 3; i++) rgb[i] = (uint8_t)builder_random(&b);
  nn_picture picture = {.pixels = rgb, .width = 67, .height = 67, .dx = 3,
                        .dy = 67 * 3};
  assert_int_equal(nn_prepare(&nn_memory_libc, model, &picture, input, &err),
                   NN_OK);
  float *logits = run_blob(model, NN_FAST, input, 1, head->latent);
  assert_int_equal(nn_hash(&nn_memory_libc, model, head, &picture, code, &err),
                   NN_OK);
  for (int i = 0; i < 48; i++) {
    if (logits[i] > 0) packed[i / 8] |= (uint8_t)(0x80 >> (i % 8));
  }
  assert_memory_equal(code, packed, 6);
  free(logits);
  free(input);
  free(rgb);
  nn_model_close(model);
  free(file);
  builder_close(&b);
}

/* By hand ----------------------------------------------------------------- */

static void check_values(const char *layer, int c, int h, int w,
                         const float *input, int n, const float *want) {
  builder b;
  uint8_t *file;
  builder_open(&b, 1, c, h, w);
  float ones[4] = {1, 1, 1, 1}, cross[9] = {0, 1, 0, 1, 2, 1, 0, 1, 0};
  int four[4] = {1, 1, 2, 2}, nine[4] = {1, 1, 3, 3};
  builder_tensor(&b, "ones", 4, four, ones);
  builder_tensor(&b, "cross", 4, nine, cross);
  builder_layer(&b, "\"name\":\"x\",\"bottom\":[\"data\"],%s", layer);
  nn_model *model = open_model(&b, &file);
  int chw[3];
  assert_int_equal(nn_model_blob_shape(model, 1, chw), (size_t)n);
  for (int engine = NN_FAST; engine <= NN_REFERENCE; engine++) {
    float *got = run_blob(model, (nn_engine)engine, input, 1, 1);
    for (int i = 0; i < n; i++) {
      if (!(fabsf(got[i] - want[i]) < 1e-5f)) {
        fail_msg("%s: value %d is %g, not %g", layer, i, (double)got[i],
                 (double)want[i]);
      }
    }
    free(got);
  }
  nn_model_close(model);
  free(file);
  builder_close(&b);
}

#define CHECK_VALUES(layer, c, h, w, input, ...)                        \
  do {                                                                  \
    const float want_[] = __VA_ARGS__;                                  \
    check_values(layer, c, h, w, input,                                 \
                 (int)(sizeof(want_) / sizeof(float)), want_);          \
  } while (0)

static void test_by_hand(void **state) {
  float x[16];
  (void)state;
  for (int i = 0; i < 16; i++) x[i] = (float)(i + 1);
  /* 4x4, kernel 3, stride 2: Caffe has 2x2, PyTorch 1x1 */
  CHECK_VALUES("\"type\":\"Pooling\",\"pool\":\"MAX\",\"kernel_size\":[3,3],"
               "\"stride\":[2,2]", 1, 4, 4, x, {11, 12, 15, 16});
  CHECK_VALUES("\"type\":\"Pooling\",\"pool\":\"MAX\",\"kernel_size\":[3,3],"
               "\"stride\":[2,2],\"round_mode\":\"FLOOR\"", 1, 4, 4, x, {11});
  /* the window that hangs over the edge counts what is within the image */
  CHECK_VALUES("\"type\":\"Pooling\",\"pool\":\"AVE\",\"kernel_size\":[3,3],"
               "\"stride\":[2,2]", 1, 4, 4, x, {6, 7.5f, 12, 13.5f});
  /* padding counts, unless it is told not to */
  CHECK_VALUES("\"type\":\"Pooling\",\"pool\":\"AVE\",\"kernel_size\":[2,2],"
               "\"stride\":[2,2],\"pad\":[1,1,1,1]", 1, 2, 2, x,
               {0.25f, 0.5f, 0.75f, 1});
  CHECK_VALUES("\"type\":\"Pooling\",\"pool\":\"AVE\",\"kernel_size\":[2,2],"
               "\"stride\":[2,2],\"pad\":[1,1,1,1],"
               "\"count_include_pad\":false", 1, 2, 2, x, {1, 2, 3, 4});
  /* ceil would begin a third window at column 4, in the right padding */
  CHECK_VALUES("\"type\":\"Pooling\",\"pool\":\"MAX\",\"kernel_size\":[1,2],"
               "\"stride\":[1,2],\"pad\":[0,0,0,1]", 1, 1, 4, x, {2, 4});
  CHECK_VALUES("\"type\":\"Pooling\",\"pool\":\"AVE\","
               "\"global_pooling\":true", 2, 2, 2, x, {2.5f, 6.5f});
  CHECK_VALUES("\"type\":\"Convolution\",\"num_output\":1,\"kernel_size\":"
               "[2,2],\"weight\":\"ones\",\"dilation\":[2,2]", 1, 4, 4, x,
               {24, 28, 40, 44});
  /* padding at the top and the left alone: not symmetric */
  CHECK_VALUES("\"type\":\"Convolution\",\"num_output\":1,\"kernel_size\":"
               "[2,2],\"weight\":\"ones\",\"stride\":[2,2],"
               "\"pad\":[1,1,0,0]", 1, 3, 3, x, {1, 5, 11, 28});
  CHECK_VALUES("\"type\":\"Convolution\",\"num_output\":1,\"kernel_size\":"
               "[3,3],\"weight\":\"cross\",\"pad\":[1,0,0,1]", 1, 2, 2, x,
               {9});
  const float l[3] = {1, 2, 3};
  CHECK_VALUES("\"type\":\"LRN\",\"local_size\":3,\"alpha\":3,\"beta\":0.75",
               3, 1, 1, l, {0.2608474f, 0.2623992f, 0.4145021f});
  CHECK_VALUES("\"type\":\"LRN\",\"local_size\":3,\"alpha\":3,\"beta\":1,"
               "\"k\":2", 3, 1, 1, l, {1 / 7.f, 2 / 16.f, 3 / 15.f});
  const float z[3] = {0, 1001, 1000};
  CHECK_VALUES("\"type\":\"Softmax\"", 3, 1, 1, z,
               {0, 0.7310586f, 0.2689414f});
  const float s[3] = {0, -1000, 2};
  CHECK_VALUES("\"type\":\"Sigmoid\"", 3, 1, 1, s, {0.5f, 0, 0.8807971f});
  CHECK_VALUES("\"type\":\"ReLU\"", 3, 1, 1, s, {0, 0, 2});
}

/* What the checks above are worth: they see a wrong weight, a lost row, NaN. */
static void test_checks_can_fail(void **state) {
  builder b;
  uint8_t *file;
  (void)state;
  builder_open(&b, 5, 3, 67, 67);
  add_caffenet(&b);
  nn_model *model = open_model(&b, &file);
  float *input = random_floats(&b, model->blobs[0].size);
  for (int i = 0; i < model->layer_count; i++) {
    nn_layer *layer = &model->layers[i];
    size_t n = model->blobs[layer->top].size;
    float *want = run_blob(model, NN_REFERENCE, input, 1, layer->top);
    float *got = run_blob(model, NN_FAST, input, 1, layer->top);
    assert_true(difference(got, want, n) < 1e-5);
    got[n / 2] += 1;
    assert_true(difference(got, want, n) > 1e-5);
    free(got);
    if (layer->type == NN_CONVOLUTION || layer->type == NN_INNER_PRODUCT) {
      const float *weight = layer->weight;
      float *wrong = malloc(n * 4 + 1000000 * sizeof(float));
      const nn_blob *in = &model->blobs[layer->bottom[0]];
      size_t count = layer->type == NN_INNER_PRODUCT
                         ? n * in->size
                         : (size_t)model->blobs[layer->top].c *
                               (size_t)(in->c / layer->group) *
                               (size_t)(layer->kernel[0] * layer->kernel[1]);
      assert_true(count <= 1000000);
      memcpy(wrong, weight, count * sizeof(float));
      for (size_t j = 0; j < count; j++) wrong[j] *= 1.0001f;
      layer->weight = wrong;
      got = run_blob(model, NN_FAST, input, 1, layer->top);
      assert_true(difference(got, want, n) > 1e-5);
      layer->weight = weight;
      free(got);
      free(wrong);
    }
    free(want);
  }
  float a[3] = {1, 2, NAN}, c[3] = {1, 2, 3};
  assert_true(difference(a, c, 3) > 1e-5);
  assert_true(difference(c, c, 3) == 0);
  nn_model_close(model);
  free(input);
  free(file);
  builder_close(&b);
}

/* Limits ------------------------------------------------------------------ */

static void test_arguments(void **state) {
  builder b;
  uint8_t *file;
  float x[4] = {1, 2, 3, 4}, out[4];
  nn_error err;
  (void)state;
  builder_open(&b, 1, 1, 2, 2);
  builder_layer(&b, "\"name\":\"a\",\"type\":\"ReLU\",\"bottom\":[\"data\"]");
  nn_model *model = open_model(&b, &file);
  assert_int_equal(
      nn_run(&nn_memory_libc, model, NN_FAST, x, 0, 1, out, &err),
      NN_ARGUMENT);
  assert_int_equal(
      nn_run(&nn_memory_libc, model, NN_FAST, x, 1, 2, out, &err),
      NN_ARGUMENT);
  assert_int_equal(
      nn_run(&nn_memory_libc, model, NN_FAST, x, 1, -1, out, &err),
      NN_ARGUMENT);
  assert_int_equal(nn_run(&nn_memory_libc, model, NN_FAST, x, 1, 0, out, &err),
                   NN_OK);
  assert_memory_equal(x, out, sizeof(x));
  assert_int_equal(nn_model_blob(model, "nosuch"), -1);
  nn_model_close(model);
  free(file);
  builder_close(&b);
}

/* Memory for the batch's blobs passes one allocation: the wide branch, which
** does not run, makes the plan large without touching the memory. */
static void test_batch_in_pieces(void **state) {
  builder b;
  uint8_t *file;
  const int batch = 300, wide[2] = {1 << 20, 1}, narrow[2] = {5, 1};
  (void)state;
  builder_open(&b, 3, 1, 1, 1);
  builder_values(&b, "narrow", -1, 1, 2, narrow);
  builder_values(&b, "wide", -1, 1, 2, wide);
  builder_layer(&b, "\"name\":\"narrow\",\"type\":\"InnerProduct\","
                "\"bottom\":[\"data\"],\"num_output\":5,"
                "\"weight\":\"narrow\"");
  builder_layer(&b, "\"name\":\"wide\",\"type\":\"InnerProduct\","
                "\"bottom\":[\"data\"],\"num_output\":1048576,"
                "\"weight\":\"wide\"");
  builder_layer(&b, "\"name\":\"flat\",\"type\":\"Flatten\","
                "\"bottom\":[\"wide\"]");
  builder_layer(&b, "\"name\":\"out\",\"type\":\"Sigmoid\","
                "\"bottom\":[\"narrow\"]");
  nn_model *model = open_model(&b, &file);
  float *input = random_floats(&b, (size_t)batch);
  float *out = run_blob(model, NN_FAST, input, batch, 4);
  assert_true(model->batch_arena * sizeof(float) * (size_t)batch >
              NN_ALLOC_MAX);
  for (int i = 0; i < batch; i++) {
    float *one = run_blob(model, NN_REFERENCE, input + i, 1, 4);
    assert_true(difference(out + 5 * i, one, 5) < 1e-5);
    free(one);
  }
  free(out);
  free(input);
  nn_model_close(model);
  free(file);
  builder_close(&b);
}

/* Allocation number `fail` gives NULL; `live` counts what is not released. */
typedef struct faults {
  int count, fail, live;
} faults;

static void *faults_alloc(void *context, size_t n) {
  faults *f = context;
  if (f->count++ == f->fail) return NULL;
  f->live++;
  return malloc(n);
}

static void faults_release(void *context, void *p) {
  faults *f = context;
  if (p) f->live--;
  free(p);
}

static nn_status open_and_run(const nn_memory *mem, const uint8_t *file,
                              size_t n, const float *input) {
  nn_model *model;
  nn_error err;
  static float out[2 * 64 * 3 * 3];
  static uint8_t code[8], rgb[67 * 67 * 3];
  nn_picture picture = {.pixels = rgb, .width = 67, .height = 67, .dx = 3,
                        .dy = 67 * 3};
  nn_status status = nn_model_open(mem, file, n, &model, &err);
  if (status) {
    assert_null(model);
    return status;
  }
  status = nn_run(mem, model, NN_FAST, input, 2, nn_model_last_blob(model),
                  out, &err);
  if (!status) {
    status = nn_hash(mem, model, nn_model_head(model, 0), &picture, code,
                     &err);
  }
  assert_true(status == NN_OK || err.text[0]);
  nn_model_close(model);
  return status;
}

static void test_every_allocation_fails(void **state) {
  builder b;
  size_t n;
  int runs = 0;
  (void)state;
  builder_open(&b, 9, 3, 67, 67);
  b.int8 = 1;
  add_caffenet(&b);
  add_batch_norm(&b, "bn", "conv5", (shape){64, 3, 3});
  uint8_t *file = builder_finish(&b, &n);
  float *input = random_floats(&b, 2 * 3 * 67 * 67);
  for (int fail = 0;; fail++) {
    faults f = {0, fail, 0};
    nn_memory mem = {faults_alloc, faults_release, &f};
    nn_status status = open_and_run(&mem, file, n, input);
    assert_int_equal(f.live, 0);
    if (f.count <= fail) {
      assert_int_equal(status, NN_OK);
      break;
    }
    assert_int_equal(status, NN_NOMEM);
    runs++;
  }
  assert_true(runs > 50);
  free(input);
  free(file);
  builder_close(&b);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_by_hand),
      cmocka_unit_test(test_random_geometries),
      cmocka_unit_test(test_large_planes),
      cmocka_unit_test(test_random_graphs),
      cmocka_unit_test(test_small_caffenet),
      cmocka_unit_test(test_checks_can_fail),
      cmocka_unit_test(test_arguments),
      cmocka_unit_test(test_batch_in_pieces),
      cmocka_unit_test(test_every_allocation_fails),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

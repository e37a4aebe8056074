/*
** Whole networks: random graphs against an oracle that shares no plan with the
** engine, a small network of the paper's shape, a proof that the checks of
** layers_test.h can fail, arguments, a batch that does not fit in one piece, and
** every allocation failing once.
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

#include "layers_test.h"

/* Random graphs ----------------------------------------------------------- */

#define GRAPH_MAX 24

/* Whether a blob goes with what is joined so far, whose sides it may change:
** along `axis` it is put behind, else its sides are alike, or 1. */
static int joins(const shape *one, int axis, shape *out) {
  const int more[3] = {one->c, one->h, one->w};
  int side[3] = {out->c, out->h, out->w};
  for (int i = 0; i < 3; i++) {
    if (i == axis - 1) side[i] += more[i];
    else if (axis && more[i] != side[i]) return 0;
    else if (more[i] != side[i] && more[i] != 1 && side[i] != 1) return 0;
    else if (side[i] == 1) side[i] = more[i];
  }
  *out = (shape){side[0], side[1], side[2]};
  return out->c * out->h * out->w <= 20000;
}

static void add_join(builder *b, const char *name, int concat,
                     const shape *shapes, int count, shape *out) {
  int first = builder_pick(b, 0, count - 1), n = 0;
  int wanted = builder_pick(b, 2, 4);
  int axis = concat ? builder_pick(b, 1, 3) : 0;
  char bottoms[256] = "";
  *out = shapes[first];
  for (int tries = 0; n < wanted; tries++) {
    int i = !n || tries >= 20 ? first : builder_pick(b, 0, count - 1);
    shape more = *out;
    if (n && !joins(&shapes[i], axis, &more)) {
      if (tries > 20) break;
      continue;
    }
    char one[32];
    snprintf(one, sizeof(one), i ? "%s\"l%d\"" : "%s\"data\"", n ? "," : "",
             i);
    strcat(bottoms, one);
    *out = more;
    n++;
  }
  if (concat) {
    builder_layer(b, "\"name\":\"%s\",\"type\":\"Concat\",\"bottom\":[%s],"
                  "\"axis\":%d", name, bottoms, axis);
  } else if (n > 1) {
    add_eltwise(b, name, bottoms, n, 0);
  } else {   /* nothing goes with it, not even itself */
    add_form(b, NN_HARD_SWISH, name, first ? bottoms + 1 : "data", *out);
  }
}

static void add_graph(builder *b, int layers, shape in) {
  shape shapes[GRAPH_MAX + 1] = {in};
  nn_type last = NN_FLATTEN, before = NN_FLATTEN;
  for (int i = 1; i <= layers; i++) {
    static const nn_type types[] = {
        NN_CONVOLUTION, NN_CONVOLUTION, NN_BATCH_NORM, NN_RELU, NN_RELU,
        NN_POOLING, NN_LRN, NN_SIGMOID, NN_SOFTMAX, NN_CLIP, NN_SCALE,
        NN_HARD_SIGMOID, NN_HARD_SWISH, NN_PADDING, NN_SHUFFLE_CHANNEL,
        NN_SLICE, NN_PERMUTE, NN_RESHAPE, NN_FLATTEN, NN_INNER_PRODUCT,
        NN_ELTWISE, NN_CONCAT, NN_BATCH_NORM, NN_CONSTANT, NN_ELTWISE};
    nn_type type = types[builder_pick(b, 0, i < 6 ? 17 : 23)];
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
    if (type == NN_CONSTANT) {
      shapes[i] = add_constant(b, name, shapes[from]);
    } else if (type == NN_ELTWISE || type == NN_CONCAT) {
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
  for (int i = 0; i < 800; i++) {
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
      layer->weight = wrong;   /* the fast engine has packed it */
      got = run_blob(model, NN_REFERENCE, input, 1, layer->top);
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
      cmocka_unit_test(test_random_graphs),
      cmocka_unit_test(test_small_caffenet),
      cmocka_unit_test(test_checks_can_fail),
      cmocka_unit_test(test_arguments),
      cmocka_unit_test(test_batch_in_pieces),
      cmocka_unit_test(test_every_allocation_fails),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

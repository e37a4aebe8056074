/*
** AMX where there is none: that the emulation of its tiles refuses what the CPU
** would, that whole networks give by NN_AMX what the definition gives, and that
** no thread keeps tiles when a pass has ended.  The kernel by itself is under
** test_integer.c with the other forms, this folder's build included.
*/
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../nn/integers.h"
#include "../unit/integer_test.h"
#include "tiles.h"

/* The emulation ----------------------------------------------------------- */

static jmp_buf fault_place;
static const char *fault_text;

static void fault_caught(const char *what) {
  fault_text = what;
  longjmp(fault_place, 1);
}

/* The statement faults, for the reason that begins so. */
#define FAULTS(reason, statement)                          \
  do {                                                     \
    fault_text = NULL;                                     \
    emulated_tiles_fault = fault_caught;                   \
    if (setjmp(fault_place) == 0) {                        \
      statement;                                           \
    }                                                      \
    emulated_tiles_fault = NULL;                           \
    assert_non_null(fault_text);                           \
    assert_int_equal(strncmp(fault_text, reason, strlen(reason)), 0); \
  } while (0)

typedef struct config {
  uint8_t byte[64];
} config;

static config some_config(void) {
  config c = {{1}};
  static const int bytes[8] = {64, 64, 64, 64, 16, 32, 64, 6};
  static const int rows[8] = {16, 4, 16, 0, 4, 8, 4, 4};
  for (int i = 0; i < 8; i++) {
    c.byte[16 + 2 * i] = (uint8_t)(rows[i] ? bytes[i] : 0);
    c.byte[48 + i] = (uint8_t)rows[i];
  }
  return c;
}

static void load_with(int at, int value) {
  config c = some_config();
  c.byte[at] = (uint8_t)value;
  emulated_tile_loadconfig(&c);
}

static void refused_with(const char *reason, int at, int value) {
  FAULTS(reason, load_with(at, value));
}

static void configurations_that_are_none(void **state) {
  (void)state;
  refused_with("there is no such palette", 0, 2);
  refused_with("start_row", 1, 1);
  for (int i = 2; i < 16; i++) refused_with("a reserved byte", i, 1);
  for (int i = 32; i < 48; i++) refused_with("bytes of a tile", i, 1);
  for (int i = 56; i < 64; i++) refused_with("rows of a tile", i, 1);
  refused_with("more than 64 bytes", 16, 65);
  refused_with("more than 64 bytes", 17, 1);
  refused_with("more than 16 rows", 48, 17);
  refused_with("rows without bytes", 16, 0);
  refused_with("rows without bytes", 48, 0);
  assert_int_equal(emulated_tiles_held(), 0);
  load_with(0, 1);
  assert_int_equal(emulated_tiles_held(), 1);
  load_with(0, 0);   /* palette 0 releases */
  assert_int_equal(emulated_tiles_held(), 0);
}

static void uses_that_are_none(void **state) {
  (void)state;
  uint8_t bytes[1024] = {0};
  FAULTS("tiles are used", emulated_tile_zero(0));
  FAULTS("tiles are used", emulated_tile_loadd(0, bytes, 64));
  load_with(0, 1);
  FAULTS("there is no such tile", emulated_tile_zero(8));
  FAULTS("a tile is used that", emulated_tile_zero(3));
  FAULTS("a tile is used that", emulated_tile_stored(3, bytes, 64));
  FAULTS("a tile is two", emulated_tile_dpbusd(1, 1, 6));
  FAULTS("a tile is two", emulated_tile_dpbusd(1, 4, 4));
  FAULTS("rows that are not", emulated_tile_dpbusd(1, 7, 6));
  FAULTS("sums and first", emulated_tile_dpbusd(0, 4, 6));
  FAULTS("sums and second", emulated_tile_dpbusd(1, 4, 5));
  FAULTS("the factors do not", emulated_tile_dpbusd(1, 4, 2));
  emulated_tile_dpbusd(1, 4, 6);
  emulated_tile_release();
  FAULTS("tiles are used", emulated_tile_dpbusd(1, 4, 6));
}

/* Without sign by with sign, rows that are missing as they were, 32 bits. */
static void products(void **state) {
  (void)state;
  uint8_t a[4][16], b[4][64];
  int32_t sums[5][16];
  memset(a, 255, sizeof(a));
  memset(b, 0x80, sizeof(b));
  for (int i = 0; i < 5 * 16; i++) sums[i / 16][i % 16] = INT32_MIN + 7;
  load_with(0, 1);
  emulated_tile_loadd(1, sums, 64);
  emulated_tile_loadd(4, a, 16);
  emulated_tile_loadd(6, b, 64);
  emulated_tile_dpbusd(1, 4, 6);
  emulated_tile_stored(1, sums, 64);
  emulated_tile_release();
  int64_t wanted = (int64_t)INT32_MIN + 7 - 16 * 255 * 128;
  for (int i = 0; i < 4 * 16; i++) {
    assert_int_equal(sums[i / 16][i % 16], (int32_t)(uint32_t)wanted);
  }
  for (int i = 0; i < 16; i++) assert_int_equal(sums[4][i], INT32_MIN + 7);
}

/* The kernel -------------------------------------------------------------- */

static void without_configuration(void **state) {
  (void)state;
  static _Alignas(64) int8_t weight[NN_INT_BYTES + NN_INT_SLACK];
  static const uint8_t in[NN_AMX_SIDE * 4 * NN_INT_TILE_QUADS];
  static int32_t out[NN_INT_PANEL * NN_INT_BLOCK];
  const size_t stride = 4 * NN_INT_TILE_QUADS;
  const nn_int_form *form = nn_int_kernels(-1);
  assert_string_equal(form->name, "amx");
  FAULTS("tiles are used", form->many(1, 0, 1, 1, in, stride, weight, out));
  form->open();
  form->many(1, 0, 1, 1, in, stride, weight, out);
  form->close();
  assert_int_equal(emulated_tiles_held(), 0);
}

/* Networks ---------------------------------------------------------------- */

static nn_model *open_net(const net *t, uint8_t **file) {
  nn_model *model = NULL;
  nn_error err;
  size_t n;
  *file = builder_finish(&t->b, &n);
  if (nn_model_open(&nn_memory_libc, *file, n, &model, &err) != NN_OK) {
    fail_msg("%s in %s", err.text, t->b.layers.text);
  }
  return model;
}

/* Each blob on so many threads, by AMX or by VNNI, which the definition gives
** too. */
static void check_pass(net *t, const nn_model *model, nn_engine engine,
                       const float *input, int batch, int threads) {
  nn_error err;
  size_t in = net_size(&t->blobs[0]);
  float *out[NET_MAX + 1];
  int blobs[NET_MAX + 1];
  for (int b = 0; b <= t->count; b++) {
    blobs[b] = b;
    out[b] = net_alloc(net_size(&t->blobs[b]) * (size_t)batch, sizeof(float));
  }
  long before = emulated_tiles_products();
  assert_int_equal(nn_run_team(&nn_memory_libc, model, engine, threads, input,
                               batch, blobs, t->count + 1, out, &err), NN_OK);
  assert_int_equal(emulated_tiles_products() > before, engine == NN_AMX);
  assert_int_equal(emulated_tiles_held(), 0);
  for (int i = 0; i < batch; i++) {
    net_run(t, input + (size_t)i * in);
    for (int b = 0; b <= t->count; b++) {
      size_t n = net_size(&t->blobs[b]);
      for (size_t j = 0; j < n; j++) {
        float want = net_value(&t->blobs[b], j);
        if (out[b][(size_t)i * n + j] == want) continue;
        fail_msg("%d threads: value %zu of l%d of image %d is %g, not %g: %s",
                 threads, j, b, i, (double)out[b][(size_t)i * n + j],
                 (double)want, t->b.layers.text);
      }
    }
  }
  for (int b = 0; b <= t->count; b++) free(out[b]);
}

/* Random pixels, all 0, all 255. */
static void check_net(net *t, int batch) {
  uint8_t *file;
  nn_model *model = open_net(t, &file);
  size_t n = net_size(&t->blobs[0]) * (size_t)batch;
  float *input = net_alloc(n, sizeof(float));
  for (int kind = 0; kind < 3; kind++) {
    for (size_t i = 0; i < n; i++) {
      input[i] = kind ? (float)(255 * (kind - 1))
                      : (float)builder_pick(&t->b, 0, 255);
    }
    check_pass(t, model, kind == 1 ? NN_FAST : NN_AMX, input, batch, 1 + kind);
    if (!kind) check_pass(t, model, NN_FAST, input, batch, 2);
  }
  free(input);
  nn_model_close(model);
  free(file);
}

/* Channels and outputs around where a tile, a block and a call end, planes of
** one pixel and more, any geometry, groups among them; then the same of bytes
** up to 127 or 255 that a layer wrote, and an inner product of the batch. */
static void shapes(void **state) {
  static const int channels[] = {1, 3, 4, 5, 15, 16, 17, 63, 64};
  static const int outputs[] = {1, 15, 16, 17, 33, 63, 64, 65, 129, 300};
  (void)state;
  for (int i = 0; i < 9; i++)
    for (int j = 0; j < 10; j++) {
      net t;
      net_open(&t, (uint64_t)(10 * i + j) + 1, channels[i], 1 + (i + j) % 4 * 2,
               1 + j % 3 * 3);
      t.extreme = (i + j) % 4;
      t.outputs = outputs[j];
      net_add(&t, NN_CONVOLUTION, 1, (int[]){0}, 0);
      t.outputs = outputs[(j + i) % 10];
      net_add(&t, NN_CONVOLUTION, 1, (int[]){1}, 0);
      net_add(&t, NN_INNER_PRODUCT, 1, (int[]){2}, 1);
      check_net(&t, 1 + (i + j) % 3);
      net_close(&t);
    }
}

/* A batch of more than a call's rows through inner products. */
static void batches(void **state) {
  (void)state;
  for (int batch = 31; batch <= 37; batch++) {
    net t;
    net_open(&t, (uint64_t)batch, 5, 4, 3);
    t.outputs = 145;
    net_add(&t, NN_INNER_PRODUCT, 1, (int[]){0}, 0);
    net_add(&t, NN_INNER_PRODUCT, 1, (int[]){1}, 0);
    check_net(&t, batch);
    net_close(&t);
  }
}

/* Rows of which 16 and no longer 32 fit a task's memory, that are read where
** they lie and that are not, and such of which not even 16 do. */
static void long_rows(void **state) {
  static const int input[][3] = {{64, 12, 12}, {60, 12, 13}, {64, 16, 17}};
  (void)state;
  for (int i = 0; i < 3; i++) {
    net t;
    net_open(&t, (uint64_t)i, input[i][0], input[i][1], input[i][2]);
    t.outputs = 33;
    net_add(&t, NN_INNER_PRODUCT, 1, (int[]){0}, 0);
    net_add(&t, NN_INNER_PRODUCT, 1, (int[]){1}, 0);
    check_net(&t, 33);
    net_close(&t);
  }
}

/* Which layers go by panels: not those whose blocks see channels of their own,
** nor rows that do not fit. */
static void which_layers(void **state) {
  static const int input[][5] = {   /* c, h, w, groups, whether */
      {8, 5, 5, 1, 1}, {40, 5, 5, 2, 1}, {8, 5, 5, 8, 0}, {64, 16, 17, 0, 0}};
  (void)state;
  for (int i = 0; i < 4; i++) {
    net t;
    uint8_t *file;
    const int *in = input[i];
    net_open(&t, (uint64_t)i + 90, in[0], in[1], in[2]);
    t.groups = in[3];
    t.outputs = in[3] == 2 ? 40 : 16;
    net_add(&t, in[3] ? NN_CONVOLUTION : NN_INNER_PRODUCT, 1, (int[]){0}, 0);
    nn_model *model = open_net(&t, &file);
    nn_int_step step = {.layer = &model->layers[0], .blobs = model->blobs,
                        .n = 1};
    for (int k = 0; (step.form = nn_int_kernels(k)) != NULL; k++) {
      int flat = !in[3] && step.form->tile == 1;
      assert_int_equal(nn_panel_fits(&step),
                       step.form->many && (in[4] || flat));
    }
    nn_model_close(model);
    free(file);
    net_close(&t);
  }
}

/* NN_FAST leaves the tiles alone: they are another's to ask for. */
static void only_when_asked(void **state) {
  (void)state;
  net t;
  uint8_t *file;
  nn_error err;
  net_open(&t, 7, 8, 5, 5);
  net_add(&t, NN_CONVOLUTION, 1, (int[]){0}, 0);
  nn_model *model = open_net(&t, &file);
  float *input = net_alloc(net_size(&t.blobs[0]), sizeof(float));
  float *out = net_alloc(net_size(&t.blobs[1]), sizeof(float));
  long before = emulated_tiles_configured();
  assert_string_equal(model->form->name, "avx512vnni");
  assert_int_equal(nn_run(&nn_memory_libc, model, NN_FAST, input, 1, 1, out,
                          &err), NN_OK);
  assert_true(emulated_tiles_configured() == before);
  free(input);
  free(out);
  nn_model_close(model);
  free(file);
  net_close(&t);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(configurations_that_are_none),
      cmocka_unit_test(uses_that_are_none),
      cmocka_unit_test(products),
      cmocka_unit_test(without_configuration),
      cmocka_unit_test(shapes),
      cmocka_unit_test(batches),
      cmocka_unit_test(long_rows),
      cmocka_unit_test(which_layers),
      cmocka_unit_test(only_when_asked),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
** Pictures in bulk: the code of each must be nn_hash's, in the order in which
** they were put, for every number of threads and size of batch; memory comes
** from the caller's thread alone, may run out at any call, and is all given
** back; and the window of pictures in flight has its bounds.
*/
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <dirent.h>
#include <pthread.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "../../nn/bulk.h"
#include "../../nn/nn_int.h"
#include "model_builder.h"
#include "test_util.h"

#define PIXELS 1000000
#define CODE 128

typedef struct picture_file {
  uint8_t *bytes, code[CODE];
  size_t n;
  nn_error err;           /* of nn_hash */
} picture_file;

static picture_file pictures[512];
static int picture_count;

/* An integer network, the same with JPEGs at reduced scale, and one in float32:
** with kernels of our own, where this CPU has them, and by OpenBLAS. */
enum { INTEGER, REDUCED, OWN, BLAS, MODELS };
static uint8_t *model_bytes[MODELS];
static nn_model *models[MODELS];
static const char *const model_names[MODELS] = {
    "integer", "integer, reduced JPEGs", "float32", "float32 by OpenBLAS"};

/* What is common ---------------------------------------------------------- */

/* An allocator that minds who calls it. */
typedef struct own_memory {
  test_memory test;
  pthread_t thread;
  long strangers;
  int persists;           /* all calls from fail_at on fail */
} own_memory;

static void *own_alloc(void *context, size_t n) {
  own_memory *m = context;
  if (!pthread_equal(pthread_self(), m->thread)) m->strangers++;
  if (m->persists && m->test.fail_at && m->test.calls + 1 >= m->test.fail_at) {
    m->test.calls++;
    return NULL;
  }
  return test_memory_alloc(&m->test, n);
}

static void own_release(void *context, void *p) {
  own_memory *m = context;
  if (!pthread_equal(pthread_self(), m->thread)) m->strangers++;
  test_memory_release(&m->test, p);
}

static void own_init(own_memory *m) {
  memset(m, 0, sizeof(*m));
  test_memory_init(&m->test, 0xa5);
  m->test.mem = (nn_memory){own_alloc, own_release, m};
  m->thread = pthread_self();
}

static void own_check(const own_memory *m) {
  assert_int_equal(m->strangers, 0);
  assert_int_equal(m->test.live, 0);
}

static nn_status open_bulk(own_memory *m, const nn_model *model, int threads,
                           int batch, nn_bulk **out) {
  nn_error err;
  int blobs[2] = {nn_model_head(model, 0)->latent,
                  nn_model_head(model, 0)->features};
  nn_bulk_options o = {.model = model, .blobs = blobs, .count = 2,
                       .threads = threads, .batch = batch,
                       .max_pixels = PIXELS};
  return nn_bulk_open(&m->test.mem, &o, out, &err);
}

/* Wait for the oldest picture. */
static nn_bulk_result wait_for(nn_bulk *bulk) {
  nn_bulk_result result;
  nn_error err;
  int done = 0;
  while (!done)
    assert_int_equal(nn_bulk_get(bulk, 10, &done, &result, &err), NN_OK);
  return result;
}

static void hash_all(const nn_model *model) {
  const nn_head *head = nn_model_head(model, 0);
  for (int i = 0; i < picture_count; i++) {
    picture_file *p = &pictures[i];
    nn_picture picture;
    if (nn_picture_decode_for(&nn_memory_libc, model, p->bytes, p->n, PIXELS,
                              &picture, &p->err))
      continue;
    nn_hash(&nn_memory_libc, model, head, &picture, p->code, &p->err);
    nn_picture_free(&nn_memory_libc, &picture);
    assert_int_equal(p->err.status, NN_OK);
  }
}

static void check_result(const nn_model *model, const picture_file *p,
                         nn_bulk_result result) {
  uint8_t code[CODE];
  int bits = nn_model_head(model, 0)->bits;
  assert_int_equal(result.error->status, p->err.status);
  if (p->err.status) {
    assert_string_equal(result.error->text, p->err.text);
    return;
  }
  nn_code_from_logits(result.values[0], bits, code);
  assert_memory_equal(code, p->code, (size_t)(bits + 7) / 8);
}

/* Codes ------------------------------------------------------------------- */

static void check_order(const nn_model *model, int threads, int batch) {
  own_memory memory;
  nn_bulk *bulk;
  nn_error err;
  int put = 0;
  own_init(&memory);
  assert_int_equal(open_bulk(&memory, model, threads, batch, &bulk), NN_OK);
  assert_int_equal(nn_bulk_threads(bulk), threads > 1 ? threads : 0);
  for (int got = 0; got < picture_count; got++) {
    while (put < picture_count && nn_bulk_has_room(bulk, pictures[put].n)) {
      assert_int_equal(nn_bulk_put(bulk, pictures[put].bytes, pictures[put].n,
                                   &err), NN_OK);
      put++;
    }
    assert_true(put > got);
    check_result(model, &pictures[got], wait_for(bulk));
    nn_bulk_drop(bulk);
  }
  nn_bulk_close(bulk);
  own_check(&memory);
}

static int needs_blas(int which) {
  if (which < OWN || models[which]->floats || nn_blas_name()) return 0;
  print_message("no OpenBLAS here\n");
  return 1;
}

static void codes_are_those_of_one(void **state) {
  (void)state;
  for (int which = 0; which < MODELS; which++) {
    if (needs_blas(which)) skip();
    hash_all(models[which]);
    for (int threads = 1; threads <= 4; threads++)
      for (int batch = 0; batch < 9; batch += batch < 2 ? 1 : 3) {
        /* OpenBLAS may round otherwise in a larger batch. */
        if (which >= OWN && !models[which]->floats && batch > 1) break;
        print_message("%s, %d threads, batch %d\n", model_names[which],
                      threads, batch);
        check_order(models[which], threads, batch);
      }
  }
}

/* A batch in OpenBLAS: the same numbers but for rounding. */
static void blas_batches(void **state) {
  (void)state;
  const nn_model *model = models[BLAS];
  const nn_head *head = nn_model_head(model, 0);
  if (needs_blas(BLAS)) skip();
  for (int threads = 1; threads <= 3; threads++) {
    own_memory memory;
    nn_bulk *bulk;
    nn_error err;
    float input[3 * 32 * 32], logits[CODE * 8];
    own_init(&memory);
    assert_int_equal(open_bulk(&memory, model, threads, 5, &bulk), NN_OK);
    for (int i = 0; i + 5 <= picture_count && i < 40; i += 5) {
      for (int j = i; j < i + 5; j++)
        assert_int_equal(nn_bulk_put(bulk, pictures[j].bytes, pictures[j].n,
                                     &err), NN_OK);
      for (int j = i; j < i + 5; j++) {
        nn_picture picture;
        nn_bulk_result result = wait_for(bulk);
        if (!nn_picture_decode(&nn_memory_libc, pictures[j].bytes,
                               pictures[j].n, PIXELS, &picture, &err)) {
          nn_prepare(&nn_memory_libc, model, &picture, input, &err);
          nn_run(&nn_memory_libc, model, NN_FAST, input, 1, head->latent,
                 logits, &err);
          for (int k = 0; k < head->bits; k++)
            assert_true(result.values[0][k] - logits[k] < 1e-3f &&
                        logits[k] - result.values[0][k] < 1e-3f);
          nn_picture_free(&nn_memory_libc, &picture);
        }
        nn_bulk_drop(bulk);
      }
    }
    nn_bulk_close(bulk);
    own_check(&memory);
  }
}

/* Memory ------------------------------------------------------------------ */

/* Some pictures of which each either has its code or could not have memory;
** returns how many could not. */
static int run_short(own_memory *memory, const nn_model *model, int threads,
                     int batch, int from, int n) {
  nn_bulk *bulk;
  nn_error err;
  int missed = 0, put = 0;
  if (open_bulk(memory, model, threads, batch, &bulk)) return 1;
  for (; put < n && !missed; put += !missed) {
    const picture_file *p = &pictures[from + put];
    if (!nn_bulk_has_room(bulk, p->n)) break;
    nn_status status = nn_bulk_put(bulk, p->bytes, p->n, &err);
    assert_true(status == NN_OK || status == NN_NOMEM);
    missed = status != NN_OK;
  }
  for (int i = from; i < from + put; i++) {
    nn_bulk_result result = wait_for(bulk);
    if (result.error->status == NN_NOMEM) {
      nn_bulk_drop(bulk);
      missed++;
      break;
    }
    check_result(model, &pictures[i], result);
    nn_bulk_drop(bulk);
  }
  nn_bulk_close(bulk);
  return missed;
}

static void memory_runs_out(void **state) {
  (void)state;
  for (int which = 0; which < MODELS; which++) {
    if (needs_blas(which)) skip();
    hash_all(models[which]);
    for (int persists = 0; persists < 2; persists++)
      for (int threads = 1; threads <= 2; threads++)
        for (long at = 1;; at++) {
          own_memory memory;
          own_init(&memory);
          memory.test.fail_at = at;
          memory.persists = persists;
          int missed = run_short(&memory, models[which], threads,
                                 which >= OWN ? 1 : 2, (int)(at * 5) % 100, 5);
          own_check(&memory);
          if (memory.test.calls < at) {
            assert_int_equal(missed, 0);
            break;
          }
        }
  }
}

/* One failure at a worker's request is mended: the picture is done again. */
static void one_failure_is_mended(void **state) {
  (void)state;
  own_memory memory;
  own_init(&memory);
  hash_all(models[INTEGER]);
  assert_int_equal(run_short(&memory, models[INTEGER], 2, 1, 0, 6), 0);
  long calls = memory.test.calls;
  int mended = 0;
  for (long at = 1; at <= calls; at++) {
    own_init(&memory);
    memory.test.fail_at = at;
    mended += !run_short(&memory, models[INTEGER], 2, 1, 0, 6) &&
              memory.test.calls >= at;
    own_check(&memory);
  }
  /* Opening takes four pieces and putting six times two; the rest is lent. */
  print_message("%d of %ld calls mended\n", mended, calls);
  assert_true(calls > 16 && mended > 0);
}

/* Bounds and ends --------------------------------------------------------- */

static void window(void **state) {
  (void)state;
  own_memory memory;
  nn_bulk *bulk;
  nn_error err;
  const size_t big = (size_t)40 << 20;
  uint8_t *bytes = calloc(1, big);
  assert_non_null(bytes);
  for (int threads = 1; threads <= 2; threads++) {
    own_init(&memory);
    assert_int_equal(open_bulk(&memory, models[INTEGER], threads, 1, &bulk),
                     NN_OK);
    nn_bulk_result result;
    int done;
    assert_int_equal(nn_bulk_get(bulk, 0, &done, &result, &err), NN_ARGUMENT);
    /* Any picture may be put where there is none. */
    assert_true(nn_bulk_has_room(bulk, (size_t)1 << 30));
    assert_int_equal(nn_bulk_put(bulk, bytes, big, &err), NN_OK);
    assert_false(nn_bulk_has_room(bulk, big));
    assert_int_equal(nn_bulk_put(bulk, bytes, big, &err), NN_ARGUMENT);
    assert_int_equal(nn_bulk_has_room(bulk, 10), threads > 1);
    assert_int_equal(wait_for(bulk).error->status, NN_PICTURE);
    nn_bulk_drop(bulk);
    int n = 0;
    for (; nn_bulk_has_room(bulk, 10); n++)
      assert_int_equal(nn_bulk_put(bulk, bytes, 10, &err), NN_OK);
    assert_true(n >= threads && n < 1000);
    nn_bulk_close(bulk);   /* with pictures in it */
    own_check(&memory);
  }
  free(bytes);
  nn_bulk_close(NULL);
}

static void arguments(void **state) {
  (void)state;
  own_memory memory;
  nn_bulk *bulk;
  nn_error err;
  int blob = 100000;
  nn_bulk_options o = {.model = models[INTEGER], .blobs = &blob, .count = 1,
                       .threads = 1, .max_pixels = PIXELS};
  own_init(&memory);
  assert_int_equal(nn_bulk_open(&memory.test.mem, &o, &bulk, &err),
                   NN_ARGUMENT);
  assert_null(bulk);
  o.count = 65;
  assert_int_equal(nn_bulk_open(&memory.test.mem, &o, &bulk, &err),
                   NN_ARGUMENT);
  const nn_model *model = models[INTEGER];
  assert_int_equal(open_bulk(&memory, model, 0, 0, &bulk), NN_ARGUMENT);
  assert_int_equal(open_bulk(&memory, model, 257, 0, &bulk), NN_ARGUMENT);
  assert_int_equal(open_bulk(&memory, model, 1, 9, &bulk), NN_ARGUMENT);
  own_check(&memory);
}

/* Pictures of n bytes that are taken before any result is. */
static int window_of(int threads, int batch, const uint8_t *bytes, size_t n) {
  own_memory memory;
  nn_bulk *bulk;
  nn_error err;
  int count = 0;
  own_init(&memory);
  assert_int_equal(open_bulk(&memory, models[INTEGER], threads, batch, &bulk),
                   NN_OK);
  for (; nn_bulk_has_room(bulk, n); count++)
    assert_int_equal(nn_bulk_put(bulk, bytes, n, &err), NN_OK);
  nn_bulk_close(bulk);
  own_check(&memory);
  return count;
}

/* Large pictures: one more for each thread than it has, if 64 MB hold that;
** smaller ones, 16 MB. */
static void window_of_large(void **state) {
  (void)state;
  const size_t mb = (size_t)1 << 20;
  uint8_t *bytes = calloc(21, mb);
  assert_non_null(bytes);
  assert_int_equal(window_of(2, 1, bytes, 5 * mb), 4);
  assert_int_equal(window_of(2, 1, bytes, 2 * mb), 8);
  assert_int_equal(window_of(2, 1, bytes, 21 * mb), 3);
  assert_int_equal(window_of(4, 1, bytes, 5 * mb), 8);
  assert_int_equal(window_of(2, 2, bytes, 5 * mb), 6);
  assert_int_equal(window_of(2, 1, bytes, 10), 18);
  free(bytes);
}

/* In a child, which has none of the threads, nothing waits for them. */
static void forked(void **state) {
  (void)state;
  own_memory memory;
  nn_bulk *bulk;
  nn_error err;
  nn_bulk_result result;
  int done, status;
  own_init(&memory);
  hash_all(models[INTEGER]);
  assert_int_equal(open_bulk(&memory, models[INTEGER], 2, 0, &bulk), NN_OK);
  assert_int_equal(nn_bulk_put(bulk, pictures[0].bytes, pictures[0].n, &err),
                   NN_OK);
  pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) {
    alarm(20);
    int good = nn_bulk_get(bulk, 0, &done, &result, &err) == NN_ARGUMENT &&
               strstr(err.text, "forked") &&
               nn_bulk_put(bulk, "", 0, &err) == NN_ARGUMENT;
    nn_bulk_close(bulk);
    _exit(good ? 0 : 1);
  }
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  check_result(models[INTEGER], &pictures[0], wait_for(bulk));
  nn_bulk_close(bulk);
  own_check(&memory);
}

/* Setting up -------------------------------------------------------------- */

static int by_name(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

static void read_pictures(const char *folder) {
  char *names[512], path[512];
  int count = 0;
  DIR *dir = opendir(test_path(folder));
  if (!dir) return;
  for (struct dirent *d; (d = readdir(dir)) != NULL && count < 512;)
    if (d->d_name[0] != '.') names[count++] = strdup(d->d_name);
  closedir(dir);
  qsort(names, (size_t)count, sizeof(*names), by_name);
  for (int i = 0; i < count && picture_count < 512; i++) {
    picture_file *p = &pictures[picture_count++];
    snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
    p->bytes = test_read_file(test_path(path), &p->n);
    if (!p->bytes) picture_count--;
    free(names[i]);
  }
}

static uint8_t *build_integer(const char *preprocess, size_t *n) {
  builder b;
  int8_t weight[19 * 3 * 16 * 16];
  float scale[19];
  builder_open_integer(&b, 5, 3, 16, 16, "[0,0,0]");
  for (size_t i = 0; i < sizeof(weight); i++)
    weight[i] = (int8_t)builder_pick(&b, -127, 127);
  for (int i = 0; i < 19; i++) scale[i] = 1;
  builder_i8(&b, "h.w", 2, (int[]){19, 3 * 16 * 16}, weight);
  builder_vector(&b, "h.s", 19, scale);
  builder_layer(&b, "\"name\":\"flat\",\"type\":\"Flatten\",\"bottom\":"
                "[\"data\"]");
  builder_layer(&b, "\"name\":\"h\",\"type\":\"InnerProduct\",\"bottom\":"
                "[\"flat\"],\"num_output\":19,\"weight\":\"h.w\",\"scales\":"
                "\"h.s\"");
  builder_member(&b, "\"preprocess\":{%s}", preprocess);
  builder_member(&b, "\"heads\":[{\"name\":\"h\",\"latent\":\"h\"}]");
  uint8_t *file = builder_finish(&b, n);
  builder_close(&b);
  return file;
}

static uint8_t *build_float(size_t *n) {
  builder b;
  builder_open(&b, 7, 3, 32, 32);
  builder_values(&b, "c.b", -1, 1, 1, (int[]){8});
  builder_values(&b, "c.w", -1, 1, 4, (int[]){8, 3, 5, 5});
  builder_values(&b, "f.w", -1, 1, 2, (int[]){40, 8 * 14 * 14});
  builder_values(&b, "h.w", -1, 1, 2, (int[]){19, 40});
  builder_layer(&b, "\"name\":\"c\",\"type\":\"Convolution\",\"bottom\":"
                "[\"data\"],\"num_output\":8,\"kernel_size\":[5,5],\"stride\":"
                "[2,2],\"weight\":\"c.w\",\"bias\":\"c.b\"");
  builder_layer(&b, "\"name\":\"r\",\"type\":\"ReLU\",\"bottom\":[\"c\"]");
  builder_layer(&b, "\"name\":\"f\",\"type\":\"InnerProduct\",\"bottom\":"
                "[\"r\"],\"num_output\":40,\"weight\":\"f.w\"");
  builder_layer(&b, "\"name\":\"h\",\"type\":\"InnerProduct\",\"bottom\":"
                "[\"f\"],\"num_output\":19,\"weight\":\"h.w\"");
  builder_member(&b, "\"preprocess\":{\"mean\":[120,120,120],\"scale\":"
                 "[0.01,0.01,0.01]}");
  builder_member(&b, "\"heads\":[{\"name\":\"h\",\"latent\":\"h\"}]");
  uint8_t *file = builder_finish(&b, n);
  builder_close(&b);
  return file;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(codes_are_those_of_one),
      cmocka_unit_test(blas_batches),
      cmocka_unit_test(memory_runs_out),
      cmocka_unit_test(one_failure_is_mended),
      cmocka_unit_test(window),
      cmocka_unit_test(window_of_large),
      cmocka_unit_test(arguments),
      cmocka_unit_test(forked),
  };
  size_t n[MODELS] = {0};
  nn_error err;
  read_pictures("golden/pictures");
  read_pictures("golden/broken");
  model_bytes[INTEGER] = build_integer("\"resize\":\"area\"", &n[INTEGER]);
  model_bytes[REDUCED] = build_integer(
      "\"resize\":\"area\",\"reduced_jpeg\":1", &n[REDUCED]);
  model_bytes[OWN] = build_float(&n[OWN]);
  model_bytes[BLAS] = build_float(&n[BLAS]);
  if (picture_count < 120) {
    printf("not ok - run from the root of the repository\n");
    return 1;
  }
  for (int i = 0; i < MODELS; i++)
    if (nn_model_open(&nn_memory_libc, model_bytes[i], n[i], &models[i],
                      &err)) {
      printf("not ok - %s\n", err.text);
      return 1;
    }
  models[BLAS]->floats = NULL;
  int failed = cmocka_run_group_tests(tests, NULL, NULL);
  for (int i = 0; i < MODELS; i++) {
    nn_model_close(models[i]);
    free(model_bytes[i]);
  }
  for (int i = 0; i < picture_count; i++) free(pictures[i].bytes);
  return failed;
}

/*
** Many pictures through one network, on several threads: what img_hash_each()
** works with.
**
** Pictures stand in a ring of slots, in the order in which they were put, and
** each goes from WAITING over BUSY and READY (decoded and resized: the input of
** the network) to DONE.  The order of the results is that of the ring, whoever
** finishes first.  The ring is the window of pictures in flight: when it is
** full, or holds BULK_BYTES of encoded pictures, the caller has to take results
** before it can put more.  Once each worker has a picture and a batch waits for
** it, BULK_AHEAD is enough: more only leaves the cache before it is decoded.
**
** Who does what depends on the network.  Where it runs in kernels of our own
** (integer networks do, and float32 ones on most CPUs), a worker takes a
** picture from WAITING to DONE by itself, and workers do not meet.  OpenBLAS
** has a pool of threads of its own and is called from the caller's thread
** alone; workers then take pictures to READY, and the caller runs the network
** while it waits.  Without workers the caller does both, one step at each
** nn_bulk_get, so that it can look after interruptions in between.
**
** Batches.  Up to the first inner product a batch runs image by image anyway
** (plan.c), and from there on it saves reading the weights again; so several
** images are given at once only where those weights do not stay in the cache.
** OpenBLAS gets one image at a time: its sgemm adds in an order that depends on
** how many there are, and a picture's code must not depend on which others were
** hashed beside it.
**
** Memory: workers borrow it from the caller (loans.c).  Should there be too
** little for all of them at once, the picture that missed it is done again by
** the caller when it is its turn and every worker rests.  Only what fails then
** is reported as NN_NOMEM.
**
** Signals of the process are not for these threads, which block all of them.
**
** Time: of photographs nine tenths go to decoding, of small pictures to the
** network; the ring costs some microseconds each (tests/bench/bench_each.c).
*/
#define _GNU_SOURCE   /* pthread_condattr_setclock with -std=c11 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bulk.h"
#include "loans.h"

#define BULK_BLOBS 64                       /* that nn_run_blobs takes */
#define BULK_BYTES ((size_t)64 << 20)       /* of encoded pictures in flight */
#define BULK_AHEAD ((size_t)16 << 20)       /* where each thread has its next */
#define BULK_INPUTS ((size_t)64 << 20)      /* of inputs in flight */
#define BULK_LENT ((size_t)1 << 30)         /* to all workers together */
#define BULK_STACK ((size_t)1 << 20)        /* of a thread */
#define BULK_THREADS 256
#define BULK_CACHE ((size_t)1 << 20)        /* weights that may stay in it */
#define BULK_BATCH 8                        /* where they do not */

enum { BULK_WAITING, BULK_BUSY, BULK_READY, BULK_DONE };

typedef struct bulk_slot {
  uint8_t *bytes;
  size_t n;
  int state;                  /* under the mutex; the rest is of whoever has the
                              ** picture */
  int alone;                  /* it was tried with all workers at rest */
  nn_error err;
  float *input;               /* kept from picture to picture */
  float *values[BULK_BLOBS];
} bulk_slot;

typedef struct bulk_worker {
  nn_bulk *bulk;
  pthread_t thread;
  nn_borrower borrower;
  float *gather;              /* room for a batch's input and output */
} bulk_worker;

struct nn_bulk {
  const nn_memory *mem;
  const nn_model *model;
  nn_engine engine;
  int blobs[BULK_BLOBS], count;
  size_t size[BULK_BLOBS];    /* floats of each, and all together */
  size_t floats, input;       /* the second: of the network's input */
  uint64_t max_pixels;
  int batch, room;
  int caller_runs;            /* the network, for all */
  pid_t process;
  bulk_slot *slots;
  float *values, *gather;
  /* Pictures so far: put >= taken by a worker, >= done in order >= dropped.
  ** Slot i % room is of picture i. */
  uint64_t put, taken, done, dropped;
  size_t bytes;               /* of those in flight */
  /* All below, taken, and the slots' states are under the mutex. */
  pthread_mutex_t mutex;
  pthread_cond_t caller, work;
  nn_lender lender;
  int busy;                   /* workers that have a picture */
  int paused, stop;
  int threads;                /* that were started, of those asked for */
  int asked;
  bulk_worker *workers;
};

static bulk_slot *bulk_at(const nn_bulk *b, uint64_t i) {
  return &b->slots[i % (uint64_t)b->room];
}

/* A picture's way --------------------------------------------------------- */

/* From the bytes to the network's input. */
static void bulk_prepare(const nn_bulk *b, const nn_memory *mem,
                         bulk_slot *slot) {
  nn_picture picture;
  if (nn_picture_decode_for(mem, b->model, slot->bytes, slot->n, b->max_pixels,
                            &picture, &slot->err)) {
    return;
  }
  nn_prepare(mem, b->model, &picture, slot->input, &slot->err);
  nn_picture_free(mem, &picture);
}

/* One image needs no moving about. */
static void bulk_pass_one(const nn_bulk *b, const nn_memory *mem,
                          bulk_slot *slot) {
  nn_run_blobs(mem, b->model, b->engine, slot->input, 1, b->blobs, b->count,
               slot->values, &slot->err);
}

/* The network on n pictures, which are ready. */
static void bulk_pass(const nn_bulk *b, const nn_memory *mem, float *gather,
                      bulk_slot *const *slots, int n) {
  float *out[BULK_BLOBS];
  nn_error err;
  if (n < 2) {
    if (n) bulk_pass_one(b, mem, slots[0]);
    return;
  }
  float *at = gather + (size_t)b->batch * b->input;
  for (int i = 0; i < n; i++) {
    memcpy(gather + (size_t)i * b->input, slots[i]->input,
           b->input * sizeof(float));
  }
  for (int j = 0; j < b->count; j++) {
    out[j] = at;
    at += (size_t)b->batch * b->size[j];
  }
  nn_run_blobs(mem, b->model, b->engine, gather, n, b->blobs, b->count, out,
               &err);
  for (int i = 0; i < n; i++) {
    slots[i]->err = err;
    for (int j = 0; j < b->count && !err.status; j++) {
      memcpy(slots[i]->values[j], out[j] + (size_t)i * b->size[j],
             b->size[j] * sizeof(float));
    }
  }
}

/* Workers ----------------------------------------------------------------- */

/* Take some pictures, so many that every worker gets some.  With the mutex. */
static int bulk_take(nn_bulk *b, bulk_slot **slots) {
  uint64_t waiting = b->put - b->taken;
  int n = (int)(waiting / (uint64_t)b->threads);
  if (n < 1 || b->caller_runs) n = 1;
  if (n > b->batch) n = b->batch;
  for (int i = 0; i < n; i++) {
    slots[i] = bulk_at(b, b->taken++);
    slots[i]->state = BULK_BUSY;
  }
  b->busy++;
  return n;
}

static void bulk_bring(nn_bulk *b, bulk_slot *const *slots, int n) {
  for (int i = 0; i < n; i++) {
    slots[i]->state = b->caller_runs && !slots[i]->err.status ? BULK_READY
                                                              : BULK_DONE;
  }
  b->busy--;
  pthread_cond_signal(&b->caller);
}

static void bulk_work(bulk_worker *w, bulk_slot *const *slots, int n) {
  nn_bulk *b = w->bulk;
  bulk_slot *ready[BULK_BATCH];
  int count = 0;
  for (int i = 0; i < n; i++) {
    bulk_prepare(b, &w->borrower.mem, slots[i]);
    if (!slots[i]->err.status) ready[count++] = slots[i];
  }
  if (!b->caller_runs) {
    bulk_pass(b, &w->borrower.mem, w->gather, ready, count);
  }
  nn_borrower_tidy(&w->borrower);
}

static void *bulk_thread(void *context) {
  bulk_worker *w = context;
  nn_bulk *b = w->bulk;
  bulk_slot *slots[BULK_BATCH];
  pthread_mutex_lock(&b->mutex);
  for (;;) {
    while (!b->stop && (b->paused || b->taken == b->put)) {
      pthread_cond_wait(&b->work, &b->mutex);
    }
    if (b->stop) break;
    int n = bulk_take(b, slots);
    pthread_mutex_unlock(&b->mutex);
    bulk_work(w, slots, n);
    pthread_mutex_lock(&b->mutex);
    bulk_bring(b, slots, n);
  }
  pthread_mutex_unlock(&b->mutex);
  return NULL;
}

/* Start as many as the system gives. */
static void bulk_start(nn_bulk *b) {
  pthread_attr_t attr;
  sigset_t all, before;
  if (pthread_attr_init(&attr)) return;
  pthread_attr_setstacksize(&attr, BULK_STACK);
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  while (b->threads < b->asked) {
    bulk_worker *w = &b->workers[b->threads];
    w->bulk = b;
    if (nn_borrower_open(&w->borrower, &b->lender)) break;
    /* Those that run already divide the work by the number of threads. */
    pthread_mutex_lock(&b->mutex);
    int failed = pthread_create(&w->thread, &attr, bulk_thread, w);
    if (!failed) b->threads++;
    pthread_mutex_unlock(&b->mutex);
    if (failed) {
      nn_borrower_close(&w->borrower);
      break;
    }
  }
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  pthread_attr_destroy(&attr);
}

/* Opening and closing ----------------------------------------------------- */

/* Does the network run in OpenBLAS? */
static int bulk_needs_blas(const nn_model *model) {
  return nn_model_kind(model) == NN_FLOAT32 && !model->floats;
}

/* Images that are best given at once. */
static int bulk_best_batch(const nn_model *model) {
  size_t weights = 0;
  size_t each = nn_model_kind(model) == NN_INTEGER ? 1 : sizeof(float);
  if (bulk_needs_blas(model)) return 1;
  for (int i = 0; i < model->layer_count; i++) {
    const nn_layer *l = &model->layers[i];
    if (l->type != NN_INNER_PRODUCT) continue;
    weights += nn_mul(model->blobs[l->bottom[0]].size,
                      model->blobs[l->top].size) * each;
  }
  return weights > BULK_CACHE ? BULK_BATCH : 1;
}

static nn_status bulk_check(const nn_bulk_options *o, nn_error *err) {
  err->status = NN_OK;
  err->text[0] = 0;
  if (o->threads < 1 || o->threads > BULK_THREADS) {
    return nn_fail(err, NN_ARGUMENT, "%d threads, not 1 to %d", o->threads,
                   BULK_THREADS);
  }
  if (o->batch < 0 || o->batch > BULK_BATCH) {
    return nn_fail(err, NN_ARGUMENT, "batches of %d, not of 1 to %d", o->batch,
                   BULK_BATCH);
  }
  if (o->count < 1 || o->count > BULK_BLOBS) {
    return nn_fail(err, NN_ARGUMENT, "%d blobs at once, not 1 to %d", o->count,
                   BULK_BLOBS);
  }
  for (int i = 0; i < o->count; i++) {
    if (o->blobs[i] < 0 || o->blobs[i] >= nn_model_blob_count(o->model)) {
      return nn_fail(err, NN_ARGUMENT, "the network has no blob %d",
                     o->blobs[i]);
    }
  }
  return NN_OK;
}

/* Pictures in flight: enough for all threads to go on while one is at a large
** picture, but no more than BULK_INPUTS hold. */
static int bulk_window(const nn_bulk *b) {
  int most = (int)(BULK_INPUTS / (b->input * sizeof(float)));
  int room = b->asked > 1 ? 8 * b->asked + 2 * b->batch : b->batch;
  int least = b->asked > 1 ? b->asked + b->batch : b->batch;
  if (room > most) room = most;
  return room < least ? least : room;
}

static size_t bulk_gather_bytes(const nn_bulk *b) {
  size_t one = b->input + b->floats;
  return b->batch > 1 ? nn_mul(nn_mul(one, (size_t)b->batch), sizeof(float))
                      : 0;
}

static nn_status bulk_take_memory(nn_bulk *b, nn_error *err) {
  size_t room = (size_t)b->room, gather = bulk_gather_bytes(b);
  b->slots = nn_zalloc(b->mem, room * sizeof(*b->slots));
  b->values = nn_alloc(b->mem, nn_mul(room * sizeof(float), b->floats));
  b->workers = nn_zalloc(b->mem, (size_t)b->asked * sizeof(*b->workers));
  int missing = !b->slots || !b->values || !b->workers;
  if (gather && !missing) missing = !(b->gather = nn_alloc(b->mem, gather));
  for (int i = 0; i < b->asked && gather && !missing; i++) {
    b->workers[i].gather = nn_alloc(b->mem, gather);
    missing = !b->workers[i].gather;
  }
  if (missing) return nn_fail(err, NN_NOMEM, "out of memory");
  float *at = b->values;
  for (size_t i = 0; i < room; i++) {
    for (int j = 0; j < b->count; j++) {
      b->slots[i].values[j] = at;
      at += b->size[j];
    }
  }
  return NN_OK;
}

static void bulk_free(nn_bulk *b) {
  for (int i = 0; b->slots && i < b->room; i++) {
    nn_free(b->mem, b->slots[i].bytes);
    nn_free(b->mem, b->slots[i].input);
  }
  for (int i = 0; b->workers && i < b->asked; i++) {
    nn_free(b->mem, b->workers[i].gather);
  }
  nn_free(b->mem, b->workers);
  nn_free(b->mem, b->gather);
  nn_free(b->mem, b->values);
  nn_free(b->mem, b->slots);
  nn_free(b->mem, b);
}

static void bulk_describe(nn_bulk *b, const nn_bulk_options *o) {
  int chw[3];
  b->model = o->model;
  b->engine = o->engine;
  b->count = o->count;
  b->max_pixels = o->max_pixels;
  b->input = nn_model_blob_shape(o->model, 0, chw);
  for (int i = 0; i < o->count; i++) {
    b->blobs[i] = o->blobs[i];
    b->size[i] = nn_model_blob_shape(o->model, o->blobs[i], chw);
    b->floats += b->size[i];
  }
  b->batch = o->batch ? o->batch : bulk_best_batch(o->model);
  b->asked = o->threads;
  b->room = bulk_window(b);
  b->process = getpid();
}

/* Returns 0, or an error number with nothing to destroy. */
static int bulk_locks(nn_bulk *b) {
  pthread_condattr_t attr;
  int failed = pthread_condattr_init(&attr);
  if (failed) return failed;
  failed = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
  if (!failed) failed = pthread_mutex_init(&b->mutex, NULL);
  if (!failed && (failed = pthread_cond_init(&b->caller, &attr)) != 0) {
    pthread_mutex_destroy(&b->mutex);
  }
  if (!failed && (failed = pthread_cond_init(&b->work, NULL)) != 0) {
    pthread_cond_destroy(&b->caller);
    pthread_mutex_destroy(&b->mutex);
  }
  pthread_condattr_destroy(&attr);
  return failed;
}

nn_status nn_bulk_open(const nn_memory *mem, const nn_bulk_options *options,
                       nn_bulk **out, nn_error *err) {
  *out = NULL;
  nn_status status = bulk_check(options, err);
  if (status) return status;
  nn_bulk *b = nn_zalloc(mem, sizeof(*b));
  if (!b) return nn_fail(err, NN_NOMEM, "out of memory");
  b->mem = mem;
  bulk_describe(b, options);
  status = bulk_take_memory(b, err);
  if (!status && bulk_locks(b)) {
    status = nn_fail(err, NN_NOMEM, "the system has no more locks");
  }
  if (status) {
    bulk_free(b);
    return status;
  }
  b->lender = (nn_lender){.mem = mem, .most = BULK_LENT, .mutex = &b->mutex,
                          .owner = &b->caller};
  b->caller_runs = bulk_needs_blas(b->model);
  if (b->asked > 1) bulk_start(b);
  *out = b;
  return NN_OK;
}

void nn_bulk_close(nn_bulk *b) {
  if (!b || getpid() != b->process) return;
  pthread_mutex_lock(&b->mutex);
  b->stop = 1;
  b->lender.closed = 1;
  pthread_cond_broadcast(&b->work);
  for (int i = 0; i < b->threads; i++) {
    pthread_cond_signal(&b->workers[i].borrower.answered);
  }
  pthread_mutex_unlock(&b->mutex);
  for (int i = 0; i < b->threads; i++) pthread_join(b->workers[i].thread, NULL);
  pthread_mutex_lock(&b->mutex);
  for (int i = 0; i < b->threads; i++) {
    nn_lender_recall(&b->lender, &b->workers[i].borrower);
    nn_borrower_close(&b->workers[i].borrower);
  }
  nn_lender_collect(&b->lender);
  pthread_mutex_unlock(&b->mutex);
  pthread_cond_destroy(&b->work);
  pthread_cond_destroy(&b->caller);
  pthread_mutex_destroy(&b->mutex);
  bulk_free(b);
}

/* Memory for those that ask.  With the mutex, which it gives up. */
static void bulk_serve(nn_bulk *b) {
  for (int i = 0; i < b->threads; i++) {
    nn_lender_serve(&b->lender, &b->workers[i].borrower);
  }
  nn_lender_collect(&b->lender);
}

/* A child has neither the threads nor, for certain, the mutex. */
static int bulk_is_elsewhere(const nn_bulk *b, nn_error *err) {
  err->status = NN_OK;
  err->text[0] = 0;
  return getpid() != b->process &&
         nn_fail(err, NN_ARGUMENT, "the process was forked meanwhile, and the "
                 "threads are in the parent");
}

/* Putting ----------------------------------------------------------------- */

int nn_bulk_threads(const nn_bulk *b) { return b->threads; }

int nn_bulk_has_room(const nn_bulk *b, size_t n) {
  uint64_t flying = b->put - b->dropped;
  uint64_t enough = (uint64_t)b->asked * (uint64_t)(1 + b->batch);
  size_t most = flying < enough ? BULK_BYTES : BULK_AHEAD;
  if (flying == 0) return 1;
  return flying < (uint64_t)b->room && n <= most && b->bytes <= most - n;
}

nn_status nn_bulk_put(nn_bulk *b, const void *bytes, size_t n, nn_error *err) {
  bulk_slot *slot = bulk_at(b, b->put);
  if (bulk_is_elsewhere(b, err)) return err->status;
  if (!nn_bulk_has_room(b, n)) {
    return nn_fail(err, NN_ARGUMENT, "there is no room for a picture");
  }
  if (!slot->input) {
    slot->input = nn_alloc(b->mem, b->input * sizeof(float));
  }
  slot->bytes = nn_alloc(b->mem, n + 1);
  if (!slot->input || !slot->bytes) {
    nn_free(b->mem, slot->bytes);
    slot->bytes = NULL;
    return nn_fail(err, NN_NOMEM, "out of memory");
  }
  memcpy(slot->bytes, bytes, n);
  slot->n = n;
  slot->alone = 0;
  slot->err = *err;
  b->bytes += n;
  pthread_mutex_lock(&b->mutex);
  slot->state = BULK_WAITING;
  b->put++;
  pthread_cond_signal(&b->work);
  bulk_serve(b);   /* the caller may be long in coming back */
  pthread_mutex_unlock(&b->mutex);
  return NN_OK;
}

/* Getting ----------------------------------------------------------------- */

/* Pictures that are ready and next in order: at most a batch, and as long as
** others are coming, a whole one.  With the mutex. */
static int bulk_ready(nn_bulk *b, bulk_slot **ready) {
  int n = 0;
  uint64_t i = b->done;
  for (; i < b->put && n < b->batch; i++) {
    bulk_slot *slot = bulk_at(b, i);
    if (slot->state == BULK_READY) ready[n++] = slot;
    else if (slot->state != BULK_DONE) break;
    else if (n == 0) b->done = i + 1;
  }
  return n == b->batch || i == b->put ? n : 0;
}

/* Run the network for what is ready.  Gives up the mutex meanwhile. */
static int bulk_caller_pass(nn_bulk *b) {
  bulk_slot *ready[BULK_BATCH];
  int n = bulk_ready(b, ready);
  if (n == 0) return 0;
  pthread_mutex_unlock(&b->mutex);
  bulk_pass(b, b->mem, b->gather, ready, n);
  pthread_mutex_lock(&b->mutex);
  for (int i = 0; i < n; i++) ready[i]->state = BULK_DONE;
  return 1;
}

/* Without workers: the next picture's input. */
static void bulk_caller_prepare(nn_bulk *b) {
  bulk_slot *slot = bulk_at(b, b->taken++);
  bulk_prepare(b, b->mem, slot);
  slot->state = slot->err.status ? BULK_DONE : BULK_READY;
}

/* All over again with every worker at rest.  With the mutex, which it gives up;
** 0 while some still work. */
static int bulk_retry(nn_bulk *b, bulk_slot *slot) {
  b->paused = 1;
  if (b->busy) return 0;
  for (int i = 0; i < b->threads; i++) {
    nn_lender_recall(&b->lender, &b->workers[i].borrower);
  }
  nn_lender_collect(&b->lender);
  pthread_mutex_unlock(&b->mutex);
  slot->err.status = NN_OK;
  bulk_prepare(b, b->mem, slot);
  if (!slot->err.status) bulk_pass_one(b, b->mem, slot);
  slot->alone = 1;
  pthread_mutex_lock(&b->mutex);
  b->paused = 0;
  pthread_cond_broadcast(&b->work);
  return 1;
}

/* One look at the ring.  Returns whether something was done, so that another
** look is worth while.  With the mutex. */
static int bulk_look(nn_bulk *b, bulk_slot *oldest, int *done) {
  bulk_serve(b);
  if (oldest->state == BULK_DONE) {
    *done = oldest->err.status != NN_NOMEM || oldest->alone;
    return *done || bulk_retry(b, oldest);
  }
  return (b->caller_runs || b->threads == 0) && bulk_caller_pass(b);
}

/* Until somebody signals or the time has come; returns whether it has. */
static int bulk_wait(nn_bulk *b, const struct timespec *until) {
  return pthread_cond_timedwait(&b->caller, &b->mutex, until) == ETIMEDOUT;
}

static struct timespec bulk_after(int ms) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  t.tv_sec += ms / 1000;
  t.tv_nsec += (long)(ms % 1000) * 1000000;
  if (t.tv_nsec >= 1000000000) {
    t.tv_nsec -= 1000000000;
    t.tv_sec++;
  }
  return t;
}

nn_status nn_bulk_get(nn_bulk *b, int ms, int *done, nn_bulk_result *out,
                      nn_error *err) {
  bulk_slot *oldest = bulk_at(b, b->dropped);
  struct timespec until = bulk_after(ms);
  int late = 0;
  *done = 0;
  if (bulk_is_elsewhere(b, err)) return err->status;
  if (b->dropped == b->put) return nn_fail(err, NN_ARGUMENT, "no picture");
  pthread_mutex_lock(&b->mutex);
  while (!*done && !late) {
    if (bulk_look(b, oldest, done)) {
      late = !*done && b->threads == 0;
    } else if (b->threads == 0) {
      bulk_caller_prepare(b);
      late = 1;
    } else {
      late = bulk_wait(b, &until);
    }
  }
  pthread_mutex_unlock(&b->mutex);
  if (*done) *out = (nn_bulk_result){&oldest->err, oldest->values};
  return NN_OK;
}

void nn_bulk_drop(nn_bulk *b) {
  bulk_slot *slot = bulk_at(b, b->dropped++);
  if (b->done < b->dropped) b->done = b->dropped;
  nn_free(b->mem, slot->bytes);
  slot->bytes = NULL;
  b->bytes -= slot->n;
}

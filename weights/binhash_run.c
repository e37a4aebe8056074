/*
** binhash-run: a model's forward pass on the command line.
**
**   binhash-run MODEL [LAYER] [--batch N] [--threads T] [--time RUNS]
**               [--engine fast|reference|blas|amx]
**   binhash-run MODEL --list
**
** It reads float32 tensors (NCHW, what the network sees after preprocessing,
** which is pixels from 0 to 255 for an integer network; little-endian, any
** number of images) from standard input and writes the layer's output, the last
** layer's when none is named, as float32 to standard output.  It serves no SQL:
** it is the same engine without SQLite, so that every comparison with another
** engine, in numbers or in time, measures one thing.
**
** Images are run in batches of N (1), the last of which may be short.  --time
** then runs the first N images RUNS times more after a warm-up and prints
** "median_ms X" and "least_ms Y" on standard error: wall times of the forward
** pass of the whole batch (fewer than N images are repeated to fill it).
** --threads (1) is how many run a float32 network; it sets OPENBLAS_NUM_THREADS
** too, which OpenBLAS reads when it is first needed.  --engine takes the naive
** reference, OpenBLAS or the CPU's tiles, if the system gives them, in place of
** the engine that SQL uses (network.h).
**
** --list prints the kind of the network, and then each layer's name and shape;
** in an integer network also what its integers stand for.
**
** Exit status: 0, 1 when something failed, 2 when it was called wrongly.
*/
#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../nn/nn_int.h"

typedef struct run_options {
  const char *model, *layer;
  int batch, threads, runs, list;
  nn_engine engine;
} run_options;

typedef struct run_state {
  nn_model *model;
  nn_engine engine;
  int threads, batch, blob;
  size_t in, out;          /* floats of one image */
  float *input, *output;   /* of one batch */
  float *first;            /* the first batch, for --time */
} run_state;

static int run_usage(const char *problem, const char *what) {
  if (problem) fprintf(stderr, "binhash-run: %s%s\n", problem, what);
  fprintf(stderr,
          "usage: binhash-run MODEL [LAYER] [--batch N] [--threads T] "
          "[--time RUNS]\n"
          "                   [--engine fast|reference|blas|amx]\n"
          "       binhash-run MODEL --list\n");
  return 2;
}

static int run_fail(const char *what, const char *why) {
  fprintf(stderr, "binhash-run: %s: %s\n", what, why);
  return 1;
}

/* Arguments --------------------------------------------------------------- */

static int run_number(const char *text, int *out) {
  char *end;
  errno = 0;
  long n = strtol(text, &end, 10);
  if (errno || *end || end == text || n < 1 || n > 1000000) return 0;
  *out = (int)n;
  return 1;
}

static int run_engine(const char *text, nn_engine *engine) {
  static const struct {
    const char *name;
    nn_engine engine;
  } engines[] = {
      {"fast", NN_FAST}, {"reference", NN_REFERENCE}, {"blas", NN_BLAS},
      {"amx", NN_AMX}};
  for (size_t i = 0; i < sizeof(engines) / sizeof(*engines); i++) {
    if (!text || strcmp(text, engines[i].name) != 0) continue;
    *engine = engines[i].engine;
    return 1;
  }
  return 0;
}

static int run_arguments(int argc, char **argv, run_options *o) {
  for (int i = 1; i < argc; i++) {
    int *number = strcmp(argv[i], "--batch") == 0     ? &o->batch
                  : strcmp(argv[i], "--threads") == 0 ? &o->threads
                  : strcmp(argv[i], "--time") == 0    ? &o->runs
                                                      : NULL;
    if (number) {
      if (i + 1 == argc || !run_number(argv[i + 1], number)) {
        return run_usage(argv[i], " wants a number from 1 to 1000000");
      }
      i++;
    } else if (strcmp(argv[i], "--engine") == 0) {
      if (!run_engine(argv[++i], &o->engine)) {
        return run_usage("--engine", " wants fast, reference, blas or amx");
      }
    } else if (strcmp(argv[i], "--list") == 0) {
      o->list = 1;
    } else if (strcmp(argv[i], "--help") == 0) {
      run_usage(NULL, NULL);
      exit(0);
    } else if (strncmp(argv[i], "--", 2) == 0) {
      return run_usage("unknown option ", argv[i]);
    } else if (!o->model) {
      o->model = argv[i];
    } else if (!o->layer) {
      o->layer = argv[i];
    } else {
      return run_usage("one layer at a time, not also ", argv[i]);
    }
  }
  return o->model ? 0 : run_usage("no model given", "");
}

/* The model --------------------------------------------------------------- */

static int run_map(const char *path, const void **bytes, size_t *n) {
  struct stat s;
  int fd = open(path, O_RDONLY);
  if (fd < 0 || fstat(fd, &s) < 0) {
    run_fail(path, strerror(errno));
    if (fd >= 0) close(fd);
    return 1;
  }
  *n = S_ISREG(s.st_mode) ? (size_t)s.st_size : 0;
  void *map = *n ? mmap(NULL, *n, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
  close(fd);
  if (!*n) return run_fail(path, "not a file with something in it");
  if (map == MAP_FAILED) return run_fail(path, strerror(errno));
  *bytes = map;
  return 0;
}

/* What a blob's integers stand for; of channels, the range. */
static void run_list_quant(const nn_quant *q, int channels, FILE *to) {
  if (q->sums) {
    float low = q->scales[0], high = low;
    for (int c = 1; c < channels && q->scales_step; c++) {
      if (q->scales[c] < low) low = q->scales[c];
      if (q->scales[c] > high) high = q->scales[c];
    }
    fprintf(to, "\tsums, scale %.9g", (double)low);
    if (high > low) fprintf(to, " to %.9g", (double)high);
  } else if (q->max) {
    fprintf(to, "\tbytes up to %d, zero %d, scale %.9g", q->max, q->zero[0],
            (double)q->scale);
  }
}

/* A layer that does not exist is best answered by those that do. */
static void run_list(const nn_model *model, FILE *to) {
  for (int i = 0; i < nn_model_blob_count(model); i++) {
    int chw[3];
    nn_model_blob_shape(model, i, chw);
    fprintf(to, "%s\t%d x %d x %d", nn_model_blob_name(model, i), chw[0],
            chw[1], chw[2]);
    run_list_quant(&model->blobs[i].quant, chw[0], to);
    fprintf(to, "\n");
  }
}

static int run_layer_named(const run_options *o, run_state *r) {
  int chw[3];
  r->blob = o->layer ? nn_model_blob(r->model, o->layer)
                     : nn_model_last_blob(r->model);
  if (r->blob < 0) {
    fprintf(stderr, "binhash-run: %s has no layer %s; its layers are:\n",
            o->model, o->layer);
    run_list(r->model, stderr);
    return 1;
  }
  r->in = nn_model_blob_shape(r->model, 0, chw);
  r->out = nn_model_blob_shape(r->model, r->blob, chw);
  return 0;
}

/* Images ------------------------------------------------------------------ */

/* Up to a batch of images into r->input; *images is how many came. */
static int run_read(run_state *r, int *images) {
  size_t bytes = r->in * sizeof(float);
  size_t n = fread(r->input, 1, bytes * (size_t)r->batch, stdin);
  if (ferror(stdin)) return run_fail("standard input", strerror(errno));
  if (n % bytes) {
    fprintf(stderr,
            "binhash-run: the input ends within an image: %zu bytes, and an "
            "image has %zu (%zu float32)\n",
            n % bytes, bytes, r->in);
    return 1;
  }
  *images = (int)(n / bytes);
  return 0;
}

static int run_forward(const run_state *r, const float *input, int images) {
  nn_error err;
  if (nn_run_team(&nn_memory_libc, r->model, r->engine, r->threads, input,
                  images, &r->blob, 1, &r->output, &err) != NN_OK) {
    return run_fail("forward pass", err.text);
  }
  return 0;
}

static int run_all(run_state *r) {
  size_t in = r->in * sizeof(float), out = r->out * sizeof(float);
  for (long long done = 0;; done += r->batch) {
    int images;
    if (run_read(r, &images)) return 1;
    if (!images && !done) {
      fprintf(stderr,
              "binhash-run: no image on standard input; one has %zu bytes "
              "(%zu float32)\n", in, r->in);
      return 1;
    }
    for (int i = 0; r->first && !done && i < r->batch; i++) {
      memcpy(r->first + (size_t)i * r->in,
             r->input + (size_t)(i % images) * r->in, in);
    }
    if (!images) return 0;
    if (run_forward(r, r->input, images)) return 1;
    if (fwrite(r->output, out, (size_t)images, stdout) != (size_t)images) {
      return run_fail("standard output", strerror(errno));
    }
    if (images < r->batch) return 0;
  }
}

/* Time -------------------------------------------------------------------- */

static double run_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static int run_ascending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

static int run_time(const run_state *r, int runs) {
  double *ms = malloc((size_t)runs * sizeof(*ms));
  int failed = !ms;
  for (int i = -1; i < runs && !failed; i++) {
    double start = run_now();
    failed = run_forward(r, r->first, r->batch);
    if (i >= 0) ms[i] = run_now() - start;
  }
  if (!failed) {
    qsort(ms, (size_t)runs, sizeof(*ms), run_ascending);
    fprintf(stderr, "median_ms %.3f\nleast_ms %.3f\n",
            (ms[(runs - 1) / 2] + ms[runs / 2]) / 2, ms[0]);
  }
  free(ms);
  return failed;
}

static int run_images(const run_options *o, run_state *r) {
  size_t batch = (size_t)o->batch;
  if (batch > SIZE_MAX / sizeof(float) / (r->in > r->out ? r->in : r->out)) {
    return run_fail("--batch", "too large");
  }
  r->batch = o->batch;
  r->input = malloc(batch * r->in * sizeof(float));
  r->output = malloc(batch * r->out * sizeof(float));
  r->first = o->runs ? malloc(batch * r->in * sizeof(float)) : NULL;
  int failed = !r->input || !r->output || (o->runs && !r->first);
  if (failed) run_fail("memory", strerror(ENOMEM));
  failed = failed || run_all(r);
  if (!failed && fflush(stdout)) {
    failed = run_fail("standard output", strerror(errno));
  }
  failed = failed || (o->runs && run_time(r, o->runs));
  free(r->input);
  free(r->output);
  free(r->first);
  return failed;
}

int main(int argc, char **argv) {
  run_options o = {.batch = 1};
  run_state r = {0};
  const void *bytes = NULL;
  size_t n = 0;
  nn_error err;
  int failed = run_arguments(argc, argv, &o);
  if (failed) return failed;
  if (o.threads) {
    char text[16];
    snprintf(text, sizeof(text), "%d", o.threads);
    setenv("OPENBLAS_NUM_THREADS", text, 1);
  }
  if (o.engine == NN_AMX && nn_amx_request(&err)) {
    return run_fail("--engine amx", err.text);
  }
  if (run_map(o.model, &bytes, &n)) return 1;
  if (nn_model_open(&nn_memory_libc, bytes, n, &r.model, &err) != NN_OK) {
    return run_fail(o.model, err.text);
  }
  r.engine = o.engine;
  r.threads = o.threads ? o.threads : 1;
  if (o.list) {
    printf("%s network\n",
           nn_model_kind(r.model) == NN_INTEGER ? "integer" : "float32");
    run_list(r.model, stdout);
  } else {
    failed = run_layer_named(&o, &r) || run_images(&o, &r);
  }
  nn_model_close(r.model);
  munmap((void *)(uintptr_t)bytes, n);
  return failed;
}

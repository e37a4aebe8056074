/*
** Codes of many pictures in one configuration of the engine, for a comparison
** with the codes of every other configuration.
**
**   codes MODEL HEADS PICTURES [--engine fast|reference|blas] [--batch N]
**         [--threads T] [--features MASK] [--limit N] [--float-state] [--print]
**
** HEADS is the name of a head, or of two with a comma between them, whose codes
** then stand one behind the other: both come of one pass.
**
** PICTURES is a file of encoded pictures, each after its length in 4 bytes
** (little-endian), or drawn:N for N pictures of 32x32 that are drawn here, in
** integers.  It prints one line, "SHA256 N codes", or with --print the codes in
** hexadecimal, one a line.
**
** --features ANDs the CPU's features with a mask (NN_CPU_* of nn/nn_int.h), so
** that kernels for lesser CPUs are taken; the linker puts the function below in
** place of nn_cpu_features().  --float-state sets what a host may have set
** before it called us: rounding upwards, and on x86 denormals as zeros.
**
** It needs no SQLite, so that it runs wherever a C compiler reaches.
*/
#include <fenv.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__SSE2__)
#include <pmmintrin.h>
#include <xmmintrin.h>
#endif

#include "../../nn/nn_int.h"

static unsigned codes_features = ~0u;
unsigned __real_nn_cpu_features(void);
unsigned __wrap_nn_cpu_features(void);
unsigned __wrap_nn_cpu_features(void) {
  return __real_nn_cpu_features() & codes_features;
}

static void codes_fail(const char *what, const char *why) {
  fprintf(stderr, "codes: %s: %s\n", what, why);
  exit(1);
}

static void *codes_alloc(size_t n) {
  void *p = malloc(n ? n : 1);
  if (!p) codes_fail("memory", "there is none left");
  return p;
}

static uint8_t *codes_read(const char *path, size_t *n) {
  FILE *file = fopen(path, "rb");
  if (!file || fseek(file, 0, SEEK_END) != 0) {
    codes_fail(path, "cannot be opened");
  }
  *n = (size_t)ftell(file);
  uint8_t *bytes = codes_alloc(*n);
  rewind(file);
  if (fread(bytes, 1, *n, file) != *n) codes_fail(path, "cannot be read");
  fclose(file);
  return bytes;
}

/* Pictures ---------------------------------------------------------------- */

#define CODES_SIDE 32

static uint32_t codes_random(uint32_t *state) {
  *state = *state * 1664525u + 1013904223u;
  return *state >> 8;
}

static int codes_colour(int kind, int x, int y, int c, const int *p) {
  int dx = x - p[0] % CODES_SIDE, dy = y - p[1] % CODES_SIDE;
  int period = 2 + p[2] % 9;
  switch (kind) {
    case 0: return p[3 + c] % 256;
    case 1: return (x * (p[3 + c] % 9) + y * (p[6 + c] % 9)) & 255;
    case 2: return p[(x / period + y / period) % 2 ? 3 + c : 6 + c] & 255;
    case 3: return p[dx * dx + dy * dy < 9 * period ? 3 + c : 6 + c] & 255;
    case 4: return p[(x + 2 * y) % (2 * period) < period ? 3 + c : 6 + c] & 255;
    case 5: return ((x * x * period + y * y * (p[3 + c] % 7)) >> 4) & 255;
    default: return p[dx > 0 && dy > -period ? 3 + c : 6 + c] * (x + y) / 64 &
                    255;
  }
}

/* Plain, shaded, chequered, round, striped, curved and cornered pictures, each
** with more noise than the one seven before. */
static void codes_draw(int i, uint8_t *rgb) {
  uint32_t state = (uint32_t)i * 2654435761u + 1;
  int p[9], noise = i / 7 % 24;
  for (int j = 0; j < 9; j++) p[j] = (int)(codes_random(&state) & 0xffff);
  for (int y = 0; y < CODES_SIDE; y++) {
    for (int x = 0; x < CODES_SIDE; x++) {
      for (int c = 0; c < 3; c++) {
        int v = codes_colour(i % 7, x, y, c, p);
        v += (int)(codes_random(&state) % (uint32_t)(2 * noise + 1)) - noise;
        *rgb++ = (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
      }
    }
  }
}

/* Work -------------------------------------------------------------------- */

#define CODES_HEADS 2

/* Heads whose codes are joined. */
typedef struct codes_heads {
  int n, latent[CODES_HEADS], bits[CODES_HEADS];
  size_t bytes;             /* of all codes of a picture */
} codes_heads;

typedef struct codes_job {
  const nn_model *model;
  codes_heads heads;
  nn_engine engine;
  const uint8_t *bytes;     /* NULL: drawn */
  const size_t *begins;     /* of each picture's length */
  int first, end, batch;
  int float_state;
  uint8_t *codes;
  pthread_t thread;
} codes_job;

static void codes_prepare(const codes_job *job, int i, float *input) {
  uint8_t rgb[3 * CODES_SIDE * CODES_SIDE];
  nn_picture picture;
  nn_error err;
  if (job->bytes) {
    const uint8_t *at = job->bytes + job->begins[i];
    size_t n = (size_t)nn_load32(at);
    if (nn_picture_decode_for(&nn_memory_libc, job->model, at + 4, n,
                          NN_MAX_PIXELS_DEFAULT, &picture, &err)) {
      codes_fail("picture", err.text);
    }
  } else {
    codes_draw(i, rgb);
    nn_picture_borrow(rgb, CODES_SIDE, CODES_SIDE, &picture);
  }
  if (nn_prepare(&nn_memory_libc, job->model, &picture, input, &err)) {
    codes_fail("picture", err.text);
  }
  nn_picture_free(&nn_memory_libc, &picture);
}

static void *codes_work(void *context) {
  const codes_job *job = context;
  int chw[3];
  nn_error err;
  nn_model_input_shape(job->model, chw);
  size_t in = (size_t)chw[0] * (size_t)chw[1] * (size_t)chw[2];
  const codes_heads *heads = &job->heads;
  float *logits[CODES_HEADS];
  float *input = codes_alloc((size_t)job->batch * in * sizeof(float));
  for (int h = 0; h < heads->n; h++) {
    logits[h] = codes_alloc((size_t)job->batch * (size_t)heads->bits[h] *
                            sizeof(float));
  }
  if (job->float_state) {
    fesetround(FE_UPWARD);
#if defined(__SSE2__)
    _MM_SET_FLUSH_ZERO_MODE(_MM_FLUSH_ZERO_ON);
    _MM_SET_DENORMALS_ZERO_MODE(_MM_DENORMALS_ZERO_ON);
#endif
  }
  for (int i = job->first; i < job->end; i += job->batch) {
    int n = job->end - i < job->batch ? job->end - i : job->batch;
    for (int j = 0; j < n; j++) {
      codes_prepare(job, i + j, input + (size_t)j * in);
    }
    if (nn_run_blobs(&nn_memory_libc, job->model, job->engine, input, n,
                     heads->latent, heads->n, logits, &err)) {
      codes_fail("run", err.text);
    }
    for (int j = 0; j < n; j++) {
      uint8_t *code = job->codes + (size_t)(i + j) * heads->bytes;
      for (int h = 0; h < heads->n; h++) {
        int bits = heads->bits[h];
        nn_code_from_logits(logits[h] + (size_t)j * (size_t)bits, bits, code);
        code += (bits + 7) / 8;
      }
    }
  }
  free(input);
  for (int h = 0; h < heads->n; h++) free(logits[h]);
  return NULL;
}

/* Arguments --------------------------------------------------------------- */

typedef struct codes_options {
  const char *model, *heads, *pictures;
  nn_engine engine;
  int batch, threads, limit, float_state, print;
} codes_options;

static void codes_usage(void) {
  fprintf(stderr,
          "usage: codes MODEL HEAD[,HEAD] PICTURES|drawn:N\n"
          "             [--engine fast|reference|blas|amx] [--batch N] "
          "[--threads T]\n             [--features MASK] [--limit N] "
          "[--float-state] [--print]\n");
  exit(2);
}

static int codes_count(const char *text) {
  long n = text ? strtol(text, NULL, 0) : 0;
  if (n < 1 || n > 1 << 24) codes_usage();
  return (int)n;
}

static nn_engine codes_engine(const char *name) {
  if (name && strcmp(name, "fast") == 0) return NN_FAST;
  if (name && strcmp(name, "reference") == 0) return NN_REFERENCE;
  if (name && strcmp(name, "amx") == 0) return NN_AMX;
  if (!name || strcmp(name, "blas") != 0) codes_usage();
  return NN_BLAS;
}

static codes_options codes_parse(char **argv) {
  codes_options o = {.batch = 1, .threads = 1, .limit = 1 << 24};
  for (argv++; *argv; argv++) {
    if (strcmp(*argv, "--engine") == 0) o.engine = codes_engine(*++argv);
    else if (strcmp(*argv, "--batch") == 0) o.batch = codes_count(*++argv);
    else if (strcmp(*argv, "--threads") == 0) o.threads = codes_count(*++argv);
    else if (strcmp(*argv, "--limit") == 0) o.limit = codes_count(*++argv);
    else if (strcmp(*argv, "--float-state") == 0) o.float_state = 1;
    else if (strcmp(*argv, "--print") == 0) o.print = 1;
    else if (strcmp(*argv, "--features") == 0 && argv[1]) {
      codes_features = (unsigned)strtoul(*++argv, NULL, 0);
    } else if (!o.model) o.model = *argv;
    else if (!o.heads) o.heads = *argv;
    else if (!o.pictures) o.pictures = *argv;
    else codes_usage();
    if (!*argv) codes_usage();
  }
  if (!o.pictures || o.threads > 64) codes_usage();
  return o;
}

static const nn_head *codes_head(const nn_model *model, const char *name,
                                 size_t length) {
  for (int i = 0; i < nn_model_head_count(model); i++) {
    const nn_head *head = nn_model_head(model, i);
    if (strlen(head->name) == length && !memcmp(head->name, name, length)) {
      return head;
    }
  }
  codes_fail(name, "the model has no such head");
  return NULL;
}

static codes_heads codes_find(const nn_model *model, const char *names) {
  codes_heads out = {0};
  for (;;) {
    size_t length = strcspn(names, ",");
    const nn_head *head = codes_head(model, names, length);
    if (out.n == CODES_HEADS) codes_usage();
    out.latent[out.n] = head->latent;
    out.bits[out.n++] = head->bits;
    out.bytes += ((size_t)head->bits + 7) / 8;
    if (!names[length]) return out;
    names += length + 1;
  }
}

/* Where each picture's length stands; returns their number. */
static int codes_index(const uint8_t *bytes, size_t n, int limit,
                       size_t **begins) {
  int count = 0;
  size_t room = 0;
  *begins = NULL;
  for (size_t at = 0; at + 4 <= n && count < limit; count++) {
    if ((size_t)count == room) {
      room = 2 * room + 1024;
      *begins = realloc(*begins, room * sizeof(**begins));
      if (!*begins) codes_fail("memory", "there is none left");
    }
    (*begins)[count] = at;
    at += 4 + (size_t)nn_load32(bytes + at);
    if (at > n) codes_fail("pictures", "the file ends early");
  }
  return count;
}

static void codes_report(const codes_options *o, const uint8_t *codes,
                         int count, size_t bytes) {
  char hex[65];
  if (!o->print) {
    nn_sha256(codes, (size_t)count * bytes, hex);
    printf("%s %d codes\n", hex, count);
    return;
  }
  for (int i = 0; i < count; i++) {
    for (size_t j = 0; j < bytes; j++) {
      printf("%02x", codes[(size_t)i * bytes + j]);
    }
    printf("\n");
  }
}

int main(int argc, char **argv) {
  codes_job jobs[64];
  size_t n = 0, model_size;
  size_t *begins = NULL;
  uint8_t *pictures = NULL;
  nn_model *model;
  nn_error err;
  int count;
  if (argc < 4) codes_usage();
  codes_options o = codes_parse(argv);
  if (o.engine == NN_AMX && nn_amx_request(&err)) {
    codes_fail("--engine amx", err.text);
  }
  uint8_t *file = codes_read(o.model, &model_size);
  if (nn_model_open(&nn_memory_libc, file, model_size, &model, &err)) {
    codes_fail(o.model, err.text);
  }
  codes_heads heads = codes_find(model, o.heads);
  if (strncmp(o.pictures, "drawn:", 6) == 0) {
    count = codes_count(o.pictures + 6);
  } else {
    pictures = codes_read(o.pictures, &n);
    count = codes_index(pictures, n, o.limit, &begins);
  }
  uint8_t *codes = codes_alloc((size_t)count * heads.bytes);
  for (int i = 0; i < o.threads; i++) {
    jobs[i] = (codes_job){.model = model, .heads = heads, .engine = o.engine,
                          .bytes = pictures, .begins = begins,
                          .batch = o.batch, .float_state = o.float_state,
                          .codes = codes};
    jobs[i].first = (int)((int64_t)count * i / o.threads);
    jobs[i].end = (int)((int64_t)count * (i + 1) / o.threads);
    if (pthread_create(&jobs[i].thread, NULL, codes_work, &jobs[i])) {
      codes_fail("thread", "cannot be started");
    }
  }
  for (int i = 0; i < o.threads; i++) pthread_join(jobs[i].thread, NULL);
  codes_report(&o, codes, count, heads.bytes);
  nn_model_close(model);
  free(codes);
  free(begins);
  free(pictures);
  free(file);
  return 0;
}

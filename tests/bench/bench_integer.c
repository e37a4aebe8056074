/*
** How fast the kernels of integer networks are, without the layers around them.
**
**   bench_integer [FORM]
**
** Filters of 3x3 over a plane of 16x16, for a few numbers of channels, and 1x1.
** A line per form: thousands of millions of multiply-adds a second, of sums and
** of wide, then nanoseconds of requantisation per byte.  Under it, what share
** that is of what the form's instructions could do at this clock: two of them a
** cycle, but of AMX's one in 16.  A form that takes many blocks of sixteen
** outputs at once is given as many, which is what a layer of 128 outputs does.
** Processor time, the best of many runs.
*/
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../../nn/integers.h"

#define SIDE 16
#define POSITIONS (SIDE * SIDE)
#define TAPS_MAX 9
#define QUADS_MAX 96
#define BLOCKS_MAX 8
#define SECONDS 0.3

static uint8_t plane[(SIDE + 2) * (SIDE + 2) * 4 * QUADS_MAX];
static _Alignas(64) int8_t weight[BLOCKS_MAX * TAPS_MAX * QUADS_MAX *
                                  NN_INT_BLOCK * 4 + NN_INT_SLACK];
static int32_t out[BLOCKS_MAX * POSITIONS * NN_INT_BLOCK];
static const uint8_t *in[POSITIONS * TAPS_MAX];

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* The first line of /proc/cpuinfo that names the CPU. */
static void print_cpu(void) {
  char line[256];
  FILE *f = fopen("/proc/cpuinfo", "r");
  while (f && fgets(line, sizeof(line), f))
    if (strncmp(line, "model name", 10) == 0) {
      printf("cpu %s", strchr(line, ':') + 1);
      break;
    }
  if (f) fclose(f);
}

/* What in[] wants: of every tile the rows of the first tap, the second... */
static void point(int rows, int taps, int quads) {
  int side = taps == 9 ? 3 : 1, i = 0;
  for (int p = 0; p < POSITIONS; p += rows)
    for (int t = 0; t < taps; t++)
      for (int r = p; r < p + rows && r < POSITIONS; r++) {
        int y = r / SIDE + t / side, x = r % SIDE + t % side;
        in[i++] = plane + (y * (SIDE + 2) + x) * 4 * quads;
      }
}

/* Cycles a nanosecond, by additions that wait for each other. */
static double giga_hertz(void) {
  enum { ADDITIONS = 1 << 20 };
  double best = 1e9, start = now();
  while (now() - start < SECONDS) {
    unsigned long x = 1;
    double before = now();
    for (int i = 0; i < ADDITIONS / 8; i++) {
#define ADD __asm__ __volatile__("" : "+r"(x)); x += x;
      ADD ADD ADD ADD ADD ADD ADD ADD
#undef ADD
    }
    __asm__ __volatile__("" : : "r"(x));
    double took = now() - before;
    if (took < best) best = took;
  }
  return ADDITIONS / best / 1e9;
}

/* Multiply-adds a cycle of sums, and of wide where that is another: what two
** ports for vectors do, or the unit for tiles.  0: nobody has counted. */
static int peak(const nn_int_form *form, int wide) {
  static const struct {
    const char *name;
    int sums, wide;
  } peaks[] = {
      {"avx2", 32, 32},        /* VPMADDUBSW and VPMADDWD; two VPMADDWD */
      {"avxvnni", 64, 64},
      {"avx512vnni", 128, 128},
      {"amx", 1024, 1024},     /* 16384 in 16 cycles */
      {"neondot", 32, 32},
      {"neoni8mm", 32, 32},
  };
  for (size_t i = 0; i < sizeof(peaks) / sizeof(*peaks); i++)
    if (strcmp(form->name, peaks[i].name) == 0)
      return wide ? peaks[i].wide : peaks[i].sums;
  return 0;
}

static double giga_macs(const nn_int_form *form, int wide, int taps,
                        int quads) {
  double best = 1e9, start = now();
  int blocks = form->many ? form->blocks : 1;
  size_t apart = (size_t)taps * (size_t)quads * NN_INT_BLOCK * 4;
  /* Long enough for the clock. */
  int repeats = 1 + 4000 / (taps * quads);
  point(form->rows, taps, quads);
  while (now() - start < SECONDS) {
    double before = now();
    if (form->open) form->open();
    for (int repeat = 0; repeat < repeats; repeat++)
      for (int p = 0; p < POSITIONS; p += form->rows) {
        int rows = POSITIONS - p < form->rows ? POSITIONS - p : form->rows;
        const uint8_t *const *from = in + p * taps;
        int32_t *to = out + p * blocks * NN_INT_BLOCK;
        if (form->many)
          form->many(blocks, apart, rows, taps, quads, from, weight, to);
        else
          (wide ? form->wide : form->sums)(rows, taps, quads, from, weight, to);
      }
    if (form->close) form->close();
    double took = now() - before;
    if (took < best) best = took;
  }
  return 4.0 * repeats * POSITIONS * taps * quads * NN_INT_BLOCK * blocks /
         best / 1e9;
}

static double nanoseconds(const nn_int_form *form) {
  static int32_t bias[POSITIONS], m[POSITIONS], s[POSITIONS];
  static uint8_t bytes[POSITIONS];
  double best = 1e9, start = now();
  for (int i = 0; i < POSITIONS; i++) m[i] = 1 << 30, s[i] = 40;
  while (now() - start < SECONDS) {
    double before = now();
    for (int p = 0; p < 640; p++)
      form->bytes(POSITIONS, out + p % 15 * POSITIONS, bias, m, s, 0, 127,
                  bytes);
    double took = now() - before;
    if (took < best) best = took;
  }
  return best * 1e9 / (640 * POSITIONS);
}

#define SHAPES 5
static const int shapes[SHAPES][2] = {
    {9, 1}, {9, 16}, {9, 32}, {9, 96}, {1, 32}};

static void print_form(const nn_int_form *form, double hertz) {
  double macs[SHAPES][2];
  printf("%-12s", form->name);
  for (int k = 0; k < SHAPES; k++)
    for (int wide = 0; wide < 2; wide++) {
      macs[k][wide] = giga_macs(form, wide, shapes[k][0], shapes[k][1]);
      printf(wide ? " %5.1f " : "  %5.1f", macs[k][wide]);
    }
  printf("  %7.3f\n", nanoseconds(form));
  if (!peak(form, 0)) return;
  printf("%-12s", "  of peak");
  for (int k = 0; k < SHAPES; k++)
    for (int wide = 0; wide < 2; wide++)
      printf(wide ? " %4.0f%% " : "  %4.0f%%",
             100 * macs[k][wide] / hertz / peak(form, wide));
  printf("\n");
}

int main(int argc, char **argv) {
  const nn_int_form *form;
  nn_error err;
  unsigned x = 1;
  for (size_t i = 0; i < sizeof(weight); i++)
    weight[i] = (int8_t)((x = x * 69069 + 1) >> 24);
  for (size_t i = 0; i < sizeof(plane); i++)
    plane[i] = (uint8_t)((x = x * 69069 + 1) >> 25);
  print_cpu();
  double hertz = giga_hertz();
  printf("clock %.2f GHz, by dependent additions\n", hertz);
  if (nn_amx_request(&err)) printf("no amx: %s\n", err.text);
  printf("%-12s", "taps x in");
  for (int i = 0; i < SHAPES; i++)
    printf("  %7dx%-4d", shapes[i][0], 4 * shapes[i][1]);
  printf("  ns/byte\n");
  for (int i = 0; (form = nn_int_kernels(i)) != NULL; i++) {
    if (argc > 1 && strcmp(argv[1], form->name) != 0) continue;
    print_form(form, hertz);
  }
  return 0;
}

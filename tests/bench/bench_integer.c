/*
** How fast the kernels of integer networks are, without the layers around them.
**
**   bench_integer [FORM]
**
** Filters of 3x3 over a plane of 16x16, for a few numbers of channels, and 1x1.
** A line per form: thousands of millions of multiply-adds a second, of sums and
** of wide, then nanoseconds of requantisation per byte.  Processor time, the
** best of many runs.
*/
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../../nn/nn_int.h"

#define SIDE 16
#define POSITIONS (SIDE * SIDE)
#define TAPS_MAX 9
#define QUADS_MAX 96
#define SECONDS 0.3

static uint8_t plane[(SIDE + 2) * (SIDE + 2) * 4 * QUADS_MAX];
static _Alignas(64) int8_t weight[TAPS_MAX * QUADS_MAX * NN_INT_BLOCK * 4];
static int32_t out[POSITIONS * NN_INT_BLOCK];
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

static double giga_macs(const nn_int_form *form, int wide, int taps,
                        int quads) {
  double best = 1e9, start = now();
  /* Long enough for the clock. */
  int repeats = 1 + 4000 / (taps * quads);
  point(form->rows, taps, quads);
  while (now() - start < SECONDS) {
    double before = now();
    for (int repeat = 0; repeat < repeats; repeat++)
      for (int p = 0; p < POSITIONS; p += form->rows) {
        int rows = POSITIONS - p < form->rows ? POSITIONS - p : form->rows;
        (wide ? form->wide : form->sums)(rows, taps, quads, in + p * taps,
                                         weight, out + p * NN_INT_BLOCK);
      }
    double took = now() - before;
    if (took < best) best = took;
  }
  return 4.0 * repeats * POSITIONS * taps * quads * NN_INT_BLOCK / best / 1e9;
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

int main(int argc, char **argv) {
  static const int shapes[][2] = {{9, 1}, {9, 16}, {9, 32}, {9, 96}, {1, 32}};
  const nn_int_form *form;
  unsigned x = 1;
  for (size_t i = 0; i < sizeof(weight); i++)
    weight[i] = (int8_t)((x = x * 69069 + 1) >> 24);
  for (size_t i = 0; i < sizeof(plane); i++)
    plane[i] = (uint8_t)((x = x * 69069 + 1) >> 25);
  print_cpu();
  printf("%-12s", "taps x in");
  for (size_t i = 0; i < sizeof(shapes) / sizeof(*shapes); i++)
    printf("  %7dx%-4d", shapes[i][0], 4 * shapes[i][1]);
  printf("  ns/byte\n");
  for (int i = 0; (form = nn_int_kernels(i)) != NULL; i++) {
    if (argc > 1 && strcmp(argv[1], form->name) != 0) continue;
    printf("%-12s", form->name);
    for (size_t k = 0; k < sizeof(shapes) / sizeof(*shapes); k++)
      printf("  %5.1f %5.1f ", giga_macs(form, 0, shapes[k][0], shapes[k][1]),
             giga_macs(form, 1, shapes[k][0], shapes[k][1]));
    printf("  %7.3f\n", nanoseconds(form));
  }
  return 0;
}

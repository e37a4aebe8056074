/*
** How fast the kernels of integer networks are, without the layers around them.
**
**   bench_integer [FORM]
**
** Filters of 3x3 over a plane of 16x16, for a few numbers of channels, and 1x1.
** A line per form: thousands of millions of multiply-adds a second, of sums and
** of wide, then nanoseconds of requantisation per byte.  Under it, what share
** that is of what the form's instructions could do at this clock: two of them a
** cycle, but of AMX's one in 16.  Of a form that takes many blocks of sixteen
** outputs at once a third number is of that: a panel of rows that are gathered,
** by 128 outputs.  Bytes of a row of 256 channels, and of rows of 16.
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
#define BLOCKS_MAX 8   /* 128 outputs */
#define ROW_MAX (TAPS_MAX * QUADS_MAX * 4 + 64)
#define SECONDS 0.3

static uint8_t plane[(SIDE + 2) * (SIDE + 2) * 4 * QUADS_MAX];
static _Alignas(64) int8_t weight[BLOCKS_MAX * TAPS_MAX * QUADS_MAX *
                                  NN_INT_BLOCK * 4 + NN_INT_SLACK];
static int32_t out[BLOCKS_MAX * POSITIONS * NN_INT_BLOCK];
static const uint8_t *in[POSITIONS * TAPS_MAX];
static uint8_t panel[NN_INT_PANEL * ROW_MAX];

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

/* Multiply-adds a cycle: what two ports for vectors do, of many the unit for
** tiles.  0: nobody has counted. */
static int peak(const nn_int_form *form, int how) {
  static const struct {
    const char *name;
    int sums, many;
  } peaks[] = {
      {"avx2", 32, 0},         /* VPMADDUBSW and VPMADDWD; two VPMADDWD */
      {"avxvnni", 64, 0},
      {"avx512vnni", 128, 128},
      {"amx", 128, 1024},      /* 16384 in 16 cycles */
      {"neondot", 32, 0},
      {"neoni8mm", 32, 0},
  };
  for (size_t i = 0; i < sizeof(peaks) / sizeof(*peaks); i++)
    if (strcmp(form->name, peaks[i].name) == 0)
      return how == 2 ? peaks[i].many : peaks[i].sums;
  return 0;
}

static void run_sums(const nn_int_form *form, int wide, int taps, int quads) {
  for (int p = 0; p < POSITIONS; p += form->rows) {
    int rows = POSITIONS - p < form->rows ? POSITIONS - p : form->rows;
    (wide ? form->wide : form->sums)(rows, taps, quads, in + p * taps, weight,
                                     out + p * NN_INT_BLOCK);
  }
}

static void run_many(const nn_int_form *form, int taps, int quads) {
  size_t apart = (size_t)(taps * quads) * NN_INT_BYTES;
  if (form->open) form->open();
  for (int b = 0; b < BLOCKS_MAX; b += NN_INT_PANEL_BLOCKS)
    form->many(NN_INT_PANEL_BLOCKS, apart, form->panel,
               (size_t)(taps * quads), panel, ROW_MAX,
               weight + (size_t)b * apart, out);
  if (form->close) form->close();
}

/* How: sums, wide, many. */
static double giga_macs(const nn_int_form *form, int how, int taps,
                        int quads) {
  double best = 1e9, start = now();
  double rows = how < 2 ? POSITIONS : form->panel * BLOCKS_MAX;
  /* Long enough for the clock. */
  int repeats = 1 + 4000 / (taps * quads);
  point(form->rows, taps, quads);
  while (now() - start < SECONDS) {
    double before = now();
    for (int repeat = 0; repeat < repeats; repeat++) {
      if (how < 2) run_sums(form, how, taps, quads);
      else run_many(form, taps, quads);
    }
    double took = now() - before;
    if (took < best) best = took;
  }
  return 4.0 * repeats * rows * taps * quads * NN_INT_BLOCK / best / 1e9;
}

/* Of a row of 256 channels, or of 36 rows of 16. */
static double nanoseconds(const nn_int_form *form, int rows) {
  static int32_t bias[POSITIONS], m[POSITIONS], s[POSITIONS];
  static uint8_t bytes[POSITIONS * NN_INT_BLOCK];
  double best = 1e9, start = now();
  int n = rows > 1 ? NN_INT_BLOCK : POSITIONS;
  for (int i = 0; i < POSITIONS; i++) m[i] = 1 << 30, s[i] = 40;
  while (now() - start < SECONDS) {
    double before = now();
    for (int p = 0; p < 640; p++)
      form->bytes(rows, n, out + p % 15 * POSITIONS, bias, m, s, 0, 127, bytes,
                  64);
    double took = now() - before;
    if (took < best) best = took;
  }
  return best * 1e9 / (640 * rows * n);
}

#define SHAPES 5
static const int shapes[SHAPES][2] = {
    {9, 1}, {9, 16}, {9, 32}, {9, 96}, {1, 32}};

static void print_form(const nn_int_form *form, double hertz) {
  double macs[SHAPES][3];
  const int ways = form->many ? 3 : 2;
  printf("%-11s", form->name);
  for (int k = 0; k < SHAPES; k++)
    for (int how = 0; how < 3; how++) {
      macs[k][how] = how < ways ? giga_macs(form, how, shapes[k][0],
                                            shapes[k][1]) : 0;
      if (how < ways) printf("%5.0f", macs[k][how]);
      else printf("%5s", "");
    }
  printf(" %7.3f", nanoseconds(form, 1));
  printf(" %7.3f\n", nanoseconds(form, NN_INT_PANEL));
  if (!peak(form, 0)) return;
  printf("%-11s", "  of peak");
  for (int k = 0; k < SHAPES; k++)
    for (int how = 0; how < 3; how++) {
      if (how < ways)
        printf("%4.0f%%", 100 * macs[k][how] / hertz / peak(form, how));
      else
        printf("%5s", "");
    }
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
  printf("%-11s", "taps x in");
  for (int i = 0; i < SHAPES; i++)
    printf("  %8dx%-4d", shapes[i][0], 4 * shapes[i][1]);
  printf(" ns/byte of rows\n");
  for (int i = 0; (form = nn_int_kernels(i)) != NULL; i++) {
    if (argc > 1 && strcmp(argv[1], form->name) != 0) continue;
    print_form(form, hertz);
  }
  return 0;
}

/*
** What the benchmark of the index prints: the machine, then a line for each
** piece of work, with the peer's figure, ours, how many times ours is better
** (below 1 it is worse), and what was to be reached with a yes or a no.
*/
#include <stdio.h>
#include <string.h>

#include "bench_index.h"

/* The CPU and those of its features for which somebody has kernels. */
void bench_print_machine(void) {
  static const char *const wanted[] = {
      "popcnt", "avx2", "avx512f", "avx512bw", "avx512vbmi",
      "avx512_vpopcntdq", "avx512_bitalg", "asimd", NULL};
  char line[8192], features[256] = "", name[256] = "unknown\n";
  FILE *f = fopen("/proc/cpuinfo", "r");
  while (f && fgets(line, sizeof(line), f)) {
    if (strncmp(line, "model name", 10) == 0 && strchr(line, ':'))
      snprintf(name, sizeof(name), "%.250s", strchr(line, ':') + 2);
    if ((strncmp(line, "flags", 5) != 0 && strncmp(line, "Features", 8) != 0) ||
        features[0])
      continue;
    for (char *word = strtok(line, " \t\n"); word; word = strtok(NULL, " \t\n"))
      for (int i = 0; wanted[i]; i++)
        if (strcmp(word, wanted[i]) == 0) {
          strcat(features, " ");
          strcat(features, word);
        }
  }
  if (f) fclose(f);
  printf("CPU: %sfeatures:%s\nSQLite %s\n", name, features,
         sqlite3_libversion());
}

void bench_head(void) {
  printf("\n%-44s %-24s %10s %10s %-8s %8s  %s\n", "work", "peer", "peer's",
         "ours", "unit", "ratio", "to reach");
}

/* theirs below 0: there is no peer.  Of rows/s more is better, of all else
** less. */
void bench_line(const char *work, const char *peer, double theirs, double ours,
                const char *unit, int goal, double value) {
  int rate = strstr(unit, "/s") != NULL, reached = 0;
  double ratio = rate ? ours / theirs : theirs / ours;
  printf("%-44s %-24s ", work, peer);
  if (theirs <= 0) {
    printf("%10s %10.3f %-8s %8s", "-", ours, unit, "-");
  } else {
    printf("%10.3f %10.3f %-8s %8.2f", theirs, ours, unit, ratio);
  }
  switch (goal) {
    case RATIO:
      reached = ratio >= value;
      printf("  %.2f times", value);
      break;
    case AT_MOST:
      reached = ours <= value;
      printf("  at most %g %s", value, unit);
      break;
    case AT_LEAST:
      reached = ours >= value;
      printf("  at least %g %s", value, unit);
      break;
    default: break;
  }
  printf("%s\n", goal == NO_GOAL ? "" : reached ? ": yes" : ": no");
  fflush(stdout);
}

const char *bench_count(size_t rows) {
  static char name[24];
  snprintf(name, sizeof(name), rows % BENCH_MILLION ? "%.2fM" : "%.0fM",
           (double)rows / BENCH_MILLION);
  return name;
}

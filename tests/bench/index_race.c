/*
** How systems are measured against each other: in one run, taking turns, so
** that a busy machine slows all of them alike.  What is told is the processor
** time of the one thread that works, for on the clock on the wall a query of
** 20 ms loses its turn to other programs far more often than one of 0.2 ms.
** Where several threads work the wall is all there is.
**
** Each answers queries that do not count until it is warm: caches loaded,
** indexes built.  Then come rounds.  A round gives every system in turn one
** query that does not count, because the one before has filled the processor's
** caches with its own data, and three that do; no query comes twice.  What is
** told is the median.  A system that takes seconds gets fewer rounds.
**
** Answers are compared: the distances of all exact systems must be equal, and
** of the others the recall is told, which is the share of answers that are no
** farther than the last true one.  The first system is the one that the others
** are held against, and has all its rounds.
*/
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench_index.h"

#define WARM_MS 1500.0         /* what a system may spend on warming up */
#define SPENT_MS 15000.0       /* and on rounds; two it gets at least */
#define SYSTEMS_MAX 16

double bench_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

double bench_cpu(void) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static int compare_doubles(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return x < y ? -1 : x > y;
}

double bench_median(double *values, int n) {
  if (n == 0) return 0;
  qsort(values, (size_t)n, sizeof(*values), compare_doubles);
  return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

static double ask(bench_runner *r, int query, int k) {
  double ms = r->run(r, query, k);
  if (ms < 0) {
    fprintf(stderr, "bench_index: %s gave no answer\n", r->name);
    exit(1);
  }
  return ms;
}

/* Whether a system agrees with the first one, as far as it should.  A system
** that finds no rows at all only reads. */
static int agrees(bench_runner *r, const bench_runner *first, int k) {
  if (r->found == 0 && r->exact < 0) return 1;
  if (r->exact)
    return r->found == first->found &&
           memcmp(r->distances, first->distances,
                  (size_t)first->found * sizeof(int)) == 0;
  int good = 0;
  for (int i = 0; i < r->found; i++)
    good += r->distances[i] <= first->distances[first->found - 1];
  r->recall += (double)good / k;
  return 1;
}

int bench_race(bench_runner *runners, int n, int k) {
  double spent[SYSTEMS_MAX] = {0};
  int equal = 1;
  for (int i = 0; i < n; i++) {
    bench_runner *r = &runners[i];
    r->counted = 0;
    r->recall = r->slowest_warm = 0;
    double start = bench_now();
    for (int q = 0; q < BENCH_WARM && bench_now() - start < WARM_MS; q++) {
      double ms = ask(r, q, k);
      if (ms > r->slowest_warm) r->slowest_warm = ms;
    }
  }
  for (int round = 0; round < BENCH_ROUNDS; round++) {
    int answers[BENCH_BURST][BENCH_K_MAX], found[BENCH_BURST];
    for (int i = 0; i < n; i++) {
      bench_runner *r = &runners[i], first;
      if (i > 0 && round >= 2 && spent[i] > SPENT_MS) continue;
      int q = BENCH_WARM + round * (BENCH_BURST + 1);
      spent[i] += ask(r, q, k);
      for (int j = 0; j < BENCH_BURST; j++) {
        double ms = ask(r, q + 1 + j, k);
        spent[i] += ms;
        r->times[r->counted++] = ms;
        if (i == 0) {
          memcpy(answers[j], r->distances, sizeof(answers[j]));
          found[j] = r->found;
        }
        memcpy(first.distances, answers[j], sizeof(answers[j]));
        first.found = found[j];
        if (agrees(r, &first, k)) continue;
        printf("  MISMATCH: %s and %s differ, query %d of %s, k = %d\n",
               r->name, runners[0].name, q + 1 + j, r->codes->name, k);
        equal = 0;
      }
    }
  }
  for (int i = 0; i < n; i++) {
    bench_runner *r = &runners[i];
    r->median = bench_median(r->times, r->counted);
    r->recall /= r->counted;
  }
  return equal;
}

/*
** Between pairs.c and join.c: the join of distinct codes, and what both use.
*/
#ifndef BINHASH_NN_JOIN_H
#define BINHASH_NN_JOIN_H

#include "nn_int.h"

/* Work, in comparisons of short codes, between two questions whether to stop:
** a few milliseconds. */
#define NN_POLLER_WORK 1000000

typedef struct nn_poller {
  int (*ask)(void *);         /* NULL: nobody wants to stop */
  void *context;
  int64_t left;               /* work until it is asked again */
} nn_poller;

static inline int nn_poller_stops(nn_poller *poller, uint64_t work) {
  poller->left -= (int64_t)work;
  if (poller->left >= 0) return 0;
  poller->left = NN_POLLER_WORK;
  return poller->ask && poller->ask(poller->context);
}

/* Sort n numbers by the `bits` bits above the low 32, in the order in which
** they stood where those are equal.  spare: room for n.  0: stopped. */
int nn_sort_keys(uint64_t *entries, uint64_t *spare, uint32_t n, int bits,
                 nn_poller *poller);

typedef struct nn_joined {
  uint32_t a, b;              /* numbers of codes, a and b in any order */
  int distance;
} nn_joined;

/* How codes are joined; the results are the same. */
enum {
  NN_JOIN_BEST = -2,
  NN_JOIN_ALL = -1,           /* every code with every other */
  NN_JOIN_EQUAL = 0,          /* those that have a substring in common */
  NN_JOIN_NEAR = 1            /* ... but for one bit of it */
};

typedef struct nn_join nn_join;

/* codes: `count` of them, each `words` words, no two equal; they must outlive
** the join.  max_distance: 1 or more. */
nn_status nn_join_open(const nn_memory *mem, const uint64_t *codes,
                       uint32_t count, int words, int max_distance, int way,
                       nn_join **out, nn_error *err);
/* Some more pairs within the distance, valid until the next call; *n is 0 after
** the last.  After an error it can only be closed. */
nn_status nn_join_next(nn_join *join, nn_poller *poller,
                       const nn_joined **pairs, uint32_t *n, nn_error *err);
void nn_join_close(nn_join *join);   /* NULL is fine */
/* The way it has taken; known after the first nn_join_next. */
int nn_join_way(const nn_join *join);

#endif

/*
** What the evaluation computes; eval.c gives it to SQL.
*/
#ifndef BINHASH_EVAL_H
#define BINHASH_EVAL_H

#include <stdint.h>

/* Seeded orders of the database, which break ties. */
#define EVAL_SHUFFLES 5
#define EVAL_RADIUS 2
#define EVAL_LEFT_OUT 0xffff

/* A database of codes and what one query found in it. */
typedef struct eval_ranking {
  int bytes;                    /* of a code, 1 to 128 */
  int n, room;
  uint8_t *codes;               /* n of them */
  int64_t *ids, *labels;
  int *order[EVAL_SHUFFLES];
  /* Of the query last asked for: rows and hits by distance; for each row twice
  ** its distance, plus one if it is a hit, or EVAL_LEFT_OUT; and the hits in
  ** their order. */
  uint16_t *found;
  uint8_t *ranked;
  int64_t rows[1025], hits[1025];
} eval_ranking;

/* Figures of the first k rows: the expected values over all orders of ties. */
typedef struct eval_figures {
  double ap;                    /* over the hits that were found */
  double ap_min;                /* over min(relevant, k) */
  double precision;
} eval_figures;

/* 0, or -1 when there is no memory. */
int eval_add(eval_ranking *, const uint8_t *code, int64_t id, int64_t label);
int eval_ready(eval_ranking *);
void eval_clear(eval_ranking *);

/* Ranks the database by the least distance to `views` codes that follow each
** other; the row called *id, if any, is left out; hits have *label, if any. */
void eval_ask(eval_ranking *, const uint8_t *codes, int views,
              const int64_t *id, const int64_t *label);
eval_figures eval_expected(const eval_ranking *, int64_t k);
/* Average precision over the hits found among the first k[i] rows, ties in a
** seeded order. */
void eval_shuffled(eval_ranking *, int shuffle, int cuts, const int64_t *k,
                   double *ap);
double eval_ball(const eval_ranking *);

/* 1 + 1/2 + ... + 1/n. */
double eval_harmonic(int64_t n);

/* Bits that depend on the seed alone. */
uint64_t eval_noise(int64_t seed);

typedef struct eval_bits {
  double least, most;           /* share of ones of a bit */
  double bias;                  /* mean distance of that share from a half */
  double correlation;           /* mean size over pairs of bits that vary */
} eval_bits;
eval_bits eval_bits_of(const eval_ranking *, int bits);

/* The perceptual hash of 32x32 pixels, planes of red, green, blue. */
uint64_t eval_phash(const float *pixels);

#endif

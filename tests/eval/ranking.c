/*
** Figures of a ranking by Hamming distance.
**
** A query sorts a database of codes by distance.  Codes are short, so most rows
** share their distance with many others, and the order of these is nobody's:
** figures are given as expected values over all orders, computed in closed form
** (after He, Cakir, Bargal and Sclaroff, "Hashing as Tie-Aware Learning to
** Rank", CVPR 2018), and again for seeded orders of the database, as a program
** would rank that breaks ties in the order of its rows.  The two check each
** other.
**
** A group of c rows at one distance, behind n0 rows with r0 hits, holds m hits.
** In a random order the row i of the group (from 1) is a hit with probability
** m/c, and then there are r0 + 1 + (i-1)(m-1)/(c-1) hits up to it, so that the
** precisions at the hits of the group add up to
**
**     m/c * sum over i of (r0 + 1 + (i-1)(m-1)/(c-1)) / (n0 + i)
**
** which is two differences of harmonic numbers.  Where the first k rows end
** within a group of n rows with r hits, the number of hits among the first c of
** them is hypergeometric.  Average precision over the hits found divides by
** that number, so its expected value is taken over each number, by its
** probability.
**
** It knows no SQLite.
*/
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "eval.h"

static int ranking_grow(eval_ranking *r) {
  int room = r->room ? 2 * r->room : 1024;
  uint8_t *codes = realloc(r->codes, (size_t)room * r->bytes);
  if (codes) r->codes = codes;
  int64_t *ids = realloc(r->ids, room * sizeof *ids);
  if (ids) r->ids = ids;
  int64_t *labels = realloc(r->labels, room * sizeof *labels);
  if (labels) r->labels = labels;
  if (!codes || !ids || !labels) return -1;
  r->room = room;
  return 0;
}

int eval_add(eval_ranking *r, const uint8_t *code, int64_t id, int64_t label) {
  if (r->n == r->room && ranking_grow(r)) return -1;
  memcpy(r->codes + (size_t)r->n * r->bytes, code, r->bytes);
  r->ids[r->n] = id;
  r->labels[r->n++] = label;
  return 0;
}

static uint64_t ranking_random(uint64_t *state) {  /* splitmix64 */
  uint64_t z = (*state += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

uint64_t eval_noise(int64_t seed) {
  uint64_t state = (uint64_t)seed;
  return ranking_random(&state);
}

int eval_ready(eval_ranking *r) {
  size_t n = r->n ? r->n : 1;
  r->found = malloc(n * sizeof *r->found);
  r->ranked = malloc(n);
  if (!r->found || !r->ranked) return -1;
  for (int s = 0; s < EVAL_SHUFFLES; s++) {
    int *order = r->order[s] = malloc(n * sizeof *order);
    if (!order) return -1;
    uint64_t state = s + 1;
    for (int i = 0; i < r->n; i++) {
      int j = ranking_random(&state) % (uint64_t)(i + 1);
      order[i] = order[j];
      order[j] = i;
    }
  }
  return 0;
}

void eval_clear(eval_ranking *r) {
  for (int s = 0; s < EVAL_SHUFFLES; s++) free(r->order[s]);
  free(r->codes);
  free(r->ids);
  free(r->labels);
  free(r->found);
  free(r->ranked);
  memset(r, 0, sizeof *r);
}

static int ranking_distance(const uint8_t *a, const uint8_t *b, int bytes) {
  int d = 0, i = 0;
  for (; i + 8 <= bytes; i += 8) {
    uint64_t x, y;
    memcpy(&x, a + i, 8);
    memcpy(&y, b + i, 8);
    d += __builtin_popcountll(x ^ y);
  }
  for (; i < bytes; i++) d += __builtin_popcount(a[i] ^ b[i]);
  return d;
}

void eval_ask(eval_ranking *r, const uint8_t *codes, int views,
              const int64_t *id, const int64_t *label) {
  memset(r->rows, 0, sizeof r->rows);
  memset(r->hits, 0, sizeof r->hits);
  for (int j = 0; j < r->n; j++) {
    if (id && r->ids[j] == *id) {
      r->found[j] = EVAL_LEFT_OUT;
      continue;
    }
    const uint8_t *row = r->codes + (size_t)j * r->bytes;
    int d = ranking_distance(codes, row, r->bytes);
    for (int v = 1; v < views; v++) {
      int e = ranking_distance(codes + v * r->bytes, row, r->bytes);
      if (e < d) d = e;
    }
    int hit = label && r->labels[j] == *label;
    r->found[j] = (uint16_t)(2 * d + hit);
    r->rows[d]++;
    r->hits[d] += hit;
  }
}

double eval_harmonic(int64_t n) {
  if (n > 30) {  /* the terms left out are below 1e-14 */
    double x = n, y = 1 / (x * x);
    return log(x) + 0.57721566490153286061 + 1 / (2 * x) -
           y * (1.0 / 12 - y * (1.0 / 120 - y / 252));
  }
  double h = 0;
  for (int64_t i = n; i > 0; i--) h += 1.0 / i;
  return h;
}

/* The expected sum of precisions at m hits among c rows of one distance,
** behind n0 rows with r0 hits. */
static double ranking_group(int64_t n0, int64_t r0, int64_t c, int64_t m) {
  if (m == 0) return 0;
  double a = eval_harmonic(n0 + c) - eval_harmonic(n0);
  double more = c > 1 ? (m - 1.0) / (c - 1) : 0;
  return (double)m / c * ((r0 + 1) * a + more * (c - (n0 + 1) * a));
}

static double ranking_log_choose(int64_t n, int64_t k) {
  return lgamma(n + 1.0) - lgamma(k + 1.0) - lgamma(n - k + 1.0);
}

/* The first k rows end behind c of the n rows, r of them hits, that follow n0
** rows with r0 hits whose precisions add up to `sum`. */
static void ranking_cut(int64_t n0, int64_t r0, double sum, int64_t n,
                        int64_t r, int64_t c, double *ap, double *total) {
  int64_t low = c - (n - r) > 0 ? c - (n - r) : 0, high = r < c ? r : c;
  double ways = ranking_log_choose(n, c), all = 0;
  *ap = *total = 0;
  for (int64_t m = low; m <= high; m++) {
    double q = exp(ranking_log_choose(r, m) +
                   ranking_log_choose(n - r, c - m) - ways);
    if (q < 1e-18) continue;
    double precisions = sum + ranking_group(n0, r0, c, m);
    all += q;
    *total += q * precisions;
    if (r0 + m) *ap += q * precisions / (r0 + m);
  }
  *ap /= all;
  *total /= all;
}

eval_figures eval_expected(const eval_ranking *r, int64_t k) {
  int64_t n0 = 0, r0 = 0, relevant = 0, rows = 0;
  for (int d = 0; d <= 8 * r->bytes; d++) {
    relevant += r->hits[d];
    rows += r->rows[d];
  }
  if (k <= 0 || k > rows) k = rows;
  double sum = 0, ap = 0, precisions = 0, hits = 0;
  for (int d = 0; d <= 8 * r->bytes && n0 < k; d++) {
    int64_t n = r->rows[d], m = r->hits[d];
    int64_t c = n < k - n0 ? n : k - n0;
    if (n == 0) continue;
    if (c < n) {
      ranking_cut(n0, r0, sum, n, m, c, &ap, &precisions);
    } else {
      sum += ranking_group(n0, r0, n, m);
      precisions = sum;
      ap = r0 + m ? sum / (r0 + m) : 0;
    }
    hits = r0 + (double)m * c / n;
    n0 += c;
    r0 += m;
  }
  int64_t most = relevant < k ? relevant : k;
  return (eval_figures){ap, most ? precisions / most : 0, k ? hits / k : 0};
}

void eval_shuffled(eval_ranking *r, int shuffle, int cuts, const int64_t *k,
                   double *ap) {
  int64_t start[1026];
  start[0] = 0;
  for (int d = 0; d <= 8 * r->bytes; d++) start[d + 1] = start[d] + r->rows[d];
  int64_t rows = start[8 * r->bytes + 1];
  for (int i = 0; i < r->n; i++) {
    unsigned found = r->found[r->order[shuffle][i]];
    if (found != EVAL_LEFT_OUT) r->ranked[start[found / 2]++] = found & 1;
  }
  for (int c = 0; c < cuts; c++) {
    int64_t n = k[c] <= 0 || k[c] > rows ? rows : k[c], hits = 0;
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
      if (r->ranked[i]) sum += (double)++hits / (i + 1);
    }
    ap[c] = hits ? sum / hits : 0;
  }
}

/* Precision within a small radius; an empty ball has none. */
double eval_ball(const eval_ranking *r) {
  int64_t rows = 0, hits = 0;
  for (int d = 0; d <= EVAL_RADIUS; d++) {
    rows += r->rows[d];
    hits += r->hits[d];
  }
  return rows ? (double)hits / rows : 0;
}

static int ranking_bit(const eval_ranking *r, int row, int bit) {
  return r->codes[(size_t)row * r->bytes + bit / 8] >> (7 - bit % 8) & 1;
}

static double ranking_share(const eval_ranking *r, int a, int b) {
  int n = 0;
  for (int i = 0; i < r->n; i++) {
    n += ranking_bit(r, i, a) & ranking_bit(r, i, b);
  }
  return (double)n / r->n;
}

/* How evenly the bits of the codes are used, and how independently. */
eval_bits eval_bits_of(const eval_ranking *r, int bits) {
  eval_bits out = {1, 0, 0, 0};
  double share[1024], pairs = 0;
  for (int a = 0; a < bits; a++) {
    double p = share[a] = ranking_share(r, a, a);
    out.bias += fabs(p - 0.5) / bits;
    if (p < out.least) out.least = p;
    if (p > out.most) out.most = p;
    for (int b = 0; b < a; b++) {
      double q = share[b], spread = sqrt(p * (1 - p) * q * (1 - q));
      if (spread == 0) continue;
      out.correlation += fabs(ranking_share(r, a, b) - p * q) / spread;
      pairs++;
    }
  }
  if (pairs) out.correlation /= pairs;
  return out;
}

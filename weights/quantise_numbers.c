/*
** Scales, zero points and fractions: how the quantiser gets from what numbers
** look like to the few constants of an integer layer.
**
** A scale is a number of 16 significant bits and is rounded to one before
** anything is computed from it.  A range is chosen for its squared error over
** the values that were seen, among the full one and shares of it: a few values
** far out cost less when they are cut off than when everything else becomes
** coarser for them.  The same holds for the unit of a filter's weights.
*/
#include <math.h>

#include "quantise.h"

/* The nearest number of 16 significant bits. */
double quantise_round16(double x) {
  int exponent;
  double mantissa = frexp(x, &exponent);
  return ldexp(rint(mantissa * 65536), exponent - 16);
}

/* ratio = m / 2^s as exactly as 31 bits say it; 0 if it is 2^30 or more. */
int quantise_fraction(double ratio, int32_t *m, int32_t *s) {
  int exponent;
  frexp(ratio, &exponent);
  int shift = ratio > 0 && 31 - exponent < 62 ? 31 - exponent : 62;
  double scaled = rint(ldexp(ratio, shift));
  if (scaled >= 0x1p31) {
    scaled = scaled / 2;
    shift--;
  }
  if (shift < 1) return 0;
  *m = (int32_t)scaled;
  *s = shift;
  return 1;
}

/* One shift for all bottoms of a join, the largest for which no sum leaves 32
** bits; most: the largest |q - zero point| of each.  0 if there is none. */
int quantise_shared_fractions(const double *ratios, const int *most, int n,
                              int sum, int *m, int *shift) {
  for (int s = 30; s > 0; s--) {
    double worst = 0, largest = 0;
    for (int j = 0; j < n; j++) {
      double factor = rint(ldexp(ratios[j], s)), one = fabs(factor) * most[j];
      worst = sum ? worst + one : fmax(worst, one);
      largest = fmax(largest, fabs(factor));
      if (fabs(factor) <= 0x1p30) m[j] = (int)factor;
    }
    if (worst + ldexp(1, s - 1) < 0x1p31 && largest <= 0x1p30) {
      *shift = s;
      return 1;
    }
  }
  return 0;
}

/* The scale and the zero point of bytes from 0 to top that hold low to high. */
double quantise_byte_scale(double low, double high, int top, int *zero) {
  double scale = 0x1p-60;
  low = fmin(low, 0);
  high = fmax(high, 0);
  *zero = 0;
  if (low == high) return 1;
  *zero = (int)rint(-low / (high - low) * top);
  if (low < 0) {
    int most = high > 0 ? top - 1 : top;
    *zero = *zero < 1 ? 1 : *zero > most ? most : *zero;
  }
  if (*zero < top) scale = fmax(scale, high / (top - *zero));
  if (*zero) scale = fmax(scale, -low / *zero);
  return fmin(quantise_round16(scale), 0x1p60);
}

/* Ranges ------------------------------------------------------------------ */

/* The bins that have values: where those are, and how many. */
typedef struct numbers_bins {
  double centre[QUANTISE_BINS], count[QUANTISE_BINS];
  int n;
} numbers_bins;

static void numbers_seen(const quantise_values *v, int positive,
                         numbers_bins *bins) {
  bins->n = 0;
  for (int i = positive ? QUANTISE_BINS / 2 : 0; i < QUANTISE_BINS; i++) {
    if (!v->count[i]) continue;
    bins->count[bins->n] = (double)v->count[i];
    bins->centre[bins->n++] = fmin(v->sum[i] / (double)v->count[i], v->cap);
  }
}

/* rint of what is far below 2^51, which no baseline has an instruction for. */
static inline double numbers_rint(double x) {
  return (x + 0x1.8p52) - 0x1.8p52;
}

static inline double numbers_limit(double x, double low, double high) {
  x = x < low ? low : x;
  return x > high ? high : x;
}

/* The squared error of all values in bytes of that range. */
static double numbers_error(const numbers_bins *bins, double low, double high,
                            int top) {
  int zero;
  double scale = quantise_byte_scale(low, high, top, &zero), error = 0;
  for (int i = 0; i < bins->n; i++) {
    double q = numbers_rint(bins->centre[i] / scale);
    q = numbers_limit(q, -zero, top - zero) * scale -
        bins->centre[i];
    error += bins->count[i] * q * q;
  }
  return error;
}

void quantise_best_range(const quantise_values *v, int positive, int top,
                         double *low, double *high) {
  numbers_bins bins;
  numbers_seen(v, positive, &bins);
  double full_low = positive ? 0 : fmin(v->low, 0);
  double full_high = fmin(fmax(v->high, 0), v->cap), best = INFINITY;
  *low = full_low;
  *high = full_high;
  for (int a = 40; a > (full_low < 0 ? 8 : 39); a--) {
    for (int b = 40; b > (full_high > 0 ? 8 : 39); b--) {
      double try_low = full_low * a / 40, try_high = full_high * b / 40;
      double error = numbers_error(&bins, try_low, try_high, top);
      if (error >= best) continue;
      best = error;
      *low = try_low;
      *high = try_high;
    }
  }
}

/* Weights ----------------------------------------------------------------- */

static double numbers_squared_error(const float *weight, size_t n,
                                    double unit) {
  double error = 0;
  for (size_t i = 0; i < n; i++) {
    double q = numbers_rint(weight[i] / unit);
    q = numbers_limit(q, -QUANTISE_WEIGHT, QUANTISE_WEIGHT) * unit - weight[i];
    error += q * q;
  }
  return error;
}

/* The unit of least squared error of n weights, 0 if all are 0. */
void quantise_weight_unit(const float *weight, size_t n, double *unit,
                          double *error) {
  double most = 0;
  for (size_t i = 0; i < n; i++) most = fmax(most, fabs((double)weight[i]));
  *unit = most / QUANTISE_WEIGHT;
  *error = 0;
  if (*unit == 0) return;
  *error = INFINITY;
  for (int share = 50; share > 24; share--) {
    double try = most * share / 50 / QUANTISE_WEIGHT;
    double got = numbers_squared_error(weight, n, try);
    if (got >= *error) continue;
    *error = got;
    *unit = try;
  }
}

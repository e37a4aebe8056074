/*
** Arithmetic of constants: what onnx_fold.c has not got to move but to compute.
**
** Shapes are joined as ONNX joins them, from the last side on; an array that is
** stretched is written out, since these are sides of shapes and now and then a
** channel's worth of numbers.  Floats are computed in double and rounded once,
** integers wrap as those of the frameworks do.
*/
#include <math.h>
#include <string.h>

#include "onnx.h"

/* Broadcasting ------------------------------------------------------------- */

/* The sides that two arrays have together. */
static nn_status compute_together(onnx *o, int rank_a, const int64_t *a,
                               const onnx_tensor *b, int *rank,
                               int64_t *dims) {
  *rank = rank_a > b->rank ? rank_a : b->rank;
  for (int i = 0; i < *rank; i++) {
    int ia = i - (*rank - rank_a), ib = i - (*rank - b->rank);
    int64_t x = ia < 0 ? 1 : a[ia], y = ib < 0 ? 1 : b->dims[ib];
    if (x != y && x != 1 && y != 1) {
      return onnx_fail(o, "%s does not go with %s",
                       import_shape_text(o->im, rank_a, a),
                       import_shape_text(o->im, b->rank, b->dims));
    }
    dims[i] = x == 1 ? y : x;
  }
  return NN_OK;
}

static nn_status compute_stretch(onnx *o, const onnx_tensor *t, int rank,
                              const int64_t *dims, const onnx_tensor **out) {
  int64_t own[ONNX_RANK], stride[ONNX_RANK];
  onnx_fold_strides(t, own);
  for (int i = 0; i < rank; i++) {
    int k = i - (rank - t->rank);
    stride[i] = k < 0 || t->dims[k] == 1 ? 0 : own[k];
  }
  return onnx_fold_take(o, t, rank, dims, stride, 0, out);
}

nn_status onnx_fold_expand(onnx *o) {
  const onnx_tensor *t, *out;
  const int64_t *list;
  int64_t dims[ONNX_RANK];
  int n, rank;
  nn_status status = onnx_constant(o, 0, &t);
  if (!status) status = onnx_list(o, "shape", 1, &list, &n);
  if (status) return status;
  if (n < 0 || n > ONNX_RANK) return onnx_fail(o, "%d sides", n);
  for (int i = 0; i < n; i++) {
    if (list[i] < 0) return onnx_fail(o, "a side of %lld", (long long)list[i]);
  }
  status = compute_together(o, n, list, t, &rank, dims);
  if (!status) status = compute_stretch(o, t, rank, dims, &out);
  return status ? status : onnx_fold_give(o, out);
}

nn_status onnx_fold_where(onnx *o) {
  const onnx_tensor *t[3], *wide[3];
  int64_t dims[ONNX_RANK];
  float *floats;
  int64_t *ints;
  onnx_tensor *out;
  int rank = 0;
  nn_status status = NN_OK;
  for (int i = 0; i < 3 && !status; i++) {
    status = onnx_constant(o, i, &t[i]);
    if (!status) status = compute_together(o, rank, dims, t[i], &rank, dims);
  }
  if (status) return status;
  if (!t[0]->ints || !t[1]->floats != !t[2]->floats) {
    return onnx_fail(o, "its inputs are of types that do not go together");
  }
  for (int i = 0; i < 3 && !status; i++) {
    status = compute_stretch(o, t[i], rank, dims, &wide[i]);
  }
  if (!status) {
    status = onnx_fold_new(o, t[1]->floats != NULL, rank, dims, &floats, &ints,
                      &out);
  }
  if (status) return status;
  for (size_t i = 0; i < out->count; i++) {
    const onnx_tensor *from = wide[0]->ints[i] ? wide[1] : wide[2];
    if (floats) floats[i] = from->floats[i];
    else ints[i] = from->ints[i];
  }
  return onnx_fold_give(o, out);
}

/* Arithmetic --------------------------------------------------------------- */

static double compute_float(const char *name, double a, double b) {
  switch (name[0]) {
    case 'A': return a + b;
    case 'S': return a - b;
    case 'D': return a / b;
  }
  if (name[1] == 'u') return a * b;
  if (name[1] == 'a') return a > b ? a : b;
  return a < b ? a : b;
}

/* Integers wrap, as those of the frameworks do. */
static int64_t compute_int(const char *name, int64_t a, int64_t b) {
  uint64_t x = (uint64_t)a, y = (uint64_t)b;
  switch (name[0]) {
    case 'A': return (int64_t)(x + y);
    case 'S': return (int64_t)(x - y);
    case 'D': return b == -1 ? (int64_t)(0 - x) : a / b;
    case 'E': return a == b;
  }
  if (name[1] == 'u') return (int64_t)(x * y);
  if (name[1] == 'a') return a > b ? a : b;
  return a < b ? a : b;
}

static nn_status compute_pair(onnx *o, const char *name, const onnx_tensor *a,
                           const onnx_tensor *b, const onnx_tensor **result) {
  const onnx_tensor *wide[2];
  int64_t dims[ONNX_RANK];
  float *floats;
  int64_t *ints;
  onnx_tensor *out;
  int rank, equal = name[0] == 'E';
  if (!a->floats != !b->floats) {
    return onnx_fail(o, "its inputs are of types that do not go together");
  }
  nn_status status = compute_together(o, a->rank, a->dims, b, &rank, dims);
  if (!status) status = compute_stretch(o, a, rank, dims, &wide[0]);
  if (!status) status = compute_stretch(o, b, rank, dims, &wide[1]);
  if (!status) {
    status = onnx_fold_new(o, a->floats && !equal, rank, dims, &floats, &ints,
                      &out);
  }
  if (status) return status;
  for (size_t i = 0; i < out->count; i++) {
    if (floats) {
      floats[i] = (float)compute_float(name, (double)wide[0]->floats[i],
                                    (double)wide[1]->floats[i]);
    } else if (a->floats) {
      ints[i] = wide[0]->floats[i] == wide[1]->floats[i];
    } else if (name[0] == 'D' && !wide[1]->ints[i]) {
      return onnx_fail(o, "a division by 0");
    } else {
      ints[i] = compute_int(name, wide[0]->ints[i], wide[1]->ints[i]);
    }
  }
  *result = out;
  return NN_OK;
}

nn_status onnx_fold_arithmetic(onnx *o) {
  const char *name = o->node->op_type;
  const onnx_tensor *sum, *t;
  if (strcmp(name, "Sum") == 0) name = "Add";
  nn_status status = onnx_constant(o, 0, &sum);
  for (int i = 1; i < o->inputs && !status; i++) {
    status = onnx_constant(o, i, &t);
    if (!status) status = compute_pair(o, name, sum, t, &sum);
  }
  return status ? status : onnx_fold_give(o, sum);
}

nn_status onnx_fold_unary(onnx *o) {
  const char *name = o->node->op_type;
  const onnx_tensor *t;
  float *floats;
  int64_t *ints;
  onnx_tensor *out;
  nn_status status = onnx_constant(o, 0, &t);
  if (status) return status;
  status = onnx_fold_new(o, t->floats != NULL, t->rank, t->dims, &floats, &ints,
                    &out);
  if (status) return status;
  for (size_t i = 0; i < out->count; i++) {
    if (ints) {
      uint64_t x = (uint64_t)t->ints[i];
      if (name[0] != 'N') return onnx_fail(o, "it wants floats");
      ints[i] = (int64_t)(0 - x);
      continue;
    }
    double x = (double)t->floats[i];
    switch (name[0]) {
      case 'N': x = -x; break;
      case 'F': x = floor(x); break;
      case 'C': x = ceil(x); break;
      case 'S': x = sqrt(x); break;
      default: x = 1 / x;   /* Reciprocal */
    }
    floats[i] = (float)x;
  }
  return onnx_fold_give(o, out);
}

nn_status onnx_fold_cast(onnx *o) {
  int64_t to = onnx_int(o, "to", 0);
  int is_float = to == 1 || to == 10 || to == 11 || to == 16;
  const onnx_tensor *t;
  float *floats;
  int64_t *ints;
  onnx_tensor *out;
  nn_status status = onnx_constant(o, 0, &t);
  if (status) return status;
  if (!is_float && (to < 2 || to > 13 || to == 8)) {
    return onnx_fail(o, "to type %lld", (long long)to);
  }
  status = onnx_fold_new(o, is_float, t->rank, t->dims, &floats, &ints, &out);
  if (status) return status;
  for (size_t i = 0; i < out->count; i++) {
    if (floats) {
      floats[i] = t->floats ? t->floats[i] : (float)t->ints[i];
    } else if (t->floats) {
      double x = (double)t->floats[i];   /* out of range: 0, as NaN is */
      ints[i] = x > -9e18 && x < 9e18 ? (int64_t)x : 0;
      if (to == 9) ints[i] = x != 0;
    } else {
      ints[i] = to == 9 ? t->ints[i] != 0 : t->ints[i];
    }
  }
  return onnx_fold_give(o, out);
}

/*
** Nodes that read constants alone, computed on the spot.
**
** Exporters write x.view(x.size(0), -1) as a shape, from which a side is
** gathered, put into an array again, joined with another and given to a
** reshape; weights come out of constants by casts and transpositions.  None of
** it depends on the image, whose shape is fixed but for the batch, so all of it
** is done here and leaves no layer.
**
** Numbers are floats or 64-bit integers (truth values among them). What all
** results have together is bounded by the size of the file and some millions,
** so that a few bytes cannot ask for the memory of a machine.
*/
#include <math.h>
#include <string.h>

#include "onnx.h"

/* One constant, of the shape that was given, as output 0. */
nn_status onnx_fold_give(onnx *o, const onnx_tensor *t) {
  if (!o->outputs || !o->out[0]) return NN_OK;
  if (o->out[0]->constant || o->out[0]->layer || o->out[0]->proto) {
    return onnx_fail(o, "%s is given twice",
                     nn_shown_name(o->out[0]->name).text);
  }
  o->out[0]->constant = t;
  return NN_OK;
}

nn_status onnx_fold_new(onnx *o, int is_float, int rank, const int64_t *dims,
                        float **floats, int64_t **ints, onnx_tensor **out) {
  size_t count = 1;
  for (int i = 0; i < rank; i++) {
    if (dims[i] < 0) return onnx_fail(o, "a side of %lld", (long long)dims[i]);
    count = nn_mul(count, (size_t)dims[i]);
  }
  *floats = NULL;
  *ints = NULL;
  if (count > o->folded) {
    return onnx_fail(o, "a constant of %s is too large",
                     import_shape_text(o->im, rank, dims));
  }
  o->folded -= count;
  return onnx_new_tensor(o, rank, dims, is_float ? floats : NULL,
                         is_float ? NULL : ints, out);
}

/* The same values in another shape of as many. */
static nn_status fold_view(onnx *o, const onnx_tensor *t, int rank,
                           const int64_t *dims) {
  onnx_tensor *out;
  nn_status status = onnx_new_tensor(o, rank, dims, NULL, NULL, &out);
  if (status) return status;
  if (out->count != t->count) {
    return onnx_fail(o, "%s cannot take the shape %s",
                     import_shape_text(o->im, t->rank, t->dims),
                     import_shape_text(o->im, rank, dims));
  }
  out->floats = t->floats;
  out->ints = t->ints;
  return onnx_fold_give(o, out);
}

/* Elements from one step of a side to the next. */
void onnx_fold_strides(const onnx_tensor *t, int64_t *stride) {
  int64_t n = 1;
  for (int i = t->rank - 1; i >= 0; i--) {
    stride[i] = n;
    n *= t->dims[i];
  }
}

/* An array of `dims` out of t's elements: the first at `from`, others by their
** strides, which may be 0 or negative. */
nn_status onnx_fold_take(onnx *o, const onnx_tensor *t, int rank,
                           const int64_t *dims, const int64_t *stride,
                           int64_t from, const onnx_tensor **result) {
  int64_t at[ONNX_RANK] = {0};
  float *floats;
  int64_t *ints;
  onnx_tensor *out;
  nn_status status =
      onnx_fold_new(o, t->floats != NULL, rank, dims, &floats, &ints, &out);
  if (status) return status;
  for (size_t i = 0; i < out->count; i++) {
    if (floats) floats[i] = t->floats[from];
    else ints[i] = t->ints[from];
    for (int k = rank - 1; k >= 0; k--) {
      from += stride[k];
      if (++at[k] < dims[k]) break;
      from -= stride[k] * dims[k];
      at[k] = 0;
    }
  }
  *result = out;
  return NN_OK;
}

/* Making ------------------------------------------------------------------- */

static nn_status fold_constant(onnx *o) {
  const OnnxAttribute *a = onnx_attribute(o, "value");
  const onnx_tensor *t;
  int64_t n = 1;
  float *floats;
  int64_t *ints;
  onnx_tensor *out;
  if (a && a->t) {
    nn_status status = onnx_read_tensor(o, "value", a->t, &t);
    return status ? status : onnx_fold_give(o, t);
  }
  int one = 0, whole = 0;
  if ((a = onnx_attribute(o, "value_float")) != NULL) one = 1;
  else if ((a = onnx_attribute(o, "value_int")) != NULL) one = whole = 1;
  else if ((a = onnx_attribute(o, "value_ints")) != NULL) whole = 1;
  else a = onnx_attribute(o, "value_floats");
  if (!a) return onnx_fail(o, "its value is not one of numbers");
  if (!one) n = (int64_t)(whole ? a->n_ints : a->n_floats);
  nn_status status = onnx_new_tensor(o, !one, &n, whole ? NULL : &floats,
                                     whole ? &ints : NULL, &out);
  if (status) return status;
  for (int64_t i = 0; i < n; i++) {
    if (whole) ints[i] = one ? a->i : a->ints[i];
    else floats[i] = one ? a->f : a->floats[i];
  }
  return onnx_fold_give(o, out);
}

static nn_status fold_constant_of_shape(onnx *o) {
  const OnnxAttribute *a = onnx_attribute(o, "value");
  const onnx_tensor *value = NULL;
  const int64_t *dims;
  int rank;
  float *floats;
  int64_t *ints;
  onnx_tensor *out;
  nn_status status = onnx_list(o, "shape", 0, &dims, &rank);
  if (!status && a && a->t) {
    status = onnx_read_tensor(o, "value", a->t, &value);
  }
  if (status) return status;
  if (rank < 0 || rank > ONNX_RANK || (value && value->count != 1)) {
    return onnx_fail(o, "a shape of %d sides", rank);
  }
  int is_float = !value || value->floats;
  status = onnx_fold_new(o, is_float, rank, dims, &floats, &ints, &out);
  if (status) return status;
  for (size_t i = 0; i < out->count; i++) {
    if (is_float) floats[i] = value ? value->floats[0] : 0;
    else ints[i] = value->ints[0];
  }
  return onnx_fold_give(o, out);
}

static nn_status fold_range(onnx *o) {
  const onnx_tensor *t[3];
  double from[3];
  float *floats;
  int64_t *ints;
  onnx_tensor *out;
  for (int i = 0; i < 3; i++) {
    nn_status status = onnx_constant(o, i, &t[i]);
    if (status) return status;
    if (t[i]->count != 1) return onnx_fail(o, "it wants three numbers");
    from[i] = t[i]->floats ? (double)t[i]->floats[0] : (double)t[i]->ints[0];
  }
  double n = ceil((from[1] - from[0]) / from[2]);
  if (!(n <= (double)o->folded)) return onnx_fail(o, "too many numbers");
  int64_t count = n > 0 ? (int64_t)n : 0;
  nn_status status = onnx_fold_new(o, t[0]->floats != NULL, 1, &count, &floats,
                              &ints, &out);
  for (int64_t i = 0; i < count && !status; i++) {
    double x = from[0] + (double)i * from[2];
    if (floats) floats[i] = (float)x;
    else ints[i] = (int64_t)x;
  }
  return status ? status : onnx_fold_give(o, out);
}

static nn_status fold_shape(onnx *o, int rank, const int64_t *dims) {
  int64_t start = onnx_int(o, "start", 0), end = onnx_int(o, "end", rank);
  int64_t *ints, n;
  float *floats;
  onnx_tensor *out;
  if (start < 0) start += rank;
  if (end < 0) end += rank;
  start = start < 0 ? 0 : start > rank ? rank : start;
  end = end < start ? start : end > rank ? rank : end;
  n = end - start;
  nn_status status = onnx_fold_new(o, 0, 1, &n, &floats, &ints, &out);
  if (status) return status;
  memcpy(ints, dims + start, (size_t)n * sizeof(*ints));
  return onnx_fold_give(o, out);
}

nn_status onnx_shape_of(onnx *o) {
  return fold_shape(o, o->in[0]->rank, o->in[0]->dims);
}

static nn_status fold_shape_of(onnx *o) {
  const onnx_tensor *t;
  nn_status status = onnx_constant(o, 0, &t);
  return status ? status : fold_shape(o, t->rank, t->dims);
}

/* Moving ------------------------------------------------------------------- */

static nn_status fold_reshape(onnx *o) {
  const onnx_tensor *t;
  const int64_t *list;
  int64_t dims[ONNX_RANK];
  size_t known = 1;
  int rank, open = -1;
  nn_status status = onnx_constant(o, 0, &t);
  if (!status) status = onnx_list(o, "shape", 1, &list, &rank);
  if (status) return status;
  if (rank < 0 || rank > ONNX_RANK) return onnx_fail(o, "%d sides", rank);
  for (int i = 0; i < rank; i++) {
    dims[i] = list[i];
    if (!dims[i] && i < t->rank && !onnx_int(o, "allowzero", 0)) {
      dims[i] = t->dims[i];
    }
    if (dims[i] == -1 && open < 0) open = i;
    else if (dims[i] < 0) return onnx_fail(o, "a side below 0");
    else known = nn_mul(known, (size_t)dims[i]);
  }
  if (open >= 0) dims[open] = known ? (int64_t)(t->count / known) : 0;
  return fold_view(o, t, rank, dims);
}

static nn_status fold_flatten(onnx *o) {
  const onnx_tensor *t;
  int64_t axis = onnx_int(o, "axis", 1), dims[2] = {1, 1};
  nn_status status = onnx_constant(o, 0, &t);
  if (status) return status;
  if (axis < 0) axis += t->rank;
  for (int i = 0; i < t->rank; i++) dims[i >= axis] *= t->dims[i];
  return fold_view(o, t, 2, dims);
}

static nn_status fold_squeeze(onnx *o) {
  const onnx_tensor *t;
  const int64_t *axes;
  int64_t dims[ONNX_RANK];
  int n, rank = 0, drop[ONNX_RANK] = {0};
  nn_status status = onnx_constant(o, 0, &t);
  if (!status) status = onnx_list(o, "axes", 1, &axes, &n);
  if (status) return status;
  for (int i = 0; i < n; i++) {
    int64_t axis = axes[i];
    status = onnx_axis(o, &axis, t->rank);
    if (status) return status;
    drop[axis] = 1;
  }
  for (int i = 0; i < t->rank; i++) {
    if (n < 0 ? t->dims[i] != 1 : !drop[i]) dims[rank++] = t->dims[i];
  }
  return fold_view(o, t, rank, dims);
}

static nn_status fold_unsqueeze(onnx *o) {
  const onnx_tensor *t;
  const int64_t *axes;
  int64_t dims[ONNX_RANK];
  int n, add[ONNX_RANK] = {0};
  nn_status status = onnx_constant(o, 0, &t);
  if (!status) status = onnx_list(o, "axes", 1, &axes, &n);
  if (status) return status;
  int rank = t->rank + n;
  if (n < 0 || rank > ONNX_RANK) return onnx_fail(o, "%d sides", rank);
  for (int i = 0; i < n; i++) {
    int64_t axis = axes[i];
    status = onnx_axis(o, &axis, rank);
    if (status) return status;
    if (add[axis]++) return onnx_fail(o, "an axis is named twice");
  }
  for (int i = 0, k = 0; i < rank; i++) dims[i] = add[i] ? 1 : t->dims[k++];
  return fold_view(o, t, rank, dims);
}

static nn_status fold_transpose(onnx *o) {
  const onnx_tensor *t, *out;
  const int64_t *list;
  int64_t dims[ONNX_RANK], own[ONNX_RANK], stride[ONNX_RANK];
  int n;
  unsigned seen = 0;
  nn_status status = onnx_constant(o, 0, &t);
  if (!status) status = onnx_list(o, "perm", -1, &list, &n);
  if (status) return status;
  onnx_fold_strides(t, own);
  for (int i = 0; i < t->rank; i++) {
    int64_t from = n < 0 ? t->rank - 1 - i : i < n ? list[i] : -1;
    if (from < 0 || from >= t->rank) return onnx_fail(o, "a wrong perm");
    dims[i] = t->dims[from];
    stride[i] = own[from];
    seen |= 1u << from;
  }
  if (seen != (1u << t->rank) - 1) return onnx_fail(o, "a wrong perm");
  status = onnx_fold_take(o, t, t->rank, dims, stride, 0, &out);
  return status ? status : onnx_fold_give(o, out);
}

/* The end of a slice as ONNX counts it, between low and high. */
static int64_t fold_place(int64_t at, int64_t side, int64_t low,
                          int64_t high) {
  if (at < 0) at = at < -side ? -1 : at + side;
  return at < low ? low : at > high ? high : at;
}

static nn_status fold_slice(onnx *o) {
  const onnx_tensor *t, *out;
  const int64_t *starts, *ends, *axes, *steps;
  int64_t dims[ONNX_RANK], stride[ONNX_RANK], from = 0;
  int n, m, named, stepped;
  nn_status status = onnx_constant(o, 0, &t);
  if (!status) status = onnx_list(o, "starts", 1, &starts, &n);
  if (!status) status = onnx_list(o, "ends", 2, &ends, &m);
  if (!status) status = onnx_list(o, "axes", 3, &axes, &named);
  if (!status) status = onnx_list(o, "steps", 4, &steps, &stepped);
  if (status) return status;
  if (n < 0 || n != m || n > t->rank || (named >= 0 && named != n) ||
      (stepped >= 0 && stepped != n)) {
    return onnx_fail(o, "starts, ends, axes and steps do not go together");
  }
  onnx_fold_strides(t, stride);
  memcpy(dims, t->dims, sizeof(dims));
  unsigned seen = 0;
  for (int i = 0; i < n; i++) {
    int64_t axis = named >= 0 ? axes[i] : i;
    int64_t step = stepped >= 0 ? steps[i] : 1;
    status = onnx_axis(o, &axis, t->rank);
    if (status) return status;
    if (!step || step < -(1 << 28) || step > 1 << 28 || seen >> axis & 1) {
      return onnx_fail(o, "a step of %lld, or an axis twice",
                       (long long)step);
    }
    seen |= 1u << axis;
    int64_t side = dims[axis], back = step < 0;
    int64_t begin = fold_place(starts[i], side, 0, back ? side - 1 : side);
    int64_t end = fold_place(ends[i], side, back ? -1 : 0,
                             back ? side - 1 : side);
    int64_t room = back ? begin - end : end - begin;
    int64_t pace = back ? -step : step;
    dims[axis] = room > 0 ? (room + pace - 1) / pace : 0;
    if (dims[axis]) from += begin * stride[axis];
    stride[axis] *= step;
  }
  status = onnx_fold_take(o, t, t->rank, dims, stride, from, &out);
  return status ? status : onnx_fold_give(o, out);
}

static nn_status fold_concat(onnx *o) {
  const onnx_tensor *first, *t;
  int64_t axis = onnx_int(o, "axis", 0), dims[ONNX_RANK];
  float *floats;
  int64_t *ints;
  onnx_tensor *out;
  nn_status status = onnx_constant(o, 0, &first);
  if (!status) status = onnx_axis(o, &axis, first->rank);
  if (status) return status;
  memcpy(dims, first->dims, sizeof(dims));
  dims[axis] = 0;
  for (int i = 0; i < o->inputs; i++) {
    status = onnx_constant(o, i, &t);
    if (status) return status;
    int goes = t->rank == first->rank && !t->floats == !first->floats;
    for (int k = 0; k < t->rank && goes; k++) {
      goes = k == axis || t->dims[k] == first->dims[k];
    }
    if (!goes) return onnx_fail(o, "its inputs do not go together");
    dims[axis] += t->dims[axis];
  }
  status = onnx_fold_new(o, first->floats != NULL, first->rank, dims, &floats,
                    &ints, &out);
  if (status) return status;
  size_t inner = 1, outer = 1, at = 0;
  for (int i = 0; i < first->rank; i++) {
    if (i < axis) outer *= (size_t)dims[i];
    if (i > axis) inner *= (size_t)dims[i];
  }
  for (size_t i = 0; i < outer && out->count; i++) {
    for (int k = 0; k < o->inputs; k++) {
      t = o->in[k]->constant;
      size_t n = (size_t)t->dims[axis] * inner;
      for (size_t j = 0; j < n; j++, at++) {
        if (floats) floats[at] = t->floats[i * n + j];
        else ints[at] = t->ints[i * n + j];
      }
    }
  }
  return onnx_fold_give(o, out);
}

static nn_status fold_gather(onnx *o) {
  const onnx_tensor *t, *places;
  int64_t axis = onnx_int(o, "axis", 0), dims[ONNX_RANK];
  float *floats;
  int64_t *ints;
  onnx_tensor *out;
  int rank = 0;
  nn_status status = onnx_constant(o, 0, &t);
  if (!status) status = onnx_constant(o, 1, &places);
  if (!status) status = onnx_axis(o, &axis, t->rank);
  if (status) return status;
  if (!places->ints || t->rank - 1 + places->rank > ONNX_RANK) {
    return onnx_fail(o, "its indices are not integers, or of too many sides");
  }
  for (int i = 0; i < axis; i++) dims[rank++] = t->dims[i];
  for (int i = 0; i < places->rank; i++) dims[rank++] = places->dims[i];
  for (int i = (int)axis + 1; i < t->rank; i++) dims[rank++] = t->dims[i];
  status =
      onnx_fold_new(o, t->floats != NULL, rank, dims, &floats, &ints, &out);
  if (status) return status;
  size_t inner = 1, at = 0, side = (size_t)t->dims[axis];
  for (int i = (int)axis + 1; i < t->rank; i++) inner *= (size_t)t->dims[i];
  size_t outer = out->count ? out->count / inner / places->count : 0;
  for (size_t i = 0; i < outer; i++) {
    for (size_t k = 0; k < places->count; k++) {
      int64_t place = places->ints[k];
      if (place < 0) place += (int64_t)side;
      if (place < 0 || place >= (int64_t)side) {
        return onnx_fail(o, "index %lld of %zu", (long long)places->ints[k],
                         side);
      }
      size_t from = (i * side + (size_t)place) * inner;
      for (size_t j = 0; j < inner; j++, at++) {
        if (floats) floats[at] = t->floats[from + j];
        else ints[at] = t->ints[from + j];
      }
    }
  }
  return onnx_fold_give(o, out);
}

static nn_status fold_same(onnx *o) {
  const onnx_tensor *t;
  nn_status status = onnx_constant(o, 0, &t);
  return status ? status : onnx_fold_give(o, t);
}

/* All of them -------------------------------------------------------------- */

static const struct fold_type {
  const char *name;
  nn_status (*run)(onnx *o);
} fold_types[] = {{"Add", onnx_fold_arithmetic},
                  {"Cast", onnx_fold_cast},
                  {"Ceil", onnx_fold_unary},
                  {"Concat", fold_concat},
                  {"Constant", fold_constant},
                  {"ConstantOfShape", fold_constant_of_shape},
                  {"Div", onnx_fold_arithmetic},
                  {"Equal", onnx_fold_arithmetic},
                  {"Expand", onnx_fold_expand},
                  {"Flatten", fold_flatten},
                  {"Floor", onnx_fold_unary},
                  {"Gather", fold_gather},
                  {"Identity", fold_same},
                  {"Max", onnx_fold_arithmetic},
                  {"Min", onnx_fold_arithmetic},
                  {"Mul", onnx_fold_arithmetic},
                  {"Neg", onnx_fold_unary},
                  {"Range", fold_range},
                  {"Reciprocal", onnx_fold_unary},
                  {"Reshape", fold_reshape},
                  {"Shape", fold_shape_of},
                  {"Slice", fold_slice},
                  {"Sqrt", onnx_fold_unary},
                  {"Squeeze", fold_squeeze},
                  {"Sub", onnx_fold_arithmetic},
                  {"Sum", onnx_fold_arithmetic},
                  {"Transpose", fold_transpose},
                  {"Unsqueeze", fold_unsqueeze},
                  {"Where", onnx_fold_where}};

enum { FOLD_TYPES = sizeof(fold_types) / sizeof(*fold_types) };

int onnx_folds(const char *type) {
  for (int i = 0; i < FOLD_TYPES; i++) {
    if (strcmp(fold_types[i].name, type) == 0) return 1;
  }
  return 0;
}

nn_status onnx_fold(onnx *o) {
  int i = 0;
  while (strcmp(fold_types[i].name, o->node->op_type) != 0) i++;
  return fold_types[i].run(o);
}

const char *const *onnx_fold_names(void) {
  static const char *names[FOLD_TYPES + 1];
  for (int i = 0; i < FOLD_TYPES; i++) names[i] = fold_types[i].name;
  return names;
}

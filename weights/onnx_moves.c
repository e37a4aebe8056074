/*
** Nodes that move elements: reshapes, transpositions, joins, cuts and borders.
**
** Most of them are nothing: a shape beside a blob, a transposition that is kept
** in mind until the next undoes it.  What remains becomes Concat, Slice,
** Padding and, in onnx_value.c, Permute and ShuffleChannel.  Images of a batch
** never mix; whatever would make them is refused.
*/
#include <string.h>

#include "onnx.h"

/* Shapes ------------------------------------------------------------------- */

/* Sides [from, to) as one. */
static int64_t moves_product(const onnx_value *v, int from, int to) {
  int64_t n = 1;
  for (int i = from; i < to; i++) n *= v->dims[i];
  return n;
}

static nn_status moves_flatten(onnx *o, const onnx_value *in, int64_t *dims,
                               int *rank) {
  int64_t axis = onnx_int(o, "axis", 1);
  if (axis < -in->rank || axis > in->rank) {
    return onnx_fail(o, "axis %lld of %d", (long long)axis, in->rank);
  }
  if (axis < 0) axis += in->rank;
  dims[0] = moves_product(in, 0, (int)axis);
  dims[1] = moves_product(in, (int)axis, in->rank);
  *rank = 2;
  return NN_OK;
}

/* The sides that input 1 asks for: 0 is that of the input, -1 what is left. */
static nn_status moves_target(onnx *o, const onnx_value *in, int64_t *dims,
                              int *rank) {
  const int64_t *list;
  int64_t known = 1, all = moves_product(in, 0, in->rank);
  int open = -1;
  nn_status status = onnx_list(o, "shape", 1, &list, rank);
  if (status) return status;
  if (*rank < 0 || *rank > ONNX_RANK) {
    return onnx_fail(o, "a shape of %d sides", *rank);
  }
  for (int i = 0; i < *rank; i++) {
    dims[i] = list[i];
    if (!dims[i] && i < in->rank && !onnx_int(o, "allowzero", 0)) {
      dims[i] = in->dims[i];
    }
    if (dims[i] == -1 && open < 0) {
      open = i;
    } else if (dims[i] < 1 || dims[i] > all || known > all / dims[i]) {
      return onnx_fail(o, "%s cannot take the shape %s", onnx_shape(o, in),
                       import_shape_text(o->im, *rank, list));
    } else {
      known *= dims[i];
    }
  }
  if (open >= 0) dims[open] = all / known;
  if (open >= 0 ? all % known == 0 : all == known) return NN_OK;
  return onnx_fail(o, "%s cannot take the shape %s", onnx_shape(o, in),
                   import_shape_text(o->im, *rank, list));
}

/* Sides of 1 are taken out (of all places, where none are named), or put in. */
static nn_status moves_squeeze(onnx *o, const onnx_value *in, int64_t *dims,
                               int *rank) {
  const int64_t *axes;
  int n, drop[ONNX_RANK] = {0};
  nn_status status = onnx_list(o, "axes", 1, &axes, &n);
  if (status) return status;
  for (int i = 0; i < n; i++) {
    int64_t axis = axes[i];
    status = onnx_axis(o, &axis, in->rank);
    if (status) return status;
    if (in->dims[axis] != 1) {
      return onnx_fail(o, "side %d of %s is not 1", (int)axis,
                       onnx_shape(o, in));
    }
    drop[axis] = 1;
  }
  *rank = 0;
  for (int i = 0; i < in->rank; i++) {
    if (n < 0 && i) drop[i] = in->dims[i] == 1;   /* the batch stays */
    if (!drop[i]) dims[(*rank)++] = in->dims[i];
  }
  return NN_OK;
}

static nn_status moves_unsqueeze(onnx *o, const onnx_value *in, int64_t *dims,
                                 int *rank) {
  const int64_t *axes;
  int n, add[ONNX_RANK] = {0};
  nn_status status = onnx_list(o, "axes", 1, &axes, &n);
  if (status) return status;
  *rank = in->rank + n;
  if (n < 0 || *rank > ONNX_RANK) {
    return onnx_fail(o, "%d sides more than %d, %d can be", n, in->rank,
                     ONNX_RANK);
  }
  for (int i = 0; i < n; i++) {
    int64_t axis = axes[i];
    status = onnx_axis(o, &axis, *rank);
    if (status) return status;
    if (add[axis]++) return onnx_fail(o, "an axis is named twice");
  }
  for (int i = 0, k = 0; i < *rank; i++) {
    dims[i] = add[i] ? 1 : in->dims[k++];
  }
  return NN_OK;
}

nn_status onnx_reshape(onnx *o) {
  static const struct {
    const char *operator;
    nn_status (*shape)(onnx *o, const onnx_value *in, int64_t *dims,
                       int *rank);
  } forms[] = {{"Flatten", moves_flatten},
               {"Reshape", moves_target},
               {"Squeeze", moves_squeeze},
               {"Unsqueeze", moves_unsqueeze}};
  int64_t dims[ONNX_RANK];
  int rank = 0, k = 0;
  onnx_value *in;
  nn_status status = onnx_blob(o, 0, &in);
  if (!status) status = onnx_plain(o, in);
  if (status) return status;
  while (strcmp(forms[k].operator, o->node->op_type) != 0) k++;
  status = forms[k].shape(o, in, dims, &rank);
  if (status) return status;
  if (!rank || dims[0] != o->batch) {
    return onnx_fail(o, "from %s to %s the images of a batch would mix",
                     onnx_shape(o, in),
                     import_shape_text(o->im, rank, dims));
  }
  /* what one asks for by the name of a flattening is to be flat */
  int flat[3] = {in->layer->shape[0] * in->layer->shape[1] *
                     in->layer->shape[2], 1, 1};
  if (rank != 2 || in->layer->shape[0] == flat[0]) {
    return onnx_alias(o, in, rank, dims);
  }
  import_layer *layer = onnx_layer(o, NULL, "Flatten", in->layer, flat);
  return layer ? onnx_give(o, 0, layer, rank, dims, NULL) : NN_MODEL;
}

/* Transpositions ----------------------------------------------------------- */

/* More than four sides: those that stay beside each other are one, and what is
** left must be three at most. */
static nn_status moves_transpose(onnx *o, onnx_value *in, const int *perm,
                                 const int64_t *dims) {
  int size[ONNX_RANK], first[ONNX_RANK], n = 0, last = -2, moved = 0;
  int view[3] = {1, 1, 1}, order[3] = {0, 1, 2};
  import_layer *layer;
  nn_status status = onnx_plain(o, in);
  if (status) return status;
  for (int i = 1; i < in->rank; i++) {
    int from = perm[i];
    if (in->dims[from] == 1) continue;
    int between = last + 1;   /* sides of 1 are no gap */
    while (between > 0 && between < from && in->dims[between] == 1) between++;
    if (n && from == between) {
      size[n - 1] *= (int)in->dims[from];
    } else {
      if (from < last) moved = 1;
      first[n] = from;
      size[n++] = (int)in->dims[from];
    }
    last = from;
  }
  if (!moved) return onnx_alias(o, in, in->rank, dims);
  if (n > 3) {
    return onnx_fail(o, "it moves %d groups of sides, 3 are supported", n);
  }
  for (int i = 0; i < n; i++) {
    int place = 0;
    for (int k = 0; k < n; k++) place += first[k] < first[i];
    order[i] = place;
    view[place] = size[i];
  }
  const char *name = o->node->name && o->node->name[0] ? o->node->name
                                                       : in->name;
  status = onnx_permute(o, name, in, view, order, &layer);
  return status ? status
                : onnx_give(o, 0, layer, in->rank, dims, NULL);
}

nn_status onnx_transpose(onnx *o) {
  const int64_t *list;
  int64_t dims[ONNX_RANK];
  int n, perm[ONNX_RANK] = {0}, seen = 0, order[3] = {0, 1, 2};
  onnx_value *in;
  nn_status status = onnx_blob(o, 0, &in);
  if (!status) status = onnx_list(o, "perm", -1, &list, &n);
  if (status) return status;
  for (int i = 0; i < in->rank; i++) {
    int64_t from = n < 0 ? in->rank - 1 - i : i < n ? list[i] : -1;
    if (from < 0 || from >= in->rank) return onnx_fail(o, "a wrong perm");
    perm[i] = (int)from;
    dims[i] = in->dims[from];
    seen |= 1 << from;
  }
  if (seen != (1 << in->rank) - 1) return onnx_fail(o, "a wrong perm");
  if (perm[0]) {
    return onnx_fail(o, "it moves the batch, whose images would mix");
  }
  if (in->rank > 4) return moves_transpose(o, in, perm, dims);
  for (int i = 1; i < in->rank; i++) order[i - 1] = in->order[perm[i] - 1];
  return onnx_give(o, 0, in->layer, in->rank, dims, order);
}

/* Joins -------------------------------------------------------------------- */

/* A constant as a blob of the form in which the others are joined. */
static nn_status moves_constant(onnx *o, const onnx_value *value,
                                const onnx_value *like, int64_t axis,
                                int view[3], int side, import_layer **out) {
  const onnx_tensor *t = value->constant;
  const int64_t *d = t->dims;
  if (!t->floats || t->rank != like->rank || d[0] != 1 || o->batch != 1) {
    return onnx_fail(o, "%s, a constant of %s, does not go with %s",
                     nn_shown_name(value->name).text,
                     import_shape_text(o->im, t->rank, d),
                     onnx_shape(o, like));
  }
  for (int i = 1; i < like->rank; i++) {
    if (i != axis && d[i] != like->dims[i]) {
      return onnx_fail(o, "a constant of %s and %s",
                       import_shape_text(o->im, t->rank, d),
                       onnx_shape(o, like));
    }
  }
  view[side - 1] = (int)d[axis];
  const int64_t shape[3] = {view[0], view[1], view[2]};
  *out = onnx_layer(o, "constant", "Constant", NULL, view);
  if (!*out) return NN_MODEL;
  return import_weights(o->im, *out, "weight", 3, shape, t->floats);
}

/* The first blob; the others are joined in its order of sides. */
static nn_status moves_first(onnx *o, onnx_value **first) {
  nn_status status = NN_OK;
  int alike = 1, constant = 0;
  *first = NULL;
  for (int i = 0; i < o->inputs; i++) {
    onnx_value *v = o->in[i];
    if (!v) return onnx_fail(o, "input %d is missing", i);
    if (v->constant) constant = 1;
    else if (!*first) *first = v;
    else alike &= !memcmp(v->order, (*first)->order, sizeof(v->order));
  }
  for (int i = 0; i < o->inputs && (!alike || constant) && !status; i++) {
    if (o->in[i]->layer) status = onnx_plain(o, o->in[i]);
  }
  return status;
}

nn_status onnx_concat(onnx *o) {
  int64_t axis = onnx_int(o, "axis", 1), dims[ONNX_RANK];
  onnx_value *first;
  int view[3], sum[3], side;
  nn_status status = moves_first(o, &first);
  if (!status) status = onnx_axis(o, &axis, first->rank);
  if (!status) status = onnx_along(o, first, (int)axis, sum, &side);
  if (status) return status;
  memcpy(dims, first->dims, sizeof(dims));
  dims[axis] = 0;
  import_layer **from = import_alloc(o->im, (size_t)o->inputs, sizeof(*from));
  if (!from) return NN_NOMEM;
  for (int i = 0; i < o->inputs; i++) {
    onnx_value *v = o->in[i];
    if (v->constant) {
      memcpy(view, sum, sizeof(view));
      status = moves_constant(o, v, first, axis, view, side, &from[i]);
      dims[axis] += v->constant->dims[axis];
    } else {
      for (int k = 1; k < first->rank; k++) {
        if (v->rank != first->rank ||
            (k != axis && v->dims[k] != first->dims[k])) {
          return onnx_fail(o, "%s does not go with %s", onnx_shape(o, v),
                           onnx_shape(o, first));
        }
      }
      status = onnx_along(o, v, (int)axis, view, &side);
      if (!status) status = onnx_seen(o, v, view, &from[i]);
      dims[axis] += v->dims[axis];
    }
    if (status) return status;
  }
  if (dims[axis] > 1 << 28) return onnx_fail(o, "its result is too large");
  sum[side - 1] = (int)dims[axis];
  import_layer *layer = onnx_layer(o, NULL, "Concat", NULL, sum);
  if (!layer) return NN_MODEL;
  for (int i = 0; i < o->inputs && !status; i++) {
    status = import_bottom(o->im, layer, from[i]);
  }
  if (!status && side != 1) status = import_int(o->im, layer, "axis", side);
  return status ? status
                : onnx_give(o, 0, layer, first->rank, dims, first->order);
}

/* Cuts --------------------------------------------------------------------- */

/* [begin, end) along an axis of the value, which becomes what is cut out.  The
** layer is called `name`, or after the node. */
static nn_status moves_cut(onnx *o, onnx_value *v, int axis, int64_t begin,
                           int64_t end, const char *name) {
  import_layer *from;
  int view[3], side;
  if (begin == 0 && end == v->dims[axis]) return NN_OK;
  nn_status status = onnx_along(o, v, axis, view, &side);
  if (!status) status = onnx_seen(o, v, view, &from);
  if (status) return status;
  if (begin >= end) return onnx_fail(o, "nothing is left of axis %d", axis);
  view[side - 1] = (int)(end - begin);
  import_layer *layer = onnx_layer(o, name, "Slice", from, view);
  if (!layer) return NN_MODEL;
  if (side != 1) status = import_int(o->im, layer, "axis", side);
  if (!status) status = import_int(o->im, layer, "begin", (int)begin);
  if (!status) status = import_int(o->im, layer, "end", (int)end);
  v->layer = layer;
  v->dims[axis] = end - begin;
  return status;
}

/* A place along a side as Slice counts it: from the end where negative. */
static int64_t moves_place(int64_t at, int64_t side) {
  if (at < 0) at += side;
  return at < 0 ? 0 : at > side ? side : at;
}

nn_status onnx_slice(onnx *o) {
  const int64_t *starts, *ends, *axes, *steps;
  int n, m, named, stepped;
  onnx_value *in;
  nn_status status = onnx_blob(o, 0, &in);
  if (!status) status = onnx_list(o, "starts", 1, &starts, &n);
  if (!status) status = onnx_list(o, "ends", 2, &ends, &m);
  if (!status) status = onnx_list(o, "axes", 3, &axes, &named);
  if (!status) status = onnx_list(o, "steps", 4, &steps, &stepped);
  if (status) return status;
  if (n < 0 || n != m || (named >= 0 && named != n) ||
      (stepped >= 0 && stepped != n) || n > in->rank) {
    return onnx_fail(o, "starts, ends, axes and steps do not go together");
  }
  onnx_value cut = *in;
  for (int i = 0; i < n && !status; i++) {
    int64_t axis = named >= 0 ? axes[i] : i;
    status = onnx_axis(o, &axis, in->rank);
    if (status) return status;
    if (stepped >= 0 && steps[i] != 1) {
      return onnx_fail(o, "steps of %lld; 1 is supported",
                       (long long)steps[i]);
    }
    int64_t side = axis ? cut.dims[axis] : INT64_MAX;
    int64_t begin = moves_place(starts[i], side);
    int64_t end = moves_place(ends[i], side);
    if (!axis && begin == 0 && end >= o->batch) continue;
    status = moves_cut(o, &cut, (int)axis, begin, end, i < n - 1 ? "cut"
                                                                 : NULL);
  }
  return status ? status : onnx_give_like(o, 0, cut.layer, &cut);
}

nn_status onnx_split(onnx *o) {
  int64_t axis = onnx_int(o, "axis", 0), at = 0;
  const int64_t *sizes;
  int n;
  onnx_value *in;
  nn_status status = onnx_blob(o, 0, &in);
  if (!status) status = onnx_axis(o, &axis, in->rank);
  if (!status) status = onnx_list(o, "split", 1, &sizes, &n);
  if (status) return status;
  if (n >= 0 && n != o->outputs) {
    return onnx_fail(o, "%d sizes for %d outputs", n, o->outputs);
  }
  int64_t side = in->dims[axis], each = (side + o->outputs - 1) / o->outputs;
  for (int i = 0; i < o->outputs && !status; i++) {
    int64_t size = n >= 0 ? sizes[i] : at + each > side ? side - at : each;
    if (size < 1 || size > side - at) {
      return onnx_fail(o, "%s cannot be split so", onnx_shape(o, in));
    }
    onnx_value cut = *in;
    if (o->out[i] && o->out[i]->readers) {
      o->called = o->out[i]->name;   /* each has a name of its own */
      status = moves_cut(o, &cut, (int)axis, at, at + size, NULL);
      if (!status) status = onnx_give_like(o, i, cut.layer, &cut);
      o->called = NULL;
    }
    at += size;
  }
  if (status || at == side) return status;
  return onnx_fail(o, "sizes that add up to %lld of %lld", (long long)at,
                   (long long)side);
}

/* Places of an axis, one after the other, of which there are several. */
static nn_status moves_pick(onnx *o, onnx_value *in, int axis,
                            const onnx_tensor *places, onnx_value *cut) {
  import_layer *from[NN_BOTTOM_MAX];
  int view[3], side;
  nn_status status = NN_OK;
  for (size_t i = 0; i < places->count && !status; i++) {
    int64_t at = places->ints[i];
    if (at < 0) at += in->dims[axis];
    if (at < 0 || at >= in->dims[axis]) {
      return onnx_fail(o, "index %lld of %lld", (long long)places->ints[i],
                       (long long)in->dims[axis]);
    }
    *cut = *in;
    status = moves_cut(o, cut, axis, at, at + 1,
                       places->count > 1 ? "cut" : NULL);
    if (!status) status = onnx_along(o, cut, axis, view, &side);
    if (!status) status = onnx_seen(o, cut, view, &from[i]);
  }
  if (status || places->count == 1) return status;
  view[side - 1] = (int)places->count;
  cut->dims[axis] = (int64_t)places->count;
  cut->layer = onnx_layer(o, NULL, "Concat", NULL, view);
  if (!cut->layer) return NN_MODEL;
  if (side != 1) status = import_int(o->im, cut->layer, "axis", side);
  for (size_t i = 0; i < places->count && !status; i++) {
    status = import_bottom(o->im, cut->layer, from[i]);
  }
  return status;
}

/* With a single index, the axis goes. */
nn_status onnx_gather(onnx *o) {
  int64_t axis = onnx_int(o, "axis", 0), dims[ONNX_RANK];
  const onnx_tensor *t;
  onnx_value *in, cut;
  int rank = 0;
  nn_status status = onnx_blob(o, 0, &in);
  if (!status) status = onnx_constant(o, 1, &t);
  if (!status) status = onnx_axis(o, &axis, in->rank);
  if (status) return status;
  if (!t->ints || t->rank > 1 || !t->count || t->count > NN_BOTTOM_MAX) {
    return onnx_fail(o, "indices of %s; one or a list of up to %d is "
                     "supported", import_shape_text(o->im, t->rank, t->dims),
                     NN_BOTTOM_MAX);
  }
  status = moves_pick(o, in, (int)axis, t, &cut);
  if (status || t->rank) {
    return status ? status : onnx_give_like(o, 0, cut.layer, &cut);
  }
  status = onnx_plain(o, &cut);
  for (int i = 0; i < in->rank; i++) {
    if (i != axis) dims[rank++] = in->dims[i];
  }
  return status ? status : onnx_give(o, 0, cut.layer, rank, dims, NULL);
}

/* Borders ------------------------------------------------------------------ */

static nn_status moves_border(onnx *o, onnx_value *v, const int view[3],
                              const int pad[4], const char *mode, float value,
                              const char *name) {
  import_layer *from;
  nn_status status = onnx_seen(o, v, view, &from);
  if (status) return status;
  const int shape[3] = {view[0], view[1] + pad[0] + pad[2],
                        view[2] + pad[1] + pad[3]};
  import_layer *layer = onnx_layer(o, name, "Padding", from, shape);
  if (!layer) return NN_MODEL;
  status = import_ints(o->im, layer, "pad", 4, pad);
  if (!status && mode) status = import_string(o->im, layer, "mode", mode);
  if (!status && !mode && value != 0) {
    status = import_float(o->im, layer, "value", value);
  }
  v->layer = layer;
  return status;
}

/* pads[i] before axis i, pads[rank + i] behind it, by the axes that are named;
** negative ones are cut off first. */
static nn_status moves_pads(onnx *o, onnx_value *v, int64_t *before,
                            int64_t *after) {
  const int64_t *list, *axes;
  int n, named;
  nn_status status = onnx_list(o, "pads", 1, &list, &n);
  if (!status) status = onnx_list(o, "axes", 3, &axes, &named);
  if (status) return status;
  int count = named >= 0 ? named : v->rank;
  if (n != 2 * count || count > v->rank) {
    return onnx_fail(o, "%d numbers of padding for %d sides", n, count);
  }
  memset(before, 0, ONNX_RANK * sizeof(*before));
  memset(after, 0, ONNX_RANK * sizeof(*after));
  for (int i = 0; i < count; i++) {
    int64_t axis = named >= 0 ? axes[i] : i, a = list[i], b = list[count + i];
    status = onnx_axis(o, &axis, v->rank);
    if (status) return status;
    if (a > NN_SIDE_MAX || b > NN_SIDE_MAX || a < -(1 << 28) ||
        b < -(1 << 28)) {
      return onnx_fail(o, "padding of %lld and %lld", (long long)a,
                       (long long)b);
    }
    if (!axis && (a || b)) {
      return onnx_fail(o, "it adds images to the batch or takes some away");
    }
    before[axis] = a > 0 ? a : 0;
    after[axis] = b > 0 ? b : 0;
    if (a < 0 || b < 0) {
      status = moves_cut(o, v, (int)axis, a < 0 ? -a : 0,
                         v->dims[axis] + (b < 0 ? b : 0), "cut");
      if (status) return status;
    }
  }
  return NN_OK;
}

nn_status onnx_pad(onnx *o) {
  int64_t before[ONNX_RANK], after[ONNX_RANK];
  const char *mode = NULL;
  float value = 0;
  onnx_value *in;
  int view[3];
  nn_status status = onnx_blob(o, 0, &in);
  if (!status) status = onnx_plain(o, in);
  if (!status) status = onnx_number(o, "value", 2, &value);
  if (status) return status;
  if (onnx_is(o, "mode", "reflect", 0)) mode = "reflect";
  else if (onnx_is(o, "mode", "edge", 0)) mode = "edge";
  else if (!onnx_is(o, "mode", "constant", 1)) {
    return onnx_fail(o, "mode is constant, reflect or edge");
  }
  onnx_value v = *in;
  status = moves_pads(o, &v, before, after);
  int planes = v.rank == 4 && (before[2] || after[2] || before[3] || after[3]);
  for (int i = 1; i < v.rank && !status; i++) {
    if (planes && i > 1) break;
    if (!before[i] && !after[i]) continue;
    view[0] = (int)moves_product(&v, 1, i);
    view[1] = (int)v.dims[i];
    view[2] = (int)moves_product(&v, i + 1, v.rank);
    const int pad[4] = {(int)before[i], 0, (int)after[i], 0};
    status = moves_border(o, &v, view, pad, mode, value,
                          planes ? "channels" : NULL);
    v.dims[i] += before[i] + after[i];
  }
  if (!status && planes) {
    const int pad[4] = {(int)before[2], (int)before[3], (int)after[2],
                        (int)after[3]};
    status = onnx_view(o, &v, view);
    if (!status) status = moves_border(o, &v, view, pad, mode, value, NULL);
    v.dims[2] += before[2] + after[2];
    v.dims[3] += before[3] + after[3];
  }
  return status ? status : onnx_give_like(o, 0, v.layer, &v);
}

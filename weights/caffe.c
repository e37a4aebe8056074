/*
** binhash-import caffe: a network of Caffe as an import graph.
**
** Layers are taken in the order of the file, which is the order in which they
** run.  Caffe names blobs beside layers, and a layer may write into the blob
** that it reads; here each layer writes one of its own, under the layer's name.
** A table says which layer wrote a blob's name last, and whoever reads that
** name reads this layer.  In the end, a blob whose name no layer has becomes
** another name of the layer that wrote it last, and so does a layer that does
** nothing at inference of the one it passes on.
**
** Layers that only training needs are dropped: data, losses (a softmax with a
** loss stays, as a softmax), accuracy, dropout.  V0's "padding" layers become
** padding of the convolution that reads them.  What cannot be expressed is
** refused by name.
*/
#include <stdio.h>
#include <string.h>

#include "caffe.h"

/* Memory that reading n bytes may take: twice what unpacking may
** (import_file.c), and room for blobs that are turned or widened. */
#define CAFFE_MEMORY(n) (6 * (n) + ((size_t)256 << 20))

/* Blobs -------------------------------------------------------------------- */

static caffe_blob *caffe_find(const caffe_net *net, const char *name) {
  caffe_blob *blob = net->blobs;
  while (blob && strcmp(blob->name, name) != 0) blob = blob->next;
  return blob;
}

/* From here on, `name` is what the layer writes. */
static nn_status caffe_write(caffe_net *net, const char *name,
                             import_layer *layer, int rank, int pad) {
  caffe_blob *blob = caffe_find(net, name);
  if (!blob) {
    blob = import_alloc(net->im, 1, sizeof(*blob));
    if (!blob) return NN_NOMEM;
    blob->name = name;
    blob->next = net->blobs;
    net->blobs = blob;
  }
  blob->layer = layer;
  blob->rank = rank;
  blob->pad = pad;
  return NN_OK;
}

nn_status caffe_read(caffe_net *net, const caffe_layer *l, size_t i,
                            caffe_blob **out) {
  if (i >= l->p.n_bottom) {
    return import_fail(net->im, l->p.name, "it has %zu bottoms; %zu were "
                       "expected", l->p.n_bottom, i + 1);
  }
  *out = caffe_find(net, l->p.bottom[i]);
  if (*out && (*out)->layer) return NN_OK;
  return import_fail(net->im, l->p.name, "its bottom %s is %s",
                     nn_shown_name(l->p.bottom[i]).text,
                     *out ? "not a picture, and only pictures come in"
                          : "written by no layer before it");
}

/* Geometry ----------------------------------------------------------------- */

nn_status caffe_pair(caffe_net *net, const caffe_layer *l, const char *what,
                     size_t n, const uint32_t *values, int has_h, uint32_t h,
                     int has_w, uint32_t w, uint32_t otherwise, int out[2]) {
  uint32_t pair[2] = {otherwise, otherwise};
  if (n > 2) {
    return import_fail(net->im, l->p.name, "%s has %zu numbers, for height and "
                       "width 1 or 2 were expected", what, n);
  }
  if (n) {
    pair[0] = values[0];
    pair[1] = values[n - 1];
  }
  if (has_h) pair[0] = h;
  if (has_w) pair[1] = w;
  uint32_t least = strcmp(what, "pad") == 0 ? 0 : 1;
  for (int i = 0; i < 2; i++) {
    if (pair[i] < least || pair[i] > NN_SIDE_MAX) {
      return import_fail(net->im, l->p.name, "%s %u; %u to %d were expected",
                         what, pair[i], least, NN_SIDE_MAX);
    }
    out[i] = (int)pair[i];
  }
  return NN_OK;
}

int caffe_side(caffe_net *net, const caffe_layer *l, int64_t side, int64_t pad,
               int64_t reach, int64_t stride, int ceil) {
  int64_t room = side + pad - reach;
  int64_t n = room < 0 ? 0 : (room + (ceil ? stride - 1 : 0)) / stride + 1;
  if (n >= 1 && n <= NN_SIDE_MAX) return (int)n;
  import_fail(net->im, l->p.name, "a window of %lld on a side of %lld with "
              "padding", (long long)reach, (long long)(side + pad));
  return 0;
}

nn_status caffe_add(caffe_net *net, const char *name, const char *type,
                    import_layer *in, import_layer **out) {
  *out = import_add(net->im, name, type, in);
  if (!*out) return NN_MODEL;
  memcpy((*out)->shape, in->shape, sizeof(in->shape));
  return NN_OK;
}

nn_status caffe_plain(caffe_net *net, const caffe_layer *l, const char *type,
                      caffe_blob *in, import_layer **out) {
  return caffe_add(net, l->p.name, type, in->layer, out);
}

/* Layers of several bottoms or tops ---------------------------------------- */

/* Further bottoms; which of the three sides may differ: -1, none. */
static nn_status caffe_bottoms(caffe_net *net, const caffe_layer *l, int free,
                               import_layer *layer) {
  import *im = net->im;
  int64_t side = free < 0 ? 0 : layer->shape[free];
  if (l->p.n_bottom > NN_BOTTOM_MAX) {
    return import_fail(im, l->p.name, "%zu bottoms; at most %d are supported",
                       l->p.n_bottom, NN_BOTTOM_MAX);
  }
  for (size_t i = 1; i < l->p.n_bottom; i++) {
    caffe_blob *more;
    nn_status status = caffe_read(net, l, i, &more);
    if (!status) status = import_bottom(im, layer, more->layer);
    if (status) return status;
    for (int k = 0; k < 3; k++) {
      int has = more->layer->shape[k];
      if (k == free) side += has;
      else if (has != layer->shape[k]) {
        return import_fail(im, l->p.name, "its bottoms differ: %s is %d x %d "
                           "x %d", nn_shown_name(more->name).text,
                           more->layer->shape[0], more->layer->shape[1],
                           more->layer->shape[2]);
      }
    }
  }
  if (side > 1 << 28) return import_fail(im, l->p.name, "too large");
  if (free >= 0) layer->shape[free] = (int)side;
  return NN_OK;
}

static nn_status caffe_axis(caffe_net *net, const caffe_layer *l, int rank,
                            int axis, int *out) {
  *out = axis < 0 ? axis + rank : axis;
  if (*out >= 1 && *out < rank) return NN_OK;
  return import_fail(net->im, l->p.name, "axis %d; 1 to %d are supported",
                     axis, rank - 1);
}

static nn_status caffe_concat(caffe_net *net, const caffe_layer *l,
                              caffe_blob *in, import_layer **out) {
  const Caffe__ConcatParameter *p = l->p.concat_param;
  int axis = p ? p->axis : 1;
  if (p && p->has_concat_dim) axis = p->concat_dim > 4 ? 5 : (int)p->concat_dim;
  nn_status status = caffe_axis(net, l, in->rank, axis, &axis);
  if (!status) status = caffe_plain(net, l, "Concat", in, out);
  if (!status && axis > 1) status = import_int(net->im, *out, "axis", axis);
  return status ? status : caffe_bottoms(net, l, axis - 1, *out);
}

static nn_status caffe_eltwise(caffe_net *net, const caffe_layer *l,
                               caffe_blob *in, import_layer **out) {
  import *im = net->im;
  Caffe__EltwiseParameter otherwise = CAFFE__ELTWISE_PARAMETER__INIT;
  static const char *const words[3] = {"PROD", "SUM", "MAX"};
  const Caffe__EltwiseParameter *p =
      l->p.eltwise_param ? l->p.eltwise_param : &otherwise;
  int operation = (int)p->operation, weighted = 0;
  if (operation < 0 || operation > 2 || l->p.n_bottom < 2) {
    return import_fail(im, l->p.name, "PROD, SUM or MAX of two or more was "
                       "expected");
  }
  for (size_t i = 0; i < p->n_coeff; i++) weighted |= p->coeff[i] != 1;
  if (p->n_coeff && (operation != 1 || p->n_coeff != l->p.n_bottom)) {
    return import_fail(im, l->p.name, "%zu coefficients of %zu bottoms; one "
                       "for each bottom of a SUM was expected", p->n_coeff,
                       l->p.n_bottom);
  }
  nn_status status = caffe_plain(net, l, "Eltwise", in, out);
  if (!status) status = caffe_bottoms(net, l, -1, *out);
  if (!status) status = import_string(im, *out, "operation", words[operation]);
  if (status || !weighted) return status;
  return import_floats(im, *out, "coeff", (int)p->n_coeff, p->coeff);
}

/* Each top is a layer, under the top's name; the layer's own name is the first
** one's too. */
static nn_status caffe_slice(caffe_net *net, const caffe_layer *l,
                             caffe_blob *in) {
  import *im = net->im;
  const Caffe__SliceParameter *p = l->p.slice_param;
  int axis = p ? p->axis : 1, begin = 0;
  size_t tops = l->p.n_top, points = p ? p->n_slice_point : 0;
  if (p && p->has_slice_dim) axis = p->slice_dim > 4 ? 5 : (int)p->slice_dim;
  nn_status status = caffe_axis(net, l, in->rank, axis, &axis);
  if (status) return status;
  int side = in->layer->shape[axis - 1];
  if (!tops || (points ? points != tops - 1 : (size_t)side % tops != 0)) {
    return import_fail(im, l->p.name, "%zu tops of %d with %zu slice_points; "
                       "one point less than tops, or none, was expected", tops,
                       side, points);
  }
  for (size_t i = 0; i < tops && !status; i++) {
    uint32_t to = !points        ? (uint32_t)((size_t)side / tops * (i + 1))
                  : i < points ? p->slice_point[i]
                               : (uint32_t)side;
    import_layer *layer;
    char *name = import_unique(im, l->p.top[i]);
    if (!name) return NN_NOMEM;
    if (to <= (uint32_t)begin || to > (uint32_t)side) {
      return import_fail(im, l->p.name, "slice_point %u of %d", to, side);
    }
    status = caffe_add(net, name, "Slice", in->layer, &layer);
    if (!status && axis > 1) status = import_int(im, layer, "axis", axis);
    if (!status) status = import_int(im, layer, "begin", begin);
    if (!status) status = import_int(im, layer, "end", (int)to);
    if (status) return status;
    layer->shape[axis - 1] = (int)to - begin;
    begin = (int)to;
    if (i == 0) status = import_add_alias(im, l->p.name, layer);
    if (!status) {
      status = caffe_write(net, l->p.top[i], layer, in->rank, 0);
    }
  }
  return status;
}

/* One top as it is: what does nothing at inference. */
static nn_status caffe_pass(caffe_net *net, const caffe_layer *l,
                            caffe_blob *in, int pad) {
  import_layer *layer = in->layer;
  int rank = in->rank, before = in->pad;
  nn_status status = NN_OK;
  if (pad > NN_SIDE_MAX) {
    return import_fail(net->im, l->p.name, "pad %d; at most %d was expected",
                       pad, NN_SIDE_MAX);
  }
  for (size_t i = 0; i < l->p.n_top && !status; i++) {
    status = caffe_write(net, l->p.top[i], layer, rank, before + pad);
  }
  if (status || pad || before) return status;
  return import_add_alias(net->im, l->p.name, layer);
}

/* All types ---------------------------------------------------------------- */

static const struct {
  const char *type;
  nn_status (*convert)(caffe_net *net, const caffe_layer *l, caffe_blob *in,
                       import_layer **out);
  int rank;             /* of what it writes; 0: as what it reads */
} caffe_types[] = {{"BatchNorm", caffe_batch_norm, 0},
                   {"Concat", caffe_concat, 0},
                   {"Convolution", caffe_convolution, 0},
                   {"Eltwise", caffe_eltwise, 0},
                   {"Flatten", caffe_flatten, 2},
                   {"InnerProduct", caffe_inner_product, 2},
                   {"LRN", caffe_lrn, 0},
                   {"Pooling", caffe_pooling, 0},
                   {"Power", caffe_power, 0},
                   {"ReLU", caffe_relu, 0},
                   {"Reshape", caffe_reshape, 4},
                   {"Scale", caffe_scale, 0},
                   {"Sigmoid", caffe_sigmoid, 0},
                   {"Softmax", caffe_softmax, 0},
                   {"SoftmaxWithLoss", caffe_softmax, 0},
                   {"TanH", caffe_tanh, 0}};

enum { CAFFE_TYPES = sizeof(caffe_types) / sizeof(*caffe_types) };

/* Types that are read beside those: they vanish. */
static const char *const caffe_dropped[] = {
    "Accuracy", "ContrastiveLoss", "EuclideanLoss", "HDF5Output", "HingeLoss",
    "InfogainLoss", "MultinomialLogisticLoss", "SigmoidCrossEntropyLoss",
    "Silence", NULL};

const char *const *import_caffe_supported(void) {
  static const char *const names[] = {
      "BatchNorm",    "Concat",  "Convolution", "Eltwise",
      "Flatten",      "LRN",     "InnerProduct", "Pooling",
      "Power (power 1)", "ReLU", "Reshape",     "Scale",
      "Sigmoid",      "Slice",   "Softmax",     "SoftmaxWithLoss",
      "TanH",         "padding (V0)", "Dropout",  "Split",
      "data layers",  "losses and Accuracy (dropped)", NULL};
  return names;
}

static int caffe_listed(const char *const *list, const char *type) {
  while (*list && strcmp(*list, type) != 0) list++;
  return *list != NULL;
}

static nn_status caffe_unsupported(caffe_net *net, const caffe_layer *l) {
  char text[512];
  size_t n = 0;
  text[0] = 0;
  for (int i = 0; i < CAFFE_TYPES; i++) {
    n += (size_t)snprintf(text + n, sizeof(text) - n, "%s, ",
                          caffe_types[i].type);
  }
  return import_fail(net->im, l->p.name, "the type %s is not supported; %s"
                     "Slice, Dropout, Split and data and loss layers are",
                     nn_shown_name(l->p.type).text, text);
}

/* A layer that computes something, of the table. */
static nn_status caffe_convert(caffe_net *net, const caffe_layer *l,
                               caffe_blob *in, int i) {
  import_layer *out;
  int rank = caffe_types[i].rank ? caffe_types[i].rank : in->rank;
  if (l->p.n_top > 1) {
    return import_fail(net->im, l->p.name, "%zu tops; one was expected",
                       l->p.n_top);
  }
  if (in->pad && caffe_types[i].convert != caffe_convolution) {
    return import_fail(net->im, l->p.name, "a padding layer before %s; before "
                       "a convolution it is supported", l->p.type);
  }
  nn_status status = caffe_types[i].convert(net, l, in, &out);
  if (status) return status;
  size_t size = nn_mul(nn_mul((size_t)out->shape[0], (size_t)out->shape[1]),
                       (size_t)out->shape[2]);
  if (size > NN_ALLOC_MAX / sizeof(float)) {
    return import_fail(net->im, l->p.name, "%d x %d x %d values are too many",
                       out->shape[0], out->shape[1], out->shape[2]);
  }
  /* an old loss has no top */
  return caffe_write(net, l->p.n_top ? l->p.top[0] : l->p.name, out, rank, 0);
}

static nn_status caffe_layer_of(caffe_net *net, const caffe_layer *l) {
  caffe_blob *in;
  nn_status status;
  if (caffe_listed(caffe_dropped, l->p.type)) return NN_OK;
  if (strcmp(l->p.type, "Input") == 0) return NN_OK;
  if (strcmp(l->p.type, "Slice") == 0 && l->p.n_bottom) {
    in = caffe_find(net, l->p.bottom[0]);
    if (in && !in->layer) return NN_OK;   /* labels, taken apart */
  }
  int i = 0;
  while (i < CAFFE_TYPES && strcmp(caffe_types[i].type, l->p.type) != 0) i++;
  int slice = strcmp(l->p.type, "Slice") == 0;
  int passes = strcmp(l->p.type, "Dropout") == 0 ||
               strcmp(l->p.type, "Split") == 0 || l->padding >= 0;
  if (i == CAFFE_TYPES && !slice && !passes) return caffe_unsupported(net, l);
  status = caffe_read(net, l, 0, &in);
  if (status) return status;
  if (passes) return caffe_pass(net, l, in, l->padding < 0 ? 0 : l->padding);
  if (slice) return caffe_slice(net, l, in);
  return caffe_convert(net, l, in, i);
}

/* The input ---------------------------------------------------------------- */

/* As many channels as the filters of the first convolution see. */
static int caffe_channels(const caffe_net *net) {
  for (size_t i = 0; i < net->layer_count; i++) {
    const caffe_layer *l = &net->layers[i];
    const Caffe__ConvolutionParameter *c = l->p.convolution_param;
    if (strcmp(l->p.type, "Convolution") != 0 || !l->blobs || !c) continue;
    const Caffe__BlobProto *b = l->blob[0];
    int64_t n = b->shape && b->shape->n_dim == 4 ? b->shape->dim[1]
                                                 : b->channels;
    if (n >= 1 && n <= 4 && c->group == 1) return (int)n;
    break;
  }
  return 3;
}

static nn_status caffe_mean(caffe_net *net, int channels) {
  import *im = net->im;
  caffe_data *d = &net->data;
  float *mean = im->preprocess.mean;
  const import_options *o = &im->options;
  if (o->has_mean) return NN_OK;   /* import_preprocessing has the last word */
  if (o->mean_file) return caffe_read_mean(im, o->mean_file, channels, mean);
  if (d->mean_values) {
    if (d->mean_values != 1 && d->mean_values != channels) {
      return import_fail(im, NULL, "%d mean_values for %d channels",
                         d->mean_values, channels);
    }
    for (int c = 0; c < 3; c++) mean[c] = d->mean[d->mean_values == 1 ? 0 : c];
    return NN_OK;
  }
  if (d->mean_file) {
    /* where the file says, else beside it */
    if (caffe_read_mean(im, d->mean_file, channels, mean) == NN_OK) {
      return NN_OK;
    }
    const char *name = strrchr(d->mean_file, '/');
    const char *slash = net->deploy ? strrchr(net->deploy, '/') : NULL;
    char *path = import_print(im, "%.*s%.900s",
                              slash ? (int)(slash + 1 - net->deploy) : 0,
                              slash ? net->deploy : "",
                              name ? name + 1 : d->mean_file);
    if (path && caffe_read_mean(im, path, channels, mean) == NN_OK) {
      im->error[0] = 0;
      return NN_OK;
    }
    im->file = net->deploy;
    return import_fail(im, NULL, "the mean of its data layer, meanfile \"%s\", "
                       "cannot be read, neither there nor as \"%s\"; --mean "
                       "FILE or --mean B,G,R gives another",
                       nn_shown_name(d->mean_file).text, path ? path : "");
  }
  import_warn(im, "%s says nothing of a mean, and none is taken off; --mean "
              "gives one", net->deploy ? net->deploy : "the network");
  return NN_OK;
}

static nn_status caffe_input(caffe_net *net) {
  import *im = net->im;
  caffe_data *d = &net->data;
  const import_options *o = &im->options;
  if (o->has_crop) {
    d->height = o->crop[0];
    d->width = o->crop[1];
  }
  if (!d->height || !d->width) {
    return import_fail(im, NULL, "nothing says how large the input is: the "
                       "data layer has no cropsize (crop_size), and there is "
                       "no input_dim; --crop WxH gives it");
  }
  if (!d->channels) d->channels = caffe_channels(net);
  import_layer *input =
      import_input(im, net->input, d->channels, d->height, d->width);
  if (!input) return NN_MODEL;
  import_preprocess *p = &im->preprocess;
  p->bgr = 1;
  p->size[0] = p->size[1] = 256;
  if (d->new_height > 0 && d->new_width > 0) {
    p->size[0] = d->new_height;
    p->size[1] = d->new_width;
  } else if (d->height < 128 || d->width < 128) {
    p->size[0] = p->size[1] = 0;   /* small pictures are not cut out of large */
  }
  for (int c = 0; c < 3; c++) p->scale[c] = d->scale;
  nn_status status = caffe_mean(net, d->channels);
  return status ? status : caffe_write(net, net->input, input, 4, 0);
}

/* The whole ---------------------------------------------------------------- */

static nn_status caffe_names(caffe_net *net) {
  nn_status status = NN_OK;
  for (caffe_blob *b = net->blobs; b && !status; b = b->next) {
    if (b->layer && !b->pad) {
      status = import_add_alias(net->im, b->name, b->layer);
    }
  }
  return status;
}

static nn_status caffe_all(caffe_net *net, const uint8_t *text,
                           size_t text_size, const uint8_t *weights,
                           size_t weights_size) {
  import *im = net->im;
  size_t left = im->left, bound = CAFFE_MEMORY(text_size + weights_size);
  if (left > bound) im->left = bound;
  im->file = net->deploy;
  nn_status status = caffe_read_net(net, text, text_size);
  im->file = net->weights;
  if (!status) status = caffe_read_weights(net, weights, weights_size);
  im->file = net->deploy;
  if (!status) status = caffe_input(net);
  for (size_t i = 0; i < net->layer_count && !status; i++) {
    status = caffe_layer_of(net, &net->layers[i]);
  }
  if (!status) status = caffe_names(net);
  if (left > bound) im->left += left - bound;
  if (!status || im->error[0]) return status;
  return import_no_memory(im);
}

nn_status caffe_import(import *im, const uint8_t *text, size_t text_size,
                       const uint8_t *weights, size_t weights_size) {
  caffe_net net = {.im = im, .deploy = "the network",
                   .weights = "the caffemodel"};
  return caffe_all(&net, text, text_size, weights, weights_size);
}

nn_status import_caffe(import *im, const char *const *paths) {
  caffe_net net = {.im = im, .deploy = paths[0], .weights = paths[1]};
  const uint8_t *text, *weights;
  size_t text_size, weights_size;
  nn_status status = import_map_file(im, paths[0], &text, &text_size);
  if (!status) {
    status = import_map_file(im, paths[1], &weights, &weights_size);
  }
  if (status) return status;
  return caffe_all(&net, text, text_size, weights, weights_size);
}

/*
** Caffe's files: what is written in them, as one kind of layer.
**
** Caffe has had three ways to write a layer.  The current one names its type in
** a string and has a message of parameters for each type.  V1 (2013 to 2014)
** has an enum in its place and the same parameters.  V0, in which the paper's
** network is published, has a layer within a layer, and all parameters in one
** message.  Both files, the text of the network and the binary of the weights,
** may be of any of them.  Here the old ones become the current one, as Caffe's
** own upgrade does it, and each layer finds its trained blobs by its name.
**
** Which layers there are at inference is settled here too: Caffe's rules of
** phases are followed for the phase TEST.
*/
#include <math.h>
#include <string.h>

#include "caffe.h"
#include "prototxt.h"

/* V0 ----------------------------------------------------------------------- */

static const char *read_v0_type(const char *type) {
  static const char *const types[][2] = {
      {"conv", "Convolution"},
      {"pool", "Pooling"},
      {"relu", "ReLU"},
      {"lrn", "LRN"},
      {"innerproduct", "InnerProduct"},
      {"sigmoid", "Sigmoid"},
      {"tanh", "TanH"},
      {"softmax", "Softmax"},
      {"softmax_loss", "SoftmaxWithLoss"},
      {"dropout", "Dropout"},
      {"concat", "Concat"},
      {"flatten", "Flatten"},
      {"split", "Split"},
      {"data", "Data"},
      {"images", "ImageData"},
      {"window_data", "WindowData"},
      {"hdf5_data", "HDF5Data"},
      {"hdf5_output", "HDF5Output"},
      {"accuracy", "Accuracy"},
      {"euclidean_loss", "EuclideanLoss"},
      {"hinge_loss", "HingeLoss"},
      {"infogain_loss", "InfogainLoss"},
      {"multinomial_logistic_loss", "MultinomialLogisticLoss"}};
  for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++) {
    if (strcmp(types[i][0], type) == 0) return types[i][1];
  }
  return type;   /* named in the error */
}

/* All parameters that a V0 layer may have, in their messages of today. */
typedef struct read_v0 {
  Caffe__ConvolutionParameter convolution;
  Caffe__InnerProductParameter inner_product;
  Caffe__PoolingParameter pooling;
  Caffe__LRNParameter lrn;
  Caffe__ConcatParameter concat;
  Caffe__TransformationParameter transform;
  Caffe__ImageDataParameter image_data;
  uint32_t kernel, stride, pad;
} read_v0;

static nn_status read_upgrade_v0(import *im, const Caffe__V0LayerParameter *v0,
                                 caffe_layer *to) {
  read_v0 *v = import_alloc(im, 1, sizeof(*v));
  Caffe__LayerParameter *p = &to->p;
  if (!v) return NN_NOMEM;
  p->name = v0->name;
  p->type = (char *)(uintptr_t)(v0->type ? read_v0_type(v0->type) : "");
  to->blobs = v0->n_blobs;
  to->blob = v0->blobs;
  if (v0->type && strcmp(v0->type, "padding") == 0) {
    to->padding = v0->pad > NN_SIDE_MAX ? NN_SIDE_MAX + 1 : (int)v0->pad;
  }
  v->kernel = v0->kernelsize;
  v->stride = v0->stride;
  v->pad = v0->pad;
  caffe__convolution_parameter__init(&v->convolution);
  v->convolution.has_num_output = v0->has_num_output;
  v->convolution.num_output = v0->num_output;
  v->convolution.bias_term = v0->biasterm;
  v->convolution.group = v0->group;
  v->convolution.n_kernel_size = (size_t)(v0->has_kernelsize != 0);
  v->convolution.kernel_size = &v->kernel;
  v->convolution.n_stride = v->convolution.n_pad = 1;
  v->convolution.stride = &v->stride;
  v->convolution.pad = &v->pad;
  caffe__inner_product_parameter__init(&v->inner_product);
  v->inner_product.has_num_output = v0->has_num_output;
  v->inner_product.num_output = v0->num_output;
  v->inner_product.bias_term = v0->biasterm;
  caffe__pooling_parameter__init(&v->pooling);
  v->pooling.pool = v0->pool;
  v->pooling.has_kernel_size = v0->has_kernelsize;
  v->pooling.kernel_size = v0->kernelsize;
  v->pooling.stride = v0->stride;
  v->pooling.has_pad = 1;
  v->pooling.pad = v0->pad;
  caffe__lrnparameter__init(&v->lrn);
  v->lrn.local_size = v0->local_size;
  v->lrn.alpha = v0->alpha;
  v->lrn.beta = v0->beta;
  v->lrn.k = v0->k;
  caffe__concat_parameter__init(&v->concat);
  v->concat.axis = v0->concat_dim > 3 ? 4 : (int)v0->concat_dim;
  caffe__transformation_parameter__init(&v->transform);
  v->transform.scale = v0->scale;
  v->transform.has_crop_size = v0->has_cropsize;
  v->transform.crop_size = v0->cropsize;
  v->transform.mean_file = v0->meanfile;
  caffe__image_data_parameter__init(&v->image_data);
  v->image_data.new_height = v0->new_height;
  v->image_data.new_width = v0->new_width;
  p->convolution_param = &v->convolution;
  p->inner_product_param = &v->inner_product;
  p->pooling_param = &v->pooling;
  p->lrn_param = &v->lrn;
  p->concat_param = &v->concat;
  p->transform_param = &v->transform;
  p->image_data_param = &v->image_data;
  return NN_OK;
}

/* V1 ----------------------------------------------------------------------- */

static const char *read_v1_type(Caffe__V1LayerParameter__LayerType type) {
  static const char *const types[] = {
      NULL, "Accuracy", "BNLL", "Concat", "Convolution", "Data", "Dropout",
      "EuclideanLoss", "Flatten", "HDF5Data", "HDF5Output", "Im2col",
      "ImageData", "InfogainLoss", "InnerProduct", "LRN",
      "MultinomialLogisticLoss", "Pooling", "ReLU", "Sigmoid", "Softmax",
      "SoftmaxWithLoss", "Split", "TanH", "WindowData", "Eltwise", "Power",
      "SigmoidCrossEntropyLoss", "HingeLoss", "MemoryData", "ArgMax",
      "Threshold", "DummyData", "Slice", "MVN", "AbsVal", "Silence",
      "ContrastiveLoss", "Exp", "Deconvolution"};
  size_t i = (size_t)type;
  return i && i < sizeof(types) / sizeof(*types) ? types[i] : "";
}

static nn_status read_upgrade_v1(import *im,
                                 const Caffe__V1LayerParameter *v1,
                                 caffe_layer *to) {
  Caffe__LayerParameter *p = &to->p;
  nn_status status = NN_OK;
  if (v1->layer) {
    status = read_upgrade_v0(im, v1->layer, to);
  } else {
    p->name = v1->name;
    p->type = (char *)(uintptr_t)read_v1_type(v1->type);
    to->blobs = v1->n_blobs;
    to->blob = v1->blobs;
    p->concat_param = v1->concat_param;
    p->convolution_param = v1->convolution_param;
    p->data_param = v1->data_param;
    p->image_data_param = v1->image_data_param;
    p->inner_product_param = v1->inner_product_param;
    p->lrn_param = v1->lrn_param;
    p->pooling_param = v1->pooling_param;
    p->window_data_param = v1->window_data_param;
    p->power_param = v1->power_param;
    p->memory_data_param = v1->memory_data_param;
    p->eltwise_param = v1->eltwise_param;
    p->relu_param = v1->relu_param;
    p->slice_param = v1->slice_param;
    p->transform_param = v1->transform_param;
    p->softmax_param = v1->softmax_param;
  }
  p->n_bottom = v1->n_bottom;
  p->bottom = v1->bottom;
  p->n_top = v1->n_top;
  p->top = v1->top;
  p->n_include = v1->n_include;
  p->include = v1->include;
  p->n_exclude = v1->n_exclude;
  p->exclude = v1->exclude;
  return status;
}

/* Both --------------------------------------------------------------------- */

/* Every layer of the message, as the current generation. */
static nn_status read_layers(import *im, const Caffe__NetParameter *m,
                             caffe_layer **out, size_t *count) {
  size_t n = m->n_layer + m->n_layers;
  caffe_layer *layers = import_alloc(im, n, sizeof(*layers));
  if (!layers) return NN_NOMEM;
  if (m->n_layer && m->n_layers) {
    return import_fail(im, NULL, "layers of two generations, %zu called "
                       "\"layer\" and %zu called \"layers\"", m->n_layer,
                       m->n_layers);
  }
  for (size_t i = 0; i < n; i++) {
    caffe_layer *to = &layers[i];
    to->padding = -1;
    if (m->n_layer) {
      to->p = *m->layer[i];
      to->blobs = to->p.n_blobs;
      to->blob = to->p.blobs;
    } else {
      caffe__layer_parameter__init(&to->p);
      nn_status status = read_upgrade_v1(im, m->layers[i], to);
      if (status) return status;
    }
    if (!to->p.name) to->p.name = (char *)(uintptr_t)"";
    if (!to->p.type) to->p.type = (char *)(uintptr_t)"";
  }
  *out = layers;
  *count = n;
  return NN_OK;
}

static int read_rule_met(const Caffe__NetStateRule *rule) {
  if (rule->has_phase && rule->phase != CAFFE__PHASE__TEST) return 0;
  if (rule->has_min_level && rule->min_level > 0) return 0;
  if (rule->has_max_level && rule->max_level < 0) return 0;
  return rule->n_stage == 0;   /* and none of not_stage is set */
}

/* Is the layer there at inference?  Phase TEST, level 0, no stages. */
static int read_included(const Caffe__LayerParameter *p) {
  for (size_t i = 0; i < p->n_exclude; i++) {
    if (read_rule_met(p->exclude[i])) return 0;
  }
  for (size_t i = 0; i < p->n_include; i++) {
    if (read_rule_met(p->include[i])) return 1;
  }
  return p->n_include == 0;
}

/* Fields that training or the machine need, and not the network's numbers. */
static int read_harmless(const char *field) {
  static const char *const fields[] = {
      "param", "blobs_lr", "weight_decay", "weight_filler", "bias_filler",
      "filler", "engine", "loss_weight", "propagate_down", "loss_param",
      "accuracy_param", "dropout_param", "dropout_ratio", "force_backward",
      "debug_info", "mirror", "batchsize", "batch_size", "source", "backend",
      "rand_skip", "shuffle", "shuffle_images", "prefetch", "level", "stage",
      "cache_images", "root_folder", "crop_mode", "use_global_stats",
      "moving_average_fraction", "stable_prod_grad", "force_nd_im2col",
      "blob_share_mode", "hinge_loss_param", "hdf5_data_param",
      "hdf5_output_param", "infogain_loss_param", "contrastive_loss_param",
      "dummy_data_param", "argmax_param", "sigmoid_param", "tanh_param",
      "force_color", "python_param", "fg_threshold", "bg_threshold",
      "fg_fraction", "context_pad", "new_num", "lr_mult", "decay_mult"};
  if (strncmp(field, "det_", 4) == 0) return 1;
  for (size_t i = 0; i < sizeof(fields) / sizeof(*fields); i++) {
    if (strcmp(fields[i], field) == 0) return 1;
  }
  return 0;
}

static void read_unknown(void *context, const char *message,
                         const char *field, int line) {
  import *im = context;
  if (read_harmless(field)) return;
  import_warn(im, "%s: line %d: the field %s of %s is not known and has no "
              "effect", im->file, line, nn_shown_name(field).text, message);
}

/* Data layers -------------------------------------------------------------- */

static int read_is_data(const char *type) {
  static const char *const types[] = {"Data", "ImageData", "WindowData",
                                      "HDF5Data", "MemoryData", "DummyData",
                                      "Input"};
  for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++) {
    if (strcmp(types[i], type) == 0) return 1;
  }
  return 0;
}

static int read_clamped(uint64_t n) {
  return n > NN_SIDE_MAX ? NN_SIDE_MAX + 1 : (int)n;
}

static void read_crop(caffe_data *d, uint32_t crop, float scale,
                      const char *mean_file) {
  if (crop) d->height = d->width = read_clamped(crop);
  if (scale != 1) d->scale = scale;
  if (mean_file && *mean_file) d->mean_file = mean_file;
}

static void read_shape(caffe_data *d, const Caffe__BlobShape *shape) {
  int side[3] = {0, 1, 1};
  for (size_t i = 1; i < shape->n_dim && i < 4; i++) {
    side[i - 1] = shape->dim[i] < 0 ? 0 : read_clamped((uint64_t)shape->dim[i]);
  }
  if (shape->n_dim < 2) return;
  d->channels = side[0];
  d->height = side[1];
  d->width = side[2];
}

static void read_data_layer(caffe_data *d, const Caffe__LayerParameter *p) {
  const Caffe__ImageDataParameter *image = p->image_data_param;
  const Caffe__DataParameter *data =
      p->data_param ? p->data_param : p->window_data_param;
  const Caffe__TransformationParameter *t = p->transform_param;
  const Caffe__MemoryDataParameter *memory = p->memory_data_param;
  if (data) read_crop(d, data->crop_size, data->scale, data->mean_file);
  if (image) {
    read_crop(d, image->crop_size, image->scale, image->mean_file);
    d->new_height = read_clamped(image->new_height);
    d->new_width = read_clamped(image->new_width);
    if (!image->is_color) d->channels = 1;
  }
  if (memory) {
    d->channels = read_clamped(memory->channels);
    d->height = read_clamped(memory->height);
    d->width = read_clamped(memory->width);
  }
  if (p->input_param && p->input_param->n_shape) {
    read_shape(d, p->input_param->shape[0]);
  }
  if (!t) return;
  read_crop(d, t->crop_size, t->scale, t->mean_file);
  if (t->force_gray) d->channels = 1;
  d->mean_values = t->n_mean_value > 3 ? 4 : (int)t->n_mean_value;
  for (int c = 0; c < d->mean_values && c < 3; c++) {
    d->mean[c] = t->mean_value[c];
  }
}

/* The input: those of the net itself, else the data layer of the phase TEST,
** else the one that there is. */
static void read_input(caffe_net *net, const Caffe__NetParameter *m) {
  caffe_data *d = &net->data;
  caffe_layer *found = NULL;
  d->scale = 1;
  if (m->n_input) {
    net->input = m->input[0];
    if (m->n_input_shape) read_shape(d, m->input_shape[0]);
    for (size_t i = 1; i < 4 && m->n_input_dim >= 4; i++) {
      int side = m->input_dim[i] < 0 ? 0 : read_clamped(
                                               (uint64_t)m->input_dim[i]);
      *(i == 1 ? &d->channels : i == 2 ? &d->height : &d->width) = side;
    }
  }
  for (size_t i = 0; i < net->layer_count; i++) {
    caffe_layer *l = &net->layers[i];
    if (!read_is_data(l->p.type) || !l->p.n_top) continue;
    if (!found || (!read_included(&found->p) && read_included(&l->p))) {
      found = l;
    }
  }
  if (found && !m->n_input) {
    net->input = found->p.top[0];
    read_data_layer(d, &found->p);
  }
}

/* Drop what is not there at inference; the data layers' tops are blobs that no
** layer writes, the input's aside. */
static nn_status read_drop(caffe_net *net, const Caffe__NetParameter *m) {
  size_t kept = 0;
  nn_status status = NN_OK;
  for (size_t i = 0; i < net->layer_count + m->n_input && !status; i++) {
    const Caffe__LayerParameter *p =
        i < m->n_input ? NULL : &net->layers[i - m->n_input].p;
    int data = !p || read_is_data(p->type);
    for (size_t j = 0; data && j < (p ? p->n_top : 1); j++) {
      caffe_blob *blob = import_alloc(net->im, 1, sizeof(*blob));
      if (!blob) return NN_NOMEM;
      blob->name = p ? p->top[j] : m->input[i];
      blob->rank = 4;
      blob->next = net->blobs;
      net->blobs = blob;
    }
    if (!data && read_included(p)) {
      net->layers[kept++] = net->layers[i - m->n_input];
    }
  }
  net->layer_count = kept;
  return status;
}

nn_status caffe_read_net(caffe_net *net, const uint8_t *text, size_t n) {
  import *im = net->im;
  uint8_t *wire;
  size_t wire_size;
  ProtobufCMessage *message;
  nn_status status =
      prototxt_read(im, &caffe__net_parameter__descriptor, text, n,
                    read_unknown, im, &wire, &wire_size);
  if (!status) {
    status = import_unpack(im, &caffe__net_parameter__descriptor,
                           "a network of Caffe", wire, wire_size, &message);
  }
  if (status) return status;
  const Caffe__NetParameter *m = (const Caffe__NetParameter *)(void *)message;
  status = read_layers(im, m, &net->layers, &net->layer_count);
  if (status) return status;
  for (size_t i = 0; i < net->layer_count; i++) net->layers[i].blobs = 0;
  read_input(net, m);
  if (!net->input) {
    return import_fail(im, NULL, "no input: neither \"input\" nor a data layer "
                       "is in it");
  }
  return read_drop(net, m);
}

nn_status caffe_read_weights(caffe_net *net, const uint8_t *bytes, size_t n) {
  import *im = net->im;
  ProtobufCMessage *message;
  caffe_layer *trained;
  size_t count;
  nn_status status = import_unpack(im, &caffe__net_parameter__descriptor,
                                   "a caffemodel", bytes, n, &message);
  if (!status) {
    status = read_layers(im, (const Caffe__NetParameter *)(void *)message,
                         &trained, &count);
  }
  if (status) return status;
  if (!count) return import_fail(im, NULL, "a caffemodel without layers");
  for (size_t i = 0; i < net->layer_count; i++) {
    caffe_layer *l = &net->layers[i];
    for (size_t j = 0; j < count && !l->blobs; j++) {
      if (strcmp(l->p.name, trained[j].p.name) != 0) continue;
      l->trained = 1;
      l->blobs = trained[j].blobs;
      l->blob = trained[j].blob;
    }
  }
  return NN_OK;
}

/* Means -------------------------------------------------------------------- */

nn_status caffe_read_mean(import *im, const char *path, int channels,
                          float *mean) {
  const char *before = im->file;
  const uint8_t *bytes;
  size_t n;
  ProtobufCMessage *message;
  nn_status status = import_map_file(im, path, &bytes, &n);
  if (!status) {
    status = import_unpack(im, &caffe__blob_proto__descriptor,
                           "a binaryproto of a mean", bytes, n, &message);
  }
  if (status) return status;
  const Caffe__BlobProto *blob = (const Caffe__BlobProto *)(void *)message;
  const Caffe__BlobShape *shape = blob->shape;
  int64_t c = shape && shape->n_dim >= 3 ? shape->dim[shape->n_dim - 3]
                                         : blob->channels;
  if (c != channels || !blob->n_data || blob->n_data % (size_t)channels) {
    return import_fail(im, NULL, "a mean of %lld channels and %zu values, the "
                       "input has %d channels", (long long)c, blob->n_data,
                       channels);
  }
  size_t plane = blob->n_data / (size_t)channels;
  double most = 0;
  for (int k = 0; k < channels && k < 3; k++) {
    const float *values = blob->data + (size_t)k * plane;
    double sum = 0;
    for (size_t i = 0; i < plane; i++) sum += values[i];
    mean[k] = (float)(sum / (double)plane);
    for (size_t i = 0; i < plane; i++) {
      double away = fabs((double)values[i] - mean[k]);
      if (away > most) most = away;
    }
  }
  if (!(most < 1e9)) return import_fail(im, NULL, "a mean that is no number");
  if (most > 0.01) {
    import_warn(im, "%s: a mean image; its mean over each channel is taken "
                "off, from which its pixels are up to %.1f away", path, most);
  }
  im->file = before;
  return NN_OK;
}

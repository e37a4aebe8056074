/*
** The ONNX reader of binhash-import: a file, its graph, node by node.
**
**   binhash-import onnx NET.onnx -o MODEL
**
** What PyTorch, TensorFlow or Keras exported becomes a model that
** img_hash(image, 'mine') can run.  A file is a protocol buffer with a graph in
** it: nodes, which are operators of versioned sets, read and write arrays by
** name, and stand in the order in which they can run.  Reading it is one walk.
** A node all of whose inputs are constants is computed (onnx_fold.c), since
** exporters write the sides of a reshape as a little program; one that reads
** the image becomes a layer or two (onnx_layers.c, onnx_moves.c, onnx_arith.c),
** or none where it changes a shape alone.  onnx.h says how arrays of any rank
** and blobs of three sides go together.
**
** Nodes on which no output depends are not looked at.  What is not supported is
** an error that names the node, never a guess.
*/
#include <stdio.h>
#include <string.h>

#include "onnx.h"

#define READ_OPSET_FIRST 7
#define READ_OPSET_LAST 21

/* Nodes and names of a graph: far more than networks of NN_LAYER_MAX layers
** have, and few enough to look through. */
#define READ_NODES 20000
#define READ_NAMES (1 << 18)

/* Elements that constants may have which a file makes out of nothing. */
#define READ_FOLDED ((size_t)1 << 24)

static const struct read_type {
  const char *name;
  nn_status (*run)(onnx *o);
} read_types[] = {{"Add", onnx_arithmetic},
                  {"AveragePool", onnx_pool},
                  {"BatchNormalization", onnx_batch_norm},
                  {"Cast", onnx_same},
                  {"Clip", onnx_clip},
                  {"Concat", onnx_concat},
                  {"Conv", onnx_conv},
                  {"Div", onnx_arithmetic},
                  {"Dropout", onnx_same},
                  {"Flatten", onnx_reshape},
                  {"Gather", onnx_gather},
                  {"Gemm", onnx_gemm},
                  {"GlobalAveragePool", onnx_global_pool},
                  {"GlobalMaxPool", onnx_global_pool},
                  {"HardSigmoid", onnx_activation},
                  {"HardSwish", onnx_activation},
                  {"Identity", onnx_same},
                  {"LRN", onnx_lrn},
                  {"LeakyRelu", onnx_activation},
                  {"MatMul", onnx_matmul},
                  {"Max", onnx_arithmetic},
                  {"MaxPool", onnx_pool},
                  {"Mean", onnx_arithmetic},
                  {"Min", onnx_arithmetic},
                  {"Mul", onnx_arithmetic},
                  {"Pad", onnx_pad},
                  {"ReduceMax", onnx_reduce},
                  {"ReduceMean", onnx_reduce},
                  {"Relu", onnx_activation},
                  {"Reshape", onnx_reshape},
                  {"Shape", onnx_shape_of},
                  {"Sigmoid", onnx_activation},
                  {"Slice", onnx_slice},
                  {"Softmax", onnx_softmax},
                  {"Split", onnx_split},
                  {"Squeeze", onnx_reshape},
                  {"Sub", onnx_arithmetic},
                  {"Sum", onnx_arithmetic},
                  {"Transpose", onnx_transpose},
                  {"Unsqueeze", onnx_reshape}};

enum { READ_TYPES = sizeof(read_types) / sizeof(*read_types) };

static const struct read_type *read_type(const char *name) {
  for (int i = 0; i < READ_TYPES; i++) {
    if (strcmp(read_types[i].name, name) == 0) return &read_types[i];
  }
  return NULL;
}

const char *const *import_onnx_supported(void) {
  static const char *names[READ_TYPES + 32];
  const char *const *fold = onnx_fold_names();
  int n = 0;
  for (; n < READ_TYPES; n++) names[n] = read_types[n].name;
  for (; *fold && n < READ_TYPES + 31; fold++) {
    if (!read_type(*fold)) names[n++] = *fold;
  }
  names[n] = NULL;
  return names;
}

/* What is wrong with a node's type ----------------------------------------- */

static int read_is_default(const char *domain) {
  return !domain || !domain[0] || strcmp(domain, "ai.onnx") == 0;
}

/* Operators of quantised networks. */
static int read_is_quantised(const char *name) {
  return strncmp(name, "QLinear", 7) == 0 || strstr(name, "uantize") ||
         strstr(name, "Integer");
}

static nn_status read_unsupported(onnx *o) {
  char list[700];
  size_t at = 0;
  list[0] = 0;
  for (int i = 0; i < READ_TYPES && at < sizeof(list); i++) {
    at += (size_t)snprintf(list + at, sizeof(list) - at, i ? ", %s" : "%s",
                           read_types[i].name);
  }
  const char *name = o->node->op_type ? o->node->op_type : "";
  if (!read_is_default(o->node->domain)) {
    return onnx_fail(o, "it is an operator of %s; those of ONNX itself are "
                     "supported: %s", nn_shown_name(o->node->domain).text,
                     list);
  }
  if (read_is_quantised(name)) {
    return onnx_fail(o, "quantised operators are not supported; export the "
                     "network in float32.  Supported are %s", list);
  }
  if (onnx_folds(name)) {
    return onnx_fail(o, "supported where all it reads is constant, and this "
                     "depends on the image");
  }
  return onnx_fail(o, "not supported.  Supported are %s", list);
}

/* Nodes -------------------------------------------------------------------- */

/* The values that the node reads and writes.  *constants: all that it reads. */
static nn_status read_names(onnx *o, int *constants) {
  OnnxNode *node = o->node;
  nn_status status;
  *constants = 1;
  if (node->n_input > ONNX_INPUTS || node->n_output > ONNX_INPUTS) {
    return onnx_fail(o, "%zu inputs and %zu outputs, %d can be",
                     node->n_input, node->n_output, ONNX_INPUTS);
  }
  o->inputs = (int)node->n_input;
  o->outputs = (int)node->n_output;
  for (int i = 0; i < o->inputs; i++) {
    o->in[i] = NULL;
    if (!node->input[i][0]) continue;
    onnx_value *v = o->in[i] = onnx_named(o, node->input[i]);
    if (!v) return NN_NOMEM;
    if (v->proto && !v->constant) {
      status = onnx_read_tensor(o, v->name, v->proto, &v->constant);
      if (status) return status;
    }
    if (!v->constant && !v->layer) {
      return onnx_fail(o, "it reads %s, which nothing before it gives",
                       nn_shown_name(v->name).text);
    }
    if (!v->constant) *constants = 0;
  }
  for (int i = 0; i < o->outputs; i++) {
    o->out[i] = NULL;
    if (!node->output[i][0]) continue;
    o->out[i] = onnx_named(o, node->output[i]);
    if (!o->out[i]) return NN_NOMEM;
  }
  return NN_OK;
}

static nn_status read_node(onnx *o) {
  const char *name = o->node->op_type ? o->node->op_type : "";
  const struct read_type *type = read_type(name);
  int constants;
  if (!read_is_default(o->node->domain) || (!type && !onnx_folds(name))) {
    return read_unsupported(o);
  }
  nn_status status = read_names(o, &constants);
  if (status) return status;
  if (constants && onnx_folds(name)) return onnx_fold(o);
  if (!type) return read_unsupported(o);
  if (constants) {
    return onnx_fail(o, "it computes with constants alone, which is not "
                     "supported for this operator");
  }
  return type->run(o);
}

/* Which nodes some output depends on; and of each value, how many read it. */
static nn_status read_needed(onnx *o, uint8_t *needed) {
  OnnxGraph *g = o->graph;
  for (size_t i = 0; i < g->n_output; i++) {
    onnx_value *v = g->output[i]->name ? onnx_named(o, g->output[i]->name)
                                       : NULL;
    if (!v) return import_no_memory(o->im);
    v->readers++;
  }
  for (size_t i = g->n_node; i-- > 0;) {
    OnnxNode *node = g->node[i];
    for (size_t k = 0; k < node->n_output; k++) {
      onnx_value *v = onnx_named(o, node->output[k]);
      if (!v) return NN_NOMEM;
      if (node->output[k][0] && v->readers) needed[i] = 1;
    }
    for (size_t k = 0; k < node->n_input && needed[i]; k++) {
      onnx_value *v = onnx_named(o, node->input[k]);
      if (!v) return NN_NOMEM;
      v->readers++;
    }
  }
  return NN_OK;
}

/* Input and output --------------------------------------------------------- */

/* The input's side i as the file has it, 0 where it leaves it open. */
static int64_t read_side(const OnnxInfo *info, int i) {
  const OnnxShape *s = info->type->tensor_type->shape;
  const OnnxDimension *d = s->dim[i];
  return d->has_dim_value ? d->dim_value : 0;
}

/* Height or width: the file's, or --crop's. */
static nn_status read_open_side(onnx *o, const OnnxInfo *info, int axis,
                                int crop, int64_t *side) {
  *side = read_side(info, axis);
  if (*side > 0 && (!crop || crop == *side)) return NN_OK;
  if (*side > 0) {
    return onnx_fail(o, "--crop says %d, and input %s is %lld there", crop,
                     nn_shown_name(info->name).text, (long long)*side);
  }
  *side = crop;
  if (crop) return NN_OK;
  return onnx_fail(o, "input %s has no fixed size: say which with --crop",
                   nn_shown_name(info->name).text);
}

/* Images come as N x C x H x W, or as N x H x W x C, which is a transposition
** of a blob. */
static nn_status read_input(onnx *o, const OnnxInfo *info) {
  static const int last[3] = {1, 2, 0}, first[3] = {0, 1, 2};
  const import_options *options = &o->im->options;
  const OnnxTensorType *type = info->type ? info->type->tensor_type : NULL;
  if (!type || !type->shape || type->shape->n_dim != 4) {
    return onnx_fail(o, "input %s does not have the four sides of a batch of "
                     "images", nn_shown_name(info->name).text);
  }
  int64_t d = read_side(info, 3), c = read_side(info, 1), h, w;
  int nhwc = (d == 1 || d == 3) && c != 1 && c != 3;
  nn_status status =
      read_open_side(o, info, nhwc ? 1 : 2,
                     options->has_crop ? options->crop[0] : 0, &h);
  if (!status) {
    status = read_open_side(o, info, nhwc ? 2 : 3,
                            options->has_crop ? options->crop[1] : 0, &w);
  }
  if (status) return status;
  if (nhwc) c = d;
  if (c < 1 || c > NN_SIDE_MAX || h > NN_SIDE_MAX || w > NN_SIDE_MAX) {
    return onnx_fail(o, "input %s has %lld channels of %lld x %lld; sides "
                     "are 1 to %d", nn_shown_name(info->name).text,
                     (long long)c, (long long)h, (long long)w, NN_SIDE_MAX);
  }
  int64_t batch = read_side(info, 0);
  o->batch = batch > 0 && batch <= NN_SIDE_MAX ? batch : 1;
  onnx_value *v = onnx_named(o, info->name);
  if (!v) return NN_NOMEM;
  v->layer = import_input(o->im, info->name, (int)c, (int)h, (int)w);
  if (!v->layer) return NN_MODEL;
  v->rank = 4;
  v->dims[0] = o->batch;
  v->dims[1] = nhwc ? h : c;
  v->dims[2] = nhwc ? w : h;
  v->dims[3] = nhwc ? c : w;
  memcpy(v->order, nhwc ? last : first, sizeof(v->order));
  return NN_OK;
}

/* The input that is no initialiser, which old files list among them. */
static nn_status read_inputs(onnx *o) {
  OnnxGraph *g = o->graph;
  const OnnxInfo *found = NULL;
  for (size_t i = 0; i < g->n_initializer; i++) {
    OnnxTensor *t = g->initializer[i];
    onnx_value *v = t->name ? onnx_named(o, t->name) : NULL;
    if (!v) return onnx_fail(o, "an initialiser has no name");
    v->proto = t;
  }
  for (size_t i = 0; i < g->n_input; i++) {
    const OnnxInfo *info = g->input[i];
    onnx_value *v = info->name ? onnx_named(o, info->name) : NULL;
    if (!v) return onnx_fail(o, "an input has no name");
    if (v->proto) continue;
    if (found) {
      return onnx_fail(o, "two inputs, %s and %s, and one is supported",
                       nn_shown_name(found->name).text,
                       nn_shown_name(info->name).text);
    }
    found = info;
  }
  if (!found) return onnx_fail(o, "the graph has no input");
  return read_input(o, found);
}

/* Outputs lie as ONNX sees them, and can be asked for by their names. */
static nn_status read_outputs(onnx *o) {
  int layers = 0;
  for (size_t i = 0; i < o->graph->n_output; i++) {
    onnx_value *v = onnx_named(o, o->graph->output[i]->name);
    if (!v) return NN_NOMEM;
    if (!v->layer && !v->constant) {
      return onnx_fail(o, "output %s is given by no node",
                       nn_shown_name(v->name).text);
    }
    if (!v->layer || v->layer == o->im->layers) continue;
    layers++;
    o->called = v->name;
    nn_status status = onnx_plain(o, v);
    if (!status) status = import_add_alias(o->im, v->name, v->layer);
    if (status) return status;
  }
  if (layers) return NN_OK;
  return onnx_fail(o, "no output is computed from the image");
}

/* A view that was made for a layer that then looked behind it. */
static void read_drop_idle(import *im) {
  for (import_layer *l = im->layers; l && l->next;) {
    import_layer *next = l->next;
    int named = 0;
    for (const import_alias *a = im->aliases; a; a = a->next) {
      named |= a->layer == next;
    }
    if (strcmp(next->type, "Reshape") == 0 && !named &&
        !import_readers(im, next)) {
      l->next = next->next;
      im->layer_count--;
      if (im->last == next) im->last = l;
    } else {
      l = next;
    }
  }
}

/* The file ----------------------------------------------------------------- */

static nn_status read_opset(onnx *o, const OnnxModel *model) {
  o->opset = 0;
  for (size_t i = 0; i < model->n_opset_import; i++) {
    const OnnxOpset *s = model->opset_import[i];
    if (read_is_default(s->domain)) o->opset = s->version;
  }
  if (o->opset >= READ_OPSET_FIRST && o->opset <= READ_OPSET_LAST) {
    return NN_OK;
  }
  return onnx_fail(o, "opset %lld; %d to %d are supported",
                   (long long)o->opset, READ_OPSET_FIRST, READ_OPSET_LAST);
}

static nn_status read_graph(onnx *o) {
  OnnxGraph *g = o->graph;
  size_t names = g->n_initializer + g->n_input;
  for (size_t i = 0; i < g->n_node; i++) names += g->node[i]->n_output;
  if (g->n_node > READ_NODES || names > READ_NAMES) {
    return onnx_fail(o, "%zu nodes and %zu names; %d and %d can be",
                     g->n_node, names, READ_NODES, READ_NAMES);
  }
  o->name_mask = 63;
  while (o->name_mask < names) o->name_mask = 2 * o->name_mask + 1;
  o->names = import_alloc(o->im, o->name_mask + 1, sizeof(*o->names));
  uint8_t *needed = import_alloc(o->im, g->n_node, 1);
  if (!o->names || !needed) return NN_NOMEM;
  nn_status status = read_inputs(o);
  if (!status) status = read_needed(o, needed);
  for (size_t i = 0; i < g->n_node && !status; i++) {
    o->node = g->node[i];
    if (needed[i]) status = read_node(o);
  }
  o->node = NULL;
  if (!status) status = read_outputs(o);
  if (!status) read_drop_idle(o->im);
  return status;
}

nn_status onnx_import(import *im, const uint8_t *bytes, size_t n) {
  ProtobufCMessage *message;
  onnx *o = import_alloc(im, 1, sizeof(*o));
  if (!o) return NN_NOMEM;
  nn_status status = import_unpack(im, &onnx_model__descriptor,
                                   "an ONNX model", bytes, n, &message);
  if (status) return status;
  const OnnxModel *model = (const OnnxModel *)(const void *)message;
  o->im = im;
  o->graph = model->graph;
  o->folded = READ_FOLDED + n;
  if (!o->graph) return import_fail(im, NULL, "not an ONNX model: no graph");
  status = read_opset(o, model);
  return status ? status : read_graph(o);
}

nn_status import_onnx(import *im, const char *const *paths) {
  const uint8_t *bytes;
  size_t n;
  nn_status status = import_map_file(im, paths[0], &bytes, &n);
  return status ? status : onnx_import(im, bytes, n);
}

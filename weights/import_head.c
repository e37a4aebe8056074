/*
** What a network is used for: its preprocessing and its head.
**
** A reader knows what its format says about pixels (a Caffe data layer has a
** mean and a crop); the command line adds to it or overrules it.  The head,
** which is what a model's name stands for in SQL, is found by its form where
** nobody names its layers: the latent layer of the paper is a sigmoid over an
** inner product, its features are what that reads, and the classifier is the
** inner product that reads it (or the softmax over that, whose scores are
** probabilities).
*/
#include <stdio.h>
#include <string.h>

#include "import.h"

/* Preprocessing ------------------------------------------------------------ */

/* Networks of one channel saw grey pictures: a layer in front makes them. */
static nn_status head_grey(import *im) {
  import_layer *input = im->layers;
  static const float rgb[3] = {0.299f, 0.587f, 0.114f};
  const int64_t shape[4] = {1, 3, 1, 1};
  char *name = import_unique(im, "grey");
  float *weights = import_alloc(im, 3, sizeof(*weights));
  if (!name || !weights) return NN_NOMEM;
  for (int c = 0; c < 3; c++) {
    weights[c] = rgb[im->preprocess.bgr ? 2 - c : c];
    im->preprocess.mean[c] = im->preprocess.mean[0];
    im->preprocess.scale[c] = im->preprocess.scale[0];
  }
  import_layer *grey = import_insert(im, input, name, "Convolution", NULL);
  if (!grey) return NN_MODEL;
  static const int one[2] = {1, 1};
  nn_status status = import_int(im, grey, "num_output", 1);
  if (!status) status = import_ints(im, grey, "kernel_size", 2, one);
  if (!status) status = import_weights(im, grey, "weight", 4, shape, weights);
  if (status) return status;
  for (import_layer *l = grey->next; l; l = l->next) {
    for (int i = 0; i < l->bottoms; i++) {
      if (l->bottom[i] == input) l->bottom[i] = grey;
    }
  }
  memcpy(grey->shape, input->shape, sizeof(grey->shape));
  input->shape[0] = 3;
  return import_bottom(im, grey, input);
}

static nn_status head_size(import *im) {
  const import_options *o = &im->options;
  import_preprocess *p = &im->preprocess;
  const int *shape = im->layers->shape;
  if (o->has_resize) {
    p->size[0] = o->resize[0];
    p->size[1] = o->resize[1];
    p->crop = o->resize_crop;
  }
  if (p->size[0] && (p->size[0] < shape[1] || p->size[1] < shape[2])) {
    if (o->has_resize) {
      return import_fail(im, NULL,
                         "--resize: %d x %d pixels are fewer than the %d x %d "
                         "that the network sees", p->size[1], p->size[0],
                         shape[2], shape[1]);
    }
    p->size[0] = p->size[1] = 0;
  }
  return NN_OK;
}

nn_status import_preprocessing(import *im) {
  const import_options *o = &im->options;
  import_preprocess *p = &im->preprocess;
  int channels = im->layers->shape[0];
  if (o->has_order) p->bgr = o->bgr;
  if (o->has_mean) memcpy(p->mean, o->mean, sizeof(p->mean));
  for (int c = 0; c < 3 && o->has_std; c++) {
    if (!(o->std[c] > 0)) return import_fail(im, NULL, "--std: not positive");
    p->scale[c] = 1 / o->std[c];
  }
  nn_status status = head_size(im);
  if (status) return status;
  if (channels == 1) return head_grey(im);
  if (channels != 3) {
    import_warn(im, "an input of %d channels: no picture can be put in, and "
                "the model serves binhash-run alone", channels);
  }
  return NN_OK;
}

/* The head ----------------------------------------------------------------- */

static int head_is(const import_layer *layer, const char *type) {
  return layer && strcmp(layer->type, type) == 0;
}

static const import_layer *head_reader(const import *im,
                                       const import_layer *layer,
                                       const char *type) {
  for (const import_layer *l = layer->next; l; l = l->next) {
    for (int i = 0; i < l->bottoms; i++) {
      if (l->bottom[i] == layer && head_is(l, type)) return l;
    }
  }
  (void)im;
  return NULL;
}

/* The last sigmoid over an inner product that could be a code.  One that
** multiplies something is a gate. */
static import_layer *head_latent(const import *im) {
  import_layer *found = NULL;
  for (import_layer *l = im->layers; l; l = l->next) {
    if (head_is(l, "Sigmoid") && head_is(l->bottom[0], "InnerProduct") &&
        l->bottom[0]->shape[0] <= 1024 && !head_reader(im, l, "Eltwise")) {
      found = l;
    }
  }
  return found;
}

/* What the latent layer reads, before its sigmoid. */
static import_layer *head_before(import_layer *latent) {
  if (head_is(latent, "Sigmoid") && latent->bottom[0]->bottoms) {
    latent = latent->bottom[0];
  }
  return latent->bottoms ? latent->bottom[0] : NULL;
}

/* The inner product behind the latent layer, or the last of all. */
static import_layer *head_classifier(const import *im) {
  const import_layer *found =
      im->latent ? head_reader(im, im->latent, "InnerProduct") : NULL;
  const import_layer *softmax = found ? head_reader(im, found, "Softmax")
                                      : NULL;
  if (!found && im->options.hash) {
    for (const import_layer *l = im->layers; l; l = l->next) {
      if (head_is(l, "InnerProduct") && l != im->latent) found = l;
    }
    softmax = found ? head_reader(im, found, "Softmax") : NULL;
  }
  if (softmax) found = softmax;
  return found ? import_find(im, found->name) : NULL;
}

static nn_status head_named(import *im, const char *option, const char *name,
                            import_layer **layer) {
  if (!name) return NN_OK;
  *layer = import_named(im, name);
  if (*layer) return NN_OK;
  return import_fail(im, NULL, "%s: the network has no layer %s", option,
                     nn_shown_name(name).text);
}

nn_status import_head(import *im) {
  const import_options *o = &im->options;
  nn_status status = NN_OK;
  if (!im->latent) status = head_named(im, "--latent", o->latent, &im->latent);
  if (!status && !im->latent) im->latent = head_latent(im);
  if (!status && !im->latent) {
    import_warn(im, "no latent layer: no sigmoid follows an inner product.  "
                "The model gives layers but no codes; --latent LAYER names "
                "one, --hash LAYER makes one");
    return NN_OK;
  }
  if (!status) {
    status = head_named(im, "--features", o->features, &im->features);
  }
  if (!status) {
    status = head_named(im, "--classifier", o->classifier, &im->classifier);
  }
  if (status) return status;
  if (!im->classifier) im->classifier = head_classifier(im);
  if (!im->features) im->features = head_before(im->latent);
  return NN_OK;
}

/*
** --hash LAYER --bits N: a latent layer on a network that has none.
**
** Any layer's output becomes a code by the signs of N directions in it:
** a fully connected layer behind LAYER whose rows are those directions, and
** whose bias takes off the mean of what LAYER gives, where images to learn it
** from are at hand.
**
** rotation: N Gaussian vectors, made orthogonal.  The expected Hamming distance
** of two codes is then proportional to the angle between the features
** (Charikar, "Similarity estimation techniques from rounding algorithms",
** STOC 2002; orthogonal directions as in Ji et al., "Super-bit
** locality-sensitive hashing", NIPS 2012).  More bits than LAYER has values are
** several such sets.  Features that are all positive lie within one corner, so
** their mean matters: give images.
**
** itq: the N principal directions of the features of a table of images, turned
** so that their signs lose least, by the alternation of Gong and Lazebnik,
** "Iterative quantization: a Procrustean approach to learning binary codes"
** (CVPR 2011): B = sign(VR) for fixed R, then the orthogonal R that brings VR
** nearest to B.  Any basis of the principal subspace will do to begin with, so
** that subspace comes from a block power iteration.
**
** The random numbers come from a seed, so that one command gives one model.
*/
#include <math.h>
#include <string.h>

#include "import_images.h"

enum { HASH_POWER_STEPS = 100, HASH_ITQ_STEPS = 50, HASH_SWEEPS = 40 };

typedef struct hash_problem {
  import *im;
  int bits;
  int size;             /* values of a feature vector */
  int rows;             /* images; 0 without */
  float *x;             /* rows of features, less their mean */
  float *mean;
  float *direction;     /* bits x size */
  uint64_t random;
} hash_problem;

/* Random directions -------------------------------------------------------- */

/* splitmix64, as a number from 0 to 1 that is never 0. */
static double hash_uniform(hash_problem *h) {
  uint64_t z = h->random += 0x9e3779b97f4a7c15u;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  z ^= z >> 31;
  return ((double)(z >> 11) + 0.5) / 9007199254740992.0;
}

static void hash_gaussian(hash_problem *h, float *to, int n) {
  for (int i = 0; i < n; i++) {
    double radius = sqrt(-2 * log(hash_uniform(h)));
    to[i] = (float)(radius * cos(6.283185307179586 * hash_uniform(h)));
  }
}

static double hash_dot(const float *a, const float *b, int n) {
  double sum = 0;
  for (int i = 0; i < n; i++) sum += (double)a[i] * b[i];
  return sum;
}

/* Rows into an orthonormal set, by Gram and Schmidt, twice each, which is
** enough.  A row that depends on those before it is drawn anew. */
static void hash_orthonormal(hash_problem *h, float *rows, int count, int n) {
  for (int i = 0; i < count; i++) {
    float *row = rows + (size_t)i * (size_t)n;
    for (int draw = 0; draw < 16; draw++) {
      double before = hash_dot(row, row, n), after = before;
      for (int pass = 0; pass < 2; pass++) {
        for (int j = 0; j < i; j++) {
          const float *other = rows + (size_t)j * (size_t)n;
          double along = hash_dot(row, other, n);
          for (int k = 0; k < n; k++) row[k] -= (float)(along * other[k]);
        }
        after = hash_dot(row, row, n);
      }
      if (after > before * 1e-8 && after > 0) {
        for (int k = 0; k < n; k++) row[k] /= (float)sqrt(after);
        break;
      }
      hash_gaussian(h, row, n);
    }
  }
}

static void hash_rotation(hash_problem *h) {
  for (int from = 0; from < h->bits; from += h->size) {
    int count = h->bits - from < h->size ? h->bits - from : h->size;
    float *rows = h->direction + (size_t)from * (size_t)h->size;
    for (int i = 0; i < count; i++) {
      hash_gaussian(h, rows + (size_t)i * (size_t)h->size, h->size);
    }
    hash_orthonormal(h, rows, count, h->size);
  }
}

/* Iterative quantisation --------------------------------------------------- */

static void hash_swap(float *a, float *b, int n) {
  for (int i = 0; i < n; i++) {
    float kept = a[i];
    a[i] = b[i];
    b[i] = kept;
  }
}

/* Rows of a, and those of w with them, by falling length: what is noise must
** not take a direction away from what is not. */
static void hash_descending(float *a, float *w, int n) {
  for (int i = 0; i < n; i++) {
    int longest = i;
    double most = -1;
    for (int j = i; j < n; j++) {
      const float *row = a + (size_t)j * (size_t)n;
      double length = hash_dot(row, row, n);
      if (length > most) {
        most = length;
        longest = j;
      }
    }
    if (longest == i) continue;
    size_t to = (size_t)i * (size_t)n, from = (size_t)longest * (size_t)n;
    hash_swap(a + to, a + from, n);
    hash_swap(w + to, w + from, n);
  }
}

/* The orthogonal matrix nearest to a (n x n, which is spent): of its singular
** value decomposition a = U S W', U W'.  One-sided Jacobi: W turns the columns
** of a until they are orthogonal, and what they are then is U S. */
static void hash_nearest_rotation(hash_problem *h, float *a, float *w,
                                  float *out, int n) {
  /* columns of a and w lie in rows */
  for (int i = 0; i < n * n; i++) w[i] = i % (n + 1) == 0;
  for (int sweep = 0, turned = 1; sweep < HASH_SWEEPS && turned; sweep++) {
    turned = 0;
    for (int p = 0; p < n - 1; p++) {
      for (int q = p + 1; q < n; q++) {
        float *x = a + (size_t)p * (size_t)n, *y = a + (size_t)q * (size_t)n;
        double xx = hash_dot(x, x, n), yy = hash_dot(y, y, n);
        double xy = hash_dot(x, y, n);
        if (fabs(xy) <= 1e-6 * sqrt(xx * yy)) continue;
        double zeta = (yy - xx) / (2 * xy);
        double t = (zeta < 0 ? -1 : 1) / (fabs(zeta) + sqrt(1 + zeta * zeta));
        double c = 1 / sqrt(1 + t * t), s = c * t;
        float *columns[2][2] = {{x, y}, {w + (size_t)p * (size_t)n,
                                         w + (size_t)q * (size_t)n}};
        for (int m = 0; m < 2; m++) {
          for (int i = 0; i < n; i++) {
            double u = columns[m][0][i], v = columns[m][1][i];
            columns[m][0][i] = (float)(c * u - s * v);
            columns[m][1][i] = (float)(s * u + c * v);
          }
        }
        turned = 1;
      }
    }
  }
  hash_descending(a, w, n);
  hash_orthonormal(h, a, n, n);   /* U, filled up where S is 0 */
  for (int i = 0; i < n; i++) {
    for (int j = 0; j < n; j++) {
      double sum = 0;
      for (int k = 0; k < n; k++) sum += (double)a[k * n + i] * w[k * n + j];
      out[i * n + j] = (float)sum;
    }
  }
}

static void hash_transpose(const float *from, int rows, int columns,
                           float *to) {
  for (int i = 0; i < rows; i++) {
    for (int j = 0; j < columns; j++) {
      to[(size_t)j * (size_t)rows + (size_t)i] =
          from[(size_t)i * (size_t)columns + (size_t)j];
    }
  }
}

/* h->direction becomes an orthonormal basis of the principal subspace, and v
** (rows x bits) the features in it. */
static void hash_subspace(hash_problem *h, const nn_blas *blas, float *v,
                          float *turned) {
  int n = h->rows, d = h->size, b = h->bits;
  hash_rotation(h);
  for (int step = 0; step < HASH_POWER_STEPS; step++) {
    nn_blas_sgemm(blas, 1, n, b, d, h->x, d, h->direction, d, v, b);
    hash_transpose(v, n, b, turned);
    nn_blas_sgemm(blas, 0, b, d, n, turned, n, h->x, d, h->direction, d);
    hash_orthonormal(h, h->direction, b, d);
  }
  nn_blas_sgemm(blas, 1, n, b, d, h->x, d, h->direction, d, v, b);
}

static nn_status hash_itq(hash_problem *h) {
  import *im = h->im;
  nn_error err;
  const nn_blas *blas = nn_blas_get(&err);
  int n = h->rows, d = h->size, b = h->bits;
  size_t square = (size_t)b * (size_t)b, tall = (size_t)n * (size_t)b;
  float *v = import_alloc(im, tall, sizeof(float));
  float *turned = import_alloc(im, tall, sizeof(float));
  float *sign = import_alloc(im, tall, sizeof(float));
  float *r = import_alloc(im, square, sizeof(float));
  float *a = import_alloc(im, square, sizeof(float));
  float *w = import_alloc(im, square, sizeof(float));
  float *basis = import_alloc(im, (size_t)b * (size_t)d, sizeof(float));
  if (!v || !turned || !sign || !r || !a || !w || !basis) return NN_NOMEM;
  if (!blas) return import_fail(im, NULL, "%s", err.text);
  hash_subspace(h, blas, v, turned);
  hash_gaussian(h, r, (int)square);
  hash_orthonormal(h, r, b, b);
  for (int step = 0; step < HASH_ITQ_STEPS; step++) {
    nn_blas_sgemm(blas, 0, n, b, b, v, b, r, b, sign, b);
    for (size_t i = 0; i < tall; i++) sign[i] = sign[i] > 0 ? 1 : -1;
    /* columns of V'B in rows: B'V */
    hash_transpose(sign, n, b, turned);
    nn_blas_sgemm(blas, 0, b, b, n, turned, n, v, b, a, b);
    hash_nearest_rotation(h, a, w, r, b);
  }
  /* (Q R)' = R' Q' */
  memcpy(basis, h->direction, (size_t)b * (size_t)d * sizeof(float));
  hash_transpose(r, b, b, a);
  nn_blas_sgemm(blas, 0, b, d, b, a, b, basis, d, h->direction, d);
  return NN_OK;
}

/* The layer ---------------------------------------------------------------- */

/* Features of the images, their mean taken off. */
static nn_status hash_learn(hash_problem *h, const import_layer *layer) {
  import *im = h->im;
  nn_model *model;
  nn_status status = import_trial(im, &model);
  if (status) return status;
  status = import_images_features(im, im->options.images, model,
                                  nn_model_blob(model, layer->name), &h->x,
                                  &h->rows);
  nn_model_close(model);
  if (status) return status;
  for (int k = 0; k < h->size; k++) {
    double sum = 0;
    float *x = h->x + k;
    for (int i = 0; i < h->rows; i++) sum += x[(size_t)i * (size_t)h->size];
    h->mean[k] = (float)(sum / h->rows);
    for (int i = 0; i < h->rows; i++) {
      x[(size_t)i * (size_t)h->size] -= h->mean[k];
    }
  }
  return NN_OK;
}

static nn_status hash_layer(hash_problem *h, import_layer *layer) {
  import *im = h->im;
  char *name = import_unique(im, "hash");
  import_layer *hash =
      name ? import_add(im, name, "InnerProduct", layer) : NULL;
  float *bias = import_alloc(im, (size_t)h->bits, sizeof(*bias));
  const int64_t shape[2] = {h->bits, h->size};
  if (!hash || !bias) return NN_NOMEM;
  for (int i = 0; i < h->bits; i++) {
    const float *row = h->direction + (size_t)i * (size_t)h->size;
    bias[i] = (float)-hash_dot(row, h->mean, h->size);
  }
  nn_status status = import_int(im, hash, "num_output", h->bits);
  if (!status) {
    status = import_weights(im, hash, "weight", 2, shape, h->direction);
  }
  if (!status) status = import_weights(im, hash, "bias", 1, shape, bias);
  hash->shape[0] = h->bits;
  hash->shape[1] = hash->shape[2] = 1;
  im->latent = hash;
  im->features = layer;
  return status;
}

/* Do all values lie in one corner?  What an activation leaves there stays there
** when it is pooled or put in other places. */
static int hash_is_positive(const import_layer *layer) {
  static const char *const keep[] = {"Pooling", "Flatten", "Reshape", "Permute",
                                     "Slice", "ShuffleChannel"};
  for (size_t i = 0; i < sizeof(keep) / sizeof(*keep);) {
    if (strcmp(layer->type, keep[i]) != 0) {
      i++;
      continue;
    }
    layer = layer->bottom[0];
    i = 0;
  }
  const import_member *slope = import_get(layer, "negative_slope");
  const import_member *least = import_get(layer, "min");
  if (strcmp(layer->type, "ReLU") == 0) return !slope || !slope->floats[0];
  if (strcmp(layer->type, "Clip") == 0) return least && least->floats[0] >= 0;
  return strcmp(layer->type, "Sigmoid") == 0 ||
         strcmp(layer->type, "HardSigmoid") == 0 ||
         strcmp(layer->type, "Softmax") == 0;
}

static nn_status hash_check(const hash_problem *h) {
  const import_options *o = &h->im->options;
  if (!o->itq) return NN_OK;
  if (h->bits > h->size) {
    return import_fail(h->im, NULL,
                       "--hash %s: itq gives at most as many bits as the layer "
                       "has values, %d", o->hash, h->size);
  }
  if (h->rows < h->bits) {
    return import_fail(h->im, NULL,
                       "--hash %s: itq wants at least as many images as bits, "
                       "%d, and %s has %d", o->hash, h->bits, o->images,
                       h->rows);
  }
  return NN_OK;
}

nn_status import_hash(import *im) {
  const import_options *o = &im->options;
  hash_problem h = {.im = im, .bits = o->bits, .random = o->seed};
  import_layer *layer = import_named(im, o->hash);
  if (!layer) {
    return import_fail(im, NULL, "--hash: the network has no layer %s",
                       nn_shown_name(o->hash).text);
  }
  size_t size = nn_mul(nn_mul((size_t)layer->shape[0], (size_t)layer->shape[1]),
                       (size_t)layer->shape[2]);
  if (!size || nn_mul(size, (size_t)h.bits) > NN_ALLOC_MAX / sizeof(float)) {
    return import_fail(im, layer->name, "--hash: %zu values are too many",
                       size);
  }
  h.size = (int)size;
  h.mean = import_alloc(im, size, sizeof(float));
  h.direction = import_alloc(im, size * (size_t)h.bits, sizeof(float));
  if (!h.mean || !h.direction) return NN_NOMEM;
  nn_status status = o->images ? hash_learn(&h, layer) : NN_OK;
  if (!status) status = hash_check(&h);
  if (status) return status;
  if (!o->images && hash_is_positive(layer)) {
    import_warn(im, "--hash %s: its values are never negative, so that codes "
                "have much in common; --images DB.db takes the mean off first",
                o->hash);
  }
  if (o->itq) status = hash_itq(&h);
  else hash_rotation(&h);
  return status ? status : hash_layer(&h, layer);
}

/*
** From an image to what a network makes of it: the one path that img_hash and
** everything beside it takes, and the memory of the last image.
**
** A forward pass is by far the dearest thing here, and most of what can be
** asked of one image is on its way.  So a pass computes at once the latent
** layers of all heads of the model's file that have a layer in common with what
** is asked for, and their features and classifiers: the codes of five lengths,
** the features and the label of a row of a table then cost one decoding and one
** pass.  Heads that share the pixels alone would only add what each costs, so
** they have passes of their own, of the picture as the first of them had it
** decoded.  A layer that is none of these, or is very long, is computed by
** itself when it is asked for.
**
** What a pass computes depends on the model alone, never on what was asked
** first or on what is remembered: where a network folds layers together, what
** else is computed decides how it rounds, and a float32 code must not depend on
** that.
**
** The last image is remembered.  SQLite evaluates img_hash(readfile('x.jpg'))
** once for every row of ORDER BY hamming(code, img_hash(readfile('x.jpg'))),
** since readfile is not deterministic, and a forward pass for every row would
** make the plain way to write a search the wrong one.  So a connection keeps
** its last image and the passes that it went through (in its views, through one
** model or several), and a repeated call costs a comparison of the image.  That
** is compared whole: a hash of it would be as slow and less certain.
*/
#include <string.h>

#include "ext_int.h"
SQLITE_EXTENSION_INIT3

#define FORWARD_BLOBS BH_FORWARD_BLOBS
#define FORWARD_SHORT (1 << 14)    /* floats of a layer computed unasked */

/* What came of one pass; the values lie behind it in the same allocation. */
struct bh_pass {
  const nn_model *model;
  int view;
  sqlite3_int64 bytes;             /* of the allocation */
  float *input;                    /* what the network saw */
  int count;
  int blob[FORWARD_BLOBS];
  float *values[FORWARD_BLOBS];
};

/* What to compute ---------------------------------------------------------- */

static size_t forward_size(const nn_model *model, int blob) {
  int chw[3];
  return nn_model_blob_shape(model, blob, chw);
}

static int forward_index(const struct bh_pass *pass, int blob) {
  for (int i = 0; i < pass->count; i++)
    if (pass->blob[i] == blob) return i;
  return -1;
}

/* Add a blob that there is, is short, and is not there yet. */
static void forward_add(struct bh_pass *pass, int blob) {
  if (blob < 0 || pass->count == FORWARD_BLOBS ||
      forward_index(pass, blob) >= 0 ||
      forward_size(pass->model, blob) > FORWARD_SHORT)
    return;
  pass->blob[pass->count++] = blob;
}

/* The blobs of a pass of which `blob` is wanted: those of the heads of its
** branch, or that one alone. */
static void forward_blobs(struct bh_pass *pass, int blob) {
  const nn_model *model = pass->model;
  int heads = nn_model_head_count(model), branch = nn_model_branch(model, blob);
  pass->count = 0;
  for (int i = 0; i < 2 * heads; i++) {
    const nn_head *head = nn_model_head(model, i % heads);
    if (nn_model_branch(model, head->latent) != branch) continue;
    if (i < heads) {
      forward_add(pass, head->latent);
    } else {
      forward_add(pass, head->features);
      forward_add(pass, head->classifier);
    }
  }
  if (forward_index(pass, blob) >= 0) return;
  pass->count = 1;
  pass->blob[0] = blob;
}

/* A pass with room for its input and values, NULL when out of memory. */
static struct bh_pass *forward_new(const nn_model *model, int blob) {
  struct bh_pass plan;
  plan.model = model;
  forward_blobs(&plan, blob);
  size_t floats = forward_size(model, 0);
  for (int i = 0; i < plan.count; i++)
    floats += forward_size(model, plan.blob[i]);
  plan.bytes = (sqlite3_int64)(sizeof(plan) + floats * sizeof(float));
  struct bh_pass *pass = sqlite3_malloc64((sqlite3_uint64)plan.bytes);
  if (!pass) return NULL;
  plan.input = (float *)(pass + 1);
  float *values = plan.input + forward_size(model, 0);
  for (int i = 0; i < plan.count; i++) {
    plan.values[i] = values;
    values += forward_size(model, plan.blob[i]);
  }
  *pass = plan;
  return pass;
}

static nn_status forward_no_memory(nn_error *err) {
  err->status = NN_NOMEM;
  err->text[0] = 0;
  return NN_NOMEM;
}

/* Run the network on a picture, or on what a pass before it saw; *out is for
** sqlite3_free. */
static nn_status forward_run(bh_connection *c, const nn_model *model, int blob,
                             const nn_picture *picture, const float *seen,
                             struct bh_pass **out, nn_error *err) {
  struct bh_pass *pass = forward_new(model, blob);
  if (!pass) return forward_no_memory(err);
  nn_status status = NN_OK;
  if (seen) {
    memcpy(pass->input, seen, forward_size(model, 0) * sizeof(*seen));
  } else {
    status = nn_prepare(&bh_memory, model, picture, pass->input, err);
  }
  if (!status)
    status = nn_run_blobs(&bh_memory, model, bh_engine(c), pass->input, 1,
                          pass->blob, pass->count, pass->values, err);
  if (status) {
    sqlite3_free(pass);
    return status;
  }
  c->forward_passes++;
  *out = pass;
  return NN_OK;
}

/* The last image ---------------------------------------------------------- */

static int forward_is_last(const bh_connection *c, const void *image,
                           sqlite3_int64 n) {
  return c->last.image && c->last.bytes == n &&
         memcmp(c->last.image, image, (size_t)n) == 0;
}

/* What the connection remembers of this, or NULL. */
static const float *forward_recall(const bh_connection *c,
                                   const bh_look *look) {
  for (int i = 0; i < c->last.count; i++) {
    const struct bh_pass *pass = c->last.pass[i];
    int at = pass->model == look->model && pass->view == look->view
                 ? forward_index(pass, look->blob) : -1;
    if (at < 0) continue;
    return forward_is_last(c, look->image, look->bytes) ? pass->values[at]
                                                        : NULL;
  }
  return NULL;
}

/* What a pass of another branch saw of this, or NULL. */
static const float *forward_seen(const bh_connection *c, const bh_look *look) {
  for (int i = 0; i < c->last.count; i++) {
    const struct bh_pass *pass = c->last.pass[i];
    if (pass->model == look->model && pass->view == look->view)
      return forward_is_last(c, look->image, look->bytes) ? pass->input : NULL;
  }
  return NULL;
}

/* Keep a pass, if memory and the setting allow; else it stays the caller's. */
static int forward_remember(bh_connection *c, const bh_look *look,
                            struct bh_pass *pass) {
  sqlite3_int64 total = look->bytes + pass->bytes;
  for (int i = 0; i < c->last.count; i++) total += c->last.pass[i]->bytes;
  if (c->last.count == BH_LAST_PASSES || total > c->config.cache_bytes ||
      !forward_is_last(c, look->image, look->bytes)) {
    bh_connection_forget(c);
    if (look->bytes + pass->bytes > c->config.cache_bytes) return 0;
    c->last.image = sqlite3_malloc64((sqlite3_uint64)look->bytes + 1);
    if (!c->last.image) return 0;
    memcpy(c->last.image, look->image, (size_t)look->bytes);
    c->last.bytes = look->bytes;
  }
  c->last.pass[c->last.count++] = pass;
  return 1;
}

void bh_connection_forget(bh_connection *c) {
  sqlite3_free(c->last.image);
  for (int i = 0; i < c->last.count; i++) sqlite3_free(c->last.pass[i]);
  memset(&c->last, 0, sizeof(c->last));
}

/* For the other files ------------------------------------------------------ */

int bh_forward_blobs(const nn_model *model, int blob, int *blobs) {
  struct bh_pass plan;
  plan.model = model;
  forward_blobs(&plan, blob);
  memcpy(blobs, plan.blob, (size_t)plan.count * sizeof(*blobs));
  return plan.count;
}

nn_status bh_forward(bh_connection *c, const bh_look *look,
                     nn_picture *picture, bh_output *out, nn_error *err) {
  nn_picture view;
  struct bh_pass *pass;
  out->owned = NULL;
  out->values = forward_recall(c, look);
  if (out->values) return NN_OK;
  const float *seen = forward_seen(c, look);
  if (!seen && !picture->pixels) {
    nn_status status = nn_picture_decode_for(
        &bh_memory, look->model, look->image, (size_t)look->bytes,
        (uint64_t)c->config.max_pixels, picture, err);
    if (status) {
      memset(picture, 0, sizeof(*picture));
      return status;
    }
  }
  if (!seen) nn_view(picture, look->view, &view);
  nn_status status =
      forward_run(c, look->model, look->blob, &view, seen, &pass, err);
  if (status) return status;
  pass->view = look->view;
  out->values = pass->values[forward_index(pass, look->blob)];
  if (!forward_remember(c, look, pass)) out->owned = pass;
  return NN_OK;
}

nn_status bh_forward_picture(bh_connection *c, const nn_model *model, int blob,
                             const nn_picture *picture, bh_output *out,
                             nn_error *err) {
  struct bh_pass *pass;
  out->owned = NULL;
  nn_status status = forward_run(c, model, blob, picture, NULL, &pass, err);
  if (status) return status;
  out->values = pass->values[forward_index(pass, blob)];
  out->owned = pass;
  return NN_OK;
}

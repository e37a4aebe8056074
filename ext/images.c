/*
** The functions that look at pictures:
**
**     img_hash(image [, model])            the code of an image
**     try_img_hash(image [, model])        the same, NULL for what is no image
**     img_hash_rgb(rgb, width, height [, model])
**     img_features(image [, model])        the layer before the latent layer
**     img_layer(image, layer [, model])    any layer
**     img_label(image [, model])           the most likely class
**     img_error(image), img_info(image)    why not; what it is
**
** All but the last two are one path: find the model, fetch the image, decode,
** run, and hand over bytes.  NULL in (image or model) gives NULL out.
**
** The last image is remembered.  SQLite evaluates img_hash(readfile('x.jpg'))
** once for every row of ORDER BY hamming(code, img_hash(readfile('x.jpg'))),
** since readfile is not deterministic, and a forward pass for every row would
** make the plain way to write a search the wrong one.  So a connection keeps
** its last image and the last few things that came of it (code, features,
** scores; by one model or several), and a repeated call costs a comparison of
** the image.  That is compared whole: a hash of it would be as slow and less
** certain.
**
** What decodes hostile bytes is not INNOCUOUS; all of it is DETERMINISTIC.
*/
#include <string.h>

#include "ext_int.h"
SQLITE_EXTENSION_INIT3

#define IMAGES_CODE (-1)     /* as a blob number: the code, not a layer */
#define IMAGES_CODE_BYTES 128   /* of 1024 bits, the widest latent layer */

/* What one call wants. */
typedef struct images_call {
  const char *function;
  sqlite3_context *context;
  bh_connection *connection;
  bh_head head;
  int blob;               /* or IMAGES_CODE */
  int quiet;              /* a picture that cannot be hashed gives NULL */
} images_call;

/*
** Is the argument bytes of an image?  If not, *why is a sentence: static, and
** the same for img_hash and img_error.
*/
static int images_is_blob(sqlite3_value *value, nn_error *why) {
  int type = sqlite3_value_type(value);
  why->status = NN_PICTURE;
  why->text[0] = 0;
  if (type == SQLITE_BLOB) return 1;
  sqlite3_snprintf(sizeof(why->text), why->text,
                   "argument 1 (image) must be a BLOB, not %s%s",
                   bh_type_name(type), type == SQLITE_TEXT
                   ? "; readfile('...') gives the bytes of a file" : "");
  return 0;
}

/*
** The bytes of a BLOB, never NULL for an empty one; NULL, with the error set,
** for a zeroblob that could not be made real.  Its length is asked for first:
** such a value has lost it afterwards.
*/
static const void *images_bytes(sqlite3_context *ctx, sqlite3_value *value,
                                sqlite3_int64 *n) {
  *n = sqlite3_value_bytes(value);
  if (*n == 0) return "";
  const void *bytes = sqlite3_value_blob(value);
  if (!bytes) sqlite3_result_error_nomem(ctx);
  return bytes;
}

/* The text of an argument that is a name; NULL when the result is set. */
static const char *images_name(const images_call *call, sqlite3_value *value) {
  const char *name;
  int rc = bh_text(value, &name);
  if (rc == SQLITE_OK) return name;
  bh_result_message(call->context, call->function,
                    rc == SQLITE_NOMEM ? rc : SQLITE_ERROR,
                    sqlite3_mprintf("a name has a NUL in it"));
  return NULL;
}

/* Find the model that argument i names, the default one where there is no such
** argument.  0 when the result is set already. */
static int images_model(images_call *call, int argc, sqlite3_value **argv,
                        int i) {
  const char *name = NULL;
  char *error = NULL;
  if (argc > i) {
    if (sqlite3_value_type(argv[i]) == SQLITE_NULL) return 0;
    name = images_name(call, argv[i]);
    if (!name) return 0;
  }
  int rc = bh_models_find(call->connection, name, &call->head, &error);
  if (rc == SQLITE_OK) return 1;
  bh_result_message(call->context, call->function, rc, error);
  return 0;
}

/* Report, unless the caller wants NULL for what is wrong with the picture. */
static void images_fail(const images_call *call, const nn_error *err) {
  int of_picture = err->status == NN_PICTURE || err->status == NN_TOO_LARGE;
  if (!call->quiet || !of_picture)
    bh_result_error(call->context, call->function, err);
}

/* The last image ---------------------------------------------------------- */

static int images_is_last(const bh_connection *c, const void *image,
                          sqlite3_int64 n) {
  return c->last.image && c->last.image_bytes == n &&
         memcmp(c->last.image, image, (size_t)n) == 0;
}

/* What the call wants of this image, if the connection remembers it. */
static const struct bh_result *images_recall(const images_call *call,
                                             const void *image,
                                             sqlite3_int64 n) {
  const bh_connection *c = call->connection;
  for (int i = 0; i < c->last.results; i++) {
    const struct bh_result *r = &c->last.result[i];
    if (r->head == call->head.head && r->blob == call->blob)
      return images_is_last(c, image, n) ? r : NULL;
  }
  return NULL;
}

static void *images_copy(const void *bytes, sqlite3_int64 n) {
  void *copy = sqlite3_malloc64((sqlite3_uint64)n + 1);
  if (copy) memcpy(copy, bytes, (size_t)n);
  return copy;
}

/* Keep copies, if memory and the setting allow. */
static void images_remember(const images_call *call, const void *image,
                            sqlite3_int64 n, const void *bytes,
                            sqlite3_int64 bytes_n) {
  bh_connection *c = call->connection;
  int room = sizeof(c->last.result) / sizeof(c->last.result[0]);
  sqlite3_int64 total = n + bytes_n;
  for (int i = 0; i < c->last.results; i++) total += c->last.result[i].n;
  if (c->last.results == room || total > c->config.cache_bytes ||
      !images_is_last(c, image, n)) {
    bh_connection_forget(c);
    if (n + bytes_n > c->config.cache_bytes) return;
    c->last.image = images_copy(image, n);
    if (!c->last.image) return;
    c->last.image_bytes = n;
  }
  struct bh_result *r = &c->last.result[c->last.results];
  r->bytes = images_copy(bytes, bytes_n);
  if (!r->bytes) return;
  r->head = call->head.head;
  r->blob = call->blob;
  r->n = bytes_n;
  c->last.results++;
}

/* From picture to result --------------------------------------------------- */

/* Run the network up to call->blob; out has room for the blob. */
static nn_status images_forward(const images_call *call,
                                const nn_picture *picture, float *out,
                                nn_error *err) {
  int chw[3];
  const nn_model *model = call->head.model;
  nn_model_input_shape(model, chw);
  size_t n = (size_t)chw[0] * (size_t)chw[1] * (size_t)chw[2];
  float *input = sqlite3_malloc64(n * sizeof(*input));
  if (!input) {
    err->status = NN_NOMEM;
    return NN_NOMEM;
  }
  nn_status status = nn_prepare(&bh_memory, model, picture, input, err);
  if (!status) {
    status = nn_run(&bh_memory, model, NN_FAST, input, 1, call->blob, out, err);
  }
  sqlite3_free(input);
  return status;
}

/* Compute what the call wants into *out, for sqlite3_free, and its size. */
static nn_status images_compute(const images_call *call,
                                const nn_picture *picture, void **out,
                                sqlite3_int64 *bytes, nn_error *err) {
  int chw[3];
  nn_status status;
  *bytes = IMAGES_CODE_BYTES;
  if (call->blob != IMAGES_CODE) {
    *bytes = (sqlite3_int64)(sizeof(float) * nn_model_blob_shape(
        call->head.model, call->blob, chw));
  }
  *out = sqlite3_malloc64((sqlite3_uint64)*bytes);
  if (!*out) {
    err->status = NN_NOMEM;
    return NN_NOMEM;
  }
  if (call->blob == IMAGES_CODE) {
    *bytes = (call->head.head->bits + 7) / 8;
    status = nn_hash(&bh_memory, call->head.model, call->head.head, picture,
                     *out, err);
  } else {
    status = images_forward(call, picture, *out, err);
  }
  if (status) {
    sqlite3_free(*out);
  } else {
    call->connection->forward_passes++;
  }
  return status;
}

/* Decode an image and compute; 0 when an error or NULL is the result. */
static int images_decode(const images_call *call, const void *image,
                         sqlite3_int64 n, void **out, sqlite3_int64 *bytes) {
  nn_error err;
  nn_picture picture;
  nn_status status = nn_picture_decode(
      &bh_memory, image, (size_t)n,
      (uint64_t)call->connection->config.max_pixels, &picture, &err);
  if (!status) {
    status = images_compute(call, &picture, out, bytes, &err);
    nn_picture_free(&bh_memory, &picture);
  }
  if (status) images_fail(call, &err);
  return !status;
}

/* The bytes of the image argument; NULL when the result is set. */
static const void *images_argument(const images_call *call,
                                   sqlite3_value *value, sqlite3_int64 *n) {
  nn_error err;
  if (images_is_blob(value, &err)) return images_bytes(call->context, value, n);
  images_fail(call, &err);
  return NULL;
}

/* What came of an image; owned is for sqlite3_free, NULL where the bytes are
** the connection's memory. */
typedef struct images_output {
  const void *bytes;
  sqlite3_int64 n;
  void *owned;
} images_output;

/* From memory or computed; 0 when an error or NULL is the result. */
static int images_obtain(const images_call *call, sqlite3_value *value,
                         images_output *out) {
  sqlite3_int64 n;
  const void *image = images_argument(call, value, &n);
  out->owned = NULL;
  if (!image) return 0;
  const struct bh_result *known = images_recall(call, image, n);
  if (known) {
    out->bytes = known->bytes;
    out->n = known->n;
    return 1;
  }
  if (!images_decode(call, image, n, &out->owned, &out->n)) return 0;
  out->bytes = out->owned;
  images_remember(call, image, n, out->owned, out->n);
  return 1;
}

/* The bytes as the result. */
static void images_result(const images_call *call, sqlite3_value *value) {
  images_output out;
  if (images_obtain(call, value, &out)) {
    sqlite3_result_blob64(call->context, out.bytes, (sqlite3_uint64)out.n,
                          out.owned ? sqlite3_free : SQLITE_TRANSIENT);
  }
}

static images_call images_begin(sqlite3_context *ctx, const char *function) {
  images_call call = {function, ctx, sqlite3_user_data(ctx),
                      {NULL, NULL}, IMAGES_CODE, 0};
  return call;
}

static int images_null(sqlite3_value *value) {
  return sqlite3_value_type(value) == SQLITE_NULL;
}

/* The functions ------------------------------------------------------------ */

static void images_hash(sqlite3_context *ctx, int argc, sqlite3_value **argv) {
  images_call call = images_begin(ctx, "img_hash");
  if (!images_null(argv[0]) && images_model(&call, argc, argv, 1))
    images_result(&call, argv[0]);
}

static void images_try_hash(sqlite3_context *ctx, int argc,
                            sqlite3_value **argv) {
  images_call call = images_begin(ctx, "try_img_hash");
  call.quiet = 1;
  /* An unknown model is an error for NULL images too: in a bulk statement it
  ** must not depend on the rows. */
  if (images_model(&call, argc, argv, 1) && !images_null(argv[0]))
    images_result(&call, argv[0]);
}

static void images_features(sqlite3_context *ctx, int argc,
                            sqlite3_value **argv) {
  images_call call = images_begin(ctx, "img_features");
  if (images_null(argv[0]) || !images_model(&call, argc, argv, 1)) return;
  call.blob = call.head.head->features;
  images_result(&call, argv[0]);
}

static void images_layer(sqlite3_context *ctx, int argc, sqlite3_value **argv) {
  images_call call = images_begin(ctx, "img_layer");
  if (images_null(argv[0]) || images_null(argv[1]) ||
      !images_model(&call, argc, argv, 2))
    return;
  const char *layer = images_name(&call, argv[1]);
  if (!layer) return;
  call.blob = nn_model_blob(call.head.model, layer);
  if (call.blob < 0) {
    bh_result_text_error(ctx, "img_layer: the model '%s' has no layer '%s'",
                         call.head.head->name, layer);
    return;
  }
  images_result(&call, argv[0]);
}

static void images_label(sqlite3_context *ctx, int argc, sqlite3_value **argv) {
  images_call call = images_begin(ctx, "img_label");
  images_output out;
  if (images_null(argv[0]) || !images_model(&call, argc, argv, 1)) return;
  call.blob = call.head.head->classifier;
  if (call.blob < 0 || !images_obtain(&call, argv[0], &out)) return;
  int best = 0;
  const float *score = out.bytes;
  for (int i = 1; i < call.head.head->classes; i++)
    if (score[i] > score[best]) best = i;
  sqlite3_free(out.owned);
  if (call.head.head->class_names) {
    sqlite3_result_text(ctx, call.head.head->class_names[best], -1,
                        SQLITE_TRANSIENT);
  } else {
    sqlite3_result_int(ctx, best);
  }
}

static void images_hash_rgb(sqlite3_context *ctx, int argc,
                            sqlite3_value **argv) {
  images_call call = images_begin(ctx, "img_hash_rgb");
  nn_error err;
  nn_picture picture;
  void *out;
  sqlite3_int64 bytes;
  if (images_null(argv[0]) || images_null(argv[1]) || images_null(argv[2]) ||
      !images_model(&call, argc, argv, 3))
    return;
  sqlite3_int64 w = sqlite3_value_int64(argv[1]);
  sqlite3_int64 h = sqlite3_value_int64(argv[2]);
  sqlite3_int64 limit = call.connection->config.max_pixels;
  if (sqlite3_value_type(argv[0]) != SQLITE_BLOB) {
    bh_result_text_error(ctx, "img_hash_rgb: argument 1 (rgb) must be a BLOB, "
                         "not %s", bh_type_name(
                             sqlite3_value_type(argv[0])));
    return;
  }
  if (sqlite3_value_type(argv[1]) != SQLITE_INTEGER ||
      sqlite3_value_type(argv[2]) != SQLITE_INTEGER || w < 1 || h < 1) {
    bh_result_text_error(ctx, "img_hash_rgb: arguments 2 (width) and 3 "
                         "(height) must be integers of at least 1");
    return;
  }
  if (w > limit || h > limit / w) {
    bh_result_text_error(ctx, "img_hash_rgb: %lld x %lld pixels are more than "
                         "the limit of %lld (max_pixels)", w, h, limit);
    sqlite3_result_error_code(ctx, SQLITE_TOOBIG);
    return;
  }
  if (sqlite3_value_bytes(argv[0]) != w * h * 3) {
    bh_result_text_error(ctx, "img_hash_rgb: argument 1 (rgb) has %d bytes, "
                         "but %lld x %lld pixels of 3 bytes are %lld",
                         sqlite3_value_bytes(argv[0]), w, h, w * h * 3);
    return;
  }
  const void *rgb = images_bytes(ctx, argv[0], &bytes);
  if (!rgb) return;
  nn_picture_borrow(rgb, (int)w, (int)h, &picture);
  if (images_compute(&call, &picture, &out, &bytes, &err)) {
    images_fail(&call, &err);
  } else {
    sqlite3_result_blob64(ctx, out, (sqlite3_uint64)bytes, sqlite3_free);
  }
}

static void images_error(sqlite3_context *ctx, int argc, sqlite3_value **argv) {
  bh_connection *c = sqlite3_user_data(ctx);
  nn_error err;
  nn_picture picture;
  sqlite3_int64 n;
  (void)argc;
  if (images_is_blob(argv[0], &err)) {
    const void *image = images_bytes(ctx, argv[0], &n);
    if (!image) return;
    if (!nn_picture_decode(&bh_memory, image, (size_t)n,
                           (uint64_t)c->config.max_pixels, &picture, &err)) {
      nn_picture_free(&bh_memory, &picture);
      return;
    }
  }
  if (err.status == NN_NOMEM) {
    sqlite3_result_error_nomem(ctx);
  } else {
    sqlite3_result_text(ctx, err.text, -1, SQLITE_TRANSIENT);
  }
}

static void images_info_result(sqlite3_context *ctx,
                               const nn_picture_info *info) {
  char *text = sqlite3_mprintf(
      "{\"format\":\"%s\",\"width\":%d,\"height\":%d,\"channels\":%d,"
      "\"orientation\":%d}", info->format, info->width, info->height,
      info->channels, info->orientation);
  if (!text) {
    sqlite3_result_error_nomem(ctx);
  } else {
    sqlite3_result_text(ctx, text, -1, sqlite3_free);
  }
}

static void images_info(sqlite3_context *ctx, int argc, sqlite3_value **argv) {
  nn_error err;
  nn_picture_info info;
  sqlite3_int64 n;
  (void)argc;
  if (images_null(argv[0])) return;
  if (!images_is_blob(argv[0], &err)) {
    bh_result_error(ctx, "img_info", &err);
    return;
  }
  const void *image = images_bytes(ctx, argv[0], &n);
  if (!image) return;
  if (nn_picture_read_info(image, (size_t)n, &info, &err)) {
    bh_result_error(ctx, "img_info", &err);
  } else {
    images_info_result(ctx, &info);
  }
}

int bh_register_images(bh_connection *c) {
  static const struct {
    const char *name;
    int arguments;
    void (*function)(sqlite3_context *, int, sqlite3_value **);
  } table[] = {
      {"img_hash", 1, images_hash},
      {"img_hash", 2, images_hash},
      {"try_img_hash", 1, images_try_hash},
      {"try_img_hash", 2, images_try_hash},
      {"img_hash_rgb", 3, images_hash_rgb},
      {"img_hash_rgb", 4, images_hash_rgb},
      {"img_features", 1, images_features},
      {"img_features", 2, images_features},
      {"img_layer", 2, images_layer},
      {"img_layer", 3, images_layer},
      {"img_label", 1, images_label},
      {"img_label", 2, images_label},
      {"img_error", 1, images_error},
      {"img_info", 1, images_info},
  };
  int rc = SQLITE_OK;
  for (size_t i = 0; rc == SQLITE_OK && i < sizeof(table) / sizeof(*table);
       i++) {
    rc = bh_function(c, table[i].name, table[i].arguments,
                     SQLITE_DETERMINISTIC, table[i].function);
  }
  return rc;
}

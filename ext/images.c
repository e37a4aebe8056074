/*
** The functions that look at pictures:
**
**     img_hash(image [, model])            the code of an image
**     try_img_hash(image [, model])        the same, NULL for what is no image
**     img_hash_rgb(rgb, width, height [, model])
**     img_features(image [, model])        the layer before the latent layer
**     img_layer(image, layer [, model])    any layer
**     img_label(image [, model])           the most likely class
**     img_quality(image)                   how much there is to recognise
**     img_error(image), img_info(image)    why not; what it is
**
** All but the last three are one path: find the model, fetch the image, have
** forward.c look at it, and hand over bytes.  NULL in (image or model) gives
** NULL out.
**
** What decodes hostile bytes is not INNOCUOUS; all of it is DETERMINISTIC.
*/
#include <string.h>

#include "ext_int.h"
SQLITE_EXTENSION_INIT3

#define IMAGES_CODE_BYTES 128   /* of 1024 bits, the widest latent layer */

/* What one call wants. */
typedef struct images_call {
  const char *function;
  sqlite3_context *context;
  bh_connection *connection;
  bh_head head;
  int quiet;              /* a picture that cannot be hashed gives NULL */
} images_call;

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

/* From picture to result --------------------------------------------------- */

/* The values of a blob for an image; 0 when an error or NULL is the result. */
static int images_look(const images_call *call, sqlite3_value *value, int blob,
                       bh_output *out) {
  nn_error err;
  nn_picture picture;
  bh_look look = {.model = call->head.model, .blob = blob};
  memset(&picture, 0, sizeof(picture));
  nn_status status = bh_image(value, &look.image, &look.bytes, &err);
  if (!status)
    status = bh_forward(call->connection, &look, &picture, out, &err);
  nn_picture_free(&bh_memory, &picture);
  if (status) images_fail(call, &err);
  return !status;
}

/* The code of these logits as the result. */
static void images_result_code(const images_call *call, const float *logits) {
  uint8_t code[IMAGES_CODE_BYTES];
  nn_code_from_logits(logits, call->head.head->bits, code);
  sqlite3_result_blob(call->context, code, (call->head.head->bits + 7) / 8,
                      SQLITE_TRANSIENT);
}

static void images_code(const images_call *call, sqlite3_value *value) {
  bh_output out;
  if (!images_look(call, value, call->head.head->latent, &out)) return;
  images_result_code(call, out.values);
  sqlite3_free(out.owned);
}

/* The values of a blob as they are. */
static void images_values(const images_call *call, sqlite3_value *value,
                          int blob) {
  int chw[3];
  bh_output out;
  if (!images_look(call, value, blob, &out)) return;
  size_t n = nn_model_blob_shape(call->head.model, blob, chw);
  sqlite3_result_blob64(call->context, out.values, n * sizeof(*out.values),
                        SQLITE_TRANSIENT);
  sqlite3_free(out.owned);
}

static images_call images_begin(sqlite3_context *ctx, const char *function) {
  images_call call = {function, ctx, sqlite3_user_data(ctx), {NULL, NULL}, 0};
  return call;
}

static int images_null(sqlite3_value *value) {
  return sqlite3_value_type(value) == SQLITE_NULL;
}

/* The functions ------------------------------------------------------------ */

static void images_hash(sqlite3_context *ctx, int argc, sqlite3_value **argv) {
  images_call call = images_begin(ctx, "img_hash");
  if (!images_null(argv[0]) && images_model(&call, argc, argv, 1))
    images_code(&call, argv[0]);
}

static void images_try_hash(sqlite3_context *ctx, int argc,
                            sqlite3_value **argv) {
  images_call call = images_begin(ctx, "try_img_hash");
  call.quiet = 1;
  /* An unknown model is an error for NULL images too: in a bulk statement it
  ** must not depend on the rows. */
  if (images_model(&call, argc, argv, 1) && !images_null(argv[0]))
    images_code(&call, argv[0]);
}

static void images_features(sqlite3_context *ctx, int argc,
                            sqlite3_value **argv) {
  images_call call = images_begin(ctx, "img_features");
  if (!images_null(argv[0]) && images_model(&call, argc, argv, 1))
    images_values(&call, argv[0], call.head.head->features);
}

static void images_layer(sqlite3_context *ctx, int argc, sqlite3_value **argv) {
  images_call call = images_begin(ctx, "img_layer");
  if (images_null(argv[0]) || images_null(argv[1]) ||
      !images_model(&call, argc, argv, 2))
    return;
  const char *layer = images_name(&call, argv[1]);
  if (!layer) return;
  int blob = nn_model_blob(call.head.model, layer);
  if (blob < 0) {
    bh_result_text_error(ctx, "img_layer: the model '%s' has no layer '%s'",
                         call.head.head->name, layer);
    return;
  }
  images_values(&call, argv[0], blob);
}

static void images_label(sqlite3_context *ctx, int argc, sqlite3_value **argv) {
  images_call call = images_begin(ctx, "img_label");
  bh_output out;
  if (images_null(argv[0]) || !images_model(&call, argc, argv, 1)) return;
  int blob = call.head.head->classifier;
  if (blob < 0 || !images_look(&call, argv[0], blob, &out)) return;
  int best = 0;
  for (int i = 1; i < call.head.head->classes; i++)
    if (out.values[i] > out.values[best]) best = i;
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
  bh_output out;
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
  const void *rgb = sqlite3_value_blob(argv[0]);
  if (!rgb) {
    sqlite3_result_error_nomem(ctx);
    return;
  }
  nn_picture_borrow(rgb, (int)w, (int)h, &picture);
  if (bh_forward_picture(call.connection, call.head.model,
                         call.head.head->latent, &picture, &out, &err)) {
    images_fail(&call, &err);
    return;
  }
  images_result_code(&call, out.values);
  sqlite3_free(out.owned);
}

/* The pixels of an image argument, for nn_picture_free. */
static nn_status images_decode(sqlite3_context *ctx, sqlite3_value *value,
                               nn_picture *out, nn_error *err) {
  bh_connection *c = sqlite3_user_data(ctx);
  const void *image;
  sqlite3_int64 n;
  nn_status status = bh_image(value, &image, &n, err);
  if (status) return status;
  return nn_picture_decode(&bh_memory, image, (size_t)n,
                           (uint64_t)c->config.max_pixels, out, err);
}

static void images_quality(sqlite3_context *ctx, int argc,
                           sqlite3_value **argv) {
  nn_error err;
  nn_picture picture;
  int quality;
  (void)argc;
  if (images_null(argv[0])) return;
  nn_status status = images_decode(ctx, argv[0], &picture, &err);
  if (!status) {
    status = nn_quality(&bh_memory, &picture, &quality, &err);
    nn_picture_free(&bh_memory, &picture);
  }
  if (status) {
    bh_result_error(ctx, "img_quality", &err);
  } else {
    sqlite3_result_int(ctx, quality);
  }
}

static void images_error(sqlite3_context *ctx, int argc, sqlite3_value **argv) {
  nn_error err;
  nn_picture picture;
  (void)argc;
  if (!images_decode(ctx, argv[0], &picture, &err)) {
    nn_picture_free(&bh_memory, &picture);
  } else if (err.status == NN_NOMEM) {
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
  const void *image;
  sqlite3_int64 n;
  (void)argc;
  if (images_null(argv[0])) return;
  if (bh_image(argv[0], &image, &n, &err) ||
      nn_picture_read_info(image, (size_t)n, &info, &err)) {
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
      {"img_quality", 1, images_quality},
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

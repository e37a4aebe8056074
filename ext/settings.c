/*
** SELECT binhash_config(name [, value]), binhash_version(), binhash_info().
**
** Settings belong to a connection and end with it.  They are a table: what a
** setting is called, where it lives, and what it may be.  Reading one and
** setting one both return the value in force, so that a script can print it.
** binhash_config is DIRECTONLY: a schema that somebody else wrote cannot raise
** a limit through a view or a trigger.
**
** amx is more than a number: turning it on asks the system for a permission of
** the whole process, and is an error that says what is missing where there is
** none.  Models that are loaded need nothing done to them, since each forward
** pass is told whether it may use tiles; a scan that is open goes on as it
** began.
*/
#include <stddef.h>
#include <string.h>

#include "ext_int.h"
SQLITE_EXTENSION_INIT3

/* A picture is decoded to at most 4 bytes a pixel, in one piece of memory that
** nn bounds by NN_ALLOC_MAX. */
#define SETTINGS_MAX_PIXELS 250000000

static const char *const settings_progress[] = {"off", "log", "stderr", NULL};

typedef struct settings_entry {
  const char *name;
  size_t offset;               /* of an sqlite3_int64 in bh_connection */
  sqlite3_int64 low, high;
  const char *const *words;    /* text values 0, 1, ... or NULL */
  nn_status (*grant)(nn_error *err);   /* for a value above 0, or NULL */
} settings_entry;

#define SETTINGS_AT(field) offsetof(bh_connection, config.field)
static const settings_entry settings_table[] = {
    {"max_pixels", SETTINGS_AT(max_pixels), 1, SETTINGS_MAX_PIXELS, NULL, NULL},
    {"threads", SETTINGS_AT(threads), 1, 256, NULL, NULL},
    {"cache_bytes", SETTINGS_AT(cache_bytes), 0, (sqlite3_int64)1 << 40, NULL,
     NULL},
    {"progress", SETTINGS_AT(progress), 0, 2, settings_progress, NULL},
    {"amx", SETTINGS_AT(amx), 0, 1, NULL, nn_amx_request},
    {"multi_index", SETTINGS_AT(multi_index), 0, 2, NULL, NULL},
};

static const settings_entry *settings_find(const char *name) {
  size_t n = sizeof(settings_table) / sizeof(*settings_table);
  for (size_t i = 0; name && i < n; i++)
    if (strcmp(settings_table[i].name, name) == 0) return &settings_table[i];
  return NULL;
}

static void settings_result(sqlite3_context *ctx, const settings_entry *e,
                            sqlite3_int64 value) {
  if (e->words) {
    sqlite3_result_text(ctx, e->words[value], -1, SQLITE_STATIC);
  } else {
    sqlite3_result_int64(ctx, value);
  }
}

/* The value as an integer, or -1 with the error set. */
static sqlite3_int64 settings_parse(sqlite3_context *ctx,
                                    const settings_entry *e,
                                    sqlite3_value *arg) {
  if (e->words) {
    const char *text = (const char *)sqlite3_value_text(arg);
    for (int i = 0; text && e->words[i]; i++)
      if (strcmp(e->words[i], text) == 0) return i;
    bh_result_text_error(ctx, "binhash_config: %s must be 'off', 'log' or "
                         "'stderr'", e->name);
    return -1;
  }
  sqlite3_int64 value = sqlite3_value_int64(arg);
  if (sqlite3_value_numeric_type(arg) != SQLITE_INTEGER || value < e->low ||
      value > e->high) {
    bh_result_text_error(ctx, "binhash_config: %s must be an integer from "
                         "%lld to %lld", e->name, e->low, e->high);
    return -1;
  }
  nn_error err;
  if (value && e->grant && e->grant(&err)) {
    bh_result_text_error(ctx, "binhash_config: %s: %s", e->name, err.text);
    return -1;
  }
  return value;
}

static void settings_config(sqlite3_context *ctx, int argc,
                            sqlite3_value **argv) {
  bh_connection *c = sqlite3_user_data(ctx);
  const char *name = (const char *)sqlite3_value_text(argv[0]);
  const settings_entry *e = settings_find(name);
  if (!e) {
    bh_result_text_error(ctx, "binhash_config: no setting '%s'; there are "
                         "max_pixels, threads, cache_bytes, progress, amx, "
                         "multi_index",
                         name ? name : "NULL");
    return;
  }
  sqlite3_int64 *slot = (sqlite3_int64 *)((char *)c + e->offset);
  if (argc == 2) {
    sqlite3_int64 value = settings_parse(ctx, e, argv[1]);
    if (value < 0) return;
    *slot = value;
    bh_connection_forget(c);   /* it was computed under the old settings */
  }
  settings_result(ctx, e, *slot);
}

static void settings_version(sqlite3_context *ctx, int argc,
                             sqlite3_value **argv) {
  (void)argc;
  (void)argv;
  sqlite3_result_text(ctx, BINHASH_VERSION, -1, SQLITE_STATIC);
}

/* A JSON string of ASCII that we wrote or that a library calls its version. */
static void settings_json(sqlite3_str *s, const char *key, const char *value) {
  sqlite3_str_appendf(s, "\"%s\":", key);
  if (!value) {
    sqlite3_str_appendall(s, "null");
    return;
  }
  sqlite3_str_appendchar(s, 1, '"');
  for (; *value; value++) {
    unsigned char ch = (unsigned char)*value;
    if (ch == '"' || ch == '\\') sqlite3_str_appendchar(s, 1, '\\');
    if (ch >= 0x20) sqlite3_str_appendchar(s, 1, (char)ch);
  }
  sqlite3_str_appendchar(s, 1, '"');
}

static void settings_info(sqlite3_context *ctx, int argc,
                          sqlite3_value **argv) {
  bh_connection *c = sqlite3_user_data(ctx);
  (void)argc;
  (void)argv;
  sqlite3_str *s = sqlite3_str_new(c->db);
  sqlite3_str_appendchar(s, 1, '{');
  settings_json(s, "version", BINHASH_VERSION);
  sqlite3_str_appendchar(s, 1, ',');
  settings_json(s, "kernel", nn_hamming_kernel());
  sqlite3_str_appendchar(s, 1, ',');
  settings_json(s, "blas", nn_blas_name());
  sqlite3_str_appendchar(s, 1, ',');
  settings_json(s, "stb_image", nn_stb_image_version());
  sqlite3_str_appendchar(s, 1, ',');
  settings_json(s, "default_model", bh_models_default());
  sqlite3_str_appendchar(s, 1, ',');
  settings_json(s, "sqlite", sqlite3_libversion());
  sqlite3_str_appendf(s, ",\"forward_passes\":%lld}", c->forward_passes);
  char *text = sqlite3_str_finish(s);
  if (!text) {
    sqlite3_result_error_nomem(ctx);
  } else {
    sqlite3_result_text(ctx, text, -1, sqlite3_free);
  }
}

int bh_register_settings(bh_connection *c) {
  int rc = bh_function(c, "binhash_config", 1, SQLITE_DIRECTONLY,
                       settings_config);
  if (rc == SQLITE_OK) {
    rc = bh_function(c, "binhash_config", 2, SQLITE_DIRECTONLY,
                     settings_config);
  }
  if (rc == SQLITE_OK) rc = bh_function(c, "binhash_info", 0, 0, settings_info);
  if (rc == SQLITE_OK) {
    rc = bh_function(c, "binhash_version", 0,
                     SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS, settings_version);
  }
  return rc;
}

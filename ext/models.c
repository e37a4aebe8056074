/*
** The models of a connection:
**
**     SELECT binhash_load('mine', 'mine.safetensors');   -- or a BLOB
**     SELECT name, bits, sha256 FROM binhash_models;
**     SELECT binhash_unload('mine');
**
** A file holds one network and one or more heads, each with a name of its own;
** what SQL calls a model is a head.  Loading a file registers its first head
** under the name that was given and the others under theirs.  A file named by
** a path is mapped, not read, and stays mapped until its last head is unloaded.
** Somebody may write over that file meanwhile, which would change the codes of
** a name, or cut it, which would be a fault of the process; so the file is
** looked at before each use, and a model whose file has changed is refused.
** The compiled-in file is opened when a head of it is first needed, so a
** connection that only compares codes never touches it.  All its heads have
** their own names, the first is the default, and none of them can be unloaded:
** a name that is compiled in means the same on every connection.
**
** Loading reads a file's header, checks it against the file's length, and no
** more, but for the weights of integer networks, whose sums must fit 32 bits:
** of 228 MB, a code may need all, a list of names nothing.  Weights are laid
** out for the kernels when a model is first used, and the sha256, a pass over
** all bytes, is taken when somebody first asks for it, of the bytes that were
** loaded: where the file has changed by then, there is none.
**
** A name is bound to its bytes: loading the same bytes again under the same
** name is harmless, other bytes under a name in use are refused.  That holds
** for each head by itself, so a file of which one head was unloaded can be
** loaded again.
*/
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "models.h"
SQLITE_EXTENSION_INIT3

#define MODELS_NAME_MAX 100   /* bytes of a name */

typedef struct bh_model_file {
  nn_model *model;
  void *mapped;        /* munmap this and close fd, or */
  void *copied;        /* sqlite3_free this; the default has neither */
  int fd;
  struct timespec written;   /* when, as it was loaded */
  const void *start;   /* of the bytes, wherever they are */
  size_t bytes;
  int digested;        /* the model has the sha256 of what was loaded */
  int references;      /* names that stand for a head of it, and holders */
} models_file;

typedef struct models_entry {
  struct models_entry *next;
  models_file *file;
  bh_head head;
  int is_default;
  char name[MODELS_NAME_MAX + 1];
} models_entry;

struct bh_models {
  models_entry *first;   /* in the order of loading */
};

static void models_file_close(models_file *file) {
  if (!file) return;
  nn_model_close(file->model);
  if (file->mapped) {
    munmap(file->mapped, file->bytes);
    close(file->fd);
  }
  sqlite3_free(file->copied);
  sqlite3_free(file);
}

static void models_remove(bh_models *models, models_entry *entry) {
  models_entry **at = &models->first;
  while (*at != entry) at = &(*at)->next;
  *at = entry->next;
  if (--entry->file->references == 0) models_file_close(entry->file);
  sqlite3_free(entry);
}

void bh_models_free(bh_models *models) {
  if (!models) return;
  while (models->first) models_remove(models, models->first);
  sqlite3_free(models);
}

static models_entry *models_lookup(bh_connection *c, const char *name) {
  models_entry *e = c->models ? c->models->first : NULL;
  while (e && strcmp(e->name, name) != 0) e = e->next;
  return e;
}

/* Append a name; SQLITE_OK or SQLITE_NOMEM. */
static int models_add(bh_connection *c, models_file *file, int head,
                      const char *name, int is_default) {
  if (!c->models) {
    c->models = sqlite3_malloc64(sizeof(*c->models));
    if (!c->models) return SQLITE_NOMEM;
    c->models->first = NULL;
  }
  models_entry *e = sqlite3_malloc64(sizeof(*e));
  if (!e) return SQLITE_NOMEM;
  memset(e, 0, sizeof(*e));
  e->file = file;
  e->head.model = file->model;
  e->head.head = nn_model_head(file->model, head);
  e->is_default = is_default;
  memcpy(e->name, name, strlen(name));
  file->references++;
  models_entry **at = &c->models->first;
  while (*at) at = &(*at)->next;
  *at = e;
  return SQLITE_OK;
}

/* The name of head i of a file that is loaded as `name`. */
static const char *models_head_name(const models_file *file, int i,
                                    const char *name) {
  return i == 0 ? name : nn_model_head(file->model, i)->name;
}

/* Was the file behind the mapping written to or cut since it was loaded? */
static int models_is_changed(const models_file *file) {
  struct stat st;
  if (!file->mapped) return 0;
  return fstat(file->fd, &st) != 0 || (size_t)st.st_size != file->bytes ||
         st.st_mtim.tv_sec != file->written.tv_sec ||
         st.st_mtim.tv_nsec != file->written.tv_nsec;
}

/* Does the entry stand for head i of a file with the same bytes? */
static int models_is_same(const models_entry *e, const models_file *file,
                          int i) {
  const nn_model *model = e->file->model;
  return i < nn_model_head_count(model) &&
         nn_model_head(model, i) == e->head.head &&
         e->file->bytes == file->bytes && !models_is_changed(e->file) &&
         memcmp(e->file->start, file->start, file->bytes) == 0;
}

/*
** Register every head, all or none.  Takes the file over: it is closed on
** error.  *error: see bh_models_find.
*/
static int models_register(bh_connection *c, models_file *file,
                           const char *name, int is_default, char **error) {
  int n = nn_model_head_count(file->model), rc = SQLITE_OK;
  file->references = 1;   /* ours, until all names hold theirs */
  if (n == 0) {
    *error = sqlite3_mprintf("the model names no head, so it gives no code");
    rc = SQLITE_ERROR;
  }
  for (int i = 0; rc == SQLITE_OK && i < n; i++) {
    const char *head = models_head_name(file, i, name);
    models_entry *taken = models_lookup(c, head);
    if (strlen(head) > MODELS_NAME_MAX) {
      *error = sqlite3_mprintf("head %d has a name longer than %d bytes", i,
                               MODELS_NAME_MAX);
      rc = SQLITE_ERROR;
    } else if (taken && taken->file != file && models_is_same(taken, file, i)) {
      continue;
    } else if (taken) {
      *error = sqlite3_mprintf("a model named '%s' is loaded already; unload "
                               "it first or choose another name", head);
      rc = SQLITE_ERROR;
    } else {
      rc = models_add(c, file, i, head, is_default && i == 0);
    }
  }
  if (rc != SQLITE_OK && c->models) {
    for (models_entry *e = c->models->first, *next; e; e = next) {
      next = e->next;
      if (e->file == file) models_remove(c->models, e);
    }
  }
  if (--file->references == 0) models_file_close(file);
  return rc;
}

static int models_is_compiled_in(const models_file *file) {
  return !file->mapped && !file->copied;
}

static models_file *models_file_new(void) {
  models_file *file = sqlite3_malloc64(sizeof(*file));
  if (file) memset(file, 0, sizeof(*file));
  return file;
}

/* What nn says is wrong with a model. */
static int models_error(const nn_error *err, char **error) {
  int rc = bh_code(err->status);
  if (rc != SQLITE_NOMEM) *error = sqlite3_mprintf("%s", err->text);
  return rc;
}

/* Read the model.  Takes the file over. */
static int models_open(bh_connection *c, models_file *file, const char *name,
                       int is_default, char **error) {
  nn_error err;
  if (nn_model_open_idle(&bh_memory, file->start, file->bytes, &file->model,
                         &err)) {
    int rc = models_error(&err, error);
    models_file_close(file);
    return rc;
  }
  return models_register(c, file, name, is_default, error);
}

/* Open the compiled-in model unless that is done. */
static int models_need_default(bh_connection *c, char **error) {
  sqlite3_int64 n;
  const char *name;
  const void *bytes = bh_default_model(&n, &name);
  if (!name || models_lookup(c, name)) return SQLITE_OK;
  models_file *file = models_file_new();
  if (!file) return SQLITE_NOMEM;
  file->start = bytes;
  file->bytes = (size_t)n;
  return models_open(c, file, name, 1, error);
}

const char *bh_models_default(void) {
  sqlite3_int64 n;
  const char *name;
  bh_default_model(&n, &name);
  return name;
}

int bh_models_find(bh_connection *c, const char *name, bh_head *out,
                   char **error) {
  const char *fallback = bh_models_default();
  *error = NULL;
  if (!name && !fallback) {
    *error = sqlite3_mprintf("this build has no default model; load one with "
                             "binhash_load and give its name");
    return SQLITE_ERROR;
  }
  if (!name) name = fallback;
  models_entry *e = models_lookup(c, name);
  if (!e) {
    int rc = models_need_default(c, error);
    if (rc != SQLITE_OK) return rc;
    e = models_lookup(c, name);
  }
  if (!e) {
    *error = sqlite3_mprintf("no model named '%s' is loaded", name);
    return SQLITE_ERROR;
  }
  if (models_is_changed(e->file)) {
    *error = sqlite3_mprintf("the file of the model '%s' was written to after "
                             "it was loaded; unload it and load it again",
                             name);
    return SQLITE_ERROR;
  }
  nn_error err;
  if (nn_model_ready(e->file->model, &err)) return models_error(&err, error);
  *out = e->head;
  return SQLITE_OK;
}

int bh_models_hold(bh_connection *c, const char *name, bh_head *out,
                   bh_model_file **file, char **error) {
  int rc = bh_models_find(c, name, out, error);
  *file = NULL;
  if (rc != SQLITE_OK) return rc;
  *file = models_lookup(c, name ? name : bh_models_default())->file;
  (*file)->references++;
  return SQLITE_OK;
}

int bh_models_is_changed(const bh_model_file *file) {
  return models_is_changed(file);
}

int bh_models_sha256(bh_model_file *file, const char *name, const char **hex,
                     char **error) {
  *error = NULL;
  *hex = NULL;
  if (!file->digested && !models_is_changed(file)) {
    nn_model_sha256(file->model);
    file->digested = !models_is_changed(file);
  }
  if (file->digested) {
    *hex = nn_model_sha256(file->model);
    return SQLITE_OK;
  }
  *error = sqlite3_mprintf("the file of the model '%s' was written to after it "
                           "was loaded, before its sha256 was taken; unload it "
                           "and load it again", name);
  return SQLITE_ERROR;
}

void bh_models_release(bh_model_file *file) {
  if (file && --file->references == 0) models_file_close(file);
}

/* Map a file.  The mapping is private: nobody writes through it. */
static int models_map(const char *path, models_file *file, char **error) {
  struct stat st;
  /* O_NONBLOCK: opening a FIFO must not wait for its writer. */
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (fd < 0 || fstat(fd, &st) != 0) {
    *error = sqlite3_mprintf("cannot open '%s': %s", path, strerror(errno));
    if (fd >= 0) close(fd);
    return SQLITE_CANTOPEN;
  }
  if (!S_ISREG(st.st_mode) || st.st_size == 0) {
    *error = sqlite3_mprintf("'%s' is %s", path, S_ISREG(st.st_mode)
                             ? "an empty file" : "not a regular file");
    close(fd);
    return SQLITE_CANTOPEN;
  }
  void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
  if (p == MAP_FAILED) {
    *error = sqlite3_mprintf("cannot map '%s': %s", path, strerror(errno));
    close(fd);
    return SQLITE_CANTOPEN;
  }
  file->start = file->mapped = p;
  file->bytes = (size_t)st.st_size;
  file->fd = fd;
  file->written = st.st_mtim;
  return SQLITE_OK;
}

/* bh_text of what must be TEXT. */
static int models_text(sqlite3_value *value, const char **out) {
  *out = NULL;
  return sqlite3_value_type(value) == SQLITE_TEXT ? bh_text(value, out)
                                                  : SQLITE_MISMATCH;
}

static int models_load_value(bh_connection *c, const char *name,
                             sqlite3_value *source, char **error) {
  int rc = models_need_default(c, error);   /* its name is taken */
  models_file *file = rc == SQLITE_OK ? models_file_new() : NULL;
  if (!file) return rc == SQLITE_OK ? SQLITE_NOMEM : rc;
  if (sqlite3_value_type(source) == SQLITE_TEXT) {
    const char *path;
    rc = models_text(source, &path);
    if (rc == SQLITE_OK) {
      rc = models_map(path, file, error);
    } else if (rc == SQLITE_MISMATCH) {
      *error = sqlite3_mprintf("argument 2 (model) is a path with a NUL in it");
      rc = SQLITE_ERROR;
    }
  } else {
    file->bytes = (size_t)sqlite3_value_bytes(source);
    const void *blob = sqlite3_value_blob(source);
    file->start = file->copied = sqlite3_malloc64(file->bytes + 1);
    if (!file->copied || (!blob && file->bytes)) {
      rc = SQLITE_NOMEM;
    } else if (file->bytes) {
      memcpy(file->copied, blob, file->bytes);
    }
  }
  if (rc != SQLITE_OK) {
    models_file_close(file);
    return rc;
  }
  return models_open(c, file, name, 0, error);
}

/* The names that stand for the heads of the file loaded as `name`. */
static void models_result_names(sqlite3_context *ctx, bh_connection *c,
                                const char *name) {
  const models_file *file = models_lookup(c, name)->file;
  sqlite3_str *s = sqlite3_str_new(c->db);
  for (int i = 0; i < nn_model_head_count(file->model); i++) {
    if (i) sqlite3_str_appendchar(s, 1, ',');
    sqlite3_str_appendall(s, models_head_name(file, i, name));
  }
  char *names = sqlite3_str_finish(s);
  if (names) sqlite3_result_text(ctx, names, -1, sqlite3_free);
  else sqlite3_result_error_nomem(ctx);
}

static void models_load(sqlite3_context *ctx, int argc, sqlite3_value **argv) {
  bh_connection *c = sqlite3_user_data(ctx);
  const char *name;
  int rc = models_text(argv[0], &name);
  int type = sqlite3_value_type(argv[1]);
  (void)argc;
  if (rc == SQLITE_NOMEM) {
    sqlite3_result_error_nomem(ctx);
    return;
  }
  if (rc != SQLITE_OK || !*name || strlen(name) > MODELS_NAME_MAX) {
    bh_result_text_error(ctx, "binhash_load: argument 1 (name) must be a text "
                         "of 1 to %d bytes, without NUL", MODELS_NAME_MAX);
    return;
  }
  if (type != SQLITE_TEXT && type != SQLITE_BLOB) {
    bh_result_text_error(ctx, "binhash_load: argument 2 (model) must be a "
                         "path or a BLOB");
    return;
  }
  char *error = NULL;
  rc = models_load_value(c, name, argv[1], &error);
  if (rc != SQLITE_OK) {
    bh_result_message(ctx, "binhash_load", rc, error);
    return;
  }
  models_result_names(ctx, c, name);
}

static void models_unload(sqlite3_context *ctx, int argc,
                          sqlite3_value **argv) {
  bh_connection *c = sqlite3_user_data(ctx);
  const char *name;
  char *error = NULL;
  int rc = models_text(argv[0], &name);
  (void)argc;
  if (rc == SQLITE_NOMEM) {
    sqlite3_result_error_nomem(ctx);
    return;
  }
  if (rc != SQLITE_OK) {
    bh_result_text_error(ctx, "binhash_unload: argument 1 (name) must be a "
                         "text without NUL");
    return;
  }
  rc = models_need_default(c, &error);
  if (rc != SQLITE_OK) {
    bh_result_message(ctx, "binhash_unload", rc, error);
    return;
  }
  models_entry *e = models_lookup(c, name);
  if (!e) {
    bh_result_text_error(ctx, "binhash_unload: no model named '%s' is loaded",
                         name);
    return;
  }
  if (models_is_compiled_in(e->file)) {
    bh_result_text_error(ctx, "binhash_unload: '%s' is compiled in and stays",
                         name);
    return;
  }
  bh_connection_forget(c);
  models_remove(c->models, e);
}

int bh_models_describe(bh_connection *c, int i, bh_model_row *row,
                       char **error) {
  int rc = models_need_default(c, error);
  models_entry *e = c->models ? c->models->first : NULL;
  memset(row, 0, sizeof(*row));
  if (rc != SQLITE_OK) return rc;
  while (e && i-- > 0) e = e->next;
  if (!e) return SQLITE_OK;
  memcpy(row->name, e->name, sizeof(e->name));
  row->bits = e->head.head->bits;
  row->kind = nn_model_kind(e->file->model) == NN_INTEGER ? "integer"
                                                          : "float32";
  row->is_default = e->is_default;
  const char *report = nn_model_report(e->file->model);
  if (report) row->report = sqlite3_mprintf("%s", report);
  if (report && !row->report) return SQLITE_NOMEM;
  row->file = e->file;
  row->file->references++;
  return SQLITE_OK;
}

int bh_register_models(bh_connection *c) {
  int rc = bh_function(c, "binhash_load", 2, SQLITE_DIRECTONLY, models_load);
  if (rc == SQLITE_OK) {
    rc = bh_function(c, "binhash_unload", 1, SQLITE_DIRECTONLY, models_unload);
  }
  return rc == SQLITE_OK ? bh_register_models_table(c) : rc;
}

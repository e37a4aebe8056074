/*
** The graph that the readers of binhash-import build.
**
** Layers, members and tensors are small structs in an arena: nothing is freed
** before the whole is, so a reader may take layers out, fold them and rename
** them without asking who owns what.  Bottoms are pointers, so a layer keeps
** its readers when it is renamed; layers stand in the order in which they run,
** which is the order in which they were added.
**
** The arena has a limit, since what fills it comes out of files that anybody
** may have written.
*/
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "import.h"

/* Memory ------------------------------------------------------------------- */

#define GRAPH_CHUNK ((size_t)64 << 10)

typedef struct import_chunk {
  struct import_chunk *next;
  size_t used, room;
  char align[IMPORT_ALIGN - sizeof(struct import_chunk *) -
             2 * sizeof(size_t)];
} import_chunk;

void import_open(import *im, const nn_memory *mem) {
  memset(im, 0, sizeof(*im));
  im->mem = mem;
  im->left = IMPORT_MEMORY_DEFAULT;
  for (int c = 0; c < 3; c++) im->preprocess.scale[c] = 1;
}

void import_free_chunks(import *im) {
  for (import_chunk *chunk = im->chunks, *next; chunk; chunk = next) {
    next = chunk->next;
    nn_free(im->mem, chunk);
  }
  im->chunks = NULL;
}

nn_status import_no_memory(import *im) {
  if (!im->error[0]) {
    snprintf(im->error, sizeof(im->error), "%s%sout of memory",
             im->file ? im->file : "", im->file ? ": " : "");
  }
  return NN_NOMEM;
}

/* A chunk with room for n bytes, which is a multiple of the alignment. */
static import_chunk *graph_chunk(import *im, size_t n) {
  import_chunk *chunk = im->chunks;
  if (chunk && chunk->room - chunk->used >= n) return chunk;
  size_t room = n > GRAPH_CHUNK ? n : GRAPH_CHUNK;
  if (room > im->left) return NULL;
  chunk = nn_zalloc(im->mem, sizeof(*chunk) + room);
  if (!chunk) return NULL;
  im->left -= room;
  chunk->room = room;
  /* one that is full at once goes behind the one that still has room */
  if (room == n && im->chunks) {
    chunk->next = im->chunks->next;
    im->chunks->next = chunk;
  } else {
    chunk->next = im->chunks;
    im->chunks = chunk;
  }
  return chunk;
}

void *import_alloc(import *im, size_t count, size_t size) {
  size_t n = nn_mul(count, size);
  if (n > NN_ALLOC_MAX) {
    import_no_memory(im);
    return NULL;
  }
  n = n ? (n + IMPORT_ALIGN - 1) / IMPORT_ALIGN * IMPORT_ALIGN : IMPORT_ALIGN;
  import_chunk *chunk = graph_chunk(im, n);
  if (!chunk) {
    import_no_memory(im);
    return NULL;
  }
  void *p = (char *)(chunk + 1) + chunk->used;
  chunk->used += n;
  return p;
}

char *import_copy(import *im, const char *text) {
  size_t n = strlen(text) + 1;
  char *copy = import_alloc(im, n, 1);
  if (copy) memcpy(copy, text, n);
  return copy;
}

char *import_print(import *im, const char *format, ...) {
  char text[1024];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof(text), format, args);
  va_end(args);
  return import_copy(im, text);
}

/* Messages ----------------------------------------------------------------- */

nn_status import_fail(import *im, const char *layer, const char *format, ...) {
  va_list args;
  size_t room = sizeof(im->error);
  int n = snprintf(im->error, room, "%s%s%s%s%s", im->file ? im->file : "",
                   im->file ? ": " : "", layer ? "layer " : "",
                   layer ? nn_shown_name(layer).text : "", layer ? ": " : "");
  if (n < 0 || (size_t)n >= room) n = (int)room - 1;
  va_start(args, format);
  vsnprintf(im->error + n, room - (size_t)n, format, args);
  va_end(args);
  return NN_MODEL;
}

void import_warn(import *im, const char *format, ...) {
  char text[1024];
  va_list args;
  if (!im->warn) return;
  va_start(args, format);
  vsnprintf(text, sizeof(text), format, args);
  va_end(args);
  im->warn(im->warn_context, text);
}

const char *import_shape_text(import *im, int rank, const int64_t *shape) {
  char text[256];
  size_t n = 0;
  text[0] = 0;
  for (int i = 0; i < rank && n < sizeof(text) - 32; i++) {
    n += (size_t)snprintf(text + n, sizeof(text) - n, i ? " x %lld" : "%lld",
                          (long long)shape[i]);
  }
  char *copy = import_copy(im, rank ? text : "a single value");
  return copy ? copy : "";
}

/* Layers ------------------------------------------------------------------- */

static import_layer *graph_layer(import *im, const char *name,
                                 const char *type) {
  if (!name[0]) {
    import_fail(im, NULL, "layer %d has no name", im->layer_count);
    return NULL;
  }
  if (import_find(im, name)) {
    import_fail(im, name, "two layers have this name");
    return NULL;
  }
  if (im->layer_count > NN_LAYER_MAX) {
    import_fail(im, name, "more than %d layers", NN_LAYER_MAX);
    return NULL;
  }
  import_layer *layer = import_alloc(im, 1, sizeof(*layer));
  if (!layer) return NULL;
  layer->name = import_copy(im, name);
  layer->type = import_copy(im, type);
  if (!layer->name || !layer->type) return NULL;
  return layer;
}

static void graph_link(import *im, import_layer *after, import_layer *layer) {
  im->layer_count++;
  if (!after) {
    im->layers = im->last = layer;
    return;
  }
  layer->next = after->next;
  after->next = layer;
  if (im->last == after) im->last = layer;
}

import_layer *import_input(import *im, const char *name, int channels,
                           int height, int width) {
  if (im->layers) {
    import_fail(im, name, "a second input; one is supported");
    return NULL;
  }
  if (channels < 1 || height < 1 || width < 1 || channels > NN_SIDE_MAX ||
      height > NN_SIDE_MAX || width > NN_SIDE_MAX) {
    import_fail(im, name, "an input of %d x %d x %d; sides are 1 to %d",
                channels, height, width, NN_SIDE_MAX);
    return NULL;
  }
  import_layer *layer = graph_layer(im, name, "Input");
  if (!layer) return NULL;
  layer->shape[0] = channels;
  layer->shape[1] = height;
  layer->shape[2] = width;
  graph_link(im, NULL, layer);
  return layer;
}

import_layer *import_insert(import *im, import_layer *after, const char *name,
                            const char *type, import_layer *bottom) {
  import_layer *layer = graph_layer(im, name, type);
  if (!layer || (bottom && import_bottom(im, layer, bottom))) return NULL;
  graph_link(im, after, layer);
  return layer;
}

import_layer *import_add(import *im, const char *name, const char *type,
                         import_layer *bottom) {
  if (!im->layers) {
    import_fail(im, name, "it comes before any input");
    return NULL;
  }
  return import_insert(im, im->last, name, type, bottom);
}

nn_status import_bottom(import *im, import_layer *layer,
                        import_layer *bottom) {
  if (layer->bottoms == NN_BOTTOM_MAX) {
    return import_fail(im, layer->name, "more than %d inputs", NN_BOTTOM_MAX);
  }
  /* room for a power of two of them, filled up to then */
  if ((layer->bottoms & (layer->bottoms - 1)) == 0) {
    import_layer **room = import_alloc(
        im, (size_t)(layer->bottoms ? 2 * layer->bottoms : 1), sizeof(*room));
    if (!room) return NN_NOMEM;
    if (layer->bottoms) {
      memcpy(room, layer->bottom, (size_t)layer->bottoms * sizeof(*room));
    }
    layer->bottom = room;
  }
  layer->bottom[layer->bottoms++] = bottom;
  return NN_OK;
}

import_layer *import_find(const import *im, const char *name) {
  import_layer *layer = im->layers;
  while (layer && strcmp(layer->name, name) != 0) layer = layer->next;
  return layer;
}

static import_alias *graph_alias(const import *im, const char *name) {
  import_alias *alias = im->aliases;
  while (alias && strcmp(alias->name, name) != 0) alias = alias->next;
  return alias;
}

import_layer *import_named(const import *im, const char *name) {
  import_layer *layer = import_find(im, name);
  if (layer) return layer;
  import_alias *alias = graph_alias(im, name);
  return alias ? alias->layer : NULL;
}

char *import_unique(import *im, const char *base) {
  char *name = import_copy(im, base);
  for (int i = 2; name && import_named(im, name); i++) {
    name = import_print(im, "%.900s_%d", base, i);
  }
  return name;
}

nn_status import_add_alias(import *im, const char *name,
                           import_layer *layer) {
  if (!name[0] || import_named(im, name)) return NN_OK;
  import_alias *alias = import_alloc(im, 1, sizeof(*alias));
  if (!alias) return NN_NOMEM;
  alias->name = import_copy(im, name);
  if (!alias->name) return NN_NOMEM;
  alias->layer = layer;
  alias->next = im->aliases;
  im->aliases = alias;
  return NN_OK;
}

nn_status import_rename(import *im, import_layer *layer, const char *name) {
  if (strcmp(layer->name, name) == 0) return NN_OK;
  if (import_named(im, name)) {
    return import_fail(im, layer->name, "cannot be renamed: %s is taken",
                       nn_shown_name(name).text);
  }
  const char *copy = import_copy(im, name);
  if (!copy) return NN_NOMEM;
  layer->name = copy;
  return NN_OK;
}

int import_readers(const import *im, const import_layer *layer) {
  int n = 0;
  for (const import_layer *l = im->layers; l; l = l->next) {
    for (int i = 0; i < l->bottoms; i++) n += l->bottom[i] == layer;
  }
  return n;
}

nn_status import_replace(import *im, import_layer *layer,
                         import_layer *instead) {
  for (import_layer *l = im->layers; l; l = l->next) {
    for (int i = 0; i < l->bottoms && l != instead; i++) {
      if (l->bottom[i] == layer) l->bottom[i] = instead;
    }
    if (l->next == layer) {
      l->next = layer->next;
      im->layer_count--;
      if (im->last == layer) im->last = l;
    }
  }
  for (import_alias *a = im->aliases; a; a = a->next) {
    if (a->layer == layer) a->layer = instead;
  }
  if (im->latent == layer) im->latent = instead;
  if (im->features == layer) im->features = instead;
  if (im->classifier == layer) im->classifier = instead;
  return import_add_alias(im, layer->name, instead);
}

/* Members ------------------------------------------------------------------ */

const import_member *import_get(const import_layer *layer, const char *key) {
  const import_member *m = layer->members;
  while (m && strcmp(m->key, key) != 0) m = m->next;
  return m;
}

/* At the end, or in the place of one of that key. */
static import_member *graph_member(import *im, import_layer *layer,
                                   const char *key, import_kind kind,
                                   int count) {
  import_member **at = &layer->members;
  while (*at && strcmp((*at)->key, key) != 0) at = &(*at)->next;
  import_member *m = *at;
  if (!m) {
    m = import_alloc(im, 1, sizeof(*m));
    if (!m) return NULL;
    m->key = import_copy(im, key);
    if (!m->key) return NULL;
    *at = m;
  }
  size_t n = (size_t)(count ? count : 1);
  m->kind = kind;
  m->count = count;
  m->ints = NULL;
  m->floats = NULL;
  m->string = NULL;
  if (kind == IMPORT_FLOATS) {
    m->floats = import_alloc(im, n, sizeof(float));
    return m->floats ? m : NULL;
  }
  m->ints = import_alloc(im, n, sizeof(int));
  return m->ints ? m : NULL;
}

static nn_status graph_ints(import *im, import_layer *layer, const char *key,
                            import_kind kind, int count, const int *values) {
  import_member *m = graph_member(im, layer, key, kind, count);
  if (!m) return NN_NOMEM;
  memcpy(m->ints, values, (size_t)(count ? count : 1) * sizeof(*values));
  return NN_OK;
}

nn_status import_int(import *im, import_layer *layer, const char *key,
                     int value) {
  return graph_ints(im, layer, key, IMPORT_INTS, 0, &value);
}

nn_status import_ints(import *im, import_layer *layer, const char *key,
                      int count, const int *values) {
  return graph_ints(im, layer, key, IMPORT_INTS, count, values);
}

nn_status import_boolean(import *im, import_layer *layer, const char *key,
                         int value) {
  return graph_ints(im, layer, key, IMPORT_BOOLEAN, 0, &value);
}

nn_status import_floats(import *im, import_layer *layer, const char *key,
                        int count, const float *values) {
  import_member *m = graph_member(im, layer, key, IMPORT_FLOATS, count);
  if (!m) return NN_NOMEM;
  memcpy(m->floats, values, (size_t)(count ? count : 1) * sizeof(*values));
  return NN_OK;
}

nn_status import_float(import *im, import_layer *layer, const char *key,
                       float value) {
  return import_floats(im, layer, key, 0, &value);
}

nn_status import_string(import *im, import_layer *layer, const char *key,
                        const char *value) {
  import_member *m = graph_member(im, layer, key, IMPORT_STRING, 0);
  if (!m) return NN_NOMEM;
  m->string = import_copy(im, value);
  return m->string ? NN_OK : NN_NOMEM;
}

/* Tensors ------------------------------------------------------------------ */

import_tensor *import_tensor_find(const import *im, const char *name) {
  import_tensor *t = im->tensors;
  while (t && strcmp(t->name, name) != 0) t = t->next;
  return t;
}

import_tensor *import_add_tensor(import *im, const char *name, int rank,
                                 const int64_t *shape, const float *values) {
  if (import_tensor_find(im, name)) {
    import_fail(im, NULL, "two tensors are called %s",
                nn_shown_name(name).text);
    return NULL;
  }
  if (rank < 0 || rank > 8) {
    import_fail(im, NULL, "tensor %s has %d sides, 8 can be",
                nn_shown_name(name).text, rank);
    return NULL;
  }
  import_tensor *t = import_alloc(im, 1, sizeof(*t));
  if (!t) return NULL;
  t->name = import_copy(im, name);
  if (!t->name) return NULL;
  t->rank = rank;
  t->count = 1;
  for (int i = 0; i < rank; i++) {
    t->shape[i] = shape[i];
    t->count = nn_mul(t->count, (size_t)shape[i]);
  }
  t->values = values;
  if (im->last_tensor) im->last_tensor->next = t;
  else im->tensors = t;
  im->last_tensor = t;
  im->tensor_count++;
  return t;
}

nn_status import_weights(import *im, import_layer *layer, const char *key,
                         int rank, const int64_t *shape,
                         const float *values) {
  size_t n = strlen(layer->name) + strlen(key) + 2;
  char *name = import_alloc(im, n, 1);
  if (!name) return NN_NOMEM;
  snprintf(name, n, "%s.%s", layer->name, key);
  if (!import_add_tensor(im, name, rank, shape, values)) {
    return im->error[0] ? NN_MODEL : NN_NOMEM;
  }
  return import_string(im, layer, key, name);
}

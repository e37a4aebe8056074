/*
** What binhash_train learns from: for each picture of the table its features, a
** byte each, and the classes that its rows name.
**
** Pictures themselves are not kept, so 50,000 of them with 256 features take
** 20 MB.  An integer network's features are bytes already and are kept exactly;
** those of a float32 network are rounded to 255 steps between the smallest and
** the largest of the picture, an error of at most half a step, which is far
** below what training adds of its own.
**
** A picture that comes twice, byte for byte, is one example: its rows may name
** several classes, which is how a table says that a picture shows both a dog
** and a beach.  Pictures are told apart by their SHA-256, classes by the bytes
** of their names; both are found by open addressing.
**
** An example that is announced is filled or dropped later, so that pictures can
** go through the network several at a time while the rows behind them are read.
*/
#include <math.h>
#include <string.h>

#include "learn.h"

#define EXAMPLES_CHUNK ((size_t)1 << 20)   /* bytes of rows taken at a time */

/* Arrays that grow --------------------------------------------------------- */

/* Room for one more of `size` bytes each. */
static nn_status examples_grow(const nn_memory *mem, void *array, size_t count,
                               size_t *room, size_t size, nn_error *err) {
  void *old, *grown;
  memcpy(&old, array, sizeof(old));
  if (count < *room) return NN_OK;
  size_t more = *room ? 2 * *room : 64;
  grown = nn_alloc(mem, nn_mul(more, size));
  if (!grown) return nn_fail(err, NN_NOMEM, "out of memory");
  if (count) memcpy(grown, old, count * size);
  nn_free(mem, old);
  memcpy(array, &grown, sizeof(grown));
  *room = more;
  return NN_OK;
}

static uint64_t examples_key_hash(const nn_examples *e, size_t i) {
  uint64_t hash;
  memcpy(&hash, e->list[i].key, sizeof(hash));
  return hash;
}

static uint64_t examples_class_hash(const nn_examples *e, size_t i) {
  const char *name = e->classes[i].name;
  return nn_xxh64(name, strlen(name));
}

/* Slots for one more entry, at most half of them in use. */
static nn_status examples_rehash(nn_examples *e, uint32_t **slots,
                                 size_t *slot_count, size_t count,
                                 uint64_t (*hash)(const nn_examples *, size_t),
                                 nn_error *err) {
  if (2 * (count + 1) <= *slot_count) return NN_OK;
  size_t n = *slot_count ? 2 * *slot_count : 256;
  uint32_t *fresh = nn_zalloc(&e->mem, nn_mul(n, sizeof(*fresh)));
  if (!fresh) return nn_fail(err, NN_NOMEM, "out of memory");
  for (size_t i = 0; i < count; i++) {
    size_t at = (size_t)hash(e, i) & (n - 1);
    while (fresh[at]) at = (at + 1) & (n - 1);
    fresh[at] = (uint32_t)i + 1;
  }
  nn_free(&e->mem, *slots);
  *slots = fresh;
  *slot_count = n;
  return NN_OK;
}

/* Opening ------------------------------------------------------------------ */

static nn_status examples_form(nn_examples *e, nn_error *err) {
  const nn_blob *blob = &e->base->blobs[e->head->features];
  e->features = blob->size;
  e->plane = (size_t)blob->h * (size_t)blob->w;
  e->integer = nn_model_kind(e->base) == NN_INTEGER;
  e->quant = &blob->quant;
  if (e->integer && blob->quant.sums) {
    return nn_fail(err, NN_MODEL, "the features of the base, %s, are sums, and "
                   "a hash layer reads bytes", nn_shown_name(blob->name).text);
  }
  if (e->features > NN_FEATURES_MAX) {
    return nn_fail(err, NN_MODEL, "the base has %zu features, the limit is %d",
                   e->features, NN_FEATURES_MAX);
  }
  e->code_bytes = ((size_t)e->head->bits + 7) / 8;
  e->row_bytes = 2 * sizeof(float) + e->features + e->code_bytes;
  e->rows_of_chunk = (int)(EXAMPLES_CHUNK / e->row_bytes) + 1;
  return NN_OK;
}

/* The classes that the base is not to forget. */
static nn_status examples_old(nn_examples *e, nn_error *err) {
  nn_kept kept;
  int index;
  nn_status status = NN_OK;
  nn_kept_find(e, &kept);
  for (int i = 0; i < kept.classes && !status; i++) {
    const char *name = e->head->class_names[i];
    status = nn_examples_class(e, name, strlen(name), &index, err);
    if (status == NN_OK && index != i)
      status = nn_fail(err, NN_MODEL, "two classes of the base are called %s",
                       nn_shown_name(name).text);
  }
  e->old_classes = (int)e->class_count;
  return status;
}

nn_status nn_examples_open(const nn_memory *mem, const nn_model *base,
                           const nn_head *head, nn_examples **out,
                           nn_error *err) {
  nn_examples *e = nn_zalloc(mem, sizeof(*e));
  *out = NULL;
  if (!e) return nn_fail(err, NN_NOMEM, "out of memory");
  e->mem = *mem;
  e->base = base;
  e->head = head;
  nn_status status = examples_form(e, err);
  if (status == NN_OK) status = examples_old(e, err);
  if (status) nn_examples_close(e);
  else *out = e;
  return status;
}

void nn_examples_close(nn_examples *e) {
  if (!e) return;
  nn_memory mem = e->mem;
  for (size_t i = 0; i < e->chunk_count; i++) nn_free(&mem, e->chunks[i]);
  for (size_t i = 0; i < e->class_count; i++)
    nn_free(&mem, e->classes[i].name);
  nn_free(&mem, e->chunks);
  nn_free(&mem, e->list);
  nn_free(&mem, e->slots);
  nn_free(&mem, e->labels);
  nn_free(&mem, e->classes);
  nn_free(&mem, e->class_slots);
  nn_free(&mem, e);
}

/* Classes ------------------------------------------------------------------ */

static nn_status examples_name(const char *name, size_t n, nn_error *err) {
  const uint8_t *p = (const uint8_t *)name, *end = p + n;
  if (n > NN_CLASS_NAME_MAX) {
    return nn_fail(err, NN_ARGUMENT, "the label has %zu bytes, the limit is %d",
                   n, NN_CLASS_NAME_MAX);
  }
  for (int step; p < end; p += step) {
    step = *p ? nn_utf8(p, end) : 0;
    if (!step)
      return nn_fail(err, NN_ARGUMENT, "the label is not UTF-8 without NUL");
  }
  return NN_OK;
}

static nn_status examples_new_class(nn_examples *e, const char *name, size_t n,
                                    nn_error *err) {
  if (e->class_count == NN_CLASSES_MAX) {
    return nn_fail(err, NN_TOO_LARGE, "more than %d different labels",
                   NN_CLASSES_MAX);
  }
  if (e->name_bytes + n > NN_CLASS_NAMES_MAX) {
    return nn_fail(err, NN_TOO_LARGE, "the different labels have more than %d "
                   "bytes together", NN_CLASS_NAMES_MAX);
  }
  nn_status status = examples_grow(&e->mem, &e->classes, e->class_count,
                                   &e->class_room, sizeof(*e->classes), err);
  if (status == NN_OK)
    status = examples_rehash(e, &e->class_slots, &e->class_slot_count,
                             e->class_count, examples_class_hash, err);
  if (status) return status;
  char *copy = nn_alloc(&e->mem, n + 1);
  if (!copy) return nn_fail(err, NN_NOMEM, "out of memory");
  if (n) memcpy(copy, name, n);
  copy[n] = 0;
  size_t at = (size_t)nn_xxh64(name, n) & (e->class_slot_count - 1);
  while (e->class_slots[at]) at = (at + 1) & (e->class_slot_count - 1);
  e->classes[e->class_count++] = (nn_class){copy, 0};
  e->class_slots[at] = (uint32_t)e->class_count;
  e->name_bytes += n;
  return NN_OK;
}

nn_status nn_examples_class(nn_examples *e, const char *name, size_t n,
                            int *index, nn_error *err) {
  nn_status status = examples_name(name, n, err);
  if (status) return status;
  size_t mask = e->class_slot_count - 1;
  size_t at = e->class_slot_count ? (size_t)nn_xxh64(name, n) & mask : 0;
  for (; e->class_slot_count && e->class_slots[at]; at = (at + 1) & mask) {
    *index = (int)e->class_slots[at] - 1;
    const char *have = e->classes[*index].name;
    if (strlen(have) == n && memcmp(have, name, n) == 0) return NN_OK;
  }
  *index = (int)e->class_count;
  return examples_new_class(e, name, n, err);
}

int nn_examples_classes(const nn_examples *e) {
  return (int)e->class_count;
}

int nn_examples_old_classes(const nn_examples *e) {
  return e->old_classes;
}

const char *nn_examples_class_name(const nn_examples *e, int index) {
  return e->classes[index].name;
}

int nn_examples_class_size(const nn_examples *e, int index) {
  return e->classes[index].size;
}

/* Examples ----------------------------------------------------------------- */

/* A row and an entry for one more example. */
static nn_status examples_room(nn_examples *e, nn_error *err) {
  if (e->count == NN_EXAMPLES_MAX) {
    return nn_fail(err, NN_TOO_LARGE, "more than %d different images",
                   NN_EXAMPLES_MAX);
  }
  nn_status status = examples_grow(&e->mem, &e->list, e->count, &e->room,
                                   sizeof(*e->list), err);
  if (status || e->count < e->chunk_count * (size_t)e->rows_of_chunk)
    return status;
  status = examples_grow(&e->mem, &e->chunks, e->chunk_count, &e->chunk_room,
                         sizeof(*e->chunks), err);
  if (status) return status;
  uint8_t *chunk =
      nn_alloc(&e->mem, (size_t)e->rows_of_chunk * e->row_bytes);
  if (!chunk) return nn_fail(err, NN_NOMEM, "out of memory");
  e->chunks[e->chunk_count++] = chunk;
  return NN_OK;
}

/* A new entry behind the others, whose key is not looked up. */
static nn_example *examples_append(nn_examples *e, int64_t row) {
  nn_example *example = &e->list[e->count++];
  memset(example, 0, sizeof(*example));
  example->row = row;
  example->label = -1;
  return example;
}

static void examples_key(const void *image, size_t n, uint8_t key[32]) {
  char hex[65];
  nn_sha256(image, n, hex);
  for (int i = 0; i < 64; i++) {
    int digit = hex[i] <= '9' ? hex[i] - '0' : hex[i] - 'a' + 10;
    key[i / 2] = (uint8_t)(i % 2 ? key[i / 2] | digit : digit << 4);
  }
}

nn_status nn_examples_add(nn_examples *e, const void *image, size_t n,
                          int64_t row, int *example, int *fresh,
                          nn_error *err) {
  uint8_t key[32];
  uint64_t hash;
  examples_key(image, n, key);
  memcpy(&hash, key, sizeof(hash));
  size_t mask = e->slot_count - 1, at = e->slot_count ? hash & mask : 0;
  *fresh = 0;
  for (; e->slot_count && e->slots[at]; at = (at + 1) & mask) {
    *example = (int)e->slots[at] - 1;
    if (memcmp(e->list[*example].key, key, sizeof(key)) == 0) return NN_OK;
  }
  nn_status status = examples_room(e, err);
  if (status == NN_OK)
    status = examples_rehash(e, &e->slots, &e->slot_count, e->count,
                             examples_key_hash, err);
  if (status) return status;
  at = hash & (e->slot_count - 1);
  while (e->slots[at]) at = (at + 1) & (e->slot_count - 1);
  memcpy(examples_append(e, row)->key, key, sizeof(key));
  e->slots[at] = (uint32_t)e->count;
  *example = (int)e->count - 1;
  *fresh = 1;
  return NN_OK;
}

int nn_example_is(const nn_examples *e, size_t i, int index) {
  for (int l = e->list[i].label; l >= 0; l = e->labels[l].next)
    if (e->labels[l].index == index) return 1;
  return 0;
}

int nn_examples_share(const nn_examples *e, size_t a, size_t b) {
  for (int l = e->list[a].label; l >= 0; l = e->labels[l].next)
    if (nn_example_is(e, b, e->labels[l].index)) return 1;
  return 0;
}

nn_status nn_examples_label(nn_examples *e, int example, int index, int *again,
                            nn_error *err) {
  *again = nn_example_is(e, (size_t)example, index);
  if (*again) return NN_OK;
  nn_status status = examples_grow(&e->mem, &e->labels, e->label_count,
                                   &e->label_room, sizeof(*e->labels), err);
  if (status) return status;
  nn_example *entry = &e->list[example];
  e->labels[e->label_count] = (nn_label){index, entry->label};
  entry->label = (int)e->label_count++;
  if (entry->state == NN_EXAMPLE_FILLED && entry->row >= 0)
    e->classes[index].size++;
  return NN_OK;
}

void nn_examples_seal(nn_examples *e) {
  int *number = (int *)(void *)e->class_slots;   /* wanted no more */
  size_t count = 0;
  for (size_t i = 0; i < e->class_count; i++) {
    int used = (int)i < e->old_classes || e->classes[i].size > 0;
    number[i] = used ? (int)count : -1;
    if (used) e->classes[count++] = e->classes[i];
    else nn_free(&e->mem, e->classes[i].name);
  }
  for (size_t i = 0; i < e->label_count; i++)
    e->labels[i].index = number[e->labels[i].index];
  e->class_count = count;
}

/* Rows --------------------------------------------------------------------- */

/* The bytes of integer features, which are (value / scale) + zero exactly. */
static void examples_put_bytes(const nn_examples *e, const float *values,
                               uint8_t *to) {
  const float low = 0, step = e->quant->scale;
  memcpy(to, &low, sizeof(low));
  memcpy(to + sizeof(low), &step, sizeof(step));
  to += 2 * sizeof(float);
  for (size_t i = 0; i < e->features; i++) {
    float q = (values[i] + nn_feature_offset(e, i)) / step;
    to[i] = (uint8_t)(q >= (float)e->quant->max ? (float)e->quant->max
                      : q > 0 ? q + 0.5f : 0);
  }
}

static int examples_put_floats(const nn_examples *e, const float *values,
                               uint8_t *to) {
  float low = values[0], high = values[0];
  for (size_t i = 0; i < e->features; i++) {
    if (!isfinite(values[i])) return 0;
    if (values[i] < low) low = values[i];
    if (values[i] > high) high = values[i];
  }
  float step = high / 255 - low / 255;
  memcpy(to, &low, sizeof(low));
  memcpy(to + sizeof(low), &step, sizeof(step));
  to += 2 * sizeof(float);
  for (size_t i = 0; i < e->features; i++) {
    float q = step > 0 ? values[i] / step - low / step : 0;
    to[i] = (uint8_t)(q >= 255 ? 255 : q > 0 ? q + 0.5f : 0);
  }
  return 1;
}

static uint8_t *examples_row(nn_examples *e, size_t i) {
  return e->chunks[i / (size_t)e->rows_of_chunk] +
         i % (size_t)e->rows_of_chunk * e->row_bytes;
}

nn_status nn_examples_fill(nn_examples *e, int example, const float *features,
                           const float *logits, nn_error *err) {
  uint8_t *to = examples_row(e, (size_t)example);
  if (e->integer) {
    examples_put_bytes(e, features, to);
  } else if (!examples_put_floats(e, features, to)) {
    nn_examples_drop(e, example);
    return nn_fail(err, NN_PICTURE, "its features are not finite");
  }
  nn_code_from_logits(logits, e->head->bits,
                      to + 2 * sizeof(float) + e->features);
  e->list[example].state = NN_EXAMPLE_FILLED;
  for (int l = e->list[example].label; l >= 0; l = e->labels[l].next)
    e->classes[e->labels[l].index].size++;
  return NN_OK;
}

void nn_examples_drop(nn_examples *e, int example) {
  e->list[example].state = NN_EXAMPLE_DROPPED;
}

int nn_examples_is_dropped(const nn_examples *e, int example) {
  return e->list[example].state == NN_EXAMPLE_DROPPED;
}

nn_status nn_examples_draw(nn_examples *e, const float *values, int index,
                           nn_error *err) {
  int again;
  nn_status status = examples_room(e, err);
  if (status) return status;
  examples_append(e, -1)->state = NN_EXAMPLE_FILLED;
  size_t i = e->count - 1;
  status = nn_examples_label(e, (int)i, index, &again, err);
  if (status) return status;
  uint8_t *to = examples_row(e, i);
  memset(to, 0, e->row_bytes);
  if (!e->integer) {
    if (examples_put_floats(e, values, to)) return NN_OK;
    return nn_fail(err, NN_MODEL, "the base keeps features that are not "
                   "finite");
  }
  examples_put_bytes(e, values, to);
  return NN_OK;
}

void nn_example_values(const nn_examples *e, size_t i, float *out) {
  const uint8_t *from = nn_example_bytes(e, i);
  float low, step;
  memcpy(&low, from, sizeof(low));
  memcpy(&step, from + sizeof(low), sizeof(step));
  from += 2 * sizeof(float);
  for (size_t j = 0; j < e->features; j++) out[j] = low + (float)from[j] * step;
}

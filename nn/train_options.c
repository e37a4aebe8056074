/*
** What binhash_train is asked to do: the JSON object that is its second
** argument, as numbers within bounds.
**
**     '{"bits": 48, "base": "photo-64", "epochs": 20, "seed": 7}'
**
** Every key has its place in one table with its default and its limits, so that
** the sentence that refuses a value can name both.  A key that nobody knows is
** refused too: a misspelt "epoch" would train for the default in silence.
*/
#include <stddef.h>
#include <string.h>

#include "nn_int.h"
#include "train.h"

typedef struct options_entry {
  const char *key;
  int whole;               /* an integer, not a number */
  size_t offset;
  double low, high, value;
} options_entry;

#define OPTIONS_AT(field) offsetof(nn_train_options, field)
static const options_entry options_table[] = {
    {"bits", 1, OPTIONS_AT(bits), 1, 1024, 0},
    {"epochs", 1, OPTIONS_AT(epochs), 1, 1000, 30},
    {"batch", 1, OPTIONS_AT(batch), 1, 4096, 128},
    {"rate", 0, OPTIONS_AT(rate), 1e-6, 100, 0.1},
    {"validation", 0, OPTIONS_AT(validation), 0, 0.5, 0.1},
};
#define OPTIONS_COUNT (sizeof(options_table) / sizeof(*options_table))

static void options_set(nn_train_options *out, const options_entry *entry,
                        double value) {
  char *at = (char *)out + entry->offset;
  if (entry->whole) *(int *)(void *)at = (int)value;
  else *(double *)(void *)at = value;
}

static nn_status options_number(const nn_json *m, const options_entry *entry,
                                nn_train_options *out, nn_error *err) {
  if (m->kind == NN_JSON_NUMBER && (m->is_integer || !entry->whole) &&
      m->number >= entry->low && m->number <= entry->high) {
    options_set(out, entry, m->number);
    return NN_OK;
  }
  return nn_fail(err, NN_ARGUMENT, "options: %s must be %s from %g to %g",
                 entry->key, entry->whole ? "a whole number" : "a number",
                 entry->low, entry->high);
}

static nn_status options_base(const nn_json *m, nn_train_options *out,
                              nn_error *err) {
  if (m->kind == NN_JSON_STRING && m->length &&
      m->length < sizeof(out->base)) {
    memcpy(out->base, m->text, m->length + 1);
    return NN_OK;
  }
  return nn_fail(err, NN_ARGUMENT, "options: base must be the name of a model, "
                 "of 1 to %zu bytes", sizeof(out->base) - 1);
}

static nn_status options_seed(const nn_json *m, nn_train_options *out,
                              nn_error *err) {
  if (m->kind == NN_JSON_NUMBER && m->is_integer && m->integer >= 0) {
    out->seed = m->integer;
    return NN_OK;
  }
  return nn_fail(err, NN_ARGUMENT,
                 "options: seed must be a whole number from 0 to 2^63 - 1");
}

static nn_status options_member(const nn_json *m, nn_train_options *out,
                                nn_error *err) {
  if (strcmp(m->key, "base") == 0) return options_base(m, out, err);
  if (strcmp(m->key, "seed") == 0) return options_seed(m, out, err);
  for (size_t i = 0; i < OPTIONS_COUNT; i++) {
    if (strcmp(m->key, options_table[i].key) == 0)
      return options_number(m, &options_table[i], out, err);
  }
  return nn_fail(err, NN_ARGUMENT, "options: there is no key %s; there are "
                 "base, batch, bits, epochs, rate, seed, validation",
                 nn_shown_name(m->key).text);
}

nn_status nn_train_options_read(const nn_memory *mem, const char *text,
                                size_t n, nn_train_options *out,
                                nn_error *err) {
  nn_json *root;
  memset(out, 0, sizeof(*out));
  out->seed = 1;
  for (size_t i = 0; i < OPTIONS_COUNT; i++)
    options_set(out, &options_table[i], options_table[i].value);
  if (!n) return NN_OK;
  nn_status status = nn_json_parse(mem, "options", text, n, &root, err);
  if (status == NN_MODEL) err->status = status = NN_ARGUMENT;
  if (status) return status;
  if (root->kind != NN_JSON_OBJECT) {
    status = nn_fail(err, NN_ARGUMENT, "options: expected a JSON object");
  } else {
    for (const nn_json *m = root->child; m && !status; m = m->next)
      status = options_member(m, out, err);
  }
  nn_free(mem, root);
  return status;
}

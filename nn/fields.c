/*
** Typed members of a JSON object: what the network's description says, as
** numbers within bounds, words out of a list, or an error that names the place.
**
** network.c reads layers with it and heads.c the rest, so that "kernel_size":
** "3" in a file that somebody hands to binhash_load() ends as the sentence
** "layer conv1: kernel_size wants 2 whole numbers from 1 to 65535".  A member
** that is absent leaves the caller's default in place; one that nobody knows is
** refused, since a misspelt "pad" would compute another network in silence.
*/
#include <float.h>
#include <stdio.h>
#include <string.h>

#include "nn_int.h"

nn_status nn_field_fail(const nn_fields *fields, const char *format, ...) {
  nn_error *err = fields->err;
  va_list args;
  int n = snprintf(err->text, sizeof(err->text), "%s: ", fields->where);
  va_start(args, format);
  vsnprintf(err->text + n, sizeof(err->text) - (size_t)n, format, args);
  va_end(args);
  err->status = NN_MODEL;
  return NN_MODEL;
}

nn_status nn_fields_open(nn_fields *fields, const nn_json *object,
                         const char *what, const char *name, nn_error *err) {
  fields->object = object;
  fields->err = err;
  snprintf(fields->where, sizeof(fields->where), "%s%s%s", what,
           name ? " " : "", name ? nn_shown_name(name).text : "");
  if (object && object->kind == NN_JSON_OBJECT) return NN_OK;
  return nn_field_fail(fields, "expected a JSON object");
}

nn_status nn_field_known(const nn_fields *fields, const char *const *keys) {
  for (const nn_json *m = fields->object->child; m; m = m->next) {
    const char *const *key = keys;
    while (*key && strcmp(*key, m->key) != 0) key++;
    if (!*key) {
      return nn_field_fail(fields, "unknown member %s",
                           nn_shown_name(m->key).text);
    }
  }
  return NN_OK;
}

/* The first of `count` values, or NULL when they do not have that form. */
static const nn_json *field_first(const nn_json *m, int count) {
  if (!count) return m;
  return m->kind == NN_JSON_ARRAY && m->length == (size_t)count ? m->child
                                                                 : NULL;
}

nn_status nn_field_ints(const nn_fields *fields, const char *key, int count,
                        int min, int max, int *out) {
  const nn_json *m = nn_json_get(fields->object, key), *v;
  if (!m) return NN_OK;
  int n = count ? count : 1, i = 0;
  for (v = field_first(m, count); v && i < n; v = v->next, i++) {
    if (!v->is_integer || v->integer < min || v->integer > max) break;
    out[i] = (int)v->integer;
  }
  if (i == n) return NN_OK;
  if (!count) {
    return nn_field_fail(fields, "%s wants a whole number from %d to %d", key,
                         min, max);
  }
  return nn_field_fail(fields, "%s wants %d whole numbers from %d to %d", key,
                       count, min, max);
}

nn_status nn_field_floats(const nn_fields *fields, const char *key, int count,
                          float *out) {
  const nn_json *m = nn_json_get(fields->object, key), *v;
  if (!m) return NN_OK;
  int n = count ? count : 1, i = 0;
  for (v = field_first(m, count); v && i < n; v = v->next, i++) {
    if (v->kind != NN_JSON_NUMBER || v->number > FLT_MAX ||
        v->number < -FLT_MAX) {
      break;
    }
    out[i] = (float)v->number;
  }
  if (i == n) return NN_OK;
  if (!count) return nn_field_fail(fields, "%s wants a number", key);
  return nn_field_fail(fields, "%s wants %d numbers", key, count);
}

nn_status nn_field_boolean(const nn_fields *fields, const char *key,
                           int *out) {
  const nn_json *m = nn_json_get(fields->object, key);
  if (!m) return NN_OK;
  if (m->kind != NN_JSON_BOOLEAN) {
    return nn_field_fail(fields, "%s wants true or false", key);
  }
  *out = (int)m->integer;
  return NN_OK;
}

nn_status nn_field_string(const nn_fields *fields, const char *key,
                          const char **out) {
  const nn_json *m = nn_json_get(fields->object, key);
  if (!m) return NN_OK;
  if (m->kind != NN_JSON_STRING || !m->length) {
    return nn_field_fail(fields, "%s wants a string", key);
  }
  *out = m->text;
  return NN_OK;
}

/* "A, B or C", cut where there is no room. */
static void field_words(char *to, size_t n, const char *const *words) {
  size_t at = 0;
  for (int i = 0; words[i] && at < n; i++) {
    const char *between = !i ? "" : words[i + 1] ? ", " : " or ";
    at += (size_t)snprintf(to + at, n - at, "%s%s", between, words[i]);
  }
}

nn_status nn_field_word(const nn_fields *fields, const char *key,
                        const char *const *words, int *out) {
  const char *word = NULL;
  char list[96];
  nn_status status = nn_field_string(fields, key, &word);
  if (status || !word) return status;
  for (int i = 0; words[i]; i++) {
    if (strcmp(word, words[i]) != 0) continue;
    *out = i;
    return NN_OK;
  }
  field_words(list, sizeof(list), words);
  return nn_field_fail(fields, "%s is %s, not %s", key, list,
                       nn_shown_name(word).text);
}

nn_status nn_field_choice(const nn_fields *fields, const char *key,
                          const char *first, const char *second, int *out) {
  const char *const words[] = {first, second, NULL};
  return nn_field_word(fields, key, words, out);
}

/*
** A reader of prototxt, the text in which Caffe's networks are written.
**
** protobuf-c has no text format, but it does have descriptors: for every
** message the names, numbers and types of its fields.  So the text becomes the
** same message in its binary form, field by field as it stands, and protobuf-c
** unpacks that; nothing of Caffe is known here.
**
** The text is hostile.  One pass and no recursion: open messages lie on a stack
** of PROTOTXT_DEPTH, each with the place where its length belongs, for which
** five bytes are kept (a number may be written longer than it has to be).  Two
** bytes of text give at most six of wire (", 1" of a list of floats), so the
** buffer has its final size before the pass begins.
**
** Fields that the descriptor does not have are skipped, whatever they hold, and
** reported.  It reads what protobuf's own TextFormat reads, but for extensions
** and Any: "a: 1", "a { }", "a < >", "a: [1, 2]", strings in pieces, "#" up to
** the end of the line, "," and ";" between fields.
*/
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "prototxt.h"

enum { PROTOTXT_WORD = 512 };   /* longest word or number, longest name */

typedef struct prototxt_level {
  const ProtobufCMessageDescriptor *type;   /* NULL: being skipped */
  size_t length_at;                         /* of its five bytes */
  char close;
} prototxt_level;

typedef struct prototxt_reader {
  import *im;
  const uint8_t *p, *end;
  int line;
  uint8_t *wire;
  size_t n, room;
  prototxt_level stack[PROTOTXT_DEPTH];
  int depth;
  char word[PROTOTXT_WORD];
  prototxt_unknown *unknown;
  void *context;
} prototxt_reader;

static nn_status prototxt_fail(const prototxt_reader *r, const char *sentence,
                               const char *word) {
  return import_fail(r->im, NULL, "line %d: %s%s%s", r->line, sentence,
                     word ? " " : "", word ? nn_shown_name(word).text : "");
}

/* Wire --------------------------------------------------------------------- */

static nn_status prototxt_put(prototxt_reader *r, const void *bytes,
                              size_t n) {
  if (n > r->room - r->n) return prototxt_fail(r, "too much in it", NULL);
  if (n) memcpy(r->wire + r->n, bytes, n);
  r->n += n;
  return NN_OK;
}

static nn_status prototxt_varint(prototxt_reader *r, uint64_t value) {
  uint8_t bytes[10];
  size_t n = 0;
  do {
    bytes[n] = (uint8_t)(value & 0x7f);
    value >>= 7;
    if (value) bytes[n] |= 0x80;
    n++;
  } while (value);
  return prototxt_put(r, bytes, n);
}

static nn_status prototxt_tag(prototxt_reader *r,
                              const ProtobufCFieldDescriptor *field,
                              int wire_type) {
  return prototxt_varint(r, (uint64_t)field->id << 3 | (uint64_t)wire_type);
}

/* A length that becomes known later: five bytes, whatever it is. */
static void prototxt_length(prototxt_reader *r, size_t at) {
  size_t n = r->n - at - 5;
  for (int i = 0; i < 5; i++, n >>= 7) {
    r->wire[at + (size_t)i] = (uint8_t)((n & 0x7f) | (i < 4 ? 0x80 : 0));
  }
}

/* Tokens ------------------------------------------------------------------- */

static int prototxt_at(const prototxt_reader *r) {
  return r->p < r->end ? *r->p : -1;
}

static void prototxt_space(prototxt_reader *r) {
  for (; r->p < r->end; r->p++) {
    if (*r->p == '#') {
      while (r->p < r->end && *r->p != '\n') r->p++;
      if (r->p == r->end) return;
    }
    if (*r->p == '\n') r->line++;
    else if (*r->p != ' ' && *r->p != '\t' && *r->p != '\r') return;
  }
}

static int prototxt_letter(int c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
         (c >= '0' && c <= '9');
}

/* A name, or a number or word of a value with its sign and point. */
static nn_status prototxt_word(prototxt_reader *r, int value) {
  size_t n = 0;
  prototxt_space(r);
  while (r->p < r->end &&
         (prototxt_letter(*r->p) ||
          (value && (*r->p == '-' || *r->p == '+' || *r->p == '.')))) {
    if (n == PROTOTXT_WORD - 1) {
      return prototxt_fail(r, "too long a word", NULL);
    }
    r->word[n++] = (char)*r->p++;
  }
  r->word[n] = 0;
  if (n) return NN_OK;
  return prototxt_fail(r, value ? "expected a value" : "expected a field",
                       NULL);
}

/* One character behind a backslash, into *c. */
static nn_status prototxt_escape(prototxt_reader *r, uint8_t *c) {
  static const char from[] = "abfnrtv\\'\"?", to[] = "\a\b\f\n\r\t\v\\'\"?";
  int at = prototxt_at(r), digits = 0, value = 0;
  const char *plain = at > 0 ? strchr(from, at) : NULL;
  if (plain) {
    *c = (uint8_t)to[plain - from];
    r->p++;
    return NN_OK;
  }
  if (at == 'x') {
    for (r->p++; digits < 2; digits++, r->p++) {
      at = prototxt_at(r);
      int digit = at >= '0' && at <= '9'   ? at - '0'
                  : at >= 'a' && at <= 'f' ? at - 'a' + 10
                  : at >= 'A' && at <= 'F' ? at - 'A' + 10
                                           : -1;
      if (digit < 0) break;
      value = value * 16 + digit;
    }
  } else {
    for (; digits < 3 && prototxt_at(r) >= '0' && prototxt_at(r) <= '7';
         digits++) {
      value = value * 8 + *r->p++ - '0';
    }
  }
  if (!digits || value > 255) {
    return prototxt_fail(r, "unknown escape in a string", NULL);
  }
  *c = (uint8_t)value;
  return NN_OK;
}

/* Pieces of a string to the wire, or nowhere. */
static nn_status prototxt_string(prototxt_reader *r, int keep) {
  nn_status status = NN_OK;
  int quote = prototxt_at(r);
  if (quote != '"' && quote != '\'') {
    return prototxt_fail(r, "expected a string", NULL);
  }
  while (!status && (prototxt_at(r) == '"' || prototxt_at(r) == '\'')) {
    quote = *r->p++;
    while (!status && prototxt_at(r) != quote) {
      if (r->p == r->end || *r->p == '\n') {
        return prototxt_fail(r, "a string without an end", NULL);
      }
      uint8_t c = *r->p++;
      if (c == '\\') status = prototxt_escape(r, &c);
      if (!status && keep) status = prototxt_put(r, &c, 1);
    }
    r->p++;
    prototxt_space(r);
  }
  return status;
}

/* Values ------------------------------------------------------------------- */

static nn_status prototxt_integer(prototxt_reader *r, int64_t low,
                                  uint64_t high, uint64_t *out) {
  const char *word = r->word;
  int negative = *word == '-';
  char *end;
  if (negative) word++;
  *out = 0;
  if (*word < '0' || *word > '9') {
    return prototxt_fail(r, "expected a whole number, not", r->word);
  }
  unsigned long long n = strtoull(word, &end, 0);
  if (*end || (negative ? n > (uint64_t)INT64_MAX || -(int64_t)n < low
                        : n > high)) {
    return prototxt_fail(r, "no such whole number can be here:", r->word);
  }
  *out = negative ? (uint64_t) - (int64_t)n : n;
  return NN_OK;
}

/* strtod's point is that of the locale, which nobody sets in this program. */
static nn_status prototxt_double(prototxt_reader *r, double *out) {
  size_t n = strlen(r->word);
  char *end;
  if (n > 1 && (r->word[n - 1] | 32) == 'f' && r->word[n - 2] >= '0' &&
      r->word[n - 2] <= '9' && !strchr(r->word, 'x')) {
    r->word[n - 1] = 0;
  } else if (n > 1 && (r->word[n - 1] | 32) == 'f' && r->word[n - 2] == '.') {
    r->word[n - 1] = 0;
  }
  *out = strtod(r->word, &end);
  if (end != r->word && !*end) return NN_OK;
  return prototxt_fail(r, "expected a number, not", r->word);
}

static nn_status prototxt_enum(prototxt_reader *r,
                               const ProtobufCEnumDescriptor *type) {
  uint64_t n;
  if (r->word[0] == '-' || (r->word[0] >= '0' && r->word[0] <= '9')) {
    nn_status status = prototxt_integer(r, INT32_MIN, INT32_MAX, &n);
    return status ? status : prototxt_varint(r, n);
  }
  const ProtobufCEnumValue *value =
      protobuf_c_enum_descriptor_get_value_by_name(type, r->word);
  if (value) return prototxt_varint(r, (uint64_t)(int64_t)value->value);
  return import_fail(r->im, NULL, "line %d: %s is no %s", r->line,
                     nn_shown_name(r->word).text, type->short_name);
}

static nn_status prototxt_boolean(prototxt_reader *r) {
  static const char *const words[] = {"false", "f", "0", "False",
                                      "true",  "t", "1", "True"};
  for (int i = 0; i < 8; i++) {
    if (strcmp(r->word, words[i]) == 0) return prototxt_varint(r, i >= 4);
  }
  return prototxt_fail(r, "expected true or false, not", r->word);
}

static nn_status prototxt_real(prototxt_reader *r, int is_float) {
  double d = 0;
  nn_status status = prototxt_double(r, &d);
  if (status) return status;
  if (!is_float) return prototxt_put(r, &d, sizeof(d));
  float f = d > 3.4028234663852886e38    ? INFINITY
            : d < -3.4028234663852886e38 ? -INFINITY
                                         : (float)d;
  return prototxt_put(r, &f, sizeof(f));
}

/* One value of a field, its tag before it. */
static nn_status prototxt_scalar(prototxt_reader *r,
                                 const ProtobufCFieldDescriptor *field) {
  ProtobufCType type = field->type;
  int is_float = type == PROTOBUF_C_TYPE_FLOAT;
  int is_double = type == PROTOBUF_C_TYPE_DOUBLE;
  uint64_t n;
  nn_status status;
  prototxt_space(r);
  if (type == PROTOBUF_C_TYPE_STRING || type == PROTOBUF_C_TYPE_BYTES) {
    status = prototxt_tag(r, field, 2);
    size_t at = r->n;
    if (!status) status = prototxt_put(r, "\0\0\0\0", 5);
    if (!status) status = prototxt_string(r, 1);
    if (!status) prototxt_length(r, at);
    return status;
  }
  status = prototxt_word(r, 1);
  if (!status) {
    status = prototxt_tag(r, field, is_float ? 5 : is_double ? 1 : 0);
  }
  if (status) return status;
  switch (type) {
    case PROTOBUF_C_TYPE_FLOAT:
    case PROTOBUF_C_TYPE_DOUBLE: return prototxt_real(r, is_float);
    case PROTOBUF_C_TYPE_BOOL: return prototxt_boolean(r);
    case PROTOBUF_C_TYPE_ENUM: return prototxt_enum(r, field->descriptor);
    case PROTOBUF_C_TYPE_UINT32:
      status = prototxt_integer(r, 0, UINT32_MAX, &n);
      break;
    case PROTOBUF_C_TYPE_INT32:
      status = prototxt_integer(r, INT32_MIN, INT32_MAX, &n);
      break;
    case PROTOBUF_C_TYPE_INT64:
      status = prototxt_integer(r, INT64_MIN, INT64_MAX, &n);
      break;
    default: return prototxt_fail(r, "a type that is not read", NULL);
  }
  return status ? status : prototxt_varint(r, n);
}

/* A value of a field that nobody knows. */
static nn_status prototxt_skip(prototxt_reader *r) {
  prototxt_space(r);
  int c = prototxt_at(r);
  return c == '"' || c == '\'' ? prototxt_string(r, 0) : prototxt_word(r, 1);
}

static nn_status prototxt_value(prototxt_reader *r,
                                const ProtobufCFieldDescriptor *field) {
  return field ? prototxt_scalar(r, field) : prototxt_skip(r);
}

/* "[" was read: values up to "]". */
static nn_status prototxt_list(prototxt_reader *r,
                               const ProtobufCFieldDescriptor *field) {
  if (field && field->label != PROTOBUF_C_LABEL_REPEATED) {
    return prototxt_fail(r, "one value, not a list, for", field->name);
  }
  prototxt_space(r);
  if (prototxt_at(r) == ']') {
    r->p++;
    return NN_OK;
  }
  for (;;) {
    nn_status status = prototxt_value(r, field);
    if (status) return status;
    prototxt_space(r);
    int c = prototxt_at(r);
    if (c != ',' && c != ']') return prototxt_fail(r, "expected , or ]", NULL);
    r->p++;
    if (c == ']') return NN_OK;
  }
}

/* Messages ----------------------------------------------------------------- */

static nn_status prototxt_open(prototxt_reader *r,
                               const ProtobufCFieldDescriptor *field) {
  prototxt_level *level = &r->stack[r->depth];
  nn_status status = NN_OK;
  if (r->depth == PROTOTXT_DEPTH) {
    return prototxt_fail(r, "nested too deep", NULL);
  }
  r->depth++;
  level->close = *r->p++ == '{' ? '}' : '>';
  level->type = field ? field->descriptor : NULL;
  if (!field) return NN_OK;
  status = prototxt_tag(r, field, 2);
  level->length_at = r->n;
  return status ? status : prototxt_put(r, "\0\0\0\0", 5);
}

static nn_status prototxt_field(prototxt_reader *r) {
  const ProtobufCMessageDescriptor *type = r->stack[r->depth - 1].type;
  const ProtobufCFieldDescriptor *field = NULL;
  nn_status status = prototxt_word(r, 0);
  if (status) return status;
  if (type) {
    field = protobuf_c_message_descriptor_get_field_by_name(type, r->word);
    if (!field && r->unknown) {
      r->unknown(r->context, type->short_name, r->word, r->line);
    }
  }
  int message = field && field->type == PROTOBUF_C_TYPE_MESSAGE;
  prototxt_space(r);
  int colon = prototxt_at(r) == ':';
  if (colon) r->p++;
  prototxt_space(r);
  int c = prototxt_at(r);
  if (c == '{' || c == '<') {
    if (field && !message) {
      return prototxt_fail(r, "a value, not a message, for", field->name);
    }
    return prototxt_open(r, field);
  }
  if (message) return prototxt_fail(r, "expected { after", field->name);
  if (!colon) return prototxt_fail(r, "expected : after", r->word);
  if (c == '[') {
    r->p++;
    return prototxt_list(r, field);
  }
  return prototxt_value(r, field);
}

static nn_status prototxt_all(prototxt_reader *r) {
  for (;;) {
    prototxt_space(r);
    int c = prototxt_at(r);
    prototxt_level *level = &r->stack[r->depth - 1];
    if (c == ',' || c == ';') {
      r->p++;
    } else if (c < 0) {
      return r->depth == 1 ? NN_OK
                           : prototxt_fail(r, "the text ends within a message",
                                           NULL);
    } else if (r->depth > 1 && c == level->close) {
      r->p++;
      if (level->type) prototxt_length(r, level->length_at);
      r->depth--;
    } else {
      nn_status status = prototxt_field(r);
      if (status) return status;
    }
  }
}

nn_status prototxt_read(import *im, const ProtobufCMessageDescriptor *type,
                        const uint8_t *text, size_t n,
                        prototxt_unknown *unknown, void *context,
                        uint8_t **wire, size_t *wire_size) {
  prototxt_reader r = {.im = im, .p = text, .end = text + n, .line = 1,
                       .unknown = unknown, .context = context};
  if (n > PROTOTXT_MAX) {
    return import_fail(im, NULL, "%zu bytes of text, more than %zu", n,
                       PROTOTXT_MAX);
  }
  r.room = 4 * n + 64;
  r.wire = import_alloc(im, r.room, 1);
  if (!r.wire) return NN_NOMEM;
  r.stack[0] = (prototxt_level){.type = type};
  r.depth = 1;
  nn_status status = prototxt_all(&r);
  *wire = r.wire;
  *wire_size = r.n;
  return status;
}

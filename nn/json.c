/*
** A small JSON reader: the header of a model file, text that anybody may have
** written, becomes a tree that the rest of nn can walk without fear.
**
** SQL meets it in binhash_load() and in every model that is opened.  It is not
** a general library: it reads, whole, a text of at most NN_JSON_MAX bytes that
** nests at most NN_JSON_DEPTH deep, and says at which byte it stopped.  It is
** stricter than many: duplicate keys, NUL characters, lone surrogates and bytes
** that are not UTF-8 are errors, since each of them lets two readers of one
** file see two different models.
**
** One pass, no recursion, one allocation.  There are never more values than
** commas and opening brackets (plus one), and an unescaped string with its NUL
** never outgrows its source with the quotes, so both areas have their final
** size before the pass begins.
**
** Numbers go through strtod, whose decimal point is that of the host's locale.
** So it never sees one: 12.5e3 is handed over as 125e2, which reads the same
** everywhere and is rounded as correctly as the C library rounds.
*/
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nn_int.h"

/* Longest number, in bytes of source: the longest that a double prints as,
** with room. */
#define JSON_NUMBER_MAX 64

typedef struct json_level {
  nn_json *container;
  nn_json *last;        /* member added last, NULL at first */
} json_level;

typedef struct json_reader {
  const char *what;
  const uint8_t *start, *p, *end;
  nn_json *nodes;       /* next free node */
  const nn_json **sort; /* as many pointers as there are nodes */
  char *text;           /* next free byte for strings */
  const char *key;      /* of the member that is read next */
  json_level stack[NN_JSON_DEPTH];
  int depth;
  nn_error *err;
} json_reader;

static nn_status json_fail(const json_reader *r, const char *sentence) {
  return nn_fail(r->err, NN_MODEL, "%s, byte %zu: %s", r->what,
                 (size_t)(r->p - r->start), sentence);
}

static void json_space(json_reader *r) {
  while (r->p < r->end && (*r->p == ' ' || *r->p == '\n' || *r->p == '\t' ||
                           *r->p == '\r')) {
    r->p++;
  }
}

static int json_digit(const json_reader *r) {
  return r->p < r->end && *r->p >= '0' && *r->p <= '9';
}

/* Strings ----------------------------------------------------------------- */

static char *json_put_utf8(char *to, unsigned c) {
  if (c < 0x80) {
    *to++ = (char)c;
  } else if (c < 0x800) {
    *to++ = (char)(0xc0 | c >> 6);
    *to++ = (char)(0x80 | (c & 63));
  } else if (c < 0x10000) {
    *to++ = (char)(0xe0 | c >> 12);
    *to++ = (char)(0x80 | (c >> 6 & 63));
    *to++ = (char)(0x80 | (c & 63));
  } else {
    *to++ = (char)(0xf0 | c >> 18);
    *to++ = (char)(0x80 | (c >> 12 & 63));
    *to++ = (char)(0x80 | (c >> 6 & 63));
    *to++ = (char)(0x80 | (c & 63));
  }
  return to;
}

int nn_utf8(const uint8_t *p, const uint8_t *end) {
  int n = *p < 0x80 ? 1 : *p < 0xc2 ? 0 : *p < 0xe0 ? 2 : *p < 0xf0 ? 3
        : *p < 0xf5 ? 4 : 0;
  if (!n || end - p < n) return 0;
  for (int i = 1; i < n; i++) {
    if ((p[i] & 0xc0) != 0x80) return 0;
  }
  if (*p == 0xe0 && p[1] < 0xa0) return 0;   /* overlong */
  if (*p == 0xed && p[1] > 0x9f) return 0;   /* surrogate */
  if (*p == 0xf0 && p[1] < 0x90) return 0;   /* overlong */
  if (*p == 0xf4 && p[1] > 0x8f) return 0;   /* above U+10FFFF */
  return n;
}

/* The four digits after \u, or -1. */
static int json_hex4(json_reader *r) {
  int value = 0;
  if (r->end - r->p < 4) return -1;
  for (int i = 0; i < 4; i++) {
    int c = r->p[i];
    int digit = c >= '0' && c <= '9'   ? c - '0'
                : c >= 'a' && c <= 'f' ? c - 'a' + 10
                : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                       : -1;
    if (digit < 0) return -1;
    value = value * 16 + digit;
  }
  r->p += 4;
  return value;
}

/* What follows a backslash; *to moves behind what it stands for. */
static nn_status json_escape(json_reader *r, char **to) {
  static const char from[] = "\"\\/bfnrt", plain[] = "\"\\/\b\f\n\r\t";
  if (r->p == r->end) return json_fail(r, "the text ends within a string");
  int c = *r->p++;
  const char *at = c ? strchr(from, c) : NULL;
  if (at) {
    *(*to)++ = plain[at - from];
    return NN_OK;
  }
  if (c != 'u') return json_fail(r, "unknown escape in a string");
  int unit = json_hex4(r), low;
  if (unit < 0) return json_fail(r, "\\u wants four hex digits");
  if (unit == 0) return json_fail(r, "a string with a NUL character");
  if (unit >= 0xd800 && unit < 0xe000) {
    if (unit >= 0xdc00 || r->end - r->p < 2 || r->p[0] != '\\' ||
        r->p[1] != 'u') {
      return json_fail(r, "half of a surrogate pair");
    }
    r->p += 2;
    low = json_hex4(r);
    if (low < 0xdc00 || low > 0xdfff) {
      return json_fail(r, "half of a surrogate pair");
    }
    unit = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
  }
  *to = json_put_utf8(*to, (unsigned)unit);
  return NN_OK;
}

static nn_status json_string(json_reader *r, const char **text,
                             size_t *length) {
  char *to = r->text;
  if (r->p == r->end || *r->p != '"') return json_fail(r, "expected a string");
  r->p++;
  for (;;) {
    if (r->p == r->end) return json_fail(r, "the text ends within a string");
    if (*r->p == '"') break;
    if (*r->p == '\\') {
      r->p++;
      nn_status status = json_escape(r, &to);
      if (status) return status;
      continue;
    }
    if (*r->p < 0x20) return json_fail(r, "a control byte in a string");
    int n = nn_utf8(r->p, r->end);
    if (!n) return json_fail(r, "a string that is not UTF-8");
    memcpy(to, r->p, (size_t)n);
    to += n;
    r->p += n;
  }
  r->p++;
  *to = 0;
  *text = r->text;
  *length = (size_t)(to - r->text);
  r->text = to + 1;
  return NN_OK;
}

/* Numbers ----------------------------------------------------------------- */

/* Decimal digits as an integer, if 64 bits hold it. */
static void json_integer(nn_json *value, const char *digits, int negative) {
  uint64_t n = 0, limit = negative ? (uint64_t)1 << 63 : INT64_MAX;
  for (; *digits; digits++) {
    unsigned d = (unsigned)(*digits - '0');
    if (n > (limit - d) / 10) return;
    n = n * 10 + d;
  }
  value->is_integer = 1;
  value->integer = negative ? (int64_t)(~n + 1) : (int64_t)n;
}

/* The exponent, bounded: beyond 9999 every double is 0 or infinite. */
static nn_status json_exponent(json_reader *r, int *exponent) {
  int negative = 0, e = 0;
  r->p++;
  if (r->p < r->end && (*r->p == '+' || *r->p == '-')) {
    negative = *r->p++ == '-';
  }
  if (!json_digit(r)) return json_fail(r, "an exponent wants digits");
  for (; json_digit(r); r->p++) {
    if (e < 9999) e = e * 10 + (*r->p - '0');
  }
  *exponent += negative ? -e : e;
  return NN_OK;
}

static nn_status json_number(json_reader *r, nn_json *value) {
  char buffer[JSON_NUMBER_MAX + 16];
  size_t n = 0;
  int exponent = 0, plain = 1;
  const uint8_t *from = r->p;
  int negative = *r->p == '-';
  if (negative) r->p++;
  if (!json_digit(r)) return json_fail(r, "expected a value");
  if (*r->p == '0' && r->end - r->p > 1 && r->p[1] >= '0' && r->p[1] <= '9') {
    return json_fail(r, "a number with a leading zero");
  }
  for (; json_digit(r) && n < JSON_NUMBER_MAX; r->p++) {
    buffer[n++] = (char)*r->p;
  }
  if (r->p < r->end && *r->p == '.') {
    plain = 0;
    r->p++;
    if (!json_digit(r)) return json_fail(r, "a point wants digits after it");
    for (; json_digit(r) && n < JSON_NUMBER_MAX; r->p++) {
      buffer[n++] = (char)*r->p;
      exponent--;
    }
  }
  if (json_digit(r) || r->p - from > JSON_NUMBER_MAX) {
    return json_fail(r, "a number of more than 64 bytes");
  }
  buffer[n] = 0;
  if (r->p < r->end && (*r->p | 32) == 'e') {
    plain = 0;
    nn_status status = json_exponent(r, &exponent);
    if (status) return status;
  }
  if (plain) json_integer(value, buffer, negative);
  snprintf(buffer + n, sizeof(buffer) - n, "e%d", exponent);
  value->kind = NN_JSON_NUMBER;
  value->number = strtod(buffer, NULL);
  if (value->number > 1.7976931348623157e308) {
    return json_fail(r, "a number that no double holds");
  }
  if (negative) value->number = -value->number;
  return NN_OK;
}

/* Structure --------------------------------------------------------------- */

static void json_sift(const nn_json **a, size_t from, size_t n) {
  for (size_t child; (child = 2 * from + 1) < n; from = child) {
    if (child + 1 < n && strcmp(a[child]->key, a[child + 1]->key) < 0) child++;
    if (strcmp(a[from]->key, a[child]->key) >= 0) return;
    const nn_json *swap = a[from];
    a[from] = a[child];
    a[child] = swap;
  }
}

/* A hostile object may have 100,000 members, so they are sorted (a heap: no
** memory, no bad case) and neighbours compared. */
static nn_status json_unique(json_reader *r, const nn_json *object) {
  const nn_json **a = r->sort;
  size_t n = 0;
  for (const nn_json *m = object->child; m; m = m->next) a[n++] = m;
  for (size_t i = n / 2; i-- > 0;) json_sift(a, i, n);
  for (size_t last = n; last-- > 1;) {
    const nn_json *largest = a[0];
    a[0] = a[last];
    a[last] = largest;
    json_sift(a, 0, last);
  }
  for (size_t i = 1; i < n; i++) {
    if (strcmp(a[i - 1]->key, a[i]->key) == 0) {
      return nn_fail(r->err, NN_MODEL, "%s, byte %zu: the key %s comes twice",
                     r->what, (size_t)(r->p - r->start),
                     nn_shown_name(a[i]->key).text);
    }
  }
  return NN_OK;
}

static nn_status json_literal(json_reader *r, nn_json *value) {
  static const struct {
    const char *word;
    nn_json_kind kind;
    int integer;
  } words[] = {{"true", NN_JSON_BOOLEAN, 1},
               {"false", NN_JSON_BOOLEAN, 0},
               {"null", NN_JSON_NULL, 0}};
  for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
    size_t n = strlen(words[i].word);
    if ((size_t)(r->end - r->p) >= n && memcmp(r->p, words[i].word, n) == 0) {
      r->p += n;
      value->kind = words[i].kind;
      value->integer = words[i].integer;
      return NN_OK;
    }
  }
  return json_number(r, value);
}

/* A member's key and colon, up to its value. */
static nn_status json_key(json_reader *r) {
  size_t length;
  json_space(r);
  nn_status status = json_string(r, &r->key, &length);
  if (status) return status;
  json_space(r);
  if (r->p == r->end || *r->p != ':') return json_fail(r, "expected a colon");
  r->p++;
  return NN_OK;
}

/* Hang the value that begins at p into what holds it.  A container that has
** members is left open on the stack. */
static nn_status json_value(json_reader *r, nn_json **made) {
  nn_json *value = r->nodes++;
  json_level *level = r->depth ? &r->stack[r->depth - 1] : NULL;
  *made = value;
  if (level) {
    value->key = level->container->kind == NN_JSON_OBJECT ? r->key : NULL;
    if (level->last) level->last->next = value;
    else level->container->child = value;
    level->last = value;
    level->container->length++;
  }
  json_space(r);
  if (r->p == r->end) return json_fail(r, "expected a value");
  if (*r->p == '"') {
    value->kind = NN_JSON_STRING;
    return json_string(r, &value->text, &value->length);
  }
  if (*r->p != '{' && *r->p != '[') return json_literal(r, value);
  value->kind = *r->p == '{' ? NN_JSON_OBJECT : NN_JSON_ARRAY;
  if (r->depth == NN_JSON_DEPTH) return json_fail(r, "nested too deep");
  r->p++;
  r->stack[r->depth++] = (json_level){value, NULL};
  return NN_OK;
}

/* After a value: close what ends here; *more says that a member follows. */
static nn_status json_after(json_reader *r, int *more) {
  for (*more = 0; r->depth;) {
    nn_json *container = r->stack[r->depth - 1].container;
    int object = container->kind == NN_JSON_OBJECT;
    int empty = !container->child;
    nn_status status;
    json_space(r);
    if (r->p < r->end && *r->p == (object ? '}' : ']')) {
      r->p++;
      r->depth--;
      if (object && (status = json_unique(r, container)) != NN_OK) {
        return status;
      }
      continue;
    }
    if (!empty) {
      if (r->p == r->end || *r->p != ',') {
        return json_fail(r, object ? "expected , or }" : "expected , or ]");
      }
      r->p++;
    }
    *more = 1;
    return object ? json_key(r) : NN_OK;
  }
  return NN_OK;
}

static nn_status json_read(json_reader *r) {
  nn_json *value;
  nn_status status;
  int more;
  do {
    status = json_value(r, &value);
    if (status == NN_OK) status = json_after(r, &more);
    if (status) return status;
  } while (more);
  json_space(r);
  return r->p == r->end ? NN_OK : json_fail(r, "more text after the value");
}

nn_status nn_json_parse(const nn_memory *mem, const char *what,
                        const void *bytes, size_t n, nn_json **root,
                        nn_error *err) {
  json_reader r = {0};
  size_t values = 1;
  *root = NULL;
  if (n > NN_JSON_MAX) {
    return nn_fail(err, NN_MODEL, "%s: %zu bytes, more than %zu", what, n,
                   NN_JSON_MAX);
  }
  r.what = what;
  r.start = r.p = bytes;
  r.end = r.start + n;
  r.err = err;
  for (size_t i = 0; i < n; i++) {
    int c = r.start[i];
    values += c == ',' || c == '[' || c == '{';
  }
  r.nodes = nn_zalloc(mem, values * (sizeof(nn_json) + sizeof(nn_json *)) + n);
  if (!r.nodes) return nn_fail(err, NN_NOMEM, "out of memory");
  *root = r.nodes;
  r.sort = (const nn_json **)(void *)(r.nodes + values);
  r.text = (char *)(r.sort + values);
  nn_status status = json_read(&r);
  if (status) {
    nn_free(mem, *root);
    *root = NULL;
  }
  return status;
}

const nn_json *nn_json_get(const nn_json *object, const char *key) {
  if (!object || object->kind != NN_JSON_OBJECT) return NULL;
  const nn_json *m = object->child;
  while (m && strcmp(m->key, key) != 0) m = m->next;
  return m;
}

nn_shown nn_shown_name(const char *name) {
  static const char hex[] = "0123456789abcdef";
  nn_shown shown;
  size_t n = 0;
  const size_t room = sizeof(shown.text) - 4;   /* for "..." and the NUL */
  const uint8_t *end = (const uint8_t *)name + strlen(name);
  while (*name) {
    const uint8_t *p = (const uint8_t *)name;
    int bytes = nn_utf8(p, end);
    int plain = bytes > 1 ? *p != 0xc2 || p[1] >= 0xa0
                          : bytes == 1 && *p >= 0x20 && *p < 0x7f;
    size_t length = plain ? (size_t)bytes : 4;
    if (n + length > room) {
      memcpy(shown.text + n, "...", 3);
      n += 3;
      break;
    }
    if (plain) {
      memcpy(shown.text + n, p, length);
      name += bytes;
    } else {
      char escape[4] = {'\\', 'x', hex[*p >> 4], hex[*p & 15]};
      memcpy(shown.text + n, escape, 4);
      name++;
    }
    n += length;
  }
  shown.text[n] = 0;
  return shown;
}

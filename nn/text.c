/*
** A text that grows: how descriptions of networks are written.
**
** What json.c reads, this writes: strings with their escapes, numbers that read
** back as they were, in the C locale's form whatever the host has set.  It is
** no tree and knows no nesting; whoever writes an object writes its braces.
** The importers describe a network with it, writer.c a file's header, training
** (binhash_train) and the quantiser the model that they return.
**
** A failure is remembered rather than returned: a hundred calls that each may
** run out of memory are checked once, at the end.
*/
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "writer.h"

/* The longest piece that nn_text_add formats. */
#define TEXT_PIECE 1024

void nn_text_open(nn_text *text, const nn_memory *mem) {
  *text = (nn_text){.mem = mem, .status = NN_OK};
}

void nn_text_free(nn_text *text) {
  nn_free(text->mem, text->text);
  text->text = NULL;
  text->n = text->room = 0;
}

static void text_fail(nn_text *text, nn_status status) {
  if (!text->status) text->status = status;
}

void nn_text_bytes(nn_text *text, const char *bytes, size_t n) {
  if (text->status) return;
  if (n > NN_TEXT_MAX - text->n) {
    text_fail(text, NN_TOO_LARGE);
    return;
  }
  if (text->n + n + 1 > text->room) {
    size_t room = text->room ? text->room : 512;
    while (room < text->n + n + 1) room *= 2;
    char *larger = nn_alloc(text->mem, room);
    if (!larger) {
      text_fail(text, NN_NOMEM);
      return;
    }
    if (text->n) memcpy(larger, text->text, text->n);
    nn_free(text->mem, text->text);
    text->text = larger;
    text->room = room;
  }
  if (n) memcpy(text->text + text->n, bytes, n);
  text->n += n;
  text->text[text->n] = 0;
}

void nn_text_add(nn_text *text, const char *format, ...) {
  char piece[TEXT_PIECE];
  va_list args;
  va_start(args, format);
  int n = vsnprintf(piece, sizeof(piece), format, args);
  va_end(args);
  if (n < 0 || (size_t)n >= sizeof(piece)) text_fail(text, NN_TOO_LARGE);
  else nn_text_bytes(text, piece, (size_t)n);
}

void nn_text_string(nn_text *text, const char *string) {
  const uint8_t *p = (const uint8_t *)string, *end = p + strlen(string);
  nn_text_bytes(text, "\"", 1);
  while (p < end && !text->status) {
    int n = nn_utf8(p, end);
    if (!n) {
      text_fail(text, NN_ARGUMENT);
    } else if (*p == '"' || *p == '\\') {
      nn_text_add(text, "\\%c", *p);
    } else if (*p < 0x20) {
      nn_text_add(text, "\\u%04x", *p);
    } else {
      nn_text_bytes(text, (const char *)p, (size_t)n);
    }
    p += n;
  }
  nn_text_bytes(text, "\"", 1);
}

/* What snprintf made, with a point where the locale has something else. */
static void text_number(nn_text *text, const char *from) {
  char number[40];
  size_t n = 0;
  int foreign = 0;
  for (; *from && n < sizeof(number); from++) {
    int plain = (*from >= '0' && *from <= '9') || *from == '-' ||
                *from == '+' || *from == 'e';
    if (plain) number[n++] = *from;
    else if (!foreign) number[n++] = '.';
    foreign = foreign || !plain;
  }
  nn_text_bytes(text, number, n);
}

void nn_text_float(nn_text *text, float value) {
  char number[40];
  int digits = 1;
  if (!isfinite(value)) {
    text_fail(text, NN_ARGUMENT);
    return;
  }
  do {
    snprintf(number, sizeof(number), "%.*g", digits, (double)value);
  } while (digits++ < 9 && strtof(number, NULL) != value);
  text_number(text, number);
}

void nn_text_double(nn_text *text, double value) {
  char number[40];
  int digits = 1;
  if (!isfinite(value)) {
    text_fail(text, NN_ARGUMENT);
    return;
  }
  do {
    snprintf(number, sizeof(number), "%.*g", digits, value);
  } while (digits++ < 17 && strtod(number, NULL) != value);
  text_number(text, number);
}

nn_status nn_text_done(const nn_text *text, const char *what, nn_error *err) {
  switch (text->status) {
    case NN_OK:
      return NN_OK;
    case NN_NOMEM:
      return nn_fail(err, NN_NOMEM, "out of memory");
    case NN_TOO_LARGE:
      return nn_fail(err, NN_TOO_LARGE, "%s: more than %zu bytes of text",
                     what, NN_TEXT_MAX);
    default:
      return nn_fail(err, text->status,
                     "%s: a string that is not UTF-8, or a number that is not "
                     "finite", what);
  }
}

/*
** What makes models has in common: a text that grows, as JSON wants it, and
** the model file that a network's description and its tensors become.
**
** For the importers, the quantiser and training; nothing that opens a model
** needs it.
*/
#ifndef BINHASH_NN_WRITER_H
#define BINHASH_NN_WRITER_H

#include "nn_int.h"

/* text.c ------------------------------------------------------------------ */

/*
** A text that grows, NUL at its end.  The first failure stays in `status`
** (NN_NOMEM, NN_TOO_LARGE over NN_TEXT_MAX, NN_ARGUMENT for what JSON cannot
** say) and makes every later call do nothing, so that a caller looks once, when
** it is done.  nn_text_free releases it.
*/
#define NN_TEXT_MAX NN_JSON_MAX

typedef struct nn_text {
  const nn_memory *mem;
  char *text;          /* NULL while nothing was added */
  size_t n, room;
  nn_status status;
} nn_text;

void nn_text_open(nn_text *text, const nn_memory *mem);
void nn_text_free(nn_text *text);
void nn_text_bytes(nn_text *text, const char *bytes, size_t n);
/* At most 1023 bytes a call, no "%f" or its kin: they speak the locale. */
void nn_text_add(nn_text *text, const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 2, 3)))
#endif
    ;
/* A quoted JSON string; UTF-8, else the text fails. */
void nn_text_string(nn_text *text, const char *string);
/* The shortest decimal that reads back as the same float, or double, with a
** point whatever the locale; not finite, and the text fails. */
void nn_text_float(nn_text *text, float value);
void nn_text_double(nn_text *text, double value);
/* The text's status as an error of `what`. */
nn_status nn_text_done(const nn_text *text, const char *what, nn_error *err);

/* writer.c ---------------------------------------------------------------- */

/* A tensor of a file to be.  Name and values are borrowed. */
typedef struct nn_part {
  const char *name;
  nn_dtype dtype;           /* not NN_OTHER */
  int rank;
  int64_t shape[8];
  const void *bytes;        /* NULL only where the shape has a 0 */
} nn_part;

/* An entry of the metadata beside format, format_version and network. */
typedef struct nn_note {
  const char *key, *value;
} nn_note;

typedef struct nn_writer {
  const char *network;      /* JSON text */
  const nn_part *parts;
  int part_count;
  const nn_note *notes;
  int note_count;
} nn_writer;

/* Takes n bytes of the file, in their order; 0 when it could, and anything
** else ends the writing with NN_ARGUMENT and that number in the sentence. */
typedef int (*nn_sink)(void *context, const void *bytes, size_t n);

/*
** Send a model file to sink: the header, filled up with spaces so that tensors
** begin at a multiple of 64 bytes, then F32, I32, F16 and the other tensors,
** each kind in the order of `parts`.  The same input gives the same bytes.
** Whether the network makes sense is not looked at: nn_model_open does.
*/
nn_status nn_write_model(const nn_memory *mem, const nn_writer *writer,
                         nn_sink sink, void *context, nn_error *err);
/* The same into memory of mem, which nn_free takes back. */
nn_status nn_write_bytes(const nn_memory *mem, const nn_writer *writer,
                         uint8_t **bytes, size_t *n, nn_error *err);

#endif

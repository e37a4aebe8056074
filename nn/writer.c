/*
** Writing a model file: the other end of model.c.
**
** binhash_train() returns such a file as a BLOB, binhash-import writes one to
** disk, and the quantiser turns one into another.  The form is that of
** weights/README.md: eight bytes of length, a JSON header, the tensors.  Spaces
** fill the header up so that the tensors begin at a multiple of 64 bytes, and
** those of four bytes stand before those of two, and these before the others,
** so that a mapped file is used where it lies.
**
** The bytes leave through a function of the caller's, so a file of hundreds of
** megabytes is never in memory twice; this file opens none and knows no paths.
** It does not ask whether the network makes sense, which nn_model_open finds
** out with better words.
*/
#include <string.h>

#include "writer.h"

#define WRITER_ALIGN 64

/* Kinds of tensors in the order in which they stand in the file. */
enum { WRITER_KINDS = 4 };

static int writer_kind(nn_dtype dtype) {
  return dtype == NN_F32 ? 0 : dtype == NN_I32 ? 1 : dtype == NN_F16 ? 2 : 3;
}

static const char *writer_dtype(nn_dtype dtype, size_t *size) {
  *size = dtype == NN_F32 || dtype == NN_I32 ? 4 : dtype == NN_F16 ? 2 : 1;
  switch (dtype) {
    case NN_F32: return "F32";
    case NN_F16: return "F16";
    case NN_I32: return "I32";
    case NN_I8: return "I8";
    case NN_U8: return "U8";
    case NN_OTHER: break;
  }
  return NULL;
}

static nn_status writer_part(const nn_part *part, size_t *bytes,
                             nn_error *err) {
  size_t size, count = 1;
  if (!writer_dtype(part->dtype, &size)) {
    return nn_fail(err, NN_ARGUMENT, "tensor %s: no dtype that is written",
                   nn_shown_name(part->name).text);
  }
  if (part->rank < 0 || part->rank > 8) {
    return nn_fail(err, NN_ARGUMENT, "tensor %s: %d sides, 0 to 8 can be",
                   nn_shown_name(part->name).text, part->rank);
  }
  for (int i = 0; i < part->rank; i++) {
    if (part->shape[i] < 0) {
      return nn_fail(err, NN_ARGUMENT, "tensor %s: a negative side",
                     nn_shown_name(part->name).text);
    }
    count = nn_mul(count, (size_t)part->shape[i]);
  }
  *bytes = nn_mul(count, size);
  if (*bytes > (size_t)INT64_MAX || (*bytes && !part->bytes)) {
    return nn_fail(err, NN_ARGUMENT, "tensor %s: no values",
                   nn_shown_name(part->name).text);
  }
  return NN_OK;
}

/* The header's entries; *total becomes the bytes of all tensors. */
static nn_status writer_entries(const nn_writer *w, nn_text *text,
                                size_t *total, nn_error *err) {
  *total = 0;
  for (int kind = 0; kind < WRITER_KINDS; kind++) {
    for (int i = 0; i < w->part_count; i++) {
      const nn_part *part = &w->parts[i];
      size_t bytes, size;
      if (writer_kind(part->dtype) != kind) continue;
      nn_status status = writer_part(part, &bytes, err);
      if (status) return status;
      if (bytes > (size_t)INT64_MAX - *total) {
        return nn_fail(err, NN_TOO_LARGE, "the tensors are too large");
      }
      nn_text_add(text, ",");
      nn_text_string(text, part->name);
      nn_text_add(text, ":{\"dtype\":\"%s\",\"shape\":[",
                  writer_dtype(part->dtype, &size));
      for (int j = 0; j < part->rank; j++) {
        nn_text_add(text, j ? ",%lld" : "%lld", (long long)part->shape[j]);
      }
      nn_text_add(text, "],\"data_offsets\":[%zu,%zu]}", *total,
                  *total + bytes);
      *total += bytes;
    }
  }
  return NN_OK;
}

/* The file up to its first tensor, less the eight bytes of length. */
static nn_status writer_header(const nn_writer *w, nn_text *text,
                               size_t *total, nn_error *err) {
  if (w->part_count >= NN_TENSOR_MAX) {
    return nn_fail(err, NN_TOO_LARGE, "%d tensors, a file has fewer than %d",
                   w->part_count, NN_TENSOR_MAX);
  }
  nn_text_add(text, "{\"__metadata__\":{\"format\":\"binhash\","
              "\"format_version\":\"1\",\"network\":");
  nn_text_string(text, w->network);
  for (int i = 0; i < w->note_count; i++) {
    nn_text_add(text, ",");
    nn_text_string(text, w->notes[i].key);
    nn_text_add(text, ":");
    nn_text_string(text, w->notes[i].value);
  }
  nn_text_add(text, "}");
  nn_status status = writer_entries(w, text, total, err);
  if (status) return status;
  nn_text_add(text, "}");
  while (!text->status && (8 + text->n) % WRITER_ALIGN) {
    nn_text_add(text, " ");
  }
  return nn_text_done(text, "the model's header", err);
}

/* Two tensors, or two notes, of one name make a header that json.c refuses, so
** it is the one that looks. */
static nn_status writer_check(const nn_memory *mem, const nn_text *text,
                              nn_error *err) {
  nn_json *root;
  nn_status status =
      nn_json_parse(mem, "header", text->text, text->n, &root, err);
  if (status == NN_OK) nn_free(mem, root);
  return status == NN_MODEL ? err->status = NN_ARGUMENT : status;
}

static nn_status writer_put(nn_sink sink, void *context, const void *bytes,
                            size_t n, nn_error *err) {
  int code = n ? sink(context, bytes, n) : 0;
  if (!code) return NN_OK;
  return nn_fail(err, NN_ARGUMENT, "the model could not be written (%d)",
                 code);
}

static nn_status writer_send(const nn_writer *w, const nn_text *header,
                             nn_sink sink, void *context, nn_error *err) {
  uint8_t length[8];
  for (int i = 0; i < 8; i++) {
    length[i] = (uint8_t)((uint64_t)header->n >> (8 * i));
  }
  nn_status status = writer_put(sink, context, length, sizeof(length), err);
  if (status == NN_OK) {
    status = writer_put(sink, context, header->text, header->n, err);
  }
  for (int kind = 0; kind < WRITER_KINDS; kind++) {
    for (int i = 0; i < w->part_count && !status; i++) {
      const nn_part *part = &w->parts[i];
      size_t bytes = 0;
      if (writer_kind(part->dtype) != kind) continue;
      status = writer_part(part, &bytes, err);
      if (status == NN_OK) {
        status = writer_put(sink, context, part->bytes, bytes, err);
      }
    }
  }
  return status;
}

/* The header, all that can be wrong found out. */
static nn_status writer_prepare(const nn_memory *mem, const nn_writer *w,
                                nn_text *header, size_t *total,
                                nn_error *err) {
  err->status = NN_OK;
  err->text[0] = 0;
  nn_text_open(header, mem);
  nn_status status = writer_header(w, header, total, err);
  return status ? status : writer_check(mem, header, err);
}

nn_status nn_write_model(const nn_memory *mem, const nn_writer *writer,
                         nn_sink sink, void *context, nn_error *err) {
  nn_text header;
  size_t total;
  nn_status status = writer_prepare(mem, writer, &header, &total, err);
  if (status == NN_OK) {
    status = writer_send(writer, &header, sink, context, err);
  }
  nn_text_free(&header);
  return status;
}

static int writer_copy(void *context, const void *bytes, size_t n) {
  uint8_t **to = context;
  memcpy(*to, bytes, n);
  *to += n;
  return 0;
}

nn_status nn_write_bytes(const nn_memory *mem, const nn_writer *writer,
                         uint8_t **bytes, size_t *n, nn_error *err) {
  nn_text header;
  size_t total;
  *bytes = NULL;
  *n = 0;
  nn_status status = writer_prepare(mem, writer, &header, &total, err);
  if (status == NN_OK && total > NN_ALLOC_MAX) {
    status = nn_fail(err, NN_TOO_LARGE,
                     "a model of %zu bytes, %zu can be held in memory", total,
                     NN_ALLOC_MAX);
  }
  if (status == NN_OK) {
    *bytes = nn_alloc(mem, 8 + header.n + total);
    if (!*bytes) status = nn_fail(err, NN_NOMEM, "out of memory");
  }
  if (status == NN_OK) {
    uint8_t *to = *bytes;
    *n = 8 + header.n + total;
    status = writer_send(writer, &header, writer_copy, &to, err);
  }
  nn_text_free(&header);
  return status;
}

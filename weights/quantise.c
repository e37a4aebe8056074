/*
** binhash-import --int8: the whole of the quantiser, and what it cost.
**
** A float32 model file goes in and an integer one comes out, whose code for a
** picture is the same on every machine.  Between: the plain graph, one pass of
** the float32 network over the pictures, and then one layer of the integer
** network after the other, each run on a batch of them before the next is
** made. The batch is as many pictures as memory allows; the pass sees all.
**
** The report runs both networks, opened from their files, on the pictures that
** were calibrated on and on others, and counts the bits of each head's code
** that differ; that is the figure to judge by.
*/
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "quantise.h"

#define QUANTISE_MEMORY ((size_t)1 << 30)

/* The file ---------------------------------------------------------------- */

/* The description in a model's header, which nn_model_open found good; *header
** holds its text. */
static nn_status quantise_describe(const uint8_t *bytes, nn_json **header,
                                   nn_json **network, nn_error *err) {
  uint64_t length = 0;
  for (int i = 0; i < 8; i++) length |= (uint64_t)bytes[i] << (8 * i);
  nn_status status = nn_json_parse(&nn_memory_libc, "header", bytes + 8,
                                   (size_t)length, header, err);
  if (status) return status;
  const nn_json *meta = nn_json_get(*header, "__metadata__");
  const nn_json *text = nn_json_get(meta, "network");
  return nn_json_parse(&nn_memory_libc, "network", text->text, text->length,
                       network, err);
}

static void quantise_write_input(const quantise *q, const nn_json *input,
                                 nn_text *to) {
  for (const nn_json *m = input->child; m; m = m->next) {
    nn_text_string(to, m->key);
    nn_text_add(to, ":");
    quantise_json(to, m);
    nn_text_add(to, ",");
  }
  nn_text_add(to, "\"zero_point\":[");
  for (int c = 0; c < q->nodes[0]->c; c++) {
    nn_text_add(to, c ? ",%d" : "%d", q->zero[c]);
  }
  nn_text_add(to, "]");
}

static void quantise_write_preprocess(const nn_json *preprocess,
                                      nn_text *to) {
  int first = 1;
  for (const nn_json *m = preprocess->child; m; m = m->next) {
    if (strcmp(m->key, "mean") == 0 || strcmp(m->key, "scale") == 0) continue;
    if (!first) nn_text_add(to, ",");
    first = 0;
    nn_text_string(to, m->key);
    nn_text_add(to, ":");
    quantise_json(to, m);
  }
}

/* Other names of layers, but of those that were folded into another. */
static void quantise_write_aliases(const quantise *q, const nn_json *aliases,
                                   nn_text *to) {
  int first = 1;
  for (const nn_json *m = aliases->child; m; m = m->next) {
    if (nn_model_blob(q->draft, m->text) < 0) continue;
    if (!first) nn_text_add(to, ",");
    first = 0;
    nn_text_string(to, m->key);
    nn_text_add(to, ":");
    nn_text_string(to, m->text);
  }
}

/* The description with other layers, and what the pixels are now. */
static void quantise_write_network(const quantise *q, nn_text *to) {
  nn_text_add(to, "{");
  for (const nn_json *m = q->network->child; m; m = m->next) {
    if (m != q->network->child) nn_text_add(to, ",");
    nn_text_string(to, m->key);
    nn_text_add(to, ":");
    if (strcmp(m->key, "layers") == 0) {
      nn_text_add(to, "[");
      nn_text_bytes(to, q->text.text, q->text.n);
      nn_text_add(to, "]");
    } else if (strcmp(m->key, "input") == 0) {
      nn_text_add(to, "{");
      quantise_write_input(q, m, to);
      nn_text_add(to, "}");
    } else if (strcmp(m->key, "preprocess") == 0) {
      nn_text_add(to, "{");
      quantise_write_preprocess(m, to);
      nn_text_add(to, "}");
    } else if (strcmp(m->key, "aliases") == 0) {
      nn_text_add(to, "{");
      quantise_write_aliases(q, m, to);
      nn_text_add(to, "}");
    } else {
      quantise_json(to, m);
    }
  }
  nn_text_add(to, "}");
}

static nn_status quantise_write(quantise *q, uint8_t **out, size_t *out_n) {
  nn_text text;
  nn_text_open(&text, &nn_memory_libc);
  quantise_write_network(q, &text);
  nn_status status = nn_text_done(&text, "the network", q->err);
  if (status == NN_OK) {
    nn_writer writer = {.network = text.text, .parts = q->parts,
                        .part_count = q->part_count};
    status = nn_write_bytes(&nn_memory_libc, &writer, out, out_n, q->err);
  }
  nn_text_free(&text);
  return status;
}

/* The batch --------------------------------------------------------------- */

/* Bytes between the layers of one picture, where most of them are. */
static size_t quantise_peak(const quantise *q) {
  size_t peak = 1;
  for (int i = 0; i < q->count; i++) {
    size_t living = 0;
    for (int k = 0; k <= i; k++) {
      const quantise_node *node = q->nodes[k];
      if (k < i && node->last < i) continue;
      living += (size_t)node->h * (size_t)node->w *
                (node->sums ? 4 * (size_t)node->c
                            : ((size_t)node->c + 3) / 4 * 4);
    }
    if (living > peak) peak = living;
  }
  return peak;
}

static nn_status quantise_batch(quantise *q) {
  size_t memory = q->options->memory ? q->options->memory : QUANTISE_MEMORY;
  size_t most = memory / quantise_peak(q);
  if (q->options->images < 1) {
    return nn_fail(q->err, NN_ARGUMENT, "there is no picture to calibrate on");
  }
  q->batch = q->options->images;
  if (most < 1) most = 1;
  if ((size_t)q->batch > most) q->batch = (int)most;
  return NN_OK;
}

/* The whole --------------------------------------------------------------- */

static nn_status quantise_steps(quantise *q, uint8_t **out, size_t *out_n) {
  nn_status status = quantise_plain(q);
  if (status || (status = quantise_batch(q)) != NN_OK ||
      (status = quantise_measure(q)) != NN_OK ||
      (status = quantise_layers(q)) != NN_OK) {
    return status;
  }
  return quantise_write(q, out, out_n);
}

static nn_status quantise_float(const nn_model *model,
                                const quantise_options *options,
                                const nn_json *network, uint8_t **out,
                                size_t *out_n, nn_error *err) {
  quantise q = {.options = options, .model = model, .network = network,
                .err = err};
  q.draft = nn_zalloc(&nn_memory_libc, sizeof(*q.draft));
  if (!q.draft) return nn_fail(err, NN_NOMEM, "out of memory");
  q.draft->mem = nn_memory_libc;
  nn_text_open(&q.text, &nn_memory_libc);
  nn_status status = quantise_steps(&q, out, out_n);
  if (status == NN_OK && options->log) {
    status = quantise_report(&q, *out, *out_n);
    if (status) nn_free(&nn_memory_libc, *out);
  }
  nn_text_free(&q.text);
  nn_model_close(q.draft);
  return status;
}

nn_status quantise_model(const void *bytes, size_t n,
                         const quantise_options *options, uint8_t **out,
                         size_t *out_n, nn_error *err) {
  nn_model *model;
  nn_json *header = NULL, *network = NULL;
  int bits = options->activation_bits;
  *out = NULL;
  *out_n = 0;
  nn_status status = nn_model_open(&nn_memory_libc, bytes, n, &model, err);
  if (status) return status;
  if (nn_model_kind(model) == NN_INTEGER) {
    status = nn_fail(err, NN_ARGUMENT, "it is an integer network already");
  } else if (bits && bits != 7 && bits != 8) {
    status = nn_fail(err, NN_ARGUMENT, "activations have 7 or 8 bits, not %d",
                     bits);
  } else {
    status = quantise_describe(bytes, &header, &network, err);
  }
  if (status == NN_OK) {
    status = quantise_float(model, options, network, out, out_n, err);
  }
  if (status) *out = NULL;
  nn_free(&nn_memory_libc, network);
  nn_free(&nn_memory_libc, header);
  nn_model_close(model);
  return status;
}

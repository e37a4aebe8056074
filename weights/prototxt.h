/*
** The text form of protocol buffers, as the bytes that they stand for.
*/
#ifndef BINHASH_PROTOTXT_H
#define BINHASH_PROTOTXT_H

#include "import.h"

#define PROTOTXT_MAX ((size_t)4 << 20)   /* bytes of text */
#define PROTOTXT_DEPTH 32                /* messages within messages */

/* Called for a field that the message does not have, and which is skipped. */
typedef void prototxt_unknown(void *context, const char *message,
                              const char *field, int line);

/* Read the text as a message of that type into *wire, in the arena, for
** import_unpack.  Errors name the line. */
nn_status prototxt_read(import *im, const ProtobufCMessageDescriptor *type,
                        const uint8_t *text, size_t n,
                        prototxt_unknown *unknown, void *context,
                        uint8_t **wire, size_t *wire_size);

#endif

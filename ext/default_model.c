/*
** The model file that is compiled in, so that one file is all that is needed.
**
** The build passes the name of the file as BINHASH_MODEL_FILE, and as
** BINHASH_MODEL_NAME that of its first head, which is the default model; the
** assembler copies the bytes (.incbin) into the read-only data.  Pages of it
** are read from disk when a connection first needs the model and are shared by
** all processes that load the extension.  A build with MODEL=none has neither
** macro and no default.
*/
#include "ext_int.h"

#ifdef BINHASH_MODEL_FILE

extern const unsigned char bh_default_model_begin[]
    __attribute__((visibility("hidden")));
extern const unsigned char bh_default_model_end[]
    __attribute__((visibility("hidden")));

/* 64: tensors are used where they lie. */
__asm__(
    ".pushsection .rodata\n"
    ".globl bh_default_model_begin\n"
    ".hidden bh_default_model_begin\n"
    ".balign 64\n"
    "bh_default_model_begin:\n"
    ".incbin \"" BINHASH_MODEL_FILE "\"\n"
    ".globl bh_default_model_end\n"
    ".hidden bh_default_model_end\n"
    "bh_default_model_end:\n"
    ".byte 0\n"
    ".popsection\n");

const void *bh_default_model(sqlite3_int64 *n, const char **name) {
  *n = bh_default_model_end - bh_default_model_begin;
  *name = BINHASH_MODEL_NAME;
  return bh_default_model_begin;
}

#else

const void *bh_default_model(sqlite3_int64 *n, const char **name) {
  *n = 0;
  *name = NULL;
  return NULL;
}

#endif

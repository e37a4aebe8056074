/*
** Models that are in use from one call of SQLite to the next, as by threads.
*/
#ifndef BINHASH_MODELS_H
#define BINHASH_MODELS_H

#include "ext_int.h"

typedef struct bh_model_file bh_model_file;

/* As bh_models_find; and the file stays until it is released, though its names
** may be unloaded meanwhile. */
int bh_models_hold(bh_connection *connection, const char *name, bh_head *out,
                   bh_model_file **file, char **error);
/* Has it been written to since it was loaded? */
int bh_models_is_changed(const bh_model_file *file);
/* Its sha256, taken when this is first asked.  An error where the file has been
** written to by then; *error is a message with the name, for sqlite3_free. */
int bh_models_sha256(bh_model_file *file, const char *name, const char **hex,
                     char **error);
void bh_models_release(bh_model_file *file);   /* NULL is fine */

#endif

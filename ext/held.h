/*
** A model that is held: what runs the caller's SQL or takes long keeps its model
** open, whatever is unloaded meanwhile.
*/
#ifndef BINHASH_HELD_H
#define BINHASH_HELD_H

#include "ext_int.h"

typedef struct bh_models_held {
  bh_head head;
  struct models_file *file;   /* NULL: not held */
} bh_models_held;

/* models.c: head is one that bh_models_find gave just now. */
void bh_models_hold(bh_connection *connection, const bh_head *head,
                    bh_models_held *out);
/* Was the file that it is mapped from written to? */
int bh_models_is_changed(const bh_models_held *held);
void bh_models_release(bh_models_held *held);   /* not held is fine */

#endif

/*
** Images out of a table: what --hash-method itq, --images and --int8 learn on.
*/
#ifndef BINHASH_IMPORT_IMAGES_H
#define BINHASH_IMPORT_IMAGES_H

#include "import.h"

typedef struct import_images import_images;

/* Images of the table that the options name (images, column image), of which at
** most options.limit are read, evenly spread over the table. */
nn_status import_images_open(import *im, const char *path,
                             import_images **out);
/* The next one that can be decoded, as the model decodes it, for
** nn_picture_free; *more 0 at the end.  What cannot be is counted. */
nn_status import_images_next(import_images *images, const nn_model *model,
                             nn_picture *picture, int *more);
int import_images_skipped(const import_images *images);
void import_images_close(import_images *images);   /* NULL is fine */

/*
** What a layer of the model gives for each of the images: *rows rows of the
** layer's size, in the arena.
*/
nn_status import_images_features(import *im, const char *path,
                                 const nn_model *model, int blob,
                                 float **features, int *rows);

#endif

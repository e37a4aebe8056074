/*
** What can be asked of a decoded picture besides its code: how it looks from
** another side, and how much there is to recognise in it.  See network.h for
** nn_picture, memory and errors.
*/
#ifndef BINHASH_NN_PICTURES_H
#define BINHASH_NN_PICTURES_H

#include "network.h"

/* Views (views.c) --------------------------------------------------------- */

/*
** A view is the picture turned, mirrored or cropped.  0 is the picture itself.
** A set is a list of views with a name: 'flip', 'd4' or 'crops5'.
*/
#define NN_VIEW_IDENTITY 0
#define NN_VIEW_COUNT 13

/* The set of that name, -1 if there is none; how many views it has, and which
** is the i-th.  Every set begins with NN_VIEW_IDENTITY. */
int nn_view_set(const char *name);
int nn_view_set_size(int set);
int nn_view_of_set(int set, int i);
const char *nn_view_name(int view);   /* 'rotate90' */
/* The view of a picture, which *out borrows the pixels of: nothing to free, and
** no longer valid than they are.  O(1). */
void nn_view(const nn_picture *picture, int view, nn_picture *out);

/* Quality (quality.c) ----------------------------------------------------- */

/* How much there is to recognise, 0 to 100; the formula is in quality.c. */
nn_status nn_quality(const nn_memory *mem, const nn_picture *picture, int *out,
                     nn_error *err);

#endif

/*
** Views: a picture turned, mirrored or cropped, for img_hash_views().
**
** A network that saw upright photographs gives a mirrored or turned picture
** another code.  Who wants to find those as well hashes a query in every view
** and takes the nearest.  The views are exact: pixels are only visited in
** another order or left out, so the code of a view is that of the file which a
** lossless program would have written (jpegtran's names are used: rotations are
** clockwise, `transpose` mirrors along the diagonal from the top left, and
** `transverse` along the other).
**
** A picture says where it begins and how far it is to the next column and row,
** so a symmetry of the square is another beginning and other steps, and a crop
** another beginning and size: nothing is copied.  The EXIF orientations of a
** file are eight of these views.
**
** The five crops have 4/5 of the width and of the height, rounded half up, at
** least 1 pixel; four lie in the corners, and the one in the centre begins at
** half of what is left over, rounded down.
*/
#include <string.h>

#include "jpeg.h"
#include "pictures.h"

/* A symmetry is a transposition or none, then a mirror of the columns, of the
** rows, or both.  A crop says where it lies: 0 at the start, 1 in the middle,
** 2 at the end. */
typedef struct views_entry {
  const char *name;
  int transpose, mirror_x, mirror_y;
  int crop, at_x, at_y;
} views_entry;

enum {
  VIEWS_IDENTITY = NN_VIEW_IDENTITY,
  VIEWS_FLIP,
  VIEWS_ROTATE90,
  VIEWS_ROTATE180,
  VIEWS_ROTATE270,
  VIEWS_FLIP_VERTICAL,
  VIEWS_TRANSPOSE,
  VIEWS_TRANSVERSE,
  VIEWS_CENTRE,
  VIEWS_TOP_LEFT,
  VIEWS_TOP_RIGHT,
  VIEWS_BOTTOM_LEFT,
  VIEWS_BOTTOM_RIGHT
};

static const views_entry views_table[NN_VIEW_COUNT] = {
    [VIEWS_IDENTITY] = {"identity", 0, 0, 0, 0, 0, 0},
    [VIEWS_FLIP] = {"flip", 0, 1, 0, 0, 0, 0},
    [VIEWS_ROTATE90] = {"rotate90", 1, 1, 0, 0, 0, 0},
    [VIEWS_ROTATE180] = {"rotate180", 0, 1, 1, 0, 0, 0},
    [VIEWS_ROTATE270] = {"rotate270", 1, 0, 1, 0, 0, 0},
    [VIEWS_FLIP_VERTICAL] = {"flip_vertical", 0, 0, 1, 0, 0, 0},
    [VIEWS_TRANSPOSE] = {"transpose", 1, 0, 0, 0, 0, 0},
    [VIEWS_TRANSVERSE] = {"transverse", 1, 1, 1, 0, 0, 0},
    [VIEWS_CENTRE] = {"centre", 0, 0, 0, 1, 1, 1},
    [VIEWS_TOP_LEFT] = {"top_left", 0, 0, 0, 1, 0, 0},
    [VIEWS_TOP_RIGHT] = {"top_right", 0, 0, 0, 1, 2, 0},
    [VIEWS_BOTTOM_LEFT] = {"bottom_left", 0, 0, 0, 1, 0, 2},
    [VIEWS_BOTTOM_RIGHT] = {"bottom_right", 0, 0, 0, 1, 2, 2},
};

static const struct {
  const char *name;
  int size;
  unsigned char views[8];
} views_sets[] = {
    {"flip", 2, {VIEWS_IDENTITY, VIEWS_FLIP}},
    {"d4", 8, {VIEWS_IDENTITY, VIEWS_FLIP, VIEWS_ROTATE90, VIEWS_ROTATE180,
               VIEWS_ROTATE270, VIEWS_FLIP_VERTICAL, VIEWS_TRANSPOSE,
               VIEWS_TRANSVERSE}},
    {"crops5", 6, {VIEWS_IDENTITY, VIEWS_CENTRE, VIEWS_TOP_LEFT,
                   VIEWS_TOP_RIGHT, VIEWS_BOTTOM_LEFT, VIEWS_BOTTOM_RIGHT}},
};

int nn_view_set(const char *name) {
  int count = (int)(sizeof(views_sets) / sizeof(*views_sets));
  for (int i = 0; i < count; i++)
    if (strcmp(views_sets[i].name, name) == 0) return i;
  return -1;
}

int nn_view_set_size(int set) { return views_sets[set].size; }

int nn_view_of_set(int set, int i) { return views_sets[set].views[i]; }

const char *nn_view_name(int view) { return views_table[view].name; }

/* The longer part of a side; sides fit 31 bits, five times that does not. */
static int views_side(int side) {
  int part = (int)((8 * (int64_t)side + 5) / 10);
  return part < 1 ? 1 : part;
}

/* Leave out all but `length` pixels from `at` on. */
static void views_cut(nn_picture *p, int axis, int at, int length) {
  p->pixels += at * (axis ? p->dy : p->dx);
  *(axis ? &p->height : &p->width) = length;
  for (int i = 0; i < p->channels; i++) p->channel[i].origin[axis] -= at;
}

static void views_crop(const views_entry *v, nn_picture *out) {
  int w = views_side(out->width), h = views_side(out->height);
  views_cut(out, 0, (int)((int64_t)(out->width - w) * v->at_x / 2), w);
  views_cut(out, 1, (int)((int64_t)(out->height - h) * v->at_y / 2), h);
}

static void views_mirror(nn_picture *p, int axis) {
  int side = axis ? p->height : p->width;
  ptrdiff_t *step = axis ? &p->dy : &p->dx;
  p->pixels += (side - 1) * *step;
  *step = -*step;
  for (int i = 0; i < p->channels; i++) {
    nn_channel *c = &p->channel[i];
    int count = c->count[axis];
    c->samples += (count - 1) * c->step[axis];
    c->step[axis] = -c->step[axis];
    /* What was behind the last sample is before the first one now. */
    c->origin[axis] = side - (c->origin[axis] + count * c->unit[axis]);
  }
}

static void views_swap(int pair[2]) {
  int first = pair[0];
  pair[0] = pair[1];
  pair[1] = first;
}

static void views_transpose(nn_picture *p) {
  int width = p->width;
  ptrdiff_t dx = p->dx;
  p->width = p->height;
  p->height = width;
  p->dx = p->dy;
  p->dy = dx;
  for (int i = 0; i < p->channels; i++) {
    nn_channel *c = &p->channel[i];
    ptrdiff_t step = c->step[0];
    c->step[0] = c->step[1];
    c->step[1] = step;
    views_swap(c->count);
    views_swap(c->unit);
    views_swap(c->origin);
  }
}

void nn_view(const nn_picture *picture, int view, nn_picture *out) {
  const views_entry *v = &views_table[view];
  *out = *picture;
  out->owned = NULL;
  if (v->transpose) views_transpose(out);
  if (v->mirror_x) views_mirror(out, 0);
  if (v->mirror_y) views_mirror(out, 1);
  if (v->crop) views_crop(v, out);
}

void nn_orient(nn_picture *picture, int orientation) {
  static const uint8_t views[9] = {
      [1] = VIEWS_IDENTITY,  [2] = VIEWS_FLIP,
      [3] = VIEWS_ROTATE180, [4] = VIEWS_FLIP_VERTICAL,
      [5] = VIEWS_TRANSPOSE, [6] = VIEWS_ROTATE90,
      [7] = VIEWS_TRANSVERSE, [8] = VIEWS_ROTATE270};
  nn_picture shown;
  nn_view(picture, views[orientation], &shown);
  shown.owned = picture->owned;
  *picture = shown;
}

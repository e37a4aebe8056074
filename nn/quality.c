/*
** How much there is to recognise in a picture, for img_quality().
**
** A code says where a picture lies among others.  Of a wall, a clear sky or a
** lens cap it says next to nothing: all such pictures share a few codes and
** find each other, whatever they show.  So a search leaves them out, and this
** number tells which they are: 0 for a plain colour or a smooth gradient, 100
** for what has detail everywhere.  It knows nothing of the network.
**
** The measure is that of PDQ (Facebook, "The TMK+PDQF Video-Hashing Algorithm
** and the PDQ Image-Hashing Algorithm", 2019, on the image-domain quality
** metric): the picture is reduced to 64 x 64 values of luminance, differences
** of neighbours are quantised to hundredths of the range so that noise counts
** nothing, and their sum is divided by 90 and capped at 100.  Here,
**
**  - second differences are taken, and half of them, which are 0 on any ramp
**    and as large as the first at an edge; PDQ's first ones give 44 to an empty
**    picture that goes from black to white;
**  - a side of less than 64 pixels is left as it is rather than enlarged, which
**    would make edges soft, and each difference counts as often as it would if
**    pixels were repeated until there are 64 of them along the edge.
**
** In full, with W = min(64, width), H = min(64, height), and the picture
** resized to W x H by area (resize.c):
**
**     y(i, j) = floor((77 * R + 150 * G + 29 * B + 128) / 256)
**     q(a, b, c) = floor(50 * |a - 2 * b + c| / 255)
**     X = sum over rows j and 0 < i < W - 1 of q(y(i-1, j), y(i, j), y(i+1, j))
**     Y = the same along columns
**     quality = min(100, floor((64 * X / H + 64 * Y / W) / 90)),
**
** computed as floor(64 * (X * W + Y * H) / (90 * W * H)).  All of it is exact,
** so a picture has the same number on every machine.
*/
#include <stdlib.h>

#include "nn_int.h"
#include "pictures.h"

enum { QUALITY_SIDE = 64, QUALITY_STEP = 90, QUALITY_MOST = 100 };

static int quality_side(int side) {
  return side < QUALITY_SIDE ? side : QUALITY_SIDE;
}

/* The quantised detail along `lines` lines of n values, `step` apart. */
static int64_t quality_sum(const uint8_t *luma, int lines, int line, int n,
                           int step) {
  int64_t sum = 0;
  for (int j = 0; j < lines; j++) {
    const uint8_t *p = luma + j * line;
    for (int i = 1; i + 1 < n; i++, p += step)
      sum += 50 * abs(p[0] - 2 * p[step] + p[2 * step]) / 255;
  }
  return sum;
}

nn_status nn_quality(const nn_memory *mem, const nn_picture *picture, int *out,
                     nn_error *err) {
  uint8_t rgb[QUALITY_SIDE * QUALITY_SIDE * 3];
  uint8_t luma[QUALITY_SIDE * QUALITY_SIDE];
  int w = quality_side(picture->width), h = quality_side(picture->height);
  nn_status status = nn_resize(mem, picture, 0, 0, picture->width,
                               picture->height, NN_AREA, w, h, rgb, err);
  if (status) return status;
  for (int i = 0; i < w * h; i++) {
    const uint8_t *p = rgb + 3 * i;
    luma[i] = (uint8_t)((77 * p[0] + 150 * p[1] + 29 * p[2] + 128) >> 8);
  }
  int64_t x = quality_sum(luma, h, w, w, 1);
  int64_t y = quality_sum(luma, w, 1, h, w);
  int64_t quality = QUALITY_SIDE * (x * w + y * h) /
                    ((int64_t)QUALITY_STEP * w * h);
  *out = (int)(quality < QUALITY_MOST ? quality : QUALITY_MOST);
  return NN_OK;
}

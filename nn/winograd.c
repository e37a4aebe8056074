/*
** Convolutions of 3x3 with stride 1, in 16 multiplications where 36 would be.
**
** Winograd's F(2x2, 3x3) as Lavin and Gray ("Fast Algorithms for Convolutional
** Neural Networks", CVPR 2016, section 4.1) apply it: the output is cut into
** tiles of 2x2, each of which sees 4x4 of the input.  With
**
**          1  0 -1  0          1    0    0
**     B' = 0  1  1  0     G = 1/2  1/2  1/2     A' = 1  1  1  0
**          0 -1  1  0         1/2 -1/2  1/2          0  1 -1 -1
**          0  1  0 -1          0    0    1
**
** a tile is A' [ (G g G') . (B' d B) ] A summed over the input channels, and
** the sum for each of the 16 places is a product of matrices: tiles x channels
** times channels x outputs, by the tiles of floats.c.  B' and A' only add, so
** what rounding costs is a factor of two or three of the plain sum's, within
** the 1e-5 that the engine keeps; F(4x4, 3x3) would save more and cost a
** hundred.
**
** The weights' side is made once, when the model is opened.  The input is
** copied with its channels together (NHWC), padded to whole tiles, so that B'
** works on vectors of channels; outputs come as vectors of channels too and are
** put into their planes at the end, with bias, scale and ReLU.  Tiles that are
** at hand at once are bounded, so memory does not grow with the picture.
**
** img_hash() under a network with 3x3 convolutions spends its time here; other
** kernels, strides and few channels are convolve.c's.
*/
#include <string.h>

#include "floats.h"

#define WINOGRAD_LEAST 16               /* channels of a group, both sides */
#define WINOGRAD_VALUES ((size_t)1 << 20)   /* of B' d B at a time, about */
#define WINOGRAD_TILES 60               /* of a task; a multiple of 6 and 12 */
#define WINOGRAD_DEPTH 256              /* channels at a time */
#define WINOGRAD_PANELS 2               /* of 16 outputs, of a task */

_Static_assert(16 * WINOGRAD_TILES * 32 <= NN_FLOAT_SCRATCH,
               "a task's products fit");

typedef float winograd_vector __attribute__((vector_size(16)));

typedef struct winograd_job {
  const nn_step *step;
  const nn_float_form *form;
  const nn_layer *layer;
  const nn_blob *in, *top;
  size_t wide, high;           /* tiles */
  size_t row, columns;         /* of the copy: floats, positions */
  size_t first, tiles;         /* at hand */
  size_t group, depth, channels;
  size_t panels;               /* of outputs, of a task */
  const float *image;
  float *copy, *values, *out;
} winograd_job;

int nn_winograd_fits(const nn_layer *l, const nn_blob *blobs) {
  const nn_blob *in = &blobs[l->bottom[0]], *top = &blobs[l->top];
  return l->type == NN_CONVOLUTION && l->kernel[0] == 3 && l->kernel[1] == 3 &&
         l->stride[0] == 1 && l->stride[1] == 1 && l->dilation[0] == 1 &&
         l->dilation[1] == 1 && in->c / l->group >= WINOGRAD_LEAST &&
         top->c / l->group >= WINOGRAD_LEAST && top->h * top->w >= 16;
}

/* Floats of the copy, filled up to cache lines. */
static size_t winograd_copy_size(const nn_blob *in, const nn_blob *top) {
  size_t wide = nn_pieces((size_t)top->w, 2) * 2 + 2;
  size_t high = nn_pieces((size_t)top->h, 2) * 2 + 2;
  size_t size = nn_mul(nn_mul(wide, high), (size_t)in->c);
  return size == SIZE_MAX ? size : (size + 15) / 16 * 16;
}

/* Tiles at hand: all, or as many as the bound on memory allows. */
static size_t winograd_at_hand(const nn_layer *l, const nn_blob *in,
                               const nn_blob *top) {
  size_t all = nn_pieces((size_t)top->w, 2) * nn_pieces((size_t)top->h, 2);
  size_t some = WINOGRAD_VALUES / (16 * (size_t)(in->c / l->group));
  if (some < WINOGRAD_TILES) some = WINOGRAD_TILES;
  return all < some ? all : some;
}

size_t nn_winograd_scratch(const nn_layer *l, const nn_blob *blobs) {
  const nn_blob *in = &blobs[l->bottom[0]], *top = &blobs[l->top];
  size_t copy = winograd_copy_size(in, top);
  size_t values = winograd_at_hand(l, in, top) * 16 *
                  (size_t)(in->c / l->group);
  return copy > SIZE_MAX - values ? SIZE_MAX : copy + values;
}

/* Weights ----------------------------------------------------------------- */

/* G g G' of one filter. */
static void winograd_filter(const float *g, double out[16]) {
  double half[4][3];
  for (int x = 0; x < 3; x++) {
    double a = g[x], b = g[3 + x], c = g[6 + x];
    half[0][x] = a;
    half[1][x] = (a + b + c) / 2;
    half[2][x] = (a - b + c) / 2;
    half[3][x] = c;
  }
  for (int y = 0; y < 4; y++) {
    double a = half[y][0], b = half[y][1], c = half[y][2];
    out[4 * y] = a;
    out[4 * y + 1] = (a + b + c) / 2;
    out[4 * y + 2] = (a - b + c) / 2;
    out[4 * y + 3] = c;
  }
}

/* As [group][place][panel][channel][output of the panel]. */
nn_status nn_winograd_ready(nn_model *model, nn_layer *layer, nn_error *err) {
  size_t depth = (size_t)(model->blobs[layer->bottom[0]].c / layer->group);
  size_t channels = (size_t)(model->blobs[layer->top].c / layer->group);
  size_t wide = (size_t)model->floats->columns;
  size_t panels = nn_pieces(channels, wide), place = panels * depth * wide;
  float *to = nn_model_alloc(
      model, nn_mul(16 * (size_t)layer->group, place), sizeof(float));
  if (!to) return nn_fail(err, NN_NOMEM, "out of memory");
  layer->winograd = to;
  for (size_t g = 0; g < (size_t)layer->group; g++, to += 16 * place) {
    for (size_t o = 0; o < channels; o++) {
      for (size_t c = 0; c < depth; c++) {
        double u[16];
        winograd_filter(
            layer->weight + ((g * channels + o) * depth + c) * 9, u);
        float *at = to + (o / wide * depth + c) * wide + o % wide;
        for (size_t i = 0; i < 16; i++) at[i * place] = (float)u[i];
      }
    }
  }
  return NN_OK;
}

/* The input --------------------------------------------------------------- */

/* Row y of the copy: the input's channels together, zeros around. */
static void winograd_row(void *context, size_t y, int worker) {
  const winograd_job *job = context;
  size_t c = (size_t)job->in->c, w = (size_t)job->in->w;
  size_t plane = w * (size_t)job->in->h, top = (size_t)job->layer->pad[0];
  size_t left = (size_t)job->layer->pad[1];
  float *to = job->copy + y * job->row;
  (void)worker;
  if (y < top || y - top >= (size_t)job->in->h) {
    memset(to, 0, job->row * sizeof(*to));
    return;
  }
  size_t end = job->columns < left + w ? job->columns : left + w;
  memset(to, 0, left * c * sizeof(*to));
  memset(to + end * c, 0, (job->columns - end) * c * sizeof(*to));
  const float *from = job->image + (y - top) * w;
  to += left * c;
  for (size_t i = 0; i + 8 <= c; i += 8) {
    const float *p = from + i * plane;
    for (size_t x = 0; x < end - left; x++) {
      for (size_t j = 0; j < 8; j++) to[x * c + i + j] = p[j * plane + x];
    }
  }
  for (size_t i = c / 8 * 8; i < c; i++) {
    for (size_t x = 0; x < end - left; x++) to[x * c + i] = from[i * plane + x];
  }
}

static inline winograd_vector winograd_load(const float *p) {
  winograd_vector v;
  memcpy(&v, p, sizeof(v));
  return v;
}

/* B' d B of n <= 4 channels: `apart` floats from one place to the next. */
static inline void winograd_values(const float *from, size_t row, size_t c,
                                   size_t n, float *to, size_t apart) {
  winograd_vector t[4][4];
  for (size_t x = 0; x < 4; x++) {
    winograd_vector d[4];
    for (size_t y = 0; y < 4; y++) {
      const float *p = from + y * row + x * c;
      if (n == 4) {
        d[y] = winograd_load(p);
      } else {
        d[y] = (winograd_vector){p[0], n > 1 ? p[1] : 0, n > 2 ? p[2] : 0, 0};
      }
    }
    t[0][x] = d[0] - d[2];
    t[1][x] = d[1] + d[2];
    t[2][x] = d[2] - d[1];
    t[3][x] = d[1] - d[3];
  }
  for (size_t y = 0; y < 4; y++, to += 4 * apart) {
    winograd_vector v[4] = {t[y][0] - t[y][2], t[y][1] + t[y][2],
                            t[y][2] - t[y][1], t[y][1] - t[y][3]};
    for (size_t x = 0; x < 4; x++) {
      memcpy(to + x * apart, &v[x], n * sizeof(float));
    }
  }
}

/* One tile of those at hand, as [place][tile][channel]. */
static void winograd_tile(void *context, size_t tile, int worker) {
  const winograd_job *job = context;
  size_t at = job->first + tile, c = (size_t)job->in->c;
  const float *from = job->copy + at / job->wide * 2 * job->row +
                      at % job->wide * 2 * c + job->group * job->depth;
  float *to = job->values + tile * job->depth;
  size_t apart = job->tiles * job->depth;
  (void)worker;
  for (size_t i = 0; i < job->depth; i += 4) {
    size_t n = job->depth - i < 4 ? job->depth - i : 4;
    winograd_values(from + i, job->row, c, n, to + i, apart);
  }
}

/* The outputs ------------------------------------------------------------- */

/* A' m A of the channels [o, o + n) of one tile, n <= 4, to their planes. */
static inline void winograd_output(const winograd_job *job, const float *m,
                                   size_t apart, size_t tile, size_t o,
                                   size_t n) {
  const nn_step *s = job->step;
  size_t w = (size_t)job->top->w, h = (size_t)job->top->h;
  size_t y = tile / job->wide * 2, x = tile % job->wide * 2;
  winograd_vector t[2][4], v[2][2];
  for (size_t i = 0; i < 4; i++) {
    winograd_vector a = winograd_load(m + i * apart);
    winograd_vector b = winograd_load(m + (4 + i) * apart);
    winograd_vector c = winograd_load(m + (8 + i) * apart);
    winograd_vector d = winograd_load(m + (12 + i) * apart);
    t[0][i] = a + b + c;
    t[1][i] = b - c - d;
  }
  for (int i = 0; i < 2; i++) {
    v[i][0] = t[i][0] + t[i][1] + t[i][2];
    v[i][1] = t[i][1] - t[i][2] - t[i][3];
  }
  for (size_t j = 0; j < n; j++, o++) {
    float scale = s->scale ? s->scale[o] : 1, bias = s->bias ? s->bias[o] : 0;
    float *to = job->out + (o * h + y) * w + x;
    for (size_t i = 0; i < 2 && y + i < h; i++) {
      for (size_t k = 0; k < 2 && x + k < w; k++) {
        float value = v[i][k][j] * scale + bias;
        to[i * w + k] = s->relu && !(value > 0) ? 0 : value;
      }
    }
  }
}

/* Tiles [tile, tile + n) of those at hand by the panels [panel, last). */
static void winograd_products(const winograd_job *job, size_t tile, size_t n,
                              size_t panel, size_t last, float *to) {
  const nn_float_form *form = job->form;
  size_t wide = (size_t)form->columns, rows = (size_t)form->rows;
  size_t ldc = (last - panel) * wide, depth = job->depth;
  size_t panels = nn_pieces(job->channels, wide);
  for (size_t i = 0; i < 16; i++, to += n * ldc) {
    const float *a = job->values + (i * job->tiles + tile) * depth;
    const float *b = job->layer->winograd +
                     ((job->group * 16 + i) * panels + panel) * depth * wide;
    for (size_t p = 0; p < last - panel; p++, b += depth * wide) {
      for (size_t k = 0; k < depth; k += WINOGRAD_DEPTH) {
        size_t deep = depth - k < WINOGRAD_DEPTH ? depth - k : WINOGRAD_DEPTH;
        for (size_t r = 0; r < n; r += rows) {
          int some = (int)(n - r < rows ? n - r : rows);
          form->tile(some, deep, a + r * depth + k, depth, b + k * wide,
                     to + r * ldc + p * wide, ldc, k > 0);
        }
      }
    }
  }
}

/* How many tiles a task takes, and how many tasks that makes. */
static size_t winograd_per_task(const winograd_job *job, size_t *tasks) {
  *tasks = nn_pieces(job->tiles, WINOGRAD_TILES);
  size_t rows = (size_t)job->form->rows;
  size_t each = nn_pieces(nn_pieces(job->tiles, *tasks), rows) * rows;
  *tasks = nn_pieces(job->tiles, each);
  return each;
}

static void winograd_task(void *context, size_t task, int worker) {
  const winograd_job *job = context;
  size_t tasks, each = winograd_per_task(job, &tasks);
  size_t tile = task % tasks * each, wide = (size_t)job->form->columns;
  size_t n = job->tiles - tile < each ? job->tiles - tile : each;
  size_t panel = task / tasks * job->panels;
  size_t all = nn_pieces(job->channels, wide);
  size_t last = panel + job->panels < all ? panel + job->panels : all;
  float *m = job->step->private_scratch + (size_t)worker * NN_FLOAT_SCRATCH;
  winograd_products(job, tile, n, panel, last, m);
  size_t ldc = (last - panel) * wide, from = panel * wide;
  size_t to = last * wide < job->channels ? last * wide : job->channels;
  for (size_t t = 0; t < n; t++, m += ldc) {
    for (size_t o = from; o < to; o += 4) {
      winograd_output(job, m + o - from, n * ldc, job->first + tile + t,
                      job->group * job->channels + o, to - o < 4 ? to - o : 4);
    }
  }
}

static void winograd_image(winograd_job *job, nn_team *team) {
  size_t all = job->wide * job->high, at_hand = job->tiles, tasks;
  size_t wide = (size_t)job->form->columns;
  nn_team_run(team, 2 * job->high + 2, winograd_row, job);
  for (job->group = 0; job->group < (size_t)job->layer->group; job->group++) {
    for (job->first = 0; job->first < all; job->first += at_hand) {
      job->tiles = all - job->first < at_hand ? all - job->first : at_hand;
      nn_team_run(team, job->tiles, winograd_tile, job);
      winograd_per_task(job, &tasks);
      size_t blocks = nn_pieces(nn_pieces(job->channels, wide),
                                  job->panels);
      nn_team_run(team, tasks * blocks, winograd_task, job);
    }
  }
  job->tiles = at_hand;
}

void nn_winograd_run(const nn_step *step) {
  winograd_job job;
  const nn_layer *l = step->layer;
  job.step = step;
  job.form = step->form;
  job.layer = l;
  job.in = &step->blobs[l->bottom[0]];
  job.top = &step->blobs[l->top];
  job.wide = nn_pieces((size_t)job.top->w, 2);
  job.high = nn_pieces((size_t)job.top->h, 2);
  job.columns = 2 * job.wide + 2;
  job.row = job.columns * (size_t)job.in->c;
  job.depth = (size_t)(job.in->c / l->group);
  job.channels = (size_t)(job.top->c / l->group);
  job.panels = job.form->columns > 16 ? 1 : WINOGRAD_PANELS;
  job.copy = step->scratch;
  job.values = step->scratch + winograd_copy_size(job.in, job.top);
  job.tiles = winograd_at_hand(l, job.in, job.top);
  for (int i = 0; i < step->n; i++) {
    job.image = step->in[0] + (size_t)i * job.in->size;
    job.out = step->out + (size_t)i * job.top->size;
    winograd_image(&job, step->team);
  }
}

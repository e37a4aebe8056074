/*
** Convolutions by Winograd's way, in about half of the multiplications.
**
** F(2x2, 3x3) as Lavin and Gray ("Fast Algorithms for Convolutional Neural
** Networks", CVPR 2016, section 4.1) apply it: the output is cut into tiles of
** 2x2, each of which sees 4x4 of the input.  With
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
** Longer filters, and those with a stride, are cut into pieces that are 3x3 or
** smaller (cut.c), whose products are added up at the same places.
**
** The weights' side is made once, when the model is first used.  The input is
** copied with its channels together (NHWC), padded to whole tiles, so that B'
** works on vectors of channels; outputs come as vectors of channels too, are
** turned where two tiles lie side by side, and go to their planes with bias,
** scale and ReLU.  Tiles that are at hand at once are bounded, so memory does
** not grow with the picture.
**
** img_hash() under a float32 network spends most of its time here.  Of that of
** CaffeNet-48's five convolutions four fifths are the products, at 85 % of what
** the FMA units can do (AVX2, Zen 3); a twelfth is A', a twentieth B', and the
** rest the copy.
**
** Not here: how filters are cut and packed, and which are not (cut.c).
*/
#include <string.h>

#include "cut.h"

#define WINOGRAD_VALUES ((size_t)1 << 18)   /* of B' d B at a time, about */
#define WINOGRAD_TILES 60               /* of a task; a multiple of 6 and 12 */
#define WINOGRAD_DEPTH 256              /* channels at a time */
#define WINOGRAD_FETCH 128              /* of them, to be worth a fetch */
#define WINOGRAD_PANELS 2               /* of 16 outputs, of a task */

_Static_assert(16 * WINOGRAD_TILES * 32 <= NN_FLOAT_SCRATCH,
               "a task's products fit");

#define WINOGRAD_INLINE static inline __attribute__((always_inline)) void

typedef float winograd_vector __attribute__((vector_size(16)));
typedef int winograd_lanes __attribute__((vector_size(16)));

#ifdef __clang__
#define WINOGRAD_SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define WINOGRAD_SHUFFLE(a, b, ...) \
  __builtin_shuffle(a, b, (winograd_lanes){__VA_ARGS__})
#endif

typedef struct winograd_job {
  const nn_step *step;
  const nn_float_form *form;
  const nn_layer *layer;
  const nn_blob *in, *top;
  nn_cut cut;
  size_t wide, high;           /* tiles */
  size_t columns, rows;        /* positions of the copy */
  size_t apart, row;           /* floats from one position, row to the next */
  size_t first, tiles;         /* at hand */
  size_t groups, channels;     /* outputs of a group */
  size_t panels, blocks;       /* of outputs, of a task; tasks of a group */
  size_t each, strips;         /* tiles of a task; tasks of those at hand */
  const float *image;
  float *copy, *values, *out;
} winograd_job;

/* Memory ------------------------------------------------------------------ */

static nn_cut winograd_cut(const nn_layer *l, const nn_blob *in) {
  return nn_cut_of(l, nn_cut_depth(l, in));
}

/* Floats of the copy, filled up to cache lines. */
static size_t winograd_copy_size(const nn_layer *l, const nn_blob *in,
                                 const nn_blob *top) {
  nn_cut cut = winograd_cut(l, in);
  size_t wide = nn_pieces((size_t)top->w, 2) * 2 + cut.x.taps - 1;
  size_t high = nn_pieces((size_t)top->h, 2) * 2 + cut.y.taps - 1;
  size_t size = nn_mul(nn_mul(wide, high),
                       nn_mul(cut.depth, (size_t)l->group));
  return size == SIZE_MAX ? size : (size + 15) / 16 * 16;
}

/* Tiles at hand: all, or as many as the bound on memory allows. */
static size_t winograd_at_hand(const nn_layer *l, const nn_blob *in,
                               const nn_blob *top) {
  size_t all = nn_pieces((size_t)top->w, 2) * nn_pieces((size_t)top->h, 2);
  size_t some = WINOGRAD_VALUES /
                (winograd_cut(l, in).total * (size_t)l->group);
  if (some < WINOGRAD_TILES) some = WINOGRAD_TILES;
  return all < some ? all : some;
}

size_t nn_winograd_scratch(const nn_layer *l, const nn_blob *blobs) {
  const nn_blob *in = &blobs[l->bottom[0]], *top = &blobs[l->top];
  size_t copy = winograd_copy_size(l, in, top);
  size_t values = nn_mul(winograd_at_hand(l, in, top) * (size_t)l->group,
                         winograd_cut(l, in).total);
  return copy > SIZE_MAX - values ? SIZE_MAX : copy + values;
}

/* The input --------------------------------------------------------------- */

/* n channels, whose planes follow each other, side by side into the positions
** of a row: each takes `step` floats of `from` further. */
static void winograd_turn_row(const float *from, size_t plane, size_t step,
                              size_t n, float *to, size_t apart,
                              size_t positions) {
  size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    const float *p = from + i * plane;
    for (size_t x = 0; x < positions; x++) {
      for (size_t j = 0; j < 8; j++) {
        to[x * apart + i + j] = p[j * plane + x * step];
      }
    }
  }
  for (; i < n; i++) {
    const float *p = from + i * plane;
    for (size_t x = 0; x < positions; x++) to[x * apart + i] = p[x * step];
  }
}

/* What phase (y, x) of the strides sees of an input row, in all groups. */
static void winograd_phase(const winograd_job *job, const float *row, size_t y,
                           size_t x, float *to) {
  const nn_cut_axis *a = &job->cut.x;
  size_t left = (size_t)job->layer->pad[1], w = (size_t)job->in->w;
  size_t plane = w * (size_t)job->in->h;
  size_t each = (size_t)job->in->c / job->groups;
  /* positions [first, last) look at columns of the input */
  size_t first = left > x ? nn_pieces(left - x, a->stride) : 0;
  size_t last = left + w > x ? nn_pieces(left + w - x, a->stride) : 0;
  if (last > job->columns) last = job->columns;
  if (first >= last) return;
  row += first * a->stride + x - left;
  to += first * job->apart + (y * a->stride + x) * each;
  for (size_t g = 0; g < job->groups; g++) {
    winograd_turn_row(row + g * each * plane, plane, a->stride, each,
                      to + g * job->cut.depth, job->apart, last - first);
  }
}

/* Row `at` of the copy: the input's channels together, zeros around. */
static void winograd_row(void *context, size_t at, int worker) {
  const winograd_job *job = context;
  size_t top = (size_t)job->layer->pad[0], stride = job->cut.y.stride;
  float *to = job->copy + at * job->row;
  (void)worker;
  memset(to, 0, job->row * sizeof(*to));
  for (size_t i = 0; i < stride; i++) {
    size_t y = at * stride + i;
    if (y < top || y - top >= (size_t)job->in->h) continue;
    const float *row = job->image + (y - top) * (size_t)job->in->w;
    for (size_t x = 0; x < job->cut.x.stride; x++) {
      winograd_phase(job, row, i, x, to);
    }
  }
}

/* The first n <= 4 floats. */
static inline winograd_vector winograd_load(const float *p, size_t n) {
  winograd_vector v = {0, 0, 0, 0};
  if (n == 4) memcpy(&v, p, sizeof(v));
  else memcpy(&v, p, n * sizeof(*p));
  return v;
}

/* B' d B of n <= 4 channels of a piece, the fourth row or column of places only
** where it has three taps; place i goes to to[i] + at. */
WINOGRAD_INLINE winograd_values(const winograd_job *job, const float *from,
                                const size_t n, const size_t high,
                                const size_t wide, float *const *to,
                                size_t at) {
  winograd_vector t[4][4];
  for (size_t x = 0; x < wide; x++) {
    winograd_vector d[4];
    for (size_t y = 0; y < high; y++) {
      d[y] = winograd_load(from + y * job->row + x * job->apart, n);
    }
    t[0][x] = d[0] - d[2];
    t[1][x] = d[1] + d[2];
    t[2][x] = d[2] - d[1];
    if (high == 4) t[3][x] = d[1] - d[3];
  }
  for (size_t y = 0; y < high; y++) {
    winograd_vector v[4] = {t[y][0] - t[y][2], t[y][1] + t[y][2],
                            t[y][2] - t[y][1]};
    if (wide == 4) v[3] = t[y][1] - t[y][3];
    for (size_t x = 0; x < wide; x++) {
      memcpy(to[4 * y + x] + at, &v[x], n * sizeof(float));
    }
  }
}

WINOGRAD_INLINE winograd_piece(const winograd_job *job, const float *from,
                               const size_t high, const size_t wide,
                               float *const *to) {
  size_t depth = job->cut.depth, i = 0;
  for (; i + 4 <= depth; i += 4) {
    winograd_values(job, from + i, 4, high, wide, to, i);
  }
  if (i < depth) {
    winograd_values(job, from + i, depth - i, high, wide, to, i);
  }
}

/* Piece (py, px) of a group and a tile. */
static void winograd_place_piece(const winograd_job *job, size_t g,
                                 size_t tile, size_t py, size_t px) {
  const nn_cut *cut = &job->cut;
  size_t at = job->first + tile;
  size_t y = at / job->wide * 2 + nn_cut_start(&cut->y, py);
  size_t x = at % job->wide * 2 + nn_cut_start(&cut->x, px);
  const float *from = job->copy + y * job->row + x * job->apart +
                      g * cut->depth;
  float *to[16];
  for (size_t i = 0; i < 16; i++) {
    const nn_cut_place *p = &cut->place[i];
    to[i] = job->values + (g * cut->total + p->before) * job->tiles +
            tile * p->depth +
            (py * nn_cut_count(&cut->x, i % 4) + px) * cut->depth;
  }
  if (py < cut->y.threes) {
    if (px < cut->x.threes) winograd_piece(job, from, 4, 4, to);
    else winograd_piece(job, from, 4, 3, to);
  } else {
    if (px < cut->x.threes) winograd_piece(job, from, 3, 4, to);
    else winograd_piece(job, from, 3, 3, to);
  }
}

/* One tile of those at hand, as [group][place][tile][channel]. */
static void winograd_tile(void *context, size_t tile, int worker) {
  const winograd_job *job = context;
  (void)worker;
  for (size_t g = 0; g < job->groups; g++) {
    for (size_t py = 0; py < job->cut.y.pieces; py++) {
      for (size_t px = 0; px < job->cut.x.pieces; px++) {
        winograd_place_piece(job, g, tile, py, px);
      }
    }
  }
}

/* The outputs ------------------------------------------------------------- */

/* A' m A of four channels: two rows of two outputs, each a vector. */
WINOGRAD_INLINE winograd_sums(const float *m, size_t apart,
                              winograd_vector upper[2],
                              winograd_vector lower[2]) {
  winograd_vector t[2][4];
  for (size_t i = 0; i < 4; i++) {
    winograd_vector a = winograd_load(m + i * apart, 4);
    winograd_vector b = winograd_load(m + (4 + i) * apart, 4);
    winograd_vector c = winograd_load(m + (8 + i) * apart, 4);
    winograd_vector d = winograd_load(m + (12 + i) * apart, 4);
    t[0][i] = a + b + c;
    t[1][i] = b - c - d;
  }
  upper[0] = t[0][0] + t[0][1] + t[0][2];
  upper[1] = t[0][1] - t[0][2] - t[0][3];
  lower[0] = t[1][0] + t[1][1] + t[1][2];
  lower[1] = t[1][1] - t[1][2] - t[1][3];
}

/* Four outputs of four channels become four channels of four outputs. */
static inline void winograd_turn(winograd_vector v[4]) {
  winograd_vector a = WINOGRAD_SHUFFLE(v[0], v[1], 0, 4, 1, 5);
  winograd_vector b = WINOGRAD_SHUFFLE(v[0], v[1], 2, 6, 3, 7);
  winograd_vector c = WINOGRAD_SHUFFLE(v[2], v[3], 0, 4, 1, 5);
  winograd_vector d = WINOGRAD_SHUFFLE(v[2], v[3], 2, 6, 3, 7);
  v[0] = WINOGRAD_SHUFFLE(a, c, 0, 1, 4, 5);
  v[1] = WINOGRAD_SHUFFLE(a, c, 2, 3, 6, 7);
  v[2] = WINOGRAD_SHUFFLE(b, d, 0, 1, 4, 5);
  v[3] = WINOGRAD_SHUFFLE(b, d, 2, 3, 6, 7);
}

/* Where two tiles side by side go, of which the second may not be there. */
typedef struct winograd_target {
  float *to;                   /* channel 0 */
  size_t plane, row;
  size_t wide, high;           /* outputs that are within the plane */
} winograd_target;

/* Channels [o, o + n), n <= 4, of the two tiles, whose products lie `next`
** floats apart.  Constants where the compiler shall know them. */
WINOGRAD_INLINE winograd_output(const nn_step *s, const winograd_target *target,
                                const float *m, size_t apart, size_t next,
                                size_t o, const size_t n, const size_t wide,
                                const size_t high, const int relu) {
  const winograd_vector zero = {0, 0, 0, 0};
  winograd_vector v[2][4];
  winograd_vector scale = {1, 1, 1, 1}, bias = zero;
  if (s->scale) scale = winograd_load(s->scale + o, n);
  if (s->bias) bias = winograd_load(s->bias + o, n);
  winograd_sums(m, apart, v[0], v[1]);
  winograd_sums(m + next, apart, v[0] + 2, v[1] + 2);
  for (size_t i = 0; i < high; i++) {
    float *to = target->to + o * target->plane + i * target->row;
    for (int k = 0; k < 4; k++) {
      v[i][k] = v[i][k] * scale + bias;
      if (relu) {
        v[i][k] = (winograd_vector)((winograd_lanes)v[i][k] &
                                    (v[i][k] > zero));
      }
    }
    winograd_turn(v[i]);
    for (size_t j = 0; j < n; j++, to += target->plane) {
      memcpy(to, &v[i][j], wide * sizeof(*to));
    }
  }
}

/* n channels from o on; most tiles are whole and so are most fours. */
WINOGRAD_INLINE winograd_channels(const nn_step *s,
                                  const winograd_target *target,
                                  const float *m, size_t apart, size_t next,
                                  size_t o, size_t n, const int relu) {
  size_t i = 0;
  if (target->wide == 4 && target->high == 2) {
    for (; i + 4 <= n; i += 4) {
      winograd_output(s, target, m + i, apart, next, o + i, 4, 4, 2, relu);
    }
  }
  for (; i < n; i += 4) {
    winograd_output(s, target, m + i, apart, next, o + i,
                    n - i < 4 ? n - i : 4, target->wide, target->high, relu);
  }
}

/* Tiles [tile, tile + n) of those at hand, the channels of panels [panel,
** last), whose products are at m. */
static void winograd_outputs(const winograd_job *job, size_t g, size_t tile,
                             size_t n, size_t panel, size_t last,
                             const float *m) {
  const nn_step *s = job->step;
  size_t w = (size_t)job->top->w, h = (size_t)job->top->h;
  size_t wide = (size_t)job->form->columns;
  size_t ldc = (last - panel) * wide, from = panel * wide;
  size_t some = job->channels - from < ldc ? job->channels - from : ldc;
  size_t o = g * job->channels + from;
  for (size_t t = 0, taken; t < n; t += taken, m += taken * ldc) {
    size_t at = job->first + tile + t;
    size_t y = at / job->wide * 2, x = at % job->wide * 2;
    taken = t + 1 < n && x + 2 < 2 * job->wide ? 2 : 1;
    winograd_target to = {job->out + y * w + x, h * w, w,
                          w - x < 2 * taken ? w - x : 2 * taken,
                          h - y < 2 ? h - y : 2};
    size_t next = (taken - 1) * ldc;
    if (s->relu) winograd_channels(s, &to, m, n * ldc, next, o, some, 1);
    else winograd_channels(s, &to, m, n * ldc, next, o, some, 0);
  }
}

/* Part `part` of `parts` of the n weights that come next, to the cache. */
static void winograd_fetch(const float *w, size_t n, size_t part,
                           size_t parts) {
  size_t each = nn_pieces(n, parts);
  size_t end = (part + 1) * each < n ? (part + 1) * each : n;
  for (size_t i = part * each; i < end; i += 16) __builtin_prefetch(w + i);
}

/* n rows of values by one panel of weights; `next` is where the panel is that
** comes after it, NULL for none. */
static void winograd_panel(const nn_float_form *form, const float *a,
                           size_t depth, size_t n, const float *b,
                           const float *next, float *c, size_t ldc) {
  size_t wide = (size_t)form->columns, rows = (size_t)form->rows, k = 0;
  do {   /* once for a depth of 0, too */
    size_t deep = depth - k < WINOGRAD_DEPTH ? depth - k : WINOGRAD_DEPTH;
    const float *after = k + deep < depth ? b + deep * wide : next;
    for (size_t r = 0, some; r < n; r += some) {
      some = nn_even(n - r, rows);
      if (after && deep >= WINOGRAD_FETCH) {
        winograd_fetch(after, deep * wide, r / rows, nn_pieces(n, rows));
      }
      form->tile((int)some, deep, a + r * depth + k, depth, b, c + r * ldc,
                 ldc, k > 0);
    }
    b = after;
    k += deep;
  } while (k < depth);
}

/* The weights of a group and a place, panel by panel. */
static const float *winograd_weights(const winograd_job *job, size_t g,
                                     size_t place, size_t panel) {
  const nn_cut_place *p = &job->cut.place[place];
  size_t wide = (size_t)job->form->columns;
  size_t panels = nn_pieces(job->channels, wide);
  return job->layer->winograd + ((g * job->cut.total + p->before) * panels +
                                 panel * p->depth) * wide;
}

/* Tiles [tile, tile + n) of those at hand by the panels [panel, last). */
static void winograd_products(const winograd_job *job, size_t g, size_t tile,
                              size_t n, size_t panel, size_t last, float *to) {
  size_t wide = (size_t)job->form->columns, ldc = (last - panel) * wide;
  for (size_t i = 0; i < 16; i++, to += n * ldc) {
    size_t depth = job->cut.place[i].depth;
    const float *a = job->values +
                     (g * job->cut.total + job->cut.place[i].before) *
                         job->tiles + tile * depth;
    const float *after =
        i < 15 ? winograd_weights(job, g, i + 1, panel) : NULL;
    for (size_t p = panel; p < last; p++) {
      const float *b = winograd_weights(job, g, i, p);
      winograd_panel(job->form, a, depth, n, b,
                     p + 1 < last ? b + depth * wide : after,
                     to + (p - panel) * wide, ldc);
    }
  }
}

static void winograd_task(void *context, size_t task, int worker) {
  const winograd_job *job = context;
  size_t tile = task % job->strips * job->each;
  size_t block = task / job->strips % job->blocks;
  size_t g = task / job->strips / job->blocks;
  size_t n = job->tiles - tile < job->each ? job->tiles - tile : job->each;
  size_t panel = block * job->panels;
  size_t all = nn_pieces(job->channels, (size_t)job->form->columns);
  size_t last = panel + job->panels < all ? panel + job->panels : all;
  float *m = job->step->private_scratch + (size_t)worker * NN_FLOAT_SCRATCH;
  winograd_products(job, g, tile, n, panel, last, m);
  winograd_outputs(job, g, tile, n, panel, last, m);
}

/* How many tiles a task takes, and how many tasks that makes. */
static void winograd_divide(winograd_job *job) {
  size_t rows = (size_t)job->form->rows;
  job->strips = nn_pieces(job->tiles, WINOGRAD_TILES);
  job->each = nn_pieces(nn_pieces(job->tiles, job->strips), rows) * rows;
  job->strips = nn_pieces(job->tiles, job->each);
  job->blocks = nn_pieces(
      nn_pieces(job->channels, (size_t)job->form->columns), job->panels);
}

static void winograd_image(winograd_job *job, nn_team *team) {
  size_t all = job->wide * job->high, at_hand = job->tiles;
  nn_team_run(team, job->rows, winograd_row, job);
  for (job->first = 0; job->first < all; job->first += at_hand) {
    job->tiles = all - job->first < at_hand ? all - job->first : at_hand;
    nn_team_run(team, job->tiles, winograd_tile, job);
    winograd_divide(job);
    nn_team_run(team, job->strips * job->blocks * job->groups, winograd_task,
                job);
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
  job.cut = winograd_cut(l, job.in);
  job.groups = (size_t)l->group;
  job.channels = (size_t)job.top->c / job.groups;
  job.wide = nn_pieces((size_t)job.top->w, 2);
  job.high = nn_pieces((size_t)job.top->h, 2);
  job.columns = 2 * job.wide + job.cut.x.taps - 1;
  job.rows = 2 * job.high + job.cut.y.taps - 1;
  job.apart = job.cut.depth * job.groups;
  job.row = job.columns * job.apart;
  job.panels = job.form->columns > 16 ? 1 : WINOGRAD_PANELS;
  job.copy = step->scratch;
  job.values = step->scratch + winograd_copy_size(l, job.in, job.top);
  job.tiles = winograd_at_hand(l, job.in, job.top);
  for (int i = 0; i < step->n; i++) {
    job.image = step->in[0] + (size_t)i * job.in->size;
    job.out = step->out + (size_t)i * job.top->size;
    winograd_image(&job, step->team);
  }
}

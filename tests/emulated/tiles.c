/*
** AMX's tiles in plain C, after the operations of the instructions in Intel's
** manual (LDTILECFG, TILERELEASE, TILEZERO, TILELOADD, TILESTORED, TDPBUSD):
** palette 1, which has eight tiles of up to sixteen rows of up to 64 bytes.
*/
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tiles.h"

#define TILES 8
#define ROWS 16
#define BYTES 64

/* What LDTILECFG reads, byte for byte. */
enum {
  CFG_PALETTE = 0,
  CFG_START_ROW = 1,
  CFG_BYTES = 16,   /* two each */
  CFG_ROWS = 48,
  CFG_SIZE = 64
};

typedef struct tile {
  int rows, bytes;
  uint8_t data[ROWS][BYTES];
} tile;

static _Thread_local int configured;
static _Thread_local tile tiles[TILES];
static atomic_int held;
static atomic_long configurations, products;

_Thread_local void (*emulated_tiles_fault)(const char *what);

static void fault(const char *what) {
  if (emulated_tiles_fault) emulated_tiles_fault(what);
  fprintf(stderr, "emulated tiles: %s\n", what);
  abort();
}

static void check(int holds, const char *what) {
  if (!holds) fault(what);
}

int emulated_tiles_held(void) { return held; }
long emulated_tiles_configured(void) { return configurations; }
long emulated_tiles_products(void) { return products; }

/* Everything as after a reset. */
static void reset(void) {
  held -= configured;
  configured = 0;
  memset(tiles, 0, sizeof(tiles));
}

void emulated_tile_loadconfig(const void *from) {
  const uint8_t *cfg = from;
  tile next[TILES];
  memset(next, 0, sizeof(next));
  if (cfg[CFG_PALETTE] == 0) {
    reset();
    return;
  }
  check(cfg[CFG_PALETTE] == 1, "there is no such palette");
  /* Loads that were cut off go on at that row; a program has none such. */
  check(cfg[CFG_START_ROW] == 0, "start_row is not 0");
  for (int i = 2; i < CFG_BYTES; i++) {
    check(cfg[i] == 0, "a reserved byte is not 0");
  }
  for (int i = CFG_BYTES + 2 * TILES; i < CFG_ROWS; i++) {
    check(cfg[i] == 0, "bytes of a tile that does not exist");
  }
  for (int i = CFG_ROWS + TILES; i < CFG_SIZE; i++) {
    check(cfg[i] == 0, "rows of a tile that does not exist");
  }
  for (int i = 0; i < TILES; i++) {
    next[i].bytes = cfg[CFG_BYTES + 2 * i] | cfg[CFG_BYTES + 2 * i + 1] << 8;
    next[i].rows = cfg[CFG_ROWS + i];
    check(next[i].bytes <= BYTES, "more than 64 bytes a row");
    check(next[i].rows <= ROWS, "more than 16 rows");
    check(!next[i].bytes == !next[i].rows, "rows without bytes, or the reverse");
  }
  reset();
  memcpy(tiles, next, sizeof(tiles));
  configured = 1;
  held++;
  configurations++;
}

void emulated_tile_release(void) { reset(); }

static tile *tile_at(int i) {
  check(configured, "tiles are used that are not configured");
  check(i >= 0 && i < TILES, "there is no such tile");
  check(tiles[i].rows > 0, "a tile is used that the configuration leaves out");
  return &tiles[i];
}

void emulated_tile_zero(int i) {
  tile *t = tile_at(i);
  memset(t->data, 0, sizeof(t->data));
}

void emulated_tile_loadd(int i, const void *base, ptrdiff_t stride) {
  tile *t = tile_at(i);
  memset(t->data, 0, sizeof(t->data));
  for (int r = 0; r < t->rows; r++) {
    memcpy(t->data[r], (const uint8_t *)base + r * stride, (size_t)t->bytes);
  }
}

void emulated_tile_stored(int i, void *base, ptrdiff_t stride) {
  const tile *t = tile_at(i);
  for (int r = 0; r < t->rows; r++) {
    memcpy((uint8_t *)base + r * stride, t->data[r], (size_t)t->bytes);
  }
}

void emulated_tile_dpbusd(int sums, int unsigned_bytes, int signed_bytes) {
  tile *to = tile_at(sums);
  const tile *a = tile_at(unsigned_bytes), *b = tile_at(signed_bytes);
  check(to != a && to != b && a != b, "a tile is two operands");
  check(to->bytes % 4 == 0 && a->bytes % 4 == 0 && b->bytes % 4 == 0,
        "rows that are not whole words");
  check(to->rows == a->rows, "sums and first factor differ in their rows");
  check(to->bytes == b->bytes, "sums and second factor differ in their width");
  check(a->bytes / 4 == b->rows, "the factors do not meet");
  for (int m = 0; m < to->rows; m++) {
    for (int n = 0; n < to->bytes / 4; n++) {
      uint32_t sum;
      memcpy(&sum, to->data[m] + 4 * n, 4);
      for (int k = 0; k < b->rows; k++) {
        for (int i = 0; i < 4; i++) {
          int product = a->data[m][4 * k + i] *
                        (int)(int8_t)b->data[k][4 * n + i];
          sum += (uint32_t)product;   /* wraps, as there */
        }
      }
      memcpy(to->data[m] + 4 * n, &sum, 4);
    }
  }
  products++;
}

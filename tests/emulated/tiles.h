/*
** AMX's tiles on CPUs that lack them, under the names of the intrinsics: those
** that nn/amx.c uses, as strict as the CPU is.  What would be a fault there
** (#GP and #UD of the manual: a configuration that is none, a tile that is not
** configured, shapes that do not agree) ends the program with a sentence, or
** calls emulated_tiles_fault where a test waits for one.
**
** The tiles are a thread's own, as on the CPU.  What the CPU leaves to the
** program is counted: threads whose tiles are configured and not released.
*/
#ifndef BINHASH_EMULATED_TILES_H
#define BINHASH_EMULATED_TILES_H

#include <stddef.h>

void emulated_tile_loadconfig(const void *from);
void emulated_tile_release(void);
void emulated_tile_zero(int tile);
void emulated_tile_loadd(int tile, const void *base, ptrdiff_t stride);
void emulated_tile_stored(int tile, void *base, ptrdiff_t stride);
void emulated_tile_dpbusd(int sums, int unsigned_bytes, int signed_bytes);

/* Threads that hold tiles now; configurations and products so far, of all.  The
** last is seen from outside of an extension, too. */
int emulated_tiles_held(void);
long emulated_tiles_configured(void);
__attribute__((visibility("default"))) long emulated_tiles_products(void);
/* Where a fault goes; it may not return. */
extern _Thread_local void (*emulated_tiles_fault)(const char *what);

#define _tile_loadconfig(from) emulated_tile_loadconfig(from)
#define _tile_release() emulated_tile_release()
#define _tile_zero(tile) emulated_tile_zero(tile)
#define _tile_loadd(tile, base, stride) emulated_tile_loadd(tile, base, stride)
#define _tile_stored(tile, base, stride) \
  emulated_tile_stored(tile, base, stride)
#define _tile_dpbusd(sums, a, b) emulated_tile_dpbusd(sums, a, b)

#endif

/*
** The codes half of nn: bits of a code, distances, and rows in the order of
** their distance.  See network.h for memory and errors.
*/
#ifndef BINHASH_NN_CODES_H
#define BINHASH_NN_CODES_H

#include <stddef.h>
#include <stdint.h>

#include "network.h"

/* Codes ------------------------------------------------------------------- */

/* Longest code that can be searched for, in bytes: distances fit 16 bits. */
#define NN_CODE_MAX 8191

/*
** Latent unit 0 is the most significant bit of byte 0, spare low bits of the
** last byte are 0 (numpy's packbits).  Bit i is logits[i] > 0; NaN gives 0.
** code has (bits+7)/8 bytes.
*/
void nn_code_from_logits(const float *logits, int bits, uint8_t *code);

/* Distances --------------------------------------------------------------- */

/* Number of bits in which two blobs of n bytes differ. */
uint64_t nn_hamming(const void *a, const void *b, size_t n);

/* The kernel that nn_hamming runs on this CPU: "swar" (ordinary arithmetic),
** "popcnt", "avx2", "avx512" or "neon". */
const char *nn_hamming_kernel(void);

/* Nearest ----------------------------------------------------------------- */

/*
** Rows in (distance, rowid) order.  A scan adds every row once, then rows come
** out one by one; there are only bits+1 distances, so nothing is ever sorted by
** comparing distances.  All rows are kept (2 bytes each while rowids are
** consecutive, 10 otherwise, plus what the caller asked to keep), so the rows
** that come out are those that were added, whatever happens to the table
** meanwhile, and no k bounds the stream.
*/
typedef struct nn_nearest nn_nearest;

typedef struct nn_nearest_row {
  int64_t rowid;
  int distance;
  const uint8_t *code;      /* NULL unless codes are kept */
  const uint8_t *payload;   /* NULL unless one was added */
  size_t payload_bytes;
} nn_nearest_row;

/*
** query: a code of n bytes (1 to NN_CODE_MAX), copied.  max_distance: rows
** further away are not kept.  keep_codes: rows come out with their code.
*/
nn_status nn_nearest_open(const nn_memory *mem, const void *query, size_t n,
                          int max_distance, int keep_codes, nn_nearest **out,
                          nn_error *err);
void nn_nearest_close(nn_nearest *nearest);   /* NULL is fine */

/* Add a row whose code has the query's length.  Rowids may come in any order
** but not twice.  payload may be NULL.  O(n). */
nn_status nn_nearest_add(nn_nearest *nearest, int64_t rowid, const void *code,
                         const void *payload, size_t payload_bytes,
                         nn_error *err);

/*
** The next row, or NN_OK with *row->distance = -1 after the last.  `hint` is
** how many rows the caller expects to take in all (0: unknown); it bounds the
** work of the first call, never the rows.  Pointers in the row are valid until
** the next call.
*/
nn_status nn_nearest_next(nn_nearest *nearest, int64_t hint,
                          nn_nearest_row *row, nn_error *err);

/* Pool -------------------------------------------------------------------- */

/*
** The rows with the nearest codes, then in the order of a distance of the
** caller's.  Rows are put in during a scan, then each is given its distance,
** then they are ranked and come out.
*/
typedef struct nn_pool nn_pool;

typedef struct nn_pool_row {
  int64_t rowid;
  double distance;   /* no NaN; below 0: it has none and will not come out */
  int hamming;
  void *held;        /* the caller's, who frees it; NULL where it has none */
} nn_pool_row;

/* query: a code of n bytes (1 to NN_CODE_MAX), copied.  The pool is the `bound`
** nearest rows within max_hamming, in (hamming, rowid) order; 0: all. */
nn_status nn_pool_open(const nn_memory *mem, const void *query, size_t n,
                       int max_hamming, uint64_t bound, nn_pool **out,
                       nn_error *err);
void nn_pool_close(nn_pool *pool);   /* NULL is fine */

/* The Hamming distance of a row that is among the nearest so far, else -1.
** Rowids may come in any order but not twice.  O(n). */
int nn_pool_wants(const nn_pool *pool, int64_t rowid, const void *code);
/* Put in a row that is wanted.  *fallen is the one that falls out for it, its
** hamming -1 if there is none.  O(log rows). */
nn_status nn_pool_put(nn_pool *pool, const nn_pool_row *row,
                      nn_pool_row *fallen, nn_error *err);

size_t nn_pool_count(const nn_pool *pool);
/* Row i, from 0, whose distance and held may be changed before the ranking. */
nn_pool_row *nn_pool_at(nn_pool *pool, size_t i);

/*
** Order the rows by rowid; then rank them, by (distance, rowid), once all have
** their distances.  If poll is not NULL it is asked every few milliseconds;
** when its answer is not 0 the call ends with NN_INTERRUPTED.
*/
nn_status nn_pool_by_rowid(nn_pool *pool, int (*poll)(void *), void *context,
                           nn_error *err);
nn_status nn_pool_rank(nn_pool *pool, int (*poll)(void *), void *context,
                       nn_error *err);
/* The next row, which leaves the pool: 1, or 0 after the last.  O(log rows). */
int nn_pool_next(nn_pool *pool, nn_pool_row *row);

/* Pairs ------------------------------------------------------------------- */

/*
** All pairs of rows whose codes are within a distance of each other, each once,
** in no promised order.  Rows are added, then pairs come out one by one; memory
** is O(rows), however many pairs there are.
*/
typedef struct nn_pairs nn_pairs;

/* code_bytes: 1 to NN_CODE_MAX; max_distance: 0 or more. */
nn_status nn_pairs_open(const nn_memory *mem, size_t code_bytes,
                        int max_distance, nn_pairs **out, nn_error *err);
void nn_pairs_close(nn_pairs *pairs);   /* NULL is fine */

/* Add a row, before the first pair is taken.  Rowids may come in any order but
** not twice.  O(code_bytes). */
nn_status nn_pairs_add(nn_pairs *pairs, int64_t rowid, const void *code,
                       nn_error *err);

/*
** The next pair, *a < *b, or NN_OK with *distance = -1 after the last.  If poll
** is not NULL, it is asked every few milliseconds of work; when its answer is
** not 0 the call ends with NN_INTERRUPTED.  After an error nothing is left but
** to close.
*/
nn_status nn_pairs_next(nn_pairs *pairs, int (*poll)(void *),
                        void *poll_context, int64_t *a, int64_t *b,
                        int *distance, nn_error *err);

/* Blocks ------------------------------------------------------------------ */

/* A block of rows (block.c says what its bytes are) that has been checked.  It
** points into those bytes, which are the caller's. */
typedef struct nn_block {
  const uint8_t *offsets, *planes;
  int64_t base;
  uint64_t stamp;
  int rows, width, code_bytes;
} nn_block;

/* Longest code of a block, in bits. */
#define NN_BLOCK_BITS_MAX 1024

/* XXH64 of n bytes with the seed 0, and its low half. */
uint64_t nn_xxh64(const void *bytes, size_t n);
uint32_t nn_checksum(const void *bytes, size_t n);

/* Bytes of a block, and the narrowest offsets for rows with rising rowids. */
size_t nn_block_size(int rows, int width, int code_bytes);
int nn_block_width(const int64_t *rowids, int rows);

/* Check bytes that may be anything.  NN_ARGUMENT with a sentence for bytes that
** are no sound block of codes of so many bits.  O(size). */
nn_status nn_block_open(const void *data, size_t size, int bits, nn_block *out,
                        nn_error *err);

/* row is 0 to rows - 1. */
int64_t nn_block_rowid(const nn_block *block, int row);
void nn_block_code(const nn_block *block, int row, uint8_t *code);
/* The first row whose rowid is not below this one; rows if there is none. */
int nn_block_find(const nn_block *block, int64_t rowid);

/*
** Write a block of up to 65,535 rows with rising rowids.  codes: (bits+7)/8
** bytes a row, one after the other.  out has room for
** nn_block_size(rows, nn_block_width(rowids, rows), (bits+7)/8) bytes.
*/
void nn_block_write(uint8_t *out, int bits, uint64_t stamp,
                    const int64_t *rowids, const uint8_t *codes, int rows);

/* Planes ------------------------------------------------------------------ */

/*
** The rows of a block whose code is at most `limit` bits from the query, in
** order: their numbers and distances.  Both have room for all rows,
** query has the block's code_bytes.  Returns how many there are.  O(rows).
** next: the block that will be asked for next, which the CPU fetches meanwhile;
** NULL where that is not known.
*/
int nn_block_select(const nn_block *block, const uint8_t *query, int limit,
                    const nn_block *next, uint16_t *rows, uint16_t *distances);

/* The kernel that it runs on this CPU: "swar", "avx2", "avx512" or "neon". */
const char *nn_block_kernel(void);

/* Top --------------------------------------------------------------------- */

/*
** Rows of a sequence of blocks in (distance, rowid) order, found in passes.
** Each pass goes over all blocks, in the order of their rowids, and finds the
** next `want` rows behind the last row of the pass before it.
*/
typedef struct nn_top nn_top;

/* query: (bits+7)/8 bytes, copied; bits 1 to NN_BLOCK_BITS_MAX. */
nn_status nn_top_open(const nn_memory *mem, const void *query, int bits,
                      nn_top **out, nn_error *err);
void nn_top_close(nn_top *top);   /* NULL is fine */

/* Begin a pass for rows whose distance is within min to max.  want: at least 1,
** at most 2^24. */
nn_status nn_top_begin(nn_top *top, uint64_t want, int min, int max,
                       nn_error *err);
/* next: the block that comes next, NULL if that is not known. */
nn_status nn_top_add(nn_top *top, const nn_block *block, const nn_block *next,
                     nn_error *err);
nn_status nn_top_end(nn_top *top, nn_error *err);

/* Blocks in the order of their rowids.  at() is called by several threads. */
typedef struct nn_blocks {
  const nn_block *(*at)(const void *context, size_t i);
  const void *context;
  size_t count;
} nn_blocks;

/*
** nn_top_add of all blocks and nn_top_end in one, by up to `threads` threads,
** the calling one among them, which ask nothing of the allocator.  If poll is
** not NULL the calling thread asks it every few milliseconds; when its answer
** is not 0 the call ends with NN_INTERRUPTED, and the pass has no rows.
*/
nn_status nn_top_sweep(nn_top *top, const nn_blocks *blocks, int threads,
                       int (*poll)(void *), void *poll_context,
                       nn_error *err);
/* The rows of the pass, one by one: 1, or 0 after the last. */
int nn_top_row(nn_top *top, int64_t *rowid, int *distance);
/* Rows compared in all passes.  Once there are enough equal codes none are. */
uint64_t nn_top_compared(const nn_top *top);
/* Passes to come give only rows behind this one. */
void nn_top_after(nn_top *top, int distance, int64_t rowid);

/* Multi-index ------------------------------------------------------------- */

/*
** Multi-index hashing (Norouzi, Punjani and Fleet, CVPR 2012) over blocks.
** Rows are told by block and row within it; the blocks must outlive it.
*/
typedef struct nn_multi nn_multi;

/* Bytes that an index of so many rows holds; 0 where it cannot be made, or a
** scan is always as fast. */
size_t nn_multi_bytes_for(int bits, uint64_t rows);
/* By up to `threads` threads, the calling one among them, which asks poll, if
** that is not NULL, every few milliseconds; when the answer is not 0 the build
** ends with NN_INTERRUPTED.  O(rows * substrings). */
nn_status nn_multi_build(const nn_memory *mem, int bits, const nn_block *blocks,
                         size_t block_count, int threads, int (*poll)(void *),
                         void *poll_context, nn_multi **out, nn_error *err);
void nn_multi_close(nn_multi *multi);   /* NULL is fine */
size_t nn_multi_bytes(const nn_multi *multi);

/* A query: distances 0, 1, 2, ... one step each. */
typedef struct nn_probe nn_probe;

/*
** budget: what the steps may cost in all.  No step that would be over it is to
** be done, and rows that only such a step could give are not remembered.  Nor
** are those farther than max, and than the distance within which there are
** `wanted` rows: steps beyond that cost more than anyone will pay.
*/
nn_status nn_probe_open(const nn_memory *mem, const nn_multi *multi,
                        const void *query, uint64_t budget, int max,
                        uint64_t wanted, nn_probe **out, nn_error *err);
void nn_probe_close(nn_probe *probe);   /* NULL is fine */
/* Candidates and buckets that the next step will look at. */
uint64_t nn_probe_cost(const nn_probe *probe);
/* Step t = 0, 1, ...: afterwards nn_probe_row gives the rows at distance t. */
nn_status nn_probe_step(nn_probe *probe, nn_error *err);
/* They come in the order of blocks and rows; 0 after the last. */
int nn_probe_row(nn_probe *probe, uint32_t *block, uint32_t *row);

#endif

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

/*
** Euclidean and cosine distance (1 - cosine) of two vectors of n float32,
** little-endian, of any alignment; sums are double.  The cosine distance of a
** vector of zeros is 1.
*/
double nn_euclidean(const void *a, const void *b, size_t n);
double nn_cosine(const void *a, const void *b, size_t n);

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

#endif

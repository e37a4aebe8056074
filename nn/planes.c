/*
** Which rows of a block are near a query: the inner loop of the index.
**
** A block keeps codes in planes, byte j of all its rows together (block.c), so
** the distance of many rows at once is a sum over planes of the bits in which
** a byte differs from the query's:
**
**   swar     8 rows in a 64-bit word, ordinary arithmetic; the reference is one
**            row at a time
**   avx2     64 rows in two registers, a nibble looked up by PSHUFB
**   avx512   64 rows with VPOPCNTB (AVX-512 BITALG)
**   neon     16 rows with CNT
**
** A sum is a byte for each row, added with saturation.  That is exact up to 31
** planes (248 bits); of 32, a sum of 255 may stand for 256 and is looked at
** once more.  Of longer codes the sums of groups of 31 planes are added up in
** 16 bits.
**
** Hardly any row is near enough: a whole vector is compared with the limit, and
** gives a bit for each row that passes, so that only those are looked at one by
** one.  The last rows of a block are done by a vector that ends with the block
** and leaves out the rows that were done before; blocks smaller than a vector
** go row by row.  So nothing is read beside the planes.
**
** All planes are read of all rows.  The first five of eight rule out all but
** three rows in a thousand once ten of ten million are found, and the others
** could be read of those alone.  But memory is fetched ahead in runs of lines,
** and a scan that leaves out the end of each block takes no less time; where
** all is in the caches already there are too few rows for it to matter.
**
** The bytes of a block come from as many places as there are planes, too short
** each for the CPU to see where it goes on, and the next block lies in another
** page, where the CPU does not look ahead at all.  So for every byte that is
** compared one of the next block is asked for; then a scan is about as fast as
** reading the same bytes and adding them up.  Asking for a whole block at once
** would fill the CPU's list of what is on its way, and have it wait.
**
** Each kernel is compiled for its instruction set by an attribute and chosen
** once from nn_cpu_features.  A test runs all that the CPU has against
** nn_hamming.
*/
#include <string.h>

#include "nn_int.h"

#if defined(__x86_64__)
#include <immintrin.h>
#define PLANES_X86 1
#elif defined(__aarch64__)
#include <arm_neon.h>
#define PLANES_NEON 1
#endif

#define PLANES_GROUP 31   /* planes whose sum fits a byte */
#define PLANES_BYTE 32    /* planes whose sum does but for the last */
#define PLANES_LINE 64    /* bytes that the CPU fetches at a time */

/* The rows that were found so far, and how far the next block is fetched. */
typedef struct planes_found {
  uint16_t *rows, *distances;
  int count;
  const uint8_t *next;
  size_t fetched, size;
} planes_found;

static planes_found planes_begin(const nn_block *next, uint16_t *rows,
                                 uint16_t *distances) {
  planes_found found = {rows, distances, 0, NULL, 0, 0};
  if (next) {
    found.next = next->planes;
    found.size = (size_t)next->rows * (size_t)next->code_bytes;
  }
  return found;
}

static void planes_add(planes_found *found, int row, int distance) {
  found->rows[found->count] = (uint16_t)row;
  found->distances[found->count++] = (uint16_t)distance;
}

#define PLANES_INLINE __attribute__((always_inline)) static inline

/* Have the CPU fetch the next block as far as this one has been read. */
PLANES_INLINE void planes_fetch(planes_found *found, size_t read) {
  size_t to = read < found->size ? read : found->size;
  for (; found->fetched < to; found->fetched += PLANES_LINE)
    __builtin_prefetch(found->next + found->fetched);
}

/* One row. */
static int planes_distance(const nn_block *block, const uint8_t *query,
                           int row) {
  const uint8_t *p = block->planes + row;
  int sum = 0;
  for (int i = 0; i < block->code_bytes; i++, p += block->rows)
    sum += (int)nn_popcount64((uint64_t)(*p ^ query[i]));
  return sum;
}

static void planes_rows(const nn_block *block, const uint8_t *query, int limit,
                        int from, int to, planes_found *found) {
  for (int row = from; row < to; row++) {
    int distance = planes_distance(block, query, row);
    if (distance <= limit) planes_add(found, row, distance);
  }
}

static int planes_scalar(const nn_block *block, const uint8_t *query, int limit,
                         const nn_block *next, uint16_t *rows,
                         uint16_t *distances) {
  planes_found found = planes_begin(next, rows, distances);
  planes_rows(block, query, limit, 0, block->rows, &found);
  return found.count;
}

/*
** A kernel is a function that sums planes for one vector of rows, a byte each,
** into `sums`: NARROW(p, stride, query, planes, limit, sums), and returns a bit
** for each row, the lowest for the first, that is 1 if it may be within the
** limit.  What goes around it is the same for all of them, and is put together
** by this macro, so that each is compiled for its own instruction set.  For 48
** and 64 bits it is compiled once more with the number of planes known, which
** is three times as fast.
*/
#define PLANES_KERNEL(NAME, TARGET, LANES, NARROW)                            \
  TARGET static void NAME##_wide(const nn_block *block, const uint8_t *query, \
                                 int limit, int at, int from,                 \
                                 planes_found *found) {                       \
    uint8_t sums[LANES];                                                      \
    uint16_t totals[LANES] = {0};                                             \
    for (int plane = 0; plane < block->code_bytes; plane += PLANES_GROUP) {   \
      int planes = block->code_bytes - plane;                                 \
      if (planes > PLANES_GROUP) planes = PLANES_GROUP;                       \
      NARROW(block->planes + (size_t)plane * (size_t)block->rows + at,        \
             (size_t)block->rows, query + plane, planes, 255, sums);          \
      for (int i = 0; i < LANES; i++)                                         \
        totals[i] = (uint16_t)(totals[i] + sums[i]);                          \
    }                                                                         \
    for (int i = from - at; i < LANES; i++)                                   \
      if (totals[i] <= limit) planes_add(found, at + i, totals[i]);           \
  }                                                                           \
  TARGET PLANES_INLINE void NAME##_vector(                                    \
      const nn_block *block, const uint8_t *query, int planes, int limit,     \
      int at, int from, planes_found *found) {                                \
    uint8_t sums[LANES];                                                      \
    planes_fetch(found, (size_t)(at + LANES) * (size_t)planes);               \
    if (planes > PLANES_BYTE) {                                               \
      NAME##_wide(block, query, limit, at, from, found);                      \
      return;                                                                 \
    }                                                                         \
    uint64_t near = NARROW(block->planes + at, (size_t)block->rows, query,    \
                           planes, limit, sums);                              \
    near &= ~(uint64_t)0 << (from - at);                                      \
    for (; near; near &= near - 1) {                                          \
      int i = __builtin_ctzll(near), sum = sums[i];                           \
      if (sum == 255) sum = planes_distance(block, query, at + i);            \
      if (sum <= limit) planes_add(found, at + i, sum);                       \
    }                                                                         \
  }                                                                           \
  TARGET PLANES_INLINE void NAME##_all(const nn_block *block,                 \
                                       const uint8_t *query, int planes,      \
                                       int limit, planes_found *found) {      \
    int at = 0;                                                               \
    for (; at + LANES <= block->rows; at += LANES)                            \
      NAME##_vector(block, query, planes, limit, at, at, found);              \
    if (at < block->rows)                                                     \
      NAME##_vector(block, query, planes, limit, block->rows - LANES, at,     \
                    found);                                                   \
  }                                                                           \
  TARGET static int NAME(const nn_block *block, const uint8_t *query,         \
                         int limit, const nn_block *next, uint16_t *rows,     \
                         uint16_t *distances) {                               \
    planes_found found = planes_begin(next, rows, distances);                 \
    if (block->rows < LANES)                                                  \
      planes_rows(block, query, limit, 0, block->rows, &found);               \
    else if (block->code_bytes == 6)                                          \
      NAME##_all(block, query, 6, limit, &found);                             \
    else if (block->code_bytes == 8)                                          \
      NAME##_all(block, query, 8, limit, &found);                             \
    else                                                                      \
      NAME##_all(block, query, block->code_bytes, limit, &found);             \
    return found.count;                                                       \
  }

/* swar --------------------------------------------------------------------- */

PLANES_INLINE uint64_t planes_swar_narrow(
    const uint8_t *p, size_t stride, const uint8_t *query, int planes,
    int limit, uint8_t *sums) {
  const uint64_t ones = 0x0101010101010101u;
  uint64_t sum = 0;
  (void)limit;
  for (int i = 0; i < planes; i++, p += stride) {
    uint64_t x;
    memcpy(&x, p, 8);
    x ^= query[i] * ones;
    x -= x >> 1 & 0x55 * ones;
    x = (x & 0x33 * ones) + (x >> 2 & 0x33 * ones);
    x = (x + (x >> 4)) & 0x0f * ones;
    /* The last of 32 planes may carry out of a byte, from 248 with 8. */
    if (i == PLANES_GROUP) x -= x >> 3 & sum >> 7 & sum >> 6 & sum >> 5 &
                                sum >> 4 & sum >> 3 & ones;
    sum += x;
  }
  memcpy(sums, &sum, 8);
  return 0xff;   /* all are looked at */
}

PLANES_KERNEL(planes_swar, , 8, planes_swar_narrow)

#ifdef PLANES_X86

/* avx2 --------------------------------------------------------------------- */

#define PLANES_AVX2 NN_TARGET("avx2")

PLANES_AVX2 PLANES_INLINE __m256i planes_avx2_bits(const uint8_t *p, __m256i q,
                                                   __m256i table, __m256i low) {
  __m256i x = _mm256_xor_si256(_mm256_loadu_si256((const __m256i *)p), q);
  __m256i high = _mm256_and_si256(_mm256_srli_epi16(x, 4), low);
  return _mm256_add_epi8(_mm256_shuffle_epi8(table, _mm256_and_si256(x, low)),
                         _mm256_shuffle_epi8(table, high));
}

/* Two registers of rows, so that one waits while the other works. */
PLANES_AVX2 PLANES_INLINE uint64_t planes_avx2_narrow(
    const uint8_t *p, size_t stride, const uint8_t *query, int planes,
    int limit, uint8_t *sums) {
  const __m256i table = _mm256_setr_epi8(
      0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4,
      0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
  const __m256i low = _mm256_set1_epi8(15);
  __m256i a = _mm256_setzero_si256(), b = a;
  for (int i = 0; i < planes; i++, p += stride) {
    __m256i q = _mm256_set1_epi8((char)query[i]);
    a = _mm256_adds_epu8(a, planes_avx2_bits(p, q, table, low));
    b = _mm256_adds_epu8(b, planes_avx2_bits(p + 32, q, table, low));
  }
  __m256i most = _mm256_set1_epi8((char)(limit > 255 ? 255 : limit));
  __m256i near_a = _mm256_cmpeq_epi8(_mm256_min_epu8(a, most), a);
  __m256i near_b = _mm256_cmpeq_epi8(_mm256_min_epu8(b, most), b);
  _mm256_storeu_si256((__m256i *)sums, a);
  _mm256_storeu_si256((__m256i *)(sums + 32), b);
  return (uint32_t)_mm256_movemask_epi8(near_a) |
         (uint64_t)(uint32_t)_mm256_movemask_epi8(near_b) << 32;
}

PLANES_KERNEL(planes_avx2, PLANES_AVX2, 64, planes_avx2_narrow)

/* avx512 ------------------------------------------------------------------- */

#define PLANES_AVX512 NN_TARGET("avx512f,avx512bw,avx512bitalg")

PLANES_AVX512 PLANES_INLINE uint64_t planes_avx512_narrow(
    const uint8_t *p, size_t stride, const uint8_t *query, int planes,
    int limit, uint8_t *sums) {
  __m512i sum = _mm512_setzero_si512();
  for (int i = 0; i < planes; i++, p += stride) {
    __m512i x = _mm512_xor_si512(_mm512_loadu_si512(p),
                                 _mm512_set1_epi8((char)query[i]));
    sum = _mm512_adds_epu8(sum, _mm512_popcnt_epi8(x));
  }
  __m512i most = _mm512_set1_epi8((char)(limit > 255 ? 255 : limit));
  _mm512_storeu_si512(sums, sum);
  return _mm512_cmple_epu8_mask(sum, most);
}

PLANES_KERNEL(planes_avx512, PLANES_AVX512, 64, planes_avx512_narrow)

#endif

#ifdef PLANES_NEON

/* neon --------------------------------------------------------------------- */

PLANES_INLINE uint64_t planes_neon_narrow(
    const uint8_t *p, size_t stride, const uint8_t *query, int planes,
    int limit, uint8_t *sums) {
  uint8x16_t sum = vdupq_n_u8(0);
  for (int i = 0; i < planes; i++, p += stride)
    sum = vqaddq_u8(sum, vcntq_u8(veorq_u8(vld1q_u8(p), vdupq_n_u8(query[i]))));
  uint8x16_t most = vdupq_n_u8((uint8_t)(limit > 255 ? 255 : limit));
  uint8x16_t near = vcleq_u8(sum, most);
  if (vmaxvq_u8(near) == 0) return 0;
  vst1q_u8(sums, sum);
  /* A bit of each byte that is 0xff, those of eight rows added up. */
  static const uint8_t place[16] = {1, 2, 4, 8, 16, 32, 64, 128,
                                   1, 2, 4, 8, 16, 32, 64, 128};
  near = vandq_u8(near, vld1q_u8(place));
  return vaddv_u8(vget_low_u8(near)) |
         (uint64_t)vaddv_u8(vget_high_u8(near)) << 8;
}

PLANES_KERNEL(planes_neon, , 16, planes_neon_narrow)

#endif

/* Dispatch ----------------------------------------------------------------- */

/* From the plain one to the fastest, each with what it needs of the CPU. */
static const struct {
  nn_select_form form;
  unsigned needs;
} planes_forms[] = {
    {{"scalar", planes_scalar}, 0},
    {{"swar", planes_swar}, 0},
#ifdef PLANES_X86
    {{"avx2", planes_avx2}, NN_CPU_AVX2},
    {{"avx512", planes_avx512}, NN_CPU_BITALG},
#endif
#ifdef PLANES_NEON
    {{"neon", planes_neon}, 0},
#endif
};
#define PLANES_FORMS ((int)(sizeof(planes_forms) / sizeof(*planes_forms)))

const nn_select_form *nn_select_kernels(int i) {
  unsigned cpu = nn_cpu_features();
  for (int j = 0; j < PLANES_FORMS; j++)
    if ((planes_forms[j].needs & ~cpu) == 0 && i-- == 0)
      return &planes_forms[j].form;
  return NULL;
}

static const nn_select_form *planes_best(void) {
  const nn_select_form *form = NULL, *next;
  for (int i = 0; (next = nn_select_kernels(i)) != NULL; i++) form = next;
  return form;
}

static int planes_choose(const nn_block *block, const uint8_t *query, int limit,
                         const nn_block *next, uint16_t *rows,
                         uint16_t *distances);

/* The kernel to run, found out by the first call of the process. */
static int (*planes_run)(const nn_block *, const uint8_t *, int,
                         const nn_block *, uint16_t *, uint16_t *) =
    planes_choose;

static int planes_choose(const nn_block *block, const uint8_t *query, int limit,
                         const nn_block *next, uint16_t *rows,
                         uint16_t *distances) {
  __atomic_store_n(&planes_run, planes_best()->run, __ATOMIC_RELAXED);
  return nn_block_select(block, query, limit, next, rows, distances);
}

int nn_block_select(const nn_block *block, const uint8_t *query, int limit,
                    const nn_block *next, uint16_t *rows, uint16_t *distances) {
  if (limit < 0) return 0;
  return __atomic_load_n(&planes_run, __ATOMIC_RELAXED)(
      block, query, limit, next, rows, distances);
}

const char *nn_block_kernel(void) { return planes_best()->name; }

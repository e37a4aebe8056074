/*
** What the kernels of integer networks share: integer.c picks a form, whose
** functions are its own or those of vnni.c, amx.c and requantise.c; and what
** cpu.c says of AMX.
*/
#ifndef BINHASH_NN_INTEGERS_H
#define BINHASH_NN_INTEGERS_H

#include <string.h>

#include "nn_int.h"

/* Tiles of integer.c and vnni.c: functions for a constant number of rows, whose
** sums must end in registers, and a switch over that number. */
#define NN_INT_TILE static inline __attribute__((always_inline)) void
#ifdef __clang__
#define NN_INT_UNROLL _Pragma("clang loop unroll(full)")
#else
#define NN_INT_UNROLL _Pragma("GCC unroll 16")
#endif
#define NN_INT_CASE(tile, r)                    \
  case r:                                       \
    tile(r, taps, quads, in, weight, out);      \
    break;
#define NN_INT_CASES4(tile, r)                               \
  NN_INT_CASE(tile, (r) + 1) NN_INT_CASE(tile, (r) + 2)      \
  NN_INT_CASE(tile, (r) + 3) NN_INT_CASE(tile, (r) + 4)

#define NN_INT_BYTES (NN_INT_BLOCK * 4)   /* weights of a tap and quad */

/* Four bytes for a broadcast. */
static inline int32_t nn_int_quad(const uint8_t *p) {
  int32_t x;
  memcpy(&x, p, 4);
  return x;
}

/* requantise.c: `bytes` of the forms. */
#define NN_BYTES(name)                                                   \
  void name(int rows, int n, const int32_t *acc, const int32_t *bias,    \
            const int32_t *m, const int32_t *s, int zero, int max,       \
            uint8_t *out, size_t stride)
NN_BYTES(nn_bytes_scalar);
#ifdef __x86_64__
NN_BYTES(nn_bytes_avx2);
NN_BYTES(nn_bytes_avx512);
#endif

/* vnni.c. */
#ifdef __x86_64__
#define NN_AVXVNNI_ROWS 6
#define NN_VNNI_ROWS 16
/* Older compilers do not know the name. */
#if (defined(__clang__) ? __clang_major__ >= 13 : __GNUC__ >= 11)
#define NN_AVXVNNI_KERNEL 1
void nn_avxvnni_sums(int rows, int taps, int quads, const uint8_t *const *in,
                     const int8_t *weight, int32_t *out);
#endif
void nn_vnni_sums(int rows, int taps, int quads, const uint8_t *const *in,
                  const int8_t *weight, int32_t *out);
void nn_vnni_many(int blocks, size_t apart, int rows, size_t quads,
                  const uint8_t *in, size_t stride, const int8_t *weight,
                  int32_t *out);
#endif

/* Compilers that know the instructions; the permission is Linux's. */
#if defined(__x86_64__) && defined(__linux__) && \
    (defined(__clang__) ? __clang_major__ >= 12 : __GNUC__ >= 11)
#define NN_AMX_KERNEL 1
#else
#define NN_AMX_KERNEL 0
#endif

/* Compilers that can compile one function for more than the rest of the build,
** or a build that is for such CPUs as a whole. */
#ifdef __aarch64__
#if defined(__clang__) ? __clang_major__ >= 16 : __GNUC__ >= 10
#define NN_INT_DOT NN_TARGET("arch=armv8.2-a+dotprod")
#define NN_INT_I8MM NN_TARGET("arch=armv8.2-a+dotprod+i8mm")
#else
#ifdef __ARM_FEATURE_DOTPROD
#define NN_INT_DOT
#endif
#ifdef __ARM_FEATURE_MATMUL_INT8
#define NN_INT_I8MM
#endif
#endif
#endif

/* amx.c: rows of a tile and of a call. */
#if NN_AMX_KERNEL
#define NN_AMX_SIDE 16
#define NN_AMX_ROWS (2 * NN_AMX_SIDE)
void nn_amx_open(void);
void nn_amx_close(void);
void nn_amx_many(int blocks, size_t apart, int rows, size_t quads,
                 const uint8_t *in, size_t stride, const int8_t *weight,
                 int32_t *out);
#endif

/* cpu.c: what AMX needs, one by one. */
enum {
  NN_AMX_HAS_KERNEL = 1 << 0,    /* this build */
  NN_AMX_HAS_TILE = 1 << 1,      /* the CPU: AMX-TILE, */
  NN_AMX_HAS_INT8 = 1 << 2,      /* AMX-INT8, */
  NN_AMX_HAS_PALETTE = 1 << 3,   /* 8 tiles of 16 rows of 64 bytes, */
  NN_AMX_HAS_VNNI = 1 << 4,      /* AVX-512 with VNNI, and zmm by the system */
  NN_AMX_HAS_STATE = 1 << 5,     /* the system: XCR0 has both parts */
  NN_AMX_HAS_ALL = (1 << 6) - 1
};

/* Why there is no permission: the sentence for what is missing, or for the
** errno with which the system refused.  NN_OK for all and 0. */
nn_status nn_amx_verdict(unsigned has, int refused, nn_error *err);
/* Has the process the permission?  A system call where the CPU has AMX. */
int nn_amx_permitted(void);

#endif

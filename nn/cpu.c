/*
** What this CPU can do, found out once.
**
** The library is built for the baseline of its architecture, and a few kernels
** are compiled a second time for more (GCC's and Clang's target attribute).
** Whether one of those may run is decided here and nowhere else.  An
** instruction set counts only if the operating system saves its registers too:
** __builtin_cpu_supports asks cpuid and xgetbv both, so AVX2 on a kernel that
** does not save ymm reads as absent.
**
** The answer is a fact about the process that never changes, so it may be kept:
** threads that race here write the same number.  It serves hamming(),
** binhash_topk and whatever else dispatches; nothing here sets a mode of the
** CPU or asks the system for a permission (AMX needs one, and is not here).
*/
#include "nn_int.h"

#define CPU_KNOWN (1u << 31)   /* tells "nothing" from "not asked yet" */

#if defined(__x86_64__) || defined(__i386__)

static unsigned cpu_ask(void) {
  unsigned mask = 0;
  /* Needed where this runs before libgcc's own constructor has. */
  __builtin_cpu_init();
  if (__builtin_cpu_supports("popcnt")) mask |= NN_CPU_POPCNT;
  if (__builtin_cpu_supports("avx2")) mask |= NN_CPU_AVX2;
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512vpopcntdq"))
    mask |= NN_CPU_AVX512;
  return mask;
}

#else

/* NEON is part of the baseline of aarch64: there is nothing to ask. */
static unsigned cpu_ask(void) { return 0; }

#endif

unsigned nn_cpu_features(void) {
  static unsigned known;
  unsigned mask = __atomic_load_n(&known, __ATOMIC_RELAXED);
  if (!mask) {
    mask = cpu_ask() | CPU_KNOWN;
    __atomic_store_n(&known, mask, __ATOMIC_RELAXED);
  }
  return mask & ~CPU_KNOWN;
}

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

/* For builds that test what a lesser CPU would run. */
#ifndef NN_CPU_MASK
#define NN_CPU_MASK (~0u)
#endif

/* For builds that emulate all of it (tests/emulated/). */
#ifdef NN_CPU_EMULATED

static unsigned cpu_ask(void) { return ~0u; }

#elif defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>

/* Some compilers' __builtin_cpu_supports does not know this one's name.  Its
** registers are AVX2's, by which the system's part is answered. */
static int cpu_has_avxvnni(void) {
  unsigned a, b, c, d;
  /* Leaf 7 itself says how many leaves lie under it. */
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) && a >= 1 &&
         __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> 4 & 1);
}

static unsigned cpu_ask(void) {
  unsigned mask = 0;
  /* Needed where this runs before libgcc's own constructor has. */
  __builtin_cpu_init();
  if (__builtin_cpu_supports("popcnt")) mask |= NN_CPU_POPCNT;
  if (__builtin_cpu_supports("avx2")) mask |= NN_CPU_AVX2;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    mask |= NN_CPU_FMA;
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl"))
    mask |= NN_CPU_AVX512F;
  if (mask & NN_CPU_AVX512F && __builtin_cpu_supports("avx512vpopcntdq"))
    mask |= NN_CPU_AVX512;
  if (__builtin_cpu_supports("avx2") && cpu_has_avxvnni())
    mask |= NN_CPU_AVXVNNI;
  if (mask & NN_CPU_AVX512F && __builtin_cpu_supports("avx512vnni"))
    mask |= NN_CPU_AVX512VNNI;
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512bitalg"))
    mask |= NN_CPU_BITALG;
  return mask;
}

#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>

#define CPU_ASIMDDP (1ul << 20)   /* HWCAP_ASIMDDP, which old headers lack */

/* NEON is part of the baseline: only what came later is asked for. */
static unsigned cpu_ask(void) {
  return getauxval(AT_HWCAP) & CPU_ASIMDDP ? NN_CPU_DOTPROD : 0;
}

#else

static unsigned cpu_ask(void) { return 0; }

#endif

unsigned nn_cpu_features(void) {
  static unsigned known;
  unsigned mask = __atomic_load_n(&known, __ATOMIC_RELAXED);
  if (!mask) {
    mask = (cpu_ask() & NN_CPU_MASK) | CPU_KNOWN;
    __atomic_store_n(&known, mask, __ATOMIC_RELAXED);
  }
  return mask & ~CPU_KNOWN;
}

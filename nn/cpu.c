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
** binhash_topk and whatever else dispatches.
**
** AMX is the exception.  Linux gives a process its tiles only on request, since
** they are 8 KB more to save of every thread that uses them, also in its signal
** frames, and there is no giving back.  So nothing here asks for that but
** nn_amx_request, which binhash_config('amx', 1) calls, and what is known of
** the permission is asked of the system each time, a tenth of a microsecond
** for each forward pass that wants tiles: a fork inherits it, and another
** library of the same process may have got it.
*/
#define _DEFAULT_SOURCE 1   /* syscall */
#include <errno.h>

#include "integers.h"

#define CPU_KNOWN (1u << 31)   /* tells "nothing" from "not asked yet" */

/* For builds that test what a lesser CPU would run. */
#ifndef NN_CPU_MASK
#define NN_CPU_MASK (~0u)
#endif

/* For builds that emulate all of it (tests/emulated/). */
#ifdef NN_CPU_EMULATED

static unsigned cpu_ask(void) { return ~0u; }
static unsigned cpu_amx(void) { return NN_AMX_HAS_ALL; }

#elif defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>

/* Some compilers' __builtin_cpu_supports does not know these names.  Their
** registers are AVX2's or SSE's, by which the system's part is answered. */
static int cpu_has_f16c(void) {
  unsigned a, b, c, d;
  return __get_cpuid(1, &a, &b, &c, &d) && (c >> 29 & 1);
}

static int cpu_has_sha(void) {
  unsigned a, b, c, d;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b >> 29 & 1);
}

static int cpu_has_avxvnni(void) {
  unsigned a, b, c, d;
  /* Leaf 7 itself says how many leaves lie under it. */
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) && a >= 1 &&
         __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> 4 & 1);
}

#if NN_AMX_KERNEL

#define CPU_TILES (3u << 17)   /* of XCR0: TILECFG and TILEDATA */

/* What the system lets a process use, if it lets ask: XGETBV is there. */
static int cpu_has_tile_state(void) {
  unsigned a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !(c >> 27 & 1)) return 0;
  __asm__ __volatile__("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
  return (a & CPU_TILES) == CPU_TILES;
}

static unsigned cpu_amx(void) {
  unsigned a, b, c, d, has = NN_AMX_HAS_KERNEL;
  __builtin_cpu_init();
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) {
    if (d >> 24 & 1) has |= NN_AMX_HAS_TILE;
    if (d >> 25 & 1) has |= NN_AMX_HAS_INT8;
  }
  if (has & NN_AMX_HAS_TILE && __get_cpuid_count(0x1d, 1, &a, &b, &c, &d) &&
      a >> 16 >= 1024 && (b & 0xffff) >= 64 && b >> 16 >= 8 &&
      (c & 0xffff) >= 16) {
    has |= NN_AMX_HAS_PALETTE;
  }
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512vnni")) {
    has |= NN_AMX_HAS_VNNI;
  }
  if (cpu_has_tile_state()) has |= NN_AMX_HAS_STATE;
  return has;
}

#else

static unsigned cpu_amx(void) { return 0; }

#endif

static unsigned cpu_ask(void) {
  unsigned mask = 0;
  /* Needed where this runs before libgcc's own constructor has. */
  __builtin_cpu_init();
  if (__builtin_cpu_supports("popcnt")) mask |= NN_CPU_POPCNT;
  if (__builtin_cpu_supports("avx2")) mask |= NN_CPU_AVX2;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    mask |= NN_CPU_FMA;
  if (__builtin_cpu_supports("avx2") && cpu_has_f16c()) mask |= NN_CPU_F16C;
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
  if (__builtin_cpu_supports("sse4.1") && cpu_has_sha()) mask |= NN_CPU_SHA;
  if (cpu_amx() == NN_AMX_HAS_ALL) mask |= NN_CPU_AMX;
  return mask;
}

#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>

/* HWCAP_ASIMDDP, HWCAP2_I8MM, AT_HWCAP2, which old headers lack */
#define CPU_ASIMDDP (1ul << 20)
#define CPU_I8MM (1ul << 13)
#define CPU_HWCAP2 26

/* NEON is part of the baseline: only what came later is asked for. */
static unsigned cpu_ask(void) {
  unsigned mask = 0;
  if (getauxval(AT_HWCAP) & CPU_ASIMDDP) mask |= NN_CPU_DOTPROD;
  if (getauxval(CPU_HWCAP2) & CPU_I8MM) mask |= NN_CPU_I8MM;
  return mask;
}

static unsigned cpu_amx(void) { return 0; }

#else

static unsigned cpu_ask(void) { return 0; }
static unsigned cpu_amx(void) { return 0; }

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

/* AMX --------------------------------------------------------------------- */

#if NN_AMX_KERNEL && !defined(NN_CPU_EMULATED)
#include <sys/syscall.h>
#include <unistd.h>

/* Of <asm/prctl.h>, which older systems have without them. */
#define CPU_GET_PERMISSION 0x1022   /* ARCH_GET_XCOMP_PERM */
#define CPU_ASK_PERMISSION 0x1023   /* ARCH_REQ_XCOMP_PERM */
#define CPU_TILE_DATA 18            /* the part of the state that it is about */

static int cpu_is_permitted(void) {
  uint64_t parts = 0;
  int saved = errno;
  long rc = syscall(SYS_arch_prctl, CPU_GET_PERMISSION, &parts);
  errno = saved;
  return rc == 0 && (parts >> CPU_TILE_DATA & 1);
}

/* 0, or the errno. */
static int cpu_permission(void) {
  int saved = errno, refused = 0;
  if (syscall(SYS_arch_prctl, CPU_ASK_PERMISSION, CPU_TILE_DATA)) {
    refused = errno;
  }
  errno = saved;
  return refused;
}

#elif defined(NN_CPU_EMULATED)

static int cpu_is_permitted(void) { return 1; }
static int cpu_permission(void) { return 0; }

#else

static int cpu_is_permitted(void) { return 0; }
static int cpu_permission(void) { return EINVAL; }

#endif

int nn_amx_permitted(void) {
  return nn_cpu_features() & NN_CPU_AMX && cpu_is_permitted();
}

nn_status nn_amx_verdict(unsigned has, int refused, nn_error *err) {
  static const struct {
    unsigned needs;
    const char *text;
  } missing[] = {
      {NN_AMX_HAS_KERNEL, "this build has no AMX kernel, which is for Linux on "
                          "x86-64 and made by GCC 11 or clang 12 and later"},
      {NN_AMX_HAS_TILE, "this CPU has no AMX (amx_tile)"},
      {NN_AMX_HAS_INT8, "this CPU's AMX has no integers (amx_int8)"},
      {NN_AMX_HAS_PALETTE, "this CPU's tiles are not 8 of 16 rows of 64 bytes"},
      {NN_AMX_HAS_VNNI, "the AMX kernel also needs AVX-512 with VNNI "
                        "(avx512_vnni), which this CPU or system has not"},
      {NN_AMX_HAS_STATE, "this CPU has AMX, but the system does not save its "
                         "tiles: Linux does from 5.16 on"}};
  err->status = NN_OK;
  err->text[0] = 0;
  for (size_t i = 0; i < sizeof(missing) / sizeof(*missing); i++) {
    if (missing[i].needs & ~has) {
      return nn_fail(err, NN_ARGUMENT, "%s", missing[i].text);
    }
  }
  switch (refused) {
    case 0: return NN_OK;
    case EINVAL:
    case ENOSYS:
      return nn_fail(err, NN_ARGUMENT, "this system cannot be asked for AMX: "
                     "Linux can from 5.16 on (arch_prctl, error %d)", refused);
    case EOPNOTSUPP:
      return nn_fail(err, NN_ARGUMENT, "the system has AMX turned off "
                     "(arch_prctl, error %d)", refused);
    case ENOSPC:
      return nn_fail(err, NN_ARGUMENT, "a thread's stack for signals "
                     "(sigaltstack) has no room for 8 KB of tiles "
                     "(arch_prctl, error %d)", refused);
    default: break;
  }
  return nn_fail(err, NN_ARGUMENT, "the system refuses AMX (arch_prctl, error "
                 "%d)", refused);
}

nn_status nn_amx_request(nn_error *err) {
  unsigned has = cpu_amx();
  if (has == NN_AMX_HAS_ALL && !(nn_cpu_features() & NN_CPU_AMX)) {
    has &= ~(unsigned)NN_AMX_HAS_TILE;   /* masked (NN_CPU_MASK) */
  }
  return nn_amx_verdict(has, has == NN_AMX_HAS_ALL ? cpu_permission() : 0, err);
}

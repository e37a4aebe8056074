/*
** Memory and errors: the two things that every other file of nn takes from
** its caller.
**
** The allocator is injected (network.h).  Kernels want 64-byte alignment and
** most allocators promise 8 or 16, so a block carries, in the bytes just below
** what is handed out, the address that the allocator gave.  Requests are
** bounded by NN_ALLOC_MAX, since SQLite's allocator stops near 2 GiB and a
** request of that size is a hostile header more often than a need.
**
** For memory that is read over and over, the system can be asked for large
** pages: the CPU then finds 2 MB by one address where it would take 512.  They
** are not for whatever is large: where a virtual machine has given memory back
** to its host, such pages come from there, and cost more than they save a
** multi-index.
*/
#define _DEFAULT_SOURCE   /* madvise with -std=c11 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nn_int.h"

#ifdef __linux__
#include <sys/mman.h>
#endif

#define MEMORY_ALIGN 64
#define MEMORY_PAGE ((uintptr_t)2 << 20)

static void *memory_libc_alloc(void *context, size_t n) {
  (void)context;
  return malloc(n);
}

static void memory_libc_release(void *context, void *p) {
  (void)context;
  free(p);
}

const nn_memory nn_memory_libc = {memory_libc_alloc, memory_libc_release, NULL};

void *nn_alloc(const nn_memory *mem, size_t n) {
  if (n > NN_ALLOC_MAX - MEMORY_ALIGN - sizeof(void *)) return NULL;
  char *base = mem->alloc(mem->context, n + MEMORY_ALIGN + sizeof(void *));
  if (!base) return NULL;
  uintptr_t p = (uintptr_t)base + sizeof(void *) + MEMORY_ALIGN - 1;
  char *block = base + ((p & ~(uintptr_t)(MEMORY_ALIGN - 1)) - (uintptr_t)base);
  memcpy(block - sizeof(void *), &base, sizeof(void *));
  return block;
}

void *nn_zalloc(const nn_memory *mem, size_t n) {
  void *p = nn_alloc(mem, n);
  if (p) memset(p, 0, n);
  return p;
}

void nn_free(const nn_memory *mem, void *p) {
  if (!p) return;
  void *base;
  memcpy(&base, (char *)p - sizeof(void *), sizeof(void *));
  mem->release(mem->context, base);
}

void nn_large_pages(void *p, size_t n) {
#ifdef MADV_HUGEPAGE
  uintptr_t from = ((uintptr_t)p + MEMORY_PAGE - 1) & ~(MEMORY_PAGE - 1);
  uintptr_t to = ((uintptr_t)p + n) & ~(MEMORY_PAGE - 1);
  if (from < to) madvise((void *)from, to - from, MADV_HUGEPAGE);
#else
  (void)p, (void)n;
#endif
}

size_t nn_mul(size_t a, size_t b) {
  return b && a > SIZE_MAX / b ? SIZE_MAX : a * b;
}

nn_status nn_fail(nn_error *err, nn_status status, const char *format, ...) {
  va_list args;
  va_start(args, format);
  err->status = status;
  vsnprintf(err->text, sizeof(err->text), format, args);
  va_end(args);
  return status;
}

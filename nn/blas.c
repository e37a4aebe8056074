/*
** The one file that knows cblas: it finds a BLAS library when a float32 network
** first needs one, and multiplies matrices through it.
**
** Loading OpenBLAS starts its threads, and integer networks run without it, so
** loading the extension must not load it: the library is opened by name at the
** first forward pass and kept for the life of the process.  What was found is a
** fact about the process and set once; a search that failed is repeated by the
** next caller, so a library installed meanwhile is found.  With NN_STATIC_BLAS
** the linked symbols are used instead and nothing is searched.
**
** The number of threads is the host's and the user's (OPENBLAS_NUM_THREADS):
** openblas_set_num_threads is never called, since it would change it for the
** whole process.
*/
#include <cblas.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#ifndef NN_STATIC_BLAS
#include <dlfcn.h>
#endif

#include "nn_int.h"

struct nn_blas {
  void (*sgemm)(CBLAS_ORDER, CBLAS_TRANSPOSE, CBLAS_TRANSPOSE, blasint,
                blasint, blasint, float, const float *, blasint, const float *,
                blasint, float, float *, blasint);
  void (*sgemv)(CBLAS_ORDER, CBLAS_TRANSPOSE, blasint, blasint, float,
                const float *, blasint, const float *, blasint, float, float *,
                blasint);
  char name[128];
};

static pthread_mutex_t blas_lock = PTHREAD_MUTEX_INITIALIZER;
static nn_blas blas_library;                  /* written once, under the lock */
static _Atomic(const nn_blas *) blas_found;   /* it, when it is complete */

#ifdef NN_STATIC_BLAS

static int blas_search(nn_blas *blas) {
  blas->sgemm = cblas_sgemm;
  blas->sgemv = cblas_sgemv;
  snprintf(blas->name, sizeof(blas->name), "%s", openblas_get_config());
  return 1;
}

#else

/* A function's address out of dlsym, whose void * ISO C does not convert. */
static int blas_symbol(void *library, const char *name, void *function) {
  void *address = dlsym(library, name);
  memcpy(function, &address, sizeof(address));
  return address != NULL;
}

static int blas_search(nn_blas *blas) {
  static const char *const names[] = {"libopenblas.so.0", "libopenblas.so",
                                      "libcblas.so.3", "libblas.so.3"};
  for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
    char *(*config)(void);
    void *library = dlopen(names[i], RTLD_LAZY | RTLD_LOCAL);
    if (!library) continue;
    if (blas_symbol(library, "cblas_sgemm", &blas->sgemm) &&
        blas_symbol(library, "cblas_sgemv", &blas->sgemv)) {
      const char *name = names[i];
      if (blas_symbol(library, "openblas_get_config", &config)) {
        name = config();
      }
      snprintf(blas->name, sizeof(blas->name), "%s", name);
      return 1;
    }
    dlclose(library);
  }
  return 0;
}

#endif

const nn_blas *nn_blas_get(nn_error *err) {
  const nn_blas *found =
      atomic_load_explicit(&blas_found, memory_order_acquire);
  if (found) return found;
  pthread_mutex_lock(&blas_lock);
  found = atomic_load_explicit(&blas_found, memory_order_relaxed);
  if (!found && blas_search(&blas_library)) {
    found = &blas_library;
    atomic_store_explicit(&blas_found, found, memory_order_release);
  }
  pthread_mutex_unlock(&blas_lock);
  if (!found) {
    nn_fail(err, NN_NO_BLAS,
            "this model computes in float32, which needs OpenBLAS, and none "
            "was found: install it (on Debian: apt-get install libopenblas0)");
  }
  return found;
}

const char *nn_blas_name(void) {
  nn_error err;
  const nn_blas *blas = nn_blas_get(&err);
  return blas ? blas->name : NULL;
}

void nn_blas_sgemm(const nn_blas *blas, int transpose_b, int m, int n, int k,
                   const float *a, int lda, const float *b, int ldb, float *c,
                   int ldc) {
  blas->sgemm(CblasRowMajor, CblasNoTrans,
              transpose_b ? CblasTrans : CblasNoTrans, m, n, k, 1, a, lda, b,
              ldb, 0, c, ldc);
}

void nn_blas_sgemv(const nn_blas *blas, int m, int n, const float *a,
                   const float *x, float *y) {
  /* y starts as zeros and not as beta = 0, which some releases of OpenBLAS
  ** multiply with what lies there, and what lies there may be NaN */
  memset(y, 0, (size_t)m * sizeof(*y));
  blas->sgemv(CblasRowMajor, CblasNoTrans, m, n, 1, a, n, x, 1, 1, y, 1);
}

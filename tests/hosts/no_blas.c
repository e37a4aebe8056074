/*
** LD_PRELOAD this to make a machine look as if it had no BLAS library.
*/
#include <dlfcn.h>
#include <string.h>

void *dlopen(const char *name, int flags) {
  void *(*real)(const char *, int);
  void *symbol = dlsym(RTLD_NEXT, "dlopen");
  if (name && strstr(name, "blas")) return NULL;
  memcpy(&real, &symbol, sizeof(real));
  return real(name, flags);
}

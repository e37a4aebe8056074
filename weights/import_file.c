/*
** Files that are read by binhash-import, and the protocol buffers in them.
**
** A file is mapped, so that 228 MB of weights are paged in as they are read.
** protobuf-c checks what it unpacks but not how much memory that takes: an
** empty message of two bytes becomes a struct of some hundred, so a file of
** 100 MB could ask for 10 GB.  It unpacks into memory that is counted here, and
** fails when that passes a bound which no honest file comes near.
*/
#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "import.h"

/* What unpacking n bytes may take: numbers are stored as they are, packed ones
** of one byte become eight at most, and small messages need some room. */
#define FILE_UNPACKED(n) (2 * (n) + ((size_t)64 << 20))

typedef struct import_map {
  struct import_map *next;
  void *bytes;
  size_t n;
} import_map;

nn_status import_map_open(import *im, int fd, const uint8_t **bytes,
                          size_t *n) {
  struct stat s;
  import_map *map = import_alloc(im, 1, sizeof(*map));
  if (!map) return NN_NOMEM;
  int failed = fstat(fd, &s) < 0 ? errno : 0;
  *bytes = NULL;
  *n = !failed && S_ISREG(s.st_mode) ? (size_t)s.st_size : 0;
  if (!failed && *n) {
    map->bytes = mmap(NULL, *n, PROT_READ, MAP_PRIVATE, fd, 0);
    if (map->bytes == MAP_FAILED) failed = errno;
  }
  if (failed) return import_fail(im, NULL, "%s", strerror(failed));
  if (!*n) return import_fail(im, NULL, "not a file with something in it");
  map->n = *n;
  map->next = im->maps;
  im->maps = map;
  *bytes = map->bytes;
  return NN_OK;
}

nn_status import_map_file(import *im, const char *path, const uint8_t **bytes,
                          size_t *n) {
  im->file = path;
  int fd = open(path, O_RDONLY);
  if (fd < 0) return import_fail(im, NULL, "%s", strerror(errno));
  nn_status status = import_map_open(im, fd, bytes, n);
  close(fd);
  return status;
}

void import_close(import *im) {
  for (import_map *map = im->maps; map; map = map->next) {
    munmap(map->bytes, map->n);
  }
  import_free_chunks(im);
}

/* Protocol buffers --------------------------------------------------------- */

typedef struct file_unpacking {
  import *im;
  size_t left;
} file_unpacking;

static void *file_take(void *context, size_t n) {
  file_unpacking *u = context;
  size_t taken = n + IMPORT_ALIGN;   /* at most */
  if (taken < n || taken > u->left) return NULL;
  u->left -= taken;
  return import_alloc(u->im, n, 1);
}

/* It lies in the arena, which is freed as a whole. */
static void file_release(void *context, void *p) {
  (void)context;
  (void)p;
}

nn_status import_unpack(import *im, const ProtobufCMessageDescriptor *type,
                        const char *what, const uint8_t *bytes, size_t n,
                        ProtobufCMessage **out) {
  file_unpacking u = {im, FILE_UNPACKED(n)};
  ProtobufCAllocator allocator = {file_take, file_release, &u};
  *out = protobuf_c_message_unpack(type, &allocator, n, bytes);
  if (*out) return NN_OK;
  if (im->error[0]) return NN_NOMEM;
  return import_fail(im, NULL, "not %s, or cut short", what);
}

/*
** Any bytes as a picture: what nn does with them must be an error or pixels
** that its header promised, never a crash, a leak or undefined behaviour.
**
**   clang -g -O1 -fsanitize=fuzzer,address,undefined \
**     tests/fuzz/fuzz_picture.c nn/{picture,jpeg,huffman,container,gif}.c \
**     nn/{resize,memory}.c -o fuzz_picture
**   ./fuzz_picture -max_len=65536 CORPUS tests/golden/pictures
**
** With -DFUZZ_MAIN it has a main of its own that runs the files it is given.
** mutate_picture.c runs it on mutations that are the same every time.
*/
#include <stdint.h>
#include <stdlib.h>

#include "../../nn/network.h"
#include "../unit/test_util.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
  nn_error err;
  nn_picture_info info;
  nn_picture picture;
  nn_status status = nn_picture_read_info(bytes, n, &info, &err);
  if (status && (status != NN_PICTURE || !err.text[0])) abort();
  nn_status decoded = nn_picture_decode(&nn_memory_libc, bytes, n, 1 << 20,
                                        &picture, &err);
  if (decoded) {
    if (!err.text[0] || decoded == NN_ARGUMENT) abort();
    return 0;
  }
  if (status || info.width != picture.width || info.height != picture.height) {
    abort();
  }
  uint8_t small[8 * 8 * 3];
  if (nn_resize(&nn_memory_libc, &picture, 0, 0, picture.width, picture.height,
                NN_AREA, 8, 8, small, &err)) {
    abort();
  }
  nn_picture_free(&nn_memory_libc, &picture);
  return 0;
}

#ifdef FUZZ_MAIN
int main(int argc, char **argv) {
  for (int i = 1; i < argc; i++) {
    size_t n;
    uint8_t *bytes = test_read_file(argv[i], &n);
    if (!bytes) return 1;
    LLVMFuzzerTestOneInput(bytes, n);
    free(bytes);
  }
  return 0;
}
#endif

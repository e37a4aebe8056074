/*
** Any bytes as a picture: what nn does with them must be an error or pixels
** that its header promised, never a crash, a leak or undefined behaviour.  What
** is a picture in full is one at reduced scale.
**
**   clang -g -O1 -fsanitize=fuzzer,address,undefined \
**     tests/fuzz/fuzz_picture.c \
**     nn/[a-z]*.c -lpthread -ldl -lm -o fuzz_picture
**   ./fuzz_picture -max_len=65536 CORPUS tests/golden/pictures
**
** With -DFUZZ_MAIN it has a main of its own that runs the files it is given.
** mutate_picture.c runs it on mutations that are the same every time.
*/
#include <stdint.h>
#include <stdlib.h>

#include "../../nn/jpeg.h"
#include "../../nn/pictures.h"
#include "../unit/test_util.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void resize(const nn_picture *picture) {
  nn_error err;
  uint8_t small[8 * 8 * 3];
  if (nn_resize(&nn_memory_libc, picture, 0, 0, picture->width,
                picture->height, NN_AREA, 8, 8, small, &err)) {
    abort();
  }
}

/* As networks of several sizes see it: blocks become 1 to 64 samples. */
static void reduce(const uint8_t *bytes, size_t n, nn_status full) {
  static const nn_preprocess needs[] = {
      {.reduced = 1, .area = 1, .width = 1, .height = 1},
      {.reduced = 1, .area = 1, .width = 4, .height = 4},
      {.reduced = 2, .area = 1, .crop = 1, .width = 5, .height = 4},
      {.reduced = 1, .area = 1, .width = 12, .height = 16}};
  for (size_t i = 0; i < sizeof(needs) / sizeof(*needs); i++) {
    nn_error err;
    nn_picture picture, view;
    nn_status status = nn_picture_decode_as(&nn_memory_libc, &needs[i], bytes,
                                            n, 1 << 20, &picture, &err);
    if (status) {
      if (!err.text[0] || status == NN_ARGUMENT || !full) abort();
      continue;
    }
    for (int v = 0; v < NN_VIEW_COUNT; v++) {
      nn_view(&picture, v, &view);
      resize(&view);
    }
    nn_picture_free(&nn_memory_libc, &picture);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
  nn_error err;
  nn_picture_info info;
  nn_picture picture;
  nn_status status = nn_picture_read_info(bytes, n, &info, &err);
  if (status && (status != NN_PICTURE || !err.text[0])) abort();
  nn_status decoded = nn_picture_decode(&nn_memory_libc, bytes, n, 1 << 20,
                                        &picture, &err);
  reduce(bytes, n, decoded);
  if (decoded) {
    if (!err.text[0] || decoded == NN_ARGUMENT) abort();
    return 0;
  }
  if (status || info.width != picture.width || info.height != picture.height) {
    abort();
  }
  resize(&picture);
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

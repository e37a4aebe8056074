/*
** Codes and distances: the bits of a code, every Hamming kernel that this CPU
** can run against a count by bits.
*/
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "../../nn/nn_int.h"

static uint64_t random_state = 88172645463325252u;

static uint64_t random64(void) {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return random_state;
}

/* The definition. */
static uint64_t count_by_bits(const uint8_t *a, const uint8_t *b, size_t n) {
  uint64_t sum = 0;
  for (size_t i = 0; i < 8 * n; i++)
    sum += (uint64_t)((a[i / 8] ^ b[i / 8]) >> (7 - i % 8) & 1);
  return sum;
}

static void code_layout(void **state) {
  (void)state;
  float logits[20];
  uint8_t code[4] = {0xaa, 0xaa, 0xaa, 0xaa};
  for (int i = 0; i < 20; i++) logits[i] = -1;
  logits[0] = 0.5f;         /* unit 0: the highest bit of byte 0 */
  logits[7] = 1e-30f;       /* the lowest */
  logits[8] = INFINITY;
  logits[9] = 0;            /* zero, of either sign, gives 0 */
  logits[10] = -0.0f;
  logits[11] = NAN;
  logits[19] = 3;
  nn_code_from_logits(logits, 20, code);
  const uint8_t expected[4] = {0x81, 0x80, 0x10, 0xaa};
  assert_memory_equal(code, expected, 4);   /* no byte beyond (20+7)/8 */

  nn_code_from_logits(logits, 1, code);
  assert_int_equal(code[0], 0x80);
  assert_int_equal(code[1], 0x80);
}

static void kernels_are_listed(void **state) {
  (void)state;
  const nn_hamming_form *last = NULL, *form;
  assert_string_equal(nn_hamming_kernels(0)->name, "scalar");
  for (int i = 0; (form = nn_hamming_kernels(i)) != NULL; i++) last = form;
  assert_string_equal(nn_hamming_kernel(), last->name);
#ifdef __aarch64__
  assert_string_equal(last->name, "neon");
#endif
}

/* Every kernel, length and alignment around the widths of registers.  The
** blobs end where their allocation ends, so that the address sanitizer sees a
** byte read too many. */
static void kernels_agree(void **state) {
  (void)state;
  for (size_t n = 0; n <= 300; n++) {
    for (size_t shift = 0; shift < 4; shift++) {
      uint8_t *a = malloc(n + shift + 1), *b = malloc(n + shift + 1);
      uint8_t *p = a + shift + 1, *q = b + shift + 1;
      for (size_t i = 0; i < n; i++) {
        p[i] = (uint8_t)random64();
        q[i] = shift == 3 ? (uint8_t)~p[i] : (uint8_t)random64();
      }
      uint64_t expected = count_by_bits(p, q, n);
      const nn_hamming_form *form;
      for (int i = 0; (form = nn_hamming_kernels(i)) != NULL; i++)
        if (form->run(p, q, n) != expected)
          fail_msg("%s: %llu instead of %llu bits of %zu bytes", form->name,
                   (unsigned long long)form->run(p, q, n),
                   (unsigned long long)expected, n);
      assert_int_equal(nn_hamming(p, q, n), expected);
      free(a);
      free(b);
    }
  }
}

/* No counter within a kernel overflows on long blobs that differ everywhere. */
static void long_blobs(void **state) {
  (void)state;
  size_t n = 1000003;
  uint8_t *a = malloc(n), *b = malloc(n);
  memset(a, 0x00, n);
  memset(b, 0xff, n);
  const nn_hamming_form *form;
  for (int i = 0; (form = nn_hamming_kernels(i)) != NULL; i++)
    assert_int_equal(form->run(a, b, n), 8 * n);
  free(a);
  free(b);
}

static void every_single_bit(void **state) {
  (void)state;
  uint8_t a[80] = {0}, b[80] = {0};
  for (int bit = 0; bit < 640; bit++) {
    b[bit / 8] = (uint8_t)(1 << bit % 8);
    const nn_hamming_form *form;
    for (int i = 0; (form = nn_hamming_kernels(i)) != NULL; i++)
      for (size_t n = 0; n <= 80; n += 1 + n / 16)
        assert_int_equal(form->run(a, b, n), (size_t)(bit / 8) < n);
    b[bit / 8] = 0;
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(code_layout),
      cmocka_unit_test(kernels_are_listed),
      cmocka_unit_test(kernels_agree),
      cmocka_unit_test(long_blobs),
      cmocka_unit_test(every_single_bit),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}

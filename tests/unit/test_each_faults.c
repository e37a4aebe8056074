/*
** img_hash_each while memory runs out (statement_faults.h), with one thread and
** with several, whose memory is asked for on the statement's.
*/
#include <stdio.h>

#include "statement_faults.h"

/* Pictures of 4 x 4 pixels, and what is none; a small model, since thousands of
** them are hashed. */
static const char setup[] =
    "CREATE TABLE p(id INTEGER PRIMARY KEY, image BLOB);"
    "WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3)"
    " INSERT INTO p SELECT i, CAST(x'"
    "424d660000000000000036000000280000000400"
    "0000040000000100180000000000300000000000"
    "0000000000000000000000000000' || substr(x'"
    "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee"
    "48bb3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d"
    "', i, 48) AS BLOB) FROM n;"
    "INSERT INTO p VALUES (6, NULL), (7, 'text'), (8, x'424d'), (9, x'');"
    "CREATE TABLE codes(id INTEGER PRIMARY KEY, code BLOB, error TEXT);"
    "SELECT binhash_load('exact', 'build/tests/models/exact.safetensors');";

static const char *const statements[] = {
    "SELECT key, code, error FROM img_hash_each('SELECT id, image FROM p',"
    " 'exact')",
    "SELECT key, features FROM img_hash_each('SELECT ''key '' || id, image"
    " FROM p WHERE id > ?1', 'exact', 1) WHERE total = 7",
    "INSERT OR REPLACE INTO codes SELECT key, code, error FROM"
    " img_hash_each('SELECT id, image FROM p', 'exact') RETURNING id",
    "SELECT key FROM img_hash_each('SELECT key, NULL FROM"
    " img_hash_each(''SELECT id, image FROM p'', ''exact'')', 'exact')",
    "SELECT key FROM img_hash_each('SELECT id, img_hash(image, ''exact'')"
    " FROM p', 'exact')",
    "SELECT key, code FROM img_hash_each('SELECT id, image FROM p"
    " WHERE id = 1')",   /* of the default model */
    "SELECT key FROM img_hash_each('SELECT id FROM p')",   /* errors */
    "SELECT key FROM img_hash_each('SELECT 1, 2', 'nosuch')",
    "SELECT key FROM img_hash_each('SELECT ?1, ?1')",
};

#define COUNT (sizeof(statements) / sizeof(*statements))

static void with_threads(int threads, int persists) {
  char text[4096];
  snprintf(text, sizeof(text), "%sSELECT binhash_config('threads', %d);",
           setup, threads);
  each_fault(text, statements, COUNT, persists);
}

static void one_thread(void **state) {
  (void)state;
  with_threads(1, 0);
  with_threads(1, 1);
}

static void two_threads(void **state) {
  (void)state;
  with_threads(2, 0);
  with_threads(2, 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(one_thread),
      cmocka_unit_test(two_threads),
  };
  faults_configure();
  return cmocka_run_group_tests(tests, NULL, NULL);
}

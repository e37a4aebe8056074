/*
** Loading the extension starts no thread and loads no BLAS; nor do comparing
** codes, searching and hashing by the compiled-in model.  The first float32
** network does where our kernels do not know the CPU, which "blas" says.
**
**     quiet_host EXTENSION [blas]
*/
#include <dirent.h>

#include "host.h"

static int quiet_threads(void) {
  int n = 0;
  DIR *tasks = opendir("/proc/self/task");
  for (struct dirent *e; tasks && (e = readdir(tasks));)
    n += e->d_name[0] != '.';
  if (tasks) closedir(tasks);
  return n;
}

static int quiet_maps_blas(void) {
  char line[4096];
  int found = 0;
  FILE *maps = fopen("/proc/self/maps", "r");
  while (maps && fgets(line, sizeof(line), maps))
    found |= strstr(line, "blas") != NULL;
  if (maps) fclose(maps);
  return found;
}

int main(int argc, char **argv) {
  char out[256];
  sqlite3 *db = NULL;
  int n;
  unsigned char *picture = host_read(HOST_PICTURES "420.jpg", &n);
  host_ok(sqlite3_open(":memory:", &db) == SQLITE_OK &&
          host_load(db, argc > 1 ? argv[1] : "./build/binhash") == SQLITE_OK,
          "quiet: loads");
  host_ok(quiet_threads() == 1, "quiet: loading starts no thread");
  host_ok(!quiet_maps_blas(), "quiet: loading maps no BLAS");
  host_sql(db, "CREATE TABLE t(code)", NULL, 0, out, sizeof(out));
  host_sql(db, "INSERT INTO t VALUES (x'00'), (x'ff')", NULL, 0, out,
           sizeof(out));
  host_ok(host_sql(db, "SELECT hamming(x'01', x'00') + sum(distance) + "
                   "(SELECT sum(is_default) FROM binhash_models) FROM "
                   "binhash_topk('t', 'code', x'00')", NULL, 0, out,
                   sizeof(out)) == SQLITE_OK && strcmp(out, "10") == 0,
          "quiet: compares, searches and lists models");
  host_ok(host_sql(db, "SELECT img_info(?1), img_error(?1)", picture, n, out,
                   sizeof(out)) == SQLITE_OK, "quiet: reads a picture");
  host_ok(host_sql(db, "SELECT hex(img_hash(?1))", picture, n, out,
                   sizeof(out)) == SQLITE_OK,
          "quiet: hashes by the compiled-in model");
  host_ok(quiet_threads() == 1 && !quiet_maps_blas(),
          "quiet: none of it needs a thread or a BLAS");
  host_ok(host_sql(db, "SELECT binhash_load('tiny', "
                   "'build/tests/models/tiny.safetensors')", NULL, 0, out,
                   sizeof(out)) == SQLITE_OK &&
          host_sql(db, "SELECT hex(img_hash(?1, 'tiny'))", picture, n, out,
                   sizeof(out)) == SQLITE_OK && strlen(out) == 4,
          "quiet: hashes by a float32 network");
  if (argc > 2) {
    host_ok(quiet_maps_blas(), "quiet: for which it found a BLAS");
  }
  host_ok(sqlite3_close(db) == SQLITE_OK, "quiet: closes");
  free(picture);
  return host_done();
}

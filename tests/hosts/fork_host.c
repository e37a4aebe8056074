/*
** A process that uses the extension, forks, and goes on on both sides: OpenBLAS
** has started threads by then, which the child does not have.
**
**     fork_host EXTENSION
*/
#include <sys/wait.h>
#include <unistd.h>

#include "host.h"

static const char *fork_extension;
static unsigned char *fork_picture;
static int fork_bytes;

/* The code of the picture through a connection of its own. */
static int fork_hash(char *out, size_t room) {
  sqlite3 *db = NULL;
  int rc = sqlite3_open(":memory:", &db);
  if (rc == SQLITE_OK) rc = host_load(db, fork_extension);
  if (rc == SQLITE_OK)
    rc = host_sql(db, "SELECT hex(img_hash(?1))", fork_picture, fork_bytes, out,
                  room);
  return sqlite3_close(db) == SQLITE_OK && rc == SQLITE_OK;
}

/* Hash in a child and bring its code back. */
static int fork_child_hash(char *out, size_t room) {
  int pipes[2], status = -1;
  fflush(stdout);
  if (pipe(pipes)) return 0;
  pid_t child = fork();
  if (child == 0) {
    char code[64] = "";
    alarm(60);   /* a child that hangs is a failure, not a wait */
    int good = fork_hash(code, sizeof(code));
    _exit(good && write(pipes[1], code, strlen(code)) > 0 ? 0 : 1);
  }
  close(pipes[1]);
  ssize_t n = read(pipes[0], out, room - 1);
  out[n > 0 ? n : 0] = 0;
  close(pipes[0]);
  return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

int main(int argc, char **argv) {
  char first[64] = "", code[64] = "";
  fork_extension = argc > 1 ? argv[1] : "./build/binhash";
  fork_picture = host_read(HOST_PICTURES "420.jpg", &fork_bytes);
  host_ok(fork_child_hash(code, sizeof(code)) && strlen(code) == 16,
          "fork: a child hashes before its parent did");
  host_ok(fork_hash(first, sizeof(first)) && strcmp(first, code) == 0,
          "fork: the parent gets the same code");
  host_ok(fork_child_hash(code, sizeof(code)) && strcmp(first, code) == 0,
          "fork: a child of a parent that has hashed");
  host_ok(fork_hash(code, sizeof(code)) && strcmp(first, code) == 0,
          "fork: the parent goes on");
  host_ok(fork_child_hash(code, sizeof(code)) && strcmp(first, code) == 0,
          "fork: another child");
  free(fork_picture);
  return host_done();
}

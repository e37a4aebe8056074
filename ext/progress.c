/*
** How far a long statement is:
**
**   SELECT binhash_config('progress', 'stderr');
**   SELECT model FROM binhash_train('SELECT image, label FROM photos');
**
** A line a second at most, as 'binhash_train: 12000 rows', goes to stderr or, as
** an SQLITE_NOTICE, to sqlite3_log.  Off by default: an extension does not write
** where the host has not asked it to.
*/
#define _GNU_SOURCE   /* clock_gettime with -std=c11 */
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "train_int.h"
SQLITE_EXTENSION_INIT3

enum { PROGRESS_OFF, PROGRESS_LOG, PROGRESS_STDERR };   /* settings.c */

double bh_seconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

int bh_progress_due(bh_progress *p) {
  if (p->connection->config.progress == PROGRESS_OFF) return 0;
  double now = bh_seconds();
  if (now - p->last < 1) return 0;
  p->last = now;
  return 1;
}

void bh_progress_tell(const bh_progress *p, const char *format, ...) {
  char line[200];
  va_list args;
  va_start(args, format);
  sqlite3_vsnprintf(sizeof(line), line, format, args);
  va_end(args);
  if (p->connection->config.progress == PROGRESS_LOG)
    sqlite3_log(SQLITE_NOTICE, "%s: %s", p->function, line);
  else if (p->connection->config.progress == PROGRESS_STDERR)
    fprintf(stderr, "%s: %s\n", p->function, line);
}

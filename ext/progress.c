/*
** Progress of what takes long:
**
**   SELECT binhash_config('progress', 'stderr');
**   img_hash_each: 1200 of 5000 done, 310 a second, 12 s left
**
** A line at most once a second and connection, however many statements it runs,
** so that a loop over short statements says neither nothing nor too much.  The
** rate is that of this statement so far.  'log' gives the line to sqlite3_log,
** which is the host's to show; 'stderr' is the one place of binhash that writes
** to a stream, and only when asked.
*/
#define _GNU_SOURCE   /* clock_gettime with -std=c11 */
#include <stdio.h>
#include <time.h>

#include "progress.h"
SQLITE_EXTENSION_INIT3

enum { PROGRESS_OFF, PROGRESS_LOG, PROGRESS_STDERR };

sqlite3_int64 bh_clock(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (sqlite3_int64)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void bh_progress_begin(bh_progress *p, bh_connection *c,
                       const char *function) {
  p->connection = c;
  p->function = function;
  p->began = bh_clock();
  if (!c->progress_told) c->progress_told = p->began;
}

void bh_progress_tell(const bh_progress *p, sqlite3_int64 done,
                      sqlite3_int64 total) {
  char line[200], of[32] = "", left[32] = "";
  bh_connection *c = p->connection;
  if (c->config.progress == PROGRESS_OFF) return;
  sqlite3_int64 now = bh_clock();
  if (now - c->progress_told < 1000) return;
  c->progress_told = now;
  double seconds = (double)(now - p->began + 1) / 1000;
  double rate = (double)done / seconds;
  if (total >= done) {
    sqlite3_snprintf(sizeof(of), of, " of %lld", total);
    if (done)
      sqlite3_snprintf(sizeof(left), left, ", %.0f s left",
                       (double)(total - done) / rate);
  }
  sqlite3_snprintf(sizeof(line), line, "%s: %lld%s done, %.*f a second%s",
                   p->function, done, of, rate < 10 ? 1 : 0, rate, left);
  if (c->config.progress == PROGRESS_LOG)
    sqlite3_log(SQLITE_NOTICE, "%s", line);
  else
    fprintf(stderr, "%s\n", line);
}

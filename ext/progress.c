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
#include <stdarg.h>
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

/* Is a line wanted?  Then it is written. */
static int progress_is_due(bh_connection *c, sqlite3_int64 now) {
  if (c->config.progress == PROGRESS_OFF || now - c->progress_told < 1000)
    return 0;
  c->progress_told = now;
  return 1;
}

static void progress_write(const bh_progress *p, const char *line) {
  if (p->connection->config.progress == PROGRESS_LOG)
    sqlite3_log(SQLITE_NOTICE, "%s: %s", p->function, line);
  else
    fprintf(stderr, "%s: %s\n", p->function, line);
}

void bh_progress_tell(const bh_progress *p, sqlite3_int64 done,
                      sqlite3_int64 total) {
  char line[160], of[32] = "", left[32] = "";
  sqlite3_int64 now = bh_clock();
  if (!progress_is_due(p->connection, now)) return;
  double seconds = (double)(now - p->began + 1) / 1000;
  double rate = (double)done / seconds;
  if (total >= done) {
    sqlite3_snprintf(sizeof(of), of, " of %lld", total);
    if (done)
      sqlite3_snprintf(sizeof(left), left, ", %.0f s left",
                       (double)(total - done) / rate);
  }
  sqlite3_snprintf(sizeof(line), line, "%lld%s done, %.*f a second%s", done,
                   of, rate < 10 ? 1 : 0, rate, left);
  progress_write(p, line);
}

void bh_progress_say(const bh_progress *p, const char *format, ...) {
  char line[160];
  va_list args;
  if (!progress_is_due(p->connection, bh_clock())) return;
  va_start(args, format);
  sqlite3_vsnprintf(sizeof(line), line, format, args);
  va_end(args);
  progress_write(p, line);
}

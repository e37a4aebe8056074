/*
** How far a statement that takes long has come, for whoever asked to be told.
*/
#ifndef BINHASH_PROGRESS_H
#define BINHASH_PROGRESS_H

#include "ext_int.h"

typedef struct bh_progress {
  bh_connection *connection;
  const char *function;
  sqlite3_int64 began;         /* bh_clock */
} bh_progress;

/* Milliseconds of a clock that only goes forward. */
sqlite3_int64 bh_clock(void);

void bh_progress_begin(bh_progress *progress, bh_connection *connection,
                       const char *function);
/* `done` so far, of `total`, -1 where that is not known.  Call it as often as
** you like: it says something at most once a second. */
void bh_progress_tell(const bh_progress *progress, sqlite3_int64 done,
                      sqlite3_int64 total);
/* The same in other words. */
void bh_progress_say(const bh_progress *progress, const char *format, ...);

#endif

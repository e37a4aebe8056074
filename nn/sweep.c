/*
** A pass over many blocks: what a search in the index does, on as many threads
** as its blocks are worth.
**
** Blocks are handed out a few at a time, in the order of their rowids, to
** whichever thread is free (team.c).  Each thread has a pass of its own (top.c)
** and so finds the nearest of the rows that it saw; since it sees its blocks in
** order as well, those are the right ones among rows at one distance too.  The
** rows of all are then merged by (distance, rowid).  Which thread took which
** block is never seen in a result.
**
** A thread that has found enough rows tells the others how far the last of them
** is, and what is farther than that they need not keep, for a part of all rows
** alone would let them look farther than one thread that sees all of them.
**
** Threads cost some 50 microseconds to start, and a scan reads about 20 GB/s,
** so a thread is worth starting for SWEEP_SHARE bytes.  Memory is taken before
** they start; where there is not enough, fewer will do.  The calling thread,
** which is one of them, is also the one that asks whether to stop.
*/
#include "sweep.h"

#define SWEEP_SHARE ((uint64_t)8 << 20)
#define SWEEP_BLOCKS 64        /* handed out at a time */
#define SWEEP_POLL 4096        /* blocks between two questions */

typedef struct sweep {
  const nn_blocks *blocks;
  nn_top *tops[NN_TEAM_MAX];   /* of each thread; the first is the caller's */
  int threads;
  int (*poll)(void *);
  void *poll_context;
  size_t unasked;              /* blocks since the last question */
  atomic_int limit, stopped;
} sweep;

static const nn_block *sweep_block(const sweep *s, size_t i) {
  return s->blocks->at(s->blocks->context, i);
}

static void sweep_task(void *context, size_t task, int worker) {
  sweep *s = context;
  nn_error err;
  size_t from = task * SWEEP_BLOCKS, to = from + SWEEP_BLOCKS;
  if (s->stopped) return;
  if (worker == 0 && (s->unasked += SWEEP_BLOCKS) >= SWEEP_POLL) {
    s->unasked = 0;
    if (s->poll && s->poll(s->poll_context)) {
      s->stopped = 1;
      return;
    }
  }
  if (to > s->blocks->count) to = s->blocks->count;
  for (size_t i = from; i < to; i++) {
    const nn_block *next = i + 1 < to ? sweep_block(s, i + 1) : NULL;
    /* It can only want memory, and has it. */
    nn_top_add(s->tops[worker], sweep_block(s, i), next, &err);
  }
}

/* Passes for threads beside the caller's, as far as there is memory. */
static void sweep_open(sweep *s, int threads, int rows) {
  nn_error err;
  for (s->threads = 1; s->threads < threads; s->threads++) {
    nn_top **top = &s->tops[s->threads];
    if (nn_top_twin(s->tops[0], top, &err) != NN_OK) return;
    if (nn_top_reserve(*top, rows, &err) != NN_OK) {
      nn_top_close(*top);
      return;
    }
    nn_top_share(*top, &s->limit);
  }
}

nn_status nn_top_sweep_by(nn_top *top, const nn_blocks *blocks, int threads,
                          int (*poll)(void *), void *poll_context,
                          nn_error *err) {
  sweep s = {.blocks = blocks, .tops = {top}, .poll = poll,
             .poll_context = poll_context, .limit = NN_BLOCK_BITS_MAX};
  nn_team *team = NULL;
  int rows = 0;
  for (size_t i = 0; i < blocks->count; i++)
    if (sweep_block(&s, i)->rows > rows) rows = sweep_block(&s, i)->rows;
  nn_status status = nn_top_reserve(top, rows, err);
  if (status != NN_OK) return status;
  sweep_open(&s, threads, rows);
  if (s.threads > 1) {
    nn_top_share(top, &s.limit);
    nn_memory mem = nn_top_memory(top);
    /* Without a team the caller does it all. */
    if (nn_team_open(&mem, s.threads, &team, err) != NN_OK) team = NULL;
  }
  nn_team_run(team, nn_pieces(blocks->count, SWEEP_BLOCKS), sweep_task, &s);
  nn_team_close(team);
  if (s.stopped) status = nn_fail(err, NN_INTERRUPTED, "interrupted");
  for (int i = 0; status == NN_OK && i < s.threads; i++)
    status = nn_top_end(s.tops[i], err);
  if (status == NN_OK && s.threads > 1) nn_top_merge(s.tops, s.threads);
  nn_top_share(top, NULL);
  for (int i = 1; i < s.threads; i++) nn_top_close(s.tops[i]);
  return status;
}

nn_status nn_top_sweep(nn_top *top, const nn_blocks *blocks, int threads,
                       int (*poll)(void *), void *poll_context,
                       nn_error *err) {
  uint64_t bytes = 0;
  for (size_t i = 0; i < blocks->count; i++) {
    const nn_block *block = blocks->at(blocks->context, i);
    bytes += (uint64_t)block->rows * (uint64_t)block->code_bytes;
  }
  uint64_t worth = bytes / SWEEP_SHARE;
  if (threads > NN_TEAM_MAX) threads = NN_TEAM_MAX;
  if ((uint64_t)threads > worth) threads = worth > 1 ? (int)worth : 1;
  return nn_top_sweep_by(top, blocks, threads, poll, poll_context, err);
}

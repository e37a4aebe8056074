/*
** Memory for worker threads: lent by the thread that owns the allocator.
**
** The allocator is the host's and may belong to one thread: SQLite's is not
** safe for others in every build, and its heap limit is the statement's to
** keep.  How much a picture needs is known only to its decoder, in the middle
** of its work.  So a worker that needs memory asks for it and sleeps, and the
** owner, who waits for the workers anyway, calls the allocator and answers.
**
** That costs two switches of threads, some ten microseconds, and while the
** owner is busy elsewhere it costs a worker its time.  Pictures of a library
** are alike, though: what nn gives back is kept for the next request of about
** that size, so that the second picture of a kind asks for nothing.  What some
** jobs in a row had no use for goes back to the owner, and so does what exceeds
** LOANS_KEPT.
**
** Where all borrowers together would hold more than the lender's `most`, or the
** allocator refuses, the answer is no, and the work fails with NN_NOMEM.
** bulk.c does it again when the other workers are at rest.
*/
#include "loans.h"

#define LOANS_KEPT ((size_t)64 << 20)   /* bytes that a worker may keep */
#define LOANS_JOBS 4                    /* for how many it keeps what it has */
#define LOANS_LEAST 4096                /* bytes of a loan */

/* Stands before the memory. */
struct nn_loan {
  nn_loan *next;
  size_t bytes;                /* behind this */
  unsigned job;                /* the last that used it */
};

enum { LOANS_HEADER = 64 };    /* keeps the memory aligned */

/* The worker's side ------------------------------------------------------- */

static void *loans_memory(nn_loan *loan) {
  return loan ? (char *)loan + LOANS_HEADER : NULL;
}

/* What is asked for where n bytes are needed: four sizes to an octave, so that
** pictures of about one size find what others have left. */
static size_t loans_round(size_t n) {
  size_t unit = LOANS_LEAST / 4;
  if (n <= LOANS_LEAST) return LOANS_LEAST;
  if (n > NN_ALLOC_MAX / 2) return n;
  while (8 * unit < n) unit *= 2;
  return (n + unit - 1) / unit * unit;
}

/* The smallest kept one of n to 2n bytes, taken out; NULL if there is none. */
static nn_loan *loans_reuse(nn_borrower *b, size_t n) {
  nn_loan **best = NULL;
  for (nn_loan **at = &b->kept; *at; at = &(*at)->next) {
    if ((*at)->bytes < n || (*at)->bytes / 2 > n) continue;
    if (!best || (*at)->bytes < (*best)->bytes) best = at;
  }
  if (!best) return NULL;
  nn_loan *loan = *best;
  *best = loan->next;
  b->kept_bytes -= loan->bytes;
  return loan;
}

static nn_loan *loans_ask(nn_borrower *b, size_t n) {
  nn_lender *lender = b->lender;
  pthread_mutex_lock(lender->mutex);
  b->asks = n;
  b->answer = NULL;
  pthread_cond_signal(lender->owner);
  while (b->asks && !lender->closed) {
    pthread_cond_wait(&b->answered, lender->mutex);
  }
  b->asks = 0;
  nn_loan *loan = b->answer;
  pthread_mutex_unlock(lender->mutex);
  return loan;
}

static void *loans_alloc(void *context, size_t n) {
  nn_borrower *b = context;
  n = loans_round(n);
  nn_loan *loan = loans_reuse(b, n);
  if (!loan) loan = loans_ask(b, n);
  if (loan) loan->job = b->job;
  return loans_memory(loan);
}

/* Hand a list back to the owner. */
static void loans_return(nn_borrower *b, nn_loan *list) {
  if (!list) return;
  pthread_mutex_lock(b->lender->mutex);
  while (list) {
    nn_loan *loan = list;
    list = loan->next;
    b->held -= loan->bytes;
    b->lender->lent -= loan->bytes;
    loan->next = b->lender->returned;
    b->lender->returned = loan;
  }
  pthread_mutex_unlock(b->lender->mutex);
}

static void loans_release(void *context, void *p) {
  nn_borrower *b = context;
  if (!p) return;
  nn_loan *loan = (nn_loan *)(void *)((char *)p - LOANS_HEADER);
  if (loan->bytes > LOANS_KEPT - b->kept_bytes) {
    loan->next = NULL;
    loans_return(b, loan);
    return;
  }
  loan->next = b->kept;
  b->kept = loan;
  b->kept_bytes += loan->bytes;
}

void nn_borrower_tidy(nn_borrower *b) {
  nn_loan *stale = NULL, **at = &b->kept;
  while (*at) {
    nn_loan *loan = *at;
    if (b->job - loan->job < LOANS_JOBS) {
      at = &loan->next;
      continue;
    }
    *at = loan->next;
    b->kept_bytes -= loan->bytes;
    loan->next = stale;
    stale = loan;
  }
  loans_return(b, stale);
  b->job++;
}

int nn_borrower_open(nn_borrower *b, nn_lender *lender) {
  *b = (nn_borrower){.mem = {loans_alloc, loans_release, b},
                     .lender = lender};
  return pthread_cond_init(&b->answered, NULL);
}

void nn_borrower_close(nn_borrower *b) { pthread_cond_destroy(&b->answered); }

/* The owner's side -------------------------------------------------------- */

void nn_lender_serve(nn_lender *lender, nn_borrower *b) {
  size_t n = b->asks;
  nn_loan *loan = NULL;
  if (!n) return;
  int shared = lender->lent > b->held;
  if (n <= NN_ALLOC_MAX - LOANS_HEADER &&
      !(shared && lender->lent + n > lender->most)) {
    loan = lender->mem->alloc(lender->mem->context, n + LOANS_HEADER);
  }
  if (loan) {
    *loan = (nn_loan){.bytes = n};
    lender->lent += n;
    b->held += n;
  }
  b->answer = loan;
  b->asks = 0;
  pthread_cond_signal(&b->answered);
}

void nn_lender_recall(nn_lender *lender, nn_borrower *b) {
  while (b->kept) {
    nn_loan *loan = b->kept;
    b->kept = loan->next;
    b->held -= loan->bytes;
    lender->lent -= loan->bytes;
    loan->next = lender->returned;
    lender->returned = loan;
  }
  b->kept_bytes = 0;
}

void nn_lender_collect(nn_lender *lender) {
  nn_loan *list = lender->returned;
  lender->returned = NULL;
  if (!list) return;
  pthread_mutex_unlock(lender->mutex);
  while (list) {
    nn_loan *next = list->next;
    lender->mem->release(lender->mem->context, list);
    list = next;
  }
  pthread_mutex_lock(lender->mutex);
}

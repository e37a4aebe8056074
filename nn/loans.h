/*
** Memory for threads that may not call the allocator: between loans.c and
** bulk.c.
*/
#ifndef BINHASH_NN_LOANS_H
#define BINHASH_NN_LOANS_H

#include <pthread.h>

#include "nn_int.h"

typedef struct nn_loan nn_loan;

/* Of the thread that owns the allocator.  Everything is under the mutex, which
** is the borrowers' too. */
typedef struct nn_lender {
  const nn_memory *mem;
  size_t most;                 /* lent to several borrowers at once */
  size_t lent;
  nn_loan *returned;           /* to be freed by the owner */
  int closed;                  /* nothing is lent any more */
  pthread_mutex_t *mutex;
  pthread_cond_t *owner;       /* signalled when somebody asks */
} nn_lender;

/* Of a worker thread. */
typedef struct nn_borrower {
  nn_memory mem;               /* what the worker gives to nn */
  nn_lender *lender;
  pthread_cond_t answered;
  size_t held;                 /* under the mutex: bytes lent to it */
  size_t asks;                 /* under the mutex: 0 is nothing */
  nn_loan *answer;
  nn_loan *kept;               /* given back by nn, for its next request */
  size_t kept_bytes;
  unsigned job;
} nn_borrower;

/* Returns 0, or what pthread_cond_init says. */
int nn_borrower_open(nn_borrower *borrower, nn_lender *lender);
void nn_borrower_close(nn_borrower *borrower);

/* The worker has ended a job: what the last few had no use for goes back. */
void nn_borrower_tidy(nn_borrower *borrower);

/* The owner, with the mutex: answer a request if there is one. */
void nn_lender_serve(nn_lender *lender, nn_borrower *borrower);
/* The owner, with the mutex: take back what a worker that waits for work has
** kept. */
void nn_lender_recall(nn_lender *lender, nn_borrower *borrower);
/* The owner, with the mutex, which it gives up meanwhile: free what came
** back. */
void nn_lender_collect(nn_lender *lender);

#endif

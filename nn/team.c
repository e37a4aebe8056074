/*
** A team: threads that share the work of one forward pass and end with it.
**
** A layer's work comes in tasks (strips of a plane, blocks of weights) that
** differ in length and run on cores that others use too, so nobody is given a
** share: each thread takes the next task until there are none.  The caller is
** one of them.
**
** Between two layers a thread waits a moment by looking, because the next layer
** mostly comes within microseconds, and then sleeps, because cores that only
** look are missed elsewhere (OpenMP's threads, which go on looking, made
** OpenBLAS's three times slower).
**
** Workers call nothing of SQLite and take no memory.  They block all signals,
** which are the host's, and are joined before the call that opened the team
** returns, so that fork(), dlclose() and sqlite3_close() find nobody.
*/
#define _POSIX_C_SOURCE 200809L

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>

#include "floats.h"

#define TEAM_LOOKS 4000   /* before a thread sleeps: some tens of microseconds */

typedef struct team_job {
  void (*work)(void *context, size_t task, int worker);
  void *context;
  size_t tasks;
} team_job;

struct nn_team {
  nn_memory mem;
  int size;                     /* threads that run, the caller among them */
  team_job job;
  atomic_size_t next;           /* task */
  atomic_uint round;            /* of jobs that have begun */
  atomic_int busy;              /* workers that have not ended this round */
  int ending;
  pthread_mutex_t lock;
  pthread_cond_t begin, end;
  struct team_worker {
    nn_team *team;
    pthread_t thread;
    int number;
  } worker[NN_TEAM_MAX];
};

static inline void team_pause(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ __volatile__("yield");
#endif
}

static void team_tasks(nn_team *team, int worker) {
  const team_job job = team->job;
  size_t task;
  while ((task = atomic_fetch_add(&team->next, 1)) < job.tasks) {
    job.work(job.context, task, worker);
  }
}

static void *team_thread(void *argument) {
  struct team_worker *self = argument;
  nn_team *team = self->team;
  unsigned seen = 0;
  for (;;) {
    for (int i = 0; i < TEAM_LOOKS && atomic_load(&team->round) == seen; i++) {
      team_pause();
    }
    if (atomic_load(&team->round) == seen) {
      pthread_mutex_lock(&team->lock);
      while (atomic_load(&team->round) == seen) {
        pthread_cond_wait(&team->begin, &team->lock);
      }
      pthread_mutex_unlock(&team->lock);
    }
    seen++;
    if (team->ending) return NULL;
    team_tasks(team, self->number);
    if (atomic_fetch_sub(&team->busy, 1) == 1) {
      pthread_mutex_lock(&team->lock);
      pthread_cond_signal(&team->end);
      pthread_mutex_unlock(&team->lock);
    }
  }
}

/* A new round: what was written before is seen by whoever sees its number. */
static void team_begin(nn_team *team) {
  atomic_store(&team->busy, team->size - 1);
  pthread_mutex_lock(&team->lock);
  atomic_fetch_add(&team->round, 1);
  pthread_cond_broadcast(&team->begin);
  pthread_mutex_unlock(&team->lock);
}

nn_status nn_team_open(const nn_memory *mem, int threads, nn_team **out,
                       nn_error *err) {
  *out = NULL;
  if (threads > NN_TEAM_MAX) threads = NN_TEAM_MAX;
  if (threads <= 1) return NN_OK;
  nn_team *team = nn_zalloc(mem, sizeof(*team));
  if (!team) return nn_fail(err, NN_NOMEM, "out of memory");
  team->mem = *mem;
  pthread_mutex_init(&team->lock, NULL);
  pthread_cond_init(&team->begin, NULL);
  pthread_cond_init(&team->end, NULL);
  sigset_t all, mine;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &mine);
  for (team->size = 1; team->size < threads; team->size++) {
    struct team_worker *worker = &team->worker[team->size];
    worker->team = team;
    worker->number = team->size;
    if (pthread_create(&worker->thread, NULL, team_thread, worker)) break;
  }
  pthread_sigmask(SIG_SETMASK, &mine, NULL);
  *out = team;
  return NN_OK;
}

void nn_team_close(nn_team *team) {
  if (!team) return;
  team->ending = 1;
  team_begin(team);
  for (int i = 1; i < team->size; i++) {
    pthread_join(team->worker[i].thread, NULL);
  }
  pthread_cond_destroy(&team->begin);
  pthread_cond_destroy(&team->end);
  pthread_mutex_destroy(&team->lock);
  nn_memory mem = team->mem;
  nn_free(&mem, team);
}

int nn_team_size(const nn_team *team) {
  return team ? team->size : 1;
}

void nn_team_run(nn_team *team, size_t tasks,
                 void (*work)(void *context, size_t task, int worker),
                 void *context) {
  if (!team || tasks < 2) {
    for (size_t i = 0; i < tasks; i++) work(context, i, 0);
    return;
  }
  team->job.work = work;
  team->job.context = context;
  team->job.tasks = tasks;
  atomic_store(&team->next, 0);
  team_begin(team);
  team_tasks(team, 0);
  for (int i = 0; i < TEAM_LOOKS && atomic_load(&team->busy); i++) {
    team_pause();
  }
  pthread_mutex_lock(&team->lock);
  while (atomic_load(&team->busy)) pthread_cond_wait(&team->end, &team->lock);
  pthread_mutex_unlock(&team->lock);
}

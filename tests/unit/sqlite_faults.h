/*
** SQLite's own allocator, in which one call fails, or all from one on.  Both
** tests that let memory run out in SQL use it.
*/
#ifndef BINHASH_SQLITE_FAULTS_H
#define BINHASH_SQLITE_FAULTS_H

#include <sqlite3.h>
#include <stddef.h>

static sqlite3_mem_methods faults_real;
static int faults_calls;      /* since faults_arm */
static int faults_at;         /* the call that fails, from 1; 0: none */
static int faults_persist;    /* those after it too */

static int faults_due(void) {
  int n = ++faults_calls;
  return faults_at && (n == faults_at || (faults_persist && n > faults_at));
}

static void *faults_malloc(int n) {
  return faults_due() ? NULL : faults_real.xMalloc(n);
}

static void *faults_realloc(void *p, int n) {
  return faults_due() ? NULL : faults_real.xRealloc(p, n);
}

static void faults_arm(int at, int persist) {
  faults_calls = 0;
  faults_at = at;
  faults_persist = persist;
}

/* Before SQLite starts. */
static void faults_configure(void) {
  sqlite3_mem_methods ours;
  sqlite3_config(SQLITE_CONFIG_GETMALLOC, &faults_real);
  ours = faults_real;
  ours.xMalloc = faults_malloc;
  ours.xRealloc = faults_realloc;
  sqlite3_config(SQLITE_CONFIG_MALLOC, &ours);
}

#endif

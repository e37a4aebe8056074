/*
** Files that fail: a VFS around the default one, in which one call fails, or
** all from one on.  It is the idea of SQLite's own test VFS.
**
** What is counted is what can fail on a machine: opening, reading, writing,
** truncating, syncing, deleting, asking for the size, and mapping the shared
** memory of a write-ahead log.  A write that fails has written half, as on a
** full disk.  Closing and unlocking never fail.
*/
#ifndef BINHASH_FAULT_FILES_H
#define BINHASH_FAULT_FILES_H

#include <sqlite3.h>
#include <stddef.h>
#include <string.h>

typedef struct fault_file {
  sqlite3_file base;
  sqlite3_io_methods methods;   /* of the real file's version */
  sqlite3_file *real;           /* the bytes behind this */
} fault_file;

static sqlite3_vfs *fault_real;
static int fault_calls;         /* since fault_arm */
static int fault_at;            /* the call that fails, from 1; 0: none */
static int fault_persist;       /* those after it too */

static void fault_arm(int at, int persist) {
  fault_calls = 0;
  fault_at = at;
  fault_persist = persist;
}

static int fault_due(void) {
  int n = ++fault_calls;
  return fault_at && (n == fault_at || (fault_persist && n > fault_at));
}

#define FAULT_FILE(f) ((fault_file *)(f))->real

static int fault_close(sqlite3_file *f) {
  return FAULT_FILE(f)->pMethods ? FAULT_FILE(f)->pMethods->xClose(FAULT_FILE(f))
                                 : SQLITE_OK;
}

static int fault_read(sqlite3_file *f, void *to, int n, sqlite3_int64 at) {
  if (fault_due()) return SQLITE_IOERR_READ;
  return FAULT_FILE(f)->pMethods->xRead(FAULT_FILE(f), to, n, at);
}

static int fault_write(sqlite3_file *f, const void *from, int n,
                       sqlite3_int64 at) {
  int due = fault_due();
  int rc = FAULT_FILE(f)->pMethods->xWrite(FAULT_FILE(f), from,
                                           due ? n / 2 : n, at);
  return due ? fault_calls % 2 ? SQLITE_IOERR_WRITE : SQLITE_FULL : rc;
}

static int fault_truncate(sqlite3_file *f, sqlite3_int64 size) {
  if (fault_due()) return SQLITE_IOERR_TRUNCATE;
  return FAULT_FILE(f)->pMethods->xTruncate(FAULT_FILE(f), size);
}

static int fault_sync(sqlite3_file *f, int flags) {
  (void)flags;   /* nothing here outlives the machine: no need to wait */
  return fault_due() ? SQLITE_IOERR_FSYNC : f ? SQLITE_OK : SQLITE_ERROR;
}

static int fault_size(sqlite3_file *f, sqlite3_int64 *size) {
  if (fault_due()) return SQLITE_IOERR_FSTAT;
  return FAULT_FILE(f)->pMethods->xFileSize(FAULT_FILE(f), size);
}

static int fault_lock(sqlite3_file *f, int level) {
  return FAULT_FILE(f)->pMethods->xLock(FAULT_FILE(f), level);
}

static int fault_unlock(sqlite3_file *f, int level) {
  return FAULT_FILE(f)->pMethods->xUnlock(FAULT_FILE(f), level);
}

static int fault_reserved(sqlite3_file *f, int *yes) {
  return FAULT_FILE(f)->pMethods->xCheckReservedLock(FAULT_FILE(f), yes);
}

static int fault_control(sqlite3_file *f, int op, void *value) {
  return FAULT_FILE(f)->pMethods->xFileControl(FAULT_FILE(f), op, value);
}

static int fault_sector(sqlite3_file *f) {
  return FAULT_FILE(f)->pMethods->xSectorSize(FAULT_FILE(f));
}

static int fault_device(sqlite3_file *f) {
  return FAULT_FILE(f)->pMethods->xDeviceCharacteristics(FAULT_FILE(f));
}

static int fault_shm_map(sqlite3_file *f, int region, int size, int extend,
                         void volatile **to) {
  if (fault_due()) return SQLITE_IOERR_SHMMAP;
  return FAULT_FILE(f)->pMethods->xShmMap(FAULT_FILE(f), region, size, extend,
                                          to);
}

static int fault_shm_lock(sqlite3_file *f, int at, int n, int flags) {
  return FAULT_FILE(f)->pMethods->xShmLock(FAULT_FILE(f), at, n, flags);
}

static void fault_shm_barrier(sqlite3_file *f) {
  FAULT_FILE(f)->pMethods->xShmBarrier(FAULT_FILE(f));
}

static int fault_shm_unmap(sqlite3_file *f, int erase) {
  return FAULT_FILE(f)->pMethods->xShmUnmap(FAULT_FILE(f), erase);
}

static int fault_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *f,
                      int flags, int *out) {
  fault_file *file = (fault_file *)f;
  static const sqlite3_io_methods methods = {
    2, fault_close, fault_read, fault_write, fault_truncate, fault_sync,
    fault_size, fault_lock, fault_unlock, fault_reserved, fault_control,
    fault_sector, fault_device, fault_shm_map, fault_shm_lock,
    fault_shm_barrier, fault_shm_unmap, NULL, NULL,
  };
  (void)vfs;
  file->base.pMethods = NULL;
  file->real = (sqlite3_file *)(file + 1);
  if (fault_due()) return SQLITE_CANTOPEN;
  int rc = fault_real->xOpen(fault_real, name, file->real, flags, out);
  file->methods = methods;
  if (file->real->pMethods) {
    if (file->real->pMethods->iVersion < 2) file->methods.iVersion = 1;
    file->base.pMethods = &file->methods;
  }
  return rc;
}

static int fault_delete(sqlite3_vfs *vfs, const char *name, int sync) {
  (void)vfs, (void)sync;
  if (fault_due()) return SQLITE_IOERR_DELETE;
  return fault_real->xDelete(fault_real, name, 0);
}

static int fault_access(sqlite3_vfs *vfs, const char *name, int flags,
                        int *yes) {
  (void)vfs;
  if (fault_due()) return SQLITE_IOERR_ACCESS;
  return fault_real->xAccess(fault_real, name, flags, yes);
}

/* From here on all files are such files. */
static void fault_configure(void) {
  static sqlite3_vfs vfs;
  fault_real = sqlite3_vfs_find(NULL);
  vfs = *fault_real;
  vfs.szOsFile = (int)sizeof(fault_file) + fault_real->szOsFile;
  vfs.pNext = NULL;
  vfs.zName = "faults";
  vfs.xOpen = fault_open;
  vfs.xDelete = fault_delete;
  vfs.xAccess = fault_access;
  sqlite3_vfs_register(&vfs, 1);
}

#endif

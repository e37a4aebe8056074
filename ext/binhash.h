/*
** binhash: image search inside SQLite.
**
** Most programs need no header: SELECT load_extension('binhash').  A program
** that links SQLite and binhash statically (libbinhash.a) registers the
** extension for every connection it opens later:
**
**     #include <sqlite3.h>
**     #include <binhash.h>
**     sqlite3_auto_extension((void (*)(void))sqlite3_binhash_init);
**
** or calls sqlite3_binhash_init(db, NULL, NULL) for one connection.
*/
#ifndef BINHASH_H
#define BINHASH_H

#define BINHASH_VERSION "0.1.0"
#define BINHASH_VERSION_NUMBER 1000   /* 1000000 * X + 1000 * Y + Z */

#ifdef __cplusplus
extern "C" {
#endif

struct sqlite3;
struct sqlite3_api_routines;

/*
** The entry point that load_extension finds.  Registers every function and
** table of sql/README.md on db.  Calling it again on the same connection does
** nothing.  Returns an SQLite result code; on error *error, unless error is
** NULL, is a message that sqlite3_free releases.
*/
int sqlite3_binhash_init(struct sqlite3 *db, char **error,
                         const struct sqlite3_api_routines *api);

#ifdef __cplusplus
}
#endif

#endif

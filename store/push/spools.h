/* spools.h - folders that hold the store of one job, until a server has it.
 *
 *     <home>/spool/<long id>[.<node>]/    of the run, or of one of the nodes of a job
 *         data.mdb, lock.mdb   a store
 *         to                   one line: the URL that it is for, or "home": the store of this home
 *         owner                locked by who writes it or sends it
 *         peers                other nodes of the job, for an agent that takes over (vassal/known.h)
 *
 * Whoever holds the lock is the only one at it; a lock that nobody holds means that its run is
 * over or dead, and what is in the folder may be sent by anybody.  data.mdb has all records,
 * and is the first to be removed.  Nothing here is deleted by age:
 * a folder goes when its records are elsewhere. */
#ifndef DZ_STORE_PUSH_SPOOLS_H
#define DZ_STORE_PUSH_SPOOLS_H

#include "store/sync.h"

enum { SPOOL_TO_MAX = 512, SPOOLS_MAX = 4096 };

struct spool_dir {
    char *path; /* owned, as are the next */
    struct store *store;
    char ulid[STORE_ULID_LEN + 1];
    char to[SPOOL_TO_MAX]; /* "" when it is not said */
    int owner;             /* -1: the folder cannot be written, and nobody else could */
};

/* A new one; `name` is or begins with the long id.  The folders above are made. */
DZ_MUST_USE enum dz_rc spool_dir_make(const char *home, const char *name, const char *to,
                                      struct spool_dir *out, struct dz_err *err);
/* One that is there.  STORE_WRITE: to go on writing it.  AGAIN: somebody is at it.  ABSENT: it is
 * no such folder, or there is no job in it. */
DZ_MUST_USE enum dz_rc spool_dir_open(const char *path, enum store_mode mode, struct spool_dir *out,
                                      struct dz_err *err);
/* HUSK: its run or sender was killed while it was being removed, or made; no records are in it. */
enum spool_kind { SPOOL_NONE, SPOOL_HUSK, SPOOL_WHOLE };
enum spool_kind spool_dir_look(const char *path);
void spool_dir_close(struct spool_dir *self); /* DZ_AUTO-able; fine when zeroed with owner -1 */
/* Delete it and what is in it; closes it.  Only files that belong there are deleted. */
void spool_dir_remove(struct spool_dir *self);
#define SPOOL_DIR_NONE ((struct spool_dir){ .owner = -1 })

/* <home>/spool/<name>, or <home>/spool for ""; caller owns. */
char *spool_dir_path(const char *home, const char *name);

/* Paths of the folders below `parent` that look like one, oldest first.  Caller frees each and the
 * list. */
size_t spool_dirs(const char *parent, char ***paths_out);
void spool_dirs_free(char **paths, size_t count);

#endif

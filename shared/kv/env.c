/* env.c - one LMDB environment: opening, the map, and what LMDB's codes mean. */
#include "shared/kv/env.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>

#include "shared/base/clock.h"
#include "shared/base/fd.h"

enum {
    MAP_FIRST = 64 << 20,
    NEARLY_FULL = 1 << 20, /* bytes left on a disk that we call full */
    LOCK_MS = 5000,
    TURN_PAUSE_NS = 100 * 1000,
    TURN_PAUSE_MAX_NS = 2 * 1000 * 1000,
};
#define MAP_LIMIT ((size_t) 1 << 40)

/* A short write reaches us as EIO, so the disk is asked whether it is full. */
static bool
is_disk_full(const char *dir)
{
    struct statvfs disk;
    return statvfs(dir, &disk) == 0 && disk.f_bavail * disk.f_frsize < NEARLY_FULL;
}

static enum dz_rc
code_to_rc(const char *dir, int code)
{
    switch (code) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
    case ENOMEM:
    case MDB_MAP_FULL: return DZ_FULL;
    case EIO: return is_disk_full(dir) ? DZ_FULL : DZ_IO;
    case EACCES:
    case EPERM:
    case EROFS: return DZ_REFUSED;
    case ENOENT:
    case MDB_NOTFOUND: return DZ_ABSENT;
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_INVALID:
    case MDB_INCOMPATIBLE: return DZ_CORRUPT;
    case MDB_VERSION_MISMATCH: return DZ_VERSION;
    default: return DZ_IO;
    }
}

enum dz_rc
kv_fail(struct dz_err *err, const char *dir, int code, const char *what)
{
    enum dz_rc rc = code_to_rc(dir, code);
    if (rc == DZ_FULL)
        return dz_fail(err, rc, "%s '%s': no space left", what, dir);
    if (rc == DZ_CORRUPT)
        return dz_fail(err, rc, "'%s' is damaged: %s", dir, mdb_strerror(code));
    return dz_fail(err, rc, "%s '%s': %s", what, dir, mdb_strerror(code));
}

static int
try_open(const char *dir, size_t map_size, unsigned flags, MDB_env **env_out)
{
    MDB_env *env = NULL;
    int code = mdb_env_create(&env);
    if (code == 0)
        code = mdb_env_set_maxdbs(env, DZ_KV_TABLES);
    if (code == 0)
        code = mdb_env_set_maxreaders(env, READERS_MAX);
    if (code == 0)
        code = mdb_env_set_mapsize(env, map_size);
    if (code == 0)
        code = mdb_env_open(env, dir, flags, 0600);
    if (code == 0)
        *env_out = env;
    else
        mdb_env_close(env);
    return code;
}

enum dz_rc
kv_env_open(const char *dir, size_t map_size, bool is_readonly, MDB_env **env_out,
            struct dz_err *err)
{
    MDB_env *env = NULL;
    unsigned flags = MDB_NOTLS | (is_readonly ? MDB_RDONLY : 0);
    int code = try_open(dir, map_size, flags, &env);
    if (code == EACCES && is_readonly) /* we may not enter ourselves as a reader: read without */
        code = try_open(dir, map_size, flags | MDB_NOLOCK, &env);
    if (code != 0)
        return kv_fail(err, dir, code, "open");
    *env_out = env;
    return DZ_OK;
}

/* Names to handles.  Tables are made in a write of their own, and only when one is missing, so
 * that opening costs no sync. */
static int
open_tables(struct dz_kv *self, bool create)
{
    MDB_txn *txn = NULL;
    int code = mdb_txn_begin(self->env, NULL, create ? 0 : MDB_RDONLY, &txn);
    for (unsigned i = 0; code == 0 && i < self->table_count; i++) {
        int open = mdb_dbi_open(txn, self->names[i], create ? MDB_CREATE : 0, &self->dbis[i]);
        self->is_there[i] = open == 0;
        if (open != 0 && (create || open != MDB_NOTFOUND))
            code = open;
    }
    if (code != 0) {
        mdb_txn_abort(txn);
        return code;
    }
    return mdb_txn_commit(txn);
}

static bool
has_all_tables(const struct dz_kv *self)
{
    for (unsigned i = 0; i < self->table_count; i++)
        if (!self->is_there[i])
            return false;
    return true;
}

/* LMDB's own lock between writers cannot be waited for with a deadline.  So every writer first locks
 * a file beside it; the kernel gives that up when its holder dies, as LMDB does with its own. */
static void
open_turn(struct dz_kv *self)
{
    DZ_AUTO(dz_free) char *path = NULL;
    if (self->is_readonly || self->turn >= 0 || asprintf(&path, "%s/writer.lock", self->dir) < 0)
        return;
    self->turn = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600); /* without it we wait in LMDB */
}

static void
end_turn(struct dz_kv *self)
{
    struct flock lock = { .l_type = F_UNLCK, .l_whence = SEEK_SET, .l_len = 1 };
    if (self->turn >= 0)
        (void) fcntl(self->turn, F_OFD_SETLK, &lock); /* unlocking what we hold does not fail */
}

static enum dz_rc
take_turn(struct dz_kv *self, struct dz_err *err)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1 };
    struct timespec pause = { .tv_nsec = TURN_PAUSE_NS };
    dz_ms deadline = dz_clock_ms() + self->lock_ms;
    while (self->turn >= 0 && fcntl(self->turn, F_OFD_SETLK, &lock) != 0) {
        if (errno != EAGAIN && errno != EACCES && errno != EINTR)
            return DZ_OK; /* a file system without locks: LMDB's own will do */
        if (dz_clock_ms() >= deadline)
            return dz_fail(err, DZ_AGAIN,
                           "'%s': another process has been writing for %u s; is it stopped?",
                           self->dir, self->lock_ms / 1000);
        (void) nanosleep(&pause, NULL);
        if (pause.tv_nsec < TURN_PAUSE_MAX_NS)
            pause.tv_nsec *= 2;
    }
    return DZ_OK;
}

static enum dz_rc
attach(struct dz_kv *self, struct dz_err *err)
{
    enum dz_rc rc = kv_env_open(self->dir, self->map_size, self->is_readonly, &self->env, err);
    if (rc != DZ_OK)
        return rc;
    if (self->is_unsynced)
        (void) mdb_env_set_flags(self->env, MDB_NOSYNC, 1); /* fails for unknown flags only */
    int dead = 0;
    (void) mdb_reader_check(self->env, &dead); /* slots of killed readers pin old pages */
    int code = open_tables(self, false);
    if (code == 0 && !self->is_readonly && !has_all_tables(self))
        code = open_tables(self, true);
    return code == 0 ? DZ_OK : kv_fail(err, self->dir, code, "open tables of");
}

static enum dz_rc
attach_in_turn(struct dz_kv *self, struct dz_err *err)
{
    open_turn(self);
    enum dz_rc rc = take_turn(self, err); /* it may have to make the tables */
    if (rc != DZ_OK)
        return rc;
    if (!self->is_readonly)
        kv_clear_half_made(self->dir);
    rc = attach(self, err);
    end_turn(self);
    return rc;
}

/* mkdir -p, private. */
static enum dz_rc
make_dir(const char *dir, struct dz_err *err)
{
    DZ_AUTO(dz_free) char *path = dz_strdup(dir);
    int first = 0;
    for (char *p = path + 1; *p; p++) {
        if (*p != '/')
            continue;
        *p = '\0';
        if (mkdir(path, 0700) != 0 && errno != EEXIST && first == 0)
            first = errno;
        *p = '/';
    }
    if (mkdir(path, 0700) == 0 || errno == EEXIST)
        return DZ_OK;
    errno = errno == ENOENT && first ? first : errno; /* why the folder above is not there */
    enum dz_rc rc = errno == EACCES || errno == EROFS || errno == EPERM ? DZ_REFUSED : DZ_IO;
    rc = errno == ENOSPC || errno == EDQUOT ? DZ_FULL : rc;
    (void) dz_fail_errno(err, "make '%s'", dir);
    return rc;
}

enum dz_rc
dz_kv_open(const char *dir, const struct dz_kv_opts *opts, struct dz_kv **self_out,
           struct dz_err *err)
{
    dz_assert(opts->table_count <= DZ_KV_TABLES);
    enum dz_rc rc = opts->is_readonly ? DZ_OK : make_dir(dir, err);
    if (rc == DZ_OK && opts->check_ms > 0)
        rc = dz_kv_check(dir, opts->check_ms, err);
    else if (rc == DZ_OK && opts->is_readonly && !kv_is_begun(dir))
        rc = kv_why_none(dir, err);
    if (rc != DZ_OK && !(rc == DZ_ABSENT && !opts->is_readonly))
        return rc;

    DZ_AUTO(dz_kv_close) struct dz_kv *self = dz_alloc0(1, sizeof(*self));
    self->dir = dz_strdup(dir);
    self->table_count = opts->table_count;
    for (unsigned i = 0; i < opts->table_count; i++)
        self->names[i] = dz_strdup(opts->tables[i]);
    self->map_size = opts->map_size ? opts->map_size : MAP_FIRST;
    self->map_limit = opts->map_limit ? opts->map_limit : MAP_LIMIT;
    self->lock_ms = opts->lock_ms ? opts->lock_ms : LOCK_MS;
    self->is_readonly = opts->is_readonly;
    self->is_unsynced = opts->is_unsynced;
    self->turn = -1;
    (void) pthread_rwlock_init(&self->shape, NULL); /* plain ones cannot fail */
    (void) pthread_mutex_init(&self->writing, NULL);
    rc = attach_in_turn(self, err);
    if (rc == DZ_OK)
        *self_out = dz_move(self);
    return rc;
}

void
dz_kv_close(struct dz_kv **self_p)
{
    struct dz_kv *self = dz_move(*self_p);
    if (!self)
        return;
    mdb_env_close(self->env);
    dz_fd_close(&self->turn);
    (void) pthread_rwlock_destroy(&self->shape);
    (void) pthread_mutex_destroy(&self->writing);
    for (unsigned i = 0; i < self->table_count; i++)
        free(self->names[i]);
    free(self->dir);
    free(self);
}

void
dz_kv_sync_from_now(struct dz_kv *self)
{
    if (!self->is_unsynced)
        return;
    (void) mdb_env_set_flags(self->env, MDB_NOSYNC, 0);
    self->is_unsynced = false;
}

/* ---- transactions ---- */

static void
share_shape(struct dz_kv *self)
{
    (void) pthread_rwlock_rdlock(&self->shape); /* fails only for more readers than memory holds */
}

static void
release_shape(struct dz_kv *self)
{
    (void) pthread_rwlock_unlock(&self->shape);
}

/* Wait until no thread is inside a transaction; nobody begins one meanwhile. */
static void
own_shape(struct dz_kv *self)
{
    (void) pthread_rwlock_wrlock(&self->shape);
    self->map = NULL; /* it may be elsewhere afterwards */
}

/* Called and left with the shape shared. */
static void
adopt_map_size(struct dz_kv *self)
{
    release_shape(self);
    own_shape(self);
    if (self->env)
        (void) mdb_env_set_mapsize(self->env, 0); /* begin() tells if it failed */
    release_shape(self);
    share_shape(self);
}

/* Another process may have grown the map, readers may have died: put it right and try again. */
static int
begin(struct dz_kv *self, unsigned flags, MDB_txn **txn_out)
{
    int code = 0;
    for (int tries = 0; tries < 4; tries++) {
        code = self->env ? mdb_txn_begin(self->env, NULL, flags, txn_out) : MDB_PANIC;
        if (code == MDB_MAP_RESIZED)
            adopt_map_size(self);
        else if (code == MDB_READERS_FULL)
            (void) mdb_reader_check(self->env, NULL);
        else
            break;
    }
    return code;
}

/* After a failed write of its meta page LMDB refuses everything until it is opened again. */
static enum dz_rc
reattach(struct dz_kv *self, struct dz_err *err)
{
    mdb_env_close(self->env);
    self->env = NULL;
    return attach(self, err);
}

static enum dz_rc
grow(struct dz_kv *self, struct dz_err *err)
{
    MDB_envinfo info;
    (void) mdb_env_info(self->env, &info); /* fails only for a NULL argument */
    if (info.me_mapsize >= self->map_limit)
        return dz_fail(err, DZ_FULL, "'%s' has reached its limit of %zu bytes", self->dir,
                       self->map_limit);
    size_t size = info.me_mapsize * 2;
    self->map_size = size < self->map_limit ? size : self->map_limit;
    int code = mdb_env_set_mapsize(self->env, self->map_size);
    return code == 0 ? DZ_OK : kv_fail(err, self->dir, code, "grow the map of");
}

/* One attempt; *again_out: why it must be tried again (the map, or LMDB itself), or 0. */
static enum dz_rc
write_once(struct dz_kv *self, dz_kv_fn *fn, void *arg, int *again_out, struct dz_err *err)
{
    struct dz_kv_txn txn = { .kv = self };
    int code = begin(self, 0, &txn.txn);
    if (code != 0) {
        *again_out = code == MDB_PANIC ? code : 0;
        return kv_fail(err, self->dir, code, "write to");
    }
    enum dz_rc rc = fn(&txn, arg, err);
    if (rc != DZ_OK || txn.is_map_full) {
        mdb_txn_abort(txn.txn);
        *again_out = txn.is_map_full ? MDB_MAP_FULL : 0;
        return rc;
    }
    code = mdb_txn_commit(txn.txn);
    *again_out = code == MDB_MAP_FULL || code == MDB_PANIC ? code : 0;
    return code == 0 ? DZ_OK : kv_fail(err, self->dir, code, "write to");
}

static enum dz_rc
write_in_turn(struct dz_kv *self, dz_kv_fn *fn, void *arg, struct dz_err *err)
{
    for (bool was_reattached = false;;) {
        if (!self->env) {
            own_shape(self);
            enum dz_rc back = attach(self, err);
            release_shape(self);
            if (back != DZ_OK)
                return back;
        }
        int again = 0;
        share_shape(self);
        enum dz_rc rc = write_once(self, fn, arg, &again, err);
        release_shape(self);
        if (again == 0)
            return rc;
        if (again == MDB_PANIC && was_reattached)
            return rc;
        own_shape(self);
        rc = again == MDB_PANIC ? reattach(self, err) : grow(self, err);
        release_shape(self);
        was_reattached |= again == MDB_PANIC;
        if (rc != DZ_OK)
            return rc;
    }
}

enum dz_rc
dz_kv_write(struct dz_kv *self, dz_kv_fn *fn, void *arg, struct dz_err *err)
{
    dz_assert(!self->is_readonly);
    (void) pthread_mutex_lock(&self->writing); /* fails only for what is not a lock */
    enum dz_rc rc = take_turn(self, err);
    if (rc == DZ_OK) {
        rc = write_in_turn(self, fn, arg, err);
        end_turn(self);
        share_shape(self);
        kv_drop_pages(self);
        release_shape(self);
    }
    (void) pthread_mutex_unlock(&self->writing);
    return rc;
}

enum dz_rc
dz_kv_read(struct dz_kv *self, dz_kv_fn *fn, void *arg, struct dz_err *err)
{
    struct dz_kv_txn txn = { .kv = self, .is_read = true };
    enum dz_rc rc;
    share_shape(self);
    int code = begin(self, MDB_RDONLY, &txn.txn);
    if (code != 0) {
        rc = self->env ? kv_fail(err, self->dir, code, "read")
                       : dz_fail(err, DZ_IO, "'%s' could not be opened again", self->dir);
    } else {
        rc = fn(&txn, arg, err);
        mdb_txn_abort(txn.txn);
    }
    release_shape(self);
    return rc;
}

/* LMDB lists free pages in its table 0: for each transaction a count, then the pages. */
static int
count_free(struct dz_kv *self, uint64_t *pages_out)
{
    MDB_txn *txn = NULL;
    MDB_cursor *cursor = NULL;
    MDB_val key, list;
    size_t count;
    int code = begin(self, MDB_RDONLY, &txn);
    if (code != 0)
        return code;
    code = mdb_cursor_open(txn, 0, &cursor);
    *pages_out = 0;
    while (code == 0 && (code = mdb_cursor_get(cursor, &key, &list, MDB_NEXT)) == 0) {
        if (list.mv_size < sizeof(count))
            continue;
        memcpy(&count, list.mv_data, sizeof(count));
        *pages_out += count;
    }
    if (cursor)
        mdb_cursor_close(cursor);
    mdb_txn_abort(txn);
    return code == MDB_NOTFOUND ? 0 : code;
}

/* With the shape shared. */
static int
look_at(struct dz_kv *self, MDB_envinfo *info, MDB_stat *shape, uint64_t *free_out, int *dead_out)
{
    int code = count_free(self, free_out); /* it also adopts a map that others let grow */
    if (code == 0)
        code = mdb_env_info(self->env, info);
    if (code == 0)
        code = mdb_env_stat(self->env, shape);
    if (code == 0)
        code = mdb_reader_check(self->env, dead_out);
    return code;
}

enum dz_rc
dz_kv_stat(struct dz_kv *self, struct dz_kv_stat *out, struct dz_err *err)
{
    MDB_envinfo info;
    MDB_stat shape;
    uint64_t free_pages = 0;
    int dead = 0;
    share_shape(self);
    int code = look_at(self, &info, &shape, &free_pages, &dead);
    release_shape(self);
    if (code != 0)
        return kv_fail(err, self->dir, code, "look at");
    *out = (struct dz_kv_stat){
        .used_bytes = ((uint64_t) info.me_last_pgno + 1) * shape.ms_psize,
        .free_bytes = free_pages * shape.ms_psize,
        .map_bytes = info.me_mapsize,
        .stale_readers = (unsigned) dead,
    };
    return DZ_OK;
}

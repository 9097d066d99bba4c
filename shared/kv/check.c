/* check.c - look at a directory in a process that may die of it, and put bad ones aside.
 *
 * LMDB trusts its file: damaged bytes make it read outside of the map, divide by zero or abort.
 * So a child opens it first and walks it, checksums included.  Whatever happens to the child
 * (signal, abort, a loop that does not end) says "damaged" and nothing happens to us. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared/base/clock.h"
#include "shared/base/fd.h"
#include "shared/kv/env.h"

enum {
    CLOCK_EVERY = 64,      /* values between two looks at the clock */
    SHORT_FACTOR = 20,     /* times the budget for a suspicious file */
    GRACE_MS = 10 * 1000,  /* for a child that gets no processor */
    GRACE_CPU_S = 5,       /* of processor time, for a child that walks in circles */
    WHOLE_MS = 600 * 1000, /* most for a walk without a budget */
    BAD_NAMES_MAX = 10000,
    CHILD_BASE = 40, /* exit status of the child: this + enum dz_rc */
    METAS = 2,       /* pages that a file begins with */
};

/* ---- in the child ---- */

/* Behind the last one that could be read.  A page of something else may look like one with few keys, or none: then
 * there are not as many as the table says. */
static enum dz_rc
compare(MDB_txn *txn, MDB_dbi dbi, int code, size_t seen, struct dz_err *err)
{
    MDB_stat shape = { 0 };
    if (code == 0 || code == MDB_NOTFOUND)
        code = mdb_stat(txn, dbi, &shape);
    if (code != 0)
        return dz_fail(err, DZ_CORRUPT, "%s", mdb_strerror(code));
    return shape.ms_entries == seen
               ? DZ_OK
               : dz_fail(err, DZ_CORRUPT, "%zu values are there of %zu", seen, shape.ms_entries);
}

static enum dz_rc
walk_table(MDB_txn *txn, MDB_dbi dbi, int64_t deadline, struct dz_err *err)
{
    MDB_cursor *cursor = NULL;
    MDB_val key, stored;
    struct dz_slice value;
    struct dz_kv_walk walk = { 0 };
    size_t seen = 0;
    int code = mdb_cursor_open(txn, dbi, &cursor);
    for (unsigned i = 0; code == 0; i++) {
        code = mdb_cursor_get(cursor, &key, &stored, MDB_NEXT);
        if (code == 0 && !kv_value_ok(key, stored, &value))
            return dz_fail(err, DZ_CORRUPT, "a value does not match its checksum");
        if (code == 0) {
            kv_walked(&walk, stored);
            seen++;
        }
        if (i % CLOCK_EVERY == 0 && deadline && dz_clock_ms() > deadline)
            return DZ_AGAIN; /* enough seen */
    }
    return compare(txn, dbi, code, seen, err);
}

/* A list of free pages: their number, then each, the last one first. */
static bool
is_free_list(MDB_val key, MDB_val list, size_t last_page)
{
    const size_t *items = list.mv_data;
    if (key.mv_size != sizeof(size_t) || list.mv_size < sizeof(size_t) ||
        list.mv_size % sizeof(size_t) != 0 || items[0] > list.mv_size / sizeof(size_t) - 1)
        return false;
    size_t above = last_page + 1;
    for (size_t i = 1; i <= items[0]; i++) {
        if (items[i] >= above || items[i] < METAS)
            return false;
        above = items[i];
    }
    return true;
}

/* Only who writes needs these; with a bad one all can be read, and the next commit fails or
 * overwrites what is in use. */
static enum dz_rc
walk_free(MDB_env *env, MDB_txn *txn, int64_t deadline, struct dz_err *err)
{
    enum { FREE_TABLE = 0 }; /* LMDB's own */
    MDB_cursor *cursor = NULL;
    MDB_val key, list;
    MDB_envinfo info;
    size_t seen = 0;
    int code = mdb_env_info(env, &info);
    if (code == 0)
        code = mdb_cursor_open(txn, FREE_TABLE, &cursor);
    while (code == 0 && (code = mdb_cursor_get(cursor, &key, &list, MDB_NEXT)) == 0) {
        seen++;
        if (!is_free_list(key, list, info.me_last_pgno))
            return dz_fail(err, DZ_CORRUPT, "a list of free pages makes no sense");
        if (deadline && dz_clock_ms() > deadline)
            return DZ_AGAIN;
    }
    return compare(txn, FREE_TABLE, code, seen, err);
}

/* The main table holds the names of the others. */
static enum dz_rc
walk(MDB_env *env, int64_t deadline, struct dz_err *err)
{
    MDB_txn *txn = NULL;
    MDB_cursor *names = NULL;
    MDB_dbi main_dbi;
    MDB_val name, stored;
    int code = mdb_txn_begin(env, NULL, MDB_RDONLY, &txn);
    if (code == 0)
        code = mdb_dbi_open(txn, NULL, 0, &main_dbi);
    if (code == 0)
        code = mdb_cursor_open(txn, main_dbi, &names);
    enum dz_rc rc = code == 0 ? walk_free(env, txn, deadline, err) : DZ_OK;
    size_t seen = 0;
    while (code == 0 && rc == DZ_OK &&
           (code = mdb_cursor_get(names, &name, &stored, MDB_NEXT)) == 0) {
        char text[DZ_KV_KEY_MAX + 1];
        MDB_dbi dbi;
        (void) snprintf(text, sizeof(text), "%.*s", (int) name.mv_size, (char *) name.mv_data);
        if (mdb_dbi_open(txn, text, 0, &dbi) != 0)
            break; /* it cannot be found: one is missing then */
        seen++;
        rc = walk_table(txn, dbi, deadline, err);
    }
    if (rc == DZ_OK)
        rc = compare(txn, main_dbi, code, seen, err);
    return rc == DZ_AGAIN ? DZ_OK : rc;
}

/* Is the file shorter than what was ever allocated in it?  That may be (its last pages were given
 * back before they were written), or somebody has cut it: only a longer walk tells. */
static bool
is_short(MDB_env *env)
{
    mdb_filehandle_t fd;
    MDB_envinfo info;
    MDB_stat shape;
    struct stat file;
    if (mdb_env_get_fd(env, &fd) != 0 || mdb_env_info(env, &info) != 0 ||
        mdb_env_stat(env, &shape) != 0 || fstat(fd, &file) != 0)
        return true;
    return (uint64_t) file.st_size < ((uint64_t) info.me_last_pgno + 1) * shape.ms_psize;
}

static enum dz_rc
look(const char *dir, unsigned budget_ms, struct dz_err *err)
{
    MDB_env *env = NULL;
    enum dz_rc rc = kv_env_open(dir, 0, true, &env, err);
    if (rc != DZ_OK)
        return rc;
    unsigned allowed_ms = is_short(env) ? budget_ms * SHORT_FACTOR : budget_ms;
    rc = walk(env, budget_ms ? dz_clock_ms() + allowed_ms : 0, err);
    mdb_env_close(env);
    return rc;
}

/* The ends that a damaged file leads to; every other signal was sent by somebody else. */
static const int deadly[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGXCPU };

static void
be_ready_to_die(unsigned budget_ms)
{
    struct rlimit no_core = { 0, 0 }, cpu;
    (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void) setrlimit(RLIMIT_CORE, &no_core);
    cpu.rlim_cur = (budget_ms ? budget_ms : WHOLE_MS) / 1000 + GRACE_CPU_S;
    cpu.rlim_max = cpu.rlim_cur + 1;
    (void) setrlimit(RLIMIT_CPU, &cpu);
    for (size_t i = 0; i < DZ_LEN(deadly); i++)
        (void) signal(deadly[i], SIG_DFL); /* cannot fail for these */
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (null >= 0)
        (void) dup2(null, STDERR_FILENO); /* LMDB says its assertions there */
}

static _Noreturn void
child(const char *dir, unsigned budget_ms, int tell)
{
    struct dz_err err = { "" };
    be_ready_to_die(budget_ms);
    enum dz_rc rc = look(dir, budget_ms, &err);
    if (rc != DZ_OK)
        (void) !write(tell, err.text, strlen(err.text)); /* the status says enough */
    _exit(CHILD_BASE + (int) rc);
}

/* ---- in the parent ---- */

/* The status as from waitpid; a child that overstays is killed. */
static int
await(pid_t pid, int64_t deadline)
{
    int status = 0;
    int fd = pidfd_open(pid, 0);
    struct pollfd ended = { .fd = fd, .events = POLLIN };
    for (int64_t left = deadline - dz_clock_ms(); fd >= 0 && left > 0;
         left = deadline - dz_clock_ms())
        if (poll(&ended, 1, (int) left) > 0)
            break;
    if (fd >= 0) {
        if (dz_clock_ms() >= deadline)
            (void) kill(pid, SIGKILL);
        (void) close(fd);
    }
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -1; /* somebody else reaped it: not known to be well */
    return status;
}

static bool
is_deadly(int signal)
{
    for (size_t i = 0; i < DZ_LEN(deadly); i++)
        if (deadly[i] == signal)
            return true;
    return false;
}

enum dz_rc
dz_kv_fail_reader(const char *dir, int signal, struct dz_err *err)
{
    if (signal != 0 && !is_deadly(signal))
        return dz_fail(err, DZ_IO, "the process that read '%s' was killed (signal %d)", dir,
                       signal);
    return dz_fail(err, DZ_CORRUPT, "'%s' is damaged: a program that reads it %s", dir,
                   signal == 0         ? "breaks off"
                   : signal == SIGXCPU ? "comes to no end"
                                       : "crashes");
}

/* Damaged is only what the file itself did to the child.  A child that was killed, or got no
 * processor in time, says nothing against the file. */
static enum dz_rc
judge(const char *dir, int status, const char *said, struct dz_err *err)
{
    if (status == -1)
        return DZ_OK; /* somebody else reaped it */
    if (WIFSIGNALED(status) && is_deadly(WTERMSIG(status)))
        return dz_kv_fail_reader(dir, WTERMSIG(status), err);
    if (!WIFEXITED(status) || WEXITSTATUS(status) == CHILD_BASE)
        return DZ_OK;
    if (WEXITSTATUS(status) < CHILD_BASE)
        return dz_kv_fail_reader(dir, 0, err);
    enum dz_rc rc = (enum dz_rc)(WEXITSTATUS(status) - CHILD_BASE);
    return strstr(said, dir) ? dz_fail(err, rc, "%s", said)
                             : dz_fail(err, rc, "'%s' is damaged: %s", dir, said);
}

/* ---- one that is not begun ---- */

/* What LMDB writes first are two meta pages, at once.  Who is killed in that write leaves a part of
 * them; a power cut also leaves any sectors, perhaps with some pages of the first commit behind.  No
 * transaction is counted in them yet, so nothing is lost: the first one is counted when the disk has
 * its pages, and with them both whole metas. */
struct meta {
    uint8_t page_head[16];
    uint32_t magic, version;
    uint64_t address, map_size;
    uint8_t tables[96];
    uint64_t last_page, txn;
};

enum { SECTOR = 512, FIRST_PAGES = 16 /* most that the first commit makes it */ };
#define MAGIC UINT32_C(0xbeefc0de)

/* Could this page have come of making the file?  complete_out: it is what it was to be. */
static bool
is_of_making(int fd, off_t at, bool *complete_out)
{
    struct meta meta = { .magic = 0 };
    if (pread(fd, &meta, sizeof(meta), at) < 0)
        return false;
    *complete_out &= meta.magic == MAGIC;
    return (meta.magic == 0 || meta.magic == MAGIC) && meta.txn == 0;
}

static bool
is_half_made(int fd, off_t size)
{
    long page = sysconf(_SC_PAGESIZE);
    if (size > FIRST_PAGES * page || size % SECTOR != 0)
        return false;
    bool is_complete = size >= METAS * page;
    for (int i = 0; i < METAS; i++)
        if (!is_of_making(fd, (off_t) i * page, &is_complete))
            return false;
    return !is_complete;
}

bool
kv_is_begun(const char *dir)
{
    DZ_AUTO(dz_free) char *path = NULL;
    struct stat file;
    errno = 0; /* a caller may ask why it is not */
    if (asprintf(&path, "%s/data.mdb", dir) < 0 || stat(path, &file) != 0 || file.st_size == 0)
        return false;
    DZ_AUTO(dz_fd_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd < 0 || !is_half_made(fd, file.st_size);
}

enum dz_rc
kv_why_none(const char *dir, struct dz_err *err)
{
    int why = errno;
    if (why != EACCES && why != ENOTDIR)
        return dz_fail(err, DZ_ABSENT, "there is no '%s'", dir);
    enum dz_rc rc = dz_fail_errno(err, "open '%s'", dir);
    return why == EACCES ? DZ_REFUSED : rc;
}

void
kv_clear_half_made(const char *dir)
{
    DZ_AUTO(dz_free) char *path = NULL;
    if (!kv_is_begun(dir) && asprintf(&path, "%s/data.mdb", dir) >= 0)
        (void) !truncate(path, 0); /* where there is none, or it cannot be, opening it tells */
}

/* ---- asking ---- */

enum dz_rc
dz_kv_check(const char *dir, unsigned budget_ms, struct dz_err *err)
{
    if (!kv_is_begun(dir))
        return kv_why_none(dir, err);
    int tell[2];
    if (pipe2(tell, O_CLOEXEC) != 0)
        return DZ_OK; /* no room for a check: go on without, as if its budget were too small */
    pid_t pid = fork();
    if (pid < 0) {
        (void) close(tell[0]);
        (void) close(tell[1]);
        return DZ_OK; /* likewise */
    }
    if (pid == 0)
        child(dir, budget_ms, tell[1]);
    (void) close(tell[1]);
    int status = await(pid, dz_clock_ms() + (budget_ms ? budget_ms + GRACE_MS : WHOLE_MS));
    char said[sizeof(err->text)] = "";
    ssize_t len = read(tell[0], said, sizeof(said) - 1);
    said[len > 0 ? len : 0] = '\0';
    (void) close(tell[0]);
    return judge(dir, status, said, err);
}

/* ---- quarantine ---- */

/* The first name that is free; NULL: none is. */
static char *
bad_name(const char *dir)
{
    for (int n = 1; n <= BAD_NAMES_MAX; n++) {
        char *name = NULL;
        if (asprintf(&name, "%s.bad-%d", dir, n) < 0)
            return NULL;
        if (access(name, F_OK) != 0)
            return name;
        free(name);
    }
    return NULL;
}

static enum dz_rc
rename_bad(const char *dir, char **moved_out, struct dz_err *err)
{
    DZ_AUTO(dz_free) char *name = bad_name(dir);
    if (!name)
        return dz_fail(err, DZ_LIMIT, "'%s' has %d damaged predecessors; remove some", dir,
                       BAD_NAMES_MAX);
    if (rename(dir, name) != 0)
        return dz_fail_errno(err, "rename '%s' to '%s'", dir, name);
    *moved_out = dz_move(name);
    return DZ_OK;
}

enum dz_rc
dz_kv_quarantine(const char *dir, char **moved_out, struct dz_err *err)
{
    DZ_AUTO(dz_free) char *lock_name = NULL;
    if (asprintf(&lock_name, "%s.lock", dir) < 0)
        return dz_fail(err, DZ_IO, "out of memory");
    int lock = open(lock_name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (lock < 0 || flock(lock, LOCK_EX) != 0) {
        if (lock >= 0)
            (void) close(lock);
        return dz_fail_errno(err, "lock '%s'", lock_name);
    }
    /* Under the lock: another process may have found the same, moved it, and begun a new one. */
    char *moved = NULL;
    struct dz_err seen;
    enum dz_rc rc = dz_kv_check(dir, 0, &seen);
    rc = rc == DZ_OK || rc == DZ_ABSENT ? DZ_OK : rename_bad(dir, &moved, err);
    (void) close(lock); /* gives up the lock */
    if (rc == DZ_OK)
        *moved_out = moved;
    return rc;
}

enum dz_rc
dz_kv_open_or_replace(const char *dir, const struct dz_kv_opts *opts, struct dz_kv **self_out,
                      char **bad_out, struct dz_err *err)
{
    dz_assert(!opts->is_readonly);
    *bad_out = NULL;
    enum dz_rc rc = dz_kv_open(dir, opts, self_out, err);
    if (rc != DZ_CORRUPT)
        return rc;
    DZ_AUTO(dz_free) char *moved = NULL;
    rc = dz_kv_quarantine(dir, &moved, err);
    if (rc != DZ_OK)
        return rc;
    rc = dz_kv_open(dir, opts, self_out, err);
    if (rc == DZ_OK)
        *bad_out = dz_move(moved);
    return rc;
}

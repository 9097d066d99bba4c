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
    GRACE_MS = 3000,       /* for a child that should have ended by itself */
    WHOLE_MS = 600 * 1000, /* most for a walk without a budget */
    BAD_NAMES_MAX = 10000,
    CHILD_BASE = 40, /* exit status of the child: this + enum dz_rc */
};

/* ---- in the child ---- */

static enum dz_rc
walk_table(MDB_txn *txn, MDB_dbi dbi, int64_t deadline, struct dz_err *err)
{
    MDB_cursor *cursor = NULL;
    MDB_val key, stored;
    struct dz_slice value;
    int code = mdb_cursor_open(txn, dbi, &cursor);
    for (unsigned i = 0; code == 0; i++) {
        code = mdb_cursor_get(cursor, &key, &stored, MDB_NEXT);
        if (code == 0 && !kv_value_ok(key, stored, &value))
            return dz_fail(err, DZ_CORRUPT, "a value does not match its checksum");
        if (i % CLOCK_EVERY == 0 && deadline && dz_clock_ms() > deadline)
            return DZ_AGAIN; /* enough seen */
    }
    return code == MDB_NOTFOUND ? DZ_OK : dz_fail(err, DZ_CORRUPT, "%s", mdb_strerror(code));
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
    enum dz_rc rc = DZ_OK;
    while (code == 0 && rc == DZ_OK &&
           (code = mdb_cursor_get(names, &name, &stored, MDB_NEXT)) == 0) {
        char text[DZ_KV_KEY_MAX + 1];
        MDB_dbi dbi;
        (void) snprintf(text, sizeof(text), "%.*s", (int) name.mv_size, (char *) name.mv_data);
        code = mdb_dbi_open(txn, text, 0, &dbi);
        if (code == 0)
            rc = walk_table(txn, dbi, deadline, err);
    }
    if (code != 0 && code != MDB_NOTFOUND)
        return dz_fail(err, DZ_CORRUPT, "%s", mdb_strerror(code));
    return rc == DZ_AGAIN ? DZ_OK : rc;
}

static enum dz_rc
look(const char *dir, unsigned budget_ms, struct dz_err *err)
{
    MDB_env *env = NULL;
    enum dz_rc rc = kv_env_open(dir, 0, true, &env, err);
    if (rc != DZ_OK)
        return rc;
    rc = walk(env, budget_ms ? dz_clock_ms() + budget_ms : 0, err);
    mdb_env_close(env);
    return rc;
}

static _Noreturn void
child(const char *dir, unsigned budget_ms, int tell)
{
    static const int deadly[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTERM, SIGPIPE };
    struct rlimit no_core = { 0, 0 };
    (void) prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void) setrlimit(RLIMIT_CORE, &no_core);
    for (size_t i = 0; i < DZ_LEN(deadly); i++)
        (void) signal(deadly[i], SIG_DFL); /* cannot fail for these */
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (null >= 0)
        (void) dup2(null, STDERR_FILENO); /* LMDB says its assertions there */
    struct dz_err err = { "" };
    enum dz_rc rc = look(dir, budget_ms, &err);
    if (rc != DZ_OK && write(tell, err.text, strlen(err.text)) < 0)
        rc = rc == DZ_OK ? DZ_IO : rc; /* the status says enough */
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

static enum dz_rc
judge(const char *dir, int status, const char *said, struct dz_err *err)
{
    if (status != -1 && WIFEXITED(status) && WEXITSTATUS(status) >= CHILD_BASE) {
        enum dz_rc rc = (enum dz_rc)(WEXITSTATUS(status) - CHILD_BASE);
        if (rc == DZ_OK)
            return DZ_OK;
        bool names_dir = strstr(said, dir) != NULL;
        return names_dir ? dz_fail(err, rc, "%s", said)
                         : dz_fail(err, rc, "'%s' is damaged: %s", dir, said);
    }
    if (status != -1 && WIFSIGNALED(status))
        return dz_fail(err, DZ_CORRUPT, "'%s' is damaged: reading it ends in signal %d", dir,
                       WTERMSIG(status));
    return dz_fail(err, DZ_CORRUPT, "'%s' is damaged: it cannot be read", dir);
}

static bool
has_data(const char *dir)
{
    DZ_AUTO(dz_free) char *path = NULL;
    struct stat file;
    return asprintf(&path, "%s/data.mdb", dir) >= 0 && stat(path, &file) == 0 && file.st_size > 0;
}

enum dz_rc
dz_kv_check(const char *dir, unsigned budget_ms, struct dz_err *err)
{
    if (!has_data(dir))
        return errno == EACCES ? dz_fail(err, DZ_REFUSED, "open '%s': Permission denied", dir)
                               : dz_fail(err, DZ_ABSENT, "there is no '%s'", dir);
    int tell[2];
    if (pipe2(tell, O_CLOEXEC) != 0)
        return dz_fail_errno(err, "make a pipe");
    pid_t pid = fork();
    if (pid < 0) {
        (void) close(tell[0]);
        (void) close(tell[1]);
        return dz_fail_errno(err, "fork");
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

static enum dz_rc
rename_bad(const char *dir, char **moved_out, struct dz_err *err)
{
    for (int n = 1; n <= BAD_NAMES_MAX; n++) {
        DZ_AUTO(dz_free) char *name = NULL;
        if (asprintf(&name, "%s.bad-%d", dir, n) < 0)
            return dz_fail(err, DZ_IO, "out of memory");
        if (access(name, F_OK) == 0)
            continue;
        if (rename(dir, name) == 0) {
            *moved_out = dz_move(name);
            return DZ_OK;
        }
        if (errno != EEXIST && errno != ENOTEMPTY)
            return dz_fail_errno(err, "rename '%s' to '%s'", dir, name);
    }
    return dz_fail(err, DZ_LIMIT, "'%s' has %d damaged predecessors; remove some", dir,
                   BAD_NAMES_MAX);
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

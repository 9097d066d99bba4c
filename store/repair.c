/* repair.c - zb doctor: checking in a child, repairing, and saving what a damaged file still has.
 *
 * Saving: a child copies tables key by key into a new store beside the old one and says how far it
 * is.  When it dies of the file, the next one goes on behind the job where it died. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared/base/fd.h"
#include "store/check.h"

enum {
    CHILD_CPU_S = 1800, /* a walk in circles ends */
    DEATHS_MAX = 64,    /* of children, in one table */
    COMMIT_BYTES = 4 << 20,
};

/* ---- a child that may die ---- */

static void
be_ready_to_die(void)
{
    struct rlimit no_core = { 0, 0 }, cpu = { CHILD_CPU_S, CHILD_CPU_S + 1 };
    static const int deadly[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT };
    (void) setrlimit(RLIMIT_CORE, &no_core);
    (void) setrlimit(RLIMIT_CPU, &cpu);
    for (size_t i = 0; i < DZ_LEN(deadly); i++)
        (void) signal(deadly[i], SIG_DFL); /* cannot fail for these */
}

typedef enum dz_rc child_fn(void *arg, int tell, struct dz_err *err);

/* What ends a child's speech. */
struct farewell {
    struct store_trouble trouble; /* text: of its error */
    enum dz_rc rc;
    uint64_t jobs, records;
};

static pid_t
start(child_fn *fn, void *arg, int *from_out, struct dz_err *err)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) {
        (void) dz_fail_errno(err, "make a pipe");
        return -1;
    }
    pid_t pid = fork();
    if (pid == 0) {
        struct dz_err why = { "" };
        be_ready_to_die();
        enum dz_rc rc = fn(arg, ends[1], &why);
        _exit(rc == DZ_OK ? 0 : 1);
    }
    (void) close(ends[1]);
    if (pid < 0) {
        (void) dz_fail_errno(err, "fork");
        (void) close(ends[0]);
        return -1;
    }
    *from_out = ends[0];
    return pid;
}

static bool
read_whole(int fd, void *to, size_t size)
{
    uint8_t *at = to;
    while (size > 0) {
        ssize_t got = read(fd, at, size);
        if (got <= 0 && !(got < 0 && errno == EINTR))
            return false;
        at += got > 0 ? got : 0;
        size -= (size_t) (got > 0 ? got : 0);
    }
    return true;
}

static int
await(pid_t pid)
{
    int status = 0;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return 0;
    return status;
}

/* ---- checking ---- */

struct message {
    bool is_last;
    struct store_trouble trouble;
    struct farewell end;
};

struct asking {
    const char *home;
    int tell;
};

static void
send_trouble(void *arg, const struct store_trouble *trouble)
{
    const struct asking *self = arg;
    struct message message = { .trouble = *trouble };
    struct dz_err unused;
    dz_ignore(dz_fd_write_all(self->tell,
                              (struct dz_slice){ (uint8_t *) &message, sizeof(message) }, &unused));
}

/* Damage may hide the names of tables, so that no store seems to be there, or lie where only who
 * writes looks. */
static enum dz_rc
look_behind(const char *home, struct dz_err *err)
{
    DZ_AUTO(dz_free) char *dir = NULL;
    struct dz_err why;
    enum dz_rc rc = store_dir_of(home, &dir, err);
    if (rc != DZ_OK)
        return rc;
    return dz_kv_check(dir, 0, &why) == DZ_CORRUPT ? dz_fail(err, DZ_CORRUPT, "%s", why.text)
                                                   : DZ_ABSENT;
}

static enum dz_rc
check_in_child(void *arg, int tell, struct dz_err *err)
{
    struct asking *self = arg;
    struct store_check work = { .on_trouble = send_trouble, .arg = self };
    DZ_AUTO(store_close) struct store *store = NULL;
    self->tell = tell;
    enum dz_rc rc = store_open_unchecked(self->home, STORE_READ, &store, err);
    struct checking checking = { .store = store, .work = &work };
    if (rc == DZ_OK)
        rc = check_all(&checking, err);
    if (rc == DZ_ABSENT)
        rc = look_behind(self->home, err);
    else if (rc == DZ_OK && work.troubles == 0 && look_behind(self->home, err) == DZ_CORRUPT)
        rc = DZ_CORRUPT;
    if (rc == DZ_IO)
        rc = DZ_CORRUPT; /* LMDB has many names for what it cannot walk */
    struct message last = { .is_last = true,
                            .end = { .rc = rc, .jobs = work.jobs, .records = work.records } };
    (void) snprintf(last.end.trouble.text, sizeof(last.end.trouble.text), "%s", err->text);
    return dz_fd_write_all(tell, (struct dz_slice){ (uint8_t *) &last, sizeof(last) }, err);
}

static enum dz_rc
fail_reader(const char *home, int signal, struct dz_err *err)
{
    DZ_AUTO(dz_free) char *dir = NULL;
    enum dz_rc rc = store_dir_of(home, &dir, err);
    return rc == DZ_OK ? dz_kv_fail_reader(dir, signal, err) : rc;
}

enum dz_rc
store_check(const char *home, struct store_check *work, struct dz_err *err)
{
    struct asking asking = { .home = home };
    struct message message = { .is_last = false };
    int from = -1;
    work->jobs = work->records = 0;
    work->troubles = work->repairable = 0;
    pid_t pid = start(check_in_child, &asking, &from, err);
    if (pid < 0)
        return DZ_IO;
    while (!message.is_last && read_whole(from, &message, sizeof(message))) {
        if (message.is_last)
            break;
        work->troubles++;
        work->repairable += message.trouble.can_repair;
        if (work->on_trouble)
            work->on_trouble(work->arg, &message.trouble);
    }
    (void) close(from);
    int status = await(pid);
    if (!message.is_last)
        return fail_reader(home, WIFSIGNALED(status) ? WTERMSIG(status) : 0, err);
    work->jobs = message.end.jobs;
    work->records = message.end.records;
    return message.end.rc == DZ_OK ? DZ_OK
                                   : dz_fail(err, message.end.rc, "%s", message.end.trouble.text);
}

/* ---- saving ---- */

struct saving {
    const char *from, *to;
    unsigned table;
    struct key at; /* the first key to look at */
};

/* The next key that a child will look at, said before it does. */
struct progress {
    unsigned table;
    struct key at;
    bool is_over;
};

static enum dz_rc
copy_table(struct dz_kv_txn *txn, struct saving *self, struct dz_kv *to, int tell,
           struct dz_err *err)
{
    DZ_AUTO(dz_kv_batch_fini) struct dz_kv_batch batch = { 0 };
    struct dz_slice key, value;
    DZ_AUTO(dz_kv_iter_fini) struct dz_kv_iter it;
    dz_kv_iter_init(&it, txn, self->table, (struct dz_slice){ 0 });
    it.is_keys_only = true;
    if (self->at.len > 0)
        dz_kv_iter_seek(&it, key_slice(&self->at));
    while (dz_kv_next(&it, &key, &value)) {
        struct progress progress = { .table = self->table };
        key_add(&progress.at, key.ptr, key.len);
        enum dz_rc rc = dz_fd_write_all(
            tell, (struct dz_slice){ (uint8_t *) &progress, sizeof(progress) }, err);
        if (rc == DZ_OK && dz_kv_get(txn, self->table, key, &value, err) == DZ_OK)
            dz_kv_batch_put(&batch, self->table, key, value);
        if (rc == DZ_OK && batch.len >= COMMIT_BYTES)
            rc = dz_kv_batch_commit(&batch, to, err);
        if (rc != DZ_OK)
            return rc;
    }
    return dz_kv_batch_commit(&batch, to, err); /* a broken walk ends here: what was seen counts */
}

struct copying {
    struct saving *saving;
    struct dz_kv *to;
    int tell;
};

static enum dz_rc
copy_rest(struct dz_kv_txn *txn, void *arg, struct dz_err *err)
{
    struct copying *self = arg;
    enum dz_rc rc = DZ_OK;
    for (; rc == DZ_OK && self->saving->table < TABLES; self->saving->table++) {
        rc = copy_table(txn, self->saving, self->to, self->tell, err);
        self->saving->at.len = 0;
    }
    return rc;
}

static enum dz_rc
save_in_child(void *arg, int tell, struct dz_err *err)
{
    struct saving *self = arg;
    DZ_AUTO(dz_kv_close) struct dz_kv *from = NULL;
    DZ_AUTO(dz_kv_close) struct dz_kv *to = NULL;
    enum dz_rc rc = store_open_tables(self->to, false, &to, err); /* at least an empty one */
    if (rc == DZ_OK)
        rc = store_open_tables(self->from, true, &from, err);
    struct copying copying = { self, to, tell };
    if (rc == DZ_OK)
        rc = dz_kv_read(from, copy_rest, &copying, err);
    struct progress last = { .is_over = rc == DZ_OK };
    if (rc == DZ_OK)
        rc = dz_fd_write_all(tell, (struct dz_slice){ (uint8_t *) &last, sizeof(last) }, err);
    return rc;
}

/* Behind all keys that begin as this one does: a job's, or whatever has the same first bytes. */
static void
pass_over(struct saving *self, const struct progress *died_at)
{
    self->table = died_at->table;
    self->at = died_at->at;
    if (self->at.len > DZ_ULID_LEN)
        self->at.len = DZ_ULID_LEN;
    while (self->at.len > 0 && self->at.bytes[self->at.len - 1] == 0xff)
        self->at.len--;
    if (self->at.len > 0)
        self->at.bytes[self->at.len - 1]++;
    else
        self->table++;
}

static enum dz_rc
save(const char *from, const char *to, struct dz_err *err)
{
    struct saving saving = { .from = from, .to = to };
    for (unsigned deaths = 0; deaths < DEATHS_MAX && saving.table < TABLES; deaths++) {
        struct progress progress = { .table = saving.table, .at = saving.at }, next;
        int tell = -1;
        pid_t pid = start(save_in_child, &saving, &tell, err);
        if (pid < 0)
            return DZ_IO;
        while (read_whole(tell, &next, sizeof(next)))
            progress = next;
        (void) close(tell);
        (void) await(pid);
        if (progress.is_over)
            return DZ_OK;
        pass_over(&saving, &progress);
    }
    return DZ_OK; /* what could be saved is there */
}

/* ---- repairing ---- */

static enum dz_rc
swap(const char *dir, const char *copy, char **saved_out, struct dz_err *err)
{
    DZ_AUTO(dz_free) char *bad = NULL;
    enum dz_rc rc = dz_kv_quarantine(dir, &bad, err);
    if (rc == DZ_OK && !bad)
        return dz_fail(err, DZ_AGAIN, "'%s' is sound by now", dir);
    if (rc == DZ_OK && rename(copy, dir) != 0)
        rc = dz_fail_errno(err, "rename '%s' to '%s'", copy, dir);
    if (rc == DZ_OK && saved_out)
        *saved_out = dz_move(bad);
    return rc;
}

static enum dz_rc
save_file(const char *home, char **saved_out, struct dz_err *err)
{
    DZ_AUTO(dz_free) char *dir = NULL;
    DZ_AUTO(dz_buf_fini) struct dz_buf copy = { 0 };
    enum dz_rc rc = store_dir_of(home, &dir, err);
    if (rc != DZ_OK)
        return rc;
    dz_buf_addf(&copy, "%s.saved-%ld", dir, (long) getpid());
    dz_buf_add(&copy, "", 1);
    rc = save(dir, (char *) copy.data, err);
    return rc == DZ_OK ? swap(dir, (char *) copy.data, saved_out, err) : rc;
}

enum dz_rc
store_repair(const char *home, struct store_check *work, char **saved_out, struct dz_err *err)
{
    DZ_AUTO(store_close) struct store *store = NULL;
    struct store_check silent = { .on_trouble = NULL };
    bool is_empty = false;
    if (saved_out)
        *saved_out = NULL;
    enum dz_rc rc = store_check(home, &silent, err);
    if (rc == DZ_CORRUPT)
        rc = save_file(home, saved_out, err);
    if (rc == DZ_OK)
        rc = store_open_unchecked(home, STORE_WRITE, &store, err);
    struct checking checking = { .store = store, .work = work, .is_repairing = true };
    if (rc == DZ_OK)
        rc = check_all(&checking, err);
    dz_kv_batch_fini(&checking.fixes);
    return rc == DZ_OK ? trash_empty(store, INT64_MAX, &is_empty, err) : rc;
}

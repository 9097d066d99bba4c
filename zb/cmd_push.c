/* cmd_push.c - zb push: what a run could not send, from its spool folder to where it belongs. */
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shared/base/clock.h"
#include "shared/base/files.h"
#include "shared/conf/url.h"
#include "shared/http/http.h"
#include "store/push/drain.h"
#include "store/push/push.h"
#include "zb/zb.h"

enum { WAIT_S = 60, WAIT_MAX_S = 86400, STEP_MS = 200, ARGS_MAX = 256 };
enum { ENDING_MS = 2000, ENDING_STEP_MS = 20 };

const struct argp_option cmd_push_options[] = {
    { "wait", 'w', "SECONDS", 0, "how long to try a server that does not answer (60)", 0 },
    { "keep", 'k', NULL, 0, "leave the folder where it is", 0 },
    { 0 },
};

struct pushing {
    struct zb *zb;
    unsigned long wait_s;
    bool is_keeping;
    const char *spools[ARGS_MAX];
    size_t spool_count;
    char *home; /* owned */
    struct dz_url url;
    struct dz_http *http; /* owned; NULL: into the store of the home */
    struct store *store;  /* owned; when there is no server */
    size_t sent;
};

static error_t
parse(int key, char *arg, struct argp_state *state)
{
    struct pushing *self = state->input;
    char *end = NULL;
    switch (key) {
    case 'k': self->is_keeping = true; return 0;
    case 'w':
        self->wait_s = strtoul(arg, &end, 10);
        if (*arg >= '0' && *arg <= '9' && !*end && self->wait_s <= WAIT_MAX_S)
            return 0;
        (void) fprintf(stderr, "%s: --wait is a whole number up to %d, not '%s'\n", state->name,
                       WAIT_MAX_S, arg);
        return EINVAL;
    case ARGP_KEY_ARG:
        if (self->spool_count == ARGS_MAX) {
            (void) fprintf(stderr, "%s: at most %d folders\n", state->name, ARGS_MAX);
            return EINVAL;
        }
        self->spools[self->spool_count++] = arg;
        return 0;
    case ARGP_KEY_END:
        if (self->spool_count > 0)
            return 0;
        (void) fprintf(stderr, "%s: which spool? A run prints the folder when it could not send\n",
                       state->name);
        return EINVAL;
    default: return ARGP_ERR_UNKNOWN;
    }
}

/* ---- one folder ---- */

static void
say_sent(struct pushing *self, const char *path, const char *ulid,
         const struct store_receipt *receipt)
{
    struct zb *zb = self->zb;
    self->sent++;
    if (zb->is_json) {
        jot_open(&zb->out, '{');
        jot_text(&zb->out, "schema", zb->command->schema);
        jot_text(&zb->out, "path", path);
        jot_text(&zb->out, "job", *receipt->job ? receipt->job : ulid);
        jot_text(&zb->out, "short", receipt->short_id);
        jot_int(&zb->out, "results", (int64_t) receipt->at.count[STREAM_RESULTS]);
        jot_int(&zb->out, "counted", receipt->counted);
        jot_bool(&zb->out, "sealed", receipt->is_sealed || receipt->is_witnessed);
        jot_close(&zb->out, '}');
        jot_end(&zb->out);
        return;
    }
    zb_say(zb, "%s: job %s, %llu results%s\n", path, receipt->short_id,
           (unsigned long long) receipt->at.count[STREAM_RESULTS],
           receipt->is_sealed || receipt->is_witnessed ? "" : "; its run did not end well");
}

static int
drain(struct pushing *self, struct spool_dir *dir, struct store_receipt *out, struct dz_err *err)
{
    enum dz_rc rc = drain_dir(self->store, dir, self->is_keeping, out, err);
    return rc == DZ_OK ? ZB_DONE : zb_exit_of(rc);
}

/* Until it is there or refused, or nothing was taken for too long, whatever was answered. */
static int
send_dir(struct pushing *self, struct spool_dir *dir, struct store_receipt *out, struct dz_err *err)
{
    struct push *push = NULL;
    struct push_cfg cfg = {
        .http = self->http, .url = self->url.text, .store = dir->store, .ulid = dir->ulid
    };
    enum dz_rc rc = push_new(&cfg, &push, err);
    dz_us patience = (dz_us) self->wait_s * 1000000, began = dz_clock_us();
    while (rc == DZ_OK && push_state(push) < PUSH_DONE) {
        dz_us now = dz_clock_us(), at = push_at(push);
        dz_us moved = push_moved(push) > began ? push_moved(push) : began;
        if (now - moved > patience)
            break;
        push_step(push, now);
        dz_us until = at < moved + patience ? at : moved + patience; /* a server may want more */
        dz_us wait = until > now ? until - now : 0;
        dz_http_wait(self->http, push_is_asking(push) ? STEP_MS : wait / 1000 + 1);
    }
    int code = ZB_DONE;
    if (rc == DZ_OK && push_state(push) == PUSH_DONE)
        *out = *push_receipt(push);
    else if (rc == DZ_OK)
        code = push_state(push) == PUSH_REFUSED ? ZB_DENIED : ZB_NO_STORE;
    else
        code = zb_exit_of(rc);
    if (code != ZB_DONE && rc == DZ_OK)
        dz_ignore(dz_fail(err, DZ_IO, "%s: %s", self->url.text,
                          *push_why(push) ? push_why(push) : "no answer"));
    push_destroy(&push);
    return code;
}

/* A run's agent may still be ending when the command line has come back. */
static enum dz_rc
open_dir(const char *path, struct spool_dir *dir, struct dz_err *err)
{
    int64_t until = dz_clock_ms() + ENDING_MS;
    enum dz_rc rc = spool_dir_open(path, STORE_READ, dir, err);
    while (rc == DZ_AGAIN && dz_clock_ms() < until) {
        (void) poll(NULL, 0, ENDING_STEP_MS);
        rc = spool_dir_open(path, STORE_READ, dir, err);
    }
    return rc;
}

static int
push_dir(struct pushing *self, const char *path)
{
    struct spool_dir dir = SPOOL_DIR_NONE;
    struct store_receipt receipt = { 0 };
    struct dz_err err;
    char ulid[STORE_ULID_LEN + 1];
    if (spool_dir_look(path) == SPOOL_HUSK) {
        if (!self->zb->is_json)
            zb_say(self->zb, "%s: nothing is left in it to send\n", path);
        return ZB_DONE;
    }
    enum dz_rc rc = open_dir(path, &dir, &err);
    if (rc != DZ_OK)
        return zb_fail(self->zb, rc == DZ_AGAIN ? ZB_TIMEOUT : zb_exit_of(rc), "%s", err.text);
    (void) snprintf(ulid, sizeof(ulid), "%s", dir.ulid);
    int code =
        self->http ? send_dir(self, &dir, &receipt, &err) : drain(self, &dir, &receipt, &err);
    if (code != ZB_DONE) {
        spool_dir_close(&dir);
        return zb_fail(self->zb, code, "%s: %s", path, err.text);
    }
    if (self->http && !self->is_keeping)
        spool_dir_remove(&dir);
    spool_dir_close(&dir);
    say_sent(self, path, ulid, &receipt);
    return ZB_DONE;
}

/* ---- what was named: a folder, a folder of folders, an archive ---- */

static int
push_all_in(struct pushing *self, const char *parent)
{
    char **paths = NULL;
    size_t count = spool_dirs(parent, &paths);
    int code = ZB_DONE;
    for (size_t i = 0; i < count; i++) {
        int one = push_dir(self, paths[i]);
        code = code == ZB_DONE ? one : code;
    }
    spool_dirs_free(paths, count);
    if (count == 0)
        return zb_fail(self->zb, ZB_ABSENT, "'%s' is no spool, and there is none in it", parent);
    return code;
}

/* tar reads every kind of compression, and lets no name out of the folder.  What it says of bytes that
 * are no archive is several lines: ours is enough. */
static bool
unpack(const char *archive, const char *into)
{
    int status = 0;
    pid_t pid = fork();
    if (pid == 0) {
        int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
        (void) dup2(nowhere, STDERR_FILENO);
        (void) execlp("tar", "tar", "-x", "--no-same-owner", "-f", archive, "-C", into,
                      (char *) NULL);
        _exit(127);
    }
    return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
           WEXITSTATUS(status) == 0;
}

/* Every spool below; ZB_ABSENT: there is none. */
static int
push_below(struct pushing *self, char *top, const char *archive)
{
    char *tops[] = { top, NULL };
    FTS *tree = fts_open(tops, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    int code = ZB_DONE;
    size_t found = 0;
    for (FTSENT *item = tree ? fts_read(tree) : NULL; item; item = fts_read(tree)) {
        if (item->fts_info != FTS_F || strcmp(item->fts_name, "data.mdb") != 0)
            continue;
        size_t len = (size_t) item->fts_pathlen - strlen("/data.mdb");
        DZ_AUTO(dz_free)
        char *dir = dz_slice_dup((struct dz_slice){ (const uint8_t *) item->fts_path, len });
        int one = push_dir(self, dir);
        code = code == ZB_DONE ? one : code;
        found++;
    }
    if (tree)
        (void) fts_close(tree);
    if (code == ZB_DONE && found == 0)
        return zb_fail(self->zb, ZB_ABSENT, "there is no spool in '%s'", archive);
    return code;
}

static int
push_archive(struct pushing *self, const char *archive)
{
    const char *base = getenv("TMPDIR"); /* NOLINT(concurrency-mt-unsafe): one thread */
    DZ_AUTO(dz_buf_fini) struct dz_buf path = { 0 };
    dz_buf_addf(&path, "%s/dagz-push-XXXXXX", base && *base ? base : "/tmp");
    DZ_AUTO(dz_free) char *dir = dz_slice_dup(dz_buf_slice(&path));
    if (!mkdtemp(dir))
        return zb_fail(self->zb, ZB_DENIED, "'%s' cannot be made", dir);
    int code =
        unpack(archive, dir)
            ? push_below(self, dir, archive)
            : zb_fail(self->zb, ZB_ABSENT, "'%s' is no spool, and tar cannot unpack it", archive);
    dz_remove_tree(dir);
    return code;
}

static int
push_named(struct pushing *self, const char *path)
{
    struct stat info;
    if (stat(path, &info) != 0 || !S_ISDIR(info.st_mode))
        return push_archive(self, path);
    return spool_dir_look(path) == SPOOL_NONE ? push_all_in(self, path) : push_dir(self, path);
}

/* Before any store is opened: one that is not there would be made. */
static int
drop_missing(struct pushing *self)
{
    struct stat info;
    size_t kept = 0;
    for (size_t i = 0; i < self->spool_count; i++) {
        if (stat(self->spools[i], &info) == 0)
            self->spools[kept++] = self->spools[i];
        else
            (void) zb_fail(self->zb, ZB_ABSENT, "'%s' is not there", self->spools[i]);
    }
    bool is_any_missing = kept < self->spool_count;
    self->spool_count = kept;
    return is_any_missing ? ZB_ABSENT : ZB_DONE;
}

/* ---- where to ---- */

static bool
answers(struct dz_http *http, const char *url)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf path = { 0 };
    DZ_AUTO(dz_buf_fini) struct dz_buf body = { 0 };
    struct dz_err unused;
    int status = 0;
    dz_buf_addf(&path, "%s/healthz", url);
    dz_buf_add(&path, "", 1);
    struct dz_http_ask ask = {
        .method = "GET", .url = (const char *) path.data, .answer_max = 4096, .timeout_ms = 2000
    };
    return dz_http_call(http, &ask, &status, &body, &unused) == DZ_OK && status == 200;
}

/* A server that was named, or one that answers; else the store of the home. */
static int
find_place(struct pushing *self)
{
    DZ_AUTO(dz_free) char *token = NULL;
    struct dz_err err;
    self->home = store_home();
    if (dz_url_find(self->zb->url, self->home, &self->url, &err) != DZ_OK)
        return zb_fail(self->zb, ZB_USAGE, "%s", err.text);
    if (dz_http_token(&token, &err) != DZ_OK)
        return zb_fail(self->zb, ZB_DENIED, "%s", err.text);
    struct dz_http_opts opts = { .token = token };
    if (!self->url.is_none && dz_http_new(&opts, &self->http, &err) != DZ_OK)
        return zb_fail(self->zb, ZB_NO_STORE, "%s", err.text);
    bool is_named = self->url.from == DZ_URL_OPTION || self->url.from == DZ_URL_ENV;
    if (self->url.is_none || (!is_named && !answers(self->http, self->url.text)))
        dz_http_destroy(&self->http);
    if (self->http)
        return ZB_DONE;
    enum dz_rc rc = store_open(self->home, STORE_WRITE, &self->store, NULL, &err);
    return rc == DZ_OK ? ZB_DONE : zb_fail(self->zb, zb_exit_of(rc), "%s", err.text);
}

int
cmd_push(struct zb *zb, int argc, char **argv)
{
    struct pushing self = { .zb = zb, .wait_s = WAIT_S };
    bool is_over;
    int code = zb_parse(zb, argc, argv, parse, &self, &is_over);
    if (is_over)
        return code;
    int missing = drop_missing(&self);
    if (self.spool_count == 0)
        return missing;
    code = find_place(&self);
    for (size_t i = 0; code != ZB_NO_STORE && code != ZB_USAGE && i < self.spool_count; i++) {
        int one = push_named(&self, self.spools[i]);
        code = code == ZB_DONE ? one : code;
    }
    dz_http_destroy(&self.http);
    store_close(&self.store);
    free(self.home);
    return code == ZB_DONE ? missing : code;
}

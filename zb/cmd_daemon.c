/* cmd_daemon.c - zb daemon: the store as a process of its own. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "shared/base/fd.h"
#include "shared/conf/conf.h"
#include "store/http/daemon.h"
#include "zb/zb.h"

enum { WAIT_S = 10, WAIT_MAX_S = 3600, LINES = 40, PIECE = 64 << 10, FOLLOW_MS = 1000 };

const struct argp_option cmd_daemon_options[] = {
    { "bg", 'b', NULL, 0, "up: in the background; returns when it is ready", 0 },
    { "restart", 'r', NULL, 0, "up: end the one that runs first", 0 },
    { "wait", 'w', "SECONDS", 0, "how long to wait for it to be ready, or gone (10)", 0 },
    { "follow", 'f', NULL, 0, "logs: go on with what comes", 0 },
    { "number", 'n', "N", 0, "logs: the last N lines (40)", 0 },
    { 0 },
};

struct daemon_args {
    const char *verb;
    bool is_background, is_restart, is_followed;
    unsigned long wait_s, lines;
    char *home; /* owned */
};

static error_t
parse_number(const char *arg, unsigned long most, const char *name, const char *option,
             unsigned long *out)
{
    char *end = NULL;
    *out = strtoul(arg, &end, 10);
    if (*arg >= '0' && *arg <= '9' && !*end && *out <= most)
        return 0;
    (void) fprintf(stderr, "%s: --%s is a whole number up to %lu, not '%s'\n", name, option, most,
                   arg);
    return EINVAL;
}

static error_t
parse(int key, char *arg, struct argp_state *state)
{
    struct daemon_args *self = state->input;
    switch (key) {
    case 'b': self->is_background = true; return 0;
    case 'r': self->is_restart = true; return 0;
    case 'f': self->is_followed = true; return 0;
    case 'w': return parse_number(arg, WAIT_MAX_S, state->name, "wait", &self->wait_s);
    case 'n': return parse_number(arg, 1000000, state->name, "number", &self->lines);
    case ARGP_KEY_ARG:
        if (!self->verb) {
            self->verb = arg;
            return 0;
        }
        return zb_parse_nothing(key, arg, state);
    default: return ARGP_ERR_UNKNOWN;
    }
}

static int
exit_of(enum dz_rc rc)
{
    switch (rc) {
    case DZ_AGAIN: return ZB_TIMEOUT;
    case DZ_EXISTS: return ZB_FAILED;
    case DZ_CORRUPT: return ZB_USAGE;
    default: return zb_exit_of(rc);
    }
}

/* ---- status ---- */

/* `why`: it does not answer; NULL: it does. */
static void
say_status(struct zb *zb, const struct daemon_status *status, const char *why)
{
    if (zb->is_json) {
        jot_open(&zb->out, '{');
        jot_text(&zb->out, "schema", zb->command->schema);
        jot_bool(&zb->out, "running", status->is_running);
        if (status->is_running) {
            jot_int(&zb->out, "pid", status->pid);
            jot_text(&zb->out, "url", status->url);
            jot_bool(&zb->out, "answers", !why);
        }
        jot_close(&zb->out, '}');
        jot_end(&zb->out);
    } else if (!status->is_running) {
        zb_say(zb, "no daemon is running\n");
    } else if (!status->url[0]) {
        zb_say(zb, "a daemon is starting\n");
    } else {
        zb_say(zb, "daemon: pid %ld, %s%s%s\n", status->pid, status->url,
               why ? ", but it does not answer: " : "", why ? why : "");
    }
}

static int
do_status(struct zb *zb, struct daemon_args *self)
{
    struct daemon_status status;
    struct dz_err err;
    daemon_look(self->home, &status);
    bool answers = status.is_running && status.url[0] && daemon_ask(&status, &err) == DZ_OK;
    say_status(zb, &status, answers || !status.url[0] ? NULL : err.text);
    return answers ? ZB_DONE : ZB_NO_STORE;
}

/* ---- up and down ---- */

static int
do_down(struct zb *zb, struct daemon_args *self)
{
    struct dz_err err;
    enum dz_rc rc = daemon_stop(self->home, (dz_ms) self->wait_s * 1000, &err);
    if (rc != DZ_OK && rc != DZ_ABSENT)
        return zb_fail(zb, exit_of(rc), "%s", err.text);
    if (zb->is_json)
        return do_status(zb, self) == ZB_NO_STORE ? ZB_DONE : ZB_FAILED;
    zb_say(zb, "%s\n", rc == DZ_ABSENT ? err.text : "the daemon has ended");
    return ZB_DONE;
}

static void
say_ready(void *arg, const char *url)
{
    struct zb *zb = arg;
    zb_say(zb, "the daemon answers at %s (Ctrl-C ends it)\n", url);
    zb_flush(zb);
}

static int
stay_up(struct zb *zb, struct daemon_args *self)
{
    struct dz_err err;
    enum dz_rc rc;
    if (self->is_background) {
        rc = daemon_start(self->home, (dz_ms) self->wait_s * 1000, &err);
        if (rc == DZ_OK)
            return do_status(zb, self);
    } else {
        rc = daemon_run(self->home, say_ready, zb, &err);
        if (rc == DZ_OK)
            return ZB_DONE;
    }
    return zb_fail(zb, exit_of(rc), "%s", err.text);
}

static int
do_up(struct zb *zb, struct daemon_args *self)
{
    struct daemon_status status;
    struct dz_err err;
    dz_ms wait_ms = (dz_ms) self->wait_s * 1000;
    enum dz_rc rc = self->is_restart ? daemon_stop(self->home, wait_ms, &err)
                                     : daemon_await(self->home, wait_ms, &status, &err);
    if (rc == DZ_ABSENT || (rc == DZ_OK && self->is_restart))
        return stay_up(zb, self);
    if (rc != DZ_OK)
        return zb_fail(zb, exit_of(rc), "%s", err.text);
    if (zb->is_json)
        say_status(zb, &status, NULL);
    else
        zb_say(zb, "daemon: pid %ld, %s is up already\n", status.pid, status.url);
    return ZB_DONE;
}

/* ---- logs ---- */

/* Where the last `lines` lines begin. */
static off_t
tail_of(int fd, unsigned long lines)
{
    char piece[4096];
    off_t at = lseek(fd, 0, SEEK_END);
    unsigned long seen = 0;
    while (at > 0) {
        off_t len = at < (off_t) sizeof(piece) ? at : (off_t) sizeof(piece);
        if (pread(fd, piece, (size_t) len, at - len) != len)
            return at;
        for (off_t i = len - 1; i >= 0; i--)
            if (piece[i] == '\n' && seen++ == lines)
                return at - len + i + 1;
        at -= len;
    }
    return 0;
}

static void
copy_from(struct zb *zb, int fd, off_t *at)
{
    ssize_t len;
    do {
        len = pread(fd, dz_buf_reserve(&zb->out, PIECE), PIECE, *at);
        if (len > 0) {
            zb->out.len += (size_t) len;
            *at += len;
        }
        zb_flush(zb);
    } while (len > 0);
}

static int
do_logs(struct zb *zb, struct daemon_args *self)
{
    DZ_AUTO(dz_free) char *path = daemon_log_path(self->home);
    DZ_AUTO(dz_fd_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno != ENOENT) {
        int code = errno == EACCES ? ZB_DENIED : ZB_NO_STORE;
        struct dz_err err;
        dz_ignore(dz_fail_errno(&err, "open '%s'", path)); /* for its text */
        return zb_fail(zb, code, "%s", err.text);
    }
    if (fd < 0)
        return zb_fail(zb, ZB_ABSENT, "no daemon has run here yet: there is no '%s'", path);
    off_t at = tail_of(fd, self->lines);
    copy_from(zb, fd, &at);
    DZ_AUTO(dz_fd_close) int watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (self->is_followed && watch >= 0)
        (void) inotify_add_watch(watch, path, IN_MODIFY); /* without it: once a second */
    while (self->is_followed) {
        char events[4096];
        struct pollfd news = { .fd = watch, .events = POLLIN };
        (void) poll(&news, 1, FOLLOW_MS);
        while (read(watch, events, sizeof(events)) > 0)
            continue;
        copy_from(zb, fd, &at);
    }
    return ZB_DONE;
}

/* ---- the command ---- */

static const struct {
    const char *name;
    int (*run)(struct zb *zb, struct daemon_args *self);
} VERBS[] = { { "up", do_up }, { "down", do_down }, { "status", do_status }, { "logs", do_logs } };

static int
refuse(struct zb *zb, const char *verb)
{
    const char *names[DZ_LEN(VERBS)];
    for (size_t i = 0; i < DZ_LEN(VERBS); i++)
        names[i] = VERBS[i].name;
    const char *near = verb ? dz_nearest(verb, names, DZ_LEN(names)) : NULL;
    if (near)
        return zb_fail(zb, ZB_USAGE, "there is no '%s'; did you mean '%s'?", verb, near);
    if (verb)
        return zb_fail(zb, ZB_USAGE, "knows up, down, status and logs, not '%s'", verb);
    return zb_fail(zb, ZB_USAGE, "say up, down, status or logs (see 'zb help daemon')");
}

int
cmd_daemon(struct zb *zb, int argc, char **argv)
{
    struct daemon_args self = { .wait_s = WAIT_S, .lines = LINES };
    bool is_over;
    int code = zb_parse(zb, argc, argv, parse, &self, &is_over);
    if (is_over)
        return code;
    for (size_t i = 0; self.verb && i < DZ_LEN(VERBS); i++) {
        if (strcmp(VERBS[i].name, self.verb) != 0)
            continue;
        if ((self.is_background || self.is_restart) && strcmp(self.verb, "up") != 0)
            return zb_fail(zb, ZB_USAGE, "--bg and --restart are for 'up', not for '%s'",
                           self.verb);
        self.home = store_home();
        code = VERBS[i].run(zb, &self);
        free(self.home);
        return code;
    }
    return refuse(zb, self.verb);
}

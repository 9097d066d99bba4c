/* background.c - starting a daemon that outlives its starter, and ending one. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "shared/base/clock.h"
#include "shared/base/fd.h"
#include "shared/http/http.h"
#include "shared/proc/proc.h"
#include "store/http/daemon.h"

enum { LOOK_NS = 10 * 1000 * 1000 };

/* One write: a digit for the code, then the text. */
static void
tell(int fd, enum dz_rc rc, const char *text)
{
    char line[DZ_URL_MAX];
    struct dz_err unused;
    (void) snprintf(line, sizeof(line), "%c%s", (char) ('0' + (int) rc), text);
    dz_ignore(dz_fd_write_all(fd, dz_str(line), &unused)); /* who waited may be gone */
}

static void
tell_ready(void *arg, const char *url)
{
    int *fd = arg;
    tell(*fd, DZ_OK, url);
    dz_fd_close(fd);
}

/* In the process that becomes the daemon: a session of its own, nothing of the terminal. */
static _Noreturn void
become(const char *home, int ready_fd)
{
    struct dz_err err;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    (void) setsid(); /* a fresh process leads no group: cannot fail */
    for (int fd = 0; fd <= 2 && null >= 0; fd++)
        (void) dup2(null, fd);
    if (chdir("/") != 0)
        _exit(1);
    enum dz_rc rc = daemon_run(home, tell_ready, &ready_fd, &err);
    if (rc != DZ_OK && ready_fd >= 0)
        tell(ready_fd, rc, err.text);
    _exit(rc == DZ_OK ? 0 : 1);
}

static enum dz_rc
rc_of_code(int code)
{
    return code > DZ_OK && code <= DZ_VERSION ? (enum dz_rc) code : DZ_IO;
}

/* The first bytes that come are all there is: what is written is shorter than a pipe's atom. */
static enum dz_rc
await(int fd, dz_ms wait_ms, struct dz_err *err)
{
    char text[sizeof(err->text)];
    struct pollfd ready = { .fd = fd, .events = POLLIN };
    dz_ms deadline = dz_clock_ms() + wait_ms;
    int rc;
    do {
        dz_ms left = deadline - dz_clock_ms();
        rc = poll(&ready, 1, left > 0 ? (int) left : 0);
    } while (rc < 0 && errno == EINTR);
    if (rc == 0)
        return dz_fail(err, DZ_AGAIN, "the daemon is not ready after %lld s",
                       (long long) wait_ms / 1000);
    ssize_t len = rc > 0 ? read(fd, text, sizeof(text) - 1) : -1;
    if (len <= 0)
        return dz_fail(err, DZ_IO, "the daemon died while it started; see 'zb daemon logs'");
    text[len] = '\0';
    return text[0] == '0' ? DZ_OK : dz_fail(err, rc_of_code(text[0] - '0'), "%s", text + 1);
}

enum dz_rc
daemon_start(const char *home, dz_ms wait_ms, struct dz_err *err)
{
    int pipes[2];
    if (pipe2(pipes, O_CLOEXEC) != 0)
        return dz_fail_errno(err, "make a pipe");
    DZ_AUTO(dz_fd_close) int from = pipes[0];
    DZ_AUTO(dz_fd_close) int to = pipes[1];
    pid_t pid = fork();
    if (pid < 0)
        return dz_fail_errno(err, "start a process");
    if (pid == 0) {
        if (fork() == 0) /* the daemon is nobody's child that would have to be reaped */
            become(home, to);
        _exit(0);
    }
    dz_fd_close(&to);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        continue;
    return await(from, wait_ms, err);
}

enum dz_rc
daemon_ask(const struct daemon_status *status, struct dz_err *err)
{
    enum { ANSWER_MAX = 4096, ANSWER_MS = 3000 };
    const struct dz_http_opts opts = { .token = NULL };
    char url[DZ_URL_MAX + 16];
    int code = 0;
    DZ_AUTO(dz_buf_fini) struct dz_buf body = { 0 };
    DZ_AUTO(dz_http_destroy) struct dz_http *client = NULL;
    (void) snprintf(url, sizeof(url), "%s/healthz", status->url);
    const struct dz_http_ask ask = {
        .method = "GET", .url = url, .answer_max = ANSWER_MAX, .timeout_ms = ANSWER_MS
    };
    enum dz_rc rc = dz_http_new(&opts, &client, err);
    if (rc == DZ_OK)
        rc = dz_http_call(client, &ask, &code, &body, err);
    if (rc == DZ_REFUSED) /* its certificate is none that we trust: somebody did answer */
        return DZ_OK;
    if (rc == DZ_OK && code != 200)
        return dz_fail(err, DZ_IO, "it answers with status %d", code);
    return rc;
}

enum dz_rc
daemon_await(const char *home, dz_ms wait_ms, struct daemon_status *out, struct dz_err *err)
{
    const struct timespec pause = { .tv_nsec = LOOK_NS };
    dz_ms deadline = dz_clock_ms() + wait_ms;
    daemon_look(home, out);
    while (out->is_running && out->pid == 0 && dz_clock_ms() < deadline) {
        (void) nanosleep(&pause, NULL);
        daemon_look(home, out);
    }
    if (!out->is_running)
        return dz_fail(err, DZ_ABSENT, "no daemon is running");
    return out->pid > 0 ? DZ_OK
                        : dz_fail(err, DZ_AGAIN, "a daemon is starting and does not get ready");
}

static enum dz_rc
await_end(int process, dz_ms deadline)
{
    struct pollfd end = { .fd = process, .events = POLLIN };
    for (;;) {
        dz_ms left = deadline - dz_clock_ms();
        int rc = poll(&end, 1, left > 0 ? (int) left : 0);
        if (rc > 0)
            return DZ_OK;
        if (rc == 0)
            return DZ_AGAIN;
    }
}

enum dz_rc
daemon_stop(const char *home, dz_ms wait_ms, struct dz_err *err)
{
    struct daemon_status status, again;
    dz_ms deadline = dz_clock_ms() + wait_ms;
    enum dz_rc rc = daemon_await(home, wait_ms, &status, err);
    if (rc != DZ_OK)
        return rc;
    /* a descriptor of the process, so that no other one is meant if it ends now */
    DZ_AUTO(dz_fd_close) int process = -1;
    rc = dz_pidfd_open((pid_t) status.pid, &process, err);
    daemon_look(home, &again);
    if (rc == DZ_ABSENT || !again.is_running || again.pid != status.pid)
        return dz_fail(err, DZ_ABSENT, "no daemon is running");
    if (rc != DZ_OK)
        return rc;
    if (!dz_pidfd_signal(process, SIGTERM) && !dz_pidfd_has_ended(process))
        return dz_fail(err, DZ_REFUSED, "pid %ld is another user's", status.pid);
    if (await_end(process, deadline) != DZ_OK)
        return dz_fail(err, DZ_AGAIN, "pid %ld has not ended after %lld s", status.pid,
                       (long long) wait_ms / 1000);
    return DZ_OK;
}

/* pager.c - long output goes through the user's pager, by git's rules.
 *
 * ZB_PAGER, else PAGER, else less; empty, "cat", or one that is not there: none.  LESS=FRX and LV=-c unless they are set:
 * what fits on one screen is printed as if there were no pager, and colours are kept.  Messages
 * that were going to the terminal go with the rest, so that they are seen at its end. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "zb/zb.h"

/* NULL: none is wanted. */
static const char *
choose(void)
{
    /* NOLINTBEGIN(concurrency-mt-unsafe): one thread */
    const char *pager = getenv("ZB_PAGER");
    pager = pager ? pager : getenv("PAGER");
    /* NOLINTEND(concurrency-mt-unsafe) */
    pager = pager ? pager : "less";
    return *pager && strcmp(pager, "cat") != 0 ? pager : NULL;
}

static bool
is_on_path(const char *name)
{
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): one thread */
    const char *path = getenv("PATH");
    for (path = path ? path : "/usr/bin:/bin"; *path; path += *path == ':') {
        char file[4096];
        size_t len = strcspn(path, ":"), name_len = strlen(name);
        if (len + name_len + 2 <= sizeof(file)) {
            memcpy(file, path, len);
            file[len] = '/';
            memcpy(file + len + 1, name, name_len + 1);
            if (access(file, X_OK) == 0)
                return true;
        }
        path += len;
    }
    return false;
}

/* It is a shell's command: whether what it begins with is there.  More than a plain word is the
 * shell's matter. */
static bool
can_start(const char *pager)
{
    char name[4096];
    struct stat info;
    size_t len = strcspn(pager, " \t");
    if (len == 0 || len >= sizeof(name) || strcspn(pager, "\"'\\$`=;&|<>(){}~*?[") < len)
        return true;
    memcpy(name, pager, len);
    name[len] = '\0';
    if (!strchr(name, '/'))
        return is_on_path(name);
    return stat(name, &info) == 0 && S_ISREG(info.st_mode) && access(name, X_OK) == 0;
}

_Noreturn static void
become(const char *pager, int from)
{
    (void) dup2(from, STDIN_FILENO);
    (void) close(from);
    (void) signal(SIGPIPE, SIG_DFL);
    /* NOLINTBEGIN(concurrency-mt-unsafe): one thread */
    (void) setenv("LESS", "FRX", 0);
    (void) setenv("LV", "-c", 0);
    /* NOLINTEND(concurrency-mt-unsafe) */
    (void) execl("/bin/sh", "sh", "-c", pager, (char *) NULL);
    _exit(127);
}

void
zb_pager_start(struct zb *self)
{
    int ends[2];
    const char *pager = choose();
    self->wants_pager = false;
    if (!pager || !can_start(pager) || pipe(ends) != 0)
        return;
    pid_t pid = fork();
    if (pid == 0) {
        (void) close(ends[1]);
        become(pager, ends[0]);
    }
    (void) close(ends[0]);
    if (pid > 0) {
        bool has_messages = isatty(STDERR_FILENO);
        (void) dup2(ends[1], STDOUT_FILENO);
        if (has_messages)
            (void) dup2(ends[1], STDERR_FILENO);
        (void) signal(SIGINT,
                      SIG_IGN); /* it is the pager's: it stops reading, and we end by that */
        self->pager = pid;
    }
    (void) close(ends[1]);
}

void
zb_pager_end(struct zb *self)
{
    if (self->pager == 0)
        return;
    (void) close(STDOUT_FILENO);
    (void) close(STDERR_FILENO);
    while (waitpid(self->pager, NULL, 0) < 0 && errno == EINTR)
        continue;
    self->pager = 0;
}

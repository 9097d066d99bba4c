/* writer.c - does the process that writes a job still live?
 *
 * A pid alone is reused; with its start time and this boot's id it names one process for ever. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/base/fd.h"
#include "store/job.h"

enum {
    PROC_FILE_MAX = 4096,
    FRESH_US = 30 * 1000000, /* a writer of another host that spoke so lately lives */
    HEIR_US = 3 * 1000000,   /* so soon after an agent's death there is another, or none comes */
};

enum writer {
    WRITER_LIVES,
    WRITER_GONE,    /* it was on this machine, and has ended */
    WRITER_UNKNOWN, /* another machine's, or of before its last start */
};

static void
read_boot(char *out, size_t size)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf text = { 0 };
    struct dz_err unused;
    if (dz_fd_read_file("/proc/sys/kernel/random/boot_id", PROC_FILE_MAX, &text, &unused) != DZ_OK)
        text.len = 0; /* then only pid and start time tell */
    dz_buf_add(&text, "", 1);
    (void) snprintf(out, size, "%.*s", (int) strcspn((char *) text.data, "\n"), (char *) text.data);
}

/* Field 22 of /proc/<pid>/stat, counted from behind the name, which may hold anything. */
static long long
started(int64_t pid)
{
    char path[64];
    struct dz_err unused;
    DZ_AUTO(dz_buf_fini) struct dz_buf text = { 0 };
    (void) snprintf(path, sizeof(path), "/proc/%lld/stat", (long long) pid);
    if (dz_fd_read_file(path, PROC_FILE_MAX, &text, &unused) != DZ_OK)
        return -1;
    dz_buf_add(&text, "", 1);
    char *at = strrchr((char *) text.data, ')');
    for (int field = 2; at && field < 22; field++) {
        at = strchr(at + 1, ' ');
        if (field == 2 && at && at[1] == 'Z')
            return -1; /* dead, only not reaped */
    }
    return at ? strtoll(at, NULL, 10) : -1;
}

static void
read_host(char *out, size_t size)
{
    if (gethostname(out, size) != 0)
        out[0] = '\0';
    out[size - 1] = '\0';
}

void
writer_note(json_t *head)
{
    char boot[64], host[256];
    read_boot(boot, sizeof(boot));
    read_host(host, sizeof(host));
    int64_t pid = getpid();
    (void) json_object_set_new(head, "host", json_text(host));
    (void) json_object_set_new(head, "boot", json_text(boot));
    (void) json_object_set_new(head, "pid", json_integer(pid));
    (void) json_object_set_new(head, "pid_start", json_integer(started(pid)));
}

void
writer_copy(json_t *head, const json_t *from)
{
    (void) json_object_set_new(head, "host", json_text(head_text(from, "host")));
    (void) json_object_set_new(head, "boot", json_text(head_text(from, "boot")));
    (void) json_object_set_new(head, "pid", json_integer(head_number(from, "pid")));
    (void) json_object_set_new(head, "pid_start", json_integer(head_number(from, "pid_start")));
}

static enum writer
state_of(const json_t *head)
{
    char boot[64], host[256];
    read_boot(boot, sizeof(boot));
    read_host(host, sizeof(host));
    if (strcmp(head_text(head, "host"), host) != 0 || strcmp(head_text(head, "boot"), boot) != 0)
        return WRITER_UNKNOWN;
    int64_t start = head_number(head, "pid_start");
    bool is_same = start >= 0 && started(head_number(head, "pid")) == start;
    return is_same ? WRITER_LIVES : WRITER_GONE;
}

bool
writer_is_there(const json_t *head, int64_t written_us, int64_t now_us)
{
    enum writer writer = state_of(head);
    int64_t silent_us = now_us - written_us;
    return writer == WRITER_LIVES || silent_us < (writer == WRITER_GONE ? HEIR_US : FRESH_US) ||
           now_us - head_number(head, "heard_us") < FRESH_US;
}

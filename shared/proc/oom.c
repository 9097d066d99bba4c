#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/base/fd.h"
#include "shared/proc/proc.h"

enum { TEXT_MAX = 1 << 16, PATH_LEN = 4096 };

/* The number on the line that begins with `key` and a space; 0 when there is none. */
static uint64_t
number_after(const char *text, const char *key)
{
    size_t len = strlen(key);
    for (const char *line = text; line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, key, len) == 0 && line[len] == ' ')
            return strtoull(line + len + 1, NULL, 10);
    }
    return 0;
}

static uint64_t
counter_in(int fd, const char *key)
{
    DZ_AUTO(dz_free) char *text = dz_realloc(NULL, TEXT_MAX, 1); /* little of which is touched */
    ssize_t got = fd >= 0 ? pread(fd, text, TEXT_MAX - 1, 0) : 0;
    if (got <= 0)
        return 0;
    text[got] = '\0';
    return number_after(text, key);
}

/* A line of /proc/self/cgroup is "id:controllers:path". v2 has id 0 and no controllers. */
static int
open_of_line(const char *line, size_t len)
{
    const char *first = memchr(line, ':', len);
    const char *second = first ? memchr(first + 1, ':', len - (size_t) (first + 1 - line)) : NULL;
    if (!second)
        return -1;
    int controllers_len = (int) (second - first - 1);
    int path_len = (int) (len - (size_t) (second + 1 - line));
    char path[PATH_LEN];
    if (controllers_len == 0)
        (void) snprintf(path, sizeof(path), "/sys/fs/cgroup%.*s/memory.events", path_len,
                        second + 1);
    else if (controllers_len == 6 && memcmp(first + 1, "memory", 6) == 0)
        (void) snprintf(path, sizeof(path), "/sys/fs/cgroup/memory%.*s/memory.oom_control",
                        path_len, second + 1);
    else
        return -1;
    return open(path, O_RDONLY | O_CLOEXEC);
}

static int
open_cgroup(void)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf text = { 0 };
    if (dz_fd_read_file("/proc/self/cgroup", TEXT_MAX, &text, NULL) != DZ_OK)
        return -1;
    const char *at = (const char *) text.data;
    const char *end = at + text.len;
    int fd = -1;
    while (fd < 0 && at < end) {
        const char *line_end = memchr(at, '\n', (size_t) (end - at));
        if (!line_end)
            line_end = end;
        fd = open_of_line(at, (size_t) (line_end - at));
        at = line_end + 1;
    }
    return fd;
}

void
dz_oom_init(struct dz_oom *self)
{
    self->vmstat = open("/proc/vmstat", O_RDONLY | O_CLOEXEC);
    self->cgroup = open_cgroup();
}

void
dz_oom_fini(struct dz_oom *self)
{
    dz_fd_close(&self->vmstat);
    dz_fd_close(&self->cgroup);
}

uint64_t
dz_oom_count(struct dz_oom *self)
{
    return counter_in(self->vmstat, "oom_kill") + counter_in(self->cgroup, "oom_kill");
}

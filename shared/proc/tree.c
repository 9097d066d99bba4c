/* tree.c - who descends from whom, read from /proc.
 *
 * One look reads every process's parent.  Marking descendants takes as many passes over that list
 * as the tree is deep, which is a handful. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/base/clock.h"
#include "shared/base/fd.h"
#include "shared/proc/proc.h"

enum {
    PROCESSES_MAX = 1 << 16, /* looked at */
    STAT_MAX = 512,          /* bytes of /proc/N/stat that are wanted */
    PAUSE_MS = 5,            /* between looks: the killed need a moment to go */
    DEPTH_MAX = 64,
};

struct entry {
    pid_t pid, parent;
    char state;
    bool is_ours;
    char name[32];
};

struct look {
    struct entry *entries; /* owned */
    size_t count, cap;
};

static void
look_fini(struct look *self)
{
    free(self->entries);
    *self = (struct look){ 0 };
}

/* "123 (name with ) in it) S 1 ...": the name ends at the last parenthesis. */
static bool
parse_stat(char *text, struct entry *out)
{
    char *open = strchr(text, '(');
    char *close = strrchr(text, ')');
    if (!open || !close || close < open || close[1] != ' ')
        return false;
    *close = '\0';
    (void) snprintf(out->name, sizeof(out->name), "%s", open + 1);
    out->state = close[2];
    char *end = NULL;
    long parent = strtol(close + 3, &end, 10);
    out->parent = (pid_t) parent;
    return end != close + 3;
}

static bool
read_entry(int proc, const char *name, struct entry *out)
{
    char *end = NULL;
    out->pid = (pid_t) strtol(name, &end, 10);
    if (*end != '\0' || out->pid <= 0)
        return false;
    char path[64], text[STAT_MAX];
    (void) snprintf(path, sizeof(path), "%d/stat", (int) out->pid);
    DZ_AUTO(dz_fd_close) int fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t got = read(fd, text, sizeof(text) - 1);
    if (got <= 0)
        return false;
    text[got] = '\0';
    return parse_stat(text, out);
}

static bool
read_one(pid_t pid, struct entry *out)
{
    char name[16];
    (void) snprintf(name, sizeof(name), "%d", (int) pid);
    DZ_AUTO(dz_fd_close) int proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return proc >= 0 && read_entry(proc, name, out);
}

pid_t
dz_proc_parent(pid_t pid)
{
    struct entry entry = { 0 };
    return read_one(pid, &entry) ? entry.parent : 0;
}

bool
dz_proc_is_stopped(pid_t pid)
{
    struct entry entry = { 0 };
    return read_one(pid, &entry) && entry.state == 'T';
}

static void
look_around(struct look *self)
{
    DIR *dir = opendir("/proc");
    if (!dir)
        return;
    struct dirent *item = readdir(dir);
    for (; item && self->count < PROCESSES_MAX; item = readdir(dir)) {
        if (item->d_name[0] < '1' || item->d_name[0] > '9')
            continue;
        if (self->count == self->cap) {
            self->cap = self->cap ? 2 * self->cap : 256;
            self->entries = dz_realloc(self->entries, self->cap, sizeof(*self->entries));
        }
        struct entry *entry = &self->entries[self->count];
        *entry = (struct entry){ 0 };
        if (read_entry(dirfd(dir), item->d_name, entry))
            self->count++;
    }
    (void) closedir(dir);
}

static bool
is_child(const struct look *self, const struct entry *entry, pid_t root)
{
    if (entry->parent == root)
        return true;
    for (size_t i = 0; i < self->count; i++) {
        if (self->entries[i].pid == entry->parent)
            return self->entries[i].is_ours;
    }
    return false;
}

static void
mark_descendants(struct look *self, pid_t root)
{
    bool found = true;
    for (int depth = 0; found && depth < DEPTH_MAX; depth++) {
        found = false;
        for (size_t i = 0; i < self->count; i++) {
            struct entry *entry = &self->entries[i];
            if (!entry->is_ours && entry->pid != root && is_child(self, entry, root))
                found = entry->is_ours = true;
        }
    }
}

static bool
is_living(const struct entry *entry)
{
    return entry->is_ours && entry->state != 'Z' && entry->state != 'X';
}

size_t
dz_tree_kill(pid_t root, unsigned budget_ms)
{
    dz_ms end = dz_clock_ms() + budget_ms;
    size_t sent = 0, living = 0;
    do {
        DZ_AUTO(look_fini) struct look look = { 0 };
        look_around(&look);
        mark_descendants(&look, root);
        living = 0;
        for (size_t i = 0; i < look.count; i++) {
            if (is_living(&look.entries[i]) && kill(look.entries[i].pid, SIGKILL) == 0)
                living++;
        }
        sent += living;
        if (living > 0)
            (void) usleep(PAUSE_MS * 1000);
    } while (living > 0 && dz_clock_ms() < end);
    return sent;
}

void
dz_tree_names(pid_t root, size_t limit, struct dz_buf *out)
{
    DZ_AUTO(look_fini) struct look look = { 0 };
    look_around(&look);
    mark_descendants(&look, root);
    size_t before = out->len;
    for (size_t i = 0; i < look.count && out->len - before + STAT_MAX < limit; i++) {
        if (is_living(&look.entries[i]))
            dz_buf_addf(out, "%s (%d)\n", look.entries[i].name, (int) look.entries[i].pid);
    }
}

/* doctor_machine.c - what the machine gives: processors, memory, shared memory, descriptors. */
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "shared/base/address.h"
#include "shared/base/fd.h"
#include "zb/doctor.h"

enum { SHM_LEAST_MB = 64, FILES_LEAST = 1024, ADDRESSES_SHOWN = 8 };

/* The first line of a file of the cgroup that zb is in; "" if there is none. */
static void
read_cgroup(const char *name, char out[ZB_WORD])
{
    char path[512] = "", own[256] = "";
    FILE *file = fopen("/proc/self/cgroup", "re");
    *out = '\0';
    while (file && fgets(path, sizeof(path), file))
        if (sscanf(path, "0::%255s", own) == 1) /* NOLINT(cert-err34-c): a word */
            break;
    if (file)
        (void) fclose(file);
    (void) snprintf(path, sizeof(path), "/sys/fs/cgroup%s/%s", own, name);
    file = fopen(path, "re");
    if (!file) { /* in a container its own cgroup is the root */
        (void) snprintf(path, sizeof(path), "/sys/fs/cgroup/%s", name);
        file = fopen(path, "re");
    }
    if (!file)
        return;
    if (fgets(out, ZB_WORD, file))
        out[strcspn(out, "\n")] = '\0';
    (void) fclose(file);
}

static void
look_at_processors(struct doctor *self)
{
    char text[ZB_WORD];
    cpu_set_t set;
    double quota = 0, period = 0;
    int count = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
    read_cgroup("cpu.max", text);
    char *rest = NULL;
    quota = strtod(text, &rest);
    period = rest ? strtod(rest, NULL) : 0;
    if (quota > 0 && period > 0 && quota / period < count)
        doctor_say(self, FINDING_OK, "processors", NULL, "%d, of which the cgroup gives %.1f",
                   count, quota / period);
    else
        doctor_say(self, FINDING_OK, "processors", NULL, "%d", count);
}

static void
look_at_memory(struct doctor *self)
{
    char text[ZB_WORD];
    double pages = (double) sysconf(_SC_PHYS_PAGES), size = (double) sysconf(_SC_PAGESIZE);
    read_cgroup("memory.max", text);
    double limit = strtod(text, NULL);
    if (limit > 0 && limit < pages * size)
        doctor_say(self, FINDING_OK, "memory", NULL, "%.1f GB, of which the cgroup gives %.1f",
                   pages * size / 1e9, limit / 1e9);
    else
        doctor_say(self, FINDING_OK, "memory", NULL, "%.1f GB", pages * size / 1e9);
}

static void
look_at_shm(struct doctor *self)
{
    struct statvfs fs;
    if (statvfs("/dev/shm", &fs) != 0 || access("/dev/shm", W_OK) != 0) {
        doctor_say(self, FINDING_WARNING, "/dev/shm", "docker run --shm-size=256m",
                   "not there, or not writable: tests that share memory will fail");
        return;
    }
    uint64_t free_mb = (uint64_t) fs.f_bavail * fs.f_frsize >> 20;
    if (free_mb < SHM_LEAST_MB)
        doctor_say(self, FINDING_WARNING, "/dev/shm", "docker run --shm-size=256m",
                   "%llu MB free: tests that share memory may be killed",
                   (unsigned long long) free_mb);
    else
        doctor_say(self, FINDING_OK, "/dev/shm", NULL, "%llu MB free",
                   (unsigned long long) free_mb);
}

static void
look_at_kernel(struct doctor *self)
{
    struct utsname name;
    int fd = (int) syscall(SYS_pidfd_open, getpid(), 0);
    (void) uname(&name);
    if (fd < 0)
        doctor_say(self, FINDING_WRONG, "kernel",
                   "a kernel from 5.3 on, and a sandbox that allows it",
                   "%s gives no pidfd: the agent cannot watch its workers", name.release);
    else
        doctor_say(self, FINDING_OK, "kernel", NULL, "%s %s", name.sysname, name.release);
    dz_fd_close(&fd);
}

static void
look_at_files(struct doctor *self)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    if (limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur < FILES_LEAST)
        doctor_say(self, FINDING_WARNING, "open files", "ulimit -n 4096",
                   "at most %llu: many workers may run out of them",
                   (unsigned long long) limit.rlim_cur);
    else
        doctor_say(self, FINDING_OK, "open files", NULL, "at most %llu",
                   (unsigned long long) limit.rlim_cur);
}

static bool
can_listen(struct dz_err *err)
{
    const struct sockaddr_in any = { .sin_family = AF_INET };
    DZ_AUTO(dz_fd_close) int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && bind(fd, (const struct sockaddr *) &any, sizeof(any)) == 0 && listen(fd, 1) == 0)
        return true;
    (void) dz_fail_errno(err, "listen at a free port");
    return false;
}

/* What a node would tell the others.  Whether they get there cannot be seen from here. */
static void
look_at_network(struct doctor *self)
{
    static const char loopback[] = "tcp://127.";
    DZ_AUTO(dz_strs_fini) struct dz_strs all = { 0 };
    DZ_AUTO(dz_buf_fini) struct dz_buf list = { 0 };
    struct dz_err err;
    dz_address_add(&all, "", ADDRESSES_SHOWN);
    for (size_t i = 0; i < all.len; i++) {
        const char *address = all.items[i] + strlen("tcp://");
        if (strncmp(all.items[i], loopback, strlen(loopback)) != 0)
            dz_buf_addf(&list, "%s%.*s", list.len ? ", " : "", (int) strlen(address) - 1, address);
    }
    dz_buf_add(&list, "", 1);
    if (!can_listen(&err))
        doctor_say(self, FINDING_NOTE, "network", NULL,
                   "nodes of other machines reach those here only through a store: %s", err.text);
    else if (list.len == 1)
        doctor_say(self, FINDING_NOTE, "network", NULL,
                   "nodes of other machines reach those here only through a store: there is no "
                   "address but loopback");
    else
        doctor_say(self, FINDING_OK, "network", NULL,
                   "nodes here are offered to other machines at %s, any free port; from where that "
                   "is not reached, through the store",
                   (char *) list.data);
}

void
doctor_look_at_machine(struct doctor *self)
{
    look_at_kernel(self);
    look_at_processors(self);
    look_at_memory(self);
    look_at_shm(self);
    look_at_files(self);
    look_at_network(self);
}

/* residence.c - pages of the file that this process has looked at, given back.
 *
 * LMDB reads through a mapping, and what was looked at once stays in this process's account although it
 * is only the system's cache of the file.  An agent that writes for minutes comes to hold all of it.
 * Dropping a page costs nothing but a minor fault when it is looked at again. */
#include <inttypes.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "shared/base/clock.h"
#include "shared/kv/env.h"

enum { PAUSE_MS = 1000, SMALL = 4 << 20 /* bytes of a file that may stay: looking costs more */ };

static bool
is_ours(const char *line, const struct stat *file, uintptr_t *begin_out, uintptr_t *end_out)
{
    unsigned major_no, minor_no;
    uint64_t inode;
    if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %*4s %*x %x:%x %" SCNu64, begin_out, end_out,
               &major_no, &minor_no, &inode) != 5)
        return false;
    return inode == file->st_ino && makedev(major_no, minor_no) == file->st_dev;
}

/* Where the file is mapped: LMDB does not say.  The list is long, and is read once for each map. */
static bool
find_map(struct dz_kv *self, const struct stat *file)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[512];
    uintptr_t begin = 0, end = 0;
    while (maps && !self->map && fgets(line, sizeof(line), maps)) {
        if (!is_ours(line, file, &begin, &end))
            continue;
        self->map = (void *) begin; // NOLINT(performance-no-int-to-ptr): what the kernel tells
        self->map_len = end - begin;
    }
    if (maps)
        (void) fclose(maps); /* was only read */
    return self->map;
}

void
kv_walked(struct dz_kv_walk *self, MDB_val stored)
{
    enum { READ_AROUND = 64 << 10, KEPT = 8 << 20 };
    const uint8_t *begin = stored.mv_data, *end = begin + stored.mv_size;
    self->low = !self->low || begin < self->low ? begin : self->low;
    self->high = end > self->high ? end : self->high;
    self->len += stored.mv_size < READ_AROUND ? READ_AROUND : stored.mv_size;
    if (self->len < KEPT)
        return;
    uintptr_t page = (uintptr_t) sysconf(_SC_PAGESIZE), low = (uintptr_t) self->low / page * page;
    /* NOLINTNEXTLINE(performance-no-int-to-ptr): where a page begins */
    (void) madvise((void *) low, (uintptr_t) self->high - low, MADV_DONTNEED); /* else they stay */
    *self = (struct dz_kv_walk){ 0 };
}

void
kv_drop_pages(struct dz_kv *self)
{
    dz_ms now = dz_clock_ms();
    struct stat file;
    mdb_filehandle_t fd;
    if (!self->env || now - self->dropped_at < PAUSE_MS)
        return;
    self->dropped_at = now;
    if (mdb_env_get_fd(self->env, &fd) == 0 && fstat(fd, &file) == 0 && file.st_size > SMALL &&
        (self->map || find_map(self, &file)))
        (void) madvise(self->map, self->map_len, MADV_DONTNEED); /* else they stay: no harm */
}

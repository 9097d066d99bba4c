#include "tests/crash/cut.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { FILES_MAX = 64, SECTOR = 512, PATH_LEN = 256, TORN_OF = 4 /* one in four is torn */ };

enum kind { WRITE, WRITE_THROUGH, SYNC, PROMISE };

struct event {
    enum kind kind;
    unsigned file;
    uint32_t promise;
    size_t offset, len;
    uint8_t *bytes; /* owned */
};

/* What an image is made of: what is certain, and the events since that are not. */
struct content {
    uint8_t *bytes; /* owned */
    size_t len, cap;
};

static struct {
    char folder[PATH_LEN];
    bool is_on;
    char files[FILES_MAX][PATH_LEN]; /* below the folder */
    unsigned file_count;
    struct event *events; /* owned */
    size_t count, cap;
} recorder;

/* ---- recording ---- */

static struct event *
add_event(enum kind kind, unsigned file)
{
    if (recorder.count == recorder.cap) {
        recorder.cap = recorder.cap ? recorder.cap * 2 : 1024;
        recorder.events = dz_realloc(recorder.events, recorder.cap, sizeof(*recorder.events));
    }
    struct event *event = &recorder.events[recorder.count++];
    *event = (struct event){ .kind = kind, .file = file };
    return event;
}

/* The number of the file that a descriptor is of, or -1. */
static int
file_of(int fd)
{
    char link[64], path[PATH_LEN];
    size_t len = strlen(recorder.folder);
    if (!recorder.is_on)
        return -1;
    (void) snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t got = readlink(link, path, sizeof(path) - 1);
    if (got <= 0)
        return -1;
    path[got] = '\0';
    const char *name = strrchr(path, '/');
    if (!name || strcmp(name, "/data.mdb") != 0 || strncmp(path, recorder.folder, len) != 0)
        return -1;
    for (unsigned i = 0; i < recorder.file_count; i++)
        if (strcmp(recorder.files[i], path + len) == 0)
            return (int) i;
    dz_assert(recorder.file_count < FILES_MAX);
    (void) snprintf(recorder.files[recorder.file_count], PATH_LEN, "%s", path + len);
    return (int) recorder.file_count++;
}

static void
note_write(int fd, off_t offset, const struct iovec *parts, int count)
{
    int file = file_of(fd);
    size_t len = 0;
    if (file < 0)
        return;
    for (int i = 0; i < count; i++)
        len += parts[i].iov_len;
    bool is_through = fcntl(fd, F_GETFL) & O_DSYNC;
    struct event *event = add_event(is_through ? WRITE_THROUGH : WRITE, (unsigned) file);
    event->offset = (size_t) offset;
    event->bytes = dz_alloc0(len + 1, 1);
    for (int i = 0; i < count; i++) {
        memcpy(event->bytes + event->len, parts[i].iov_base, parts[i].iov_len);
        event->len += parts[i].iov_len;
    }
}

static void
note_sync(int fd)
{
    int file = file_of(fd);
    if (file >= 0)
        (void) add_event(SYNC, (unsigned) file);
}

void
cut_record(const char *folder)
{
    recorder.is_on = folder != NULL;
    if (folder)
        (void) snprintf(recorder.folder, sizeof(recorder.folder), "%s", folder);
}

void
cut_promise(uint32_t promise)
{
    add_event(PROMISE, 0)->promise = promise;
}

size_t
cut_events(void)
{
    return recorder.count;
}

/* ---- in front of the C library ---- */

#define EXPORT __attribute__((visibility("default")))
/* ISO C knows no pointer to a function as a pointer to data; POSIX does. */
#define NEXT(name) (*(__typeof__(&name) *) &(void *){ dlsym(RTLD_NEXT, #name) })

EXPORT ssize_t
pwrite(int fd, const void *bytes, size_t len, off_t offset)
{
    struct iovec part = { (void *) bytes, len };
    note_write(fd, offset, &part, 1);
    return NEXT(pwrite)(fd, bytes, len, offset);
}

EXPORT ssize_t
write(int fd, const void *bytes, size_t len)
{
    struct iovec part = { (void *) bytes, len };
    if (recorder.is_on)
        note_write(fd, lseek(fd, 0, SEEK_CUR), &part, 1);
    return NEXT(write)(fd, bytes, len);
}

EXPORT ssize_t
writev(int fd, const struct iovec *parts, int count)
{
    if (recorder.is_on)
        note_write(fd, lseek(fd, 0, SEEK_CUR), parts, count);
    return NEXT(writev)(fd, parts, count);
}

EXPORT int
fdatasync(int fd)
{
    int rc = NEXT(fdatasync)(fd);
    note_sync(fd);
    return rc;
}

EXPORT int
fsync(int fd)
{
    int rc = NEXT(fsync)(fd);
    note_sync(fd);
    return rc;
}

/* ---- images ---- */

uint64_t
cut_draw(uint64_t *seed)
{
    uint64_t z = *seed += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static void
put(struct content *self, size_t offset, const uint8_t *bytes, size_t len)
{
    if (offset + len > self->cap) {
        size_t cap = (offset + len) * 2;
        self->bytes = dz_realloc(self->bytes, cap, 1);
        memset(self->bytes + self->cap, 0, cap - self->cap);
        self->cap = cap;
    }
    memcpy(self->bytes + offset, bytes, len);
    if (offset + len > self->len)
        self->len = offset + len;
}

static void
put_torn(struct content *self, const struct event *event, uint64_t *seed)
{
    for (size_t at = 0; at < event->len; at += SECTOR) {
        size_t len = event->len - at < SECTOR ? event->len - at : SECTOR;
        if (cut_draw(seed) & 1)
            put(self, event->offset + at, event->bytes + at, len);
    }
}

/* Some of them, each whole, torn, or not at all; the later ones perhaps before the earlier. */
static void
put_some(struct content *self, const struct event **pending, size_t count, uint64_t *seed)
{
    uint64_t share = cut_draw(seed) % 5; /* from nearly none to nearly all */
    for (size_t i = count; i > 1; i--) {
        size_t k = cut_draw(seed) % i;
        const struct event *other = pending[k];
        pending[k] = pending[i - 1];
        pending[i - 1] = other;
    }
    for (size_t i = 0; i < count; i++) {
        if (cut_draw(seed) % 4 >= share)
            continue;
        if (cut_draw(seed) % TORN_OF == 0)
            put_torn(self, pending[i], seed);
        else
            put(self, pending[i]->offset, pending[i]->bytes, pending[i]->len);
    }
}

static void
make_folders(const char *path)
{
    char part[2 * PATH_LEN];
    (void) snprintf(part, sizeof(part), "%s", path);
    for (char *p = part + 1; *p; p++) {
        if (*p != '/')
            continue;
        *p = '\0';
        (void) mkdir(part, 0700);
        *p = '/';
    }
}

static void
save(const struct content *self, const char *into, unsigned file)
{
    char path[2 * PATH_LEN];
    (void) snprintf(path, sizeof(path), "%s%s", into, recorder.files[file]);
    make_folders(path);
    FILE *out = fopen(path, "w");
    dz_assert(out);
    if (self->len > 0)
        dz_assert(fwrite(self->bytes, 1, self->len, out) == self->len);
    dz_assert(fclose(out) == 0);
}

/* One file's content up to a cut during `event`; false: it was not begun. */
static bool
build(unsigned file, size_t event, uint64_t *seed, struct content *out)
{
    const struct event **pending = dz_alloc0(event + 2, sizeof(struct event *));
    size_t count = 0;
    bool is_there = false;
    for (size_t i = 0; i <= event; i++) {
        const struct event *e = &recorder.events[i];
        bool is_during = i == event;
        if (e->kind == PROMISE || e->file != file)
            continue;
        is_there = true;
        if (e->kind == WRITE || (e->kind == WRITE_THROUGH && is_during))
            pending[count++] = e;
        else if (e->kind == WRITE_THROUGH)
            put(out, e->offset, e->bytes, e->len);
        else if (!is_during) {
            for (size_t k = 0; k < count; k++)
                put(out, pending[k]->offset, pending[k]->bytes, pending[k]->len);
            count = 0;
        }
    }
    put_some(out, pending, count, seed);
    free(pending);
    return is_there;
}

void
cut_image(size_t event, uint64_t seed, const char *into, uint32_t *promise_out)
{
    *promise_out = 0;
    for (size_t i = 0; i < event; i++)
        if (recorder.events[i].kind == PROMISE)
            *promise_out = recorder.events[i].promise;
    for (unsigned file = 0; file < recorder.file_count; file++) {
        struct content content = { .bytes = NULL };
        if (build(file, event, &seed, &content))
            save(&content, into, file);
        free(content.bytes);
    }
}

#include "vassal/io/spool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/base/clock.h"
#include "shared/kv/kv.h"

enum {
    CHECK_MS = 500,
    OLD_MAX = 64, /* earlier lives of one job's agent that are looked for */
};

enum table { RECORDS, PARTIALS, ROLLS, STATE, TABLES };
static const char *const table_names[TABLES] = { "record", "partial", "roll", "state" };

struct spool {
    struct dz_kv *kv;         /* owned */
    struct dz_kv_batch batch; /* what the next commit writes */
    uint64_t next_record;     /* key of the next one: the order of journaling */
    uint32_t next_part;
    bool is_due; /* the batch holds what is not patient */
    bool is_lost;
};

static const struct dz_kv_opts opts = {
    .tables = table_names,
    .table_count = TABLES,
    .check_ms = CHECK_MS,
    .is_unsynced = true,
};

static void
path_of(char out[PATH_MAX], const char *home, const char *job, uint64_t inc)
{
    (void) snprintf(out, PATH_MAX, "%s/spool/%s-%" PRIu64, home, job, inc);
}

static enum dz_rc
make_folders(const char *home, struct dz_err *err)
{
    char path[PATH_MAX];
    (void) snprintf(path, sizeof(path), "%s/spool", home);
    if ((mkdir(home, 0700) != 0 && errno != EEXIST) || (mkdir(path, 0700) != 0 && errno != EEXIST))
        return dz_fail_errno(err, "make %s", path);
    return DZ_OK;
}

enum dz_rc
spool_open(const char *home, const char *job, uint64_t inc, struct spool **self_out,
           char **note_out, struct dz_err *err)
{
    *note_out = NULL;
    enum dz_rc rc = make_folders(home, err);
    if (rc != DZ_OK)
        return rc;
    DZ_AUTO(spool_close) struct spool *self = dz_alloc0(1, sizeof(*self));
    char path[PATH_MAX];
    path_of(path, home, job, inc);
    DZ_AUTO(dz_free) char *bad = NULL;
    rc = dz_kv_open_or_replace(path, &opts, &self->kv, &bad, err);
    if (rc != DZ_OK)
        return rc;
    if (bad) {
        DZ_AUTO(dz_buf_fini) struct dz_buf text = { 0 };
        dz_buf_addf(&text, "a damaged spool was put aside as %s", bad);
        *note_out = dz_slice_dup(dz_buf_slice(&text));
    }
    *self_out = dz_move(self);
    return DZ_OK;
}

void
spool_close(struct spool **self_p)
{
    struct spool *self = dz_move(*self_p);
    if (!self)
        return;
    dz_kv_batch_fini(&self->batch);
    dz_kv_close(&self->kv);
    free(self);
}

/* ------------------------------------------------------------------ collecting */

/* Big-endian, so that keys sort as numbers do. */
static void
put_u64(uint8_t out[8], uint64_t number)
{
    for (int i = 0; i < 8; i++)
        out[i] = (uint8_t) (number >> (56 - 8 * i));
}

static uint64_t
get_u64(const uint8_t *from)
{
    uint64_t number = 0;
    for (int i = 0; i < 8; i++)
        number = number << 8 | from[i];
    return number;
}

static bool
is_off(const struct spool *self)
{
    return !self || self->is_lost;
}

static void
put(struct spool *self, enum table table, const uint8_t *key, size_t key_len,
    const struct dz_buf *value)
{
    dz_kv_batch_put(&self->batch, table, (struct dz_slice){ key, key_len }, dz_buf_slice(value));
}

void
spool_put_record(struct spool *self, const struct cargo_item *item)
{
    if (is_off(self))
        return;
    uint8_t key[8];
    put_u64(key, ++self->next_record);
    DZ_AUTO(dz_buf_fini) struct dz_buf value = { 0 };
    cargo_encode(item, &value);
    put(self, RECORDS, key, sizeof(key), &value);
    self->is_due = true;
}

void
spool_put_partial(struct spool *self, uint64_t life, uint32_t nth, uint64_t pos,
                  struct dz_slice bytes)
{
    if (is_off(self))
        return;
    uint8_t key[16], where[8];
    put_u64(key, life);
    put_u64(key + 8, nth);
    put_u64(where, pos);
    DZ_AUTO(dz_buf_fini) struct dz_buf value = { 0 };
    dz_buf_add(&value, where, sizeof(where));
    dz_buf_add(&value, bytes.ptr, bytes.len);
    put(self, PARTIALS, key, sizeof(key), &value);
    self->is_due = true;
}

/* Parts and `ready` of one life lie behind each other, in the order in which they came. */
static void
put_said(struct spool *self, uint64_t life, const struct dz_msg *msg, bool is_patient)
{
    if (is_off(self))
        return;
    uint8_t key[16];
    put_u64(key, life);
    put_u64(key + 8, ++self->next_part);
    DZ_AUTO(dz_buf_fini) struct dz_buf value = { 0 };
    dz_msg_encode(msg, &value);
    put(self, ROLLS, key, sizeof(key), &value);
    self->is_due |= !is_patient;
}

static size_t
common(struct dz_slice a, struct dz_slice b)
{
    size_t most = a.len < b.len ? a.len : b.len, same = 0;
    while (same < most && a.ptr[same] == b.ptr[same])
        same++;
    return same;
}

/* Names of tests differ little from the ones before: without what is the same a fifth of them is left. */
void
spool_put_roll(struct spool *self, uint64_t life, const struct dz_msg_manifest *part)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf bytes = { 0 };
    struct dz_msg msg = { .id = DZ_MSG_manifest, .as.manifest.first = part->first };
    struct dz_list rest = part->entries;
    struct dz_slice before = { 0 };
    struct dz_item_entry entry;
    while (dz_entry_next(&rest, &entry)) {
        bool is_whole = entry.same == 0;
        struct dz_slice id = entry.id;
        if (is_whole) {
            entry.same = common(before, id);
            entry.id = (struct dz_slice){ id.ptr + entry.same, id.len - entry.same };
        }
        before = is_whole ? id : (struct dz_slice){ 0 };
        dz_entry_add(&msg.as.manifest.entries, &bytes, &entry);
    }
    msg.as.manifest.entries.items = dz_buf_slice(&bytes);
    put_said(self, life, &msg, false);
}

void
spool_put_ready(struct spool *self, uint64_t life, const struct dz_msg_ready *ready,
                bool is_patient)
{
    put_said(self, life, &(struct dz_msg){ .id = DZ_MSG_ready, .as.ready = *ready }, is_patient);
}

void
spool_put_epoch(struct spool *self, uint64_t n)
{
    if (is_off(self))
        return;
    uint8_t key[8] = "epoch", number[8];
    put_u64(number, n);
    dz_kv_batch_put(&self->batch, STATE, (struct dz_slice){ key, sizeof(key) },
                    (struct dz_slice){ number, sizeof(number) });
    self->is_due = true;
}

enum spool_state
spool_commit(struct spool *self, struct dz_err *err)
{
    if (is_off(self))
        return SPOOL_LOST;
    if (!self->is_due)
        return SPOOL_SOUND;
    enum dz_rc rc = dz_kv_batch_commit(&self->batch, self->kv, err);
    if (rc == DZ_OK) {
        self->is_due = false;
        return SPOOL_SOUND;
    }
    if (self->batch.len <= SPOOL_MEMORY_MAX)
        return SPOOL_FULL;
    dz_kv_batch_fini(&self->batch);
    self->is_lost = true;
    return SPOOL_LOST;
}

/* ------------------------------------------------------------------ inheriting */

struct reading {
    const struct spool_heir *heir;
};

static void
read_record(const struct spool_heir *heir, struct dz_slice value)
{
    struct cargo_item item;
    struct dz_slice blob, text;
    if (cargo_decode(value, &item, &blob, &text) == DZ_OK)
        heir->on_record(heir->arg, &item, blob, text);
}

static void
read_said(const struct spool_heir *heir, struct dz_slice key, struct dz_slice value)
{
    struct dz_msg msg;
    if (key.len != 16 || dz_msg_decode(value, &msg) != DZ_OK)
        return;
    if (msg.id == DZ_MSG_manifest)
        heir->on_roll(heir->arg, get_u64(key.ptr), &msg.as.manifest);
    else if (msg.id == DZ_MSG_ready)
        heir->on_ready(heir->arg, get_u64(key.ptr), &msg.as.ready);
}

static void
read_one(const struct spool_heir *heir, enum table table, struct dz_slice key,
         struct dz_slice value)
{
    if (table == RECORDS)
        read_record(heir, value);
    else if (table == PARTIALS && key.len == 16 && value.len >= 8)
        heir->on_partial(heir->arg, get_u64(key.ptr), (uint32_t) get_u64(key.ptr + 8),
                         get_u64(value.ptr), (struct dz_slice){ value.ptr + 8, value.len - 8 });
    else if (table == ROLLS)
        read_said(heir, key, value);
    else if (table == STATE && value.len == 8)
        heir->on_epoch(heir->arg, get_u64(value.ptr));
}

static enum dz_rc
read_tables(struct dz_kv_txn *txn, void *arg, struct dz_err *err)
{
    const struct reading *reading = arg;
    /* rolls before the records that refer to them */
    static const enum table order[] = { STATE, ROLLS, PARTIALS, RECORDS };
    for (size_t i = 0; i < DZ_LEN(order); i++) {
        DZ_AUTO(dz_kv_iter_fini) struct dz_kv_iter it;
        dz_kv_iter_init(&it, txn, order[i], (struct dz_slice){ 0 });
        struct dz_slice key, value;
        while (dz_kv_next(&it, &key, &value))
            read_one(reading->heir, order[i], key, value);
        enum dz_rc rc = dz_kv_iter_rc(&it, err);
        if (rc != DZ_OK)
            return rc;
    }
    return DZ_OK;
}

/* False: it is there but damaged. */
static bool
inherit_one(const char *path, const struct spool_heir *heir)
{
    struct stat info;
    if (stat(path, &info) != 0)
        return true;
    DZ_AUTO(dz_kv_close) struct dz_kv *kv = NULL;
    struct dz_err err;
    DZ_AUTO(dz_free) char *bad = NULL;
    if (dz_kv_open_or_replace(path, &opts, &kv, &bad, &err) != DZ_OK || bad)
        return false;
    struct reading reading = { .heir = heir };
    return dz_kv_read(kv, read_tables, &reading, &err) == DZ_OK;
}

unsigned
spool_inherit(const char *home, const char *job, uint64_t before_inc, const struct spool_heir *heir)
{
    unsigned damaged = 0;
    uint64_t first = before_inc > OLD_MAX ? before_inc - OLD_MAX : 0;
    for (uint64_t inc = first; inc < before_inc; inc++) {
        char path[PATH_MAX];
        path_of(path, home, job, inc);
        damaged += !inherit_one(path, heir);
    }
    return damaged;
}

/* ------------------------------------------------------------------ removing */

static void
remove_folder(int parent, const char *name)
{
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (!dir)
        return;
    for (struct dirent *item = readdir(dir); item; item = readdir(dir)) {
        if (strcmp(item->d_name, ".") != 0 && strcmp(item->d_name, "..") != 0)
            (void) unlinkat(fd, item->d_name, 0);
    }
    (void) closedir(dir);
    (void) unlinkat(parent, name, AT_REMOVEDIR); /* what is left is found by the next person */
}

/* "<job>-<digits>" and nothing behind: quarantined ones are kept. */
static bool
is_of_job(const char *name, const char *job)
{
    size_t len = strlen(job);
    if (strncmp(name, job, len) != 0 || name[len] != '-' || name[len + 1] == '\0')
        return false;
    return name[len + 1 + strspn(name + len + 1, "0123456789")] == '\0';
}

void
spool_remove(const char *home, const char *job)
{
    char path[PATH_MAX];
    (void) snprintf(path, sizeof(path), "%s/spool", home);
    DIR *dir = opendir(path);
    if (!dir)
        return;
    for (struct dirent *item = readdir(dir); item; item = readdir(dir)) {
        if (is_of_job(item->d_name, job))
            remove_folder(dirfd(dir), item->d_name);
    }
    (void) closedir(dir);
}

/* A job's store that waits for a server (store/push/spools.h) lies here, too, for however long. */
static bool
is_for_a_server(int dir, const char *name)
{
    char path[PATH_MAX];
    (void) snprintf(path, sizeof(path), "%s/to", name);
    return faccessat(dir, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static bool
is_old(int dir, const char *name)
{
    char path[PATH_MAX];
    struct stat info, inside;
    (void) snprintf(path, sizeof(path), "%s/data.mdb", name);
    if (*name == '.' || fstatat(dir, name, &info, AT_SYMLINK_NOFOLLOW) != 0 ||
        !S_ISDIR(info.st_mode))
        return false;
    if (fstatat(dir, path, &inside, AT_SYMLINK_NOFOLLOW) == 0)
        info = inside;
    return dz_clock_wall_ms() / 1000 - info.st_mtim.tv_sec > SPOOL_KEEP_DAYS * 24 * 3600;
}

void
spool_sweep(const char *home)
{
    char path[PATH_MAX];
    (void) snprintf(path, sizeof(path), "%s/spool", home);
    DIR *dir = opendir(path);
    if (!dir)
        return;
    for (struct dirent *item = readdir(dir); item; item = readdir(dir)) {
        if (!is_for_a_server(dirfd(dir), item->d_name) && is_old(dirfd(dir), item->d_name))
            remove_folder(dirfd(dir), item->d_name);
    }
    (void) closedir(dir);
}

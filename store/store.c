/* store.c - the store's directory: opening it, its version, and helpers of every file here. */
#include "store/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>

#include "store/settings.h"
#include "store/sync.h"
#include "store/tidy.h"

enum {
    CHECK_WRITER_MS = 50, /* for looking at the file before it is written to */
    CHECK_READER_MS = 10,
    ZIP_LEVEL = 1,
    ZIP_FROM = 256, /* bytes; shorter ones are not worth it */
    RAW_MAX = 1 << 30,
};

static const char *const TABLE_NAMES[TABLES] = {
    [T_META] = "meta",         [T_PROJECT] = "project", [T_INDEX] = "index",
    [T_JOB] = "job",           [T_COMMIT] = "commit",   [T_MANIFEST] = "manifest",
    [T_BATCH] = "batch",       [T_TEXT] = "text",       [T_MARK] = "mark",
    [T_DURATION] = "duration", [T_SEGMENT] = "segment", [T_CONTENTS] = "contents",
    [T_TRASH] = "trash",       [T_FEED] = "feed",       [T_MEETING] = "meeting",
    [T_STEP] = "step",         [T_SHARD] = "shard",
};

/* ---- opening ---- */

char *
store_home(void)
{
    /* NOLINTBEGIN(concurrency-mt-unsafe): nobody here sets the environment */
    const char *home = getenv("DAGZ_HOME");
    if (home && *home)
        return dz_strdup(home);
    home = getenv("HOME");
    /* NOLINTEND(concurrency-mt-unsafe) */
    struct dz_buf path = { 0 };
    dz_buf_addf(&path, "%s/.dagz", home && *home ? home : "");
    dz_buf_add(&path, "", 1);
    return (char *) path.data;
}

static enum dz_rc
read_version(struct dz_kv_txn *txn, void *arg, struct dz_err *err)
{
    struct dz_slice value;
    char text[16];
    enum dz_rc rc = dz_kv_get(txn, T_META, dz_str("version"), &value, err);
    if (rc != DZ_OK)
        return rc;
    (void) snprintf(text, sizeof(text), "%.*s", (int) value.len, (const char *) value.ptr);
    *(long *) arg = strtol(text, NULL, 10);
    return DZ_OK;
}

static enum dz_rc
write_version(struct dz_kv_txn *txn, void *arg, struct dz_err *err)
{
    (void) arg;
    char text[16];
    struct dz_slice there;
    enum dz_rc rc = dz_kv_get(txn, T_META, dz_str("version"), &there, err);
    if (rc != DZ_ABSENT)
        return rc; /* another process was faster */
    (void) snprintf(text, sizeof(text), "%d", STORE_VERSION);
    return dz_kv_put(txn, T_META, dz_str("version"), dz_str(text), err);
}

/* An older one is brought forward; what only reads leaves that to store_open(). */
static enum dz_rc
check_version(struct store *self, long *version_out, struct dz_err *err)
{
    long version = 0;
    enum dz_rc rc = dz_kv_read(self->kv, read_version, &version, err);
    *version_out = version;
    if (rc == DZ_ABSENT && self->is_readonly)
        return dz_fail(err, DZ_ABSENT, "there is no store in '%s' yet", self->dir);
    if (rc == DZ_ABSENT)
        return dz_kv_write(self->kv, write_version, NULL, err);
    if (rc == DZ_OK && version > STORE_VERSION)
        return dz_fail(err, DZ_VERSION,
                       "'%s' was written by a newer dagz (its format is %ld, ours %d)", self->dir,
                       version, STORE_VERSION);
    if (rc == DZ_OK && version < STORE_VERSION && !self->is_readonly)
        return store_migrate(self, version, err);
    return rc;
}

/* Locks and maps do not reach other hosts. */
static bool
is_on_network(const char *dir)
{
    static const long kinds[] = { 0x6969 /* NFS */, 0xff534d42 /* CIFS */, 0xfe534d42 /* SMB2 */,
                                  0x01021997 /* 9p */, 0x0bd00bd0 /* Lustre */ };
    struct statfs fs;
    if (statfs(dir, &fs) != 0)
        return false;
    for (size_t i = 0; i < DZ_LEN(kinds); i++)
        if ((long) fs.f_type == kinds[i])
            return true;
    return false;
}

static char *
warning_of(const char *dir, const char *bad)
{
    struct dz_buf text = { 0 };
    if (bad)
        dz_buf_addf(&text, "the store was damaged; it is now in %s and a new one was begun", bad);
    else if (is_on_network(dir))
        dz_buf_addf(&text,
                    "%s is on a network file system: runs on several hosts must not share it; "
                    "set DAGZ_HOME to a local folder",
                    dir);
    else
        return NULL;
    dz_buf_add(&text, "", 1);
    return (char *) text.data;
}

static enum dz_rc
open_kv(struct store *self, bool is_new, char **bad_out, struct dz_err *err)
{
    struct dz_kv_opts opts = {
        .tables = TABLE_NAMES,
        .table_count = TABLES,
        .check_ms = self->is_readonly ? CHECK_READER_MS : CHECK_WRITER_MS,
        .is_readonly = self->is_readonly,
        .is_unsynced = is_new,
    };
    if (!self->is_readonly)
        return dz_kv_open_or_replace(self->dir, &opts, &self->kv, bad_out, err);
    enum dz_rc rc = dz_kv_open(self->dir, &opts, &self->kv, err);
    return rc == DZ_ABSENT ? dz_fail(err, rc, "there is no store in '%s' yet", self->dir) : rc;
}

static enum dz_rc
open_dir(const char *dir, enum store_mode mode, struct store **self_out, char **bad_out,
         struct dz_err *err)
{
    DZ_AUTO(store_close) struct store *self = dz_alloc0(1, sizeof(*self));
    long version = 0;
    self->dir = dz_strdup(dir);
    self->is_readonly = mode == STORE_READ;
    enum dz_rc rc = open_kv(self, mode == STORE_NEW, bad_out, err);
    if (rc == DZ_OK)
        rc = check_version(self, &version, err);
    if (rc == DZ_OK && self->is_readonly && version < STORE_VERSION)
        rc =
            dz_fail(err, DZ_AGAIN, "'%s' was written by an older dagz (its format is %ld, ours %d)",
                    self->dir, version, STORE_VERSION);
    if (rc == DZ_OK)
        *self_out = dz_move(self);
    return rc;
}

/* Whoever only reads an old store brings it forward, too, if he may. */
static enum dz_rc
bring_forward(const char *dir, struct dz_err *err)
{
    DZ_AUTO(store_close) struct store *self = NULL;
    DZ_AUTO(dz_free) char *bad = NULL;
    struct dz_err why;
    enum dz_rc rc = open_dir(dir, STORE_WRITE, &self, &bad, &why);
    if (rc == DZ_OK)
        return DZ_OK;
    return dz_fail(err, DZ_VERSION, "written by an older dagz, and not to be brought forward: %s",
                   why.text);
}

static enum dz_rc
open_any(const char *dir, enum store_mode mode, struct store **self_out, char **bad_out,
         struct dz_err *err)
{
    enum dz_rc rc = open_dir(dir, mode, self_out, bad_out, err);
    if (rc != DZ_AGAIN || mode != STORE_READ)
        return rc;
    rc = bring_forward(dir, err);
    return rc == DZ_OK ? open_dir(dir, mode, self_out, bad_out, err) : rc;
}

enum dz_rc
store_open_in(const char *dir, enum store_mode mode, struct store **self_out, struct dz_err *err)
{
    DZ_AUTO(dz_free) char *bad = NULL;
    enum dz_rc rc = open_any(dir, mode, self_out, &bad, err);
    if (rc == DZ_OK)
        (*self_out)->is_spool = true;
    return rc;
}

/* The place of data that lie elsewhere is part of what is wrong with them. */
static enum dz_rc
blame(const struct settings *settings, enum dz_rc rc, struct dz_err *err)
{
    bool is_named = rc != DZ_OK && settings_has(settings, "data_dir");
    return is_named ? settings_blame(settings, "data_dir", rc, err) : rc;
}

enum dz_rc
store_open(const char *home, enum store_mode mode, struct store **self_out, char **warning_out,
           struct dz_err *err)
{
    DZ_AUTO(dz_free) char *bad = NULL;
    struct settings settings;
    enum dz_rc rc = settings_load(home, &settings, err);
    if (rc != DZ_OK)
        return rc;
    rc = open_any(settings.data_dir, mode, self_out, &bad, err);
    rc = blame(&settings, rc, err);
    settings_fini(&settings);
    if (rc == DZ_OK && warning_out)
        *warning_out = warning_of((*self_out)->dir, bad);
    return rc;
}

const char *
table_name(unsigned table)
{
    return TABLE_NAMES[table];
}

enum dz_rc
store_open_tables(const char *dir, bool is_readonly, struct dz_kv **out, struct dz_err *err)
{
    struct dz_kv_opts opts = { .tables = TABLE_NAMES,
                               .table_count = TABLES,
                               .is_readonly = is_readonly };
    return dz_kv_open(dir, &opts, out, err);
}

enum dz_rc
store_dir_of(const char *home, char **out, struct dz_err *err)
{
    struct settings settings;
    enum dz_rc rc = settings_load(home, &settings, err);
    if (rc != DZ_OK)
        return rc;
    *out = dz_move(settings.data_dir);
    settings_fini(&settings);
    return DZ_OK;
}

enum dz_rc
store_open_unchecked(const char *home, enum store_mode mode, struct store **self_out,
                     struct dz_err *err)
{
    DZ_AUTO(store_close) struct store *self = dz_alloc0(1, sizeof(*self));
    struct settings settings;
    long version = 0;
    self->is_readonly = mode == STORE_READ;
    enum dz_rc rc = settings_load(home, &settings, err);
    if (rc != DZ_OK)
        return rc;
    self->dir = dz_strdup(settings.data_dir);
    rc = store_open_tables(self->dir, self->is_readonly, &self->kv, err);
    if (rc == DZ_ABSENT)
        rc = dz_fail(err, rc, "there is no store in '%s' yet", self->dir);
    if (rc == DZ_OK)
        rc = check_version(self, &version, err);
    rc = blame(&settings, rc, err);
    settings_fini(&settings);
    if (rc == DZ_OK)
        *self_out = dz_move(self);
    return rc;
}

void
store_close(struct store **self_p)
{
    struct store *self = dz_move(*self_p);
    if (!self)
        return;
    store_inbox_destroy(&self->inbox);
    if (!self->is_shared)
        dz_kv_close(&self->kv);
    (void) ZSTD_freeCCtx(self->zip); /* takes NULL, cannot fail */
    (void) ZSTD_freeDCtx(self->unzip);
    free(self->dir);
    free(self);
}

struct store *
store_share(struct store *self)
{
    struct store *other = dz_alloc0(1, sizeof(*other));
    other->kv = self->kv;
    other->dir = dz_strdup(self->dir);
    other->is_readonly = self->is_readonly;
    other->is_spool = self->is_spool;
    other->is_shared = true;
    return other;
}

const char *
store_dir(const struct store *self)
{
    return self->dir;
}

/* ---- keys ---- */

void
key_add(struct key *self, const void *bytes, size_t len)
{
    dz_assert(len <= sizeof(self->bytes) - self->len);
    if (len > 0)
        memcpy(self->bytes + self->len, bytes, len);
    self->len += len;
}

void
key_add_number(struct key *self, uint64_t number, int len)
{
    for (int shift = (len - 1) * 8; shift >= 0; shift -= 8) {
        uint8_t byte = (uint8_t) (number >> shift);
        key_add(self, &byte, 1);
    }
}

struct dz_slice
key_slice(const struct key *self)
{
    return (struct dz_slice){ self->bytes, self->len };
}

uint64_t
number_at(struct dz_slice bytes, size_t at, int len)
{
    uint64_t number = 0;
    if (bytes.len < at + (size_t) len)
        return 0;
    for (int i = 0; i < len; i++)
        number = number << 8 | bytes.ptr[at + (size_t) i];
    return number;
}

/* ---- compression ---- */

void
zip_add(struct store *self, struct dz_slice raw, struct dz_buf *out)
{
    if (raw.len >= ZIP_FROM) {
        size_t room = ZSTD_compressBound(raw.len);
        if (!self->zip)
            self->zip = ZSTD_createCCtx();
        uint8_t *to = dz_buf_reserve(out, room);
        size_t len = ZSTD_compressCCtx(self->zip, to, room, raw.ptr, raw.len, ZIP_LEVEL);
        if (!ZSTD_isError(len) && len < raw.len) {
            out->len += len;
            return;
        }
    }
    dz_buf_add(out, raw.ptr, raw.len);
}

enum dz_rc
unzip_add(struct store *self, struct dz_slice zipped, size_t raw_len, struct dz_buf *out,
          struct dz_err *err)
{
    if (zipped.len == raw_len) {
        dz_buf_add(out, zipped.ptr, zipped.len);
        return DZ_OK;
    }
    if (raw_len > RAW_MAX || zipped.len > raw_len)
        return dz_fail(err, DZ_CORRUPT, "'%s': %zu bytes cannot become %zu", self->dir, zipped.len,
                       raw_len);
    if (!self->unzip)
        self->unzip = ZSTD_createDCtx();
    uint8_t *to = dz_buf_reserve(out, raw_len);
    size_t len = ZSTD_decompressDCtx(self->unzip, to, raw_len, zipped.ptr, zipped.len);
    if (ZSTD_isError(len) || len != raw_len)
        return dz_fail(err, DZ_CORRUPT, "'%s': a compressed value does not unpack", self->dir);
    out->len += raw_len;
    return DZ_OK;
}

/* kv_fixture.h - a directory for each test, removed afterwards. */
#ifndef DZ_TESTS_UNIT_KV_FIXTURE_H
#define DZ_TESTS_UNIT_KV_FIXTURE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/base/files.h"
#include "shared/kv/kv.h"
#include "tests/unit/unit.h"

enum { TABLE_A, TABLE_B };
static const char *const TABLES[] = { "a", "b" };

struct fixture {
    char root[64];
    char dir[96];
    struct dz_err err;
};

static const struct dz_kv_opts OPTS = { .tables = TABLES, .table_count = 2, .map_size = 1 << 20 };

static inline int
setup(void **state)
{
    struct fixture *f = dz_alloc0(1, sizeof(*f));
    (void) snprintf(f->root, sizeof(f->root), "/tmp/dz-kv-XXXXXX");
    if (!mkdtemp(f->root))
        return -1;
    (void) snprintf(f->dir, sizeof(f->dir), "%s/env", f->root);
    *state = f;
    return 0;
}

static inline int
teardown(void **state)
{
    struct fixture *f = *state;
    dz_remove_tree(f->root);
    free(f);
    return 0;
}

static inline struct dz_kv *
open_kv(struct fixture *f)
{
    struct dz_kv *kv = NULL;
    enum dz_rc rc = dz_kv_open(f->dir, &OPTS, &kv, &f->err);
    if (rc != DZ_OK)
        fail_msg("%s", f->err.text);
    return kv;
}

static inline void
put(struct fixture *f, struct dz_kv *kv, const char *key, const char *value)
{
    DZ_AUTO(dz_kv_batch_fini) struct dz_kv_batch batch = { 0 };
    dz_kv_batch_put(&batch, TABLE_A, dz_str(key), dz_str(value));
    assert_ok(dz_kv_batch_commit(&batch, kv, &f->err));
}

/* One value, copied; "" when it is not there. */
struct want {
    const char *key;
    unsigned table;
    char got[256];
    enum dz_rc rc;
};

static inline enum dz_rc
read_one(struct dz_kv_txn *txn, void *arg, struct dz_err *err)
{
    struct want *want = arg;
    struct dz_slice value = { 0 };
    want->rc = dz_kv_get(txn, want->table, dz_str(want->key), &value, err);
    want->got[0] = '\0';
    if (want->rc == DZ_OK)
        (void) snprintf(want->got, sizeof(want->got), "%.*s", (int) value.len, value.ptr);
    return DZ_OK;
}

static inline struct want
get(struct fixture *f, struct dz_kv *kv, const char *key)
{
    struct want want = { .key = key, .table = TABLE_A };
    assert_ok(dz_kv_read(kv, read_one, &want, &f->err));
    return want;
}

#endif

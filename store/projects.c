/* projects.c - which projects have jobs here. */
#include <string.h>

#include "store/disk.h"

struct projects_query {
    store_project_fn *fn;
    void *arg;
};

/* A long name is a hash in the table, so each project is asked for its newest job's. */
static enum dz_rc
query_projects(struct dz_kv_txn *txn, void *arg, struct dz_err *err)
{
    struct projects_query *q = arg;
    struct dz_slice key, value;
    DZ_AUTO(dz_kv_iter_fini) struct dz_kv_iter it;
    dz_kv_iter_init(&it, txn, T_PROJECT, (struct dz_slice){ 0 });
    while (dz_kv_next(&it, &key, &value)) {
        struct key prefix = { .len = 0 };
        struct dz_slice unused, ulid;
        DZ_AUTO(head_release) json_t *head = NULL;
        char text[DZ_ULID_LEN + 1] = "";
        key_add_number(&prefix, number_at(value, 0, 4), 4);
        DZ_AUTO(dz_kv_iter_fini) struct dz_kv_iter jobs;
        dz_kv_iter_init(&jobs, txn, T_INDEX, key_slice(&prefix));
        if (!dz_kv_prev(&jobs, &unused, &ulid) || ulid.len != DZ_ULID_LEN)
            continue;
        memcpy(text, ulid.ptr, ulid.len);
        enum dz_rc rc = head_read(txn, text, &head, err);
        if (rc != DZ_OK)
            return rc;
        q->fn(q->arg, head_text(head, "uri"));
    }
    return dz_kv_iter_rc(&it, err);
}

enum dz_rc
store_projects(struct store *self, store_project_fn *fn, void *arg, struct dz_err *err)
{
    struct projects_query q = { fn, arg };
    return dz_kv_read(self->kv, query_projects, &q, err);
}

static enum dz_rc
query_project(struct dz_kv_txn *txn, void *arg, struct dz_err *err)
{
    uint32_t number;
    return project_number(txn, arg, &number, err);
}

bool
store_knows_project(struct store *self, const char *uri)
{
    struct dz_err unused;
    return dz_kv_read(self->kv, query_project, (void *) uri, &unused) == DZ_OK;
}

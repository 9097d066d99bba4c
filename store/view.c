/* view.c - all tests of a job with their verdicts, in memory.
 *
 * Results are kept as they lie on disk; for each test a chain through them, in order of arrival,
 * answers every question.  240,000 tests need some 40 MB. */
#include <stdlib.h>
#include <string.h>

#include "shared/wire/generation.h"
#include "store/nodes.h"
#include "store/texts.h"

#define NO_ROW UINT32_MAX

struct store_view {
    struct store *store; /* borrowed */
    char ulid[DZ_ULID_LEN + 1];
    struct manifest manifest; /* owned */
    uint32_t sorted;          /* tests that are in order; only others have the rest */
    struct dz_buf rows;       /* owned; struct packed_result */
    uint32_t row_count;
    uint32_t *first, *last;   /* owned; by test, NO_ROW: none */
    uint32_t *next;           /* owned; by row */
    struct store_nodes nodes; /* owned */
    struct text_reader texts; /* owned */
};

static struct packed_result *
row_at(const struct store_view *self, uint32_t row)
{
    return (struct packed_result *) (void *) self->rows.data + row;
}

/* A death that was a strike at first, and then the last one: one execution. */
static bool
was_strike(const struct store_view *self, const struct packed_result *row)
{
    for (uint32_t i = self->first[row->test]; i != NO_ROW; i = self->next[i]) {
        struct packed_result *known = row_at(self, i);
        if (known->word == DZ_WORD_STRIKE && known->attempt == row->attempt &&
            known->node == row->node && known->inc == row->inc && known->exec == row->exec) {
            known->word = row->word;
            return true;
        }
    }
    return false;
}

static void
chain(struct store_view *self)
{
    uint32_t tests = self->manifest.count;
    self->row_count = (uint32_t) (self->rows.len / sizeof(struct packed_result));
    self->first = dz_alloc0((size_t) tests + 1, sizeof(*self->first));
    self->last = dz_alloc0((size_t) tests + 1, sizeof(*self->last));
    self->next = dz_alloc0((size_t) self->row_count + 1, sizeof(*self->next));
    memset(self->first, 0xff, ((size_t) tests + 1) * sizeof(*self->first));
    for (uint32_t i = 0; i < self->row_count; i++) {
        uint32_t test = row_at(self, i)->test;
        self->next[i] = NO_ROW;
        if (test >= tests)
            continue;
        if (row_at(self, i)->node != DZ_NODE_CARRIED)
            (void) store_nodes_number(&self->nodes, row_at(self, i)->node);
        if (row_at(self, i)->result == DZ_RESULT_CRASHED && was_strike(self, row_at(self, i)))
            continue;
        if (self->first[test] == NO_ROW)
            self->first[test] = i;
        else
            self->next[self->last[test]] = i;
        self->last[test] = i;
    }
}

static enum dz_rc
load(struct dz_kv_txn *txn, void *arg, struct dz_err *err)
{
    struct store_view *self = arg;
    struct follower follower = { .store = self->store, .rows = &self->rows };
    DZ_AUTO(head_release) json_t *head = NULL;
    enum dz_rc rc = head_read(txn, self->ulid, &head, err);
    if (rc == DZ_OK)
        rc = manifest_read(self->store, txn, head_text(head, "manifest"), &self->manifest, err);
    if (rc == DZ_OK)
        rc = results_follow(txn, self->ulid, &follower, err);
    self->sorted = manifest_sorted(head, self->manifest.count);
    return rc;
}

enum dz_rc
store_view_load(struct store *self, const char *ulid, struct store_view **out, struct dz_err *err)
{
    DZ_AUTO(store_view_destroy) struct store_view *view = dz_alloc0(1, sizeof(*view));
    if (!dz_ulid_read(dz_str(ulid), NULL))
        return dz_fail(err, DZ_ABSENT, "'%.60s' is not the long id of a job", ulid);
    view->store = self;
    memcpy(view->ulid, ulid, DZ_ULID_LEN);
    enum dz_rc rc = dz_kv_read(self->kv, load, view, err);
    if (rc == DZ_OK)
        rc = store_nodes_load(self, ulid, &view->nodes, err);
    if (rc != DZ_OK)
        return rc;
    chain(view);
    *out = dz_move(view);
    return DZ_OK;
}

void
store_view_destroy(struct store_view **self_p)
{
    struct store_view *self = dz_move(*self_p);
    if (!self)
        return;
    manifest_fini(&self->manifest);
    store_nodes_fini(&self->nodes);
    text_reader_fini(&self->texts);
    dz_buf_fini(&self->rows);
    free(self->first);
    free(self->last);
    free(self->next);
    free(self);
}

uint32_t
store_view_count(const struct store_view *self)
{
    return self->manifest.count;
}

uint32_t
store_view_nodes(const struct store_view *self)
{
    return self->nodes.node_count;
}

uint32_t
store_view_node(const struct store_view *self, uint64_t node)
{
    return store_nodes_find(&self->nodes, node);
}

const struct store_nodes *
store_view_chronicle(const struct store_view *self)
{
    return &self->nodes;
}

/* The counted row of the last attempt decides; with none, the last strike tells most. */
static uint32_t
deciding(const struct store_view *self, uint32_t test, struct store_test *out)
{
    enum dz_result attempts[STORE_ATTEMPTS] = { DZ_RESULT_NONE };
    uint32_t best = NO_ROW;
    bool has_strike = false;
    for (uint32_t i = self->first[test]; i != NO_ROW; i = self->next[i]) {
        const struct packed_result *row = row_at(self, i);
        out->executions++;
        has_strike |= row->word == DZ_WORD_STRIKE;
        if (row->word != DZ_WORD_COUNTED || row->attempt >= STORE_ATTEMPTS)
            continue;
        out->attempts++;
        attempts[row->attempt] = unpack_result(row).result;
        if (best == NO_ROW || row->attempt >= row_at(self, best)->attempt)
            best = i;
    }
    out->verdict = store_verdict(attempts, STORE_ATTEMPTS, has_strike);
    return best == NO_ROW && out->executions > 0 ? self->last[test] : best;
}

void
store_view_test(const struct store_view *self, uint32_t test, struct store_test *out)
{
    dz_assert(test < self->manifest.count);
    *out = (struct store_test){ .id = manifest_id(&self->manifest, test) };
    uint32_t row = deciding(self, test, out);
    if (row == NO_ROW)
        return;
    struct store_result result = unpack_result(row_at(self, row));
    out->node = store_view_node(self, result.node);
    out->worker = result.worker;
    out->start_us = result.start_us;
    out->setup_us = result.setup_us;
    out->call_us = result.call_us;
    out->teardown_us = result.teardown_us;
    out->cause = result.cause;
    out->signal = result.signal;
    out->line = result.line;
    out->span = store_run_key(&result, STORE_WHOLE);
}

uint32_t
store_view_find(const struct store_view *self, struct dz_slice id)
{
    uint32_t found = manifest_find_id(&self->manifest, self->sorted, id);
    for (uint32_t i = self->sorted; found == STORE_NO_TEST && i < self->manifest.count; i++)
        if (dz_slice_eq(manifest_id(&self->manifest, i), id))
            found = i;
    return found;
}

void
store_view_executions(const struct store_view *self, uint32_t test, store_row_fn *fn, void *arg)
{
    dz_assert(test < self->manifest.count);
    for (uint32_t i = self->first[test]; i != NO_ROW; i = self->next[i]) {
        struct store_result result = unpack_result(row_at(self, i));
        fn(arg, &result);
    }
}

/* ---- texts ---- */

struct text_query {
    struct store_view *view;
    uint32_t test;
    struct dz_buf text;
};

static enum dz_rc
query_text(struct dz_kv_txn *txn, void *arg, struct dz_err *err)
{
    struct text_query *q = arg;
    struct store_test test = { .executions = 0 };
    uint32_t row = deciding(q->view, q->test, &test);
    if (row == NO_ROW)
        return DZ_ABSENT;
    const struct packed_result *r = row_at(q->view, row);
    struct store_text name = { .node = r->node, .inc = r->inc, .exec = r->exec };
    struct packed_text text = { .who = text_who(&name), .test = q->test, .attempt = r->attempt };
    return text_find(q->view->store, txn, &q->view->texts, q->view->ulid, &text, &q->text, err);
}

enum dz_rc
store_view_text(struct store_view *self, uint32_t test, char **text_out, size_t *len_out,
                struct dz_err *err)
{
    dz_assert(test < self->manifest.count);
    struct text_query q = { .view = self, .test = test };
    enum dz_rc rc = dz_kv_read(self->store->kv, query_text, &q, err);
    if (rc == DZ_OK) {
        *len_out = q.text.len;
        dz_buf_add(&q.text, "", 1);
        *text_out = (char *) dz_move(q.text.data);
    }
    dz_buf_fini(&q.text);
    return rc;
}

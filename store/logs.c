/* logs.c - a job's output and notes, and its spans, as readers want them. */
#include <stdlib.h>
#include <string.h>

#include "shared/base/digest.h"
#include "store/timeline.h"

/* ---- logs ---- */

struct store_logs {
    struct timeline *timeline; /* owned */
};

static struct moment_filter
filter_of_logs(const struct store_log_filter *f)
{
    return (struct moment_filter){
        .since_us = f->since_us,
        .until_us = f->until_us,
        .worker = f->worker,
        .thread = f->thread,
        .has_node = f->has_node,
        .node = f->node,
        .tests = f->tests,
        .test_count = f->test_count,
        .from = f->from,
        .until = f->until,
    };
}

enum dz_rc
store_logs_open(struct store *self, const char *ulid, const struct store_log_filter *filter,
                struct store_logs **out, struct dz_err *err)
{
    struct moment_filter wanted = filter_of_logs(filter);
    struct timeline *timeline = NULL;
    enum dz_rc rc = timeline_open(self, ulid, BATCH_LOGS, &wanted, &timeline, err);
    if (rc != DZ_OK)
        return rc;
    *out = dz_alloc0(1, sizeof(**out));
    (*out)->timeline = timeline;
    return DZ_OK;
}

void
store_logs_close(struct store_logs **self_p)
{
    struct store_logs *self = dz_move(*self_p);
    if (!self)
        return;
    timeline_close(&self->timeline);
    free(self);
}

enum dz_rc
store_logs_refresh(struct store_logs *self, struct dz_err *err)
{
    return timeline_refresh(self->timeline, err);
}

void
store_logs_choose(struct store_logs *self, const uint8_t *tests, uint32_t test_count)
{
    timeline_choose(self->timeline, tests, test_count);
}

uint32_t
store_logs_until(const struct store_logs *self)
{
    return timeline_until(self->timeline);
}

uint32_t
store_logs_pending(const struct store_logs *self)
{
    struct dz_err unused;
    uint64_t count = 0;
    if (timeline_pending(self->timeline, &count, &unused) != DZ_OK)
        return 1; /* _next() will say what is wrong */
    return count < UINT32_MAX ? (uint32_t) count : UINT32_MAX;
}

enum dz_rc
store_logs_next(struct store_logs *self, struct store_log *out, struct dz_err *err)
{
    const struct moment *m;
    struct dz_slice text;
    enum dz_rc rc = timeline_next(self->timeline, &m, &text, err);
    if (rc != DZ_OK)
        return rc;
    *out = (struct store_log){
        .kind = m->what == STORE_LOG_NOTE ? STORE_LOG_NOTE : STORE_LOG_OUTPUT,
        .first_us = m->first_us,
        .last_us = m->last_us,
        .node = m->node,
        .worker = m->worker,
        .thread = m->thread,
        .test = m->test,
        .attempt = m->attempt,
        .text = text,
        .place = (uint64_t) m->batch << 32 | m->index,
    };
    return DZ_OK;
}

/* ---- spans ---- */

struct store_spans {
    struct timeline *timeline; /* owned */
};

uint64_t
store_span_key(uint64_t scope, uint64_t id)
{
    uint64_t name[2] = { scope, id };
    uint64_t key = dz_hash64((struct dz_slice){ (const uint8_t *) name, sizeof(name) });
    return key ? key : 1;
}

uint64_t
store_run_key(const struct store_result *run, enum store_part part)
{
    uint64_t name[3] = { run->node, run->inc, run->exec };
    uint64_t key = dz_hash64((struct dz_slice){ (const uint8_t *) name, sizeof(name) });
    return part == STORE_WHOLE ? (key ? key : 1) : store_span_key(key, part);
}

enum dz_rc
store_spans_open(struct store *self, const char *ulid, const struct store_span_filter *filter,
                 struct store_spans **out, struct dz_err *err)
{
    struct moment_filter wanted = {
        .since_us = filter->since_us,
        .until_us = filter->until_us,
        .worker = filter->worker,
        .thread = -1,
        .tests = filter->tests,
        .test_count = filter->test_count,
        .key = filter->key,
    };
    struct timeline *timeline = NULL;
    enum dz_rc rc = timeline_open(self, ulid, BATCH_SPANS, &wanted, &timeline, err);
    if (rc != DZ_OK)
        return rc;
    *out = dz_alloc0(1, sizeof(**out));
    (*out)->timeline = timeline;
    return DZ_OK;
}

void
store_spans_close(struct store_spans **self_p)
{
    struct store_spans *self = dz_move(*self_p);
    if (!self)
        return;
    timeline_close(&self->timeline);
    free(self);
}

enum dz_rc
store_spans_next(struct store_spans *self, struct store_span *out, struct dz_err *err)
{
    const struct moment *m;
    struct dz_slice text;
    enum dz_rc rc = timeline_next(self->timeline, &m, &text, err);
    if (rc != DZ_OK)
        return rc;
    *out = (struct store_span){
        .scope = m->source,
        .id = m->id,
        .parent = m->parent,
        .start_us = m->first_us,
        .end_us = m->last_us,
        .node = m->node,
        .worker = m->worker,
        .test = m->test,
        .attempt = m->attempt,
        .result = m->what < DZ_RESULTS ? (enum dz_result) m->what : DZ_RESULT_NONE,
        .type = { text.ptr, m->type_len },
        .name = { text.ptr + m->type_len, m->len - m->type_len },
    };
    return DZ_OK;
}

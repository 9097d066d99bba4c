/* moment.c - a log record or a span: as it lies in a batch, and what may be asked of it. */
#include <string.h>

#include "store/timeline.h"

static const struct column moment_columns[] = {
    COLUMN(struct moment, first_us), COLUMN(struct moment, last_us),
    COLUMN(struct moment, node),     COLUMN(struct moment, source),
    COLUMN(struct moment, id),       COLUMN(struct moment, parent),
    COLUMN(struct moment, thread),   COLUMN(struct moment, test),
    COLUMN(struct moment, offset),   COLUMN(struct moment, len),
    COLUMN(struct moment, batch),    COLUMN(struct moment, index),
    COLUMN(struct moment, worker),   COLUMN(struct moment, type_len),
    COLUMN(struct moment, attempt),  COLUMN(struct moment, what),
};
const struct column_set MOMENT_COLUMNS = { moment_columns, DZ_LEN(moment_columns),
                                           sizeof(struct moment), 0 };

/* ---- as packed in batches ---- */

static struct moment
moment_of_log(const struct packed_log *log)
{
    return (struct moment){
        .node = log->node,
        .first_us = log->first_us,
        .last_us = log->last_us,
        .thread = log->thread,
        .test = log->test,
        .offset = log->offset,
        .len = log->len,
        .worker = log->worker,
        .attempt = log->attempt,
        .what = log->kind,
    };
}

static struct moment
moment_of_span(const struct packed_span *span)
{
    return (struct moment){
        .node = span->node,
        .source = span->source,
        .id = span->id,
        .parent = span->parent,
        .first_us = span->start_us,
        .last_us = span->end_us,
        .test = span->test,
        .offset = span->offset,
        .len = (uint32_t) span->type_len + span->name_len,
        .worker = span->worker,
        .type_len = span->type_len,
        .attempt = span->attempt,
        .what = span->result,
    };
}

size_t
moment_packed_size(enum batch_kind kind)
{
    return kind == BATCH_LOGS ? sizeof(struct packed_log) : sizeof(struct packed_span);
}

struct moment
moment_unpack(enum batch_kind kind, const uint8_t *record)
{
    struct packed_log log;
    struct packed_span span;
    if (kind == BATCH_LOGS) {
        memcpy(&log, record, sizeof(log));
        return moment_of_log(&log);
    }
    memcpy(&span, record, sizeof(span));
    return moment_of_span(&span);
}

/* ---- order and choice ---- */

int
moment_by_place(const void *a, const void *b)
{
    const struct moment *x = a, *y = b;
    if (x->first_us != y->first_us)
        return x->first_us < y->first_us ? -1 : 1;
    if (x->batch != y->batch)
        return x->batch < y->batch ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

bool
moment_fits(const struct moment *m, const struct moment_filter *f)
{
    if (m->last_us < f->since_us || (f->until_us && m->first_us > f->until_us))
        return false;
    if (f->worker == -2 ? m->worker != STORE_NO_WORKER : f->worker >= 0 && m->worker != f->worker)
        return false;
    if ((f->thread >= 0 && m->thread != (uint32_t) f->thread) ||
        (f->has_node && m->node != f->node))
        return false;
    if (f->key && store_span_key(m->source, m->id) != f->key)
        return false;
    return !f->tests || (m->test < f->test_count && (f->tests[m->test / 8] >> (m->test % 8) & 1));
}

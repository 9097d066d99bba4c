/* event.c - the documents of /api/v1/events. */
#include "store/http/event.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/conf/conf.h"
#include "store/doc.h"
#include "store/jot.h"

static const char *const NAMES[FEED_KINDS] = {
    [FEED_JOB] = "job",   [FEED_RESULT] = "result", [FEED_LOG] = "log",
    [FEED_SPAN] = "span", [FEED_GAP] = "gap",
};

/* ---- ids and topics ---- */

bool
event_read_id(const char *text, struct feed_at *out)
{
    unsigned long long row;
    unsigned record;
    char rest;
    if (strlen(text) > 32 || sscanf(text, "%20llu.%9u%c", &row, &record, &rest) != 2 || row == 0)
        return false;
    *out = (struct feed_at){ row, record };
    return true;
}

unsigned
event_topics(const char *text, struct dz_err *err)
{
    enum { ASKABLE = FEED_GAP };
    unsigned kinds = 0;
    while (*text) {
        char word[32];
        size_t len = strcspn(text, ","), kind = 0;
        (void) snprintf(word, sizeof(word), "%.*s", (int) len, text);
        while (kind < ASKABLE && strcmp(NAMES[kind], word) != 0)
            kind++;
        if (kind == ASKABLE) {
            const char *near = dz_nearest(word, NAMES, ASKABLE);
            dz_ignore(dz_fail(err, DZ_REFUSED, "there is no topic '%s'%s%s", word,
                              near ? "; did you mean " : ": job, result, log, span",
                              near ? near : ""));
            return 0;
        }
        kinds |= 1u << kind;
        text += len + (text[len] == ',');
    }
    if (kinds == 0)
        dz_ignore(dz_fail(err, DZ_REFUSED, "topics is a list of job, result, log, span"));
    return kinds;
}

/* ---- documents ---- */

static void
write_where(struct dz_buf *out, const struct feed_event *event, uint64_t node, uint32_t worker,
            uint32_t attempt)
{
    char name[DOC_WORKER], hex[24];
    (void) snprintf(hex, sizeof(hex), "%016" PRIx64, node);
    jot_text(out, "node", hex);
    jot_text(out, "worker", doc_worker(name, 1, 0, worker));
    if (event->test_id.len == 0)
        return;
    jot_slice(out, "test", event->test_id);
    jot_int(out, "attempt", attempt);
}

static void
write_result(struct dz_buf *out, const struct feed_event *event)
{
    static const char *const words[] = {
        [DZ_WORD_COUNTED] = "counted",
        [DZ_WORD_DUPLICATE] = "duplicate",
        [DZ_WORD_STRIKE] = "strike",
    };
    const struct store_result *result = &event->result;
    write_where(out, event, result->node, result->worker, result->attempt);
    jot_int(out, "number", result->test);
    jot_text(out, "outcome", doc_outcome(result->result));
    jot_text(out, "counts_as", result->word < DZ_LEN(words) ? words[result->word] : "unknown");
    jot_time(out, "start", result->start_us);
    jot_int(out, "setup_us", result->setup_us);
    jot_int(out, "call_us", result->call_us);
    jot_int(out, "teardown_us", result->teardown_us);
}

static void
write_log(struct dz_buf *out, const struct feed_event *event)
{
    const struct store_log *log = &event->log;
    jot_text(out, "kind", log->kind == STORE_LOG_NOTE ? "note" : "output");
    write_where(out, event, log->node, log->worker, log->attempt);
    if (log->thread > 0)
        jot_int(out, "thread", log->thread);
    jot_time(out, "time", log->first_us);
    jot_time(out, "end", log->last_us);
    jot_slice(out, "text", log->text);
}

static void
write_span(struct dz_buf *out, const struct feed_event *event)
{
    const struct store_span *span = &event->span;
    write_where(out, event, span->node, span->worker, span->attempt);
    jot_slice(out, "type", span->type);
    jot_slice(out, "name", span->name);
    jot_time(out, "start", span->start_us);
    jot_time(out, "end", span->end_us);
}

void
event_write(struct dz_buf *out, const struct feed_event *event)
{
    char schema[32];
    (void) snprintf(schema, sizeof(schema), "zb.event.%s/1", NAMES[event->kind]);
    dz_buf_addf(out, "id: %" PRIu64 ".%u\nevent: %s\ndata:", event->next.row, event->next.record,
                NAMES[event->kind]);
    dz_buf_add(out, "\n", 1); /* jot looks at the last byte: nothing is open */
    size_t at = out->len - 1;
    jot_open(out, '{');
    out->data[at] = ' ';
    jot_text(out, "schema", schema);
    jot_text(out, "job", event->ulid);
    jot_text(out, "project", event->uri);
    if (event->kind == FEED_RESULT)
        write_result(out, event);
    else if (event->kind == FEED_LOG)
        write_log(out, event);
    else if (event->kind == FEED_SPAN)
        write_span(out, event);
    jot_close(out, '}');
    dz_buf_addf(out, "\n\n");
}

void
event_write_place(struct dz_buf *out, struct feed_at place)
{
    dz_buf_addf(out, "id: %" PRIu64 ".%u\n\n", place.row, place.record);
}

/* read_events.c - where a stream of events begins; hub.c has the rest. */
#include <stdio.h>
#include <string.h>

#include "store/http/event.h"
#include "store/http/read.h"

/* Whoever has seen something else than this store's events has to begin anew. */
static void
say_reset(struct http_call *call, const char *why)
{
    dz_buf_addf(&call->out,
                "event: reset\ndata: {\"schema\":\"zb.event.reset/1\",\"why\":\"%s\"}\n\n", why);
}

/* Behind the event that the client has seen last, or what it asked for, or now. */
static bool
choose_start(struct http_call *call)
{
    uint64_t first, next;
    struct dz_err err;
    const char *after = http_header(call, "Last-Event-ID");
    enum dz_rc rc = store_feed_bounds(call->store, &first, &next, &err);
    if (rc != DZ_OK) {
        http_problem_rc(call, rc, &err);
        return false;
    }
    if (!after || !*after)
        after = http_arg(call, "after");
    call->from = (struct feed_at){ next, 0 };
    if (after && strcmp(after, "0") == 0) {
        call->from = (struct feed_at){ first, 0 };
    } else if (after && !event_read_id(after, &call->from)) {
        http_problem(call, 400, "'%.64s' is not the id of an event; 0 is the beginning", after);
        return false;
    }
    if (call->from.row < first) {
        say_reset(call, "events since then are no longer kept one by one");
        call->from = (struct feed_at){ first, 0 };
    } else if (call->from.row > next) {
        say_reset(call, "this store has not had that event");
        call->from = (struct feed_at){ next, 0 };
    }
    return true;
}

static const char *
keep(struct http_call *call, const char *text)
{
    struct dz_slice whole = dz_str(text);
    whole.len++; /* its NUL */
    return (const char *) dz_arena_copy(&call->arena, whole).ptr;
}

void
http_get_events(struct http_call *call)
{
    enum { RETRY_MS = 1000 };
    char ulid[STORE_ULID_LEN + 1];
    struct dz_err err;
    const char *topics = http_arg(call, "topics"), *job = http_arg(call, "job");
    call->filter.kinds = event_topics(topics ? topics : "job,result,log", &err);
    if (call->filter.kinds == 0) {
        http_problem(call, 400, "%s", err.text);
        return;
    }
    if (!read_project(call, &call->filter.uri) || (job && !read_job_named(call, job, ulid)))
        return;
    if (job)
        call->filter.ulid = keep(call, ulid);
    dz_buf_addf(&call->out, "retry: %d\n\n", RETRY_MS);
    if (!choose_start(call))
        return;
    event_write_place(&call->out, call->from);
    call->type = "text/event-stream";
    call->is_stream = true;
}

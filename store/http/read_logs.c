/* read_logs.c - what a job's tests and agents said, in time order. */
#include <stdio.h>
#include <stdlib.h>

#include "store/http/read.h"

enum { RECORDS = 1000, RECORDS_MAX = 10000, NUMBER = 24 };

struct ask {
    struct doc_logs_ask logs;
    uint64_t limit, offset;
};

static bool
read_ask(struct http_call *call, struct ask *out)
{
    uint64_t failed, since, until, from, to;
    if (!http_arg_number(call, "failed", 0, 1, 0, &failed) ||
        !http_arg_number(call, "since", 0, INT64_MAX, 0, &since) ||
        !http_arg_number(call, "until", 0, INT64_MAX, 0, &until) ||
        !http_arg_number(call, "from", 0, UINT32_MAX, 0, &from) ||
        !http_arg_number(call, "to", 0, UINT32_MAX, 0, &to) ||
        !http_arg_number(call, "limit", 1, RECORDS_MAX, RECORDS, &out->limit) ||
        !http_arg_number(call, "offset", 0, UINT32_MAX, 0, &out->offset))
        return false;
    out->logs = (struct doc_logs_ask){
        .worker = http_arg(call, "worker"),
        .thread = http_arg(call, "thread"),
        .test = http_arg(call, "test"),
        .only_failed = failed,
        .since_us = (int64_t) since,
        .until_us = (int64_t) until,
        .from = (uint32_t) from,
        .until = (uint32_t) to,
    };
    return true;
}

/* Records from `offset` on, until the page is full. */
static enum dz_rc
write_page(struct http_call *call, const struct ask *ask, struct doc_logs *logs, struct dz_err *err)
{
    char next[NUMBER];
    struct doc_log log;
    uint64_t at = 0;
    enum dz_rc rc = doc_logs_next(logs, &log, err);
    for (; rc == DZ_OK && at < ask->offset; at++)
        rc = doc_logs_next(logs, &log, err);
    uint64_t end = ask->offset + ask->limit;
    for (; rc == DZ_OK && at < end && call->out.len < HTTP_ANSWER_MAX; at++) {
        doc_log_json(&call->out, &log);
        rc = doc_logs_next(logs, &log, err);
    }
    (void) snprintf(next, sizeof(next), "%llu", (unsigned long long) at);
    if (rc == DZ_OK)
        read_next(call, "offset", next);
    return rc == DZ_ABSENT ? DZ_OK : rc;
}

void
http_get_logs(struct http_call *call)
{
    char ulid[STORE_ULID_LEN + 1];
    struct ask ask;
    struct dz_err err;
    struct doc_logs *logs = NULL;
    if (!read_ask(call, &ask) || !read_job(call, ulid))
        return;
    enum dz_rc rc = doc_logs_open(call->store, ulid, &ask.logs, &logs, &err);
    if (rc == DZ_OK)
        rc = write_page(call, &ask, logs, &err);
    if (rc == DZ_OK) {
        call->has_place = true;
        call->place = doc_logs_until(logs);
    }
    doc_logs_close(&logs);
    call->type = "application/x-ndjson";
    if (rc == DZ_REFUSED)
        http_problem(call, 400, "%s", err.text);
    else if (rc != DZ_OK)
        http_problem_rc(call, rc, &err);
}

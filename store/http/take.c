/* take.c - what runs bring: records of jobs.  And what they are told before they begin. */
#include <stdlib.h>
#include <string.h>

#include "store/http/read.h"
#include "store/http/routes.h"
#include "store/sync.h"

static bool
is_parcel(struct http_call *call)
{
    const char *type = http_header(call, "content-type");
    if (type && strcmp(type, STORE_PARCEL_TYPE) == 0)
        return true;
    http_problem(call, 415, "records come as " STORE_PARCEL_TYPE ", not as '%.80s'",
                 type ? type : "");
    return false;
}

void
http_post_records(struct http_call *call)
{
    struct store_receipt receipt;
    struct dz_err err;
    if (!is_parcel(call))
        return;
    enum dz_rc rc = store_inbox_take(store_inbox_of(call->store), call->params[0],
                                     dz_buf_slice(&call->body), call->who.project, &receipt, &err);
    if (rc == DZ_VERSION) {
        http_problem(call, 415, "%s", err.text);
    } else if (rc == DZ_CORRUPT) {
        http_problem(call, 400, "%s", err.text); /* it, not our store: that would be 500 */
    } else if (rc != DZ_OK) {
        http_problem_rc(call, rc, &err);
    } else {
        DZ_AUTO(dz_free) char *text = store_receipt_write(&receipt);
        dz_buf_addf(&call->out, "%s\n", text);
    }
}

void
http_get_ledger(struct http_call *call)
{
    static const struct store_at none;
    uint64_t wants_list = 0;
    struct store_at from = none, after;
    struct store_outbox *box = NULL;
    char ulid[STORE_ULID_LEN + 1];
    struct dz_err err;
    if (!http_arg_number(call, "from", 0, INT64_MAX, 0, &from.count[STREAM_RESULTS]) ||
        !http_arg_number(call, "list", 0, 1, 0, &wants_list) || !read_job(call, ulid))
        return;
    enum dz_rc rc = store_outbox_open(call->store, ulid, &box, &err);
    if (rc == DZ_OK)
        rc = store_outbox_next(box, &from, STORE_ROWS_ONLY | (wants_list ? STORE_WITH_LIST : 0),
                               STORE_PARCEL_SOFT, &call->out, &after, &err);
    store_outbox_close(&box);
    if (rc == DZ_OK)
        call->type = STORE_PARCEL_TYPE;
    else
        http_problem_rc(call, rc, &err);
}

void
http_get_durations(struct http_call *call)
{
    const char *uri = http_arg(call, "project"), *profile = http_arg(call, "profile");
    const char *bound = call->who.project;
    struct store_durations *durations = NULL;
    struct dz_err err;
    if (!uri || (bound && strcmp(uri, bound) != 0)) {
        http_problem(call, uri ? 404 : 400,
                     uri ? "there is no project '%.200s'" : "which project?%s", uri ? uri : "");
        return;
    }
    call->type = STORE_DURATIONS_TYPE;
    if (!call->store) {
        http_problem(call, 404, "there is no project '%.200s'", uri);
        return;
    }
    enum dz_rc rc =
        store_durations_load(call->store, uri, profile ? profile : "", &durations, &err);
    if (rc != DZ_OK) {
        http_problem_rc(call, rc, &err);
        return;
    }
    store_durations_write(durations, &call->out);
    store_durations_destroy(&durations);
}

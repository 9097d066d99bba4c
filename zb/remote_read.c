/* remote_read.c - the documents of a server, read back into the structs that they were written
 * from.  A server may be newer: fields that are not known are left alone. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "zb/remote.h"

static const char *
text_at(const json_t *doc, const char *key)
{
    const char *text = json_string_value(json_object_get(doc, key));
    return text ? text : "";
}

static char *
copy_at(const json_t *doc, const char *key)
{
    return dz_strdup(text_at(doc, key));
}

static int64_t
number_at(const json_t *doc, const char *key)
{
    return json_integer_value(json_object_get(doc, key));
}

static uint32_t
count_at(const json_t *doc, const char *key)
{
    int64_t number = number_at(doc, key);
    return number < 0 ? 0 : number > UINT32_MAX ? UINT32_MAX : (uint32_t) number;
}

static uint64_t
key_at(const json_t *doc, const char *key)
{
    return strtoull(text_at(doc, key), NULL, 16);
}

static void
copy_word(char *out, size_t size, const char *text)
{
    (void) snprintf(out, size, "%.*s", (int) size - 1, text);
}

int64_t
remote_read_time(const json_t *doc, const char *key)
{
    int y, m, d, hour, minute, second, us;
    /* NOLINTNEXTLINE(cert-err34-c): a time out of range is a wrong time, no harm */
    if (sscanf(text_at(doc, key), "%4d-%2d-%2dT%2d:%2d:%2d.%6dZ", &y, &m, &d, &hour, &minute,
               &second, &us) != 7)
        return 0;
    y -= m <= 2;
    int64_t era = y / 400, in_era = y - era * 400;
    int64_t in_year = (153 * (m + (m > 2 ? -3 : 9)) + 2) / 5 + d - 1;
    int64_t days = era * 146097 + in_era * 365 + in_era / 4 - in_era / 100 + in_year - 719468;
    return ((days * 24 + hour) * 60 + minute) * INT64_C(60000000) + second * INT64_C(1000000) + us;
}

static enum dz_result
result_at(const json_t *doc, const char *key)
{
    const char *word = text_at(doc, key);
    for (unsigned i = DZ_RESULT_NONE + 1; i < DZ_RESULTS; i++)
        if (strcmp(dz_result_name((enum dz_result) i), word) == 0)
            return (enum dz_result) i;
    return DZ_RESULT_NONE;
}

static enum store_state
state_at(const json_t *doc)
{
    const char *word = text_at(doc, "state");
    if (strcmp(word, "running") == 0)
        return STORE_RUNNING;
    if (strcmp(word, "incomplete") == 0)
        return STORE_INCOMPLETE;
    return strcmp(word, "sealed") == 0 ? STORE_SEALED : STORE_BROKEN;
}

static void
read_counts(const json_t *doc, struct store_job_info *out)
{
    const json_t *tests = json_object_get(doc, "tests");
    out->workers = count_at(doc, "workers");
    out->nodes = count_at(doc, "nodes");
    out->collected = count_at(doc, "collected");
    out->deselected = count_at(doc, "deselected");
    out->redundant = count_at(doc, "redundant");
    out->not_run = count_at(doc, "not_run");
    out->counted = count_at(doc, "counted");
    out->duplicates = count_at(doc, "duplicates");
    out->lost = count_at(doc, "lost");
    out->shards = count_at(doc, "shards");
    out->shards_there = count_at(doc, "shards_there");
    out->as_before = count_at(doc, "as_before");
    out->is_ledger_wrong = json_is_true(json_object_get(doc, "ledger_wrong"));
    for (unsigned i = DZ_RESULT_NONE + 1; i < DZ_RESULTS; i++)
        out->verdicts[i] = count_at(tests, dz_result_name((enum dz_result) i));
}

void
remote_read_info(const json_t *doc, struct store_job_info *out)
{
    const json_t *exit_code = json_object_get(doc, "exit_code");
    *out = (struct store_job_info){
        .uri = copy_at(doc, "project"),
        .timezone = copy_at(doc, "timezone"),
        .profile = copy_at(doc, "profile"),
        .commit = copy_at(doc, "commit"),
        .command = copy_at(doc, "command"),
        .versions = copy_at(doc, "versions"),
        .rootdir = copy_at(doc, "rootdir"),
        .host = copy_at(doc, "host"),
        .reason = copy_at(doc, "reason"),
        .is_dirty = json_is_true(json_object_get(doc, "dirty")),
        .state = state_at(doc),
        .start_us = remote_read_time(doc, "start"),
        .exit_code = json_is_integer(exit_code) ? (int) json_integer_value(exit_code) : -1,
    };
    out->end_us = out->start_us + number_at(doc, "duration_us");
    copy_word(out->ulid, sizeof(out->ulid), text_at(doc, "id"));
    copy_word(out->previous, sizeof(out->previous), text_at(doc, "previous"));
    out->generation = count_at(doc, "generation");
    copy_word(out->short_id, sizeof(out->short_id), text_at(doc, "short_id"));
    read_counts(doc, out);
}

void
remote_read_test(const json_t *doc, struct doc_test *out)
{
    const json_t *text = json_object_get(doc, "text");
    const char *file = json_string_value(json_object_get(doc, "file"));
    text = text ? text : json_object_get(doc, "message");
    *out = (struct doc_test){
        .id = dz_str(text_at(doc, "id")),
        .outcome = result_at(doc, "outcome"),
        .attempts = count_at(doc, "attempts"),
        .runs = count_at(doc, "runs"),
        .start_us = remote_read_time(doc, "start"),
        .setup_us = number_at(doc, "setup_us"),
        .call_us = number_at(doc, "call_us") + number_at(doc, "duration_us"), /* one of them */
        .teardown_us = number_at(doc, "teardown_us"),
        .signal = count_at(doc, "signal"),
        .line = count_at(doc, "line"),
        .is_elsewhere = file != NULL,
        .file = file ? dz_strdup(file) : NULL,
        .span = key_at(doc, "span"),
    };
    copy_word(out->worker, sizeof(out->worker), text_at(doc, "worker"));
    if (text) {
        out->text = dz_strdup(json_string_value(text) ? json_string_value(text) : "");
        out->text_len = strlen(out->text);
    }
}

static void
release(void *held)
{
    json_decref(held);
}

static enum store_node_state
node_state_at(const json_t *doc)
{
    for (unsigned i = 0; i < STORE_NODE_STATES; i++)
        if (strcmp(store_node_state_name((enum store_node_state) i), text_at(doc, "state")) == 0)
            return (enum store_node_state) i;
    return STORE_NODE_THERE;
}

static void
read_member(const json_t *doc, struct store_node *out)
{
    const json_t *exit_code = json_object_get(doc, "exit_code");
    *out = (struct store_node){
        .id = strtoull(text_at(doc, "id"), NULL, 16),
        .host = copy_at(doc, "host"),
        .how = copy_at(doc, "how"),
        .way = copy_at(doc, "endpoint"),
        .why = copy_at(doc, "why"),
        .workers = count_at(doc, "workers"),
        .cpus = count_at(doc, "cpus"),
        .slot = count_at(doc, "slot"),
        .slots = count_at(doc, "slots"),
        .memory = number_at(doc, "memory"),
        .arrived_us = remote_read_time(doc, "arrived"),
        .ended_us = remote_read_time(doc, "ended"),
        .state = node_state_at(doc),
        .exit_code = json_is_integer(exit_code) ? (int) json_integer_value(exit_code) : -1,
        .led = count_at(doc, "led"),
        .epoch = (uint64_t) number_at(doc, "epoch"),
        .is_shard = json_is_true(json_object_get(doc, "shard")),
    };
}

static void
read_nodes(const json_t *doc, struct doc_job *out)
{
    const json_t *members = json_object_get(doc, "members"),
                 *events = json_object_get(doc, "events");
    struct store_nodes *nodes = &out->held_nodes;
    out->nodes = nodes;
    nodes->node_count = (uint32_t) json_array_size(members);
    nodes->nodes = dz_alloc0((size_t) nodes->node_count + 1, sizeof(*nodes->nodes));
    out->node_runs = dz_alloc0((size_t) nodes->node_count + 1, sizeof(*out->node_runs));
    for (uint32_t i = 0; i < nodes->node_count; i++) {
        read_member(json_array_get(members, i), &nodes->nodes[i]);
        out->node_runs[i] = count_at(json_array_get(members, i), "runs");
    }
    const json_t *plan = json_object_get(doc, "plan");
    nodes->plan = (struct store_plan){ .tests = count_at(plan, "tests"),
                                       .known = count_at(plan, "known"),
                                       .work_us = number_at(plan, "work_us"),
                                       .longest_us = number_at(plan, "longest_us") };
    nodes->event_count = (uint32_t) json_array_size(events);
    nodes->events = dz_alloc0((size_t) nodes->event_count + 1, sizeof(*nodes->events));
    for (uint32_t i = 0; i < nodes->event_count; i++) {
        const json_t *event = json_array_get(events, i);
        nodes->events[i] = (struct store_event){
            .at_us = remote_read_time(event, "time"),
            .word = copy_at(event, "event"),
            .text = copy_at(event, "text"),
            .is_main = json_is_true(json_object_get(event, "main")),
        };
    }
}

void
remote_read_job(json_t *doc, struct doc_job *out)
{
    const json_t *failures = json_object_get(doc, "failures"),
                 *slowest = json_object_get(doc, "slowest"),
                 *missing = json_object_get(doc, "missing"),
                 *lanes = json_object_get(doc, "by_worker");
    size_t lane_count = json_array_size(lanes);
    *out = (struct doc_job){
        .failure_count = count_at(doc, "failure_count"),
        .carried = count_at(doc, "carried"),
        .failures_len = json_array_size(failures),
        .missing_len = json_array_size(missing),
        .lane_count = lane_count < DOC_WORKERS_MAX ? lane_count : DOC_WORKERS_MAX,
        .held = json_incref(doc),
        .release = release,
    };
    remote_read_info(doc, &out->info);
    read_nodes(doc, out);
    out->failures = dz_alloc0(out->failures_len + 1, sizeof(*out->failures));
    for (size_t i = 0; i < out->failures_len; i++)
        remote_read_test(json_array_get(failures, i), &out->failures[i]);
    out->missing = dz_alloc0(out->missing_len + 1, sizeof(*out->missing));
    for (size_t i = 0; i < out->missing_len; i++) {
        const json_t *id = json_array_get(missing, i);
        out->missing[i] =
            (struct dz_slice){ (const uint8_t *) json_string_value(id), json_string_length(id) };
    }
    for (; out->slowest_len < DOC_SLOWEST && out->slowest_len < json_array_size(slowest);
         out->slowest_len++)
        remote_read_test(json_array_get(slowest, out->slowest_len),
                         &out->slowest[out->slowest_len]);
    out->lanes = dz_alloc0(out->lane_count + 1, sizeof(*out->lanes));
    for (size_t i = 0; i < out->lane_count; i++) {
        const json_t *lane = json_array_get(lanes, i);
        copy_word(out->lanes[i].worker, DOC_WORKER, text_at(lane, "worker"));
        out->lanes[i].runs = count_at(lane, "runs");
        out->lanes[i].busy_us = number_at(lane, "busy_us");
        out->lanes[i].first_us = remote_read_time(lane, "first");
        out->lanes[i].last_us = remote_read_time(lane, "last");
    }
}

/* "12.5" */
static uint64_t
place_at(const json_t *doc)
{
    unsigned part = 0, number = 0;
    if (sscanf(text_at(doc, "place"), "%u.%u", &part, &number) != 2) /* NOLINT(cert-err34-c) */
        return 0;
    return (uint64_t) part << 32 | number;
}

void
remote_read_log(const json_t *doc, struct doc_log *out)
{
    const json_t *test = json_object_get(doc, "test"), *text = json_object_get(doc, "text");
    *out = (struct doc_log){
        .kind = strcmp(text_at(doc, "kind"), "note") == 0 ? STORE_LOG_NOTE : STORE_LOG_OUTPUT,
        .first_us = remote_read_time(doc, "time"),
        .last_us = remote_read_time(doc, "end"),
        .thread = count_at(doc, "thread"),
        .attempt = count_at(doc, "attempt"),
        .span = key_at(doc, "span"),
        .text = { (const uint8_t *) json_string_value(text), json_string_length(text) },
        .place = place_at(doc),
    };
    copy_word(out->worker, sizeof(out->worker), text_at(doc, "worker"));
    if (test)
        out->test = dz_str(text_at(doc, "test"));
}

void
remote_read_span(const json_t *doc, struct doc_span *out)
{
    const json_t *test = json_object_get(doc, "test");
    *out = (struct doc_span){
        .key = key_at(doc, "key"),
        .parent = key_at(doc, "parent"),
        .depth = (int) count_at(doc, "depth"),
        .type = dz_str(text_at(doc, "type")),
        .name = dz_str(text_at(doc, "name")),
        .start_us = remote_read_time(doc, "start"),
        .end_us = remote_read_time(doc, "end"),
        .attempt = count_at(doc, "attempt"),
        .outcome = result_at(doc, "outcome"),
    };
    copy_word(out->worker, sizeof(out->worker), text_at(doc, "worker"));
    if (test)
        out->test = dz_str(text_at(doc, "test"));
}

/* about.c - what the store says of itself: health, numbers, and the documents that describe it. */
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/base/fd.h"
#include "store/doc.h"
#include "store/http/routes.h"
#include "store/http/server.h"

extern const struct dz_embedded http_web[];

void
http_get_health(struct http_call *call)
{
    dz_buf_addf(&call->out, "{\"service\":\"dagz\",\"status\":\"ok\",\"version\":\"%s\"}\n",
                DZ_VERSION_TEXT);
}

/* ---- files that the program carries ---- */

static void
give_file(struct http_call *call, const struct dz_embedded *files, const char *name)
{
    while (files->name && strcmp(files->name, name) != 0)
        files++;
    if (files->name)
        dz_buf_addf(&call->out, "%s", files->text);
    else
        http_problem(call, 404, "there is no schema '%.64s'", name);
}

void
http_get_openapi(struct http_call *call)
{
    give_file(call, http_web, "openapi.json");
}

void
http_get_style(struct http_call *call)
{
    call->type = "text/css";
    give_file(call, http_web, "style.css");
}

void
http_get_schema(struct http_call *call)
{
    give_file(call, store_schemas, call->params[0]);
}

/* ---- numbers ---- */

static void
add(struct dz_buf *out, const char *name, const char *type, const char *help, double value)
{
    dz_buf_addf(out, "# HELP %s %s\n# TYPE %s %s\n%s %.17g\n", name, help, name, type, name, value);
}

static void
add_process(struct dz_buf *out)
{
    struct rusage usage;
    struct dz_err unused;
    unsigned long pages = 0, resident = 0;
    DZ_AUTO(dz_buf_fini) struct dz_buf statm = { 0 };
    if (getrusage(RUSAGE_SELF, &usage) == 0)
        add(out, "process_cpu_seconds_total", "counter", "CPU time of the process.",
            (double) (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                (double) (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
    if (dz_fd_read_file("/proc/self/statm", 4096, &statm, &unused) != DZ_OK)
        return;
    dz_buf_add(&statm, "", 1);
    if (sscanf((const char *) statm.data, "%lu %lu", &pages, &resident) == 2)
        add(out, "process_resident_memory_bytes", "gauge", "Resident memory.",
            (double) resident * (double) sysconf(_SC_PAGESIZE));
}

static void
add_store(struct http_call *call)
{
    struct stat info;
    char path[4096];
    uint64_t first, next;
    struct dz_err unused;
    (void) snprintf(path, sizeof(path), "%s/data.mdb", store_dir(call->store));
    if (stat(path, &info) == 0)
        add(&call->out, "dagz_store_bytes", "gauge", "Size of the store's file.",
            (double) info.st_blocks * 512);
    if (store_feed_bounds(call->store, &first, &next, &unused) == DZ_OK)
        add(&call->out, "dagz_store_commits_total", "counter", "Rows that the feed has had.",
            (double) (next - 1));
}

static void
add_connections(struct dz_buf *out, const struct conn_counts *conns)
{
    static const char *const states[CONN_STATES] = { "head", "body", "work", "answer", "stream" };
    dz_buf_addf(out, "# HELP dagz_http_connections Open connections by what they do.\n"
                     "# TYPE dagz_http_connections gauge\n");
    for (unsigned i = 0; i < CONN_STATES; i++)
        dz_buf_addf(out, "dagz_http_connections{state=\"%s\"} %u\n", states[i], conns->by_state[i]);
    add(out, "dagz_http_accepted_total", "counter", "Connections accepted.",
        (double) conns->accepted);
    add(out, "dagz_http_refused_total", "counter", "Connections for which there was no place.",
        (double) conns->refused);
    add(out, "dagz_http_dropped_total", "counter", "Connections shut because they were too slow.",
        (double) conns->dropped);
    add(out, "dagz_http_throttled_total", "counter", "Requests answered 429.",
        (double) conns->throttled);
}

static void
add_answers(struct dz_buf *out, const struct server_counts *counts)
{
    uint64_t sum = 0;
    dz_buf_addf(out, "# HELP dagz_http_answers_total Answers by the class of their status.\n"
                     "# TYPE dagz_http_answers_total counter\n");
    for (unsigned i = 1; i < SERVER_CLASSES; i++)
        dz_buf_addf(out, "dagz_http_answers_total{code=\"%uxx\"} %llu\n", i,
                    (unsigned long long) counts->answers[i]);
    dz_buf_addf(out, "# HELP dagz_http_answer_seconds Time from a request's head to its answer.\n"
                     "# TYPE dagz_http_answer_seconds histogram\n");
    for (unsigned i = 0; i < SERVER_BUCKETS; i++) {
        sum += counts->buckets[i];
        if (i < SERVER_BUCKETS - 1)
            dz_buf_addf(out, "dagz_http_answer_seconds_bucket{le=\"%g\"} %llu\n", server_buckets[i],
                        (unsigned long long) sum);
    }
    dz_buf_addf(out,
                "dagz_http_answer_seconds_bucket{le=\"+Inf\"} %llu\n"
                "dagz_http_answer_seconds_sum %.9g\ndagz_http_answer_seconds_count %llu\n",
                (unsigned long long) sum, counts->seconds, (unsigned long long) sum);
}

static void
add_relay(struct dz_buf *out, const struct relay_counts *relay)
{
    add(out, "dagz_letter_boxes", "gauge", "Nodes that speak through the store.", relay->boxes);
    add(out, "dagz_letter_bytes", "gauge", "Bytes of letters that wait.", (double) relay->bytes);
    add(out, "dagz_letters_total", "counter", "Letters between nodes.", (double) relay->letters);
    add(out, "dagz_letters_dropped_total", "counter", "Letters for which there was no room.",
        (double) relay->dropped);
}

void
http_get_metrics(struct http_call *call)
{
    struct server_counts counts;
    struct dz_buf *out = &call->out;
    server_count(call->server, &counts);
    call->type = "text/plain; version=0.0.4";
    dz_buf_addf(out,
                "# HELP dagz_build_info Which dagz this is.\n# TYPE dagz_build_info gauge\n"
                "dagz_build_info{version=\"%s\"} 1\n",
                DZ_VERSION_TEXT);
    add_connections(out, &counts.conns);
    add_answers(out, &counts);
    add(out, "dagz_reads_waiting", "gauge", "Reading requests in the queue.",
        counts.lanes.waiting[HTTP_READ]);
    add(out, "dagz_writes_waiting", "gauge", "Writing requests in the queue.",
        counts.lanes.waiting[HTTP_WRITE]);
    add(out, "dagz_event_streams", "gauge", "Clients of /api/v1/events.", counts.hub.streams);
    add(out, "dagz_events_total", "counter", "Events made into text.", (double) counts.hub.events);
    add(out, "dagz_event_bytes_total", "counter", "Bytes of events sent.",
        (double) counts.hub.bytes);
    add(out, "dagz_event_catch_ups_total", "counter", "Pieces made for one client that was behind.",
        (double) counts.hub.catch_ups);
    add_relay(out, &counts.relay);
    add_store(call);
    add_process(out);
}

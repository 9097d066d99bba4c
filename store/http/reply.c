/* reply.c - what every answer has besides its body: headers, and a place in the counts. */
#include <stdio.h>

#include "shared/base/clock.h"
#include "store/http/server_own.h"

enum { NUMBER = 24 };

void
server_add_headers(struct MHD_Response *response, const struct http_call *call)
{
    char retry[NUMBER], all[NUMBER], found[NUMBER], event[NUMBER], place[NUMBER];
    (void) snprintf(retry, sizeof(retry), "%u", call->retry_s);
    (void) snprintf(event, sizeof(event), "%llu.0", (unsigned long long) call->event);
    (void) snprintf(all, sizeof(all), "%u", call->all);
    (void) snprintf(found, sizeof(found), "%u", call->found);
    (void) snprintf(place, sizeof(place), "%u", call->place);
    const struct http_pair pairs[] = {
        { "Content-Type", call->type },
        { "Cache-Control", call->is_cachable ? "private, max-age=3600" : "no-store" },
        { "Link", call->link.len ? (const char *) call->link.data : NULL },
        { "Allow", call->allow.len ? (const char *) call->allow.data : NULL },
        { "Retry-After", call->retry_s ? retry : NULL },
        { "Dagz-Event", call->event ? event : NULL },
        { "Dagz-All", call->has_counts ? all : NULL },
        { "Dagz-Found", call->has_counts ? found : NULL },
        { "Dagz-Place", call->has_place ? place : NULL },
        { "WWW-Authenticate", call->status == 401 ? "Bearer" : NULL },
    };
    for (const struct http_pair *pair = http_always; pair->name; pair++)
        (void) MHD_add_response_header(response, pair->name, pair->value);
    for (size_t i = 0; i < DZ_LEN(pairs); i++)
        if (pairs[i].value)
            (void) MHD_add_response_header(response, pairs[i].name, pairs[i].value);
}

const double server_buckets[SERVER_BUCKETS - 1] = { 0.001, 0.005, 0.02, 0.05, 0.2, 1, 5 };

void
server_note(struct http_server *self, int status, dz_us begun)
{
    double seconds = (double) (dz_clock_us() - begun) / 1e6;
    size_t bucket = 0, first_digit = (size_t) status / 100;
    while (bucket < DZ_LEN(server_buckets) && seconds > server_buckets[bucket])
        bucket++;
    (void) pthread_mutex_lock(&self->counting);
    self->counts.answers[first_digit < SERVER_CLASSES ? first_digit : 0]++;
    self->counts.buckets[bucket]++;
    self->counts.seconds += seconds;
    (void) pthread_mutex_unlock(&self->counting);
}

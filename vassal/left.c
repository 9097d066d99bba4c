/* left.c - results that count and that the server is not known to have: into this node's own folder,
 * so that they are there for zb push if the scheduler's is lost. */
#include <stdlib.h>

#include "shared/base/log.h"
#include "vassal/host.h"

struct leaving {
    struct host *host;
    struct store_result *results; /* owned: STORE_BATCH_MAX of them */
    uint32_t count;
    bool has_failed;
};

static void
write_left(struct leaving *self)
{
    struct store_batch batch = { .results = self->results, .result_count = self->count };
    struct dz_err err;
    if (self->count > 0 && !self->has_failed &&
        store_job_append(self->host->job, &batch, &err) != DZ_OK) {
        self->has_failed = true;
        log_warn("store.refuses_left", "count=%u why=%s", self->count, err.text);
    }
    self->count = 0;
}

static void
keep_one(void *arg, const struct cargo_item *item)
{
    struct leaving *self = arg;
    const struct vassal_outcome *it = &item->outcome;
    bool is_fact = item->is_counted || it->origin != 0;
    uint32_t test = it->what.test < self->host->test_count ? host_number(self->host, it->what.test)
                                                           : STORE_NO_TEST;
    if (!is_fact || it->result == DZ_RESULT_CRASHED || test == STORE_NO_TEST)
        return; /* a death may have been a strike: only who counted it knows */
    self->results[self->count++] = (struct store_result){
        .test = test,
        .attempt = it->what.attempt,
        .node = it->origin ? it->origin : self->host->peers.node,
        .inc = it->inc,
        .exec = it->exec,
        .result = (enum dz_result) it->result,
        .worker = it->slot,
        .start_us = it->start_us + self->host->wall_offset_us,
        .setup_us = it->setup_us,
        .call_us = it->call_us,
        .teardown_us = it->teardown_us,
        .cause = item->cause,
        .signal = item->signal,
        .line = it->line,
        .text = cargo_text(item),
    };
    if (self->count == STORE_BATCH_MAX)
        write_left(self);
}

void
host_keep_left(struct host *self)
{
    if (!self->coord_cfg.has_store || !self->job || self->memory.counted)
        return;
    struct leaving leaving = { .host = self };
    leaving.results = dz_alloc0(STORE_BATCH_MAX, sizeof(*leaving.results));
    agent_each_left(self->agent, keep_one, &leaving);
    write_left(&leaving);
    free(leaving.results);
    host_poke(self, PUSH_RESULTS);
}

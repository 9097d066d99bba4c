/* chronicle.c - what this node knows of itself and of others, on its way into the store.
 *
 * Lines go with the next transaction. Of a job with several nodes they do not wait for it long, since
 * what matters most about a node is what it said before it died; but where a thousand nodes join, a
 * sync for each line would be all that the scheduler does. */
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "shared/base/clock.h"
#include "shared/wire/pace.h"
#include "vassal/host.h"

enum {
    HOST_MAX = 256,
    HEX_LEN = 17,
    SOON_US = 100 * 1000, /* lines of so long share a transaction, of a crowd's longer */
    REST = 20,            /* on a busy disk, of so many times what the last one took */
    MANY = STORE_BATCH_MAX / 2,
};

static dz_us
pause_us(const struct host *self)
{
    dz_us rest = REST * self->lines_took_us;
    dz_us soon = SOON_US + dz_pace_crowd_us(peers_count(&self->peers));
    return rest > soon ? rest : soon;
}

static void
arm(struct host *self)
{
    if (!self->lines.is_listed)
        dz_loop_set(self->loop, &self->lines, dz_clock_us() + pause_us(self));
}

/* A thousand agents of one machine that sync a few lines every second keep its disk busy. */
void
host_flush_soon(void *arg)
{
    struct host *self = arg;
    if (dz_pace_crowd_us(peers_count(&self->peers)) > 0)
        arm(self);
    else
        host_flush(self);
}

static void
tell(struct host *self, const char *word, uint64_t node, const struct chronicle_fact *facts)
{
    chronicle_add(&self->chronicle, word, node, dz_clock_us() + self->wall_offset_us, facts);
    if (!self->peers.is_meeting)
        return;
    if (self->chronicle.count >= MANY)
        host_flush(self);
    else
        arm(self);
}

void
host_tell_arrived(struct host *self, const struct dz_msg_start *start)
{
    char host[HOST_MAX] = "";
    const struct dz_ci *ci = &self->peers.ci;
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    (void) gethostname(host, sizeof(host) - 1);
    const struct chronicle_fact facts[] = {
        { "host", host, 0 },
        { "pid", NULL, getpid() },
        { "inc", NULL, (int64_t) self->peers.inc },
        { "workers", NULL, (int64_t) start->workers },
        { "cpus", NULL, sysconf(_SC_NPROCESSORS_ONLN) },
        { "memory", NULL, pages > 0 && page > 0 ? (int64_t) pages * page : 0 },
        { "how", self->peers.how.len > 0 ? (const char *) self->peers.how.data : "alone", 0 },
        { ci->total > 0 ? "slots" : NULL, NULL, ci->total },
        { "slot", NULL, ci->slot + 1 },
        { NULL, NULL, 0 },
    };
    chronicle_init(&self->chronicle, self->peers.node, self->peers.inc);
    tell(self, "arrived", self->peers.node, facts);
    if (self->peers.is_meeting)
        host_flush(self); /* whatever comes, it has been here */
}

void
host_tell_rank(struct host *self, const struct vassal_effect *effect)
{
    char leader[HEX_LEN];
    (void) snprintf(leader, sizeof(leader), "%016" PRIx64, effect->as.rank.epoch.node);
    const struct chronicle_fact facts[] = {
        { "rank", effect->as.rank.name, 0 },
        { "epoch", NULL, (int64_t) effect->as.rank.epoch.n },
        { "leader", leader, 0 },
        { "why", effect->as.rank.why, 0 },
        { NULL, NULL, 0 },
    };
    if (self->peers.is_meeting) /* else there was nothing to choose */
        tell(self, "rank", self->peers.node, facts);
}

/* rows: what the ledger has already, as the coordinator was told. */
void
host_tell_plan(struct host *self, const struct coord_row *rows, size_t row_count)
{
    int64_t tests = 0, known = 0, work_us = 0, longest_us = 0;
    DZ_AUTO(dz_free) uint8_t *is_counted = dz_alloc0(self->manifest->count + 1, 1);
    for (size_t i = 0; i < row_count; i++)
        if (rows[i].is_counted && rows[i].what.test < self->manifest->count)
            is_counted[rows[i].what.test] = 1;
    for (uint32_t i = 0; i < self->manifest->count; i++) {
        int64_t est_us = catalog_est_us(self->manifest, i);
        if (is_counted[i])
            continue;
        tests++;
        known += est_us > 0;
        work_us += est_us;
        longest_us = est_us > longest_us ? est_us : longest_us;
    }
    const struct chronicle_fact facts[] = {
        { "tests", NULL, tests },           { "known", NULL, known }, { "work_us", NULL, work_us },
        { "longest_us", NULL, longest_us }, { NULL, NULL, 0 },
    };
    tell(self, "planned", self->peers.node, facts);
}

void
host_tell_node(void *arg, const struct coord_effect *effect)
{
    struct host *self = arg;
    const struct chronicle_fact facts[] = {
        { "inc", NULL, (int64_t) effect->as.node.inc },
        { *effect->as.node.why ? "why" : NULL, effect->as.node.why, 0 },
        { NULL, NULL, 0 },
    };
    if (self->peers.is_meeting)
        tell(self, effect->as.node.word, effect->as.node.node, facts);
}

void
host_tell_way(struct host *self, uint64_t node, const char *endpoint)
{
    const struct chronicle_fact facts[] = { { "endpoint", endpoint, 0 }, { NULL, NULL, 0 } };
    tell(self, "way", node, facts);
}

void
host_tell_ended(struct host *self, int exit_code, const char *reason)
{
    const struct chronicle_fact facts[] = {
        { "exit_code", NULL, exit_code },
        { reason && *reason ? "why" : NULL, reason, 0 },
        { NULL, NULL, 0 },
    };
    tell(self, "ended", self->peers.node, facts);
}

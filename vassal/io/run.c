/* run.c - what was collected becomes the node's tests, and the run begins. */
#include <stdlib.h>
#include <string.h>

#include "shared/base/clock.h"
#include "vassal/io/inside.h"

/* Rolls of solo workers are united; all workers of a zygote share its roll. */
static size_t
gather_rolls(struct agent *self, struct roll **rolls)
{
    size_t count = 0;
    for (size_t i = 0; i < self->legacy_count; i++) {
        if (self->legacies[i].is_ready && !self->legacies[i].is_late)
            rolls[count++] = self->legacies[i].roll;
    }
    if (count > 0)
        return count; /* the manifest must be what the job's is */
    if (self->kin.roll && self->kin.roll->is_complete)
        rolls[count++] = self->kin.roll;
    for (unsigned i = 0; i < self->seat_count; i++) {
        struct roll *roll = self->seats[i].is_solo ? self->seats[i].roll : NULL;
        if (roll && roll->is_complete)
            rolls[count++] = roll;
    }
    return count;
}

static void
map_late(struct agent *self, struct roll *roll)
{
    if (roll && roll->is_complete && !roll->to_node)
        (void) catalog_map(&self->manifest, roll); /* of strangers was told when they came */
}

/* What is no part of the manifest, which an earlier agent made. */
static void
map_late_rolls(struct agent *self)
{
    for (size_t i = 0; i < self->legacy_count; i++)
        map_late(self, self->legacies[i].roll);
    map_late(self, self->kin.roll);
    for (unsigned i = 0; i < self->seat_count; i++)
        map_late(self, self->seats[i].roll);
}

static void
present_seats(struct agent *self)
{
    for (unsigned i = 0; i < self->seat_count; i++) {
        struct seat *seat = &self->seats[i];
        if (seat->state == SEAT_COLLECTING && seat->roll->is_complete)
            seat_present(seat);
    }
}

/* Others have run everything.  Workers that an earlier agent had made end as after their last test. */
static void
end_for_nothing(struct agent *self)
{
    present_seats(self);
    for (unsigned i = 0; i < self->seat_count; i++)
        seat_feed(&self->seats[i], NULL, 0, DZ_MORE_END);
    self->done = (struct dz_msg_done){ .nodes = 1, .workers = self->seat_count };
    agent_wind_down(self, 0);
}

/* The node's tests, without what others have run.  false: that is not known yet. */
static bool
build_catalog(struct agent *self)
{
    struct catalog_filter filter;
    bool is_late = self->place.is_late;
    if (is_late && !self->up.compare(self->up.arg, &filter))
        return false;
    DZ_AUTO(dz_free)
    struct roll **rolls = dz_alloc0(self->legacy_count + self->seat_count + 1, sizeof(*rolls));
    size_t count = gather_rolls(self, rolls);
    if (count == 0) {
        agent_give_up(self, "no process could collect the tests");
        return false;
    }
    catalog_build(&self->manifest, rolls, count, is_late ? &filter : NULL);
    self->has_manifest = true;
    map_late_rolls(self);
    if (self->manifest.left_out > 0)
        tell_left_out(self, self->manifest.left_out);
    return true;
}

static void
own_test(const void *arg, uint32_t test, struct dz_item_own *out)
{
    *out = (struct dz_item_own){ .id = catalog_id(arg, test), .group = catalog_group(arg, test) };
}

static void
say_manifest(struct agent *self)
{
    struct vassal_event event = { .kind = VASSAL_EV_MANIFEST,
                                  .as.manifest = { .total = self->manifest.count,
                                                   .digest = self->manifest.digest,
                                                   .seen_n = self->seen_epoch,
                                                   .own = { own_test, &self->manifest },
                                                   .nodes = self->up.crowd(self->up.arg) } };
    if (self->place.is_meeting && self->place.is_late)
        agent_event(self, &(struct vassal_event){ .kind = VASSAL_EV_JOIN });
    agent_event(self, &event);
}

void
agent_compared(struct agent *self)
{
    agent_begin_run(self);
}

void
agent_begin_run(struct agent *self)
{
    if (self->has_manifest || self->state != AGENT_COLLECTING || self->is_waiting_births ||
        kin_is_collecting(self) || !build_catalog(self))
        return;
    struct dz_err err;
    enum dz_rc rc = self->up.manifest(self->up.arg, &self->manifest, &err);
    if (rc != DZ_OK) {
        agent_give_up(self, "%s", err.text);
        return;
    }
    if (self->manifest.count == 0 && self->manifest.left_out > 0) {
        end_for_nothing(self);
        return;
    }
    self->state = AGENT_RUNNING;
    self->is_dirty = true;
    agent_log(self, "%u tests, digest %016llx", self->manifest.count,
              (unsigned long long) self->manifest.digest);
    output_check_follow(self);
    present_seats(self);
    say_manifest(self);
}

/* Everybody who lives and told of an earlier agent has had the time to come. */
void
agent_on_rebirth(void *arg)
{
    struct agent *self = arg;
    self->is_waiting_births = false;
    if (self->state != AGENT_COLLECTING)
        return;
    bool has_solo = false;
    for (unsigned i = 0; i < self->seat_count; i++)
        has_solo = has_solo || (self->seats[i].is_solo && seat_has_process(&self->seats[i]));
    if (self->kin.forks_solo && !has_solo)
        kin_go_solo(self);
    else if (self->kin.is_ready || has_solo)
        agent_begin_run(self);
    else if (self->kin.zygote_pid == 0)
        kin_ask_zygote(self);
}

/* arrival.c - by what key a node comes to its job, as what, and that in words: the first lines of a CI
 * slot's log. */
#include <inttypes.h>
#include <string.h>

#include "shared/base/digest.h"
#include "vassal/peers.h"

/* ------------------------------------------------------------------ the key */

void
peers_key_part(struct dz_buf *key, struct dz_slice part)
{
    dz_buf_add(key, part.ptr, part.len);
    dz_buf_add(key, "", 1); /* parts do not run into each other */
}

/* What all nodes of one job have in common. */
void
peers_key(const struct peers *self, const struct dz_msg_start *start, const struct peers_job *job,
          struct dz_buf *out)
{
    peers_key_part(out, dz_str(job->uri));
    peers_key_part(out, dz_str(self->ci.key));
    peers_key_part(out, dz_str(job->commit));
    peers_key_part(out, dz_str(job->profile));
    peers_key_part(out, start->python);
    peers_key_part(out, start->chooses);
    if (job->after)
        peers_key_part(out, dz_str(job->after));
}

/* Without the CI's own name of its job it has one that no other process has. */
uint64_t
peers_ci_job(const struct peers *self)
{
    return self->ci.job ? dz_hash64(dz_str(self->ci.job)) : self->node;
}

/* ------------------------------------------------------------------ arriving */

struct dz_meeting_entry
peers_entry(const struct peers *self)
{
    struct dz_meeting_entry entry = {
        .node = self->node,
        .arrival = { .index = self->ci.total > 0 ? self->ci.slot : DZ_NO_INDEX,
                     .ci_job = peers_ci_job(self),
                     .attempt = self->ci.attempt },
        .mode = self->mode,
    };
    memcpy(entry.job, self->job, sizeof(entry.job));
    return entry;
}

void
peers_tell_after(struct peers *self)
{
    dz_buf_addf(
        &self->how,
        "%s has ended as job %s: this node collects, and runs what that job lacks, if anything",
        self->ci.key, self->previous);
}

static void
tell_arrival(struct peers *self, const struct dz_meeting_entry *entry, const char *where)
{
    const char *key = self->ci.key;
    if (self->generation == 0 && self->previous[0] != '\0') {
        peers_tell_after(self);
        return;
    }
    switch (entry->answer.word) {
    case DZ_ARRIVAL_OPENS: dz_buf_addf(&self->how, "first of %s %s", key, where); return;
    case DZ_ARRIVAL_JOINS: dz_buf_addf(&self->how, "joined %s %s", key, where); return;
    case DZ_ARRIVAL_RETURNS: dz_buf_addf(&self->how, "back in %s %s", key, where); return;
    case DZ_ARRIVAL_LATE: dz_buf_addf(&self->how, "%s has ended as job %s", key, self->job); return;
    case DZ_ARRIVAL_AGAIN: return; /* it is never the last word */
    }
}

/* What a generation after the first runs. */
static void
tell_generation(struct peers *self, const struct dz_meeting_entry *entry)
{
    if (entry->answer.word == DZ_ARRIVAL_LATE)
        return;
    if (self->generation > 0)
        dz_buf_addf(&self->how, "; generation %" PRIu32 ": ", self->generation);
    if (self->generation > 0 && self->previous[0] == '\0')
        dz_buf_addf(&self->how, "nothing is known of earlier ones, everything runs");
    else if (self->generation > 0 && self->is_full)
        dz_buf_addf(&self->how, "everything runs again");
    else if (self->generation > 0)
        dz_buf_addf(&self->how, "what failed or is missing of job %s runs again", self->previous);
    else if (self->mode == DZ_RERUN_FAILED)
        dz_buf_addf(&self->how, "; there is no earlier generation: DAGZ_MODE=failed runs all");
}

void
peers_tell_arrival(struct peers *self, const struct dz_meeting_entry *entry, const char *where)
{
    tell_arrival(self, entry, where);
    tell_generation(self, entry);
}

/* revive.c - taking over from an agent that died.
 *
 * Its spool says which tests the collecting processes named, which executions were journaled, and
 * which beginnings of long frames had left a ring.  All records are told to the core again: the
 * ledger knows what it has counted, and the controller drops what it has seen. */
#include <stdlib.h>
#include <string.h>

#include "shared/base/log.h"
#include "vassal/io/inside.h"

enum { LEGACIES_MAX = 65536, LIFE_SHIFT = 32 };

struct legacy *
revive_find(struct agent *agent, uint64_t life)
{
    for (size_t i = 0; i < agent->legacy_count; i++) {
        if (agent->legacies[i].life == life)
            return &agent->legacies[i];
    }
    return NULL;
}

static struct legacy *
legacy_of(struct agent *agent, uint64_t life)
{
    struct legacy *found = revive_find(agent, life);
    if (found || agent->legacy_count == LEGACIES_MAX)
        return found;
    agent->legacies =
        dz_realloc(agent->legacies, agent->legacy_count + 1, sizeof(*agent->legacies));
    struct legacy *legacy = &agent->legacies[agent->legacy_count++];
    *legacy = (struct legacy){ .life = life };
    return legacy;
}

static void
on_record(void *arg, const struct cargo_item *item, struct dz_slice blob, struct dz_slice text)
{
    struct agent *agent = arg;
    uint64_t exec = item->outcome.exec & UINT32_MAX;
    bool is_own = item->outcome.origin == 0;
    struct legacy *legacy = is_own ? legacy_of(agent, item->outcome.exec >> LIFE_SHIFT) : NULL;
    if (legacy && exec > legacy->last_exec && item->cause == DZ_CAUSE_FINISHED)
        legacy->last_exec = exec;
    struct cargo_item *mine = cargo_add(&agent->cargo, ++agent->restored, blob, text);
    mine->outcome = item->outcome;
    mine->cause = item->cause;
    mine->signal = item->signal;
    mine->elapsed_us = item->elapsed_us;
    struct vassal_event event = {
        .kind = VASSAL_EV_RESTORED,
        .as.restored = { .record = agent->restored, .outcome = item->outcome },
    };
    agent_event(agent, &event);
}

/* A piece that does not lie behind what is there is of an earlier frame. */
static void
on_partial(void *arg, uint64_t life, uint32_t nth, uint64_t pos, struct dz_slice bytes)
{
    struct legacy *legacy = legacy_of(arg, life);
    if (!legacy || (nth > 0 && pos != legacy->partial_pos) ||
        legacy->partial.len + bytes.len > FRAME_MAX)
        return;
    if (nth == 0)
        dz_buf_clear(&legacy->partial);
    legacy->partial_pos = pos + bytes.len;
    dz_buf_add(&legacy->partial, bytes.ptr, bytes.len);
}

static void
on_roll(void *arg, uint64_t life, const struct dz_msg_manifest *part)
{
    struct legacy *legacy = legacy_of(arg, life);
    if (!legacy)
        return;
    if (!legacy->roll)
        legacy->roll = roll_new();
    if (roll_add(legacy->roll, part, NULL) != DZ_OK)
        log_debug("revive.part_refused", "life=%llu", (unsigned long long) life);
}

static void
on_ready(void *arg, uint64_t life, const struct dz_msg_ready *ready)
{
    struct legacy *legacy = legacy_of(arg, life);
    if (!legacy || !legacy->roll || legacy->roll->count != ready->total)
        return; /* a part is missing: as if it had never been ready */
    legacy->roll->is_complete = legacy->is_ready = true;
    legacy->is_late = ready->flags & SPOOL_READY_LATE;
    legacy->deselected = (uint32_t) ready->deselected;
}

static void
on_epoch(void *arg, uint64_t n)
{
    struct agent *agent = arg;
    if (n > agent->seen_epoch)
        agent->seen_epoch = n;
}

void
revive_inherit(struct agent *agent)
{
    struct spool_heir heir = { .arg = agent,
                               .on_record = on_record,
                               .on_partial = on_partial,
                               .on_roll = on_roll,
                               .on_ready = on_ready,
                               .on_epoch = on_epoch };
    unsigned damaged = spool_inherit(agent->home, agent->tag, agent->inc, &heir);
    if (damaged > 0)
        tell_note(agent, 1,
                  "the spool of an agent that died is damaged and was put aside; "
                  "tests whose results were only there run again");
    agent->journaled = agent->to_journal = agent->restored;
    agent_log(agent, "this agent replaces one that died: %llu results taken over",
              (unsigned long long) agent->restored);
}

void
revive_fini(struct agent *agent)
{
    for (size_t i = 0; i < agent->legacy_count; i++) {
        roll_drop(&agent->legacies[i].roll);
        dz_buf_fini(&agent->legacies[i].partial);
    }
    dz_free(&agent->legacies);
    agent->legacy_count = 0;
}

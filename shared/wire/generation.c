#include "shared/wire/generation.h"

#include <string.h>

const char *const dz_rerun_words[] = {
    [DZ_RERUN_AUTO] = "auto", [DZ_RERUN_FAILED] = "failed", [DZ_RERUN_FULL] = "full", NULL
};

bool
dz_rerun_read(const char *text, enum dz_rerun *out)
{
    *out = DZ_RERUN_AUTO;
    if (!text || !*text)
        return true;
    for (int i = 0; dz_rerun_words[i]; i++) {
        if (strcmp(text, dz_rerun_words[i]) != 0)
            continue;
        *out = (enum dz_rerun) i;
        return true;
    }
    return false;
}

bool
dz_rerun_is_full(enum dz_rerun mode, bool was_good)
{
    return mode == DZ_RERUN_AUTO ? was_good : mode == DZ_RERUN_FULL;
}

static const struct dz_slot_past *
find_job(const struct dz_generation *newest, uint64_t ci_job)
{
    for (size_t i = 0; i < newest->past_count; i++)
        if (newest->past[i].ci_job == ci_job)
            return &newest->past[i];
    return NULL;
}

/* The last one who had this index. */
static const struct dz_slot_past *
find_index(const struct dz_generation *newest, uint32_t index)
{
    for (size_t i = newest->past_count; index != DZ_NO_INDEX && i-- > 0;)
        if (newest->past[i].index == index)
            return &newest->past[i];
    return NULL;
}

/* A CI that counts attempts says itself which generation it means. */
static struct dz_arrival_reply
by_attempt(const struct dz_generation *newest, const struct dz_arrival *who)
{
    uint32_t number = who->attempt - 1;
    if (!newest->exists || number > newest->number)
        return (struct dz_arrival_reply){ DZ_ARRIVAL_OPENS, number };
    if (number < newest->number || newest->is_sealed)
        return (struct dz_arrival_reply){ DZ_ARRIVAL_LATE, number };
    bool is_known = find_job(newest, who->ci_job) || find_index(newest, who->index);
    return (struct dz_arrival_reply){ is_known ? DZ_ARRIVAL_RETURNS : DZ_ARRIVAL_JOINS, number };
}

/* A slot comes back after all was over: was it sent again because it never ended, or because
 * somebody pressed the button? */
static enum dz_arrival_word
after_seal(const struct dz_generation *newest, const struct dz_slot_past *before)
{
    if (before->end == DZ_SLOT_END_VERDICT || !newest->is_good)
        return DZ_ARRIVAL_OPENS;
    return DZ_ARRIVAL_LATE;
}

struct dz_arrival_reply
dz_generation_of(const struct dz_generation *newest, const struct dz_arrival *who)
{
    if (who->attempt > 0)
        return by_attempt(newest, who);
    if (!newest->exists)
        return (struct dz_arrival_reply){ DZ_ARRIVAL_OPENS, 0 };
    const struct dz_slot_past *same = find_job(newest, who->ci_job);
    const struct dz_slot_past *before = same ? same : find_index(newest, who->index);
    struct dz_arrival_reply out = { DZ_ARRIVAL_JOINS, newest->number };
    if (!newest->is_sealed)
        out.word = before ? DZ_ARRIVAL_RETURNS : DZ_ARRIVAL_JOINS;
    else if (!before || same)
        out.word = DZ_ARRIVAL_LATE; /* a job never seen before, or one that was left behind */
    else
        out.word = after_seal(newest, before);
    if (out.word == DZ_ARRIVAL_OPENS)
        out.number++;
    return out;
}

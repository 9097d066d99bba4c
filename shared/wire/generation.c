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
find_job(const struct dz_slot_past *past, size_t count, uint64_t ci_job)
{
    for (size_t i = 0; i < count; i++)
        if (past[i].ci_job == ci_job)
            return &past[i];
    return NULL;
}

/* The last one who had this index. */
static const struct dz_slot_past *
find_index(const struct dz_slot_past *past, size_t count, uint32_t index)
{
    for (size_t i = count; index != DZ_NO_INDEX && i-- > 0;)
        if (past[i].index == index)
            return &past[i];
    return NULL;
}

/* Who had this part in the newest generation, NULL: nobody. */
static const struct dz_slot_past *
find_before(const struct dz_generation *newest, const struct dz_arrival *who)
{
    const struct dz_slot_past *same = find_job(newest->past, newest->past_count, who->ci_job);
    return same ? same : find_index(newest->past, newest->past_count, who->index);
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
    return (struct dz_arrival_reply){ find_before(newest, who) ? DZ_ARRIVAL_RETURNS
                                                               : DZ_ARRIVAL_JOINS,
                                      number };
}

/* A slot comes back after all was over: was it sent again because it never ended, or because
 * somebody pressed the button?  One that took part in an earlier generation only is retried for what
 * failed there, and a generation that is good has run that. */
static enum dz_arrival_word
after_seal(const struct dz_generation *newest, const struct dz_arrival *who)
{
    const struct dz_slot_past *before = find_before(newest, who), *earlier = newest->earlier;
    size_t count = newest->earlier_count;
    if ((before && before->ci_job == who->ci_job) || find_job(earlier, count, who->ci_job))
        return DZ_ARRIVAL_LATE; /* it was left behind */
    if (before && before->end == DZ_SLOT_END_VERDICT)
        return DZ_ARRIVAL_OPENS;
    bool is_back = before || find_index(earlier, count, who->index);
    return is_back && !newest->is_good ? DZ_ARRIVAL_OPENS : DZ_ARRIVAL_LATE;
}

struct dz_arrival_reply
dz_generation_of(const struct dz_generation *newest, const struct dz_arrival *who)
{
    if (who->attempt > 0)
        return by_attempt(newest, who);
    if (!newest->exists)
        return (struct dz_arrival_reply){ DZ_ARRIVAL_OPENS, 0 };
    struct dz_arrival_reply out = { DZ_ARRIVAL_JOINS, newest->number };
    if (newest->is_sealed)
        out.word = after_seal(newest, who);
    else if (find_before(newest, who))
        out.word = DZ_ARRIVAL_RETURNS;
    if (out.word == DZ_ARRIVAL_OPENS)
        out.number++;
    return out;
}

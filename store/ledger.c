/* ledger.c - first come, first counted.
 *
 * A strike may become the one that counts: whoever schedules decides which death is the last, and
 * another scheduler may have heard of them in another order.  Nothing else ever changes.
 *
 * An execution is known by a 64-bit mix of (node, inc, exec), compared only within its own test
 * and attempt.  Nearly every test has one execution: that one lies in an array, all others (second
 * attempts, strikes, late doubles) in a small hash table. */
#include "store/ledger.h"

#include <stdlib.h>
#include <string.h>

#include "shared/base/digest.h"

struct ledger_extra {
    uint64_t who;
    uint32_t what; /* test | attempt << 24 */
    uint8_t word, is_used;
};

static uint64_t
who_of(const struct store_result *r)
{
    uint64_t name[3] = { r->node, r->inc, r->exec };
    uint64_t who = dz_hash64((struct dz_slice){ (const uint8_t *) name, sizeof(name) });
    return who ? who : 1; /* 0 means nobody */
}

void
ledger_init(struct ledger *self, uint32_t tests)
{
    *self = (struct ledger){ .tests = tests };
    self->results = dz_alloc0((size_t) tests + 1, STORE_ATTEMPTS);
    self->first = dz_alloc0((size_t) tests + 1, sizeof(*self->first));
    self->has_strike = dz_alloc0((size_t) tests + 1, 1);
}

void
ledger_fini(struct ledger *self)
{
    free(self->results);
    free(self->first);
    free(self->has_strike);
    free(self->extras);
    *self = (struct ledger){ 0 };
}

void
ledger_clear(struct ledger *self)
{
    uint32_t tests = self->tests;
    ledger_fini(self);
    ledger_init(self, tests);
}

void
ledger_grow(struct ledger *self, uint32_t tests)
{
    size_t before = self->tests, count = tests;
    if (count <= before)
        return;
    self->results = dz_realloc(self->results, (count + 1) * STORE_ATTEMPTS, 1);
    self->first = dz_realloc(self->first, count + 1, sizeof(*self->first));
    self->has_strike = dz_realloc(self->has_strike, count + 1, 1);
    memset(self->results + before * STORE_ATTEMPTS, 0, (count + 1 - before) * STORE_ATTEMPTS);
    memset(self->first + before, 0, (count + 1 - before) * sizeof(*self->first));
    memset(self->has_strike + before, 0, count + 1 - before);
    self->tests = tests;
}

/* ---- other executions ---- */

static struct ledger_extra *
slot_of(const struct ledger *self, uint32_t what, uint64_t who)
{
    size_t mask = self->extra_cap - 1;
    for (size_t i = (who ^ what * UINT64_C(0x9e3779b97f4a7c15)) & mask;; i = (i + 1) & mask) {
        struct ledger_extra *extra = &self->extras[i];
        if (!extra->is_used || (extra->what == what && extra->who == who))
            return extra;
    }
}

static void
grow(struct ledger *self)
{
    struct ledger old = *self;
    self->extra_cap = old.extra_cap ? old.extra_cap * 2 : 64;
    self->extras = dz_alloc0(self->extra_cap, sizeof(*self->extras));
    for (size_t i = 0; i < old.extra_cap; i++)
        if (old.extras[i].is_used)
            *slot_of(self, old.extras[i].what, old.extras[i].who) = old.extras[i];
    free(old.extras);
}

static void
remember(struct ledger *self, uint32_t what, uint64_t who, enum dz_word word)
{
    if ((self->extra_len + 1) * 2 > self->extra_cap)
        grow(self);
    struct ledger_extra *extra = slot_of(self, what, who);
    self->extra_len += !extra->is_used;
    *extra = (struct ledger_extra){ who, what, (uint8_t) word, true };
}

/* ---- judging ---- */

static uint32_t
what_of(const struct store_result *r)
{
    return r->test | r->attempt << 24;
}

static bool
recall(const struct ledger *self, const struct store_result *r, uint64_t who,
       enum dz_word *word_out)
{
    if (r->attempt == 0 && self->first[r->test] == who) {
        *word_out = DZ_WORD_COUNTED;
        return true;
    }
    if (self->extra_cap == 0)
        return false;
    const struct ledger_extra *extra = slot_of(self, what_of(r), who);
    *word_out = (enum dz_word) extra->word;
    return extra->is_used;
}

bool
ledger_knows(const struct ledger *self, const struct store_result *r)
{
    enum dz_word unused;
    return r->test < self->tests && r->attempt < STORE_ATTEMPTS &&
           recall(self, r, who_of(r), &unused);
}

static uint8_t *
result_at(const struct ledger *self, const struct store_result *r)
{
    return &self->results[r->test * (size_t) STORE_ATTEMPTS + r->attempt];
}

bool
ledger_has(const struct ledger *self, const struct store_result *r)
{
    return r->test < self->tests && r->attempt < STORE_ATTEMPTS &&
           *result_at(self, r) != DZ_RESULT_NONE;
}

static void
enter(struct ledger *self, const struct store_result *r, uint64_t who)
{
    self->executions++; /* a strike that comes to count is a row of its own, as what is sent on */
    if (r->word == DZ_WORD_COUNTED) {
        *result_at(self, r) = (uint8_t) r->result;
        self->counted++;
        self->digest += dz_ledger_mix(r->test, r->attempt, r->result);
    }
    if (r->word == DZ_WORD_STRIKE)
        self->has_strike[r->test] = 1;
    if (r->word == DZ_WORD_COUNTED && r->attempt == 0)
        self->first[r->test] = who;
    else
        remember(self, what_of(r), who, r->word);
}

void
ledger_judge(struct ledger *self, struct store_result *r)
{
    dz_assert(r->test < self->tests && r->attempt < STORE_ATTEMPTS);
    uint64_t who = who_of(r);
    bool is_open = *result_at(self, r) == DZ_RESULT_NONE;
    bool is_known = recall(self, r, who, &r->word);
    r->is_repeat = is_known && !(r->word == DZ_WORD_STRIKE && !r->is_strike && is_open);
    if (!r->is_repeat) {
        r->word = r->is_strike ? DZ_WORD_STRIKE : is_open ? DZ_WORD_COUNTED : DZ_WORD_DUPLICATE;
        enter(self, r, who);
    }
    r->counts = (enum dz_result) * result_at(self, r);
}

void
ledger_replay(struct ledger *self, const struct store_result *r)
{
    if (r->test < self->tests && r->attempt < STORE_ATTEMPTS)
        enter(self, r, who_of(r));
    else
        self->strangers++;
}

/* ---- verdicts ---- */

enum dz_result
store_verdict(const enum dz_result *attempts, uint32_t count, bool has_strike)
{
    enum dz_result last = DZ_RESULT_NONE, first = count ? attempts[0] : DZ_RESULT_NONE;
    for (uint32_t i = 0; i < count; i++)
        if (attempts[i] != DZ_RESULT_NONE)
            last = attempts[i];
    bool had_trouble = has_strike || (last != first && dz_result_is_bad(first));
    return last == DZ_RESULT_OK && had_trouble ? DZ_RESULT_OK_FLAKY : last;
}

enum dz_result
ledger_verdict(const struct ledger *self, uint32_t test)
{
    enum dz_result attempts[STORE_ATTEMPTS];
    for (uint32_t i = 0; i < STORE_ATTEMPTS; i++)
        attempts[i] = (enum dz_result) self->results[test * (size_t) STORE_ATTEMPTS + i];
    return store_verdict(attempts, STORE_ATTEMPTS, self->has_strike[test]);
}

uint32_t
ledger_duplicates(const struct ledger *self)
{
    uint32_t count = 0;
    for (size_t i = 0; i < self->extra_cap; i++)
        count += self->extras[i].is_used && self->extras[i].word == DZ_WORD_DUPLICATE;
    return count;
}

void
ledger_sum(const struct ledger *self, struct store_ledger *out)
{
    *out = (struct store_ledger){ .counted = self->counted,
                                  .executions = self->executions,
                                  .digest = self->digest };
    for (uint32_t test = 0; test < self->tests; test++) {
        enum dz_result verdict = ledger_verdict(self, test);
        out->verdicts[verdict]++;
        out->tests_counted += verdict != DZ_RESULT_NONE;
    }
}

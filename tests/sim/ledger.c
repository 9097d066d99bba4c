/* ledger.c - a ledger: one counted row per test, the first that came; all others are history. */
#include <stdlib.h>
#include <string.h>

#include "tests/sim/world.h"

void
ledger_init(struct ledger *self, uint32_t tests)
{
    *self = (struct ledger){ .counted = dz_alloc0(tests + 1, sizeof(*self->counted)) };
    for (uint32_t t = 0; t < tests; t++)
        self->counted[t] = -1;
}

void
ledger_fini(struct ledger *self)
{
    free(self->rows);
    free(self->counted);
    *self = (struct ledger){ 0 };
}

void
ledger_copy(struct ledger *self, const struct ledger *from, uint32_t tests)
{
    ledger_fini(self);
    ledger_init(self, tests);
    memcpy(self->counted, from->counted, tests * sizeof(*from->counted));
    self->count = self->cap = from->count;
    self->is_sealed = from->is_sealed;
    self->rows = dz_realloc(NULL, from->count + 1, sizeof(*from->rows));
    if (from->count > 0)
        memcpy(self->rows, from->rows, from->count * sizeof(*from->rows));
}

const struct row *
ledger_find(const struct ledger *self, uint64_t exec)
{
    for (size_t i = 0; i < self->count; i++)
        if (self->rows[i].exec == exec)
            return &self->rows[i];
    return NULL;
}

/* Executions are numbered over the whole world, so the number says who and when. */
enum dz_word
ledger_write(struct ledger *self, const struct row *row, bool *is_repeat_out)
{
    const struct row *known = ledger_find(self, row->exec);
    *is_repeat_out = known != NULL;
    bool is_counted = self->counted[row->test] >= 0;
    bool was_strike = known && known->word == DZ_WORD_STRIKE && row->word != DZ_WORD_STRIKE;
    bool was_late = known && known->word == DZ_WORD_DUPLICATE && row->word == DZ_WORD_COUNTED;
    if (!is_counted && (was_strike || was_late)) { /* for one scheduler; it counts for another */
        size_t at = (size_t) (known - self->rows);
        self->rows[at].word = DZ_WORD_COUNTED;
        self->counted[row->test] = (int32_t) at;
        return DZ_WORD_COUNTED;
    }
    if (known)
        return known->word;
    if (self->count == self->cap) {
        self->cap = self->cap ? self->cap * 2 : 64;
        self->rows = dz_realloc(self->rows, self->cap, sizeof(*self->rows));
    }
    struct row *added = &self->rows[self->count];
    *added = *row;
    if (row->word != DZ_WORD_STRIKE)
        added->word = self->counted[row->test] < 0 ? DZ_WORD_COUNTED : DZ_WORD_DUPLICATE;
    if (added->word == DZ_WORD_COUNTED)
        self->counted[row->test] = (int32_t) self->count;
    self->count++;
    return added->word;
}

uint64_t
ledger_count(const struct ledger *self)
{
    uint64_t count = 0;
    for (size_t i = 0; i < self->count; i++)
        count += self->rows[i].word == DZ_WORD_COUNTED;
    return count;
}

#include "shared/wire/mesh.h"

static int
compare(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

int
dz_epoch_cmp(const struct dz_epoch *a, const struct dz_epoch *b)
{
    int by_n = compare(a->n, b->n);
    int by_node = compare(a->node, b->node);
    return by_n ? by_n : by_node ? by_node : compare(a->inc, b->inc);
}

uint64_t
dz_ledger_mix(uint32_t test, uint32_t attempt, uint32_t result)
{
    /* The finaliser of splitmix64: every bit of the row reaches every bit of the sum.  The
     * constant keeps the row (0, 0, 0) from mixing to 0, which no sum would notice. */
    uint64_t x = ((uint64_t) test << 32 | (uint64_t) attempt << 16 | result) + 0x9e3779b97f4a7c15;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    return x ^ (x >> 31);
}

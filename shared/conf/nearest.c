/* nearest.c - what a person probably meant. */
#include <string.h>

#include "shared/conf/conf.h"

enum { WORD_MAX = 64 };

static unsigned
least(unsigned a, unsigned b, unsigned c)
{
    unsigned ab = a < b ? a : b;
    return ab < c ? ab : c;
}

static int
lower(char c)
{
    return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c;
}

/* Edits (insert, delete, replace, swap neighbours) from a to b; letters of either case are equal. */
static unsigned
distance(const char *a, const char *b)
{
    size_t b_len = strlen(b);
    unsigned rows[3][WORD_MAX + 1];
    unsigned *before = rows[0], *last = rows[1], *row = rows[2];
    for (size_t j = 0; j <= b_len; j++)
        last[j] = (unsigned) j;
    for (size_t i = 1; a[i - 1]; i++) {
        row[0] = (unsigned) i;
        for (size_t j = 1; j <= b_len; j++) {
            int x = lower(a[i - 1]), y = lower(b[j - 1]);
            row[j] = least(row[j - 1] + 1, last[j] + 1, last[j - 1] + (x != y));
            bool is_swap = i > 1 && j > 1 && x == lower(b[j - 2]) && y == lower(a[i - 2]);
            if (is_swap && before[j - 2] + 1 < row[j])
                row[j] = before[j - 2] + 1;
        }
        unsigned *spare = before;
        before = last;
        last = row;
        row = spare;
    }
    return last[b_len];
}

const char *
dz_nearest(const char *word, const char *const *candidates, size_t count)
{
    size_t len = strlen(word);
    const char *best = NULL;
    if (len == 0 || len > WORD_MAX)
        return NULL;
    unsigned best_edits = (unsigned) (len < 4 ? 1 : len / 3) + 1; /* one above what is allowed */
    for (size_t i = 0; i < count; i++) {
        if (strlen(candidates[i]) > WORD_MAX)
            continue;
        unsigned edits = distance(word, candidates[i]);
        if (edits < best_edits) {
            best_edits = edits;
            best = candidates[i];
        }
    }
    return best;
}

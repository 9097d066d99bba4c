/* query.c - which tests: "outcome:failed duration:>1s module:api text not:text". */
#include "store/query.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "shared/conf/conf.h"
#include "store/doc.h"

enum term_kind { TERM_TEXT, TERM_OUTCOME, TERM_DURATION, TERM_MODULE, TERM_WORKER, TERM_RUNS };
enum { WORD = 64 };
enum compare { LESS, LESS_EQUAL, EQUAL, GREATER_EQUAL, GREATER };

struct term {
    enum term_kind kind;
    bool is_not;
    char *text;        /* owned; lower case */
    int node, worker;  /* as doc_worker_read() gives them */
    uint32_t outcomes; /* bits by enum dz_result */
    enum compare compare;
    double number;
};

struct query {
    struct term *terms; /* owned */
    size_t count;
};

/* Not a minus: that begins options. */
static const char NOT[] = "not:";

static const char *const KEYS[] = { "outcome", "duration", "module", "worker", "runs" };
static const enum term_kind KINDS[] = { TERM_OUTCOME, TERM_DURATION, TERM_MODULE, TERM_WORKER,
                                        TERM_RUNS };

#define BIT(result) (1u << DZ_RESULT_##result)

static const struct {
    const char *word;
    uint32_t outcomes;
} OUTCOMES[] = {
    { "ok", BIT(OK) | BIT(OK_FLAKY) },
    { "passed", BIT(OK) | BIT(OK_FLAKY) },
    { "flaky", BIT(OK_FLAKY) | BIT(XPASS) },
    { "failed", BIT(FAILED) | BIT(CRASHED) | BIT(TIMEOUT) },
    { "crashed", BIT(CRASHED) },
    { "timeout", BIT(TIMEOUT) },
    { "skipped", BIT(SKIPPED) },
    { "xfail", BIT(XFAIL) },
    { "xpass", BIT(XPASS) },
    { "redundant", BIT(REDUNDANT) },
    { "notrun", BIT(NONE) },
};

/* ---- reading ---- */

static uint32_t
outcomes_of(const char *word)
{
    uint32_t outcomes = 0;
    for (size_t i = 0; i < DZ_LEN(OUTCOMES); i++)
        if (strcasecmp(OUTCOMES[i].word, word) == 0)
            outcomes = OUTCOMES[i].outcomes;
    return outcomes;
}

static enum dz_rc
refuse_outcome(const char *word, struct dz_err *err)
{
    const char *names[DZ_LEN(OUTCOMES)];
    for (size_t i = 0; i < DZ_LEN(OUTCOMES); i++)
        names[i] = OUTCOMES[i].word;
    const char *near = dz_nearest(word, names, DZ_LEN(names));
    if (near)
        return dz_fail(err, DZ_CORRUPT, "no outcome is called '%s'; did you mean '%s'?", word,
                       near);
    return dz_fail(err, DZ_CORRUPT, "no outcome is called '%s' (see 'zb help query')", word);
}

static enum dz_rc
read_outcomes(struct term *term, const char *value, struct dz_err *err)
{
    for (const char *p = value;; p++) {
        char word[WORD];
        size_t len = strcspn(p, ",");
        (void) snprintf(word, sizeof(word), "%.*s", (int) len, p);
        uint32_t outcomes = outcomes_of(word);
        if (outcomes == 0)
            return refuse_outcome(word, err);
        term->outcomes |= outcomes;
        p += len;
        if (!*p)
            return DZ_OK;
    }
}

static const char *
read_compare(const char *value, enum compare *out)
{
    static const struct {
        const char *sign;
        enum compare compare;
    } signs[] = { { ">=", GREATER_EQUAL },
                  { "<=", LESS_EQUAL },
                  { ">", GREATER },
                  { "<", LESS },
                  { "=", EQUAL } };
    *out = EQUAL;
    for (size_t i = 0; i < DZ_LEN(signs); i++) {
        size_t len = strlen(signs[i].sign);
        if (strncmp(value, signs[i].sign, len) == 0) {
            *out = signs[i].compare;
            return value + len;
        }
    }
    return value;
}

/* In microseconds for durations. */
static enum dz_rc
read_number(struct term *term, const char *value, struct dz_err *err)
{
    static const struct {
        const char *unit;
        double us;
    } units[] = { { "us", 1 },   { "ms", 1e3 },   { "s", 1e6 },
                  { "m", 60e6 }, { "h", 3600e6 }, { "", 1e6 } };
    char *end = NULL;
    const char *digits = read_compare(value, &term->compare);
    term->number = strtod(digits, &end);
    if (end == digits || !isdigit((unsigned char) *digits))
        return dz_fail(err, DZ_CORRUPT, "'%s' is not a comparison such as >1s, <=20ms or 3", value);
    if (term->compare == LESS && term->number <= 0)
        return dz_fail(err, DZ_CORRUPT, "nothing is less than 0: '%s'", value);
    if (term->kind == TERM_RUNS)
        return digits[strspn(digits, "0123456789")]
                   ? dz_fail(err, DZ_CORRUPT, "'%s' is not a number of runs such as >1", value)
                   : DZ_OK;
    for (size_t i = 0; i < DZ_LEN(units); i++) {
        if (strcmp(end, units[i].unit) == 0) {
            term->number *= units[i].us;
            return DZ_OK;
        }
    }
    return dz_fail(err, DZ_CORRUPT, "'%s' has an unknown unit: us, ms, s, m, h", value);
}

/* Index of the key in front of a colon, or -1; *value_out: what is behind it. */
static int
key_of(const char *word, const char **value_out)
{
    const char *colon = strchr(word, ':');
    for (size_t i = 0; colon && i < DZ_LEN(KEYS); i++) {
        size_t len = strlen(KEYS[i]);
        if ((size_t) (colon - word) == len && strncasecmp(word, KEYS[i], len) == 0) {
            *value_out = colon + 1;
            return (int) i;
        }
    }
    return -1;
}

static bool
is_negated(const char *word)
{
    return strncasecmp(word, NOT, strlen(NOT)) == 0;
}

bool
query_is_term(const char *word)
{
    const char *unused;
    return is_negated(word) || key_of(word, &unused) >= 0;
}

/* A word before a single colon that looks like a key: node ids have "::". */
static enum dz_rc
refuse_unknown_key(const char *word, struct dz_err *err)
{
    char key[WORD];
    size_t len = strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_");
    if (len == 0 || len >= sizeof(key) || word[len] != ':' || word[len + 1] == ':')
        return DZ_OK;
    (void) snprintf(key, sizeof(key), "%.*s", (int) len, word);
    const char *near = dz_nearest(key, KEYS, DZ_LEN(KEYS));
    if (near)
        return dz_fail(err, DZ_CORRUPT, "queries know no '%s:'; did you mean '%s:'?", key, near);
    return dz_fail(err, DZ_CORRUPT, "queries know no '%s:' (see 'zb help query')", key);
}

static uint8_t
lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t) (c - 'A' + 'a') : c;
}

static char *
lower_copy(const char *text)
{
    char *copy = dz_strdup(text);
    for (char *p = copy; *p; p++)
        *p = (char) lower((uint8_t) *p);
    return copy;
}

/* The path as ids begin, although a shell completes it to ./path. */
static enum dz_rc
read_module(struct term *term, const char *value, struct dz_err *err)
{
    if (strstr(value, "::"))
        return dz_fail(err, DZ_CORRUPT,
                       "'module:' takes a part of a file's path; '%s' is found without it", value);
    value += strncmp(value, "./", 2) == 0 ? 2 : 0;
    term->text = lower_copy(value);
    return DZ_OK;
}

static enum dz_rc
read_worker(struct term *term, const char *value, struct dz_err *err)
{
    int thread;
    DZ_AUTO(dz_free) char *name = lower_copy(value);
    if (strcmp(name, "earlier") == 0)
        term->worker = STORE_EARLIER;
    else if (!doc_worker_read(name, &term->node, &term->worker, &thread) || thread >= 0)
        return dz_fail(err, DZ_CORRUPT, "'%s' is not a worker such as jw0, gw0 or n2.jw0", value);
    return DZ_OK;
}

static enum dz_rc
read_term(struct term *term, const char *word, struct dz_err *err)
{
    const char *whole = word;
    term->is_not = is_negated(word);
    term->node = -1;
    word += term->is_not ? strlen(NOT) : 0;
    const char *value = word;
    int key = key_of(word, &value);
    term->kind = key < 0 ? TERM_TEXT : KINDS[key];
    if (!*value && (key >= 0 || term->is_not))
        return dz_fail(err, DZ_CORRUPT, "nothing stands behind '%s' (see 'zb help query')", whole);
    switch (term->kind) {
    case TERM_OUTCOME: return read_outcomes(term, value, err);
    case TERM_DURATION:
    case TERM_RUNS: return read_number(term, value, err);
    case TERM_MODULE: return read_module(term, value, err);
    case TERM_WORKER: return read_worker(term, value, err);
    case TERM_TEXT: break;
    }
    term->text = lower_copy(value);
    return refuse_unknown_key(word, err);
}

struct query *
query_new(char *const *words, size_t count, struct dz_err *err)
{
    DZ_AUTO(query_destroy) struct query *self = dz_alloc0(1, sizeof(*self));
    self->terms = dz_alloc0(count + 1, sizeof(*self->terms));
    for (size_t i = 0; i < count; i++) {
        self->count++;
        if (read_term(&self->terms[i], words[i], err) != DZ_OK)
            return NULL;
    }
    return dz_move(self);
}

void
query_destroy(struct query **self_p)
{
    struct query *self = dz_move(*self_p);
    if (!self)
        return;
    for (size_t i = 0; i < self->count; i++)
        free(self->terms[i].text);
    free(self->terms);
    free(self);
}

/* ---- asking ---- */

static bool
has_text(struct dz_slice in, const char *text)
{
    size_t len = strlen(text);
    for (size_t i = 0; len <= in.len && i <= in.len - len; i++) {
        size_t k = 0;
        while (k < len && lower(in.ptr[i + k]) == (uint8_t) text[k])
            k++;
        if (k == len)
            return true;
    }
    return false;
}

static struct dz_slice
module_of(struct dz_slice id)
{
    const uint8_t *colons = memmem(id.ptr, id.len, "::", 2);
    return (struct dz_slice){ id.ptr, colons ? (size_t) (colons - id.ptr) : id.len };
}

static bool
compares(const struct term *term, double number)
{
    switch (term->compare) {
    case LESS: return number < term->number;
    case LESS_EQUAL: return number <= term->number;
    case EQUAL: return number >= term->number && number <= term->number;
    case GREATER_EQUAL: return number >= term->number;
    case GREATER: return number > term->number;
    }
    return false;
}

static bool
is_worker(const struct term *term, const struct store_test *test)
{
    uint32_t worker = term->worker == DOC_AGENT ? STORE_NO_WORKER : (uint32_t) term->worker;
    bool is_node = term->node < 0 || test->node == (uint32_t) term->node;
    return test->executions > 0 && is_node && test->worker == worker;
}

static bool
holds(const struct term *term, const struct store_test *test)
{
    switch (term->kind) {
    case TERM_TEXT: return has_text(test->id, term->text);
    case TERM_MODULE: return has_text(module_of(test->id), term->text);
    case TERM_OUTCOME: return term->outcomes >> test->verdict & 1;
    case TERM_WORKER: return is_worker(term, test);
    case TERM_RUNS: return compares(term, test->executions);
    case TERM_DURATION:
        return test->executions > 0 &&
               compares(term, (double) (test->setup_us + test->call_us + test->teardown_us));
    }
    return false;
}

bool
query_fits(const struct query *self, const struct store_test *test)
{
    for (size_t i = 0; i < self->count; i++)
        if (holds(&self->terms[i], test) == self->terms[i].is_not)
            return false;
    return true;
}

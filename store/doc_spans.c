/* doc_spans.c - a span and what is below it.
 *
 * What a test did while it ran is kept in two places: an execution and its setup, call and teardown
 * are in its result, and whatever else was timed are spans of their own.  Here they are one tree: a
 * span of a test that names no parent hangs below the part of the execution that it began in. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/doc.h"
#include "store/jot.h"

enum { KEY_BITS = 64, DIGIT_BITS = 4, NONE = -1 };

/* ---- one span ---- */

const char *
doc_key(char out[DOC_KEY], uint64_t key)
{
    (void) snprintf(out, DOC_KEY, "%016" PRIx64, key);
    return out;
}

void
doc_span_of(const struct store_view *view, const struct store_span *span, struct doc_span *out)
{
    *out = (struct doc_span){
        .key = store_span_key(span->scope, span->id),
        .parent = span->parent ? store_span_key(span->scope, span->parent) : 0,
        .depth = NONE,
        .type = span->type,
        .name = span->name,
        .start_us = span->start_us,
        .end_us = span->end_us,
        .attempt = span->attempt,
        .outcome = span->result,
    };
    (void) doc_worker(out->worker, store_view_nodes(view), store_view_node(view, span->node),
                      span->worker);
    if (span->test < store_view_count(view)) {
        struct store_test test;
        store_view_test(view, span->test, &test);
        out->test = test.id;
    }
}

void
doc_span_fields(struct dz_buf *out, const struct doc_span *self)
{
    char key[DOC_KEY];
    jot_text(out, "key", doc_key(key, self->key));
    if (self->parent)
        jot_text(out, "parent", doc_key(key, self->parent));
    if (self->depth >= 0)
        jot_int(out, "depth", self->depth);
    jot_slice(out, "type", self->type);
    jot_slice(out, "name", self->name);
    jot_time(out, "start", self->start_us);
    jot_time(out, "end", self->end_us);
    jot_text(out, "worker", self->worker);
    if (self->test.ptr) {
        jot_slice(out, "test", self->test);
        jot_int(out, "attempt", self->attempt);
    }
    if (self->outcome != DZ_RESULT_NONE)
        jot_text(out, "outcome", doc_outcome(self->outcome));
}

void
doc_span_json(struct dz_buf *out, const struct doc_span *self)
{
    jot_open(out, '{');
    jot_text(out, "schema", "zb.spans/1");
    doc_span_fields(out, self);
    jot_close(out, '}');
    jot_end(out);
}

/* ---- which one is meant ---- */

struct node {
    struct doc_span span;
    size_t text_at; /* of type and name, in the tree's texts */
    bool is_given;
};

struct tree {
    struct store *store;     /* borrowed */
    const char *ulid;        /* borrowed */
    struct store_view *view; /* owned */

    /* keys that begin so */
    uint64_t prefix;
    unsigned shift;
    uint32_t fitting;
    uint64_t key; /* of the one that fits */

    /* what it is: a recorded span, or an execution or a part of one */
    bool is_run;
    uint32_t test;
    struct store_result run;
    struct store_span span; /* without its texts */

    uint32_t asked; /* the test whose executions are looked at */

    struct node *nodes; /* owned */
    uint32_t count, cap;
    struct dz_buf texts; /* owned */
    uint32_t *order;     /* owned; of the nodes, by parent and time */
};

static bool
begins_so(const struct tree *self, uint64_t key)
{
    return (key ^ self->prefix) >> self->shift == 0;
}

static void
look_at_run(void *arg, const struct store_result *run)
{
    struct tree *self = arg;
    for (unsigned part = STORE_WHOLE; part <= STORE_TEARDOWN; part++) {
        uint64_t key = store_run_key(run, (enum store_part) part);
        if (!begins_so(self, key) || (self->fitting && key == self->key))
            continue;
        self->fitting++;
        self->key = key;
        self->is_run = true;
        self->test = self->asked;
        self->run = *run;
    }
}

static enum dz_rc
look_at_spans(struct tree *self, struct dz_err *err)
{
    struct store_span_filter filter = { .worker = -1, .key = self->shift ? 0 : self->prefix };
    struct store_spans *spans = NULL;
    struct store_span span;
    enum dz_rc rc = store_spans_open(self->store, self->ulid, &filter, &spans, err);
    while (rc == DZ_OK && (rc = store_spans_next(spans, &span, err)) == DZ_OK) {
        uint64_t key = store_span_key(span.scope, span.id);
        if (!begins_so(self, key) || (self->fitting && key == self->key))
            continue;
        self->fitting++;
        self->key = key;
        self->is_run = false;
        self->test = span.test;
        self->span = span;
    }
    store_spans_close(&spans);
    return rc == DZ_ABSENT ? DZ_OK : rc;
}

static bool
read_key(struct tree *self, const char *name)
{
    size_t len = strlen(name);
    if (len == 0 || len >= DOC_KEY || strspn(name, "0123456789abcdefABCDEF") != len)
        return false;
    self->shift = KEY_BITS - DIGIT_BITS * (unsigned) len;
    self->prefix = strtoull(name, NULL, 16) << self->shift;
    return true;
}

static enum dz_rc
find_by_key(struct tree *self, const char *name, struct dz_err *err)
{
    uint32_t count = store_view_count(self->view);
    for (self->asked = 0; self->asked < count; self->asked++)
        store_view_executions(self->view, self->asked, look_at_run, self);
    if (self->fitting > 0 && self->shift == 0)
        return DZ_OK; /* a whole key, no need to look further */
    enum dz_rc rc = look_at_spans(self, err);
    if (rc == DZ_OK && self->fitting > 1)
        return dz_fail(err, DZ_LIMIT, "'%s' begins the ids of %u spans: give more of it", name,
                       self->fitting);
    return rc;
}

/* By its key, else by a test's id. */
static enum dz_rc
find(struct tree *self, const char *name, struct dz_err *err)
{
    enum dz_rc rc = read_key(self, name) ? find_by_key(self, name, err) : DZ_OK;
    if (rc != DZ_OK || self->fitting > 0)
        return rc;
    struct store_test test;
    self->asked = store_view_find(self->view, dz_str(name));
    if (self->asked == STORE_NO_TEST)
        return dz_fail(err, DZ_ABSENT, "the job has no span and no test '%.200s'", name);
    store_view_test(self->view, self->asked, &test);
    if (!test.span)
        return dz_fail(err, DZ_ABSENT, "the test '%.200s' did not run", name);
    self->shift = 0;
    self->prefix = test.span;
    store_view_executions(self->view, self->asked, look_at_run, self);
    return DZ_OK;
}

/* ---- gathering ---- */

static struct node *
add(struct tree *self, const struct doc_span *span)
{
    if (self->count == DOC_SPANS_MAX)
        return NULL;
    if (self->count == self->cap) {
        self->cap = self->cap ? 2 * self->cap : 64;
        self->nodes = dz_realloc(self->nodes, self->cap, sizeof(*self->nodes));
    }
    struct node *node = &self->nodes[self->count++];
    *node = (struct node){ .span = *span, .text_at = self->texts.len };
    dz_buf_add(&self->texts, span->type.ptr, span->type.len);
    dz_buf_add(&self->texts, span->name.ptr, span->name.len);
    return node;
}

/* The execution, then those of its parts that took time. */
static void
add_run(struct tree *self)
{
    static const char *const types[] = { "test", "test.setup", "test.call", "test.teardown" };
    const struct store_result *run = &self->run;
    const int64_t took[] = { run->setup_us + run->call_us + run->teardown_us, run->setup_us,
                             run->call_us, run->teardown_us };
    int64_t at = run->start_us;
    struct store_test test;
    store_view_test(self->view, self->test, &test);
    for (unsigned part = STORE_WHOLE; part <= STORE_TEARDOWN; part++) {
        struct doc_span span = {
            .key = store_run_key(run, (enum store_part) part),
            .parent = part == STORE_WHOLE ? 0 : store_run_key(run, STORE_WHOLE),
            .type = dz_str(types[part]),
            .test = test.id,
            .start_us = at,
            .end_us = at + took[part],
            .attempt = run->attempt,
        };
        if (part == STORE_WHOLE) {
            span.name = test.id;
            span.outcome = run->result;
        } else {
            at = span.end_us;
        }
        (void) doc_worker(span.worker, store_view_nodes(self->view),
                          store_view_node(self->view, run->node), run->worker);
        if (part == STORE_WHOLE || took[part] > 0 || span.key == self->key)
            (void) add(self, &span);
    }
}

/* Of this execution; one that names no parent gets the part that it began in. */
static bool
adopt(const struct tree *self, const struct store_span *span, struct doc_span *out)
{
    const struct store_result *run = &self->run;
    int64_t end_us = run->start_us + run->setup_us + run->call_us + run->teardown_us;
    if (span->attempt != run->attempt || span->node != run->node || span->worker != run->worker ||
        span->start_us < run->start_us || span->start_us > end_us)
        return false;
    if (span->parent)
        return true;
    enum store_part part = STORE_WHOLE;
    if (run->teardown_us > 0 && span->start_us >= end_us - run->teardown_us)
        part = STORE_TEARDOWN;
    else if (run->call_us > 0 && span->start_us >= run->start_us + run->setup_us)
        part = STORE_CALL;
    else if (run->setup_us > 0)
        part = STORE_SETUP;
    out->parent = store_run_key(run, part);
    return true;
}

/* Of a test all its spans, of another span those of its scope that are of the same time. */
static enum dz_rc
gather(struct tree *self, struct dz_err *err)
{
    struct store_spans *spans = NULL;
    struct store_span span;
    struct store_span_filter filter = { .worker = -1 };
    DZ_AUTO(dz_free) uint8_t *tests = NULL;
    if (self->test < store_view_count(self->view)) {
        tests = dz_alloc0(store_view_count(self->view) / 8 + 1, 1);
        tests[self->test / 8] = (uint8_t) (1 << self->test % 8);
        filter.tests = tests;
        filter.test_count = store_view_count(self->view);
    } else {
        filter.since_us = self->span.start_us;
        filter.until_us = self->span.end_us;
    }
    if (self->is_run)
        add_run(self);
    enum dz_rc rc = store_spans_open(self->store, self->ulid, &filter, &spans, err);
    while (rc == DZ_OK && (rc = store_spans_next(spans, &span, err)) == DZ_OK) {
        struct doc_span doc;
        doc_span_of(self->view, &span, &doc);
        if (self->is_run ? adopt(self, &span, &doc) : span.scope == self->span.scope)
            (void) add(self, &doc);
    }
    store_spans_close(&spans);
    return rc == DZ_ABSENT ? DZ_OK : rc;
}

/* ---- giving ---- */

static int
by_parent(const void *a, const void *b, void *arg)
{
    const struct node *nodes = arg;
    uint32_t i = *(const uint32_t *) a, k = *(const uint32_t *) b;
    const struct doc_span *x = &nodes[i].span, *y = &nodes[k].span;
    if (x->parent != y->parent)
        return x->parent < y->parent ? -1 : 1;
    if (x->start_us != y->start_us)
        return x->start_us < y->start_us ? -1 : 1;
    return i < k ? -1 : i > k;
}

/* The place in `order` of the first with this parent, or where it would be. */
static uint32_t
first_below(const struct tree *self, uint64_t parent)
{
    uint32_t low = 0, high = self->count;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (self->nodes[self->order[mid]].span.parent < parent)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* Put those below a node onto the stack, the first on top.  A node is put there once, so a ring of
 * parents has an end. */
static uint32_t
push_below(struct tree *self, const struct doc_span *parent, uint32_t *stack, uint32_t used)
{
    uint32_t from = first_below(self, parent->key), to = from;
    while (to < self->count && self->nodes[self->order[to]].span.parent == parent->key)
        to++;
    while (to-- > from) {
        struct node *node = &self->nodes[self->order[to]];
        if (node->is_given)
            continue;
        node->is_given = true;
        node->span.depth = parent->depth + 1;
        stack[used++] = self->order[to];
    }
    return used;
}

static int
by_key(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *) a, y = *(const uint64_t *) b;
    return x < y ? -1 : x > y;
}

/* Those of an execution whose parents were not recorded, or not yet, are its own. */
static void
take_orphans(struct tree *self)
{
    DZ_AUTO(dz_free) uint64_t *keys = dz_alloc0((size_t) self->count + 1, sizeof(*keys));
    uint64_t whole = store_run_key(&self->run, STORE_WHOLE);
    for (uint32_t i = 0; i < self->count; i++)
        keys[i] = self->nodes[i].span.key;
    qsort(keys, self->count, sizeof(*keys), by_key);
    for (uint32_t i = 0; i < self->count; i++) {
        struct doc_span *span = &self->nodes[i].span;
        if (span->key != whole && !bsearch(&span->parent, keys, self->count, sizeof(*keys), by_key))
            span->parent = whole;
    }
}

static void
give(struct tree *self, doc_span_fn *fn, void *arg)
{
    DZ_AUTO(dz_free) uint32_t *stack = dz_alloc0((size_t) self->count + 1, sizeof(*stack));
    uint32_t used = 0;
    if (self->is_run)
        take_orphans(self);
    self->order = dz_alloc0((size_t) self->count + 1, sizeof(*self->order));
    for (uint32_t i = 0; i < self->count; i++)
        self->order[i] = i;
    qsort_r(self->order, self->count, sizeof(*self->order), by_parent, self->nodes);
    for (uint32_t i = 0; i < self->count && used == 0; i++)
        if (self->nodes[i].span.key == self->key)
            stack[used++] = i;
    if (used > 0) {
        self->nodes[stack[0]].is_given = true;
        self->nodes[stack[0]].span.depth = 0;
    }
    while (used > 0) {
        struct node *node = &self->nodes[stack[--used]];
        struct doc_span *span = &node->span;
        span->type.ptr = self->texts.data + node->text_at;
        span->name.ptr = span->type.ptr + span->type.len;
        fn(arg, span);
        used = push_below(self, span, stack, used);
    }
}

enum dz_rc
doc_spans(struct store *store, const char *ulid, const char *name, doc_span_fn *fn, void *arg,
          struct dz_err *err)
{
    struct tree self = { .store = store, .ulid = ulid };
    enum dz_rc rc = store_view_load(store, ulid, &self.view, err);
    if (rc == DZ_OK)
        rc = find(&self, name, err);
    if (rc == DZ_OK)
        rc = gather(&self, err);
    if (rc == DZ_OK)
        give(&self, fn, arg);
    store_view_destroy(&self.view);
    free(self.nodes);
    free(self.order);
    dz_buf_fini(&self.texts);
    return rc;
}

/* manifests.c - tests by number: ours, and those of nodes whose manifest differs.
 *
 * Inside of the coordinator a test has one number: its place in our own manifest, or, for tests that only
 * others collected, the next one after all that are known.  A node that differs speaks in places of its own
 * list, which it tells once (OWN); everything it says is translated at the door, and what it is told
 * as well.  Tests go only to nodes that have them. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coord/core/inside.h"
#include "shared/wire/meeting.h"

enum { STUCK_US = 2 * 1000 * 1000 /* somebody who has the test may be on the way */ };

/* ------------------------------------------------------------------ where a test may run */

static bool
may_run(const void *arg, uint32_t slot_number, uint32_t test)
{
    const struct coord *self = arg;
    const struct slot *slot = self->slots[slot_number];
    uint8_t needs = self->tests[test].needs;
    if ((needs & NEED_MAIN && slot->num != 0 && !DZ_BROKEN(MAIN_ONLY)) ||
        (needs & NEED_ALONE && slot->node->held > slot->held_count && !DZ_BROKEN(ALONE)))
        return false;
    return DZ_BROKEN(ONLY_WHO_HAS) || local_of(self, slot->node, test) != (uint32_t) NO_TEST;
}

bool
may_begin(const struct coord *self, const struct slot *slot)
{
    return !self->has_needs || slot->node->alone_held == slot->alone_held;
}

/* A tie that begins with "!" names needs up to a colon. */
static uint8_t
needs_of(struct coord *self, struct dz_slice tie)
{
    uint8_t needs = 0;
    for (size_t i = 1; tie.len > 0 && tie.ptr[0] == '!' && i < tie.len && tie.ptr[i] != ':'; i++)
        needs = (uint8_t) (needs | (tie.ptr[i] == 'm' ? NEED_MAIN : 0) |
                           (tie.ptr[i] == 'x' ? NEED_ALONE : 0));
    self->has_needs = self->has_needs || needs > 0;
    return needs;
}

static void
leave_to_others(struct coord *self, const struct coord_test *tests)
{
    if (self->cfg.shard_total < 2 || DZ_BROKEN(SHARD_ONLY))
        return;
    for (uint32_t t = 0; t < self->total; t++) {
        if (dz_shard_of(tests[t].id, self->cfg.shard_total) == self->cfg.shard_index)
            continue;
        self->tests[t].state = TEST_ELSEWHERE;
        self->elsewhere++;
        plan_skip(self->plan, t);
    }
}

void
tests_take(struct coord *self, const struct coord_test *tests, size_t count)
{
    if (self->list)
        return;
    if (self->has_manifest) { /* the answer to RETELL */
        dz_assert(count == self->total);
        self->list = dz_alloc0(count + 1, sizeof(*self->list));
        if (count > 0)
            memcpy(self->list, tests, count * sizeof(*tests));
        return;
    }
    dz_assert(count < COORD_TESTS_MAX);
    self->has_manifest = true;
    self->total = self->base = (uint32_t) count;
    self->tests = dz_alloc0(count + 1, sizeof(*self->tests));
    for (size_t t = 0; t < count; t++)
        self->tests[t].needs = needs_of(self, tests[t].group);
    self->plan = plan_new(tests, count, self->cfg.placement, self->cfg.keep_order);
    if (self->has_needs)
        plan_restrict(self->plan, may_run, self);
    leave_to_others(self, tests);
}

bool
tests_are_listed(struct coord *self)
{
    if (!self->list)
        (void) coord_effect(self, COORD_FX_RETELL);
    return self->list != NULL;
}

void
tests_fini(struct coord *self)
{
    free(self->list);
    dz_dict_fini(&self->brought);
    dz_arena_fini(&self->names);
}

/* ------------------------------------------------------------------ numbers */

uint32_t
test_of(const struct coord *self, const struct node *node, uint64_t local)
{
    if (!node->is_odd)
        return local < self->base ? (uint32_t) local : (uint32_t) NO_TEST;
    return node->has_own && local < node->own_count ? node->own[local] : (uint32_t) NO_TEST;
}

uint32_t
local_of(const struct coord *self, const struct node *node, uint32_t test)
{
    if (!node->is_odd)
        return test < self->base ? test : (uint32_t) NO_TEST;
    uint32_t lo = 0;
    uint32_t hi = node->has_own ? node->own_count : 0;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (node->by_test[mid].test == test)
            return node->by_test[mid].local;
        if (node->by_test[mid].test < test)
            lo = mid + 1;
        else
            hi = mid;
    }
    return NO_TEST;
}

static uint32_t
find_test(const struct coord *self, struct dz_slice id)
{
    uint32_t lo = 0;
    uint32_t hi = self->base;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        int order = dz_slice_cmp(self->list[mid].id, id);
        if (order == 0)
            return mid;
        if (order < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    void *place = dz_dict_get(&self->brought, id);
    return place ? (uint32_t) ((uintptr_t) place - 1) : (uint32_t) NO_TEST;
}

/* ------------------------------------------------------------------ tests that others bring */

static uint32_t
add_test(struct coord *self, struct dz_slice id, struct dz_slice group)
{
    uint32_t test = self->total++;
    self->list = dz_realloc(self->list, self->total, sizeof(*self->list));
    self->tests = dz_realloc(self->tests, self->total, sizeof(*self->tests));
    self->list[test] = (struct coord_test){ .id = dz_arena_copy(&self->names, id),
                                            .group = dz_arena_copy(&self->names, group),
                                            .order = test };
    self->tests[test] = (struct test){ .state = TEST_OPEN, .needs = needs_of(self, group) };
    self->brought_count++;
    (void) dz_dict_put(&self->brought, self->list[test].id, (void *) (uintptr_t) (test + 1));
    return test;
}

/* The ledger names tests without what ties them; a node that has it tells. */
static void
learn_tie(struct coord *self, uint32_t test, struct dz_slice group)
{
    if (test < self->base || group.len == 0 || self->list[test].group.len > 0)
        return;
    self->list[test].group = dz_arena_copy(&self->names, group);
    self->tests[test].needs = needs_of(self, group);
    if (!(self->tests[test].needs & NEED_ALONE))
        return;
    for (size_t i = 0; i < self->slot_count; i++) {
        struct slot *slot = self->slots[i];
        for (uint32_t h = 0; h < slot->held_count; h++) {
            slot->alone_held += slot->held[h] == test;
            slot->node->alone_held += slot->held[h] == test;
        }
    }
}

static void
replan(struct coord *self)
{
    plan_destroy(&self->plan);
    self->plan = plan_new(self->list, self->total, self->cfg.placement, self->cfg.keep_order);
    plan_restrict(self->plan, may_run, self);
    for (uint32_t t = 0; t < self->total; t++)
        if (self->tests[t].state != TEST_OPEN || self->tests[t].holders > 0)
            plan_skip(self->plan, t);
    for (size_t i = 0; i < self->slot_count; i++) {
        const struct slot *slot = self->slots[i];
        if (slot->is_up)
            plan_open(self->plan, slot->number, slot->node->number);
        for (uint32_t h = 0; h < slot->held_count; h++)
            plan_held(self->plan, slot->number, slot->held[h]);
        /* A drained one begins nothing more: its classes are for others. */
        if (slot->node->drain_said >= 0)
            plan_close(self->plan, slot->number);
    }
    self->brought_count = 0;
}

static void
tell_driver(struct coord *self, uint32_t first)
{
    size_t count = self->total - first;
    struct dz_slice *ids = dz_arena_take(&self->arena, count + 1, sizeof(*ids));
    for (size_t i = 0; i < count; i++)
        ids[i] = self->list[first + i].id;
    struct coord_effect *fx = coord_effect(self, COORD_FX_TESTS);
    fx->as.tests.first = first;
    fx->as.tests.ids = ids;
    fx->as.tests.count = count;
}

void
tests_bring(struct coord *self, const struct dz_slice *ids, size_t count)
{
    struct dz_slice no_group = { 0 };
    dz_assert(self->list);
    for (size_t i = 0; i < count && self->total < COORD_TESTS_MAX; i++)
        if (find_test(self, ids[i]) == (uint32_t) NO_TEST)
            (void) add_test(self, ids[i], no_group);
    replan(self);
}

static int
by_test(const void *a_, const void *b_)
{
    const struct pair *a = a_;
    const struct pair *b = b_;
    return (a->test > b->test) - (a->test < b->test);
}

/* Somebody has what was given up. */
static void
reopen(struct coord *self, uint32_t test)
{
    if (self->tests[test].state != TEST_ABSENT)
        return;
    self->tests[test].state = TEST_OPEN;
    self->tests[test].absents = 0;
    self->absent--;
    plan_give(self->plan, test);
}

static void
tell_difference(struct coord *self, const struct node *node, uint32_t common)
{
    char text[128];
    (void) snprintf(text, sizeof(text),
                    "it lacks %" PRIu32 " of %" PRIu32 ", and has %" PRIu32 " tests of its own",
                    self->base - common, self->base, node->own_count - common);
    struct coord_effect *fx = coord_effect(self, COORD_FX_NODE);
    fx->as.node.node = node->id;
    fx->as.node.inc = node->inc;
    fx->as.node.word = "differs";
    fx->as.node.why =
        (const char *) dz_arena_copy(&self->arena,
                                     (struct dz_slice){ (const uint8_t *) text, strlen(text) + 1 })
            .ptr;
}

static void
own_is_complete(struct coord *self, struct node *node)
{
    uint32_t common = 0;
    node->has_own = true;
    node->by_test = dz_realloc(node->by_test, node->own_count + 1, sizeof(*node->by_test));
    for (uint32_t i = 0; i < node->own_count; i++) {
        node->by_test[i] = (struct pair){ node->own[i], i };
        common += node->own[i] < self->base;
    }
    if (node->own_count > 0)
        qsort(node->by_test, node->own_count, sizeof(*node->by_test), by_test);
    uint32_t first = self->total - self->brought_count;
    uint32_t brought = self->brought_count;
    replan(self);
    for (uint32_t i = 0; i < node->own_count; i++)
        reopen(self, node->own[i]);
    if (brought > 0)
        tell_driver(self, first);
    coord_note(self, 1,
               "a node collected other tests: it lacks %" PRIu32 " of %" PRIu32 ", and has %" PRIu32
               " of its own%s%.*s",
               self->base - common, self->base, node->own_count - common,
               brought > 0 ? ", the first is " : "",
               brought > 0 ? (int) (self->list[first].id.len < 100 ? self->list[first].id.len : 100)
                           : 0,
               brought > 0 ? (const char *) self->list[first].id.ptr : "");
    tell_difference(self, node, common);
    slots_unpark(self);
}

void
on_own(struct coord *self, struct node *node, const struct dz_msg *msg, dz_us now)
{
    (void) now;
    const struct dz_msg_mesh_own *part = &msg->as.mesh_own;
    if (node->state != NODE_GREETED || !node->is_odd || node->has_own || !self->list ||
        part->first != node->own_count)
        return;
    size_t count = node->own_count + part->tests.count;
    if (count >= COORD_TESTS_MAX || self->total + part->tests.count >= COORD_TESTS_MAX)
        return; /* more than it announced: it is not answered any more */
    node->own = dz_realloc(node->own, count + 1, sizeof(*node->own));
    struct dz_list list = part->tests;
    struct dz_item_own item;
    while (dz_own_next(&list, &item)) {
        uint32_t test = find_test(self, item.id);
        if (test == (uint32_t) NO_TEST)
            test = add_test(self, item.id, item.group);
        else
            learn_tie(self, test, item.group);
        node->own[node->own_count++] = test;
    }
    if (part->last)
        own_is_complete(self, node);
}

/* ------------------------------------------------------------------ tests that nobody has */

static bool
has_runner(const struct coord *self, uint32_t test)
{
    for (size_t i = 0; i < self->node_count; i++) {
        const struct node *node = self->nodes[i];
        if (node->state == NODE_MEMBER && node->drain_said < 0 &&
            (!(self->tests[test].needs & NEED_MAIN) ||
             (node->slot_count > 0 && node->slots[0]->is_up)) &&
            local_of(self, node, test) != (uint32_t) NO_TEST)
            return true;
    }
    return false;
}

void
tests_give_up(struct coord *self, dz_us now)
{
    bool has_others = self->odd_count > 0 || self->brought.len > 0; /* tests that some may lack */
    bool is_stuck = (has_others || self->was_reopened || self->has_needs) &&
                    self->held_total == 0 && self->batch_count == 0 &&
                    self->in_state[NODE_GREETED] == 0 && plan_free(self->plan) > 0;
    if (!is_stuck) {
        self->stuck_since = 0;
        return;
    }
    if (self->stuck_since == 0)
        self->stuck_since = now;
    coord_wake(self, self->stuck_since + STUCK_US);
    if (now - self->stuck_since < STUCK_US)
        return;
    uint32_t given_up = 0;
    for (uint32_t t = 0; t < self->total; t++) {
        if (!plan_is_free(self->plan, t) || has_runner(self, t))
            continue;
        self->tests[t].state = TEST_ABSENT;
        self->absent++;
        given_up++;
        plan_skip(self->plan, t);
    }
    if (given_up > 0)
        coord_note(self, 1, "%" PRIu32 " tests are not run: no node that is left has them",
                   given_up);
    self->stuck_since = now;
    slots_unpark(self);
}

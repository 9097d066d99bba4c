/* plan.h - which test a slot should run next.
 *
 * Pure and replaceable: the rest of the coordinator only knows that every test is either free
 * (nobody was given it, or it came back) or taken, and asks for the next free ones for a slot.
 * Whatever a planner does with order, that set is exact: plan_take() never gives a test that is
 * taken, and gives every free one in the end.
 *
 * This one works on units: runs of tests of one module in collection order (so pytest's own
 * reordering by parametrised fixtures survives), or everything that a placement or an xdist_group
 * ties together.  Units go out longest first.  A slot works through its unit, takes the next, and
 * when none is left cuts the rest of the slot that would end last, where both then end together:
 * between two classes where there is a place near, within a class only if both ends of it are worth
 * setting it up.  Tied units are never cut.  A slot that is slower than others leaves alone what
 * would make it the last.
 *
 * Cost    plan_take() is O(1) amortised per test, O(log slots) per unit.  About 22 bytes a test and
 *         28 a class or module.
 * Slots   are small numbers chosen by the caller; unknown ones are made on first use. */
#ifndef DZ_COORD_CORE_PLAN_H
#define DZ_COORD_CORE_PLAN_H

#include "coord/core/coord.h"
#include "shared/base/base.h"

struct plan;

enum { PLAN_NO_SLOT = UINT32_MAX };

struct plan *plan_new(const struct coord_test *tests, size_t count, enum coord_placement placement,
                      bool keep_order);
void plan_destroy(struct plan **self_p);

/* Give `slot` its next tests: at least one if any can be had, then more while the sum of their
 * costs is below budget_us, at most `max`.  Returns how many; 0: nothing for this slot now. */
size_t plan_take(struct plan *self, uint32_t slot, dz_us budget_us, size_t max,
                 uint32_t *tests_out);

/* Some tests cannot be run everywhere: those are given only to slots of which `may` is true. */
typedef bool plan_may_fn(const void *arg, uint32_t slot, uint32_t test);
void plan_restrict(struct plan *self, plan_may_fn *may, const void *arg);
/* Did a slot come upon free tests that it may not run since this was asked last?  Then they are
 * loose, and another slot that has nothing may want them. */
bool plan_has_left(struct plan *self);

/* Somebody has it already: it is not free any more.  Safe to repeat. */
void plan_skip(struct plan *self, uint32_t test);
/* ... and it is this slot: what is tied to it is the slot's as well. */
void plan_held(struct plan *self, uint32_t slot, uint32_t test);
/* The slot does not hold it any more (it was given it, or plan_held() told), whatever comes of it.
 * True: it was the last that it held of what is tied and it cannot run to the end; others can now. */
bool plan_drop(struct plan *self, uint32_t slot, uint32_t test);

/* Tests that `slot` was given and did not run are free again, in queue order. */
enum plan_back {
    PLAN_KEPT,  /* they go on with the rest of that slot's unit if they adjoin it, else as below */
    PLAN_OPEN,  /* whoever has nothing may have them */
    PLAN_FIRST, /* ... or is between two tests that are of no class: before what else it would do */
};
void plan_return(struct plan *self, uint32_t slot, const uint32_t *tests, size_t count,
                 enum plan_back how);

/* A test that was given up is free after all. */
void plan_give(struct plan *self, uint32_t test);

/* A test is free again whose worker died, or which this slot cannot run: it goes to another slot if
 * there is one, and what was struck before everything else and by itself.  Tied tests stay together. */
void plan_return_struck(struct plan *self, uint32_t test, uint32_t avoid);
void plan_return_absent(struct plan *self, uint32_t test, uint32_t avoid);

/* The slot, of this node (a small number), can be given tests / cannot any more; the rest of its
 * unit is anybody's. */
void plan_open(struct plan *self, uint32_t slot, uint32_t node);
void plan_close(struct plan *self, uint32_t slot);

/* The first test of this slot's queue takes too long: let others have the rest of its unit, and say
 * how many of those that wait should stay with it (a class is not torn apart for a short rest).
 * False: no part of a unit was let go. */
bool plan_let_go(struct plan *self, uint32_t slot, const uint32_t *queue, size_t count,
                 size_t *stay_out);
/* ... for so long that nothing stays but what is tied, and what is before that. */
bool plan_let_all_go(struct plan *self, uint32_t slot, const uint32_t *queue, size_t count,
                     size_t *stay_out);
bool plan_is_tied(const struct plan *self, uint32_t test);
bool plan_is_free(const struct plan *self, uint32_t test);

/* Nobody knows when this slot will ask again (until it does): do not wait for it with anything. */
void plan_late(struct plan *self, uint32_t slot);

/* A test took so long in this slot, of which so long before its own code ran. */
void plan_observe(struct plan *self, uint32_t slot, uint32_t test, dz_us took_us, dz_us setup_us);

size_t plan_free(const struct plan *self);   /* tests */
dz_us plan_free_us(const struct plan *self); /* what they should take */
dz_us plan_cost_us(const struct plan *self, uint32_t slot, uint32_t test); /* > 0 */

/* Is there a free test that this slot may run, and that is not bound to another one which works on
 * its tied unit?  (Of slots that have nothing, one may get it yet.) */
bool plan_has_for(const struct plan *self, uint32_t slot);
bool plan_may_run(const struct plan *self, uint32_t slot, uint32_t test);

#endif

#include "shared/wire/lease.h"
#include "tests/unit/unit.h"

static const struct dz_epoch none = { 0 };

static struct dz_lease_reply
ask(struct dz_lease *lease, enum dz_lease_kind kind, struct dz_epoch me, struct dz_epoch gone,
    dz_us now)
{
    struct dz_lease_ask it = { .kind = kind, .me = me, .gone = gone, .members = 3 };
    struct dz_lease_reply reply;
    (void) dz_lease_step(lease, &it, now, &reply);
    return reply;
}

static void
the_first_to_claim_gets_it_and_others_hear_of_whom(void **state)
{
    (void) state;
    struct dz_lease lease = { 0 };
    struct dz_epoch one = { 0, 1, 1 }, two = { 0, 2, 1 };
    struct dz_lease_reply first = ask(&lease, DZ_LEASE_CLAIM, one, none, 100);
    struct dz_lease_reply second = ask(&lease, DZ_LEASE_CLAIM, two, none, 101);
    assert_int_equal(first.word, DZ_LEASE_GRANTED);
    assert_int_equal(first.epoch.n, 1);
    assert_int_equal(second.word, DZ_LEASE_HELD);
    assert_int_equal(second.epoch.node, 1);
    assert_int_equal(second.ttl_us, DZ_LEASE_TTL_US - 1);
}

static void
a_lease_that_is_not_renewed_goes_to_whoever_asks_under_a_greater_number(void **state)
{
    (void) state;
    struct dz_lease lease = { 0 };
    struct dz_epoch one = { 0, 1, 1 }, two = { 0, 2, 1 };
    (void) ask(&lease, DZ_LEASE_CLAIM, one, none, 0);
    struct dz_epoch led = { 1, 1, 1 };
    assert_int_equal(ask(&lease, DZ_LEASE_RENEW, led, none, DZ_LEASE_TTL_US - 1).word,
                     DZ_LEASE_GRANTED);
    assert_int_equal(ask(&lease, DZ_LEASE_CLAIM, two, none, DZ_LEASE_TTL_US + 1).word,
                     DZ_LEASE_HELD);
    struct dz_lease_reply later = ask(&lease, DZ_LEASE_CLAIM, two, none, 3 * DZ_LEASE_TTL_US);
    assert_int_equal(later.word, DZ_LEASE_GRANTED);
    assert_int_equal(later.epoch.n, 2);
    assert_int_equal(ask(&lease, DZ_LEASE_RENEW, led, none, 3 * DZ_LEASE_TTL_US).word,
                     DZ_LEASE_HELD);
}

static void
a_store_that_forgot_grants_above_what_the_asker_has_seen(void **state)
{
    (void) state;
    struct dz_lease lease = { 0 };
    struct dz_epoch seen = { 7, 2, 1 };
    assert_int_equal(ask(&lease, DZ_LEASE_CLAIM, seen, none, 0).epoch.n, 8);
}

static void
half_of_the_others_revoke_a_lease_and_one_of_many_does_not(void **state)
{
    (void) state;
    struct dz_lease lease = { 0 };
    struct dz_epoch one = { 0, 1, 1 }, led = { 1, 1, 1 };
    (void) ask(&lease, DZ_LEASE_CLAIM, one, none, 0);
    struct dz_lease_ask renewal = { .kind = DZ_LEASE_RENEW, .me = led, .members = 5 };
    struct dz_lease_reply reply;
    assert_true(dz_lease_step(&lease, &renewal, 1, &reply));
    struct dz_epoch two = { 1, 2, 1 }, three = { 1, 3, 1 };
    assert_int_equal(ask(&lease, DZ_LEASE_CLAIM, two, led, 2).word, DZ_LEASE_HELD);
    assert_int_equal(ask(&lease, DZ_LEASE_CLAIM, two, led, 3).word, DZ_LEASE_HELD);
    struct dz_lease_reply granted = ask(&lease, DZ_LEASE_CLAIM, three, led, 4);
    assert_int_equal(granted.word, DZ_LEASE_GRANTED);
    assert_int_equal(granted.epoch.n, 2);
}

static void
a_renewal_takes_back_what_was_reported(void **state)
{
    (void) state;
    struct dz_lease lease = { 0 };
    struct dz_epoch one = { 0, 1, 1 }, led = { 1, 1, 1 }, two = { 1, 2, 1 }, three = { 1, 3, 1 };
    (void) ask(&lease, DZ_LEASE_CLAIM, one, none, 0);
    struct dz_lease_ask renewal = { .kind = DZ_LEASE_RENEW, .me = led, .members = 5 };
    struct dz_lease_reply reply;
    (void) dz_lease_step(&lease, &renewal, 1, &reply);
    (void) ask(&lease, DZ_LEASE_CLAIM, two, led, 2);
    (void) dz_lease_step(&lease, &renewal, 3, &reply);
    assert_int_equal(ask(&lease, DZ_LEASE_CLAIM, three, led, 4).word, DZ_LEASE_HELD);
}

static void
one_elected_while_the_store_was_away_registers_and_the_lower_one_is_told(void **state)
{
    (void) state;
    struct dz_lease lease = { 0 };
    struct dz_epoch one = { 0, 1, 1 }, led = { 1, 1, 1 }, other = { 2, 2, 1 };
    (void) ask(&lease, DZ_LEASE_CLAIM, one, none, 0);
    assert_int_equal(ask(&lease, DZ_LEASE_RENEW, other, none, 1).word, DZ_LEASE_GRANTED);
    struct dz_lease_reply reply = ask(&lease, DZ_LEASE_RENEW, led, none, 2);
    assert_int_equal(reply.word, DZ_LEASE_HELD);
    assert_int_equal(reply.epoch.node, 2);
}

static void
a_lease_that_is_given_back_is_free_at_once(void **state)
{
    (void) state;
    struct dz_lease lease = { 0 };
    struct dz_epoch one = { 0, 1, 1 }, led = { 1, 1, 1 }, two = { 0, 2, 1 };
    (void) ask(&lease, DZ_LEASE_CLAIM, one, none, 0);
    assert_int_equal(ask(&lease, DZ_LEASE_WHO, two, none, 1).word, DZ_LEASE_HELD);
    assert_int_equal(ask(&lease, DZ_LEASE_RELEASE, two, none, 1).word, DZ_LEASE_FREE);
    assert_int_equal(ask(&lease, DZ_LEASE_WHO, two, none, 1).word, DZ_LEASE_HELD);
    (void) ask(&lease, DZ_LEASE_RELEASE, led, none, 1);
    assert_int_equal(ask(&lease, DZ_LEASE_WHO, two, none, 1).word, DZ_LEASE_FREE);
    assert_int_equal(ask(&lease, DZ_LEASE_CLAIM, two, none, 1).epoch.n, 2);
}

static void
a_sealed_job_has_no_scheduler_any_more(void **state)
{
    (void) state;
    struct dz_lease lease = { .is_sealed = true };
    struct dz_epoch one = { 0, 1, 1 };
    assert_int_equal(ask(&lease, DZ_LEASE_CLAIM, one, none, 0).word, DZ_LEASE_SEALED);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_to_claim_gets_it_and_others_hear_of_whom),
        cmocka_unit_test(a_lease_that_is_not_renewed_goes_to_whoever_asks_under_a_greater_number),
        cmocka_unit_test(a_store_that_forgot_grants_above_what_the_asker_has_seen),
        cmocka_unit_test(half_of_the_others_revoke_a_lease_and_one_of_many_does_not),
        cmocka_unit_test(a_renewal_takes_back_what_was_reported),
        cmocka_unit_test(one_elected_while_the_store_was_away_registers_and_the_lower_one_is_told),
        cmocka_unit_test(a_lease_that_is_given_back_is_free_at_once),
        cmocka_unit_test(a_sealed_job_has_no_scheduler_any_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

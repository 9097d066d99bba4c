/* Expected times are from the zones' published rules. */
#include "store/zone.h"
#include "tests/unit/unit.h"

static int64_t
us(int64_t epoch_s)
{
    return epoch_s * 1000000;
}

static void
days_are_those_of_the_zone(void **state)
{
    static const struct {
        const char *zone;
        int64_t epoch_s;
        uint32_t day;
        int hour;
    } cases[] = {
        { "UTC", 0, 19700101, 0 },
        { "UTC", -1, 19691231, 23 },
        { "UTC", 1795262400, 20261121, 12 },
        { "Europe/Berlin", 1795262400, 20261121, 13 },     /* winter: +1 */
        { "Europe/Berlin", 1782043200, 20260621, 14 },     /* summer: +2 */
        { "America/New_York", 1795233599, 20261120, 22 },  /* 03:59:59Z, -5 */
        { "Asia/Kolkata", 1795262400, 20261121, 17 },      /* +5:30 */
        { "Pacific/Kiritimati", 1795262400, 20261122, 2 }, /* +14 */
        { "Europe/Berlin", 4070908800, 20990101, 1 },      /* behind every table: by rule */
        { "America/New_York", 4088635200, 20990725, 0 },   /* 04:00Z in summer by rule: -4 */
        { "Australia/Sydney", 4070908800, 20990101, 11 },  /* summer around new year: +11 */
    };
    (void) state;
    for (size_t i = 0; i < DZ_LEN(cases); i++) {
        DZ_AUTO(zone_destroy) struct zone *zone = zone_new(cases[i].zone);
        assert_true(zone_is_known(zone));
        assert_int_equal(zone_day(zone, us(cases[i].epoch_s)), cases[i].day);
        assert_int_equal(zone_civil(zone, us(cases[i].epoch_s)).hour, cases[i].hour);
    }
}

static void
the_clock_changes_at_the_very_second(void **state)
{
    (void) state;
    DZ_AUTO(zone_destroy) struct zone *zone = zone_new("Europe/Berlin");
    int64_t spring = 1774746000; /* 2026-03-29 01:00Z */
    assert_int_equal(zone_civil(zone, us(spring - 1)).hour, 1);
    assert_int_equal(zone_civil(zone, us(spring)).hour, 3);
}

static void
names_that_are_no_zone_mean_utc(void **state)
{
    static const char *const names[] = {
        "", "Mars/Olympus", "../../etc/passwd", "/etc/passwd", "Europe", "tzdata.zi"
    };
    (void) state;
    for (size_t i = 0; i < DZ_LEN(names); i++) {
        DZ_AUTO(zone_destroy) struct zone *zone = zone_new(names[i]);
        assert_false(zone_is_known(zone));
        assert_int_equal(zone_civil(zone, us(1795262400)).hour, 12);
    }
}

static void
civil_time_goes_back_to_the_epoch(void **state)
{
    static const char *const names[] = { "UTC", "Europe/Berlin", "America/New_York",
                                         "Asia/Kolkata" };
    (void) state;
    for (size_t i = 0; i < DZ_LEN(names); i++) {
        DZ_AUTO(zone_destroy) struct zone *zone = zone_new(names[i]);
        for (int64_t s = 1767225600; s < 1798761600; s += 12345) { /* all of 2026 */
            struct zone_time t = zone_civil(zone, us(s));
            struct zone_time back = zone_civil(zone, zone_epoch_us(zone, t));
            assert_memory_equal(&t, &back, sizeof(t));
        }
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(days_are_those_of_the_zone),
        cmocka_unit_test(the_clock_changes_at_the_very_second),
        cmocka_unit_test(names_that_are_no_zone_mean_utc),
        cmocka_unit_test(civil_time_goes_back_to_the_epoch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

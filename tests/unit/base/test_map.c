/* The maps, against a plain array that does the same slowly. */
#include <stdio.h>

#include "shared/base/map.h"
#include "tests/unit/unit.h"

enum { KEYS = 500, STEPS = 20000 };

/* Small, repeatable, and nothing more is wanted of it. */
static uint32_t
next_random(uint32_t *seed)
{
    *seed = *seed * 1664525U + 1013904223U;
    return *seed >> 8;
}

static void
a_map_remembers_what_an_array_does(void **state)
{
    (void) state;
    DZ_AUTO(dz_map_fini) struct dz_map map = { 0 };
    static char values[KEYS];
    void *wanted[KEYS] = { 0 };
    size_t count = 0;
    uint32_t seed = 1;
    for (int i = 0; i < STEPS; i++) {
        size_t key = next_random(&seed) % KEYS;
        void *value = next_random(&seed) % 2 ? &values[next_random(&seed) % KEYS] : NULL;
        void *before = value ? dz_map_put(&map, key << 40, value) : dz_map_del(&map, key << 40);
        assert_ptr_equal(before, wanted[key]);
        count += (value != NULL);
        count -= (before != NULL);
        wanted[key] = value;
        assert_int_equal(map.len, count);
    }
    for (size_t key = 0; key < KEYS; key++)
        assert_ptr_equal(dz_map_get(&map, key << 40), wanted[key]);
}

static void
every_entry_is_met_once(void **state)
{
    (void) state;
    DZ_AUTO(dz_map_fini) struct dz_map map = { 0 };
    static int seen[KEYS];
    for (uint64_t key = 0; key < KEYS; key++)
        assert_null(dz_map_put(&map, key, &seen[key]));
    size_t at = 0;
    uint64_t key = 0;
    void *value = NULL;
    while (dz_map_next(&map, &at, &key, &value)) {
        assert_ptr_equal(value, &seen[key]);
        seen[key]++;
    }
    for (size_t i = 0; i < KEYS; i++)
        assert_int_equal(seen[i], 1);
}

static void
an_empty_map_has_nothing(void **state)
{
    (void) state;
    struct dz_map map = { 0 };
    struct dz_dict dict = { 0 };
    assert_null(dz_map_get(&map, 1));
    assert_null(dz_map_del(&map, 1));
    assert_null(dz_dict_get(&dict, dz_str("x")));
    assert_null(dz_dict_del(&dict, dz_str("x")));
}

static void
a_dict_remembers_what_an_array_does(void **state)
{
    (void) state;
    DZ_AUTO(dz_dict_fini) struct dz_dict dict = { 0 };
    static char values[KEYS];
    void *wanted[KEYS] = { 0 };
    uint32_t seed = 2;
    for (int i = 0; i < STEPS; i++) {
        char key[32];
        size_t number = next_random(&seed) % KEYS;
        (void) snprintf(key, sizeof(key), "tests/test_%zu.py", number);
        void *value = next_random(&seed) % 2 ? &values[number] : NULL;
        void *before =
            value ? dz_dict_put(&dict, dz_str(key), value) : dz_dict_del(&dict, dz_str(key));
        assert_ptr_equal(before, wanted[number]);
        wanted[number] = value;
    }
    size_t at = 0, met = 0;
    struct dz_slice key = { 0 };
    void *value = NULL;
    while (dz_dict_next(&dict, &at, &key, &value)) {
        assert_ptr_equal(dz_dict_get(&dict, key), value);
        met++;
    }
    assert_int_equal(met, dict.len);
}

static void
keys_may_hold_any_bytes(void **state)
{
    (void) state;
    DZ_AUTO(dz_dict_fini) struct dz_dict dict = { 0 };
    static int one, two;
    struct dz_slice with_nul = { (const uint8_t *) "a\0b", 3 };
    assert_null(dz_dict_put(&dict, with_nul, &one));
    assert_null(dz_dict_put(&dict, dz_str("a"), &two));
    assert_ptr_equal(dz_dict_get(&dict, with_nul), &one);
    assert_ptr_equal(dz_dict_get(&dict, dz_str("a")), &two);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_map_remembers_what_an_array_does),
        cmocka_unit_test(every_entry_is_met_once),
        cmocka_unit_test(an_empty_map_has_nothing),
        cmocka_unit_test(a_dict_remembers_what_an_array_does),
        cmocka_unit_test(keys_may_hold_any_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

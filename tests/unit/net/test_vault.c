/* test_vault.c - what libzmq is given for secrets in place of libsodium's own. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "shared/base/fd.h"
#include "tests/unit/unit.h"

/* libsodium's names. */
void *sodium_allocarray(size_t count, size_t size);
void *sodium_malloc(size_t size);
void sodium_free(void *bytes);

enum { SECRET = 100, PLACES = 6 };

/* The kernel reads where we may, and fails where we may not. */
static bool
is_readable(const uint8_t *at)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    bool is_so = write(ends[1], at, 1) == 1;
    assert_true(is_so || errno == EFAULT);
    dz_fd_close(&ends[0]);
    dz_fd_close(&ends[1]);
    return is_so;
}

static void
what_lies_behind_and_before_a_secret_cannot_be_touched(void **state)
{
    size_t page = (size_t) sysconf(_SC_PAGESIZE);
    const size_t sizes[] = { 0, 1, SECRET, page - 16, page - 15, page, page + 1, 3 * page - 1 };
    (void) state;
    for (size_t i = 0; i < DZ_LEN(sizes); i++) {
        uint8_t *secret = sodium_allocarray(1, sizes[i]);
        size_t pages = (sizes[i] + 16 + page - 1) / page;
        memset(secret, 1, sizes[i]);
        assert_true(is_readable(secret - 1));
        assert_false(is_readable(secret + sizes[i]));
        assert_false(is_readable(secret + sizes[i] - pages * page - 1));
        sodium_free(secret);
    }
}

static void
a_place_is_used_again_and_holds_nothing_of_the_last_secret(void **state)
{
    uint8_t *places[PLACES], old[SECRET];
    (void) state;
    uint8_t *first = sodium_malloc(SECRET);
    memset(first, 's', SECRET);
    sodium_free(first);
    assert_true(is_readable(first)); /* kept */
    for (int i = 0; i < SECRET; i++)
        assert_int_equal(first[i], 0);
    memset(old, 0xdb, sizeof(old));
    for (int i = 0; i < PLACES; i++) {
        places[i] = sodium_malloc(SECRET);
        assert_memory_equal(places[i], old, SECRET);
        memset(places[i], i, SECRET);
    }
    assert_ptr_equal(places[0], first);
    for (int i = 0; i < PLACES; i++) { /* each its own */
        assert_int_equal(places[i][0], i);
        sodium_free(places[i]);
    }
    assert_false(is_readable(places[PLACES - 1])); /* more than are kept */
}

static void
what_is_too_much_is_refused(void **state)
{
    (void) state;
    assert_null(sodium_allocarray(SIZE_MAX, 2));
    assert_int_equal(errno, ENOMEM);
    assert_null(sodium_malloc(SIZE_MAX - 1));
    sodium_free(NULL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_lies_behind_and_before_a_secret_cannot_be_touched),
        cmocka_unit_test(a_place_is_used_again_and_holds_nothing_of_the_last_secret),
        cmocka_unit_test(what_is_too_much_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

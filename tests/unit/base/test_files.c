/* Folders by their path. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/base/files.h"
#include "tests/unit/unit.h"

static void
a_folder_goes_with_all_that_is_below_it_and_links_are_not_followed(void **state)
{
    (void) state;
    char top[] = "/tmp/dz-files-XXXXXX", kept[] = "/tmp/dz-kept-XXXXXX", path[64];
    assert_non_null(mkdtemp(top));
    assert_non_null(mkdtemp(kept));
    (void) snprintf(path, sizeof(path), "%s/below", top);
    assert_int_equal(mkdir(path, 0700), 0);
    (void) snprintf(path, sizeof(path), "%s/below/link", top);
    assert_int_equal(symlink(kept, path), 0);
    dz_remove_tree(top);
    assert_int_equal(access(top, F_OK), -1);
    assert_int_equal(access(kept, F_OK), 0);
    dz_remove_tree(kept);
    dz_remove_tree(kept); /* there is nothing, which is no error */
    assert_int_equal(access(kept, F_OK), -1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_folder_goes_with_all_that_is_below_it_and_links_are_not_followed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

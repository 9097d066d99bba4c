/* Files and folders by their path. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/base/fd.h"
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

static void
assert_file(const char *path, const char *text)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf found = { 0 };
    struct dz_err err;
    assert_int_equal(dz_fd_read_file(path, 64, &found, &err), DZ_OK);
    assert_true(dz_slice_eq(dz_buf_slice(&found), dz_str(text)));
}

static void
a_file_is_replaced_whole_or_stays_as_it_was(void **state)
{
    (void) state;
    struct dz_err err;
    struct stat info;
    char top[] = "/tmp/dz-files-XXXXXX", path[64], fresh[64];
    assert_non_null(mkdtemp(top));
    (void) snprintf(path, sizeof(path), "%s/file", top);
    (void) snprintf(fresh, sizeof(fresh), "%s/file.new", top);
    assert_int_equal(dz_replace_file(path, 0600, dz_str("one"), &err), DZ_OK);
    assert_int_equal(dz_replace_file(path, 0600, dz_str("two"), &err), DZ_OK);
    assert_file(path, "two");
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    assert_int_equal(access(fresh, F_OK), -1);
    assert_int_equal(mkdir(fresh, 0700), 0); /* in the way */
    assert_int_equal(dz_replace_file(path, 0600, dz_str("three"), &err), DZ_IO);
    assert_non_null(strstr(err.text, fresh));
    assert_file(path, "two");
    dz_remove_tree(top);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_is_replaced_whole_or_stays_as_it_was),
        cmocka_unit_test(a_folder_goes_with_all_that_is_below_it_and_links_are_not_followed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

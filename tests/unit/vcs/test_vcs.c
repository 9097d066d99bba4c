#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/base/files.h"
#include "shared/vcs/vcs.h"
#include "tests/unit/unit.h"

struct fixture {
    char top[64];
    struct dz_err err;
};

/* git itself makes what libgit2 is asked about. */
static void
sh(struct fixture *f, const char *commands)
{
    char line[1024];
    (void) snprintf(line, sizeof(line),
                    "cd %s && export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null "
                    "GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a "
                    "GIT_COMMITTER_EMAIL=a@b && (%s) >/dev/null 2>&1",
                    f->top, commands);
    assert_int_equal(system(line), 0); /* NOLINT: a test of ours, with text of ours */
}

static int
setup(void **state)
{
    struct fixture *f = dz_alloc0(1, sizeof(*f));
    (void) snprintf(f->top, sizeof(f->top), "/tmp/dz-vcs-XXXXXX");
    if (!mkdtemp(f->top))
        return -1;
    *state = f;
    return 0;
}

static int
teardown(void **state)
{
    struct fixture *f = *state;
    dz_remove_tree(f->top);
    free(f);
    return 0;
}

static struct dz_vcs *
open_vcs(struct fixture *f)
{
    struct dz_vcs *vcs = NULL;
    assert_ok(dz_vcs_open(f->top, &vcs, &f->err));
    return vcs;
}

static void
a_folder_outside_of_git_is_absent(void **state)
{
    struct fixture *f = *state;
    struct dz_vcs *vcs = NULL;
    assert_int_equal(dz_vcs_open(f->top, &vcs, &f->err), DZ_ABSENT);
    assert_null(vcs);
}

static void
the_origin_is_told_without_what_ci_put_into_it(void **state)
{
    static const struct {
        const char *url, *told;
    } cases[] = {
        { "git@github.com:acme/shop.git", "git@github.com:acme/shop.git" },
        { "https://ci:s3cr3t@git.example/acme/shop.git", "https://git.example/acme/shop.git" },
        { "https://s3cr3t@git.example/a@b.git", "https://git.example/a@b.git" },
        { "https://git.example/a@b.git", "https://git.example/a@b.git" },
        { "ssh://git@git.example:22/a.git", "ssh://git@git.example:22/a.git" },
    };
    struct fixture *f = *state;
    sh(f, "git init -q . && git remote add origin x");
    for (size_t i = 0; i < DZ_LEN(cases); i++) {
        char command[256];
        (void) snprintf(command, sizeof(command), "git remote set-url origin %s", cases[i].url);
        sh(f, command);
        struct dz_vcs *vcs = open_vcs(f);
        DZ_AUTO(dz_free) char *origin = dz_vcs_origin(vcs);
        assert_string_equal(origin, cases[i].told);
        dz_vcs_close(&vcs);
    }
}

static void
the_only_remote_stands_for_a_missing_origin(void **state)
{
    struct fixture *f = *state;
    sh(f, "git init -q . && git remote add upstream u");
    struct dz_vcs *vcs = open_vcs(f);
    DZ_AUTO(dz_free) char *one = dz_vcs_origin(vcs);
    assert_string_equal(one, "u");
    dz_vcs_close(&vcs);
    sh(f, "git remote add other o");
    vcs = open_vcs(f);
    assert_null(dz_vcs_origin(vcs));
    dz_vcs_close(&vcs);
}

static void
a_path_is_told_relative_to_the_worktree(void **state)
{
    struct fixture *f = *state;
    sh(f, "git init -q . && mkdir -p services/api");
    struct dz_vcs *vcs = open_vcs(f);
    assert_string_equal(dz_vcs_worktree(vcs), f->top);
    DZ_AUTO(dz_free) char *top = NULL;
    assert_ok(dz_vcs_prefix(vcs, f->top, &top, &f->err));
    assert_string_equal(top, "");
    char below[128];
    (void) snprintf(below, sizeof(below), "%s/services/api", f->top);
    DZ_AUTO(dz_free) char *prefix = NULL;
    assert_ok(dz_vcs_prefix(vcs, below, &prefix, &f->err));
    assert_string_equal(prefix, "services/api");
    char *none = NULL;
    assert_int_equal(dz_vcs_prefix(vcs, "/tmp", &none, &f->err), DZ_ABSENT);
    dz_vcs_close(&vcs);
}

static void
revisions_resolve_to_commits(void **state)
{
    struct fixture *f = *state;
    char head[DZ_VCS_HEX + 1], before[DZ_VCS_HEX + 1], again[DZ_VCS_HEX + 1];
    sh(f, "git init -q .");
    struct dz_vcs *vcs = open_vcs(f);
    assert_int_equal(dz_vcs_head(vcs, head, &f->err), DZ_ABSENT);
    sh(f,
       "git commit -q --allow-empty -m 1 && git commit -q --allow-empty -m 2 && git tag -a t -m t");
    assert_ok(dz_vcs_head(vcs, head, &f->err));
    assert_int_equal(strlen(head), 40);
    assert_ok(dz_vcs_resolve(vcs, "HEAD~1", before, &f->err));
    assert_string_not_equal(before, head);
    assert_ok(
        dz_vcs_resolve(vcs, "t", again, &f->err)); /* an annotated tag is not a commit itself */
    assert_string_equal(again, head);
    assert_int_equal(dz_vcs_resolve(vcs, "nope", again, &f->err), DZ_ABSENT);
    assert_string_equal(f->err.text, "git knows no commit 'nope'");
    dz_vcs_close(&vcs);
}

static void
only_tracked_files_make_a_worktree_dirty(void **state)
{
    struct fixture *f = *state;
    bool is_dirty = true;
    sh(f, "git init -q . && echo 1 > a && git add a && git commit -q -m 1 && echo x > untracked");
    struct dz_vcs *vcs = open_vcs(f);
    assert_ok(dz_vcs_dirty(vcs, &is_dirty, &f->err));
    assert_false(is_dirty);
    sh(f, "echo 2 >> a");
    assert_ok(dz_vcs_dirty(vcs, &is_dirty, &f->err));
    assert_true(is_dirty);
    dz_vcs_close(&vcs);
}

static void
every_kind_of_change_is_seen_and_a_new_time_is_none(void **state)
{
    static const struct {
        const char *commands;
        bool is_dirty;
    } cases[] = {
        { "touch -d 2020-01-01 a", false },    { "echo 2 > a", true },
        { "git checkout -q a && rm a", true }, { "git checkout -q a", false },
        { "echo n > b && git add b", true },   { "git rm -q --cached b", false },
        { "git rm -q --cached a", true },      { "git add a", false },
    };
    struct fixture *f = *state;
    sh(f, "git init -q . && echo 1 > a && git add a && git commit -q -m 1");
    for (size_t i = 0; i < DZ_LEN(cases); i++) {
        bool is_dirty = !cases[i].is_dirty;
        sh(f, cases[i].commands);
        struct dz_vcs *vcs = open_vcs(f);
        assert_ok(dz_vcs_dirty(vcs, &is_dirty, &f->err));
        if (is_dirty != cases[i].is_dirty)
            fail_msg("after: %s", cases[i].commands);
        dz_vcs_close(&vcs);
    }
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_folder_outside_of_git_is_absent),
        T(the_origin_is_told_without_what_ci_put_into_it),
        T(the_only_remote_stands_for_a_missing_origin),
        T(a_path_is_told_relative_to_the_worktree),
        T(revisions_resolve_to_commits),
        T(only_tracked_files_make_a_worktree_dirty),
        T(every_kind_of_change_is_seen_and_a_new_time_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <sys/stat.h>

#include "store/project.h"
#include "tests/unit/store/store_fixture.h"

static void
sh(struct fixture *f, const char *commands)
{
    char line[1024];
    (void) snprintf(line, sizeof(line),
                    "cd %s && export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null "
                    "GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a "
                    "GIT_COMMITTER_EMAIL=a@b && (%s) >/dev/null 2>&1",
                    f->home, commands);
    assert_int_equal(system(line), 0); /* NOLINT: a test of ours, with text of ours */
}

static void
find_in(struct fixture *f, const char *below, struct project *out)
{
    char dir[128];
    (void) snprintf(dir, sizeof(dir), "%s/%s", f->home, below);
    enum dz_rc rc = project_find(dir, false, out, &f->err);
    if (rc != DZ_OK)
        fail_msg("%s", f->err.text);
}

static void
the_name_is_origin_and_path(void **state)
{
    struct fixture *f = *state;
    struct project p;
    sh(f, "git init -q . && git remote add origin git@github.com:acme/shop.git && "
          "mkdir -p services/api && git commit -q --allow-empty -m 1");
    find_in(f, "", &p);
    assert_string_equal(p.uri, "git@github.com:acme/shop.git");
    assert_int_equal(strlen(p.commit), 40);
    assert_null(p.warning);
    project_fini(&p);
    find_in(f, "services/api", &p);
    assert_string_equal(p.uri, "git@github.com:acme/shop.git//services/api");
    project_fini(&p);
}

static void
without_git_the_folder_is_the_name_and_a_warning_says_so(void **state)
{
    struct fixture *f = *state;
    struct project p;
    find_in(f, "", &p);
    assert_int_equal(strncmp(p.uri, "file://", 7), 0);
    assert_non_null(strstr(p.uri, f->home));
    assert_non_null(strstr(p.warning, "'zb init' gives it a name that stays"));
    assert_string_equal(p.commit, "");
    assert_false(p.has_git);
    project_fini(&p);
}

static void
the_nearest_config_file_decides(void **state)
{
    struct fixture *f = *state;
    struct project p;
    sh(f, "mkdir -p .dagz a/b/.dagz a/b/c && "
          "printf 'project: {uri: top, timezone: Asia/Tokyo}\\nresources: {gpu: 2}\\n' "
          "> .dagz/config.yaml && printf 'project: {uri: below}\\n' > a/b/.dagz/config.yaml");
    find_in(f, "a", &p);
    assert_string_equal(p.uri, "top");
    assert_string_equal(p.timezone, "Asia/Tokyo");
    assert_string_equal(p.root, f->home);
    assert_int_equal(p.resources.count, 1);
    assert_null(p.warning);
    project_fini(&p);
    find_in(f, "a/b/c", &p);
    assert_string_equal(p.uri, "below");
    project_fini(&p);
}

static void
a_config_file_outside_of_the_worktree_is_not_ours(void **state)
{
    struct fixture *f = *state;
    struct project p;
    sh(f, "mkdir -p .dagz repo/sub && printf 'project: {uri: outside}\\n' > .dagz/config.yaml && "
          "git init -q repo && git -C repo remote add origin o");
    find_in(f, "repo/sub", &p);
    assert_string_equal(p.uri, "o//sub");
    project_fini(&p);
}

static void
a_refused_config_file_is_named_with_its_line(void **state)
{
    static const struct {
        const char *text, *complaint;
    } cases[] = {
        { "project:\\n  timezon: UTC\\n",
          "config.yaml:2:3: unknown key 'project.timezon'; did you mean 'project.timezone'?" },
        { "project: {timezone: Mars}\\n", ":1:21: 'project.timezone' names no time zone: 'Mars'" },
        { "project: {uri: \"\"}\\n", ":1:16: 'project.uri' is not the name of a project" },
        { "resources: {gpu: 0}\\n", ":1:18: 'resources.gpu' must be from 1 to 1000000" },
        { "selection: {audit_share: 2}\\n", "'selection.audit_share' must be from 0 to 1" },
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < DZ_LEN(cases); i++) {
        struct project p;
        char command[256];
        (void) snprintf(command, sizeof(command),
                        "mkdir -p .dagz && printf '%s' > .dagz/config.yaml", cases[i].text);
        sh(f, command);
        assert_int_equal(project_find(f->home, false, &p, &f->err), DZ_CORRUPT);
        if (!strstr(f->err.text, cases[i].complaint))
            fail_msg("%s", f->err.text);
    }
}

static void
the_environment_gives_commit_and_profile(void **state)
{
    struct fixture *f = *state;
    struct project p;
    (void) setenv("GIT_COMMIT_HASH", "0123456789abcdef0123456789abcdef01234567", 1);
    (void) setenv("DAGZ_PROFILE", "gpu", 1);
    find_in(f, "", &p);
    (void) unsetenv("GIT_COMMIT_HASH");
    (void) unsetenv("DAGZ_PROFILE");
    assert_string_equal(p.commit, "0123456789abcdef0123456789abcdef01234567");
    assert_string_equal(p.profile, "gpu");
    project_fini(&p);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(the_name_is_origin_and_path),
        T(without_git_the_folder_is_the_name_and_a_warning_says_so),
        T(the_nearest_config_file_decides),
        T(a_config_file_outside_of_the_worktree_is_not_ours),
        T(a_refused_config_file_is_named_with_its_line),
        T(the_environment_gives_commit_and_profile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

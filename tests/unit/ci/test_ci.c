#include <string.h>

#include "shared/ci/ci.h"
#include "tests/unit/unit.h"

/* Names and values by turns, ended by NULL. */
static const char *
look_up(void *arg, const char *name)
{
    const char *const *pairs = arg;
    for (; *pairs; pairs += 2)
        if (strcmp(pairs[0], name) == 0)
            return pairs[1];
    return NULL;
}

#define DETECT(given, ...) \
    DZ_AUTO(dz_ci_fini) struct dz_ci ci = { 0 }; \
    dz_ci_detect(look_up, (void *) (const char *[]){ __VA_ARGS__, NULL }, given, &ci)

#define GITLAB \
    "GITLAB_CI", "true", "CI_PIPELINE_ID", "1234", "CI_JOB_ID", "998", "CI_COMMIT_SHA", "c0ffee"
#define GITHUB \
    "GITHUB_ACTIONS", "true", "GITHUB_RUN_ID", "55", "GITHUB_JOB", "tests", "GITHUB_SHA", \
        "c0ffee", "GITHUB_RUN_ATTEMPT", "2"

static void
outside_of_ci_a_run_joins_nobody(void **state)
{
    (void) state;
    DETECT(NULL, "CI", "true", "CI_NODE_INDEX", "1", "CI_NODE_TOTAL", "4");
    assert_string_equal(ci.provider, "");
    assert_null(ci.key);
    assert_int_equal(ci.total, 0);
    assert_string_equal(ci.problem, "");
}

static void
slots_of_a_gitlab_step_share_a_key(void **state)
{
    (void) state;
    DETECT(NULL, GITLAB, "CI_JOB_NAME", "unit tests 2/5", "CI_NODE_INDEX", "2", "CI_NODE_TOTAL",
           "5");
    assert_string_equal(ci.provider, "gitlab");
    assert_string_equal(ci.key, "gitlab/1234/unit tests");
    assert_int_equal(ci.slot, 1);
    assert_int_equal(ci.total, 5);
    assert_string_equal(ci.job, "998");
    assert_string_equal(ci.commit, "c0ffee");
    assert_int_equal(ci.attempt, 0);
}

static void
only_a_trailing_number_of_a_slot_leaves_a_name(void **state)
{
    (void) state;
    static const char *const names[][2] = {
        { "test 12/40", "test" },           { "test", "test" },       { "test/3", "test/3" },
        { "test 3/", "test 3/" },           { "test /3", "test /3" }, { "build1/2", "build1/2" },
        { "py3/12 tests", "py3/12 tests" }, { " 1/2", " 1/2" },       { "a 1/2 3/4", "a 1/2" },
    };
    for (size_t i = 0; i < DZ_LEN(names); i++) {
        DETECT(NULL, GITLAB, "CI_JOB_NAME", names[i][0]);
        assert_string_equal(ci.step, names[i][1]);
    }
}

static void
cells_of_a_gitlab_matrix_are_steps_of_their_own(void **state)
{
    (void) state;
    DETECT(NULL, GITLAB, "CI_JOB_NAME", "test: [3.12, pg]", "CI_NODE_INDEX", "3", "CI_NODE_TOTAL",
           "6");
    assert_string_equal(ci.key, "gitlab/1234/test: [3.12, pg]");
    assert_int_equal(ci.total, 0);
}

static void
github_counts_attempts_and_takes_slots_from_the_workflow(void **state)
{
    (void) state;
    DETECT(NULL, GITHUB, "CI_NODE_INDEX", "0", "CI_NODE_TOTAL", "3", "RUNNER_TRACKING_ID",
           "github_8f");
    assert_string_equal(ci.key, "github/55/tests");
    assert_int_equal(ci.attempt, 2);
    assert_int_equal(ci.slot, 0);
    assert_int_equal(ci.total, 3);
    assert_string_equal(ci.job, "55/tests/github_8f");
}

static void
numbers_from_one_on_github_are_slots_too(void **state)
{
    (void) state;
    bool seen[3] = { false };
    static const char *const indexes[] = { "1", "2", "3" };
    for (size_t i = 0; i < DZ_LEN(indexes); i++) {
        DETECT(NULL, GITHUB, "CI_NODE_INDEX", indexes[i], "CI_NODE_TOTAL", "3");
        assert_in_range(ci.slot, 0, 2);
        assert_false(seen[ci.slot]);
        seen[ci.slot] = true;
    }
}

static void
every_other_ci_is_known_by_its_documented_variables(void **state)
{
    (void) state;
    {
        DETECT(NULL, "BUILDKITE", "true", "BUILDKITE_BUILD_ID", "b1", "BUILDKITE_STEP_ID", "s1",
               "BUILDKITE_JOB_ID", "j1", "BUILDKITE_PARALLEL_JOB", "3",
               "BUILDKITE_PARALLEL_JOB_COUNT", "4", "BUILDKITE_RETRY_COUNT", "1");
        assert_string_equal(ci.key, "buildkite/b1/s1");
        assert_int_equal(ci.slot, 3);
        assert_string_equal(ci.job, "j1/1");
    }
    {
        DETECT(NULL, "CIRCLECI", "true", "CIRCLE_WORKFLOW_ID", "w1", "CIRCLE_JOB", "tests",
               "CIRCLE_BUILD_NUM", "17", "CIRCLE_NODE_INDEX", "1", "CIRCLE_NODE_TOTAL", "2");
        assert_string_equal(ci.key, "circleci/w1/tests");
        assert_int_equal(ci.slot, 1);
        assert_string_equal(ci.job, "17/1");
    }
    {
        DETECT(NULL, "TF_BUILD", "True", "SYSTEM_TEAMPROJECTID", "t1", "BUILD_BUILDID", "9",
               "SYSTEM_STAGENAME", "ci", "SYSTEM_PHASENAME", "tests", "SYSTEM_JOBID", "j2",
               "SYSTEM_JOBATTEMPT", "2", "SYSTEM_JOBPOSITIONINPHASE", "4",
               "SYSTEM_TOTALJOBSINPHASE", "4");
        assert_string_equal(ci.key, "azure/t1/9/tests/ci");
        assert_int_equal(ci.slot, 3);
        assert_string_equal(ci.job, "j2/2");
    }
    {
        DETECT(NULL, "BITBUCKET_BUILD_NUMBER", "12", "BITBUCKET_REPO_FULL_NAME", "acme/shop",
               "BITBUCKET_STEP_UUID", "{u}", "BITBUCKET_STEP_RUN_NUMBER", "2",
               "BITBUCKET_PARALLEL_STEP", "0", "BITBUCKET_PARALLEL_STEP_COUNT", "2");
        assert_string_equal(ci.key, "bitbucket/acme/shop/12/");
        assert_int_equal(ci.total, 2);
        assert_string_equal(ci.job, "{u}/2");
    }
    {
        DETECT(NULL, "JENKINS_URL", "https://ci.example/", "JOB_NAME", "shop/main", "BUILD_NUMBER",
               "81", "STAGE_NAME", "tests 1/2", "BUILD_TAG", "jenkins-shop-81", "GIT_COMMIT", "ab");
        assert_string_equal(ci.key, "jenkins/shop/main/81/tests");
        assert_int_equal(ci.total, 0);
        assert_string_equal(ci.commit, "ab");
    }
}

static void
a_given_key_replaces_what_the_ci_says_and_keeps_its_slots(void **state)
{
    (void) state;
    DETECT("nightly", GITLAB, "CI_JOB_NAME", "test 2/5", "CI_NODE_INDEX", "2", "CI_NODE_TOTAL", "5",
           "DAGZ_JOB_KEY", "other");
    assert_string_equal(ci.key, "given/nightly");
    assert_null(ci.pipeline);
    assert_int_equal(ci.total, 5);
    assert_string_equal(ci.job, "998");
}

static void
a_key_from_the_environment_works_without_any_ci(void **state)
{
    (void) state;
    DETECT("", "DAGZ_JOB_KEY", "mine", "CI_NODE_INDEX", "0", "CI_NODE_TOTAL", "2");
    assert_string_equal(ci.provider, "");
    assert_string_equal(ci.key, "given/mine");
    assert_int_equal(ci.total, 2);
    assert_null(ci.job);
}

static void
variables_that_make_no_sense_are_named(void **state)
{
    (void) state;
    {
        DETECT(NULL, GITLAB, "CI_JOB_NAME", "t", "CI_NODE_INDEX", "two", "CI_NODE_TOTAL", "5");
        assert_string_equal(ci.problem, "CI_NODE_INDEX=two is not a number");
        assert_int_equal(ci.total, 0);
    }
    {
        DETECT(NULL, GITLAB, "CI_JOB_NAME", "t", "CI_NODE_INDEX", "6", "CI_NODE_TOTAL", "5");
        assert_string_equal(ci.problem, "CI_NODE_INDEX=6 is not one of the slots");
    }
    {
        DETECT(NULL, GITLAB, "CI_JOB_NAME", "t", "CI_NODE_TOTAL", "5");
        assert_string_equal(ci.problem, "CI_NODE_TOTAL=5 without an index beside it");
    }
    {
        DETECT(NULL, GITLAB, "CI_JOB_NAME", "t", "CI_NODE_INDEX", "1", "CI_NODE_TOTAL",
               "99999999999999999999");
        assert_string_equal(ci.problem, "CI_NODE_TOTAL=99999999999999999999 is too large");
    }
    {
        DETECT(NULL, "GITLAB_CI", "true", "CI_JOB_NAME", "t");
        assert_null(ci.key);
        assert_string_equal(
            ci.problem, "GitLab CI does not say which pipeline this is: CI_PIPELINE_ID is not set");
    }
    {
        DETECT(NULL, "TF_BUILD", "True", "BUILD_BUILDID", "9", "SYSTEM_PHASENAME", "tests");
        assert_string_equal(ci.problem, "Azure Pipelines does not say which pipeline this is: "
                                        "SYSTEM_TEAMPROJECTID is not set");
    }
    {
        char key[DZ_CI_KEY_MAX + 2];
        memset(key, 'k', sizeof(key) - 1);
        key[sizeof(key) - 1] = '\0';
        DETECT(key, "CI", "1");
        assert_null(ci.key);
        assert_non_null(strstr(ci.problem, "is longer than a job's key may be"));
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(outside_of_ci_a_run_joins_nobody),
        cmocka_unit_test(slots_of_a_gitlab_step_share_a_key),
        cmocka_unit_test(only_a_trailing_number_of_a_slot_leaves_a_name),
        cmocka_unit_test(cells_of_a_gitlab_matrix_are_steps_of_their_own),
        cmocka_unit_test(github_counts_attempts_and_takes_slots_from_the_workflow),
        cmocka_unit_test(numbers_from_one_on_github_are_slots_too),
        cmocka_unit_test(every_other_ci_is_known_by_its_documented_variables),
        cmocka_unit_test(a_given_key_replaces_what_the_ci_says_and_keeps_its_slots),
        cmocka_unit_test(a_key_from_the_environment_works_without_any_ci),
        cmocka_unit_test(variables_that_make_no_sense_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

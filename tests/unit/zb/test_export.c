#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/base/files.h"
#include "tests/unit/unit.h"
#include "zb/export.h"

enum { MB = 1 << 20 };

struct made {
    char dir[64], file[96];
    struct zb zb;
    struct export export;
};

/* A job of `count` tests, every `bad_every`-th of which failed with that much text and output. */
static void
make(struct made *m, size_t count, size_t bad_every, size_t text_len, size_t output_len)
{
    *m = (struct made){ .dir = "/tmp/dz-export-XXXXXX" };
    assert_non_null(mkdtemp(m->dir));
    (void) snprintf(m->file, sizeof(m->file), "%s/junit.xml", m->dir);
    m->export = (struct export){ .zb = &m->zb, .file = m->file, .count = count };
    m->export.info = (struct store_job_info){ .short_id = "j1", .host = dz_strdup("here") };
    m->export.tests = dz_alloc0(count, sizeof(*m->export.tests));
    for (size_t i = 0; i < count; i++) {
        struct export_test *item = &m->export.tests[i];
        char id[64];
        (void) snprintf(id, sizeof(id), "t/test_%04zu.py::test_%06zu", i / 100, i);
        item->test.id = (struct dz_slice){ (uint8_t *) dz_strdup(id), strlen(id) };
        item->test.runs = 1;
        item->test.outcome = i % bad_every == 0 ? DZ_RESULT_FAILED : DZ_RESULT_OK;
        if (i % bad_every != 0)
            continue;
        item->test.text = dz_alloc0(text_len + 1, 1);
        memset(item->test.text, 'x', text_len);
        item->test.text_len = text_len;
        memset(dz_buf_reserve(&item->output, output_len + 1), 'y', output_len);
        item->output.len = output_len;
    }
}

static void
drop(struct made *m)
{
    for (size_t i = 0; i < m->export.count; i++) {
        free((void *) m->export.tests[i].test.id.ptr);
        doc_test_fini(&m->export.tests[i].test);
        dz_buf_fini(&m->export.tests[i].output);
    }
    free(m->export.tests);
    store_job_info_fini(&m->export.info);
    dz_buf_fini(&m->zb.out);
    dz_remove_tree(m->dir);
}

/* Export while stdout is the file's; returns how many files there are and their largest and all. */
static unsigned
export_all(struct made *m, size_t *largest_out, size_t *all_out, size_t *cases_out)
{
    int kept = dup(STDOUT_FILENO), kept_err = dup(STDERR_FILENO);
    unsigned files = 0;
    (void) !freopen("/dev/null", "w", stderr);
    assert_int_equal(export_junit(&m->export), ZB_DONE);
    (void) dup2(kept, STDOUT_FILENO);
    (void) dup2(kept_err, STDERR_FILENO);
    (void) close(kept), (void) close(kept_err);
    *largest_out = *all_out = *cases_out = 0;
    for (unsigned n = 1;; n++) {
        char name[128];
        struct stat st;
        (void) snprintf(name, sizeof(name), n == 1 ? "%s/junit.xml" : "%s/junit-%u.xml", m->dir, n);
        if (stat(name, &st) != 0)
            return files;
        files++;
        *all_out += (size_t) st.st_size;
        *largest_out = (size_t) st.st_size > *largest_out ? (size_t) st.st_size : *largest_out;
        FILE *file = fopen(name, "r");
        char *line = NULL;
        size_t cap = 0;
        while (getline(&line, &cap, file) > 0)
            *cases_out += strncmp(line, "<testcase", 9) == 0;
        free(line);
        (void) fclose(file);
    }
}

static void
a_large_job_becomes_files_that_gitlab_takes(void **state)
{
    struct made m;
    size_t largest, all, cases;
    (void) state;
    make(&m, 600, 1, 1000, 60000); /* 36 MB of output */
    assert_int_equal(export_all(&m, &largest, &all, &cases), 2);
    assert_true(largest < 30 * MB);
    assert_true(all > 35 * MB && all < 100 * MB);
    assert_int_equal(cases, 600);
    drop(&m);
}

static void
above_the_limit_text_is_cut_and_no_failure_is_lost(void **state)
{
    struct made m;
    size_t largest, all, cases;
    (void) state;
    make(&m, 1700, 1, 60000, 100); /* 100 MB of tracebacks */
    assert_int_equal(export_all(&m, &largest, &all, &cases), 1);
    assert_true(largest < 30 * MB);
    assert_true(all < 100 * MB);
    assert_int_equal(cases, 1700);
    drop(&m);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_large_job_becomes_files_that_gitlab_takes),
        cmocka_unit_test(above_the_limit_text_is_cut_and_no_failure_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* cmd_wait.c - zb wait: until a job has ended. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "shared/base/clock.h"
#include "zb/zb.h"

enum { LOOK_MS = 1000 };

const struct argp_option cmd_wait_options[] = {
    { "timeout", 't', "TIME", 0, "give up after 90, 90s, 10m or 2h: exit code 7", 0 },
    { 0 },
};

struct wait {
    const char *spec;
    int64_t timeout_ms; /* -1: none */
    char ulid[STORE_ULID_LEN + 1];
};

static error_t
parse(int key, char *arg, struct argp_state *state)
{
    struct wait *self = state->input;
    switch (key) {
    case 't':
        if (zb_read_span(arg, &self->timeout_ms))
            return 0;
        (void) fprintf(stderr, "%s: --timeout is a time such as 90, 10m or 2h, not '%s'\n",
                       state->name, arg);
        return EINVAL;
    case ARGP_KEY_ARG:
        if (self->spec)
            return zb_parse_nothing(key, arg, state);
        self->spec = arg;
        return 0;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static void
write_json(struct zb *zb, const struct store_job_info *job, int64_t waited_ms)
{
    struct dz_buf *out = &zb->out;
    jot_open(out, '{');
    jot_text(out, "schema", zb->command->schema);
    jot_text(out, "id", job->ulid);
    jot_text(out, "short_id", job->short_id);
    jot_bool(out, "ended", job->state != STORE_RUNNING);
    jot_bool(out, "passed", doc_has_passed(job));
    jot_text(out, "verdict", doc_verdict(job));
    jot_int(out, "waited_us", waited_ms * 1000);
    jot_close(out, '}');
    jot_end(out);
}

static int
wait_for(struct zb *zb, const struct wait *self)
{
    struct dz_err err;
    dz_ms start = dz_clock_ms();
    for (;;) {
        struct store_job_info info;
        enum dz_rc rc = zb->source->ops->info(zb->source, self->ulid, &info, &err);
        if (rc != DZ_OK)
            return zb_fail(zb, zb_exit_of(rc), "%s", err.text);
        int64_t waited_ms = dz_clock_ms() - start, left = self->timeout_ms - waited_ms;
        bool is_over = info.state != STORE_RUNNING, has_passed = doc_has_passed(&info);
        bool is_late = !is_over && self->timeout_ms >= 0 && left <= 0;
        if (zb->is_json && (is_over || is_late))
            write_json(zb, &info, waited_ms);
        else if (is_over)
            zb_say_verdict(zb, &info);
        store_job_info_fini(&info);
        if (is_over)
            return has_passed ? ZB_DONE : ZB_FAILED;
        if (is_late)
            return zb_fail(zb, ZB_TIMEOUT, "the job still runs");
        zb->source->ops->pause(zb->source,
                               self->timeout_ms < 0 || left > LOOK_MS ? LOOK_MS : (int) left);
    }
}

int
cmd_wait(struct zb *zb, int argc, char **argv)
{
    struct wait self = { .timeout_ms = -1 };
    bool is_over;
    int code = zb_parse(zb, argc, argv, parse, &self, &is_over);
    if (!is_over)
        code = zb_open(zb);
    if (is_over || code != ZB_DONE)
        return code;
    code = zb_find_job(zb, self.spec ? self.spec : "latest", self.ulid);
    return code == ZB_DONE ? wait_for(zb, &self) : code;
}

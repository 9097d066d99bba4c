/* cmd_ci.c - zb ci env: which slot of which CI step this would be, and by which variables. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/ci/ci.h"
#include "zb/zb.h"

struct request {
    struct zb *zb;
    const char *what, *job;
};

const struct argp_option cmd_ci_options[] = {
    { "job", 'j', "KEY", 0, "as if --dagz-job=KEY were given", 0 },
    { 0 },
};

static error_t
parse(int key, char *arg, struct argp_state *state)
{
    struct request *self = state->input;
    switch (key) {
    case 'j': self->job = arg; return 0;
    case ARGP_KEY_ARG:
        if (self->what)
            return zb_parse_nothing(key, arg, state);
        if (strcmp(arg, "env") != 0) {
            (void) fprintf(stderr, "%s: knows 'env', not '%s'\n", state->name, arg);
            return EINVAL;
        }
        self->what = arg;
        return 0;
    case ARGP_KEY_END:
        if (self->what)
            return 0;
        (void) fprintf(stderr, "%s: what about it? 'zb ci env' shows what is detected\n",
                       state->name);
        return EINVAL;
    default: return ARGP_ERR_UNKNOWN;
    }
}

static const char *
from_environment(void *arg, const char *name)
{
    (void) arg;
    return getenv(name); /* NOLINT(concurrency-mt-unsafe): one thread */
}

static const char *
source_of(const struct dz_ci *ci, const char *what)
{
    for (unsigned i = 0; i < ci->fact_count; i++)
        if (strcmp(ci->facts[i].what, what) == 0)
            return ci->facts[i].from;
    return NULL;
}

static void
say_row(struct zb *zb, const struct dz_ci *ci, const char *what, const char *value)
{
    const char *from = source_of(ci, what);
    if (!value || !from)
        return;
    zb_say(zb, "  %-9s ", what);
    int used = zb_text(zb, dz_str(value), 0);
    zb_tint(zb, ZB_DIM);
    zb_pad(zb, used < 28 ? 28 - used : 0);
    zb_say(zb, "  %s", from);
    zb_tint(zb, ZB_PLAIN);
    zb_say(zb, "\n");
}

static void
say(struct zb *zb, const struct dz_ci *ci)
{
    char slot[ZB_WORD] = "", attempt[ZB_WORD] = "";
    (void) snprintf(slot, sizeof(slot), "%u of %u", ci->slot + 1, ci->total);
    (void) snprintf(attempt, sizeof(attempt), "%u", ci->attempt);
    zb_tint(zb, ZB_BOLD);
    zb_say(zb, "%s", ci->title);
    zb_tint(zb, ZB_PLAIN);
    zb_say(zb, ci->key ? ": runs with the same key join one job\n" : ": a run here joins nobody\n");
    say_row(zb, ci, "pipeline", ci->pipeline);
    say_row(zb, ci, "step", ci->step);
    say_row(zb, ci, "slot", slot);
    say_row(zb, ci, "job", ci->job);
    say_row(zb, ci, "attempt", attempt);
    say_row(zb, ci, "commit", ci->commit);
    say_row(zb, ci, "key", ci->key);
    if (ci->key && !source_of(ci, "key"))
        zb_say(zb, "  %-9s %s\n", "key", ci->key);
    if (!ci->key && !*ci->provider)
        zb_prose(zb, "  --dagz-job=KEY or DAGZ_JOB_KEY makes runs with the same key one job\n");
}

/* null: not known */
static void
write_text(struct zb *zb, const char *key, const char *text)
{
    if (text && *text) {
        jot_text(&zb->out, key, text);
        return;
    }
    jot_key(&zb->out, key);
    zb_put(zb, dz_str("null"));
}

static void
write_json(struct zb *zb, const struct dz_ci *ci)
{
    jot_open(&zb->out, '{');
    jot_text(&zb->out, "schema", zb->command->schema);
    write_text(zb, "provider", ci->provider);
    write_text(zb, "key", ci->key);
    write_text(zb, "pipeline", ci->pipeline);
    write_text(zb, "step", ci->step);
    write_text(zb, "job", ci->job);
    write_text(zb, "commit", ci->commit);
    jot_int(&zb->out, "attempt", ci->attempt);
    jot_int(&zb->out, "slot", ci->slot);
    jot_int(&zb->out, "total", ci->total);
    write_text(zb, "problem", ci->problem);
    jot_key(&zb->out, "from");
    jot_open(&zb->out, '{');
    for (unsigned i = 0; i < ci->fact_count; i++)
        jot_text(&zb->out, ci->facts[i].what, ci->facts[i].from);
    jot_close(&zb->out, '}');
    jot_close(&zb->out, '}');
    jot_end(&zb->out);
}

int
cmd_ci(struct zb *zb, int argc, char **argv)
{
    struct request request = { .zb = zb };
    bool is_over;
    int code = zb_parse(zb, argc, argv, parse, &request, &is_over);
    if (is_over)
        return code;
    DZ_AUTO(dz_ci_fini) struct dz_ci ci = { 0 };
    dz_ci_detect(from_environment, NULL, request.job, &ci);
    if (zb->is_json)
        write_json(zb, &ci);
    else
        say(zb, &ci);
    if (*ci.problem && !zb->is_json) {
        zb_flush(zb);
        return zb_fail(zb, ZB_FAILED, "%s", ci.problem);
    }
    return *ci.problem ? ZB_FAILED : ZB_DONE;
}

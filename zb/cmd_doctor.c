/* cmd_doctor.c - zb doctor: what is wrong here, and what to do about it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "zb/doctor.h"

enum { NAME_COLUMNS = 12 };

const struct argp_option cmd_doctor_options[] = {
    { "store", 's', NULL, 0, "read all of the local store and compare it with itself", 0 },
    { "repair", 'r', NULL, 0, "with --store: put right what is wrong there", 0 },
    { 0 },
};

struct asked {
    bool store, repair;
};

static error_t
parse(int key, char *arg, struct argp_state *state)
{
    struct asked *self = state->input;
    switch (key) {
    case 's': self->store = true; return 0;
    case 'r': self->repair = true; return 0;
    case ARGP_KEY_END:
        if (!self->repair || self->store)
            return 0;
        (void) fprintf(stderr, "%s: --repair is for --store\n", state->name);
        return EINVAL;
    default: return zb_parse_nothing(key, arg, state);
    }
}

/* ---- findings ---- */

static void
say(struct doctor *self, enum finding finding, const char *name, const char *text,
    const char *advice)
{
    static const struct {
        const char *word, *mark;
        enum zb_tint tint;
    } kinds[] = { [FINDING_OK] = { "ok", "ok", ZB_GREEN },
                  [FINDING_NOTE] = { "note", "-", ZB_DIM },
                  [FINDING_WARNING] = { "warning", "?", ZB_YELLOW },
                  [FINDING_WRONG] = { "wrong", "!!", ZB_RED } };
    struct zb *zb = self->zb;
    self->wrong += finding == FINDING_WRONG;
    self->warnings += finding == FINDING_WARNING;
    if (zb->is_json) {
        jot_open(&zb->out, '{');
        jot_text(&zb->out, "name", name);
        jot_text(&zb->out, "status", kinds[finding].word);
        jot_text(&zb->out, "text", text);
        if (*advice)
            jot_text(&zb->out, "advice", advice);
        jot_close(&zb->out, '}');
        return;
    }
    zb_tint(zb, kinds[finding].tint);
    zb_say(zb, "%-2s", kinds[finding].mark);
    zb_tint(zb, ZB_PLAIN);
    zb_say(zb, "  %-*s ", NAME_COLUMNS, name);
    zb_fold(zb, text, NAME_COLUMNS + 5);
    if (*advice) {
        zb_pad(zb, NAME_COLUMNS + 5);
        zb_fold(zb, advice, NAME_COLUMNS + 5);
    }
}

void
doctor_say(struct doctor *self, enum finding finding, const char *name, const char *advice,
           const char *fmt, ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    (void) vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    say(self, finding, name, text, advice ? advice : "");
}

/* ---- the command ---- */

int
cmd_doctor(struct zb *zb, int argc, char **argv)
{
    struct doctor self = { .zb = zb };
    bool is_over;
    struct asked asked = { .store = false };
    int code = zb_parse(zb, argc, argv, parse, &asked, &is_over);
    if (is_over)
        return code;
    if (zb->is_json) {
        jot_open(&zb->out, '{');
        jot_text(&zb->out, "schema", zb->command->schema);
        jot_key(&zb->out, "checks");
        jot_open(&zb->out, '[');
    }
    if (asked.store) {
        doctor_look_through_store(&self, asked.repair);
    } else {
        doctor_look_at_programs(&self);
        doctor_look_at_home(&self);
        doctor_look_at_machine(&self);
        doctor_look_at_project(&self);
    }
    if (zb->is_json) {
        jot_close(&zb->out, ']');
        jot_bool(&zb->out, "ok", self.wrong == 0);
        jot_close(&zb->out, '}');
        jot_end(&zb->out);
    } else if (self.wrong + self.warnings == 0) {
        zb_say(zb, "\nNothing is wrong.\n");
    } else {
        zb_say(zb, "\n%u wrong, %u to think about.\n", self.wrong, self.warnings);
    }
    return self.wrong > 0 ? ZB_FAILED : ZB_DONE;
}

/* args.c - argp, with errors and help in our own words. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "zb/zb.h"

enum { NAMES_MAX = 64, KEY_NO_PAGER = 0x200, KEY_URL, SPAN_MAX = 1000000000 };

const struct argp_option zb_common_options[] = {
    { "json", 'J', NULL, 0, "write JSON instead of text", 0 },
    { "color", 'c', "WHEN", OPTION_ARG_OPTIONAL, "auto, always (also without WHEN) or never", 0 },
    { "no-pager", KEY_NO_PAGER, NULL, 0, "do not show long output in a pager", 0 },
    { "directory", 'C', "DIR", 0, "the project is that of DIR, not of the current folder", 0 },
    { "url", KEY_URL, "URL", 0, "ask the server there (DAGZ_URL), not the store of this machine",
      0 },
    { "help", 'h', NULL, 0, "this text", 0 },
    { 0 },
};

const struct argp_option *
zb_common_of(const struct zb_command *command)
{
    return command->schema ? zb_common_options : zb_common_options + 1;
}

static error_t
parse_common(int key, char *arg, struct argp_state *state)
{
    struct zb *zb = state->input;
    switch (key) {
    case 'J': zb->is_json = true; return 0;
    case 'h': zb->is_help = true; return 0;
    case KEY_NO_PAGER: zb->is_unpaged = true; return 0;
    case KEY_URL: zb->url = arg; return 0;
    case 'C': zb->dir = arg; return 0;
    case 'c':
        zb->color = arg ? arg : "always";
        if (strcmp(zb->color, "auto") == 0 || strcmp(zb->color, "always") == 0 ||
            strcmp(zb->color, "never") == 0)
            return 0;
        (void) fprintf(stderr, "%s: --color is auto, always or never, not '%s'\n", state->name,
                       arg);
        return EINVAL;
    default: return ARGP_ERR_UNKNOWN;
    }
}

error_t
zb_parse_nothing(int key, char *arg, struct argp_state *state)
{
    if (key != ARGP_KEY_ARG)
        return ARGP_ERR_UNKNOWN;
    (void) fprintf(stderr, "%s: takes no '%s'; see 'zb help%s'\n", state->name, arg,
                   strchr(state->name, ' '));
    return EINVAL;
}

bool
zb_read_span(const char *text, int64_t *ms_out)
{
    static const struct {
        const char *unit;
        double ms;
    } units[] = { { "", 1e3 }, { "s", 1e3 }, { "ms", 1 }, { "m", 60e3 }, { "h", 3600e3 } };
    char *end = NULL;
    double number = strtod(text, &end);
    if (*text < '0' || *text > '9' || !(number < SPAN_MAX))
        return false;
    for (size_t i = 0; i < DZ_LEN(units); i++) {
        if (strcmp(end, units[i].unit) == 0) {
            *ms_out = (int64_t) (number * units[i].ms);
            return true;
        }
    }
    return false;
}

/* ---- parsing ---- */

struct inputs {
    struct zb *zb;
    argp_parser_t own;
    void *own_input;
};

static error_t
parse_any(int key, char *arg, struct argp_state *state)
{
    struct inputs *inputs = state->input;
    if (key == ARGP_KEY_INIT)
        state->err_stream = NULL; /* we say enough */
    state->input = inputs->zb;
    error_t code = parse_common(key, arg, state);
    bool is_moot = inputs->zb->is_help && key == ARGP_KEY_END; /* what is missing does not matter */
    if (code == ARGP_ERR_UNKNOWN && !is_moot) {
        state->input = inputs->own_input;
        code = inputs->own(key, arg, state);
    }
    state->input = inputs;
    return code;
}

int
zb_parse(struct zb *self, int argc, char **argv, argp_parser_t parse, void *input,
         bool *is_over_out)
{
    char name[ZB_WORD];
    struct argp_option options[NAMES_MAX] = { { 0 } };
    size_t count = 0;
    for (const struct argp_option *o = self->command->options; o && o->name; o++)
        options[count++] = *o;
    for (const struct argp_option *o = zb_common_of(self->command); o->name; o++)
        options[count++] = *o;
    dz_assert(count < NAMES_MAX);

    struct inputs inputs = { self, parse, input };
    struct argp argp = { .options = options, .parser = parse_any };
    (void) snprintf(name, sizeof(name), "zb %s", self->command->name);
    argv[0] = name;
    *is_over_out = true;
    int code = zb_check_options(self, options, argc, argv);
    if (code != ZB_DONE)
        return code;
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): one thread */
    if (argp_parse(&argp, argc, argv, ARGP_NO_EXIT | ARGP_NO_HELP, NULL, &inputs) != 0)
        return ZB_USAGE; /* what was wrong is said */
    zb_out_init(self);
    if (self->is_help)
        zb_help_of(self, self->command);
    *is_over_out = self->is_help;
    return ZB_DONE;
}

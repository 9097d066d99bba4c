/* mistakes.c - an option that a command does not have, or without the value that it wants: one line
 * that names it, and the nearest one.  argp would say only half of that, in several lines. */
#include <stdio.h>
#include <string.h>

#include "shared/conf/conf.h"
#include "zb/zb.h"

enum { NAMES_MAX = 64 };

struct words {
    struct zb *zb;
    const struct argp_option *options; /* all that the command takes */
    int argc, at;
    char **argv;
};

static bool
wants_value(const struct argp_option *option)
{
    return option->arg && !(option->flags & OPTION_ARG_OPTIONAL);
}

/* ---- what is told ---- */

static int
tell(const struct words *self, const char *what, const char *near)
{
    const char *name = self->zb->command->name;
    if (near)
        return zb_fail(self->zb, ZB_USAGE, "%s; did you mean --%s?", what, near);
    return zb_fail(self->zb, ZB_USAGE, "%s; see 'zb help %s'", what, name);
}

static int
refuse_long(const struct words *self, const char *word)
{
    char what[ZB_WORD * 2];
    const char *names[NAMES_MAX];
    size_t count = 0;
    for (const struct argp_option *o = self->options; o->name && count < NAMES_MAX; o++)
        names[count++] = o->name;
    (void) snprintf(what, sizeof(what), "there is no option --%s", word);
    return tell(self, what, dz_nearest(word, names, count));
}

static int
refuse_value(const struct words *self, const struct argp_option *option, const char *value)
{
    if (value)
        return zb_fail(self->zb, ZB_USAGE, "--%s takes no value, such as '%.40s'", option->name,
                       value);
    return zb_fail(self->zb, ZB_USAGE, "--%s wants a value: --%s=%s", option->name, option->name,
                   option->arg);
}

/* ---- looking ---- */

static bool
is_last(const struct words *self)
{
    return self->at + 1 == self->argc;
}

/* "--name", "--name=value", or a beginning of the name that only one has. */
static int
check_long(struct words *self, const char *text)
{
    char word[ZB_WORD];
    const struct argp_option *found = NULL, *other = NULL;
    const char *equals = strchr(text, '=');
    (void) snprintf(word, sizeof(word), "%.*s", (int) strcspn(text, "="), text);
    for (const struct argp_option *o = self->options; o->name; o++) {
        if (strncmp(o->name, word, strlen(word)) != 0)
            continue;
        bool is_it = strcmp(o->name, word) == 0;
        other = found && !is_it ? o : NULL;
        found = is_it || !found ? o : found;
        if (is_it || other)
            break;
    }
    if (!found || !*word)
        return refuse_long(self, word);
    if (other)
        return zb_fail(self->zb, ZB_USAGE, "--%s is short for --%s and for --%s", word, found->name,
                       other->name);
    if (equals && !found->arg)
        return refuse_value(self, found, equals + 1);
    if (!equals && wants_value(found)) {
        if (is_last(self))
            return refuse_value(self, found, NULL);
        self->at++;
    }
    return ZB_DONE;
}

/* "-x", "-xyz", "-n5", "-n 5" */
static int
check_letters(struct words *self, const char *text)
{
    for (; *text; text++) {
        char what[ZB_WORD];
        const struct argp_option *o = self->options;
        while (o->name && o->key != *text)
            o++;
        (void) snprintf(what, sizeof(what), "there is no option -%c", *text);
        if (!o->name)
            return tell(self, what, NULL);
        if (wants_value(o) && !text[1] && is_last(self))
            return refuse_value(self, o, NULL);
        self->at += wants_value(o) && !text[1];
        if (o->arg)
            return ZB_DONE;
    }
    return ZB_DONE;
}

int
zb_check_options(struct zb *zb, const struct argp_option *options, int argc, char **argv)
{
    struct words self = { .zb = zb, .options = options, .argc = argc, .argv = argv };
    int code = ZB_DONE;
    for (self.at = 1; self.at < argc && code == ZB_DONE; self.at++) {
        const char *text = argv[self.at];
        if (strcmp(text, "--") == 0)
            break;
        if (strncmp(text, "--", 2) == 0)
            code = check_long(&self, text + 2);
        else if (text[0] == '-')
            code = check_letters(&self, text + 1);
    }
    return code;
}

/* manual.c - manual pages and the documentation's list of commands, from the table. */
#include <ctype.h>
#include <string.h>

#include "zb/zb.h"

/* ---- roff ---- */

/* Text whose lines cannot be taken for requests, with hyphens that can be copied. */
static void
man_text(struct zb *zb, struct dz_slice text)
{
    bool is_first = true;
    for (size_t i = 0; i < text.len; i++) {
        char c = (char) text.ptr[i];
        if (is_first && (c == '.' || c == '\''))
            zb_put(zb, dz_str("\\&"));
        if (c == '\\')
            zb_put(zb, dz_str("\\e"));
        else if (c == '-')
            zb_put(zb, dz_str("\\-"));
        else
            zb_put(zb, (struct dz_slice){ text.ptr + i, 1 });
        is_first = c == '\n';
    }
}

static void
man_line(struct zb *zb, const char *text)
{
    man_text(zb, dz_str(text));
    zb_put(zb, dz_str("\n"));
}

static void
man_head(struct zb *zb, const char *name, const char *summary)
{
    char upper[ZB_WORD];
    size_t len = 0;
    for (; name[len] && len + 1 < sizeof(upper); len++)
        upper[len] = (char) toupper((unsigned char) name[len]);
    upper[len] = '\0';
    zb_say(zb, ".TH %s 1 \"\" \"dagz %s\" \"dagz\"\n.SH NAME\n", upper, DZ_VERSION_TEXT);
    man_line(zb, name);
    zb_say(zb, "\\- ");
    man_line(zb, summary);
}

static void
man_options(struct zb *zb, const struct argp_option *option)
{
    for (; option && option->name; option++) {
        char text[ZB_WORD];
        zb_option_text(text, option);
        zb_say(zb, ".TP\n.B ");
        man_line(zb, text + strspn(text, " "));
        man_line(zb, option->doc);
    }
}

/* Lines of help that are laid out by hand. */
static void
man_block(struct zb *zb, const char *text)
{
    zb_say(zb, ".nf\n");
    man_text(zb, dz_str(text));
    zb_say(zb, ".fi\n");
}

static void
man_exit_codes(struct zb *zb)
{
    zb_say(zb, ".SH EXIT STATUS\n");
    for (const struct zb_exit_code *c = zb_exit_codes; c->meaning; c++) {
        zb_say(zb, ".TP\n.B %d\n", c->code);
        man_line(zb, c->meaning);
    }
}

void
zb_man_of(struct zb *self, const struct zb_command *command)
{
    char name[ZB_WORD] = "zb-";
    (void) strncat(name, command->name, sizeof(name) - strlen(name) - 1);
    man_head(self, name, command->summary);
    zb_say(self, ".SH SYNOPSIS\n.B zb %s\n[OPTION...] ", command->name);
    man_line(self, command->args ? command->args : "");
    zb_say(self, ".SH DESCRIPTION\n");
    man_line(self, command->doc);
    zb_say(self, ".SH OPTIONS\n");
    man_options(self, command->options);
    man_options(self, zb_common_of(command));
    if (command->schema)
        zb_say(self,
               ".SH JSON\nWith \\-\\-json: %s%s; 'zb help \\-\\-schema %s' prints its schema.\n",
               command->schema, command->kind & ZB_STREAM ? ", one document a line" : "",
               command->name);
    man_exit_codes(self);
    if (command->examples) {
        zb_say(self, ".SH EXAMPLES\n");
        man_block(self, command->examples);
    }
    zb_say(self, ".SH SEE ALSO\n.BR zb (1)\n");
}

void
zb_man_all(struct zb *self)
{
    man_head(self, "zb", "what happened in runs of 'pytest --dagz'");
    zb_say(self, ".SH SYNOPSIS\n.B zb\nCOMMAND [OPTION...] [ARGUMENT...]\n.SH COMMANDS\n");
    for (size_t i = 0; i < self->command_count; i++) {
        zb_say(self, ".TP\n.BR zb\\-%s (1)\n", self->commands[i].name);
        man_line(self, self->commands[i].summary);
    }
    for (const struct zb_topic *topic = zb_topics; topic->name; topic++) {
        if (!topic->text)
            continue;
        zb_say(self, ".SH ");
        for (const char *c = topic->title; *c; c++)
            zb_say(self, "%c", toupper((unsigned char) *c));
        zb_say(self, "\n");
        man_block(self, topic->text);
    }
    zb_say(self, ".SH OPTIONS\nEvery command has these:\n");
    man_options(self, zb_common_options);
    man_exit_codes(self);
}

/* ---- markdown ---- */

/* A cell of a table: bars would end it. */
static void
cell(struct zb *zb, const char *text)
{
    for (; *text; text++)
        zb_say(zb, *text == '|' ? "\\%c" : "%c", *text);
}

void
zb_markdown(struct zb *self)
{
    zb_say(self, "| command | what |\n|---|---|\n");
    for (size_t i = 0; i < self->command_count; i++) {
        const struct zb_command *c = &self->commands[i];
        zb_say(self, "| `zb %s%s", c->name, c->args ? " " : "");
        cell(self, c->args ? c->args : "");
        for (const struct argp_option *o = c->options; o && o->name; o++) {
            bool is_optional = o->flags & OPTION_ARG_OPTIONAL;
            zb_say(self, " [--%s%s%s%s]", o->name,
                   !o->arg       ? ""
                   : is_optional ? "[="
                                 : "=",
                   o->arg ? o->arg : "", o->arg && is_optional ? "]" : "");
        }
        zb_say(self, "` | ");
        cell(self, c->summary);
        zb_say(self, " |\n");
    }
}

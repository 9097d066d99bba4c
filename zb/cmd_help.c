/* cmd_help.c - zb help: everything from the table of commands, and a few topics. */
#include <stdio.h>
#include <string.h>

#include "shared/conf/conf.h"
#include "zb/zb.h"

enum { NAME_COLUMNS = 10, OPTION_COLUMNS = 24, NAMES_MAX = 64 };

static const struct {
    const char *name, *title, *text;
} TOPICS[] = {
    { "names", "how jobs are named",
      "Wherever a command wants a JOB, these work:\n"
      "\n"
      "  latest            the newest job of this project (also when JOB is left out)\n"
      "  @{-1}             the one before it, and so on\n"
      "  j10               the tenth job of today, in the project's time zone\n"
      "  j1201.1           the first one of 1 December, the most recent such day\n"
      "  j2025-1201.1      of that year\n"
      "  01KHX3            the beginning of its long id, if only one begins so\n"
      "  HEAD~2, v1.0      a git revision: the newest job at that commit\n" },
    { "query", "which tests 'zb tests' shows",
      "All terms must hold; not: in front turns one round.\n"
      "\n"
      "  text              the node id has this text, in either case\n"
      "  outcome:failed    ok, passed, flaky, failed (crashes and timeouts too), crashed,\n"
      "                    timeout, skipped, xfail, xpass, redundant, notrun; several with commas\n"
      "  duration:>1s      setup, call and teardown together; > >= < <= =, us ms s m h\n"
      "  module:api        the file's path has this text\n"
      "  worker:jw0        the deciding run was there\n"
      "  runs:>1           executions, history too\n"
      "  not:text          any of these, turned round: not:outcome:ok\n" },
    { "exit-codes", "what the exit codes mean",
      "  0  done\n"
      "  1  what was asked about failed\n"
      "  2  usage\n"
      "  3  the store cannot be reached or read\n"
      "  4  not allowed\n"
      "  5  not found\n"
      "  6  the store was written by another version\n"
      "  7  timed out\n" },
    { "environment", "variables that zb reads",
      "  DAGZ_HOME         where the store is, ~/.dagz by default\n"
      "  NO_COLOR          no colours unless --color=always\n"
      "  FORCE_COLOR       colours even into a pipe; CLICOLOR_FORCE is the same\n" },
};

static void
options(struct zb *zb, const struct argp_option *option)
{
    for (; option && option->name; option++) {
        char text[ZB_WORD];
        (void) snprintf(text, sizeof(text), "-%c, --%s%s%s", option->key, option->name,
                        option->arg ? "=" : "", option->arg ? option->arg : "");
        zb_say(zb, "  %-*s %s\n", OPTION_COLUMNS, text, option->doc);
    }
}

void
zb_help_of(struct zb *self, const struct zb_command *command)
{
    zb_say(self, "usage: zb %s [OPTION...]%s%s\n\n", command->name, command->args ? " " : "",
           command->args ? command->args : "");
    zb_say(self, "%s\n", command->doc);
    zb_say(self, "\noptions:\n");
    options(self, command->options);
    options(self, zb_common_options);
    if (command->schema)
        zb_say(self, "\n--json writes %s%s.\n", command->schema,
               command->is_stream ? ", one document a line" : "");
    if (command->examples)
        zb_say(self, "\nexamples:\n%s", command->examples);
}

void
zb_help_all(struct zb *self)
{
    zb_say(self, "zb shows what happened in runs of 'pytest --dagz'.\n\n");
    zb_say(self, "usage: zb COMMAND [OPTION...] [ARGUMENT...]\n\ncommands:\n");
    for (size_t i = 0; i < self->command_count; i++)
        zb_say(self, "  %-*s %s\n", NAME_COLUMNS, self->commands[i].name,
               self->commands[i].summary);
    zb_say(self, "\ntopics:\n");
    for (size_t i = 0; i < DZ_LEN(TOPICS); i++)
        zb_say(self, "  %-*s %s\n", NAME_COLUMNS, TOPICS[i].name, TOPICS[i].title);
    zb_say(self, "\n'zb help COMMAND' and 'zb help TOPIC' tell more.\n");
}

static void
json_options(struct zb *zb, const struct argp_option *option)
{
    for (; option && option->name; option++) {
        char letter[2] = { (char) option->key, '\0' };
        jot_open(&zb->out, '{');
        jot_text(&zb->out, "name", option->name);
        jot_text(&zb->out, "letter", letter);
        if (option->arg)
            jot_text(&zb->out, "argument", option->arg);
        jot_text(&zb->out, "help", option->doc);
        jot_close(&zb->out, '}');
    }
}

static void
json_all(struct zb *zb)
{
    jot_open(&zb->out, '{');
    jot_text(&zb->out, "schema", zb->command->schema);
    jot_key(&zb->out, "commands");
    jot_open(&zb->out, '[');
    for (size_t i = 0; i < zb->command_count; i++) {
        const struct zb_command *c = &zb->commands[i];
        jot_open(&zb->out, '{');
        jot_text(&zb->out, "name", c->name);
        jot_text(&zb->out, "arguments", c->args ? c->args : "");
        jot_text(&zb->out, "summary", c->summary);
        jot_text(&zb->out, "help", c->doc);
        if (c->schema)
            jot_text(&zb->out, "json_schema", c->schema);
        jot_bool(&zb->out, "json_stream", c->is_stream);
        jot_key(&zb->out, "options");
        jot_open(&zb->out, '[');
        json_options(zb, c->options);
        json_options(zb, zb_common_options);
        jot_close(&zb->out, ']');
        jot_close(&zb->out, '}');
    }
    jot_close(&zb->out, ']');
    jot_close(&zb->out, '}');
    jot_end(&zb->out);
}

static error_t
parse(int key, char *arg, struct argp_state *state)
{
    const char **topic = state->input;
    if (key != ARGP_KEY_ARG || *topic)
        return zb_parse_nothing(key, arg, state);
    *topic = arg;
    return 0;
}

static int
help_on(struct zb *zb, const char *topic)
{
    const char *names[NAMES_MAX];
    size_t count = 0;
    for (size_t i = 0; i < zb->command_count; i++) {
        names[count++] = zb->commands[i].name;
        if (strcmp(zb->commands[i].name, topic) == 0) {
            zb_help_of(zb, &zb->commands[i]);
            return ZB_DONE;
        }
    }
    for (size_t i = 0; i < DZ_LEN(TOPICS); i++) {
        names[count++] = TOPICS[i].name;
        if (strcmp(TOPICS[i].name, topic) == 0) {
            zb_say(zb, "%s\n", TOPICS[i].text);
            return ZB_DONE;
        }
    }
    const char *near = dz_nearest(topic, names, count);
    if (near)
        return zb_fail(zb, ZB_USAGE, "there is no help on '%s'; did you mean '%s'?", topic, near);
    return zb_fail(zb, ZB_USAGE, "there is no help on '%s'", topic);
}

int
cmd_help(struct zb *zb, int argc, char **argv)
{
    const char *topic = NULL;
    bool is_over;
    int code = zb_parse(zb, argc, argv, parse, &topic, &is_over);
    if (is_over)
        return code;
    if (topic)
        return help_on(zb, topic);
    if (zb->is_json)
        json_all(zb);
    else
        zb_help_all(zb);
    return ZB_DONE;
}

/* cmd_help.c - zb help: everything from the table of commands, and a few topics. */
#include <stdio.h>
#include <string.h>

#include "shared/conf/conf.h"
#include "zb/zb.h"

enum { NAME_COLUMNS = 11, OPTION_COLUMNS = 24, NAMES_MAX = 64 };

const struct zb_exit_code zb_exit_codes[] = {
    { ZB_DONE, "done" },
    { ZB_FAILED, "what was asked about failed" },
    { ZB_USAGE, "usage" },
    { ZB_NO_STORE, "the store cannot be reached or read" },
    { ZB_DENIED, "not allowed" },
    { ZB_ABSENT, "not found: no such job or test, or nothing has run yet" },
    { ZB_VERSION, "the store or server is of another version" },
    { ZB_TIMEOUT, "timed out" },
    { 0, NULL },
};

const struct zb_topic zb_topics[] = {
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
      "  outcome:failed    ok, passed, flaky, failed (crashes and timeouts too),\n"
      "                    crashed, timeout, skipped, xfail, xpass, redundant, notrun;\n"
      "                    several with commas\n"
      "  duration:>1s      setup, call and teardown together; > >= < <= =, us ms s m h\n"
      "  module:api        the file's path has this text\n"
      "  worker:jw0        the deciding run was there; gw0 is the same, n2.jw0 a node's\n"
      "  runs:>1           executions, history too\n"
      "  not:text          any of these, turned round: not:outcome:ok\n" },
    { "environment", "variables that zb reads",
      "  DAGZ_HOME         where the store is, ~/.dagz by default\n"
      "  DAGZ_URL          the server to ask instead\n"
      "  ZB_PAGER, PAGER   what long output is shown with on a terminal, less by\n"
      "                    default; empty or cat: nothing\n"
      "  LESS              FRX unless set: one screen is printed as without a pager\n"
      "  DAGZ_TOKEN        the key to the server; or DAGZ_TOKEN_FILE, a file with it\n"
      "  SSL_CERT_FILE     certificates that a server's may be signed by, in place of\n"
      "                    the system's\n"
      "  NO_COLOR          no colours unless --color=always\n"
      "  FORCE_COLOR       colours even into a pipe; CLICOLOR_FORCE is the same\n" },
    { "exit-codes", "what the exit codes mean", NULL },
    { NULL, NULL, NULL },
};

void
zb_option_text(char out[ZB_WORD], const struct argp_option *option)
{
    bool is_optional = option->flags & OPTION_ARG_OPTIONAL;
    char letter[] = "    ";
    if (option->key > ' ' && option->key < 0x7f)
        (void) snprintf(letter, sizeof(letter), "-%c, ", option->key);
    (void) snprintf(out, ZB_WORD, "%.4s--%s%s%s%s", letter, option->name,
                    !option->arg  ? ""
                    : is_optional ? "[="
                                  : "=",
                    option->arg ? option->arg : "", option->arg && is_optional ? "]" : "");
}

static void
options(struct zb *zb, const struct argp_option *option)
{
    for (; option && option->name; option++) {
        char text[ZB_WORD], line[4 * ZB_WORD];
        zb_option_text(text, option);
        (void) snprintf(line, sizeof(line), "  %-*s %s\n", OPTION_COLUMNS, text, option->doc);
        zb_prose(zb, line);
    }
}

void
zb_help_of(struct zb *self, const struct zb_command *command)
{
    char line[4 * ZB_WORD];
    (void) snprintf(line, sizeof(line), "usage: zb %s [OPTION...]%s%s\n\n", command->name,
                    command->args ? " " : "", command->args ? command->args : "");
    zb_prose(self, line);
    zb_prose(self, command->doc);
    zb_say(self, "\noptions:\n");
    options(self, command->options);
    options(self, zb_common_of(command));
    if (command->schema) {
        (void) snprintf(line, sizeof(line), "\n--json writes %s%s.\n", command->schema,
                        (command->kind & ZB_STREAM) ? ", one document a line" : "");
        zb_prose(self, line);
    }
    if (command->examples) {
        zb_say(self, "\nexamples:\n");
        zb_prose(self, command->examples);
    }
}

void
zb_help_all(struct zb *self)
{
    zb_prose(self, "zb shows what happened in runs of 'pytest --dagz'.\n\n"
                   "usage: zb COMMAND [OPTION...] [ARGUMENT...]\n\n");
    zb_say(self, "commands:\n");
    for (size_t i = 0; i < self->command_count; i++) {
        zb_say(self, "  %-*s ", NAME_COLUMNS, self->commands[i].name);
        zb_fold(self, self->commands[i].summary, NAME_COLUMNS + 3);
    }
    zb_say(self, "\ntopics:\n");
    for (const struct zb_topic *topic = zb_topics; topic->name; topic++) {
        zb_say(self, "  %-*s ", NAME_COLUMNS, topic->name);
        zb_fold(self, topic->title, NAME_COLUMNS + 3);
    }
    zb_prose(self, "\n'zb help COMMAND' and 'zb help TOPIC' tell more.\n");
}

static void
json_options(struct zb *zb, const struct argp_option *option)
{
    for (; option && option->name; option++) {
        char letter[2] = { (char) option->key, '\0' };
        jot_open(&zb->out, '{');
        jot_text(&zb->out, "name", option->name);
        if (option->key > ' ' && option->key < 0x7f)
            jot_text(&zb->out, "letter", letter);
        if (option->arg)
            jot_text(&zb->out, "argument", option->arg);
        jot_text(&zb->out, "help", option->doc);
        jot_close(&zb->out, '}');
    }
}

static void
json_command(struct zb *zb, const struct zb_command *c)
{
    jot_open(&zb->out, '{');
    jot_text(&zb->out, "name", c->name);
    jot_text(&zb->out, "arguments", c->args ? c->args : "");
    jot_text(&zb->out, "summary", c->summary);
    jot_text(&zb->out, "help", c->doc);
    if (c->examples)
        jot_text(&zb->out, "examples", c->examples);
    if (c->schema)
        jot_text(&zb->out, "json_schema", c->schema);
    jot_bool(&zb->out, "json_stream", c->kind & ZB_STREAM);
    jot_key(&zb->out, "options");
    jot_open(&zb->out, '[');
    json_options(zb, c->options);
    json_options(zb, zb_common_of(c));
    jot_close(&zb->out, ']');
    jot_close(&zb->out, '}');
}

static void
json_all(struct zb *zb)
{
    struct dz_buf *out = &zb->out;
    jot_open(out, '{');
    jot_text(out, "schema", zb->command->schema);
    jot_key(out, "commands");
    jot_open(out, '[');
    for (size_t i = 0; i < zb->command_count; i++)
        json_command(zb, &zb->commands[i]);
    jot_close(out, ']');
    jot_key(out, "exit_codes");
    jot_open(out, '[');
    for (const struct zb_exit_code *code = zb_exit_codes; code->meaning; code++) {
        jot_open(out, '{');
        jot_int(out, "code", code->code);
        jot_text(out, "meaning", code->meaning);
        jot_close(out, '}');
    }
    jot_close(out, ']');
    jot_key(out, "topics");
    jot_open(out, '[');
    for (const struct zb_topic *topic = zb_topics; topic->name; topic++) {
        jot_open(out, '{');
        jot_text(out, "name", topic->name);
        jot_text(out, "title", topic->title);
        jot_text(out, "text", topic->text ? topic->text : "");
        jot_close(out, '}');
    }
    jot_close(out, ']');
    jot_close(out, '}');
    jot_end(out);
}

/* ---- the command ---- */

enum form { FORM_TEXT, FORM_SCHEMA, FORM_MAN, FORM_MARKDOWN };

const struct argp_option cmd_help_options[] = {
    { "schema", 's', NULL, 0, "the JSON schema of a command's --json", 0 },
    { "man", 'm', NULL, 0, "the manual page (roff)", 0 },
    { "markdown", 'd', NULL, 0, "the commands as in docs/user/zb.md", 0 },
    { 0 },
};

struct request {
    const char *topic;
    enum form form;
};

static error_t
parse(int key, char *arg, struct argp_state *state)
{
    struct request *self = state->input;
    switch (key) {
    case 's': self->form = FORM_SCHEMA; return 0;
    case 'm': self->form = FORM_MAN; return 0;
    case 'd': self->form = FORM_MARKDOWN; return 0;
    default: break;
    }
    if (key != ARGP_KEY_ARG || self->topic)
        return zb_parse_nothing(key, arg, state);
    self->topic = arg;
    return 0;
}

static int
refuse(struct zb *zb, const char *topic)
{
    const char *names[NAMES_MAX];
    size_t count = 0;
    for (size_t i = 0; i < zb->command_count; i++)
        names[count++] = zb->commands[i].name;
    for (const struct zb_topic *t = zb_topics; t->name; t++)
        names[count++] = t->name;
    const char *near = dz_nearest(topic, names, count);
    if (near)
        return zb_fail(zb, ZB_USAGE, "there is no help on '%s'; did you mean '%s'?", topic, near);
    return zb_fail(zb, ZB_USAGE, "there is no help on '%s'; 'zb help' lists what there is", topic);
}

static int
say_schema(struct zb *zb, const struct zb_command *command)
{
    char file[ZB_WORD];
    if (!command->schema)
        return zb_fail(zb, ZB_ABSENT, "'zb %s' writes no JSON", command->name);
    (void) snprintf(file, sizeof(file), "%s.json", command->schema);
    *strchr(file, '/') = '.';
    for (const struct dz_embedded *schema = store_schemas; schema->name; schema++)
        if (strcmp(schema->name, file) == 0)
            zb_put(zb, dz_str(schema->text));
    return ZB_DONE;
}

static void
say_topic(struct zb *zb, const struct zb_topic *topic)
{
    char line[2 * ZB_WORD];
    if (topic->text) {
        zb_prose(zb, topic->text);
        zb_say(zb, "\n");
    }
    for (const struct zb_exit_code *c = zb_exit_codes; !topic->text && c->meaning; c++) {
        (void) snprintf(line, sizeof(line), "  %d  %s\n", c->code, c->meaning);
        zb_prose(zb, line);
    }
}

static int
help_on(struct zb *zb, const struct request *request)
{
    for (size_t i = 0; i < zb->command_count; i++) {
        const struct zb_command *command = &zb->commands[i];
        if (strcmp(command->name, request->topic) != 0)
            continue;
        switch (request->form) {
        case FORM_SCHEMA: return say_schema(zb, command);
        case FORM_MAN: zb_man_of(zb, command); return ZB_DONE;
        case FORM_MARKDOWN:
        case FORM_TEXT: break;
        }
        zb_help_of(zb, command);
        return ZB_DONE;
    }
    for (const struct zb_topic *topic = zb_topics; topic->name; topic++) {
        if (strcmp(topic->name, request->topic) == 0) {
            if (request->form == FORM_SCHEMA)
                return zb_fail(zb, ZB_ABSENT, "'%s' is no command: it writes no JSON", topic->name);
            say_topic(zb, topic);
            return ZB_DONE;
        }
    }
    return refuse(zb, request->topic);
}

int
cmd_help(struct zb *zb, int argc, char **argv)
{
    struct request request = { .form = FORM_TEXT };
    bool is_over;
    int code = zb_parse(zb, argc, argv, parse, &request, &is_over);
    if (is_over)
        return code;
    if (request.topic)
        return help_on(zb, &request);
    if (request.form == FORM_SCHEMA)
        return zb_fail(zb, ZB_USAGE, "of which command? zb help --schema COMMAND");
    if (request.form == FORM_MAN)
        zb_man_all(zb);
    else if (request.form == FORM_MARKDOWN)
        zb_markdown(zb);
    else if (zb->is_json)
        json_all(zb);
    else
        zb_help_all(zb);
    return ZB_DONE;
}

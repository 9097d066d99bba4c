/* cmd_completion.c - zb completion: scripts for shells, from the table of commands. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "zb/zb.h"

static const char *const SHELLS[] = { "bash", "zsh", "fish" };

/* What the shell asks back for: names of jobs, newest first. */
static const char JOBS[] = "zb jobs --json --number=30 2>/dev/null | tr ',' '\\n' | "
                           "sed -n 's/^\"short_id\":\"\\(.*\\)\"$/\\1/p'";

static error_t
parse(int key, char *arg, struct argp_state *state)
{
    const char **shell = state->input;
    if (key == ARGP_KEY_END && !*shell) {
        (void) fprintf(stderr, "%s: of which shell? bash, zsh or fish\n", state->name);
        return EINVAL;
    }
    if (key != ARGP_KEY_ARG)
        return key == ARGP_KEY_END ? 0 : ARGP_ERR_UNKNOWN;
    for (size_t i = 0; i < DZ_LEN(SHELLS); i++) {
        if (*shell || strcmp(SHELLS[i], arg) != 0)
            continue;
        *shell = SHELLS[i];
        return 0;
    }
    (void) fprintf(stderr, "%s: a script for bash, zsh or fish, not for '%s'\n", state->name, arg);
    return EINVAL;
}

/* What an option's value may be, by what help calls it; where nothing stands here, files are offered. */
static const struct values {
    const char *arg, *words;
} VALUES[] = {
    { "FORMAT", "junit json ndjson csv" },
    { "ORDER", "id duration start" },
    { "WHEN", "auto always never" },
};

static const char *
values_of(const struct argp_option *option)
{
    for (size_t i = 0; option->arg && i < DZ_LEN(VALUES); i++)
        if (strcmp(VALUES[i].arg, option->arg) == 0)
            return VALUES[i].words;
    return NULL;
}

static bool
is_file(const struct argp_option *option)
{
    return option->arg && (strcmp(option->arg, "FILE") == 0 || strcmp(option->arg, "DIR") == 0);
}

/* Terms of a query. */
static const char TERMS[] = "outcome: duration: module: worker: runs: not:";

static bool
takes_query(const struct zb_command *command)
{
    return command->args && strstr(command->args, "QUERY");
}

/* "up|down|status|logs" as "up down status logs"; false: the argument is not one of some words. */
static bool
verbs_of(const struct zb_command *command, char out[ZB_WORD])
{
    if (!command->args || *command->args < 'a' || *command->args > 'z')
        return false;
    (void) snprintf(out, ZB_WORD, "%s", command->args);
    for (char *c = out; *c; c++)
        *c = *c == '|' ? ' ' : *c;
    return true;
}

/* Commands and topics, with a blank before each but the first. */
static void
what_help_knows(struct zb *zb)
{
    for (size_t i = 0; i < zb->command_count; i++)
        zb_say(zb, "%s%s", i > 0 ? " " : "", zb->commands[i].name);
    for (const struct zb_topic *topic = zb_topics; topic->name; topic++)
        zb_say(zb, " %s", topic->name);
}

static bool
takes_job(const struct zb_command *command)
{
    return command->args && strstr(command->args, "JOB") != NULL;
}

/* Each option of a command and those that all have. */
typedef void option_fn(struct zb *zb, const struct zb_command *command,
                       const struct argp_option *option);

static void
each_option(struct zb *zb, const struct zb_command *command, option_fn *fn)
{
    for (const struct argp_option *o = command->options; o && o->name; o++)
        fn(zb, command, o);
    for (const struct argp_option *o = zb_common_of(command); o->name; o++)
        fn(zb, command, o);
}

/* ---- bash ---- */

static void
bash_option(struct zb *zb, const struct zb_command *command, const struct argp_option *option)
{
    (void) command;
    zb_say(zb, " --%s%s", option->name,
           option->arg && !(option->flags & OPTION_ARG_OPTIONAL) ? "=" : "");
}

/* "export/--format | export/-f) ..." */
static void
bash_value(struct zb *zb, const struct zb_command *command, const struct argp_option *option)
{
    const char *words = values_of(option);
    if (!option->arg || (option->flags & OPTION_ARG_OPTIONAL && !words))
        return;
    zb_say(zb, "    %s/--%s", command->name, option->name);
    if (option->key > ' ' && option->key < 0x7f && !(option->flags & OPTION_ARG_OPTIONAL))
        zb_say(zb, " | %s/-%c", command->name, option->key);
    zb_say(zb, ") words='%s' is_value=1 ;;\n", words ? words : "");
}

static void
bash_words(struct zb *zb, const struct zb_command *command)
{
    char verbs[ZB_WORD];
    zb_say(zb, "    %s/-*) words='", command->name);
    each_option(zb, command, bash_option);
    zb_say(zb, "' ;;\n");
    if (takes_job(command))
        zb_say(zb, "    %s/*) words=\"latest $(_zb_jobs)%s%s\" ;;\n", command->name,
               takes_query(command) ? " " : "", takes_query(command) ? TERMS : "");
    else if (verbs_of(command, verbs))
        zb_say(zb, "    %s/*) words='%s' ;;\n", command->name, verbs);
}

/* Bash makes words of "--format=junit": three. */
static void
bash(struct zb *zb)
{
    zb_say(zb,
           "# bash completion of zb; written by 'zb completion bash'\n"
           "_zb_jobs() { %s; }\n"
           "_zb() {\n"
           "    local word=${COMP_WORDS[COMP_CWORD]} words= is_value=\n"
           "    local option=${COMP_WORDS[COMP_CWORD-1]}\n"
           "    COMPREPLY=()\n"
           "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
           "        COMPREPLY=($(compgen -W '",
           JOBS);
    for (size_t i = 0; i < zb->command_count; i++)
        zb_say(zb, "%s%s", i ? " " : "", zb->commands[i].name);
    zb_say(zb, "' -- \"$word\"))\n"
               "        return\n"
               "    fi\n"
               "    if [ \"$word\" = = ]; then word=\n"
               "    elif [ \"$option\" = = ]; then option=${COMP_WORDS[COMP_CWORD-2]}; fi\n"
               "    case ${COMP_WORDS[1]}/$option in\n");
    for (size_t i = 0; i < zb->command_count; i++)
        each_option(zb, &zb->commands[i], bash_value);
    zb_say(zb, "    esac\n"
               "    [ -n \"$is_value\" ] || case ${COMP_WORDS[1]}/$word in\n");
    for (size_t i = 0; i < zb->command_count; i++)
        bash_words(zb, &zb->commands[i]);
    zb_say(zb, "    help/*) words='");
    what_help_knows(zb);
    zb_say(zb, "' ;;\n"
               "    esac\n"
               "    COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n"
               "    case ${COMPREPLY-} in *[=:]) compopt -o nospace 2>/dev/null ;; esac\n"
               "}\n"
               "complete -o default -F _zb zb\n");
}

/* ---- zsh ---- */

/* Within single quotes and brackets. */
static void
zsh_text(struct zb *zb, const char *text)
{
    for (; *text; text++) {
        if (*text == '\'')
            zb_say(zb, "'\\''");
        else if (strchr("[]:\\", *text))
            zb_say(zb, "\\%c", *text);
        else
            zb_say(zb, "%c", *text);
    }
}

static void
zsh_option(struct zb *zb, const struct zb_command *command, const struct argp_option *option)
{
    (void) command;
    bool has_letter = option->key > ' ' && option->key < 0x7f;
    const char *equals = option->arg ? "=" : "";
    if (has_letter)
        zb_say(zb, " \\\n        '(-%c --%s)'{-%c%s,--%s%s}'[", option->key, option->name,
               option->key, option->arg ? "+" : "", option->name, equals);
    else
        zb_say(zb, " \\\n        '--%s%s[", option->name, equals);
    zsh_text(zb, option->doc);
    zb_say(zb, "]");
    if (option->arg)
        zb_say(zb, "%s%s:", option->flags & OPTION_ARG_OPTIONAL ? "::" : ":", option->arg);
    if (values_of(option))
        zb_say(zb, "(%s)", values_of(option));
    else if (is_file(option))
        zb_say(zb, "_files");
    zb_say(zb, "'");
}

static void
zsh_help(struct zb *zb)
{
    zb_say(zb, " \\\n        '1:command or topic:(");
    what_help_knows(zb);
    zb_say(zb, ")'");
}

static void
zsh(struct zb *zb)
{
    zb_say(zb,
           "#compdef zb\n# zsh completion of zb; written by 'zb completion zsh'\n"
           "_zb_jobs() { local -a jobs; jobs=(latest ${(f)\"$(%s)\"}); compadd -a jobs }\n"
           "_zb() {\n    local -a commands\n    commands=(\n",
           JOBS);
    for (size_t i = 0; i < zb->command_count; i++) {
        zb_say(zb, "        '%s:", zb->commands[i].name);
        zsh_text(zb, zb->commands[i].summary);
        zb_say(zb, "'\n");
    }
    zb_say(zb, "    )\n    if (( CURRENT == 2 )); then\n        _describe command commands\n"
               "        return\n    fi\n    local command=$words[2]\n    shift words\n"
               "    (( CURRENT-- ))\n    case $command in\n");
    for (size_t i = 0; i < zb->command_count; i++) {
        const struct zb_command *c = &zb->commands[i];
        zb_say(zb, "    %s)\n        _arguments -s", c->name);
        each_option(zb, c, zsh_option);
        char verbs[ZB_WORD];
        if (takes_query(c))
            zb_say(zb, " \\\n        '1:job:_zb_jobs' '*:term:compadd -S \"\" - %s'", TERMS);
        else if (takes_job(c))
            zb_say(zb, " \\\n        '*:job:_zb_jobs'");
        else if (verbs_of(c, verbs))
            zb_say(zb, " \\\n        '1:what:(%s)'", verbs);
        else if (strcmp(c->name, "help") == 0)
            zsh_help(zb);
        else if (c->args)
            zb_say(zb, " \\\n        '*:spool:_files'");
        zb_say(zb, "\n        ;;\n");
    }
    zb_say(zb, "    esac\n}\n_zb \"$@\"\n");
}

/* ---- fish ---- */

static void
fish_text(struct zb *zb, const char *text)
{
    for (; *text; text++)
        zb_say(zb, strchr("'\\", *text) ? "\\%c" : "%c", *text);
}

static void
fish_option(struct zb *zb, const struct zb_command *command, const struct argp_option *option)
{
    zb_say(zb, "complete -c zb -n '__fish_seen_subcommand_from %s' -l %s", command->name,
           option->name);
    if (option->key > ' ' && option->key < 0x7f)
        zb_say(zb, " -s %c", option->key);
    if (option->arg && !(option->flags & OPTION_ARG_OPTIONAL))
        zb_say(zb, is_file(option) ? " -rF" : " -x");
    if (values_of(option))
        zb_say(zb, " -a '%s'", values_of(option));
    zb_say(zb, " -d '");
    fish_text(zb, option->doc);
    zb_say(zb, "'\n");
}

static void
fish_words(struct zb *zb, const struct zb_command *command)
{
    char verbs[ZB_WORD];
    const char *begin = "complete -c zb -n '__fish_seen_subcommand_from";
    if (verbs_of(command, verbs))
        zb_say(zb, "%s %s' -a '%s'\n", begin, command->name, verbs);
    if (takes_job(command))
        zb_say(zb, "%s %s' -a 'latest (__zb_jobs)'\n", begin, command->name);
    if (takes_query(command))
        zb_say(zb, "%s %s' -a '%s'\n", begin, command->name, TERMS);
    if (strcmp(command->name, "push") == 0)
        zb_say(zb, "%s %s' -F\n", begin, command->name);
}

static void
fish(struct zb *zb)
{
    zb_say(zb, "# fish completion of zb; written by 'zb completion fish'\n"
               "function __zb_jobs\n"
               "    zb jobs --json --number=30 2>/dev/null |\n"
               "        string match -rag '\"short_id\":\"([^\"]*)\"'\n"
               "end\n"
               "complete -c zb -f\n");
    for (size_t i = 0; i < zb->command_count; i++) {
        const struct zb_command *c = &zb->commands[i];
        zb_say(zb, "complete -c zb -n __fish_use_subcommand -a %s -d '", c->name);
        fish_text(zb, c->summary);
        zb_say(zb, "'\n");
        each_option(zb, c, fish_option);
        fish_words(zb, c);
    }
    zb_say(zb, "complete -c zb -n '__fish_seen_subcommand_from help' -a '");
    what_help_knows(zb);
    zb_say(zb, "'\n");
}

int
cmd_completion(struct zb *zb, int argc, char **argv)
{
    const char *shell = NULL;
    bool is_over;
    int code = zb_parse(zb, argc, argv, parse, &shell, &is_over);
    if (is_over)
        return code;
    if (shell == SHELLS[0])
        bash(zb);
    else if (shell == SHELLS[1])
        zsh(zb);
    else
        fish(zb);
    return ZB_DONE;
}

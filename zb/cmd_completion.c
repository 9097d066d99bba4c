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
    for (const struct argp_option *o = zb_common_options; o->name; o++)
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

static void
bash(struct zb *zb)
{
    zb_say(zb,
           "# bash completion of zb; written by 'zb completion bash'\n"
           "_zb_jobs() { %s; }\n"
           "_zb() {\n"
           "    local word=${COMP_WORDS[COMP_CWORD]} words=\n"
           "    COMPREPLY=()\n"
           "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
           "        COMPREPLY=($(compgen -W '",
           JOBS);
    for (size_t i = 0; i < zb->command_count; i++)
        zb_say(zb, "%s%s", i ? " " : "", zb->commands[i].name);
    zb_say(zb, "' -- \"$word\"))\n"
               "        return\n"
               "    fi\n"
               "    case ${COMP_WORDS[1]}/$word in\n");
    for (size_t i = 0; i < zb->command_count; i++) {
        const struct zb_command *c = &zb->commands[i];
        zb_say(zb, "    %s/-*) words='", c->name);
        each_option(zb, c, bash_option);
        zb_say(zb, "' ;;\n");
        if (takes_job(c))
            zb_say(zb, "    %s/*) words=\"latest $(_zb_jobs)\" ;;\n", c->name);
    }
    zb_say(zb, "    help/*) words='");
    for (size_t i = 0; i < zb->command_count; i++)
        zb_say(zb, "%s ", zb->commands[i].name);
    zb_say(zb, "names query exit-codes environment' ;;\n"
               "    completion/*) words='bash zsh fish' ;;\n"
               "    esac\n"
               "    COMPREPLY=($(compgen -W \"$words\" -- \"$word\"))\n"
               "    case ${COMPREPLY-} in *=) compopt -o nospace 2>/dev/null ;; esac\n"
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
    zb_say(zb, "'");
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
        if (takes_job(c))
            zb_say(zb, " \\\n        '*:job:_zb_jobs'");
        else if (strcmp(c->name, "completion") == 0)
            zb_say(zb, " \\\n        '1:shell:(bash zsh fish)'");
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
        zb_say(zb, " -r");
    zb_say(zb, " -d '");
    fish_text(zb, option->doc);
    zb_say(zb, "'\n");
}

static void
fish(struct zb *zb)
{
    zb_say(zb, "# fish completion of zb; written by 'zb completion fish'\n"
               "complete -c zb -f\n");
    for (size_t i = 0; i < zb->command_count; i++) {
        const struct zb_command *c = &zb->commands[i];
        zb_say(zb, "complete -c zb -n __fish_use_subcommand -a %s -d '", c->name);
        fish_text(zb, c->summary);
        zb_say(zb, "'\n");
        each_option(zb, c, fish_option);
        if (takes_job(c))
            zb_say(zb, "complete -c zb -n '__fish_seen_subcommand_from %s' -a \"latest (%s)\"\n",
                   c->name,
                   "zb jobs --json --number=30 2>/dev/null | string match -rag "
                   "'\"short_id\":\"([^\"]*)\"'");
    }
    zb_say(zb, "complete -c zb -n '__fish_seen_subcommand_from completion' -a 'bash zsh fish'\n");
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

/* cmd_init.c - zb init: name the project, and say how the name was found. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shared/base/files.h"
#include "zb/zb.h"

enum { LABEL = 10 };

const struct argp_option cmd_init_options[] = {
    { "force", 'f', NULL, 0, "write it anew though it is there", 0 },
    { "uri", 'u', "URI", 0, "use this name instead of the derived one", 0 },
    { "timezone", 't', "ZONE", 0, "days begin at midnight of this zone (Europe/Berlin)", 0 },
    { 0 },
};

struct init {
    bool is_forced;
    const char *uri, *timezone;
};

static error_t
parse(int key, char *arg, struct argp_state *state)
{
    struct init *self = state->input;
    switch (key) {
    case 'f': self->is_forced = true; return 0;
    case 'u': self->uri = arg; return 0;
    case 't': self->timezone = arg; return 0;
    default: return zb_parse_nothing(key, arg, state);
    }
}

static void
compose(const struct project *project, struct dz_buf *out)
{
    DZ_AUTO(dz_free) char *uri = dz_conf_quote(project->uri);
    DZ_AUTO(dz_free) char *timezone = dz_conf_quote(project->timezone);
    dz_buf_addf(
        out,
        "# What dagz knows of this project.  Commit this file.\n"
        "project:\n"
        "  # The project's name, whatever machine and folder it is checked out in.\n"
        "  uri: %s\n"
        "  # Jobs are counted by day (j1, j2, ...); a day begins at midnight of this zone.\n"
        "  timezone: %s\n",
        uri, timezone);
}

static int
check(struct zb *zb, const struct init *self, const char *path)
{
    DZ_AUTO(zone_destroy) struct zone *zone = zone_new(self->timezone ? self->timezone : "UTC");
    if (!zone_is_known(zone))
        return zb_fail(zb, ZB_USAGE, "there is no time zone '%s' (try Europe/Berlin or UTC)",
                       self->timezone);
    if (self->uri && (!*self->uri || strpbrk(self->uri, "\r\n\t")))
        return zb_fail(zb, ZB_USAGE, "a project's name is one line of text");
    if (!self->is_forced && access(path, F_OK) == 0)
        return zb_fail(zb, ZB_FAILED, "%s is there already; --force writes it anew", path);
    return ZB_DONE;
}

static void
say(struct zb *zb, const struct project *p, const struct init *self, const char *path)
{
    if (zb->is_json) {
        jot_open(&zb->out, '{');
        jot_text(&zb->out, "schema", zb->command->schema);
        jot_text(&zb->out, "path", path);
        jot_text(&zb->out, "uri", p->uri);
        jot_text(&zb->out, "timezone", p->timezone);
        jot_close(&zb->out, '}');
        jot_end(&zb->out);
        return;
    }
    const char *from = self->uri    ? "as you said"
                       : p->warning ? "from this folder; edit it, it should not depend on a machine"
                                    : "from git's origin and the path in the worktree";
    zb_say(zb, "wrote     %s\n", path);
    zb_say(zb, "uri       %s\n          ", p->uri);
    zb_fold(zb, from, LABEL);
    zb_say(zb, "timezone  %s\n          ", p->timezone);
    zb_fold(zb,
            self->timezone ? "as you said"
                           : "of this machine; it says when a day's first job is j1",
            LABEL);
    zb_say(zb, "\nCommit the file, then:  pytest --dagz\n");
}

/* A folder within a project becomes a project of its own: say so, it may be a mistake. */
static void
say_what_is_above(struct zb *zb)
{
    struct project above = { 0 };
    struct dz_err unused;
    DZ_AUTO(dz_free) char *dir = dz_strdup(zb->project.root);
    char *slash = strrchr(dir, '/');
    if (zb->is_json || !slash || slash == dir)
        return;
    *slash = '\0';
    if (project_find(dir, false, &above, &unused) != DZ_OK)
        return;
    if (above.config)
        zb_say(zb,
               "\nNote: %s names the project around this folder, %s.\n"
               "From now on this folder is a project of its own, with jobs of its own.\n",
               above.config, above.uri);
    project_fini(&above);
}

/* The project of this very folder: what an older file says is not asked when it is replaced. */
static int
derive(struct zb *zb, const struct init *self, struct project *out)
{
    struct dz_err err;
    enum dz_rc rc = project_derive(zb->dir ? zb->dir : ".", out, &err);
    if (rc != DZ_OK)
        return zb_fail(zb, zb_exit_of(rc), "%s", err.text);
    if (self->uri) {
        free(out->uri);
        out->uri = dz_strdup(self->uri);
    }
    if (self->timezone) {
        free(out->timezone);
        out->timezone = dz_strdup(self->timezone);
    }
    return ZB_DONE;
}

int
cmd_init(struct zb *zb, int argc, char **argv)
{
    struct init self = { .is_forced = false };
    bool is_over;
    int code = zb_parse(zb, argc, argv, parse, &self, &is_over);
    if (is_over)
        return code;
    code = derive(zb, &self, &zb->project);
    if (code != ZB_DONE)
        return code;
    struct dz_err err;
    DZ_AUTO(dz_free) char *dir = NULL;
    DZ_AUTO(dz_free) char *path = NULL;
    if (asprintf(&dir, "%s/.dagz", zb->project.root) < 0 ||
        asprintf(&path, "%s/config.yaml", dir) < 0)
        return zb_fail(zb, ZB_FAILED, "out of memory");
    code = check(zb, &self, path);
    if (code != ZB_DONE)
        return code;
    if (mkdir(dir, 0755) != 0 && errno != EEXIST)
        return zb_fail(zb, ZB_DENIED, "make %s: %s", dir, strerrordesc_np(errno));
    struct dz_buf text = { 0 };
    compose(&zb->project, &text);
    enum dz_rc rc = dz_replace_file(path, 0644, dz_buf_slice(&text), &err);
    dz_buf_fini(&text);
    if (rc != DZ_OK)
        return zb_fail(zb, ZB_DENIED, "%s", err.text);
    say(zb, &zb->project, &self, path);
    say_what_is_above(zb);
    return ZB_DONE;
}

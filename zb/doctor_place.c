/* doctor_place.c - home, store, daemon, project, and the Python environment around zb. */
#include <fcntl.h>
#include <glob.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "shared/base/fd.h"
#include "store/care.h"
#include "zb/doctor.h"

enum { LITTLE_MB = 100, SMALL_MB = 1024, VERSION = 32 };

/* ---- programs and packages ---- */

/* The folder of packages: zb lies in dagz/bin in it, or an environment is active. */
static bool
find_packages(char out[PATH_MAX], char self_out[PATH_MAX])
{
    glob_t found;
    ssize_t len = readlink("/proc/self/exe", self_out, PATH_MAX - 1);
    self_out[len > 0 ? len : 0] = '\0';
    (void) snprintf(out, PATH_MAX, "%.*s", PATH_MAX - 1, self_out);
    for (int i = 0; i < 3; i++) {
        char *slash = strrchr(out, '/');
        if (slash)
            *slash = '\0';
    }
    char probe[PATH_MAX + 32];
    (void) snprintf(probe, sizeof(probe), "%s/dagz/plugin.py", out);
    if (access(probe, R_OK) == 0)
        return true;
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): one thread */
    const char *venv = getenv("VIRTUAL_ENV");
    (void) snprintf(probe, sizeof(probe), "%.2000s/lib/python3*/site-packages", venv ? venv : "");
    if (!venv || glob(probe, 0, NULL, &found) != 0)
        return false;
    (void) snprintf(out, PATH_MAX, "%s", found.gl_pathv[0]);
    globfree(&found);
    return true;
}

/* The version of a distribution, by the name of its folder of metadata; nothing of it is read. */
static bool
find_version(const char *packages, const char *name, char out[VERSION])
{
    char pattern[PATH_MAX + 64];
    glob_t found;
    (void) snprintf(pattern, sizeof(pattern), "%s/%s-[0-9]*.dist-info", packages, name);
    if (glob(pattern, 0, NULL, &found) != 0)
        return false;
    const char *last = strrchr(found.gl_pathv[0], '/') + 1 + strlen(name) + 1;
    (void) snprintf(out, VERSION, "%.*s", (int) (strlen(last) - strlen(".dist-info")), last);
    globfree(&found);
    return true;
}

static void
look_at_plugins(struct doctor *self, const char *packages)
{
    static const char *const names[] = {
        "pytest_xdist", "pytest_cov",           "pytest_django",   "pytest_asyncio",
        "pytest_html",  "pytest_rerunfailures", "pytest_randomly", "pytest_timeout",
    };
    struct dz_buf list = { 0 };
    char version[VERSION];
    for (size_t i = 0; i < DZ_LEN(names); i++) {
        if (!find_version(packages, names[i], version))
            continue;
        dz_buf_addf(&list, "%s%s %s", list.len ? ", " : "", names[i], version);
    }
    for (size_t i = 0; i < list.len; i++)
        list.data[i] = list.data[i] == '_' ? '-' : list.data[i];
    dz_buf_add(&list, "", 1);
    if (list.len > 1)
        doctor_say(self, FINDING_NOTE, "plugins", NULL, "%s", (char *) list.data);
    if (find_version(packages, "pytest_rerunfailures", version))
        doctor_say(self, FINDING_NOTE, "retries", NULL,
                   "pytest-rerunfailures retries failing tests itself: dagz does not");
    dz_buf_fini(&list);
}

static void
look_at_packages(struct doctor *self, const char *packages)
{
    char version[VERSION];
    if (!find_version(packages, "dagz_mesh", version))
        doctor_say(self, FINDING_NOTE, "dagz-mesh", NULL, "not installed as a package in %s",
                   packages);
    else if (strcmp(version, DZ_VERSION_TEXT) != 0)
        doctor_say(self, FINDING_WRONG, "dagz-mesh", "install it again, or use the zb beside it",
                   "%s is of version %s, this zb of %s", packages, version, DZ_VERSION_TEXT);
    else
        doctor_say(self, FINDING_OK, "dagz-mesh", NULL, "%s in %s", version, packages);
    if (find_version(packages, "dagz", version))
        doctor_say(
            self, FINDING_WRONG, "clash", "pip uninstall dagz, then install dagz-mesh again",
            "another vendor's package 'dagz' is in the same environment: both want the name");
    if (!find_version(packages, "pytest", version))
        doctor_say(self, FINDING_WRONG, "pytest", "pip install pytest", "not in this environment");
    else if (strtod(version, NULL) < 7.4 && strtol(version, NULL, 10) < 8)
        doctor_say(self, FINDING_WRONG, "pytest", "pip install -U pytest",
                   "%s is older than 7.4, the first that dagz works with", version);
    else
        doctor_say(self, FINDING_OK, "pytest", NULL, "%s", version);
    look_at_plugins(self, packages);
}

void
doctor_look_at_programs(struct doctor *self)
{
    char packages[PATH_MAX], own[PATH_MAX], agent[PATH_MAX + 16];
    bool has_packages = find_packages(packages, own);
    doctor_say(self, FINDING_OK, "zb", NULL, "%s, %s", DZ_VERSION_TEXT, own);
    (void) snprintf(agent, sizeof(agent), "%.*s/dagz-agent", (int) (strrchr(own, '/') - own), own);
    if (access(agent, X_OK) == 0)
        doctor_say(self, FINDING_OK, "agent", NULL, "%s", agent);
    else
        doctor_say(self, FINDING_WRONG, "agent", "install dagz-mesh again",
                   "there is no dagz-agent beside zb: nothing can run");
    if (has_packages)
        look_at_packages(self, packages);
    else
        doctor_say(self, FINDING_NOTE, "packages", "activate the environment to have it looked at",
                   "zb is not in a Python environment, and none is active");
}

/* ---- home and store ---- */

static void
look_at_disk(struct doctor *self, const char *dir)
{
    struct statvfs fs;
    if (statvfs(dir, &fs) != 0)
        return;
    uint64_t free_mb = (uint64_t) fs.f_bavail * fs.f_frsize >> 20;
    enum finding finding = free_mb < LITTLE_MB  ? FINDING_WRONG
                           : free_mb < SMALL_MB ? FINDING_WARNING
                                                : FINDING_OK;
    doctor_say(self, finding, "disk",
               finding == FINDING_OK ? NULL : "make room, or move it to another disk",
               "%.1f GB free in %s", (double) free_mb / 1024, dir);
}

/* Permissions alone do not tell: by trying. */
static bool
can_write(const char *dir)
{
    char path[PATH_MAX];
    (void) snprintf(path, sizeof(path), "%s/.zb-doctor-XXXXXX", dir);
    int fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0)
        return false;
    (void) unlink(path);
    (void) close(fd);
    return true;
}

/* The nearest folder above that is there. */
static void
above(char *path)
{
    while (access(path, F_OK) != 0 && strrchr(path, '/') > path)
        *strrchr(path, '/') = '\0';
}

static void
look_at_store(struct doctor *self, const char *home)
{
    struct dz_err err;
    struct store_job_list jobs = { 0 };
    DZ_AUTO(source_close) struct source *store = NULL;
    enum dz_rc rc = source_local(home, &store, &err);
    if (rc == DZ_OK)
        rc = store->ops->jobs(store, NULL, 1, &jobs, &err);
    if (rc == DZ_ABSENT)
        doctor_say(self, FINDING_NOTE, "store", NULL,
                   "none yet: the first 'pytest --dagz' makes it");
    else if (rc == DZ_VERSION)
        doctor_say(self, FINDING_WRONG, "store", "use the dagz that wrote it, or another DAGZ_HOME",
                   "%s", err.text);
    else if (rc != DZ_OK)
        doctor_say(self, FINDING_WRONG, "store", "'zb doctor --store' tells more", "%s", err.text);
    else
        doctor_say(self, FINDING_OK, "store", NULL, "%s%s", store->name,
                   jobs.count ? "" : ", without a job yet");
    store_job_list_fini(&jobs);
}

/* Whoever found a damaged one began a new one: what it held seems to be gone. */
static void
look_aside(struct doctor *self, const char *dir, const char *rest, const char *advice)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf pattern = { 0 };
    glob_t found;
    for (const char *p = dir; *p; p++) /* a folder may be called as a pattern */
        dz_buf_addf(&pattern, "%s%c", strchr("\\*?[]", *p) ? "\\" : "", *p);
    dz_buf_addf(&pattern, "%s", rest);
    dz_buf_add(&pattern, "", 1);
    if (glob((char *) pattern.data, 0, NULL, &found) != 0)
        return;
    for (size_t i = 0; i < found.gl_pathc; i++)
        doctor_say(self, FINDING_WARNING, "store", advice, "a damaged one was put aside: %s",
                   found.gl_pathv[i]);
    globfree(&found);
}

/* Where the settings put it.  What is wrong with them is told by who opens the store. */
static void
look_around_store(struct doctor *self, const char *home)
{
    DZ_AUTO(dz_free) char *dir = NULL;
    struct dz_err unused;
    size_t len = strlen(home);
    look_aside(self, home, "/spool/*.bad-*", "nothing reads it any more: remove it");
    if (store_dir_of(home, &dir, &unused) != DZ_OK)
        return;
    look_aside(self, dir, ".bad-*",
               "in place of the store it can be read by 'zb doctor --store --repair'; or remove "
               "it");
    if (strncmp(dir, home, len) == 0 && dir[len] == '/')
        return;
    above(dir);
    look_at_disk(self, dir);
}

void
doctor_look_at_home(struct doctor *self)
{
    DZ_AUTO(dz_free) char *home = store_home();
    DZ_AUTO(dz_free) char *there = dz_strdup(home);
    above(there);
    bool is_new = strcmp(home, there) != 0;
    if (!can_write(there))
        doctor_say(self, FINDING_WRONG, "home", "set DAGZ_HOME to a folder that is yours",
                   "%s cannot be written to", there);
    else
        doctor_say(self, FINDING_OK, "home", NULL, "%s%s", home, is_new ? " (not made yet)" : "");
    look_at_disk(self, there);
    look_at_store(self, home);
    look_around_store(self, home);
    doctor_look_at_daemon(self, home);
}

/* ---- project ---- */

void
doctor_look_at_project(struct doctor *self)
{
    struct project project = { 0 };
    struct dz_err err;
    enum dz_rc rc = project_find(self->zb->dir ? self->zb->dir : ".", false, &project, &err);
    if (rc != DZ_OK) {
        doctor_say(self, FINDING_WRONG, "project", NULL, "%s", err.text);
        return;
    }
    if (!project.has_git && !project.config)
        doctor_say(self, FINDING_WARNING, "project", "'zb init' gives it a name that stays",
                   "%s is known by the name of this folder only", project.uri);
    else
        doctor_say(self, FINDING_OK, "project", NULL, "%s%s", project.uri,
                   project.config ? "" : " (from git; 'zb init' would write it down)");
    project_fini(&project);
}

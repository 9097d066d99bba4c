/* place.c - where this run's records go: into the store of the home, or into a folder of their own
 * and from there to a server.
 *
 * A server that the user named is taken at its word: with it away, results wait in the folder. The
 * daemon of this home, and what listens at the default port, are looked at first: without one the
 * store of the home is used directly. One that listens and says nothing counts as the home's
 * daemon if that has announced itself there, because it may be stopped. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/base/clock.h"
#include "shared/base/files.h"
#include "shared/base/log.h"
#include "shared/conf/url.h"
#include "store/push/drain.h"
#include "store/sync.h"
#include "vassal/client.h"
#include "vassal/host.h"

enum {
    LOOK_MS = 150, /* to learn who answers: a run's beginning waits for it */
    FLUSH_S = 5,
    FLUSH_MAX_S = 600,
    FAREWELL_US = 1000 * 1000, /* so long the store is waited for that is to hear of our end */
    OLD_MAX = 8,
};

static const char HOME[] = "home";

void
host_tag(const char *ulid, uint64_t node, char out[HOST_TAG_MAX])
{
    if (node == PEERS_ALONE_NODE)
        (void) snprintf(out, HOST_TAG_MAX, "%s", ulid);
    else
        (void) snprintf(out, HOST_TAG_MAX, "%s.%016" PRIx64, ulid, node);
}

/* ------------------------------------------------------------------ opening */

void
host_say(struct host *self, const char *text)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf all = { 0 };
    dz_buf_addf(&all, "%s%s%s", self->note ? self->note : "", self->note ? "\n" : "", text);
    free(self->note);
    self->note = dz_slice_dup(dz_buf_slice(&all));
}

/* The home's store, or a new folder in its spool. */
static enum dz_rc
open_at(struct host *self, const char *home, char **warning_out, struct dz_err *err)
{
    if (!self->url && !self->is_apart)
        return store_open(home, STORE_WRITE, &self->store, warning_out, err);
    const char *to = self->is_home || self->is_apart ? HOME : self->url;
    enum dz_rc rc = spool_dir_make(home, self->tag, to, &self->spool, err);
    if (rc != DZ_OK)
        return rc;
    if (self->is_apart)
        rc = store_open(home, STORE_WRITE, &self->keeps, warning_out, err);
    if (rc == DZ_OK)
        self->store = self->spool.store;
    else
        spool_dir_remove(&self->spool);
    return rc;
}

static enum dz_rc
open_below(struct host *self, const char *base, char **dir_out, struct dz_err *err)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf path = { 0 };
    dz_buf_addf(&path, "%s/dagz-XXXXXX", base);
    DZ_AUTO(dz_free) char *dir = dz_slice_dup(dz_buf_slice(&path));
    if (!mkdtemp(dir))
        return dz_fail_errno(err, "make %s", dir);
    enum dz_rc rc = open_at(self, dir, NULL, err);
    if (rc == DZ_OK)
        *dir_out = dz_move(dir);
    else
        dz_remove_tree(dir);
    return rc;
}

/* Where DAGZ_HOME cannot be written: a place of this run, which is said.  The last resort is in
 * memory, because a full disk is often the only one. */
static enum dz_rc
open_elsewhere(struct host *self, const char *why, struct dz_err *err)
{
    const char *base = getenv("TMPDIR"); // NOLINT(concurrency-mt-unsafe): nobody sets it
    DZ_AUTO(dz_free) char *dir = NULL;
    struct dz_err last;
    enum dz_rc rc = open_below(self, base && *base ? base : "/tmp", &dir, &last);
    if (rc != DZ_OK)
        rc = open_below(self, "/dev/shm", &dir, &last);
    if (rc != DZ_OK)
        return dz_fail(err, rc, "%.120s; %.120s", why, last.text);
    DZ_AUTO(dz_buf_fini) struct dz_buf text = { 0 };
    dz_buf_addf(&text, "%s; the results of this run are in %s (DAGZ_HOME=%s zb ...)", why, dir,
                dir);
    DZ_AUTO(dz_free) char *line = dz_slice_dup(dz_buf_slice(&text));
    host_say(self, line);
    free(self->home);
    self->home = dz_move(dir);
    return DZ_OK;
}

static enum dz_rc
open_new(struct host *self, struct dz_err *err)
{
    DZ_AUTO(dz_free) char *warning = NULL;
    struct dz_err why;
    enum dz_rc rc = open_at(self, self->home, &warning, &why);
    if (warning)
        host_say(self, warning);
    if (rc == DZ_OK)
        return rc;
    if (rc == DZ_VERSION)
        return dz_fail(err, rc, "%s", why.text);
    return open_elsewhere(self, why.text, err);
}

/* ------------------------------------------------------------------ which server */

/* Is there one that this run's records go to? */
static bool
has_server(struct host *self, const struct dz_url *url)
{
    if (url->is_none)
        return false;
    if (url->from == DZ_URL_OPTION || url->from == DZ_URL_ENV)
        return true;
    enum client_found found = client_look(url->text, LOOK_MS);
    self->has_answered = found == CLIENT_STORE;
    return self->has_answered || (url->from == DZ_URL_HOME && found == CLIENT_SILENT);
}

static enum dz_rc
find_server(struct host *self, struct dz_slice option, struct dz_err *err)
{
    struct dz_url url;
    DZ_AUTO(dz_free) char *said = dz_slice_dup(option);
    enum dz_rc rc = dz_url_find(said, self->home, &url, err);
    if (rc == DZ_OK && has_server(self, &url)) {
        self->url = dz_strdup(url.text);
        self->is_home = url.is_home;
    }
    return rc;
}

static enum dz_rc
open_folder(struct host *self, const char *name, struct dz_err *err)
{
    DZ_AUTO(dz_free) char *path = spool_dir_path(self->home, name);
    return spool_dir_open(path, STORE_WRITE, &self->spool, err);
}

/* An agent that takes over goes on where the dead one was. */
static enum dz_rc
find_folder(struct host *self, const struct dz_msg_start *start, struct dz_err *err)
{
    struct dz_keys keys;
    struct dz_url url;
    char name[HOST_TAG_MAX];
    DZ_AUTO(dz_free) char *ulid = dz_slice_dup(start->job);
    enum dz_rc rc = DZ_ABSENT;
    if (start->secret.len == DZ_KEY_LEN) {
        dz_keys_of(start->secret.ptr, &keys);
        host_tag(ulid, dz_key_node(&keys.public), name);
        dz_keys_forget(&keys);
        rc = open_folder(self, name, err);
    }
    if (rc == DZ_ABSENT)
        rc = open_folder(self, ulid, err);
    if (rc != DZ_OK)
        return rc == DZ_ABSENT ? DZ_OK : rc;
    self->store = self->spool.store;
    self->is_home = strcmp(self->spool.to, HOME) == 0;
    self->was_shard = store_job_is_shard(self->store, self->spool.ulid);
    if (self->is_home)
        rc = dz_url_find(NULL, self->home, &url, err);
    self->is_apart = rc == DZ_OK && self->is_home && self->was_shard && !has_server(self, &url);
    if (self->is_apart)
        return store_open(self->home, STORE_WRITE, &self->keeps, NULL, err);
    if (rc == DZ_OK)
        self->url = dz_strdup(self->is_home ? url.text : self->spool.to);
    return rc;
}

enum dz_rc
host_find_server(struct host *self, const struct dz_msg_start *start, struct dz_err *err)
{
    self->home = start->home.len > 0 ? dz_slice_dup(start->home) : store_home();
    return start->job.len > 0 ? find_folder(self, start, err) : find_server(self, start->url, err);
}

enum dz_rc
host_open_store(struct host *self, struct dz_err *err)
{
    return self->store ? DZ_OK : open_new(self, err); /* one that takes over has it */
}

enum dz_rc
host_reopen_store(struct host *self, const char *why, struct dz_err *err)
{
    if (self->url || self->is_apart) {
        self->store = NULL;
        spool_dir_remove(&self->spool);
    }
    store_close(&self->store);
    store_close(&self->keeps);
    return open_elsewhere(self, why, err);
}

const char *
host_where(const struct host *self)
{
    return self->url ? self->url : store_dir(self->keeps ? self->keeps : self->store);
}

void
host_close_store(struct host *self)
{
    upload_destroy(&self->upload);
    store_durations_destroy(&self->durations);
    store_job_close(&self->job);
    if (self->url || self->is_apart)
        self->store = NULL; /* it is the folder's */
    store_close(&self->store);
    store_close(&self->keeps);
    spool_dir_close(&self->spool);
}

/* ------------------------------------------------------------------ sending */

static void
on_named(void *arg, const char *short_id)
{
    struct host *self = arg;
    host_rename(self, self->peers.job, short_id); /* the job may be closed */
}

static void
on_durations(void *arg, struct store_durations **durations_p)
{
    struct host *self = arg;
    if (self->test_count > 0)
        return; /* the plan is made */
    store_durations_destroy(&self->durations);
    self->durations = dz_move(*durations_p);
}

/* The daemon of this home is dead, or there is none: what it would store, we can. */
static enum dz_rc
store_at_home(struct host *self, struct dz_err *err)
{
    struct store *store = dz_move(self->keeps);
    struct store_receipt receipt;
    enum dz_rc rc = store ? DZ_OK : store_open(self->home, STORE_WRITE, &store, NULL, err);
    if (rc == DZ_OK)
        rc = drain_dir(store, &self->spool, false, &receipt, err);
    if (rc == DZ_OK)
        log_info("upload.at_home", "short=%s", receipt.short_id);
    store_close(&store);
    return rc;
}

static void
on_stored(void *arg, uint64_t rows)
{
    struct host *self = arg;
    if (self->coordinator)
        coordinator_stored(self->coordinator, rows);
}

void
host_announce(struct host *self)
{
    struct store_receipt receipt;
    struct dz_err err;
    if (!self->keeps)
        return;
    if (drain_hello(self->keeps, &self->spool, &receipt, &err) == DZ_OK)
        (void) snprintf(self->short_id, sizeof(self->short_id), "%s", receipt.short_id);
    else
        log_warn("upload.at_home", "why=%s", err.text);
}

static void
remove_folder(struct host *self)
{
    self->store = NULL; /* it is the folder's */
    spool_dir_remove(&self->spool);
}

/* All that this node had to tell anybody is told, or there is no more time. */
static void
settle(struct host *self)
{
    struct dz_err err;
    if (host_is_for_nothing(self)) {
        remove_folder(self);
        agent_settled(self->agent, 0, "", "");
        return;
    }
    uint64_t pending = upload_pending(self->upload);
    const char *why = upload_why(self->upload);
    DZ_AUTO(dz_free) char *path = dz_strdup(self->spool.path);
    if (upload_is_done(self->upload)) {
        spool_dir_remove(&self->spool);
        agent_settled(self->agent, 0, "", "");
        return;
    }
    if (self->is_home && upload_is_alone(self->upload)) {
        if (store_at_home(self, &err) == DZ_OK) {
            agent_settled(self->agent, 0, "", "");
            return;
        }
        why = err.text;
    }
    log_warn("upload.pending", "results=%llu path=%s why=%s", (unsigned long long) pending, path,
             why);
    agent_settled(self->agent, pending, path, why);
}

static void
on_settled(void *arg)
{
    struct host *self = arg;
    self->is_uploaded = true;
    if (peers_is_idle(&self->peers))
        settle(self);
    else
        dz_loop_set(self->loop, &self->farewell, dz_clock_us() + FAREWELL_US);
}

void
host_on_idle(void *arg)
{
    struct host *self = arg;
    if (self->is_uploaded)
        dz_loop_set(self->loop, &self->farewell, dz_clock_us());
}

void
host_on_farewell(void *arg)
{
    settle(arg);
}

void
host_upload(struct host *self, const char *uri, const char *profile)
{
    struct upload_ops ops = { .on_named = on_named,
                              .on_durations = on_durations,
                              .on_stored = on_stored,
                              .on_settled = on_settled,
                              .arg = self };
    struct upload_cfg cfg = { .loop = self->loop,
                              .url = self->url,
                              .home = self->home,
                              .is_home = self->is_home,
                              .ops = &ops };
    struct dz_err err;
    if (!self->url)
        return;
    enum dz_rc rc = upload_new(&cfg, &self->upload, &err);
    if (rc == DZ_OK)
        rc = upload_job(self->upload, self->store, store_job_ulid(self->job), uri, profile, &err);
    if (rc == DZ_OK)
        return;
    host_say(self, err.text); /* then it waits in its folder, as if nobody answered */
    self->unsent = dz_strdup(err.text);
    upload_destroy(&self->upload);
}

void
host_poke(struct host *self, enum push_news news)
{
    if (self->upload)
        upload_poke(self->upload, news);
}

/* ------------------------------------------------------------------ the end */

static dz_us
patience(void)
{
    const char *text =
        getenv("DAGZ_FLUSH_TIMEOUT"); // NOLINT(concurrency-mt-unsafe): nobody sets it
    char *end = NULL;
    double seconds = text && *text ? strtod(text, &end) : FLUSH_S;
    bool is_ok = isfinite(seconds) && seconds >= 0 && seconds <= FLUSH_MAX_S && (!end || !*end);
    return (dz_us) ((is_ok ? seconds : FLUSH_S) * 1e6);
}

static void
note_old(void *arg, const char *path, enum dz_rc rc, const char *why)
{
    (void) arg;
    if (rc == DZ_OK)
        log_info("spool.taken", "path=%s", path);
    else
        log_warn("spool.stays", "path=%s why=%s", path, why);
}

/* A share goes into the store of the home, beside those of other slots. */
static bool
settle_at_home(struct host *self)
{
    struct dz_err err;
    DZ_AUTO(dz_free) char *path = dz_strdup(self->spool.path);
    self->store = NULL; /* it goes with the folder */
    if (store_at_home(self, &err) == DZ_OK)
        return true;
    log_warn("upload.pending", "path=%s why=%s", path, err.text);
    agent_settled(self->agent, 1, path, err.text);
    return false;
}

/* It could not even be tried. */
static void
leave_unsent(struct host *self)
{
    struct store_outbox *outbox = NULL;
    struct store_at total = { 0 };
    struct dz_err unused;
    bool is_sealed;
    if (store_outbox_open(self->store, self->spool.ulid, &outbox, &unused) == DZ_OK)
        dz_ignore(store_outbox_total(outbox, &total, &is_sealed, &unused)); /* it stays 0 */
    store_outbox_close(&outbox);
    agent_settled(self->agent, total.count[STREAM_RESULTS], self->spool.path,
                  self->unsent ? self->unsent : "");
}

/* There never was a job, but who keeps the meeting has to hear that this node has left it. */
static bool
leave_for_nothing(struct host *self)
{
    self->is_uploaded = true;
    bool is_idle = peers_is_idle(&self->peers);
    if (is_idle)
        remove_folder(self);
    else
        dz_loop_set(self->loop, &self->farewell, dz_clock_us() + FAREWELL_US);
    return is_idle;
}

bool
host_settle(void *arg)
{
    struct host *self = arg;
    if (self->upload) {
        upload_settle(self->upload, patience());
        return false;
    }
    if (self->url && host_is_for_nothing(self))
        return leave_for_nothing(self);
    if (self->is_apart)
        return settle_at_home(self);
    if (self->url) {
        leave_unsent(self);
        return false;
    }
    if (self->store) /* folders of runs that a daemon of this home did not live to see the end of */
        (void) drain_home(self->store, self->home, NULL, OLD_MAX, note_old, self);
    return true;
}

/* jobs.c - the list of jobs, and finding the one that a person means. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/shards.h"
#include "store/zone.h"

enum { PREFIX_MIN = 4 /* characters of a long id's beginning */ };

/* ---- one job ---- */

void
store_job_info_fini(struct store_job_info *self)
{
    char *owned[] = { self->uri,      self->timezone, self->profile, self->commit, self->command,
                      self->versions, self->rootdir,  self->host,    self->reason };
    for (size_t i = 0; i < DZ_LEN(owned); i++)
        free(owned[i]);
    *self = (struct store_job_info){ 0 };
}

void
store_job_list_fini(struct store_job_list *self)
{
    for (size_t i = 0; i < self->count; i++)
        store_job_info_fini(&self->jobs[i]);
    free(self->jobs);
    *self = (struct store_job_list){ 0 };
}

static uint32_t
u32(const json_t *head, const char *key)
{
    return (uint32_t) head_number(head, key);
}

static void
fill_verdicts(const json_t *head, struct store_job_info *out)
{
    const json_t *verdicts = json_object_get(head, "verdicts");
    for (unsigned i = 0; i < DZ_RESULTS; i++)
        out->verdicts[i] = u32(verdicts, dz_result_name((enum dz_result) i));
}

static void
fill_info(const json_t *head, const char *ulid, int64_t now_us, struct store_job_info *out)
{
    DZ_AUTO(zone_destroy) struct zone *zone = zone_new(head_text(head, "timezone"));
    *out = (struct store_job_info){
        .uri = dz_strdup(head_text(head, "uri")),
        .timezone = dz_strdup(zone_is_known(zone) ? head_text(head, "timezone") : "UTC"),
        .profile = dz_strdup(head_text(head, "profile")),
        .commit = dz_strdup(head_text(head, "commit")),
        .command = dz_strdup(head_text(head, "command")),
        .versions = dz_strdup(head_text(head, "versions")),
        .rootdir = dz_strdup(head_text(head, "rootdir")),
        .host = dz_strdup(head_text(head, "host")),
        .reason = dz_strdup(head_text(head, "reason")),
        .is_dirty = head_number(head, "is_dirty"),
        .is_ledger_wrong = head_number(head, "is_ledger_wrong"),
        .state = head_number(head, "is_sealed") ? STORE_SEALED : STORE_BROKEN,
        .start_us = head_number(head, "start_us"),
        .end_us = head_number(head, "end_us"),
        .exit_code = -1,
        .workers = u32(head, "workers"),
        .node_total = u32(head, "node_total"),
        .nodes = u32(head, "nodes"),
        .generation = u32(head, "generation"),
        .collected = u32(head, "collected"),
        .deselected = u32(head, "deselected"),
        .redundant = u32(head, "redundant"),
        .not_run = u32(head, "not_run"),
        .counted = u32(head, "counted"),
        .duplicates = u32(head, "duplicates"),
        .lost = u32(head, "lost"),
        .shards = u32(json_object_get(head, "shards"), "total"),
        .shards_there = u32(json_object_get(head, "shards"), "there"),
        .as_before = u32(json_object_get(head, "shards"), "as_before"),
        .digest = (uint64_t) head_number(head, "digest"),
    };
    (void) snprintf(out->ulid, sizeof(out->ulid), "%s", ulid);
    (void) snprintf(out->previous, sizeof(out->previous), "%s", head_text(head, "previous"));
    short_id_write(u32(head, "day"), u32(head, "n"), zone_day(zone, now_us), out->short_id);
    if (out->state == STORE_SEALED) {
        out->exit_code = (int) head_number(head, "exit_code");
        fill_verdicts(head, out);
    }
}

/* A job that is not sealed: what its log says so far. */
static enum dz_rc
fill_open(struct store *store, struct dz_kv_txn *txn, const json_t *head, int64_t now_us,
          struct store_job_info *info, struct dz_err *err)
{
    unsigned long count = 0;
    const char *dash = strchr(head_text(head, "manifest"), '-');
    if (dash)
        count = strtoul(dash + 1, NULL, 10);
    struct ledger ledger;
    struct store_ledger sum;
    struct follower follower = { .store = store, .ledger = &ledger, .written_us = info->start_us };
    ledger_init(&ledger, count <= STORE_TESTS_MAX ? (uint32_t) count : 0);
    enum dz_rc rc = results_follow(txn, info->ulid, &follower, err);
    ledger_sum(&ledger, &sum);
    ledger_fini(&ledger);
    memcpy(info->verdicts, sum.verdicts, sizeof(info->verdicts));
    info->counted = sum.counted;
    uint32_t known = sum.tests_counted + info->as_before;
    info->not_run = info->collected > known ? info->collected - known : 0;
    info->digest = sum.digest;
    bool is_alive = writers_are_there(txn, info->ulid, head, follower.written_us, now_us);
    info->state = is_alive ? STORE_RUNNING : info->shards > 0 ? STORE_INCOMPLETE : STORE_BROKEN;
    if (info->state != STORE_INCOMPLETE || info->end_us == 0) /* else of the last that ended */
        info->end_us = is_alive && follower.written_us < now_us ? now_us : follower.written_us;
    return rc;
}

static enum dz_rc
read_info(struct store *store, struct dz_kv_txn *txn, const char *ulid, int64_t now_us,
          struct store_job_info *out, struct dz_err *err)
{
    DZ_AUTO(head_release) json_t *head = NULL;
    enum dz_rc rc = head_read(txn, ulid, &head, err);
    if (rc != DZ_OK)
        return rc;
    fill_info(head, ulid, now_us, out);
    if (out->state != STORE_SEALED)
        rc = fill_open(store, txn, head, now_us, out, err);
    if (rc != DZ_OK)
        store_job_info_fini(out);
    return rc;
}

struct info_query {
    struct store *store;
    const char *ulid;
    int64_t now_us;
    struct store_job_info *out;
};

static enum dz_rc
query_info(struct dz_kv_txn *txn, void *arg, struct dz_err *err)
{
    struct info_query *q = arg;
    return read_info(q->store, txn, q->ulid, q->now_us, q->out, err);
}

enum dz_rc
store_job_info(struct store *self, const char *ulid, int64_t now_us, struct store_job_info *out,
               struct dz_err *err)
{
    struct info_query q = { self, ulid, now_us, out };
    return dz_kv_read(self->kv, query_info, &q, err);
}

/* ---- the list ---- */

struct list_query {
    struct store *store;
    const char *uri;
    const char *before; /* a long id: only older ones; NULL: all */
    size_t limit;
    int64_t now_us;
    struct store_job_list *out;
};

static enum dz_rc
add_job(struct dz_kv_txn *txn, struct list_query *q, struct dz_slice ulid, struct dz_err *err)
{
    struct store_job_list *list = q->out;
    char text[DZ_ULID_LEN + 1] = "";
    if (ulid.len != DZ_ULID_LEN)
        return dz_fail(err, DZ_CORRUPT, "the list of jobs is damaged");
    memcpy(text, ulid.ptr, ulid.len);
    if (list->count % 64 == 0)
        list->jobs = dz_realloc(list->jobs, list->count + 64, sizeof(*list->jobs));
    enum dz_rc rc = read_info(q->store, txn, text, q->now_us, &list->jobs[list->count], err);
    list->count += rc == DZ_OK;
    return rc;
}

static bool
is_older(struct dz_slice ulid, const char *than)
{
    return ulid.len == DZ_ULID_LEN && memcmp(ulid.ptr, than, DZ_ULID_LEN) < 0;
}

static enum dz_rc
query_list(struct dz_kv_txn *txn, void *arg, struct dz_err *err)
{
    struct list_query *q = arg;
    struct key prefix = { .len = 0 };
    struct dz_slice key, value;
    uint32_t project = 0;
    enum dz_rc rc = q->uri ? project_number(txn, q->uri, &project, err) : DZ_OK;
    if (rc != DZ_OK)
        return rc == DZ_ABSENT ? DZ_OK : rc;
    if (q->uri)
        key_add_number(&prefix, project, 4);
    /* all jobs lie in the order of their long ids, a project's in the order of its short ones */
    DZ_AUTO(dz_kv_iter_fini) struct dz_kv_iter it;
    dz_kv_iter_init(&it, txn, q->uri ? T_INDEX : T_JOB, key_slice(&prefix));
    while (rc == DZ_OK && q->out->count < q->limit && dz_kv_prev(&it, &key, &value)) {
        struct dz_slice ulid = q->uri ? value : key;
        if (!q->before || is_older(ulid, q->before))
            rc = add_job(txn, q, ulid, err);
    }
    return rc == DZ_OK ? dz_kv_iter_rc(&it, err) : rc;
}

enum dz_rc
store_jobs_before(struct store *self, const char *uri, const char *before, size_t limit,
                  int64_t now_us, struct store_job_list *out, struct dz_err *err)
{
    struct store_job_list list = { 0 };
    struct list_query q = { self, uri, before, limit, now_us, &list };
    if (before && !dz_ulid_read(dz_str(before), NULL))
        return dz_fail(err, DZ_REFUSED, "'%.64s' is not the long id of a job", before);
    enum dz_rc rc = dz_kv_read(self->kv, query_list, &q, err);
    if (rc == DZ_OK)
        *out = list;
    else
        store_job_list_fini(&list);
    return rc;
}

enum dz_rc
store_jobs(struct store *self, const char *uri, size_t limit, int64_t now_us,
           struct store_job_list *out, struct dz_err *err)
{
    return store_jobs_before(self, uri, NULL, limit, now_us, out, err);
}

/* ---- what a person means ---- */

enum spec_kind { SPEC_NONE, SPEC_TODAY, SPEC_DAY, SPEC_DATE, SPEC_BACK, SPEC_PREFIX };

struct spec {
    enum spec_kind kind;
    uint32_t date, n; /* date: MMDD or YYYYMMDD */
    uint32_t back;    /* 0: the latest */
};

struct find_query {
    const char *uri, *text;
    struct spec spec;
    int64_t now_us;
    uint32_t project;
    char *ulid_out;
};

/* A whole decimal number of `digits` digits (0: any up to 6); moves *p behind it. */
static bool
read_number(const char **p, int digits, uint32_t *out)
{
    uint32_t number = 0;
    int count = 0;
    for (; isdigit((unsigned char) **p) && count < 7; ++*p, count++)
        number = number * 10 + (uint32_t) (**p - '0');
    *out = number;
    return digits ? count == digits : count >= 1 && count <= 6;
}

static bool
read_short(const char *text, struct spec *out)
{
    const char *p = text + 1;
    uint32_t a, b;
    if ((*text != 'j' && *text != 'J') || !isdigit((unsigned char) *p))
        return false;
    if (read_number(&p, 0, &a) && !*p) {
        *out = (struct spec){ .kind = SPEC_TODAY, .n = a };
        return true;
    }
    p = text + 1;
    if (!read_number(&p, 4, &a))
        return false;
    if (*p == '.') {
        p++;
        *out = (struct spec){ .kind = SPEC_DAY, .date = a };
        return read_number(&p, 0, &out->n) && !*p;
    }
    if (*p++ != '-' || !read_number(&p, 4, &b) || *p++ != '.')
        return false;
    *out = (struct spec){ .kind = SPEC_DATE, .date = a * 10000 + b };
    return read_number(&p, 0, &out->n) && !*p;
}

static bool
is_crockford(const char *text)
{
    size_t len = strlen(text);
    return len >= PREFIX_MIN && len <= DZ_ULID_LEN && text[0] >= '0' && text[0] <= '7' &&
           strspn(text, "0123456789abcdefghjkmnpqrstvwxyzABCDEFGHJKMNPQRSTVWXYZ") == len;
}

static struct spec
read_spec(const char *text)
{
    struct spec spec = { 0 };
    const char *p = text + 3;
    if (strcmp(text, "latest") == 0)
        return (struct spec){ .kind = SPEC_BACK };
    if (strncmp(text, "@{-", 3) == 0 && read_number(&p, 0, &spec.back) && strcmp(p, "}") == 0) {
        spec.kind = SPEC_BACK;
        return spec;
    }
    if (read_short(text, &spec))
        return spec;
    return (struct spec){ .kind = is_crockford(text) ? SPEC_PREFIX : SPEC_NONE };
}

static enum dz_rc
find_by_day(struct dz_kv_txn *txn, struct find_query *q, uint32_t day, struct dz_err *err)
{
    struct key key = { .len = 0 };
    struct dz_slice ulid, last;
    key_add_number(&key, q->project, 4);
    key_add_number(&key, day, 4);
    struct key prefix = key;
    key_add_number(&key, q->spec.n, 4);
    enum dz_rc rc = dz_kv_get(txn, T_INDEX, key_slice(&key), &ulid, err);
    if (rc == DZ_OK && ulid.len == DZ_ULID_LEN)
        memcpy(q->ulid_out, ulid.ptr, DZ_ULID_LEN);
    if (rc != DZ_ABSENT)
        return rc;
    DZ_AUTO(dz_kv_iter_fini) struct dz_kv_iter it;
    struct dz_slice found;
    dz_kv_iter_init(&it, txn, T_INDEX, key_slice(&prefix));
    uint32_t count = dz_kv_prev(&it, &found, &last) ? (uint32_t) number_at(found, 8, 4) : 0;
    const char *is_today = q->spec.kind == SPEC_TODAY ? "today" : "that day";
    if (count == 0)
        return dz_fail(err, DZ_ABSENT, "there is no job %s: this project had none %s", q->text,
                       is_today);
    return dz_fail(err, DZ_ABSENT, "there is no job %s: the last one %s was number %u", q->text,
                   is_today, count);
}

/* The most recent day with this MMDD, today included; 29 February may be years ago. */
static uint32_t
most_recent(uint32_t month_day, uint32_t today)
{
    uint32_t year = today / 10000 - (month_day > today % 10000);
    bool is_leap_day = month_day == 229;
    while (is_leap_day && !(year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)))
        year--;
    return year * 10000 + month_day;
}

static bool
is_date(uint32_t day)
{
    static const uint8_t lens[] = { 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    uint32_t month = day / 100 % 100, of_month = day % 100;
    return month >= 1 && month <= 12 && of_month >= 1 && of_month <= lens[month - 1];
}

/* The project's own zone is that of its newest job. */
static enum dz_rc
find_dated(struct dz_kv_txn *txn, struct find_query *q, const char *newest, struct dz_err *err)
{
    DZ_AUTO(head_release) json_t *head = NULL;
    enum dz_rc rc = head_read(txn, newest, &head, err);
    if (rc != DZ_OK)
        return rc;
    DZ_AUTO(zone_destroy) struct zone *zone = zone_new(head_text(head, "timezone"));
    uint32_t today = zone_day(zone, q->now_us), day = today;
    if (q->spec.kind == SPEC_DAY)
        day = most_recent(q->spec.date, today);
    if (q->spec.kind == SPEC_DATE)
        day = q->spec.date;
    if (!is_date(day))
        return dz_fail(err, DZ_ABSENT, "there is no job %s: no such date", q->text);
    return find_by_day(txn, q, day, err);
}

static enum dz_rc
find_back(struct dz_kv_txn *txn, struct find_query *q, uint32_t back, char *ulid_out,
          struct dz_err *err)
{
    struct key prefix = { .len = 0 };
    struct dz_slice key, ulid = { 0 };
    key_add_number(&prefix, q->project, 4);
    DZ_AUTO(dz_kv_iter_fini) struct dz_kv_iter it;
    dz_kv_iter_init(&it, txn, T_INDEX, key_slice(&prefix));
    for (uint32_t i = 0; i <= back; i++)
        if (!dz_kv_prev(&it, &key, &ulid)) {
            enum dz_rc rc = dz_kv_iter_rc(&it, err);
            return rc != DZ_OK ? rc
                               : dz_fail(err, DZ_ABSENT, "there is no job %s: this project has %u",
                                         q->text, i);
        }
    if (ulid.len == DZ_ULID_LEN)
        memcpy(ulid_out, ulid.ptr, DZ_ULID_LEN);
    return DZ_OK;
}

static enum dz_rc
find_prefix(struct dz_kv_txn *txn, struct find_query *q, struct dz_err *err)
{
    char upper[DZ_ULID_LEN + 1] = "";
    struct dz_slice key, value;
    for (size_t i = 0; q->text[i]; i++) /* is_crockford() said that it fits */
        upper[i] = (char) (q->text[i] >= 'a' ? q->text[i] - 'a' + 'A' : q->text[i]);
    DZ_AUTO(dz_kv_iter_fini) struct dz_kv_iter it;
    dz_kv_iter_init(&it, txn, T_JOB, dz_str(upper));
    if (!dz_kv_next(&it, &key, &value)) {
        enum dz_rc rc = dz_kv_iter_rc(&it, err);
        if (rc == DZ_OK && shard_alias(txn, upper, q->ulid_out, err) == DZ_OK)
            return DZ_OK;
        return rc != DZ_OK ? rc
                           : dz_fail(err, DZ_REFUSED, "no job's long id begins with '%s'", q->text);
    }
    if (key.len == DZ_ULID_LEN)
        memcpy(q->ulid_out, key.ptr, DZ_ULID_LEN);
    if (dz_kv_next(&it, &key, &value))
        return dz_fail(err, DZ_LIMIT, "several jobs' long ids begin with '%s'; give more of it",
                       q->text);
    return dz_kv_iter_rc(&it, err);
}

static enum dz_rc
query_find(struct dz_kv_txn *txn, void *arg, struct dz_err *err)
{
    struct find_query *q = arg;
    char newest[DZ_ULID_LEN + 1] = "";
    if (q->spec.kind == SPEC_PREFIX)
        return find_prefix(txn, q, err);
    enum dz_rc rc = project_number(txn, q->uri, &q->project, err);
    if (rc == DZ_ABSENT)
        return dz_fail(err, rc, "there is no job %s: this project (%s) has none yet", q->text,
                       q->uri);
    if (rc == DZ_OK && q->spec.kind == SPEC_BACK)
        return find_back(txn, q, q->spec.back, q->ulid_out, err);
    if (rc == DZ_OK)
        rc = find_back(txn, q, 0, newest, err);
    return rc == DZ_OK ? find_dated(txn, q, newest, err) : rc;
}

enum dz_rc
store_job_find(struct store *self, const char *uri, const char *spec, int64_t now_us,
               char ulid_out[STORE_ULID_LEN + 1], struct dz_err *err)
{
    char ulid[DZ_ULID_LEN + 1] = "";
    struct find_query q = {
        .uri = uri, .text = spec, .spec = read_spec(spec), .now_us = now_us, .ulid_out = ulid
    };
    if (q.spec.kind == SPEC_NONE)
        return dz_fail(err, DZ_REFUSED, "'%.100s' is not the name of a job", spec);
    enum dz_rc rc = dz_kv_read(self->kv, query_find, &q, err);
    if (rc == DZ_OK)
        memcpy(ulid_out, ulid, sizeof(ulid));
    return rc;
}

struct commit_query {
    const char *uri, *commit;
    char *ulid_out;
};

static enum dz_rc
query_commit(struct dz_kv_txn *txn, void *arg, struct dz_err *err)
{
    struct commit_query *q = arg;
    struct key prefix = { .len = 0 };
    struct dz_slice key, value;
    uint32_t project = 0;
    enum dz_rc rc = project_number(txn, q->uri, &project, err);
    if (rc != DZ_OK)
        return rc == DZ_ABSENT ? dz_fail(err, rc, "no job ran at commit %.12s", q->commit) : rc;
    key_add_number(&prefix, project, 4);
    key_add(&prefix, q->commit, strlen(q->commit));
    DZ_AUTO(dz_kv_iter_fini) struct dz_kv_iter it;
    dz_kv_iter_init(&it, txn, T_COMMIT, key_slice(&prefix));
    if (!dz_kv_prev(&it, &key, &value)) {
        rc = dz_kv_iter_rc(&it, err);
        return rc != DZ_OK ? rc : dz_fail(err, DZ_ABSENT, "no job ran at commit %.12s", q->commit);
    }
    if (key.len == prefix.len + DZ_ULID_LEN)
        memcpy(q->ulid_out, key.ptr + prefix.len, DZ_ULID_LEN);
    return DZ_OK;
}

enum dz_rc
store_job_of_commit(struct store *self, const char *uri, const char *commit,
                    char ulid_out[STORE_ULID_LEN + 1], struct dz_err *err)
{
    char ulid[DZ_ULID_LEN + 1] = "";
    struct commit_query q = { uri, commit, ulid };
    if (strlen(commit) > 64)
        return dz_fail(err, DZ_ABSENT, "'%.64s...' is not a commit", commit);
    enum dz_rc rc = dz_kv_read(self->kv, query_commit, &q, err);
    if (rc == DZ_OK)
        memcpy(ulid_out, ulid, sizeof(ulid));
    return rc;
}

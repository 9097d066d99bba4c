/* shards.c - which job a share belongs to; see shards.h. */
#include "store/shards.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shared/wire/meeting.h"

enum { ROUNDS_MAX = 256 /* generations and commands that are looked through */ };

/* ------------------------------------------------------------------ what a sender says */

bool
shard_check(const json_t *head)
{
    int64_t index = head_number(head, "shard_index"), total = head_number(head, "shard_total");
    const json_t *step = json_object_get(head, "step");
    bool is_step_ok =
        !step || (json_is_string(step) &&
                  (json_string_length(step) == 0 || json_string_length(step) == DZ_MEETING_NAME));
    return is_step_ok && total >= 0 && total <= SHARDS_MAX && index >= 0 &&
           (index < total || total == 0);
}

bool
shard_of(const json_t *head, struct shard *out)
{
    *out = (struct shard){
        .index = (uint32_t) head_number(head, "shard_index"),
        .total = (uint32_t) head_number(head, "shard_total"),
        .generation = (uint32_t) head_number(head, "generation"),
        .origin = (uint64_t) head_number(head, "origin"),
        .ci_job = (uint64_t) head_number(head, "ci_job"),
        .start_us = head_number(head, "start_us"),
        .step = head_text(head, "step"),
        .uri = head_text(head, "uri"),
    };
    return out->total > 1 && *out->step != '\0';
}

/* ------------------------------------------------------------------ in a head */

bool
shard_end_is_verdict(const json_t *seal)
{
    return head_number(seal, "exit_code") != 128 + SIGTERM;
}

bool
shards_are_in(const json_t *head)
{
    return json_is_object(json_object_get(head, "shards"));
}

void
shards_begin(json_t *head, uint32_t total)
{
    json_t *shards = json_object();
    (void) json_object_set_new(shards, "total", json_integer(total));
    (void) json_object_set_new(shards, "there", json_integer(0));
    (void) json_object_set_new(head, "shards", shards);
}

/* ------------------------------------------------------------------ STEP */

/* 's' of shares, 'm' of a meeting: project, step, generation, ordinal -> long id */
static struct key
step_key(char kind, uint32_t project, const char *step, uint32_t generation, uint32_t ordinal)
{
    struct key key = { .len = 0 };
    key_add(&key, &kind, 1);
    key_add_number(&key, project, 4);
    key_add(&key, step, strlen(step));
    key_add_number(&key, generation, 4);
    key_add_number(&key, ordinal, 2);
    return key;
}

static struct key
alias_key(const char *ulid)
{
    struct key key = { .len = 0 };
    key_add(&key, "a", 1);
    key_add(&key, ulid, DZ_ULID_LEN);
    return key;
}

static enum dz_rc
get_ulid(struct dz_kv_txn *txn, const struct key *key, char out[DZ_ULID_LEN + 1],
         struct dz_err *err)
{
    struct dz_slice value;
    enum dz_rc rc = dz_kv_get(txn, T_STEP, key_slice(key), &value, err);
    if (rc == DZ_OK && value.len != DZ_ULID_LEN)
        return dz_fail(err, DZ_CORRUPT, "the list of steps is damaged");
    if (rc == DZ_OK) {
        memcpy(out, value.ptr, DZ_ULID_LEN);
        out[DZ_ULID_LEN] = '\0';
    }
    return rc;
}

enum dz_rc
shard_alias(struct dz_kv_txn *txn, const char *ulid, char out[DZ_ULID_LEN + 1], struct dz_err *err)
{
    struct key key = alias_key(ulid);
    return get_ulid(txn, &key, out, err);
}

enum dz_rc
shards_note_meeting(struct dz_kv_txn *txn, uint32_t project, const struct store_begin *begin,
                    const char *ulid, struct dz_err *err)
{
    if (!begin->step || !*begin->step || begin->shard_total > 1)
        return DZ_OK;
    struct key key = step_key('m', project, begin->step, begin->generation, 0);
    return dz_kv_put(txn, T_STEP, key_slice(&key), dz_str(ulid), err);
}

/* ------------------------------------------------------------------ finding the job */

struct finding {
    const char *ulid; /* of the sender */
    const struct shard *shard;
    struct shard_place *out;
    uint32_t project;
};

enum fit { FIT_HERE, FIT_NEXT_GENERATION, FIT_OTHER_COMMAND, FIT_TOO_OFTEN };

/* May this share be of that job? */
static enum fit
fits(struct dz_kv_txn *txn, const char *ulid, const struct shard *shard)
{
    DZ_AUTO(shard_walk_fini) struct shard_walk walk;
    unsigned comes = 0;
    enum fit fit = FIT_HERE;
    shard_walk_init(&walk, txn, ulid);
    while (shard_walk_next(&walk)) {
        const struct shard_come *come = &walk.come;
        if (come->index != shard->index)
            continue;
        if (come->origin == shard->origin)
            return FIT_HERE;
        bool has_verdict =
            come->has_ended && shard_end_is_verdict(json_object_get(come->note, "seal"));
        if (has_verdict && come->ci_job == shard->ci_job)
            fit = FIT_OTHER_COMMAND;
        else if (has_verdict && come->start_us <= shard->start_us)
            fit = FIT_NEXT_GENERATION;
        comes++;
    }
    return fit == FIT_HERE && comes >= SHARD_COMES_MAX ? FIT_TOO_OFTEN : fit;
}

/* The job of this round, "" when nobody of it has come. */
static enum dz_rc
job_of_round(struct dz_kv_txn *txn, const struct finding *self, uint32_t generation,
             uint32_t ordinal, char out[DZ_ULID_LEN + 1], struct dz_err *err)
{
    struct key key = step_key('s', self->project, self->shard->step, generation, ordinal);
    *out = '\0';
    enum dz_rc rc = get_ulid(txn, &key, out, err);
    if (rc == DZ_ABSENT && ordinal == 0) {
        key = step_key('m', self->project, self->shard->step, generation, 0);
        rc = get_ulid(txn, &key, out, err);
    }
    return rc == DZ_ABSENT ? DZ_OK : rc;
}

static enum dz_rc
choose(struct dz_kv_txn *txn, struct finding *self, uint32_t *ordinal_out, struct dz_err *err)
{
    struct shard_place *place = self->out;
    uint32_t ordinal = 0;
    *place = (struct shard_place){ .generation = self->shard->generation };
    if (place->generation > 0) {
        enum dz_rc rc = job_of_round(txn, self, place->generation - 1, 0, place->previous, err);
        if (rc != DZ_OK)
            return rc;
    }
    for (unsigned i = 0; i < ROUNDS_MAX; i++) {
        enum dz_rc rc = job_of_round(txn, self, place->generation, ordinal, place->ulid, err);
        if (rc != DZ_OK)
            return rc;
        enum fit fit = *place->ulid ? fits(txn, place->ulid, self->shard) : FIT_HERE;
        if (!*place->ulid)
            memcpy(place->ulid, self->ulid, DZ_ULID_LEN);
        *ordinal_out = ordinal;
        if (fit == FIT_HERE)
            return DZ_OK;
        if (fit == FIT_TOO_OFTEN)
            break;
        ordinal = fit == FIT_OTHER_COMMAND ? ordinal + 1 : 0;
        place->generation += fit == FIT_NEXT_GENERATION;
        if (fit == FIT_NEXT_GENERATION)
            memcpy(place->previous, place->ulid, sizeof(place->previous));
    }
    return dz_fail(err, DZ_LIMIT, "slot %u of this CI step has come too often",
                   self->shard->index + 1);
}

static enum dz_rc
decide(struct dz_kv_txn *txn, void *arg, struct dz_err *err)
{
    struct finding *self = arg;
    struct key alias = alias_key(self->ulid), round;
    uint32_t ordinal = 0;
    struct dz_slice job;
    enum dz_rc rc = project_make(txn, self->shard->uri, &self->project, err);
    if (rc == DZ_OK)
        rc = choose(txn, self, &ordinal, err);
    if (rc != DZ_OK)
        return rc;
    job = dz_str(self->out->ulid);
    round = step_key('s', self->project, self->shard->step, self->out->generation, ordinal);
    rc = dz_kv_put(txn, T_STEP, key_slice(&round), job, err);
    return rc == DZ_OK ? dz_kv_put(txn, T_STEP, key_slice(&alias), job, err) : rc;
}

static enum dz_rc
look_up(struct dz_kv_txn *txn, void *arg, struct dz_err *err)
{
    struct finding *self = arg;
    *self->out = (struct shard_place){ .generation = self->shard->generation };
    return shard_alias(txn, self->ulid, self->out->ulid, err);
}

enum dz_rc
shard_find_job(struct store *store, const char *ulid, const struct shard *shard,
               struct shard_place *out, struct dz_err *err)
{
    struct finding work = { .ulid = ulid, .shard = shard, .out = out };
    enum dz_rc rc = dz_kv_read(store->kv, look_up, &work, err);
    return rc == DZ_ABSENT ? dz_kv_write(store->kv, decide, &work, err) : rc;
}

/* ------------------------------------------------------------------ a share has come */

struct coming {
    struct store_job *job;
    const char *ulid; /* of the sender */
    const struct shard *shard;
};

static enum dz_rc
is_noted(struct dz_kv_txn *txn, void *arg, struct dz_err *err)
{
    const struct coming *self = arg;
    DZ_AUTO(shard_come_fini) struct shard_come there = { .note = NULL };
    return shard_get(txn, self->job->ulid, self->shard, &there, err);
}

/* It has ended already: what was told of that is kept beside what shares will tell. */
static enum dz_rc
note_led(json_t *head, struct dz_err *err)
{
    struct store_seal seal;
    enum dz_rc rc = seal_read(head, &seal, err);
    json_t *shards = json_object_get(head, "shards");
    if (rc != DZ_OK)
        return rc;
    seal.is_witnessed = head_number(head, "is_witnessed");
    (void) json_object_set_new(shards, "led", seal_text(&seal));
    (void) json_object_set_new(shards, "has_taught", json_integer(1));
    return DZ_OK;
}

/* A job of a meeting learns that it has shares. */
static enum dz_rc
note(struct dz_kv_txn *txn, void *arg, struct dz_err *err)
{
    const struct coming *self = arg;
    const struct shard *shard = self->shard;
    DZ_AUTO(head_release) json_t *head = NULL;
    DZ_AUTO(head_release)
    json_t *text = json_pack("{s:I,s:I,s:s}", "ci_job", (json_int_t) shard->ci_job, "start_us",
                             (json_int_t) shard->start_us, "job", self->ulid);
    struct shard_come come = { .index = shard->index, .origin = shard->origin, .note = text };
    enum dz_rc rc = head_read(txn, self->job->ulid, &head, err);
    if (rc == DZ_OK)
        rc = shard_put(txn, self->job->ulid, &come, err);
    if (rc != DZ_OK || shards_are_in(head))
        return rc;
    shards_begin(head, shard->total);
    if (head_number(head, "is_sealed"))
        rc = note_led(head, err);
    return rc == DZ_OK ? head_write(txn, self->job->ulid, head, err) : rc;
}

enum dz_rc
shard_note(struct store_job *job, const char *ulid, const struct shard *shard, struct dz_err *err)
{
    struct coming work = { job, ulid, shard };
    enum dz_rc rc = dz_kv_read(job->store->kv, is_noted, &work, err);
    return rc == DZ_ABSENT ? dz_kv_write(job->store->kv, note, &work, err) : rc;
}

/* ------------------------------------------------------------------ who lives */

enum dz_rc
shard_heard(struct dz_kv_txn *txn, const char *ulid, const struct shard *shard, const json_t *from,
            int64_t now_us, struct dz_err *err)
{
    DZ_AUTO(shard_come_fini) struct shard_come come = { .note = NULL };
    enum dz_rc rc = shard_get(txn, ulid, shard, &come, err);
    if (rc != DZ_OK)
        return rc == DZ_ABSENT ? DZ_OK : rc;
    if (now_us - head_number(come.note, "heard_us") < WRITER_NOTED_US)
        return DZ_OK;
    (void) json_object_set_new(come.note, "heard_us", json_integer(now_us));
    writer_copy(come.note, from);
    return shard_put(txn, ulid, &come, err);
}

bool
writers_are_there(struct dz_kv_txn *txn, const char *ulid, const json_t *head, int64_t written_us,
                  int64_t now_us)
{
    if (!shards_are_in(head))
        return writer_is_there(head, written_us, now_us);
    DZ_AUTO(shard_walk_fini) struct shard_walk walk;
    bool is_led =
        head_number(head, "pid") > 0 && !json_object_get(json_object_get(head, "shards"), "led");
    bool is_there = is_led && writer_is_there(head, written_us, now_us);
    shard_walk_init(&walk, txn, ulid);
    while (!is_there && shard_walk_next(&walk))
        is_there = !walk.come.has_ended && head_number(walk.come.note, "pid") > 0 &&
                   writer_is_there(walk.come.note, 0, now_us);
    return is_there;
}

/* ------------------------------------------------------------------ the end of a job */

static enum dz_rc
drop_if(struct dz_kv_txn *txn, const struct key *key, const char *ulid, struct dz_err *err)
{
    char there[DZ_ULID_LEN + 1] = "";
    enum dz_rc rc = get_ulid(txn, key, there, err);
    if (rc == DZ_OK && strcmp(there, ulid) == 0)
        rc = dz_kv_del(txn, T_STEP, key_slice(key), err);
    return rc == DZ_ABSENT ? DZ_OK : rc;
}

static enum dz_rc
forget_aliases(struct dz_kv_txn *txn, const char *ulid, struct dz_err *err)
{
    DZ_AUTO(shard_walk_fini) struct shard_walk walk;
    enum dz_rc rc = DZ_OK;
    shard_walk_init(&walk, txn, ulid);
    while (rc == DZ_OK && shard_walk_next(&walk)) {
        const char *sender = head_text(walk.come.note, "job");
        if (!dz_ulid_read(dz_str(sender), NULL))
            continue;
        struct key alias = alias_key(sender);
        rc = drop_if(txn, &alias, ulid, err);
    }
    return rc;
}

enum dz_rc
shards_forget(struct dz_kv_txn *txn, const char *ulid, const json_t *head, struct dz_err *err)
{
    const char *step = head_text(head, "step");
    uint32_t project = (uint32_t) head_number(head, "project");
    uint32_t generation = (uint32_t) head_number(head, "generation");
    enum dz_rc rc = forget_aliases(txn, ulid, err);
    if (strlen(step) != DZ_MEETING_NAME)
        return rc;
    struct key key = step_key('m', project, step, generation, 0);
    if (rc == DZ_OK)
        rc = drop_if(txn, &key, ulid, err);
    for (uint32_t ordinal = 0; rc == DZ_OK && ordinal < ROUNDS_MAX; ordinal++) {
        key = step_key('s', project, step, generation, ordinal);
        rc = drop_if(txn, &key, ulid, err);
    }
    return rc;
}

/* ------------------------------------------------------------------ in the sender's own store */

struct becoming {
    const char *ulid;
    uint32_t index, total;
};

static enum dz_rc
become(struct dz_kv_txn *txn, void *arg, struct dz_err *err)
{
    const struct becoming *self = arg;
    DZ_AUTO(head_release) json_t *head = NULL;
    enum dz_rc rc = head_read(txn, self->ulid, &head, err);
    if (rc != DZ_OK)
        return rc;
    (void) json_object_set_new(head, "shard_index", json_integer(self->index));
    (void) json_object_set_new(head, "shard_total", json_integer(self->total));
    return head_write(txn, self->ulid, head, err);
}

enum dz_rc
store_job_be_shard(struct store_job *self, uint32_t index, uint32_t total, struct dz_err *err)
{
    struct becoming work = { self->ulid, index, total };
    return dz_kv_write(self->store->kv, become, &work, err);
}

static enum dz_rc
read_total(struct dz_kv_txn *txn, void *arg, struct dz_err *err)
{
    struct becoming *self = arg;
    DZ_AUTO(head_release) json_t *head = NULL;
    enum dz_rc rc = head_read(txn, self->ulid, &head, err);
    if (rc == DZ_OK)
        self->total = (uint32_t) head_number(head, "shard_total");
    return rc;
}

bool
store_job_is_shard(struct store *self, const char *ulid)
{
    struct becoming work = { .ulid = ulid };
    struct dz_err unused;
    return dz_kv_read(self->kv, read_total, &work, &unused) == DZ_OK && work.total > 1;
}

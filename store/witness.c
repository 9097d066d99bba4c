/* witness.c - the seal of a job whose scheduler may not live to tell it.
 *
 * Who schedules seals the job when it knows its own exit code.  Until then others know as well that
 * all is over: nodes that were told SEAL, and the store, which is told before any of them.  Each
 * notes in the job's head what the seal will say; a job that holds all of that is sealed so.  What the
 * scheduler itself says later goes before it. */
#include "store/job.h"

static const char KEY[] = "witness";

bool
witness_read(const json_t *head, struct store_seal *out)
{
    const json_t *told = json_object_get(head, KEY);
    struct dz_err unused;
    if (!json_is_object(told) || seal_read(told, out, &unused) != DZ_OK)
        return false;
    out->reason = ""; /* nobody knows that of another one */
    out->is_witnessed = true;
    return true;
}

enum dz_rc
witness_put(struct dz_kv_txn *txn, const char *ulid, const struct store_seal *seal,
            struct dz_err *err)
{
    DZ_AUTO(head_release) json_t *head = NULL;
    enum dz_rc rc = head_read(txn, ulid, &head, err);
    if (rc == DZ_ABSENT)
        return DZ_OK; /* nobody has told of this job yet: who does tells of its end as well */
    if (rc != DZ_OK || head_number(head, "is_sealed"))
        return rc;
    (void) json_object_set_new(head, KEY, seal_text(seal));
    return head_write(txn, ulid, head, err);
}

/* ------------------------------------------------------------------ of a job that is open */

struct noting {
    const struct store_job *job;
    const struct store_seal *seal;
};

static enum dz_rc
note(struct dz_kv_txn *txn, void *arg, struct dz_err *err)
{
    struct noting *self = arg;
    return witness_put(txn, self->job->ulid, self->seal, err);
}

enum dz_rc
store_job_witness(struct store_job *self, const struct store_seal *seal, struct dz_err *err)
{
    struct noting work = { self, seal };
    if (self->is_sealed)
        return DZ_OK;
    dz_kv_sync_from_now(self->store->kv);
    return dz_kv_write(self->store->kv, note, &work, err);
}

struct looking {
    struct store_job *job;
    struct store_seal seal;
    bool is_due;
};

static enum dz_rc
look(struct dz_kv_txn *txn, void *arg, struct dz_err *err)
{
    struct looking *self = arg;
    DZ_AUTO(head_release) json_t *head = NULL;
    enum dz_rc rc = job_catch_up(self->job, txn, &head, err);
    if (rc != DZ_OK)
        return rc;
    self->is_due = !head_number(head, "is_sealed") && witness_read(head, &self->seal) &&
                   self->job->has_manifest && self->seal.collected == self->job->test_count &&
                   self->job->ledger.counted >= self->seal.counted;
    return DZ_OK;
}

enum dz_rc
store_job_seal_witnessed(struct store_job *self, struct dz_err *err)
{
    struct looking work = { .job = self };
    if (self->is_sealed)
        return DZ_OK;
    enum dz_rc rc = dz_kv_read(self->store->kv, look, &work, err);
    return rc == DZ_OK && work.is_due ? store_job_seal(self, &work.seal, err) : rc;
}

#include "tests/crash/shares.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared/base/files.h"
#include "shared/wire/meeting.h"

enum { TESTS = 30, PIECE_BYTES = 1 << 20 };

static const char STEP[] = "0123456789abcdef0123456789abcdef";

static void
must(enum dz_rc rc, const struct dz_err *err, const char *what)
{
    if (rc == DZ_OK)
        return;
    (void) fprintf(stderr, "%s is refused: %s (%s)\n", what, err->text, dz_rc_text(rc));
    abort();
}

void
shares_ulid(unsigned index, char out[STORE_ULID_LEN + 1])
{
    (void) snprintf(out, STORE_ULID_LEN + 1, "01KAJD00000000000000000000");
    out[STORE_ULID_LEN - 1] = (char) ('0' + index);
}

int64_t
shares_time(void)
{
    return INT64_C(1795867200000000); /* the day after the last of the script's jobs */
}

/* ---- a slot's run ---- */

struct run {
    struct store *store;
    struct store_job *job;
    struct store_outbox *outbox;
    struct store_at sent;
    char ids[TESTS][24];
    struct dz_slice list[TESTS];
    unsigned index;
};

static void
begin(struct run *self, const char *home)
{
    struct dz_err err = { "" };
    char ulid[STORE_ULID_LEN + 1];
    shares_ulid(self->index, ulid);
    struct store_begin begin = { .uri = "crash",
                                 .timezone = "UTC",
                                 .now_us = shares_time() + self->index,
                                 .ulid = ulid,
                                 .workers = 2,
                                 .node_total = SHARES,
                                 .step = STEP,
                                 .ci_job = 100 + self->index,
                                 .shard_index = self->index,
                                 .shard_total = SHARES };
    for (uint32_t i = 0; i < TESTS; i++) {
        (void) snprintf(self->ids[i], sizeof(self->ids[i]), "t.py::test_%03u", i);
        self->list[i] = dz_str(self->ids[i]);
    }
    must(store_open(home, STORE_WRITE, &self->store, NULL, &err), &err, "a slot's store");
    must(store_job_begin(self->store, &begin, &self->job, &err), &err, "a slot's job");
    must(store_job_put_manifest(self->job, self->list, TESTS, &err), &err, "a slot's list");
    must(store_outbox_open(self->store, ulid, &self->outbox, &err), &err, "a slot's outbox");
}

/* The batch's part of the slot's own share. */
static void
run_batch(struct run *self, uint32_t batch)
{
    struct store_result rows[TESTS];
    struct dz_err err = { "" };
    uint32_t count = 0, mine = 0;
    for (uint32_t i = 0; i < TESTS; i++) {
        if (dz_shard_of(self->list[i], SHARES) != self->index || mine++ % SHARE_BATCHES != batch)
            continue;
        bool is_bad = count == 0 && batch == 0;
        rows[count++] = (struct store_result){ .test = i,
                                               .node = 1 + self->index,
                                               .inc = 1,
                                               .exec = i + 1,
                                               .result = is_bad ? DZ_RESULT_FAILED : DZ_RESULT_OK,
                                               .start_us = shares_time() + i,
                                               .call_us = 100 + i,
                                               .text = dz_str(is_bad ? "assert 1 == 2\n" : "") };
    }
    char line[64];
    (void) snprintf(line, sizeof(line), "slot %u says something\n", self->index);
    struct store_log log = { .source = 1,
                             .seq = batch + 1,
                             .first_us = shares_time() + batch,
                             .last_us = shares_time() + batch,
                             .test = STORE_NO_TEST,
                             .text = dz_str(line) };
    struct store_batch all = {
        .results = rows, .result_count = count, .logs = &log, .log_count = 1
    };
    must(store_job_append(self->job, &all, &err), &err, "a slot's batch");
}

static void
end(struct run *self)
{
    struct store_ledger ledger;
    struct dz_err err = { "" };
    must(store_job_ledger(self->job, &ledger, &err), &err, "a slot's ledger");
    struct store_seal seal = { .collected = TESTS,
                               .counted = ledger.counted,
                               .digest = ledger.digest,
                               .nodes = 1,
                               .workers = 2,
                               .exit_code = 1,
                               .now_us = shares_time() + 1000000 };
    must(store_job_seal(self->job, &seal, &err), &err, "a slot's seal");
}

static void
pack(struct run *self, unsigned flags, struct dz_buf *out)
{
    struct dz_err err = { "" };
    struct store_at from = self->sent;
    must(store_outbox_next(self->outbox, &from, flags, PIECE_BYTES, out, &self->sent, &err), &err,
         "a slot's parcel");
}

static void
run_slot(unsigned index, struct dz_buf pieces[SHARE_PIECES])
{
    struct run run = { .index = index };
    char home[] = "/dev/shm/dz-share-XXXXXX";
    if (!mkdtemp(home))
        abort();
    begin(&run, home);
    pack(&run, STORE_HELLO, &pieces[0]);
    for (uint32_t i = 0; i < SHARE_BATCHES; i++) {
        run_batch(&run, i);
        pack(&run, STORE_WITH_LIST, &pieces[1 + i]);
    }
    end(&run);
    pack(&run, STORE_WITH_LIST, &pieces[1 + SHARE_BATCHES]);
    store_outbox_close(&run.outbox);
    store_job_close(&run.job);
    store_close(&run.store);
    dz_remove_tree(home);
}

/* ---- what it offers ---- */

struct shares *
shares_new(void)
{
    struct shares *self = dz_alloc0(1, sizeof(*self));
    for (unsigned i = 0; i < SHARES; i++)
        run_slot(i, self->pieces[i]);
    return self;
}

void
shares_destroy(struct shares **self_p)
{
    if (!*self_p)
        return;
    for (unsigned i = 0; i < SHARES; i++)
        for (unsigned k = 0; k < SHARE_PIECES; k++)
            dz_buf_fini(&(*self_p)->pieces[i][k]);
    dz_free(self_p);
}

void
shares_send(const struct shares *self, struct store *store, unsigned index, unsigned piece)
{
    struct dz_err err = { "" };
    struct store_receipt receipt;
    char ulid[STORE_ULID_LEN + 1], first[STORE_ULID_LEN + 1];
    shares_ulid(index, ulid);
    shares_ulid(0, first);
    must(store_inbox_take(store_inbox_of(store), ulid, dz_buf_slice(&self->pieces[index][piece]),
                          NULL, &receipt, &err),
         &err, "a parcel");
    bool is_end = piece == SHARE_PIECES - 1;
    if (strcmp(receipt.job, first) == 0 && (!is_end || receipt.is_sealed) &&
        receipt.at.count[STREAM_LOGS] >= (is_end ? SHARE_BATCHES : piece))
        return;
    (void) fprintf(stderr, "piece %u of slot %u: it is of job %s, %llu logs are there, sealed %d\n",
                   piece, index, receipt.job, (unsigned long long) receipt.at.count[STREAM_LOGS],
                   receipt.is_sealed);
    abort();
}

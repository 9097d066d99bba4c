/* batch.c - the log of records that a job is: batches, and the segments that they become. */
#include <string.h>

#include "store/column.h"
#include "store/contents.h"
#include "store/disk.h"

_Static_assert(sizeof(struct batch_head) == 24, "no padding in what is written");
_Static_assert(sizeof(struct packed_result) == 72, "no padding in what is written");
_Static_assert(sizeof(struct packed_log) == 48, "no padding in what is written");
_Static_assert(sizeof(struct packed_text) == 16, "no padding in what is written");
_Static_assert(sizeof(struct packed_span) == 64, "no padding in what is written");
_Static_assert(sizeof(struct duration_row) == 24, "no padding in what is written");

bool
batch_open(struct dz_slice value, size_t record_size, struct batch_head *head_out,
           struct dz_slice *records_out, struct dz_slice *data_out)
{
    struct batch_head head;
    if (value.len < sizeof(head))
        return false;
    memcpy(&head, value.ptr, sizeof(head));
    size_t rest = value.len - sizeof(head), records = head.count * record_size;
    if (head.count > STORE_BATCH_MAX || records > rest || head.data_len != rest - records)
        return false;
    *head_out = head;
    *records_out = (struct dz_slice){ value.ptr + sizeof(head), records };
    *data_out = (struct dz_slice){ records_out->ptr + records, head.data_len };
    return true;
}

uint32_t
batch_lane(uint32_t worker)
{
    enum { AGENT_LANE = 31 };
    return UINT32_C(1) << (worker == STORE_NO_WORKER ? AGENT_LANE : worker % AGENT_LANE);
}

void
batch_key(struct key *key, const uint8_t ulid[DZ_ULID_LEN], enum batch_kind kind)
{
    uint8_t byte = (uint8_t) kind;
    key_add(key, ulid, DZ_ULID_LEN);
    key_add(key, &byte, 1);
}

enum dz_rc
batch_next(struct dz_kv_txn *txn, const uint8_t ulid[DZ_ULID_LEN], enum batch_kind kind,
           uint32_t *number_out, struct dz_err *err)
{
    struct key prefix = { .len = 0 };
    struct dz_slice key, value;
    batch_key(&prefix, ulid, kind);
    DZ_AUTO(dz_kv_iter_fini) struct dz_kv_iter it;
    dz_kv_iter_init(&it, txn, T_BATCH, key_slice(&prefix));
    it.is_keys_only = true;
    bool has_last = dz_kv_prev(&it, &key, &value);
    struct contents_head head;
    enum dz_rc rc = dz_kv_iter_rc(&it, err);
    if (rc == DZ_OK)
        rc = contents_head(txn, (const char *) ulid, kind, &head, err);
    if (rc != DZ_OK)
        return rc;
    uint32_t next = has_last ? (uint32_t) number_at(key, prefix.len, 4) + 1 : 0;
    *number_out = next > head.until ? next : head.until;
    return DZ_OK;
}

struct store_result
unpack_result(const struct packed_result *row)
{
    return (struct store_result){
        .test = row->test,
        .attempt = row->attempt,
        .node = row->node,
        .inc = row->inc,
        .exec = row->exec,
        .result = row->result < DZ_RESULTS ? (enum dz_result) row->result : DZ_RESULT_NONE,
        .worker = row->worker,
        .start_us = row->start_us,
        .setup_us = row->setup_us,
        .call_us = row->call_us,
        .teardown_us = row->teardown_us,
        .is_strike = row->word == DZ_WORD_STRIKE,
        .cause = row->cause < DZ_CAUSES ? (enum dz_cause) row->cause : DZ_CAUSE_FINISHED,
        .signal = row->signal,
        .line = row->line,
        .word = (enum dz_word) row->word,
        .is_repeat = true,
    };
}

static void
take_rows(struct follower *follower, struct dz_slice records)
{
    struct packed_result row;
    for (size_t at = 0; follower->ledger && at + sizeof(row) <= records.len; at += sizeof(row)) {
        memcpy(&row, records.ptr + at, sizeof(row));
        struct store_result result = unpack_result(&row);
        ledger_replay(follower->ledger, &result);
    }
}

static bool
replay(struct dz_slice value, struct follower *follower)
{
    struct batch_head head;
    struct dz_slice records, data;
    if (!batch_open(value, sizeof(struct packed_result), &head, &records, &data))
        return false;
    take_rows(follower, records);
    if (follower->rows)
        dz_buf_add(follower->rows, records.ptr, records.len);
    follower->written_us = head.written_us;
    return true;
}

/* ---- results that are in segments ---- */

static const struct column result_columns[] = {
    COLUMN(struct packed_result, test),     COLUMN(struct packed_result, attempt),
    COLUMN(struct packed_result, result),   COLUMN(struct packed_result, word),
    COLUMN(struct packed_result, cause),    COLUMN(struct packed_result, signal),
    COLUMN(struct packed_result, node),     COLUMN(struct packed_result, inc),
    COLUMN(struct packed_result, exec),     COLUMN(struct packed_result, worker),
    COLUMN(struct packed_result, start_us), COLUMN(struct packed_result, setup_us),
    COLUMN(struct packed_result, call_us),  COLUMN(struct packed_result, teardown_us),
    COLUMN(struct packed_result, line), /* not in segments of version 2 */
};
const struct column_set RESULT_COLUMNS = { result_columns, DZ_LEN(result_columns),
                                           sizeof(struct packed_result), 1 };

static void
start_again(struct follower *follower)
{
    follower->next = 0;
    if (follower->ledger)
        ledger_clear(follower->ledger);
    if (follower->rows)
        dz_buf_clear(follower->rows);
}

static enum dz_rc
read_segment(struct dz_kv_txn *txn, const char *ulid, uint32_t number, struct follower *follower,
             struct dz_err *err)
{
    DZ_AUTO(dz_buf_fini) struct dz_buf own = { 0 };
    struct dz_buf *rows = follower->rows ? follower->rows : &own;
    struct dz_slice value;
    struct segment segment;
    size_t before = rows->len;
    enum dz_rc rc = contents_segment(txn, ulid, BATCH_RESULTS, number, &value, err);
    if (rc == DZ_OK && !segment_open(value, &RESULT_COLUMNS, &segment))
        return dz_fail(err, DZ_CORRUPT, "results of job %.26s cannot be read", ulid);
    if (rc == DZ_OK)
        rc = segment_records(follower->store, &segment, &RESULT_COLUMNS, rows, err);
    if (rc == DZ_OK)
        take_rows(follower, (struct dz_slice){ rows->data + before, rows->len - before });
    return rc;
}

static enum dz_rc
follow_segments(struct dz_kv_txn *txn, const char *ulid, struct follower *follower,
                struct dz_err *err)
{
    struct contents_head head;
    enum dz_rc rc = contents_head(txn, ulid, BATCH_RESULTS, &head, err);
    if (rc != DZ_OK || follower->next >= head.until)
        return rc;
    DZ_AUTO(contents_fini) struct contents contents = { .infos = NULL };
    rc = contents_read(follower->store, txn, ulid, BATCH_RESULTS, &contents, err);
    if (rc != DZ_OK)
        return rc;
    uint32_t first = 0;
    while (first < head.segments && contents.infos[first].batch_to <= follower->next)
        first++;
    if (first < head.segments && contents.infos[first].batch_from < follower->next) {
        start_again(follower);
        first = 0;
    }
    if (follower->rows)
        (void) dz_buf_reserve(follower->rows, head.records * sizeof(struct packed_result));
    for (uint32_t i = first; rc == DZ_OK && i < head.segments; i++)
        rc = read_segment(txn, ulid, i, follower, err);
    follower->written_us = head.written_us;
    follower->next = head.until;
    return rc;
}

enum dz_rc
results_follow(struct dz_kv_txn *txn, const char *ulid, struct follower *follower,
               struct dz_err *err)
{
    struct key prefix = { .len = 0 }, from;
    struct dz_slice key, value;
    enum dz_rc rc = follow_segments(txn, ulid, follower, err);
    if (rc != DZ_OK)
        return rc;
    batch_key(&prefix, (const uint8_t *) ulid, BATCH_RESULTS);
    from = prefix;
    key_add_number(&from, follower->next, 4);
    DZ_AUTO(dz_kv_iter_fini) struct dz_kv_iter it;
    dz_kv_iter_init(&it, txn, T_BATCH, key_slice(&prefix));
    dz_kv_iter_seek(&it, key_slice(&from));
    while (dz_kv_next(&it, &key, &value)) {
        if (!replay(value, follower))
            return dz_fail(err, DZ_CORRUPT, "results of job %.26s cannot be read", ulid);
        follower->next = (uint32_t) number_at(key, prefix.len, 4) + 1;
    }
    return dz_kv_iter_rc(&it, err);
}

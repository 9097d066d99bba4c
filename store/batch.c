/* batch.c - the log of records that a job is. */
#include <string.h>

#include "store/disk.h"

_Static_assert(sizeof(struct batch_head) == 24, "no padding in what is written");
_Static_assert(sizeof(struct packed_result) == 72, "no padding in what is written");
_Static_assert(sizeof(struct packed_log) == 48, "no padding in what is written");
_Static_assert(sizeof(struct packed_text) == 16, "no padding in what is written");
_Static_assert(sizeof(struct packed_span) == 56, "no padding in what is written");
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
    bool has_last = dz_kv_prev(&it, &key, &value);
    enum dz_rc rc = dz_kv_iter_rc(&it, err);
    if (rc == DZ_OK)
        *number_out = has_last ? (uint32_t) number_at(key, prefix.len, 4) + 1 : 0;
    return rc;
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
        .word = (enum dz_word) row->word,
        .is_repeat = true,
    };
}

static bool
replay(struct dz_slice value, struct follower *follower)
{
    struct batch_head head;
    struct dz_slice records, data;
    if (!batch_open(value, sizeof(struct packed_result), &head, &records, &data))
        return false;
    for (uint32_t i = 0; follower->ledger && i < head.count; i++) {
        struct packed_result row;
        memcpy(&row, records.ptr + i * sizeof(row), sizeof(row));
        struct store_result result = unpack_result(&row);
        ledger_replay(follower->ledger, &result);
    }
    if (follower->rows)
        dz_buf_add(follower->rows, records.ptr, records.len);
    follower->written_us = head.written_us;
    return true;
}

enum dz_rc
results_follow(struct dz_kv_txn *txn, const char *ulid, struct follower *follower,
               struct dz_err *err)
{
    struct key prefix = { .len = 0 }, from;
    struct dz_slice key, value;
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

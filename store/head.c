/* head.c - a job's JSON, and the numbers of projects. */
#include <stdio.h>
#include <string.h>

#include "shared/base/digest.h"
#include "store/disk.h"
#include "store/jot.h"

enum { URI_KEY_MAX = 480, JSON_FLAGS = JSON_COMPACT | JSON_SORT_KEYS };

void
head_release(json_t **self_p)
{
    json_decref(*self_p);
    *self_p = NULL;
}

static struct dz_slice
job_key(const char *ulid)
{
    return dz_str(ulid);
}

enum dz_rc
head_read(struct dz_kv_txn *txn, const char *ulid, json_t **head_out, struct dz_err *err)
{
    struct dz_slice value;
    enum dz_rc rc = dz_kv_get(txn, T_JOB, job_key(ulid), &value, err);
    if (rc == DZ_ABSENT)
        return dz_fail(err, rc, "there is no job %s", ulid);
    if (rc != DZ_OK)
        return rc;
    json_t *head = json_loadb((const char *) value.ptr, value.len, 0, NULL);
    if (!json_is_object(head)) {
        json_decref(head);
        return dz_fail(err, DZ_CORRUPT, "the record of job %s cannot be read", ulid);
    }
    *head_out = head;
    return DZ_OK;
}

enum dz_rc
head_write(struct dz_kv_txn *txn, const char *ulid, const json_t *head, struct dz_err *err)
{
    DZ_AUTO(dz_free) char *text = json_dumps(head, JSON_FLAGS);
    dz_assert(text); /* every string went through json_text() */
    enum dz_rc rc = dz_kv_put(txn, T_JOB, job_key(ulid), dz_str(text), err);
    return rc == DZ_OK ? feed_note(txn, ulid, FEED_OF_JOB, 0, err) : rc;
}

json_t *
json_text(const char *text)
{
    json_t *whole = json_string(text);
    if (whole)
        return whole;
    struct dz_buf clean = { 0 };
    struct dz_slice rest = dz_str(text);
    while (rest.len > 0) {
        size_t len = jot_char_len(rest), step = len ? len : 1;
        if (len > 0)
            dz_buf_add(&clean, rest.ptr, len);
        else
            dz_buf_add(&clean, "\xef\xbf\xbd", 3); /* U+FFFD */
        rest = (struct dz_slice){ rest.ptr + step, rest.len - step };
    }
    dz_buf_add(&clean, "", 1);
    whole = json_string((const char *) clean.data);
    dz_buf_fini(&clean);
    return whole;
}

const char *
head_text(const json_t *head, const char *key)
{
    const char *text = json_string_value(json_object_get(head, key));
    return text ? text : "";
}

int64_t
head_number(const json_t *head, const char *key)
{
    return json_integer_value(json_object_get(head, key));
}

bool
head_is_number(const json_t *head, const char *key, int64_t most)
{
    const json_t *value = json_object_get(head, key);
    int64_t number = json_integer_value(value);
    return !value || (json_is_integer(value) && number >= 0 && number <= most);
}

/* ---- projects ---- */

static struct key
uri_key(const char *uri)
{
    struct key key = { .len = 0 };
    struct dz_slice bytes = dz_str(uri);
    if (bytes.len > 0 && bytes.len <= URI_KEY_MAX)
        key_add(&key, bytes.ptr, bytes.len);
    else
        key_add_number(&key, dz_hash64(bytes), 8);
    return key;
}

enum dz_rc
project_number(struct dz_kv_txn *txn, const char *uri, uint32_t *out, struct dz_err *err)
{
    struct dz_slice value;
    struct key key = uri_key(uri);
    enum dz_rc rc = dz_kv_get(txn, T_PROJECT, key_slice(&key), &value, err);
    if (rc == DZ_OK)
        *out = (uint32_t) number_at(value, 0, 4);
    return rc;
}

enum dz_rc
project_make(struct dz_kv_txn *txn, const char *uri, uint32_t *out, struct dz_err *err)
{
    enum dz_rc rc = project_number(txn, uri, out, err);
    if (rc != DZ_ABSENT)
        return rc;
    struct dz_slice value;
    uint32_t count = 0;
    rc = dz_kv_get(txn, T_META, dz_str("projects"), &value, err);
    if (rc == DZ_OK)
        count = (uint32_t) number_at(value, 0, 4);
    else if (rc != DZ_ABSENT)
        return rc;
    struct key number = { .len = 0 }, key = uri_key(uri);
    key_add_number(&number, count + 1, 4);
    rc = dz_kv_put(txn, T_META, dz_str("projects"), key_slice(&number), err);
    if (rc == DZ_OK)
        rc = dz_kv_put(txn, T_PROJECT, key_slice(&key), key_slice(&number), err);
    if (rc == DZ_OK)
        *out = count + 1;
    return rc;
}

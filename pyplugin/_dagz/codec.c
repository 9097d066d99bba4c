/* codec.c - messages as Python sees them; every field comes from shared/wire/messages.def. */
#include "pyplugin/_dagz/dagz_ext.h"

/* Encoded strings and list bytes live until the message is encoded. */
struct scratch {
    PyObject *keep; /* owned: list of objects whose memory the message borrows */
    struct dz_buf *lists;
    size_t list_count;
};

enum { LISTS_MAX = 4 };

PyObject *
raise_os_error(const struct dz_err *err)
{
    PyErr_SetString(PyExc_OSError, err->text);
    return NULL;
}

/* ---------------------------------------------------------------- Python to C */

static int
get_u64(PyObject *value, uint64_t limit, uint64_t *out, struct scratch *scratch)
{
    (void) scratch;
    uint64_t number = PyLong_AsUnsignedLongLong(value);
    if (number == UINT64_MAX && PyErr_Occurred())
        return -1;
    if (number > limit) {
        PyErr_Format(PyExc_ValueError, "%llu is above the limit of %llu",
                     (unsigned long long) number, (unsigned long long) limit);
        return -1;
    }
    *out = number;
    return 0;
}

static int
keep(struct scratch *scratch, PyObject *object)
{
    int rc = PyList_Append(scratch->keep, object);
    Py_DECREF(object); /* the list holds it now */
    return rc;
}

static int
fits(size_t len, uint64_t limit)
{
    if (len <= limit)
        return 0;
    PyErr_Format(PyExc_ValueError, "%zu bytes are above the limit of %llu", len,
                 (unsigned long long) limit);
    return -1;
}

static int
get_str(PyObject *value, uint64_t limit, struct dz_slice *out, struct scratch *scratch)
{
    if (!PyUnicode_Check(value)) {
        PyErr_Format(PyExc_TypeError, "str expected, not %.100s", Py_TYPE(value)->tp_name);
        return -1;
    }
    Py_ssize_t len;
    const char *text = PyUnicode_AsUTF8AndSize(value, &len);
    if (text) {
        *out = (struct dz_slice){ (const uint8_t *) text, (size_t) len };
        return fits((size_t) len, limit); /* the caller's tuple keeps the text alive */
    }
    PyErr_Clear(); /* lone surrogates: bytes that came from the file system, or a test's id */
    PyObject *bytes = PyUnicode_AsEncodedString(value, "utf-8", "surrogateescape");
    if (!bytes) {
        PyErr_Clear();
        bytes = PyUnicode_AsEncodedString(value, "utf-8", "surrogatepass");
    }
    if (!bytes)
        return -1;
    *out = (struct dz_slice){ (const uint8_t *) PyBytes_AS_STRING(bytes),
                              (size_t) PyBytes_GET_SIZE(bytes) };
    if (keep(scratch, bytes) < 0)
        return -1;
    return fits(out->len, limit);
}

static int
get_bin(PyObject *value, uint64_t limit, struct dz_slice *out, struct scratch *scratch)
{
    (void) scratch;
    if (!PyBytes_Check(value)) {
        PyErr_Format(PyExc_TypeError, "bytes expected, not %.100s", Py_TYPE(value)->tp_name);
        return -1;
    }
    *out = (struct dz_slice){ (const uint8_t *) PyBytes_AS_STRING(value),
                              (size_t) PyBytes_GET_SIZE(value) };
    return fits(out->len, limit);
}

/* clang-format off */
#define F(kind, field, limit) \
    if (get_##kind(PyTuple_GET_ITEM(fields, i++), limit, &item->field, scratch) < 0) \
        return -1;
#define L(item, field, limit) _Static_assert(0, "a list inside a list");
#define DZ_MSG(id, name, fields)
#define DZ_ITEM(name, fields_) \
    static int \
    item_of_##name(PyObject *fields, struct dz_item_##name *item, struct scratch *scratch) \
    { \
        Py_ssize_t i = 0; \
        fields_ \
        return 0; \
    }
#include "shared/wire/messages.def"
#undef DZ_ITEM
#undef DZ_MSG
#undef L
#undef F

#define F(kind, field, limit) +1
#define DZ_MSG(id, name, fields)
#define DZ_ITEM(name, fields) enum { ITEM_FIELDS_##name = 0 fields };
#include "shared/wire/messages.def"
#undef DZ_ITEM
#undef DZ_MSG
#undef F

#define F(kind, field, limit)
#define DZ_MSG(id, name, fields)
#define DZ_ITEM(name, fields) \
    static int \
    get_list_##name(PyObject *value, uint64_t limit, struct dz_list *out, struct scratch *scratch) \
    { \
        if (!PyList_Check(value)) { \
            PyErr_SetString(PyExc_TypeError, "list of tuples expected"); \
            return -1; \
        } \
        if (scratch->list_count == LISTS_MAX || fits((size_t) PyList_GET_SIZE(value), limit) < 0) \
            return -1; \
        struct dz_buf *to = &scratch->lists[scratch->list_count++]; \
        for (Py_ssize_t i = 0; i < PyList_GET_SIZE(value); i++) { \
            PyObject *tuple = PyList_GET_ITEM(value, i); \
            struct dz_item_##name item; \
            if (!PyTuple_Check(tuple) || PyTuple_GET_SIZE(tuple) != ITEM_FIELDS_##name) { \
                PyErr_SetString(PyExc_TypeError, "an item of list " #name " has other fields"); \
                return -1; \
            } \
            if (item_of_##name(tuple, &item, scratch) < 0) \
                return -1; \
            dz_##name##_add(out, to, &item); \
        } \
        return 0; \
    }
#include "shared/wire/messages.def"
#undef DZ_ITEM
#undef DZ_MSG
#undef F

#define F(kind, field, limit) +1
#define L(item, field, limit) +1
#define DZ_ITEM(name, fields)
#define DZ_MSG(id, name, fields) FIELDS_##name = 0 fields,
enum {
#include "shared/wire/messages.def"
};
#undef DZ_ITEM
#undef DZ_MSG
#undef L
#undef F

#define F(kind, field, limit) \
    if (get_##kind(fields[i++], limit, &m->field, scratch) < 0) \
        return -1;
#define L(item, field, limit) \
    if (get_list_##item(fields[i++], limit, &m->field, scratch) < 0) \
        return -1;
#define DZ_ITEM(name, fields)
#define DZ_MSG(id, name, fields_) \
    static int \
    fill_##name(struct dz_msg_##name *m, PyObject *const *fields, struct scratch *scratch) \
    { \
        Py_ssize_t i = 0; \
        fields_ \
        return 0; \
    }
#include "shared/wire/messages.def"
#undef DZ_MSG
#undef DZ_ITEM
#undef L
#undef F

static int
fill(struct dz_msg *msg, const char *name, PyObject *const *fields, Py_ssize_t count,
     struct scratch *scratch)
{
#define DZ_ITEM(name, fields)
#define DZ_MSG(number, msg_name, fields_) \
    if (strcmp(name, #msg_name) == 0) { \
        if (count != FIELDS_##msg_name) { \
            PyErr_Format(PyExc_TypeError, "%s has %d fields, not %zd", name, FIELDS_##msg_name, \
                         count); \
            return -1; \
        } \
        msg->id = DZ_MSG_##msg_name; \
        return fill_##msg_name(&msg->as.msg_name, fields, scratch); \
    }
#include "shared/wire/messages.def"
#undef DZ_MSG
#undef DZ_ITEM
    PyErr_Format(PyExc_ValueError, "there is no message '%.100s'", name);
    return -1;
}
/* clang-format on */

int
codec_encode(struct dz_buf *out, const char *name, PyObject *const *fields, Py_ssize_t count)
{
    struct dz_buf lists[LISTS_MAX] = { 0 };
    struct scratch scratch = { .keep = PyList_New(0), .lists = lists };
    struct dz_msg msg = { 0 };
    int rc = -1;
    if (scratch.keep)
        rc = fill(&msg, name, fields, count, &scratch);
    if (rc == 0)
        dz_msg_encode_framed(&msg, out);
    for (size_t i = 0; i < LISTS_MAX; i++)
        dz_buf_fini(&lists[i]);
    Py_XDECREF(scratch.keep);
    return rc;
}

/* ---------------------------------------------------------------- C to Python */

static PyObject *
from_u64(uint64_t value)
{
    return PyLong_FromUnsignedLongLong(value);
}

static PyObject *
from_str(struct dz_slice value)
{
    return PyUnicode_DecodeUTF8((const char *) value.ptr, (Py_ssize_t) value.len,
                                "surrogateescape");
}

static PyObject *
from_bin(struct dz_slice value)
{
    return PyBytes_FromStringAndSize((const char *) value.ptr, (Py_ssize_t) value.len);
}

/* Puts a new reference into the tuple, or fails when there is none. */
static int
put(PyObject *tuple, Py_ssize_t at, PyObject *value)
{
    if (!value)
        return -1;
    PyTuple_SET_ITEM(tuple, at, value);
    return 0;
}

/* clang-format off */
#define F(kind, field, limit) \
    if (put(tuple, i++, from_##kind(item->field)) < 0) \
        return -1;
#define DZ_MSG(id, name, fields)
#define DZ_ITEM(name, fields) \
    static int \
    spread_##name(PyObject *tuple, const struct dz_item_##name *item) \
    { \
        Py_ssize_t i = 0; \
        fields \
        return 0; \
    } \
    static PyObject * \
    list_of_##name(struct dz_list rest) \
    { \
        PyObject *list = PyList_New(0); \
        struct dz_item_##name item; \
        while (list && dz_##name##_next(&rest, &item)) { \
            PyObject *tuple = PyTuple_New(ITEM_FIELDS_##name); \
            if (!tuple || spread_##name(tuple, &item) < 0 || PyList_Append(list, tuple) < 0) \
                Py_CLEAR(list); \
            Py_XDECREF(tuple); \
        } \
        return list; \
    }
#include "shared/wire/messages.def"
#undef DZ_ITEM
#undef DZ_MSG
#undef F

#define F(kind, field, limit) \
    if (put(tuple, i++, from_##kind(m->field)) < 0) \
        return -1;
#define L(item, field, limit) \
    if (put(tuple, i++, list_of_##item(m->field)) < 0) \
        return -1;
#define DZ_ITEM(name, fields)
#define DZ_MSG(id, name, fields) \
    static int \
    unfold_##name(PyObject *tuple, const struct dz_msg_##name *m) \
    { \
        Py_ssize_t i = 1; \
        fields \
        return 0; \
    }
#include "shared/wire/messages.def"
#undef DZ_MSG
#undef DZ_ITEM
#undef L
#undef F

static PyObject *
unfold(const struct dz_msg *msg)
{
    PyObject *tuple = NULL;
    int rc = -1;
    switch (msg->id) {
#define DZ_ITEM(name, fields)
#define DZ_MSG(number, name, fields) \
    case DZ_MSG_##name: \
        tuple = PyTuple_New(1 + FIELDS_##name); \
        if (tuple && put(tuple, 0, PyUnicode_InternFromString(#name)) == 0) \
            rc = unfold_##name(tuple, &msg->as.name); \
        break;
#include "shared/wire/messages.def"
#undef DZ_MSG
#undef DZ_ITEM
    }
    if (rc < 0)
        Py_CLEAR(tuple);
    return tuple;
}
/* clang-format on */

PyObject *
codec_decode(struct dz_slice frame)
{
    struct dz_msg msg;
    if (dz_msg_decode(frame, &msg) != DZ_OK) {
        PyErr_SetString(PyExc_ValueError, "bytes that are no message of this version");
        return NULL;
    }
    return unfold(&msg);
}

/* said.c - the half of a link object that is about output: what Python's streams say and take back. */
#include "pyplugin/_dagz/linkobj.h"

static int
stream_of(PyObject *number)
{
    long stream = PyLong_AsLong(number);
    if (stream != CAPTURE_OUT && stream != CAPTURE_ERR) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_ValueError, "a stream is 0 (stdout) or 1 (stderr)");
        return -1;
    }
    return (int) stream;
}

const char write_doc[] =
    PyDoc_STR("write(stream, data)\n--\n\nAppend what a Python stream says; data is bytes-like.\n\n"
              "The text is in its section even where the log could not be written.");

PyObject *
link_write(PyObject *op, PyObject *const *args, Py_ssize_t nargs)
{
    Py_buffer view;
    if (nargs != 2) {
        PyErr_SetString(PyExc_TypeError, "write() takes a stream and bytes");
        return NULL;
    }
    int stream = stream_of(args[0]);
    if (stream < 0 || PyObject_GetBuffer(args[1], &view, PyBUF_SIMPLE) < 0)
        return NULL;
    struct dz_slice text = { view.buf, (size_t) view.len };
    capture_write(&((struct linkobj *) op)->capture, (enum capture_stream) stream, text);
    Py_ssize_t len = view.len;
    PyBuffer_Release(&view);
    return PyLong_FromSsize_t(len);
}

const char log_doc[] = PyDoc_STR("log(data)\n--\n\nAppend bytes to the log and to no section.");

PyObject *
link_log(PyObject *op, PyObject *data)
{
    if (!PyBytes_Check(data)) {
        PyErr_SetString(PyExc_TypeError, "log() takes bytes");
        return NULL;
    }
    struct dz_slice text = { (const uint8_t *) PyBytes_AS_STRING(data),
                             (size_t) PyBytes_GET_SIZE(data) };
    capture_log(&((struct linkobj *) op)->capture, text);
    Py_RETURN_NONE;
}

const char text_doc[] =
    PyDoc_STR("text(stream)\n--\n\n"
              "Take what the stream said since the last call, as str (UTF-8, replace).");

PyObject *
link_text(PyObject *op, PyObject *number)
{
    struct linkobj *self = (struct linkobj *) op;
    int stream = stream_of(number);
    if (stream < 0)
        return NULL;
    struct dz_buf *text = &self->capture.text[stream];
    if (!capture_has_text(&self->capture, (enum capture_stream) stream))
        return PyUnicode_New(0, 0);
    PyObject *str =
        PyUnicode_DecodeUTF8((const char *) text->data, (Py_ssize_t) text->len, "replace");
    dz_buf_clear(text);
    return str;
}

const char said_doc[] = PyDoc_STR("said(stream, start)\n--\n\n"
                                  "What text() would take, from that byte on, as bytes; it stays.");

PyObject *
link_said(PyObject *op, PyObject *const *args, Py_ssize_t nargs)
{
    struct linkobj *self = (struct linkobj *) op;
    if (nargs != 2) {
        PyErr_SetString(PyExc_TypeError, "said() takes a stream and a number");
        return NULL;
    }
    int stream = stream_of(args[0]);
    size_t start = stream < 0 ? 0 : PyLong_AsSize_t(args[1]);
    if (PyErr_Occurred())
        return NULL;
    const struct dz_buf *text = &self->capture.text[stream];
    if (!capture_has_text(&self->capture, (enum capture_stream) stream) || start >= text->len)
        return PyBytes_FromStringAndSize(NULL, 0);
    return PyBytes_FromStringAndSize((const char *) text->data + start,
                                     (Py_ssize_t) (text->len - start));
}

const char size_doc[] =
    PyDoc_STR("size(stream)\n--\n\nThe number of bytes that text() would take.");

PyObject *
link_size(PyObject *op, PyObject *number)
{
    struct linkobj *self = (struct linkobj *) op;
    int stream = stream_of(number);
    if (stream < 0)
        return NULL;
    (void) capture_has_text(&self->capture, (enum capture_stream) stream);
    return PyLong_FromSize_t(self->capture.text[stream].len);
}

const char amend_doc[] =
    PyDoc_STR("amend(stream, data)\n--\n\n"
              "text() will take these bytes in place of what was said; the log keeps that.");

PyObject *
link_amend(PyObject *op, PyObject *const *args, Py_ssize_t nargs)
{
    struct linkobj *self = (struct linkobj *) op;
    if (nargs != 2 || !PyBytes_Check(args[1])) {
        PyErr_SetString(PyExc_TypeError, "amend() takes a stream and bytes");
        return NULL;
    }
    int stream = stream_of(args[0]);
    if (stream < 0)
        return NULL;
    struct dz_buf *text = &self->capture.text[stream];
    dz_buf_clear(text);
    dz_buf_add(text, PyBytes_AS_STRING(args[1]), (size_t) PyBytes_GET_SIZE(args[1]));
    Py_RETURN_NONE;
}

const char passed_doc[] =
    PyDoc_STR("passed()\n--\n\nTake what was said while a stream was suspended: bytes.");

PyObject *
link_passed(PyObject *op, PyObject *unused)
{
    (void) unused;
    struct linkobj *self = (struct linkobj *) op;
    capture_absorb(&self->capture);
    struct dz_buf *passed = &self->capture.passed;
    PyObject *bytes =
        PyBytes_FromStringAndSize((const char *) passed->data, (Py_ssize_t) passed->len);
    dz_buf_clear(passed);
    return bytes;
}

const char suspend_doc[] =
    PyDoc_STR("suspend(on)\n--\n\n"
              "From now on text is passed through (on) or its section's (off).");

PyObject *
link_suspend(PyObject *op, PyObject *value)
{
    struct linkobj *self = (struct linkobj *) op;
    int on = PyObject_IsTrue(value);
    if (on < 0)
        return NULL;
    if (self->capture.is_suspended != on)
        capture_absorb(&self->capture);
    self->capture.is_suspended = on;
    Py_RETURN_NONE;
}

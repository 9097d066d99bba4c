/* channel.c - one end of a socketpair that carries messages. */
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "pyplugin/_dagz/dagz_ext.h"
#include "shared/base/fd.h"

enum { CHUNK = 1 << 18, FDS_MAX = 8 };

struct channel {
    PyObject_HEAD
    int fd; /* owned; -1 when closed */
    struct dz_buf inbox;
};

static int
wait_until(int fd, short events, int timeout_ms)
{
    struct pollfd polled = { .fd = fd, .events = events };
    int ready;
    Py_BEGIN_ALLOW_THREADS ready = poll(&polled, 1, timeout_ms);
    Py_END_ALLOW_THREADS if (ready < 0 && errno != EINTR)
    {
        (void) PyErr_SetFromErrno(PyExc_OSError);
        return -1;
    }
    return ready < 0 ? 0 : ready;
}

static PyObject *
channel_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = { "fd", NULL };
    int fd;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "i:Channel", names, &fd))
        return NULL;
    struct channel *self = (struct channel *) type->tp_alloc(type, 0);
    if (self)
        self->fd = fd;
    return (PyObject *) self;
}

static void
channel_dealloc(PyObject *op)
{
    struct channel *self = (struct channel *) op;
    PyTypeObject *type = Py_TYPE(op);
    dz_fd_close(&self->fd);
    dz_buf_fini(&self->inbox);
    type->tp_free(op);
    Py_DECREF(type);
}

/* ---------------------------------------------------------------- sending */

/* Bytes sent, with descriptors attached to the first of them; -1 with errno. */
static ssize_t
send_some(int fd, struct dz_slice bytes, const int *fds, size_t fd_count)
{
    struct iovec part = { .iov_base = (void *) (uintptr_t) bytes.ptr, .iov_len = bytes.len };
    union {
        char space[CMSG_SPACE(sizeof(int) * FDS_MAX)];
        struct cmsghdr align;
    } control = { .space = { 0 } };
    struct msghdr head = { .msg_iov = &part, .msg_iovlen = 1 };
    if (fd_count > 0) {
        head.msg_control = control.space;
        head.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
        struct cmsghdr *cmsg = &control.align; /* CMSG_FIRSTHDR of this very buffer */
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
        memcpy(CMSG_DATA(cmsg), fds, sizeof(int) * fd_count);
    }
    return sendmsg(fd, &head, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static int
send_all(struct channel *self, struct dz_slice bytes, const int *fds, size_t fd_count)
{
    while (bytes.len > 0) {
        ssize_t sent = send_some(self->fd, bytes, fds, fd_count);
        if (sent > 0) {
            bytes.ptr += sent;
            bytes.len -= (size_t) sent;
            fd_count = 0;
        } else if (errno == EAGAIN) {
            if (wait_until(self->fd, POLLOUT, -1) < 0 || PyErr_CheckSignals() < 0)
                return -1;
        } else if (errno != EINTR) {
            (void) PyErr_SetFromErrno(PyExc_OSError);
            return -1;
        }
    }
    return 0;
}

static Py_ssize_t
fds_of(PyObject *sequence, int out[FDS_MAX])
{
    PyObject *fast = PySequence_Fast(sequence, "fds must be a sequence of descriptors");
    if (!fast)
        return -1;
    Py_ssize_t count = PySequence_Fast_GET_SIZE(fast);
    if (count > FDS_MAX) {
        PyErr_Format(PyExc_ValueError, "%zd descriptors; %d fit", count, FDS_MAX);
        count = -1;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        out[i] = (int) PyLong_AsLong(PySequence_Fast_GET_ITEM(fast, i));
        if (out[i] == -1 && PyErr_Occurred())
            count = -1;
    }
    Py_DECREF(fast);
    return count;
}

PyDoc_STRVAR(send_doc, "send(name, *fields, fds=())\n--\n\n"
                       "Send one message, descriptors attached.\n\n"
                       "Blocks while the other end is slow.  OSError (EPIPE) when it is gone.");

static PyObject *
channel_send(PyObject *op, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    struct channel *self = (struct channel *) op;
    int fds[FDS_MAX];
    Py_ssize_t fd_count = 0;
    if (kwnames && PyTuple_GET_SIZE(kwnames) > 0)
        fd_count = fds_of(args[nargs], fds);
    if (fd_count < 0)
        return NULL;
    const char *name = nargs > 0 ? PyUnicode_AsUTF8(args[0]) : "";
    if (!name)
        return NULL;
    struct dz_buf frame = { 0 };
    int rc = codec_encode(&frame, name, args + 1, nargs - 1);
    if (rc == 0)
        rc = send_all(self, dz_buf_slice(&frame), fds, (size_t) fd_count);
    dz_buf_fini(&frame);
    if (rc < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* ---------------------------------------------------------------- receiving */

/* 1: something was read, 0: nothing there, -1: exception (EOFError at the end). */
static int
read_some(struct channel *self)
{
    ssize_t got = recv(self->fd, dz_buf_reserve(&self->inbox, CHUNK), CHUNK, MSG_DONTWAIT);
    if (got > 0) {
        self->inbox.len += (size_t) got;
        return 1;
    }
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    PyErr_SetString(PyExc_EOFError, "the other end of the channel is gone");
    return -1;
}

/* Move every whole frame of the inbox to the list. */
static int
take_frames(struct channel *self, PyObject *list)
{
    size_t used_total = 0;
    int rc = 0;
    while (rc == 0) {
        struct dz_slice rest = { self->inbox.data + used_total, self->inbox.len - used_total };
        struct dz_slice frame;
        size_t used = 0;
        enum dz_rc taken = dz_frame_take(rest, &frame, &used);
        if (taken == DZ_AGAIN)
            break;
        if (taken != DZ_OK) {
            PyErr_SetString(PyExc_ValueError, "a frame is longer than the limit");
            return -1;
        }
        used_total += used;
        PyObject *message = codec_decode(frame);
        rc = message ? PyList_Append(list, message) : -1;
        Py_XDECREF(message);
    }
    dz_buf_drop(&self->inbox, used_total);
    return rc;
}

PyDoc_STRVAR(recv_doc,
             "recv(timeout_ms=-1)\n--\n\n"
             "The messages that have come: a list of (name, field, ...).\n\n"
             "Empty after the time-out or a signal.  EOFError when the other end is gone\n"
             "and everything was taken.");

static PyObject *
channel_recv(PyObject *op, PyObject *const *args, Py_ssize_t nargs)
{
    struct channel *self = (struct channel *) op;
    int timeout_ms = -1;
    if (nargs == 1) {
        timeout_ms = (int) PyLong_AsLong(args[0]);
        if (timeout_ms == -1 && PyErr_Occurred())
            return NULL;
    }
    PyObject *list = PyList_New(0);
    if (!list)
        return NULL;
    int rc = wait_until(self->fd, POLLIN, timeout_ms);
    if (rc > 0)
        rc = read_some(self);
    if (rc > 0)
        rc = take_frames(self, list);
    if (rc < 0 || PyErr_CheckSignals() < 0)
        Py_CLEAR(list);
    return list;
}

static PyObject *
channel_fileno(PyObject *op, PyObject *unused)
{
    (void) unused;
    return PyLong_FromLong(((struct channel *) op)->fd);
}

static PyObject *
channel_close(PyObject *op, PyObject *unused)
{
    (void) unused;
    dz_fd_close(&((struct channel *) op)->fd);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(detach_doc, "detach()\n--\n\nGive the descriptor away: the caller owns it now.");

static PyObject *
channel_detach(PyObject *op, PyObject *unused)
{
    (void) unused;
    struct channel *self = (struct channel *) op;
    int fd = self->fd;
    self->fd = -1;
    return PyLong_FromLong(fd);
}

static PyMethodDef channel_methods[] = {
    { "send", (PyCFunction) (void (*)(void)) channel_send, METH_FASTCALL | METH_KEYWORDS,
      send_doc },
    { "recv", (PyCFunction) (void (*)(void)) channel_recv, METH_FASTCALL, recv_doc },
    { "fileno", channel_fileno, METH_NOARGS, "The descriptor, -1 when closed." },
    { "close", channel_close, METH_NOARGS, "Close the descriptor; may be repeated." },
    { "detach", channel_detach, METH_NOARGS, detach_doc },
    { NULL },
};

static PyType_Slot channel_slots[] = {
    { Py_tp_doc,
      (void *) (uintptr_t) "Channel(fd)\n--\n\nOwns fd, one end of a stream socketpair." },
    { Py_tp_new, (void *) channel_new },
    { Py_tp_dealloc, (void *) channel_dealloc },
    { Py_tp_methods, channel_methods },
    { 0, NULL },
};

static PyType_Spec channel_spec = {
    .name = "dagz._dagz.Channel",
    .basicsize = sizeof(struct channel),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = channel_slots,
};

int
channel_add_type(PyObject *module)
{
    PyObject *type = PyType_FromModuleAndSpec(module, &channel_spec, NULL);
    if (!type)
        return -1;
    int rc = PyModule_AddType(module, (PyTypeObject *) type);
    Py_DECREF(type);
    return rc;
}

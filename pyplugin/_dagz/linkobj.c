/* linkobj.c - a worker's link and capture (worker/) as one Python object. */
#include "pyplugin/_dagz/linkobj.h"

#include <errno.h>
#include <time.h>
#include <unistd.h>

#include "shared/wire/model.h"

/* What take() and peek() say instead of a test. */
enum { SAYS_ASK = -1, SAYS_NONE = -2, SAYS_END = -3 };

static int64_t
now_us(void)
{
    struct timespec now;
    (void) clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t) now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static struct dz_shm *
shm_of(struct linkobj *self)
{
    return self->link.kit.shm;
}

PyDoc_STRVAR(link_doc, "Link(num)\n--\n\n"
                       "The channels of worker `num`, made before the fork.\n\n"
                       "After the fork the parent calls keep_parent(), the worker keep_worker().\n"
                       "OSError when descriptors or memory lack.");

static PyObject *
link_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = { "num", NULL };
    unsigned int num;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "I:Link", names, &num))
        return NULL;
    struct linkobj *self = (struct linkobj *) type->tp_alloc(type, 0);
    if (!self)
        return NULL;
    struct dz_err err;
    if (link_kit_init(&self->link.kit, num, &err) != DZ_OK) {
        Py_DECREF(self);
        return raise_os_error(&err);
    }
    capture_init(&self->capture, shm_of(self), self->link.kit.master, self->link.kit.log);
    return (PyObject *) self;
}

static void
link_dealloc(PyObject *op)
{
    struct linkobj *self = (struct linkobj *) op;
    PyTypeObject *type = Py_TYPE(op);
    capture_fini(&self->capture);
    dz_buf_fini(&self->link.inbox);
    dz_buf_fini(&self->frame);
    link_kit_fini(&self->link.kit);
    type->tp_free(op);
    Py_DECREF(type);
}

static PyObject *
link_born_fds(PyObject *op, PyObject *unused)
{
    (void) unused;
    int fds[DZ_BORN_FDS];
    link_kit_born_fds(&((struct linkobj *) op)->link.kit, fds);
    PyObject *tuple = PyTuple_New(DZ_BORN_FDS);
    for (Py_ssize_t i = 0; tuple && i < DZ_BORN_FDS; i++) {
        PyObject *fd = PyLong_FromLong(fds[i]);
        if (!fd)
            Py_CLEAR(tuple);
        else
            PyTuple_SET_ITEM(tuple, i, fd);
    }
    return tuple;
}

static PyObject *
link_keep_parent(PyObject *op, PyObject *unused)
{
    (void) unused;
    link_kit_keep_parent(&((struct linkobj *) op)->link.kit);
    Py_RETURN_NONE;
}

static PyObject *
link_keep_worker(PyObject *op, PyObject *unused)
{
    (void) unused;
    struct linkobj *self = (struct linkobj *) op;
    link_kit_keep_worker(&self->link.kit);
    shm_of(self)->pid = (uint32_t) getpid();
    Py_RETURN_NONE;
}

/* ---------------------------------------------------------------- tests */

/* An exception for a wait that ended without news: -1, else 0. */
static int
after_wait(enum dz_rc rc)
{
    if (rc == DZ_CLOSED) {
        PyErr_SetString(PyExc_EOFError, "the parent of this worker is gone");
        return -1;
    }
    return PyErr_CheckSignals();
}

PyDoc_STRVAR(take_doc,
             "take()\n--\n\n"
             "The next test (an index >= 0), or ASK, NONE or END when the queue is empty.\n\n"
             "ASK: ask() tells more.  NONE: nothing for now.  END: nothing ever again.");

static PyObject *
link_take(PyObject *op, PyObject *unused)
{
    (void) unused;
    struct linkobj *self = (struct linkobj *) op;
    bool ask;
    uint32_t test = 0, attempt = 0;
    switch (link_try_next(&self->link, &test, &attempt, &ask)) {
    case LINK_TEST: return PyLong_FromUnsignedLongLong(test | ((uint64_t) attempt << 32));
    case LINK_END: return PyLong_FromLong(SAYS_END);
    case LINK_NONE: break;
    }
    return PyLong_FromLong(ask ? SAYS_ASK : SAYS_NONE);
}

PyDoc_STRVAR(ask_doc, "ask()\n--\n\nAsk the agent and wait until it answers, or a signal comes.\n\n"
                      "EOFError when the parent is gone.");

static PyObject *
link_ask_agent(PyObject *op, PyObject *unused)
{
    (void) unused;
    enum dz_rc rc;
    Py_BEGIN_ALLOW_THREADS rc = link_ask(&((struct linkobj *) op)->link);
    Py_END_ALLOW_THREADS if (after_wait(rc) < 0) return NULL;
    Py_RETURN_NONE;
}

PyDoc_STRVAR(wait_doc, "wait()\n--\n\nSleep until the agent or a signal wakes.\n\n"
                       "EOFError when the parent is gone.");

static PyObject *
link_wait_agent(PyObject *op, PyObject *unused)
{
    (void) unused;
    struct linkobj *self = (struct linkobj *) op;
    struct dz_shm *shm = shm_of(self);
    enum dz_rc rc = DZ_OK;
    atomic_store(&shm->waiting, 1);
    if (dz_queue_len(shm) == 0 && atomic_load(&shm->more) != DZ_MORE_END) {
        Py_BEGIN_ALLOW_THREADS rc = link_wait(&self->link);
        Py_END_ALLOW_THREADS
    }
    atomic_store(&shm->waiting, 0);
    if (after_wait(rc) < 0)
        return NULL;
    Py_RETURN_NONE;
}

PyDoc_STRVAR(begin_doc,
             "begin(taken)\n--\n\nSay that the test runs now; `taken` is what take() gave.");

static PyObject *
link_begin(PyObject *op, PyObject *taken)
{
    struct linkobj *self = (struct linkobj *) op;
    struct dz_shm *shm = shm_of(self);
    uint64_t both = PyLong_AsUnsignedLongLong(taken);
    if (both == UINT64_MAX && PyErr_Occurred())
        return NULL;
    self->test = (uint32_t) both;
    self->attempt = (uint32_t) (both >> 32);
    capture_absorb(&self->capture);
    atomic_fetch_add(&shm->exec, 1);
    atomic_store(&shm->line, 0);
    atomic_store(&shm->started_us, now_us());
    atomic_store(&shm->log_first, (int64_t) atomic_load(&shm->log_len));
    atomic_store(&shm->phase, DZ_PHASE_SETUP);
    atomic_store(&shm->running, ((uint64_t) self->test + 1) | ((uint64_t) self->attempt << 32));
    Py_RETURN_NONE;
}

PyDoc_STRVAR(line_doc,
             "line(number, elsewhere)\n--\n\n"
             "Say where the running test stands: its line, counted from 1, 0 for none, and\n"
             "whether that is in another file than its id names (then text begins with it).");

static PyObject *
link_line(PyObject *op, PyObject *const *args, Py_ssize_t nargs)
{
    unsigned long line = nargs == 2 ? PyLong_AsUnsignedLong(args[0]) : 0;
    int is_elsewhere = nargs == 2 ? PyObject_IsTrue(args[1]) : 0;
    if (nargs != 2)
        PyErr_SetString(PyExc_TypeError, "line() takes a number and a bool");
    if (PyErr_Occurred())
        return NULL;
    line = line <= DZ_LINE_MAX ? line : 0;
    atomic_store(&shm_of((struct linkobj *) op)->line,
                 (uint32_t) line | (is_elsewhere ? DZ_LINE_ELSEWHERE : 0));
    Py_RETURN_NONE;
}

static PyObject *
link_phase(PyObject *op, PyObject *phase)
{
    long number = PyLong_AsLong(phase);
    if (number == -1 && PyErr_Occurred())
        return NULL;
    atomic_store(&shm_of((struct linkobj *) op)->phase, (uint32_t) number);
    Py_RETURN_NONE;
}

/* ---------------------------------------------------------------- ring */

static int
push_frame(struct linkobj *self)
{
    size_t done = 0;
    enum dz_rc rc = DZ_OK;
    int failed = 0;
    do {
        if (rc == DZ_OK) /* the common case needs no wait and keeps the GIL */
            rc = link_push(&self->link, dz_buf_slice(&self->frame), &done);
        else
            rc = DZ_OK;
        failed = rc == DZ_OK ? 0 : after_wait(rc);
    } while (!failed && done < self->frame.len);
    dz_buf_clear(&self->frame);
    return failed;
}

PyDoc_STRVAR(result_doc,
             "result(result, setup_us, call_us, teardown_us, blob, text)\n--\n\n"
             "Report the running test; it runs no longer.  text: why it did not pass, or empty.\n\n"
             "EOFError when the parent is gone.");

static PyObject *
link_result(PyObject *op, PyObject *const *args, Py_ssize_t nargs)
{
    struct linkobj *self = (struct linkobj *) op;
    struct dz_shm *shm = shm_of(self);
    if (nargs != 6 || !PyBytes_Check(args[4]) || !PyBytes_Check(args[5])) {
        PyErr_SetString(PyExc_TypeError, "result() takes four numbers, and bytes twice");
        return NULL;
    }
    uint64_t numbers[4];
    for (int i = 0; i < 4; i++)
        numbers[i] = PyLong_AsUnsignedLongLong(args[i]);
    if (PyErr_Occurred())
        return NULL;
    struct dz_msg msg = {
        .id = DZ_MSG_result,
        .as.result = { .test = self->test,
                       .attempt = self->attempt,
                       .exec = atomic_load(&shm->exec),
                       .result = numbers[0],
                       .start_us = (uint64_t) atomic_load(&shm->started_us),
                       .setup_us = numbers[1],
                       .call_us = numbers[2],
                       .teardown_us = numbers[3],
                       .log_first = (uint64_t) atomic_load(&shm->log_first),
                       .log_end = atomic_load(&shm->log_len),
                       .line = atomic_load(&shm->line),
                       .blob = { (const uint8_t *) PyBytes_AS_STRING(args[4]),
                                 (size_t) PyBytes_GET_SIZE(args[4]) },
                       .text = { (const uint8_t *) PyBytes_AS_STRING(args[5]),
                                 (size_t) PyBytes_GET_SIZE(args[5]) } },
    };
    dz_msg_encode_framed(&msg, &self->frame);
    if (push_frame(self) < 0)
        return NULL;
    atomic_store(&shm->running, 0);
    atomic_store(&shm->phase, DZ_PHASE_IDLE);
    trim_heap(&self->trim, now_us());
    Py_RETURN_NONE;
}

PyDoc_STRVAR(partial_doc,
             "partial(blob)\n--\n\n"
             "What is known of the running test so far, should this process die in its teardown.");

static PyObject *
link_partial(PyObject *op, PyObject *blob)
{
    struct linkobj *self = (struct linkobj *) op;
    if (!PyBytes_Check(blob)) {
        PyErr_SetString(PyExc_TypeError, "partial() takes bytes");
        return NULL;
    }
    struct dz_msg msg = {
        .id = DZ_MSG_partial,
        .as.partial = { .test = self->test,
                        .attempt = self->attempt,
                        .exec = atomic_load(&shm_of(self)->exec),
                        .blob = { (const uint8_t *) PyBytes_AS_STRING(blob),
                                  (size_t) PyBytes_GET_SIZE(blob) } },
    };
    dz_msg_encode_framed(&msg, &self->frame);
    if (push_frame(self) < 0)
        return NULL;
    Py_RETURN_NONE;
}

PyDoc_STRVAR(push_doc, "push(name, *fields)\n--\n\nPut any message into the ring.\n\n"
                       "EOFError when the parent is gone.");

static PyObject *
link_push_message(PyObject *op, PyObject *const *args, Py_ssize_t nargs)
{
    struct linkobj *self = (struct linkobj *) op;
    const char *name = nargs > 0 ? PyUnicode_AsUTF8(args[0]) : NULL;
    if (!name) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_TypeError, "push() needs the name of a message");
        return NULL;
    }
    if (codec_encode(&self->frame, name, args + 1, nargs - 1) < 0 || push_frame(self) < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* ---------------------------------------------------------------- attributes */

static PyObject *
get_fd(PyObject *op, void *which)
{
    const struct link_kit *kit = &((struct linkobj *) op)->link.kit;
    const int fds[] = { kit->sock[0], kit->life[0], kit->life[1], kit->slave, kit->crash };
    return PyLong_FromLong(fds[(uintptr_t) which]);
}

static PyObject *
get_is_agent_gone(PyObject *op, void *unused)
{
    (void) unused;
    return PyBool_FromLong(((struct linkobj *) op)->link.is_agent_gone);
}

static PyObject *
get_agents(PyObject *op, void *unused)
{
    (void) unused;
    return PyLong_FromUnsignedLong(((struct linkobj *) op)->link.agents);
}

static PyObject *
get_num(PyObject *op, void *unused)
{
    (void) unused;
    return PyLong_FromUnsignedLong(((struct linkobj *) op)->link.kit.num);
}

static PyGetSetDef link_getset[] = {
    { "num", get_num, NULL, "The worker's number.", NULL },
    { "sock", get_fd, NULL, "The worker's socket to the agent; -1 when closed.", (void *) 0 },
    { "life", get_fd, NULL, "The worker's end of the life-line.", (void *) 1 },
    { "life_parent", get_fd, NULL, "The parent's end of the life-line.", (void *) 2 },
    { "slave", get_fd, NULL, "The terminal that becomes fd 1 and 2.", (void *) 3 },
    { "crash", get_fd, NULL, "The file for stacks.", (void *) 4 },
    { "agents", get_agents, NULL, "How many channels to new agents came.", NULL },
    { "is_agent_gone", get_is_agent_gone, NULL, "No channel to an agent right now.", NULL },
    { NULL },
};

#define METHOD(name, function, flags, doc) \
    { \
        name, (PyCFunction) (void (*)(void)) function, flags, doc \
    }

static PyMethodDef link_methods[] = {
    METHOD("born_fds", link_born_fds, METH_NOARGS, "What `born` carries, in its order."),
    METHOD("keep_parent", link_keep_parent, METH_NOARGS, "Close what only worker and agent need."),
    METHOD("keep_worker", link_keep_worker, METH_NOARGS, "Close the other ends; after the fork."),
    METHOD("take", link_take, METH_NOARGS, take_doc),
    METHOD("ask", link_ask_agent, METH_NOARGS, ask_doc),
    METHOD("wait", link_wait_agent, METH_NOARGS, wait_doc),
    METHOD("begin", link_begin, METH_O, begin_doc),
    METHOD("line", link_line, METH_FASTCALL, line_doc),
    METHOD("phase", link_phase, METH_O, "phase(number)\n--\n\nSay which phase of the test runs."),
    METHOD("result", link_result, METH_FASTCALL, result_doc),
    METHOD("partial", link_partial, METH_O, partial_doc),
    METHOD("push", link_push_message, METH_FASTCALL, push_doc),
    METHOD("write", link_write, METH_FASTCALL, write_doc),
    METHOD("log", link_log, METH_O, log_doc),
    METHOD("text", link_text, METH_O, text_doc),
    METHOD("said", link_said, METH_FASTCALL, said_doc),
    METHOD("size", link_size, METH_O, size_doc),
    METHOD("amend", link_amend, METH_FASTCALL, amend_doc),
    METHOD("passed", link_passed, METH_NOARGS, passed_doc),
    METHOD("suspend", link_suspend, METH_O, suspend_doc),
    { NULL },
};

static PyType_Slot link_slots[] = {
    { Py_tp_doc, (void *) (uintptr_t) link_doc },
    { Py_tp_new, (void *) link_new },
    { Py_tp_dealloc, (void *) link_dealloc },
    { Py_tp_methods, link_methods },
    { Py_tp_getset, link_getset },
    { 0, NULL },
};

static PyType_Spec link_spec = {
    .name = "dagz._dagz.Link",
    .basicsize = sizeof(struct linkobj),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = link_slots,
};

int
link_add_type(PyObject *module)
{
    if (PyModule_AddIntConstant(module, "ASK", SAYS_ASK) < 0 ||
        PyModule_AddIntConstant(module, "NONE", SAYS_NONE) < 0 ||
        PyModule_AddIntConstant(module, "END", SAYS_END) < 0)
        return -1;
    PyObject *type = PyType_FromModuleAndSpec(module, &link_spec, NULL);
    if (!type)
        return -1;
    int rc = PyModule_AddType(module, (PyTypeObject *) type);
    Py_DECREF(type);
    return rc;
}

/* hookcall.c - pluggy's call loop in C.
 *
 * A trivial test costs a dozen hook calls, each over a handful of implementations; the loop that
 * pluggy has for that is half of what such a test costs.  This is the same loop for the
 * implementations that pytest 8 and later consist of (functions, and wrappers that yield once);
 * anything else (old-style wrappers, keyword-only arguments) is handed to pluggy's own. */

#include "pyplugin/_dagz/dagz_ext.h"

enum { WRAPPERS_MAX = 32, ARGS_MAX = 12 };

struct hookcall {
    PyObject_HEAD
    PyObject *fallback; /* owned: pluggy's own function of the same signature */
    PyObject *wrapfail; /* owned: pluggy's _raise_wrapfail */
    PyObject *argnames, *function, *hookwrapper, *wrapper, *kwargnames, *throw, *close; /* names */
    vectorcallfunc vectorcall;
};

/* What one call of the loop holds. */
struct calling {
    struct hookcall *self;
    PyObject *kwargs; /* borrowed: dict */
    PyObject *gens[WRAPPERS_MAX];
    int gen_count;
    PyObject *results; /* owned: list, or the first result, or NULL */
    bool is_first_only;
    bool is_done;
};

static int
truth(PyObject *impl, PyObject *name)
{
    PyObject *value = PyObject_GetAttr(impl, name);
    int is_true = value ? PyObject_IsTrue(value) : -1;
    Py_XDECREF(value);
    return is_true;
}

/* 1: this loop knows how to call all of them, 0: it does not, -1: exception. */
static int
knows(struct hookcall *self, PyObject *impls)
{
    int wrappers = 0;
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(impls); i++) {
        PyObject *impl = PyList_GET_ITEM(impls, i);
        int old_style = truth(impl, self->hookwrapper);
        int with_names = old_style == 0 ? truth(impl, self->kwargnames) : old_style;
        if (with_names != 0)
            return with_names < 0 ? -1 : 0;
        int is_wrapper = truth(impl, self->wrapper);
        if (is_wrapper < 0)
            return -1;
        wrappers += is_wrapper;
    }
    return wrappers <= WRAPPERS_MAX;
}

/* The implementation's function with its arguments taken from the call's: new reference. */
static PyObject *
call_one(struct calling *call, PyObject *impl)
{
    struct hookcall *self = call->self;
    PyObject *argnames = PyObject_GetAttr(impl, self->argnames);
    PyObject *function = argnames ? PyObject_GetAttr(impl, self->function) : NULL;
    PyObject *args[ARGS_MAX + 1], *result = NULL;
    if (!function)
        goto out;
    Py_ssize_t count = PyTuple_Check(argnames) ? PyTuple_GET_SIZE(argnames) : ARGS_MAX + 1;
    if (count > ARGS_MAX) {
        PyErr_SetString(PyExc_TypeError, "a hook has more arguments than a call can have");
        goto out;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        args[i + 1] = PyDict_GetItemWithError(call->kwargs, PyTuple_GET_ITEM(argnames, i));
        if (!args[i + 1]) {
            if (!PyErr_Occurred())
                PyErr_Format(PyExc_KeyError, "hook call must provide argument %R",
                             PyTuple_GET_ITEM(argnames, i));
            goto out;
        }
    }
    result = PyObject_Vectorcall(function, args + 1,
                                 (size_t) count | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
out:
    Py_XDECREF(function);
    Py_XDECREF(argnames);
    return result;
}

static int
keep_result(struct calling *call, PyObject *result) /* steals */
{
    if (result == Py_None) {
        Py_DECREF(result);
        return 0;
    }
    if (call->is_first_only) {
        call->results = result;
        call->is_done = true;
        return 0;
    }
    int rc = PyList_Append(call->results, result);
    Py_DECREF(result);
    return rc;
}

/* pluggy's RuntimeError for a wrapper that did not yield just once. */
static void
fail_wrapper(struct hookcall *self, PyObject *gen, const char *what)
{
    PyObject *ignored = PyObject_CallFunction(self->wrapfail, "Os", gen, what);
    Py_XDECREF(ignored); /* it raises */
}

static int
enter_wrapper(struct calling *call, PyObject *gen) /* steals */
{
    PyObject *yielded = NULL;
    PySendResult sent = PyIter_Send(gen, Py_None, &yielded);
    Py_XDECREF(yielded);
    if (sent == PYGEN_NEXT) {
        call->gens[call->gen_count++] = gen;
        return 0;
    }
    if (sent == PYGEN_RETURN)
        fail_wrapper(call->self, gen, "did not yield");
    Py_DECREF(gen);
    return -1;
}

static int
run_impls(struct calling *call, PyObject *impls)
{
    for (Py_ssize_t i = PyList_GET_SIZE(impls) - 1; i >= 0 && !call->is_done; i--) {
        PyObject *impl = PyList_GET_ITEM(impls, i);
        int is_wrapper = truth(impl, call->self->wrapper);
        PyObject *result = is_wrapper < 0 ? NULL : call_one(call, impl);
        if (!result)
            return -1;
        int rc = is_wrapper ? enter_wrapper(call, result) : keep_result(call, result);
        if (rc < 0)
            return -1;
    }
    return 0;
}

/* ---------------------------------------------------------------- after the yield */

/* The pending exception as an object with its traceback; NULL when none is pending. */
static PyObject *
take_exception(void)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    if (!type)
        return NULL;
    PyErr_NormalizeException(&type, &value, &traceback);
    if (traceback)
        (void) PyException_SetTraceback(value, traceback);
    Py_DECREF(type);
    Py_XDECREF(traceback);
    return value;
}

static void
raise_exception(PyObject *value) /* steals */
{
    PyObject *type = (PyObject *) Py_TYPE(value);
    Py_INCREF(type);
    PyErr_Restore(type, value, PyException_GetTraceback(value));
}

/* The value of a pending StopIteration, which is cleared; NULL for any other exception. */
static PyObject *
take_stop_value(void)
{
    if (!PyErr_ExceptionMatches(PyExc_StopIteration))
        return NULL;
    PyObject *stop = take_exception();
    PyObject *value = PyObject_GetAttrString(stop, "value");
    Py_DECREF(stop);
    return value;
}

/* A StopIteration that was thrown into a generator comes out as the cause of a RuntimeError. */
static bool
is_wrapped_stop(PyObject *thrown)
{
    if (!PyErr_ExceptionMatches(PyExc_RuntimeError) ||
        !PyErr_GivenExceptionMatches(thrown, PyExc_StopIteration))
        return false;
    PyObject *error = take_exception();
    PyObject *cause = PyException_GetCause(error);
    bool is_same = cause == thrown;
    Py_XDECREF(cause);
    raise_exception(error);
    return is_same;
}

static void
close_wrapper(struct hookcall *self, PyObject *gen)
{
    PyObject *ignored = PyObject_CallMethodNoArgs(gen, self->close);
    Py_XDECREF(ignored);
}

/* A wrapper that yields again breaks the call: like pluggy's, the loop ends there. */
static bool
refuse_second_yield(struct hookcall *self, PyObject *gen, PyObject **exception_p)
{
    close_wrapper(self, gen);
    if (!PyErr_Occurred())
        fail_wrapper(self, gen, "has second yield");
    Py_XSETREF(*exception_p, take_exception());
    return false;
}

/* Throw into one wrapper.  Both references are replaced by what it makes of them. */
static bool
leave_with_exception(struct hookcall *self, PyObject *gen, PyObject **result_p,
                     PyObject **exception_p)
{
    PyObject *thrown = *exception_p;
    PyObject *yielded = PyObject_CallMethodOneArg(gen, self->throw, thrown);
    if (yielded) {
        Py_DECREF(yielded);
        return refuse_second_yield(self, gen, exception_p);
    }
    if (is_wrapped_stop(thrown)) {
        PyErr_Clear();
        close_wrapper(self, gen);
        if (!PyErr_Occurred())
            return true;
    }
    PyObject *value = take_stop_value();
    if (value) {
        Py_XSETREF(*result_p, value);
        Py_CLEAR(*exception_p);
    } else {
        *exception_p = take_exception();
        Py_DECREF(thrown);
    }
    return true;
}

static bool
leave_with_result(struct hookcall *self, PyObject *gen, PyObject **result_p, PyObject **exception_p)
{
    PyObject *value = NULL;
    PySendResult sent = PyIter_Send(gen, *result_p, &value);
    if (sent == PYGEN_RETURN) {
        Py_XSETREF(*result_p, value);
        return true;
    }
    if (sent == PYGEN_NEXT) {
        Py_XDECREF(value);
        return refuse_second_yield(self, gen, exception_p);
    }
    *exception_p = take_exception();
    return true;
}

static PyObject *
call_hook(struct hookcall *self, PyObject *impls, PyObject *kwargs, bool is_first_only)
{
    struct calling call = { .self = self, .kwargs = kwargs, .is_first_only = is_first_only };
    if (!is_first_only) {
        call.results = PyList_New(0);
        if (!call.results)
            return NULL;
    }
    PyObject *exception = run_impls(&call, impls) < 0 ? take_exception() : NULL;
    PyObject *result = call.results;
    if (!result) {
        result = Py_None;
        Py_INCREF(result);
    }
    bool goes_on = true;
    while (call.gen_count > 0) {
        PyObject *gen = call.gens[--call.gen_count];
        if (goes_on && exception)
            goes_on = leave_with_exception(self, gen, &result, &exception);
        else if (goes_on)
            goes_on = leave_with_result(self, gen, &result, &exception);
        Py_DECREF(gen);
    }
    if (!exception)
        return result;
    Py_DECREF(result);
    raise_exception(exception);
    return NULL;
}

/* (hook_name, impls, kwargs, firstresult): the signature of pluggy's own. */
static PyObject *
hookcall_vectorcall(PyObject *op, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
    struct hookcall *self = (struct hookcall *) op;
    Py_ssize_t nargs = PyVectorcall_NARGS(nargsf);
    int known = 0;
    if (nargs == 4 && !kwnames && PyList_CheckExact(args[1]) && PyDict_CheckExact(args[2]))
        known = knows(self, args[1]);
    if (known < 0)
        return NULL;
    if (!known)
        return PyObject_Vectorcall(self->fallback, args, nargsf, kwnames);
    int is_first_only = PyObject_IsTrue(args[3]);
    if (is_first_only < 0)
        return NULL;
    return call_hook(self, args[1], args[2], is_first_only);
}

/* ---------------------------------------------------------------- type */

static PyObject *
hookcall_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = { "fallback", "wrapfail", NULL };
    PyObject *fallback, *wrapfail;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OO:HookCall", names, &fallback, &wrapfail))
        return NULL;
    struct hookcall *self = (struct hookcall *) type->tp_alloc(type, 0);
    if (!self)
        return NULL;
    Py_INCREF(fallback);
    Py_INCREF(wrapfail);
    self->fallback = fallback;
    self->wrapfail = wrapfail;
    self->vectorcall = hookcall_vectorcall;
    const struct {
        PyObject **to;
        const char *text;
    } interned[] = {
        { &self->argnames, "argnames" },
        { &self->function, "function" },
        { &self->hookwrapper, "hookwrapper" },
        { &self->wrapper, "wrapper" },
        { &self->kwargnames, "kwargnames" },
        { &self->throw, "throw" },
        { &self->close, "close" },
    };
    for (size_t i = 0; i < DZ_LEN(interned); i++) {
        *interned[i].to = PyUnicode_InternFromString(interned[i].text);
        if (!*interned[i].to)
            Py_CLEAR(self);
        if (!self)
            return NULL;
    }
    return (PyObject *) self;
}

static int
hookcall_traverse(PyObject *op, visitproc visit, void *arg)
{
    struct hookcall *self = (struct hookcall *) op;
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(self->fallback);
    Py_VISIT(self->wrapfail);
    return 0;
}

static int
hookcall_clear(PyObject *op)
{
    struct hookcall *self = (struct hookcall *) op;
    Py_CLEAR(self->fallback);
    Py_CLEAR(self->wrapfail);
    return 0;
}

static void
hookcall_dealloc(PyObject *op)
{
    struct hookcall *self = (struct hookcall *) op;
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    (void) hookcall_clear(op);
    PyObject *const names[] = { self->argnames,   self->function, self->hookwrapper, self->wrapper,
                                self->kwargnames, self->throw,    self->close };
    for (size_t i = 0; i < DZ_LEN(names); i++)
        Py_XDECREF(names[i]);
    type->tp_free(op);
    Py_DECREF(type);
}

static PyMemberDef hookcall_members[] = {
    { "__vectorcalloffset__", T_PYSSIZET, offsetof(struct hookcall, vectorcall), READONLY, NULL },
    { "fallback", T_OBJECT, offsetof(struct hookcall, fallback), READONLY, "pluggy's own loop." },
    { NULL },
};

static PyType_Slot hookcall_slots[] = {
    { Py_tp_doc, (void *) (uintptr_t) "HookCall(fallback, wrapfail)\n--\n\n"
                                      "Called in the place of pluggy's _multicall." },
    { Py_tp_new, (void *) hookcall_new },
    { Py_tp_traverse, (void *) hookcall_traverse },
    { Py_tp_clear, (void *) hookcall_clear },
    { Py_tp_dealloc, (void *) hookcall_dealloc },
    { Py_tp_call, (void *) PyVectorcall_Call },
    { Py_tp_members, hookcall_members },
    { 0, NULL },
};

static PyType_Spec hookcall_spec = {
    .name = "dagz._dagz.HookCall",
    .basicsize = sizeof(struct hookcall),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE |
             Py_TPFLAGS_HAVE_VECTORCALL,
    .slots = hookcall_slots,
};

int
hookcall_add_type(PyObject *module)
{
    PyObject *type = PyType_FromModuleAndSpec(module, &hookcall_spec, NULL);
    if (!type)
        return -1;
    int rc = PyModule_AddType(module, (PyTypeObject *) type);
    Py_DECREF(type);
    return rc;
}

/* thaw.c - gc.get_objects() and gc.get_referrers() that see the frozen heap, too.
 *
 * Workers share the pages of what was collected because it is frozen, and these two pass over what is
 * frozen: who asks them for an object that a module made at import would be told that nobody has it.
 * So whoever asks gets the heap of plain pytest, at the price of its pages.  In C, since a function
 * of Python would be found among the referrers of its own arguments. */
#include "pyplugin/_dagz/dagz_ext.h"

static PyObject *
thaw_and_call(PyObject *pair, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    PyObject *done = PyObject_CallNoArgs(PyTuple_GET_ITEM(pair, 0));
    if (!done)
        return NULL;
    Py_DECREF(done);
    return PyObject_Vectorcall(PyTuple_GET_ITEM(pair, 1), args, (size_t) count, names);
}

static PyMethodDef thawing_def = {
    "thawing",
    (PyCFunction) (void (*)(void)) thaw_and_call,
    METH_FASTCALL | METH_KEYWORDS,
    PyDoc_STR("What gc has under this name, after gc.unfreeze()."),
};

PyObject *
make_thawing(PyObject *module, PyObject *pair)
{
    (void) module;
    if (!PyTuple_Check(pair) || PyTuple_GET_SIZE(pair) != 2) {
        PyErr_SetString(PyExc_TypeError, "thawing() takes a tuple of gc.unfreeze and a function");
        return NULL;
    }
    return PyCFunction_New(&thawing_def, pair);
}

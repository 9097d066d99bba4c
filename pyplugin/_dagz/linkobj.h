/* linkobj.h - the object that linkobj.c and said.c make together: a worker's link and capture. */
#ifndef DZ_PYPLUGIN_LINKOBJ_H
#define DZ_PYPLUGIN_LINKOBJ_H

#include "pyplugin/_dagz/dagz_ext.h"
#include "worker/capture.h"
#include "worker/link.h"
#include "worker/trim.h"

struct linkobj {
    PyObject_HEAD
    struct link link;
    struct capture capture;
    uint32_t test, attempt; /* of the running test */
    struct dz_buf frame;
    struct trim trim;
};

/* Methods about output, with their docstrings (said.c). */
PyObject *link_write(PyObject *op, PyObject *const *args, Py_ssize_t nargs);
PyObject *link_log(PyObject *op, PyObject *data);
PyObject *link_text(PyObject *op, PyObject *number);
PyObject *link_said(PyObject *op, PyObject *const *args, Py_ssize_t nargs);
PyObject *link_size(PyObject *op, PyObject *number);
PyObject *link_amend(PyObject *op, PyObject *const *args, Py_ssize_t nargs);
PyObject *link_passed(PyObject *op, PyObject *unused);
PyObject *link_suspend(PyObject *op, PyObject *value);
extern const char write_doc[], log_doc[], text_doc[], said_doc[], size_doc[], amend_doc[],
    passed_doc[], suspend_doc[];

#endif

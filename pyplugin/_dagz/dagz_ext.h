/* dagz_ext.h - what the files of the extension share.
 *
 * All C state hangs off the module object.  Nothing here may end the host process: every failure
 * is a Python exception. */
#ifndef DZ_PYPLUGIN_DAGZ_EXT_H
#define DZ_PYPLUGIN_DAGZ_EXT_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#include "shared/base/base.h"
#include "shared/wire/wire.h"

/* Add the types to the module; -1 with an exception set. */
int channel_add_type(PyObject *module);
int link_add_type(PyObject *module);
int hookcall_add_type(PyObject *module);

/* Python values to a message and back (codec.c).
 *
 * A message is its name and a tuple of its fields in schema order: int, str (UTF-8 with
 * surrogateescape), bytes, and for a list a list of tuples. */

/* Encode with a length prefix and append.  -1 with TypeError, ValueError or OverflowError that
 * name the message. */
int codec_encode(struct dz_buf *out, const char *name, PyObject *const *fields, Py_ssize_t count);

/* New reference: (name, field, field, ...). NULL with ValueError for bytes that are no message. */
PyObject *codec_decode(struct dz_slice frame);

/* New reference: calls the first of the pair without arguments, then the second (thaw.c). */
PyObject *make_thawing(PyObject *module, PyObject *pair);

/* OSError with the text of `err`; always NULL. */
PyObject *raise_os_error(const struct dz_err *err);

#endif

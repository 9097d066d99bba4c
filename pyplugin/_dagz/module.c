/* module.c - _dagz, the C half of the pytest plugin: channels to the agent, a worker's link, and
 * the few system calls that Python does not offer. */
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "pyplugin/_dagz/dagz_ext.h"
#include "shared/base/clock.h"
#include "shared/wire/model.h"
#include "worker/crash.h"
#include "worker/trim.h"

enum { FIRST_FD = 3, ARGS_MAX = 32 };

/* ---------------------------------------------------------------- spawn */

/* In the child: keep 0-2 (stdin from /dev/null) and the given descriptors, which move to 3, 4...
 * Async-signal-safe. */
static void
exec_with(const char *path, char *const argv[], const int *fds, int count)
{
    (void) prctl(PR_SET_PDEATHSIG, SIGTERM);
    int null_fd = open("/dev/null", O_RDONLY);
    if (null_fd >= 0)
        (void) dup2(null_fd, 0);
    int moved[ARGS_MAX];
    for (int i = 0; i < count; i++) /* above every target first: a target may be a source */
        moved[i] = fcntl(fds[i], F_DUPFD, FIRST_FD + ARGS_MAX);
    for (int i = 0; i < count; i++)
        (void) dup2(moved[i], FIRST_FD + i);
    (void) close_range((unsigned) (FIRST_FD + count), ~0U, 0);
    (void) execv(path, argv);
    static const char text[] = "dagz: the agent could not be started\n";
    ssize_t ignored = write(2, text, sizeof(text) - 1);
    (void) ignored;
    _exit(127);
}

PyDoc_STRVAR(spawn_doc,
             "spawn(path, args, fds)\n--\n\n"
             "Start a program that gets exactly `fds` as its descriptors 3, 4...\n\n"
             "args: list of str without the program's name.  Its stdin is /dev/null.\n"
             "It gets SIGTERM when the calling thread ends.  Returns its pid; the caller\n"
             "reaps it.  A program that cannot be executed ends with 127.");

static PyObject *
spawn(PyObject *module, PyObject *args)
{
    (void) module;
    const char *path;
    PyObject *arg_list, *fd_list;
    if (!PyArg_ParseTuple(args, "sO!O!:spawn", &path, &PyList_Type, &arg_list, &PyList_Type,
                          &fd_list))
        return NULL;
    if (PyList_GET_SIZE(arg_list) > ARGS_MAX - 2 || PyList_GET_SIZE(fd_list) > ARGS_MAX) {
        PyErr_SetString(PyExc_ValueError, "too many arguments or descriptors");
        return NULL;
    }
    const char *argv[ARGS_MAX] = { path };
    int fds[ARGS_MAX], count = (int) PyList_GET_SIZE(fd_list);
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(arg_list); i++) {
        argv[i + 1] = PyUnicode_AsUTF8(PyList_GET_ITEM(arg_list, i));
        if (!argv[i + 1])
            return NULL;
    }
    for (int i = 0; i < count; i++) {
        fds[i] = (int) PyLong_AsLong(PyList_GET_ITEM(fd_list, i));
        if (fds[i] == -1 && PyErr_Occurred())
            return NULL;
    }
    pid_t pid = fork(); /* the child calls nothing of Python's before it executes */
    if (pid == 0)
        exec_with(path, (char *const *) (uintptr_t) argv, fds, count);
    if (pid < 0)
        return PyErr_SetFromErrno(PyExc_OSError);
    return PyLong_FromLong(pid);
}

/* ---------------------------------------------------------------- process */

static PyObject *
set_pdeathsig(PyObject *module, PyObject *number)
{
    (void) module;
    long signal_number = PyLong_AsLong(number);
    if (signal_number == -1 && PyErr_Occurred())
        return NULL;
    if (prctl(PR_SET_PDEATHSIG, signal_number) != 0)
        return PyErr_SetFromErrno(PyExc_OSError);
    Py_RETURN_NONE;
}

static PyObject *
set_subreaper(PyObject *module, PyObject *unused)
{
    (void) module;
    (void) unused;
    if (prctl(PR_SET_CHILD_SUBREAPER, 1) != 0)
        return PyErr_SetFromErrno(PyExc_OSError);
    Py_RETURN_NONE;
}

static PyObject *
install_crash_handlers(PyObject *module, PyObject *number)
{
    (void) module;
    long fd = PyLong_AsLong(number);
    if (fd == -1 && PyErr_Occurred())
        return NULL;
    struct dz_err err;
    if (crash_handlers_install((int) fd, &err) != DZ_OK)
        return raise_os_error(&err);
    Py_RETURN_NONE;
}

static PyObject *
keep_forever(PyObject *module, PyObject *object)
{
    (void) module;
    Py_INCREF(object); /* never given back: that is the point */
    Py_RETURN_NONE;
}

/* Where the kernel says that the environment lies which exec gave: fields 50 and 51 of proc_pid_stat(5). */
static bool
find_env_block(unsigned long *first_out, unsigned long *last_out)
{
    enum { FIRST = 50, AFTER_NAME = 2 };
    char text[2048] = "";
    FILE *file = fopen("/proc/self/stat", "re");
    if (!file)
        return false;
    size_t len = fread(text, 1, sizeof(text) - 1, file);
    (void) fclose(file);
    text[len] = '\0';
    char *at = strrchr(text, ')'); /* the name may have blanks */
    for (int field = AFTER_NAME; at && field < FIRST; field++)
        at = strchr(at + 1, ' ');
    if (!at)
        return false;
    *first_out = strtoul(at, &at, 10);
    *last_out = strtoul(at, &at, 10);
    return *first_out > 0 && *last_out > *first_out;
}

/* Also what /proc tells of this process is empty then: it shows the block that exec left, which
 * unsetenv() only takes out of the list. */
static PyObject *
wipe_env(PyObject *module, PyObject *name)
{
    (void) module;
    const char *wanted = PyUnicode_AsUTF8(name);
    if (!wanted)
        return NULL;
    size_t len = strlen(wanted);
    unsigned long first = 0, last = 0;
    if (!find_env_block(&first, &last))
        Py_RETURN_NONE;
    for (char *at = (char *) first; at < (char *) last; at += strlen(at) + 1)
        if (strncmp(at, wanted, len) == 0 && at[len] == '=')
            explicit_bzero(at + len + 1, strlen(at + len + 1));
    Py_RETURN_NONE;
}

static PyObject *
trim(PyObject *module, PyObject *unused)
{
    (void) module;
    (void) unused;
    trim_heap(&(struct trim){ 0 }, dz_clock_us());
    Py_RETURN_NONE;
}

/* ---------------------------------------------------------------- module */

static PyMethodDef methods[] = {
    { "spawn", spawn, METH_VARARGS, spawn_doc },
    { "set_pdeathsig", set_pdeathsig, METH_O,
      "set_pdeathsig(number)\n--\n\nThe signal this process gets when its parent ends." },
    { "set_subreaper", set_subreaper, METH_NOARGS,
      "Orphans among the descendants become children of this process." },
    { "keep_forever", keep_forever, METH_O,
      "keep_forever(object)\n--\n\nNever free the object: for a process that ends anyway." },
    { "wipe_env", wipe_env, METH_O,
      "wipe_env(name)\n--\n\nZero the value in the environment that this process was started "
      "with." },
    { "trim_heap", trim, METH_NOARGS, "trim_heap()\n--\n\nGive free pages of the C heap back." },
    { "thawing", make_thawing, METH_O,
      "thawing(pair)\n--\n\nA function that calls the first of the pair, then the second as it "
      "was called." },
    { "install_crash_handlers", install_crash_handlers, METH_O,
      "install_crash_handlers(fd)\n--\n\nWrite native stacks of fatal signals to fd." },
    { NULL },
};

/* RESULT_OK, CAUSE_SIGNAL, ...: the numbers of shared/wire/model.h. */
static int
add_names(PyObject *module)
{
#define X(name) \
    if (PyModule_AddIntConstant(module, "RESULT_" #name, DZ_RESULT_##name) < 0) \
        return -1;
    DZ_RESULT_LIST(X)
#undef X
#define X(name, text) \
    if (PyModule_AddIntConstant(module, "CAUSE_" #name, DZ_CAUSE_##name) < 0) \
        return -1;
    DZ_CAUSE_LIST(X)
#undef X
    static const struct {
        const char *name;
        long value;
    } others[] = {
        { "ROLE_AGENT", DZ_ROLE_AGENT },
        { "ROLE_CONTROLLER", DZ_ROLE_CONTROLLER },
        { "ROLE_SEED", DZ_ROLE_SEED },
        { "ROLE_ZYGOTE", DZ_ROLE_ZYGOTE },
        { "ROLE_WORKER", DZ_ROLE_WORKER },
        { "FORK_ZYGOTE", DZ_FORK_ZYGOTE },
        { "FORK_WORKER", DZ_FORK_WORKER },
        { "FORK_SOLO", DZ_FORK_SOLO },
        { "START_IN_ORDER", DZ_START_IN_ORDER },
        { "START_KEEP_ORDER", DZ_START_KEEP_ORDER },
        { "START_SOLO", DZ_START_SOLO },
        { "READY_READS_ID", DZ_READY_READS_ID },
        { "READY_FORK_SOLO", DZ_READY_FORK_SOLO },
    };
    for (size_t i = 0; i < DZ_LEN(others); i++) {
        if (PyModule_AddIntConstant(module, others[i].name, others[i].value) < 0)
            return -1;
    }
    return 0;
}

static PyObject *
names_of(const char *(*text_of)(int), int count)
{
    PyObject *tuple = PyTuple_New(count);
    for (int i = 0; tuple && i < count; i++) {
        PyObject *text = PyUnicode_FromString(text_of(i));
        if (!text)
            Py_CLEAR(tuple);
        else
            PyTuple_SET_ITEM(tuple, i, text);
    }
    return tuple;
}

static const char *
result_text(int result)
{
    return dz_result_name((enum dz_result) result);
}

static const char *
cause_text(int cause)
{
    return dz_cause_text((enum dz_cause) cause);
}

static int
add_tuple(PyObject *module, const char *name, PyObject *tuple)
{
    int rc = tuple ? PyModule_AddObjectRef(module, name, tuple) : -1;
    Py_XDECREF(tuple);
    return rc;
}

static int
module_exec(PyObject *module)
{
    if (add_names(module) < 0 ||
        add_tuple(module, "RESULTS", names_of(result_text, DZ_RESULTS)) < 0 ||
        add_tuple(module, "CAUSES", names_of(cause_text, DZ_CAUSES)) < 0)
        return -1;
    if (channel_add_type(module) < 0 || link_add_type(module) < 0)
        return -1;
    return hookcall_add_type(module);
}

static PyModuleDef_Slot module_slots[] = {
    { Py_mod_exec, (void *) module_exec },
    { 0, NULL },
};

static struct PyModuleDef module_def = {
    PyModuleDef_HEAD_INIT,
    .m_name = "dagz._dagz",
    .m_doc = PyDoc_STR("C half of the pytest plugin."),
    .m_methods = methods,
    .m_slots = module_slots,
};

PyMODINIT_FUNC
PyInit__dagz(void)
{
    return PyModuleDef_Init(&module_def);
}

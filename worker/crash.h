/* crash.h - what a dying worker leaves behind.
 *
 * A fatal signal writes the native stack into the crash file before the process dies; Python's
 * faulthandler, which the plugin points at the same file, writes the Python stacks. */
#ifndef DZ_WORKER_CRASH_H
#define DZ_WORKER_CRASH_H

#include "shared/base/base.h"

/* Write native stacks into `fd` (borrowed for the life of the process) on SIGSEGV, SIGBUS, SIGFPE,
 * SIGILL and SIGABRT, on a stack of their own, then die of the signal.  To be called before
 * faulthandler is enabled, which passes on to the handlers that it found.
 * The first failure only: a second signal inside a handler ends the process at once. */
DZ_MUST_USE enum dz_rc crash_handlers_install(int fd, struct dz_err *err);

#endif

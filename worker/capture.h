/* capture.h - what a worker says, in order, in one file.
 *
 * C code and child processes write to a pseudo-terminal (fd 1 and 2); text of Python's streams
 * comes in by capture_write().  Both go to the end of one log file in the order in which they
 * were said: before Python's text is appended, what the terminal holds is.  So the two are told
 * apart without markers: whatever grew in the file and was not appended here is fd-level.
 *
 * The agent may move bytes from the terminal to the file too (a child that fills the terminal
 * while the worker waits for it must not hang); shm->drain_lock keeps the two apart.
 *
 * Text of Python's streams goes to their sections, at any time: who kept one, as a logging handler
 * does, writes to it between the phases of a test too.  What comes through the terminal while capture
 * is suspended (-s, a test that disables it) is passed through: the user's terminal gets it.
 *
 * Ownership  Borrows the mapping and both descriptors.
 * Threads    Callers hold one lock (the GIL). */
#ifndef DZ_WORKER_CAPTURE_H
#define DZ_WORKER_CAPTURE_H

#include "shared/base/base.h"
#include "shared/base/buf.h"
#include "shared/shm/shm.h"

enum capture_stream { CAPTURE_OUT, CAPTURE_ERR, CAPTURE_STREAMS };

struct capture {
    struct dz_shm *shm; /* borrowed */
    int master, log;    /* borrowed */
    uint64_t seen;      /* length of the log up to which bytes were told apart */
    bool is_suspended;
    struct dz_buf text[CAPTURE_STREAMS]; /* since the last capture_take() */
    struct dz_buf passed;                /* since the last capture_take_passed() */
};

void capture_init(struct capture *self, struct dz_shm *shm, int master, int log);
void capture_fini(struct capture *self);

/* Append what a Python stream says.  Where the log cannot be written the text is in its section
 * all the same: a test that prints must not fail for it. */
void capture_write(struct capture *self, enum capture_stream stream, struct dz_slice text);

/* Append to the log only: text that reaches the user another way unless this process dies. */
void capture_log(struct capture *self, struct dz_slice text);

/* Take in what the terminal holds and what the agent moved. */
void capture_absorb(struct capture *self);

/* capture_absorb(), then whether the stream has text: cheap when nothing was said. */
bool capture_has_text(struct capture *self, enum capture_stream stream);

#endif
